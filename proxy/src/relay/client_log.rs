//! What the system logged of a client that runs on this machine, once its session is over. Windows alone has such logs.

use crate::client_system::event_log::{self, EVENT_LOGS};
use crate::client_system::logged;
use crate::trace::{ClientLogEntry, Detail, Event, Leg, Line, Phase, Record};
use jiff::{SignedDuration, Timestamp};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::Semaphore;

/// mstsc says that it connects before it does.
const BEFORE: SignedDuration = SignedDuration::from_secs(2);
/// So much of a long session's beginning and of its end is looked at: there it is told how it came about and why it
/// ended.
const SPAN: SignedDuration = SignedDuration::from_secs(60);
/// mstsc's last word is in the log some tenths of a second after its connection has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// So often it is waited for.
const MOST_LOOKS: usize = 4;
/// The event that says that the client connects.
const CONNECTS: u32 = 1024;
/// The event that says that it is disconnected.
const DISCONNECTED: u32 = 1026;

/// Sessions whose logs are read at once: each takes a process. Others go without.
static READERS: Semaphore = Semaphore::const_new(4);

/// The lines to add to the record of a session that has just ended.
pub(super) async fn lines(record: &Record) -> Vec<Line> {
    let Some(started) = started(record).filter(|_| cfg!(windows) && is_of_this_machine(record)) else {
        return Vec::new();
    };
    let Ok(_reader) = READERS.try_acquire() else {
        tracing::info!("the client's event log is not read: too many sessions end at once");
        return Vec::new();
    };
    let mut found = Vec::new();
    for look in 0..MOST_LOOKS {
        if look > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let spans = spans(started, Timestamp::now());
        found = tokio::task::spawn_blocking(move || read(&spans)).await.unwrap_or_default();
        if is_complete(&found) {
            break;
        }
    }
    found.into_iter().map(|(moment, entry)| Line::Event(event(started, moment, entry))).collect()
}

fn started(record: &Record) -> Option<Timestamp> {
    record.header.as_ref()?.started.parse().ok()
}

/// Whether the client connected from an address of this machine.
fn is_of_this_machine(record: &Record) -> bool {
    let accepted = record.find(|detail| match detail {
        Detail::Accepted { peer, local } => Some((peer.parse().ok()?, local.parse().ok()?)),
        _ => None,
    });
    let Some((_, (peer, local))): Option<(_, (SocketAddr, SocketAddr))> = accepted else { return false };
    peer.ip().is_loopback() || peer.ip() == local.ip()
}

/// When the log is worth a look, for a session that has ended just now.
fn spans(started: Timestamp, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let from = started.checked_sub(BEFORE).unwrap_or(started);
    let first = started.checked_add(SPAN).unwrap_or(now);
    let last = now.checked_sub(SPAN).unwrap_or(started);
    if last <= first { vec![(from, now)] } else { vec![(from, first), (last, now)] }
}

fn read(spans: &[(Timestamp, Timestamp)]) -> Vec<(Timestamp, ClientLogEntry)> {
    let mut found = Vec::new();
    for log in &EVENT_LOGS {
        for (from, to) in spans {
            match event_log::between(log, &from.to_string(), &to.to_string()) {
                Ok(xml) => found.extend(logged(&xml)),
                Err(reason) => tracing::info!("the event log {} was not read: {reason}", log.channel),
            }
        }
    }
    found.sort_by_key(|(moment, _)| *moment);
    found
}

/// Whether every client that connected has said how it ended; one that is not mstsc says neither.
fn is_complete(found: &[(Timestamp, ClientLogEntry)]) -> bool {
    let count = |id| found.iter().filter(|(_, entry)| entry.event_id == id).count();
    count(DISCONNECTED) >= count(CONNECTS)
}

fn event(started: Timestamp, moment: Timestamp, entry: ClientLogEntry) -> Event {
    Event {
        // What came before the session has the moment of its beginning, and its own in the entry.
        t_us: u64::try_from(moment.duration_since(started).as_micros()).unwrap_or(0),
        leg: Leg::Client,
        from: None,
        connection: None,
        phase: Phase::Closed,
        inferred: false,
        detail: Detail::ClientLog(Box::new(entry)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_long_session_is_looked_at_where_it_begins_and_where_it_ends() {
        assert_eq!(spans(moment(0), moment(100)), [(moment(-2), moment(100))]);
        assert_eq!(spans(moment(0), moment(7200)), [(moment(-2), moment(60)), (moment(7140), moment(7200))]);
    }

    #[test]
    fn the_last_word_is_waited_for_only_where_there_will_be_one() {
        let entry = |event_id| (moment(0), ClientLogEntry { event_id, ..ClientLogEntry::default() });
        assert!(is_complete(&[]));
        assert!(!is_complete(&[entry(1024), entry(1025)]));
        assert!(is_complete(&[entry(1024), entry(1026)]));
    }

    #[test]
    fn an_entry_has_its_place_in_the_session() {
        let at = |seconds| event(moment(0), moment(seconds), ClientLogEntry::default()).t_us;
        assert_eq!((at(3), at(-1)), (3_000_000, 0));
    }

    #[test]
    fn only_clients_of_this_machine_are_looked_up() {
        let of = |peer: &str, local: &str| {
            let detail = Detail::Accepted { peer: peer.to_owned(), local: local.to_owned() };
            let accepted = Event { detail, ..event(moment(0), moment(0), ClientLogEntry::default()) };
            is_of_this_machine(&Record { events: vec![accepted], ..Record::default() })
        };
        assert!(of("127.0.0.1:50000", "127.0.0.1:13389") && of("10.0.0.7:50000", "10.0.0.7:13389"));
        assert!(!of("10.0.0.9:50000", "10.0.0.7:13389"));
        assert!(!is_of_this_machine(&Record::default()));
    }
}
