//! Kerberos towards the client: the keytab, the ticket, what comes after it, whole and broken.

use super::super::ap_req::{ApReq, Authenticator, Principal, Ticket};
use super::super::binding::Binding;
use super::super::conversation::Conversation;
use super::super::credentials::{Credentials, CredentialsError, KeytabProblem, Problem};
use super::super::der::{Elements, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, context, element, explicit};
use super::super::error::CredsspError;
use super::super::kerberos_key::Key;
use super::super::kerberos_shape::GENERALIZED_TIME;
use super::super::keytab::Keytab;
use super::super::service::{Denial, Established, Service};
use super::super::spnego::{KERBEROS, MS_KERBEROS, NTLMSSP, Response, State, USER_TO_USER, continuation};
use super::super::ts_credentials;
use super::super::ts_request::Message;
use super::super::user_to_user::{as_rep, asked_for};
use super::super::wrap::Context;
use super::recorded::AS_REP;
use super::secrets::logged;
use super::tickets::*;
use super::{KEY, Mechanism, PASSWORD, Seen, accept, accepting, narrow};
use crate::trace::Side;
use crate::wire::credssp::kerberos::KerberosToken;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

fn service() -> Service {
    Service::new(Keytab::parse(&of_service()).unwrap())
}

fn accepted(request: &Request) -> Result<Established, Denial> {
    service().accept(&request.token(), None, NOW)
}

fn credentials() -> Credentials {
    let lines = format!("username = jane\npassword = {PASSWORD}\nrealm = {REALM}");
    Credentials::parse(lines.as_bytes()).unwrap().with_keytab(&of_service())
}

/// Why the ticket cannot be read.
fn unreadable(request: &Request) -> String {
    match accepted(request) {
        Err(Denial::Unreadable(unreadable)) => unreadable.to_string(),
        other => panic!("it is {}", said(other)),
    }
}

/// With which error-code, and in which words, the ticket is refused.
fn refused(request: &Request, now: i64) -> (u32, String) {
    match service().accept(&request.token(), None, now) {
        Err(Denial::Refused(refused)) => {
            let told = KerberosToken::decode(&refused.answer).unwrap();
            assert!(matches!(told, KerberosToken::Error { code } if code.value == refused.code));
            (refused.code, refused.what)
        }
        other => panic!("it is {}", said(other)),
    }
}

fn said(result: Result<Established, Denial>) -> String {
    match result {
        Ok(established) => format!("let in as {}", established.client),
        Err(Denial::Unreadable(unreadable)) => unreadable.to_string(),
        Err(Denial::Refused(refused)) => refused.what,
        Err(Denial::Fault(fault)) => format!("{fault:?}"),
    }
}

#[test]
fn a_keytab_is_read_past_holes_and_padding() {
    let mut long = entry(REALM, &SERVICE, 300, 17, &[7; 16]);
    long.extend([0; 3]);
    let length = (long.len() - 4) as u32;
    long[..4].copy_from_slice(&length.to_be_bytes());
    let hole = [&(-6_i32).to_be_bytes()[..], &[9; 6]].concat();
    let short = {
        let mut short = entry("OTHER.TEST", &["host", "other"], 2, 23, &[1; 16]);
        short.truncate(short.len() - 4);
        let length = (short.len() - 4) as u32;
        short[..4].copy_from_slice(&length.to_be_bytes());
        short
    };
    let keytab = Keytab::parse(&keytab(&[long, hole, short, vec![0; 9]])).unwrap();
    assert_eq!(keytab.principals(), ["TERMSRV/server.test@CORP.TEST", "host/other@OTHER.TEST"]);
    let found: Vec<String> =
        keytab.of_service("termsrv/SERVER.test", "corp.test").map(|entry| format!("{entry:?}")).collect();
    assert_eq!(found, ["TERMSRV/server.test@CORP.TEST (version 300, type 17)"]);
    assert!(
        keytab
            .of_service("host/other", "OTHER.TEST")
            .all(|entry| entry.version == 2 && entry.key().is_none())
    );
}

#[test]
fn a_keytab_that_is_none_is_said_so() {
    let reason = |bytes: &[u8]| Keytab::parse(bytes).err().unwrap().to_string();
    assert!(reason(&[5, 1, 0, 0]).contains("does not begin with 05 02"));
    assert!(reason(&[5, 2]).contains("there is no key in it"));
    assert!(reason(&of_service()[..40]).contains("ends too early"));
    assert!(reason(b"").contains("ends too early"));
}

#[test]
fn a_good_ticket_lets_its_client_in() {
    let Ok(established) = accepted(&Request::good()) else { panic!("it is good") };
    assert_eq!(
        (established.client, established.service.to_string().as_str()),
        (jane(), "TERMSRV/server.test@CORP.TEST")
    );
    assert_eq!(KerberosToken::decode(&established.ap_rep), Some(KerberosToken::ApRep));
    // Names in Active Directory have no case.
    let shouted = Request { service: vec!["termsrv", "SERVER.TEST"], ..Request::good() };
    assert!(accepted(&shouted).is_ok());
}

#[test]
fn a_ticket_that_cannot_be_read_is_said_with_what_the_keytab_has() {
    let other = Request { service: vec!["TERMSRV", "other.test"], ..Request::good() };
    let reason = unreadable(&other);
    assert!(reason.contains("no key of TERMSRV/other.test@CORP.TEST"), "{reason}");
    assert!(reason.contains("but of TERMSRV/server.test@CORP.TEST"), "{reason}");

    let reason = unreadable(&Request { encryption: 23, ..Request::good() });
    assert!(reason.contains("sealed with rc4-hmac (23)"), "{reason}");
    assert!(reason.contains("keys are aes256-cts-hmac-sha1-96 (18)"), "{reason}");

    let reason = unreadable(&Request { service_key: vec![8; 32], ..Request::good() });
    assert!(reason.contains("another key than the keytab's (key version 3; the keytab has 3)"), "{reason}");

    let reason = unreadable(&Request { session_type: 20, ..Request::good() });
    assert!(reason.contains("of type aes256-cts-hmac-sha384-192 (20)"), "{reason}");
    assert!(
        unreadable(&Request { options: 0x40, ..Request::good() })
            .contains("of a kind that rdpscope does not have")
    );
}

#[test]
fn a_ticket_that_is_refused_is_said_with_its_error_code() {
    let good = Request::good();
    assert_eq!(refused(&good, NOW + 301).0, 37);
    assert!(refused(&good, NOW + 301).1.contains("the client's clock is 301 s behind rdpscope's"));
    assert!(refused(&good, NOW - 400).1.contains("the client's clock is 400 s ahead of rdpscope's"));
    assert!(accepted(&Request { time: NOW - 300, ..good.clone() }).is_ok());

    let later = NOW + LIFE + 301;
    let (code, what) = refused(&Request { time: later, ..good.clone() }, later);
    assert_eq!(code, 32);
    assert!(what.contains("it ended at 2026-11-21T22:00:00Z"), "{what}");
    let (code, what) = refused(&Request { starts: NOW + 400, ..good.clone() }, NOW);
    assert_eq!(code, 33);
    assert!(what.contains("it counts from 2026-11-21T12:06:40Z only"), "{what}");

    let claims = Principal { name: "joe".to_owned(), ..jane() };
    assert_eq!(refused(&Request { claims, ..good.clone() }, NOW).0, 36);
    assert_eq!(refused(&Request { altered: true, ..good }, NOW).0, 31);
}

#[test]
fn a_proof_counts_once_on_all_connections() {
    let service = service();
    let token = Request::good().token();
    assert!(service.accept(&token, None, NOW).is_ok());
    let Err(Denial::Refused(refused)) = service.accept(&token, None, NOW + 299) else {
        panic!("it is a replay")
    };
    assert_eq!(refused.code, 34);
    assert!(service.accept(&Request::good().token(), None, NOW).is_ok(), "another proof of the same second");
}

/// The context that AP-REP gives the client: its key as the client reads it.
fn clients_key(ap_rep: &[u8]) -> Key {
    let mut framed = Elements::new("AP-REP", ap_rep);
    let mut framed = Elements::new("AP-REP", &framed.take(0x60).unwrap()[13..]);
    let mut fields = Elements::new("AP-REP", framed.take(0x6F).unwrap());
    let mut fields = Elements::new("AP-REP", fields.take(SEQUENCE).unwrap());
    fields.take(context(0)).unwrap();
    fields.take(context(1)).unwrap();
    let mut encrypted =
        Elements::new("AP-REP", fields.optional_explicit(context(2), SEQUENCE).unwrap().unwrap());
    encrypted.take(context(0)).unwrap();
    let cipher = encrypted.optional_explicit(context(2), OCTET_STRING).unwrap().unwrap();
    let part = Key::new(18, SESSION_KEY).unwrap().open(12, cipher).unwrap();
    let mut fields = Elements::new("EncAPRepPart", &part);
    let mut fields = Elements::new("EncAPRepPart", fields.take(0x7B).unwrap());
    let mut fields = Elements::new("EncAPRepPart", fields.take(SEQUENCE).unwrap());
    assert_eq!(fields.optional_explicit(context(0), GENERALIZED_TIME).unwrap().unwrap().len(), 15);
    assert_eq!(fields.optional_explicit(context(1), 2).unwrap(), Some(&[1, 2][..]));
    let mut key =
        Elements::new("EncAPRepPart", fields.optional_explicit(context(2), SEQUENCE).unwrap().unwrap());
    key.take(context(0)).unwrap();
    Key::new(18, key.optional_explicit(context(1), OCTET_STRING).unwrap().unwrap()).unwrap()
}

/// A Wrap token as a client makes it, turned by `rotation`, with `extra` bytes between.
fn wrapped(key: &Key, message: &[u8], rotation: u16, extra: u16) -> Vec<u8> {
    let mut header = [5, 4, 6, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    header[4..6].copy_from_slice(&extra.to_be_bytes());
    let inside = [message, &vec![0; extra.into()], &header].concat();
    let mut body = key.seal(24, &inside).unwrap();
    let length = body.len();
    body.rotate_right(usize::from(rotation) % length);
    header[6..8].copy_from_slice(&rotation.to_be_bytes());
    [&header[..], &body].concat()
}

#[test]
fn what_a_client_seals_is_opened_however_it_is_turned() {
    let Ok(mut established) = accepted(&Request::good()) else { panic!("it is good") };
    let key = clients_key(&established.ap_rep);
    for (rotation, extra) in [(0, 0), (28, 0), (12, 16), (28, 16), (1000, 3)] {
        let sealed = wrapped(&key, b"message", rotation, extra);
        assert_eq!(**established.context.open(&sealed).unwrap(), *b"message", "{rotation} {extra}");
    }
    let mut forged = wrapped(&key, b"message", 28, 0);
    forged[15] = 10;
    assert!(established.context.open(&forged).is_none(), "the header is sealed too");
    let ours = established.context.seal(b"message").unwrap();
    assert!(established.context.open(&ours).is_none(), "what is ours is no client's");
    assert_eq!(ours.len(), 7 + 60);
    let mut body = ours[16..].to_vec();
    body.rotate_left(28);
    assert_eq!(key.open(22, &body).unwrap()[..7], *b"message");
}

#[test]
fn a_clients_signature_is_checked() {
    let Ok(mut established) = accepted(&Request::good()) else { panic!("it is good") };
    let key = clients_key(&established.ap_rep);
    let signature = signed(&key, b"list");
    assert!(established.context.verifies(b"list", &signature));
    assert!(!established.context.verifies(b"another list", &signature));
    let ours = established.context.sign(b"list").unwrap();
    assert!(!established.context.verifies(b"list", &ours), "what is ours is no client's");
    assert_eq!(ours[16..], key.checksum(23, &[b"list", &ours[..16]].concat()).unwrap());
}

/// The MIC token of `message` as a client makes it.
fn signed(key: &Key, message: &[u8]) -> Vec<u8> {
    let header = [4, 4, 4, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 9];
    [&header[..], &key.checksum(25, &[message, &header].concat()).unwrap()].concat()
}

/// SPNEGO's first token with these mechanisms.
fn init(mechanisms: &[&[u8]], token: &[u8]) -> Message {
    let list: Vec<u8> = mechanisms.iter().flat_map(|name| element(OBJECT_IDENTIFIER, name)).collect();
    let fields = [explicit(context(0), SEQUENCE, &list), explicit(context(2), OCTET_STRING, token)];
    let init = explicit(context(0), SEQUENCE, &fields.concat());
    let spnego = hex::decode("06062b0601050502").unwrap();
    Message { nego_token: Some(element(0x60, &[spnego, init].concat())), ..Message::new() }
}

/// Sends `message` and takes what is answered until the end: all tokens.
async fn told(mut stream: DuplexStream, message: &Message) -> Vec<u8> {
    stream.write_all(&message.encode()).await.unwrap();
    let mut answer = vec![0; 2];
    stream.read_exact(&mut answer).await.unwrap();
    let more = match answer[1] {
        0x81 => usize::from(stream.read_u8().await.unwrap()),
        0x82 => usize::from(stream.read_u16().await.unwrap()),
        short => usize::from(short),
    };
    // What the header was does not count: it is made anew.
    let mut content = vec![0; more];
    stream.read_exact(&mut content).await.unwrap();
    Message::decode(&element(SEQUENCE, &content)).unwrap().nego_token.unwrap_or_default()
}

fn now() -> Request {
    let now = jiff::Timestamp::now().as_second();
    Request { starts: now, ends: now + LIFE, time: now, ..Request::good() }
}

#[tokio::test]
async fn a_refused_ticket_is_answered_with_krb_error() {
    let late = Request { time: now().time - 900, ..now() };
    let message = init(&[&KERBEROS, &NTLMSSP], &late.token());
    let (accepted, told) = accepting(KEY, &credentials(), async |stream| told(stream, &message).await).await;
    let error = accepted.unwrap_err();
    assert!(matches!(error, CredsspError::TicketRefused { code: 37, .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("CredSSP with the client: its Kerberos ticket is refused with KRB_AP_ERR_SKEW (37): the client's clock is 90"), "{text}");
    let response = Response::decode(&told).unwrap();
    assert_eq!(response.state, Some(State::Reject));
    let Some(KerberosToken::Error { code }) = KerberosToken::decode(response.token.unwrap()) else {
        panic!("it is told why")
    };
    assert_eq!(code.value, 37);
}

#[tokio::test]
async fn another_user_with_a_good_ticket_is_not_let_in() {
    for client in [
        Principal { name: "joe".to_owned(), ..jane() },
        Principal { realm: "OTHER.TEST".to_owned(), ..jane() },
    ] {
        let request = Request { client: client.clone(), claims: client.clone(), ..now() };
        let message = init(&[&KERBEROS, &NTLMSSP], &request.token());
        let (accepted, _) = accepting(KEY, &credentials(), async |stream| told(stream, &message).await).await;
        let error = accepted.unwrap_err().to_string();
        let expected = format!("logged on as \"{client}\" and rdpscope was given \"jane@CORP.TEST\"");
        assert!(error.contains(&expected), "{error}");
    }
}

#[tokio::test]
async fn a_client_without_ntlm_is_told_why_kerberos_is_not_possible() {
    let without = Credentials::parse(format!("username = jane\npassword = {PASSWORD}").as_bytes()).unwrap();
    let message = init(&[&KERBEROS], &now().token());
    let (accepted, answer) = accepting(KEY, &without, async |stream| told(stream, &message).await).await;
    let error = accepted.unwrap_err().to_string();
    assert!(error.contains("add a line 'keytab = …'") && error.contains("the client offers none"), "{error}");
    assert_eq!(Response::decode(&answer).unwrap().state, Some(State::Reject));

    let other = Request { service: vec!["TERMSRV", "other.test"], ..now() };
    let message = init(&[&KERBEROS], &other.token());
    let (accepted, _) = accepting(KEY, &credentials(), async |stream| told(stream, &message).await).await;
    let error = accepted.unwrap_err().to_string();
    assert!(error.contains("no key of TERMSRV/other.test@CORP.TEST"), "{error}");

    // With NTLM on the list, NTLM it is.
    let message = init(&[&KERBEROS, &NTLMSSP], &other.token());
    let (_, answer) = accepting(KEY, &credentials(), async |stream| told(stream, &message).await).await;
    let response = Response::decode(&answer).unwrap();
    assert!(response.chooses_ntlm && response.state == Some(State::RequestMic), "{response:?}");
}

/// As mstsc, whose first choice is called Kerberos and whose token is user-to-user's.
#[tokio::test]
async fn user_to_user_without_a_kdc_leaves_ntlm() {
    let lines = format!("username = jane\npassword = {PASSWORD}\nrealm = {REALM}\nkdc = none");
    let given = Credentials::parse(lines.as_bytes()).unwrap().with_keytab(&of_service());
    let message = init(&[&MS_KERBEROS, &KERBEROS, &NTLMSSP], &tgt_req(&SERVICE));
    let (_, answer) = accepting(KEY, &given, async |stream| told(stream, &message).await).await;
    let response = Response::decode(&answer).unwrap();
    assert!(response.chooses_ntlm && response.state == Some(State::RequestMic), "{response:?}");

    let message = init(&[&MS_KERBEROS], &tgt_req(&SERVICE));
    let (accepted, _) = accepting(KEY, &given, async |stream| told(stream, &message).await).await;
    let error = accepted.unwrap_err().to_string();
    let expected = "the client's Kerberos is user-to-user, for which TERMSRV/server.test@CORP.TEST needs a \
                    ticket-granting ticket, and the credentials say 'kdc = none'";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn the_account_of_a_machine_asks_for_the_service() {
    let machine = entry(REALM, &["SERVER$"], 2, 18, SERVICE_KEY);
    let older = entry(REALM, &["SERVER$"], 1, 17, &[1; 16]);
    let both = keytab(&[entry(REALM, &SERVICE, 3, 18, SERVICE_KEY), older, machine]);
    let both = Service::new(Keytab::parse(&both).unwrap());
    let account = |service: &Service, name: &str| {
        service
            .account(name)
            .map(|(entry, _)| format!("{entry:?}"))
            .map_err(|unreadable| unreadable.to_string())
    };
    assert_eq!(account(&both, "TERMSRV/server.test").unwrap(), "SERVER$@CORP.TEST (version 2, type 18)");
    assert!(account(&service(), "termsrv/Server.test").unwrap().starts_with("TERMSRV/server.test@CORP.TEST"));
    let error = account(&service(), "TERMSRV/other.test").unwrap_err();
    assert!(error.contains("no key of TERMSRV/other.test,"), "{error}");
    assert_eq!(asked_for(&tgt_req(&SERVICE)).unwrap().as_deref(), Some("TERMSRV/server.test"));
    assert_eq!(asked_for(&Request::good().token()).unwrap(), None);
}

/// As FreeRDP's client: another kind of Kerberos is its first choice. `None` when the server refuses it.
async fn prefers_another_kind(stream: &mut DuplexStream, signs: bool) -> Option<()> {
    let mechanisms = [&USER_TO_USER[..], &KERBEROS, &NTLMSSP];
    let list: Vec<u8> = mechanisms.iter().flat_map(|name| element(OBJECT_IDENTIFIER, name)).collect();
    let list = element(SEQUENCE, &list);
    let mut tap = Seen::default();
    let mut server = Conversation::new(Side::Server, stream, &mut tap);

    server.send(&init(&mechanisms, &tgt_req(&SERVICE))).await.unwrap();
    let asked = server.receive().await.unwrap().nego_token.unwrap();
    // request-mic and Kerberos.
    assert_eq!(hex::encode(&asked), "a1143012a0030a0103a10b06092a864886f712010202");
    server.send(&with_token(continuation(&now().token(), None))).await.unwrap();
    let answer = server.receive().await.unwrap().nego_token.unwrap();
    let answer = Response::decode(&answer).unwrap();
    let key = clients_key(answer.token.unwrap());
    let ours = answer.mic.unwrap();
    assert_eq!(ours[16..], key.checksum(23, &[&list, &ours[..16]].concat()).unwrap());

    let mic = signed(&key, if signs { &list } else { b"another list" });
    let token = explicit(context(1), SEQUENCE, &explicit(context(3), OCTET_STRING, &mic));
    let nonce = Some([7; 32]);
    let binding = Binding::new(6, KEY, nonce).unwrap();
    let pub_key_auth = Some(wrapped(&key, &binding.of_client(), 28, 0));
    let message = Message { pub_key_auth, client_nonce: nonce, ..with_token(token) };
    server.send(&message).await.unwrap();
    let sealed = server.receive().await.ok()?.pub_key_auth.unwrap();
    let mut body = sealed[16..].to_vec();
    body.rotate_left(28);
    assert_eq!(key.open(22, &body).unwrap()[..32], *binding.of_server());
    let auth_info = Some(wrapped(&key, &ts_credentials::encode(&credentials()), 28, 0));
    server.send(&Message { auth_info, ..Message::new() }).await.unwrap();
    Some(())
}

fn with_token(token: Vec<u8>) -> Message {
    Message { nego_token: Some(token), ..Message::new() }
}

#[tokio::test]
async fn a_client_that_prefers_another_kind_of_kerberos_must_sign_its_list() {
    for signs in [true, false] {
        let (accepted, ()) = accepting(KEY, &credentials(), async |mut stream: DuplexStream| {
            assert_eq!(prefers_another_kind(&mut stream, signs).await.is_some(), signs);
        })
        .await;
        match accepted {
            Ok(accepted) => {
                assert!(signs && accepted.mechanism == Mechanism::Kerberos);
                assert_eq!(accepted.how, "by Kerberos, with its ticket for TERMSRV/server.test@CORP.TEST");
            }
            Err(error) => {
                assert!(!signs && error.to_string().contains("mechListMIC does not fit"), "{error}")
            }
        }
    }
}

#[test]
fn a_keytab_is_found_beside_the_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let write = |name: &str, bytes: &[u8], mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    write(
        "credentials",
        format!("username = jane\npassword = {PASSWORD}\nkeytab = server.keytab").as_bytes(),
        0o600,
    );
    let problem = || match Credentials::from_file(&file) {
        Err(CredentialsError::Keytab { problem, path }) => {
            assert_eq!(path, folder.path().join("server.keytab"));
            problem
        }
        other => panic!("{other:?}"),
    };
    assert!(matches!(problem(), KeytabProblem::Read(_)));
    assert!(problem().to_string().contains("put the line 'keytab = …' of the credentials file right"));
    write("server.keytab", b"no keytab", 0o600);
    assert!(matches!(problem(), KeytabProblem::Content(_)));
    write("server.keytab", &vec![0; 2 << 20], 0o600);
    assert!(matches!(problem(), KeytabProblem::TooLong));
    #[cfg(unix)]
    {
        write("server.keytab", &of_service(), 0o640);
        assert!(matches!(problem(), KeytabProblem::Shared(0o640)));
    }
    write("server.keytab", &of_service(), 0o600);
    let credentials = Credentials::from_file(&file).unwrap();
    let shown = format!("{credentials:?}");
    assert!(shown.contains("TERMSRV/server.test@CORP.TEST") && !shown.contains("canary"), "{shown}");
    let empty = Credentials::parse(b"username = jane\npassword = x\nkeytab = ").unwrap_err();
    assert_eq!(empty, Problem::NoPlace { line: 3, name: "keytab" });
}

/// The forms in which a log may hold a key: text, hex, and the bytes as Rust lists them.
fn holds_key(log: &str) -> bool {
    [&SERVICE_KEY[..], SESSION_KEY].into_iter().any(|key| {
        let listed: Vec<String> = key.iter().map(u8::to_string).collect();
        let forms = [String::from_utf8(key.to_vec()).unwrap(), hex::encode(key), listed.join(", ")];
        forms.iter().any(|form| log.to_lowercase().contains(form.as_str()))
    })
}

#[test]
fn nothing_of_keys_and_tickets_is_logged_or_said() {
    assert!(holds_key(&format!("{SERVICE_KEY:?}")), "the search below would find nothing");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let altered = Request { altered: true, ..now() };
    let other = Request { service_key: vec![1; 32], ..now() };
    for request in [now(), altered, other] {
        let log = logged(|| {
            tracing::trace!("a line");
            let given = credentials();
            let message = init(&[&KERBEROS], &request.token());
            let (mut ours, mut theirs) = narrow();
            runtime.block_on(async {
                let client = async move {
                    theirs.write_all(&message.encode()).await.unwrap();
                    theirs.read_u8().await.unwrap();
                };
                let mut seen = Seen::default();
                let (outcome, ()) = tokio::join!(accept(&mut ours, KEY, &given, &mut seen), client);
                tracing::trace!(?outcome, ?given);
                tracing::trace!("{}", outcome.unwrap_err());
            });
        });
        assert!(log.contains("a line") && !holds_key(&log), "{log}");
        assert!(!log.contains("sspi::"), "{log}");
    }
}

/// Changes to a message: bytes set, cut off, put in.
fn change() -> impl Strategy<Value = Vec<(u8, prop::sample::Index, u8)>> {
    prop::collection::vec((0..4_u8, any::<prop::sample::Index>(), any::<u8>()), 1..4)
}

fn changed(message: &[u8], changes: &[(u8, prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = message.to_vec();
    for (kind, index, value) in changes {
        let at = index.index(bytes.len() + 1);
        match kind {
            0 | 1 if at < bytes.len() => bytes[at] = *value,
            2 => bytes.truncate(at),
            3 => bytes.insert(at, *value),
            _ => {}
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn any_bytes_are_read_without_a_panic(
        noise in prop::collection::vec(any::<u8>(), 0..200), changes in change(),
    ) {
        let request = Request::good();
        let (ticket, authenticator) = (request.ticket(), request.authenticator());
        let _ = Keytab::parse(&noise);
        let _ = Keytab::parse(&changed(&of_service(), &changes));
        for bytes in [&noise, &changed(&ticket, &changes), &changed(&authenticator, &changes)] {
            let _ = Ticket::decode(bytes);
            let _ = Authenticator::decode(bytes);
            let _ = ApReq::decode(bytes);
            let _ = asked_for(bytes);
        }
        let _ = asked_for(&changed(&tgt_req(&SERVICE), &changes));
        let answer = changed(&hex::decode(AS_REP).unwrap(), &changes);
        // It is sealed with another key.
        prop_assert!(!matches!(as_rep(&answer, &Key::new(18, SERVICE_KEY).unwrap(), &[1; 4]), Ok(Some(_))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_client_that_sends_anything_ends_in_an_error(changes in change()) {
        let message = changed(&init(&[&KERBEROS, &NTLMSSP], &now().token()).encode(), &changes);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let client = async |mut stream: DuplexStream| {
            let _ = stream.write_all(&message).await;
        };
        let (accepted, ()) = runtime.block_on(accepting(KEY, &credentials(), client));
        let error = accepted.unwrap_err().to_string();
        prop_assert!(!error.contains("panicked"), "{}", error);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// A client knows the session key, and can seal in it what it likes.
    #[test]
    fn changed_tickets_end_without_a_panic(inside in 0..3_u8, changes in change()) {
        let request = Request::good();
        let (ticket, authenticator) = (request.ticket(), request.authenticator());
        let token = match inside {
            0 => request.token_of(&changed(&ticket, &changes), &authenticator),
            1 => request.token_of(&ticket, &changed(&authenticator, &changes)),
            _ => changed(&request.token(), &changes),
        };
        let outcome = said(service().accept(&token, None, NOW));
        prop_assert!(!outcome.contains("panicked"), "{}", outcome);
    }

    #[test]
    fn changed_wrap_tokens_end_without_a_panic(
        noise in prop::collection::vec(any::<u8>(), 0..80), changes in change(),
    ) {
        let mut context = Context::new(Key::new(18, SESSION_KEY).unwrap(), 7);
        let sealed = wrapped(&Key::new(18, SESSION_KEY).unwrap(), b"message", 28, 0);
        for bytes in [noise, changed(&sealed, &changes), [&sealed[..16], &changed(&sealed, &changes)].concat()] {
            if let Some(message) = context.open(&bytes) {
                prop_assert_eq!(&**message, &b"message"[..]);
            }
            prop_assert!(!context.verifies(b"message", &bytes));
        }
        context.seal(b"").unwrap();
    }
}
