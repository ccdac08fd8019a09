//! Something between client and server that takes TLS apart: its certificate, or a handshake that it has rewritten.

use super::facts::Facts;
use super::rule::{Conclusion, Remedy, Rule};
use crate::trace::{Phase, VerdictId, Where};
use crate::wire::tls::DowngradeSentinel;
use rdpscope_certs::inspect::Certificate;
use std::sync::Arc;

/// Words in the issuer's name that products for the inspection of TLS put there when they make a certificate.
const INSPECTORS: [&str; 22] = [
    "fortigate",
    "fortinet",
    "zscaler",
    "netskope",
    "palo alto",
    "blue coat",
    "bluecoat",
    "proxysg",
    "sophos",
    "check point",
    "watchguard",
    "barracuda",
    "sonicwall",
    "umbrella root",
    "forcepoint",
    "websense",
    "kaspersky",
    "eset ssl filter",
    "bitdefender",
    "avast web/mail shield",
    "mitmproxy",
    "squid",
];

pub(super) const RULES: &[Rule] = &[Rule {
    id: VerdictId::TlsInspected,
    needs: "the certificate (visible up to TLS 1.2, or where TLS is terminated) or the hellos of both sides, and a \
            session that failed",
    depends_on: &[VerdictId::Healthy, VerdictId::ClientPrompted],
    is_last_resort: false,
    judge: inspected,
    next: &[
        "rdpscope probe {target} --other-path http://OTHER-PROXY:8080",
        "rdpscope ab {target} --vary address",
        "rdpscope probe 127.0.0.1:{port}",
        "rdpscope cert show {target}",
    ],
    fix: &[
        Remedy::by_hand(
            Where::Network,
            "Take this connection out of the inspection: network level authentication (NLA) cannot come to its end over \
             another key than the server's.",
        ),
        Remedy::command(
            Where::Server,
            "Compare thumbprints: the one that clients see has to be one of these.",
            "Get-ChildItem 'Cert:\\LocalMachine\\Remote Desktop','Cert:\\LocalMachine\\My' | fl Subject,Issuer,Thumbprint",
        ),
    ],
}];

/// The issuer of the chain that makes certificates for connections that it takes apart.
pub(super) fn inspector(chain: &[Arc<Certificate>]) -> Option<&str> {
    // A product's own management page has a self-signed certificate with such a name.
    let issuers = chain.iter().filter(|certificate| !certificate.self_issued).map(|it| it.issuer.as_str());
    let mut issuers = issuers.filter(|issuer| names_an_inspector(issuer));
    issuers.next()
}

/// Whether a distinguished name (RFC 4514) is one of theirs. What says where somebody is does not count: there is a town
/// Palo Alto.
pub(super) fn names_an_inspector(name: &str) -> bool {
    const WHO: [&str; 3] = ["cn=", "o=", "ou="];
    let name = name.to_ascii_lowercase();
    let mut parts = name.split(',').filter(|part| WHO.iter().any(|attribute| part.starts_with(attribute)));
    parts.any(|part| INSPECTORS.iter().any(|product| part.contains(product)))
}

impl Facts<'_> {
    /// The issuer by which something on the way betrays itself.
    pub(super) fn inspector(&self) -> Option<&str> {
        inspector(self.tls.certificate.as_ref()?.chain)
    }

    /// Whether the ServerHello says that the server can do better than it chose, although the client offers better:
    /// one of the hellos was rewritten on the way.
    pub(super) fn is_downgraded(&self) -> bool {
        let Some(hello) = self.tls.server_hello else { return false };
        let offered = |version: &str| {
            self.tls.client_hello.is_some_and(|client| client.what.max_version.as_str() >= version)
        };
        match hello.what.downgrade_sentinel {
            Some(DowngradeSentinel::Tls12) => offered("TLS1.3"),
            Some(DowngradeSentinel::Tls11OrOlder) => offered("TLS1.2"),
            None => false,
        }
    }
}

fn inspected(facts: &Facts<'_>) -> Option<Conclusion> {
    // A session that is not over says nothing, and neither does one that went on.
    if facts.inside.active.is_some() {
        return None;
    }
    if let Some((issuer, certificate)) = facts.inspector().zip(facts.tls.certificate.as_ref()) {
        let summary = format!(
            "The certificate is not the server's own but one of something that takes TLS apart on the way: its issuer is \
             {issuer}."
        );
        let conclusion = Conclusion::likely(Phase::Tls, summary);
        return Some(conclusion.seen(certificate.t_us, format!("the issuer is {issuer}")));
    }
    let hello = facts.tls.server_hello.filter(|_| facts.is_downgraded() && !facts.tls.terminated)?;
    let summary = format!(
        "Client and server can both do better than {}, and the server says so: something on the way has rewritten the TLS \
         handshake.",
        hello.what.version
    );
    let text = "the ServerHello carries the mark of a downgrade (RFC 8446 section 4.1.3)";
    Some(Conclusion::likely(Phase::Tls, summary).seen(hello.t_us, text))
}
