//! PDUs of connection-oriented RPC (C706 12.6), and those of RPC over HTTP among them (MS-RPCH 2.2.3).

pub(super) const REQUEST: u8 = 0;
pub(super) const RESPONSE: u8 = 2;
pub(super) const BIND: u8 = 11;
pub(super) const BIND_ACK: u8 = 12;
pub(super) const AUTH_3: u8 = 16;
pub(super) const RTS: u8 = 20;

/// PFC flags.
pub(super) const FIRST: u8 = 1;
pub(super) const LAST: u8 = 2;
/// A bind's: signatures are over headers, too.
const SUPPORT_HEADER_SIGN: u8 = 4;

/// RTS flags: none; the PDU is neither a part of a handshake nor a ping; a channel takes another's place.
pub(super) const NONE: u16 = 0;
pub(super) const OTHER_COMMAND: u16 = 2;
pub(super) const RECYCLE_CHANNEL: u16 = 4;

/// Version, type, flags, data representation, lengths and call.
const HEADER: usize = 16;
/// Before the stub of a request or a response.
const STUB_AT: usize = 24;
/// sec_trailer.
pub(super) const TRAILER: usize = 8;
/// Where it says how long the padding before it is.
const PADDING_AT: usize = 2;

/// One PDU, whole.
#[derive(Debug)]
pub(super) struct Pdu {
    pub(super) bytes: Vec<u8>,
}

impl Pdu {
    /// Takes the next PDU from the start of `received`; `Err` where what comes is none.
    pub(super) fn cut(received: &mut Vec<u8>) -> Result<Option<Pdu>, String> {
        if received.len() < HEADER {
            return Ok(None);
        }
        let length = usize::from(u16::from_le_bytes([received[8], received[9]]));
        if received[..2] != [5, 0] || length < HEADER {
            return Err(format!("no RPC: {:02x?}", &received[..HEADER]));
        }
        if received.len() < length {
            return Ok(None);
        }
        let rest = received.split_off(length);
        Ok(Some(Pdu { bytes: std::mem::replace(received, rest) }))
    }

    pub(super) fn kind(&self) -> u8 {
        self.bytes[2]
    }

    pub(super) fn call(&self) -> u32 {
        self.u32_at(12)
    }

    /// The operation of a request.
    pub(super) fn operation(&self) -> u16 {
        self.u16_at(22)
    }

    pub(super) fn u16_at(&self, at: usize) -> u16 {
        self.bytes.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn u32_at(&self, at: usize) -> u32 {
        let bytes = self.bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    }

    /// What is signed, and the signature or token behind it.
    pub(super) fn signed(&self) -> (&[u8], &[u8]) {
        let token = usize::from(self.u16_at(10));
        self.bytes.split_at(self.bytes.len().saturating_sub(token))
    }

    /// sec_trailer: what signs, how, and for which context.
    pub(super) fn trailer(&self) -> [u8; TRAILER] {
        self.signed().0.last_chunk().copied().unwrap_or_default()
    }

    /// The arguments of a request.
    pub(super) fn stub(&self) -> &[u8] {
        let trailer = self.signed().0.len().saturating_sub(TRAILER);
        let padding = self.bytes.get(trailer + PADDING_AT).map_or(0, |&length| usize::from(length));
        self.bytes.get(STUB_AT..trailer.saturating_sub(padding)).unwrap_or_default()
    }
}

fn header(kind: u8, flags: u8, length: usize, token: usize, call: u32) -> Vec<u8> {
    let length = u16::try_from(length).expect("a PDU is short").to_le_bytes();
    let token = u16::try_from(token).expect("a token is short").to_le_bytes();
    [&[5, 0, kind, flags, 0x10, 0, 0, 0][..], &length, &token, &call.to_le_bytes()].concat()
}

/// An RTS PDU.
pub(super) fn rts(flags: u16, commands: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(commands.len()).expect("a few commands");
    let body = [&flags.to_le_bytes()[..], &count.to_le_bytes(), &commands.concat()].concat();
    [header(RTS, FIRST | LAST, HEADER + body.len(), 0, 0), body].concat()
}

/// A command of an RTS PDU with one number.
pub(super) fn command(kind: u32, value: u32) -> Vec<u8> {
    [kind.to_le_bytes(), value.to_le_bytes()].concat()
}

/// Accepts a bind whose first context is for the gateway's interface, in NDR, with the next token of NTLM.
pub(super) fn bind_ack(bind: &Pdu, token: &[u8]) -> Vec<u8> {
    const NDR: [u8; 20] = [
        0x04, 0x5D, 0x88, 0x8A, 0xEB, 0x1C, 0xC9, 0x11, 0x9F, 0xE8, 0x08, 0x00, 0x2B, 0x10, 0x48, 0x60, 2, 0,
        0, 0,
    ];
    // The same fragments as the client's, an association group, and the port as text.
    let mut body = bind.bytes[HEADER..HEADER + 4].to_vec();
    body.extend([1, 0, 0, 0]);
    body.extend([5, 0]);
    body.extend(b"3388\0\0");
    let contexts = bind.bytes[HEADER + 8];
    body.extend([contexts, 0, 0, 0]);
    body.extend([&[0; 4][..], &NDR].concat());
    for _ in 1..contexts {
        // negotiate_ack, and no feature.
        body.extend([&[3, 0, 0, 0][..], &[0; 20]].concat());
    }
    let trailer = padded(bind.trailer(), 0);
    let length = HEADER + body.len() + trailer.len() + token.len();
    let flags = FIRST | LAST | bind.bytes[3] & SUPPORT_HEADER_SIGN;
    let header = header(BIND_ACK, flags, length, token.len(), bind.call());
    [&header[..], &body, &trailer, token].concat()
}

/// A response, but for the signature of `token` bytes.
pub(super) fn response(call: u32, flags: u8, stub: &[u8], trailer: [u8; TRAILER], token: usize) -> Vec<u8> {
    let padding = stub.len().next_multiple_of(4) - stub.len();
    let length = STUB_AT + stub.len() + padding + TRAILER + token;
    let hint = u32::try_from(stub.len()).expect("a stub is short").to_le_bytes();
    let padding_length = u8::try_from(padding).expect("it is below 4");
    [
        &header(RESPONSE, flags, length, token, call)[..],
        &hint,
        &[0; 4],
        stub,
        &[0; 4][..padding],
        &padded(trailer, padding_length),
    ]
    .concat()
}

fn padded(mut trailer: [u8; TRAILER], padding: u8) -> [u8; TRAILER] {
    trailer[PADDING_AT] = padding;
    trailer
}
