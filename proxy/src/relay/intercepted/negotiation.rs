//! The X.224 negotiation in clear, message by message, so that TLS can be taken up right behind it.

use super::{Intercepted, note_changes};
use crate::alter::{Alterations, Gate};
use crate::observe::Course;
use crate::relay::pump::{Ending, Tap};
use crate::relay::reach::reach;
use crate::relay::session::SessionTap;
use crate::relay::socket::Socket;
use crate::relay::teller::Teller;
use crate::trace::Side;
use crate::wire::x224::{self, Tpdu};
use std::io;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes read at once while the negotiation goes on.
const READ_SIZE: usize = 16 * 1024;

/// How the negotiation came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Negotiated {
    /// TLS begins, and it is to be terminated.
    Tls,
    /// Whatever comes goes on in clear, or is not RDP, or a side has sent FIN.
    Clear,
    /// A side was reset.
    Reset,
}

/// Both directions until TLS begins.
pub(super) struct Negotiation {
    gate: Gate,
    /// What was read of either side and has not gone on.
    unsent: [Vec<u8>; 2],
    /// What the server was sent, to be said again on a further connection.
    sent_to_server: Vec<u8>,
}

impl Negotiation {
    /// The observer has seen `first`, and nobody else.
    pub(super) fn new(alterations: Alterations, first: Vec<u8>) -> Negotiation {
        Negotiation {
            gate: Gate::for_negotiation(alterations),
            unsent: [first, Vec::new()],
            sent_to_server: Vec::new(),
        }
    }

    /// The gate, with what it remembers.
    pub(super) fn into_gate(self) -> Gate {
        self.gate
    }

    /// What the server was sent.
    pub(super) fn sent_to_server(&self) -> &[u8] {
        &self.sent_to_server
    }

    /// Relays until TLS begins or it is clear that it will not.
    pub(super) async fn run(
        &mut self,
        client: &mut Socket,
        server: &mut Socket,
        tap: &mut SessionTap<'_>,
    ) -> Negotiated {
        loop {
            if self.forward(client, server, tap).await.is_err() {
                // The side that takes nothing any more says by its own end what became of it.
                tap.relay_as_is();
                return Negotiated::Clear;
            }
            match tap.session().lock().course() {
                Course::Negotiating => {}
                Course::TlsToTerminate => return Negotiated::Tls,
                Course::Relayed => return Negotiated::Clear,
            }
            let (side, read) = tokio::select! {
                read = read(client) => (Side::Client, read),
                read = read(server) => (Side::Server, read),
            };
            match read {
                Ok(bytes) if bytes.is_empty() => {
                    // Reading shows the same end once more to whoever relays the rest.
                    tap.relay_as_is();
                    let _ = self.forward(client, server, tap).await;
                    return Negotiated::Clear;
                }
                Ok(bytes) => {
                    tap.data(Instant::now(), side, &bytes);
                    self.unsent[side.index()].extend_from_slice(&bytes);
                }
                Err(_) => {
                    tap.ended(Instant::now(), side, Ending::Reset);
                    return Negotiated::Reset;
                }
            }
        }
    }

    /// Sends on what the observer no longer holds back as the start of something.
    async fn forward(
        &mut self,
        client: &mut Socket,
        server: &mut Socket,
        tap: &SessionTap<'_>,
    ) -> io::Result<()> {
        for side in [Side::Client, Side::Server] {
            let held = tap.session().lock().held(side);
            let unsent = &mut self.unsent[side.index()];
            let settled: Vec<u8> = unsent.drain(..unsent.len().saturating_sub(held)).collect();
            if settled.is_empty() {
                continue;
            }
            let (mut out, mut notes) = (Vec::new(), Vec::new());
            let t_us = tap.session().lock().trace.at(Instant::now());
            self.gate.pass(t_us, side, &settled, &mut out, &mut notes);
            note_changes(tap, notes);
            for message in out {
                match side {
                    Side::Client => {
                        self.sent_to_server.extend_from_slice(&message);
                        server.write_all(&message).await?;
                    }
                    Side::Server => client.write_all(&message).await?,
                }
            }
        }
        Ok(())
    }
}

/// A further connection to the server, on which it is told `sent_to_server` again and answers as before with a
/// connection confirm. The error is a sentence.
pub(super) async fn again(
    context: Intercepted<'_>,
    teller: &impl Teller,
    sent_to_server: &[u8],
) -> Result<Socket, String> {
    let failed = |error: io::Error| format!("the server could not be asked once more for its TLS: {error}");
    let Some(route) = context.route else {
        return Err("a tunnel has one connection to the server, and this one was used up".to_owned());
    };
    let server = reach(route, teller, context.impaired).await;
    let mut server = server.ok_or("the server could not be reached a second time")?;
    let _ = server.set_nodelay(true);
    if sent_to_server.is_empty() {
        // TLS began at once, without X.224.
        return Ok(server);
    }
    server.write_all(sent_to_server).await.map_err(failed)?;
    let mut answer = Vec::new();
    loop {
        match x224::decode(&answer) {
            Ok(Some((Tpdu::ConnectionConfirm(_), _))) => return Ok(server),
            Ok(None) if answer.len() < READ_SIZE => {}
            _ => return Err("the server answers otherwise when it is asked a second time".to_owned()),
        }
        if server.read_buf(&mut answer).await.map_err(failed)? == 0 {
            return Err("the server leaves when it is asked a second time".to_owned());
        }
    }
}

/// What the peer sends next; nothing where it sent FIN.
async fn read(stream: &Socket) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(READ_SIZE);
    loop {
        stream.readable().await?;
        match stream.try_read_buf(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(bytes),
        }
    }
}
