//! The client refuses the server's certificate, or seems to.

use super::facts::{CertificateFacts, Facts, NameCheck, Refusal};
use super::rule::{Conclusion, Remedy, Rule};
use super::words::{ended, span};
use crate::trace::{Confidence, Phase, VerdictId, Where};
use rdpscope_certs::inspect::Weakness;

/// Alert descriptions of RFC 8446 section 6 with which a client refuses a certificate.
mod description {
    pub(super) const UNSUPPORTED_CERTIFICATE: u8 = 43;
    pub(super) const CERTIFICATE_REVOKED: u8 = 44;
    pub(super) const CERTIFICATE_EXPIRED: u8 = 45;
    pub(super) const UNKNOWN_CA: u8 = 48;
}

/// RSA keys of so few bits are refused everywhere; 1024 bits and SHA-1 only by some.
const HOPELESS_RSA_BITS: u32 = 1024;

const SHOW: Remedy = Remedy::command(
    Where::Server,
    "See which certificates there are.",
    "Get-ChildItem 'Cert:\\LocalMachine\\Remote Desktop' | fl Subject,NotAfter,Thumbprint,EnhancedKeyUsageList",
);
const RENEW: Remedy = Remedy::command(
    Where::Server,
    "Where it is the self-signed one of Windows, delete it and let Windows make a new one; restarting TermService cuts \
     every session on the server.",
    "Remove-Item 'Cert:\\LocalMachine\\Remote Desktop\\{thumbprint}'; Restart-Service SessionEnv -Force; \
     Restart-Service TermService -Force",
);
const BIND_ANOTHER: Remedy = Remedy::by_hand(
    Where::Server,
    "Where the certificate comes from a CA, have a new one issued and bind it to the RDP-Tcp listener.",
);
const CLIENT_CLOCK: Remedy = Remedy::command(
    Where::Client,
    "Compare the client's clock with the server's.",
    "w32tm /stripchart /computer:{host} /samples:3",
);
const REAL_NAME: Remedy =
    Remedy::by_hand(Where::Client, "Dial the name that is in the certificate, exactly as it stands there.");
const PROXY_NAME: &[Remedy] = &[
    Remedy::by_hand(
        Where::Client,
        "Let the client dial the real name through rdpscope: start it as under \"next\", put the line \
         `127.0.0.1 {host}` into the client's hosts file for the test, and connect to {host} with rdpscope's port.",
    ),
    REAL_NAME,
];
/// With the name in the hosts file rdpscope must not look it up as well: it would find itself.
const DIAL_BY_NAME: &str = "rdpscope proxy {target} --address {server}";
const TRUST: Remedy = Remedy::by_hand(
    Where::Client,
    "Install the certificate of the issuing CA, or for a test this one, among the trusted roots of the client.",
);

/// Another reading of the same observations is a question to the user, or a refusal with a stated reason.
const READ_BEFORE: &[VerdictId] = &[VerdictId::ClientPrompted, VerdictId::NlaNotOffered];
const PROVE: &[&str] = &["rdpscope ab {target} --vary cert", "rdpscope probe {target}"];

/// A rule of this family.
const fn rule(
    id: VerdictId,
    needs: &'static str,
    judge: fn(&Facts<'_>) -> Option<Conclusion>,
    fix: &'static [Remedy],
) -> Rule {
    Rule { id, needs, depends_on: READ_BEFORE, is_last_resort: false, judge, next: PROVE, fix }
}

const VISIBLE: &str = "the certificate (visible up to TLS 1.2), the wall clock, and the client's refusal";

pub(super) const RULES: &[Rule] = &[
    rule(VerdictId::CertificateExpired, VISIBLE, expired, &[SHOW, RENEW, BIND_ANOTHER, CLIENT_CLOCK]),
    rule(
        VerdictId::CertificateNotYetValid,
        VISIBLE,
        not_yet_valid,
        &[
            CLIENT_CLOCK,
            Remedy::command(Where::Server, "Set the server's clock by the domain's.", "w32tm /resync"),
            SHOW,
            RENEW,
        ],
    ),
    rule(
        VerdictId::CertificateRevoked,
        "the TLS alert certificate_revoked in clear",
        revoked,
        &[
            BIND_ANOTHER,
            Remedy::by_hand(Where::Network, "If it should not be revoked, ask the issuing CA why it is."),
        ],
    ),
    rule(VerdictId::CertificateWrongUsage, VISIBLE, wrong_usage, &[SHOW, BIND_ANOTHER, RENEW]),
    rule(VerdictId::CertificateUntrusted, VISIBLE, untrusted, &[TRUST, BIND_ANOTHER]),
    rule(
        VerdictId::CertificateNameMismatch,
        "the certificate (visible up to TLS 1.2), the name that the client asked for, and the client's refusal",
        name_mismatch,
        &[REAL_NAME, BIND_ANOTHER],
    ),
    rule(VerdictId::CertificateWeak, VISIBLE, weak, &[BIND_ANOTHER, RENEW]),
    rule(
        VerdictId::CertificateRejected,
        "the client's end or alert right after the server's part of the TLS handshake",
        rejected,
        &[
            Remedy::by_hand(
                Where::Client,
                "Look at the certificate that `rdpscope probe {target}` shows: its dates, names and issuer.",
            ),
            SHOW,
        ],
    ),
];

/// How sure it is that the client refused for a fault that is visible, and not for something else.
fn strength(facts: &Facts<'_>, refusal: Refusal) -> Confidence {
    // Without NLA there is nothing else that a client would ask about at this point.
    if refusal.is_automatic() || !facts.uses_nla() { Confidence::Likely } else { Confidence::Possible }
}

/// The refusal where its stated reason, if any, leaves room for `other` causes than the one it names.
fn unexplained(facts: &Facts<'_>) -> Option<Refusal> {
    facts.refusal().filter(|refusal| match refusal {
        Refusal::Alert { description, .. } => !matches!(
            *description,
            description::CERTIFICATE_REVOKED | description::CERTIFICATE_EXPIRED | description::UNKNOWN_CA
        ),
        Refusal::Left { .. } => true,
    })
}

fn alerted(facts: &Facts<'_>, wanted: u8) -> Option<Refusal> {
    facts
        .refusal()
        .filter(|refusal| matches!(refusal, Refusal::Alert { description, .. } if *description == wanted))
}

fn with_refusal(conclusion: Conclusion, facts: &Facts<'_>, refusal: Refusal) -> Conclusion {
    let text = match refusal {
        Refusal::Alert { description, .. } => {
            let name = facts.tls.alert.and_then(|alert| alert.what.1.description_name.as_deref());
            format!("the client sends the TLS alert {} ({description})", name.unwrap_or("without a name"))
        }
        Refusal::Left { after_us, encrypted_alert: true, .. } => {
            let how = ended(facts.ending.how);
            format!("{} after the handshake the client sends an encrypted alert and {how}", span(after_us))
        }
        Refusal::Left { after_us, .. } => {
            let how = ended(facts.ending.how);
            format!("{} after the server's part of the handshake the client {how}", span(after_us))
        }
    };
    conclusion.seen(refusal.t_us(), text)
}

/// A fault that can be seen in the certificate, beside a refusal whose reason cannot be read.
fn visible_fault(facts: &Facts<'_>, fault: String, summary: String) -> Option<Conclusion> {
    let certificate = facts.tls.certificate.as_ref()?;
    let refusal = unexplained(facts)?;
    let conclusion = Conclusion::new(strength(facts, refusal), Phase::Tls, summary);
    Some(with_refusal(conclusion.seen(certificate.t_us, fault), facts, refusal))
}

fn expired(facts: &Facts<'_>) -> Option<Conclusion> {
    let Some(certificate) = facts.tls.certificate.as_ref() else {
        let refusal = alerted(facts, description::CERTIFICATE_EXPIRED)?;
        let summary =
            "The client refused the server's certificate because it is outside its validity period.";
        let conclusion =
            Conclusion::likely(Phase::Tls, summary).or_possibly(&[VerdictId::CertificateNotYetValid]);
        return Some(with_refusal(conclusion, facts, refusal));
    };
    let words = certificate.validity_words();
    let fault = format!("the certificate for {} {words}", certificate.subject());
    if let Some(refusal) = alerted(facts, description::CERTIFICATE_EXPIRED) {
        if certificate.is_not_yet_valid() {
            return None;
        }
        let conclusion = if certificate.is_expired() {
            Conclusion::confirmed(
                Phase::Tls,
                format!("The client refused the server's certificate: it {words}."),
            )
        } else {
            let summary = format!(
                "The client says that the server's certificate is outside its validity period, but by the clock of \
                 this machine it is {words}: the client's clock is probably wrong."
            );
            Conclusion::likely(Phase::Tls, summary)
        };
        return Some(with_refusal(conclusion.seen(certificate.t_us, fault), facts, refusal));
    }
    let summary = format!(
        "The server's certificate {words}, and the client left right after it was shown; the reason it gave, if any, \
         is encrypted."
    );
    certificate.is_expired().then(|| visible_fault(facts, fault, summary))?
}

fn not_yet_valid(facts: &Facts<'_>) -> Option<Conclusion> {
    let certificate = facts.tls.certificate.as_ref().filter(|certificate| certificate.is_not_yet_valid())?;
    let words = certificate.validity_words();
    let fault = format!("the certificate for {} is {words}", certificate.subject());
    if let Some(refusal) = alerted(facts, description::CERTIFICATE_EXPIRED) {
        let summary = format!("The client refused the server's certificate: it is {words}.");
        let conclusion = Conclusion::confirmed(Phase::Tls, summary).seen(certificate.t_us, fault);
        return Some(with_refusal(conclusion, facts, refusal));
    }
    let summary = format!(
        "The server's certificate is {words}, and the client left right after it was shown; the reason it gave, if \
         any, is encrypted."
    );
    visible_fault(facts, fault, summary)
}

fn revoked(facts: &Facts<'_>) -> Option<Conclusion> {
    let refusal = alerted(facts, description::CERTIFICATE_REVOKED)?;
    let summary = "The client refused the server's certificate because its issuer has revoked it.";
    Some(with_refusal(Conclusion::confirmed(Phase::Tls, summary), facts, refusal))
}

fn wrong_usage(facts: &Facts<'_>) -> Option<Conclusion> {
    let certificate = facts.tls.certificate.as_ref().filter(|certificate| certificate.has_wrong_usage())?;
    let usages = certificate.leaf.extended_key_usage.clone().unwrap_or_default().join(", ");
    let fault = format!("the certificate for {} is only for {usages}", certificate.subject());
    let summary = format!(
        "The server's certificate is not meant for servers (it allows {usages}), and the client left right after it \
         was shown."
    );
    visible_fault(facts, fault, summary)
}

fn untrusted(facts: &Facts<'_>) -> Option<Conclusion> {
    let certificate = facts.tls.certificate.as_ref();
    if let Some(refusal) = alerted(facts, description::UNKNOWN_CA) {
        let why = match certificate {
            Some(certificate) if certificate.leaf.self_issued => "it is self-signed".to_owned(),
            Some(certificate) => format!(
                "its issuer {} is not among those the client trusts, or an intermediate certificate is missing",
                certificate.leaf.issuer_cn.as_deref().unwrap_or(&certificate.leaf.issuer)
            ),
            None => "its issuer is not among those the client trusts".to_owned(),
        };
        let summary = format!("The client does not trust the server's certificate: {why}.");
        return Some(with_refusal(Conclusion::confirmed(Phase::Tls, summary), facts, refusal));
    }
    let certificate = certificate.filter(|certificate| certificate.leaf.self_issued)?;
    let fault = format!(
        "the certificate for {} is self-signed; the server sent {} certificate(s)",
        certificate.subject(),
        certificate.chain_length
    );
    let summary =
        "The server's certificate is self-signed, which a client only takes when it is told to, and the \
                   client left right after it was shown."
            .to_owned();
    visible_fault(facts, fault, summary)
}

fn name_mismatch(facts: &Facts<'_>) -> Option<Conclusion> {
    let certificate = facts.tls.certificate.as_ref()?;
    let asked = facts.tls.client_hello.and_then(|hello| hello.what.server_name.as_deref())?;
    let names = certificate.names();
    let fault = format!("the client asks for {asked}; the certificate is for {names}");
    match certificate.name {
        NameCheck::Differs => {
            let summary = format!(
                "The client dialled {asked}, the server's certificate is for {names}, and the client left right \
                 after it was shown."
            );
            visible_fault(facts, fault, summary)
        }
        NameCheck::DiffersThroughProxy => {
            let summary = format!(
                "The client dialled {asked} to reach rdpscope and left right after a certificate for {names}: through \
                 that name no certificate of the server can match, so this may be rdpscope's own doing."
            );
            let conclusion = visible_fault(facts, fault, summary)?;
            let conclusion = conclusion.advise(PROXY_NAME).try_next(facts.fill(DIAL_BY_NAME));
            Some(Conclusion { confidence: Confidence::Possible, ..conclusion })
        }
        NameCheck::Unknown | NameCheck::Matches => None,
    }
}

fn weak(facts: &Facts<'_>) -> Option<Conclusion> {
    let certificate = facts.tls.certificate.as_ref()?;
    let weaknesses = certificate.weaknesses();
    let words: Vec<String> = weaknesses.iter().map(Weakness::to_string).collect();
    let words = if words.is_empty() { return None } else { words.join(", ") };
    let fault = format!("the certificate for {}: {words}", certificate.subject());
    let summary = format!(
        "The server's certificate is weak ({words}), which some clients refuse, and the client left right after it \
         was shown."
    );
    let conclusion = visible_fault(facts, fault, summary)?;
    let says_so = matches!(
        facts.refusal(),
        Some(Refusal::Alert { description: description::UNSUPPORTED_CERTIFICATE, .. })
    );
    let is_hopeless = |weakness: &Weakness| match weakness {
        Weakness::Md5Signature => true,
        Weakness::ShortRsaKey { bits } => *bits < HOPELESS_RSA_BITS,
        _ => false,
    };
    if says_so || weaknesses.iter().any(is_hopeless) {
        return Some(conclusion);
    }
    Some(Conclusion { confidence: Confidence::Possible, ..conclusion })
}

fn rejected(facts: &Facts<'_>) -> Option<Conclusion> {
    let refusal = unexplained(facts)?;
    let hidden_causes =
        [VerdictId::CertificateExpired, VerdictId::CertificateNameMismatch, VerdictId::CertificateUntrusted];
    let conclusion = match (refusal, facts.tls.certificate.as_ref()) {
        (_, Some(certificate)) if certificate.has_visible_fault() => return None,
        (Refusal::Alert { .. }, certificate) => {
            let summary = match certificate {
                Some(_) => {
                    "The client refused the server's certificate without saying why, and no fault can be seen in it."
                }
                None => "The client refused the server's certificate without saying why.",
            };
            Conclusion::confirmed(Phase::Tls, summary).or_possibly(&[VerdictId::CertificateUntrusted])
        }
        (Refusal::Left { .. }, Some(certificate)) => left_a_good_certificate(certificate),
        (Refusal::Left { after_us, .. }, None) => {
            let summary = format!(
                "The client left {} after the TLS handshake without sending anything, as clients do that refuse a \
                 certificate; TLS 1.3 hides both the certificate and the reason.",
                span(after_us)
            );
            let confidence = if refusal.is_automatic() { Confidence::Likely } else { Confidence::Possible };
            Conclusion::new(confidence, Phase::Tls, summary).or_possibly(&hidden_causes)
        }
    };
    Some(with_refusal(conclusion, facts, refusal))
}

fn left_a_good_certificate(certificate: &CertificateFacts<'_>) -> Conclusion {
    let summary = format!(
        "The client left right after the server's certificate was shown; in the certificate for {} no fault can be \
         seen, but the client may not trust its issuer {}, or may have been closed by its user.",
        certificate.subject(),
        certificate.leaf.issuer_cn.as_deref().unwrap_or(&certificate.leaf.issuer)
    );
    Conclusion::possible(Phase::Tls, summary).or_possibly(&[
        VerdictId::CertificateUntrusted,
        VerdictId::CertificateRevoked,
        VerdictId::ClientClosed,
    ])
}

impl Facts<'_> {
    /// What in the certificate a user may have been asked about, in words.
    pub(super) fn asked_about_certificate(&self) -> Option<String> {
        let certificate = self.tls.certificate.as_ref()?;
        if certificate.is_expired() || certificate.is_not_yet_valid() {
            Some(format!("its certificate, which {}", certificate.validity_words()))
        } else if certificate.is_for_another_name() {
            Some(format!("its certificate, which is for {}", certificate.names()))
        } else if certificate.leaf.self_issued {
            Some("its certificate, which is self-signed".to_owned())
        } else {
            None
        }
    }

    /// Whether the client went on after the server had shown its certificate.
    pub(super) fn client_accepted_certificate(&self) -> bool {
        self.inside.client_went_on.is_some() || self.inside.active.is_some()
    }
}
