//! Signals, modes of files, clients that run for each attempt, shells.

use super::*;
use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn mode(path: &Path) -> u32 {
    let metadata = std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    metadata.permissions().mode() & 0o777
}

fn only_entry(folder: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(folder).expect("the folder is there");
    let entry = entries.next().expect("something is in it").expect("an entry is read").path();
    assert!(entries.next().is_none(), "one entry in {}", folder.display());
    entry
}

/// The place that the XDG base directory specification names; elsewhere the system has its own.
#[cfg(target_os = "linux")]
#[test]
fn traces_are_kept_with_the_users_data_for_nobody_else() {
    let home = TempDir::new().expect("a temporary folder is made");
    let data = home.path().join("data");
    let listener = listener();
    let spoken = speak(local(&listener), &["--sessions", "1"], |command| {
        command.env("XDG_DATA_HOME", &data);
    });
    refusal().play(Ends::connect(spoken.address, &listener));
    assert_eq!(spoken.finish().exit_code, Some(1));
    let traces = data.join("rdpscope/traces");
    let session = only_entry(&traces);
    let trace = only_entry(&session);
    assert_eq!(trace.file_name(), Some("trace.jsonl".as_ref()));
    assert_eq!([mode(&data), mode(&traces), mode(&session), mode(&trace)], [0o700, 0o700, 0o700, 0o600]);
}

fn interrupted_by(signal: Signal) {
    let listener = listener();
    let target = local(&listener).to_string();
    let rdpscope = Rdpscope::start_as(program(), &target, &["--listen", "127.0.0.1:0"]);
    let ends = Ends::connect(rdpscope.address, &listener);
    rdpscope.wait_for(|line| line["event"] == "connected");
    rdpscope.signal(signal);
    let finished = rdpscope.finish();
    drop(ends);
    assert_eq!(finished.exit_code, Some(130), "{}", finished.stderr);
    let session = finished.session();
    session.verdict();
    session.summary();
    assert_eq!(session.end()["closed_by"], "proxy", "{session}");
}

#[test]
fn ctrl_c_ends_sessions_with_a_verdict() {
    interrupted_by(Signal::INT);
}

#[test]
fn a_service_manager_ends_sessions_with_a_verdict() {
    interrupted_by(Signal::TERM);
}

#[test]
fn an_interruption_before_any_session_is_one_too() {
    let rdpscope = Rdpscope::start_as(program(), "127.0.0.1:9", &["--listen", "127.0.0.1:0"]);
    rdpscope.signal(Signal::INT);
    let finished = rdpscope.finish();
    assert_eq!((finished.exit_code, finished.sessions.len()), (Some(130), 0), "{}", finished.stderr);
}

/// Asks for a connection as an RDP client does, waits for the end of the answer, then writes down what it was
/// given and the .rdp file.
const CLIENT: &str = r#"
set -e
exec 3<>"/dev/tcp/$1/$2"
printf '\003\000\000\023\016\340\000\000\000\000\000\001\000\010\000\001\000\000\000' >&3
cat <&3 >/dev/null
{ echo "$3"; echo "$4"; cat "$3"; } >>"$0.seen"
echo "said by the client"
"#;

/// Its connection request: TPKT, X.224, RDP_NEG_REQ for TLS without NLA.
const CLIENT_REQUEST: usize = 19;

/// Answers `count` clients that NLA is required.
fn refuse_clients(listener: &TcpListener, count: usize) {
    for _ in 0..count {
        let (mut stream, _) = listener.accept().expect("a client comes");
        stream.read_exact(&mut [0; CLIENT_REQUEST]).expect("it asks");
        stream.write_all(&negotiation_failure(5)).expect("it is answered");
    }
}

#[test]
fn a_client_runs_for_each_attempt_with_an_rdp_file_of_its_own() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let script = folder.path().join("client");
    std::fs::write(&script, CLIENT).expect("a script is written");
    let listener = listener();
    let client = format!("bash {} {{host}} {{port}} {{rdp}} {{arm}}", script.display());
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| refuse_clients(&listener, 2));
        let mut command = program();
        command.args(["proxy", &local(&listener).to_string(), "--listen", "127.0.0.1:0", "--json"]);
        command.args(["--no-trace", "--sessions", "2", "--client", &client]);
        command.env("TMPDIR", folder.path());
        run_command(command)
    });
    assert_eq!(ran.exit_code, Some(1), "{}", ran.stderr);
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert_eq!(lines.iter().filter(|line| line["id"] == "nla-required").count(), 2, "{}", ran.stdout);
    assert_eq!(ran.stderr.matches("said by the client").count(), 2, "{}", ran.stderr);

    let address = lines[0]["address"].as_str().expect("an address");
    let seen = std::fs::read_to_string(folder.path().join("client.seen")).expect("the client ran");
    let seen: Vec<&str> = seen.lines().collect();
    let full_address = format!("full address:s:{address}");
    assert_eq!(seen.len(), 8, "{seen:?}");
    for attempt in seen.chunks(4) {
        let expected = ["-", &full_address, "authentication level:i:2"];
        assert_eq!(attempt[1..], expected, "the arm, and what the .rdp file says");
        assert!(!Path::new(attempt[0]).exists(), "{} is gone", attempt[0]);
    }
}

#[test]
fn a_client_that_connects_nowhere_ends_the_run() {
    let client = ["--client", "true"];
    let arguments = ["proxy", "127.0.0.1:9", "--listen", "127.0.0.1:0", "--no-trace", "--sessions", "3"];
    let ran = run(&[&arguments[..], &client].concat());
    assert_eq!((ran.exit_code, &ran.stdout[..]), (Some(3), ""), "{}", ran.stderr);
    let said = "the client \"true\" ended with exit code 0 and never connected to 127.0.0.1:";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

/// A device on which every write fails for want of room.
#[cfg(target_os = "linux")]
#[test]
fn results_that_cannot_be_written_are_not_lost_in_silence() {
    for arguments in [&["explain", "0x904"][..], &["explain", "0x904", "--json"], &["completions", "bash"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let mut command = program();
        command.args(arguments).stdout(full);
        let ran = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(3), "{said}");
        assert!(said.starts_with("rdpscope: cannot write to standard output: "), "{said}");
    }
}

#[test]
fn quiet_leaves_the_verdict() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let script = folder.path().join("client");
    std::fs::write(&script, CLIENT).expect("a script is written");
    let listener = listener();
    let client = format!("bash {} {{host}} {{port}} {{rdp}} {{arm}} 1>&-", script.display());
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| refuse_clients(&listener, 1));
        let target = local(&listener).to_string();
        let arguments = ["proxy", &target, "--listen", "127.0.0.1:0", "--no-trace", "--sessions", "1", "-q"];
        run(&[&arguments[..], &["--client", &client]].concat())
    });
    assert_eq!(ran.exit_code, Some(1), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("VERDICT    nla-required"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "said by the client", "nothing but what the client says");
}

#[test]
fn a_shell_accepts_the_completions() {
    let ran = run(&["completions", "bash"]);
    assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
    let folder = TempDir::new().expect("a temporary folder is made");
    let script = folder.path().join("rdpscope.bash");
    std::fs::write(&script, &ran.stdout).expect("a script is written");
    let checked = Command::new("bash").arg("-n").arg(&script).output().expect("bash runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let asked = format!(". {}; complete -p rdpscope", script.display());
    let asked = Command::new("bash").args(["-c", &asked]).output().expect("bash runs");
    assert!(String::from_utf8_lossy(&asked.stdout).contains("rdpscope"), "they complete rdpscope");
}

#[test]
fn completions_for_a_reader_that_goes_away_are_no_panic() {
    let mut command = program();
    command.args(["completions", "zsh"]);
    let mut process = Process::spawn_without_reader(command);
    let status = process.wait(END_WITHIN).expect("it ends");
    process.output.wait_for_end(END_WITHIN);
    assert_eq!((status.code(), &process.output.tail()[..]), (Some(0), ""));
}
