//! What users type and what they get: exit codes, sentences, and which of the two outputs says what.

#[cfg(target_os = "linux")]
mod hostile;
mod mstsc;
#[cfg(target_os = "linux")]
mod open;
mod screens;
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(unix)]
mod unix;

use crate::support::process::{Lines, Process};
use crate::support::rdpscope::{Rdpscope, program};
use crate::support::scripted::Side::Server;
use crate::support::scripted::bytes::{SSL, connection_request, negotiation_failure};
use crate::support::scripted::{Conversation, Ends, listener};
use serde_json::Value;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long a run that does not wait for anybody may take on a machine that also compiles.
const END_WITHIN: Duration = Duration::from_secs(180);

/// A name that no resolver asks anybody about: its first label is longer than a label may be.
pub(crate) const NO_NAME: &str =
    "a-label-of-more-than-sixty-three-letters-is-no-name-that-any-server-has.invalid";

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) exit_code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    let mut command = program();
    command.args(arguments).env_remove("COLUMNS");
    run_command(command)
}

/// Runs a command to its end.
pub(crate) fn run_command(command: Command) -> Ran {
    run_within(command, END_WITHIN)
}

/// The same where it may take longer.
pub(crate) fn run_within(command: Command, within: Duration) -> Ran {
    let (mut process, stdout) = Process::spawn_apart(command);
    let status = process.wait(within);
    let status = status.unwrap_or_else(|| panic!("it does not end:\n{}", process.output.tail()));
    stdout.wait_for_end(END_WITHIN);
    process.output.wait_for_end(END_WITHIN);
    Ran { exit_code: status.code(), stdout: stdout.all().join("\n"), stderr: process.output.all().join("\n") }
}

impl Ran {
    /// Fails unless it said one sentence on standard error, with this in it, and nothing else.
    pub(crate) fn assert_refused(&self, exit_code: i32, said: &str) {
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
    let request = connection_request("alice", SSL);
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
        for arguments in [
            &["proxy", "anna:hunter2@srv10"][..],
            &["proxy", "srv10", "--gateway", "https://anna:hunter2@gw"],
            &["proxy", "srv10", "--upstream-proxy", "http://anna:hunter2"],
            &["proxy", "srv10", "/p:hunter2"],
            &["run", "srv10", "/p:hunter2"],
            &["probe", "srv10", "/u:anna", "/p:hunter2"],
        ] {
            let ran = run(arguments);
            assert_eq!((ran.exit_code, &ran.stdout[..]), (Some(2), ""), "{arguments:?}: {}", ran.stderr);
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
        run(&["run", "127.0.0.1:9", "--listen", "0.0.0.0:0"])
            .assert_refused(2, "a run is for a client on this one");
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
            let said: Vec<Value> =
                lines.iter().filter(|line| line["session"] == *id).map(without_session).collect();
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
        assert!(ran.stderr.contains("\n x224 "), "{}", ran.stderr);
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
    fn help_and_what_is_wrong_with_the_arguments_are_plain_where_that_is_asked_for() {
        for arguments in [&["--help"][..], &["proxy", "--help"], &["proxy"]] {
            let shown = |color: &[&str]| {
                let mut command = program();
                command.args(arguments).args(color).env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1");
                let ran = run_command(command);
                ran.stdout + &ran.stderr
            };
            assert!(shown(&[]).contains('\x1b'), "{arguments:?}");
            for color in [&["--color", "never"][..], &["--color=never"]] {
                let plain = shown(color);
                assert!(plain.contains("Usage: rdpscope") && !plain.contains('\x1b'), "{plain}");
            }
        }
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
    fn a_verdict_is_explained_by_its_id() {
        let ran = run(&["explain", "certificate-expired"]);
        assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
        assert!(ran.stdout.starts_with("certificate-expired: The client refuses"), "{}", ran.stdout);
        assert!(ran.stdout.contains("rdpscope ab TARGET --vary cert"), "{}", ran.stdout);
        // The TLS alert has nearly the same name.
        let alert = run(&["explain", "certificate_expired"]);
        assert!(alert.stdout.contains("TLS alert 45"), "{}", alert.stdout);
        let json = run(&["explain", "nla-required", "--json"]);
        let line: Value = serde_json::from_str(&json.stdout).expect("JSON");
        assert_eq!(
            (line["type"].as_str(), line["id"].as_str()),
            (Some("cause"), Some("nla-required")),
            "{line}"
        );
    }

    #[test]
    fn what_is_no_code_is_wrong_usage() {
        for code in ["?", "0xZZ", "foo:1", ""] {
            run(&["explain", code]).assert_refused(2, "");
        }
        run(&["explain", "0x904", "closed"]).assert_refused(2, "`closed` is no extended code");
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
