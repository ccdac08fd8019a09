use super::*;
use crate::trace::{ClosedBy, Confidence, UdpAnswer, UdpCheck, Verdict, VerdictId};
use crate::trace::{
    Comparison, Detail, End, Event, Experiment, ExperimentConclusion, ExperimentEffect, Header, How, Leg,
    Phase, Probe,
};
use proptest::prelude::*;

fn header(session: &str) -> Line {
    Line::Trace(Header {
        schema: SCHEMA_VERSION,
        rdpscope: "0.1.0".to_owned(),
        session: session.to_owned(),
        target: "srv10:3389".to_owned(),
        settings: serde_json::Map::new(),
        started: "2026-11-21T02:10:00Z".to_owned(),
    })
}

fn event(t_us: u64, detail: Detail) -> Line {
    Line::Event(Event {
        t_us,
        leg: Leg::Server,
        from: None,
        connection: None,
        phase: Phase::Tcp,
        inferred: false,
        detail,
    })
}

fn connecting(t_us: u64) -> Line {
    event(t_us, Detail::Connecting { address: "192.0.2.1:3389".to_owned() })
}

fn verdict() -> Line {
    Line::Verdict(Box::new(Verdict {
        id: VerdictId::Healthy,
        confidence: Confidence::Likely,
        phase: Phase::Active,
        summary: String::new(),
        evidence: vec![],
        by_user: false,
        ruled_out: vec![],
        alternatives: vec![],
        next: vec![],
        fix: vec![],
    }))
}

fn end() -> Line {
    Line::End(End {
        t_us: 9,
        closed_by: Some(ClosedBy::Client),
        how: Some(How::Fin),
        bytes_up: 0,
        bytes_down: 0,
    })
}

fn experiment() -> Line {
    Line::Experiment(Box::new(Experiment {
        factor: "cert".to_owned(),
        arms: vec![],
        conclusion: ExperimentConclusion {
            effect: ExperimentEffect::Inconclusive,
            guilty: None,
            p_value: None,
            because: String::new(),
        },
        confounders: vec![],
    }))
}

fn json(line: &Line) -> String {
    serde_json::to_string(line).unwrap() + "\n"
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(json).collect()
}

/// The line as `--json` prints it.
fn of_session(line: &Line, session: &str) -> String {
    let mut value = serde_json::to_value(line).unwrap();
    value["session"] = session.into();
    value.to_string() + "\n"
}

fn problems(reading: &Reading) -> Vec<String> {
    reading.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_trace_is_read_as_it_was_written() {
    let lines = [header("one"), connecting(5), verdict(), end()];
    let reading = read(text(&lines).as_bytes()).unwrap();
    assert_eq!(reading.records, [lines.into_iter().collect()]);
    assert_eq!(reading.problems, []);
}

#[test]
fn each_first_line_begins_a_record() {
    let text = text(&[header("one"), connecting(5), end(), header("two"), connecting(7)]);
    let reading = read(text.as_bytes()).unwrap();
    let sessions: Vec<&str> =
        reading.records.iter().map(|record| record.header.as_ref().unwrap().session.as_str()).collect();
    assert_eq!(sessions, ["one", "two"]);
    assert_eq!(reading.records[1].events[0].t_us, 7);
}

#[test]
fn lines_of_several_sessions_in_turn_find_their_own() {
    let text = r#"{"type":"listening","address":"127.0.0.1:13389"}"#.to_owned()
        + "\n"
        + &json(&header("one"))
        + &json(&header("two"))
        + &of_session(&connecting(1), "one")
        + &of_session(&connecting(2), "two")
        + &of_session(&end(), "one")
        + &json(&experiment())
        + &json(&verdict());
    let reading = read(text.as_bytes()).unwrap();
    assert_eq!(reading.problems, []);
    let [one, two, of_experiment] = &reading.records[..] else { panic!("{reading:?}") };
    assert_eq!((one.events[0].t_us, two.events[0].t_us), (1, 2));
    assert!(one.end.is_some() && two.end.is_none());
    assert!(of_experiment.experiment.is_some() && of_experiment.verdict.is_some());
}

#[test]
fn an_experiments_own_file_is_one_record() {
    let reading = read(text(&[header("run"), experiment(), verdict()]).as_bytes()).unwrap();
    assert_eq!(reading.records.len(), 1);
    assert!(reading.records[0].experiment.is_some() && reading.records[0].header.is_some());
}

#[test]
fn targets_of_a_probe_are_a_record_each_and_the_comparison_is_of_none() {
    let probe = |target: &str| Line::Probe(Box::new(Probe { target: target.to_owned(), ..Probe::default() }));
    let comparison = Line::Comparison(Box::new(Comparison { targets: 2, ..Comparison::default() }));
    let reading =
        read(text(&[probe("a:1"), verdict(), probe("b:1"), verdict(), comparison]).as_bytes()).unwrap();
    assert_eq!(reading.records.len(), 2);
    assert!(reading.records.iter().all(|record| record.verdict.is_some()));
    assert_eq!(reading.comparison.unwrap().targets, 2);
}

#[test]
fn the_session_that_a_connection_moved_to_is_not_the_events_own() {
    let moved = Detail::Gateway(crate::trace::GatewayMessage::ConnectionMoved { session: "one".to_owned() });
    let reading = read(text(&[header("one"), header("two"), event(3, moved)]).as_bytes()).unwrap();
    assert_eq!(reading.records[1].events.len(), 1);
}

#[test]
fn what_was_cut_is_said_and_the_rest_is_read() {
    let whole = text(&[header("one"), connecting(5), connecting(6)]);
    let reading = read(&whole.as_bytes()[..whole.len() - 9]).unwrap();
    assert_eq!(reading.records[0].events.len(), 1);
    assert_eq!(
        problems(&reading),
        ["the trace ends in the middle of line 3: the program that wrote it was stopped"]
    );
}

#[test]
fn unknown_and_broken_lines_are_counted() {
    let text = text(&[header("one")])
        + "{\"type\":\"weather\",\"sun\":1}\n"
        + "{\"type\":\"event\",\"t_us\":1,\"leg\":\"client\",\"phase\":\"tcp\",\"event\":\"rained\"}\n"
        + "not json\n\n"
        + &json(&connecting(5));
    let reading = read(text.as_bytes()).unwrap();
    assert_eq!(reading.records[0].events.len(), 1);
    assert_eq!(
        problems(&reading),
        [
            "line 4 is no line of a trace and is left out",
            "2 lines of a kind that this version does not know are left out: event rained, weather"
        ]
    );
}

#[test]
fn another_schema_is_named_and_what_is_alike_is_read() {
    let newer = json(&header("one")).replace("\"schema\":1", "\"schema\":7").replace("0.1.0", "3.0.0");
    let strange = "{\"type\":\"trace\",\"schema\":9,\"rdpscope\":\"9.0.0\",\"host\":\"srv10\"}\n";
    let reading = read((newer + &json(&connecting(5)) + strange + &json(&connecting(6))).as_bytes()).unwrap();
    assert_eq!(reading.records.len(), 2);
    assert_eq!(reading.records[1].events[0].t_us, 6);
    assert_eq!(
        problems(&reading)[0],
        "the trace has schema 7, written by rdpscope 3.0.0, and this program reads schema 1: what both have in common \
         is shown"
    );
    assert_eq!(reading.problems.len(), 2);
}

#[test]
fn what_is_no_trace_is_refused_by_what_it_is() {
    assert_eq!(read(b" \n"), Err(NotATrace::Empty));
    assert_eq!(read(b"\x0a\x0d\x0d\x0a\x1c\0\0\0"), Err(NotATrace::Capture));
    for other in [&b"{\"a\":1}\n"[..], b"hello", b"{\"type\":\"weather\"}\n", b"\xff\xfe"] {
        assert_eq!(read(other), Err(NotATrace::Other));
    }
}

#[test]
fn a_byte_order_mark_is_no_text() {
    let lines = text(&[header("one"), connecting(5)]);
    for beginning in ["\u{feff}", "\u{feff}\r\n"] {
        let reading = read((beginning.to_owned() + &lines).as_bytes()).unwrap();
        assert_eq!((reading.records[0].events.len(), reading.problems), (1, vec![]));
    }
    assert_eq!(read("\u{feff}".as_bytes()), Err(NotATrace::Other));
}

#[test]
fn a_probe_that_asked_for_udp_is_read_back() {
    let answers = [(1, UdpAnswer::Unreachable), (2, UdpAnswer::Silent { sent: 3 })];
    let udp = UdpCheck {
        address: "192.0.2.1:3389".to_owned(),
        versions: answers.into_iter().collect(),
        ..UdpCheck::default()
    };
    let probe = Probe { target: "srv10:3389".to_owned(), udp: Some(udp), ..Probe::default() };
    let reading = read(text(&[Line::Probe(Box::new(probe.clone())), verdict()]).as_bytes()).unwrap();
    assert_eq!(reading.problems, []);
    assert_eq!(reading.records[0].probe, Some(Box::new(probe)));
}

proptest! {
    /// A program that is killed leaves any beginning of its trace.
    #[test]
    fn any_beginning_of_a_trace_is_read(length in 0usize..900) {
        let whole = text(&[header("one"), connecting(5), connecting(6), verdict(), end()]);
        let cut = &whole[..length.min(whole.len())];
        let complete = cut.matches('\n').count();
        match read(cut.as_bytes()) {
            Err(error) => prop_assert!(complete == 0, "{error}"),
            Ok(reading) => {
                prop_assert_eq!(reading.records.len(), 1);
                prop_assert!(reading.problems.len() <= 1);
                let cut = Problem::CutShort { line: complete + 1 };
                prop_assert!(reading.problems.iter().all(|problem| *problem == cut));
            }
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&[text(&[header("one")]).as_bytes(), &bytes].concat());
    }
}
