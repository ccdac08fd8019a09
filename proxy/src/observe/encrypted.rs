//! What sizes and directions of encrypted records tell about the RDP connection sequence inside TLS.
//!
//! With a cipher that keeps lengths (AEAD, RC4), the PDUs of MS-RDPBCGR 1.3.1.1 are known by their sizes: an Erect
//! Domain request has 12 bytes, an Attach User request 8, its confirm 11, a Channel Join 12 and 15. Everything said
//! here is inferred, and marked so.

use super::tls::PlaintextLength;
use crate::trace::{Detail, Phase, Side};

/// A TSRequest or Connect Initial is never smaller; what is smaller before MCS is a split record or padding.
const SMALLEST_MESSAGE: usize = 20;
/// Connect Initial: CS_CORE alone has 216 bytes in every client since RDP 5.
const SMALLEST_CONNECT_INITIAL: usize = 250;
/// Connect Response: SC_CORE, SC_SECURITY and SC_NET around the GCC envelope.
const SMALLEST_CONNECT_RESPONSE: usize = 70;
/// Client Info has a time zone of 172 bytes in every client since RDP 5.
const SMALLEST_CLIENT_INFO: usize = 100;
/// Demand Active and Confirm Active carry more than ten capability sets.
const SMALLEST_CAPABILITIES: usize = 150;
/// The License Error PDU "valid client" (MS-RDPBCGR 2.2.1.12.1.3) with one- and two-byte lengths in front.
const VALID_CLIENT: std::ops::RangeInclusive<usize> = 33..=36;
/// Synchronize, Control and Font PDUs of the finalization.
const FINALIZATION: std::ops::RangeInclusive<usize> = 35..=46;
/// Synchronize, Control cooperate, Control granted, Font Map.
const SERVER_FINALIZATION_PDUS: u32 = 4;
/// So much and it is session traffic, whatever the sizes seemed to say before.
const SESSION_VOLUME: u64 = 192 * 1024;

/// Follows the connection sequence inside TLS by sizes.
#[derive(Debug)]
pub struct EncryptedObserver {
    state: State,
    volume: u64,
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
    Channels,
    Licensing,
    DemandActive,
    ConfirmActive,
    Finalization {
        from_server: u32,
    },
    /// Protocols that are not followed by size.
    Unfollowed,
    Active,
}

impl EncryptedObserver {
    /// A session in which the server selected `protocol` (RDP_NEG_RSP.selectedProtocol).
    pub fn new(protocol: u32) -> EncryptedObserver {
        let state = match protocol {
            1 => State::ConnectInitial,
            2 => State::Credssp { turn: 0, last: None, with_authorization: false },
            8 => State::Credssp { turn: 0, last: None, with_authorization: true },
            _ => State::Unfollowed,
        };
        EncryptedObserver { state, volume: 0 }
    }

    /// The desktop is there, or so much was sent that it must be.
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// One record of application data.
    pub fn record(&mut self, from: Side, length: PlaintextLength, say: &mut impl FnMut(Phase, Detail)) {
        if self.state == State::Active {
            return;
        }
        self.volume += length.max as u64;
        if self.volume > SESSION_VOLUME {
            return self.activate(say);
        }
        match self.state {
            State::Credssp { .. } => self.credssp(from, length, say),
            State::ConnectInitial if from == Side::Client && length.max >= SMALLEST_CONNECT_INITIAL => {
                self.message(State::ConnectResponse, Phase::Mcs, "connect_initial", length, say);
            }
            State::ConnectResponse if from == Side::Server && length.max >= SMALLEST_CONNECT_RESPONSE => {
                self.message(State::Channels, Phase::Mcs, "connect_response", length, say);
            }
            State::Channels => self.channels(from, length, say),
            State::Licensing | State::DemandActive if from == Side::Server => self.licensing(length, say),
            State::ConfirmActive if from == Side::Client && length.max >= SMALLEST_CAPABILITIES => {
                let next = State::Finalization { from_server: 0 };
                self.message(next, Phase::Capabilities, "confirm_active", length, say);
            }
            State::Finalization { from_server } => self.finalization(from, from_server, length, say),
            _ => {}
        }
    }

    fn credssp(&mut self, from: Side, length: PlaintextLength, say: &mut impl FnMut(Phase, Detail)) {
        let State::Credssp { turn, last, with_authorization } = self.state else { return };
        if with_authorization && from == Side::Server && turn >= 3 && length.may_be(4) {
            self.state = State::ConnectInitial;
            return say(Phase::Credssp, Detail::EarlyUserAuthorizationResult { length: length.max });
        }
        // Before the client's first message there are only session tickets.
        let too_early = turn == 0 && from == Side::Server;
        if too_early || length.max < SMALLEST_MESSAGE {
            return;
        }
        let follows_itself = last == Some(Side::Client) && from == Side::Client;
        if follows_itself && turn >= 3 && length.max >= SMALLEST_CONNECT_INITIAL {
            return self.message(State::ConnectResponse, Phase::Mcs, "connect_initial", length, say);
        }
        if last == Some(from) {
            return;
        }
        self.state = State::Credssp { turn: turn + 1, last: Some(from), with_authorization };
        say(Phase::Credssp, Detail::CredsspTurn { turn: turn + 1, length: length.max });
    }

    fn channels(&mut self, from: Side, length: PlaintextLength, say: &mut impl FnMut(Phase, Detail)) {
        let fitting: &[(usize, &str)] = match from {
            Side::Client => &[(12, "erect_domain_or_channel_join_request"), (8, "attach_user_request")],
            Side::Server => &[(11, "attach_user_confirm"), (15, "channel_join_confirm")],
        };
        if let Some((_, name)) = fitting.iter().find(|(size, _)| length.may_be(*size)) {
            return self.message(State::Channels, Phase::Channels, name, length, say);
        }
        if from == Side::Client && length.max >= SMALLEST_CLIENT_INFO {
            self.message(State::Licensing, Phase::Info, "client_info", length, say);
        }
    }

    fn licensing(&mut self, length: PlaintextLength, say: &mut impl FnMut(Phase, Detail)) {
        let is_valid_client = VALID_CLIENT.clone().any(|size| length.may_be(size));
        if self.state == State::Licensing && is_valid_client {
            self.message(State::DemandActive, Phase::Licensing, "license_valid_client", length, say);
        } else if length.max >= SMALLEST_CAPABILITIES {
            // A licence request looks the same; the answers to both are told apart by what follows.
            self.message(State::ConfirmActive, Phase::Capabilities, "demand_active", length, say);
        }
    }

    fn finalization(
        &mut self,
        from: Side,
        from_server: u32,
        length: PlaintextLength,
        say: &mut impl FnMut(Phase, Detail),
    ) {
        let fits = FINALIZATION.clone().any(|size| length.may_be(size));
        match from {
            Side::Server if fits && from_server + 1 < SERVER_FINALIZATION_PDUS => {
                let next = State::Finalization { from_server: from_server + 1 };
                self.message(next, Phase::Finalization, "server_finalization", length, say);
            }
            Side::Server if fits || from_server > 0 => {
                if fits {
                    self.message(State::Active, Phase::Finalization, "server_finalization", length, say);
                }
                self.activate(say);
            }
            Side::Client if fits => {
                self.message(self.state, Phase::Finalization, "client_finalization", length, say)
            }
            _ => {}
        }
    }

    fn activate(&mut self, say: &mut impl FnMut(Phase, Detail)) {
        self.state = State::Active;
        say(Phase::Active, Detail::SessionTraffic);
    }

    fn message(
        &mut self,
        next: State,
        phase: Phase,
        name: &str,
        length: PlaintextLength,
        say: &mut impl FnMut(Phase, Detail),
    ) {
        self.state = next;
        say(phase, Detail::EncryptedMessage { name: name.to_owned(), length: length.max });
    }
}
