//! NTLM (MS-NLMP): the shape of each message is checked here, before the `sspi` crate computes with it.

use super::credentials::Credentials;
use super::seal::{End, KEY_LENGTH, Session};
use crate::wire::Malformed;
use crate::wire::reader::Reader;
use sspi::ntlm::NtlmConfig;
use sspi::{
    AuthIdentityBuffers, BufferType, ClientRequestFlags, DataRepresentation, ErrorKind, Ntlm, SecurityBuffer,
    ServerRequestFlags, Sspi, SspiImpl,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tracing::subscriber::{NoSubscriber, with_default};

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// NegotiateFlags (MS-NLMP 2.2.2.5).
mod flags {
    pub(super) const UNICODE: u32 = 0x0000_0001;
    pub(super) const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
    pub(super) const TARGET_INFO: u32 = 0x0080_0000;
    pub(super) const VERSION: u32 = 0x0200_0000;
    pub(super) const SEALING_128: u32 = 0x2000_0000;
    pub(super) const KEY_EXCHANGE: u32 = 0x4000_0000;
}

/// Bytes of NTLMv2_RESPONSE before its AV pairs (MS-NLMP 2.2.2.8).
const NTLM_2_RESPONSE_HEADER: usize = 44;
/// The highest AvId there is.
const LAST_AV_ID: u16 = 10;

/// What went wrong with a message.
#[derive(Debug)]
pub(super) enum Fault {
    /// Its shape.
    Malformed(Malformed),
    /// It cannot be sealed with.
    Weak(&'static str),
    /// The password is another one.
    Refused { user: String },
    /// The library failed, on a message whose shape is sound.
    Library(String),
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Fault::Malformed(malformed)
    }
}

/// Whether a token is an NTLM message without an envelope.
pub(super) fn is_bare(token: &[u8]) -> bool {
    token.starts_with(SIGNATURE)
}

/// Who logs on, as AUTHENTICATE says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) user: String,
    pub(super) domain: String,
}

/// The server of NTLM.
pub(super) struct Server {
    ntlm: Ntlm,
}

impl Server {
    pub(super) fn new() -> Self {
        Server { ntlm: Ntlm::with_config(NtlmConfig::default()) }
    }

    /// Answers NEGOTIATE with CHALLENGE.
    pub(super) fn challenge(&mut self, negotiate: &[u8]) -> Result<Vec<u8>, Fault> {
        check_negotiate(negotiate)?;
        quietly(|| self.step(negotiate, &mut None))
    }

    /// Checks AUTHENTICATE, which `names` were read from, against the password that was given.
    pub(super) fn authenticate(
        &mut self,
        authenticate: &[u8],
        names: &Names,
        credentials: &Credentials,
    ) -> Result<Session, Fault> {
        let flags = check_authenticate(authenticate)?;
        // The password is checked over the names that the client used.
        let (user, domain) = (&names.user, &names.domain);
        let mut handle = Some(AuthIdentityBuffers::from_utf8(user, domain, credentials.password()));
        let key = quietly(|| {
            self.step(authenticate, &mut handle)?;
            self.ntlm.complete_auth_token(&mut [])?;
            session_key(&self.ntlm)
        });
        let refused = |fault| match fault {
            Fault::Refused { .. } => Fault::Refused { user: names.user.clone() },
            fault => fault,
        };
        let key = key.map_err(refused)?;
        Ok(Session::new(End::Server, &key, flags & flags::KEY_EXCHANGE != 0))
    }

    fn step(&mut self, token: &[u8], handle: &mut Option<AuthIdentityBuffers>) -> sspi::Result<Vec<u8>> {
        let mut input = [SecurityBuffer::new(token.to_vec(), BufferType::Token)];
        let mut output = [SecurityBuffer::new(Vec::new(), BufferType::Token)];
        let builder = self
            .ntlm
            .accept_security_context()
            .with_credentials_handle(handle)
            .with_context_requirements(ServerRequestFlags::empty())
            .with_target_data_representation(DataRepresentation::Native)
            .with_input(&mut input)
            .with_output(&mut output);
        SspiImpl::accept_security_context_impl(&mut self.ntlm, builder)?.resolve_to_result()?;
        let [output] = output;
        Ok(output.buffer)
    }
}

/// The client of NTLM.
pub(super) struct Client {
    ntlm: Ntlm,
    handle: Option<AuthIdentityBuffers>,
    target: String,
}

impl Client {
    /// `target`: the service principal name of the server, `TERMSRV/host`.
    pub(super) fn new(credentials: &Credentials, target: &str) -> Self {
        Client {
            ntlm: Ntlm::with_config(NtlmConfig::default()),
            handle: Some(AuthIdentityBuffers::from_utf8(
                credentials.user(),
                credentials.domain(),
                credentials.password(),
            )),
            target: target.to_owned(),
        }
    }

    /// NEGOTIATE.
    pub(super) fn negotiate(&mut self) -> Result<Vec<u8>, Fault> {
        quietly(|| self.step(&[]))
    }

    /// Answers CHALLENGE with AUTHENTICATE.
    pub(super) fn authenticate(&mut self, challenge: &[u8]) -> Result<(Vec<u8>, Session), Fault> {
        let flags = check_challenge(challenge)?;
        let (authenticate, key) = quietly(|| Ok((self.step(challenge)?, session_key(&self.ntlm)?)))?;
        Ok((authenticate, Session::new(End::Client, &key, flags & flags::KEY_EXCHANGE != 0)))
    }

    fn step(&mut self, token: &[u8]) -> sspi::Result<Vec<u8>> {
        let mut input = [SecurityBuffer::new(token.to_vec(), BufferType::Token)];
        let mut output = [SecurityBuffer::new(Vec::new(), BufferType::Token)];
        let mut builder = self
            .ntlm
            .initialize_security_context()
            .with_credentials_handle(&mut self.handle)
            .with_context_requirements(ClientRequestFlags::INTEGRITY | ClientRequestFlags::CONFIDENTIALITY)
            .with_target_data_representation(DataRepresentation::Native)
            .with_target_name(&self.target)
            .with_input(&mut input)
            .with_output(&mut output);
        SspiImpl::initialize_security_context_impl(&mut self.ntlm, &mut builder)?.resolve_to_result()?;
        let [output] = output;
        Ok(output.buffer)
    }
}

fn session_key(ntlm: &Ntlm) -> sspi::Result<[u8; KEY_LENGTH]> {
    let keys = ntlm.query_context_session_key()?;
    let key: &[u8] = keys.session_key.as_ref();
    key.try_into().map_err(|_| sspi::Error::new(ErrorKind::InternalError, "a session key of another length"))
}

/// Runs the library: what it logs may hold secrets and goes nowhere, and a panic of it ends only this logon.
pub(super) fn quietly<R>(run: impl FnOnce() -> sspi::Result<R>) -> Result<R, Fault> {
    match with_default(NoSubscriber::default(), || catch_unwind(AssertUnwindSafe(run))) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) if error.error_type == ErrorKind::LogonDenied => {
            Err(Fault::Refused { user: String::new() })
        }
        // Its description may repeat bytes of a token, its kind does not.
        Ok(Err(error)) => Err(Fault::Library(format!("{:?}", error.error_type))),
        Err(_) => Err(Fault::Library("it panicked".to_owned())),
    }
}

/// NEGOTIATE (MS-NLMP 2.2.1.1).
fn check_negotiate(bytes: &[u8]) -> Result<(), Fault> {
    let mut reader = message("NTLM NEGOTIATE", bytes, 1)?;
    let flags = reader.u32_le()?;
    reader.take(16)?;
    if flags & flags::VERSION != 0 {
        reader.take(8)?;
    }
    strong(flags)
}

/// CHALLENGE (MS-NLMP 2.2.1.2); the answer is its NegotiateFlags.
fn check_challenge(bytes: &[u8]) -> Result<u32, Fault> {
    let mut reader = message("NTLM CHALLENGE", bytes, 2)?;
    field(&mut reader, bytes)?;
    let flags = reader.u32_le()?;
    // ServerChallenge and Reserved.
    reader.take(16)?;
    let target_information = field(&mut reader, bytes)?;
    if flags & flags::VERSION != 0 {
        reader.take(8)?;
    }
    if flags & flags::TARGET_INFO == 0 {
        return Err(Fault::Weak("its NTLM challenge has no target information, which NTLMv2 needs"));
    }
    check_av_pairs(target_information)?;
    strong(flags)?;
    Ok(flags)
}

/// AUTHENTICATE (MS-NLMP 2.2.1.3); the answer is its NegotiateFlags.
fn check_authenticate(bytes: &[u8]) -> Result<u32, Fault> {
    let Authenticate { flags, nt_response, session_key, .. } = Authenticate::read(bytes)?;
    strong(flags)?;
    let Some(av_pairs) = nt_response.get(NTLM_2_RESPONSE_HEADER..) else {
        return Err(Fault::Weak("its NTLM response is not of version 2"));
    };
    check_av_pairs(av_pairs)?;
    let expected = if flags & flags::KEY_EXCHANGE == 0 { 0 } else { KEY_LENGTH };
    if session_key.len() != expected {
        return Err(Malformed::new("NTLM AUTHENTICATE", 52, "the session key has another length").into());
    }
    Ok(flags)
}

/// Who logs on (MS-NLMP 2.2.1.3).
pub(super) fn names(authenticate: &[u8]) -> Result<Names, Fault> {
    let Authenticate { domain, user, .. } = Authenticate::read(authenticate)?;
    let text = |bytes: &[u8]| {
        let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    Ok(Names { user: text(user), domain: text(domain) })
}

struct Authenticate<'a> {
    nt_response: &'a [u8],
    domain: &'a [u8],
    user: &'a [u8],
    session_key: &'a [u8],
    flags: u32,
}

impl<'a> Authenticate<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = message("NTLM AUTHENTICATE", bytes, 3)?;
        let _lm_response = field(&mut reader, bytes)?;
        let nt_response = field(&mut reader, bytes)?;
        let domain = field(&mut reader, bytes)?;
        let user = field(&mut reader, bytes)?;
        let _workstation = field(&mut reader, bytes)?;
        let session_key = field(&mut reader, bytes)?;
        let flags = reader.u32_le()?;
        if flags & flags::VERSION != 0 {
            reader.take(8)?;
        }
        if flags & flags::TARGET_INFO != 0 {
            // MIC.
            reader.take(16)?;
        }
        if domain.len() % 2 + user.len() % 2 != 0 {
            return Err(reader.malformed("a name is not UTF-16").into());
        }
        Ok(Authenticate { nt_response, domain, user, session_key, flags })
    }
}

/// The start of a message of this type.
fn message<'a>(name: &'static str, bytes: &'a [u8], kind: u32) -> Result<Reader<'a>, Malformed> {
    let mut reader = Reader::new(name, bytes);
    if reader.take(SIGNATURE.len())? != SIGNATURE {
        return Err(reader.malformed("it does not begin with NTLMSSP"));
    }
    if reader.u32_le()? != kind {
        return Err(reader.malformed("it is another NTLM message"));
    }
    Ok(reader)
}

/// What a field's length and offset point to, which must be inside the message.
fn field<'a>(reader: &mut Reader<'_>, message: &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = usize::from(reader.u16_le()?);
    reader.u16_le()?;
    let offset = reader.u32_le()? as usize;
    let end = offset.checked_add(length);
    if length == 0 {
        return Ok(&[]);
    }
    end.and_then(|end| message.get(offset..end))
        .ok_or_else(|| reader.malformed("a field lies outside the message"))
}

/// AV pairs (MS-NLMP 2.2.2.1) to the end of `bytes`; padding after the last reads as further ends of the list.
fn check_av_pairs(bytes: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new("AV_PAIR", bytes);
    while !reader.is_empty() {
        let id = reader.u16_le()?;
        let length = reader.u16_le()?;
        if id > LAST_AV_ID {
            return Err(reader.malformed("an AvId that does not exist"));
        }
        let expected = match id {
            0 => Some(0),
            6 => Some(4),
            7 => Some(8),
            10 => Some(16),
            _ => None,
        };
        if expected.is_some_and(|expected| expected != length) {
            return Err(reader.malformed("an AV pair of another length"));
        }
        reader.take(usize::from(length))?;
    }
    Ok(())
}

/// Whether what comes after can be sealed the way CredSSP needs.
fn strong(flags: u32) -> Result<(), Fault> {
    if flags & flags::UNICODE == 0 {
        return Err(Fault::Weak("its NTLM has no Unicode"));
    }
    if flags & flags::EXTENDED_SESSION_SECURITY == 0 || flags & flags::SEALING_128 == 0 {
        return Err(Fault::Weak("its NTLM has no 128-bit extended session security"));
    }
    Ok(())
}
