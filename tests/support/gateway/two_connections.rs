//! The HTTP transport: an OUT channel without an end, and an IN channel in chunks, joined by RDG-Connection-Id.

use super::connection::Connection;
use super::http::{self, Head, Reader, Response, Writer};
use super::log::What;
use super::tunnel::{self, Outbound};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{self, Receiver};

/// Pieces that wait for a slow side.
const QUEUE: usize = 16;

/// Answers RDG_OUT_DATA with 200, the preamble and, once the IN channel is there, what the tunnel says.
pub(super) async fn serve_out(mut connection: Connection, head: &Head) -> io::Result<()> {
    let (to_tunnel, inbound) = mpsc::channel(QUEUE);
    connection.shared.waiting.borrow_mut().insert(id(head), to_tunnel);
    let setup = connection.shared.http.clone();
    let response = Response::new(200, "OK").without_length();
    let response = if setup.chunked { response.with("Transfer-Encoding", "chunked") } else { response };
    connection.respond(response).await?;

    let Connection { shared, number, mut reader, mut writer } = connection;
    let (to_client, bodies) = mpsc::channel(QUEUE);
    let frame = if setup.chunked { http::chunk } else { <[u8]>::to_vec };
    // Nobody hears it where the client is gone.
    let _ = to_client.send(frame(&setup.preamble)).await;
    let tunnel = tunnel::serve(shared, number, inbound, Outbound::new(to_client, frame));
    let serving = async {
        tokio::select! {
            () = tunnel => {}
            () = ended(&mut reader) => {}
        }
    };
    tokio::join!(serving, write_body(&mut writer, bodies, setup.held_until)).1
}

/// Reads RDG_IN_DATA's chunks into the tunnel of its OUT channel.
pub(super) async fn serve_in(mut connection: Connection, head: &Head) -> io::Result<()> {
    let waiting = connection.shared.waiting.borrow_mut().remove(&id(head));
    let Some(to_tunnel) = waiting else {
        connection.log(What::Refused { reason: "an IN channel without an OUT channel" });
        return Ok(());
    };
    while let Some(piece) = http::read_chunk(&mut connection.reader).await? {
        if to_tunnel.send(piece).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn id(head: &Head) -> String {
    head.field("RDG-Connection-Id").unwrap_or_default().to_owned()
}

/// Until the client closes; it has nothing to say here.
async fn ended(reader: &mut Reader) {
    let mut sink = [0; 1024];
    while reader.read(&mut sink).await.is_ok_and(|count| count > 0) {}
}

async fn write_body(writer: &mut Writer, mut bodies: Receiver<Vec<u8>>, held_until: usize) -> io::Result<()> {
    let mut held = Vec::new();
    let mut released = held_until == 0;
    while let Some(body) = bodies.recv().await {
        held.extend(body);
        released = released || held.len() >= held_until;
        if released {
            http::write(writer, &held).await?;
            held.clear();
        }
    }
    writer.shutdown().await
}
