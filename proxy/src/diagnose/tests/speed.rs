//! A diagnosis takes as long as its record: no rule goes over the events by itself.

use super::script::{Made, SSL, Script, handshake_12};
use crate::diagnose::{Context, diagnose};
use crate::trace::{Detail, Event, How, Leg, Phase, RdpMessage, Record, Side};
use std::time::{Duration, Instant};

const EVENTS: usize = 100_000;
/// The promise is 5 ms of an optimised build, which the benchmark keeps; this one is not, and others run beside it.
const WITHIN: Duration = Duration::from_millis(500);

/// A long session whose every message can be read.
fn long_session() -> Record {
    let script = handshake_12(Script::negotiated(SSL, SSL), "srv10", &Made::default().der()).active();
    let mut record = script.end(Side::Client, How::Fin).record();
    let end = record.events.pop().expect("it ends");
    let message = |number: usize| Event {
        t_us: 1_000_000 + number as u64,
        leg: if number % 2 == 0 { Leg::Client } else { Leg::Server },
        from: Some(if number % 2 == 0 { Side::Client } else { Side::Server }),
        phase: Phase::Active,
        inferred: false,
        detail: Detail::Rdp(Box::new(RdpMessage::FontMap)),
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
    assert!(took < WITHIN, "{took:?}");
    assert_eq!(diagnosis.verdict.id, crate::trace::VerdictId::Healthy);
}
