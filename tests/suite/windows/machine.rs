//! The machine of an admin: one command through an outage, profiles that others wrote, the trust store, what is missing.

use super::*;
use crate::support::certificates::certificates;

/// Where the stand-ins for programs of Windows lie.
fn system_folder() -> PathBuf {
    let prefix = std::env::var_os("WINEPREFIX").expect("tests/other-systems names the folder of this Wine");
    PathBuf::from(prefix).join("drive_c/windows/system32")
}

/// A Windows without mstsc, as some servers are, until this ends.
struct WithoutMstsc {
    program: PathBuf,
    aside: PathBuf,
}

impl WithoutMstsc {
    fn begin() -> WithoutMstsc {
        let program = system_folder().join("mstsc.exe");
        let aside = program.with_extension("aside");
        std::fs::rename(&program, &aside).expect("it was there");
        WithoutMstsc { program, aside }
    }
}

impl Drop for WithoutMstsc {
    fn drop(&mut self) {
        std::fs::rename(&self.aside, &self.program).expect("it is put back");
    }
}

#[test]
fn without_mstsc_a_sentence_says_how_to_go_on() {
    let Some(windows) = under_wine() else { return };
    let _without = WithoutMstsc::begin();
    let ran = windows.run(&["proxy", "127.0.0.1:9", "--open", "--no-trace"]);
    ran.assert_refused(3, "this Windows has no mstsc to open: leave --open out and point a client elsewhere");
    let asked = windows.run(&["explain", "0x904", "0x7"]);
    assert_eq!(asked.exit_code, Some(0), "{}", asked.stderr);
    assert!(asked.stdout.contains("socket closed"), "{}", asked.stdout);
}

/// From the probe to the report, with mstsc for the session that the probe does not decide.
#[test]
fn a_run_leads_from_the_probe_to_the_report() {
    let Some(windows) = under_wine() else { return };
    if left_out_without(&["xrdp"]) {
        return;
    }
    let xrdp = Xrdp::start(&crate::support::peers::XrdpSetup {
        certificate: &certificates().expired,
        ..Xrdp::setup()
    });
    let folder = TempDir::new().expect("a temporary folder is made");
    let kept = seen_from_windows(folder.path());
    let target = xrdp.address.to_string();
    let arguments = ["run", &target, "--listen", "127.0.0.1:0", "--trace", &kept, "--runs", "2", "--client"];
    let ran = windows.run(&[&arguments[..], &[r"C:\windows\system32\mstsc.exe {rdp}", "--yes"]].concat());
    assert_eq!(ran.exit_code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("stand-in: "), "the client was not started:\n{}", ran.stderr);
    assert!(ran.stdout.contains("certificate-expired"), "{}", ran.stdout);
    let named =
        ran.stdout.lines().find_map(|line| line.strip_prefix("report     ")).expect("a report is named");
    assert!(named.starts_with(&kept) && named.ends_with(r"\report.html"), "{named}");
    let report = named.trim_start_matches("Z:").replace('\\', "/");
    let report = std::fs::read_to_string(report).expect("the report is there");
    for part in ["Probe of ", "Session with ", "certificate-expired"] {
        assert!(report.contains(part), "{part} is not in the report");
    }
}

#[test]
fn a_profile_is_judged_led_through_and_kept_in_its_encoding() {
    let Some(windows) = under_wine() else { return };
    let folder = TempDir::new().expect("a temporary folder is made");
    let profile = "full adress:s:x\r\nfull address:s:srv10\r\nusername:s:CORP\\jürgen\r\naudiomode:i:0\r\n";
    let wide: Vec<u8> = profile.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let path = folder.path().join("ärger.rdp");
    std::fs::write(&path, &wide).expect("a file is written");
    let path = seen_from_windows(&path);
    let ran = windows.run(&["rdp", "lint", &path]);
    assert_eq!(ran.exit_code, Some(1), "{}", ran.stderr);
    for part in ["ärger.rdp: 4 settings, UTF-16 (little endian) without a byte order mark", "full adress"] {
        assert!(ran.stdout.contains(part), "{part} is not in {}", ran.stdout);
    }
    let ran = windows.run(&["rdp", "retarget", &path]);
    assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
    let written: Vec<PathBuf> = std::fs::read_dir(folder.path())
        .expect("it is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|file| !file.ends_with("ärger.rdp"))
        .collect();
    let [written] = &written[..] else { panic!("{written:?}") };
    let bytes = std::fs::read(written).expect("it is there");
    let unit = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let has = |text: &str| bytes.windows(unit(text).len()).any(|part| part == unit(text));
    assert!(has("full address:s:127.0.0.1:13389\r\n") && has("username:s:CORP\\jürgen\r\n"), "{written:?}");
}

/// Wine's own root store of the user, which the program reads by the system's verifier. What Wine then lacks is a list of
/// what is revoked, without which Windows' verifier does, so that the way to the root is all that can be held here.
#[test]
fn a_ca_is_trusted_by_this_user_for_as_long_as_that_is_wanted() {
    let Some(windows) = under_wine() else { return };
    let folder = TempDir::new().expect("a temporary folder is made");
    let [ca, certificate] = ["ca", "srv10.pem"].map(|name| seen_from_windows(&folder.path().join(name)));
    let minted = windows.run(&["cert", "mint", "--for", "srv10", "--ca", &ca, "-o", &certificate]);
    assert_eq!(minted.exit_code, Some(0), "{}", minted.stderr);
    let leads_to_a_root = || {
        let ran = windows.run(&["cert", "show", &certificate, "--json"]);
        let line: Value = serde_json::from_str(&ran.stdout).expect("a line of JSON");
        let asked = &line["trust"][0];
        assert_eq!(asked["platform"], "Windows' verifier", "{line}");
        !asked["reason"].as_str().is_some_and(|reason| reason.contains("does not lead to a root"))
    };
    assert!(!leads_to_a_root());
    let trusted = windows.run(&["cert", "trust", &ca, "--run"]);
    assert_eq!(trusted.exit_code, Some(0), "{}", trusted.stderr);
    assert!(leads_to_a_root());
    let forgotten = windows.run(&["cert", "untrust", &ca, "--run"]);
    assert_eq!(forgotten.exit_code, Some(0), "{}", forgotten.stderr);
    assert!(!leads_to_a_root());
}

#[test]
fn a_policy_that_forbids_it_is_told_with_a_way_on() {
    let Some(windows) = under_wine() else { return };
    let mut command = windows.command();
    command.args([
        "proxy",
        "127.0.0.1:9",
        "--cert",
        "fresh",
        "--trust-ca",
        "--listen",
        "127.0.0.1:0",
        "--no-trace",
    ]);
    command.env("STAND_IN_POLICY", "1");
    let ran = run_command(command);
    assert_eq!(ran.exit_code, Some(3), "{}", ran.stderr);
    let told = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["certutil -user -addstore Root", "Access is denied", "nothing was done", "--cert file:PFX"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}
