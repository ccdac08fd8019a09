//! One attempt's record while its packets are read.

use super::{Analysed, Options};
use crate::capture::{FlowKey, Nanoseconds};
use crate::diagnose::{self, Context};
use crate::observe::Timeline;
use crate::trace::{
    ClosedBy, Detail, End, Event, Header, How, Leg, Line, Micros, Phase, Record, SCHEMA_VERSION, Summary,
};

/// Events of one attempt that are kept. A session has some dozens; a peer that makes more of them fills no memory.
const MOST_EVENTS: usize = 4096;

/// The names of an attempt.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// What its client dialled, `host:port`.
    pub(super) target: String,
    /// What the first line says beside that.
    pub(super) settings: serde_json::Map<String, serde_json::Value>,
}

/// What was seen so far, and what it comes to.
#[derive(Debug)]
pub(super) struct Recording {
    began: Nanoseconds,
    timeline: Timeline,
    record: Record,
    dropped: u64,
    pub(super) bytes: [u64; 2],
    last_end: Option<Micros>,
}

/// A record that lacks only its verdict.
#[derive(Debug)]
pub(super) struct Finished {
    began: Nanoseconds,
    record: Record,
    t_us: Micros,
}

impl Names {
    /// Those of an attempt between the ends of `key` in the file `capture`; streams are numbered as tshark does.
    pub(super) fn new(
        capture: &str,
        key: FlowKey,
        first_frame: u64,
        tcp_streams: &[u64],
        udp_streams: &[u64],
    ) -> Names {
        let mut settings = serde_json::Map::new();
        settings.insert("capture".to_owned(), capture.into());
        settings.insert("client".to_owned(), key.client.to_string().into());
        settings.insert("server".to_owned(), key.server.to_string().into());
        settings.insert("first_frame".to_owned(), first_frame.into());
        for (name, streams) in [("tcp_streams", tcp_streams), ("udp_streams", udp_streams)] {
            if !streams.is_empty() {
                settings.insert(name.to_owned(), streams.into());
            }
        }
        Names { target: key.server.to_string(), settings }
    }
}

impl Recording {
    pub(super) fn new(began: Nanoseconds) -> Recording {
        Recording {
            began,
            timeline: Timeline::default(),
            record: Record::default(),
            dropped: 0,
            bytes: [0; 2],
            last_end: None,
        }
    }

    /// A moment in the attempt's own time.
    pub(super) fn at(&self, at: Nanoseconds) -> Micros {
        at.saturating_sub(self.began) / 1000
    }

    pub(super) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(super) fn summary_mut(&mut self) -> &mut Summary {
        self.timeline.summary_mut()
    }

    /// The events so far.
    pub(super) fn told(&self) -> &[Event] {
        &self.record.events
    }

    pub(super) fn push(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            if let Detail::StreamEnded { .. } = event.detail {
                self.last_end = self.last_end.max(Some(event.t_us));
            }
            let mut lines = Vec::new();
            self.timeline.push(event, &mut lines);
            self.keep(lines);
        }
    }

    /// The same for what is known only now and was before everything else.
    pub(super) fn push_first(&mut self, events: impl IntoIterator<Item = Event>) {
        let mut lines = Vec::new();
        events.into_iter().for_each(|event| self.timeline.push(event, &mut lines));
        let first: Record = lines.into_iter().collect();
        self.record.events.splice(..0, first.events);
        self.record.phases.splice(..0, first.phases);
    }

    /// The same for what is known only now and is of no phase.
    pub(super) fn push_aside(&mut self, event: Event) {
        self.keep(vec![Line::Event(event)]);
    }

    fn keep(&mut self, lines: Vec<Line>) {
        for line in lines {
            if matches!(line, Line::Event(_)) && self.record.events.len() >= MOST_EVENTS {
                self.dropped += 1;
            } else {
                self.record.push(line);
            }
        }
    }

    /// Nothing more will come, and nothing of it after `at`; `ended` tells who ended it and how, where anybody has.
    pub(super) fn finish(
        mut self,
        at: Nanoseconds,
        names: Names,
        ended: Option<(ClosedBy, How)>,
        id: String,
    ) -> Finished {
        let t_us = self.last_end.filter(|_| ended.is_some()).unwrap_or_else(|| self.at(at));
        if self.dropped > 0 {
            let dropped = Detail::TraceIncomplete { dropped: self.dropped };
            let phase = self.timeline.current().unwrap_or(Phase::Tcp);
            self.record.push(Line::Event(event(t_us, Leg::Proxy, phase, dropped)));
        }
        let mut phases = Vec::new();
        self.timeline.finish(t_us, &mut phases);
        phases.into_iter().for_each(|line| self.record.push(line));
        let [bytes_up, bytes_down] = self.bytes;
        let summary = self.timeline.summary_mut();
        (summary.closed_by, summary.how) = ended.unzip();
        (summary.bytes_up, summary.bytes_down) = (bytes_up, bytes_down);
        let header = Header {
            schema: SCHEMA_VERSION,
            rdpscope: env!("CARGO_PKG_VERSION").to_owned(),
            session: id,
            target: names.target,
            settings: names.settings,
            started: timestamp(self.began).to_string(),
        };
        self.record.header = Some(header);
        self.record.summary = Some(Box::new(std::mem::take(self.timeline.summary_mut())));
        Finished { began: self.began, record: self.record, t_us }
    }
}

impl Finished {
    /// The last phase that came to a good end.
    pub(super) fn reached(&self) -> Option<Phase> {
        self.summary().reached
    }

    fn summary(&self) -> &Summary {
        static NOTHING: std::sync::LazyLock<Summary> = std::sync::LazyLock::new(Summary::default);
        self.record.summary.as_deref().unwrap_or(&NOTHING)
    }

    /// Whether the client may only have left to ask its user something.
    pub(super) fn may_be_a_prompt(&self) -> bool {
        diagnose::may_be_a_prompt(&self.record, self.summary())
    }

    /// With its verdict; `came_back`: its client dialled again and got further.
    pub(super) fn conclude(mut self, came_back: bool, options: &Options) -> Analysed {
        let mut diagnosis = diagnose::diagnose(&self.record, &Context { came_back });
        diagnosis.verdict.next.retain(|command| (options.knows_command)(command));
        let summary = self.summary().clone();
        let end = End {
            t_us: self.t_us,
            closed_by: summary.closed_by,
            how: summary.how,
            bytes_up: summary.bytes_up,
            bytes_down: summary.bytes_down,
        };
        diagnosis.findings.into_iter().for_each(|finding| self.record.push(Line::Finding(finding)));
        self.record.push(Line::Verdict(Box::new(diagnosis.verdict)));
        self.record.push(Line::End(end));
        Analysed { began: self.began, record: self.record }
    }
}

/// A moment of the capturing machine's clock.
pub(super) fn timestamp(at: Nanoseconds) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(i128::from(at)).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// Something that no side said.
pub(super) fn event(t_us: Micros, leg: Leg, phase: Phase, detail: Detail) -> Event {
    Event { t_us, leg, from: None, connection: None, phase, inferred: false, detail }
}
