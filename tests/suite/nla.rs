//! CredSSP as a party, against real clients and servers; each leg by itself.

use crate::support::certificates::certificates;
use crate::support::left_out::left_out_without;
use crate::support::peers::{ClientRun, FreeRdp, Iron, Reached, Shadow, ShadowSecurity, Xfreerdp};
use crate::support::scripted::bytes::{HYBRID, connection_confirm, connection_request};
use ironrdp_pdu::nego::SecurityProtocol;
use rdpscope::intercept::credssp::{
    Accepted, Connected, Credentials, CredsspError, CredsspTap, accept, connect,
    read_early_user_authorization, send_early_user_authorization,
};
use rdpscope::intercept::tls::subject_public_key;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, server};
use zeroize::Zeroizing;

/// PROTOCOL_HYBRID_EX.
const HYBRID_EX: u32 = 8;
/// How long one leg may take on a machine that also compiles.
const WITHIN: Duration = Duration::from_secs(60);
/// Bytes of a connection confirm with a negotiation block.
const CONFIRM: usize = 19;

const USER: &str = "test";
const PASSWORD: &str = "Right-1234";
const WRONG_PASSWORD: &str = "Wrong-5678";
const RIGHT: &str = "/p:Right-1234";
const WRONG: &str = "/p:Wrong-5678";

struct Nobody;

impl CredsspTap for Nobody {
    fn message(&mut self, _: bool, _: &[u8]) {}
}

fn credentials(password: &str) -> Credentials {
    Credentials::new(USER, Zeroizing::new(password.to_owned())).expect("the name is not empty")
}

fn block_on<R>(future: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let within = async { tokio::time::timeout(WITHIN, future).await.expect("it is done in time") };
    runtime.expect("a runtime is made").block_on(within)
}

/// A connection to a server, past TLS.
struct ServerLeg {
    /// Its connection confirm.
    confirm: [u8; CONFIRM],
    stream: TlsStream<TcpStream>,
}

/// X.224 and TLS to a server, then the client of CredSSP.
async fn log_on(
    server: SocketAddr,
    protocols: u32,
    password: &str,
) -> (Result<Connected, CredsspError>, ServerLeg) {
    let mut stream = TcpStream::connect(server).await.expect("the server listens");
    stream.write_all(&connection_request(USER, protocols)).await.expect("it takes a request");
    let mut confirm = [0; CONFIRM];
    stream.read_exact(&mut confirm).await.expect("it confirms");
    assert_eq!(confirm[11], 2, "the server refuses NLA: {confirm:02x?}");

    let mut roots = RootCertStore::empty();
    roots.add(certificates().authority_der.clone()).expect("the authority is a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has every version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a valid name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
    let certificate = stream.get_ref().1.peer_certificates().expect("the server shows one")[0].clone();
    let key = subject_public_key(&certificate).expect("it is a certificate");
    let connected =
        connect(&mut stream, &key, &credentials(password), "TERMSRV/localhost", &mut Nobody).await;
    (connected, ServerLeg { confirm, stream })
}

fn shadow(version: FreeRdp) {
    if left_out_without(&Shadow::programs(version)) {
        return;
    }
    let server = Shadow::start(version, ShadowSecurity::Nla);
    block_on(async {
        let (connected, _) = log_on(server.address, HYBRID, PASSWORD).await;
        println!("{:?}", connected.expect("it logs on"));

        let (connected, _) = log_on(server.address, HYBRID, WRONG_PASSWORD).await;
        let error = connected.expect_err("the password is wrong").to_string();
        // FreeRDP 2 only closes; FreeRDP 3 sends a status of its own making.
        let expected = match version {
            FreeRdp::Two => "closed the connection during the logon",
            FreeRdp::Three => "ended the logon with status 0xc00700ea",
        };
        assert!(error.contains(expected), "{error}");
    });
}

#[test]
fn freerdp_2_lets_us_log_on_with_the_right_password_only() {
    shadow(FreeRdp::Two);
}

#[test]
fn freerdp_3_lets_us_log_on_with_the_right_password_only() {
    shadow(FreeRdp::Three);
}

#[test]
fn ironrdp_lets_us_log_on_and_sends_the_early_user_authorization() {
    let security = SecurityProtocol::HYBRID | SecurityProtocol::HYBRID_EX;
    let server = Iron::start(security, &certificates().signed, USER, PASSWORD);
    block_on(async {
        let (connected, mut leg) = log_on(server.address, HYBRID | HYBRID_EX, PASSWORD).await;
        connected.expect("it logs on");
        let result = read_early_user_authorization(&mut leg.stream, &mut Nobody).await.expect("it is sent");
        assert!(result.is_success());

        let (connected, _) = log_on(server.address, HYBRID, PASSWORD).await;
        connected.expect("it logs on without HYBRID_EX as well");

        let (connected, _) = log_on(server.address, HYBRID, WRONG_PASSWORD).await;
        let error = connected.expect_err("the password is wrong");
        assert_eq!(error.status(), Some(0xc000_006d), "{error}");
    });
}

/// Reads the client's connection request; the protocols that it asks for.
async fn connection_requested(stream: &mut TcpStream) -> u32 {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await.expect("it asks");
    let mut rest = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])) - header.len()];
    stream.read_exact(&mut rest).await.expect("it asks");
    let protocols = rest.last_chunk().expect("a negotiation request ends it");
    u32::from_le_bytes(*protocols)
}

/// Answers with `confirm`, does TLS with the client and plays the server of CredSSP.
async fn let_log_on(
    mut stream: TcpStream,
    confirm: &[u8],
) -> (Result<Accepted, CredsspError>, server::TlsStream<TcpStream>) {
    stream.write_all(confirm).await.expect("it takes the answer");
    let (chain, key) = certificates().signed.for_rustls();
    let public_key = subject_public_key(&chain[0]).expect("it is a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has every version")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("key and certificate belong together");
    let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.expect("TLS");
    let accepted = accept(&mut stream, &public_key, &credentials(PASSWORD), &mut Nobody).await;
    (accepted, stream)
}

/// Plays the server up to the client's Connect Initial, which shows that it holds CredSSP for done.
async fn accept_one(listener: TcpListener) -> Result<Accepted, CredsspError> {
    let (mut stream, _) = listener.accept().await.expect("a client comes");
    connection_requested(&mut stream).await;
    let (accepted, mut stream) = let_log_on(stream, &connection_confirm(HYBRID)).await;
    if accepted.is_ok() {
        let mut initial = [0; 7];
        stream.read_exact(&mut initial).await.expect("MCS begins");
        assert_eq!(initial[4..], [2, 0xf0, 0x80]);
    }
    let _ = stream.shutdown().await;
    accepted
}

/// Both legs: a client and a server meet through rdpscope's two CredSSPs.
async fn terminate_one(listener: TcpListener, server: SocketAddr) -> Result<Accepted, CredsspError> {
    let (mut stream, _) = listener.accept().await.expect("a client comes");
    let requested = connection_requested(&mut stream).await;
    let (connected, leg) = log_on(server, requested, PASSWORD).await;
    connected?;
    let ServerLeg { confirm, stream: mut server_leg } = leg;
    let (accepted, mut client_leg) = let_log_on(stream, &confirm).await;
    let accepted = accepted?;
    if confirm[15..] == HYBRID_EX.to_le_bytes() {
        let result = read_early_user_authorization(&mut server_leg, &mut Nobody).await?;
        send_early_user_authorization(&mut client_leg, result, &mut Nobody).await?;
    }
    // How the session ends is not this test's.
    let _ = tokio::io::copy_bidirectional(&mut client_leg, &mut server_leg).await;
    Ok(accepted)
}

/// Runs a client against `server`; what each end came to.
fn client<F>(
    version: FreeRdp,
    arguments: &[&str],
    server: impl FnOnce(TcpListener) -> F + Send + 'static,
) -> (Result<Accepted, CredsspError>, ClientRun)
where
    F: Future<Output = Result<Accepted, CredsspError>>,
{
    let (tell_port, port) = std::sync::mpsc::channel();
    let serving = std::thread::spawn(move || {
        block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
            tell_port.send(listener.local_addr().expect("it is bound").port()).expect("the test waits");
            server(listener).await
        })
    });
    let account = [format!("/u:{USER}")];
    let arguments: Vec<&str> = account.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
    let run = Xfreerdp::new(version, &arguments).run(port.recv().expect("a port"));
    println!("{}", run.summary());
    (serving.join().unwrap_or_else(|_| panic!("{}", run.tail())), run)
}

fn freerdp_logs_on(version: FreeRdp) {
    if left_out_without(&Xfreerdp::programs(version)) {
        return;
    }
    let (accepted, run) = client(version, &[RIGHT, "/sec:nla", "+auth-only"], accept_one);
    let accepted = accepted.unwrap_or_else(|error| panic!("{error}\n{}", run.tail()));
    println!("{accepted:?}");
    assert_eq!((accepted.user.as_str(), accepted.version), (USER, 6));

    let (accepted, run) = client(version, &[WRONG, "/sec:nla", "+auth-only"], accept_one);
    assert!(matches!(accepted, Err(CredsspError::WrongPassword { .. })), "{accepted:?}");
    assert_eq!(run.error.as_deref(), Some("ERRCONNECT_LOGON_FAILURE"), "{}", run.tail());
}

#[test]
fn xfreerdp_2_logs_on_to_us_with_the_right_password_only() {
    freerdp_logs_on(FreeRdp::Two);
}

#[test]
fn xfreerdp_3_logs_on_to_us_with_the_right_password_only() {
    freerdp_logs_on(FreeRdp::Three);
}

fn freerdp_reaches_the_desktop(version: FreeRdp) {
    let programs = [&Xfreerdp::programs(version)[..], &Shadow::programs(version)].concat();
    if left_out_without(&programs) {
        return;
    }
    let server = Shadow::start(version, ShadowSecurity::Nla);
    let address = server.address;
    let (accepted, run) = client(version, &[RIGHT, "/sec:nla"], move |l| terminate_one(l, address));
    println!("{:?}", accepted.unwrap_or_else(|error| panic!("{error}\n{}", run.tail())));
    assert!(run.active, "{}", run.tail());
}

#[test]
fn freerdp_2_reaches_the_desktop_through_both_legs() {
    freerdp_reaches_the_desktop(FreeRdp::Two);
}

#[test]
fn freerdp_3_reaches_the_desktop_through_both_legs() {
    freerdp_reaches_the_desktop(FreeRdp::Three);
}

#[test]
fn xfreerdp_3_reaches_an_ironrdp_session_directly_and_through_both_legs() {
    if left_out_without(&Xfreerdp::programs(FreeRdp::Three)) {
        return;
    }
    let protocols = [(SecurityProtocol::HYBRID, "/sec:nla"), (SecurityProtocol::HYBRID_EX, "/sec:ext")];
    for (security, asked) in protocols {
        let server = Iron::start(security, &certificates().signed, USER, PASSWORD);
        let account = format!("/u:{USER}");
        let run = Xfreerdp::new(FreeRdp::Three, &[&account, RIGHT, asked]).run(server.address.port());
        println!("directly: {}", run.summary());
        assert!(run.active, "{}", run.tail());
        assert_eq!(server.outcome(), [Reached::Tls, Reached::Credssp, Reached::Active]);

        let address = server.address;
        let (accepted, run) = client(FreeRdp::Three, &[RIGHT, asked], move |l| terminate_one(l, address));
        accepted.unwrap_or_else(|error| panic!("{error}\n{}", run.tail()));
        assert!(run.active, "{}", run.tail());
        assert_eq!(server.outcome(), [Reached::Tls, Reached::Credssp, Reached::Active]);
    }
}
