//! Why there is no ticket for the server.

use crate::wire::Malformed;
use crate::wire::credssp::kerberos::ERROR_CODES;
use std::io;

/// Why there is no ticket: a part of a sentence that begins with "by NTLM, as …".
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The user's realm is not known.
    #[error("the user name has no realm; for Kerberos write user@domain, or add a line 'realm = …'")]
    NoRealm,
    /// The credentials forbid it.
    #[error("the credentials say 'kdc = none'")]
    Forbidden,
    /// Nobody knows a KDC.
    #[error("no KDC of realm {realm} is known; for Kerberos add a line 'kdc = …' to the credentials")]
    NoKdc {
        /// The user's realm.
        realm: String,
    },
    /// The system's settings name one that is not spoken to by TCP.
    #[error("the KDC {kdc} is set to another protocol than TCP; add a line 'kdc = …' to the credentials")]
    NotTcp {
        /// Its address.
        kdc: String,
    },
    /// It cannot be reached.
    #[error("the KDC {kdc} gives no answer: {source}; look at its address and at what is between")]
    Unreachable {
        /// Its address.
        kdc: String,
        /// What the system said.
        source: io::Error,
    },
    /// It answers what no KDC does.
    #[error("the KDC {kdc} gave a broken answer: {source}; look whether it is a KDC")]
    Malformed {
        /// Its address.
        kdc: String,
        /// Where it broke.
        source: Malformed,
    },
    /// It refuses.
    #[error("the KDC of realm {realm} refused with {}{}", name(*.code), hint(*.code))]
    Kdc {
        /// The user's realm.
        realm: String,
        /// error-code (RFC 4120 7.5.9).
        code: u32,
    },
    /// The library cannot go on.
    #[error("rdpscope's Kerberos cannot go on with what the KDC answered ({0})")]
    Library(String),
}

impl Refusal {
    /// KDC_ERR_C_PRINCIPAL_UNKNOWN.
    pub(super) const UNKNOWN_USER: u32 = 6;

    /// error-code and realm where the realm knows the user and does not let him in: NTLM would be refused for the same
    /// reason, and count as one more wrong password.
    pub(super) fn of_the_user(&self) -> Option<(u32, &str)> {
        const CLIENT_REVOKED: u32 = 18;
        const KEY_EXPIRED: u32 = 23;
        const PREAUTH_FAILED: u32 = 24;
        match self {
            Refusal::Kdc { code: code @ (CLIENT_REVOKED | KEY_EXPIRED | PREAUTH_FAILED), realm } => {
                Some((*code, realm))
            }
            _ => None,
        }
    }
}

/// error-code with its name.
pub(super) fn name(code: u32) -> String {
    named(code, ERROR_CODES, "error")
}

/// A number with its name in `table`; where it has none, with the word for what it is.
pub(super) fn named(number: u32, table: &[(u32, &str)], word: &str) -> String {
    match table.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => format!("{name} ({number})"),
        None => format!("{word} {number}"),
    }
}

/// What it mostly means.
pub(super) fn hint(code: u32) -> &'static str {
    match code {
        Refusal::UNKNOWN_USER => ": the realm does not know the user",
        7 => {
            ": the realm has no such service principal name; use the server's full name as the target, or register it with setspn"
        }
        14 => ": the realm and rdpscope have no encryption in common, rdpscope takes AES only",
        18 => ": the account is disabled or locked",
        23 => ": the password has expired",
        24 => ": the password is wrong",
        37 => ": the clocks are apart",
        41 => {
            ": the server's key is not the one of its service principal name, which perhaps another account has"
        }
        68 => ": the user is in another realm",
        _ => "",
    }
}
