//! What both ends say to each other inside TLS, from MCS to the end of the session.

use crate::trace::Side;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// One message a line, `client` or `server` before it; `#` begins a remark.
const SESSION: &str = include_str!("session.txt");

/// Plays the part of `side`: says what it says, and takes what the other says by its length.
pub(super) async fn play<S>(stream: &mut S, side: Side) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for (from, message) in messages() {
        if from == side {
            stream.write_all(&message).await?;
        } else {
            stream.read_exact(&mut vec![0; message.len()]).await?;
        }
    }
    stream.flush().await
}

fn messages() -> impl Iterator<Item = (Side, Vec<u8>)> {
    SESSION.lines().filter_map(|line| {
        let (from, bytes) = line.split_once(' ')?;
        let from = match from {
            "client" => Side::Client,
            "server" => Side::Server,
            _ => return None,
        };
        hex::decode(bytes).ok().map(|bytes| (from, bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_message_or_a_remark() {
        let remarks = SESSION.lines().filter(|line| line.starts_with('#')).count();
        assert_eq!(messages().count(), SESSION.lines().count() - remarks);
        assert!(messages().count() > 20);
    }

    #[tokio::test]
    async fn both_parts_fit() {
        let (mut client, mut server) = tokio::io::duplex(64);
        let (client, server) = tokio::join!(play(&mut client, Side::Client), play(&mut server, Side::Server));
        client.unwrap();
        server.unwrap();
    }
}
