//! What is wrong with the certificate that the server showed, at the time at which it showed it.

use super::Facts;
use crate::trace::Micros;
use rdpscope_certs::inspect::{Certificate, Validity, Weakness};
use std::net::{IpAddr, SocketAddr};

/// The server's own certificate, judged.
#[derive(Debug)]
pub(crate) struct CertificateFacts<'a> {
    pub(crate) t_us: Micros,
    pub(crate) leaf: &'a Certificate,
    pub(crate) chain_length: usize,
    /// Seconds since 1970 at which it was shown; absent where the trace has no wall clock.
    pub(crate) at_unix: Option<i64>,
    pub(crate) name: NameCheck,
}

/// Whether the certificate is for the name that the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameCheck {
    /// The client named none.
    Unknown,
    Matches,
    Differs,
    /// It is for another name, but the client only asked for that name because it dialled rdpscope.
    DiffersThroughProxy,
}

impl<'a> CertificateFacts<'a> {
    pub(super) fn new(
        facts: &Facts<'a>,
        t_us: Micros,
        chain: &'a [std::sync::Arc<Certificate>],
    ) -> Option<CertificateFacts<'a>> {
        let leaf = chain.first()?;
        let since_start = i64::try_from(t_us / 1_000_000).unwrap_or(i64::MAX);
        let server_name = facts.tls.client_hello.and_then(|hello| hello.what.server_name.as_deref());
        let name = match server_name {
            None => NameCheck::Unknown,
            Some(name) if leaf.matches_name(name) => NameCheck::Matches,
            Some(name) if is_proxys_own(name, facts.network.local) => NameCheck::DiffersThroughProxy,
            Some(_) => NameCheck::Differs,
        };
        let at_unix = facts.started_unix.map(|started| started.saturating_add(since_start));
        Some(CertificateFacts { t_us, leaf, chain_length: chain.len(), at_unix, name })
    }

    pub(crate) fn validity(&self) -> Option<Validity> {
        self.at_unix.map(|at| self.leaf.validity_at(at))
    }

    /// Validity for people, empty where the time is not known.
    pub(crate) fn validity_words(&self) -> String {
        self.at_unix.map(|at| self.leaf.validity_words(at)).unwrap_or_default()
    }

    pub(crate) fn is_expired(&self) -> bool {
        matches!(self.validity(), Some(Validity::Expired { .. }))
    }

    pub(crate) fn is_not_yet_valid(&self) -> bool {
        matches!(self.validity(), Some(Validity::NotYetValid { .. }))
    }

    pub(crate) fn is_for_another_name(&self) -> bool {
        matches!(self.name, NameCheck::Differs | NameCheck::DiffersThroughProxy)
    }

    pub(crate) fn has_wrong_usage(&self) -> bool {
        !self.leaf.permits_server_authentication()
    }

    /// Weaknesses for which clients refuse. The signature of a self-signed certificate protects nothing, and odd
    /// serial numbers or old versions are common among certificates that work.
    pub(crate) fn weaknesses(&self) -> Vec<Weakness> {
        let matters = |weakness: &Weakness| match weakness {
            Weakness::Md5Signature | Weakness::Sha1Signature => !self.leaf.self_issued,
            Weakness::ShortRsaKey { .. } | Weakness::ShortEllipticCurveKey { .. } | Weakness::DsaKey => true,
            Weakness::OldVersion { .. } | Weakness::BadSerial | Weakness::UnreadableExtensions => false,
        };
        self.leaf.weaknesses().into_iter().filter(matters).collect()
    }

    /// Whether anything can be seen for which a client may refuse it.
    pub(crate) fn has_visible_fault(&self) -> bool {
        self.is_expired()
            || self.is_not_yet_valid()
            || self.is_for_another_name()
            || self.has_wrong_usage()
            || self.leaf.self_issued
            || !self.weaknesses().is_empty()
    }

    /// Who it is for, as people call it.
    pub(crate) fn subject(&self) -> &str {
        self.leaf.subject_cn.as_deref().unwrap_or(&self.leaf.subject)
    }

    /// The names in it: alternative names or, without any, the common name.
    pub(crate) fn names(&self) -> String {
        if self.leaf.sans.is_empty() { self.subject().to_owned() } else { self.leaf.sans.join(", ") }
    }
}

/// Whether a client uses `name` because it dialled rdpscope: this machine's loopback, or the address it listens on.
fn is_proxys_own(name: &str, local: Option<&str>) -> bool {
    if name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost") {
        return true;
    }
    let local = local.and_then(|local| local.parse::<SocketAddr>().ok());
    name.trim_matches(['[', ']'])
        .parse::<IpAddr>()
        .is_ok_and(|address| address.is_loopback() || local.is_some_and(|local| local.ip() == address))
}
