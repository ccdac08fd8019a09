use super::STYLE;
use crate::experiment::Finished;
use crate::report::KeptExperiment;
use crate::report::document::{Document, Subject};
use crate::trace::{
    Confidence, Experiment, ExperimentArm, ExperimentConclusion, ExperimentConfounder, ExperimentEffect,
    ExperimentRun, Fix, Header, Phase, Record, SCHEMA_VERSION, Verdict, VerdictId, Where,
};

const KEPT: KeptExperiment<'static> =
    KeptExperiment { file: Some("traces/experiment-1.jsonl"), traces: Some("traces") };

fn arm(name: &str, description: &str, began: Phase, verdict: VerdictId, runs: usize) -> ExperimentArm {
    let run = |number| ExperimentRun {
        reached: Some(began),
        reached_us: None,
        began: Some(began),
        verdict,
        session: format!("{number}"),
    };
    ExperimentArm {
        name: name.to_owned(),
        description: description.to_owned(),
        runs: (0..runs).map(run).collect(),
    }
}

fn finished(effect: ExperimentEffect, proven: bool) -> Finished {
    let verdict = Verdict {
        id: VerdictId::CertificateExpired,
        confidence: Confidence::Confirmed,
        phase: Phase::Tls,
        summary: "The client refuses the server's certificate because of its dates.".to_owned(),
        evidence: Vec::new(),
        by_user: false,
        ruled_out: Vec::new(),
        alternatives: Vec::new(),
        next: Vec::new(),
        fix: vec![Fix {
            place: Where::Server,
            text: "Renew it.".to_owned(),
            command: Some("Remove-Item 'Cert:\\…'; Restart-Service TermService -Force".to_owned()),
        }],
    };
    let confounder = ExperimentConfounder {
        id: "confounder-key-binding".to_owned(),
        arm: "fresh".to_owned(),
        forbids: !proven,
        text: "NLA cannot come to its end over another key than the server's.".to_owned(),
        way_round: vec!["--renew-with SERVER.pfx".to_owned()],
    };
    let line = Experiment {
        factor: "cert".to_owned(),
        arms: vec![
            arm("server", "the server's own certificate", Phase::Tls, VerdictId::CertificateRejected, 3),
            arm("fresh", "a fresh certificate", Phase::Credssp, VerdictId::NlaKeyBinding, 3),
            arm("mirror+dates", "a copy with its dates repaired", Phase::Active, VerdictId::Healthy, 1),
        ],
        conclusion: ExperimentConclusion {
            effect,
            guilty: proven.then(|| "dates".to_owned()),
            p_value: Some(0.1),
            because:
                "A (the server's own certificate) failed 3 of 3 right after the certificate; B (a fresh \
                      certificate) got past it 3 of 3."
                    .to_owned(),
        },
        confounders: vec![confounder],
    };
    let proven = proven.then(|| verdict.clone());
    Finished { line, proven, observed: Some(verdict), fails: true }
}

#[test]
fn the_answer_comes_first_then_why_then_what_to_do() {
    let shown = super::super::experiment(&finished(ExperimentEffect::Cause, true), KEPT, &STYLE);
    insta::assert_snapshot!(shown);
}

#[test]
fn what_is_not_proved_is_not_called_a_verdict() {
    let shown = super::super::experiment(
        &finished(ExperimentEffect::Inconclusive, false),
        KeptExperiment::default(),
        &STYLE,
    );
    insta::assert_snapshot!(shown);
    let mut healthy = finished(ExperimentEffect::NotCause, false);
    healthy.observed = None;
    healthy.fails = false;
    let shown = super::super::experiment(&healthy, KeptExperiment::default(), &STYLE);
    assert!(shown.starts_with("RESULT     no fault"), "{shown}");
}

#[test]
fn a_report_tells_the_failing_session_that_the_experiment_told() {
    let Finished { line, observed, .. } = finished(ExperimentEffect::Inconclusive, false);
    let session = |number: usize| {
        let summary = format!("attempt {number}");
        let header = Header {
            schema: SCHEMA_VERSION,
            rdpscope: "1.0.0".to_owned(),
            session: number.to_string(),
            target: "srv10:3389".to_owned(),
            settings: serde_json::Map::new(),
            started: "2026-11-23T08:00:00Z".to_owned(),
        };
        let verdict = observed.clone().map(|verdict| Verdict { summary, ..verdict });
        Record { header: Some(header), verdict, ..Record::default() }
    };
    let experiment = Record { experiment: Some(Box::new(line)), ..Record::default() };
    // As files may be read: not in the order of the attempts.
    let records = [experiment.clone(), session(0), session(2), session(1)];
    let subjects = records.map(|record| Subject::new(record, "traces".to_owned())).into();
    let document = Document { subjects, ..Document::default() };
    let finished = document.finished(&experiment).expect("it is an experiment");
    assert!(finished.fails);
    assert_eq!(finished.observed.map(|verdict| verdict.summary).as_deref(), Some("attempt 2"));
}
