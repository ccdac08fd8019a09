//! What packages are made of: manual pages, the parts list, the licences of third parties.

use super::root;
use crate::support::left_out::left_out_without;
use crate::support::rdpscope::program;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

fn run(command: &mut Command) -> Output {
    let output = command.current_dir(root()).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn manual_pages_are_clean() {
    let folder = tempfile::tempdir().expect("a temporary folder is made");
    run(program().arg("--quiet").arg("man").arg(folder.path()));
    let pages: Vec<_> = std::fs::read_dir(folder.path())
        .expect("it reads")
        .filter_map(Result::ok)
        .map(|it| it.path())
        .collect();
    assert!(pages.len() > 12, "{pages:?}");
    if left_out_without(&["mandoc"]) {
        return;
    }
    for page in pages {
        let output = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&page).output();
        let output = output.expect("mandoc runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn the_parts_list_has_what_is_linked_and_every_licence_is_known() {
    if left_out_without(&["python3"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder is made");
    run(Command::new("python3").arg("packaging/parts.py").arg("--out").arg(folder.path()));
    let list: Value = serde_json::from_str(&read(&folder.path().join("rdpscope.cdx.json"))).expect("JSON");
    assert_eq!((list["bomFormat"].as_str(), list["specVersion"].as_str()), (Some("CycloneDX"), Some("1.5")));
    assert_eq!(list["metadata"]["component"]["name"], "rdpscope");
    let parts = list["components"].as_array().expect("a list");
    let names: BTreeSet<&str> = parts.iter().filter_map(|part| part["name"].as_str()).collect();
    for linked in ["tokio", "rustls", "ring", "openssl-src", "rdpscope-certs"] {
        assert!(names.contains(linked), "{linked} is linked");
    }
    for foreign in ["insta", "proptest", "jsonschema", "serde_derive"] {
        assert!(!names.contains(foreign), "{foreign} is not linked");
    }
    let references: BTreeSet<&str> = parts.iter().filter_map(|part| part["bom-ref"].as_str()).collect();
    assert_eq!(references.len(), parts.len());
    for part in parts {
        let licence = part["licenses"][0]["expression"].as_str().unwrap_or_default();
        assert!(!licence.is_empty() && licence != "NOASSERTION", "{part}");
        let is_ours = part["name"].as_str().is_some_and(|name| name.starts_with("rdpscope"));
        assert!(
            is_ours || part["hashes"][0]["content"].as_str().is_some_and(|sum| sum.len() == 64),
            "{part}"
        );
    }
    for entry in list["dependencies"].as_array().expect("a list") {
        for need in entry["dependsOn"].as_array().expect("a list") {
            assert!(need.as_str().is_some_and(|need| references.contains(need)), "{need}");
        }
    }
    let licences = read(&folder.path().join("THIRD-PARTY-LICENCES.txt"));
    for part in parts.iter().filter(|part| !part["name"].as_str().unwrap_or_default().starts_with("rdpscope"))
    {
        let line = format!(
            "\n{} {}: ",
            part["name"].as_str().unwrap_or_default(),
            part["version"].as_str().unwrap_or_default()
        );
        assert!(licences.contains(&line), "{line}");
    }
    assert!(licences.contains("Permission is hereby granted") && licences.contains("Apache License"));
}

#[test]
fn a_zip_for_windows_and_its_manifest_agree() {
    if left_out_without(&["python3"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder is made");
    let stand_in = folder.path().join("stand-in.exe");
    std::fs::write(&stand_in, b"MZ").expect("it is written");
    let build = || {
        let mut command = Command::new(root().join("packaging/build"));
        command.env("SOURCE_DATE_EPOCH", "1767225600");
        command
    };
    let out = |folder: &Path| folder.join("out");
    for name in ["one", "two"] {
        let folder = folder.path().join(name);
        run(build().arg("zip").arg("--binary").arg(&stand_in).arg("--out").arg(out(&folder)));
    }
    let zip = format!("rdpscope-{}-x86_64-pc-windows-gnu.zip", env!("CARGO_PKG_VERSION"));
    let zips = ["one", "two"].map(|name| out(&folder.path().join(name)).join(&zip));
    let [bytes, again] = zips.map(|path| std::fs::read(path).expect("a zip"));
    assert!(bytes == again, "the same program gives the same zip");
    let url = format!("https://example.com/{zip}");
    let one = out(&folder.path().join("one"));
    run(build().args(["winget", "--url", &url, "--out"]).arg(&one));
    let manifests = one.join("winget").join(env!("CARGO_PKG_VERSION"));
    let installer = read(&manifests.join("rdpscope.rdpscope.installer.yaml"));
    let checksum = ring::digest::digest(&ring::digest::SHA256, &bytes);
    assert!(installer.contains(&format!("InstallerSha256: {}", hex::encode_upper(checksum))), "{installer}");
    assert!(installer.contains(&url) && installer.contains("ManifestVersion: 1.6.0"), "{installer}");
    for end in ["", ".locale.en-US"] {
        let manifest = read(&manifests.join(format!("rdpscope.rdpscope{end}.yaml")));
        assert!(manifest.contains(&format!("PackageVersion: {}", env!("CARGO_PKG_VERSION"))), "{manifest}");
    }
    let refused = build().arg("winget").output().expect("it runs");
    assert_eq!(refused.status.code(), Some(3));
}
