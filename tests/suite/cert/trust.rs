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
    use std::time::Duration;

    /// Every change takes some hundred files, several times a test, on a machine that also compiles.
    const WITHIN: Duration = Duration::from_secs(240);

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
        export XDG_DATA_HOME="$PWD/data"
        inside() { find /usr/local/share/ca-certificates /etc/ssl/certs | sort; cat /etc/ssl/certs/ca-certificates.crt; }
        update-ca-certificates --fresh >&2
        inside > before
    "#;

    const FOR_GOOD: &str = r#"
        trusted() { echo "$1 $("$RDPSCOPE" cert show srv10.pem --json | grep -o '"trusted":[a-z]*' | head -n 1)"; }
        trusted before
        "$RDPSCOPE" cert trust ca --run
        trusted while
        "$RDPSCOPE" cert untrust ca --run
        trusted after
        inside > after
        cmp before after && echo same
        "$RDPSCOPE" cert untrust ca --run || echo "twice $?"
    "#;

    /// Runs `script` apart from this machine's own store; `None` where that cannot be.
    fn apart(script: &str) -> Option<Ran> {
        if left_out_without(&["unshare", "update-ca-certificates", "openssl"]) {
            return None;
        }
        if !Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|ran| ran.status.success()) {
            say_left_out("no mount namespaces here");
            return None;
        }
        let folder = minted();
        let installed = Path::new("/usr/local/share/ca-certificates");
        let list = || std::fs::read_dir(installed).map_or(0, Iterator::count);
        let outside = (list(), std::fs::read("/etc/ssl/certs/ca-certificates.crt").ok());
        let mut command = Command::new("unshare");
        let script = APART.to_owned() + script;
        command.args(["--mount", "sh", "-c", &script]).current_dir(folder.folder.path());
        command.env("RDPSCOPE", program().get_program());
        let ran = crate::cli::run_within(command, WITHIN);
        assert_eq!((list(), std::fs::read("/etc/ssl/certs/ca-certificates.crt").ok()), outside);
        Some(ran)
    }

    #[test]
    fn it_is_trusted_and_then_forgotten() {
        let Some(ran) = apart(FOR_GOOD) else { return };
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
    }

    /// `begin NAME` starts a run that trusts its CA and waits until it listens; `verify NAME` asks OpenSSL.
    const RUNS: &str = r#"
        begin() {
            name="$1"; shift
            "$RDPSCOPE" proxy 127.0.0.1:9 --cert fresh --trust-ca --ca-out "$name.pem" --listen 127.0.0.1:0 \
                --no-trace "$@" 2> "$name.err" >&2 &
            run=$!
            until grep -q "^listening on" "$name.err"; do kill -0 "$run" || { cat "$name.err" >&2; exit 9; }; sleep 0.05; done
        }
        verify() { openssl verify -no-CAfile -CApath /etc/ssl/certs "$1.pem" 2>&1 | grep -q ": OK" && echo trusted || echo not; }
        next() { "$RDPSCOPE" proxy 127.0.0.1:9 --listen 127.0.0.1:0 --no-trace --for 1ms 2> next.err; cat next.err >&2; }
        left() { find data/rdpscope/trusted ! -name lock -type f | wc -l; }
        as_before() { inside > after; cmp before after && echo "same $(left)"; }
    "#;

    fn told(script: &str) -> Option<(Vec<String>, String)> {
        let ran = apart(&(RUNS.to_owned() + script))?;
        Some((ran.stdout.lines().map(str::to_owned).collect(), ran.stderr))
    }

    #[test]
    fn a_run_takes_back_what_it_trusted() {
        let told = told(
            r#"
            begin one
            verify one
            stat -c %a data/rdpscope/trusted data/rdpscope/trusted/*.json
            kill -INT "$run"; wait "$run" || echo "ended $?"
            verify one
            as_before
            cat one.err >&2
            "#,
        );
        let Some((said, stderr)) = told else { return };
        assert_eq!(said, ["trusted", "700", "600", "ended 130", "not", "same 0"], "{stderr}");
        assert!(
            stderr.contains("until this run ends this machine trusts CN=rdpscope session CA"),
            "{stderr}"
        );
        assert!(stderr.contains("this machine does not trust CN=rdpscope session CA"), "{stderr}");
    }

    #[test]
    fn the_next_start_takes_back_what_a_killed_run_left() {
        let told = told(
            r#"
            begin one
            kill -KILL "$run"; wait "$run" || true
            verify one
            grep -l '"undone_by"' data/rdpscope/trusted/*.json | wc -l
            next
            verify one
            as_before
            begin two
            kill -KILL "$run"; wait "$run" || true
            "$RDPSCOPE" cert untrust --json
            verify two
            "$RDPSCOPE" cert untrust
            as_before
            "#,
        );
        let Some((said, stderr)) = told else { return };
        let left = r#"{"type":"left-behind","forgotten":1,"still_trusted":0}"#;
        let nothing = "no run that was killed has left a CA trusted";
        let expected = ["trusted", "1", "not", "same 0", left, "not", nothing, "same 0"];
        assert_eq!(said, expected, "{stderr}");
        assert_eq!(stderr.matches("a run that was killed (process ").count(), 2, "{stderr}");
    }

    #[test]
    fn a_run_that_is_killed_while_it_adds_the_ca_is_cleaned_up_too() {
        let told = told(
            r#"
            mkdir bin
            printf '#!/bin/sh\n"$@"\nkill -KILL "$PPID"\n' > bin/sudo
            chmod +x bin/sudo
            (PATH="$PWD/bin:$PATH" begin one) 2> /dev/null || echo killed
            find /usr/local/share/ca-certificates -name 'rdpscope-*' | wc -l
            next
            as_before
            "#,
        );
        let Some((said, stderr)) = told else { return };
        assert_eq!(said, ["killed", "1", "same 0"], "{stderr}");
        assert!(stderr.contains("a run that was killed (process "), "{stderr}");
    }

    #[test]
    fn what_the_user_trusts_stays_trusted() {
        let told = told(
            r#"
            "$RDPSCOPE" proxy 127.0.0.1:9 --cert fresh --ca mine --listen 127.0.0.1:0 --no-trace --for 1ms
            "$RDPSCOPE" cert trust mine --run >&2
            begin one --ca mine
            kill -INT "$run"; wait "$run" || true
            verify one
            left
            cat one.err >&2
            "#,
        );
        let Some((said, stderr)) = told else { return };
        assert_eq!(said, ["trusted", "0"], "{stderr}");
        assert!(stderr.contains("already, and goes on to when this run ends"), "{stderr}");
    }

    #[test]
    fn two_runs_with_one_ca_do_not_take_it_from_each_other() {
        let told = told(
            r#"
            begin one --ca mine
            first="$run"
            begin two --ca mine
            kill -INT "$first"; wait "$first" || true
            verify one
            kill -INT "$run"; wait "$run" || true
            verify one
            as_before
            "#,
        );
        let Some((said, stderr)) = told else { return };
        assert_eq!(said, ["trusted", "not", "same 0"], "{stderr}");
    }

    #[test]
    fn without_rights_a_sentence_names_the_command_and_a_way_on() {
        let told = told(
            r#"
            mkdir bin
            printf '#!/bin/sh\necho "sudo: a password is required" >&2\nexit 1\n' > bin/sudo
            chmod +x bin/sudo
            PATH="$PWD/bin:$PATH" "$RDPSCOPE" proxy 127.0.0.1:9 --cert fresh --trust-ca --listen 127.0.0.1:0 --no-trace \
                -q || echo "refused $?"
            PATH="$PWD/bin:$PATH" "$RDPSCOPE" cert trust ca --run -q || echo "refused $?"
            as_before
            begin one
            kill -KILL "$run"; wait "$run" || true
            PATH="$PWD/bin:$PATH" "$RDPSCOPE" cert untrust || echo "left $?"
            PATH="$PWD/bin:$PATH" next
            verify one
            "#,
        );
        let Some((said, stderr)) = told else { return };
        assert_eq!(said, ["refused 3", "refused 3", "same 0", "left 3", "trusted"], "{stderr}");
        let refused =
            stderr.lines().find(|line| line.starts_with("rdpscope: `sudo install")).expect("a sentence");
        for part in ["sudo: a password is required", "nothing was done", "--cert file:PFX"] {
            assert!(refused.contains(part), "{part} is not in {refused}");
        }
        assert!(
            stderr.contains("is still trusted by this machine") && stderr.contains("type: sudo rm --"),
            "{stderr}"
        );
    }

    #[test]
    fn where_rdpscope_issues_no_certificate_there_is_nothing_to_trust() {
        for arguments in [
            &["proxy", "127.0.0.1:9", "--trust-ca"][..],
            &["proxy", "127.0.0.1:9", "--cert", "file:server.pfx", "--trust-ca"],
            &["ab", "127.0.0.1:9", "--vary", "mss", "--trust-ca", "--listen", "127.0.0.1:0", "--no-trace"],
        ] {
            run(arguments).assert_refused(2, "--trust-ca");
        }
    }
}
