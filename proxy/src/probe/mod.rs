//! Drives every phase itself, with no client and no credentials, and says what the server did.
//!
//! One conversation goes as a client's would, up to the NTLM challenge, and is observed as a relayed one is: its record
//! has the same events and phases. The other checks fill a [`Probe`] beside it. Both together are what the verdict rests
//! on.

mod budget;
mod certificate;
mod conversation;
mod credssp;
pub mod difference;
mod dns;
pub mod fleet;
mod hello;
pub(crate) mod negotiation;
mod path;
mod settings;
mod tally;
pub mod targets;
mod tcp;
mod udp;
mod watched;
mod way;

pub use settings::Settings;

use crate::diagnose::{self, Context};
use crate::recorder::{SessionId, TraceStart};
use crate::relay::target::Target;
use crate::trace::{
    Detail, DnsCheck, LeftOut, Leg, Line, NegotiationAnswer, NegotiationCheck, PathCheck, Phase, Probe,
    Record,
};
use budget::Budget;
use conversation::Talked;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tally::Tally;
use watched::Watched;
use way::Way;

/// No check waits for more answers than this, one after the other. A target that answers each of them at the last moment
/// is given up after as many times the timeout of one.
const MOST_ANSWERS_IN_A_ROW: u32 = 12;

/// Probes `target`. The record ends with its verdict; it never fails, as a target that cannot be reached is a finding.
pub async fn probe(target: &Target, settings: &Settings) -> Record {
    let began = Instant::now();
    let started = jiff::Timestamp::now();
    certificate::prepare();
    let watched = Watched::new(TraceStart {
        id: SessionId::from(""),
        target: target.to_string(),
        settings: serde_json::Map::new(),
        started,
        began,
    });
    let dialled = settings.address.as_ref().unwrap_or(target);
    let (dns, addresses) = dns::check(dialled).await;
    note_resolved(&watched, &dns);
    let mut found = Probe {
        target: target.to_string(),
        started: started.to_string(),
        dns: Some(dns),
        ..Probe::default()
    };
    if let Some(first) = addresses.first() {
        let way = Way {
            target: target.clone(),
            address: *first,
            server_name: target.host.clone(),
            direct: false,
            largest_segment: None,
            budget: Arc::new(Budget::new(settings, addresses.len())),
            tally: Arc::new(Tally::default()),
            answer_timeout: settings.answer_timeout,
            deadline: tokio::time::Instant::now() + settings.answer_timeout * MOST_ANSWERS_IN_A_ROW,
        };
        ask(&watched, &way, &addresses, settings, &mut found).await;
    }
    found.took_us = crate::relay::connect::micros(began.elapsed());
    conclude(&watched, found, settings)
}

/// Everything that needs an address, at the same time.
async fn ask(watched: &Watched, way: &Way, addresses: &[SocketAddr], settings: &Settings, found: &mut Probe) {
    let patience = Patience { deadline: way.deadline, left_out: Mutex::default() };
    let (tcp, reverse, udp, talked) = tokio::join!(
        patience.until("TCP to each address", tcp::check(way, addresses, settings.rounds)),
        dns::reverse(addresses),
        async { if settings.udp { udp::check(way).await } else { None } },
        talk(watched, way.clone(), addresses, settings, &patience),
    );
    if let Some(dns) = &mut found.dns {
        dns.reverse = reverse;
    }
    for (check, left_out) in tcp.unwrap_or_default() {
        found.tcp.push(check);
        found.left_out.extend(left_out);
    }
    found.negotiation = talked.negotiation;
    found.certificate = talked.secured.certificate;
    found.credssp = talked.secured.credssp;
    found.path = talked.path;
    found.udp = udp;
    found.connections = way.budget.connections();
    found.conversations = way.budget.conversations();
    found.flaky = way.tally.flaky();
    found.left_out.extend(patience.left_out.into_inner().unwrap_or_else(PoisonError::into_inner));
}

/// What was learnt on connections.
#[derive(Default)]
struct Answers {
    negotiation: Vec<NegotiationCheck>,
    secured: Talked,
    path: Option<PathCheck>,
}

/// The conversation, and beside it each check that needs a server that takes connections.
async fn talk(
    watched: &Watched,
    mut way: Way,
    addresses: &[SocketAddr],
    settings: &Settings,
    patience: &Patience,
) -> Answers {
    let Some(mut connection) = conversation::reach(watched, &mut way, addresses).await else {
        return Answers::default();
    };
    let way = way;
    let further = async {
        match conversation::negotiate(watched, &way, &mut connection).await {
            NegotiationAnswer::Selected { protocol, .. } if protocol != negotiation::CLASSIC => {
                let secure = conversation::secure(watched, &way, connection, &protocol);
                tokio::join!(patience.until("TLS and CredSSP", secure), scan(&way, settings, patience))
            }
            NegotiationAnswer::OtherProtocol { .. } | NegotiationAnswer::Closed { .. } => {
                let talked = patience.until("TLS without X.224", conversation::direct(&way)).await.flatten();
                let way = Way { direct: true, ..way.clone() };
                let scanned =
                    if talked.is_some() { scan(&way, settings, patience).await } else { Scanned::default() };
                (talked, scanned)
            }
            _ => Default::default(),
        }
    };
    let (negotiation, (secured, scanned)) =
        tokio::join!(patience.until("X.224 with each mask of protocols", negotiation::check(&way)), further);
    watched.close("the probe took too long");
    Answers {
        negotiation: negotiation.unwrap_or_default(),
        secured: secured.unwrap_or_default(),
        path: scanned.path,
    }
}

/// What many hellos found.
#[derive(Default)]
struct Scanned {
    path: Option<PathCheck>,
}

async fn scan(way: &Way, settings: &Settings, patience: &Patience) -> Scanned {
    if !settings.tls {
        return Scanned::default();
    }
    Scanned { path: patience.until("full-size segments", path::check(way)).await }
}

/// How long everything may take.
struct Patience {
    deadline: tokio::time::Instant,
    left_out: Mutex<Vec<LeftOut>>,
}

impl Patience {
    /// What came of `work`, unless it is not done in time.
    async fn until<T>(&self, check: &str, work: impl Future<Output = T>) -> Option<T> {
        let done = tokio::time::timeout_at(self.deadline, work).await.ok();
        if done.is_none() {
            let reason = "the target answers too slowly for all of it".to_owned();
            let left_out = LeftOut { check: check.to_owned(), reason };
            self.left_out.lock().unwrap_or_else(PoisonError::into_inner).push(left_out);
        }
        done
    }
}

fn note_resolved(watched: &Watched, dns: &DnsCheck) {
    let (name, took_us) = (dns.name.clone(), dns.took_us);
    let detail = match &dns.failure {
        Some(reason) => Detail::ResolutionFailed { name, reason: reason.clone(), took_us },
        None if dns.is_address => return,
        None => Detail::Resolved { name, addresses: dns.addresses.clone(), took_us },
    };
    watched.say(Leg::Proxy, Phase::Dns, detail);
}

fn conclude(watched: &Watched, found: Probe, settings: &Settings) -> Record {
    let (mut record, end) = watched.lock().finish();
    record.push(Line::Probe(Box::new(found)));
    let mut diagnosis = diagnose::diagnose(&record, &Context::default());
    diagnosis.verdict.next.retain(|command| (settings.knows_command)(command));
    diagnosis.findings.into_iter().for_each(|finding| record.push(Line::Finding(finding)));
    record.push(Line::Verdict(Box::new(diagnosis.verdict)));
    record.push(Line::End(end));
    record
}
