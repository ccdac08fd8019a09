//! Finished sessions and probes as OpenTelemetry traces for a collector: OTLP over HTTP, encoded as protobuf.
//!
//! Sessions hand theirs over without waiting ([`Exporter::tap`]); a thread of its own sends them. What cannot be sent is
//! tried again as OTLP asks for, then dropped and counted.

mod endpoint;
mod message;
mod spans;

pub use endpoint::{Endpoint, EndpointError};

use crate::recorder::{SessionId, Tap};
use crate::trace::{Line, Record};
use endpoint::{Answer, Client};
use message::{
    ExportTraceServiceRequest, ExportTraceServiceResponse, InstrumentationScope, Resource, ResourceSpans,
    ScopeSpans, Span, attribute,
};
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Sessions that may wait, some 10 KiB each.
const QUEUE_LENGTH: usize = 1024;
/// Sessions in one request: some 1 MiB, of which collectors take several.
const SESSIONS_AT_ONCE: usize = 64;
/// How long sessions may gather: one request serves them all.
const GATHERING: Duration = Duration::from_millis(200);
/// How long one request may take (the default of OpenTelemetry's exporters).
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// How often one request is tried: over some 30 s, in which a collector may start anew.
const MOST_TRIES: u32 = 6;
/// The first pause between two tries; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that a collector may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long the program's end may wait for what is still to be sent.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);
/// The pause between tries from then on.
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// Who sends, as the collector is told.
#[derive(Debug, Clone)]
pub struct Sender {
    /// `OTEL_SERVICE_NAME`; `rdpscope` where it is not set.
    pub service: String,
    /// This machine's name, where it is known.
    pub host: Option<String>,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, which may hold a secret.
    pub headers: String,
}

/// How many sessions came to the collector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// It took them.
    pub taken: u64,
    /// They were dropped.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Counts {
    taken: AtomicU64,
    dropped: AtomicU64,
}

/// Sends sessions to a collector.
pub struct Exporter {
    tap: Arc<Spans>,
    counts: Arc<Counts>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Begins to send. `say` is told once, in a sentence, when the collector takes nothing.
    pub fn start(
        endpoint: Endpoint,
        sender: Sender,
        say: impl Fn(&str) + Send + 'static,
    ) -> std::io::Result<Exporter> {
        let (queue, queued) = mpsc::channel(QUEUE_LENGTH);
        let (stop, stopped) = watch::channel(false);
        let counts = Arc::<Counts>::default();
        let delivery = Delivery {
            name: endpoint.to_string(),
            client: Client::new(endpoint, &sender.headers, REQUEST_WITHIN),
            resource: resource(&sender),
            counts: counts.clone(),
            stopped: stopped.clone(),
            say: Box::new(say),
            complained: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("otlp".to_owned()).spawn(move || {
            runtime.block_on(deliver(delivery, queued, stopped));
            // A name that is still looked up is nobody's any more.
            runtime.shutdown_background();
        })?;
        let tap = Arc::new(Spans { queue, counts: counts.clone() });
        Ok(Exporter { tap, counts, stop, thread: Some(thread) })
    }

    /// What sessions are to be heard by.
    pub fn tap(&self) -> Arc<dyn Tap> {
        self.tap.clone()
    }

    /// Sends what is still to be sent, for a few seconds at most; what is left is dropped.
    pub fn finish(mut self) -> Exported {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic there was already reported by its thread.
            let _ = thread.join();
        }
        Exported {
            taken: self.counts.taken.load(Ordering::Relaxed),
            dropped: self.counts.dropped.load(Ordering::Relaxed),
        }
    }
}

/// Listens to the sessions; never waits.
struct Spans {
    queue: mpsc::Sender<Vec<Span>>,
    counts: Arc<Counts>,
}

impl Tap for Spans {
    fn lines(&self, _: &SessionId, _: &[Line]) {}

    fn concluded(&self, _: &SessionId, record: &Record) {
        let room = self.queue.try_reserve().ok();
        match room.and_then(|room| Some((room, spans::spans(record)?))) {
            Some((room, spans)) => room.send(spans),
            None => drop(self.counts.dropped.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// Delivers until there is nothing more, or the end has waited long enough.
async fn deliver(
    mut delivery: Delivery,
    mut queued: mpsc::Receiver<Vec<Span>>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut ended = stopped.clone();
    let counts = delivery.counts.clone();
    let mut under_way = Vec::new();
    let run = async {
        loop {
            tokio::select! {
                count = queued.recv_many(&mut under_way, SESSIONS_AT_ONCE) => if count == 0 { return },
                _ = stopped.wait_for(|stopped| *stopped), if !queued.is_closed() => {
                    queued.close();
                    continue;
                }
            }
            if !queued.is_closed() && under_way.len() < SESSIONS_AT_ONCE {
                tokio::time::sleep(GATHERING).await;
                while under_way.len() < SESSIONS_AT_ONCE {
                    let Ok(spans) = queued.try_recv() else { break };
                    under_way.push(spans);
                }
            }
            delivery.send(&mut under_way).await;
        }
    };
    let too_long = async {
        // Without a sender the program is at its end, too.
        let _ = ended.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(FLUSH_WITHIN).await;
    };
    let is_late = tokio::select! {
        () = run => false,
        () = too_long => true,
    };
    if is_late {
        let mut left = under_way.len() as u64;
        queued.close();
        while queued.try_recv().is_ok() {
            left += 1;
        }
        counts.dropped.fetch_add(left, Ordering::Relaxed);
    }
}

/// The way to the collector.
struct Delivery {
    name: String,
    client: Client,
    resource: Resource,
    counts: Arc<Counts>,
    stopped: watch::Receiver<bool>,
    say: Box<dyn Fn(&str) + Send>,
    complained: bool,
}

impl Delivery {
    /// Sends the sessions in one request. They are gone when the collector has taken them, or has not in the end.
    async fn send(&mut self, sessions: &mut Vec<Vec<Span>>) {
        let message = self.request(sessions).encode_to_vec();
        let count = sessions.len() as u64;
        let mut pause = FIRST_PAUSE;
        let mut reason = String::new();
        for tried in 1..=MOST_TRIES {
            match self.client.post(message.clone()).await {
                Answer::Taken(body) => {
                    sessions.clear();
                    self.taken(count, &body);
                    return;
                }
                Answer::Refused(why) => {
                    reason = why;
                    break;
                }
                Answer::Later { reason: why, after } => {
                    reason = why;
                    if tried < MOST_TRIES {
                        self.wait(after.unwrap_or(pause).min(LONGEST_PAUSE)).await;
                    }
                    pause *= 2;
                }
            }
        }
        sessions.clear();
        self.counts.dropped.fetch_add(count, Ordering::Relaxed);
        self.complain(&reason);
    }

    fn request(&self, sessions: &[Vec<Span>]) -> ExportTraceServiceRequest {
        let scope = InstrumentationScope {
            name: "rdpscope".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let spans = ScopeSpans { scope: Some(scope), spans: sessions.concat() };
        let resource = Some(self.resource.clone());
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { resource, scope_spans: vec![spans] }],
        }
    }

    fn taken(&mut self, count: u64, body: &[u8]) {
        self.counts.taken.fetch_add(count, Ordering::Relaxed);
        // Some collectors answer in JSON whatever they were asked; what cannot be read says nothing.
        let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        if let Some(partial) = answer.partial_success.filter(|partial| partial.rejected_spans > 0) {
            let said = crate::report::safe::name(&partial.error_message);
            self.complain(&format!("it rejects {} spans and says {said:?}", partial.rejected_spans));
        }
    }

    /// A pause between two tries; a short one when the program waits for its end.
    async fn wait(&mut self, pause: Duration) {
        let is_over = tokio::select! {
            () = tokio::time::sleep(pause) => false,
            _ = self.stopped.wait_for(|stopped| *stopped) => true,
        };
        if is_over {
            tokio::time::sleep(pause.min(LAST_PAUSE)).await;
        }
    }

    fn complain(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.complained, true) {
            (self.say)(&format!(
                "cannot export to the collector at {}: {reason}; nothing waits for it, and what it does not take is dropped",
                self.name
            ));
        }
    }
}

fn resource(sender: &Sender) -> Resource {
    let mut attributes = vec![
        attribute("service.name", &*sender.service),
        attribute("service.version", env!("CARGO_PKG_VERSION")),
        attribute("service.instance.id", &*format!("{}", std::process::id())),
    ];
    attributes.extend(sender.host.as_deref().map(|host| attribute("host.name", host)));
    Resource { attributes }
}
