//! TLS and certificates in words.

use super::{counted, meaning};
use crate::explain::Family;
use crate::report::safe;
use crate::trace::{Detail, Event};
use crate::wire::tls::{Alert, ClientHello, ServerHello};
use rdpscope_certs::inspect::Certificate;

/// AlertDescription close_notify (RFC 8446 section 6.1).
const CLOSE_NOTIFY: u8 = 0;

pub(super) fn describe(events: &[Event], target: &str) -> Vec<String> {
    let client = events.iter().rev().find_map(|event| match &event.detail {
        Detail::ClientHello(hello) => Some(&**hello),
        _ => None,
    });
    let server = events.iter().rev().find_map(|event| match &event.detail {
        Detail::ServerHello(hello) => Some(&**hello),
        _ => None,
    });
    let mut clauses: Vec<String> = hellos(client, server, target).into_iter().collect();
    if events.iter().any(|event| matches!(event.detail, Detail::HelloRetryRequest(_))) {
        clauses.push("server asked for another key share, one more round trip".to_owned());
    }
    clauses.extend(server.and_then(|hello| without_certificate(hello, events)));
    clauses.extend(counted(events.iter().filter_map(alert)));
    clauses
}

fn hellos(client: Option<&ClientHello>, server: Option<&ServerHello>, target: &str) -> Option<String> {
    // A client that asks for the target's own name is as it should be.
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    let name = client.and_then(|hello| hello.server_name.as_deref());
    let name = name.filter(|name| !name.eq_ignore_ascii_case(host));
    let name =
        name.map(|name| format!(", client asked for the name {}", safe::name(name))).unwrap_or_default();
    match (client, server) {
        (_, Some(server)) => {
            let cipher = safe::name(&server.cipher_suite.to_string());
            let cipher = cipher.trim_start_matches("TLS_").replacen("_WITH_", "_", 1);
            Some(format!("{}, {cipher}{name}", version(&server.version)))
        }
        (Some(client), None) => Some(format!("client offered up to {}{name}", version(&client.max_version))),
        (None, None) => None,
    }
}

fn without_certificate(hello: &ServerHello, events: &[Event]) -> Option<String> {
    let seen = |wanted: fn(&Detail) -> bool| events.iter().any(|event| wanted(&event.detail));
    if seen(|detail| matches!(detail, Detail::Certificate { .. } | Detail::CertificatePresented { .. })) {
        None
    } else if hello.pre_shared_key {
        Some("resumed, no certificate sent".to_owned())
    } else if hello.version == "TLS1.3" {
        Some("certificate not visible (TLS 1.3 encrypts it)".to_owned())
    } else if seen(|detail| matches!(detail, Detail::HandshakeComplete)) {
        Some("resumed, no certificate sent".to_owned())
    } else {
        None
    }
}

fn alert(event: &Event) -> Option<String> {
    let who = event.from.map_or("rdpscope".to_owned(), |side| side.to_string());
    match &event.detail {
        Detail::Alert(alert) if alert.description == CLOSE_NOTIFY => {
            Some(format!("{who} closed TLS in good order (close_notify)"))
        }
        Detail::Alert(alert) => Some(format!("{who} sent {}", alert_words(alert))),
        Detail::EncryptedAlert { .. } => Some(format!("{who} sent what is probably an encrypted TLS alert")),
        _ => None,
    }
}

fn alert_words(alert: &Alert) -> String {
    let level = match alert.level_name.as_deref() {
        Some(name) => safe::name(name),
        None => format!("level {}", alert.level),
    };
    match meaning(Family::Tls, alert.description.into()) {
        Some(entry) => format!("TLS alert {} ({}, {level}): {}", entry.name, entry.code, entry.meaning),
        None => format!("TLS alert {} ({level})", alert.description),
    }
}

/// `TLS1.2` as people write it.
pub(in crate::report) fn version(version: &str) -> String {
    let number = |name| version.strip_prefix(name).map(|number| format!("{name} {}", safe::name(number)));
    number("TLS").or_else(|| number("SSL")).unwrap_or_else(|| safe::name(version))
}

/// A certificate in two lines: who it is and whether it is in its time, then what it is looked up by and its faults.
/// Without the time of the session only the dates are told.
pub(in crate::report) fn certificate(certificate: &Certificate, unix_seconds: Option<i64>) -> [String; 2] {
    let issuer = if certificate.self_signed {
        "self-signed".to_owned()
    } else {
        format!("issued by {}", safe::name(&certificate.issuer))
    };
    let validity = match unix_seconds {
        Some(now) => certificate.validity_words(now),
        None => format!("valid {} to {}", day(&certificate.not_before), day(&certificate.not_after)),
    };
    let subject = if certificate.subject.is_empty() { "no subject" } else { &certificate.subject };
    let identity = format!("{}{}, {issuer}, {validity}", safe::name(subject), other_names(certificate));
    let mut properties = vec![format!("SHA-1 thumbprint {}", safe::name(&certificate.sha1))];
    properties.extend(certificate.weaknesses().iter().map(ToString::to_string));
    if !certificate.permits_server_authentication() {
        properties.push("not for server authentication".to_owned());
    }
    [identity, properties.join(", ")]
}

/// The alternative names, unless they only repeat the subject.
fn other_names(certificate: &Certificate) -> String {
    const SHOWN: usize = 3;
    let repeats = |name: &&String| Some(name.as_str()) != certificate.subject_cn.as_deref();
    let names: Vec<&String> = certificate.sans.iter().filter(repeats).collect();
    if names.is_empty() {
        return String::new();
    }
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| safe::name(name)).collect();
    if names.len() > SHOWN {
        shown.push(format!("{} more", names.len() - SHOWN));
    }
    format!(" (also {})", shown.join(", "))
}

fn day(rfc3339: &str) -> &str {
    rfc3339.split('T').next().unwrap_or(rfc3339)
}
