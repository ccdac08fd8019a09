//! Busy polling: a thread that has a session whose sides answer each other within microseconds asks the system for news
//! instead of going to sleep, because waking up takes longer than such an answer.
//!
//! Measured with 64 bytes going back and forth over loopback on two processors of a virtual machine, added to the direct
//! connection at the median: 26 µs with sleeping, and less than nothing with this, as the processor is kept from
//! halting as well. A session of a person costs nothing by it, because whoever types waits longer than [`WINDOW`].

use std::cell::Cell;
use std::sync::LazyLock;
use std::task::Context;
use std::time::{Duration, Instant};

/// How long a thread stays awake for the next bytes: several times what a process of the same machine takes to answer, and so
/// short that a guess that proves wrong costs no more than a few wake-ups would.
const WINDOW: Duration = Duration::from_micros(100);
/// So many quick answers in a row show a session that stays awake; a negotiation has fewer turns.
const QUICK_ANSWERS: u32 = 16;

thread_local! {
    /// Until when a session keeps this thread awake. One is enough for all that are on the thread.
    static AWAKE_UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// With a single processor, whoever is to answer would wait for us.
static OTHERS_CAN_RUN: LazyLock<bool> =
    LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|count| count.get() > 1));

/// Decides for one session whether its thread stays awake.
#[derive(Debug, Default)]
pub(super) struct BusyPoll {
    /// Reads of both directions when something last came.
    reads: u64,
    /// Until when the next bytes count as a quick answer.
    until: Option<Instant>,
    /// In a row.
    quick_answers: u32,
    /// Until when it last kept the thread awake.
    kept_until: Option<Instant>,
}

impl BusyPoll {
    /// Called where a session has nothing to do after `reads` in all; polls again soon where staying awake is worth it.
    /// `is_calm` where messages are small: bytes that pour in wake nobody, and whoever takes them needs the processor.
    pub(super) fn wait(&mut self, cx: &mut Context<'_>, reads: u64, is_calm: bool) {
        let now = Instant::now();
        let Some(until) = self.awake_until(now, reads, is_calm) else { return };
        let awake_until = AWAKE_UNTIL.get();
        let by_another = awake_until != self.kept_until && awake_until.is_some_and(|other| now < other);
        if !by_another && *OTHERS_CAN_RUN {
            self.kept_until = Some(until);
            AWAKE_UNTIL.set(self.kept_until);
            ask_again(cx);
        }
    }

    fn awake_until(&mut self, now: Instant, reads: u64, is_calm: bool) -> Option<Instant> {
        if reads != self.reads {
            let is_quick = is_calm && self.until.is_some_and(|until| now < until);
            self.quick_answers = if is_quick { self.quick_answers.saturating_add(1) } else { 0 };
            self.until = Some(now + WINDOW);
            self.reads = reads;
        }
        self.until.filter(|until| self.quick_answers >= QUICK_ANSWERS && now < *until)
    }
}

/// Has this task polled again after the system was asked for news and all other tasks of the thread had their turn.
fn ask_again(cx: &mut Context<'_>) {
    let turn = std::pin::pin!(tokio::task::yield_now());
    // Its first poll is always pending.
    let _ = turn.poll(cx);
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(20);

    /// A session with so many messages, each so long after the one before, and when the last came.
    fn session(messages: u32, apart: Duration) -> (BusyPoll, Instant) {
        let (mut poll, mut now) = (BusyPoll::default(), Instant::now());
        for _ in 0..messages {
            now += apart;
            poll.awake_until(now, poll.reads + 1, true);
        }
        (poll, now)
    }

    /// Long enough for a thread to stay awake: the first message is no answer.
    fn quick_session() -> (BusyPoll, Instant) {
        session(1 + QUICK_ANSWERS, QUICK)
    }

    #[test]
    fn quick_answers_keep_the_thread_awake_but_not_for_long() {
        let (mut poll, now) = quick_session();
        assert!(poll.awake_until(now, poll.reads, true).is_some());
        assert!(poll.awake_until(now + WINDOW / 2, poll.reads, true).is_some());
        assert!(poll.awake_until(now + WINDOW, poll.reads, true).is_none(), "nothing came");
    }

    #[test]
    fn a_negotiation_is_too_short_for_it() {
        let (mut poll, now) = session(QUICK_ANSWERS, QUICK);
        assert!(poll.awake_until(now, poll.reads, true).is_none());
    }

    #[test]
    fn one_late_answer_sends_it_to_sleep() {
        let (mut poll, now) = quick_session();
        assert!(poll.awake_until(now + WINDOW, poll.reads + 1, true).is_none());
        assert_eq!(poll.quick_answers, 0);
    }

    #[test]
    fn whoever_types_or_moves_a_mouse_costs_nothing() {
        let (mut poll, now) = session(1000, Duration::from_millis(1));
        assert!(poll.awake_until(now, poll.reads, true).is_none());
    }

    #[test]
    fn bytes_that_pour_in_need_no_waking() {
        let (mut poll, now) = quick_session();
        assert!(poll.awake_until(now + QUICK, poll.reads + 1, false).is_none());
    }

    /// Whether it keeps the thread awake after `reads` in all.
    fn keeps_awake(poll: &mut BusyPoll, reads: u64) -> bool {
        poll.wait(&mut Context::from_waker(std::task::Waker::noop()), reads, true);
        poll.kept_until.is_some() && AWAKE_UNTIL.get() == poll.until
    }

    #[tokio::test]
    async fn one_session_of_a_thread_is_enough_and_the_next_has_its_turn_when_that_is_over() {
        let far = Instant::now() + Duration::from_secs(60);
        let quick =
            |until| BusyPoll { reads: 1, until: Some(until), quick_answers: QUICK_ANSWERS, kept_until: None };
        let (mut first, mut second) = (quick(far), quick(far + QUICK));
        if !*OTHERS_CAN_RUN {
            return assert!(!keeps_awake(&mut first, 1), "whoever is to answer would wait");
        }
        assert!(keeps_awake(&mut first, 1));
        assert!(!keeps_awake(&mut second, 1), "the first keeps the thread awake");
        assert!(keeps_awake(&mut first, 2), "the next message came");
        AWAKE_UNTIL.set(Some(Instant::now()));
        assert!(keeps_awake(&mut second, 1), "the first slept or is gone");
        assert!(!keeps_awake(&mut first, 2));
    }
}
