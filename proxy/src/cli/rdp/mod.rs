//! `rdpscope rdp new|lint|retarget|settings`.

pub(super) mod arguments;
mod file;
mod lint;
mod new;
mod registry;
mod retarget;
mod settings;
mod switches;

use super::output::Output;
use super::{Exit, Failure};
use arguments::{RdpArguments, RdpCommand};

pub(super) fn run(arguments: RdpArguments, output: &Output) -> Result<Exit, Failure> {
    match arguments.command {
        RdpCommand::New(new) => new::run(new, output),
        RdpCommand::Lint(lint) => lint::run(&lint, output),
        RdpCommand::Retarget(retarget) => retarget::run(retarget, output),
        RdpCommand::Settings(settings) => settings::run(&settings, output),
    }
}
