//! Who is let in: HTTP authentication of a connection (MS-TSGU 3.3.5.1), with NTLM by the `sspi` crate.

use super::http::Head;
use super::setup::{ChannelBindings, Logon};
use base64::prelude::{BASE64_STANDARD, Engine};
use md5::{Digest, Md5};
use sha2::Sha256;
use sspi::ntlm::NtlmConfig;
use sspi::{
    AuthIdentityBuffers, BufferType, DataRepresentation, Ntlm, SecurityBuffer, SecurityBufferRef,
    ServerRequestFlags, Sspi, SspiImpl,
};

const SIGNATURE: &[u8] = b"NTLMSSP\0";
const AUTHENTICATE: u8 = 3;
/// NTLMSSP_MESSAGE_SIGNATURE (MS-NLMP 2.2.2.9).
pub(super) const SIGNATURE_LENGTH: usize = 16;
/// Bytes of NTLMv2_RESPONSE before its AV pairs (MS-NLMP 2.2.2.8).
const NTLM_2_RESPONSE_HEADER: usize = 44;
/// MsvAvChannelBindings (MS-NLMP 2.2.2.1).
const AV_CHANNEL_BINDINGS: u16 = 10;
/// 1.3.6.1.4.1.311.2.2.10 with tag and length.
const NTLM_MECHANISM: [u8; 12] = [0x06, 0x0A, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0A];

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is let in.
    Granted { scheme: &'static str, user: String },
    /// It is to be asked again with these values of WWW-Authenticate, and why.
    Ask { fields: Vec<String>, refused: Option<&'static str> },
}

/// The state of one connection: NTLM lets in the connection, not the request.
pub(super) struct Authentication<'a> {
    logon: &'a Logon,
    own_bindings: [u8; 16],
    exchange: Option<Exchange>,
    granted: Option<(&'static str, String)>,
}

impl<'a> Authentication<'a> {
    /// `certificate`: what the gateway shows in TLS, as DER.
    pub(super) fn new(logon: &'a Logon, certificate: &[u8]) -> Self {
        let own_bindings = channel_bindings(certificate);
        Authentication { logon, own_bindings, exchange: None, granted: None }
    }

    /// Looks at one request.
    pub(super) fn decide(&mut self, head: &Head) -> Decision {
        let anonymous = self.logon.schemes.is_empty()
            || self.logon.smart_card.is_some()
            || self.logon.token.is_some() && is_scheme(head, "PAA")
            || self.logon.extended && is_scheme(head, "SSPI_NTLM");
        if anonymous {
            return Decision::Granted { scheme: "none", user: String::new() };
        }
        if let Some((scheme, user)) = self.granted.clone() {
            return Decision::Granted { scheme, user };
        }
        let (scheme, token) = authorization(head);
        let Some(&scheme) = self.logon.schemes.iter().find(|its| its.eq_ignore_ascii_case(scheme)) else {
            return self.ask(None);
        };
        match scheme {
            "Basic" => self.basic(token),
            _ => self.ntlm(scheme, token),
        }
    }

    fn basic(&mut self, token: &str) -> Decision {
        let pair = BASE64_STANDARD.decode(token).unwrap_or_default();
        let pair = String::from_utf8_lossy(&pair).into_owned();
        match pair.split_once(':') {
            Some((user, password)) if self.logon.password_of(user) == Some(password) => {
                Decision::Granted { scheme: "Basic", user: user.to_owned() }
            }
            _ => self.ask(Some("wrong password")),
        }
    }

    fn ntlm(&mut self, scheme: &'static str, token: &str) -> Decision {
        let token = BASE64_STANDARD.decode(token).unwrap_or_default();
        let exchange = self.exchange.get_or_insert_with(Exchange::new);
        let required =
            (self.logon.channel_bindings == ChannelBindings::Required).then_some(&self.own_bindings);
        let answer = exchange.step(&token, self.logon, required);
        match answer {
            Ok(Answer::Continue(token)) => Decision::Ask {
                fields: vec![format!("{scheme} {}", BASE64_STANDARD.encode(token))],
                refused: None,
            },
            Ok(Answer::Done(user)) => {
                self.granted = Some((scheme, user.clone()));
                Decision::Granted { scheme, user }
            }
            Err(reason) => {
                self.exchange = None;
                self.ask(Some(reason))
            }
        }
    }

    fn ask(&self, refused: Option<&'static str>) -> Decision {
        let field = |scheme: &&str| match *scheme {
            "Basic" => "Basic realm=\"gateway\"".to_owned(),
            scheme => scheme.to_owned(),
        };
        let mut fields: Vec<String> = self.logon.schemes.iter().map(field).collect();
        if self.logon.extended {
            fields.push("SSPI_NTLM".to_owned());
        }
        Decision::Ask { fields, refused }
    }
}

fn is_scheme(head: &Head, scheme: &str) -> bool {
    let named = head.field("RDG-Auth-Scheme").is_some_and(|value| value.eq_ignore_ascii_case(scheme));
    named || authorization(head).0.eq_ignore_ascii_case(scheme)
}

fn authorization(head: &Head) -> (&str, &str) {
    let value = head.field("Authorization").unwrap_or_default();
    value.split_once(' ').unwrap_or((value, ""))
}

/// What a step of NTLM comes to.
#[derive(Debug)]
pub(super) enum Answer {
    /// The client is to go on from this token.
    Continue(Vec<u8>),
    /// This user is let in.
    Done(String),
}

/// One logon by NTLM, bare or in SPNEGO.
pub(super) struct Exchange {
    ntlm: Ntlm,
}

impl Exchange {
    pub(super) fn new() -> Self {
        Exchange { ntlm: Ntlm::with_config(NtlmConfig::default()) }
    }

    /// Takes the client's next token, which must be bound to `bindings` where there are any; `Err` says why it is refused.
    pub(super) fn step(
        &mut self,
        token: &[u8],
        logon: &Logon,
        bindings: Option<&[u8; 16]>,
    ) -> Result<Answer, &'static str> {
        let Some(start) = token.windows(SIGNATURE.len()).position(|bytes| bytes == SIGNATURE) else {
            // SPNEGO with a token of Kerberos: NTLM is what there is.
            return Ok(Answer::Continue(neg_token_resp(&[])));
        };
        let message = message_at(token, start);
        if message.get(SIGNATURE.len()) != Some(&AUTHENTICATE) {
            let challenge = self.accept(message, &mut None).map_err(|_| "no NTLM NEGOTIATE")?;
            return Ok(Answer::Continue(if start == 0 { challenge } else { neg_token_resp(&challenge) }));
        }
        let user = text(field(message, 36));
        let domain = text(field(message, 28));
        let password = logon.password_of(&user).ok_or("unknown user")?;
        let bound_to = av_pair(field(message, 20), AV_CHANNEL_BINDINGS);
        if bindings.is_some_and(|bindings| bound_to != Some(bindings)) {
            return Err("channel bindings of another certificate");
        }
        let mut handle = Some(AuthIdentityBuffers::from_utf8(&user, &domain, password));
        let checked = self.accept(message, &mut handle).and_then(|_| self.ntlm.complete_auth_token(&mut []));
        checked.map(|_| Answer::Done(user)).map_err(|_| "wrong password")
    }

    /// The signature of a message, once the logon is done.
    pub(super) fn sign(&mut self, message: &[u8], number: u32) -> Vec<u8> {
        let (mut data, mut signature) = (message.to_vec(), vec![0; SIGNATURE_LENGTH]);
        let mut buffers =
            [SecurityBufferRef::data_buf(&mut data), SecurityBufferRef::token_buf(&mut signature)];
        self.ntlm.make_signature(0, &mut buffers, number).expect("there are keys");
        signature
    }

    /// Whether the client signed a message so.
    pub(super) fn is_signed(&mut self, message: &[u8], signature: &[u8], number: u32) -> bool {
        let (mut data, mut signature) = (message.to_vec(), signature.to_vec());
        let mut buffers =
            [SecurityBufferRef::data_buf(&mut data), SecurityBufferRef::token_buf(&mut signature)];
        self.ntlm.verify_signature(&mut buffers, number).is_ok()
    }

    fn accept(&mut self, token: &[u8], handle: &mut Option<AuthIdentityBuffers>) -> sspi::Result<Vec<u8>> {
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

/// The NTLM message at `start`: a token as it is, or the OCTET STRING of one in SPNEGO, where a MIC may follow.
fn message_at(token: &[u8], start: usize) -> &[u8] {
    let (before, message) = token.split_at(start);
    let length = match *before {
        [.., 0x04, 0x82, high, low] => usize::from(u16::from_be_bytes([high, low])),
        [.., 0x04, 0x81, length] | [.., 0x04, length] => usize::from(length),
        _ => message.len(),
    };
    message.get(..length).unwrap_or(message)
}

/// MD5 over gss_channel_bindings_struct with tls-server-end-point (RFC 5929 4, MS-NLMP 3.1.5.1.2) of a certificate that
/// is signed with SHA-256 or less.
pub(super) fn channel_bindings(certificate: &[u8]) -> [u8; 16] {
    let data = [&b"tls-server-end-point:"[..], &Sha256::digest(certificate)].concat();
    let length = u32::try_from(data.len()).expect("a hash is short");
    // No addresses: type and length of both are 0.
    Md5::digest([&[0; 16][..], &length.to_le_bytes(), &data].concat()).into()
}

/// What the length and the offset at `at` of an NTLM message point to.
fn field(message: &[u8], at: usize) -> &[u8] {
    let Some(&[low, high, _, _, a, b, c, d]) = message.get(at..at + 8) else { return &[] };
    let offset = u32::from_le_bytes([a, b, c, d]) as usize;
    message.get(offset..offset + usize::from(u16::from_le_bytes([low, high]))).unwrap_or_default()
}

/// The value of an AV pair in an NTLMv2 response.
fn av_pair(nt_response: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut pairs = nt_response.get(NTLM_2_RESPONSE_HEADER..)?;
    loop {
        let (&[a, b, c, d], rest) = pairs.split_first_chunk::<4>()?;
        let (id, length) = (u16::from_le_bytes([a, b]), usize::from(u16::from_le_bytes([c, d])));
        let value = rest.get(..length)?;
        match id {
            0 => return None,
            id if id == wanted => return Some(value),
            _ => pairs = &rest[length..],
        }
    }
}

fn text(bytes: &[u8]) -> String {
    super::packet::from_utf16(bytes)
}

/// NegTokenResp (RFC 4178 4.2.2): go on, with NTLM.
fn neg_token_resp(token: &[u8]) -> Vec<u8> {
    let mut fields = [&[0xA0, 0x03, 0x0A, 0x01, 0x01][..], &element(0xA1, &NTLM_MECHANISM)].concat();
    if !token.is_empty() {
        fields.extend(element(0xA2, &element(0x04, token)));
    }
    element(0xA1, &element(0x30, &fields))
}

/// A DER element.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("a token is short").to_be_bytes();
    let length = match content.len() {
        0..0x80 => vec![low],
        0x80..0x100 => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag][..], &length, content].concat()
}
