//! What must hold for any bytes of a peer that rdpscope itself talks to.

use super::pieces;
use futures_util::FutureExt;
use rdpscope::intercept::credssp::{Credentials, CredsspTap, accept, connect};
use rdpscope::intercept::tls::peek_client_hello;
use rdpscope::relay::target::Target;
use rdpscope::relay::upstream_proxy::{ProxyProtocol, UpstreamProxy, open};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroizing;

/// What stands for a server's public key.
const KEY: &[u8] = b"the key of one certificate";

/// A peer that says these pieces, one with each read, and leaves; it is told anything.
struct Peer<'a> {
    says: Vec<&'a [u8]>,
}

impl<'a> Peer<'a> {
    fn new(pieces: &[&'a [u8]]) -> Peer<'a> {
        Peer { says: pieces.iter().rev().copied().collect() }
    }

    /// What nobody has read.
    fn left(&self) -> usize {
        self.says.iter().map(|piece| piece.len()).sum()
    }
}

impl AsyncRead for Peer<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(piece) = self.says.pop() {
            let (now, later) = piece.split_at(piece.len().min(buffer.remaining()));
            buffer.put_slice(now);
            if !later.is_empty() {
                self.says.push(later);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// `bytes` whole, byte by byte and in other pieces; none is empty, which would be the end.
fn each_way(bytes: &[u8]) -> [Vec<&[u8]>; 3] {
    [bytes.chunks(bytes.len().max(1)).collect(), bytes.chunks(1).collect(), pieces(bytes)]
}

/// The same for every way in which the bytes come.
fn the_same<T: PartialEq + std::fmt::Debug>(bytes: &[u8], judge: impl Fn(&[&[u8]]) -> T) {
    let [whole, single, other] = each_way(bytes).map(|pieces| judge(&pieces));
    assert_eq!(whole, single, "in single bytes");
    assert_eq!(whole, other, "in other pieces");
}

/// A client's first bytes: its ClientHello or why there is none, and nothing is read that is not kept.
pub(super) fn first_hello(bytes: &[u8]) {
    the_same(bytes, |pieces| {
        let (mut peer, mut read) = (Peer::new(pieces), Vec::new());
        let mut shown = 0;
        let mut tap = |_: Instant, _: bool, bytes: &[u8]| shown += bytes.len();
        let hello =
            peek_client_hello(&mut peer, &mut read, &mut tap).now_or_never().expect("the peer never waits");
        assert!(bytes.starts_with(&read), "what was read is kept");
        assert_eq!((shown, read.len() + peer.left()), (read.len(), bytes.len()));
        hello.map_err(|error| error.to_string())
    });
}

/// The answer of a proxy on the way: it leads through or it does not, and no byte behind it is lost. The first byte
/// chooses what the proxy speaks.
pub(super) fn upstream_proxy(bytes: &[u8]) {
    let Some((kind, answer)) = bytes.split_first() else { return };
    let protocol = if kind % 2 == 0 { ProxyProtocol::Http } else { ProxyProtocol::Socks5 };
    let target = |host: &str, port| Target { host: host.to_owned(), port };
    let proxy = UpstreamProxy { protocol, address: target("proxy.example", 8080) };
    the_same(answer, |pieces| {
        let opened = open(&proxy, &target("host.example", 3389), Peer::new(pieces)).now_or_never();
        let opened = opened.expect("the peer never waits").map(|peer| peer.left());
        if let (Ok(left), ProxyProtocol::Http) = (&opened, protocol) {
            let head = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("it has a head") + 4;
            assert_eq!(*left, answer.len() - head, "what is behind the head belongs to the server");
        }
        opened.map_err(|error| error.to_string())
    });
}

struct Nobody;

impl CredsspTap for Nobody {
    fn message(&mut self, _: bool, _: &[u8]) {}
}

/// Of no domain, so that no KDC is asked.
fn credentials() -> Credentials {
    Credentials::new("jane", Zeroizing::new("Right-1234".to_owned())).expect("a name")
}

/// A client that never heard our challenge is let in by nothing that it says.
pub(super) fn credssp_server(bytes: &[u8]) {
    the_same(bytes, |pieces| {
        let (mut peer, credentials) = (Peer::new(pieces), credentials());
        let accepted = accept(&mut peer, KEY, &credentials, &mut Nobody).now_or_never();
        accepted.expect("the peer never waits").expect_err("nobody is let in").to_string()
    });
}

/// A server that does not know the password is handed no credentials, whatever it says.
pub(super) fn credssp_client(bytes: &[u8]) {
    the_same(bytes, |pieces| {
        let (mut peer, credentials) = (Peer::new(pieces), credentials());
        let connected =
            connect(&mut peer, KEY, &credentials, "TERMSRV/host.example", &mut Nobody).now_or_never();
        connected.expect("the peer never waits").expect_err("nobody is trusted").to_string()
    });
}
