//! TPKT (RFC 1006) and the X.224 class 0 connection request, confirm and disconnect (MS-RDPBCGR 2.2.1.1, 2.2.1.2).
//!
//! What breaks the format in a way that leaves the rest readable is an entry in `anomalies`, not an error.

use super::{Decoded, Malformed, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TPKT version; also the first byte that an RDP client sends.
pub const TPKT_VERSION: u8 = 3;
/// Bytes of a TPKT header.
pub const TPKT_HEADER_LENGTH: usize = 4;
/// Smallest TPKT that can hold an X.224 TPDU: header, length indicator, code, two references, class.
const SHORTEST_TPDU: usize = 11;
/// A connection request or confirm has a one-byte length indicator, so nothing longer can be one.
pub const LONGEST_TPDU: usize = TPKT_HEADER_LENGTH + 1 + 0xff;

const CONNECTION_REQUEST: u8 = 0xe0;
const CONNECTION_CONFIRM: u8 = 0xd0;
const DISCONNECT_REQUEST: u8 = 0x80;
const TYPE_RDP_NEG_REQ: u8 = 1;
const TYPE_RDP_NEG_RSP: u8 = 2;
const TYPE_RDP_NEG_FAILURE: u8 = 3;
const TYPE_RDP_CORRELATION_INFO: u8 = 6;
/// Bytes of RDP_NEG_REQ.
const NEGOTIATION_LENGTH: usize = 8;
/// What stands before the identity in the cookie.
const COOKIE: &str = "Cookie: mstshash=";

/// RDP_NEG_REQ.requestedProtocols and RDP_NEG_RSP.selectedProtocol, 2.2.1.1.1.
pub const PROTOCOLS: &[(u32, &str)] =
    &[(1, "SSL"), (2, "HYBRID"), (4, "RDSTLS"), (8, "HYBRID_EX"), (0x10, "RDSAAD")];
/// RDP_NEG_FAILURE.failureCode, 2.2.1.2.2.
pub const FAILURE_CODES: &[(u32, &str)] = &[
    (1, "SSL_REQUIRED_BY_SERVER"),
    (2, "SSL_NOT_ALLOWED_BY_SERVER"),
    (3, "SSL_CERT_NOT_ON_SERVER"),
    (4, "INCONSISTENT_FLAGS"),
    (5, "HYBRID_REQUIRED_BY_SERVER"),
    (6, "SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER"),
];
const REQUEST_FLAGS: &[(u32, &str)] = &[
    (0x01, "RESTRICTED_ADMIN_MODE_REQUIRED"),
    (0x02, "REDIRECTED_AUTHENTICATION_MODE_REQUIRED"),
    (0x08, "CORRELATION_INFO_PRESENT"),
];
const CONFIRM_FLAGS: &[(u32, &str)] = &[
    (0x01, "EXTENDED_CLIENT_DATA_SUPPORTED"),
    (0x02, "DYNVC_GFX_PROTOCOL_SUPPORTED"),
    (0x04, "NEGRSP_FLAG_RESERVED"),
    (0x08, "RESTRICTED_ADMIN_MODE_SUPPORTED"),
    (0x10, "REDIRECTED_AUTHENTICATION_MODE_SUPPORTED"),
];

/// The client's connection request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionRequest {
    /// Bytes on the wire, TPKT header included.
    pub length: usize,
    /// The identity in `Cookie: mstshash=`, as it stands; Windows cuts it to 9 characters.
    pub cookie: Option<String>,
    /// A load balancer's routing token (`Cookie: msts=`, `tsv://`, `mth://`), as it stands.
    pub routing_token: Option<String>,
    /// RDP_NEG_REQ.flags as a number; absent without an RDP_NEG_REQ.
    pub flags: Option<u8>,
    /// The same by name.
    pub flag_names: Vec<String>,
    /// RDP_NEG_REQ.requestedProtocols as a number; absent without an RDP_NEG_REQ.
    pub requested_protocols: Option<u32>,
    /// The same by name; `RDP` where none is set.
    pub requested_protocol_names: Vec<String>,
    /// RDP_NEG_CORRELATION_INFO.correlationId, lower-case hex; the key that server and gateway logs share.
    pub correlation_id: Option<String>,
    /// What departs from the specification, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<String>,
}

/// The server's answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionConfirm {
    /// Bytes on the wire, TPKT header included.
    pub length: usize,
    /// RDP_NEG_RSP.flags as a number; absent without an RDP_NEG_RSP.
    pub flags: Option<u8>,
    /// The same by name.
    pub flag_names: Vec<String>,
    /// RDP_NEG_RSP.selectedProtocol as a number; absent without an RDP_NEG_RSP, which means PROTOCOL_RDP.
    pub selected_protocol: Option<u32>,
    /// The same by name.
    pub selected_protocol_name: String,
    /// What departs from the specification, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<String>,
}

/// The server's refusal, RDP_NEG_FAILURE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NegotiationFailure {
    /// RDP_NEG_FAILURE.failureCode.
    pub code: u32,
    /// The same by name.
    pub name: String,
    /// What departs from the specification, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<String>,
}

/// What a TPKT with X.224 in it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Tpdu {
    /// CR.
    ConnectionRequest(ConnectionRequest),
    /// CC with RDP_NEG_RSP or without any negotiation structure.
    ConnectionConfirm(ConnectionConfirm),
    /// CC with RDP_NEG_FAILURE.
    NegotiationFailure(NegotiationFailure),
    /// DR with its reason.
    DisconnectRequest {
        /// X.224 reason code.
        reason: u8,
    },
    /// Anything else, by its code.
    Other {
        /// TPDU code.
        code: u8,
    },
}

impl Tpdu {
    /// Its TPDU code.
    pub fn code(&self) -> u8 {
        match self {
            Tpdu::ConnectionRequest(_) => CONNECTION_REQUEST,
            Tpdu::ConnectionConfirm(_) | Tpdu::NegotiationFailure(_) => CONNECTION_CONFIRM,
            Tpdu::DisconnectRequest { .. } => DISCONNECT_REQUEST,
            Tpdu::Other { code } => *code,
        }
    }
}

/// Encodes a connection request with RDP_NEG_REQ (2.2.1.1): the `cookie`'s identity where there is one, and the
/// `protocols` of [`PROTOCOLS`] that are asked for. Windows cuts the identity to 9 characters; one that does not fit
/// the packet is cut too.
pub fn encode_request(cookie: Option<&str>, protocols: u32) -> Vec<u8> {
    let mut variable = Vec::new();
    if let Some(identity) = cookie {
        let room = LONGEST_TPDU - SHORTEST_TPDU - NEGOTIATION_LENGTH - COOKIE.len() - 2;
        variable.extend_from_slice(COOKIE.as_bytes());
        variable.extend(identity.bytes().filter(u8::is_ascii_graphic).take(room));
        variable.extend_from_slice(b"\r\n");
    }
    variable.extend_from_slice(&[TYPE_RDP_NEG_REQ, 0, NEGOTIATION_LENGTH as u8, 0]);
    variable.extend_from_slice(&protocols.to_le_bytes());
    let length = SHORTEST_TPDU + variable.len();
    let indicated = (length - TPKT_HEADER_LENGTH - 1) as u8;
    let [high, low] = (length as u16).to_be_bytes();
    let mut request = vec![TPKT_VERSION, 0, high, low, indicated, CONNECTION_REQUEST, 0, 0, 0, 0, 0];
    request.extend_from_slice(&variable);
    request
}

/// Decodes the TPKT at the start of `bytes`.
pub fn decode(bytes: &[u8]) -> Decoded<Tpdu> {
    let Some([version, reserved, high, low]) = bytes.first_chunk::<TPKT_HEADER_LENGTH>() else {
        return Ok(None);
    };
    if *version != TPKT_VERSION {
        return Err(Malformed::new("TPKT", 0, "version is not 3"));
    }
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length < SHORTEST_TPDU {
        return Err(Malformed::new("TPKT", 2, "length is too small for an X.224 TPDU"));
    }
    if length > LONGEST_TPDU {
        return Err(Malformed::new("TPKT", 2, "length is too large for an X.224 connection TPDU"));
    }
    let Some(tpdu) = bytes.get(TPKT_HEADER_LENGTH..length) else { return Ok(None) };
    let mut anomalies = Vec::new();
    if *reserved != 0 {
        anomalies.push("TPKT reserved byte is not zero".to_owned());
    }
    Ok(Some((decode_tpdu(tpdu, length, anomalies)?, length)))
}

/// Bytes of the packet at the start of `bytes`, where its header announces one that [`decode`] reads.
pub fn packet_length(bytes: &[u8]) -> Option<usize> {
    let [_, _, high, low] = bytes.first_chunk::<TPKT_HEADER_LENGTH>()?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    (SHORTEST_TPDU..=LONGEST_TPDU).contains(&length).then_some(length)
}

/// Where RDP_NEG_REQ stands in the connection request that `packet` is, bytes from its TPKT header; the first where
/// there are several.
pub fn negotiation_request_offset(packet: &[u8]) -> Option<usize> {
    let mut structures = take_token(packet.get(SHORTEST_TPDU..)?, &mut ConnectionRequest::default());
    while let Ok((structure, consumed)) = read_structure(structures, &mut Vec::new()) {
        if structure.kind == TYPE_RDP_NEG_REQ {
            return Some(packet.len() - structures.len());
        }
        structures = &structures[consumed..];
    }
    None
}

/// The name of one protocol value, or its number in hex.
pub fn protocol_name(value: u32) -> String {
    match PROTOCOLS.iter().find(|(bit, _)| *bit == value) {
        Some((_, name)) => (*name).to_owned(),
        None if value == 0 => "RDP".to_owned(),
        None => format!("0x{value:08x}"),
    }
}

/// The name of RDP_NEG_FAILURE.failureCode, 2.2.1.2.2, or its number in hex.
pub fn failure_name(code: u32) -> String {
    match FAILURE_CODES.iter().find(|(known, _)| *known == code) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("0x{code:08x}"),
    }
}

/// The names of the bits set in `value`; unknown bits as one number in hex.
pub fn bit_names(value: u32, names: &[(u32, &str)]) -> Vec<String> {
    let known = names.iter().fold(0, |all, (bit, _)| all | bit);
    let named = names.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| (*name).to_owned());
    let unknown = (value & !known != 0).then(|| format!("0x{:x}", value & !known));
    named.chain(unknown).collect()
}

fn decode_tpdu(tpdu: &[u8], length: usize, mut anomalies: Vec<String>) -> Result<Tpdu, Malformed> {
    let mut reader = Reader::new("X.224 TPDU", tpdu);
    let indicated = usize::from(reader.u8()?);
    let code = reader.u8()?;
    let _references = reader.take(4)?;
    if indicated + 1 != tpdu.len() {
        anomalies.push(format!("X.224 length indicator {indicated} does not fit the TPKT length {length}"));
    }
    match code & 0xf0 {
        CONNECTION_REQUEST => {
            let _class = reader.u8()?;
            Ok(Tpdu::ConnectionRequest(decode_request(reader.rest(), length, anomalies)))
        }
        CONNECTION_CONFIRM => {
            let _class = reader.u8()?;
            Ok(decode_answer(reader.rest(), length, anomalies))
        }
        DISCONNECT_REQUEST => Ok(Tpdu::DisconnectRequest { reason: reader.u8()? }),
        _ => Ok(Tpdu::Other { code }),
    }
}

fn decode_request(variable: &[u8], length: usize, anomalies: Vec<String>) -> ConnectionRequest {
    let mut request = ConnectionRequest { length, anomalies, ..Default::default() };
    let structures = take_token(variable, &mut request);
    for structure in structures_of(structures, &mut request.anomalies) {
        match structure.kind {
            TYPE_RDP_NEG_REQ => {
                request.flags = Some(structure.flags);
                request.flag_names = bit_names(structure.flags.into(), REQUEST_FLAGS);
                request.requested_protocols = Some(structure.value);
            }
            TYPE_RDP_CORRELATION_INFO => request.correlation_id = Some(hex::encode(structure.correlation_id)),
            other => request.anomalies.push(format!("unknown negotiation structure {other:#04x}")),
        }
    }
    request.requested_protocol_names = match request.requested_protocols.unwrap_or(0) {
        0 => vec!["RDP".to_owned()],
        protocols => bit_names(protocols, PROTOCOLS),
    };
    request
}

/// Takes the routing token or cookie, which ends with CR LF, off the front; answers with what follows.
fn take_token<'a>(variable: &'a [u8], request: &mut ConnectionRequest) -> &'a [u8] {
    let Some(end) = variable.windows(2).position(|pair| pair == b"\r\n") else { return variable };
    // A binary structure may hold 0d 0a by chance; a token starts with a printable character.
    if !variable[0].is_ascii_graphic() {
        return variable;
    }
    let text = String::from_utf8_lossy(&variable[..end]).into_owned();
    match text.strip_prefix(COOKIE) {
        Some(identity) => request.cookie = Some(identity.to_owned()),
        None => request.routing_token = Some(text),
    }
    &variable[end + 2..]
}

fn decode_answer(variable: &[u8], length: usize, mut anomalies: Vec<String>) -> Tpdu {
    let mut confirm = ConnectionConfirm { length, ..Default::default() };
    for structure in structures_of(variable, &mut anomalies) {
        match structure.kind {
            TYPE_RDP_NEG_RSP => {
                confirm.flags = Some(structure.flags);
                confirm.flag_names = bit_names(structure.flags.into(), CONFIRM_FLAGS);
                confirm.selected_protocol = Some(structure.value);
            }
            TYPE_RDP_NEG_FAILURE => {
                let code = structure.value;
                return Tpdu::NegotiationFailure(NegotiationFailure {
                    code,
                    name: failure_name(code),
                    anomalies,
                });
            }
            other => anomalies.push(format!("unknown negotiation structure {other:#04x}")),
        }
    }
    confirm.selected_protocol_name = protocol_name(confirm.selected_protocol.unwrap_or(0));
    confirm.anomalies = anomalies;
    Tpdu::ConnectionConfirm(confirm)
}

/// One of the structures behind the fixed part: RDP_NEG_REQ, _RSP, _FAILURE or RDP_NEG_CORRELATION_INFO.
struct Structure {
    kind: u8,
    flags: u8,
    value: u32,
    correlation_id: [u8; 16],
}

fn structures_of(mut bytes: &[u8], anomalies: &mut Vec<String>) -> Vec<Structure> {
    let mut structures = Vec::new();
    while !bytes.is_empty() {
        match read_structure(bytes, anomalies) {
            Ok((structure, consumed)) => {
                structures.push(structure);
                bytes = &bytes[consumed..];
            }
            Err(malformed) => {
                anomalies.push(malformed.to_string());
                break;
            }
        }
    }
    structures
}

fn read_structure(bytes: &[u8], anomalies: &mut Vec<String>) -> Result<(Structure, usize), Malformed> {
    let mut reader = Reader::new("negotiation structure", bytes);
    let kind = reader.u8()?;
    let flags = reader.u8()?;
    let length = reader.u16_le()?;
    let mut structure = Structure { kind, flags, value: 0, correlation_id: [0; 16] };
    let expected = if kind == TYPE_RDP_CORRELATION_INFO {
        structure.correlation_id = reader.array()?;
        let _reserved = reader.take(16)?;
        36
    } else {
        structure.value = reader.u32_le()?;
        8
    };
    if length != expected {
        anomalies.push(format!(
            "negotiation structure {kind:#04x} says it is {length} bytes long, not {expected}"
        ));
    }
    Ok((structure, reader.offset()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text.replace(' ', "")).unwrap()
    }

    fn request(text: &str) -> ConnectionRequest {
        match decode(&bytes(text)) {
            Ok(Some((Tpdu::ConnectionRequest(request), _))) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_a_request_without_cookie() {
        let request = request("03000013 0ee00000000000 0100080003000000");
        assert_eq!(request.requested_protocol_names, ["SSL", "HYBRID"]);
        assert_eq!((request.cookie, request.routing_token), (None, None));
        assert_eq!(request.anomalies, Vec::<String>::new());
    }

    #[test]
    fn reads_cookie_and_correlation_info() {
        let mut text = String::from("0300004b 46e00000000000");
        text += &hex::encode("Cookie: mstshash=adm\r\n");
        text += "0108080001000000 06002400 a1a2a3a4a5a6a7a8a9aaabacadaeafb0 00000000000000000000000000000000";
        let length = bytes(&text).len();
        let request =
            request(&text.replacen("0300004b 46", &format!("0300{length:04x} {:02x}", length - 5), 1));
        assert_eq!(request.cookie.as_deref(), Some("adm"));
        assert_eq!(request.flag_names, ["CORRELATION_INFO_PRESENT"]);
        assert_eq!(request.correlation_id.as_deref(), Some("a1a2a3a4a5a6a7a8a9aaabacadaeafb0"));
        assert!(request.anomalies.is_empty(), "{:?}", request.anomalies);
    }

    #[test]
    fn finds_the_place_of_the_request_behind_whatever_stands_before_it() {
        let bare = bytes("03000013 0ee00000000000 0100080003000000");
        assert_eq!(negotiation_request_offset(&bare), Some(11));
        let cookie = [&bare[..11], b"Cookie: mstshash=adm\r\n", &bare[11..]].concat();
        assert_eq!(negotiation_request_offset(&cookie), Some(33));
        let correlated = [&bare[..11], &[6, 0, 36, 0], &[1; 32], &bare[11..]].concat();
        assert_eq!(negotiation_request_offset(&correlated), Some(47));
        assert_eq!(negotiation_request_offset(&bare[..18]), None);
        assert_eq!(negotiation_request_offset(&bare[..11]), None);
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        assert_eq!(encode_request(None, 3), bytes("03000013 0ee00000000000 0100080003000000"));
        for (cookie, read) in [
            (None, None),
            (Some("alice"), Some("alice".to_owned())),
            (Some("a\r\nb"), Some("ab".to_owned())),
            (Some(&"x".repeat(1000)[..]), Some("x".repeat(222))),
        ] {
            let request = encode_request(cookie, 0x0b);
            let Ok(Some((Tpdu::ConnectionRequest(decoded), length))) = decode(&request) else { panic!() };
            assert_eq!((length, decoded.cookie), (request.len(), read));
            assert_eq!(decoded.requested_protocol_names, ["SSL", "HYBRID", "HYBRID_EX"]);
            assert_eq!(decoded.anomalies, Vec::<String>::new());
        }
    }

    #[test]
    fn a_routing_token_is_not_a_cookie() {
        let token = hex::encode("Cookie: msts=3640205228.15629.0000\r\n");
        let length = 11 + token.len() / 2;
        let request = request(&format!("0300{length:04x}{:02x}e00000000000{token}", length - 5));
        assert_eq!(request.routing_token.as_deref(), Some("Cookie: msts=3640205228.15629.0000"));
        assert_eq!(request.requested_protocols, None);
        assert_eq!(request.requested_protocol_names, ["RDP"]);
    }

    #[test]
    fn reads_confirm_and_every_failure() {
        let confirm = decode(&bytes("03000013 0ed00000123400 021f080002000000")).unwrap().unwrap().0;
        let Tpdu::ConnectionConfirm(confirm) = confirm else { panic!("{confirm:?}") };
        assert_eq!(confirm.selected_protocol_name, "HYBRID");
        assert_eq!(confirm.flag_names.len(), 5);
        for (code, name) in
            [(1, "SSL_REQUIRED_BY_SERVER"), (6, "SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER"), (9, "0x00000009")]
        {
            let answer = decode(&bytes(&format!("03000013 0ed00000123400 03000800{code:02x}000000")))
                .unwrap()
                .unwrap()
                .0;
            let Tpdu::NegotiationFailure(failure) = answer else { panic!("{answer:?}") };
            assert_eq!((failure.code, failure.name.as_str()), (code, name));
        }
    }

    #[test]
    fn a_confirm_without_negotiation_means_rdp() {
        let confirm = decode(&bytes("0300000b 06d00000123400")).unwrap().unwrap().0;
        let Tpdu::ConnectionConfirm(confirm) = confirm else { panic!("{confirm:?}") };
        assert_eq!((confirm.selected_protocol, confirm.selected_protocol_name.as_str()), (None, "RDP"));
    }

    #[test]
    fn a_wrong_length_field_is_an_anomaly_and_the_rest_is_read() {
        let answer = decode(&bytes("03000013 0ed00000123400 0200090001000000")).unwrap().unwrap().0;
        let Tpdu::ConnectionConfirm(confirm) = answer else { panic!("{answer:?}") };
        assert_eq!(confirm.selected_protocol_name, "SSL");
        assert_eq!(confirm.anomalies.len(), 1);
    }

    #[test]
    fn what_is_no_tpkt_is_said_with_its_offset() {
        assert_eq!(decode(b"HTTP/1.1 400").unwrap_err().offset, 0);
        assert_eq!(decode(&[3, 0, 0, 5]).unwrap_err().offset, 2);
        assert_eq!(decode(&[3, 0, 0xff, 0xff]).unwrap_err().offset, 2);
        assert_eq!(decode(&[3, 0, 0]), Ok(None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
            let mut tpkt = vec![3, 0, 0, (bytes.len() + 4).min(255) as u8];
            tpkt.extend_from_slice(&bytes);
            if let Ok(Some((_, consumed))) = decode(&tpkt) {
                prop_assert!(consumed <= tpkt.len());
            }
        }
    }
}
