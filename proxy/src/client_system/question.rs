//! Asking a program of the system that may be missing, slow or silent.

use std::io::{self, Read};
#[cfg(windows)]
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Bytes that are taken of an answer: hundreds of times what a session's events are.
const LONGEST_ANSWER: u64 = 16 << 20;
/// What an error of such a program is worth telling of, bytes.
const LONGEST_COMPLAINT: u64 = 512;

/// A program of Windows, by its place in the system's folder: what lies beside rdpscope or on the path does not stand in
/// for it.
#[cfg(windows)]
pub(crate) fn program(below_system: &str) -> PathBuf {
    let root = std::env::var_os("SystemRoot").unwrap_or_else(|| r"C:\Windows".into());
    let folders = [root, "System32".into(), below_system.into()];
    folders.into_iter().collect()
}

/// What `command` writes to its standard output until it ends; why there is nothing otherwise. One that takes longer
/// than `within` is ended.
pub(super) fn ask(mut command: Command, within: Duration) -> Result<Vec<u8>, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |what: &str, error: io::Error| format!("{program} {what}: {error}");
    let mut child = command.spawn().map_err(|error| failed("did not start", error))?;
    let answer = child.stdout.take().map(|stdout| reading(stdout, LONGEST_ANSWER));
    let complaint = child.stderr.take().map(|stderr| reading(stderr, LONGEST_COMPLAINT));
    let answer = answer.and_then(|answer| answer.recv_timeout(within).ok());
    if answer.is_none() {
        // One that has just ended by itself need not be ended.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| failed("could not be waited for", error))?;
    let Some(answer) = answer else {
        return Err(format!("{program} did not answer within {} s", within.as_secs()));
    };
    match status.success() {
        true => Ok(answer),
        false => {
            let complaint = complaint.and_then(|complaint| complaint.recv_timeout(within).ok());
            let complaint = super::event_log::decoded(&complaint.unwrap_or_default());
            Err(format!("{program} failed ({status}): {}", complaint.trim()))
        }
    }
}

/// Everything that comes, at most so many bytes, read by a thread: both outputs of a program have to be emptied, or it
/// waits for ever.
fn reading(mut from: impl Read + Send + 'static, most: u64) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error counts.
        let _ = from.by_ref().take(most).read_to_end(&mut bytes);
        let _ = io::copy(&mut from, &mut io::sink());
        // Nobody waits any more where it took too long.
        let _ = sender.send(bytes);
    });
    receiver
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::time::Instant;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_answer_is_what_the_program_says() {
        let within = Duration::from_secs(30);
        assert_eq!(ask(shell("echo yes"), within).unwrap(), b"yes\n");
        let refused = ask(shell("echo no >&2; exit 5"), within).unwrap_err();
        assert!(refused.contains("5): no") && refused.starts_with("sh failed"), "{refused}");
        let missing = ask(Command::new("no-such-program-anywhere"), within).unwrap_err();
        assert!(missing.starts_with("no-such-program-anywhere did not start: "), "{missing}");
    }

    #[test]
    fn one_that_says_nothing_is_not_waited_for() {
        let began = Instant::now();
        let silent = ask(shell("exec sleep 600"), Duration::from_millis(50)).unwrap_err();
        assert!(silent.contains("did not answer"), "{silent}");
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}
