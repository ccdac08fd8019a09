use super::*;
use crate::key::KeyKind;
use crate::mint::self_signed;
use crate::testing::{DAY, NOW, as_text, authority, openssl, openssl_is_here};
use proptest::prelude::*;

const PASSWORD: &str = "Kanari3n-Vogel!";

fn own() -> Identity {
    self_signed("srv.example", NOW, NOW + DAY).unwrap()
}

fn key_pem(identity: &Identity) -> String {
    pem("PRIVATE KEY", identity.key.pkcs8())
}

fn certificate_pem(identity: &Identity) -> String {
    pem("CERTIFICATE", identity.leaf())
}

fn told(bytes: impl AsRef<[u8]>, password: Option<&str>) -> String {
    let error = identity(bytes.as_ref(), password).unwrap_err().to_string();
    assert!(!error.contains(PASSWORD), "{error}");
    error
}

#[test]
fn a_chain_with_its_key_is_loaded_in_any_order() {
    let own = own();
    let ca = authority(&["srv.example"]);
    let (key, leaf, ca_pem) = (key_pem(&own), certificate_pem(&own), ca.certificate_pem());
    for file in [[&key, &leaf, &ca_pem], [&leaf, &ca_pem, &key], [&ca_pem, &key, &leaf]] {
        let text = format!("a comment\n{}", file.map(String::as_str).concat().replace('\n', "\r\n"));
        let loaded = identity(text.as_bytes(), None).unwrap();
        assert_eq!(loaded.chain, [own.leaf(), ca.certificate()]);
        assert_eq!(loaded.key.pkcs8(), own.key.pkcs8());
    }
    let alone = private_key(key.as_bytes(), None).unwrap();
    assert!(alone.belongs_to(own.leaf()));
    assert_eq!(certificates(own.leaf(), None).unwrap(), [own.leaf()]);
    assert_eq!(certificates([leaf, ca_pem].concat().as_bytes(), None).unwrap().len(), 2);
}

#[test]
fn bad_files_are_told_in_one_sentence() {
    let (own, other) = (own(), own());
    let (key, leaf) = (key_pem(&own), certificate_pem(&own));
    let damaged = leaf.replace("MII", "M?I").replace('A', "*");
    let not_der = pem("CERTIFICATE", b"nothing of the sort");
    let broken_key = pem("PRIVATE KEY", &own.key.pkcs8()[..40]);
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let cases = [
        (String::new(), "it is neither PEM nor a DER certificate nor a PFX file"),
        ("hello".to_owned(), "it is neither PEM nor a DER certificate nor a PFX file"),
        (key.clone(), "there is no certificate in it"),
        (leaf.clone(), "there is no private key in it"),
        (leaf[..leaf.len() - 40].to_owned(), "a PEM block in it is cut off: its END line is missing"),
        (damaged, "a PEM block in it is damaged"),
        (
            format!("{key}{key}{leaf}"),
            "there are 2 private keys in it, and which one is meant cannot be told",
        ),
        (key_pem(&other) + &leaf, "the private key in it belongs to none of the certificates in it"),
        (broken_key + &leaf, "the private key cannot be read"),
        (
            old.to_owned(),
            "its key is encrypted in the old OpenSSL way, which is not read: convert it with `openssl pkcs8 -topk8`",
        ),
    ];
    for (file, sentence) in cases {
        assert_eq!(told(&file, None), sentence, "{file}");
    }
    assert!(told(not_der + &key, None).starts_with("certificate 1 in it cannot be read: "));
    assert!(told(own.leaf(), None).contains("no private key"));
    let mismatch = private_key((key_pem(&other) + &leaf).as_bytes(), None).unwrap_err();
    assert!(matches!(mismatch, LoadError::KeyDoesNotMatch));
    assert!(matches!(certificates(key.as_bytes(), None), Err(LoadError::NoCertificate)));
}

#[test]
fn a_file_is_read_up_to_a_limit() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(read(file.path()).unwrap().is_empty());
    file.as_file().set_len(MAXIMUM_FILE_LENGTH + 1).unwrap();
    assert!(read(file.path()).unwrap_err().to_string().ends_with("it is longer than any certificate file"));
    let missing = read(Path::new("no/such/file.pfx")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read no/such/file.pfx: "), "{missing}");
}

/// Files as the `openssl` program writes them.
struct Written {
    dir: tempfile::TempDir,
    own: Identity,
}

impl Written {
    fn new() -> Written {
        let (dir, own) = (tempfile::tempdir().unwrap(), own());
        std::fs::write(dir.path().join("key.pem"), key_pem(&own)).unwrap();
        std::fs::write(dir.path().join("leaf.pem"), certificate_pem(&own)).unwrap();
        Written { dir, own }
    }

    fn openssl(&self, arguments: &[&str]) -> Vec<u8> {
        let (key, leaf, out) =
            (self.dir.path().join("key.pem"), self.dir.path().join("leaf.pem"), self.dir.path().join("out"));
        let rest = arguments[1..].iter().map(|argument| match *argument {
            "KEY" => as_text(&key),
            "LEAF" => as_text(&leaf),
            other => other,
        });
        let arguments: Vec<_> = [arguments[0], "-out", as_text(&out)].into_iter().chain(rest).collect();
        let said = openssl(&arguments);
        std::fs::read(&out).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}

/// Who sends a key file decides how long opening it takes; here 2^32 hashes, or the memory of a machine.
#[test]
fn a_key_that_takes_minutes_to_open_is_refused() {
    if !openssl_is_here() {
        return;
    }
    let changed = |arguments: &[&str], from: &[u8], to: &[u8]| {
        let common = ["pkcs8", "-topk8", "-in", "KEY", "-outform", "DER", "-passout", "pass:x"];
        let mut der = Written::new().openssl(&[&common, arguments].concat());
        let at = der.windows(from.len()).position(|window| window == from).unwrap();
        der[at..at + to.len()].copy_from_slice(to);
        private_key(pem("ENCRYPTED PRIVATE KEY", &der).as_bytes(), Some("x")).unwrap_err()
    };
    let pbkdf2 = changed(&["-iter", "1048577"], &[2, 3, 0x10, 0, 1], &[2, 3, 0x7f, 0xff, 0xff]);
    assert!(matches!(pbkdf2, LoadError::Costly), "{pbkdf2}");
    // N of 16,384 and r of 8 become an r of 120 and a p of 100.
    let scrypt =
        changed(&["-scrypt"], &[2, 2, 0x40, 0, 2, 1, 8, 2, 1, 1], &[2, 2, 0x40, 0, 2, 1, 120, 2, 1, 100]);
    assert!(matches!(scrypt, LoadError::Costly), "{scrypt}");
}

#[test]
fn pfx_files_of_openssl_are_loaded() {
    if !openssl_is_here() {
        return;
    }
    let written = Written::new();
    let password = format!("pass:{PASSWORD}");
    let export = ["pkcs12", "-export", "-inkey", "KEY", "-in", "LEAF", "-passout"];
    let triple_des = ["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"];
    for (options, password_option, password) in [
        (&[][..], password.as_str(), Some(PASSWORD)),
        (&triple_des[..], password.as_str(), Some(PASSWORD)),
        (&[][..], "pass:", None),
        (&[][..], "pass:", Some("")),
    ] {
        let pfx = written.openssl(&[&export[..], &[password_option], options].concat());
        let loaded = identity(&pfx, password).unwrap();
        assert_eq!((&loaded.chain, loaded.key.pkcs8()), (&written.own.chain, written.own.key.pkcs8()));
        assert_eq!(certificates(&pfx, password).unwrap(), written.own.chain);
    }
    let pfx = written.openssl(&[&export[..], &[password.as_str()]].concat());
    assert_eq!(told(&pfx, Some("canary")), "the password is wrong");
    assert_eq!(told(&pfx, None), "it is protected with a password, and none was given");
    assert!(told(&pfx[..pfx.len() / 2], Some(PASSWORD)).contains("neither PEM"));
    let mut damaged = pfx.clone();
    damaged[30] ^= 0xff;
    assert!(identity(&damaged, Some(PASSWORD)).is_err());
    let bare = written.openssl(&["pkcs12", "-export", "-nokeys", "-in", "LEAF", "-passout", "pass:"]);
    assert_eq!(told(&bare, None), "there is no private key in it");
}

#[test]
fn keys_of_openssl_are_loaded() {
    if !openssl_is_here() {
        return;
    }
    let written = Written::new();
    let leaf = certificate_pem(&written.own).into_bytes();
    let sec1 = written.openssl(&["ec", "-in", "KEY"]);
    assert!(sec1.starts_with(b"-----BEGIN EC PRIVATE KEY-----"));
    assert!(identity(&[sec1, leaf.clone()].concat(), None).is_ok());
    let with_parameters = written.openssl(&["ecparam", "-name", "secp384r1", "-genkey"]);
    assert_eq!(private_key(&with_parameters, None).unwrap().kind(), KeyKind::P384);
    let pkcs1 = written.openssl(&["genrsa", "-traditional", "1024"]);
    assert!(pkcs1.starts_with(b"-----BEGIN RSA PRIVATE KEY-----"));
    assert_eq!(private_key(&pkcs1, None).unwrap().kind(), KeyKind::WEAK);
    let other = written.openssl(&["genpkey", "-algorithm", "ed25519"]);
    assert!(matches!(private_key(&other, None), Err(LoadError::Key(KeyError::Unsupported { .. }))));
    let password = format!("pass:{PASSWORD}");
    let encrypted = written.openssl(&["pkcs8", "-topk8", "-in", "KEY", "-passout", &password]);
    let both = [encrypted, leaf].concat();
    assert!(identity(&both, Some(PASSWORD)).is_ok());
    assert_eq!(told(&both, Some("canary")), "the password is wrong");
    assert_eq!(told(&both, None), "it is protected with a password, and none was given");
    assert_eq!(certificates(&both, None).unwrap(), written.own.chain, "the key is of no concern");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = identity(&bytes, Some(PASSWORD));
        let _ = identity(&der::write_parts(der::SEQUENCE, &[&[2, 1, 3], &bytes]), Some(PASSWORD));
        let _ = identity(pem("ENCRYPTED PRIVATE KEY", &bytes).as_bytes(), Some(PASSWORD));
    }

    #[test]
    fn any_pem_is_read_without_panic(text in "-----BEGIN [A-Z ]{0,12}-----\\PC{0,40}\n?.{0,40}(\n-----END X-----)?") {
        let _ = identity(text.as_bytes(), None);
    }
}
