//! A relay that looks at nothing: what a connection costs on this machine by itself, and what the folders and files of a
//! trace add to it. Hardly a relay that leaves such a trace of every session can be faster. Made for the few messages of
//! [`crate::connections`]: a message that a socket does not take at once ends its session.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

/// As long as rdpscope's trace of such a session, in bytes.
const TRACE_LENGTH: usize = 4700;
/// As long as the PEM of the certificate in it, in bytes.
const CERTIFICATE_LENGTH: usize = 1155;
/// Events taken at once.
const EVENTS: usize = 64;
/// Bytes read at once: more than any message.
const READ_SIZE: usize = 16 * 1024;
/// The event of the listener; sessions have their place, twice, and their side.
const LISTENER: u64 = u64::MAX;
const CLIENT: usize = 0;
const SERVER: usize = 1;

/// Relays to `target`, and leaves a session's files below `folder`, until the process is ended. Says on stderr where it
/// listens.
pub fn run(target: SocketAddr, folder: Option<PathBuf>) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    if let Some(folder) = &folder {
        private_folder(folder)?;
    }
    eprintln!("listening on {}", listener.local_addr()?);
    let sessions = AtomicU64::new(0);
    let relay = Relay { listener, target, folder, sessions };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| relay.serve())).collect();
        threads.into_iter().try_for_each(|thread| Ok(thread.join().unwrap_or(Ok(()))?))
    })
}

struct Relay {
    listener: TcpListener,
    target: SocketAddr,
    folder: Option<PathBuf>,
    sessions: AtomicU64,
}

struct Session {
    legs: [TcpStream; 2],
    ended: [bool; 2],
    is_connected: bool,
    /// What the client said before the server was connected.
    first: Vec<u8>,
}

impl Relay {
    /// One thread's share of the sessions.
    fn serve(&self) -> io::Result<()> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let of_listener = EventFlags::IN | EventFlags::EXCLUSIVE;
        epoll::add(&poll, &self.listener, EventData::new_u64(LISTENER), of_listener)?;
        let mut events = Vec::with_capacity(EVENTS);
        let mut sessions: Vec<Option<Session>> = Vec::new();
        let (mut free, mut freed) = (Vec::new(), Vec::new());
        loop {
            epoll::wait(&poll, spare_capacity(&mut events), None)?;
            for event in events.drain(..) {
                let (data, flags) = (event.data.u64(), event.flags);
                if data == LISTENER {
                    let Ok((client, _)) = self.listener.accept() else { continue };
                    let place = free.pop().unwrap_or(sessions.len());
                    let session = self.begin(client, &poll, place)?;
                    match sessions.get_mut(place) {
                        Some(free) => *free = Some(session),
                        None => sessions.push(Some(session)),
                    }
                    continue;
                }
                let (place, side) = ((data / 2) as usize, (data % 2) as usize);
                let Some(session) = sessions.get_mut(place).and_then(Option::as_mut) else { continue };
                if session.is_over_after(side, flags) {
                    sessions[place] = None;
                    // Not at once: this thread may hold another event of it.
                    freed.push(place);
                    self.leave_files()?;
                }
            }
            free.append(&mut freed);
        }
    }

    fn begin(&self, client: TcpStream, poll: &OwnedFd, place: usize) -> io::Result<Session> {
        client.set_nonblocking(true)?;
        client.set_nodelay(true)?;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let server = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&server, true)?;
        match connect(&server, &self.target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let place = 2 * place as u64;
        let of_client = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(poll, &client, EventData::new_u64(place), of_client)?;
        epoll::add(poll, &server, EventData::new_u64(place + 1), of_client | EventFlags::OUT)?;
        let legs = [client, server.into()];
        Ok(Session { legs, ended: [false, false], is_connected: false, first: Vec::new() })
    }

    /// What rdpscope leaves of such a session: as many folders, files and bytes.
    fn leave_files(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let session = folder.join(self.sessions.fetch_add(1, Ordering::Relaxed).to_string());
        private_folder(&session)?;
        private_file(&session.join("trace.jsonl"), &[b'\n'; TRACE_LENGTH])?;
        let certificates = session.join("certificates");
        private_folder(&certificates)?;
        private_file(&certificates.join("server-1.pem"), &[b'\n'; CERTIFICATE_LENGTH])
    }
}

impl Session {
    /// Passes on what came from `side`; true when both sides have ended.
    fn is_over_after(&mut self, side: usize, flags: EventFlags) -> bool {
        if side == SERVER && !self.is_connected && flags.contains(EventFlags::OUT) {
            self.is_connected = true;
            let first = std::mem::take(&mut self.first);
            self.ended[SERVER] |= self.legs[SERVER].write_all(&first).is_err();
        }
        let mut buffer = [0; READ_SIZE];
        while !self.ended[side] {
            match self.legs[side].read(&mut buffer) {
                Ok(0) => {
                    self.ended[side] = true;
                    // A side that has gone needs no FIN.
                    let _ = self.legs[1 - side].shutdown(Shutdown::Write);
                }
                Ok(count) if side == CLIENT && !self.is_connected => {
                    self.first.extend_from_slice(&buffer[..count]);
                }
                Ok(count) => {
                    if self.legs[1 - side].write_all(&buffer[..count]).is_err() {
                        self.ended = [true, true];
                    }
                    if count < READ_SIZE && !flags.contains(EventFlags::RDHUP) {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.ended = [true, true],
            }
        }
        self.ended == [true, true]
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_endings_pass_and_files_are_left() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let files = tempfile::tempdir().unwrap();
        let folder = files.path().join("trace");
        private_folder(&folder).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let target = server.local_addr().unwrap();
        let relay = Relay { listener, target, folder: Some(folder.clone()), sessions: AtomicU64::new(0) };
        std::thread::spawn(move || relay.serve());
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"question").unwrap();
        let (mut served, _) = server.accept().unwrap();
        let mut said = [0; 8];
        served.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"question");
        served.write_all(b"answer").unwrap();
        drop(served);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
        client.shutdown(Shutdown::Write).unwrap();
        let left = folder.join("0/certificates/server-1.pem");
        let began = std::time::Instant::now();
        while !left.exists() {
            assert!(began.elapsed().as_secs() < 10, "no files are left");
            std::thread::yield_now();
        }
        assert!(folder.join("0/trace.jsonl").exists());
    }
}
