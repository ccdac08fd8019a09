//! The scan of TLS finds what `sslscan` finds of the same server.

use crate::support::certificates::signed_rsa;
use crate::support::left_out::left_out_without;
use crate::support::peers::{Xrdp, XrdpSetup};
use rdpscope::probe::{Settings, probe};
use rdpscope::trace::{HelloAnswer, TlsCheck};
use rdpscope::wire::tls::CodePoint;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Command;

/// Numbers of suites or signature schemes, by version.
type Numbers = BTreeMap<String, BTreeSet<u16>>;
/// What sslscan offers as a scheme and what is none: signatures without a hash, and whatever the server likes.
const NO_SCHEMES: [u16; 4] = [0x0001, 0x0002, 0x0003, 0xfdff];

fn scanned(server: SocketAddr) -> TlsCheck {
    let target = server.to_string().parse().expect("it is a target");
    let settings = Settings { udp: false, ..Settings::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let record = runtime.expect("a runtime is made").block_on(probe(&target, &settings));
    let found = record.probe.expect("a probe has its line");
    let left_out: Vec<_> = found.left_out.iter().filter(|left| left.check.contains("TLS")).collect();
    assert!(left_out.is_empty(), "{left_out:?}");
    found.tls.expect("TLS was asked for")
}

fn numbers<'a>(list: impl IntoIterator<Item = &'a CodePoint>) -> BTreeSet<u16> {
    list.into_iter().map(|code_point| code_point.id).collect()
}

/// The suites, groups and signature schemes that sslscan finds.
fn by_sslscan(server: SocketAddr) -> (Numbers, BTreeSet<u16>, Numbers) {
    let mut command = Command::new("sslscan");
    command.args([
        "--rdp",
        "--xml=-",
        "--show-cipher-ids",
        "--show-sigs",
        "--no-heartbleed",
        "--no-renegotiation",
    ]);
    let output = command.arg(server.to_string()).output().expect("sslscan runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (mut suites, mut groups, mut schemes) = (Numbers::new(), BTreeSet::new(), Numbers::new());
    for line in text.lines().map(str::trim) {
        let attribute = |name: &str| line.split_once(&format!(" {name}=\""))?.1.split('"').next();
        let id = attribute("id").and_then(|id| u16::from_str_radix(id.trim_start_matches("0x"), 16).ok());
        match (attribute("sslversion"), id) {
            (Some(version), Some(id)) if line.starts_with("<cipher ") => {
                suites.entry(version.replace('v', "")).or_default().insert(id);
            }
            (_, Some(id)) if line.starts_with("<group ") => {
                groups.insert(id);
            }
            (Some(version), Some(id))
                if line.starts_with("<connection-signature-algorithm ") && !NO_SCHEMES.contains(&id) =>
            {
                schemes.entry(version.replace('v', "")).or_default().insert(id);
            }
            _ => {}
        }
    }
    assert!(!suites.is_empty() && !groups.is_empty(), "{text}");
    (suites, groups, schemes)
}

fn finds_what_sslscan_finds(tls_versions: &str, expected: &[&str]) {
    if left_out_without(&["xrdp", "openssl", "sslscan"]) {
        return;
    }
    let setup = XrdpSetup { tls_versions, certificate: signed_rsa(), old_openssl: true, ..Xrdp::setup() };
    let xrdp = Xrdp::start(&setup);
    let check = scanned(xrdp.address);
    let accepted = check.versions.iter().filter(|(_, answer)| matches!(answer, HelloAnswer::Accepted(_)));
    assert_eq!(accepted.map(|(version, _)| version.as_str()).collect::<Vec<_>>(), expected);
    let (suites, groups, schemes) = by_sslscan(xrdp.address);
    let by_version = |found: &BTreeMap<String, Vec<CodePoint>>| -> Numbers {
        found.iter().map(|(version, list)| (version.clone(), numbers(list))).collect()
    };
    assert_eq!(by_version(&check.suites), suites);
    assert_eq!(numbers(&check.groups), groups);
    assert_eq!(by_version(&check.signature_schemes), schemes);
}

#[test]
fn a_server_of_every_version() {
    finds_what_sslscan_finds("TLSv1, TLSv1.1, TLSv1.2, TLSv1.3", &["TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3"]);
}

#[test]
fn a_server_of_old_versions_alone() {
    finds_what_sslscan_finds("TLSv1, TLSv1.1", &["TLS1.0", "TLS1.1"]);
}
