//! Which sessions are shown line by line: as many as somebody can read.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sessions that begin within this time are as many to read as those that are there at once.
const READING: Duration = Duration::from_secs(1);

/// Counts sessions.
pub(super) struct Followed {
    most: usize,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    live: usize,
    /// When the latest began, as many of them as are followed at most.
    began: VecDeque<Instant>,
}

impl Followed {
    /// At most so many at once, and so many that begin within a second.
    pub(super) fn new(most: usize) -> Followed {
        Followed { most, sessions: Mutex::default() }
    }

    /// A session begins; whether it is followed.
    pub(super) fn begin(&self, now: Instant) -> bool {
        let mut sessions = self.lock();
        sessions.live += 1;
        if sessions.live > self.most {
            return false;
        }
        while sessions.began.front().is_some_and(|began| now.saturating_duration_since(*began) >= READING) {
            sessions.began.pop_front();
        }
        let is_followed = sessions.began.len() < self.most;
        if is_followed {
            sessions.began.push_back(now);
        }
        is_followed
    }

    /// A session is over.
    pub(super) fn end(&self) {
        self.lock().live -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_followed_as_can_be_read() {
        let followed = Followed::new(2);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(followed.begin(at(0)) && followed.begin(at(600)));
        assert!(!followed.begin(at(2000)), "two are there");
        (0..3).for_each(|_| followed.end());
        assert!(followed.begin(at(2000)));
        followed.end();
        assert!(followed.begin(at(2100)));
        followed.end();
        assert!(!followed.begin(at(2200)), "two began just now");
        followed.end();
        assert!(followed.begin(at(3000)));
    }
}
