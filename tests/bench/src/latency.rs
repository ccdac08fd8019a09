//! Round-trip time of 64 bytes in an established session.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::session::Session;
use crate::wire;

/// Bytes of one message, the record header included: the size of a mouse movement on the wire.
const MESSAGE: usize = 64;
/// Round trips before the first that counts.
const WARM_UP: usize = 100;

/// What one run found, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// Sends one message at a time back and forth for `duration`.
pub fn run(session: &Session, duration: Duration) -> Result<Latency> {
    std::thread::scope(|scope| {
        let echo = scope.spawn(|| echo(&session.server));
        let times = ping(&session.client, duration);
        session.client.shutdown(Shutdown::Write)?;
        echo.join().map_err(|_| anyhow!("a thread of the generator failed"))??;
        let mut times = times?;
        ensure!(!times.is_empty(), "the run was too short to measure");
        times.sort_unstable();
        Ok(Latency { p50: percentile(&times, 50), p99: percentile(&times, 99) })
    })
}

fn ping(mut stream: &TcpStream, duration: Duration) -> Result<Vec<Duration>> {
    let message = wire::application_record(MESSAGE - wire::RECORD_HEADER, 50);
    let mut answer = [0; MESSAGE];
    let mut times = Vec::with_capacity(100_000);
    let mut end = None;
    for index in 0.. {
        if index == WARM_UP {
            end = Some(Instant::now() + duration);
        }
        let sent = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut answer).context("the echo did not come")?;
        let now = Instant::now();
        if let Some(end) = end {
            times.push(now - sent);
            if now >= end {
                break;
            }
        }
    }
    ensure!(answer[..] == message[..], "the echo is not what was sent");
    Ok(times)
}

fn echo(mut stream: &TcpStream) -> Result<()> {
    let mut message = [0; MESSAGE];
    loop {
        match stream.read_exact(&mut message) {
            Ok(()) => stream.write_all(&message)?,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error).context("the echo server got nothing"),
        }
    }
}

/// The value below which `percent` of the sorted times lie, in microseconds.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len() - 1);
    sorted[index].as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_known_series() {
        let times: Vec<_> = (0..200).map(Duration::from_micros).collect();
        assert_eq!(percentile(&times, 50).round(), 100.0);
        assert_eq!(percentile(&times, 99).round(), 198.0);
        assert_eq!(percentile(&times[..1], 99), 0.0);
    }
}
