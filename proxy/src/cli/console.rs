//! What a user sees while sessions run: phases on standard error, verdicts on standard output.

use super::output::Output;
use crate::recorder::{SessionId, TraceFolder, Watcher};
use crate::report::{MOST_FOLLOWED, Screen};
use crate::trace::Line;
use serde::Serialize;

/// Shows every session's lines. What goes to one stream without anything between for the other is written at once.
pub(super) struct Console {
    output: Output,
    screen: Screen,
    held: String,
    held_for: Stream,
    /// The sessions are attempts: what they came to by themselves is not the answer.
    is_experiment: bool,
}

/// Where a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Progress,
    Result,
    Json,
}

/// A line of a trace together with the session it belongs to.
#[derive(Serialize)]
struct SessionLine<'a> {
    #[serde(flatten)]
    line: &'a Line,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
}

impl Console {
    pub(super) fn new(output: Output, folder: Option<TraceFolder>) -> Console {
        let style = output.style();
        let traces = folder.map(|folder| folder.path().to_owned());
        let screen = Screen::new(style, traces);
        Console { output, screen, held: String::new(), held_for: Stream::Progress, is_experiment: false }
    }

    /// Of an experiment's sessions: for people only with `-v`, and never as a result.
    pub(super) fn of_experiment(output: Output, folder: Option<TraceFolder>) -> Console {
        Console { is_experiment: true, ..Console::new(output, folder) }
    }

    fn say(&mut self, stream: Stream, text: &str) {
        if stream != self.held_for {
            self.flush();
            self.held_for = stream;
        }
        self.held.push_str(text);
        self.held.push('\n');
    }
}

impl Watcher for Console {
    fn most_followed(&self) -> usize {
        if self.output.json { usize::MAX } else { MOST_FOLLOWED }
    }

    fn line(&mut self, session: &SessionId, line: &Line) {
        if self.output.json {
            // The first line names its session by itself.
            let session = (!matches!(line, Line::Trace(_))).then_some(&**session);
            // Serialising these types into memory cannot fail.
            let json = serde_json::to_string(&SessionLine { line, session }).unwrap_or_default();
            self.say(Stream::Json, &json);
        }
        if self.output.json && self.output.quiet || self.is_experiment && self.output.verbose == 0 {
            return;
        }
        let shown = self.screen.line(session, line);
        if let Some(progress) = shown.progress {
            self.say(Stream::Progress, &progress);
        }
        match shown.result {
            Some(result) if self.is_experiment => self.say(Stream::Progress, &result),
            Some(result) if shown.in_crowd => self.say(Stream::Result, &result),
            Some(result) => {
                // Set apart on a terminal; where standard output goes to a file, the answer is its first line.
                self.say(Stream::Progress, "");
                self.say(Stream::Result, &result);
                self.say(Stream::Progress, "");
            }
            None => {}
        }
    }

    fn flush(&mut self) {
        let held = std::mem::take(&mut self.held);
        let Some(text) = held.strip_suffix('\n') else { return };
        match self.held_for {
            Stream::Progress => self.output.progress(text),
            Stream::Result => self.output.result(text),
            Stream::Json => self.output.json_text(text),
        }
    }

    fn notice(&mut self, text: &str) {
        self.flush();
        self.output.error(text);
    }
}
