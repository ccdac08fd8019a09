//! Handshakes that fail, and who is at fault.

use super::super::*;
use super::support::*;
use crate::trace::Side;
use crate::wire::tls::Alert;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn alert(description: u8) -> Alert {
    Alert::decode(&[2, description]).unwrap()
}

/// The error of a handshake with a server that reads the ClientHello and then does `answer`; what it reads afterwards.
async fn server_that(
    versions: &str,
    stack: &Stack,
    answer: impl AsyncFnOnce(TcpStream) -> Option<TcpStream>,
) -> (HandshakeError, Vec<u8>) {
    let (client, mut server) = connection().await;
    let offer = offer(versions);
    let stack = stack.clone();
    let connecting = tokio::spawn(async move { connect(tee(client), &offer, &stack).await.err() });
    in_time(peek_client_hello(&mut server, &mut Vec::new(), &mut Wire::default())).await.unwrap();
    let mut rest = Vec::new();
    if let Some(mut server) = answer(server).await {
        in_time(server.read_to_end(&mut rest)).await.unwrap();
    }
    (in_time(connecting).await.unwrap().expect("it fails"), rest)
}

fn stacks() -> Vec<Stack> {
    let mut stacks = vec![Stack::Usual];
    if Stack::LEGACY_IS_BUILT_IN {
        stacks.push(Stack::Legacy { need: "this is a test".to_owned() });
    }
    stacks
}

async fn answered(versions: &str, stack: &Stack, bytes: &[u8]) -> (HandshakeError, Vec<u8>) {
    server_that(versions, stack, async |mut server: TcpStream| {
        server.write_all(bytes).await.unwrap();
        Some(server)
    })
    .await
}

#[tokio::test]
async fn a_server_that_leaves_in_the_middle() {
    for stack in stacks() {
        let (error, _) = server_that("1.3", &stack, async |server| {
            drop(server);
            None
        })
        .await;
        assert_eq!(error.failure, HandshakeFailure::Ended(StreamEnd::Fin));
        assert_eq!((error.fault(), &error.needs_legacy), (Fault::PeerOrNetwork, &None));
        assert_eq!(
            error.to_string(),
            "the TLS handshake with the server failed: the server closed the connection in the middle of it"
        );
        let (error, _) = server_that("1.3", &stack, async |server| {
            reset(server);
            None
        })
        .await;
        assert_eq!(error.failure, HandshakeFailure::Ended(StreamEnd::Reset));
        assert_eq!(error.fault(), Fault::PeerOrNetwork);
    }
    let (error, _) = server_that("1.0..1.3", &Stack::Usual, async |server| {
        drop(server);
        None
    })
    .await;
    assert!(error.needs_legacy.unwrap().starts_with("the server left at the ClientHello without a word"));
}

#[tokio::test]
async fn a_server_that_sends_an_alert() {
    for stack in stacks() {
        for description in [40, 48, 70, 80] {
            let (error, _) = answered("1.2", &stack, &[21, 3, 3, 0, 2, 2, description]).await;
            assert_eq!(error.alert_received(), Some(&alert(description)), "{stack:?}");
        }
    }
    let (error, _) = answered("1.2..1.3", &Stack::Usual, &[21, 3, 3, 0, 2, 2, 40]).await;
    assert_eq!(
        error.needs_legacy.as_deref(),
        Some(
            "the server takes no cipher suite, group or signature scheme of the usual TLS stack (alert \
             handshake_failure)"
        )
    );
    assert_eq!(error.fault(), Fault::Us);
    let (error, _) = answered("1.0..1.3", &Stack::Usual, &[21, 3, 1, 0, 2, 2, 70]).await;
    assert_eq!(
        error.needs_legacy.as_deref(),
        Some("the server refuses TLS 1.2 and newer (alert protocol_version)")
    );
    // The second stack may say no more than the first.
    for (versions, description) in [("1.2..1.3", 70), ("1.3", 40), ("1.0..1.3", 80)] {
        let (error, _) = answered(versions, &Stack::Usual, &[21, 3, 1, 0, 2, 2, description]).await;
        assert_eq!((&error.needs_legacy, error.fault()), (&None, Fault::Peer), "{versions} {description}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_something_else() {
    for stack in stacks() {
        let (error, rest) = answered("1.0..1.3", &stack, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        assert!(matches!(error.failure, HandshakeFailure::Ended(StreamEnd::Broken(_))), "{error:?}");
        assert_eq!((&error.needs_legacy, error.fault()), (&None, Fault::Peer));
        // We end our side; OpenSSL says nothing to HTTP.
        assert_eq!(error.alert_sent, rest.get(6).map(|description| alert(*description)));
        assert!(rest.len() == 7 || stack != Stack::Usual && rest.is_empty(), "{stack:?} {rest:?}");
    }
}

#[tokio::test]
async fn a_server_that_answers_with_an_old_version() {
    let mut server_hello = vec![22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    server_hello.extend([9; 32]);
    server_hello.extend([0, 0xc0, 0x14]);
    server_hello.push(0);
    let (error, rest) = answered("1.0..1.3", &Stack::Usual, &server_hello).await;
    assert_eq!(error.needs_legacy.as_deref(), Some("the server speaks nothing newer than TLS 1.0"));
    assert_eq!(error.fault(), Fault::Us);
    assert_eq!(rest[..], [21, 3, 3, 0, 2, 2, rest[6]]);
    let (error, _) = answered("1.2..1.3", &Stack::Usual, &server_hello).await;
    assert_eq!((&error.needs_legacy, error.fault()), (&None, Fault::Peer));
}

#[tokio::test]
async fn old_versions_alone_need_the_second_stack() {
    let (client, _server) = connection().await;
    let error = in_time(connect(tee(client), &offer("1.0..1.1"), &Stack::Usual)).await.err().unwrap();
    assert_eq!(error.needs_legacy.as_deref(), Some("only 1.0..1.1 of TLS may be offered to the server"));
}

#[cfg(not(feature = "legacy-tls"))]
#[tokio::test]
async fn without_the_second_stack_it_is_said_what_works() {
    let (client, server) = connection().await;
    let stack = Stack::Legacy { need: "the server speaks nothing newer than TLS 1.0".to_owned() };
    let error = connect(tee(client), &offer("1.0"), &stack).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "TLS with the server cannot be terminated: the server speaks nothing newer than TLS 1.0, and this build has no \
         second TLS stack, as the packages named legacy-tls have; `--cert passthrough` works all the same"
    );
    assert_eq!(error.fault(), Fault::Us);
    let identity = ServerIdentity::new(identity()).unwrap();
    let stack = Stack::Legacy { need: "the client speaks nothing newer than TLS 1.1".to_owned() };
    let error = accept(tee(server), &identity, &stack).await.err().unwrap();
    assert!(error.to_string().starts_with("TLS with the client cannot be terminated: the client speaks"));
}

#[tokio::test]
async fn clients_that_fail() {
    for stack in stacks() {
        let identity = ServerIdentity::new(identity()).unwrap();
        for sent in [&[22, 3, 1, 1, 0, 1][..], &[]] {
            let (mut client, server) = connection().await;
            client.write_all(sent).await.unwrap();
            client.shutdown().await.unwrap();
            let error = in_time(accept(tee(server), &identity, &stack)).await.err().unwrap();
            let fin = HandshakeFailure::Ended(StreamEnd::Fin);
            assert_eq!((error.peer, &error.failure), (Side::Client, &fin), "{stack:?}");
        }
        let (mut client, server) = connection().await;
        client.write_all(&[22, 3]).await.unwrap();
        server.readable().await.unwrap();
        reset(client);
        let error = in_time(accept(tee(server), &identity, &stack)).await.err().unwrap();
        assert_eq!(error.failure, HandshakeFailure::Ended(StreamEnd::Reset));
    }
}

#[test]
fn an_identity_without_a_certificate_is_none() {
    let empty = rdpscope_certs::Identity { chain: Vec::new(), key: identity().key.clone() };
    assert_eq!(
        ServerIdentity::new(&empty).unwrap_err().to_string(),
        "there is no certificate to show the client"
    );
}

#[cfg(feature = "legacy-tls")]
#[tokio::test]
async fn what_openssl_cannot_take_is_served_by_the_usual_stack_alone() {
    let nonsense = rdpscope_certs::Identity { chain: vec![vec![1, 2, 3]], key: identity().key.clone() };
    let served = ServerIdentity::new(&nonsense).unwrap();
    let (_client, server) = connection().await;
    let stack = Stack::Legacy { need: "this is a test".to_owned() };
    let error = accept(tee(server), &served, &stack).await.err().unwrap();
    assert!(matches!(error.failure, HandshakeFailure::Ours(_)) && error.fault() == Fault::Us);
    let (server, _client) = in_time(both_legs(&nonsense, &offer("1.3"), &Stack::Usual)).await;
    assert_eq!((server.chain, server.public_key), (nonsense.chain, None));
}
