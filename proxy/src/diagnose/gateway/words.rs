//! Conclusions about TCP, TLS and certificates, where the far side is the gateway and not the target.

use super::super::facts::Facts;
use super::super::rule::{Conclusion, Remedy, Rule};
use super::LOG;
use crate::trace::{Evidence, Finding, Phase, VerdictId, Where};

const CERTIFICATE: Remedy = Remedy::command(
    Where::Gateway,
    "See which certificate the gateway shows; a new one is chosen in RD Gateway Manager, Properties, SSL Certificate, and \
     holds after a restart of the service, which cuts every session through the gateway.",
    "Import-Module RemoteDesktopServices; $it = (Get-Item RDS:\\GatewayServer\\SSLCertificate\\Thumbprint).CurrentValue; \
     Get-Item Cert:\\LocalMachine\\My\\$it | fl Subject,DnsNameList,NotAfter,Issuer",
);
const IN_FRONT: Remedy = Remedy::by_hand(
    Where::Network,
    "If a reverse proxy or load balancer answers for the gateway, it is that one's certificate and TLS.",
);
const NAMED: Remedy = Remedy::by_hand(
    Where::Client,
    "Put a name that is in the certificate into the profile as the gateway's, exactly as it stands there.",
);
const REAL_NAME: Remedy = Remedy::by_hand(
    Where::Client,
    "If the client was only told to dial rdpscope: put the line `127.0.0.2 {host}` into its hosts file for the test, \
     start rdpscope with `--listen 127.0.0.2:443 --address {server}`, and leave the gateway's name in the profile.",
);

/// The conclusion as it reads for the gateway, and what mends it there.
pub(in super::super) fn at_the_gateway(facts: &Facts<'_>, rule: &Rule, conclusion: Conclusion) -> Conclusion {
    let Some(gateway) = facts.gateway.as_ref().filter(|_| facts.gateway_without_channel().is_some()) else {
        return conclusion;
    };
    let phase = of_gateway(conclusion.phase);
    let summary = name(&conclusion.summary);
    let summary = if summary.contains(&gateway.name) {
        summary
    } else {
        let named = format!("{{}}he gateway {}", gateway.name);
        match summary.split_once("he gateway") {
            Some((before, after)) => format!("{before}{}{after}", named.replacen("{}", "", 1)),
            None => summary,
        }
    };
    let evidence = conclusion.evidence.iter();
    let evidence = evidence.map(|it| Evidence { t_us: it.t_us, text: name(&it.text) }).collect();
    let fix = if facts.at_gateway { fix(facts, rule.id, conclusion.fix) } else { conclusion.fix };
    Conclusion { phase, summary, evidence, fix, ..conclusion }
}

/// Findings about TLS and the certificate as they read for the gateway.
pub(in super::super) fn name_in_findings(findings: &mut [Finding]) {
    for finding in findings.iter_mut().filter(|finding| matches!(finding.phase, Phase::Tcp | Phase::Tls)) {
        finding.phase = of_gateway(finding.phase);
        finding.text = name(&finding.text);
    }
}

fn of_gateway(phase: Phase) -> Phase {
    match phase {
        Phase::Tcp => Phase::GatewayTcp,
        Phase::Tls => Phase::GatewayTls,
        phase => phase,
    }
}

fn name(text: &str) -> String {
    text.replace("the server", "the gateway").replace("The server", "The gateway")
}

/// What mends it at the gateway, where the rule would send an administrator to the target.
fn fix(facts: &Facts<'_>, id: VerdictId, advised: Option<&'static [Remedy]>) -> Option<&'static [Remedy]> {
    match id {
        VerdictId::CertificateNameMismatch if facts.is_recorded => Some(&[NAMED, CERTIFICATE, IN_FRONT]),
        VerdictId::CertificateNameMismatch => Some(&[REAL_NAME, CERTIFICATE, IN_FRONT]),
        // What was advised in this situation is about the client or rdpscope.
        _ if advised.is_some() => advised,
        id if id.as_str().starts_with("certificate-") => Some(&[CERTIFICATE, IN_FRONT]),
        VerdictId::TlsVersionMismatch
        | VerdictId::TlsCipherMismatch
        | VerdictId::ServerKeyUnusable
        | VerdictId::TcpReset
        | VerdictId::ProtocolError => Some(&[IN_FRONT, CERTIFICATE, LOG]),
        VerdictId::ServerClosed => Some(&[IN_FRONT, LOG]),
        _ => None,
    }
}
