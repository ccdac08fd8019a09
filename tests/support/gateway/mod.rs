//! A Remote Desktop Gateway of the tests' own (MS-TSGU), since nobody packages one: it carries real sessions, by
//! WebSocket and by two HTTP connections, and has every fault that a gateway may have.

mod authentication;
mod client;
mod connection;
mod desktop;
mod http;
mod key_log;
mod log;
pub(crate) mod packet;
mod rpc;
mod rpc_pdu;
mod setup;
mod ts_proxy;
pub(crate) mod tunnel;
mod two_connections;
pub(crate) mod udp;
pub(crate) mod websocket;

pub(crate) use client::{Channel, Client};
pub(crate) use desktop::{PHASES, assert_healthy_desktop};
pub(crate) use log::{Seen, What};
pub(crate) use setup::{
    ChannelBindings, GATEWAY_PATH, Http, InChannel, Logon, PASSWORD, RPC_PATH, Setup, Tunnel, USER, Upgrade,
    address_with_port_443, way,
};

use crate::support::certificates::certificates;
use connection::Shared;
use log::Log;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

/// A running gateway, ended with all its connections when its value is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    /// Starts it; it listens when this returns.
    pub(crate) fn start(setup: Setup<'_>) -> Gateway {
        let Setup {
            address,
            certificate,
            tls_versions,
            wants_client_certificate,
            key_log,
            logon,
            http,
            tunnel,
        } = setup;
        let (chain, key) = certificate.for_rustls();
        let der = chain[0].to_vec();
        let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(tls_versions)
            .expect("ring has every version");
        let tls = if wants_client_certificate {
            tls.with_client_cert_verifier(of_the_authority())
        } else {
            tls.with_no_client_auth()
        };
        let mut tls = tls.with_single_cert(chain, key).expect("key and certificate belong together");
        // As Windows' HTTP service, which also offers h2, and a client that may choose.
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        if let Some(path) = key_log {
            tls.key_log = Arc::new(key_log::KeyLogFile::create(path));
        }
        let tls = TlsAcceptor::from(Arc::new(tls));
        let log = Arc::new(Log::default());
        let (stop, stopped) = oneshot::channel();
        let (tell_address, told) = mpsc::channel();
        let for_connections = log.clone();
        let thread = std::thread::spawn(move || {
            let shared = Rc::new(Shared {
                logon,
                http,
                tunnel,
                certificate: der,
                log: for_connections,
                waiting: RefCell::default(),
                successors: RefCell::default(),
                waits: Notify::new(),
            });
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let serving = async {
                let listener = TcpListener::bind(address).await.expect("the address is free");
                tell_address.send(listener.local_addr().expect("it is bound")).expect("the starter waits");
                accept_all(listener, tls, shared, stopped).await;
            };
            // NTLM's state stays on its thread.
            LocalSet::new().block_on(&runtime.expect("a runtime is made"), serving);
        });
        let address = told.recv().expect("the gateway starts");
        Gateway { address, log, stop: Some(stop), thread: Some(thread) }
    }

    /// Everything that it saw so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.all()
    }

    /// The first that is `wanted`, of what it saw and of what it sees `within` this time.
    pub(crate) fn wait_for(&self, within: Duration, wanted: impl Fn(&What) -> bool) -> Option<Seen> {
        self.log.wait_for(within, wanted)
    }

    /// The heads of all requests, as they came.
    pub(crate) fn requests(&self) -> Vec<String> {
        let request = |seen: Seen| match seen.what {
            What::Request(head) => Some(String::from_utf8_lossy(&head).into_owned()),
            _ => None,
        };
        self.seen().into_iter().filter_map(request).collect()
    }

    /// How many TCP connections came as far as TLS.
    pub(crate) fn connections(&self) -> usize {
        self.seen().iter().filter(|seen| matches!(seen.what, What::Connected { .. })).count()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What it panicked with is printed already.
            let _ = thread.join();
        }
    }
}

/// Takes clients with a certificate of the tests' authority, and no others.
fn of_the_authority() -> Arc<dyn ClientCertVerifier> {
    let mut roots = RootCertStore::empty();
    roots.add(certificates().authority_der.clone()).expect("the authority is a certificate");
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("there is a root")
}

/// Until the other half of `stopped` is dropped.
async fn accept_all(
    listener: TcpListener,
    tls: TlsAcceptor,
    shared: Rc<Shared>,
    mut stopped: oneshot::Receiver<()>,
) {
    for number in 0.. {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.expect("the listener lives").0,
            _ = &mut stopped => return,
        };
        tokio::task::spawn_local(connection::serve(shared.clone(), number, stream, tls.clone()));
    }
}
