//! What packages are made of: manual pages, the parts list, the licences of third parties.

use super::root;
use crate::support::left_out::{left_out_without, say_left_out};
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
    let listed = |more: &[&str]| {
        let folder = tempfile::tempdir().expect("a temporary folder is made");
        let mut build = Command::new(root().join("packaging/build"));
        run(build.arg("sbom").args(more).arg("--out").arg(folder.path()));
        let list: Value =
            serde_json::from_str(&read(&folder.path().join("rdpscope.cdx.json"))).expect("JSON");
        (list, folder)
    };
    let has_openssl = |list: &Value| {
        list["components"].as_array().is_some_and(|parts| parts.iter().any(|it| it["name"] == "openssl-src"))
    };
    assert!(!has_openssl(&listed(&[]).0), "it is in no program without the second TLS stack");
    let (list, folder) = listed(&["--legacy-tls"]);
    assert_eq!((list["bomFormat"].as_str(), list["specVersion"].as_str()), (Some("CycloneDX"), Some("1.5")));
    assert_eq!(list["metadata"]["component"]["name"], "rdpscope");
    let parts = list["components"].as_array().expect("a list");
    let names: BTreeSet<&str> = parts.iter().filter_map(|part| part["name"].as_str()).collect();
    assert!(has_openssl(&list));
    for linked in ["tokio", "rustls", "ring", "rdpscope-certs"] {
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

/// What `packaging/build KIND` makes of the program under test, in a folder of its own.
fn packed(kind: &[&str]) -> tempfile::TempDir {
    let out = tempfile::tempdir().expect("a temporary folder is made");
    let mut command = Command::new(root().join("packaging/build"));
    command.args(kind).arg("--binary").arg(program().get_program()).arg("--out").arg(out.path());
    command.env("SOURCE_DATE_EPOCH", "1767225600").env("DEBEMAIL", "packager@example.org");
    // A debug program has a hundred megabytes.
    run(command.env("DPKG_DEB_COMPRESSOR_TYPE", "gzip").env("DPKG_DEB_COMPRESSOR_LEVEL", "1"));
    out
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Installed, run, read and removed in a root of its own; lintian has nothing to say against it.
#[test]
fn a_package_for_debian_installs_runs_and_leaves_nothing() {
    if left_out_without(&["python3", "dpkg-deb", "dpkg-shlibdeps", "mandoc"]) {
        return;
    }
    if !is_root() {
        return say_left_out("only root installs packages");
    }
    let out = packed(&["deb"]);
    let package = files(out.path()).into_iter().find(|file| file.extension().is_some_and(|end| end == "deb"));
    let package = package.expect("a package is made");
    let told = run(Command::new("dpkg-deb").arg("--field").arg(&package));
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("Package: rdpscope\n") && told.contains("Depends: libc6 (>= "), "{told}");

    let place = tempfile::tempdir().expect("a temporary folder is made");
    let root_folder = place.path();
    let database = root_folder.join("var/lib/dpkg");
    std::fs::create_dir_all(database.join("updates")).expect("folders are made");
    std::fs::create_dir_all(database.join("info")).expect("folders are made");
    std::fs::write(database.join("status"), b"").expect("a file is written");
    let dpkg = |words: &[&str], last: &std::ffi::OsStr| {
        let mut command = Command::new("dpkg");
        command.arg("--root").arg(root_folder).arg("--log=/dev/null").args(words).arg(last);
        run(&mut command)
    };
    dpkg(&["--force-depends", "--install"], package.as_os_str());
    let installed = files(root_folder);
    assert!(installed.len() > 20, "{installed:?}");
    let version = run(Command::new(root_folder.join("usr/bin/rdpscope")).arg("--version"));
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("rdpscope "), "{version:?}");
    let page = root_folder.join("usr/share/man/man1/rdpscope-proxy.1.gz");
    let page = run(Command::new("mandoc").args(["-T", "ascii"]).arg(page));
    assert!(String::from_utf8_lossy(&page.stdout).contains("--listen"), "{page:?}");
    dpkg(&["--purge"], "rdpscope".as_ref());
    let left: Vec<_> = files(root_folder).into_iter().filter(|file| !file.starts_with(&database)).collect();
    assert!(left.is_empty(), "{left:?}");

    if !left_out_without(&["lintian"]) {
        let arguments = ["--allow-root", "--fail-on", "error,warning", "--suppress-tags", NOT_DEBIANS_OWN];
        run(Command::new("lintian").args(arguments).arg(&package));
    }
}

/// What lintian asks of packages that Debian itself distributes.
const NOT_DEBIANS_OWN: &str = "initial-upload-closes-no-bugs";

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("it reads").filter_map(Result::ok);
    let below = |path: std::path::PathBuf| {
        if path.is_dir() && !path.is_symlink() { files(&path) } else { vec![path] }
    };
    entries.flat_map(|entry| below(entry.path())).collect()
}

/// The lines of the container file, done to a folder as an engine does them to an image.
#[test]
fn a_container_runs_as_its_file_says() {
    if left_out_without(&["python3", "chroot"]) {
        return;
    }
    if !is_root() {
        return say_left_out("only root changes the root of a process");
    }
    let out = packed(&["container", "--engine", "none"]);
    let folder = out.path().join("container");
    let text = read(&folder.join("Containerfile"));
    let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("    "));
    let mut value = |name: &str| {
        let line = lines.next().unwrap_or_default();
        line.strip_prefix(name).unwrap_or_else(|| panic!("{name} is not next: {line}")).trim().to_owned()
    };
    assert_eq!(value("FROM"), "scratch");
    assert_eq!(value("COPY"), "root/ /");
    let user = value("USER");
    let work_folder = value("WORKDIR");
    let environment = value("ENV");
    let list = |text: String| serde_json::from_str::<Vec<String>>(&text).expect("a list of words");
    let (entry, usual) = (list(value("ENTRYPOINT")), list(value("CMD")));
    assert_eq!(lines.next(), None, "a line that this test does not know");

    let image = folder.join("root");
    // As engines do for every container.
    std::fs::write(image.join("etc/hosts"), "127.0.0.1 localhost\n").expect("a file is written");
    let inside = |arguments: &[String]| {
        let mut command = Command::new("chroot");
        command.arg(format!("--userspec={user}")).arg(&image).args(&entry).args(arguments);
        let (name, value) = environment.split_once('=').expect("a name and its value");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env(name, value);
        command.output().expect("chroot runs")
    };
    let help = inside(&usual);
    assert!(String::from_utf8_lossy(&help.stdout).contains("Usage: rdpscope"), "{help:?}");
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let probed = inside(&words(&format!("probe 127.0.0.1:1 --output {work_folder}/probe.jsonl")));
    assert_eq!(probed.status.code(), Some(1), "{probed:?}");
    assert!(String::from_utf8_lossy(&probed.stdout).contains("tcp-refused (confirmed)"), "{probed:?}");
    let kept = read(&image.join(work_folder.trim_start_matches('/')).join("probe.jsonl"));
    assert!(kept.contains("tcp-refused"), "{kept}");
    let named = inside(&words("probe localhost:1"));
    assert!(String::from_utf8_lossy(&named.stdout).contains("tcp-refused"), "names are looked up: {named:?}");
}
