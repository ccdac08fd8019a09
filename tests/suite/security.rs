//! What others may try, on the machine and on the wire, and what stands against it.

use crate::support::left_out::say_left_out;
use crate::support::process::Process;
use crate::support::rdpscope::{Rdpscope, program};
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request};
use crate::support::scripted::{Conversation, Ends, Side, listener, rdp};
use rdpscope::bundle::{MOST_UNPACKED, verify};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// How long the program may take to begin or to end on a machine that also compiles.
const WITHIN: Duration = Duration::from_secs(30);

/// `command` under a shell that runs `before` first.
fn under_shell(before: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{before}; exec \"$0\" \"$@\"")]).arg(command.get_program());
    shell.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Everything below `folder`.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder is read");
    let paths = entries.map(|entry| entry.expect("an entry is read").path());
    paths
        .flat_map(
            |path| if path.is_dir() { [vec![path.clone()], everything(&path)].concat() } else { vec![path] },
        )
        .collect()
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().expect("it is there").permissions().mode() & 0o777
}

/// A user whose mask takes nothing away: all that is private is so by itself, and nobody else may change what is not.
#[test]
fn files_are_their_owners_whatever_the_mask() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let below = |name: &str| folder.path().join(name).to_str().expect("a path is text").to_owned();
    let listener = listener();
    let target = listener.local_addr().expect("a listener has an address").to_string();
    let mut command = program();
    command.args(["proxy", &target, "--listen", "127.0.0.1:0", "--sessions", "1", "--capture"]);
    command.args([
        "--trace",
        &below("traces"),
        "--dashboard",
        "127.0.0.1:0",
        "--dashboard-token",
        &below("token"),
    ]);
    let (mut process, stdout) = Process::spawn_apart(under_shell("umask 0", &command));
    let said = process.output.wait_for(WITHIN, |line| line.starts_with("listening on "));
    let said = said.unwrap_or_else(|| panic!("it does not listen:\n{}", process.output.tail()));
    let relay = said["listening on ".len()..].parse().expect("an address");
    let conversation = Conversation::new()
        .client(connection_request("anna", SSL))
        .server(connection_confirm(SSL))
        .finish(Side::Client)
        .finish(Side::Server);
    conversation.play(Ends::connect(relay, &listener));
    process.wait(WITHIN).expect("it ends");
    stdout.wait_for_end(WITHIN);

    let session =
        everything(Path::new(&below("traces"))).into_iter().find(|path| path.is_dir()).expect("a session");
    let session = session.to_str().expect("a path is text");
    let runs: [&[&str]; 5] = [
        &["report", session, "-o", &below("report.html")],
        &["bundle", session, "-o", &below("bundle.zip")],
        &["cert", "mint", "--for", "srv.example", "--ca", &below("ca"), "-o", &below("leaf.pem")],
        &["rdp", "new", "srv.example", "-o", &below("new.rdp")],
        &[
            "rdp",
            "retarget",
            &below("new.rdp"),
            "--through",
            "127.0.0.1:13389",
            "-o",
            &below("retargeted.rdp"),
        ],
    ];
    for arguments in runs {
        let mut command = program();
        command.args(arguments).env("HOME", folder.path()).env("XDG_DATA_HOME", below("data"));
        let output = under_shell("umask 0", &command).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {said}");
    }

    let written = everything(folder.path());
    for name in [
        "trace.jsonl",
        "session.pcapng",
        "token",
        "report.html",
        "bundle.zip",
        "ca-key.pem",
        "leaf.pem",
        "pseudonyms.key",
    ] {
        assert!(written.iter().any(|path| path.ends_with(name)), "{name} is not among {written:#?}");
    }
    for path in written {
        let mode = mode(&path);
        // A profile and a CA's certificate are there to be given away; nobody else may change them, either.
        let is_shown = path.extension().is_some_and(|ending| ending == "rdp");
        let forbidden = if is_shown { 0o022 } else { 0o077 };
        assert_eq!(mode & forbidden, 0, "{} has mode {mode:o}", path.display());
    }
}

/// A program that fails leaves no core dump with the passwords in its memory. The shell shows that the system writes some.
#[test]
fn a_crash_leaves_no_core_dump() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let mut control = Command::new("sh");
    control.args(["-c", "ulimit -c unlimited && kill -ABRT $$"]).current_dir(folder.path());
    if !control.status().is_ok_and(|status| status.core_dumped()) {
        return say_left_out("this system writes no core dumps");
    }
    let mut command = program();
    command.args(["proxy", "127.0.0.1:9", "--listen", "127.0.0.1:0", "--no-trace"]);
    let mut command = under_shell("ulimit -c unlimited", &command);
    command.current_dir(folder.path());
    let (mut process, _stdout) = Process::spawn_apart(command);
    process.output.wait_for(WITHIN, |line| line.starts_with("listening on ")).expect("it listens");
    process.signal_first(Signal::ABORT);
    let status = process.wait(WITHIN).expect("it ends");
    assert_eq!((status.signal(), status.core_dumped()), (Some(Signal::ABORT.as_raw()), false));
}

/// A zip file with this manifest and these files.
fn zipped(folder: &TempDir, manifest: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let path = folder.path().join("evil.zip");
    let mut zip = ZipWriter::new(std::fs::File::create(&path).expect("a file is made"));
    for (name, content) in [("manifest.json", manifest.as_bytes())].iter().chain(files) {
        zip.start_file(*name, SimpleFileOptions::default()).expect("a file begins");
        zip.write_all(content).expect("it is written");
    }
    zip.finish().expect("it is finished");
    path
}

fn manifest(files: &[(&str, u64)]) -> String {
    let file =
        |(path, bytes): &(&str, u64)| serde_json::json!({"path": path, "bytes": bytes, "sha256": "00"});
    let files: Vec<_> = files.iter().map(file).collect();
    let redaction = serde_json::json!({"kept": [], "pseudonyms": [], "only_in_their_fields": [], "left_out": [],
        "still_found": [], "contains_secrets": false});
    serde_json::json!({"bundle": 1, "rdpscope": "0.1.0", "system": "any", "created": "2026-11-22T03:00:00Z",
        "sessions": [], "files": files, "redaction": redaction})
    .to_string()
}

#[test]
fn a_bundle_that_leads_elsewhere_or_is_a_bomb_is_told() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let elsewhere = [("../../evil", &b"evil"[..]), ("/tmp/rdpscope-evil", b"evil"), ("a/../../b", b"evil")];
    let named = manifest(&[("../../evil", 4), ("/tmp/rdpscope-evil", 4), ("a/../../b", 4)]);
    let path = zipped(&folder, &named, &elsewhere);
    let told = verify(&path).expect("it is read");
    assert_eq!(told.differences.len(), 3, "{told:?}");
    assert_eq!(everything(folder.path()), [path], "nothing is unpacked");
    assert!(!Path::new("/tmp/rdpscope-evil").exists());

    let refused = |manifest: &str, files: &[(&str, &[u8])], why: &str| {
        let error = verify(&zipped(&folder, manifest, files)).expect_err("it is no bundle").to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(
        &manifest(&[("a", MOST_UNPACKED), ("b", 1)]),
        &[("a", b""), ("b", b"")],
        "no bundle has more than",
    );
    refused(&manifest(&[("a", u64::MAX), ("b", u64::MAX)]), &[("a", b"")], "no bundle has more than");
    refused(&manifest(&[("a", 1), ("a", 1)]), &[("a", b"1")], "names a twice");
    // What unpacks to more than the manifest says is not unpacked to its end.
    let bomb = vec![0; 8 << 20];
    let told = verify(&zipped(&folder, &manifest(&[("a", 3)]), &[("a", &bomb)])).expect("it is read");
    assert_eq!(told.differences.len(), 1, "{told:?}");
}

/// What a peer says without end, and which one.
type Flood = (&'static str, Vec<(Side, Vec<u8>)>, Side, Vec<u8>);

/// Messages that announce more than anybody holds, and streams that never say what they are.
fn floods() -> Vec<Flood> {
    let negotiated =
        vec![(Side::Client, connection_request("anna", SSL)), (Side::Server, connection_confirm(SSL))];
    let in_clear = vec![(Side::Client, connection_request("anna", 0)), (Side::Server, connection_confirm(0))];
    // A Certificate of 16 MiB, of which every record brings 16 KiB.
    let certificate = [&[22, 3, 3, 0x40, 0, 11, 0xff, 0xff, 0xff][..], &vec![0x30; 0x4000 - 4]].concat();
    // Connect Initial whose user data is longer than its packet, again and again.
    let connect =
        [&[3, 0, 0xff, 0xff, 2, 0xf0, 0x80, 0x7f, 0x65, 0x84, 0x7f, 0xff, 0xff, 0xff][..], &vec![4; 65_521]]
            .concat();
    let head = format!("HTTP/1.1 200 OK\r\n{}", "X-Long: yes\r\n".repeat(5_000)).into_bytes();
    let preconnection =
        [&[0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0][..], &vec![0x41; 65_000]].concat();
    // As many channels as are read, with every option.
    let channels = [&62_u32.to_le_bytes()[..], &b"channel\0\xff\xff\xff\xff".repeat(62)].concat();
    let lists = rdp::connect_initial_of(&[rdp::block(0xc003, &channels)]);
    vec![
        ("a certificate of 16 MiB", negotiated, Side::Server, certificate),
        ("GCC of 2 GiB", in_clear.clone(), Side::Client, connect),
        ("lists without end", in_clear, Side::Client, lists),
        ("a head without end", Vec::new(), Side::Server, head),
        ("a preconnection PDU of 2 GiB", Vec::new(), Side::Client, preconnection),
        ("a session of one PDU", rdp::session(0, 0), Side::Server, rdp::packet(&vec![0x68; 40_000])),
    ]
}

#[test]
fn no_flood_takes_more_memory_than_a_session_may() {
    /// Bytes of each flood.
    const FLOOD: usize = 16 << 20;
    /// What all of them together may cost, over what the program takes at its start.
    const MOST_GROWTH: usize = 16 << 20;
    let floods = floods();
    let listener = listener();
    let target = listener.local_addr().expect("a listener has an address");
    let rdpscope = Rdpscope::start(target, floods.len(), &[]);
    let before = rdpscope.peak_memory();
    for (what, opening, side, message) in floods {
        let ends =
            Conversation::new().send_all(opening).play_open(Ends::connect(rdpscope.address, &listener));
        let (client, server) = ends.into_streams();
        let (mut from, mut to) = if side == Side::Client { (client, server) } else { (server, client) };
        let mut sent = 0;
        std::thread::scope(|scope| {
            let arriving = scope.spawn(|| drain(&mut to));
            while sent < FLOOD {
                from.write_all(&message).expect("it is relayed");
                sent += message.len();
            }
            from.shutdown(std::net::Shutdown::Write).expect("it ends");
            assert_eq!(arriving.join().expect("it does not panic"), sent, "{what} is relayed");
        });
        let grown = rdpscope.peak_memory().saturating_sub(before);
        assert!(grown < MOST_GROWTH, "{what}: {grown} bytes more");
    }
    let finished = rdpscope.finish();
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    assert!(finished.sessions.iter().all(|session| session.verdict()["id"].is_string()));
}

/// How many bytes come until the end.
fn drain(stream: &mut TcpStream) -> usize {
    let (mut buffer, mut count) = (vec![0; 64 * 1024], 0);
    loop {
        match stream.read(&mut buffer).expect("it is relayed") {
            0 => return count,
            read => count += read,
        }
    }
}
