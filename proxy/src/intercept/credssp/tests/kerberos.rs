//! Kerberos with the answers of a recorded logon, whole and broken.

use super::super::as_rep;
use super::super::credentials::Credentials;
use super::super::kdc;
use super::super::kerberos::{Client, Context, first_step};
use super::super::kerberos_shape::{self as shape, Answer};
use super::super::ntlm::Fault;
use super::super::refusal::Refusal;
use super::super::spnego::{Offer, Response, State};
use super::super::ts_request::Message;
use super::recorded::{AP_REP, AS_REP, PREAUTH_REQUIRED, PUB_KEY_AUTH, TGS_REP};
use super::secrets::{CANARY, holds_canary, logged};
use super::{KEY, Seen, TARGET, connect, narrow};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sspi::network_client::NetworkClient;
use sspi::{ErrorKind, NetworkRequest};
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A KDC that gives these answers in turn.
struct Replay {
    answers: [Vec<u8>; 3],
    asked: AtomicUsize,
}

impl NetworkClient for Replay {
    fn send(&self, _: &NetworkRequest) -> sspi::Result<Vec<u8>> {
        let answer = self.answers.get(self.asked.fetch_add(1, Ordering::Relaxed));
        let sound = answer.filter(|answer| matches!(shape::check_answer(answer), Ok(Answer::Usable)));
        let mut sound =
            sound.cloned().ok_or_else(|| sspi::Error::new(ErrorKind::NoAuthenticatingAuthority, ""))?;
        as_rep::mark_as_its_own(&mut sound, CANARY);
        Ok([&(sound.len() as u32).to_be_bytes()[..], &sound].concat())
    }
}

fn bytes(recorded: &str) -> Vec<u8> {
    hex::decode(recorded).unwrap()
}

fn answers() -> [Vec<u8>; 3] {
    [PREAUTH_REQUIRED, AS_REP, TGS_REP].map(bytes)
}

fn credentials(kdc: &str) -> Credentials {
    let lines = format!("username = canary\npassword = {CANARY}\nrealm = RDP.TEST\nkdc = {kdc}");
    Credentials::parse(lines.as_bytes()).unwrap()
}

fn with_ticket(answers: [Vec<u8>; 3]) -> Result<(Client, Vec<u8>), Refusal> {
    let account = credentials("unused").account().unwrap();
    first_step(account, TARGET, &Replay { answers, asked: AtomicUsize::new(0) })
}

/// AP-REP as it is in the recorded answer.
fn ap_rep() -> Vec<u8> {
    let token = Message::decode(&bytes(AP_REP)).unwrap().nego_token.unwrap();
    let response = Response::decode(&token).unwrap();
    assert_eq!((response.state, response.chooses_ntlm), (Some(State::AcceptCompleted), false));
    response.token.unwrap().to_vec()
}

fn context() -> Context {
    let (client, _) = with_ticket(answers()).map_err(|refusal| refusal.to_string()).unwrap();
    client.establish(&ap_rep()).unwrap()
}

fn pub_key_auth() -> Vec<u8> {
    Message::decode(&bytes(PUB_KEY_AUTH)).unwrap().pub_key_auth.unwrap()
}

#[test]
fn a_recorded_logon_is_followed_to_its_seal() {
    let mut context = context();
    // A SHA-256 over a nonce that nobody kept.
    assert_eq!(context.open(&pub_key_auth()).unwrap().len(), 32);
    let sealed = context.seal(b"message").unwrap();
    assert_eq!(sealed.len(), 7 + 60);
    // What a client seals is no server's.
    assert!(context.open(&sealed).is_none());
}

/// Windows turns by 28, others by nothing or by anything else (RFC 4121 4.2.5).
#[test]
fn a_wrap_token_may_be_turned_by_any_count() {
    let mut context = context();
    let turned = pub_key_auth();
    let body = turned.len() - 16;
    let original = context.open(&turned).unwrap();
    for count in [0, 1, 12, 28, body, body + 5, usize::from(u16::MAX)] {
        let mut other = turned.clone();
        other[6..8].copy_from_slice(&u16::try_from(count).unwrap().to_be_bytes());
        other[16..].rotate_left(28);
        other[16..].rotate_right(count % body);
        assert_eq!(context.open(&other).as_ref(), Some(&original), "{count}");
    }
}

#[test]
fn a_wrap_token_that_was_altered_is_not_opened() {
    let mut context = context();
    let sealed = pub_key_auth();
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 0x40;
        // Flags without a meaning and the outer sequence number are outside of what is sealed.
        assert!(context.open(&altered).is_none() || at == 2 || (8..16).contains(&at), "byte {at}");
        assert!(context.open(&sealed[..at]).is_none(), "{at} bytes");
    }
    assert!(context.open(&sealed).is_some());
}

#[test]
fn what_a_kdc_refuses_with_is_read_and_goes_no_further() {
    let mut refused = bytes(PREAUTH_REQUIRED);
    let error_code = [0xA6, 3, 2, 1, 25];
    let at = refused.windows(5).position(|window| window == error_code).unwrap() + 4;
    assert_eq!(shape::check_answer(&refused), Ok(Answer::Usable));
    refused[at] = 7;
    assert_eq!(shape::check_answer(&refused), Ok(Answer::Refusal(7)));
    assert_eq!(shape::check_answer(&bytes(AS_REP)), Ok(Answer::Usable));
    for broken in [&b""[..], b"\x30", b"\x7e\x00", b"\x7e\x80\x00\x00", b"HTTP/1.1 400 Bad Request\r\n"] {
        shape::check_answer(broken).unwrap_err();
    }
    // An INTEGER without bytes, which the library would take for one with some.
    let mut empty = vec![0x7E, 0x06, 0x30, 0x04, 0xA6, 0x02, 0x02, 0x00];
    shape::check_answer(&empty).unwrap_err();
    empty = [0xA0, 0x80].repeat(100_000);
    shape::check_answer(&empty).unwrap_err();
}

#[test]
fn the_mark_of_an_as_rep_is_put_right_with_the_password_only() {
    let recorded = bytes(AS_REP);
    let mut marked = recorded.clone();
    as_rep::mark_as_its_own(&mut marked, "Wrong-5678");
    assert_eq!(marked, recorded);
    as_rep::mark_as_its_own(&mut marked, CANARY);
    assert_ne!(marked, recorded);
    let once = marked.clone();
    as_rep::mark_as_its_own(&mut marked, CANARY);
    assert_eq!(marked, once, "what is right is left as it is");
    let mut other = bytes(TGS_REP);
    as_rep::mark_as_its_own(&mut other, CANARY);
    assert_eq!(other, bytes(TGS_REP));
}

/// What the library computes and logs with answers that are whole goes nowhere.
#[test]
fn nothing_of_kerberos_is_logged() {
    let log = logged(|| {
        let mut context = context();
        tracing::trace!("a line {:?}", credentials("unused"));
        context.open(&pub_key_auth()).unwrap();
        context.seal(b"message").unwrap();
    });
    assert!(log.contains("a line") && !holds_canary(&log) && !log.contains("sspi::"), "{log}");
}

#[test]
fn the_offer_is_kerberos_before_ntlm() {
    let offer = Offer::of_kerberos(&[1; 200]);
    let init = super::super::spnego::Init::decode(&offer.token).unwrap();
    assert_eq!(init.mechanism_list, offer.mechanism_list);
    assert_eq!((init.offers_ntlm, init.prefers_ntlm, init.token), (true, false, Some(&[1; 200][..])));
}

/// Answers every question with `answer`, as it is.
async fn serving(listener: TcpListener, answer: Vec<u8>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut length = [0; kdc::PREFIX];
        stream.read_exact(&mut length).await.unwrap();
        let mut question = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut question).await.unwrap();
        let held = question.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        assert!(!held, "the password is not said to a KDC");
        // It may close before all is sent.
        let _ = stream.write_all(&answer).await;
    }
}

/// Why there is no ticket from a KDC that answers so.
async fn refusal(answer: Vec<u8>) -> Refusal {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let given = credentials(&listener.local_addr().unwrap().to_string());
    tokio::select! {
        () = serving(listener, answer) => unreachable!("it serves without end"),
        ticket = Client::new(&given, TARGET) => ticket.err().unwrap(),
    }
}

#[tokio::test]
async fn a_kdc_that_is_none_is_named() {
    let with_length = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let broken = refusal(with_length(b"SSH-2.0-OpenSSH_9.2")).await;
    assert!(matches!(broken, Refusal::Malformed { .. }), "{broken}");
    let long = refusal(vec![0xFF; 4]).await.to_string();
    assert!(long.contains("it announced 4294967295 bytes where 131072 are the most"), "{long}");
    let short = refusal(vec![0, 0, 1, 0, 0x7E]).await;
    assert!(matches!(short, Refusal::Unreachable { .. }), "{short}");
    // The same answer for ever: after the first, a refusal of the password is what it means.
    let again = refusal(with_length(&bytes(PREAUTH_REQUIRED))).await;
    assert!(matches!(again, Refusal::Library(_)), "{again}");
    assert!(!again.to_string().contains("panicked"), "{again}");
}

/// A server that is given up on after the KDC refused the password has seen no message.
#[tokio::test]
async fn a_refused_password_is_said_to_no_server() {
    let mut refused = bytes(PREAUTH_REQUIRED);
    let at = refused.windows(5).position(|window| window == [0xA6, 3, 2, 1, 25]).unwrap() + 4;
    refused[at] = 24;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let given = credentials(&listener.local_addr().unwrap().to_string());
    let answer = [&(refused.len() as u32).to_be_bytes()[..], &refused].concat();
    let (mut ours, _theirs) = narrow();
    let mut seen = Seen::default();
    let error = tokio::select! {
        () = serving(listener, answer) => unreachable!("it serves without end"),
        connected = connect(&mut ours, KEY, &given, TARGET, &mut seen) => connected.unwrap_err(),
    };
    assert!(error.to_string().contains("KDC_ERR_PREAUTH_FAILED (24): the password is wrong"), "{error}");
    assert!(error.side().is_none() && seen.0.is_empty());
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
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_bytes_are_checked_without_a_panic(
        noise in prop::collection::vec(any::<u8>(), 0..200), turn in 0..3_usize, changes in change(),
    ) {
        let answer = changed(&answers()[turn], &changes);
        for bytes in [&noise, &answer] {
            let _ = shape::check_answer(bytes);
            let _ = shape::check_ap_rep(bytes);
            let _ = shape::turned(bytes);
        }
        let _ = shape::check_ap_rep(&changed(&ap_rep(), &changes));
        let _ = shape::turned(&changed(&pub_key_auth(), &changes));
    }
}

proptest! {
    // Each computes keys from a password, slowly on purpose.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn changed_answers_of_a_kdc_never_make_the_library_panic(turn in 0..3_usize, changes in change()) {
        let mut answers = answers();
        answers[turn] = changed(&answers[turn], &changes);
        if let Err(refusal) = with_ticket(answers) {
            prop_assert!(!refusal.to_string().contains("panicked"), "{}", refusal);
        }
    }
}

/// No case of `run`, which is given changes, may end in a panic of the library.
fn assert_never_panics<R>(run: impl Fn(&[(u8, prop::sample::Index, u8)]) -> Result<R, Fault>) {
    let mut runner = TestRunner::new(ProptestConfig::with_cases(5_000));
    let outcome = runner.run(&change(), |changes| {
        if let Err(fault) = run(&changes) {
            let said = format!("{fault:?}");
            prop_assert!(!said.contains("panicked"), "{}", said);
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_changed_ap_rep_never_makes_the_library_panic() {
    let (client, _) = with_ticket(answers()).ok().unwrap();
    assert_never_panics(|changes| client.clone().establish(&changed(&ap_rep(), changes)));
}

#[test]
fn changed_wrap_tokens_never_make_the_library_panic() {
    let context = RefCell::new(context());
    assert_never_panics(|changes| context.borrow_mut().decrypt(&changed(&pub_key_auth(), changes)));
}
