//! Whether there is a gateway, and what its certificate does to a client.

use super::super::script::Made;
use super::super::{assert_verdict, may_also_be};
use super::attempt::*;
use crate::trace::{
    Confidence, ConnectError, Detail, How, HttpResponse, Leg, Phase, Role, Side, VerdictId, Where,
};

fn refused(error: ConnectError) -> Detail {
    let address = "192.0.2.7:443".to_owned();
    Detail::ConnectFailed { address, error, reason: "it failed".to_owned(), took_us: 10_000_000 }
}

#[test]
fn a_gateway_without_tcp_is_unreachable_and_nothing_is_said_of_the_target() {
    let diagnosis = of_gateway(refused(ConnectError::Refused)).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayUnreachable, Confidence::Confirmed);
    let verdict = diagnosis.verdict;
    assert_eq!(verdict.phase, Phase::GatewayTcp);
    assert!(
        verdict.summary.contains("gw.corp.example") && verdict.summary.contains("refused"),
        "{verdict:#?}"
    );
    assert!(verdict.alternatives.is_empty(), "{verdict:#?}");
    assert_eq!(verdict.next[0], "rdpscope probe srv10 --gateway gw.corp.example");
    let silent = of_gateway(refused(ConnectError::TimedOut)).diagnose();
    assert_verdict(&silent, VerdictId::GatewayUnreachable, Confidence::Likely);
    let reset = of_gateway(refused(ConnectError::Reset)).diagnose();
    assert_verdict(&reset, VerdictId::GatewayUnreachable, Confidence::Confirmed);
}

#[test]
fn a_name_that_does_not_resolve_stays_what_it_is() {
    let reason = "no such name".to_owned();
    let failed = Detail::ResolutionFailed { name: GATEWAY.to_owned(), reason, took_us: 900 };
    let script = super::super::script::Script::towards_gateway(GATEWAY).on(1);
    let diagnosis = script.says(Leg::Proxy, None, Phase::GatewayTcp, failed).diagnose();
    assert_verdict(&diagnosis, VerdictId::DnsFailure, Confidence::Confirmed);
}

#[test]
fn a_client_that_refuses_the_gateways_certificate() {
    let expired = Made { name: GATEWAY, days: (-300, -10), ..Made::GOOD }.der();
    let script = tls_with_gateway(connected(), GATEWAY, &expired);
    let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::CertificateExpired, Confidence::Likely);
    let verdict = diagnosis.verdict;
    assert_eq!(verdict.phase, Phase::GatewayTls);
    assert!(verdict.summary.contains("The gateway gw.corp.example's certificate"), "{}", verdict.summary);
    assert!(verdict.fix.iter().any(|fix| fix.place == Where::Gateway), "{verdict:#?}");
    assert!(verdict.next.iter().all(|next| next.contains("--gateway gw.corp.example")), "{verdict:#?}");
    assert!(verdict.ruled_out.contains(&VerdictId::GatewayUnreachable), "{verdict:#?}");

    let other = Made { name: "www.corp.example", ..Made::GOOD }.der();
    let script = tls_with_gateway(connected(), GATEWAY, &other);
    let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::CertificateNameMismatch, Confidence::Likely);

    let inspected = Made { name: GATEWAY, authority: "Zscaler Intermediate CA", ..Made::GOOD }.der();
    let script = tls_with_gateway(connected(), GATEWAY, &inspected);
    let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::TlsInspected, Confidence::Likely);
    assert_eq!(diagnosis.verdict.phase, Phase::GatewayTls);
}

#[test]
fn a_handshake_that_passes_through_and_is_complete_hides_what_the_client_minds() {
    let complete = |der: &[u8]| {
        let script = tls_with_gateway(connected(), GATEWAY, der);
        script.says(Leg::Server, Some(Side::Server), Phase::GatewayTls, Detail::HandshakeComplete)
    };
    let expired = Made { name: GATEWAY, days: (-300, -10), ..Made::GOOD }.der();
    let diagnosis = ends(complete(&expired), Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::CertificateExpired, Confidence::Possible);
    let used = ends(complete(&expired).wait(60_000_000), Side::Client, How::Fin).diagnose();
    assert_verdict(&used, VerdictId::ClientClosed, Confidence::Likely);
    let good = Made { name: GATEWAY, ..Made::GOOD }.der();
    let diagnosis = ends(complete(&good), Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Likely);
}

#[test]
fn a_web_server_is_no_gateway() {
    for (status, reason) in [(404, "Not Found"), (405, "Not Allowed"), (200, "OK"), (302, "Found")] {
        let script = ask(connected(), Role::Websocket, None);
        let page = HttpResponse {
            headers: vec![header("Server", NGINX), header("Content-Type", "text/html")],
            ..response(Role::Websocket, status, reason, NGINX)
        };
        let diagnosis = ends(answer(script, page), Side::Client, How::Fin).diagnose();
        assert_verdict(&diagnosis, VerdictId::GatewayNotAGateway, Confidence::Likely);
        assert!(diagnosis.verdict.summary.contains(NGINX), "{}", diagnosis.verdict.summary);
        assert!(may_also_be(&diagnosis, VerdictId::GatewayTransportBlocked));
    }
}

#[test]
fn a_load_balancer_with_nothing_behind_it() {
    let script = ask(connected(), Role::Websocket, None);
    let script = answer(script, response(Role::Websocket, 503, "Service Unavailable", NGINX));
    let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayUnreachable, Confidence::Likely);
    // One that asked for a logon before was there.
    let script = negotiated(connected(), Role::Websocket);
    let script = authenticate(script, Role::Websocket, false);
    let script = answer(script, response(Role::Websocket, 503, "Service Unavailable", NGINX));
    let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayUnreachable, Confidence::Likely);
    assert!(may_also_be(&diagnosis, VerdictId::GatewayTransportBlocked));
}

#[test]
fn a_gateway_whose_service_does_not_run() {
    let script = ask(connected(), Role::Websocket, None);
    let answered = response(Role::Websocket, 503, "Service Unavailable", "Microsoft-HTTPAPI/2.0");
    let diagnosis = ends(answer(script, answered), Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayUnreachable, Confidence::Likely);
    assert!(diagnosis.verdict.summary.contains("its service does not run"), "{}", diagnosis.verdict.summary);
    let first = diagnosis.verdict.fix.first().and_then(|fix| fix.command.clone()).unwrap_or_default();
    assert!(first.contains("Get-Service TSGateway"), "{first}");
}

#[test]
fn a_port_where_something_else_speaks() {
    let ssh = Detail::OtherProtocol { protocol: Some("SSH".to_owned()), first_bytes: "5353482d".to_owned() };
    let script = connected().says(Leg::Server, Some(Side::Server), Phase::GatewayTls, ssh);
    let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayNotAGateway, Confidence::Confirmed);
}
