//! rustls on both legs.

use super::super::*;
use super::support::*;
use crate::wire::tls::{ContentType, RecordReader};
use rdpscope_certs::key::{KeyKind, PrivateKey};
use rdpscope_certs::mint::{LeafKey, self_signed};
use rdpscope_certs::mode::{Fault as Broken, Recipe, Repair};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Types of the records in `bytes`, which hold whole records.
fn record_types(bytes: &[u8]) -> Vec<ContentType> {
    let (mut reader, mut rest, mut types) = (RecordReader::new(), bytes, Vec::new());
    while let Some(record) = reader.next(&mut rest) {
        types.push(record.unwrap().header.content_type);
    }
    assert_eq!(reader.unfinished(), None);
    types
}

#[tokio::test]
async fn every_mode_is_received_bit_by_bit() {
    let original = fresh(KeyKind::WINDOWS);
    let own_key = PrivateKey::generate(KeyKind::P384).unwrap();
    let mut identities = vec![
        original.clone(),
        minted(&Recipe::Fresh, &[], LeafKey::Given(&own_key)),
        self_signed("WIN-SERVER", NOW, NOW + 86_400).unwrap(),
        minted(&Recipe::Mirror([].into()), &original.chain, LeafKey::New(KeyKind::P256)),
        minted(&Recipe::Mirror(Repair::ALL.into()), &original.chain, LeafKey::New(KeyKind::P256)),
    ];
    for fault in Broken::ALL {
        identities.push(minted(&Recipe::Broken(fault), &[], LeafKey::New(KeyKind::P256)));
    }
    for identity in &identities {
        for versions in ["1.2", "1.3"] {
            let (server, _client) = in_time(both_legs(identity, &offer(versions), &Stack::Usual)).await;
            assert_eq!(server.chain, identity.chain);
            assert_eq!(server.stream.version().unwrap(), format!("TLS{versions}"));
            let short = matches!(identity.key.kind(), KeyKind::Rsa { bits } if bits < 2048);
            assert_eq!(server.signature_ok, (!short).then_some(true), "{}", identity.key.kind());
            let public_key = server.public_key.unwrap();
            let leaf = identity.leaf();
            assert!(leaf.windows(public_key.len()).any(|part| part == public_key));
        }
    }
}

#[tokio::test]
async fn data_passes_and_is_counted_and_the_tap_is_left_alone_when_quiet() {
    let (client, server) = connection().await;
    let (wire, other_wire) = (Wire::default(), Wire::default());
    let identity = ServerIdentity::new(identity()).unwrap();
    let client = Tee::new(client, Vec::new(), wire.clone());
    let server = Tee::new(server, Vec::new(), other_wire.clone());
    let offer = offer("1.0..1.3");
    let (ours, theirs) = in_time(async {
        tokio::join!(connect(client, &offer, &Stack::Usual), accept(server, &identity, &Stack::Usual))
    })
    .await;
    let (mut ours, mut theirs) = (ours.unwrap().stream, theirs.unwrap());
    assert_eq!(wire.of(true), other_wire.of(false));
    assert_eq!(wire.of(false), other_wire.of(true));
    assert_eq!(ours.tee().sent(), wire.of(true).len() as u64);
    assert_eq!(ours.cipher_suite().unwrap().to_string(), "TLS_AES_256_GCM_SHA384");

    ours.tee_mut().quiet();
    let before = wire.of(true);
    ours.write_all(b"question").await.unwrap();
    ours.flush().await.unwrap();
    let mut buffer = [0; 8];
    in_time(theirs.read_exact(&mut buffer)).await.unwrap();
    assert_eq!(&buffer, b"question");
    theirs.write_all(b"answer!!").await.unwrap();
    in_time(ours.read_exact(&mut buffer)).await.unwrap();
    assert_eq!(&buffer, b"answer!!");
    assert_eq!(wire.of(true), before);
    // What goes over the wire is header, plaintext, content type and tag.
    assert_eq!(ours.tee().sent(), before.len() as u64 + 5 + 8 + 1 + 16);
    assert_eq!(ours.tee().received(), theirs.tee().sent());
}

/// Each write of both sides in a handshake of `versions`.
async fn flights(versions: &str) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (client, server) = connection().await;
    let (sent, answered) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let client = tee(Counting { stream: client, writes: Arc::clone(&sent) });
    let server = tee(Counting { stream: server, writes: Arc::clone(&answered) });
    // A chain of more than one read and one buffer.
    let mut identity = identity().clone();
    let leaf = identity.leaf().to_vec();
    identity.chain.extend(std::iter::repeat_n(leaf, 40));
    let identity = ServerIdentity::new(&identity).unwrap();
    let offer = offer(versions);
    let (ours, theirs) = in_time(async {
        tokio::join!(connect(client, &offer, &Stack::Usual), accept(server, &identity, &Stack::Usual))
    })
    .await;
    ours.unwrap();
    theirs.unwrap();
    (sent.lock().unwrap().clone(), answered.lock().unwrap().clone())
}

#[tokio::test]
async fn each_flight_is_one_write() {
    use ContentType::{ApplicationData, ChangeCipherSpec, Handshake};
    let (client, server) = flights("1.2").await;
    let client: Vec<_> = client.iter().map(|flight| record_types(flight)).collect();
    assert_eq!(client, [vec![Handshake], vec![Handshake, ChangeCipherSpec, Handshake]]);
    assert_eq!(server.len(), 2);
    assert_eq!(record_types(&server[1]), [ChangeCipherSpec, Handshake]);

    let (client, server) = flights("1.3").await;
    let client: Vec<_> = client.iter().map(|flight| record_types(flight)).collect();
    // The filler ChangeCipherSpec goes as soon as the ServerHello is here, the Finished when the whole flight is.
    assert_eq!(client.concat(), [Handshake, ChangeCipherSpec, ApplicationData]);
    assert_eq!(server.len(), 1, "and no ticket follows");
    assert!(server[0].len() > 16_384);
}

#[tokio::test]
async fn a_write_is_a_record_of_its_own_afterwards() {
    let (client, server) = connection().await;
    let writes = Arc::new(Mutex::new(Vec::new()));
    let client = tee(Counting { stream: client, writes: Arc::clone(&writes) });
    let identity = ServerIdentity::new(identity()).unwrap();
    let offer = offer("1.2");
    let (ours, _theirs) = in_time(async {
        tokio::join!(connect(client, &offer, &Stack::Usual), accept(tee(server), &identity, &Stack::Usual))
    })
    .await;
    let mut ours = ours.unwrap().stream;
    writes.lock().unwrap().clear();
    for message in [&[7; 3000][..], &[8; 1]] {
        ours.write_all(message).await.unwrap();
        ours.flush().await.unwrap();
    }
    let written = writes.lock().unwrap().clone();
    assert_eq!(written.len(), 2);
    assert!(written.iter().all(|write| record_types(write) == [ContentType::ApplicationData]));
}

#[tokio::test]
async fn only_a_dns_name_is_sent_to_the_server() {
    for (name, sent) in [
        (Some(HOST), Some(HOST)),
        (Some("WIN_SERVER"), Some("WIN_SERVER")),
        (Some("192.0.2.7"), None),
        (Some("2001:db8::7"), None),
        (Some("no name at all"), None),
        (None, None),
    ] {
        let (client, mut server) = connection().await;
        let offer =
            Offer { server_name: name.map(str::to_owned), versions: VersionRange::ALL, ..Offer::default() };
        let connecting = tokio::spawn(async move { connect(tee(client), &offer, &Stack::Usual).await.err() });
        let hello =
            in_time(peek_client_hello(&mut server, &mut Vec::new(), &mut Wire::default())).await.unwrap();
        assert_eq!(hello.server_name.as_deref(), sent);
        assert!(!hello.pre_shared_key);
        drop(server);
        assert!(in_time(connecting).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn what_is_offered_is_limited() {
    for (versions, offered) in [
        ("1.2", &["TLS1.2"][..]),
        ("1.3", &["TLS1.3"]),
        ("1.0..1.3", &["TLS1.3", "TLS1.2"]),
        ("1.0..1.2", &["TLS1.2"]),
    ] {
        let (client, mut server) = connection().await;
        let offer = offer(versions);
        let connecting = tokio::spawn(async move { connect(tee(client), &offer, &Stack::Usual).await.err() });
        let hello =
            in_time(peek_client_hello(&mut server, &mut Vec::new(), &mut Wire::default())).await.unwrap();
        assert_eq!(hello.supported_versions, offered);
        drop(server);
        in_time(connecting).await.unwrap();
    }
}
