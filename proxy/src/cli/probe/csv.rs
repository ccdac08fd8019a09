//! One row a target, for spreadsheets. The columns and their order do not change; new ones come at the end.

use crate::probe::difference::Profile;
use crate::report::safe;
use crate::trace::{
    GatewayAnswer, GatewayCheck, GatewayRequest, HelloAnswer, How, Record, Transport, Verdict,
};
use rdpscope_certs::inspect::Validity;

const DAY: u64 = 86_400;

/// The names of the columns.
const HEADER: [&str; 47] = [
    "target",
    "verdict",
    "confidence",
    "phase",
    "reached",
    "summary",
    "address",
    "connections_good",
    "connections_tried",
    "fastest_connect_ms",
    "security_protocol",
    "failure_code",
    "nla",
    "tls_version",
    "cipher",
    "tls_versions",
    "certificate_subject",
    "certificate_issuer",
    "certificate_not_before",
    "certificate_not_after",
    "certificate_days_left",
    "certificate_sha1",
    "certificate_name_matches",
    "certificate_trusted",
    "certificate_self_signed",
    "certificate_key",
    "certificate_signature",
    "credssp_version",
    "computer",
    "domain",
    "windows",
    "clock_skew_s",
    "udp",
    "path_mtu",
    "findings",
    "took_ms",
    "gateway_behind",
    "gateway_websocket",
    "gateway_out",
    "gateway_in",
    "gateway_rpc_out",
    "gateway_rpc_in",
    "gateway_kdc_proxy",
    "gateway_alpn",
    "gateway_logon",
    "gateway_tunnels",
    "gateway_udp",
];

/// The first line.
pub(super) fn header() -> Vec<u8> {
    written(HEADER.iter().map(|name| (*name).to_owned()))
}

/// The line of one target.
pub(super) fn row(record: &Record, profile: &Profile) -> Vec<u8> {
    let cells = cells(record, profile);
    written(HEADER.iter().map(|name| {
        let cell = cells.iter().find(|(known, _)| known == name);
        cell.map(|(_, value)| value.clone()).unwrap_or_default()
    }))
}

type Cells = Vec<(&'static str, String)>;

fn cells(record: &Record, profile: &Profile) -> Cells {
    let mut cells = Cells::new();
    if let Some(verdict) = &record.verdict {
        of_verdict(verdict, &mut cells);
    }
    of_summary(record, &mut cells);
    of_probe(record, &mut cells);
    for (column, property) in [
        ("nla", "network level authentication"),
        ("tls_versions", "TLS versions"),
        ("certificate_key", "certificate key"),
        ("certificate_signature", "certificate signature"),
        ("domain", "domain"),
        ("windows", "Windows"),
        ("udp", "UDP"),
        ("path_mtu", "path MTU"),
    ] {
        if let Some(property) = profile.properties.iter().find(|known| known.name == property) {
            cells.push((column, text(&property.class)));
        }
    }
    let findings: Vec<String> = record.findings.iter().map(|finding| safe::name(&finding.id)).collect();
    cells.push(("findings", findings.join(" ")));
    cells
}

fn of_verdict(verdict: &Verdict, cells: &mut Cells) {
    cells.push(("verdict", verdict.id.to_string()));
    cells.push(("confidence", verdict.confidence.to_string()));
    cells.push(("phase", verdict.phase.to_string()));
    cells.push(("summary", text(&verdict.summary)));
}

fn of_summary(record: &Record, cells: &mut Cells) {
    let Some(summary) = &record.summary else { return };
    let texts = [
        ("address", &summary.server),
        ("security_protocol", &summary.selected_protocol),
        ("tls_version", &summary.tls_version),
        ("cipher", &summary.cipher),
    ];
    cells.extend(texts.into_iter().filter_map(|(name, value)| Some((name, text(value.as_deref()?)))));
    cells.extend(summary.failure_code.map(|code| ("failure_code", code.to_string())));
    cells.extend(summary.reached.map(|phase| ("reached", phase.to_string())));
}

fn of_probe(record: &Record, cells: &mut Cells) {
    let Some(probe) = &record.probe else { return };
    cells.push(("target", text(&probe.target)));
    cells.push(("took_ms", milliseconds(probe.took_us)));
    let rounds = || probe.tcp.iter().flat_map(|check| &check.rounds);
    cells.push(("connections_good", rounds().flatten().count().to_string()));
    cells.push(("connections_tried", rounds().count().to_string()));
    cells.extend(rounds().flatten().min().map(|us| ("fastest_connect_ms", milliseconds(*us))));
    if let Some(check) = &probe.certificate
        && let Some(certificate) = check.chain.first()
    {
        cells.push(("certificate_subject", text(&certificate.subject)));
        cells.push(("certificate_issuer", text(&certificate.issuer)));
        cells.push(("certificate_not_before", certificate.not_before.clone()));
        cells.push(("certificate_not_after", certificate.not_after.clone()));
        cells.push(("certificate_sha1", certificate.sha1.clone()));
        cells.push(("certificate_name_matches", check.name_matches.to_string()));
        cells.push(("certificate_trusted", check.trusted.to_string()));
        cells.push(("certificate_self_signed", certificate.self_signed.to_string()));
        if let Ok(started) = probe.started.parse::<jiff::Timestamp>() {
            cells.push(("certificate_days_left", days_left(certificate.validity_at(started.as_second()))));
        }
    }
    if let Some(check) = &probe.credssp {
        cells.extend(check.version.map(|version| ("credssp_version", version.to_string())));
    }
    cells.extend(probe.clock_skew_us().map(|us| ("clock_skew_s", format!("{:.3}", us as f64 / 1e6))));
    if let Some(check) = &probe.gateway {
        of_gateway(check, cells);
    }
    let computer = probe.challenge().and_then(|challenge| challenge.netbios_computer.as_ref());
    cells.extend(computer.map(|computer| ("computer", text(computer))));
}

fn of_gateway(check: &GatewayCheck, cells: &mut Cells) {
    cells.push(("gateway_behind", text(&check.behind.join(" "))));
    for (column, request) in [
        ("gateway_websocket", GatewayRequest::Websocket),
        ("gateway_out", GatewayRequest::OutChannel),
        ("gateway_in", GatewayRequest::InChannel),
        ("gateway_rpc_out", GatewayRequest::RpcOut),
        ("gateway_rpc_in", GatewayRequest::RpcIn),
        ("gateway_kdc_proxy", GatewayRequest::KdcProxy),
    ] {
        cells.extend(check.request(request).map(|found| (column, answer(&found.answer))));
    }
    let alpn = check.alpn.as_ref().and_then(|alpn| alpn.selected.as_deref());
    cells.extend(alpn.map(|selected| ("gateway_alpn", text(selected))));
    cells.extend(check.logon.as_ref().map(|logon| ("gateway_logon", text(&logon.schemes.join(" ")))));
    let opened = check.tunnels.iter().filter(|tunnel| tunnel.failure.is_none());
    let opened: Vec<&str> = opened.map(|tunnel| by(tunnel.transport)).collect();
    cells.push(("gateway_tunnels", opened.join(" ")));
    cells.extend(check.udp.as_ref().map(|udp| ("gateway_udp", hello(&udp.with_correlation).to_owned())));
}

/// What carries a tunnel, as `--gateway-transport` takes it.
fn by(transport: Transport) -> &'static str {
    match transport {
        Transport::GatewayWebsocket => "websocket",
        Transport::GatewayHttp => "http",
        Transport::GatewayRpc => "rpc",
        Transport::Tcp | Transport::Udp => "",
    }
}

/// A status, or what there was in the place of a response.
fn answer(answer: &GatewayAnswer) -> String {
    match answer {
        GatewayAnswer::Response(response) => response.status.to_string(),
        GatewayAnswer::Closed { how: How::Reset } => "reset".to_owned(),
        GatewayAnswer::Closed { .. } => "closed".to_owned(),
        GatewayAnswer::Silent => "silent".to_owned(),
        GatewayAnswer::OtherProtocol { .. } => "no HTTP".to_owned(),
        GatewayAnswer::NotReached { .. } => "not reached".to_owned(),
    }
}

fn hello(answer: &HelloAnswer) -> &'static str {
    match answer {
        HelloAnswer::Accepted(_) | HelloAnswer::CookieRequested => "answered",
        HelloAnswer::Silent => "silent",
        HelloAnswer::NotReached { .. } => "not reached",
        _ => "refused",
    }
}

/// Negative where it has expired; nothing where it has not begun.
fn days_left(validity: Validity) -> String {
    match validity {
        Validity::Valid { remaining_seconds } => (remaining_seconds / DAY).to_string(),
        Validity::Expired { since_seconds } => format!("-{}", since_seconds.div_ceil(DAY)),
        Validity::NotYetValid { .. } => String::new(),
    }
}

fn milliseconds(us: u64) -> String {
    format!("{:.3}", us as f64 / 1e3)
}

/// Text from the wire. A spreadsheet takes what begins like this for a formula and computes it.
fn text(value: &str) -> String {
    let value = safe::name(value);
    if value.starts_with(['=', '+', '-', '@']) { format!("'{value}") } else { value }
}

fn written(cells: impl Iterator<Item = String>) -> Vec<u8> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    // Writing into memory cannot fail.
    let _ = writer.write_record(cells);
    writer.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Line, Probe, Summary};

    fn row_of(summary: Summary) -> Vec<String> {
        let probe = Probe { target: "srv10:3389".to_owned(), ..Probe::default() };
        let lines = [Line::Probe(Box::new(probe)), Line::Summary(Box::new(summary))];
        let record: Record = lines.into_iter().collect();
        let table = [header(), row(&record, &Profile::new(&record))].concat();
        let mut reader = ::csv::Reader::from_reader(&table[..]);
        assert_eq!(reader.headers().unwrap().len(), HEADER.len());
        reader.records().next().unwrap().unwrap().iter().map(str::to_owned).collect()
    }

    fn column(name: &str) -> usize {
        HEADER.iter().position(|known| *known == name).unwrap()
    }

    #[test]
    fn what_a_server_says_breaks_no_table_and_is_no_formula() {
        let cipher = "=cmd|' /C calc'!A0\r\n\"a\",b\x1b[2J".to_owned();
        let cells = row_of(Summary { cipher: Some(cipher), ..Summary::default() });
        assert_eq!(cells[column("cipher")], "'=cmd|' /C calc'!A0\\r\\n\"a\",b\\x1b[2J");
        assert_eq!(cells[column("target")], "srv10:3389");
    }

    #[test]
    fn every_column_is_filled_by_something() {
        let source = include_str!("csv.rs");
        for name in HEADER {
            assert!(source.matches(&format!("(\"{name}\",")).count() > 0, "{name}");
        }
    }

    #[test]
    fn a_gateways_columns_come_last_and_are_empty_for_a_server() {
        let cells = row_of(Summary::default());
        assert!(HEADER[column("gateway_behind")..].iter().all(|name| name.starts_with("gateway_")));
        assert!(cells[column("gateway_behind")..].iter().all(String::is_empty), "{cells:?}");
    }

    #[test]
    fn days_are_told_with_their_sign() {
        assert_eq!(days_left(Validity::Valid { remaining_seconds: 2 * DAY + 5 }), "2");
        assert_eq!(days_left(Validity::Expired { since_seconds: 11 * DAY + 5 }), "-12");
        assert_eq!(days_left(Validity::NotYetValid { in_seconds: 5 }), "");
    }
}
