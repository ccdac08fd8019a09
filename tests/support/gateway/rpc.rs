//! RPC over HTTP, version 2 (MS-RPCH): an OUT channel and an IN channel make a virtual connection.

use super::connection::Connection;
use super::http::{self, Response};
use super::log::What;
use super::rpc_pdu::{Pdu, command, rts};
use super::ts_proxy::{self, Wire};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// Commands of RTS PDUs (MS-RPCH 2.2.3.5).
const RECEIVE_WINDOW_SIZE: u32 = 0;
const CONNECTION_TIMEOUT: u32 = 2;
const VERSION: u32 = 6;
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
/// Where the receive window stands in CONN/A1.
const RECEIVE_WINDOW_AT: usize = 72;

/// What an OUT channel announces and never fills.
const ENDLESS: &str = "1073741824";
/// How long an IN channel waits for its OUT channel.
const OTHER_CHANNEL_WITHIN: Duration = Duration::from_secs(10);
/// Pieces that wait for a slow side.
const QUEUE: usize = 16;

/// Answers RPC_OUT_DATA, and serves the virtual connection once its IN channel is there.
pub(super) async fn serve_out(mut connection: Connection) -> io::Result<()> {
    let a1 = first_pdu(&mut connection).await?;
    connection.log(What::Call("CONN/A1"));
    let (to_server, inbound) = mpsc::channel(QUEUE);
    connection.shared.waiting.borrow_mut().insert(cookie(&a1, VIRTUAL_CONNECTION_AT), to_server);
    connection.shared.waits.notify_waiters();
    let response = Response::new(200, "Success").with("Content-Type", "application/rpc");
    connection.respond(response.with("Content-Length", ENDLESS).without_length()).await?;

    let Connection { shared, number, mut writer, .. } = connection;
    let (to_client, mut bodies) = mpsc::channel::<Vec<u8>>(QUEUE);
    let wire = Wire { inbound, outbound: to_client, window: a1.u32_at(RECEIVE_WINDOW_AT) };
    let writing = async {
        while let Some(body) = bodies.recv().await {
            http::write(&mut writer, &body).await?;
        }
        writer.shutdown().await
    };
    tokio::join!(ts_proxy::serve(shared, number, wire), writing).1
}

/// CONN/A3, which the client hears as soon as its OUT channel stands.
pub(super) fn conn_a3() -> Vec<u8> {
    rts(0, &[command(CONNECTION_TIMEOUT, TIMEOUT)])
}

/// CONN/C2, which it hears once both stand.
pub(super) fn conn_c2() -> Vec<u8> {
    let version = command(VERSION, RTS_VERSION);
    rts(0, &[version, command(RECEIVE_WINDOW_SIZE, WINDOW), command(CONNECTION_TIMEOUT, TIMEOUT)])
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
