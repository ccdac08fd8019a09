//! Whether there is a gateway at all where one is looked for.

use super::super::facts::{Author, Exchange, Facts, Gateway, header};
use super::super::network;
use super::super::rule::{Conclusion, Remedy, Rule};
use super::{LOG, PROBE, rule, unless};
use crate::trace::{Phase, Side, VerdictId, Where};

/// Statuses with which a box says that what it forwards to does not answer.
const NOTHING_BEHIND: [u16; 3] = [502, 503, 504];

const LOOK_BEHIND: &[Remedy] = &[
    Remedy::by_hand(
        Where::Network,
        "Look at the reverse proxy or load balancer before the gateway: which machine it forwards to, and whether its \
         check of that machine's health fails.",
    ),
    LOG,
];

pub(super) const RULES: &[Rule] = &[
    unless(
        rule(
            VerdictId::GatewayUnreachable,
            "the outcome of every TCP connection to the gateway, or what a box before it answers in its place",
            unreachable,
            &["rdpscope probe {target} --gateway {gateway}", "Test-NetConnection {host} -Port {port}"],
            &[
                Remedy::command(
                    Where::Gateway,
                    "See whether the gateway's service runs.",
                    "Get-Service TSGateway; Get-NetTCPConnection -LocalPort 443 -State Listen",
                ),
                Remedy::by_hand(
                    Where::Network,
                    "Let TCP port {port} to {gateway} through; a load balancer before it must find it alive.",
                ),
                Remedy::by_hand(
                    Where::Client,
                    "Check name and port of the gateway, and whether the name means the same address from inside and \
                     from outside.",
                ),
            ],
        ),
        &[VerdictId::Healthy, VerdictId::DnsFailure],
    ),
    rule(
        VerdictId::GatewayNotAGateway,
        "the answer of HTTP to a request for a tunnel",
        not_a_gateway,
        PROBE,
        &[
            Remedy::command(
                Where::Gateway,
                "See whether the gateway's role is installed and runs on the machine that answered.",
                "Get-WindowsFeature RDS-Gateway; Get-Service TSGateway",
            ),
            Remedy::by_hand(
                Where::Network,
                "Let the reverse proxy or load balancer forward /remoteDesktopGateway/ and /rpc/ to the gateway, with \
                 the methods RDG_OUT_DATA, RDG_IN_DATA, RPC_IN_DATA and RPC_OUT_DATA.",
            ),
            Remedy::by_hand(
                Where::Client,
                "Check name and port of the gateway: this is a web server of somebody else.",
            ),
        ],
    ),
];

fn unreachable(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway.as_ref()?;
    if !facts.at_gateway {
        return nothing_behind(facts);
    }
    if let Some(of_proxy) = network::upstream_refused(facts) {
        let conclusion = Conclusion { phase: Phase::GatewayTcp, ..of_proxy };
        return Some(conclusion.advise(network::ASK_THE_PROXY));
    }
    let of_tcp = network::tcp_refused(facts).or_else(|| network::tcp_filtered(facts));
    let of_tcp = of_tcp.or_else(|| network::reset_while_opened(facts))?;
    let mut letters = of_tcp.summary.chars();
    let why: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    let summary = format!("The gateway {} cannot be reached: {why}", gateway.name);
    Some(Conclusion { summary, phase: Phase::GatewayTcp, ..of_tcp })
}

/// A box before the gateway answers all that is asked, and says that what it forwards to does not.
fn nothing_behind(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway_without_channel()?;
    // The last answer counts: what asked for a logon before may have gone away since.
    let (_, last) = gateway.last_answered()?;
    let says_so = NOTHING_BEHIND.contains(&last.what.status) && !last.what.reason.starts_with("RPC Error");
    if !says_so {
        return None;
    }
    let author = Author::of(last.what);
    // http.sys, which is there as long as Windows runs.
    let is_windows = last.what.status == 503 && matches!(author, Author::Windows(_));
    let what = if is_windows {
        "takes no request: its service does not run, or its application pool in IIS has stopped"
    } else {
        "says that there is none behind it"
    };
    let summary = format!(
        "What answers as the gateway {} {what}: {} {} from {}.",
        gateway.name,
        last.what.status,
        last.what.reason,
        author.words()
    );
    let conclusion = Conclusion::likely(Phase::GatewayHttp, summary);
    let conclusion = with_answers(conclusion.or_possibly(&[VerdictId::GatewayTransportBlocked]), gateway);
    Some(if is_windows { conclusion } else { conclusion.advise(LOOK_BEHIND) })
}

/// Every answer to a request for a tunnel, as evidence; of many the last.
pub(super) fn with_answers(conclusion: Conclusion, gateway: &Gateway<'_>) -> Conclusion {
    const SHOWN: usize = 6;
    let answered: Vec<_> = gateway.tunnel_exchanges().filter(|it| it.response.is_some()).collect();
    let shown = answered.iter().skip(answered.len().saturating_sub(SHOWN));
    shown.fold(conclusion, |conclusion, exchange| match exchange.response {
        Some(response) => conclusion.seen(response.t_us, answer_words(exchange)),
        None => conclusion,
    })
}

/// `RDG_OUT_DATA (WebSocket) is answered 405 Not Allowed by nginx/1.22.1 (header Server)`.
pub(super) fn answer_words(exchange: &Exchange<'_>) -> String {
    let Some(response) = exchange.response else { return format!("{} gets no answer", exchange.asked()) };
    let (status, reason) = (response.what.status, response.what.reason.trim());
    let answer = if reason.is_empty() { status.to_string() } else { format!("{status} {reason}") };
    format!("{} is answered {answer} by {}", exchange.asked(), Author::of(response.what).words())
}

fn not_a_gateway(facts: &Facts<'_>) -> Option<Conclusion> {
    let gateway = facts.gateway.as_ref()?;
    if let Some(other) = facts.negotiation.other_protocol[Side::Server.index()].filter(|_| facts.at_gateway) {
        let speaks = other.what.name.unwrap_or("something else");
        let summary =
            format!("What answers as the gateway {} speaks neither TLS nor HTTP but {speaks}.", gateway.name);
        let conclusion = Conclusion::confirmed(Phase::GatewayTls, summary);
        return Some(conclusion.seen(other.t_us, format!("its first bytes are {}", other.what.first_bytes)));
    }
    let gateway = facts.gateway_without_channel().filter(|gateway| !gateway.shows_itself())?;
    let (exchange, response) = gateway.last_answered()?;
    let what = response.what;
    let said = match what.status {
        404 | 410 => "knows no such path",
        405 => "does not know the methods of a gateway",
        200..=299 => "answers with a page of its own",
        300..=399 => "sends the client elsewhere",
        _ => return None,
    };
    let author = Author::of(what);
    let kind = header(&what.headers, "Content-Type").map(|kind| format!(" ({kind})")).unwrap_or_default();
    let summary = format!(
        "What answers as {} is a web server and no gateway: {} {said}, {}{kind}.",
        gateway.name,
        author.words(),
        exchange.asked_and_answered(),
    );
    let conclusion = Conclusion::likely(Phase::GatewayHttp, summary);
    Some(with_answers(conclusion.or_possibly(&[VerdictId::GatewayTransportBlocked]), gateway))
}
