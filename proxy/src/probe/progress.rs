//! How far the conversation is, for the checks that wait for it.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// The conversation has the server to itself for so long: its times are to be the server's, and a server that takes few
/// connections at once is to take this one. A healthy one is done with it sooner.
const HEAD_START: Duration = Duration::from_millis(300);

/// How TLS begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// After X.224.
    Negotiated,
    /// At once.
    Direct,
    /// Not at all.
    None,
}

/// What the conversation has told so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    reached: OnceLock<SocketAddr>,
    security: watch::Sender<Option<Security>>,
    over: watch::Sender<bool>,
}

impl Progress {
    /// The conversation goes to this address, and so will the other checks.
    pub(super) fn reach(&self, address: SocketAddr) {
        // There is one conversation.
        let _ = self.reached.set(address);
    }

    /// Where the conversation goes, where that is known yet.
    pub(super) fn reached(&self) -> Option<SocketAddr> {
        self.reached.get().copied()
    }

    /// It is known how TLS begins.
    pub(super) fn tell(&self, security: Security) {
        self.security.send_replace(Some(security));
    }

    /// The conversation is over.
    pub(super) fn over(&self) {
        self.over.send_replace(true);
    }

    /// Waits until the conversation is over, or has had its head start.
    pub(super) async fn begun(&self) {
        let mut over = self.over.subscribe();
        // Whichever comes first; the sender is borrowed, and so cannot be gone.
        let _ = timeout(HEAD_START, over.wait_for(|over| *over)).await;
    }

    /// Whether it is known that TLS begins at once.
    pub(super) fn is_direct(&self) -> bool {
        *self.security.borrow() == Some(Security::Direct)
    }

    /// Waits until it is known how TLS begins.
    pub(super) async fn security(&self) -> Security {
        let mut security = self.security.subscribe();
        let known = security.wait_for(Option::is_some).await;
        known.ok().and_then(|known| *known).unwrap_or(Security::None)
    }
}
