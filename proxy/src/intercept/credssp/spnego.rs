//! SPNEGO with Kerberos or NTLM in it, of both sides (RFC 4178, MS-SPNG).

use super::der::{
    ENUMERATED, Elements, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, context, element, explicit,
};
use crate::wire::Malformed;

/// `[APPLICATION 0]`: the framing of a first GSS-API token (RFC 2743, 3.1).
pub(super) const INITIAL_TOKEN: u8 = 0x60;

/// 1.3.6.1.5.5.2
const SPNEGO: [u8; 6] = [0x2B, 0x06, 0x01, 0x05, 0x05, 0x02];
/// 1.2.840.113554.1.2.2
pub(super) const KERBEROS: [u8; 9] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x12, 0x01, 0x02, 0x02];
/// 1.2.840.48018.1.2.2, which Windows 2000 made of it and every Windows since puts first.
pub(super) const MS_KERBEROS: [u8; 9] = [0x2A, 0x86, 0x48, 0x82, 0xF7, 0x12, 0x01, 0x02, 0x02];
/// 1.2.840.113554.1.2.2.3, user-to-user.
pub(super) const USER_TO_USER: [u8; 10] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x12, 0x01, 0x02, 0x02, 0x03];
/// 1.3.6.1.4.1.311.2.2.10
pub(super) const NTLMSSP: [u8; 10] = [0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0A];

/// More mechanisms than any client knows.
const MOST_MECHANISMS: usize = 32;

/// How far the negotiation is (negState).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    AcceptCompleted = 0,
    AcceptIncomplete = 1,
    Reject = 2,
    RequestMic = 3,
}

/// NegTokenInit, as far as the acceptor needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Init<'a> {
    /// MechTypeList with its header: what mechListMIC is computed over.
    pub(super) mechanism_list: Vec<u8>,
    /// Whether the client can do NTLM.
    pub(super) offers_ntlm: bool,
    /// Whether NTLM is its first choice, whose token may come along.
    pub(super) prefers_ntlm: bool,
    /// Its first choice.
    pub(super) first: &'a [u8],
    /// Kerberos by the first name that the client has for it.
    pub(super) kerberos: Option<&'a [u8]>,
    /// Whether Kerberos is its first choice, whose token may come along.
    pub(super) prefers_kerberos: bool,
    /// mechToken: the first token of the first mechanism.
    pub(super) token: Option<&'a [u8]>,
}

/// NegTokenResp of either side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Response<'a> {
    /// negState.
    pub(super) state: Option<State>,
    /// Whether supportedMech is NTLM.
    pub(super) chooses_ntlm: bool,
    /// responseToken.
    pub(super) token: Option<&'a [u8]>,
    /// mechListMIC.
    pub(super) mic: Option<&'a [u8]>,
}

/// Whether a token is SPNEGO's first one.
pub(super) fn is_init(token: &[u8]) -> bool {
    token.first() == Some(&INITIAL_TOKEN)
}

impl<'a> Init<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Elements::new("NegTokenInit", bytes);
        let mut token = Elements::new("NegTokenInit", outer.take(INITIAL_TOKEN)?);
        outer.end()?;
        if token.take(OBJECT_IDENTIFIER)? != SPNEGO {
            return Err(token.malformed("the token is not SPNEGO's"));
        }
        let mut choice = Elements::new("NegTokenInit", token.take(context(0))?);
        token.end()?;
        let mut fields = Elements::new("NegTokenInit", choice.take(SEQUENCE)?);
        choice.end()?;

        let list = fields.optional_explicit(context(0), SEQUENCE)?;
        let list = list.ok_or_else(|| fields.malformed("there is no list of mechanisms"))?;
        let mut mechanisms = Elements::new("MechTypeList", list);
        let (mut ntlm_at, mut kerberos_at, mut kerberos, mut first) = (None, None, None, &[][..]);
        for position in 0.. {
            if mechanisms.is_empty() {
                break;
            }
            if position == MOST_MECHANISMS {
                return Err(mechanisms.malformed("too many mechanisms"));
            }
            let mechanism = mechanisms.take(OBJECT_IDENTIFIER)?;
            if position == 0 {
                first = mechanism;
            }
            if mechanism == NTLMSSP && ntlm_at.is_none() {
                ntlm_at = Some(position);
            }
            if [&MS_KERBEROS[..], &KERBEROS].contains(&mechanism) && kerberos.is_none() {
                (kerberos_at, kerberos) = (Some(position), Some(mechanism));
            }
        }
        // reqFlags, which RFC 4178 tells acceptors to ignore.
        fields.optional(context(1))?;
        let token = fields.optional_explicit(context(2), OCTET_STRING)?;
        Ok(Init {
            mechanism_list: element(SEQUENCE, list),
            offers_ntlm: ntlm_at.is_some(),
            prefers_ntlm: ntlm_at == Some(0),
            first,
            kerberos,
            prefers_kerberos: kerberos_at == Some(0),
            token,
        })
    }
}

impl<'a> Response<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Elements::new("NegTokenResp", bytes);
        let mut choice = Elements::new("NegTokenResp", outer.take(context(1))?);
        outer.end()?;
        let mut fields = Elements::new("NegTokenResp", choice.take(SEQUENCE)?);
        choice.end()?;
        let state = fields.optional_explicit(context(0), ENUMERATED)?;
        let state = state.map(|state| {
            let known = [State::AcceptCompleted, State::AcceptIncomplete, State::Reject, State::RequestMic];
            let state = known.into_iter().find(|known| state == [*known as u8]);
            state.ok_or_else(|| fields.malformed("negState has no meaning"))
        });
        let state = state.transpose()?;
        let mechanism = fields.optional_explicit(context(1), OBJECT_IDENTIFIER)?;
        let token = fields.optional_explicit(context(2), OCTET_STRING)?;
        let mic = fields.optional_explicit(context(3), OCTET_STRING)?;
        fields.end()?;
        Ok(Response { state, chooses_ntlm: mechanism == Some(&NTLMSSP), token, mic })
    }
}

/// NegTokenResp of the acceptor; it names the chosen `mechanism` in its first.
pub(super) fn response(
    state: State,
    mechanism: Option<&[u8]>,
    token: Option<&[u8]>,
    mic: Option<&[u8]>,
) -> Vec<u8> {
    let mut fields = explicit(context(0), ENUMERATED, &[state as u8]);
    if let Some(mechanism) = mechanism {
        fields.extend(explicit(context(1), OBJECT_IDENTIFIER, mechanism));
    }
    if let Some(token) = token {
        fields.extend(explicit(context(2), OCTET_STRING, token));
    }
    if let Some(mic) = mic {
        fields.extend(explicit(context(3), OCTET_STRING, mic));
    }
    explicit(context(1), SEQUENCE, &fields)
}

/// The initiator's offer: Kerberos with its first token, else NTLM.
pub(super) struct Offer {
    /// NegTokenInit.
    pub(super) token: Vec<u8>,
    /// MechTypeList with its header: what mechListMIC is computed over.
    pub(super) mechanism_list: Vec<u8>,
}

impl Offer {
    /// `token`: AP-REQ in the framing of GSS-API.
    pub(super) fn of_kerberos(token: &[u8]) -> Self {
        let mechanisms = [&MS_KERBEROS[..], &KERBEROS, &NTLMSSP].map(|name| element(OBJECT_IDENTIFIER, name));
        let mechanism_list = element(SEQUENCE, &mechanisms.concat());
        let fields = [element(context(0), &mechanism_list), explicit(context(2), OCTET_STRING, token)];
        let init = explicit(context(0), SEQUENCE, &fields.concat());
        let token = element(INITIAL_TOKEN, &[element(OBJECT_IDENTIFIER, &SPNEGO), init].concat());
        Offer { token, mechanism_list }
    }
}

/// NegTokenResp of the initiator.
pub(super) fn continuation(token: &[u8], mic: Option<&[u8]>) -> Vec<u8> {
    let mut fields = explicit(context(2), OCTET_STRING, token);
    if let Some(mic) = mic {
        fields.extend(explicit(context(3), OCTET_STRING, mic));
    }
    explicit(context(1), SEQUENCE, &fields)
}
