//! What a probe of one target and of many shows.

use super::*;
use crate::report::probe::{Row, lines, progress_line, summary_table, text};
use crate::wire::credssp::ntlm::{NtlmChallenge, WindowsVersion};
use crate::wire::tls::names;
use std::collections::BTreeMap;

const TARGET: &str = "srv10.contoso.local:3389";
const VERBOSE: Style = Style { verbose: 1, ..STYLE };

/// A target that was connected to.
fn found() -> Probe {
    Probe {
        target: TARGET.to_owned(),
        started: "2026-11-21T02:10:00Z".to_owned(),
        took_us: 1_240_000,
        connections: 62,
        conversations: 3,
        dns: Some(DnsCheck {
            name: "srv10.contoso.local".to_owned(),
            addresses: vec!["192.0.2.10:3389".to_owned()],
            reverse: BTreeMap::from([("192.0.2.10".to_owned(), Some("srv10.contoso.local".to_owned()))]),
            ..DnsCheck::default()
        }),
        tcp: vec![TcpCheck {
            address: "192.0.2.10:3389".to_owned(),
            rounds: vec![Some(420), Some(610), Some(455)],
            rtt_us: Some(400),
            ..TcpCheck::default()
        }],
        ..Probe::default()
    }
}

/// The same with everything that a healthy server answers.
fn answered() -> Probe {
    let asked = |names: &[&str], answer| NegotiationCheck {
        requested_protocols: names.iter().map(|name| (*name).to_owned()).collect(),
        answer,
        took_us: 800,
    };
    let selected = |name: &str| NegotiationAnswer::Selected {
        protocol: name.to_owned(),
        flags: vec!["EXTENDED_CLIENT_DATA_SUPPORTED".to_owned()],
    };
    let refused = || NegotiationAnswer::Refused { code: 5, name: "HYBRID_REQUIRED_BY_SERVER".to_owned() };
    let alert = || HelloAnswer::Alert { description: 70, name: "protocol_version".to_owned() };
    let accepted = |is_tls13| {
        let Detail::ServerHello(hello) = server_hello(0xc030, is_tls13) else { panic!() };
        HelloAnswer::Accepted(hello)
    };
    let suites = [0xc030, 0xc02f, 0x009d].map(names::cipher_suite).to_vec();
    Probe {
        negotiation: vec![
            asked(&["RDP"], refused()),
            asked(&["SSL"], refused()),
            asked(&["SSL", "HYBRID", "HYBRID_EX"], selected("HYBRID_EX")),
        ],
        tls: Some(TlsCheck {
            versions: BTreeMap::from([
                ("SSL3.0".to_owned(), HelloAnswer::Closed { how: How::Reset }),
                ("TLS1.0".to_owned(), alert()),
                ("TLS1.1".to_owned(), alert()),
                ("TLS1.2".to_owned(), accepted(false)),
                ("TLS1.3".to_owned(), accepted(true)),
            ]),
            suites: BTreeMap::from([("TLS1.2".to_owned(), suites)]),
            server_order: BTreeMap::from([("TLS1.2".to_owned(), true)]),
            groups: [29, 23].map(names::named_group).to_vec(),
            refused: [0x000a].map(names::cipher_suite).to_vec(),
            ..TlsCheck::default()
        }),
        certificate: Some(CertificateCheck {
            chain: vec![certificate("srv10.contoso.local").into()],
            name: "srv10.contoso.local".to_owned(),
            name_matches: true,
            reason: Some("it is signed by itself".to_owned()),
            crl: vec!["http://pki.contoso.local/ca.crl".to_owned()],
            ..CertificateCheck::default()
        }),
        credssp: Some(CredsspCheck {
            version: Some(6),
            challenge: Some(NtlmChallenge {
                version: Some(WindowsVersion { major: 10, minor: 0, build: 20348 }),
                netbios_computer: Some("SRV10".to_owned()),
                netbios_domain: Some("CONTOSO".to_owned()),
                dns_computer: Some("srv10.contoso.local".to_owned()),
                ..NtlmChallenge::default()
            }),
            clock_skew_us: Some(-420_000_000),
            ..CredsspCheck::default()
        }),
        udp: Some(UdpCheck {
            address: "192.0.2.10:3389".to_owned(),
            versions: BTreeMap::from([
                (1, UdpAnswer::Silent { sent: 3 }),
                (2, UdpAnswer::Silent { sent: 3 }),
                (
                    3,
                    UdpAnswer::SynAck {
                        version: 3,
                        up_stream_mtu: 1232,
                        down_stream_mtu: 1232,
                        took_us: 700,
                        lost: 0,
                    },
                ),
            ]),
            tls: Some(HelloAnswer::Silent),
            ..UdpCheck::default()
        }),
        path: Some(PathCheck {
            small_bytes: 200,
            small: accepted(false),
            large_bytes: 2900,
            large: HelloAnswer::Silent,
            clamped: Some(accepted(false)),
            clamped_mss: Some(1200),
            large_again: Some(HelloAnswer::Silent),
            send_mss: Some(1460),
        }),
        flaky: vec![FlakyCheck {
            check: "X.224 with SSL".to_owned(),
            answers: BTreeMap::from([("no answer".to_owned(), 1), ("refused".to_owned(), 2)]),
        }],
        left_out: vec![LeftOut {
            check: "suites of TLS 1.0".to_owned(),
            reason: "the server does not take it".to_owned(),
        }],
        ..found()
    }
}

/// The record of a probe with the conversation of `script`.
fn record(script: Script, verdict: Verdict, probe: Probe, reached: Option<Phase>) -> Record {
    let Script { mut lines, mut timeline } = script;
    timeline.finish(20_000, &mut lines);
    lines.retain(|line| !matches!(line, Line::Phase(phase) if phase.phase == Phase::Closed));
    let summary = Summary {
        reached,
        selected_protocol: reached.map(|_| "HYBRID_EX".to_owned()),
        tls_version: reached.map(|_| "TLS1.2".to_owned()),
        ..Summary::default()
    };
    lines.push(Line::Probe(Box::new(probe)));
    lines.push(Line::Summary(Box::new(summary)));
    lines.push(Line::Verdict(Box::new(verdict)));
    lines.into_iter().collect()
}

fn resolved() -> Script {
    let addresses = vec!["192.0.2.10:3389".to_owned()];
    let detail = Detail::Resolved { name: "srv10.contoso.local".to_owned(), addresses, took_us: 1_700 };
    let connecting = Detail::Connecting { address: "192.0.2.10:3389".to_owned() };
    Script::new("", TARGET).proxy(1_700, Leg::Proxy, Phase::Dns, detail).proxy(
        1_750,
        Leg::Server,
        Phase::Tcp,
        connecting,
    )
}

fn connected() -> Script {
    let (address, local) = ("192.0.2.10:3389".to_owned(), "192.0.2.77:40112".to_owned());
    let connected = Detail::Connected { address, local, took_us: 420 };
    resolved().proxy(2_170, Leg::Server, Phase::Tcp, connected)
}

fn conversation() -> Script {
    connected()
        .client(2_600, Phase::X224, asked(Some("rdpscope"), &["SSL", "HYBRID", "HYBRID_EX"]))
        .server(3_400, Phase::X224, chose("HYBRID_EX"))
        .client(4_100, Phase::Tls, client_hello("srv10.contoso.local"))
        .server(8_200, Phase::Tls, server_hello(0xc030, false))
        .server(8_200, Phase::Tls, chain("srv10.contoso.local"))
        .client(12_000, Phase::Tls, Detail::HandshakeComplete)
}

fn expired() -> Record {
    let verdict = Verdict {
        evidence: vec![evidence(8_200, "the certificate for srv10.contoso.local expired 11 days ago")],
        next: vec!["rdpscope ab srv10.contoso.local --vary cert".to_owned()],
        fix: vec![fix(
            Where::Server,
            "Delete the expired self-signed certificate and restart the service, which makes a new one; sessions drop.",
            Some(
                "Get-ChildItem 'Cert:\\LocalMachine\\Remote Desktop' | Remove-Item; Restart-Service TermService -Force",
            ),
        )],
        ..verdict(
            VerdictId::CertificateExpired,
            Confidence::Likely,
            Phase::Tls,
            "The server's certificate expired 11 days ago: clients refuse it, or warn.",
        )
    };
    record(conversation(), verdict, answered(), Some(Phase::Credssp))
}

fn refused() -> Record {
    let failed = Detail::ConnectFailed {
        address: "192.0.2.10:3389".to_owned(),
        error: ConnectError::Refused,
        reason: "connection refused".to_owned(),
        took_us: 300,
    };
    let mut probe = found();
    probe.tcp[0].rounds = vec![None; 3];
    probe.tcp[0].rtt_us = None;
    probe.tcp[0].failures =
        vec![TcpFailure { error: ConnectError::Refused, reason: "connection refused".to_owned(), count: 3 }];
    let verdict =
        verdict(VerdictId::TcpRefused, Confidence::Confirmed, Phase::Tcp, "Nothing listens on that port.");
    record(resolved().proxy(2_100, Leg::Server, Phase::Tcp, failed), verdict, probe, Some(Phase::Dns))
}

fn healthy_target() -> Record {
    let mut probe = answered();
    let mut own = certificate("srv10.contoso.local");
    own.not_after_unix += 30_000_000;
    own.not_after = "2027-10-22T12:20:00Z".to_owned();
    probe.certificate.as_mut().unwrap().chain = vec![own.into()];
    probe.flaky.clear();
    probe.left_out.clear();
    let verdict =
        verdict(VerdictId::Healthy, Confidence::Likely, Phase::Credssp, "Everything that was asked works.");
    let script = connected()
        .client(4_100, Phase::Tls, client_hello("srv10.contoso.local"))
        .server(8_200, Phase::Tls, server_hello(0x1302, true))
        .client(12_000, Phase::Tls, Detail::HandshakeComplete);
    record(script, verdict, probe, Some(Phase::Credssp))
}

/// Every line of `text` fits, and nothing in it is dangerous. Commands are whole, so that they can be copied.
fn assert_readable(text: &str, style: &Style) {
    for line in text.lines().filter(|line| !line.starts_with("             ")) {
        assert!(line.chars().count() <= style.width, "{line}");
    }
    assert!(!text.contains(['\x1b', '\u{202e}']), "{text}");
}

#[test]
fn one_with_an_expired_certificate() {
    let text = text(&expired(), &STYLE);
    assert!(text.starts_with("VERDICT    certificate-expired (likely): "), "the answer comes first");
    assert_readable(&text, &STYLE);
    insta::assert_snapshot!(text);
}

#[test]
fn everything_is_told_with_v() {
    let text = text(&expired(), &VERBOSE);
    assert_readable(&text, &VERBOSE);
    insta::assert_snapshot!(text);
}

#[test]
fn one_that_is_healthy() {
    insta::assert_snapshot!(text(&healthy_target(), &STYLE));
}

#[test]
fn one_that_refuses() {
    insta::assert_snapshot!(text(&refused(), &STYLE));
}

#[test]
fn one_that_says_nothing() {
    let mut probe = found();
    let silent = |name: &str| NegotiationCheck {
        requested_protocols: vec![name.to_owned()],
        answer: NegotiationAnswer::Silent,
        took_us: 5_000_000,
    };
    probe.negotiation = vec![silent("RDP"), silent("SSL")];
    let script = connected().client(2_600, Phase::X224, asked(Some("rdpscope"), &["SSL", "HYBRID"]));
    let verdict = verdict(
        VerdictId::RdpSilent,
        Confidence::Confirmed,
        Phase::X224,
        "The server takes the connection and never answers.",
    );
    insta::assert_snapshot!(text(&record(script, verdict, probe, Some(Phase::Tcp)), &STYLE));
}

#[test]
fn classic_security_and_what_came_after_a_refusal() {
    let mut probe = found();
    let methods = ["40BIT_ENCRYPTION_FLAG", "56BIT_ENCRYPTION_FLAG", "128BIT_ENCRYPTION_FLAG"];
    probe.classic = Some(ClassicCheck {
        methods: methods.map(str::to_owned).to_vec(),
        level: Some("ENCRYPTION_LEVEL_CLIENT_COMPATIBLE".to_owned()),
        ..ClassicCheck::default()
    });
    probe.credssp_after_refusal = Some(CredsspCheck { version: Some(6), ..CredsspCheck::default() });
    let verdict = verdict(VerdictId::TlsRefusedByServer, Confidence::Confirmed, Phase::X224, "It refuses.");
    let text = text(&record(connected(), verdict, probe, Some(Phase::Tcp)), &STYLE);
    assert_readable(&text, &STYLE);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "encryption of classic RDP security: RC4 with 40 bits, RC4 with 56 bits, RC4 with 128 bits; level client \
         compatible",
        "credssp although TLS was refused: CredSSP 6",
    ] {
        assert!(words.contains(said), "{text}");
    }
}

#[test]
fn what_a_hostile_server_says_is_shown_and_not_obeyed() {
    let evil = || "\x1b[2J\u{202e}\r\nVERDICT healthy".to_owned();
    let mut probe = answered();
    probe.dns.as_mut().unwrap().reverse = BTreeMap::from([("192.0.2.10".to_owned(), Some(evil()))]);
    probe.negotiation[0].answer =
        NegotiationAnswer::OtherProtocol { protocol: Some(evil()), first_bytes: evil() };
    probe.credssp.as_mut().unwrap().challenge.as_mut().unwrap().netbios_computer = Some(evil());
    probe.credssp.as_mut().unwrap().failure = Some(evil());
    probe.credssp_after_refusal = probe.credssp.clone();
    probe.classic =
        Some(ClassicCheck { methods: vec![evil()], level: Some(evil()), ..ClassicCheck::default() });
    probe.flaky[0].check = evil();
    probe.left_out[0].reason = evil();
    let check = probe.certificate.as_mut().unwrap();
    check.reason = Some(evil());
    check.crl = vec![evil()];
    check.unreadable = vec![evil()];
    let verdict = verdict(VerdictId::ServerClosed, Confidence::Possible, Phase::Tls, &evil());
    let record = record(conversation(), verdict, probe, Some(Phase::Tls));
    for style in [STYLE, VERBOSE, Style { ascii: true, ..VERBOSE }] {
        let text = text(&record, &style);
        assert_readable(&text, &style);
        assert!(!text.lines().skip(1).any(|line| line.starts_with("VERDICT")), "{text}");
        assert_readable(&progress_line(&Row::new(&record), 20, &style), &style);
    }
}

#[test]
fn many_targets_with_one_that_fails() {
    let mut rows: Vec<Row> = (1..=9)
        .map(|number| Row { target: format!("srv{number}:3389"), ..Row::new(&healthy_target()) })
        .collect();
    rows.insert(0, Row { target: "srv10:3389".to_owned(), ..Row::new(&expired()) });
    rows.insert(3, Row { target: "srv11:3389".to_owned(), ..Row::new(&refused()) });
    let difference = "srv10 differs from the nine that work in: certificate validity (expired 11 days ago; the others valid)";
    let comparison = Comparison {
        targets: 11,
        without_result: 2,
        failing: 2,
        working: 9,
        verdicts: BTreeMap::from([
            ("healthy".to_owned(), 9),
            ("certificate-expired".to_owned(), 1),
            ("tcp-refused".to_owned(), 1),
        ]),
        sentences: vec![difference.to_owned()],
        ..Comparison::default()
    };
    let progress: Vec<String> = rows.iter().take(2).map(|row| progress_line(row, 10, &STYLE)).collect();
    let table = summary_table(&rows, &comparison, &STYLE);
    assert_readable(&table, &STYLE);
    insta::assert_snapshot!(format!("{}\n\n{table}", progress.join("\n")));
}

#[test]
fn of_many_that_work_only_the_number_is_told() {
    let rows: Vec<Row> = (0..500)
        .map(|number| Row { target: format!("srv{number}:3389"), ..Row::new(&healthy_target()) })
        .collect();
    let comparison = Comparison { targets: 500, working: 500, ..Comparison::default() };
    let table = summary_table(&rows, &comparison, &STYLE);
    assert!(table.lines().count() < 10 && table.contains("500 more work"), "{table}");
    let table = summary_table(&rows, &comparison, &VERBOSE);
    let place = |name: &str| table.find(name).unwrap();
    assert!(
        place("srv9:") < place("srv10:") && place("srv10:") < place("srv100:"),
        "in the order of numbers"
    );
}

#[test]
fn the_lines_of_a_target_have_their_order() {
    let record = expired();
    let kinds = |events| {
        let name = |line: &Line| serde_json::to_value(line).unwrap()["type"].as_str().unwrap().to_owned();
        let mut kinds: Vec<String> = lines(&record, events).iter().map(name).collect();
        kinds.dedup();
        kinds
    };
    assert_eq!(kinds(false), ["probe", "phase", "summary", "verdict"]);
    assert!(kinds(true).contains(&"event".to_owned()));
}
