//! What makes a session through rdpscope different from one without it, so that a comparison would mislead: above all
//! that a client which dials localhost looks for a server of that name.

use super::certificate::DIAL_BY_NAME;
use super::facts::{Dialled, Facts, NameCheck, Refusal, Seen};
use super::whose::Whose;
use super::words::list;
use crate::trace::{Finding, Micros, Phase, VerdictId};
use rdpscope_certs::mode::Repair;

/// SPNEGO's name for Kerberos.
const KERBEROS: &str = "Kerberos";

/// One thing that is not as it would be without rdpscope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confounder {
    /// A short name, kebab-case, beginning with `confounder-`.
    pub id: &'static str,
    /// When it was seen.
    pub t_us: Micros,
    /// The phase that it disturbs.
    pub phase: Phase,
    /// What it is and what follows from it, one sentence.
    pub text: String,
    /// How to do without it, one step each: sentences, or commands of rdpscope.
    pub way_round: Vec<String>,
}

impl Confounder {
    /// As a note beside a verdict.
    pub fn finding(&self) -> Finding {
        let round = if self.way_round.is_empty() {
            String::new()
        } else {
            format!(" Instead: {}.", self.way_round.join("; "))
        };
        Finding {
            id: self.id.to_owned(),
            phase: self.phase,
            text: format!("Confounder: {}{round}", self.text),
        }
    }
}

/// Everything in the session that would be otherwise without rdpscope, in the order of the phases.
pub(super) fn all(facts: &Facts<'_>) -> Vec<Confounder> {
    if facts.is_recorded {
        return Vec::new();
    }
    let found = [
        impaired(facts),
        prompt(facts),
        stripped_nla(facts),
        masked_mismatch(facts),
        dialled_name(facts),
        unknown_authority(facts),
        differences(facts),
        other_key(facts),
        service_name(facts),
        kerberos_fallback(facts),
    ];
    found.into_iter().flatten().chain(not_altered(facts)).collect()
}

/// The confounders that are worth a note beside `verdict`: those that may have done harm and that it does not tell.
pub(super) fn worth_a_note(facts: &Facts<'_>, verdict: VerdictId) -> Vec<Confounder> {
    let mut found = all(facts);
    found.retain(|confounder| match confounder.id {
        "confounder-masked-mismatch" | "confounder-not-altered" => true,
        "confounder-authority" => verdict != VerdictId::CertificateUntrusted,
        "confounder-key-binding" => !matches!(verdict, VerdictId::NlaKeyBinding | VerdictId::Healthy),
        "confounder-mirror-differs" => verdict.as_str().starts_with("certificate-"),
        "confounder-prompt" => false,
        _ => verdict != VerdictId::Healthy,
    });
    found
}

fn impaired(facts: &Facts<'_>) -> Option<Confounder> {
    let first = facts.impaired.shaped.first().map(|shaped| shaped.t_us);
    let t_us = first.or(facts.impaired.cuts.first().map(|cut| cut.t_us))?;
    Some(Confounder {
        id: "confounder-impaired",
        t_us,
        phase: Phase::Tcp,
        text: format!(
            "rdpscope makes the connection worse, as --impair asks ({}): what is slow, or fails for being slow, says \
             nothing of the network and the server.",
            list(&facts.impaired.settings())
        ),
        way_round: vec![facts.fill("rdpscope proxy {target}")],
    })
}

fn prompt(facts: &Facts<'_>) -> Option<Confounder> {
    (facts.came_back && facts.may_be_a_prompt()).then(|| Confounder {
        id: "confounder-prompt",
        t_us: facts.ending.t_us,
        phase: facts.stopped_in(),
        text: "The client cut this connection to ask its user something: how far it got says nothing."
            .to_owned(),
        way_round: vec!["count only the connection after it".to_owned()],
    })
}

fn stripped_nla(facts: &Facts<'_>) -> Option<Confounder> {
    facts.stripped_nla.map(|t_us| Confounder {
        id: "confounder-nla-stripped",
        t_us,
        phase: Phase::X224,
        text: "rdpscope took network level authentication (NLA) out of what the client offers, as --nla strip asks \
               for: that there was none says nothing of the server."
            .to_owned(),
        way_round: Vec::new(),
    })
}

fn masked_mismatch(facts: &Facts<'_>) -> Option<Confounder> {
    let what = facts.masked_mismatch()?;
    Some(Confounder {
        id: "confounder-masked-mismatch",
        t_us: facts.tls.server_hello.map_or(0, |hello| hello.t_us),
        phase: Phase::Tls,
        text: format!(
            "Client and server have nothing in common without rdpscope: {what}; between them alone the TLS handshake \
             would fail."
        ),
        way_round: vec![facts.fill("rdpscope proxy {target}")],
    })
}

/// The lines with which a client on this machine dials the server's real name.
fn by_real_name(facts: &Facts<'_>) -> Vec<String> {
    vec![
        facts.fill("the line `127.0.0.2 {host}` in the hosts file"),
        facts.fill(DIAL_BY_NAME),
        facts.fill("`mstsc /v:{host}:13389`"),
    ]
}

/// The name under which the client looks for a certificate, where it only uses that because of rdpscope and the
/// certificate is for another.
fn dialled_name(facts: &Facts<'_>) -> Option<Confounder> {
    let is_trap = match facts.shown() {
        Some(certificate) => certificate.name == NameCheck::DiffersThroughProxy,
        // TLS 1.3 that passes through hides the certificate, but no server has one for this machine's names.
        None => facts.tls.server_hello.is_some() && !facts.tls.terminated,
    };
    let Dialled { name, .. } = facts.dialled().filter(|dialled| dialled.is_proxys_own && is_trap)?;
    let mut way_round = by_real_name(facts);
    way_round.push("or a certificate that carries both names (--cert fresh, --cert mirror+names)".to_owned());
    Some(Confounder {
        id: "confounder-dialled-name",
        t_us: facts.tls.client_hello.map_or(0, |hello| hello.t_us),
        phase: Phase::Tls,
        text: format!(
            "The client dialled {name} to reach rdpscope and compares the certificate with that: a mismatch of names is \
             no fault of the server."
        ),
        way_round,
    })
}

/// The service that the client asks for, where it is a name of this machine.
pub(super) fn service_of_proxy<'a>(facts: &Facts<'a>) -> Option<Seen<&'a str>> {
    facts.logon.service.filter(|service| {
        let host = service.what.split_once('/').map_or(service.what, |(_, host)| host);
        let host = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.contains(':') => {
                name
            }
            _ => host,
        };
        facts.is_proxys_own(host)
    })
}

fn service_name(facts: &Facts<'_>) -> Option<Confounder> {
    let service = service_of_proxy(facts)?;
    Some(Confounder {
        id: "confounder-service-name",
        t_us: service.t_us,
        phase: Phase::Credssp,
        text: format!(
            "The client asks for the service {}, because it dialled rdpscope: there is no Kerberos ticket for that, and \
             servers that check the name refuse it.",
            service.what
        ),
        way_round: by_real_name(facts),
    })
}

fn kerberos_fallback(facts: &Facts<'_>) -> Option<Confounder> {
    let ntlm = facts.logon.ntlm.filter(|_| facts.logon.kerberos.is_none())?;
    let offered = facts.logon.offered.iter().any(|mechanism| mechanism.contains(KERBEROS));
    let through_proxy = service_of_proxy(facts).is_some()
        || facts.dialled().is_some_and(|dialled| dialled.is_proxys_own)
        || facts.logon.terminated;
    (offered && through_proxy).then(|| Confounder {
        id: "confounder-kerberos-fallback",
        t_us: ntlm,
        phase: Phase::Credssp,
        text: "The client offers Kerberos and logs on by NTLM, as it has no ticket for the name that it dialled: with \
               the server's own name it would probably be Kerberos."
            .to_owned(),
        way_round: by_real_name(facts),
    })
}

fn unknown_authority(facts: &Facts<'_>) -> Option<Confounder> {
    let refusal = facts.refusal().filter(|_| facts.shows_our_authority())?;
    let may_be_it = match refusal {
        Refusal::Alert { description, .. } => !matches!(description, 44 | 45),
        Refusal::Left { .. } => true,
    };
    may_be_it.then(|| Confounder {
        id: "confounder-authority",
        t_us: refusal.t_us(),
        phase: Phase::Tls,
        text: "The client was shown a certificate of rdpscope's own CA, and it is not known whether it trusts that."
            .to_owned(),
        way_round: vec!["trust the CA that --ca-out ca.pem writes on the client".to_owned()],
    })
}

fn differences(facts: &Facts<'_>) -> Option<Confounder> {
    let presented = facts.tls.presented.as_ref().filter(|presented| !presented.differences.is_empty())?;
    let is_copy =
        facts.whose(Repair::Names) == Whose::Mirrored || facts.whose(Repair::Dates) == Whose::Mirrored;
    is_copy.then(|| Confounder {
        id: "confounder-mirror-differs",
        t_us: presented.certificate.t_us,
        phase: Phase::Tls,
        text: format!(
            "The mirrored certificate is not in all things like the server's own: {}.",
            presented.differences.join(", ")
        ),
        way_round: Vec::new(),
    })
}

fn other_key(facts: &Facts<'_>) -> Option<Confounder> {
    let t_us = facts.tls.key_binding_foreseen?;
    Some(Confounder {
        id: "confounder-key-binding",
        t_us,
        phase: Phase::Credssp,
        text: "Network level authentication (NLA) cannot come to its end over another key than the server's: what \
               counts is how far the client gets before it."
            .to_owned(),
        way_round: if facts.gateway.is_some() {
            vec![
                "--inner-cert file:SERVER.pfx shows the server's own certificate".to_owned(),
                "--inner-nla terminate logs on by itself".to_owned(),
                "--inner-nla strip leaves NLA out".to_owned(),
            ]
        } else {
            vec![
                "--renew-with SERVER.pfx signs for the server's own key".to_owned(),
                "--nla terminate logs on by itself".to_owned(),
                "--nla strip leaves NLA out".to_owned(),
            ]
        },
    })
}

fn not_altered(facts: &Facts<'_>) -> impl Iterator<Item = Confounder> {
    facts.not_altered.iter().map(|not| {
        let (setting, reason) = not.what;
        Confounder {
            id: "confounder-not-altered",
            t_us: not.t_us,
            phase: facts.stopped_in(),
            text: format!("{setting} changed nothing in this session: {reason}."),
            way_round: Vec::new(),
        }
    })
}
