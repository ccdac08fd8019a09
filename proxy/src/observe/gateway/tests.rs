use super::*;

/// When, on which connection, from whom, what.
pub(super) type Steps = Vec<(Micros, u32, Side, Vec<u8>)>;

/// What is told of `steps`, after which every direction ends.
pub(super) fn observe(steps: &Steps) -> (Vec<Event>, GatewayObserver) {
    cut(steps, usize::MAX)
}

/// The same in pieces of at most `size` bytes.
fn cut(steps: &Steps, size: usize) -> (Vec<Event>, GatewayObserver) {
    let (mut observer, mut events) = (GatewayObserver::default(), Vec::new());
    for (t_us, connection, side, bytes) in steps {
        for piece in bytes.chunks(size) {
            observer.data(*t_us, *connection, *side, piece, &mut events);
        }
    }
    let end_us = steps.last().map_or(0, |(t_us, ..)| *t_us);
    let connections: std::collections::BTreeSet<u32> = steps.iter().map(|(_, number, ..)| *number).collect();
    for connection in connections {
        for side in [Side::Client, Side::Server] {
            observer.ended(end_us, connection, side, How::Fin, &mut events);
        }
    }
    (events, observer)
}

/// The name of each event in JSON.
pub(super) fn names(events: &[Event]) -> Vec<String> {
    let name = |event| serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned();
    events.iter().map(name).collect()
}
