//! What follows from the attempts: whether the factor decides, what exactly, and why that may be said.

use super::bisection::{self, Answer};
use super::confounding::{Confounders, DIALLED_NAME};
use super::factor::{Arm, Factor, Role};
use super::progress::Depth;
use super::schedule::{ArmState, Experiment, letter};
use super::statistics::{Tally, fisher_exact};
use super::{transport, untried, verdict};
use crate::diagnose::Confounder;
use crate::trace::{Detail, Event, ExperimentEffect, Phase, Record};
use rdpscope_certs::Name;
use rdpscope_certs::authority::permitted;
use rdpscope_certs::mode::Repair;
use std::collections::BTreeSet;

/// Attempts of an arm below which even a clean separation may be an accident. Three against three that differ give
/// p = 0.1, which is the smallest there is for so few; what carries the conclusion is that nothing ever came out the
/// other way.
pub(super) const MINIMUM_RUNS: usize = 3;
/// Where outcomes of an arm differ, chance has to be ruled out by the numbers alone, and looking at several arms and at
/// every round makes chance likelier than they say.
const SIGNIFICANT: f64 = 0.01;

/// What copies of a certificate that somebody else has signed cannot tell.
const OTHER_ISSUER: &str = "Every copy is signed by the session CA, so that whether the client trusts the original's \
                            issuer was not tried.";

/// What copies tell that are for names which the session CA may not sign for.
const OTHER_NAMES: &str = "Which property of it is guilty stays open: the certificate has a name that the session CA may \
                           not sign for, as it was not known before, and clients may refuse the copies for that alone.";

/// What follows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Conclusion {
    pub(super) effect: ExperimentEffect,
    /// Properties of the certificate that are at fault.
    pub(super) repairs: BTreeSet<Repair>,
    pub(super) guilty: Option<String>,
    pub(super) p_value: Option<f64>,
    /// Sentences.
    pub(super) because: Vec<String>,
    /// The confounder that forbids to say more.
    pub(super) decided_by: Option<&'static str>,
    /// The arm with which it works, or which breaks it.
    pub(super) telling: Option<String>,
}

impl Conclusion {
    pub(super) fn new(effect: ExperimentEffect, because: String) -> Conclusion {
        Conclusion {
            effect,
            repairs: BTreeSet::new(),
            guilty: None,
            p_value: None,
            because: vec![because],
            decided_by: None,
            telling: None,
        }
    }

    pub(super) fn inconclusive(because: String) -> Conclusion {
        Conclusion::new(ExperimentEffect::Inconclusive, because)
    }

    pub(super) fn with_p(mut self, p_value: f64) -> Conclusion {
        self.p_value = Some(p_value);
        self
    }

    pub(super) fn and(mut self, sentence: impl Into<String>) -> Conclusion {
        self.because.push(sentence.into());
        self
    }

    /// The same attempts, of which nothing may be concluded.
    pub(super) fn refused(self, confounder: &Confounder) -> Conclusion {
        let mut refused = Conclusion { effect: ExperimentEffect::Inconclusive, guilty: None, ..self };
        refused.repairs = BTreeSet::new();
        refused.decided_by = Some(confounder.id);
        refused.and(format!("But this is not conclusive: {}", confounder.text))
    }
}

/// What follows from `experiment`, finished or not.
pub(super) fn conclude(experiment: &Experiment, confounders: &Confounders) -> Conclusion {
    let compared = &experiment.arms[..experiment.compared];
    if compared.iter().any(|state| state.observed.is_empty()) {
        return Conclusion::inconclusive("Not every arm had an attempt.".to_owned());
    }
    if experiment.factor == Factor::GatewayTransport {
        return transport::conclude(experiment, compared, confounders);
    }
    let unused =
        if experiment.factor == Factor::GatewayUdp { untried::side_channel(experiment) } else { None };
    if let Some(why) = unused {
        let sums = compared.iter().enumerate().map(|(place, state)| worked(place, state)).collect::<Vec<_>>();
        return Conclusion::inconclusive(format!("{}.", sums.join("; "))).and(why);
    }
    if experiment.factor.provokes() {
        return provoked(experiment, compared);
    }
    match experiment.bar() {
        None if experiment.is_unseen() => unseen(experiment, compared),
        None => healthy(experiment, compared),
        Some(bar) => failing(experiment, compared, bar, confounders),
    }
}

/// The session works as it is.
fn healthy(experiment: &Experiment, compared: &[ArmState]) -> Conclusion {
    let worse = compared.iter().find(|state| experiment.tally(state).failed > 0);
    let because = match worse {
        None => {
            "The session works in every arm: there is no fault that this experiment could find.".to_owned()
        }
        Some(state) if experiment.factor == Factor::Address => format!(
            "The session works as it is, for another address answers, and fails with {}: clients that try only that \
             one, or that one first, fail or wait.",
            state.arm.description
        ),
        Some(state) => format!(
            "The session works as it is, and fails with {}: that is a matter of the change, not of {}.",
            state.arm.description,
            experiment.subject()
        ),
    };
    let sums = compared.iter().enumerate().map(|(place, state)| worked(place, state)).collect::<Vec<_>>();
    Conclusion::new(ExperimentEffect::NotCause, because).and(format!("{}.", sums.join("; ")))
}

/// The client goes on behind the gateway's certificate, where TLS with the gateway passes through.
fn unseen(experiment: &Experiment, compared: &[ArmState]) -> Conclusion {
    let taken = compared[0].observed.len();
    let because = format!(
        "A ({}) got past the gateway's certificate {taken} of {taken}; what came behind it is not seen, as TLS with the \
         gateway passes through there.",
        compared[0].arm.description
    );
    let sums = compared.iter().enumerate().skip(1).map(|(place, state)| worked(place, state));
    let found = Conclusion::new(ExperimentEffect::NotCause, because)
        .and(format!("{}.", sums.collect::<Vec<_>>().join("; ")));
    match compared[1..].iter().find(|state| experiment.tally(state).failed > 0) {
        Some(state) => found.and(shows_instead(state)),
        None => found,
    }
}

/// The session fails as it is; an arm may take away what it fails of.
fn failing(
    experiment: &Experiment,
    compared: &[ArmState],
    bar: Depth,
    confounders: &Confounders,
) -> Conclusion {
    let baseline = experiment.tally(&compared[0]);
    let control = compared.iter().find(|it| it.arm.role == Role::Control && experiment.tally(it).passed > 0);
    let changed: Vec<(usize, &ArmState)> =
        compared.iter().enumerate().filter(|(_, state)| state.arm.role == Role::Changed).collect();
    let share = |state: &ArmState| {
        (experiment.tally(state).passed, std::cmp::Reverse(experiment.tally(state).failed))
    };
    // Of equals the first.
    let Some((place, best)) = changed.iter().rev().max_by_key(|(_, state)| share(state)).copied() else {
        return Conclusion::inconclusive("There was nothing to compare with.".to_owned());
    };
    let tally = experiment.tally(best);
    let p_value = corrected(fisher_exact(baseline, tally), changed.len());
    let seen = seen(experiment, compared, place, bar);
    let enough = baseline.total() >= MINIMUM_RUNS && tally.total() >= MINIMUM_RUNS;
    let separated = baseline.all_failed() && tally.all_passed();
    if let Some(control) = control.filter(|_| baseline.all_failed()) {
        return Conclusion::inconclusive(seen).with_p(p_value).and(format!(
            "But it passes with {} as well: what helps comes along with the change and is not {}. Run \
             --vary cert.",
            control.arm.description,
            experiment.subject()
        ));
    }
    if separated && enough
        || p_value <= SIGNIFICANT && tally.passed * baseline.total() > baseline.passed * tally.total()
    {
        let found = Conclusion {
            guilty: guilty(experiment, &changed),
            ..Conclusion::new(ExperimentEffect::Cause, seen)
        };
        let found = Conclusion { telling: Some(best.arm.name.clone()), ..found };
        return caused(
            experiment,
            found.with_p(p_value).and(chance(p_value, baseline, tally)),
            bar,
            confounders,
        );
    }
    if baseline.all_failed()
        && changed.iter().all(|(_, state)| experiment.tally(state).all_failed())
        && enough
    {
        let instead = shows_instead(&compared[0]);
        if let Some(why) = untried::without_factor(experiment, &compared[0], best, bar) {
            return Conclusion::inconclusive(seen).with_p(p_value).and(why).and(instead);
        }
        let found = Conclusion::new(ExperimentEffect::NotCause, seen).with_p(p_value).and(instead);
        return match confounders.against_acquittal() {
            Some(confounder) => found.refused(confounder),
            None => found,
        };
    }
    let found = Conclusion::inconclusive(seen).with_p(p_value).and(chance(p_value, baseline, tally));
    if enough {
        found.and("The outcome changed between attempts of one arm: more --runs would tell.")
    } else {
        found.and(format!("So few attempts prove nothing: repeat it with --runs {MINIMUM_RUNS} or more."))
    }
}

/// The change helps: what exactly, and whether that may be said.
fn caused(experiment: &Experiment, found: Conclusion, bar: Depth, confounders: &Confounders) -> Conclusion {
    if let Some(confounder) = confounders.against_cause() {
        return found.refused(confounder);
    }
    match experiment.factor {
        // Without NLA the client is shown another certificate as well, and may have refused only that.
        Factor::Nla if bar <= Depth::Tls => {
            let factor = if through_gateway(experiment) { Factor::InnerCert } else { Factor::Cert };
            Conclusion { effect: ExperimentEffect::Inconclusive, guilty: None, ..found }.and(format!(
                "But the session fails before NLA, and without NLA the client is shown another certificate: run \
                 --vary {factor}."
            ))
        }
        Factor::Cert | Factor::InnerCert => certificate(experiment, found, confounders),
        Factor::GatewayUdp => side_channel(experiment, found),
        _ => found,
    }
}

/// The second stage of `gateway-udp`: whether the client gets over a side channel that nobody answers.
fn side_channel(experiment: &Experiment, found: Conclusion) -> Conclusion {
    let Some(state) = experiment.arm(&Arm::unanswered().name) else { return found };
    let place = letter(experiment.arms.len() - 1);
    let tally = experiment.tally(state);
    let what =
        format!("{place} ({}) got past it {} of {}", state.arm.description, tally.passed, tally.total());
    if tally.all_passed() {
        found.and(format!(
            "{what}: what harms is not silence from the start, but a side channel that opens and fails."
        ))
    } else {
        found.and(format!("{what}: the client does not get over a side channel that stays silent."))
    }
}

/// The second stage of `cert`.
fn certificate(experiment: &Experiment, found: Conclusion, confounders: &Confounders) -> Conclusion {
    let trap = confounders.get(DIALLED_NAME);
    match (experiment.answer(), trap) {
        (Some(Answer::Guilty { .. }), _) if has_other_names(experiment) => {
            Conclusion { guilty: None, ..found }.and(OTHER_NAMES)
        }
        (Some(Answer::Guilty { repairs, without, with }), trap) => {
            let tally = |name: &str| {
                experiment.arm(name).map(|state| experiment.tally(state)).unwrap_or_default()
            };
            let compared = format!("{}; {}", passes(experiment, &with), passes(experiment, &without));
            let p_value = fisher_exact(tally(&without), tally(&with));
            let repairs_issuer = repairs.contains(&Repair::Issuer);
            let own = trap.is_some() && repairs.contains(&Repair::Names);
            let guilty: BTreeSet<Repair> =
                repairs.into_iter().filter(|repair| !(own && *repair == Repair::Names)).collect();
            let found = Conclusion { telling: Some(with), ..found.with_p(p_value) };
            let mut found = found.and(format!("{compared}{}.", others(experiment)));
            if !repairs_issuer && signs_itself(experiment) == Some(false) {
                found = found.and(OTHER_ISSUER);
            }
            match trap {
                Some(trap) if guilty.is_empty() => found.refused(trap),
                trap => {
                    let note = trap.filter(|_| own).map(|trap| format!("Its names are refused, too, but: {}", trap.text));
                    let words: Vec<_> = guilty.iter().map(|repair| repair.word()).collect();
                    let mut found = Conclusion { guilty: Some(words.join("+")), repairs: guilty, ..found };
                    found.because.extend(note);
                    found
                }
            }
        }
        (Some(Answer::NotTheCertificate), _) => Conclusion { effect: ExperimentEffect::Inconclusive, guilty: None, ..found }
            .and(
                "But a certificate that nobody has signed passes as well: it is not the certificate that helps, but \
                 that TLS ends in rdpscope. Run --vary tls.",
            ),
        (_, Some(trap)) => found.refused(trap),
        (Some(Answer::Open(why)), None) => Conclusion { guilty: None, ..found }
            .and(format!("Which property of it is guilty stays open: {why}{}.", others(experiment))),
        (None, None) => Conclusion { guilty: None, ..found }
            .and("Which property of it is guilty was not tried to the end."),
    }
}

/// The arms add what may be at fault, little by little.
fn provoked(experiment: &Experiment, compared: &[ArmState]) -> Conclusion {
    let sums: Vec<_> = compared.iter().enumerate().map(|(place, state)| worked(place, state)).collect();
    let sums = format!("{}.", sums.join("; "));
    let works =
        |state: &ArmState| state.observed.iter().map(|it| it.depth == Depth::Works).collect::<Tally>();
    let baseline = works(&compared[0]);
    if baseline.failed > 0 {
        return Conclusion::inconclusive(sums).and(format!(
            "The session fails as it is, so that nothing is learnt by making it harder. {}",
            shows_instead(&compared[0])
        ));
    }
    let Some(first) = compared.iter().position(|state| works(state).failed > 0) else {
        return Conclusion::new(ExperimentEffect::NotCause, sums)
            .and(format!("The session works in every arm: {} does not break it.", experiment.subject()));
    };
    let broken = works(&compared[first]);
    let p_value = corrected(fisher_exact(baseline, broken), compared.len() - 1);
    let in_order = compared[first..].iter().all(|state| works(state).all_failed());
    let enough = baseline.total() >= MINIMUM_RUNS && broken.total() >= MINIMUM_RUNS;
    let name = compared[first].arm.name.clone();
    if in_order && enough {
        let mut found = Conclusion::new(ExperimentEffect::Cause, sums).with_p(p_value);
        found.guilty = Some(name.clone());
        found.telling = Some(name);
        return found.and(format!("It starts to break with {}.", compared[first].arm.description));
    }
    let found = Conclusion::inconclusive(sums).with_p(p_value);
    found.and(format!("It fails at times from {name} on, and not in every attempt: more --runs would tell."))
}

/// What is to be named where the factor decides.
fn guilty(experiment: &Experiment, changed: &[(usize, &ArmState)]) -> Option<String> {
    match experiment.factor {
        Factor::Cert | Factor::InnerCert => None,
        Factor::Address | Factor::Tls => {
            let helping = changed.iter().filter(|(_, state)| experiment.tally(state).all_passed());
            Some(helping.map(|(_, state)| state.arm.name.clone()).collect::<Vec<_>>().join("+"))
        }
        factor => Some(factor.word().to_owned()),
    }
}

/// Each further comparison is a further chance for an accident (Bonferroni).
pub(super) fn corrected(p_value: f64, comparisons: usize) -> f64 {
    let comparisons = u32::try_from(comparisons).unwrap_or(u32::MAX);
    (p_value * f64::from(comparisons)).min(1.0)
}

/// What the first two arms did: the reason in one sentence.
fn seen(experiment: &Experiment, compared: &[ArmState], best: usize, bar: Depth) -> String {
    let [baseline, changed] = [&compared[0], &compared[best]];
    let failed = experiment.tally(baseline);
    let place = place(baseline, bar);
    let first =
        format!("A ({}) failed {} of {} {place}", baseline.arm.description, failed.failed, failed.total());
    let tally = experiment.tally(changed);
    let who = format!("{} ({})", letter(best), changed.arm.description);
    if tally.passed == 0 {
        return format!("{first}; {who} failed {} of {} there or before.", tally.failed, tally.total());
    }
    let stopped = changed.observed.iter().filter(|it| it.depth > bar && it.depth < Depth::Works).count();
    let short = if stopped == 0 {
        String::new()
    } else {
        let why = changed.observed.iter().find(|it| it.depth > bar && it.depth < Depth::Works);
        let depth = why.map_or(Depth::Inside, |it| it.depth);
        let excuse = if depth == Depth::Credssp {
            ", which cannot come to its end over another key than the server's: that is not counted against the server"
        } else {
            ""
        };
        format!(", and ended later, {}{excuse}", depth.place())
    };
    format!("{first}; {who} got past it {} of {}{short}.", tally.passed, tally.total())
}

/// Where it fails, after "failed 3 of 3".
fn place(state: &ArmState, bar: Depth) -> &'static str {
    let refuses = state.observed.iter().filter_map(|it| it.record.verdict.as_ref());
    let mut refuses = refuses.filter(|verdict| verdict.id.as_str().starts_with("certificate-"));
    if bar == Depth::Tls && refuses.next().is_some() { "right after the certificate" } else { bar.place() }
}

/// What the number says.
pub(super) fn chance(p_value: f64, one: Tally, other: Tally) -> String {
    let clean = one.all_failed() && other.all_passed();
    let least = if clean {
        format!(", the smallest that {} attempts against {} can give", one.total(), other.total())
    } else {
        String::new()
    };
    format!("Chance alone would set them apart like this with p = {}{least}.", number(p_value))
}

/// A probability as people read it.
pub(super) fn number(p_value: f64) -> String {
    if p_value < 0.001 { "less than 0.001".to_owned() } else { format!("{p_value:.2}") }
}

/// Why the session fails, where the factor does not decide.
pub(super) fn shows_instead(baseline: &ArmState) -> String {
    match verdict::last(baseline) {
        Some(verdict) => {
            format!("What the sessions show by themselves: {} ({}).", verdict.id, verdict.confidence)
        }
        None => "No session says why.".to_owned(),
    }
}

pub(super) fn worked(place: usize, state: &ArmState) -> String {
    let tally: Tally = state.observed.iter().map(|it| it.depth == Depth::Works).collect();
    format!("{} ({}) worked {} of {}", letter(place), state.arm.description, tally.passed, tally.total())
}

fn passes(experiment: &Experiment, name: &str) -> String {
    let state = experiment.arm(name);
    let tally = state.map(|state| experiment.tally(state)).unwrap_or_default();
    let what = state.map_or("", |state| state.arm.description.as_str());
    if tally.all_failed() {
        format!("{name} ({what}) fails {} of {}", tally.failed, tally.total())
    } else {
        format!("{name} ({what}) passes {} of {}", tally.passed, tally.total())
    }
}

/// The copies that were tried once and did not help.
fn others(experiment: &Experiment) -> String {
    let failed = Repair::ALL.iter().map(|repair| format!("mirror+{}", repair.word()));
    let failed =
        failed.filter(|name| experiment.arm(name).is_some_and(|state| experiment.tally(state).all_failed()));
    let failed: Vec<String> = failed.collect();
    if failed.is_empty() { String::new() } else { format!("; {} did not help", failed.join(", ")) }
}

/// Whether the server's certificate is its own issuer, where it could be read.
fn signs_itself(experiment: &Experiment) -> Option<bool> {
    let records = experiment.arms.iter().flat_map(|state| &state.observed).map(|it| &it.record);
    let certificates = records.filter_map(|record| record.summary.as_ref()?.certificate.as_ref());
    certificates.map(|certificate| certificate.self_signed).next()
}

/// Whether copies of the server's certificate may be refused for nothing but a name for which their CA may not sign. Where
/// the name that the client looks for is not among the server's, the names are wrong anyway.
fn has_other_names(experiment: &Experiment) -> bool {
    let is_other = |event: &Event| match &event.detail {
        Detail::CertificatePresented { chain, der, .. } => {
            let (Some(leaf), [_, .., ca]) = (chain.first(), &der[..]) else { return false };
            let Some(permitted) = permitted(ca) else { return false };
            let mut names = leaf.sans.iter().filter_map(|name| name.parse::<Name>().ok());
            names.any(|name| !permitted.iter().any(|it| it.permits(&name)))
        }
        _ => false,
    };
    let is_copy = |record: &&Record| record.events.iter().any(is_other);
    let records = experiment.arms.iter().flat_map(untried::records);
    records.filter(is_copy).flat_map(|record| &record.events).any(|event| match event.detail {
        Detail::CertificateJudged { name_matches, .. } => name_matches && event.phase == tls_of(experiment),
        _ => false,
    })
}

/// The phase in which the certificate is shown.
fn tls_of(experiment: &Experiment) -> Phase {
    match experiment.factor {
        Factor::Cert if through_gateway(experiment) => Phase::GatewayTls,
        _ => Phase::Tls,
    }
}

/// Whether the way of the sessions led through an RD Gateway.
pub(super) fn through_gateway(experiment: &Experiment) -> bool {
    experiment.arms.iter().flat_map(untried::records).any(untried::is_through_gateway)
}

/// The guilty properties in a sentence.
pub(super) fn property_words(repairs: &BTreeSet<Repair>) -> String {
    bisection::words(repairs.iter().copied())
}
