use super::script::{
    HYBRID, Made, SSL, Script, alert, application_data, client_hello, finished, handshake_13, record,
    server_flight_12, server_hello_12,
};
use super::{assert_verdict, has_finding, may_also_be};
use crate::trace::{Confidence, Detail, How, Phase, Side, TcpInfo, VerdictId};

fn greeted() -> Script {
    Script::negotiated(SSL, SSL).client(&client_hello("srv10"))
}

fn server_alert(description: u8) -> super::Diagnosis {
    greeted().server(&alert(description)).end(Side::Server, How::Fin).diagnose()
}

#[test]
fn alerts_right_after_the_client_hello() {
    for (description, cause, confidence) in [
        (70, VerdictId::TlsVersionMismatch, Confidence::Confirmed),
        (86, VerdictId::TlsVersionMismatch, Confidence::Likely),
        (40, VerdictId::TlsCipherMismatch, Confidence::Confirmed),
        (71, VerdictId::TlsCipherMismatch, Confidence::Confirmed),
        (80, VerdictId::ServerKeyUnusable, Confidence::Likely),
        (49, VerdictId::ServerClosed, Confidence::Confirmed),
        (10, VerdictId::ProtocolError, Confidence::Confirmed),
        (112, VerdictId::ProtocolError, Confidence::Confirmed),
        (116, VerdictId::ProtocolError, Confidence::Confirmed),
        (200, VerdictId::ProtocolError, Confidence::Confirmed),
    ] {
        let diagnosis = server_alert(description);
        assert_verdict(&diagnosis, cause, confidence);
        assert_eq!(diagnosis.verdict.phase, Phase::Tls);
        assert!(diagnosis.verdict.evidence[0].text.contains("alert"), "{:?}", diagnosis.verdict.evidence);
    }
}

#[test]
fn a_server_that_has_chosen_refuses_no_suite() {
    let chosen = |script: Script| script.server(&alert(40)).end(Side::Server, How::Fin).diagnose();
    let script = || greeted().server(&server_hello_12());
    assert_verdict(&chosen(script()), VerdictId::ProtocolError, Confidence::Confirmed);
    let asked = script().server_says(Phase::Tls, Detail::ClientCertificateRequested);
    assert!(may_also_be(&chosen(asked), VerdictId::ClientCertificateRequired));
}

#[test]
fn the_client_may_refuse_the_version_too() {
    let script = greeted().server(&server_hello_12()).client(&alert(70)).end(Side::Client, How::Fin);
    let diagnosis = script.diagnose();
    assert_verdict(&diagnosis, VerdictId::TlsVersionMismatch, Confidence::Confirmed);
    assert!(diagnosis.verdict.summary.contains("TLS1.2"));
}

#[test]
fn a_server_that_drops_the_client_hello() {
    for how in [How::Fin, How::Reset] {
        let diagnosis = greeted().end(Side::Server, how).diagnose();
        assert_verdict(&diagnosis, VerdictId::ServerKeyUnusable, Confidence::Likely);
        assert!(may_also_be(&diagnosis, VerdictId::TlsVersionMismatch));
        assert!(may_also_be(&diagnosis, VerdictId::TlsCipherMismatch));
    }
    let late = greeted().wait(30_000_000).end(Side::Server, How::Fin).diagnose();
    assert_verdict(&late, VerdictId::TlsStalled, Confidence::Possible);
    let by_client = greeted().end(Side::Client, How::Fin).diagnose();
    assert_verdict(&by_client, VerdictId::ClientClosed, Confidence::Likely);
}

#[test]
fn a_server_that_drops_an_old_client() {
    let mut hello = client_hello("srv10");
    let offered = [4, 3, 4, 3, 3];
    let place = hello.windows(offered.len()).position(|window| window == offered).unwrap();
    hello[place..place + offered.len()].copy_from_slice(&[4, 3, 2, 3, 1]);
    let dropped = Script::negotiated(SSL, SSL).client(&hello).end(Side::Server, How::Reset).diagnose();
    assert_verdict(&dropped, VerdictId::TlsVersionMismatch, Confidence::Likely);
    assert!(may_also_be(&dropped, VerdictId::ServerKeyUnusable));
}

#[test]
fn a_client_hello_without_an_answer() {
    let diagnosis = greeted().wait(10_000_000).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::TlsStalled, Confidence::Likely);
    assert!(may_also_be(&diagnosis, VerdictId::ServerKeyUnusable));
    assert!(diagnosis.verdict.next.contains(&"rdpscope ab srv10 --vary mss".to_owned()));
    let hasty = greeted().wait(2_000_000).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&hasty, VerdictId::ClientClosed, Confidence::Likely);
}

#[test]
fn a_server_flight_that_comes_only_in_part() {
    let partial = |us| greeted().server(&server_hello_12()).wait(us).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&partial(8_000_000), VerdictId::TlsStalled, Confidence::Likely);
    assert_ne!(partial(1_000_000).verdict.id, VerdictId::TlsStalled);
}

#[test]
fn a_server_flight_that_does_not_reach_the_client() {
    let sent = |again| {
        let script = server_flight_12(Script::negotiated(SSL, SSL), "srv10", &Made::default().der());
        let info =
            TcpInfo { retransmitted_segments: Some(again), segments_out: Some(20), ..Default::default() };
        script.wait(9_000_000).end(Side::Client, How::Fin).client_leg(Detail::TcpInfo(info)).diagnose()
    };
    assert_verdict(&sent(6), VerdictId::TlsStalled, Confidence::Likely);
    let nothing_lost = sent(0);
    assert_verdict(&nothing_lost, VerdictId::CertificateRejected, Confidence::Possible);
    assert!(!may_also_be(&nothing_lost, VerdictId::TlsStalled));
}

#[test]
fn what_is_not_tls_breaks_the_protocol() {
    let script = greeted().server(b"\x99\x99\x99\x99\x99\x99\x99\x99").end(Side::Server, How::Fin);
    let diagnosis = script.diagnose();
    assert_verdict(&diagnosis, VerdictId::ProtocolError, Confidence::Likely);
    assert_eq!(diagnosis.verdict.phase, Phase::Tls);
}

#[test]
fn a_finished_handshake_rules_the_handshakes_faults_out() {
    let script = handshake_13(Script::negotiated(SSL | HYBRID, HYBRID));
    let diagnosis = script.client(&application_data(120)).end(Side::Server, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::ServerClosed, Confidence::Likely);
    for cause in [
        VerdictId::TlsVersionMismatch,
        VerdictId::TlsCipherMismatch,
        VerdictId::ServerKeyUnusable,
        VerdictId::TlsStalled,
        VerdictId::CertificateRejected,
    ] {
        assert!(diagnosis.verdict.ruled_out.contains(&cause), "{cause}");
    }
}

#[test]
fn weak_tls_is_a_finding() {
    let mut hello = record(22, &[&[2, 0, 0, 38, 3, 1], [8; 32].as_slice(), &[0, 0x00, 0x2f, 0]].concat());
    hello[2] = 1;
    let script = greeted().server(&hello).client(&finished()).end(Side::Client, How::Fin);
    let diagnosis = script.diagnose();
    assert!(has_finding(&diagnosis, "old-tls-version") && has_finding(&diagnosis, "static-rsa-key-exchange"));
    let modern = greeted().server(&server_hello_12()).end(Side::Client, How::Fin).diagnose();
    assert!(!has_finding(&modern, "old-tls-version") && !has_finding(&modern, "static-rsa-key-exchange"));
}

#[test]
fn what_is_said_to_a_client_that_has_gone_is_no_cause() {
    let script = Script::negotiated(SSL, SSL).end(Side::Client, How::Fin).server(&alert(50));
    let diagnosis = script.end(Side::Server, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Likely);
    let before = greeted().server(&alert(50)).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&before, VerdictId::ProtocolError, Confidence::Confirmed);
}

#[test]
fn where_the_inside_is_not_followed_nothing_is_said_of_it() {
    const RDSTLS: u8 = 4;
    let ended = |side| handshake_13(Script::negotiated(RDSTLS, RDSTLS)).end(side, How::Fin).diagnose();
    for (side, id) in [(Side::Client, VerdictId::ClientClosed), (Side::Server, VerdictId::ServerClosed)] {
        let diagnosis = ended(side);
        assert_verdict(&diagnosis, id, Confidence::Likely);
        assert!(diagnosis.verdict.summary.contains("not visible"), "{}", diagnosis.verdict.summary);
        assert!(!may_also_be(&diagnosis, VerdictId::CertificateRejected));
        assert!(!diagnosis.verdict.ruled_out.contains(&VerdictId::CertificateRejected));
    }
}
