//! A real TLS client and a real TLS server on the two sides of a program that terminates TLS, each led step by step.

use super::bytes::{connection_confirm, connection_request};
use super::tls::{Trust, client_config, server_config};
use super::{Ends, listener};
use crate::support::certificates::{Certificate, certificates};
use crate::support::rdpscope::{Finished, Rdpscope};
use crate::support::scripted::read_once;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection, SupportedProtocolVersion};
use socket2::SockRef;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

/// Type, version and length of a TLS record.
const RECORD_HEADER: usize = 5;

/// What a side receives next inside TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Received {
    /// One record.
    Record(Vec<u8>),
    /// close_notify.
    CloseNotify,
    /// FIN.
    End,
    /// RST.
    Reset,
    /// A fatal alert, or what rustls makes of what it cannot read.
    Failed(String),
    /// Nothing for as long as a relay may take.
    Nothing,
}

/// One side of TLS over a real socket.
#[derive(Debug)]
pub(crate) struct TlsEnd {
    connection: Connection,
    stream: TcpStream,
}

impl TlsEnd {
    /// A client of one `version` that takes any certificate, or only those of the test authority.
    pub(crate) fn client(
        stream: TcpStream,
        version: &'static SupportedProtocolVersion,
        trust: Trust,
    ) -> TlsEnd {
        let name = ServerName::try_from("localhost").expect("a valid name");
        let client = ClientConnection::new(client_config(version, trust), name).expect("a client is made");
        TlsEnd { connection: client.into(), stream }
    }

    /// A server of one `version`.
    pub(crate) fn server(
        stream: TcpStream,
        version: &'static SupportedProtocolVersion,
        certificate: &Certificate,
    ) -> TlsEnd {
        let server = ServerConnection::new(server_config(version, certificate)).expect("a server is made");
        TlsEnd { connection: server.into(), stream }
    }

    /// Speaks until both have agreed. What goes wrong is said to the other side, as far as it is there.
    pub(crate) fn handshake(&mut self) -> io::Result<()> {
        while self.connection.is_handshaking() {
            self.connection.complete_io(&mut self.stream)?;
        }
        self.flush()
    }

    /// Sends `bytes` in clear and the first flight of the handshake in one write.
    pub(crate) fn send_ahead(&mut self, bytes: &[u8]) {
        let mut ahead = bytes.to_vec();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut ahead).expect("memory takes it");
        }
        self.stream.write_all(&ahead).expect("what is sent is taken");
    }

    /// Sends `plaintext`, which goes into one record where it is no longer than that.
    pub(crate) fn send(&mut self, plaintext: &[u8]) {
        self.try_send(plaintext).expect("what is sent is taken");
    }

    fn try_send(&mut self, plaintext: &[u8]) -> io::Result<()> {
        // rustls holds only so much.
        for part in plaintext.chunks(16 * 1024) {
            self.connection.writer().write_all(part)?;
            self.flush()?;
        }
        Ok(())
    }

    /// Sends `records`, each by itself in TLS, and all in one write to the wire.
    pub(crate) fn send_records(&mut self, records: &[&[u8]]) {
        let mut wire = Vec::new();
        for record in records {
            self.connection.writer().write_all(record).expect("memory takes it");
            while self.connection.wants_write() {
                self.connection.write_tls(&mut wire).expect("memory takes it");
            }
        }
        self.stream.write_all(&wire).expect("what is sent is taken");
    }

    /// Says close_notify, and goes on reading.
    pub(crate) fn close_notify(&mut self) {
        self.connection.send_close_notify();
        self.flush().expect("what is sent is taken");
    }

    /// Sends FIN, and goes on reading.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a direction is ended");
    }

    /// Cuts the connection with RST.
    pub(crate) fn reset(self) {
        reset(self.stream);
    }

    /// The certificate that the other side showed.
    pub(crate) fn peer_certificate(&self) -> Vec<u8> {
        let chain = self.connection.peer_certificates().expect("the handshake is done");
        chain[0].to_vec()
    }

    /// What comes next.
    pub(crate) fn next(&mut self) -> Received {
        loop {
            let state = match self.connection.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // The alert that rustls has ready; the other side may be gone.
                    let _ = self.flush();
                    return Received::Failed(error.to_string());
                }
            };
            let mut plaintext = vec![0; state.plaintext_bytes_to_read()];
            if !plaintext.is_empty() {
                self.connection.reader().read_exact(&mut plaintext).expect("rustls has so much");
                return Received::Record(plaintext);
            }
            if state.peer_has_closed() {
                return Received::CloseNotify;
            }
            match self.record() {
                Ok(mut record) if !record.is_empty() => {
                    while !record.is_empty() {
                        let mut rest = &record[..];
                        let taken = self.connection.read_tls(&mut rest).expect("rustls takes a record");
                        record.drain(..taken);
                    }
                }
                Ok(_) => return Received::End,
                Err(error) => return ending(&error),
            }
        }
    }

    /// What comes behind close_notify: the end of TCP.
    pub(crate) fn next_on_the_wire(&mut self) -> Received {
        match self.record() {
            Ok(record) if record.is_empty() => Received::End,
            Ok(record) => Received::Record(record),
            Err(error) => ending(&error),
        }
    }

    /// The next records until they hold so many bytes.
    pub(crate) fn receive(&mut self, length: usize) -> Vec<u8> {
        let mut received = Vec::new();
        while received.len() < length {
            match self.next() {
                Received::Record(record) => received.extend(record),
                other => panic!("{other:?} after {} of {length} bytes", received.len()),
            }
        }
        received
    }

    /// One whole record of the wire; nothing at its end.
    fn record(&mut self) -> io::Result<Vec<u8>> {
        let mut record = vec![0; RECORD_HEADER];
        let read = read_once(&mut self.stream, &mut record)?;
        if read == 0 {
            return Ok(Vec::new());
        }
        self.stream.read_exact(&mut record[read..])?;
        let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
        record.resize(RECORD_HEADER + length, 0);
        self.stream.read_exact(&mut record[RECORD_HEADER..])?;
        Ok(record)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}

/// Cuts a connection with RST.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket takes its options");
    drop(stream);
}

fn ending(error: &io::Error) -> Received {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Received::Reset,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Received::Nothing,
        _ => Received::Failed(error.to_string()),
    }
}

/// The program, terminating TLS between a client and a server that have said nothing yet.
#[derive(Debug)]
pub(crate) struct Trial {
    rdpscope: Rdpscope,
    /// The server's listener, for a connection that replaces another.
    pub(crate) listener: TcpListener,
    /// The client's connection.
    pub(crate) client: TcpStream,
    /// The server's.
    pub(crate) server: TcpStream,
}

impl Trial {
    /// `rdpscope proxy` that shows a fresh certificate for the key of the test server, with more `arguments`.
    pub(crate) fn new(arguments: &[&str]) -> Trial {
        let key = certificates().signed.key_file.to_string_lossy().into_owned();
        Trial::with(&[&["--cert", "fresh", "--renew-with", &key], arguments].concat())
    }

    /// The same with nothing but `arguments`.
    pub(crate) fn with(arguments: &[&str]) -> Trial {
        let listener = listener();
        let target = listener.local_addr().expect("a listener has an address");
        let rdpscope = Rdpscope::start(target, 1, arguments);
        let (client, server) = Ends::connect(rdpscope.address, &listener).into_streams();
        Trial { rdpscope, listener, client, server }
    }

    /// Both sides have agreed on `protocol` by X.224, byte for byte.
    pub(crate) fn negotiated(mut self, protocol: u32) -> Trial {
        let (request, confirm) = (connection_request("anna", protocol), connection_confirm(protocol));
        pass(&mut self.client, &mut self.server, &request);
        pass(&mut self.server, &mut self.client, &confirm);
        self
    }

    /// Performs both handshakes, with the server's good certificate.
    pub(crate) fn in_tls(self, version: &'static SupportedProtocolVersion) -> Inside {
        let Trial { rdpscope, client, server, .. } = self;
        let mut client = TlsEnd::client(client, version, Trust::Anything);
        let mut server = TlsEnd::server(server, version, &certificates().signed);
        std::thread::scope(|scope| {
            let handshake = scope.spawn(|| server.handshake());
            client.handshake().expect("the client takes any certificate");
            handshake.join().expect("it does not panic").expect("rdpscope takes any certificate");
        });
        Inside { rdpscope, client, server }
    }

    /// The same where both connections are reset behind the handshakes. An end that has not read the last word of its
    /// handshake by then never does.
    pub(crate) fn reset_behind_tls(self, version: &'static SupportedProtocolVersion) -> Finished {
        let Trial { rdpscope, client, server, .. } = self;
        let ends = [
            TlsEnd::client(client, version, Trust::Anything),
            TlsEnd::server(server, version, &certificates().signed),
        ];
        let is_reset = |mut end: TlsEnd| match end.handshake() {
            Ok(()) => end.next() == Received::Reset,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        };
        let were_reset = std::thread::scope(|scope| {
            ends.map(|end| scope.spawn(move || is_reset(end)))
                .map(|end| end.join().expect("it does not panic"))
        });
        assert_eq!(were_reset, [true, true], "client and server");
        rdpscope.finish()
    }

    /// Closes what is still open, waits for the program and reads what it left.
    pub(crate) fn finish(self) -> Finished {
        drop((self.client, self.server));
        self.rdpscope.finish()
    }

    /// The program, and what is left open of both connections.
    pub(crate) fn apart(self) -> (Rdpscope, TcpListener, TcpStream, TcpStream) {
        (self.rdpscope, self.listener, self.client, self.server)
    }
}

/// What comes out is what went in.
pub(crate) fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).expect("what is sent is taken");
    expect(to, bytes);
}

/// These bytes come next.
pub(crate) fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut arrived = vec![0; bytes.len()];
    stream.read_exact(&mut arrived).expect("bytes arrive");
    assert_eq!(hex::encode(arrived), hex::encode(bytes), "they arrive as they were sent");
}

/// Two connections in TLS with the program between them.
#[derive(Debug)]
pub(crate) struct Inside {
    rdpscope: Rdpscope,
    /// The client.
    pub(crate) client: TlsEnd,
    /// The server.
    pub(crate) server: TlsEnd,
}

impl Inside {
    /// Closes what is still open, waits for the program and reads what it left.
    pub(crate) fn finish(self) -> Finished {
        drop((self.client, self.server));
        self.rdpscope.finish()
    }

    /// The three of them.
    pub(crate) fn apart(self) -> (Rdpscope, TlsEnd, TlsEnd) {
        (self.rdpscope, self.client, self.server)
    }
}
