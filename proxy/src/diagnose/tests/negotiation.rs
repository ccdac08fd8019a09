use super::script::{HYBRID, SSL, Script, client_hello, confirm, failure, request};
use super::{assert_verdict, has_finding, may_also_be};
use crate::trace::{Confidence, How, Phase, Side, VerdictId};

#[test]
fn each_failure_code_is_its_own_cause_and_rules_the_others_out() {
    let causes = [
        VerdictId::TlsRequired,
        VerdictId::TlsRefusedByServer,
        VerdictId::ServerCertificateMissing,
        VerdictId::InconsistentFlags,
        VerdictId::NlaRequired,
        VerdictId::ClientCertificateRequired,
    ];
    for (code, cause) in (1..).zip(causes) {
        let offered = if code == 1 { 0 } else { SSL };
        let script = Script::connected()
            .client(&request(offered))
            .server(&failure(code))
            .end(Side::Client, How::Reset);
        let diagnosis = script.diagnose();
        assert_verdict(&diagnosis, cause, Confidence::Confirmed);
        assert_eq!(diagnosis.verdict.phase, Phase::X224);
        for other in causes.iter().filter(|other| **other != cause) {
            assert!(diagnosis.verdict.ruled_out.contains(other), "{other}");
        }
    }
}

#[test]
fn a_failure_is_no_prompt_even_when_the_client_comes_back_with_less() {
    let refused =
        || Script::connected().client(&request(SSL)).server(&failure(5)).end(Side::Client, How::Reset);
    assert!(!refused().may_be_a_prompt());
    assert_verdict(&refused().and_came_back().diagnose(), VerdictId::NlaRequired, Confidence::Confirmed);
}

#[test]
fn a_server_that_demands_what_was_offered_is_not_blamed_on_the_client() {
    for (offered, code, demanded) in [(SSL, 1, "TLS"), (SSL | HYBRID, 1, "TLS"), (SSL | HYBRID, 5, "NLA")] {
        let script = Script::connected()
            .client(&request(offered))
            .server(&failure(code))
            .end(Side::Client, How::Reset);
        let diagnosis = script.diagnose();
        assert_verdict(&diagnosis, VerdictId::ProtocolError, Confidence::Likely);
        assert!(diagnosis.verdict.summary.contains(&format!("lacks {demanded}")));
    }
}

#[test]
fn a_client_that_offers_nla_alone_does_not_offer_the_tls_that_is_demanded() {
    let script =
        Script::connected().client(&request(HYBRID)).server(&failure(1)).end(Side::Client, How::Reset);
    let diagnosis = script.diagnose();
    assert_verdict(&diagnosis, VerdictId::TlsRequired, Confidence::Confirmed);
    assert!(
        diagnosis.verdict.summary.contains("offers NLA and nothing less"),
        "{}",
        diagnosis.verdict.summary
    );
}

#[test]
fn an_unknown_failure_code_is_told_as_it_is() {
    let script = Script::connected().client(&request(SSL)).server(&failure(99)).end(Side::Server, How::Fin);
    let diagnosis = script.diagnose();
    assert_verdict(&diagnosis, VerdictId::ProtocolError, Confidence::Confirmed);
    assert!(diagnosis.verdict.summary.contains("0x63"));
}

#[test]
fn an_x224_disconnect_in_the_place_of_an_answer() {
    let disconnect = [3, 0, 0, 11, 6, 0x80, 0, 0, 0x12, 0x34, 1];
    let script = Script::connected().client(&request(SSL)).server(&disconnect).end(Side::Server, How::Fin);
    assert_verdict(&script.diagnose(), VerdictId::ServerClosed, Confidence::Likely);
}

#[test]
fn a_client_that_insists_on_nla() {
    let diagnosis = Script::negotiated(HYBRID, SSL).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::NlaNotOffered, Confidence::Confirmed);
    assert!(!has_finding(&diagnosis, "nla-off"), "what is the verdict is no finding");
    let offered_both = || Script::negotiated(SSL | HYBRID, SSL);
    let left = offered_both().end(Side::Client, How::Fin).diagnose();
    assert_verdict(&left, VerdictId::NlaNotOffered, Confidence::Likely);
    assert!(may_also_be(&left, VerdictId::ClientClosed));
    let late = offered_both().wait(30_000_000).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&late, VerdictId::NlaNotOffered, Confidence::Possible);
    let asked = offered_both().end(Side::Client, How::Fin).and_came_back().diagnose();
    assert_verdict(&asked, VerdictId::ClientPrompted, Confidence::Likely);
    assert!(!may_also_be(&asked, VerdictId::NlaNotOffered));
}

#[test]
fn a_client_that_takes_less_than_nla_is_content() {
    let went_on = Script::negotiated(SSL | HYBRID, SSL).client(&client_hello("srv10"));
    let diagnosis = went_on.stopped().diagnose();
    assert_ne!(diagnosis.verdict.id, VerdictId::NlaNotOffered);
    assert!(has_finding(&diagnosis, "nla-off"));
    let with_nla = Script::negotiated(SSL | HYBRID, HYBRID).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&with_nla, VerdictId::ClientClosed, Confidence::Likely);
    assert!(with_nla.verdict.ruled_out.contains(&VerdictId::NlaNotOffered));
    assert!(!has_finding(&with_nla, "nla-off"));
}

#[test]
fn a_long_wait_for_a_password_is_a_finding_and_no_fault() {
    let waited = |us| {
        let script = Script::negotiated(SSL | HYBRID, HYBRID).wait(us).client(&client_hello("srv10"));
        script.end(Side::Client, How::Fin).diagnose()
    };
    let long = waited(25_000_000);
    assert!(has_finding(&long, "client-waited"));
    assert_verdict(&long, VerdictId::ClientClosed, Confidence::Likely);
    assert!(!has_finding(&waited(20_000), "client-waited"));
}

#[test]
fn what_the_request_asks_for_is_told() {
    let mut restricted = request(HYBRID);
    restricted[12] = 1;
    let script = Script::connected().client(&restricted).server(&confirm(HYBRID)).stopped();
    assert!(has_finding(&script.diagnose(), "restricted-admin"));
    assert!(has_finding(&Script::negotiated(0, 0).stopped().diagnose(), "rdp-security"));
}
