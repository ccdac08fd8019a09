//! An RDP server in this process, on the ironrdp crates: the only one at hand that speaks HYBRID_EX.

use crate::support::certificates::Certificate;
use ironrdp_acceptor::{
    Acceptor, BeginResult, ConnectorResult, DesktopSize, accept_begin, accept_credssp, accept_finalize,
};
use ironrdp_connector::sspi::NetworkRequest;
use ironrdp_connector::{ServerName, general_err};
use ironrdp_pdu::nego::SecurityProtocol;
use ironrdp_pdu::rdp::capability_sets::{
    Bitmap, BitmapDrawingFlags, CapabilitySet, General, Input, InputFlags, Order, OrderFlags,
    OrderSupportExFlags, Pointer, VirtualChannel, VirtualChannelFlags,
};
use ironrdp_pdu::rdp::client_info::Credentials;
use ironrdp_tokio::{LocalTokioFramed, NetworkClient};
use rdpscope::intercept::tls::subject_public_key;
use rustls::ServerConfig;
use rustls::crypto::ring;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

/// How long a client may take for all of it.
const SESSION_WITHIN: Duration = Duration::from_secs(60);

const DESKTOP: DesktopSize = DesktopSize { width: 800, height: 600 };

/// How far one connection came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reached {
    /// TLS is up.
    Tls,
    /// CredSSP is done, and under HYBRID_EX its result is sent.
    Credssp,
    /// The session is active.
    Active,
    /// It ended before that.
    Failed(String),
}

/// A running server with one account; it holds each session until its client leaves.
#[derive(Debug)]
pub(crate) struct Iron {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    reached: mpsc::Receiver<Reached>,
    _stop: oneshot::Sender<()>,
}

impl Iron {
    /// Offers `security`, which is `HYBRID`, `HYBRID_EX` or both, over TLS with `certificate`.
    pub(crate) fn start(
        security: SecurityProtocol,
        certificate: &Certificate,
        user: &str,
        password: &str,
    ) -> Iron {
        let (chain, key) = certificate.for_rustls();
        let public_key = subject_public_key(&chain[0]).expect("the test certificate is one");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has every version")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("key and certificate belong together");
        let credentials =
            Credentials { username: user.to_owned(), password: password.to_owned(), domain: None };
        let (report, reached) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let (tell_address, address) = mpsc::channel();
        let server =
            Server { security, tls: TlsAcceptor::from(Arc::new(config)), public_key, credentials, report };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let serving = async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
                let address = listener.local_addr().expect("it is bound");
                tell_address.send(address).expect("the starter waits");
                server.serve(listener, stopped).await;
            };
            // The acceptor's futures stay on their thread.
            LocalSet::new().block_on(&runtime.expect("a runtime is made"), serving);
        });
        Iron { address: address.recv().expect("the server starts"), reached, _stop: stop }
    }

    /// The next thing that a connection reached.
    pub(crate) fn next(&self) -> Reached {
        self.reached.recv_timeout(SESSION_WITHIN).expect("a client comes this far or fails")
    }

    /// Everything that the connections so far reached, up to the first that is active or failed.
    pub(crate) fn outcome(&self) -> Vec<Reached> {
        let mut all = vec![self.next()];
        while matches!(all.last(), Some(Reached::Tls | Reached::Credssp)) {
            all.push(self.next());
        }
        all
    }
}

#[derive(Clone)]
struct Server {
    security: SecurityProtocol,
    tls: TlsAcceptor,
    public_key: Vec<u8>,
    credentials: Credentials,
    report: mpsc::Sender<Reached>,
}

impl Server {
    /// Until the other half of `stopped` is dropped.
    async fn serve(self, listener: TcpListener, mut stopped: oneshot::Receiver<()>) {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted.expect("the listener lives").0,
                _ = &mut stopped => return,
            };
            let server = self.clone();
            tokio::task::spawn_local(async move {
                let session = tokio::time::timeout(SESSION_WITHIN, server.session(stream)).await;
                let failure = match session {
                    Ok(Ok(())) => return,
                    Ok(Err(failure)) => failure,
                    Err(_) => "time is up".to_owned(),
                };
                // Nobody may be left to hear it.
                let _ = server.report.send(Reached::Failed(failure));
            });
        }
    }

    async fn session(&self, stream: TcpStream) -> Result<(), String> {
        let credentials = Some(self.credentials.clone());
        let mut acceptor = Acceptor::new(self.security, DESKTOP, capabilities(), credentials);
        let begun = accept_begin(LocalTokioFramed::new(stream), &mut acceptor).await.map_err(text)?;
        let BeginResult::ShouldUpgrade(stream) = begun else { return Err("it wants no TLS".to_owned()) };
        let stream = self.tls.accept(stream).await.map_err(|error| error.to_string())?;
        acceptor.mark_security_upgrade_as_done();
        self.tell(Reached::Tls);

        let mut framed = LocalTokioFramed::new(stream);
        let name = ServerName::new("iron");
        let key = self.public_key.clone();
        accept_credssp(&mut framed, &mut acceptor, &mut NoNetwork, name, key, None).await.map_err(text)?;
        self.tell(Reached::Credssp);
        let (framed, _) = accept_finalize(framed, &mut acceptor).await.map_err(text)?;
        self.tell(Reached::Active);

        let (mut stream, _) = framed.into_inner();
        // What a session is about is not this server's: it listens until its client leaves.
        let mut input = [0; 4096];
        while stream.read(&mut input).await.is_ok_and(|count| count > 0) {}
        Ok(())
    }

    fn tell(&self, reached: Reached) {
        let _ = self.report.send(reached);
    }
}

/// NTLM asks nobody.
struct NoNetwork;

impl NetworkClient for NoNetwork {
    async fn send(&mut self, _: &NetworkRequest) -> ConnectorResult<Vec<u8>> {
        Err(general_err!("there is no network"))
    }
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// The fewest that a client takes.
fn capabilities() -> Vec<CapabilitySet> {
    vec![
        CapabilitySet::General(General { protocol_version: 0x0200, ..General::default() }),
        CapabilitySet::Bitmap(Bitmap {
            pref_bits_per_pix: 32,
            desktop_width: DESKTOP.width,
            desktop_height: DESKTOP.height,
            desktop_resize_flag: true,
            drawing_flags: BitmapDrawingFlags::empty(),
        }),
        CapabilitySet::Order(Order::new(
            OrderFlags::NEGOTIATE_ORDER_SUPPORT | OrderFlags::ZERO_BOUNDS_DELTAS_SUPPORT,
            OrderSupportExFlags::empty(),
            0,
            0,
        )),
        CapabilitySet::Pointer(Pointer { color_pointer_cache_size: 25, pointer_cache_size: 25 }),
        CapabilitySet::Input(Input {
            input_flags: InputFlags::SCANCODES | InputFlags::UNICODE,
            keyboard_layout: 0,
            keyboard_type: None,
            keyboard_subtype: 0,
            keyboard_function_key: 0,
            keyboard_ime_filename: String::new(),
        }),
        CapabilitySet::VirtualChannel(VirtualChannel {
            flags: VirtualChannelFlags::NO_COMPRESSION,
            chunk_size: None,
        }),
    ]
}
