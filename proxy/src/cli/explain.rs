//! `rdpscope explain CODE [EXTENDED]` and `rdpscope explain VERDICT`.

use super::arguments::{self, ExplainArguments};
use super::output::Output;
use super::{Exit, Failure};
use crate::client_system::mstsc;
use crate::diagnose::cause::{self, Cause};
use crate::explain::{self, ExplainError};

pub(super) fn run(arguments: &ExplainArguments, output: &Output) -> Result<Exit, Failure> {
    match cause::named(&arguments.code).filter(|_| arguments.extended.is_none()) {
        Some(cause) => explain_cause(cause, output),
        None => explain_code(arguments, output)?,
    }
    Ok(Exit::Healthy)
}

fn explain_cause(cause: &Cause, output: &Output) {
    let mut explained = cause::explained(cause);
    explained.retain_commands(arguments::accepts);
    output.json_line(&explained);
    output.result(cause::text(&explained).trim_end());
}

fn explain_code(arguments: &ExplainArguments, output: &Output) -> Result<(), Failure> {
    let mut explanation = explain::run(&arguments.code, arguments.extended.as_deref()).map_err(failure)?;
    explanation.retain_commands(arguments::accepts);
    if cfg!(windows)
        && let Some((reason, extended)) = explanation.of_mstsc()
    {
        explanation.mstsc = words_of_mstsc(reason, extended);
    }
    output.json_line(&explanation);
    output.result(explain::text(&explanation).trim_end());
    Ok(())
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
