//! Kerberos towards the server (RFC 4120, RFC 4121): a ticket for its service principal name, and the context that both
//! have once the server has answered to it.
//!
//! The `sspi` crate asks and computes, on a thread where it may wait; what it wants to ask goes out from here, and the
//! shape of every answer is checked before it sees it.

use super::as_rep;
use super::credentials::{Account, Credentials, Kdc};
use super::kdc;
use super::kerberos_shape::{self as shape, Answer, WRAP_HEADER};
use super::ntlm::{Fault, quietly};
use super::refusal::Refusal;
use sspi::generator::NetworkRequest;
use sspi::network_client::NetworkClient;
use sspi::{
    AuthIdentityBuffers, BufferType, ClientRequestFlags, CredentialsBuffers, DataRepresentation,
    EncryptionFlags, ErrorKind, Kerberos, KerberosConfig, NetworkProtocol, SecurityBuffer, SecurityBufferRef,
    Sspi, SspiImpl, detect_kdc_url,
};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

/// Bytes that sealing puts before a message: header, confounder, header once more, checksum.
const TRAILER: usize = 60;

/// What GSS-API calls the flags of the context; the library's words for them.
const REQUIREMENTS: ClientRequestFlags = ClientRequestFlags::MUTUAL_AUTH
    .union(ClientRequestFlags::INTEGRITY)
    .union(ClientRequestFlags::CONFIDENTIALITY);

/// A client that has a ticket.
#[derive(Clone)]
pub(super) struct Client {
    kerberos: Kerberos,
}

/// A question for a KDC, and where its answer goes; none when there is none.
type Question = (NetworkRequest, oneshot::Sender<Vec<u8>>);

impl Client {
    /// Asks the user's realm for a ticket to `target`, `TERMSRV/host`; with the client comes its AP-REQ in the framing
    /// of GSS-API.
    pub(super) async fn new(credentials: &Credentials, target: &str) -> Result<(Client, Vec<u8>), Refusal> {
        let account = credentials.account()?;
        let with_ticket = ask(account.clone(), target.to_owned()).await;
        match (with_ticket, account.without_suffix()) {
            // Active Directory looks user principal names up; other realms know the name before the @ only.
            (Err(Refusal::Kdc { code: Refusal::UNKNOWN_USER, .. }), Some(account)) => {
                ask(account, target.to_owned()).await
            }
            (with_ticket, _) => with_ticket,
        }
    }

    /// Checks the server's AP-REP.
    pub(super) fn establish(self, ap_rep: &[u8]) -> Result<Context, Fault> {
        shape::check_ap_rep(ap_rep)?;
        let Client { mut kerberos } = self;
        // It knows who we are by now.
        let mut nobody = None;
        quietly(|| {
            let mut input = [SecurityBuffer::new(ap_rep.to_vec(), BufferType::Token)];
            let mut output = [SecurityBuffer::new(Vec::new(), BufferType::Token)];
            let mut builder = kerberos
                .initialize_security_context()
                .with_credentials_handle(&mut nobody)
                .with_context_requirements(REQUIREMENTS)
                .with_target_data_representation(DataRepresentation::Native)
                .with_input(&mut input)
                .with_output(&mut output);
            kerberos.initialize_security_context_impl(&mut builder)?.resolve_to_result()
        })?;
        Ok(Context { kerberos })
    }
}

/// Runs the library up to AP-REQ and carries its questions.
async fn ask(account: Account, target: String) -> Result<(Client, Vec<u8>), Refusal> {
    let realm = account.realm.clone();
    let (carrier, mut questions) = mpsc::unbounded_channel();
    let library = tokio::task::spawn_blocking(move || {
        let carrier = Carrier { questions: carrier, password: account.password.clone() };
        first_step(account, &target, &carrier)
    });
    let mut refusal = None;
    while let Some((request, answer)) = questions.recv().await {
        match answered(&realm, &request).await {
            // The library has ended when it no longer listens.
            Ok(bytes) => drop(answer.send(bytes)),
            Err(reason) => refusal = Some(reason),
        }
    }
    let panicked = Err(Refusal::Library("it panicked".to_owned()));
    library.await.unwrap_or(panicked).map_err(|failure| refusal.unwrap_or(failure))
}

/// With where a KDC of the realm is, if that is known.
fn config(kdc: &Kdc, realm: &str) -> KerberosConfig {
    let kdc_url = match kdc {
        Kdc::Given(address) => KerberosConfig::new(address, String::new()).kdc_url,
        Kdc::OfSystem => detect_kdc_url(realm).or_else(|| {
            // In Active Directory, the domain's name has the addresses of its domain controllers.
            let is_dns_name = realm.contains('.');
            is_dns_name.then(|| KerberosConfig::new(realm, String::new()).kdc_url).flatten()
        }),
    };
    KerberosConfig { kdc_url, client_computer_name: "RDPSCOPE".to_owned() }
}

/// What a KDC of the realm answers to a question of ours, both without their length; with it, the KDC's address.
pub(super) async fn ask_kdc(kdc: Kdc, realm: &str, question: &[u8]) -> Result<(String, Vec<u8>), Refusal> {
    let of_realm = realm.to_owned();
    // What looks it up waits for an answer.
    let url = tokio::task::spawn_blocking(move || quietly(|| Ok(config(&kdc, &of_realm).kdc_url))).await;
    let url = url.ok().and_then(Result::ok).flatten();
    let url = url.ok_or_else(|| Refusal::NoKdc { realm: realm.to_owned() })?;
    let address = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or(kdc::PORT));
    if url.scheme() != "tcp" {
        return Err(Refusal::NotTcp { kdc: address });
    }
    let length = question.len().to_be_bytes();
    let question = [&length[length.len() - kdc::PREFIX..], question].concat();
    match kdc::ask(&address, &question).await {
        Ok(mut answer) => Ok((address, answer.split_off(kdc::PREFIX))),
        Err(source) => Err(Refusal::Unreachable { kdc: address, source }),
    }
}

/// What a KDC answers, if the library can go on with it.
async fn answered(realm: &str, request: &NetworkRequest) -> Result<Vec<u8>, Refusal> {
    let host = request.url.host_str().unwrap_or_default();
    let address = format!("{host}:{}", request.url.port().unwrap_or(kdc::PORT));
    if !matches!(request.protocol, NetworkProtocol::Tcp) {
        return Err(Refusal::NotTcp { kdc: address });
    }
    let answer = kdc::ask(&address, &request.data).await;
    let answer = answer.map_err(|source| Refusal::Unreachable { kdc: address.clone(), source })?;
    match shape::check_answer(&answer[kdc::PREFIX..]) {
        Ok(Answer::Usable) => Ok(answer),
        Ok(Answer::Refusal(code)) => Err(Refusal::Kdc { realm: realm.to_owned(), code }),
        Err(source) => Err(Refusal::Malformed { kdc: address, source }),
    }
}

/// AS and TGS exchange, and AP-REQ.
pub(super) fn first_step(
    account: Account,
    target: &str,
    carrier: &dyn NetworkClient,
) -> Result<(Client, Vec<u8>), Refusal> {
    let result = quietly(|| {
        let realm = account.realm;
        let config = config(&account.kdc, &realm);
        if config.kdc_url.is_none() {
            return Ok(Err(Refusal::NoKdc { realm }));
        }
        let mut kerberos = Kerberos::new_client_from_config(config)?;
        let identity = AuthIdentityBuffers::from_utf8(&account.user, &realm, &account.password);
        let mut identity = Some(CredentialsBuffers::AuthIdentity(identity));
        let mut input = [SecurityBuffer::new(Vec::new(), BufferType::Token)];
        let mut output = [SecurityBuffer::new(Vec::new(), BufferType::Token)];
        let mut builder = kerberos
            .initialize_security_context()
            .with_credentials_handle(&mut identity)
            .with_context_requirements(REQUIREMENTS)
            .with_target_data_representation(DataRepresentation::Native)
            .with_target_name(target)
            .with_input(&mut input)
            .with_output(&mut output);
        kerberos.initialize_security_context_impl(&mut builder)?.resolve_with_client(carrier)?;
        let [output] = output;
        Ok(Ok((Client { kerberos }, output.buffer)))
    });
    match result {
        Ok(result) => result,
        Err(Fault::Library(what)) => Err(Refusal::Library(what)),
        Err(_) => Err(Refusal::Library("it refused the password".to_owned())),
    }
}

/// Hands the library's questions to where they can wait for an answer.
struct Carrier {
    questions: mpsc::UnboundedSender<Question>,
    password: Zeroizing<String>,
}

impl NetworkClient for Carrier {
    fn send(&self, request: &NetworkRequest) -> sspi::Result<Vec<u8>> {
        let (sender, answer) = oneshot::channel();
        let sent = self.questions.send((request.clone(), sender)).is_ok();
        let answer = if sent { answer.blocking_recv().ok() } else { None };
        let none = || sspi::Error::new(ErrorKind::NoAuthenticatingAuthority, "no answer");
        let mut answer = answer.ok_or_else(none)?;
        as_rep::mark_as_its_own(&mut answer[kdc::PREFIX..], &self.password);
        Ok(answer)
    }
}

/// What client and server seal with.
pub(super) struct Context {
    kerberos: Kerberos,
}

impl Context {
    /// The Wrap token of `message` (RFC 4121 4.2.6.2).
    pub(super) fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut trailer = [0; TRAILER];
        let mut data = Zeroizing::new(message.to_vec());
        quietly(|| {
            let mut buffers =
                [SecurityBufferRef::token_buf(&mut trailer), SecurityBufferRef::data_buf(&mut data)];
            self.kerberos.encrypt_message(EncryptionFlags::empty(), &mut buffers)
        })?;
        Ok([&trailer[..], &data].concat())
    }

    /// The message in the server's Wrap token; `None` when it is not the server's.
    pub(super) fn open(&mut self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.decrypt(sealed).ok()
    }

    pub(super) fn decrypt(&mut self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut turned = shape::turned(sealed)?;
        let (token, data) = turned.split_at_mut(WRAP_HEADER);
        let mut buffers = [SecurityBufferRef::data_buf(data), SecurityBufferRef::token_buf(token)];
        quietly(|| {
            self.kerberos.decrypt_message(&mut buffers)?;
            let message = SecurityBufferRef::buf_data(&buffers, BufferType::Data)?;
            Ok(Zeroizing::new(message.to_vec()))
        })
    }
}
