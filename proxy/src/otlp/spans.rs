//! A session, or the probe of a target, as spans: one for the whole, below it one for each phase.
//!
//! Names of machines and addresses go along, as do the facts of protocols. What a user is called does not, nor anything
//! that a user or a certificate has written: neither cookies, user names, domains and sentences that may repeat them,
//! nor the fields of events.

use super::message::{Event, KeyValue, Span, SpanKind, Status, StatusCode, attribute};
use crate::relay::target::Target;
use crate::trace::{self, ClosedBy, How, Micros, Outcome, PhaseRecord, Record};
use ring::rand::{SecureRandom, SystemRandom};

/// Events of one session that go along, some 100 bytes each; an ordinary session has some 60.
const MOST_EVENTS: usize = 256;
/// Phases that go along; there are 20, of which two run on each leg.
const MOST_PHASES: usize = 64;
/// Bytes of a trace's id and of a span's.
const TRACE_ID: usize = 16;
const SPAN_ID: usize = 8;

/// The spans of a finished session or probe, its own first; none where it has no beginning or the system gives no
/// random numbers.
pub(super) fn spans(record: &Record) -> Option<Vec<Span>> {
    let random = SystemRandom::new();
    let trace_id = random_id::<TRACE_ID>(&random)?;
    let header = record.header.as_ref()?;
    let started: trace::Micros =
        header.started.parse::<jiff::Timestamp>().ok()?.as_microsecond().try_into().ok()?;
    let clock = Clock { started };
    let phases_us = record.phases.iter().map(|phase| phase.end_us).max().unwrap_or_default();
    // A probe goes on beside the one conversation that has phases.
    let last_us = record.probe.as_ref().map_or(phases_us, |probe| probe.took_us.max(phases_us));
    let (name, kind) = match record.probe {
        Some(_) => ("rdp probe", SpanKind::Client),
        None => ("rdp session", SpanKind::Server),
    };
    let mut root = Span {
        trace_id: trace_id.clone(),
        span_id: random_id::<SPAN_ID>(&random)?,
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: clock.at(0),
        end_time_unix_nano: clock.at(record.end.as_ref().map_or(last_us, |end| end.t_us.max(last_us))),
        attributes: facts(record),
        status: verdict_status(record),
        ..Span::default()
    };
    let told = record.phases.iter().filter(|phase| phase.outcome != Outcome::Skipped).take(MOST_PHASES);
    let told: Vec<&PhaseRecord> = told.collect();
    let mut phases = Vec::with_capacity(told.len());
    for phase in &told {
        phases.push(Span {
            trace_id: trace_id.clone(),
            span_id: random_id::<SPAN_ID>(&random)?,
            parent_span_id: root.span_id.clone(),
            name: phase.phase.id().to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: clock.at(phase.start_us),
            end_time_unix_nano: clock.at(phase.end_us.max(phase.start_us)),
            attributes: phase_facts(phase),
            status: Some(outcome_status(phase.outcome)),
            ..Span::default()
        });
    }
    for event in record.events.iter().take(MOST_EVENTS) {
        let place = told.iter().position(|phase| is_of(event, phase));
        let span = place.map_or(&mut root, |place| &mut phases[place]);
        span.events.push(moment(event, &clock));
    }
    root.dropped_events_count =
        u32::try_from(record.events.len().saturating_sub(MOST_EVENTS)).unwrap_or(u32::MAX);
    phases.insert(0, root);
    Some(phases)
}

fn random_id<const LENGTH: usize>(random: &SystemRandom) -> Option<Vec<u8>> {
    let mut id = [0; LENGTH];
    random.fill(&mut id).ok()?;
    Some(id.to_vec())
}

/// The session's time on the clock of the world.
struct Clock {
    /// Microseconds since 1970.
    started: Micros,
}

impl Clock {
    fn at(&self, t_us: Micros) -> u64 {
        self.started.saturating_add(t_us).saturating_mul(1000)
    }
}

/// Whether an event was seen in a phase, on its leg.
fn is_of(event: &trace::Event, phase: &PhaseRecord) -> bool {
    let on_its_leg = phase.leg.is_none_or(|leg| leg == event.leg);
    event.phase == phase.phase && on_its_leg
}

/// Its name alone: the fields of events hold what users typed and what certificates say.
fn moment(event: &trace::Event, clock: &Clock) -> Event {
    // Serialising these types into memory cannot fail.
    let detail = serde_json::to_value(&event.detail).unwrap_or_default();
    let name = detail.get("event").and_then(serde_json::Value::as_str).unwrap_or("event");
    let mut attributes = vec![attribute("rdpscope.leg", event.leg.id())];
    attributes.extend(event.from.map(|from| attribute("rdpscope.from", from.id())));
    if event.inferred {
        attributes.push(attribute("rdpscope.inferred", true));
    }
    Event { time_unix_nano: clock.at(event.t_us), name: name.to_owned(), attributes }
}

/// By the names of OpenTelemetry's semantic conventions where there are such names.
fn facts(record: &Record) -> Vec<KeyValue> {
    let mut facts = vec![attribute("network.transport", "tcp"), attribute("network.protocol.name", "rdp")];
    let mut add = |key: &str, value: Option<&str>| facts.extend(value.map(|value| attribute(key, value)));
    if let Some(header) = &record.header {
        add("rdpscope.session", Some(&*header.session).filter(|id| !id.is_empty()));
        add("rdpscope.arm", header.settings.get("arm").and_then(|arm| arm.as_str()));
    }
    if let Some(verdict) = &record.verdict {
        add("rdpscope.verdict", Some(verdict.id.as_str()));
        add("rdpscope.confidence", Some(verdict.confidence.id()));
        add("rdpscope.verdict.phase", Some(verdict.phase.id()));
        add("error.type", verdict.is_fault().then_some(verdict.id.as_str()));
    }
    if let Some(summary) = &record.summary {
        add("rdpscope.selected_protocol", summary.selected_protocol.as_deref());
        add("rdpscope.reached", summary.reached.map(|phase| phase.id()));
        add("rdpscope.error_info", summary.error_info.as_deref());
        add("tls.protocol.version", summary.tls_version.as_deref().map(|it| it.trim_start_matches("TLS")));
        add("tls.cipher", summary.cipher.as_deref());
        add("tls.client.ja3", summary.ja3.as_deref());
    }
    if let Some(end) = &record.end {
        add("rdpscope.closed_by", end.closed_by.map(ClosedBy::id));
        add("rdpscope.how", end.how.map(How::id));
        facts.push(attribute("rdpscope.bytes_up", end.bytes_up));
        facts.push(attribute("rdpscope.bytes_down", end.bytes_down));
    }
    match &record.probe {
        Some(probe) => {
            facts.push(attribute("rdpscope.probe.connections", u64::from(probe.connections)));
            facts.push(attribute("rdpscope.probe.conversations", u64::from(probe.conversations)));
        }
        None => facts.push(attribute("rdpscope.altered", record.altered.len() as u64)),
    }
    let target = record.header.as_ref().map(|header| header.target.as_str());
    place(&mut facts, "server", target);
    let of_summary = |pick: fn(&trace::Summary) -> &Option<String>| {
        record.summary.as_ref().and_then(|it| pick(it).as_deref())
    };
    place(&mut facts, "network.peer", of_summary(|summary| &summary.server));
    place(&mut facts, "client", of_summary(|summary| &summary.client));
    facts
}

/// `HOST:PORT` as two attributes.
fn place(facts: &mut Vec<KeyValue>, name: &str, text: Option<&str>) {
    let Some(target) = text.and_then(|text| text.parse::<Target>().ok()) else { return };
    facts.push(attribute(&format!("{name}.address"), &*target.host));
    facts.push(attribute(&format!("{name}.port"), u64::from(target.port)));
}

fn phase_facts(phase: &PhaseRecord) -> Vec<KeyValue> {
    let mut facts = vec![
        attribute("rdpscope.phase", phase.phase.id()),
        attribute("rdpscope.outcome", phase.outcome.id()),
        attribute("rdpscope.inferred", phase.inferred),
    ];
    facts.extend(phase.leg.map(|leg| attribute("rdpscope.leg", leg.id())));
    let waits = [
        ("rdpscope.waiting_for_client_us", phase.waiting_for_client_us),
        ("rdpscope.waiting_for_server_us", phase.waiting_for_server_us),
    ];
    facts.extend(waits.into_iter().filter_map(|(key, us)| us.map(|us| attribute(key, us))));
    facts
}

/// The verdict's id alone: its sentence may repeat what a user typed.
fn verdict_status(record: &Record) -> Option<Status> {
    let verdict = record.verdict.as_ref()?;
    Some(match verdict.is_fault() {
        true => Status { message: verdict.id.to_string(), code: StatusCode::Error.into() },
        false => Status { message: String::new(), code: StatusCode::Unset.into() },
    })
}

fn outcome_status(of: Outcome) -> Status {
    match of {
        Outcome::Ok => Status { message: String::new(), code: StatusCode::Ok.into() },
        Outcome::Failed | Outcome::Unfinished => {
            Status { message: of.id().to_owned(), code: StatusCode::Error.into() }
        }
        Outcome::Skipped => Status { message: String::new(), code: StatusCode::Unset.into() },
    }
}
