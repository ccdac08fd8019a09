//! Sessions of a lab whose outcome is known: which frame holds the Font Map and how many TSRequests there are is what
//! tshark says with the keys that the files carry, which the observers do not use.

use super::inference::{assert_active, inferred};
use crate::support::captures;
use crate::support::pcap;
use rdpscope::trace::{Detail, Outcome, Phase};

/// One TCP connection of a file.
struct Expected {
    file: &'static str,
    port: u16,
    connection: usize,
    selected_protocol: Option<&'static str>,
    tls_version: Option<&'static str>,
    ts_requests: usize,
    reached: Phase,
    /// Where TLS hides it.
    font_map_frame: Option<u64>,
}

const fn expected(
    (file, port, connection): (&'static str, u16, usize),
    (selected_protocol, tls_version): (Option<&'static str>, Option<&'static str>),
    ts_requests: usize,
    reached: Phase,
    font_map_frame: Option<u64>,
) -> Expected {
    Expected { file, port, connection, selected_protocol, tls_version, ts_requests, reached, font_map_frame }
}

const TLS_1_2: Option<&str> = Some("TLS1.2");
const TLS_1_3: Option<&str> = Some("TLS1.3");
const SSL: Option<&str> = Some("SSL");
const HYBRID: Option<&str> = Some("HYBRID");
const HYBRID_EX: Option<&str> = Some("HYBRID_EX");
const RDP: Option<&str> = Some("RDP");

const EXPECTED: [Expected; 24] = [
    expected(("xrdp-tls-ok", 13390, 0), (SSL, TLS_1_3), 0, Phase::Active, Some(57)),
    expected(("xrdp-tls-ok-freerdp3", 13390, 0), (SSL, TLS_1_3), 0, Phase::Active, Some(52)),
    expected(("xrdp-tls12-ok", 13390, 0), (SSL, TLS_1_2), 0, Phase::Active, Some(61)),
    expected(("xrdp-cert-signed-accepted", 13390, 0), (SSL, TLS_1_3), 0, Phase::Active, Some(60)),
    expected(("xrdp-cert-expired-rejected", 13390, 0), (SSL, TLS_1_3), 0, Phase::Tls, None),
    expected(("xrdp-cert-wrongname-rejected", 13390, 0), (SSL, TLS_1_3), 0, Phase::Tls, None),
    expected(("xrdp-cert-notyetvalid-rejected", 13390, 0), (SSL, TLS_1_3), 0, Phase::Tls, None),
    expected(("xrdp-nla-refused", 13390, 0), (SSL, None), 0, Phase::X224, None),
    expected(("xrdp-rdp-security-rdesktop", 13390, 0), (RDP, None), 0, Phase::Active, None),
    expected(("shadow-nla-ok", 13395, 0), (HYBRID, TLS_1_3), 5, Phase::Active, Some(59)),
    expected(("shadow-nla-wrong-password", 13395, 0), (HYBRID, TLS_1_3), 3, Phase::Tls, None),
    expected(("shadow-nla-wrong-password", 13395, 1), (HYBRID, TLS_1_3), 3, Phase::Tls, None),
    expected(("shadow-rdp-security", 13395, 0), (RDP, None), 0, Phase::Active, None),
    expected(("gw-http-dual-ok", 13443, 0), (None, TLS_1_3), 0, Phase::Tls, None),
    expected(("gw-http-dual-ok", 13443, 1), (None, TLS_1_3), 0, Phase::Tls, None),
    expected(("gw-http-dual-ok", 13390, 0), (SSL, TLS_1_3), 0, Phase::Active, Some(163)),
    expected(("gw-websocket-ok", 13443, 0), (None, TLS_1_3), 0, Phase::Tls, None),
    expected(("gw-websocket-ok", 13390, 0), (SSL, TLS_1_3), 0, Phase::Active, Some(140)),
    expected(("gw-wrong-password", 13443, 0), (None, TLS_1_3), 0, Phase::Tls, None),
    expected(("gw-cert-denied", 13443, 0), (None, TLS_1_3), 0, Phase::Tls, None),
    expected(("multitransport-freerdp3-declines", 13399, 0), (HYBRID, TLS_1_3), 5, Phase::Active, Some(42)),
    expected(("multitransport-freerdp2-hangs", 13399, 0), (HYBRID, TLS_1_3), 5, Phase::Info, None),
    expected(("iron-hybrid-ex-ok", 13415, 0), (HYBRID_EX, TLS_1_3), 5, Phase::Active, Some(40)),
    expected(("rst-after-clienthello", 13420, 0), (SSL, None), 0, Phase::X224, None),
];

#[test]
fn lab_sessions_come_as_far_as_they_came() {
    let Some(folder) = captures::folder() else { return };
    for expected in &EXPECTED {
        let packets = pcap::packets(&folder.join("lab").join(format!("{}.pcapng", expected.file)));
        let connections = captures::reassemble(&packets, expected.port);
        let of_port =
            EXPECTED.iter().filter(|other| (other.file, other.port) == (expected.file, expected.port));
        assert_eq!(connections.len(), of_port.count(), "{}: connections to {}", expected.file, expected.port);
        let wire = &connections[expected.connection];
        let observed = captures::observe(wire);
        let summary = &observed.summary;
        let name = format!("{} {} {}", expected.file, expected.port, expected.connection);
        assert_eq!(summary.selected_protocol.as_deref(), expected.selected_protocol, "{name}");
        assert_eq!(summary.tls_version.as_deref(), expected.tls_version, "{name}");
        assert_eq!(summary.reached, Some(expected.reached), "{name}");
        let inferred = inferred(&observed);
        let requests = inferred.iter().filter(|(message, ..)| message == "ts_request").count();
        assert_eq!(requests, expected.ts_requests, "{name}");
        assert_active(&name, &observed, wire, expected.font_map_frame);
        let said_so = observed.events().any(|event| matches!(event.detail, Detail::Alert(_)));
        let failed = observed.phases().any(|phase| phase.outcome == Outcome::Failed);
        assert_eq!(failed, said_so, "{name}: a phase fails where a side says so");
        println!("{name}: reached {}, {requests} TSRequests", expected.reached);
    }
}

/// All that can be seen of a gateway's TLS is TLS.
#[test]
fn tls_without_a_negotiation_has_no_phase_of_rdp() {
    let Some(folder) = captures::folder() else { return };
    let packets = pcap::packets(&folder.join("lab/gw-websocket-ok.pcapng"));
    let connections = captures::reassemble(&packets, 13443);
    let phases: Vec<Phase> = captures::observe(&connections[0]).phases().map(|phase| phase.phase).collect();
    assert_eq!(phases, [Phase::Tls, Phase::Closed]);
}
