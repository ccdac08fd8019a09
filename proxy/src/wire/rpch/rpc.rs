//! PDUs of connection-oriented DCE/RPC (MS-RPCE 2.2.2, C706 12.6), little endian as Windows and every client of an RD
//! Gateway has them.
//!
//! A trailer after the stub authenticates a PDU. At RPC_C_AUTHN_LEVEL_PKT_INTEGRITY and below the stub is readable: so
//! FreeRDP 2 and 3 speak to an RD Gateway, with NTLM. MS-TSGU 2.1 leaves the level to the two sides. At
//! RPC_C_AUTHN_LEVEL_PKT_PRIVACY the stub is encrypted and nothing is known of it but its length.

use crate::wire::named::Code;
use crate::wire::{Decoded, Malformed, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of the common header.
pub const HEADER_LENGTH: usize = 16;
/// PFC_FIRST_FRAG.
pub const FIRST_FRAGMENT: u8 = 0x01;
/// PFC_LAST_FRAG.
pub const LAST_FRAGMENT: u8 = 0x02;
/// PFC_OBJECT_UUID: an object's id stands before the stub of a request.
const OBJECT_UUID: u8 = 0x80;

/// rpc_vers.
const MAJOR_VERSION: u8 = 5;
/// Highest rpc_vers_minor (C706 12.6.3.1).
const LATEST_MINOR_VERSION: u8 = 1;
/// Upper half of the first byte of packed_drep for little endian integers.
const LITTLE_ENDIAN: u8 = 1;

/// Bytes of sec_trailer before the token (MS-RPCE 2.2.2.11).
const SECURITY_TRAILER_LENGTH: usize = 8;
/// RPC_C_AUTHN_LEVEL_PKT_PRIVACY.
const PRIVACY: u32 = 6;

const STRUCTURE: &str = "RPC PDU";

/// PTYPE of a request.
pub const REQUEST: u8 = 0;
/// PTYPE of a response.
pub const RESPONSE: u8 = 2;
/// PTYPE of a fault.
pub const FAULT: u8 = 3;
/// PTYPE of a bind.
pub const BIND: u8 = 11;
/// PTYPE of the answer to a bind.
pub const BIND_ACK: u8 = 12;
/// PTYPE of the refusal of a bind.
pub const BIND_NAK: u8 = 13;
/// PTYPE of the last message of an authentication.
pub const AUTH_3: u8 = 16;
/// PTYPE of a shutdown.
pub const SHUTDOWN: u8 = 17;

/// PTYPE (C706 12.6.4, MS-RPCE 2.2.2.5).
const PDU_TYPES: [&str; 21] = [
    "request",
    "ping",
    "response",
    "fault",
    "working",
    "nocall",
    "reject",
    "ack",
    "cl_cancel",
    "fack",
    "cancel_ack",
    "bind",
    "bind_ack",
    "bind_nak",
    "alter_context",
    "alter_context_resp",
    "auth_3",
    "shutdown",
    "co_cancel",
    "orphaned",
    "rts",
];

/// Security providers (MS-RPCE 2.2.1.1.7).
const AUTHENTICATION_TYPES: &[(u32, &str)] = &[
    (0x00, "RPC_C_AUTHN_NONE"),
    (0x09, "RPC_C_AUTHN_GSS_NEGOTIATE"),
    (0x0a, "RPC_C_AUTHN_WINNT"),
    (0x0e, "RPC_C_AUTHN_GSS_SCHANNEL"),
    (0x10, "RPC_C_AUTHN_GSS_KERBEROS"),
    (0x44, "RPC_C_AUTHN_NETLOGON"),
    (0xff, "RPC_C_AUTHN_DEFAULT"),
];

/// Authentication levels (MS-RPCE 2.2.1.1.8).
const AUTHENTICATION_LEVELS: &[(u32, &str)] = &[
    (0, "RPC_C_AUTHN_LEVEL_DEFAULT"),
    (1, "RPC_C_AUTHN_LEVEL_NONE"),
    (2, "RPC_C_AUTHN_LEVEL_CONNECT"),
    (3, "RPC_C_AUTHN_LEVEL_CALL"),
    (4, "RPC_C_AUTHN_LEVEL_PKT"),
    (5, "RPC_C_AUTHN_LEVEL_PKT_INTEGRITY"),
    (PRIVACY, "RPC_C_AUTHN_LEVEL_PKT_PRIVACY"),
];

/// p_reject_reason_t of a bind_nak (C706 12.6.3.1, MS-RPCE 2.2.2.6).
const REJECT_REASONS: &[(u32, &str)] = &[
    (0, "REASON_NOT_SPECIFIED"),
    (1, "TEMPORARY_CONGESTION"),
    (2, "LOCAL_LIMIT_EXCEEDED"),
    (4, "PROTOCOL_VERSION_NOT_SUPPORTED"),
    (8, "AUTHENTICATION_TYPE_NOT_RECOGNIZED"),
    (9, "INVALID_CHECKSUM"),
];

/// The common header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// PTYPE.
    pub pdu_type: u8,
    /// pfc_flags.
    pub flags: u8,
    /// Bytes of the whole PDU.
    pub fragment_length: u16,
    /// Bytes of the token in the trailer; 0 where there is no trailer.
    pub auth_length: u16,
    /// call_id, which a call's request and response share.
    pub call_id: u32,
}

impl Header {
    /// Reads it. A wrong byte is told as soon as it is there, so that what is no RPC at all is not waited for.
    pub fn decode(bytes: &[u8]) -> Decoded<Header> {
        let wrong = |offset: usize, reason| Err(Malformed::new(STRUCTURE, offset, reason));
        let at = |offset: usize| bytes.get(offset).copied();
        if at(0).is_some_and(|major| major != MAJOR_VERSION) {
            return wrong(0, "not of version 5");
        }
        if at(1).is_some_and(|minor| minor > LATEST_MINOR_VERSION) {
            return wrong(1, "not of version 5.0 or 5.1");
        }
        if at(4).is_some_and(|representation| representation >> 4 != LITTLE_ENDIAN) {
            return wrong(4, "not little endian");
        }
        let Some(&[_, _, pdu_type, flags, _, _, _, _, ref lengths_and_id @ ..]) =
            bytes.first_chunk::<HEADER_LENGTH>()
        else {
            return Ok(None);
        };
        let [f0, f1, a0, a1, c0, c1, c2, c3] = *lengths_and_id;
        let header = Header {
            pdu_type,
            flags,
            fragment_length: u16::from_le_bytes([f0, f1]),
            auth_length: u16::from_le_bytes([a0, a1]),
            call_id: u32::from_le_bytes([c0, c1, c2, c3]),
        };
        if header.length() < HEADER_LENGTH {
            return wrong(8, "shorter than its header");
        }
        if header.auth_length > 0
            && HEADER_LENGTH + SECURITY_TRAILER_LENGTH + usize::from(header.auth_length) > header.length()
        {
            return wrong(10, "shorter than its trailer");
        }
        Ok(Some((header, HEADER_LENGTH)))
    }

    /// Bytes of the whole PDU.
    pub fn length(&self) -> usize {
        usize::from(self.fragment_length)
    }

    /// The name of the PDU's type.
    pub fn name(&self) -> Option<&'static str> {
        PDU_TYPES.get(usize::from(self.pdu_type)).copied()
    }

    /// Whether no fragment of the same message came before.
    pub fn is_first(&self) -> bool {
        self.flags & FIRST_FRAGMENT != 0
    }

    /// Whether no fragment of the same message follows.
    pub fn is_last(&self) -> bool {
        self.flags & LAST_FRAGMENT != 0
    }
}

/// The trailer by which a PDU is authenticated (sec_trailer, MS-RPCE 2.2.2.11), without its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Security {
    /// auth_type: who authenticates.
    pub authentication: Code,
    /// auth_level: what is protected.
    pub level: Code,
    /// Bytes of the token or signature, which is not kept.
    pub token_length: usize,
}

impl Security {
    /// Whether the stub is encrypted.
    pub fn hides_stub(&self) -> bool {
        self.level.value == PRIVACY
    }
}

/// What a PDU is about, apart from who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// A call, or a part of one.
    Request {
        /// The method's number in its interface.
        opnum: u16,
        /// Its parameters, or a part of them.
        stub: &'a [u8],
    },
    /// A call's results, or a part of them.
    Response {
        /// They.
        stub: &'a [u8],
    },
    /// The call failed in the RPC runtime or in the server.
    Fault {
        /// status.
        status: u32,
    },
    /// The bind was refused.
    BindNak {
        /// provider_reject_reason.
        reason: Code,
    },
    /// Anything else.
    Other,
}

/// A PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdu<'a> {
    /// Its header.
    pub header: Header,
    /// What it is about.
    pub body: Body<'a>,
    /// How it is authenticated.
    pub security: Option<Security>,
}

impl<'a> Pdu<'a> {
    /// Reads a whole PDU; `header` is its own.
    pub fn decode(header: Header, pdu: &'a [u8]) -> Result<Pdu<'a>, Malformed> {
        let (security, body_end) = security(header, pdu)?;
        let mut reader = Reader::new(STRUCTURE, pdu.get(..body_end).unwrap_or_default());
        reader.take(HEADER_LENGTH)?;
        let body = match header.pdu_type {
            REQUEST => {
                let _alloc_hint_and_context = reader.take(6)?;
                let opnum = reader.u16_le()?;
                if header.flags & OBJECT_UUID != 0 {
                    reader.take(16)?;
                }
                Body::Request { opnum, stub: reader.rest() }
            }
            RESPONSE => {
                let _alloc_hint_context_and_cancels = reader.take(8)?;
                Body::Response { stub: reader.rest() }
            }
            FAULT => {
                let _alloc_hint_context_and_cancels = reader.take(8)?;
                Body::Fault { status: reader.u32_le()? }
            }
            BIND_NAK => Body::BindNak { reason: Code::new(reader.u16_le()?.into(), REJECT_REASONS) },
            _ => Body::Other,
        };
        Ok(Pdu { header, body, security })
    }
}

/// The trailer, and where what stands before it and its padding ends.
fn security(header: Header, pdu: &[u8]) -> Result<(Option<Security>, usize), Malformed> {
    let token_length = usize::from(header.auth_length);
    if token_length == 0 {
        return Ok((None, pdu.len()));
    }
    let short = || Malformed::new(STRUCTURE, pdu.len(), "ends too early");
    let start = pdu.len().checked_sub(SECURITY_TRAILER_LENGTH + token_length).ok_or_else(short)?;
    let mut reader = Reader::new("sec_trailer", pdu.get(start..).unwrap_or_default());
    let [authentication, level, padding, _] = reader.array()?.map(u32::from);
    let end = start.checked_sub(padding as usize).filter(|end| *end >= HEADER_LENGTH);
    let end = end.ok_or_else(|| Malformed::new(STRUCTURE, start + 2, "more padding than body"))?;
    let security = Security {
        authentication: Code::new(authentication, AUTHENTICATION_TYPES),
        level: Code::new(level, AUTHENTICATION_LEVELS),
        token_length,
    };
    Ok((Some(security), end))
}
