//! A probe finds what nmap's scripts for RDP find of the same server. What rdp-sec-check asks for, which is not packaged,
//! is among it: protocols, NLA, encryption methods and the level.

use crate::support::certificates::signed_rsa;
use crate::support::left_out::left_out_without;
use crate::support::peers::{FreeRdp, Shadow, ShadowSecurity, Xrdp, XrdpSetup};
use rdpscope::probe::{Settings, probe};
use rdpscope::trace::{NegotiationAnswer, Probe};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;

/// The protocols that rdp-enum-encryption asks for, each alone, by its names and by ours.
const LAYERS: [(&str, &str); 5] = [
    ("CredSSP (NLA)", "HYBRID"),
    ("CredSSP with Early User Auth", "HYBRID_EX"),
    ("Native RDP", "RDP"),
    ("RDSTLS", "RDSTLS"),
    ("SSL", "SSL"),
];
/// Its encryption methods.
const METHODS: [(&str, &str); 4] = [
    ("40-bit RC4", "40BIT_ENCRYPTION_FLAG"),
    ("56-bit RC4", "56BIT_ENCRYPTION_FLAG"),
    ("128-bit RC4", "128BIT_ENCRYPTION_FLAG"),
    ("FIPS 140-1", "FIPS_ENCRYPTION_FLAG"),
];
/// Two clocks of one machine, read one after the other, in seconds.
const SAME_CLOCK: i64 = 60;

fn probed(server: SocketAddr) -> Probe {
    let target = server.to_string().parse().expect("it is a target");
    let settings = Settings { udp: false, tls: false, ..Settings::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let record = runtime.expect("a runtime is made").block_on(probe(&target, &settings));
    *record.probe.expect("a probe has its line")
}

/// What nmap says in XML.
fn by_nmap(server: SocketAddr) -> String {
    let mut command = Command::new("nmap");
    command.args(["-Pn", "-n", "-oX", "-", "-p", &server.port().to_string()]);
    // With `+` they run on any port.
    command.args(["--script", "+rdp-enum-encryption,+rdp-ntlm-info"]).arg(server.ip().to_string());
    let output = command.output().expect("nmap runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The lines of rdp-enum-encryption.
fn lines(nmap: &str) -> Vec<&str> {
    let script = nmap.split_once(r#"<script id="rdp-enum-encryption" output=""#).expect("it ran").1;
    script.split('"').next().unwrap_or_default().split("&#xa;").map(str::trim).collect()
}

/// Those of `names` with which it had success, by our names.
fn successes(lines: &[&str], names: &[(&str, &'static str)]) -> BTreeSet<&'static str> {
    let succeeds = |name: &str| lines.contains(&format!("{name}: SUCCESS").as_str());
    names.iter().filter(|(name, _)| succeeds(name)).map(|(_, ours)| *ours).collect()
}

/// What rdp-ntlm-info says under `key`.
fn named<'a>(nmap: &'a str, key: &str) -> Option<&'a str> {
    nmap.split_once(&format!(r#"<elem key="{key}">"#))?.1.split('<').next()
}

/// The protocols that were asked for alone and not refused; nmap does not look which one the server selects.
fn answered(found: &Probe) -> BTreeSet<&str> {
    let alone = found.negotiation.iter().filter(|check| check.requested_protocols.len() == 1);
    let selected = alone.filter(|check| matches!(check.answer, NegotiationAnswer::Selected { .. }));
    selected.map(|check| check.requested_protocols[0].as_str()).collect()
}

/// Fails where nmap knows more of the security layers.
fn assert_same_security(found: &Probe, nmap: &str) {
    let lines = lines(nmap);
    assert_eq!(answered(found), successes(&lines, &LAYERS), "{lines:?}");
    let classic = found.classic.as_ref();
    let methods = classic.iter().flat_map(|classic| &classic.methods).map(String::as_str);
    let encrypting: BTreeSet<&str> = methods.filter(|method| *method != "NONE").collect();
    assert_eq!(encrypting, successes(&lines, &METHODS), "{lines:?}");
    let level = lines.iter().find_map(|line| line.strip_prefix("RDP Encryption level: "));
    if let Some(level) = level {
        let ours = classic.and_then(|classic| classic.level.as_deref()).unwrap_or_default();
        let level = level.trim_end_matches(" Compliant").to_uppercase().replace(' ', "_");
        let theirs = format!("ENCRYPTION_LEVEL_{level}");
        assert_eq!(ours, theirs);
    }
}

fn finds_the_names_that_nmap_finds(version: FreeRdp, security: ShadowSecurity) {
    if left_out_without(&[&Shadow::programs(version)[..], &["nmap"]].concat()) {
        return;
    }
    // FreeRDP 3 has no classic security with a key that is not of RSA.
    let shadow = Shadow::start_with(version, security, signed_rsa());
    let (found, nmap) = (probed(shadow.address), by_nmap(shadow.address));
    assert_same_security(&found, &nmap);
    let challenge = found.challenge().unwrap_or_else(|| panic!("NTLM is not answered: {found:#?}")).clone();
    let version = challenge.version.expect("it tells its version");
    let names = [
        ("Target_Name", challenge.target_name),
        ("NetBIOS_Domain_Name", challenge.netbios_domain),
        ("NetBIOS_Computer_Name", challenge.netbios_computer),
        ("DNS_Domain_Name", challenge.dns_domain),
        ("DNS_Computer_Name", challenge.dns_computer),
        ("DNS_Tree_Name", challenge.dns_forest),
        ("Product_Version", Some(format!("{}.{}.{}", version.major, version.minor, version.build))),
    ];
    for (key, ours) in names {
        assert_eq!(ours.as_deref(), named(&nmap, key), "{key}");
    }
    let theirs: jiff::Timestamp =
        named(&nmap, "System_Time").expect("it tells the time").parse().expect("it is a time");
    let ours = challenge.timestamp_unix_us.expect("it tells the time") / 1_000_000;
    assert!((theirs.as_second() - ours).abs() < SAME_CLOCK, "{theirs} {ours}");
}

#[test]
fn names_and_version_of_a_server_with_nla() {
    finds_the_names_that_nmap_finds(FreeRdp::Two, ShadowSecurity::Nla);
}

#[test]
fn names_and_version_of_a_newer_server_with_nla() {
    finds_the_names_that_nmap_finds(FreeRdp::Three, ShadowSecurity::Nla);
}

/// nmap begins TLS and CredSSP without a look at the answer to its connection request.
#[test]
fn names_and_version_of_servers_that_refuse_tls_and_encrypt_nothing() {
    finds_the_names_that_nmap_finds(FreeRdp::Two, ShadowSecurity::Rdp);
    finds_the_names_that_nmap_finds(FreeRdp::Three, ShadowSecurity::Rdp);
}

#[test]
fn encryption_of_classic_security() {
    if left_out_without(&["xrdp", "openssl", "nmap"]) {
        return;
    }
    for crypt_level in ["low", "medium", "high", "fips"] {
        let xrdp = Xrdp::start(&XrdpSetup { crypt_level, certificate: signed_rsa(), ..Xrdp::setup() });
        if Xrdp::can_do_classic_security() {
            assert_same_security(&probed(xrdp.address), &by_nmap(xrdp.address));
        }
    }
}
