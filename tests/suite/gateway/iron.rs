//! The client of ironrdp through rdpscope: the one client at hand that logs on with Basic, and the one that checks the
//! signature of each PDU of RPC.

use super::relay;
use crate::gateway_peers::iron::{gateway, runtime, target};
use crate::support::gateway::{Gateway, Logon, PASSWORD, USER, What, assert_healthy_desktop};
use crate::support::left_out::left_out_without;
use crate::support::peers::Xrdp;
use crate::support::rdpscope::Finished;
use base64::prelude::{BASE64_STANDARD, Engine};
use ironrdp_connector::sspi::NetworkRequest;
use ironrdp_connector::{
    BitmapConfig, ClientConnector, Config, ConnectionOutcome, ConnectorResult, Credentials, DesktopSize,
    ServerName, general_err,
};
use ironrdp_mstsgu::{GwClient, RpchStream};
use ironrdp_pdu::gcc::{ConnectionType, KeyboardType};
use ironrdp_pdu::rdp::capability_sets::{BitmapCodecs, MajorPlatformType, RailSupportLevel};
use ironrdp_pdu::rdp::client_info::{PerformanceFlags, TimezoneInfo};
use ironrdp_tls::CertificateValidation::DangerouslyAcceptInvalidCertificate;
use ironrdp_tokio::{LocalTokioFramed, NetworkClient, connect_begin, connect_finalize, mark_as_upgraded};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// How long the client may take to the desktop.
const DESKTOP_WITHIN: Duration = Duration::from_secs(60);

/// How the client is to reach its gateway.
#[derive(Debug, Clone, Copy)]
enum By {
    Http,
    Rpc,
}

/// A client that asks for TLS and no logon, and for nothing that xrdp would have to compress.
fn config() -> Config {
    Config {
        desktop_size: DesktopSize { width: 800, height: 600 },
        monitor_layout: None,
        desktop_scale_factor: 0,
        desktop_physical_size: None,
        desktop_orientation: None,
        device_scale_factor: None,
        monitor_extended_layout: None,
        relative_mouse_input: false,
        enable_tls: true,
        enable_credssp: false,
        enable_standard_rdp_security: false,
        credentials: Credentials::UsernamePassword { username: "a".to_owned(), password: "b".to_owned() },
        domain: None,
        client_build: 1,
        client_name: "IRON".to_owned(),
        keyboard_type: KeyboardType::IBM_ENHANCED,
        keyboard_subtype: 0,
        keyboard_functional_keys_count: 12,
        keyboard_layout: 0x409,
        connection_type: ConnectionType::Lan,
        ime_file_name: String::new(),
        bitmap: Some(BitmapConfig {
            lossy_compression: false,
            color_depth: 16,
            codecs: BitmapCodecs(Vec::new()),
        }),
        dig_product_id: String::new(),
        client_dir: String::new(),
        alternate_shell: String::new(),
        work_dir: String::new(),
        remote_application_mode: false,
        rail_support_level: RailSupportLevel::empty(),
        platform: MajorPlatformType::UNIX,
        hardware_id: None,
        request_data: None,
        autologon: true,
        enable_audio_playback: false,
        enable_audio_capture: false,
        performance_flags: PerformanceFlags::default(),
        license_cache: None,
        timezone_info: TimezoneInfo::default(),
        compression_type: None,
        enable_server_pointer: false,
        pointer_software_rendering: true,
        multitransport_flags: None,
        support_dyn_vc_gfx_protocol: false,
    }
}

struct NoNetwork;

impl NetworkClient for NoNetwork {
    async fn send(&mut self, _: &NetworkRequest) -> ConnectorResult<Vec<u8>> {
        Err(general_err!("there is no network"))
    }
}

/// The whole sequence of a connection inside `tunnel`, to the desktop; then the client leaves.
async fn session<S>(tunnel: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connector = ClientConnector::new(config(), SocketAddr::from(([127, 0, 0, 1], 40_000)));
    let mut framed = LocalTokioFramed::new(tunnel);
    let begun = connect_begin(&mut framed, &mut connector).await.expect("the server takes TLS");
    let (stream, _) = framed.into_inner();
    let (stream, _) = ironrdp_tls::upgrade(stream, "localhost").await.expect("TLS inside the tunnel");
    let upgraded = mark_as_upgraded(begun, &mut connector);
    let mut framed = LocalTokioFramed::new(stream);
    let name = ServerName::new("localhost");
    let connected =
        connect_finalize(upgraded, connector, &mut framed, &mut NoNetwork, name, Vec::new(), None).await;
    let connected = connected.expect("the server goes to the end of the sequence");
    assert!(matches!(connected, ConnectionOutcome::Connected(_)));
    let (mut stream, _) = framed.into_inner();
    // Over two connections it waits for an answer to RDG_IN_DATA, which gateways end without.
    let _ = stream.shutdown().await;
}

/// The client through rdpscope with `flags` and `gateway` to a desktop.
fn desktop(gateway: &Gateway, xrdp: &Xrdp, by: By, flags: &[&str]) -> Finished {
    let relay = relay(xrdp.address, gateway.address, 1, flags);
    let target = target(relay.address, PASSWORD);
    runtime().block_on(async {
        let whole = async {
            match by {
                By::Http => {
                    let (tunnel, _) =
                        GwClient::connect_with_port(&target, "CLIENT", 3389).await.expect("a tunnel");
                    session(tunnel).await;
                }
                By::Rpc => {
                    let opened = RpchStream::connect_with_port_and_certificate_validation(
                        &target,
                        "CLIENT",
                        3389,
                        DangerouslyAcceptInvalidCertificate,
                        None,
                    );
                    let (tunnel, _) = opened.await.expect("a tunnel");
                    session(tunnel).await;
                }
            }
        };
        tokio::time::timeout(DESKTOP_WITHIN, whole).await.expect("it is done in time");
    });
    relay.finish()
}

fn assert_desktop(finished: &Finished, transport: &str) {
    let session = finished.session();
    assert_healthy_desktop(session);
    assert_eq!(session.summary()["transport"], transport, "{session}");
    assert_eq!(session.end()["closed_by"], "client", "{session}");
    finished.assert_nowhere(PASSWORD);
}

#[test]
fn each_logon_over_a_websocket() {
    if left_out_without(&["xrdp"]) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    for scheme in ["Basic", "NTLM", "Negotiate"] {
        let gateway = gateway(&xrdp, Logon { schemes: vec![scheme], ..Logon::default() });
        let finished = desktop(&gateway, &xrdp, By::Http, &[]);
        assert_desktop(&finished, "gateway-websocket");
        let logged_on = What::LoggedOn { scheme, user: USER.to_owned() };
        assert!(gateway.seen().iter().any(|seen| seen.what == logged_on), "{scheme}");
        let requests = finished.session().events_named("http_request");
        let offered = requests.iter().filter(|request| request["authorization"]["scheme"] == scheme);
        assert!(offered.count() > 0, "{}", finished.session());
        finished.assert_nowhere(&BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")));
    }
}

#[test]
fn over_two_connections_once_a_websocket_is_refused() {
    if left_out_without(&["xrdp"]) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = gateway(&xrdp, Logon { schemes: vec!["NTLM"], ..Logon::default() });
    let finished = desktop(&gateway, &xrdp, By::Http, &["--gateway-transport", "http"]);
    assert_desktop(&finished, "gateway-http");
}

#[test]
fn over_rpc() {
    if left_out_without(&["xrdp"]) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = gateway(&xrdp, Logon::default());
    let finished = desktop(&gateway, &xrdp, By::Rpc, &[]);
    assert_desktop(&finished, "gateway-rpc");
}
