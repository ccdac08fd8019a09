//! `rdpscope rdp`: profiles of the client, as users write them, break them, and lead them through rdpscope.

mod captured;
mod retarget;

use super::cli::{Ran, run, run_command};
use crate::support::rdpscope::program;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A profile that somebody has edited by hand, with most of what goes wrong then.
const EDITED: &str = "full adress:s:srv10\r\nfull address:s:srv10.corp.example:3390\r\nserver port:i:3389\r\n\
    audiomode:i:7\r\nscreen mode id:s:2\r\nauthentication level:i:0\r\nenablecredsspsupport:i:0\r\n\
    gatewayhostname:s:gw.corp.example\r\ngatewayusagemethod:i:1\r\nthis is no setting\r\n\
    password 51:b:CA11AB1E\r\nredirectclipboard:i:1\r\n";

fn rdp(arguments: &[&str]) -> Ran {
    run(&[&["rdp"], arguments].concat())
}

/// The lines of `--json`.
fn json(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// A folder with a profile in it.
struct Folder {
    folder: TempDir,
}

impl Folder {
    fn with(name: &str, content: &[u8]) -> Folder {
        let folder = TempDir::new().expect("a temporary folder is made");
        std::fs::write(folder.path().join(name), content).expect("a file is written");
        Folder { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("the file is there")
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder is there");
        let mut names: Vec<String> = entries
            .map(|it| it.expect("an entry is read").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn a_new_profile_is_minimal_and_clean() {
    let ran = rdp(&["new", "srv10.corp.example"]);
    assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
    assert_eq!(ran.stdout, "full address:s:srv10.corp.example\nauthentication level:i:2");
    let folder = Folder::with("other.txt", b"");
    let path = folder.path("srv10.rdp");
    let arguments =
        ["new", "[2001:db8::1]:3390", "--gateway", "gw:443", "--user", r"CORP\jürgen", "-o", text(&path)];
    let ran = rdp(&arguments);
    assert_eq!((ran.exit_code, ran.stdout), (Some(0), format!("wrote {}", path.display())), "{}", ran.stderr);
    let bytes = folder.read("srv10.rdp");
    let units: Vec<u16> =
        bytes[2..].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    assert_eq!(bytes[..2], *b"\xff\xfe", "a name outside of ASCII needs UTF-16");
    assert_eq!(
        String::from_utf16(&units).expect("UTF-16"),
        "full address:s:[2001:db8::1]:3390\r\nauthentication level:i:2\r\ngatewayhostname:s:gw\r\n\
         gatewayusagemethod:i:1\r\ngatewayprofileusagemethod:i:1\r\nusername:s:CORP\\jürgen\r\n"
    );
    assert_eq!(rdp(&["lint", text(&path)]).exit_code, Some(0));
    rdp(&arguments).assert_refused(3, "exists already: add --force");
    assert_eq!(folder.read("srv10.rdp"), bytes, "what is there stays");
}

#[test]
fn a_new_profile_takes_no_line_from_a_name() {
    rdp(&["new", "srv10", "--user", "me\r\npassword:s:x"]).assert_refused(2, "not a user's name");
    rdp(&["new", "srv 10"]).assert_refused(2, "has a character that no host name has");
    assert_eq!(rdp(&["new", "srv10", "--password", "x"]).exit_code, Some(2));
}

#[test]
fn faults_are_told_with_their_lines_and_no_secret() {
    let folder = Folder::with("edited.rdp", EDITED.as_bytes());
    let mut command = program();
    command.args(["rdp", "lint", "edited.rdp"]).current_dir(folder.folder.path()).env_remove("COLUMNS");
    let ran = run_command(command);
    assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(1), ""));
    assert!(!ran.stdout.contains("CA11AB1E"), "a password is told");
    insta::assert_snapshot!(ran.stdout);
}

#[test]
fn faults_are_told_to_programs() {
    let folder = Folder::with("edited.rdp", EDITED.as_bytes());
    let ran = rdp(&["lint", text(&folder.path("edited.rdp")), "--json"]);
    assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(1), ""));
    assert!(!ran.stdout.contains("CA11AB1E"), "a password is told");
    let lines = json(&ran);
    let (profile, findings) = lines.split_last().expect("there are lines");
    assert_eq!(profile["type"], "profile");
    assert_eq!((&profile["encoding"], &profile["settings"]), (&"UTF-8".into(), &11.into()));
    assert!(findings.iter().all(|line| line["type"] == "finding" && line["text"].is_string()));
    let count = |severity: &str| findings.iter().filter(|line| line["severity"] == severity).count();
    assert_eq!(profile["errors"], count("error"));
    assert_eq!(profile["warnings"], count("warning"));
    let wrong = findings.iter().find(|line| line["id"] == "wrong-value").expect("the value is wrong");
    assert_eq!((&wrong["line"], &wrong["key"]), (&4.into(), &"audiomode".into()));
}

#[test]
fn every_file_is_judged_whatever_is_wrong_with_its_neighbour() {
    let folder = Folder::with("good.rdp", b"full address:s:srv10\r\n");
    let (good, missing) = (folder.path("good.rdp"), folder.path("missing.rdp"));
    let ran = rdp(&["lint", text(&missing), text(&good)]);
    assert_eq!(ran.exit_code, Some(3));
    assert!(ran.stderr.contains("cannot read") && ran.stderr.contains("missing.rdp"), "{}", ran.stderr);
    assert!(
        ran.stdout.ends_with("good.rdp: 1 setting, UTF-8\n  nothing to say against it"),
        "{}",
        ran.stdout
    );
    let ran = rdp(&["lint", text(folder.folder.path())]);
    ran.assert_refused(3, "cannot read");
    assert_eq!(rdp(&["lint"]).exit_code, Some(2));
}

#[test]
fn what_is_no_profile_is_told_in_a_sentence() {
    let folder = Folder::with("large.rdp", &vec![b'x'; 5 << 20]);
    let large = folder.path("large.rdp");
    rdp(&["lint", text(&large)]).assert_refused(3, "more than 1024 KiB");
    rdp(&["retarget", text(&large)]).assert_refused(3, "more than 1024 KiB");
    let program = folder.path("program.rdp");
    std::fs::write(&program, b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0").expect("a file is written");
    let ran = rdp(&["lint", text(&program)]);
    assert_eq!(ran.exit_code, Some(1));
    assert!(ran.stdout.contains("it is no profile"), "{}", ran.stdout);
    rdp(&["retarget", text(&program)]).assert_refused(3, "it names no machine");
}

/// What users bring, what is said to it, what may be done about it, and what the same profile led through rdpscope says.
#[test]
fn a_broken_profile_has_a_sentence_and_a_way_on() {
    let wide: Vec<u8> = "full address:s:srv10\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let zeros = [&b"full address:s:srv10\r\nusername:s:me"[..], &[0; 64], b"\r\n"].concat();
    let signed = b"full address:s:srv10\r\nsignscope:s:Full Address\r\nsignature:s:AQABAAEAAAAA\r\n";
    for (bytes, said, way_on, led_through) in [
        (&wide[..], "without a byte order mark", "save it as UTF-16 LE", "wrote "),
        (&zeros[..], "line 2: this line has zero bytes in it", "write these lines again", "wrote "),
        (
            &signed[..],
            "the signature",
            "sign",
            "the signature is taken out, as it does not hold for another address",
        ),
    ] {
        let folder = Folder::with("brought.rdp", bytes);
        let path = folder.path("brought.rdp");
        let ran = rdp(&["lint", text(&path)]);
        assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(1), ""));
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (problem, remedy) = ran.stdout.split_once("->").expect("a finding with its fix");
        assert!(words(problem).contains(said) && words(remedy).contains(way_on), "{}", ran.stdout);
        let ran = rdp(&["retarget", text(&path)]);
        assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
        assert!(words(&ran.stdout).contains(led_through), "{}", ran.stdout);
        assert_eq!(folder.read("brought.rdp"), bytes, "what was brought stays");
    }
    let folder = Folder::with("large.rdp", &[&wide[..], &vec![0; 5 << 20]].concat());
    rdp(&["lint", text(&folder.path("large.rdp"))]).assert_refused(3, "make one with `rdpscope rdp new`");
}

#[test]
fn the_registrys_switches_are_told_on_every_system() {
    let ran = rdp(&["settings", "RDGClient"]);
    assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
    let set = r#"reg add "HKCU\Software\Microsoft\Terminal Server Client" /v RDGClientTransport /t REG_DWORD /d 1 /f"#;
    assert!(ran.stdout.contains(set), "{}", ran.stdout);
    assert_eq!(ran.stdout.contains("not on this system"), cfg!(not(windows)), "{}", ran.stdout);
    let lines = json(&rdp(&["settings", "--json"]));
    assert!(lines.len() > 10);
    for line in lines {
        assert_eq!(line["type"], "setting");
        assert_eq!(line["known"].as_bool().map(|known| known && cfg!(not(windows))), Some(false), "{line}");
        assert!(line["put_back"].is_string() || line["known"] == false, "{line}");
    }
    rdp(&["settings", "nosuch"]).assert_refused(2, "fClientDisableUDP");
}
