//! The TLS handshake, apart from the certificate.

use super::facts::{Facts, Seen};
use super::loss::Resent;
use super::rule::{Conclusion, Remedy, Rule};
use super::words::{SECOND, ended, list, span};
use crate::trace::{ClosedBy, Confidence, Phase, Side, VerdictId, Where};
use crate::wire::tls::{Alert, ClientHello};

/// A server that cannot use its key or finds no common version drops the connection in milliseconds; so much later it
/// is a time-out.
const DROP_US: u64 = 5 * SECOND;

/// Nobody computes a handshake message for so long, and no round trip takes it; xfreerdp gives up after 10 s.
const STALL_US: u64 = 5 * SECOND;

/// One segment sent again is everyday life; two and more while nothing else moves are a hole in the path.
const STALL_RETRANSMISSIONS: u64 = 2;

/// Alert descriptions of RFC 8446 section 6 that rules ask for.
mod description {
    pub(super) const HANDSHAKE_FAILURE: u8 = 40;
    pub(super) const ACCESS_DENIED: u8 = 49;
    pub(super) const PROTOCOL_VERSION: u8 = 70;
    pub(super) const INSUFFICIENT_SECURITY: u8 = 71;
    pub(super) const INTERNAL_ERROR: u8 = 80;
    pub(super) const INAPPROPRIATE_FALLBACK: u8 = 86;
}

const SCHANNEL_EVENTS: Remedy = Remedy::command(
    Where::Server,
    "Read what Schannel logged: 36870 key not accessible, 36871 TLS disabled by policy, 36874 no common cipher.",
    "Get-WinEvent -FilterHashtable @{LogName='System';ProviderName='Schannel'} -MaxEvents 20",
);
const KEY_EVENTS: Remedy = Remedy::command(
    Where::Server,
    "Look for events 1057 and 1058: Windows could not make or replace its Remote Desktop certificate.",
    "Get-WinEvent -FilterHashtable @{LogName='System';Id=1057,1058} -MaxEvents 5",
);
const SAVE_KEY_RIGHTS: Remedy = Remedy::command(
    Where::Server,
    "Write down the rights on the key store before changing any; this changes nothing.",
    "icacls C:\\ProgramData\\Microsoft\\Crypto\\RSA\\MachineKeys /t /c > machinekeys.txt",
);
const KEY_RIGHTS: Remedy = Remedy::command(
    Where::Server,
    "Give the Remote Desktop service read access to the key store.",
    "icacls C:\\ProgramData\\Microsoft\\Crypto\\RSA\\MachineKeys /t /c /grant \"NT AUTHORITY\\NETWORK SERVICE:(R)\"",
);
const RENEW: Remedy = Remedy::command(
    Where::Server,
    "Let Windows make a new certificate and key; restarting TermService cuts every session on the server.",
    "Restart-Service SessionEnv -Force; Restart-Service TermService -Force",
);
const TLS_POLICY: Remedy = Remedy::command(
    Where::Server,
    "See which TLS versions the server has switched off.",
    "Get-ChildItem HKLM:\\SYSTEM\\CurrentControlSet\\Control\\SecurityProviders\\SCHANNEL\\Protocols -Recurse",
);

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: VerdictId::TlsVersionMismatch,
        needs: "a TLS alert in clear",
        depends_on: &[],
        is_last_resort: false,
        judge: version_mismatch,
        next: &["rdpscope probe {target}", "rdpscope ab {target} --vary tls"],
        fix: &[
            Remedy::by_hand(Where::Client, "Update the client, or let it use TLS 1.2."),
            TLS_POLICY,
            SCHANNEL_EVENTS,
        ],
    },
    Rule {
        id: VerdictId::TlsCipherMismatch,
        needs: "a TLS alert in clear",
        depends_on: &[],
        is_last_resort: false,
        judge: cipher_mismatch,
        next: &["rdpscope probe {target}", "rdpscope ab {target} --vary tls"],
        fix: &[
            Remedy::command(
                Where::Server,
                "See which cipher suites the server has left.",
                "Get-TlsCipherSuite | ft Name",
            ),
            SCHANNEL_EVENTS,
            Remedy::by_hand(Where::Client, "Update the client, or its policy on cipher suites."),
        ],
    },
    Rule {
        id: VerdictId::ServerKeyUnusable,
        needs: "a ClientHello, and the server's end or alert right after it",
        depends_on: &[],
        is_last_resort: false,
        judge: server_key_unusable,
        next: &["rdpscope probe {target}", "rdpscope ab {target} --vary tls"],
        fix: &[SCHANNEL_EVENTS, KEY_EVENTS, SAVE_KEY_RIGHTS, KEY_RIGHTS, RENEW],
    },
    Rule {
        id: VerdictId::TlsStalled,
        needs: "a TLS handshake in which one side's next message did not come for seconds",
        depends_on: &[VerdictId::ClientPrompted],
        is_last_resort: false,
        judge: stalled,
        next: &["rdpscope ab {target} --vary mss", "ping -f -l 1472 {host}"],
        fix: &[
            Remedy::by_hand(
                Where::Network,
                "Let ICMP \"fragmentation needed\" through, or lower the largest segment (MSS) on the VPN or router.",
            ),
            Remedy::by_hand(
                Where::Network,
                "If something inspects TLS on the way, take this connection out of the inspection.",
            ),
        ],
    },
    Rule {
        id: VerdictId::ServerClosed,
        needs: "the TLS alert access_denied in clear from the server",
        depends_on: &[],
        is_last_resort: false,
        judge: access_denied,
        next: &["rdpscope probe {target}"],
        fix: &[SCHANNEL_EVENTS],
    },
    Rule {
        id: VerdictId::ProtocolError,
        needs: "a fatal TLS alert after the handshake, readable where TLS is terminated",
        depends_on: &[VerdictId::NlaLogonFailed, VerdictId::NlaKeyBinding, VerdictId::NlaEncryptionOracle],
        is_last_resort: false,
        judge: late_alert,
        next: &["rdpscope probe {target}"],
        fix: &[SCHANNEL_EVENTS],
    },
    Rule {
        id: VerdictId::ProtocolError,
        needs: "any other fatal TLS alert in clear",
        depends_on: &[
            VerdictId::TlsVersionMismatch,
            VerdictId::TlsCipherMismatch,
            VerdictId::ServerKeyUnusable,
            VerdictId::NotIntercepted,
        ],
        is_last_resort: false,
        judge: other_alert,
        next: &["rdpscope probe {target}"],
        fix: &[
            Remedy::by_hand(
                Where::Network,
                "Try once without whatever inspects or shapes traffic between client and server.",
            ),
            SCHANNEL_EVENTS,
        ],
    },
];

/// The first fatal alert: from whom, its number, and the evidence that it is.
fn alert(facts: &Facts<'_>) -> Option<(Side, u8, u64, String)> {
    // What the client refuses of rdpscope's own handshake says nothing of the server's.
    let is_ours = |alert: &Seen<(Side, &Alert)>| facts.tls.terminated && alert.what.0 == Side::Client;
    let alert = facts.tls.alert.filter(|alert| !is_ours(alert))?;
    let (from, message) = alert.what;
    let name = message.description_name.as_deref().unwrap_or("without a name");
    let text = format!("the {from} sends the TLS alert {name} ({})", message.description);
    Some((from, message.description, alert.t_us, text))
}

fn offered_versions(facts: &Facts<'_>) -> String {
    match facts.tls.client_hello {
        Some(hello) if !hello.what.supported_versions.is_empty() => list(&hello.what.supported_versions),
        Some(hello) => format!("up to {}", hello.what.max_version),
        None => "nothing that was seen".to_owned(),
    }
}

fn version_mismatch(facts: &Facts<'_>) -> Option<Conclusion> {
    let Some((from, number, t_us, text)) = alert(facts) else { return old_versions_dropped(facts) };
    let offers = offered_versions(facts);
    if from == Side::Server && facts.offers_fewer_versions() {
        return None;
    }
    let conclusion = match (number, from, facts.tls.server_hello) {
        (description::PROTOCOL_VERSION, Side::Client, Some(hello)) => {
            let summary =
                format!("The server chose {}, and the client refuses that TLS version.", hello.what.version);
            Conclusion::confirmed(Phase::Tls, summary)
        }
        // OpenSSL 3 takes TLS 1.0 and then none of the signatures that it has.
        (description::INTERNAL_ERROR | description::HANDSHAKE_FAILURE, Side::Client, Some(hello))
            if matches!(hello.what.version.as_str(), "SSL3.0" | "TLS1.0" | "TLS1.1") =>
        {
            let summary = format!(
                "The server chose {}, and the client broke off: what is signed in that version current clients do not \
                 take any more.",
                hello.what.version
            );
            Conclusion::likely(Phase::Tls, summary)
        }
        (description::PROTOCOL_VERSION, ..) => {
            let summary = format!("Client and server share no TLS version: the client offers {offers}.");
            Conclusion::confirmed(Phase::Tls, summary)
        }
        (description::INAPPROPRIATE_FALLBACK, ..) => {
            let summary = format!(
                "The client tried again with an older TLS version ({offers}) and the server refused that on purpose."
            );
            Conclusion::likely(Phase::Tls, summary)
        }
        _ => return None,
    };
    Some(conclusion.seen(t_us, text))
}

/// Versions that current servers have switched off; some drop a client that offers nothing newer without an alert.
const OLD_VERSIONS: [&str; 4] = ["SSL2.0", "SSL3.0", "TLS1.0", "TLS1.1"];

/// Whether the server was offered nothing newer; where TLS is terminated, rdpscope's own hello is what it saw.
fn offers_only_old_versions(facts: &Facts<'_>, hello: &ClientHello) -> bool {
    !facts.tls.terminated && OLD_VERSIONS.contains(&hello.max_version.as_str())
}

fn old_versions_dropped(facts: &Facts<'_>) -> Option<Conclusion> {
    let (hello, after) =
        dropped_at_hello(facts).filter(|(hello, _)| offers_only_old_versions(facts, hello.what))?;
    let how = ended(facts.ending.how);
    let summary = format!(
        "The server {how} {} after the client's first TLS message, which offers {}: current servers have these versions \
         switched off.",
        span(after),
        offered_versions(facts)
    );
    let others = [VerdictId::ServerKeyUnusable, VerdictId::TlsCipherMismatch, VerdictId::TlsInspected];
    Some(seen_drop(Conclusion::likely(Phase::Tls, summary).or_possibly(&others), facts, hello))
}

/// The first TLS message, where a server of RDP or a gateway did not answer it with its own. TLS that neither agreed to says
/// nothing of their keys and versions.
fn unanswered_hello<'a>(facts: &Facts<'a>) -> Option<Seen<&'a ClientHello>> {
    let agreed = facts.negotiation.confirm.is_some() || facts.at_gateway;
    facts.tls.client_hello.filter(|_| agreed && facts.tls.server_hello.is_none())
}

/// The server left right after the first TLS message and said nothing: that message, and how long after it, µs.
fn dropped_at_hello<'a>(facts: &Facts<'a>) -> Option<(Seen<&'a ClientHello>, u64)> {
    let hello = unanswered_hello(facts).filter(|_| alert(facts).is_none())?;
    let after = facts.left_after(hello.t_us);
    let dropped = facts.ended_by(Side::Server) && after < DROP_US && facts.malformed.is_none();
    dropped.then_some((hello, after))
}

fn seen_drop(conclusion: Conclusion, facts: &Facts<'_>, hello: Seen<&ClientHello>) -> Conclusion {
    let how = ended(facts.ending.how);
    conclusion
        .seen(hello.t_us, format!("the client sends its ClientHello ({})", offered_versions(facts)))
        .seen(facts.ending.t_us, format!("the server {how} without a ServerHello or an alert"))
}

fn cipher_mismatch(facts: &Facts<'_>) -> Option<Conclusion> {
    let (from, number, t_us, text) = alert(facts)?;
    if from == Side::Server && facts.tls.server_hello.is_some() {
        // It has chosen from what the client offers.
        return None;
    }
    let right_after_hello = from == Side::Server;
    let offered_less = right_after_hello && facts.offers_fewer_suites();
    if offered_less && facts.tls.legacy.is_none() {
        return None;
    }
    let confidence = match number {
        description::INSUFFICIENT_SECURITY | description::HANDSHAKE_FAILURE if offered_less => {
            Confidence::Likely
        }
        description::INSUFFICIENT_SECURITY => Confidence::Confirmed,
        description::HANDSHAKE_FAILURE if right_after_hello => Confidence::Confirmed,
        description::HANDSHAKE_FAILURE => Confidence::Likely,
        _ => return None,
    };
    let summary = match from {
        Side::Server => {
            "The server accepts none of the cipher suites, groups or signatures that the client offers."
        }
        Side::Client => "The client does not accept what the server chose or showed in the TLS handshake.",
    };
    Some(Conclusion::new(confidence, Phase::Tls, summary).seen(t_us, text))
}

fn server_key_unusable(facts: &Facts<'_>) -> Option<Conclusion> {
    if alert(facts).is_some() {
        return failed_by_itself(facts);
    }
    let (hello, after) =
        dropped_at_hello(facts).filter(|(hello, _)| !offers_only_old_versions(facts, hello.what))?;
    let how = ended(facts.ending.how);
    let summary = format!(
        "The server {how} {} after the client's first TLS message and said nothing: most often it cannot use the \
         private key of its certificate.",
        span(after)
    );
    let mut others =
        vec![VerdictId::TlsVersionMismatch, VerdictId::TlsCipherMismatch, VerdictId::TlsInspected];
    if facts.tls.hello_retry {
        others.remove(0);
    }
    if facts.offers_fewer_suites() {
        others.push(VerdictId::NotIntercepted);
    }
    Some(seen_drop(Conclusion::likely(Phase::Tls, summary).or_possibly(&others), facts, hello))
}

fn failed_by_itself(facts: &Facts<'_>) -> Option<Conclusion> {
    unanswered_hello(facts)?;
    let (from, number, t_us, text) = alert(facts)?;
    if from != Side::Server || number != description::INTERNAL_ERROR {
        return None;
    }
    let summary = "The server failed by itself on the client's first TLS message, most often because it cannot \
                   use the private key of its certificate.";
    let conclusion = Conclusion::likely(Phase::Tls, summary);
    Some(conclusion.or_possibly(&[VerdictId::TlsVersionMismatch]).seen(t_us, text))
}

fn stalled(facts: &Facts<'_>) -> Option<Conclusion> {
    let hello = facts.tls.client_hello?;
    if facts.tls.complete.is_some() || facts.tls.alert.is_some() || facts.inside.active.is_some() {
        return None;
    }
    if let Some(conclusion) = flight_never_arrives(facts, hello.t_us) {
        return Some(conclusion);
    }
    match facts.tls.server_hello {
        None => no_server_flight(facts, hello.t_us),
        Some(_) => flight_incomplete(facts).or_else(|| client_does_not_go_on(facts)),
    }
}

/// A capture shows of which of the server's segments only the last came: the large ones are not there, and the client
/// asked for them to the end.
fn flight_never_arrives(facts: &Facts<'_>, hello_us: u64) -> Option<Conclusion> {
    let lost = facts.never_arrived.filter(|lost| lost.what.0 == Side::Server)?;
    let waited = facts.left_after(hello_us);
    if waited < stall_us(facts) {
        return None;
    }
    let bytes = lost.what.1;
    let summary = format!(
        "{bytes} bytes of the server's part of the TLS handshake never arrived, though what follows them did, and the \
         client waited {} for them: segments of their size are lost on the way (path MTU).",
        span(waited)
    );
    let conclusion = Conclusion::likely(Phase::Tls, summary).or_possibly(&[VerdictId::LinkLossy]);
    Some(
        conclusion
            .seen(hello_us, "the client sends its ClientHello")
            .seen(lost.t_us, format!("the client still asks for {bytes} bytes of the server's answer")),
    )
}

fn no_server_flight(facts: &Facts<'_>, hello_us: u64) -> Option<Conclusion> {
    let waited = facts.left_after(hello_us);
    if waited < stall_us(facts) {
        return None;
    }
    let gave_up = match facts.ending.by {
        Some(ClosedBy::Server) => "the server closed the connection",
        None if facts.is_recorded => "the capture ends",
        _ => "it was given up",
    };
    let summary = format!(
        "The client's first TLS message got no answer for {}, then {gave_up}: it or the answer was lost on the way, \
         or something in between holds it.",
        span(waited)
    );
    let conclusion = if facts.ended_by(Side::Server) {
        Conclusion::possible(Phase::Tls, summary)
    } else {
        Conclusion::likely(Phase::Tls, summary)
    };
    let conclusion = conclusion.or_possibly(&[VerdictId::ServerKeyUnusable, VerdictId::TlsInspected]);
    let conclusion = conclusion.seen(hello_us, "the client sends its ClientHello; no answer came");
    Some(with_retransmissions(conclusion, facts, Side::Server))
}

/// TLS 1.2 and older: the server's flight is in clear, so that a part that is missing is seen to be missing.
fn flight_incomplete(facts: &Facts<'_>) -> Option<Conclusion> {
    let hello = facts.tls.server_hello?;
    let last = facts.tls.last[Side::Server.index()]?;
    let waited = facts.left_after(last);
    let client_answered = facts.tls.last[Side::Client.index()].is_some_and(|client| client > last);
    let is_complete = facts.tls.server_hello_done || facts.tls.server_leg_complete.is_some();
    if hello.what.version == "TLS1.3" || is_complete || client_answered || waited < stall_us(facts) {
        return None;
    }
    let summary = format!(
        "The server's part of the TLS handshake came only in part, then nothing for {}: large segments are lost on \
         the way.",
        span(waited)
    );
    let conclusion =
        Conclusion::likely(Phase::Tls, summary).seen(last, "the last message of the server's flight");
    Some(with_retransmissions(conclusion, facts, Side::Server))
}

/// rdpscope takes the server's flight off the wire, so that a flight that the client never gets shows as segments
/// sent to it again and again.
fn client_does_not_go_on(facts: &Facts<'_>) -> Option<Conclusion> {
    let last = facts.presented_us().or(facts.tls.last[Side::Server.index()])?;
    let waited = facts.left_after(last);
    let client_answered = facts.tls.last[Side::Client.index()].is_some_and(|client| client > last);
    let lost = retransmissions(facts, Side::Client)?.segments >= STALL_RETRANSMISSIONS;
    if !lost || client_answered || waited < stall_us(facts) || facts.tls.encrypted_alert[0].is_some() {
        return None;
    }
    let summary = format!(
        "The certificate was sent to the client again and again and the client did not go on for {}: large \
         segments are lost {}.",
        span(waited),
        if facts.is_recorded { "on the way to it" } else { "between rdpscope and the client" }
    );
    let conclusion =
        Conclusion::likely(Phase::Tls, summary).seen(last, "the last message of the server's flight");
    Some(with_retransmissions(conclusion, facts, Side::Client))
}

/// From when on a silence is a stall, beyond what rdpscope itself adds on request.
fn stall_us(facts: &Facts<'_>) -> u64 {
    STALL_US + facts.impaired.delay_us
}

fn retransmissions(facts: &Facts<'_>, side: Side) -> Option<Resent> {
    facts.links[side.index()].as_ref().and_then(Resent::of)
}

fn with_retransmissions(conclusion: Conclusion, facts: &Facts<'_>, side: Side) -> Conclusion {
    match retransmissions(facts, side) {
        Some(Resent { again, unit, .. }) => {
            let text = format!("{again} {unit} to the {side} had to be sent again");
            conclusion.seen(facts.ending.t_us, text)
        }
        None => conclusion,
    }
}

fn access_denied(facts: &Facts<'_>) -> Option<Conclusion> {
    let (from, number, t_us, text) = alert(facts)?;
    let summary = "The server denied access during the TLS handshake; an RDP server says so when it refuses the \
                   credentials.";
    let conclusion = Conclusion::confirmed(Phase::Tls, summary).or_possibly(&[VerdictId::NlaLogonFailed]);
    (from == Side::Server && number == description::ACCESS_DENIED).then(|| conclusion.seen(t_us, text))
}

fn other_alert(facts: &Facts<'_>) -> Option<Conclusion> {
    let (from, number, t_us, text) = alert(facts)?;
    if facts.refusal().is_some() || (from == Side::Server && number == description::ACCESS_DENIED) {
        return None;
    }
    let meaning = facts.tls.alert.and_then(|alert| alert.what.1.describe()).map(|known| known.meaning);
    let said = match facts.tls.alert.and_then(|alert| alert.what.1.description_name.as_deref()) {
        Some(name) => format!("{name} ({number})"),
        None => format!("number {number}, which has no name"),
    };
    let meaning = meaning.map_or_else(String::new, |meaning| format!(": {meaning}"));
    let summary = format!("The {from} broke the TLS handshake off with the alert {said}{meaning}.");
    let conclusion = Conclusion::confirmed(Phase::Tls, summary);
    let asked = facts.tls.client_certificate_requested.filter(|_| from == Side::Server);
    let conclusion = match asked {
        Some(asked) => conclusion
            .or_possibly(&[VerdictId::ClientCertificateRequired])
            .seen(asked, "the server asks for a certificate of the client"),
        None => conclusion,
    };
    Some(conclusion.seen(t_us, text))
}

/// A side that breaks TLS off in the middle of what runs inside, where nothing inside says why.
fn late_alert(facts: &Facts<'_>) -> Option<Conclusion> {
    let alert = facts.tls.late_alert?;
    let (from, message) = alert.what;
    let is_explained =
        facts.logon.status.is_some() || facts.inside.error_info.is_some() || facts.inside.ultimatum.is_some();
    let leaves_a_session = from == Side::Client && facts.inside.active.is_some();
    if is_explained || leaves_a_session {
        return None;
    }
    let name = message.description_name.as_deref().unwrap_or("without a name");
    let said = format!("{name} ({})", message.description);
    let phase = facts.stopped_in();
    let summary = format!("The {from} broke the connection off in phase {phase} with the TLS alert {said}.");
    Some(
        Conclusion::confirmed(phase, summary)
            .seen(alert.t_us, format!("the {from} sends the TLS alert {said}")),
    )
}
