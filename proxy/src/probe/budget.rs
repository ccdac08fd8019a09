//! No more connections to a target than were promised before it was probed, and few of them at the same time.

use super::settings::Settings;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections to one target that are open at once. Servers take few that have not logged on
/// (`MaxOutstandingConnections`), and the users' own must still find room.
pub(super) const MOST_OPEN: usize = 3;
/// Negotiations in a row that may fail before no more are tried: as many as are open at once may fail of one cause, and
/// as many once more after a pause.
const MOST_LOST: u32 = 2 * MOST_OPEN as u32;
/// The conversation: one that is negotiated, one where TLS begins at once, each with both TLS stacks.
const CONVERSATION: u32 = 4;

impl Settings {
    /// The most TCP connections that a probe of a target with so many addresses opens.
    pub fn most_connections(&self, addresses: usize) -> u32 {
        let addresses = u32::try_from(addresses).unwrap_or(u32::MAX);
        let tls = if self.tls { super::tls::MOST_CONNECTIONS + super::path::CONNECTIONS } else { 0 };
        // Each address is tried once more for the conversation.
        addresses
            .saturating_mul(self.rounds.saturating_add(1))
            .saturating_add(CONVERSATION)
            .saturating_add(super::negotiation::MOST_CONNECTIONS)
            .saturating_add(super::classic::MOST_CONNECTIONS)
            .saturating_add(tls)
            .saturating_add(super::other_paths::most_connections(self))
    }

    /// The most UDP conversations that a probe begins.
    pub fn most_conversations(&self) -> u32 {
        if self.udp { super::udp::CONVERSATIONS } else { 0 }
    }
}

/// What one probe may still open.
#[derive(Debug)]
pub(super) struct Budget {
    connections: Counter,
    conversations: Counter,
    open: Arc<Semaphore>,
    /// A negotiation came through.
    served: AtomicBool,
    /// So many in a row did not, since the last that did.
    lost: AtomicU32,
}

#[derive(Debug)]
struct Counter {
    most: u32,
    used: AtomicU32,
}

/// The right to have one connection open.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// What a probe of a target with so many addresses may open.
    pub(super) fn new(settings: &Settings, addresses: usize) -> Budget {
        Budget::of(settings.most_connections(addresses), settings.most_conversations())
    }

    /// So many connections, and so many conversations over UDP.
    pub(super) fn of(connections: u32, conversations: u32) -> Budget {
        Budget {
            connections: Counter::new(connections),
            conversations: Counter::new(conversations),
            open: Arc::new(Semaphore::new(MOST_OPEN)),
            served: AtomicBool::new(false),
            lost: AtomicU32::new(0),
        }
    }

    /// Waits until one more connection may be open, and counts it. The error says that there were enough.
    pub(super) async fn connection(&self) -> io::Result<Place> {
        let permit = self.open.clone().acquire_owned().await.map_err(io::Error::other)?;
        self.connections.take("connections")?;
        Ok(Place { _permit: permit })
    }

    /// Counts a connection that is begun beside one that has its place, to see which of them is faster.
    pub(super) fn beside(&self) {
        self.connections.used.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a further conversation over UDP. The error says that there were enough.
    pub(super) fn conversation(&self) -> io::Result<()> {
        self.conversations.take("conversations")
    }

    /// A negotiation came through, or it did not.
    pub(super) fn note(&self, came_through: bool) {
        if came_through {
            self.served.store(true, Ordering::Relaxed);
            self.lost.store(0, Ordering::Relaxed);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a negotiation has come through.
    pub(super) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// Whether too many in a row did not come through to try it once more.
    pub(super) fn has_had_enough(&self) -> bool {
        self.lost.load(Ordering::Relaxed) >= MOST_LOST
    }

    /// TCP connections so far.
    pub(super) fn connections(&self) -> u32 {
        self.connections.used.load(Ordering::Relaxed)
    }

    /// UDP conversations so far.
    pub(super) fn conversations(&self) -> u32 {
        self.conversations.used.load(Ordering::Relaxed)
    }
}

impl Counter {
    fn new(most: u32) -> Counter {
        Counter { most, used: AtomicU32::new(0) }
    }

    fn take(&self, what: &str) -> io::Result<()> {
        let more = |used: u32| (used < self.most).then(|| used + 1);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        let enough =
            |_| io::Error::other(format!("the {} {what} that a probe may open are used up", self.most));
        taken.map(|_| ()).map_err(enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn no_more_than_was_said() {
        let settings = Settings { rounds: 1, tls: false, udp: false, ..Settings::default() };
        let budget = Budget::new(&settings, 1);
        let most = settings.most_connections(1);
        for _ in 0..most {
            budget.connection().await.unwrap();
        }
        let refused = budget.connection().await.unwrap_err().to_string();
        assert!(refused.contains(&most.to_string()), "{refused}");
        assert_eq!(budget.connections(), most);
        assert!(budget.conversation().is_err());
        assert_eq!(budget.conversations(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn few_at_the_same_time() {
        let budget = Budget::new(&Settings::default(), 1);
        let mut places = Vec::new();
        for _ in 0..MOST_OPEN {
            places.push(budget.connection().await.unwrap());
        }
        assert!(tokio::time::timeout(Duration::from_secs(60), budget.connection()).await.is_err());
        assert_eq!(budget.connections() as usize, MOST_OPEN);
        places.pop();
        budget.connection().await.unwrap();
    }
}
