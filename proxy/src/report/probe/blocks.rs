//! What each check of one target found, a block each. What is long is told with `-v`.

use super::{count, gateway, started, time};
use crate::report::layout::{Look, Page};
use crate::report::{Style, safe, words};
use crate::trace::{
    CertificateCheck, ClassicCheck, ConnectError, CredsspCheck, Detail, DnsCheck, FlakyCheck, HelloAnswer,
    How, Micros, NegotiationAnswer, NegotiationCheck, PathCertificates, PathCheck, Probe, Record, TcpCheck,
    TlsCheck, UdpAnswer, UdpCheck,
};
use crate::wire::tls::CodePoint;
use rdpscope_certs::clients::PlatformVerdict;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Columns before the words, as in the timeline above.
const INDENT: usize = 14;
/// Addresses that are shown; the others are counted, except with `-v`.
const ADDRESSES_SHOWN: usize = 6;
/// Times below this are shown as zero by [`time::short`], µs.
const SHORTEST_TOLD_US: Micros = 50;

/// Every block that has something to say; nothing where there was no probe.
pub(super) fn text(record: &Record, style: &Style) -> Option<String> {
    let mut page = Page::new(style, "");
    for (name, text) in items(record, style) {
        let left = style.paint(Look::Heading, &format!(" {name:<width$} ", width = INDENT - 2));
        page.beside(&left, INDENT, &text);
    }
    page.finish()
}

/// What each check found, in their order; of several lines of one check only the first has its name.
pub(super) fn items(record: &Record, style: &Style) -> Vec<(&'static str, String)> {
    let Some(probe) = &record.probe else { return Vec::new() };
    let mut blocks = Blocks { items: Vec::new(), style };
    blocks.addresses(&probe.tcp, probe.dns.as_ref());
    blocks.list("negotiation", probe.negotiation.iter().map(|check| negotiation(check, style)).collect());
    if let Some(check) = &probe.classic {
        blocks.item("encryption", &classic(check));
    }
    if let Some(check) = &probe.tls {
        blocks.tls(check, probe.gateway.is_some());
    }
    if let Some(check) = &probe.certificate {
        blocks.certificate(check, started(record), is_in_timeline(record));
    }
    if let Some(check) = &probe.credssp {
        blocks.item("credssp", &credssp(check));
    }
    if let Some(check) = &probe.credssp_after_refusal {
        blocks.item("credssp", &format!("although TLS was refused: {}", credssp(check)));
    }
    if let Some(check) = &probe.udp {
        blocks.list("udp", udp(check));
    }
    if let Some(check) = &probe.gateway {
        for (name, texts) in gateway::blocks(check, style.verbose > 0) {
            blocks.list(name, texts);
        }
    }
    if let Some(check) = &probe.path {
        blocks.item("path", &path(check));
    }
    if let Some(check) = &probe.other_paths {
        blocks.list("over", std::iter::once(&check.plain).chain(&check.others).map(over).collect());
    }
    blocks.list("flaky", probe.flaky.iter().map(flaky).collect());
    let left_out = probe.left_out.iter();
    blocks.list(
        "left out",
        left_out.map(|left| format!("{}: {}", safe::name(&left.check), safe::name(&left.reason))).collect(),
    );
    blocks.item("probed", &cost(probe));
    blocks.items
}

struct Blocks<'a> {
    items: Vec<(&'static str, String)>,
    style: &'a Style,
}

impl Blocks<'_> {
    fn item(&mut self, name: &'static str, text: &str) {
        self.items.push((name, text.to_owned()));
    }

    /// The name before the first only.
    fn list(&mut self, name: &'static str, texts: Vec<String>) {
        for (place, text) in texts.iter().enumerate() {
            self.item(if place == 0 { name } else { "" }, text);
        }
    }

    fn is_verbose(&self) -> bool {
        self.style.verbose > 0
    }

    fn addresses(&mut self, checks: &[TcpCheck], dns: Option<&DnsCheck>) {
        let shown = if self.is_verbose() { checks.len() } else { ADDRESSES_SHOWN };
        let mut texts: Vec<String> =
            checks.iter().take(shown).map(|check| address(check, dns, self.is_verbose())).collect();
        if checks.len() > shown {
            texts.push(format!("{} more (-v)", checks.len() - shown));
        }
        self.list("addresses", texts);
    }

    /// That there is no X.224 before TLS is nothing to tell of a gateway.
    fn tls(&mut self, check: &TlsCheck, is_gateway: bool) {
        self.item("tls", &versions(check, is_gateway));
        for (version, suites) in &check.suites {
            let name = words::version(version);
            let order = match check.server_order.get(version) {
                Some(true) => ", in the server's order",
                Some(false) => ", in the client's order",
                None => "",
            };
            if self.is_verbose() {
                self.item("", &format!("{name}{order}: {}", names(suites)));
            } else if let [first, rest @ ..] = &suites[..] {
                let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
                self.item("", &format!("{name}{order}: {}{more}", safe::name(&first.to_string())));
            }
        }
        if !check.groups.is_empty() {
            self.item("", &format!("groups: {}", names(&check.groups)));
        }
        let is_verbose = self.is_verbose();
        for (version, schemes) in check.signature_schemes.iter().filter(|_| is_verbose) {
            self.item("", &format!("signatures of {}: {}", words::version(version), names(schemes)));
        }
        if self.is_verbose() && !check.refused.is_empty() {
            self.item("", &format!("not taken: {}", names(&check.refused)));
        }
    }

    /// Who it is for only where the timeline does not tell.
    fn certificate(&mut self, check: &CertificateCheck, now: Option<i64>, is_in_timeline: bool) {
        let mut texts = Vec::new();
        for certificate in check.chain.iter().take(1).filter(|_| !is_in_timeline) {
            texts.extend(words::certificate(certificate, now));
        }
        texts.push(judgement(check));
        texts
            .extend(check.by_rules.iter().filter(|other| other.trusted == Some(false)).map(refused_by_rules));
        texts.extend(check.unreadable.iter().map(|reason| format!("unreadable: {}", safe::name(reason))));
        if !check.missing_issuers.is_empty() {
            let missing: Vec<String> = check.missing_issuers.iter().map(|name| safe::name(name)).collect();
            texts.push(format!("the chain lacks {}", missing.join(", ")));
        }
        if self.is_verbose() {
            texts.extend(all_of(check, now));
        }
        self.list("certificate", texts);
    }
}

/// `http://gate:3128, asked for srv10:3389: CN=srv10, issued by CN=Box CA, SHA-256 ab12…, 4 times`.
fn over(path: &PathCertificates) -> String {
    let asked =
        path.asked_for.as_ref().map(|it| format!(", asked for {}", safe::name(it))).unwrap_or_default();
    let shown = path.shown.iter().map(|shown| {
        let own = &shown.chain[0];
        let sha256 = safe::name(&own.sha256);
        let (subject, issuer) = (safe::name(&own.subject), safe::name(&own.issuer));
        let times = if shown.times > 1 { format!(", {} times", shown.times) } else { String::new() };
        format!("{subject}, issued by {issuer}, SHA-256 {sha256}{times}")
    });
    let failure = path.failure.as_ref().map(|why| format!("no certificate: {}", safe::name(why)));
    let answers: Vec<String> = shown.chain(failure).collect();
    format!("{}{asked}: {}", safe::name(&path.path), answers.join("; "))
}

/// What a client elsewhere would do with the certificate.
fn refused_by_rules(other: &PlatformVerdict) -> String {
    let reason =
        other.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", safe::name(reason)));
    format!("{} refuses it by its rules{reason}", safe::name(&other.platform))
}

fn is_in_timeline(record: &Record) -> bool {
    record.events.iter().any(|event| matches!(event.detail, Detail::Certificate { .. }))
}

/// `10.0.0.10:3389 (srv10.corp.example): connected 3 of 3 times in 0.4 to 0.6 ms`.
fn address(check: &TcpCheck, dns: Option<&DnsCheck>, verbose: bool) -> String {
    let mut text = safe::name(&check.address);
    let ip = check.address.parse::<SocketAddr>().map(|address| address.ip().to_string());
    let reverse = dns.zip(ip.ok()).and_then(|(dns, ip)| {
        dns.reverse.get(&ip).or(dns.reverse.get(&check.address)).and_then(Option::as_ref)
    });
    if let Some(name) = reverse {
        text += &format!(" ({})", safe::name(name));
    }
    let mut times: Vec<u64> = check.rounds.iter().copied().flatten().collect();
    let tried = check.rounds.len();
    let mut clauses = Vec::new();
    if let (Some(fastest), Some(slowest)) = (times.iter().min(), times.iter().max()) {
        let (fastest, slowest) = (told(*fastest), told(*slowest));
        let took = if fastest == slowest { fastest } else { format!("{fastest} to {slowest}") };
        clauses.push(format!("connected {} of {tried} times in {took}", times.len()));
    }
    for failure in &check.failures {
        let how = match failure.error {
            ConnectError::Refused => "refused".to_owned(),
            ConnectError::TimedOut => "did not answer".to_owned(),
            ConnectError::Reset => "connected and cut at once".to_owned(),
            ConnectError::Unreachable | ConnectError::Other => safe::name(&failure.reason),
        };
        clauses.push(format!("{how} {} of {tried} times", failure.count));
    }
    if let Some(rtt) = check.rtt_us {
        clauses.push(format!("round trip {}", told(rtt.into())));
    }
    if let Some(resent) = check.retransmitted_segments.filter(|count| *count > 0) {
        clauses.push(format!("{} sent again", count(resent.into(), "segment")));
    }
    if verbose && times.len() > 1 {
        times.sort_unstable();
        let all: Vec<String> =
            check.rounds.iter().map(|round| round.map_or_else(|| "failed".to_owned(), time::short)).collect();
        clauses.push(format!("one by one: {}", all.join(", ")));
    }
    if clauses.is_empty() {
        clauses.push(if tried == 0 {
            "not tried".to_owned()
        } else {
            format!("failed {tried} of {tried} times")
        });
    }
    format!("{text}: {}", clauses.join("; "))
}

/// A time that may be shorter than can be shown.
fn told(us: Micros) -> String {
    if us < SHORTEST_TOLD_US { "less than 0.1 ms".to_owned() } else { time::short(us) }
}

/// `SSL, HYBRID → HYBRID`.
fn negotiation(check: &NegotiationCheck, style: &Style) -> String {
    let asked: Vec<String> = check.requested_protocols.iter().map(|name| safe::name(name)).collect();
    let arrow = if style.ascii { "->" } else { "→" };
    let flags = match &check.answer {
        NegotiationAnswer::Selected { flags, .. } if style.verbose > 0 && !flags.is_empty() => {
            format!(" ({})", safe::name(&flags.join(", ")))
        }
        _ => String::new(),
    };
    let took = if style.verbose > 0 { format!(", {}", time::short(check.took_us)) } else { String::new() };
    format!("{} {arrow} {}{flags}{took}", asked.join(", "), answer(&check.answer))
}

fn answer(answer: &NegotiationAnswer) -> String {
    match answer {
        NegotiationAnswer::Selected { protocol, .. } => safe::name(protocol),
        NegotiationAnswer::Refused { code, name } => format!("refused: {} ({code})", safe::name(name)),
        NegotiationAnswer::Disconnected { reason } => format!("disconnected, reason {reason}"),
        NegotiationAnswer::OtherProtocol { protocol: Some(protocol), .. } => {
            format!("another protocol: {}", safe::name(protocol))
        }
        NegotiationAnswer::OtherProtocol { first_bytes, .. } => {
            format!("no RDP: {}", safe::name(first_bytes))
        }
        NegotiationAnswer::Closed { how } => closed(*how).to_owned(),
        NegotiationAnswer::Silent => "no answer".to_owned(),
        NegotiationAnswer::NotConnected { .. } => "not asked: no connection".to_owned(),
    }
}

/// `of classic RDP security: RC4 with 128 bits; level high`.
fn classic(check: &ClassicCheck) -> String {
    let methods: Vec<String> = check.methods.iter().map(|name| method(name)).collect();
    let mut text = match &methods[..] {
        [] => "of classic RDP security: no settings were answered".to_owned(),
        methods => format!("of classic RDP security: {}", methods.join(", ")),
    };
    if let Some(level) = &check.level {
        let level = level.strip_prefix("ENCRYPTION_LEVEL_").unwrap_or(level);
        text += &format!("; level {}", safe::name(level).to_lowercase().replace('_', " "));
    }
    text
}

fn method(name: &str) -> String {
    match name {
        "NONE" => "none".to_owned(),
        "40BIT_ENCRYPTION_FLAG" => "RC4 with 40 bits".to_owned(),
        "56BIT_ENCRYPTION_FLAG" => "RC4 with 56 bits".to_owned(),
        "128BIT_ENCRYPTION_FLAG" => "RC4 with 128 bits".to_owned(),
        "FIPS_ENCRYPTION_FLAG" => "3DES (FIPS 140-1)".to_owned(),
        other => safe::name(other),
    }
}

fn closed(how: How) -> &'static str {
    match how {
        How::Reset => "connection reset",
        How::Timeout => "connection timed out",
        How::Fin | How::Alert | How::McsUltimatum => "connection closed",
    }
}

/// What came of a hello, where it was not accepted; `None` where it was.
fn refusal(answer: &HelloAnswer) -> Option<String> {
    Some(match answer {
        HelloAnswer::Accepted(_) => return None,
        HelloAnswer::Alert { description, name } => format!("alert {} ({description})", safe::name(name)),
        HelloAnswer::Closed { how } => closed(*how).to_owned(),
        HelloAnswer::CookieRequested => "answered with a cookie to repeat".to_owned(),
        HelloAnswer::Silent => "no answer".to_owned(),
        HelloAnswer::NotReached { reason } => format!("not asked: {}", safe::name(reason)),
        HelloAnswer::OtherVersion { version } => format!("answered with {}", words::version(version)),
        HelloAnswer::Other { first_bytes } => format!("no TLS: {}", safe::name(first_bytes)),
    })
}

/// `TLS 1.2, TLS 1.3; not TLS 1.0, TLS 1.1 (alert protocol_version (70))`.
fn versions(check: &TlsCheck, is_gateway: bool) -> String {
    let mut taken = Vec::new();
    let mut refused: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (version, answer) in &check.versions {
        match refusal(answer) {
            None => taken.push(words::version(version)),
            Some(reason) => refused.entry(reason).or_default().push(words::version(version)),
        }
    }
    let mut clauses = vec![if taken.is_empty() { "no version".to_owned() } else { taken.join(", ") }];
    clauses
        .extend(refused.iter().map(|(reason, versions)| format!("not {} ({reason})", versions.join(", "))));
    if check.direct && !is_gateway {
        clauses.push("TLS begins without X.224".to_owned());
    }
    clauses.join("; ")
}

fn names(points: &[CodePoint]) -> String {
    points.iter().map(|point| safe::name(&point.to_string())).collect::<Vec<_>>().join(", ")
}

fn judgement(check: &CertificateCheck) -> String {
    let name = safe::name(&check.name);
    let name = match (check.chain.is_empty(), check.name_matches) {
        (true, _) => return "no certificate was shown".to_owned(),
        (_, true) => format!("for the name {name}"),
        (_, false) => format!("not for the name {name}"),
    };
    match (&check.reason, check.trusted) {
        (_, true) => format!("{name}, trusted by this machine"),
        (Some(reason), false) => format!("{name}, not trusted by this machine: {}", safe::name(reason)),
        (None, false) => format!("{name}, not trusted by this machine"),
    }
}

/// What is worth knowing when a certificate is looked up or renewed.
fn all_of(check: &CertificateCheck, now: Option<i64>) -> Vec<String> {
    let mut texts = Vec::new();
    if let Some(own) = check.chain.first() {
        let bits = own.key_bits.map(|bits| format!(", {bits} bits")).unwrap_or_default();
        texts.push(format!(
            "{}{bits}, signed with {}, serial {}",
            safe::name(&own.key_algorithm),
            safe::name(&own.signature_algorithm),
            safe::name(&own.serial)
        ));
        texts.push(format!("SHA-256 fingerprint {}", own.sha256));
        if !own.sans.is_empty() {
            texts.push(format!(
                "alternative names: {}",
                own.sans.iter().map(|name| safe::name(name)).collect::<Vec<_>>().join(", ")
            ));
        }
    }
    for issuer in check.chain.iter().skip(1) {
        let [identity, _] = words::certificate(issuer, now);
        texts.push(format!("above it: {identity}"));
    }
    for (what, addresses) in
        [("OCSP", &check.ocsp), ("revocation list", &check.crl), ("issuer's certificate", &check.issuers)]
    {
        texts.extend(addresses.iter().map(|address| format!("{what}: {}", safe::name(address))));
    }
    texts
}

fn credssp(check: &CredsspCheck) -> String {
    let mut clauses: Vec<String> =
        check.version.map(|version| format!("CredSSP {version}")).into_iter().collect();
    if let Some(challenge) = &check.challenge {
        clauses.push(words::server(challenge));
    }
    if let Some(skew) = check.clock_skew_us {
        clauses
            .push(words::skew(0, skew).unwrap_or_else(|| "its clock agrees with this machine's".to_owned()));
    }
    clauses.extend(check.failure.as_deref().map(safe::name));
    clauses.extend(check.status.as_deref().map(|status| format!("status {}", safe::name(status))));
    if clauses.is_empty() { "no answer".to_owned() } else { clauses.join("; ") }
}

fn udp(check: &UdpCheck) -> Vec<String> {
    let mut answers: Vec<(String, Vec<String>)> = Vec::new();
    for (version, answer) in &check.versions {
        let text = match answer {
            UdpAnswer::SynAck { version, up_stream_mtu, down_stream_mtu, took_us, lost } => {
                let lost = if *lost > 0 { format!(", {lost} lost before it") } else { String::new() };
                let took = time::short(*took_us);
                format!(
                    "answered with version {version}, MTU {up_stream_mtu} up, {down_stream_mtu} down, {took}{lost}"
                )
            }
            UdpAnswer::Silent { sent } => format!("no answer to {}", count((*sent).into(), "datagram")),
            UdpAnswer::Unreachable => "nobody listens (ICMP port unreachable)".to_owned(),
            UdpAnswer::Other { first_bytes } => format!("no RDP-UDP: {}", safe::name(first_bytes)),
        };
        match answers.iter_mut().find(|(known, _)| *known == text) {
            Some((_, versions)) => versions.push(version.to_string()),
            None => answers.push((text, vec![version.to_string()])),
        }
    }
    let mut texts: Vec<String> = answers
        .into_iter()
        .map(|(text, versions)| {
            let noun = if versions.len() == 1 { "version" } else { "versions" };
            format!("{noun} {}: {text}", versions.join(", "))
        })
        .collect();
    for (name, answer) in [("TLS", &check.tls), ("DTLS", &check.dtls)] {
        if let Some(answer) = answer {
            let text = refusal(answer).unwrap_or_else(|| "answered".to_owned());
            texts.push(format!("{name} over it: {text}"));
        }
    }
    texts
}

fn path(check: &PathCheck) -> String {
    let large = check.large_bytes;
    let mut text = match (refusal(&check.small), refusal(&check.large)) {
        (None, None) => format!("a hello of {large} bytes comes through"),
        (Some(small), Some(large_refusal)) if small == large_refusal => {
            format!("no hello of any size is accepted: {small}")
        }
        (small, large_refusal) => {
            let told = |refusal: Option<String>| refusal.unwrap_or_else(|| "answered".to_owned());
            let (small, large_refusal) = (told(small), told(large_refusal));
            format!("a hello of {} bytes: {small}; one of {large} bytes: {large_refusal}", check.small_bytes)
        }
    };
    if let (Some(clamped), Some(mss)) = (&check.clamped, check.clamped_mss) {
        let came = refusal(clamped).unwrap_or_else(|| "answered".to_owned());
        text += &format!("; the same in segments of {mss} bytes: {came}");
    }
    if let Some(again) = &check.large_again {
        let came = refusal(again).unwrap_or_else(|| "answered".to_owned());
        text += &format!("; the same once more as before: {came}");
    }
    if let Some(mss) = check.send_mss {
        text += &format!("; segments have up to {mss} bytes");
    }
    text
}

fn flaky(check: &FlakyCheck) -> String {
    let answers: Vec<String> =
        check.answers.iter().map(|(answer, times)| format!("{} {times}x", safe::name(answer))).collect();
    format!("{}: {}", safe::name(&check.check), answers.join(", "))
}

fn cost(probe: &Probe) -> String {
    format!(
        "{}, {} in {}",
        count(probe.connections.into(), "connection"),
        count(probe.conversations.into(), "UDP conversation"),
        time::short(probe.took_us)
    )
}
