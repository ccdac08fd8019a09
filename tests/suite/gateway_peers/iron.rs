//! The client of ironrdp, which was tried against Windows' gateway: another reading of the protocol than FreeRDP's. Over RPC
//! it checks the signature of each PDU.

use super::told;
use crate::support::gateway::{Gateway, Http, Logon, PASSWORD, Setup, Tunnel, USER, Upgrade};
use crate::support::left_out::left_out_without;
use crate::support::peers::Xrdp;
use crate::support::scripted::bytes::connection_request;
use ironrdp_mstsgu::{GwClient, GwConnectTarget, RpchStream};
use ironrdp_tls::CertificateValidation::DangerouslyAcceptInvalidCertificate;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// X.224 Connection Confirm with RDP Negotiation Response, all of it.
const CONFIRM: usize = 19;
/// How long each half may take.
const DONE_WITHIN: Duration = Duration::from_secs(20);

/// What the client is told of the gateway at `address`.
pub(crate) fn target(address: SocketAddr, password: &str) -> GwConnectTarget {
    GwConnectTarget {
        gw_endpoint: address.to_string(),
        gw_user: USER.to_owned(),
        gw_pass: password.to_owned(),
        smart_card: None,
        server: "server.example".to_owned(),
    }
}

/// Where the client runs.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    // ironrdp leaves the choice to the process; another test may have chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime is made")
}

/// A gateway that carries everybody to `xrdp`.
pub(crate) fn gateway(xrdp: &Xrdp, logon: Logon) -> Gateway {
    let tunnel = Tunnel { target: Some(xrdp.address), ..Tunnel::default() };
    Gateway::start(Setup { logon, tunnel, ..Setup::default() })
}

/// Asks the server for TLS through the tunnel.
async fn negotiate(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    stream.write_all(&connection_request("a", 1)).await.expect("the tunnel takes it");
    stream.flush().await.expect("the tunnel takes it");
    let mut confirm = [0; CONFIRM];
    stream.read_exact(&mut confirm).await.expect("the server answers");
    assert_eq!(confirm[..6], [3, 0, 0, 19, 14, 0xD0], "{confirm:02x?}");
    // Over two connections it waits for an answer to RDG_IN_DATA, which gateways end without.
    let _ = stream.shutdown().await;
}

#[test]
fn ironrdp_reaches_the_server_over_a_websocket() {
    if left_out_without(&["xrdp"]) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    for scheme in ["Negotiate", "NTLM", "Basic"] {
        let logon = Logon { schemes: vec![scheme], ..Logon::default() };
        let gateway = gateway(&xrdp, logon);
        runtime().block_on(async {
            let opened =
                GwClient::connect_with_port(&target(gateway.address, PASSWORD), "CLIENT", 3389).await;
            let (client, _) = opened.unwrap_or_else(|error| panic!("{error:?}\n{}", told(&gateway)));
            negotiate(client).await;
        });
    }
}

#[test]
fn ironrdp_reaches_the_server_over_rpc() {
    if left_out_without(&["xrdp"]) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = gateway(&xrdp, Logon::default());
    let target = target(gateway.address, PASSWORD);
    runtime().block_on(async {
        let opened = RpchStream::connect_with_port_and_certificate_validation(
            &target,
            "CLIENT",
            3389,
            DangerouslyAcceptInvalidCertificate,
            None,
        );
        let opened = tokio::time::timeout(DONE_WITHIN, opened).await;
        let opened = opened.unwrap_or_else(|_| panic!("it waits\n{}", told(&gateway)));
        let (client, _) = opened.unwrap_or_else(|error| panic!("{error:?}\n{}", told(&gateway)));
        let negotiated = tokio::time::timeout(DONE_WITHIN, negotiate(client)).await;
        assert!(negotiated.is_ok(), "{}", told(&gateway));
    });
}

#[test]
fn ironrdp_reaches_the_server_over_two_connections() {
    if left_out_without(&["xrdp"]) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let tunnel = Tunnel { target: Some(xrdp.address), ..Tunnel::default() };
    // With Basic it leaves the name and password out of the request that carries the channel.
    let logon = Logon { schemes: vec!["NTLM"], ..Logon::default() };
    let http = Http { upgrade: Upgrade::Ignored, ..Http::default() };
    let gateway = Gateway::start(Setup { logon, http, tunnel, ..Setup::default() });
    runtime().block_on(async {
        let target = target(gateway.address, PASSWORD);
        let opened = GwClient::connect_with_port(&target, "CLIENT", 3389);
        let opened = tokio::time::timeout(DONE_WITHIN, opened).await;
        let opened = opened.unwrap_or_else(|_| panic!("it waits\n{}", told(&gateway)));
        let (client, _) = opened.unwrap_or_else(|error| panic!("{error:?}\n{}", told(&gateway)));
        negotiate(client).await;
    });
    assert_eq!(gateway.connections(), 2, "{}", told(&gateway));
}
