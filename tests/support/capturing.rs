//! Packets written down at one end of a test's own wire, as an admin would: by the program that Wireshark comes with.

use super::left_out::left_out_without;
use super::netns::inside;
use super::process::{LOOK_AGAIN, Process};
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the program may take to begin, and to have written what went by.
const WITHIN: Duration = Duration::from_secs(30);
/// Goes over the wire last, to a port on which nobody listens: when it is in the file, so is everything before it.
const LAST: &[u8] = b"the last packet of this capture";
const DISCARD_PORT: u16 = 9;

/// A capture that is under way.
#[derive(Debug)]
pub(crate) struct Capturing {
    process: Process,
    folder: TempDir,
    machine: String,
    /// Its own address, and that of the other machine.
    addresses: (&'static str, &'static str),
}

impl Capturing {
    /// Begins on `machine` with what passes `filter`; `None`, after saying so, where there is no program for it.
    pub(super) fn start(
        machine: &str,
        addresses: (&'static str, &'static str),
        filter: &str,
    ) -> Option<Self> {
        if left_out_without(&["dumpcap"]) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", machine, "dumpcap", "-i", "wire", "-f", filter, "-w"]);
        command.arg(file(&folder));
        let process = Process::spawn(command);
        let begun = process.output.wait_for(WITHIN, |line| line.starts_with("File: "));
        assert!(begun.is_some(), "dumpcap does not begin: {}", process.output.tail());
        Some(Capturing { process, folder, machine: machine.to_owned(), addresses })
    }

    /// Ends it and hands the file to `read`.
    pub(crate) fn finish<T>(mut self, read: impl FnOnce(&Path) -> T) -> T {
        inside(&self.machine, || {
            let socket = UdpSocket::bind((self.addresses.0, 0)).expect("a port is free");
            socket.send_to(LAST, (self.addresses.1, DISCARD_PORT)).expect("a datagram is sent");
        });
        let deadline = Instant::now() + WITHIN;
        while !self.has_last() {
            assert!(Instant::now() < deadline, "the capture does not come to its end");
            std::thread::sleep(LOOK_AGAIN);
        }
        self.process.end();
        read(&file(&self.folder))
    }

    fn has_last(&self) -> bool {
        let bytes = std::fs::read(file(&self.folder)).expect("the file is there");
        bytes.windows(LAST.len()).any(|window| window == LAST)
    }
}

fn file(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("customer.pcapng")
}
