//! The logon at the gateway: by HTTP, by extended authentication inside the tunnel, or by a cookie.

use super::super::facts::{Author, Exchange, Facts, Gateway, Seen};
use super::super::inspection::inspector;
use super::super::rule::{Conclusion, Remedy, Rule};
use super::reach::with_answers;
use super::tunnel::{code, is, status_words};
use super::{LOG, PROBE, rule, unless};
use crate::trace::{Authentication, Confidence, HttpResponse, Phase, Side, VerdictId, Where};
use crate::wire::named::Code;
use crate::wire::tsgu::Packet;

/// SEC_E_BAD_BINDINGS and STATUS_BAD_BINDINGS.
const BAD_BINDINGS: [u32; 2] = [0x8009_0346, 0xC000_035B];
/// The high half of the numbers of SSPI.
const SSPI: u32 = 0x8009_0000;
/// The high half of the numbers of NTSTATUS that refuse.
const NTSTATUS: u32 = 0xC000_0000;
/// TLS alert certificate_required (RFC 8446 6.2).
const CERTIFICATE_REQUIRED: u8 = 116;
/// The status with which IIS answers who shows no certificate.
const FORBIDDEN: u16 = 403;
/// What http.sys and most others write where they mean nothing special.
const PLAIN_REASONS: [&str; 2] = ["unauthorized", ""];

pub(super) const RULES: &[Rule] = &[
    rule(
        VerdictId::GatewayChannelBinding,
        "a logon that is bound to TLS, another certificate in the way, and the gateway's refusal",
        channel_binding,
        &[
            "rdpscope proxy {target} --gateway {gateway} --cert passthrough",
            "rdpscope proxy {target} --gateway {gateway} --cert file:GATEWAY.pfx",
            "rdpscope ab {target} --gateway {gateway} --vary cert",
        ],
        &[
            Remedy::by_hand(
                Where::Client,
                "There is nothing to mend on the gateway. --renew-with does not help here: the binding is to the \
                 certificate and not to its key. What helps is a certificate that the gateway itself presents (--cert \
                 file: with the gateway's own certificate and key), a logon by Basic or by a cookie (PAA), which bind \
                 nothing, or --cert passthrough, which leaves TLS alone.",
            ),
            Remedy::by_hand(
                Where::Network,
                "If it is not rdpscope that opens TLS but a box on the way, take the connection to {gateway} out of its \
                 inspection.",
            ),
        ],
    ),
    rule(
        VerdictId::GatewayChannelBinding,
        "the gateway's CertificateRequest, TLS that ends in rdpscope, and the gateway's refusal",
        client_certificate,
        &["rdpscope proxy {target} --gateway {gateway} --cert passthrough"],
        &[Remedy::by_hand(
            Where::Client,
            "There is nothing to mend on the gateway, and no other certificate of --cert helps: the proof that the smart \
             card makes is for one TLS connection. --cert passthrough leaves TLS alone and lets it through; with a logon by \
             password, where the gateway takes one, TLS can end in rdpscope.",
        )],
    ),
    unless(
        rule(
            VerdictId::GatewayAuthFailed,
            "the answers 401 to a logon, the status of extended authentication, or the codes of a cookie",
            auth_failed,
            PROBE,
            &[
                Remedy::by_hand(
                    Where::Client,
                    "Try the same user and password straight from the client, with the domain in front (DOMAIN\\user \
                     or user@domain), and see whether they are those for the gateway and not those for the computer.",
                ),
                Remedy::command(
                    Where::Gateway,
                    "Read why logons failed: the status in event 4625 says whether it was the password, the account or \
                     a policy.",
                    "Get-WinEvent -FilterHashtable @{LogName='Security';Id=4625} -MaxEvents 5 | fl TimeCreated,Message",
                ),
                LOG,
            ],
        ),
        &[VerdictId::GatewayChannelBinding],
    ),
];

const OTHER_SCHEME: &[Remedy] = &[Remedy::by_hand(
    Where::Gateway,
    "Let the gateway, or the proxy before it that asks for the logon, offer Negotiate or NTLM too; or take a client that has \
     the scheme it offers.",
)];

/// What helps where no rdpscope is on the way.
const BOUND_ELSEWHERE: &[Remedy] = &[Remedy::by_hand(
    Where::Network,
    "There is nothing to mend on the gateway: the logon is bound to the certificate that the client sees, and the gateway \
     knows another. Take the connection to {gateway} out of whatever opens TLS on the way, or give that the gateway's own \
     certificate.",
)];

/// A logon that the gateway refused by HTTP.
struct Refused<'f, 'a> {
    exchange: &'f Exchange<'a>,
    response: Seen<&'a HttpResponse>,
    authorization: &'a Authentication,
}

/// The last answer is 401 although the client had sent all that it has.
fn refused<'f, 'a>(gateway: &'f Gateway<'a>) -> Option<Refused<'f, 'a>> {
    let (exchange, response) = gateway.last_answered().filter(|(_, response)| response.what.status == 401)?;
    let authorization = exchange.request?.what.authorization.as_ref()?;
    let goes_on = matches!(authorization.token.as_deref(), Some("NTLM negotiate" | "NTLM challenge"));
    (!goes_on || !is_challenged(response.what)).then_some(Refused { exchange, response, authorization })
}

/// The answer is a step of the logon, and not its end.
fn is_challenged(response: &HttpResponse) -> bool {
    response.challenges.iter().any(|challenge| challenge.token.is_some())
}

/// Why the certificate that the client bound its logon to is not the gateway's own.
fn other_certificate(facts: &Facts<'_>, gateway: &Gateway<'_>, connection: u32) -> Option<Other> {
    let tls = gateway.tls.get(&connection).or(gateway.last_tls())?;
    let own = tls.certificate.as_ref();
    if let Some(presented) = &tls.presented {
        let shown = &presented.certificate.leaf.sha256;
        return own.is_none_or(|own| own.leaf.sha256 != *shown).then_some(Other::Ours);
    }
    let issuer = own.and_then(|own| inspector(own.chain)).filter(|_| !facts.is_inside())?;
    Some(Other::OfABox(issuer.to_owned()))
}

/// Whose certificate the client saw in the place of the gateway's.
enum Other {
    Ours,
    OfABox(String),
}

impl Other {
    fn words(&self) -> String {
        match self {
            Other::Ours => "rdpscope shows the client another certificate than the gateway's".to_owned(),
            Other::OfABox(issuer) => {
                format!("something on the way shows the client another certificate, issued by {issuer}")
            }
        }
    }
}

fn channel_binding(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway_without_channel()?;
    if let Some(stated) = stated(gateway, |number| BAD_BINDINGS.contains(&number)) {
        let why = other_certificate(facts, gateway, 0).map(|other| format!(": {}", other.words()));
        let summary = format!(
            "The gateway refused the logon because it is bound to another TLS connection{}; that is no fault of the \
             gateway.",
            why.unwrap_or_default()
        );
        let conclusion = Conclusion::confirmed(Phase::GatewayAuth, summary);
        let conclusion = if facts.is_recorded { conclusion.advise(BOUND_ELSEWHERE) } else { conclusion };
        return Some(conclusion.seen(stated.t_us, status_words(stated.what)));
    }
    let refused = refused(gateway)?;
    let other = other_certificate(facts, gateway, refused.exchange.connection)?;
    if refused.authorization.channel_bindings != Some(true) {
        return None;
    }
    let summary = format!(
        "{}, and the client bound its logon ({}) to that: a gateway that checks the binding answers 401 whatever the \
         password; this is not the gateway's fault.",
        super::super::words::capital(&other.words()),
        scheme_words(refused.authorization),
    );
    let conclusion =
        Conclusion::likely(Phase::GatewayAuth, summary).or_possibly(&[VerdictId::GatewayAuthFailed]);
    let conclusion = if facts.is_recorded { conclusion.advise(BOUND_ELSEWHERE) } else { conclusion };
    let conclusion = match refused.exchange.request {
        Some(request) => conclusion
            .seen(request.t_us, "NTLM's authenticate message carries channel bindings that are not zero"),
        None => conclusion,
    };
    Some(with_answers(conclusion, gateway))
}

/// The gateway asks for the certificate of its client, and the client's cannot be shown on a connection that is rdpscope's.
fn client_certificate(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway_without_channel()?;
    let tls = if facts.at_gateway { &facts.tls } else { gateway.last_tls()? };
    let requested = tls.client_certificate_requested.filter(|_| tls.terminated)?;
    let alerts = [tls.alert, tls.late_alert].into_iter().flatten();
    let refusal = alerts.filter(|alert| alert.what.0 == Side::Server).map(|alert| alert.what.1).next();
    let denied = gateway.last_answered().filter(|(_, response)| response.what.status == FORBIDDEN);
    let (confidence, refused) = match (refusal, denied) {
        (Some(alert), _) if alert.description == CERTIFICATE_REQUIRED => {
            (Confidence::Confirmed, "the gateway's TLS alert certificate_required".to_owned())
        }
        (Some(alert), _) => (
            Confidence::Likely,
            format!(
                "the gateway's TLS alert {}",
                alert.description_name.as_deref().unwrap_or("without a name")
            ),
        ),
        (None, Some(_)) => (Confidence::Likely, format!("the gateway's answer {FORBIDDEN}")),
        (None, None) => return None,
    };
    let summary = format!(
        "The gateway {} asks for the client's certificate in TLS, as it does for a smart card, and TLS ends in rdpscope: a \
         client certificate cannot pass TLS that is terminated in between. That is not the gateway's fault.",
        gateway.name
    );
    let conclusion = Conclusion::new(confidence, Phase::GatewayTls, summary)
        .seen(requested, "the gateway sends CertificateRequest, and rdpscope has no certificate to show");
    Some(conclusion.seen(requested, format!("after that comes {refused}")))
}

/// `Negotiate with NTLM`, `Basic`.
fn scheme_words(authorization: &Authentication) -> String {
    let token = authorization.token.as_deref().and_then(|token| token.split(' ').next());
    match token.filter(|token| !token.eq_ignore_ascii_case(&authorization.scheme)) {
        Some(token) => format!("{} with {token}", authorization.scheme),
        None => authorization.scheme.clone(),
    }
}

/// A status inside the tunnel whose number is one of those.
fn stated<'a>(gateway: &Gateway<'a>, is_it: impl Fn(u32) -> bool) -> Option<Seen<(&'a str, &'a Code)>> {
    gateway.failures().into_iter().find(|failure| is_it(failure.what.1.value))
}

fn auth_failed(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway.as_ref()?;
    let by_code = by_code(facts, gateway);
    if by_code.is_some() || facts.gateway_without_channel().is_none() {
        return by_code;
    }
    by_http(facts, gateway)
        .or_else(|| by_extended_authentication(gateway))
        .or_else(|| never_tried(facts, gateway))
}

fn by_code(facts: &Facts<'_>, gateway: &Gateway<'_>) -> Option<Conclusion> {
    let failure = gateway.failures().into_iter().find(|failure| {
        is(failure.what.1, code::COOKIES) || is(failure.what.1, &[code::REAUTH_AUTHN_FAILED])
    })?;
    let status = failure.what.1;
    let paa = gateway.packet(Side::Client, |packet| match packet {
        Packet::TunnelCreate { paa_cookie_length: Some(length), .. } => Some(*length),
        _ => None,
    });
    let summary = if is(status, &[code::REAUTH_AUTHN_FAILED]) {
        "The gateway checked the user again while the session ran, and the user could not be authenticated any more."
    } else if is(status, &[code::UNSUPPORTED_AUTHENTICATION]) && paa.is_some() {
        "The client brings a cookie (PAA) and the gateway does not take cookies: it wants a logon."
    } else if is(status, &[code::UNSUPPORTED_AUTHENTICATION]) {
        "The gateway wants a cookie (PAA) and the client logs on by itself: the profile needs a gatewayaccesstoken."
    } else if is(status, &[code::COOKIE_BAD_PACKET]) {
        "The gateway cannot read the cookie (PAA) that the client brings: it is cut short or made for another gateway."
    } else {
        "The gateway refused the cookie (PAA) that the client brings: it has expired, was used already, or was made for \
         another gateway."
    };
    let phase = if facts.is_inside() { facts.stopped_in() } else { Phase::GatewayTunnel };
    let conclusion = Conclusion::confirmed(phase, summary).seen(failure.t_us, status_words(failure.what));
    Some(match paa {
        Some(paa) => conclusion.seen(paa.t_us, format!("the client sends a cookie of {} bytes", paa.what)),
        None => conclusion,
    })
}

/// The client logs on in a way that the gateway does not offer: nobody has looked at a password.
fn not_offered(gateway: &Gateway<'_>, refused: &Refused<'_, '_>) -> Option<Conclusion> {
    let schemes = offered(refused.response.what);
    let its_own = &refused.authorization.scheme;
    let responses = gateway.tunnel_exchanges().filter_map(|exchange| exchange.response);
    let mut all = responses.flat_map(|response| offered(response.what));
    if schemes.is_empty() || all.any(|scheme| scheme.eq_ignore_ascii_case(its_own)) {
        return None;
    }
    let summary = format!(
        "The gateway {} takes a logon by {} alone, and the client logs on by {}, which it does not speak of: the password was \
         not even looked at.",
        gateway.name,
        schemes.join(" or "),
        scheme_words(refused.authorization)
    );
    let conclusion = Conclusion::confirmed(Phase::GatewayAuth, summary);
    Some(with_answers(conclusion, gateway).advise(OTHER_SCHEME))
}

/// The schemes that a response asks for, each once.
fn offered(response: &HttpResponse) -> Vec<&str> {
    let mut schemes: Vec<&str> = Vec::new();
    for challenge in &response.challenges {
        if !schemes.contains(&challenge.scheme.as_str()) {
            schemes.push(&challenge.scheme);
        }
    }
    schemes
}

fn by_http(facts: &Facts<'_>, gateway: &Gateway<'_>) -> Option<Conclusion> {
    let refused = refused(gateway)?;
    if let Some(conclusion) = not_offered(gateway, &refused) {
        return Some(conclusion);
    }
    let reason = refused.response.what.reason.trim();
    let is_plain = PLAIN_REASONS.iter().any(|plain| reason.eq_ignore_ascii_case(plain));
    let said = if is_plain { String::new() } else { format!("; it says \"{reason}\"") };
    let restricted = reason.to_ascii_lowercase().contains("restricted");
    let why = match (restricted, refused.authorization.token.as_deref()) {
        (true, Some(token)) if token.starts_with("NTLM") => {
            ": the account may not log on this way, as members of Protected Users may not by NTLM"
        }
        (true, _) => ": the account may not log on this way",
        _ => "",
    };
    let summary = format!(
        "The gateway {} refused the logon by {}{said}{why}.",
        gateway.name,
        scheme_words(refused.authorization)
    );
    let mut conclusion = Conclusion::confirmed(Phase::GatewayAuth, summary);
    let author = Author::of(refused.response.what);
    if refused.authorization.token.is_some() && !matches!(author, Author::Windows(_)) {
        let summary = format!(
            "{} Or {} goes to the gateway on another connection for each request, which no logon by NTLM survives.",
            conclusion.summary,
            author.words()
        );
        conclusion = Conclusion { summary, confidence: Confidence::Likely, ..conclusion };
        conclusion = conclusion.or_possibly(&[VerdictId::GatewayResponseMalformed]);
    }
    if let Some(request) = refused.exchange.request {
        let what = refused.authorization.token.as_deref().unwrap_or("credentials");
        let text = format!("the client sends {what} ({})", refused.authorization.scheme);
        conclusion = conclusion.seen(request.t_us, text);
    }
    let bound = refused.authorization.channel_bindings != Some(false)
        && refused.authorization.token.is_some()
        && other_certificate(facts, gateway, refused.exchange.connection).is_some();
    if bound {
        conclusion = conclusion.or_possibly(&[VerdictId::GatewayChannelBinding]);
    }
    Some(with_answers(conclusion, gateway))
}

/// Extended authentication, whose messages carry numbers of SSPI (MS-TSGU 2.2.10.7).
fn by_extended_authentication(gateway: &Gateway<'_>) -> Option<Conclusion> {
    let of_a_logon = |value: u32| matches!(value & 0xFFFF_0000, SSPI | NTSTATUS);
    let failure = stated(gateway, of_a_logon)?;
    let status = failure.what.1;
    let summary = format!(
        "The gateway {} refused the logon inside the tunnel (extended authentication): {}.",
        gateway.name,
        status.name.clone().unwrap_or_else(|| format!("{:#010x}", status.value)),
    );
    let conclusion =
        Conclusion::confirmed(Phase::GatewayAuth, summary).or_possibly(&[VerdictId::GatewayChannelBinding]);
    Some(conclusion.seen(failure.t_us, status_words(failure.what)))
}

/// The gateway asks for a logon and the client leaves without one: it has none of the schemes, or no credentials.
fn never_tried(facts: &Facts<'_>, gateway: &Gateway<'_>) -> Option<Conclusion> {
    let (exchange, response) = gateway.last_answered().filter(|(_, response)| response.what.status == 401)?;
    if facts.came_back || exchange.request.is_some_and(|request| request.what.authorization.is_some()) {
        return None;
    }
    let schemes = offered(response.what);
    let offered = if schemes.is_empty() { "no scheme at all".to_owned() } else { schemes.join(", ") };
    let summary = format!(
        "The gateway {} asks for a logon ({offered}) and the client left without one: it has no credentials for the \
         gateway, was asking its user, or knows none of these schemes.",
        gateway.name
    );
    let conclusion = Conclusion::new(Confidence::Possible, Phase::GatewayAuth, summary);
    Some(with_answers(conclusion, gateway))
}
