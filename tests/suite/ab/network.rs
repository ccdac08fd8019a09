//! Experiments over a network with faults: segments that are too large, and names with an address too many.

use super::{GIVEN_UP_AFTER, Trial, conclusion, verdicts};
use crate::support::certificates::{Certificate, certificates, signed_for_many};
use crate::support::left_out::left_out_without;
use crate::support::netns::{Network, SERVER_NAME, SERVER_V4, SERVER_V6};
use crate::support::peers::{FreeRdp, Xfreerdp, Xrdp, XrdpSetup};
use crate::support::rdpscope::Finished;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, TcpListener};
use std::thread;

const PORT: u16 = 3389;

/// The arm with this address.
fn at(ip: &str) -> String {
    let ip: IpAddr = ip.parse().expect("an address");
    SocketAddr::new(ip, PORT).to_string()
}

fn left_out() -> bool {
    left_out_without(&[&Xfreerdp::programs(FreeRdp::Two)[..], &["xrdp"]].concat())
}

impl Network {
    /// A real server on the server's machine, on its IPv4 address alone.
    fn xrdp(&self, certificate: &Certificate) -> Xrdp {
        let address = SocketAddrV4::new(SERVER_V4.parse().expect("an address"), PORT);
        self.at_server(|| Xrdp::start_at(address, &XrdpSetup { certificate, ..Xrdp::setup() }))
    }

    /// An experiment on the client's machine.
    fn experiment(&self, trial: &Trial<'_>, target: &str, factor: &str) -> Finished {
        trial.run_as(self.rdpscope(), target, &["--vary", factor])
    }
}

#[test]
fn large_segments_that_vanish_are_the_cause() {
    if left_out() {
        return;
    }
    let Some(network) = Network::new() else { return };
    // The flight with the certificate is what is too large for the way back.
    network.fault_at_client("tcp sport 3389 meta length > 1300 drop");
    let _xrdp = network.xrdp(signed_for_many());
    let trial = Trial { given_up_after: Some(GIVEN_UP_AFTER), ..Trial::passing(&["/sec:tls"]) };
    let finished = network.experiment(&trial, SERVER_V4, "mss");
    assert_eq!(conclusion(&finished), ("cause", Some("mss")), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "mss-1200"), ["healthy"; 3]);
    let verdict = finished.line("verdict");
    assert_eq!(
        (verdict["id"].as_str(), verdict["confidence"].as_str()),
        (Some("tls-stalled"), Some("confirmed"))
    );
    assert!(verdict["fix"].as_array().is_some_and(|fix| !fix.is_empty()), "{verdict}");
}

#[test]
fn a_hello_that_is_reset_is_not_a_matter_of_its_size() {
    if left_out() {
        return;
    }
    let Some(network) = Network::new() else { return };
    network.fault("tcp dport 3389 @ih,0,16 0x1603 reject with tcp reset");
    let _xrdp = network.xrdp(&certificates().signed);
    let finished = network.experiment(&Trial::passing(&["/sec:tls"]), SERVER_V4, "mss");
    assert_eq!(conclusion(&finished), ("not-cause", None), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "as-is"), ["server-key-unusable"; 3]);
}

/// A name whose first address has gone to a machine that takes connections and speaks no RDP.
#[test]
fn an_address_of_another_machine_is_the_cause() {
    if left_out() {
        return;
    }
    let Some(network) = Network::new() else { return };
    let _xrdp = network.xrdp(&certificates().signed);
    let other = network.at_server(|| TcpListener::bind((SERVER_V6, PORT)).expect("nobody else is there"));
    // It ends with the test's process: a listener has no other way to be woken.
    thread::spawn(move || other.incoming().for_each(drop));
    let finished = network.experiment(&Trial::passing(&["/sec:tls"]), SERVER_NAME, "address");
    assert_eq!(conclusion(&finished), ("cause", Some(&*at(SERVER_V4))), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, &at(SERVER_V4)), ["healthy"; 3]);
    assert_eq!(finished.line("verdict")["id"], "dns-mismatch");
    assert_eq!(finished.line("verdict")["confidence"], "confirmed");
}

#[test]
fn an_address_where_nobody_listens_is_told_where_another_answers() {
    if left_out() {
        return;
    }
    let Some(network) = Network::new() else { return };
    let _xrdp = network.xrdp(&certificates().signed);
    let finished = network.experiment(&Trial::passing(&["/sec:tls"]), SERVER_NAME, "address");
    assert_eq!(conclusion(&finished), ("not-cause", None), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "name"), ["healthy"; 3]);
    assert_eq!(verdicts(&finished, &at(SERVER_V6)), ["tcp-refused"; 3]);
    let because = finished.line("experiment")["conclusion"]["because"].to_string();
    assert!(because.contains(&format!("fails with the address {}", at(SERVER_V6))), "{because}");
    assert_eq!(finished.exit_code, Some(1), "half of the name is a fault");
}
