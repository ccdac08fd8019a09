//! The live page: sessions with their phases filling in, the verdict when each ends, an experiment's matrix, the report
//! of any session; and `/metrics` for Prometheus.
//!
//! Sessions hand their news over without waiting ([`Dashboard::tap`]). Everything else happens on a thread of its own,
//! so that neither a slow browser nor a large report is felt by a session.

mod access;
mod assets;
mod board;
mod metrics;
mod news;
mod page;
mod report_page;
mod server;
mod view;

pub use view::AttemptView;

use crate::recorder::{Tap, TraceFolder};
use crate::trace::Experiment;
use access::{Access, Secret};
use board::Board;
use news::{Listener, QUEUE_LENGTH};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, watch};
use view::ExperimentView;

/// Where the dashboard is where no port is named.
pub const DEFAULT_PORT: u16 = 8389;

/// Why there is no dashboard.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// The address cannot be listened on.
    #[error("cannot show the dashboard on {address}: {reason}; choose another with --dashboard ADDR:PORT")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The system gave no random numbers or no thread.
    #[error("cannot start the dashboard: {reason}; leave --dashboard out")]
    Start {
        /// What the system said.
        reason: String,
    },
    /// The file with the token cannot be read or written.
    #[error("cannot use {} as the dashboard's token: {reason}; name another file with --dashboard-token", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A dashboard that is bound and not yet shown.
pub struct BoundDashboard {
    listener: TcpListener,
    access: Access,
}

impl BoundDashboard {
    /// Listens on `address`. The token stands in `token_file`, which is written where it is missing; without one it is
    /// new each time.
    pub fn bind(address: SocketAddr, token_file: Option<&Path>) -> Result<BoundDashboard, DashboardError> {
        let no_random = || DashboardError::Start { reason: "the system gives no random numbers".to_owned() };
        let bind_error = |error: io::Error| DashboardError::Bind {
            address,
            reason: crate::relay::connect::plain_reason(&error),
        };
        let token = match token_file {
            Some(path) => kept_token(path)?,
            None => Secret::random().ok_or_else(no_random)?,
        };
        let cookie = Secret::random().ok_or_else(no_random)?;
        let listener = TcpListener::bind(address).map_err(bind_error)?;
        listener.set_nonblocking(true).map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        Ok(BoundDashboard { listener, access: Access::new(token, cookie, address) })
    }

    /// Begins to show it. Reports are read from `traces`; without it the records of the last sessions are kept in
    /// memory.
    pub fn start(self, traces: Option<TraceFolder>) -> Result<Dashboard, DashboardError> {
        let start_error = |error: io::Error| DashboardError::Start { reason: error.to_string() };
        let (sender, news) = mpsc::channel(QUEUE_LENGTH);
        let (stop, stopped) = watch::channel(false);
        let (skip, skipped) = watch::channel(0);
        let dropped = Arc::new(AtomicU64::new(0));
        let tap = Arc::new(Listener::new(sender, dropped.clone(), traces.is_none()));
        let url = format!(
            "http://{}/?token={}",
            self.listener.local_addr().map_err(start_error)?,
            self.access.token.expose()
        );
        let shared = Arc::new(Shared { board: Mutex::default(), access: self.access, traces, dropped, skip });
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(start_error)?;
        let listener = self.listener;
        let served = shared.clone();
        let thread = std::thread::Builder::new()
            .name("dashboard".to_owned())
            .spawn(move || {
                runtime.block_on(server::serve(listener, served, news, stopped));
                // A report under way is nobody's any more.
                runtime.shutdown_background();
            })
            .map_err(start_error)?;
        Ok(Dashboard { shared, tap, url, stop, skipped, thread: Some(thread) })
    }
}

/// A dashboard that is shown.
pub struct Dashboard {
    shared: Arc<Shared>,
    tap: Arc<Listener>,
    url: String,
    stop: watch::Sender<bool>,
    skipped: watch::Receiver<u64>,
    thread: Option<JoinHandle<()>>,
}

impl Dashboard {
    /// Where to go with a browser, the token in it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What sessions are to be heard by.
    pub fn tap(&self) -> Arc<dyn Tap> {
        self.tap.clone()
    }

    /// Shows how far the experiment is, and the attempt that is due.
    pub fn show_experiment(&self, experiment: Experiment, attempt: Option<AttemptView>) {
        self.shared.board().set_experiment(ExperimentView::new(experiment, attempt));
    }

    /// The last turn ([`AttemptView::turn`]) that somebody asked to be ended.
    pub fn skipped(&self) -> watch::Receiver<u64> {
        self.skipped.clone()
    }

    /// Shows what there is for the last time, and ends.
    pub fn finish(mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic there was already reported by its thread.
            let _ = thread.join();
        }
    }
}

/// What all requests share.
struct Shared {
    board: Mutex<Board>,
    access: Access,
    traces: Option<TraceFolder>,
    /// News that the queue could not take.
    dropped: Arc<AtomicU64>,
    skip: watch::Sender<u64>,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metrics(&self) -> String {
        self.board().metrics.text(self.dropped.load(Ordering::Relaxed))
    }
}

/// Whether a file is another's to read, where the system keeps such rights in its files.
#[cfg(unix)]
fn others_may_read(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
}

/// Elsewhere a file's access list is its owner's business.
#[cfg(not(unix))]
fn others_may_read(_: &Path) -> bool {
    false
}

/// The token in `path`; a new one where there is no such file, for its owner only.
fn kept_token(path: &Path) -> Result<Secret, DashboardError> {
    let error = |reason: String| DashboardError::TokenFile { path: path.to_owned(), reason };
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let token = Secret::given(text.trim()).ok_or_else(|| {
                error(format!(
                    "it must hold {} to {} letters and digits and nothing else",
                    access::SHORTEST_TOKEN,
                    access::LONGEST_TOKEN
                ))
            })?;
            match others_may_read(path) {
                true => Err(error("other users may read it; run 'chmod 600' on it".to_owned())),
                false => Ok(token),
            }
        }
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            let token =
                Secret::random().ok_or_else(|| error("the system gives no random numbers".to_owned()))?;
            crate::recorder::write_private(path, token.expose().as_bytes())
                .map_err(|failed| error(failed.to_string()))?;
            Ok(token)
        }
        Err(failed) => Err(error(failed.to_string())),
    }
}
