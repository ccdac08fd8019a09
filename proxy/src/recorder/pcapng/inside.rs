//! What is inside TLS, message by message, as Wireshark exports messages of upper layers. Wireshark takes RDP's usual port
//! for TPKT alone and finds no RDP inside TLS on another; these packets name what they hold, and need no setting.

use super::session::SessionCapture;
use crate::trace::Side;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// The longest message that is waited for: a TSRequest with a Kerberos ticket has some 20 KiB, and a TPKT has 64 KiB.
const LONGEST_MESSAGE: usize = 128 * 1024;

/// Tags of Wireshark's exported PDUs: name of the dissector, addresses, kind and numbers of the ports.
const TAG_END: u16 = 0;
const TAG_DISSECTOR: u16 = 12;
const TAG_IPV4_SOURCE: u16 = 20;
const TAG_IPV4_DESTINATION: u16 = 21;
const TAG_IPV6_SOURCE: u16 = 22;
const TAG_IPV6_DESTINATION: u16 = 23;
const TAG_PORT_TYPE: u16 = 24;
const TAG_SOURCE_PORT: u16 = 25;
const TAG_DESTINATION_PORT: u16 = 26;
/// TCP, as a kind of port.
const PORT_TYPE_TCP: u32 = 2;

/// Cuts what both sides say inside TLS into messages.
pub(crate) struct InsideCapture {
    session: Arc<SessionCapture>,
    /// Client and server as the messages name them.
    ends: [SocketAddr; 2],
    /// What is not a whole message yet, by the side that said it.
    rest: [Vec<u8>; 2],
}

/// A message: the name of its dissector in Wireshark, and its length.
type Message = (&'static str, usize);

impl InsideCapture {
    /// Nothing said yet.
    pub(crate) fn new(session: Arc<SessionCapture>, client: SocketAddr, server: SocketAddr) -> InsideCapture {
        InsideCapture { session, ends: [client, server], rest: Default::default() }
    }

    /// `from` said `bytes`.
    pub(crate) fn said(&mut self, at: Instant, from: Side, bytes: &[u8]) {
        let mut rest = std::mem::take(&mut self.rest[from.index()]);
        // What is whole is not copied.
        if rest.is_empty() {
            let taken = self.messages(at, from, bytes);
            rest.extend_from_slice(&bytes[taken..]);
        } else {
            rest.extend_from_slice(bytes);
            let taken = self.messages(at, from, &rest);
            rest.drain(..taken);
        }
        self.rest[from.index()] = rest;
    }

    /// Tells of every whole message, and answers how many bytes they have.
    fn messages(&self, at: Instant, from: Side, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            match message(rest) {
                Some((_, length)) if length > rest.len() => break,
                Some((dissector, length)) => {
                    self.export(at, from, dissector, &rest[..length]);
                    taken += length;
                }
                None if rest.len() < 2 => break,
                None => {
                    self.export(at, from, "data", rest);
                    return bytes.len();
                }
            }
        }
        taken
    }

    fn export(&self, at: Instant, from: Side, dissector: &str, message: &[u8]) {
        let (source, destination) = (self.ends[from.index()], self.ends[from.opposite().index()]);
        let mut packet = header(dissector, source, destination);
        packet.extend_from_slice(message);
        self.session.inside(at, from, (source, destination), &packet);
    }
}

/// The message that `bytes` begin with; nothing where that cannot be told.
fn message(bytes: &[u8]) -> Option<Message> {
    let (dissector, length) = match *bytes {
        // TPKT (RFC 1006 section 6).
        [3, 0, high, low, ..] => ("tpkt", usize::from(u16::from_be_bytes([high, low]))),
        // TSRequest, a SEQUENCE (MS-CSSP 2.2.1).
        [0x30, short @ 0..=0x7f, ..] => ("credssp", 2 + usize::from(short)),
        [0x30, 0x81, length, ..] => ("credssp", 3 + usize::from(length)),
        [0x30, 0x82, high, low, ..] => ("credssp", 4 + usize::from(u16::from_be_bytes([high, low]))),
        [3 | 0x30, ..] if bytes.len() < 4 => return Some(("data", bytes.len() + 1)),
        // Fast-path (MS-RDPBCGR 2.2.9.1.2): the action is 0, the length has one or two bytes.
        [head, high @ 0x80..=0xff, low, ..] if head & 3 == 0 => {
            ("tpkt", usize::from(u16::from_be_bytes([high & 0x7f, low])))
        }
        [head, 0x80..=0xff] if head & 3 == 0 => return Some(("data", 3)),
        [head, short, ..] if head & 3 == 0 => ("tpkt", usize::from(short)),
        _ => return None,
    };
    (3..=LONGEST_MESSAGE).contains(&length).then_some((dissector, length))
}

/// Tags before the message (Wireshark, `exported_pdu_tlvs.h`).
fn header(dissector: &str, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut header = Vec::new();
    let mut tag = |kind: u16, value: &[u8]| {
        header.extend_from_slice(&kind.to_be_bytes());
        header.extend_from_slice(&(value.len() as u16).to_be_bytes());
        header.extend_from_slice(value);
    };
    let mut name = dissector.as_bytes().to_vec();
    // It ends with a zero, and tags are aligned.
    name.resize((name.len() + 1).next_multiple_of(4), 0);
    tag(TAG_DISSECTOR, &name);
    for (address, [of_ipv4, of_ipv6]) in [
        (source, [TAG_IPV4_SOURCE, TAG_IPV6_SOURCE]),
        (destination, [TAG_IPV4_DESTINATION, TAG_IPV6_DESTINATION]),
    ] {
        match address.ip() {
            IpAddr::V4(ip) => tag(of_ipv4, &ip.octets()),
            IpAddr::V6(ip) => tag(of_ipv6, &ip.octets()),
        }
    }
    tag(TAG_PORT_TYPE, &PORT_TYPE_TCP.to_be_bytes());
    tag(TAG_SOURCE_PORT, &u32::from(source.port()).to_be_bytes());
    tag(TAG_DESTINATION_PORT, &u32::from(destination.port()).to_be_bytes());
    tag(TAG_END, &[]);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_by_their_first_bytes() {
        assert_eq!(message(&[3, 0, 0, 19, 14]), Some(("tpkt", 19)));
        assert_eq!(message(&[0x30, 0x82, 1, 0, 0xa0]), Some(("credssp", 260)));
        assert_eq!(message(&[0x30, 0x37, 0xa0, 3]), Some(("credssp", 57)));
        assert_eq!(message(&[0, 0x81, 0x10, 0]), Some(("tpkt", 272)));
        assert_eq!(message(&[4, 8, 0, 0]), Some(("tpkt", 8)));
        assert_eq!(message(&[3, 0]), Some(("data", 3)), "more is needed");
        assert_eq!(message(&[0, 0, 0, 0]), None, "an early user authorization result");
        assert_eq!(message(b"GET / HTTP"), None);
    }
}
