//! Profiles that others wrote, good and bad, in the folder that `RDP_CAPTURES` names.

use super::*;
use crate::support::left_out::say_left_out;
use rdpscope::rdpfile::Profile;
use rdpscope::rdpfile::lint::lint;

/// What is to be found in each: ids of findings that matter, and none where the profile is sound.
const EXPECTED: [(&str, &[&str]); 18] = [
    ("freerdp/test1.rdp", &[]),
    ("freerdp/test2.rdp", &[]),
    ("freerdp/test3.rdp", &[]),
    ("mremoteng/test_remotedesktopconnection.rdp", &[]),
    ("psign/malformed-lines.rdp", &["no-setting", "no-setting", "unknown-type"]),
    ("psign/minimal.rdp", &[]),
    ("psign/missing-full-address.rdp", &["no-address"]),
    ("psign/partial-signed-scope.rdp", &["no-signature"]),
    ("psign/signed-test-cert.rdp", &[]),
    ("psign/signscope-missing-field.rdp", &["no-signature"]),
    ("psign/unsigned-utf16be-bom.rdp", &["encoding"]),
    ("psign/unsigned-utf16be-nobom.rdp", &["encoding"]),
    ("psign/unsigned-utf16le-bom.rdp", &[]),
    ("psign/unsigned-utf16le-nobom.rdp", &["encoding"]),
    ("psign/unsigned-utf8-bom.rdp", &["encoding"]),
    ("psign/unsigned-utf8.rdp", &[]),
    ("psign/with-stale-signature.rdp", &["stale-signature"]),
    ("rdpgw/rdp_test_file.rdp", &["no-address", "no-nla", "saved-password", "unknown-setting"]),
];

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("RDP_CAPTURES").map(|folder| Path::new(&folder).join("rdpfiles"));
    if folder.is_none() {
        say_left_out("RDP_CAPTURES names no folder of captures");
    }
    folder
}

#[test]
fn each_is_judged_as_it_deserves() {
    let Some(folder) = folder() else { return };
    for (name, expected) in EXPECTED {
        let path = folder.join(name);
        let ran = rdp(&["lint", text(&path), "--json"]);
        let lines = json(&ran);
        let matters =
            lines.iter().filter(|line| matches!(line["severity"].as_str(), Some("error" | "warning")));
        let mut ids: Vec<&str> = matters.filter_map(|line| line["id"].as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, expected, "{name}:\n{}", ran.stdout);
        assert_eq!(ran.exit_code, Some(i32::from(!expected.is_empty())), "{name}");
    }
}

#[test]
fn the_signature_of_one_fits_until_somebody_changes_a_line() {
    let Some(folder) = folder() else { return };
    let bytes = std::fs::read(folder.join("psign/signed-test-cert.rdp")).expect("the file is there");
    let mut profile = Profile::read(&bytes);
    let ids = |profile: &Profile| lint(profile).iter().map(|finding| finding.id).collect::<Vec<_>>();
    assert!(ids(&profile).contains(&"signed"), "{:?}", ids(&profile));
    profile.replace_value(0, "server.example.net");
    assert!(ids(&profile).contains(&"stale-signature"), "{:?}", ids(&profile));
}

/// What is led through the proxy keeps its encoding, its line ends, and every line that is not told of.
#[test]
fn each_is_rewritten_with_every_other_line_as_it_was() {
    let Some(folder) = folder() else { return };
    let written = TempDir::new().expect("a temporary folder is made");
    let mut rewritten = 0;
    for (name, _) in EXPECTED {
        let path = folder.join(name);
        let before = std::fs::read(&path).expect("the file is there");
        let profile = Profile::read(&before);
        assert_eq!(profile.bytes(), before, "{name}");
        let output = written.path().join(name.replace('/', "-"));
        let ran = rdp(&["retarget", text(&path), "-o", text(&output), "--json"]);
        if ran.exit_code == Some(3) {
            assert!(ran.stderr.contains("names no machine"), "{name}: {}", ran.stderr);
            continue;
        }
        assert_eq!(ran.exit_code, Some(0), "{name}: {}", ran.stderr);
        rewritten += 1;
        let after = Profile::read(&std::fs::read(&output).expect("it is written"));
        assert_eq!(after.encoding(), profile.encoding(), "{name}");
        let report = &json(&ran)[0];
        let changes = report["changes"].as_array().expect("changes");
        let touched =
            |line: usize| changes.iter().find(|change| change["line"] == line && !change["before"].is_null());
        let mut now = after.lines().iter();
        for (index, line) in profile.lines().iter().enumerate() {
            match touched(index + 1) {
                None => assert_eq!(now.next(), Some(line), "{name}, line {}", index + 1),
                Some(change) if change["after"].is_null() => {}
                Some(change) => {
                    let text = now.next().map(|line| line.text.as_str());
                    assert_eq!(text, change["after"].as_str(), "{name}, line {}", index + 1);
                }
            }
        }
        let added = changes.iter().filter(|change| change["before"].is_null()).count();
        assert_eq!(now.count(), added, "{name}");
    }
    assert_eq!(rewritten, 16);
}
