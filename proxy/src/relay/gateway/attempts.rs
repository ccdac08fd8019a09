//! Which connections are one attempt to reach a desktop through a gateway.
//!
//! A client makes several: one for each direction, again after a refusal or a question to its user, and to the KDC proxy
//! on the same host. When a connection comes there is only its address to go by; the head of its first request says more.

use crate::observe::gateway::Belonging;
use crate::relay::attempts::RETURN_WINDOW;
use crate::relay::session::SharedSession;
use crate::trace::Micros;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// RDG-Connection-Ids, and cookies of virtual connections over RPC, that an attempt is known by. A client takes a new one
/// for each transport and each time it dials again; more than a few belong to a program that never stops.
const MOST_IDS: usize = 32;

/// How long a client has to dial again by itself where there is nothing else that it could try and nothing to ask its user:
/// what its program does next it does at once, such as the other of two connections. A fallback to another transport takes
/// longer, as the client may look for a proxy anew, and so does a user who is asked.
const LAST_WAY_WINDOW: Duration = Duration::from_secs(1);

/// Silences that are remembered: what repeats itself does so within a few sessions.
const MOST_SILENCES: usize = 32;
/// By how much two silences may differ that one timer has measured, beside [`LATE_SHARE`] of them.
const LATE_US: Micros = 250_000;
const LATE_SHARE: Micros = 20;

/// An attempt's number; a later one has a greater number.
pub(super) type AttemptNumber = u64;

/// Every attempt that is not over.
#[derive(Default)]
pub(in crate::relay) struct GatewayAttempts {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    newest: AttemptNumber,
    attempts: BTreeMap<AttemptNumber, Attempt>,
    /// After which silences tunnels were cut without a word, the newest last.
    silences: VecDeque<Micros>,
}

struct Attempt {
    client: IpAddr,
    session: SharedSession,
    /// What is inside TLS passes unseen: time alone says what belongs together.
    is_sealed: bool,
    newest_connection: u32,
    /// Connections that are open, with their RDG-Connection-Id where that is known.
    open: BTreeMap<u32, Option<String>>,
    /// Ids of all its connections, the newest last.
    ids: VecDeque<String>,
    /// It runs over RPC, whose channels are replaced from time to time.
    is_over_rpc: bool,
    /// When a connection last began or ended.
    last_change: Instant,
    has_channel: bool,
    /// The gateway has refused for good what was asked of it.
    is_refused: bool,
    /// There is nothing else that its client could try, and nothing to ask its user.
    is_on_last_way: bool,
    /// The desktop is there; the newest connection when it came.
    desktop_behind: Option<u32>,
    /// How many connections are open.
    count: watch::Sender<usize>,
}

impl Attempt {
    /// Whether a new connection of its client may be one of its own, as far as time tells.
    fn may_take(&self) -> bool {
        if self.is_sealed {
            return self.last_change.elapsed() < RETURN_WINDOW;
        }
        let is_over = self.is_complete() && self.open.is_empty();
        !is_over && (self.desktop_behind.is_none() || self.is_over_rpc)
    }

    /// Whether a connection came when the desktop was there, and is its own only if it says so.
    fn has_before(&self, connection: u32) -> bool {
        self.desktop_behind.is_some_and(|newest| connection > newest)
    }

    /// Whether its client has what it wanted, or knows that it will not have it.
    fn is_complete(&self) -> bool {
        self.has_channel || self.is_refused
    }

    fn knows(&self, belonging: &Belonging) -> bool {
        match belonging {
            Belonging::ConnectionId(id) | Belonging::VirtualConnection(id) => self.ids.contains(id),
            Belonging::Unsaid => false,
        }
    }

    /// Whether another of its connections is open under another id than `id`.
    fn is_under_way_otherwise(&self, connection: u32, id: &str) -> bool {
        self.open
            .iter()
            .any(|(other, known)| *other != connection && known.as_deref().is_some_and(|known| known != id))
    }

    fn learn(&mut self, connection: u32, belonging: &Belonging) {
        let id = match belonging {
            Belonging::ConnectionId(id) => {
                if let Some(known) = self.open.get_mut(&connection) {
                    *known = Some(id.clone());
                }
                id
            }
            // A client may have several under way at once.
            Belonging::VirtualConnection(id) => {
                self.is_over_rpc = true;
                id
            }
            Belonging::Unsaid => return,
        };
        if !self.knows(belonging) {
            if self.ids.len() == MOST_IDS {
                self.ids.pop_front();
            }
            self.ids.push_back(id.clone());
        }
    }

    fn add(&mut self, number: AttemptNumber) -> Joined {
        self.newest_connection += 1;
        self.open.insert(self.newest_connection, None);
        self.changed();
        Joined { attempt: number, connection: self.newest_connection, session: self.session.clone() }
    }

    fn changed(&mut self) {
        self.last_change = Instant::now();
        self.count.send_replace(self.open.len());
    }
}

/// Where a connection belongs.
pub(super) struct Joined {
    pub(super) attempt: AttemptNumber,
    /// The connection's number in it; the first is 1.
    pub(super) connection: u32,
    pub(super) session: SharedSession,
}

/// An attempt that has just begun.
pub(super) struct Begun {
    pub(super) attempt: AttemptNumber,
    /// How many of its connections are open, now and from here on.
    pub(super) open: watch::Receiver<usize>,
}

impl GatewayAttempts {
    /// A connection of `client` comes. `begin` gives the session of a new attempt, where there may be one; what
    /// began with it is the second half of the answer. Where there may be none, and nobody sees what a connection is for, it is
    /// better off in an attempt that is under way than refused.
    pub(super) fn enter(
        &self,
        client: IpAddr,
        is_sealed: bool,
        begin: impl FnOnce() -> Option<SharedSession>,
    ) -> Option<(Joined, Option<Begun>)> {
        let mut state = self.lock();
        let newest = state.attempts.iter_mut().rev().map(|(number, attempt)| (*number, attempt));
        let mut newest =
            newest.filter(|(_, attempt)| attempt.client == client && attempt.is_sealed == is_sealed);
        let session = match newest.next() {
            Some((number, attempt)) if attempt.may_take() => return Some((attempt.add(number), None)),
            Some((number, attempt)) if is_sealed && !attempt.open.is_empty() => match begin() {
                Some(session) => session,
                None => return Some((attempt.add(number), None)),
            },
            _ => begin()?,
        };
        let (joined, begun) = state.begin(client, is_sealed, session);
        Some((joined, Some(begun)))
    }

    /// A connection has said where it belongs: there it goes, unless that is where it is. `begin` as for
    /// [`GatewayAttempts::enter`].
    pub(super) fn sort(
        &self,
        joined: (AttemptNumber, u32),
        belonging: &Belonging,
        begin: impl FnOnce() -> Option<SharedSession>,
    ) -> Option<(Joined, Option<Begun>)> {
        let (number, connection) = joined;
        let mut state = self.lock();
        let present = state.attempts.get_mut(&number)?;
        if present.knows(belonging) {
            present.learn(connection, belonging);
            return None;
        }
        let (client, is_sealed) = (present.client, present.is_sealed);
        let is_another = present.has_before(connection)
            || matches!(belonging, Belonging::ConnectionId(id) if present.is_under_way_otherwise(connection, id));
        let other = state.attempts.iter_mut().rev().find(|(_, attempt)| attempt.knows(belonging));
        if let Some((number, attempt)) = other {
            let moved = attempt.add(*number);
            attempt.learn(moved.connection, belonging);
            return Some((moved, None));
        }
        let session = if is_another { begin() } else { None };
        let Some(session) = session else {
            state.attempts.get_mut(&number)?.learn(connection, belonging);
            return None;
        };
        let (moved, begun) = state.begin(client, is_sealed, session);
        if let Some(attempt) = state.attempts.get_mut(&moved.attempt) {
            attempt.learn(moved.connection, belonging);
        }
        Some((moved, Some(begun)))
    }

    /// A connection has ended, or belongs elsewhere.
    pub(super) fn leave(&self, attempt: AttemptNumber, connection: u32) {
        if let Some(attempt) = self.lock().attempts.get_mut(&attempt) {
            attempt.open.remove(&connection);
            attempt.changed();
        }
    }

    /// The gateway has opened the way to the target.
    pub(super) fn has_channel(&self, attempt: AttemptNumber) {
        if let Some(attempt) = self.lock().attempts.get_mut(&attempt) {
            attempt.has_channel = true;
        }
    }

    /// The gateway has refused for good what was asked of it: the client tells its user, and does not come back by itself.
    pub(super) fn is_refused(&self, attempt: AttemptNumber) {
        if let Some(attempt) = self.lock().attempts.get_mut(&attempt) {
            attempt.is_refused = true;
        }
    }

    /// Whether there is nothing else that the client could try, and nothing to ask its user.
    pub(super) fn is_on_last_way(&self, attempt: AttemptNumber, is_last: bool) {
        if let Some(attempt) = self.lock().attempts.get_mut(&attempt) {
            attempt.is_on_last_way = is_last;
        }
    }

    /// The desktop is there; true for the first who says so.
    pub(super) fn has_desktop(&self, attempt: AttemptNumber) -> bool {
        let mut state = self.lock();
        let attempt = state.attempts.get_mut(&attempt);
        attempt.is_some_and(|attempt| {
            let is_first = attempt.desktop_behind.is_none();
            attempt.desktop_behind.get_or_insert(attempt.newest_connection);
            is_first
        })
    }

    /// How long an attempt without connections waits for another one; not at all where it is complete.
    pub(super) fn waits(&self, attempt: AttemptNumber) -> Option<Duration> {
        let state = self.lock();
        let attempt = state.attempts.get(&attempt).filter(|attempt| !attempt.is_complete())?;
        Some(if attempt.is_on_last_way { LAST_WAY_WINDOW } else { RETURN_WINDOW })
    }

    /// The attempt is over unless a connection of it is open: its session, for good.
    pub(super) fn retire(&self, attempt: AttemptNumber) -> Option<SharedSession> {
        let mut state = self.lock();
        let is_open = state.attempts.get(&attempt).is_some_and(|attempt| !attempt.open.is_empty());
        if is_open { None } else { state.attempts.remove(&attempt).map(|attempt| attempt.session) }
    }

    /// A tunnel was cut without a word after this silence: the earlier silences that were as long.
    pub(super) fn cut_after(&self, for_us: Micros) -> Vec<Micros> {
        let mut state = self.lock();
        let is_as_long = |earlier: &&Micros| earlier.abs_diff(for_us) <= LATE_US + for_us / LATE_SHARE;
        let as_long = state.silences.iter().filter(is_as_long).copied().collect();
        if state.silences.len() == MOST_SILENCES {
            state.silences.pop_front();
        }
        state.silences.push_back(for_us);
        as_long
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, client: IpAddr, is_sealed: bool, session: SharedSession) -> (Joined, Begun) {
        self.newest += 1;
        let (count, open) = watch::channel(0);
        let mut attempt = Attempt {
            client,
            session,
            is_sealed,
            newest_connection: 0,
            open: BTreeMap::new(),
            ids: VecDeque::new(),
            is_over_rpc: false,
            last_change: Instant::now(),
            has_channel: false,
            is_refused: false,
            is_on_last_way: false,
            desktop_behind: None,
            count,
        };
        let joined = attempt.add(self.newest);
        self.attempts.insert(self.newest, attempt);
        (joined, Begun { attempt: self.newest, open })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::{SessionId, SessionTrace, TraceStart};
    use std::net::Ipv4Addr;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn session() -> Option<SharedSession> {
        let start = TraceStart {
            id: SessionId::from("test".to_owned()),
            target: String::new(),
            settings: serde_json::Map::new(),
            started: jiff::Timestamp::UNIX_EPOCH,
            began: std::time::Instant::now(),
        };
        Some(SharedSession::new(SessionTrace::begin(start, None), false))
    }

    fn enter(attempts: &GatewayAttempts) -> (AttemptNumber, u32) {
        let (joined, _) = attempts.enter(CLIENT, false, session).expect("a session may begin");
        (joined.attempt, joined.connection)
    }

    fn sort(attempts: &GatewayAttempts, joined: (AttemptNumber, u32), id: &str) -> (AttemptNumber, u32) {
        sort_as(attempts, joined, &Belonging::ConnectionId(id.to_owned()))
    }

    fn sort_as(
        attempts: &GatewayAttempts,
        joined: (AttemptNumber, u32),
        belonging: &Belonging,
    ) -> (AttemptNumber, u32) {
        match attempts.sort(joined, belonging, session) {
            Some((moved, _)) => {
                attempts.leave(joined.0, joined.1);
                (moved.attempt, moved.connection)
            }
            None => joined,
        }
    }

    #[tokio::test]
    async fn connections_of_one_id_are_one_attempt_and_so_is_what_comes_without_one() {
        let attempts = GatewayAttempts::default();
        let first = enter(&attempts);
        assert_eq!(sort(&attempts, first, "a"), (1, 1));
        let second = enter(&attempts);
        assert_eq!(sort(&attempts, second, "a"), (1, 2));
        attempts.has_channel(1);
        assert_eq!(enter(&attempts), (1, 3), "a request to the KDC proxy comes behind the channel");
        attempts.has_desktop(1);
        assert_eq!(enter(&attempts), (2, 1), "a desktop asks for nothing more");
    }

    #[tokio::test]
    async fn two_users_behind_one_address_do_not_mix() {
        let attempts = GatewayAttempts::default();
        let (a, b) = (enter(&attempts), enter(&attempts));
        assert_eq!((a, b), ((1, 1), (1, 2)), "so far there is only the address");
        assert_eq!(sort(&attempts, a, "a"), (1, 1));
        assert_eq!(sort(&attempts, b, "b"), (2, 1));
        let (b, a) = (enter(&attempts), enter(&attempts));
        assert_eq!(sort(&attempts, b, "b"), (2, 2));
        assert_eq!(sort(&attempts, a, "a").0, 1, "back to its own");
    }

    #[tokio::test]
    async fn a_client_that_dials_again_under_another_id_goes_on_with_its_attempt() {
        let attempts = GatewayAttempts::default();
        let first = enter(&attempts);
        sort(&attempts, first, "a");
        attempts.leave(1, 1);
        assert_eq!(attempts.waits(1), Some(RETURN_WINDOW));
        let again = enter(&attempts);
        assert_eq!(sort(&attempts, again, "b"), (1, 2));
        assert!(attempts.retire(1).is_none(), "a connection is open");
        attempts.leave(1, 2);
        assert!(attempts.retire(1).is_some());
        assert_eq!(enter(&attempts), (2, 1));
    }

    #[tokio::test]
    async fn a_refusal_for_good_is_the_end_once_nothing_is_open() {
        let attempts = GatewayAttempts::default();
        let first = enter(&attempts);
        sort(&attempts, first, "a");
        attempts.is_refused(1);
        assert_eq!(enter(&attempts), (1, 2), "its other connection may yet come");
        attempts.leave(1, 1);
        attempts.leave(1, 2);
        assert_eq!(attempts.waits(1), None);
        assert_eq!(enter(&attempts), (2, 1));
    }

    #[tokio::test]
    async fn behind_the_last_transport_a_client_has_little_time_and_no_logon_is_cut_short() {
        let attempts = GatewayAttempts::default();
        let first = enter(&attempts);
        attempts.is_on_last_way(1, true);
        attempts.leave(1, first.1);
        assert_eq!(attempts.waits(1), Some(LAST_WAY_WINDOW));
        assert_eq!(enter(&attempts), (1, 2), "its other connection is one of the attempt");
        attempts.is_on_last_way(1, false);
        assert_eq!(attempts.waits(1), Some(RETURN_WINDOW), "its user may be asked for a password");
        attempts.has_channel(1);
        assert_eq!(attempts.waits(1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn behind_tls_that_passes_through_time_tells() {
        let attempts = GatewayAttempts::default();
        let sealed = || attempts.enter(CLIENT, true, session).expect("a session may begin").0.attempt;
        assert_eq!((sealed(), sealed()), (1, 1));
        tokio::time::advance(2 * RETURN_WINDOW).await;
        assert_eq!(sealed(), 2);
    }

    #[test]
    fn silences_that_one_timer_has_measured_are_alike() {
        let attempts = GatewayAttempts::default();
        assert_eq!(attempts.cut_after(2_000_000), [0; 0]);
        assert_eq!(attempts.cut_after(60_000_000), [0; 0]);
        assert_eq!(attempts.cut_after(2_300_000), [2_000_000]);
        assert_eq!(attempts.cut_after(62_000_000), [60_000_000]);
        assert_eq!(attempts.cut_after(3_000_000), [0; 0]);
    }

    /// A channel of RPC is replaced when the desktop has been there for long.
    #[tokio::test]
    async fn a_new_channel_belongs_to_its_virtual_connection_and_whatever_else_comes_is_another_attempt() {
        let attempts = GatewayAttempts::default();
        let [a, b, c] = ["a", "b", "c"].map(|cookie| Belonging::VirtualConnection(cookie.to_owned()));
        let first = enter(&attempts);
        assert_eq!(sort_as(&attempts, first, &a), (1, 1));
        let other = enter(&attempts);
        assert_eq!(sort_as(&attempts, other, &b), (1, 2), "a client may have two at once");
        let silent = enter(&attempts);
        attempts.has_channel(1);
        attempts.has_desktop(1);
        assert_eq!(sort_as(&attempts, silent, &Belonging::Unsaid), (1, 3), "it came before the desktop");
        let channel = enter(&attempts);
        assert_eq!(sort_as(&attempts, channel, &a), (1, 4));
        let another = enter(&attempts);
        assert_eq!(sort_as(&attempts, another, &c), (2, 1));
        attempts.has_desktop(2);
        let channel = enter(&attempts);
        assert_eq!(
            sort_as(&attempts, channel, &b),
            (1, 6),
            "of the first session, though there is a newer one"
        );
        let unsaid = enter(&attempts);
        assert_eq!(sort_as(&attempts, unsaid, &Belonging::Unsaid), (3, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_not_begin_stays_or_is_left_out() {
        let attempts = GatewayAttempts::default();
        assert!(attempts.enter(CLIENT, false, || None).is_none());
        let (a, b) = (enter(&attempts), enter(&attempts));
        sort(&attempts, a, "a");
        let b_says = Belonging::ConnectionId("b".to_owned());
        assert!(attempts.sort(b, &b_says, || None).is_none(), "better in the wrong attempt than in none");
        assert!(attempts.enter(CLIENT, true, || None).is_none());
        assert!(attempts.enter(CLIENT, true, session).is_some());
        tokio::time::advance(2 * RETURN_WINDOW).await;
        let late = attempts.enter(CLIENT, true, || None).expect("it may be a channel of the one under way");
        assert_eq!((late.0.attempt, late.0.connection), (2, 2));
    }
}
