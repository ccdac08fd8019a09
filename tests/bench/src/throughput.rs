//! Bulk data in one session: up, down and both at once.
//!
//! The generator is made to cost little, so that the relay is what is measured: the sender uses `sendfile`
//! from memory, the receiver lets the kernel discard (`MSG_TRUNC`).

use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::fs::{MemfdFlags, memfd_create, sendfile};
use rustix::net::{RecvFlags, recv};

use crate::session::{Session, Shape};
use crate::wire;

/// Records in one lap of the bulk data: about 1 MiB, which stays in the processor's cache.
const RECORDS: usize = 64;
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

/// Bulk data in memory, sent over and over.
#[derive(Debug)]
pub struct Bulk {
    file: File,
    length: u64,
}

impl Bulk {
    /// Application records of 16 KiB, or as many bytes without framing.
    pub fn new(shape: Shape) -> Result<Self> {
        let bytes = match shape {
            Shape::Tls => (0..RECORDS)
                .flat_map(|index| wire::application_record(wire::RECORD_PAYLOAD, 100 + index as u64))
                .collect(),
            Shape::Opaque => wire::noise(RECORDS * (wire::RECORD_PAYLOAD + wire::RECORD_HEADER), 99),
        };
        let mut file = File::from(memfd_create("bench-bulk", MemfdFlags::CLOEXEC)?);
        file.write_all(&bytes)?;
        Ok(Self { file, length: bytes.len() as u64 })
    }

    /// Sends the whole of it once.
    fn send(&self, to: &TcpStream) -> Result<()> {
        let mut offset = 0;
        while offset < self.length {
            let left = (self.length - offset) as usize;
            let sent =
                sendfile(to, &self.file, Some(&mut offset), left).context("the relay stopped taking data")?;
            ensure!(sent > 0, "the bulk data ended early");
        }
        Ok(())
    }
}

/// Sends for `duration` and returns bytes per second as they arrived at the far end.
pub fn run(session: &Session, bulk: &Bulk, direction: Direction, duration: Duration) -> Result<f64> {
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
            Ok(up? + down?)
        }),
    }
}

fn flow(from: &TcpStream, to: &TcpStream, bulk: &Bulk, start: Instant, duration: Duration) -> Result<f64> {
    // Unknown until the sender begins its last lap; the receiver ends when it has got that many.
    let total = AtomicU64::new(u64::MAX);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(from, bulk, start + duration, &total));
        let rate = receive(to, start + WARM_UP, start + duration, &total);
        sender.join().map_err(|_| anyhow!("a thread of the generator failed"))??;
        rate
    })
}

fn send(to: &TcpStream, bulk: &Bulk, deadline: Instant, total: &AtomicU64) -> Result<()> {
    let mut sent = 0;
    loop {
        let last = Instant::now() >= deadline;
        if last {
            total.store(sent + bulk.length, Ordering::Release);
        }
        bulk.send(to)?;
        sent += bulk.length;
        if last {
            return Ok(());
        }
    }
}

/// Takes everything; the rate is that between the first arrival after `begin` and the first after `end`.
fn receive(from: &TcpStream, begin: Instant, end: Instant, total: &AtomicU64) -> Result<f64> {
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
            return Ok((after - before) as f64 / seconds);
        }
    }
}
