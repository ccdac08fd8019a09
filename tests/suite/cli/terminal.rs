//! What is asked at a terminal, and the state in which it is left.

use crate::support::left_out::left_out_without;
use crate::support::process::terminal;
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Reads from the screen until `text` stands there.
fn until_shown(screen: &mut File, text: &str) {
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains(text) {
        let mut more = [0; 256];
        let length = screen.read(&mut more).expect("the program still runs");
        shown.extend_from_slice(&more[..length]);
    }
}

#[test]
fn an_interruption_at_the_password_leaves_a_terminal_that_shows_what_is_typed() {
    if left_out_without(&["setsid"]) {
        return;
    }
    let (mut keyboard, terminal) = terminal();
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_rdpscope")]);
    command.args(["proxy", "127.0.0.1:9", "--cert", "fresh", "--nla", "terminate", "--no-trace"]);
    command.args(["--listen", "127.0.0.1:0"]).stdin(terminal.try_clone().expect("a file is cloned"));
    command.stdout(Stdio::null()).stderr(terminal.try_clone().expect("a file is cloned"));
    let mut child = command.spawn().expect("it starts");
    until_shown(&mut keyboard, "User name");
    keyboard.write_all(b"alice\n").expect("it is typed");
    until_shown(&mut keyboard, "Password");
    let modes = || tcgetattr(&terminal).expect("it is a terminal").local_modes;
    // The question is asked a moment before the terminal is told to show nothing.
    while modes().contains(LocalModes::ICANON) {
        std::thread::yield_now();
    }
    keyboard.write_all(b"\x03").expect("it is typed");
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(130));
    assert!(modes().contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG), "{:?}", modes());
}
