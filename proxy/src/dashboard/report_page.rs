//! The report of one session: read from its trace, or made of its record where none is kept.

use super::board::Board;
use super::page::escaped;
use super::server::html_response;
use crate::recorder::TraceFolder;
use crate::report::{self, Style};
use crate::trace::{Line, Record};
use axum::response::Response;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// How much of a trace is read: more than 100,000 events.
const MOST_TRACE_BYTES: u64 = 64 << 20;
/// Columns of the text.
const WIDTH: usize = 110;

/// Where the record of a session is.
pub(super) enum Source {
    Trace(PathBuf),
    Record(Arc<Record>),
    /// It runs and is not written anywhere.
    NotYet,
}

impl Source {
    /// That of the session `id`; none where it is not on the page.
    pub(super) fn of(board: &Board, traces: Option<&TraceFolder>, id: &str) -> Option<Source> {
        let (session, _) = board.session(id)?;
        Some(match (traces, board.record(id)) {
            (Some(folder), _) => Source::Trace(folder.trace_path(session)),
            (None, Some(record)) => Source::Record(record),
            (None, None) => Source::NotYet,
        })
    }

    /// The page; or why there is none, in a sentence.
    pub(super) fn html(self) -> Result<Response, String> {
        let record = match self {
            Source::Trace(path) => Arc::new(
                read(&path)
                    .map_err(|error| format!("The trace {} cannot be read: {error}.", path.display()))?,
            ),
            Source::Record(record) => record,
            Source::NotYet => {
                return Err(
                    "No trace is kept, so that there is a report only when the session is over.".to_owned()
                );
            }
        };
        let style = Style { color: false, width: WIDTH, verbose: 1, ascii: false };
        let text = escaped(&report::text(&record, &style));
        Ok(html_response(
            format!(
                "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
                 content=\"width=device-width, initial-scale=1\"><title>rdpscope report</title><link rel=\"icon\" \
                 href=\"data:,\"><link rel=\"stylesheet\" href=\"/dashboard.css\"></head><body><main><p><a \
                 href=\"/\">All sessions</a></p><pre class=\"report\">{text}</pre></main></body></html>\n"
            ),
            None,
        ))
    }
}

/// What there is so far: of a session that runs, the last line may be half written.
fn read(path: &std::path::Path) -> std::io::Result<Record> {
    let mut reader = BufReader::new(File::open(path)?.take(MOST_TRACE_BYTES));
    let mut record = Record::default();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Ok(read) = serde_json::from_slice::<Line>(&line) {
            record.push(read);
        }
        line.clear();
    }
    Ok(record)
}
