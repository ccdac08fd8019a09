//! The certificate of one target over several paths: where something takes TLS apart on one of them, its certificate is
//! another one there.

use super::negotiation;
use super::settings::Settings;
use super::tally::Tally;
use super::way::{Connection, Way};
use super::{Patience, negotiation::USUAL};
use crate::intercept::tls::{self, Offer, Stack, Tee, subject_public_key};
use crate::relay::connect::{attempt, plain_reason};
use crate::relay::target::{Target, TargetError};
use crate::relay::upstream_proxy::{self, ProxyUrlError, UpstreamProxy};
use crate::trace::{NegotiationAnswer, OtherPathsCheck, PathCertificates, ShownCertificate};
use futures_util::future::join_all;
use rdpscope_certs::inspect::{Certificate, inspect};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How often each path is asked where the certificates differ. Two machines behind one address that answer by turns, at
/// random, look like two paths with a certificate each in one of 128 runs.
const ROUNDS: u32 = 4;
/// A connection waits for the proxy, and twice in the handshake.
const ANSWERS: u32 = 3;

/// Another path to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtherPath {
    /// Through this proxy.
    Proxy(UpstreamProxy),
    /// To this address, on the target's port unless another is named.
    Address {
        /// The address.
        ip: IpAddr,
        /// The port, where it was named.
        port: Option<u16>,
    },
}

/// Why a path could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtherPathError {
    /// A proxy that cannot be.
    #[error(transparent)]
    Proxy(#[from] ProxyUrlError),
    /// An address that cannot be.
    #[error(transparent)]
    Address(#[from] TargetError),
    /// A name: it would be looked up as the target is.
    #[error("path {0:?} is no other path; write http://HOST[:PORT], socks5://HOST[:PORT] or an IP address")]
    Name(String),
}

impl FromStr for OtherPath {
    type Err = OtherPathError;

    fn from_str(text: &str) -> Result<OtherPath, OtherPathError> {
        if text.contains("://") || text.contains('@') {
            return Ok(OtherPath::Proxy(text.parse()?));
        }
        // No port that can be typed is zero.
        let target = Target::parse(text, 0)?;
        let ip = target.ip().ok_or_else(|| OtherPathError::Name(text.to_owned()))?;
        Ok(OtherPath::Address { ip, port: Some(target.port).filter(|port| *port != 0) })
    }
}

impl fmt::Display for OtherPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OtherPath::Proxy(proxy) => proxy.fmt(f),
            OtherPath::Address { ip, port: Some(port) } => SocketAddr::new(*ip, *port).fmt(f),
            OtherPath::Address { ip, port: None } => ip.fmt(f),
        }
    }
}

/// TCP connections that [`ask`] opens at most: one a round, and one more for the second TLS stack.
pub(super) fn most_connections(settings: &Settings) -> u32 {
    let others = u32::try_from(settings.other_paths.len()).unwrap_or(u32::MAX);
    if others == 0 { 0 } else { others.saturating_add(1).saturating_mul(ROUNDS + 1) }
}

/// Asks for the certificate by `way` and over each other path, where one was named; `dialled` is what a proxy is asked for.
pub(super) async fn ask(
    way: &Way,
    dialled: &Target,
    settings: &Settings,
    patience: &Patience,
) -> Option<Box<OtherPathsCheck>> {
    if settings.other_paths.is_empty() {
        return None;
    }
    let asked = compare(way, dialled, &settings.other_paths);
    patience.until("certificates over other paths", asked).await.map(Box::new)
}

async fn compare(way: &Way, dialled: &Target, others: &[OtherPath]) -> OtherPathsCheck {
    let mut looks: Vec<Look<'_>> = std::iter::once(Road::To(way.address))
        .chain(others.iter().map(|other| Road::of(other, dialled)))
        .map(|road| Look::new(way, road))
        .collect();
    for _ in 0..ROUNDS {
        join_all(looks.iter_mut().map(Look::again)).await;
        if are_alike(&looks) {
            break;
        }
    }
    let mut found = looks.into_iter().map(|look| look.found);
    OtherPathsCheck { plain: found.next().unwrap_or_default(), others: found.collect() }
}

/// Whether everything that was shown over any path is one certificate, so that nothing is left to tell apart.
fn are_alike(looks: &[Look<'_>]) -> bool {
    let mut shown = looks.iter().flat_map(|look| &look.found.shown).map(|shown| &shown.chain[0].sha256);
    let first = shown.next();
    shown.all(|other| Some(other) == first)
}

/// How a connection is made.
enum Road<'r> {
    /// To this address.
    To(SocketAddr),
    /// Through this proxy, which is asked for this target.
    Through(&'r UpstreamProxy, &'r Target),
}

impl<'r> Road<'r> {
    fn of(path: &'r OtherPath, dialled: &'r Target) -> Road<'r> {
        match path {
            OtherPath::Proxy(proxy) => Road::Through(proxy, dialled),
            OtherPath::Address { ip, port } => Road::To(SocketAddr::new(*ip, port.unwrap_or(dialled.port))),
        }
    }
}

/// One path, and what was shown over it so far.
struct Look<'r> {
    way: Way,
    road: Road<'r>,
    stack: Stack,
    found: PathCertificates,
}

impl<'r> Look<'r> {
    fn new(way: &Way, road: Road<'r>) -> Look<'r> {
        let (path, asked_for) = match &road {
            Road::To(address) => (address.to_string(), None),
            Road::Through(proxy, target) => (proxy.to_string(), Some(target.to_string())),
        };
        // What other paths answer says nothing about how steady the target is.
        let way = Way { tally: Arc::new(Tally::default()), connections: Arc::default(), ..way.clone() };
        let found = PathCertificates { path, asked_for, ..PathCertificates::default() };
        Look { way, road, stack: Stack::Usual, found }
    }

    async fn again(&mut self) {
        self.found.asked += 1;
        let mut outcome = self.chain().await;
        if let Err(NoChain { needs_legacy: Some(need), .. }) = &outcome
            && self.stack == Stack::Usual
            && Stack::LEGACY_IS_BUILT_IN
        {
            self.stack = Stack::Legacy { need: need.clone() };
            outcome = self.chain().await;
        }
        match outcome {
            Ok((chain, key_sha256)) => self.note(chain, key_sha256),
            Err(none) => self.found.failure = Some(none.reason),
        }
    }

    fn note(&mut self, chain: Vec<Arc<Certificate>>, key_sha256: String) {
        let known = self.found.shown.iter_mut().find(|it| it.chain[0].sha256 == chain[0].sha256);
        match known {
            Some(known) => known.times += 1,
            None => self.found.shown.push(ShownCertificate { chain, key_sha256, times: 1 }),
        }
    }

    /// The chain that is shown on a new connection, and its key.
    async fn chain(&self) -> Result<(Vec<Arc<Certificate>>, String), NoChain> {
        let mut connection = self.connect().await?;
        if !self.way.direct {
            let (answer, _) = negotiation::ask(&self.way, &mut connection, USUAL).await;
            match answer {
                NegotiationAnswer::Selected { protocol, .. } if protocol != negotiation::CLASSIC => {}
                other => return Err(NoChain::because(negotiation::words(&other))),
            }
        }
        let offer = Offer { server_name: Some(self.way.server_name.clone()), ..Offer::default() };
        let stream: &mut TcpStream = &mut connection;
        let unseen = |_: Instant, _: bool, _: &[u8]| ();
        let connecting = tls::connect(Tee::new(stream, Vec::new(), unseen), &offer, &self.stack);
        let chain = match timeout(self.way.answer_timeout * ANSWERS, connecting).await {
            Ok(Ok(leg)) => leg.chain,
            // A handshake that fails behind the certificate has shown it.
            Ok(Err(error)) if !error.chain.is_empty() => error.chain,
            Ok(Err(error)) => {
                return Err(NoChain { reason: error.to_string(), needs_legacy: error.needs_legacy });
            }
            Err(_) => return Err(NoChain::because("the TLS handshake took too long".to_owned())),
        };
        let key = chain.first().and_then(|own| subject_public_key(own));
        let own = chain.first().and_then(|own| inspect(own).ok());
        let (Some(key), Some(own)) = (key, own) else {
            return Err(NoChain::because("its certificate cannot be read".to_owned()));
        };
        let issuers = chain.iter().skip(1).filter_map(|der| inspect(der).ok());
        let chain = std::iter::once(own).chain(issuers).map(Arc::new).collect();
        Ok((chain, hex::encode(Sha256::digest(key))))
    }

    async fn connect(&self) -> Result<Connection, NoChain> {
        let place = self.way.budget.connection().await.map_err(NoChain::of)?;
        let limit = self.way.answer_timeout;
        let stream = match &self.road {
            Road::To(address) => attempt(*address, limit, None).await,
            Road::Through(proxy, target) => {
                let opening = upstream_proxy::connect(proxy, target, None, |_| ());
                let late = |_| Err(std::io::Error::other("the proxy did not answer in time"));
                timeout(limit * ANSWERS, opening).await.unwrap_or_else(late)
            }
        };
        Connection::new(stream.map_err(NoChain::of)?, place).map_err(NoChain::of)
    }
}

/// Why a connection brought no certificate.
struct NoChain {
    reason: String,
    needs_legacy: Option<String>,
}

impl NoChain {
    fn because(reason: String) -> NoChain {
        NoChain { reason, needs_legacy: None }
    }

    fn of(error: std::io::Error) -> NoChain {
        NoChain::because(plain_reason(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_people_write_them() {
        for (text, shown) in [
            ("http://gate.example:3128", "http://gate.example:3128"),
            ("socks5://127.0.0.1", "socks5://127.0.0.1:1080"),
            ("10.0.0.9", "10.0.0.9"),
            ("10.0.0.9:3390", "10.0.0.9:3390"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ] {
            assert_eq!(text.parse::<OtherPath>().map(|path| path.to_string()).as_deref(), Ok(shown));
        }
        assert_eq!("srv10".parse::<OtherPath>(), Err(OtherPathError::Name("srv10".to_owned())));
        assert_eq!(
            "alice:secret@gate".parse::<OtherPath>(),
            Err(OtherPathError::Proxy(ProxyUrlError::Credentials))
        );
        assert!(matches!("https://gate".parse::<OtherPath>(), Err(OtherPathError::Proxy(_))));
    }
}
