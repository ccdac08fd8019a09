//! Questions to a key distribution centre over TCP (RFC 4120 7.2.2).

use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where KDCs listen.
pub(super) const PORT: u16 = 88;
/// How long one may take for an answer, connection included. One that is there answers in milliseconds, and the server
/// waits with an open connection meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of an answer at most: a ticket has at most the 65,535 of Windows' MaxTokenSize, and little comes with it.
const LONGEST_ANSWER: usize = 128 * 1024;

/// The bytes before a question or an answer that give its length.
pub(super) const PREFIX: usize = 4;

/// What the KDC at `address` (`host:port`) answers to `question`; both with their length before them.
pub(super) async fn ask(address: &str, question: &[u8]) -> io::Result<Vec<u8>> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, exchange(address, question)).await;
    answer.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        ))
    })
}

async fn exchange(address: &str, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut kdc = TcpStream::connect(address).await?;
    kdc.write_all(question).await?;
    let mut answer = vec![0; PREFIX];
    kdc.read_exact(&mut answer).await?;
    let length = answer.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
    if length > LONGEST_ANSWER {
        let what = format!("it announced {length} bytes where {LONGEST_ANSWER} are the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    answer.resize(PREFIX + length, 0);
    kdc.read_exact(&mut answer[PREFIX..]).await?;
    Ok(answer)
}
