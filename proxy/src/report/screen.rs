//! Several sessions on one screen: every line says whose it is when more than one is live.

use super::live::Explained;
use super::{LiveText, Style, safe};
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
    /// The result is one line among many like it.
    pub in_crowd: bool,
}

/// Sessions that are shown phase by phase at once. Nobody can follow more: of those that begin while so many are
/// live only the verdict is shown.
pub const MOST_FOLLOWED: usize = 12;

/// The sessions of one run.
#[derive(Debug)]
pub struct Screen {
    style: Style,
    /// The folder that holds a folder for each session, where traces are kept.
    traces: Option<PathBuf>,
    followed: HashMap<String, LiveText<'static>>,
    /// Sessions of which only the verdict is shown, with their numbers.
    crowd: HashMap<String, u64>,
    crowd_explained: bool,
    count: u64,
    /// What the footnotes have explained so far.
    explained: Explained,
}

impl Screen {
    /// Nothing shown yet. `traces` is the folder that holds a folder for each session.
    pub fn new(style: Style, traces: Option<PathBuf>) -> Screen {
        Screen {
            style,
            traces,
            followed: HashMap::new(),
            crowd: HashMap::new(),
            crowd_explained: false,
            count: 0,
            explained: Explained::default(),
        }
    }

    /// One line of one session: what is to be shown.
    pub fn line(&mut self, session: &str, line: &Line) -> Shown {
        if let Some(number) = self.crowd.get(session) {
            return self.crowd_line(session, *number, line);
        }
        if !self.followed.contains_key(session) {
            self.count += 1;
            let is_beside_others = self.followed.len() + self.crowd.len() >= MOST_FOLLOWED;
            // Of one whose beginning was kept from us there is nothing but the end to show.
            if is_beside_others || matches!(line, Line::Verdict(_)) {
                return self.begin_in_crowd(session, line);
            }
            self.begin(session);
        }
        let Some(live) = self.followed.get_mut(session) else { return Shown::default() };
        live.explained = self.explained;
        let progress = live.line(line);
        self.explained = live.explained;
        let mut result = None;
        if let Line::End(_) = line {
            result = live.verdict();
            self.followed.remove(session);
        }
        Shown { progress, result, in_crowd: false }
    }

    fn begin(&mut self, session: &str) {
        let mut live = LiveText::new(&self.count.to_string(), self.style);
        live.trace = self.traces.as_ref().map(|folder| folder.join(session).display().to_string());
        self.followed.insert(session.to_owned(), live);
        if self.followed.len() > 1 {
            // A session keeps its number to its end, so that its lines stay together for the eye.
            self.followed.values_mut().for_each(LiveText::show_number);
        }
    }

    fn begin_in_crowd(&mut self, session: &str, line: &Line) -> Shown {
        self.crowd.insert(session.to_owned(), self.count);
        let first = !std::mem::replace(&mut self.crowd_explained, true);
        let progress = first.then(|| {
            format!("more than {MOST_FOLLOWED} sessions at once: of the others only the verdicts are shown")
        });
        Shown { progress, ..self.crowd_line(session, self.count, line) }
    }

    fn crowd_line(&mut self, session: &str, number: u64, line: &Line) -> Shown {
        let mut shown = Shown::default();
        match line {
            Line::Verdict(verdict) => {
                let summary = safe::neutralise(&verdict.summary, self.style.ascii);
                shown.in_crowd = true;
                shown.result =
                    Some(format!("VERDICT    #{number} {} ({}): {summary}", verdict.id, verdict.confidence));
            }
            Line::End(_) => drop(self.crowd.remove(session)),
            _ => {}
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{ClosedBy, Confidence, End, How, Phase, Verdict, VerdictId};

    fn verdict() -> Line {
        Line::Verdict(Box::new(Verdict {
            id: VerdictId::Healthy,
            confidence: Confidence::Likely,
            phase: Phase::Active,
            summary: "It \x1b[2Jworked.".to_owned(),
            evidence: vec![],
            by_user: false,
            ruled_out: vec![],
            alternatives: vec![],
            next: vec![],
            fix: vec![],
        }))
    }

    fn finding() -> Line {
        Line::Finding(crate::trace::Finding { id: "x".to_owned(), phase: Phase::Tcp, text: String::new() })
    }

    #[test]
    fn of_a_crowd_only_the_verdicts_are_shown() {
        let style = Style { color: false, width: 80, verbose: 0, ascii: true };
        let mut screen = Screen::new(style, None);
        let end = Line::End(End {
            t_us: 1,
            closed_by: Some(ClosedBy::Client),
            how: Some(How::Fin),
            bytes_up: 0,
            bytes_down: 0,
        });
        for number in 0..=MOST_FOLLOWED {
            screen.line(&number.to_string(), &finding());
        }
        let shown = screen.line(&MOST_FOLLOWED.to_string(), &verdict());
        assert_eq!(shown.progress, None);
        let result = shown.result.unwrap();
        assert!(
            result.starts_with("VERDICT    #13 healthy (likely): It ") && !result.contains('\x1b'),
            "{result}"
        );
        assert_eq!(screen.line(&MOST_FOLLOWED.to_string(), &end), Shown::default());
        assert!(screen.crowd.is_empty());
    }

    #[test]
    fn one_that_begins_beside_a_crowd_belongs_to_it() {
        let style = Style { color: false, width: 80, verbose: 0, ascii: true };
        let mut screen = Screen::new(style, None);
        for number in 0..=MOST_FOLLOWED {
            screen.line(&number.to_string(), &finding());
        }
        screen.followed.remove("0");
        screen.line("late", &finding());
        assert!(screen.crowd.contains_key("late"));
        screen.crowd.clear();
        screen.line("after", &finding());
        assert!(screen.followed.contains_key("after"), "the crowd has gone");
    }

    #[test]
    fn of_one_that_was_not_followed_the_verdict_is_shown() {
        let style = Style { color: false, width: 80, verbose: 0, ascii: true };
        let shown = Screen::new(style, None).line("one", &verdict());
        assert!(shown.in_crowd && shown.result.unwrap().starts_with("VERDICT    #1 healthy (likely): "));
    }
}
