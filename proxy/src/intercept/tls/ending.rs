//! In which ways a TLS stream ends, whichever library speaks it.

use crate::wire::tls::Alert;
use std::io;

/// How a side ended its direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEnd {
    /// In good order, by close_notify.
    CloseNotify,
    /// By FIN without close_notify.
    Fin,
    /// By RST, or by the system's word that the connection is gone.
    Reset,
    /// By a fatal alert, also where it was encrypted.
    Alert(Alert),
    /// Not at all: what it sent cannot be read, or the system failed, in the library's words.
    Broken(String),
}

/// What reading from a [`super::TlsStream`] came to: `None` where there are bytes. The buffer was not empty.
pub fn ending(result: &io::Result<usize>) -> Option<StreamEnd> {
    match result {
        Ok(0) => Some(StreamEnd::CloseNotify),
        Ok(_) => None,
        Err(error) => Some(read_ending(error)),
    }
}

/// What an error of a [`super::TlsStream`] says of the side that was read from. Without an error, reading no byte means
/// [`StreamEnd::CloseNotify`].
pub fn read_ending(error: &io::Error) -> StreamEnd {
    if let Some(alert) = alert_received(error) {
        return StreamEnd::Alert(alert);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => StreamEnd::Fin,
        _ if is_reset(error) => StreamEnd::Reset,
        _ => StreamEnd::Broken(error.to_string()),
    }
}

/// Whether the system says that the connection is gone.
pub(super) fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected)
}

fn alert_received(error: &io::Error) -> Option<Alert> {
    #[cfg(feature = "legacy-tls")]
    if let Some(alert) = super::legacy::alert_received(error) {
        return Some(alert);
    }
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(description) => Some(fatal(u8::from(*description))),
        _ => None,
    }
}

/// A fatal alert; libraries keep the description alone.
pub(super) fn fatal(description: u8) -> Alert {
    const FATAL: u8 = 2;
    Alert {
        level: FATAL,
        level_name: Some("fatal".into()),
        description,
        description_name: crate::wire::tls::alert::describe(description).map(|entry| entry.name.into()),
    }
}
