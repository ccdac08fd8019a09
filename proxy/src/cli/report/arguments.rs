//! What users type after `report`.

use crate::cli::Failure;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Arguments of `report`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ReportArguments {
    /// A session's folder, a folder of them, a trace.jsonl, an experiment's file, what --json or probe --output wrote, or a
    /// capture (pcap, pcapng, gzip); - is standard input
    #[arg(required = true, value_name = "TRACE")]
    pub(in crate::cli) traces: Vec<PathBuf>,
    /// How it is told [default: as the ending of --output says, otherwise text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Hold two sessions against each other, one that works and one that fails: what is different?
    #[arg(long)]
    pub(in crate::cli) compare: bool,
    /// Write it to this file
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
}

/// What a report looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// For a terminal
    Text,
    /// For a ticket
    Markdown,
    /// One JSON line for each session, target or experiment: what it came to
    Json,
    /// One page that needs nothing else, with pictures
    Html,
}

const EXAMPLES: &str = "\
Examples:
  rdpscope report TRACES/20261121-121730-54d0-0001    a session, once more
  rdpscope report TRACES -o report.html               every session below a folder, one page
  rdpscope report trace.jsonl --format markdown       for a ticket
  rdpscope report customer.pcapng -o report.html      every attempt in a capture
  rdpscope report --compare WORKING FAILING           what is different?
  rdpscope probe @hosts --output fleet.jsonl; rdpscope report fleet.jsonl -o fleet.html

Exit codes:
  0    the report was made, whatever it says
  2    wrong usage
  3    nothing to report could be read, or the report could not be written";

impl ReportArguments {
    /// How it is told. `json` is the `--json` of every command.
    pub(super) fn format(&self, json: bool) -> Result<Format, Failure> {
        match self.format {
            Some(format) if json && format != Format::Json => {
                Err(Failure::usage("--json and --format name two formats: leave one out"))
            }
            Some(format) => Ok(format),
            None if json => Ok(Format::Json),
            None => Ok(self.format_by_ending().unwrap_or(Format::Text)),
        }
    }

    fn format_by_ending(&self) -> Option<Format> {
        let ending = self.output.as_ref()?.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "html" | "htm" => Some(Format::Html),
            "md" | "markdown" => Some(Format::Markdown),
            "json" | "jsonl" => Some(Format::Json),
            _ => None,
        }
    }
}
