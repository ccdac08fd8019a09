use super::script::{HYBRID, SERVER, SSL, Script, confirm, request};
use super::{assert_verdict, has_finding, may_also_be};
use crate::trace::{Confidence, ConnectError, Detail, How, Phase, Side, VerdictId};

fn failed(error: ConnectError, seconds: u64) -> Detail {
    let reason = "what the system says".to_owned();
    Detail::ConnectFailed { address: SERVER.to_owned(), error, reason, took_us: seconds * 1_000_000 }
}

fn attempt(details: impl IntoIterator<Item = Detail>) -> super::Diagnosis {
    details.into_iter().fold(Script::accepted(), Script::server_leg).diagnose()
}

#[test]
fn a_name_without_an_address() {
    let reason = "no such host".to_owned();
    let failed = Detail::ResolutionFailed { name: "srv10".to_owned(), reason, took_us: 5_000 };
    let diagnosis = Script::accepted().proxy(Phase::Dns, failed).diagnose();
    assert_verdict(&diagnosis, VerdictId::DnsFailure, Confidence::Confirmed);
    assert_eq!(diagnosis.verdict.phase, Phase::Dns);
    assert!(diagnosis.verdict.ruled_out.is_empty(), "nothing was tried");
}

#[test]
fn what_this_machine_lacks_is_no_fault_of_the_network() {
    let reason = "this machine gave rdpscope no connection to the server: too many open files".to_owned();
    let diagnosis = Script::accepted()
        .server_leg(failed(ConnectError::Other, 0))
        .proxy(Phase::Closed, Detail::ProxyClosed { reason })
        .diagnose();
    assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Possible);
    assert!(diagnosis.verdict.summary.contains("too many open files"), "{}", diagnosis.verdict.summary);
}

#[test]
fn a_refused_connection_is_proved_and_rules_the_name_out() {
    let diagnosis = attempt([failed(ConnectError::Refused, 0)]);
    assert_verdict(&diagnosis, VerdictId::TcpRefused, Confidence::Confirmed);
    assert_eq!(diagnosis.verdict.ruled_out, [VerdictId::DnsFailure]);
    assert!(
        diagnosis.verdict.next.contains(&"rdpscope probe srv10".to_owned()),
        "{:?}",
        diagnosis.verdict.next
    );
}

#[test]
fn of_two_addresses_one_refuses_and_one_is_silent() {
    let diagnosis = attempt([failed(ConnectError::Refused, 0), failed(ConnectError::TimedOut, 21)]);
    assert_verdict(&diagnosis, VerdictId::TcpRefused, Confidence::Likely);
    assert!(may_also_be(&diagnosis, VerdictId::TcpFiltered));
}

#[test]
fn no_answer_is_no_proof_of_a_filter() {
    assert_verdict(
        &attempt([failed(ConnectError::TimedOut, 21)]),
        VerdictId::TcpFiltered,
        Confidence::Likely,
    );
    assert_verdict(
        &attempt([failed(ConnectError::Unreachable, 3)]),
        VerdictId::TcpFiltered,
        Confidence::Likely,
    );
    assert_verdict(&attempt([failed(ConnectError::Other, 0)]), VerdictId::TcpFiltered, Confidence::Possible);
}

#[test]
fn a_client_that_gives_up_while_the_server_is_silent() {
    let abandoned = |seconds: u64| {
        let took_us = seconds * 1_000_000;
        let detail = Detail::ConnectAbandoned { address: SERVER.to_owned(), took_us };
        Script::accepted().wait(took_us).server_leg(detail).end(Side::Client, How::Fin).diagnose()
    };
    assert_verdict(&abandoned(15), VerdictId::TcpFiltered, Confidence::Likely);
    let hasty = abandoned(1);
    assert_verdict(&hasty, VerdictId::TcpFiltered, Confidence::Possible);
    assert!(may_also_be(&hasty, VerdictId::ClientClosed));
    let gone_at_once = abandoned(0);
    assert_verdict(&gone_at_once, VerdictId::ClientClosed, Confidence::Likely);
    assert!(gone_at_once.verdict.summary.contains("before the server was reached"), "{gone_at_once:?}");
}

#[test]
fn another_address_that_fails_is_only_a_finding() {
    let script = Script::connected().server_leg(failed(ConnectError::Refused, 0));
    let diagnosis = script.client(&request(SSL)).server(&confirm(SSL)).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Likely);
    assert!(has_finding(&diagnosis, "address-unreachable"));
    assert!(!may_also_be(&diagnosis, VerdictId::DnsMismatch));
}

#[test]
fn another_address_that_fails_may_mean_another_machine_when_this_one_speaks_no_rdp() {
    let script = Script::connected().server_leg(failed(ConnectError::TimedOut, 21)).client(&request(SSL));
    let diagnosis = script.server(b"SSH-2.0-OpenSSH_9.2p1\r\n").end(Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::NotRdp, Confidence::Confirmed);
    assert!(may_also_be(&diagnosis, VerdictId::DnsMismatch));
}

#[test]
fn a_server_without_ipv6_is_not_another_machine() {
    let script = Script::connected().server_leg(failed(ConnectError::Unreachable, 0));
    let diagnosis = script.client(&request(SSL)).wait(9_000_000).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::RdpSilent, Confidence::Likely);
    assert!(
        !may_also_be(&diagnosis, VerdictId::DnsMismatch) && !has_finding(&diagnosis, "address-unreachable")
    );
}

#[test]
fn cut_before_a_byte_of_rdp() {
    let asked = || Script::connected().client(&request(SSL));
    let reset = asked().end(Side::Server, How::Reset).diagnose();
    assert_verdict(&reset, VerdictId::TcpReset, Confidence::Confirmed);
    assert_verdict(&asked().end(Side::Server, How::Fin).diagnose(), VerdictId::TcpReset, Confidence::Likely);
    assert_verdict(&attempt([failed(ConnectError::Reset, 0)]), VerdictId::TcpReset, Confidence::Confirmed);
    let answered = asked().server(&confirm(SSL)).end(Side::Server, How::Reset).diagnose();
    assert_verdict(&answered, VerdictId::ServerClosed, Confidence::Likely);
    assert!(answered.verdict.ruled_out.contains(&VerdictId::TcpReset));
}

#[test]
fn a_client_that_does_not_ask_for_rdp_is_no_fault_of_the_server() {
    let silent = || Script::connected().wait(2_000_000);
    let hello = || Script::connected().client(&super::script::client_hello("srv10"));
    for how in [How::Fin, How::Reset] {
        assert_verdict(
            &silent().end(Side::Server, how).diagnose(),
            VerdictId::ServerClosed,
            Confidence::Likely,
        );
        let diagnosis = hello().end(Side::Server, how).diagnose();
        assert!(
            ![VerdictId::TcpReset, VerdictId::ServerKeyUnusable].contains(&diagnosis.verdict.id),
            "{:?}",
            diagnosis.verdict
        );
    }
    let at_once = Script::connected().end(Side::Server, How::Reset).diagnose();
    assert_verdict(&at_once, VerdictId::TcpReset, Confidence::Confirmed);
}

#[test]
fn a_server_that_was_reached_late_had_no_time_to_answer() {
    let late = Script::accepted().client(&request(SSL)).wait(4_000_000);
    let connected =
        Detail::Connected { address: SERVER.to_owned(), local: "127.0.0.1:50000".to_owned(), took_us: 9 };
    let late = late.server_leg(connected).wait(300_000).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&late, VerdictId::ClientClosed, Confidence::Likely);
}

#[test]
fn of_two_addresses_one_refuses_and_of_the_other_nothing_is_known() {
    let abandoned = Detail::ConnectAbandoned { address: "10.0.0.11:3389".to_owned(), took_us: 4_000_000 };
    let diagnosis = attempt([failed(ConnectError::Refused, 0), abandoned]);
    assert_verdict(&diagnosis, VerdictId::TcpRefused, Confidence::Likely);
}

#[test]
fn what_speaks_first_or_otherwise_is_not_rdp() {
    let web = Script::connected().client(&request(SSL)).server(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let diagnosis = web.end(Side::Server, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::NotRdp, Confidence::Confirmed);
    assert!(diagnosis.verdict.summary.contains("HTTP"));
    let garbage =
        Script::connected().server(&[0xde, 0xad, 0xbe, 0xef]).end(Side::Server, How::Fin).diagnose();
    assert_verdict(&garbage, VerdictId::NotRdp, Confidence::Confirmed);
}

#[test]
fn a_browser_that_connects_is_no_fault_of_the_server() {
    let script = Script::connected().client(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let diagnosis = script.end(Side::Server, How::Reset).diagnose();
    assert_verdict(&diagnosis, VerdictId::ProtocolError, Confidence::Confirmed);
    assert!(diagnosis.verdict.summary.contains("HTTP"));
}

#[test]
fn silence_needs_time_to_be_silence() {
    let asked = || Script::connected().client(&request(SSL | HYBRID));
    let silent = asked().wait(6_000_000).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&silent, VerdictId::RdpSilent, Confidence::Likely);
    assert_eq!(silent.verdict.phase, Phase::X224);
    assert_verdict(&asked().wait(6_000_000).stopped().diagnose(), VerdictId::RdpSilent, Confidence::Likely);
    let hasty = asked().wait(900_000).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&hasty, VerdictId::ClientClosed, Confidence::Likely);
}

#[test]
fn the_upstream_proxy_is_named_when_it_refuses() {
    let (proxy, target) = ("http://gate:3128".to_owned(), "srv10:3389".to_owned());
    let reason = "it answered 403 Forbidden".to_owned();
    let diagnosis = attempt([Detail::UpstreamProxyRefused { proxy, target, reason }]);
    assert_verdict(&diagnosis, VerdictId::ServerClosed, Confidence::Confirmed);
    assert_eq!(diagnosis.verdict.phase, Phase::Tcp);
    assert!(diagnosis.verdict.summary.contains("http://gate:3128"), "{}", diagnosis.verdict.summary);
}

#[test]
fn a_slow_and_lossy_link_is_a_finding() {
    let info = |again| crate::trace::TcpInfo {
        rtt_us: Some(480_000),
        retransmitted_segments: Some(again),
        segments_out: Some(100),
        ..Default::default()
    };
    let with = |again| {
        let script = Script::negotiated(SSL, SSL).end(Side::Client, How::Fin);
        script.server_leg(Detail::TcpInfo(info(again))).diagnose()
    };
    let lossy = with(4);
    assert!(has_finding(&lossy, "high-round-trip-time") && has_finding(&lossy, "segments-lost"));
    assert!(!has_finding(&with(2), "segments-lost"));
}
