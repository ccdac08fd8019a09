//! What rdpscope itself does where it terminates TLS, in words.

use crate::report::safe;
use crate::trace::{Detail, Event, GatewayMessage, Leg, Phase};

pub(super) fn describe(events: &[Event]) -> Vec<String> {
    events.iter().filter_map(clause).collect()
}

fn clause(event: &Event) -> Option<String> {
    let leg = if event.leg == Leg::Client { "client" } else { "server" };
    let far = if event.phase == Phase::GatewayTls { "gateway" } else { "server" };
    Some(match &event.detail {
        Detail::CertificatePresented { mode, same_key, differences, .. } => {
            let key =
                if *same_key { format!("for the {far}'s own key") } else { "with another key".to_owned() };
            let but = match differences.as_slice() {
                [] => String::new(),
                differences => format!("; unlike the original: {}", joined(differences)),
            };
            format!("client is shown rdpscope's certificate (--cert {}), {key}{but}", safe::name(mode))
        }
        Detail::CertificateJudged { trusted, reason, name, name_matches, verifier, by_rules } => {
            let trusted = if *trusted { "trusted" } else { "not trusted" };
            let why = reason.as_deref().map(|reason| format!(": {}", own(reason))).unwrap_or_default();
            let by = verifier.as_deref().map_or_else(|| "this machine".to_owned(), own);
            let (is, name) = (if *name_matches { "is" } else { "is not" }, safe::name(name));
            let verdict =
                format!("the {far}'s certificate is {trusted} by {by}{why}; it {is} for the name {name}");
            by_rules.iter().filter(|other| other.trusted == Some(false)).fold(verdict, |text, other| {
                let reason = other.reason.as_deref().map(own).unwrap_or_default();
                format!("{text}; {} refuses it by its rules: {reason}", own(&other.platform))
            })
        }
        Detail::ClientCertificateRequested => {
            format!("{far} asks for the client's certificate, and rdpscope has none to show")
        }
        Detail::LegacyTls { reason } => format!("by the second TLS stack: {}", own(reason)),
        Detail::TerminationFailed { reason, advice } => format!("{}; {}", own(reason), own(advice)),
        Detail::NotAltered { setting, reason } => {
            format!("{} changed nothing: {}", own(setting), own(reason))
        }
        Detail::CredsspTerminated { succeeded: true, reason } => {
            let how = reason.as_deref().map_or_else(String::new, |how| format!(": {}", own(how)));
            format!("rdpscope's own NLA with the {leg} came through{how}")
        }
        Detail::CredsspTerminated { reason, .. } => {
            let reason = reason.as_deref().map(own).unwrap_or_default();
            format!("rdpscope's own NLA with the {leg} failed: {reason}")
        }
        _ => return None,
    })
}

/// Said at once, before the client wastes its attempt.
pub(in crate::report) fn warning(detail: &Detail) -> Option<String> {
    match detail {
        Detail::KeyBindingForeseen { advice } => Some(format!(
            "this logon will fail: NLA binds to the server's key, and the client sees another one; that is rdpscope's \
             doing, not the server's. Instead: {}",
            joined(advice)
        )),
        Detail::Gateway(GatewayMessage::SideChannelNotRelayed { port, reason }) => Some(format!(
            "the gateway's UDP is not relayed: rdpscope cannot listen on its port {port} ({}), so the session runs over \
             TCP alone. Free the port, or give another address with --listen",
            own(reason)
        )),
        _ => None,
    }
}

fn joined(parts: &[String]) -> String {
    parts.iter().map(|part| own(part)).collect::<Vec<_>>().join("; ")
}

/// Our own sentence, in which names from the wire may stand.
fn own(text: &str) -> String {
    safe::neutralise(text, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdpscope_certs::clients::{Basis, PlatformVerdict};

    #[test]
    fn who_says_what_of_a_certificate() {
        let by_rules = |platform: &str, refusal: Option<&str>| PlatformVerdict {
            platform: platform.to_owned(),
            basis: Basis::Rules,
            trusted: refusal.map(|_| false),
            reason: Some(refusal.unwrap_or("it depends").to_owned()),
        };
        let detail = Detail::CertificateJudged {
            trusted: false,
            reason: Some("its issuer has revoked it".to_owned()),
            name: "srv10".to_owned(),
            name_matches: true,
            verifier: Some("Windows' verifier".to_owned()),
            by_rules: vec![
                by_rules("mstsc (Windows)", None),
                by_rules("Windows App (macOS, iOS)", Some("it has no alternative names")),
            ],
        };
        let event = Event {
            t_us: 0,
            leg: Leg::Proxy,
            from: None,
            connection: None,
            phase: Phase::Tls,
            inferred: false,
            detail,
        };
        assert_eq!(
            clause(&event).unwrap(),
            "the server's certificate is not trusted by Windows' verifier: its issuer has revoked it; it \
             is for the name srv10; Windows App (macOS, iOS) refuses it by its rules: it has no alternative names"
        );
    }
}
