//! The rounds: the relays take turns, so that what drifts in the machine hits all of them alike.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::asked::{Against, Asked};
use crate::relay::{Purpose, Relay, Role, Running};
use crate::session::{Session, Shape};
use crate::table::{Measure, Results};
use crate::throughput::{Direction, bulk};
use crate::tls::{Ends, LeafKey};
use crate::{connections, gateway, inner, interception, latency, memory, throughput};

/// How often and how long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    throughput: Turns,
    latency: Turns,
    connections: Turns,
    memory_rounds: usize,
    interception: Turns,
    /// Bytes of the capture that is read.
    pub capture_length: u64,
}

/// Rounds, and the time of one relay in one round.
#[derive(Debug, Clone, Copy)]
struct Turns {
    rounds: usize,
    each: Duration,
}

impl Turns {
    const fn new(rounds: usize, milliseconds: u64) -> Self {
        Self { rounds, each: Duration::from_millis(milliseconds) }
    }
}

impl Plan {
    /// Under four minutes for the relays, and three more for the capture.
    pub const FULL: Self = Self {
        throughput: Turns::new(7, 500),
        latency: Turns::new(21, 200),
        connections: Turns::new(5, 1000),
        memory_rounds: 3,
        interception: Turns::new(5, 1000),
        capture_length: 1 << 30,
    };
    /// Under a minute.
    pub const QUICK: Self = Self {
        throughput: Turns::new(3, 300),
        latency: Turns::new(9, 100),
        connections: Turns::new(3, 500),
        memory_rounds: 1,
        interception: Turns::new(3, 500),
        capture_length: 1 << 27,
    };
}

const fn measure(name: &'static str, more_is_better: bool, digits: usize) -> Measure {
    Measure { name, more_is_better, digits }
}

static FLOWS: &[(Shape, Direction, Measure)] = &[
    (Shape::Tls, Direction::Up, measure("throughput TLS up, MB/s", true, 0)),
    (Shape::Tls, Direction::Down, measure("throughput TLS down, MB/s", true, 0)),
    (Shape::Tls, Direction::Both, measure("throughput TLS both at once, MB/s", true, 0)),
    (Shape::Opaque, Direction::Up, measure("throughput unframed up, MB/s", true, 0)),
    (Shape::Opaque, Direction::Down, measure("throughput unframed down, MB/s", true, 0)),
    (Shape::Opaque, Direction::Both, measure("throughput unframed both at once, MB/s", true, 0)),
];
static CPU_BULK: Measure = measure("relay's processor time, TLS both at once, ms/GB", false, 0);
static CAPTURED: Measure = measure("in the capture of what both legs carried, TLS both at once, %", true, 0);
static P50: Measure = measure("ping-pong 64 B p50, µs", false, 1);
static P99: Measure = measure("ping-pong 64 B p99, µs", false, 1);
static ADDED_P50: Measure = measure("added to direct p50, µs", false, 1);
static ADDED_P99: Measure = measure("added to direct p99, µs", false, 1);
static CONNECTIONS: Measure = measure("connections through the TLS hello, 1/s", true, 0);
static CPU_CONNECTION: Measure = measure("relay's processor time a connection, µs", false, 0);
static RSS: Measure = measure("idle session of 2,000, RSS, KiB", false, 1);
static PSS: Measure = measure("idle session of 2,000, PSS, KiB", false, 1);
static MANY_RSS: Measure = measure("idle session of up to 10,000, RSS, KiB", false, 1);
static OPENING: Measure =
    measure("relay's processor time to open one of the first 2,000 sessions, µs", false, 0);
static MANY_OPENING: Measure = measure("the same beyond 2,000, µs", false, 0);

static HANDSHAKES: &[(LeafKey, Measure, Measure)] = &[
    (
        LeafKey::Rsa,
        measure("intercepted sessions, RSA 2048 shown, 1/s", true, 0),
        measure("relay's processor time an intercepted session, RSA 2048, µs", false, 0),
    ),
    (
        LeafKey::P256,
        measure("intercepted sessions, P-256 shown, 1/s", true, 0),
        measure("relay's processor time an intercepted session, P-256, µs", false, 0),
    ),
];
const INTERCEPTED_FLOWS: &[(Direction, Measure, Measure)] = &[
    (
        Direction::Up,
        measure("intercepted throughput up, MB/s", true, 0),
        measure("relay's processor time, intercepted up, ms/GB", false, 0),
    ),
    (
        Direction::Down,
        measure("intercepted throughput down, MB/s", true, 0),
        measure("relay's processor time, intercepted down, ms/GB", false, 0),
    ),
    (
        Direction::Both,
        measure("intercepted throughput both at once, MB/s", true, 0),
        measure("relay's processor time, intercepted both, ms/GB", false, 0),
    ),
];
const GATEWAY_FLOWS: &[(Direction, Measure, Measure)] = &[
    (
        Direction::Up,
        measure("gateway's WebSocket up, MB/s", true, 0),
        measure("relay's processor time, WebSocket up, ms/GB", false, 0),
    ),
    (
        Direction::Down,
        measure("gateway's WebSocket down, MB/s", true, 0),
        measure("relay's processor time, WebSocket down, ms/GB", false, 0),
    ),
    (
        Direction::Both,
        measure("gateway's WebSocket both at once, MB/s", true, 0),
        measure("relay's processor time, WebSocket both, ms/GB", false, 0),
    ),
];
const INNER_FLOWS: &[(Direction, Measure, Measure)] = &[
    (
        Direction::Up,
        measure("gateway's WebSocket, TLS inside ended too, up, MB/s", true, 0),
        measure("relay's processor time, TLS inside ended too, up, ms/GB", false, 0),
    ),
    (
        Direction::Down,
        measure("gateway's WebSocket, TLS inside ended too, down, MB/s", true, 0),
        measure("relay's processor time, TLS inside ended too, down, ms/GB", false, 0),
    ),
];
static INTERCEPTED_RSS: Measure = measure("idle intercepted session of 500, RSS, KiB", false, 1);
static MORE_INTERCEPTED_RSS: Measure = measure("idle intercepted session of 2,000, RSS, KiB", false, 1);
static MANY_INTERCEPTED_RSS: Measure =
    measure("idle intercepted session of up to 10,000, RSS, KiB", false, 1);

const fn asked(measure: &'static Measure, against: Against) -> Asked {
    Asked { measure, against }
}

const SPLICING: Against = Against::Relays(1.5, &["haproxy", "nginx", "socat"]);

/// What is asked of rdpscope.
pub static ASKED: &[Asked] = &[
    asked(&FLOWS[0].2, SPLICING),
    asked(&FLOWS[1].2, SPLICING),
    asked(&FLOWS[2].2, SPLICING),
    asked(&FLOWS[3].2, SPLICING),
    asked(&FLOWS[4].2, SPLICING),
    asked(&FLOWS[5].2, SPLICING),
    asked(&ADDED_P50, Against::Bound(10.0)),
    asked(&ADDED_P99, Against::Bound(100.0)),
    asked(&CONNECTIONS, Against::Relays(1.0, &["haproxy"])),
    asked(&RSS, Against::Bound(16.0)),
    asked(&MANY_RSS, Against::Bound(16.0)),
    asked(&HANDSHAKES[0].1, Against::Relays(1.0, &["haproxy"])),
    asked(&HANDSHAKES[0].1, Against::Relays(1.2, &["stunnel"])),
    asked(&HANDSHAKES[0].1, Against::Relays(50.0, &["PyRDP"])),
    asked(&HANDSHAKES[1].1, Against::Relays(1.0, &["haproxy"])),
    asked(&HANDSHAKES[1].1, Against::Relays(1.2, &["stunnel"])),
    asked(&HANDSHAKES[1].1, Against::Relays(50.0, &["PyRDP"])),
    asked(&INTERCEPTED_RSS, Against::Bound(48.0)),
    asked(&MORE_INTERCEPTED_RSS, Against::Bound(48.0)),
    asked(&MANY_INTERCEPTED_RSS, Against::Bound(48.0)),
];

/// Runs the measurements and collects what they find.
#[derive(Debug)]
pub struct Rounds {
    plan: Plan,
    relays: Vec<Relay>,
    rdpscope: PathBuf,
    /// What the relays write, kept to the end: a file system that has just lost thousands of files makes new ones at many
    /// times the cost (ext4 gives no inode away again within seconds, and looks at each that it passes over).
    files: TempDir,
    /// What was measured.
    pub results: Results,
    /// What a reader of the table must know besides.
    pub notes: Vec<String>,
}

impl Rounds {
    /// Nothing measured yet.
    pub fn new(plan: Plan, relays: Vec<Relay>, rdpscope: PathBuf) -> Result<Self> {
        let files = tempfile::Builder::new().prefix("rdpscope-bench-").tempdir()?;
        Ok(Self { plan, relays, rdpscope, files, results: Results::default(), notes: Vec::new() })
    }

    /// Adds a note, once.
    pub fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Bulk data in one session: each shape and direction.
    pub fn throughput(&mut self) {
        let running = self.start_all(Purpose::Bulk);
        let (records, unframed) = (bulk(Shape::Tls), bulk(Shape::Opaque));
        let Turns { rounds, each } = self.plan.throughput;
        for round in 0..rounds {
            progress("throughput", round, rounds);
            for (shape, direction, measure) in FLOWS {
                let bulk = if *shape == Shape::Tls { &records } else { &unframed };
                for relay in &running {
                    let found = flow(relay, *shape, *direction, bulk, each);
                    let found = self.keep(relay.relay.name, measure, found);
                    self.results.record(measure, relay.relay.name, found.map(|found| found.rate / 1e6));
                    if relay.process.is_some() && (*shape, *direction) == (Shape::Tls, Direction::Both) {
                        self.results.record(&CPU_BULK, relay.relay.name, found.map(|found| found.cpu_per_gb));
                        if let Some(captured) = found.and_then(|found| found.captured) {
                            self.results.record(&CAPTURED, relay.relay.name, Some(captured * 100.0));
                        }
                    }
                }
            }
        }
    }

    /// The round trip of a small message.
    pub fn latency(&mut self) {
        let running = self.start_all(Purpose::Sessions);
        let Turns { rounds, each } = self.plan.latency;
        for round in 0..rounds {
            progress("latency", round, rounds);
            let mut direct = None;
            for relay in &running {
                let name = relay.relay.name;
                let found = Session::open(relay.address, &relay.backend, Shape::Tls)
                    .and_then(|session| latency::run(&session, each));
                let found = self.keep(name, &P50, found);
                self.results.record(&P50, name, found.map(|found| found.p50));
                self.results.record(&P99, name, found.map(|found| found.p99));
                if relay.relay.role == Role::Baseline {
                    direct = found;
                } else if let Some(direct) = direct {
                    self.results.record(&ADDED_P50, name, found.map(|found| found.p50 - direct.p50));
                    self.results.record(&ADDED_P99, name, found.map(|found| found.p99 - direct.p99));
                }
            }
        }
    }

    /// New sessions per second.
    pub fn connections(&mut self) {
        let running = self.start_all(Purpose::Sessions);
        let Turns { rounds, each } = self.plan.connections;
        let mut opened = vec![0; running.len()];
        for round in 0..rounds {
            progress("connections", round, rounds);
            for (relay, opened) in running.iter().zip(&mut opened) {
                let name = relay.relay.name;
                let before = relay.process.as_ref().map(|process| process.cpu());
                let found = connections::run(relay.address, &relay.backend, each);
                let found = self.keep(name, &CONNECTIONS, found);
                self.results.record(&CONNECTIONS, name, found.map(|found| found.rate));
                *opened += found.map_or(0, |found| found.count);
                if let (Some(process), Some(before)) = (&relay.process, before) {
                    process.settle();
                    let spent = (process.cpu() - before).as_secs_f64() * 1e6;
                    self.results.record(&CPU_CONNECTION, name, found.map(|found| spent / found.count as f64));
                }
            }
        }
        for (relay, opened) in running.iter().zip(opened) {
            if let Some(recorded) = relay.recorded() {
                let name = relay.relay.name;
                self.note(format!(
                    "connections: {name} kept a record of {recorded} sessions; {opened} were counted"
                ));
            }
        }
    }

    /// Memory of many idle sessions, in a fresh process each time: of 2,000, and then of 10,000 or so many as may be open.
    pub fn memory(&mut self, open_files: u64) {
        let rounds = self.plan.memory_rounds;
        let many = memory::many_sessions(open_files);
        if many < memory::MANY_SESSIONS {
            let all = memory::MANY_SESSIONS;
            self.note(format!(
                "memory: {open_files} open files (ulimit -Hn) suffice for {many} idle sessions of the {all}"
            ));
        }
        let counts: Vec<_> = [(memory::SESSIONS, &RSS, &OPENING), (many, &MANY_RSS, &MANY_OPENING)]
            .into_iter()
            .filter(|(count, _, _)| memory::open_files(*count) <= open_files && *count >= memory::SESSIONS)
            .collect();
        let fit = |relay: &&Relay| relay.role == Role::Relay && relay.passes && relay.most_idle > 0;
        let relays: Vec<_> = self.relays.iter().filter(fit).copied().collect();
        for round in 0..rounds {
            progress("memory", round, rounds);
            for relay in &relays {
                let asked: Vec<_> = counts.iter().filter(|(count, _, _)| *count <= relay.most_idle).collect();
                let Some(running) = self.start(*relay, Purpose::Sessions) else { continue };
                let found =
                    memory::run(&running, &asked.iter().map(|(count, _, _)| *count).collect::<Vec<_>>());
                let Some(found) = self.keep(relay.name, &RSS, found) else { continue };
                for (idle, (_, rss, opening)) in found.iter().zip(asked) {
                    self.results.record(rss, relay.name, Some(idle.memory.rss));
                    if idle.sessions == memory::SESSIONS {
                        self.results.record(&PSS, relay.name, Some(idle.memory.pss));
                    }
                    self.results.record(opening, relay.name, Some(idle.opening.as_secs_f64() * 1e6));
                }
            }
        }
    }

    /// TLS that ends in the relay, with real handshakes: TLS 1.3, one cipher suite, no resumption.
    pub fn interception(&mut self, open_files: u64) -> Result<()> {
        let (ends, old) = (Ends::new()?, Ends::old()?);
        for (key, rate, cost) in HANDSHAKES {
            self.intercepted_sessions([&ends, &old], *key, rate, cost);
        }
        self.intercepted_bulk(&ends);
        self.intercepted_memory(&ends, open_files);
        Ok(())
    }

    /// Of 500 idle sessions, then of 2,000, then of 10,000 or so many as may be open.
    fn intercepted_memory(&mut self, ends: &Ends, open_files: u64) {
        let many = memory::many_sessions(open_files);
        let counts = [
            (interception::IDLE, &INTERCEPTED_RSS),
            (memory::SESSIONS, &MORE_INTERCEPTED_RSS),
            (many, &MANY_INTERCEPTED_RSS),
        ];
        let fit = |relay: &&Relay| relay.intercepts && relay.role == Role::Relay && relay.most_idle > 0;
        for relay in self.relays.iter().filter(fit).copied().collect::<Vec<_>>() {
            progress(&format!("memory of {}, intercepting", relay.name), 0, 1);
            let Some(running) = self.start(relay, Purpose::Interception(LeafKey::Rsa)) else { continue };
            let most = many.min(relay.most_idle);
            let (counts, measures): (Vec<_>, Vec<_>) =
                counts.into_iter().filter(|(count, _)| *count <= most).unzip();
            let found = interception::memory(&running, ends, &counts);
            let Some(found) = self.keep(relay.name, &INTERCEPTED_RSS, found) else { continue };
            for (memory, measure) in found.iter().zip(measures) {
                self.results.record(measure, relay.name, Some(memory.rss));
            }
        }
    }

    /// `ends` of TLS 1.3, and of TLS 1.2 for those that have no other.
    fn intercepted_sessions(&mut self, ends: [&Ends; 2], key: LeafKey, rate: &Measure, cost: &Measure) {
        let running = self.start_intercepting(Purpose::Interception(key), |_| true);
        let Turns { rounds, each } = self.plan.interception;
        for round in 0..rounds {
            progress("intercepted sessions", round, rounds);
            for relay in &running {
                let name = relay.relay.name;
                let before = relay.process.as_ref().map(|process| process.cpu());
                let ends = ends[usize::from(relay.relay.rewrites)];
                let found = self.keep(name, rate, interception::handshakes(relay, ends, each));
                self.results.record(rate, name, found.map(|found| found.rate));
                if let (Some(process), Some(before)) = (&relay.process, before) {
                    process.settle();
                    let spent = (process.cpu() - before).as_secs_f64() * 1e6;
                    self.results.record(cost, name, found.map(|found| spent / found.count as f64));
                }
            }
        }
    }

    fn intercepted_bulk(&mut self, ends: &Ends) {
        let running = self.start_intercepting(Purpose::Interception(LeafKey::Rsa), |relay| !relay.rewrites);
        self.bulk_flows("intercepted throughput", &running, INTERCEPTED_FLOWS, |relay, direction| {
            interception::bulk(relay, ends, direction)
        });
    }

    /// Bulk data through the WebSocket of an RD Gateway, whose TLS ends in the relay; then the same with TLS inside the tunnel
    /// that ends there, too.
    pub fn gateway(&mut self) -> Result<()> {
        let ends = Ends::new()?;
        let running = self.start_intercepting(Purpose::Gateway, |relay| !relay.rewrites);
        self.bulk_flows("gateway", &running, GATEWAY_FLOWS, |relay, direction| {
            gateway::bulk(relay, &ends, direction)
        });
        drop(running);
        let knows_tunnels =
            |relay: &Relay| relay.role == Role::Baseline || relay.negotiates && !relay.rewrites;
        let running = self.start_intercepting(Purpose::InsideGateway, knows_tunnels);
        self.bulk_flows("gateway, inside", &running, INNER_FLOWS, |relay, direction| {
            inner::bulk(relay, &ends, direction)
        });
        Ok(())
    }

    fn bulk_flows(
        &mut self,
        what: &str,
        running: &[Running],
        flows: &[(Direction, Measure, Measure)],
        bulk: impl Fn(&Running, Direction) -> Result<interception::Bulk>,
    ) {
        let rounds = self.plan.interception.rounds;
        for round in 0..rounds {
            progress(what, round, rounds);
            for (direction, rate, cost) in flows {
                for relay in running {
                    let name = relay.relay.name;
                    let found = self.keep(name, rate, bulk(relay, *direction));
                    self.results.record(rate, name, found.map(|found| found.rate / 1e6));
                    if let Some(process) = &relay.process {
                        process.settle();
                        relay.take_captures();
                        let per_gb = |found: interception::Bulk| {
                            found.spent.as_secs_f64() * 1e3 / (found.bytes as f64 / 1e9)
                        };
                        self.results.record(cost, name, found.map(per_gb));
                    }
                }
            }
        }
    }

    fn start_intercepting(&mut self, purpose: Purpose, fit: impl Fn(&Relay) -> bool) -> Vec<Running> {
        let relays: Vec<_> =
            self.relays.iter().filter(|relay| relay.intercepts && fit(relay)).copied().collect();
        relays.into_iter().filter_map(|relay| self.start(relay, purpose)).collect()
    }

    /// Those that start; a note for each that does not.
    fn start_all(&mut self, purpose: Purpose) -> Vec<Running> {
        let relays: Vec<_> = self.relays.iter().filter(|relay| relay.passes).copied().collect();
        relays.into_iter().filter_map(|relay| self.start(relay, purpose)).collect()
    }

    fn start(&mut self, relay: Relay, purpose: Purpose) -> Option<Running> {
        match relay.start(&self.rdpscope, self.files.path(), purpose) {
            Ok(running) => Some(running),
            Err(error) => {
                self.note(format!("{}: SKIPPED: {error:#}", relay.name));
                None
            }
        }
    }

    /// The value, or a note of why there is none.
    fn keep<T>(&mut self, relay: &str, measure: &Measure, found: Result<T>) -> Option<T> {
        match found {
            Ok(found) => Some(found),
            Err(error) => {
                self.note(format!("{relay}: no value for \"{}\": {error:#}", measure.name));
                None
            }
        }
    }
}

/// What one flow of bulk data came to.
#[derive(Debug, Clone, Copy)]
struct Flow {
    /// In bytes per second.
    rate: f64,
    /// The relay's processor time in milliseconds for 10⁹ bytes.
    cpu_per_gb: f64,
    /// How long the capture is, of a relay that writes one, as a part of what both legs carried.
    captured: Option<f64>,
}

fn flow(relay: &Running, shape: Shape, direction: Direction, bulk: &[u8], each: Duration) -> Result<Flow> {
    let session = Session::open(relay.address, &relay.backend, shape)?;
    let cpu = || relay.process.as_ref().map_or(Duration::ZERO, |process| process.cpu());
    let before = cpu();
    let arrived = throughput::run(&session, bulk, direction, each)?;
    drop(session);
    // A capture is still being written.
    relay.process.iter().for_each(|process| process.settle());
    let spent = cpu() - before;
    Ok(Flow {
        rate: arrived.rate,
        cpu_per_gb: spent.as_secs_f64() * 1e3 / (arrived.bytes as f64 / 1e9),
        captured: relay.take_captures().map(|length| length as f64 / (2 * arrived.bytes) as f64),
    })
}

fn progress(what: &str, round: usize, rounds: usize) {
    eprintln!("{what}: round {} of {rounds}", round + 1);
}
