//! Attempts that follow one another on one listener, each with settings of its own.

use super::client_command::ClientRun;
use super::listener::{ListenError, Listener, Running, Settings, until};
use crate::experiment;
use crate::recorder::RecorderHandle;
use crate::trace::Record;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// A client that cannot have its session dials again with fewer protocols, or after a question to its user; one that
/// does nothing for so long has given up.
const SETTLED_AFTER: Duration = Duration::from_secs(3);
/// How long sessions have to end by themselves once their client has been ended.
const END_GRACE: Duration = Duration::from_secs(2);

/// How long an attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until the first connection.
    pub until_connected: Duration,
    /// For the whole attempt.
    pub whole: Duration,
    /// How long there is to be a desktop until a client that rdpscope has started is ended; what a person has opened
    /// they close themselves.
    pub desktop: Duration,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// By itself, or with a desktop.
    Done,
    /// Nobody connected.
    NoConnection,
    /// It took too long and was cut.
    TooLong,
    /// The user asked to go on to the next one.
    Asked,
    /// The user interrupted it.
    Interrupted,
}

/// What may end an attempt before its time.
pub struct Interruptions<'a, A, B> {
    /// The user ends everything.
    pub all: Pin<&'a mut A>,
    /// The user ends this attempt and goes on to the next.
    pub this: Pin<&'a mut B>,
}

/// What an attempt came to.
#[derive(Debug)]
pub struct Attempted {
    /// How it ended.
    pub end: AttemptEnd,
    /// Its sessions.
    pub records: Vec<Record>,
}

/// A listener for one attempt after the other.
pub struct Series {
    running: Running,
    records: mpsc::UnboundedReceiver<Record>,
}

impl Series {
    /// Starts to serve sessions.
    pub fn start(listener: Listener, recorder: RecorderHandle) -> Result<Series, ListenError> {
        let (sender, records) = mpsc::unbounded_channel();
        let concluded = move |record: &Record| {
            // Nobody listens any more when the series is over.
            let _ = sender.send(record.clone());
        };
        Ok(Series { running: listener.start(recorder, concluded)?, records })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Runs one attempt: with the client that the settings name, or with one that somebody else starts once `ready` has
    /// said so.
    pub async fn attempt(
        &mut self,
        settings: Settings,
        arm: &str,
        patience: Patience,
        ready: impl FnOnce(),
        mut interruptions: Interruptions<'_, impl Future<Output = ()>, impl Future<Output = ()>>,
    ) -> Result<Attempted, ListenError> {
        let settings = Arc::new(settings);
        let (stop, stopped) = watch::channel(false);
        self.running.switch(settings.clone(), stopped).await;
        self.running.shared.attempts.reopen();
        let mut desktops = self.running.shared.attempts.desktops();
        let mut attempt = Attempt::new(&self.running, settings.clone(), patience);
        ready();
        let mut client = ClientRun::new(&settings, self.running.address, arm)?;
        let has_client = settings.client.is_some();
        let end = loop {
            let idle = self.running.count.open() == 0;
            if let Some(end) = attempt.over(&self.running, idle, has_client.then(|| client.is_over())) {
                break end;
            }
            let deadline = attempt.deadline(&self.running);
            let began = self.running.count.began;
            let settled = attempt.settled.filter(|_| idle && !has_client);
            tokio::select! {
                goes_on = self.running.report() => {
                    if !goes_on { break AttemptEnd::Interrupted }
                    if self.running.count.began > began {
                        attempt.settled = None;
                    }
                }
                Some(record) = self.records.recv() => attempt.note(record),
                () = client.ended() => self.running.shared.attempts.close(),
                changed = desktops.changed(), if has_client && attempt.desktop_until.is_none() => {
                    // The sender lives as long as the sessions.
                    let _ = changed;
                    attempt.desktop_until = Some(Instant::now() + patience.desktop);
                }
                () = until(attempt.desktop_until) => break AttemptEnd::Done,
                () = until(settled) => break AttemptEnd::Done,
                () = until(Some(deadline)) => {
                    break attempt.late(&self.running);
                }
                () = interruptions.this.as_mut() => break AttemptEnd::Asked,
                () = interruptions.all.as_mut() => break AttemptEnd::Interrupted,
            }
        };
        client.end();
        self.end_sessions(stop, &mut attempt).await;
        while let Ok(record) = self.records.try_recv() {
            attempt.note(record);
        }
        Ok(Attempted { end, records: attempt.records })
    }

    /// Waits until every session has its verdict; cuts those that do not end.
    async fn end_sessions(&mut self, stop: watch::Sender<bool>, attempt: &mut Attempt) {
        self.running.shared.attempts.close();
        let deadline = Instant::now() + END_GRACE;
        while self.running.count.open() > 0 {
            tokio::select! {
                goes_on = self.running.report() => if !goes_on { return },
                Some(record) = self.records.recv() => attempt.note(record),
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        // Sessions hold the other end, or have ended.
        let _ = stop.send(true);
        while self.running.count.open() > 0 && self.running.report().await {}
    }

    /// Stops to listen.
    pub async fn finish(self) {
        self.running.finish().await;
    }
}

/// An attempt under way.
struct Attempt {
    settings: Arc<Settings>,
    records: Vec<Record>,
    /// Sessions that had begun before it.
    before: u64,
    patience: Patience,
    began: Instant,
    /// Nobody will dial again from then on.
    settled: Option<Instant>,
    /// There was a desktop, and it may be ended then.
    desktop_until: Option<Instant>,
}

impl Attempt {
    fn new(running: &Running, settings: Arc<Settings>, patience: Patience) -> Attempt {
        Attempt {
            settings,
            records: Vec::new(),
            before: running.count.began,
            patience,
            began: Instant::now(),
            settled: None,
            desktop_until: None,
        }
    }

    fn is_connected(&self, running: &Running) -> bool {
        running.count.began > self.before
    }

    /// Whether the client that was started has ended, and all that it had opened.
    fn over(&self, running: &Running, idle: bool, client_over: Option<bool>) -> Option<AttemptEnd> {
        match client_over {
            Some(true) if idle => {
                Some(if self.is_connected(running) { AttemptEnd::Done } else { AttemptEnd::NoConnection })
            }
            _ => None,
        }
    }

    fn deadline(&self, running: &Running) -> Instant {
        let limit =
            if self.is_connected(running) { self.patience.whole } else { self.patience.until_connected };
        self.began + limit
    }

    fn late(&self, running: &Running) -> AttemptEnd {
        if self.is_connected(running) { AttemptEnd::TooLong } else { AttemptEnd::NoConnection }
    }

    /// A session that was still open from the attempt before does not count.
    fn note(&mut self, record: Record) {
        if record.header.as_ref().is_none_or(|header| header.settings != self.settings.shown) {
            return;
        }
        if experiment::counts(&record) {
            self.settled = Some(Instant::now() + SETTLED_AFTER);
        }
        self.records.push(record);
    }
}
