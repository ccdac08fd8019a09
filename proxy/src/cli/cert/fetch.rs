//! The certificates that a server shows, asked for as an RDP client does: X.224, then TLS. What does not speak X.224
//! gets TLS at once.

mod tls;

use crate::explain;
use crate::relay::connect::{connect, plain_reason};
use crate::relay::resolve::resolve;
use crate::relay::target::Target;
use crate::wire::greeting::{TELLING_LENGTH, recognise};
use crate::wire::x224::{self, LONGEST_TPDU, Tpdu};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The port of HTTPS, where an RD Gateway is.
const HTTPS_PORT: u16 = 443;
/// Resolvers give up by themselves; this is for those that do not.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the answer to the connection request may take. A service that hangs never answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the handshake may take over a slow line.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// SSL, HYBRID and HYBRID_EX, which mstsc asks for too.
const PROTOCOLS: u32 = 1 | 2 | 8;

/// What a server showed.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Its certificates in DER, its own first.
    pub(super) chain: Vec<Vec<u8>>,
    /// The address that answered.
    pub(super) address: SocketAddr,
    /// The protocol that it selected by X.224; nothing where it got TLS at once.
    pub(super) selected_protocol: Option<String>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The name has no address.
    #[error("cannot resolve {host}: {reason}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// No address takes connections.
    #[error("cannot connect to {target}: {reason}; check the port and whether the service runs")]
    Connect {
        /// The server.
        target: Target,
        /// What the system said of the last address.
        reason: String,
    },
    /// RDP_NEG_FAILURE.
    #[error(
        "{target} refused the connection request with {name} ({code}): {meaning}; `rdpscope explain x224:{code}` says \
         what to try"
    )]
    Refused {
        /// The server.
        target: Target,
        /// Its failure code.
        code: u32,
        /// The same by name.
        name: String,
        /// What it means.
        meaning: String,
    },
    /// Classic RDP security.
    #[error(
        "{target} selected classic RDP security, which has no TLS certificate; set its SecurityLayer to 1 or 2"
    )]
    NoTls {
        /// The server.
        target: Target,
    },
    /// The handshake failed before a certificate came.
    #[error("TLS with {target} failed before it showed a certificate: {reason}")]
    Tls {
        /// The server.
        target: Target,
        /// Why.
        reason: String,
    },
    /// Neither this nor that.
    #[error("{target} speaks neither X.224 ({x224}) nor TLS ({tls}); check the port")]
    Neither {
        /// The server.
        target: Target,
        /// What came of the connection request.
        x224: String,
        /// What came of the handshake.
        tls: String,
    },
}

/// What came of the connection request.
enum Answer {
    /// TLS follows, with this protocol.
    Tls(String),
    /// No TLS follows.
    Final(FetchError),
    /// It is no RDP server, and why.
    NotRdp(String),
}

/// Asks `target` for its certificates and tells `say` where a way is given up for another.
pub(super) async fn fetch(target: &Target, say: impl Fn(&str)) -> Result<Fetched, FetchError> {
    let addresses = addresses(target).await?;
    if target.port == HTTPS_PORT {
        let (stream, address) = open(target, &addresses).await?;
        let chain = handshake(stream, target).await.map_err(|reason| tls_failed(target, reason))?;
        return Ok(Fetched { chain, address, selected_protocol: None });
    }
    let (mut stream, address) = open(target, &addresses).await?;
    let x224 = match negotiate(&mut stream, target).await {
        Answer::Tls(protocol) => {
            let chain = handshake(stream, target).await.map_err(|reason| tls_failed(target, reason))?;
            return Ok(Fetched { chain, address, selected_protocol: Some(protocol) });
        }
        Answer::Final(error) => return Err(error),
        Answer::NotRdp(reason) => reason,
    };
    say(&format!("{target} does not speak X.224 ({x224}): trying TLS at once on another connection"));
    drop(stream);
    let (stream, address) = open(target, &[address]).await?;
    match handshake(stream, target).await {
        Ok(chain) => Ok(Fetched { chain, address, selected_protocol: None }),
        Err(tls) => Err(FetchError::Neither { target: target.clone(), x224, tls }),
    }
}

async fn addresses(target: &Target) -> Result<Vec<SocketAddr>, FetchError> {
    let found = within(RESOLVE_TIMEOUT, resolve(target)).await;
    found.map_err(|error| FetchError::Resolve { host: target.host.clone(), reason: plain_reason(&error) })
}

async fn open(target: &Target, addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), FetchError> {
    let failed =
        |error: io::Error| FetchError::Connect { target: target.clone(), reason: plain_reason(&error) };
    let stream = connect(addresses, |_| ()).await.map_err(failed)?;
    let address = stream.peer_addr().map_err(failed)?;
    Ok((stream, address))
}

async fn negotiate(stream: &mut TcpStream, target: &Target) -> Answer {
    let mut answer = Vec::new();
    let exchanged = within(ANSWER_TIMEOUT, exchange(stream, &mut answer)).await;
    match (x224::decode(&answer), exchanged) {
        (Ok(Some((tpdu, _))), _) => judge(tpdu, target),
        (_, _) if !answer.is_empty() => {
            let what = recognise(&answer).unwrap_or("something else");
            Answer::NotRdp(format!("it answered with {what}"))
        }
        (_, Err(error)) => Answer::NotRdp(tls::why(&error)),
        (_, Ok(())) => Answer::NotRdp("it closed the connection".to_owned()),
    }
}

/// Sends the request and reads one packet, or the first bytes of what is none; nothing that follows a packet is taken.
async fn exchange(stream: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<()> {
    stream.write_all(&x224::encode_request(None, PROTOCOLS)).await?;
    let mut buffer = [0; LONGEST_TPDU];
    loop {
        let wanted = match answer.first() {
            Some(&x224::TPKT_VERSION) if answer.len() >= x224::TPKT_HEADER_LENGTH => {
                x224::packet_length(answer).unwrap_or_default()
            }
            Some(&x224::TPKT_VERSION) | None => x224::TPKT_HEADER_LENGTH,
            Some(_) => TELLING_LENGTH,
        };
        let missing = wanted.saturating_sub(answer.len());
        let count = stream.read(&mut buffer[..missing.min(LONGEST_TPDU)]).await?;
        if count == 0 {
            return Ok(());
        }
        answer.extend_from_slice(&buffer[..count]);
    }
}

fn judge(tpdu: Tpdu, target: &Target) -> Answer {
    let target = target.clone();
    match tpdu {
        Tpdu::ConnectionConfirm(confirm) => match confirm.selected_protocol {
            None | Some(0) => Answer::Final(FetchError::NoTls { target }),
            Some(_) => Answer::Tls(confirm.selected_protocol_name),
        },
        Tpdu::NegotiationFailure(failure) => Answer::Final(FetchError::Refused {
            target,
            code: failure.code,
            name: failure.name,
            meaning: meaning(failure.code),
        }),
        Tpdu::DisconnectRequest { reason } => Answer::NotRdp(format!("it disconnected with reason {reason}")),
        other => Answer::NotRdp(format!("it answered with TPDU code {:#04x}", other.code())),
    }
}

fn meaning(code: u32) -> String {
    let known = explain::run(&format!("x224:{code}"), None).ok();
    let meaning = known.and_then(|known| known.meanings.first().map(|first| first.entry.meaning));
    meaning.unwrap_or("no code that the specification knows").to_owned()
}

async fn handshake(stream: TcpStream, target: &Target) -> Result<Vec<Vec<u8>>, String> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls::fetch_chain(stream, &target.host)).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {} s", HANDSHAKE_TIMEOUT.as_secs())),
    }
}

fn tls_failed(target: &Target, reason: String) -> FetchError {
    FetchError::Tls { target: target.clone(), reason }
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}
