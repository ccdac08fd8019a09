//! What the checks of an RD Gateway found, in words.

use super::time;
use crate::report::{safe, words};
use crate::trace::{
    AlpnCheck, Framing, GatewayAnswer, GatewayCheck, GatewayLogonCheck, GatewayRequest, GatewayRequestCheck,
    GatewayTunnelCheck, GatewayTunnelFailure, GatewayUdpCheck, HelloAnswer, How, HttpResponse, Transport,
};

/// The blocks, by their names, each with its lines.
pub(super) fn blocks(check: &GatewayCheck, verbose: bool) -> Vec<(&'static str, Vec<String>)> {
    vec![
        ("http", check.requests.iter().map(|it| request(it, verbose)).collect()),
        ("alpn", check.alpn.iter().map(alpn).collect()),
        ("logon", check.logon.iter().map(logon).collect()),
        ("tunnel", check.tunnels.iter().map(tunnel).collect()),
        ("udp", check.udp.iter().flat_map(udp).collect()),
    ]
}

/// `RDG_OUT_DATA (WebSocket): 401 Unauthorized from Microsoft-HTTPAPI/2.0, in 1.2 ms`.
fn request(check: &GatewayRequestCheck, verbose: bool) -> String {
    let asked = match check.request {
        GatewayRequest::Websocket => format!("{} (WebSocket)", check.method),
        GatewayRequest::OldHttp => format!("{} (HTTP/1.0)", check.method),
        _ => format!("{} {}", check.method, check.path),
    };
    let answer = match &check.answer {
        GatewayAnswer::Response(response) => {
            format!("{}, in {}", head(response, verbose), time::short(check.took_us))
        }
        GatewayAnswer::Closed { how } => closed(*how).to_owned(),
        GatewayAnswer::Silent => format!("no answer in {}", time::short(check.took_us)),
        GatewayAnswer::OtherProtocol { first_bytes } => format!("no HTTP: {}", safe::name(first_bytes)),
        GatewayAnswer::NotReached { reason } => format!("not asked: {}", safe::name(reason)),
    };
    let endless = if check.is_complete == Some(false) { "; its end did not come" } else { "" };
    format!("{asked}: {answer}{endless}")
}

fn head(response: &HttpResponse, verbose: bool) -> String {
    let mut text =
        format!("{} {}", response.status, safe::name(response.reason.trim())).trim_end().to_owned();
    for name in ["Server", "Via"] {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        if let Some(value) = found.and_then(|header| header.value.as_deref()) {
            text += &format!(", {name} {}", safe::name(value));
        }
    }
    if verbose {
        let framing = match response.framing {
            Framing::None | Framing::Upgraded => "no body".to_owned(),
            Framing::Length(length) => format!("{length} bytes"),
            Framing::Chunked => "chunks".to_owned(),
            Framing::UntilClose => "ends with the connection".to_owned(),
        };
        text += &format!(", {}, {framing}", response.version);
    }
    text
}

fn closed(how: How) -> &'static str {
    match how {
        How::Reset => "connection reset",
        _ => "connection closed",
    }
}

fn alpn(check: &AlpnCheck) -> String {
    let selects = check.selected.as_deref().map_or_else(|| "nothing".to_owned(), safe::name);
    let alone = check.alone.as_ref().map(|alone| {
        let http2 = match (alone.http2, alone.http2_status) {
            (_, Some(status)) => status.to_string(),
            (true, None) => "settings".to_owned(),
            (false, None) => "nothing".to_owned(),
        };
        let http1 = match &alone.http1 {
            GatewayAnswer::Response(response) => response.status.to_string(),
            _ => "no HTTP/1.1".to_owned(),
        };
        format!("; RDG_OUT_DATA gets {http2} in HTTP/2 and {http1} in HTTP/1.1")
    });
    format!("of h2 and http/1.1 it selects {selects}{}", alone.unwrap_or_default())
}

/// `offers Negotiate, NTLM; FS01, Windows Server 2022; its clock agrees`.
fn logon(check: &GatewayLogonCheck) -> String {
    let schemes: Vec<String> = check.schemes.iter().map(|scheme| safe::name(scheme)).collect();
    let offered = if schemes.is_empty() { "no scheme".to_owned() } else { schemes.join(", ") };
    let mut clauses = vec![format!("offers {offered}")];
    clauses.extend(check.challenge.as_ref().map(words::server));
    if let Some(skew) = check.clock_skew_us {
        clauses
            .push(words::skew(0, skew).unwrap_or_else(|| "its clock agrees with this machine's".to_owned()));
    }
    if check.stayed_open == Some(false) {
        clauses.push("the connection is ended in the middle of it".to_owned());
    }
    clauses.extend(check.failure.as_deref().map(safe::name));
    clauses.join("; ")
}

fn tunnel(check: &GatewayTunnelCheck) -> String {
    let by = match check.transport {
        Transport::GatewayWebsocket => "WebSocket",
        Transport::GatewayHttp => "two connections",
        Transport::GatewayRpc => "RPC",
        Transport::Tcp | Transport::Udp => "a direct connection",
    };
    let scheme =
        check.scheme.as_ref().map(|scheme| format!(" as {}", safe::name(scheme))).unwrap_or_default();
    let mut clauses: Vec<String> = check
        .packets
        .iter()
        .map(|packet| match packet.status().filter(|status| status.value != 0) {
            Some(status) => format!("{} with {}", packet.name(), code(status)),
            None => packet.name().to_owned(),
        })
        .collect();
    clauses.extend(check.pdus.iter().map(|name| safe::name(name)));
    clauses.extend(check.failure.as_ref().map(|failure| match failure {
        GatewayTunnelFailure::NotGranted { method, status } => {
            format!("{} is answered {status}", safe::name(method))
        }
        GatewayTunnelFailure::Silent { after } => format!("no answer to {}", safe::name(after)),
        GatewayTunnelFailure::Closed { after, how } => {
            format!("{} after {}", closed(*how), safe::name(after))
        }
    }));
    if !check.reframed.is_empty() {
        clauses.push("its body was put into another frame on the way".to_owned());
    }
    if clauses.is_empty() {
        clauses.push("nothing was said in it".to_owned());
    }
    format!("over {by}{scheme}: {}", clauses.join(", "))
}

fn code(code: &crate::wire::named::Code) -> String {
    match &code.name {
        Some(name) => format!("{name} ({:#010x})", code.value),
        None => format!("{:#010x}", code.value),
    }
}

fn udp(check: &GatewayUdpCheck) -> [String; 2] {
    let answer = |answer: &HelloAnswer| match answer {
        HelloAnswer::Accepted(_) | HelloAnswer::CookieRequested => "answered".to_owned(),
        HelloAnswer::Silent => "no answer".to_owned(),
        HelloAnswer::NotReached { reason } => safe::name(reason),
        HelloAnswer::Alert { name, .. } => format!("alert {}", safe::name(name)),
        _ => "something that is no DTLS".to_owned(),
    };
    [
        format!(
            "{}, a hello as clients send it: {}",
            safe::name(&check.address),
            answer(&check.with_correlation)
        ),
        format!("a plain hello: {}", answer(&check.without_correlation)),
    ]
}
