//! The flags and files of terminated TLS: what is refused before anything listens, with which sentence.

use super::cli::{Ran, run};
use crate::support::certificates::{Certificate, certificates};
use crate::support::left_out::left_out_without;
use crate::support::scripted::bytes::{HYBRID, SSL};
use crate::support::scripted::terminated::Trial;
use rdpscope_certs::load::certificate_pem;
use rustls::version::{TLS12, TLS13};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Stands in files and must be found in nothing that is written.
const PASSWORD: &str = "Kanari3n-Right-1234";

/// Nobody listens there, and nothing gets so far.
const TARGET: &str = "127.0.0.1:9";

fn proxy(arguments: &[&str]) -> Ran {
    let ran = run(
        &[&["proxy", TARGET, "--listen", "127.0.0.1:0", "--for", "1s", "--no-trace"], arguments].concat()
    );
    for written in [&ran.stdout, &ran.stderr] {
        assert!(!written.contains(PASSWORD) && !written.contains("PRIVATE KEY"), "a secret in:\n{written}");
    }
    ran
}

/// A folder for the files of one test.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        Files(TempDir::new().expect("a temporary folder is made"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).expect("a file is written");
        text(&self.path(name))
    }

    /// Certificate and key in one file.
    fn pem(&self, name: &str, certificate: &Certificate) -> String {
        self.write(name, [read(&certificate.certificate_file), read(&certificate.key_file)].concat())
    }

    /// The same behind [`PASSWORD`].
    fn pfx(&self, certificate: &Certificate) -> String {
        let password = format!("file:{}", self.write("pfx-password", PASSWORD));
        let mut openssl = Command::new("openssl");
        openssl.args(["pkcs12", "-export", "-passout", &password, "-out"]).arg(self.path("key.pfx"));
        openssl.arg("-in").arg(&certificate.certificate_file).arg("-inkey").arg(&certificate.key_file);
        assert!(openssl.status().expect("openssl runs").success());
        text(&self.path("key.pfx"))
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a plain path").to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file is read")
}

#[test]
fn flags_that_need_termination_say_so() {
    let files = Files::new();
    let ca = text(&files.path("ca.pem"));
    let given: [&[&str]; 7] = [
        &["--nla", "strip"],
        &["--nla", "terminate"],
        &["--tls", "1.2"],
        &["--ca-out", &ca],
        &["--ca", &ca],
        &["--credentials", &ca],
        &["--cert", "passthrough", "--renew-with", &ca],
    ];
    for arguments in given {
        let flag = arguments.iter().rfind(|word| word.starts_with("--")).expect("a flag");
        proxy(arguments).assert_refused(2, &format!("{flag} needs TLS to end in rdpscope: add --cert"));
    }
}

#[test]
fn words_that_mean_nothing_are_wrong_usage() {
    for (arguments, said) in [
        (["--cert", "bogus"], "bogus"),
        (["--cert", "mirror+bogus"], "bogus"),
        (["--cert", "file:"], "file:"),
        (["--tls", "1.3..1.2"], "1.3..1.2"),
        (["--tls", "1.4"], "1.4"),
        (["--nla", "bogus"], "bogus"),
    ] {
        let ran = proxy(&arguments);
        assert_eq!(ran.exit_code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    }
}

#[test]
fn credentials_are_for_terminated_nla_only() {
    let files = Files::new();
    let credentials = files.write("credentials", format!("username = anna\npassword = {PASSWORD}\n"));
    for nla in ["relay", "strip"] {
        proxy(&["--cert", "fresh", "--nla", nla, "--credentials", &credentials])
            .assert_refused(2, "--credentials is for --nla terminate");
    }
}

#[test]
fn a_key_is_not_written_over_by_the_certificate_of_the_ca() {
    let files = Files::new();
    let key = read(&certificates().signed.key_file);
    let path = files.write("own.pem", key.clone());
    proxy(&["--cert", "fresh", "--ca-out", &path]).assert_refused(2, "which would be lost");
    assert_eq!(read(Path::new(&path)), key);
}

#[test]
fn a_file_with_its_own_certificate_contradicts_a_ca() {
    let files = Files::new();
    let pem = format!("file:{}", files.pem("served.pem", &certificates().signed));
    for flag in ["--ca", "--ca-out", "--renew-with"] {
        proxy(&["--cert", &pem, flag, &text(&files.path("x"))])
            .assert_refused(2, &format!("{flag} makes no sense with --cert file:"));
    }
}

#[test]
fn certificates_in_files_that_cannot_be_served_say_why() {
    let files = Files::new();
    let (certificate, key) = (&certificates().signed.certificate_file, &certificates().signed.key_file);
    let (certificate, key) = (read(certificate), read(key));
    let half = &key[..key.len() / 2];
    for (content, said) in [
        (format!("{certificate}{half}"), "a PEM block in it is cut off"),
        (certificate[..certificate.len() / 2].to_owned(), "a PEM block in it is cut off"),
        (certificate.clone(), "there is no private key in it"),
        (key.clone(), "there is no certificate in it"),
        (
            format!("{certificate}{}", read(&certificates().expired.key_file)),
            "the private key in it belongs to none of the certificates in it",
        ),
        (String::new(), "it is neither PEM nor"),
        (PASSWORD.to_owned(), "it is neither PEM nor"),
    ] {
        let path = files.write("served.pem", content);
        proxy(&["--cert", &format!("file:{path}")]).assert_refused(3, said);
    }
    let missing = text(&files.path("missing.pem"));
    proxy(&["--cert", &format!("file:{missing}")]).assert_refused(3, "cannot read");
    proxy(&["--cert", "fresh", "--renew-with", &missing]).assert_refused(3, "cannot read");
}

#[test]
fn a_pfx_wants_its_own_password() {
    if left_out_without(&["openssl"]) {
        return;
    }
    let files = Files::new();
    let pfx = files.pfx(&certificates().signed);
    let wrong = files.write("wrong", "Kanari3n-Right-1234-not\n");
    let empty = files.write("empty", "\n");
    let binary = files.write("binary", [0xff, 0xfe, 0, 0xff]);
    let renew = ["--cert", "fresh", "--renew-with", &pfx];
    proxy(&renew).assert_refused(3, "and none was given; give it with --password-file FILE");
    let given = |file: &str| proxy(&[&renew[..], &["--password-file", file]].concat());
    given(&wrong).assert_refused(3, "the password is wrong");
    given(&empty).assert_refused(3, "there is no password in the first line of");
    given(&binary).assert_refused(3, "is not UTF-8");
    given(&text(&files.path("missing"))).assert_refused(3, "cannot read");
    let file = format!("file:{pfx}");
    proxy(&["--cert", &file]).assert_refused(3, "it is protected with a password, and none was given");
    proxy(&["--cert", &file, "--password-file", &wrong]).assert_refused(3, "the password is wrong");
    let right = given(&files.write("right", format!("{PASSWORD}\r\nnot this line\n")));
    assert_eq!(right.exit_code, Some(0), "{}", right.stderr);
}

#[test]
fn a_ca_that_cannot_be_written_or_is_exposed_is_refused() {
    let files = Files::new();
    let file = files.write("a-file", "");
    let renew = text(&certificates().signed.key_file);
    let fresh = ["--cert", "fresh", "--renew-with", &renew];
    let with = |flag: &str, path: &str| proxy(&[&fresh[..], &[flag, path]].concat());
    let below_a_file = format!("{file}/ca.pem");
    with("--ca-out", &below_a_file).assert_refused(3, "cannot write the CA's certificate to");
    with("--ca", &below_a_file).assert_refused(3, &below_a_file);

    let folder = text(&files.path("ca"));
    let made = with("--ca", &folder);
    assert_eq!(made.exit_code, Some(0), "{}", made.stderr);
    let kept = text(&Path::new(&folder).join("ca.pem"));
    assert!(made.stderr.contains(&format!("the session CA is in {kept} (")), "{}", made.stderr);
    assert!(!made.stderr.contains("--ca-out"), "it is written already: {}", made.stderr);
    let key = std::fs::read_dir(&folder)
        .expect("the folder is made")
        .map(|entry| entry.expect("an entry is read").path())
        .find(|path| read(path).contains("PRIVATE KEY"))
        .expect("the key is there");
    let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&key), 0o600, "{}", key.display());
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).expect("its mode is changed");
    with("--ca", &folder).assert_refused(3, "may be read by others");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).expect("its mode is changed");
    std::fs::write(&key, &read(&key)[..80]).expect("half of it is left");
    let broken = with("--ca", &folder);
    broken.assert_refused(3, &folder);
}

/// Who has to look at them again finds them beside the trace, and no key among them.
#[test]
fn the_servers_certificates_and_those_that_were_shown_are_kept() {
    for version in [&TLS12, &TLS13] {
        let inside = Trial::new(&[]).negotiated(SSL).in_tls(version);
        let shown = certificate_pem(&inside.client.peer_certificate());
        let finished = inside.finish();
        let kept = &finished.session().certificates;
        let names: Vec<&str> = kept.keys().map(String::as_str).collect();
        assert_eq!(names[..2], ["presented-1.pem", "presented-2.pem"], "the leaf and its CA");
        assert_eq!(kept["presented-1.pem"], shown);
        for (der, number) in certificates().signed.for_rustls().0.iter().zip(1..) {
            assert_eq!(kept[&format!("server-{number}.pem")], certificate_pem(der));
        }
        assert!(kept.values().all(|pem| !pem.contains("PRIVATE")), "{names:?}");
    }
}

/// What is asked for is served, and the trace says what it is.
#[test]
fn an_expired_certificate_of_a_file_is_served_as_it_is() {
    let files = Files::new();
    let pem = format!("file:{}", files.pem("served.pem", &certificates().expired));
    let inside = Trial::with(&["--cert", &pem]).negotiated(SSL).in_tls(&TLS13);
    let served = inside.client.peer_certificate();
    assert_eq!(served, certificates().expired.for_rustls().0[0].to_vec());
    let finished = inside.finish();
    let session = finished.session();
    let presented = session.event("certificate_presented");
    assert_eq!(presented["chain"][0]["not_after"], "2021-01-01T00:00:00Z", "{presented}");
    assert_eq!(presented["same_key"], false, "{presented}");
    assert!(presented["mode"].to_string().contains("file:"), "{presented}");
}

#[test]
fn renewing_with_another_key_works_and_foresees_what_nla_will_say() {
    let key = text(&certificates().expired.key_file);
    let inside = Trial::with(&["--cert", "fresh", "--renew-with", &key]).negotiated(HYBRID).in_tls(&TLS13);
    let finished = inside.finish();
    finished.assert_nowhere("PRIVATE KEY");
    let session = finished.session();
    assert_eq!(session.event("certificate_presented")["same_key"], false, "{session}");
    session.event("key_binding_foreseen");
}
