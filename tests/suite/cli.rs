//! What users type and what they get: exit codes, sentences, and which of the two outputs says what.

use crate::support::process::{Lines, Process};
use crate::support::rdpscope::{Rdpscope, program};
use crate::support::scripted::Side::Server;
use crate::support::scripted::bytes::{HYBRID, SSL, connection_request, negotiation_failure};
use crate::support::scripted::{Conversation, Ends, listener};
use serde_json::Value;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long a run that does not wait for anybody may take on a machine that also compiles.
const END_WITHIN: Duration = Duration::from_secs(60);

/// A name that no resolver asks anybody about: its first label is longer than a label may be.
const NO_NAME: &str = "a-label-of-more-than-sixty-three-letters-is-no-name-that-any-server-has.invalid";

/// What a run came to.
struct Ran {
    exit_code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(arguments: &[&str]) -> Ran {
    let mut command = program();
    command.args(arguments).env_remove("COLUMNS");
    run_command(command)
}

fn run_command(command: Command) -> Ran {
    let (mut process, stdout) = Process::spawn_apart(command);
    let status = process.wait(END_WITHIN);
    let status = status.unwrap_or_else(|| panic!("it does not end:\n{}", process.output.tail()));
    stdout.wait_for_end(END_WITHIN);
    process.output.wait_for_end(END_WITHIN);
    Ran { exit_code: status.code(), stdout: stdout.all().join("\n"), stderr: process.output.all().join("\n") }
}

impl Ran {
    /// Fails unless it said one sentence on standard error, with this in it, and nothing else.
    fn assert_refused(&self, exit_code: i32, said: &str) {
        let Ran { stdout, stderr, .. } = self;
        assert_eq!(self.exit_code, Some(exit_code), "{stderr}");
        assert!(stderr.starts_with("rdpscope: ") && stderr.lines().count() == 1, "one sentence:\n{stderr}");
        assert!(stderr.contains(said), "{said:?} is not in: {stderr}");
        assert_eq!(stdout, "");
    }
}

/// A run of `proxy` that speaks to a person.
struct Spoken {
    address: SocketAddr,
    process: Process,
    stdout: Lines,
}

/// Starts `proxy` for `target` and waits until it listens.
fn speak(target: SocketAddr, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Spoken {
    let mut command = program();
    command.args(["proxy", &target.to_string(), "--listen", "127.0.0.1:0"]).args(arguments);
    change(&mut command);
    let (process, stdout) = Process::spawn_apart(command);
    let said = process.output.wait_for(END_WITHIN, |line| line.starts_with("listening on "));
    let said = said.unwrap_or_else(|| panic!("it does not listen:\n{}", process.output.tail()));
    let address = said["listening on ".len()..].parse().expect("an address");
    Spoken { address, process, stdout }
}

impl Spoken {
    fn finish(mut self) -> Ran {
        let status = self.process.wait(END_WITHIN).expect("it ends");
        self.stdout.wait_for_end(END_WITHIN);
        self.process.output.wait_for_end(END_WITHIN);
        Ran {
            exit_code: status.code(),
            stdout: self.stdout.all().join("\n"),
            stderr: self.process.output.all().join("\n"),
        }
    }
}

/// A server that insists on NLA, and a client that cannot.
fn refusal() -> Conversation {
    let request = connection_request("alice", SSL | HYBRID);
    Conversation::new().client(request).server(negotiation_failure(5)).finish(Server)
}

fn local(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a listener has an address")
}

mod wrong_usage {
    use super::*;

    #[test]
    fn a_value_that_makes_no_sense_is_named_in_one_sentence() {
        for (arguments, said) in [
            (&["a/b"][..], "has a character that no host name has"),
            (&[":3389"], "names no host"),
            (&["srv10:99999"], "a number from 1 to 65535"),
            (&["[srv10]:3389"], "they hold no IPv6 address"),
            (&["srv10", "--address", "a b"], "--address"),
            (&["srv10", "--listen", "13389"], "not an address to listen on"),
            (&["srv10", "--for", "soon"], "is not a duration"),
            (&["srv10", "--for", "0s"], "is not a duration"),
            (&["srv10", "--sessions", "0"], "not a number of sessions"),
            (&["srv10", "--client", ""], "client command is empty"),
            (&["srv10", "--client", "mstsc {user}"], "{user}"),
            (&["srv10", "--upstream-proxy", "ftp://gate"], "neither http://"),
        ] {
            run(&[&["proxy"], arguments].concat()).assert_refused(2, said);
        }
    }

    #[test]
    fn what_may_be_a_password_is_not_repeated() {
        for arguments in [
            ["--upstream-proxy", "http://user:hunter2@gate"],
            ["--upstream-proxy", "https://user:hunter2@gate"],
            ["--client", "xfreerdp '/p:hunter2"],
        ] {
            let ran = run(&[&["proxy", "srv10"], &arguments[..]].concat());
            ran.assert_refused(2, arguments[0]);
            assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
        }
    }

    #[test]
    fn unknown_words_and_missing_ones_point_at_the_help() {
        for arguments in [
            &["proxy", "srv10", "--frobnicate"][..],
            &["proxy"],
            &["frobnicate"],
            &["explain"],
            &["proxy", "srv10", "--udp", "perhaps"],
            &["proxy", "srv10", "--trace", "x", "--no-trace"],
            &["proxy", "srv10", "-q", "-v"],
        ] {
            let ran = run(arguments);
            assert_eq!((ran.exit_code, &ran.stdout[..]), (Some(2), ""), "{arguments:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("--help"), "{}", ran.stderr);
        }
    }

    #[test]
    fn an_address_that_others_reach_needs_a_second_word() {
        let arguments = ["proxy", "127.0.0.1:9", "--listen", "0.0.0.0:0", "--no-trace", "--for", "1ms"];
        run(&arguments).assert_refused(2, "--allow-remote");
        let ran = run(&[&arguments[..], &["--allow-remote"]].concat());
        assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
        assert!(ran.stderr.contains("listening on 0.0.0.0:"), "{}", ran.stderr);
    }
}

mod cannot_be_done {
    use super::*;

    #[test]
    fn the_port_is_taken() {
        let taken = listener();
        let address = local(&taken).to_string();
        let ran = run(&["proxy", "127.0.0.1:9", "--no-trace", "--listen", &address]);
        ran.assert_refused(3, &format!("cannot listen on {address}"));
        assert!(ran.stderr.contains("--listen"), "{}", ran.stderr);
    }

    #[test]
    fn traces_cannot_be_kept_where_a_file_is() {
        let folder = TempDir::new().expect("a temporary folder is made");
        let file = folder.path().join("a-file");
        std::fs::write(&file, b"here").expect("a file is written");
        let below = file.join("below");
        for path in [&file, &below] {
            let path = path.to_str().expect("a plain path");
            run(&["proxy", "127.0.0.1:9", "--trace", path]).assert_refused(3, "cannot write traces to");
        }
        assert_eq!(std::fs::read(&file).expect("it is still there"), b"here");
    }

    /// Not even root makes folders there.
    #[cfg(target_os = "linux")]
    #[test]
    fn traces_cannot_be_kept_where_nobody_may_write() {
        run(&["proxy", "127.0.0.1:9", "--trace", "/proc/rdpscope"]).assert_refused(3, "--no-trace");
    }

    #[test]
    fn the_client_is_not_installed() {
        let arguments = ["proxy", "127.0.0.1:9", "--no-trace", "--listen", "127.0.0.1:0", "-q"];
        let ran = run(&[&arguments[..], &["--client", "no-such-client-anywhere {host}"]].concat());
        ran.assert_refused(3, "cannot start the client \"no-such-client-anywhere\"");
    }
}

mod sessions {
    use super::*;

    #[test]
    fn a_name_without_an_address_is_a_finding_not_a_failure_of_ours() {
        let rdpscope =
            Rdpscope::start_as(program(), NO_NAME, &["--listen", "127.0.0.1:0", "--sessions", "1"]);
        let client = std::net::TcpStream::connect(rdpscope.address).expect("it listens");
        let finished = rdpscope.finish();
        drop(client);
        assert_eq!(finished.exit_code, Some(1));
        let session = finished.session();
        session.assert_confirmed("dns-failure");
        assert_eq!(session.outcome("dns"), Some("failed"), "{session}");
        assert_eq!(session.event("resolution_failed")["name"], NO_NAME);
        assert_eq!(session.end()["closed_by"], "proxy");
    }

    #[test]
    fn ipv6_on_both_legs() {
        let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
            return crate::support::left_out::say_left_out("this machine has no IPv6");
        };
        let target = local(&listener).to_string();
        let rdpscope = Rdpscope::start_as(program(), &target, &["--listen", "[::1]:0", "--sessions", "1"]);
        refusal().play(Ends::connect(rdpscope.address, &listener));
        let finished = rdpscope.finish();
        finished.session().assert_confirmed("nla-required");
        assert_eq!(finished.session().summary()["server"], target);
    }

    #[test]
    fn json_is_lines_that_name_their_session_and_nothing_else() {
        let listener = listener();
        let rdpscope = Rdpscope::start(local(&listener), 2, &[]);
        // Both at once, so that their lines mix.
        let both = [(); 2].map(|()| Ends::connect(rdpscope.address, &listener));
        both.into_iter().for_each(|ends| refusal().play(ends));
        let finished = rdpscope.finish();
        let [listening, lines @ ..] = &finished.stdout[..] else { panic!("nothing was said") };
        assert_eq!(listening["type"], "listening");
        let named: std::collections::BTreeSet<&str> = lines
            .iter()
            .map(|line| line["session"].as_str().expect("every line names its session"))
            .collect();
        assert_eq!(named.len(), 2, "{named:?}");
        assert_eq!(finished.sessions.len(), 2);
        for session in &finished.sessions {
            let id = &session.lines()[0]["session"];
            let said: Vec<Value> = lines
                .iter()
                .filter(|line| line["session"] == *id)
                .map(|line| without_session(line))
                .collect();
            let kept: Vec<Value> = session.lines().iter().map(without_session).collect();
            assert_eq!(said, kept, "standard output and the trace say the same");
        }
    }

    fn without_session(line: &Value) -> Value {
        let mut line = line.clone();
        line.as_object_mut().expect("a line is an object").remove("session");
        line
    }

    #[test]
    fn results_go_to_standard_output_and_progress_to_standard_error() {
        let listener = listener();
        let spoken = speak(local(&listener), &["--no-trace", "--sessions", "1"], |_| {});
        refusal().play(Ends::connect(spoken.address, &listener));
        let ran = spoken.finish();
        assert_eq!(ran.exit_code, Some(1));
        assert!(ran.stdout.starts_with("VERDICT    nla-required (confirmed)"), "{}", ran.stdout);
        assert!(ran.stderr.contains(" x224         FAIL") || ran.stderr.contains("x224"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("VERDICT"), "{}", ran.stderr);
        assert!(!ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'), "no colour in a pipe");
    }

    #[test]
    fn colour_comes_where_it_is_asked_for() {
        let coloured = |arguments: &[&str], variable: Option<&str>| {
            let listener = listener();
            let arguments = [&["--no-trace", "--sessions", "1"], arguments].concat();
            let spoken = speak(local(&listener), &arguments, |command| {
                command.env_remove("NO_COLOR").envs(variable.map(|name| (name, "1")));
            });
            refusal().play(Ends::connect(spoken.address, &listener));
            let ran = spoken.finish();
            (ran.stdout.contains('\x1b'), ran.stderr.contains('\x1b'))
        };
        assert_eq!(coloured(&["--color", "always"], None), (true, true));
        assert_eq!(coloured(&["--color", "always"], Some("NO_COLOR")), (true, true), "the flag is nearer");
        assert_eq!(coloured(&["--color", "never"], Some("CLICOLOR_FORCE")), (false, false));
        assert_eq!(coloured(&[], Some("CLICOLOR_FORCE")), (true, true));
        assert_eq!(coloured(&[], Some("NO_COLOR")), (false, false));
    }

    #[test]
    fn time_is_up_with_and_without_a_session() {
        let ran = run(&["proxy", "127.0.0.1:9", "--listen", "127.0.0.1:0", "--no-trace", "--for", "1ms"]);
        assert_eq!((ran.exit_code, &ran.stdout[..]), (Some(0), ""), "{}", ran.stderr);

        let listener = listener();
        let target = local(&listener).to_string();
        let rdpscope = Rdpscope::start_as(program(), &target, &["--listen", "127.0.0.1:0", "--for", "2s"]);
        let ends = Ends::connect(rdpscope.address, &listener);
        let finished = rdpscope.finish();
        drop(ends);
        assert_eq!(finished.session().end()["closed_by"], "proxy");
        finished.session().verdict();
    }

    #[test]
    fn a_reader_that_goes_away_does_not_end_the_relay() {
        let listener = listener();
        let mut command = program();
        let target = local(&listener).to_string();
        command.args([
            "proxy",
            &target,
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--no-trace",
            "--sessions",
            "2",
        ]);
        let mut process = Process::spawn_without_reader(command);
        let said = process.output.wait_for(END_WITHIN, |line| line.starts_with("listening on "));
        let address = said.expect("it listens")["listening on ".len()..].parse().expect("an address");
        for _ in 0..2 {
            refusal().play(Ends::connect(address, &listener));
        }
        let status = process.wait(END_WITHIN).expect("it ends");
        assert_eq!(status.code(), Some(1), "{}", process.output.tail());
    }

    #[test]
    fn without_a_trace_nothing_is_left() {
        let home = TempDir::new().expect("a temporary folder is made");
        let listener = listener();
        let spoken = speak(local(&listener), &["--no-trace", "--sessions", "1"], |command| {
            command.env("HOME", home.path()).env("XDG_DATA_HOME", home.path()).current_dir(home.path());
        });
        refusal().play(Ends::connect(spoken.address, &listener));
        assert_eq!(spoken.finish().exit_code, Some(1));
        assert_eq!(std::fs::read_dir(home.path()).expect("it is there").count(), 0);
    }
}

#[cfg(unix)]
mod unix {
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
printf '\003\000\000\023\016\340\000\000\000\000\000\001\000\010\000\003\000\000\000' >&3
cat <&3 >/dev/null
{ echo "$3"; echo "$4"; cat "$3"; } >>"$0.seen"
echo "said by the client"
"#;

    /// Its connection request: TPKT, X.224, RDP_NEG_REQ for TLS and NLA.
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
        let content = format!("full address:s:{address}");
        assert_eq!(seen.len(), 6, "{seen:?}");
        for attempt in seen.chunks(3) {
            assert_eq!(attempt[1..], ["-", &content], "the arm, and what the .rdp file says");
            assert!(!Path::new(attempt[0]).exists(), "{} is gone", attempt[0]);
        }
    }

    #[test]
    fn a_client_that_connects_nowhere_ends_the_run() {
        let client = ["--client", "true"];
        let arguments = ["proxy", "127.0.0.1:9", "--listen", "127.0.0.1:0", "--no-trace", "--sessions", "3"];
        let ran = run(&[&arguments[..], &client].concat());
        assert_eq!((ran.exit_code, &ran.stdout[..]), (Some(0), ""), "{}", ran.stderr);
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
            let arguments =
                ["proxy", &target, "--listen", "127.0.0.1:0", "--no-trace", "--sessions", "1", "-q"];
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
}

mod explain {
    use super::*;

    #[test]
    fn known_codes_are_explained_in_any_spelling() {
        for (arguments, said) in [
            (&["0x904", "0x7"][..], "socket closed"),
            (&["2308"], "socket closed"),
            (&["0x904/0x7"], "socket closed"),
            (&["STATUS_ACCOUNT_LOCKED_OUT"], "lock"),
            (&["0xC0000234"], "lock"),
            (&["-1073741260"], "lock"),
            (&["tls:48"], "unknown_ca"),
        ] {
            let ran = run(&[&["explain"], arguments].concat());
            assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""), "{arguments:?}");
            assert!(ran.stdout.contains(said), "{arguments:?}: {}", ran.stdout);
        }
    }

    #[test]
    fn what_is_no_code_is_wrong_usage() {
        for code in ["?", "0xZZ", "foo:1", ""] {
            run(&["explain", code]).assert_refused(2, "");
        }
    }

    #[test]
    fn what_nobody_knows_could_not_be_done() {
        for code in ["0x99999", "NO_SUCH_NAME", "tls:200"] {
            run(&["explain", code]).assert_refused(3, "rdpscope proxy TARGET");
        }
    }

    #[test]
    fn json_is_one_line() {
        let ran = run(&["explain", "0x904", "0x7", "--json"]);
        assert_eq!((ran.exit_code, ran.stdout.lines().count()), (Some(0), 1));
        let value: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert!(value.is_object(), "{value}");
    }
}

mod screens {
    use super::*;

    #[test]
    fn the_help() {
        let ran = run(&["--help"]);
        assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
        insta::assert_snapshot!(ran.stdout);
    }

    #[test]
    fn the_help_of_proxy() {
        let ran = run(&["proxy", "--help"]);
        assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
        insta::assert_snapshot!(ran.stdout);
    }

    #[test]
    fn the_demo() {
        let mut command = program();
        command.arg("demo");
        for locale in ["LC_ALL", "LC_CTYPE", "LANG"] {
            command.env_remove(locale);
        }
        let ran = run_command(command);
        assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
        assert!(ran.stdout.starts_with("VERDICT    certificate-expired (likely)"), "{}", ran.stdout);
        assert!(ran.stderr.contains("0x904"), "{}", ran.stderr);
        insta::assert_snapshot!(paragraphs(&format!("{}\n----\n{}", ran.stderr, ran.stdout)));
    }

    #[test]
    fn the_demo_for_programs() {
        let ran = run(&["demo", "--json", "-q"]);
        assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
        let verdicts = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let verdicts: Vec<Value> = verdicts.filter(|line| line["type"] == "verdict").collect();
        assert_eq!(verdicts.len(), 1, "{}", ran.stdout);
        assert_eq!(verdicts[0]["id"], "certificate-expired");
    }

    /// Indented so far, a line goes on with the one above it.
    const CONTINUES: &str = "           ";

    /// The text without what differs from run to run: times and their bars, ports, thumbprints, sizes, and where a line
    /// that has them is wrapped.
    fn paragraphs(text: &str) -> String {
        let mut paragraphs: Vec<String> = Vec::new();
        for line in text.lines() {
            match paragraphs.last_mut() {
                Some(last) if line.starts_with(CONTINUES) => last.push_str(&format!(" {}", line.trim())),
                _ => paragraphs.push(line.to_owned()),
            }
        }
        paragraphs.iter().map(|paragraph| steady(paragraph)).collect::<Vec<_>>().join("\n")
    }

    fn steady(paragraph: &str) -> String {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        let mut kept: Vec<String> = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let next = words.get(index + 1).copied().unwrap_or_default();
            let bare = word.trim_end_matches([',', ';', '.']);
            let is_number =
                !bare.is_empty() && bare.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
            let is_bar = word.chars().all(|letter| matches!(letter, '░' | '█'));
            let unit = next.trim_end_matches([',', ';', '.']);
            match *word {
                _ if is_bar && !matches!(next, "waiting" | "for") => {}
                "less"
                    if next == "than" && words.get(index + 3).is_some_and(|unit| unit.starts_with("ms")) => {}
                "than" if index > 0 && words[index - 1] == "less" => {}
                _ if is_number && matches!(unit, "ms" | "s") => kept.push("N".to_owned()),
                _ if is_number && unit == "bytes" => kept.push("N".to_owned()),
                _ => kept.push(thumbprints(&ports(word))),
            }
        }
        kept.join(" ")
    }

    fn ports(word: &str) -> String {
        let Some((before, after)) = word.split_once("127.0.0.1:") else { return word.to_owned() };
        let rest = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
        // The address that every user types is no accident of this run.
        if after.starts_with("13389") { word.to_owned() } else { format!("{before}127.0.0.1:PORT{rest}") }
    }

    /// Forty hexadecimal digits, in a word or as one.
    fn thumbprints(word: &str) -> String {
        const DIGITS: usize = 40;
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let start = (0..word.len()).find(|&start| word.get(start..start + DIGITS).is_some_and(is_hex));
        match start {
            Some(start) => format!("{}THUMBPRINT{}", &word[..start], &word[start + DIGITS..]),
            None => word.to_owned(),
        }
    }
}
