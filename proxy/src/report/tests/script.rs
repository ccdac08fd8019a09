//! A session told by its events, and what these are made of.

use crate::observe::Timeline;
use crate::trace::*;
use crate::wire::tls::{ClientHello, ServerHello, names};
use crate::wire::x224::{ConnectionConfirm, ConnectionRequest};
use rdpscope_certs::inspect::Certificate;

/// A session told by its events; the phases come from the same timeline as in the relay.
#[derive(Default)]
pub(super) struct Script {
    pub(super) lines: Vec<Line>,
    pub(super) timeline: Timeline,
}

impl Script {
    pub(super) fn new(session: &str, target: &str) -> Script {
        let header = Header {
            schema: SCHEMA_VERSION,
            rdpscope: "0.1.0".to_owned(),
            session: session.to_owned(),
            target: target.to_owned(),
            settings: serde_json::Map::new(),
            started: "2026-11-21T02:10:00Z".to_owned(),
        };
        Script { lines: vec![Line::Trace(header)], timeline: Timeline::default() }
    }

    /// Connected from this client to this server within 2.4 ms.
    pub(super) fn connected(session: &str, target: &str, server: &str) -> Script {
        let name = target.split(':').next().unwrap().to_owned();
        let resolved = Detail::Resolved { name, addresses: vec![server.to_owned()], took_us: 1_700 };
        let connected = Detail::Connected {
            address: server.to_owned(),
            local: "192.0.2.77:40112".to_owned(),
            took_us: 420,
        };
        Script::accepted(session, target)
            .proxy(1_900, Leg::Proxy, Phase::Dns, resolved)
            .proxy(1_950, Leg::Server, Phase::Tcp, Detail::Connecting { address: server.to_owned() })
            .proxy(2_370, Leg::Server, Phase::Tcp, connected)
    }

    pub(super) fn accepted(session: &str, target: &str) -> Script {
        let accepted =
            Detail::Accepted { peer: "127.0.0.1:50432".to_owned(), local: "127.0.0.1:13389".to_owned() };
        Script::new(session, target).proxy(0, Leg::Client, Phase::Tcp, accepted)
    }

    pub(super) fn push(mut self, event: Event) -> Script {
        self.timeline.push(event, &mut self.lines);
        self
    }

    pub(super) fn proxy(self, t_us: Micros, leg: Leg, phase: Phase, detail: Detail) -> Script {
        self.push(Event { t_us, leg, from: None, connection: None, phase, inferred: false, detail })
    }

    pub(super) fn client(self, t_us: Micros, phase: Phase, detail: Detail) -> Script {
        self.peer(t_us, Side::Client, phase, detail, false)
    }

    pub(super) fn server(self, t_us: Micros, phase: Phase, detail: Detail) -> Script {
        self.peer(t_us, Side::Server, phase, detail, false)
    }

    pub(super) fn inferred(self, t_us: Micros, from: Side, phase: Phase, detail: Detail) -> Script {
        self.peer(t_us, from, phase, detail, true)
    }

    /// Messages inside TLS, told by their sizes.
    pub(super) fn sized(self, t_us: Micros, from: Side, phase: Phase, names: &[&str]) -> Script {
        names.iter().fold(self, |script, name| {
            let detail = Detail::EncryptedMessage { name: (*name).to_owned(), length: 100 };
            script.inferred(t_us, from, phase, detail)
        })
    }

    pub(super) fn peer(
        self,
        t_us: Micros,
        from: Side,
        phase: Phase,
        detail: Detail,
        inferred: bool,
    ) -> Script {
        self.push(Event {
            t_us,
            leg: from.into(),
            from: Some(from),
            connection: None,
            phase,
            inferred,
            detail,
        })
    }

    /// Something on one connection to a gateway, by a side or, without one, by rdpscope.
    pub(super) fn on(
        self,
        connection: u32,
        t_us: Micros,
        from: Option<Side>,
        phase: Phase,
        detail: Detail,
    ) -> Script {
        let leg = from.map_or(Leg::Server, Leg::from);
        self.push(Event { t_us, leg, from, connection: Some(connection), phase, inferred: false, detail })
    }

    pub(super) fn rtt(self, t_us: Micros) -> Script {
        let info = TcpInfo { rtt_us: Some(410), ..TcpInfo::default() };
        self.proxy(t_us, Leg::Server, Phase::Tcp, Detail::TcpInfo(info))
    }

    pub(super) fn finding(mut self, phase: Phase, text: &str) -> Script {
        self.lines.push(Line::Finding(Finding { id: "finding".to_owned(), phase, text: text.to_owned() }));
        self
    }

    pub(super) fn end(mut self, verdict: Verdict, end: End) -> Vec<Line> {
        let at = self.lines.iter().rposition(|line| matches!(line, Line::Finding(_)));
        let findings = at.map(|_| self.lines.split_off(self.lines.len() - 1)).unwrap_or_default();
        self.timeline.finish(end.t_us, &mut self.lines);
        self.lines.extend(findings);
        self.lines.push(Line::Summary(Box::default()));
        self.lines.push(Line::Verdict(Box::new(verdict)));
        self.lines.push(Line::End(end));
        self.lines
    }
}

pub(super) fn end(t_us: Micros, closed_by: ClosedBy, how: How) -> End {
    End { t_us, closed_by: Some(closed_by), how: Some(how), bytes_up: 1_430, bytes_down: 2_310 }
}

pub(super) fn verdict(id: VerdictId, confidence: Confidence, phase: Phase, summary: &str) -> Verdict {
    Verdict {
        id,
        confidence,
        phase,
        summary: summary.to_owned(),
        evidence: vec![],
        by_user: false,
        ruled_out: vec![],
        alternatives: vec![],
        next: vec![],
        fix: vec![],
    }
}

pub(super) fn evidence(t_us: Micros, text: &str) -> Evidence {
    Evidence { t_us, text: text.to_owned() }
}

pub(super) fn fix(place: Where, text: &str, command: Option<&str>) -> Fix {
    Fix { place, text: text.to_owned(), command: command.map(str::to_owned) }
}

pub(super) fn asked(cookie: Option<&str>, protocols: &[&str]) -> Detail {
    Detail::ConnectionRequest(Box::new(ConnectionRequest {
        cookie: cookie.map(str::to_owned),
        requested_protocol_names: protocols.iter().map(|name| (*name).to_owned()).collect(),
        ..ConnectionRequest::default()
    }))
}

pub(super) fn chose(protocol: &str) -> Detail {
    let selected_protocol_name = protocol.to_owned();
    Detail::ConnectionConfirm(ConnectionConfirm { selected_protocol_name, ..ConnectionConfirm::default() })
}

/// A ClientHello with a server name that offers TLS 1.3.
pub(super) fn client_hello(name: &str) -> Detail {
    let length = name.len() as u8;
    let mut extensions = vec![0, 0, 0, length + 5, 0, length + 3, 0, 0, length];
    extensions.extend(name.as_bytes());
    extensions.extend([0, 43, 0, 5, 4, 3, 4, 3, 3]);
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0x13, 0x02, 0xc0, 0x30, 1, 0, 0, extensions.len() as u8]);
    body.extend(extensions);
    Detail::ClientHello(Box::new(ClientHello::decode(&body, names::TLS_1_0).unwrap()))
}

pub(super) fn server_hello(cipher: u16, is_tls13: bool) -> Detail {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend(cipher.to_be_bytes());
    body.push(0);
    if is_tls13 {
        body.extend([0, 6, 0, 43, 0, 2, 3, 4]);
    }
    Detail::ServerHello(Box::new(ServerHello::decode(&body).unwrap()))
}

pub(super) fn certificate(subject: &str) -> Certificate {
    Certificate {
        subject: format!("CN={subject}"),
        subject_cn: Some(subject.to_owned()),
        issuer: format!("CN={subject}"),
        issuer_cn: Some(subject.to_owned()),
        sans: vec![],
        serial: "4f1a".to_owned(),
        not_before: "2026-05-10T08:00:00Z".to_owned(),
        not_after: "2026-11-09T08:00:00Z".to_owned(),
        not_before_unix: 1_778_400_000,
        not_after_unix: 1_794_211_200,
        key_algorithm: "RSA".to_owned(),
        key_bits: Some(2048),
        signature_algorithm: "sha256WithRSAEncryption".to_owned(),
        extended_key_usage: Some(vec!["serverAuth".to_owned()]),
        key_usage: None,
        is_ca: false,
        self_issued: true,
        self_signed: true,
        version: 3,
        ocsp: vec![],
        crl: vec![],
        issuers: vec![],
        unreadable_extensions: vec![],
        sha1: "3f9a01c27be1d6a4553b1c0e9d0a7718f2c44b6e".to_owned(),
        sha256: "00".repeat(32),
    }
}

pub(super) fn chain(subject: &str) -> Detail {
    Detail::Certificate { chain: vec![certificate(subject).into()], unreadable: vec![], der: vec![] }
}
