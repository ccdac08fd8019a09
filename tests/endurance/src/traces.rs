//! The traces of sessions that are long over: looked at, and taken away before they fill the disk.

use anyhow::Result;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// After so long without a new line a session is over: none of a soak lives as long.
const OVER_AFTER: Duration = Duration::from_secs(400);

/// What was found in the traces that were taken away.
#[derive(Debug, Default)]
pub struct Swept {
    /// Traces that end as they should.
    pub whole: u64,
    /// Traces without an end.
    pub cut: u64,
    /// Traces that say that lines are missing.
    pub incomplete: u64,
}

impl Swept {
    /// Looks at the traces in `folder` that are over, at all of them where `all`, and takes them away.
    pub fn sweep(&mut self, folder: &Path, all: bool) -> Result<()> {
        for session in fs::read_dir(folder)? {
            let session = session?.path();
            let trace = session.join("trace.jsonl");
            let Ok(metadata) = trace.metadata() else { continue };
            if !all && metadata.modified()?.elapsed().unwrap_or_default() < OVER_AFTER {
                continue;
            }
            let text = fs::read_to_string(&trace)?;
            let is_whole = text.lines().next_back().is_some_and(|line| line.starts_with(r#"{"type":"end""#));
            *(if is_whole { &mut self.whole } else { &mut self.cut }) += 1;
            self.incomplete += u64::from(text.contains("trace_incomplete"));
            fs::remove_dir_all(&session)?;
        }
        Ok(())
    }
}
