//! The experiments on the way through an RD Gateway.

use super::*;
use crate::trace::{GatewayMessage, GatewayUdp, HttpRequest, Role as For, Transport};
use crate::wire::named::Code;
use crate::wire::tsgu::Packet;

/// The session ends at the gateway.
const AT_GATEWAY: Outcomes = (Phase::GatewayHttp, VerdictId::GatewayTransportBlocked, Confidence::Likely);
/// It ends before the desktop is there.
const STALLS: Outcomes = (Phase::Capabilities, VerdictId::ClientClosed, Confidence::Likely);

fn gateway(message: GatewayMessage) -> Event {
    event(Leg::Proxy, Phase::GatewayHttp, Detail::Gateway(message))
}

fn udp(what: GatewayUdp) -> Event {
    gateway(GatewayMessage::GatewayUdp { what, datagrams: 1, since_first_us: 0 })
}

fn channel_response(udp_port: Option<u16>) -> Event {
    let status = Code { value: 0, name: None };
    let response = Packet::ChannelResponse { status, channel_id: Some(1), udp_port, udp_cookie_length: None };
    gateway(GatewayMessage::TunnelPacket(response))
}

fn asks(role: For) -> Event {
    gateway(GatewayMessage::HttpRequest(Box::new(HttpRequest { role, ..HttpRequest::default() })))
}

fn refused(transport: Transport) -> Event {
    gateway(GatewayMessage::TransportRefused { transport, status: 404 })
}

/// A session through a gateway, whose TLS ends in rdpscope, with these events.
fn through(outcome: Outcomes, events: impl IntoIterator<Item = Event>) -> Record {
    let mut record = record(outcome, 1);
    let settings = &mut record.header.as_mut().unwrap().settings;
    settings.insert("gateway".to_owned(), "gw.example:443".into());
    settings.insert("cert".to_owned(), "fresh".into());
    record.events.extend(events);
    record
}

/// A session whose client uses the gateway's UDP where it is offered: with what it comes to in each arm.
fn side_channel(outcome: impl Fn(&str) -> Outcomes, what: &[GatewayUdp]) -> (Finished, Vec<String>) {
    run_records(Factor::GatewayUdp, 3, |arm, _| {
        let offered = arm.name != "off";
        let udp = what.iter().filter(|_| offered).map(|what| udp(*what));
        let response = channel_response(offered.then_some(3391));
        through(outcome(&arm.name), std::iter::once(response).chain(udp))
    })
}

#[test]
fn a_side_channel_that_nobody_answers_is_the_cause_where_it_stops_the_session() {
    let what = [GatewayUdp::FirstDatagram, GatewayUdp::Unanswered];
    let world = |arm: &str| if arm == "off" { WORKS } else { STALLS };
    let (finished, order) = side_channel(world, &what);
    assert_eq!(
        conclusion(&finished),
        (ExperimentEffect::Cause, Some("gateway-udp")),
        "{}",
        because(&finished)
    );
    assert_eq!(proven_id(&finished), Some(VerdictId::UdpBlocked));
    assert_eq!(order[6..], ["drop", "drop", "drop"], "what silence alone does is tried then");
    assert!(because(&finished).contains("does not get over"), "{}", because(&finished));
    assert_eq!(finished.proven.unwrap().phase, Phase::Udp);
}

#[test]
fn a_side_channel_that_opens_and_fails_is_told_from_one_that_is_blocked() {
    let what = [GatewayUdp::FirstDatagram, GatewayUdp::Established, GatewayUdp::Silence];
    let (seen, _) = side_channel(|arm| if arm == "off" { WORKS } else { STALLS }, &what);
    assert_eq!(proven_id(&seen), Some(VerdictId::UdpHalfOpen), "{}", because(&seen));
    let world = |arm: &str| if arm == "relay" { STALLS } else { WORKS };
    let (tried, _) = side_channel(world, &[GatewayUdp::FirstDatagram]);
    assert_eq!(proven_id(&tried), Some(VerdictId::UdpHalfOpen), "{}", because(&tried));
    assert!(because(&tried).contains("opens and fails"), "{}", because(&tried));
}

#[test]
fn a_session_that_ends_with_udp_and_without_is_not_stopped_by_it() {
    let what = [GatewayUdp::FirstDatagram, GatewayUdp::Established];
    let (fails, order) = side_channel(|_| STALLS, &what);
    assert_eq!(conclusion(&fails), (ExperimentEffect::NotCause, None), "{}", because(&fails));
    assert_eq!(order.len(), 6, "nothing more is tried");
    let (works, _) = side_channel(|_| WORKS, &what);
    assert_eq!(conclusion(&works), (ExperimentEffect::NotCause, None), "{}", because(&works));
}

#[test]
fn udp_that_nobody_used_is_neither_guilty_nor_acquitted() {
    for world in [|_: &str| WORKS, |_: &str| STALLS, |arm: &str| if arm == "off" { WORKS } else { STALLS }] {
        let (finished, _) = side_channel(world, &[]);
        assert_eq!(conclusion(&finished), (ExperimentEffect::Inconclusive, None), "{}", because(&finished));
        assert!(because(&finished).contains("Nobody used UDP"), "{}", because(&finished));
        assert_eq!(finished.proven, None);
    }
    let (finished, _) = run_records(Factor::GatewayUdp, 3, |_, _| through(WORKS, [channel_response(None)]));
    assert!(because(&finished).contains("the gateway names no port"), "{}", because(&finished));
}

#[test]
fn what_ends_before_the_channel_is_no_matter_of_udp() {
    let (finished, _) = run_records(Factor::GatewayUdp, 3, |_, _| through(AT_GATEWAY, []));
    assert_eq!(conclusion(&finished), (ExperimentEffect::NotCause, None), "{}", because(&finished));
    let (unread, _) = run(Factor::GatewayUdp, 3, |_, _| AT_GATEWAY);
    assert_eq!(
        conclusion(&unread),
        (ExperimentEffect::Inconclusive, None),
        "it cannot be seen where it ends"
    );
}

#[test]
fn a_capability_that_could_not_be_cleared_forbids_the_answer() {
    let (finished, _) = run_records(Factor::GatewayUdp, 3, |arm, _| {
        let detail = Detail::NotAltered {
            setting: crate::trace::GATEWAY_UDP_OFF.to_owned(),
            reason: "no packet comes".to_owned(),
        };
        let not_altered = event(Leg::Server, Phase::GatewayTunnel, detail);
        let events = [udp(GatewayUdp::FirstDatagram)];
        through(STALLS, events.into_iter().chain((arm.name == "off").then_some(not_altered)))
    });
    assert_eq!(conclusion(&finished), (ExperimentEffect::Inconclusive, None), "{}", because(&finished));
}

/// TLS with the gateway is complete at 0 and passes through; the last that is seen comes so much later.
fn opaque(last_us: u64) -> Record {
    let closed = (Phase::GatewayTls, VerdictId::ClientClosed, Confidence::Likely);
    let mut last = event(Leg::Client, Phase::Closed, Detail::EncryptionStarted);
    last.t_us = last_us;
    let mut record = through(closed, [last]);
    record.header.as_mut().unwrap().settings.insert("cert".to_owned(), "passthrough".into());
    record.phases.last_mut().unwrap().outcome = Outcome::Ok;
    record
}

fn certificate(last_us: u64, fresh: Outcomes) -> Finished {
    let refused = (Phase::GatewayTls, VerdictId::CertificateRejected, Confidence::Likely);
    let world = |arm: &Arm, _| match arm.name.as_str() {
        "server" => opaque(last_us),
        "fresh" => through(fresh, []),
        _ => through(refused, []),
    };
    run_records(Factor::Cert, 3, world).0
}

#[test]
fn a_client_that_stays_behind_the_gateways_certificate_has_taken_it() {
    let works = certificate(5_000_000, WORKS);
    assert_eq!(conclusion(&works), (ExperimentEffect::NotCause, None), "{}", because(&works));
    assert!(because(&works).contains("got past the gateway's certificate 3 of 3"), "{}", because(&works));
    assert!(!works.has_fault());
    let fails = certificate(5_000_000, AT_GATEWAY);
    assert_eq!(conclusion(&fails), (ExperimentEffect::NotCause, None), "{}", because(&fails));
    assert!(fails.has_fault(), "what the other arm shows is a fault");
}

/// From the first attempt on, before any session has shown where it goes, and in arms that come later.
#[test]
fn every_text_of_a_gateways_certificate_names_the_gateway() {
    let arms = Factor::Cert.arms(&[]).unwrap();
    let mut experiment = Experiment::new(Factor::Cert, arms, 3).through_gateway();
    let refused = (Phase::GatewayTls, VerdictId::CertificateRejected, Confidence::Likely);
    let mut described = Vec::new();
    while let Some(attempt) = experiment.due() {
        described.push(attempt.arm.description.clone());
        let record = match attempt.arm.name.as_str() {
            "server" => opaque(100_000),
            "fresh" | "mirror+dates" => through(WORKS, []),
            _ => through(refused, []),
        };
        experiment.note(&attempt.arm, record);
    }
    assert_eq!(described[0], "the gateway's own certificate");
    assert!(described.iter().any(|text| text.starts_with("a copy of the gateway's certificate with")));
    let finished = experiment.finish();
    let proven = finished.proven.as_ref().expect("the certificate is the cause");
    let told = format!("{described:?} {} {} {:?}", because(&finished), proven.summary, proven.evidence);
    assert!(!told.contains("the server's"), "{told}");
    let inner = Experiment::new(Factor::InnerCert, Factor::InnerCert.arms(&[]).unwrap(), 3);
    let attempt = inner.through_gateway().due().unwrap();
    assert_eq!(attempt.arm.description, "the server's own certificate", "inside the tunnel it is");
}

#[test]
fn one_that_leaves_at_once_may_have_been_refused_behind_it() {
    let works = certificate(100_000, WORKS);
    assert_eq!(conclusion(&works).0, ExperimentEffect::Cause, "{}", because(&works));
    assert!(works.proven.unwrap().summary.contains("the gateway's certificate"));
    let refused = certificate(100_000, AT_GATEWAY);
    assert_eq!(conclusion(&refused), (ExperimentEffect::NotCause, None), "{}", because(&refused));
    let bound = (Phase::GatewayAuth, VerdictId::GatewayChannelBinding, Confidence::Likely);
    let bound = certificate(100_000, bound);
    assert_eq!(conclusion(&bound), (ExperimentEffect::Inconclusive, None), "{}", because(&bound));
    assert!(because(&bound).contains("bound to its own certificate"), "{}", because(&bound));
}

/// What an arm's session comes to, with a client that asks for whatever it is left.
fn over(arm: &Arm, outcome: Outcomes) -> Record {
    let asked = match arm.name.as_str() {
        "websocket" => vec![asks(For::Websocket)],
        "http" => vec![asks(For::Websocket), asks(For::InChannel)],
        _ => vec![refused(Transport::GatewayWebsocket), asks(For::RpcIn)],
    };
    let mut record = through(outcome, asked);
    if outcome == WORKS {
        record.phases.push(crate::trace::PhaseRecord {
            phase: Phase::GatewayChannel,
            leg: None,
            start_us: 0,
            end_us: if arm.name == "http" { 31_420_000 } else { 480_000 },
            outcome: Outcome::Ok,
            inferred: false,
            waiting_for_client_us: None,
            waiting_for_server_us: None,
        });
    }
    record
}

fn transports(works: &'static [&'static str]) -> Finished {
    let world = |arm: &Arm, _| over(arm, if works.contains(&arm.name.as_str()) { WORKS } else { AT_GATEWAY });
    run_records(Factor::GatewayTransport, 3, world).0
}

#[test]
fn a_transport_that_fails_beside_one_that_works_is_blocked() {
    for (works, guilty) in [
        (&["http", "rpc"][..], "websocket"),
        (&["http"], "websocket"),
        (&["websocket"], "http"),
        (&["rpc"], "websocket+http"),
    ] {
        let finished = transports(works);
        assert_eq!(conclusion(&finished), (ExperimentEffect::Cause, Some(guilty)), "{}", because(&finished));
        let proven = finished.proven.unwrap();
        assert_eq!((proven.id, proven.phase), (VerdictId::GatewayTransportBlocked, Phase::GatewayHttp));
        assert_eq!(proven.evidence.len(), 3);
        assert_eq!(
            proven.evidence[0].text,
            format!(
                "arm websocket (over WebSocket): {} of 3 attempts worked",
                if works.contains(&"websocket") { 3 } else { 0 }
            )
        );
    }
    let finished = transports(&["http"]);
    let summary = &finished.proven.as_ref().unwrap().summary;
    assert!(summary.contains("fails over WebSocket, and works over two HTTP connections"), "{summary}");
    assert!(
        because(&finished).contains("worked 3 of 3, gateway-channel after 31.4 s"),
        "{}",
        because(&finished)
    );
}

#[test]
fn a_gateway_without_rpc_is_not_at_fault() {
    let finished = transports(&["websocket", "http"]);
    assert_eq!(conclusion(&finished), (ExperimentEffect::NotCause, None), "{}", because(&finished));
    assert!(because(&finished).contains("many gateways do not have it"), "{}", because(&finished));
    let all = transports(&["websocket", "http", "rpc"]);
    assert_eq!(conclusion(&all), (ExperimentEffect::NotCause, None), "{}", because(&all));
    let none = transports(&[]);
    assert_eq!(conclusion(&none), (ExperimentEffect::NotCause, None), "{}", because(&none));
    assert!(none.fails);
}

#[test]
fn a_client_that_does_not_fall_back_says_nothing_about_the_transport() {
    let stuck = |works: &'static [&'static str]| {
        run_records(Factor::GatewayTransport, 3, move |arm, _| match arm.name.as_str() {
            name if works.contains(&name) => over(arm, WORKS),
            _ => through(AT_GATEWAY, [refused(Transport::GatewayHttp)]),
        })
        .0
    };
    let one = stuck(&["http"]);
    assert_eq!(conclusion(&one), (ExperimentEffect::Inconclusive, None), "{}", because(&one));
    assert!(because(&one).contains("does not fall back to websocket and rpc"), "{}", because(&one));
    let two = stuck(&["websocket", "http"]);
    assert_eq!(conclusion(&two), (ExperimentEffect::NotCause, None), "{}", because(&two));
}

#[test]
fn transports_whose_outcome_changes_or_that_were_tried_once_conclude_nothing() {
    let (flaky, _) = run_records(Factor::GatewayTransport, 3, |arm, before| {
        over(arm, if arm.name == "websocket" && before == 0 { AT_GATEWAY } else { WORKS })
    });
    assert_eq!(conclusion(&flaky), (ExperimentEffect::Inconclusive, None), "{}", because(&flaky));
    let (once, _) = run_records(Factor::GatewayTransport, 1, |arm, _| {
        over(arm, if arm.name == "websocket" { AT_GATEWAY } else { WORKS })
    });
    assert_eq!(conclusion(&once), (ExperimentEffect::Inconclusive, None), "{}", because(&once));
    assert!(because(&once).contains("--runs 3"), "{}", because(&once));
}
