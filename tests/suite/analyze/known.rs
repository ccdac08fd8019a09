//! Captures of which it is known what happened, and the verdict on each attempt in them.

use super::program::analyze;
use crate::support::captures;

/// A file, what is said of its attempts in their order, and the exit code.
type Known = (&'static str, &'static [&'static str], i32);

const OTHERS: &[Known] = &[
    ("awakecoding-wireshark-rdp/freerdp-test.pcapng", &["healthy (confirmed)"], 0),
    // Each of these users disconnected by hand, and the server says so before it does: no fault.
    ("awakecoding-wireshark-rdp/rdp-nla-kerberos-auth1.pcapng", &["admin-disconnect (confirmed)"], 0),
    ("awakecoding-wireshark-rdp/rdp-no-nla-accepted1.pcapng", &["admin-disconnect (confirmed)"], 0),
    ("awakecoding-wireshark-rdp/rdp-restricted-admin-rejected1.pcapng", &["admin-disconnect (confirmed)"], 0),
    (
        "awakecoding-wireshark-rdp/rdp-nla-ntlm-rejected1.pcapng",
        &["nla-ntlm-refused (likely)", "nla-required (confirmed)"],
        1,
    ),
    ("awakecoding-wireshark-rdp/rdp-no-nla-rejected1.pcapng", &["nla-required (confirmed)"], 1),
    (
        "awakecoding-wireshark-rdp/rdp-rdg-no-kdc-proxy-ntlm-downgrade-failure.pcapng",
        &["gateway-auth-failed (confirmed)"],
        1,
    ),
    (
        "awakecoding-wireshark-rdp/rdp-rdg-same-creds-kerberos-password-success1.pcapng",
        &["healthy (likely)"],
        0,
    ),
    // It has no end, and its key is not inside it.
    ("freerdp-old/rdp_tls_ntlmssp_access_denied.pcap", &["client-closed (possible)"], 0),
    (
        "microsoft-prot-od-netcaps/MS-RDSOD_Example_1_Win10RS3_x64_WS2016RS1_X64_Domain.pcap",
        &["healthy (likely)"],
        0,
    ),
    ("ndpi/rdp.pcap", &["client-closed (possible)"], 0),
    ("ndpi/rdp2.pcap", &["healthy (likely)", "healthy (possible)", "healthy (likely)"], 0),
    // A fuzzer made it: a greeting stands before what would be X.224.
    ("zeek/rdp-invalid-length.pcap", &["protocol-error (confirmed)"], 1),
    (
        "zeek/rdp-proprietary-encryption.pcap",
        &["tls-refused-by-server (confirmed)", "healthy (confirmed)"],
        1,
    ),
    ("zeek/rdp-to-ssl.pcap", &["client-prompted (likely)", "healthy (likely)"], 0),
    ("zeek/rdpeudp-handshake-fail.pcap", &["udp-blocked (likely)"], 1),
    ("zeek/rdpeudp-handshake-success.pcap", &["healthy (likely)"], 0),
    ("zeek/rdpeudp2-handshake-success.pcap", &["healthy (likely)"], 0),
];

/// Sessions with a gateway were captured on one machine: the gateway's own connection to the server is among them.
const LAB: &[Known] = &[
    ("lab/gw-http-dual-ok.pcapng", &["healthy (confirmed)", "healthy (confirmed)"], 0),
    ("lab/gw-websocket-ok.pcapng", &["healthy (confirmed)", "healthy (confirmed)"], 0),
    ("lab/gw-wrong-password.pcapng", &["gateway-auth-failed (likely)"], 1),
    ("lab/iron-hybrid-ex-ok.pcapng", &["healthy (confirmed)"], 0),
    ("lab/multitransport-freerdp2-hangs.pcapng", &["client-closed (likely)"], 0),
    ("lab/multitransport-freerdp3-declines.pcapng", &["healthy (confirmed)"], 0),
    ("lab/rdpeudp2-echo.pcapng", &["healthy (likely)"], 0),
    ("lab/rst-after-clienthello.pcapng", &["server-key-unusable (likely)"], 1),
    ("lab/shadow-nla-ok.pcapng", &["healthy (confirmed)"], 0),
    ("lab/shadow-nla-wrong-password.pcapng", &["nla-logon-failed (likely)", "nla-logon-failed (likely)"], 1),
    ("lab/shadow-rdp-security.pcapng", &["healthy (confirmed)"], 0),
    ("lab/xrdp-cert-expired-rejected.pcapng", &["certificate-expired (likely)"], 1),
    ("lab/xrdp-cert-notyetvalid-rejected.pcapng", &["certificate-not-yet-valid (likely)"], 1),
    ("lab/xrdp-cert-signed-accepted.pcapng", &["healthy (confirmed)"], 0),
    ("lab/xrdp-cert-wrongname-rejected.pcapng", &["certificate-name-mismatch (likely)"], 1),
    ("lab/xrdp-nla-refused.pcapng", &["nla-not-offered (likely)"], 1),
    ("lab/xrdp-rdp-security-rdesktop.pcapng", &["healthy (confirmed)"], 0),
    ("lab/xrdp-tls-ok-freerdp3.pcapng", &["healthy (confirmed)"], 0),
    ("lab/xrdp-tls-ok.pcapng", &["healthy (confirmed)"], 0),
    ("lab/xrdp-tls12-ok.pcapng", &["healthy (confirmed)"], 0),
];

#[test]
fn every_attempt_has_the_verdict_that_is_known_of_it() {
    let Some(folder) = captures::folder() else { return };
    let mut wrong = Vec::new();
    for (file, expected, exit) in OTHERS.iter().chain(LAB) {
        let run = analyze(&[&folder.join(file)], &[]);
        let judged: Vec<String> = run.attempts.iter().map(|attempt| attempt.judged()).collect();
        println!("{file}: {}", judged.join(", "));
        if judged != *expected || run.exit != Some(*exit) {
            wrong.push(format!("{file}: {judged:?}, exit {:?}; expected {expected:?}, {exit}", run.exit));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is known is not inferred: every session of the lab whose secrets are in its file is read to the desktop.
#[test]
fn what_is_decrypted_is_not_judged_by_sizes() {
    let Some(folder) = captures::folder() else { return };
    for (file, expected, _) in LAB.iter().filter(|(_, expected, _)| *expected == ["healthy (confirmed)"]) {
        let run = analyze(&[&folder.join(file)], &[]);
        assert_eq!(run.attempts.len(), expected.len(), "{file}");
        for attempt in &run.attempts {
            let is_guessed = |event: &&rdpscope::trace::Event| {
                // That a handshake of TLS 1.3 is complete is seen by its records alone.
                event.inferred && event.phase != rdpscope::trace::Phase::Tls
            };
            assert_eq!(attempt.observed.events().find(is_guessed), None, "{file}");
            assert_eq!(attempt.observed.summary.reached.map(|phase| phase.id()), Some("active"), "{file}");
        }
    }
}

#[test]
fn a_capture_without_rdp_is_no_success_and_says_what_is_in_it() {
    let Some(folder) = captures::folder() else { return };
    // The client left after TLS: that a gateway was meant stands nowhere.
    let run = analyze(&[&folder.join("lab/gw-cert-denied.pcapng")], &[]);
    assert_eq!(run.exit, Some(3));
    let expected = "has no Remote Desktop in it that can be recognised, but 1 TCP connection, to tcp/13443";
    assert!(run.stderr.contains(expected) && run.stdout.is_empty(), "{run:?}");
    // Its user can say so.
    for gateway in ["127.0.0.1:13443", "127.0.0.1"] {
        let run =
            analyze(&[&folder.join("lab/gw-cert-denied.pcapng")], &["--gateway".into(), gateway.into()]);
        assert_eq!(run.attempts.len(), 1, "{run:?}");
        assert!(run.attempts[0].judged().starts_with("certificate-"), "{}", run.attempts[0].judged());
    }
}
