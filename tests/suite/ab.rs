//! Experiments between real clients and servers: what is guilty is named, and what is not is acquitted.

use crate::support::certificates::{Certificate, certificates, issued_by, signed_with_sha1};
use crate::support::left_out::left_out_without;
use crate::support::peers::{FreeRdp, Shadow, ShadowSecurity, Xfreerdp, Xrdp, XrdpSetup, Xvfb};
use crate::support::rdpscope::{Finished, Rdpscope, program};
use crate::support::schema;
use crate::support::scripted::bytes::connection_request;
use crate::support::scripted::rdp::connect_initial;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

mod factors;
mod gateway;
mod inside;
mod network;

/// The one account of the servers here that have any.
const LOGON: [&str; 2] = ["/u:test", "/p:Right-1234"];
const WRONG_PASSWORD: [&str; 2] = ["/u:test", "/p:Wrong-5678"];
/// An experiment with certificates has some twenty attempts, of which half hold a desktop for 3 s; on a machine that
/// also compiles each key of RSA takes seconds, too.
const EXPERIMENT_WITHIN: Duration = Duration::from_secs(280);
/// When the user of a session that hangs gives up. The sessions that do not hang have this time, too, from the client's
/// start to 3 s of a desktop, on a machine that runs eight tests at once.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(20);

/// An experiment with FreeRDP as the client, which refuses every certificate that is not good.
struct Trial<'a> {
    client: &'a [&'a str],
    logon: [&'a str; 2],
    /// When its user gives up, where the session hangs.
    given_up_after: Option<Duration>,
    trusts_session_ca: bool,
}

impl<'a> Trial<'a> {
    fn new(client: &'a [&'a str]) -> Self {
        Trial { client, logon: LOGON, given_up_after: None, trusts_session_ca: true }
    }

    /// The same where rdpscope shows no certificate of its own.
    fn passing(client: &'a [&'a str]) -> Self {
        Trial { trusts_session_ca: false, ..Trial::new(client) }
    }

    fn run(&self, server: SocketAddr, arguments: &[&str]) -> Finished {
        self.run_as(program(), &server.to_string(), arguments)
    }

    /// The same where `command` runs the program.
    fn run_as(&self, command: Command, target: &str, arguments: &[&str]) -> Finished {
        let folder = TempDir::new().expect("a temporary folder is made");
        let ca = folder.path().join("ca.pem");
        let display = Xvfb::shared();
        let script = self.script(folder.path(), &display, &ca);
        let client = format!("sh {} {{port}} {{arm}}", script.display());
        let ca = ca.to_string_lossy();
        let mut arguments = [&["--client", &client], arguments].concat();
        if self.trusts_session_ca {
            arguments.extend(["--ca-out", &ca]);
        }
        let finished =
            Rdpscope::start_experiment_as(command, target, &arguments).finish_within(EXPERIMENT_WITHIN);
        println!("{}", finished.stderr);
        println!("{:#}", finished.line("experiment"));
        finished.assert_nowhere(&self.logon[1]["/p:".len()..]);
        schema::assert_valid(finished.line("experiment"));
        assert_kept(&finished);
        finished
    }

    fn script(&self, folder: &Path, display: &Xvfb, session_ca: &Path) -> PathBuf {
        let authority = &certificates().authority_file;
        let mut client =
            Xfreerdp::new(FreeRdp::Two, &[self.client, &self.logon].concat()).trusting_only(authority);
        if let Some(patience) = self.given_up_after {
            client = client.given_up_after(patience);
        }
        client.script(folder, display, if self.trusts_session_ca { session_ca } else { authority })
    }
}

/// Runs an experiment with a FreeRDP client that refuses every certificate that is not good.
fn experiment(server: SocketAddr, client: &[&str], arguments: &[&str]) -> Finished {
    Trial::new(client).run(server, arguments)
}

/// The file beside the sessions says what standard output says, and of what.
fn assert_kept(finished: &Finished) {
    let [kept] = &finished.experiments[..] else { panic!("{} files", finished.experiments.len()) };
    let kinds: Vec<_> = kept.iter().map(|line| line["type"].as_str().unwrap_or_default()).collect();
    let has_verdict =
        finished.stdout.iter().any(|line| line["type"] == "verdict" && line.get("session").is_none());
    assert_eq!(kinds, [&["trace", "experiment"][..], if has_verdict { &["verdict"] } else { &[] }].concat());
    assert_eq!(&kept[1], finished.line("experiment"));
    let [header, run] = [&kept[0], &kept[1]["arms"][0]["runs"][0]];
    assert_eq!(header["settings"]["vary"], kept[1]["factor"]);
    assert!(finished.stderr.contains("the experiment is in "), "{}", finished.stderr);
    let [id, session] = [&header["session"], &run["session"]].map(|id| id.as_str().unwrap_or_default());
    assert!(!id.is_empty() && session.starts_with(id), "{session} is of {id}");
}

fn conclusion(finished: &Finished) -> (&str, Option<&str>) {
    let conclusion = &finished.line("experiment")["conclusion"];
    (conclusion["effect"].as_str().unwrap_or_default(), conclusion["guilty"].as_str())
}

/// The verdicts of an arm's attempts, in their order.
fn verdicts<'a>(finished: &'a Finished, arm: &str) -> Vec<&'a str> {
    let arms = finished.line("experiment")["arms"].as_array().expect("arms");
    let arm = arms.iter().find(|it| it["name"] == arm).unwrap_or_else(|| panic!("no arm {arm}"));
    let runs = arm["runs"].as_array().expect("runs");
    runs.iter().map(|run| run["verdict"].as_str().unwrap_or_default()).collect()
}

/// Each attempt's session has a trace that shows its arm.
fn assert_traced(finished: &Finished) {
    let arms = finished.line("experiment")["arms"].as_array().expect("arms");
    let mut runs = 0;
    for arm in arms {
        for run in arm["runs"].as_array().expect("runs") {
            let session = finished.sessions.iter().find(|it| it.lines()[0]["session"] == run["session"]);
            let session = session.unwrap_or_else(|| panic!("no trace of {run}"));
            assert_eq!(session.lines()[0]["settings"]["arm"], arm["name"], "{session}");
            assert_eq!(session.verdict()["id"], run["verdict"], "{session}");
            runs += 1;
        }
    }
    assert!(runs >= 6, "{runs} runs");
}

fn guilty(certificate: &Certificate, property: &str, verdict: &str) {
    if left_out_without(&[&Xfreerdp::programs(FreeRdp::Two)[..], &["xrdp"]].concat()) {
        return;
    }
    let xrdp = Xrdp::start(&XrdpSetup { certificate, ..Xrdp::setup() });
    let finished = experiment(xrdp.address, &["/sec:tls"], &["--vary", "cert"]);
    assert_eq!(conclusion(&finished), ("cause", Some(property)), "{}", finished.stderr);
    assert_eq!(finished.line("verdict")["id"], verdict);
    assert_eq!(finished.line("verdict")["confidence"], "confirmed");
    assert!(finished.line("verdict")["fix"].as_array().is_some_and(|fix| !fix.is_empty()));
    let confounders = finished.line("experiment")["confounders"].as_array().expect("confounders");
    assert!(
        confounders.iter().all(|it| it["id"] != "confounder-authority"),
        "the client takes what that CA signs: {}",
        finished.stderr
    );
    assert_eq!(finished.exit_code, Some(1));
    assert_traced(&finished);
}

#[test]
fn expired_dates_are_the_cause() {
    guilty(&certificates().expired, "dates", "certificate-expired");
}

#[test]
fn a_wrong_name_is_the_cause() {
    guilty(&certificates().wrong_name, "names", "certificate-name-mismatch");
}

#[test]
fn an_unknown_issuer_is_the_cause() {
    guilty(&certificates().self_signed, "issuer", "certificate-untrusted");
}

#[test]
fn an_authority_that_nobody_knows_is_the_cause() {
    guilty(
        &issued_by("an authority of elsewhere", &["localhost", "127.0.0.1"]),
        "issuer",
        "certificate-untrusted",
    );
}

#[test]
fn a_server_that_demands_nla_is_not_a_matter_of_its_certificate() {
    let programs = [&Xfreerdp::programs(FreeRdp::Two)[..], &Shadow::programs(FreeRdp::Two)].concat();
    if left_out_without(&programs) {
        return;
    }
    let shadow = Shadow::start(FreeRdp::Two, ShadowSecurity::Nla);
    let finished = experiment(shadow.address, &["/sec:tls"], &["--vary", "cert"]);
    assert_eq!(conclusion(&finished), ("not-cause", None), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "fresh"), ["nla-required"; 3]);
    let because = finished.line("experiment")["conclusion"]["because"].to_string();
    assert!(because.contains("nla-required (confirmed)"), "{because}");
    assert_eq!(finished.exit_code, Some(1));
    assert_traced(&finished);
}

#[test]
fn a_healthy_session_has_no_fault_in_any_arm() {
    if left_out_without(&[&Xfreerdp::programs(FreeRdp::Two)[..], &["xrdp"]].concat()) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let finished = experiment(xrdp.address, &["/sec:tls"], &["--vary", "cert"]);
    assert_eq!(conclusion(&finished), ("not-cause", None), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "server"), ["healthy"; 3]);
    assert_eq!(verdicts(&finished, "fresh"), ["healthy"; 3]);
    assert_eq!(finished.exit_code, Some(0));
    assert_traced(&finished);
}

#[test]
fn with_nla_the_copies_are_judged_by_whether_they_are_taken() {
    let programs = [&Xfreerdp::programs(FreeRdp::Two)[..], &Shadow::programs(FreeRdp::Two)].concat();
    if left_out_without(&programs) {
        return;
    }
    let shadow = Shadow::start_with(FreeRdp::Two, ShadowSecurity::Nla, &certificates().expired);
    let finished = experiment(shadow.address, &["/sec:nla"], &["--vary", "cert"]);
    assert_eq!(conclusion(&finished), ("cause", Some("dates")), "{}", finished.stderr);
    let because = finished.line("experiment")["conclusion"]["because"].to_string();
    assert!(because.contains("not counted against the server"), "{because}");
    assert!(verdicts(&finished, "fresh").iter().all(|verdict| *verdict == "nla-key-binding"));
}

#[test]
fn a_client_that_does_not_know_the_session_ca_proves_nothing() {
    if left_out_without(&[&Xfreerdp::programs(FreeRdp::Two)[..], &["xrdp"]].concat()) {
        return;
    }
    let xrdp = Xrdp::start(&XrdpSetup { certificate: &certificates().expired, ..Xrdp::setup() });
    let finished = Trial::passing(&["/sec:tls"]).run(xrdp.address, &["--vary", "cert"]);
    assert_eq!(conclusion(&finished), ("inconclusive", None), "{}", finished.stderr);
    let confounders = finished.line("experiment")["confounders"].as_array().expect("confounders");
    let forbids: Vec<_> = confounders.iter().filter(|it| it["forbids"] == true).map(|it| &it["id"]).collect();
    assert_eq!(forbids, ["confounder-authority"], "{}", finished.stderr);
    assert_eq!(finished.exit_code, Some(1), "the session fails all the same");
}

#[test]
fn a_slow_line_is_tried_in_steps() {
    if left_out_without(&[&Xfreerdp::programs(FreeRdp::Two)[..], &["xrdp"]].concat()) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let arguments = ["--vary", "latency", "--runs", "1", "--cert", "fresh"];
    let finished = experiment(xrdp.address, &["/sec:tls"], &arguments);
    let settings: Vec<_> = finished.sessions.iter().map(|it| &it.lines()[0]["settings"]).collect();
    let impaired: Vec<_> = settings.iter().map(|it| (it["arm"].as_str(), it["impair"].to_string())).collect();
    let expected = [
        (Some("0ms"), "null"),
        (Some("100ms"), r#"["latency=50ms"]"#),
        (Some("300ms"), r#"["latency=150ms"]"#),
        (Some("600ms"), r#"["latency=300ms","rate=64kbit"]"#),
    ];
    assert_eq!(impaired, expected.map(|(arm, impair)| (arm, impair.to_owned())), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "0ms"), ["healthy"]);
    assert_eq!(verdicts(&finished, "100ms"), ["healthy"]);
}

/// A client by itself: rustls, as strict about signatures as Windows and macOS are. FreeRDP is not: both versions take a
/// certificate that is signed with SHA-1 under /cert:deny, at any of OpenSSL's security levels. It goes on with the first
/// message of RDP where it takes the certificate.
fn dial(address: SocketAddr, ca: &Path) {
    let mut roots = RootCertStore::empty();
    for file in [&certificates().authority_file, ca] {
        let certificate = CertificateDer::from_pem_file(file).expect("a CA is written");
        roots.add(certificate).expect("a CA is trusted");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a client is made");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(&connection_request("test", 1)).expect("it takes a request");
    let mut confirm = [0; 19];
    stream.read_exact(&mut confirm).expect("it confirms");
    let mut stream = StreamOwned::new(tls, stream);
    // A certificate that is refused ends it here.
    let _ = stream.write_all(&connect_initial("test")).and_then(|()| stream.read(&mut [0; 512]));
}

#[test]
fn a_signature_with_sha1_is_the_cause_and_a_person_may_dial() {
    if left_out_without(&["xrdp", "openssl"]) {
        return;
    }
    let setup = XrdpSetup { certificate: signed_with_sha1(), old_openssl: true, ..Xrdp::setup() };
    let xrdp = Xrdp::start(&setup);
    let folder = TempDir::new().expect("a temporary folder is made");
    let ca = folder.path().join("ca.pem");
    let arguments = ["--vary", "cert", "--ca-out", &ca.to_string_lossy()];
    let rdpscope = Rdpscope::start_experiment(xrdp.address, &arguments);
    let mut attempt = 1;
    while rdpscope
        .wait_for_progress(EXPERIMENT_WITHIN, |line| line.starts_with(&format!("attempt {attempt} of")))
    {
        dial(rdpscope.address, &ca);
        attempt += 1;
    }
    let finished = rdpscope.finish_within(EXPERIMENT_WITHIN);
    assert_eq!(conclusion(&finished), ("cause", Some("strength")), "{}", finished.stderr);
    assert_eq!(finished.line("verdict")["id"], "certificate-weak");
    assert!(finished.stderr.contains(": connect again to 127.0.0.1:"), "{}", finished.stderr);
    assert_traced(&finished);
}

#[test]
fn who_interrupts_it_gets_what_there_is() {
    if left_out_without(&[&Xfreerdp::programs(FreeRdp::Two)[..], &["xrdp"]].concat()) {
        return;
    }
    let xrdp = Xrdp::start(&XrdpSetup { certificate: &certificates().expired, ..Xrdp::setup() });
    let folder = TempDir::new().expect("a temporary folder is made");
    let ca = folder.path().join("ca.pem");
    let display = Xvfb::shared();
    let script = Trial::new(&["/sec:tls"]).script(folder.path(), &display, &ca);
    let client = format!("sh {} {{port}} {{arm}}", script.display());
    let arguments = ["--vary", "cert", "--runs", "5", "--client", &client, "--ca-out", &ca.to_string_lossy()];
    let rdpscope = Rdpscope::start_experiment(xrdp.address, &arguments);
    assert!(rdpscope.wait_for_progress(EXPERIMENT_WITHIN, |line| line.starts_with("attempt 3 of 10, arm B")));
    rdpscope.signal(rustix::process::Signal::INT);
    let finished = rdpscope.finish();
    assert_eq!(finished.exit_code, Some(130), "{}", finished.stderr);
    assert_eq!(conclusion(&finished), ("inconclusive", None), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "server").len(), 1, "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "fresh"), ["healthy"], "{}", finished.stderr);
    assert_kept(&finished);
}

#[test]
fn what_a_client_has_started_ends_with_it() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let script = folder.path().join("client.sh");
    std::fs::write(&script, "sleep 300 &\necho started $!\nwait\n").expect("the script is written");
    let server: SocketAddr = ([127, 0, 0, 1], 9).into();
    let client = format!("sh {}", script.display());
    let rdpscope = Rdpscope::start_experiment(server, &["--vary", "udp", "--client", &client]);
    assert!(rdpscope.wait_for_progress(EXPERIMENT_WITHIN, |line| line.starts_with("started ")));
    rdpscope.signal(rustix::process::Signal::INT);
    let finished = rdpscope.finish();
    assert_eq!(finished.exit_code, Some(130), "{}", finished.stderr);
    let started = finished.stderr.lines().find_map(|line| line.strip_prefix("started ")).expect("it says so");
    let status = std::fs::read_to_string(format!("/proc/{started}/stat")).unwrap_or_default();
    assert!(status.is_empty() || status.contains(") Z "), "it goes on: {status}");
}

#[test]
fn a_client_that_does_not_connect_ends_it() {
    let server: SocketAddr = ([127, 0, 0, 1], 9).into();
    let arguments = ["--vary", "udp", "--client", "true", "--runs", "1"];
    let finished = Rdpscope::start_experiment(server, &arguments).finish();
    assert_eq!(finished.exit_code, Some(3), "{}", finished.stderr);
    assert!(finished.stderr.contains("made no connection in 2 attempts"), "{}", finished.stderr);
    let experiments = finished.stdout.iter().filter(|line: &&Value| line["type"] == "experiment").count();
    assert_eq!((experiments, finished.experiments.len()), (0, 0), "nothing is concluded");
}
