//! What a record says, gathered in one pass, so that a rule only has to ask.

mod certificate;
mod ending;
mod gateway;
mod gather;
mod logon;

pub(super) use certificate::{CertificateFacts, Dialled, NameCheck, is_loopback_name};
pub(super) use ending::{AUTOMATIC_US, Ending, Refusal};
pub(super) use gateway::{Author, Exchange, Gateway, header};
pub(super) use logon::{Logon, Status};

use crate::trace::{
    ClosedBy, ConnectError, Effect, Leg, Micros, MissingReason, NLA_STRIP, Phase, Probe, Record, Side,
    Summary, TcpEvidence, TcpInfo,
};
use crate::wire::rdp::redirection::ServerRedirection;
use crate::wire::rdp::share::SetErrorInfo;
use crate::wire::tls::{Alert, ClientHello, ServerHello};
use crate::wire::x224::{ConnectionConfirm, ConnectionRequest, NegotiationFailure};

/// The port that need not be named.
const DEFAULT_PORT: &str = "3389";

/// Something, and when it was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen<T> {
    pub(super) t_us: Micros,
    pub(super) what: T,
}

/// What one session shows.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The target as a command takes it: without the port where that is the usual one.
    pub(super) target: String,
    pub(super) host: String,
    pub(super) port: String,
    /// The wall clock at `t_us` 0, seconds since 1970.
    pub(super) started_unix: Option<i64>,
    /// A capture was read: rdpscope was not in between.
    pub(super) is_recorded: bool,
    /// What TCP shows below the bytes of a recorded connection.
    pub(super) tcp: Option<Seen<&'a TcpEvidence>>,
    /// From when on bytes of a recorded connection are not known.
    pub(super) hole: Option<Seen<Hole<'a>>>,
    /// Whose bytes, and how many, were lost on the way of a recorded connection until its end.
    pub(super) never_arrived: Option<Seen<(Side, u64)>>,
    /// The client came back after this connection and got further.
    pub(super) came_back: bool,
    pub(super) summary: &'a Summary,
    /// What the checks of a probe found; absent where a client was watched.
    pub(super) probe: Option<&'a Probe>,
    /// What was seen of an RD Gateway; absent where there is none.
    pub(super) gateway: Option<Gateway<'a>>,
    /// [`Facts::tls`] and the rest tell of the connection to the gateway: nothing above TLS was seen of it.
    pub(super) at_gateway: bool,
    pub(super) network: Network<'a>,
    pub(super) negotiation: Negotiation<'a>,
    pub(super) tls: Tls<'a>,
    pub(super) logon: Logon<'a>,
    pub(super) inside: Inside<'a>,
    pub(super) udp: Udp,
    /// When rdpscope took network level authentication out of what the client offers.
    pub(super) stripped_nla: Option<Micros>,
    /// What rdpscope did to the connection on request.
    pub(super) impaired: Impaired<'a>,
    /// Changes that were asked for and not made: the setting, and why not.
    pub(super) not_altered: Vec<Seen<(&'a str, &'a str)>>,
    /// What the system knows of the connection to either side, by [`Side::index`].
    pub(super) links: [Option<TcpInfo>; 2],
    /// Who spoke last on the main connection.
    pub(super) speaker: Option<Side>,
    /// How often one side spoke after the other had.
    pub(super) turns: u32,
    /// The last message of either side, by [`Side::index`].
    pub(super) last: [Option<Micros>; 2],
    /// The first bytes that break a format.
    pub(super) malformed: Option<Seen<Broken<'a>>>,
    pub(super) ending: Ending<'a>,
}

/// Why what follows is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Hole<'a> {
    /// Bytes that are not in the capture.
    Missing { from: Side, count: Option<u64>, reason: MissingReason },
    /// TLS that could be decrypted only in part.
    Undecrypted { reason: &'a str },
}

/// From the name to a TCP connection.
#[derive(Debug, Default)]
pub(super) struct Network<'a> {
    /// The address at which the client reached rdpscope.
    pub(super) local: Option<&'a str>,
    /// Name and reason.
    pub(super) resolution_failed: Option<Seen<(&'a str, &'a str)>>,
    pub(super) attempts: Vec<Attempt<'a>>,
    pub(super) connected: Option<Seen<&'a str>>,
    /// Proxy and reason.
    pub(super) upstream_refused: Option<Seen<(&'a str, &'a str)>>,
}

/// One address that did not come to be the connection.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pub(super) t_us: Micros,
    pub(super) address: &'a str,
    /// How it failed; absent where it was given up before it could fail.
    pub(super) error: Option<ConnectError>,
    pub(super) reason: &'a str,
    pub(super) took_us: Micros,
}

/// X.224.
#[derive(Debug, Default)]
pub(super) struct Negotiation<'a> {
    pub(super) request: Option<Seen<&'a ConnectionRequest>>,
    pub(super) confirm: Option<Seen<&'a ConnectionConfirm>>,
    pub(super) failure: Option<Seen<&'a NegotiationFailure>>,
    /// Its reason.
    pub(super) disconnect: Option<Seen<u8>>,
    /// What a side spoke instead of RDP, by [`Side::index`].
    pub(super) other_protocol: [Option<Seen<OtherProtocol<'a>>>; 2],
}

/// Something that is not RDP.
#[derive(Debug, Clone, Copy)]
pub(super) struct OtherProtocol<'a> {
    /// Absent where its first bytes do not tell.
    pub(super) name: Option<&'a str>,
    /// Hex.
    pub(super) first_bytes: &'a str,
}

/// The TLS handshake.
#[derive(Debug, Default)]
pub(super) struct Tls<'a> {
    /// The last one: a second answers a HelloRetryRequest.
    pub(super) client_hello: Option<Seen<&'a ClientHello>>,
    pub(super) hello_retry: bool,
    pub(super) server_hello: Option<Seen<&'a ServerHello>>,
    pub(super) certificate: Option<CertificateFacts<'a>>,
    /// The end of the server's flight in clear.
    pub(super) server_hello_done: bool,
    /// The client's own handshake, with the server or, where TLS is terminated, with rdpscope.
    pub(super) complete: Option<Micros>,
    /// Where TLS is terminated, what rdpscope last offered the server in the client's place.
    pub(super) our_hello: Option<&'a ClientHello>,
    /// rdpscope terminates TLS.
    pub(super) terminated: bool,
    /// TLS of a recorded connection is decrypted.
    pub(super) opened: bool,
    /// Where TLS is terminated, its handshake with the server.
    pub(super) server_leg_complete: Option<Micros>,
    /// What the client was shown in the place of the server's certificate.
    pub(super) presented: Option<Presented<'a>>,
    /// What this machine thinks of the server's certificate.
    pub(super) judged: Option<Seen<Judged<'a>>>,
    /// The leg on which TLS could not be terminated, why, and what works all the same.
    pub(super) termination_failed: Option<Seen<(Leg, &'a str, &'a str)>>,
    /// The leg on which the second TLS stack speaks, and what the usual one cannot do there.
    pub(super) legacy: Option<Seen<(Leg, &'a str)>>,
    /// It was said that CredSSP would fail over the other key.
    pub(super) key_binding_foreseen: Option<Micros>,
    /// The last readable or inferred message of the handshake, by side.
    pub(super) last: [Option<Micros>; 2],
    /// The first fatal alert of a handshake, or with which the client refuses the certificate right after it.
    pub(super) alert: Option<Seen<(Side, &'a Alert)>>,
    /// The first fatal alert of a side whose handshake was over, readable where TLS is terminated.
    pub(super) late_alert: Option<Seen<(Side, &'a Alert)>>,
    /// The server asked for a certificate of its client.
    pub(super) client_certificate_requested: Option<Micros>,
    /// When the client said in TLS that it leaves, without naming a fault.
    pub(super) client_farewell: Option<Micros>,
    /// The first encrypted alert of a side.
    pub(super) encrypted_alert: [Option<Micros>; 2],
}

/// A certificate that rdpscope shows the client.
#[derive(Debug)]
pub(super) struct Presented<'a> {
    /// As `--cert` takes it.
    pub(super) mode: &'a str,
    pub(super) certificate: CertificateFacts<'a>,
    /// For the server's own key.
    pub(super) same_key: bool,
    /// Where a mirrored one differs from the original beyond key and issuer.
    pub(super) differences: &'a [String],
}

/// What this machine thinks of the server's certificate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) trusted: bool,
    pub(super) reason: Option<&'a str>,
    pub(super) name: &'a str,
    pub(super) name_matches: bool,
}

/// What happened behind TLS, or without it.
#[derive(Debug, Default)]
pub(super) struct Inside<'a> {
    /// The last CredSSP message that was told by its size: its number and who sent it.
    pub(super) credssp: Option<Seen<(u32, Side)>>,
    /// How long that was, bytes, at most.
    pub(super) credssp_length: usize,
    /// The Early User Authorization Result; its value where it can be read.
    pub(super) early_authorization: Option<Seen<Option<u32>>>,
    /// The furthest phase of the RDP connection sequence, and when it began.
    pub(super) furthest: Option<Seen<Phase>>,
    /// The first message that only a client beyond the handshakes sends.
    pub(super) client_went_on: Option<Micros>,
    pub(super) active: Option<Micros>,
    /// Whether only sizes say that the session became active.
    pub(super) active_is_inferred: bool,
    pub(super) error_info: Option<Seen<&'a SetErrorInfo>>,
    /// Its error code, by name.
    pub(super) licence_alert: Option<Seen<String>>,
    pub(super) redirection: Option<Seen<&'a ServerRedirection>>,
    /// The MCS Disconnect Provider Ultimatum of a side, with its reason.
    pub(super) ultimatum: Option<Seen<(Side, String)>>,
    /// A refusal inside the connection sequence, in words.
    pub(super) refused: Option<Seen<&'static str>>,
}

/// The side channel.
#[derive(Debug, Default)]
pub(super) struct Udp {
    pub(super) syn: Option<Micros>,
    pub(super) answered: bool,
    pub(super) established: Option<Micros>,
    /// SYNs, and how long they waited.
    pub(super) unanswered: Option<Seen<(u32, Micros)>>,
    /// How long the server of an open connection had been silent at the end.
    pub(super) server_silence: Option<Seen<Micros>>,
}

/// What `--impair` did.
#[derive(Debug, Default)]
pub(super) struct Impaired<'a> {
    /// Settings that make every byte later, slower or part of something smaller.
    pub(super) shaped: Vec<Seen<&'a str>>,
    /// How much longer, by these alone, a question and its answer may take.
    pub(super) delay_us: Micros,
    /// Directions that were cut, and how.
    pub(super) cuts: Vec<Seen<(&'a str, Effect)>>,
}

/// A client or a server that is answered so much later may give up for that.
const UPSETTING_US: Micros = 1_000_000;

impl Impaired<'_> {
    /// Whether one of the sides may have given up for what was done to the connection, and not for a reason of its own.
    pub(super) fn may_upset(&self) -> bool {
        let in_pieces = |setting: &str| setting.contains("chunk=") || setting.contains("mss=");
        self.delay_us >= UPSETTING_US || self.shaped.iter().any(|shaped| in_pieces(shaped.what))
    }

    /// Every setting that has done something.
    pub(super) fn settings(&self) -> Vec<String> {
        let shaped = self.shaped.iter().map(|shaped| shaped.what);
        shaped.chain(self.cuts.iter().map(|cut| cut.what.0)).map(str::to_owned).collect()
    }
}

/// Bytes that break a format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Broken<'a> {
    pub(super) from: Option<Side>,
    pub(super) phase: Phase,
    pub(super) structure: &'a str,
    pub(super) reason: &'a str,
}

impl<'a> Facts<'a> {
    /// What `record` shows; `summary` may be newer than the one in it.
    pub(super) fn new(record: &'a Record, summary: &'a Summary, came_back: bool) -> Facts<'a> {
        let header = record.header.as_ref();
        let named = header.map_or("", |header| header.target.as_str());
        let (host, port) = split(named, DEFAULT_PORT);
        let setting = |name: &str| header.and_then(|header| header.settings.get(name));
        let is_recorded = setting("capture").is_some();
        // In a capture nothing but the gateway's answer tells what is behind it.
        let is_unknown = is_recorded && setting("gateway").and_then(|it| it.as_str()) == Some(named);
        let started = header.and_then(|header| header.started.parse::<jiff::Timestamp>().ok());
        let mut facts = Facts {
            target: match port == DEFAULT_PORT {
                _ if is_unknown => String::new(),
                true => host.to_owned(),
                false => named.to_owned(),
            },
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.to_owned(),
            started_unix: started.map(jiff::Timestamp::as_second),
            is_recorded,
            tcp: None,
            hole: None,
            never_arrived: None,
            came_back,
            summary,
            probe: record.probe.as_deref(),
            gateway: Gateway::named(header),
            at_gateway: false,
            network: Network::default(),
            negotiation: Negotiation::default(),
            tls: Tls::default(),
            logon: Logon::new(record),
            inside: Inside::default(),
            udp: Udp::default(),
            stripped_nla: record.altered.iter().find(|it| it.why == NLA_STRIP).map(|it| it.t_us),
            impaired: Impaired::default(),
            not_altered: Vec::new(),
            links: [None; 2],
            speaker: None,
            turns: 0,
            last: [None; 2],
            malformed: None,
            ending: Ending::default(),
        };
        record.events.iter().for_each(|event| facts.note(event));
        facts.conclude_gateway();
        facts.conclude_ending(record);
        facts
    }

    /// `text` with the session's names in the place of `{target}`, `{host}`, `{port}`, `{server}` (the address
    /// that was connected), `{gateway}` and `{thumbprint}`. Where the gateway is what failed, host and port are its own;
    /// commands of rdpscope name the gateway.
    pub fn fill(&self, text: &str) -> String {
        if !text.contains('{') {
            return text.to_owned();
        }
        let text = self.through_gateway(text);
        let thumbprint =
            self.tls.certificate.as_ref().map(|certificate| certificate.leaf.sha1.to_uppercase());
        let gateway = self.gateway.as_ref().map_or("GATEWAY", |gateway| &gateway.name);
        let (host, port) = self.far_end();
        text.replace("{target}", or_else(&self.target, "TARGET"))
            .replace("{gateway}", gateway)
            .replace("{host}", or_else(host, "HOST"))
            .replace("{port}", or_else(port, DEFAULT_PORT))
            .replace("{server}", self.network.connected.map_or("SERVER-ADDRESS", |connected| connected.what))
            .replace("{thumbprint}", thumbprint.as_deref().unwrap_or("THUMBPRINT"))
    }

    /// Whether the server sent anything on the main connection.
    pub(super) fn server_spoke(&self) -> bool {
        self.last[Side::Server.index()].is_some()
    }

    /// Whether the client sent anything on the main connection.
    pub(super) fn client_spoke(&self) -> bool {
        self.last[Side::Client.index()].is_some()
    }

    /// Whether the server selected one of the protocols with network level authentication.
    pub(super) fn uses_nla(&self) -> bool {
        matches!(self.selected_protocol(), Some("HYBRID" | "HYBRID_EX"))
    }

    /// Whether TLS was not what the server refused: it chose something that runs over TLS, or named a reason.
    pub(super) fn chose_tls(&self) -> bool {
        self.negotiation.failure.is_some()
            || self.selected_protocol().is_some_and(|selected| selected != "RDP")
    }

    /// Whether the observers tell the messages inside TLS, by their sizes where it is not terminated. By those RDSTLS,
    /// RDSAAD and TLS without X.224 are not followed, so that there nothing can be said of what the client sent.
    pub(super) fn inside_is_followed(&self) -> bool {
        self.tls.terminated || matches!(self.selected_protocol(), Some("SSL" | "HYBRID" | "HYBRID_EX"))
    }

    /// The certificate that the client saw: the server's own, or where TLS is terminated the one in its place.
    pub(super) fn shown(&self) -> Option<&CertificateFacts<'a>> {
        match &self.tls.presented {
            Some(presented) => Some(&presented.certificate),
            None if self.tls.terminated => None,
            None => self.tls.certificate.as_ref(),
        }
    }

    /// Whether CredSSP binds one key and the client sees another, which is rdpscope's doing.
    pub(super) fn keys_differ(&self) -> bool {
        let other_key = self.tls.presented.as_ref().is_some_and(|presented| !presented.same_key);
        !self.logon.terminated && (self.tls.key_binding_foreseen.is_some() || other_key)
    }

    /// The protocol that the server selected.
    pub(super) fn selected_protocol(&self) -> Option<&str> {
        self.negotiation.confirm.map(|confirm| confirm.what.selected_protocol_name.as_str())
    }

    /// Whether the client offered network level authentication, and whether it offered plain TLS beside it.
    pub(super) fn offered(&self, protocol: &str) -> bool {
        self.negotiation
            .request
            .is_some_and(|request| request.what.requested_protocol_names.iter().any(|name| name == protocol))
    }

    /// How long the session had been active when it ended.
    pub(super) fn active_for(&self) -> Option<Micros> {
        self.inside.active.map(|active| self.ending.t_us.saturating_sub(active))
    }

    /// The phase that was under way when the session ended.
    pub(super) fn stopped_in(&self) -> Phase {
        let wants_tls = self.selected_protocol().is_some_and(|protocol| protocol != "RDP");
        if let Some(phase) = self.stopped_at_gateway() {
            return phase;
        }
        if self.network.connected.is_none() && !self.server_spoke() {
            return if self.network.resolution_failed.is_some() { Phase::Dns } else { Phase::Tcp };
        }
        if let Some(furthest) = self.inside.furthest {
            return furthest.what;
        }
        match (self.negotiation.confirm, self.tls.client_hello, self.tls.complete) {
            (_, _, Some(_)) if !self.inside_is_followed() => Phase::Tls,
            (_, _, Some(_)) if self.uses_nla() => Phase::Credssp,
            (_, _, Some(_)) => Phase::Mcs,
            (_, Some(_), None) => Phase::Tls,
            (Some(_), None, None) if wants_tls => Phase::Tls,
            (Some(_), None, None) => Phase::Mcs,
            (None, None, None) => Phase::X224,
        }
    }

    /// Whether the connection ended, by the client's hand, at a place and in a way in which clients also leave to
    /// ask their user something.
    pub(super) fn may_be_a_prompt(&self) -> bool {
        let in_the_tunnel = self.gateway_without_channel().is_some() && !self.at_gateway;
        let at_such_a_place = self.tls.server_hello.is_some()
            || (self.negotiation.confirm.is_some() && self.tls.client_hello.is_none())
            || !self.client_spoke();
        self.ending.by == Some(ClosedBy::Client)
            && self.impaired.cuts.is_empty()
            && self.network_is_fine()
            && if in_the_tunnel { self.left_for_gateway_logon() } else { at_such_a_place }
            && !self.failed_on_the_wire()
            && self.inside.active.is_none()
            && self.inside.furthest.is_none_or(|furthest| furthest.what <= Phase::Credssp)
    }

    fn network_is_fine(&self) -> bool {
        self.network.connected.is_some() || self.network.attempts.is_empty()
    }

    fn failed_on_the_wire(&self) -> bool {
        self.negotiation.failure.is_some()
            || self.negotiation.disconnect.is_some()
            || self.negotiation.other_protocol.iter().any(Option::is_some)
            || self.tls.alert.is_some()
            || self.tls.late_alert.is_some()
            || self.logon.status.is_some()
            || self.inside.error_info.is_some()
            || self.inside.licence_alert.is_some()
            || self.malformed.is_some()
    }
}

/// Host and port of `host:port`, `[v6]:port`.
fn split<'t>(target: &'t str, default_port: &'t str) -> (&'t str, &'t str) {
    match target.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => (target, default_port),
    }
}

fn or_else<'s>(text: &'s str, otherwise: &'s str) -> &'s str {
    if text.is_empty() { otherwise } else { text }
}
