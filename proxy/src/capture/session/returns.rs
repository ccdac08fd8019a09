//! Attempts whose verdict waits: their client may only have left to ask its user something.

use super::recording::Finished;
use super::{Analysed, Options};
use crate::capture::Nanoseconds;
use crate::trace::Phase;
use std::net::{IpAddr, SocketAddr};

const SECOND: Nanoseconds = 1_000_000_000;
/// How long a client has to dial again, as in a live session.
const RETURN_WINDOW: Nanoseconds = 5 * SECOND;
/// How long a connection of a client that did come back has to get further.
const PROGRESS_WINDOW: Nanoseconds = 60 * SECOND;
/// Verdicts that wait at once; what would be one more is given without.
const MOST_WAITING: usize = 1024;

/// Who dials whom.
pub(super) type Pair = (IpAddr, SocketAddr);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Returns {
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// The place of its connection among all of the file.
    place: u64,
    pair: Pair,
    ended: Nanoseconds,
    reached: Option<Phase>,
    finished: Finished,
}

impl Returns {
    /// An attempt is over at `now`: given back with its verdict unless that has to wait.
    pub(super) fn ended(
        &mut self,
        now: Nanoseconds,
        (place, pair): (u64, Pair),
        finished: Finished,
        options: &Options,
    ) -> Option<Analysed> {
        if !finished.may_be_a_prompt() || self.waiting.len() >= MOST_WAITING {
            return Some(finished.conclude(false, options));
        }
        let reached = finished.reached();
        self.waiting.push(Waiting { place, pair, ended: now, reached, finished });
        None
    }

    /// The connection at `place` has come so far.
    pub(super) fn progress(
        &mut self,
        (place, pair): (u64, Pair),
        reached: Option<Phase>,
        options: &Options,
    ) -> Vec<Analysed> {
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
        std::mem::take(&mut self.waiting).into_iter().map(|old| old.finished.conclude(false, options)).collect()
    }
}
