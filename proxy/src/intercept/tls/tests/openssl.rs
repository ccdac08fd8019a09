//! The `openssl` program on the other side.

use super::super::*;
use super::support::*;
use rdpscope_certs::inspect::inspect;
use rdpscope_certs::key::KeyKind;
use rdpscope_certs::load;
use rdpscope_certs::mint::{LeafKey, self_signed};
use rdpscope_certs::mode::{Fault as Broken, Recipe};
use rdpscope_certs::{Identity, key::PrivateKey};
use std::path::Path;
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// Whether the `openssl` program is installed; says so where it is not.
fn openssl_is_here() -> bool {
    let here = std::process::Command::new("openssl")
        .arg("version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !here {
        eprintln!("left out: the openssl program is not installed");
    }
    here
}

fn openssl(folder: &Path, arguments: &str) {
    let output = std::process::Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An `openssl s_server` with `cert.pem` and `key.pem` in `folder`; it answers each line with that line reversed.
struct Server {
    _process: Child,
    address: String,
}

impl Server {
    async fn start(folder: &Path, arguments: &str) -> Server {
        let mut process = Command::new("openssl")
            .args("s_server -accept 127.0.0.1:0 -cert cert.pem -key key.pem -rev".split(' '))
            .args(arguments.split_whitespace())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = in_time(lines.next_line()).await.unwrap().expect("it says where it listens");
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                break address.to_owned();
            }
        };
        // Its later lines have to go somewhere.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Server { _process: process, address }
    }

    async fn connect(&self, versions: &str, stack: &Stack) -> Result<ServerLeg<TcpStream>, HandshakeError> {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        in_time(connect(tee(stream), &offer(versions), stack)).await
    }
}

/// Asks and hears the answer.
async fn speaks(mut stream: TlsStream<TcpStream>) {
    stream.write_all(b"hello\n").await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = [0; 6];
    in_time(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"olleh\n");
}

/// Odd certificates, self-signed, by the arguments that make them; the last is X.509 version 1.
const CERTIFICATES: [(&str, &str); 5] = [
    ("RSA 2048", "req -x509 -newkey rsa:2048"),
    ("RSA 1024", "req -x509 -newkey rsa:1024"),
    ("P-521", "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-521"),
    ("SHA-1", "req -x509 -newkey rsa:2048 -sha1"),
    ("version 1", ""),
];

fn make_certificate(folder: &Path, arguments: &str) {
    let common = "-nodes -keyout key.pem -subj /CN=WIN-SERVER";
    if arguments.is_empty() {
        openssl(folder, &format!("req -new -newkey rsa:2048 {common} -out request.pem"));
        openssl(folder, "x509 -req -in request.pem -signkey key.pem -days 30 -out cert.pem");
    } else {
        openssl(folder, &format!("{arguments} {common} -days 30 -out cert.pem"));
    }
}

fn certificate_in(folder: &Path) -> Vec<Vec<u8>> {
    load::certificates(&std::fs::read(folder.join("cert.pem")).unwrap(), None).unwrap()
}

#[tokio::test]
async fn servers_with_odd_certificates_are_reached() {
    if !openssl_is_here() {
        return;
    }
    for (what, arguments) in CERTIFICATES {
        let folder = tempfile::tempdir().unwrap();
        make_certificate(folder.path(), arguments);
        let chain = certificate_in(folder.path());
        let certificate = inspect(&chain[0]).unwrap();
        assert!(certificate.sans.is_empty() && certificate.subject_cn.as_deref() == Some("WIN-SERVER"));
        assert_eq!(certificate.version, if arguments.is_empty() { 1 } else { 3 });
        let server = Server::start(folder.path(), "-cipher ALL:@SECLEVEL=0").await;
        for versions in ["1.2", "1.3"] {
            let leg = server.connect(versions, &Stack::Usual).await;
            if (what, versions) == ("P-521", "1.2") {
                // In TLS 1.2 the curve of the key must be among the groups for the key exchange (RFC 8422 5.1.1).
                assert!(leg.err().unwrap().needs_legacy.is_some());
                continue;
            }
            let leg = leg.unwrap();
            assert_eq!(leg.chain, chain, "{what}");
            assert_eq!(leg.stream.version().unwrap(), format!("TLS{versions}"));
            let checked = matches!(what, "RSA 2048" | "SHA-1");
            assert_eq!(leg.signature_ok, checked.then_some(true), "{what}");
            let judgement = Roots::of_this_machine().judge(&leg.chain, "WIN-SERVER", NOW);
            assert!(!judgement.trusted && judgement.name_matches, "{what}");
            speaks(leg.stream).await;
        }
    }
}

/// What `openssl s_client` says of a server that shows `identity`.
async fn s_client(identity: &Identity, stack: &Stack, arguments: &str) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Command::new("openssl")
        .args("s_client -showcerts -cipher ALL:@SECLEVEL=0 -connect".split(' '))
        .arg(listener.local_addr().unwrap().to_string())
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut stream, _) = in_time(listener.accept()).await.unwrap();
    let mut read = Vec::new();
    in_time(peek_client_hello(&mut stream, &mut read, &mut Wire::default())).await.unwrap();
    let identity = ServerIdentity::new(identity).unwrap();
    let stream = Tee::new(stream, read, Wire::default());
    let mut stream = in_time(accept(stream, &identity, stack)).await.unwrap();
    // It has nothing to say and leaves in good order.
    let end = in_time(stream.read(&mut [0; 10])).await;
    assert_eq!(ending(&end), Some(StreamEnd::CloseNotify));
    stream.shutdown().await.unwrap();
    in_time(client.wait_with_output()).await.unwrap()
}

/// The chain that s_client printed.
fn printed_chain(output: &Output) -> Vec<Vec<u8>> {
    const END: &str = "-----END CERTIFICATE-----\n";
    let text = String::from_utf8_lossy(&output.stdout);
    let (chain, _) = text.split_once("Server certificate").expect("it prints the chain first");
    let blocks = chain.split_inclusive(END).filter_map(|part| part.find("-----BEGIN").map(|at| &part[at..]));
    blocks.flat_map(|block| load::certificates(block.as_bytes(), None).unwrap()).collect()
}

/// Identities of each sort; the last mirrors a certificate of X.509 version 1.
fn identities() -> Vec<Identity> {
    let folder = tempfile::tempdir().unwrap();
    make_certificate(folder.path(), "");
    let given = PrivateKey::generate(KeyKind::P384).unwrap();
    vec![
        fresh(KeyKind::WINDOWS),
        minted(&Recipe::Fresh, &[], LeafKey::Given(&given)),
        minted(&Recipe::Broken(Broken::WeakKey), &[], LeafKey::New(KeyKind::P256)),
        self_signed("WIN-SERVER", NOW, NOW + 86_400).unwrap(),
        minted(&Recipe::Mirror([].into()), &certificate_in(folder.path()), LeafKey::New(KeyKind::P256)),
    ]
}

#[tokio::test]
async fn clients_are_shown_any_certificate() {
    if !openssl_is_here() {
        return;
    }
    let identities = identities();
    assert_eq!(inspect(identities.last().unwrap().leaf()).unwrap().version, 1);
    for identity in &identities {
        // mstsc sends an address as a name when it was told to connect to an address.
        for arguments in ["-tls1_2 -servername 127.0.0.1", "-tls1_3 -servername WIN-SERVER", "-noservername"]
        {
            let output = s_client(identity, &Stack::Usual, arguments).await;
            assert_eq!(printed_chain(&output), identity.chain, "{} {arguments}", identity.key.kind());
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                !text.contains("session ticket:") && text.contains("No client certificate CA names sent")
            );
        }
    }
}

#[tokio::test]
async fn servers_beyond_the_usual_stack_are_told_by_what_they_need() {
    if !openssl_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make_certificate(folder.path(), CERTIFICATES[0].1);
    for (arguments, need) in [
        ("-tls1", "the server refuses TLS 1.2 and newer (alert protocol_version)"),
        ("-tls1_1", "the server refuses TLS 1.2 and newer (alert protocol_version)"),
        ("-tls1_2 -cipher ECDHE-RSA-AES256-SHA384:@SECLEVEL=0", "the server takes no cipher suite, "),
        ("-tls1_2 -cipher AES128-GCM-SHA256:@SECLEVEL=0", "the server takes no cipher suite, "),
    ] {
        let server = Server::start(folder.path(), &format!("-cipher ALL:@SECLEVEL=0 {arguments}")).await;
        let error = server.connect("1.0..1.3", &Stack::Usual).await.err().unwrap();
        let reason = error.needs_legacy.clone().unwrap();
        assert!(reason.starts_with(need), "{arguments}: {reason}");
        assert_eq!(error.fault(), Fault::Us);
    }
}

#[cfg(feature = "legacy-tls")]
mod legacy {
    use super::*;

    fn legacy() -> Stack {
        Stack::Legacy { need: "this is a test".to_owned() }
    }

    #[tokio::test]
    async fn servers_of_long_ago_are_reached() {
        if !openssl_is_here() {
            return;
        }
        for (what, arguments) in CERTIFICATES {
            let folder = tempfile::tempdir().unwrap();
            make_certificate(folder.path(), arguments);
            let chain = certificate_in(folder.path());
            let mut servers =
                vec![("-tls1", "TLS1.0"), ("-tls1_1", "TLS1.1"), ("-tls1_2", "TLS1.2"), ("", "TLS1.3")];
            if what != "P-521" {
                servers.push(("-tls1_2 -cipher ECDHE-RSA-AES256-SHA384:@SECLEVEL=0", "TLS1.2"));
                servers.push(("-tls1_2 -cipher AES128-SHA:@SECLEVEL=0", "TLS1.2"));
                servers.push(("-tls1 -cipher AES128-SHA:@SECLEVEL=0", "TLS1.0"));
            }
            for (arguments, version) in servers {
                let server =
                    Server::start(folder.path(), &format!("-cipher ALL:@SECLEVEL=0 {arguments}")).await;
                let leg = server.connect("1.0..1.3", &legacy()).await.unwrap();
                assert_eq!(leg.chain, chain, "{what}");
                assert_eq!(leg.stream.version().unwrap(), version);
                assert!(leg.stream.cipher_suite().unwrap().name.is_some());
                assert_eq!((leg.signature_ok, leg.public_key.is_some()), (Some(true), true));
                speaks(leg.stream).await;
            }
        }
    }

    #[tokio::test]
    async fn clients_of_long_ago_are_served() {
        if !openssl_is_here() {
            return;
        }
        for identity in &identities() {
            for arguments in ["-tls1", "-tls1_1 -servername 127.0.0.1", "-tls1_2", "-tls1_3"] {
                let output = s_client(identity, &legacy(), arguments).await;
                assert_eq!(printed_chain(&output), identity.chain, "{} {arguments}", identity.key.kind());
            }
        }
        let output =
            s_client(&fresh(KeyKind::WINDOWS), &legacy(), "-tls1 -cipher AES128-SHA:@SECLEVEL=0").await;
        assert!(String::from_utf8_lossy(&output.stdout).contains("AES128-SHA"));
    }

    #[tokio::test]
    async fn each_flight_is_one_write() {
        use std::sync::{Arc, Mutex};
        for (versions, flights) in [("1.0", [2, 2]), ("1.2", [2, 2]), ("1.3", [2, 1])] {
            let (client, server) = connection().await;
            let (sent, answered) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
            let client = tee(Counting { stream: client, writes: Arc::clone(&sent) });
            let server = tee(Counting { stream: server, writes: Arc::clone(&answered) });
            let mut identity = identity().clone();
            let leaf = identity.leaf().to_vec();
            identity.chain.extend(std::iter::repeat_n(leaf, 40));
            let identity = ServerIdentity::new(&identity).unwrap();
            let (offer, stack) = (offer(versions), legacy());
            let (ours, theirs) = in_time(async {
                tokio::join!(connect(client, &offer, &stack), accept(server, &identity, &stack))
            })
            .await;
            ours.unwrap();
            theirs.unwrap();
            let counted = [sent.lock().unwrap().len(), answered.lock().unwrap().len()];
            assert_eq!(counted, flights, "{versions}");
            assert!(answered.lock().unwrap()[0].len() > 16_384);
        }
    }
}
