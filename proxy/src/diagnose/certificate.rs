//! The client refuses the certificate that it was shown, or seems to: the server's, or ours in its place.

use super::facts::{CertificateFacts, Facts, NameCheck, Refusal};
use super::rule::{Conclusion, Remedy, Rule};
use super::whose::{OTHER_MODE, TRUST_OURS, Whose};
use super::words::{capital, ended, span};
use crate::trace::{Confidence, Phase, VerdictId, Where};
use rdpscope_certs::inspect::Weakness;
use rdpscope_certs::mode::Repair;

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
/// With the name in the hosts file rdpscope must not look it up as well: it would find itself.
pub(super) const PROXY_NAME: &[Remedy] = &[
    Remedy::by_hand(
        Where::Client,
        "Let the client dial the real name through rdpscope: start it as under \"next\", put the line \
         `127.0.0.2 {host}` into the hosts file for the test, and connect to {host}:13389, with Windows' own client by \
         `mstsc /v:{host}:13389`. On macOS `sudo ifconfig lo0 alias 127.0.0.2` comes first.",
    ),
    Remedy::by_hand(
        Where::Client,
        "Or show the client a certificate that carries both names, which --cert fresh and --cert mirror+names do.",
    ),
];
pub(super) const DIAL_BY_NAME: &str = "rdpscope proxy {target} --listen 127.0.0.2:13389 --address {server}";
const TRUST: Remedy = Remedy::by_hand(
    Where::Client,
    "Install the certificate of the issuing CA, or for a test this one, among the trusted roots of the client.",
);

/// Another reading of the same observations is a question to the user, or a refusal with a stated reason; and what is
/// wrong with the certificate of something that inspects TLS is its doing.
const READ_BEFORE: &[VerdictId] =
    &[VerdictId::ClientPrompted, VerdictId::NlaNotOffered, VerdictId::TlsInspected];

/// Where what the client refused is not the server's, its own is what should be looked at next.
const SHOW_ITS_OWN: &[&str] = &["rdpscope ab {target} --vary cert", "rdpscope proxy {target}"];

/// A rule of this family.
const fn rule(
    id: VerdictId,
    needs: &'static str,
    judge: fn(&Facts<'_>) -> Option<Conclusion>,
    next: &'static [&'static str],
    fix: &'static [Remedy],
) -> Rule {
    Rule { id, needs, depends_on: READ_BEFORE, is_last_resort: false, judge, next, fix }
}

/// The commands that prove a cause: the experiment, and the one that repairs only what is at fault.
macro_rules! prove {
    ($mode:literal) => {
        &[
            "rdpscope ab {target} --vary cert",
            concat!("rdpscope proxy {target} --cert ", $mode, " --ca-out ca.pem"),
            "rdpscope probe {target}",
        ]
    };
}

const VISIBLE: &str = "the certificate (visible up to TLS 1.2, or where TLS is terminated), the wall clock, and the client's refusal";

pub(super) const RULES: &[Rule] = &[
    rule(
        VerdictId::CertificateExpired,
        VISIBLE,
        expired,
        prove!("mirror+dates"),
        &[SHOW, RENEW, BIND_ANOTHER, CLIENT_CLOCK],
    ),
    rule(
        VerdictId::CertificateNotYetValid,
        VISIBLE,
        not_yet_valid,
        prove!("mirror+dates"),
        &[
            CLIENT_CLOCK,
            Remedy::command(Where::Server, "Set the server's clock by the domain's.", "w32tm /resync"),
            SHOW,
            RENEW,
        ],
    ),
    rule(
        VerdictId::CertificateRevoked,
        "the TLS alert certificate_revoked, readable in clear or where TLS is terminated",
        revoked,
        prove!("fresh"),
        &[
            BIND_ANOTHER,
            Remedy::by_hand(Where::Network, "If it should not be revoked, ask the issuing CA why it is."),
        ],
    ),
    rule(
        VerdictId::CertificateWrongUsage,
        VISIBLE,
        wrong_usage,
        prove!("mirror+usage"),
        &[SHOW, BIND_ANOTHER, RENEW],
    ),
    rule(
        VerdictId::CertificateUntrusted,
        VISIBLE,
        untrusted,
        prove!("mirror+issuer"),
        &[TRUST, BIND_ANOTHER],
    ),
    rule(
        VerdictId::CertificateNameMismatch,
        "the certificate (visible up to TLS 1.2, or where TLS is terminated), the name that the client asked for, and \
         the client's refusal",
        name_mismatch,
        prove!("mirror+names"),
        &[REAL_NAME, BIND_ANOTHER],
    ),
    rule(VerdictId::CertificateWeak, VISIBLE, weak, prove!("mirror+strength"), &[BIND_ANOTHER, RENEW]),
    rule(
        VerdictId::CertificateRejected,
        "the client's end or alert right after the server's part of the TLS handshake",
        rejected,
        prove!("fresh"),
        &[
            Remedy::by_hand(
                Where::Client,
                "Look at the certificate that `rdpscope cert show {target}` shows: its dates, names and issuer.",
            ),
            SHOW,
        ],
    ),
];

/// How sure it is that the client refused for a fault that is visible, and not for something else.
fn strength(facts: &Facts<'_>, refusal: Refusal) -> Confidence {
    if facts.gateway_is_opaque() {
        return Confidence::Possible;
    }
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
    let how = ended(facts.ending.how);
    let text = match refusal {
        Refusal::Alert { description, .. } => {
            let name = facts.tls.alert.and_then(|alert| alert.what.1.description_name.as_deref());
            format!("the client sends the TLS alert {} ({description})", name.unwrap_or("without a name"))
        }
        Refusal::Left { after_us, farewell: Some(said), .. } => {
            format!("{} after the handshake the client sent {said} and {how}", span(after_us))
        }
        Refusal::Left { after_us, farewell: None, .. } => {
            format!("{} after the server's part of the handshake the client {how}", span(after_us))
        }
    };
    conclusion.seen(refusal.t_us(), text)
}

/// What the client did, for the end of a sentence about a fault that can be seen.
fn left_after_it(facts: &Facts<'_>) -> &'static str {
    match facts.refusal() {
        Some(Refusal::Alert { .. }) => "the client refused it without naming a reason",
        Some(Refusal::Left { .. }) if facts.tls.terminated || facts.tls.opened => {
            "the client left right after it was shown and gave no reason"
        }
        _ => "the client left right after it was shown; the reason it gave, if any, is encrypted",
    }
}

/// A conclusion about a property of the certificate that the client was shown. What only rdpscope's certificate has is
/// never mended on the server.
fn about(whose: Whose<'_>, confidence: Confidence, summary: &str) -> Conclusion {
    let conclusion = Conclusion::new(confidence, Phase::Tls, format!("{summary}{}.", whose.remark()));
    advised(conclusion, whose)
}

fn advised(conclusion: Conclusion, whose: Whose<'_>) -> Conclusion {
    if whose.is_servers() { conclusion } else { conclusion.advise(OTHER_MODE).propose(SHOW_ITS_OWN) }
}

/// A fault that can be seen in the certificate, beside a refusal whose reason cannot be read.
fn visible_fault(facts: &Facts<'_>, property: Repair, fault: String, is: &str) -> Option<Conclusion> {
    let certificate = facts.shown()?;
    let refusal = unexplained(facts)?;
    let whose = facts.whose(property);
    let (subject, aside) = (capital(whose.certificate()), whose.aside());
    let nothing = if whose.is_servers() { "" } else { "; that says nothing against the server" };
    let summary = format!("{subject}{aside} {is}, and {}{nothing}.", left_after_it(facts));
    let conclusion = Conclusion::new(strength(facts, refusal), Phase::Tls, summary);
    let conclusion =
        if refusal.is_automatic() { conclusion } else { conclusion.or_possibly(&[VerdictId::ClientClosed]) };
    let conclusion = advised(conclusion, whose).seen(certificate.t_us, fault);
    Some(with_refusal(conclusion, facts, refusal))
}

fn expired(facts: &Facts<'_>) -> Option<Conclusion> {
    let alert = alerted(facts, description::CERTIFICATE_EXPIRED);
    let Some(certificate) = facts.shown() else {
        let summary =
            "The client refused the server's certificate because it is outside its validity period.";
        let conclusion =
            Conclusion::likely(Phase::Tls, summary).or_possibly(&[VerdictId::CertificateNotYetValid]);
        return Some(with_refusal(conclusion, facts, alert?));
    };
    let words = certificate.validity_words();
    let fault = format!("the certificate for {} {words}", certificate.subject());
    let whose = facts.whose(Repair::Dates);
    if let Some(refusal) = alert {
        if certificate.is_not_yet_valid() {
            return None;
        }
        let conclusion = if certificate.is_expired() {
            let summary = format!("The client refused {}: it {words}", whose.certificate());
            about(whose, Confidence::Confirmed, &summary)
        } else {
            let summary = format!(
                "The client says that {} is outside its validity period, but by the clock of this machine it is \
                 {words}: the client's clock is probably wrong.",
                whose.certificate()
            );
            Conclusion::likely(Phase::Tls, summary).advise(&[CLIENT_CLOCK])
        };
        return Some(with_refusal(conclusion.seen(certificate.t_us, fault), facts, refusal));
    }
    certificate.is_expired().then(|| visible_fault(facts, Repair::Dates, fault, &words))?
}

fn not_yet_valid(facts: &Facts<'_>) -> Option<Conclusion> {
    let certificate = facts.shown().filter(|certificate| certificate.is_not_yet_valid())?;
    let words = certificate.validity_words();
    let fault = format!("the certificate for {} is {words}", certificate.subject());
    if let Some(refusal) = alerted(facts, description::CERTIFICATE_EXPIRED) {
        let whose = facts.whose(Repair::Dates);
        let summary = format!("The client refused {}: it is {words}", whose.certificate());
        let conclusion = about(whose, Confidence::Confirmed, &summary).seen(certificate.t_us, fault);
        return Some(with_refusal(conclusion, facts, refusal));
    }
    visible_fault(facts, Repair::Dates, fault, &format!("is {words}"))
}

fn revoked(facts: &Facts<'_>) -> Option<Conclusion> {
    let refusal = alerted(facts, description::CERTIFICATE_REVOKED)?;
    let whose = facts.whose(Repair::Issuer);
    let summary = format!("The client refused {} because its issuer has revoked it", whose.certificate());
    Some(with_refusal(about(whose, Confidence::Confirmed, &summary), facts, refusal))
}

fn wrong_usage(facts: &Facts<'_>) -> Option<Conclusion> {
    let certificate = facts.shown().filter(|certificate| certificate.has_wrong_usage())?;
    let usages = certificate.leaf.extended_key_usage.clone().unwrap_or_default().join(", ");
    let fault = format!("the certificate for {} is only for {usages}", certificate.subject());
    visible_fault(facts, Repair::Usage, fault, &format!("is not meant for servers (it allows {usages})"))
}

fn untrusted(facts: &Facts<'_>) -> Option<Conclusion> {
    if facts.shows_our_authority() {
        return our_authority(facts);
    }
    let certificate = facts.shown();
    let whose = facts.whose(Repair::Issuer);
    let conclusion = if let Some(refusal) = alerted(facts, description::UNKNOWN_CA) {
        let why = match certificate {
            Some(certificate) if certificate.leaf.self_issued => "it is self-signed".to_owned(),
            Some(certificate) => format!(
                "its issuer {} is not among those the client trusts, or an intermediate certificate is missing",
                certificate.leaf.issuer_cn.as_deref().unwrap_or(&certificate.leaf.issuer)
            ),
            None => "its issuer is not among those the client trusts".to_owned(),
        };
        let summary = format!("The client does not trust {}: {why}", whose.certificate());
        with_refusal(about(whose, Confidence::Confirmed, &summary), facts, refusal)
    } else {
        let certificate = certificate.filter(|certificate| certificate.leaf.self_issued)?;
        let fault = format!(
            "the certificate for {} is self-signed, with {} certificate(s) in the chain",
            certificate.subject(),
            certificate.chain.len()
        );
        let is = "is self-signed, which a client only takes when it is told to";
        visible_fault(facts, Repair::Issuer, fault, is)?
    };
    Some(with_copied_trust(conclusion, facts, whose))
}

/// A client that was told to trust the server's self-signed certificate, or has pinned it, does not know its copy: unless
/// it says what it minds, the copy may be all that it minds.
fn with_copied_trust(mut conclusion: Conclusion, facts: &Facts<'_>, whose: Whose<'_>) -> Conclusion {
    let Some(presented) = facts.tls.presented.as_ref().filter(|_| whose == Whose::Mirrored) else {
        return conclusion;
    };
    if conclusion.confidence == Confidence::Likely {
        conclusion.confidence = Confidence::Possible;
    }
    conclusion.seen(
        presented.certificate.t_us,
        "the copy has another thumbprint: a client that was told to trust the server's own, or has pinned it, does not \
         know it",
    )
}

/// The client was shown a certificate of rdpscope's CA, which it only trusts when it is told to.
fn our_authority(facts: &Facts<'_>) -> Option<Conclusion> {
    let presented = facts.tls.presented.as_ref()?;
    let certificate = &presented.certificate;
    let issuer = certificate.leaf.issuer_cn.as_deref().unwrap_or(&certificate.leaf.issuer);
    let (confidence, refusal, summary) = match alerted(facts, description::UNKNOWN_CA) {
        Some(refusal) => {
            let summary = "The client does not trust rdpscope's own CA, which issued the certificate that it was shown \
                           in the place of the server's";
            (Confidence::Confirmed, refusal, summary)
        }
        None => {
            let refusal = unexplained(facts)?;
            let summary = "The client left right after it was shown a certificate of rdpscope's own CA, which it has \
                           to be told to trust";
            let is_only_fault = !certificate.has_visible_fault();
            let confidence = if is_only_fault { strength(facts, refusal) } else { Confidence::Possible };
            (confidence, refusal, summary)
        }
    };
    let conclusion = about(Whose::Proxy, confidence, summary)
        .advise(TRUST_OURS)
        .try_next(facts.fill(&format!("rdpscope proxy {{target}} --cert {} --ca-out ca.pem", presented.mode)))
        .seen(certificate.t_us, format!("rdpscope shows a certificate that {issuer} issued"));
    Some(with_refusal(conclusion, facts, refusal))
}

fn name_mismatch(facts: &Facts<'_>) -> Option<Conclusion> {
    let certificate = facts.shown()?;
    let dialled = facts.dialled()?;
    let asked = &dialled.name;
    let names = certificate.names();
    let fault = match dialled.is_stated {
        true => format!("the client asks for {asked}; the certificate is for {names}"),
        false => {
            format!("the client names no server in TLS and reached {asked}; the certificate is for {names}")
        }
    };
    match certificate.name {
        NameCheck::Differs => {
            let is = format!("is for {names}, but the client dialled {asked}");
            visible_fault(facts, Repair::Names, fault, &is)
        }
        NameCheck::DiffersThroughProxy => {
            let conclusion = visible_fault(facts, Repair::Names, fault, "")?;
            let summary = format!(
                "The client dialled {asked} to reach rdpscope and left right after a certificate for {names}: through \
                 that name no certificate of the server can match, so this may be rdpscope's own doing."
            );
            let conclusion = conclusion.advise(PROXY_NAME).try_next(facts.fill(DIAL_BY_NAME));
            Some(Conclusion { confidence: Confidence::Possible, summary, ..conclusion })
        }
        NameCheck::Unknown | NameCheck::Matches => None,
    }
}

fn weak(facts: &Facts<'_>) -> Option<Conclusion> {
    let certificate = facts.shown()?;
    let weaknesses = certificate.weaknesses();
    let words: Vec<String> = weaknesses.iter().map(Weakness::to_string).collect();
    let words = if words.is_empty() { return None } else { words.join(", ") };
    let fault = format!("the certificate for {}: {words}", certificate.subject());
    let is = format!("is weak ({words}), which some clients refuse");
    let conclusion = visible_fault(facts, Repair::Strength, fault, &is)?;
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
    if facts.gateway_is_opaque() && matches!(refusal, Refusal::Left { .. }) {
        return None;
    }
    let hidden_causes =
        [VerdictId::CertificateExpired, VerdictId::CertificateNameMismatch, VerdictId::CertificateUntrusted];
    let conclusion = match (refusal, facts.shown()) {
        (_, Some(_)) if facts.shows_our_authority() => return None,
        (_, Some(certificate)) if certificate.has_visible_fault() => return None,
        (Refusal::Alert { .. }, certificate) => {
            let whose = facts.whose(Repair::Issuer);
            let seen = if certificate.is_some() { ", and no fault can be seen in it" } else { "" };
            let summary = format!("The client refused {} without saying why{seen}", whose.certificate());
            about(whose, Confidence::Confirmed, &summary).or_possibly(&[VerdictId::CertificateUntrusted])
        }
        (Refusal::Left { .. }, Some(certificate)) => left_a_good_certificate(facts, certificate),
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

fn left_a_good_certificate(facts: &Facts<'_>, certificate: &CertificateFacts<'_>) -> Conclusion {
    let whose = facts.whose(Repair::Issuer);
    let summary = format!(
        "The client left right after {} was shown; in the certificate for {} no fault can be seen, but the client may \
         not trust its issuer {}, or may have been closed by its user",
        whose.certificate(),
        certificate.subject(),
        certificate.leaf.issuer_cn.as_deref().unwrap_or(&certificate.leaf.issuer)
    );
    about(whose, Confidence::Possible, &summary).or_possibly(&[
        VerdictId::CertificateUntrusted,
        VerdictId::CertificateRevoked,
        VerdictId::ClientClosed,
    ])
}

impl Facts<'_> {
    /// What in the certificate a user may have been asked about, in words.
    pub(super) fn asked_about_certificate(&self) -> Option<String> {
        let certificate = self.shown()?;
        if certificate.is_expired() || certificate.is_not_yet_valid() {
            Some(format!("its certificate, which {}", certificate.validity_words()))
        } else if certificate.is_for_another_name() {
            Some(format!("its certificate, which is for {}", certificate.names()))
        } else if certificate.leaf.self_issued {
            Some("its certificate, which is self-signed".to_owned())
        } else if self.shows_our_authority() {
            Some("the certificate, which rdpscope's own CA issued".to_owned())
        } else {
            None
        }
    }
}
