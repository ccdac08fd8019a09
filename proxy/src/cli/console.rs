//! What a user sees while sessions run: phases on standard error, verdicts on standard output.

use super::output::Output;
use super::speaker::{Speaker, Weight};
use crate::recorder::{SessionId, TraceFolder, Watcher};
use crate::report::{MOST_FOLLOWED, Screen};
use crate::trace::Line;
use serde::Serialize;

/// What is said where lines were left out of JSON, once.
const TOO_SLOW: &str = "whoever reads --json does not keep up: lines are left out there, and counted in lines of type \"lost\"; the \
    traces have them all";

/// Shows every session's lines.
pub(super) struct Console {
    output: Output,
    screen: Screen,
    plain: Speaker<Stream>,
    /// By itself: who reads JSON and who reads standard error need not wait for one another.
    json: Option<Speaker<()>>,
    is_told_too_slow: bool,
    /// The sessions are attempts: what they came to by themselves is not the answer.
    is_experiment: bool,
}

/// Where a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Progress,
    Result,
    Notice,
}

/// A line of a trace together with the session it belongs to.
#[derive(Serialize)]
struct SessionLine<'a> {
    #[serde(flatten)]
    line: &'a Line,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
}

/// Lines that are missing in JSON at this place, of whichever sessions.
#[derive(Serialize)]
#[serde(tag = "type", rename = "lost")]
struct Lost {
    lines: u64,
}

impl Console {
    pub(super) fn new(output: Output, folder: Option<TraceFolder>) -> Console {
        let style = output.style();
        let traces = folder.map(|folder| folder.path().to_owned());
        let screen = Screen::new(style, traces);
        let (said, told) = (output.clone(), output.clone());
        let plain = Speaker::start(move |stream, text: &str| match stream {
            Stream::Progress => said.progress(text),
            Stream::Result => said.result(text),
            Stream::Notice => text.lines().for_each(|sentence| said.error(sentence)),
        });
        let json = output.json.then(|| Speaker::start(move |(), text: &str| told.json_text(text)));
        Console { output, screen, plain, json, is_told_too_slow: false, is_experiment: false }
    }

    /// Of an experiment's sessions: for people only with `-v`, and never as a result.
    pub(super) fn of_experiment(output: Output, folder: Option<TraceFolder>) -> Console {
        let mut console = Console::new(output, folder);
        console.is_experiment = true;
        console
    }

    fn say(&mut self, stream: Stream, text: &str, weight: Weight) {
        if let Some(lost) = self.plain.take_lost() {
            self.plain.say(Stream::Progress, &format!("({lost} lines are missing here)"), Weight::LastWord);
        }
        self.plain.say(stream, text, weight);
    }

    fn say_json(&mut self, line: &SessionLine<'_>, weight: Weight) {
        let Some(json) = &mut self.json else { return };
        if let Some(lines) = json.take_lost() {
            json.say((), &to_json(&Lost { lines }), Weight::LastWord);
        }
        json.say((), &to_json(line), weight);
        if json.lost() > 0 && !std::mem::replace(&mut self.is_told_too_slow, true) {
            self.say(Stream::Notice, TOO_SLOW, Weight::LastWord);
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let Some(json) = &mut self.json else { return };
        match json.take_lost() {
            Some(lines) => json.say((), &to_json(&Lost { lines }), Weight::LastWord),
            None if json.lost() > 0 => {
                let missing = format!("the last {} lines of --json were not taken", json.lost());
                self.say(Stream::Notice, &missing, Weight::LastWord);
            }
            None => {}
        }
    }
}

impl Watcher for Console {
    fn most_followed(&self) -> usize {
        if self.output.json { usize::MAX } else { MOST_FOLLOWED }
    }

    fn line(&mut self, session: &SessionId, line: &Line) {
        let weight = match line {
            Line::Verdict(_) | Line::End(_) => Weight::LastWord,
            _ => Weight::Usual,
        };
        if self.output.json {
            // The first line names its session by itself.
            let session = (!matches!(line, Line::Trace(_))).then_some(&**session);
            self.say_json(&SessionLine { line, session }, weight);
        }
        if self.output.json && self.output.quiet || self.is_experiment && self.output.verbose == 0 {
            return;
        }
        let shown = self.screen.line(session, line);
        if let Some(progress) = shown.progress {
            self.say(Stream::Progress, &progress, weight);
        }
        match shown.result {
            Some(result) if self.is_experiment => self.say(Stream::Progress, &result, weight),
            Some(result) if shown.in_crowd => self.say(Stream::Result, &result, weight),
            Some(result) => {
                // Set apart on a terminal; where standard output goes to a file, the answer is its first line.
                self.say(Stream::Progress, "", weight);
                self.say(Stream::Result, &result, weight);
                self.say(Stream::Progress, "", weight);
            }
            None => {}
        }
    }

    fn flush(&mut self) {
        self.plain.flush();
        self.json.iter().for_each(Speaker::flush);
    }

    fn notice(&mut self, text: &str) {
        self.say(Stream::Notice, text, Weight::LastWord);
        self.flush();
    }
}

/// Serialising these types into memory cannot fail.
fn to_json(line: &impl Serialize) -> String {
    serde_json::to_string(line).unwrap_or_default()
}
