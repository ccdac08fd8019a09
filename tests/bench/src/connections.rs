//! New sessions per second: connect, X.224, the TLS hello, the server's flight, close.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::session::{Backend, PATIENCE};
use crate::wire;

/// Clients at work at once.
const CLIENTS: usize = 32;
/// Threads that accept: more than clients, because a relay may close the server's side late.
const SERVERS: usize = 64;

/// What one run found.
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    /// Sessions that went through to the server's flight.
    pub count: u64,
    /// Sessions per second.
    pub rate: f64,
}

/// The four messages of a session.
struct Script {
    request: Vec<u8>,
    confirm: Vec<u8>,
    hello: Vec<u8>,
    flight: Vec<u8>,
}

/// Opens sessions from all clients for `duration`.
pub fn run(relay: SocketAddr, backend: &Backend, duration: Duration) -> Result<Connections> {
    let script = Script {
        request: wire::connection_request(Some(wire::PROTOCOL_SSL)),
        confirm: wire::connection_confirm(Some(wire::PROTOCOL_SSL)),
        hello: wire::client_hello(),
        flight: wire::server_flight(),
    };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..SERVERS {
            scope.spawn(|| serve_all(backend, &script, &stop));
        }
        let found = clients(relay, &script, duration);
        stop.store(true, Ordering::Release);
        // Each waiting thread wakes with one connection and sees that it is over.
        for _ in 0..SERVERS {
            drop(TcpStream::connect(backend.address()));
        }
        found
    })
}

fn clients(relay: SocketAddr, script: &Script, duration: Duration) -> Result<Connections> {
    let start = Instant::now();
    let count = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| -> Result<u64> {
                    let mut count = 0;
                    while start.elapsed() < duration {
                        client(relay, script)?;
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        workers.into_iter().try_fold(0, |sum, worker| -> Result<u64> {
            Ok(sum + worker.join().map_err(|_| anyhow!("a thread of the generator failed"))??)
        })
    })?;
    Ok(Connections { count, rate: count as f64 / start.elapsed().as_secs_f64() })
}

fn client(relay: SocketAddr, script: &Script) -> Result<()> {
    let mut stream = TcpStream::connect(relay).context("cannot connect")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&script.request)?;
    read(&mut stream, script.confirm.len()).context("no connection confirm")?;
    stream.write_all(&script.hello)?;
    read(&mut stream, script.flight.len()).context("no server flight")
}

fn serve_all(backend: &Backend, script: &Script, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        // A session that breaks off is the client's to report; an accept that fails is tried again.
        if let Ok(stream) = backend.accept() {
            let _ = serve(stream, script);
        }
    }
}

fn serve(mut stream: TcpStream, script: &Script) -> Result<()> {
    read(&mut stream, script.request.len())?;
    stream.write_all(&script.confirm)?;
    read(&mut stream, script.hello.len())?;
    stream.write_all(&script.flight)?;
    // The client closes first, as one does that refuses the certificate.
    while stream.read(&mut [0; 64])? > 0 {}
    Ok(())
}

fn read(stream: &mut TcpStream, length: usize) -> Result<()> {
    let mut buffer = [0; 4096];
    let buffer = buffer.get_mut(..length).context("the message is longer than the buffer")?;
    Ok(stream.read_exact(buffer)?)
}
