//! Test certificates, made once a process: one authority, and certificates with exactly one fault each.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime, macros::datetime};

/// The names that clients in these tests dial.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// A certificate with its key, as files for real peers and as DER for peers in this process.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// PEM certificate.
    pub(crate) certificate_file: PathBuf,
    /// PEM key (PKCS #8).
    pub(crate) key_file: PathBuf,
    certificate_der: CertificateDer<'static>,
    key_der: PrivateKeyDer<'static>,
}

impl Certificate {
    /// The certificate and its key, for rustls.
    pub(crate) fn for_rustls(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (vec![self.certificate_der.clone()], self.key_der.clone_key())
    }
}

/// All of them. Those not named otherwise hold P-256 keys, are valid today and issued by the authority.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// The authority's certificate as PEM: what a client is told to trust.
    pub(crate) authority_file: PathBuf,
    /// The authority's certificate, for rustls.
    pub(crate) authority_der: CertificateDer<'static>,
    /// Nothing wrong with it.
    pub(crate) signed: Certificate,
    /// Valid in 2020 only.
    pub(crate) expired: Certificate,
    /// Valid from 2040.
    pub(crate) not_yet_valid: Certificate,
    /// For `other.test`, which nobody dials.
    pub(crate) wrong_name: Certificate,
    /// Its own issuer.
    pub(crate) self_signed: Certificate,
    folder: TempDir,
}

/// The certificates of this test process.
pub(crate) fn certificates() -> &'static Certificates {
    static CERTIFICATES: OnceLock<Certificates> = OnceLock::new();
    CERTIFICATES.get_or_init(make)
}

/// A good certificate over an RSA 2048 key, which only `openssl` can make here (ring makes no RSA keys).
pub(crate) fn signed_rsa() -> &'static Certificate {
    static SIGNED_RSA: OnceLock<Certificate> = OnceLock::new();
    SIGNED_RSA.get_or_init(|| {
        let made = Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
            .output()
            .expect("openssl runs");
        let pem = String::from_utf8(made.stdout).expect("PEM is text");
        let key = KeyPair::from_pem(&pem).expect("openssl makes a key that rcgen reads");
        let folder = certificates().folder.path();
        store(folder, "signed-rsa", authority().issue(&parameters(&NAMES), &key), &key)
    })
}

/// A user's certificate, as a smart card has one.
pub(crate) fn of_user() -> &'static Certificate {
    static OF_USER: OnceLock<Certificate> = OnceLock::new();
    OF_USER.get_or_init(|| {
        let mut parameters = parameters(&["gwuser.corp.example"]);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key is made");
        store(certificates().folder.path(), "user", authority().issue(&parameters, &key), &key)
    })
}

/// A good certificate that is for so many names that it fills more than one segment.
pub(crate) fn signed_for_many() -> &'static Certificate {
    static SIGNED: OnceLock<Certificate> = OnceLock::new();
    SIGNED.get_or_init(|| {
        let others: Vec<String> = (0..100).map(|number| format!("srv{number:03}.corp.example")).collect();
        let names: Vec<&str> = NAMES.into_iter().chain(others.iter().map(String::as_str)).collect();
        let key = KeyPair::generate().expect("a key is made");
        store(certificates().folder.path(), "many", authority().issue(&parameters(&names), &key), &key)
    })
}

/// Self-signed certificates with a fault that only `openssl` makes: signed with SHA-1, and over an RSA key of 1024 bits.
pub(crate) fn weak() -> &'static [Certificate; 2] {
    static WEAK: OnceLock<[Certificate; 2]> = OnceLock::new();
    WEAK.get_or_init(|| {
        [self_signed_by_openssl("sha1", "2048", "-sha1"), self_signed_by_openssl("short", "1024", "-sha256")]
    })
}

fn self_signed_by_openssl(name: &str, bits: &str, digest: &str) -> Certificate {
    let folder = certificates().folder.path();
    let certificate_file = folder.join(format!("{name}.crt"));
    let key_file = folder.join(format!("{name}.key"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=localhost", digest, "-newkey"]);
    openssl.arg(format!("rsa:{bits}")).args([
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-keyout",
    ]);
    let made = openssl.arg(&key_file).arg("-out").arg(&certificate_file).output().expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let certificate_der = CertificateDer::from_pem_file(&certificate_file).expect("openssl writes PEM");
    let key_der = PrivateKeyDer::from_pem_file(&key_file).expect("openssl writes PEM");
    Certificate { certificate_file, key_file, certificate_der, key_der }
}

/// A good certificate but for these names, issued by an authority of this name, which nobody trusts.
pub(crate) fn issued_by(authority: &str, names: &[&str]) -> Certificate {
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name.push(DnType::CommonName, authority);
    issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    valid_today(&mut issuer);
    let key = KeyPair::generate().expect("a key is made");
    let issuer = Authority(CertifiedIssuer::self_signed(issuer, key).expect("the authority signs itself"));
    let key = KeyPair::generate().expect("a key is made");
    let made = issuer.issue(&parameters(names), &key);
    store(certificates().folder.path(), authority, made, &key)
}

/// A good certificate but that it is for this name and its own issuer.
pub(crate) fn self_signed_for(name: &str) -> Certificate {
    let key = KeyPair::generate().expect("a key is made");
    let made = parameters(&[name]).self_signed(&key).expect("it signs itself");
    store(certificates().folder.path(), name, made, &key)
}

/// A name that a browser would run, a terminal obey and a reader misread; `place` tells where it stood.
#[cfg(target_os = "linux")]
pub(crate) fn hostile_name(place: &str) -> String {
    format!("{place}<img src=x onerror=document.title='ran'>\u{1b}]0;ran\u{7}\u{1b}[2J\u{202e}gpj.exe")
}

/// A certificate with such names in subject and issuer, with markup and control characters in its alternative name, and with
/// a unit longer than any screen.
#[cfg(target_os = "linux")]
pub(crate) fn hostile() -> Certificate {
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name.push(DnType::CommonName, hostile_name("issuer"));
    issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    valid_today(&mut issuer);
    let key = KeyPair::generate().expect("a key is made");
    let issuer = Authority(CertifiedIssuer::self_signed(issuer, key).expect("the authority signs itself"));
    let mut parameters = parameters(&["localhost"]);
    let alternative = "<svg onload=document.title='ran'>\u{1b}[31m.example";
    let alternative = alternative.try_into().expect("all of it is ASCII");
    parameters.subject_alt_names.push(rcgen::SanType::DnsName(alternative));
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, hostile_name("subject"));
    parameters
        .distinguished_name
        .push(DnType::OrganizationName, "</style></title><script>document.title='ran'</script>");
    parameters.distinguished_name.push(DnType::OrganizationalUnitName, "W".repeat(3000));
    let key = KeyPair::generate().expect("a key is made");
    store(certificates().folder.path(), "hostile", issuer.issue(&parameters, &key), &key)
}

/// A good certificate but that it is for clients only.
pub(crate) fn for_clients() -> Certificate {
    let mut parameters = parameters(&NAMES);
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().expect("a key is made");
    store(certificates().folder.path(), "for-clients", authority().issue(&parameters, &key), &key)
}

/// Issued by the authority and signed with SHA-1, which only `openssl` does here.
pub(crate) fn signed_with_sha1() -> &'static Certificate {
    static SIGNED: OnceLock<Certificate> = OnceLock::new();
    SIGNED.get_or_init(|| {
        let Certificates { folder, authority_file, .. } = certificates();
        let file = |name: &str| folder.path().join(name);
        let (key_file, certificate_file) = (file("signed-sha1.key"), file("signed-sha1.crt"));
        std::fs::write(file("authority.key"), authority().0.key().serialize_pem()).expect("a key is written");
        let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n";
        std::fs::write(file("sha1.cnf"), extensions).expect("the extensions are written");
        let mut request = Command::new("openssl");
        request.args(["req", "-new", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=localhost", "-keyout"]);
        run(request.arg(&key_file).arg("-out").arg(file("sha1.csr")));
        let mut sign = Command::new("openssl");
        sign.args(["x509", "-req", "-sha1", "-days", "30", "-CAcreateserial", "-in"]).arg(file("sha1.csr"));
        sign.arg("-CA").arg(authority_file).arg("-CAkey").arg(file("authority.key"));
        run(sign.arg("-extfile").arg(file("sha1.cnf")).arg("-out").arg(&certificate_file));
        let certificate_der = CertificateDer::from_pem_file(&certificate_file).expect("openssl writes PEM");
        let key_der = PrivateKeyDer::from_pem_file(&key_file).expect("openssl writes PEM");
        Certificate { certificate_file, key_file, certificate_der, key_der }
    })
}

fn run(command: &mut Command) {
    let made = command.output().expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn issue(&self, parameters: &CertificateParams, key: &KeyPair) -> rcgen::Certificate {
        parameters.signed_by(key, &self.0).expect("the authority signs")
    }
}

fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "rdpscope test authority");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid_today(&mut parameters);
        let key = KeyPair::generate().expect("a key is made");
        Authority(CertifiedIssuer::self_signed(parameters, key).expect("the authority signs itself"))
    })
}

fn make() -> Certificates {
    let folder = TempDir::new().expect("a temporary folder is made");
    let path = folder.path();
    let issue = |name: &str, parameters: &CertificateParams| {
        let key = KeyPair::generate().expect("a key is made");
        store(path, name, authority().issue(parameters, &key), &key)
    };
    let dated = |not_before, not_after| {
        let mut parameters = parameters(&NAMES);
        (parameters.not_before, parameters.not_after) = (not_before, not_after);
        parameters
    };

    let authority_file = path.join("authority.crt");
    std::fs::write(&authority_file, authority().0.pem()).expect("the authority is written");
    let own_key = KeyPair::generate().expect("a key is made");
    let own = parameters(&NAMES).self_signed(&own_key).expect("it signs itself");
    Certificates {
        authority_file,
        authority_der: authority().0.der().clone(),
        signed: issue("signed", &parameters(&NAMES)),
        expired: issue("expired", &dated(datetime!(2020-01-01 0:00 UTC), datetime!(2021-01-01 0:00 UTC))),
        not_yet_valid: issue(
            "not-yet-valid",
            &dated(datetime!(2040-01-01 0:00 UTC), datetime!(2041-01-01 0:00 UTC)),
        ),
        wrong_name: issue("wrong-name", &parameters(&["other.test"])),
        self_signed: store(path, "self-signed", own, &own_key),
        folder,
    }
}

fn parameters(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut parameters = CertificateParams::new(names.clone()).expect("the names are valid");
    parameters.distinguished_name.push(DnType::CommonName, names[0].clone());
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    valid_today(&mut parameters);
    parameters
}

fn valid_today(parameters: &mut CertificateParams) {
    let now = OffsetDateTime::now_utc();
    parameters.not_before = now - Duration::days(1);
    parameters.not_after = now + Duration::days(365);
}

fn store(folder: &Path, name: &str, certificate: rcgen::Certificate, key: &KeyPair) -> Certificate {
    let certificate_file = folder.join(format!("{name}.crt"));
    let key_file = folder.join(format!("{name}.key"));
    std::fs::write(&certificate_file, certificate.pem()).expect("a certificate is written");
    std::fs::write(&key_file, key.serialize_pem()).expect("a key is written");
    let key_der = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    Certificate { certificate_file, key_file, certificate_der: certificate.der().clone(), key_der }
}
