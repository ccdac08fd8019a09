//! One user's attempt is often several connections: a client cuts the first to ask its user something and dials
//! again. This keeps count of who came back and how far they then got.

use crate::trace::Phase;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How long a client has to dial again. One that showed its question while the connection was open comes back within
/// milliseconds of the answer; longer waits would only keep the verdict from a user who clicked "No".
pub(super) const RETURN_WINDOW: Duration = Duration::from_secs(5);
/// How long a connection of a client that did come back has to get further: a logon with a dialog takes less.
const PROGRESS_WINDOW: Duration = Duration::from_secs(60);
/// Connections of one client whose verdict may wait at once. A person has one or two; a program that dials by the
/// hundred asks nobody.
const MOST_WAITING: usize = 16;

/// A connection's number; a later one has a greater number.
pub type Number = u64;

/// Who is connected, and how far everybody got.
#[derive(Default)]
pub struct Attempts {
    state: Mutex<State>,
    /// How many desktops there have been.
    desktops: watch::Sender<u64>,
    /// Whether nobody will connect any more.
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    clients: HashMap<IpAddr, Client>,
    newest: Number,
    /// Nobody will connect any more.
    closed: bool,
}

/// The connections of one client's address.
#[derive(Default)]
struct Client {
    newest: Number,
    open: BTreeSet<Number>,
    waiting: BTreeMap<Number, Waiting>,
}

/// A connection that has ended and waits to hear whether its client came back and got further.
struct Waiting {
    reached: Option<Phase>,
    answer: oneshot::Sender<bool>,
}

impl Client {
    fn has_newer_open(&self, number: Number) -> bool {
        self.open.last().is_some_and(|newest| *newest > number)
    }

    /// Tells those who wait in vain: their client came back, or cannot any more, and no newer connection is open.
    fn give_up(&mut self, closed: bool) {
        let oldest = self.open.last().copied().unwrap_or(0);
        for (number, waiting) in self.waiting.split_off(&oldest) {
            if closed || self.newest > number {
                // One that no longer listens needs no answer.
                let _ = waiting.answer.send(false);
            } else {
                self.waiting.insert(number, waiting);
            }
        }
    }
}

impl Attempts {
    /// A connection of this client begins; answers with its number.
    pub fn began(&self, client: IpAddr) -> Number {
        let mut state = self.lock();
        state.newest += 1;
        let number = state.newest;
        let client = state.clients.entry(client).or_default();
        client.newest = number;
        client.open.insert(number);
        number
    }

    /// A connection of this client came to a new phase.
    pub fn progress(&self, client: IpAddr, number: Number, reached: Option<Phase>) {
        let mut state = self.lock();
        let Some(client) = state.clients.get_mut(&client) else { return };
        let older = client.waiting.range(..number);
        let passed: Vec<Number> =
            older.filter(|(_, old)| old.reached < reached).map(|(number, _)| *number).collect();
        for number in passed {
            if let Some(waiting) = client.waiting.remove(&number) {
                let _ = waiting.answer.send(true);
            }
        }
    }

    /// A connection came to a desktop.
    pub fn desktop(&self) {
        self.desktops.send_modify(|count| *count += 1);
    }

    /// Changes with each desktop.
    pub fn desktops(&self) -> watch::Receiver<u64> {
        self.desktops.subscribe()
    }

    /// Whether nobody will connect any more, now and from here on.
    pub(super) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// A connection of this client has ended on the wire.
    pub fn ended(&self, client: IpAddr, number: Number) {
        let mut state = self.lock();
        let closed = state.closed;
        if let Some(client) = state.clients.get_mut(&client) {
            client.open.remove(&number);
            client.give_up(closed);
        }
        state.forget(client);
    }

    /// Nobody will connect any more: whoever waits for a return need not.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.closed.send_replace(true);
        state.clients.values_mut().for_each(|client| client.give_up(true));
    }

    /// Clients may connect again.
    pub fn reopen(&self) {
        self.lock().closed = false;
        self.closed.send_replace(false);
    }

    /// Waits whether `client`, whose connection `number` has just ended after `reached`, comes back and gets further.
    pub async fn came_back(&self, client: IpAddr, number: Number, reached: Option<Phase>) -> bool {
        let Some(mut answer) = self.wait(client, number, reached) else { return false };
        if let Ok(answer) = tokio::time::timeout(RETURN_WINDOW, &mut answer).await {
            return answer.unwrap_or(false);
        }
        let returned = self.lock().clients.get(&client).is_some_and(|client| client.has_newer_open(number));
        let came_back =
            returned && matches!(tokio::time::timeout(PROGRESS_WINDOW, answer).await, Ok(Ok(true)));
        let mut state = self.lock();
        if let Some(client) = state.clients.get_mut(&client) {
            client.waiting.remove(&number);
        }
        state.forget(client);
        came_back
    }

    /// Where an answer is to be had: the way on which it comes.
    fn wait(
        &self,
        client: IpAddr,
        number: Number,
        reached: Option<Phase>,
    ) -> Option<oneshot::Receiver<bool>> {
        let mut state = self.lock();
        let closed = state.closed;
        let client = state.clients.entry(client).or_default();
        if client.waiting.len() >= MOST_WAITING || (closed && !client.has_newer_open(number)) {
            return None;
        }
        client.newest = client.newest.max(number);
        let (answer, receiver) = oneshot::channel();
        client.waiting.insert(number, Waiting { reached, answer });
        Some(receiver)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A client with nothing open and nothing waiting needs no memory.
    fn forget(&mut self, client: IpAddr) {
        if self.clients.get(&client).is_some_and(|client| client.open.is_empty() && client.waiting.is_empty())
        {
            self.clients.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A connection that ended after the negotiation and waits.
    async fn waiting(attempts: &Arc<Attempts>) -> tokio::task::JoinHandle<bool> {
        let number = attempts.began(CLIENT);
        let waiter = attempts.clone();
        attempts.ended(CLIENT, number);
        let waiting = tokio::spawn(async move { waiter.came_back(CLIENT, number, Some(Phase::X224)).await });
        tokio::task::yield_now().await;
        waiting
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_connection_that_gets_further_is_a_return() {
        let attempts = Arc::new(Attempts::default());
        let waiting = waiting(&attempts).await;
        let second = attempts.began(CLIENT);
        attempts.progress(CLIENT, second, Some(Phase::X224));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "as far as before is not further");
        tokio::time::sleep(2 * RETURN_WINDOW).await;
        assert!(!waiting.is_finished(), "its user is still asked");
        attempts.progress(CLIENT, second, Some(Phase::Tls));
        assert!(waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_connection_that_gets_no_further_is_not() {
        let attempts = Arc::new(Attempts::default());
        let waiting = waiting(&attempts).await;
        let second = attempts.began(CLIENT);
        attempts.progress(CLIENT, second, Some(Phase::X224));
        attempts.ended(CLIENT, second);
        assert!(!waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_connection_that_gets_further_is_no_return() {
        let attempts = Arc::new(Attempts::default());
        let older = attempts.began(CLIENT);
        let waiting = waiting(&attempts).await;
        attempts.progress(CLIENT, older, Some(Phase::Active));
        assert!(!waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_came_within_the_window() {
        let attempts = Arc::new(Attempts::default());
        let began = tokio::time::Instant::now();
        assert!(!waiting(&attempts).await.await.unwrap());
        assert!(began.elapsed() >= RETURN_WINDOW);
        assert!(attempts.lock().clients.is_empty(), "nothing is kept");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_can_come_any_more() {
        let attempts = Arc::new(Attempts::default());
        let waiting = waiting(&attempts).await;
        attempts.close();
        let began = tokio::time::Instant::now();
        assert!(!waiting.await.unwrap());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_waits_for_nobody() {
        let attempts = Arc::new(Attempts::default());
        let numbers: Vec<Number> = (0..MOST_WAITING).map(|_| attempts.began(CLIENT)).collect();
        let number = attempts.began(CLIENT);
        for old in numbers {
            let waiter = attempts.clone();
            tokio::spawn(async move { waiter.came_back(CLIENT, old, None).await });
        }
        tokio::task::yield_now().await;
        let began = tokio::time::Instant::now();
        assert!(!attempts.came_back(CLIENT, number, None).await);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
