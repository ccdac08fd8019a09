//! Memory of a relay with many idle sessions, above that of the empty process.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::process::Memory;
use crate::relay::Running;
use crate::session::{Session, Shape};
use crate::wire;

/// Idle sessions held at once.
pub const SESSIONS: usize = 2000;
/// The same where it is asked whether a relay grows as its sessions do.
pub const MANY_SESSIONS: usize = 10_000;

/// Open files of a relay for an idle session: two sockets, and what rdpscope spares for its trace and a capture, which is
/// more than haproxy's pipes.
const FILES_OF_SESSION: u64 = 4;
/// Open files besides.
const OTHER_FILES: u64 = 1000;

/// Open files that so many sessions take.
pub const fn open_files(sessions: usize) -> u64 {
    sessions as u64 * FILES_OF_SESSION + OTHER_FILES
}

/// So many of [`MANY_SESSIONS`] as the open files suffice for.
pub fn many_sessions(open_files: u64) -> usize {
    let possible = open_files.saturating_sub(OTHER_FILES) / FILES_OF_SESSION;
    usize::try_from(possible).map_or(MANY_SESSIONS, |possible| possible.min(MANY_SESSIONS))
}

/// Lets this program and the relays that it starts open as many files as all measurements need, or as many as the
/// system grants; says how many.
pub fn raise_open_files() -> Result<u64> {
    let granted = getrlimit(Resource::Nofile).maximum;
    let raise = |limit| setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit });
    let wanted = open_files(MANY_SESSIONS);
    // Above what is granted it takes a privilege.
    if granted.is_some_and(|granted| granted < wanted) && raise(Some(wanted)).is_ok() {
        return Ok(wanted);
    }
    raise(granted).context("cannot raise the limit of open files")?;
    Ok(granted.unwrap_or(u64::MAX))
}

/// A relay that holds so many idle sessions.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// Sessions.
    pub sessions: usize,
    /// Memory for each, KiB.
    pub memory: Memory,
    /// Processor time to open each of those that came since the count before.
    pub opening: Duration,
}

/// Opens sessions up to each of `counts`, sends a little in each and leaves them idle.
pub fn run(running: &Running, counts: &[usize]) -> Result<Vec<Idle>> {
    let process = running.process.as_ref().context("there is no process to measure")?;
    let up = wire::application_record(4 * 1024, 60);
    let down: Vec<u8> = (0..4).flat_map(|i| wire::application_record(wire::RECORD_PAYLOAD, 61 + i)).collect();
    // One session first: what a relay sets up once is not a session's share.
    drop(Session::open(running.address, &running.backend, Shape::Tls)?);
    process.settle();
    let empty = process.memory()?;
    let mut sessions = Vec::new();
    let mut found = Vec::new();
    for count in counts {
        let (before, cpu) = (sessions.len(), process.cpu());
        for number in before..*count {
            let mut session = Session::open(running.address, &running.backend, Shape::Tls)
                .with_context(|| format!("session {number}"))?;
            session.up(&up)?;
            session.down(&down)?;
            sessions.push(session);
        }
        process.settle();
        let opening = (process.cpu() - cpu).div_f64((count - before) as f64);
        found.push(Idle { sessions: *count, memory: process.memory()?.above(empty, *count), opening });
    }
    Ok(found)
}
