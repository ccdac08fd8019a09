//! What sessions tell the dashboard: small, made on the thread that serves the session, off which it goes through a
//! bounded queue.

use crate::recorder::{SessionId, Tap};
use crate::trace::{Confidence, Detail, End, Line, Phase, PhaseRecord, Record, Verdict, VerdictId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// News that may wait. A session brings some 20; 1,000 that open at once fit, and a full queue holds some 4 MiB.
pub(super) const QUEUE_LENGTH: usize = 16 * 1024;
/// Room of the queue that is left to beginnings and ends: progress is put right by the end, an end by nothing.
const KEPT_FOR_ENDS: usize = QUEUE_LENGTH / 2;

/// What is new of one session.
#[derive(Debug)]
pub(super) struct News {
    pub(super) session: SessionId,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Began(Box<Beginning>),
    Progress(Box<Progress>),
    Ended(Box<Ending>),
}

/// What a session's first line says.
#[derive(Debug, Clone, Default)]
pub(super) struct Beginning {
    pub(super) target: String,
    /// The arm of an experiment that it belongs to.
    pub(super) arm: Option<String>,
    /// Milliseconds since 1970.
    pub(super) started_ms: i64,
}

/// What is new of a session under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// The client's address.
    pub(super) client: Option<String>,
    /// The phase of the last thing that was seen, apart from the end of dialling.
    pub(super) current: Option<Phase>,
    /// Phases that ended.
    pub(super) phases: Vec<PhaseRecord>,
    /// How often rdpscope changed bytes.
    pub(super) altered: u64,
}

/// What a finished session came to.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub(super) beginning: Beginning,
    pub(super) progress: Progress,
    pub(super) verdict: Option<Answer>,
    pub(super) end: Option<End>,
    /// Lines of the trace that the recorder could not take.
    pub(super) dropped_lines: u64,
    /// The whole record, where no trace is kept that it could be read from.
    pub(super) record: Option<Arc<Record>>,
}

/// The part of a verdict that fits in a line.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) id: VerdictId,
    pub(super) confidence: Confidence,
    pub(super) phase: Phase,
    pub(super) summary: String,
    pub(super) is_fault: bool,
    pub(super) is_good: bool,
}

impl Beginning {
    fn of(record: &Record) -> Option<Beginning> {
        let header = record.header.as_ref()?;
        let arm = header.settings.get("arm").and_then(|arm| arm.as_str());
        Some(Beginning {
            target: header.target.clone(),
            arm: arm.map(str::to_owned),
            started_ms: header.started.parse().map_or(0, jiff::Timestamp::as_millisecond),
        })
    }
}

impl Progress {
    fn add(&mut self, line: &Line) {
        match line {
            Line::Event(event) => {
                if let (Detail::Accepted { peer, .. }, None) = (&event.detail, &self.client) {
                    self.client = Some(peer.clone());
                }
                // What the client says may come before the server's side is connected.
                if !matches!(event.detail, Detail::Connected { .. }) {
                    self.current = Some(event.phase);
                }
            }
            Line::Phase(phase) => self.phases.push(phase.clone()),
            Line::Altered(_) => self.altered += 1,
            _ => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.client.is_none() && self.current.is_none() && self.phases.is_empty() && self.altered == 0
    }
}

impl Ending {
    /// `keeps_record`: the whole of it goes along.
    fn of(record: &Record, keeps_record: bool) -> Ending {
        let client = record.find(|detail| match detail {
            Detail::Accepted { peer, .. } => Some(peer.clone()),
            _ => None,
        });
        let dropped = record.events.iter().map(|event| match event.detail {
            Detail::TraceIncomplete { dropped } => dropped,
            _ => 0,
        });
        Ending {
            beginning: Beginning::of(record).unwrap_or_default(),
            progress: Progress {
                client: client.map(|(_, client)| client),
                current: record.events.last().map(|event| event.phase),
                phases: record.phases.clone(),
                altered: record.altered.len() as u64,
            },
            verdict: record.verdict.as_ref().map(Answer::of),
            end: record.end.clone(),
            dropped_lines: dropped.sum(),
            record: keeps_record.then(|| Arc::new(record.clone())),
        }
    }
}

impl Answer {
    fn of(verdict: &Verdict) -> Answer {
        Answer {
            id: verdict.id,
            confidence: verdict.confidence,
            phase: verdict.phase,
            summary: verdict.summary.clone(),
            is_fault: verdict.is_fault(),
            is_good: verdict.is_good(),
        }
    }
}

/// Listens to the sessions for the dashboard; never waits. What the queue cannot take is dropped and counted.
pub(super) struct Listener {
    sender: mpsc::Sender<News>,
    dropped: Arc<AtomicU64>,
    keeps_records: bool,
}

impl Listener {
    pub(super) fn new(sender: mpsc::Sender<News>, dropped: Arc<AtomicU64>, keeps_records: bool) -> Listener {
        Listener { sender, dropped, keeps_records }
    }

    fn tell(&self, session: &SessionId, what: What) {
        let waits = matches!(what, What::Progress(_)) && self.sender.capacity() < KEPT_FOR_ENDS;
        let news = News { session: session.clone(), what };
        if waits || self.sender.try_send(news).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Tap for Listener {
    fn lines(&self, session: &SessionId, lines: &[Line]) {
        if let Some(Line::Trace(header)) = lines.first() {
            let record = Record { header: Some(header.clone()), ..Record::default() };
            if let Some(beginning) = Beginning::of(&record) {
                self.tell(session, What::Began(Box::new(beginning)));
            }
        }
        let mut progress = Progress::default();
        lines.iter().for_each(|line| progress.add(line));
        if !progress.is_empty() {
            self.tell(session, What::Progress(Box::new(progress)));
        }
    }

    fn concluded(&self, session: &SessionId, record: &Record) {
        self.tell(session, What::Ended(Box::new(Ending::of(record, self.keeps_records))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Event, Header, Leg, Outcome};

    fn header() -> Line {
        Line::Trace(Header {
            schema: 1,
            rdpscope: "0".to_owned(),
            session: "one".to_owned(),
            target: "srv10:3389".to_owned(),
            settings: serde_json::Map::new(),
            started: "2026-01-01T00:00:00Z".to_owned(),
        })
    }

    fn phase() -> Line {
        Line::Phase(PhaseRecord {
            phase: Phase::X224,
            leg: None,
            start_us: 1,
            end_us: 2,
            outcome: Outcome::Ok,
            inferred: false,
            waiting_for_client_us: None,
            waiting_for_server_us: None,
        })
    }

    #[test]
    fn a_full_queue_drops_progress_before_ends_and_never_waits() {
        let (sender, mut receiver) = mpsc::channel(QUEUE_LENGTH);
        let dropped = Arc::new(AtomicU64::new(0));
        let listener = Listener::new(sender, dropped.clone(), false);
        let session = SessionId::from("one");
        for _ in 0..QUEUE_LENGTH {
            listener.lines(&session, &[phase()]);
        }
        let refused = dropped.load(Ordering::Relaxed);
        assert!(refused > 0, "progress does not fill the queue");
        listener.concluded(&session, &Record::from_iter([header(), phase()]));
        assert_eq!(dropped.load(Ordering::Relaxed), refused, "the end is taken");
        let mut last = None;
        while let Ok(news) = receiver.try_recv() {
            last = Some(news);
        }
        let Some(News { what: What::Ended(ending), .. }) = last else { panic!("{last:?}") };
        assert_eq!(ending.progress.phases.len(), 1);
        assert_eq!(
            (&*ending.beginning.target, ending.beginning.started_ms),
            ("srv10:3389", 1_767_225_600_000)
        );
    }

    #[test]
    fn a_client_that_spoke_before_the_server_was_connected_is_in_the_phase_of_what_it_said() {
        let event = |phase, detail| {
            let leg = Leg::Server;
            Line::Event(Event { t_us: 1, leg, from: None, connection: None, phase, inferred: false, detail })
        };
        let address = "192.0.2.10:3389".to_owned();
        let mut progress = Progress::default();
        progress.add(&event(Phase::Tcp, Detail::Connecting { address: address.clone() }));
        progress.add(&event(Phase::X224, Detail::DisconnectRequest { reason: 0 }));
        progress.add(&event(Phase::Tcp, Detail::Connected { address, local: String::new(), took_us: 1 }));
        assert_eq!(progress.current, Some(Phase::X224));
    }

    #[test]
    fn a_batch_of_lines_is_one_piece_of_news() {
        let (sender, mut receiver) = mpsc::channel(QUEUE_LENGTH);
        let listener = Listener::new(sender, Arc::default(), false);
        listener.lines(&SessionId::from("one"), &[header(), phase(), phase()]);
        assert!(matches!(receiver.try_recv(), Ok(News { what: What::Began(_), .. })));
        let Ok(News { what: What::Progress(progress), .. }) = receiver.try_recv() else { panic!() };
        assert_eq!(progress.phases.len(), 2);
        assert!(receiver.try_recv().is_err());
    }
}
