//! Several sessions on one screen: every line says whose it is when more than one is live.

use super::{LiveText, Style};
use crate::trace::Line;
use std::collections::HashMap;
use std::path::PathBuf;

/// The sessions of one run.
#[derive(Debug)]
pub struct Screen {
    style: Style,
    /// The folder that holds a folder for each session, where traces are kept.
    traces: Option<PathBuf>,
    sessions: HashMap<String, LiveText>,
    count: u64,
    /// What the footnotes have explained so far.
    explained: super::live::Explained,
}

impl Screen {
    /// Nothing shown yet. `traces` is the folder that holds a folder for each session.
    pub fn new(style: Style, traces: Option<PathBuf>) -> Screen {
        Screen { style, traces, sessions: HashMap::new(), count: 0, explained: Default::default() }
    }

    /// One line of one session: what is to be shown, if anything; may be several lines of text.
    pub fn line(&mut self, session: &str, line: &Line) -> Option<String> {
        if !self.sessions.contains_key(session) {
            self.begin(session);
        }
        let live = self.sessions.get_mut(session)?;
        live.explained = self.explained;
        let text = live.line(line);
        self.explained = live.explained;
        if let Line::End(_) = line {
            self.sessions.remove(session);
        }
        text
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
