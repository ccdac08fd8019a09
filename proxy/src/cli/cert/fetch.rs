//! The certificates that a server shows, asked for as an RDP client does: X.224, then TLS. What does not speak X.224
//! gets TLS at once.

use crate::explain;
use crate::intercept::tls::{self, Offer, Stack, Tee};
use crate::probe::negotiation::{USUAL, exchange};
use crate::relay::connect::{connect, plain_reason};
use crate::relay::resolve::resolve;
use crate::relay::target::Target;
use crate::wire::greeting::recognise;
use crate::wire::x224::{self, Tpdu};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// The port of HTTPS, where an RD Gateway is.
const HTTPS_PORT: u16 = 443;
/// Resolvers give up by themselves; this is for those that do not.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the answer to the connection request may take. A service that hangs never answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the handshake may take over a slow line.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// What a server showed.
#[derive(Debug)]
pub(in crate::cli) struct Fetched {
    /// Its certificates in DER, its own first.
    pub(in crate::cli) chain: Vec<Vec<u8>>,
    /// The address that answered.
    pub(in crate::cli) address: SocketAddr,
    /// The protocol that it selected by X.224; nothing where it got TLS at once.
    pub(in crate::cli) selected_protocol: Option<String>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum FetchError {
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
    #[error("{target} showed no certificate: {failed}")]
    Tls {
        /// The server.
        target: Target,
        /// How it failed.
        failed: Failed,
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

/// A handshake that failed before a certificate came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(in crate::cli) struct Failed {
    /// One clause.
    reason: String,
    /// Why the other TLS stack may succeed.
    needs_legacy: Option<String>,
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
pub(in crate::cli) async fn fetch(target: &Target, say: impl Fn(&str)) -> Result<Fetched, FetchError> {
    let addresses = addresses(target).await?;
    match attempt(target, &addresses, &Stack::Usual, &say).await {
        Err(FetchError::Tls { failed: Failed { needs_legacy: Some(need), .. }, .. })
            if Stack::LEGACY_IS_BUILT_IN =>
        {
            attempt(target, &addresses, &Stack::Legacy { need }, &say).await
        }
        done => done,
    }
}

async fn attempt(
    target: &Target,
    addresses: &[SocketAddr],
    stack: &Stack,
    say: impl Fn(&str),
) -> Result<Fetched, FetchError> {
    let tls_failed = |failed: Failed| FetchError::Tls { target: target.clone(), failed };
    let (mut stream, address) = open(target, addresses).await?;
    if target.port == HTTPS_PORT {
        let chain = handshake(stream, target, stack).await.map_err(tls_failed)?;
        return Ok(Fetched { chain, address, selected_protocol: None });
    }
    let x224 = match negotiate(&mut stream, target).await {
        Answer::Tls(protocol) => {
            let chain = handshake(stream, target, stack).await.map_err(tls_failed)?;
            return Ok(Fetched { chain, address, selected_protocol: Some(protocol) });
        }
        Answer::Final(error) => return Err(error),
        Answer::NotRdp(reason) => reason,
    };
    say(&format!("{target} does not speak X.224 ({x224}): trying TLS at once on another connection"));
    drop(stream);
    let (stream, address) = open(target, &[address]).await?;
    match handshake(stream, target, stack).await {
        Ok(chain) => Ok(Fetched { chain, address, selected_protocol: None }),
        Err(failed) if failed.needs_legacy.is_some() => Err(tls_failed(failed)),
        Err(failed) => Err(FetchError::Neither { target: target.clone(), x224, tls: failed.reason }),
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
    let request = x224::encode_request(None, USUAL);
    let exchanged = within(ANSWER_TIMEOUT, exchange(stream, &request, &mut answer)).await;
    match (x224::decode(&answer), exchanged) {
        (Ok(Some((tpdu, _))), _) => judge(tpdu, target),
        (_, _) if !answer.is_empty() => {
            let what = recognise(&answer).unwrap_or("something else");
            Answer::NotRdp(format!("it answered with {what}"))
        }
        (_, Err(error)) => Answer::NotRdp(why(&error)),
        (_, Ok(())) => Answer::NotRdp("it closed the connection".to_owned()),
    }
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "it reset the connection".to_owned(),
        _ => plain_reason(error),
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

/// What was shown before the server broke off, as one does that wants a certificate of the client, is as good as what is
/// shown in a handshake that ends well.
async fn handshake(stream: TcpStream, target: &Target, stack: &Stack) -> Result<Vec<Vec<u8>>, Failed> {
    let offer = Offer { server_name: Some(target.host.clone()), ..Offer::default() };
    let stream = Tee::new(stream, Vec::new(), |_: Instant, _: bool, _: &[u8]| ());
    let failed = |reason: String| Failed { reason, needs_legacy: None };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls::connect(stream, &offer, stack)).await {
        Ok(Ok(leg)) if leg.chain.is_empty() => Err(failed("the handshake ended without one".to_owned())),
        Ok(Ok(leg)) => Ok(leg.chain),
        Ok(Err(error)) if !error.chain.is_empty() => Ok(error.chain),
        Ok(Err(error)) => Err(match error.needs_legacy.clone() {
            Some(need) if !Stack::LEGACY_IS_BUILT_IN => {
                failed(format!("{need}, and this build has no second TLS stack"))
            }
            needs_legacy => Failed { reason: error.to_string(), needs_legacy },
        }),
        Err(_) => Err(failed(late(HANDSHAKE_TIMEOUT))),
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, late(limit));
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}

fn late(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs())
}
