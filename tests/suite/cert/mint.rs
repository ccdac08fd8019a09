//! `rdpscope cert mint`.

use super::*;

/// The only JSON line of a run that went well.
fn minted(arguments: &[&str]) -> Value {
    let ran = cert(&[&["mint", "--json"], arguments].concat());
    assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""), "{arguments:?}");
    let line = json(&ran);
    assert_eq!(line["type"], "minted");
    line
}

fn shown(arguments: &[&str]) -> Value {
    json(&cert(&[&["show", "--json"], arguments].concat()))
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).expect("the file is there").permissions().mode() & 0o777
}

#[test]
fn each_mode_makes_what_show_then_finds() {
    let folder = Folder::new();
    let ca = folder.text("ca");
    for (mode, faults) in [
        ("fresh", &[][..]),
        ("self-signed", &[]),
        ("expired", &["certificate-expired"]),
        ("not-yet-valid", &["certificate-not-yet-valid"]),
        ("wrong-name", &["certificate-name-mismatch"]),
        ("wrong-usage", &["certificate-wrong-usage"]),
        ("sha1", &["certificate-weak"]),
        ("weak-key", &["certificate-weak"]),
    ] {
        let out = folder.text(&format!("{mode}.pem"));
        let line = minted(&["--for", "srv10.corp.example", "--cert", mode, "--ca", &ca, "-o", &out]);
        assert_eq!((&line["mode"], &line["file"]), (&mode.into(), &out[..].into()));
        assert_eq!(line["ca"].is_null(), mode == "self-signed", "{line}");
        let seen = shown(&[&out, "--name", "srv10.corp.example"]);
        assert_eq!(seen["faults"], serde_json::json!(faults), "{mode}");
        assert_eq!(seen["certificates"][0]["sha1"], line["certificates"][0]["sha1"]);
        if !["wrong-name"].contains(&mode) {
            assert_eq!(shown(&[&out, "--name", "127.0.0.1"])["name_matches"], true, "{mode}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn who_trusts_its_ca_trusts_it() {
    let folder = Folder::new();
    let out = folder.text("srv10.pem");
    minted(&["--names", "srv10,SRV10.corp.example", "-o", &out]);
    let mut command = crate::support::rdpscope::program();
    command.args(["cert", "show", "--json", &out, "--name", "srv10.corp.example"]);
    command.env("SSL_CERT_FILE", folder.path("srv10-ca.pem")).env_remove("SSL_CERT_DIR");
    let line = json(&crate::cli::run_command(command));
    let asked = serde_json::json!({
        "platform": "this machine's roots (webpki, no revocation)",
        "basis": "asked",
        "trusted": true,
        "reason": null
    });
    assert_eq!(line["trust"][0], asked);
    assert!(line["trust"][1]["trusted"].is_null(), "that depends on who dials: {line}");
    assert_eq!(line["name_matches"], true);
}

#[test]
fn a_mirror_is_like_the_original_but_for_what_is_repaired() {
    let folder = Folder::new();
    let like = text(&certificates().expired.certificate_file);
    let (same, repaired) = (folder.text("same.pem"), folder.text("repaired.pem"));
    assert_eq!(minted(&["--like", like, "-o", &same])["mode"], "mirror");
    minted(&["--like", like, "--cert", "mirror+dates", "-o", &repaired]);
    let [original, same, repaired] =
        [like, &same, &repaired].map(|file| shown(&[file, "--name", "localhost"]));
    assert_eq!(original["faults"], serde_json::json!(["certificate-expired"]));
    assert_eq!((&same["faults"], &repaired["faults"]), (&original["faults"], &serde_json::json!([])));
    for field in ["subject", "sans", "serial", "extended_key_usage"] {
        assert_eq!(same["certificates"][0][field], original["certificates"][0][field], "{field}");
    }
}

#[test]
fn the_servers_own_key_is_kept() {
    if left_out_without(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    let signed = &certificates().signed;
    let (pfx, password) = (folder.pfx("own.pfx", signed), folder.text("password.txt"));
    let from_pem = folder.text("from-pem.pem");
    let from_pfx = folder.text("from-pfx.pfx");
    let line = minted(&["--for", "srv10", "--key", text(&signed.key_file), "-o", &from_pem]);
    assert_eq!(line["key_given"], true);
    minted(&["--for", "srv10", "--key", &pfx, "--password-file", &password, "-o", &from_pfx]);
    let own = public_key(&["pkey", "-in", text(&signed.key_file)]);
    assert_eq!(public_key(&["pkey", "-in", &from_pem]), own);
    let out = folder.text("back.pem");
    let secret = format!("pass:{PASSWORD}");
    let read = Command::new("openssl")
        .args(["pkcs12", "-nodes", "-passin", &secret, "-in", &from_pfx, "-out", &out])
        .status();
    assert!(read.expect("openssl runs").success());
    assert_eq!(public_key(&["pkey", "-in", &out]), own);
}

fn public_key(arguments: &[&str]) -> Vec<u8> {
    let read = Command::new("openssl").args(arguments).arg("-pubout").output().expect("openssl runs");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    read.stdout
}

#[test]
fn one_ca_is_kept_and_says_whether_it_was_there() {
    let folder = Folder::new();
    let (ca, one, two) = (folder.text("ca"), folder.text("one.pem"), folder.text("two.pem"));
    let first = minted(&["--for", "srv10", "--ca", &ca, "-o", &one]);
    let second = minted(&["--for", "srv10", "--ca", &ca, "-o", &two]);
    assert_eq!((&first["ca"]["was_there"], &second["ca"]["was_there"]), (&false.into(), &true.into()));
    assert_eq!(first["certificates"][1]["sha1"], second["certificates"][1]["sha1"]);
    assert_eq!(first["ca"]["file"].as_str(), folder.path("ca").join("ca.pem").to_str());
    let told = |line: &Value| line["next"].to_string().contains("rdpscope cert trust");
    assert!(told(&first) && !told(&second), "who trusted it still does");
    assert!(!folder.path("one-ca.pem").exists());
}

#[test]
fn nothing_is_replaced_unless_told_and_keys_are_the_owners() {
    let folder = Folder::new();
    let out = folder.text("srv10.pem");
    minted(&["--for", "srv10", "-o", &out]);
    let (before, ca) = (folder.read("srv10.pem"), folder.read("srv10-ca.pem"));
    cert(&["mint", "--for", "srv10", "-o", &out]).assert_refused(3, "srv10.pem exists already: add --force");
    std::fs::remove_file(&out).expect("it goes away");
    cert(&["mint", "--for", "srv10", "-o", &out]).assert_refused(3, "srv10-ca.pem exists already");
    assert!(!folder.path("srv10.pem").exists(), "nothing is half done");
    assert_eq!(folder.read("srv10-ca.pem"), ca);
    minted(&["--for", "srv10", "--force", "-o", &out]);
    assert_ne!(folder.read("srv10.pem"), before);
    let ca = String::from_utf8(folder.read("srv10-ca.pem")).expect("PEM is text");
    assert!(!ca.contains("PRIVATE KEY"), "never the CA's key");
    #[cfg(unix)]
    assert_eq!(mode(&folder.path("srv10.pem")), 0o600);
}

#[test]
fn what_makes_no_sense_gets_one_sentence() {
    let folder = Folder::new();
    let (out, pfx) = (folder.text("out.pem"), folder.text("out.pfx"));
    let like = text(&certificates().signed.certificate_file);
    for (arguments, said) in [
        (&["-o", &out[..]][..], "give --for HOST or --names"),
        (&["--for", "srv10", "-o", "out.txt"], "let its name end in .pem or .pfx"),
        (&["--for", "srv10", "-o", &pfx], "a PFX file needs a password"),
        (&["--for", "a b", "-o", &out], "neither a host name in ASCII nor an IP address"),
        (&["--for", "srv10", "--cert", "mirror", "-o", &out], "give it with --like"),
        (&["--for", "srv10", "--cert", "fresh", "--like", like, "-o", &out], "leave out --like"),
        (&["--for", "srv10", "--cert", "passthrough", "-o", &out], "makes no certificate"),
        (&["--for", "srv10", "--cert", "odd", "-o", &out], "is no certificate mode"),
    ] {
        cert(&[&["mint"], arguments].concat()).assert_refused(2, said);
    }
    assert!(!folder.path("out.pem").exists() && !folder.path("out-ca.pem").exists());
}

#[test]
fn what_cannot_be_done_gets_one_sentence() {
    let folder = Folder::new();
    let certificates = certificates();
    let (signed, other) = (&certificates.signed, &certificates.expired);
    let mismatch = read(&signed.certificate_file) + &read(&other.key_file);
    let mismatch = folder.write("mismatch.pem", mismatch);
    let broken = folder.write("broken.pem", &read(&signed.key_file)[..80]);
    let (out, nowhere) = (folder.text("out.pem"), folder.text("no/such/out.pem"));
    for (arguments, said) in [
        (&["--key", &mismatch[..], "-o", &out[..]][..], "belongs to none of the certificates in it"),
        (&["--key", &broken, "-o", &out], "is cut off"),
        (&["--key", text(&signed.certificate_file), "-o", &out], "there is no private key in it"),
        (&["--key", text(&signed.key_file), "--cert", "weak-key", "-o", &out], "needs another key"),
        (&["--like", &broken, "-o", &out], "is cut off"),
        (&["-o", &nowhere], "cannot write"),
        (&["--ca", &mismatch, "-o", &out], "mismatch.pem"),
    ] {
        cert(&[&["mint", "--for", "srv10"], arguments].concat()).assert_refused(3, said);
    }
    assert!(!folder.path("out.pem").exists());
}
