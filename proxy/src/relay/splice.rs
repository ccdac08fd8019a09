//! Moving bytes from socket to socket without copying them through this process (Linux `splice`).
//!
//! Used only while a stream that nobody looks at any more is busy: a calm session holds no pipe.

#[cfg(target_os = "linux")]
pub(super) use linux::Pipe;

#[cfg(target_os = "linux")]
mod linux {
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
    use std::io;
    use std::os::fd::OwnedFd;
    use std::task::{Context, Poll, ready};
    use tokio::io::Interest;
    use tokio::net::TcpStream;

    /// Bytes that one pipe may hold: the most an unprivileged process may ask for by default.
    const PIPE_SIZE: usize = 1 << 20;

    /// A pipe between two sockets.
    pub(in crate::relay) struct Pipe {
        reader: OwnedFd,
        writer: OwnedFd,
        held: usize,
    }

    impl Pipe {
        /// A new, empty pipe. Fails when the process has no descriptors left.
        pub(in crate::relay) fn new() -> io::Result<Pipe> {
            let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
            // A smaller pipe works as well, only slower.
            let _ = fcntl_setpipe_size(&writer, PIPE_SIZE);
            Ok(Pipe { reader, writer, held: 0 })
        }

        /// Whether everything that went in has come out.
        pub(in crate::relay) fn is_empty(&self) -> bool {
            self.held == 0
        }

        /// Takes bytes from `source`; 0 is its end.
        pub(in crate::relay) fn poll_fill(
            &mut self,
            cx: &mut Context<'_>,
            source: &TcpStream,
        ) -> Poll<io::Result<usize>> {
            loop {
                ready!(source.poll_read_ready(cx))?;
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                let moved = source.try_io(Interest::READABLE, || {
                    splice(source, None, &self.writer, None, PIPE_SIZE, flags).map_err(io::Error::from)
                });
                match moved {
                    Ok(count) => {
                        self.held += count;
                        return Poll::Ready(Ok(count));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }

        /// Gives bytes to `sink` until none is held.
        pub(in crate::relay) fn poll_drain(
            &mut self,
            cx: &mut Context<'_>,
            sink: &TcpStream,
        ) -> Poll<io::Result<()>> {
            while self.held > 0 {
                ready!(sink.poll_write_ready(cx))?;
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                let moved = sink.try_io(Interest::WRITABLE, || {
                    splice(&self.reader, None, sink, None, self.held, flags).map_err(io::Error::from)
                });
                match moved {
                    Ok(count) => self.held -= count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Ready(Ok(()))
        }
    }
}

/// Where the system has no splice there is no pipe, and bytes go through a buffer.
#[cfg(not(target_os = "linux"))]
pub(super) enum Pipe {}

#[cfg(not(target_os = "linux"))]
impl Pipe {
    /// There is none to ask.
    pub(super) fn is_empty(&self) -> bool {
        match *self {}
    }
}
