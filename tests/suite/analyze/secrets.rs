//! Secrets that fit, secrets that do not, and that none of them is told.

use super::program::{analyze, run};
use crate::support::captures;
use crate::support::left_out::left_out_without;
use rdpscope::trace::Side;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

fn with(flag: &str, file: &Path) -> Vec<OsString> {
    vec![flag.into(), file.as_os_str().to_owned()]
}

/// Secrets of a session that never was.
fn foreign_key_log(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("keys.log");
    let line = format!("CLIENT_RANDOM {} {}\n", "ab".repeat(32), "cd".repeat(48));
    std::fs::write(&path, line).expect("written");
    path
}

#[test]
fn a_key_log_that_fits_nothing_is_told_and_changes_nothing() {
    let Some(folder) = captures::folder() else { return };
    let temporary = tempfile::tempdir().expect("a folder");
    let capture =
        folder.join("microsoft-prot-od-netcaps/MS-RDSOD_Example_1_Win10RS3_x64_WS2016RS1_X64_Domain.pcap");
    let run = analyze(&[&capture], &with("--keylog", &foreign_key_log(temporary.path())));
    assert_eq!((run.exit, run.attempts[0].judged()), (Some(0), "healthy (likely)".to_owned()));
    assert!(run.stderr.contains("none of the 1 secrets given fits a TLS session in"), "{}", run.stderr);
}

#[test]
fn what_is_no_key_log_and_no_key_is_refused() {
    let temporary = tempfile::tempdir().expect("a folder");
    let path = temporary.path().join("notes.txt");
    std::fs::write(&path, "nothing of the kind\n").expect("written");
    for (flag, expected) in [("--keylog", "is no key log"), ("--key", "private key")] {
        let run = run(&[Path::new("any.pcap")], &with(flag, &path));
        assert_eq!(run.exit, Some(3), "{run:?}");
        assert!(run.stderr.lines().count() == 1 && run.stderr.contains(expected), "{run:?}");
    }
}

#[test]
fn the_servers_private_key_opens_an_old_session() {
    let Some(folder) = captures::folder() else { return };
    let capture = folder.join("freerdp-old/rdp_tls_ntlmssp_access_denied.pcap");
    let key = folder.join("freerdp-old/server.key");
    if !key.exists() {
        return;
    }
    let run = analyze(&[&capture], &with("--key", &key));
    let credssp = run.attempts[0].observed.summary.credssp.as_ref().expect("CredSSP is read");
    assert_eq!((credssp.version, credssp.mechanism.as_deref()), (Some(2), Some("NTLM")));
}

/// The same key as Windows exports it, and behind a passphrase.
#[test]
fn a_private_key_behind_a_password_opens_it_too() {
    let Some(folder) = captures::folder() else { return };
    let key = folder.join("freerdp-old/server.key");
    if !key.exists() || left_out_without(&["openssl"]) {
        return;
    }
    let capture = folder.join("freerdp-old/rdp_tls_ntlmssp_access_denied.pcap");
    let temporary = tempfile::tempdir().expect("a folder");
    let at = |name: &str| temporary.path().join(name);
    std::fs::write(at("right"), "canary password\n").expect("written");
    std::fs::write(at("wrong"), "another\n").expect("written");
    let pass = format!("file:{}", at("right").display());
    openssl(&["pkcs12", "-export", "-nocerts", "-passout", &pass, "-inkey"], &key, &at("key.pfx"));
    openssl(&["pkcs8", "-topk8", "-passout", &pass, "-in"], &key, &at("key.pem"));
    for name in ["key.pfx", "key.pem"] {
        let with_key = with("--key", &at(name));
        let right = [with_key.clone(), with("--key-password-file", &at("right"))].concat();
        let opened = analyze(&[&capture], &right);
        assert!(opened.attempts[0].observed.summary.credssp.is_some(), "{name}: {opened:?}");
        let wrong = [with_key.clone(), with("--key-password-file", &at("wrong"))].concat();
        for (arguments, expected) in
            [(&wrong, "the password is wrong"), (&with_key, "--key-password-file FILE")]
        {
            let refused = run(&[&capture], arguments);
            assert_eq!((refused.exit, refused.stderr.lines().count()), (Some(3), 1), "{name}: {refused:?}");
            assert!(refused.stderr.contains(expected) && refused.stdout.is_empty(), "{name}: {refused:?}");
            assert!(!refused.stderr.contains("canary"), "{refused:?}");
        }
    }
    let alone = run(&[&capture], &with("--key-password-file", &at("right")));
    assert_eq!(alone.exit, Some(2), "{alone:?}");
}

fn openssl(arguments: &[&str], key: &Path, out: &Path) {
    let mut command = std::process::Command::new("openssl");
    let made = command.args(arguments).arg(key).arg("-out").arg(out).output().expect("openssl runs");
    assert!(made.status.success(), "{made:?}");
}

/// What a client says inside TLS to prove who it is, and the secrets that open TLS: nothing of it is in any output or trace.
#[test]
fn no_secret_of_a_decrypted_session_is_told() {
    let Some(folder) = captures::folder() else { return };
    let temporary = tempfile::tempdir().expect("a folder");
    let (mut canaries, mut told) = (BTreeSet::new(), String::new());
    for (name, truth) in captures::truths(&folder) {
        let file = folder.join(truth["file"].as_str().expect("the capture's name"));
        let conversations = captures::conversations(&folder, &name, &truth);
        let pieces = conversations.iter().filter_map(|conversation| conversation.inside.as_ref()).flatten();
        let of_client = pieces.filter(|piece| piece.from == Side::Client);
        let before = canaries.len();
        of_client.for_each(|piece| canaries.extend(proofs(&piece.bytes)));
        canaries.extend(secrets_inside(&std::fs::read(&file).expect("the capture is read")));
        if canaries.len() == before {
            continue;
        }
        for how in ["-vv", "--json"] {
            let traces = temporary.path().join(format!("{name}{how}"));
            let arguments = [vec![how.into()], with("--trace", &traces)].concat();
            let run = run(&[&file], &arguments);
            told.push_str(&run.stdout);
            told.push_str(&run.stderr);
            told.push_str(&everything_below(&traces));
        }
    }
    assert!(told.contains("ts_request") && canaries.len() > 100, "{} canaries", canaries.len());
    let told = told.to_lowercase();
    let leaked: Vec<&String> =
        canaries.iter().filter(|canary| told.contains(&canary.to_lowercase())).collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}

/// Pieces of what looks like proofs and tickets in a TSRequest, in hex: those that are neither text nor padding.
fn proofs(plaintext: &[u8]) -> BTreeSet<String> {
    const DER_SEQUENCE: u8 = 0x30;
    if plaintext.first() != Some(&DER_SEQUENCE) {
        return BTreeSet::new();
    }
    let is_random = |piece: &&[u8]| piece.iter().collect::<BTreeSet<_>>().len() == piece.len();
    plaintext.chunks_exact(16).filter(is_random).map(hex::encode).collect()
}

/// The secrets of key logs in a capture.
fn secrets_inside(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split('\n').filter(|line| {
        ["CLIENT_RANDOM ", "CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "]
            .iter()
            .any(|label| line.contains(label))
    });
    let secret = |line: &str| line.split_whitespace().last().filter(|it| it.len() >= 64).map(str::to_owned);
    lines.filter_map(secret).collect()
}

fn everything_below(folder: &Path) -> String {
    let mut text = String::new();
    for path in captures::files(folder) {
        match path.is_dir() {
            true => text.push_str(&everything_below(&path)),
            false => text.push_str(&String::from_utf8_lossy(&std::fs::read(&path).expect("a trace is read"))),
        }
    }
    text
}
