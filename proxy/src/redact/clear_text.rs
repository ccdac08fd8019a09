//! What a user types, sees and logs on with, blanked in a connection that no TLS protects.
//!
//! Standard RDP security (MS-RDPBCGR 5.3) at its level "none" leaves everything readable: the password in the Client Info PDU,
//! keys, and the screen. Headers up to the security flags stay, so that a reader still finds every PDU. Of the talk with a
//! proxy on the way everything stays but what logs on to it.

use crate::trace::Side;
use crate::wire::preconnection;
use crate::wire::proxy_talk::{Part, ProxyTalk};

/// TPKT (RFC 1006): version 3.
const TPKT: u8 = 3;
/// Bytes of a TPKT header, of the header of X.224 Data (ISO 8073) behind it, and of both.
const TPKT_HEADER: usize = 4;
const X224_DATA: u8 = 0xf0;
const DATA_HEADER: usize = 7;
/// A TLS handshake record, of whatever version: what follows is encrypted.
const TLS_HANDSHAKE: u8 = 0x16;
const TLS_MAJOR: u8 = 3;
/// The second byte of the size of a preconnection PDU (MS-RDPEPS 2.2.1), at most: as the length of a fast-path PDU it would
/// be less than its header.
const PRECONNECTION_SIZE: u8 = 2;
/// Bytes that tell a preconnection PDU.
const PRECONNECTION_HEAD: usize = 12;
/// What stands before the blob, in which gateways have tokens that log on: the last of it is its length.
const PRECONNECTION_FIXED: usize = 18;
/// DomainMCSPDU choices (T.125) whose user data is RDP: SendDataRequest and SendDataIndication.
const SEND_DATA: [u8; 2] = [25, 26];
/// Those that have none and stay: Erect Domain Request, Disconnect Provider Ultimatum, Attach User and Channel Join, asked
/// for and confirmed.
const WITHOUT_DATA: [u8; 6] = [1, 8, 10, 11, 14, 15];
/// Connect Initial and Connect Response, which are not among them, begin with this (BER, T.125 section 7).
const CONNECT: u8 = 0x7f;
/// What the last X.224 Data of a message has behind its kind; no client of RDP sends others.
const END_OF_TPDU: u8 = 0x80;
const END_OF_TPDU_AT: usize = 6;
/// Bytes from the choice to the length of the user data: choice, initiator, channel, priority.
const BEFORE_LENGTH: usize = 6;
/// Bytes of user data that stay: the flags of the basic security header (MS-RDPBCGR 2.2.8.1.1.2.1).
const SECURITY_FLAGS: usize = 4;
/// The longest header that decides what becomes of a PDU.
const LONGEST_HEADER: usize = DATA_HEADER + BEFORE_LENGTH + 2 + SECURITY_FLAGS;

/// Follows both directions of one connection. Where they do not come as they were said, the client's come first.
#[derive(Debug)]
pub struct ClearText {
    sides: [Direction; 2],
}

impl Default for ClearText {
    /// Before the first byte.
    fn default() -> ClearText {
        ClearText { sides: [ProxyTalk::of_client(), ProxyTalk::of_server()].map(Direction::new) }
    }
}

/// One direction.
#[derive(Debug)]
struct Direction {
    /// What is said to a proxy on the way, first of all.
    talk: ProxyTalk,
    is_talk_over: bool,
    /// The first bytes of the PDU under way.
    header: Vec<u8>,
    /// How the rest of it is treated, once its header is whole.
    rest: Option<Rest>,
    /// TLS began.
    is_encrypted: bool,
    /// It is no RDP, or can no longer be followed: nothing of it stays.
    is_lost: bool,
    /// A PDU was found.
    has_begun: bool,
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
        let talks_to_proxy = from == Side::Client || self.sides[Side::Client.index()].talk.has_spoken();
        let is_encrypted = self.is_encrypted();
        let side = &mut self.sides[from.index()];
        side.is_talk_over |= !talks_to_proxy;
        let mut blanked = 0;
        let mut place = side.talk_to_proxy(bytes, &mut blanked);
        if is_encrypted && !side.is_lost {
            return blanked;
        }
        while place < bytes.len() && !side.is_encrypted {
            place += side.step(&mut bytes[place..], &mut blanked);
        }
        blanked
    }

    /// Whether TLS has begun: nothing more will be blanked.
    pub fn is_encrypted(&self) -> bool {
        self.sides.iter().any(|side| side.is_encrypted)
    }

    /// How many bytes of `from` so far were said to a proxy on the way, or by it.
    pub fn said_to_proxy(&self, from: Side) -> usize {
        self.sides[from.index()].talk.length()
    }

    /// Bytes of `from` are missing: where its next PDU begins is not known.
    pub fn lost(&mut self, from: Side) {
        let is_encrypted = self.is_encrypted();
        let side = &mut self.sides[from.index()];
        (side.is_talk_over, side.has_begun) = (true, true);
        side.is_lost |= !is_encrypted;
    }
}

impl Direction {
    fn new(talk: ProxyTalk) -> Direction {
        Direction {
            talk,
            is_talk_over: false,
            header: Vec::new(),
            rest: None,
            is_encrypted: false,
            is_lost: false,
            has_begun: false,
        }
    }

    /// Takes what is said to a proxy off the front and answers how many bytes it has.
    fn talk_to_proxy(&mut self, bytes: &mut [u8], blanked: &mut usize) -> usize {
        for (place, byte) in bytes.iter_mut().enumerate() {
            let part = if self.is_talk_over { Part::Through } else { self.talk.byte(*byte) };
            match part {
                Part::Said => {}
                Part::Secret => {
                    *byte = 0;
                    *blanked += 1;
                }
                Part::Through | Part::Unknown => {
                    self.is_talk_over = true;
                    self.is_lost |= part == Part::Unknown;
                    return place;
                }
            }
        }
        bytes.len()
    }

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
        let decision = match self.has_begun {
            true => decide(&self.header),
            false => decide_first(&self.header),
        };
        match decision {
            Decision::More => {}
            Decision::Encrypted => self.is_encrypted = true,
            Decision::Unknown => self.is_lost = true,
            Decision::Pdu { length, keep } => {
                self.has_begun = true;
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

/// What nothing was before may be a preconnection PDU.
fn decide_first(header: &[u8]) -> Decision {
    match header {
        [_, 0..=PRECONNECTION_SIZE, ..] if preconnection::may_start(header) => {}
        _ => return decide(header),
    }
    match header {
        [low, high, ..] if header.len() >= PRECONNECTION_HEAD => {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            Decision::Pdu { length, keep: PRECONNECTION_FIXED }
        }
        _ => Decision::More,
    }
}

fn decide(header: &[u8]) -> Decision {
    match header {
        [TLS_HANDSHAKE] => Decision::More,
        [TLS_HANDSHAKE, TLS_MAJOR, ..] => Decision::Encrypted,
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
    if header.get(END_OF_TPDU_AT) != Some(&END_OF_TPDU) {
        return Decision::Pdu { length, keep: DATA_HEADER };
    }
    if *choice == CONNECT || WITHOUT_DATA.contains(&(choice >> 2)) {
        return whole;
    }
    if !SEND_DATA.contains(&(choice >> 2)) {
        return Decision::Pdu { length, keep: DATA_HEADER + 1 };
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

    #[test]
    fn of_the_talk_with_a_proxy_only_the_logon_is_blanked_and_what_follows_is_read() {
        let connect: &[u8] = b"CONNECT srv:3389 HTTP/1.1\r\nProxy-Authorization: Basic canary\r\n\r\n";
        let bytes = session();
        let after = blanked(&[connect, &bytes], Side::Client);
        let text = String::from_utf8_lossy(&after[..connect.len()]).replace('\0', ".");
        assert_eq!(text, "CONNECT srv:3389 HTTP/1.1\r\nProxy-Authorization: Basic ......\r\n\r\n");
        assert_eq!(after[connect.len()..], blanked(&[&bytes], Side::Client));
        let hello = b"\x16\x03\x01 hello";
        assert_eq!(blanked(&[connect, hello], Side::Client)[connect.len()..], *hello);
    }

    #[test]
    fn what_a_proxy_answers_is_followed_where_the_client_spoke_to_one() {
        let answer = b"HTTP/1.1 200 Fine\r\nX-Token: canary\r\n\r\n\x16\x03\x03 hello";
        let mut clear_text = ClearText::default();
        let mut connect = b"CONNECT srv:3389 HTTP/1.1\r\n\r\n\x16\x03\x01 hello".to_vec();
        assert_eq!(clear_text.blank(Side::Client, &mut connect), 0);
        let mut after = answer.to_vec();
        clear_text.blank(Side::Server, &mut after);
        assert!(after.ends_with(b"\x16\x03\x03 hello") && !after.windows(6).any(|it| it == b"canary"));
        assert_eq!(clear_text.said_to_proxy(Side::Server), answer.len() - b"\x16\x03\x03 hello".len());
        let alone = blanked(&[answer], Side::Server);
        assert!(!alone.windows(5).any(|it| it == b"hello" || it == b"Token"), "{alone:?}");
    }

    #[test]
    fn a_preconnection_pdu_keeps_its_length_and_what_follows_is_read() {
        let preconnection = hex::decode("180000000000000002000000000000000300410042000000").unwrap();
        let bytes = [&preconnection[..], &session()].concat();
        let after = blanked(&[&bytes], Side::Client);
        let (fixed, blob) = after[..preconnection.len()].split_at(PRECONNECTION_FIXED);
        assert_eq!(fixed, &preconnection[..PRECONNECTION_FIXED]);
        assert!(blob.iter().all(|byte| *byte == 0), "{blob:?}");
        assert_eq!(after[preconnection.len()..], blanked(&[&session()], Side::Client));
    }

    #[test]
    fn what_is_no_pdu_of_rdp_is_blanked_as_well() {
        let canary = b"CANARY of a client that nobody knows";
        let parts = tpkt(&[&[2, X224_DATA, 0, 25 << 2][..], canary].concat());
        let bare = tpkt(&[&[2, X224_DATA, END_OF_TPDU, 0x40, 0, 0, 0][..], canary].concat());
        for pdu in [parts, bare] {
            let after = blanked(&[&pdu], Side::Client);
            assert_eq!(after[..DATA_HEADER], pdu[..DATA_HEADER]);
            assert!(!after.windows(6).any(|window| window == b"CANARY"), "{after:?}");
        }
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
