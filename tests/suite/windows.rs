//! The program for Windows, run by Wine between clients and servers of Linux. `tests/other-systems test` builds it and says
//! here where it is; without that these tests are left out.

mod machine;

use super::cli::{NO_NAME, Ran, run_command};
use crate::support::left_out::{left_out_without, say_left_out};
use crate::support::peers::{FreeRdp, Xfreerdp, Xrdp};
use crate::support::rdpscope::Rdpscope;
use crate::support::scripted::bytes::negotiation_failure;
use crate::support::scripted::listener;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// The program for Windows.
const PROGRAM: &str = "RDPSCOPE_WINDOWS_PROGRAM";
/// What runs it.
const WINE: &str = "RDPSCOPE_WINE";

/// The program under Wine, one at a time: two at once wait for one another's desktop.
struct UnderWine {
    wine: PathBuf,
    program: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

/// `None`, after saying so, where there is none.
fn under_wine() -> Option<UnderWine> {
    static TURN: Mutex<()> = Mutex::new(());
    let named = [WINE, PROGRAM].map(|name| std::env::var_os(name).map(PathBuf::from));
    let [Some(wine), Some(program)] = named else {
        say_left_out("no program for Windows is named; tests/other-systems test builds one and runs this");
        return None;
    };
    Some(UnderWine { wine, program, _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) })
}

impl UnderWine {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.wine);
        command.arg(&self.program).env("NO_COLOR", "1");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command();
        command.args(arguments);
        let ran = run_command(command);
        println!("{}\n{}", ran.stderr, ran.stdout);
        ran
    }
}

/// The path of a file of Linux, as Wine shows it.
fn seen_from_windows(path: &Path) -> String {
    format!("Z:{}", path.display().to_string().replace('/', r"\"))
}

#[test]
fn the_demo_tells_its_story() {
    let Some(windows) = under_wine() else { return };
    let ran = windows.run(&["demo"]);
    assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
    for said in ["certificate-expired", "dates", "healthy"] {
        assert!(ran.stdout.contains(said), "{said}:\n{}", ran.stdout);
    }
}

#[test]
fn a_probe_finds_what_the_one_of_this_system_finds() {
    let Some(windows) = under_wine() else { return };
    if left_out_without(&["xrdp"]) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let target = xrdp.address.to_string();
    let ran = windows.run(&["probe", &target, "--json"]);
    let mut here = crate::support::rdpscope::program();
    here.args(["probe", &target, "--json"]);
    let here = run_command(here);
    assert_eq!(ran.exit_code, here.exit_code, "{}", ran.stderr);
    let summary = |ran: &Ran| {
        let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut summaries = lines.filter(|line| line["type"] == "summary");
        summaries.next_back().expect("a summary")
    };
    let [there, here] = [summary(&ran), summary(&here)];
    for fact in ["selected_protocol", "tls_version", "cipher", "certificate", "reached"] {
        assert_eq!(there[fact], here[fact], "{fact}");
    }
}

#[test]
fn a_session_of_a_real_client_and_a_real_server_passes_through() {
    let Some(windows) = under_wine() else { return };
    if left_out_without(&[&Xfreerdp::programs(FreeRdp::Three)[..], &["xrdp"]].concat()) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let arguments = ["--listen", "127.0.0.1:0", "--sessions", "1"];
    let rdpscope = Rdpscope::start_as(windows.command(), &xrdp.address.to_string(), &arguments);
    let client = Xfreerdp::new(FreeRdp::Three, &["/sec:tls", "/u:test", "/p:Right-1234"]);
    let run = client.run(rdpscope.address.port());
    let finished = rdpscope.finish();
    println!("{}", finished.stderr);
    assert!(run.active, "{}", run.tail());
    let session = finished.session();
    session.assert_verdict(&["healthy", "client-closed"]);
    session.assert_reached(&["tcp", "x224", "tls"]);
    finished.assert_nowhere("Right-1234");
}

/// One refused session in a folder whose path is longer than 260 characters, for which mstsc stands in and the event log.
#[test]
fn mstsc_is_opened_its_log_is_read_and_nothing_stays() {
    let Some(windows) = under_wine() else { return };
    let folder = TempDir::new().expect("a temporary folder is made");
    let deep = (0..6)
        .fold(folder.path().to_owned(), |path, _| path.join("a-folder-with-a-name-of-some-fifty-characters"));
    std::fs::create_dir_all(&deep).expect("folders are made");
    let listener = listener();
    let target = listener.local_addr().expect("it has an address").to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("mstsc connects");
        std::io::Read::read(&mut stream, &mut [0; 512]).expect("a request");
        std::io::Write::write_all(&mut stream, &negotiation_failure(5)).expect("an answer");
        std::io::Read::read(&mut stream, &mut [0; 1]).ok();
    });
    let traces = seen_from_windows(&deep);
    let arguments =
        ["proxy", &target, "--listen", "127.0.0.1:0", "--trace", &traces, "--sessions", "1", "--open", "-v"];
    let ran = windows.run(&arguments);
    server.join().expect("the server met its client");
    assert_eq!(ran.exit_code, Some(1), "{}", ran.stderr);
    let rdp = ran.stderr.lines().find(|line| line.starts_with("stand-in: ")).expect("mstsc was opened");
    assert!(rdp.contains("full address:s:127.0.0.1:") && rdp.contains(".rdp"), "{rdp}");
    assert!(ran.stdout.contains("nla-required"), "{}", ran.stdout);
    // Wherever the lines are wrapped.
    let told = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("(1026): the client is disconnected, reason 0x904 (2308)"), "{}", ran.stderr);

    let left: Vec<PathBuf> =
        std::fs::read_dir(&deep).expect("it is there").map(|entry| entry.expect("an entry").path()).collect();
    let [session] = &left[..] else { panic!("a session and no .rdp file: {left:?}") };
    let trace = std::fs::read_to_string(session.join("trace.jsonl")).expect("there is a trace");
    let lines = trace.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let logged: Vec<Value> = lines.filter(|line| line["event"] == "client_log").collect();
    logged.iter().for_each(crate::support::schema::assert_valid);
    let ids: Vec<u64> = logged.iter().filter_map(|entry| entry["event_id"].as_u64()).collect();
    assert_eq!(ids, [1024, 1029, 1026, 36887]);
    assert_eq!(logged[2]["disconnect_reason"], 2308);
    assert!(!trace.contains("Q2FuYXJ5"), "a hash of a user's name");
}

#[test]
fn what_mstsc_does_not_answer_is_explained_all_the_same() {
    let Some(windows) = under_wine() else { return };
    let ran = windows.run(&["explain", "0x904", "0x7", "-v"]);
    assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("socket closed") && ran.stderr.contains("mstsc"), "{}", ran.stderr);
}

#[test]
fn its_build_is_told() {
    let Some(windows) = under_wine() else { return };
    let ran = windows.run(&["--version"]);
    assert!(
        ran.stdout.starts_with("rdpscope ") && ran.stdout.contains("x86_64-pc-windows-gnu"),
        "{}",
        ran.stdout
    );
}

/// Text that goes to a pipe is UTF-8, whatever code page the console has.
#[test]
fn names_of_any_script_pass_and_faults_have_their_codes() {
    let Some(windows) = under_wine() else { return };
    let ran = windows.run(&["probe", NO_NAME]);
    assert_eq!(ran.exit_code, Some(1), "{}", ran.stderr);
    assert!(ran.stdout.contains("dns-failure"), "{}", ran.stdout);
    assert!(!ran.stdout.contains(".."), "Windows' sentences end before ours do: {}", ran.stdout);
    let arguments = ["--listen", "127.0.0.1:0", "--sessions", "1"];
    let rdpscope = Rdpscope::start_as(windows.command(), "ärger.invalid", &arguments);
    let client = std::net::TcpStream::connect(rdpscope.address).expect("it listens");
    let finished = rdpscope.finish();
    drop(client);
    assert_eq!(finished.session().lines()[0]["target"], "ärger.invalid:3389");
}

/// The commands that it prints do what it says, and the way back leads to where it was.
#[test]
fn a_switch_of_the_registry_is_looked_at_set_and_put_back() {
    let Some(windows) = under_wine() else { return };
    let look = || {
        let ran = windows.run(&["rdp", "settings", "RDGClientTransport", "--json"]);
        assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
        serde_json::from_str::<Value>(&ran.stdout).expect("a line of JSON")
    };
    let type_in = |command: &Value| {
        let words = shlex::split(command.as_str().expect("a command")).expect("its quotes end");
        let ran = Command::new(&windows.wine).args(words).output().expect("Wine runs");
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stdout));
    };
    let before = look();
    assert_eq!((&before["present"], &before["known"]), (&Value::Null, &true.into()), "{before}");
    type_in(&before["set"]);
    let meanwhile = look();
    assert_eq!((&meanwhile["present"], &meanwhile["known"]), (&before["trial"], &true.into()), "{meanwhile}");
    type_in(&before["put_back"]);
    assert_eq!(look(), before);
}

/// As a user who presses Ctrl-C, which Wine makes of the signal.
#[test]
fn an_interrupted_session_has_its_verdict() {
    let Some(windows) = under_wine() else { return };
    let listener = listener();
    let target = listener.local_addr().expect("it has an address").to_string();
    let rdpscope = Rdpscope::start_as(windows.command(), &target, &["--listen", "127.0.0.1:0"]);
    let client = std::net::TcpStream::connect(rdpscope.address).expect("it listens");
    let _server = listener.accept().expect("it is relayed to");
    rdpscope.wait_for(|line| line["event"] == "connected");
    rdpscope.signal(rustix::process::Signal::INT);
    let finished = rdpscope.finish();
    drop(client);
    assert_eq!(finished.exit_code, Some(130), "{}", finished.stderr);
    assert_eq!(finished.session().end()["closed_by"], "proxy");
    finished.session().verdict();
}
