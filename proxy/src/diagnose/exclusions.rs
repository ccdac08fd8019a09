//! Causes that a session shows not to be the case. "Not seen" is no reason to rule anything out.

use super::facts::{Facts, NameCheck, Refusal};
use crate::trace::{Phase, Side, VerdictId};
use rdpscope_certs::inspect::Validity;
use rdpscope_certs::mode::Repair;

/// What is ruled out by one observation.
pub(super) struct Exclusion {
    /// The observation in words, after "ruled out where".
    pub(super) seen: &'static str,
    /// Whether it was made.
    pub(super) holds: fn(&Facts<'_>) -> bool,
    /// What it rules out.
    pub(super) causes: &'static [VerdictId],
}

pub(super) const EXCLUSIONS: &[Exclusion] = &[
    Exclusion {
        seen: "an address of the name was dialled",
        holds: |facts| facts.network.connected.is_some() || !facts.network.attempts.is_empty(),
        causes: &[VerdictId::DnsFailure],
    },
    Exclusion {
        seen: "TCP is connected",
        holds: |facts| facts.network.connected.is_some(),
        causes: &[VerdictId::TcpRefused, VerdictId::TcpFiltered],
    },
    Exclusion {
        seen: "the server sent something",
        holds: |facts| facts.server_spoke(),
        causes: &[VerdictId::TcpReset, VerdictId::RdpSilent],
    },
    Exclusion {
        seen: "the server answered in RDP",
        holds: |facts| facts.negotiation.confirm.is_some() || facts.negotiation.failure.is_some(),
        causes: &[VerdictId::NotRdp],
    },
    Exclusion {
        seen: "the server agreed in the negotiation, or named another reason why not",
        holds: |facts| facts.negotiation.confirm.is_some() || facts.negotiation.failure.is_some(),
        causes: &[
            VerdictId::TlsRequired,
            VerdictId::ServerCertificateMissing,
            VerdictId::InconsistentFlags,
            VerdictId::NlaRequired,
            VerdictId::ClientCertificateRequired,
        ],
    },
    Exclusion {
        seen: "the server chose TLS, or named another reason",
        holds: |facts| facts.chose_tls(),
        causes: &[VerdictId::TlsRefusedByServer],
    },
    Exclusion {
        seen: "NLA was chosen",
        holds: |facts| facts.uses_nla(),
        causes: &[VerdictId::NlaNotOffered],
    },
    Exclusion {
        seen: "the server chose a TLS version, and nobody complained of it",
        holds: |facts| {
            facts.tls.server_hello.is_some() && facts.tls.alert.is_none() && facts.masked_mismatch().is_none()
        },
        causes: &[VerdictId::TlsVersionMismatch],
    },
    Exclusion {
        seen: "the TLS handshake was finished by both sides, with what they would have agreed on themselves",
        holds: |facts| facts.tls.complete.is_some() && facts.masked_mismatch().is_none(),
        causes: &[VerdictId::TlsCipherMismatch],
    },
    Exclusion {
        seen: "the TLS handshake was finished by both sides",
        holds: |facts| facts.tls.complete.is_some(),
        causes: &[VerdictId::ServerKeyUnusable, VerdictId::TlsStalled],
    },
    Exclusion {
        seen: "the certificate was in its period when it was shown",
        holds: is_in_its_period,
        causes: &[VerdictId::CertificateExpired, VerdictId::CertificateNotYetValid],
    },
    Exclusion {
        seen: "the certificate is for the name that the client asked for",
        holds: |facts| {
            facts.sees_the_servers(Repair::Names)
                && facts.shown().is_some_and(|it| it.name == NameCheck::Matches)
        },
        causes: &[VerdictId::CertificateNameMismatch],
    },
    Exclusion {
        seen: "the certificate is for servers",
        holds: |facts| {
            facts.sees_the_servers(Repair::Usage) && facts.shown().is_some_and(|it| !it.has_wrong_usage())
        },
        causes: &[VerdictId::CertificateWrongUsage],
    },
    Exclusion {
        seen: "nothing about the certificate is weak",
        holds: |facts| {
            facts.sees_the_servers(Repair::Strength)
                && facts.shown().is_some_and(|it| it.leaf.weaknesses().is_empty())
        },
        causes: &[VerdictId::CertificateWeak],
    },
    Exclusion {
        seen: "the client went on after it had seen the certificate, or one like it in this",
        holds: |facts| went_on_with(facts, Repair::Dates),
        causes: &[VerdictId::CertificateExpired, VerdictId::CertificateNotYetValid],
    },
    Exclusion {
        seen: "the client went on after it had seen the certificate, or one like it in this",
        holds: |facts| went_on_with(facts, Repair::Names),
        causes: &[VerdictId::CertificateNameMismatch],
    },
    Exclusion {
        seen: "the client went on after it had seen the certificate, or one like it in this",
        holds: |facts| went_on_with(facts, Repair::Usage),
        causes: &[VerdictId::CertificateWrongUsage],
    },
    Exclusion {
        seen: "the client went on after it had seen the certificate, or one like it in this",
        holds: |facts| went_on_with(facts, Repair::Strength),
        causes: &[VerdictId::CertificateWeak],
    },
    Exclusion {
        seen: "the client went on after it had seen the certificate, or one like it in this",
        holds: |facts| went_on_with(facts, Repair::Issuer),
        causes: &[
            VerdictId::CertificateUntrusted,
            VerdictId::CertificateRevoked,
            VerdictId::CertificateRejected,
        ],
    },
    Exclusion {
        seen: "there was no NLA, or the client went on after it",
        holds: is_past_nla,
        causes: &[
            VerdictId::NlaLogonFailed,
            VerdictId::NlaAccountLocked,
            VerdictId::NlaAccountDisabled,
            VerdictId::NlaPasswordExpired,
            VerdictId::NlaAccountRestricted,
            VerdictId::NlaLogonTypeDenied,
            VerdictId::NlaClockSkew,
            VerdictId::NlaEncryptionOracle,
            VerdictId::NlaKeyBinding,
            VerdictId::NlaNtlmRefused,
            VerdictId::NlaNoAuthority,
        ],
    },
    Exclusion {
        seen: "the desktop was there",
        holds: |facts| facts.inside.active.is_some(),
        causes: &[VerdictId::LicensingFailed, VerdictId::AuthorizationDenied],
    },
    Exclusion {
        seen: "the server answered over UDP",
        holds: |facts| facts.udp.answered,
        causes: &[VerdictId::UdpBlocked],
    },
];

/// TLS 1.3 that passes through hides the certificate, but it is the server's own.
fn went_on_with(facts: &Facts<'_>, property: Repair) -> bool {
    let passes_through = !facts.tls.terminated && facts.tls.server_hello.is_some();
    (passes_through || facts.sees_the_servers(property)) && facts.client_accepted_certificate()
}

fn is_in_its_period(facts: &Facts<'_>) -> bool {
    let valid = facts.shown().and_then(|certificate| certificate.validity());
    // A client that complains all the same has another clock.
    let client_complains = matches!(facts.refusal(), Some(Refusal::Alert { description: 45, .. }));
    facts.sees_the_servers(Repair::Dates)
        && matches!(valid, Some(Validity::Valid { .. }))
        && !client_complains
}

fn is_past_nla(facts: &Facts<'_>) -> bool {
    let has_none = matches!(facts.selected_protocol(), Some("SSL" | "RDP"));
    let client_is_past = facts.inside.furthest.is_some_and(|furthest| furthest.what > Phase::Credssp)
        && facts.last[Side::Client.index()].is_some();
    // Taken out by rdpscope, it is not tried at all.
    facts.stripped_nla.is_none() && (has_none || client_is_past)
}
