//! `--nla terminate` with Kerberos on the server leg: a real KDC, and a real server that takes its tickets.

use crate::support::left_out::left_out_without;
use crate::support::peers::{
    ClientRun, FreeRdp, REALM, Realm, SERVICE, Shadow, ShadowSecurity, Xfreerdp, free_port,
};
use crate::support::rdpscope::{Finished, Rdpscope, program};
use rdpscope::intercept::credssp::{Credentials, CredsspTap, Mechanism, accept, connect};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use tempfile::TempDir;

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
    let key = b"the key of a certificate";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (connected, accepted) = runtime.block_on(async {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        let (mut to_server, mut to_client) = (Nobody, Nobody);
        tokio::join!(
            connect(&mut ours, key, &credentials, SERVICE, &mut to_server),
            accept(&mut theirs, key, &credentials, &mut to_client)
        )
    });
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

#[test]
fn a_ticket_lets_a_client_in_and_rdpscope_log_on() {
    if left_out() {
        return;
    }
    let realm = Realm::start(USER, PASSWORD, true);
    let server = Shadow::start_in(&realm);
    let lines = format!("{}\nkeytab = {}", lines(&realm), realm.keytab().display());
    let (run, finished) = run_client(&member(&realm), &server, PASSWORD, &lines);
    println!("{}\n{}\n{}\n{}", run.tail(), finished.stderr, finished.session(), realm.log());
    panic!("look");
}
