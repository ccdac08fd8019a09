//! Terminated TLS with servers that speak only what the usual TLS stack does not: with the second stack they are
//! reached, and a build without it says exactly what is missing and what works all the same. Odd certificates are
//! reached by both.

use crate::support::certificates::{certificates, signed_rsa, weak};
use crate::support::left_out::left_out_without;
use crate::support::peers::{ClientRun, FreeRdp, Xfreerdp, Xrdp, XrdpSetup, free_port};
use crate::support::process::Process;
use crate::support::rdpscope::{Finished, Rdpscope};
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request};
use crate::support::scripted::listener;
use crate::support::scripted::terminated::{TlsEnd, expect};
use crate::support::scripted::tls::Trust;
use rustls::version::TLS12;
use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

const CLIENT: FreeRdp = FreeRdp::Two;

fn left_out() -> bool {
    let [client, screen] = Xfreerdp::programs(CLIENT);
    left_out_without(&[client, screen, "xrdp", "openssl"])
}

/// An xrdp with nothing newer than `tls_versions`.
fn old_xrdp(tls_versions: &str) -> Xrdp {
    Xrdp::start(&XrdpSetup { tls_versions, certificate: signed_rsa(), old_openssl: true, ..Xrdp::setup() })
}

/// xfreerdp with `client_arguments` through rdpscope with `arguments`.
fn connect(server: SocketAddr, arguments: &[&str], client_arguments: &[&str]) -> (ClientRun, Finished) {
    let rdpscope = Rdpscope::start(server, 1, arguments);
    let client =
        Xfreerdp::new(CLIENT, &[&["/sec:tls", "/u:test", "/p:Right-1234"], client_arguments].concat());
    let run = client.run(rdpscope.address.port());
    println!("{arguments:?}: {}", run.summary());
    (run, rdpscope.finish())
}

/// `openssl s_server` with TLS 1.2 and `cipher` alone; lines come back reversed.
fn openssl_server(cipher: &str) -> (Process, SocketAddr) {
    let port = free_port();
    let mut server = Command::new("timeout");
    server.args(["60", "openssl", "s_server", "-rev", "-tls1_2", "-port", &port.to_string(), "-cipher"]);
    server.arg(format!("{cipher}:@SECLEVEL=0"));
    server.arg("-cert").arg(&signed_rsa().certificate_file).arg("-key").arg(&signed_rsa().key_file);
    let server = Process::spawn(server);
    server.output.wait_for(Duration::from_secs(20), |line| line.contains("ACCEPT")).expect("it listens");
    (server, (Ipv4Addr::LOCALHOST, port).into())
}

/// Answers connection requests on `listener` with TLS, and passes what follows to `behind`, until it is closed.
fn answer_x224(listener: TcpListener, behind: SocketAddr) {
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer_one(near, behind));
        }
    });
}

fn answer_one(mut near: TcpStream, behind: SocketAddr) {
    expect(&mut near, &connection_request("anna", SSL));
    near.write_all(&connection_confirm(SSL)).expect("the confirm is taken");
    let far = TcpStream::connect(behind).expect("the server behind accepts");
    let (near_reader, far_reader) =
        (near.try_clone().expect("a socket is cloned"), far.try_clone().expect("a socket is cloned"));
    let up = std::thread::spawn(move || copy(near_reader, far));
    copy(far_reader, near);
    let _ = up.join();
}

/// Copies until one of them has gone.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// What xrdp shows that current defaults refuse is reached by the usual stack, and judged.
#[test]
fn weak_certificates_are_reached_and_judged() {
    if left_out() {
        return;
    }
    for certificate in weak() {
        let setup = XrdpSetup { certificate, old_openssl: true, ..Xrdp::setup() };
        let xrdp = Xrdp::start(&setup);
        let (run, finished) = connect(xrdp.address, &["--cert", "fresh"], &[]);
        let session = finished.session();
        assert!(run.active, "{}\n{session}", run.tail());
        assert!(session.events_named("legacy_tls").is_empty(), "{session}");
        assert_eq!(session.event("certificate_judged")["trusted"], false, "{session}");
        assert_eq!(session.summary()["certificate"]["self_signed"], true, "{session}");
    }
}

/// Passing TLS through needs no stack at all.
#[test]
fn passing_through_reaches_tls_1_0() {
    if left_out() {
        return;
    }
    let xrdp = old_xrdp("TLSv1, TLSv1.1");
    let (run, finished) = connect(xrdp.address, &["--cert", "passthrough"], &["/tls-seclevel:0"]);
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    let version = finished.session().summary()["tls_version"].to_string();
    assert!(["\"TLS1.0\"", "\"TLS1.1\""].contains(&&version[..]), "{}", finished.session());
}

/// `openssl s_client` with TLS 1.0 alone, from the first byte, to a server of TLS 1.2 that says a word.
fn old_client_of_a_new_server() -> (Process, Finished) {
    let listener = listener();
    let target = listener.local_addr().expect("a listener has an address");
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("rdpscope connects");
        let mut server = TlsEnd::server(stream, &TLS12, &certificates().signed);
        server.handshake().expect("rdpscope offers TLS 1.2");
        server.send(b"a word of the server\n");
        server.close_notify();
        server.finish();
    });
    let rdpscope = Rdpscope::start(target, 1, &["--cert", "fresh", "--tls", "1.2..1.3"]);
    let mut client = Command::new("timeout");
    client.args(["60", "openssl", "s_client", "-tls1", "-cipher", "ALL:@SECLEVEL=0", "-connect"]);
    client.arg(rdpscope.address.to_string());
    let (client, _input) = Process::spawn_with_input(client);
    client.output.wait_for_end(Duration::from_secs(30));
    server.join().expect("the server does not panic");
    (client, rdpscope.finish())
}

#[cfg(feature = "legacy-tls")]
mod with_the_second_stack {
    use super::*;

    #[test]
    fn an_old_client_reaches_a_new_server() {
        if left_out_without(&["openssl"]) {
            return;
        }
        let (client, finished) = old_client_of_a_new_server();
        let said = client.output.all().join("\n");
        assert!(said.contains("a word of the server"), "{said}");
        assert_eq!(finished.session().outcome_on("tls", "client"), Some("ok"), "{}", finished.session());
    }

    #[test]
    fn a_desktop_is_reached_over_tls_1_0_and_1_1() {
        if left_out() {
            return;
        }
        for (versions, version) in [("TLSv1", "TLS1.0"), ("TLSv1, TLSv1.1", "TLS1.1")] {
            let xrdp = old_xrdp(versions);
            let (run, finished) = connect(xrdp.address, &["--cert", "fresh"], &["/tls-seclevel:0"]);
            let session = finished.session();
            assert!(run.active, "{}\n{session}", run.tail());
            session.assert_reached(&["tcp", "x224", "mcs", "channels", "info", "active"]);
            let reason = session.event("legacy_tls")["reason"].to_string();
            assert!(reason.contains(version) || reason.contains("TLS 1."), "{reason}");
            let hellos = session.events_named("server_hello");
            let on = |leg: &str| {
                hellos.iter().rfind(|hello| hello["leg"] == leg).map(|hello| hello["version"].to_string())
            };
            assert_eq!(on("server"), Some(format!("\"{version}\"")), "{session}");
            assert_eq!(on("client").as_deref(), Some("\"TLS1.3\""), "{session}");
        }
    }

    #[test]
    fn servers_with_cbc_or_rsa_key_exchange_alone_are_reached() {
        if left_out_without(&["openssl"]) {
            return;
        }
        for cipher in ["ECDHE-RSA-AES128-SHA256", "AES128-SHA"] {
            let (_server, behind) = openssl_server(cipher);
            let listener = listener();
            let target = listener.local_addr().expect("a listener has an address");
            answer_x224(listener, behind);
            // The second session knows what the first has found out.
            let rdpscope = Rdpscope::start(target, 2, &["--cert", "fresh"]);
            for _ in 0..2 {
                let mut client = negotiated(&rdpscope);
                client.handshake().expect("both legs come to TLS");
                client.send(b"rdpscope\n");
                assert_eq!(client.receive(9), b"epocspdr\n");
            }
            let finished = rdpscope.finish();
            let [first, second] = &finished.sessions[..] else { panic!("{}", finished.stderr) };
            assert_eq!(first.events_named("legacy_tls").len(), 1, "{first}");
            assert_eq!(first.events_named("connecting").len(), 2, "{first}");
            assert_eq!(second.events_named("connecting").len(), 1, "{second}");
        }
    }
}

#[cfg(not(feature = "legacy-tls"))]
mod without_the_second_stack {
    use super::*;

    fn assert_refused_with_the_reason(finished: &Finished, leg: &str, need: &str) {
        let session = finished.session();
        let failed = session.event("termination_failed");
        let reason = failed["reason"].to_string();
        assert!(reason.contains(need), "{need} is not in {reason}");
        assert!(reason.contains("this build has no second TLS stack"), "{reason}");
        assert!(failed["advice"].to_string().contains("passthrough"), "{failed}");
        assert_eq!(failed["leg"], leg, "{session}");
    }

    #[test]
    fn an_old_client_is_refused_with_the_reason() {
        if left_out_without(&["openssl"]) {
            return;
        }
        let (_, finished) = old_client_of_a_new_server();
        assert_refused_with_the_reason(&finished, "client", "the client speaks nothing newer than TLS 1.0");
    }

    #[test]
    fn tls_1_0_is_refused_with_the_reason() {
        if left_out() {
            return;
        }
        let xrdp = old_xrdp("TLSv1");
        let (run, finished) = connect(xrdp.address, &["--cert", "fresh"], &["/tls-seclevel:0"]);
        assert!(!run.active, "{}", run.tail());
        assert_refused_with_the_reason(&finished, "server", "TLS 1.");
    }

    #[test]
    fn cbc_and_rsa_key_exchange_are_refused_with_the_reason() {
        if left_out_without(&["openssl"]) {
            return;
        }
        for cipher in ["ECDHE-RSA-AES128-SHA256", "AES128-SHA"] {
            let (_server, behind) = openssl_server(cipher);
            let listener = listener();
            let target = listener.local_addr().expect("a listener has an address");
            answer_x224(listener, behind);
            let rdpscope = Rdpscope::start(target, 1, &["--cert", "fresh"]);
            let mut client = negotiated(&rdpscope);
            let error = client.handshake().expect_err("the server finds no suite").to_string();
            assert!(error.contains("HandshakeFailure"), "the server's own alert: {error}");
            drop(client);
            assert_refused_with_the_reason(&rdpscope.finish(), "server", "no cipher suite");
        }
    }
}

/// A TLS 1.2 client that has been told to begin.
fn negotiated(rdpscope: &Rdpscope) -> TlsEnd {
    let mut stream = TcpStream::connect(rdpscope.address).expect("rdpscope accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket takes its options");
    stream.write_all(&connection_request("anna", SSL)).expect("the request is taken");
    expect(&mut stream, &connection_confirm(SSL));
    TlsEnd::client(stream, &TLS12, Trust::Anything)
}
