//! Attempts whose verdict waits: their client may only have left to ask its user something.

use super::recording::Finished;
use super::{Analysed, Options};
use crate::capture::Nanoseconds;
use crate::trace::Phase;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

const SECOND: Nanoseconds = 1_000_000_000;
/// How long a client has to dial again. A live session's verdict waits for five seconds, because its user does; here nobody
/// waits, and whoever is asked for a password may take his time.
const RETURN_WINDOW: Nanoseconds = 60 * SECOND;
/// How long a connection of a client that did come back has to get further.
const PROGRESS_WINDOW: Nanoseconds = 120 * SECOND;
/// Verdicts that wait at once; what would be one more is given without.
const MOST_WAITING: usize = 1024;
/// Pairs whose connections are remembered, and connections of each: whoever came back did so among the next few.
const MOST_PAIRS: usize = 4096;
const MOST_OF_PAIR: usize = 16;

/// Who dials whom.
pub(super) type Pair = (IpAddr, SocketAddr);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Returns {
    waiting: Vec<Waiting>,
    /// The newest connections of each pair. A connection is closed, as far as a capture tells, some time after its end, so
    /// that who came back may already have come.
    came: HashMap<Pair, VecDeque<Came>>,
}

/// A connection: its place, when it began, how far it came.
#[derive(Debug, Clone, Copy)]
struct Came {
    place: u64,
    began: Nanoseconds,
    reached: Option<Phase>,
}

#[derive(Debug)]
struct Waiting {
    /// The place of its connection among all of the file.
    place: u64,
    pair: Pair,
    ended: Nanoseconds,
    reached: Option<Phase>,
    /// Elsewhere, because those that wait are often looked through, and move up when one of them goes.
    finished: Box<Finished>,
}

impl Returns {
    /// A connection begins.
    pub(super) fn began(&mut self, began: Nanoseconds, (place, pair): (u64, Pair)) {
        if self.came.len() >= MOST_PAIRS && !self.came.contains_key(&pair) {
            self.came.clear();
        }
        let came = self.came.entry(pair).or_default();
        if came.len() == MOST_OF_PAIR {
            came.pop_front();
        }
        came.push_back(Came { place, began, reached: None });
    }

    /// An attempt is over that ended at `ended`: given back with its verdict unless that has to wait.
    pub(super) fn ended(
        &mut self,
        ended: Nanoseconds,
        (place, pair): (u64, Pair),
        finished: Finished,
        options: &Options,
    ) -> Option<Analysed> {
        if !finished.may_be_a_prompt() || self.waiting.len() >= MOST_WAITING {
            return Some(finished.conclude(false, options));
        }
        let reached = finished.reached();
        let in_time = |came: &Came| came.began <= ended.saturating_add(RETURN_WINDOW);
        let is_return = |came: &Came| came.place > place && in_time(came) && came.reached > reached;
        if self.came.get(&pair).is_some_and(|came| came.iter().any(is_return)) {
            return Some(finished.conclude(true, options));
        }
        self.waiting.push(Waiting { place, pair, ended, reached, finished: Box::new(finished) });
        None
    }

    /// The connection at `place` has come so far.
    pub(super) fn progress(
        &mut self,
        (place, pair): (u64, Pair),
        reached: Option<Phase>,
        options: &Options,
    ) -> Vec<Analysed> {
        let came = self.came.get_mut(&pair).and_then(|came| came.iter_mut().find(|it| it.place == place));
        if let Some(came) = came {
            came.reached = reached;
        }
        let passed = |old: &mut Waiting| old.pair == pair && old.place < place && old.reached < reached;
        let passed = self.waiting.extract_if(.., passed);
        passed.map(|old| old.finished.conclude(true, options)).collect()
    }

    /// Those that wait in vain at `now`; `is_back` tells whether a pair has a connection open that began after a place.
    pub(super) fn in_vain(
        &mut self,
        now: Nanoseconds,
        is_back: impl Fn(Pair, u64) -> bool,
        options: &Options,
    ) -> Vec<Analysed> {
        let gave_up = |old: &mut Waiting| {
            let waited = now.saturating_sub(old.ended);
            waited >= PROGRESS_WINDOW || waited >= RETURN_WINDOW && !is_back(old.pair, old.place)
        };
        let gone = self.waiting.extract_if(.., gave_up);
        gone.map(|old| old.finished.conclude(false, options)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Nobody will dial any more.
    pub(super) fn close(&mut self, options: &Options) -> Vec<Analysed> {
        std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|old| old.finished.conclude(false, options))
            .collect()
    }
}
