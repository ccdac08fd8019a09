//! The logon at a gateway.

use super::super::script::Made;
use super::super::{assert_verdict, may_also_be};
use super::attempt::*;
use crate::trace::{Confidence, Detail, How, HttpResponse, Leg, Phase, Role, Side, Transport, VerdictId};
use crate::wire::named::Code;
use crate::wire::tsgu::Packet;

/// The gateway shows its certificate, and rdpscope another in its place or the same.
fn terminated(same: bool) -> super::super::script::Script {
    let own = Made { name: GATEWAY, ..Made::GOOD }.der();
    let shown = if same { own.clone() } else { Made { name: GATEWAY, ..Made::GOOD }.der() };
    let read = |der: &[u8]| vec![rdpscope_certs::inspect::inspect(der).unwrap().into()];
    let certificate = Detail::Certificate { chain: read(&own), unreadable: vec![], der: vec![] };
    let presented = Detail::CertificatePresented {
        mode: if same { "file:gateway.pfx" } else { "fresh" }.to_owned(),
        chain: read(&shown),
        same_key: same,
        differences: vec![],
        der: vec![],
    };
    let script = connected().says(Leg::Server, Some(Side::Server), Phase::GatewayTls, certificate);
    script.says(Leg::Client, None, Phase::GatewayTls, presented)
}

fn refused(script: super::super::script::Script, bound: bool, reason: &str) -> super::super::Diagnosis {
    let script = authenticate(negotiated(script, Role::Websocket), Role::Websocket, bound);
    let challenges = vec![scheme("Negotiate", None, None), scheme("Basic", None, None)];
    let refusal =
        HttpResponse { reason: reason.to_owned(), ..unauthorized(Role::Websocket, challenges, WINDOWS) };
    ends(answer(script, refusal), Side::Client, How::Fin).diagnose()
}

#[test]
fn a_401_after_the_last_message_of_ntlm_is_the_end() {
    let diagnosis = refused(connected(), true, "Unauthorized");
    assert_verdict(&diagnosis, VerdictId::GatewayAuthFailed, Confidence::Confirmed);
    assert!(!may_also_be(&diagnosis, VerdictId::GatewayChannelBinding));
    assert!(diagnosis.verdict.summary.contains("Negotiate with NTLM"), "{}", diagnosis.verdict.summary);
    let restricted = refused(connected(), true, "User Account Restricted");
    assert!(restricted.verdict.summary.contains("\"User Account Restricted\""), "{:#?}", restricted.verdict);
    assert!(restricted.verdict.summary.contains("Protected Users"), "{:#?}", restricted.verdict);
}

#[test]
fn a_scheme_that_was_never_offered_says_nothing_of_the_password() {
    let script = ask(connected(), Role::Websocket, Some(scheme("Negotiate", Some("NTLM negotiate"), None)));
    let only_basic = unauthorized(Role::Websocket, vec![scheme("Basic", None, None)], WINDOWS);
    let diagnosis = ends(answer(script, only_basic), Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayAuthFailed, Confidence::Confirmed);
    let summary = &diagnosis.verdict.summary;
    assert!(summary.contains("by Basic alone") && summary.contains("Negotiate with NTLM"), "{summary}");
    assert!(!may_also_be(&diagnosis, VerdictId::GatewayChannelBinding));
}

#[test]
fn a_box_that_changes_connections_breaks_ntlm() {
    let script = authenticate(negotiated(connected(), Role::Websocket), Role::Websocket, true);
    let again = unauthorized(Role::Websocket, vec![scheme("NTLM", None, None)], NGINX);
    let diagnosis = ends(answer(script, again), Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayAuthFailed, Confidence::Likely);
    assert!(may_also_be(&diagnosis, VerdictId::GatewayResponseMalformed));
    assert!(diagnosis.verdict.summary.contains("another connection"), "{}", diagnosis.verdict.summary);

    let script = ask(connected(), Role::Websocket, Some(scheme("NTLM", Some("NTLM negotiate"), None)));
    let mut challenge =
        unauthorized(Role::Websocket, vec![scheme("NTLM", Some("NTLM challenge"), None)], NGINX);
    challenge.headers.push(header("Connection", "close"));
    let diagnosis = ends(answer(script, challenge), Side::Server, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayResponseMalformed, Confidence::Likely);
    assert_eq!(diagnosis.verdict.phase, Phase::GatewayAuth);
}

#[test]
fn rounds_of_a_logon_are_no_refusal() {
    let diagnosis = ends(negotiated(connected(), Role::Websocket), Side::Client, How::Fin).diagnose();
    assert_ne!(diagnosis.verdict.confidence, Confidence::Confirmed, "{:#?}", diagnosis.verdict);
    assert_ne!(diagnosis.verdict.id, VerdictId::GatewayAuthFailed);
    let healthy = ends(desktop(open()), Side::Client, How::Reset).diagnose();
    assert_verdict(&healthy, VerdictId::Healthy, Confidence::Likely);
}

#[test]
fn a_client_that_leaves_when_asked_to_log_on() {
    let asked = || {
        let challenges = vec![scheme("Negotiate", None, None), scheme("NTLM", None, None)];
        let script = ask(connected(), Role::Websocket, None);
        ends(answer(script, unauthorized(Role::Websocket, challenges, WINDOWS)), Side::Client, How::Fin)
    };
    let diagnosis = asked().diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayAuthFailed, Confidence::Possible);
    assert!(diagnosis.verdict.summary.contains("Negotiate, NTLM"), "{}", diagnosis.verdict.summary);
    let prompted = asked().and_came_back().diagnose();
    assert_verdict(&prompted, VerdictId::ClientPrompted, Confidence::Likely);
}

#[test]
fn a_binding_to_another_certificate_is_not_blamed_on_the_gateway() {
    let diagnosis = refused(terminated(false), true, "Unauthorized");
    assert_verdict(&diagnosis, VerdictId::GatewayChannelBinding, Confidence::Likely);
    let verdict = &diagnosis.verdict;
    assert!(verdict.summary.contains("dpscope shows the client another certificate"), "{}", verdict.summary);
    let advice: String = verdict.fix.iter().map(|fix| fix.text.as_str()).collect();
    for words in ["--renew-with does not help", "file:", "Basic", "PAA", "--cert passthrough"] {
        assert!(advice.contains(words), "{words}: {advice}");
    }
    assert!(may_also_be(&diagnosis, VerdictId::GatewayAuthFailed));
    // The gateway's own certificate, and a logon that binds nothing.
    let own = refused(terminated(true), true, "Unauthorized");
    assert_verdict(&own, VerdictId::GatewayAuthFailed, Confidence::Confirmed);
    let unbound = refused(terminated(false), false, "Unauthorized");
    assert_verdict(&unbound, VerdictId::GatewayAuthFailed, Confidence::Confirmed);
    assert!(!may_also_be(&unbound, VerdictId::GatewayChannelBinding));
}

#[test]
fn a_box_that_inspects_tls_breaks_the_binding_as_well() {
    let inspected = Made { name: GATEWAY, authority: "Zscaler Intermediate CA", ..Made::GOOD }.der();
    let diagnosis = refused(tls_with_gateway(connected(), GATEWAY, &inspected), true, "Unauthorized");
    assert_verdict(&diagnosis, VerdictId::GatewayChannelBinding, Confidence::Likely);
    assert!(diagnosis.verdict.summary.contains("Zscaler"), "{}", diagnosis.verdict.summary);
}

/// Everything that a verdict says without naming a command of rdpscope's.
fn said(diagnosis: &super::super::Diagnosis) -> String {
    let verdict = &diagnosis.verdict;
    let fixes = verdict.fix.iter().map(|fix| fix.text.as_str());
    let evidence = verdict.evidence.iter().map(|evidence| evidence.text.as_str());
    [verdict.summary.as_str()].into_iter().chain(fixes).chain(evidence).collect::<Vec<_>>().join("\n")
}

#[test]
fn in_a_capture_nobody_is_told_to_leave_out_what_was_not_there() {
    let inspected = Made { name: GATEWAY, authority: "Zscaler Intermediate CA", ..Made::GOOD }.der();
    let own = Made { name: GATEWAY, ..Made::GOOD }.der();
    let bound = refused(tls_with_gateway(connected().recorded(), GATEWAY, &inspected), true, "Unauthorized");
    assert_verdict(&bound, VerdictId::GatewayChannelBinding, Confidence::Likely);
    let failed = refused(tls_with_gateway(connected().recorded(), GATEWAY, &own), true, "Unauthorized");
    assert_verdict(&failed, VerdictId::GatewayAuthFailed, Confidence::Confirmed);
    for diagnosis in [bound, failed] {
        assert!(!diagnosis.verdict.fix.is_empty());
        let said = said(&diagnosis);
        assert!(!said.contains("rdpscope") && !said.contains("--cert"), "{said}");
    }
}

fn in_the_tunnel(value: u32, cookie: Option<usize>) -> super::super::Diagnosis {
    let script =
        began(answer(ask(connected(), Role::Websocket, None), switching()), Transport::GatewayWebsocket);
    let script = create(handshake(script), Code { value, name: None }, cookie);
    ends(script, Side::Server, How::Fin).diagnose()
}

#[test]
fn cookies_and_their_codes() {
    let denied = in_the_tunnel(0x8007_59F8, Some(300));
    assert_verdict(&denied, VerdictId::GatewayAuthFailed, Confidence::Confirmed);
    assert!(denied.verdict.summary.contains("expired"), "{}", denied.verdict.summary);
    let wants_none = in_the_tunnel(0x8007_59F9, Some(300));
    assert!(wants_none.verdict.summary.contains("does not take cookies"), "{:#?}", wants_none.verdict);
    let wants_one = in_the_tunnel(0x8007_59F9, None);
    assert!(wants_one.verdict.summary.contains("gatewayaccesstoken"), "{:#?}", wants_one.verdict);
}

#[test]
fn extended_authentication_says_by_number_what_is_wrong() {
    let extended = |value: u32| {
        let script =
            began(answer(ask(connected(), Role::Websocket, None), switching()), Transport::GatewayWebsocket);
        let message = Packet::ExtendedAuthMsg { status: Code { value, name: None }, token_length: 0 };
        let script = packet(handshake(script), Side::Server, Phase::GatewayAuth, message);
        ends(script, Side::Server, How::Fin).diagnose()
    };
    let denied = extended(0x8009_030C);
    assert_verdict(&denied, VerdictId::GatewayAuthFailed, Confidence::Confirmed);
    assert_verdict(&extended(0x8009_0346), VerdictId::GatewayChannelBinding, Confidence::Confirmed);
    assert_verdict(&extended(0xC000_035B), VerdictId::GatewayChannelBinding, Confidence::Confirmed);
}
