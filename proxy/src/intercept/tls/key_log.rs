//! The secrets of a connection, for whoever decrypts a capture of it.

use std::fmt;
use std::sync::Arc;

/// Takes lines of NSS key log format, without their line end (draft-ietf-tls-keylogfile).
#[derive(Clone)]
pub struct KeyLog(Arc<dyn Fn(&str) + Send + Sync>);

impl KeyLog {
    /// Gives every line to `take`.
    pub fn new(take: impl Fn(&str) + Send + Sync + 'static) -> KeyLog {
        KeyLog(Arc::new(take))
    }

    /// One more line.
    pub fn line(&self, line: &str) {
        (self.0)(line);
    }
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyLog")
    }
}

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        self.line(&format!("{label} {} {}", hex::encode(client_random), hex::encode(secret)));
    }
}
