use super::*;
use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use time::{Date, Month, OffsetDateTime};

/// X.509 version 1, RSA 1024, MD5, serial 0, `CN=OLD-SERVER`.
const OLD: &str = "\
-----BEGIN CERTIFICATE-----
MIIBmTCCAQICAQAwDQYJKoZIhvcNAQEEBQAwFTETMBEGA1UEAwwKT0xELVNFUlZF
UjAeFw0yNjExMjExMDA0MDNaFw0zNjExMTgxMDA0MDNaMBUxEzARBgNVBAMMCk9M
RC1TRVJWRVIwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBAM3Zj+uY9KJTJ8Ly
XMfRr/m2zjARMjS1mRiY//l32H4+avn8nzJ4pABZWxllObyD9gQ0yfVEfCLhmq1/
+YH37fgaCjLgaxaFPOMWhclfzJX+FccAxqnlf298XwIrDjTEMkFGD+Tnxhd5T7Ak
YC5/JcBvVGKAWF5Xy0uVDCMCHmb7AgMBAAEwDQYJKoZIhvcNAQEEBQADgYEAwuFP
HCwi97pqwu3ib0t5V/ILvyeAjLkQ1Sj0D2Fw/RoOrjgX2EZyaXXhpVMp5Ua7TLX1
lQUDhrBI8X23VsQ7ZyMtiCYg0kS/eytZ27C7rPKsKgOcJx2PycTNVu6T4slsw+VO
BhdT5/v1676bGrYrOAsJyKyyvl6tjhHH4ZpvQi4=
-----END CERTIFICATE-----
";

/// P-521, serial -300, names as BMPString, Remote Desktop Authentication as the only usage.
const STRANGE: &str = "\
-----BEGIN CERTIFICATE-----
MIICQTCCAaKgAwIBAgIC/tQwCgYIKoZIzj0EAwQwQjEjMCEGA1UECh4aAE0A/ABs
AGwAZQByACwAIABTAPYAaABuAGUxGzAZBgNVBAMeEgBSAGUAYwBoAG4AZQByAC0A
xDAeFw0yNjExMjExMDA0MDNaFw0yNzA2MDkxMDA0MDNaMEIxIzAhBgNVBAoeGgBN
APwAbABsAGUAcgAsACAAUwD2AGgAbgBlMRswGQYDVQQDHhIAUgBlAGMAaABuAGUA
cgAtAMQwgZswEAYHKoZIzj0CAQYFK4EEACMDgYYABAGfRtKIXaN/cjO9pYOimIaS
zEwi22cAejIBTUQOGz7ZTmBuc4FxH5WKyTQCp+hgJKmYXl4CrMcxkogNDE/8ikCQ
+QFTGoOG3R/bobGzZhX+8fJu1rlmW+GKtiuMlecSIHGiHo7J5PlhsbUuHtyig8fE
CnzTgL3CIty9MBdYXGxA8rQbEKNFMEMwFQYDVR0lBA4wDAYKKwYBBAGCNzYBAjAL
BgNVHQ8EBAMCBDAwHQYDVR0OBBYEFDuQ17ojWZIOdTPCo5y01NQTAXmQMAoGCCqG
SM49BAMEA4GMADCBiAJCAcavH+/cgz43HnFNr0UE3ccP8v2JxvycBPnJF7cnnnOF
UAPQMpvA41tV2+4LOEfHrNK3lzpqxEv5CgRgKXL6fvsmAkIBoVcISFHNHIE7OTnd
nQABrXOVDDdHGewHvJ5GJm9gcmqyjNguVd+5oPACR89AwJTUtYYVtwAvZHSDLK0Q
psO3bWw=
-----END CERTIFICATE-----
";

const DAY: i64 = 86_400;

fn der(pem: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

fn day(year: i32, month: Month, day: u8) -> OffsetDateTime {
    Date::from_calendar_date(year, month, day).unwrap().midnight().assume_utc()
}

fn parameters(common_name: &str, sans: &[&str]) -> CertificateParams {
    let mut parameters =
        CertificateParams::new(sans.iter().map(|san| (*san).to_owned()).collect::<Vec<_>>()).unwrap();
    parameters.distinguished_name.remove(DnType::CommonName);
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.not_before = day(2026, Month::May, 1);
    parameters.not_after = day(2026, Month::November, 1);
    parameters
}

fn self_signed(parameters: &CertificateParams) -> Certificate {
    inspect(parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der()).unwrap()
}

fn named(common_name: &str, sans: &[&str]) -> Certificate {
    self_signed(&parameters(common_name, sans))
}

#[test]
fn an_ordinary_certificate() {
    let mut parameters = parameters("host.example.com", &["host.example.com", "192.0.2.7", "2001:db8::7"]);
    parameters.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    parameters.serial_number = Some(rcgen::SerialNumber::from_slice(&[0xd6, 0xea]));
    let certificate = self_signed(&parameters);
    assert_eq!(certificate.subject, "O=Example\\, Inc.,CN=host.example.com");
    assert_eq!(certificate.subject_cn.as_deref(), Some("host.example.com"));
    assert_eq!(certificate.sans, ["host.example.com", "192.0.2.7", "2001:db8::7"]);
    assert_eq!(certificate.serial, "d6ea");
    assert_eq!(certificate.not_before, "2026-05-01T00:00:00Z");
    assert_eq!(certificate.not_after, "2026-11-01T00:00:00Z");
    assert_eq!(certificate.not_after_unix, 1_793_491_200);
    assert_eq!((certificate.key_algorithm.as_str(), certificate.key_bits), ("ECDSA P-256", Some(256)));
    assert_eq!(certificate.signature_algorithm, "ecdsa-with-SHA256");
    assert_eq!(certificate.extended_key_usage.as_deref(), Some(&["serverAuth".to_owned()][..]));
    assert_eq!(certificate.key_usage.as_deref(), Some(&["digitalSignature".to_owned()][..]));
    assert_eq!((certificate.version, certificate.is_ca), (3, false));
    assert!(
        certificate.self_issued && certificate.self_signed && certificate.permits_server_authentication()
    );
    assert_eq!(certificate.weaknesses(), []);
}

#[test]
fn the_same_name_under_another_key_is_self_issued_and_not_self_signed() {
    let parameters = parameters("host", &[]);
    let issuer = Issuer::new(parameters.clone(), KeyPair::generate().unwrap());
    let certificate = parameters.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    let certificate = inspect(certificate.der()).unwrap();
    assert!(certificate.self_issued && !certificate.self_signed);
}

#[test]
fn an_old_certificate_is_described() {
    let certificate = inspect(&der(OLD)).unwrap();
    assert_eq!((certificate.version, certificate.key_bits), (1, Some(1024)));
    assert_eq!(certificate.serial, "00");
    assert!(certificate.self_signed && certificate.extended_key_usage.is_none());
    assert!(certificate.permits_server_authentication());
    assert!(certificate.matches_name("old-server"));
    assert_eq!(
        certificate.weaknesses(),
        [
            Weakness::Md5Signature,
            Weakness::ShortRsaKey { bits: 1024 },
            Weakness::OldVersion { version: 1 },
            Weakness::BadSerial
        ]
    );
    assert_eq!(certificate.weaknesses()[1].to_string(), "the RSA key has only 1024 bits");
}

#[test]
fn a_strange_certificate_is_described() {
    let certificate = inspect(&der(STRANGE)).unwrap();
    assert_eq!(certificate.subject, "CN=Rechner-Ä,O=Müller\\, Söhne");
    assert_eq!(certificate.subject_cn.as_deref(), Some("Rechner-Ä"));
    assert_eq!(certificate.serial, "-012c");
    assert_eq!((certificate.key_algorithm.as_str(), certificate.key_bits), ("ECDSA P-521", Some(521)));
    assert!(certificate.self_signed, "its algorithm cannot be checked, and the names agree");
    assert_eq!(certificate.weaknesses(), [Weakness::BadSerial]);
    assert_eq!(
        certificate.extended_key_usage.as_deref(),
        Some(&["remoteDesktopAuthentication".to_owned()][..])
    );
    assert!(certificate.permits_server_authentication());
}

#[test]
fn other_usages_do_not_permit_a_server() {
    let mut parameters = parameters("host", &[]);
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert!(!self_signed(&parameters).permits_server_authentication());
    parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::Any);
    assert!(self_signed(&parameters).permits_server_authentication());
}

#[test]
fn validity_and_its_words() {
    let certificate = named("host", &[]);
    let (from, until) = (certificate.not_before_unix, certificate.not_after_unix);
    assert_eq!(certificate.validity_at(until), Validity::Valid { remaining_seconds: 0 });
    assert_eq!(certificate.validity_at(until + 1), Validity::Expired { since_seconds: 1 });
    assert_eq!(certificate.validity_at(from), Validity::Valid { remaining_seconds: 184 * 86_400 });
    assert_eq!(certificate.validity_at(from - 1), Validity::NotYetValid { in_seconds: 1 });
    assert_eq!(certificate.validity_words(until + 12 * DAY + 5), "expired 12 days ago");
    assert_eq!(certificate.validity_words(until + 1), "expired 1 second ago");
    assert_eq!(certificate.validity_words(until - 2 * DAY), "valid until 2026-11-01, 2 days");
    assert_eq!(certificate.validity_words(from - 3_600), "not valid before 2026-05-01, in 1 hour");
    assert_eq!(certificate.validity_words(i64::MIN).split(',').next(), Some("not valid before 2026-05-01"));
}

#[test]
fn a_certificate_without_an_end_keeps_its_date() {
    let mut parameters = parameters("host", &[]);
    parameters.not_after = day(9999, Month::December, 31) + std::time::Duration::from_secs(86_399);
    assert_eq!(self_signed(&parameters).not_after, "9999-12-31T23:59:59Z");
}

#[test]
fn names_match_by_alternative_name_and_else_by_common_name() {
    let with_sans = named("other", &["Host.Example.com", "*.lab.example.com", "192.0.2.7", "2001:db8::7"]);
    for name in ["host.example.COM", "host.example.com.", "a.lab.example.com", "192.0.2.7", "[2001:db8:0::7]"]
    {
        assert!(with_sans.matches_name(name), "{name}");
    }
    for name in
        ["other", "host", "lab.example.com", "a.b.lab.example.com", ".lab.example.com", "192.0.2.8", ""]
    {
        assert!(!with_sans.matches_name(name), "{name}");
    }
    let common_name_only = named("OFFICE-WIN10-VM", &[]);
    assert!(common_name_only.matches_name("office-win10-vm"));
    assert!(!common_name_only.matches_name("office-win10-vm.example.com"));
    assert!(named("192.0.2.7", &[]).matches_name("192.0.2.7"));
    assert!(!named("*.2.7", &[]).matches_name("192.0.2.7"));
    assert!(!named("*.com", &[]).matches_name("example.com"));
    assert!(!named("", &[]).matches_name(""));
}

#[test]
fn what_is_no_certificate_says_so() {
    assert!(inspect(b"-----BEGIN").unwrap_err().to_string().starts_with("not an X.509 certificate: "));
    assert!(inspect(&der(OLD)[..100]).is_err());
}

proptest! {
    #[test]
    fn damaged_certificates_never_panic(
        strange in any::<bool>(),
        damage in proptest::collection::vec((0usize..600, any::<u8>()), 1..6),
        length in 0usize..600,
    ) {
        let mut bytes = der(if strange { STRANGE } else { OLD });
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if length < 100 {
            bytes.truncate(length);
        }
        if let Ok(certificate) = inspect(&bytes) {
            let _ = (certificate.weaknesses(), certificate.validity_words(0), certificate.matches_name("host"));
        }
    }
}

/// authorityInfoAccess with two OCSP responders, one of them no URI, and the issuer's certificate; two lists.
fn with_addresses() -> CertificateParams {
    let mut parameters = parameters("host.example.com", &["host.example.com"]);
    let access = |method: u8, name: &[u8]| {
        let oid = [6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, method];
        let length = u8::try_from(oid.len() + name.len()).unwrap();
        [&[0x30, length][..], &oid, name].concat()
    };
    let uri = |text: &str| [&[0x86, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let descriptions = [
        access(1, &uri("http://ocsp.example.com")),
        access(1, &[0x87, 4, 192, 0, 2, 7]),
        access(2, &uri("http://ca.example.com/ca.crt")),
    ]
    .concat();
    let content = [&[0x30, u8::try_from(descriptions.len()).unwrap()], &descriptions[..]].concat();
    let oid = [1, 3, 6, 1, 5, 5, 7, 1, 1];
    parameters.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&oid, content));
    parameters.crl_distribution_points.push(rcgen::CrlDistributionPoint {
        uris: vec!["http://ca.example.com/1.crl".to_owned(), "ldap:///CN=2".to_owned()],
    });
    parameters
}

#[test]
fn addresses_of_revocation_and_of_the_issuer() {
    let certificate = self_signed(&with_addresses());
    assert_eq!(certificate.ocsp, ["http://ocsp.example.com"]);
    assert_eq!(certificate.crl, ["http://ca.example.com/1.crl", "ldap:///CN=2"]);
    assert_eq!(certificate.issuers, ["http://ca.example.com/ca.crt"]);
    assert_eq!(certificate.unreadable_extensions, Vec::<String>::new());
}

#[test]
fn the_issuer_that_a_chain_lacks_is_named() {
    let issued = |name: &str, issuer: &str| {
        let mut certificate = named(name, &[]);
        certificate.issuer = format!("CN={issuer}");
        certificate.issuer_cn = Some(issuer.to_owned());
        certificate.self_issued = name == issuer;
        certificate
    };
    let (leaf, middle, root) = (issued("leaf", "middle"), issued("middle", "root"), issued("root", "root"));
    let lacks = |chain: &[&Certificate]| missing_issuers(&chain.iter().copied().cloned().collect::<Vec<_>>());
    assert_eq!(lacks(&[&leaf]), ["middle"]);
    assert_eq!(lacks(&[&leaf, &root]), ["middle"]);
    assert_eq!(lacks(&[&leaf, &middle]), ["root"]);
    assert_eq!(lacks(&[&leaf, &root, &middle]), Vec::<String>::new());
    assert_eq!(lacks(&[&root]), Vec::<String>::new());
    assert_eq!(lacks(&[]), Vec::<String>::new());
    let (one, other) = (issued("one", "other"), issued("other", "one"));
    assert_eq!(lacks(&[&one, &other]), Vec::<String>::new(), "a circle lacks nothing");
    let nameless = Certificate { issuer: "O=Example".to_owned(), issuer_cn: None, ..leaf };
    assert_eq!(lacks(&[&nameless]), ["O=Example"]);
}
