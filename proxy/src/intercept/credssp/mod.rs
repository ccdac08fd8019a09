//! CredSSP with rdpscope as a party on both legs (`--nla terminate`; MS-CSSP).
//!
//! CredSSP binds the logon to the key of TLS, so it cannot pass through a proxy that shows another key. Here rdpscope
//! is the server of one CredSSP ([`accept`]) and the client of another ([`connect`]), with credentials that it was
//! given ([`Credentials`]). NTLM proves a password to those only who know it too: the client must log on with the same
//! user name and password.
//!
//! What is offered: versions 2 to 6. Towards the server Kerberos, where the user's realm gives a ticket for the server's
//! name, and NTLM otherwise: in SPNEGO where the server takes the ticket for none, else bare, as `mstsc` sends it where
//! Kerberos is not possible. Towards the client Kerberos, where it brings a ticket and rdpscope was given the server's
//! own service key, without which the ticket cannot be read (`service`), and NTLM otherwise, bare or in SPNEGO. Where the
//! client begins with user-to-user, as `mstsc` does, the key is used to ask the KDC for what that needs
//! (`user_to_user`), and where the KDC gives none, it is Kerberos without it if the client lists that, too. A client that
//! allows Kerberos only is told why it is not possible. With Kerberos the client proves who it is by its ticket, and need
//! not know the password that rdpscope was given; it must be the same user, of the same realm.
//!
//! The `sspi` crate makes and checks the messages of NTLM, and of Kerberos towards the server, after `ntlm` and
//! `kerberos_shape` have found their shape sound; everything else that comes from the wire is read by the modules here,
//! and none of it panics.

mod accept;
mod ap_rep;
mod ap_req;
mod as_rep;
mod binding;
mod call_keys;
mod connect;
mod conversation;
mod credentials;
mod der;
mod early_user_authorization;
mod error;
mod kdc;
mod kerberos;
mod kerberos_key;
mod kerberos_shape;
mod keytab;
mod ntlm;
mod refusal;
mod seal;
mod service;
mod spnego;
mod ts_credentials;
mod ts_request;
mod user_to_user;
mod wrap;

#[cfg(test)]
mod tests;

pub use accept::{Accepted, accept};
pub use connect::{Connected, connect};
pub use credentials::{Credentials, CredentialsError, KeytabProblem};
pub use early_user_authorization::{
    EarlyUserAuthorization, read_early_user_authorization, send_early_user_authorization,
};
pub use error::{CredsspError, Step};
pub use ts_credentials::Delegation;

/// Where each message of a leg goes as it passes, whole: to the observers, which keep no secret of it.
pub trait CredsspTap {
    /// One TSRequest or Early User Authorization Result, as on the wire; `from_us` when rdpscope sends it.
    fn message(&mut self, from_us: bool, bytes: &[u8]);
}

/// Which mechanism it was, and how its tokens were wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// NTLM messages as they are.
    Ntlm,
    /// NTLM in SPNEGO (MS-SPNG).
    SpnegoNtlm,
    /// Kerberos in SPNEGO.
    Kerberos,
}

/// Fills `bytes` from the same generator that TLS uses; the error is in words.
fn fill_with_random(bytes: &mut [u8]) -> Result<(), String> {
    let filled = rustls::crypto::ring::default_provider().secure_random.fill(bytes);
    filled.map_err(|_| "the system has no random numbers".to_owned())
}
