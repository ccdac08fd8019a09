//! What may happen around rdpscope while it works: it is killed, its disk is full or gone, names and clocks change, the
//! server is started anew. `docs/robustness.md` is the table of these.

use crate::support::left_out::{left_out_without, say_left_out};
use crate::support::netns::{Network, SERVER_NAME, SERVER_V4, SERVER_V6};
use crate::support::rdpscope::{Rdpscope, program};
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request};
use crate::support::scripted::{Conversation, Ends, Next, listener, next};
use rdpscope::trace::{self, Phase};
use rustix::process::Signal;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A negotiation.
fn agreed() -> Conversation {
    Conversation::new().client(connection_request("alice", SSL)).server(connection_confirm(SSL))
}

/// Something of both sides, as far as they are in order.
fn talk() -> Conversation {
    Conversation::new().client(&b"up"[..]).server(&b"down"[..])
}

fn goodbye() -> Conversation {
    Conversation::new().finish(Client).finish(Server)
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("it listens")
}

/// Every trace in a folder, however it ends.
fn traces(folder: &Path) -> Vec<PathBuf> {
    let sessions = std::fs::read_dir(folder).expect("the folder is there");
    sessions.map(|session| session.expect("an entry is read").path().join("trace.jsonl")).collect()
}

#[test]
fn killed_at_any_moment_it_leaves_traces_that_are_read_and_the_next_start_is_clean() {
    const KILLS: u64 = 6;
    const WITHIN_US: u64 = 40_000;
    for round in 0..KILLS {
        let server = listener();
        let rdpscope = Rdpscope::start(address(&server), 99, &["--capture"]);
        std::thread::scope(|scope| {
            // What is cut by the kill is no matter of this test; the system takes connections for the server.
            scope.spawn(|| {
                let connect = |_| {
                    let mut client = TcpStream::connect(rdpscope.address)?;
                    client.write_all(&connection_request("alice", SSL))?;
                    Ok::<_, std::io::Error>(client)
                };
                drop((0..16).map(connect).collect::<Vec<_>>());
            });
            std::thread::sleep(Duration::from_micros(RandomState::new().hash_one(round) % WITHIN_US));
            rdpscope.signal(Signal::KILL);
        });
        for path in traces(rdpscope.folder()).into_iter().filter(|path| path.exists()) {
            let text = std::fs::read(&path).expect("it is there");
            if text.is_empty() {
                continue;
            }
            let reading =
                trace::read(&text[..]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(reading.records.len(), 1, "{}", String::from_utf8_lossy(&text));
        }
        let mut again = program();
        again.args(["proxy", "srv10", "--listen", "127.0.0.1:0", "--for", "10ms", "--trace"]);
        let again = again.arg(rdpscope.folder()).output().expect("it runs");
        let said = String::from_utf8_lossy(&again.stderr);
        assert!(again.status.code() == Some(0) && !said.contains("rdpscope: "), "{said}");
    }
}

#[test]
fn killed_after_a_phase_the_trace_has_that_phase() {
    let server = listener();
    let rdpscope = Rdpscope::start(address(&server), 1, &[]);
    let session = agreed().play_open(Ends::connect(rdpscope.address, &server));
    let has_confirm = |bytes: &[u8]| bytes.windows(18).any(|it| it == b"connection_confirm");
    assert!(rdpscope.wait_for_file("trace.jsonl", has_confirm));
    rdpscope.signal(Signal::KILL);
    drop(session);
    let text = std::fs::read(&traces(rdpscope.folder())[0]).expect("it is there");
    let record = trace::read(&text[..]).expect("it is read").records.remove(0);
    assert!(record.phase(Phase::Tcp).is_some() && record.verdict.is_none());
}

#[test]
fn a_trace_folder_that_is_removed_stops_no_session_and_is_told_once() {
    let server = listener();
    let rdpscope = Rdpscope::start(address(&server), 2, &[]);
    let first = agreed().play_open(Ends::connect(rdpscope.address, &server));
    assert!(rdpscope.wait_for_file("trace.jsonl", |bytes| !bytes.is_empty()));
    std::fs::remove_dir_all(rdpscope.folder()).expect("it can be removed");
    let first = talk().play_open(first);
    let second = agreed().play_open(Ends::connect(rdpscope.address, &server));
    [talk().play_open(second), first].into_iter().for_each(|ends| goodbye().play(ends));
    assert!(!rdpscope.folder().exists(), "who removed it does not want it back");
    rdpscope.wait_for(|line| line["type"] == "end");
    std::fs::create_dir(rdpscope.folder()).expect("there is room");
    let finished = rdpscope.finish();
    let told: Vec<&str> =
        finished.stderr.lines().filter(|line| line.starts_with("rdpscope: cannot write traces")).collect();
    assert_eq!(told.len(), 1, "{}", finished.stderr);
    assert_eq!(finished.stdout.iter().filter(|line| line["type"] == "verdict").count(), 2);
}

#[test]
fn a_trace_that_is_removed_while_it_is_written_is_told() {
    let server = listener();
    let rdpscope = Rdpscope::start(address(&server), 1, &[]);
    let session = agreed().play_open(Ends::connect(rdpscope.address, &server));
    assert!(rdpscope.wait_for_file("trace.jsonl", |bytes| !bytes.is_empty()));
    let folder = traces(rdpscope.folder()).remove(0);
    std::fs::remove_dir_all(folder.parent().expect("it is in a folder")).expect("it can be removed");
    goodbye().play(talk().play_open(session));
    let finished = rdpscope.finish();
    assert!(finished.stderr.contains("was removed while it was written"), "{}", finished.stderr);
}

/// Its traces lie in 4 KiB of memory, which one session fills; what there was in the end is in `$COPY`.
const FULL_DISK: &str = r#"
    traces=$5
    mount -t tmpfs -o size=4k tmpfs "$traces" || exit 77
    "$0" "$@"; code=$?
    cp -r "$traces/." "$COPY"
    umount "$traces"
    exit $code
"#;

#[test]
fn a_full_disk_stops_no_session_and_is_told_once() {
    if left_out_without(&["unshare"]) {
        return;
    }
    if !Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|ran| ran.status.success()) {
        return say_left_out("no mount namespaces here");
    }
    let mut command = Command::new("unshare");
    let copy = tempfile::TempDir::new().expect("a temporary folder is made");
    command.args(["--mount", "sh", "-c", FULL_DISK]).arg(program().get_program()).env("COPY", copy.path());
    let server = listener();
    let target = address(&server).to_string();
    let rdpscope = Rdpscope::start_as(command, &target, &["--listen", "127.0.0.1:0", "--sessions", "3"]);
    let noise = Conversation::new().client(vec![7; 100_000]).server(vec![8; 100_000]);
    for _ in 0..3 {
        let session = agreed().play_open(Ends::connect(rdpscope.address, &server));
        goodbye().play(noise.play_open(session));
    }
    let finished = rdpscope.finish();
    let told = finished.stderr.matches("No space left on device").count();
    assert_eq!(told, 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("the relay goes on"), "{}", finished.stderr);
    assert_eq!(finished.stdout.iter().filter(|line| line["type"] == "verdict").count(), 3);
    let texts: Vec<Vec<u8>> =
        traces(copy.path()).iter().filter_map(|path| std::fs::read(path).ok()).collect();
    let kept = texts.iter().filter(|text| !text.is_empty());
    let records =
        kept.map(|text| trace::read(&text[..]).expect("what there was room for is read").records.len());
    assert!(records.sum::<usize>() >= 1);
}

#[test]
fn a_server_that_is_started_anew_is_found_again() {
    // An address of its own, so that nobody else takes the port meanwhile.
    let server = TcpListener::bind(("127.77.0.1", 0)).expect("a loopback port is free");
    let target = address(&server);
    let rdpscope = Rdpscope::start(target, 3, &[]);
    agreed().reset(Server).play(Ends::connect(rdpscope.address, &server));
    drop(server);
    let mut refused = TcpStream::connect(rdpscope.address).expect("it listens");
    refused.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket takes its options");
    assert_eq!(next(&mut refused), Next::Reset);
    let server = TcpListener::bind(target).expect("the port is free again");
    goodbye().play(agreed().play_open(Ends::connect(rdpscope.address, &server)));
    let finished = rdpscope.finish();
    let [cut, refused, again] = &finished.sessions[..] else { panic!("{}", finished.stderr) };
    cut.assert_end("server", "reset");
    refused.assert_confirmed("tcp-refused");
    again.assert_reached(&["tcp", "x224"]);
}

#[test]
fn a_name_that_comes_and_goes_is_asked_for_each_session() {
    const PORT: u16 = 3389;
    let Some(network) = Network::new() else { return };
    let listen =
        |ip: &str| network.at_server(|| TcpListener::bind((ip, PORT)).expect("nobody else is there"));
    let (first, second) = (listen(SERVER_V4), listen(SERVER_V6));
    network.names(&format!("{SERVER_V4} {SERVER_NAME}\n"));
    let arguments = ["--listen", "127.0.0.1:0", "--sessions", "3"];
    let rdpscope = Rdpscope::start_as(network.rdpscope(), SERVER_NAME, &arguments);
    let through = |server: &TcpListener| {
        network.at_client(|| goodbye().play(agreed().play_open(Ends::connect(rdpscope.address, server))));
    };
    through(&first);
    network.names("127.0.0.1 localhost\n");
    network.at_client(|| {
        let mut lost = TcpStream::connect(rdpscope.address).expect("it listens");
        lost.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket takes its options");
        assert_eq!(next(&mut lost), Next::Reset);
    });
    network.names(&format!("{SERVER_V6} {SERVER_NAME}\n"));
    through(&second);
    let finished = rdpscope.finish();
    let [before, lost, after] = &finished.sessions[..] else { panic!("{}", finished.stderr) };
    lost.assert_confirmed("dns-failure");
    let server = |session: &crate::support::rdpscope::Session| session.summary()["server"].to_string();
    assert!(server(before).contains(SERVER_V4) && server(after).contains(SERVER_V6), "{before}{after}");
}

#[test]
fn a_way_that_loses_packets_and_takes_its_time_is_no_fault() {
    const ROUND_TRIP: Duration = Duration::from_millis(300);
    let Some(network) = Network::new() else { return };
    network.fault("numgen random mod 100 < 5 drop");
    network.fault_at_client("iifname wire numgen random mod 100 < 5 drop");
    let server = network.at_server(|| TcpListener::bind((SERVER_V4, 3389)).expect("nobody else is there"));
    let arguments = ["--listen", "127.0.0.1:0", "--sessions", "1"];
    let rdpscope = Rdpscope::start_as(network.rdpscope(), &format!("{SERVER_V4}:3389"), &arguments);
    let slow =
        |sent: Vec<u8>, answer: Vec<u8>| Conversation::new().client(sent).silence(ROUND_TRIP).server(answer);
    let ends = network.at_client(|| Ends::connect(rdpscope.address, &server));
    let ends = slow(connection_request("alice", SSL), connection_confirm(SSL)).play_open(ends);
    // Not one byte may differ, however often it was sent again.
    let ends = slow(vec![1; 60_000], vec![2; 200_000]).play_open(ends);
    goodbye().play(ends);
    let finished = rdpscope.finish();
    let session = finished.session();
    session.assert_reached(&["tcp", "x224"]);
    let blamed = session.verdict()["id"].as_str().unwrap_or_default().to_owned();
    let is_network =
        ["tcp-", "tls-", "dns-", "not-rdp", "rdp-silent"].iter().any(|id| blamed.starts_with(id));
    assert!(!is_network, "{session}");
}

/// Where Debian keeps the library that fakes clocks.
fn fake_clock() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let path = |folder: std::io::Result<std::fs::DirEntry>| {
        let path = folder.ok()?.path().join("faketime/libfaketime.so.1");
        path.exists().then_some(path)
    };
    folders.into_iter().find_map(path)
}

#[test]
fn a_clock_that_is_set_while_a_session_runs_changes_no_duration() {
    const DAY: i64 = 24 * 60 * 60;
    let Some(library) = fake_clock() else { return say_left_out("libfaketime is not installed") };
    let folder = tempfile::TempDir::new().expect("a temporary folder is made");
    let clock = folder.path().join("clock");
    std::fs::write(&clock, "+0").expect("it is written");
    let mut command = program();
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock);
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command.env("DONT_FAKE_MONOTONIC", "1");
    let server = listener();
    let began = Instant::now();
    let arguments = ["--listen", "127.0.0.1:0", "--sessions", "2"];
    let rdpscope = Rdpscope::start_as(command, &address(&server).to_string(), &arguments);
    let session = agreed().play_open(Ends::connect(rdpscope.address, &server));
    std::fs::write(&clock, "-1d").expect("it is written");
    goodbye().play(talk().play_open(session));
    rdpscope.wait_for(|line| line["type"] == "end");
    goodbye().play(agreed().play_open(Ends::connect(rdpscope.address, &server)));
    let finished = rdpscope.finish();
    let took_us = u64::try_from(began.elapsed().as_micros()).expect("it was not for ever");
    let mut started = Vec::new();
    for session in &finished.sessions {
        let times: Vec<u64> = session.lines().iter().filter_map(|line| line["t_us"].as_u64()).collect();
        assert!(times.iter().all(|t_us| *t_us <= took_us), "{session}");
        assert!(session.end()["t_us"].as_u64() <= Some(took_us), "{session}");
        let header: jiff::Timestamp =
            session.lines()[0]["started"].as_str().and_then(|time| time.parse().ok()).expect("a time");
        started.push(header.as_second());
    }
    let [earlier, later] = started[..] else { panic!("{started:?}") };
    assert!(((DAY - 60)..=DAY).contains(&(later - earlier)), "the clock was set a day back: {started:?}");
}
