use super::script::{HYBRID, Made, SSL, Script, client_hello, handshake_12, server_flight_12};
use super::{assert_verdict, has_finding, may_also_be};
use crate::trace::{Confidence, Detail, How, Micros, Side, TcpInfo, VerdictId};

const SECOND: Micros = 1_000_000;

fn link(rtt_us: u32, again: u32, all: u32) -> Detail {
    Detail::TcpInfo(TcpInfo {
        rtt_us: Some(rtt_us),
        retransmitted_segments: Some(again),
        segments_out: Some(all),
        ..TcpInfo::default()
    })
}

/// A client that gives up in the handshakes, each message of which takes so long.
fn given_up(each: Micros, links: [Detail; 2]) -> Script {
    let [client, server] = links;
    let script = Script::connected().wait(each).client(&super::script::request(SSL | HYBRID));
    let script = script.wait(each).server(&super::script::confirm(HYBRID)).wait(each);
    let script = script.client(&client_hello("srv10")).wait(each);
    script.client_leg(client).server_leg(server).end(Side::Client, How::Fin)
}

#[test]
fn round_trips_that_take_all_the_time_explain_a_client_that_gives_up() {
    let slow = [link(200_000, 0, 12), link(5_000_000, 0, 12)];
    let diagnosis = given_up(3 * SECOND, slow).diagnose();
    assert_verdict(&diagnosis, VerdictId::LinkSlow, Confidence::Likely);
    assert!(diagnosis.verdict.next.contains(&"rdpscope ab srv10 --vary latency".to_owned()));
    // The same wait on a fast link was for something else.
    let fast = [link(200, 0, 12), link(900, 0, 12)];
    assert_ne!(given_up(3 * SECOND, fast).diagnose().verdict.id, VerdictId::LinkSlow);
    let quick = [link(200_000, 0, 12), link(300_000, 0, 12)];
    assert_ne!(given_up(SECOND / 10, quick).diagnose().verdict.id, VerdictId::LinkSlow, "it left before");
}

#[test]
fn a_slow_session_that_works_is_healthy() {
    let script = Script::negotiated(SSL, SSL);
    let script = handshake_12(script, "srv10", &Made::default().der());
    let script = super::script::session_traffic(script).wait(20 * SECOND);
    let script = script.server_leg(link(700_000, 9, 100)).end(Side::Client, How::Reset);
    let diagnosis = script.diagnose();
    assert_eq!(diagnosis.verdict.id, VerdictId::Healthy);
    assert!(has_finding(&diagnosis, "high-round-trip-time") && has_finding(&diagnosis, "segments-lost"));
}

#[test]
fn segments_sent_again_explain_a_client_that_gives_up() {
    let flight = |link| {
        let script = server_flight_12(Script::negotiated(SSL, SSL), "srv10", &Made::default().der());
        script
            .client(&super::script::finished())
            .wait(9 * SECOND)
            .server_leg(link)
            .end(Side::Client, How::Fin)
    };
    let diagnosis = flight(link(40_000, 6, 20)).diagnose();
    assert_verdict(&diagnosis, VerdictId::LinkLossy, Confidence::Likely);
    assert!(may_also_be(&flight(link(40_000, 3, 100)).diagnose(), VerdictId::LinkLossy));
    assert!(!may_also_be(&flight(link(40_000, 1, 100)).diagnose(), VerdictId::LinkLossy));
}

/// A session in which nothing moves for so long before it is cut.
fn quiet(wait: Micros, how: How) -> Script {
    let script = handshake_12(Script::negotiated(SSL, SSL), "srv10", &Made::default().der());
    super::script::session_traffic(script).wait(wait).end(Side::Server, how)
}

#[test]
fn a_reset_after_a_round_number_of_minutes_is_a_box_that_forgets() {
    let diagnosis = quiet(300 * SECOND, How::Reset).diagnose();
    assert_verdict(&diagnosis, VerdictId::IdleTimeout, Confidence::Likely);
    assert!(may_also_be(&diagnosis, VerdictId::ServerClosed));
    let odd = quiet(77 * SECOND, How::Reset).diagnose();
    assert!(may_also_be(&odd, VerdictId::IdleTimeout), "{:#?}", odd.verdict);
    assert_eq!(quiet(300 * SECOND, How::Fin).diagnose().verdict.id, VerdictId::Healthy, "a logoff");
}

#[test]
fn a_handshake_that_was_rewritten_and_an_issuer_that_inspects() {
    let made = Made { authority: "FortiGate CA", ..Made::default() };
    let flight = server_flight_12(Script::negotiated(SSL, SSL), "srv10", &made.der());
    let refused = flight.client(&super::script::alert(48)).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&refused, VerdictId::TlsInspected, Confidence::Likely);
    let healthy = handshake_12(Script::negotiated(SSL, SSL), "srv10", &made.der());
    let healthy = super::script::session_traffic(healthy).end(Side::Client, How::Reset).diagnose();
    assert_eq!(healthy.verdict.id, VerdictId::Healthy);
    assert!(has_finding(&healthy, "tls-inspected"));
    let inspector = |issuer: &str| crate::diagnose::inspection::names_an_inspector(issuer);
    assert!(inspector("CN=gw,O=Palo Alto Networks") && inspector("OU=Zscaler Inc.,C=US"));
    assert!(!inspector("CN=Example CA,O=Example Motors,L=Palo Alto,ST=California"), "a town");
    let plain = server_flight_12(Script::negotiated(SSL, SSL), "srv10", &Made::default().der());
    let plain = plain.client(&super::script::alert(48)).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&plain, VerdictId::CertificateUntrusted, Confidence::Confirmed);
}
