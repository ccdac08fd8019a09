//! TLS that ends in rdpscope, between real clients and servers: certificates on trial, NLA kept, stripped or failing for
//! a named reason, UDP not offered.

use crate::support::certificates::{Certificate, certificates};
use crate::support::left_out::left_out_without;
use crate::support::peers::{ClientRun, FreeRdp, Shadow, ShadowSecurity, Xfreerdp, Xrdp, XrdpSetup};
use crate::support::rdpscope::{Finished, Rdpscope};
use rdpscope_certs::clients::by_rules;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

#[cfg(feature = "nla")]
mod hybrid_ex;

/// The account of the shadow server; its password is what must be found nowhere.
const RIGHT: [&str; 2] = ["/u:test", "/p:Right-1234"];
/// What every session over TLS passes, all of it readable where TLS is terminated.
const INNER_PHASES: [&str; 7] =
    ["mcs", "channels", "info", "licensing", "capabilities", "finalization", "active"];

/// True, after saying so, when one of these programs is missing.
fn left_out(programs: &[&[&'static str]]) -> bool {
    left_out_without(&programs.concat())
}

/// One run of rdpscope that terminates TLS, and a place for its CA.
struct Trial {
    folder: TempDir,
    ca: PathBuf,
}

impl Trial {
    fn new() -> Trial {
        let folder = TempDir::new().expect("a temporary folder is made");
        let ca = folder.path().join("ca.pem");
        Trial { folder, ca }
    }

    /// Runs `client`, which is given the file with what it trusts, through rdpscope with `arguments` to `server`.
    fn run(
        &self,
        server: SocketAddr,
        arguments: &[&str],
        client: impl Fn(&Path, u16) -> ClientRun,
    ) -> (ClientRun, Finished) {
        let ca = self.ca.to_string_lossy().into_owned();
        let rdpscope = Rdpscope::start(server, 1, &[arguments, &["--ca-out", &ca]].concat());
        let run = client(&self.trusted(), rdpscope.address.port());
        println!("{arguments:?}: {}", run.summary());
        (run, rdpscope.finish())
    }

    /// The test's own authority together with the CA of this run.
    fn trusted(&self) -> PathBuf {
        let both = [&certificates().authority_file, &self.ca]
            .map(|file| std::fs::read_to_string(file).expect("a CA is written before it listens"));
        let file = self.folder.path().join("trusted.pem");
        std::fs::write(&file, both.concat()).expect("what is trusted is written");
        file
    }
}

/// No password of these tests may be in anything that rdpscope wrote.
fn assert_no_secret(finished: &Finished) {
    let lines = finished.sessions.iter().map(ToString::to_string);
    let written =
        lines.chain(finished.stdout.iter().map(ToString::to_string)).chain([finished.stderr.clone()]);
    for text in written {
        assert!(!text.contains("Right-1234"), "a password in:\n{text}");
    }
}

fn strict_client(version: FreeRdp) -> impl Fn(&Path, u16) -> ClientRun {
    move |trusted, port| {
        Xfreerdp::new(version, &["/sec:tls", RIGHT[0], RIGHT[1]]).trusting_only(trusted).run(port)
    }
}

/// A client that refuses `certificate` directly refuses it mirrored, for the same reason, and takes it with the one
/// `repair`.
fn guilty_property(version: FreeRdp, certificate: &Certificate, repair: &str, verdict: &str) {
    if left_out(&[&Xfreerdp::programs(version), &["xrdp"]]) {
        return;
    }
    let xrdp = Xrdp::start(&XrdpSetup { certificate, ..Xrdp::setup() });
    let direct = Xfreerdp::new(version, &["/sec:tls", RIGHT[0], RIGHT[1]])
        .trusting_only(&certificates().authority_file)
        .run(xrdp.address.port());
    assert!(!direct.active, "the real one is refused:\n{}", direct.tail());

    let (mirrored, finished) = Trial::new().run(xrdp.address, &["--cert", "mirror"], strict_client(version));
    assert_eq!(direct.ending(), mirrored.ending(), "{}\n{}", mirrored.tail(), finished.stderr);
    finished.session().assert_verdict(&[verdict]);
    assert_eq!(finished.exit_code, Some(1), "{}", finished.stderr);
    assert_eq!(finished.session().event("certificate_presented")["mode"], "mirror");

    let repaired = format!("mirror+{repair}");
    let (repaired, finished) = Trial::new().run(xrdp.address, &["--cert", &repaired], strict_client(version));
    assert!(repaired.active, "{}\n{}", repaired.tail(), finished.stderr);
    finished.session().assert_reached(&["tcp", "x224", "tls"]);
    finished.session().assert_reached(&INNER_PHASES);
    assert_no_secret(&finished);
}

#[test]
fn an_expired_certificate_is_guilty_of_its_dates() {
    guilty_property(FreeRdp::Two, &certificates().expired, "dates", "certificate-expired");
}

#[test]
fn an_expired_certificate_is_guilty_of_its_dates_for_freerdp3() {
    guilty_property(FreeRdp::Three, &certificates().expired, "dates", "certificate-expired");
}

#[test]
fn a_certificate_for_another_name_is_guilty_of_its_names() {
    guilty_property(FreeRdp::Two, &certificates().wrong_name, "names", "certificate-name-mismatch");
}

#[test]
fn a_self_signed_certificate_is_guilty_of_its_issuer() {
    guilty_property(FreeRdp::Two, &certificates().self_signed, "issuer", "certificate-untrusted");
}

#[test]
fn a_fresh_certificate_is_taken_where_its_ca_is_trusted() {
    let version = FreeRdp::Three;
    if left_out(&[&Xfreerdp::programs(version), &["xrdp"]]) {
        return;
    }
    let xrdp = Xrdp::start(&XrdpSetup { certificate: &certificates().expired, ..Xrdp::setup() });
    let (run, finished) = Trial::new().run(xrdp.address, &["--cert", "fresh"], strict_client(version));
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    let session = finished.session();
    session.assert_verdict(&["healthy", "client-closed"]);
    session.assert_reached(&INNER_PHASES);
    assert_eq!(session.outcome_on("tls", "server"), Some("ok"), "{session}");
    assert_eq!(session.outcome_on("tls", "client"), Some("ok"), "{session}");
    assert_eq!(
        session.summary()["certificate"]["not_after"],
        "2021-01-01T00:00:00Z",
        "the server's own:\n{session}"
    );
    assert_eq!(session.event("certificate_judged")["trusted"], false, "{session}");
    assert_no_secret(&finished);
}

/// Each broken property, as FreeRDP judges it.
#[test]
fn certificates_with_one_fault_are_refused_for_it() {
    let version = FreeRdp::Two;
    if left_out(&[&Xfreerdp::programs(version), &["xrdp"]]) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    for (mode, verdict) in [
        ("expired", "certificate-expired"),
        ("not-yet-valid", "certificate-not-yet-valid"),
        ("wrong-name", "certificate-name-mismatch"),
        ("self-signed", "certificate-untrusted"),
    ] {
        let (run, finished) = Trial::new().run(xrdp.address, &["--cert", mode], strict_client(version));
        assert!(!run.active, "{mode}:\n{}", run.tail());
        finished.session().assert_verdict(&[verdict]);
    }
}

/// What is told of FreeRDP by its rules is what it does: nothing speaks against these, and their CA is trusted.
fn freerdp_goes_by_its_rules(version: FreeRdp) {
    if left_out(&[&Xfreerdp::programs(version), &["xrdp"]]) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let now = std::time::UNIX_EPOCH.elapsed().expect("it is later than 1970").as_secs();
    let now = i64::try_from(now).expect("it is not that late");
    for mode in ["wrong-usage", "sha1", "weak-key"] {
        let (run, finished) = Trial::new().run(xrdp.address, &["--cert", mode], strict_client(version));
        let shown = &finished.session().event("certificate_presented")["chain"];
        let chain: Vec<rdpscope_certs::inspect::Certificate> =
            serde_json::from_value(shown.clone()).expect("certificates are described");
        let verdicts = by_rules(&chain, Some("localhost"), now);
        let told =
            verdicts.iter().find(|verdict| verdict.platform.starts_with("FreeRDP")).expect("it is told of");
        assert_eq!(told.trusted, None, "{mode}: {told}");
        assert!(run.active, "{mode}:\n{}", run.tail());
    }
}

#[test]
fn freerdp_2_goes_by_its_rules() {
    freerdp_goes_by_its_rules(FreeRdp::Two);
}

#[test]
fn freerdp_3_goes_by_its_rules() {
    freerdp_goes_by_its_rules(FreeRdp::Three);
}

/// A client that logs on to a shadow server of its own generation with NLA, and takes any certificate.
fn nla(
    version: FreeRdp,
    security: ShadowSecurity,
    client: &[&str],
    arguments: &[&str],
) -> Option<(ClientRun, Finished)> {
    if left_out(&[&Xfreerdp::programs(version), &Shadow::programs(version)]) {
        return None;
    }
    let shadow = Shadow::start(version, security);
    let client = Xfreerdp::new(version, &[client, &RIGHT].concat());
    let (run, finished) = Trial::new().run(shadow.address, arguments, |_, port| client.run(port));
    assert_no_secret(&finished);
    Some((run, finished))
}

fn assert_nla_through_the_servers_own_key(version: FreeRdp) {
    let key = certificates().signed.key_file.to_string_lossy().into_owned();
    let arguments = ["--cert", "fresh", "--renew-with", &key];
    let Some((run, finished)) = nla(version, ShadowSecurity::Nla, &["/sec:nla"], &arguments) else { return };
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    let session = finished.session();
    session.assert_reached(&["tcp", "x224", "tls", "credssp"]);
    session.assert_reached(&INNER_PHASES);
    assert_eq!(session.event("certificate_presented")["same_key"], true, "{session}");
    assert_eq!(session.summary()["credssp"]["mechanism"], "NTLM", "{session}");
    assert!(session.events_named("key_binding_foreseen").is_empty(), "{session}");
}

#[test]
fn nla_works_on_through_a_certificate_for_the_servers_own_key() {
    assert_nla_through_the_servers_own_key(FreeRdp::Two);
}

#[test]
fn nla_works_on_through_a_certificate_for_the_servers_own_key_with_freerdp3() {
    assert_nla_through_the_servers_own_key(FreeRdp::Three);
}

#[test]
fn nla_fails_over_another_key_and_that_is_foreseen() {
    let arguments = ["--cert", "fresh"];
    let Some((run, finished)) = nla(FreeRdp::Two, ShadowSecurity::Nla, &["/sec:nla"], &arguments) else {
        return;
    };
    assert!(!run.active, "{}", run.tail());
    let session = finished.session();
    let foreseen = session.event("key_binding_foreseen");
    assert!(foreseen["advice"].to_string().contains("--renew-with"), "{foreseen}");
    session.assert_verdict(&["nla-key-binding"]);
    // A server that goes without a word would do the same for a wrong password.
    assert_eq!(session.verdict()["confidence"], "likely", "{session}");
    assert_eq!(session.verdict()["alternatives"][0]["id"], "nla-logon-failed", "{session}");
    let judged = session.event("certificate_judged");
    if cfg!(target_os = "linux") {
        assert_eq!(judged["verifier"], "this machine's roots (webpki, no revocation)", "{judged}");
    }
    let clients = judged["by_rules"].as_array().map(Vec::len);
    assert_eq!(clients, Some(3), "{judged}");
    let verdict = session.verdict();
    assert!(!verdict["fix"].to_string().contains("\"server\""), "the server has nothing to mend: {verdict}");
}

#[test]
fn without_nla_a_server_that_allows_it_lets_the_client_in() {
    let arguments = ["--cert", "fresh", "--nla", "strip"];
    let Some((run, finished)) = nla(FreeRdp::Three, ShadowSecurity::Any, &[], &arguments) else { return };
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    let session = finished.session();
    assert_eq!(session.summary()["selected_protocol"], "SSL", "{session}");
    let altered: Vec<_> = session.lines().iter().filter(|line| line["type"] == "altered").collect();
    let fields: Vec<_> = altered.iter().map(|line| line["field"].as_str().unwrap_or_default()).collect();
    assert_eq!(fields, ["requestedProtocols", "clientRequestedProtocols"], "{session}");
}

#[test]
fn a_server_that_demands_nla_is_not_blamed_for_what_was_stripped() {
    let arguments = ["--cert", "fresh", "--nla", "strip"];
    let Some((run, finished)) = nla(FreeRdp::Two, ShadowSecurity::Nla, &[], &arguments) else { return };
    assert!(!run.active, "{}", run.tail());
    let session = finished.session();
    session.assert_verdict(&["nla-required"]);
    assert!(session.verdict()["summary"].to_string().contains("--nla strip"), "{session}");
}

/// xfreerdp 2 asks for multitransport and never answers when shadow 3 takes it up.
#[test]
fn a_client_that_hangs_over_multitransport_reaches_the_desktop_with_udp_off() {
    if left_out(&[&Xfreerdp::programs(FreeRdp::Two), &Shadow::programs(FreeRdp::Three)]) {
        return;
    }
    let shadow = Shadow::start(FreeRdp::Three, ShadowSecurity::Tls);
    let client = Xfreerdp::new(FreeRdp::Two, &["/sec:tls", "+multitransport", RIGHT[0], RIGHT[1]]);
    let arguments = ["--cert", "fresh", "--udp", "off"];
    let (run, finished) = Trial::new().run(shadow.address, &arguments, |_, port| client.run(port));
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    let session = finished.session();
    let altered: Vec<_> = session.lines().iter().filter(|line| line["type"] == "altered").collect();
    assert_eq!(altered.len(), 1, "{session}");
    assert_eq!(altered[0]["structure"], "CS_MULTITRANSPORT", "{session}");
    assert!(session.events_named("multitransport_request").is_empty(), "{session}");
}

/// The file with the account that rdpscope logs on with, readable by its owner only.
pub(crate) fn credentials(folder: &Path, password: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let file = folder.join("credentials");
    std::fs::write(&file, format!("username = test\npassword = {password}\n")).expect("they are written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("only we may read them");
    file.to_string_lossy().into_owned()
}

fn assert_nla_terminated(version: FreeRdp) {
    let folder = TempDir::new().expect("a temporary folder is made");
    let account = credentials(folder.path(), "Right-1234");
    let arguments = ["--cert", "fresh", "--nla", "terminate", "--credentials", &account];
    let Some((run, finished)) = nla(version, ShadowSecurity::Nla, &["/sec:nla"], &arguments) else { return };
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    let session = finished.session();
    session.assert_reached(&["tcp", "x224", "tls", "credssp"]);
    session.assert_reached(&INNER_PHASES);
    let ends: Vec<_> = session
        .events_named("credssp_terminated")
        .iter()
        .map(|event| (event["leg"].as_str(), event["succeeded"].as_bool()))
        .collect();
    assert_eq!(ends, [(Some("server"), Some(true)), (Some("client"), Some(true))], "{session}");
}

#[test]
fn rdpscope_logs_on_by_itself_on_both_legs() {
    assert_nla_terminated(FreeRdp::Two);
}

#[test]
fn rdpscope_logs_on_by_itself_on_both_legs_with_freerdp3() {
    assert_nla_terminated(FreeRdp::Three);
}

#[test]
fn a_server_that_refuses_rdpscopes_logon_is_not_shown_to_the_client_as_open() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let account = credentials(folder.path(), "Wrong-5678");
    let arguments = ["--cert", "fresh", "--nla", "terminate", "--credentials", &account];
    let Some((run, finished)) = nla(FreeRdp::Two, ShadowSecurity::Nla, &["/sec:nla"], &arguments) else {
        return;
    };
    assert!(!run.active, "{}", run.tail());
    let session = finished.session();
    let terminated = session.event("credssp_terminated");
    assert_eq!(
        (&terminated["leg"], &terminated["succeeded"]),
        (&"server".into(), &false.into()),
        "{session}"
    );
    assert!(!session.to_string().contains("Wrong-5678"), "{session}");
}
