//! `rdpscope explain CODE [EXTENDED]` and `rdpscope explain VERDICT`.

use super::arguments::{self, ExplainArguments};
use super::output::Output;
use super::{Exit, Failure};
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
    output.json_line(&explanation);
    output.result(explain::text(&explanation).trim_end());
    Ok(())
}

fn failure(error: ExplainError) -> Failure {
    if error.is_usage() { Failure::usage(error) } else { Failure::not_done(error) }
}
