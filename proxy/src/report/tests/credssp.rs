//! What is told of the authentication inside TLS.

use super::*;
use crate::observe::InsideObserver;
use crate::wire::credssp::samples::*;

/// `started` of every script, µs since 1970.
const STARTED_UNIX_US: i64 = 1_795_227_000_000_000;

/// The FILETIME of a moment, µs since 1970.
fn filetime(unix_us: i64) -> u64 {
    u64::try_from(unix_us * 10 + 116_444_736_000_000_000).unwrap()
}

/// A session whose TLS is terminated, up to the end that the server makes after these messages.
fn ended_after(protocol: (u32, &str), sent: &[(Side, Vec<u8>)]) -> String {
    let mut script = Script::connected("2026-11-21T02-10-00-1", "fs01.corp.example:3389", "192.0.2.10:3389")
        .client(2_600, Phase::X224, asked(Some("anna"), &["SSL", "HYBRID", "HYBRID_EX"]))
        .server(3_400, Phase::X224, chose(protocol.1))
        .client(4_000, Phase::Tls, client_hello("fs01.corp.example"))
        .server(6_200, Phase::Tls, server_hello(0x1302, true))
        .server(9_000, Phase::Tls, Detail::HandshakeComplete);
    let mut observer = InsideObserver::new(Some(protocol.0));
    let mut t_us = 10_000;
    for (side, bytes) in sent {
        let mut events = Vec::new();
        observer.data(t_us, *side, bytes, &mut events);
        script = events.into_iter().fold(script, Script::push);
        t_us += 1_500;
    }
    let verdict =
        verdict(VerdictId::ServerClosed, Confidence::Possible, Phase::Credssp, "The server closed.");
    let lines = script
        .server(t_us, Phase::Closed, Detail::StreamEnded { how: How::Fin })
        .end(verdict, end(t_us, ClosedBy::Server, How::Fin));
    shown(lines, &STYLE)
}

#[test]
fn a_wrong_password_and_a_slow_clock() {
    let clock = filetime(STARTED_UNIX_US - 7 * 60_000_000);
    let first = spnego_init(&[KERBEROS, NTLM], &ntlm_negotiate());
    insta::assert_snapshot!(ended_after(
        (2, "HYBRID"),
        &[
            (Side::Client, ts_request(6, &[nego_token(&first)])),
            (
                Side::Server,
                ts_request(6, &[nego_token(&spnego_response(1, Some(NTLM), &ntlm_challenge(clock)))])
            ),
            (Side::Client, ts_request(6, &[nego_token(&ntlm_authenticate("localhost")), pub_key_auth()])),
            (Side::Server, ts_request(6, &[error_code(0xc000_006d)])),
        ],
    ));
}

#[test]
fn a_user_who_may_not_log_on() {
    let request = spnego_init(&[KERBEROS, NTLM], &kerberos_ap_req("CORP.EXAMPLE", "fs01.corp.example"));
    insta::assert_snapshot!(ended_after(
        (8, "HYBRID_EX"),
        &[
            (Side::Client, ts_request(6, &[nego_token(&request)])),
            (Side::Server, ts_request(6, &[nego_token(&spnego_response(0, None, &kerberos_ap_rep()))])),
            (Side::Client, ts_request(6, &[pub_key_auth(), client_nonce()])),
            (Side::Server, ts_request(6, &[pub_key_auth()])),
            (Side::Client, ts_request(6, &[auth_info()])),
            (Side::Server, vec![5, 0, 0, 0]),
        ],
    ));
}

#[test]
fn a_redirection_whose_password_is_stale() {
    let [capabilities, request, response] = rdstls_messages(0x52e);
    let sent = [(Side::Server, capabilities), (Side::Client, request), (Side::Server, response)];
    insta::assert_snapshot!(ended_after((4, "RDSTLS"), &sent));
}

#[test]
fn a_sign_in_that_is_refused() {
    let [nonce, request, result] = rdsaad_messages(-805_306_259);
    let sent = [(Side::Server, nonce), (Side::Client, request), (Side::Server, result)];
    insta::assert_snapshot!(ended_after((0x10, "RDSAAD"), &sent));
}
