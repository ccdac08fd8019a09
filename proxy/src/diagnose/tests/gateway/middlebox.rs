//! What boxes before a gateway do: refuse, swallow, frame anew, hold back.

use super::super::{assert_verdict, has_finding, may_also_be};
use super::attempt::*;
use crate::trace::{
    Confidence, Detail, Framing, GatewayMessage, How, HttpResponse, Leg, Phase, Reframing, Role, Side,
    Transport, VerdictId,
};

const LONG_US: u64 = 30_000_000;

#[test]
fn methods_that_are_refused_name_who_refuses() {
    let script = negotiated(connected(), Role::Websocket);
    let script = authenticate(script, Role::Websocket, false);
    let script = answer(script, response(Role::Websocket, 403, "Forbidden", NGINX));
    let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayTransportBlocked, Confidence::Confirmed);
    let verdict = &diagnosis.verdict;
    assert!(verdict.summary.contains(NGINX) && verdict.summary.contains(WINDOWS), "{}", verdict.summary);
    assert!(verdict.ruled_out.contains(&VerdictId::GatewayNotAGateway), "{verdict:#?}");
    assert!(verdict.next[0].ends_with("--gateway gw.corp.example --vary gateway-transport"), "{verdict:#?}");

    let alone =
        answer(ask(connected(), Role::OutChannel, None), response(Role::OutChannel, 501, "No", NGINX));
    let diagnosis = ends(alone, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayTransportBlocked, Confidence::Likely);
    assert!(may_also_be(&diagnosis, VerdictId::GatewayNotAGateway));

    let via = HttpResponse {
        headers: vec![header("Via", "1.1 proxy7"), header("Proxy-Authenticate", "NTLM")],
        ..response(Role::Websocket, 407, "Proxy Authentication Required", NGINX)
    };
    let diagnosis =
        ends(answer(ask(connected(), Role::Websocket, None), via), Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayTransportBlocked, Confidence::Confirmed);
}

#[test]
fn a_method_that_is_answered_by_a_reset() {
    let script = ask(connected(), Role::Websocket, None);
    let diagnosis = ends(script, Side::Server, How::Reset).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayTransportBlocked, Confidence::Likely);
    let late = ends(ask(connected(), Role::Websocket, None).wait(10_000_000), Side::Server, How::Reset);
    assert_ne!(late.diagnose().verdict.confidence, Confidence::Confirmed);
    // After a round of the logon the method has passed.
    let script = authenticate(negotiated(connected(), Role::OutChannel), Role::OutChannel, false);
    let diagnosis = ends(script, Side::Server, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::ServerClosed, Confidence::Likely);
    assert!(
        diagnosis.verdict.summary.contains("The gateway gw.corp.example closed"),
        "{:#?}",
        diagnosis.verdict
    );
}

#[test]
fn a_101_that_is_stripped_or_leads_nowhere() {
    let stripped = HttpResponse { headers: vec![header("Server", NGINX)], ..switching() };
    let script = answer(ask(connected(), Role::Websocket, None), stripped);
    let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayTransportBlocked, Confidence::Confirmed);
    assert!(diagnosis.verdict.summary.contains("Upgrade"), "{}", diagnosis.verdict.summary);

    let swallowed = || ask(connected(), Role::Websocket, None);
    let diagnosis = ends(swallowed().wait(LONG_US), Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayTransportBlocked, Confidence::Likely);
    let impatient = ends(swallowed(), Side::Client, How::Fin).diagnose();
    assert_verdict(&impatient, VerdictId::ClientClosed, Confidence::Likely);

    let began = began(answer(swallowed(), switching()), Transport::GatewayWebsocket);
    let hello = crate::wire::tsgu::Packet::Keepalive;
    let script = packet(began, Side::Client, Phase::GatewayTunnel, hello).wait(LONG_US);
    let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayTransportBlocked, Confidence::Likely);
    assert_eq!(diagnosis.verdict.phase, Phase::GatewayTunnel);
}

/// The OUT channel of the HTTP transport, answered as a gateway answers it.
fn out_channel() -> super::super::script::Script {
    let script = ask(negotiated(connected(), Role::OutChannel), Role::OutChannel, None);
    answer(
        script,
        HttpResponse { framing: Framing::UntilClose, ..response(Role::OutChannel, 200, "OK", NGINX) },
    )
}

fn reframed(how: Reframing) -> GatewayMessage {
    GatewayMessage::BodyReframed { how, offset: 0 }
}

#[test]
fn a_tunnel_that_is_framed_anew() {
    for (how, confidence) in [
        (Reframing::UnannouncedChunks, Confidence::Confirmed),
        (Reframing::Garbage, Confidence::Confirmed),
        (Reframing::Chunked, Confidence::Likely),
    ] {
        let script = gateway_says(out_channel(), Side::Server, Phase::GatewayTunnel, reframed(how));
        let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
        assert_verdict(&diagnosis, VerdictId::GatewayResponseMalformed, confidence);
        assert!(diagnosis.verdict.summary.contains(NGINX), "{}", diagnosis.verdict.summary);
    }
    // A client that takes chunks has no trouble with them.
    let script = gateway_says(open(), Side::Server, Phase::GatewayTunnel, reframed(Reframing::Chunked));
    let diagnosis = ends(desktop(script), Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::Healthy, Confidence::Likely);
    assert!(has_finding(&diagnosis, "gateway-response-malformed"));
}

#[test]
fn a_tunnel_whose_bytes_are_held_back() {
    let script = ask(began(out_channel(), Transport::GatewayHttp).on(2), Role::InChannel, None);
    let diagnosis = ends(script.wait(LONG_US), Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayResponseMalformed, Confidence::Likely);
    assert_eq!(diagnosis.verdict.phase, Phase::GatewayTunnel);

    let script = authenticate(negotiated(connected(), Role::OutChannel), Role::OutChannel, false);
    let diagnosis = ends(script.wait(LONG_US), Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayResponseMalformed, Confidence::Likely);

    let slow =
        GatewayMessage::TunnelBegan { transport: Transport::GatewayHttp, preamble: 10, took_us: LONG_US };
    let script = gateway_says(out_channel(), Side::Server, Phase::GatewayHttp, slow);
    let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayResponseMalformed, Confidence::Likely);
}

#[test]
fn a_response_without_an_end_and_one_that_ends_with_its_connection() {
    let endless = HttpResponse {
        framing: Framing::UntilClose,
        ..unauthorized(Role::OutChannel, vec![scheme("Negotiate", None, None)], NGINX)
    };
    let asked = || answer(ask(connected(), Role::OutChannel, None), endless.clone());
    let diagnosis = ends(asked().wait(LONG_US), Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayResponseMalformed, Confidence::Likely);
    let closed = ends(asked(), Side::Server, How::Fin).wait(LONG_US);
    let diagnosis = ends(closed, Side::Client, How::Fin).diagnose();
    assert_ne!(diagnosis.verdict.id, VerdictId::GatewayResponseMalformed);
}

#[test]
fn http_2_and_headers_in_small_letters() {
    let http2 = GatewayMessage::Http2 { paths: vec!["/remoteDesktopGateway/".to_owned()] };
    let script = gateway_says(connected(), Side::Client, Phase::GatewayHttp, http2);
    let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayResponseMalformed, Confidence::Likely);
    let kdc = GatewayMessage::Http2 { paths: vec!["/KdcProxy".to_owned()] };
    let script = gateway_says(open().on(2), Side::Client, Phase::GatewayHttp, kdc).on(1);
    let diagnosis = ends(desktop(script), Side::Client, How::Reset).diagnose();
    assert_verdict(&diagnosis, VerdictId::Healthy, Confidence::Likely);

    let small = HttpResponse {
        headers: vec![
            header("upgrade", "websocket"),
            header("connection", "upgrade"),
            header("sec-websocket-accept", ""),
        ],
        ..switching()
    };
    let script = answer(ask(connected(), Role::Websocket, None), small.clone());
    let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayResponseMalformed, Confidence::Possible);
    assert!(has_finding(&diagnosis, "gateway-headers-rewritten"));
}

#[test]
fn a_fallback_that_works_is_told_with_its_cost_and_is_no_fault() {
    let script =
        answer(ask(connected(), Role::Websocket, None), response(Role::Websocket, 404, "Not Found", NGINX));
    let script = ask(script.on(2).wait(4_000_000), Role::RpcOut, None);
    let script =
        began(answer(script, response(Role::RpcOut, 200, "Success", WINDOWS)), Transport::GatewayRpc);
    let diagnosis = ends(desktop(script), Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::Healthy, Confidence::Likely);
    let finding =
        diagnosis.findings.iter().find(|finding| finding.id == "gateway-transport-fallback").unwrap();
    assert!(finding.text.contains("404") && finding.text.contains("4.0 s"), "{}", finding.text);
    assert!(finding.text.contains("RPC over HTTP"), "{}", finding.text);
}

#[test]
fn a_client_that_does_not_fall_back_when_rdpscope_refuses_is_not_held_against_the_gateway() {
    let refused = GatewayMessage::TransportRefused { transport: Transport::GatewayWebsocket, status: 404 };
    let script = ask(connected(), Role::Websocket, None);
    let script = script.says(Leg::Proxy, None, Phase::GatewayHttp, Detail::Gateway(refused));
    let diagnosis = ends(script, Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Confirmed);
    assert!(diagnosis.verdict.summary.contains("--gateway-transport"), "{}", diagnosis.verdict.summary);
}
