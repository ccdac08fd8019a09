//! `rdpscope cert trust` and `untrust`.

use super::*;

fn minted() -> Folder {
    let folder = Folder::new();
    let (ca, out) = (folder.text("ca"), folder.text("srv10.pem"));
    let ran = cert(&["mint", "--for", "srv10", "--ca", &ca, "-o", &out]);
    assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
    folder
}

#[test]
fn the_commands_of_each_system_are_printed() {
    let folder = minted();
    let ca = folder.text("ca");
    for (system, trust, untrust) in [
        ("windows", "certutil -user -addstore Root", "certutil -user -delstore Root"),
        ("macos", "security add-trusted-cert -r trustRoot", "security remove-trusted-cert"),
        (
            "debian",
            "sudo update-ca-certificates --fresh",
            "sudo rm -- /usr/local/share/ca-certificates/rdpscope-",
        ),
        ("fedora", "sudo update-ca-trust", "sudo rm -- /etc/pki/ca-trust/source/anchors/rdpscope-"),
        ("arch", "sudo update-ca-trust", "sudo rm -- /etc/ca-certificates/trust-source/anchors/rdpscope-"),
    ] {
        for (action, command) in [("trust", trust), ("untrust", untrust)] {
            let ran = cert(&[action, &ca, "--system", system]);
            assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
            assert!(ran.stdout.lines().any(|line| line.starts_with(command)), "{}", ran.stdout);
            let line = json(&cert(&[action, &ca, "--system", system, "--json"]));
            let commands = line["commands"].as_array().expect("commands");
            assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), *commands);
            assert_eq!((&line["action"], &line["done"]), (&action.into(), &false.into()));
        }
    }
}

#[test]
fn a_ca_that_may_sign_for_anybody_is_warned_about() {
    let ran = cert(&["trust", text(&certificates().authority_file), "--system", "debian"]);
    assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with("warning: CN=rdpscope test authority may sign for any name"),
        "{}",
        ran.stderr
    );
    assert!(ran.stdout.starts_with("sudo install"), "{}", ran.stdout);
    let undo = cert(&["untrust", text(&certificates().authority_file), "--system", "debian"]);
    assert_eq!(undo.stderr, "");
}

#[test]
fn what_is_no_ca_is_refused() {
    let folder = minted();
    let certificates = certificates();
    let ca = folder.read("ca/ca.pem");
    let two = folder.write("two.pem", [&ca[..], &ca].concat());
    let der = folder.write("ca.der", &certificates.authority_der);
    for (file, said) in [
        (text(&certificates.signed.certificate_file), "is no CA's certificate but that of CN=localhost"),
        (&folder.text("srv10.pem"), "holds a private key too"),
        (&folder.text("ca/ca-key.pem"), "holds a private key too"),
        (&two, "holds 2 certificates"),
        (&der, "is not PEM"),
        (text(folder.folder.path()), "it is no folder of --ca"),
        (&folder.text("missing.pem"), "cannot read"),
    ] {
        for action in ["trust", "untrust"] {
            cert(&[action, file, "--system", "debian"]).assert_refused(3, said);
        }
    }
}

#[cfg(target_os = "linux")]
mod run {
    use super::*;
    use crate::support::left_out::say_left_out;
    use crate::support::rdpscope::program;

    /// Everything that trusting touches lies in memory that goes away with the namespace.
    const APART: &str = r#"
        set -e
        for folder in /usr/local/share/ca-certificates /etc/ssl/certs; do
            copy=$(mktemp -d)
            cp -a "$folder/." "$copy"
            mount -t tmpfs tmpfs "$folder"
            cp -a "$copy/." "$folder"
            rm -r "$copy"
        done
        unset SSL_CERT_FILE SSL_CERT_DIR
        inside() { find /usr/local/share/ca-certificates /etc/ssl/certs | sort; cat /etc/ssl/certs/ca-certificates.crt; }
        trusted() { echo "$1 $("$RDPSCOPE" cert show srv10.pem --json | grep -o '"trusted":[a-z]*' | head -n 1)"; }
        update-ca-certificates --fresh >&2
        inside > before
        trusted before
        "$RDPSCOPE" cert trust ca --run
        trusted while
        "$RDPSCOPE" cert untrust ca --run
        trusted after
        inside > after
        cmp before after && echo same
        "$RDPSCOPE" cert untrust ca --run || echo "twice $?"
    "#;

    #[test]
    fn it_is_trusted_and_then_forgotten() {
        if left_out_without(&["unshare", "update-ca-certificates"]) {
            return;
        }
        if !Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|ran| ran.status.success()) {
            say_left_out("no mount namespaces here");
            return;
        }
        let folder = minted();
        let installed = Path::new("/usr/local/share/ca-certificates");
        let list = || std::fs::read_dir(installed).map_or(0, Iterator::count);
        let outside = (list(), std::fs::read("/etc/ssl/certs/ca-certificates.crt").ok());
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", APART]).current_dir(folder.folder.path());
        command.env("RDPSCOPE", program().get_program());
        let ran = crate::cli::run_command(command);
        let said: Vec<&str> = ran.stdout.lines().collect();
        let [before, trust, during, untrust, after, same, twice] = said[..] else {
            panic!("{said:?}\n{}", ran.stderr)
        };
        assert_eq!((before, during), (r#"before "trusted":false"#, r#"while "trusted":true"#));
        assert_eq!((after, same, twice), (r#"after "trusted":false"#, "same", "twice 3"));
        assert!(trust.ends_with("is trusted now; undo it with `rdpscope cert untrust ca --run`"), "{trust}");
        assert!(untrust.ends_with("is not trusted any more, and nothing else was changed"), "{untrust}");
        assert!(ran.stderr.contains("running: sudo install -m 0644 ca/ca.pem"), "{}", ran.stderr);
        assert!(ran.stderr.contains("nothing was done"), "{}", ran.stderr);
        assert_eq!((list(), std::fs::read("/etc/ssl/certs/ca-certificates.crt").ok()), outside);
    }
}
