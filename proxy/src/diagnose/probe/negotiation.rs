//! X.224, as a probe finds it.

use super::super::words::list;
use super::{
    Conclusion, Facts, NegotiationAnswer, NegotiationCheck, Phase, Probe, Rule, VerdictId, is_connected,
    rule, times, widest,
};
use crate::trace::{Confidence, How};
use crate::wire::greeting::TELLING_LENGTH;
use crate::wire::x224::TPKT_VERSION;

const AGAIN: &[&str] = &["rdpscope probe {target}", "rdpscope proxy {target}"];

/// A rule about one RDP_NEG_FAILURE.failureCode in answer to a request for everything.
macro_rules! failure_rule {
    ($id:ident, $code:literal, $summary:literal) => {
        rule(
            VerdictId::$id,
            concat!(
                "the X.224 negotiation failure ",
                stringify!($code),
                " for a request with every protocol"
            ),
            |facts| failure(facts, |code| code == $code, $summary),
            AGAIN,
        )
    };
}

pub(super) const RULES: &[Rule] = &[
    rule(VerdictId::NotRdp, "what answers to an X.224 request", not_rdp, AGAIN),
    rule(
        VerdictId::RdpSilent,
        "X.224 requests with several masks of protocols, and time for their answers",
        silent,
        &["rdpscope probe 127.0.0.1:{port}", "rdpscope probe {target}"],
    ),
    rule(
        VerdictId::TcpReset,
        "X.224 requests with several masks of protocols, and the ends of their connections",
        closed,
        &["rdpscope probe 127.0.0.1:{port}", "rdpscope probe {target}"],
    ),
    failure_rule!(
        TlsRequired,
        1,
        "The server demands TLS and says so even to a client that offers it: something on the way rewrites the request."
    ),
    failure_rule!(
        TlsRefusedByServer,
        2,
        "The server is set to the old RDP security and refuses TLS, on which current clients insist."
    ),
    failure_rule!(
        ServerCertificateMissing,
        3,
        "The server has no certificate that it can use, so it cannot do TLS."
    ),
    failure_rule!(
        InconsistentFlags,
        4,
        "The server finds the negotiation flags contradictory, although they are those of any client: something on the \
         way rewrites them."
    ),
    failure_rule!(
        NlaRequired,
        5,
        "The server demands network level authentication (NLA) and refuses the form of it that current clients offer."
    ),
    failure_rule!(
        ClientCertificateRequired,
        6,
        "The server demands TLS with a certificate of the client, which only servers of the RDP 6.0 era do."
    ),
    rule(
        VerdictId::ProtocolError,
        "an X.224 negotiation failure with a code that the specification does not list",
        |facts| {
            failure(
                facts,
                |code| !(1..=6).contains(&code),
                "The server refuses the negotiation with a code that the specification does not know.",
            )
        },
        AGAIN,
    ),
    rule(
        VerdictId::ServerClosed,
        "an X.224 disconnect request in the place of an answer",
        disconnected,
        AGAIN,
    ),
    rule(
        VerdictId::TlsRefusedByServer,
        "the server's choice among all protocols",
        chose_old_security,
        &["rdpscope proxy {target}"],
    ),
];

/// The checks for which there was a connection.
fn asked(probe: &Probe) -> Vec<&NegotiationCheck> {
    let is_asked =
        |check: &&NegotiationCheck| !matches!(check.answer, NegotiationAnswer::NotConnected { .. });
    probe.negotiation.iter().filter(is_asked).collect()
}

fn failure(facts: &Facts<'_>, is_it: fn(u32) -> bool, summary: &str) -> Option<Conclusion> {
    let probe = facts.probe?;
    let check = widest(probe)?;
    let NegotiationAnswer::Refused { code, name } = &check.answer else { return None };
    let asks = list(&check.requested_protocols);
    let text = format!("asked for {asks}, the server answers {name} ({code})");
    // A server that answers otherwise the next time proves nothing by one answer.
    let confidence = if probe.flaky.is_empty() { Confidence::Confirmed } else { Confidence::Likely };
    is_it(*code).then(|| Conclusion::new(confidence, Phase::X224, summary).seen(check.took_us, text))
}

/// Whether nothing came, or the beginning of a packet (TPKT, RFC 1006 section 6) that was not finished in time.
fn is_unanswered(answer: &NegotiationAnswer) -> bool {
    match answer {
        NegotiationAnswer::Silent => true,
        NegotiationAnswer::OtherProtocol { protocol: None, first_bytes } => {
            match &hex::decode(first_bytes).unwrap_or_default()[..] {
                [TPKT_VERSION] | [TPKT_VERSION, 0] | [TPKT_VERSION, 0, _] => true,
                bytes @ [TPKT_VERSION, 0, high, low, ..] => {
                    bytes.len() < TELLING_LENGTH
                        && bytes.len() < usize::from(u16::from_be_bytes([*high, *low]))
                }
                _ => false,
            }
        }
        _ => false,
    }
}

fn not_rdp(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = facts.probe?;
    let asked = asked(probe);
    let other = asked.iter().find_map(|check| match &check.answer {
        answer if is_unanswered(answer) => None,
        NegotiationAnswer::OtherProtocol { protocol, first_bytes } => Some((protocol, first_bytes)),
        _ => None,
    });
    let (protocol, first_bytes) = other.filter(|_| !super::spoke_rdp(probe))?;
    let summary = match protocol {
        Some(protocol) => format!("Port {{port}} of {{host}} does not speak RDP but {protocol}."),
        None => "What answers on port {port} of {host} does not speak RDP.".to_owned(),
    };
    let conclusion = Conclusion::confirmed(Phase::X224, facts.fill(&summary));
    Some(conclusion.seen(0, format!("its first bytes are {first_bytes}")))
}

fn silent(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = facts.probe.filter(|probe| is_connected(probe))?;
    let asked = asked(probe);
    let silent = asked.iter().filter(|check| is_unanswered(&check.answer)).count();
    if silent == 0 {
        return None;
    }
    let begun =
        asked.iter().any(|check| check.answer != NegotiationAnswer::Silent && is_unanswered(&check.answer));
    let but = if begun { ", or not done with its answer in time" } else { "" };
    let seen = format!("asked {}, silent{but} {}", times(asked.len()), times(silent));
    if silent < asked.len() {
        let is_widest = widest(probe).is_some_and(|check| is_unanswered(&check.answer));
        let summary = "The server answers some RDP requests and leaves others without an answer: it is overloaded, or \
                       has too many unfinished connections.";
        return is_widest.then(|| Conclusion::possible(Phase::X224, summary).seen(0, seen));
    }
    let summary = "The server accepts the TCP connection but answers no RDP request: the service hangs, or has too many \
                   unfinished connections.";
    let conclusion = Conclusion::likely(Phase::X224, summary);
    Some(conclusion.or_possibly(&[VerdictId::NotRdp, VerdictId::SessionLimit]).seen(0, seen))
}

fn closed(facts: &Facts<'_>) -> Option<Conclusion> {
    let probe = facts.probe.filter(|probe| is_connected(probe))?;
    let asked = asked(probe);
    let how = |check: &&NegotiationCheck| match check.answer {
        NegotiationAnswer::Closed { how } => Some(how),
        _ => None,
    };
    let ends: Vec<How> = asked.iter().filter_map(how).collect();
    if ends.is_empty() || ends.len() < asked.len() {
        return None;
    }
    let are_resets = ends.iter().all(|how| *how == How::Reset);
    let (confidence, cut) =
        if are_resets { (Confidence::Confirmed, "resets") } else { (Confidence::Likely, "closes") };
    let summary = format!(
        "The server accepts the TCP connection and {cut} it without a byte of RDP, whatever it is asked for."
    );
    let conclusion = Conclusion::new(confidence, Phase::X224, summary);
    let conclusion = conclusion.or_possibly(&[VerdictId::RdpSilent, VerdictId::NotRdp]);
    Some(conclusion.seen(0, format!("asked {}, cut each time", times(asked.len()))))
}

fn disconnected(facts: &Facts<'_>) -> Option<Conclusion> {
    let check = widest(facts.probe?)?;
    let NegotiationAnswer::Disconnected { reason } = check.answer else { return None };
    let summary = format!(
        "The server answers the request with an X.224 disconnect (reason {reason}), which says no more than that it \
         does not want the connection."
    );
    let conclusion = Conclusion::likely(Phase::X224, summary).or_possibly(&[VerdictId::SessionLimit]);
    Some(conclusion.seen(check.took_us, format!("X.224 disconnect request, reason {reason}")))
}

fn chose_old_security(facts: &Facts<'_>) -> Option<Conclusion> {
    let check = widest(facts.probe?)?;
    if super::selected(facts.probe?)? != "RDP" {
        return None;
    }
    let summary = "Offered TLS and more, the server chooses the old RDP security: clients that insist on TLS leave, \
                   and no client can know whom it talks to.";
    let text = format!("asked for {}, the server chooses RDP", list(&check.requested_protocols));
    Some(Conclusion::likely(Phase::X224, summary).seen(check.took_us, text))
}
