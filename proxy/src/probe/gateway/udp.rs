//! The side channel over UDP (MS-TSGU 2.2.11): a DTLS hello with the bytes that clients put behind it, and one without,
//! as boxes on the way may drop what has them.

use crate::probe::hello;
use crate::probe::tls::random;
use crate::probe::way::Way;
use crate::trace::{GatewayUdpCheck, HelloAnswer};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// UDP conversations that [`check`] begins.
pub(super) const CONVERSATIONS: u32 = 2;
/// How long a hello may remain unanswered; it is repeated within that.
const WITHIN: Duration = Duration::from_secs(3);
/// How long before it is repeated, as DTLS does it (RFC 6347 4.2.4.1).
const REPEAT_AFTER: Duration = Duration::from_secs(1);
/// Bytes of the largest datagram, with room for one that breaks the rules.
const LARGEST_DATAGRAM: usize = 2048;
/// Bytes at the start of a strange answer that are kept.
const TELLING_BYTES: usize = 16;

/// Asks the gateway at the end of `way` on `port`; nothing where so many conversations were not promised.
pub(super) async fn check(way: &Way, port: u16) -> Option<GatewayUdpCheck> {
    for _ in 0..CONVERSATIONS {
        way.budget.conversation().ok()?;
    }
    let gateway = SocketAddr::new(way.address.ip(), port);
    let hello = hello::usual_dtls(&way.server_name);
    let correlated = [hello.clone(), correlation_info()].concat();
    let (with_correlation, without_correlation) = tokio::join!(ask(gateway, correlated), ask(gateway, hello));
    Some(GatewayUdpCheck { address: gateway.to_string(), with_correlation, without_correlation })
}

/// UDP_CORRELATION_INFO (MS-TSGU 2.2.11.6) with an id of nobody's.
fn correlation_info() -> Vec<u8> {
    let id: [u8; 16] = random().and_then(|it| it.first_chunk().copied()).unwrap_or_default();
    [&[0; 4][..], &0x1DAA_u16.to_le_bytes(), &id, &0xAA1D_u16.to_le_bytes(), &26_u16.to_le_bytes()].concat()
}

async fn ask(gateway: SocketAddr, hello: Vec<u8>) -> HelloAnswer {
    match exchange(gateway, &hello).await {
        Ok(answer) => answer,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            HelloAnswer::NotReached { reason: "nobody listens there (ICMP port unreachable)".to_owned() }
        }
        Err(error) => HelloAnswer::NotReached { reason: crate::relay::connect::plain_reason(&error) },
    }
}

async fn exchange(gateway: SocketAddr, hello: &[u8]) -> io::Result<HelloAnswer> {
    let socket: UdpSocket = crate::probe::udp::dial(gateway).await?;
    let mut buffer = [0; LARGEST_DATAGRAM];
    let mut strange = None;
    let deadline = Instant::now() + WITHIN;
    while Instant::now() < deadline {
        socket.send(hello).await?;
        let repeat = (Instant::now() + REPEAT_AFTER).min(deadline);
        while let Ok(received) = timeout_at(repeat, socket.recv(&mut buffer)).await {
            let said = &buffer[..received?];
            match hello::dtls_answer(said) {
                Some(answer) => return Ok(answer),
                None => strange = Some(hex::encode(&said[..said.len().min(TELLING_BYTES)])),
            }
        }
    }
    Ok(strange.map_or(HelloAnswer::Silent, |first_bytes| HelloAnswer::Other { first_bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correlation_info_is_as_long_as_it_says() {
        let info = correlation_info();
        assert_eq!((info.len(), &info[24..]), (26, &[26, 0][..]));
    }
}
