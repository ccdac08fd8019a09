//! Who sits before the run: who is asked, how they answer, and how they leave.

use super::plan::Step;
use crate::cli::Failure;
use crate::cli::output::Output;
use crate::cli::proxy::interrupted;
use std::future::Future;
use std::io::{BufRead, IsTerminal};
use std::pin::Pin;
use std::sync::mpsc as blocking;
use tokio::sync::mpsc;

/// How somebody left before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// They said so, or the input ended.
    Said,
    /// Ctrl-C, or the system.
    Interrupted,
}

/// What somebody says to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// Go on.
    GoOn,
    /// Without this step.
    Skip,
    /// No further.
    Leave,
}

/// Everybody who may say something.
pub(super) struct Company {
    interrupted: Pin<Box<dyn Future<Output = ()>>>,
    keyboard: Option<Keyboard>,
    asks: bool,
    left: Option<Left>,
}

impl Company {
    /// Those at the terminal of this process; `yes` where nothing shall be asked.
    pub(super) fn here(yes: bool) -> Result<Company, Failure> {
        let interrupted =
            interrupted().map_err(|error| Failure::not_done(format!("cannot wait for signals: {error}")))?;
        let keyboard = std::io::stdin().is_terminal().then(Keyboard::default);
        Ok(Company { interrupted: Box::pin(interrupted), keyboard, asks: !yes, left: None })
    }

    /// Whether somebody sits at a terminal.
    pub(super) fn is_there(&self) -> bool {
        self.keyboard.is_some()
    }

    /// Whether a step that needs somebody can be done.
    pub(super) fn can_help(&self) -> bool {
        self.is_there() || !self.asks
    }

    /// How they left; none where they are still there.
    pub(super) fn left(&self) -> Option<Left> {
        self.left
    }

    /// Asks whether to go on with `step`, after `words`; nobody is asked where nobody is there or wants to be.
    pub(super) async fn ask(&mut self, step: Step, words: &str, output: &Output) -> Reply {
        if !self.asks || !self.is_there() {
            return Reply::GoOn;
        }
        output.question(&format!("{words} [Enter] to go on, s to skip this, q to leave"));
        loop {
            match self.reply().await {
                Some(reply) => return reply,
                None => output.question(&format!("Enter, s or q ({})?", step.word())),
            }
        }
    }

    /// The next answer; none where it is not one.
    async fn reply(&mut self) -> Option<Reply> {
        let Some(keyboard) = &mut self.keyboard else { return Some(Reply::GoOn) };
        tokio::select! {
            () = &mut self.interrupted => {
                self.left = Some(Left::Interrupted);
                Some(Reply::Leave)
            }
            line = keyboard.line() => {
                let reply = meaning(line.as_deref());
                if reply == Some(Reply::Leave) {
                    self.left = Some(Left::Said);
                }
                reply
            }
        }
    }

    /// Completes when somebody leaves, or says with a bare Enter that a step that waits for nothing else is over. A client
    /// that reads from the terminal itself has that for itself, and only Ctrl-C is heard.
    pub(super) async fn speaks(&mut self, hears_keyboard: bool) -> Reply {
        if !hears_keyboard || self.keyboard.is_none() {
            (&mut self.interrupted).await;
            self.left = Some(Left::Interrupted);
            return Reply::Leave;
        }
        loop {
            if let Some(reply) = self.reply().await {
                return reply;
            }
        }
    }

    /// Completes when somebody leaves.
    pub(super) async fn leaves(&mut self, hears_keyboard: bool) {
        while self.speaks(hears_keyboard).await != Reply::Leave {}
    }
}

/// What a line means; the end of input is a leave, too.
fn meaning(line: Option<&str>) -> Option<Reply> {
    match line.map(|line| line.trim().to_ascii_lowercase()).as_deref() {
        Some("") => Some(Reply::GoOn),
        Some("s" | "skip") => Some(Reply::Skip),
        None | Some("q" | "quit" | "exit") => Some(Reply::Leave),
        Some(_) => None,
    }
}

/// Lines from standard input, each read only once it is wanted: a client may want the terminal, too.
#[derive(Default)]
struct Keyboard {
    thread: Option<(blocking::Sender<()>, mpsc::Receiver<Option<String>>)>,
    is_awaited: bool,
    has_ended: bool,
}

impl Keyboard {
    /// The next line without its line end; none at the end of input. What is typed while nobody waits is kept.
    async fn line(&mut self) -> Option<String> {
        if self.has_ended {
            return None;
        }
        let (wanted, lines) = self.thread.get_or_insert_with(read_lines);
        if !self.is_awaited {
            // A reader that is gone has seen the end of input.
            let _ = wanted.send(());
            self.is_awaited = true;
        }
        let line = lines.recv().await.flatten();
        self.is_awaited = false;
        self.has_ended = line.is_none();
        line
    }
}

/// Reads a line for each that is wanted, on a thread that ends with the program.
fn read_lines() -> (blocking::Sender<()>, mpsc::Receiver<Option<String>>) {
    let (wanted, wishes) = blocking::channel();
    let (lines, read) = mpsc::channel(1);
    std::thread::spawn(move || {
        for () in wishes {
            let mut line = String::new();
            let count = std::io::stdin().lock().read_line(&mut line).unwrap_or(0);
            if lines.blocking_send((count > 0).then_some(line)).is_err() {
                return;
            }
        }
    });
    (wanted, read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_understood_or_asked_for_again() {
        for (line, means) in [
            (Some("\n"), Some(Reply::GoOn)),
            (Some("\r\n"), Some(Reply::GoOn)),
            (Some("S\n"), Some(Reply::Skip)),
            (Some(" q \r\n"), Some(Reply::Leave)),
            (None, Some(Reply::Leave)),
            (Some("what?\n"), None),
        ] {
            assert_eq!(meaning(line), means, "{line:?}");
        }
    }
}
