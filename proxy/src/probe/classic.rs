//! Classic RDP security (MS-RDPBCGR 5.3): which encryption the server takes, by the first exchange of MCS and no further.

use super::negotiation;
use super::way::Way;
use crate::trace::{ClassicCheck, NegotiationAnswer, NegotiationCheck};
use crate::wire::gcc::{self, ServerData};
use crate::wire::mcs::{self, McsPdu};
use crate::wire::tpkt::{TPKT_HEADER_LENGTH, tpkt_header};
use crate::wire::x224;
use futures_util::future::join_all;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// encryptionMethods of CS_SECURITY (2.2.1.3.3): none at all, which not every server takes that takes others; 40, 56 and
/// 128 bits of RC4, and 3DES.
const METHODS: [(u32, &str); 5] = [
    (0, NOT_ENCRYPTED),
    (0x01, "40BIT_ENCRYPTION_FLAG"),
    (0x08, "56BIT_ENCRYPTION_FLAG"),
    (0x02, "128BIT_ENCRYPTION_FLAG"),
    (0x10, "FIPS_ENCRYPTION_FLAG"),
];
/// One for each method.
pub(super) const MOST_CONNECTIONS: u32 = METHODS.len() as u32;
/// The name of a connection that is not encrypted.
const NOT_ENCRYPTED: &str = "NONE";

const X224_DATA: [u8; 3] = [2, 0xf0, 0x80];
const CS_CORE: u16 = 0xc001;
const CS_SECURITY: u16 = 0xc002;
/// Bytes of CS_CORE up to and with serverSelectedProtocol, less those of its header.
const CORE_LENGTH: usize = 212;
/// targetParameters, minimumParameters and maximumParameters as every client sends them (T.125).
const DOMAIN_PARAMETERS: [&[u8]; 3] = [
    &[2, 1, 34, 2, 1, 2, 2, 1, 0, 2, 1, 1, 2, 1, 0, 2, 1, 1, 2, 2, 0xff, 0xff, 2, 1, 2],
    &[2, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 0, 2, 1, 1, 2, 2, 4, 0x20, 2, 1, 2],
    &[
        2, 2, 0xff, 0xff, 2, 2, 0xfc, 0x17, 2, 2, 0xff, 0xff, 2, 1, 1, 2, 1, 0, 2, 1, 1, 2, 2, 0xff, 0xff, 2,
        1, 2,
    ],
];

/// Offers each method alone, where `negotiation` says that the server takes classic security.
pub(super) async fn check(way: &Way, negotiation: &[NegotiationCheck]) -> Option<ClassicCheck> {
    let is_taken = |check: &NegotiationCheck| matches!(&check.answer, NegotiationAnswer::Selected { protocol, .. } if protocol == negotiation::CLASSIC);
    if !negotiation.iter().any(is_taken) {
        return None;
    }
    let answers = join_all(METHODS.iter().map(|(method, _)| offer(way, *method))).await;
    let mut check = ClassicCheck::default();
    for ((_, name), answer) in METHODS.iter().zip(answers) {
        match answer {
            Ok(data) => note(&mut check, &data),
            Err(reason) => drop(check.refused.insert((*name).to_owned(), reason)),
        }
    }
    Some(check)
}

fn note(check: &mut ClassicCheck, data: &ServerData) {
    if let Some(core) = &data.core {
        check.rdp_version = core.version.name.clone();
    }
    let Some(security) = &data.security else { return };
    let method = match &security.encryption_method {
        method if method.value == 0 => NOT_ENCRYPTED.to_owned(),
        method => method.names.join(", "),
    };
    if !check.methods.contains(&method) {
        check.methods.push(method);
    }
    check.level = security.encryption_level.name.clone();
}

/// The server's settings for a client with one method; the error says what came in their place.
async fn offer(way: &Way, method: u32) -> Result<ServerData, String> {
    let mut connection = way.open().await.map_err(|error| error.to_string())?;
    let (answer, _) = negotiation::ask(way, &mut connection, 0).await;
    if !matches!(answer, NegotiationAnswer::Selected { .. }) {
        return Err(negotiation::words(&answer));
    }
    let exchanged = timeout(way.answer_timeout, exchange(&mut connection, &connect_initial(method))).await;
    let packet = match exchanged {
        Ok(Ok(packet)) => packet,
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err("it closed the connection".to_owned());
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
            return Err("it reset the connection".to_owned());
        }
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("it did not answer".to_owned()),
    };
    settings(&packet)
}

/// Sends a packet and reads one.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request).await?;
    let mut packet = vec![0; TPKT_HEADER_LENGTH];
    stream.read_exact(&mut packet).await?;
    let length = match tpkt_header(&packet) {
        Ok(Some((length, _))) => length,
        Ok(None) => return Ok(packet),
        Err(malformed) => return Err(io::Error::other(malformed)),
    };
    packet.resize(length, 0);
    stream.read_exact(&mut packet[TPKT_HEADER_LENGTH..]).await?;
    Ok(packet)
}

fn settings(packet: &[u8]) -> Result<ServerData, String> {
    let tpdu = packet.get(TPKT_HEADER_LENGTH..).unwrap_or_default();
    let Some(pdu) = tpdu.strip_prefix(&X224_DATA) else {
        return Err("it answered with something else than MCS".to_owned());
    };
    match mcs::decode(pdu) {
        Ok(McsPdu::ConnectResponse(connect)) if connect.result.unwrap_or_default() == 0 => {
            gcc::server_data(pdu, &connect).map_err(|malformed| malformed.to_string())
        }
        Ok(McsPdu::ConnectResponse(_)) => Err("it refused the settings".to_owned()),
        Ok(McsPdu::DisconnectProviderUltimatum { .. }) => Err("it disconnected".to_owned()),
        Ok(_) => Err("it answered with another MCS PDU".to_owned()),
        Err(malformed) => Err(malformed.to_string()),
    }
}

/// MCS Connect Initial with GCC Conference Create Request (2.2.1.3) of a client without a name and with one method.
fn connect_initial(method: u32) -> Vec<u8> {
    let security = [method.to_le_bytes(), [0; 4]].concat();
    let blocks = [block(CS_CORE, &core()), block(CS_SECURITY, &security)].concat();
    let create =
        [&[0, 8, 0, 0x10, 0, 1, 0xc0, 0][..], b"Duca", &packed_length(blocks.len()), &blocks].concat();
    let conference = [&[0, 5, 0, 0x14, 0x7c, 0, 1][..], &packed_length(create.len()), &create].concat();
    let parameters: Vec<u8> =
        DOMAIN_PARAMETERS.iter().flat_map(|parameters| element(&[0x30], parameters)).collect();
    let selectors_and_upward_flag = [4, 1, 1, 4, 1, 1, 1, 1, 0xff];
    let content = [&selectors_and_upward_flag[..], &parameters, &element(&[4], &conference)].concat();
    let mcs = element(&[0x7f, 0x65], &content);
    let length = (TPKT_HEADER_LENGTH + X224_DATA.len() + mcs.len()) as u16;
    let [high, low] = length.to_be_bytes();
    [&[x224::TPKT_VERSION, 0, high, low][..], &X224_DATA, &mcs].concat()
}

/// CS_CORE (2.2.1.3.2): a small desktop, an English keyboard, no name.
fn core() -> [u8; CORE_LENGTH] {
    let mut core = [0; CORE_LENGTH];
    let fields: [(usize, &[u8]); 12] = [
        (0, &[4, 0, 8, 0]),
        (4, &1024_u16.to_le_bytes()),
        (6, &768_u16.to_le_bytes()),
        (8, &0xca01_u16.to_le_bytes()),
        (10, &0xaa03_u16.to_le_bytes()),
        (12, &0x409_u32.to_le_bytes()),
        (16, &2600_u32.to_le_bytes()),
        (52, &[4]),
        (60, &[12]),
        (128, &0xca01_u16.to_le_bytes()),
        (130, &[1]),
        (136, &[16, 0, 7, 0, 1, 0]),
    ];
    for (at, value) in fields {
        core[at..at + value.len()].copy_from_slice(value);
    }
    core
}

fn block(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = (body.len() + 4) as u16;
    [&kind.to_le_bytes()[..], &length.to_le_bytes(), body].concat()
}

/// A length in PER, in two bytes.
fn packed_length(length: usize) -> [u8; 2] {
    (length as u16 | 0x8000).to_be_bytes()
}

/// A BER element; its length in one byte where that is enough.
fn element(tag: &[u8], content: &[u8]) -> Vec<u8> {
    let length = content.len() as u16;
    let [high, low] = length.to_be_bytes();
    let header: &[u8] = if length < 0x80 { &[low] } else { &[0x82, high, low] };
    [tag, header, content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_settings_are_what_they_are_meant_to_be() {
        for (method, name) in METHODS {
            let packet = connect_initial(method);
            let pdu = &packet[TPKT_HEADER_LENGTH + X224_DATA.len()..];
            let Ok(McsPdu::ConnectInitial(connect)) = mcs::decode(pdu) else { panic!("{packet:02x?}") };
            let data = gcc::client_data(pdu, &connect).unwrap();
            assert!(data.faults.is_empty(), "{data:?}");
            let offered = data.security.unwrap().encryption_methods.names;
            assert_eq!(offered, if method == 0 { Vec::new() } else { vec![name] });
            let core = data.core.unwrap();
            assert_eq!((core.desktop_width, core.desktop_height), (1024, 768));
            assert_eq!(core.client_name, "");
        }
    }

    #[test]
    fn no_answer_of_a_server_is_too_odd() {
        for packet in
            [&[][..], &[3, 0, 0, 7, 2, 0xf0, 0x80], &[3, 0, 0, 8, 2, 0xf0, 0x80, 0x7f], &[3, 0, 0, 5, 9]]
        {
            assert!(settings(packet).is_err());
        }
    }
}
