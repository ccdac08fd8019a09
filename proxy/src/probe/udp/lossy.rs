//! One conversation over lossy transport, which servers before Windows Server 2016 ask for, up to the answer to a DTLS
//! hello.

use super::{HELLO_WITHIN, LARGEST_DATAGRAM, SYN_WITHIN, TELLING_BYTES, dial, initial_sequence_number};
use crate::probe::hello;
use crate::trace::HelloAnswer;
use crate::wire::rdpeudp::{Datagram, SynData};
use ironrdp_core::encode_vec;
use ironrdp_rdpeudp::pdu::{
    FecHeader, SourceData, SourcePayloadHeader, SynDataPayload, V1AckVectorElement, V1AckVectorHeader,
    V1Datagram, V1Flags, VectorElementState,
};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

/// uUpStreamMtu and uDownStreamMtu: the largest that the specification allows, bytes.
const MTU: u16 = 1232;
/// uReceiveWindowSize, datagrams.
const RECEIVE_WINDOW: u16 = 64;
/// snSourceAck of a SYN, which acknowledges nothing (MS-RDPEUDP 3.1.5.1.1).
const NOTHING_TO_ACKNOWLEDGE: u32 = 0xFFFF_FFFF;
/// How long an answer may take before the question is repeated, as Windows does it.
const REPEAT_AFTER: Duration = Duration::from_millis(800);

/// What came of a DTLS hello; nothing where no SYN was answered.
pub(super) async fn open(server: SocketAddr, server_name: &str) -> Option<HelloAnswer> {
    let socket = dial(server).await.ok()?;
    let first = initial_sequence_number();
    let mut answered = |datagram: &[u8]| Datagram::decode(datagram).ok().filter(Datagram::is_syn_ack);
    let syn_ack = ask(&socket, &syn(first)?, SYN_WITHIN, &mut answered).await.ok()??;
    let SynData { initial_sequence_number: theirs, .. } = syn_ack.syn_data?;
    let hello = data(first.wrapping_add(1), theirs, hello::usual_dtls(server_name))?;
    let mut last = Vec::new();
    let mut answered = |datagram: &[u8]| {
        let payload = Datagram::decode(datagram).ok()?.payload.filter(|payload| !payload.fec)?;
        let said = datagram.get(payload.offset..).filter(|said| !said.is_empty())?;
        last = said.to_vec();
        hello::dtls_answer(said)
    };
    let answer = ask(&socket, &hello, HELLO_WITHIN, &mut answered).await.ok().flatten();
    Some(answer.unwrap_or_else(|| no_hello(&last)))
}

/// What was said in the place of a hello that never came.
fn no_hello(said: &[u8]) -> HelloAnswer {
    match said {
        [] => HelloAnswer::Silent,
        said => HelloAnswer::Other { first_bytes: hex::encode(&said[..said.len().min(TELLING_BYTES)]) },
    }
}

/// Sends `question` until `pick` takes an answer or `within` is over.
async fn ask<T>(
    socket: &UdpSocket,
    question: &[u8],
    within: Duration,
    pick: &mut (dyn FnMut(&[u8]) -> Option<T> + Send),
) -> io::Result<Option<T>> {
    let deadline = Instant::now() + within;
    let mut buffer = [0; LARGEST_DATAGRAM];
    while Instant::now() < deadline {
        socket.send(question).await?;
        let repeat = Instant::now() + REPEAT_AFTER;
        while let Ok(received) =
            timeout(repeat.saturating_duration_since(Instant::now()), socket.recv(&mut buffer)).await
        {
            if let Some(picked) = pick(&buffer[..received?]) {
                return Ok(Some(picked));
            }
        }
    }
    Ok(None)
}

fn empty(source_ack: u32, flags: V1Flags) -> V1Datagram {
    V1Datagram {
        header: FecHeader { sn_source_ack: source_ack, receive_window_size: RECEIVE_WINDOW, flags },
        ack_vector: None,
        ack_of_acks: None,
        syn_data: None,
        correlation_id: None,
        syn_data_ex: None,
        data: None,
    }
}

/// A SYN of version 1, padded as the specification asks (MS-RDPEUDP 3.1.5.1.1).
fn syn(first: u32) -> Option<Vec<u8>> {
    let syn_data = SynDataPayload { initial_sequence_number: first, upstream_mtu: MTU, downstream_mtu: MTU };
    let flags = V1Flags::SYN | V1Flags::SYNLOSSY;
    let datagram = V1Datagram { syn_data: Some(syn_data), ..empty(NOTHING_TO_ACKNOWLEDGE, flags) };
    let mut bytes = encode_vec(&datagram).ok()?;
    bytes.resize(usize::from(MTU), 0);
    Some(bytes)
}

/// `payload` in one datagram, which acknowledges the server's SYN as well.
fn data(sequence_number: u32, theirs: u32, payload: Vec<u8>) -> Option<Vec<u8>> {
    let received = V1AckVectorElement { state: VectorElementState::DatagramReceived, length: 0 };
    let header = SourcePayloadHeader { sn_coded: sequence_number, sn_source_start: sequence_number };
    let datagram = V1Datagram {
        ack_vector: Some(V1AckVectorHeader { elements: vec![received] }),
        data: Some(SourceData { header, payload }),
        ..empty(theirs, V1Flags::ACK | V1Flags::DATA)
    };
    encode_vec(&datagram).ok()
}
