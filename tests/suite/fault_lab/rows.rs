//! The table: one row for each fault, and one for each thing that is none.

use super::gateways::{self, By};
use super::gateways_probed;
use super::{Cell, Row, captured, on_the_way, on_the_wire, probed, watched};
use crate::support::certificates::certificates;
use crate::support::gateway::Upgrade;
use crate::support::peers::{Haproxy, Nginx, ShadowSecurity};
use rustls::version::TLS13;

const NONE: Cell = Cell::NONE;

/// Each row as data, and as a test of its own.
macro_rules! rows {
    ($($name:ident: $row:expr,)*) => {
        pub(super) const ROWS: &[Row] = &[$($row,)*];

        $(
            #[test]
            fn $name() {
                let row: Row = $row;
                row.assert_holds();
            }
        )*
    };
}

/// A fault that only a client's session shows.
const fn watched_only(
    fault: &'static str,
    made_by: &'static str,
    expected: &'static str,
    scene: super::Scene,
) -> Row {
    Row::new(fault, made_by, Cell::of(expected, scene), NONE, NONE)
}

rows! {
    a_session_that_works: Row::new(
        "none: a session over TLS", "xfreerdp, xrdp",
        Cell::of("healthy, likely", || watched::works(&[])),
        Cell::of("healthy, confirmed", || probed::xrdp_with("negotiate")),
        Cell::of("healthy, likely", || captured::connection("lab/xrdp-cert-signed-accepted.pcapng", 13390, 0)),
    ).ten_times(),
    a_session_with_nla_that_works: Row::new(
        "none: a session with NLA", "xfreerdp, FreeRDP shadow",
        Cell::of("healthy, likely", watched::works_with_nla),
        Cell::of("healthy, confirmed", || probed::shadow_with(ShadowSecurity::Nla)),
        Cell::of("healthy, likely", || captured::connection("lab/shadow-nla-ok.pcapng", 13395, 0)),
    ).ten_times(),
    a_self_signed_certificate: Row::new(
        "none: a self-signed certificate, which the client takes", "xfreerdp, xrdp",
        NONE,
        Cell::of("healthy, confirmed", || probed::xrdp_shows(&certificates().self_signed)),
        NONE,
    ).ten_times(),
    a_windows_like_server: Row::new(
        "none: NLA of a domain member, certificate of its domain", "scripted",
        NONE, Cell::of("healthy, confirmed", probed::windows_like), NONE,
    ).ten_times(),
    a_slow_way: Row::new(
        "none: 150 ms each way", "xfreerdp, xrdp, --impair",
        Cell::of("healthy, likely", || watched::works(&["--impair", "latency=150ms"])),
        Cell::of("healthy, confirmed", on_the_way::long_way),
        NONE,
    ).ten_times(),
    a_busy_server: Row::new(
        "none: the server takes 600 ms for each answer", "scripted",
        NONE, Cell::of("healthy, confirmed", on_the_way::busy_server), NONE,
    ).ten_times(),
    a_slow_session: watched_only(
        "none: a slow session", "scripted, 600 ms a message", "healthy, confirmed", watched::slow_but_works,
    ).ten_times(),
    the_password_is_typed: watched_only(
        "none: the client waits for its user's password", "scripted", "healthy, likely", watched::password_is_typed,
    ).ten_times(),
    mstsc_ends_with_a_reset: watched_only(
        "none: ultimatum, then the client's RST, as mstsc ends", "scripted",
        "healthy, confirmed", watched::session_ends_like_mstsc,
    ).ten_times(),
    the_logon_is_cancelled: watched_only(
        "none: the user cancels the logon", "scripted", "client-closed, likely", watched::logon_is_cancelled,
    ).ten_times(),
    a_client_connects_and_leaves: watched_only(
        "none: a connection without a byte", "scripted", "client-closed, likely", watched::connects_and_leaves,
    ).ten_times(),
    a_client_asks_and_comes_back: watched_only(
        "none: the client asks its user and comes back", "scripted",
        "client-prompted, likely", watched::asks_and_comes_back,
    ).ten_times(),
    an_unknown_name: Row::new(
        "name does not resolve", "the system's resolver",
        Cell::of("dns-failure, confirmed", watched::name_unknown),
        Cell::of("dns-failure, confirmed", probed::name_unknown),
        NONE,
    ),
    another_machine: Row::new(
        "stale DNS: another machine answers", "scripted",
        NONE, Cell::of("dns-mismatch, possible", probed::another_machine), NONE,
    ),
    one_address_is_silent: Row::new(
        "only some addresses of the name answer", "nftables",
        NONE,
        Cell::of("dns-mismatch, likely", || on_the_way::some_addresses(Some("ip6 nexthdr tcp drop"))),
        NONE,
    ),
    one_address_refuses: Row::new(
        "the service listens on some addresses of the name", "scripted",
        NONE, Cell::of("dns-mismatch, possible", || on_the_way::some_addresses(None)), NONE,
    ),
    nobody_listens: Row::new(
        "service does not listen", "xfreerdp, a free port",
        Cell::of("tcp-refused, confirmed", watched::nobody_listens),
        Cell::of("tcp-refused, confirmed", probed::nobody_listens),
        NONE,
    ),
    a_firewall_rejects: Row::new(
        "firewall rejects", "nftables",
        Cell::of("tcp-refused, confirmed", || watched::network("tcp dport 3389 reject with tcp reset")),
        Cell::of("tcp-refused, confirmed", || probed::network("tcp dport 3389 reject with tcp reset")),
        Cell::of("tcp-refused, confirmed", || on_the_wire::network("tcp dport 3389 reject with tcp reset")),
    ),
    a_firewall_drops: Row::new(
        "firewall drops", "nftables",
        Cell::of("tcp-filtered, likely", || watched::network("tcp dport 3389 tcp flags syn / syn,ack drop")),
        Cell::of("tcp-filtered, likely", || probed::network("tcp dport 3389 tcp flags syn / syn,ack drop")),
        Cell::of("tcp-filtered, likely", || on_the_wire::network("tcp dport 3389 tcp flags syn / syn,ack drop")),
    ),
    a_reset_at_the_request: Row::new(
        "RST to the X.224 request", "nftables",
        Cell::of("tcp-reset, confirmed", || watched::network("tcp dport 3389 @ih,0,16 0x0300 reject with tcp reset")),
        Cell::of("tcp-reset, confirmed", || probed::network("tcp dport 3389 @ih,0,16 0x0300 reject with tcp reset")),
        Cell::of("tcp-reset, confirmed", || on_the_wire::network("tcp dport 3389 @ih,0,16 0x0300 reject with tcp reset")),
    ),
    a_server_that_cuts: Row::new(
        "server cuts every connection", "scripted",
        Cell::of("tcp-reset, confirmed", watched::cuts_at_the_request),
        Cell::of("tcp-reset, confirmed", probed::cuts_at_the_request),
        NONE,
    ),
    another_service: Row::new(
        "port taken by something else", "scripted SSH",
        Cell::of("not-rdp, confirmed", || watched::answers(b"SSH-2.0-OpenSSH_9.2p1\r\n")),
        Cell::of("not-rdp, confirmed", || probed::answers(*b"SSH-2.0-OpenSSH_9.2p1\r\n")),
        NONE,
    ),
    a_service_that_hangs: Row::new(
        "service hangs, MaxOutstandingConnections", "scripted",
        Cell::of("rdp-silent, likely", watched::says_nothing),
        Cell::of("rdp-silent, likely", probed::says_nothing),
        NONE,
    ),
    tls_is_required: Row::new(
        "client without TLS", "xfreerdp, FreeRDP shadow",
        Cell::of("tls-required, confirmed", || watched::shadow_with(ShadowSecurity::Tls, "/sec:rdp")),
        Cell::of("healthy, confirmed", || probed::shadow_with(ShadowSecurity::Tls)),
        NONE,
    ),
    tls_is_refused: Row::new(
        "security layer forced to RDP (Windows)", "scripted",
        Cell::of("tls-refused-by-server, confirmed", || watched::refuses(2)),
        Cell::of("tls-refused-by-server, confirmed", || probed::refuses(2)),
        Cell::of("tls-refused-by-server, confirmed", || captured::connection("zeek/rdp-proprietary-encryption.pcap", 3389, 0)),
    ),
    xrdp_has_no_tls: Row::new(
        "security layer forced to RDP (xrdp)", "xfreerdp, xrdp",
        Cell::of("tls-refused-by-server, likely", || watched::xrdp_with("rdp", "/sec:tls")),
        Cell::of("tls-refused-by-server, likely", || probed::xrdp_with("rdp")),
        NONE,
    ),
    no_certificate: Row::new(
        "server has no certificate", "scripted",
        Cell::of("server-certificate-missing, confirmed", || watched::refuses(3)),
        Cell::of("server-certificate-missing, confirmed", || probed::refuses(3)),
        NONE,
    ),
    flags_contradict: Row::new(
        "negotiation flags contradict", "scripted",
        Cell::of("inconsistent-flags, confirmed", || watched::refuses(4)),
        Cell::of("inconsistent-flags, confirmed", || probed::refuses(4)),
        NONE,
    ),
    nla_is_required: Row::new(
        "NLA required, client without it", "xfreerdp, FreeRDP shadow",
        Cell::of("nla-required, confirmed", || watched::shadow_with(ShadowSecurity::Nla, "/sec:tls")),
        Cell::of("healthy, confirmed", || probed::shadow_with(ShadowSecurity::Nla)),
        Cell::of("nla-required, confirmed", || captured::connection("awakecoding-wireshark-rdp/rdp-no-nla-rejected1.pcapng", 3389, 0)),
    ),
    a_client_certificate_is_required: Row::new(
        "server wants the client's certificate", "scripted",
        Cell::of("client-certificate-required, confirmed", || watched::refuses(6)),
        Cell::of("client-certificate-required, confirmed", || probed::refuses(6)),
        NONE,
    ),
    nla_is_missing: Row::new(
        "client insists on NLA, server has none", "xfreerdp, xrdp",
        Cell::of("nla-not-offered, likely", || watched::xrdp_with("negotiate", "/sec:nla")),
        Cell::of("healthy, confirmed", || probed::xrdp_with("negotiate")),
        NONE,
    ),
    only_old_tls: Row::new(
        "nothing newer than TLS 1.0", "xfreerdp, xrdp",
        Cell::of("tls-version-mismatch, likely", watched::old_tls),
        Cell::of("tls-version-mismatch, confirmed", probed::old_tls),
        NONE,
    ),
    no_common_suite: Row::new(
        "no common cipher suite", "scripted",
        Cell::of("tls-cipher-mismatch, confirmed", || watched::alert(40)),
        Cell::of("tls-cipher-mismatch, likely", || probed::alert(40)),
        NONE,
    ),
    an_unusable_key: Row::new(
        "server drops every ClientHello (MachineKeys)", "scripted",
        Cell::of("server-key-unusable, likely", watched::drops_client_hello),
        Cell::of("server-key-unusable, likely", probed::drops_client_hello),
        NONE,
    ),
    a_reset_at_the_client_hello: Row::new(
        "RST to the ClientHello", "nftables",
        Cell::of("server-key-unusable, likely", || watched::network_in_tls("tcp dport 3389 @ih,0,16 0x1603 reject with tcp reset")),
        Cell::of("server-key-unusable, likely", || probed::network("tcp dport 3389 @ih,0,16 0x1603 reject with tcp reset")),
        Cell::of("server-key-unusable, likely", || captured::connection("lab/rst-after-clienthello.pcapng", 13420, 0)),
    ),
    client_hellos_are_lost: Row::new(
        "ClientHello lost on the way", "nftables",
        Cell::of("tls-stalled, likely", || watched::network_in_tls("tcp dport 3389 @ih,0,16 0x1603 drop")),
        Cell::of("tls-stalled, likely", || probed::network("tcp dport 3389 @ih,0,16 0x1603 drop")),
        Cell::of("tls-stalled, likely", || on_the_wire::network_in_tls("tcp dport 3389 @ih,0,16 0x1603 drop")),
    ),
    large_segments_are_lost: Row::new(
        "path MTU black hole", "nftables",
        NONE,
        Cell::of("tls-stalled, confirmed", on_the_way::takes_only_small_segments),
        Cell::of("tls-stalled, likely", on_the_wire::large_segments_are_lost),
    ),
    udp_is_dropped: Row::new(
        "UDP blocked, sessions run over TCP", "scripted; nftables",
        Cell::of("healthy, confirmed; finding udp-blocked", on_the_way::session_without_udp),
        Cell::of("healthy, confirmed; finding udp-blocked", on_the_way::udp_is_dropped),
        Cell::of("healthy, confirmed; finding udp-blocked", on_the_wire::session_without_udp),
    ),
    udp_is_half_open: Row::new(
        "UDP opened, then nothing", "nftables",
        NONE, Cell::of("healthy, confirmed; finding udp-half-open", on_the_way::udp_is_half_open), NONE,
    ),
    packets_are_lost: watched_only(
        "three of four packets lost", "nftables", "link-lossy, likely", on_the_way::loses_packets,
    ).captured(
        "link-lossy, likely", on_the_wire::loses_packets,
    ),
    packets_are_held_up: watched_only(
        "a way with 1 kbit/s", "tc", "link-slow, likely", on_the_way::holds_up_packets,
    ),
    an_idle_connection_is_forgotten: watched_only(
        "an idle connection is forgotten on the way", "scripted, a minute of silence",
        "idle-timeout, likely", watched::forgotten,
    ).captured(
        "idle-timeout, likely", on_the_wire::forgotten,
    ),
    an_expired_certificate: Row::new(
        "certificate expired, client says so", "scripted TLS 1.2; xrdp",
        Cell::of("certificate-expired, confirmed", || watched::refused_by_alert(&certificates().expired)),
        Cell::of("certificate-expired, likely", || probed::xrdp_shows(&certificates().expired)),
        NONE,
    ),
    an_expired_certificate_in_silence: Row::new(
        "certificate expired, client just leaves", "xfreerdp, xrdp, TLS 1.2",
        Cell::of("certificate-expired, likely", || watched::xfreerdp_refuses(&certificates().expired, "TLSv1.2")),
        NONE, NONE,
    ),
    an_expired_certificate_in_tls13: Row::new(
        "certificate expired, hidden by TLS 1.3", "xfreerdp, xrdp",
        Cell::of("certificate-rejected, likely", || watched::xfreerdp_refuses(&certificates().expired, "TLSv1.3")),
        NONE,
        Cell::of("certificate-rejected, likely", || captured::connection("lab/xrdp-cert-expired-rejected.pcapng", 13390, 0)),
    ),
    a_certificate_of_tomorrow: Row::new(
        "certificate not valid yet", "xfreerdp, xrdp, TLS 1.2",
        Cell::of("certificate-not-yet-valid, likely", || watched::xfreerdp_refuses(&certificates().not_yet_valid, "TLSv1.2")),
        Cell::of("certificate-not-yet-valid, likely", || probed::xrdp_shows(&certificates().not_yet_valid)),
        NONE,
    ),
    a_certificate_for_another_name: Row::new(
        "certificate for another name", "xfreerdp, xrdp, TLS 1.2",
        Cell::of("certificate-name-mismatch, likely", || watched::xfreerdp_refuses(&certificates().wrong_name, "TLSv1.2")),
        Cell::of("certificate-name-mismatch, likely", probed::for_another_name),
        NONE,
    ),
    an_unknown_issuer: Row::new(
        "certificate of nobody the client knows", "scripted TLS 1.2; xrdp",
        Cell::of("certificate-untrusted, confirmed", || watched::refused_by_alert(&certificates().self_signed)),
        Cell::of("healthy, confirmed", || probed::xrdp_shows(&certificates().self_signed)),
        NONE,
    ),
    a_certificate_for_clients: Row::new(
        "certificate not for servers", "scripted; xrdp",
        Cell::of("certificate-wrong-usage, likely", watched::for_other_uses),
        Cell::of("certificate-wrong-usage, likely", probed::for_other_uses),
        NONE,
    ),
    a_short_key: Row::new(
        "certificate with a key of 1024 bits", "xrdp",
        NONE,
        Cell::of("certificate-weak, possible", probed::short_key),
        NONE,
    ),
    a_revoked_certificate: watched_only(
        "certificate revoked", "scripted", "certificate-revoked, confirmed", watched::revoked,
    ),
    tls_is_inspected: Row::new(
        "TLS inspection", "scripted; xrdp",
        Cell::of("tls-inspected, likely", watched::inspected),
        Cell::of("tls-inspected, likely", probed::inspected),
        NONE,
    ),
    a_client_leaves_after_tls13: watched_only(
        "client leaves after a handshake that hides all", "scripted",
        "certificate-rejected, likely", || watched::leaves_after(&TLS13),
    ),
    a_wrong_password: watched_only(
        "wrong password", "scripted NLA, terminated", "nla-logon-failed, confirmed", || watched::nla_status(0xc000_006d),
    ),
    a_wrong_password_behind_tls: watched_only(
        "wrong password, hidden by TLS", "xfreerdp, FreeRDP shadow", "server-closed, likely",
        watched::wrong_password_behind_tls,
    ),
    a_locked_account: watched_only(
        "account locked", "scripted NLA, terminated", "nla-account-locked, confirmed", || watched::nla_status(0xc000_0234),
    ),
    a_disabled_account: watched_only(
        "account disabled", "scripted NLA, terminated", "nla-account-disabled, confirmed", || watched::nla_status(0xc000_0072),
    ),
    an_expired_password: watched_only(
        "password expired", "scripted NLA, terminated", "nla-password-expired, confirmed", || watched::nla_status(0xc000_0071),
    ),
    a_restricted_account: watched_only(
        "account restricted", "scripted NLA, terminated", "nla-account-restricted, confirmed", || watched::nla_status(0xc000_006e),
    ),
    a_logon_type_that_is_not_granted: watched_only(
        "logon type not granted", "scripted NLA, terminated", "nla-logon-type-denied, confirmed", || watched::nla_status(0xc000_015b),
    ),
    clocks_that_differ: Row::new(
        "clocks apart", "scripted NLA",
        Cell::of("nla-clock-skew, confirmed", || watched::nla_status(0xc000_0133)),
        Cell::of("nla-clock-skew, likely", probed::clock_is_wrong),
        NONE,
    ),
    an_old_credssp: Row::new(
        "CredSSP updates apart", "scripted NLA",
        Cell::of("nla-encryption-oracle, confirmed", watched::nla_versions_apart),
        Cell::of("nla-encryption-oracle, possible", probed::old_credssp),
        NONE,
    ),
    ntlm_is_refused: Row::new(
        "NTLM refused", "scripted NLA",
        Cell::of("nla-ntlm-refused, confirmed", || watched::nla_status(0xc000_0418)),
        Cell::of("nla-ntlm-refused, likely", || probed::nla_refused(0xc000_0418)),
        NONE,
    ),
    another_key_in_the_way: watched_only(
        "another TLS key in the way", "scripted NLA, terminated", "nla-key-binding, confirmed", || watched::nla_status(0x8009_0346),
    ),
    no_domain_controller: watched_only(
        "no domain controller", "scripted NLA, terminated", "nla-no-authority, confirmed", || watched::nla_status(0xc000_005e),
    ),
    a_user_who_may_not: watched_only(
        "user may not log on", "scripted session", "authorization-denied, confirmed", || watched::error_info(0x9),
    ),
    no_licence: watched_only(
        "licensing", "scripted session", "licensing-failed, confirmed", || watched::error_info(0x102),
    ),
    the_server_denies: watched_only(
        "server denies the connection", "scripted session", "server-denied, confirmed", || watched::error_info(0x7),
    ),
    too_many_sessions: watched_only(
        "no session host has room", "scripted session", "session-limit, confirmed", || watched::error_info(0x408),
    ),
    another_takes_the_session: watched_only(
        "another connection takes the session", "scripted session", "session-taken, confirmed", || watched::error_info(0x5),
    ),
    the_server_shuts_down: watched_only(
        "server shuts down", "scripted session", "server-shutdown, confirmed", || watched::error_info(0x19),
    ),
    the_session_was_idle: watched_only(
        "idle limit of the server", "scripted session", "idle-limit, confirmed", || watched::error_info(0x3),
    ),
    an_administrator_disconnects: watched_only(
        "administrator disconnects", "scripted session", "admin-disconnect, confirmed", || watched::error_info(0x1),
    ),
    the_protocol_is_broken: watched_only(
        "a PDU that the server cannot read", "scripted session", "protocol-error, confirmed", || watched::error_info(0x10c9),
    ),
    a_broker_redirects: watched_only(
        "a broker sends the client elsewhere", "scripted session", "redirected-away, confirmed", watched::redirected,
    ),
    a_gateway_over_websocket: watched_only(
        "none: a gateway over WebSocket", "xfreerdp, the tests' gateway, xrdp",
        "healthy, likely", || gateways::works(By::WebSocket),
    ).probed(
        "healthy, confirmed", gateways_probed::works,
    ).ten_times(),
    a_gateway_over_two_connections: watched_only(
        "none: a gateway over two connections", "xfreerdp, the tests' gateway, xrdp",
        "healthy, likely", || gateways::works(By::TwoConnections),
    ).ten_times(),
    a_gateway_behind_haproxy: watched_only(
        "none: a gateway behind haproxy", "xfreerdp, haproxy", "healthy, likely", gateways::behind_clean_haproxy,
    ).probed(
        "healthy, confirmed", || gateways_probed::with_logon_behind_haproxy(""),
    ).ten_times(),
    a_gateway_behind_nginx: watched_only(
        "none: a gateway behind nginx that buffers nothing", "xfreerdp, nginx",
        "healthy, likely", || gateways::behind_nginx(Nginx::default().location, By::WebSocket),
    ).probed(
        "healthy, confirmed", || gateways_probed::behind_nginx(Nginx::default().location),
    ),
    a_gateways_own_certificate: watched_only(
        "none: NTLM bound to TLS, --cert file: with the gateway's own", "xfreerdp, the tests' gateway",
        "healthy, likely", gateways::bound_to_the_gateways_own,
    ),
    a_gateway_where_nobody_listens: watched_only(
        "gateway does not listen", "xfreerdp, a free port", "gateway-unreachable, confirmed", gateways::nobody_listens,
    ).probed(
        "gateway-unreachable, confirmed", gateways_probed::nobody_listens,
    ),
    a_gateway_that_is_not_behind: watched_only(
        "nothing behind the box that answers for the gateway", "xfreerdp, haproxy",
        "gateway-unreachable, likely", gateways::nobody_behind,
    ).probed(
        "gateway-unreachable, likely", gateways_probed::nobody_behind,
    ),
    a_gateway_that_is_a_web_server: watched_only(
        "a web server where the gateway should be", "xfreerdp, nginx",
        "gateway-not-a-gateway, likely", gateways::a_web_server,
    ).probed(
        "gateway-not-a-gateway, likely", gateways_probed::a_web_server,
    ),
    methods_that_nginx_forbids: watched_only(
        "a box forbids the gateway's methods with 403", "xfreerdp, nginx",
        "gateway-transport-blocked, likely", || gateways::behind_nginx(&[Nginx::METHODS_403], By::WebSocket),
    ).probed(
        "gateway-transport-blocked, likely", || gateways_probed::behind_nginx(&[Nginx::METHODS_403]),
    ),
    methods_that_nginx_does_not_know: watched_only(
        "a box forbids the gateway's methods with 405", "xfreerdp, nginx",
        "gateway-not-a-gateway, likely", || gateways::behind_nginx(&[Nginx::METHODS_405], By::WebSocket),
    ).probed(
        "gateway-not-a-gateway, likely", || gateways_probed::behind_nginx(&[Nginx::METHODS_405]),
    ),
    methods_that_haproxy_forbids: watched_only(
        "the same, without a name", "xfreerdp, haproxy",
        "gateway-transport-blocked, likely", || gateways::behind_haproxy(Haproxy::METHODS_403, By::TwoConnections),
    ).probed(
        "gateway-transport-blocked, confirmed", || gateways_probed::behind_haproxy(Haproxy::METHODS_403),
    ),
    a_key_that_haproxy_refuses: watched_only(
        "a box refuses WebSocket for the client's odd key", "xfreerdp, haproxy",
        "gateway-transport-blocked, likely", gateways::haproxy_refuses_the_key,
    ),
    an_upgrade_that_is_not_forwarded: watched_only(
        "WebSocket not forwarded, the client does not fall back", "xfreerdp, haproxy",
        "gateway-transport-blocked, likely", || gateways::behind_haproxy(Haproxy::NO_UPGRADE, By::WebSocket),
    ).probed(
        "healthy, confirmed", || gateways_probed::behind_haproxy(Haproxy::NO_UPGRADE),
    ),
    an_upgrade_without_an_answer: watched_only(
        "WebSocket swallowed on the way", "scripted client", "gateway-transport-blocked, likely",
        || gateways::websocket_that_hangs(Upgrade::Unanswered),
    ).probed(
        "gateway-transport-blocked, likely", || gateways_probed::websocket(Upgrade::Unanswered),
    ),
    an_upgrade_that_leads_nowhere: watched_only(
        "101, and nothing passes behind it", "scripted client", "gateway-transport-blocked, likely",
        || gateways::websocket_that_hangs(Upgrade::Dead),
    ).probed(
        "gateway-transport-blocked, likely", || gateways_probed::websocket(Upgrade::Dead),
    ),
    only_http_2: watched_only(
        "a box that speaks HTTP/2 alone", "xfreerdp, haproxy", "gateway-transport-blocked, possible", gateways::only_http_2,
    ).probed(
        "gateway-transport-blocked, confirmed", gateways_probed::only_http_2,
    ),
    an_out_channel_that_nginx_buffers: watched_only(
        "responses buffered", "scripted client, nginx",
        "gateway-response-malformed, likely", gateways::out_channel_is_buffered,
    ).probed(
        "gateway-response-malformed, likely", || gateways_probed::behind_nginx(&[Nginx::UPGRADE, Nginx::DIRECT_REQUESTS]),
    ),
    an_in_channel_that_nginx_buffers: watched_only(
        "requests buffered", "scripted client, nginx",
        "gateway-response-malformed, likely", gateways::in_channel_is_buffered_by_nginx,
    ).probed(
        "gateway-response-malformed, likely", || gateways_probed::behind_nginx(&[Nginx::UPGRADE, Nginx::DIRECT_RESPONSES]),
    ),
    an_in_channel_that_haproxy_buffers: watched_only(
        "requests buffered, without a name", "scripted client, haproxy",
        "gateway-response-malformed, likely", gateways::in_channel_is_buffered_by_haproxy,
    ).probed(
        "gateway-response-malformed, likely", || gateways_probed::behind_haproxy(Haproxy::BUFFERED_REQUESTS),
    ),
    an_out_channel_in_chunks: watched_only(
        "chunks put into the OUT channel, the client takes them", "xfreerdp, nginx",
        "healthy, likely; finding gateway-response-malformed",
        || gateways::behind_nginx(&[Nginx::DIRECT_RESPONSES, Nginx::DIRECT_REQUESTS], By::TwoConnections),
    ).probed(
        "gateway-response-malformed, likely", || gateways_probed::behind_nginx(&[Nginx::DIRECT_RESPONSES, Nginx::DIRECT_REQUESTS]),
    ),
    ntlm_over_changing_connections: watched_only(
        "a box changes connections under NTLM", "xfreerdp, nginx",
        "gateway-auth-failed, likely", gateways::ntlm_over_changing_connections,
    ).probed(
        "healthy, likely", gateways_probed::with_logon_behind_nginx,
    ),
    ntlm_over_closed_connections: watched_only(
        "a box closes connections under NTLM", "xfreerdp, haproxy",
        "gateway-response-malformed, likely", gateways::ntlm_over_closed_connections,
    ).probed(
        "gateway-response-malformed, likely", || gateways_probed::with_logon_behind_haproxy(Haproxy::CLOSE),
    ),
    a_wrong_password_for_the_gateway: watched_only(
        "wrong password for the gateway", "xfreerdp, the tests' gateway",
        "gateway-auth-failed, confirmed", gateways::wrong_password,
    ),
    a_logon_bound_to_another_certificate: watched_only(
        "NTLM bound to TLS, and TLS terminated in between", "xfreerdp, the tests' gateway",
        "gateway-channel-binding, likely", gateways::bound_to_another_certificate,
    ),
    a_gateways_expired_certificate: watched_only(
        "gateway's certificate expired, client leaves", "xfreerdp, the tests' gateway, TLS 1.2",
        "certificate-expired, possible", gateways::expired_certificate,
    ).probed(
        "certificate-expired, likely", gateways_probed::expired_certificate,
    ),
    a_connection_policy: watched_only(
        "connection policy (CAP)", "xfreerdp, the tests' gateway", "gateway-policy-denied, confirmed",
        || gateways::in_the_tunnel(|tunnel| tunnel.authorization_error = 0x8007_59DB),
    ),
    a_resource_policy: watched_only(
        "resource policy (RAP)", "xfreerdp, the tests' gateway", "gateway-policy-denied, confirmed",
        || gateways::in_the_tunnel(|tunnel| tunnel.channel_error = 0x8007_59DA),
    ),
    a_target_that_the_gateway_cannot_reach: watched_only(
        "gateway cannot reach the target", "xfreerdp, the tests' gateway",
        "gateway-target-unreachable, confirmed", gateways::target_is_not_there,
    ),
    a_gateway_that_is_full: watched_only(
        "gateway has no connection left", "xfreerdp, the tests' gateway", "gateway-limit, confirmed",
        || gateways::in_the_tunnel(|tunnel| tunnel.tunnel_error = 0x59E6),
    ),
    a_cookie_that_is_refused: watched_only(
        "gateway refuses the cookie", "xfreerdp, the tests' gateway", "gateway-auth-failed, confirmed",
        || gateways::in_the_tunnel(|tunnel| tunnel.tunnel_error = 0x8007_59F8),
    ),
    a_gateway_that_speaks_nothing_but_rpc: watched_only(
        "none: a gateway with RPC alone, to which the client falls back", "xfreerdp, the tests' gateway",
        "healthy, likely; finding gateway-transport-fallback", gateways::nothing_but_rpc,
    ),
    a_call_that_rpc_is_refused: watched_only(
        "resource policy (RAP), over RPC", "xfreerdp, the tests' gateway", "gateway-policy-denied, confirmed",
        || gateways::in_the_tunnel_of_rpc(|tunnel| tunnel.channel_error = 0x8007_59DA),
    ),
    a_box_that_forgets_idle_sessions: watched_only(
        "idle sessions forgotten after 3 s, twice", "xfreerdp, haproxy", "idle-timeout, likely",
        gateways::cut_when_idle,
    ),
    tls_taken_apart_on_one_of_two_ways: watched_only(
        "TLS with the gateway taken apart on one of two ways", "xfreerdp, haproxy",
        "healthy, likely; finding tls-inspected", gateways::inspected_on_one_of_two_ways,
    ).probed(
        "tls-inspected, likely", gateways_probed::inspected_on_one_of_two_ways,
    ),
    a_side_channel_that_is_swallowed: watched_only(
        "the gateway's UDP swallowed on the way", "scripted client, the tests' gateway", "udp-blocked, possible",
        gateways::side_channel_is_swallowed,
    ),
}
