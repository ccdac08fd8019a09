//! What sizes and directions of encrypted records tell about the RDP connection sequence inside TLS.
//!
//! Peers send one PDU a record, and most ciphers keep lengths, so the PDUs of MS-RDPBCGR 1.3.1.1 are known by theirs.
//! The lengths here are those of the whole PDU: TPKT, X.224 and MCS headers have 14 bytes, or 15 where the sender
//! writes the MCS length in two bytes. Everything said is inferred, and marked so; what could be two things is kept
//! back until the next record decides, or for ever.

use super::tls::PlaintextLength;
use crate::trace::{Detail, Event, Micros, Phase, Side};

/// A TSRequest with nothing but a version and an error code (MS-CSSP 2.2.1).
const SMALLEST_TSREQUEST: usize = 15;
/// Early User Authorization Result PDU (MS-RDPBCGR 2.2.10.2).
const EARLY_USER_AUTHORIZATION_RESULT: usize = 4;
/// No CredSSP comes to its end with fewer messages: token, token, credentials.
const FEWEST_TURNS: u32 = 3;
/// Connect Initial: CS_CORE alone has 216 bytes in every client since RDP 5.
const SMALLEST_CONNECT_INITIAL: usize = 250;
/// Connect Response: SC_CORE, SC_SECURITY and SC_NET around the GCC envelope.
const SMALLEST_CONNECT_RESPONSE: usize = 70;
/// Erect Domain Request and Channel Join Request.
const ERECT_OR_JOIN: usize = 12;
/// Attach User Request.
const ATTACH_USER_REQUEST: usize = 8;
/// Attach User Confirm.
const ATTACH_USER_CONFIRM: usize = 11;
/// Channel Join Confirm.
const CHANNEL_JOIN_CONFIRM: usize = 15;
/// Client Info has a time zone of 172 bytes in every client since RDP 5.
const SMALLEST_CLIENT_INFO: usize = 100;
/// Demand Active and Confirm Active carry more than ten capability sets; licence requests and their answers a random
/// and a certificate or a key.
const SMALLEST_LARGE: usize = 150;
/// License Error PDU with an empty blob, as it says "valid client" (MS-RDPBCGR 2.2.1.12.1.3).
const LICENSE_ERROR: [usize; 2] = [34, 35];
/// Synchronize PDU.
const SYNCHRONIZE: [usize; 2] = [36, 37];
/// Control PDU, Font List PDU, Font Map PDU.
const CONTROL_OR_FONT: [usize; 2] = [40, 41];
/// What the client finalizes with; a Persistent Key List in between has other sizes (MS-RDPBCGR 1.3.1.1, phase 10).
const CLIENT_FINALIZATION: [&str; 4] = ["synchronize", "control", "control", "font_list"];
/// The server's answers.
const SERVER_FINALIZATION: [&str; 4] = ["synchronize", "control", "control", "font_map"];
/// So much and it is session traffic, whatever the sizes seemed to say before: connecting takes some ten thousand
/// bytes. The proxy stops to look at records here, so it is also what an unknown protocol costs.
const SESSION_VOLUME: u64 = 192 * 1024;

/// Follows the connection sequence inside TLS by sizes.
#[derive(Debug)]
pub struct EncryptedObserver {
    state: State,
    volume: u64,
    client_records: u32,
    /// The size of the session tickets (RFC 8446 4.6.1) that came before the client's first record.
    ticket: Option<usize>,
    /// The answer to the client's first record, if it is not a ticket.
    first_answer: Option<Seen>,
    /// Large PDUs of server and client that are the licence exchange or the capability exchange.
    large: [Option<Seen>; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// CredSSP: messages alternate, the client begins.
    Credssp {
        turn: u32,
        last: Option<Side>,
        with_authorization: bool,
    },
    ConnectInitial,
    ConnectResponse,
    Channels {
        attached: bool,
    },
    /// Licensing, or network auto-detection before it.
    Licensing,
    DemandActive,
    ConfirmActive,
    /// PDUs so far of client and server.
    Finalization {
        pdus: [usize; 2],
    },
    /// RDP that is not followed by size.
    Unfollowed,
    /// Not known to be RDP.
    Unknown,
    /// Nothing more to tell.
    Done,
}

/// One record of application data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub t_us: Micros,
    /// Who sent it.
    pub from: Side,
    /// Its plaintext.
    pub length: PlaintextLength,
}

impl Seen {
    fn is_one_of(self, lengths: &[usize]) -> bool {
        lengths.iter().any(|length| self.length.may_be(*length))
    }

    fn is_at_least(self, length: usize) -> bool {
        self.length.max >= length
    }

    fn event(self, phase: Phase, detail: Detail) -> Event {
        Event {
            t_us: self.t_us,
            leg: self.from.into(),
            from: Some(self.from),
            connection: None,
            phase,
            inferred: true,
            detail,
        }
    }

    fn message(self, phase: Phase, name: &str) -> Event {
        self.event(phase, Detail::EncryptedMessage { name: name.to_owned(), length: self.length.max })
    }
}

impl EncryptedObserver {
    /// A session in which the server selected `protocol` (RDP_NEG_RSP.selectedProtocol), or TLS of which nobody said
    /// that RDP is inside.
    pub fn new(protocol: Option<u32>) -> EncryptedObserver {
        let state = match protocol {
            Some(1) => State::ConnectInitial,
            Some(2) => State::Credssp { turn: 0, last: None, with_authorization: false },
            Some(8) => State::Credssp { turn: 0, last: None, with_authorization: true },
            Some(_) => State::Unfollowed,
            None => State::Unknown,
        };
        EncryptedObserver {
            state,
            volume: 0,
            client_records: 0,
            ticket: None,
            first_answer: None,
            large: [None; 2],
        }
    }

    /// The desktop is there, or so much was sent that nothing more can be told.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// One record of application data; `may_be_ticket` where post-handshake messages look the same (TLS 1.3).
    pub fn record(&mut self, seen: Seen, may_be_ticket: bool, out: &mut Vec<Event>) {
        if self.state == State::Done {
            return;
        }
        self.volume += seen.length.max as u64;
        if self.volume > SESSION_VOLUME {
            return self.enough(seen, out);
        }
        match seen.from {
            Side::Server if may_be_ticket && self.keep_back(seen) => {}
            Side::Server => self.follow(seen, out),
            Side::Client => {
                self.client_records = self.client_records.saturating_add(1);
                if let Some(answer) = self.first_answer.take() {
                    self.follow(answer, out);
                }
                self.follow(seen, out);
            }
        }
    }

    /// Tickets come before the answer to the client's first record, and all of them in one size. Without one to compare
    /// with, the last record before the client goes on is the answer.
    fn keep_back(&mut self, seen: Seen) -> bool {
        match (self.client_records, self.ticket) {
            (0, _) => self.ticket = Some(seen.length.max),
            (1, Some(ticket)) if ticket != seen.length.max => {
                self.first_answer = None;
                return false;
            }
            (1, _) => self.first_answer = Some(seen),
            _ => return false,
        }
        true
    }

    fn follow(&mut self, seen: Seen, out: &mut Vec<Event>) {
        let (next, event) = match (self.state, seen.from) {
            (State::Credssp { .. }, _) => return self.credssp(seen, out),
            (State::ConnectInitial, Side::Client) if seen.is_at_least(SMALLEST_CONNECT_INITIAL) => {
                (State::ConnectResponse, seen.message(Phase::Mcs, "connect_initial"))
            }
            (State::ConnectResponse, Side::Server) if seen.is_at_least(SMALLEST_CONNECT_RESPONSE) => {
                (State::Channels { attached: false }, seen.message(Phase::Mcs, "connect_response"))
            }
            (State::Channels { attached }, _) => return self.channels(attached, seen, out),
            (State::Licensing, _) => return self.licensing(seen, out),
            (State::DemandActive, Side::Server) if seen.is_at_least(SMALLEST_LARGE) => {
                (State::ConfirmActive, seen.message(Phase::Capabilities, "demand_active"))
            }
            (State::ConfirmActive, Side::Client) if seen.is_at_least(SMALLEST_LARGE) => {
                (State::Finalization { pdus: [0; 2] }, seen.message(Phase::Capabilities, "confirm_active"))
            }
            (State::Finalization { pdus }, _) => return self.finalization(pdus, seen, out),
            _ => return,
        };
        self.state = next;
        out.push(event);
    }

    fn credssp(&mut self, seen: Seen, out: &mut Vec<Event>) {
        let State::Credssp { turn, last, with_authorization } = self.state else { return };
        let complete = turn >= FEWEST_TURNS && last == Some(Side::Client);
        match seen.from {
            Side::Server
                if complete && with_authorization && seen.is_one_of(&[EARLY_USER_AUTHORIZATION_RESULT]) =>
            {
                self.state = State::ConnectInitial;
                let length = seen.length.max;
                // The padding of some suites makes a record of a TSRequest that holds nothing but a status as long.
                let detail = match seen.is_at_least(SMALLEST_TSREQUEST) {
                    true => Detail::CredsspTurn { turn: turn + 1, length },
                    false => Detail::EarlyUserAuthorizationResult { length, result: None },
                };
                return out.push(seen.event(Phase::Credssp, detail));
            }
            Side::Client if complete && seen.is_at_least(SMALLEST_CONNECT_INITIAL) => {
                self.state = State::ConnectResponse;
                return out.push(seen.message(Phase::Mcs, "connect_initial"));
            }
            _ => {}
        }
        let too_early = turn == 0 && seen.from == Side::Server;
        if too_early || last == Some(seen.from) || !seen.is_at_least(SMALLEST_TSREQUEST) {
            return;
        }
        self.state = State::Credssp { turn: turn + 1, last: Some(seen.from), with_authorization };
        let detail = Detail::CredsspTurn { turn: turn + 1, length: seen.length.max };
        out.push(seen.event(Phase::Credssp, detail));
    }

    fn channels(&mut self, attached: bool, seen: Seen, out: &mut Vec<Event>) {
        let is = |length: usize| seen.is_one_of(&[length]);
        let name = match seen.from {
            Side::Client if is(ERECT_OR_JOIN) && !attached => "erect_domain_request",
            Side::Client if is(ERECT_OR_JOIN) => "channel_join_request",
            Side::Client if is(ATTACH_USER_REQUEST) => {
                self.state = State::Channels { attached: true };
                "attach_user_request"
            }
            Side::Client if seen.is_at_least(SMALLEST_CLIENT_INFO) => {
                self.state = State::Licensing;
                return out.push(seen.message(Phase::Info, "client_info"));
            }
            Side::Server if is(ATTACH_USER_CONFIRM) => "attach_user_confirm",
            Side::Server if is(CHANNEL_JOIN_CONFIRM) => "channel_join_confirm",
            _ => return,
        };
        out.push(seen.message(Phase::Channels, name));
    }

    /// A licence request and its answer look like Demand Active and Confirm Active; but a client that has confirmed goes
    /// on at once, and one that has answered waits for the server.
    fn licensing(&mut self, seen: Seen, out: &mut Vec<Event>) {
        match (seen.from, self.large) {
            (Side::Server, _) => {
                if let [Some(request), Some(answer)] = std::mem::take(&mut self.large) {
                    out.push(request.message(Phase::Licensing, "license_request"));
                    out.push(answer.message(Phase::Licensing, "license_answer"));
                }
                if seen.is_one_of(&LICENSE_ERROR) {
                    self.state = State::DemandActive;
                    out.push(seen.message(Phase::Licensing, "license_valid_client"));
                } else if seen.is_at_least(SMALLEST_LARGE) {
                    self.large = [Some(seen), None];
                }
            }
            (Side::Client, [Some(_), None]) if seen.is_at_least(SMALLEST_LARGE) => {
                self.large[1] = Some(seen);
            }
            (Side::Client, [Some(demand), Some(confirm)]) if seen.is_one_of(&SYNCHRONIZE) => {
                self.large = [None; 2];
                out.push(demand.message(Phase::Capabilities, "demand_active"));
                out.push(confirm.message(Phase::Capabilities, "confirm_active"));
                self.state = State::Finalization { pdus: [0; 2] };
                self.follow(seen, out);
            }
            _ => {}
        }
    }

    /// The server's Font Map ends it.
    fn finalization(&mut self, mut pdus: [usize; 2], seen: Seen, out: &mut Vec<Event>) {
        let names = match seen.from {
            Side::Client => CLIENT_FINALIZATION,
            Side::Server => SERVER_FINALIZATION,
        };
        let sent = &mut pdus[seen.from.index()];
        let sizes = if *sent == 0 { SYNCHRONIZE } else { CONTROL_OR_FONT };
        let Some(name) = names.get(*sent).filter(|_| seen.is_one_of(&sizes)) else { return };
        *sent += 1;
        self.state = State::Finalization { pdus };
        out.push(seen.message(Phase::Finalization, name));
        if pdus[Side::Server.index()] == SERVER_FINALIZATION.len() {
            self.activate(seen, out);
        }
    }

    fn enough(&mut self, seen: Seen, out: &mut Vec<Event>) {
        if self.state == State::Unknown {
            self.state = State::Done;
        } else {
            self.activate(seen, out);
        }
    }

    fn activate(&mut self, seen: Seen, out: &mut Vec<Event>) {
        self.state = State::Done;
        out.push(seen.event(Phase::Active, Detail::SessionTraffic));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSL: Option<u32> = Some(1);
    const HYBRID: Option<u32> = Some(2);
    const HYBRID_EX: Option<u32> = Some(8);
    /// Bytes of a session ticket of OpenSSL.
    const TICKET: usize = 233;
    const FINALIZATION: [i64; 8] = [36, 40, 40, 40, -36, -40, -40, -40];

    /// The names of what is inferred from lengths; positive ones are the client's, negative ones the server's.
    fn names(protocol: Option<u32>, may_be_ticket: bool, lengths: &[i64]) -> Vec<String> {
        let mut observer = EncryptedObserver::new(protocol);
        let mut out = Vec::new();
        for (t_us, length) in (0..).zip(lengths) {
            let from = if *length > 0 { Side::Client } else { Side::Server };
            let bytes = length.unsigned_abs() as usize;
            let length = PlaintextLength { min: bytes, max: bytes };
            observer.record(Seen { t_us, from, length }, may_be_ticket, &mut out);
        }
        assert!(out.is_sorted_by_key(|event| event.t_us) && out.iter().all(|event| event.inferred));
        out.into_iter().map(|event| name(event.detail)).collect()
    }

    fn name(detail: Detail) -> String {
        match detail {
            Detail::CredsspTurn { turn, length } => format!("turn {turn}: {length}"),
            Detail::EarlyUserAuthorizationResult { .. } => "authorized".to_owned(),
            Detail::EncryptedMessage { name, .. } => name,
            Detail::SessionTraffic => "active".to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn followed_by(connected: &[i64], more: &[i64]) -> Vec<i64> {
        [connected, more].concat()
    }

    /// Up to Client Info, with no channel to join.
    const CONNECTED: [i64; 6] = [462, -126, 12, 8, -11, 400];

    #[test]
    fn tickets_are_neither_turns_nor_a_connect_response() {
        let ticket = -(TICKET as i64);
        for lengths in [
            [ticket, ticket, 93, -162, 427].as_slice(),
            &[ticket, 93, ticket, -162, 427],
            &[93, ticket, ticket, -162, 427],
            &[ticket, 93, ticket, ticket, 427],
        ] {
            let turns = names(HYBRID, true, lengths);
            let answer = if lengths.contains(&-162) { 162 } else { TICKET };
            assert_eq!(
                turns,
                ["turn 1: 93".to_owned(), format!("turn 2: {answer}"), "turn 3: 427".to_owned()]
            );
        }
        assert_eq!(names(SSL, true, &[462, ticket, ticket]), ["connect_initial"]);
        assert_eq!(names(SSL, true, &[ticket, 462, -126]), ["connect_initial", "connect_response"]);
        assert_eq!(names(SSL, false, &[462, -126]), ["connect_initial", "connect_response"]);
    }

    #[test]
    fn credssp_ends_with_the_credentials_or_the_authorization_that_follows_them() {
        let plain = names(HYBRID, false, &[57, -295, 671, -59, 153, 467]);
        assert_eq!(plain[4..], ["turn 5: 153", "connect_initial"]);
        let extended = names(HYBRID_EX, false, &[57, -295, 671, -59, 153, -4, 467]);
        assert_eq!(extended[4..], ["turn 5: 153", "authorized", "connect_initial"]);
        let refused = names(HYBRID_EX, false, &[57, -295, 671, -15]);
        assert_eq!(refused[3..], ["turn 4: 15"]);
    }

    #[test]
    fn a_record_that_may_hold_a_status_is_no_authorization() {
        let mut observer = EncryptedObserver::new(HYBRID_EX);
        let mut out = Vec::new();
        // What a record of 48 bytes may hold under AES-CBC with SHA-256: 0 to 15 bytes.
        let padded = PlaintextLength { min: 0, max: SMALLEST_TSREQUEST };
        let of = |bytes: usize| PlaintextLength { min: bytes, max: bytes };
        let (client, server) = (Side::Client, Side::Server);
        let records =
            [(client, of(57)), (server, of(295)), (client, of(671)), (server, padded), (client, of(467))];
        for (t_us, (from, length)) in (0..).zip(records) {
            observer.record(Seen { t_us, from, length }, false, &mut out);
        }
        let told: Vec<String> = out.into_iter().map(|event| name(event.detail)).collect();
        assert_eq!(told[3..], ["turn 4: 15", "connect_initial"], "either way the session is followed");
    }

    #[test]
    fn a_licence_exchange_is_not_a_capability_exchange() {
        let exchange = [-2219, 32, 352, -56, 84, -34, -472, 679];
        let told = names(SSL, false, &followed_by(&CONNECTED, &followed_by(&exchange, &FINALIZATION)));
        let licensing = ["license_request", "license_answer", "license_valid_client"];
        assert_eq!(told[6..9], licensing);
        assert_eq!(told[9..11], ["demand_active", "confirm_active"]);
        assert_eq!(told[18..], ["font_map", "active"]);
        // A new licence instead of the word that none is needed.
        let exchange = [-2219, 352, -56, 84, -3000, -472, 679];
        let told = names(SSL, false, &followed_by(&CONNECTED, &followed_by(&exchange, &FINALIZATION)));
        assert_eq!(told[6..10], ["license_request", "license_answer", "demand_active", "confirm_active"]);
        assert_eq!(told.last().map(String::as_str), Some("active"));
    }

    #[test]
    fn only_the_font_map_or_volume_makes_a_session_active() {
        let almost = followed_by(&[-34, -472, 679], &[36, 40, 40, 40, -36, -40, -40, -36, -9]);
        let told = names(SSL, false, &followed_by(&CONNECTED, &almost));
        assert_eq!(told.last().map(String::as_str), Some("control"), "an error info has 36 bytes");
        let volume = vec![-16_384; 13];
        assert_eq!(names(Some(4), true, &volume), ["active"]);
        assert!(names(None, true, &volume).is_empty(), "nobody said that it is RDP");
    }
}
