//! One user's attempt is often several connections: a client cuts the first to ask its user something and dials
//! again. This keeps count of who came back and how far they then got.

use crate::trace::Phase;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a client has to dial again. One that showed its question while the connection was open comes back within
/// milliseconds of the answer; longer waits would only keep the verdict from a user who clicked "No".
const RETURN_WINDOW: Duration = Duration::from_secs(5);

/// Who is connected, and how far everybody got.
#[derive(Default)]
pub struct Attempts {
    clients: Mutex<HashMap<IpAddr, Client>>,
    changed: Notify,
    closed: Mutex<bool>,
}

/// The connections of one client's address.
#[derive(Default)]
struct Client {
    /// Connections that were begun, ever.
    begun: u64,
    /// Connections that have not concluded.
    open: u64,
    /// The furthest phase since a connection began to wait for the client's return, by that connection's number.
    waiting: HashMap<u64, Option<Phase>>,
}

impl Attempts {
    /// A connection of this client begins.
    pub fn began(&self, client: IpAddr) {
        let mut clients = self.lock();
        let client = clients.entry(client).or_default();
        client.begun += 1;
        client.open += 1;
        drop(clients);
        self.changed.notify_waiters();
    }

    /// A connection of this client came to a new phase.
    pub fn progress(&self, client: IpAddr, reached: Option<Phase>) {
        let mut clients = self.lock();
        let Some(client) = clients.get_mut(&client) else { return };
        if client.waiting.is_empty() {
            return;
        }
        for furthest in client.waiting.values_mut() {
            *furthest = reached.max(*furthest);
        }
        drop(clients);
        self.changed.notify_waiters();
    }

    /// A connection of this client has concluded.
    pub fn ended(&self, client: IpAddr) {
        let mut clients = self.lock();
        if let Some(entry) = clients.get_mut(&client) {
            entry.open = entry.open.saturating_sub(1);
            if entry.open == 0 {
                clients.remove(&client);
            }
        }
        drop(clients);
        self.changed.notify_waiters();
    }

    /// Nobody will connect any more: whoever waits for a return need not.
    pub fn close(&self) {
        self.set_closed(true);
    }

    /// Clients may connect again.
    pub fn reopen(&self) {
        self.set_closed(false);
    }

    fn set_closed(&self, closed: bool) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = closed;
        self.changed.notify_waiters();
    }

    /// Waits whether `client`, one of whose connections has just ended after `reached`, comes back and gets further.
    pub async fn came_back(&self, client: IpAddr, reached: Option<Phase>) -> bool {
        let key = {
            let mut clients = self.lock();
            let entry = clients.entry(client).or_default();
            entry.waiting.insert(entry.begun, None);
            entry.begun
        };
        let window = tokio::time::sleep(RETURN_WINDOW);
        tokio::pin!(window);
        let mut window_is_over = false;
        let answer = loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(answer) = self.answer(client, key, reached, window_is_over) {
                break answer;
            }
            tokio::select! {
                () = changed => {}
                () = &mut window, if !window_is_over => window_is_over = true,
            }
        };
        if let Some(entry) = self.lock().get_mut(&client) {
            entry.waiting.remove(&key);
        }
        answer
    }

    fn answer(&self, client: IpAddr, key: u64, reached: Option<Phase>, window_is_over: bool) -> Option<bool> {
        let clients = self.lock();
        let Some(entry) = clients.get(&client) else { return Some(false) };
        if entry.waiting.get(&key).copied().flatten() > reached {
            return Some(true);
        }
        let returned = entry.begun > key;
        // The waiting connections themselves are open, too; what counts is whether any other one is.
        let others_open = entry.open > entry.waiting.len() as u64;
        let closed = *self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing_to_come = window_is_over || closed || returned;
        (nothing_to_come && !others_open).then_some(false)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    async fn waiting(attempts: &Arc<Attempts>) -> tokio::task::JoinHandle<bool> {
        let attempts = attempts.clone();
        attempts.began(CLIENT);
        let waiting = tokio::spawn(async move { attempts.came_back(CLIENT, Some(Phase::X224)).await });
        tokio::task::yield_now().await;
        waiting
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_connection_that_gets_further_is_a_return() {
        let attempts = Arc::new(Attempts::default());
        let waiting = waiting(&attempts).await;
        attempts.began(CLIENT);
        attempts.progress(CLIENT, Some(Phase::X224));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "as far as before is not further");
        attempts.progress(CLIENT, Some(Phase::Tls));
        assert!(waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_connection_that_gets_no_further_is_not() {
        let attempts = Arc::new(Attempts::default());
        let waiting = waiting(&attempts).await;
        attempts.began(CLIENT);
        attempts.progress(CLIENT, Some(Phase::X224));
        attempts.ended(CLIENT);
        assert!(!waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_came_within_the_window() {
        let attempts = Arc::new(Attempts::default());
        let began = tokio::time::Instant::now();
        assert!(!waiting(&attempts).await.await.unwrap());
        assert!(began.elapsed() >= RETURN_WINDOW);
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
}
