//! Where an arm fails for a reason of its own, or changes nothing that matters, its failure acquits nobody.

use super::factor::Factor;
use super::progress::Depth;
use super::schedule::{ArmState, Experiment};
use crate::trace::{Detail, GatewayMessage, GatewayUdp, Record, VerdictId};
use crate::wire::tsgu::Packet;

/// The mode of certificates in which TLS is only relayed.
const PASSTHROUGH: &str = "passthrough";

/// Why sessions that fail with the change as well do not show that the factor is innocent; absent where they do.
/// `bar` is the place where `baseline` fails.
pub(super) fn without_factor(
    experiment: &Experiment,
    baseline: &ArmState,
    changed: &ArmState,
    bar: Depth,
) -> Option<String> {
    match experiment.factor {
        Factor::Nla if ends_with(changed, VerdictId::NlaRequired) => Some(
            "The server lets nobody in without NLA, so that there is no session without it to compare with.".to_owned(),
        ),
        // UDP is agreed on behind TLS, and only there can it be taken out.
        Factor::Udp if bar > Depth::Tls && !saw_datagrams(baseline) && records(changed).all(passes_tls) => Some(
            "But nothing was changed: no datagram of RDP-UDP came, and TLS, in which client and server offer it to each \
             other, passes through. Repeat it with --cert fresh, which takes the offer away."
                .to_owned(),
        ),
        Factor::Cert if ends_with(changed, VerdictId::GatewayChannelBinding) => Some(
            "But the logon to the gateway is bound to its own certificate, so that it fails with every other: what the \
             client makes of the certificate was not seen."
                .to_owned(),
        ),
        Factor::Tls
            if ends_with(baseline, VerdictId::TlsVersionMismatch)
                || ends_with(baseline, VerdictId::TlsCipherMismatch) =>
        {
            Some(
                "But TLS 1.2 and 1.3 are all that was tried, and with neither have client and server anything in common."
                    .to_owned(),
            )
        }
        _ => None,
    }
}

/// Why nothing can be said of the gateway's UDP, whatever became of the sessions; absent where somebody used it, or where
/// none of them came so far that it could be.
pub(super) fn side_channel(experiment: &Experiment) -> Option<String> {
    let baseline = &experiment.arms[0];
    let is_used =
        experiment.arms.iter().flat_map(records).any(|record| side_channel_events(record).next().is_some());
    let ends_before =
        experiment.bar().is_some_and(|bar| bar <= Depth::Gateway) && !records(baseline).all(passes_tls);
    if is_used || ends_before && !opens_channel(baseline) {
        return None;
    }
    let answers = || records(baseline).flat_map(channel_responses);
    let offers_none = answers().next().is_some() && answers().all(|udp_port| udp_port.is_none());
    Some(if offers_none {
        "Nobody used UDP: the gateway names no port for it, so that there is nothing to take away.".to_owned()
    } else {
        "Nobody used UDP: in no arm did the client send a datagram to the gateway, so that nothing is learnt about it."
            .to_owned()
    })
}

/// What was seen of the gateway's side channel.
pub(super) fn side_channel_events(record: &Record) -> impl Iterator<Item = GatewayUdp> {
    record.events.iter().filter_map(|event| match &event.detail {
        Detail::Gateway(GatewayMessage::GatewayUdp { what, .. }) => Some(*what),
        _ => None,
    })
}

fn opens_channel(state: &ArmState) -> bool {
    records(state).any(|record| channel_responses(record).next().is_some())
}

/// The ports for UDP in the answers to the request for a channel.
fn channel_responses(record: &Record) -> impl Iterator<Item = Option<u16>> {
    record.events.iter().filter_map(|event| match &event.detail {
        Detail::Gateway(GatewayMessage::TunnelPacket(Packet::ChannelResponse { udp_port, .. })) => {
            Some(*udp_port)
        }
        _ => None,
    })
}

/// Whether a datagram of RDP-UDP was seen in an arm.
pub(super) fn saw_datagrams(state: &ArmState) -> bool {
    records(state).any(|record| record.summary.as_ref().is_some_and(|summary| summary.udp.is_some()))
}

fn ends_with(state: &ArmState, id: VerdictId) -> bool {
    records(state).all(|record| record.verdict.as_ref().is_some_and(|verdict| verdict.id == id))
}

/// Whether rdpscope only relays TLS, so that it can change nothing in it.
pub(super) fn passes_tls(record: &Record) -> bool {
    setting(record, "cert").is_none_or(|cert| cert == PASSTHROUGH)
}

/// What a session's header says of a setting that is a word.
pub(super) fn setting<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    record.header.as_ref()?.settings.get(name)?.as_str()
}

/// Whether the way led through an RD Gateway.
pub(super) fn is_through_gateway(record: &Record) -> bool {
    setting(record, "gateway").is_some()
}

pub(super) fn records(state: &ArmState) -> impl Iterator<Item = &Record> {
    state.observed.iter().map(|it| &it.record)
}
