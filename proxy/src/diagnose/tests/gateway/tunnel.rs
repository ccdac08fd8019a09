//! What a gateway answers inside its tunnel, and how it ends what had worked.

use super::super::{assert_verdict, has_finding, may_also_be};
use super::attempt::*;
use crate::trace::{Confidence, Detail, GatewayMessage, GatewayUdp, How, Leg, Phase, Side, VerdictId};
use crate::wire::named::Code;
use crate::wire::tsgu::Packet;

fn code(value: u32) -> Code {
    Code { value, name: None }
}

fn refused_channel(resource: &str, value: u32) -> super::super::Diagnosis {
    let script = authorize(tunnel(), success(), 0x8000_0000, 0);
    ends(channel(script, resource, code(value), None), Side::Server, How::Fin).diagnose()
}

#[test]
fn a_resource_policy_is_named_with_the_target_as_it_was_asked_for() {
    let diagnosis = refused_channel("srv10", RAP_DENIED.value);
    assert_verdict(&diagnosis, VerdictId::GatewayPolicyDenied, Confidence::Confirmed);
    let verdict = &diagnosis.verdict;
    assert_eq!(verdict.phase, Phase::GatewayChannel);
    assert!(
        verdict.summary.contains("srv10:3389") && verdict.summary.contains("short name"),
        "{}",
        verdict.summary
    );
    for id in [
        VerdictId::GatewayUnreachable,
        VerdictId::GatewayNotAGateway,
        VerdictId::GatewayTransportBlocked,
        VerdictId::GatewayResponseMalformed,
        VerdictId::GatewayAuthFailed,
        VerdictId::GatewayChannelBinding,
    ] {
        assert!(verdict.ruled_out.contains(&id), "{id}: {verdict:#?}");
    }
    assert!(refused_channel("10.0.0.5", 0x59DA).verdict.summary.contains("by its address"));
    assert!(refused_channel("srv10.corp.example", 0x59DA).verdict.summary.contains("full name"));
}

#[test]
fn a_connection_policy_refuses_in_the_tunnel() {
    let diagnosis = ends(authorize(tunnel(), code(0x8007_59DB), 0, 0), Side::Server, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayPolicyDenied, Confidence::Confirmed);
    assert_eq!(diagnosis.verdict.phase, Phase::GatewayTunnel);
    assert!(diagnosis.verdict.summary.contains("CAP"), "{}", diagnosis.verdict.summary);
    // A status of many meanings: of the user only where the gateway decides on the user.
    let denied = ends(authorize(tunnel(), code(0x8007_0005), 0, 0), Side::Server, How::Fin).diagnose();
    assert_verdict(&denied, VerdictId::GatewayPolicyDenied, Confidence::Likely);
    assert_verdict(&refused_channel("srv10", 0x5), VerdictId::ProtocolError, Confidence::Confirmed);
    for (value, word) in [(0x8007_59ED, "health"), (0x8007_59E9, "consents"), (0x8007_59FD, "redirection")] {
        let diagnosis = refused_channel("srv10", value);
        assert_verdict(&diagnosis, VerdictId::GatewayPolicyDenied, Confidence::Confirmed);
        assert!(diagnosis.verdict.summary.contains(word), "{}", diagnosis.verdict.summary);
    }
}

#[test]
fn a_target_that_the_gateway_cannot_reach_or_that_left() {
    for value in [0x8007_59DD, 0x59DD, 0x8007_274D] {
        let diagnosis = refused_channel("srv10", value);
        assert_verdict(&diagnosis, VerdictId::GatewayTargetUnreachable, Confidence::Confirmed);
        assert!(!diagnosis.verdict.ruled_out.contains(&VerdictId::GatewayTargetUnreachable));
    }
    let closed = Packet::CloseChannel { status: code(0xA0) };
    let script = packet(open(), Side::Server, Phase::GatewayChannel, closed.clone());
    let diagnosis = ends(script, Side::Server, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::GatewayTargetUnreachable, Confidence::Confirmed);
    // After a session it is the end of the session.
    let script = packet(desktop(open()), Side::Server, Phase::GatewayChannel, closed.clone());
    let diagnosis = ends(script, Side::Server, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::Healthy, Confidence::Possible);
}

#[test]
fn a_target_that_has_answered_is_not_blamed_for_leaving_after_its_client() {
    use super::super::script::{SSL, confirm, handshake_13, request};
    for side in [Side::Client, Side::Server] {
        let closed = Packet::CloseChannel { status: code(0xA0) };
        let script = handshake_13(open().client(&request(SSL)).server(&confirm(SSL)));
        let script = packet(script, Side::Server, Phase::GatewayChannel, closed);
        let diagnosis = ends(script, side, How::Fin).diagnose();
        assert_ne!(diagnosis.verdict.id, VerdictId::GatewayTargetUnreachable, "{:#?}", diagnosis.verdict);
    }
}

#[test]
fn what_is_proposed_for_a_session_in_a_tunnel_is_proposed_through_the_gateway() {
    use super::super::script::{HYBRID, application_data, confirm, handshake_13, request};
    let script = open().client(&request(HYBRID)).server(&confirm(HYBRID));
    let script = handshake_13(script).client(&application_data(300)).server(&application_data(300));
    let diagnosis = ends(script, Side::Server, How::Fin).diagnose();
    let next = diagnosis.verdict.next;
    let wanted = "rdpscope proxy srv10 --gateway gw.corp.example --inner-cert mirror --inner-nla terminate";
    assert!(next.iter().any(|command| command == wanted), "{next:#?}");
    assert!(next.iter().all(|command| !command.contains("--renew-with")), "{next:#?}");
}

#[test]
fn a_gateway_that_is_full() {
    let diagnosis = refused_channel("srv10", 0x59E6);
    assert_verdict(&diagnosis, VerdictId::GatewayLimit, Confidence::Confirmed);
}

#[test]
fn a_number_that_has_no_cause_of_its_own_is_told_as_it_is() {
    let diagnosis = refused_channel("srv10", 0x8007_59D8);
    assert_verdict(&diagnosis, VerdictId::ProtocolError, Confidence::Confirmed);
    assert!(
        diagnosis.verdict.summary.contains("explain gateway:0x800759d8"),
        "{}",
        diagnosis.verdict.summary
    );
}

#[test]
fn a_session_that_the_gateway_ends_for_a_reason() {
    let ended = |value: u32| {
        let close = Packet::CloseChannel { status: code(value) };
        let script = packet(desktop(open()), Side::Server, Phase::GatewayChannel, close);
        ends(script, Side::Server, How::Fin).diagnose()
    };
    assert_verdict(&ended(0x8007_59F6), VerdictId::IdleLimit, Confidence::Confirmed);
    assert_verdict(&ended(0x4D4), VerdictId::AdminDisconnect, Confidence::Likely);
    assert_verdict(&ended(0x8007_59FA), VerdictId::GatewayAuthFailed, Confidence::Confirmed);
    assert_verdict(&ended(0x8007_59FC), VerdictId::GatewayPolicyDenied, Confidence::Confirmed);
    let graceful = ended(0x4CA);
    assert_eq!(graceful.verdict.id, VerdictId::Healthy, "{:#?}", graceful.verdict);
}

#[test]
fn a_box_that_forgets_sooner_than_keepalives_come() {
    let quiet = |script: super::super::script::Script| {
        let script = script.wait(60_000_000);
        let script =
            script.says(Leg::Server, Some(Side::Server), Phase::Closed, Detail::Quiet { for_us: 60_000_000 });
        ends(script, Side::Server, How::Reset)
    };
    let diagnosis = quiet(desktop(open())).diagnose();
    assert_verdict(&diagnosis, VerdictId::IdleTimeout, Confidence::Likely);
    let summary = &diagnosis.verdict.summary;
    assert!(summary.contains("keepalive") && summary.contains("60.0 s"), "{summary}");
    let busy = ends(desktop(open()), Side::Server, How::Reset).diagnose();
    assert_verdict(&busy, VerdictId::ServerClosed, Confidence::Likely);
}

#[test]
fn the_same_silence_before_each_cut_is_a_box_that_forgets() {
    let cut = |earlier: Option<Vec<u64>>, script: super::super::script::Script| {
        let quiet = Detail::Quiet { for_us: 2_000_000 };
        let script = script.wait(2_000_000).says(Leg::Server, Some(Side::Server), Phase::Closed, quiet);
        let script = ends(script, Side::Server, How::Fin);
        let again = |earlier_us| GatewayMessage::CutAgain { for_us: 2_000_000, earlier_us };
        let again = earlier.map(|earlier| Detail::Gateway(again(earlier)));
        match again {
            Some(again) => script.says(Leg::Server, None, Phase::Closed, again).diagnose(),
            None => script.diagnose(),
        }
    };
    let once = cut(None, desktop(open()));
    assert!(
        once.verdict.id == VerdictId::IdleTimeout || may_also_be(&once, VerdictId::IdleTimeout),
        "{:#?}",
        once.verdict
    );
    assert_ne!((once.verdict.id, once.verdict.confidence), (VerdictId::IdleTimeout, Confidence::Likely));
    let again = cut(Some(vec![2_010_000, 1_990_000]), desktop(open()));
    assert_verdict(&again, VerdictId::IdleTimeout, Confidence::Likely);
    assert!(again.verdict.summary.contains("3rd time"), "{}", again.verdict.summary);
    let close = Packet::CloseChannel { status: code(0) };
    let announced = packet(desktop(open()), Side::Server, Phase::GatewayChannel, close);
    assert_ne!(cut(Some(vec![2_000_000]), announced).verdict.id, VerdictId::IdleTimeout, "it said so");
}

#[test]
fn the_side_channel_is_a_finding_beside_a_session_and_an_alternative_to_a_failure() {
    let unanswered = |script: super::super::script::Script| {
        let udp = GatewayMessage::GatewayUdp {
            what: GatewayUdp::Unanswered,
            datagrams: 5,
            since_first_us: 4_000_000,
        };
        script.on(0).says(Leg::Proxy, None, Phase::Udp, Detail::Gateway(udp)).on(1)
    };
    let healthy = ends(unanswered(desktop(open())), Side::Client, How::Fin).diagnose();
    assert_verdict(&healthy, VerdictId::Healthy, Confidence::Likely);
    assert!(has_finding(&healthy, "udp-blocked") && has_finding(&healthy, "gateway-udp"));
    let died = ends(unanswered(desktop(open())), Side::Server, How::Reset).diagnose();
    assert_verdict(&died, VerdictId::ServerClosed, Confidence::Likely);
    assert!(may_also_be(&died, VerdictId::UdpBlocked));
    let script = open().client(&super::super::script::request(super::super::script::HYBRID));
    let before = ends(unanswered(script), Side::Client, How::Fin).diagnose();
    assert_eq!(before.verdict.id, VerdictId::ClientClosed, "{:#?}", before.verdict);
}

#[test]
fn what_policies_ask_for_is_told() {
    let script = authorize(tunnel(), success(), 0x1 | 0x8, 30);
    let script = channel(script, "other.corp.example", success(), None);
    let diagnosis = ends(desktop(script), Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::Healthy, Confidence::Likely);
    let text = |id: &str| {
        let finding = diagnosis.findings.iter().find(|finding| finding.id == id);
        finding.unwrap_or_else(|| panic!("{id}: {:#?}", diagnosis.findings)).text.clone()
    };
    assert!(text("gateway-redirection-forbidden").contains("drives, the clipboard"));
    assert!(text("gateway-idle-timeout").contains("30 minute"));
    assert!(text("gateway-other-target").contains("other.corp.example"));
    assert!(text("gateway-udp").contains("offers none"));
    let plain = ends(desktop(open()), Side::Client, How::Fin).diagnose();
    for id in ["gateway-redirection-forbidden", "gateway-idle-timeout", "gateway-other-target"] {
        assert!(!has_finding(&plain, id), "{:#?}", plain.findings);
    }
}
