//! The UDP side channel: a scripted client that believes in it, and does not reach its desktop where it fails.

use super::faults::scripted;
use super::parts;
use crate::support::gateway::udp::{Attempt, UdpSide, attempt};
use crate::support::gateway::{Channel, Client, Gateway, Logon, PASSWORD, Setup, Tunnel, USER};
use crate::support::peers::{FreeRdp, Xfreerdp};
use crate::support::process::Process;
use crate::support::scripted::listener;
use base64::prelude::{BASE64_STANDARD, Engine};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Makes this test program a client of the gateway at this address.
const ADDRESS_VARIABLE: &str = "RDPSCOPE_SCRIPTED_GATEWAY_CLIENT";
/// Its test that is the client.
const PROGRAM: &str = "gateway_peers::udp::the_scripted_client_as_a_program";
/// How long the client waits for an answer over UDP.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long it may take until it is done, Xvfb and a desktop of FreeRDP's included.
const DONE_WITHIN: Duration = Duration::from_secs(60);

const CORRELATION_ID: [u8; 16] = [0x1D; 16];

/// What the client said last.
const REACHED: &str = "it reached the desktop";
const GAVE_UP: &str = "it gave up";

/// Opens a WebSocket and a channel, then UDP where the gateway announces it, and then a desktop: that of FreeRDP, whose
/// bytes it carries. The answer is what it came to.
fn run_client(gateway: SocketAddr) -> &'static str {
    let mut client = Client::connect(gateway);
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let head = client.upgrade(Some(&basic)).expect("a head");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let channel = client.open("server.example", 3389).expect("a tunnel");
    assert_eq!(channel.error, 0);
    if let Some((port, _cookie)) = channel.udp {
        let attempt = attempt((gateway.ip(), port).into(), CORRELATION_ID, PATIENCE);
        println!("over UDP: {attempt:?}");
        if attempt != Attempt::Answered {
            return GAVE_UP;
        }
    }
    let listener = listener();
    let own_port = listener.local_addr().expect("a listener has an address").port();
    let desktop =
        std::thread::spawn(move || Xfreerdp::new(FreeRdp::Two, &["/sec:tls", "/u:a", "/p:b"]).run(own_port));
    let (local, _) = listener.accept().expect("FreeRDP connects");
    if let Err(error) = client.carry(local) {
        println!("the session ends: {error}");
    }
    let run = desktop.join().expect("FreeRDP runs");
    println!("{}", run.summary());
    if run.active { REACHED } else { GAVE_UP }
}

/// The scripted client as a command for `--client`, by a script in `folder`.
pub(crate) fn scripted_client(folder: &Path) -> String {
    let program = std::env::current_exe().expect("a program knows its file");
    let script = folder.join("gateway-client.sh");
    let text = format!(
        "exec env {ADDRESS_VARIABLE}=$1:$2 {} --exact {PROGRAM} --nocapture --test-threads 1\n",
        program.display()
    );
    std::fs::write(&script, text).expect("the script is written");
    format!("sh {} {{host}} {{port}}", script.display())
}

#[test]
fn the_scripted_client_as_a_program() {
    if let Ok(address) = std::env::var(ADDRESS_VARIABLE) {
        println!("{}", run_client(address.parse().expect("an address")));
    }
}

/// A gateway with one account that carries everybody to `target`, and announces a UDP port.
fn gateway(target: SocketAddr, udp: Option<u16>) -> Gateway {
    Gateway::start(carrying(target, udp))
}

/// How such a gateway is set up.
pub(crate) fn carrying(target: SocketAddr, udp: Option<u16>) -> Setup<'static> {
    let logon = Logon { schemes: vec!["Basic"], ..Logon::default() };
    let udp = udp.map(|port| (port, b"cookie-canary".repeat(100)));
    let tunnel = Tunnel { target: Some(target), udp, ..Tunnel::default() };
    Setup { logon, tunnel, ..Setup::default() }
}

#[test]
fn the_scripted_client_reaches_its_desktop_only_where_udp_does_not_fail() {
    let Some((xrdp, _)) = parts(FreeRdp::Two) else { return };
    let (answering, black_hole) = (UdpSide::start(true), UdpSide::start(false));
    let ports = [
        (Some(answering.address.port()), REACHED),
        (Some(black_hole.address.port()), GAVE_UP),
        (Some(UdpSide::closed_port()), GAVE_UP),
        (None, REACHED),
    ];
    let folder = TempDir::new().expect("a temporary folder is made");
    for (port, ending) in ports {
        let gateway = gateway(xrdp.address, port);
        let client = scripted_client(folder.path());
        let client = client.replace("{host}", "127.0.0.1");
        let client = client.replace("{port}", &gateway.address.port().to_string());
        let mut words = client.split(' ');
        let mut command = Command::new(words.next().expect("a command has a word"));
        command.args(words);
        let process = Process::spawn(command);
        let ended =
            process.output.wait_for(DONE_WITHIN, |line| line.ends_with(REACHED) || line.ends_with(GAVE_UP));
        assert!(ended.is_some_and(|line| line.ends_with(ending)), "{port:?}\n{}", process.output.tail());
    }
    let hellos = black_hole.received();
    assert!(hellos.len() >= 2, "it is sent again: {}", hellos.len());
    assert!(hellos[0].ends_with(&[&[0xAA, 0x1D][..], &CORRELATION_ID, &[0x1D, 0xAA, 26, 0]].concat()));
}

#[test]
fn a_udp_channel_is_announced_where_both_can() {
    let listener = listener();
    let target = listener.local_addr().expect("a listener has an address");
    let cookie = vec![0x30; 1433];
    for (capabilities, announced) in [(0x3F, Some((3391, cookie.clone()))), (0x1F, None)] {
        let (mut client, _gateway) = scripted(|setup| {
            setup.tunnel.capabilities = capabilities;
            setup.tunnel.udp = Some((3391, cookie.clone()));
        });
        client.upgrade(None).expect("a head");
        let channel = client.open(&target.ip().to_string(), target.port());
        assert_eq!(channel, Ok(Channel { error: 0, udp: announced }));
    }
}
