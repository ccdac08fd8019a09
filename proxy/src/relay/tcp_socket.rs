//! TCP sockets as they are before they connect or listen.

use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpSocket;

/// A socket for `address`, with segments of at most `mss` bytes in both directions.
///
/// # Errors
/// Where the system has no socket left, or no such setting.
pub(super) fn new(address: SocketAddr, mss: Option<u32>) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(mss) = mss {
        set_mss(&socket, mss)?;
    }
    #[cfg(target_os = "linux")]
    if address.ip().is_loopback() {
        do_not_pace(&socket);
    }
    Ok(socket)
}

#[cfg(unix)]
fn set_mss(socket: &TcpSocket, mss: u32) -> io::Result<()> {
    SockRef::from(socket).set_tcp_mss(mss)
}

/// Other systems have no such setting.
#[cfg(not(unix))]
fn set_mss(_socket: &TcpSocket, _mss: u32) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such setting"))
}

/// Where the system's congestion control is BBR, it meters out what stays on this machine by timers, for a network that is
/// not there. Bulk data in one direction through a relay on two processors, whose ends have BBR: 2.6 GB/s where the relay has
/// it, too, and 3.5 where it has not. Reno is the one that every Linux has and anybody may set (RFC 5681). It has to be so
/// before the connection is there.
#[cfg(target_os = "linux")]
fn do_not_pace(socket: &TcpSocket) {
    // Without it the bytes arrive as well, only slower.
    let _ = SockRef::from(socket).set_tcp_congestion(b"reno");
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn congestion_control(address: &str) -> String {
        let socket = new(address.parse().expect("an address"), None).expect("a socket");
        let name = SockRef::from(&socket).tcp_congestion().expect("Linux has this option");
        String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned()
    }

    #[test]
    fn what_stays_on_this_machine_is_not_paced_and_a_network_has_what_the_system_chose() {
        let default =
            std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").expect("it is there");
        assert_eq!(["127.0.0.1:1", "[::1]:1"].map(congestion_control), ["reno", "reno"]);
        assert_eq!(["0.0.0.0:1", "192.0.2.1:1"].map(congestion_control), [default.trim(); 2]);
    }
}
