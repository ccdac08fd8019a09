//! A server that negotiates TLS as Windows does, presents a certificate that expired twelve days ago or a renewed one,
//! and gives whoever goes on a session.

use super::{DemoError, io_error, session};
use crate::trace::Side;
use crate::wire::x224::{self, LONGEST_TPDU};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The name in the demo server's certificate.
pub const SERVER_NAME: &str = "srv10.corp.example";
const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;
/// How long the certificate has been expired.
const EXPIRED_SINCE: i64 = 12 * DAY;
/// Windows' own Remote Desktop certificates are valid for about six months.
const VALIDITY: i64 = 182 * DAY;
/// X.224 Connection Confirm with RDP_NEG_RSP: PROTOCOL_SSL selected (MS-RDPBCGR 2.2.1.2).
const CONFIRM_SSL: [u8; 19] = [3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0x1f, 8, 0, 1, 0, 0, 0];

/// The certificate that the server presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemoCertificate {
    /// One that expired twelve days ago.
    Expired,
    /// One made an hour ago.
    Renewed,
}

/// A listening demo server.
pub struct DemoServer {
    listener: TcpListener,
    tls: TlsAcceptor,
    address: SocketAddr,
}

impl DemoServer {
    /// Listens on a free port of loopback; `now` in seconds since 1970.
    pub async fn bind(certificate: DemoCertificate, now: i64) -> Result<DemoServer, DemoError> {
        let end = match certificate {
            DemoCertificate::Expired => now - EXPIRED_SINCE,
            DemoCertificate::Renewed => now + VALIDITY - HOUR,
        };
        let minted = rdpscope_certs::mint::self_signed(SERVER_NAME, end - VALIDITY, end)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(minted.key.pkcs8().to_vec()));
        let chain = minted.chain.into_iter().map(CertificateDer::from).collect();
        // Every Windows before 11 and Server 2022 answers with TLS 1.2, in which the certificate is readable.
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(io_error("server", "listen"))?;
        let address = listener.local_addr().map_err(io_error("server", "listen"))?;
        Ok(DemoServer { listener, tls: TlsAcceptor::from(Arc::new(config)), address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves clients one after the other until the future is dropped.
    pub async fn run(self) -> Result<(), DemoError> {
        loop {
            let (stream, _) = self.listener.accept().await.map_err(io_error("server", "accept"))?;
            // A client that breaks off is what this demo is about.
            let _ = self.serve(stream).await;
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut request = Vec::new();
        while let Ok(None) = x224::decode(&request) {
            let mut byte = [0; LONGEST_TPDU];
            let count = stream.read(&mut byte).await?;
            if count == 0 {
                return Ok(());
            }
            request.extend_from_slice(&byte[..count]);
        }
        stream.write_all(&CONFIRM_SSL).await?;
        let mut stream = self.tls.accept(stream).await?;
        if let Err(error) = session::play(&mut stream, Side::Server).await {
            // The client leaves first, as in the story that is told: its own end of TCP comes a moment after its alert.
            stream.get_mut().0.read_to_end(&mut Vec::new()).await?;
            return Err(error);
        }
        // What a client still says before it closes.
        stream.read_to_end(&mut Vec::new()).await?;
        stream.shutdown().await
    }
}
