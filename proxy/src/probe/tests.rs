//! Probes of servers that are a few lines each, over loopback.

mod servers;

use super::*;
use crate::trace::{ClosedBy, ConnectError, How, Outcome};
use servers::{HOST, Server, Then, X224};
use std::net::TcpListener as StdTcpListener;
use std::time::Duration;

/// Long enough for a loaded machine to answer, short enough to wait for in a test.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1500);

fn settings() -> Settings {
    Settings { answer_timeout: ANSWER_TIMEOUT, udp: false, tls: false, ..Settings::default() }
}

/// What came of it, which never proposes to do the same again and has no phase that ends before it begins.
async fn probed(address: SocketAddr) -> Record {
    let record = probe(&address.to_string().parse().unwrap(), &settings()).await;
    let next = &record.verdict.as_ref().unwrap().next;
    assert!(!next.contains(&format!("rdpscope probe {address}")), "{next:?}");
    let backwards: Vec<_> = record.phases.iter().filter(|phase| phase.end_us < phase.start_us).collect();
    assert!(backwards.is_empty(), "{backwards:?}");
    record
}

fn found(record: &Record) -> &Probe {
    record.probe.as_ref().unwrap()
}

fn answers(record: &Record) -> Vec<&NegotiationAnswer> {
    found(record).negotiation.iter().map(|check| &check.answer).collect()
}

fn outcome(record: &Record, phase: Phase) -> Option<Outcome> {
    record.phase(phase).map(|record| record.outcome)
}

fn ending(record: &Record) -> (Option<ClosedBy>, Option<How>) {
    let summary = record.summary.as_ref().unwrap();
    (summary.closed_by, summary.how)
}

#[tokio::test]
async fn nobody_listens() {
    let address = StdTcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let record = probed(address).await;
    let found = found(&record);
    assert_eq!(found.tcp.len(), 1);
    assert_eq!(found.tcp[0].rounds, [None, None, None]);
    assert_eq!((found.tcp[0].failures[0].error, found.tcp[0].failures[0].count), (ConnectError::Refused, 3));
    assert_eq!(found.connections, 4);
    assert!(found.negotiation.is_empty() && found.certificate.is_none() && found.flaky.is_empty());
    assert_eq!(outcome(&record, Phase::Tcp), Some(Outcome::Failed));
    assert_eq!(record.verdict.as_ref().unwrap().id.as_str(), "tcp-refused");
}

#[tokio::test]
async fn a_name_without_an_address() {
    let record = probe(&"no-such-host.invalid".parse().unwrap(), &settings()).await;
    let found = found(&record);
    assert!(found.dns.as_ref().unwrap().failure.is_some());
    assert_eq!((found.connections, found.tcp.len()), (0, 0));
    assert_eq!(record.verdict.as_ref().unwrap().id.as_str(), "dns-failure");
}

#[tokio::test]
async fn a_service_that_hangs_is_silent_and_takes_no_longer_than_its_slowest_check() {
    let server = Server::always(X224::Silence).await;
    let began = Instant::now();
    let record = probed(server.address).await;
    // One answer in the conversation, and beside it the masks, more of them than may be open at once.
    assert!(began.elapsed() < ANSWER_TIMEOUT * 4, "{:?}", began.elapsed());
    assert!(answers(&record).iter().all(|answer| **answer == NegotiationAnswer::Silent), "{record:?}");
    assert_eq!(answers(&record).len(), 7);
    assert_eq!(ending(&record), (Some(ClosedBy::Proxy), Some(How::Fin)));
    assert_eq!(outcome(&record, Phase::X224), Some(Outcome::Unfinished));
    assert_eq!(found(&record).connections, server.accepted());
}

#[tokio::test]
async fn a_slow_service_is_not_silent() {
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_millis(150));
        X224::Bytes(servers::failure(5))
    })
    .await;
    let record = probed(server.address).await;
    let refused = |answer: &&NegotiationAnswer| matches!(answer, NegotiationAnswer::Refused { code: 5, .. });
    assert!(answers(&record).iter().all(refused), "{record:?}");
    assert!(found(&record).negotiation.iter().all(|check| check.took_us >= 150_000));
}

#[tokio::test]
async fn each_failure_code_is_told() {
    for code in 1..=6 {
        let server = Server::always(X224::Bytes(servers::failure(code))).await;
        let record = probed(server.address).await;
        let code = u32::from(code);
        for answer in answers(&record) {
            assert!(
                matches!(answer, NegotiationAnswer::Refused { code: told, .. } if *told == code),
                "{answer:?}"
            );
        }
        assert_eq!(record.summary.as_ref().unwrap().failure_code, Some(code));
        assert_eq!(outcome(&record, Phase::X224), Some(Outcome::Failed));
    }
}

#[tokio::test]
async fn a_server_that_leaves_without_a_word() {
    for (answer, how) in [(X224::Fin, How::Fin), (X224::Reset, How::Reset)] {
        let server = Server::always(answer).await;
        let record = probed(server.address).await;
        for answer in answers(&record) {
            assert_eq!(*answer, NegotiationAnswer::Closed { how });
        }
        assert_eq!(ending(&record), (Some(ClosedBy::Server), Some(how)));
        assert!(found(&record).certificate.is_none());
    }
}

#[tokio::test]
async fn another_service_owns_the_port() {
    let http = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".to_vec();
    let ssh = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".to_vec();
    for (answer, name) in [(X224::Bytes(http), "HTTP"), (X224::Greeting(ssh), "SSH")] {
        let server = Server::always(answer).await;
        let record = probed(server.address).await;
        for answer in answers(&record) {
            let NegotiationAnswer::OtherProtocol { protocol, .. } = answer else { panic!("{answer:?}") };
            assert_eq!(protocol.as_deref(), Some(name));
        }
        assert_eq!(record.verdict.as_ref().unwrap().id.as_str(), "not-rdp");
    }
}

#[tokio::test]
async fn tls_at_once() {
    let server = Server::always(X224::DirectTls).await;
    let record =
        probe(&server.address.to_string().parse().unwrap(), &Settings { tls: true, ..settings() }).await;
    let found = found(&record);
    assert_eq!(found.certificate.as_ref().unwrap().chain[0].subject_cn.as_deref(), Some(HOST));
    let tls = found.tls.as_ref().unwrap();
    assert!(tls.direct && tls.suites.contains_key("TLS1.3"), "{tls:?}");
    for answer in answers(&record) {
        let NegotiationAnswer::OtherProtocol { protocol, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(protocol.as_deref(), Some("TLS alert"));
    }
    assert!(found.credssp.is_none());
    assert_eq!(found.connections, server.accepted());
}

#[tokio::test]
async fn a_tarpit_is_given_up() {
    let server = Server::always(X224::Dribble).await;
    let began = Instant::now();
    let record = probed(server.address).await;
    assert!(began.elapsed() < ANSWER_TIMEOUT * MOST_ANSWERS_IN_A_ROW, "{:?}", began.elapsed());
    // It has begun to answer, and what came is shown.
    for answer in answers(&record) {
        assert!(
            matches!(answer, NegotiationAnswer::OtherProtocol { first_bytes, .. } if first_bytes.starts_with("03"))
        );
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_at_the_client_hello() {
    let ends = [
        (Then::Fin, (ClosedBy::Server, How::Fin)),
        (Then::Reset, (ClosedBy::Server, How::Reset)),
        (Then::Silence, (ClosedBy::Proxy, How::Fin)),
    ];
    for (then, (by, how)) in ends {
        let server = Server::start(move |_, _| X224::Confirm(2, then.clone())).await;
        let record = probed(server.address).await;
        assert_eq!(ending(&record), (Some(by), Some(how)));
        assert_eq!(outcome(&record, Phase::Tls), Some(Outcome::Unfinished));
        assert!(found(&record).credssp.is_none());
    }
}

/// CredSSP's answer with the challenge of `FS01` at this machine's own time less `behind` seconds.
fn challenge(behind: i64) -> Vec<u8> {
    use crate::wire::credssp::samples;
    const FILETIME_OF_1970: i64 = 116_444_736_000_000_000;
    let now = jiff::Timestamp::now().as_microsecond() - behind * 1_000_000;
    let filetime = u64::try_from(FILETIME_OF_1970 + now * 10).unwrap();
    samples::ts_request(6, &[samples::nego_token(&samples::ntlm_challenge(filetime))])
}

#[tokio::test]
async fn the_challenge_is_read_and_nothing_is_answered_to_it() {
    use crate::wire::credssp::TsRequest;
    let server = Server::start(|_, protocols| match protocols & 3 {
        0 | 1 => X224::Bytes(servers::failure(5)),
        _ => X224::Confirm(2, Then::Tls(challenge(600))),
    })
    .await;
    let target = format!("{HOST}:{}", server.address.port()).parse().unwrap();
    let address = Some(server.address.to_string().parse().unwrap());
    let record = probe(&target, &Settings { address, ..settings() }).await;

    let found = found(&record);
    let credssp = found.credssp.as_ref().unwrap();
    assert_eq!((credssp.version, &credssp.failure, &credssp.status), (Some(6), &None, &None));
    assert_eq!(credssp.challenge.as_ref().unwrap().netbios_computer.as_deref(), Some("FS01"));
    let skew = credssp.clock_skew_us.unwrap();
    assert!((-660_000_000..-599_000_000).contains(&skew), "{skew}");
    let certificate = found.certificate.as_ref().unwrap();
    assert_eq!(
        (certificate.name.as_str(), certificate.name_matches, certificate.trusted),
        (HOST, true, false)
    );

    let heard = server.heard();
    assert_eq!(heard.len(), 1);
    let (request, length) = TsRequest::decode(&heard[0]).unwrap().unwrap();
    assert_eq!((length, request.auth_info_length, request.pub_key_auth_length), (heard[0].len(), None, None));

    let phases: Vec<_> = record.phases.iter().map(|phase| (phase.phase, phase.outcome)).collect();
    let expected = [
        (Phase::Tcp, Outcome::Ok),
        (Phase::X224, Outcome::Ok),
        (Phase::Tls, Outcome::Ok),
        (Phase::Credssp, Outcome::Unfinished),
        (Phase::Closed, Outcome::Ok),
    ];
    assert_eq!(phases, expected);
    let summary = record.summary.as_ref().unwrap();
    assert_eq!(summary.sni.as_deref(), Some(HOST));
    assert_eq!(summary.credssp.as_ref().unwrap().mechanism.as_deref(), Some("NTLM"));
    assert_eq!(ending(&record), (Some(ClosedBy::Proxy), Some(How::Fin)));
    assert!(record.events.iter().all(|event| event.leg != Leg::Client));
    assert!(summary.bytes_up > 0 && summary.bytes_down > 0);
}

#[tokio::test]
async fn what_comes_in_the_place_of_a_challenge() {
    use crate::wire::credssp::samples;
    let refusal = samples::ts_request(6, &[samples::error_code(0xc000_00bb)]);
    let server = Server::start(move |_, _| X224::Confirm(8, Then::Tls(refusal.clone()))).await;
    let record = probed(server.address).await;
    let credssp = found(&record).credssp.as_ref().unwrap();
    assert_eq!(credssp.status.as_deref(), Some("0xc00000bb"));
    assert_eq!(outcome(&record, Phase::Credssp), Some(Outcome::Failed));

    let server = Server::always(X224::Confirm(2, Then::Tls(b"SSH-2.0-no".to_vec()))).await;
    let record = probed(server.address).await;
    assert!(found(&record).credssp.as_ref().unwrap().failure.as_ref().unwrap().contains("no TSRequest"));

    let server = Server::always(X224::Confirm(2, Then::TlsAndSilence)).await;
    let record = probed(server.address).await;
    let credssp = found(&record).credssp.as_ref().unwrap();
    assert!(credssp.failure.as_ref().unwrap().contains("did not answer"), "{credssp:?}");
    assert_eq!(outcome(&record, Phase::Tls), Some(Outcome::Ok));
}

#[tokio::test]
async fn a_server_that_refuses_tls_and_speaks_it_all_the_same_tells_its_names() {
    use crate::wire::credssp::TsRequest;
    let server = Server::start(|_, protocols| match protocols {
        0 => X224::Confirm(0, Then::Fin),
        _ => X224::Refuse(2, Then::Tls(challenge(0))),
    })
    .await;
    let settings = settings();
    let record = probe(&server.address.to_string().parse().unwrap(), &settings).await;
    let found = found(&record);
    assert!(
        found.credssp.is_none() && found.certificate.is_none(),
        "what was refused is not said to be taken"
    );
    let check = found.credssp_after_refusal.as_ref().unwrap();
    assert_eq!(check.challenge.as_ref().unwrap().netbios_computer.as_deref(), Some("FS01"));
    assert_eq!(found.challenge(), check.challenge.as_ref());
    let heard = server.heard();
    assert_eq!(heard.len(), 1);
    let (request, length) = TsRequest::decode(&heard[0]).unwrap().unwrap();
    assert_eq!((length, request.auth_info_length, request.pub_key_auth_length), (heard[0].len(), None, None));

    // It is no step of a session: neither the verdict nor the phases know of it.
    assert_eq!(record.verdict.as_ref().unwrap().id.as_str(), "tls-refused-by-server");
    assert_eq!(outcome(&record, Phase::X224), Some(Outcome::Failed));
    assert_eq!(outcome(&record, Phase::Tls), None);
    assert!(record.findings.iter().any(|finding| finding.id == "tls-after-refusal"), "{:?}", record.findings);
    assert!(found.flaky.is_empty(), "nothing was asked twice: {:?}", found.flaky);
    assert_eq!(found.connections, server.accepted());
    assert!(found.connections <= settings.most_connections(1));
}

#[tokio::test]
async fn a_server_that_keeps_to_its_refusal_tells_nothing() {
    for then in [Then::Fin, Then::Reset, Then::Silence] {
        let server = Server::start(move |_, _| X224::Refuse(2, then.clone())).await;
        let record = probed(server.address).await;
        assert!(found(&record).credssp_after_refusal.is_none());
        assert_eq!(record.verdict.as_ref().unwrap().id.as_str(), "tls-refused-by-server");
    }
    let server = Server::always(X224::Refuse(2, Then::Tls(b"SSH-2.0-no".to_vec()))).await;
    let record = probed(server.address).await;
    let check = found(&record).credssp_after_refusal.as_ref().unwrap();
    assert!(check.failure.as_ref().unwrap().contains("no TSRequest"), "{check:?}");
    assert!(found(&record).challenge().is_none());
}

#[tokio::test]
async fn tls_without_network_level_authentication_ends_behind_the_handshake() {
    let server = Server::start(|_, protocols| match protocols {
        0 => X224::Bytes(servers::failure(1)),
        _ => X224::Confirm(1, Then::TlsAndSilence),
    })
    .await;
    let record = probed(server.address).await;
    assert!(found(&record).credssp.is_none());
    assert_eq!(outcome(&record, Phase::Credssp), Some(Outcome::Skipped));
    assert_eq!(record.summary.as_ref().unwrap().reached, Some(Phase::Tls));
    assert!(server.heard().iter().all(Vec::is_empty));
}

#[tokio::test]
async fn classic_security_has_nothing_more_to_ask() {
    let server = Server::always(X224::Confirm(0, Then::Silence)).await;
    let record = probed(server.address).await;
    for answer in answers(&record) {
        assert!(
            matches!(answer, NegotiationAnswer::Selected { protocol, .. } if protocol == servers::name(0))
        );
    }
    let classic = found(&record).classic.as_ref().unwrap();
    assert!(classic.methods.is_empty());
    assert!(classic.refused.values().all(|what| what == "it did not answer"), "{classic:?}");
    assert_eq!(classic.refused.len(), 5);
    assert_eq!(outcome(&record, Phase::Tls), Some(Outcome::Skipped));
    assert_eq!(ending(&record), (Some(ClosedBy::Proxy), Some(How::Fin)));
}

#[tokio::test]
async fn answers_that_differ_are_counted() {
    // The conversation is the first to ask, and comes to no end that anything else would wait for.
    let server = Server::start(|number, _| match number {
        0 => X224::Bytes(servers::failure(5)),
        _ => X224::Bytes(servers::failure(2)),
    })
    .await;
    let record = probed(server.address).await;
    let flaky = &found(&record).flaky;
    assert_eq!(flaky.len(), 1, "{flaky:?}");
    assert_eq!(flaky[0].check, "X.224 with SSL, HYBRID, HYBRID_EX");
    assert_eq!(flaky[0].answers.values().copied().collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn never_more_connections_than_were_said() {
    for tls in [false, true] {
        let server = Server::always(X224::Confirm(1, Then::TlsAndSilence)).await;
        let settings = Settings { tls, ..settings() };
        let record = probe(&server.address.to_string().parse().unwrap(), &settings).await;
        let connections = found(&record).connections;
        // The last ones may still wait to be accepted.
        while server.accepted() < connections {
            tokio::task::yield_now().await;
        }
        assert_eq!(connections, server.accepted());
        assert!(connections <= settings.most_connections(1));
    }
}

#[tokio::test]
async fn a_server_that_has_had_enough_is_left_in_peace() {
    // What comes behind the masks is the scan.
    let server = Server::start(|number, _| match number {
        0..=10 => X224::Confirm(1, Then::Fin),
        _ => X224::Reset,
    })
    .await;
    let settings = Settings { tls: true, ..settings() };
    let record = probe(&server.address.to_string().parse().unwrap(), &settings).await;
    assert!(found(&record).connections < 60, "{}", found(&record).connections);
    assert!(!found(&record).flaky.is_empty());
}

#[tokio::test]
async fn the_other_internet_protocol() {
    let address = "[::1]:0".parse().unwrap();
    let server = Server::start_at(address, |_, _| X224::Confirm(1, Then::TlsAndSilence)).await;
    let record = probed(server.address).await;
    assert_eq!(found(&record).tcp[0].address, server.address.to_string());
    assert!(found(&record).tcp[0].rounds.iter().all(Option::is_some));
    assert_eq!(record.summary.as_ref().unwrap().reached, Some(Phase::Tls));
}
