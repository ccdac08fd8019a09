//! How many sessions there may be at once, and what is said of those who come beyond that: a flood is refused and hurts
//! no session that runs.

use super::socket::Socket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Sessions at once, where descriptors suffice: at the 16 KiB of an idle session some 160 MiB.
const MOST_SESSIONS: usize = 10_000;
/// Descriptors that a session holds: its two sockets, its trace and its capture.
const DESCRIPTORS_OF_SESSION: u64 = 4;
/// Descriptors that are no session's: listeners, threads, names that are being resolved, the dashboard's connections.
const MOST_SPARED: u64 = 256;
/// Where there are few, this part of them is spared.
const SPARED_PART: u64 = 3;
/// A flood that lasts is told once in so long a time: often enough to see it go on, too seldom to bury anything.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// A session's place. With the last clone of it there is room for another.
pub type Place = Arc<OwnedSemaphorePermit>;

/// Room for sessions.
pub(super) struct Room {
    places: Arc<Semaphore>,
    most: usize,
    /// Descriptors that the process may have, where they are what there are too few of.
    descriptors: Option<u64>,
    refusals: Mutex<Refusals>,
}

/// Connections that found no place.
#[derive(Debug, Default)]
struct Refusals {
    all: u64,
    told: u64,
    told_at: Option<Instant>,
}

impl Room {
    /// As much as the limits of this process allow.
    pub(super) fn new() -> Room {
        let descriptors = descriptor_limit();
        let most = most_sessions(descriptors);
        let descriptors = descriptors.filter(|_| most < MOST_SESSIONS);
        Room { places: Arc::new(Semaphore::new(most)), most, descriptors, refusals: Mutex::default() }
    }

    /// A place for one more session, where there is one.
    pub(super) fn take(&self) -> Option<Place> {
        self.places.clone().try_acquire_owned().ok().map(Arc::new)
    }

    /// Refuses a connection as a port does that nobody listens on. The answer is what is to be said of it, which is
    /// little: a flood must not bury what else is said.
    pub(super) fn refuse(&self, stream: TcpStream, now: Instant) -> Option<String> {
        Socket::from(stream).reset();
        let mut refusals = self.refusals();
        refusals.all += 1;
        if refusals.told_at.is_some_and(|told_at| now.saturating_duration_since(told_at) < TOLD_EVERY) {
            return None;
        }
        let is_first = refusals.told_at.replace(now).is_none();
        let new = refusals.all - refusals.told;
        refusals.told = refusals.all;
        Some(match is_first {
            true => format!("{}; connections beyond them are refused, and counted", self.all_taken()),
            false => format!("{}; {new} more connections were refused", self.all_taken()),
        })
    }

    /// What is to be said when nobody connects any more.
    pub(super) fn last_words(&self) -> Option<String> {
        let all = self.refusals().all;
        let refused = if all == 1 { "connection was refused" } else { "connections were refused" };
        (all > 0).then(|| format!("{all} {refused} for want of room: {}", self.limit()))
    }

    fn all_taken(&self) -> String {
        format!("there is no room for another session: {}", self.limit())
    }

    fn limit(&self) -> String {
        let most = self.most;
        match self.descriptors {
            None => format!("{most} at once are the most"),
            Some(descriptors) => format!(
                "{most} at once are the most with the {descriptors} open files that this process may have (ulimit -n)"
            ),
        }
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many sessions `descriptors` suffice for; one in any case.
fn most_sessions(descriptors: Option<u64>) -> usize {
    let Some(descriptors) = descriptors else { return MOST_SESSIONS };
    let spared = MOST_SPARED.min(descriptors / SPARED_PART);
    let sessions = (descriptors - spared) / DESCRIPTORS_OF_SESSION;
    usize::try_from(sessions).map_or(MOST_SESSIONS, |sessions| sessions.clamp(1, MOST_SESSIONS))
}

/// How many descriptors this process may have; `None` where there is no limit.
fn descriptor_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};
        getrlimit(Resource::Nofile).current
    }
    #[cfg(not(unix))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[test]
    fn descriptors_bound_the_sessions() {
        assert_eq!(most_sessions(None), MOST_SESSIONS);
        assert_eq!(most_sessions(Some(1 << 20)), MOST_SESSIONS);
        assert_eq!(most_sessions(Some(4096)), 960);
        assert_eq!(most_sessions(Some(1024)), 192);
        assert_eq!([0, 1, 3, 60].map(|few| most_sessions(Some(few))), [1, 1, 1, 10]);
    }

    #[tokio::test]
    async fn who_finds_no_place_is_refused_and_told_of_once_a_minute() {
        let room = Room {
            places: Arc::new(Semaphore::new(1)),
            most: 1,
            descriptors: Some(6),
            refusals: Mutex::default(),
        };
        let place = room.take().unwrap();
        let other = place.clone();
        drop(place);
        assert!(room.take().is_none() && room.last_words().is_none(), "a clone of it is still there");
        let began = Instant::now();
        let mut said = Vec::new();
        for seconds in [0, 1, 59, 60, 61] {
            let (client, ours) = connection().await;
            said.extend(room.refuse(ours, began + Duration::from_secs(seconds)));
            let error = loop {
                client.readable().await.unwrap();
                match client.try_read(&mut [0]) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    read => break read.unwrap_err(),
                }
            };
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        let limit = "1 at once are the most with the 6 open files that this process may have (ulimit -n)";
        let full = format!("there is no room for another session: {limit}");
        assert_eq!(
            said,
            [
                format!("{full}; connections beyond them are refused, and counted"),
                format!("{full}; 3 more connections were refused"),
            ]
        );
        assert_eq!(
            room.last_words().unwrap(),
            format!("5 connections were refused for want of room: {limit}")
        );
        drop(other);
        assert!(room.take().is_some());
    }
}
