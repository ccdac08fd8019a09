//! `rdpscope probe` from the outside: targets, outputs, what is kept of a run that was ended.

use crate::cli::{Ran, run, run_command};
use crate::support::certificates::{Certificate, certificates};
use crate::support::process::Process;
use crate::support::rdpscope::program;
use crate::support::schema;
use crate::support::scripted::bytes::{SSL, connection_confirm, negotiation_failure};
use crate::support::scripted::terminated::TlsEnd;
use rustls::version::TLS12;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// How long anything here may take on a machine that also compiles.
const WITHIN: Duration = Duration::from_secs(120);
/// What makes a probe short: nothing but the conversation and the masks.
const SHORT: [&str; 4] = ["--no-tls", "--no-udp", "--rounds", "1"];

/// Servers that insist on NLA and then say no more, at every address of 127.0.0.0/8 on one port.
struct Fleet {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Fleet {
    fn start() -> Fleet {
        let address = if cfg!(target_os = "linux") { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let listener = TcpListener::bind((address, 0)).expect("a port is free");
        // More connections come at once than the standard library's backlog holds.
        #[cfg(target_os = "linux")]
        rustix::net::listen(&listener, 4096).expect("it listens");
        let port = listener.local_addr().expect("it has an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                if stream.local_addr().is_ok_and(|address| address.ip().is_loopback()) {
                    std::thread::spawn(|| refuse(stream));
                }
            }
        });
        Fleet { port, connections }
    }

    /// Its first `count` addresses, as one range.
    fn range(&self, count: u32) -> String {
        let last = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + count);
        format!("127.1.0.1-{last}:{}", self.port)
    }
}

fn refuse(mut stream: TcpStream) {
    let mut request = [0; 256];
    if stream.read(&mut request).is_ok_and(|length| length > 0) {
        let _ = stream.write_all(&negotiation_failure(5));
        // Until the client goes.
        let _ = stream.read(&mut request);
    }
}

/// A server that does this with each connection on which it is asked something; its address.
fn serving(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it has an address").to_string();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || {
                if stream.read(&mut [0; 256]).is_ok_and(|length| length > 0) {
                    serve(stream);
                }
            });
        }
    });
    address
}

/// A server with TLS and without NLA that shows `certificate`; its address.
fn server(certificate: &'static Certificate) -> String {
    serving(|mut stream| {
        let _ = stream.write_all(&connection_confirm(SSL));
        // A probe leaves when it has seen enough.
        let _ = TlsEnd::server(stream, &TLS12, certificate).handshake();
    })
}

/// A server that takes connections and never says anything; they stay open as long as this lives.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it has an address").to_string();
    (listener, address)
}

fn probe(arguments: &[&str]) -> Ran {
    run(&[&["probe"], &SHORT[..], arguments].concat())
}

fn file(folder: &TempDir, content: &str) -> PathBuf {
    let path = folder.path().join("targets.txt");
    std::fs::write(&path, content).expect("a file is written");
    path
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The targets that have a verdict, each as often as it has one.
fn with_verdict(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .filter(|line| line["type"] == "verdict")
        .map(|line| line["target"].as_str().expect("a target"))
        .collect()
}

mod targets {
    use super::*;

    #[test]
    fn all_wrong_lines_are_told_and_nothing_is_probed() {
        let fleet = Fleet::start();
        let folder = TempDir::new().expect("a temporary folder is made");
        let content = format!("# ours\n127.0.0.1:{}\n\n10.0.0.300\nsrv one\n10.0.0.0/8\n", fleet.port);
        let list = file(&folder, &content);
        for arguments in [[&format!("@{}", path(&list))[..], "a/b"], ["--targets", path(&list)]] {
            let ran = probe(&arguments);
            assert_eq!((ran.exit_code, &ran.stdout[..]), (Some(2), ""), "{}", ran.stderr);
            for said in ["line 4 of ", "line 5 of ", "line 6 of ", "targets.txt", "nothing was probed"] {
                assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
            }
            assert_eq!(ran.stderr.contains("a/b"), arguments[1] == "a/b", "{}", ran.stderr);
        }
        assert_eq!(fleet.connections.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_wrong_target_is_one_sentence() {
        probe(&["10.0.0.20-10"]).assert_refused(2, "the lower address first");
        probe(&["10.0.0.0/8"]).assert_refused(2, "more than 65536 addresses");
        probe(&["127.0.0.1", "127.0.0.2", "--address", "127.0.0.3"]).assert_refused(2, "only one target");
        probe(&["srv10", "--concurrency", "0"]).assert_refused(2, "not a number of targets");
        let folder = TempDir::new().expect("a temporary folder is made");
        let list = file(&folder, "# nothing\n\n");
        probe(&[&format!("@{}", path(&list))]).assert_refused(2, "no target was named");
        probe(&["@/no/such/file"]).assert_refused(3, "cannot read targets from /no/such/file");
        for arguments in [&[][..], &["srv10", "--resume"], &["srv10", "--csv", "--json"]] {
            let ran = probe(arguments);
            assert_eq!((ran.exit_code, &ran.stdout[..]), (Some(2), ""), "{}", ran.stderr);
        }
    }

    #[test]
    fn files_standard_input_and_duplicates_become_one_list() {
        let fleet = Fleet::start();
        let folder = TempDir::new().expect("a temporary folder is made");
        let list = file(&folder, &format!("LOCALHOST:{0}\n127.0.0.1:{0} # again\n", fleet.port));
        let mut command = program();
        command.args(["probe", "--json", "--targets", "-", "--targets", path(&list)]).args(SHORT);
        command.arg(format!("127.0.0.1:{}", fleet.port));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut input = child.stdin.take().expect("standard input is a pipe");
        writeln!(input, "\n  localhost:{0}\n127.0.0.1:{0}", fleet.port).expect("it is written");
        drop(input);
        let ran = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&ran.stderr);
        let lines = json(&String::from_utf8_lossy(&ran.stdout));
        assert_eq!(with_verdict(&lines).len(), 2, "{stderr}");
        assert!(stderr.contains("3 targets were named more than once"), "{stderr}");
        assert!(stderr.contains("probing 2 targets"), "{stderr}");
    }
}

mod outputs {
    use super::*;

    #[test]
    fn json_lines_fit_the_schema_and_those_of_a_target_stand_together() {
        let fleet = Fleet::start();
        for (verbose, events) in [(&[][..], false), (&["-v"], true)] {
            let range = fleet.range(20);
            let arguments = [&["--json", &range], verbose].concat();
            let ran = probe(&arguments);
            assert_eq!(ran.exit_code, Some(1), "{}", ran.stderr);
            let lines = json(&ran.stdout);
            lines.iter().for_each(schema::assert_valid);
            let (comparison, lines) = lines.split_last().expect("there are lines");
            assert_eq!((&comparison["type"], &comparison["targets"]), (&"comparison".into(), &20.into()));
            let mut order: Vec<&str> =
                lines.iter().map(|line| line["target"].as_str().expect("a target")).collect();
            order.dedup();
            assert_eq!(order.len(), 20, "lines of a target stand together: {order:?}");
            for target in order {
                let kinds: Vec<&str> = lines
                    .iter()
                    .filter(|line| line["target"] == target)
                    .map(|line| line["type"].as_str().expect("a type"))
                    .collect();
                assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("probe", "verdict"), "{kinds:?}");
                assert_eq!(kinds[kinds.len() - 2], "summary", "{kinds:?}");
                assert_eq!(kinds.contains(&"event"), events, "{kinds:?}");
            }
        }
    }

    #[test]
    fn csv_is_a_table_with_a_row_for_each_target() {
        let fleet = Fleet::start();
        let ran = probe(&["--csv", &fleet.range(5), "127.0.0.1:1"]);
        assert_eq!(ran.exit_code, Some(1), "{}", ran.stderr);
        let mut table = csv::Reader::from_reader(ran.stdout.as_bytes());
        assert!(table.headers().expect("a header").iter().take(3).eq(["target", "verdict", "confidence"]));
        let rows: Vec<_> = table.records().map(|row| row.expect("a row as long as the header")).collect();
        assert_eq!(rows.len(), 6);
        let refused = rows.iter().find(|row| &row[0] == "127.0.0.1:1").expect("its row");
        assert_eq!((&refused[1], &refused[2]), ("tcp-refused", "confirmed"));
    }

    #[test]
    fn the_answer_about_one_target_is_the_first_line() {
        let ran = probe(&["127.0.0.1:1"]);
        assert_eq!(ran.exit_code, Some(1));
        assert!(ran.stdout.starts_with("VERDICT    tcp-refused (confirmed): "), "{}", ran.stdout);
        assert!(ran.stdout.contains("\n tcp          FAIL"), "{}", ran.stdout);
        assert!(ran.stderr.contains("probing 127.0.0.1:1: at most "), "{}", ran.stderr);
        assert_eq!(probe(&["127.0.0.1:1", "-q"]).stderr, "");
    }

    #[test]
    fn many_end_with_a_table_and_what_is_different() {
        let fleet = Fleet::start();
        let ran = probe(&[&fleet.range(3), "127.0.0.1:1"]);
        assert_eq!(ran.exit_code, Some(1));
        assert!(ran.stdout.contains("FAIL 127.0.0.1:1 "), "{}", ran.stdout);
        assert!(ran.stdout.contains("\nTARGETS    "), "{}", ran.stdout);
        assert!(
            ran.stdout.contains("\ndifference all four fail: there is none that works"),
            "{}",
            ran.stdout
        );
        assert_eq!(
            ran.stderr.lines().filter(|line| line.contains("tcp-refused")).count(),
            1,
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn the_one_whose_certificate_expired_differs_in_just_that() {
    let certificates = certificates();
    let mut targets: Vec<String> = (0..4).map(|_| server(&certificates.signed)).collect();
    let expired = server(&certificates.expired);
    targets.push(expired.clone());
    let ran = probe(&[&["--json"], &targets.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    assert_eq!(ran.exit_code, Some(1), "{}", ran.stderr);
    let lines = json(&ran.stdout);
    let comparison = &lines[lines.len() - 1];
    let group = &comparison["groups"][0];
    assert_eq!((&group["verdict"], &group["targets"][0]), (&"certificate-expired".into(), &expired.into()));
    assert_eq!(group["differences"][0]["property"], "certificate validity", "{comparison}");
    let sentence = comparison["sentences"][0].as_str().expect("a sentence");
    assert!(
        sentence.contains(" differs from the four that work in: certificate validity (expired "),
        "{sentence}"
    );
}

mod odd_targets {
    use super::*;
    use std::time::Instant;

    #[test]
    fn one_that_changes_its_mind_is_said_to_with_counts() {
        let asked = AtomicUsize::new(0);
        let flaky = serving(move |mut stream| {
            let code = if asked.fetch_add(1, Ordering::Relaxed) == 0 { 2 } else { 5 };
            let _ = stream.write_all(&negotiation_failure(code));
        });
        let ran = probe(&["--json", &flaky]);
        let lines = json(&ran.stdout);
        let of_type = |kind: &str| lines.iter().find(|line| line["type"] == kind).expect("it has its line");
        let answers = of_type("probe")["flaky"][0]["answers"].as_object().expect("it was asked twice");
        assert!(answers.len() == 2 && answers.values().all(|count| count == 1), "{answers:?}");
        let finding = lines.iter().find(|line| line["id"] == "flaky").expect("it is worth knowing");
        let text = finding["text"].as_str().expect("a sentence");
        assert!(text.contains("changes") && text.contains("(1 of 2)"), "{text}");
        assert_ne!(of_type("verdict")["confidence"], "confirmed", "{}", ran.stdout);
    }

    /// Says these bytes, one a second, until the client goes.
    fn tarpit(bytes: impl Iterator<Item = u8> + Clone + Send + Sync + 'static) -> String {
        serving(move |mut stream| {
            for byte in bytes.clone() {
                if stream.write_all(&[byte]).is_err() {
                    return;
                }
                // Its slowness is the thing under test.
                std::thread::sleep(Duration::from_secs(1));
            }
        })
    }

    #[test]
    fn one_that_says_a_byte_a_second_is_given_up_in_time() {
        let answer = tarpit(connection_confirm(SSL).into_iter());
        let noise = tarpit(std::iter::repeat(b'.'));
        let began = Instant::now();
        let ran = run(&["probe", "--no-udp", "--csv", "--timeout", "2s", &answer, &noise]);
        assert_eq!(ran.exit_code, Some(1), "{}", ran.stderr);
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        let row = |target: &str| {
            let row = ran.stdout.lines().find(|row| row.starts_with(target)).expect("each has a row");
            row.split(',').skip(1).take(2).collect::<Vec<_>>().join(",")
        };
        // What it says may still become an answer, and what the other says cannot.
        assert_eq!(
            (row(&answer), row(&noise)),
            ("rdp-silent,likely".to_owned(), "not-rdp,confirmed".to_owned())
        );
    }
}

mod results_file {
    use super::*;

    #[test]
    fn a_file_with_results_is_not_written_over() {
        let folder = TempDir::new().expect("a temporary folder is made");
        let kept = folder.path().join("results.jsonl");
        std::fs::write(&kept, "mine\n").expect("a file is written");
        probe(&["127.0.0.1:1", "-o", path(&kept)]).assert_refused(2, "has results already");
        let resumed = probe(&["127.0.0.1:1", "-o", path(&kept), "--resume"]);
        resumed.assert_refused(2, "line 1 of ");
        assert_eq!(std::fs::read_to_string(&kept).expect("it is still there"), "mine\n");
        let below = kept.join("below");
        probe(&["127.0.0.1:1", "-o", path(&below)]).assert_refused(3, "cannot write results to");
    }

    /// Killed while one target hangs, with a line cut in the middle.
    #[test]
    fn a_run_that_was_killed_goes_on_where_it_was() {
        let fleet = Fleet::start();
        let (_listener, hanging) = silent();
        let folder = TempDir::new().expect("a temporary folder is made");
        let kept = folder.path().join("results.jsonl");
        let range = fleet.range(40);
        let arguments = [&["probe", "-o", path(&kept), &hanging, &range], &SHORT[..]].concat();

        let mut command = program();
        command.args(&arguments).args(["--timeout", "10m", "--json"]);
        let (mut process, stdout) = Process::spawn_apart(command);
        let verdicts = AtomicUsize::new(0);
        stdout.wait_for(WITHIN, |line| {
            line.starts_with(r#"{"type":"verdict""#) && verdicts.fetch_add(1, Ordering::Relaxed) == 39
        });
        process.end();
        let mut content = std::fs::read(&kept).expect("the file is there");
        assert_eq!(
            with_verdict(&json(&String::from_utf8_lossy(&content))).len(),
            40,
            "{}",
            process.output.tail()
        );
        let cut: Vec<u8> = content.iter().copied().take(500).collect();
        content.extend(cut);
        std::fs::write(&kept, content).expect("a line is cut");

        let before = fleet.connections.load(Ordering::Relaxed);
        let ran = run(&[&arguments[..], &["--timeout", "300ms", "--resume"]].concat());
        assert_eq!(ran.exit_code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains("40 of 41 targets were finished before"), "{}", ran.stderr);
        assert!(ran.stdout.contains("of 41 targets fail"), "they count: {}", ran.stdout);
        assert_eq!(fleet.connections.load(Ordering::Relaxed), before, "they are not probed again");
        let lines = json(&std::fs::read_to_string(&kept).expect("the file is there"));
        let targets = with_verdict(&lines);
        assert_eq!((targets.len(), targets.iter().collect::<BTreeSet<_>>().len()), (41, 41));
        let comparisons = lines.iter().filter(|line| line["type"] == "comparison").count();
        assert_eq!((comparisons, &lines[lines.len() - 1]["targets"]), (1, &41.into()));

        let ran = run(&[&arguments[..], &["--resume"]].concat());
        assert!(ran.stderr.contains("41 of 41 targets were finished before"), "{}", ran.stderr);
        assert_eq!(json(&std::fs::read_to_string(&kept).expect("the file is there")), lines);
    }

    #[cfg(unix)]
    #[test]
    fn ctrl_c_keeps_what_is_there_and_still_tells_it() {
        let fleet = Fleet::start();
        let (_listener, hanging) = silent();
        let mut command = program();
        command.args(["probe", &hanging, &fleet.range(5), "--timeout", "10m"]).args(SHORT);
        let (mut process, stdout) = Process::spawn_apart(command);
        let seen = AtomicUsize::new(0);
        process.output.wait_for(WITHIN, |line| {
            line.contains(&format!(":{}", fleet.port)) && seen.fetch_add(1, Ordering::Relaxed) == 4
        });
        process.signal_first(rustix::process::Signal::INT);
        assert_eq!(process.wait(WITHIN).and_then(|status| status.code()), Some(130));
        stdout.wait_for_end(WITHIN);
        let table = stdout.all().join("\n");
        assert!(table.contains("5 targets") && table.contains("1 more were not finished"), "{table}");
    }
}

/// As many targets as a company has servers; thousands are in the benchmark.
#[cfg(target_os = "linux")]
#[test]
fn a_fleet_loses_no_target() {
    const COUNT: usize = 500;
    let fleet = Fleet::start();
    let mut command = program();
    command.args(["probe", "--json", "--concurrency", "250", &fleet.range(COUNT as u32)]).args(SHORT);
    let ran = run_command(command);
    let lines = json(&ran.stdout);
    let targets: BTreeSet<&str> = with_verdict(&lines).into_iter().collect();
    assert_eq!(targets.len(), COUNT, "{}", ran.stderr);
    let of_verdicts = lines.iter().filter(|line| line["type"] == "verdict");
    let verdicts: BTreeSet<&str> = of_verdicts.filter_map(|line| line["id"].as_str()).collect();
    assert_eq!(verdicts.len(), 1, "the same servers have the same verdict: {verdicts:?}");
}
