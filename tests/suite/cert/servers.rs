//! `rdpscope cert show HOST[:PORT]` against real servers and such as break off.

use super::*;
use crate::support::process::Process;
use crate::support::scripted::bytes::{connection_confirm, negotiation_failure};
use crate::support::scripted::read_once;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

const START_WITHIN: Duration = Duration::from_secs(30);

/// `openssl s_server` on a free port.
struct TlsServer {
    address: SocketAddr,
    _process: Process,
}

impl TlsServer {
    fn start(certificate: &Certificate, arguments: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", "-www", "-key"]).arg(&certificate.key_file);
        command.arg("-cert").arg(&certificate.certificate_file).args(arguments);
        let process = Process::spawn(command);
        let accept = process.output.wait_for(START_WITHIN, |line| line.starts_with("ACCEPT "));
        let accept = accept.unwrap_or_else(|| panic!("it does not listen:\n{}", process.output.tail()));
        let address = accept["ACCEPT ".len()..].trim().parse().expect("an address");
        TlsServer { address, _process: process }
    }
}

#[test]
fn tls_at_once_where_x224_is_not_spoken() {
    if left_out_without(&["openssl"]) {
        return;
    }
    let certificates = certificates();
    let authority = text(&certificates.authority_file);
    let server = TlsServer::start(&certificates.expired, &["-cert_chain", authority]);
    let ran = cert(&["show", &server.address.to_string()]);
    assert_eq!(ran.exit_code, Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("does not speak X.224") && ran.stderr.contains("TLS at once"),
        "{}",
        ran.stderr
    );
    let address = server.address;
    for line in [
        &format!("server {address}, TLS at once")[..],
        "certificate 1 of 2, the server's own",
        "  subject    CN=localhost",
        "  - it is not valid now: expired",
        "  name       it is for 127.0.0.1",
        "  faults     certificate-expired",
    ] {
        assert!(ran.stdout.lines().any(|it| it.starts_with(line)), "{line} is not in\n{}", ran.stdout);
    }
}

#[test]
fn what_was_shown_before_the_server_broke_off_is_shown() {
    if left_out_without(&["openssl"]) {
        return;
    }
    let server =
        TlsServer::start(&certificates().signed, &["-Verify", "1", "-verify_return_error", "-tls1_2"]);
    let ran = cert(&["show", &server.address.to_string(), "--json"]);
    let line = json(&ran);
    assert_eq!((ran.exit_code, &line["faults"]), (Some(0), &serde_json::json!([])));
    assert_eq!(line["source"]["selected_protocol"], Value::Null);
}

/// Answers each connection with the next of `answers` after its first bytes came, then closes it; that it reads on
/// until the client has closed keeps the answer from being lost in a reset.
fn answering(answers: &[&[u8]]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let answers: Vec<Vec<u8>> = answers.iter().map(|answer| answer.to_vec()).collect();
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let _ = read_once(&mut stream, &mut [0; 600]);
            let _ = stream.write_all(&answer);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    address
}

#[test]
fn a_refusal_is_named_and_explained() {
    for (code, name, meaning) in [
        (2, "SSL_NOT_ALLOWED_BY_SERVER", "the server allows RDP security only"),
        (3, "SSL_CERT_NOT_ON_SERVER", "the server has no certificate that it can use"),
        (5, "HYBRID_REQUIRED_BY_SERVER", "the server requires NLA"),
        (99, "0x00000063", "no code that the specification knows"),
    ] {
        let ran = cert(&["show", &answering(&[&negotiation_failure(code)]).to_string()]);
        ran.assert_refused(3, &format!("{name} ({code}): {meaning}"));
        assert!(ran.stderr.contains(&format!("rdpscope explain x224:{code}")), "{}", ran.stderr);
    }
}

#[test]
fn a_server_without_a_certificate_gets_one_sentence() {
    let show = |answers: &[&[u8]]| cert(&["show", "-q", &answering(answers).to_string()]);
    show(&[&connection_confirm(0)]).assert_refused(3, "selected classic RDP security");
    show(&[&connection_confirm(1)]).assert_refused(3, "showed no certificate: ");
    let http = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    show(&[http, http]).assert_refused(
        3,
        "neither X.224 (it answered with HTTP) nor TLS (the TLS handshake with the server failed",
    );
    show(&[b"", b""]).assert_refused(3, "neither X.224 (it closed the connection) nor TLS");
    show(&[b"\x03\x00\x00\x05\x00", b"?"]).assert_refused(3, "it answered with something else");
}

#[cfg(not(feature = "legacy-tls"))]
#[test]
fn what_this_build_lacks_for_an_old_server_is_said() {
    use crate::support::scripted::bytes::fatal_alert;
    let [unexpected_message, protocol_version] = [10, 70].map(fatal_alert);
    let ran = cert(&["show", "-q", &answering(&[&unexpected_message, &protocol_version]).to_string()]);
    ran.assert_refused(
        3,
        "TLS (the server refuses TLS 1.2 and newer (alert protocol_version), and this build has no",
    );
}

#[test]
fn a_server_that_is_not_there_gets_one_sentence() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let closed = closed.expect("a port is free").to_string();
    cert(&["show", &closed]).assert_refused(3, "connection refused");
}

#[cfg(target_os = "linux")]
mod rdp {
    use super::*;
    use crate::support::peers::{FreeRdp, Shadow, ShadowSecurity, Xrdp, XrdpSetup};

    #[test]
    fn xrdp_shows_each_certificate() {
        if left_out_without(&["xrdp"]) {
            return;
        }
        let certificates = certificates();
        for (certificate, faults) in [
            (&certificates.signed, &[][..]),
            (&certificates.self_signed, &[]),
            (&certificates.expired, &["certificate-expired"]),
            (&certificates.not_yet_valid, &["certificate-not-yet-valid"]),
            (&certificates.wrong_name, &["certificate-name-mismatch"]),
        ] {
            let xrdp = Xrdp::start(&XrdpSetup { certificate, ..Xrdp::setup() });
            let ran = cert(&["show", &xrdp.address.to_string(), "--json"]);
            let line = json(&ran);
            assert_eq!(line["faults"], serde_json::json!(faults), "{line}");
            assert_eq!(ran.exit_code, Some(i32::from(!faults.is_empty())));
            assert_eq!(line["source"]["selected_protocol"], "SSL");
            let file = json(&cert(&["show", text(&certificate.certificate_file), "--json"]));
            assert_eq!(line["certificates"][0]["sha256"], file["certificates"][0]["sha256"]);
        }
    }

    #[test]
    fn xrdp_without_tls_has_none() {
        if left_out_without(&["xrdp"]) {
            return;
        }
        let xrdp = Xrdp::start(&XrdpSetup { security_layer: "rdp", ..Xrdp::setup() });
        let ran = cert(&["show", &xrdp.address.to_string()]);
        assert_eq!((ran.exit_code, &ran.stdout[..]), (Some(3), ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("RDP security"), "{}", ran.stderr);
    }

    #[test]
    fn a_server_with_nla_shows_it_before_any_password() {
        if left_out_without(&Shadow::programs(FreeRdp::Three)) {
            return;
        }
        let shadow = Shadow::start(FreeRdp::Three, ShadowSecurity::Nla);
        let ran = cert(&["show", &shadow.address.to_string(), "--name", "localhost"]);
        assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
        assert!(ran.stdout.contains(", TLS after X.224, which selected HYBRID"), "{}", ran.stdout);
        assert!(ran.stdout.contains("  name       it is for localhost"), "{}", ran.stdout);
    }
}
