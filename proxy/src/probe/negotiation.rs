//! X.224: what the server makes of each set of protocols (MS-RDPBCGR 2.2.1.1, 2.2.1.2).

use super::way::Way;
use crate::relay::connect::{classify, micros};
use crate::trace::{How, Micros, NegotiationAnswer, NegotiationCheck};
use crate::wire::greeting::{TELLING_LENGTH, recognise};
use crate::wire::x224::{self, LONGEST_TPDU, PROTOCOLS, Tpdu};
use futures_util::future::join_all;
use std::io;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What mstsc asks for: SSL, HYBRID and HYBRID_EX.
pub(crate) const USUAL: u32 = 1 | 2 | 8;
/// Classic RDP security alone; TLS alone; TLS or NLA, as clients before Windows 8 ask; as mstsc asks; and each of the others
/// alone.
const MASKS: [u32; 7] = [0, 1, 1 | 2, USUAL, 2, 4, 8];
/// One for each mask.
pub(super) const MOST_CONNECTIONS: u32 = MASKS.len() as u32;
/// The name of classic RDP security among the protocols.
pub(super) const CLASSIC: &str = "RDP";

/// Asks with each mask, at the same time.
pub(super) async fn check(way: &Way) -> Vec<NegotiationCheck> {
    join_all(MASKS.iter().map(|mask| with(way, *mask))).await
}

async fn with(way: &Way, protocols: u32) -> NegotiationCheck {
    let (answer, took_us) = match way.open().await {
        Ok(mut connection) => ask(way, &mut connection, protocols).await,
        Err(error) => (NegotiationAnswer::NotConnected { error: classify(&error) }, 0),
    };
    NegotiationCheck { requested_protocols: names(protocols), answer, took_us }
}

/// The names of a set of protocols.
pub(super) fn names(protocols: u32) -> Vec<String> {
    if protocols == 0 { vec![CLASSIC.to_owned()] } else { x224::bit_names(protocols, PROTOCOLS) }
}

/// Sends a connection request and reads its answer, and how long that took.
pub(super) async fn ask(way: &Way, stream: &mut TcpStream, protocols: u32) -> (NegotiationAnswer, Micros) {
    let began = Instant::now();
    let mut answer = Vec::new();
    let request = x224::encode_request(None, protocols);
    let exchanged = timeout(way.answer_timeout, exchange(stream, &request, &mut answer)).await;
    let took_us = micros(began.elapsed());
    let answer = judge(&answer, exchanged.ok());
    way.note_negotiated(protocols, &answer);
    (answer, took_us)
}

/// Sends `request` and reads one packet, or the first bytes of what is none, into `answer`; nothing that follows a
/// packet is taken. Without an error the packet is whole, or the server has ended its direction.
pub(crate) async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) -> io::Result<()> {
    stream.write_all(request).await?;
    let mut buffer = [0; LONGEST_TPDU];
    loop {
        let wanted = match answer.first() {
            Some(&x224::TPKT_VERSION) if answer.len() >= x224::TPKT_HEADER_LENGTH => {
                x224::packet_length(answer).unwrap_or_default()
            }
            Some(&x224::TPKT_VERSION) | None => x224::TPKT_HEADER_LENGTH,
            Some(_) => TELLING_LENGTH,
        };
        let missing = wanted.saturating_sub(answer.len());
        // To read nothing is to wait for more.
        if missing == 0 {
            return Ok(());
        }
        let count = stream.read(&mut buffer[..missing.min(LONGEST_TPDU)]).await?;
        if count == 0 {
            return Ok(());
        }
        answer.extend_from_slice(&buffer[..count]);
    }
}

/// What was answered. `exchanged` is absent where it took too long.
pub(super) fn judge(answer: &[u8], exchanged: Option<io::Result<()>>) -> NegotiationAnswer {
    match x224::decode(answer) {
        Ok(Some((Tpdu::ConnectionConfirm(confirm), _))) => {
            return NegotiationAnswer::Selected {
                protocol: confirm.selected_protocol_name,
                flags: confirm.flag_names,
            };
        }
        Ok(Some((Tpdu::NegotiationFailure(failure), _))) => {
            return NegotiationAnswer::Refused { code: failure.code, name: failure.name };
        }
        Ok(Some((Tpdu::DisconnectRequest { reason }, _))) => {
            return NegotiationAnswer::Disconnected { reason };
        }
        _ => {}
    }
    if !answer.is_empty() {
        return NegotiationAnswer::OtherProtocol {
            protocol: speaks(answer).map(str::to_owned),
            first_bytes: hex::encode(&answer[..answer.len().min(TELLING_LENGTH)]),
        };
    }
    match exchanged {
        None => NegotiationAnswer::Silent,
        Some(Ok(())) => NegotiationAnswer::Closed { how: How::Fin },
        Some(Err(_)) => NegotiationAnswer::Closed { how: How::Reset },
    }
}

fn speaks(answer: &[u8]) -> Option<&'static str> {
    match answer {
        [0x15, 3, ..] => Some("TLS alert"),
        _ => recognise(answer),
    }
}

/// An answer in words, for a sentence about the server.
pub(super) fn words(answer: &NegotiationAnswer) -> String {
    match answer {
        NegotiationAnswer::Selected { protocol, .. } => format!("it selected {protocol}"),
        NegotiationAnswer::Refused { code, name } => format!("it refused with {name} ({code})"),
        NegotiationAnswer::Disconnected { reason } => format!("it disconnected with reason {reason}"),
        NegotiationAnswer::OtherProtocol { protocol, .. } => {
            format!("it answered with {}", protocol.as_deref().unwrap_or("something else"))
        }
        NegotiationAnswer::Closed { how: How::Reset } => "it reset the connection".to_owned(),
        NegotiationAnswer::Closed { .. } => "it closed the connection".to_owned(),
        NegotiationAnswer::Silent => "it did not answer".to_owned(),
        NegotiationAnswer::NotConnected { .. } => "it took no connection".to_owned(),
    }
}
