//! What clients and gateways send.

/// The cookie of the side channel, which no record may hold.
pub(in crate::alter::gateway) const CANARY: &[u8; 25] = b"udp-cookie-canary-1234567";
/// Where another secret stands that no record may hold.
pub(in crate::alter::gateway) const TOKEN: &str = "header-canary-7654321";

/// What a channel response says of the side channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::alter::gateway) enum Carried {
    Port,
    Cookie,
    Both,
}

pub(in crate::alter::gateway) fn packet(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap() + 8;
    [&kind.to_le_bytes()[..], &[0, 0], &length.to_le_bytes(), body].concat()
}

pub(in crate::alter::gateway) fn handshake_response() -> Vec<u8> {
    packet(2, &[0, 0, 0, 0, 1, 0, 0, 0, 7, 0])
}

/// With a PAA cookie.
pub(in crate::alter::gateway) fn tunnel_create(capabilities: u32) -> Vec<u8> {
    packet(4, &[&capabilities.to_le_bytes()[..], &[1, 0, 0, 0, 4, 0], b"paa!"].concat())
}

pub(in crate::alter::gateway) fn tunnel_response(capabilities: u32) -> Vec<u8> {
    let fixed = [7, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0];
    packet(5, &[&fixed[..], &capabilities.to_le_bytes()].concat())
}

pub(in crate::alter::gateway) fn channel_response(carried: Option<Carried>, behind: &[u8]) -> Vec<u8> {
    let (fields, port, cookie) = match carried {
        None => (1, false, false),
        Some(Carried::Cookie) => (3, false, true),
        Some(Carried::Port) => (5, true, false),
        Some(Carried::Both) => (7, true, true),
    };
    let mut body = vec![0, 0, 0, 0, fields, 0, 0, 0, 1, 0, 0, 0];
    if port {
        body.extend(3391_u16.to_le_bytes());
    }
    if cookie {
        body.extend([CANARY.len() as u8, 0]);
        body.extend(CANARY);
    }
    body.extend(behind);
    packet(9, &body)
}

/// One binary frame of WebSocket.
pub(in crate::alter::gateway) fn frame(payload: &[u8], is_masked: bool) -> Vec<u8> {
    let bit = if is_masked { 0x80 } else { 0 };
    let mut frame = match payload.len() {
        length @ ..=125 => vec![0x82, length as u8 | bit],
        length => [&[0x82, 126 | bit][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
    };
    if !is_masked {
        frame.extend(payload);
        return frame;
    }
    let key = [0x37, 0xFA, 0x21, 0x3D];
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

pub(in crate::alter::gateway) fn chunk(data: &[u8], extension: &str) -> Vec<u8> {
    [format!("{:x}{extension}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

pub(in crate::alter::gateway) fn request(method: &str, upgrade: bool, more: &str) -> Vec<u8> {
    let path =
        if method.starts_with("RPC") { "/rpc/rpcproxy.dll?localhost:3388" } else { "/remoteDesktopGateway/" };
    let connection = if upgrade { "Upgrade" } else { "Keep-Alive" };
    let websocket =
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: 1Wd+Kpxn4nwBo56zc1xdvA==\r\n";
    let websocket = if upgrade { websocket } else { "" };
    format!(
        "{method} {path} HTTP/1.1\r\nCache-Control:  no-cache\r\nconnection: {connection}\r\n{websocket}\
         RDG-Connection-Id: {{4cdc0105}}\r\nCookie: {TOKEN}\r\n{more}\r\n"
    )
    .into_bytes()
}

/// The head that opens an OUT channel.
pub(in crate::alter::gateway) fn out_answer(framing: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nServer: Microsoft-HTTPAPI/2.0\r\n{framing}\r\n").into_bytes()
}
