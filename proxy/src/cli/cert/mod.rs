//! `rdpscope cert show|mint|trust|untrust`.

pub(super) mod arguments;
pub(super) mod fetch;
mod mint;
pub(super) mod password;
mod show;
mod source;
mod trust;

use super::output::Output;
use super::{Exit, Failure};
use arguments::{CertArguments, CertCommand};

pub(super) fn run(arguments: CertArguments, output: &Output) -> Result<Exit, Failure> {
    let now = jiff::Timestamp::now().as_second();
    match arguments.command {
        CertCommand::Show(show) => show::run(&show, now, output),
        CertCommand::Mint(mint) => mint::run(&mint, now, output),
        CertCommand::Trust(trust) => trust::run(trust::Action::Trust, &trust, now, output),
        CertCommand::Untrust(untrust) => trust::untrust(untrust, now, output),
    }
}
