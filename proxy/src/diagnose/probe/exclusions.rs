//! What the checks of a probe show not to be the case. What depends on the client is never among it.

use super::super::exclusions::Exclusion;
use super::super::facts::Facts;
use super::super::findings::SLOW_RTT_US;
use super::certificate::judged;
use super::network::dead_addresses;
use super::{
    HelloAnswer, NegotiationAnswer, Probe, VerdictId, accepted_versions, answer_to, is_answered,
    is_connected, is_current, selected, spoke_rdp,
};
use crate::trace::UdpAnswer;
use rdpscope_certs::inspect::Validity;

pub(in super::super) const EXCLUSIONS: &[Exclusion] = &[
    super::other_paths::EXCLUSION,
    // The name has an address.
    Exclusion {
        seen: "a probe resolves the name",
        holds: |facts| on(facts, |probe| probe.dns.as_ref().is_some_and(|dns| !dns.addresses.is_empty())),
        causes: &[VerdictId::DnsFailure],
    },
    Exclusion {
        seen: "a probe connects to every address, each time",
        holds: |facts| on(facts, |probe| is_connected(probe) && dead_addresses(probe).is_empty()),
        causes: &[VerdictId::TcpRefused, VerdictId::TcpFiltered],
    },
    Exclusion {
        seen: "a probe measures a line that is neither slow nor lossy",
        holds: |facts| on(facts, has_good_link),
        causes: &[VerdictId::LinkSlow, VerdictId::LinkLossy],
    },
    Exclusion {
        seen: "a probe is answered in RDP",
        holds: |facts| on(facts, spoke_rdp),
        causes: &[VerdictId::TcpReset, VerdictId::RdpSilent, VerdictId::NotRdp],
    },
    Exclusion {
        seen: "a probe is given TLS",
        holds: |facts| on(facts, |probe| selected(probe).is_some_and(|selected| selected != "RDP")),
        causes: &[
            VerdictId::TlsRefusedByServer,
            VerdictId::ServerCertificateMissing,
            VerdictId::InconsistentFlags,
            VerdictId::ClientCertificateRequired,
        ],
    },
    Exclusion {
        seen: "a probe without TLS is let in",
        holds: |facts| on(facts, |probe| chooses(probe, "RDP")),
        causes: &[VerdictId::TlsRequired],
    },
    Exclusion {
        seen: "a probe without NLA is let in",
        holds: |facts| on(facts, |probe| chooses(probe, "SSL")),
        causes: &[VerdictId::NlaRequired],
    },
    Exclusion {
        seen: "a probe is given NLA",
        holds: |facts| {
            on(facts, |probe| selected(probe).is_some_and(|selected| selected.starts_with("HYBRID")))
        },
        causes: &[VerdictId::NlaNotOffered],
    },
    Exclusion {
        seen: "a probe gets an answer to its ClientHello",
        holds: |facts| on(facts, |probe| !accepted_versions(probe).is_empty()),
        causes: &[VerdictId::ServerKeyUnusable],
    },
    Exclusion {
        seen: "a probe is given a current TLS version",
        holds: |facts| on(facts, |probe| accepted_versions(probe).iter().any(|version| is_current(version))),
        causes: &[VerdictId::TlsVersionMismatch],
    },
    Exclusion {
        seen: "a probe gets an answer to what fills more than a segment",
        holds: |facts| on(facts, |probe| probe.path.as_ref().is_some_and(|path| is_answered(&path.large))),
        causes: &[VerdictId::TlsStalled],
    },
    Exclusion {
        seen: "a probe sees a certificate that is in its period",
        holds: |facts| {
            let validity = judged(facts).and_then(|certificate| certificate.validity());
            matches!(validity, Some(Validity::Valid { .. }))
        },
        causes: &[VerdictId::CertificateExpired, VerdictId::CertificateNotYetValid],
    },
    Exclusion {
        seen: "a probe sees a certificate for the name that was typed",
        holds: |facts| on(facts, |probe| probe.certificate.as_ref().is_some_and(|it| it.name_matches)),
        causes: &[VerdictId::CertificateNameMismatch],
    },
    Exclusion {
        seen: "a probe sees a certificate that is for servers",
        holds: |facts| judged(facts).is_some_and(|certificate| !certificate.has_wrong_usage()),
        causes: &[VerdictId::CertificateWrongUsage],
    },
    Exclusion {
        seen: "a probe sees a certificate that is not weak",
        holds: |facts| judged(facts).is_some_and(|certificate| certificate.leaf.weaknesses().is_empty()),
        causes: &[VerdictId::CertificateWeak],
    },
    Exclusion {
        seen: "a probe finds the server's clock to be this machine's",
        holds: |facts| {
            let is_measured = on(facts, |probe| {
                probe.credssp.as_ref().is_some_and(|credssp| credssp.clock_skew_us.is_some())
            });
            is_measured && super::logon::skew_seconds(facts).is_none()
        },
        causes: &[VerdictId::NlaClockSkew],
    },
    Exclusion {
        seen: "a probe is answered over UDP",
        holds: |facts| {
            on(facts, |probe| {
                let versions = probe.udp.iter().flat_map(|udp| udp.versions.values());
                versions.into_iter().any(|answer| matches!(answer, UdpAnswer::SynAck { .. }))
            })
        },
        causes: &[VerdictId::UdpBlocked],
    },
    Exclusion {
        seen: "a probe finishes a handshake over UDP",
        holds: |facts| {
            on(facts, |probe| {
                let udp = probe.udp.as_ref();
                let hellos = udp.map(|udp| [udp.tls.as_ref(), udp.dtls.as_ref()]).unwrap_or_default();
                hellos.into_iter().flatten().any(|answer| matches!(answer, HelloAnswer::Accepted(_)))
            })
        },
        causes: &[VerdictId::UdpHalfOpen],
    },
];

fn on(facts: &Facts<'_>, holds: impl Fn(&Probe) -> bool) -> bool {
    facts.probe.is_some_and(holds)
}

fn chooses(probe: &Probe, wanted: &str) -> bool {
    matches!(answer_to(probe, wanted), Some(NegotiationAnswer::Selected { protocol, .. }) if protocol == wanted)
}

/// Every connection came about at the first attempt and in short time, and nothing had to be sent again.
fn has_good_link(probe: &Probe) -> bool {
    let is_good = |took: &Option<u64>| took.is_some_and(|took| took < SLOW_RTT_US.into());
    !probe.tcp.is_empty()
        && probe
            .tcp
            .iter()
            .all(|check| check.retransmitted_segments == Some(0) && check.rounds.iter().all(is_good))
}
