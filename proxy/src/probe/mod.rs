//! Drives every phase itself, with no client and no credentials, and says what the server did.
//!
//! One conversation goes as a client's would, up to the NTLM challenge, and is observed as a relayed one is: its record
//! has the same events and phases. The other checks fill a [`Probe`](crate::trace::Probe) beside it. Both together are
//! what the verdict rests on.

mod budget;
pub(crate) mod negotiation;
mod settings;
mod tls;
mod way;

pub use settings::Settings;

use crate::diagnose::{self, Context};
use crate::relay::connect::{connect, micros, plain_reason};
use crate::relay::resolve::resolve;
use crate::relay::target::Target;
use crate::trace::{DnsCheck, Header, Line, Probe, Record, SCHEMA_VERSION, Summary, TcpCheck};
use std::time::Instant;

/// Probes `target`. The record ends with its verdict; it never fails, as a target that cannot be reached is a finding.
pub async fn probe(target: &Target, settings: &Settings) -> Record {
    let began = Instant::now();
    let started = jiff::Timestamp::now().to_string();
    let mut record = Record::default();
    record.push(Line::Trace(Header {
        schema: SCHEMA_VERSION,
        rdpscope: env!("CARGO_PKG_VERSION").to_owned(),
        session: String::new(),
        target: target.to_string(),
        settings: serde_json::Map::new(),
        started: started.clone(),
    }));
    let mut found = Probe { target: target.to_string(), started, ..Probe::default() };
    let dialled = settings.address.as_ref().unwrap_or(target);
    let resolved = resolve(dialled).await;
    let took_us = micros(began.elapsed());
    let addresses = resolved.as_deref().unwrap_or_default();
    found.dns = Some(DnsCheck {
        name: dialled.host.clone(),
        is_address: dialled.ip().is_some(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        failure: resolved.as_ref().err().map(plain_reason),
        took_us,
        ..DnsCheck::default()
    });
    for address in addresses {
        let dialling = Instant::now();
        let connected = connect(&[*address], |_| ()).await;
        found.connections += 1;
        let round = connected.is_ok().then(|| micros(dialling.elapsed()));
        found.tcp.push(TcpCheck { address: address.to_string(), rounds: vec![round], ..TcpCheck::default() });
    }
    found.took_us = micros(began.elapsed());
    record.push(Line::Probe(Box::new(found)));
    record.push(Line::Summary(Box::new(Summary::default())));
    let diagnosis = diagnose::diagnose(&record, &Context::default());
    diagnosis.findings.into_iter().for_each(|finding| record.push(Line::Finding(finding)));
    record.push(Line::Verdict(Box::new(diagnosis.verdict)));
    record
}
