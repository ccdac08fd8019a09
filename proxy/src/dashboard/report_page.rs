//! The report of one session: read from its trace, or made of its record where none is kept.

use super::board::Board;
use super::server::html_response;
use crate::recorder::TraceFolder;
use crate::report::{self, Document, Subject};
use crate::trace::{self, Record};
use axum::response::Response;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of a trace is read: more than 100,000 events.
const MOST_TRACE_BYTES: u64 = 64 << 20;
/// What a report may do: nothing but look as its own style says.
const CONTENT_SECURITY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; \
    base-uri 'none'; form-action 'none'; sandbox";

/// What a report is made of.
pub(super) struct Source {
    session: String,
    is_over: bool,
    place: Place,
}

/// Where the record of a session is.
enum Place {
    Trace(PathBuf),
    Record(Arc<Record>),
    /// It runs and is not written anywhere.
    NotYet,
}

impl Source {
    /// That of the session `id`; none where it is not on the page.
    pub(super) fn of(board: &Board, traces: Option<&TraceFolder>, id: &str) -> Option<Source> {
        let (session, view) = board.session(id)?;
        let place = match (traces, board.record(id)) {
            (Some(folder), _) => Place::Trace(folder.trace_path(session)),
            (None, Some(record)) => Place::Record(record),
            (None, None) => Place::NotYet,
        };
        Some(Source { session: session.to_string(), is_over: view.is_over, place })
    }

    /// The page; or why there is none, in a sentence.
    pub(super) fn html(self) -> Result<Response, String> {
        let mut document = match self.place {
            Place::Trace(path) => read(&path)?,
            Place::Record(record) => of_record(&record, self.session),
            Place::NotYet => {
                return Err(
                    "No trace is kept, so that there is a report only when the session is over.".to_owned()
                );
            }
        };
        if !self.is_over {
            document.notes.push(
                "The session still runs: this is what there is of it so far, and what it would come to if it ended now."
                    .to_owned(),
            );
        }
        Ok(html_response(report::html(&document), Some(CONTENT_SECURITY)))
    }
}

fn of_record(record: &Record, source: String) -> Document {
    Document { subjects: vec![Subject::new(record.clone(), source)], ..Document::default() }
}

/// What there is of the trace so far: of a session that runs, the last line may be half written.
fn read(path: &Path) -> Result<Document, String> {
    let name = path.display().to_string();
    let unreadable = |error: io::Error| format!("The trace {name} cannot be read: {error}.");
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MOST_TRACE_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    let reading =
        trace::read(&bytes).map_err(|reason| format!("The trace {name} cannot be read: {reason}."))?;
    let subjects = reading.records.into_iter().map(|record| Subject::new(record, name.clone()));
    Ok(Document {
        subjects: subjects.collect(),
        notes: reading.problems.iter().map(ToString::to_string).collect(),
        ..Document::default()
    })
}
