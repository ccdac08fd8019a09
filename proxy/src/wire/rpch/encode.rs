//! Writes what the decoders read, for tests: from the layouts of the specifications and of FreeRDP, not from the decoders.

/// A trailer: auth_type, auth_level and the token.
pub(crate) type Trailer<'a> = Option<(u8, u8, &'a [u8])>;

/// RPC_C_AUTHN_WINNT at RPC_C_AUTHN_LEVEL_PKT_INTEGRITY with a signature.
pub(crate) const SIGNED: Trailer<'static> = Some((10, 5, &[0xa5; 16]));

pub(crate) fn longs(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(crate) fn shorts(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A PDU of DCE/RPC with the given PTYPE, flags and call_id.
pub(crate) fn pdu(kind: u8, flags: u8, call: u32, body: &[u8], trailer: Trailer<'_>) -> Vec<u8> {
    let mut rest = body.to_vec();
    let token = trailer.map_or(&[][..], |(_, _, token)| token);
    if let Some((authentication, level, token)) = trailer {
        let padding = rest.len().next_multiple_of(4) - rest.len();
        rest.resize(rest.len() + padding, 0xee);
        rest.extend([authentication, level, padding as u8, 0, 0, 0, 0, 0]);
        rest.extend(token);
    }
    let mut bytes = vec![5, 0, kind, flags, 0x10, 0, 0, 0];
    bytes.extend(shorts(&[16 + rest.len() as u16, token.len() as u16]));
    bytes.extend(longs(&[call]));
    bytes.extend(rest);
    bytes
}

pub(crate) fn request(flags: u8, call: u32, opnum: u16, stub: &[u8], trailer: Trailer<'_>) -> Vec<u8> {
    let head = [longs(&[stub.len() as u32]), shorts(&[0, opnum])].concat();
    pdu(0, flags, call, &[&head, stub].concat(), trailer)
}

pub(crate) fn response(flags: u8, call: u32, stub: &[u8], trailer: Trailer<'_>) -> Vec<u8> {
    let head = longs(&[stub.len() as u32, 0]);
    pdu(2, flags, call, &[&head, stub].concat(), trailer)
}

pub(crate) fn fault(call: u32, status: u32) -> Vec<u8> {
    pdu(3, 3, call, &longs(&[0, 0, status, 0]), None)
}

/// An RTS PDU with its flags and commands.
pub(crate) fn rts(flags: u16, commands: &[Vec<u8>]) -> Vec<u8> {
    let head = shorts(&[flags, commands.len() as u16]);
    pdu(20, 3, 0, &[head, commands.concat()].concat(), None)
}

pub(crate) fn version() -> Vec<u8> {
    longs(&[6, 1])
}

pub(crate) fn cookie(byte: u8) -> Vec<u8> {
    [longs(&[3]), vec![byte; 16]].concat()
}

/// CONN/A1 of the virtual connection with this cookie.
pub(crate) fn conn_a1(virtual_connection: u8) -> Vec<u8> {
    rts(0, &[version(), cookie(virtual_connection), cookie(0xaa), longs(&[0, 0x10000])])
}

/// CONN/B1 likewise.
pub(crate) fn conn_b1(virtual_connection: u8) -> Vec<u8> {
    let group = [longs(&[12]), vec![0xcc; 16]].concat();
    let commands = [
        version(),
        cookie(virtual_connection),
        cookie(0xbb),
        longs(&[4, 0x4000_0000]),
        longs(&[5, 300_000]),
        group,
    ];
    rts(0, &commands)
}

pub(crate) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// A conformant and varying string with its NUL, padded to four bytes.
pub(crate) fn string(text: &str) -> Vec<u8> {
    let bytes = utf16(text);
    let count = bytes.len() as u32 / 2;
    aligned([longs(&[count, 0, count]), bytes].concat())
}

/// A conformant array of bytes, padded to four.
pub(crate) fn array(bytes: &[u8]) -> Vec<u8> {
    aligned([&longs(&[bytes.len() as u32])[..], bytes].concat())
}

fn aligned(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(crate) fn context() -> Vec<u8> {
    [longs(&[0]), vec![7; 16]].concat()
}

/// TSG_PACKET_VERSIONCAPS with what its pointer leads to.
pub(crate) fn version_caps(capabilities: u32) -> Vec<u8> {
    [version_caps_alone(), longs(&[1, 1, 1, capabilities])].concat()
}

fn version_caps_alone() -> Vec<u8> {
    [shorts(&[0x5452, 0x5643]), longs(&[0x20004, 1]), shorts(&[1, 1, 0, 0])].concat()
}

pub(crate) fn create_tunnel(capabilities: u32) -> Vec<u8> {
    [longs(&[0x5643, 0x5643, 0x20000]), version_caps(capabilities)].concat()
}

/// TsProxyCreateTunnel with TSG_PACKET_AUTH, or that in TSG_PACKET_REAUTH.
pub(crate) fn create_tunnel_with_cookie(cookie: &[u8], again: bool) -> Vec<u8> {
    let auth = [
        version_caps_alone(),
        longs(&[cookie.len() as u32, 0x20008]),
        longs(&[1, 1, 1, 0x3f]),
        array(cookie),
    ]
    .concat();
    let head = longs(&[0x4054, 0x4054, 0x20000]);
    if again {
        let outer = longs(&[0x5250, 0x5250, 0x2000c, 0, 0xdead, 0xbeef]);
        return [outer, head, auth].concat();
    }
    [head, auth].concat()
}

/// The answer to TsProxyCreateTunnel with TSG_PACKET_CAPS_RESPONSE.
pub(crate) fn tunnel_response(certificates: Option<&str>, consent: Option<&str>) -> Vec<u8> {
    let pointer = |there: bool| u32::from(there) * 0x20008;
    let mut stub = longs(&[0x20000, 0x4350, 0x4350, 0x20004]);
    let length = certificates.map_or(0, |text| text.len() as u32 + 1);
    stub.extend(longs(&[0, length, pointer(certificates.is_some())]));
    stub.extend([9; 16]);
    stub.extend(longs(&[0x2000c, 1, 1, u32::from(consent.is_some()), 1, pointer(consent.is_some())]));
    stub.extend(certificates.map(string).unwrap_or_default());
    stub.extend(version_caps(0x1f));
    if let Some(text) = consent {
        stub.extend(longs(&[1, 1, utf16(text).len() as u32, 0x20018]));
        stub.extend(string(text));
    }
    [stub, context(), longs(&[0x17, 0])].concat()
}

pub(crate) fn authorize_tunnel(name: &str, statement: &[u8]) -> Vec<u8> {
    let head = longs(&[0x5152, 0x5152, 0x20000, 0, 0x20004]);
    let lengths = longs(&[utf16(name).len() as u32 / 2, 0x20008, statement.len() as u32]);
    [context(), head, lengths, string(name), array(statement)].concat()
}

/// The answer to TsProxyAuthorizeTunnel; `redirection` are the eight members.
pub(crate) fn authorize_response(redirection: [u32; 8], idle_minutes: u32) -> Vec<u8> {
    let head = longs(&[0x20000, 0x5052, 0x5052, 0x20004, 0x5152, 0, 0x20008, 4]);
    [head, longs(&redirection), array(&longs(&[idle_minutes])), longs(&[0])].concat()
}

pub(crate) fn create_channel(names: &[&str], alternatives: &[&str], port: u16) -> Vec<u8> {
    let list = |names: &[&str]| -> Vec<u8> {
        let pointers = vec![0x20010; names.len()];
        let strings = names.iter().map(|name| string(name)).collect::<Vec<_>>().concat();
        [longs(&[names.len() as u32]), longs(&pointers), strings].concat()
    };
    let pointer = if alternatives.is_empty() { 0 } else { 0x20004 };
    let mut stub = [context(), longs(&[0x20000, names.len() as u32, pointer])].concat();
    stub.extend(shorts(&[alternatives.len() as u16, 0, 3, port]));
    stub.extend(list(names));
    if !alternatives.is_empty() {
        stub.extend(list(alternatives));
    }
    stub
}

/// The answer to TsProxyMakeTunnelCall with a message of this type.
pub(crate) fn tunnel_call_response(kind: u32, text: &str) -> Vec<u8> {
    let head = longs(&[0x20000, 0x4750, 0x4750, 0x20004, 1, kind, 1, kind, 0x20008]);
    let message = if kind == 3 {
        longs(&[0, 0xdead, 0xbeef])
    } else {
        [longs(&[1, 0, utf16(text).len() as u32, 0x2000c]), string(text)].concat()
    };
    [head, message, longs(&[0])].concat()
}

pub(crate) fn send_to_server(buffers: &[&[u8]]) -> Vec<u8> {
    let big = |value: usize| (value as u32).to_be_bytes();
    let total: usize = buffers.iter().map(|buffer| buffer.len() + 4).sum();
    let mut stub = context();
    stub.extend(big(total));
    stub.extend(big(buffers.len()));
    buffers.iter().for_each(|buffer| stub.extend(big(buffer.len())));
    buffers.iter().for_each(|buffer| stub.extend(*buffer));
    stub
}
