//! TCP to the first address that answers (RFC 8305, "Happy Eyeballs").

use super::tcp_socket;
use crate::trace::{ConnectError, Detail};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// RFC 8305, section 8: how long one address has before the next one is tried beside it.
const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Windows sends a SYN three times within 21 s before it gives up; mstsc waits as long.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(21);

/// The connections that were begun and of which nothing is known yet, each with what `events` says of it.
pub(super) fn under_way<'a, T>(events: impl Iterator<Item = (T, &'a Detail)>) -> Vec<(T, String)> {
    let mut under_way = Vec::new();
    for (at, detail) in events {
        match detail {
            Detail::Connecting { address } => under_way.push((at, address.clone())),
            Detail::ConnectFailed { address, .. } => under_way.retain(|(_, other)| other != address),
            _ => {}
        }
    }
    under_way
}

/// Connects to the first of `addresses` that answers and tells `say` each step. The error is that of the last one.
pub async fn connect(addresses: &[SocketAddr], say: impl FnMut(Detail)) -> io::Result<TcpStream> {
    connect_with(addresses, CONNECT_TIMEOUT, None, say).await
}

/// The same with another limit for each address, and with segments of at most `mss` bytes.
pub(crate) async fn connect_with(
    addresses: &[SocketAddr],
    limit: Duration,
    mss: Option<u32>,
    mut say: impl FnMut(Detail),
) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter().copied();
    let mut under_way = FuturesUnordered::new();
    let mut abandoned: Vec<(SocketAddr, Instant)> = Vec::new();
    let mut last_error = io::Error::new(io::ErrorKind::InvalidInput, "there is no address to connect to");
    loop {
        if let Some(address) = waiting.next() {
            say(Detail::Connecting { address: address.to_string() });
            let began = Instant::now();
            abandoned.push((address, began));
            under_way.push(async move { (address, began, attempt(address, limit, mss).await) });
        } else if under_way.is_empty() {
            return Err(last_error);
        }
        let more_to_try = waiting.len() > 0;
        let finished = tokio::select! {
            finished = under_way.next() => finished,
            () = tokio::time::sleep(CONNECTION_ATTEMPT_DELAY), if more_to_try => None,
        };
        let Some((address, began, result)) = finished else { continue };
        abandoned.retain(|(other, _)| *other != address);
        match result {
            Ok(stream) => {
                say(connected(address, &stream, began.elapsed()));
                for (address, began) in abandoned {
                    say(Detail::ConnectAbandoned {
                        address: address.to_string(),
                        took_us: micros(began.elapsed()),
                    });
                }
                return Ok(stream);
            }
            Err(error) => {
                say(failed(&address.to_string(), &error, began.elapsed()));
                last_error = error;
            }
        }
    }
}

/// What to say of an address that could not be connected.
pub fn failed(address: &str, error: &io::Error, took: Duration) -> Detail {
    Detail::ConnectFailed {
        address: address.to_owned(),
        error: classify(error),
        reason: plain_reason(error),
        took_us: micros(took),
    }
}

/// A duration in whole microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What the system said, without the code that Rust appends to it and the full stop that Windows ends it with.
pub fn plain_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().trim_end_matches(['.', ' ']);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Connects to one address, with segments of at most `mss` bytes in both directions. A limit that runs out is an error
/// like the system's own.
pub(crate) async fn attempt(address: SocketAddr, limit: Duration, mss: Option<u32>) -> io::Result<TcpStream> {
    let open = async { tcp_socket::new(address, mss)?.connect(address).await };
    match tokio::time::timeout(limit, open).await {
        Ok(result) => result,
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs())))
        }
    }
}

fn connected(address: SocketAddr, stream: &TcpStream, took: Duration) -> Detail {
    let local = stream.local_addr().map_or_else(|_| String::new(), |local| local.to_string());
    Detail::Connected { address: address.to_string(), local, took_us: micros(took) }
}

/// What a system answers that has no descriptor, memory or port left for us: EMFILE, ENFILE, ENOBUFS, ENOMEM and
/// EADDRNOTAVAIL. It says nothing of the other side.
#[cfg(unix)]
const OWN_LIMITS: [i32; 5] = {
    use rustix::io::Errno;
    [
        Errno::MFILE.raw_os_error(),
        Errno::NFILE.raw_os_error(),
        Errno::NOBUFS.raw_os_error(),
        Errno::NOMEM.raw_os_error(),
        Errno::ADDRNOTAVAIL.raw_os_error(),
    ]
};
/// The same of Windows: WSAEMFILE, WSAENOBUFS and WSAEADDRNOTAVAIL.
#[cfg(not(unix))]
const OWN_LIMITS: [i32; 3] = [10024, 10055, 10049];

/// What to say where it was this machine that could not do it, and not the other side.
pub(crate) fn own_limit(error: &io::Error) -> Option<String> {
    let is_own = error.raw_os_error().is_some_and(|code| OWN_LIMITS.contains(&code));
    is_own.then(|| format!("this machine gave rdpscope no connection to the server: {}", plain_reason(error)))
}

/// The kind of a failure to connect.
pub(crate) fn classify(error: &io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused,
        io::ErrorKind::TimedOut => ConnectError::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ConnectError::Unreachable,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => ConnectError::Reset,
        _ => ConnectError::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[tokio::test]
    async fn the_second_address_is_tried_when_the_first_refuses() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let mut said = Vec::new();
        let stream = connect(&[closed, open], |detail| said.push(detail)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        let names: Vec<&str> = said
            .iter()
            .map(|detail| match detail {
                Detail::Connecting { .. } => "connecting",
                Detail::ConnectFailed { error: ConnectError::Refused, .. } => "refused",
                Detail::Connected { .. } => "connected",
                _ => "other",
            })
            .collect();
        assert_eq!(names, ["connecting", "refused", "connecting", "connected"]);
    }

    #[test]
    fn what_the_system_says_is_a_part_of_a_sentence() {
        for said in ["Connection refused (os error 111)", "Connection refused. (os error 10061)"] {
            assert_eq!(plain_reason(&io::Error::other(said)), "connection refused");
        }
    }

    #[test]
    #[cfg(unix)]
    fn what_this_machine_lacks_is_told_apart_from_what_the_server_refuses() {
        let error = |errno: rustix::io::Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        let said = own_limit(&error(rustix::io::Errno::MFILE)).unwrap();
        assert!(said.starts_with("this machine gave") && said.ends_with("too many open files"), "{said}");
        assert_eq!(own_limit(&error(rustix::io::Errno::CONNREFUSED)), None);
        assert_eq!(own_limit(&io::Error::new(io::ErrorKind::TimedOut, "no answer")), None);
    }

    #[tokio::test]
    async fn no_address_at_all_is_an_error() {
        assert_eq!(connect(&[], |_| ()).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
