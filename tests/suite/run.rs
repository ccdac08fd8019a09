//! `rdpscope run`: a user at a terminal, and nobody at one, before real servers and real clients.

use crate::cli::{Ran, run_within};
use crate::support::certificates::{Certificate, certificates};
use crate::support::left_out::left_out_without;
use crate::support::peers::{FreeRdp, Xfreerdp, Xrdp, XrdpSetup, Xvfb};
use crate::support::process::Process;
use crate::support::rdpscope::program;
use rustix::process::Signal;
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use zip::ZipArchive;

/// A probe, a client and an experiment of some twenty attempts, on a machine that also compiles.
const WITHIN: Duration = Duration::from_secs(280);
const QUESTION: &str = "q to leave";
/// What the terminal makes the end of input of.
const END_OF_INPUT: &str = "\x04";

/// A run for `target` with its folder.
struct Scene {
    folder: TempDir,
    command: Command,
    /// What the client shows itself on.
    display: Option<Arc<Xvfb>>,
}

impl Scene {
    fn new(target: SocketAddr, arguments: &[&str]) -> Scene {
        let folder = TempDir::new().expect("a temporary folder is made");
        let mut command = program();
        command.args(["run", &target.to_string(), "--listen", "127.0.0.1:0", "--trace"]).arg(folder.path());
        command.args(arguments).env("NO_COLOR", "1").env("XDG_DATA_HOME", folder.path().join("data"));
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        Scene { folder, command, display: None }
    }

    /// FreeRDP, which takes nothing but good certificates, as the client that runs by itself.
    fn with_free_rdp(mut self) -> Scene {
        let display = Xvfb::shared();
        let ca = self.folder.path().join("ca");
        let client = Xfreerdp::new(FreeRdp::Two, &["/sec:tls", "/u:test", "/p:Right-1234"]);
        let client = client.trusting_only(&certificates().authority_file);
        let script = client.script(self.folder.path(), &display, &ca.join("ca.pem"));
        self.command.arg("--client").arg(format!("sh {} {{port}}", script.display())).arg("--ca").arg(ca);
        self.display = Some(display);
        self
    }

    /// Somebody sits before it and types `words`, each at a question.
    fn typed(self, words: &[&str]) -> Told {
        self.seated(|process, keyboard| {
            for (word, number) in words.iter().zip(1..) {
                asked(process, number);
                write!(keyboard, "{word}").expect("it is typed");
            }
        })
    }

    /// Somebody sits before it and does this.
    fn seated(self, does: impl FnOnce(&Process, &mut File)) -> Told {
        let (mut process, mut keyboard) = Process::spawn_at_terminal(self.command);
        does(&process, &mut keyboard);
        let status = process.wait(WITHIN).unwrap_or_else(|| panic!("no end:\n{}", process.output.tail()));
        process.output.wait_for_end(WITHIN);
        let lines = process.output.all();
        println!("{}", lines.join("\n"));
        Told { exit_code: status.code(), lines, folder: self.folder }
    }

    /// Nobody sits before it.
    fn alone(self) -> (Ran, TempDir) {
        let ran = run_within(self.command, WITHIN);
        println!("{}\n----\n{}", ran.stderr, ran.stdout);
        (ran, self.folder)
    }
}

/// Waits for the question with this number.
fn asked(process: &Process, number: usize) {
    let count = std::cell::Cell::new(0);
    let found = process.output.wait_for(WITHIN, |line| {
        count.set(count.get() + usize::from(line.contains(QUESTION)));
        count.get() == number
    });
    assert!(found.is_some(), "question {number} is not asked:\n{}", process.output.tail());
}

/// What somebody at the terminal was told, and what is left.
struct Told {
    exit_code: Option<i32>,
    lines: Vec<String>,
    folder: TempDir,
}

impl Told {
    fn has(&self, part: &str) -> bool {
        self.lines.iter().any(|line| line.contains(part))
    }

    /// The sentence for the phone, which is the last line.
    fn sentence(&self) -> &str {
        let last = self.lines.iter().rev().find(|line| !line.trim().is_empty()).expect("it says something");
        last.strip_prefix("say        ").unwrap_or_else(|| panic!("{last:?} is no sentence"))
    }

    /// The report that it names.
    fn report(&self) -> String {
        let line = self.lines.iter().find_map(|line| line.strip_prefix("report     ")).expect("a report");
        std::fs::read_to_string(line).expect("the report is there")
    }

    /// Everything that it kept.
    fn kept(&self) -> Vec<PathBuf> {
        kept(self.folder.path())
    }

    /// The README of a bundle of its folder.
    fn bundled(&self) -> String {
        let kept = self.kept();
        let run = kept[0].parent().expect("a folder");
        let file = self.folder.path().join("case.zip");
        let mut command = program();
        command
            .arg("bundle")
            .arg(run)
            .arg("-o")
            .arg(&file)
            .env("XDG_DATA_HOME", self.folder.path().join("data"));
        let ran = run_within(command, WITHIN);
        assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
        let mut archive = ZipArchive::new(File::open(file).expect("a bundle")).expect("a zip");
        std::io::read_to_string(archive.by_name("README.txt").expect("a README")).expect("it is read")
    }

    fn sessions(&self) -> usize {
        self.kept().iter().filter(|path| path.join("trace.jsonl").is_file()).count()
    }
}

/// What lies in the one folder of a run.
fn kept(base: &Path) -> Vec<PathBuf> {
    let below = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).expect("the folder is there");
        entries.map(|entry| entry.expect("an entry is read").path()).collect()
    };
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let runs: Vec<PathBuf> = below(base).into_iter().filter(|path| name(path).starts_with("run-")).collect();
    let [run] = &runs[..] else { panic!("{runs:?}") };
    below(run)
}

fn nobodys_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address")
}

fn server(certificate: &'static Certificate) -> Option<Xrdp> {
    if left_out_without(&[&Xfreerdp::programs(FreeRdp::Two)[..], &["xrdp"]].concat()) {
        return None;
    }
    Some(Xrdp::start(&XrdpSetup { certificate, ..Xrdp::setup() }))
}

#[test]
fn what_the_probe_proves_needs_no_client() {
    let told = Scene::new(nobodys_port(), &[]).typed(&[]);
    assert_eq!(told.exit_code, Some(1));
    assert!(!told.has(QUESTION) && !told.has("client: "));
    assert!(told.has("tcp-refused (confirmed)"));
    assert!(told.sentence().ends_with("; what was seen on the wire proves it."), "{}", told.sentence());
    assert!(told.report().contains("tcp-refused"));
    assert_eq!(told.sessions(), 0);
}

#[test]
fn an_expired_certificate_is_proved_by_the_experiment() {
    let Some(xrdp) = server(&certificates().expired) else { return };
    let told = Scene::new(xrdp.address, &[]).with_free_rdp().typed(&["\n", "\n"]);
    assert_eq!(told.exit_code, Some(1));
    assert!(told.has("experiment: is it the server's certificate?"));
    let experiment = told.kept().into_iter().find(|path| path.to_string_lossy().contains("experiment-"));
    let lines = std::fs::read_to_string(experiment.expect("an experiment is kept")).expect("it is read");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let conclusion = &lines[1]["conclusion"];
    assert_eq!((&conclusion["effect"], &conclusion["guilty"]), (&"cause".into(), &"dates".into()));
    let sentence = told.sentence();
    assert!(sentence.ends_with("; an experiment has proved it."), "{sentence}");
    assert_eq!(sentence.matches(". ").count(), 0, "one sentence: {sentence}");
    assert!(told.sessions() > 6, "{} sessions", told.sessions());
    let report = told.report();
    for part in ["Probe of ", "Session with ", "Experiment with ", "certificate-expired"] {
        assert!(report.contains(part), "{part} is not in the report");
    }
    assert!(!told.lines.concat().contains("Right-1234") && !report.contains("Right-1234"));
    let bundled = told.bundled();
    for part in ["PROBES\n  probes/probe  ", "SESSIONS\n  sessions/", "certificate-expired (confirmed)"] {
        assert!(bundled.contains(part), "{part} is not in {bundled}");
    }
}

#[test]
fn where_the_client_works_there_is_nothing_to_try() {
    let Some(xrdp) = server(&certificates().signed) else { return };
    let told = Scene::new(xrdp.address, &[]).with_free_rdp().typed(&["\n"]);
    assert_eq!(told.exit_code, Some(0));
    assert!(!told.has("experiment: "));
    assert!(told.has("healthy (confirmed)"));
    assert_eq!(told.sessions(), 1);
    assert!(!told.sentence().contains("not proved"), "{}", told.sentence());
}

/// FreeRDP is on the path and named by nobody; whoever sits there does not trust what it shows them.
#[test]
fn the_client_of_this_machine_is_found_and_asks_at_the_terminal() {
    let Some(xrdp) = server(&certificates().expired) else { return };
    let display = Xvfb::shared();
    let mut scene = Scene::new(xrdp.address, &["--no-browser"]);
    let path = scene.folder.path().join("path");
    std::fs::create_dir(&path).expect("a folder is made");
    let client =
        crate::support::left_out::program("xfreerdp").expect("it is installed, or the test was left out");
    std::os::unix::fs::symlink(client, path.join("xfreerdp")).expect("a link is made");
    scene.command.env("PATH", &path).env("DISPLAY", &display.display).env("HOME", scene.folder.path());
    let told = scene.seated(|process, keyboard| {
        asked(process, 1);
        writeln!(keyboard).expect("it is typed");
        let details =
            process.output.wait_for(WITHIN, |line| line.contains("Certificate details for 127.0.0.1"));
        assert!(details.is_some(), "it asks nothing:\n{}", process.output.tail());
        writeln!(keyboard, "N").expect("it is typed");
        asked(process, 2);
        writeln!(keyboard, "q").expect("it is typed");
    });
    assert!(told.has("xfreerdp opens and asks here for what it needs; log on once as usual."));
    assert_eq!((told.exit_code, told.sessions()), (Some(1), 1));
    assert!(
        told.kept().iter().all(|path| path.extension().is_none_or(|ending| ending != "rdp")),
        "its file is gone"
    );
}

fn left_after_the_probe(typed: &str) {
    let Some(xrdp) = server(&certificates().expired) else { return };
    let told = Scene::new(xrdp.address, &[]).typed(&[typed]);
    assert_eq!(told.exit_code, Some(1), "what was found so far is a fault");
    assert!(told.sentence().ends_with("; that is likely, and not proved."), "{}", told.sentence());
    assert!(told.report().contains("certificate-expired"));
    assert_eq!(told.sessions(), 0);
}

#[test]
fn who_leaves_after_the_probe_keeps_what_it_found() {
    left_after_the_probe("q\n");
}

#[test]
fn the_end_of_input_is_a_leave() {
    left_after_the_probe(END_OF_INPUT);
}

#[test]
fn ctrl_c_at_a_question_keeps_what_was_found() {
    let Some(xrdp) = server(&certificates().expired) else { return };
    let told = Scene::new(xrdp.address, &[]).seated(|process, _| {
        asked(process, 1);
        process.signal_first(Signal::INT);
    });
    assert_eq!(told.exit_code, Some(130));
    assert!(told.report().contains("certificate-expired"));
    assert!(told.sentence().contains("not proved"));
}

#[test]
fn who_leaves_while_a_client_is_awaited_keeps_what_was_found() {
    let Some(xrdp) = server(&certificates().expired) else { return };
    let told = Scene::new(xrdp.address, &[]).seated(|process, keyboard| {
        asked(process, 1);
        writeln!(keyboard, "what?").expect("it is typed");
        process.output.wait_for(WITHIN, |line| line.contains("Enter, s or q")).expect("it asks again");
        writeln!(keyboard).expect("it is typed");
        process
            .output
            .wait_for(WITHIN, |line| line.contains("mstsc /v:127.0.0.1:"))
            .expect("it says what to type");
        writeln!(keyboard, "q").expect("it is typed");
    });
    assert_eq!(told.exit_code, Some(1));
    assert!(!told.has("experiment: "));
    assert!(told.report().contains("certificate-expired"));
}

#[test]
fn a_step_can_be_skipped() {
    let Some(xrdp) = server(&certificates().expired) else { return };
    let told = Scene::new(xrdp.address, &[]).typed(&["s\n", "s\n"]);
    assert_eq!(told.exit_code, Some(1));
    assert!(told.has("experiment: is it the server's certificate?"));
    assert!(told.sentence().contains("not proved"));
    assert_eq!(told.sessions(), 0);
}

#[test]
fn with_nobody_there_only_what_needs_nobody_is_done() {
    let Some(xrdp) = server(&certificates().expired) else { return };
    let (ran, folder) = Scene::new(xrdp.address, &[]).alone();
    assert_eq!(ran.exit_code, Some(1));
    let left_out = ran.stderr.lines().filter(|line| line.starts_with("left out, as nobody sits")).count();
    assert_eq!(left_out, 2, "the client and the experiment:\n{}", ran.stderr);
    assert!(ran.stdout.lines().last().is_some_and(|line| line.starts_with("say        ")), "{}", ran.stdout);
    assert_eq!(kept(folder.path()).len(), 2, "the probe and the report");
}

#[test]
fn for_programs_every_line_is_json() {
    let Some(xrdp) = server(&certificates().signed) else { return };
    let (ran, _folder) = Scene::new(xrdp.address, &["--json", "--yes"]).with_free_rdp().alone();
    assert_eq!(ran.exit_code, Some(0));
    let lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let steps: Vec<&Value> =
        lines.iter().filter(|line| line["type"] == "step").map(|line| &line["step"]).collect();
    assert_eq!(steps, ["probe", "client"]);
    let end = lines.last().expect("lines");
    assert_eq!(
        (&end["type"], &end["verdict"], &end["basis"]),
        (&"run".into(), &"healthy".into(), &"session".into())
    );
    let report = end["report"].as_str().expect("a report");
    assert!(Path::new(report).is_file(), "{report}");
}

#[test]
fn the_report_opens_for_whoever_is_still_there() {
    let opened = |arguments: &[&str], display: &str| {
        let mut scene = Scene::new(nobodys_port(), arguments);
        let folder = scene.folder.path().to_owned();
        let opener = folder.join("xdg-open");
        let pipe = folder.join("opened");
        // Another process writes it: a child that another test starts now would hold our open file, and what is open
        // for writing cannot be run.
        let script = format!("#!/bin/sh\necho \"$1\" > {0}.part; mv {0}.part {0}\n", pipe.display());
        let write = format!("printf %s '{script}' > {0}; chmod 700 {0}", opener.display());
        assert!(Command::new("sh").args(["-c", &write]).status().expect("there is a shell").success());
        scene.command.env("PATH", format!("{}:/usr/bin:/bin", folder.display())).env("DISPLAY", display);
        let told = scene.typed(&[]);
        let is_due = arguments.is_empty() && !display.is_empty();
        let deadline = std::time::Instant::now() + Duration::from_secs(if is_due { 60 } else { 0 });
        while !pipe.is_file() && std::time::Instant::now() < deadline {
            std::thread::sleep(crate::support::process::LOOK_AGAIN);
        }
        let named = std::fs::read_to_string(&pipe).ok()?;
        assert!(told.has(&format!("report     {}", named.trim())));
        Some(named)
    };
    assert!(opened(&[], ":7").is_some_and(|path| path.trim().ends_with("report.html")));
    assert_eq!(opened(&["--no-browser"], ":7"), None);
    assert_eq!(opened(&[], ""), None, "without a display");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_opened() {
    for (arguments, said) in [
        (&["srv10:99999"][..], "a number from 1 to 65535"),
        (&["127.0.0.1:9", "--listen", "0.0.0.0:0"], "can be reached by other machines"),
        (&["127.0.0.1:9", "--listen", "127.0.0.1:9"], "is where this relay listens itself"),
        (&["127.0.0.1:9", "--client", ""], "client command is empty"),
        (&["127.0.0.1:9", "--runs", "0"], "--runs"),
    ] {
        let ran = crate::cli::run(&[&["run"], arguments].concat());
        assert_eq!((ran.exit_code, &ran.stdout[..]), (Some(2), ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(said), "{said:?} is not in: {}", ran.stderr);
    }
    let file = TempDir::new().expect("a temporary folder is made").path().join("below");
    std::fs::create_dir_all(file.parent().expect("it has one")).expect("a folder");
    std::fs::write(&file, b"").expect("a file");
    let ran = crate::cli::run(&["run", "127.0.0.1:9", "--trace", file.to_str().expect("a plain path")]);
    ran.assert_refused(3, "cannot write traces to");
}
