use super::*;
use crate::trace::{
    ClosedBy, Confidence, Detail, End, Finding, How, Leg, Phase, SCHEMA_VERSION, Verdict, VerdictId,
};
use std::sync::Mutex;

/// Remembers what it was shown.
#[derive(Clone, Default)]
struct Witness {
    seen: Arc<Mutex<Vec<(SessionId, Line)>>>,
}

impl Witness {
    fn of(&self, session: &str) -> Vec<Line> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(id, _)| &**id == session).map(|(_, line)| line.clone()).collect()
    }
}

impl Watcher for Witness {
    fn most_followed(&self) -> usize {
        1
    }

    fn line(&mut self, session: &SessionId, line: &Line) {
        self.seen.lock().unwrap().push((session.clone(), line.clone()));
    }

    fn notice(&mut self, text: &str) {
        panic!("{text}");
    }
}

fn begin(id: &str, recorder: &Recorder) -> SessionTrace {
    let start = TraceStart {
        id: id.into(),
        target: "srv10:3389".to_owned(),
        settings: serde_json::Map::new(),
        started: jiff::Timestamp::UNIX_EPOCH,
        began: Instant::now(),
    };
    let mut trace = SessionTrace::begin(start, recorder.handle());
    trace.say(Leg::Server, None, Phase::Tcp, Detail::Connecting { address: "192.0.2.1:3389".to_owned() });
    trace
}

fn last_lines() -> Vec<Line> {
    let verdict = Verdict {
        id: VerdictId::ClientClosed,
        confidence: Confidence::Possible,
        phase: Phase::Tcp,
        summary: String::new(),
        evidence: vec![],
        by_user: false,
        ruled_out: vec![],
        alternatives: vec![],
        next: vec![],
        fix: vec![],
    };
    let end =
        End { t_us: 1, closed_by: Some(ClosedBy::Client), how: Some(How::Fin), bytes_up: 0, bytes_down: 0 };
    vec![Line::Verdict(Box::new(verdict)), Line::End(end)]
}

#[tokio::test]
async fn what_is_not_followed_is_written_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let traces = TraceFolder::open(folder.path()).unwrap();
    let witness = Witness::default();
    let recorder = Recorder::start(Some(traces.clone()), Box::new(witness.clone())).unwrap();
    let (first, second) = (begin("first", &recorder), begin("second", &recorder));
    let records = [first.conclude(last_lines()).await, second.conclude(last_lines()).await];
    recorder.finish();
    for (session, record) in ["first", "second"].into_iter().zip(records) {
        let text = std::fs::read_to_string(traces.trace_path(&session.into())).unwrap();
        let written: Vec<Line> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(written.len(), 4);
        assert!(matches!(&written[0], Line::Trace(header) if header.schema == SCHEMA_VERSION));
        assert_eq!(written.into_iter().collect::<crate::trace::Record>(), record);
    }
    assert_eq!(witness.of("first").len(), 4);
    assert_eq!(witness.of("second"), last_lines());
}

#[test]
fn one_session_alone_is_written_at_once_and_many_together() {
    let began = Instant::now();
    let at = |ms| began + Duration::from_millis(ms);
    let mut pace = Pace::new(began);
    assert!(!pace.is_busy(at(1), 15));
    assert!(pace.is_busy(at(2), BUSY_BATCHES));
    assert!(pace.is_busy(at(30), 1), "the window before was busy");
    assert!(!pace.is_busy(at(60), 1));
    assert!(!pace.is_busy(at(61), 1));
}

/// Takes a line only when it is told to.
struct Stuck {
    reached: std::sync::mpsc::Sender<()>,
    turns: std::sync::mpsc::Receiver<()>,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Watcher for Stuck {
    fn most_followed(&self) -> usize {
        usize::MAX
    }

    fn line(&mut self, _session: &SessionId, _line: &Line) {
        // Once who gives the turns has gone, nothing holds it up any more.
        let _ = (self.reached.send(()), self.turns.recv());
    }

    fn notice(&mut self, text: &str) {
        self.notices.lock().unwrap().push(text.to_owned());
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_is_stuck_keeps_no_session_and_says_what_it_lost() {
    let ((go_on, turns), (reached, is_stuck)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let notices = Arc::<Mutex<Vec<String>>>::default();
    let stuck = Stuck { reached, turns, notices: notices.clone() };
    let recorder = Recorder::start(None, Box::new(stuck)).unwrap();
    let mut first = begin("first", &recorder);
    is_stuck.recv().unwrap();
    let connecting = || Detail::Connecting { address: "192.0.2.1:3389".to_owned() };
    while recorder.handle().unwrap().sender.capacity() > 0 {
        first.say(Leg::Server, None, Phase::Tcp, connecting());
    }
    assert!(first.record().events.len() <= 4096, "what is told is bounded");
    let began = tokio::time::Instant::now();
    let record = first.conclude(last_lines()).await;
    assert!(record.end.is_some() && began.elapsed() >= END_PATIENCE, "it hoped for room");
    let began = tokio::time::Instant::now();
    begin("second", &recorder).conclude(last_lines()).await;
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody hopes for a recorder that is known to be stuck");
    drop(go_on);
    recorder.finish();
    let notices = notices.lock().unwrap();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("the traces of 2 sessions have no end"), "{notices:?}");
}

#[test]
fn a_trace_has_escapes_for_what_a_terminal_obeys() {
    let said = "Jos\u{e9} \u{9b}31m\u{202e}";
    let finding = Finding { id: "test".to_owned(), phase: Phase::Tls, text: said.to_owned() };
    let line = String::from_utf8(text(&[Line::Finding(finding.clone())])).unwrap();
    assert!(line.contains("Jos\u{e9} \\u009b31m\\u202e"), "{line}");
    assert_eq!(line.trim_end().parse::<Line>().unwrap(), Line::Finding(finding));
}
