//! Snapshots of what an administrator sees.

mod credssp;
mod documents;
mod dom;
mod experiment;
mod gateway;
mod html;
mod probe;
mod script;
mod sessions;

use super::*;
use crate::trace::*;
use script::*;
use sessions::*;

const STYLE: Style = Style { color: false, width: 80, verbose: 0, ascii: false };

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
            Detail::Certificate {
                chain: vec![certificate.into()],
                unreadable: vec![EVIL.to_owned()],
                der: vec![],
            },
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
        connection: None,
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
        connection: None,
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
