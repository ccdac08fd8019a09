//! Standard output and standard error: who may write what, and how.

use super::arguments::{ColorArgument, OutputArguments};
use crate::report::{Style, safe};
use anstream::{AutoStream, ColorChoice};
use serde::Serialize;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::OnceLock;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How results and progress are written.
#[derive(Debug, Clone)]
pub(super) struct Output {
    /// Standard output is JSON Lines.
    pub(super) json: bool,
    /// How much to say.
    pub(super) verbose: u8,
    /// Nothing but errors on standard error.
    pub(super) quiet: bool,
    /// Whether standard error takes colour.
    pub(super) color_stderr: bool,
    /// The terminal's character set lacks box-drawing characters.
    pub(super) ascii: bool,
}

impl Output {
    pub(super) fn new(arguments: &OutputArguments) -> Output {
        let choice = match arguments.color {
            ColorArgument::Auto => ColorChoice::Auto,
            ColorArgument::Always => ColorChoice::Always,
            ColorArgument::Never => ColorChoice::Never,
        };
        choice.write_global();
        let color_stderr = AutoStream::choice(&std::io::stderr()) != ColorChoice::Never;
        Output {
            json: arguments.json,
            verbose: arguments.verbose,
            quiet: arguments.quiet,
            color_stderr: color_stderr && (takes_escapes() || arguments.color == ColorArgument::Always),
            ascii: lacks_unicode(),
        }
    }

    /// Logs of the program itself: `RUST_LOG` (`LEVEL`, or `PART=LEVEL,…`), or the number of `-v`.
    pub(super) fn start_logging(&self) {
        let asked = std::env::var("RUST_LOG").ok().and_then(|asked| asked.parse::<Targets>().ok());
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(self.color_stderr)
            .without_time()
            .with_target(false);
        let filter = asked.unwrap_or_else(|| self.usual_logs());
        tracing_subscriber::registry().with(filter).with(lines).init();
    }

    fn usual_logs(&self) -> Targets {
        match self.verbose {
            // What a verifier refuses is a result, and is told as one.
            0 => Targets::new()
                .with_default(LevelFilter::ERROR)
                .with_target("rustls_platform_verifier", LevelFilter::OFF),
            1 => Targets::new().with_target("rdpscope", LevelFilter::INFO),
            _ => Targets::new().with_target("rdpscope", LevelFilter::DEBUG),
        }
    }

    /// Progress, for people.
    pub(super) fn progress(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// A question, which is asked even when quiet.
    pub(super) fn question(&self, text: &str) {
        self.say(text);
    }

    /// Something that must be said even when quiet.
    pub(super) fn error(&self, sentence: &str) {
        let line = safe::lines(&format!("rdpscope: {sentence}"), false).into_owned();
        // Where nobody can be told, nobody is.
        let _ = write_line(&mut std::io::stderr().lock(), &line);
    }

    fn say(&self, text: &str) {
        let _ = write_line(&mut std::io::stderr().lock(), &safe::lines(text, self.color_stderr));
    }

    /// A result, for people; nothing under `--json`.
    pub(super) fn result(&self, text: &str) {
        if !self.json {
            // The text has the colours of standard error; this leaves them out where standard output takes none.
            note(write_line(&mut anstream::stdout().lock(), &safe::lines(text, self.color_stderr)));
        }
    }

    /// A file's content.
    pub(super) fn raw(&self, content: &[u8]) {
        let mut stdout = std::io::stdout().lock();
        note(stdout.write_all(content).and_then(|()| stdout.flush()));
    }

    /// A result, for programs; nothing without `--json`.
    pub(super) fn json_line(&self, value: &impl Serialize) {
        self.json_lines([value]);
    }

    /// Several results at once, which nobody waits for one by one: one by one, each is a call of the system.
    pub(super) fn json_lines<T: Serialize>(&self, values: impl IntoIterator<Item = T>) {
        if !self.json {
            return;
        }
        let mut stdout = BufWriter::with_capacity(JSON_BUFFER, std::io::stdout().lock());
        // Serialising our own types into memory cannot fail.
        for line in values.into_iter().filter_map(|value| serde_json::to_string(&value).ok()) {
            note(writeln!(stdout, "{}", safe::json(&line)));
        }
        note(stdout.flush());
    }

    /// The same, already written out; several lines have their line ends between them.
    pub(super) fn json_text(&self, lines: &str) {
        if self.json {
            note(write_line(&mut std::io::stdout().lock(), &safe::json(lines)));
        }
    }

    /// How text is laid out.
    pub(super) fn style(&self) -> Style {
        Style { color: self.color_stderr, width: self.width(), verbose: self.verbose, ascii: self.ascii }
    }

    /// Columns of the terminal that shows progress.
    pub(super) fn width(&self) -> usize {
        if std::io::stderr().is_terminal() { terminal_width() } else { DEFAULT_WIDTH }
    }
}

/// Whether the environment names a character set other than UTF-8. Windows' console API takes Unicode always.
fn lacks_unicode() -> bool {
    let setting = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    match setting {
        _ if cfg!(windows) => false,
        Some(locale) => {
            let locale = locale.to_ascii_lowercase();
            locale.contains('.') && !locale.contains("utf-8") && !locale.contains("utf8")
        }
        None => false,
    }
}

/// Bytes of JSON that are written at once: the lines of a session or two.
const JSON_BUFFER: usize = 64 << 10;

/// What people expect of a terminal, and of a file.
const DEFAULT_WIDTH: usize = 80;

fn terminal_width() -> usize {
    let size = terminal_size::terminal_size_of(std::io::stderr());
    size.map(|(width, _)| width.0.into()).filter(|width| *width > 0).unwrap_or(DEFAULT_WIDTH)
}

/// Whether the terminal understands escape sequences. A console of Windows does once it was told to
/// (`ENABLE_VIRTUAL_TERMINAL_PROCESSING`), and shows them as they are otherwise.
fn takes_escapes() -> bool {
    anstyle_query::windows::enable_ansi_colors().unwrap_or(true) || anstyle_query::term_supports_ansi_color()
}

/// In one piece, so that lines of several programs on one terminal stay whole.
fn write_line(to: &mut impl Write, line: &str) -> io::Result<()> {
    to.write_all(format!("{line}\n").as_bytes())?;
    to.flush()
}

/// What kept a result from standard output, the first of it.
static LOST: OnceLock<String> = OnceLock::new();

/// Remembers that a result was not written. A reader that has gone away (a closed pipe) wants no more.
fn note(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        LOST.get_or_init(|| error.to_string());
    }
}

/// Why results are missing on standard output, if they are.
pub(super) fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}
