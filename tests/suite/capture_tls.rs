//! Connections of `openssl` over loopback: what is read of them by its key log, and by the server's private key.

use crate::support::certificates::signed_rsa;
use crate::support::left_out::left_out_without;
use crate::support::peers::free_port;
use crate::support::process::Process;
use rdpscope::capture::tls::{Decryption, Secrets, TlsStream};
use rdpscope::observe::Opened;
use rdpscope::trace::Side;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than a handshake takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

type Wire = Arc<Mutex<Vec<(Side, Vec<u8>)>>>;

/// What the client is told, and the line of its output that shows that it has done so.
type Step = (&'static str, &'static str);

const TALK: &[Step] = &[("hello", "olleh"), ("one two three", "eerht owt eno")];
/// `R` renegotiates, `k` updates the client's keys, `K` those of both.
const RENEGOTIATE: &[Step] = &[("hello", "olleh"), ("R", "RENEGOTIATING"), ("again", "niaga")];
const UPDATE_KEYS: &[Step] = &[("hello", "olleh"), ("k", "KEYUPDATE"), ("again", "niaga")];
const UPDATE_ALL_KEYS: &[Step] = &[("hello", "olleh"), ("K", "KEYUPDATE"), ("again", "niaga")];

struct Case {
    version: &'static str,
    cipher: &'static str,
    server: &'static [&'static str],
    client: &'static [&'static str],
    steps: &'static [Step],
    /// As the status says.
    expected: &'static str,
}

const fn case(
    version: &'static str,
    cipher: &'static str,
    client: &'static [&'static str],
    expected: &'static str,
) -> Case {
    Case { version, cipher, server: &[], client, steps: TALK, expected }
}

/// Carries one connection to `far` and keeps what goes by.
fn tap(far: SocketAddr) -> (SocketAddr, Wire) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let wire = Wire::default();
    let kept = Arc::clone(&wire);
    std::thread::spawn(move || {
        let (near, _) = listener.accept().expect("the client connects");
        let far = TcpStream::connect(far).expect("the server accepts");
        let halves = [(Side::Client, &near, &far), (Side::Server, &far, &near)];
        let threads = halves.map(|(side, from, to)| {
            let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || copy(side, from, to, &kept))
        });
        threads.into_iter().for_each(|thread| thread.join().expect("it copies"));
    });
    (address, wire)
}

fn copy(side: Side, mut from: TcpStream, mut to: TcpStream, wire: &Wire) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        wire.lock().expect("it is kept").push((side, buffer[..count].to_vec()));
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn openssl(arguments: &[&str], more: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["60", "openssl"]).args(arguments).args(more);
    command
}

/// A server that sends lines back in reverse.
fn server(case: &Case) -> (Process, SocketAddr) {
    let port = free_port();
    let cipher = format!("{}:@SECLEVEL=0", case.cipher);
    let mut command = openssl(&["s_server", "-rev", case.version, "-cipher", &cipher], case.server);
    command.args(["-accept", &format!("127.0.0.1:{port}")]);
    command.arg("-cert").arg(&signed_rsa().certificate_file).arg("-key").arg(&signed_rsa().key_file);
    let server = Process::spawn(command);
    server.output.wait_for(PATIENCE, |line| line.contains("ACCEPT")).expect("it listens");
    (server, (Ipv4Addr::LOCALHOST, port).into())
}

/// Takes the steps and ends the connection; answers what went by.
fn converse(case: &Case, server: SocketAddr, key_log: &Path, more: &[&str]) -> Vec<(Side, Vec<u8>)> {
    let (address, wire) = tap(server);
    let cipher = format!("{}:@SECLEVEL=0", case.cipher);
    let mut command = openssl(&["s_client", case.version, "-cipher", &cipher], case.client);
    command.args(more).args(["-connect", &address.to_string()]).arg("-keylogfile").arg(key_log);
    command.arg("-cert").arg(&signed_rsa().certificate_file).arg("-key").arg(&signed_rsa().key_file);
    let (mut client, mut input) = Process::spawn_with_input(command);
    client.output.wait_for(PATIENCE, |line| line.contains("Verify return code")).expect("it connects");
    for (line, shown) in case.steps {
        // In one piece: a command is known only where it comes with the end of its line.
        input.write_all(format!("{line}\n").as_bytes()).expect("the client reads");
        client.output.wait_for(PATIENCE, |line| line.contains(shown)).expect("the line comes back");
    }
    input.write_all(b"Q\n").expect("the client reads");
    client.wait(PATIENCE).expect("it ends");
    wire.lock().expect("it was kept").clone()
}

fn read(secrets: &Arc<Secrets>, wire: &[(Side, Vec<u8>)]) -> (TlsStream, Vec<Opened>) {
    let (mut stream, mut items) = (TlsStream::new(Arc::clone(secrets)), Vec::new());
    wire.iter().for_each(|(from, bytes)| stream.data(*from, bytes, &mut items));
    (stream, items)
}

/// What was said, line by line.
fn said(case: &Case) -> [String; 2] {
    let lines = case.steps.iter().map(|(line, _)| *line).filter(|line| line.len() > 1);
    let reversed = lines.clone().map(|line| line.chars().rev().collect::<String>() + "\n");
    [lines.map(|line| format!("{line}\n")).collect(), reversed.collect()]
}

fn plaintext(items: &[Opened], side: Side) -> String {
    let of_side = items.iter().filter_map(|item| match item {
        Opened::Plaintext { from, bytes } if *from == side => Some(&bytes[..]),
        _ => None,
    });
    String::from_utf8(of_side.collect::<Vec<_>>().concat()).expect("lines")
}

fn by_key_log(key_log: &Path) -> Arc<Secrets> {
    let secrets = Arc::new(Secrets::new());
    let outcome = secrets.add_key_log(&std::fs::read(key_log).expect("a key log"));
    assert!(outcome.taken > 0 && outcome.not_understood == 0, "{outcome:?}");
    secrets
}

fn by_private_key() -> Arc<Secrets> {
    let secrets = Arc::new(Secrets::new());
    secrets.add_rsa_key(&std::fs::read(&signed_rsa().key_file).expect("a key")).expect("an RSA key");
    secrets
}

fn assert_read(case: &Case, secrets: &Arc<Secrets>, wire: &[(Side, Vec<u8>)]) -> Vec<Opened> {
    let (stream, items) = read(secrets, wire);
    assert_eq!(stream.status().to_string(), case.expected);
    let [client, server] = said(case);
    assert_eq!(plaintext(&items, Side::Client), client, "{}", case.expected);
    assert_eq!(plaintext(&items, Side::Server), server, "{}", case.expected);
    items
}

/// Runs the case; answers the key log's secrets and what went by.
fn run(case: &Case) -> (Arc<Secrets>, Vec<(Side, Vec<u8>)>) {
    let (_server, address) = server(case);
    let key_log = tempfile::NamedTempFile::new().expect("a file");
    let wire = converse(case, address, key_log.path(), &[]);
    (by_key_log(key_log.path()), wire)
}

#[test]
fn suites_of_older_versions() {
    if left_out_without(&["openssl"]) {
        return;
    }
    for case in [
        case("-tls1", "AES256-SHA", &[], "decrypted, TLS1.0 with TLS_RSA_WITH_AES_256_CBC_SHA"),
        case("-tls1_1", "AES128-SHA", &["-no_etm"], "decrypted, TLS1.1 with TLS_RSA_WITH_AES_128_CBC_SHA"),
        case("-tls1_2", "AES256-SHA256", &[], "decrypted, TLS1.2 with TLS_RSA_WITH_AES_256_CBC_SHA256"),
        case("-tls1_2", "AES256-GCM-SHA384", &[], "decrypted, TLS1.2 with TLS_RSA_WITH_AES_256_GCM_SHA384"),
        case("-tls1_2", "NULL-SHA256", &[], "decrypted, TLS1.2 with TLS_RSA_WITH_NULL_SHA256"),
        case("-tls1_2", "AES256-CCM", &[], "decrypted, TLS1.2 with TLS_RSA_WITH_AES_256_CCM"),
        case("-tls1_2", "AES128-CCM8", &[], "decrypted, TLS1.2 with TLS_RSA_WITH_AES_128_CCM_8"),
        case("-tls1_2", "AES256-CCM8", &[], "decrypted, TLS1.2 with TLS_RSA_WITH_AES_256_CCM_8"),
    ] {
        let (by_key_log, wire) = run(&case);
        assert_read(&case, &by_key_log, &wire);
        assert_read(&case, &by_private_key(), &wire);
    }
}

#[test]
fn suites_with_forward_secrecy() {
    if left_out_without(&["openssl"]) {
        return;
    }
    for case in [
        case(
            "-tls1",
            "ECDHE-RSA-AES256-SHA",
            &[],
            "decrypted, TLS1.0 with TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        ),
        case(
            "-tls1_2",
            "ECDHE-RSA-AES256-SHA384",
            &["-no_etm"],
            "decrypted, TLS1.2 with TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
        ),
        case(
            "-tls1_2",
            "ECDHE-RSA-AES128-SHA256",
            &[],
            "decrypted, TLS1.2 with TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
        ),
        case(
            "-tls1_2",
            "DHE-RSA-AES256-GCM-SHA384",
            &[],
            "decrypted, TLS1.2 with TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
        ),
        case(
            "-tls1_2",
            "ECDHE-RSA-CHACHA20-POLY1305",
            &[],
            "decrypted, TLS1.2 with TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ),
    ] {
        let (by_key_log, wire) = run(&case);
        assert_read(&case, &by_key_log, &wire);
        let status = read(&by_private_key(), &wire).0.status().to_string();
        assert!(status.contains("forward secrecy"), "{status}");
    }
}

#[test]
fn a_suite_that_is_not_supported_is_named() {
    if left_out_without(&["openssl"]) {
        return;
    }
    let case = case("-tls1_2", "ECDHE-RSA-CAMELLIA256-SHA384", &[], "");
    let (secrets, wire) = run(&case);
    let status = read(&secrets, &wire).0.status();
    let what = "TLS_ECDHE_RSA_WITH_CAMELLIA_256_CBC_SHA384".to_owned();
    assert_eq!(status, Decryption::Unsupported { what });
}

#[test]
fn a_second_handshake_inside_the_first_is_read_with_its_certificate() {
    if left_out_without(&["openssl"]) {
        return;
    }
    for (cipher, expected) in [
        ("AES128-SHA", "decrypted, TLS1.2 with TLS_RSA_WITH_AES_128_CBC_SHA"),
        ("ECDHE-RSA-AES256-GCM-SHA384", "decrypted, TLS1.2 with TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    ] {
        let server: &[&str] = &["-client_renegotiation", "-no_resumption_on_reneg"];
        let case = Case { server, steps: RENEGOTIATE, ..case("-tls1_2", cipher, &[], expected) };
        let (secrets, wire) = run(&case);
        let items = assert_read(&case, &secrets, &wire);
        assert_eq!(items.iter().filter(|item| matches!(item, Opened::Began { .. })).count(), 1);
        let chain = vec![signed_rsa().for_rustls().0[0].to_vec()];
        assert!(items.contains(&Opened::Certificate { from: Side::Server, chain }));
        if cipher == "AES128-SHA" {
            assert_read(&case, &by_private_key(), &wire);
        }
    }
}

#[test]
fn keys_of_tls_1_3_that_openssl_updates() {
    if left_out_without(&["openssl"]) {
        return;
    }
    let expected = "decrypted, TLS1.3 with TLS_AES_256_GCM_SHA384";
    for steps in [UPDATE_KEYS, UPDATE_ALL_KEYS] {
        let case = Case { steps, ..case("-tls1_3", "ALL", &[], expected) };
        let (secrets, wire) = run(&case);
        assert_read(&case, &secrets, &wire);
    }
}

#[test]
fn suites_of_tls_1_3_that_only_openssl_speaks() {
    if left_out_without(&["openssl"]) {
        return;
    }
    for (suite, expected) in [
        (&["-ciphersuites", "TLS_AES_128_CCM_SHA256"][..], "decrypted, TLS1.3 with TLS_AES_128_CCM_SHA256"),
        (&["-ciphersuites", "TLS_AES_128_CCM_8_SHA256"], "decrypted, TLS1.3 with TLS_AES_128_CCM_8_SHA256"),
        (
            &["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
            "decrypted, TLS1.3 with TLS_CHACHA20_POLY1305_SHA256",
        ),
    ] {
        let case = Case { server: suite, steps: UPDATE_KEYS, ..case("-tls1_3", "ALL", suite, expected) };
        let (secrets, wire) = run(&case);
        assert_read(&case, &secrets, &wire);
    }
}

#[test]
fn a_session_that_a_private_key_opened_is_read_when_it_is_resumed() {
    if left_out_without(&["openssl"]) {
        return;
    }
    for no_ticket in [&[][..], &["-no_ticket"]] {
        let expected = "decrypted, TLS1.2 with TLS_RSA_WITH_AES_128_GCM_SHA256";
        let case = Case { server: no_ticket, ..case("-tls1_2", "AES128-GCM-SHA256", &[], expected) };
        let (_server, address) = server(&case);
        let folder = tempfile::tempdir().expect("a folder");
        let (key_log, session) = (folder.path().join("keys"), folder.path().join("session"));
        let session = session.to_str().expect("text");
        let first = converse(&case, address, &key_log, &["-sess_out", session]);
        let second = converse(&case, address, &key_log, &["-sess_in", session]);
        let secrets = by_private_key();
        let status = read(&secrets, &second).0.status().to_string();
        assert!(status.contains("resumed"), "{status}");
        assert_read(&case, &secrets, &first);
        assert_read(&case, &secrets, &second);
    }
}
