//! What must not happen, whatever comes.

use super::super::binding::Binding;
use super::super::conversation::Conversation;
use super::super::der::{OCTET_STRING, SEQUENCE, context, element, explicit};
use super::super::ntlm::{self, Fault};
use super::super::spnego;
use super::super::ts_credentials;
use super::super::ts_request::Message;
use super::peers::{NTLM, SPNEGO, Spnego, sspi_client, sspi_server};
use super::{
    CredsspError, KEY, Mechanism, PASSWORD, Seen, TARGET, USER, accept, accepting, connect, connecting,
    narrow, right,
};
use crate::trace::Side;
use proptest::prelude::*;
use std::sync::OnceLock;
use tokio::io::{AsyncWriteExt, DuplexStream};

/// What the peers of one session sent: bytes of whole messages.
struct Recorded {
    bare: Vec<Vec<u8>>,
    spnego: Vec<Vec<u8>>,
    server: Vec<Vec<u8>>,
}

fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(|| {
        block_on(async {
            Recorded {
                bare: of_client(NTLM).await,
                spnego: of_client(SPNEGO).await,
                server: of_server().await,
            }
        })
    })
}

async fn of_client(mode: Spnego) -> Vec<Vec<u8>> {
    let (mut ours, theirs) = narrow();
    let mut seen = Seen::default();
    let given = right();
    let client = sspi_client(theirs, KEY, USER, PASSWORD, 6, mode);
    let (accepted, client) = tokio::join!(accept(&mut ours, KEY, &given, &mut seen), client);
    accepted.unwrap();
    client.unwrap();
    seen.0.into_iter().filter(|(from_us, _)| !from_us).map(|(_, bytes)| bytes).collect()
}

async fn of_server() -> Vec<Vec<u8>> {
    let (mut ours, theirs) = narrow();
    let mut seen = Seen::default();
    let given = right();
    let server = sspi_server(theirs, KEY, USER, PASSWORD, 6);
    let (connected, server) = tokio::join!(connect(&mut ours, KEY, &given, TARGET, &mut seen), server);
    connected.unwrap();
    server.unwrap();
    seen.0.into_iter().filter(|(from_us, _)| !from_us).map(|(_, bytes)| bytes).collect()
}

fn block_on<R>(future: impl Future<Output = R>) -> R {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Sends one message and takes what is answered until the end.
async fn send_and_listen(mut stream: DuplexStream, message: &Message) {
    stream.write_all(&message.encode()).await.unwrap();
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
}

fn token(message: &[u8]) -> Vec<u8> {
    Message::decode(message).unwrap().nego_token.unwrap()
}

/// Changes to a message: bytes set, cut off, put in.
fn change() -> impl Strategy<Value = Vec<(u8, prop::sample::Index, u8)>> {
    prop::collection::vec((0..4_u8, any::<prop::sample::Index>(), any::<u8>()), 1..6)
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

fn assert_library_is_sound<R>(result: Result<R, Fault>) {
    if let Err(Fault::Library(what)) = result {
        assert!(!what.contains("panicked"), "the shape check let through what the library panics on");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn changed_ntlm_never_makes_the_library_panic(changes in change(), challenged in any::<bool>()) {
        let recorded = recorded();
        let (negotiate, authenticate) = (token(&recorded.bare[0]), token(&recorded.bare[1]));
        let mut server = ntlm::Server::new();
        if challenged {
            server.challenge(&negotiate).unwrap();
            let authenticate = changed(&authenticate, &changes);
            if let Ok(names) = ntlm::names(&authenticate) {
                assert_library_is_sound(server.authenticate(&authenticate, &names, &right()));
            }
        } else {
            assert_library_is_sound(server.challenge(&changed(&negotiate, &changes)));
        }
        let mut client = ntlm::Client::new(&right(), TARGET);
        client.negotiate().unwrap();
        assert_library_is_sound(client.authenticate(&changed(&token(&recorded.server[0]), &changes)));
    }

    #[test]
    fn changed_envelopes_are_read_without_a_panic(changes in change()) {
        let recorded = recorded();
        for message in recorded.bare.iter().chain(&recorded.spnego).chain(&recorded.server) {
            let _ = Message::decode(&changed(message, &changes));
            let _ = ts_credentials::delegation(&changed(message, &changes));
        }
        let _ = spnego::Init::decode(&changed(&token(&recorded.spnego[0]), &changes));
        let _ = spnego::Response::decode(&changed(&token(&recorded.spnego[1]), &changes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_client_that_sends_anything_ends_in_an_error(
        bare in any::<bool>(), turn in 0..4_usize, changes in change(),
    ) {
        let messages = if bare { &recorded().bare } else { &recorded().spnego };
        let replay = async |stream: DuplexStream| {
            let (mut answers, mut stream) = tokio::io::split(stream);
            let sending = async {
                for (number, message) in messages.iter().enumerate() {
                    let message = if number == turn { changed(message, &changes) } else { message.clone() };
                    // It may have been refused before.
                    let _ = stream.write_all(&message).await;
                }
                stream.shutdown().await.unwrap();
            };
            let mut nowhere = tokio::io::sink();
            let _ = tokio::join!(sending, tokio::io::copy(&mut answers, &mut nowhere));
        };
        // A replay never fits a fresh challenge.
        let (accepted, ()) = block_on(accepting(KEY, &right(), replay));
        let error = accepted.unwrap_err().to_string();
        prop_assert!(!error.contains("panicked"), "{}", error);
    }
}

#[tokio::test]
async fn a_message_of_16_mib_is_refused_by_its_header() {
    let client = async |mut stream: DuplexStream| {
        stream.write_all(&[0x30, 0x83, 0xFF, 0xFF, 0xFF]).await.unwrap();
        stream
    };
    let (accepted, _open) = accepting(KEY, &right(), client).await;
    let error = accepted.unwrap_err();
    assert!(matches!(error, CredsspError::TooLong { side: Side::Client, length: 0xFF_FFFF, .. }), "{error}");
    assert!(error.to_string().contains("16777215 bytes where 131072 are the most"), "{error}");
}

#[tokio::test]
async fn a_peer_that_closes_is_named_with_the_step() {
    let (accepted, ()) = accepting(KEY, &right(), async |_| ()).await;
    let error = accepted.unwrap_err().to_string();
    assert!(
        error.starts_with("CredSSP with the client: it closed the connection during the negotiation"),
        "{error}"
    );
    let server = async |mut stream: DuplexStream| stream.write_all(&[0x30]).await.unwrap();
    let (connected, ()) = connecting(KEY, &right(), server).await;
    assert!(matches!(connected, Err(CredsspError::Closed { side: Side::Server, .. })), "{connected:?}");
}

#[tokio::test]
async fn what_is_no_credssp_is_malformed() {
    let client = async |mut stream: DuplexStream| {
        stream.write_all(b"\x03\x00\x00\x13").await.unwrap();
        stream
    };
    let (accepted, _open) = accepting(KEY, &right(), client).await;
    assert!(matches!(accepted, Err(CredsspError::Malformed { side: Side::Client, .. })), "{accepted:?}");
}

#[tokio::test]
async fn a_client_of_version_1_is_refused() {
    let message = Message { version: 1, nego_token: Some(vec![1]), ..Message::default() };
    let (accepted, ()) =
        accepting(KEY, &right(), async |stream| send_and_listen(stream, &message).await).await;
    assert!(
        matches!(accepted, Err(CredsspError::Version { side: Side::Client, version: 1 })),
        "{accepted:?}"
    );
}

#[tokio::test]
async fn a_client_with_kerberos_only_is_told_that_there_is_none() {
    // SPNEGO with Kerberos as its one mechanism.
    let token = hex::decode("601b06062b0601050502a011300fa00d300b06092a864886f712010202").unwrap();
    let message = Message { nego_token: Some(token), ..Message::new() };
    let (accepted, ()) =
        accepting(KEY, &right(), async |stream| send_and_listen(stream, &message).await).await;
    let error = accepted.unwrap_err();
    assert!(matches!(error, CredsspError::NoNtlm { side: Side::Client }), "{error}");
}

/// As Windows' client where a Kerberos ticket is at hand: Kerberos is its first choice, NTLM its second.
#[tokio::test]
async fn a_client_that_prefers_kerberos_is_asked_for_ntlm_and_must_sign_its_list() {
    for signs in [true, false] {
        let (accepted, ()) = accepting(KEY, &right(), async |mut stream: DuplexStream| {
            let client = prefers_kerberos(&mut stream, signs);
            assert_eq!(client.await.is_some(), signs);
        })
        .await;
        match accepted {
            Ok(accepted) => assert!(signs && accepted.mechanism == Mechanism::SpnegoNtlm),
            Err(error) => assert!(!signs && error.to_string().contains("sent no mechListMIC"), "{error}"),
        }
    }
}

/// `None` when the server refuses it.
async fn prefers_kerberos(stream: &mut DuplexStream, signs: bool) -> Option<()> {
    let list = element(
        SEQUENCE,
        &hex::decode("06092a864882f71201020206092a864886f712010202060a2b06010401823702020a").unwrap(),
    );
    let init = explicit(context(0), SEQUENCE, &element(context(0), &list));
    let spnego = hex::decode("06062b0601050502").unwrap();
    let mut client = ntlm::Client::new(&right(), TARGET);
    let mut tap = Seen::default();
    let mut server = Conversation::new(Side::Server, stream, &mut tap);

    server.send(&with_token(element(0x60, &[spnego, init].concat()))).await.unwrap();
    let asked = server.receive().await.unwrap().nego_token.unwrap();
    // request-mic and NTLM.
    assert_eq!(hex::encode(&asked), "a1153013a0030a0103a10c060a2b06010401823702020a");
    let negotiate = client.negotiate().unwrap();
    server.send(&with_token(response(&negotiate, None))).await.unwrap();
    let challenge = server.receive().await.unwrap().nego_token.unwrap();
    let challenge = spnego::Response::decode(&challenge).unwrap().token.unwrap().to_vec();
    let (authenticate, mut session) = client.authenticate(&challenge).unwrap();
    let mic = signs.then(|| session.sign_mechanism_list(&list));
    server.send(&with_token(response(&authenticate, mic.as_ref()))).await.unwrap();
    let completed = server.receive().await.ok()?.nego_token.unwrap();
    let mic = spnego::Response::decode(&completed).unwrap().mic.unwrap().to_vec();
    assert!(session.verifies_mechanism_list(&list, &mic));

    let nonce = Some([7; 32]);
    let binding = Binding::new(6, KEY, nonce).unwrap();
    let pub_key_auth = Some(session.seal(&binding.of_client()));
    server.send(&Message { pub_key_auth, client_nonce: nonce, ..Message::new() }).await.unwrap();
    let sealed = server.receive().await.unwrap().pub_key_auth.unwrap();
    assert_eq!(*session.open(&sealed).unwrap(), binding.of_server());
    let auth_info = Some(session.seal(&ts_credentials::encode(&right())));
    server.send(&Message { auth_info, ..Message::new() }).await.unwrap();
    Some(())
}

fn with_token(token: Vec<u8>) -> Message {
    Message { nego_token: Some(token), ..Message::new() }
}

/// A client's NegTokenResp.
fn response(token: &[u8], mic: Option<&[u8; 16]>) -> Vec<u8> {
    let mut fields = explicit(context(2), OCTET_STRING, token);
    if let Some(mic) = mic {
        fields.extend(explicit(context(3), OCTET_STRING, mic));
    }
    explicit(context(1), SEQUENCE, &fields)
}
