//! mstsc: where it is, and what it says to a code.

#[cfg(windows)]
use super::question;
use std::path::PathBuf;
#[cfg(windows)]
use std::time::Duration;

/// PowerShell takes seconds to start on a machine that is busy.
#[cfg(windows)]
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The program, where Windows has it: not every Windows Server does, and no other system.
pub fn program() -> Option<PathBuf> {
    #[cfg(windows)]
    {
        Some(question::program("mstsc.exe")).filter(|program| program.is_file())
    }
    #[cfg(not(windows))]
    {
        None
    }
}

/// What mstsc would tell its user of a disconnect reason and an extended one, in the language of the user; `None` where
/// it has no text for them. The error is why it could not be asked.
#[cfg(windows)]
pub fn description(reason: u32, extended: u32) -> Result<Option<String>, String> {
    let mut command = std::process::Command::new(question::program(r"WindowsPowerShell\v1.0\powershell.exe"));
    command.args(["-NoProfile", "-NonInteractive", "-Command", &script(reason, extended)]);
    question::ask(command, ANSWER_WITHIN).map(|answer| said(&answer))
}

/// Other systems have no mstsc.
#[cfg(not(windows))]
pub fn description(_reason: u32, _extended: u32) -> Result<Option<String>, String> {
    Err("mstsc is Windows', and this is another system".to_owned())
}

/// The control inside mstsc is asked for the text (`IMsRdpClient5::GetErrorDescription`).
#[cfg(any(windows, test))]
fn script(reason: u32, extended: u32) -> String {
    format!(
        "[Console]::OutputEncoding = [Text.Encoding]::UTF8; \
         (New-Object -ComObject MSTscAx.MsTscAx).GetErrorDescription({reason}, {extended})"
    )
}

/// One line of what PowerShell said.
#[cfg(any(windows, test))]
fn said(answer: &[u8]) -> Option<String> {
    let text = super::event_log::decoded(answer);
    let words: Vec<&str> = text.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_is_asked_by_numbers_alone() {
        assert!(script(0x904, 7).ends_with(".GetErrorDescription(2308, 7)"), "{}", script(0x904, 7));
    }

    #[test]
    fn an_answer_is_one_line() {
        let answer = "This computer can't connect to\r\nthe remote computer.\r\n\r\n";
        let line = "This computer can't connect to the remote computer.";
        assert_eq!(said(answer.as_bytes()).as_deref(), Some(line));
        assert_eq!(said(b"\r\n"), None);
    }
}
