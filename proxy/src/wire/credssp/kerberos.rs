//! What a Kerberos token shows in clear (RFC 4121 4.1, RFC 4120).

use crate::wire::named::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Kerberos token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum KerberosToken {
    /// AP-REQ: the ticket's realm and service are in clear, the rest is a secret.
    ApReq {
        /// The ticket's realm.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        realm: Option<String>,
        /// The ticket's service, `TERMSRV/name`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// The encryption type of the ticket.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encryption_type: Option<Code>,
    },
    /// AP-REP.
    ApRep,
    /// KRB-ERROR.
    Error {
        /// error-code.
        code: Code,
    },
    /// A token of another kind, as user-to-user has them: TOK_ID.
    Other {
        /// TOK_ID.
        token_id: u16,
    },
}
