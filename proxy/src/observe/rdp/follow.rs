//! What an RDP session tells as events of a connection.

use super::RdpObserver;
use crate::trace::{Detail, Event, Micros, Phase, Side};
use crate::wire::rdp::RdpMessage;

/// Gives `observer` the bytes that `from` sent and adds what they tell to `out`.
pub(in crate::observe) fn follow(
    observer: &mut RdpObserver,
    t_us: Micros,
    from: Side,
    bytes: &[u8],
    out: &mut Vec<Event>,
) {
    let mut reached = observer.phase();
    let mut messages = Vec::new();
    observer.data(from, bytes, &mut messages);
    for message in messages {
        reached = super::reached_with(reached, &message);
        let phase = super::phase(&message).unwrap_or(reached);
        let detail = match message {
            RdpMessage::FastPathStarted => Detail::SessionTraffic,
            RdpMessage::Malformed { structure, offset, reason } => {
                Detail::Malformed { structure, offset, reason, bytes: String::new() }
            }
            message => Detail::Rdp(Box::new(message)),
        };
        out.push(event(t_us, from, phase, detail));
    }
}

/// Something that `from` sent.
pub(in crate::observe) fn event(t_us: Micros, from: Side, phase: Phase, detail: Detail) -> Event {
    Event { t_us, leg: from.into(), from: Some(from), connection: None, phase, inferred: false, detail }
}
