//! From the bytes of one packet to what it says.

use super::{Packet, UDP_TRANSPORT, header, status};
use crate::wire::named::{Flags, utf16_text};
use crate::wire::{Malformed, Reader};

/// HTTP_EXTENDED_AUTH (MS-TSGU 2.2.5.3.2).
const EXTENDED_AUTH: &[(u32, &str)] =
    &[(0x1, "HTTP_EXTENDED_AUTH_SC"), (0x2, "HTTP_EXTENDED_AUTH_PAA"), (0x4, "HTTP_EXTENDED_AUTH_SSPI_NTLM")];

/// HTTP_CAPABILITY_TYPE (MS-TSGU 2.2.5.3.9).
const CAPABILITIES: &[(u32, &str)] = &[
    (0x01, "HTTP_CAPABILITY_TYPE_QUAR_SOH"),
    (0x02, "HTTP_CAPABILITY_IDLE_TIMEOUT"),
    (0x04, "HTTP_CAPABILITY_MESSAGING_CONSENT_SIGN"),
    (0x08, "HTTP_CAPABILITY_MESSAGING_SERVICE_MSG"),
    (0x10, "HTTP_CAPABILITY_REAUTH"),
    (UDP_TRANSPORT, "HTTP_CAPABILITY_UDP_TRANSPORT"),
];

/// HTTP_TUNNEL_REDIR_FLAGS (MS-TSGU 2.2.5.3.7).
const REDIRECTION: &[(u32, &str)] = &[
    (0x8000_0000, "HTTP_TUNNEL_REDIR_ENABLE_ALL"),
    (0x4000_0000, "HTTP_TUNNEL_REDIR_DISABLE_ALL"),
    (0x01, "HTTP_TUNNEL_REDIR_DISABLE_DRIVE"),
    (0x02, "HTTP_TUNNEL_REDIR_DISABLE_PRINTER"),
    (0x04, "HTTP_TUNNEL_REDIR_DISABLE_PORT"),
    (0x08, "HTTP_TUNNEL_REDIR_DISABLE_CLIPBOARD"),
    (0x10, "HTTP_TUNNEL_REDIR_DISABLE_PNP"),
];

/// fieldsPresent of a tunnel packet.
const TUNNEL_PAA_COOKIE: u16 = 0x1;
const TUNNEL_REAUTH: u16 = 0x2;
/// fieldsPresent of a tunnel response.
const RESPONSE_TUNNEL_ID: u16 = 0x1;
const RESPONSE_CAPABILITIES: u16 = 0x2;
const RESPONSE_SOH: u16 = 0x4;
const RESPONSE_CONSENT: u16 = 0x10;
/// fieldsPresent of a tunnel authorization.
const AUTH_SOH: u16 = 0x1;
/// fieldsPresent of its response.
const AUTH_REDIRECTION: u16 = 0x1;
const AUTH_IDLE_TIMEOUT: u16 = 0x2;
/// fieldsPresent of a channel response.
const CHANNEL_ID: u16 = 0x1;
const CHANNEL_UDP_COOKIE: u16 = 0x2;
const CHANNEL_UDP_PORT: u16 = 0x4;

/// Bytes of the nonce in a tunnel response.
const NONCE: usize = 16;

impl Packet {
    /// Reads one whole packet, its header included. Of one that carries data its head is enough. Fields that are
    /// announced and not there are left out; what every packet of its kind has to have and this one has not is
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Packet, Malformed> {
        let mut reader = Reader::new(header::structure(bytes), bytes);
        let packet_type = reader.u16_le()?;
        reader.take(2)?;
        let length = reader.u32_le()?;
        let body = &mut reader;
        match packet_type {
            header::HANDSHAKE_REQUEST => handshake_request(body),
            header::HANDSHAKE_RESPONSE => handshake_response(body),
            header::EXTENDED_AUTH_MSG => extended_auth(body),
            header::TUNNEL_CREATE => tunnel_create(body),
            header::TUNNEL_RESPONSE => tunnel_response(body),
            header::TUNNEL_AUTH => tunnel_auth(body),
            header::TUNNEL_AUTH_RESPONSE => tunnel_auth_response(body),
            header::CHANNEL_CREATE => channel_create(body),
            header::CHANNEL_RESPONSE => channel_response(body),
            header::DATA => Ok(Packet::Data { length: body.u16_le()?.into() }),
            header::SERVICE_MESSAGE => Ok(Packet::ServiceMessage { text: utf16_text(counted(body)?) }),
            header::REAUTH_MESSAGE => Ok(Packet::ReauthMessage),
            header::KEEPALIVE => Ok(Packet::Keepalive),
            header::CLOSE_CHANNEL => Ok(Packet::CloseChannel { status: status::named(body.u32_le()?) }),
            header::CLOSE_CHANNEL_RESPONSE => {
                Ok(Packet::CloseChannelResponse { status: status::named(body.u32_le()?) })
            }
            packet_type => Ok(Packet::Unknown { packet_type, length }),
        }
    }
}

/// A field with its length before it.
fn counted<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let length = reader.u16_le()?;
    reader.take(length.into())
}

fn version(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    Ok(format!("{}.{}", reader.u8()?, reader.u8()?))
}

fn extended_auth_flags(reader: &mut Reader<'_>) -> Result<Flags, Malformed> {
    Ok(Flags::new(reader.u16_le()?.into(), EXTENDED_AUTH))
}

fn handshake_request(reader: &mut Reader<'_>) -> Result<Packet, Malformed> {
    Ok(Packet::HandshakeRequest {
        version: version(reader)?,
        client_version: reader.u16_le()?,
        extended_auth: extended_auth_flags(reader)?,
    })
}

fn handshake_response(reader: &mut Reader<'_>) -> Result<Packet, Malformed> {
    Ok(Packet::HandshakeResponse {
        status: status::named(reader.u32_le()?),
        version: version(reader)?,
        server_version: reader.u16_le()?,
        extended_auth: extended_auth_flags(reader)?,
    })
}

fn extended_auth(reader: &mut Reader<'_>) -> Result<Packet, Malformed> {
    let status = status::named(reader.u32_le()?);
    Ok(Packet::ExtendedAuthMsg { status, token_length: counted(reader).unwrap_or_default().len() })
}

fn tunnel_create(reader: &mut Reader<'_>) -> Result<Packet, Malformed> {
    let capabilities = Flags::new(reader.u32_le()?, CAPABILITIES);
    let fields = reader.u16_le()?;
    reader.take(2)?;
    let reauthentication = fields & TUNNEL_REAUTH != 0;
    let context = if reauthentication { reader.take(8).map(drop) } else { Ok(()) };
    let has_cookie = fields & TUNNEL_PAA_COOKIE != 0 && context.is_ok();
    let paa_cookie_length = if has_cookie { counted(reader).ok().map(<[u8]>::len) } else { None };
    Ok(Packet::TunnelCreate { capabilities, paa_cookie_length, reauthentication })
}

fn tunnel_response(reader: &mut Reader<'_>) -> Result<Packet, Malformed> {
    let server_version = reader.u16_le()?;
    let status = status::named(reader.u32_le()?);
    let fields = reader.u16_le()?;
    reader.take(2)?;
    let mut tunnel_id = None;
    let mut capabilities = None;
    let mut consent_message = None;
    let mut optional = || -> Result<(), Malformed> {
        if fields & RESPONSE_TUNNEL_ID != 0 {
            tunnel_id = Some(reader.u32_le()?);
        }
        if fields & RESPONSE_CAPABILITIES != 0 {
            capabilities = Some(Flags::new(reader.u32_le()?, CAPABILITIES));
        }
        if fields & RESPONSE_SOH != 0 {
            reader.take(NONCE)?;
            counted(reader)?;
        }
        if fields & RESPONSE_CONSENT != 0 {
            consent_message = Some(utf16_text(counted(reader)?));
        }
        Ok(())
    };
    let _what_is_there = optional();
    Ok(Packet::TunnelResponse { server_version, status, tunnel_id, capabilities, consent_message })
}

fn tunnel_auth(reader: &mut Reader<'_>) -> Result<Packet, Malformed> {
    let fields = reader.u16_le()?;
    let client_name = utf16_text(counted(reader)?);
    let has_statement = fields & AUTH_SOH != 0;
    let statement_of_health_length = if has_statement { counted(reader).ok().map(<[u8]>::len) } else { None };
    Ok(Packet::TunnelAuth { client_name, statement_of_health_length })
}

fn tunnel_auth_response(reader: &mut Reader<'_>) -> Result<Packet, Malformed> {
    let status = status::named(reader.u32_le()?);
    let fields = reader.u16_le()?;
    reader.take(2)?;
    let redirection = if fields & AUTH_REDIRECTION != 0 { reader.u32_le().ok() } else { None };
    let idle_timeout_minutes = if fields & AUTH_IDLE_TIMEOUT != 0 { reader.u32_le().ok() } else { None };
    Ok(Packet::TunnelAuthResponse {
        status,
        redirection: redirection.map(|flags| Flags::new(flags, REDIRECTION)),
        idle_timeout_minutes,
    })
}

fn channel_create(reader: &mut Reader<'_>) -> Result<Packet, Malformed> {
    let resources = reader.u8()?;
    let alternatives = reader.u8()?;
    let port = reader.u16_le()?;
    let protocol = reader.u16_le()?;
    let mut names = |count: u8| -> Vec<String> {
        let names = (0..count).map_while(|_| counted(reader).ok());
        names.map(utf16_text).collect()
    };
    Ok(Packet::ChannelCreate {
        resources: names(resources),
        alternatives: names(alternatives),
        port,
        protocol,
    })
}

fn channel_response(reader: &mut Reader<'_>) -> Result<Packet, Malformed> {
    let status = status::named(reader.u32_le()?);
    let fields = reader.u16_le()?;
    reader.take(2)?;
    let channel_id = if fields & CHANNEL_ID != 0 { reader.u32_le().ok() } else { None };
    let udp_port = if fields & CHANNEL_UDP_PORT != 0 { reader.u16_le().ok() } else { None };
    let udp_cookie_length =
        if fields & CHANNEL_UDP_COOKIE != 0 { counted(reader).ok().map(<[u8]>::len) } else { None };
    Ok(Packet::ChannelResponse { status, channel_id, udp_port, udp_cookie_length })
}
