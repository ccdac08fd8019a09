//! Bulk data in one session: up, down and both at once.
//!
//! The generator is made to cost little, so that the relay is what is measured: the sender writes from the
//! processor's cache, the receiver lets the kernel discard (`MSG_TRUNC`).

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::net::{RecvFlags, recv};

use crate::session::{Session, Shape};
use crate::wire;

/// Records in one lap of the bulk data: a quarter of a MiB, which stays in the processor's cache.
const RECORDS: usize = 16;
/// Bytes of one write: four records, about what a server's TLS library hands to the system at once.
const WRITE: usize = 4 * (wire::RECORD_PAYLOAD + wire::RECORD_HEADER);
/// Most that one receive call takes.
const RECEIVE: usize = 1 << 20;
/// Not counted at the start of each run, while windows grow.
const WARM_UP: Duration = Duration::from_millis(80);

/// Which way the bulk data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Client to server.
    Up,
    /// Server to client.
    Down,
    /// Both at once; the rate is the sum.
    Both,
}

/// Bulk data in memory, sent over and over: application records of 16 KiB, or as many bytes without framing.
pub fn bulk(shape: Shape) -> Vec<u8> {
    match shape {
        Shape::Tls => (0..RECORDS)
            .flat_map(|index| wire::application_record(wire::RECORD_PAYLOAD, 100 + index as u64))
            .collect(),
        Shape::Opaque => wire::noise(RECORDS * (wire::RECORD_PAYLOAD + wire::RECORD_HEADER), 99),
    }
}

/// What arrived at the far end.
#[derive(Debug, Clone, Copy)]
pub struct Arrived {
    /// Bytes per second once windows have grown, both directions together.
    pub rate: f64,
    /// All bytes of the run.
    pub bytes: u64,
}

/// Sends `bulk` for `duration`.
pub fn run(session: &Session, bulk: &[u8], direction: Direction, duration: Duration) -> Result<Arrived> {
    let start = Instant::now();
    let up = || flow(&session.client, &session.server, bulk, start, duration).context("up");
    let down = || flow(&session.server, &session.client, bulk, start, duration).context("down");
    match direction {
        Direction::Up => up(),
        Direction::Down => down(),
        Direction::Both => std::thread::scope(|scope| {
            let up = scope.spawn(up);
            let down = down();
            let up = up.join().map_err(|_| anyhow!("a thread of the generator failed"))?;
            let (up, down) = (up?, down?);
            Ok(Arrived { rate: up.rate + down.rate, bytes: up.bytes + down.bytes })
        }),
    }
}

fn flow(
    from: &TcpStream,
    to: &TcpStream,
    bulk: &[u8],
    start: Instant,
    duration: Duration,
) -> Result<Arrived> {
    // Unknown until the sender begins its last lap; the receiver ends when it has got that many.
    let total = AtomicU64::new(u64::MAX);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(from, bulk, start + duration, &total));
        let arrived = receive(to, start + WARM_UP, start + duration, &total);
        sender.join().map_err(|_| anyhow!("a thread of the generator failed"))??;
        arrived
    })
}

fn send(mut to: &TcpStream, bulk: &[u8], deadline: Instant, total: &AtomicU64) -> Result<()> {
    let mut sent = 0;
    loop {
        let last = Instant::now() >= deadline;
        if last {
            total.store(sent + bulk.len() as u64, Ordering::Release);
        }
        for piece in bulk.chunks(WRITE) {
            to.write_all(piece).context("the relay stopped taking data")?;
        }
        sent += bulk.len() as u64;
        if last {
            return Ok(());
        }
    }
}

/// Takes everything; the rate is that between the first arrival after `begin` and the first after `end`.
fn receive(from: &TcpStream, begin: Instant, end: Instant, total: &AtomicU64) -> Result<Arrived> {
    let mut buffer = vec![0; RECEIVE];
    let mut received = 0;
    let mut first = None;
    let mut last = None;
    loop {
        let (_, count) =
            recv(from, &mut buffer[..], RecvFlags::TRUNC).context("the bulk data stopped arriving")?;
        ensure!(count > 0, "the relay closed the session");
        received += count as u64;
        let now = Instant::now();
        if first.is_none() && now >= begin {
            first = Some((now, received));
        }
        if last.is_none() && now >= end {
            last = Some((now, received));
        }
        if received >= total.load(Ordering::Acquire) {
            let (begun, before) = first.context("the run was too short to measure")?;
            let (ended, after) = last.unwrap_or((now, received));
            let seconds = ended.duration_since(begun).as_secs_f64();
            ensure!(seconds > 0.0, "the run was too short to measure");
            return Ok(Arrived { rate: (after - before) as f64 / seconds, bytes: received });
        }
    }
}
