//! The bytes of the sessions: X.224 negotiation, the flights of a TLS 1.2 handshake and application records.
//!
//! Nothing is encrypted here. The messages are well formed, so that a relay that walks records and reads the
//! clear part of the handshake has all the work that a real session gives it; the encrypted parts are noise.

/// PROTOCOL_SSL of MS-RDPBCGR 2.2.1.1.1.
pub const PROTOCOL_SSL: u32 = 1;
/// Plaintext limit of a TLS record (RFC 8446 section 5.1): the size in which bulk data travels.
pub const RECORD_PAYLOAD: usize = 16 * 1024;
/// Header of a TLS record: type, version, length.
pub const RECORD_HEADER: usize = 5;

/// The certificate of the server's flight: self-signed RSA-2048 such as Windows makes for itself.
const CERTIFICATE: &[u8] = include_bytes!("../data/server.der");

/// X.224 connection request (MS-RDPBCGR 2.2.1.1), with an RDP_NEG_REQ when protocols are asked for.
pub fn connection_request(requested_protocols: Option<u32>) -> Vec<u8> {
    let mut variable = b"Cookie: mstshash=bench\r\n".to_vec();
    if let Some(protocols) = requested_protocols {
        variable.extend([0x01, 0x00, 0x08, 0x00]);
        variable.extend(protocols.to_le_bytes());
    }
    x224(0xe0, 0, &variable)
}

/// X.224 connection confirm (MS-RDPBCGR 2.2.1.2), with an RDP_NEG_RSP when a protocol was selected.
pub fn connection_confirm(selected_protocol: Option<u32>) -> Vec<u8> {
    let mut variable = Vec::new();
    if let Some(protocol) = selected_protocol {
        variable.extend([0x02, 0x1f, 0x08, 0x00]);
        variable.extend(protocol.to_le_bytes());
    }
    x224(0xd0, 0x1234, &variable)
}

/// TPKT and X.224 header around a variable part.
fn x224(code: u8, source_reference: u16, variable: &[u8]) -> Vec<u8> {
    let mut tpdu = vec![code, 0, 0];
    tpdu.extend(source_reference.to_be_bytes());
    tpdu.push(0);
    tpdu.extend(variable);
    let mut out = vec![0x03, 0x00];
    out.extend(((tpdu.len() + 5) as u16).to_be_bytes());
    out.push(tpdu.len() as u8);
    out.extend(tpdu);
    out
}

/// The ClientHello record: TLS 1.2 with a server name and the usual extensions.
pub fn client_hello() -> Vec<u8> {
    let mut body = vec![0x03, 0x03];
    body.extend(noise(32, 1));
    body.push(0);
    body.extend(prefixed(
        2,
        &[0xc0, 0x30, 0xc0, 0x2f, 0xc0, 0x28, 0xc0, 0x27, 0x00, 0x9d, 0x00, 0x9c, 0x00, 0x35],
    ));
    body.extend([0x01, 0x00]);
    let name = prefixed(2, b"bench-host");
    let mut extensions = extension(0, &prefixed(2, &[&[0u8][..], &name].concat()));
    extensions.extend(extension(5, &[1, 0, 0, 0, 0]));
    extensions.extend(extension(10, &prefixed(2, &[0x00, 0x1d, 0x00, 0x17, 0x00, 0x18])));
    extensions.extend(extension(11, &[1, 0]));
    extensions.extend(extension(13, &prefixed(2, &[8, 4, 8, 5, 8, 6, 4, 1, 5, 1, 2, 1, 4, 3, 5, 3])));
    extensions.extend(extension(23, &[]));
    extensions.extend(extension(0xff01, &[0]));
    body.extend(prefixed(2, &extensions));
    record(22, &handshake(1, &body))
}

/// The server's flight in one record, as Windows sends it: ServerHello, Certificate, ServerKeyExchange, done.
pub fn server_flight() -> Vec<u8> {
    let mut hello = vec![0x03, 0x03];
    hello.extend(noise(32, 2));
    hello.extend(prefixed(1, &noise(32, 3)));
    hello.extend([0xc0, 0x30, 0x00]);
    hello.extend(prefixed(2, &[extension(23, &[]), extension(0xff01, &[0])].concat()));

    let mut exchange = vec![0x03, 0x00, 0x1d];
    exchange.extend(prefixed(1, &noise(32, 4)));
    exchange.extend([0x08, 0x04]);
    exchange.extend(prefixed(2, &noise(256, 5)));

    let mut flight = handshake(2, &hello);
    flight.extend(handshake(11, &prefixed(3, &prefixed(3, CERTIFICATE))));
    flight.extend(handshake(12, &exchange));
    flight.extend(handshake(14, &[]));
    record(22, &flight)
}

/// ClientKeyExchange, ChangeCipherSpec and an encrypted Finished.
pub fn client_finish() -> Vec<u8> {
    let exchange = record(22, &handshake(16, &prefixed(1, &noise(32, 6))));
    [exchange, record(20, &[1]), record(22, &noise(40, 7))].concat()
}

/// ChangeCipherSpec and an encrypted Finished.
pub fn server_finish() -> Vec<u8> {
    [record(20, &[1]), record(22, &noise(40, 8))].concat()
}

/// An application-data record with a payload of `length` bytes of noise.
pub fn application_record(length: usize, seed: u64) -> Vec<u8> {
    record(23, &noise(length, seed))
}

/// Bytes that look encrypted (xorshift64*): the same for the same seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(length);
    out
}

fn record(content_type: u8, payload: &[u8]) -> Vec<u8> {
    [&[content_type, 0x03, 0x03][..], &prefixed(2, payload)].concat()
}

fn handshake(message_type: u8, body: &[u8]) -> Vec<u8> {
    [&[message_type][..], &prefixed(3, body)].concat()
}

fn extension(number: u16, body: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &prefixed(2, body)].concat()
}

/// `body` behind its length in `width` bytes, big-endian.
fn prefixed(width: usize, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u64).to_be_bytes();
    [&length[length.len() - width..], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content types and lengths of the records in `bytes`; panics when they do not end where the bytes do.
    fn walk(mut bytes: &[u8]) -> Vec<(u8, usize)> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let length = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
            found.push((bytes[0], length));
            bytes = &bytes[RECORD_HEADER + length..];
        }
        found
    }

    #[test]
    fn negotiation_has_the_documented_bytes() {
        assert_eq!(
            connection_confirm(Some(PROTOCOL_SSL)),
            [3, 0, 0, 0x13, 0x0e, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0x1f, 8, 0, 1, 0, 0, 0]
        );
        assert_eq!(connection_confirm(None), [3, 0, 0, 0x0b, 6, 0xd0, 0, 0, 0x12, 0x34, 0]);
        let request = connection_request(Some(PROTOCOL_SSL));
        assert_eq!(request.len(), usize::from(request[3]));
        assert_eq!(request.len(), usize::from(request[4]) + 5);
        assert!(request.ends_with(&[1, 0, 8, 0, 1, 0, 0, 0]));
    }

    #[test]
    fn flights_are_whole_records() {
        assert_eq!(walk(&client_hello()).iter().map(|r| r.0).collect::<Vec<_>>(), [22]);
        assert_eq!(walk(&server_flight()).iter().map(|r| r.0).collect::<Vec<_>>(), [22]);
        assert_eq!(walk(&client_finish()).iter().map(|r| r.0).collect::<Vec<_>>(), [22, 20, 22]);
        assert_eq!(walk(&server_finish()), [(20, 1), (22, 40)]);
        assert_eq!(walk(&application_record(RECORD_PAYLOAD, 9)), [(23, RECORD_PAYLOAD)]);
    }

    #[test]
    fn noise_repeats_for_its_seed_only() {
        assert_eq!(noise(100, 5), noise(100, 5));
        assert_ne!(noise(100, 5), noise(100, 6));
    }
}
