//! Nothing that a terminal obeys, or that a reader does not see, is said: whoever chose the names.

use super::{END_WITHIN, Ran, local, run, speak};
use crate::support::certificates::hostile;
use crate::support::rdpscope::program;
use crate::support::scripted::Side::{Client, Server};
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request};
use crate::support::scripted::tls::{Handshake, Trust};
use crate::support::scripted::{Conversation, Ends, listener};
use rustls::version::TLS12;
use std::path::Path;
use tempfile::TempDir;

/// It clears the screen, sets the title, begins a sequence as C1 has it, and turns the direction of writing.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;ran\u{7}\u{9b}1m\u{202e}fdp.exe";

fn assert_harmless(ran: &Ran, what: &str) {
    for said in [&ran.stdout, &ran.stderr] {
        let obeyed =
            said.chars().find(|c| c.is_control() && *c != '\n' || matches!(c, '\u{202a}'..='\u{202e}'));
        assert_eq!(obeyed, None, "{what}: {said:?}");
    }
    assert!(!ran.stdout.is_empty() || !ran.stderr.is_empty(), "{what} says nothing");
}

/// A file with this content in a folder of this test; its name is as hostile as a file system takes it.
fn file(folder: &TempDir, ending: &str, content: &[u8]) -> String {
    let path = folder.path().join(format!("{HOSTILE}.{ending}"));
    std::fs::write(&path, content).expect("a file is written");
    path.to_str().expect("a path is text").to_owned()
}

#[test]
fn names_of_files_and_words_are_shown_and_not_obeyed() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let missing = format!("{}/{HOSTILE}", folder.path().display());
    let listed = format!("@{}", file(&folder, "txt", format!("{HOSTILE} {HOSTILE}\n").as_bytes()));
    let profile = format!("full address:s:{HOSTILE}\r\n{HOSTILE}\r\nusername:i:{HOSTILE}\r\n");
    let profile = file(&folder, "rdp", profile.as_bytes());
    let certificate = std::fs::read(hostile().certificate_file).expect("the certificate is there");
    let certificate = file(&folder, "pem", &certificate);
    let broken = file(&folder, "jsonl", format!("{{\"type\":\"{HOSTILE}\"}}\n").as_bytes());
    let flag = format!("--{HOSTILE}");
    let commands: [&[&str]; 15] = [
        &["explain", HOSTILE],
        &["analyze", &missing],
        &["report", &missing],
        &["report", &broken],
        &["bundle", "--verify", &missing],
        &["bundle", "--verify", &profile, "--json"],
        &["cert", "show", &certificate],
        &["cert", "show", &certificate, "--json"],
        &["rdp", "lint", &profile],
        &["rdp", "lint", &profile, "--json"],
        &["probe", &listed],
        &["proxy", HOSTILE, "--trace", &missing, "--for", "1ms"],
        &["proxy", "127.0.0.1:9", &flag],
        &["proxy", "127.0.0.1:9", "--impair", HOSTILE],
        &["ab", "127.0.0.1:9", "--vary", HOSTILE],
    ];
    for arguments in commands {
        assert_harmless(&run(arguments), &format!("{arguments:?}"));
    }
}

/// A trace that somebody else recorded, or made up.
#[test]
fn a_trace_with_such_names_is_shown_and_not_obeyed() {
    let recorded = include_str!("../../../examples/traces/certificate-expired.jsonl");
    let escaped = HOSTILE.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<String>();
    let target = recorded.split("\"target\":\"").nth(1).and_then(|rest| rest.split(['"', ':']).next());
    let trace = recorded.replace(target.expect("a trace has a target"), &escaped);
    let folder = TempDir::new().expect("a temporary folder is made");
    let path = file(&folder, "jsonl", trace.as_bytes());
    for arguments in [&["report", &path][..], &["report", &path, "-v"], &["report", &path, "--json"]] {
        let ran = run(arguments);
        assert_harmless(&ran, &format!("{arguments:?}"));
        assert!(ran.stdout.contains("fdp.exe"), "it is shown: {}", ran.stdout);
    }
}

/// A session, with all that is told of it while it runs, in text and in JSON.
#[test]
fn names_from_the_wire_are_shown_and_not_obeyed() {
    let flights = Handshake::new(&TLS12, &hostile(), Trust::Anything).flights();
    let conversation = Conversation::new()
        .client(connection_request(HOSTILE, SSL))
        .server(connection_confirm(SSL))
        .send_all(flights)
        .finish(Server)
        .finish(Client);
    for arguments in
        [&["--no-trace", "--sessions", "1", "-v"][..], &["--no-trace", "--sessions", "1", "--json"]]
    {
        let listener = listener();
        let spoken = speak(local(&listener), arguments, |_| {});
        conversation.play(Ends::connect(spoken.address, &listener));
        assert_harmless(&spoken.finish(), &format!("{arguments:?}"));
    }
}

/// A program that was told to write colours writes those, and nothing that a name wants.
#[test]
fn colours_are_ours_alone() {
    let mut command = program();
    command.args(["--color", "always", "analyze", &format!("/no/{HOSTILE}")]);
    let ran = super::run_within(command, END_WITHIN);
    assert!(ran.stderr.contains("\\x1b[2J") && !ran.stderr.contains("\u{1b}[2J"), "{:?}", ran.stderr);
    assert!(!Path::new("/no").exists());
}
