use super::script::{
    HYBRID, SSL, Script, application_data, client_hello, handshake_13, request, server_hello_13,
    session_traffic,
};
use super::{assert_verdict, may_also_be};
use crate::trace::{Confidence, How, Phase, Side, VerdictId};

fn encrypted_session() -> Script {
    session_traffic(handshake_13(Script::negotiated(SSL, SSL)))
}

#[test]
fn a_session_that_was_active_is_healthy_however_the_client_ends_it() {
    for how in [How::Fin, How::Reset] {
        let diagnosis = encrypted_session().wait(90_000_000).end(Side::Client, how).diagnose();
        assert_verdict(&diagnosis, VerdictId::Healthy, Confidence::Likely);
        assert_eq!(diagnosis.verdict.phase, Phase::Active);
        assert!(diagnosis.verdict.summary.contains("90.0 s"), "{}", diagnosis.verdict.summary);
        assert!(diagnosis.verdict.ruled_out.is_empty() && diagnosis.verdict.fix.is_empty());
    }
    let readable = Script::negotiated(0, 0).active().wait(1_000_000).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&readable, VerdictId::Healthy, Confidence::Confirmed);
}

#[test]
fn a_logoff_looks_like_any_other_end_by_the_server() {
    let after = |us| encrypted_session().wait(us).end(Side::Server, How::Fin).diagnose();
    let logoff = after(60_000_000);
    assert_verdict(&logoff, VerdictId::Healthy, Confidence::Likely);
    assert!(logoff.verdict.summary.contains("logoff") && logoff.verdict.summary.contains("not visible"));
    let at_once = after(500_000);
    assert_verdict(&at_once, VerdictId::Healthy, Confidence::Possible);
    assert!(may_also_be(&at_once, VerdictId::ServerClosed));
}

#[test]
fn a_session_that_is_stopped_was_healthy() {
    assert_verdict(&encrypted_session().stopped().diagnose(), VerdictId::Healthy, Confidence::Likely);
    assert_verdict(&encrypted_session().diagnose(), VerdictId::Healthy, Confidence::Likely);
}

#[test]
fn a_reset_by_the_server_in_an_active_session() {
    let diagnosis = encrypted_session().wait(77_000_000).end(Side::Server, How::Reset).diagnose();
    assert_verdict(&diagnosis, VerdictId::ServerClosed, Confidence::Likely);
    assert_eq!(diagnosis.verdict.phase, Phase::Active);
    assert!(may_also_be(&diagnosis, VerdictId::IdleTimeout));
}

#[test]
fn a_session_stopped_before_it_was_active_has_no_fault() {
    let diagnosis = Script::negotiated(SSL, SSL).stopped().diagnose();
    assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Possible);
    assert!(diagnosis.verdict.summary.contains("No fault was seen"), "{}", diagnosis.verdict.summary);
    assert!(diagnosis.verdict.summary.contains("told to stop"), "{}", diagnosis.verdict.summary);
    let cut = Script::negotiated(SSL, SSL).diagnose();
    assert!(cut.verdict.summary.contains("the record ends"), "{}", cut.verdict.summary);
}

#[test]
fn a_client_that_sends_nothing() {
    let nothing = || Script::connected().end(Side::Client, How::Fin);
    assert!(nothing().may_be_a_prompt());
    assert_verdict(&nothing().diagnose(), VerdictId::ClientClosed, Confidence::Likely);
    assert_verdict(&nothing().and_came_back().diagnose(), VerdictId::ClientPrompted, Confidence::Likely);
}

#[test]
fn where_a_client_may_be_asking_its_user() {
    let leaves = |script: Script| script.end(Side::Client, How::Fin).may_be_a_prompt();
    let nla = || Script::negotiated(SSL | HYBRID, HYBRID);
    assert!(leaves(nla()), "after the server's answer");
    assert!(leaves(nla().client(&client_hello("srv10")).server(&server_hello_13())), "after the certificate");
    assert!(leaves(handshake_13(nla()).client(&application_data(120))), "inside NLA");
    assert!(!leaves(Script::connected().client(&request(SSL))), "before the server's answer");
    assert!(!leaves(nla().client(&client_hello("srv10"))), "before the server's hello");
    assert!(!leaves(encrypted_session()), "out of a session");
    assert!(!nla().end(Side::Server, How::Fin).may_be_a_prompt(), "the server left");
    assert!(!nla().stopped().may_be_a_prompt(), "rdpscope was stopped");
}

/// NTLM: negotiate, challenge, authenticate.
fn three_nla_messages() -> Script {
    let handshake = handshake_13(Script::negotiated(SSL | HYBRID, HYBRID));
    handshake.client(&application_data(74)).server(&application_data(300)).client(&application_data(700))
}

#[test]
fn a_server_that_leaves_during_nla() {
    let diagnosis = three_nla_messages().end(Side::Server, How::Reset).diagnose();
    assert_verdict(&diagnosis, VerdictId::ServerClosed, Confidence::Likely);
    assert_eq!(diagnosis.verdict.phase, Phase::Credssp);
    assert!(diagnosis.verdict.summary.contains("inside TLS"));
    assert_eq!(diagnosis.verdict.alternatives[0].id, VerdictId::NlaLogonFailed);
    assert_eq!(diagnosis.verdict.alternatives[0].confidence, Confidence::Possible);
    assert!(!diagnosis.verdict.ruled_out.contains(&VerdictId::NlaClockSkew), "it cannot be known");
}

#[test]
fn a_client_that_leaves_after_the_servers_nla_answer() {
    let diagnosis =
        three_nla_messages().server(&application_data(60)).end(Side::Client, How::Reset).diagnose();
    assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Likely);
    assert_eq!(diagnosis.verdict.phase, Phase::Credssp);
    assert!(may_also_be(&diagnosis, VerdictId::NlaLogonFailed));
}

#[test]
fn a_status_is_known_by_its_size_where_it_cannot_be_read() {
    let refused = |by, length: usize| {
        let diagnosis =
            three_nla_messages().server(&application_data(length + 17)).end(by, How::Fin).diagnose();
        let left = if by == Side::Client { VerdictId::ClientClosed } else { VerdictId::ServerClosed };
        assert_verdict(&diagnosis, left, Confidence::Likely);
        assert!(may_also_be(&diagnosis, VerdictId::NlaLogonFailed));
        diagnosis.verdict.summary.contains("The server refused the logon")
    };
    for by in [Side::Client, Side::Server] {
        assert!(refused(by, 15) && !refused(by, 30), "{by}");
    }
}

#[test]
fn a_side_that_leaves_before_a_message_of_nla() {
    for by in [Side::Client, Side::Server] {
        let handshake = handshake_13(Script::negotiated(SSL | HYBRID, HYBRID)).wait(3_000_000);
        let diagnosis = handshake.end(by, How::Fin).diagnose();
        assert!(!diagnosis.verdict.summary.contains("status"), "{}", diagnosis.verdict.summary);
    }
}

#[test]
fn what_rdpscope_ended_has_nothing_to_mend() {
    let diagnosis = Script::negotiated(SSL, SSL).stopped().diagnose();
    assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Possible);
    assert!(diagnosis.verdict.fix.is_empty(), "{:?}", diagnosis.verdict.fix);
}

#[test]
fn nla_is_ruled_out_where_there_was_none_or_it_is_over() {
    let past_nla = three_nla_messages().server(&application_data(150)).client(&application_data(60));
    let past_nla = past_nla.client(&application_data(470));
    let diagnosis = past_nla.end(Side::Server, How::Fin).diagnose();
    assert_eq!(diagnosis.verdict.phase, Phase::Mcs, "{:#?}", diagnosis.verdict);
    assert!(diagnosis.verdict.ruled_out.contains(&VerdictId::NlaLogonFailed));
    let without = handshake_13(Script::negotiated(SSL, SSL)).end(Side::Server, How::Fin).diagnose();
    assert!(without.verdict.ruled_out.contains(&VerdictId::NlaLogonFailed));
}

#[test]
fn a_server_that_agrees_and_leaves() {
    let diagnosis = Script::negotiated(SSL, SSL).wait(30_000_000).end(Side::Server, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::ServerClosed, Confidence::Likely);
    assert!(diagnosis.verdict.summary.contains("30.0 s"), "{}", diagnosis.verdict.summary);
}
