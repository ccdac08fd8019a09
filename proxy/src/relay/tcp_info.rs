//! What the operating system knows of a TCP connection. The one module of the crate with unsafe code: no safe
//! wrapper of these questions exists in the crates used here.

use crate::trace::TcpInfo;
use tokio::net::TcpStream;

/// Round trip time and retransmissions of `stream`; `None` where the system does not say.
#[cfg(target_os = "linux")]
pub(crate) fn tcp_info(stream: &TcpStream) -> Option<TcpInfo> {
    let info: libc::tcp_info = option(stream, libc::TCP_INFO)?;
    Some(TcpInfo {
        rtt_us: (info.tcpi_rtt > 0).then_some(info.tcpi_rtt),
        rtt_variance_us: (info.tcpi_rtt > 0).then_some(info.tcpi_rttvar),
        retransmitted_segments: Some(info.tcpi_total_retrans),
        segments_out: (info.tcpi_segs_out > 0).then_some(info.tcpi_segs_out),
        send_mss: Some(info.tcpi_snd_mss),
        ..TcpInfo::default()
    })
}

/// The same of macOS, which counts what was sent again in bytes and measures in milliseconds.
#[cfg(target_os = "macos")]
pub(crate) fn tcp_info(stream: &TcpStream) -> Option<TcpInfo> {
    let info: libc::tcp_connection_info = option(stream, libc::TCP_CONNECTION_INFO)?;
    let resent = info.tcpi_txretransmitbytes;
    let us = |ms: u32| (info.tcpi_srtt > 0).then(|| ms.saturating_mul(1000));
    Some(TcpInfo {
        rtt_us: us(info.tcpi_srtt),
        rtt_variance_us: us(info.tcpi_rttvar),
        retransmitted_segments: (resent == 0).then_some(0),
        segments_out: u32::try_from(info.tcpi_txpackets).ok(),
        send_mss: Some(info.tcpi_maxseg),
        retransmitted_bytes: Some(resent),
        bytes_out: Some(info.tcpi_txbytes),
        ..TcpInfo::default()
    })
}

/// What the system keeps of a socket under this name among the options of TCP.
#[cfg(any(target_os = "linux", target_os = "macos"))]
#[allow(unsafe_code)]
fn option<T: Counters>(stream: &TcpStream, name: libc::c_int) -> Option<T> {
    use std::mem::{MaybeUninit, size_of};
    use std::os::fd::AsRawFd;

    let mut value = MaybeUninit::<T>::zeroed();
    let mut length = size_of::<T>() as libc::socklen_t;
    let to = value.as_mut_ptr().cast();
    // SAFETY: the descriptor is open for the length of the call because `stream` is borrowed; the kernel writes at
    // most `length` bytes into `value`, which is that large and, being zeroed integers, valid however much it writes.
    unsafe {
        let answer = libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, name, to, &mut length);
        (answer == 0).then(|| value.assume_init())
    }
}

/// A struct of integers and nothing else: any bytes are a value of it.
#[cfg(any(target_os = "linux", target_os = "macos"))]
trait Counters: Copy {}
#[cfg(target_os = "linux")]
impl Counters for libc::tcp_info {}
#[cfg(target_os = "macos")]
impl Counters for libc::tcp_connection_info {}

/// The same of Windows 10 and Server 2016 or newer (`SIO_TCP_INFO`), which count what was sent again in bytes.
#[cfg(windows)]
#[allow(unsafe_code)]
pub(crate) fn tcp_info(stream: &TcpStream) -> Option<TcpInfo> {
    use std::mem::size_of;
    use std::os::windows::io::AsRawSocket;
    use std::ptr::{from_mut, from_ref, null_mut};
    use windows_sys::Win32::Networking::WinSock::{SIO_TCP_INFO, SOCKET, TCP_INFO_v0, WSAIoctl};

    const VERSION: u32 = 0;
    let socket = stream.as_raw_socket() as SOCKET;
    let mut info = TCP_INFO_v0::default();
    let (asked, room) = (size_of::<u32>() as u32, size_of::<TCP_INFO_v0>() as u32);
    let mut length = 0;
    // SAFETY: the socket is open for the length of the call because `stream` is borrowed; without an overlapped
    // structure the call is over when it returns. It reads `asked` bytes of a constant and writes at most `room` bytes
    // into `info`, which is that large; its one field that is not a number, a boolean, is written by the system.
    let answer = unsafe {
        WSAIoctl(
            socket,
            SIO_TCP_INFO,
            from_ref(&VERSION).cast(),
            asked,
            from_mut(&mut info).cast(),
            room,
            &mut length,
            null_mut(),
            None,
        )
    };
    (answer == 0 && length >= room).then(|| TcpInfo {
        rtt_us: (info.RttUs > 0).then_some(info.RttUs),
        retransmitted_segments: (info.BytesRetrans == 0 && info.SynRetrans == 0).then_some(0),
        send_mss: Some(info.Mss),
        retransmitted_bytes: Some(info.BytesRetrans.into()),
        bytes_out: Some(info.BytesOut),
        ..TcpInfo::default()
    })
}

/// Round trip time and retransmissions of `stream`; this system is not asked for them.
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
pub(crate) fn tcp_info(_stream: &TcpStream) -> Option<TcpInfo> {
    None
}

#[cfg(all(test, any(target_os = "linux", target_os = "macos", windows)))]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Wine does not answer the question; every Windows of today does.
    #[tokio::test]
    async fn loopback_has_a_round_trip_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut other, _) = listener.accept().await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        other.read_exact(&mut [0; 4]).await.unwrap();
        let info = tcp_info(&stream);
        if cfg!(windows) && info.is_none() {
            return;
        }
        let info = info.unwrap();
        assert!(info.rtt_us.is_none_or(|rtt| rtt < 1_000_000), "{info:?}");
        if cfg!(target_os = "linux") {
            assert!(info.rtt_us.is_some(), "{info:?}");
            assert_eq!(info.retransmitted_segments, Some(0));
        } else {
            assert_eq!(info.retransmitted_bytes, Some(0));
        }
    }
}
