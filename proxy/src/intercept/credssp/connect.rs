//! The client of CredSSP, towards the server (MS-CSSP 3.1.5).

use super::binding::{Binding, FIRST_WITH_HASH};
use super::conversation::Conversation;
use super::credentials::Credentials;
use super::error::{CredsspError, Step};
use super::ntlm::Fault;
use super::seal::Session;
use super::spnego::{self, Offer, Response, State};
use super::ts_credentials;
use super::ts_request::{Message, NONCE_LENGTH};
use super::{CredsspTap, Mechanism, kerberos, ntlm};
use crate::trace::Side;
use crate::wire::credssp::kerberos::KerberosToken;
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

/// A server that has let us log on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The version both spoke.
    pub version: u32,
    /// How it was proven who we are.
    pub mechanism: Mechanism,
    /// Why that was not Kerberos; `None` where it was.
    pub not_kerberos: Option<String>,
}

/// Plays the client of CredSSP on a TLS `stream` until the credentials are handed over; nothing beyond the server's
/// last message is read. The caller sets a time limit, and reads the Early User Authorization Result after it.
///
/// `public_key` is the content of subjectPublicKey in the server's certificate, `target` its service principal name,
/// `TERMSRV/host`. Before the first message the user's realm is asked for a ticket to it; without one it is NTLM.
///
/// # Errors
/// The realm or the server refuses the credentials, the server refuses the version, cannot prove its TLS key, breaks
/// the protocol or closes.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    public_key: &[u8],
    credentials: &Credentials,
    target: &str,
    tap: &mut impl CredsspTap,
) -> Result<Connected, CredsspError> {
    let mut server = Conversation::new(Side::Server, stream, tap);
    let mut proven = prove(&mut server, credentials, target).await?;
    bind(&mut server, public_key, &mut proven).await?;

    server.step = Step::Delegation;
    let auth_info = proven.context.seal(&ts_credentials::encode(credentials));
    let auth_info = auth_info.map_err(|fault| of_fault(&server, fault))?;
    server.send(&Message { auth_info: Some(auth_info), ..Message::new() }).await?;
    let Proven { mechanism, not_kerberos, .. } = proven;
    Ok(Connected { version: server.version(), mechanism, not_kerberos })
}

/// What seals the rest, once the server has taken us for the user or will with the last token.
struct Proven {
    context: Context,
    mechanism: Mechanism,
    not_kerberos: Option<String>,
    /// The last token, which goes with pubKeyAuth.
    token: Option<Vec<u8>>,
}

enum Context {
    Ntlm(Box<Session>),
    Kerberos(Box<kerberos::Context>),
}

impl Context {
    fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        match self {
            Context::Ntlm(session) => Ok(session.seal(message)),
            Context::Kerberos(context) => context.seal(message),
        }
    }

    fn open(&mut self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Context::Ntlm(session) => session.open(sealed),
            Context::Kerberos(context) => context.open(sealed),
        }
    }
}

/// Proves who we are: by Kerberos with a ticket, by NTLM without.
async fn prove<S, T>(
    server: &mut Conversation<'_, S, T>,
    credentials: &Credentials,
    target: &str,
) -> Result<Proven, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let refusal = match kerberos::Client::new(credentials, target).await {
        Ok((client, ap_req)) => {
            let offer = Offer::of_kerberos(&ap_req);
            server.send(&with_token(offer.token)).await?;
            let reply = token(server).await?;
            let reply = Response::decode(&reply).map_err(|source| of_fault(server, source.into()))?;
            if reply.chooses_ntlm {
                let client = ntlm::Client::new(credentials, target);
                return by_ntlm_in_spnego(server, client, &offer.mechanism_list).await;
            }
            return by_kerberos(server, client, &reply);
        }
        Err(refusal) => refusal,
    };
    if let Some((code, realm)) = refusal.of_the_user() {
        return Err(CredsspError::KerberosUser { realm: realm.to_owned(), code });
    }
    by_ntlm(server, ntlm::Client::new(credentials, target), refusal.to_string()).await
}

/// Ends Kerberos with the server's first answer.
fn by_kerberos<S, T>(
    server: &mut Conversation<'_, S, T>,
    client: kerberos::Client,
    reply: &Response<'_>,
) -> Result<Proven, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    server.step = Step::Authentication;
    let token = reply.token.unwrap_or_default();
    if let Some(KerberosToken::Error { code }) = KerberosToken::decode(token) {
        return Err(CredsspError::KerberosTicket { code: code.value });
    }
    if reply.state == Some(State::Reject) {
        return Err(server.unexpected("it rejected Kerberos as well as NTLM"));
    }
    let context = client.establish(token).map_err(|fault| of_fault(server, fault))?;
    let token = match reply.state {
        Some(State::AcceptIncomplete) => Some(spnego::response(State::AcceptCompleted, None, None, None)),
        Some(State::RequestMic) => {
            return Err(server.unexpected("it asked for a mechListMIC over its own first choice"));
        }
        _ => None,
    };
    let context = Context::Kerberos(Box::new(context));
    Ok(Proven { context, mechanism: Mechanism::Kerberos, not_kerberos: None, token })
}

/// NTLM as the server chose it from our list, whose signature shows that nobody changed the list on the way.
async fn by_ntlm_in_spnego<S, T>(
    server: &mut Conversation<'_, S, T>,
    mut client: ntlm::Client,
    mechanism_list: &[u8],
) -> Result<Proven, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let negotiate = client.negotiate().map_err(|fault| of_fault(server, fault))?;
    server.send(&with_token(spnego::continuation(&negotiate, None))).await?;
    let reply = token(server).await?;
    let reply = Response::decode(&reply).map_err(|source| of_fault(server, source.into()))?;
    let challenge = reply.token.ok_or_else(|| server.unexpected("it sent no challenge"))?;

    server.step = Step::Authentication;
    let (authenticate, mut session) =
        client.authenticate(challenge).map_err(|fault| of_fault(server, fault))?;
    let mic = session.sign_mechanism_list(mechanism_list);
    server.send(&with_token(spnego::continuation(&authenticate, Some(&mic)))).await?;
    let reply = token(server).await?;
    let reply = Response::decode(&reply).map_err(|source| of_fault(server, source.into()))?;
    if !reply.mic.is_some_and(|mic| session.verifies_mechanism_list(mechanism_list, mic)) {
        return Err(server.unexpected("its mechListMIC does not fit our list of mechanisms"));
    }
    let context = Context::Ntlm(Box::new(session));
    let not_kerberos = Some("the server chose NTLM though it was offered a ticket".to_owned());
    Ok(Proven { context, mechanism: Mechanism::SpnegoNtlm, not_kerberos, token: None })
}

/// NTLM without an envelope.
async fn by_ntlm<S, T>(
    server: &mut Conversation<'_, S, T>,
    mut client: ntlm::Client,
    not_kerberos: String,
) -> Result<Proven, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let negotiate = client.negotiate().map_err(|fault| of_fault(server, fault))?;
    server.send(&with_token(negotiate)).await?;
    let challenge = token(server).await?;
    if !ntlm::is_bare(&challenge) {
        return Err(CredsspError::NoNtlm { side: Side::Server });
    }
    server.step = Step::Authentication;
    let (authenticate, session) = client.authenticate(&challenge).map_err(|fault| of_fault(server, fault))?;
    let context = Context::Ntlm(Box::new(session));
    let (mechanism, not_kerberos) = (Mechanism::Ntlm, Some(not_kerberos));
    Ok(Proven { context, mechanism, not_kerberos, token: Some(authenticate) })
}

/// Binds the logon to the key of TLS: shows ours, checks the server's.
async fn bind<S, T>(
    server: &mut Conversation<'_, S, T>,
    public_key: &[u8],
    proven: &mut Proven,
) -> Result<(), CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let version = server.version();
    let mut nonce = [0; NONCE_LENGTH];
    super::fill_with_random(&mut nonce).map_err(|what| of_fault(server, Fault::Library(what)))?;
    let nonce = (version >= FIRST_WITH_HASH).then_some(nonce);
    let binding = Binding::new(version, public_key, nonce);
    let binding = binding.ok_or_else(|| server.unexpected("its version needs a nonce"))?;
    let sealed = proven.context.seal(&binding.of_client()).map_err(|fault| of_fault(server, fault))?;
    server
        .send(&Message {
            nego_token: proven.token.take(),
            pub_key_auth: Some(sealed),
            client_nonce: nonce,
            ..Message::new()
        })
        .await?;

    let answer = server.receive().await?.pub_key_auth;
    server.step = Step::KeyBinding;
    let answer = answer.ok_or_else(|| server.unexpected("it sent no pubKeyAuth"))?;
    let opened = proven.context.open(&answer);
    let opened = opened.ok_or_else(|| server.unexpected("its pubKeyAuth was altered on the way"))?;
    if *opened == binding.of_server() { Ok(()) } else { Err(CredsspError::KeyBinding { side: Side::Server }) }
}

/// The token of the server's next message.
async fn token<S, T>(server: &mut Conversation<'_, S, T>) -> Result<Vec<u8>, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let token = server.receive().await?.nego_token;
    token.ok_or_else(|| server.unexpected("it sent no token"))
}

fn with_token(token: Vec<u8>) -> Message {
    Message { nego_token: Some(token), ..Message::new() }
}

fn of_fault<S, T>(server: &Conversation<'_, S, T>, fault: Fault) -> CredsspError {
    CredsspError::of_ntlm(fault, server.side, server.step)
}
