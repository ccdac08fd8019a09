//! What a user types, sees and logs on with, blanked in a connection that no TLS protects.
//!
//! Standard RDP security (MS-RDPBCGR 5.3) at its level "none" leaves everything readable: the password in the Client Info PDU,
//! keys, and the screen. Headers up to the security flags stay, so that a reader still finds every PDU.

use crate::trace::Side;

/// TPKT (RFC 1006): version 3.
const TPKT: u8 = 3;
/// Bytes of a TPKT header, of the header of X.224 Data (ISO 8073) behind it, and of both.
const TPKT_HEADER: usize = 4;
const X224_DATA: u8 = 0xf0;
const DATA_HEADER: usize = 7;
/// A TLS handshake record: what follows is encrypted.
const TLS_HANDSHAKE: u8 = 0x16;
/// DomainMCSPDU choices (T.125) whose user data is RDP: SendDataRequest and SendDataIndication.
const SEND_DATA: [u8; 2] = [25, 26];
/// Bytes from the choice to the length of the user data: choice, initiator, channel, priority.
const BEFORE_LENGTH: usize = 6;
/// Bytes of user data that stay: the flags of the basic security header (MS-RDPBCGR 2.2.8.1.1.2.1).
const SECURITY_FLAGS: usize = 4;
/// The longest header that decides what becomes of a PDU.
const LONGEST_HEADER: usize = DATA_HEADER + BEFORE_LENGTH + 2 + SECURITY_FLAGS;

/// Follows both directions of one connection.
#[derive(Debug, Default)]
pub struct ClearText {
    sides: [Direction; 2],
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    /// The first bytes of the PDU under way.
    header: Vec<u8>,
    /// How the rest of it is treated, once its header is whole.
    rest: Option<Rest>,
    /// TLS began.
    is_encrypted: bool,
    /// It is no RDP, or can no longer be followed: nothing of it stays.
    is_lost: bool,
}

/// What is to come of a PDU.
#[derive(Debug, Clone, Copy)]
struct Rest {
    /// Bytes that stay.
    keep: usize,
    /// Bytes that are blanked behind those.
    blank: usize,
}

impl ClearText {
    /// Blanks what must not be seen in `bytes`, the next that `from` sent. Answers how many were blanked.
    pub fn blank(&mut self, from: Side, bytes: &mut [u8]) -> usize {
        let encrypted = self.sides.iter().any(|side| side.is_encrypted);
        let side = &mut self.sides[from.index()];
        if encrypted {
            return 0;
        }
        let mut blanked = 0;
        let mut place = 0;
        while place < bytes.len() && !side.is_encrypted {
            place += side.step(&mut bytes[place..], &mut blanked);
        }
        blanked
    }

    /// Bytes of `from` are missing: where its next PDU begins is not known.
    pub fn lost(&mut self, from: Side) {
        if !self.sides.iter().any(|side| side.is_encrypted) {
            self.sides[from.index()].is_lost = true;
        }
    }
}

impl Direction {
    /// Takes some bytes of the front and answers how many.
    fn step(&mut self, bytes: &mut [u8], blanked: &mut usize) -> usize {
        if self.is_lost {
            bytes.fill(0);
            *blanked += bytes.len();
            return bytes.len();
        }
        let Some(rest) = &mut self.rest else {
            return self.take_header(bytes[0]);
        };
        let keep = rest.keep.min(bytes.len());
        rest.keep -= keep;
        let blank = rest.blank.min(bytes.len() - keep);
        rest.blank -= blank;
        bytes[keep..keep + blank].fill(0);
        *blanked += blank;
        if rest.keep + rest.blank == 0 {
            self.rest = None;
            self.header.clear();
        }
        keep + blank
    }

    fn take_header(&mut self, byte: u8) -> usize {
        self.header.push(byte);
        match decide(&self.header) {
            Decision::More => {}
            Decision::Encrypted => self.is_encrypted = true,
            Decision::Unknown => self.is_lost = true,
            Decision::Pdu { length, keep } => {
                let seen = self.header.len();
                let keep = keep.clamp(seen, length.max(seen));
                self.rest = Some(Rest { keep: keep - seen, blank: length.saturating_sub(keep) });
                if length <= seen {
                    self.rest = None;
                    self.header.clear();
                }
            }
        }
        1
    }
}

/// What the first bytes of a PDU say.
enum Decision {
    More,
    Encrypted,
    Unknown,
    /// Bytes of it all, and of those that stay.
    Pdu {
        length: usize,
        keep: usize,
    },
}

fn decide(header: &[u8]) -> Decision {
    match header {
        [TLS_HANDSHAKE, ..] => Decision::Encrypted,
        [TPKT, ..] => slow_path(header),
        // FastPathInputEvent and FastPathUpdate (MS-RDPBCGR 2.2.8.1.2, 2.2.9.1.2): the action is 0.
        [first, ..] if first & 3 == 0 => fast_path(header),
        _ => Decision::Unknown,
    }
}

fn slow_path(header: &[u8]) -> Decision {
    let [_, _, high, low, ..] = header else { return Decision::More };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length < TPKT_HEADER {
        return Decision::Unknown;
    }
    let whole = Decision::Pdu { length, keep: length };
    let Some(x224) = header.get(TPKT_HEADER + 1) else {
        return if header.len() >= length { whole } else { Decision::More };
    };
    if *x224 != X224_DATA {
        return whole;
    }
    let Some(choice) = header.get(DATA_HEADER) else {
        return if header.len() >= length { whole } else { Decision::More };
    };
    if !SEND_DATA.contains(&(choice >> 2)) {
        return whole;
    }
    // PER gives lengths from 128 on in two bytes.
    let Some(first) = header.get(DATA_HEADER + BEFORE_LENGTH) else {
        return if header.len() >= length.min(LONGEST_HEADER) { whole } else { Decision::More };
    };
    let length_bytes = if first & 0x80 == 0 { 1 } else { 2 };
    Decision::Pdu { length, keep: DATA_HEADER + BEFORE_LENGTH + length_bytes + SECURITY_FLAGS }
}

fn fast_path(header: &[u8]) -> Decision {
    match header {
        [_, length, ..] if length & 0x80 == 0 => Decision::Pdu { length: usize::from(*length), keep: 2 },
        [_, high, low, ..] => {
            Decision::Pdu { length: usize::from(u16::from_be_bytes([high & 0x7f, *low])), keep: 3 }
        }
        _ => Decision::More,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tpkt(payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(TPKT_HEADER + payload.len()).unwrap().to_be_bytes();
        [&[TPKT, 0, length[0], length[1]], payload].concat()
    }

    /// A PDU on channel 1003 with these user data.
    fn send_data(choice: u8, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap() | 0x8000;
        tpkt(
            &[&[2, X224_DATA, 0x80, choice << 2, 0, 1, 3, 0xeb, 0x70], &length.to_be_bytes()[..], data]
                .concat(),
        )
    }

    fn blanked(pieces: &[&[u8]], from: Side) -> Vec<u8> {
        let mut clear_text = ClearText::default();
        let mut all = Vec::new();
        for piece in pieces {
            let mut piece = piece.to_vec();
            clear_text.blank(from, &mut piece);
            all.extend(piece);
        }
        all
    }

    fn session() -> Vec<u8> {
        let request = tpkt(b"\x0e\xe0\0\0\0\0\0Cookie: mstshash=someone\r\n");
        let initial = tpkt(&[&[2, X224_DATA, 0x80, 0x7f, 0x65][..], b"client name"].concat());
        let info = send_data(25, &[&[0x40, 0, 0, 0][..], b"canary password"].concat());
        let typed = [&[4, 2 + 12][..], b"canary typed"].concat();
        [request, initial, info, typed, send_data(25, b"\x08\0\0\0canary again")].concat()
    }

    #[test]
    fn what_is_typed_is_blanked_and_every_header_stays() {
        let bytes = session();
        let after = blanked(&[&bytes], Side::Client);
        assert_eq!(after.len(), bytes.len());
        let text = String::from_utf8_lossy(&after);
        assert!(
            text.contains("mstshash=someone") && text.contains("client name") && !text.contains("canary"),
            "{text}"
        );
        let flags = after.windows(4).filter(|window| *window == [0x40, 0, 0, 0]).count();
        assert_eq!(flags, 1, "the flags of the Client Info PDU");
    }

    #[test]
    fn what_is_encrypted_stays() {
        let request = tpkt(b"\x0e\xe0\0\0\0\0\0Cookie: mstshash=someone\r\n");
        let bytes = [&request[..], b"\x16\x03\x01 anything at all"].concat();
        assert_eq!(blanked(&[&bytes], Side::Client), bytes);
    }

    #[test]
    fn behind_a_hole_and_behind_what_is_no_rdp_nothing_stays() {
        let mut clear_text = ClearText::default();
        clear_text.lost(Side::Server);
        let mut bytes = session();
        clear_text.blank(Side::Server, &mut bytes);
        assert!(bytes.iter().all(|byte| *byte == 0));
        let after = blanked(&[b"GET / canary"], Side::Client);
        assert!(after[1..].iter().all(|byte| *byte == 0), "{after:?}");
    }

    proptest! {
        #[test]
        fn in_any_pieces_the_same_is_blanked(cuts in proptest::collection::vec(1usize..40, 1..40)) {
            let bytes = session();
            let mut pieces = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = later;
                if rest.is_empty() { break }
            }
            prop_assert_eq!(blanked(&pieces, Side::Client), blanked(&[&bytes], Side::Client));
        }

        #[test]
        fn any_bytes_are_followed(bytes: Vec<u8>) {
            prop_assert_eq!(blanked(&[&bytes], Side::Client).len(), bytes.len());
        }
    }
}
