//! Each factor but the certificate, with real peers: where it is the cause, where it is not, and where nobody can tell.

use super::{GIVEN_UP_AFTER, Trial, WRONG_PASSWORD, assert_traced, conclusion, experiment, verdicts};
use crate::support::left_out::left_out_without;
use crate::support::peers::{FreeRdp, Shadow, ShadowSecurity, Xfreerdp, Xrdp, XrdpSetup};
use crate::support::rdpscope::Finished;
use crate::support::scripted::listener;
use rdpscope::wire::tls::ClientHello;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

fn because(finished: &Finished) -> String {
    finished.line("experiment")["conclusion"]["because"].to_string()
}

fn left_out(server: &[&'static str]) -> bool {
    left_out_without(&[&Xfreerdp::programs(FreeRdp::Two)[..], server].concat())
}

#[test]
fn nla_that_cannot_be_passed_is_the_cause() {
    if left_out(&Shadow::programs(FreeRdp::Three)) {
        return;
    }
    let shadow = Shadow::start(FreeRdp::Three, ShadowSecurity::AnyWithLogon);
    let trial = Trial { logon: WRONG_PASSWORD, ..Trial::new(&[]) };
    let finished = trial.run(shadow.address, &["--vary", "nla"]);
    assert_eq!(conclusion(&finished), ("cause", Some("nla")), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "strip"), ["healthy"; 3]);
    let verdict = finished.line("verdict");
    assert_eq!(
        (verdict["confidence"].as_str(), verdict["phase"].as_str()),
        (Some("confirmed"), Some("credssp"))
    );
    assert!(verdict["summary"].to_string().contains("without NLA it works"), "{verdict}");
    assert!(verdict["fix"].as_array().is_some_and(|fix| !fix.is_empty()), "{verdict}");
    assert_eq!(finished.exit_code, Some(1));
    assert_traced(&finished);
}

/// xfreerdp 2 hangs over the UDP that shadow 3 offers, with NLA and without.
#[test]
fn a_session_that_hangs_behind_nla_is_not_a_matter_of_nla() {
    if left_out(&Shadow::programs(FreeRdp::Three)) {
        return;
    }
    let shadow = Shadow::start(FreeRdp::Three, ShadowSecurity::Any);
    let trial = Trial { given_up_after: Some(GIVEN_UP_AFTER), ..Trial::new(&["+multitransport"]) };
    let finished = trial.run(shadow.address, &["--vary", "nla"]);
    assert_eq!(conclusion(&finished), ("not-cause", None), "{}", finished.stderr);
    assert_eq!(finished.exit_code, Some(1), "that nobody names a fault does not make it healthy");
    assert_traced(&finished);
}

#[test]
fn nla_that_the_server_demands_cannot_be_left_out() {
    if left_out(&Shadow::programs(FreeRdp::Two)) {
        return;
    }
    let shadow = Shadow::start(FreeRdp::Two, ShadowSecurity::Nla);
    for (client, logon, verdict) in
        [(&[][..], WRONG_PASSWORD, "server-closed"), (&["/sec:tls"], super::LOGON, "nla-required")]
    {
        let trial = Trial { logon, ..Trial::new(client) };
        let finished = trial.run(shadow.address, &["--vary", "nla"]);
        assert_eq!(conclusion(&finished), ("inconclusive", None), "{}", finished.stderr);
        assert!(because(&finished).contains("lets nobody in without NLA"), "{}", because(&finished));
        assert_eq!(verdicts(&finished, "relay"), [verdict; 3]);
        assert_eq!(verdicts(&finished, "strip"), ["nla-required"; 3]);
        assert_eq!(finished.exit_code, Some(1), "the session fails all the same");
    }
}

#[test]
fn udp_over_which_a_client_hangs_is_the_cause() {
    if left_out(&Shadow::programs(FreeRdp::Three)) {
        return;
    }
    let shadow = Shadow::start(FreeRdp::Three, ShadowSecurity::Tls);
    let client = ["/sec:tls", "+multitransport"];
    let trial = Trial { given_up_after: Some(GIVEN_UP_AFTER), ..Trial::new(&client) };
    let finished = trial.run(shadow.address, &["--vary", "udp", "--cert", "fresh"]);
    assert_eq!(conclusion(&finished), ("cause", Some("udp")), "{}", finished.stderr);
    let verdict = finished.line("verdict");
    assert_eq!(
        (verdict["id"].as_str(), verdict["confidence"].as_str()),
        (Some("udp-blocked"), Some("confirmed"))
    );
    let fixes = verdict["fix"].as_array().expect("fixes");
    assert!(
        !fixes.is_empty() && fixes.iter().all(|fix| fix["where"] == "client"),
        "no datagram was lost: {verdict}"
    );
    assert_traced(&finished);
}

#[test]
fn udp_that_is_offered_inside_tls_is_not_acquitted_by_a_closed_port() {
    if left_out(&Shadow::programs(FreeRdp::Three)) {
        return;
    }
    let shadow = Shadow::start(FreeRdp::Three, ShadowSecurity::Tls);
    let client = ["/sec:tls", "+multitransport"];
    let trial = Trial { given_up_after: Some(GIVEN_UP_AFTER), ..Trial::new(&client) };
    let finished = trial.run(shadow.address, &["--vary", "udp"]);
    assert_eq!(conclusion(&finished), ("inconclusive", None), "{}", finished.stderr);
    assert!(because(&finished).contains("Repeat it with --cert fresh"), "{}", because(&finished));
}

/// What a TPKT packet or a TLS record holds behind its first bytes.
fn read_packet(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut packet = vec![0; 5];
    stream.read_exact(&mut packet)?;
    let is_tpkt = packet[0] == 3;
    let length = if is_tpkt { [packet[2], packet[3]] } else { [packet[3], packet[4]] };
    let rest = usize::from(u16::from_be_bytes(length)) - if is_tpkt { packet.len() } else { 0 };
    packet.resize(5 + rest, 0);
    stream.read_exact(&mut packet[5..])?;
    Ok(packet)
}

/// Relays one connection, unless its ClientHello offers TLS 1.3.
fn inspect(mut client: TcpStream, server: SocketAddr) -> std::io::Result<()> {
    const HANDSHAKE_HEADERS: usize = 5 + 4;
    let mut server = TcpStream::connect(server)?;
    server.write_all(&read_packet(&mut client)?)?;
    client.write_all(&read_packet(&mut server)?)?;
    let hello = read_packet(&mut client)?;
    let decoded = ClientHello::decode(&hello[HANDSHAKE_HEADERS..], 0x0303).expect("a client says hello");
    if decoded.supported_versions.iter().any(|version| version == "TLS1.3") {
        return Ok(());
    }
    server.write_all(&hello)?;
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to).and_then(|_| to.shutdown(Shutdown::Both));
    });
    std::io::copy(&mut client, &mut server)?;
    server.shutdown(Shutdown::Both)
}

/// A box in front of `server` that drops whatever is newer than TLS 1.2.
fn old_middlebox(server: SocketAddr) -> SocketAddr {
    let listener = listener();
    let address = listener.local_addr().expect("a listener has an address");
    // It ends with the test's process: a listener has no other way to be woken.
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || inspect(client, server));
        }
    });
    address
}

#[test]
fn a_tls_version_that_a_middlebox_drops_is_the_cause() {
    if left_out(&["xrdp"]) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let finished = experiment(old_middlebox(xrdp.address), &["/sec:tls"], &["--vary", "tls"]);
    assert_eq!(conclusion(&finished), ("cause", Some("tls1.2")), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "tls1.2"), ["healthy"; 3]);
    assert_eq!(finished.line("verdict")["phase"], "tls");
    assert_eq!(finished.line("verdict")["confidence"], "confirmed");
    assert_traced(&finished);
}

#[test]
fn a_version_that_nobody_here_offers_is_not_acquitted() {
    if left_out(&["xrdp"]) {
        return;
    }
    let setup = XrdpSetup { tls_versions: "TLSv1, TLSv1.1", old_openssl: true, ..Xrdp::setup() };
    let xrdp = Xrdp::start(&setup);
    let finished = experiment(xrdp.address, &["/sec:tls"], &["--vary", "tls"]);
    assert_eq!(conclusion(&finished), ("inconclusive", None), "{}", finished.stderr);
    assert!(because(&finished).contains("tls-version-mismatch"), "{}", because(&finished));
    assert_eq!(finished.exit_code, Some(1));
}

#[test]
fn a_server_that_demands_nla_is_not_a_matter_of_the_tls_version() {
    if left_out(&Shadow::programs(FreeRdp::Two)) {
        return;
    }
    let shadow = Shadow::start(FreeRdp::Two, ShadowSecurity::Nla);
    let finished = experiment(shadow.address, &["/sec:tls"], &["--vary", "tls"]);
    assert_eq!(conclusion(&finished), ("not-cause", None), "{}", finished.stderr);
    assert!(because(&finished).contains("nla-required (confirmed)"), "{}", because(&finished));
}
