//! HTTP, WebSocket and packets of a gateway, of our own making, with canaries in the place of every secret.

/// What must never be shown: it stands wherever a peer would put a secret.
pub(crate) const CANARY: &str = "canary-secret-at-gateway";

/// The connection id in every head.
pub(crate) const CONNECTION_ID: &str = "{8BBD33FE-A9F1-4B0E-9D5A-3F6E0C6C2A11}";

/// What the target is called.
pub(crate) const TARGET: &str = "target.example";

/// A packet of `packet_type` with `body` behind its header.
pub(crate) fn packet(packet_type: u16, body: &[u8]) -> Vec<u8> {
    let length = (8 + body.len()) as u32;
    [&packet_type.to_le_bytes()[..], &[0, 0], &length.to_le_bytes(), body].concat()
}

/// A packet that carries `bytes` of RDP.
pub(crate) fn data(bytes: &[u8]) -> Vec<u8> {
    packet(0xA, &counted(bytes))
}

/// HTTP_KEEPALIVE_PACKET.
pub(crate) fn keepalive() -> Vec<u8> {
    packet(0xD, &[])
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes()[..], bytes].concat()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// What the client says up to its request for a channel, and what the gateway answers: pairs.
pub(crate) fn tunnel() -> [(Vec<u8>, Vec<u8>); 4] {
    let cookie = counted(&utf16(CANARY));
    let create = [&[0x3f, 0, 0, 0, 1, 0, 0, 0][..], &cookie].concat();
    let auth = [&[1, 0][..], &counted(&utf16("CLIENT")), &counted(CANARY.as_bytes())].concat();
    let channel = [&[1, 0, 0x3d, 0x0d, 3, 0][..], &counted(&utf16(TARGET))].concat();
    let granted =
        [&[0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0x3f, 0x0d][..], &counted(CANARY.as_bytes())].concat();
    [
        (packet(1, &[1, 0, 0, 0, 2, 0]), packet(2, &[0, 0, 0, 0, 1, 0, 0, 0, 2, 0])),
        (packet(4, &create), packet(5, &[0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 0x3f, 0, 0, 0])),
        (packet(6, &auth), packet(7, &[0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0x80, 30, 0, 0, 0])),
        (packet(8, &channel), packet(9, &granted)),
    ]
}

/// The channel ends.
pub(crate) fn close(answer: bool, status: u32) -> Vec<u8> {
    packet(if answer { 0x11 } else { 0x10 }, &status.to_le_bytes())
}

/// The head of a request at the gateway with `headers` behind the usual ones, each with its line end.
pub(crate) fn request(method: &str, headers: &str) -> Vec<u8> {
    let identity: String = CANARY.chars().map(|letter| format!("{letter}\0")).collect();
    format!(
        "{method} /remoteDesktopGateway/?ClmTk={CANARY} HTTP/1.1\r\nCache-Control: no-cache\r\n\
         user-agent: MS-RDGateway/1.0\r\nRDG-Connection-Id: {CONNECTION_ID}\r\nRDG-User-Id: {}\r\n\
         Cookie: session={CANARY}\r\n{headers}\r\n",
        base64(identity.as_bytes())
    )
    .into_bytes()
}

/// The head of a request for WebSocket.
pub(crate) fn upgrade(headers: &str) -> Vec<u8> {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    request("RDG_OUT_DATA", &format!("{upgrade}{headers}"))
}

/// Authorization that brings NTLM's first message, or its last with a canary for a response and, with `bound`, channel
/// bindings.
pub(crate) fn ntlm(bound: Option<bool>) -> String {
    let Some(bound) = bound else {
        return format!(
            "Authorization: NTLM {}\r\n",
            base64(&[&b"NTLMSSP\0\x01\0\0\0"[..], &[0; 28]].concat())
        );
    };
    let binding = if bound { [7; 16] } else { [0; 16] };
    let attributes = [&[10, 0, 16, 0][..], &binding, &[0; 4]].concat();
    let response = [&[0x55; 16][..], &[1; 28], &attributes, CANARY.as_bytes()].concat();
    let at = |length: usize, offset: u32| {
        let length = (length as u16).to_le_bytes();
        [&length[..], &length, &offset.to_le_bytes()].concat()
    };
    let fields = [at(0, 72), at(response.len(), 72), at(0, 72), at(0, 72), at(0, 72), at(0, 72)].concat();
    let message = [&b"NTLMSSP\0\x03\0\0\0"[..], &fields, &[1, 2, 0x88, 0xa2], &[0; 8], &response].concat();
    format!("Authorization: NTLM {}\r\n", base64(&message))
}

/// 401 with NTLM's challenge, or with what the gateway would accept.
pub(crate) fn unauthorized(with_challenge: bool) -> Vec<u8> {
    let challenge = [&b"NTLMSSP\0\x02\0\0\0"[..], &[0; 8], &[1, 2, 0x80, 0xa2], CANARY.as_bytes()].concat();
    let asked = match with_challenge {
        true => format!("WWW-Authenticate: NTLM {}\r\n", base64(&challenge)),
        false => "WWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n".to_owned(),
    };
    let head = format!(
        "HTTP/1.1 401 Unauthorized\r\nServer: Microsoft-HTTPAPI/2.0\r\nSet-Cookie: session={CANARY}\r\n{asked}\
         Content-Length: 4\r\n\r\nno!\n"
    );
    head.into_bytes()
}

/// The gateway grants WebSocket.
pub(crate) fn switching() -> Vec<u8> {
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_vec()
}

/// The gateway grants a channel.
pub(crate) fn granted(headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nServer: Microsoft-HTTPAPI/2.0\r\n{headers}\r\n").into_bytes()
}

/// A frame of WebSocket; the client's are masked.
pub(crate) fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let flag = if masked { 0x80 } else { 0 };
    let mut frame = match payload.len() {
        length @ 0..=125 => vec![first, flag | length as u8],
        length => [&[first, flag | 126][..], &(length as u16).to_be_bytes()].concat(),
    };
    let mask: [u8; 4] = if masked { [0x37, 0xfa, 0x21, 0x3d] } else { [0; 4] };
    if masked {
        frame.extend(mask);
    }
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// One chunk of a body.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// Base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |group: &[u8]| {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        let digit = |place: usize| char::from(DIGITS[(bits >> (18 - 6 * place) & 63) as usize]);
        (0..4).map(move |place| if place <= group.len() { digit(place) } else { '=' }).collect::<String>()
    };
    bytes.chunks(3).map(digits).collect()
}
