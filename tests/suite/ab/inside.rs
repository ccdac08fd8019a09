//! Experiments on the way through an RD Gateway that are about more than the gateway: the certificate and NLA inside the
//! tunnel, the gateway's own certificate, and the line.

use super::{
    EXPERIMENT_WITHIN, GIVEN_UP_AFTER, LOGON, WRONG_PASSWORD, assert_kept, assert_traced, conclusion,
    verdicts,
};
use crate::support::certificates::{Certificate, certificates, signed_for_many};
use crate::support::gateway::{ChannelBindings, Gateway, Logon, PASSWORD, Setup, USER};
use crate::support::left_out::{left_out_without, program};
use crate::support::netns::{Network, SERVER_V4};
use crate::support::peers::{FreeRdp, Shadow, ShadowSecurity, Xfreerdp, Xrdp, XrdpSetup, Xvfb};
use crate::support::rdpscope::{self, Finished, Rdpscope};
use crate::support::schema;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

fn left_out(server: &[&'static str]) -> bool {
    left_out_without(&[&Xfreerdp::programs(FreeRdp::Two)[..], server].concat())
}

/// An experiment with FreeRDP as the client, which refuses every certificate that is not good, the gateway's included.
struct Trial<'a> {
    server: SocketAddr,
    gateway: SocketAddr,
    client: &'a [&'a str],
    logon: [&'a str; 2],
    /// When its user gives up, where the session hangs.
    given_up_after: Option<Duration>,
}

impl<'a> Trial<'a> {
    fn new(server: SocketAddr, gateway: &Gateway) -> Self {
        let client = &["/sec:tls"];
        Trial { server, gateway: gateway.address, client, logon: LOGON, given_up_after: None }
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        self.run_as(rdpscope::program(), arguments)
    }

    /// The same where `command` runs the program.
    fn run_as(&self, command: Command, arguments: &[&str]) -> Finished {
        let folder = TempDir::new().expect("a temporary folder is made");
        let ca = folder.path().join("ca.pem");
        let display = Xvfb::shared();
        let client = format!("sh {} {{port}}", self.script(folder.path(), &display, &ca).display());
        let (gateway, ca) = (self.gateway.to_string(), ca.to_string_lossy());
        let usual = ["--gateway", &gateway, "--client", &client, "--ca-out", &ca];
        let target = format!("localhost:{}", self.server.port());
        let finished = Rdpscope::start_experiment_as(command, &target, &[&usual[..], arguments].concat())
            .finish_within(EXPERIMENT_WITHIN);
        println!("{}", finished.stderr);
        println!("{:#}", finished.line("experiment"));
        finished.assert_nowhere(PASSWORD);
        finished.assert_nowhere(&self.logon[1]["/p:".len()..]);
        schema::assert_valid(finished.line("experiment"));
        assert_kept(&finished);
        finished
    }

    fn script(&self, folder: &Path, display: &Xvfb, session_ca: &Path) -> std::path::PathBuf {
        let [client, _] = Xfreerdp::programs(FreeRdp::Two);
        let client = program(client).expect("it is installed, or the test was left out");
        let limit = self
            .given_up_after
            .map_or_else(String::new, |patience| format!("timeout --signal=KILL {} ", patience.as_secs()));
        let trusted = folder.join("trusted.pem");
        let text = format!(
            "cat {} {} > {trusted}\n\
             exec {limit}env -u XDG_CONFIG_HOME -u XDG_RUNTIME_DIR HOME={} DISPLAY={} SSL_CERT_FILE={trusted} {} \
             /v:localhost:{} /g:localhost:$1 /gu:{USER} /gp:{PASSWORD} /cert:deny {} {}\n",
            certificates().authority_file.display(),
            session_ca.display(),
            folder.display(),
            display.display,
            client.display(),
            self.server.port(),
            self.client.join(" "),
            self.logon.join(" "),
            trusted = trusted.display(),
        );
        let script = folder.join("client.sh");
        std::fs::write(&script, text).expect("the script is written");
        script
    }
}

fn because(finished: &Finished) -> String {
    finished.line("experiment")["conclusion"]["because"].to_string()
}

/// A server with this certificate behind a gateway with nothing wrong.
fn behind(certificate: &Certificate, arguments: &[&str]) -> Option<Finished> {
    if left_out(&["xrdp"]) {
        return None;
    }
    let xrdp = Xrdp::start(&XrdpSetup { certificate, ..Xrdp::setup() });
    let gateway = Gateway::start(Setup::default());
    Some(Trial::new(xrdp.address, &gateway).run(arguments))
}

#[test]
fn an_expired_certificate_behind_the_gateway_is_the_cause() {
    let Some(finished) = behind(&certificates().expired, &["--vary", "inner-cert"]) else { return };
    assert_eq!(conclusion(&finished), ("cause", Some("dates")), "{}", finished.stderr);
    let verdict = finished.line("verdict");
    assert_eq!(
        (verdict["id"].as_str(), verdict["confidence"].as_str(), verdict["phase"].as_str()),
        (Some("certificate-expired"), Some("confirmed"), Some("tls"))
    );
    assert!(verdict["summary"].to_string().contains("refuses the server's certificate"), "{verdict}");
    assert_eq!(verdicts(&finished, "fresh"), ["healthy"; 3]);
    assert_eq!(finished.line("experiment")["factor"], "inner-cert");
    assert_eq!(finished.exit_code, Some(1));
    assert_traced(&finished);
}

#[test]
fn a_good_certificate_behind_the_gateway_is_not_the_cause() {
    let Some(finished) = behind(&certificates().signed, &["--vary", "inner-cert"]) else { return };
    assert_eq!(conclusion(&finished), ("not-cause", None), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "server"), ["healthy"; 3]);
    assert_eq!(verdicts(&finished, "fresh"), ["healthy"; 3]);
    assert_eq!(finished.exit_code, Some(0));
    assert_traced(&finished);
}

/// A gateway that insists on its own certificate leaves that way open: its own certificate and key.
#[test]
fn the_gateways_own_certificate_may_stand_in_front_of_the_experiment_inside() {
    if left_out(&["xrdp", "openssl"]) {
        return;
    }
    let xrdp = Xrdp::start(&XrdpSetup { certificate: &certificates().expired, ..Xrdp::setup() });
    let logon = Logon { channel_bindings: ChannelBindings::Required, ..Logon::default() };
    let gateway = Gateway::start(Setup { logon, ..Setup::default() });
    let own = &certificates().signed;
    let folder = TempDir::new().expect("a temporary folder is made");
    let file = folder.path().join("gateway.pem");
    let parts = [&own.certificate_file, &own.key_file].map(|part| std::fs::read(part).expect("it is there"));
    std::fs::write(&file, parts.concat()).expect("they are written");
    let cert = format!("file:{}", file.display());
    let finished = Trial::new(xrdp.address, &gateway).run(&["--vary", "inner-cert", "--cert", &cert]);
    assert_eq!(conclusion(&finished), ("cause", Some("dates")), "{}", finished.stderr);
}

/// A server with NLA behind a gateway with nothing wrong.
fn with_nla(security: ShadowSecurity, logon: [&str; 2]) -> Option<Finished> {
    if left_out(&Shadow::programs(FreeRdp::Three)) {
        return None;
    }
    let shadow = Shadow::start(FreeRdp::Three, security);
    let gateway = Gateway::start(Setup::default());
    let trial = Trial { client: &[], logon, ..Trial::new(shadow.address, &gateway) };
    Some(trial.run(&["--vary", "nla"]))
}

#[test]
fn nla_inside_the_tunnel_that_cannot_be_passed_is_the_cause() {
    let Some(finished) = with_nla(ShadowSecurity::AnyWithLogon, WRONG_PASSWORD) else { return };
    assert_eq!(conclusion(&finished), ("cause", Some("nla")), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "strip"), ["healthy"; 3]);
    let verdict = finished.line("verdict");
    assert_eq!(
        (verdict["confidence"].as_str(), verdict["phase"].as_str()),
        (Some("confirmed"), Some("credssp"))
    );
    assert_eq!(finished.exit_code, Some(1));
    assert_traced(&finished);
}

#[test]
fn nla_inside_the_tunnel_that_is_passed_is_not_the_cause() {
    let Some(finished) = with_nla(ShadowSecurity::AnyWithLogon, LOGON) else { return };
    assert_eq!(conclusion(&finished), ("not-cause", None), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "relay"), ["healthy"; 3]);
    assert_eq!(finished.exit_code, Some(0));
}

#[test]
fn nla_that_the_server_behind_the_gateway_demands_cannot_be_left_out() {
    let Some(finished) = with_nla(ShadowSecurity::Nla, WRONG_PASSWORD) else { return };
    assert_eq!(conclusion(&finished), ("inconclusive", None), "{}", finished.stderr);
    assert!(because(&finished).contains("lets nobody in without NLA"), "{}", because(&finished));
    assert_eq!(verdicts(&finished, "strip"), ["nla-required"; 3]);
}

/// A gateway with this certificate in front of a server with nothing wrong.
fn in_front(certificate: &Certificate, logon: Logon) -> Option<Finished> {
    if left_out(&["xrdp"]) {
        return None;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup { certificate, logon, ..Setup::default() });
    Some(Trial::new(xrdp.address, &gateway).run(&["--vary", "cert"]))
}

#[test]
fn an_expired_certificate_of_the_gateway_is_the_cause() {
    let Some(finished) = in_front(&certificates().expired, Logon::default()) else { return };
    assert_eq!(conclusion(&finished), ("cause", Some("dates")), "{}", finished.stderr);
    let verdict = finished.line("verdict");
    assert_eq!(
        (verdict["id"].as_str(), verdict["confidence"].as_str(), verdict["phase"].as_str()),
        (Some("certificate-expired"), Some("confirmed"), Some("gateway-tls"))
    );
    assert!(verdict["summary"].to_string().contains("refuses the gateway's certificate"), "{verdict}");
    assert_traced(&finished);
}

#[test]
fn a_good_certificate_of_the_gateway_is_not_the_cause() {
    let Some(finished) = in_front(&certificates().signed, Logon::default()) else { return };
    assert_eq!(conclusion(&finished), ("not-cause", None), "{}", finished.stderr);
    assert_eq!(finished.exit_code, Some(0));
}

#[test]
fn a_slow_line_to_the_gateway_is_tried_in_steps() {
    let Some(finished) = behind(&certificates().signed, &["--vary", "latency", "--runs", "1"]) else {
        return;
    };
    let settings: Vec<_> = finished.sessions.iter().map(|it| &it.lines()[0]["settings"]).collect();
    let impaired: Vec<_> = settings.iter().map(|it| it["impair"].to_string()).collect();
    let expected =
        ["null", r#"["latency=50ms"]"#, r#"["latency=150ms"]"#, r#"["latency=300ms","rate=64kbit"]"#];
    assert_eq!(impaired, expected, "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "0ms"), ["healthy"]);
    assert_eq!(verdicts(&finished, "100ms"), ["healthy"]);
}

/// A network whose gateway's side holds what `fault` says back, from the client's side.
fn over_segments(certificate: &Certificate, fault: Option<&str>) -> Option<Finished> {
    if left_out(&["xrdp"]) {
        return None;
    }
    let network = Network::new()?;
    let address = SocketAddr::new(SERVER_V4.parse().expect("an address"), 443);
    let xrdp = network.at_server(|| Xrdp::start(&Xrdp::setup()));
    let gateway = network.at_server(|| Gateway::start(Setup { address, certificate, ..Setup::default() }));
    if let Some(rule) = fault {
        network.fault_at_client(rule);
    }
    let trial = Trial { given_up_after: Some(GIVEN_UP_AFTER), ..Trial::new(xrdp.address, &gateway) };
    Some(trial.run_as(network.rdpscope(), &["--vary", "mss"]))
}

#[test]
fn large_segments_of_the_gateway_that_vanish_are_the_cause() {
    let fault = "tcp sport 443 meta length > 1300 drop";
    let Some(finished) = over_segments(signed_for_many(), Some(fault)) else { return };
    assert_eq!(conclusion(&finished), ("cause", Some("mss")), "{}", finished.stderr);
    assert_eq!(verdicts(&finished, "mss-1200"), ["healthy"; 3]);
    let verdict = finished.line("verdict");
    assert_eq!(
        (verdict["id"].as_str(), verdict["confidence"].as_str(), verdict["phase"].as_str()),
        (Some("tls-stalled"), Some("confirmed"), Some("gateway-tls"))
    );
}

#[test]
fn a_hello_to_the_gateway_that_is_reset_is_not_a_matter_of_its_size() {
    if left_out(&["xrdp"]) {
        return;
    }
    let Some(network) = Network::new() else { return };
    let address = SocketAddr::new(SERVER_V4.parse().expect("an address"), 443);
    let gateway = network.at_server(|| Gateway::start(Setup { address, ..Setup::default() }));
    network.fault("tcp dport 443 @ih,0,16 0x1603 reject with tcp reset");
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 3389));
    let finished = Trial::new(nobody, &gateway).run_as(network.rdpscope(), &["--vary", "mss"]);
    assert_eq!(conclusion(&finished), ("not-cause", None), "{}", finished.stderr);
}

#[test]
fn what_has_no_meaning_through_a_gateway_is_refused_in_a_sentence() {
    let refused = |arguments: &[&str], sentence: &str| {
        let usual = ["ab", "server.example", "--client", "true", "--vary"];
        let output = rdpscope::program().args(usual).args(arguments).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(sentence), "{said}");
    };
    let through = |arguments: &[&'static str]| [&["udp", "--gateway", "gw.example"][..], arguments].concat();
    let vary = |factor: &'static str, more: &[&'static str]| [&[factor][..], &through(more)[1..]].concat();
    refused(&through(&[]), "vary gateway-udp");
    refused(&["inner-cert"], "add --gateway HOST");
    refused(&vary("inner-cert", &["--inner-cert", "mirror"]), "leave --inner-cert out");
    refused(&vary("inner-cert", &["--cert", "passthrough"]), "leave --cert passthrough out");
    refused(&vary("nla", &["--cert", "passthrough"]), "leave --cert passthrough out");
    refused(&vary("nla", &["--inner-cert", "fresh", "--inner-nla", "strip"]), "leave --inner-nla out");
    refused(&vary("cert", &["--inner-cert", "fresh"]), "leave --inner-cert out");
    refused(&["nla", "--cert", "fresh", "--nla", "strip"], "leave --nla out");
}
