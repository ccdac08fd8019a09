//! Reads a trace and prints what the program would have shown: `cargo run --example read_trace -- FILE`.
//!
//! A small use of the library: lines from a file into a [`Record`], a record into text.

use rdpscope::report::{Style, text};
use rdpscope::trace::{Line, Record};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!(
            "name a trace: cargo run --example read_trace -- examples/traces/certificate-expired.jsonl"
        );
        return ExitCode::from(2);
    };
    match read(&path) {
        Ok(record) => {
            println!("{}", text(&record, &Style { color: false, width: 80, verbose: 0, ascii: false }));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot read {path}: {error}");
            ExitCode::from(3)
        }
    }
}

fn read(path: &str) -> Result<Record, Box<dyn std::error::Error>> {
    let lines: Result<Vec<Line>, _> = std::fs::read_to_string(path)?.lines().map(str::parse).collect();
    Ok(lines?.into_iter().collect())
}
