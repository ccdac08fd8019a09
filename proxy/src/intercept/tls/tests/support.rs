//! What the tests share: identities, taps, streams that count.

use super::super::*;
use rdpscope_certs::Identity;
use rdpscope_certs::authority::Authority;
use rdpscope_certs::key::{KeyKind, PrivateKey};
use rdpscope_certs::mint::{LeafKey, Request, mint};
use rdpscope_certs::mode::Recipe;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::ReadBuf;
use tokio::net::{TcpListener, TcpStream};

/// Long enough for a loaded machine; a test that needs it has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// 2026-11-21 00:00:00 UTC.
pub(super) const NOW: i64 = 1_795_219_200;
pub(super) const HOST: &str = "rdp.example.test";

pub(super) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let names = [HOST.parse().unwrap()];
        Authority::new(&names, PrivateKey::generate(KeyKind::P256).unwrap(), NOW).unwrap()
    })
}

/// An identity made by `recipe`, mirrored from `original` where it is a mirror.
pub(super) fn minted(recipe: &Recipe, original: &[Vec<u8>], key: LeafKey<'_>) -> Identity {
    let names = [HOST.parse().unwrap()];
    let request = Request { names: &names, server_chain: original, authority: authority(), now: NOW, key };
    mint(recipe, &request).unwrap().identity
}

pub(super) fn fresh(kind: KeyKind) -> Identity {
    minted(&Recipe::Fresh, &[], LeafKey::New(kind))
}

/// The identity of most tests.
pub(super) fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| fresh(KeyKind::P256))
}

pub(super) fn offer(versions: &str) -> Offer {
    Offer { server_name: Some(HOST.to_owned()), versions: versions.parse().unwrap(), ..Offer::default() }
}

/// What went over a wire: who sent it (`true`: the side of the tap), and the bytes.
#[derive(Clone, Default)]
pub(super) struct Wire(Arc<Mutex<Vec<Piece>>>);

/// Whether we sent it, and the bytes.
type Piece = (bool, Vec<u8>);

impl WireTap for Wire {
    fn wire(&mut self, _at: Instant, sent_by_us: bool, bytes: &[u8]) {
        self.0.lock().unwrap().push((sent_by_us, bytes.to_vec()));
    }

    fn count(&mut self, _received: usize) {}
}

impl Wire {
    pub(super) fn of(&self, sent_by_us: bool) -> Vec<u8> {
        let chunks = self.0.lock().unwrap();
        let wanted = chunks.iter().filter(|(by_us, _)| *by_us == sent_by_us);
        wanted.flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

/// A stream that keeps the bytes of each write apart.
pub(super) struct Counting<S> {
    pub(super) stream: S,
    pub(super) writes: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = result {
            self.writes.lock().unwrap().push(bytes[..written].to_vec());
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Two ends of one TCP connection over loopback.
pub(super) async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

pub(super) fn tee<S>(stream: S) -> Tee<S> {
    Tee::new(stream, Vec::new(), Wire::default())
}

/// Both ends of one TLS connection, ours on both: the leg to the server, then the leg to the client.
pub(super) async fn both_legs(
    identity: &Identity,
    offer: &Offer,
    stack: &Stack,
) -> (ServerLeg<TcpStream>, TlsStream<TcpStream>) {
    let (client, server) = connection().await;
    let identity = ServerIdentity::new(identity).unwrap();
    let legs = tokio::join!(connect(tee(client), offer, stack), accept(tee(server), &identity, stack));
    (legs.0.unwrap(), legs.1.unwrap())
}

pub(super) async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it ends")
}

/// Ends a connection by RST.
pub(super) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}
