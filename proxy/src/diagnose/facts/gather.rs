//! From events to facts, one event at a time.

use super::ending::names_certificate;
use super::{Attempt, Broken, CertificateFacts, Facts, Judged, OtherProtocol, Presented, Seen};
use crate::trace::{Detail, Effect, Event, Leg, Micros, Phase, RdpMessage, Side, UdpMessage};
use crate::wire::tls::Alert;

/// T.125 `Result` that means success.
const RT_SUCCESSFUL: u32 = 0;
/// AlertDescription with which a side leaves in an orderly way.
const CLOSE_NOTIFY: u8 = 0;
/// `ST_TOTAL_ABORT`: licensing, and with it the connection, ends.
const ST_TOTAL_ABORT: u32 = 1;

impl<'a> Facts<'a> {
    pub(super) fn note(&mut self, event: &'a Event) {
        if let Detail::Capture(message) = &event.detail {
            return self.note_capture(event, message);
        }
        let of_gateway = self.note_gateway(event);
        if !of_gateway {
            self.note_side(event);
            self.note_network(event);
            self.note_negotiation(event);
            self.note_tls(event);
            self.note_logon(event);
            self.note_inside(event);
        }
        match &event.detail {
            Detail::StreamEnded { how } if !of_gateway => {
                let end = event.from.map(|side| (side, *how, event.t_us));
                self.ending.first = self.ending.first.or(end);
            }
            Detail::Quiet { for_us } => self.ending.quiet = Some(Seen { t_us: event.t_us, what: *for_us }),
            Detail::ProxyClosed { reason } => self.ending.stopped = Some(reason),
            Detail::Rdp(message) => self.note_message(event, message),
            Detail::Udp(message) => self.note_udp(event.t_us, message),
            Detail::NotAltered { setting, reason } => {
                self.not_altered.push(Seen { t_us: event.t_us, what: (setting, reason) });
            }
            Detail::Malformed { structure, reason, .. } => self.note_malformed(event, structure, reason),
            Detail::Impaired { setting, effect, direction, delay_us } => {
                let ways = if direction.is_some() { 1 } else { 2 };
                self.impaired.delay_us += ways * delay_us.unwrap_or_default();
                match effect {
                    Effect::Shaped => self.impaired.shaped.push(Seen { t_us: event.t_us, what: setting }),
                    _ => self.impaired.cuts.push(Seen { t_us: event.t_us, what: (setting, *effect) }),
                }
            }
            _ => {}
        }
    }

    /// Whether the other side had left before: what is said then, as xrdp's TLS alert to a client that has gone, is
    /// no cause.
    fn is_reaction(&self, event: &Event) -> bool {
        self.ending.first.is_some_and(|(side, ..)| event.from.is_some_and(|from| from != side))
    }

    /// When a side spoke last, and how often the other had its turn. Ends and side channels are no speech.
    fn note_side(&mut self, event: &Event) {
        let is_end = matches!(event.detail, Detail::StreamEnded { .. } | Detail::Quiet { .. });
        let is_speech = event.phase != Phase::Udp && !is_end;
        if let Some(side) = event.from.filter(|_| is_speech) {
            self.turns += u32::from(self.speaker != Some(side));
            self.speaker = Some(side);
            self.last[side.index()] = Some(event.t_us);
        }
    }

    pub(super) fn note_network(&mut self, event: &'a Event) {
        let t_us = event.t_us;
        match &event.detail {
            Detail::Accepted { local, .. } => self.network.local = Some(local),
            Detail::ResolutionFailed { name, reason, .. } => {
                self.network.resolution_failed = Some(Seen { t_us, what: (name, reason) });
            }
            Detail::Connected { address, .. } => self.network.connected = Some(Seen { t_us, what: address }),
            Detail::ConnectFailed { address, error, reason, took_us } => {
                let (error, took_us) = (Some(*error), *took_us);
                self.network.attempts.push(Attempt { t_us, address, error, reason, took_us });
            }
            Detail::ConnectAbandoned { address, took_us } => {
                let (error, reason, took_us) = (None, "", *took_us);
                self.network.attempts.push(Attempt { t_us, address, error, reason, took_us });
            }
            Detail::UpstreamProxyRefused { proxy, reason, .. } => {
                self.network.upstream_refused = Some(Seen { t_us, what: (proxy, reason) });
            }
            Detail::TcpInfo(info) => match event.leg {
                Leg::Client => self.links[Side::Client.index()] = Some(*info),
                Leg::Server => self.links[Side::Server.index()] = Some(*info),
                Leg::Proxy => {}
            },
            _ => {}
        }
    }

    pub(super) fn note_negotiation(&mut self, event: &'a Event) {
        let t_us = event.t_us;
        let negotiation = &mut self.negotiation;
        match &event.detail {
            Detail::ConnectionRequest(request) => negotiation.request = Some(Seen { t_us, what: request }),
            Detail::ConnectionConfirm(confirm) => negotiation.confirm = Some(Seen { t_us, what: confirm }),
            Detail::NegotiationFailure(failure) => negotiation.failure = Some(Seen { t_us, what: failure }),
            Detail::DisconnectRequest { reason } => {
                negotiation.disconnect = Some(Seen { t_us, what: *reason })
            }
            Detail::OtherProtocol { protocol, first_bytes } => {
                if let Some(side) = event.from {
                    let what = OtherProtocol { name: protocol.as_deref(), first_bytes };
                    negotiation.other_protocol[side.index()] = Some(Seen { t_us, what });
                }
            }
            _ => {}
        }
    }

    pub(super) fn note_tls(&mut self, event: &'a Event) {
        let t_us = event.t_us;
        if event.from.is_none() {
            return self.note_our_tls(event);
        }
        match &event.detail {
            Detail::ClientHello(hello) => self.tls.client_hello = Some(Seen { t_us, what: hello }),
            Detail::HelloRetryRequest(_) => self.tls.hello_retry = true,
            Detail::ServerHello(hello) => self.tls.server_hello = Some(Seen { t_us, what: hello }),
            Detail::Certificate { chain, .. } if event.from == Some(Side::Server) => {
                self.tls.certificate = CertificateFacts::new(self, t_us, chain);
            }
            Detail::HandshakeMessage { name, .. } => {
                self.tls.server_hello_done |= name == "server_hello_done";
                if name == "certificate_request" {
                    self.tls.client_certificate_requested = Some(t_us);
                }
            }
            Detail::ClientCertificateRequested => self.tls.client_certificate_requested = Some(t_us),
            // Where TLS is terminated, the server's handshake says nothing about the client.
            Detail::HandshakeComplete if self.tls.terminated && event.leg == Leg::Server => {
                self.tls.server_leg_complete = Some(t_us);
            }
            Detail::HandshakeComplete => self.tls.complete = Some(t_us),
            Detail::Alert(alert) => {
                if let Some(side) = event.from.filter(|_| !self.is_reaction(event)) {
                    self.note_alert(t_us, side, alert);
                }
            }
            Detail::EncryptedAlert { .. } => {
                if let Some(side) = event.from {
                    self.tls.encrypted_alert[side.index()].get_or_insert(t_us);
                }
            }
            Detail::EncryptionStarted => {}
            _ => return,
        }
        let is_alert = matches!(event.detail, Detail::Alert(_) | Detail::EncryptedAlert { .. });
        if let Some(side) = event.from.filter(|_| !is_alert) {
            self.tls.last[side.index()] = Some(t_us);
        }
    }

    fn note_alert(&mut self, t_us: Micros, side: Side, alert: &'a Alert) {
        if !alert.is_fatal() {
            if side == Side::Client && alert.description == CLOSE_NOTIFY {
                self.tls.client_farewell.get_or_insert(t_us);
            }
            return;
        }
        let handshake_is_over = match side {
            Side::Client => self.tls.complete.is_some(),
            Side::Server if self.tls.opened => self.tls.complete.is_some(),
            Side::Server => self.tls.server_leg_complete.is_some(),
        };
        // Some clients look at the certificate only when the handshake is over.
        let refuses_certificate = side == Side::Client
            && names_certificate(alert.description)
            && !self.client_accepted_certificate();
        let is_late = (self.tls.terminated || self.tls.opened) && handshake_is_over && !refuses_certificate;
        let place = if is_late { &mut self.tls.late_alert } else { &mut self.tls.alert };
        place.get_or_insert(Seen { t_us, what: (side, alert) });
    }

    /// What rdpscope itself did where it terminates TLS.
    fn note_our_tls(&mut self, event: &'a Event) {
        let t_us = event.t_us;
        match &event.detail {
            Detail::ClientHello(hello) if event.leg == Leg::Server => {
                self.tls.terminated = true;
                self.tls.our_hello = Some(hello);
            }
            Detail::CertificatePresented { mode, chain, same_key, differences, .. } => {
                self.tls.terminated = true;
                let certificate = CertificateFacts::new(self, t_us, chain);
                self.tls.presented = certificate.map(|certificate| Presented {
                    mode,
                    certificate,
                    same_key: *same_key,
                    differences,
                });
            }
            Detail::LegacyTls { reason } => {
                self.tls.legacy = Some(Seen { t_us, what: (event.leg, reason) });
                // What the server refused of the usual stack is no end: the second one begins anew.
                self.tls.alert = self.tls.alert.filter(|alert| Leg::from(alert.what.0) != event.leg);
            }
            Detail::CertificateJudged { trusted, reason, name, name_matches, .. } => {
                let what = Judged {
                    trusted: *trusted,
                    reason: reason.as_deref(),
                    name,
                    name_matches: *name_matches,
                };
                self.tls.judged = Some(Seen { t_us, what });
            }
            Detail::TerminationFailed { reason, advice } => {
                self.tls.termination_failed =
                    Some(Seen { t_us, what: (event.leg, reason.as_str(), advice.as_str()) });
            }
            Detail::KeyBindingForeseen { .. } => self.tls.key_binding_foreseen = Some(t_us),
            _ => {}
        }
    }

    fn note_inside(&mut self, event: &'a Event) {
        let t_us = event.t_us;
        match &event.detail {
            Detail::CredsspTurn { turn, length } => {
                self.inside.credssp = event.from.map(|side| Seen { t_us, what: (*turn, side) });
                self.inside.credssp_length = *length;
            }
            Detail::EarlyUserAuthorizationResult { result, .. } if event.from.is_some() => {
                let what = result.as_ref().map(|result| result.value);
                self.inside.early_authorization = Some(Seen { t_us, what });
            }
            Detail::TsRequest(_) | Detail::Rdstls(_) | Detail::RdsAad(_) => {}
            Detail::SessionTraffic => self.note_active(t_us, event.inferred),
            Detail::EncryptedMessage { .. } | Detail::Rdp(_) => {}
            _ => return,
        }
        if event.from == Some(Side::Client) {
            self.inside.client_went_on.get_or_insert(t_us);
        }
        let goes_further = self.inside.furthest.is_none_or(|furthest| event.phase > furthest.what);
        if goes_further && event.phase <= Phase::Active {
            self.inside.furthest = Some(Seen { t_us, what: event.phase });
        }
    }

    fn note_active(&mut self, t_us: Micros, inferred: bool) {
        if self.inside.active.is_none() {
            self.inside.active = Some(t_us);
            self.inside.active_is_inferred = inferred;
        }
    }

    fn note_message(&mut self, event: &'a Event, message: &'a RdpMessage) {
        let t_us = event.t_us;
        let inside = &mut self.inside;
        match message {
            RdpMessage::FontMap => self.note_active(t_us, event.inferred),
            RdpMessage::SetErrorInfo(info) if info.error_info != 0 => {
                inside.error_info = Some(Seen { t_us, what: info });
            }
            RdpMessage::License(licence) => {
                let alert = licence.alert.as_ref().filter(|_| !licence.completes());
                if let Some(alert) = alert.filter(|alert| alert.state_transition.value == ST_TOTAL_ABORT) {
                    let code = &alert.error_code;
                    let what = code.name.clone().unwrap_or_else(|| format!("{:#x}", code.value));
                    inside.licence_alert = Some(Seen { t_us, what });
                }
            }
            RdpMessage::ServerRedirection(redirection) => {
                inside.redirection = Some(Seen { t_us, what: redirection });
            }
            RdpMessage::DisconnectProviderUltimatum { reason } => {
                let what = reason.name.clone().unwrap_or_else(|| reason.value.to_string());
                inside.ultimatum = event.from.map(|side| Seen { t_us, what: (side, what) });
            }
            RdpMessage::ConnectResponse(response) if response.result.value != RT_SUCCESSFUL => {
                inside.refused = Some(Seen { t_us, what: "the client's settings (MCS Connect Initial)" });
            }
            RdpMessage::AttachUserConfirm { result, .. } if result.value != RT_SUCCESSFUL => {
                inside.refused =
                    Some(Seen { t_us, what: "the user's place in the session (MCS Attach User)" });
            }
            RdpMessage::ChannelJoinConfirm { result, .. } if result.value != RT_SUCCESSFUL => {
                inside.refused =
                    Some(Seen { t_us, what: "a channel that the client needs (MCS Channel Join)" });
            }
            RdpMessage::Malformed { structure, reason, .. } => self.note_malformed(event, structure, reason),
            _ => {}
        }
    }

    fn note_malformed(&mut self, event: &Event, structure: &'a str, reason: &'a str) {
        if self.is_reaction(event) {
            return;
        }
        let what = Broken { from: event.from, phase: event.phase, structure, reason };
        self.malformed.get_or_insert(Seen { t_us: event.t_us, what });
    }

    fn note_udp(&mut self, t_us: Micros, message: &UdpMessage) {
        match message {
            UdpMessage::Syn { .. } => {
                self.udp.syn.get_or_insert(t_us);
            }
            UdpMessage::SynAck { .. } => self.udp.answered = true,
            UdpMessage::Established { .. } => {
                self.udp.established.get_or_insert(t_us);
            }
            UdpMessage::Unanswered { syn_count, waited_us } => {
                self.udp.unanswered = Some(Seen { t_us, what: (*syn_count, *waited_us) });
            }
            UdpMessage::Silence { side: Side::Server, for_us, .. } => {
                self.udp.server_silence = Some(Seen { t_us, what: *for_us });
            }
            _ => {}
        }
    }
}
