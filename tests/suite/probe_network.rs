//! What `probe` finds on a network that loses what is large.

use crate::support::netns::{Network, SERVER_V4};
use crate::support::scripted::bytes::{SSL, connection_confirm, fatal_alert};
use rdpscope::probe::{Settings, probe};
use rdpscope::relay::target::Target;
use rdpscope::trace::{HelloAnswer, PathCheck, Probe, Record};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const PORT: u16 = 3389;
/// What is lost below is lost for good; what is not is answered within milliseconds, or later on a busy machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// handshake_failure.
const HANDSHAKE_FAILURE: u8 = 40;
/// Bytes of the TPKT header before its length field ends, and of a record's header.
const TPKT_HEADER: usize = 4;
const RECORD_HEADER: usize = 5;

/// Selects TLS and refuses every hello that has arrived whole.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut header = [0; TPKT_HEADER];
    stream.read_exact(&mut header)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    stream.read_exact(&mut vec![0; length - TPKT_HEADER])?;
    stream.write_all(&connection_confirm(SSL))?;
    let mut header = [0; RECORD_HEADER];
    stream.read_exact(&mut header)?;
    stream.read_exact(&mut vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))])?;
    stream.write_all(&fatal_alert(HANDSHAKE_FAILURE))
}

/// The record of a probe from the client's machine to a server that [`serve`]s.
fn probed(network: &Network, settings: &Settings) -> Record {
    let listener = network.at_server(|| TcpListener::bind((SERVER_V4, PORT)).expect("nobody else is there"));
    // It ends with the test's process: a listener has no other way to be woken.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    let target: Target = SERVER_V4.parse().expect("an address is a target");
    network.at_client(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime starts").block_on(probe(&target, settings))
    })
}

fn path(probe: &Probe) -> &PathCheck {
    probe.path.as_ref().expect("the path was tried")
}

fn settings() -> Settings {
    Settings { udp: false, answer_timeout: ANSWER_TIMEOUT, ..Settings::default() }
}

#[test]
fn what_is_larger_than_the_path_takes_vanishes_and_arrives_in_small_segments() {
    let Some(network) = Network::new() else { return };
    network.fault("tcp dport 3389 meta length > 1300 drop");
    let record = probed(&network, &settings());
    let probe = record.probe.as_ref().expect("a probe has found something");
    let path = path(probe);
    assert!(matches!(path.small, HelloAnswer::Alert { description: HANDSHAKE_FAILURE, .. }), "{path:?}");
    assert_eq!(path.large, HelloAnswer::Silent, "{path:?}");
    assert_eq!(path.clamped_mss, Some(1200), "{path:?}");
    assert!(matches!(path.clamped, Some(HelloAnswer::Alert { .. })), "{path:?}");
    assert_eq!(path.large_again, Some(HelloAnswer::Silent), "{path:?}");
    assert_eq!(path.send_mss, Some(1448), "{path:?}");
}

#[test]
fn a_path_that_takes_full_size_segments_is_not_asked_again() {
    let Some(network) = Network::new() else { return };
    let record = probed(&network, &settings());
    let path = path(record.probe.as_ref().expect("a probe has found something"));
    assert!(matches!(path.large, HelloAnswer::Alert { .. }), "{path:?}");
    assert!(path.large_bytes > 4000 && path.small_bytes < 400, "{path:?}");
    assert_eq!((&path.clamped, path.clamped_mss), (&None, None));
}
