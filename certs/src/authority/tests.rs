use super::*;
use crate::key::KeyKind;
use crate::testing::{DAY, NOW, authority, names, openssl_is_here, openssl_text, openssl_verify};
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring};

/// A leaf for `name` by `authority`, whether it may or not.
fn leaf(authority: &Authority, name: &str) -> Vec<u8> {
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = common_name("leaf");
    parameters.subject_alt_names = match name.parse() {
        Ok(address) => vec![SanType::IpAddress(address)],
        Err(_) => vec![SanType::DnsName(name.try_into().unwrap())],
    };
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.not_before = date(NOW - DAY).unwrap();
    parameters.not_after = date(NOW + DAY).unwrap();
    authority.issue(&parameters, &key).unwrap()
}

fn webpki_verify(authority: &Authority, leaf: &[u8]) -> Result<(), webpki::Error> {
    webpki_verify_through(authority, leaf, &[])
}

fn webpki_verify_through(
    authority: &Authority,
    leaf: &[u8],
    between: &[CertificateDer<'_>],
) -> Result<(), webpki::Error> {
    let root = authority.certificate().into();
    let anchor = anchor_from_trusted_cert(&root)?;
    let leaf = leaf.into();
    let leaf = EndEntityCert::try_from(&leaf)?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs()));
    let algorithms = [ring::ECDSA_P256_SHA256, ring::RSA_PKCS1_2048_8192_SHA256];
    leaf.verify_for_usage(&algorithms, &[anchor], between, now, KeyUsage::server_auth(), None, None)
        .map(|_| ())
}

#[test]
fn it_signs_for_the_names_in_use_and_for_no_other() {
    let both = authority(&["srv.example", "192.0.2.7", "2001:db8::7"]);
    let dns_only = authority(&["srv.example"]);
    let v4_only = authority(&["192.0.2.7"]);
    let cases = [
        (&both, "srv.example", true),
        (&both, "sub.srv.example", true),
        (&both, WRONG_NAME, true),
        (&both, "192.0.2.7", true),
        (&both, "2001:db8::7", true),
        (&both, "other.example", false),
        (&both, "mysrv.example", false),
        (&both, "example", false),
        (&both, "192.0.2.8", false),
        (&both, "2001:db8::8", false),
        (&dns_only, "192.0.2.7", false),
        (&dns_only, "2001:db8::7", false),
        (&v4_only, "2001:db8::7", false),
        (&v4_only, "srv.example", false),
    ];
    let openssl = openssl_is_here();
    for (authority, name, allowed) in cases {
        assert_eq!(authority.permits(&name.parse().unwrap()), allowed, "{name}");
        let leaf = leaf(authority, name);
        let expected = if allowed { Ok(()) } else { Err(webpki::Error::NameConstraintViolation) };
        assert_eq!(webpki_verify(authority, &leaf), expected, "webpki on {name}");
        if openssl {
            let said = openssl_verify(authority.certificate(), &[leaf], name);
            let right = if allowed { said.contains(": OK") } else { said.contains("subtree violation") };
            assert!(right, "openssl on {name}: {said}");
        }
    }
}

/// Its key may sign a certificate that calls itself a CA. OpenSSL believes nothing that one signs; webpki does not look at
/// the path length of an anchor, and holds it to the names of the anchor, for which its key could have signed itself.
#[test]
fn an_authority_below_it_reaches_no_further() {
    let authority = authority(&["srv.example", "192.0.2.7"]);
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = common_name("below");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters.not_before = date(NOW - DAY).unwrap();
    parameters.not_after = date(NOW + DAY).unwrap();
    let certificate = authority.issue(&parameters, &key).unwrap();
    let names = authority.names().clone();
    let below = Authority { certificate: certificate.clone(), key, names };
    for (name, allowed) in [("srv.example", true), ("bank.example", false), ("192.0.2.8", false)] {
        let leaf = leaf(&below, name);
        let expected = if allowed { Ok(()) } else { Err(webpki::Error::NameConstraintViolation) };
        let verified = webpki_verify_through(&authority, &leaf, &[certificate.as_slice().into()]);
        assert_eq!(verified, expected, "webpki on {name}");
        if openssl_is_here() {
            let said = openssl_verify(authority.certificate(), &[leaf, certificate.clone()], name);
            assert!(said.contains("path length constraint exceeded"), "openssl on {name}: {said}");
        }
    }
}

#[test]
fn its_certificate_says_what_it_is() {
    let authority = authority(&["*.srv.example", "192.0.2.7"]);
    let certificate = crate::inspect::inspect(authority.certificate()).unwrap();
    assert!(certificate.is_ca && certificate.self_signed);
    assert_eq!(certificate.not_after_unix, NOW + SESSION_VALIDITY);
    assert_eq!(certificate.not_before_unix, NOW - CLOCK_TOLERANCE);
    assert_eq!(certificate.sha1, authority.thumbprint());
    assert!(authority.certificate_pem().starts_with("-----BEGIN CERTIFICATE-----\n"));
    if openssl_is_here() {
        let text = openssl_text(authority.certificate());
        for part in
            ["CA:TRUE, pathlen:0", "X509v3 Name Constraints: critical", "DNS:srv.example", "IP:192.0.2.7/"]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}

#[test]
fn two_runs_have_two_cas() {
    let (one, other) = (authority(&["srv.example"]), authority(&["srv.example"]));
    assert_ne!(one.certificate(), other.certificate());
    assert!(webpki_verify(&one, &leaf(&other, "srv.example")).is_err());
    assert!(!format!("{one:?}").contains(&hex::encode(&one.key.pkcs8()[36..44])));
}

fn keep(dir: &std::path::Path, permitted: &[&str], now: i64) -> Result<(Authority, Kept), AuthorityError> {
    Authority::keep_in(dir, &names(permitted), KeyKind::P256, now)
}

#[test]
fn a_kept_ca_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new").join("folder");
    let (first, kept) = keep(&dir, &["srv.example", "192.0.2.7"], NOW).unwrap();
    assert_eq!(kept, Kept::Created(KeptBecause::None));
    let (second, kept) = keep(&dir, &["srv.example"], NOW + 80 * DAY).unwrap();
    assert_eq!(kept, Kept::Loaded);
    assert_eq!(first.certificate(), second.certificate());
    assert_eq!(first.names(), second.names());
    assert_eq!(std::fs::read_to_string(dir.join("ca.pem")).unwrap(), first.certificate_pem());
    assert!(webpki_verify(&first, &leaf(&second, "192.0.2.7")).is_ok());
}

#[test]
fn a_kept_ca_is_renewed_when_it_ends_and_for_other_names() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = keep(dir.path(), &["one.example"], NOW).unwrap();
    let (second, kept) = keep(dir.path(), &["two.example"], NOW).unwrap();
    assert_eq!(kept, Kept::Created(KeptBecause::OtherNames));
    assert_ne!(first.certificate(), second.certificate());
    let (_, kept) = keep(dir.path(), &["one.example", "two.example"], NOW).unwrap();
    assert_eq!(kept, Kept::Loaded, "the names of both are kept");
    let (third, kept) = keep(dir.path(), &["one.example"], NOW + KEPT_VALIDITY).unwrap();
    assert_eq!(kept, Kept::Created(KeptBecause::Expired));
    assert!(third.permits(&"two.example".parse().unwrap()));
    let (_, kept) = keep(dir.path(), &["one.example"], NOW).unwrap();
    assert_eq!(kept, Kept::Created(KeptBecause::Expired), "one that has not begun is of no use either");
}

#[test]
fn runs_that_start_together_share_one_ca() {
    let dir = tempfile::tempdir().unwrap();
    let certificates: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> =
            (0..8).map(|_| scope.spawn(|| keep(dir.path(), &["srv.example"], NOW).unwrap().0)).collect();
        runs.into_iter().map(|run| run.join().unwrap().certificate().to_vec()).collect()
    });
    assert!(certificates.iter().all(|certificate| *certificate == certificates[0]));
}

#[cfg(unix)]
#[test]
fn the_key_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    keep(dir.path(), &["srv.example"], NOW).unwrap();
    let key = dir.path().join("ca-key.pem");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = keep(dir.path(), &["srv.example"], NOW).unwrap_err();
    assert!(error.to_string().contains("may be read by others"), "{error}");
}

#[test]
fn damaged_and_foreign_files_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("ca-key.pem");
    let refused = |content: &str, word: &str| {
        let mut file = tempfile::NamedTempFile::new_in(dir.path()).unwrap();
        std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
        file.persist(&key).unwrap();
        let error = keep(dir.path(), &["srv.example"], NOW).unwrap_err().to_string();
        assert!(error.contains("does not hold a CA of rdpscope") && error.contains(word), "{error}");
    };
    keep(dir.path(), &["srv.example"], NOW).unwrap();
    let good = std::fs::read_to_string(&key).unwrap();
    refused("", "neither PEM");
    refused(&good[..good.len() - 30], "cut off");
    refused(&authority(&["srv.example"]).certificate_pem(), "no private key");
    let server = crate::mint::self_signed("srv", NOW, NOW + DAY).unwrap();
    let server =
        [crate::load::pem("PRIVATE KEY", server.key.pkcs8()), crate::load::pem("CERTIFICATE", server.leaf())];
    refused(&server.concat(), "not limited to names");
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(keep(file.path(), &["srv.example"], NOW), Err(AuthorityError::Io { .. })));
}

#[test]
fn a_date_outside_the_calendar_is_an_error() {
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    assert!(matches!(Authority::new(&[], key, i64::MAX), Err(AuthorityError::Date)));
}
