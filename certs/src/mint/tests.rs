use super::*;
use crate::inspect::{Certificate, Validity, Weakness, inspect};
use crate::mode::{CertificateMode, Repair};
use crate::testing::{DAY, NOW, authority, names, openssl_is_here, openssl_text, openssl_verify, rsa_key};
use std::collections::BTreeSet;
use x509_parser::prelude::{FromDer, X509Certificate};

const HOST: &str = "srv10.corp.example";

fn recipe(text: &str) -> Recipe {
    match text.parse().unwrap() {
        CertificateMode::Mint(recipe) => recipe,
        other => panic!("{other} is not minted"),
    }
}

/// Mints `mode` for [`HOST`], localhost and 127.0.0.1.
fn make(mode: &str, authority: &Authority, chain: &[Vec<u8>], key: LeafKey<'_>) -> Result<Minted, MintError> {
    let names = names(&[HOST, "localhost", "127.0.0.1"]);
    let request = Request { names: &names, server_chain: chain, authority, now: NOW, key };
    mint(&recipe(mode), &request)
}

fn leaf_of(minted: &Minted) -> Certificate {
    inspect(minted.identity.leaf()).unwrap()
}

fn ca() -> Authority {
    authority(&[HOST, "localhost", "127.0.0.1", "old-name.corp.example"])
}

/// What may be wrong with a certificate for [`HOST`], by `inspect`.
fn faults(certificate: &Certificate) -> BTreeSet<&'static str> {
    let weak = |it: &Weakness| match it {
        Weakness::Sha1Signature => "sha1",
        Weakness::ShortRsaKey { .. } => "weak-key",
        _ => "odd",
    };
    let mut faults: BTreeSet<_> = certificate.weaknesses().iter().map(weak).collect();
    let mut add = |wrong: bool, fault| wrong.then(|| faults.insert(fault));
    let validity = certificate.validity_at(NOW);
    add(matches!(validity, Validity::Expired { .. }), "expired");
    add(matches!(validity, Validity::NotYetValid { .. }), "not-yet-valid");
    add(!certificate.matches_name(HOST), "wrong-name");
    add(certificate.self_signed, "self-signed");
    add(!certificate.permits_server_authentication(), "wrong-usage");
    faults
}

#[test]
fn each_mode_has_its_one_fault() {
    let authority = ca();
    // With the numbers of X509_V_ERR_*, as the words differ between releases.
    let said_by_openssl = [
        ("fresh", ": OK"),
        ("expired", "error 10 at 0 depth"),
        ("not-yet-valid", "error 9 at 0 depth"),
        ("wrong-name", "error 62 at 0 depth"),
        ("self-signed", "error 18 at 0 depth"),
        ("wrong-usage", "error 26 at 0 depth"),
        ("sha1", "error 68 at 0 depth"),
        ("weak-key", "error 66 at 0 depth"),
    ];
    let openssl = openssl_is_here();
    for (mode, sentence) in said_by_openssl {
        let key = if mode == "weak-key" { LeafKey::New(KeyKind::WINDOWS) } else { LeafKey::Given(rsa_key()) };
        let minted = make(mode, &authority, &[], key).unwrap();
        let leaf = leaf_of(&minted);
        let expected: BTreeSet<_> = if mode == "fresh" { [].into() } else { [mode].into() };
        assert_eq!(faults(&leaf), expected, "{mode}");
        assert!(minted.identity.key.belongs_to(minted.identity.leaf()), "{mode}");
        let length = if mode == "self-signed" { 1 } else { 2 };
        assert_eq!(minted.identity.chain.len(), length, "{mode}");
        assert_eq!(minted.differences, [""; 0], "{mode}");
        if openssl {
            let said = openssl_verify(authority.certificate(), &minted.identity.chain, HOST);
            let errors = said.lines().filter(|line| line.contains(" depth lookup:")).count();
            assert!(said.contains(sentence) && errors <= 1, "{mode}: {said}");
        }
    }
}

#[test]
fn a_fresh_certificate_carries_all_names() {
    let authority = ca();
    let minted = make("fresh", &authority, &[], LeafKey::New(KeyKind::P256)).unwrap();
    let leaf = leaf_of(&minted);
    assert_eq!(leaf.subject, format!("CN={HOST}"));
    assert_eq!(leaf.sans, [HOST, "localhost", "127.0.0.1"]);
    assert_eq!(leaf.key_algorithm, "ECDSA P-256");
    assert_eq!((leaf.not_before_unix, leaf.not_after_unix), (NOW - 3600, NOW + 90 * DAY));
    let again = make("fresh", &authority, &[], LeafKey::New(KeyKind::P256)).unwrap();
    assert_ne!(leaf_of(&again).serial, leaf.serial);
    if openssl_is_here() {
        for host in [HOST, "localhost", "127.0.0.1"] {
            let said = openssl_verify(authority.certificate(), &minted.identity.chain, host);
            assert!(said.contains(": OK"), "{host}: {said}");
        }
    }
}

#[test]
fn sha1_is_signed_by_either_kind_of_ca() {
    let rsa = Authority::new(&names(&[HOST, "localhost", "127.0.0.1"]), rsa_key().clone(), NOW).unwrap();
    for (authority, algorithm) in [(rsa, "sha1WithRSAEncryption"), (ca(), "ecdsa-with-SHA1")] {
        let minted = make("sha1", &authority, &[], LeafKey::New(KeyKind::P256)).unwrap();
        assert_eq!(leaf_of(&minted).signature_algorithm, algorithm);
        if openssl_is_here() {
            let text = openssl_text(minted.identity.leaf());
            assert!(text.contains(&format!("Signature Algorithm: {algorithm}")), "{text}");
        }
    }
}

#[test]
fn what_cannot_be_made_is_told() {
    let authority = ca();
    let key = LeafKey::Given(rsa_key());
    let told = |names: &[Name], mode: &str| {
        let request = Request { names, server_chain: &[], authority: &authority, now: NOW, key };
        mint(&recipe(mode), &request).unwrap_err().to_string()
    };
    assert_eq!(told(&[], "fresh"), "a certificate needs a name to be for");
    assert_eq!(told(&names(&["x.test"]), "fresh"), "the session CA may not sign for x.test");
    assert_eq!(
        told(&names(&[HOST]), "weak-key"),
        "weak-key needs another key, and the key to sign for is given (RSA 2048)"
    );
    assert_eq!(told(&names(&[HOST]), "mirror"), "there is no certificate of the server to mirror");
    let error = make("mirror", &authority, &[b"nonsense".to_vec()], key).unwrap_err();
    assert!(matches!(error, MintError::Unreadable));
    assert!(matches!(self_signed("x", 0, i64::MAX), Err(MintError::Authority(AuthorityError::Date))));
}

#[test]
fn a_long_name_stands_among_the_alternative_names_only() {
    let long = format!("{}.{}.example", "a".repeat(40), "b".repeat(40));
    let authority = authority(&[&long]);
    let names = names(&[&long]);
    let request = Request {
        names: &names,
        server_chain: &[],
        authority: &authority,
        now: NOW,
        key: LeafKey::New(KeyKind::P256),
    };
    let leaf = leaf_of(&mint(&Recipe::Fresh, &request).unwrap());
    assert_eq!((leaf.subject.as_str(), leaf.sans), ("CN=rdpscope", vec![long]));
}

#[test]
fn looks_like_the_certificate_of_a_windows_server() {
    let minted = self_signed(HOST, 1_700_000_000, 1_710_000_000).unwrap();
    let certificate = inspect(minted.leaf()).unwrap();
    assert!(certificate.self_signed);
    assert_eq!(certificate.subject_cn.as_deref(), Some(HOST));
    assert!(certificate.matches_name(HOST));
    assert!(certificate.permits_server_authentication());
    assert_eq!(certificate.validity_at(1_710_000_060), Validity::Expired { since_seconds: 60 });
}

mod mirrored {
    use super::*;
    use crate::der;
    use crate::key::Hash;
    use crate::template::Extension;

    const OTHER_NAME: &str = "old-name.corp.example";

    /// A certificate as Windows makes for Remote Desktop: no alternative names, key usage keyEncipherment and
    /// dataEncipherment, usage serverAuth; here also over, named otherwise, and with an extension of Microsoft's.
    fn windows() -> Vec<u8> {
        let own = self_signed(OTHER_NAME, NOW - 200 * DAY, NOW - 12 * DAY).unwrap();
        let mut template = Template::read(own.leaf()).unwrap();
        template.extensions.remove(0);
        template.set_extension(Extension::new(&[0x55, 0x1d, 0x0f], false, &[3, 2, 4, 0x30]));
        // 1.3.6.1.4.1.311.21.7, the template of the certificate
        template.set_extension(Extension::new(
            &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x15, 7],
            false,
            &[0x30, 3, 6, 1, 0x2a],
        ));
        template.set_key(rsa_key());
        template.sign(rsa_key(), Hash::Sha256).unwrap()
    }

    /// The same by a CA, with what such a CA adds.
    fn of_enterprise() -> Vec<u8> {
        let mut template = Template::read(&windows()).unwrap();
        template.issuer = Template::read(ca().certificate()).unwrap().subject;
        for identifier in [[0x55, 0x1d, 0x0e], [0x55, 0x1d, 0x23]] {
            template.set_extension(Extension::new(&identifier, false, &[4, 2, 1, 2]));
        }
        template.sign(rsa_key(), Hash::Sha256).unwrap()
    }

    fn mirror(mode: &str, original: &[u8]) -> (Minted, Template) {
        let minted = make(mode, &ca(), &[original.to_vec()], LeafKey::New(KeyKind::P256)).unwrap();
        let template = Template::read(minted.identity.leaf()).unwrap();
        (minted, template)
    }

    /// The fields that stayed, as names.
    fn changed(was: &Template, is: &Template) -> Vec<&'static str> {
        let pairs = [
            ("version", was.version == is.version),
            ("serial number", was.serial_number == is.serial_number),
            ("issuer", was.issuer == is.issuer),
            ("validity", was.validity == is.validity),
            ("subject", was.subject == is.subject),
            ("key", was.subject_public_key_info == is.subject_public_key_info),
            ("extensions", was.extensions == is.extensions),
        ];
        pairs.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }

    #[test]
    fn a_windows_certificate_keeps_every_byte_but_the_key() {
        let original = windows();
        let (minted, copy) = mirror("mirror", &original);
        assert_eq!(changed(&Template::read(&original).unwrap(), &copy), ["key"]);
        let leaf = leaf_of(&minted);
        assert!(leaf.self_signed);
        assert_eq!(faults(&leaf), ["expired", "self-signed", "wrong-name"].into());
        assert_eq!((leaf.key_algorithm.as_str(), leaf.key_bits), ("RSA", Some(2048)));
        assert_eq!((minted.identity.chain.len(), minted.differences.len()), (1, 0));
        assert!(minted.identity.key.belongs_to(minted.identity.leaf()));
        if openssl_is_here() {
            let said = openssl_verify(minted.identity.leaf(), &minted.identity.chain, OTHER_NAME);
            assert!(said.contains("error 10 at 0 depth"), "its own signature is good: {said}");
        }
    }

    #[test]
    fn x509_parser_sees_the_same_raw_fields() {
        let original = windows();
        let (minted, _) = mirror("mirror", &original);
        let (_, was) = X509Certificate::from_der(&original).unwrap();
        let (_, is) = X509Certificate::from_der(minted.identity.leaf()).unwrap();
        assert_eq!(was.subject().as_raw(), is.subject().as_raw());
        assert_eq!(was.raw_serial(), is.raw_serial());
        assert_eq!(was.validity(), is.validity());
        assert_eq!(was.extensions(), is.extensions());
        assert!(is.verify_signature(None).is_ok());
    }

    #[test]
    fn with_the_servers_own_key_it_is_the_very_same_certificate() {
        let original = windows();
        let minted =
            make("mirror", &ca(), std::slice::from_ref(&original), LeafKey::Given(rsa_key())).unwrap();
        assert_eq!(minted.identity.leaf(), original);
    }

    #[test]
    fn one_by_a_ca_is_issued_by_the_session_ca() {
        let original = of_enterprise();
        let authority = ca();
        let minted =
            make("mirror+dates", &authority, std::slice::from_ref(&original), LeafKey::Given(rsa_key()))
                .unwrap();
        let (was, is) = (Template::read(&original).unwrap(), Template::read(minted.identity.leaf()).unwrap());
        assert_eq!(changed(&was, &is), ["issuer", "validity", "extensions"]);
        assert_eq!(is.extensions, was.extensions[..was.extensions.len() - 2]);
        assert_eq!(
            minted.differences,
            [
                "it is without the extensions that speak of the original's key or issuer: subjectKeyIdentifier, \
                 authorityKeyIdentifier",
                "its signature is ecdsa-with-SHA256, the original's sha256WithRSAEncryption"
            ]
        );
        if openssl_is_here() {
            let said = openssl_verify(authority.certificate(), &minted.identity.chain, OTHER_NAME);
            assert!(said.contains(": OK"), "{said}");
        }
    }

    #[test]
    fn each_repair_repairs_just_its_own() {
        let mut original = Template::read(&windows()).unwrap();
        original.set_extension(Extension::new(
            &[0x55, 0x1d, 0x25],
            false,
            &[0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2],
        ));
        let weak = PrivateKey::generate(KeyKind::WEAK).unwrap();
        original.set_key(&weak);
        let der = original.sign(&weak, Hash::Sha1).unwrap();
        let all = ["expired", "self-signed", "sha1", "weak-key", "wrong-name", "wrong-usage"];
        assert_eq!(faults(&inspect(&der).unwrap()), all.into());
        let cases: [(Repair, &[&str], &[&str]); 5] = [
            (Repair::Dates, &["expired"], &["validity", "key"]),
            (Repair::Names, &["wrong-name"], &["key", "extensions"]),
            (Repair::Issuer, &["self-signed"], &["issuer", "key"]),
            (Repair::Usage, &["wrong-usage"], &["key", "extensions"]),
            (Repair::Strength, &["sha1", "weak-key"], &["key"]),
        ];
        for (repair, repaired, fields) in cases {
            let (minted, copy) = mirror(&format!("mirror+{}", repair.word()), &der);
            let left: BTreeSet<_> = all.into_iter().filter(|fault| !repaired.contains(fault)).collect();
            assert_eq!(faults(&leaf_of(&minted)), left, "{repair:?}");
            assert_eq!(changed(&original, &copy), fields, "{repair:?}");
        }
        let (minted, _) = mirror("mirror+dates,names,issuer,usage,strength", &der);
        assert_eq!(faults(&leaf_of(&minted)), [].into());
        assert_eq!(minted.differences, [""; 0]);
        if openssl_is_here() {
            let authority = minted.identity.chain[1].clone();
            for host in [HOST, "127.0.0.1", OTHER_NAME] {
                let said = openssl_verify(&authority, &minted.identity.chain, host);
                assert!(said.contains(": OK"), "{host}: {said}");
            }
        }
    }

    #[test]
    fn names_that_are_there_stay_and_are_not_doubled() {
        let authority = ca();
        let fresh = make("fresh", &authority, &[], LeafKey::Given(rsa_key())).unwrap();
        let (minted, _) = mirror("mirror+names", fresh.identity.leaf());
        assert_eq!(leaf_of(&minted).sans, [HOST, "localhost", "127.0.0.1"]);
        let (minted, _) = mirror("mirror+names", &windows());
        assert_eq!(leaf_of(&minted).sans, [OTHER_NAME, HOST, "localhost", "127.0.0.1"]);
    }

    #[test]
    fn an_old_certificate_stays_old_until_it_is_strengthened() {
        let mut old = Template::read(&windows()).unwrap();
        old.version.clear();
        old.extensions.clear();
        old.serial_number = der::write(der::INTEGER, &[0]);
        let der = old.sign(rsa_key(), Hash::Md5).unwrap();
        let (minted, copy) = mirror("mirror", &der);
        assert_eq!(changed(&old, &copy), ["key"]);
        assert_eq!(leaf_of(&minted).signature_algorithm, "md5WithRSAEncryption");
        assert_eq!(leaf_of(&minted).version, 1);
        let (minted, _) = mirror("mirror+strength", &der);
        assert_eq!((leaf_of(&minted).version, leaf_of(&minted).weaknesses()), (3, vec![]));
        let (minted, _) = mirror("mirror+names", &der);
        assert_eq!(leaf_of(&minted).version, 3);
    }

    #[test]
    fn what_differs_is_told() {
        let authority = authority(&[HOST]);
        let chain = [of_enterprise()];
        let minted = make("mirror", &authority, &chain, LeafKey::Given(rsa_key())).unwrap();
        assert_eq!(
            minted.differences.last().unwrap(),
            "it carries the name old-name.corp.example, for which the session CA may not sign, so that clients may refuse it"
        );
        let mut template = Template::read(&windows()).unwrap();
        let p384 = PrivateKey::generate(KeyKind::P384).unwrap();
        template.set_key(&p384);
        let (minted, _) = mirror("mirror", &template.sign(&p384, Hash::Sha384).unwrap());
        assert_eq!(leaf_of(&minted).key_algorithm, "ECDSA P-384");
        assert_eq!(minted.differences, [""; 0]);
    }

    #[test]
    fn strength_cannot_be_repaired_for_a_weak_key_that_is_given() {
        let weak = PrivateKey::generate(KeyKind::WEAK).unwrap();
        let error = make("mirror+strength", &ca(), &[windows()], LeafKey::Given(&weak)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "mirror+strength needs another key, and the key to sign for is given (RSA 1024)"
        );
        assert!(make("weak-key", &ca(), &[], LeafKey::Given(&weak)).is_ok());
    }

    #[test]
    fn damaged_certificates_never_panic() {
        let original = windows();
        let authority = ca();
        let all = "mirror+dates,names,issuer,usage";
        for at in 0..original.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut damaged = original.clone();
                damaged[at] = value;
                if let Some(template) = Template::read(&damaged) {
                    let _ = template.extension(&[0x55, 0x1d, 0x11]).map(Extension::value);
                }
                if at % 8 == 0 && value == 0xff {
                    let _ = make(all, &authority, &[damaged], LeafKey::Given(rsa_key()));
                }
            }
        }
    }
}
