//! What must not happen, whatever comes.

use super::super::ntlm::{self, Fault};
use super::super::spnego;
use super::super::ts_credentials;
use super::super::ts_request::Message;
use super::peers::{NTLM, SPNEGO, Spnego, sspi_client, sspi_server};
use super::{
    CredsspError, KEY, PASSWORD, Seen, TARGET, USER, accept, accepting, connect, connecting, narrow, right,
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
