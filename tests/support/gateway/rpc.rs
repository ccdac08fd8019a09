//! RPC over HTTP, version 2 (MS-RPCH): an OUT channel and an IN channel make a virtual connection.

use super::connection::Connection;
use super::http::{self, Response, Writer};
use super::log::What;
use super::rpc_pdu::{NONE, Pdu, RECYCLE_CHANNEL, command, rts};
use super::ts_proxy::{self, Wire};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// Commands of RTS PDUs (MS-RPCH 2.2.3.5).
const RECEIVE_WINDOW_SIZE: u32 = 0;
const CONNECTION_TIMEOUT: u32 = 2;
const VERSION: u32 = 6;
const ANCE: u32 = 10;
pub(super) const DESTINATION: u32 = 13;
pub(super) const TO_CLIENT: u32 = 0;
/// Flags of RTS PDUs (MS-RPCH 2.2.3.6.1).
const OUT_CHANNEL: u16 = 0x10;
const EOF: u16 = 0x20;
/// In milliseconds.
const TIMEOUT: u32 = 120_000;
/// Version 1 of RPC over HTTP's own.
const RTS_VERSION: u32 = 1;
/// What each side may send before it hears that something arrived.
pub(super) const WINDOW: u32 = 64 * 1024;

/// Where the cookies of CONN/A1 and CONN/B1 stand: that of the virtual connection, and that of the channel.
const VIRTUAL_CONNECTION_AT: usize = 32;
const CHANNEL_AT: usize = 52;
const COOKIE: usize = 16;
/// Where the receive window stands in CONN/A1, and in OUT_R2/A3, which has one cookie more.
const RECEIVE_WINDOW_AT: usize = 72;
const NEXT_RECEIVE_WINDOW_AT: usize = RECEIVE_WINDOW_AT + 20;
/// Where RTS PDUs have their flags.
const FLAGS_AT: usize = 16;

/// What an OUT channel announces and never fills.
const ENDLESS: &str = "1073741824";
/// How long an IN channel waits for its OUT channel.
const OTHER_CHANNEL_WITHIN: Duration = Duration::from_secs(10);
/// Pieces that wait for a slow side.
const QUEUE: usize = 16;

/// Answers RPC_OUT_DATA, and serves the virtual connection once its IN channel is there.
pub(super) async fn serve_out(mut connection: Connection) -> io::Result<()> {
    let a1 = first_pdu(&mut connection).await?;
    if a1.u16_at(FLAGS_AT) == RECYCLE_CHANNEL {
        return serve_successor(connection, &a1).await;
    }
    connection.log(What::Call("CONN/A1"));
    let (to_server, inbound) = mpsc::channel(QUEUE);
    connection.shared.waiting.borrow_mut().insert(cookie(&a1, VIRTUAL_CONNECTION_AT), to_server);
    connection.shared.waits.notify_waiters();
    connection.respond(granted()).await?;

    let Connection { shared, number, mut writer, .. } = connection;
    let (to_client, bodies) = mpsc::channel(QUEUE);
    let virtual_connection = cookie(&a1, VIRTUAL_CONNECTION_AT);
    let window = a1.u32_at(RECEIVE_WINDOW_AT);
    let wire = Wire { inbound, outbound: to_client, window, virtual_connection };
    tokio::join!(ts_proxy::serve(shared, number, wire), write_all(&mut writer, bodies)).1
}

fn granted() -> Response {
    let response = Response::new(200, "Success").with("Content-Type", "application/rpc");
    response.with("Content-Length", ENDLESS).without_length()
}

async fn write_all(writer: &mut Writer, mut bodies: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(body) = bodies.recv().await {
        http::write(writer, &body).await?;
    }
    writer.shutdown().await
}

/// An OUT channel that is to take the place of another (MS-RPCH 3.2.1.5.3.5).
pub(super) struct Successor {
    pub(super) outbound: mpsc::Sender<Vec<u8>>,
    pub(super) window: u32,
    /// Told once nothing more comes on the other.
    pub(super) opens: oneshot::Sender<()>,
}

/// Gives the virtual connection the channel that it has asked for, which is granted when the other has ended.
async fn serve_successor(mut connection: Connection, a3: &Pdu) -> io::Result<()> {
    connection.log(What::Call("OUT_R2/A3"));
    let id = cookie(a3, VIRTUAL_CONNECTION_AT);
    let waits = connection.shared.successors.borrow_mut().remove(&id);
    let (outbound, bodies) = mpsc::channel(QUEUE);
    let (opens, opened) = oneshot::channel();
    let window = a3.u32_at(NEXT_RECEIVE_WINDOW_AT);
    let is_wanted = waits.is_some_and(|waits| waits.send(Successor { outbound, window, opens }).is_ok());
    if !is_wanted {
        return Err(io::Error::other("nobody has asked for another OUT channel"));
    }
    first_pdu(&mut connection).await?;
    connection.log(What::Call("OUT_R2/C1"));
    opened.await.map_err(io::Error::other)?;
    connection.respond(granted()).await?;
    write_all(&mut connection.writer, bodies).await
}

/// OUT_R2/A2, by which the client is asked for another OUT channel.
pub(super) fn out_r2_a2() -> Vec<u8> {
    rts(RECYCLE_CHANNEL, &[command(DESTINATION, TO_CLIENT)])
}

/// OUT_R2/A6: it has been found.
pub(super) fn out_r2_a6() -> Vec<u8> {
    rts(NONE, &[command(DESTINATION, TO_CLIENT), ANCE.to_le_bytes().to_vec()])
}

/// OUT_R2/B3, behind which nothing comes on the channel before.
pub(super) fn out_r2_b3() -> Vec<u8> {
    rts(EOF, &[ANCE.to_le_bytes().to_vec()])
}

/// Whether this is OUT_R2/A7, by which the client agrees.
pub(super) fn is_out_r2_a7(pdu: &Pdu) -> bool {
    pdu.u16_at(FLAGS_AT) == OUT_CHANNEL
}

/// CONN/A3, which the client hears as soon as its OUT channel stands.
pub(super) fn conn_a3() -> Vec<u8> {
    rts(NONE, &[command(CONNECTION_TIMEOUT, TIMEOUT)])
}

/// CONN/C2, which it hears once both stand.
pub(super) fn conn_c2() -> Vec<u8> {
    let version = command(VERSION, RTS_VERSION);
    rts(NONE, &[version, command(RECEIVE_WINDOW_SIZE, WINDOW), command(CONNECTION_TIMEOUT, TIMEOUT)])
}

/// The cookie of the IN channel that a CONN/B1 is for.
pub(super) fn channel_cookie(b1: &Pdu) -> Vec<u8> {
    b1.bytes.get(CHANNEL_AT..CHANNEL_AT + COOKIE).unwrap_or_default().to_vec()
}

/// Gives what an IN channel says, CONN/B1 first, to the virtual connection that it is for.
pub(super) async fn serve_in(mut connection: Connection) -> io::Result<()> {
    let b1 = first_pdu(&mut connection).await?;
    connection.log(What::Call("CONN/B1"));
    let shared = connection.shared.clone();
    let id = cookie(&b1, VIRTUAL_CONNECTION_AT);
    let other_channel = async {
        loop {
            let waits = shared.waits.notified();
            if let Some(to_server) = shared.waiting.borrow_mut().remove(&id) {
                return to_server;
            }
            waits.await;
        }
    };
    let to_server = tokio::time::timeout(OTHER_CHANNEL_WITHIN, other_channel).await?;
    let mut piece = b1.bytes;
    while !piece.is_empty() && to_server.send(piece).await.is_ok() {
        piece = Vec::new();
        connection.reader.read_buf(&mut piece).await?;
    }
    Ok(())
}

async fn first_pdu(connection: &mut Connection) -> io::Result<Pdu> {
    let mut received = Vec::new();
    loop {
        if let Some(pdu) = Pdu::cut(&mut received).map_err(io::Error::other)? {
            return Ok(pdu);
        }
        // Byte by byte: what follows is for others.
        received.push(connection.reader.read_u8().await?);
    }
}

fn cookie(pdu: &Pdu, at: usize) -> String {
    hex::encode(pdu.bytes.get(at..at + COOKIE).unwrap_or_default())
}
