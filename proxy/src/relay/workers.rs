//! Threads that accept and run sessions. A session stays on the thread that accepted it, so that a byte that passes
//! wakes no other thread.

use super::attempts::Number;
use super::gateway::host::{Host, Job};
use super::gateway::serve as gateway;
use super::listener::{Present, Shared};
use super::room::Place;
use super::session;
use super::session::Surroundings;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::JoinSet;

/// A process that has no descriptor left cannot accept; it tries again when some session may have ended.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a worker reports, where sessions are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// A session began.
    Began,
    /// A session is over.
    Concluded,
}

/// One thread for each processor, all accepting from `listener`.
pub(super) fn start(
    listener: &std::net::TcpListener,
    shared: &Arc<Shared>,
    reports: &mpsc::UnboundedSender<Report>,
    stop: &watch::Receiver<bool>,
) -> io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..threads {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Worker {
            listener: listener.try_clone()?,
            shared: shared.clone(),
            reports: reports.clone(),
            stop: stop.clone(),
        };
        std::thread::Builder::new().name("relay".to_owned()).spawn(move || runtime.block_on(worker.run()))?;
    }
    Ok(())
}

struct Worker {
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    reports: mpsc::UnboundedSender<Report>,
    stop: watch::Receiver<bool>,
}

impl Worker {
    /// Ends when it was told to stop and its sessions have ended.
    async fn run(self) {
        // The listener was made by tokio once before; it can be registered again.
        let Ok(listener) = self.listener.try_clone().and_then(TcpListener::from_std) else { return };
        let mut sessions = JoinSet::new();
        let mut connections = JoinSet::new();
        let (jobs, mut due) = mpsc::unbounded_channel();
        let host = Host { shared: self.shared.clone(), reports: self.reports.clone(), jobs };
        let mut stopped = self.stop.clone();
        loop {
            tokio::select! {
                (stream, peer, place) = accept(&listener, &self.shared) => {
                    if self.shared.sorts_connections {
                        connections.spawn(Box::pin(gateway::serve(stream, peer, place, host.clone())));
                        continue;
                    }
                    // Before it counts: whoever hears that it was the last takes for gone who is not known by then.
                    let number = self.shared.attempts.began(peer.ip());
                    self.report(Report::Began);
                    // Boxed, because it is large and moved about before it runs.
                    let session: Job = Box::pin(serve(stream, (peer, number), place, self.shared.clone()));
                    sessions.spawn(session);
                }
                Some(session) = due.recv() => drop(sessions.spawn(session)),
                Some(_) = connections.join_next() => {}
                Some(_) = sessions.join_next() => self.report(Report::Concluded),
                _ = stopped.wait_for(|stop| *stop) => break,
            }
        }
        drop(host);
        loop {
            tokio::select! {
                Some(session) = due.recv() => drop(sessions.spawn(session)),
                Some(_) = connections.join_next() => {}
                Some(_) = sessions.join_next() => self.report(Report::Concluded),
                else => break,
            }
        }
    }

    /// Where nobody counts, nobody is woken.
    fn report(&self, report: Report) {
        if self.shared.counts_sessions {
            // Nobody listens any more when the program ends without waiting for its sessions.
            let _ = self.reports.send(report);
        }
    }
}

/// The next client that there is room for.
async fn accept(listener: &TcpListener, shared: &Shared) -> (TcpStream, SocketAddr, Place) {
    loop {
        let remaining = match shared.sorts_connections {
            // Which of them begins a session shows later.
            true => None,
            false => match shared.remaining.clone().acquire_owned().await {
                Ok(remaining) => Some(remaining),
                Err(_) => return std::future::pending().await,
            },
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Some((stream, place)) = shared.admit(stream) else { continue };
                // A session that was begun counts for good.
                remaining.into_iter().for_each(OwnedSemaphorePermit::forget);
                return (stream, peer, place);
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Runs one direct session.
pub(super) async fn serve(
    stream: TcpStream,
    client: (SocketAddr, Number),
    place: Place,
    shared: Arc<Shared>,
) {
    let Present { settings, stop } = shared.present();
    let trace = shared.begin_trace(&settings, Instant::now());
    // Behind a CONNECT to the server itself the way to a gateway has no say.
    let interception = settings.interception.as_deref().filter(|_| settings.gateway.is_none());
    let session = session::SharedSession::new(trace, interception.is_some());
    let surroundings = Surroundings {
        route: &settings.route,
        attempts: &shared.attempts,
        udp: &shared.udp,
        interception,
        impairments: &settings.impairments,
        knows_command: settings.knows_command,
    };
    let record = session::run(stream, client, (session, place), &surroundings, stop).await;
    (shared.concluded)(&record);
}
