//! What the certificates of two paths prove, and what they do not.

use super::super::super::Diagnosis;
use super::super::script::Made;
use super::super::{assert_verdict, has_finding, may_also_be};
use super::target::Target;
use super::{Confirmed, Likely};
use crate::trace::VerdictId::{DnsMismatch, Healthy, TlsInspected};
use crate::trace::{OtherPathsCheck, PathCertificates, ShownCertificate};
use rdpscope_certs::inspect::inspect;
use std::sync::Arc;

/// A certificate for `key`, as one path shows it.
fn shown(key: &str, make: impl FnOnce(&mut Made)) -> ShownCertificate {
    let mut made = Made { name: "srv10.corp", authority: "Corp Issuing CA", ..Made::GOOD };
    make(&mut made);
    let chain = vec![Arc::new(inspect(&made.der()).unwrap())];
    ShownCertificate { chain, key_sha256: key.to_owned(), times: 4 }
}

fn path(path: &str, shown: Vec<ShownCertificate>) -> PathCertificates {
    PathCertificates { path: path.to_owned(), asked: 4, shown, ..PathCertificates::default() }
}

fn compared(plain: Vec<ShownCertificate>, other: Vec<ShownCertificate>) -> Diagnosis {
    let mut target = Target::windows();
    target.probe.other_paths = Some(Box::new(OtherPathsCheck {
        plain: path("10.0.0.5:3389", plain),
        others: vec![path("http://gate:3128", other)],
    }));
    target.diagnose()
}

/// A difference that has other reasons: told, and neither a verdict nor ruled out.
#[track_caller]
fn assert_open(diagnosis: &Diagnosis, finding: &str) {
    assert_verdict(diagnosis, Healthy, Confirmed);
    assert!(has_finding(diagnosis, finding), "{:#?}", diagnosis.findings);
    assert!(!diagnosis.verdict.ruled_out.contains(&TlsInspected), "{:?}", diagnosis.verdict);
}

#[test]
fn another_issuer_and_another_key_for_one_name() {
    let diagnosis =
        compared(vec![shown("a", |_| ())], vec![shown("b", |made| made.authority = "Edge Office CA")]);
    assert_verdict(&diagnosis, TlsInspected, Likely);
    assert!(may_also_be(&diagnosis, DnsMismatch), "it may as well be another machine");
    assert!(has_finding(&diagnosis, "paths-differ"));
    let known = compared(vec![shown("a", |_| ())], vec![shown("b", |made| made.authority = "FortiGate CA")]);
    assert_verdict(&known, TlsInspected, Confirmed);
    assert!(known.verdict.summary.contains("on the path over http://gate:3128"), "{}", known.verdict.summary);
}

#[test]
fn a_copy_down_to_the_serial_number_is_a_copy() {
    let own = shown("a", |_| ());
    let mut copy = shown("b", |made| made.authority = "Edge Office CA");
    let mut certificate = (*copy.chain[0]).clone();
    certificate.serial.clone_from(&own.chain[0].serial);
    copy.chain = vec![Arc::new(certificate)];
    let diagnosis = compared(vec![own.clone()], vec![copy.clone()]);
    assert_verdict(&diagnosis, TlsInspected, Confirmed);
    // Every small authority has a certificate of that number.
    let numbered = |shown: &ShownCertificate| {
        let certificate =
            rdpscope_certs::inspect::Certificate { serial: "1000".to_owned(), ..(*shown.chain[0]).clone() };
        ShownCertificate { chain: vec![Arc::new(certificate)], ..shown.clone() }
    };
    assert_verdict(&compared(vec![numbered(&own)], vec![numbered(&copy)]), TlsInspected, Likely);
}

#[test]
fn one_certificate_or_one_key_rules_it_out() {
    let own = shown("a", |_| ());
    let same = compared(vec![own.clone()], vec![own.clone()]);
    let renewed = compared(vec![own], vec![shown("a", |made| made.authority = "Corp Issuing CA 2")]);
    for (diagnosis, finding) in [(same, "paths-same-certificate"), (renewed, "paths-same-key")] {
        assert_verdict(&diagnosis, Healthy, Confirmed);
        assert!(has_finding(&diagnosis, finding), "{:#?}", diagnosis.findings);
        assert!(diagnosis.verdict.ruled_out.contains(&TlsInspected), "{:?}", diagnosis.verdict.ruled_out);
    }
}

#[test]
fn farms_and_other_machines_are_no_inspection() {
    let own = || shown("a", |_| ());
    assert_open(&compared(vec![own()], vec![shown("b", |_| ())]), "paths-differ");
    let self_signed = |name| {
        move |made: &mut Made| {
            made.self_signed = true;
            made.name = name;
        }
    };
    let two_hosts =
        compared(vec![shown("a", self_signed("srv10.corp"))], vec![shown("b", self_signed("srv11.corp"))]);
    assert_open(&two_hosts, "paths-differ");
    let other_name = |made: &mut Made| {
        made.name = "portal.example";
        made.authority = "Another CA";
    };
    assert_open(&compared(vec![own()], vec![shown("b", other_name)]), "paths-differ");
    let turns = vec![shown("b", |made| made.authority = "Edge Office CA"), own()];
    assert_open(&compared(vec![own()], turns), "paths-unsteady");
    assert_open(&compared(vec![own()], Vec::new()), "paths-not-compared");
}
