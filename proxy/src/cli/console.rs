//! What a user sees while sessions run: phases on standard error, verdicts on standard output.

use super::output::Output;
use crate::recorder::{SessionId, TraceFolder, Watcher};
use crate::trace::Line;
use serde::Serialize;

/// Shows every session's lines.
pub(super) struct Console {
    output: Output,
    folder: Option<TraceFolder>,
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
        Console { output, folder }
    }
}

impl Watcher for Console {
    fn line(&mut self, session: &SessionId, line: &Line) {
        // The first line names its session by itself.
        let session = (!matches!(line, Line::Trace(_))).then_some(&**session);
        self.output.json_line(&SessionLine { line, session });
    }

    fn notice(&mut self, text: &str) {
        self.output.error(text);
    }
}
