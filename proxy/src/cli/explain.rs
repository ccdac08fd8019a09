//! `rdpscope explain CODE [EXTENDED]`.

use super::arguments::ExplainArguments;
use super::output::Output;
use super::{Exit, Failure};
use crate::explain;

pub(super) fn run(arguments: &ExplainArguments, output: &Output) -> Result<Exit, Failure> {
    let explanation = explain::run(&arguments.code, arguments.extended.as_deref()).map_err(Failure::usage)?;
    output.json_line(&explanation);
    output.result(&explain::render::text(&explanation));
    Ok(Exit::Healthy)
}
