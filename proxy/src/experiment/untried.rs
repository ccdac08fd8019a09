//! Where an arm fails for a reason of its own, or changes nothing that matters, its failure acquits nobody.

use super::factor::Factor;
use super::progress::Depth;
use super::schedule::{ArmState, Experiment};
use crate::trace::{Record, VerdictId};

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
        Factor::Udp if bar > Depth::Tls && !saw_datagrams(baseline) && passes_tls(changed) => Some(
            "But nothing was changed: no datagram of RDP-UDP came, and TLS, in which client and server offer it to each \
             other, passes through. Repeat it with --cert fresh, which takes the offer away."
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

/// Whether a datagram of RDP-UDP was seen in an arm.
pub(super) fn saw_datagrams(state: &ArmState) -> bool {
    records(state).any(|record| record.summary.as_ref().is_some_and(|summary| summary.udp.is_some()))
}

fn ends_with(state: &ArmState, id: VerdictId) -> bool {
    records(state).all(|record| record.verdict.as_ref().is_some_and(|verdict| verdict.id == id))
}

/// Whether rdpscope only relays TLS, so that it can change nothing in it.
fn passes_tls(state: &ArmState) -> bool {
    records(state).all(|record| {
        let cert = record.header.as_ref().and_then(|header| header.settings.get("cert"));
        cert.is_none_or(|cert| cert == "passthrough")
    })
}

fn records(state: &ArmState) -> impl Iterator<Item = &Record> {
    state.observed.iter().map(|it| &it.record)
}
