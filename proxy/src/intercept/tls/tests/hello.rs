//! The ClientHello, peeked at.

use super::super::*;
use super::support::*;
use crate::wire::tls::ClientHello;
use tokio::io::AsyncWriteExt as _;

/// A ClientHello of our own.
async fn hello() -> Vec<u8> {
    let (client, mut server) = connection().await;
    let wire = Wire::default();
    let client = Tee::new(client, Vec::new(), wire.clone());
    let connecting =
        tokio::spawn(async move { connect(client, &offer("1.0..1.3"), &Stack::Usual).await.err() });
    in_time(peek_client_hello(&mut server, &mut Vec::new(), &mut Wire::default())).await.unwrap();
    drop(server);
    in_time(connecting).await.unwrap();
    wire.of(true)
}

async fn peek(bytes: &[u8]) -> (Result<Box<ClientHello>, PeekError>, Vec<u8>) {
    let mut read = Vec::new();
    let result = peek_client_hello(&mut &bytes[..], &mut read, &mut Wire::default()).await;
    (result, read)
}

#[tokio::test]
async fn the_prefix_and_the_rest_make_a_whole_handshake() {
    let (client, mut server) = connection().await;
    let identity = ServerIdentity::new(identity()).unwrap();
    let connecting = tokio::spawn(async move { connect(tee(client), &offer("1.3"), &Stack::Usual).await });
    let wire = Wire::default();
    let mut read = Vec::new();
    let hello = in_time(peek_client_hello(&mut server, &mut read, &mut wire.clone())).await.unwrap();
    assert_eq!(hello.server_name.as_deref(), Some(HOST));
    assert_eq!(client_needs_legacy(&hello), None);
    assert_eq!(wire.of(false), read);

    let server = Tee::new(server, read, wire.clone());
    let client_leg = in_time(accept(server, &identity, &Stack::Usual)).await.unwrap();
    let server_leg = in_time(connecting).await.unwrap().unwrap();
    assert_eq!(client_leg.tee().received(), server_leg.stream.tee().sent());
    assert_eq!(wire.of(false).len() as u64, client_leg.tee().received(), "nothing is shown twice");
}

#[tokio::test]
async fn pieces_and_fragments_make_no_difference() {
    let hello = hello().await;
    let expected = peek(&hello).await.0.unwrap();
    let (mut sender, mut receiver) = tokio::io::duplex(1);
    let bytes = hello.clone();
    let sending = tokio::spawn(async move { sender.write_all(&bytes).await });
    let wire = Wire::default();
    let mut read = Vec::new();
    let found = in_time(peek_client_hello(&mut receiver, &mut read, &mut wire.clone())).await.unwrap();
    in_time(sending).await.unwrap().unwrap();
    assert_eq!((&found, &read, &wire.of(false)), (&expected, &hello, &hello));

    let mut fragments = Vec::new();
    for piece in hello[5..].chunks(100) {
        fragments.extend([22, 3, 1, 0, u8::try_from(piece.len()).unwrap()]);
        fragments.extend(piece);
    }
    assert_eq!(peek(&fragments).await.0.unwrap(), expected);
    // Part of it was read and shown before.
    let mut first = hello[..50].to_vec();
    let wire = Wire::default();
    let rest = peek_client_hello(&mut &hello[50..], &mut first, &mut wire.clone()).await;
    assert_eq!(rest.unwrap(), expected);
    assert_eq!((first, wire.of(false)), (hello.clone(), hello[50..].to_vec()));
}

#[tokio::test]
async fn what_is_no_hello_is_told_apart() {
    let hello = hello().await;
    let (result, _) = peek(b"").await;
    assert!(matches!(result, Err(PeekError::Fin { received: 0 })));
    let (result, read) = peek(&hello[..hello.len() - 1]).await;
    assert!(matches!(result, Err(PeekError::Fin { received }) if received == hello.len() - 1));
    assert_eq!(read, hello[..hello.len() - 1]);
    let (result, read) = peek(b"GET / HTTP/1.1\r\n").await;
    assert!(matches!(result, Err(PeekError::NotTls(_))));
    assert_eq!(read, b"GET / HTTP/1.1\r\n");
    // An alert, a ServerHello, a ClientHello that ends in its version.
    assert!(matches!(peek(&[21, 3, 1, 0, 2, 2, 40]).await.0, Err(PeekError::OtherMessage)));
    assert!(matches!(peek(&[22, 3, 1, 0, 4, 2, 0, 0, 0]).await.0, Err(PeekError::OtherMessage)));
    assert!(matches!(peek(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 3]).await.0, Err(PeekError::Malformed(_))));

    let mut endless = Vec::new();
    while endless.len() < 2 * MAXIMUM_CLIENT_HELLO {
        endless.extend([22, 3, 1, 0x10, 0]);
        endless.extend(if endless.len() == 5 { [1, 1, 0xff, 0] } else { [0; 4] });
        endless.extend([0; 0x1000 - 4]);
    }
    let (result, read) = peek(&endless).await;
    assert!(matches!(result, Err(PeekError::TooLong)));
    assert!(read.len() <= MAXIMUM_CLIENT_HELLO + 4096);
}

#[tokio::test]
async fn a_reset_is_not_a_fin() {
    let (mut client, mut server) = connection().await;
    client.write_all(&[22, 3]).await.unwrap();
    let mut read = Vec::new();
    tokio::io::AsyncReadExt::read_buf(&mut server, &mut read).await.unwrap();
    reset(client);
    let result = in_time(peek_client_hello(&mut server, &mut read, &mut Wire::default())).await;
    assert!(matches!(result, Err(PeekError::Reset { received: 2 })));
}
