//! Servers that do one thing each.

use crate::intercept::tls::{self, ServerIdentity, Stack, Tee};
use crate::probe::negotiation::CLASSIC;
use crate::wire::x224::{PROTOCOLS, Tpdu, decode};
use rdpscope_certs::mint::self_signed;
use socket2::SockRef;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The name in the certificate.
pub(super) const HOST: &str = "rdp.example.test";
const DAY: i64 = 86_400;

/// What a server answers to the connection request.
#[derive(Clone)]
pub(super) enum X224 {
    /// Nothing, for as long as it is asked.
    Silence,
    /// FIN.
    Fin,
    /// RST.
    Reset,
    /// These bytes, and FIN.
    Bytes(Vec<u8>),
    /// These bytes before it is asked, and then whatever it is asked for is not read.
    Greeting(Vec<u8>),
    /// One byte of a confirm at a time, far apart.
    Dribble,
    /// TLS, which is begun at once: what is asked is no ClientHello.
    DirectTls,
    /// RDP_NEG_RSP with this protocol.
    Confirm(u32, Then),
    /// RDP_NEG_FAILURE with this code, and on the same connection what follows a confirm elsewhere.
    Refuse(u8, Then),
}

/// What follows the confirm.
#[derive(Clone)]
pub(super) enum Then {
    /// FIN at the ClientHello.
    Fin,
    /// RST at the ClientHello.
    Reset,
    /// The ClientHello is not answered.
    Silence,
    /// TLS, and in it this answer to whatever is said.
    Tls(Vec<u8>),
    /// TLS, and in it no answer to whatever is said.
    TlsAndSilence,
}

/// A server for as long as the test runs.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicU32>,
    /// What was said inside TLS, by connection.
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    /// `plan` says by the number of the connection, from 0, and the protocols asked for what is answered.
    pub(super) async fn start(plan: impl Fn(u32, u32) -> X224 + Send + Sync + 'static) -> Server {
        Server::start_at((Ipv4Addr::LOCALHOST, 0).into(), plan).await
    }

    pub(super) async fn start_at(
        address: SocketAddr,
        plan: impl Fn(u32, u32) -> X224 + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind(address).await.unwrap();
        let (accepted, heard) = (Arc::new(AtomicU32::new(0)), Arc::default());
        let server = Server { address: listener.local_addr().unwrap(), accepted, heard };
        let (accepted, heard, plan) = (server.accepted.clone(), server.heard.clone(), Arc::new(plan));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, number, plan.clone(), heard.clone()));
            }
        });
        server
    }

    /// Always the same.
    pub(super) async fn always(answer: X224) -> Server {
        Server::start(move |_, _| answer.clone()).await
    }

    pub(super) fn accepted(&self) -> u32 {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(super) fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }
}

/// RDP_NEG_FAILURE.
pub(super) fn failure(code: u8) -> Vec<u8> {
    vec![3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 3, 0, 8, 0, code, 0, 0, 0]
}

fn confirm(protocol: u32) -> Vec<u8> {
    let head = [3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0x1f, 8, 0];
    [&head[..], &protocol.to_le_bytes()].concat()
}

fn identity() -> &'static ServerIdentity {
    static IDENTITY: OnceLock<ServerIdentity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let now = jiff::Timestamp::now().as_second();
        ServerIdentity::new(&self_signed(HOST, now - DAY, now + DAY).unwrap()).unwrap()
    })
}

async fn serve(
    mut stream: TcpStream,
    number: u32,
    plan: Arc<impl Fn(u32, u32) -> X224>,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
) {
    if let X224::Greeting(greeting) = plan(number, 0) {
        let _ = stream.write_all(&greeting).await;
        return drain(stream).await;
    }
    let mut request = vec![0; 512];
    let Ok(count @ 1..) = stream.peek(&mut request).await else { return };
    let (protocols, length) = match decode(&request[..count]) {
        Ok(Some((Tpdu::ConnectionRequest(request), length))) => {
            (request.requested_protocols.unwrap(), length)
        }
        _ => (0, 0),
    };
    let answer = plan(number, protocols);
    if !matches!(answer, X224::DirectTls) {
        stream.read_exact(&mut request[..length]).await.unwrap();
    }
    match answer {
        X224::Silence | X224::Greeting(_) => drain(stream).await,
        X224::Fin => {}
        X224::Reset => reset(&stream),
        X224::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
        }
        X224::Dribble => {
            for byte in confirm(1) {
                let _ = stream.write_all(&[byte]).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        X224::DirectTls => inside(stream, None, heard).await,
        X224::Confirm(protocol, then) => follow(stream, &confirm(protocol), then, heard).await,
        X224::Refuse(code, then) => follow(stream, &failure(code), then, heard).await,
    }
}

async fn follow(mut stream: TcpStream, answer: &[u8], then: Then, heard: Arc<Mutex<Vec<Vec<u8>>>>) {
    stream.write_all(answer).await.unwrap();
    let mut hello = [0; 1];
    if stream.peek(&mut hello).await.unwrap_or(0) == 0 {
        return;
    }
    match then {
        Then::Fin => drop(stream.read(&mut [0; 4096]).await),
        Then::Reset => reset(&stream),
        Then::Silence => drain(stream).await,
        Then::Tls(answer) => inside(stream, Some(answer), heard).await,
        Then::TlsAndSilence => inside(stream, None, heard).await,
    }
}

async fn inside(stream: TcpStream, answer: Option<Vec<u8>>, heard: Arc<Mutex<Vec<Vec<u8>>>>) {
    let tee = Tee::new(stream, Vec::new(), |_: Instant, _: bool, _: &[u8]| ());
    let Ok(mut stream) = tls::accept(tee, identity(), &Stack::Usual).await else { return };
    let mut said = Vec::new();
    let _ = stream.read_buf(&mut said).await;
    if let Some(answer) = answer.filter(|_| !said.is_empty()) {
        stream.write_all(&answer).await.unwrap();
        stream.flush().await.unwrap();
    }
    let _ = stream.read_to_end(&mut said).await;
    heard.lock().unwrap().push(said);
}

async fn drain(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// The name of a protocol as a check has it.
pub(super) fn name(protocol: u32) -> &'static str {
    PROTOCOLS.iter().find(|(value, _)| *value == protocol).map_or(CLASSIC, |(_, name)| name)
}
