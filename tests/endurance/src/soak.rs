//! Many sessions at once for a long time: not one byte differs, and memory and descriptors stay where they are.

use crate::program::{Health, Program};
use crate::stream::Stream;
use crate::traces::Swept;
use crate::wire;
use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Instant as Moment, interval, sleep, sleep_until, timeout};

/// Between two looks at memory and descriptors.
const LOOK: Duration = Duration::from_secs(5);
/// How long nothing may arrive before a session counts as hanging: longer than its longest pause.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long a session lives, ms: so long that most are under way at any moment, and so short that thousands come and go.
const LIFE: std::ops::Range<u64> = 2_000..160_000;
/// New connections that are on their way at once: fewer than a listener's queue.
const MOST_CONNECTING: usize = 64;
/// The parts of the time between which memory and descriptors are compared: the second fifth, when they have found their
/// level, and the last.
const WARM: std::ops::Range<f64> = 0.2..0.4;
const LATE: std::ops::Range<f64> = 0.8..1.0;
/// What the mean of either may grow by between the two, of what it was: sessions come and go by chance.
const MOST_GROWTH: f64 = 1.1;
/// What a slow reader reads at once, and how often: less than its server sends.
const SLOW_READ: usize = 2048;
const SLOW_PAUSE: Duration = Duration::from_millis(100);
/// What the server of a slow reader sends in a second: a quarter more than is read, so that all is read in time even where
/// the machine is busy.
const SLOW_RATE: u64 = (SLOW_READ as u64) * 1250 / (SLOW_PAUSE.as_millis() as u64);
/// The buffer of a slow reader's socket, so that what it does not read is soon felt at the other end.
const SLOW_BUFFER: u32 = 16 * 1024;

/// How many sessions, for how long.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Sessions at once
    #[arg(long, default_value_t = 2000)]
    sessions: usize,
    /// For so long
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Bytes in a second of a session whose server has much to send; 0 for as many as are taken
    #[arg(long, default_value_t = 128 * 1024)]
    rate: u64,
    /// More arguments for `rdpscope proxy`
    #[arg(last = true)]
    proxy: Vec<String>,
}

/// What a session does for its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Behaviour {
    /// Little and often, both ways.
    Talks,
    /// The server sends as fast as it is read.
    Bulk,
    /// Nothing after the handshake, until the end.
    Stalls,
    /// The client reads slowly what the server sends.
    ReadsSlowly,
    /// The client ends its direction at once; the server goes on.
    HalfClosed,
    /// The client resets in the middle.
    ClientResets,
    /// The server resets in the middle.
    ServerResets,
}

impl Behaviour {
    fn of(number: u64) -> Self {
        match number % 50 {
            0 => Self::Bulk,
            1..=10 => Self::Stalls,
            11..=16 => Self::ReadsSlowly,
            17..=22 => Self::HalfClosed,
            23..=27 => Self::ClientResets,
            28..=32 => Self::ServerResets,
            _ => Self::Talks,
        }
    }

    fn resets(self) -> bool {
        matches!(self, Self::ClientResets | Self::ServerResets)
    }
}

/// What all sessions came to.
#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    numbers: AtomicU64,
    /// Bytes in a second of a session with much to send.
    rate: u64,
}

/// Drives the program at `rdpscope` and prints the table. Fails where a byte differs, a session hangs or something grows.
pub fn run(rdpscope: &Path, arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(soak(rdpscope, arguments))
}

async fn soak(rdpscope: &Path, arguments: &Arguments) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("rdpscope-soak-").tempdir()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut proxy = vec![listener.local_addr()?.to_string()];
    proxy.extend(arguments.proxy.iter().cloned());
    let traces = folder.path().join("trace");
    if arguments.proxy.is_empty() {
        proxy.extend(["--trace".to_owned(), traces.display().to_string()]);
    }
    let program = Program::start(rdpscope, &proxy, folder.path(), "rdpscope")?;
    let until = Moment::now() + Duration::from_secs_f64(arguments.minutes * 60.0);
    let counts = Arc::new(Counts { rate: arguments.rate, ..Counts::default() });
    let (failed, mut failures) = mpsc::channel(1);
    let serving = tokio::spawn(serve(listener, until, Arc::clone(&counts), failed.clone()));
    let connecting = Arc::new(Semaphore::new(MOST_CONNECTING));
    for _ in 0..arguments.sessions {
        let (address, counts, connecting) = (program.address, Arc::clone(&counts), Arc::clone(&connecting));
        let failed = failed.clone();
        tokio::spawn(async move {
            while Moment::now() < until {
                let number = counts.numbers.fetch_add(1, Ordering::Relaxed);
                let session = client(address, number, until, &counts, &connecting);
                if let Err(error) = session.await.with_context(|| told(number, "client")) {
                    // Only the first failure is told.
                    let _ = failed.try_send(error);
                    return;
                }
            }
        });
    }
    drop(failed);
    let mut swept = Swept::default();
    let samples = watch(&program, until, &mut failures, |all| match traces.exists() {
        true => swept.sweep(&traces, all),
        false => Ok(()),
    });
    let samples = samples.await?;
    serving.abort();
    // The sessions that still live end by themselves.
    if let Ok(Some(error)) = timeout(PATIENCE, failures.recv()).await {
        return Err(error);
    }
    conclude(program, &samples, &counts, (&mut swept, &traces), arguments)
}

fn told(number: u64, side: &str) -> String {
    format!("session {number} ({:?}), the {side}", Behaviour::of(number))
}

async fn watch(
    program: &Program,
    until: Moment,
    failures: &mut mpsc::Receiver<anyhow::Error>,
    mut sweep: impl FnMut(bool) -> Result<()>,
) -> Result<Vec<(Duration, Health)>> {
    let (began, mut samples, mut looks) = (Instant::now(), Vec::new(), interval(LOOK));
    loop {
        tokio::select! {
            failure = failures.recv() => {
                if let Some(error) = failure {
                    return Err(error);
                }
            }
            _ = looks.tick() => {
                let health = program.health()?;
                eprintln!("{:>5} s {:>8} KiB {:>6} descriptors", began.elapsed().as_secs(), health.resident, health.descriptors);
                samples.push((began.elapsed(), health));
                tokio::task::block_in_place(|| sweep(false))?;
            }
            () = sleep_until(until) => return Ok(samples),
        }
    }
}

async fn client(
    address: std::net::SocketAddr,
    number: u64,
    until: Moment,
    counts: &Counts,
    connecting: &Semaphore,
) -> Result<()> {
    let stream = {
        let _turn = connecting.acquire().await?;
        let socket = TcpSocket::new_v4()?;
        if Behaviour::of(number) == Behaviour::ReadsSlowly {
            socket.set_recv_buffer_size(SLOW_BUFFER)?;
        }
        let mut stream = socket.connect(address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.write_all(&request(number)).await?;
        let mut confirm = wire::connection_confirm(Some(wire::PROTOCOL_SSL));
        let expected = confirm.clone();
        timeout(PATIENCE, stream.read_exact(&mut confirm)).await.context("no confirm comes")??;
        ensure!(confirm == expected, "the confirm is another");
        stream
    };
    stream.set_nodelay(true)?;
    let behaviour = Behaviour::of(number);
    if behaviour == Behaviour::ClientResets {
        stream.set_zero_linger()?;
    }
    let life = life(number, until);
    let end = Moment::now() + life;
    let (read, write) = stream.into_split();
    let pace = match behaviour {
        Behaviour::HalfClosed => Pace::EndsAtOnce,
        Behaviour::Stalls | Behaviour::Bulk => Pace::Beginning,
        _ => Pace::Little,
    };
    let slow = (behaviour == Behaviour::ReadsSlowly).then_some(SLOW_PAUSE);
    both(
        read,
        write,
        (Stream::up(number), Stream::down(number)),
        (pace, slow, end, behaviour),
        number,
        counts,
    )
    .await
}

async fn serve(
    listener: TcpListener,
    until: Moment,
    counts: Arc<Counts>,
    failed: mpsc::Sender<anyhow::Error>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (counts, failed) = (Arc::clone(&counts), failed.clone());
        tokio::spawn(async move {
            if let Err(error) = server(stream, until, &counts).await {
                // Only the first failure is told.
                let _ = failed.try_send(error);
            }
        });
    }
}

async fn server(mut stream: TcpStream, until: Moment, counts: &Counts) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut asked = request(0);
    timeout(PATIENCE, stream.read_exact(&mut asked)).await.context("no request comes")??;
    let number = requested(&asked)?;
    ensure!(asked == request(number), "the request of session {number} is another");
    stream.write_all(&wire::connection_confirm(Some(wire::PROTOCOL_SSL))).await?;
    let behaviour = Behaviour::of(number);
    if behaviour == Behaviour::ServerResets {
        stream.set_zero_linger()?;
    }
    let end = Moment::now() + life(number, until);
    let (read, write) = stream.into_split();
    let pace = match behaviour {
        Behaviour::Bulk | Behaviour::ReadsSlowly => Pace::Much,
        Behaviour::Stalls => Pace::Beginning,
        _ => Pace::Little,
    };
    let streams = (Stream::down(number), Stream::up(number));
    both(read, write, streams, (pace, None, end, behaviour), number, counts)
        .await
        .with_context(|| told(number, "server"))
}

/// How a side sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// A little, over and over.
    Little,
    /// As fast as it is taken.
    Much,
    /// Its handshake, then nothing until the end.
    Beginning,
    /// A little, then FIN.
    EndsAtOnce,
}

/// Both directions of one end; a session that is to be reset may end anyhow, but what has come is right.
async fn both(
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    (sent, expected): (Stream, Stream),
    (pace, slow, end, behaviour): (Pace, Option<Duration>, Moment, Behaviour),
    number: u64,
    counts: &Counts,
) -> Result<()> {
    let rate = if behaviour == Behaviour::ReadsSlowly { SLOW_RATE } else { counts.rate };
    let has_read = Notify::new();
    let sending = async {
        let mut write = send(write, sent, pace, end, (number, rate)).await?;
        if slow.is_some() {
            // A server whose client is gone gives up what that has not taken, as without anything between.
            has_read.notified().await;
        }
        write.shutdown().await.map(|()| write)
    };
    let receiving = async {
        let received = receive(read, expected, slow, counts).await;
        has_read.notify_one();
        received
    };
    if !behaviour.resets() {
        let (sending, receiving) = tokio::join!(sending, receiving);
        // Dropping the sending half only now keeps it open for as long as the other side may send.
        sending.context("cannot send")?;
        return receiving;
    }
    // Whoever resets drops both halves at its time; the other one finds out.
    let both = async {
        let (_, receiving) = tokio::join!(sending, receiving);
        receiving
    };
    match timeout(end.saturating_duration_since(Moment::now()), both).await {
        Err(_) => Ok(()),
        Ok(Err(error)) if is_reset(&error) => Ok(()),
        Ok(other) => other,
    }
}

async fn send(
    mut write: OwnedWriteHalf,
    mut stream: Stream,
    pace: Pace,
    end: Moment,
    (number, rate): (u64, u64),
) -> io::Result<OwnedWriteHalf> {
    const BEGINNING: usize = 2048;
    const PIECE: usize = 32 * 1024;
    let mut random = Rng::with_seed(number ^ u64::MAX);
    write.write_all(stream.next(BEGINNING)).await?;
    match pace {
        Pace::EndsAtOnce => {}
        Pace::Beginning => sleep_until(end).await,
        Pace::Little => {
            while Moment::now() < end {
                write.write_all(stream.next(random.usize(30..1500))).await?;
                sleep(Duration::from_millis(random.u64(100..3000))).await;
            }
        }
        Pace::Much => {
            while Moment::now() < end {
                let piece = stream.next(PIECE);
                match timeout(end.saturating_duration_since(Moment::now()), write.write_all(piece)).await {
                    Ok(written) => written?,
                    // The rest of the piece is not sent; the other side has seen a part of what it expects.
                    Err(_) => break,
                }
                if let Some(second_part) = (PIECE as u64 * 1_000_000).checked_div(rate) {
                    sleep_until(end.min(Moment::now() + Duration::from_micros(second_part))).await;
                }
            }
        }
    }
    Ok(write)
}

/// Reads to the end and compares with what was to come.
async fn receive(
    mut read: OwnedReadHalf,
    mut expected: Stream,
    slow: Option<Duration>,
    counts: &Counts,
) -> Result<()> {
    let mut buffer = vec![0; if slow.is_some() { SLOW_READ } else { 32 * 1024 }];
    let mut place = 0;
    loop {
        let count = timeout(PATIENCE, read.read(&mut buffer)).await.context("nothing comes any more")??;
        if count == 0 {
            return Ok(());
        }
        let wanted = expected.next(count);
        if let Some(at) = (0..count).find(|at| buffer[*at] != wanted[*at]) {
            bail!("byte {} is another", place + at);
        }
        place += count;
        counts.bytes.fetch_add(count as u64, Ordering::Relaxed);
        if let Some(pause) = slow {
            sleep(pause).await;
        }
    }
}

fn is_reset(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

/// How long session `number` lives; the last ones end with the soak.
fn life(number: u64, until: Moment) -> Duration {
    let life = Duration::from_millis(Rng::with_seed(number).u64(LIFE));
    life.min(until.saturating_duration_since(Moment::now()) + Duration::from_secs(1))
}

/// An X.224 connection request with the number of its session in the cookie.
fn request(number: u64) -> Vec<u8> {
    let plain = wire::connection_request(Some(wire::PROTOCOL_SSL));
    // TPKT of 4 bytes and the fixed part of 7 stand before the cookie.
    let cookie = format!("Cookie: mstshash={number:09}\r\n").into_bytes();
    let mut request = plain[..11].to_vec();
    request.extend(&cookie);
    request.extend(&plain[plain.len() - 8..]);
    let length = request.len();
    request[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    request[4] = (length - 5) as u8;
    request
}

fn requested(request: &[u8]) -> Result<u64> {
    let text = String::from_utf8_lossy(request);
    let digits =
        text.split("mstshash=").nth(1).and_then(|rest| rest.get(..9)).context("the cookie is gone")?;
    digits.parse().context("the cookie is another")
}

/// The mean of what was held in a part of the time.
fn level(samples: &[(Duration, Health)], part: std::ops::Range<f64>) -> Result<Health> {
    let place = |part: f64| (samples.len() as f64 * part) as usize;
    let held = samples.get(place(part.start)..place(part.end)).unwrap_or_default();
    let count = held.len() as u64;
    ensure!(count > 0, "it was too short");
    let mean = |of: fn(&Health) -> u64| held.iter().map(|(_, health)| of(health)).sum::<u64>() / count;
    Ok(Health { resident: mean(|health| health.resident), descriptors: mean(|health| health.descriptors) })
}

fn conclude(
    program: Program,
    samples: &[(Duration, Health)],
    counts: &Counts,
    (swept, traces): (&mut Swept, &Path),
    arguments: &Arguments,
) -> Result<()> {
    let (warm, late) = (level(samples, WARM)?, level(samples, LATE)?);
    let most = samples.iter().map(|(_, health)| health.resident).max().unwrap_or(0);
    let numbers = counts.numbers.load(Ordering::Relaxed);
    let mut behaviours: BTreeMap<Behaviour, u64> = BTreeMap::new();
    (0..numbers).for_each(|number| *behaviours.entry(Behaviour::of(number)).or_default() += 1);
    let has_panicked = program.has_panicked();
    let said = program.interrupt()?;
    if traces.exists() {
        swept.sweep(traces, true)?;
    }
    println!(
        "| sessions at once | in all | bytes compared | different | verdicts | traces whole, cut, with gaps | KiB in the second fifth → in the last (most) | descriptors |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    println!(
        "| {} | {numbers} | {} | 0 | {} | {}, {}, {} | {} → {} ({most}) | {} → {} |",
        arguments.sessions,
        counts.bytes.load(Ordering::Relaxed),
        said.all_verdicts(),
        swept.whole,
        swept.cut,
        swept.incomplete,
        warm.resident,
        late.resident,
        warm.descriptors,
        late.descriptors
    );
    println!("\nbehaviours: {behaviours:?}\nverdicts: {:?}", said.verdicts);
    ensure!(!has_panicked, "the program panicked");
    ensure!(said.all_verdicts() == numbers, "{} verdicts of {numbers} sessions", said.all_verdicts());
    ensure!(swept.cut == 0, "{} traces have no end", swept.cut);
    ensure!(late.resident as f64 <= warm.resident as f64 * MOST_GROWTH, "resident memory grew");
    ensure!(late.descriptors as f64 <= warm.descriptors as f64 * MOST_GROWTH, "descriptors grew");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_its_number() {
        assert_eq!(requested(&request(4711)).unwrap(), 4711);
        assert_eq!(request(1).len(), request(999_999_999).len());
        assert!(requested(b"nothing").is_err());
    }
}
