//! The certificates: what they say, whether they fit the names asked for, and where the session's moment lies in their
//! validity.

use super::parts::{Place, capital, scroll};
use crate::report::document::Subject;
use crate::report::{safe, words};
use crate::trace::{Detail, Event, Leg, Phase, Record};
use maud::{Markup, html};
use rdpscope_certs::inspect::{Certificate, Validity};
use std::net::SocketAddr;

/// The picture's own units.
const WIDTH: f64 = 1060.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 1040.0;
const ROW: f64 = 44.0;
const TOP: f64 = 30.0;
/// Names of a certificate that are listed; the others are counted.
const MOST_NAMES: usize = 20;

/// One certificate with what it is here.
struct Shown<'a> {
    title: &'static str,
    certificate: &'a Certificate,
    chain: Vec<&'a Certificate>,
}

pub(super) fn section(subject: &Subject, place: &Place) -> Markup {
    let record = &subject.record;
    let shown = certificates(record);
    let now = subject.started().map(|at| at.as_second());
    let content = (!shown.is_empty()).then(|| {
        html! {
            @if let Some(now) = now { (time_line(&shown, now, place)) }
            (scroll("Certificates", table(&shown, now)))
            (names(record, subject.target(), &shown))
            @for text in judgements(record, subject) { p { (capital(&text)) "." } }
            @for it in &shown { (chain(it)) }
        }
    });
    place.section("certificate", "Certificate", content)
}

/// The gateway's, the server's, and what rdpscope showed in its place; each as it was shown last.
fn certificates(record: &Record) -> Vec<Shown<'_>> {
    let mut shown: Vec<Shown<'_>> = Vec::new();
    for event in &record.events {
        let (title, chain) = match &event.detail {
            Detail::Certificate { chain, .. } if event.leg == Leg::Client && event.from.is_none() => {
                ("Shown by rdpscope", chain)
            }
            Detail::Certificate { chain, .. } if event.phase.id().starts_with("gateway") => {
                ("Of the gateway", chain)
            }
            Detail::Certificate { chain, .. } => ("Of the server", chain),
            Detail::CertificatePresented { chain, .. } => ("Shown by rdpscope", chain),
            _ => continue,
        };
        if let [first, rest @ ..] = &chain[..] {
            shown.retain(|it| it.title != title);
            shown.push(Shown { title, certificate: first, chain: rest.iter().map(|it| &**it).collect() });
        }
    }
    let of_probe = record.probe.as_ref().and_then(|probe| probe.certificate.as_ref());
    if let (true, Some([first, rest @ ..])) = (shown.is_empty(), of_probe.map(|check| &check.chain[..])) {
        let chain = rest.iter().map(|it| &**it).collect();
        shown.push(Shown { title: "Of the server", certificate: first, chain });
    }
    shown
}

/// What this machine and others say of it.
fn judgements(record: &Record, subject: &Subject) -> Vec<String> {
    let started = subject.started().map(|at| at.as_microsecond());
    let judged = record.events.iter().filter(|event| {
        matches!(event.detail, Detail::CertificateJudged { .. } | Detail::CertificatePresented { .. })
    });
    let mut texts: Vec<String> = Vec::new();
    for event in judged {
        let text = words::single(event, subject.target(), started).join("; ");
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

/// A name that was asked for, with what asked for it. Where a gateway shows its certificate, its own name counts and
/// not that of the target behind it.
fn asked(record: &Record, target: &str) -> Vec<(String, &'static str)> {
    let gateway = record.header.as_ref().and_then(|header| header.settings.get("gateway")?.as_str());
    let (named, why, phase) = match gateway {
        Some(gateway) => (gateway, "the gateway that was named", Phase::GatewayTls),
        None => (target, "the target that was named", Phase::Tls),
    };
    let mut asked = vec![(host(named), why)];
    let hello = |event: &Event| match &event.detail {
        Detail::ClientHello(hello) if event.phase == phase => hello.server_name.clone(),
        _ => None,
    };
    if let Some(name) = record.events.iter().rev().find_map(hello) {
        asked.push((name, "what the client asked for in TLS"));
    }
    let judged = record.events.iter().rev().find_map(|event| match &event.detail {
        Detail::CertificateJudged { name, .. } if event.phase == phase => Some(name.clone()),
        _ => None,
    });
    asked.extend(judged.map(|name| (name, "what rdpscope held it against")));
    let mut unique: Vec<(String, &'static str)> = Vec::new();
    for (name, why) in asked {
        if !unique.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            unique.push((name, why));
        }
    }
    unique
}

/// What stands before the port.
fn host(address: &str) -> String {
    let of_address = address.parse::<SocketAddr>().map(|address| address.ip().to_string());
    of_address.unwrap_or_else(|_| address.rsplit_once(':').map_or(address, |(host, _)| host).to_owned())
}

fn names(record: &Record, target: &str, shown: &[Shown<'_>]) -> Markup {
    let asked = asked(record, target);
    html! {
        (scroll("Names asked for and names in it", html! {
            table {
                caption { "Names that were asked for, and whether they are in it" }
                thead {
                    tr {
                        th scope="col" { "Name" }
                        th scope="col" { "Who asked" }
                        @for it in shown { th scope="col" { (it.title) } }
                    }
                }
                tbody {
                    @for (name, why) in &asked {
                        tr {
                            th scope="row" { (safe::name(name)) }
                            td { (why) }
                            @for it in shown {
                                @if it.certificate.matches_name(name) { td { span.good-ink { "✓" } " is in it" } }
                                @else { td { span.bad-ink { "✗" } " is not in it" } }
                            }
                        }
                    }
                }
            }
        }))
    }
}

fn table(shown: &[Shown<'_>], now: Option<i64>) -> Markup {
    let rows = rows(shown, now);
    html! {
        table.facts {
            caption { "What it says" @if shown.len() > 1 { "; ≠ marks what differs" } }
            thead {
                tr { td {} @for it in shown { th scope="col" { (it.title) } } }
            }
            tbody {
                @for (name, values) in &rows {
                    @let differs = values.windows(2).any(|pair| pair[0] != pair[1]);
                    tr {
                        th scope="row" { (name) @if differs { " ≠" } }
                        @for value in values { td { (value) } }
                    }
                }
            }
        }
    }
}

fn rows(shown: &[Shown<'_>], now: Option<i64>) -> Vec<(&'static str, Vec<String>)> {
    let row = |name, tell: &dyn Fn(&Certificate) -> String| {
        (name, shown.iter().map(|it| tell(it.certificate)).collect::<Vec<_>>())
    };
    let usages = |names: &Option<Vec<String>>| {
        names.as_ref().map_or("not limited".to_owned(), |names| names.join(", "))
    };
    let mut rows = vec![
        row("Subject", &|it| if it.subject.is_empty() { "none".to_owned() } else { safe::name(&it.subject) }),
        row("Alternative names", &alternative_names),
        row("Issuer", &|it| {
            if it.self_signed { "itself (self-signed)".to_owned() } else { safe::name(&it.issuer) }
        }),
        row("Valid from", &|it| it.not_before.clone()),
        row("Valid until", &|it| it.not_after.clone()),
    ];
    if let Some(now) = now {
        rows.push(row("At the session’s time", &|it| it.validity_words(now)));
    }
    rows.extend([
        row("Key", &|it| match it.key_bits {
            Some(bits) => format!("{}, {bits} bits", it.key_algorithm),
            None => it.key_algorithm.clone(),
        }),
        row("Signature", &|it| it.signature_algorithm.clone()),
        row("Extended key usage", &|it| usages(&it.extended_key_usage)),
        row("Weaknesses", &|it| {
            let weaknesses: Vec<String> = it.weaknesses().iter().map(ToString::to_string).collect();
            if weaknesses.is_empty() { "none".to_owned() } else { weaknesses.join(", ") }
        }),
        row("SHA-1 thumbprint", &|it| it.sha1.clone()),
        row("SHA-256 fingerprint", &|it| it.sha256.clone()),
    ]);
    rows
}

fn alternative_names(certificate: &Certificate) -> String {
    let names = &certificate.sans;
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut shown: Vec<String> = names.iter().take(MOST_NAMES).map(|name| safe::name(name)).collect();
    if names.len() > MOST_NAMES {
        shown.push(format!("{} more", names.len() - MOST_NAMES));
    }
    shown.join(", ")
}

fn chain(shown: &Shown<'_>) -> Markup {
    html! {
        @if !shown.chain.is_empty() {
            details {
                summary { "The chain " (shown.title.to_lowercase()) ": " (shown.chain.len()) " more" }
                ol { @for it in &shown.chain { li { (safe::name(&it.subject)) ", issued by " (safe::name(&it.issuer)) ", until " (it.not_after) } } }
            }
        }
    }
}

/// Every period of validity on one axis, with the session's moment.
fn time_line(shown: &[Shown<'_>], now: i64, place: &Place) -> Markup {
    let starts = shown.iter().map(|it| it.certificate.not_before_unix).chain([now]);
    let ends = shown.iter().map(|it| it.certificate.not_after_unix).chain([now]);
    let (first, last) = (starts.min().unwrap_or(now), ends.max().unwrap_or(now));
    let span = (last.saturating_sub(first)).max(1) as f64;
    // A tenth on either side, so that an end is seen as an end.
    let at = |moment: i64| {
        let part = (moment.saturating_sub(first)) as f64 / span;
        ((LEFT + (RIGHT - LEFT) * (0.06 + 0.88 * part)) * 10.0).round() / 10.0
    };
    let bottom = TOP + ROW * shown.len() as f64;
    let (title, description) = (place.id("validity-title"), place.id("validity-text"));
    let y = |row: usize| TOP + ROW * row as f64;
    html! {
        figure {
            (scroll("Validity on a time line", html! {
                svg viewBox={ "0 0 " (WIDTH) " " (bottom + 6.0) } role="img" aria-labelledby={ (title) " " (description) } {
                    title id=(title) { "Validity on a time line" }
                    desc id=(description) { (described(shown, now)) }
                    @for (row, it) in shown.iter().enumerate() { (period(it, y(row), now, at)) }
                    line.now x1=(at(now)) y1="18" x2=(at(now)) y2=(bottom) {}
                    @for (row, it) in shown.iter().enumerate() { (dates(it, y(row), at)) }
                    text x=(at(now)) y="13" text-anchor=(anchor(at(now))) { "session: " (date(now)) }
                }
            }))
        }
    }
}

fn period(shown: &Shown<'_>, y: f64, now: i64, at: impl Fn(i64) -> f64) -> Markup {
    let certificate = shown.certificate;
    let (from, to) = (at(certificate.not_before_unix), at(certificate.not_after_unix));
    let is_valid = matches!(certificate.validity_at(now), Validity::Valid { .. });
    let (class, sign) = if is_valid { ("valid", "✓") } else { ("invalid", "✗") };
    html! {
        text x="0" y=(y + 15.0) { (sign) " " (shown.title) }
        rect.(class) x=(from) y=(y + 3.0) width=(((to - from).max(2.0) * 10.0).round() / 10.0) height="14" rx="2" {}
    }
}

/// Its ends in words, which no line may cross.
fn dates(shown: &Shown<'_>, y: f64, at: impl Fn(i64) -> f64) -> Markup {
    let certificate = shown.certificate;
    let (from, to) = (at(certificate.not_before_unix), at(certificate.not_after_unix));
    html! {
        text.faint x=(from) y=(y + 31.0) text-anchor=(if to - from < 150.0 { anchor(from) } else { "start" }) {
            (date(certificate.not_before_unix))
            @if to - from < 150.0 { " to " (date(certificate.not_after_unix)) }
        }
        @if to - from >= 150.0 {
            text.faint x=(to) y=(y + 31.0) text-anchor="end" { (date(certificate.not_after_unix)) }
        }
    }
}

/// Words near an end of the axis lean inwards.
fn anchor(x: f64) -> &'static str {
    if x > RIGHT - 160.0 {
        "end"
    } else if x < LEFT + 160.0 {
        "start"
    } else {
        "middle"
    }
}

fn described(shown: &[Shown<'_>], now: i64) -> String {
    let parts: Vec<String> =
        shown.iter().map(|it| format!("{}: {}", it.title, it.certificate.validity_words(now))).collect();
    format!("{}. The table below has the dates.", parts.join("; "))
}

fn date(unix_seconds: i64) -> String {
    let moment = jiff::Timestamp::from_second(unix_seconds);
    moment.map(|moment| moment.strftime("%Y-%m-%d").to_string()).unwrap_or_else(|_| "unknown".to_owned())
}
