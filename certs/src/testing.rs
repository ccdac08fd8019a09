//! What several tests share.

use crate::authority::Authority;
use crate::key::{KeyKind, PrivateKey};
use crate::name::Name;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// 2026-11-21 00:00:00 UTC.
pub(crate) const NOW: i64 = 1_795_219_200;
pub(crate) const DAY: i64 = 86_400;

/// One RSA 2048 key for all tests of a process, as making one takes its time.
pub(crate) fn rsa_key() -> &'static PrivateKey {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| PrivateKey::generate(KeyKind::WINDOWS).unwrap())
}

pub(crate) fn names(names: &[&str]) -> Vec<Name> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub(crate) fn authority(permitted: &[&str]) -> Authority {
    Authority::new(&names(permitted), PrivateKey::generate(KeyKind::P256).unwrap(), NOW).unwrap()
}

/// Whether the `openssl` program is installed; says so where it is not.
pub(crate) fn openssl_is_here() -> bool {
    let here = Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
    if !here {
        eprintln!("left out: the openssl program is not installed");
    }
    here
}

/// What `openssl ARGUMENTS` says on both streams.
pub(crate) fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// What `openssl verify` says of `chain` under `root` for `host` at NOW.
pub(crate) fn openssl_verify(root: &[u8], chain: &[Vec<u8>], host: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, ders: &[Vec<u8>]| {
        let path = dir.path().join(name);
        let pem: String = ders.iter().map(|der| crate::load::pem("CERTIFICATE", der)).collect();
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (root, leaf) = (file("root.pem", &[root.to_vec()]), file("leaf.pem", &chain[..1]));
    let between = file("between.pem", &chain[1..]);
    let (now, option) = (
        NOW.to_string(),
        if host.parse::<std::net::IpAddr>().is_ok() { "-verify_ip" } else { "-verify_hostname" },
    );
    let untrusted: &[&str] = if chain.len() > 1 { &["-untrusted", &between] } else { &[] };
    let verify = [
        "verify",
        "-attime",
        &now,
        "-purpose",
        "sslserver",
        "-auth_level",
        "2",
        "-CAfile",
        &root,
        option,
        host,
    ];
    openssl(&[&verify, untrusted, &[&leaf]].concat())
}

/// What the `openssl` program prints of a certificate.
pub(crate) fn openssl_text(der: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("certificate.der");
    std::fs::write(&path, der).unwrap();
    openssl(&["x509", "-inform", "DER", "-noout", "-text", "-in", as_text(&path)])
}

pub(crate) fn as_text(path: &Path) -> &str {
    path.to_str().unwrap()
}
