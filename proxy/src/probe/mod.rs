//! Drives every phase itself, with no client and no credentials, and says what the server did.
//!
//! One conversation goes as a client's would, up to the NTLM challenge, and is observed as a relayed one is: its record
//! has the same events and phases. The other checks fill a [`Probe`] beside it. Both together are what the verdict rests
//! on.

mod budget;
mod certificate;
mod classic;
mod conversation;
mod credssp;
pub mod difference;
mod dns;
pub mod fleet;
pub mod gateway;
mod hello;
pub(crate) mod negotiation;
mod other_paths;
mod path;
mod progress;
mod settings;
mod tally;
pub mod targets;
mod tcp;
mod tls;
mod udp;
mod watched;
mod way;

pub use other_paths::{OtherPath, OtherPathError};
pub use settings::Settings;

use crate::diagnose::{self, Context};
use crate::recorder::{SessionId, TraceStart};
use crate::relay::target::Target;
use crate::trace::{
    ClassicCheck, Detail, DnsCheck, End, LeftOut, Leg, Line, NegotiationAnswer, NegotiationCheck, PathCheck,
    Phase, Probe, Record, TlsCheck,
};
use budget::Budget;
use conversation::Talked;
use progress::{Progress, Security};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tally::Tally;
use watched::Watched;
use way::{Connection, Way};

/// No check waits for more answers than this, one after the other. A target that answers each of them at the last moment
/// is given up after as many times the timeout of one.
const MOST_ANSWERS_IN_A_ROW: u32 = 12;
/// How the command begins that probes one server and asks for nothing more.
const PLAIN_PROBE: &str = "rdpscope probe ";

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
    if let Some(detail) = resolved(&dns) {
        watched.say(Leg::Proxy, Phase::Dns, detail);
    }
    let mut found = Probe {
        target: target.to_string(),
        started: started.to_string(),
        dns: Some(dns),
        ..Probe::default()
    };
    if let Some(first) = addresses.first() {
        let way = Way {
            address: *first,
            server_name: target.host.clone(),
            direct: false,
            largest_segment: None,
            budget: Arc::new(Budget::new(settings, addresses.len())),
            connections: Arc::default(),
            tally: Arc::new(Tally::default()),
            answer_timeout: settings.answer_timeout,
            deadline: tokio::time::Instant::now() + settings.answer_timeout * MOST_ANSWERS_IN_A_ROW,
        };
        // On the heap, as a fleet of targets is probed at once and most of the time of each is waiting.
        Box::pin(ask(&watched, &way, dialled, &addresses, settings, &mut found)).await;
    }
    found.took_us = crate::relay::connect::micros(began.elapsed());
    let finished = watched.lock().finish();
    conclude(finished, found, settings)
}

/// Everything that needs an address, at the same time.
async fn ask(
    watched: &Watched,
    way: &Way,
    dialled: &Target,
    addresses: &[SocketAddr],
    settings: &Settings,
    found: &mut Probe,
) {
    let patience = Patience { deadline: way.deadline, left_out: Mutex::default() };
    let progress = Progress::default();
    let rounds = async {
        progress.begun().await;
        let reached = progress.reached();
        let others: Vec<SocketAddr> =
            addresses.iter().copied().filter(|address| Some(*address) != reached).collect();
        patience.until("TCP to each address", tcp::check(way, &others, settings.rounds)).await
    };
    let (tcp, reverse, udp, answers) = tokio::join!(
        rounds,
        dns::reverse(addresses),
        async { if settings.udp { udp::check(way).await } else { None } },
        talk(watched, way.clone(), addresses, &patience, &progress, settings.tls),
    );
    let plain = Way {
        address: progress.reached().unwrap_or(way.address),
        direct: progress.is_direct(),
        ..way.clone()
    };
    found.other_paths = other_paths::ask(&plain, dialled, settings, &patience).await;
    if let Some(dns) = &mut found.dns {
        dns.reverse = reverse;
    }
    found.tcp = addresses.iter().map(|address| way.connections.to(*address)).collect();
    found.left_out.extend(tcp.unwrap_or_default());
    found.negotiation = answers.negotiation;
    found.classic = answers.classic;
    found.udp = udp;
    found.tls = answers.scanned.tls;
    found.path = answers.scanned.path;
    found.left_out.extend(answers.scanned.left_out);
    found.certificate = answers.secured.certificate;
    found.credssp = answers.secured.credssp;
    found.credssp_after_refusal = answers.secured.credssp_after_refusal;
    found.connections = way.budget.connections();
    found.conversations = way.budget.conversations();
    found.flaky = way.tally.flaky();
    found.left_out.extend(patience.left_out.into_inner().unwrap_or_else(PoisonError::into_inner));
}

/// What was learnt on connections.
#[derive(Default)]
struct Answers {
    negotiation: Vec<NegotiationCheck>,
    classic: Option<ClassicCheck>,
    secured: Talked,
    scanned: Scanned,
}

/// What many hellos found.
#[derive(Default)]
struct Scanned {
    tls: Option<TlsCheck>,
    path: Option<PathCheck>,
    left_out: Vec<LeftOut>,
}

/// The conversation, and beside it each check that needs a server that takes connections.
async fn talk(
    watched: &Watched,
    mut way: Way,
    addresses: &[SocketAddr],
    patience: &Patience,
    progress: &Progress,
    scans_tls: bool,
) -> Answers {
    let reached = way.reach(addresses, |detail| watched.say(Leg::Server, Phase::Tcp, detail)).await;
    let Some(connection) = reached else {
        progress.over();
        return Answers::default();
    };
    let way = way;
    progress.reach(way.address);
    let converse = async {
        let talked = converse(watched, &way, connection, patience, progress).await;
        progress.over();
        talked
    };
    let masks = async {
        progress.begun().await;
        let masks = negotiation::check(&way);
        let masks = patience.until("X.224 with each mask of protocols", masks).await.unwrap_or_default();
        let classic = classic::check(&way, &masks);
        let classic = patience.until("encryption of classic RDP security", classic).await.flatten();
        (masks, classic)
    };
    let scan =
        async { if scans_tls { Box::pin(scan(&way, patience, progress)).await } else { Scanned::default() } };
    let (secured, (negotiation, classic), scanned) = tokio::join!(converse, masks, scan);
    Answers { negotiation, classic, secured, scanned }
}

/// The conversation from X.224 on.
async fn converse(
    watched: &Watched,
    way: &Way,
    mut connection: Connection,
    patience: &Patience,
    progress: &Progress,
) -> Talked {
    let talked = match conversation::negotiate(watched, way, &mut connection).await {
        NegotiationAnswer::Selected { protocol, .. } if protocol != negotiation::CLASSIC => {
            progress.tell(Security::Negotiated);
            let secure = conversation::secure(watched, way, connection, &protocol);
            patience.until("TLS and CredSSP", secure).await
        }
        NegotiationAnswer::OtherProtocol { .. } | NegotiationAnswer::Closed { .. } => {
            drop(connection);
            let talked = patience.until("TLS without X.224", conversation::direct(way)).await.flatten();
            progress.tell(if talked.is_some() { Security::Direct } else { Security::None });
            talked
        }
        NegotiationAnswer::Refused { .. } => {
            progress.tell(Security::None);
            let insist = conversation::insist(way, connection);
            patience.until("TLS where it was refused", insist).await.flatten()
        }
        _ => {
            progress.tell(Security::None);
            None
        }
    };
    watched.close("the probe took too long");
    talked.unwrap_or_default()
}

/// Versions, suites and groups, and how large a hello may be, where there is TLS.
async fn scan(way: &Way, patience: &Patience, progress: &Progress) -> Scanned {
    progress.begun().await;
    let direct = match progress.security().await {
        Security::Negotiated => false,
        Security::Direct => true,
        Security::None => {
            let reason = "there was no connection on which TLS could begin".to_owned();
            let left_out = LeftOut { check: "versions, suites and groups of TLS".to_owned(), reason };
            return Scanned { left_out: vec![left_out], ..Scanned::default() };
        }
    };
    let way = Way { direct, ..way.clone() };
    let ((tls, left_out), path) =
        tokio::join!(tls::scan(&way), patience.until("full-size segments", path::check(&way)));
    Scanned { tls: Some(tls), path, left_out }
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

/// What the resolver answered; nothing where an address was typed.
fn resolved(dns: &DnsCheck) -> Option<Detail> {
    let (name, took_us) = (dns.name.clone(), dns.took_us);
    match &dns.failure {
        Some(reason) => Some(Detail::ResolutionFailed { name, reason: reason.clone(), took_us }),
        None if dns.is_address => None,
        None => Some(Detail::Resolved { name, addresses: dns.addresses.clone(), took_us }),
    }
}

/// The record with its findings and its verdict.
fn conclude((mut record, end): (Record, End), found: Probe, settings: &Settings) -> Record {
    let is_of_gateway = found.gateway.is_some();
    record.push(Line::Probe(Box::new(found)));
    let mut diagnosis = diagnose::diagnose(&record, &Context::default());
    // What was just done is no next step.
    let was_done = |command: &str| {
        let target = command.strip_prefix(PLAIN_PROBE);
        !is_of_gateway && target.is_some_and(|target| !target.contains(' '))
    };
    diagnosis.verdict.next.retain(|command| (settings.knows_command)(command) && !was_done(command));
    diagnosis.findings.into_iter().for_each(|finding| record.push(Line::Finding(finding)));
    record.push(Line::Verdict(Box::new(diagnosis.verdict)));
    record.push(Line::End(end));
    record
}

#[cfg(test)]
mod tests;
