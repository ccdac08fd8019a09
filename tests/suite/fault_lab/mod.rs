//! The fault lab: every cause that the contract names is made here, by real software where there is some, otherwise by a
//! scripted peer that speaks the exact bytes, and has to come out as what it is: from `proxy`, from `probe`, from a
//! capture. `cargo test -p rdpscope --test suite fault_lab -- --nocapture` prints the table.

mod captured;
mod catalogue;
mod gateways;
mod gateways_probed;
mod on_the_way;
mod on_the_wire;
mod probed;
mod rows;
mod watched;

use crate::support::rdpscope::Finished;
use rdpscope::trace::{Record, Verdict, VerdictId};
use serde_json::Value;
use std::io::Write;
use std::path::Path;

/// Where the documents keep the table.
const TABLE_BEGINS: &str = "<!-- the fault table -->";
const TABLE_ENDS: &str = "<!-- end of the fault table -->";

/// Findings that some rows are about: what they name costs a healthy session nothing, or nothing but some fluency.
const NOTED: [&str; 5] = [
    "udp-blocked",
    "udp-half-open",
    "gateway-response-malformed",
    "gateway-transport-fallback",
    "tls-inspected",
];

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Judged {
    /// `id, confidence`, and `; finding ID` where one of [`NOTED`] is beside it.
    verdict: String,
}

impl Judged {
    fn of(verdict: &Verdict) -> Judged {
        Judged { verdict: format!("{}, {}", verdict.id, verdict.confidence) }
    }

    fn of_line(verdict: &Value) -> Judged {
        let text = |field: &str| verdict[field].as_str().unwrap_or_default().to_owned();
        Judged { verdict: format!("{}, {}", text("id"), text("confidence")) }
    }

    fn of_session(finished: &Finished) -> Judged {
        let session = finished.session();
        keep(session.lines());
        let findings = session.lines().iter().filter(|line| line["type"] == "finding");
        Judged::of_line(session.verdict()).beside(findings.filter_map(|line| line["id"].as_str()))
    }

    fn of_record(record: &Record) -> Judged {
        let verdict = record.verdict.as_ref().expect("it ends with a verdict");
        println!("{} {:?}", verdict.summary, verdict.evidence);
        Judged::of(verdict).beside(record.findings.iter().map(|finding| finding.id.as_str()))
    }

    fn beside<'a>(self, findings: impl Iterator<Item = &'a str>) -> Judged {
        let noted = findings.filter(|id| NOTED.contains(id));
        noted.fold(self, |judged, id| Judged { verdict: format!("{}; finding {id}", judged.verdict) })
    }
}

/// A folder for traces: the first session of each verdict, where there is none yet, becomes one of the examples.
const KEEP_VARIABLE: &str = "KEEP_TRACES";
/// An example is to be read.
const LONGEST_EXAMPLE: usize = 256 * 1024;

/// Keeps a session as an example where that is asked for.
fn keep(lines: &[Value]) {
    let Some(folder) = std::env::var_os(KEEP_VARIABLE) else { return };
    let verdict = lines.iter().rfind(|line| line["type"] == "verdict");
    let Some(id) = verdict.and_then(|verdict| verdict["id"].as_str()) else { return };
    let text: String = lines.iter().map(|line| format!("{}\n", without_folders(line))).collect();
    if text.len() < LONGEST_EXAMPLE {
        let file = Path::new(&folder).join(format!("{id}.jsonl"));
        let made = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
        made.and_then(|mut file| file.write_all(text.as_bytes())).unwrap_or_default();
    }
}

/// The same line, where files among the settings are named without the folders of this machine.
fn without_folders(line: &Value) -> Value {
    let mut line = line.clone();
    let settings = line.get_mut("settings").and_then(Value::as_object_mut);
    for setting in settings.into_iter().flat_map(|settings| settings.values_mut()) {
        let path = setting.as_str().map(Path::new).filter(|path| path.is_absolute());
        if let Some(name) = path.and_then(Path::file_name).and_then(|name| name.to_str()) {
            *setting = name.into();
        }
    }
    line
}

/// Makes a fault once; `None` where something for it is missing here, which was said.
type Scene = fn() -> Option<Judged>;

/// What is expected of one way to look at a fault, and how it is made there.
#[derive(Debug, Clone, Copy)]
struct Cell {
    expected: &'static str,
    scene: Option<Scene>,
}

impl Cell {
    /// Nothing can be known this way, or nothing shows the fault.
    const NONE: Cell = Cell { expected: "–", scene: None };

    const fn of(expected: &'static str, scene: Scene) -> Cell {
        Cell { expected, scene: Some(scene) }
    }
}

/// One fault.
#[derive(Debug, Clone, Copy)]
struct Row {
    fault: &'static str,
    made_by: &'static str,
    /// How often it is made.
    runs: usize,
    proxy: Cell,
    probe: Cell,
    capture: Cell,
}

impl Row {
    const fn new(fault: &'static str, made_by: &'static str, proxy: Cell, probe: Cell, capture: Cell) -> Row {
        Row { fault, made_by, runs: 1, proxy, probe, capture }
    }

    /// Nothing is wrong: ten runs, and no false alarm in any of them.
    const fn ten_times(self) -> Row {
        Row { runs: 10, ..self }
    }

    /// The same fault, as a probe finds it.
    const fn probed(self, expected: &'static str, scene: Scene) -> Row {
        Row { probe: Cell::of(expected, scene), ..self }
    }

    /// The same fault, as a capture of it shows it.
    const fn captured(self, expected: &'static str, scene: Scene) -> Row {
        Row { capture: Cell::of(expected, scene), ..self }
    }

    fn columns(&self) -> [(&'static str, Cell); 3] {
        [("proxy", self.proxy), ("probe", self.probe), ("capture", self.capture)]
    }

    /// Makes the fault in every way there is and fails where it comes out as anything else.
    fn assert_holds(&self) {
        for (column, cell) in self.columns() {
            let Some(scene) = cell.scene else { continue };
            // Two side by side: what waits for somebody waits for ten.
            let halves = [1..=self.runs.div_ceil(2), self.runs.div_ceil(2) + 1..=self.runs];
            std::thread::scope(|scope| {
                for runs in halves {
                    scope.spawn(|| runs.for_each(|run| self.assert_cell(column, cell.expected, scene, run)));
                }
            });
        }
    }

    fn assert_cell(&self, column: &str, expected: &str, scene: Scene, run: usize) {
        let Some(judged) = scene() else { return };
        println!("{}, {column}, run {run}: {}", self.fault, judged.verdict);
        assert_eq!(judged.verdict, expected, "{}, from {column}, run {run}", self.fault);
    }
}

/// The table in Markdown.
fn table() -> String {
    let head = "| fault | made by | from proxy | from probe | from a capture |\n|---|---|---|---|---|\n";
    let line = |row: &Row| {
        let often = if row.runs == 1 { String::new() } else { format!(", {} runs", row.runs) };
        let columns = row.columns().map(|(_, cell)| cell.expected);
        format!("| {} | {}{often} | {} |\n", row.fault, row.made_by, columns.join(" | "))
    };
    head.to_owned() + &rows::ROWS.iter().map(line).collect::<String>()
}

/// The faults of which one way to look at them says that they are `id`: the fault, what makes it, and what each way says.
pub(super) fn rows_of(
    id: VerdictId,
) -> impl Iterator<Item = (&'static str, &'static str, [&'static str; 3])> {
    let says = move |told: &str| told.split(", ").next() == Some(id.as_str());
    let told = |row: &'static Row| row.columns().map(|(_, cell)| cell.expected);
    let rows = rows::ROWS.iter().map(move |row| (row.fault, row.made_by, told(row)));
    rows.filter(move |(.., told)| told.iter().any(|told| says(told)))
}

#[test]
fn the_table_is_the_one_in_the_documents() {
    let table = table();
    println!("{TABLE_BEGINS}\n{table}{TABLE_ENDS}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
    let text = std::fs::read_to_string(&page).expect("the page is read");
    let (before, rest) = text.split_once(TABLE_BEGINS).expect("the page keeps the table");
    let (kept, after) = rest.split_once(TABLE_ENDS).expect("the table ends");
    if crate::documents::is_updating() {
        let page_anew = format!("{before}{TABLE_BEGINS}\n{table}{TABLE_ENDS}{after}");
        return std::fs::write(&page, page_anew).expect("the page is written");
    }
    assert_eq!(kept.trim(), table.trim(), "docs/faults.md keeps another table");
}
