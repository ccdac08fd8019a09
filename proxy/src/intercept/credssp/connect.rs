//! The client of CredSSP, towards the server (MS-CSSP 3.1.5).

use super::CredsspTap;
use super::binding::{Binding, FIRST_WITH_HASH};
use super::conversation::Conversation;
use super::credentials::Credentials;
use super::error::{CredsspError, Step};
use super::ntlm;
use super::ts_credentials;
use super::ts_request::{Message, NONCE_LENGTH};
use crate::trace::Side;
use tokio::io::{AsyncRead, AsyncWrite};

/// A server that has let us log on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The version both spoke.
    pub version: u32,
}

/// Plays the client of CredSSP on a TLS `stream` until the credentials are handed over; nothing beyond the server's
/// last message is read. The caller sets a time limit, and reads the Early User Authorization Result after it.
///
/// `public_key` is the content of subjectPublicKey in the server's certificate, `target` its service principal name,
/// `TERMSRV/host`.
///
/// # Errors
/// The server refuses the credentials or the version, cannot prove its TLS key, breaks the protocol or closes.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    public_key: &[u8],
    credentials: &Credentials,
    target: &str,
    tap: &mut impl CredsspTap,
) -> Result<Connected, CredsspError> {
    let mut server = Conversation::new(Side::Server, stream, tap);
    let mut client = ntlm::Client::new(credentials, target);
    let of_ntlm = |fault, step| CredsspError::of_ntlm(fault, Side::Server, step);
    let negotiate = client.negotiate().map_err(|fault| of_ntlm(fault, server.step))?;
    server.send(&Message { nego_token: Some(negotiate), ..Message::new() }).await?;
    let challenge = server.receive().await?.nego_token;
    let challenge = challenge.ok_or_else(|| server.unexpected("it sent no token"))?;
    if !ntlm::is_bare(&challenge) {
        return Err(CredsspError::NoNtlm { side: Side::Server });
    }

    server.step = Step::Authentication;
    let (authenticate, mut session) =
        client.authenticate(&challenge).map_err(|fault| of_ntlm(fault, server.step))?;
    let version = server.version();
    let nonce =
        nonce().map_err(|what| CredsspError::Library { side: Side::Server, step: server.step, what })?;
    let nonce = (version >= FIRST_WITH_HASH).then_some(nonce);
    let binding = Binding::new(version, public_key, nonce);
    let binding = binding.ok_or_else(|| server.unexpected("its version needs a nonce"))?;
    server
        .send(&Message {
            nego_token: Some(authenticate),
            pub_key_auth: Some(session.seal(&binding.of_client())),
            client_nonce: nonce,
            ..Message::new()
        })
        .await?;

    let answer = server.receive().await?.pub_key_auth;
    server.step = Step::KeyBinding;
    let answer = answer.ok_or_else(|| server.unexpected("it sent no pubKeyAuth"))?;
    let opened = session.open(&answer);
    let opened = opened.ok_or_else(|| server.unexpected("its pubKeyAuth was altered on the way"))?;
    if *opened != binding.of_server() {
        return Err(CredsspError::KeyBinding { side: Side::Server });
    }

    server.step = Step::Delegation;
    let auth_info = session.seal(&ts_credentials::encode(credentials));
    server.send(&Message { auth_info: Some(auth_info), ..Message::new() }).await?;
    Ok(Connected { version })
}

/// A clientNonce, from the same generator that TLS uses.
fn nonce() -> Result<[u8; NONCE_LENGTH], String> {
    let mut nonce = [0; NONCE_LENGTH];
    let filled = rustls::crypto::ring::default_provider().secure_random.fill(&mut nonce);
    filled.map_err(|_| "the system has no random numbers".to_owned())?;
    Ok(nonce)
}
