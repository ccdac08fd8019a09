//! The TsProxy interface (MS-TSGU 3.2.6, 2.2.9): its calls, as far as a diagnosis needs them, in the words of the
//! packets that say the same over HTTP (2.2.10).
//!
//! A stub is a whole one: a call's fragments together, without trailers.

use super::ndr::Ndr;
use crate::wire::named::{Code, Flags};
use crate::wire::tsgu::Packet;
use crate::wire::{Malformed, Reader};

/// TsProxyCreateTunnel.
pub const CREATE_TUNNEL: u16 = 1;
/// TsProxyAuthorizeTunnel.
pub const AUTHORIZE_TUNNEL: u16 = 2;
/// TsProxyMakeTunnelCall.
pub const MAKE_TUNNEL_CALL: u16 = 3;
/// TsProxyCreateChannel.
pub const CREATE_CHANNEL: u16 = 4;
/// TsProxyCloseChannel.
pub const CLOSE_CHANNEL: u16 = 6;
/// TsProxyCloseTunnel.
pub const CLOSE_TUNNEL: u16 = 7;
/// TsProxySetupReceivePipe: its response is what the target sends, for as long as the session lasts.
pub const SETUP_RECEIVE_PIPE: u16 = 8;
/// TsProxySendToServer: what the client sends to the target.
pub const SEND_TO_SERVER: u16 = 9;

/// packetId of a TSG_PACKET (2.2.9.2.1): two letters.
const HEADER: u32 = 0x4844;
const VERSIONCAPS: u32 = 0x5643;
const QUARREQUEST: u32 = 0x5152;
const RESPONSE: u32 = 0x5052;
const QUARENC_RESPONSE: u32 = 0x4552;
const CAPS_RESPONSE: u32 = 0x4350;
const MESSAGE_PACKET: u32 = 0x4750;
const AUTH: u32 = 0x4054;
const REAUTH: u32 = 0x5250;

/// TSG_CAPABILITY_TYPE_NAP, the only one.
const CAPABILITY_TYPE_NAP: u32 = 1;

/// msgType of TSG_PACKET_MSG_RESPONSE (2.2.9.2.1.9).
const CONSENT_MESSAGE: u32 = 1;
const SERVICE_MESSAGE: u32 = 2;
const REAUTH_MESSAGE: u32 = 3;

/// Bytes of a context handle, with which the calls about a tunnel or a channel begin (2.2.2.1 to 2.2.2.5).
pub const CONTEXT_HANDLE: usize = 20;
/// Bytes of a GUID.
const GUID: usize = 16;
/// Bytes of the return value, which ends every response.
pub const RETURN_VALUE: usize = 4;

/// Most names of a target (numResourceNames, 2.2.9.1).
const MOST_NAMES: u32 = 50;

/// TSG_NAP_CAPABILITY and TSG_MESSAGING_CAP (2.2.5.2): the bits of HTTP_CAPABILITY_TYPE under older names.
const CAPABILITIES: &[(u32, &str)] = &[
    (0x01, "TSG_NAP_CAPABILITY_QUAR_SOH"),
    (0x02, "TSG_NAP_CAPABILITY_IDLE_TIMEOUT"),
    (0x04, "TSG_MESSAGING_CAP_CONSENT_SIGN"),
    (0x08, "TSG_MESSAGING_CAP_SERVICE_MSG"),
    (0x10, "TSG_MESSAGING_CAP_REAUTH"),
];

/// The members of TSG_REDIRECTION_FLAGS (2.2.9.2.1.5.2) in their order, as bits of HTTP_TUNNEL_REDIR_FLAGS (2.2.5.3.8);
/// the sixth is reserved.
const REDIRECTION_MEMBERS: [u32; 8] = [0x8000_0000, 0x4000_0000, 0x1, 0x2, 0x4, 0, 0x8, 0x10];

const REDIRECTION: &[(u32, &str)] = &[
    (0x8000_0000, "HTTP_TUNNEL_REDIR_ENABLE_ALL"),
    (0x4000_0000, "HTTP_TUNNEL_REDIR_DISABLE_ALL"),
    (0x1, "HTTP_TUNNEL_REDIR_DISABLE_DRIVE"),
    (0x2, "HTTP_TUNNEL_REDIR_DISABLE_PRINTER"),
    (0x4, "HTTP_TUNNEL_REDIR_DISABLE_PORT"),
    (0x8, "HTTP_TUNNEL_REDIR_DISABLE_CLIPBOARD"),
    (0x10, "HTTP_TUNNEL_REDIR_DISABLE_PNP"),
];

/// Return values of the calls (2.2.6) and statuses of RPC faults.
const STATUSES: &[(u32, &str)] = &[
    (0x0000_0000, "ERROR_SUCCESS"),
    (0x0000_0005, "ERROR_ACCESS_DENIED"),
    (0x0000_0057, "ERROR_INVALID_PARAMETER"),
    (0x0000_00a0, "ERROR_BAD_ARGUMENTS"),
    (0x0000_03e3, "ERROR_OPERATION_ABORTED"),
    (0x0000_04ca, "ERROR_GRACEFUL_DISCONNECT"),
    (0x0000_04d4, "E_PROXY_CONNECTIONABORTED"),
    (0x0000_04e3, "ERROR_ONLY_IF_CONNECTED"),
    (0x0000_06ba, "RPC_S_SERVER_UNAVAILABLE"),
    (0x0000_06be, "RPC_S_CALL_FAILED"),
    (0x0000_06f7, "RPC_X_BAD_STUB_DATA"),
    (0x0000_071a, "RPC_S_CALL_CANCELLED"),
    (0x0000_0721, "RPC_S_SEC_PKG_ERROR"),
    (0x0000_59d8, "E_PROXY_INTERNALERROR"),
    (0x0000_59da, "E_PROXY_RAP_ACCESSDENIED"),
    (0x0000_59db, "E_PROXY_NAP_ACCESSDENIED"),
    (0x0000_59dd, "E_PROXY_TS_CONNECTFAILED"),
    (0x0000_59df, "E_PROXY_ALREADYDISCONNECTED"),
    (0x0000_59e6, "E_PROXY_MAXCONNECTIONSREACHED"),
    (0x0000_59e8, "E_PROXY_NOTSUPPORTED"),
    (0x0000_59e9, "E_PROXY_CAPABILITYMISMATCH"),
    (0x0000_59ed, "E_PROXY_QUARANTINE_ACCESSDENIED"),
    (0x0000_59ee, "E_PROXY_NOCERTAVAILABLE"),
    (0x0000_59f6, "E_PROXY_SESSIONTIMEOUT"),
    (0x0000_59f7, "E_PROXY_COOKIE_BADPACKET"),
    (0x0000_59f8, "E_PROXY_COOKIE_AUTHENTICATION_ACCESS_DENIED"),
    (0x0000_59f9, "E_PROXY_UNSUPPORTED_AUTHENTICATION_METHOD"),
    (0x0000_59fa, "E_PROXY_REAUTH_AUTHN_FAILED"),
    (0x0000_59fb, "E_PROXY_REAUTH_CAP_FAILED"),
    (0x0000_59fc, "E_PROXY_REAUTH_RAP_FAILED"),
    (0x0000_59fd, "E_PROXY_SDR_NOT_SUPPORTED_BY_TS"),
    (0x0000_5a00, "E_PROXY_REAUTH_NAP_FAILED"),
    (0x1c00_001a, "nca_s_fault_context_mismatch"),
    (0x1c01_0002, "nca_s_op_rng_error"),
    (0x1c01_0003, "nca_s_unk_if"),
    (0x1c01_000b, "nca_s_proto_error"),
    (0x1c01_0014, "nca_s_server_too_busy"),
    (0x8009_030c, "SEC_E_LOGON_DENIED"),
];

/// The upper half of an HRESULT that wraps a Win32 number (HRESULT_FROM_WIN32).
const HRESULT_OF_WIN32: u32 = 0x8007_0000;

/// The call's name.
pub fn call_name(opnum: u16) -> Option<&'static str> {
    Some(match opnum {
        CREATE_TUNNEL => "TsProxyCreateTunnel",
        AUTHORIZE_TUNNEL => "TsProxyAuthorizeTunnel",
        MAKE_TUNNEL_CALL => "TsProxyMakeTunnelCall",
        CREATE_CHANNEL => "TsProxyCreateChannel",
        CLOSE_CHANNEL => "TsProxyCloseChannel",
        CLOSE_TUNNEL => "TsProxyCloseTunnel",
        SETUP_RECEIVE_PIPE => "TsProxySetupReceivePipe",
        SEND_TO_SERVER => "TsProxySendToServer",
        _ => return None,
    })
}

/// A return value or a fault's status with its name, a Win32 number also where it comes as an HRESULT.
pub fn status(value: u32) -> Code {
    let wrapped = value & 0xffff_0000 == HRESULT_OF_WIN32;
    let name = Code::new(value, STATUSES).name;
    Code { value, name: name.or_else(|| Code::new(value & 0xffff, STATUSES).name.filter(|_| wrapped)) }
}

/// The return value of a call: the last bytes of its response's stub.
pub fn return_value(stub: &[u8]) -> Option<Code> {
    stub.last_chunk::<RETURN_VALUE>().map(|bytes| status(u32::from_le_bytes(*bytes)))
}

/// What a call says in the words of the packets over HTTP; `None` where those have none for it.
pub fn request(opnum: u16, stub: &[u8]) -> Result<Option<Packet>, Malformed> {
    let Some(name) = call_name(opnum) else { return Ok(None) };
    let mut ndr = Ndr::new(name, stub);
    match opnum {
        CREATE_TUNNEL => create_tunnel(&mut ndr).map(Some),
        AUTHORIZE_TUNNEL => authorize_tunnel(&mut ndr).map(Some),
        CREATE_CHANNEL => create_channel(&mut ndr).map(Some),
        // The client's wish has no status over RPC: it is an order, as over HTTP with success.
        CLOSE_CHANNEL => Ok(Some(Packet::CloseChannel { status: status(0) })),
        _ => Ok(None),
    }
}

/// What the results of a call say, likewise.
pub fn response(opnum: u16, stub: &[u8]) -> Result<Option<Packet>, Malformed> {
    let Some(name) = call_name(opnum) else { return Ok(None) };
    let Some(status) = return_value(stub) else { return Err(Malformed::new(name, 0, "no return value")) };
    let mut ndr = Ndr::new(name, stub);
    match opnum {
        CREATE_TUNNEL => tunnel_response(&mut ndr, stub, status).map(Some),
        AUTHORIZE_TUNNEL => authorize_response(&mut ndr, status).map(Some),
        MAKE_TUNNEL_CALL => message(&mut ndr),
        CREATE_CHANNEL => {
            ndr.skip(CONTEXT_HANDLE)?;
            let channel_id = ndr.long()?;
            let channel_id = (status.value == 0).then_some(channel_id);
            Ok(Some(Packet::ChannelResponse { status, channel_id, udp_port: None, udp_cookie_length: None }))
        }
        CLOSE_CHANNEL => Ok(Some(Packet::CloseChannelResponse { status })),
        _ => Ok(None),
    }
}

/// The bytes for the target in the stub of a TsProxySendToServer request, in up to three buffers (2.2.9.3). Its numbers
/// alone are big endian.
pub fn sent_to_server(stub: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    const MOST_BUFFERS: u32 = 3;
    let mut reader = Reader::new("TsProxySendToServer", stub);
    reader.take(CONTEXT_HANDLE)?;
    let _total_data_bytes = reader.u32_be()?;
    let count = reader.u32_be()?;
    if count > MOST_BUFFERS {
        return Err(reader.malformed("more than three buffers"));
    }
    let lengths = (0..count).map(|_| reader.u32_be()).collect::<Result<Vec<_>, _>>()?;
    lengths.into_iter().map(|length| reader.take(length as usize)).collect()
}

/// TSG_PACKET_VERSIONCAPS without what its pointer leads to.
#[derive(Debug)]
struct VersionCapabilities {
    has_capabilities: bool,
    /// majorVersion in the upper byte, minorVersion in the lower.
    version: u16,
}

fn version_capabilities(ndr: &mut Ndr<'_>) -> Result<VersionCapabilities, Malformed> {
    let _component_and_packet_id = (ndr.short()?, ndr.short()?);
    let has_capabilities = ndr.pointer()?;
    let _count = ndr.long()?;
    let (major, minor, _quarantine) = (ndr.short()?, ndr.short()?, ndr.short()?);
    Ok(VersionCapabilities { has_capabilities, version: (major & 0xff) << 8 | (minor & 0xff) })
}

/// The array of TSG_PACKET_CAPABILITIES: the capabilities of the type NAP.
fn capabilities(ndr: &mut Ndr<'_>, present: bool) -> Result<Option<Flags>, Malformed> {
    if !present {
        return Ok(None);
    }
    let mut found = None;
    for _ in 0..ndr.long()? {
        if ndr.arm()? != CAPABILITY_TYPE_NAP {
            return Err(ndr.malformed("a type of capability that is not listed"));
        }
        found = Some(Flags::new(ndr.long()?, CAPABILITIES));
    }
    Ok(found)
}

fn create_tunnel(ndr: &mut Ndr<'_>) -> Result<Packet, Malformed> {
    let mut packet_id = ndr.arm()?;
    ndr.required_pointer()?;
    let reauthentication = packet_id == REAUTH;
    if reauthentication {
        ndr.skip_hyper()?;
        packet_id = ndr.arm()?;
        ndr.required_pointer()?;
    }
    if packet_id != VERSIONCAPS && packet_id != AUTH {
        return Err(ndr.malformed("a packet that opens no tunnel"));
    }
    let versions = version_capabilities(ndr)?;
    let has_cookie = packet_id == AUTH && {
        let _length = ndr.long()?;
        ndr.pointer()?
    };
    let capabilities = capabilities(ndr, versions.has_capabilities)?.unwrap_or_default();
    let paa_cookie_length = if has_cookie { Some(ndr.bytes()?.len()) } else { None };
    Ok(Packet::TunnelCreate { capabilities, paa_cookie_length, reauthentication })
}

fn tunnel_response(ndr: &mut Ndr<'_>, stub: &[u8], status: Code) -> Result<Packet, Malformed> {
    let mut versions = VersionCapabilities { has_capabilities: false, version: 0 };
    let (mut offered, mut consent_message) = (None, None);
    if ndr.pointer()? {
        let packet_id = ndr.arm()?;
        ndr.required_pointer()?;
        if packet_id != CAPS_RESPONSE && packet_id != QUARENC_RESPONSE {
            return Err(ndr.malformed("a packet that answers no tunnel"));
        }
        let _flags_and_length = (ndr.long()?, ndr.long()?);
        let has_certificates = ndr.pointer()?;
        ndr.skip(GUID)?;
        let has_versions = ndr.pointer()?;
        let message = if packet_id == CAPS_RESPONSE { message_header(ndr)? } else { None };
        if has_certificates {
            let _chain = ndr.text()?;
        }
        if has_versions {
            versions = version_capabilities(ndr)?;
            offered = capabilities(ndr, versions.has_capabilities)?;
        }
        if message == Some(CONSENT_MESSAGE) || message == Some(SERVICE_MESSAGE) {
            consent_message = string_message(ndr)?;
        }
    }
    // Behind the packet: the tunnel's context handle, its id and the return value, at the end whatever came before.
    let before_status = stub.len().saturating_sub(RETURN_VALUE);
    let tunnel_id =
        stub.get(..before_status).and_then(|stub| stub.last_chunk()).map(|id| u32::from_le_bytes(*id));
    Ok(Packet::TunnelResponse {
        server_version: versions.version,
        tunnel_id: tunnel_id.filter(|_| status.value == 0),
        status,
        capabilities: offered,
        consent_message,
    })
}

fn authorize_tunnel(ndr: &mut Ndr<'_>) -> Result<Packet, Malformed> {
    ndr.skip(CONTEXT_HANDLE)?;
    if ndr.arm()? != QUARREQUEST {
        return Err(ndr.malformed("a packet that asks for no authorization"));
    }
    ndr.required_pointer()?;
    let _flags = ndr.long()?;
    let has_name = ndr.pointer()?;
    let _name_length = ndr.long()?;
    let has_statement = ndr.pointer()?;
    let _statement_length = ndr.long()?;
    let client_name = if has_name { ndr.text()? } else { String::new() };
    let statement_of_health_length = if has_statement { Some(ndr.bytes()?.len()) } else { None };
    Ok(Packet::TunnelAuth {
        client_name,
        statement_of_health_length: statement_of_health_length.filter(|length| *length > 0),
    })
}

fn authorize_response(ndr: &mut Ndr<'_>, status: Code) -> Result<Packet, Malformed> {
    let (mut redirection, mut idle_timeout_minutes) = (None, None);
    if ndr.pointer()? {
        if ndr.arm()? != RESPONSE {
            return Err(ndr.malformed("a packet that answers no authorization"));
        }
        ndr.required_pointer()?;
        let _flags_and_reserved = (ndr.long()?, ndr.long()?);
        let has_data = ndr.pointer()?;
        let _data_length = ndr.long()?;
        let mut flags = 0;
        for bit in REDIRECTION_MEMBERS {
            flags |= if ndr.long()? != 0 { bit } else { 0 };
        }
        redirection = Some(Flags::new(flags, REDIRECTION));
        if has_data {
            // Longer data also answers a statement of health; the timeout's place in it is not known.
            idle_timeout_minutes = <[u8; 4]>::try_from(ndr.bytes()?).ok().map(u32::from_le_bytes);
        }
    }
    Ok(Packet::TunnelAuthResponse { status, redirection, idle_timeout_minutes })
}

/// The results of TsProxyMakeTunnelCall: what an administrator tells the user, or that the client has to authenticate
/// again.
fn message(ndr: &mut Ndr<'_>) -> Result<Option<Packet>, Malformed> {
    if !ndr.pointer()? {
        return Ok(None);
    }
    let packet_id = ndr.arm()?;
    if packet_id == HEADER || !ndr.pointer()? {
        return Ok(None);
    }
    if packet_id != MESSAGE_PACKET {
        return Err(ndr.malformed("a packet that is no message"));
    }
    match message_header(ndr)? {
        Some(REAUTH_MESSAGE) => Ok(Some(Packet::ReauthMessage)),
        Some(CONSENT_MESSAGE | SERVICE_MESSAGE) => {
            Ok(string_message(ndr)?.map(|text| Packet::ServiceMessage { text }))
        }
        _ => Ok(None),
    }
}

/// TSG_PACKET_MSG_RESPONSE: the message's type, where there is a message.
fn message_header(ndr: &mut Ndr<'_>) -> Result<Option<u32>, Malformed> {
    let _id = ndr.long()?;
    let kind = ndr.long()?;
    let is_present = ndr.long()? != 0;
    let _kind_again = ndr.long()?;
    let has_message = ndr.pointer()?;
    Ok((is_present && has_message).then_some(kind))
}

/// TSG_PACKET_STRING_MESSAGE.
fn string_message(ndr: &mut Ndr<'_>) -> Result<Option<String>, Malformed> {
    let _display_and_consent_mandatory = (ndr.long()?, ndr.long()?);
    let _bytes = ndr.long()?;
    if ndr.pointer()? { ndr.text().map(Some) } else { Ok(None) }
}

fn create_channel(ndr: &mut Ndr<'_>) -> Result<Packet, Malformed> {
    ndr.skip(CONTEXT_HANDLE)?;
    let has_names = ndr.pointer()?;
    let _count = ndr.long()?;
    let has_alternatives = ndr.pointer()?;
    let _alternative_count = ndr.short()?;
    let port = ndr.long()?;
    let resources = names(ndr, has_names)?;
    let alternatives = names(ndr, has_alternatives)?;
    // Port holds two numbers: the protocol below, the port above.
    let [protocol, port] = [port & 0xffff, port >> 16].map(|half| u16::try_from(half).unwrap_or_default());
    Ok(Packet::ChannelCreate { resources, alternatives, port, protocol })
}

/// An array of RESOURCENAME: pointers, then the strings that they lead to.
fn names(ndr: &mut Ndr<'_>, present: bool) -> Result<Vec<String>, Malformed> {
    if !present {
        return Ok(Vec::new());
    }
    let count = ndr.long()?;
    if count > MOST_NAMES {
        return Err(ndr.malformed("more than fifty names"));
    }
    let pointers = (0..count).map(|_| ndr.pointer()).collect::<Result<Vec<_>, _>>()?;
    pointers.into_iter().filter(|leads| *leads).map(|_| ndr.text()).collect()
}
