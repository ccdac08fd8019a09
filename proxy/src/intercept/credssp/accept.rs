//! The server of CredSSP, towards the client (MS-CSSP 3.1.5).

use super::binding::Binding;
use super::conversation::Conversation;
use super::credentials::Credentials;
use super::error::{CredsspError, Step};
use super::ntlm::{self, Names};
use super::seal::Session;
use super::spnego::{self, State};
use super::ts_credentials::{self, Delegation};
use super::ts_request::Message;
use super::{CredsspTap, Mechanism};
use crate::trace::Side;
use tokio::io::{AsyncRead, AsyncWrite};

/// A client that has logged on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The version both spoke.
    pub version: u32,
    /// How NTLM was wrapped.
    pub mechanism: Mechanism,
    /// The user name as the client sent it.
    pub user: String,
    /// The domain as the client sent it, perhaps empty.
    pub domain: String,
    /// What it delegated.
    pub delegation: Delegation,
}

/// Plays the server of CredSSP on a TLS `stream` until the client has delegated its credentials; nothing beyond its
/// last message is read. The caller sets a time limit, and sends the Early User Authorization Result after it.
///
/// `public_key` is the content of subjectPublicKey in the certificate that the client was shown.
///
/// # Errors
/// The client logs on as another user or with another password than `credentials`, offers no NTLM, sees another TLS
/// key, breaks the protocol or closes. Where its version knows errorCode it is told.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    public_key: &[u8],
    credentials: &Credentials,
    tap: &mut impl CredsspTap,
) -> Result<Accepted, CredsspError> {
    let mut client = Conversation::new(Side::Client, stream, tap);
    let accepted = log_on(&mut client, public_key, credentials).await;
    if let Err(error) = &accepted {
        client.refuse(error).await;
    }
    accepted
}

async fn log_on<S, T>(
    client: &mut Conversation<'_, S, T>,
    public_key: &[u8],
    credentials: &Credentials,
) -> Result<Accepted, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let mut server = ntlm::Server::new();
    let (negotiate, mut envelope) = first_token(client).await?;
    let challenge = server.challenge(&negotiate).map_err(|fault| of_ntlm(client, fault))?;
    client.send(&token(envelope.challenge(&challenge))).await?;

    client.step = Step::Authentication;
    let mut request = client.receive().await?;
    let last = request.nego_token.take().ok_or_else(|| client.unexpected("it sent no token"))?;
    let (authenticate, mic) = envelope.open_last(&last).map_err(|source| malformed(client, source))?;
    let names = ntlm::names(authenticate).map_err(|fault| of_ntlm(client, fault))?;
    if !credentials.is_user(&names.user) {
        let expected = credentials.user().to_owned();
        return Err(CredsspError::OtherUser { user: names.user, expected });
    }
    let session = server.authenticate(authenticate, &names, credentials);
    let mut session = session.map_err(|fault| of_ntlm(client, fault))?;
    let answer = envelope.complete(&mut session, mic).map_err(|what| client.unexpected(what))?;

    client.step = Step::KeyBinding;
    let mut reply = Message { nego_token: answer, ..Message::new() };
    if request.pub_key_auth.is_none() {
        if reply.nego_token.is_none() {
            return Err(client.unexpected("it sent no pubKeyAuth"));
        }
        client.send(&reply).await?;
        request = client.receive().await?;
        reply.nego_token = None;
    }
    let bound = bind(client, &request, public_key, &mut session, &names)?;
    client.send(&Message { pub_key_auth: Some(bound), ..reply }).await?;

    client.step = Step::Delegation;
    let request = client.receive().await?;
    let delegation = delegated(client, &request, &mut session)?;
    let mechanism = envelope.mechanism();
    Ok(Accepted { version: client.version(), mechanism, user: names.user, domain: names.domain, delegation })
}

/// How the client wraps NTLM's messages.
enum Envelope {
    Bare,
    Spnego {
        /// What mechListMIC is computed over.
        mechanism_list: Vec<u8>,
        /// Whether NTLM is not the client's first choice, so that mechListMIC must come.
        needs_mic: bool,
        /// Whether the client was told which mechanism it is.
        is_named: bool,
    },
}

impl Envelope {
    fn mechanism(&self) -> Mechanism {
        match self {
            Envelope::Bare => Mechanism::Ntlm,
            Envelope::Spnego { .. } => Mechanism::SpnegoNtlm,
        }
    }

    fn challenge(&mut self, challenge: &[u8]) -> Vec<u8> {
        match self {
            Envelope::Bare => challenge.to_vec(),
            Envelope::Spnego { is_named, .. } => {
                let names_mechanism = !std::mem::replace(is_named, true);
                spnego::response(State::AcceptIncomplete, names_mechanism, Some(challenge), None)
            }
        }
    }

    /// AUTHENTICATE, and mechListMIC where there is one.
    fn open_last<'t>(&self, token: &'t [u8]) -> Result<(&'t [u8], Option<&'t [u8]>), crate::wire::Malformed> {
        match self {
            Envelope::Bare => Ok((token, None)),
            Envelope::Spnego { .. } => {
                let response = spnego::Response::decode(token)?;
                Ok((response.token.unwrap_or_default(), response.mic))
            }
        }
    }

    /// The last token of the negotiation, where there is one: it repeats the client's mechListMIC with our key.
    fn complete(&self, session: &mut Session, mic: Option<&[u8]>) -> Result<Option<Vec<u8>>, &'static str> {
        let Envelope::Spnego { mechanism_list, needs_mic, .. } = self else { return Ok(None) };
        let ours = match mic {
            Some(mic) if session.verifies_mechanism_list(mechanism_list, mic) => {
                Some(session.sign_mechanism_list(mechanism_list))
            }
            Some(_) => return Err("its mechListMIC does not fit its list of mechanisms"),
            None if *needs_mic => return Err("it sent no mechListMIC, though NTLM is not its first choice"),
            None => None,
        };
        let mic = ours.as_ref().map(<[u8; 16]>::as_slice);
        Ok(Some(spnego::response(State::AcceptCompleted, false, None, mic)))
    }
}

/// The client's first NTLM message, for which it may have to be told that we can do no other mechanism.
async fn first_token<S, T>(client: &mut Conversation<'_, S, T>) -> Result<(Vec<u8>, Envelope), CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let no_token = "it sent no token";
    let first = client.receive().await?.nego_token.ok_or_else(|| client.unexpected(no_token))?;
    if ntlm::is_bare(&first) {
        return Ok((first, Envelope::Bare));
    }
    if !spnego::is_init(&first) {
        return Err(client.unexpected("its first token is neither NTLM nor SPNEGO"));
    }
    let init = spnego::Init::decode(&first).map_err(|source| malformed(client, source))?;
    if !init.offers_ntlm {
        let rejection = spnego::response(State::Reject, false, None, None);
        client.send(&token(rejection)).await?;
        return Err(CredsspError::NoNtlm { side: Side::Client });
    }
    let needs_mic = !init.prefers_ntlm;
    let mechanism_list = init.mechanism_list;
    if let (true, Some(negotiate)) = (init.prefers_ntlm, init.token) {
        let envelope = Envelope::Spnego { mechanism_list, needs_mic, is_named: false };
        return Ok((negotiate.to_vec(), envelope));
    }
    let state = if needs_mic { State::RequestMic } else { State::AcceptIncomplete };
    client.send(&token(spnego::response(state, true, None, None))).await?;
    let second = client.receive().await?.nego_token.ok_or_else(|| client.unexpected(no_token))?;
    let response = spnego::Response::decode(&second).map_err(|source| malformed(client, source))?;
    let negotiate = response.token.ok_or_else(|| client.unexpected(no_token))?;
    Ok((negotiate.to_vec(), Envelope::Spnego { mechanism_list, needs_mic, is_named: true }))
}

/// Checks the client's pubKeyAuth and makes ours.
fn bind<S, T>(
    client: &Conversation<'_, S, T>,
    request: &Message,
    public_key: &[u8],
    session: &mut Session,
    names: &Names,
) -> Result<Vec<u8>, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let binding = Binding::new(client.version(), public_key, request.client_nonce);
    let binding = binding.ok_or_else(|| client.unexpected("it sent no clientNonce"))?;
    let sealed = request.pub_key_auth.as_deref();
    let sealed = sealed.ok_or_else(|| client.unexpected("it sent no pubKeyAuth"))?;
    // Without a MIC in AUTHENTICATE, this is the first thing that only the right password can make.
    let opened = session.open(sealed);
    let opened = opened.ok_or_else(|| CredsspError::WrongPassword { user: names.user.clone() })?;
    if *opened != binding.of_client() {
        return Err(CredsspError::KeyBinding { side: Side::Client });
    }
    Ok(session.seal(&binding.of_server()))
}

/// What the client's authInfo delegates.
fn delegated<S, T>(
    client: &Conversation<'_, S, T>,
    request: &Message,
    session: &mut Session,
) -> Result<Delegation, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let sealed = request.auth_info.as_deref();
    let sealed = sealed.ok_or_else(|| client.unexpected("it sent no authInfo"))?;
    let opened = session.open(sealed);
    let opened = opened.ok_or_else(|| client.unexpected("its authInfo was altered on the way"))?;
    ts_credentials::delegation(&opened).map_err(|source| malformed(client, source))
}

fn token(token: Vec<u8>) -> Message {
    Message { nego_token: Some(token), ..Message::new() }
}

fn malformed<S, T>(client: &Conversation<'_, S, T>, source: crate::wire::Malformed) -> CredsspError {
    CredsspError::Malformed { side: client.side, step: client.step, source }
}

fn of_ntlm<S, T>(client: &Conversation<'_, S, T>, fault: ntlm::Fault) -> CredsspError {
    CredsspError::of_ntlm(fault, client.side, client.step)
}
