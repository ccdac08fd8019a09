//! The way out through somebody else's proxy: HTTP CONNECT (RFC 9110, 9.3.6) or SOCKS5 (RFC 1928).

use super::connect;
use super::resolve::resolve;
use super::target::{Target, TargetError};
use crate::trace::Detail;
use std::fmt;
use std::io;
use std::str::FromStr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A proxy's answer is a few hundred bytes; a page of explanation may come with a refusal.
const LONGEST_ANSWER: usize = 64 * 1024;
/// Header lines of an answer; httparse wants to know how many there may be.
const MOST_HEADERS: usize = 64;
const HTTP_PORT: u16 = 8080;
const SOCKS_PORT: u16 = 1080;

/// What the proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// HTTP CONNECT.
    Http,
    /// SOCKS version 5, names resolved by the proxy.
    Socks5,
}

/// A proxy between rdpscope and the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamProxy {
    /// What it speaks.
    pub protocol: ProxyProtocol,
    /// Where it is.
    pub address: Target,
}

/// Why a proxy's URL could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// Neither `http://` nor `socks5://`.
    #[error("upstream proxy {0:?} is neither http://HOST[:PORT] nor socks5://HOST[:PORT]")]
    Scheme(String),
    /// A user name in the URL.
    #[error(
        "upstream proxy: a password on the command line can be read by every user of this machine; use a proxy that knows this machine by its address"
    )]
    Credentials,
    /// The host or port is not one.
    #[error("upstream proxy: {0}")]
    Address(#[from] TargetError),
}

impl FromStr for UpstreamProxy {
    type Err = ProxyUrlError;

    fn from_str(url: &str) -> Result<UpstreamProxy, ProxyUrlError> {
        // First, so that no other error repeats what may hold a password.
        if url.contains('@') {
            return Err(ProxyUrlError::Credentials);
        }
        let (protocol, rest, port) = if let Some(rest) = url.strip_prefix("http://") {
            (ProxyProtocol::Http, rest, HTTP_PORT)
        } else if let Some(rest) = url.strip_prefix("socks5://") {
            (ProxyProtocol::Socks5, rest, SOCKS_PORT)
        } else {
            return Err(ProxyUrlError::Scheme(url.to_owned()));
        };
        let address = Target::parse(rest.trim_end_matches('/'), port)?;
        Ok(UpstreamProxy { protocol, address })
    }
}

impl fmt::Display for UpstreamProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            ProxyProtocol::Http => "http",
            ProxyProtocol::Socks5 => "socks5",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

/// Reaches `target` through `proxy`, with segments of at most `mss` bytes where that is set, and tells `say` each step.
pub async fn connect(
    proxy: &UpstreamProxy,
    target: &Target,
    mss: Option<u32>,
    mut say: impl FnMut(Detail),
) -> io::Result<TcpStream> {
    let began = Instant::now();
    let refused = |reason: String| Detail::UpstreamProxyRefused {
        proxy: proxy.to_string(),
        target: target.to_string(),
        reason,
    };
    let addresses = resolve(&proxy.address).await.inspect_err(|error| {
        say(refused(format!("its name does not resolve: {}", connect::plain_reason(error))));
    })?;
    let stream = connect::connect_with(&addresses, connect::CONNECT_TIMEOUT, mss, |detail| {
        // The server is connected only when the proxy says so.
        if !matches!(detail, Detail::Connected { .. }) {
            say(detail);
        }
    })
    .await
    .inspect_err(|error| {
        say(refused(format!("it cannot be reached: {}", connect::plain_reason(error))));
    })?;
    let opened = tokio::time::timeout(connect::CONNECT_TIMEOUT, open(proxy, target, stream)).await;
    let opened = opened.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer")));
    match opened {
        Ok(stream) => {
            let took_us = connect::micros(began.elapsed());
            say(Detail::UpstreamProxyOpened {
                proxy: proxy.to_string(),
                target: target.to_string(),
                took_us,
            });
            let local = stream.local_addr().map_or_else(|_| String::new(), |local| local.to_string());
            say(Detail::Connected { address: target.to_string(), local, took_us });
            Ok(stream)
        }
        Err(error) => {
            say(refused(match error.kind() {
                io::ErrorKind::UnexpectedEof => "it closed the connection instead of an answer".to_owned(),
                _ => connect::plain_reason(&error),
            }));
            Err(error)
        }
    }
}

/// Asks `proxy`, to which `stream` leads, for a way to `target`. Of what follows its answer nothing is read. The caller
/// sets a time limit.
///
/// # Errors
/// It refuses, answers something else than its protocol has, or closes.
pub async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    proxy: &UpstreamProxy,
    target: &Target,
    stream: S,
) -> io::Result<S> {
    match proxy.protocol {
        ProxyProtocol::Http => open_http(target, stream).await,
        ProxyProtocol::Socks5 => {
            tokio_socks::tcp::Socks5Stream::connect_with_socket(stream, (target.host.as_str(), target.port))
                .await
                .map(tokio_socks::tcp::Socks5Stream::into_inner)
                .map_err(io::Error::other)
        }
    }
}

async fn open_http<S: AsyncRead + AsyncWrite + Unpin>(target: &Target, mut stream: S) -> io::Result<S> {
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        // Byte by byte, because what follows the head already belongs to the server.
        answer.push(stream.read_u8().await?);
        if !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= LONGEST_ANSWER {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer has no end"));
            }
            continue;
        }
        return match status(&answer)? {
            (200..=299, _) => Ok(stream),
            (code, reason) => Err(io::Error::other(format!("it answered {code} {reason}"))),
        };
    }
}

fn status(answer: &[u8]) -> io::Result<(u16, String)> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(answer) {
        Ok(httparse::Status::Complete(_)) => {
            Ok((response.code.unwrap_or_default(), response.reason.unwrap_or_default().to_owned()))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is not HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls_and_refuses_passwords() {
        let parsed = |url: &str| url.parse::<UpstreamProxy>();
        assert_eq!(parsed("http://gate.example:3128").unwrap().to_string(), "http://gate.example:3128");
        assert_eq!(parsed("socks5://127.0.0.1/").unwrap().to_string(), "socks5://127.0.0.1:1080");
        assert_eq!(parsed("http://user:secret@gate"), Err(ProxyUrlError::Credentials));
        assert_eq!(parsed("https://user:secret@gate"), Err(ProxyUrlError::Credentials));
        assert!(matches!(parsed("https://gate"), Err(ProxyUrlError::Scheme(_))));
        assert!(matches!(parsed("http://"), Err(ProxyUrlError::Address(_))));
    }

    #[test]
    fn reads_the_status_of_a_refusal() {
        let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\n\r\n";
        assert_eq!(status(answer).unwrap(), (407, "Proxy Authentication Required".to_owned()));
        assert!(status(b"SSH-2.0\r\n\r\n").is_err());
    }

    /// A proxy that answers with a byte of `answer` in each second, and then no more.
    async fn dribbling(answer: &'static [u8]) -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for byte in answer {
                stream.write_all(&[*byte]).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        address
    }

    async fn through(scheme: &str, answer: &'static [u8]) -> (bool, Vec<Detail>, std::time::Duration) {
        let target: Target = "srv10".parse().unwrap();
        let proxy: UpstreamProxy = format!("{scheme}://{}", dribbling(answer).await).parse().unwrap();
        let mut said = Vec::new();
        let began = Instant::now();
        let connected = connect(&proxy, &target, None, |detail| said.push(detail)).await;
        (connected.is_ok(), said, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_dribbles_without_end_is_given_up() {
        let halves = [("http", &b"HTTP/1.1 200 Connection established\r\n"[..]), ("socks5", b"\x05")];
        for (scheme, half) in halves {
            let (is_connected, said, took) = through(scheme, half).await;
            assert!(
                !is_connected && took.as_secs() == connect::CONNECT_TIMEOUT.as_secs(),
                "{scheme} {took:?}"
            );
            let is_told = |detail: &Detail| matches!(detail, Detail::UpstreamProxyRefused { reason, .. } if reason == "it did not answer");
            assert!(said.iter().any(is_told), "{said:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_is_slow_and_comes_to_an_end_is_waited_for() {
        let (is_connected, _, took) = through("http", b"HTTP/1.1 200 OK\r\n\r\n").await;
        assert!(is_connected && took.as_secs() == 18, "{took:?}");
    }
}
