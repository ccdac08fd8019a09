//! The server of CredSSP, towards the client (MS-CSSP 3.1.5).

use super::binding::Binding;
use super::conversation::Conversation;
use super::credentials::Credentials;
use super::error::{CredsspError, Step};
use super::kerberos_key::Key;
use super::ntlm::{self, Fault, Names};
use super::seal::Session;
use super::service::{Denial, Established, Refused, Service, Unreadable};
use super::spnego::{self, Init, NTLMSSP, Response, State, USER_TO_USER};
use super::ts_credentials::{self, Delegation};
use super::ts_request::Message;
use super::user_to_user::{self, Granting};
use super::{CredsspTap, Mechanism, wrap};
use crate::trace::Side;
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

const NO_TOKEN: &str = "it sent no token";
const WRONG_MIC: &str = "its mechListMIC does not fit its list of mechanisms";

/// A client that has logged on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The version both spoke.
    pub version: u32,
    /// How it has proven who it is.
    pub mechanism: Mechanism,
    /// The same in words, "by …"; where it was NTLM, with the reason.
    pub how: String,
    /// The user name as the client sent it, or its ticket has it.
    pub user: String,
    /// The domain as the client sent it, perhaps empty, or the realm of its ticket.
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
/// The client logs on as another user or with another password than `credentials`, offers neither NTLM nor a ticket that
/// can be read, brings a ticket that is refused, sees another TLS key, breaks the protocol or closes. Where its version knows errorCode it is told.
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
    let Proven { mut context, mechanism, names, how, mut token, mut request } =
        prove(client, credentials).await?;
    client.step = Step::KeyBinding;
    if request.pub_key_auth.is_none() {
        let Some(token) = token.take() else {
            return Err(client.unexpected("it sent no pubKeyAuth"));
        };
        client.send(&with_token(token)).await?;
        request = client.receive().await?;
    }
    let bound = bind(client, &request, public_key, &mut context, &names)?;
    client.send(&Message { nego_token: token, pub_key_auth: Some(bound), ..Message::new() }).await?;

    client.step = Step::Delegation;
    let request = client.receive().await?;
    let delegation = delegated(client, &request, &mut context)?;
    let (version, Names { user, domain }) = (client.version(), names);
    Ok(Accepted { version, mechanism, how, user, domain, delegation })
}

/// A client that has proven who it is, or whose pubKeyAuth will.
struct Proven {
    context: Context,
    mechanism: Mechanism,
    names: Names,
    how: String,
    /// Our last token, which goes with pubKeyAuth, or before it where the client has not sent its own.
    token: Option<Vec<u8>>,
    /// The client's last message, in which its pubKeyAuth may be.
    request: Message,
}

impl Proven {
    fn of(established: Established, token: Option<Vec<u8>>, request: Message) -> Self {
        let Established { client, service, context, .. } = established;
        Proven {
            context: Context::Kerberos(Box::new(context)),
            mechanism: Mechanism::Kerberos,
            names: Names { user: client.name, domain: client.realm },
            how: format!("by Kerberos, with its ticket for {service}"),
            token,
            request,
        }
    }
}

enum Context {
    Ntlm(Box<Session>),
    Kerberos(Box<wrap::Context>),
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

/// Has the client prove who it is: by Kerberos with a ticket that we can read, by NTLM without.
async fn prove<S, T>(
    client: &mut Conversation<'_, S, T>,
    credentials: &Credentials,
) -> Result<Proven, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let first = token(client).await?;
    let no_ticket = credentials.service().err().unwrap_or(Unreadable::NoTicket);
    if ntlm::is_bare(&first) {
        return by_ntlm(client, first, Envelope::Bare, credentials, &no_ticket).await;
    }
    if !spnego::is_init(&first) {
        return Err(client.unexpected("its first token is neither NTLM nor SPNEGO"));
    }
    let init = Init::decode(&first).map_err(|source| of_fault(client, source.into()))?;
    let unreadable = match credentials.service() {
        Ok(service) => match by_any_kerberos(client, service, credentials, &init).await? {
            Ok(proven) => return Ok(proven),
            Err(unreadable) => unreadable,
        },
        Err(no_keytab) => no_keytab,
    };
    if !init.offers_ntlm {
        return Err(rejected(client, init.token.map(|_| (unreadable, "the client offers none"))).await?);
    }
    let (negotiate, envelope) = ntlm_in_spnego(client, &init).await?;
    by_ntlm(client, negotiate, envelope, credentials, &unreadable).await
}

/// Tells the client that there is no mechanism; the answer is the error for that, of which `why` says more where it
/// brought a token for one.
async fn rejected<S, T>(
    client: &mut Conversation<'_, S, T>,
    why: Option<(Unreadable, &'static str)>,
) -> Result<CredsspError, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    client.send(&with_token(spnego::response(State::Reject, None, None, None))).await?;
    Ok(match why {
        Some((unreadable, no_ntlm)) => {
            CredsspError::TicketUnreadable { reason: unreadable.to_string(), no_ntlm }
        }
        None => CredsspError::NoNtlm { side: Side::Client },
    })
}

/// Kerberos of the kind that the client puts first, or that it lists after. Inside is why none is possible, which the
/// client is not told yet.
async fn by_any_kerberos<S, T>(
    client: &mut Conversation<'_, S, T>,
    service: &Service,
    credentials: &Credentials,
    init: &Init<'_>,
) -> Result<Result<Proven, Unreadable>, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let mut unreadable = Unreadable::NoTicket;
    if let Some(token) = init.token.filter(|_| init.prefers_kerberos || init.first == USER_TO_USER) {
        let asked_for = user_to_user::asked_for(token).map_err(|source| of_fault(client, source.into()))?;
        unreadable = match asked_for {
            Some(name) => match granted(service, credentials, &name).await {
                Ok(granting) => {
                    return by_user_to_user(client, service, credentials, init, &granting).await.map(Ok);
                }
                Err(unreadable) => unreadable,
            },
            None => match established(client, service, None, credentials, init.first, token).await? {
                Ok(established) => return Ok(Ok(by_kerberos(established, init.first))),
                Err(unreadable) => unreadable,
            },
        };
    }
    match init.kerberos {
        Some(mechanism) if !init.prefers_kerberos && !init.prefers_ntlm => {
            by_kerberos_in_spnego(client, service, credentials, mechanism, &init.mechanism_list).await.map(Ok)
        }
        _ => Ok(Err(unreadable)),
    }
}

/// The ticket-granting ticket of the account that has the service.
async fn granted(service: &Service, credentials: &Credentials, name: &str) -> Result<Granting, Unreadable> {
    let (account, key) = service.account(name)?;
    let refused = |refusal| Unreadable::NoGranting { account: account.principal(), refusal };
    let kdc = credentials.kdc().map_err(refused)?;
    user_to_user::granting(account, &key, kdc, jiff::Timestamp::now().as_second()).await.map_err(refused)
}

/// User-to-user: the client's ticket is sealed with the key of the ticket-granting ticket that it is told of.
async fn by_user_to_user<S, T>(
    client: &mut Conversation<'_, S, T>,
    service: &Service,
    credentials: &Credentials,
    init: &Init<'_>,
    granting: &Granting,
) -> Result<Proven, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let told = spnego::response(State::AcceptIncomplete, Some(init.first), Some(&granting.tgt_rep), None);
    client.send(&with_token(told)).await?;
    let second = token(client).await?;
    let response = Response::decode(&second).map_err(|source| of_fault(client, source.into()))?;
    let ticket = response.token.ok_or_else(|| client.unexpected(NO_TOKEN))?;
    let established =
        established(client, service, Some(&granting.key), credentials, init.first, ticket).await?;
    let mut established = match established {
        Ok(established) => established,
        Err(unreadable) => {
            let no_ntlm = "the client has begun with user-to-user";
            return Err(rejected(client, Some((unreadable, no_ntlm))).await?);
        }
    };
    client.step = Step::Authentication;
    // Windows signs the list here though it need not, and its client then does the same.
    let list = &init.mechanism_list;
    let mic = established.context.sign(list).map_err(|fault| of_fault(client, fault))?;
    let response = spnego::response(State::AcceptCompleted, None, Some(&established.ap_rep), Some(&mic));
    client.send(&with_token(response)).await?;
    let mut request = client.receive().await?;
    if let Some(last) = request.nego_token.take() {
        let response = Response::decode(&last).map_err(|source| of_fault(client, source.into()))?;
        if response.mic.is_some_and(|mic| !established.context.verifies(list, mic)) {
            return Err(client.unexpected(WRONG_MIC));
        }
    }
    let mut proven = Proven::of(established, None, request);
    proven.how.push_str(", user-to-user");
    Ok(proven)
}

/// Kerberos with the ticket that came with the client's first choice: it ends with AP-REP.
fn by_kerberos(established: Established, mechanism: &[u8]) -> Proven {
    let response = spnego::response(State::AcceptCompleted, Some(mechanism), Some(&established.ap_rep), None);
    Proven::of(established, Some(response), Message::new())
}

/// Kerberos as we chose it from the client's list, whose signatures show that nobody changed the list on the way.
async fn by_kerberos_in_spnego<S, T>(
    client: &mut Conversation<'_, S, T>,
    service: &Service,
    credentials: &Credentials,
    mechanism: &[u8],
    mechanism_list: &[u8],
) -> Result<Proven, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    client.send(&with_token(spnego::response(State::RequestMic, Some(mechanism), None, None))).await?;
    let second = token(client).await?;
    let response = Response::decode(&second).map_err(|source| of_fault(client, source.into()))?;
    let ticket = response.token.ok_or_else(|| client.unexpected(NO_TOKEN))?;
    let mut established = match established(client, service, None, credentials, mechanism, ticket).await? {
        Ok(established) => established,
        Err(unreadable) => {
            let no_ntlm = "the client's list put another kind of Kerberos first, and it shows the ticket only after the choice";
            return Err(rejected(client, Some((unreadable, no_ntlm))).await?);
        }
    };
    client.step = Step::Authentication;
    let mic = established.context.sign(mechanism_list).map_err(|fault| of_fault(client, fault))?;
    let response = spnego::response(State::AcceptIncomplete, None, Some(&established.ap_rep), Some(&mic));
    client.send(&with_token(response)).await?;
    let mut request = client.receive().await?;
    let last = request.nego_token.take().ok_or_else(|| client.unexpected(NO_TOKEN))?;
    let response = Response::decode(&last).map_err(|source| of_fault(client, source.into()))?;
    if !response.mic.is_some_and(|mic| established.context.verifies(mechanism_list, mic)) {
        return Err(client.unexpected(WRONG_MIC));
    }
    Ok(Proven::of(established, None, request))
}

/// Takes the client's ticket, and looks who it is. Inside is why the ticket cannot be read, which the client is not told
/// yet.
async fn established<S, T>(
    client: &mut Conversation<'_, S, T>,
    service: &Service,
    granting: Option<&Key>,
    credentials: &Credentials,
    mechanism: &[u8],
    ticket: &[u8],
) -> Result<Result<Established, Unreadable>, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let established = match service.accept(ticket, granting, jiff::Timestamp::now().as_second()) {
        Ok(established) => established,
        Err(Denial::Unreadable(unreadable)) => return Ok(Err(unreadable)),
        Err(Denial::Fault(fault)) => return Err(of_fault(client, fault)),
        Err(Denial::Refused(Refused { code, what, answer })) => {
            let rejection = spnego::response(State::Reject, Some(mechanism), Some(&answer), None);
            client.send(&with_token(rejection)).await?;
            return Err(CredsspError::TicketRefused { code, what });
        }
    };
    let realm = &established.service.realm;
    if !credentials.is_principal(&established.client, realm) {
        let (user, expected) = (established.client.to_string(), credentials.principal(realm));
        return Err(CredsspError::OtherUser { user, expected });
    }
    Ok(Ok(established))
}

/// NTLM from its first message on.
async fn by_ntlm<S, T>(
    client: &mut Conversation<'_, S, T>,
    negotiate: Vec<u8>,
    mut envelope: Envelope,
    credentials: &Credentials,
    not_kerberos: &Unreadable,
) -> Result<Proven, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let mut server = ntlm::Server::new();
    let challenge = server.challenge(&negotiate).map_err(|fault| of_fault(client, fault))?;
    client.send(&with_token(envelope.challenge(&challenge))).await?;

    client.step = Step::Authentication;
    let mut request = client.receive().await?;
    let last = request.nego_token.take().ok_or_else(|| client.unexpected(NO_TOKEN))?;
    let (authenticate, mic) = envelope.open_last(&last).map_err(|source| of_fault(client, source.into()))?;
    let names = ntlm::names(authenticate).map_err(|fault| of_fault(client, fault))?;
    if !credentials.is_user(&names.user) {
        let expected = credentials.user().to_owned();
        return Err(CredsspError::OtherUser { user: names.user, expected });
    }
    let session = server.authenticate(authenticate, &names, credentials);
    let mut session = session.map_err(|fault| of_fault(client, fault))?;
    let token = envelope.complete(&mut session, mic).map_err(|what| client.unexpected(what))?;
    let context = Context::Ntlm(Box::new(session));
    let (mechanism, how) = (envelope.mechanism(), format!("by NTLM, as {not_kerberos}"));
    Ok(Proven { context, mechanism, names, how, token, request })
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
                let name = (!std::mem::replace(is_named, true)).then_some(&NTLMSSP[..]);
                spnego::response(State::AcceptIncomplete, name, Some(challenge), None)
            }
        }
    }

    /// AUTHENTICATE, and mechListMIC where there is one.
    fn open_last<'t>(&self, token: &'t [u8]) -> Result<(&'t [u8], Option<&'t [u8]>), crate::wire::Malformed> {
        match self {
            Envelope::Bare => Ok((token, None)),
            Envelope::Spnego { .. } => {
                let response = Response::decode(token)?;
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
            Some(_) => return Err(WRONG_MIC),
            None if *needs_mic => return Err("it sent no mechListMIC, though NTLM is not its first choice"),
            None => None,
        };
        let mic = ours.as_ref().map(<[u8; 16]>::as_slice);
        Ok(Some(spnego::response(State::AcceptCompleted, None, None, mic)))
    }
}

/// The client's first NTLM message, for which it may have to be told that it is NTLM.
async fn ntlm_in_spnego<S, T>(
    client: &mut Conversation<'_, S, T>,
    init: &Init<'_>,
) -> Result<(Vec<u8>, Envelope), CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let needs_mic = !init.prefers_ntlm;
    let mechanism_list = init.mechanism_list.clone();
    if let (true, Some(negotiate)) = (init.prefers_ntlm, init.token) {
        let envelope = Envelope::Spnego { mechanism_list, needs_mic, is_named: false };
        return Ok((negotiate.to_vec(), envelope));
    }
    let state = if needs_mic { State::RequestMic } else { State::AcceptIncomplete };
    client.send(&with_token(spnego::response(state, Some(&NTLMSSP), None, None))).await?;
    let second = token(client).await?;
    let response = Response::decode(&second).map_err(|source| of_fault(client, source.into()))?;
    let negotiate = response.token.ok_or_else(|| client.unexpected(NO_TOKEN))?;
    Ok((negotiate.to_vec(), Envelope::Spnego { mechanism_list, needs_mic, is_named: true }))
}

/// Checks the client's pubKeyAuth and makes ours.
fn bind<S, T>(
    client: &Conversation<'_, S, T>,
    request: &Message,
    public_key: &[u8],
    context: &mut Context,
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
    let opened = context.open(sealed).ok_or_else(|| match context {
        // Without a MIC in AUTHENTICATE, this is the first thing that only the right password can make.
        Context::Ntlm(_) => CredsspError::WrongPassword { user: names.user.clone() },
        Context::Kerberos(_) => client.unexpected("its pubKeyAuth was altered on the way"),
    })?;
    if *opened != binding.of_client() {
        return Err(CredsspError::KeyBinding { side: Side::Client });
    }
    context.seal(&binding.of_server()).map_err(|fault| of_fault(client, fault))
}

/// What the client's authInfo delegates.
fn delegated<S, T>(
    client: &Conversation<'_, S, T>,
    request: &Message,
    context: &mut Context,
) -> Result<Delegation, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let sealed = request.auth_info.as_deref();
    let sealed = sealed.ok_or_else(|| client.unexpected("it sent no authInfo"))?;
    let opened = context.open(sealed);
    let opened = opened.ok_or_else(|| client.unexpected("its authInfo was altered on the way"))?;
    ts_credentials::delegation(&opened).map_err(|source| of_fault(client, source.into()))
}

/// The token of the client's next message.
async fn token<S, T>(client: &mut Conversation<'_, S, T>) -> Result<Vec<u8>, CredsspError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: CredsspTap,
{
    let token = client.receive().await?.nego_token;
    token.ok_or_else(|| client.unexpected(NO_TOKEN))
}

fn with_token(token: Vec<u8>) -> Message {
    Message { nego_token: Some(token), ..Message::new() }
}

fn of_fault<S, T>(client: &Conversation<'_, S, T>, fault: Fault) -> CredsspError {
    CredsspError::of_ntlm(fault, client.side, client.step)
}
