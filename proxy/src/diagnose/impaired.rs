//! What `--impair` did to a connection is nobody's fault: it is told as what it is, and takes the ground from under
//! everything that rests on time or on who gave up.

use super::ending::who_ended;
use super::facts::Facts;
use super::rule::{Conclusion, Rule};
use super::words::list;
use crate::trace::{Confidence, Effect, VerdictId};

/// What is concluded from a silence, or from a server's giving up without a word.
const BY_PATIENCE: &[VerdictId] = &[
    VerdictId::ServerClosed,
    VerdictId::TcpReset,
    VerdictId::ServerKeyUnusable,
    VerdictId::RdpSilent,
    VerdictId::TlsStalled,
    VerdictId::LinkSlow,
    VerdictId::LinkLossy,
    VerdictId::IdleTimeout,
];

pub(super) const RULES: &[Rule] = &[Rule {
    id: VerdictId::ClientClosed,
    needs: "a connection that rdpscope cut as --impair asks, before the session was active",
    depends_on: &[],
    is_last_resort: false,
    judge: cut_on_request,
    next: &["rdpscope proxy {target}"],
    fix: &[],
}];

/// Whether a conclusion holds beside what rdpscope did on request.
pub(super) fn leaves_standing(facts: &Facts<'_>, rule: &Rule, conclusion: &Conclusion) -> bool {
    if let Some(cut) = facts.impaired.cuts.first() {
        let was_proved = conclusion.confidence == Confidence::Confirmed
            && !conclusion.evidence.is_empty()
            && conclusion.evidence.iter().all(|evidence| evidence.t_us <= cut.t_us);
        return was_proved || matches!(rule.id, VerdictId::Healthy | VerdictId::ClientClosed);
    }
    let by_patience = BY_PATIENCE.contains(&rule.id) && conclusion.confidence != Confidence::Confirmed;
    !(by_patience && facts.impaired.may_upset())
}

fn cut_on_request(facts: &Facts<'_>) -> Option<Conclusion> {
    let first = facts.impaired.cuts.first()?;
    if facts.inside.active.is_some_and(|active| active <= first.t_us) {
        return None;
    }
    let did = match first.what.1 {
        Effect::Stalled => "let nothing more pass",
        Effect::Reset => "reset the connection",
        Effect::Closed | Effect::Shaped => "closed the connection",
    };
    let settings: Vec<String> = facts.impaired.cuts.iter().map(|cut| cut.what.0.to_owned()).collect();
    let phase = facts.stopped_in();
    let summary = format!(
        "rdpscope {did} in phase {phase}, as --impair {} asks: that this session came no further is no fault of the \
         client, the server or the network.",
        list(&settings)
    );
    let conclusion = Conclusion::confirmed(phase, summary).seen(facts.ending.t_us, who_ended(facts));
    Some(facts.impaired.cuts.iter().fold(conclusion, |conclusion, cut| {
        conclusion.seen(cut.t_us, format!("rdpscope {did} (--impair {})", cut.what.0))
    }))
}

/// The server left without a reason on the wire, over a connection that may be the reason.
pub(super) fn server_gave_up(facts: &Facts<'_>) -> Conclusion {
    let phase = facts.stopped_in();
    let summary = format!(
        "The server left in phase {phase} over a connection that rdpscope made worse, as --impair asks ({}); that may \
         be why, so that nothing is held against the server.",
        list(&facts.impaired.settings())
    );
    Conclusion::possible(phase, summary)
        .or_possibly(&[VerdictId::ServerClosed])
        .seen(facts.ending.t_us, who_ended(facts))
}
