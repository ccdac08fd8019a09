//! The scan against real TLS servers on this machine, and against ones that break off.

use super::super::budget::Budget;
use super::super::settings::Settings;
use super::super::tally::Tally;
use super::*;
use crate::trace::How;
use rustls::pki_types::PrivateKeyDer;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// A connection confirm that selects SSL.
const CONFIRM: [u8; 19] = [3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, 1, 0, 0, 0];
/// Long enough for a busy machine, short enough for the tests in which it passes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

fn way(address: SocketAddr, direct: bool) -> Way {
    Way {
        address,
        server_name: "localhost".to_owned(),
        direct,
        budget: Arc::new(Budget::new(&Settings::default(), 1)),
        connections: Arc::default(),
        tally: Arc::new(Tally::default()),
        answer_timeout: ANSWER_TIMEOUT,
        deadline: Instant::now() + Duration::from_secs(120),
        largest_segment: None,
    }
}

/// Serves each connection after its negotiation.
async fn rdp_server<F>(serve: impl Fn(TcpStream, usize) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for count in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 19];
            if stream.read_exact(&mut request).await.is_ok() && stream.write_all(&CONFIRM).await.is_ok() {
                tokio::spawn(serve(stream, count));
            }
        }
    });
    address
}

/// The first hello of a connection, whole, and the version that it asks for.
async fn read_hello(stream: &mut TcpStream) -> (Vec<u8>, u16) {
    let mut header = [0; 5];
    stream.read_exact(&mut header).await.unwrap();
    let mut fragment = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
    stream.read_exact(&mut fragment).await.unwrap();
    let version = u16::from_be_bytes([fragment[4], fragment[5]]);
    ([&header[..], &fragment].concat(), version)
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

fn names(list: &[crate::wire::tls::CodePoint]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn rustls_server() -> Arc<rustls::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(config.with_single_cert(vec![made.cert.der().clone()], key).unwrap())
}

#[tokio::test]
async fn a_rustls_server_behind_x224_in_full() {
    let acceptor = tokio_rustls::TlsAcceptor::from(rustls_server());
    let address = rdp_server(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let _ = acceptor.accept(stream).await;
        }
    })
    .await;
    let way = way(address, false);
    let (check, left_out) = scan(&way).await;
    assert_eq!(left_out, []);
    assert!(!check.direct && way.budget.connections() < MOST_CONNECTIONS);
    assert_eq!(
        names(&check.suites["TLS1.3"]),
        ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"]
    );
    let mut of_1_2 = names(&check.suites["TLS1.2"]);
    of_1_2.sort();
    assert_eq!(
        of_1_2,
        [
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
        ]
    );
    assert_eq!(names(&check.groups), ["x25519", "secp256r1", "secp384r1"]);
    assert_eq!(check.server_order.len(), 2);
    for old in ["SSL3.0", "TLS1.0", "TLS1.1"] {
        assert!(!matches!(check.versions[old], HelloAnswer::Accepted(_)), "{old}");
    }
    assert!(names(&check.refused).contains(&"TLS_RSA_WITH_AES_128_CBC_SHA".to_owned()));
}

#[tokio::test]
async fn a_server_that_resets_at_old_hellos_and_stops_after_some_new_ones() {
    let acceptor = tokio_rustls::TlsAcceptor::from(rustls_server());
    let address = rdp_server(move |mut stream, count| {
        let acceptor = acceptor.clone();
        async move {
            let mut start = [0; 11];
            while stream.peek(&mut start).await.unwrap() < start.len() {
                tokio::task::yield_now().await;
            }
            if start[9..] != [3, 3] {
                read_hello(&mut stream).await;
                reset(stream);
            } else if count < 12 {
                let _ = acceptor.accept(stream).await;
            } else {
                std::future::pending::<()>().await;
            }
        }
    })
    .await;
    let began = Instant::now();
    let (check, left_out) = scan(&way(address, false)).await;
    assert_eq!(check.versions["TLS1.0"], HelloAnswer::Closed { how: How::Reset });
    assert!(matches!(check.versions["TLS1.2"], HelloAnswer::Accepted(_)));
    assert!(left_out.iter().any(|left| left.reason == "the server stopped answering"), "{left_out:?}");
    assert!(left_out.iter().any(|left| left.check == "the groups of TLS1.2"), "{left_out:?}");
    assert!(began.elapsed() < 3 * ANSWER_TIMEOUT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_refuses_a_connection_now_and_then_is_asked_again() {
    let acceptor = tokio_rustls::TlsAcceptor::from(rustls_server());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for count in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 19];
            stream.read_exact(&mut request).await.unwrap();
            if count % 9 == 8 {
                reset(stream);
                continue;
            }
            stream.write_all(&CONFIRM).await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move { acceptor.accept(stream).await.is_ok() });
        }
    });
    let (check, left_out) = scan(&way(address, false)).await;
    assert_eq!(left_out, []);
    assert_eq!((check.suites["TLS1.2"].len(), check.suites["TLS1.3"].len(), check.groups.len()), (3, 3, 3));
}

#[tokio::test]
async fn half_a_server_hello_and_a_close() {
    let address = rdp_server(|mut stream, _| async move {
        read_hello(&mut stream).await;
        stream.write_all(&[22, 3, 3, 0, 80, 2, 0, 0, 76, 3, 3, 1, 2, 3]).await.unwrap();
    })
    .await;
    let (check, left_out) = scan(&way(address, false)).await;
    assert_eq!(left_out, []);
    assert!(
        check.versions.values().all(|answer| *answer == HelloAnswer::Closed { how: How::Fin }),
        "{check:?}"
    );
    assert_eq!((check.suites.len(), check.groups.len()), (0, 0));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_not_reached() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let way = way(address, true);
    let (check, _) = scan(&way).await;
    assert!(check.direct);
    assert!(
        check.versions.values().all(|answer| matches!(answer, HelloAnswer::NotReached { .. })),
        "{check:?}"
    );
    assert_eq!(way.budget.connections(), 5);
}

#[tokio::test]
async fn nothing_is_asked_after_the_deadline() {
    let address = rdp_server(|stream, _| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let way = Way { deadline: Instant::now(), ..way(address, false) };
    let (check, _) = scan(&way).await;
    let late = HelloAnswer::NotReached { reason: "there was no time left".to_owned() };
    assert!(check.versions.values().all(|answer| *answer == late));
}

/// `openssl s_server`, ended when it is dropped.
struct OpensslServer {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl OpensslServer {
    fn start(arguments: &[&str]) -> OpensslServer {
        let folder = tempfile::tempdir().unwrap();
        let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=localhost", "-newkey", "rsa:2048"]);
        let made = make.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut server = Command::new("openssl");
        server
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-key"])
            .arg(&key)
            .arg("-cert")
            .arg(&certificate);
        server.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = server.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let lines = &mut output.lines().map(Result::unwrap);
        let port = lines.find_map(|line| line.strip_prefix("ACCEPT ")?.rsplit_once(':')?.1.parse().ok());
        OpensslServer { process, address: ([127, 0, 0, 1], port.unwrap()).into(), _folder: folder }
    }
}

fn without_openssl() -> bool {
    let missing = Command::new("openssl").arg("version").output().is_err();
    if missing {
        eprintln!("left out: openssl is not installed");
    }
    missing
}

/// What `openssl ciphers` makes of `list`, for a server with an RSA key, by number.
fn openssl_suites(version: &str, list: &str) -> Vec<u16> {
    let listed = Command::new("openssl").args(["ciphers", "-V", "-s", version, list]).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let usable = text.lines().filter(|line| line.contains("Au=RSA") || line.contains("Au=None"));
    let mut suites: Vec<u16> = usable
        .map(|line| {
            let number = line.trim().split(' ').next().unwrap().replace(",0x", "");
            u16::from_str_radix(number.strip_prefix("0x").unwrap(), 16).unwrap()
        })
        .collect();
    suites.sort_unstable();
    suites
}

#[tokio::test]
async fn openssl_takes_what_it_says_in_each_version() {
    if without_openssl() {
        return;
    }
    const ALL: &str = "ALL:COMPLEMENTOFALL:@SECLEVEL=0";
    for (flag, version, list) in [
        ("-tls1", "TLS1.0", ALL),
        ("-tls1_1", "TLS1.1", ALL),
        ("-tls1_2", "TLS1.2", ALL),
        ("-tls1_2", "TLS1.2", "ECDHE+AESGCM:AES128-SHA:kDHE+AES256"),
        ("-tls1_2", "TLS1.2", "kRSA"),
    ] {
        let server = OpensslServer::start(&[flag, "-cipher", list]);
        let way = way(server.address, true);
        let (check, left_out) = scan(&way).await;
        assert_eq!(left_out, []);
        let mut found: Vec<u16> = check.suites[version].iter().map(|suite| suite.id).collect();
        found.sort_unstable();
        let expected = openssl_suites(flag, list);
        assert!(!expected.is_empty());
        assert_eq!(found, expected, "{version} {list}");
        assert_eq!(check.suites.len(), 1, "{version} alone");
        assert_eq!(check.diffie_hellman_bits, list.ne("kRSA").then_some(2048));
        assert!(way.budget.connections() <= MOST_CONNECTIONS);
    }
}

#[tokio::test]
async fn openssl_takes_the_groups_that_it_was_told_to() {
    if without_openssl() {
        return;
    }
    for (arguments, expected) in [
        (
            ["-tls1_3", "-groups", "X448:P-521:ffdhe3072:X25519"],
            &["ffdhe3072", "secp521r1", "x25519", "x448"][..],
        ),
        (["-tls1_2", "-groups", "P-384:brainpoolP256r1"], &["brainpoolP256r1", "secp384r1"]),
        (["-no_ssl3", "-groups", "P-256:secp256k1"], &["secp256k1", "secp256r1"]),
    ] {
        let server = OpensslServer::start(&arguments);
        let (check, left_out) = scan(&way(server.address, true)).await;
        assert_eq!(left_out, []);
        let mut found = names(&check.groups);
        found.sort();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn openssl_says_whose_order_of_suites_counts() {
    if without_openssl() {
        return;
    }
    const LIST: &str = "AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384";
    for (flag, expected) in [("-serverpref", true), ("-no_ticket", false)] {
        let server = OpensslServer::start(&["-tls1_2", "-cipher", LIST, flag]);
        let (check, _) = scan(&way(server.address, true)).await;
        assert_eq!(check.server_order["TLS1.2"], expected, "{flag}");
        assert_eq!(check.suites["TLS1.2"].len(), 3);
    }
}
