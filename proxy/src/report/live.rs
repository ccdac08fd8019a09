//! A session as it happens: one line a phase, as it ends.

use super::layout::{Look, Page};
use super::verdict::Conclusion;
use super::{Seen, Style, safe, time, words};
use crate::trace::{
    Altered, ClosedBy, Detail, End, Event, Finding, GatewayMessage, Header, How, Leg, Line, Micros, Outcome,
    Phase, PhaseRecord, Side, Verdict,
};
use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};

/// Events kept for the line of their phase. The channels phase of a client with 30 channels has some 70; of a phase
/// with more, as a long session has, the last ones are told.
const MOST_WAITING: usize = 256;
/// Silence between two phases that is worth a line of its own: no network needs so long.
const PAUSE_US: Micros = 1_000_000;
/// Columns of a phase's name.
const PHASE_COLUMNS: usize = 12;
/// The same of a session through a gateway, whose names are longer.
const GATEWAY_PHASE_COLUMNS: usize = 18;

/// Footnotes that were given.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Explained {
    inferred: bool,
    bars: bool,
}

/// One session's lines.
#[derive(Debug)]
pub struct LiveText<'a> {
    label: String,
    style: Style,
    numbered: bool,
    headed: bool,
    pub(super) explained: Explained,
    /// Where the trace is.
    pub(super) trace: Option<String>,
    /// The name of the capture beside it.
    capture: Option<String>,
    header: Option<Header>,
    client: Option<String>,
    /// Events whose phase has not ended.
    waiting: VecDeque<Cow<'a, Event>>,
    /// Certificates that were told, by their row's name and SHA-1.
    certificates: BTreeSet<(&'static str, String)>,
    /// The last phase that an event belonged to.
    entered: Option<Phase>,
    /// When something was last seen.
    last_us: Option<Micros>,
    /// The last thing worth naming, as the client and as the server would say it.
    moments: [Option<(Micros, String)>; 2],
    /// When each side said, by alert or ultimatum, that it ends the session.
    farewells: [Option<Micros>; 2],
    first_end: Option<Micros>,
    proxy_reason: Option<String>,
    findings: Vec<Finding>,
    verdict: Option<Verdict>,
}

impl<'a> LiveText<'a> {
    /// A session with nothing seen yet; `label` is its name on the screen, for example its number.
    pub fn new(label: &str, style: Style) -> LiveText<'a> {
        LiveText {
            label: label.to_owned(),
            style,
            numbered: false,
            headed: false,
            explained: Explained::default(),
            trace: None,
            capture: None,
            header: None,
            client: None,
            waiting: VecDeque::new(),
            certificates: BTreeSet::new(),
            entered: None,
            last_us: None,
            moments: [None, None],
            farewells: [None, None],
            first_end: None,
            proxy_reason: None,
            findings: Vec::new(),
            verdict: None,
        }
    }

    /// From here on every line carries the label.
    pub fn show_number(&mut self) {
        self.numbered = true;
    }

    /// Leaves out whose lines these are, where that was said before.
    pub(super) fn without_heading(mut self) -> LiveText<'a> {
        self.headed = true;
        self
    }

    /// Takes one line of the trace: what is to be shown, if anything; may be several lines of text.
    pub fn line(&mut self, line: &Line) -> Option<String> {
        let prefix = self.prefix();
        let style = self.style;
        let mut page = Page::new(&style, &prefix);
        match line {
            Line::Trace(header) => {
                self.client =
                    header.settings.get("client").and_then(|client| client.as_str()).map(str::to_owned);
                self.header = Some(header.clone());
            }
            Line::Event(event) => self.event(Cow::Owned(event.clone()), &mut page),
            Line::Phase(phase) => self.phase(phase, &mut page),
            Line::Altered(altered) => self.altered(altered, &mut page),
            Line::Finding(finding) => self.findings.push(finding.clone()),
            Line::Probe(_) | Line::Summary(_) | Line::Comparison(_) | Line::Experiment(_) => {}
            Line::Verdict(verdict) => self.verdict = Some((**verdict).clone()),
            Line::End(end) => self.close(Some(end), &mut page),
        }
        page.finish()
    }

    /// The same of what a finished record holds.
    pub(super) fn seen(&mut self, seen: Seen<'a>) -> Option<String> {
        let prefix = self.prefix();
        let style = self.style;
        let mut page = Page::new(&style, &prefix);
        match seen {
            Seen::Event(event) => self.event(Cow::Borrowed(event), &mut page),
            Seen::Altered(altered) => self.altered(altered, &mut page),
            Seen::Phase(phase) => self.phase(phase, &mut page),
        }
        page.finish()
    }

    /// The verdict and what to do, once its line was taken; for where results go.
    pub fn verdict(&self) -> Option<String> {
        let conclusion = Conclusion {
            verdict: self.verdict.as_ref()?,
            findings: &self.findings,
            trace: self.trace.as_deref(),
            capture: self.capture.as_deref(),
            session: self.numbered.then_some(self.label.as_str()),
        };
        Some(conclusion.text(&self.style))
    }

    /// The last line of a trace that has no end: it was cut short.
    pub(super) fn cut_short(&mut self) -> Option<String> {
        let prefix = self.prefix();
        let style = self.style;
        let mut page = Page::new(&style, &prefix);
        self.close(None, &mut page);
        page.finish()
    }

    /// How the session ended.
    fn close(&mut self, end: Option<&End>, page: &mut Page<'_>) {
        self.head(page);
        let clauses = self.told_end(end);
        let left = self.name_column(' ', Phase::Closed.id());
        page.beside(&left, left.len(), &clauses.join("; "));
    }

    /// Who ended the session and in which way, and what no phase has told; a clause each.
    pub(super) fn told_end(&mut self, end: Option<&End>) -> Vec<String> {
        let mut clauses = vec![match end {
            Some(end) => self.ending(end),
            None => "the trace breaks off here".to_owned(),
        }];
        let rest: Vec<Event> = std::mem::take(&mut self.waiting).into_iter().map(Cow::into_owned).collect();
        clauses.extend(self.described(&rest));
        if let Some(end) = end.filter(|end| end.bytes_up > 0 || end.bytes_down > 0) {
            clauses.push(format!("{} up, {} down", size(end.bytes_up), size(end.bytes_down)));
        }
        clauses
    }

    /// What happened in a phase of which every event was taken; a clause each.
    pub(super) fn told_phase(&mut self, phase: &PhaseRecord) -> Vec<String> {
        let events = self.take(phase);
        self.clauses(phase, &events)
    }

    fn prefix(&self) -> String {
        if self.numbered { format!("#{} ", self.label) } else { String::new() }
    }

    /// Whose lines these are, once, before the first.
    fn head(&mut self, page: &mut Page<'_>) {
        if std::mem::replace(&mut self.headed, true) {
            return;
        }
        let arrow = if self.style.ascii { "->" } else { "→" };
        let client = self.client.as_ref().map(|client| format!("{client} {arrow} ")).unwrap_or_default();
        page.heading(&format!("session {}: {client}{}", self.label, self.target()));
    }

    /// What the user named.
    fn target(&self) -> &str {
        self.header.as_ref().map_or("an unknown target", |header| &header.target)
    }

    fn event(&mut self, event: Cow<'a, Event>, page: &mut Page<'_>) {
        match &event.detail {
            Detail::Captured { file, .. } => self.capture = Some(safe::name(file)),
            Detail::Accepted { peer, .. } => {
                self.client = Some(peer.clone());
                self.head(page);
            }
            Detail::ProxyClosed { reason } => self.proxy_reason = Some(reason.clone()),
            _ => {}
        }
        if self.style.verbose > 0 {
            self.single(&event, page);
        }
        let side_channel = match &event.detail {
            Detail::Udp(message) => Some(words::udp(message)),
            Detail::Gateway(message @ GatewayMessage::GatewayUdp { .. }) => Some(words::gateway_udp(message)),
            _ => None,
        };
        if let Some(told) = side_channel {
            return self.udp(&event, told, page);
        }
        if let Detail::StreamEnded { .. } | Detail::ProxyClosed { .. } = event.detail {
            self.first_end.get_or_insert(event.t_us);
            return;
        }
        if let Some(text) = words::capture_warning(&event).or_else(|| words::warning(&event.detail)) {
            let columns = Columns { mark: '!', name: event.phase.id(), outcome: None, us: None };
            self.row(&columns, "", &text, page);
        }
        if !matches!(event.detail, Detail::TcpInfo(_) | Detail::Capture(_) | Detail::ClientLog(_)) {
            self.follow(&event, page);
        }
        if repeats_the_first_connection(&event) {
            return;
        }
        if self.waiting.len() == MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(event);
    }

    /// Tells a pause before a new phase, and when the desktop is there.
    fn follow(&mut self, event: &Event, page: &mut Page<'_>) {
        let is_new = self.entered.is_none_or(|entered| event.phase > entered);
        let paused = self.last_us.map_or(0, |last| event.t_us.saturating_sub(last));
        if let (true, Some(side), PAUSE_US..) = (is_new, event.from, paused) {
            let waits = if side == Side::Client { [paused, 0] } else { [0, paused] };
            let columns = Columns { mark: ' ', name: "(pause)", outcome: None, us: Some(paused) };
            self.row(
                &columns,
                &time::bar(paused, waits, &self.style),
                pause_words(side, self.entered, event.phase),
                page,
            );
        }
        if is_new && event.phase == Phase::Active {
            let columns = Columns { mark: mark(event.inferred), name: "active", outcome: None, us: None };
            let text = format!("the desktop is there, {} after the start", time::short(event.t_us));
            self.row(&columns, "", &text, page);
            let moment = Some((event.t_us, "the desktop was there".to_owned()));
            self.moments = [moment.clone(), moment];
        }
        // An attempt through a gateway goes on after the end of a connection of its.
        if is_new && event.phase <= Phase::Active {
            self.first_end = None;
        }
        self.entered = self.entered.max(Some(event.phase));
        self.last_us = self.last_us.max(Some(event.t_us));
        // What comes after the end is not what the end came after, nor is what answers a farewell.
        let stays = |side: &Side| self.first_end.is_none() && self.farewells[side.index()].is_none();
        for side in [Side::Client, Side::Server].into_iter().filter(stays) {
            if let Some(name) = words::as_moment(event, side) {
                self.moments[side.index()] = Some((event.t_us, name));
            }
        }
        if let (Some(side), true) = (event.from, words::is_farewell(&event.detail)) {
            self.farewells[side.index()] = Some(event.t_us);
        }
    }

    fn described(&self, events: &[Event]) -> Vec<String> {
        let told =
            words::describe(events, self.target(), self.started().map(|started| started.as_microsecond()));
        let is_recorded = self.header.as_ref().is_some_and(|header| header.settings.contains_key("capture"));
        // Of what was recorded nothing was relayed.
        let plain = |clause: String| match clause.strip_suffix(words::RELAYED) {
            Some(clause) if is_recorded => clause.to_owned(),
            _ => clause,
        };
        told.into_iter().map(plain).collect()
    }

    /// `-v`: the event by itself.
    fn single(&mut self, event: &Event, page: &mut Page<'_>) {
        self.head(page);
        let who = match (event.from, event.leg) {
            (Some(side), _) => side.to_string(),
            (None, Leg::Proxy) => "rdpscope".to_owned(),
            (None, leg) => format!("{} leg", if leg == Leg::Client { "client" } else { "server" }),
        };
        let which = event.connection.filter(|number| *number > 1);
        let who = which.map_or(who.clone(), |number| format!("{who} {number}"));
        let left = format!("    {:>8} {:<10} ", time::short(event.t_us), who);
        let started = self.started().map(|started| started.as_microsecond());
        let told = words::single(event, self.target(), started).join("; ");
        let name = words::event_name(&event.detail);
        let text = if told.is_empty() { name } else { format!("{name}: {told}") };
        page.beside(&self.style.paint(Look::Faint, &left), left.chars().count(), &text);
        if self.style.verbose > 1 {
            // Serialising these types into memory cannot fail.
            page.whole(8, &serde_json::to_string(event).unwrap_or_default());
        }
    }

    /// The side channel, told at once: whether it went well, and the words.
    fn udp(&mut self, event: &Event, told: Option<(bool, String)>, page: &mut Page<'_>) {
        let Some((good, text)) = told else { return };
        let outcome = if good { Outcome::Ok } else { Outcome::Failed };
        let columns = Columns { mark: mark(event.inferred), name: "udp", outcome: Some(outcome), us: None };
        self.row(&columns, "", &text, page);
    }

    fn phase(&mut self, phase: &PhaseRecord, page: &mut Page<'_>) {
        self.last_us = self.last_us.max(Some(phase.end_us));
        if phase.leg == Some(Leg::Client) && phase.phase == Phase::Tcp {
            return;
        }
        // Both are told as they happen.
        if let Phase::Udp | Phase::Closed = phase.phase {
            return;
        }
        let events = self.take(phase);
        let clauses = self.clauses(phase, &events);
        let columns = Columns {
            mark: mark(phase.inferred),
            name: phase_name(phase),
            outcome: Some(phase.outcome),
            us: (phase.outcome != Outcome::Skipped).then(|| phase.duration_us()),
        };
        // How long the session was used says nothing beside the times of its beginning.
        let bar =
            if phase.phase == Phase::Active { String::new() } else { time::phase_bar(phase, &self.style) };
        self.row(&columns, &bar, &clauses.join("; "), page);
        self.certificates(&events, page);
        self.footnotes(phase, page);
    }

    /// Takes the events that belong to `phase`, or came too late for an earlier one. What the system says of TCP at
    /// the end waits for the last line.
    fn take(&mut self, phase: &PhaseRecord) -> Vec<Event> {
        let server_tls = |event: &Event| event.phase == phase.phase && event.leg == Leg::Server;
        let belongs = |event: &Cow<'_, Event>| match (phase.phase, phase.leg) {
            (Phase::Tls | Phase::GatewayTls, Some(Leg::Server)) => server_tls(event),
            (Phase::Tls | Phase::GatewayTls, Some(Leg::Client)) if server_tls(event) => false,
            _ => {
                event.phase <= phase.phase && !matches!(event.detail, Detail::TcpInfo(_) | Detail::Capture(_))
            }
        };
        let (taken, left): (VecDeque<_>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(belongs);
        self.waiting = left;
        taken.into_iter().map(Cow::into_owned).collect()
    }

    fn clauses(&self, phase: &PhaseRecord, events: &[Event]) -> Vec<String> {
        let mut clauses = self.described(events);
        match words::done(phase.phase) {
            Some(done) if phase.outcome == Outcome::Ok && clauses.is_empty() => clauses.push(done.to_owned()),
            _ => clauses.extend(words::by_size(events)),
        }
        if phase.outcome == Outcome::Skipped {
            let why = match phase.phase {
                Phase::GatewayAuth => "the gateway asked for no more by HTTP",
                _ => "not part of what was negotiated",
            };
            clauses.push(why.to_owned());
        }
        let waits = [("client", phase.waiting_for_client_us), ("server", phase.waiting_for_server_us)];
        for (who, waited) in waits {
            if let Some(waited @ PAUSE_US..) = waited {
                clauses.push(format!("{} of it waiting for the {who}", time::short(waited)));
            }
        }
        clauses
    }

    fn certificates(&mut self, events: &[Event], page: &mut Page<'_>) {
        for event in events {
            let (name, chain, unreadable) = match &event.detail {
                Detail::Certificate { chain, unreadable, .. } => {
                    ("certificate", chain, unreadable.as_slice())
                }
                Detail::CertificatePresented { chain, .. } => ("presented", chain, Default::default()),
                _ => continue,
            };
            let left = self.name_column(' ', name);
            let indent = " ".repeat(left.len());
            if let Some(certificate) = chain.first() {
                // Each connection to a gateway shows it again.
                if !self.certificates.insert((name, certificate.sha1.clone())) {
                    continue;
                }
                let [identity, properties] =
                    words::certificate(certificate, self.started().map(|started| started.as_second()));
                page.beside(&left, left.len(), &identity);
                page.beside(&indent, indent.len(), &properties);
            }
            for reason in unreadable {
                page.beside(&indent, indent.len(), reason);
            }
        }
    }

    fn started(&self) -> Option<jiff::Timestamp> {
        self.header.as_ref()?.started.parse().ok()
    }

    fn footnotes(&mut self, phase: &PhaseRecord, page: &mut Page<'_>) {
        if phase.waiting_for_client_us > Some(0) && !std::mem::replace(&mut self.explained.bars, true) {
            self.footnote(&time::legend(&self.style), page);
        }
        if phase.inferred && !std::mem::replace(&mut self.explained.inferred, true) {
            self.footnote("~ encrypted: judged by sizes and timing alone", page);
        }
    }

    fn footnote(&self, text: &str, page: &mut Page<'_>) {
        let indent = self.name_column(' ', "");
        page.beside(&indent, indent.len(), &format!("({text})"));
    }

    fn altered(&mut self, altered: &Altered, page: &mut Page<'_>) {
        self.head(page);
        let left = self.name_column('!', altered.phase.id());
        page.beside(&left, left.len(), &words::altered(altered));
    }

    /// The beginning of a line: its mark and a name, so wide that the columns of the session stand.
    fn name_column(&self, mark: char, name: &str) -> String {
        let is_of_gateway = self.header.as_ref().is_some_and(|it| it.settings.contains_key("gateway"));
        let columns = if is_of_gateway { GATEWAY_PHASE_COLUMNS } else { PHASE_COLUMNS };
        format!("{mark}{name:<columns$} ")
    }

    fn row(&mut self, columns: &Columns<'_>, bar: &str, text: &str, page: &mut Page<'_>) {
        self.head(page);
        let outcome = columns.outcome.map_or("", outcome_word);
        let time = columns.us.map(time::short).unwrap_or_default();
        let name = self.name_column(columns.mark, columns.name);
        let outcome = format!("{outcome:<4}");
        let (time, bar) = (format!(" {time:>7} "), format!("{bar:<cells$} ", cells = time::BAR_CELLS));
        let width = [&name, &outcome, &time, &bar].iter().map(|part| part.chars().count()).sum();
        let outcome = self.style.paint(outcome_look(columns.outcome), &outcome);
        let left = format!("{name}{outcome}{time}{}", self.style.paint(Look::Faint, &bar));
        page.beside(&left, width, text);
    }

    /// Who ended the session, in which way, and how long after what.
    fn ending(&self, end: &End) -> String {
        let Some((closed_by, how)) = end.closed_by.zip(end.how) else {
            return "the record ends here; the connection was still open".to_owned();
        };
        let (who, side) = match closed_by {
            ClosedBy::Client => ("the client", Some(Side::Client)),
            ClosedBy::Server => ("the server", Some(Side::Server)),
            ClosedBy::Proxy => ("rdpscope", None),
        };
        let how = match how {
            How::Fin => "closed the connection",
            How::Reset => "reset the connection",
            How::Timeout => "fell silent until the connection timed out",
            How::Alert => "closed the connection with a TLS alert",
            How::McsUltimatum => "ended the session with an MCS disconnect ultimatum",
        };
        let after = match side {
            Some(side) => self.after(side, end),
            None => match &self.proxy_reason {
                Some(reason) => format!(": {reason}"),
                None => ": there is no server to relay to".to_owned(),
            },
        };
        format!("{who} {how}{after}")
    }

    /// How long after what `side` ended the session.
    fn after(&self, side: Side, end: &End) -> String {
        let Some((t_us, name)) = &self.moments[side.index()] else { return String::new() };
        let farewell =
            self.farewells[side.index()].filter(|_| matches!(end.how, Some(How::Alert | How::McsUltimatum)));
        let ended_us = farewell.or(self.first_end).unwrap_or(end.t_us);
        format!(" {} after {name}", time::short(ended_us.saturating_sub(*t_us)))
    }
}

/// The phase as it is called in its row; of two handshakes each says whose it is.
pub(super) fn phase_name(phase: &PhaseRecord) -> &'static str {
    match (phase.phase, phase.leg) {
        (Phase::Tls, Some(Leg::Client)) => "tls client",
        (Phase::Tls, Some(Leg::Server)) => "tls server",
        (Phase::GatewayTls, Some(Leg::Client)) => "gateway-tls client",
        (Phase::GatewayTls, Some(Leg::Server)) => "gateway-tls server",
        (phase, _) => phase.id(),
    }
}

/// Whether a further connection to a gateway tells what the first has told: how it was reached, and its TLS.
fn repeats_the_first_connection(event: &Event) -> bool {
    event.connection > Some(1)
        && matches!(event.phase, Phase::Tcp | Phase::GatewayTcp | Phase::GatewayTls)
        && !event.detail.is_failure()
}

/// The columns before the words.
struct Columns<'a> {
    mark: char,
    name: &'a str,
    outcome: Option<Outcome>,
    us: Option<Micros>,
}

fn mark(inferred: bool) -> char {
    if inferred { '~' } else { ' ' }
}

pub(super) fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Failed => "FAIL",
        Outcome::Unfinished => "CUT",
        Outcome::Skipped => "skip",
    }
}

fn outcome_look(outcome: Option<Outcome>) -> Look {
    match outcome {
        Some(Outcome::Ok) => Look::Good,
        Some(Outcome::Failed) => Look::Bad,
        Some(Outcome::Unfinished) => Look::Doubtful,
        Some(Outcome::Skipped) | None => Look::Faint,
    }
}

/// Why a side may have paused between two phases.
fn pause_words(side: Side, before: Option<Phase>, after: Phase) -> &'static str {
    match (side, before, after) {
        (Side::Client, _, Phase::X224) => "client was connected and sent nothing",
        (Side::Client, _, Phase::Tls) => "client paused before TLS: normally the password prompt",
        (Side::Client, Some(Phase::Tls), _) => {
            "client paused: normally the question whether to trust the server"
        }
        (Side::Client, ..) => "client paused",
        (Side::Server, ..) => "server paused",
    }
}

/// Bytes in at most eight characters.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
