//! What is said while sessions run, on a thread of its own: a reader that is slow, or a terminal that was stopped, holds
//! neither the traces nor the sessions up. What it does not take waits up to a limit, then it is left out and counted.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes that may wait for who reads them: all that some 500 sessions say in JSON.
const MOST_WAITING: usize = 8 * 1024 * 1024;
/// The same for how sessions ended, which is kept when the rest is left out: of some 4,000 more of them.
const MOST_LAST_WORDS: usize = 2 * MOST_WAITING;
/// Texts for one reader are joined up to this size, so that one write takes them.
const MOST_JOINED: usize = 64 * 1024;
/// At the end a reader that takes nothing for so long takes nothing any more.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// How much it matters that something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// One of many things.
    Usual,
    /// How a session ended, or what went wrong.
    LastWord,
}

/// Says texts for readers of kind `T`, in their order.
pub(super) struct Speaker<T: Send + 'static> {
    queue: Arc<Queue<T>>,
    thread: Option<JoinHandle<()>>,
    /// Texts that were left out since the last one that was not.
    lost: u64,
    patience: Duration,
}

/// What waits to be said.
struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    texts: VecDeque<(T, String)>,
    bytes: usize,
    /// Texts that were said, to see that there is progress.
    said: u64,
    is_over: bool,
    /// The thread says something at this moment.
    is_speaking: bool,
}

impl<T: Copy + PartialEq + Send + 'static> Speaker<T> {
    /// One that says texts with `say`, whole lines of them at a time and without the last line end.
    pub(super) fn start(say: impl FnMut(T, &str) + Send + 'static) -> Speaker<T> {
        let state = State { texts: VecDeque::new(), bytes: 0, said: 0, is_over: false, is_speaking: false };
        let queue = Arc::new(Queue { state: Mutex::new(state), changed: Condvar::new() });
        let speaking = queue.clone();
        let thread = std::thread::Builder::new().name("console".to_owned());
        // Without the thread nothing can be said, and what the sessions are for goes on.
        let thread = thread.spawn(move || speaking.speak(say)).ok();
        Speaker { queue, thread, lost: 0, patience: END_PATIENCE }
    }

    /// Says a text; where there is no room for it, it is left out and counted. It waits for [`Speaker::flush`] at most.
    pub(super) fn say(&mut self, to: T, text: &str, weight: Weight) {
        let most = match weight {
            Weight::Usual => MOST_WAITING,
            Weight::LastWord => MOST_LAST_WORDS,
        };
        let mut state = self.queue.lock();
        if state.bytes + text.len() >= most {
            self.lost += 1;
            return;
        }
        state.bytes += text.len() + 1;
        match state.texts.back_mut() {
            Some((last, joined)) if *last == to && joined.len() + text.len() < MOST_JOINED => {
                joined.push('\n');
                joined.push_str(text);
            }
            _ => state.texts.push_back((to, text.to_owned())),
        }
    }

    /// How many texts were left out that nobody was told of.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// The same where there are any and there is room again to say so; they count as told then.
    pub(super) fn take_lost(&mut self) -> Option<u64> {
        let is_due = self.lost > 0 && self.queue.lock().bytes < MOST_WAITING / 2;
        is_due.then(|| std::mem::take(&mut self.lost))
    }

    /// For now there is nothing more: what waits is said.
    pub(super) fn flush(&self) {
        self.queue.changed.notify_all();
    }
}

impl<T: Send + 'static> Drop for Speaker<T> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.is_over = true;
        self.queue.changed.notify_all();
        while !state.texts.is_empty() || state.is_speaking {
            let said = state.said;
            let waited = self.queue.changed.wait_timeout(state, self.patience);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            if timeout.timed_out() && state.said == said {
                // The thread is left behind with its reader.
                return;
            }
        }
        drop(state);
        if let Some(thread) = self.thread.take() {
            // A panic was already reported by the thread.
            let _ = thread.join();
        }
    }
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn speak(&self, mut say: impl FnMut(T, &str)) {
        let mut state = self.lock();
        loop {
            if let Some((to, text)) = state.texts.pop_front() {
                state.is_speaking = true;
                drop(state);
                say(to, &text);
                state = self.lock();
                state.is_speaking = false;
                state.bytes = state.bytes.saturating_sub(text.len() + 1);
                state.said += 1;
                if state.texts.is_empty() {
                    self.changed.notify_all();
                }
            } else if state.is_over {
                return;
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A speaker whose reader takes a text each time it is told to, with what it took.
    fn slow() -> (Speaker<u8>, mpsc::Sender<()>, mpsc::Receiver<(u8, String)>) {
        let (go_on, turns) = mpsc::channel();
        let (told, taken) = mpsc::channel();
        let speaker = Speaker::start(move |to, text: &str| {
            if turns.recv().is_ok() {
                told.send((to, text.to_owned())).unwrap();
            }
        });
        (speaker, go_on, taken)
    }

    #[test]
    fn a_reader_that_stops_costs_bounded_memory_and_what_it_misses_is_counted() {
        let (mut speaker, go_on, taken) = slow();
        let line = "x".repeat(MOST_JOINED);
        let fitting = (MOST_WAITING - 1) / (MOST_JOINED + 1);
        for _ in 0..fitting + 10 {
            speaker.say(0, &line, Weight::Usual);
        }
        assert_eq!((speaker.lost(), speaker.take_lost()), (10, None), "there is no room to say so");
        for _ in 0..10 * fitting {
            speaker.say(0, "end", Weight::LastWord);
        }
        assert_eq!(speaker.lost(), 10, "how sessions ended is kept");
        assert!(speaker.queue.lock().bytes < MOST_LAST_WORDS);
        for _ in 0..2 * fitting {
            speaker.say(0, &line, Weight::LastWord);
        }
        assert!(speaker.lost() > 10 && speaker.queue.lock().bytes <= MOST_LAST_WORDS);
        let lost = speaker.lost();
        drop(go_on);
        speaker.flush();
        while speaker.queue.lock().bytes > 0 {
            std::thread::yield_now();
        }
        assert_eq!(speaker.take_lost(), Some(lost));
        assert_eq!((speaker.take_lost(), speaker.lost()), (None, 0), "once");
        drop((speaker, taken));
    }

    #[test]
    fn texts_keep_their_order_and_are_joined_for_one_reader() {
        let (mut speaker, go_on, taken) = slow();
        speaker.say(0, "first", Weight::Usual);
        while !speaker.queue.lock().is_speaking {
            speaker.flush();
        }
        for (to, text) in [(1, "a"), (1, "b"), (2, "c"), (1, "d")] {
            speaker.say(to, text, Weight::Usual);
        }
        (0..4).for_each(|_| go_on.send(()).unwrap());
        drop(speaker);
        let all: Vec<(u8, String)> = taken.try_iter().collect();
        let all: Vec<(u8, &str)> = all.iter().map(|(to, text)| (*to, &**text)).collect();
        assert_eq!(all, [(0, "first"), (1, "a\nb"), (2, "c"), (1, "d")]);
    }

    #[test]
    fn a_reader_that_takes_nothing_any_more_does_not_keep_the_program() {
        let (mut speaker, go_on, _taken) = slow();
        speaker.patience = Duration::from_millis(20);
        speaker.say(0, "never read", Weight::Usual);
        speaker.flush();
        drop(speaker);
        drop(go_on);
    }
}
