//! Two machines and the network between them, made of network namespaces, with faults on the way.

use super::capturing::Capturing;
use super::left_out::{program, say_left_out};
use super::rdpscope;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where iproute2 keeps the names of namespaces.
const NAMES: &str = "/run/netns";
/// Where iproute2 looks for files that a namespace has instead of those in /etc.
const FILES: &str = "/etc/netns";

/// A machine's end of the wire.
struct Machine {
    link: &'static str,
    v4: &'static str,
    v6: &'static str,
}

/// Where the client and rdpscope are.
const CLIENT: Machine = Machine { link: "02:00:00:00:00:01", v4: "10.99.0.1/24", v6: "fd99::1/64" };
/// Where the server is.
const SERVER: Machine = Machine { link: "02:00:00:00:00:02", v4: "10.99.0.2/24", v6: "fd99::2/64" };

/// The client's IPv4 address.
pub(crate) const CLIENT_V4: &str = "10.99.0.1";
const CLIENT_V6: &str = "fd99::1";
/// How long the system may take to find that a wire has both its ends.
const UP_WITHIN: Duration = Duration::from_secs(20);
/// How often it is asked: it tells nobody who could wait for it across namespaces.
const ASKED_EVERY: Duration = Duration::from_millis(5);
/// The server's IPv4 address.
pub(crate) const SERVER_V4: &str = "10.99.0.2";
/// The server's IPv6 address.
pub(crate) const SERVER_V6: &str = "fd99::2";
/// A name with both addresses, as the client's machine knows it.
pub(crate) const SERVER_NAME: &str = "srv10.corp.example";

/// Two machines on one wire; dropping it takes everything away.
#[derive(Debug)]
pub(crate) struct Network {
    client: String,
    server: String,
}

impl Network {
    /// A network of its own for a test; `None`, after saying so, where the system does not let us make one.
    pub(crate) fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if let Some(missing) = ["ip", "nft"].iter().find(|name| program(name).is_none()) {
            say_left_out(&format!("{missing} is not installed"));
            return None;
        }
        let name = format!("rdpscope-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let network = Network { client: format!("{name}-client"), server: format!("{name}-server") };
        let made = network.make();
        if let Err(reason) = &made {
            say_left_out(&format!("no network namespaces here: {reason}"));
        }
        made.ok().map(|()| network)
    }

    fn make(&self) -> Result<(), String> {
        let machines = [(&self.client, &CLIENT), (&self.server, &SERVER)];
        for (name, _) in machines {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        let end = ["link", "add", "wire", "address", CLIENT.link, "type", "veth"];
        let other_end = ["peer", "name", "wire", "address", SERVER.link, "netns", &self.server];
        ip(&[&["-n", &self.client], &end[..], &other_end].concat())?;
        for (name, machine) in machines {
            ip(&["-n", name, "address", "add", machine.v4, "dev", "wire"])?;
            ip(&["-n", name, "address", "add", machine.v6, "dev", "wire", "nodad"])?;
            // Segments as they would be on a real wire, not several in one.
            ip(&["-n", name, "link", "set", "wire", "gso_max_segs", "1"])?;
            ip(&["-n", name, "link", "set", "wire", "up"])?;
        }
        // Neighbours know each other: a new wire loses the first question of IPv6, and the second comes a second later.
        let neighbours = [(SERVER_V4, SERVER_V6, SERVER.link), (CLIENT_V4, CLIENT_V6, CLIENT.link)];
        for ((name, _), (v4, v6, link)) in machines.into_iter().zip(neighbours) {
            for neighbour in [v4, v6] {
                ip(&["-n", name, "neighbour", "replace", neighbour, "lladdr", link, "dev", "wire"])?;
            }
        }
        for (name, _) in machines {
            until_up(name)?;
        }
        self.write_names().map_err(|error| format!("{}: {error}", self.files().display()))
    }

    fn files(&self) -> PathBuf {
        PathBuf::from(FILES).join(&self.client)
    }

    fn write_names(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(self.files())?;
        let hosts = format!("127.0.0.1 localhost\n{SERVER_V6} {SERVER_NAME}\n{SERVER_V4} {SERVER_NAME}\n");
        std::fs::write(self.files().join("hosts"), hosts)?;
        std::fs::write(self.files().join("nsswitch.conf"), "hosts: files\n")
    }

    /// From now on the client's machine knows these names, as lines of a hosts file, and no others.
    pub(crate) fn names(&self, hosts: &str) {
        // The same file, which programs that run there have in the place of their own.
        std::fs::write(self.files().join("hosts"), hosts).expect("the names are written");
    }

    /// What the server's side does with packets that come in: a rule of nftables.
    pub(crate) fn fault(&self, rule: &str) {
        Self::fault_at(&self.server, rule);
    }

    /// The same of the client's side.
    pub(crate) fn fault_at_client(&self, rule: &str) {
        Self::fault_at(&self.client, rule);
    }

    fn fault_at(machine: &str, rule: &str) {
        let hook = "type filter hook input priority 0; policy accept;";
        let ruleset = format!("table inet faults {{\nchain input {{\n{hook}\n{rule}\n}}\n}}\n");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", machine, "nft", "-f", "-"]).stdin(Stdio::piped());
        let mut nft = command.stdout(Stdio::null()).spawn().expect("nft starts");
        let mut input = nft.stdin.take().expect("its input is a pipe");
        input.write_all(ruleset.as_bytes()).expect("nft reads");
        drop(input);
        assert!(nft.wait().expect("nft ends").success(), "nft takes {rule:?}");
    }

    /// From now on what the client's side sends leaves at this rate, in the words of `tc`, and waits for its turn.
    pub(crate) fn narrow(&self, rate: &str) {
        let queue = ["netns", "exec", &self.client, "tc", "qdisc", "add", "dev", "wire", "root", "tbf"];
        // So small a burst that a client's first message already waits.
        ip(&[&queue[..], &["rate", rate, "burst", "600", "latency", "60s"]].concat()).expect("tc takes it");
    }

    /// The program under test on the client's machine.
    pub(crate) fn rdpscope(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.client]).arg(rdpscope::program().get_program());
        command
    }

    /// Begins to write down what goes over the wire at the client's end.
    pub(crate) fn capture_at_client(&self) -> Option<Capturing> {
        self.capture_at_client_what("")
    }

    /// The same of what passes this filter of libpcap.
    pub(crate) fn capture_at_client_what(&self, filter: &str) -> Option<Capturing> {
        Capturing::start(&self.client, (CLIENT_V4, SERVER_V4), filter)
    }

    /// The same at the server's end.
    pub(crate) fn capture_at_server(&self) -> Option<Capturing> {
        Capturing::start(&self.server, (SERVER_V4, CLIENT_V4), "")
    }

    /// Does something on the client's machine: sockets that it opens are there and stay there.
    pub(crate) fn at_client<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        inside(&self.client, action)
    }

    /// The same on the server's machine.
    pub(crate) fn at_server<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        inside(&self.server, action)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for machine in [&self.client, &self.server] {
            // Where making it failed half-way there is nothing to take away.
            let _ = ip(&["netns", "delete", machine]);
        }
        let _ = std::fs::remove_dir_all(self.files());
        // The folder itself, once no other test has anything in it.
        let _ = std::fs::remove_dir(FILES);
    }
}

/// A namespace belongs to a thread, so this is one that does nothing else.
pub(super) fn inside<T: Send>(machine: &str, action: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(PathBuf::from(NAMES).join(machine)).expect("the namespace has its name");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("the thread moves into the namespace");
            action()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Waits until the machine sends on its wire: before that the system throws packets away.
fn until_up(machine: &str) -> Result<(), String> {
    let deadline = Instant::now() + UP_WITHIN;
    loop {
        let shown = Command::new("ip").args(["-n", machine, "-o", "link", "show", "wire"]).output();
        let shown = shown.map_err(|error| error.to_string())?;
        if String::from_utf8_lossy(&shown.stdout).contains(" state UP ") {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("the wire of {machine} does not come up"));
        }
        std::thread::sleep(ASKED_EVERY);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    run(Command::new("ip").args(arguments))
}

fn run(command: &mut Command) -> Result<(), String> {
    let Output { status, stderr, .. } = command.output().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&stderr).trim().to_owned()) }
}
