//! Bundles: what is in them, what is not, and whether they are still what they were.

mod through_proxy;

use crate::support::captures;
use crate::support::left_out::left_out_without;
use crate::support::peers::{FreeRdp, Xfreerdp, Xrdp};
use crate::support::rdpscope::{Rdpscope, program};
use crate::support::scripted::Side::Server;
use crate::support::scripted::bytes::{SSL, connection_request, negotiation_failure};
use crate::support::scripted::{Conversation, Ends, listener};
use serde_json::Value;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

/// Who logs on, and to what.
const USER: &str = "mia.wallace";
const PASSWORD: &str = "Canary-Pa55word";
const SERVER: &str = "srv10.corp.contoso.test";

/// A file of a bundle.
type Entry = (String, Vec<u8>);

fn run(home: &Path, arguments: &[&str]) -> Output {
    let mut command = program();
    command.env("HOME", home).env_remove("XDG_DATA_HOME").arg("bundle").args(arguments);
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn entries(file: &Path) -> Vec<Entry> {
    let mut archive =
        ZipArchive::new(Cursor::new(std::fs::read(file).expect("the bundle is read"))).expect("a zip");
    let count = archive.len();
    let entry = |index: usize| {
        let mut file = archive.by_index(index).expect("an entry");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("it is read");
        (file.name().expect("a name").into_owned(), bytes)
    };
    (0..count).map(entry).collect()
}

fn entry<'a>(entries: &'a [Entry], name: &str) -> &'a [u8] {
    let found = entries.iter().find(|(path, _)| path.ends_with(name));
    &found
        .unwrap_or_else(|| {
            panic!("no {name} in {:?}", entries.iter().map(|(path, _)| path).collect::<Vec<_>>())
        })
        .1
}

/// The bytes in which a name could still be seen: certificates not as PEM, which hides it.
fn visible((path, bytes): &Entry) -> Vec<u8> {
    match path.ends_with(".pem") {
        true => rdpscope_certs::load::certificates(bytes, None).expect("a certificate").concat(),
        false => bytes.clone(),
    }
}

/// Letters of a host's name that is looked for: a shorter one stands in keys and signatures by chance.
const SHORTEST_SEARCHED: usize = 5;

fn assert_nowhere(entries: &[Entry], name: &str) {
    let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for entry in entries {
        let bytes = visible(entry);
        for searched in [name.as_bytes(), &wide] {
            let found =
                bytes.windows(searched.len()).position(|window| window.eq_ignore_ascii_case(searched));
            let around =
                found.map(|place| text(&bytes[place.saturating_sub(60)..(place + 60).min(bytes.len())]));
            assert!(found.is_none(), "{name} in {}: {around:?}", entry.0);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, target).expect("a copy");
        }
    }
}

/// The folder of a session of a real client with a real server whose certificate is replaced, and a home.
struct Recorded {
    home: TempDir,
    session: PathBuf,
}

fn recorded() -> Option<Recorded> {
    let [client, display] = Xfreerdp::programs(FreeRdp::Two);
    if left_out_without(&["xrdp", client, display]) {
        return None;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let address = xrdp.address.to_string();
    let settings = ["--address", &address, "--cert", "fresh", "--listen", "127.0.0.1:0", "--sessions", "1"];
    let rdpscope = Rdpscope::start_as(program(), SERVER, &settings);
    let (user, password) = (format!("/u:CONTOSO\\{USER}"), format!("/p:{PASSWORD}"));
    let client = Xfreerdp::new(FreeRdp::Two, &["/sec:tls", "/cert:ignore", &user, &password])
        .run(rdpscope.address.port());
    assert!(client.active, "{}", client.tail());
    rdpscope.wait_for(|line| line["type"] == "end");
    let home = TempDir::new().expect("a temporary folder");
    copy(rdpscope.folder(), &home.path().join("traces"));
    rdpscope.finish();
    let session = std::fs::read_dir(home.path().join("traces"))
        .expect("traces")
        .next()
        .expect("one")
        .expect("one")
        .path();
    Some(Recorded { home, session })
}

impl Recorded {
    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn bundle(&self, name: &str, arguments: &[&str]) -> (Vec<Entry>, String) {
        let file = self.path(name);
        let session = self.session.to_str().expect("UTF-8");
        let output =
            run(self.home.path(), &[&[session, "-o", file.to_str().expect("UTF-8")], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        (entries(&file), text(&output.stdout))
    }

    fn verify(&self, name: &str) -> (Option<i32>, String) {
        let output = run(self.home.path(), &["--verify", self.path(name).to_str().expect("UTF-8")]);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    }
}

#[test]
fn a_bundle_of_a_real_session_holds_no_name_and_no_password() {
    let Some(recorded) = recorded() else { return };
    let profile = recorded.path("client.rdp");
    let lines = format!(
        "full address:s:{SERVER}\r\nusername:s:CONTOSO\\{USER}\r\npassword 51:b:0102ABCD\r\nmy NoteOfSomebody\r\n"
    );
    std::fs::write(&profile, lines).expect("a profile");
    let (entries, said) = recorded.bundle("case.zip", &["--rdp", profile.to_str().expect("UTF-8")]);
    println!("{said}");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = Some(host.trim()).filter(|host| host.len() >= SHORTEST_SEARCHED);
    for name in
        ["srv10", "contoso", USER, "wallace", PASSWORD, "0102ABCD", "NoteOfSomebody"].into_iter().chain(host)
    {
        assert_nowhere(&entries, name);
    }
    assert!(said.contains("a last search for every name in every file found none"), "{said}");

    let report = text(entry(&entries, "report.html"));
    assert!(report.starts_with("<!DOCTYPE html>") && report.contains("healthy"), "{report}");
    let trace = text(entry(&entries, "trace.jsonl"));
    let lines: Vec<Value> = trace.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let original = std::fs::read_to_string(recorded.session.join("trace.jsonl")).expect("the trace");
    assert_eq!(lines.len(), original.lines().count());
    for (line, before) in lines.iter().zip(original.lines()) {
        let before: Value = serde_json::from_str(before).expect("JSON");
        for key in ["type", "event", "phase", "t_us", "id", "outcome", "reached", "cipher"] {
            assert_eq!(line[key], before[key]);
        }
    }
    let presented = entry(&entries, "certificates/presented-1.pem");
    let [certificate] =
        rdpscope_certs::load::certificates(presented, None).expect("PEM").try_into().expect("one");
    let subject = rdpscope_certs::inspect::inspect(&certificate).expect("a certificate").subject;
    let target = lines[0]["target"].as_str().expect("a target");
    assert_eq!(subject, format!("CN={}", target.trim_end_matches(":3389")), "the same pseudonym everywhere");
    assert!(text(entry(&entries, "profiles/1.rdp")).contains("password 51:b:(left out)"));

    let manifest: Value = serde_json::from_slice(entry(&entries, "manifest.json")).expect("JSON");
    assert_eq!(manifest["files"].as_array().map(Vec::len), Some(entries.len() - 1));
    assert_eq!(manifest["sessions"][0]["settings"]["cert"], "fresh");
    assert_eq!(recorded.verify("case.zip").0, Some(0));
    let (again, _) = recorded.bundle("again.zip", &[]);
    assert_eq!(
        entry(&again, "trace.jsonl"),
        entry(&entries, "trace.jsonl"),
        "pseudonyms are the same the next time"
    );

    let (kept, said) = recorded.bundle("kept.zip", &["--keep", "hosts,addresses"]);
    assert!(
        text(entry(&kept, "trace.jsonl")).contains("127.0.0.1") && said.contains("kept as they are"),
        "{said}"
    );
    assert!(text(entry(&kept, "trace.jsonl")).contains("\"srv10."), "hosts are kept");
    assert_nowhere(&kept, "wallace");
}

#[test]
fn a_bundle_that_was_changed_is_found_out() {
    let Some(recorded) = recorded() else { return };
    let (mut entries, _) = recorded.bundle("case.zip", &[]);
    let write = |name: &str, entries: &[Entry]| {
        let mut zip = ZipWriter::new(std::fs::File::create(recorded.path(name)).expect("a file"));
        for (path, bytes) in entries {
            zip.start_file(path.as_str(), SimpleFileOptions::default()).expect("an entry");
            zip.write_all(bytes).expect("its bytes");
        }
        zip.finish().expect("a zip");
    };
    let trace = entries.iter().position(|(path, _)| path.ends_with("trace.jsonl")).expect("a trace");
    entries[trace].1[100] ^= 1;
    write("changed.zip", &entries);
    let (code, said) = recorded.verify("changed.zip");
    assert_eq!(code, Some(1));
    assert!(said.contains("trace.jsonl was changed: its SHA-256 is not the one in the manifest"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    entries.remove(trace);
    entries.push(("extra.txt".to_owned(), b"later".to_vec()));
    write("other.zip", &entries);
    let (code, said) = recorded.verify("other.zip");
    assert_eq!(code, Some(1));
    assert!(
        said.contains("trace.jsonl is missing") && said.contains("extra.txt is not in the manifest"),
        "{said}"
    );

    let mut bytes = std::fs::read(recorded.path("case.zip")).expect("the bundle");
    let place = bytes.len() / 2;
    bytes[place] ^= 0x55;
    std::fs::write(recorded.path("damaged.zip"), &bytes).expect("a file");
    let (code, said) = recorded.verify("damaged.zip");
    assert_eq!(code, Some(1), "{said}");
    bytes.truncate(bytes.len() / 2);
    std::fs::write(recorded.path("cut.zip"), &bytes).expect("a file");
    for name in ["cut.zip", "nothing.zip"] {
        let (code, said) = recorded.verify(name);
        assert_eq!((code, said.lines().count()), (Some(3), 1), "{said}");
    }
}

#[test]
fn bad_input_gets_one_sentence() {
    let home = TempDir::new().expect("a temporary folder");
    let no_trace = home.path().join("notes.txt");
    std::fs::write(&no_trace, "these are notes").expect("a file");
    let no_trace = no_trace.to_str().expect("UTF-8");
    let cut = home.path().join("cut.jsonl");
    std::fs::write(&cut, concat!(
        r#"{"type":"trace","schema":1,"rdpscope":"0.1.0","session":"one","target":"srv10:3389","settings":{},"started":"2026-11-21T16:11:58Z"}"#,
        "\n", r#"{"type":"event","t_us":304,"leg":"cli"#,
    ))
    .expect("a file");
    let file = home.path().join("case.zip");
    let file = file.to_str().expect("UTF-8");
    let cases: [(&[&str], i32, &str); 5] = [
        (&["nowhere", "-o", file], 3, "cannot read nowhere"),
        (&[no_trace, "-o", file], 3, "it is no trace of rdpscope"),
        (&[no_trace, "-o", file, "--secrets"], 2, "give it twice"),
        (&["--capture", no_trace, "-o", file], 3, "is no capture"),
        (&["--verify", no_trace], 3, "is no bundle of rdpscope"),
    ];
    for (arguments, code, sentence) in cases {
        let output = run(home.path(), arguments);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(code), 1), "{arguments:?}: {said}");
        assert!(said.contains(sentence), "{said}");
    }
    let output = run(home.path(), &[cut.to_str().expect("UTF-8"), "-o", file]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let entries = entries(Path::new(file));
    assert_nowhere(&entries, "srv10");
    assert!(text(entry(&entries, "README.txt")).contains("the trace ends in the middle of line 2"));
}

/// What tshark says of a file: rows of fields, and nothing on standard error.
fn tshark(file: &Path, arguments: &[&str]) -> String {
    let output = Command::new("tshark").arg("-r").arg(file).args(arguments).output().expect("tshark runs");
    let said = text(&output.stderr);
    let is_quiet = said.lines().all(|line| line.starts_with("Running as user"));
    assert!(output.status.success() && is_quiet, "{said}");
    text(&output.stdout)
}

#[test]
fn somebodys_capture_is_redacted_and_still_opens() {
    let Some(folder) = captures::folder() else { return };
    if left_out_without(&["tshark"]) {
        return;
    }
    let home = TempDir::new().expect("a temporary folder");
    let capture = folder.join("awakecoding-wireshark-rdp/rdp-nla-kerberos-auth1.pcapng");
    let make = |name: &str, capture: &Path, arguments: &[&str]| {
        let file = home.path().join(name);
        let [capture, path] = [capture, &file].map(|path| path.to_str().expect("UTF-8"));
        let output = run(home.path(), &[&["--capture", capture, "-o", path], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        println!("{}", text(&output.stdout));
        let entries = entries(&file);
        let pcapng = home.path().join(format!("{name}.pcapng"));
        std::fs::write(&pcapng, entry(&entries, "captures/1.pcapng")).expect("a file");
        (entries, pcapng)
    };
    let (entries, pcapng) = make("case.zip", &capture, &[]);
    for name in ["IT-HELP-TEST", "it-help", "Administr", "10.10.0.", "CLIENT_RANDOM", "IT-HELP-CLIENT"] {
        assert_nowhere(&entries, name);
    }
    let decode = ["-d", "tcp.port==3389,tls", "-T", "fields", "-e", "tls.record.content_type"];
    let records = |file: &Path, filter: &str| tshark(file, &[&["-Y", filter], &decode[..]].concat());
    let filter = "tls && tcp.port==3389";
    assert_eq!(records(&pcapng, filter), records(&capture, filter), "TLS is as it was");
    let bad = tshark(
        &pcapng,
        &[
            "-o",
            "tcp.check_checksum:TRUE",
            "-o",
            "ip.check_checksum:TRUE",
            "-Y",
            "tcp.checksum.status==0 || ip.checksum.status==0",
        ],
    );
    assert_eq!(bad, "", "checksums");

    let (_, opened) = make("secret.zip", &capture, &["--secrets", "--secrets"]);
    let credssp = ["-d", "tcp.port==3389,tls", "-Y", "credssp", "-T", "fields", "-e", "frame.number"];
    assert!(tshark(&opened, &credssp).lines().count() > 3, "its keys open it");

    let (_, clear) = make("clear.zip", &folder.join("zeek/rdp-proprietary-encryption.pcap"), &[]);
    let packets = tshark(&clear, &["-T", "fields", "-e", "tcp.payload"]);
    let blank = packets.lines().filter(|line| line.contains(&"00".repeat(64))).count();
    assert!(blank > 20, "{blank} packets of a session without TLS have their contents blanked");
}

#[test]
fn comments_of_rdpscope_stay_in_a_capture_and_those_of_others_do_not() {
    if left_out_without(&["tshark", "editcap"]) {
        return;
    }
    let server = listener();
    let address = server.local_addr().expect("an address").to_string();
    let arguments = ["--address", &address, "--listen", "127.0.0.1:0", "--sessions", "1", "--capture"];
    let rdpscope = Rdpscope::start_as(program(), SERVER, &arguments);
    let refused = Conversation::new().client(connection_request(USER, SSL)).server(negotiation_failure(5));
    refused.finish(Server).play(Ends::connect(rdpscope.address, &server));
    rdpscope.wait_for(|line| line["type"] == "end");
    let home = TempDir::new().expect("a temporary folder");
    copy(rdpscope.folder(), &home.path().join("traces"));
    rdpscope.finish();
    let session =
        std::fs::read_dir(home.path().join("traces")).expect("traces").next().expect("one").expect("one");
    let capture = session.path().join("session.pcapng");
    let written = home.path().join("written.pcapng");
    std::fs::rename(&capture, &written).expect("it is moved");
    let edited =
        Command::new("editcap").arg("-a").arg(format!("1:{USER} called")).args([&written, &capture]).status();
    assert!(edited.expect("editcap runs").success());
    let comments =
        |file: &Path| tshark(file, &["-Y", "frame.comment", "-T", "fields", "-e", "frame.comment"]);
    let before = comments(&capture);
    assert!(before.contains("phase x224 failed") && before.contains("called"), "{before}");

    let file = home.path().join("case.zip");
    let [session, path] = [&session.path(), &file].map(|path| path.to_str().expect("UTF-8").to_owned());
    let output = run(home.path(), &[&session, "-o", &path]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(
        said.contains("capture.pcapng: 1 comment: rdpscope cannot tell what somebody else says there"),
        "{said}"
    );
    let entries = entries(&file);
    assert_nowhere(&entries, USER);
    let redacted = home.path().join("redacted.pcapng");
    std::fs::write(&redacted, entry(&entries, "capture.pcapng")).expect("a file");
    let after = comments(&redacted);
    for comment in ["phase tcp ok", "phase x224 failed", "verdict nla-required: "] {
        assert!(before.contains(comment) && after.contains(comment), "{comment}: {after}");
    }
    assert!(!after.contains("called"), "{after}");
}
