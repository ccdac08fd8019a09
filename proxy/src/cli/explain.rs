//! `rdpscope explain CODE [EXTENDED]`.

use super::arguments::{self, ExplainArguments};
use super::output::Output;
use super::{Exit, Failure};
use crate::explain::{self, ExplainError};

pub(super) fn run(arguments: &ExplainArguments, output: &Output) -> Result<Exit, Failure> {
    let mut explanation = explain::run(&arguments.code, arguments.extended.as_deref()).map_err(failure)?;
    explanation.retain_commands(arguments::accepts);
    output.json_line(&explanation);
    output.result(explain::text(&explanation).trim_end());
    Ok(Exit::Healthy)
}

fn failure(error: ExplainError) -> Failure {
    if error.is_usage() { Failure::usage(error) } else { Failure::not_done(error) }
}
