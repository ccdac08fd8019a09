//! How the calls of a virtual connection are protected, and whether we can protect ours alike.

use crate::trace::Side;
use crate::wire::rpch::rpc::{self, Header, Pdu};
use crate::wire::rpch::write::{TOKEN_LENGTH, Trailer};
use std::fmt;

/// What stands behind a trailer.
pub type Token = [u8; TOKEN_LENGTH];

/// RPC_C_AUTHN_WINNT (MS-RPCE 2.2.1.1.7): the tokens are NTLM's.
const WINNT: u8 = 10;
/// RPC_C_AUTHN_LEVEL_PKT and RPC_C_AUTHN_LEVEL_PKT_INTEGRITY, which are the same on connections (MS-RPCE 2.2.1.1.8).
const SIGNED_LEVELS: [u8; 2] = [4, 5];

/// What helps where the calls cannot be rewritten.
const ANOTHER_WAY: &str = "--gateway-transport websocket or http makes the client take another way";

/// Signs PDUs in the place of both ends of a security context.
pub trait Signatures: Send {
    /// The token of the next PDU of `from`, over `signed`, which is all of the PDU before it.
    fn token(&mut self, from: Side, signed: &[u8]) -> Token;
}

/// Knows the account with which a client logs on at a gateway.
pub trait CallKeys: fmt::Debug + Send + Sync {
    /// The signatures of the context that a client's AUTHENTICATE_MESSAGE (MS-NLMP 2.2.1.3) begins.
    ///
    /// # Errors
    /// There are none with this account; a clause says why.
    fn signatures(&self, authenticate: &[u8]) -> Result<Box<dyn Signatures>, String>;
}

/// See the module.
#[derive(Default)]
pub(super) struct Security {
    trailer: Option<Trailer>,
    /// None without an account.
    signatures: Option<Result<Box<dyn Signatures>, String>>,
}

impl Security {
    /// The client binds.
    pub(super) fn bind(&mut self, header: &Header, pdu: &[u8]) {
        self.trailer = trailer(header, pdu);
    }

    /// The last message of the client's logon.
    pub(super) fn authenticate(&mut self, header: &Header, pdu: &[u8], keys: Option<&dyn CallKeys>) {
        let token = pdu.len().saturating_sub(header.auth_length.into());
        self.signatures = keys.map(|keys| keys.signatures(pdu.get(token..).unwrap_or_default()));
    }

    /// Whether calls of our own can be protected as the client's first call is; the error is a sentence.
    pub(super) fn judge(&mut self, pdu: &Pdu<'_>, bytes: &[u8]) -> Result<(), String> {
        let Some(security) = &pdu.security else {
            self.trailer = None;
            return Ok(());
        };
        let found = trailer(&pdu.header, bytes);
        let name =
            |code: &crate::wire::named::Code| code.name.clone().unwrap_or_else(|| code.value.to_string());
        let how = format!("{}, {}", name(&security.authentication), name(&security.level));
        let is_signed =
            found.is_some_and(|it| it.authentication == WINNT && SIGNED_LEVELS.contains(&it.level));
        if !is_signed || security.token_length != TOKEN_LENGTH {
            return Err(format!(
                "the client protects its calls to the gateway with a key that only those two know ({how}), so that \
                 what is in them cannot be rewritten; {ANOTHER_WAY}"
            ));
        }
        self.trailer = found;
        let signatures = match &mut self.signatures {
            None => {
                return Err(format!(
                    "the client signs its calls to the gateway with a key that only those two know ({how}), so that \
                     what is in them cannot be rewritten without its account: --gateway-credentials FILE names that, and \
                     {ANOTHER_WAY}"
                ));
            }
            Some(Err(reason)) => return Err(format!("{reason}; {ANOTHER_WAY}")),
            Some(Ok(signatures)) => signatures,
        };
        let (signed, token) = bytes.split_at(bytes.len() - TOKEN_LENGTH);
        if signatures.token(Side::Client, signed) == token {
            return Ok(());
        }
        Err(format!(
            "the client's first call to the gateway is not signed with the key that the account in --gateway-credentials \
             has: it logs on with another password or another user name; {ANOTHER_WAY}"
        ))
    }

    /// What stands at the end of our PDUs.
    pub(super) fn trailer(&self) -> Option<Trailer> {
        self.trailer
    }

    /// Signs a PDU that ends with the room for a token.
    pub(super) fn sign(&mut self, from: Side, pdu: &mut [u8]) {
        let (Some(_), Some(Ok(signatures))) = (self.trailer, &mut self.signatures) else { return };
        let Some((signed, token)) = pdu.split_last_chunk_mut::<TOKEN_LENGTH>() else { return };
        *token = signatures.token(from, signed);
    }
}

/// sec_trailer (MS-RPCE 2.2.2.11).
fn trailer(header: &Header, pdu: &[u8]) -> Option<Trailer> {
    const LENGTH: usize = 8;
    let token = usize::from(header.auth_length);
    let start = pdu.len().checked_sub(token + LENGTH).filter(|_| token > 0)?;
    let [authentication, level, _, _, context @ ..] = *pdu.get(start..)?.first_chunk::<LENGTH>()?;
    Some(Trailer { authentication, level, context_id: u32::from_le_bytes(context) })
}

/// Whether a PDU of this kind carries a signature and no step of a logon.
pub(super) fn is_signed(header: &Header) -> bool {
    header.auth_length > 0 && !matches!(header.pdu_type, rpc::BIND..=rpc::AUTH_3)
}
