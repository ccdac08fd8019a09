//! The side channel of a gateway over UDP (MS-TSGU 2.2.11): DTLS, of which only the records' headers can be read.

use crate::trace::{GatewayMessage, GatewayUdp, Micros, Side};

/// Type, version, epoch, sequence number and length (RFC 6347 4.1).
const RECORD_HEADER: usize = 13;
const APPLICATION_DATA: u8 = 23;
/// First bytes of every version of DTLS.
const DTLS_MAJOR: u8 = 0xfe;
/// Neither side says nothing for so long on a channel that works: keepalives of RDP-UDP come every few seconds, and a
/// peer counts as gone after 65 s (MS-RDPEUDP 3.1.1.9).
const SILENCE_US: Micros = 65_000_000;

/// Follows the datagrams of one attempt.
#[derive(Debug, Default)]
pub struct GatewayUdpObserver {
    first_us: Option<Micros>,
    sides: [Direction; 2],
    is_established: bool,
}

#[derive(Debug, Default)]
struct Direction {
    datagrams: u64,
    last_us: Micros,
    /// Records of a later epoch than the handshake's came: this side has its keys.
    is_encrypted: bool,
}

impl GatewayUdpObserver {
    /// A datagram of `from`; what it tells is added to `out`, with the side that made it happen.
    pub fn datagram(
        &mut self,
        t_us: Micros,
        from: Side,
        bytes: &[u8],
        out: &mut Vec<(Option<Side>, GatewayMessage)>,
    ) {
        let first_us = *self.first_us.get_or_insert(t_us);
        let since_first_us = t_us.saturating_sub(first_us);
        let direction = &mut self.sides[from.index()];
        direction.datagrams += 1;
        direction.last_us = t_us;
        direction.is_encrypted |= records(bytes).any(|(kind, epoch)| epoch > 0 || kind == APPLICATION_DATA);
        if direction.datagrams == 1 {
            let what = GatewayUdp::FirstDatagram;
            out.push((Some(from), GatewayMessage::GatewayUdp { what, datagrams: 1, since_first_us }));
        }
        if !self.is_established && self.sides.iter().all(|direction| direction.is_encrypted) {
            self.is_established = true;
            let what = GatewayUdp::Established;
            let datagrams = self.datagrams();
            out.push((None, GatewayMessage::GatewayUdp { what, datagrams, since_first_us }));
        }
    }

    /// The attempt is over.
    pub fn finish(&mut self, t_us: Micros, out: &mut Vec<(Option<Side>, GatewayMessage)>) {
        let [client, server] = &self.sides;
        let what = match (client.datagrams, server.datagrams) {
            (0, _) => None,
            (_, 0) => Some((None, GatewayUdp::Unanswered, self.datagrams())),
            _ if self.is_established => [Side::Client, Side::Server].into_iter().find_map(|side| {
                let direction = &self.sides[side.index()];
                let is_silent = t_us.saturating_sub(direction.last_us) >= SILENCE_US;
                is_silent.then_some((Some(side), GatewayUdp::Silence, direction.datagrams))
            }),
            _ => None,
        };
        let since_first_us = t_us.saturating_sub(self.first_us.unwrap_or(t_us));
        out.extend(what.map(|(from, what, datagrams)| {
            (from, GatewayMessage::GatewayUdp { what, datagrams, since_first_us })
        }));
    }

    fn datagrams(&self) -> u64 {
        self.sides.iter().map(|direction| direction.datagrams).sum()
    }
}

/// Content type and epoch of each record in a datagram.
fn records(mut bytes: &[u8]) -> impl Iterator<Item = (u8, u16)> + '_ {
    std::iter::from_fn(move || {
        let header = bytes.first_chunk::<RECORD_HEADER>()?;
        let (kind, epoch) = (header[0], u16::from_be_bytes([header[3], header[4]]));
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let is_record = header[1] == DTLS_MAJOR;
        bytes = bytes.get(RECORD_HEADER + length..).unwrap_or_default();
        is_record.then_some((kind, epoch))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(kind: u8, epoch: u16) -> Vec<u8> {
        let [high, low] = epoch.to_be_bytes();
        vec![kind, DTLS_MAJOR, 0xfd, high, low, 0, 0, 0, 0, 0, 1, 0, 1, 0]
    }

    fn told(datagrams: &[(Micros, Side, Vec<u8>)], end_us: Micros) -> Vec<(Option<Side>, GatewayUdp, u64)> {
        let (mut observer, mut out) = (GatewayUdpObserver::default(), Vec::new());
        for (t_us, from, bytes) in datagrams {
            observer.datagram(*t_us, *from, bytes, &mut out);
        }
        observer.finish(end_us, &mut out);
        let plain = |(from, message)| match message {
            GatewayMessage::GatewayUdp { what, datagrams, .. } => (from, what, datagrams),
            other => panic!("{other:?}"),
        };
        out.into_iter().map(plain).collect()
    }

    #[test]
    fn a_handshake_with_keys_on_both_sides_is_established() {
        let (client, server) = (Some(Side::Client), Some(Side::Server));
        let handshake = [
            (0, Side::Client, record(22, 0)),
            (10, Side::Server, record(22, 0)),
            (20, Side::Client, [record(22, 0), record(20, 0), record(22, 1)].concat()),
            (30, Side::Server, record(22, 1)),
        ];
        let expected = [
            (client, GatewayUdp::FirstDatagram, 1),
            (server, GatewayUdp::FirstDatagram, 1),
            (None, GatewayUdp::Established, 4),
        ];
        assert_eq!(told(&handshake, 40), expected);
        let silent = told(&handshake, 30 + SILENCE_US);
        assert_eq!(silent.last(), Some(&(client, GatewayUdp::Silence, 2)));
    }

    #[test]
    fn a_client_that_is_never_answered_says_so() {
        let sent = [(0, Side::Client, record(22, 0)), (1_000_000, Side::Client, record(22, 0))];
        let expected =
            [(Some(Side::Client), GatewayUdp::FirstDatagram, 1), (None, GatewayUdp::Unanswered, 2)];
        assert_eq!(told(&sent, 2_000_000), expected);
        assert!(told(&[], 1).is_empty());
    }

    proptest! {
        #[test]
        fn any_datagram_is_taken_and_few_things_are_told(
            datagrams in prop::collection::vec((any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..64)), 0..40),
        ) {
            let side = |client| if client { Side::Client } else { Side::Server };
            let datagrams: Vec<_> =
                datagrams.into_iter().map(|(t_us, client, bytes)| (Micros::from(t_us), side(client), bytes)).collect();
            let firsts = [Side::Client, Side::Server]
                .into_iter()
                .filter(|side| datagrams.iter().any(|(_, from, _)| from == side))
                .count();
            let told = told(&datagrams, u64::from(u32::MAX));
            let seen = told.iter().filter(|(_, what, _)| *what == GatewayUdp::FirstDatagram).count();
            prop_assert_eq!(seen, firsts);
            prop_assert!(told.len() <= firsts + 2);
        }
    }
}
