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
    let head = tokio::time::timeout(PATIENCE, read_head(client)).await.ok()?.ok()?;
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
