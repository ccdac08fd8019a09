//! Snapshots of what an administrator sees.

mod credssp;
mod experiment;

use super::*;
use crate::observe::Timeline;
use crate::trace::*;
use crate::wire::tls::{Alert, ClientHello, ServerHello, names};
use crate::wire::x224::{ConnectionConfirm, ConnectionRequest, NegotiationFailure};
use rdpscope_certs::inspect::Certificate;

const STYLE: Style = Style { color: false, width: 80, verbose: 0, ascii: false };

/// A session told by its events; the phases come from the same timeline as in the relay.
#[derive(Default)]
struct Script {
    lines: Vec<Line>,
    timeline: Timeline,
}

impl Script {
    fn new(session: &str, target: &str) -> Script {
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
    fn connected(session: &str, target: &str, server: &str) -> Script {
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

    fn accepted(session: &str, target: &str) -> Script {
        let accepted =
            Detail::Accepted { peer: "127.0.0.1:50432".to_owned(), local: "127.0.0.1:13389".to_owned() };
        Script::new(session, target).proxy(0, Leg::Client, Phase::Tcp, accepted)
    }

    fn push(mut self, event: Event) -> Script {
        self.timeline.push(event, &mut self.lines);
        self
    }

    fn proxy(self, t_us: Micros, leg: Leg, phase: Phase, detail: Detail) -> Script {
        self.push(Event { t_us, leg, from: None, phase, inferred: false, detail })
    }

    fn client(self, t_us: Micros, phase: Phase, detail: Detail) -> Script {
        self.peer(t_us, Side::Client, phase, detail, false)
    }

    fn server(self, t_us: Micros, phase: Phase, detail: Detail) -> Script {
        self.peer(t_us, Side::Server, phase, detail, false)
    }

    fn inferred(self, t_us: Micros, from: Side, phase: Phase, detail: Detail) -> Script {
        self.peer(t_us, from, phase, detail, true)
    }

    /// Messages inside TLS, told by their sizes.
    fn sized(self, t_us: Micros, from: Side, phase: Phase, names: &[&str]) -> Script {
        names.iter().fold(self, |script, name| {
            let detail = Detail::EncryptedMessage { name: (*name).to_owned(), length: 100 };
            script.inferred(t_us, from, phase, detail)
        })
    }

    fn peer(self, t_us: Micros, from: Side, phase: Phase, detail: Detail, inferred: bool) -> Script {
        self.push(Event { t_us, leg: from.into(), from: Some(from), phase, inferred, detail })
    }

    fn rtt(self, t_us: Micros) -> Script {
        let info = TcpInfo { rtt_us: Some(410), ..TcpInfo::default() };
        self.proxy(t_us, Leg::Server, Phase::Tcp, Detail::TcpInfo(info))
    }

    fn finding(mut self, phase: Phase, text: &str) -> Script {
        self.lines.push(Line::Finding(Finding { id: "finding".to_owned(), phase, text: text.to_owned() }));
        self
    }

    fn end(mut self, verdict: Verdict, end: End) -> Vec<Line> {
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

fn end(t_us: Micros, closed_by: ClosedBy, how: How) -> End {
    End { t_us, closed_by, how, bytes_up: 1_430, bytes_down: 2_310 }
}

fn verdict(id: VerdictId, confidence: Confidence, phase: Phase, summary: &str) -> Verdict {
    Verdict {
        id,
        confidence,
        phase,
        summary: summary.to_owned(),
        evidence: vec![],
        ruled_out: vec![],
        alternatives: vec![],
        next: vec![],
        fix: vec![],
    }
}

fn evidence(t_us: Micros, text: &str) -> Evidence {
    Evidence { t_us, text: text.to_owned() }
}

fn fix(place: Where, text: &str, command: Option<&str>) -> Fix {
    Fix { place, text: text.to_owned(), command: command.map(str::to_owned) }
}

fn asked(cookie: Option<&str>, protocols: &[&str]) -> Detail {
    Detail::ConnectionRequest(ConnectionRequest {
        cookie: cookie.map(str::to_owned),
        requested_protocol_names: protocols.iter().map(|name| (*name).to_owned()).collect(),
        ..ConnectionRequest::default()
    })
}

fn chose(protocol: &str) -> Detail {
    let selected_protocol_name = protocol.to_owned();
    Detail::ConnectionConfirm(ConnectionConfirm { selected_protocol_name, ..ConnectionConfirm::default() })
}

/// A ClientHello with a server name that offers TLS 1.3.
fn client_hello(name: &str) -> Detail {
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

fn server_hello(cipher: u16, is_tls13: bool) -> Detail {
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

fn certificate(subject: &str) -> Certificate {
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
        unreadable_extensions: vec![],
        sha1: "3f9a01c27be1d6a4553b1c0e9d0a7718f2c44b6e".to_owned(),
        sha256: "00".repeat(32),
    }
}

fn chain(subject: &str) -> Detail {
    Detail::Certificate { chain: vec![certificate(subject).into()], unreadable: vec![] }
}

fn healthy(session: &str, target: &str) -> Vec<Line> {
    use Side::{Client, Server};
    let mut script = Script::connected(session, target, "192.0.2.10:3389")
        .client(2_600, Phase::X224, asked(Some("anna"), &["SSL", "HYBRID", "HYBRID_EX"]))
        .server(3_400, Phase::X224, chose("HYBRID_EX"))
        .client(3_103_400, Phase::Tls, client_hello("srv10.contoso.local"))
        .server(3_106_200, Phase::Tls, server_hello(0x1302, true))
        .server(3_106_200, Phase::Tls, Detail::EncryptionStarted)
        .client(3_109_000, Phase::Tls, Detail::EncryptionStarted)
        .inferred(3_109_000, Client, Phase::Tls, Detail::HandshakeComplete);
    for (turn, t_us) in (1..=5).zip([3_109_800, 3_111_200, 3_114_000, 3_221_000, 3_222_300]) {
        let from = if turn % 2 == 1 { Client } else { Server };
        script = script.inferred(t_us, from, Phase::Credssp, Detail::CredsspTurn { turn, length: 300 });
    }
    let up: u64 = 48_210;
    script
        .inferred(
            3_262_000,
            Server,
            Phase::Credssp,
            Detail::EarlyUserAuthorizationResult { length: 4, result: None },
        )
        .sized(3_263_000, Client, Phase::Mcs, &["connect_initial"])
        .sized(3_281_000, Server, Phase::Mcs, &["connect_response"])
        .sized(
            3_282_000,
            Client,
            Phase::Channels,
            &["erect_domain_or_channel_join_request", "attach_user_request"],
        )
        .sized(3_283_000, Server, Phase::Channels, &["attach_user_confirm"])
        .sized(3_290_000, Server, Phase::Channels, &["channel_join_confirm"; 7])
        .sized(3_291_000, Client, Phase::Info, &["client_info"])
        .sized(3_353_000, Server, Phase::Licensing, &["license_valid_client"])
        .sized(3_360_000, Server, Phase::Capabilities, &["demand_active"])
        .sized(3_361_000, Client, Phase::Capabilities, &["confirm_active"])
        .sized(3_362_000, Client, Phase::Finalization, &["client_finalization"; 4])
        .sized(3_390_000, Server, Phase::Finalization, &["server_finalization"; 4])
        .inferred(3_390_000, Server, Phase::Active, Detail::SessionTraffic)
        .push(Event {
            t_us: 4_100_000,
            leg: Leg::Server,
            from: Some(Server),
            phase: Phase::Udp,
            inferred: false,
            detail: Detail::Udp(UdpMessage::Established { version: Some(3), took_us: Some(2_100) }),
        })
        .client(723_000_000, Phase::Closed, Detail::StreamEnded { how: How::Reset })
        .rtt(723_000_100)
        .finding(Phase::Tls, "The client could check the certificate only by asking its user.")
        .end(
            verdict(
                VerdictId::Healthy,
                Confidence::Likely,
                Phase::Active,
                "The session worked; the client ended it.",
            ),
            End { bytes_up: up, bytes_down: 34_100_000, ..end(723_000_050, ClosedBy::Client, How::Reset) },
        )
}

fn expired(session: &str) -> Vec<Line> {
    let alert = Alert::decode(&[2, 45]).unwrap();
    let verdict = Verdict {
        evidence: vec![
            evidence(8_200, "the server sent a certificate that was valid until 2026-11-09"),
            evidence(20_300, "the client answered with the fatal TLS alert certificate_expired"),
        ],
        ruled_out: vec![
            VerdictId::DnsFailure,
            VerdictId::TcpRefused,
            VerdictId::TcpFiltered,
            VerdictId::NotRdp,
            VerdictId::NlaRequired,
            VerdictId::TlsVersionMismatch,
            VerdictId::CertificateNameMismatch,
        ],
        alternatives: vec![Alternative {
            id: VerdictId::CertificateUntrusted,
            confidence: Confidence::Possible,
        }],
        next: vec!["rdpscope ab srv10.contoso.local --vary cert".to_owned()],
        fix: vec![
            fix(
                Where::Server,
                "Delete the expired self-signed certificate and restart the service, which makes a new one; sessions drop.",
                Some(
                    "Get-ChildItem 'Cert:\\LocalMachine\\Remote Desktop' | Remove-Item; Restart-Service TermService -Force",
                ),
            ),
            fix(
                Where::Client,
                "Check the clock: a wrong date makes a good certificate look expired.",
                Some("w32tm /query /status"),
            ),
        ],
        ..verdict(
            VerdictId::CertificateExpired,
            Confidence::Confirmed,
            Phase::Tls,
            "The server's certificate expired 11 days ago and the client refused it.",
        )
    };
    Script::connected(session, "srv10.contoso.local:3389", "192.0.2.10:3389")
        .client(2_600, Phase::X224, asked(None, &["SSL", "HYBRID"]))
        .server(3_400, Phase::X224, chose("HYBRID"))
        .client(4_100, Phase::Tls, client_hello("srv10.contoso.local"))
        .server(8_200, Phase::Tls, server_hello(0xc030, false))
        .server(8_200, Phase::Tls, chain("srv10.contoso.local"))
        .server(
            8_200,
            Phase::Tls,
            Detail::HandshakeMessage { name: "server_hello_done".to_owned(), length: 0 },
        )
        .client(20_300, Phase::Tls, Detail::Alert(alert))
        .client(20_350, Phase::Closed, Detail::StreamEnded { how: How::Fin })
        .server(20_800, Phase::Closed, Detail::StreamEnded { how: How::Fin })
        .rtt(20_900)
        .end(verdict, end(20_800, ClosedBy::Client, How::Alert))
}

fn nla_required() -> Vec<Line> {
    let refusal =
        NegotiationFailure { code: 5, name: "HYBRID_REQUIRED_BY_SERVER".to_owned(), anomalies: vec![] };
    let verdict = Verdict {
        evidence: vec![evidence(3_100, "the server answered with failure 5, HYBRID_REQUIRED_BY_SERVER")],
        fix: vec![fix(
            Where::Client,
            "Let the client use NLA: remove this line from the .rdp file.",
            Some("enablecredsspsupport:i:0"),
        )],
        ruled_out: vec![VerdictId::NotRdp, VerdictId::RdpSilent],
        ..verdict(
            VerdictId::NlaRequired,
            Confidence::Confirmed,
            Phase::X224,
            "The server requires NLA and the client did not offer it.",
        )
    };
    Script::connected("nla", "srv10.contoso.local:3389", "192.0.2.10:3389")
        .client(2_600, Phase::X224, asked(Some("bob"), &["SSL"]))
        .server(3_100, Phase::X224, Detail::NegotiationFailure(refusal))
        .server(3_150, Phase::Closed, Detail::StreamEnded { how: How::Fin })
        .client(3_900, Phase::Closed, Detail::StreamEnded { how: How::Fin })
        .end(verdict, end(3_900, ClosedBy::Server, How::Fin))
}

fn refused() -> Vec<Line> {
    let refused = |address: &str| Detail::ConnectFailed {
        address: address.to_owned(),
        error: ConnectError::Refused,
        reason: "connection refused".to_owned(),
        took_us: 380,
    };
    let addresses = vec!["192.0.2.10:3389".to_owned(), "[2001:db8::10]:3389".to_owned()];
    let resolved = Detail::Resolved { name: "srv10.contoso.local".to_owned(), addresses, took_us: 1_700 };
    let verdict = Verdict {
        evidence: vec![evidence(2_300, "192.0.2.10:3389 answered the SYN with RST")],
        next: vec!["rdpscope probe srv10.contoso.local".to_owned()],
        fix: vec![
            fix(
                Where::Server,
                "See whether Remote Desktop is switched on and listens on this port.",
                Some("Get-Service TermService; netstat -ano | findstr :3389"),
            ),
            fix(Where::Network, "A firewall that answers with RST looks the same.", None),
        ],
        alternatives: vec![Alternative { id: VerdictId::TcpFiltered, confidence: Confidence::Possible }],
        ruled_out: vec![VerdictId::DnsFailure],
        ..verdict(
            VerdictId::TcpRefused,
            Confidence::Confirmed,
            Phase::Tcp,
            "Nothing listens on srv10.contoso.local:3389.",
        )
    };
    Script::accepted("refused", "srv10.contoso.local:3389")
        .proxy(1_900, Leg::Proxy, Phase::Dns, resolved)
        .proxy(1_950, Leg::Server, Phase::Tcp, Detail::Connecting { address: "192.0.2.10:3389".to_owned() })
        .proxy(2_330, Leg::Server, Phase::Tcp, refused("192.0.2.10:3389"))
        .proxy(2_700, Leg::Server, Phase::Tcp, refused("[2001:db8::10]:3389"))
        .end(verdict, End { bytes_up: 0, bytes_down: 0, ..end(2_750, ClosedBy::Proxy, How::Reset) })
}

fn shown(lines: Vec<Line>, style: &Style) -> String {
    text(&lines.into_iter().collect(), style)
}

#[test]
fn a_healthy_session() {
    insta::assert_snapshot!(shown(healthy("2026-11-21T02-10-00-1", "srv10.contoso.local:3389"), &STYLE));
}

#[test]
fn an_expired_certificate() {
    insta::assert_snapshot!(shown(expired("2026-11-21T02-10-00-1"), &STYLE));
}

#[test]
fn nla_is_required() {
    insta::assert_snapshot!(shown(nla_required(), &STYLE));
}

#[test]
fn nothing_listens() {
    insta::assert_snapshot!(shown(refused(), &STYLE));
}

#[test]
fn two_sessions_at_once() {
    let mut screen = Screen::new(STYLE, Some("/var/traces".into()));
    let sessions = [("first", expired("first")), ("second", nla_required())];
    let mut lines: Vec<(Micros, &str, Line)> = Vec::new();
    let mut shown = Vec::new();
    for (offset, (session, trace)) in [0, 2_000].into_iter().zip(sessions) {
        let mut now = offset;
        for line in trace {
            now = moment(&line).map_or(now, |t_us| now.max(t_us + offset));
            lines.push((now, session, line));
        }
    }
    lines.sort_by_key(|(now, ..)| *now);
    for (_, session, line) in &lines {
        let Shown { progress, result, .. } = screen.line(session, line);
        shown.extend(progress);
        shown.extend(result.map(|verdict| format!("\n{verdict}\n")));
    }
    insta::assert_snapshot!(shown.join("\n"));
}

fn moment(line: &Line) -> Option<Micros> {
    match line {
        Line::Event(event) => Some(event.t_us),
        Line::Phase(phase) => Some(phase.end_us),
        Line::End(end) => Some(end.t_us),
        _ => None,
    }
}

/// Every session of this file.
fn all() -> Vec<Vec<Line>> {
    vec![healthy("one", "srv10.contoso.local:3389"), expired("one"), nla_required(), refused(), hostile()]
}

/// A client and a server that try to draw on the terminal.
fn hostile() -> Vec<Line> {
    const EVIL: &str = "a\x1b[2J\r\nVERDICT\u{202e}z\u{9b}31m";
    let evil = |text: &str| verdict(VerdictId::NotRdp, Confidence::Confirmed, Phase::X224, text);
    let greeting = hex::encode(b"SSH-2.0\x1b[2J\r\n");
    let mut certificate = certificate(EVIL);
    certificate.self_signed = false;
    certificate.sans = vec![EVIL.to_owned()];
    Script::connected(EVIL, EVIL, EVIL)
        .client(2_600, Phase::X224, asked(Some(EVIL), &["SSL", EVIL]))
        .client(2_900, Phase::Tls, client_hello("e\x1b[2J\u{202e}"))
        .server(
            3_000,
            Phase::Tls,
            Detail::Certificate { chain: vec![certificate.into()], unreadable: vec![EVIL.to_owned()] },
        )
        .server(
            3_100,
            Phase::Tls,
            Detail::OtherProtocol { protocol: Some(EVIL.to_owned()), first_bytes: greeting },
        )
        .finding(Phase::Tls, EVIL)
        .end(
            Verdict {
                evidence: vec![evidence(1, EVIL)],
                next: vec![EVIL.to_owned()],
                fix: vec![fix(Where::Server, EVIL, Some(EVIL))],
                ..evil(EVIL)
            },
            end(3_200, ClosedBy::Server, How::Fin),
        )
}

#[test]
fn nothing_from_the_wire_reaches_the_terminal_as_a_command() {
    for verbose in 0..=2 {
        let text = shown(hostile(), &Style { verbose, ..STYLE });
        assert!(!text.contains(['\x1b', '\r', '\u{202e}', '\u{9b}']), "{text:?}");
        assert!(text.contains("\\x1b[2J\\r\\nVERDICT\\u{202e}z"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("VERDICT")).count(), 1, "{text}");
    }
}

#[test]
fn everything_but_commands_fits_the_width_of_the_terminal() {
    for (width, ascii) in [(60, true), (80, false), (120, true)] {
        for lines in all() {
            let text = shown(lines, &Style { width, ascii, ..STYLE });
            let is_command =
                |line: &&str| line.starts_with("             ") && !line.starts_with("              ");
            let widest = text.lines().filter(|line| !is_command(line)).map(|line| line.chars().count()).max();
            assert!(widest.unwrap() <= width, "{text}");
            assert!(!ascii || text.is_ascii(), "{text}");
        }
    }
}

#[test]
fn colour_adds_nothing_that_the_words_do_not_say() {
    for lines in all() {
        let plain = shown(lines.clone(), &STYLE);
        let coloured = shown(lines, &Style { color: true, ..STYLE });
        assert_ne!(plain, coloured);
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    }
}

#[test]
fn a_session_reads_the_same_while_it_runs_and_afterwards() {
    for lines in all().into_iter().take(4) {
        let mut live = LiveText::new(&session_of(&lines), STYLE);
        let mut told: Vec<String> = lines.iter().filter_map(|line| live.line(line)).collect();
        told.extend(live.verdict().map(|verdict| format!("\n{verdict}")));
        assert_eq!(told.join("\n"), shown(lines, &STYLE));
    }
}

fn session_of(lines: &[Line]) -> String {
    match lines.first() {
        Some(Line::Trace(header)) => header.session.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_trace_that_breaks_off_says_so() {
    let mut lines = expired("cut");
    lines.truncate(9);
    let text = shown(lines, &STYLE);
    assert!(text.ends_with("the trace breaks off here; client asked for NLA or TLS (HYBRID)"), "{text}");
}

#[test]
fn single_events_only_on_request() {
    let quiet = shown(nla_required(), &STYLE);
    let single = shown(nla_required(), &Style { verbose: 1, ..STYLE });
    let full = shown(nla_required(), &Style { verbose: 2, ..STYLE });
    assert!(
        !quiet.contains("negotiation_failure") && single.contains("3.1 ms server     negotiation_failure: "),
        "{single}"
    );
    assert!(single.contains("3.9 ms client     stream_ended: FIN"), "{single}");
    assert!(!single.contains("\"t_us\":3100") && full.contains("\"t_us\":3100"), "{full}");
}

#[test]
fn udp_is_told_at_once_in_one_line() {
    let udp = |message| Event {
        t_us: 9_000_000,
        leg: Leg::Proxy,
        from: None,
        phase: Phase::Udp,
        inferred: false,
        detail: Detail::Udp(message),
    };
    let mut live = LiveText::new("1", Style { width: 120, ..STYLE });
    let blocked = udp(UdpMessage::Unanswered { syn_count: 4, waited_us: 4_000_000 });
    let told = live.line(&Line::Event(blocked)).unwrap();
    assert!(told.contains(" udp          FAIL"), "{told}");
    assert!(
        told.ends_with("client asked 4 times within 4.0 s, no answer: UDP is blocked on the way"),
        "{told}"
    );
}

#[test]
fn what_rdpscope_changed_is_said_with_its_reason() {
    let stripped = Altered {
        t_us: 2_700,
        leg: Leg::Server,
        phase: Phase::X224,
        message: "X.224 Connection Request".to_owned(),
        structure: "RDP_NEG_REQ".to_owned(),
        field: "requestedProtocols".to_owned(),
        offset: 15,
        before: "0b000000".to_owned(),
        after: "01000000".to_owned(),
        why: "--nla strip".to_owned(),
    };
    let cleared = Altered {
        leg: Leg::Client,
        phase: Phase::Mcs,
        message: "MCS Connect Response".to_owned(),
        structure: "SC_MULTITRANSPORT".to_owned(),
        field: "flags".to_owned(),
        before: "05030000".to_owned(),
        after: "00000000".to_owned(),
        why: "--udp off".to_owned(),
        ..stripped.clone()
    };
    let mut live = LiveText::new("1", STYLE);
    let told = [stripped, cleared].map(|altered| live.line(&Line::Altered(altered)).unwrap());
    insta::assert_snapshot!(told.join("\n"));
}
