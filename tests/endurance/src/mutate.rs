//! Mutated sessions through the running proxy: nothing panics, hangs or grows, and what is to be relayed arrives as sent.

use crate::conversation::{self, Side, Steps};
use crate::mutation::{Mutation, mutate};
use crate::program::{Health, Program, Said};
use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use rustix::net::sockopt::{Timeout, set_socket_linger, set_socket_timeout};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long a read, write or accept may wait before the proxy counts as hanging: longer than each of its own timeouts.
const PATIENCE: Duration = Duration::from_secs(60);
/// The part of the sessions after which memory and descriptors have found their level.
const WARM: u64 = 5;
/// Resident memory that the rest of the sessions may add, KiB: what an allocator keeps after an unusual session.
const MOST_GROWTH: u64 = 16 * 1024;
/// Descriptors that the rest of the sessions may add: sockets of the last sessions, which are still being closed.
const MOST_MORE_DESCRIPTORS: u64 = 32;

/// What is driven, and how much.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Sessions, shared among the ways in which the proxy runs
    #[arg(long, default_value_t = 100_000)]
    sessions: u64,
    /// The same seed damages in the same way
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The recorded sessions
    #[arg(long, default_value = "tests/fuzz/corpus/session_observer")]
    corpus: PathBuf,
    /// Only these ways
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// A way in which the proxy runs.
#[derive(Debug, Clone, Copy)]
struct Way {
    name: &'static str,
    arguments: &'static [&'static str],
    gateway: bool,
    /// Every byte is to arrive as it was sent; otherwise TLS ends in the proxy, and only its own end is looked at.
    is_exact: bool,
    /// Of how many sessions one goes this way.
    share: u64,
}

const WAYS: [Way; 4] = [
    Way { name: "passthrough", arguments: &[], gateway: false, is_exact: true, share: 2 },
    Way {
        name: "gateway, sealed",
        arguments: &["--cert", "passthrough"],
        gateway: true,
        is_exact: true,
        share: 4,
    },
    Way { name: "intercepted", arguments: &["--cert", "fresh"], gateway: false, is_exact: false, share: 8 },
    Way { name: "gateway", arguments: &[], gateway: true, is_exact: false, share: 8 },
];

/// What one way came to.
#[derive(Debug)]
struct Outcome {
    way: Way,
    sessions: u64,
    bytes: u64,
    mutations: BTreeMap<Mutation, u64>,
    warm: Health,
    last: Health,
    said: Said,
    took: Duration,
}

/// Drives the program at `rdpscope` and prints the table. Fails at the first promise that does not hold.
pub fn run(rdpscope: &Path, arguments: &Arguments) -> Result<()> {
    let recorded = conversation::recorded(&arguments.corpus)?;
    let ways =
        WAYS.iter().filter(|way| arguments.only.is_empty() || arguments.only.iter().any(|it| it == way.name));
    let outcomes: Vec<Result<Outcome>> = thread::scope(|scope| {
        let running: Vec<_> =
            ways.map(|way| scope.spawn(|| drive(rdpscope, way, arguments, &recorded))).collect();
        running
            .into_iter()
            .map(|it| it.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a driver panicked"))))
            .collect()
    });
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    print(&outcomes);
    outcomes.iter().try_for_each(held)
}

fn drive(rdpscope: &Path, way: &Way, arguments: &Arguments, recorded: &[(String, Steps)]) -> Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("rdpscope-mutate-").tempdir()?;
    let sessions = (arguments.sessions / way.share).max(WARM);
    let backend = TcpListener::bind("127.0.0.1:0")?;
    set_socket_timeout(&backend, Timeout::Recv, Some(PATIENCE))?;
    set_socket_timeout(&backend, Timeout::Send, Some(PATIENCE))?;
    let program = start(rdpscope, way, &backend, sessions, folder.path())?;
    let mut random = Rng::with_seed(arguments.seed ^ way.share);
    let (mut bytes, mut mutations, mut warm) = (0, BTreeMap::new(), Health::default());
    let (mut last, began) = (Health::default(), Instant::now());
    for number in 0..sessions {
        let (name, steps) = &recorded[random.usize(..recorded.len())];
        let other = &recorded[random.usize(..recorded.len())].1;
        let mut steps = steps.clone();
        let chosen = mutate(&mut steps, other, &mut random);
        let ending = Ending::any(&mut random);
        let relayed = match way.is_exact {
            true => exactly(&program, &backend, &steps, ending),
            false => somehow(&program, &backend, &steps),
        };
        bytes += relayed.with_context(|| {
            format!("{}: session {number}, {name} with {chosen:?}, {ending:?}: {steps:02x?}", way.name)
        })?;
        chosen.into_iter().for_each(|mutation| *mutations.entry(mutation).or_default() += 1);
        if number + 1 == sessions / WARM {
            warm = program.health()?;
        }
        if number + 2 == sessions {
            last = program.health()?;
        }
    }
    // The connections of one client to a gateway are one attempt, so that there is no number of sessions to end after.
    let said = if way.gateway { program.interrupt() } else { program.finish() }.with_context(|| way.name)?;
    Ok(Outcome { way: *way, sessions, bytes, mutations, warm, last, said, took: began.elapsed() })
}

fn start(rdpscope: &Path, way: &Way, backend: &TcpListener, sessions: u64, folder: &Path) -> Result<Program> {
    let target = backend.local_addr()?.to_string();
    let mut arguments = match way.gateway {
        true => vec!["desktop.example".to_owned(), "--gateway".to_owned(), target],
        false => vec![target],
    };
    arguments.extend(way.arguments.iter().map(|it| (*it).to_owned()));
    arguments.push("--no-trace".to_owned());
    if !way.gateway {
        arguments.extend(["--sessions".to_owned(), sessions.to_string()]);
    }
    Program::start(rdpscope, &arguments, folder, "rdpscope")
}

/// How a session ends.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// This side sends FIN, and the other after it.
    Fin(Side),
    /// This side resets.
    Reset(Side),
}

impl Ending {
    fn any(random: &mut Rng) -> Self {
        let side = if random.bool() { Side::Client } else { Side::Server };
        if random.bool() { Ending::Fin(side) } else { Ending::Reset(side) }
    }
}

/// One session, message by message; the bytes that arrived, each as it was sent.
fn exactly(program: &Program, backend: &TcpListener, steps: &Steps, ending: Ending) -> Result<u64> {
    let mut client = connect(program)?;
    let (mut server, _) = backend.accept().context("the proxy does not connect to the server")?;
    server.set_nodelay(true)?;
    let mut relayed = 0;
    for (side, bytes) in steps {
        let (from, to) = match side {
            Side::Client => (&mut client, &mut server),
            Side::Server => (&mut server, &mut client),
        };
        from.write_all(bytes).with_context(|| format!("the proxy takes nothing from the {side:?}"))?;
        let mut arrived = vec![0; bytes.len()];
        to.read_exact(&mut arrived).with_context(|| format!("nothing comes from the {side:?}"))?;
        ensure!(arrived == *bytes, "from the {side:?} came {arrived:02x?} instead of {bytes:02x?}");
        relayed += bytes.len() as u64;
    }
    let (first, mut second) = match ending {
        Ending::Fin(Side::Client) | Ending::Reset(Side::Client) => (client, server),
        Ending::Fin(Side::Server) | Ending::Reset(Side::Server) => (server, client),
    };
    match ending {
        Ending::Fin(_) => first.shutdown(Shutdown::Write)?,
        Ending::Reset(_) => {
            set_socket_linger(&first, Some(Duration::ZERO))?;
            drop(first);
        }
    }
    ends(&mut second, ending, relayed)?;
    Ok(relayed)
}

/// The end arrives as it was made, and nothing before it. A client that resets before it has said anything may be gone before
/// the proxy is connected to the server, which it then just leaves.
fn ends(stream: &mut TcpStream, ending: Ending, relayed: u64) -> Result<()> {
    let read = stream.read(&mut [0; 1]);
    match (ending, read) {
        (Ending::Fin(_), Ok(0)) => Ok(()),
        (Ending::Reset(_), Ok(0)) if relayed == 0 => Ok(()),
        (Ending::Reset(_), Err(error)) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        (_, read) => anyhow::bail!("instead of the end came {read:?}"),
    }
}

/// One session of which both sides say all that they have at once; the bytes that they read until it was over.
fn somehow(program: &Program, backend: &TcpListener, steps: &Steps) -> Result<u64> {
    let mut client = connect(program)?;
    let (server, _) = backend.accept().context("the proxy does not connect to the server")?;
    let said =
        |side: Side| steps.iter().filter(move |(from, _)| *from == side).flat_map(|(_, bytes)| bytes.clone());
    let (up, down): (Vec<u8>, Vec<u8>) = (said(Side::Client).collect(), said(Side::Server).collect());
    thread::scope(|scope| {
        let server = scope.spawn(move || {
            let mut server = server;
            say_and_listen(&mut server, &down)
        });
        let client = say_and_listen(&mut client, &up)?;
        let server = server.join().map_err(|_| anyhow::anyhow!("the server panicked"))??;
        Ok(client + server)
    })
}

/// Says all, ends, and reads to the end, whatever that is.
fn say_and_listen(stream: &mut TcpStream, bytes: &[u8]) -> Result<u64> {
    // The proxy may end the session before it has heard all; only that it ends counts.
    if stream.write_all(bytes).is_ok() {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let (mut read, mut buffer) = (0, [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(read),
            Ok(count) => read += count as u64,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(read),
            Err(error) => return Err(error).context("the proxy neither says anything nor ends"),
        }
    }
}

fn connect(program: &Program) -> Result<TcpStream> {
    let client = TcpStream::connect(program.address).context("the proxy takes no connection")?;
    client.set_nodelay(true)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    Ok(client)
}

fn held(outcome: &Outcome) -> Result<()> {
    let Outcome { way, sessions, warm, last, said, .. } = outcome;
    let name = way.name;
    ensure!(said.all_verdicts() >= *sessions || way.gateway, "{name}: only {} verdicts", said.all_verdicts());
    ensure!(said.all_verdicts() > 0, "{name}: no verdict");
    ensure!(said.altered == 0 || !way.is_exact, "{name}: {} alterations", said.altered);
    let grown = last.resident.saturating_sub(warm.resident);
    ensure!(grown <= MOST_GROWTH, "{name}: resident memory grew by {grown} KiB");
    let more = last.descriptors.saturating_sub(warm.descriptors);
    ensure!(more <= MOST_MORE_DESCRIPTORS, "{name}: {more} more descriptors are open");
    Ok(())
}

fn print(outcomes: &[Outcome]) {
    println!(
        "| way | sessions | bytes compared or read | verdicts | KiB after a fifth → at the end | descriptors | s |"
    );
    println!("|---|---|---|---|---|---|---|");
    for Outcome { way, sessions, bytes, warm, last, said, took, .. } in outcomes {
        println!(
            "| {} | {sessions} | {bytes} | {} | {} → {} | {} → {} | {} |",
            way.name,
            said.all_verdicts(),
            warm.resident,
            last.resident,
            warm.descriptors,
            last.descriptors,
            took.as_secs()
        );
    }
    let mut mutations: BTreeMap<Mutation, u64> = BTreeMap::new();
    let mut verdicts: BTreeMap<&str, u64> = BTreeMap::new();
    for outcome in outcomes {
        outcome
            .mutations
            .iter()
            .for_each(|(mutation, count)| *mutations.entry(*mutation).or_default() += count);
        outcome.said.verdicts.iter().for_each(|(id, count)| *verdicts.entry(id).or_default() += count);
    }
    println!("\nmutations: {mutations:?}\nverdicts: {verdicts:?}");
}
