//! Memory of a relay with many idle sessions, above that of the empty process.

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::process::Memory;
use crate::relay::Running;
use crate::session::{Session, Shape};
use crate::wire;

/// Idle sessions held at once.
pub const SESSIONS: usize = 2000;
/// Open files that this takes: a relay with splice needs two sockets and two pipes (six) for each session.
pub const OPEN_FILES: u64 = SESSIONS as u64 * 6 + 1000;

/// Lets this program and the relays that it starts open as many files as the system grants; says how many.
pub fn raise_open_files() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("cannot raise the limit of open files")?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Opens the sessions, sends a little in each, leaves them idle; memory for each session in KiB.
pub fn run(running: &Running) -> Result<Memory> {
    let process = running.process.as_ref().context("there is no process to measure")?;
    let up = wire::application_record(4 * 1024, 60);
    let down: Vec<u8> = (0..4).flat_map(|i| wire::application_record(wire::RECORD_PAYLOAD, 61 + i)).collect();
    // One session first: what a relay sets up once is not a session's share.
    drop(Session::open(running.address, &running.backend, Shape::Tls)?);
    process.settle();
    let empty = process.memory()?;
    let mut sessions = Vec::with_capacity(SESSIONS);
    for number in 0..SESSIONS {
        let mut session = Session::open(running.address, &running.backend, Shape::Tls)
            .with_context(|| format!("session {number}"))?;
        session.up(&up)?;
        session.down(&down)?;
        sessions.push(session);
    }
    process.settle();
    let full = process.memory()?;
    let each = |full: f64, empty: f64| (full - empty) / SESSIONS as f64;
    Ok(Memory { rss: each(full.rss, empty.rss), pss: each(full.pss, empty.pss) })
}
