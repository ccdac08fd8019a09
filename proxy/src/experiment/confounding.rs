//! What is foreign to the sessions, and which conclusion it forbids. What only disturbs a place that this experiment
//! does not look at is noted.

use super::factor::{Factor, Role};
use super::progress::Depth;
use super::schedule::{ArmState, Experiment, Observed};
use super::untried::{is_through_gateway, passes_tls, setting};
use crate::diagnose::{self, Confounder, Context};
use crate::trace::{Confidence, ExperimentConfounder, Phase, Record};
use rdpscope_certs::mode::{CertificateMode, Recipe};

/// The client dialled rdpscope by a name that no server has.
pub(super) const DIALLED_NAME: &str = "confounder-dialled-name";

/// The connection is made worse on purpose.
const IMPAIRED: &str = "confounder-impaired";

/// It is not known whether the client trusts the session CA.
const UNKNOWN_AUTHORITY: &str = "confounder-authority";

/// A conclusion that must not be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bar {
    /// That the factor is the cause.
    Cause,
    /// That it is not.
    NotCause,
    /// Either.
    Both,
}

impl Bar {
    fn forbids_cause(self) -> bool {
        self != Bar::NotCause
    }

    fn forbids_not_cause(self) -> bool {
        self != Bar::Cause
    }
}

/// One confounder of an experiment, in the arm where it was first seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) confounder: Confounder,
    pub(super) arm: String,
    bar: Option<Bar>,
}

/// Everything foreign to the sessions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Confounders(Vec<Found>);

impl Confounders {
    /// Those of all arms, each once.
    pub(super) fn of(experiment: &Experiment) -> Confounders {
        let is_proved = experiment.arms[0].observed.iter().any(|observed| {
            let verdict = observed.record.verdict.as_ref();
            verdict.is_some_and(|it| it.is_fault() && it.confidence == Confidence::Confirmed)
        });
        let is_trusted = trusts_session_ca(experiment);
        let mut found: Vec<Found> = Vec::new();
        for state in &experiment.arms {
            for confounder in of_arm(state).into_iter().filter(|it| it.id != UNKNOWN_AUTHORITY || !is_trusted)
            {
                let bar = bar(experiment.factor, confounder.id, state.arm.role, is_proved);
                match found.iter_mut().find(|known| known.confounder.id == confounder.id) {
                    Some(known) if known.bar.is_some() || bar.is_none() => {}
                    Some(known) => *known = Found { confounder, arm: state.arm.name.clone(), bar },
                    None => found.push(Found { confounder, arm: state.arm.name.clone(), bar }),
                }
            }
        }
        Confounders(found)
    }

    /// The first that forbids to call the factor the cause.
    pub(super) fn against_cause(&self) -> Option<&Confounder> {
        self.0.iter().find(|it| it.bar.is_some_and(Bar::forbids_cause)).map(|it| &it.confounder)
    }

    /// The first that forbids to acquit it.
    pub(super) fn against_acquittal(&self) -> Option<&Confounder> {
        self.0.iter().find(|it| it.bar.is_some_and(Bar::forbids_not_cause)).map(|it| &it.confounder)
    }

    /// The one with this id.
    pub(super) fn get(&self, id: &str) -> Option<&Confounder> {
        self.0.iter().find(|it| it.confounder.id == id).map(|it| &it.confounder)
    }

    /// As they stand beside the conclusion, for which `decided` was the reason to draw none.
    pub(super) fn shown(self, decided: Option<&str>) -> Vec<ExperimentConfounder> {
        let shown = self.0.into_iter().map(|found| ExperimentConfounder {
            forbids: decided == Some(found.confounder.id),
            id: found.confounder.id.to_owned(),
            arm: found.arm,
            text: found.confounder.text,
            way_round: found.confounder.way_round,
        });
        shown.collect()
    }
}

/// Whether the client took a certificate of the session CA in some attempt, so that it may refuse others only for what
/// is in them.
fn trusts_session_ca(experiment: &Experiment) -> bool {
    // What asks a gateway for something has taken its certificate, which is of the same CA.
    let took_gateways = |observed: &Observed| {
        let reached = observed.record.summary.as_ref().and_then(|summary| summary.reached);
        reached >= Some(Phase::GatewayHttp) && signs_for_gateway(&observed.record)
    };
    let shown = experiment.arms.iter().filter(|state| {
        let settings = &state.arm.settings;
        settings.ends_tls || settings.cert == Some(CertificateMode::Mint(Recipe::Fresh))
    });
    experiment.arms.iter().flat_map(|state| &state.observed).any(took_gateways)
        || shown.flat_map(|state| &state.observed).any(|observed| observed.depth > Depth::Tls)
}

/// Whether the client was shown a certificate of the session CA in the place of a gateway's.
fn signs_for_gateway(record: &Record) -> bool {
    let is_file = setting(record, "cert").is_some_and(|cert| cert.starts_with("file:"));
    is_through_gateway(record) && !passes_tls(record) && !is_file
}

/// Attempts whose client was asked something do not count, so that nothing is known of a return here.
fn of_arm(state: &ArmState) -> Vec<Confounder> {
    let context = Context::default();
    let mut found: Vec<Confounder> = state
        .observed
        .iter()
        .flat_map(|observed| diagnose::confounders(&observed.record, &context))
        .collect();
    // What the arm tries is not foreign to it; what is worse in every arm shows in the others.
    found.retain(|confounder| confounder.id != IMPAIRED || state.arm.settings.impair.is_empty());
    found
}

/// Which conclusion a confounder in an arm of this role forbids. `is_proved`: the session as it is tells on the wire why
/// it fails, so that no comparison is needed to acquit the factor.
fn bar(factor: Factor, id: &str, role: Role, is_proved: bool) -> Option<Bar> {
    let is_changed = matches!(role, Role::Changed | Role::Alternative);
    match id {
        // Without rdpscope TLS would fail whatever the certificate is.
        "confounder-masked-mismatch" => {
            (is_changed && (factor.is_certificate() || factor == Factor::Nla)).then_some(Bar::Cause)
        }
        // The change was refused for being ours.
        UNKNOWN_AUTHORITY => is_changed.then_some(Bar::NotCause),
        // The change cannot get further than NLA, however right it is.
        "confounder-key-binding" => {
            (is_changed && !is_proved && (factor.is_certificate() || factor == Factor::Tls))
                .then_some(Bar::NotCause)
        }
        // NLA may fail only because of the name that the client dialled.
        "confounder-kerberos-fallback" | "confounder-service-name" => {
            (role == Role::Baseline && factor == Factor::Nla).then_some(Bar::Cause)
        }
        // There was no change.
        "confounder-not-altered" => is_changed.then_some(Bar::Both),
        // What the dialled name forbids depends on the property that is guilty.
        _ => None,
    }
}
