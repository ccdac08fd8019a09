//! `rdpscope explain CODE [EXTENDED]`.

use super::arguments::{self, ExplainArguments};
use super::output::Output;
use super::{Exit, Failure};
use crate::client_system::mstsc;
use crate::explain::{self, ExplainError};

pub(super) fn run(arguments: &ExplainArguments, output: &Output) -> Result<Exit, Failure> {
    let mut explanation = explain::run(&arguments.code, arguments.extended.as_deref()).map_err(failure)?;
    explanation.retain_commands(arguments::accepts);
    if cfg!(windows)
        && let Some((reason, extended)) = explanation.of_mstsc()
    {
        explanation.mstsc = words_of_mstsc(reason, extended);
    }
    output.json_line(&explanation);
    output.result(explain::text(&explanation).trim_end());
    Ok(Exit::Healthy)
}

/// The text that mstsc has for its codes; without it our own table speaks alone, as it does on other systems.
fn words_of_mstsc(reason: u32, extended: u32) -> Option<String> {
    match mstsc::description(reason, extended) {
        Ok(Some(words)) => Some(words),
        Ok(None) => {
            tracing::info!("mstsc has no text for {reason:#x} and {extended:#x}");
            None
        }
        Err(why) => {
            tracing::info!("mstsc was not asked for its own text: {why}");
            None
        }
    }
}

fn failure(error: ExplainError) -> Failure {
    if error.is_usage() { Failure::usage(error) } else { Failure::not_done(error) }
}
