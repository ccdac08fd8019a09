//! Everything that a bundle is made of, as it lies on the disk.

use super::{BundleError, LeftOut, Request, counted};
use crate::capture;
use crate::capture::file::{Beside, Comments};
use crate::capture::session::{Options, Sessions};
use crate::capture::tls::Secrets;
use crate::client_system::event_log::{self, EVENT_LOGS};
use crate::rdpfile::{Line, Profile};
use crate::recorder::pcapng::comment::Own;
use crate::redact::Names;
use crate::redact::capture::CaptureRedaction;
use crate::trace::{self, NotATrace, Problem, Record};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Longest trace that is read into memory: some million events.
const LONGEST_TRACE: u64 = 1024 * 1024 * 1024;
/// Longest certificate or profile; real ones have some kilobytes.
const LONGEST_SMALL_FILE: u64 = 4 * 1024 * 1024;
/// How far around a session events of the system are taken: a client writes its last one after the connection is gone.
const EVENT_LOG_MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// What was found.
#[derive(Default)]
pub(super) struct Material {
    pub(super) traces: Vec<Trace>,
    pub(super) certificates: Vec<Certificates>,
    pub(super) captures: Vec<Capture>,
    pub(super) rdp_files: Vec<RdpFile>,
    pub(super) event_logs: Vec<Extract>,
    pub(super) left_out: Vec<LeftOut>,
    /// What a capture of ours tells: names that its trace may not have, because what the session was hid them from it.
    told_by_captures: Vec<Value>,
    /// Captures from elsewhere so far.
    from_elsewhere: usize,
}

/// A trace and its place in the bundle.
#[derive(Debug)]
pub(super) struct Trace {
    /// The folder in the bundle.
    pub(super) folder: String,
    pub(super) lines: Vec<Value>,
    pub(super) records: Vec<Record>,
}

/// The certificates of one PEM file.
#[derive(Debug)]
pub(super) struct Certificates {
    pub(super) path: String,
    pub(super) chain: Vec<Vec<u8>>,
}

/// A capture.
pub(super) struct Capture {
    pub(super) path: String,
    pub(super) packets: CaptureRedaction,
    /// Texts of TLS key logs that go in with it.
    pub(super) key_logs: Vec<Zeroizing<Vec<u8>>>,
}

/// A profile.
#[derive(Debug)]
pub(super) struct RdpFile {
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
}

/// Events of the system.
#[derive(Debug)]
pub(super) struct Extract {
    pub(super) path: String,
    pub(super) xml: String,
}

impl Material {
    /// Reads everything that was asked for and what lies beside it.
    pub(super) fn gather(request: &Request) -> Result<Material, BundleError> {
        let mut material = Material::default();
        for path in &request.traces {
            for file in trace_files(path)? {
                material.trace(&file, request)?;
            }
        }
        for file in &request.captures {
            material.take_from_elsewhere(file, request)?;
        }
        for (file, number) in request.rdp_files.iter().zip(1..) {
            material.rdp_file(&format!("profiles/{number}.rdp"), file)?;
        }
        material.event_logs();
        Ok(material)
    }

    /// Every name in it.
    pub(super) fn learn(&self, names: &mut Names) {
        let lines = self.traces.iter().flat_map(|trace| &trace.lines).chain(&self.told_by_captures);
        lines.for_each(|line| names.learn_line(line));
        self.certificates.iter().flat_map(|file| &file.chain).for_each(|der| names.learn_certificate(der));
        self.rdp_files.iter().for_each(|file| names.learn_rdp_file(&file.bytes));
        self.captures.iter().for_each(|capture| capture.packets.learn(names));
        self.event_logs.iter().for_each(|extract| names.learn_event_log(&extract.xml));
    }

    fn leave_out(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.left_out.push(LeftOut { what: what.into(), why: why.into() });
    }

    /// A capture that no session of ours wrote: what it shows, and its packets. The file is read three times, because no more of
    /// it is held than goes into the bundle: secrets may stand behind the packets that they open, and which packets belong to an
    /// attempt is known only when all of them have been looked at.
    fn take_from_elsewhere(&mut self, file: &Path, request: &Request) -> Result<(), BundleError> {
        self.from_elsewhere += 1;
        let number = self.from_elsewhere;
        let beside = capture::file::beside(file)?;
        let clients = self.analyse(file, &beside, number, request.knows_command)?;
        let path = format!("captures/{number}.pcapng");
        self.capture(&path, file, beside, Some(clients), &Own::default(), request.with_secrets)
    }

    fn trace(&mut self, file: &Path, request: &Request) -> Result<(), BundleError> {
        let bytes = contents(file, LONGEST_TRACE)?;
        let reading = match trace::read(&bytes) {
            Ok(reading) => reading,
            Err(NotATrace::Capture) => return self.take_from_elsewhere(file, request),
            Err(error) => {
                return Err(BundleError::NotATrace { path: file.to_owned(), reason: error.to_string() });
            }
        };
        let session = reading.records.iter().find_map(|record| Some(record.header.as_ref()?.session.clone()));
        let is_probe = session.is_none() && reading.records.iter().any(|record| record.probe.is_some());
        let folder =
            if is_probe { self.folder("probes", "probe") } else { self.session_folder(session.as_deref()) };
        for problem in &reading.problems {
            let what = match problem {
                Problem::CutShort { .. } => "the last line of a trace",
                _ => "lines of a trace",
            };
            self.leave_out(format!("{folder}: {what}"), problem.to_string());
        }
        let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        let own = Own::of(&reading.records);
        self.traces.push(Trace { folder: folder.clone(), lines: lines.collect(), records: reading.records });
        // What one program wrote beside the trace of one session belongs to it.
        let is_of_session = file.file_name().is_some_and(|name| name == "trace.jsonl");
        match file.parent().filter(|_| is_of_session) {
            Some(beside) => self.beside(beside, &folder, &own, request.with_secrets),
            None => Ok(()),
        }
    }

    fn session_folder(&self, session: Option<&str>) -> String {
        let is_plain = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        self.folder("sessions", session.filter(|name| !name.is_empty()).filter(is_plain).unwrap_or("trace"))
    }

    /// A folder of its own for each trace.
    fn folder(&self, kind: &str, name: &str) -> String {
        let taken: BTreeSet<&str> = self.traces.iter().map(|trace| trace.folder.as_str()).collect();
        let mut names = (1..).map(|number| match number {
            1 => format!("{kind}/{name}"),
            number => format!("{kind}/{name}-{number}"),
        });
        names.find(|name| !taken.contains(name.as_str())).unwrap_or_default()
    }

    fn beside(
        &mut self,
        beside: &Path,
        folder: &str,
        own: &Own,
        with_secrets: bool,
    ) -> Result<(), BundleError> {
        for file in files_in(&beside.join("certificates")) {
            let Some(name) = file.file_name().and_then(|name| name.to_str()) else { continue };
            let path = format!("{folder}/certificates/{name}");
            let bytes = contents(&file, LONGEST_SMALL_FILE)?;
            match rdpscope_certs::load::certificates(&bytes, None) {
                Ok(chain) => self.certificates.push(Certificates { path, chain }),
                Err(error) => self.leave_out(path, error.to_string()),
            }
        }
        for file in files_in(beside) {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("pcapng") => {
                    let beside = capture::file::beside(&file)?;
                    let told = attempts(&file, &beside, 0, |_| false)?;
                    self.told_by_captures.extend(told.iter().flat_map(lines));
                    self.capture(
                        &format!("{folder}/capture.pcapng"),
                        &file,
                        beside,
                        None,
                        own,
                        with_secrets,
                    )?;
                }
                Some("rdp") => self.rdp_file(&format!("{folder}/client.rdp"), &file)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The attempts in somebody's capture as traces. Answers with the sockets of their clients: whatever else the capture
    /// has in it is nobody's business.
    fn analyse(
        &mut self,
        file: &Path,
        beside: &Beside,
        number: usize,
        knows_command: fn(&str) -> bool,
    ) -> Result<BTreeSet<SocketAddr>, BundleError> {
        let mut clients = BTreeSet::new();
        for record in attempts(file, beside, number, knows_command)? {
            let folder = self.session_folder(record.header.as_ref().map(|header| header.session.as_str()));
            let lines = lines(&record);
            lines.iter().for_each(|line| client_sockets(line, &mut clients));
            self.traces.push(Trace { folder, lines, records: vec![record] });
        }
        if clients.is_empty() {
            self.leave_out(
                file.display().to_string(),
                "there is no Remote Desktop in it that can be recognised",
            );
        }
        Ok(clients)
    }

    /// The packets of a capture, those of `only` these clients or all, with the comments that are our `own`, and with
    /// `with_secrets` its keys.
    fn capture(
        &mut self,
        path: &str,
        file: &Path,
        Beside { secrets, comments }: Beside,
        only: Option<BTreeSet<SocketAddr>>,
        own: &Own,
        with_secrets: bool,
    ) -> Result<(), BundleError> {
        let comments = self.comments(path, comments, own);
        let mut packets = CaptureRedaction::new(only).commented(comments);
        let damage = capture::file::frames(file, &mut |frame| packets.frame(frame))?;
        for damage in damage {
            self.leave_out(format!("{path}: a part of the capture"), damage.to_string());
        }
        let has_secrets = !secrets.tls_key_logs.is_empty();
        if has_secrets && !with_secrets {
            self.leave_out(format!("{path}: the TLS secrets of the capture"), "they open everything in it");
        }
        let key_logs = if with_secrets { secrets.tls_key_logs } else { Vec::new() };
        self.captures.push(Capture { path: path.to_owned(), packets, key_logs });
        Ok(())
    }

    /// Our own comments of a capture, by the numbers of their frames; those of others are left out.
    fn comments(&mut self, path: &str, comments: Comments, own: &Own) -> BTreeMap<u64, Vec<String>> {
        let Comments { mut of_frames, of_file, dropped, .. } = comments;
        let count = |of_frames: &BTreeMap<u64, Vec<String>>| of_frames.values().map(Vec::len).sum::<usize>();
        let before = count(&of_frames);
        of_frames.values_mut().for_each(|texts| texts.retain(|text| own.has(text)));
        let of_others = of_file.iter().filter(|text| !own.is_about_file(text)).count();
        let foreign = (before - count(&of_frames) + of_others) as u64 + dropped;
        if foreign > 0 {
            self.leave_out(
                format!("{path}: {}", counted(foreign, "comment")),
                "rdpscope cannot tell what somebody else says there",
            );
        }
        of_frames
    }

    fn rdp_file(&mut self, path: &str, file: &Path) -> Result<(), BundleError> {
        let bytes = contents(file, LONGEST_SMALL_FILE)?;
        let mut profile = Profile::read(&bytes);
        let is_setting = |line: &Line| line.setting().is_some_and(|it| ["i", "s", "b"].contains(&it.kind));
        if !profile.lines().iter().any(is_setting) {
            let reason = "no line of it is name:type:value, as those of an .rdp file are".to_owned();
            return Err(BundleError::NotAProfile { path: file.to_owned(), reason });
        }
        // What is no setting may be anything, a password in somebody's note as well.
        let is_foreign = |line: &Line| !is_setting(line) && !line.text.trim().is_empty();
        let lines = profile.lines().iter().enumerate();
        let foreign: Vec<usize> =
            lines.filter(|(_, line)| is_foreign(line)).map(|(index, _)| index).collect();
        if !foreign.is_empty() {
            let count = counted(foreign.len() as u64, "line");
            self.leave_out(
                format!("{path}: {count}"),
                "no setting: rdpscope cannot tell what somebody says there",
            );
            profile.remove(&foreign);
        }
        self.rdp_files.push(RdpFile { path: path.to_owned(), bytes: profile.bytes() });
        Ok(())
    }

    /// The system's own events around each session.
    fn event_logs(&mut self) {
        let mut extracts = Vec::new();
        let mut left_out = Vec::new();
        for trace in &self.traces {
            let Some((from, to)) = around(&trace.records) else { continue };
            for log in &EVENT_LOGS {
                match event_log::between(log, &from, &to) {
                    Ok(xml) => extracts.push(Extract { path: format!("{}/{}", trace.folder, log.file), xml }),
                    Err(why) => left_out
                        .push((format!("{}/{}: events of the client's system", trace.folder, log.file), why)),
                }
            }
        }
        self.event_logs = extracts;
        // Where one reason keeps all of them away it is said once.
        left_out.dedup_by(|later, earlier| {
            let is_same = later.1 == earlier.1;
            if is_same {
                earlier.0 = "events of the client's system".to_owned();
            }
            is_same
        });
        left_out.into_iter().for_each(|(what, why)| self.leave_out(what, why));
    }
}

/// The attempts in a capture.
fn attempts(
    file: &Path,
    beside: &Beside,
    number: usize,
    knows_command: fn(&str) -> bool,
) -> Result<Vec<Record>, BundleError> {
    let secrets = Secrets::new();
    for key_log in &beside.secrets.tls_key_logs {
        secrets.add_key_log(key_log);
    }
    let options = Options {
        capture: format!("captures/{number}.pcapng"),
        ids: format!("capture-{number}"),
        gateways: Vec::new(),
        knows_command,
    };
    let mut records = Vec::new();
    let mut sessions = Sessions::new(options, Arc::new(secrets), |analysed| records.push(analysed.record));
    capture::file::read(file, &mut sessions)?;
    sessions.finish();
    Ok(records)
}

/// The lines of a record as JSON.
fn lines(record: &Record) -> Vec<Value> {
    // Serialising our own types into memory cannot fail.
    record.clone().into_lines().iter().filter_map(|line| serde_json::to_value(line).ok()).collect()
}

/// The sockets of clients in a line of a trace.
fn client_sockets(line: &Value, clients: &mut BTreeSet<SocketAddr>) {
    const KEYS: [&str; 2] = ["client", "peer"];
    let Value::Object(fields) = line else { return };
    for (key, value) in fields {
        match value {
            Value::String(text) if KEYS.contains(&key.as_str()) => clients.extend(text.parse::<SocketAddr>()),
            value => client_sockets(value, clients),
        }
    }
}

/// From a little before the first session to a little after the last, RFC 3339.
fn around(records: &[Record]) -> Option<(String, String)> {
    let span = |record: &Record| {
        let started: Timestamp = record.header.as_ref()?.started.parse().ok()?;
        let end_us = record.end.as_ref().map(|end| end.t_us).or(record.events.last().map(|event| event.t_us));
        let length = SignedDuration::from_micros(i64::try_from(end_us.unwrap_or(0)).ok()?);
        Some((started, started.checked_add(length).ok()?))
    };
    let spans: Vec<(Timestamp, Timestamp)> = records.iter().filter_map(span).collect();
    let from = spans.iter().map(|(from, _)| *from).min()?.checked_sub(EVENT_LOG_MARGIN).ok()?;
    let to = spans.iter().map(|(_, to)| *to).max()?.checked_add(EVENT_LOG_MARGIN).ok()?;
    Some((from.to_string(), to.to_string()))
}

/// The traces that a path stands for: itself, a session's folder, or a folder of such folders.
fn trace_files(path: &Path) -> Result<Vec<PathBuf>, BundleError> {
    if !path.is_dir() {
        readable(path)?;
        return Ok(vec![path.to_owned()]);
    }
    let own = path.join("trace.jsonl");
    if own.is_file() {
        return Ok(vec![own]);
    }
    let below =
        entries(path).into_iter().map(|entry| entry.join("trace.jsonl")).filter(|file| file.is_file());
    let beside =
        files_in(path).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "jsonl"));
    let files: Vec<PathBuf> = below.chain(beside).collect();
    match files.is_empty() {
        true => Err(BundleError::NotATrace {
            path: path.to_owned(),
            reason: "there is no trace.jsonl in this folder; name a session's folder".to_owned(),
        }),
        false => Ok(files),
    }
}

fn readable(path: &Path) -> Result<(), BundleError> {
    std::fs::File::open(path)
        .map(drop)
        .map_err(|source| BundleError::Unreadable { path: path.to_owned(), source })
}

fn contents(path: &Path, longest: u64) -> Result<Vec<u8>, BundleError> {
    let unreadable = |source| BundleError::Unreadable { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > longest {
        let reason = format!("it has {length} bytes, more than the {longest} that such a file can have");
        return Err(unreadable(std::io::Error::other(reason)));
    }
    std::fs::read(path).map_err(unreadable)
}

/// What is in a folder, in the order of names; nothing where there is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.is_file()).collect()
}
