//! rdpscope as an HTTP proxy for CONNECT (RFC 9110 9.3.6): to the gateway or the server of this run, and nowhere else,
//! because an open proxy would be a way for strangers into the network.

use crate::relay::listener::Settings;
use crate::relay::target::Target;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The head of a CONNECT is a few lines; a ticket of Negotiate may be among them.
const LONGEST_HEAD: usize = 64 * 1024;
/// Header lines of a request; httparse wants to know how many there may be.
const MOST_HEADERS: usize = 64;
/// A client says at once where it wants to go.
const PATIENCE: Duration = Duration::from_secs(20);
/// HTTPS, where a client names no other port.
const HTTPS_PORT: u16 = 443;

/// Where a client may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// To the gateway, or to the KDC proxy on its host.
    Gateway,
    /// To the server itself.
    Server,
}

/// A request that leads nowhere: the status and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refused(&'static str, String);

/// Reads a client's request and answers it; nothing where the client is refused or has left.
pub(super) async fn answer(client: &mut TcpStream, settings: &Settings) -> Option<Destination> {
    let head = whole_head(client).await?;
    match destination(&head, settings) {
        Ok(destination) => {
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
            Some(destination)
        }
        Err(Refused(status, reason)) => {
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: \
                 close\r\n\r\n{reason}\n",
                reason.len() + 1
            );
            // A client that has left needs no reason.
            let _ = client.write_all(answer.as_bytes()).await;
            let _ = client.shutdown().await;
            None
        }
    }
}

/// The head of a client's request; nothing where it does not come to an end in time.
async fn whole_head(client: &mut TcpStream) -> Option<Vec<u8>> {
    tokio::time::timeout(PATIENCE, read_head(client)).await.ok()?.ok()
}

async fn read_head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    // Byte by byte, because what follows the head already belongs to TLS.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= LONGEST_HEAD {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request has no end"));
        }
        head.push(client.read_u8().await?);
    }
    Ok(head)
}

fn destination(head: &[u8], settings: &Settings) -> Result<Destination, Refused> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let is_whole = matches!(request.parse(head), Ok(httparse::Status::Complete(_)));
    let (Some(method), Some(authority), true) = (request.method, request.path, is_whole) else {
        return Err(Refused("400 Bad Request", "this is no request of HTTP".to_owned()));
    };
    if !method.eq_ignore_ascii_case("CONNECT") {
        let reason = "rdpscope is a proxy for CONNECT alone".to_owned();
        return Err(Refused("405 Method Not Allowed", reason));
    }
    let server = &settings.route.target;
    let gateway = settings.gateway.as_ref().map(|gateway| &gateway.route);
    let asked = Target::parse(authority, HTTPS_PORT)
        .map_err(|error| Refused("400 Bad Request", error.to_string()))?;
    let is_gateway = gateway.is_some_and(|route| {
        let hosts = [Some(&route.target), route.address.as_ref()];
        let same_host = hosts.into_iter().flatten().any(|known| is_same_host(known, &asked));
        same_host && (asked.port == route.target.port || asked.port == HTTPS_PORT)
    });
    if is_gateway {
        return Ok(Destination::Gateway);
    }
    if is_same_host(server, &asked) && server.port == asked.port {
        return Ok(Destination::Server);
    }
    let allowed = match gateway {
        Some(route) => format!("the gateway {} and to {server}", route.target),
        None => server.to_string(),
    };
    Err(Refused("403 Forbidden", format!("this proxy leads only to {allowed}, not to {asked}")))
}

fn is_same_host(one: &Target, other: &Target) -> bool {
    let plain = |target: &Target| target.host.trim_end_matches('.').to_ascii_lowercase();
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// What is read of a client that sends a part of `head` in each second, and then nothing more.
    async fn read_of(parts: usize, head: &'static [u8]) -> (Option<Vec<u8>>, Duration) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut ours, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            for part in head.chunks(head.len().div_ceil(parts)) {
                client.write_all(part).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let _ = client.read_to_end(&mut Vec::new()).await;
        });
        let began = tokio::time::Instant::now();
        (whole_head(&mut ours).await, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_without_an_end_is_waited_for_so_long_and_a_slow_one_is_read() {
        let (head, took) = read_of(3, b"CONNECT srv10:3389 HTTP/1.1\r\nHost: srv10\r\n").await;
        assert_eq!((head, took.as_secs()), (None, PATIENCE.as_secs()));
        let whole = b"CONNECT srv10:3389 HTTP/1.1\r\nHost: srv10\r\n\r\n";
        let (head, took) = read_of(15, whole).await;
        assert_eq!((head.as_deref(), took.as_secs()), (Some(&whole[..]), 14));
    }
}
