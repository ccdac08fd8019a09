//! A diagnosis takes as long as its record: no rule goes over the events by itself.

use super::script::{Made, SSL, Script, handshake_12};
use crate::diagnose::{Context, diagnose};
use crate::trace::{Detail, Event, How, Phase, RdpMessage, Record, Side};
use std::time::{Duration, Instant};

const EVENTS: usize = 100_000;
/// What is promised of an optimised build, `cargo test --release -p rdpscope --lib speed`; another one takes longer, and
/// other tests run beside it.
const WITHIN: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 5 });

/// A long session whose every message can be read.
fn long_session() -> Record {
    let script = handshake_12(Script::negotiated(SSL, SSL), "srv10", &Made::default().der()).active();
    let mut record = script.end(Side::Client, How::Fin).record();
    let end = record.events.pop().expect("it ends");
    let message = |number: usize| {
        let from = if number.is_multiple_of(2) { Side::Client } else { Side::Server };
        Event {
            t_us: 1_000_000 + number as u64,
            leg: from.into(),
            from: Some(from),
            connection: None,
            phase: Phase::Active,
            inferred: false,
            detail: Detail::Rdp(Box::new(RdpMessage::FontMap)),
        }
    };
    record.events.extend((0..EVENTS).map(message));
    record.events.push(Event { t_us: 2_000_000, ..end });
    record
}

#[test]
fn a_hundred_thousand_events_are_judged_at_once() {
    let record = long_session();
    let began = Instant::now();
    let diagnosis = diagnose(&record, &Context::default());
    let took = began.elapsed();
    println!("{EVENTS} events: {took:?}");
    assert!(took < WITHIN, "{took:?}");
    assert_eq!(diagnosis.verdict.id, crate::trace::VerdictId::Healthy);
}
