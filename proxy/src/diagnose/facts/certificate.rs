//! What is wrong with a certificate at the time at which it was shown: the server's own, or ours in its place.

use super::Facts;
use crate::trace::Micros;
use rdpscope_certs::inspect::{Certificate, Validity, Weakness};
use std::net::{IpAddr, SocketAddr};

/// A certificate, judged.
#[derive(Debug)]
pub(crate) struct CertificateFacts<'a> {
    pub(crate) t_us: Micros,
    pub(crate) leaf: &'a Certificate,
    pub(crate) chain: &'a [std::sync::Arc<Certificate>],
    /// Seconds since 1970 at which it was shown; absent where the trace has no wall clock.
    pub(crate) at_unix: Option<i64>,
    pub(crate) name: NameCheck,
}

/// Whether the certificate is for the name that the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameCheck {
    /// It is not known which name the client dialled.
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
        let name = match facts.dialled() {
            None => NameCheck::Unknown,
            Some(dialled) if leaf.matches_name(&dialled.name) => match dialled.is_stated {
                true => NameCheck::Matches,
                false => NameCheck::Unknown,
            },
            Some(dialled) if dialled.is_proxys_own => NameCheck::DiffersThroughProxy,
            Some(_) => NameCheck::Differs,
        };
        let at_unix = facts.started_unix.map(|started| started.saturating_add(since_start));
        Some(CertificateFacts { t_us, leaf, chain, at_unix, name })
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

/// The name under which the client looks for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dialled {
    pub(crate) name: String,
    /// It is this machine's: the client uses it because it dialled rdpscope.
    pub(crate) is_proxys_own: bool,
    /// The client says it in TLS. Clients that dialled an address say nothing.
    pub(crate) is_stated: bool,
}

impl Facts<'_> {
    /// What the client dialled, as far as its TLS tells.
    pub(crate) fn dialled(&self) -> Option<Dialled> {
        let hello = self.tls.client_hello?;
        if let Some(name) = &hello.what.server_name {
            return Some(Dialled {
                name: name.clone(),
                is_proxys_own: self.is_proxys_own(name),
                is_stated: true,
            });
        }
        let local: SocketAddr = self.network.local?.parse().ok()?;
        let name = local.ip().to_string();
        let is_proxys_own = self.is_proxys_own(&name);
        local.ip().is_loopback().then_some(Dialled { name, is_proxys_own, is_stated: false })
    }

    /// Whether a client uses `name` because it dialled rdpscope: this machine's loopback, or the address on which
    /// rdpscope listens. Where the target is on this machine as well, its own name is no such name.
    pub(crate) fn is_proxys_own(&self, name: &str) -> bool {
        let local = self.network.local.and_then(|local| local.parse::<SocketAddr>().ok());
        let is_ours =
            |address: IpAddr| address.is_loopback() || local.is_some_and(|local| local.ip() == address);
        !self.is_recorded
            && !is_loopback_name(self.far_end().0)
            && (is_loopback_name(name) || name.trim_matches(['[', ']']).parse().is_ok_and(is_ours))
    }
}

/// `localhost` and what is below it, and addresses of the loopback.
pub(crate) fn is_loopback_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let address = lower.trim_matches(['[', ']']).parse::<IpAddr>();
    lower == "localhost"
        || lower.ends_with(".localhost")
        || address.is_ok_and(|address| address.is_loopback())
}
