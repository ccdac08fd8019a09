//! What the operating system knows of a TCP connection. The one module of the crate with unsafe code: no safe
//! wrapper of `TCP_INFO` exists in the crates used here.

use crate::trace::TcpInfo;
use tokio::net::TcpStream;

/// Round trip time and retransmissions of `stream`; `None` where the system does not say.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub(crate) fn tcp_info(stream: &TcpStream) -> Option<TcpInfo> {
    use std::mem::{MaybeUninit, size_of};
    use std::os::fd::AsRawFd;

    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the call because `stream` is borrowed; the kernel writes at
    // most `length` bytes into `info`, which is that large and, being zeroed integers, valid however much it writes.
    let info = unsafe {
        let result = libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &mut length,
        );
        if result != 0 {
            return None;
        }
        info.assume_init()
    };
    Some(TcpInfo {
        rtt_us: (info.tcpi_rtt > 0).then_some(info.tcpi_rtt),
        rtt_variance_us: (info.tcpi_rtt > 0).then_some(info.tcpi_rttvar),
        retransmitted_segments: Some(info.tcpi_total_retrans),
        segments_out: (info.tcpi_segs_out > 0).then_some(info.tcpi_segs_out),
        send_mss: Some(info.tcpi_snd_mss),
    })
}

/// Round trip time and retransmissions of `stream`; this system is not asked for them.
#[cfg(not(target_os = "linux"))]
pub(crate) fn tcp_info(_stream: &TcpStream) -> Option<TcpInfo> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn loopback_has_a_round_trip_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let info = tcp_info(&stream).unwrap();
        assert!(info.rtt_us.is_some_and(|rtt| rtt < 1_000_000), "{info:?}");
        assert_eq!(info.retransmitted_segments, Some(0));
    }
}
