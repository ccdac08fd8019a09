//! One session's record while it grows: in memory for the verdict, and line by line to the recorder.

use super::pcapng::{CaptureStart, FILE_NAME, SessionCapture};
use super::{RecorderHandle, SessionHandle, SessionId};
use crate::observe::{Progress, Timeline};
use crate::trace::{Detail, Event, Header, Leg, Line, Micros, Phase, Record, SCHEMA_VERSION, Side};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// Events of one session kept in memory for its verdict, and alterations. A session has some dozens; a peer that makes
/// more of them fills its trace on disk, not our memory.
const MOST_EVENTS: usize = 4096;
/// Events that every session has room for from the start: those of one with TLS 1.2 until it falls silent are 17.
const USUAL_EVENTS: usize = 18;
/// Room made for more at a time, at least: a session that has come to its desktop, which takes some 36 where its TLS ends
/// here, has few more for hours.
const MORE_EVENTS: usize = 3;
/// The part of what there is by which room grows, so that a session of thousands is not copied for every few.
const GROWTH: usize = 8;

/// What a session's first line says.
#[derive(Debug, Clone)]
pub struct TraceStart {
    /// The session's id.
    pub id: SessionId,
    /// What the user named.
    pub target: String,
    /// The settings that shape the session.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// The wall clock at `began`.
    pub started: jiff::Timestamp,
    /// `t_us` 0.
    pub began: Instant,
}

/// A growing trace.
pub struct SessionTrace {
    id: SessionId,
    began: Instant,
    timeline: Timeline,
    record: Record,
    recorder: Option<SessionHandle>,
    /// Lines that the recorder could not take since the last that it did.
    dropped: u64,
    /// The recorder could not take the first line yet: without it there is no file for the others.
    is_header_due: bool,
    /// Who wants to know how far the session is.
    progress: Option<watch::Sender<Progress>>,
    capture: Option<Arc<SessionCapture>>,
}

impl SessionTrace {
    /// Begins a trace and hands its first line over.
    pub fn begin(start: TraceStart, recorder: Option<RecorderHandle>) -> SessionTrace {
        let capture = recorder.as_ref().and_then(|recorder| recorder.capture.as_ref());
        let capture = capture.map(|capture| {
            capture.begin(CaptureStart {
                id: start.id.clone(),
                target: start.target.clone(),
                settings: serde_json::Value::from(start.settings.clone()).to_string(),
                started: start.started,
                began: start.began,
            })
        });
        let header = Header {
            schema: SCHEMA_VERSION,
            rdpscope: env!("CARGO_PKG_VERSION").to_owned(),
            session: start.id.to_string(),
            target: start.target,
            settings: start.settings,
            started: start.started.to_string(),
        };
        let recorder = recorder.map(|recorder| recorder.session(start.id.clone()));
        let header = Line::Trace(header);
        if let Some(recorder) = &recorder {
            recorder.show(std::slice::from_ref(&header));
        }
        let is_header_due =
            recorder.as_ref().is_some_and(|recorder| !recorder.offer(std::slice::from_ref(&header)));
        let mut record = Record { events: Vec::with_capacity(USUAL_EVENTS), ..Record::default() };
        record.push(header);
        SessionTrace {
            id: start.id,
            began: start.began,
            timeline: Timeline::default(),
            record,
            recorder,
            dropped: 0,
            is_header_due,
            progress: None,
            capture,
        }
    }

    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// A moment in the session's own time, µs.
    pub fn at(&self, moment: Instant) -> Micros {
        super::micros_since(self.began, moment)
    }

    /// Its capture, where there is one.
    pub(crate) fn capture(&self) -> Option<&Arc<SessionCapture>> {
        self.capture.as_ref()
    }

    /// The phases and facts so far.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The same, to add facts that no event carries.
    pub fn timeline_mut(&mut self) -> &mut Timeline {
        &mut self.timeline
    }

    /// How far the session is, now and from here on.
    pub fn watch_progress(&mut self) -> watch::Receiver<Progress> {
        let now = self.timeline.progress();
        self.progress.get_or_insert_with(|| watch::Sender::new(now)).subscribe()
    }

    /// The record so far.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Something that happened now.
    pub fn say(&mut self, leg: Leg, from: Option<Side>, phase: Phase, detail: Detail) {
        let t_us = self.at(Instant::now());
        self.events(vec![Event { t_us, leg, from, connection: None, phase, inferred: false, detail }]);
    }

    /// Things that were observed.
    pub fn events(&mut self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let mut lines = Vec::with_capacity(events.len() + 2);
        for event in events {
            self.timeline.push(event, &mut lines);
        }
        if let Some(progress) = &self.progress {
            let now = self.timeline.progress();
            progress.send_if_modified(|known| std::mem::replace(known, now) != now);
        }
        self.lines(lines);
    }

    /// The session is over: closes its phases.
    pub fn close_phases(&mut self, t_us: Micros) {
        let mut lines = Vec::new();
        self.timeline.finish(t_us, &mut lines);
        self.lines(lines);
    }

    /// Every fact is there: hands the summary over. From here on it is in the record.
    pub fn summarise(&mut self) {
        let summary = std::mem::take(self.timeline.summary_mut());
        self.lines(vec![Line::Summary(Box::new(summary))]);
    }

    /// Hands the last lines over and waits until there is room for them; answers with the whole record.
    pub async fn conclude(mut self, mut lines: Vec<Line>) -> Record {
        let captured = self.end_capture(&lines).await;
        lines.splice(0..0, captured);
        let due = self.due();
        let count = due.len();
        lines.splice(0..0, due);
        let recorder = self.recorder.take();
        if let Some(recorder) = &recorder {
            recorder.deliver(&lines).await;
        }
        self.keep(lines.into_iter().skip(count));
        if let Some(recorder) = &recorder {
            recorder.show_whole(&self.record);
        }
        self.record
    }

    /// Waits until the capture is written, and says what became of it.
    async fn end_capture(&mut self, last: &[Line]) -> Option<Line> {
        let capture = self.capture.take()?;
        capture.note(last);
        let outcome = capture.end().await?;
        let detail = Detail::Captured {
            file: FILE_NAME.to_owned(),
            packets: outcome.packets,
            dropped: outcome.lost.packets,
            dropped_bytes: outcome.lost.bytes,
            stopped: outcome.stopped,
            secrets: capture.takes_secrets(),
        };
        let t_us = self.at(Instant::now());
        Some(Line::Event(Event {
            t_us,
            leg: Leg::Proxy,
            from: None,
            connection: None,
            phase: Phase::Closed,
            inferred: false,
            detail,
        }))
    }

    /// Lines of any kind, in their order.
    pub fn lines(&mut self, lines: Vec<Line>) {
        if let Some(capture) = &self.capture {
            capture.note(&lines);
        }
        if let Some(recorder) = &self.recorder {
            recorder.show(&lines);
            let is_taken = if self.dropped == 0 && !self.is_header_due {
                recorder.offer(&lines)
            } else {
                recorder.offer(&[self.due(), lines.clone()].concat())
            };
            if is_taken {
                (self.dropped, self.is_header_due) = (0, false);
            } else {
                self.dropped += lines.len() as u64;
            }
        }
        self.keep(lines.into_iter());
    }

    fn keep(&mut self, lines: impl Iterator<Item = Line>) {
        for line in lines {
            let events = &mut self.record.events;
            let is_event = matches!(line, Line::Event(_));
            if is_event && events.len() == events.capacity() {
                events.reserve_exact(MORE_EVENTS.max(events.len() / GROWTH));
            }
            let kept = match line {
                Line::Event(_) => self.record.events.len(),
                Line::Altered(_) => self.record.altered.len(),
                _ => 0,
            };
            if kept < MOST_EVENTS {
                self.record.push(line);
            }
        }
    }

    /// What must stand before the next lines that get through: the header, and the confession of lost lines.
    fn due(&self) -> Vec<Line> {
        let header = self.record.header.clone().filter(|_| self.is_header_due);
        let mut due: Vec<Line> = header.map(Line::Trace).into_iter().collect();
        if self.dropped > 0 {
            let phase = self.timeline.current().unwrap_or(Phase::Tcp);
            let t_us = self.at(Instant::now());
            let detail = Detail::TraceIncomplete { dropped: self.dropped };
            let gap =
                Event { t_us, leg: Leg::Proxy, from: None, connection: None, phase, inferred: false, detail };
            due.push(Line::Event(gap));
        }
        due
    }
}
