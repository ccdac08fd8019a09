//! Numbers of all sessions of a run, in the text form of Prometheus (exposition format 0.0.4).

use super::news::Ending;
use crate::trace::{Leg, Outcome, Phase};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What `/metrics` is.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of a phase's duration in seconds: from the round trip of a machine with itself to the longest that
/// clients wait for a server.
const BUCKETS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// All counts since the program began.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    began: u64,
    ended: u64,
    sessions: BTreeMap<(&'static str, &'static str), u64>,
    phases: BTreeMap<(Phase, &'static str, &'static str), Histogram>,
    bytes: [u64; 2],
    altered: u64,
    dropped_lines: u64,
}

#[derive(Debug, Default)]
struct Histogram {
    /// In each bucket by itself; the last is beyond all of [`BUCKETS`].
    counts: [u64; BUCKETS.len() + 1],
    sum_us: u64,
}

impl Histogram {
    fn observe(&mut self, us: u64) {
        let seconds = seconds(us);
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        self.counts[bucket] += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

impl Metrics {
    pub(super) fn began(&mut self) {
        self.began += 1;
    }

    pub(super) fn ended(&mut self, ending: &Ending) {
        self.ended += 1;
        let (verdict, confidence) = match &ending.verdict {
            Some(answer) => (answer.id.as_str(), answer.confidence.id()),
            None => ("none", "none"),
        };
        *self.sessions.entry((verdict, confidence)).or_default() += 1;
        for phase in &ending.progress.phases {
            // How long a desktop was used is no matter of speed, and what was left out took no time.
            if phase.phase >= Phase::Active && phase.phase != Phase::Udp || phase.outcome == Outcome::Skipped
            {
                continue;
            }
            let key = (phase.phase, phase.outcome.id(), leg(phase.leg));
            self.phases.entry(key).or_default().observe(phase.duration_us());
        }
        if let Some(end) = &ending.end {
            self.bytes[0] = self.bytes[0].saturating_add(end.bytes_up);
            self.bytes[1] = self.bytes[1].saturating_add(end.bytes_down);
        }
        self.altered += ending.progress.altered;
        self.dropped_lines += ending.dropped_lines;
    }

    /// As Prometheus reads it. `dropped_updates`: news that the dashboard's queue could not take.
    pub(super) fn text(&self, dropped_updates: u64) -> String {
        let mut text = Text::default();
        text.family("rdpscope_build_info", "gauge", "The version that runs.");
        text.sample("rdpscope_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        text.family("rdpscope_sessions_started_total", "counter", "Sessions that began.");
        text.sample("rdpscope_sessions_started_total", &[], self.began);
        text.family("rdpscope_sessions_active", "gauge", "Sessions that run.");
        text.sample("rdpscope_sessions_active", &[], self.began.saturating_sub(self.ended));
        text.family("rdpscope_sessions_total", "counter", "Sessions that are over, by their verdict.");
        for ((verdict, confidence), count) in &self.sessions {
            let labels = [("verdict", *verdict), ("confidence", *confidence)];
            text.sample("rdpscope_sessions_total", &labels, count);
        }
        self.durations(&mut text);
        text.family(
            "rdpscope_relayed_bytes_total",
            "counter",
            "Bytes relayed in sessions that are over; up is towards the server.",
        );
        for (direction, bytes) in [("up", self.bytes[0]), ("down", self.bytes[1])] {
            text.sample("rdpscope_relayed_bytes_total", &[("direction", direction)], bytes);
        }
        let plain = [
            ("rdpscope_alterations_total", "Changes that rdpscope made to relayed bytes.", self.altered),
            (
                "rdpscope_recorder_dropped_lines_total",
                "Lines of traces that the recorder could not take.",
                self.dropped_lines,
            ),
            (
                "rdpscope_dashboard_dropped_updates_total",
                "News of sessions that the dashboard could not take.",
                dropped_updates,
            ),
        ];
        for (name, help, value) in plain {
            text.family(name, "counter", help);
            text.sample(name, &[], value);
        }
        text.0
    }

    fn durations(&self, text: &mut Text) {
        const NAME: &str = "rdpscope_phase_duration_seconds";
        text.family(
            NAME,
            "histogram",
            "How long the phases up to the desktop took in sessions that are over.",
        );
        for ((phase, outcome, leg), histogram) in &self.phases {
            let labels = [("phase", phase.id()), ("outcome", *outcome), ("leg", *leg)];
            let mut below = 0;
            let bounds = BUCKETS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
            for (count, bound) in histogram.counts.iter().zip(bounds) {
                below += count;
                let labels = [&labels[..], &[("le", &*bound)]].concat();
                text.sample(&format!("{NAME}_bucket"), &labels, below);
            }
            text.sample(&format!("{NAME}_sum"), &labels, seconds(histogram.sum_us));
            text.sample(&format!("{NAME}_count"), &labels, below);
        }
    }
}

/// The leg that a phase ran on; a phase of the whole session passes both unchanged.
fn leg(leg: Option<Leg>) -> &'static str {
    leg.map_or("both", Leg::id)
}

/// Lines under way. All names and labels are words of ours, so that none has to be escaped.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}
