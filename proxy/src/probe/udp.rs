//! RDP-UDP on the port of the same number (MS-RDPEUDP, MS-RDPEUDP2): which versions of a SYN are answered, and whether
//! TLS or DTLS begins over it. No session stands behind it, so nothing goes beyond the first hello.

mod lossy;
mod reliable;

use super::tls::random;
use super::way::Way;
use crate::trace::{UdpAnswer, UdpCheck};
use crate::wire::rdpeudp::{Datagram, SynData};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::Instant;

/// UDP conversations that [`check`] begins: one of each version over reliable transport, one over lossy.
pub(super) const CONVERSATIONS: u32 = 4;
/// Windows repeats a SYN within 3.2 s before it gives UDP up (MS-RDPEUDP 3.1.6.1); later answers help nobody.
const SYN_WITHIN: Duration = Duration::from_secs(4);
/// How long a hello may remain unanswered over a transport that was opened; data is repeated within that several times.
const HELLO_WITHIN: Duration = Duration::from_secs(3);
/// Bytes of the largest datagram that RDP-UDP sends, with room for one that breaks its rules.
const LARGEST_DATAGRAM: usize = 2048;
/// Bytes at the start of a strange answer that are kept.
const TELLING_BYTES: usize = 16;

/// Asks the server at the end of `way`; nothing where so many conversations were not promised.
pub(super) async fn check(way: &Way) -> Option<UdpCheck> {
    for _ in 0..CONVERSATIONS {
        way.budget.conversation().ok()?;
    }
    let server = way.address;
    let (one, two, three, lossy) = tokio::join!(
        reliable::open(server, reliable::Version::One, None),
        reliable::open(server, reliable::Version::Two, None),
        reliable::open(server, reliable::Version::Three, Some(&way.server_name)),
        lossy::open(server, &way.server_name),
    );
    let (three, tls) = three;
    Some(UdpCheck {
        address: server.to_string(),
        versions: [(1, one.0), (2, two.0), (3, three)].into_iter().collect(),
        tls,
        dtls: lossy,
    })
}

/// Where a conversation's numbers begin: not to be guessed, like TCP's.
fn initial_sequence_number() -> u32 {
    random()
        .map_or(0, |[first, second, third, fourth, ..]| u32::from_be_bytes([first, second, third, fourth]))
}

/// A socket that only hears `server`, so that ICMP's "port unreachable" comes back as an error.
pub(super) async fn dial(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    Ok(socket)
}

/// What an error of the socket says of the server.
fn unanswered(error: &io::Error, sent: u32) -> UdpAnswer {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => UdpAnswer::Unreachable,
        _ => UdpAnswer::Silent { sent },
    }
}

/// The answer to the last of `sent` SYNs, the first of which was sent at `began`.
fn read_answer(bytes: &[u8], began: Instant, sent: u32) -> UdpAnswer {
    match Datagram::decode(bytes) {
        Ok(datagram @ Datagram { syn_data: Some(SynData { up_stream_mtu, down_stream_mtu, .. }), .. })
            if datagram.is_syn_ack() =>
        {
            UdpAnswer::SynAck {
                version: datagram.version(),
                up_stream_mtu,
                down_stream_mtu,
                took_us: crate::relay::connect::micros(began.elapsed()),
                lost: sent.saturating_sub(1),
            }
        }
        _ => UdpAnswer::Other { first_bytes: hex::encode(&bytes[..bytes.len().min(TELLING_BYTES)]) },
    }
}
