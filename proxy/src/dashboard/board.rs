//! Everything that is on the page: bounded, whatever the relay serves.

use super::metrics::Metrics;
use super::news::{Ending, News, What};
use super::view::{Change, ExperimentView, SessionView, Totals};
use crate::recorder::SessionId;
use crate::trace::Record;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Sessions on the page, some 2 KiB each here and in every browser. The oldest that are over leave it first; their
/// traces stay.
pub(super) const MOST_SESSIONS: usize = 500;
/// Records that are kept for reports where no trace is: one with all the events that a record may have takes 2 MiB.
const MOST_RECORDS: usize = 64;

/// The page's content.
#[derive(Debug, Default)]
pub(super) struct Board {
    entries: HashMap<SessionId, SessionView>,
    /// Ids by number: the order in which they began.
    order: BTreeMap<u64, SessionId>,
    /// Those of the sessions on the page that are over, oldest first.
    over: BTreeSet<u64>,
    /// Records of the last ones.
    records: VecDeque<(SessionId, Arc<Record>)>,
    count: u64,
    totals: Totals,
    experiment: Option<ExperimentView>,
    pub(super) metrics: Metrics,
    changed: BTreeSet<u64>,
    gone: Vec<String>,
    is_changed: bool,
}

impl Board {
    /// Takes what is new of a session.
    pub(super) fn take(&mut self, news: News) {
        self.is_changed = true;
        match news.what {
            What::Began(beginning) => {
                self.count_in();
                let Some(view) = self.add(&news.session) else { return self.totals.unseen += 1 };
                view.begin(&beginning);
            }
            What::Progress(progress) => {
                let Some(view) = self.entries.get_mut(&news.session) else { return };
                view.progress(&progress);
                self.changed.insert(view.number);
            }
            What::Ended(ending) => self.end(&news.session, *ending),
        }
    }

    fn count_in(&mut self) {
        self.totals.active += 1;
        self.metrics.began();
    }

    /// A new place on the page; none where every place is held by a session that runs.
    fn add(&mut self, session: &SessionId) -> Option<&mut SessionView> {
        if self.entries.len() >= MOST_SESSIONS {
            let oldest = self.over.pop_first()?;
            self.remove(oldest);
        }
        self.count += 1;
        let view = SessionView { id: session.to_string(), number: self.count, ..SessionView::default() };
        self.order.insert(self.count, session.clone());
        self.changed.insert(self.count);
        Some(self.entries.entry(session.clone()).or_insert(view))
    }

    fn remove(&mut self, number: u64) {
        let Some(session) = self.order.remove(&number) else { return };
        self.entries.remove(&session);
        self.records.retain(|(id, _)| *id != session);
        self.changed.remove(&number);
        self.totals.left += 1;
        self.gone.push(session.to_string());
    }

    fn end(&mut self, session: &SessionId, ending: Ending) {
        self.totals.active = self.totals.active.saturating_sub(1);
        let verdict = ending.verdict.as_ref().map_or("none", |answer| answer.id.as_str());
        *self.totals.verdicts.entry(verdict).or_default() += 1;
        self.metrics.ended(&ending);
        if !self.entries.contains_key(session) {
            self.totals.unseen = self.totals.unseen.saturating_sub(1);
            if self.add(session).is_none() {
                self.totals.left += 1;
                return;
            }
        }
        let Some(view) = self.entries.get_mut(session) else { return };
        view.end(&ending);
        self.over.insert(view.number);
        self.changed.insert(view.number);
        if let Some(record) = ending.record {
            self.records.push_back((session.clone(), record));
            if self.records.len() > MOST_RECORDS {
                self.records.pop_front();
            }
        }
    }

    /// The experiment and the attempt that is due.
    pub(super) fn set_experiment(&mut self, experiment: ExperimentView) {
        self.is_changed = true;
        self.experiment = Some(experiment);
    }

    /// The turn of the attempt that is due.
    pub(super) fn turn(&self) -> Option<u64> {
        self.experiment.as_ref()?.attempt.as_ref().map(|attempt| attempt.turn)
    }

    /// A session that is on the page.
    pub(super) fn session(&self, id: &str) -> Option<(&SessionId, &SessionView)> {
        self.entries.get_key_value(id)
    }

    /// The record of a session, where it was kept.
    pub(super) fn record(&self, id: &str) -> Option<Arc<Record>> {
        self.records.iter().find(|(session, _)| **session == *id).map(|(_, record)| record.clone())
    }

    /// What has changed since it was last asked, where something has.
    pub(super) fn change(&mut self) -> Option<Change> {
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        let numbers = std::mem::take(&mut self.changed);
        let views = numbers.iter().filter_map(|number| self.entries.get(self.order.get(number)?));
        Some(Change {
            sessions: views.cloned().collect(),
            gone: std::mem::take(&mut self.gone),
            totals: self.totals.clone(),
            experiment: self.experiment.clone(),
        })
    }

    /// All there is, the newest session first.
    pub(super) fn everything(&self) -> Change {
        let views = self.order.values().rev().filter_map(|session| self.entries.get(session));
        Change {
            sessions: views.cloned().collect(),
            gone: Vec::new(),
            totals: self.totals.clone(),
            experiment: self.experiment.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::news::{Answer, Beginning, Progress};
    use crate::trace::{Confidence, Phase, VerdictId};

    fn began(id: &str) -> News {
        News { session: SessionId::from(id), what: What::Began(Box::default()) }
    }

    fn ended(id: &str, record: Option<Arc<Record>>) -> News {
        let ending = Ending {
            beginning: Beginning { target: "srv\x1b[2J<b>10".to_owned(), ..Beginning::default() },
            progress: Progress::default(),
            verdict: Some(Answer {
                id: VerdictId::CertificateExpired,
                confidence: Confidence::Confirmed,
                phase: Phase::Tls,
                summary: "x".repeat(100_000),
                is_fault: true,
                is_good: false,
            }),
            end: None,
            dropped_lines: 0,
            record,
        };
        News { session: SessionId::from(id), what: What::Ended(Box::new(ending)) }
    }

    #[test]
    fn the_oldest_that_are_over_leave_the_page_and_are_counted() {
        let mut board = Board::default();
        board.take(began("runs"));
        for number in 0..MOST_SESSIONS + 10 {
            board.take(began(&number.to_string()));
            board.take(ended(&number.to_string(), Some(Arc::default())));
        }
        let shown = board.everything();
        assert_eq!(shown.sessions.len(), MOST_SESSIONS);
        assert_eq!(shown.totals.left, 11);
        assert_eq!(shown.totals.active, 1);
        assert_eq!(shown.totals.verdicts.values().sum::<u64>(), MOST_SESSIONS as u64 + 10);
        assert_eq!(shown.sessions.last().map(|it| &*it.id), Some("runs"), "what runs stays");
        assert!(board.session("0").is_none() && board.record("0").is_none());
        assert_eq!(board.records.len(), MOST_RECORDS);
        assert_eq!(board.change().map(|change| change.gone.len()), Some(11));
    }

    #[test]
    fn a_page_full_of_running_sessions_counts_the_others() {
        let mut board = Board::default();
        for number in 0..MOST_SESSIONS + 3 {
            board.take(began(&number.to_string()));
        }
        let shown = board.everything();
        assert_eq!((shown.sessions.len(), shown.totals.unseen), (MOST_SESSIONS, 3));
        board.take(ended(&(MOST_SESSIONS + 1).to_string(), None));
        board.take(ended("7", None));
        let shown = board.everything();
        assert_eq!((shown.totals.unseen, shown.totals.left, shown.totals.active), (2, 1, 501));
    }

    #[test]
    fn what_has_changed_is_told_once() {
        let mut board = Board::default();
        assert!(board.change().is_none());
        board.take(began("one"));
        board.take(began("two"));
        assert_eq!(board.change().map(|change| change.sessions.len()), Some(2));
        assert!(board.change().is_none());
        board.take(ended("two", None));
        let change = board.change().unwrap();
        assert_eq!(change.sessions.len(), 1);
        let json = serde_json::to_string(&change).unwrap();
        assert!(json.contains(r"srv\\x1b[2J<b>10") && json.len() < 2000, "{json}");
    }
}
