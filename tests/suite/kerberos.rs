//! `--nla terminate` with Kerberos on both legs: a real KDC, and a real client and server that take its tickets.

use crate::support::left_out::left_out_without;
use crate::support::peers::{
    ClientRun, FreeRdp, REALM, Realm, SERVICE, Shadow, ShadowSecurity, Xfreerdp, free_port,
};
use crate::support::rdpscope::{Finished, Rdpscope, program};
use rdpscope::intercept::credssp::{
    Accepted, Connected, Credentials, CredsspError, CredsspTap, Delegation, Mechanism, accept, connect,
};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

/// The one user, also of the server's SAM file.
const USER: &str = "test";
const PASSWORD: &str = "Right-1234";
const WRONG_PASSWORD: &str = "Wrong-5678";

/// True, after saying so, when something that these tests need is missing.
fn left_out() -> bool {
    let version = FreeRdp::Three;
    let programs = [&Xfreerdp::programs(version)[..], &Shadow::programs(version), &Realm::PROGRAMS];
    left_out_without(&programs.concat())
}

/// Runs xfreerdp through rdpscope, whose credentials hold `lines`, to `server`.
fn run(server: &Shadow, password: &str, lines: &str) -> (ClientRun, Finished) {
    let client = Xfreerdp::new(FreeRdp::Three, &["/u:test", &format!("/p:{password}"), "/sec:nla"]);
    run_client(&client, server, password, lines)
}

/// The same with this client.
fn run_client(client: &Xfreerdp, server: &Shadow, password: &str, lines: &str) -> (ClientRun, Finished) {
    let folder = TempDir::new().expect("a temporary folder is made");
    let file = folder.path().join("credentials");
    std::fs::write(&file, format!("password = {password}\n{lines}\n")).expect("they are written");
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("only we may read them");
    let file = file.to_string_lossy();
    let arguments = ["--listen", "127.0.0.1:0", "--sessions", "1", "--cert", "fresh"];
    let arguments = [&arguments[..], &["--nla", "terminate", "--credentials", &file]].concat();
    let target = format!("localhost:{}", server.address.port());
    let mut command = program();
    // What the machine says of realms is not this test's.
    command.env("KRB5_CONFIG", folder.path().join("absent"));
    command.env("RUST_LOG", "trace");
    let rdpscope = Rdpscope::start_as(command, &target, &arguments);
    let run = client.run(rdpscope.address.port());
    println!("{}", run.summary());
    let finished = rdpscope.finish();
    for secret in [PASSWORD, WRONG_PASSWORD] {
        finished.assert_nowhere(secret);
    }
    (run, finished)
}

fn lines(realm: &Realm) -> String {
    format!("username = {USER}\nrealm = {REALM}\nkdc = {}", realm.kdc)
}

/// How rdpscope logged on to the server; the client reached the desktop.
fn how(run: &ClientRun, finished: &Finished) -> String {
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    let session = finished.session();
    let ends = session.events_named("credssp_terminated");
    assert_eq!(ends.len(), 2, "{session}");
    assert!(ends.iter().all(|end| end["succeeded"] == true), "{session}");
    assert!(ends[1]["reason"].as_str().is_some_and(|reason| reason.starts_with("by NTLM, as")), "{session}");
    ends[0]["reason"].as_str().expect("it is said how").to_owned()
}

/// What the tokens of rdpscope's own leg were.
fn mechanisms(finished: &Finished) -> String {
    let requests = finished.session().events_named("ts_request");
    requests.iter().filter(|request| request["leg"] == "server").map(ToString::to_string).collect()
}

#[test]
fn a_ticket_lets_rdpscope_log_on() {
    if left_out() {
        return;
    }
    let realm = Realm::start(USER, PASSWORD, true);
    let server = Shadow::start_in(&realm);
    for user in [USER.to_owned(), format!("{REALM}\\{USER}"), format!("{USER}@{}", REALM.to_lowercase())] {
        let lines = format!("username = {user}\nrealm = {REALM}\nkdc = {}", realm.kdc);
        let (run, finished) = run(&server, PASSWORD, &lines);
        assert_eq!(how(&run, &finished), format!("by Kerberos, with a ticket for {SERVICE}"));
        let tokens = mechanisms(&finished);
        assert!(
            tokens.contains("ap_req")
                && tokens.contains("ap_rep")
                && !tokens.contains(r#""mechanism":"ntlm""#),
            "{tokens}"
        );
        assert!(tokens.contains(SERVICE), "{tokens}");
    }
    let given = format!("{USER}@{REALM} for {SERVICE}@{REALM}");
    assert!(realm.log().contains(&given), "{}", realm.log());
}

#[test]
fn a_realm_without_the_service_leaves_ntlm() {
    if left_out() {
        return;
    }
    let realm = Realm::start(USER, PASSWORD, false);
    let server = Shadow::start(FreeRdp::Three, ShadowSecurity::Nla);
    let (run, finished) = run(&server, PASSWORD, &lines(&realm));
    let how = how(&run, &finished);
    assert!(how.starts_with("by NTLM, as the KDC of realm RDP.TEST refused with"), "{how}");
    assert!(how.contains("KDC_ERR_S_PRINCIPAL_UNKNOWN (7): the realm has no such service"), "{how}");
}

#[test]
fn a_kdc_that_is_not_there_leaves_ntlm() {
    if left_out() {
        return;
    }
    let server = Shadow::start(FreeRdp::Three, ShadowSecurity::Nla);
    let nobody = format!("username = {USER}\nrealm = {REALM}\nkdc = 127.0.0.1:{}", free_port());
    let (run_, finished) = run(&server, PASSWORD, &nobody);
    let reason = how(&run_, &finished);
    assert!(reason.starts_with("by NTLM, as the KDC 127.0.0.1:"), "{reason}");
    assert!(reason.contains("gives no answer: Connection refused"), "{reason}");

    let (run_, finished) = run(&server, PASSWORD, &format!("{nobody}\n").replace("kdc = 127", "# 127"));
    let reason = how(&run_, &finished);
    assert!(reason.contains("gives no answer") || reason.contains("no KDC of realm"), "{reason}");

    let (run_, finished) = run(&server, PASSWORD, &format!("username = {USER}\nkdc = none"));
    assert_eq!(how(&run_, &finished), "by NTLM, as the credentials say 'kdc = none'");
}

/// One wrong password is one wrong password: it is not tried again by NTLM.
#[test]
fn a_password_that_the_realm_refuses_is_not_tried_by_ntlm() {
    if left_out() {
        return;
    }
    let realm = Realm::start(USER, PASSWORD, true);
    let server = Shadow::start_in(&realm);
    let (run, finished) = run(&server, WRONG_PASSWORD, &lines(&realm));
    assert!(!run.active, "{}", run.tail());
    let session = finished.session();
    let end = session.event("credssp_terminated");
    assert_eq!((&end["leg"], &end["succeeded"]), (&"server".into(), &false.into()), "{session}");
    let reason = end["reason"].as_str().expect("it is said why");
    assert!(reason.contains("KDC_ERR_PREAUTH_FAILED (24): the password is wrong"), "{reason}");
    assert_eq!(mechanisms(&finished), "", "{session}");
}

struct Nobody;

impl CredsspTap for Nobody {
    fn message(&mut self, _: bool, _: &[u8]) {}
}

/// The realm gives a ticket that the server cannot read, and so it chooses NTLM from the list. FreeRDP's server does so
/// as well, but then fails with its own client, too; rdpscope's own plays it here.
#[test]
fn a_server_without_its_key_chooses_ntlm_from_the_list() {
    if left_out_without(&Realm::PROGRAMS) {
        return;
    }
    let realm = Realm::start(USER, PASSWORD, true);
    let text = format!("password = {PASSWORD}\n{}", lines(&realm));
    let credentials = Credentials::parse(text.as_bytes()).expect("they are credentials");
    let (connected, accepted, _) = both(&credentials, &credentials);
    let connected = connected.expect("it logs on");
    assert_eq!(connected.mechanism, Mechanism::SpnegoNtlm);
    let reason = connected.not_kerberos.expect("it is said why");
    assert_eq!(reason, "the server chose NTLM though it was offered a ticket");
    let accepted = accepted.expect("it is let in");
    assert_eq!((accepted.mechanism, accepted.user.as_str()), (Mechanism::SpnegoNtlm, USER));
}

/// A member of the realm who has signed in there.
fn member(realm: &Realm) -> Xfreerdp {
    let tickets = realm.sign_in(USER, PASSWORD, "10h");
    let arguments = [&format!("/u:{USER}"), &format!("/d:{REALM}"), &format!("/p:{PASSWORD}"), "/sec:nla"];
    let environment = [&realm.environment()[..], &[("KRB5CCNAME", tickets)]].concat();
    Xfreerdp::new(FreeRdp::Three, &arguments).with_environment(&environment)
}

/// What the tokens of the client's leg were, from both sides.
fn mechanisms_of_client(finished: &Finished) -> String {
    let requests = finished.session().events_named("ts_request");
    requests.iter().filter(|request| request["leg"] == "client").map(ToString::to_string).collect()
}

/// The AES-256 key in a keytab, as hex.
fn key_in(keytab: &Path) -> String {
    let bytes = std::fs::read(keytab).expect("it is read");
    // Its type is 18, its length 32.
    let at = bytes.windows(4).position(|window| window == [0, 18, 0, 32]).expect("it has such a key") + 4;
    hex::encode(&bytes[at..at + 32])
}

/// A client with a ticket reaches the desktop by Kerberos on both legs, on the client's with these words.
fn both_legs_by_kerberos(realm: &Realm, of_client: &str) {
    let server = Shadow::start_in(realm);
    let lines = format!("{}\nkeytab = {}", lines(realm), realm.keytab().display());
    let (run, finished) = run_client(&member(realm), &server, PASSWORD, &lines);
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    let session = finished.session();
    let ends = session.events_named("credssp_terminated");
    let reasons: Vec<_> = ends.iter().map(|end| end["reason"].as_str().unwrap_or_default()).collect();
    assert_eq!(reasons, [&format!("by Kerberos, with a ticket for {SERVICE}"), of_client], "{session}");
    for tokens in [mechanisms(&finished), mechanisms_of_client(&finished)] {
        assert!(tokens.contains("ap_req") && tokens.contains("ap_rep"), "{tokens}");
        assert!(!tokens.contains(r#""mechanism":"ntlm""#), "{tokens}");
    }
    let on_screen = finished.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(on_screen.contains(of_client), "{on_screen}");
    finished.assert_nowhere(&key_in(&realm.keytab()));
}

#[test]
fn a_ticket_lets_the_client_in_and_another_lets_rdpscope_log_on() {
    if left_out() {
        return;
    }
    let realm = Realm::start(USER, PASSWORD, true);
    both_legs_by_kerberos(
        &realm,
        &format!("by Kerberos, with its ticket for {SERVICE}@{REALM}, user-to-user"),
    );
}

/// The service's account may not log on itself, so that user-to-user, which FreeRDP's client begins with, is not possible.
#[test]
fn a_service_without_a_ticket_of_its_own_takes_the_clients_as_well() {
    if left_out() {
        return;
    }
    let realm = Realm::start(USER, PASSWORD, true);
    realm.administer(&format!("modprinc +needchange {SERVICE}"));
    both_legs_by_kerberos(&realm, &format!("by Kerberos, with its ticket for {SERVICE}@{REALM}"));
    assert!(realm.log().contains("REQUIRED PWCHANGE"), "{}", realm.log());
}

#[test]
fn without_a_keytab_a_client_with_a_ticket_logs_on_by_ntlm() {
    if left_out() {
        return;
    }
    let realm = Realm::start(USER, PASSWORD, true);
    let server = Shadow::start_in(&realm);
    let (run, finished) = run_client(&member(&realm), &server, PASSWORD, &lines(&realm));
    assert_eq!(how(&run, &finished), format!("by Kerberos, with a ticket for {SERVICE}"));
    let ends = finished.session().events_named("credssp_terminated");
    let reason = ends[1]["reason"].as_str().expect("it is said why");
    assert!(reason.contains("for Kerberos add a line 'keytab = …' to the credentials"), "{reason}");
}

/// FreeRDP's client shows its ticket only after Kerberos was chosen from its list: then there is no way back to NTLM.
#[test]
fn a_keytab_of_another_name_is_named_with_what_the_client_asked_for() {
    if left_out() {
        return;
    }
    let realm = Realm::start(USER, PASSWORD, true);
    let server = Shadow::start_in(&realm);
    let other = realm.keytab().with_file_name("other.keytab");
    realm.administer("addprinc -randkey TERMSRV/other");
    realm.administer(&format!("ktadd -k {} TERMSRV/other", other.display()));
    let lines = format!("{}\nkeytab = {}", lines(&realm), other.display());
    let (run, finished) = run_client(&member(&realm), &server, PASSWORD, &lines);
    assert!(!run.active, "{}", run.tail());
    let ends = finished.session().events_named("credssp_terminated");
    assert_eq!((&ends[1]["leg"], &ends[1]["succeeded"]), (&"client".into(), &false.into()));
    let reason = ends[1]["reason"].as_str().expect("it is said why");
    let expected = format!(
        "Kerberos is not possible, as the keytab has no key of {SERVICE}@{REALM}, which the client's ticket is for, but \
         of TERMSRV/other@{REALM}"
    );
    assert!(reason.contains(&expected), "{reason}");
    finished.assert_nowhere(&key_in(&other));
}

#[test]
fn a_keytab_that_is_not_there_is_said_at_once() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let file = folder.path().join("credentials");
    std::fs::write(&file, "username = test\npassword = x\nkeytab = absent\n").expect("they are written");
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("only we may read them");
    let mut command = program();
    command.args([
        "proxy",
        "localhost:1",
        "--listen",
        "127.0.0.1:0",
        "--cert",
        "fresh",
        "--nla",
        "terminate",
    ]);
    let said = command.arg("--credentials").arg(&file).output().expect("it runs");
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success(), "{text}");
    let expected = format!("keytab {}: it cannot be read", folder.path().join("absent").display());
    assert!(text.contains(&expected), "{text}");
}

/// Credentials of `user` in the realm, with this keytab if there is one.
fn credentials(realm: &Realm, user: &str, keytab: Option<&Path>) -> Credentials {
    let file = realm.keytab().with_file_name("credentials");
    let mut text =
        format!("username = {user}\npassword = {PASSWORD}\nrealm = {REALM}\nkdc = {}\n", realm.kdc);
    if let Some(keytab) = keytab {
        text += &format!("keytab = {}\n", keytab.display());
    }
    std::fs::write(&file, text).expect("they are written");
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("only we may read them");
    Credentials::from_file(&file).expect("they are credentials")
}

/// What the client sent.
#[derive(Default)]
struct Sent(Vec<Vec<u8>>);

impl CredsspTap for Sent {
    fn message(&mut self, from_us: bool, bytes: &[u8]) {
        if from_us {
            self.0.push(bytes.to_vec());
        }
    }
}

/// rdpscope's own client, whose Kerberos is the `sspi` crate's, at rdpscope as the server.
fn both(
    client: &Credentials,
    server: &Credentials,
) -> (Result<Connected, CredsspError>, Result<Accepted, CredsspError>, Sent) {
    let key = b"the key of a certificate";
    let mut sent = Sent::default();
    let (connected, accepted) = block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let (sent, mut nobody) = (&mut sent, Nobody);
        let connecting = async move {
            let mut ours = ours;
            connect(&mut ours, key, client, SERVICE, sent).await
        };
        tokio::join!(connecting, accept(&mut theirs, key, server, &mut nobody))
    });
    (connected, accepted, sent)
}

fn block_on<R>(future: impl Future<Output = R>) -> R {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

#[test]
fn a_clients_first_choice_is_kerberos_and_its_proof_counts_once() {
    if left_out_without(&Realm::PROGRAMS) {
        return;
    }
    let realm = Realm::start(USER, PASSWORD, true);
    let server = credentials(&realm, USER, Some(&realm.keytab()));
    let (connected, accepted, sent) = both(&credentials(&realm, USER, None), &server);
    assert_eq!(connected.expect("it logs on").mechanism, Mechanism::Kerberos);
    let accepted = accepted.expect("it is let in");
    assert_eq!(accepted.mechanism, Mechanism::Kerberos);
    assert_eq!((accepted.user.as_str(), accepted.domain.as_str()), (USER, REALM));
    assert_eq!(accepted.delegation, Delegation::Password);

    // Somebody who saw the connection sends the same again.
    let replayed = block_on(async {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 16);
        ours.write_all(&sent.0.concat()).await.expect("it is sent");
        accept(&mut theirs, b"the key of a certificate", &server, &mut Nobody).await
    });
    let error = replayed.expect_err("it is a replay").to_string();
    assert!(error.contains("refused with KRB_AP_ERR_REPEAT (34): the same proof came before"), "{error}");
}

#[test]
fn an_old_keytab_leaves_ntlm_and_its_version_is_named() {
    if left_out_without(&Realm::PROGRAMS) {
        return;
    }
    let realm = Realm::start(USER, PASSWORD, true);
    let server = credentials(&realm, USER, Some(&realm.keytab()));
    let newer = realm.keytab().with_file_name("newer.keytab");
    realm.administer(&format!("ktadd -k {} {SERVICE}", newer.display()));
    let (connected, accepted, _) = both(&credentials(&realm, USER, None), &server);
    assert_eq!(connected.expect("it logs on").mechanism, Mechanism::SpnegoNtlm);
    let how = accepted.expect("it is let in").how;
    let expected = "is sealed with another key than the keytab's (key version 3; the keytab has 2)";
    assert!(how.starts_with("by NTLM, as ") && how.contains(expected), "{how}");

    let (_, accepted, _) = both(&credentials(&realm, USER, None), &credentials(&realm, USER, Some(&newer)));
    assert_eq!(accepted.expect("it is let in").mechanism, Mechanism::Kerberos);
}

#[test]
fn a_ticket_of_another_user_does_not_open_the_session_of_this_one() {
    if left_out_without(&Realm::PROGRAMS) {
        return;
    }
    let realm = Realm::start(USER, PASSWORD, true);
    realm.administer(&format!("addprinc +requires_preauth -pw {PASSWORD} other"));
    let server = credentials(&realm, USER, Some(&realm.keytab()));
    let (_, accepted, _) = both(&credentials(&realm, "other", None), &server);
    let error = accepted.expect_err("it is somebody else").to_string();
    let expected = format!("it logged on as \"other@{REALM}\" and rdpscope was given \"{USER}@{REALM}\"");
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn a_service_with_an_aes_128_key_is_as_good() {
    if left_out_without(&Realm::PROGRAMS) {
        return;
    }
    let realm = Realm::start(USER, PASSWORD, true);
    let keytab = realm.keytab().with_file_name("aes128.keytab");
    realm.administer(&format!("ktadd -e aes128-cts:normal -k {} {SERVICE}", keytab.display()));
    let server = credentials(&realm, USER, Some(&keytab));
    let (connected, accepted, _) = both(&credentials(&realm, USER, None), &server);
    assert_eq!(connected.expect("it logs on").mechanism, Mechanism::Kerberos);
    assert_eq!(accepted.expect("it is let in").mechanism, Mechanism::Kerberos);
}
