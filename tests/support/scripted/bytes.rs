//! Builders of messages for scripted conversations.

/// PROTOCOL_SSL (MS-RDPBCGR 2.2.1.1.1).
pub(crate) const SSL: u32 = 1;
/// PROTOCOL_HYBRID: CredSSP over TLS.
pub(crate) const HYBRID: u32 = 2;

/// A TPKT (RFC 1006) around an X.224 TPDU of class 0 with `code` and `variable` part.
fn x224(code: u8, source_reference: [u8; 2], variable: &[u8]) -> Vec<u8> {
    let length_indicator = u8::try_from(6 + variable.len()).expect("a length indicator is one byte");
    let mut bytes = vec![3, 0];
    bytes.extend((u16::from(length_indicator) + 5).to_be_bytes());
    bytes.extend([length_indicator, code, 0, 0]);
    bytes.extend(source_reference);
    bytes.push(0);
    bytes.extend(variable);
    bytes
}

fn negotiation_block(kind: u8, value: u32) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 8, 0];
    bytes.extend(value.to_le_bytes());
    bytes
}

/// X.224 Connection Request with the cookie of `user` and RDP_NEG_REQ (MS-RDPBCGR 2.2.1.1).
pub(crate) fn connection_request(user: &str, requested_protocols: u32) -> Vec<u8> {
    let mut variable = format!("Cookie: mstshash={user}\r\n").into_bytes();
    variable.extend(negotiation_block(1, requested_protocols));
    x224(0xe0, [0, 0], &variable)
}

/// X.224 Connection Confirm with RDP_NEG_RSP (MS-RDPBCGR 2.2.1.2).
pub(crate) fn connection_confirm(selected_protocol: u32) -> Vec<u8> {
    x224(0xd0, [0x12, 0x34], &negotiation_block(2, selected_protocol))
}

/// X.224 Connection Confirm with RDP_NEG_FAILURE (MS-RDPBCGR 2.2.1.2.2).
pub(crate) fn negotiation_failure(failure_code: u32) -> Vec<u8> {
    x224(0xd0, [0x12, 0x34], &negotiation_block(3, failure_code))
}

/// RDP_PRECONNECTION_PDU_V2 (MS-RDPEPS 2.2.1.2).
pub(crate) fn preconnection_pdu(id: u32, text: &str) -> Vec<u8> {
    let payload: Vec<u16> = text.encode_utf16().chain([0]).collect();
    let length = 18 + 2 * payload.len();
    let mut bytes = Vec::new();
    for field in [u32::try_from(length).expect("a short text"), 0, 2, id] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(u16::try_from(payload.len()).expect("a short text").to_le_bytes());
    bytes.extend(payload.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes
}

/// A fatal TLS alert in clear (RFC 5246 7.2).
pub(crate) fn fatal_alert(description: u8) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, description]
}
