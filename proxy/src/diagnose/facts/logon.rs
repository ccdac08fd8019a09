//! What was said before MCS to log the user on: CredSSP, RDSTLS, RDS-AAD.

use super::{Facts, Seen};
use crate::trace::{Detail, Event, Leg, Micros, Record, Side};
use crate::wire::credssp::kerberos::KerberosToken;
use crate::wire::credssp::ntlm::{NtlmChallenge, NtlmMessage};
use crate::wire::credssp::{MechanismToken, NegoToken, TsRequest};
use crate::wire::named::Code;
use crate::wire::rdsaad::RdsAadPdu;
use crate::wire::rdstls::RdstlsPdu;

/// negState with which a side wants none of the mechanisms.
const REJECT: &str = "reject";

/// The logon at the server, by the client or, where rdpscope terminates NLA, by rdpscope in its place.
#[derive(Debug, Default)]
pub(crate) struct Logon<'a> {
    /// rdpscope logs on by itself: each leg has an exchange of its own.
    pub(crate) terminated: bool,
    /// The leg on which rdpscope's own exchange failed first, and why.
    pub(crate) own_failed: Option<Seen<(Leg, &'a str)>>,
    /// Who sent the last message.
    pub(crate) last: Option<Seen<Side>>,
    /// The server's refusal.
    pub(crate) status: Option<Seen<Status<'a>>>,
    /// CredSSP versions, by [`Side::index`].
    pub(crate) versions: [Option<u32>; 2],
    /// Mechanisms that the client offers, in its order.
    pub(crate) offered: &'a [String],
    /// When the client sent a token of NTLM.
    pub(crate) ntlm: Option<Micros>,
    /// When the client sent a ticket.
    pub(crate) kerberos: Option<Micros>,
    /// What the server says of itself in NTLM.
    pub(crate) challenge: Option<Seen<&'a NtlmChallenge>>,
    /// KRB-ERROR.error-code.
    pub(crate) kerberos_error: Option<Seen<u32>>,
    /// The server wanted none of the offered mechanisms.
    pub(crate) rejected: Option<Micros>,
    /// When a side sent pubKeyAuth, by [`Side::index`].
    pub(crate) key_bound: [Option<Micros>; 2],
    /// When the credentials themselves were sent.
    pub(crate) credentials_sent: Option<Micros>,
    /// The service that the client itself means to reach, `TERMSRV/name`.
    pub(crate) service: Option<Seen<&'a str>>,
}

/// A number with which the server refuses a logon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Status<'a> {
    /// NTSTATUS, HRESULT or Win32 error.
    pub(crate) code: u32,
    /// Its name, where the decoder knows one.
    pub(crate) name: Option<&'a str>,
    /// The field it stands in, with its structure.
    pub(crate) field: &'static str,
}

impl<'a> Logon<'a> {
    pub(super) fn new(record: &'a Record) -> Logon<'a> {
        let is_own = |event: &Event| match event.detail {
            Detail::TsRequest(_) => event.from.is_none(),
            Detail::CredsspTerminated { .. } => true,
            _ => false,
        };
        Logon { terminated: record.events.iter().any(is_own), ..Logon::default() }
    }

    /// Whether CredSSP can be read.
    pub(crate) fn is_visible(&self) -> bool {
        self.last.is_some()
    }

    fn message(&mut self, t_us: Micros, from: Side, message: &'a TsRequest) {
        self.last = Some(Seen { t_us, what: from });
        self.versions[from.index()].get_or_insert(message.version);
        if message.pub_key_auth_length.is_some() {
            self.key_bound[from.index()].get_or_insert(t_us);
        }
        if message.auth_info_length.is_some() {
            self.credentials_sent.get_or_insert(t_us);
        }
        message.nego_tokens.iter().for_each(|token| self.token(t_us, from, token));
        if from == Side::Server {
            self.refusal(t_us, message.error_code.as_ref(), "TSRequest.errorCode");
        }
    }

    fn token(&mut self, t_us: Micros, from: Side, token: &'a NegoToken) {
        if let Some(spnego) = &token.spnego {
            if from == Side::Client && !spnego.mechanisms.is_empty() {
                self.offered = &spnego.mechanisms;
            }
            if from == Side::Server && spnego.state.as_deref() == Some(REJECT) {
                self.rejected.get_or_insert(t_us);
            }
        }
        match &token.mechanism {
            Some(MechanismToken::Kerberos(KerberosToken::Error { code })) => {
                self.kerberos_error.get_or_insert(Seen { t_us, what: code.value });
            }
            Some(MechanismToken::Kerberos(_)) if from == Side::Client => {
                self.kerberos.get_or_insert(t_us);
            }
            Some(MechanismToken::Ntlm(NtlmMessage::Challenge(challenge))) => {
                self.challenge = Some(Seen { t_us, what: challenge });
            }
            Some(MechanismToken::Ntlm(_)) if from == Side::Client => {
                self.ntlm.get_or_insert(t_us);
            }
            _ => {}
        }
    }

    /// What the client itself says of the service, which in an exchange of rdpscope's own the server never sees.
    fn service_of(&mut self, t_us: Micros, message: &'a TsRequest) {
        for token in &message.nego_tokens {
            let service = match &token.mechanism {
                Some(MechanismToken::Ntlm(NtlmMessage::Authenticate(authenticate))) => {
                    authenticate.target_spn.as_deref()
                }
                Some(MechanismToken::Kerberos(KerberosToken::ApReq { service, .. })) => service.as_deref(),
                _ => None,
            };
            if let Some(what) = service {
                self.service = Some(Seen { t_us, what });
            }
        }
    }

    fn refusal(&mut self, t_us: Micros, code: Option<&'a Code>, field: &'static str) {
        if let Some(code) = code.filter(|code| code.value != 0) {
            let what = Status { code: code.value, name: code.name.as_deref(), field };
            self.status.get_or_insert(Seen { t_us, what });
        }
    }
}

impl<'a> Facts<'a> {
    pub(super) fn note_logon(&mut self, event: &'a Event) {
        let t_us = event.t_us;
        match &event.detail {
            Detail::TsRequest(message) => {
                if event.from == Some(Side::Client) {
                    self.logon.service_of(t_us, message);
                }
                let from = match (event.from, event.leg) {
                    (Some(Side::Client), _) if self.logon.terminated => None,
                    (None, Leg::Server) => Some(Side::Client),
                    (from, _) => from,
                };
                if let Some(from) = from {
                    self.logon.message(t_us, from, message);
                }
            }
            Detail::Rdstls(RdstlsPdu::Response { result }) => {
                self.logon.refusal(t_us, Some(result), "the RDSTLS Authentication Response");
            }
            Detail::RdsAad(RdsAadPdu::AuthenticationResult { result }) => {
                self.logon.refusal(t_us, Some(result), "the RDS-AAD Authentication Result");
            }
            Detail::CredsspTerminated { succeeded: false, reason } => {
                let reason = reason.as_deref().unwrap_or("no reason was given");
                self.logon.own_failed.get_or_insert(Seen { t_us, what: (event.leg, reason) });
            }
            _ => {}
        }
    }
}
