//! What went wrong because rdpscope terminates TLS, and what went well only because of that.

use super::facts::Facts;
use super::rule::{Conclusion, Remedy, Rule};
use crate::trace::{Leg, Phase, Side, VerdictId, Where};

/// Alert descriptions of RFC 8446 section 6 with which a server refuses an offer.
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;
const INSUFFICIENT_SECURITY: u8 = 71;
/// What stands among the cipher suites and is none: TLS_EMPTY_RENEGOTIATION_INFO_SCSV, TLS_FALLBACK_SCSV.
const SIGNALS: [u16; 2] = [0x00ff, 0x5600];

pub(super) const RULES: &[Rule] = &[Rule {
    id: VerdictId::NotIntercepted,
    needs: "TLS that rdpscope was to terminate and could not, on either leg",
    depends_on: &[],
    is_last_resort: false,
    judge: not_intercepted,
    next: &["rdpscope proxy {target}", "rdpscope probe {target}"],
    fix: &[Remedy::by_hand(
        Where::Client,
        "Let TLS pass through, which touches none of it: leave --cert out, or say --cert passthrough.",
    )],
}];

fn not_intercepted(facts: &Facts<'_>) -> Option<Conclusion> {
    let Some(failed) = facts.tls.termination_failed else {
        return client_broke_off(facts).or_else(|| server_refused_ours(facts));
    };
    let (leg, reason, _) = failed.what;
    let whom = match leg {
        Leg::Client => "the client",
        Leg::Server | Leg::Proxy => "the server",
    };
    let summary = format!(
        "rdpscope could not terminate TLS with {whom}, so that this session says nothing of why the two cannot talk \
         to each other: {reason}."
    );
    let conclusion = Conclusion::confirmed(Phase::Tls, summary).seen(failed.t_us, reason);
    Some(if leg != Leg::Client && speaks_old_tls(facts) {
        conclusion.or_possibly(&[VerdictId::TlsVersionMismatch, VerdictId::TlsCipherMismatch])
    } else {
        conclusion
    })
}

/// An alert of the client in its handshake with rdpscope, which is not about the certificate.
fn client_broke_off(facts: &Facts<'_>) -> Option<Conclusion> {
    let alert = facts.tls.alert.filter(|alert| facts.tls.terminated && alert.what.0 == Side::Client)?;
    if facts.refusal().is_some() {
        return None;
    }
    let message = alert.what.1;
    let name = message.description_name.as_deref().unwrap_or("without a name");
    let summary = format!(
        "The client broke its TLS handshake with rdpscope off with the alert {name} ({}), which says nothing against \
         the server.",
        message.description
    );
    let text = format!("the client sends the TLS alert {name} ({})", message.description);
    Some(Conclusion::confirmed(Phase::Tls, summary).seen(alert.t_us, text))
}

/// The server refuses what rdpscope offers in the client's place, and the client offers more.
fn server_refused_ours(facts: &Facts<'_>) -> Option<Conclusion> {
    let alert = facts.tls.alert.filter(|alert| alert.what.0 == Side::Server)?;
    let message = alert.what.1;
    let (is_ours, cause) = match message.description {
        PROTOCOL_VERSION => (facts.offers_fewer_versions(), VerdictId::TlsVersionMismatch),
        HANDSHAKE_FAILURE | INSUFFICIENT_SECURITY => {
            (facts.offers_fewer_suites() && facts.tls.legacy.is_none(), VerdictId::TlsCipherMismatch)
        }
        _ => return None,
    };
    if !is_ours || facts.tls.server_hello.is_some() {
        return None;
    }
    let name = message.description_name.as_deref().unwrap_or("without a name");
    let summary = format!(
        "The server refused what rdpscope offers it in TLS ({name}); the client offers more, so that the two may well \
         agree without rdpscope."
    );
    let text = format!(
        "the server answers rdpscope's ClientHello with the TLS alert {name} ({})",
        message.description
    );
    Some(Conclusion::likely(Phase::Tls, summary).or_possibly(&[cause]).seen(alert.t_us, text))
}

/// What current clients would refuse as well.
fn speaks_old_tls(facts: &Facts<'_>) -> bool {
    let chose_old = facts
        .tls
        .server_hello
        .is_some_and(|hello| matches!(hello.what.version.as_str(), "SSL3.0" | "TLS1.0" | "TLS1.1"));
    chose_old || facts.tls.legacy.is_some_and(|legacy| legacy.what.0 == Leg::Server)
}

impl Facts<'_> {
    /// Whether the server was offered fewer TLS versions than the client offers.
    pub(super) fn offers_fewer_versions(&self) -> bool {
        let Some((ours, theirs)) = self.tls.our_hello.zip(self.tls.client_hello) else { return false };
        let is_missing = |version: &String| !ours.supported_versions.contains(version);
        match theirs.what.supported_versions.as_slice() {
            [] => ours.max_version < theirs.what.max_version,
            [only] => ours.max_version != *only && is_missing(only),
            versions => ours.supported_versions.is_empty() || versions.iter().any(is_missing),
        }
    }

    /// Whether the server was offered fewer cipher suites than the client offers.
    pub(super) fn offers_fewer_suites(&self) -> bool {
        let Some((ours, theirs)) = self.tls.our_hello.zip(self.tls.client_hello) else { return false };
        let is_missing =
            |id: u16| !SIGNALS.contains(&id) && ours.cipher_suites.iter().all(|suite| suite.id != id);
        theirs.what.cipher_suites.iter().any(|suite| is_missing(suite.id))
    }

    /// What the server chose although the client does not offer it, where rdpscope speaks TLS with both.
    pub(super) fn masked_mismatch(&self) -> Option<String> {
        let client = self.tls.client_hello.filter(|_| self.tls.terminated)?.what;
        let server = self.tls.server_hello?.what;
        let offers_version = match client.supported_versions.as_slice() {
            // The known names sort in order of age.
            [] => server.version <= client.max_version,
            versions => versions.contains(&server.version),
        };
        let offers_suite = client.cipher_suites.iter().any(|suite| suite.id == server.cipher_suite.id);
        match (offers_version, offers_suite) {
            (true, true) => None,
            (false, _) => {
                Some(format!("the server chose {}, which the client does not offer", server.version))
            }
            (true, false) => {
                Some(format!("the server chose {}, which the client does not offer", server.cipher_suite))
            }
        }
    }
}
