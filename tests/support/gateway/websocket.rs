//! The WebSocket transport: both directions on one connection, a packet in each binary frame (RFC 6455).

use super::connection::Connection;
use super::http::{self, Head, Reader, Response, Writer};
use super::tunnel::{self, Outbound};
use base64::prelude::{BASE64_STANDARD, Engine};
use sha1::{Digest, Sha1};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{self, Receiver, Sender};

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
pub(super) const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Status 1000, as Windows and its clients say it.
const NORMAL_CLOSURE: [u8; 2] = 1000_u16.to_be_bytes();
/// Pieces that wait for a slow side.
const QUEUE: usize = 16;

/// Answers 101 and serves the tunnel.
pub(super) async fn serve(mut connection: Connection, head: &Head) -> io::Result<()> {
    accept(&mut connection, head).await?;
    let Connection { shared, number, mut reader, mut writer } = connection;
    let (to_tunnel, inbound) = mpsc::channel(QUEUE);
    let (to_client, frames) = mpsc::channel(QUEUE);
    let serving = async move {
        let outbound = Outbound::new(to_client.clone(), binary);
        let tunnel = tunnel::serve(shared, number, inbound, outbound);
        let reading = read_frames(&mut reader, to_tunnel, to_client.clone());
        tokio::pin!(tunnel);
        tokio::select! {
            () = &mut tunnel => {
                // Nobody hears it where the client is gone.
                let _ = to_client.send(frame(CLOSE, &NORMAL_CLOSURE)).await;
            }
            _ = reading => tunnel.await,
        }
    };
    tokio::join!(serving, write_all(&mut writer, frames)).1
}

/// 101. The key is taken as it is: that of FreeRDP 2 is not base64.
pub(super) async fn accept(connection: &mut Connection, head: &Head) -> io::Result<()> {
    let key = head.field("Sec-WebSocket-Key").unwrap_or_default();
    let accept = BASE64_STANDARD.encode(Sha1::digest(format!("{key}{GUID}")));
    let response = Response::new(101, "Switching Protocols")
        .with("Upgrade", "websocket")
        .with("Sec-WebSocket-Accept", &accept)
        .with("Connection", "Upgrade")
        .without_length();
    connection.respond(response).await
}

/// The payloads of the client's frames; the error at its end is why it ended.
async fn read_frames(
    reader: &mut Reader,
    to_tunnel: Sender<Vec<u8>>,
    to_client: Sender<Vec<u8>>,
) -> io::Result<()> {
    loop {
        let (opcode, payload) = read_frame(reader).await?;
        let taken = match opcode {
            CLOSE => {
                // Nobody hears it where the client is gone.
                let _ = to_client.send(frame(CLOSE, &payload)).await;
                return Ok(());
            }
            PING => to_client.send(frame(PONG, &payload)).await,
            PONG => Ok(()),
            _ => to_tunnel.send(payload).await,
        };
        if taken.is_err() {
            return Ok(());
        }
    }
}

/// One frame: its opcode and its payload without the mask.
async fn read_frame(reader: &mut Reader) -> io::Result<(u8, Vec<u8>)> {
    let opcode = reader.read_u8().await? & 0xF;
    let second = reader.read_u8().await?;
    let length = match second & 0x7F {
        126 => u64::from(reader.read_u16().await?),
        127 => reader.read_u64().await?,
        short => u64::from(short),
    };
    let mut mask = [0; 4];
    if second & MASKED != 0 {
        reader.read_exact(&mut mask).await?;
    }
    let mut payload = Vec::new();
    reader.take(length).read_to_end(&mut payload).await?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((opcode, payload))
}

fn binary(payload: &[u8]) -> Vec<u8> {
    frame(BINARY, payload)
}

/// A frame of a server.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    [header(opcode, payload.len()), payload.to_vec()].concat()
}

/// A frame of a client.
pub(super) fn masked(opcode: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len());
    frame[1] |= MASKED;
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Takes the next frame from the start of `received`, if it is whole; the answer is its payload without the mask.
pub(crate) fn cut_frame(received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let second = *received.get(1)?;
    let (mut start, length) = match second & !MASKED {
        126 => (4, usize::from(u16::from_be_bytes(received.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(received.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(short)),
    };
    let mut mask = [0; 4];
    if second & MASKED != 0 {
        mask.copy_from_slice(received.get(start..start + 4)?);
        start += 4;
    }
    let mut payload = received.get(start..start + length)?.to_vec();
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    received.drain(..start + length);
    Some(payload)
}

fn header(opcode: u8, length: usize) -> Vec<u8> {
    let mut header = vec![FINAL | opcode];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => header.push(length),
        (_, Ok(length)) => header.extend([&[126][..], &length.to_be_bytes()].concat()),
        _ => header.extend([&[127][..], &(length as u64).to_be_bytes()].concat()),
    }
    header
}

async fn write_all(writer: &mut Writer, mut frames: Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(frame) = frames.recv().await {
        http::write(writer, &frame).await?;
    }
    writer.shutdown().await
}
