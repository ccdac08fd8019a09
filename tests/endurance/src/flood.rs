//! More connections than there is room for: they are refused, and the sessions that were there first notice nothing.

use crate::program::{Health, Program};
use crate::wire;
use anyhow::{Context, Result, ensure};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

/// Between two messages of a session.
const PACE: Duration = Duration::from_millis(50);
/// Bytes of a message, and of its answer.
const MESSAGE: usize = 200;
/// How long an answer may take before the session counts as hurt.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections of the flood that are on their way at once.
const AT_ONCE: usize = 64;
/// What memory may grow by while the flood lasts, KiB: nothing is kept of a connection that was refused.
const MOST_GROWTH: u64 = 4 * 1024;
/// What the 99th percentile of a round trip may be, with all processors busy.
const MOST_LATENCY: Duration = Duration::from_millis(250);

/// How many sessions, and for how long.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Sessions that there is room for, and that are there first
    #[arg(long, default_value_t = 200)]
    sessions: u64,
    /// The flood lasts so long, behind as long a time of calm
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// New connections in a second, beyond which the flood does not go
    #[arg(long, default_value_t = 2000)]
    rate: u64,
}

/// Round trips in one part of the run.
#[derive(Debug, Default)]
struct Trips(Vec<Duration>);

impl Trips {
    fn part(&mut self, part: f64) -> Duration {
        self.0.sort_unstable();
        self.0.get((self.0.len() as f64 * part) as usize).or(self.0.last()).copied().unwrap_or_default()
    }
}

/// What became of the connections of the flood.
#[derive(Debug, Default)]
struct Flood {
    refused: AtomicU64,
    let_in: AtomicU64,
}

/// Drives the program at `rdpscope` and prints the table. Fails where a session is hurt or memory grows.
pub fn run(rdpscope: &Path, arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(flood(rdpscope, arguments))
}

async fn flood(rdpscope: &Path, arguments: &Arguments) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("rdpscope-flood-").tempdir()?;
    let server = TcpListener::bind("127.0.0.1:0").await?;
    let trace = folder.path().join("trace").display().to_string();
    let proxy = [server.local_addr()?.to_string(), "--trace".to_owned(), trace];
    // Four open files make a session, behind what is spared.
    let files = (arguments.sessions * 4 + 256).max(arguments.sessions * 6);
    let program = Program::start_with_files(rdpscope, files, &proxy, folder.path(), "rdpscope")?;
    tokio::spawn(echo(server));
    let is_flood = Arc::new(AtomicBool::new(false));
    let over = Arc::new(AtomicBool::new(false));
    let mut sessions = JoinSet::new();
    for number in 0..arguments.sessions {
        let stream =
            begin(program.address).await.with_context(|| format!("session {number} cannot begin"))?;
        sessions.spawn(talk(stream, number, Arc::clone(&is_flood), Arc::clone(&over)));
    }
    let room = fill(&program, &mut sessions, arguments.sessions, &is_flood, &over).await?;
    let lasting = Duration::from_secs(arguments.seconds);
    sleep(lasting).await;
    let before = program.health()?;
    is_flood.store(true, Ordering::Relaxed);
    let counts = Arc::new(Flood::default());
    let flooding = tokio::spawn(connect_on_and_on(program.address, arguments.rate, Arc::clone(&counts)));
    let most = watch(&program, lasting).await?;
    flooding.abort();
    over.store(true, Ordering::Relaxed);
    let (mut calm, mut flooded) = (Trips::default(), Trips::default());
    while let Some(talked) = sessions.join_next().await {
        let (in_calm, in_flood) = talked??;
        calm.0.extend(in_calm.0);
        flooded.0.extend(in_flood.0);
    }
    conclude(program, room, (before, most), (calm, flooded), &counts)
}

/// Begins sessions until one is refused: how many there are.
async fn fill(
    program: &Program,
    sessions: &mut JoinSet<Result<(Trips, Trips)>>,
    begun: u64,
    is_flood: &Arc<AtomicBool>,
    over: &Arc<AtomicBool>,
) -> Result<u64> {
    for number in begun.. {
        match begin(program.address).await {
            Ok(stream) => {
                sessions.spawn(talk(stream, number, Arc::clone(is_flood), Arc::clone(over)));
            }
            Err(_) => return Ok(number),
        }
        ensure!(number < 2 * begun + 1000, "there is no end of the room");
    }
    Ok(begun)
}

/// A server that agrees, and answers whatever comes with the same.
async fn echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            // A session that ends is no matter of the server's.
            let _ = async {
                stream.set_nodelay(true)?;
                let mut request = wire::connection_request(Some(wire::PROTOCOL_SSL));
                stream.read_exact(&mut request).await?;
                stream.write_all(&wire::connection_confirm(Some(wire::PROTOCOL_SSL))).await?;
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            }
            .await;
        });
    }
}

async fn begin(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&wire::connection_request(Some(wire::PROTOCOL_SSL))).await?;
    let mut confirm = wire::connection_confirm(Some(wire::PROTOCOL_SSL));
    timeout(PATIENCE, stream.read_exact(&mut confirm)).await.context("no confirm comes")??;
    Ok(stream)
}

/// Sends messages and takes the time of their answers, in calm and in the flood.
async fn talk(
    mut stream: TcpStream,
    number: u64,
    is_flood: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
) -> Result<(Trips, Trips)> {
    let (mut calm, mut flooded) = (Trips::default(), Trips::default());
    let mut ticks = interval(PACE);
    let mut message = wire::application_record(MESSAGE, number);
    while !over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let began = Instant::now();
        stream.write_all(&message).await.with_context(|| format!("session {number} was cut"))?;
        let mut answer = vec![0; message.len()];
        let answered = timeout(PATIENCE, stream.read_exact(&mut answer)).await;
        answered
            .with_context(|| format!("session {number} hangs"))?
            .with_context(|| format!("session {number} was cut"))?;
        ensure!(answer == message, "a byte of session {number} is another");
        let trips = if is_flood.load(Ordering::Relaxed) { &mut flooded } else { &mut calm };
        trips.0.push(began.elapsed());
        message = answer;
    }
    Ok((calm, flooded))
}

/// Connections as fast as they are refused, up to `rate` in a second.
async fn connect_on_and_on(address: SocketAddr, rate: u64, counts: Arc<Flood>) {
    let mut turns = interval(Duration::from_secs_f64(AT_ONCE as f64 / rate as f64));
    loop {
        turns.tick().await;
        let mut round = JoinSet::new();
        for _ in 0..AT_ONCE {
            let counts = Arc::clone(&counts);
            round.spawn(async move {
                let Ok(mut stream) = TcpStream::connect(address).await else { return };
                let read = timeout(PATIENCE, stream.read(&mut [0; 1])).await;
                let is_refused = matches!(read, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset);
                let count = if is_refused { &counts.refused } else { &counts.let_in };
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        round.join_all().await;
    }
}

/// The most that the program holds while the flood lasts.
async fn watch(program: &Program, lasting: Duration) -> Result<Health> {
    let (began, mut most) = (Instant::now(), Health::default());
    while began.elapsed() < lasting {
        let now = program.health()?;
        most.resident = most.resident.max(now.resident);
        most.descriptors = most.descriptors.max(now.descriptors);
        sleep(Duration::from_millis(200)).await;
    }
    Ok(most)
}

fn conclude(
    program: Program,
    room: u64,
    (before, most): (Health, Health),
    (mut calm, mut flooded): (Trips, Trips),
    counts: &Flood,
) -> Result<()> {
    let (refused, let_in) = (counts.refused.load(Ordering::Relaxed), counts.let_in.load(Ordering::Relaxed));
    let told = program.told("there is no room for another session");
    println!(
        "| sessions | connections refused | let in | round trip in calm: p50, p99 | in the flood: p50, p99 | KiB before → most | descriptors before → most |"
    );
    println!("|---|---|---|---|---|---|---|");
    println!(
        "| {room} | {refused} | {let_in} | {:?}, {:?} | {:?}, {:?} | {} → {} | {} → {} |",
        calm.part(0.5),
        calm.part(0.99),
        flooded.part(0.5),
        flooded.part(0.99),
        before.resident,
        most.resident,
        before.descriptors,
        most.descriptors
    );
    println!("\nthe user was told {} times: {}", told.len(), told.join(" | "));
    ensure!(!program.has_panicked(), "the program panicked");
    ensure!(refused > 0 && let_in == 0, "{let_in} of the flood were let in");
    ensure!(flooded.part(0.99) < MOST_LATENCY, "the sessions are slowed down");
    ensure!(most.resident <= before.resident + MOST_GROWTH, "resident memory grew");
    let said = program.interrupt()?;
    ensure!(said.all_verdicts() == room, "{} verdicts of {room} sessions", said.all_verdicts());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_trips_is_below() {
        let mut trips = Trips((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(trips.part(0.5), Duration::from_millis(51));
        assert_eq!(trips.part(1.0), Duration::from_millis(100));
        assert_eq!(Trips::default().part(0.5), Duration::ZERO);
    }
}
