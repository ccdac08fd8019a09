use super::script::{
    HYBRID, Made, SERVER, SSL, Script, alert, application_data, handshake_12, handshake_13, record,
    server_flight_12, session_traffic,
};
use super::{Diagnosis, assert_verdict, has_finding, may_also_be};
use crate::trace::{Confidence, Detail, How, Phase, Side, VerdictId};

const EXPIRED: Made =
    Made { days: (-400, -12), name: "srv10", self_signed: false, client_only: false, ..Made::GOOD };
const NOT_YET: Made =
    Made { days: (30, 400), name: "srv10", self_signed: false, client_only: false, ..Made::GOOD };
const SELF_SIGNED: Made =
    Made { days: (-10, 300), name: "srv10", self_signed: true, client_only: false, ..Made::GOOD };
const OTHER_NAME: Made =
    Made { days: (-10, 300), name: "old-name", self_signed: false, client_only: false, ..Made::GOOD };
const CLIENT_ONLY: Made =
    Made { days: (-10, 300), name: "srv10", self_signed: false, client_only: true, ..Made::GOOD };

/// An encrypted close_notify and FIN right after the handshake, as FreeRDP does.
fn leaves(script: Script) -> Script {
    script.client(&record(21, &[0x5a; 26])).end(Side::Client, How::Fin)
}

fn refused(made: &Made) -> Diagnosis {
    leaves(handshake_12(Script::negotiated(SSL, SSL), "srv10", &made.der())).diagnose()
}

fn refused_with(made: &Made, description: u8) -> Diagnosis {
    let script = server_flight_12(Script::negotiated(SSL, SSL), "srv10", &made.der());
    script.client(&alert(description)).end(Side::Client, How::Fin).diagnose()
}

#[test]
fn a_visible_fault_and_a_client_that_leaves_agree_but_prove_nothing() {
    for (made, cause) in [
        (EXPIRED, VerdictId::CertificateExpired),
        (NOT_YET, VerdictId::CertificateNotYetValid),
        (SELF_SIGNED, VerdictId::CertificateUntrusted),
        (OTHER_NAME, VerdictId::CertificateNameMismatch),
        (CLIENT_ONLY, VerdictId::CertificateWrongUsage),
    ] {
        let diagnosis = refused(&made);
        assert_verdict(&diagnosis, cause, Confidence::Likely);
        assert_eq!(diagnosis.verdict.phase, Phase::Tls);
        assert_eq!(diagnosis.verdict.next[0], "rdpscope ab srv10 --vary cert");
        assert!(!may_also_be(&diagnosis, VerdictId::CertificateRejected), "{cause} says more");
    }
}

#[test]
fn the_fix_names_the_certificate_and_what_it_disturbs() {
    let diagnosis = refused(&EXPIRED);
    let commands: Vec<&str> = diagnosis.verdict.fix.iter().filter_map(|fix| fix.command.as_deref()).collect();
    let renew = commands.iter().find(|command| command.contains("Remove-Item")).unwrap();
    assert!(!renew.contains("THUMBPRINT") && renew.contains("Restart-Service TermService"), "{renew}");
    assert!(diagnosis.verdict.summary.contains("12 days"), "{}", diagnosis.verdict.summary);
}

#[test]
fn several_faults_are_ranked_and_what_is_not_wrong_is_ruled_out() {
    let made = Made { days: (-400, -12), name: "srv10", self_signed: true, client_only: false, ..Made::GOOD };
    let diagnosis = refused(&made);
    assert_verdict(&diagnosis, VerdictId::CertificateExpired, Confidence::Likely);
    assert!(may_also_be(&diagnosis, VerdictId::CertificateUntrusted));
    assert!(diagnosis.verdict.ruled_out.contains(&VerdictId::CertificateNameMismatch));
    let self_signed = refused(&SELF_SIGNED);
    assert!(self_signed.verdict.ruled_out.contains(&VerdictId::CertificateExpired));
    assert!(self_signed.verdict.ruled_out.contains(&VerdictId::CertificateWrongUsage));
}

#[test]
fn a_bad_certificate_that_the_client_takes_is_a_finding() {
    let script = handshake_12(Script::negotiated(SSL, SSL), "srv10", &EXPIRED.der());
    let diagnosis = session_traffic(script).end(Side::Client, How::Reset).diagnose();
    assert_verdict(&diagnosis, VerdictId::Healthy, Confidence::Likely);
    assert!(has_finding(&diagnosis, "certificate-expired"));
}

#[test]
fn a_client_that_went_on_into_nla_has_taken_the_certificate() {
    let script = handshake_12(Script::negotiated(SSL | HYBRID, HYBRID), "srv10", &EXPIRED.der());
    let diagnosis = script.client(&application_data(120)).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Likely);
    assert_eq!(diagnosis.verdict.phase, Phase::Credssp);
    assert!(diagnosis.verdict.ruled_out.contains(&VerdictId::CertificateExpired));
    assert!(has_finding(&diagnosis, "certificate-expired"));
}

#[test]
fn with_nla_a_late_end_may_also_be_a_question_for_the_password() {
    let handshake = || handshake_12(Script::negotiated(SSL | HYBRID, HYBRID), "srv10", &EXPIRED.der());
    assert_verdict(&leaves(handshake()).diagnose(), VerdictId::CertificateExpired, Confidence::Likely);
    let late = leaves(handshake().wait(11_000_000)).diagnose();
    assert_verdict(&late, VerdictId::CertificateExpired, Confidence::Possible);
    assert!(may_also_be(&late, VerdictId::ClientClosed));
}

#[test]
fn a_client_that_comes_back_has_only_asked() {
    let script = || handshake_12(Script::negotiated(SSL, SSL), "srv10", &SELF_SIGNED.der()).wait(7_000_000);
    assert!(leaves(script()).may_be_a_prompt());
    let diagnosis = leaves(script()).and_came_back().diagnose();
    assert_verdict(&diagnosis, VerdictId::ClientPrompted, Confidence::Likely);
    assert!(diagnosis.verdict.summary.contains("self-signed"), "{}", diagnosis.verdict.summary);
    assert!(!may_also_be(&diagnosis, VerdictId::CertificateUntrusted));
    let gone = leaves(script()).diagnose();
    assert_verdict(&gone, VerdictId::CertificateUntrusted, Confidence::Likely);
}

#[test]
fn the_localhost_trap_is_rdpscopes_own_doing() {
    for name in ["localhost", "127.0.0.1"] {
        let script = handshake_12(Script::negotiated(SSL, SSL), name, &OTHER_NAME.der());
        let diagnosis = leaves(script).diagnose();
        assert_verdict(&diagnosis, VerdictId::CertificateNameMismatch, Confidence::Possible);
        assert!(diagnosis.verdict.summary.contains("rdpscope's own doing"), "{}", diagnosis.verdict.summary);
        assert_eq!(
            diagnosis.verdict.next[0],
            format!("rdpscope proxy srv10 --listen 127.0.0.2:13389 --address {SERVER}")
        );
        assert!(diagnosis.verdict.fix[0].text.contains("127.0.0.2 srv10"), "{:?}", diagnosis.verdict.fix);
    }
}

#[test]
fn a_fault_of_its_own_is_stronger_than_the_localhost_trap() {
    let script = handshake_12(Script::negotiated(SSL, SSL), "localhost", &EXPIRED.der());
    let diagnosis = leaves(script).diagnose();
    assert_verdict(&diagnosis, VerdictId::CertificateExpired, Confidence::Likely);
    assert!(may_also_be(&diagnosis, VerdictId::CertificateNameMismatch));
}

#[test]
fn a_good_certificate_that_is_refused_all_the_same() {
    let diagnosis = refused(&Made::default());
    assert_verdict(&diagnosis, VerdictId::CertificateRejected, Confidence::Possible);
    assert!(may_also_be(&diagnosis, VerdictId::CertificateUntrusted));
    assert!(may_also_be(&diagnosis, VerdictId::ClientClosed));
    for cause in
        [VerdictId::CertificateExpired, VerdictId::CertificateNameMismatch, VerdictId::CertificateWeak]
    {
        assert!(diagnosis.verdict.ruled_out.contains(&cause), "{cause}");
    }
}

#[test]
fn tls_13_hides_the_certificate() {
    let handshake = || handshake_13(Script::negotiated(SSL, SSL));
    let close_notify = application_data(19);
    let at_once = handshake().client(&close_notify).end(Side::Client, How::Reset).diagnose();
    assert_verdict(&at_once, VerdictId::CertificateRejected, Confidence::Likely);
    assert!(may_also_be(&at_once, VerdictId::CertificateExpired), "it cannot be known");
    let late = handshake().wait(20_000_000).client(&close_notify).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&late, VerdictId::CertificateRejected, Confidence::Possible);
    let went_on = handshake().client(&application_data(450)).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&went_on, VerdictId::ClientClosed, Confidence::Likely);
    assert_eq!(went_on.verdict.phase, Phase::Mcs);
}

#[test]
fn alerts_in_clear_are_proof() {
    for (made, description, cause) in [
        (EXPIRED, 45, VerdictId::CertificateExpired),
        (NOT_YET, 45, VerdictId::CertificateNotYetValid),
        (SELF_SIGNED, 48, VerdictId::CertificateUntrusted),
        (Made::default(), 48, VerdictId::CertificateUntrusted),
        (Made::default(), 44, VerdictId::CertificateRevoked),
        (Made::default(), 42, VerdictId::CertificateRejected),
        (Made::default(), 46, VerdictId::CertificateRejected),
        (Made::default(), 49, VerdictId::CertificateRejected),
    ] {
        assert_verdict(&refused_with(&made, description), cause, Confidence::Confirmed);
    }
}

#[test]
fn an_alert_that_names_another_reason_is_believed() {
    let diagnosis = refused_with(&EXPIRED, 48);
    assert_verdict(&diagnosis, VerdictId::CertificateUntrusted, Confidence::Confirmed);
    assert!(!may_also_be(&diagnosis, VerdictId::CertificateExpired));
    assert!(has_finding(&diagnosis, "certificate-expired"));
}

#[test]
fn an_unspecific_alert_and_a_visible_fault() {
    assert_verdict(&refused_with(&OTHER_NAME, 42), VerdictId::CertificateNameMismatch, Confidence::Likely);
    assert_verdict(&refused_with(&CLIENT_ONLY, 43), VerdictId::CertificateWrongUsage, Confidence::Likely);
}

#[test]
fn a_client_with_a_wrong_clock() {
    let diagnosis = refused_with(&Made::default(), 45);
    assert_verdict(&diagnosis, VerdictId::CertificateExpired, Confidence::Likely);
    assert!(diagnosis.verdict.summary.contains("clock"), "{}", diagnosis.verdict.summary);
    assert!(!diagnosis.verdict.ruled_out.contains(&VerdictId::CertificateNotYetValid));
}

#[test]
fn an_unreadable_wall_clock_judges_no_dates() {
    let script = leaves(handshake_12(Script::negotiated(SSL, SSL), "srv10", &EXPIRED.der()));
    let mut record = script.record();
    record.header.as_mut().unwrap().started.clear();
    let diagnosis = super::super::diagnose(&record, &super::super::Context::default());
    assert_verdict(&diagnosis, VerdictId::CertificateRejected, Confidence::Possible);
    assert!(!diagnosis.verdict.ruled_out.contains(&VerdictId::CertificateExpired));
}

/// A chain of one certificate with SHA-1 and a short key, which the library that makes certificates refuses to make.
fn weak(bits: u32) -> Script {
    let mut record = server_flight_12(Script::negotiated(SSL, SSL), "srv10", &Made::default().der()).record();
    let leaf = record.events.iter_mut().find_map(|event| match &mut event.detail {
        Detail::Certificate { chain, .. } => chain.pop(),
        _ => None,
    });
    let mut leaf = (*leaf.unwrap()).clone();
    (leaf.key_algorithm, leaf.key_bits) = ("RSA".to_owned(), Some(bits));
    leaf.signature_algorithm = "sha1WithRSAEncryption".to_owned();
    let detail = Detail::Certificate { chain: vec![leaf.into()], unreadable: Vec::new(), der: vec![] };
    let flight = super::script::server_hello_12();
    Script::negotiated(SSL, SSL)
        .client(&super::script::client_hello("srv10"))
        .server(&flight)
        .server_says(Phase::Tls, detail)
}

#[test]
fn a_weak_certificate_is_refused_by_some_clients_only() {
    let refused = |bits| weak(bits).end(Side::Client, How::Reset).diagnose();
    assert_verdict(&refused(1024), VerdictId::CertificateWeak, Confidence::Possible);
    assert_verdict(&refused(512), VerdictId::CertificateWeak, Confidence::Likely);
    assert!(refused(1024).verdict.ruled_out.contains(&VerdictId::CertificateExpired));
    let said_so = weak(1024).client(&alert(43)).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&said_so, VerdictId::CertificateWeak, Confidence::Likely);
    let findings = weak(1024).end(Side::Server, How::Fin).diagnose();
    assert!(
        has_finding(&findings, "certificate-weak-signature")
            && has_finding(&findings, "certificate-weak-key")
    );
}

#[test]
fn a_certificate_that_will_expire_is_a_finding() {
    let with_days_left = |days| {
        let made = Made { days: (-300, days), ..Made::default() };
        session_traffic(handshake_12(Script::negotiated(SSL, SSL), "srv10", &made.der())).stopped().diagnose()
    };
    assert!(has_finding(&with_days_left(20), "certificate-expires-soon"));
    assert!(!has_finding(&with_days_left(40), "certificate-expires-soon"));
}
