//! What people see of captures, and what `report` finds of them.

use super::program::{analyze, run};
use crate::support::captures;

#[test]
fn the_first_line_is_the_answer() {
    let Some(folder) = captures::folder() else { return };
    let one = folder.join("awakecoding-wireshark-rdp/rdp-no-nla-rejected1.pcapng");
    let one_run = run(&[&one], &[]);
    assert!(one_run.stdout.starts_with("VERDICT    nla-required (confirmed): "), "{}", one_run.stdout);
    assert!(one_run.stdout.contains("rdp-no-nla-rejected1.pcapng: 6 packets in"), "{}", one_run.stdout);
    let two = folder.join("zeek/rdp-proprietary-encryption.pcap");
    let run = run(&[&two, &one], &[]);
    let first = run.stdout.lines().next().expect("a line");
    assert_eq!(first, "2 of 3 attempts failed: tls-refused-by-server, nla-required");
    // By their times, and of those that went well nothing more than the row.
    let rows = ["1  03:36:34.940", "2  03:36:37.524", "3  "];
    let mut lines = run.stdout.lines().skip(3);
    for row in rows {
        assert!(lines.next().is_some_and(|line| line.starts_with(row)), "{}", run.stdout);
    }
    assert!(run.stdout.contains("\n#1 ") && !run.stdout.contains("\n#2 ") && run.stdout.contains("\n#3 "));
}

#[test]
fn a_trace_of_a_capture_is_laid_out_as_a_live_one() {
    let Some(folder) = captures::folder() else { return };
    let temporary = tempfile::tempdir().expect("a folder");
    let capture = folder.join("lab/xrdp-tls12-ok.pcapng");
    let run = analyze(&[&capture], &["--trace".into(), temporary.path().as_os_str().to_owned()]);
    let session = run.attempts[0].header()["session"].as_str().expect("a session").to_owned();
    let written =
        std::fs::read_to_string(temporary.path().join(&session).join("trace.jsonl")).expect("a trace");
    let lines: Vec<serde_json::Value> =
        written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let printed: Vec<serde_json::Value> = run.attempts[0].json.clone();
    assert_eq!(lines.len(), printed.len());
    assert_eq!((&lines[0]["type"], &lines[lines.len() - 1]["type"]), (&"trace".into(), &"end".into()));
    let certificate = temporary.path().join(&session).join("certificates/server-1.pem");
    let certificate = std::fs::read_to_string(certificate).expect("a certificate");
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
}

/// Who refused stands in the packets, what is behind the gateway does not.
#[test]
fn a_target_that_nobody_named_is_not_invented() {
    let Some(folder) = captures::folder() else { return };
    let run = run(&[&folder.join("lab/gw-wrong-password.pcapng")], &[]);
    assert!(run.stdout.contains("rdpscope probe TARGET --gateway 127.0.0.1:13443"), "{}", run.stdout);
}

/// From a customer's capture to a page, and to a file that may be sent on, it is one command each.
#[test]
fn a_report_and_a_bundle_are_made_of_a_capture_itself() {
    let Some(folder) = captures::folder() else { return };
    let temporary = tempfile::tempdir().expect("a folder");
    let capture = folder.join("awakecoding-wireshark-rdp/rdp-nla-ntlm-rejected1.pcapng");
    let page = temporary.path().join("customer.html");
    let made = program("report", &capture, &page);
    assert!(made.status.success(), "{made:?}");
    let page = std::fs::read_to_string(&page).expect("a page");
    assert!(page.contains("nla-ntlm-refused") && page.contains("nla-required"), "both attempts, decrypted");
    let bundle = temporary.path().join("customer.zip");
    let made = program("bundle", &capture, &bundle);
    assert!(made.status.success() && bundle.exists(), "{made:?}");
    assert!(String::from_utf8_lossy(&made.stdout).contains(" of 2 sessions"), "{made:?}");
    let nothing = program("report", &folder.join("lab/gw-cert-denied.pcapng"), &bundle);
    let said = String::from_utf8_lossy(&nothing.stderr);
    assert_eq!(nothing.status.code(), Some(3), "{said}");
    assert!(said.contains("has no Remote Desktop in it that can be recognised"), "{said}");
}

fn program(command: &str, capture: &std::path::Path, out: &std::path::Path) -> std::process::Output {
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_rdpscope"));
    program.arg(command).arg(capture).arg("-o").arg(out).output().expect("the program runs")
}
