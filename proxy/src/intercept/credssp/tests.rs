//! Both legs against the `sspi` crate's own CredSSP, and against each other.

mod credentials;
mod hostile;
mod kerberos;
mod peers;
mod recorded;
mod secrets;
mod service;
mod tickets;
mod values;

use super::{
    Accepted, Connected, Credentials, CredsspError, CredsspTap, Delegation, Mechanism, accept, connect,
};
use crate::trace::Side;
use peers::{NTLM, SPNEGO, sspi_client, sspi_server};
use tokio::io::{DuplexStream, duplex};
use zeroize::Zeroizing;

const USER: &str = r"CORP\jane";
const PASSWORD: &str = "Right-1234";
const TARGET: &str = "TERMSRV/server.test";
const KEY: &[u8] = b"the key of one certificate";
const OTHER_KEY: &[u8] = b"the key of another certificate";

/// Every message of a leg, whole.
#[derive(Debug, Default)]
struct Seen(Vec<(bool, Vec<u8>)>);

impl CredsspTap for Seen {
    fn message(&mut self, from_us: bool, bytes: &[u8]) {
        self.0.push((from_us, bytes.to_vec()));
    }
}

fn credentials(username: &str, password: &str) -> Credentials {
    Credentials::new(username, Zeroizing::new(password.to_owned())).unwrap()
}

fn right() -> Credentials {
    credentials(USER, PASSWORD)
}

/// Ends of a stream that hands over a few bytes at a time.
fn narrow() -> (DuplexStream, DuplexStream) {
    duplex(7)
}

/// `accept` and whatever talks to it, until both are done; a side that is done closes.
async fn accepting<R>(
    key: &[u8],
    credentials: &Credentials,
    client: impl AsyncFnOnce(DuplexStream) -> R,
) -> (Result<Accepted, CredsspError>, R) {
    let (ours, theirs) = narrow();
    let accepting = async move {
        let mut ours = ours;
        accept(&mut ours, key, credentials, &mut Seen::default()).await
    };
    tokio::join!(accepting, client(theirs))
}

async fn connecting<R>(
    key: &[u8],
    credentials: &Credentials,
    server: impl AsyncFnOnce(DuplexStream) -> R,
) -> (Result<Connected, CredsspError>, R) {
    let (ours, theirs) = narrow();
    let connecting = async move {
        let mut ours = ours;
        connect(&mut ours, key, credentials, TARGET, &mut Seen::default()).await
    };
    tokio::join!(connecting, server(theirs))
}

#[tokio::test]
async fn a_client_of_every_version_is_accepted_with_bare_ntlm() {
    for version in 2..=6 {
        let client = async |stream| sspi_client(stream, KEY, USER, PASSWORD, version, NTLM).await;
        let (accepted, client) = accepting(KEY, &right(), client).await;
        client.unwrap();
        let accepted = accepted.unwrap();
        assert_eq!(
            accepted,
            Accepted {
                version,
                mechanism: Mechanism::Ntlm,
                how: "by NTLM, as a Kerberos ticket for the server can only be read with the server's own key; \
                      for Kerberos add a line 'keytab = …' to the credentials"
                    .to_owned(),
                user: "jane".to_owned(),
                domain: "CORP".to_owned(),
                delegation: Delegation::Password
            }
        );
    }
}

#[tokio::test]
async fn a_client_is_accepted_with_ntlm_in_spnego() {
    for version in [5, 6] {
        let client = async |stream| sspi_client(stream, KEY, USER, PASSWORD, version, SPNEGO).await;
        let (accepted, client) = accepting(KEY, &right(), client).await;
        client.unwrap();
        assert_eq!(accepted.unwrap().mechanism, Mechanism::SpnegoNtlm);
    }
}

#[tokio::test]
async fn the_domain_that_a_client_sends_need_not_be_the_one_that_was_given() {
    for username in ["jane", r"LAPTOP\Jane", "jane@corp.test"] {
        for mode in [NTLM, SPNEGO] {
            let client = async |stream| sspi_client(stream, KEY, username, PASSWORD, 6, mode).await;
            let (accepted, client) = accepting(KEY, &right(), client).await;
            client.unwrap();
            accepted.unwrap();
        }
    }
}

#[tokio::test]
async fn a_client_with_another_password_is_told_logon_failure() {
    for mode in [NTLM, SPNEGO] {
        let client = async |stream| sspi_client(stream, KEY, USER, "Wrong-5678", 6, mode).await;
        let (accepted, client) = accepting(KEY, &right(), client).await;
        let error = accepted.unwrap_err();
        assert!(matches!(&error, CredsspError::WrongPassword { user } if user == "jane"), "{error}");
        assert_eq!(error.side(), Some(Side::Client));
        assert!(client.unwrap_err().contains("c000006d"));
    }
}

#[tokio::test]
async fn a_client_that_is_somebody_else_is_told_logon_failure() {
    let client = async |stream| sspi_client(stream, KEY, r"CORP\joe", PASSWORD, 6, NTLM).await;
    let (accepted, client) = accepting(KEY, &right(), client).await;
    let error = accepted.unwrap_err();
    assert!(error.to_string().contains(r#"logged on as "joe" and rdpscope was given "jane""#), "{error}");
    assert!(client.unwrap_err().contains("c000006d"));
}

#[tokio::test]
async fn a_client_that_sees_another_key_is_told_so() {
    for version in [2, 4, 5, 6] {
        let client = async |stream| sspi_client(stream, OTHER_KEY, USER, PASSWORD, version, NTLM).await;
        let (accepted, client) = accepting(KEY, &right(), client).await;
        assert!(matches!(accepted, Err(CredsspError::KeyBinding { side: Side::Client })), "{accepted:?}");
        let told = client.unwrap_err();
        // Versions 2 and 5 know no errorCode.
        assert_eq!(told.contains("c0000022"), [4, 6].contains(&version), "{told}");
    }
}

#[tokio::test]
async fn a_server_of_every_version_is_logged_on_to() {
    for version in 2..=6 {
        let server = async |stream| sspi_server(stream, KEY, USER, PASSWORD, version).await;
        let (connected, server) = connecting(KEY, &right(), server).await;
        let connected = connected.unwrap();
        assert_eq!((connected.version, connected.mechanism), (version, Mechanism::Ntlm));
        let identity = server.unwrap();
        assert_eq!(identity.username.inner(), USER);
        assert_eq!(AsRef::<str>::as_ref(identity.password.as_ref()), PASSWORD);
    }
}

#[tokio::test]
async fn a_user_principal_name_is_handed_over_whole() {
    let lines = format!("username = jane@corp.test\npassword = {PASSWORD}\nkdc = none");
    let given = Credentials::parse(lines.as_bytes()).unwrap();
    let server = async |stream| sspi_server(stream, KEY, "jane@corp.test", PASSWORD, 6).await;
    let (connected, server) = connecting(KEY, &given, server).await;
    let reason = connected.unwrap().not_kerberos.unwrap();
    assert_eq!(reason, "the credentials say 'kdc = none'");
    assert_eq!(server.unwrap().username.inner(), "jane@corp.test");
}

#[tokio::test]
async fn the_status_of_a_server_that_refuses_is_kept() {
    let given = credentials(USER, "Wrong-5678");
    let server = async |stream| sspi_server(stream, KEY, USER, PASSWORD, 6).await;
    let (connected, server) = connecting(KEY, &given, server).await;
    server.unwrap_err();
    let error = connected.unwrap_err();
    assert_eq!(error.side(), Some(Side::Server));
    assert_eq!(error.status(), Some(peers::SERVER_SAYS), "{error}");
}

#[tokio::test]
async fn a_server_that_closes_after_the_credentials_hints_at_them() {
    let given = credentials(USER, "Wrong-5678");
    // Version 5 knows no errorCode: the server just closes.
    let server = async |stream| sspi_server(stream, KEY, USER, PASSWORD, 5).await;
    let (connected, _) = connecting(KEY, &given, server).await;
    let error = connected.unwrap_err();
    assert!(matches!(error, CredsspError::Closed { side: Side::Server, .. }), "{error}");
    assert!(error.to_string().contains("check the credentials given to rdpscope"), "{error}");
}

#[tokio::test]
async fn a_server_with_another_key_ends_it() {
    for version in [2, 6] {
        let server = async |stream| sspi_server(stream, OTHER_KEY, USER, PASSWORD, version).await;
        let (connected, server) = connecting(KEY, &right(), server).await;
        let error = connected.unwrap_err();
        assert_eq!(error.side(), Some(Side::Server), "{error}");
        assert!(server.is_err());
    }
}

#[tokio::test]
async fn client_and_server_meet_through_both_legs() {
    for mode in [NTLM, SPNEGO] {
        let (client_ours, client_theirs) = narrow();
        let (server_ours, server_theirs) = narrow();
        let given = right();
        let between = async {
            let (mut client_leg, mut server_leg) = (client_ours, server_ours);
            let (mut on_client, mut on_server) = (Seen::default(), Seen::default());
            let connected = connect(&mut server_leg, KEY, &given, TARGET, &mut on_server).await.unwrap();
            let accepted = accept(&mut client_leg, OTHER_KEY, &given, &mut on_client).await.unwrap();
            (connected, accepted, on_client, on_server)
        };
        let client = sspi_client(client_theirs, OTHER_KEY, USER, PASSWORD, 6, mode);
        let server = sspi_server(server_theirs, KEY, USER, PASSWORD, 6);
        let ((connected, accepted, on_client, on_server), client, server) =
            tokio::join!(between, client, server);
        client.unwrap();
        server.unwrap();
        assert_eq!((connected.version, accepted.version), (6, 6));
        let directions = |seen: &Seen| seen.0.iter().map(|(from_us, _)| *from_us).collect::<Vec<_>>();
        assert_eq!(directions(&on_server), [true, false, true, false, true]);
        assert_eq!(directions(&on_client)[..4], [false, true, false, true]);
        let whole = |seen: &Seen| {
            seen.0.iter().all(|(_, bytes)| sspi::credssp::TsRequest::from_buffer(bytes).is_ok())
        };
        assert!(whole(&on_client) && whole(&on_server));
    }
}

#[tokio::test]
async fn the_early_user_authorization_is_passed_on() {
    use super::{EarlyUserAuthorization, read_early_user_authorization, send_early_user_authorization};
    let (mut ours, mut theirs) = narrow();
    let mut seen = Seen::default();
    for result in [EarlyUserAuthorization(0), EarlyUserAuthorization(5)] {
        send_early_user_authorization(&mut ours, result, &mut seen).await.unwrap();
        let read = read_early_user_authorization(&mut theirs, &mut seen).await.unwrap();
        assert_eq!((read, read.is_success()), (result, result.0 == 0));
    }
    assert_eq!(seen.0[2], (true, vec![5, 0, 0, 0]));
    drop(ours);
    let error = read_early_user_authorization(&mut theirs, &mut seen).await.unwrap_err();
    assert!(error.to_string().contains("during the early user authorization"), "{error}");
}
