//! Several sessions on one screen: every line says whose it is when more than one is live.

use super::live::Explained;
use super::{LiveText, Style};
use crate::trace::Line;
use std::collections::HashMap;
use std::path::PathBuf;

/// What one line of a trace gives to show; each may be several lines of text, without a line end at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// What happened.
    pub progress: Option<String>,
    /// The verdict and what to do: at the end of a session.
    pub result: Option<String>,
}

/// The sessions of one run.
#[derive(Debug)]
pub struct Screen {
    style: Style,
    /// The folder that holds a folder for each session, where traces are kept.
    traces: Option<PathBuf>,
    sessions: HashMap<String, LiveText>,
    count: u64,
    /// What the footnotes have explained so far.
    explained: Explained,
}

impl Screen {
    /// Nothing shown yet. `traces` is the folder that holds a folder for each session.
    pub fn new(style: Style, traces: Option<PathBuf>) -> Screen {
        Screen { style, traces, sessions: HashMap::new(), count: 0, explained: Explained::default() }
    }

    /// One line of one session: what is to be shown.
    pub fn line(&mut self, session: &str, line: &Line) -> Shown {
        if !self.sessions.contains_key(session) {
            self.begin(session);
        }
        let Some(live) = self.sessions.get_mut(session) else { return Shown::default() };
        live.explained = self.explained;
        let progress = live.line(line);
        self.explained = live.explained;
        let mut result = None;
        if let Line::End(_) = line {
            result = live.verdict();
            self.sessions.remove(session);
        }
        Shown { progress, result }
    }

    fn begin(&mut self, session: &str) {
        self.count += 1;
        let mut live = LiveText::new(&self.count.to_string(), self.style);
        live.trace = self.traces.as_ref().map(|folder| folder.join(session).display().to_string());
        self.sessions.insert(session.to_owned(), live);
        if self.sessions.len() > 1 {
            // A session keeps its number to its end, so that its lines stay together for the eye.
            self.sessions.values_mut().for_each(LiveText::show_number);
        }
    }
}
