//! `rdpscope cert`: what it shows, what it makes, and what it says to files that are of no use.

mod mint;
mod servers;
#[cfg(unix)]
mod trust;

use super::cli::{Ran, run};
use crate::support::certificates::{Certificate, certificates};
use crate::support::left_out::left_out_without;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const PASSWORD: &str = "Kanari3n-Vogel!";

fn cert(arguments: &[&str]) -> Ran {
    let ran = run(&[&["cert"], arguments].concat());
    assert!(!ran.stdout.contains(PASSWORD) && !ran.stderr.contains(PASSWORD), "the password is told");
    assert!(!ran.stdout.contains("PRIVATE KEY"), "a key is told");
    ran
}

/// The only line of `--json`.
fn json(ran: &Ran) -> Value {
    assert_eq!(ran.stdout.lines().count(), 1, "one line:\n{}\n{}", ran.stdout, ran.stderr);
    serde_json::from_str(&ran.stdout).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// A folder with a file whose first line is the password.
struct Folder {
    folder: TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = Folder { folder: TempDir::new().expect("a temporary folder is made") };
        folder.write("password.txt", format!("{PASSWORD}\r\nnot this line\n"));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        text(&self.path(name)).to_owned()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).expect("a file is written");
        self.text(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("the file is there")
    }

    /// A PFX file of `openssl`.
    fn pfx(&self, name: &str, certificate: &Certificate) -> String {
        let password = format!("pass:{PASSWORD}");
        let made = Command::new("openssl")
            .args(["pkcs12", "-export", "-passout", &password, "-inkey"])
            .arg(&certificate.key_file)
            .arg("-in")
            .arg(&certificate.certificate_file)
            .arg("-out")
            .arg(self.path(name))
            .status();
        assert!(made.expect("openssl runs").success());
        self.text(name)
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the file is there")
}

#[test]
fn every_format_shows_the_same() {
    if left_out_without(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    let signed = &certificates().signed;
    let pem = text(&signed.certificate_file).to_owned();
    let der = folder.write("signed.der", signed.for_rustls().0[0].as_ref());
    let pfx = folder.pfx("signed.pfx", signed);
    let password = folder.text("password.txt");
    let shown = [
        cert(&["show", &pem, "--json"]),
        cert(&["show", &der, "--json"]),
        cert(&["show", &pfx, "--password-file", &password, "--json"]),
    ];
    let shown = shown.each_ref().map(|ran| {
        assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
        let line = json(ran);
        assert_eq!((&line["type"], &line["source"]["kind"]), (&"certificate".into(), &"file".into()));
        let mut own = line["certificates"][0].clone();
        // The runs are moments apart.
        own.as_object_mut()
            .expect("an object")
            .retain(|name, _| name != "remaining_seconds" && name != "validity_words");
        (own, line["trust"].clone(), line["faults"].clone())
    });
    assert_eq!(shown[0], shown[1]);
    assert_eq!(shown[0], shown[2]);
    let own = &shown[0].0;
    assert_eq!((&own["subject_cn"], &own["validity"]), (&"localhost".into(), &"valid".into()));
    assert_eq!((&own["version"], own["sha1"].as_str().map(str::len)), (&3.into(), Some(40)));
}

#[test]
fn trust_and_name_are_two_answers() {
    let Ran { stdout, exit_code, .. } = cert(&["show", text(&certificates().signed.certificate_file)]);
    assert_eq!(exit_code, Some(0));
    let asked = stdout.lines().find(|line| line.contains(", asked: not trusted; ")).unwrap_or_default();
    assert!(asked.contains("its issuer CN=rdpscope test authority does not"), "{stdout}");
    assert_eq!(stdout.lines().filter(|line| line.contains(", by its rules: ")).count(), 3, "{stdout}");
    assert!(stdout.contains("name       no name to compare with"), "{stdout}");
    let wrong = text(&certificates().wrong_name.certificate_file);
    let ran = cert(&["show", wrong, "--name", "localhost", "--json"]);
    let line = json(&ran);
    assert_eq!((ran.exit_code, &line["name_matches"]), (Some(1), &false.into()));
    assert_eq!(line["faults"], serde_json::json!(["certificate-name-mismatch"]));
    assert_eq!(cert(&["show", wrong, "--name", "other.test"]).exit_code, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_system_trusts_is_trusted() {
    let certificates = certificates();
    for (certificate, refusal) in [
        (&certificates.signed, None),
        (&certificates.expired, Some("it expired")),
        (&certificates.not_yet_valid, Some("it is not valid before 2040-01-01")),
        (&certificates.wrong_name, None),
        (&certificates.self_signed, Some("it is signed by itself and not among the trusted roots")),
    ] {
        let mut command = crate::support::rdpscope::program();
        command.args(["cert", "show", "--json", text(&certificate.certificate_file)]);
        command.env("SSL_CERT_FILE", &certificates.authority_file).env_remove("SSL_CERT_DIR");
        let line = json(&super::cli::run_command(command));
        let told = line["trust"][0]["reason"].as_str();
        assert_eq!(told.is_some(), refusal.is_some(), "{line}");
        assert!(told.unwrap_or_default().starts_with(refusal.unwrap_or_default()), "{line}");
        assert_eq!(line["trust"][0]["trusted"], refusal.is_none());
    }
}

#[test]
fn a_file_of_no_use_gets_one_sentence() {
    let folder = Folder::new();
    let signed = &certificates().signed;
    let pem = read(&signed.certificate_file);
    let half = folder.write("half.pem", &pem[..pem.len() / 2]);
    let empty = folder.write("empty.pem", "");
    let prose = folder.write("prose.txt", "not a certificate\n");
    let key = folder.write("key.pem", read(&signed.key_file));
    let huge = folder.text("huge.pem");
    let file = std::fs::File::create(&huge).expect("a file is made");
    file.set_len(3 << 30).expect("a sparse file takes no room");
    for (file, said) in [
        (&half[..], "a PEM block in it is cut off"),
        (&empty, "is empty"),
        (&prose, "it is neither PEM nor a DER certificate nor a PFX file"),
        (&key, "there is no certificate in it"),
        (&huge, "more than 1 MiB"),
        (text(folder.folder.path()), "is a folder"),
        (&folder.text("missing.pem"), "there is no file"),
    ] {
        let ran = cert(&["show", file]);
        ran.assert_refused(3, said);
        assert!(ran.stderr.contains(file), "the file is named: {}", ran.stderr);
    }
    cert(&["show", "[srv]:1"]).assert_refused(2, "they hold no IPv6 address");
    cert(&["show", super::cli::NO_NAME]).assert_refused(3, "as a server's name it cannot be resolved");
}

#[test]
fn a_password_is_asked_for_and_checked() {
    if left_out_without(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    let pfx = folder.pfx("signed.pfx", &certificates().signed);
    cert(&["show", &pfx]).assert_refused(3, "give it with --password-file");
    let wrong = folder.write("wrong.txt", "guess\n");
    cert(&["show", &pfx, "--password-file", &wrong]).assert_refused(3, "the password is wrong");
    let none = folder.write("none.txt", "\n");
    cert(&["show", &pfx, "--password-file", &none])
        .assert_refused(3, "there is no password in the first line");
    let missing = folder.text("missing.txt");
    cert(&["show", &pfx, "--password-file", &missing]).assert_refused(3, "missing.txt");
}

#[test]
fn the_help_of_each() {
    for command in ["show", "mint", "trust", "untrust"] {
        let ran = cert(&[command, "--help"]);
        assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
        insta::assert_snapshot!(format!("help_of_{command}"), ran.stdout);
    }
}
