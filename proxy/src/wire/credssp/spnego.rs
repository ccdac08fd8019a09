//! SPNEGO: which mechanism authenticates (RFC 4178, MS-SPNG).

use super::der;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mechanisms by name; those of Kerberos are three, one of them a slip of Windows 2000 that is still offered.
const MECHANISMS: &[(&str, &str)] = &[
    ("1.3.6.1.5.5.2", "SPNEGO"),
    ("1.2.840.113554.1.2.2", "Kerberos"),
    ("1.2.840.48018.1.2.2", "Kerberos (Microsoft)"),
    ("1.2.840.113554.1.2.2.3", "Kerberos user-to-user"),
    ("1.3.6.1.4.1.311.2.2.10", "NTLM"),
    ("1.3.6.1.4.1.311.2.2.30", "NEGOEX"),
];

/// negState (RFC 4178 4.2.2).
const STATES: [&str; 4] = ["accept-completed", "accept-incomplete", "reject", "request-mic"];

/// Mechanisms kept of one list; Windows offers up to five.
const MOST_MECHANISMS: usize = 16;

/// The envelope around a mechanism's token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spnego {
    /// mechTypes of NegTokenInit, in the order of preference: `Kerberos`, `NTLM`, `NEGOEX`…, or the object identifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mechanisms: Vec<String>,
    /// supportedMech of NegTokenResp: what the server chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected_mechanism: Option<String>,
    /// negState of NegTokenResp: `accept-completed`, `accept-incomplete`, `reject`, `request-mic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// The name of the mechanism with this identifier, or the identifier; `None` where it cannot be read.
pub(super) fn mechanism(object_identifier: &[u8]) -> Option<String> {
    let identifier = der::object_identifier(object_identifier)?;
    let known = MECHANISMS.iter().find(|(known, _)| *known == identifier);
    Some(known.map_or(identifier, |(_, name)| (*name).to_owned()))
}

impl Spnego {
    /// Reads NegTokenInit, with or without the header of GSS-API, or NegTokenResp; with it the mechanism's token that is
    /// inside. `None` where `token` is neither.
    pub fn decode(token: &[u8]) -> Option<(Self, Option<&[u8]>)> {
        let init = match der::only(token, der::application(0)) {
            Some(framed) => {
                let identifier = der::only(framed, der::OBJECT_IDENTIFIER)?;
                if mechanism(identifier)? != "SPNEGO" {
                    return None;
                }
                der::find(framed, der::context(0))
            }
            None => der::only(token, der::context(0)),
        };
        match init {
            Some(init) => Spnego::init(der::only(init, der::SEQUENCE)?),
            None => Spnego::response(der::only(der::only(token, der::context(1))?, der::SEQUENCE)?),
        }
    }

    fn init(fields: &[u8]) -> Option<(Self, Option<&[u8]>)> {
        let list = der::find(fields, der::context(0)).and_then(|list| der::only(list, der::SEQUENCE));
        let identifiers = der::elements(list.unwrap_or_default());
        let mechanisms = identifiers
            .filter(|element| element.tag == der::OBJECT_IDENTIFIER)
            .filter_map(|element| mechanism(element.body))
            .take(MOST_MECHANISMS)
            .collect();
        Some((Spnego { mechanisms, ..Spnego::default() }, inner_token(fields)))
    }

    fn response(fields: &[u8]) -> Option<(Self, Option<&[u8]>)> {
        let state = der::find(fields, der::context(0)).and_then(|state| der::only(state, der::ENUMERATED));
        let state = state.and_then(der::integer).and_then(|state| STATES.get(state as usize));
        let selected = der::find(fields, der::context(1));
        let selected = selected.and_then(|selected| der::only(selected, der::OBJECT_IDENTIFIER));
        let spnego = Spnego {
            mechanisms: Vec::new(),
            selected_mechanism: selected.and_then(mechanism),
            state: state.map(|state| (*state).to_owned()),
        };
        Some((spnego, inner_token(fields)))
    }
}

/// mechToken or responseToken: both are number 2.
fn inner_token(fields: &[u8]) -> Option<&[u8]> {
    der::find(fields, der::context(2)).and_then(|token| der::only(token, der::OCTET_STRING))
}
