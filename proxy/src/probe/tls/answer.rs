//! The answer to a ClientHello, read as far as it is wanted (RFC 8446 section 4, RFC 5246 section 7.4).

#[cfg(test)]
mod tests;

use super::catalogue::has_server_key_exchange;
use crate::trace::{HelloAnswer, How};
use crate::wire::greeting::TELLING_LENGTH;
use crate::wire::tls::handshake::message_type;
use crate::wire::tls::{
    Alert, ContentType, HandshakeMessage, HandshakeReader, Record, RecordReader, ServerHello,
    ServerKeyExchange,
};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of one read; a server's flight is a few kilobytes.
const READ_LENGTH: usize = 4096;
/// close_notify (RFC 8446 section 6.1).
const CLOSE_NOTIFY: u8 = 0;

/// How far an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Up to the ServerHello.
    Hello,
    /// Up to the ServerKeyExchange, where the chosen suite has one.
    KeyExchange,
}

/// What came of a ClientHello.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answered {
    /// The answer.
    pub(crate) answer: HelloAnswer,
    /// The server's ephemeral share, where it was waited for and came.
    pub(crate) key_exchange: Option<ServerKeyExchange>,
}

impl From<HelloAnswer> for Answered {
    fn from(answer: HelloAnswer) -> Answered {
        Answered { answer, key_exchange: None }
    }
}

/// Sends the `records` of a hello and reads the answer to it.
pub(crate) async fn exchange(
    stream: &mut TcpStream,
    records: &[u8],
    until: Until,
    timeout: Duration,
) -> Answered {
    let mut reader = AnswerReader::new(until);
    let exchanged = tokio::time::timeout(timeout, read_answer(stream, records, &mut reader)).await;
    match exchanged {
        Ok(Ok(Some(answered))) => answered,
        Ok(Ok(None)) => reader.end(Some(How::Fin)),
        Ok(Err(_)) => reader.end(Some(How::Reset)),
        Err(_) => reader.end(None),
    }
}

/// Nothing where the server ended its direction first.
async fn read_answer(
    stream: &mut TcpStream,
    records: &[u8],
    reader: &mut AnswerReader,
) -> io::Result<Option<Answered>> {
    // A server that refuses at the first bytes of a long hello may have answered before it cut the connection.
    let written = stream.write_all(records).await;
    let mut buffer = [0; READ_LENGTH];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return written.map(|()| None);
        }
        if let Some(answered) = reader.push(&buffer[..count]) {
            return Ok(Some(answered));
        }
    }
}

/// Reads one answer, from bytes in any pieces.
#[derive(Debug)]
pub(crate) struct AnswerReader {
    until: Until,
    records: RecordReader,
    messages: HandshakeReader,
    first_bytes: Vec<u8>,
    hello: Option<ServerHello>,
    warning: Option<Alert>,
}

impl AnswerReader {
    /// Nothing read yet.
    pub(crate) fn new(until: Until) -> AnswerReader {
        AnswerReader {
            until,
            records: RecordReader::new(),
            messages: HandshakeReader::new(),
            first_bytes: Vec::new(),
            hello: None,
            warning: None,
        }
    }

    /// The answer, as soon as it is known.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<Answered> {
        let missing = TELLING_LENGTH.saturating_sub(self.first_bytes.len());
        self.first_bytes.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        let mut input = bytes;
        while let Some(record) = self.records.next(&mut input) {
            let answered = match record {
                Ok(record) => self.record(&record),
                Err(_) => Some(self.without_more()),
            };
            if answered.is_some() {
                return answered;
            }
        }
        None
    }

    /// What is to be said where nothing more came, and `how` the connection was closed.
    pub(crate) fn end(&mut self, how: Option<How>) -> Answered {
        if let Some(hello) = self.hello.take() {
            return HelloAnswer::Accepted(Box::new(hello)).into();
        }
        match (how, self.warning.take()) {
            (Some(_), Some(warning)) if warning.description != CLOSE_NOTIFY => alert(&warning).into(),
            (Some(how), _) => HelloAnswer::Closed { how }.into(),
            (None, _) => HelloAnswer::Silent.into(),
        }
    }

    fn record(&mut self, record: &Record) -> Option<Answered> {
        let mut fragment = record.fragment.as_deref().unwrap_or_default();
        match record.header.content_type {
            ContentType::Handshake => loop {
                let message = self.messages.next(&mut fragment)?;
                let answered = match message {
                    Ok(message) => self.message(&message),
                    Err(_) => Some(self.without_more()),
                };
                if answered.is_some() {
                    return answered;
                }
            },
            ContentType::Alert => match Alert::decode(fragment) {
                Ok(alert) if !alert.is_fatal() => {
                    self.warning = Some(alert);
                    None
                }
                Ok(fatal) if self.hello.is_none() => Some(alert(&fatal).into()),
                _ => Some(self.without_more()),
            },
            _ => Some(self.without_more()),
        }
    }

    fn message(&mut self, message: &HandshakeMessage) -> Option<Answered> {
        match (message.message_type, &self.hello) {
            (message_type::SERVER_HELLO, None) => {
                let Ok(hello) = ServerHello::decode(&message.body) else { return Some(self.without_more()) };
                let more = self.until == Until::KeyExchange && has_server_key_exchange(hello.cipher_suite.id);
                self.hello = Some(hello);
                if more { None } else { Some(self.without_more()) }
            }
            (message_type::SERVER_KEY_EXCHANGE, Some(hello)) => {
                let id = hello.cipher_suite.id;
                let key_exchange = ServerKeyExchange::decode(&message.body, id, &hello.version).ok();
                Some(Answered { key_exchange, ..self.without_more() })
            }
            (message_type::CERTIFICATE | message_type::CERTIFICATE_STATUS, Some(_)) => None,
            _ => Some(self.without_more()),
        }
    }

    /// The hello where it was there, else bytes that are no answer.
    fn without_more(&mut self) -> Answered {
        match self.hello.take() {
            Some(hello) => HelloAnswer::Accepted(Box::new(hello)).into(),
            None => HelloAnswer::Other { first_bytes: hex::encode(&self.first_bytes) }.into(),
        }
    }
}

/// The same for an alert, from wherever it came.
pub(crate) fn alert(alert: &Alert) -> HelloAnswer {
    let name = alert.description_name.as_deref().map_or_else(|| alert.description.to_string(), str::to_owned);
    HelloAnswer::Alert { description: alert.description, name }
}
