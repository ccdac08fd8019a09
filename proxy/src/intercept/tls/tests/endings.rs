//! How streams end after the handshake.

use super::super::*;
use super::support::*;
use crate::wire::tls::Alert;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Every stack of this build with every version that it speaks.
fn stacks_and_versions() -> Vec<(Stack, &'static str)> {
    let mut stacks = vec![(Stack::Usual, "1.2"), (Stack::Usual, "1.3")];
    if Stack::LEGACY_IS_BUILT_IN {
        stacks.extend(["1.0", "1.1", "1.2", "1.3"].map(|versions| (legacy(), versions)));
    }
    stacks
}

/// What the client leg reads last, after the server leg said `last words` and `end` ended it.
async fn end_of(
    stack: &Stack,
    versions: &str,
    end: impl AsyncFnOnce(TlsStream<TcpStream>) -> Option<TlsStream<TcpStream>>,
) -> StreamEnd {
    let (server, mut client) = in_time(both_legs(identity(), &offer(versions), stack)).await;
    let mut server = server.stream;
    server.write_all(b"last words").await.unwrap();
    server.flush().await.unwrap();
    let mut words = [0; 10];
    in_time(client.read_exact(&mut words)).await.unwrap();
    assert_eq!(&words, b"last words");
    let _kept = end(server).await;
    let result = in_time(client.read(&mut words)).await;
    ending(&result).unwrap()
}

#[tokio::test]
async fn close_notify_fin_and_reset_are_told_apart() {
    for (stack, versions) in stacks_and_versions() {
        let close_notify = end_of(&stack, versions, async |mut stream| {
            stream.shutdown().await.unwrap();
            Some(stream)
        });
        assert_eq!(close_notify.await, StreamEnd::CloseNotify, "{stack:?} {versions}");
        let fin = end_of(&stack, versions, async |mut stream| {
            stream.fin().await.unwrap();
            Some(stream)
        });
        assert_eq!(fin.await, StreamEnd::Fin, "{stack:?} {versions}");
        let rst = end_of(&stack, versions, async |stream| {
            socket2::SockRef::from(stream.tee().get_ref())
                .set_linger(Some(std::time::Duration::ZERO))
                .unwrap();
            None
        });
        assert_eq!(rst.await, StreamEnd::Reset, "{stack:?} {versions}");
    }
}

#[tokio::test]
async fn each_direction_ends_by_itself() {
    for (stack, versions) in stacks_and_versions() {
        let (server, mut client) = in_time(both_legs(identity(), &offer(versions), &stack)).await;
        let mut server = server.stream;
        server.shutdown().await.unwrap();
        let mut buffer = [0; 6];
        assert_eq!(in_time(client.read(&mut buffer)).await.unwrap(), 0);
        client.write_all(b"answer").await.unwrap();
        client.shutdown().await.unwrap();
        in_time(server.read_exact(&mut buffer)).await.unwrap();
        assert_eq!(&buffer, b"answer");
        assert_eq!(ending(&in_time(server.read(&mut buffer)).await), Some(StreamEnd::CloseNotify));
    }
}

#[tokio::test]
async fn a_damaged_record_is_answered_with_an_encrypted_alert() {
    for (stack, versions) in stacks_and_versions() {
        let (server, mut client) = in_time(both_legs(identity(), &offer(versions), &stack)).await;
        let mut server = server.stream;
        // A record that no key made, past TLS.
        let mut record = vec![23, 3, 3, 0, 64];
        record.extend([7; 64]);
        if let Ok(version) = versions.parse::<VersionRange>()
            && version.maximum() < TlsVersion::Tls12
        {
            record[2] = version.maximum().number().to_be_bytes()[1];
        }
        server.tee_mut().write_all(&record).await.unwrap();
        server.tee_mut().flush().await.unwrap();
        let mut buffer = [0; 6];
        let result = in_time(client.read(&mut buffer)).await;
        assert!(matches!(ending(&result), Some(StreamEnd::Broken(_))), "{stack:?} {versions} {result:?}");
        let result = in_time(server.read(&mut buffer)).await;
        let bad_record_mac = Alert::decode(&[2, 20]).unwrap();
        assert_eq!(ending(&result), Some(StreamEnd::Alert(bad_record_mac)), "{stack:?} {versions}");
    }
}
