//! The files of a bundle, made from what was gathered.

use super::manifest::{self, MANIFEST_VERSION};
use super::material::{Capture, Material, Trace};
use super::{
    BundledFile, BundledProbe, BundledSession, File, LeftOut, Manifest, Pseudonym, Redaction, Request,
    StillFound, counted, readme, sha256,
};
use crate::redact::Redactor;
use crate::report::{self, Document, Subject};
use crate::trace::Record;
use rdpscope_certs::load::{certificate_pem, certificates};
use std::collections::BTreeSet;

/// The report's place.
const REPORT: &str = "report.html";

/// The finished files, and what is to be said of them.
pub(super) struct Redacted {
    files: Vec<File>,
    sessions: Vec<BundledSession>,
    probes: Vec<BundledProbe>,
    left_out: Vec<LeftOut>,
    redactor: Redactor,
    contains_secrets: bool,
}

impl Redacted {
    /// Replaces every name in everything.
    pub(super) fn from(material: Material, redactor: Redactor) -> Redacted {
        let Material { traces, certificates: chains, captures, rdp_files, event_logs, left_out, .. } =
            material;
        let mut redacted = Redacted {
            files: Vec::new(),
            sessions: Vec::new(),
            probes: Vec::new(),
            left_out,
            redactor,
            contains_secrets: false,
        };
        let mut records = Vec::new();
        for trace in traces {
            records.extend(redacted.trace(trace));
        }
        for mut file in chains {
            let mut pem = String::new();
            for der in &mut file.chain {
                redacted.redactor.certificate(der);
                pem.push_str(&certificate_pem(der));
            }
            redacted.push(file.path, pem.into_bytes());
        }
        for file in rdp_files {
            let bytes = redacted.redactor.rdp_file(&file.bytes);
            redacted.push(file.path, bytes);
        }
        for extract in event_logs {
            let xml = redacted.redactor.event_log(&extract.xml);
            redacted.push(extract.path, xml.into_bytes());
        }
        for file in captures {
            redacted.capture(file);
        }
        if !records.is_empty() {
            let page = report::html(&Document { subjects: records, ..Document::default() });
            redacted.push(REPORT.to_owned(), page.into_bytes());
        }
        redacted
    }

    /// The manifest, and the files in the order of their paths.
    pub(super) fn finish(mut self, request: &Request) -> (Manifest, Vec<File>) {
        let redaction = self.redaction(request);
        let mut manifest = Manifest {
            bundle: MANIFEST_VERSION,
            rdpscope: env!("CARGO_PKG_VERSION").to_owned(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            created: request.created.clone(),
            sessions: self.sessions,
            probes: self.probes,
            files: Vec::new(),
            redaction,
        };
        let readme = readme::text(&manifest, self.files.iter().any(|file| file.path == REPORT));
        self.files.push(File { path: readme::PATH.to_owned(), bytes: readme.into_bytes() });
        self.files.sort_by(|left, right| left.path.cmp(&right.path));
        manifest.files = self.files.iter().map(described).collect();
        (manifest, self.files)
    }

    fn push(&mut self, path: String, bytes: Vec<u8>) {
        self.files.push(File { path, bytes });
    }

    fn trace(&mut self, trace: Trace) -> Vec<Subject> {
        let mut text = Vec::new();
        for mut line in trace.lines {
            self.redactor.line(&mut line);
            text.extend(line.to_string().into_bytes());
            text.push(b'\n');
        }
        let records = self.read_back(&trace.folder, &text, &trace.records);
        let path = format!("{}/trace.jsonl", trace.folder);
        self.push(path.clone(), text);
        self.sessions.extend(records.iter().filter_map(|record| bundled(&trace.folder, record)));
        self.probes.extend(records.iter().filter_map(|record| bundled_probe(&trace.folder, record)));
        records.into_iter().map(|record| Subject::new(record, path.clone())).collect()
    }

    /// The records of a redacted trace; what of those from `before` is no longer in them is said.
    fn read_back(&mut self, folder: &str, text: &[u8], before: &[Record]) -> Vec<Record> {
        let lines = |records: &[Record]| -> usize {
            records.iter().map(|record| record.clone().into_lines().len()).sum()
        };
        let (records, why) = match crate::trace::read(text) {
            Ok(reading) => (reading.records, "some lines of its redacted trace".to_owned()),
            Err(error) => (Vec::new(), format!("its redacted trace ({error})")),
        };
        let missing = lines(before).saturating_sub(lines(&records));
        if missing > 0 {
            self.left_out.push(LeftOut {
                what: format!("{folder}: {} of the trace in {REPORT}", counted(missing as u64, "line")),
                why: format!("{why} cannot be read back; {folder}/trace.jsonl has everything"),
            });
        }
        records
    }

    fn capture(&mut self, capture: Capture) {
        let Capture { path, packets, key_logs } = capture;
        self.contains_secrets |= !key_logs.is_empty();
        match packets.finish(&mut self.redactor, &key_logs) {
            Ok(redacted) => {
                self.say_left_out(
                    &path,
                    redacted.left_out,
                    [
                        "packet of another connection or protocol",
                        "packets of other connections and protocols",
                    ],
                    "they are not of the sessions",
                );
                self.say_left_out(
                    &path,
                    redacted.opened,
                    ["message from inside TLS", "messages from inside TLS"],
                    "names and input stood in clear there",
                );
                self.say_left_out(
                    &path,
                    redacted.blanked,
                    ["byte that no TLS protects", "bytes that no TLS protects"],
                    "logon, input and screen stood in clear there: they are zero",
                );
                self.push(path, redacted.bytes);
            }
            Err(error) => self.left_out.push(LeftOut { what: path, why: error.to_string() }),
        }
    }

    fn say_left_out(&mut self, path: &str, count: u64, what: [&str; 2], why: &str) {
        let what = what[usize::from(count != 1)];
        if count > 0 {
            self.left_out.push(LeftOut { what: format!("{path}: {count} {what}"), why: why.to_owned() });
        }
    }

    /// Pseudonyms whose names are still found in a file; PEM hides what is in it.
    fn remaining(&self, file: &File) -> BTreeSet<String> {
        let is_pem = file.path.ends_with(".pem");
        let chain = is_pem.then(|| certificates(&file.bytes, None)).and_then(Result::ok).unwrap_or_default();
        let in_text = self.redactor.remaining(&file.bytes).into_iter().map(str::to_owned);
        in_text.chain(chain.iter().flat_map(|der| self.redactor.remaining_in_certificate(der))).collect()
    }

    fn redaction(&self, request: &Request) -> Redaction {
        let pseudonyms = self.redactor.replaced().iter().map(|((kind, pseudonym), times)| Pseudonym {
            kind: manifest::singular(*kind).to_owned(),
            pseudonym: pseudonym.clone(),
            times: *times,
        });
        let still_found = self.files.iter().flat_map(|file| {
            let found = self.remaining(file).into_iter();
            found.map(|pseudonym| StillFound { path: file.path.clone(), pseudonym })
        });
        Redaction {
            kept: request.keep.iter().map(|kind| kind.plural().to_owned()).collect(),
            pseudonyms: pseudonyms.collect(),
            only_in_their_fields: self
                .redactor
                .names()
                .not_looked_for()
                .map(|(_, word)| word.to_owned())
                .collect(),
            left_out: self.left_out.clone(),
            still_found: still_found.collect(),
            contains_secrets: self.contains_secrets,
        }
    }
}

fn described(file: &File) -> BundledFile {
    BundledFile { path: file.path.clone(), bytes: file.bytes.len() as u64, sha256: sha256(&file.bytes) }
}

fn bundled(folder: &str, record: &Record) -> Option<BundledSession> {
    let header = record.header.as_ref()?;
    Some(BundledSession {
        folder: folder.to_owned(),
        session: header.session.clone(),
        target: header.target.clone(),
        started: header.started.clone(),
        rdpscope: header.rdpscope.clone(),
        settings: header.settings.clone(),
        verdict: record.verdict.as_ref().map(|verdict| verdict.id.to_string()),
        confidence: record.verdict.as_ref().map(|verdict| verdict.confidence.to_string()),
    })
}

fn bundled_probe(folder: &str, record: &Record) -> Option<BundledProbe> {
    let probe = record.probe.as_ref().filter(|_| record.header.is_none())?;
    Some(BundledProbe {
        folder: folder.to_owned(),
        target: probe.target.clone(),
        started: probe.started.clone(),
        verdict: record.verdict.as_ref().map(|verdict| verdict.id.to_string()),
        confidence: record.verdict.as_ref().map(|verdict| verdict.confidence.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::{Keep, Names, PseudonymKey};
    use serde_json::json;

    const HEADER: &str = r#"{"type":"trace","schema":1,"rdpscope":"0.1.0","session":"one","target":"srv10:3389","settings":{},"started":"2026-11-21T16:11:58Z"}"#;

    /// What is left out of the report of a trace whose redacted lines are `lines`.
    fn left_out(lines: Vec<serde_json::Value>) -> (Vec<LeftOut>, bool) {
        let records = crate::trace::read(HEADER.as_bytes()).unwrap().records;
        let trace = Trace { folder: "sessions/one".to_owned(), lines, records };
        let mut material = Material::default();
        material.traces.push(trace);
        let names = Names::new(PseudonymKey::new([7; 32]), Keep::default());
        let redacted = Redacted::from(material, Redactor::new(names));
        let has_report = redacted.files.iter().any(|file| file.path == REPORT);
        (redacted.left_out, has_report)
    }

    #[test]
    fn a_redacted_trace_that_cannot_be_read_back_is_said_to_be_missing_in_the_report() {
        assert_eq!(left_out(vec![serde_json::from_str(HEADER).unwrap()]), (Vec::new(), true));
        let (said, has_report) = left_out(vec![json!({"type": "trace", "schema": "one"})]);
        let [LeftOut { what, why }] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!((what.as_str(), has_report), ("sessions/one: 1 line of the trace in report.html", false));
        assert!(why.starts_with("its redacted trace (") && why.contains("cannot be read back"), "{why}");
    }
}
