use super::*;
use crate::load;
use crate::mint::self_signed;
use crate::testing::{DAY, NOW, as_text, authority, openssl, openssl_is_here};

const PASSWORD: &str = "Kanari3n-Vogel!";

fn with_chain() -> Identity {
    let mut identity = self_signed("srv.example", NOW, NOW + DAY).unwrap();
    identity.chain.push(authority(&["srv.example"]).certificate().to_vec());
    identity
}

#[test]
fn what_is_saved_is_loaded() {
    let saved = with_chain();
    let pfx = to_pfx(&saved, PASSWORD).unwrap();
    for (bytes, password) in [(to_pem(&saved).to_vec(), None), (pfx, Some(PASSWORD))] {
        let loaded = load::identity(&bytes, password).unwrap();
        assert_eq!((&loaded.chain, loaded.key.pkcs8()), (&saved.chain, saved.key.pkcs8()));
    }
}

#[test]
fn a_pfx_tells_nothing_without_its_password() {
    let pfx = to_pfx(&with_chain(), PASSWORD).unwrap();
    assert!(matches!(load::identity(&pfx, Some("canary")), Err(load::LoadError::WrongPassword)));
    assert!(!pfx.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()));
}

#[test]
fn openssl_reads_the_pfx() {
    if !openssl_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("own.pfx"), dir.path().join("out.pem"));
    let saved = with_chain();
    write(&file, &to_pfx(&saved, PASSWORD).unwrap(), Readers::Owner, false).unwrap();
    let password = format!("pass:{PASSWORD}");
    let said =
        openssl(&["pkcs12", "-in", as_text(&file), "-out", as_text(&out), "-nodes", "-passin", &password]);
    let read = std::fs::read(&out).unwrap_or_else(|error| panic!("{error}: {said}"));
    let loaded = load::identity(&read, None).unwrap();
    assert_eq!((&loaded.chain, loaded.key.pkcs8()), (&saved.chain, saved.key.pkcs8()));
}

#[test]
fn a_file_is_replaced_only_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("own.pem");
    write(&file, b"one", Readers::Owner, false).unwrap();
    let error = write(&file, b"two", Readers::Owner, false).unwrap_err().to_string();
    assert_eq!(error, format!("{} exists already", file.display()));
    assert_eq!(std::fs::read(&file).unwrap(), b"one");
    write(&file, b"two", Readers::Owner, true).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"two");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    let error = write(&dir.path().join("no/own.pem"), b"", Readers::Usual, false).unwrap_err().to_string();
    assert!(error.starts_with("cannot write "), "{error}");
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("own.pem");
    std::fs::write(&file, b"open").unwrap();
    write(&file, b"secret", Readers::Owner, true).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    let (open, usual) = (dir.path().join("ca.pem"), dir.path().join("usual"));
    write(&open, b"open", Readers::Usual, false).unwrap();
    std::fs::write(&usual, b"").unwrap();
    assert_eq!(mode(&open), mode(&usual));
}
