//! What a session through a gateway is that came to its desktop, as rdpscope tells it.

use crate::support::rdpscope::Session;

/// Phases of an attempt before the desktop.
pub(crate) const PHASES: [&str; 14] = [
    "gateway-tcp",
    "gateway-tls",
    "gateway-http",
    "gateway-auth",
    "gateway-tunnel",
    "gateway-channel",
    "x224",
    "tls",
    "mcs",
    "channels",
    "info",
    "licensing",
    "capabilities",
    "finalization",
];

/// Fails unless every phase was told on the way to a desktop, which the client left of its own accord.
pub(crate) fn assert_healthy_desktop(session: &Session) {
    session.assert_reached(&PHASES);
    session.assert_reached(&["active"]);
    session.assert_verdict(&["healthy", "client-closed"]);
}
