//! CAs that a run makes trusted ones on this machine and takes back at its end; what a killed run left is taken back by
//! the next.

mod records;
mod system;

pub(super) use system::{Prints, WAY_ROUND, run_all, this_system};

use super::Failure;
use super::output::Output;
use super::watching::host_name;
use rdpscope_certs::authority::Authority;
use rdpscope_certs::inspect::inspect;
use rdpscope_certs::trust::{Command, System, TrustedCa};
use records::{Held, Record, Records};
use serde::Serialize;
use std::io;
use std::sync::Arc;
use system::has;

/// A CA that this machine trusts for as long as this lives.
pub(super) struct TrustedForRun {
    system: System,
    ca: TrustedCa,
    records: Records,
    held: Option<(Held, Record)>,
    output: Output,
}

impl TrustedForRun {
    /// As `--trust-ca` asks: the CA of the first that has one.
    pub(super) fn of_any<'a>(
        mut authorities: impl Iterator<Item = &'a Arc<Authority>>,
        output: &Output,
    ) -> Result<Option<TrustedForRun>, Failure> {
        match authorities.next() {
            Some(authority) => TrustedForRun::begin(authority, output),
            None => Err(Failure::usage(
                "--trust-ca needs a certificate that rdpscope issues: add --cert fresh, or leave it out",
            )),
        }
    }

    /// Makes the CA a trusted one. One that the user trusted before stays as it is, now and at the end.
    pub(super) fn begin(authority: &Authority, output: &Output) -> Result<Option<TrustedForRun>, Failure> {
        let records = Records::of_user().ok_or_else(|| {
            Failure::not_done(
                "this user has no data folder in which the CA that is trusted could be noted: leave --trust-ca out, and \
                 trust it with `rdpscope cert trust`",
            )
        })?;
        let system = this_system().map_err(|_| {
            Failure::not_done(
                "how this system keeps trusted CAs is not known: leave --trust-ca out, and make the file of --ca-out a \
                 trusted one by hand",
            )
        })?;
        records.create().map_err(|error| unwritable(&error))?;
        let exclusive = records.exclusive().map_err(|error| unwritable(&error))?;
        let (ca, record) = noted(system, authority, &records)?;
        let is_there = has(&system.lookup(&ca));
        if is_there && !records.is_in_use(&ca.thumbprint, None) {
            output.progress(&format!(
                "this machine trusts {} (SHA-1 thumbprint {}) already, and goes on to when this run ends",
                record.subject, ca.thumbprint
            ));
            records.remove_certificate_file(&ca.thumbprint);
            return Ok(None);
        }
        let held = records.write(&record).map_err(|error| unwritable(&error))?;
        let trusted =
            TrustedForRun { system, ca, records, held: Some((held, record)), output: output.clone() };
        let added = if is_there { Ok(()) } else { trusted.add() };
        // What undoes it waits for this.
        drop(exclusive);
        added.map(|()| Some(trusted))
    }

    /// Runs the commands; what they did is undone by the end of `self` where one fails.
    fn add(&self) -> Result<(), Failure> {
        let commands = self.system.trust(&self.ca);
        let subject = self.held.as_ref().map(|(_, record)| record.subject.as_str()).unwrap_or_default();
        let asks = match self.system {
            System::Windows => "; Windows asks once whether it may: the answer is Yes",
            System::MacOs => "; macOS asks for your password",
            _ => "; FreeRDP sees it where it uses this system's OpenSSL, not as a Flatpak or Snap",
        };
        self.output.progress(&format!(
            "until this run ends this machine trusts {subject} (SHA-1 thumbprint {}): {}{asks}",
            self.ca.thumbprint,
            typed(&commands).join(" && ")
        ));
        run_all(&commands, Prints::Kept, &self.output)
            .map_err(|failure| Failure { sentence: format!("{}; {WAY_ROUND}", failure.sentence), ..failure })
    }
}

impl Drop for TrustedForRun {
    fn drop(&mut self) {
        let Some((held, record)) = self.held.take() else { return };
        // Without the lock it is undone all the same.
        let _exclusive = self.records.exclusive();
        match forget(self.system, &self.records, held, &record, &self.output) {
            Ok(true) => {
                self.output.progress(&format!("this machine does not trust {} any more", record.subject));
            }
            Ok(false) => {}
            Err(sentence) => self.output.error(&sentence),
        }
    }
}

/// What became of the CAs that killed runs left trusted; the line of `--json`, too.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "left-behind")]
pub(super) struct LeftBehind {
    /// They are not trusted any more.
    pub(super) forgotten: usize,
    /// They could not be removed.
    pub(super) still_trusted: usize,
}

/// Takes back what killed runs left trusted, and says so.
pub(super) fn forget_left_behind(output: &Output) -> LeftBehind {
    let mut left = LeftBehind::default();
    let Some(records) = Records::of_user() else { return left };
    let Some(_exclusive) = records.exclusive_now() else { return left };
    let Ok(system) = this_system() else { return left };
    let machine = host_name();
    for (held, record) in records.left_behind().filter(|(_, record)| record.machine == machine) {
        match forget(system, &records, held, &record, output) {
            Ok(true) => {
                left.forgotten += 1;
                output.progress(&format!(
                    "this machine does not trust {} (SHA-1 thumbprint {}) any more: a run that was killed (process {}, \
                     {}) had left it trusted",
                    record.subject, record.sha1, record.process, record.started
                ));
            }
            Ok(false) => {}
            Err(sentence) => {
                left.still_trusted += 1;
                output.error(&sentence);
            }
        }
    }
    left
}

/// Removes the CA of `record`, found by its thumbprint alone, and then the record; whether it was still trusted. Another
/// run that uses it goes on to.
fn forget(
    system: System,
    records: &Records,
    held: Held,
    record: &Record,
    output: &Output,
) -> Result<bool, String> {
    if records.is_in_use(&record.sha1, Some(&held)) {
        held.remove();
        return Ok(false);
    }
    let undone = |error: String| {
        format!(
            "{} (SHA-1 thumbprint {}) is still trusted by this machine, as {error}; to undo it type: {}",
            record.subject,
            record.sha1,
            record.undone_by.join(" && ")
        )
    };
    let file = records.certificate_file(record).map_err(|error| undone(error.to_string()))?;
    let ca = TrustedCa { file, thumbprint: record.sha1.clone() };
    let was_there = has(&system.lookup(&ca));
    if was_there {
        run_all(&system.untrust(&ca), Prints::Kept, output).map_err(|failure| undone(failure.sentence))?;
    }
    records.remove_certificate_file(&record.sha1);
    held.remove();
    Ok(was_there)
}

/// The CA with its file, and what is to be noted of it.
fn noted(system: System, authority: &Authority, records: &Records) -> Result<(TrustedCa, Record), Failure> {
    let certificate = inspect(authority.certificate()).map_err(Failure::not_done)?;
    let mut record = Record {
        sha1: certificate.sha1,
        sha256: certificate.sha256,
        subject: certificate.subject,
        pem: authority.certificate_pem(),
        machine: host_name(),
        process: std::process::id(),
        started: jiff::Timestamp::now().to_string(),
        done: Vec::new(),
        undone_by: Vec::new(),
    };
    let file = records.certificate_file(&record).map_err(|error| unwritable(&error))?;
    let ca = TrustedCa { file, thumbprint: record.sha1.clone() };
    record.done = typed(&system.trust(&ca));
    record.undone_by = typed(&system.untrust(&ca));
    Ok((ca, record))
}

fn typed(commands: &[Command]) -> Vec<String> {
    commands.iter().map(Command::to_string).collect()
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::not_done(format!(
        "cannot note in the user's data folder which CA is trusted, so that nothing was done: {error}; leave --trust-ca \
         out, and trust it with `rdpscope cert trust`"
    ))
}
