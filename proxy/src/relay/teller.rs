//! Where one connection tells what happens on it: a session that is that connection, or an attempt that has several.

use super::pump::Ending;
use super::session::SharedSession;
use crate::recorder::pcapng::ConnectionCapture;
use crate::trace::{Detail, Leg, Phase, Side};
use crate::wire::tls::Alert;
use std::sync::Arc;
use std::time::Instant;

/// Takes what one connection tells. Clones tell the same one.
pub(super) trait Teller: Clone + Send + Sync + 'static {
    /// Something that happened now, as on a direct connection; who has other names for its phases translates them.
    fn say(&self, leg: Leg, from: Option<Side>, phase: Phase, detail: Detail);
    /// Bytes of TLS on the leg of `side`, to be counted where they came from it.
    fn wire(&self, at: Instant, side: Side, sent_by_us: bool, bytes: &[u8]);
    /// The server is spoken to on a further connection, where its TLS begins anew.
    fn server_again(&self);
    /// Bytes that came from `side` and that nobody looks at.
    fn count(&self, side: Side, received: u64);
    /// Whether `side` sent a fatal alert.
    fn alerted(&self, side: Side) -> bool;
    /// An alert that came inside TLS, unless it was seen on the wire.
    fn alert(&self, at: Instant, from: Side, alert: &Alert);
    /// What `from` sent is not TLS that can be read.
    fn broken_tls(&self, at: Instant, from: Side, reason: &str);
    /// The certificates that the server showed, unless they were seen on the wire.
    fn server_certificate(&self, at: Instant, chain: &[Vec<u8>]);
    /// `from` ended its direction.
    fn ended(&self, at: Instant, from: Side, ending: Ending);
    /// rdpscope ends the connection.
    fn close_by_proxy(&self, reason: &str);
    /// Where what is on its wire is kept, if it is.
    fn capture(&self) -> Option<Arc<ConnectionCapture>>;
}

impl Teller for SharedSession {
    fn say(&self, leg: Leg, from: Option<Side>, phase: Phase, detail: Detail) {
        self.lock().trace.say(leg, from, phase, detail);
    }

    fn wire(&self, at: Instant, side: Side, sent_by_us: bool, bytes: &[u8]) {
        self.lock().wire(at, side, sent_by_us, bytes);
    }

    fn server_again(&self) {
        if let Some(terminated) = self.lock().observer.terminated() {
            terminated.server_again();
        }
    }

    fn count(&self, side: Side, received: u64) {
        self.lock().count_own(side, received);
    }

    fn alerted(&self, side: Side) -> bool {
        self.lock().observer.alerted(side)
    }

    fn alert(&self, at: Instant, from: Side, alert: &Alert) {
        self.lock().alert(at, from, alert);
    }

    fn broken_tls(&self, at: Instant, from: Side, reason: &str) {
        self.lock().broken_tls(at, from, reason);
    }

    fn server_certificate(&self, at: Instant, chain: &[Vec<u8>]) {
        self.lock().server_certificate(at, chain);
    }

    fn ended(&self, at: Instant, from: Side, ending: Ending) {
        self.lock().ended_at(at, from, ending);
    }

    fn close_by_proxy(&self, reason: &str) {
        self.lock().close_by_proxy(reason);
    }

    fn capture(&self) -> Option<Arc<ConnectionCapture>> {
        self.lock().trace.capture().cloned().map(ConnectionCapture::of)
    }
}
