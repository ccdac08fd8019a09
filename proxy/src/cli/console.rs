//! What a user sees while sessions run: phases on standard error, verdicts on standard output.

use super::output::Output;
use crate::recorder::{SessionId, TraceFolder, Watcher};
use crate::report::{Screen, Style};
use crate::trace::Line;
use serde::Serialize;

/// Shows every session's lines.
pub(super) struct Console {
    output: Output,
    screen: Screen,
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
        let style = Style {
            color: output.color_stderr,
            width: output.width(),
            verbose: output.verbose,
            ascii: output.ascii,
        };
        let traces = folder.map(|folder| folder.path().to_owned());
        Console { output, screen: Screen::new(style, traces) }
    }
}

impl Watcher for Console {
    fn line(&mut self, session: &SessionId, line: &Line) {
        if self.output.json {
            // The first line names its session by itself.
            let session = (!matches!(line, Line::Trace(_))).then_some(&**session);
            self.output.json_line(&SessionLine { line, session });
        }
        if self.output.json && self.output.quiet {
            return;
        }
        let shown = self.screen.line(session, line);
        if let Some(progress) = shown.progress {
            self.output.progress(&progress);
        }
        if let Some(result) = shown.result {
            // Set apart on a terminal; where standard output goes to a file, the answer is its first line.
            self.output.progress("");
            self.output.result(&result);
            self.output.progress("");
        }
    }

    fn notice(&mut self, text: &str) {
        self.output.error(text);
    }
}
