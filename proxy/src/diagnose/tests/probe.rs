//! What the checks of a probe prove: a target that works, and the same with one thing wrong.

mod other_paths;
mod target;

use super::{assert_verdict, has_finding, may_also_be};
use crate::diagnose::Diagnosis;
use crate::trace::VerdictId::*;
use crate::trace::{
    ClassicCheck, Confidence, ConnectError, FlakyCheck, HelloAnswer, How, NegotiationAnswer, PathCheck,
    Phase, TcpFailure, UdpAnswer, VerdictId,
};
use target::{Target, accepted, alert, negotiated, path, suite, tcp};

use Confidence::{Confirmed, Likely, Possible};

fn closed() -> HelloAnswer {
    HelloAnswer::Closed { how: How::Reset }
}

/// Everything that no probe of a healthy server may say.
#[track_caller]
fn assert_healthy(diagnosis: &Diagnosis) {
    assert_verdict(diagnosis, Healthy, Confirmed);
    assert!(diagnosis.verdict.alternatives.is_empty(), "{:#?}", diagnosis.verdict);
}

#[track_caller]
fn assert_next(diagnosis: &Diagnosis, command: &str) {
    assert!(diagnosis.verdict.next.iter().any(|next| next == command), "{:?}", diagnosis.verdict.next);
}

#[test]
fn a_healthy_windows_server_is_healthy_and_what_is_normal_there_a_finding() {
    let diagnosis = Target::windows().diagnose();
    assert_healthy(&diagnosis);
    assert_eq!(diagnosis.verdict.phase, Phase::Credssp);
    assert!(diagnosis.verdict.summary.contains("up to the logon"), "{}", diagnosis.verdict.summary);
    for finding in ["nla-required", "certificate-self-signed", "tls-versions", "server-identity"] {
        assert!(has_finding(&diagnosis, finding), "{finding}: {:#?}", diagnosis.findings);
    }
    for id in [DnsFailure, TcpRefused, NotRdp, RdpSilent, TlsVersionMismatch, ServerKeyUnusable, TlsStalled] {
        assert!(diagnosis.verdict.ruled_out.contains(&id), "{id}: {:?}", diagnosis.verdict.ruled_out);
    }
    for id in [NlaRequired, NlaLogonFailed, SessionLimit, CertificateUntrusted, LicensingFailed] {
        assert!(!diagnosis.verdict.ruled_out.contains(&id), "{id} depends on the client or comes later");
    }
    let twice: std::collections::HashSet<_> =
        diagnosis.findings.iter().map(|finding| &finding.text).collect();
    assert_eq!(twice.len(), diagnosis.findings.len(), "each thing once: {:#?}", diagnosis.findings);
}

#[test]
fn an_address_in_the_place_of_the_name_is_no_mismatch() {
    let diagnosis = Target::windows().typed("10.0.0.5").diagnose();
    assert_healthy(&diagnosis);
    assert!(has_finding(&diagnosis, "address-typed") && has_finding(&diagnosis, "certificate-name-mismatch"));
}

#[test]
fn a_short_name_of_the_same_machine_is_no_mismatch() {
    assert_healthy(&Target::windows().typed("srv10").diagnose());
}

#[test]
fn a_server_without_nla_is_healthy_as_well() {
    let mut target = Target::windows();
    target.probe.negotiation =
        vec![negotiated(&["SSL"], "SSL"), negotiated(&["SSL", "HYBRID", "HYBRID_EX"], "SSL")];
    target.probe.credssp = None;
    let diagnosis = target.diagnose();
    assert_healthy(&diagnosis);
    assert!(has_finding(&diagnosis, "nla-off"));
    assert!(diagnosis.verdict.ruled_out.contains(&NlaRequired));
}

#[test]
fn a_slow_way_is_a_finding() {
    let mut target = Target::windows();
    target.probe.tcp[0].rounds = vec![Some(700_000); 3];
    let diagnosis = target.diagnose();
    assert_healthy(&diagnosis);
    assert!(has_finding(&diagnosis, "high-round-trip-time"));
    assert!(!diagnosis.verdict.ruled_out.contains(&LinkSlow));
}

#[test]
fn an_issuer_that_this_machine_does_not_know_may_be_known_to_clients() {
    let mut target = Target::windows().with_certificate(|made| made.self_signed = false);
    target.probe.certificate.as_mut().unwrap().missing_issuers = vec!["Corp CA".to_owned()];
    let diagnosis = target.diagnose();
    assert_healthy(&diagnosis);
    assert!(has_finding(&diagnosis, "certificate-untrusted"));
    assert!(has_finding(&diagnosis, "certificate-chain-incomplete"));
}

#[test]
fn udp_that_is_blocked_or_half_open_costs_no_session() {
    let mut target = Target::windows();
    target.probe.udp.as_mut().unwrap().versions = [(2, UdpAnswer::Silent { sent: 4 })].into();
    let diagnosis = target.diagnose();
    assert_healthy(&diagnosis);
    assert!(has_finding(&diagnosis, "udp-blocked"));
    assert!(!diagnosis.verdict.ruled_out.contains(&UdpBlocked));

    let mut target = Target::windows();
    target.probe.udp.as_mut().unwrap().tls = Some(HelloAnswer::Silent);
    let diagnosis = target.diagnose();
    assert_healthy(&diagnosis);
    assert!(has_finding(&diagnosis, "udp-half-open"));
    // A hello that could not be sent says nothing.
    for (dtls, is_told) in [(None, false), (Some(HelloAnswer::Silent), true)] {
        let mut target = Target::windows();
        let udp = target.probe.udp.as_mut().unwrap();
        (udp.tls, udp.dtls) = (Some(HelloAnswer::NotReached { reason: "no way".to_owned() }), dtls);
        assert_eq!(has_finding(&target.diagnose(), "udp-half-open"), is_told);
    }

    let mut target = Target::windows();
    target.probe.udp.as_mut().unwrap().versions = [(2, UdpAnswer::Unreachable)].into();
    assert!(has_finding(&target.diagnose(), "udp-off"));
}

#[test]
fn what_changes_from_one_time_to_the_next_is_said_with_counts() {
    let mut target = Target::windows();
    let answers = [("SSL".to_owned(), 2), ("silence".to_owned(), 1)].into();
    target.probe.flaky = vec![FlakyCheck { check: "X.224 for SSL".to_owned(), answers }];
    let diagnosis = target.diagnose();
    assert_verdict(&diagnosis, Healthy, Likely);
    let finding = diagnosis.findings.iter().find(|finding| finding.id == "flaky").unwrap();
    assert!(finding.text.contains("SSL (2 of 3), silence (1 of 3)"), "{}", finding.text);
}

#[test]
fn a_probe_that_was_cut_short_says_nothing() {
    let mut target = Target::windows();
    target.probe.negotiation.clear();
    target.probe.tls = None;
    target.probe.path = None;
    target.probe.certificate = None;
    target.probe.credssp = None;
    let diagnosis = target.diagnose();
    assert_verdict(&diagnosis, ClientClosed, Possible);
    let summary = &diagnosis.verdict.summary;
    assert!(summary.starts_with("The probe came no further than phase"), "it blames no client: {summary}");
}

#[test]
fn a_name_without_an_address() {
    let mut target = Target::nothing();
    let dns = target.probe.dns.as_mut().unwrap();
    dns.addresses.clear();
    dns.failure = Some("no such host".to_owned());
    target.probe.tcp.clear();
    let diagnosis = target.diagnose();
    assert_verdict(&diagnosis, DnsFailure, Confirmed);
    assert!(!diagnosis.verdict.fix.is_empty(), "what mends it stands with the rule for a watched session");
}

fn unreached(failures: &[(ConnectError, u32)]) -> Diagnosis {
    let mut target = Target::nothing();
    target.probe.tcp = vec![tcp("10.0.0.5:3389", &[None, None, None], failures)];
    target.probe.negotiation.clear();
    target.diagnose()
}

#[test]
fn a_port_that_cannot_be_connected() {
    assert_verdict(&unreached(&[(ConnectError::Refused, 3)]), TcpRefused, Confirmed);
    assert_verdict(&unreached(&[(ConnectError::TimedOut, 3)]), TcpFiltered, Likely);
    assert_verdict(&unreached(&[(ConnectError::Unreachable, 3)]), TcpFiltered, Likely);
    assert_verdict(&unreached(&[(ConnectError::Other, 3)]), TcpFiltered, Possible);
    assert_verdict(&unreached(&[(ConnectError::Reset, 3)]), TcpReset, Confirmed);
    let both = unreached(&[(ConnectError::Refused, 2), (ConnectError::TimedOut, 1)]);
    assert_verdict(&both, TcpRefused, Likely);
    assert!(may_also_be(&both, TcpFiltered));
}

fn with_another_address(error: ConnectError) -> Target {
    let mut target = Target::windows();
    target.probe.tcp.push(tcp("10.0.0.6:3389", &[None, None], &[(error, 2)]));
    target.probe.dns.as_mut().unwrap().addresses.push("10.0.0.6".to_owned());
    target
}

#[test]
fn one_address_of_two_is_dead() {
    let diagnosis = with_another_address(ConnectError::TimedOut).diagnose();
    assert_verdict(&diagnosis, DnsMismatch, Likely);
    assert_next(&diagnosis, "rdpscope ab srv10.corp --vary address");
    assert_verdict(&with_another_address(ConnectError::Refused).diagnose(), DnsMismatch, Possible);
    assert_healthy(&with_another_address(ConnectError::Unreachable).diagnose());
    assert_healthy(&with_another_address(ConnectError::Refused).typed("localhost").diagnose());
}

#[test]
fn another_machine_answers() {
    let diagnosis = Target::windows().typed("files.corp").diagnose();
    assert_verdict(&diagnosis, DnsMismatch, Possible);
    assert!(may_also_be(&diagnosis, CertificateNameMismatch));
    // An alias for which the certificate was made is what was meant.
    let target = Target::windows().with_certificate(|made| made.name = "files.corp").typed("files.corp");
    assert_healthy(&target.diagnose());
}

#[test]
fn connections_that_vanish_now_and_then() {
    let mut target = Target::windows();
    let failures = [(ConnectError::TimedOut, 2)];
    target.probe.tcp = vec![tcp("10.0.0.5:3389", &[Some(900), None, None], &failures)];
    assert_verdict(&target.diagnose(), LinkLossy, Likely);
    // The first of those that are timed is lost, and no more are made; the conversation came through, or did not.
    let lost = || vec![tcp("10.0.0.5:3389", &[None], &[(ConnectError::TimedOut, 1)])];
    let mut target = Target::windows();
    target.probe.tcp = lost();
    assert_verdict(&target.diagnose(), LinkLossy, Possible);
    let mut target = Target::windows();
    target.probe.tcp = lost();
    target.probe.negotiation.clear();
    assert_verdict(&target.diagnose(), TcpFiltered, Likely);
}

/// A target of which nothing but X.224 is known.
fn negotiation(answers: [NegotiationAnswer; 2]) -> Diagnosis {
    let mut target = Target::nothing();
    let [plain, all] = answers;
    target.probe.negotiation[0].answer = plain;
    target.probe.negotiation[1].answer = all;
    target.diagnose()
}

#[test]
fn something_else_owns_the_port() {
    let other = || NegotiationAnswer::OtherProtocol {
        protocol: Some("SSH".to_owned()),
        first_bytes: "5353482d".to_owned(),
    };
    let diagnosis = negotiation([other(), other()]);
    assert_verdict(&diagnosis, NotRdp, Confirmed);
    assert!(diagnosis.verdict.summary.contains("SSH"));
}

#[test]
fn it_accepts_and_says_nothing() {
    let diagnosis = negotiation([NegotiationAnswer::Silent, NegotiationAnswer::Silent]);
    assert_verdict(&diagnosis, RdpSilent, Likely);
    let selected = NegotiationAnswer::Selected { protocol: "SSL".to_owned(), flags: Vec::new() };
    assert_verdict(&negotiation([selected, NegotiationAnswer::Silent]), RdpSilent, Possible);
}

#[test]
fn it_begins_an_answer_and_does_not_end_it() {
    let begun = |bytes: &str| {
        let answer = NegotiationAnswer::OtherProtocol { protocol: None, first_bytes: bytes.to_owned() };
        negotiation([answer.clone(), answer])
    };
    for bytes in ["03", "0300", "030000", "03000013", "0300001302"] {
        let diagnosis = begun(bytes);
        assert_verdict(&diagnosis, RdpSilent, Likely);
        assert!(may_also_be(&diagnosis, NotRdp));
    }
    for bytes in ["0303", "0300000401", "2e2e2e", "16030300"] {
        assert_verdict(&begun(bytes), NotRdp, Confirmed);
    }
}

#[test]
fn it_accepts_and_cuts() {
    let cut = |how| [NegotiationAnswer::Closed { how }, NegotiationAnswer::Closed { how }];
    assert_verdict(&negotiation(cut(How::Reset)), TcpReset, Confirmed);
    assert_verdict(&negotiation(cut(How::Fin)), TcpReset, Likely);
}

#[test]
fn it_refuses_by_a_code() {
    let causes = [
        (1, TlsRequired),
        (2, TlsRefusedByServer),
        (3, ServerCertificateMissing),
        (4, InconsistentFlags),
        (5, NlaRequired),
        (6, ClientCertificateRequired),
        (77, ProtocolError),
    ];
    for (code, cause) in causes {
        let refused = || NegotiationAnswer::Refused { code, name: "a name".to_owned() };
        assert_verdict(&negotiation([refused(), refused()]), cause, Confirmed);
    }
    let disconnected = || NegotiationAnswer::Disconnected { reason: 0 };
    assert_verdict(&negotiation([disconnected(), disconnected()]), ServerClosed, Likely);
}

#[test]
fn it_chooses_the_old_security_although_offered_tls() {
    let selected = || NegotiationAnswer::Selected { protocol: "RDP".to_owned(), flags: Vec::new() };
    let diagnosis = negotiation([selected(), selected()]);
    assert_verdict(&diagnosis, TlsRefusedByServer, Likely);
    assert!(has_finding(&diagnosis, "nla-off"));
}

/// A target that takes the old security with these methods, and offered more chooses `protocol`.
fn encrypting(methods: &[&str], protocol: &str) -> Diagnosis {
    let mut target = Target::windows();
    target.probe.negotiation =
        vec![negotiated(&["RDP"], "RDP"), negotiated(&["SSL", "HYBRID", "HYBRID_EX"], protocol)];
    target.probe.classic = Some(ClassicCheck {
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        ..ClassicCheck::default()
    });
    target.diagnose()
}

#[test]
fn weak_encryption_of_the_old_security() {
    let [weak, none, fips] = ["weak-rdp-encryption", "rdp-not-encrypted", "fips-not-required"];
    for (methods, found) in [
        (&["40BIT_ENCRYPTION_FLAG"][..], &[weak][..]),
        (&["56BIT_ENCRYPTION_FLAG", "128BIT_ENCRYPTION_FLAG"], &[weak]),
        (&["NONE"], &[none]),
        (&["NONE", "128BIT_ENCRYPTION_FLAG"], &[none]),
        (&["128BIT_ENCRYPTION_FLAG"], &[]),
        (&["FIPS_ENCRYPTION_FLAG"], &[]),
        (&["128BIT_ENCRYPTION_FLAG", "FIPS_ENCRYPTION_FLAG"], &[fips]),
    ] {
        let diagnosis = encrypting(methods, "HYBRID_EX");
        assert_healthy(&diagnosis);
        for id in [weak, none, fips] {
            assert_eq!(has_finding(&diagnosis, id), found.contains(&id), "{methods:?} {id}");
        }
    }
}

#[test]
fn nla_that_nobody_needs() {
    assert!(has_finding(&encrypting(&[], "HYBRID_EX"), "nla-not-required"));
    assert!(!has_finding(&encrypting(&[], "SSL"), "nla-not-required"));
    let mut target = Target::windows();
    assert!(!has_finding(&Target::windows().diagnose(), "nla-not-required"));
    target.probe.negotiation[0] = negotiated(&["SSL"], "SSL");
    assert!(has_finding(&target.diagnose(), "nla-not-required"));
}

#[test]
fn what_a_server_says_after_it_has_refused_is_no_cause() {
    let mut target = Target::windows();
    target.probe.credssp_after_refusal = target.probe.credssp.take();
    let check = target.probe.credssp_after_refusal.as_mut().unwrap();
    // Each of them would be a cause in a session that gets there.
    (check.version, check.clock_skew_us) = (Some(2), Some(3_600_000_000));
    let code = NegotiationAnswer::Refused { code: 2, name: "SSL_NOT_ALLOWED_BY_SERVER".to_owned() };
    target.probe.negotiation.iter_mut().for_each(|check| check.answer = code.clone());
    let diagnosis = target.diagnose();
    assert_verdict(&diagnosis, TlsRefusedByServer, Confirmed);
    assert!(diagnosis.verdict.alternatives.is_empty(), "{:?}", diagnosis.verdict.alternatives);
    for finding in ["tls-after-refusal", "server-identity"] {
        assert!(has_finding(&diagnosis, finding), "{finding}: {:?}", diagnosis.findings);
    }
    assert!(!diagnosis.verdict.ruled_out.contains(&NlaClockSkew), "a session does not get there");
}

/// A target that agrees on TLS and answers the hellos of TLS 1.0, 1.2 and 1.3 like this.
fn hellos(answers: [HelloAnswer; 3]) -> Diagnosis {
    let mut target = Target::windows();
    let tls = target.probe.tls.as_mut().unwrap();
    tls.versions = ["TLS1.0", "TLS1.2", "TLS1.3"].map(str::to_owned).into_iter().zip(answers).collect();
    tls.suites.clear();
    target.probe.path = None;
    target.probe.certificate = None;
    target.probe.credssp = None;
    target.diagnose()
}

#[test]
fn every_client_hello_is_dropped() {
    let diagnosis = hellos([closed(), closed(), closed()]);
    assert_verdict(&diagnosis, ServerKeyUnusable, Likely);
    assert_next(&diagnosis, "rdpscope probe 127.0.0.1:3389");
    assert!(
        diagnosis
            .verdict
            .fix
            .iter()
            .any(|fix| fix.command.as_deref().is_some_and(|it| it.contains("MachineKeys")))
    );
    assert_verdict(&hellos([alert(70), alert(80), alert(80)]), ServerKeyUnusable, Likely);
}

#[test]
fn nothing_newer_than_tls_1_0_is_taken() {
    let diagnosis = hellos([accepted("TLS1.0"), alert(70), alert(70)]);
    assert_verdict(&diagnosis, TlsVersionMismatch, Confirmed);
    assert!(diagnosis.verdict.ruled_out.contains(&ServerKeyUnusable));
    assert_verdict(&hellos([alert(70), alert(70), alert(70)]), TlsVersionMismatch, Confirmed);
    // What was not answered may have been lost.
    let lost = hellos([accepted("TLS1.0"), HelloAnswer::Silent, HelloAnswer::Silent]);
    assert_ne!(lost.verdict.id, TlsVersionMismatch);
}

#[test]
fn no_suite_is_taken_or_only_dead_ones() {
    assert_verdict(&hellos([alert(70), alert(40), alert(40)]), TlsCipherMismatch, Likely);
    let mut target = Target::windows();
    let tls = target.probe.tls.as_mut().unwrap();
    tls.versions.remove("TLS1.3");
    tls.suites = [("TLS1.2".to_owned(), vec![suite(0x0005), suite(0x000a)])].into();
    let diagnosis = target.diagnose();
    assert_verdict(&diagnosis, TlsCipherMismatch, Likely);
    assert!(has_finding(&diagnosis, "weak-cipher-suites"));
}

#[test]
fn no_client_hello_is_answered() {
    let diagnosis = hellos([HelloAnswer::Silent, HelloAnswer::Silent, HelloAnswer::Silent]);
    assert_verdict(&diagnosis, TlsStalled, Likely);
    assert!(may_also_be(&diagnosis, ServerKeyUnusable));
}

#[test]
fn what_is_large_is_lost() {
    let mut target = Target::windows();
    target.probe.path = Some(path(HelloAnswer::Silent, Some(accepted("TLS1.3"))));
    let diagnosis = target.diagnose();
    assert_verdict(&diagnosis, TlsStalled, Confirmed);
    assert_next(&diagnosis, "rdpscope ab srv10.corp --vary mss");
    let mut target = Target::windows();
    target.probe.path = Some(path(HelloAnswer::Silent, Some(HelloAnswer::Silent)));
    assert_verdict(&target.diagnose(), TlsStalled, Likely);
    let mut target = Target::windows();
    let once = path(HelloAnswer::Silent, Some(accepted("TLS1.3")));
    target.probe.path = Some(PathCheck { large_again: Some(accepted("TLS1.3")), ..once });
    assert_ne!(target.diagnose().verdict.id, TlsStalled, "one loss is an accident");
}

#[test]
fn it_agrees_on_tls_and_speaks_something_else() {
    let other = || HelloAnswer::Other { first_bytes: "6869".to_owned() };
    assert_verdict(&hellos([other(), other(), other()]), ProtocolError, Confirmed);
}

#[track_caller]
fn assert_certificate(target: Target, id: VerdictId, confidence: Confidence) {
    let diagnosis = target.diagnose();
    assert_verdict(&diagnosis, id, confidence);
    assert_next(&diagnosis, "rdpscope ab srv10.corp --vary cert");
    assert!(!diagnosis.verdict.fix.is_empty());
}

#[test]
fn a_certificate_with_a_fault_is_likely_the_cause() {
    assert_certificate(
        Target::windows().with_certificate(|made| made.days = (-200, -12)),
        CertificateExpired,
        Likely,
    );
    assert_certificate(
        Target::windows().with_certificate(|made| made.days = (10, 200)),
        CertificateNotYetValid,
        Likely,
    );
    assert_certificate(
        Target::windows().with_certificate(|made| made.client_only = true),
        CertificateWrongUsage,
        Likely,
    );
}

#[test]
fn a_certificate_for_another_name() {
    let other = |self_signed| {
        let mut target = Target::windows().with_certificate(|made| {
            made.name = "www.example.com";
            made.self_signed = self_signed;
        });
        // Who the machine is, it does not say.
        target.probe.credssp.as_mut().unwrap().challenge.as_mut().unwrap().dns_computer = None;
        target.probe.credssp.as_mut().unwrap().challenge.as_mut().unwrap().netbios_computer = None;
        target
    };
    assert_certificate(other(false), CertificateNameMismatch, Likely);
    assert_certificate(other(true), CertificateNameMismatch, Possible);
}

#[test]
fn the_server_has_another_time() {
    let mut target = Target::windows();
    target.probe.credssp.as_mut().unwrap().clock_skew_us = Some(-3_600_000_000);
    let diagnosis = target.diagnose();
    assert_verdict(&diagnosis, NlaClockSkew, Likely);
    assert!(diagnosis.verdict.summary.contains("60 min behind"), "{}", diagnosis.verdict.summary);
    let mut target = Target::windows();
    target.probe.credssp.as_mut().unwrap().clock_skew_us = Some(299_000_000);
    assert_healthy(&target.diagnose());
}

#[test]
fn a_certificate_that_is_only_expired_by_a_wrong_clock() {
    let mut target = Target::windows().with_certificate(|made| made.days = (-200, -12));
    target.probe.credssp.as_mut().unwrap().clock_skew_us = Some(-30 * 24 * 3_600_000_000);
    assert_verdict(&target.diagnose(), NlaClockSkew, Likely);
}

#[test]
fn an_old_credssp() {
    let mut target = Target::windows();
    target.probe.credssp.as_mut().unwrap().version = Some(3);
    assert_verdict(&target.diagnose(), NlaEncryptionOracle, Possible);
}

#[test]
fn nla_that_is_broken_off_before_anybody_was_named() {
    let broken = |status: Option<&str>| {
        let mut target = Target::windows();
        let credssp = target.probe.credssp.as_mut().unwrap();
        credssp.challenge = None;
        credssp.failure = Some("the server closed the connection".to_owned());
        credssp.status = status.map(str::to_owned);
        target.diagnose()
    };
    assert_verdict(&broken(Some("0xc0000418")), NlaNtlmRefused, Likely);
    assert_verdict(&broken(Some("0xc00000bb")), NlaNtlmRefused, Likely);
    let unknown = broken(None);
    assert_verdict(&unknown, ServerClosed, Likely);
    assert!(may_also_be(&unknown, NlaNtlmRefused));
}

#[test]
fn something_on_the_way_shows_its_own_certificate() {
    let target = Target::windows().with_certificate(|made| {
        made.self_signed = false;
        made.authority = "FortiGate CA";
    });
    assert_verdict(&target.diagnose(), TlsInspected, Likely);
}

#[test]
fn failures_of_one_round_are_counted() {
    let failure = TcpFailure { error: ConnectError::TimedOut, reason: "timed out".to_owned(), count: 1 };
    let mut target = Target::windows();
    target.probe.tcp[0].rounds.push(None);
    target.probe.tcp[0].failures = vec![failure];
    let diagnosis = target.diagnose();
    assert_verdict(&diagnosis, LinkLossy, Possible);
    assert!(diagnosis.verdict.summary.contains("Of 4 connections"), "{}", diagnosis.verdict.summary);
}
