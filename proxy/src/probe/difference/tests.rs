use super::*;
use crate::trace::*;
use crate::wire::credssp::ntlm::{NtlmChallenge, WindowsVersion};
use proptest::prelude::*;
use rdpscope_certs::inspect::Certificate;
use std::collections::BTreeMap;
use std::sync::Arc;

/// 2026-11-21, the day of every probe here.
const STARTED: &str = "2026-11-21T08:00:00Z";
const NOW: i64 = 1_795_248_000;
const DAY: i64 = 86_400;

fn certificate(name: &str, days_left: i64) -> Certificate {
    Certificate {
        subject: format!("CN={name}"),
        subject_cn: Some(name.to_owned()),
        issuer: format!("CN={name}"),
        issuer_cn: Some(name.to_owned()),
        sans: vec![],
        serial: "01".to_owned(),
        not_before: "2026-01-01T00:00:00Z".to_owned(),
        not_after: "2027-01-01T00:00:00Z".to_owned(),
        not_before_unix: NOW - 300 * DAY,
        not_after_unix: NOW + days_left * DAY,
        key_algorithm: "RSA".to_owned(),
        key_bits: Some(2048),
        signature_algorithm: "sha256WithRSAEncryption".to_owned(),
        extended_key_usage: Some(vec!["serverAuth".to_owned()]),
        key_usage: None,
        is_ca: false,
        self_issued: true,
        self_signed: true,
        version: 3,
        ocsp: vec![],
        crl: vec![],
        issuers: vec![],
        unreadable_extensions: vec![],
        sha1: "00".repeat(20),
        sha256: "00".repeat(32),
    }
}

fn verdict(id: VerdictId) -> Verdict {
    Verdict {
        id,
        confidence: Confidence::Likely,
        phase: Phase::Tls,
        summary: String::new(),
        evidence: vec![],
        by_user: false,
        ruled_out: vec![],
        alternatives: vec![],
        next: vec![],
        fix: vec![],
    }
}

/// A server of the fleet; `change` makes it another.
fn server(number: usize, id: VerdictId, change: impl FnOnce(&mut Probe)) -> Profile {
    let name = format!("srv{number:02}");
    let mut probe = Probe {
        target: format!("{name}:3389"),
        started: STARTED.to_owned(),
        dns: Some(DnsCheck {
            name: name.clone(),
            addresses: vec![format!("10.0.0.{number}:3389")],
            ..DnsCheck::default()
        }),
        tcp: vec![TcpCheck {
            address: format!("10.0.0.{number}:3389"),
            rounds: vec![Some(400 + 37 * number as u64)],
            // No two have the same.
            rtt_us: Some(400 + 1_000 * number as u32),
            ..TcpCheck::default()
        }],
        certificate: Some(CertificateCheck {
            chain: vec![Arc::new(certificate(&name, 20 + number as i64))],
            name: name.clone(),
            name_matches: true,
            ..CertificateCheck::default()
        }),
        credssp: Some(CredsspCheck {
            version: Some(6),
            challenge: Some(NtlmChallenge {
                version: Some(WindowsVersion { major: 10, minor: 0, build: 20348 }),
                netbios_computer: Some(name.to_uppercase()),
                netbios_domain: Some("CORP".to_owned()),
                ..NtlmChallenge::default()
            }),
            clock_skew_us: Some(number as i64 * 1_000),
            ..CredsspCheck::default()
        }),
        ..Probe::default()
    };
    change(&mut probe);
    let lines = [Line::Probe(Box::new(probe)), Line::Verdict(Box::new(verdict(id)))];
    Profile::new(&lines.into_iter().collect())
}

fn healthy(numbers: std::ops::RangeInclusive<usize>) -> Vec<Profile> {
    numbers.map(|number| server(number, VerdictId::Healthy, |_| {})).collect()
}

fn expire(probe: &mut Probe) {
    let name = probe.dns.as_ref().unwrap().name.clone();
    probe.certificate.as_mut().unwrap().chain = vec![Arc::new(certificate(&name, -12))];
}

fn refuse(probe: &mut Probe) {
    probe.tcp[0].rounds = vec![None];
    probe.tcp[0].rtt_us = None;
    probe.tcp[0].failures =
        vec![TcpFailure { error: ConnectError::Refused, reason: "refused".to_owned(), count: 1 }];
    probe.certificate = None;
    probe.credssp = None;
}

#[test]
fn the_tenth_differs_from_the_nine_that_work_in_its_date() {
    let mut profiles = healthy(1..=9);
    profiles.push(server(10, VerdictId::CertificateExpired, expire));
    let comparison = compare(&profiles, 10);
    assert_eq!(
        comparison.sentences,
        [
            "srv10 differs from the nine that work in: certificate validity (expired 12 days ago; the others valid)"
        ]
    );
    assert_eq!((comparison.failing, comparison.working, comparison.without_result), (1, 9, 0));
    assert_eq!(comparison.verdicts["healthy"], 9);
    assert_eq!(comparison.groups[0].verdict, Some(VerdictId::CertificateExpired));
    assert_eq!(comparison.groups[0].differences.len(), 1, "{comparison:#?}");
}

#[test]
fn what_a_failure_hides_is_not_claimed_as_its_cause() {
    let mut profiles = healthy(1..=5);
    profiles.push(server(6, VerdictId::TcpRefused, refuse));
    let comparison = compare(&profiles, 6);
    assert_eq!(
        comparison.sentences,
        ["srv06 differs from the five that work in: TCP (refused; the others connected)"]
    );
}

#[test]
fn each_kind_of_failure_is_compared_by_itself_and_all_together() {
    let mut profiles = healthy(1..=6);
    let off = |probe: &mut Probe| {
        probe.credssp.as_mut().unwrap().challenge.as_mut().unwrap().version =
            Some(WindowsVersion { major: 10, minor: 0, build: 14393 });
    };
    for number in 7..=9 {
        profiles.push(server(number, VerdictId::CertificateExpired, |probe| {
            expire(probe);
            off(probe);
        }));
    }
    profiles.push(server(10, VerdictId::UdpBlocked, off));
    let sentences = compare(&profiles, 10).sentences;
    assert_eq!(sentences.len(), 3, "{sentences:?}");
    let windows = "Windows (Windows Server 2016 or Windows 10 1607, build 14393; the others Windows Server 2022, build 20348)";
    assert_eq!(sentences[0], format!("the four that fail differ from the six that work in: {windows}"));
    assert!(sentences[1].starts_with("srv07, srv08 and srv09 differ from the six that work in: certificate validity (expired 12 days ago; the others valid), Windows"));
    assert!(sentences[2].starts_with("srv10 differs from the six that work in: Windows"));
}

#[test]
fn what_varies_among_the_working_or_among_the_failing_is_not_claimed() {
    let key = |bits: u32| {
        move |probe: &mut Probe| {
            let mut own = certificate("x", 20);
            own.key_bits = Some(bits);
            probe.certificate.as_mut().unwrap().chain = vec![Arc::new(own)];
        }
    };
    let mut profiles: Vec<Profile> =
        (1..=4).map(|number| server(number, VerdictId::Healthy, key(1000 + number as u32))).collect();
    profiles.push(server(5, VerdictId::RdpSilent, key(4096)));
    let sentences = compare(&profiles, 5).sentences;
    assert_eq!(
        sentences,
        ["srv05 does not differ from the four that work in anything that was looked at, and yet it fails"]
    );
    let mut profiles = healthy(1..=4);
    profiles.push(server(5, VerdictId::RdpSilent, key(4096)));
    profiles.push(server(6, VerdictId::RdpSilent, key(1024)));
    assert!(compare(&profiles, 6).groups[0].differences.is_empty());
}

#[test]
fn exceptions_are_counted_and_the_sharper_difference_comes_first() {
    let mut profiles = healthy(1..=19);
    profiles.push(server(20, VerdictId::Healthy, |probe| {
        probe.credssp.as_mut().unwrap().version = Some(5);
    }));
    profiles.push(server(21, VerdictId::NlaEncryptionOracle, |probe| {
        probe.credssp.as_mut().unwrap().version = Some(5);
        probe.credssp.as_mut().unwrap().clock_skew_us = Some(-7 * 60_000_000);
    }));
    let comparison = compare(&profiles, 21);
    assert_eq!(
        comparison.sentences,
        [
            "srv21 differs from the 20 that work in: clock (7 min behind; the others right), CredSSP version (5; the others 6, but for 1 that too)"
        ]
    );
}

#[test]
fn it_is_honest_where_there_is_nothing_to_compare() {
    let sentences = |profiles: &[Profile]| compare(profiles, profiles.len()).sentences;
    assert!(sentences(&healthy(1..=1)).is_empty());
    assert_eq!(sentences(&healthy(1..=3)), ["none of the three fails"]);
    let failing: Vec<Profile> =
        (1..=3).map(|number| server(number, VerdictId::CertificateExpired, expire)).collect();
    assert_eq!(
        sentences(&failing),
        ["all three fail, with the same verdict: there is none that works to compare them with"]
    );
    let one_of_two = [&healthy(1..=1)[..], &failing[1..=1]].concat();
    assert_eq!(
        sentences(&one_of_two),
        [
            "srv02 differs from the one that works in: certificate validity (expired 12 days ago; the other valid)"
        ]
    );
    assert!(compare(&[], 5).sentences.is_empty());
    assert_eq!(compare(&healthy(1..=2), 5).without_result, 3);
}

#[test]
fn every_property_has_its_place_in_the_order() {
    let profile = server(1, VerdictId::Healthy, |_| {});
    assert!(profile.properties.len() > 15, "{profile:#?}");
    for property in &profile.properties {
        assert!(properties::NAMES.contains(&property.name), "{}", property.name);
    }
    let names: std::collections::BTreeSet<&str> = properties::NAMES.into_iter().collect();
    assert_eq!(names.len(), properties::NAMES.len());
}

#[test]
fn negotiation_udp_and_tls_become_properties() {
    let selected = |requested: &[&str], protocol: &str| NegotiationCheck {
        requested_protocols: requested.iter().map(|name| (*name).to_owned()).collect(),
        answer: NegotiationAnswer::Selected { protocol: protocol.to_owned(), flags: vec![] },
        took_us: 1,
    };
    let refused = |requested: &str| NegotiationCheck {
        requested_protocols: vec![requested.to_owned()],
        answer: NegotiationAnswer::Refused { code: 5, name: "HYBRID_REQUIRED_BY_SERVER".to_owned() },
        took_us: 1,
    };
    let value = |profile: &Profile, name: &str| {
        profile.property(name).map(|property| property.class.to_string()).unwrap_or_default()
    };
    let required = server(1, VerdictId::Healthy, |probe| {
        probe.negotiation = vec![refused("RDP"), refused("SSL"), selected(&["SSL", "HYBRID"], "HYBRID")];
        probe.udp = Some(UdpCheck {
            versions: BTreeMap::from([(1, UdpAnswer::Silent { sent: 3 })]),
            ..UdpCheck::default()
        });
        probe.tls = Some(TlsCheck {
            versions: BTreeMap::from([("TLS1.2".to_owned(), HelloAnswer::Silent)]),
            ..TlsCheck::default()
        });
    });
    assert_eq!(value(&required, "network level authentication"), "required");
    assert_eq!(value(&required, "answer to TLS"), "refused, HYBRID_REQUIRED_BY_SERVER");
    assert_eq!(value(&required, "UDP"), "no answer");
    assert_eq!(value(&required, "TLS versions"), "none");
    let offered = server(1, VerdictId::Healthy, |probe| {
        probe.negotiation = vec![selected(&["SSL"], "SSL"), selected(&["SSL", "HYBRID"], "HYBRID")];
    });
    assert_eq!(value(&offered, "network level authentication"), "offered");
    let without = server(1, VerdictId::Healthy, |probe| {
        probe.negotiation = vec![selected(&["SSL"], "SSL"), selected(&["SSL", "HYBRID"], "SSL")];
    });
    assert_eq!(value(&without, "network level authentication"), "not offered");
}

proptest! {
    /// Whatever the fleet looks like: the counts fit, and a claimed difference is one.
    #[test]
    fn what_is_claimed_is_true(expired in proptest::collection::vec(any::<(bool, bool, bool)>(), 0..30)) {
        let profiles: Vec<Profile> = expired.iter().enumerate().map(|(number, (fails, is_expired, is_refused))| {
            let id = if *fails { VerdictId::ServerClosed } else { VerdictId::Healthy };
            server(number, id, |probe| {
                if *is_expired { expire(probe) }
                if *is_refused { refuse(probe) }
            })
        }).collect();
        let comparison = compare(&profiles, profiles.len());
        prop_assert_eq!(comparison.failing + comparison.working, profiles.len());
        for difference in comparison.groups.iter().flat_map(|group| &group.differences) {
            prop_assert!(difference.failing_count * 10 >= difference.failing_known * 9);
            prop_assert!(difference.working_count * 10 <= difference.working_known);
            prop_assert!(difference.failing != difference.working);
        }
    }
}
