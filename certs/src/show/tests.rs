use super::*;
use crate::inspect::inspect;
use crate::key::KeyKind;
use crate::mint::{LeafKey, Request, mint, self_signed};
use crate::mode::{Fault, Recipe};
use crate::testing::{DAY, NOW, authority, names};

fn minted(recipe: &Recipe) -> Vec<Certificate> {
    let authority = authority(&["srv.example"]);
    let request = Request {
        names: &names(&["srv.example"]),
        server_chain: &[],
        authority: &authority,
        now: NOW,
        key: LeafKey::New(KeyKind::P256),
    };
    let chain = mint(recipe, &request).unwrap().identity.chain;
    chain.iter().map(|der| inspect(der).unwrap()).collect()
}

fn viewer<'a>(name: &'a str, verdicts: &'a [PlatformVerdict]) -> Viewer<'a> {
    Viewer { now: NOW, name: Some(name), verdicts }
}

#[test]
fn an_expired_certificate_of_windows() {
    let own = self_signed("SRV10", NOW - 200 * DAY, NOW - 12 * DAY).unwrap();
    let chain = [inspect(own.leaf()).unwrap()];
    let verdicts = [PlatformVerdict::asked("this machine", Some("its issuer is unknown".to_owned()))];
    let text = show(&chain, &viewer("localhost", &verdicts));
    let expected = [
        "certificate 1 of 1, the server's own",
        "  subject    CN=SRV10",
        "  issuer     itself (self-signed)",
        "  names      SRV10",
        "  validity   expired 12 days ago",
        "  from       2026-05-05T00:00:00Z",
        "  until      2026-11-09T00:00:00Z",
        "  usage      serverAuth",
        "  key usage  not limited",
        "  key        ECDSA P-256",
        "  - it is not valid now: expired 12 days ago",
        "what verifiers say",
        "  - this machine, asked: not trusted; its issuer is unknown",
        "  name       it is not for localhost but for SRV10",
    ];
    for line in expected {
        assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
    }
    let thumbprint = text.lines().find_map(|line| line.strip_prefix("  thumbprint ")).unwrap();
    assert_eq!(thumbprint.len(), 59);
    assert_eq!(thumbprint.replace(' ', "").to_lowercase(), chain[0].sha1);
}

#[test]
fn a_good_chain_has_no_findings() {
    let chain = minted(&Recipe::Fresh);
    assert_eq!(findings(&chain, NOW), [""; 0]);
    let verdicts = [PlatformVerdict::asked("Windows' verifier", None)];
    let text = show(&chain, &viewer("srv.example", &verdicts));
    assert!(
        text.ends_with("  - Windows' verifier, asked: trusted\n\n  name       it is for srv.example\n"),
        "{text}"
    );
    assert!(!text.contains("findings"));
}

#[test]
fn each_fault_is_found() {
    let found = |fault, word: &str| {
        let findings = findings(&minted(&Recipe::Broken(fault)), NOW);
        assert!(matches!(findings.as_slice(), [one] if one.contains(word)), "{fault:?}: {findings:?}");
    };
    found(Fault::Expired, "expired 1 day ago");
    found(Fault::NotYetValid, "in 1 day");
    found(Fault::WrongUsage, "clientAuth");
    found(Fault::SelfSigned, "self-signed");
    found(Fault::Sha1, "SHA-1");
    found(Fault::WeakKey, "1024 bits");
}

#[test]
fn what_is_missing_from_the_chain_is_told() {
    let [leaf, ca] = <[Certificate; 2]>::try_from(minted(&Recipe::Fresh)).unwrap();
    let one = |chain: &[Certificate], word: &str| {
        let findings = findings(chain, NOW);
        assert!(matches!(findings.as_slice(), [one] if one.contains(word)), "{findings:?}");
    };
    one(std::slice::from_ref(&leaf), "no intermediate certificate is sent");
    let other = minted(&Recipe::Fresh).pop().unwrap();
    one(&[leaf.clone(), other], "is not the issuer of certificate 1");
    one(&[leaf.clone(), ca.clone(), ca.clone()], "certificate 3 is of no use");
    one(&[], "there is no certificate");
    let later = findings(&[leaf, ca], NOW + 2 * DAY);
    assert!(matches!(later.as_slice(), [one] if one.starts_with("certificate 2 is not valid now: expired")));
}

#[test]
fn an_end_that_is_near_is_told() {
    let findings = findings(&minted(&Recipe::Fresh)[..1], NOW + 70 * DAY);
    assert!(findings[0].starts_with("it is about to end: valid until 2027-02-19, 20 days"), "{findings:?}");
}

#[test]
fn nothing_moves_the_cursor() {
    let own = self_signed("a\x1b[2Jb\nc", NOW, NOW + DAY).unwrap();
    let text = show(&[inspect(own.leaf()).unwrap()], &viewer("a", &[]));
    assert!(!text.contains('\x1b') && text.contains("\\u{1b}[2Jb\\nc"), "{text}");
    assert!(!text.contains("what verifiers say"), "nobody was asked");
}

#[test]
fn addresses_are_shown_where_there_are_some() {
    let own = self_signed("SRV10", NOW - DAY, NOW + 90 * DAY).unwrap();
    let without = inspect(own.leaf()).unwrap();
    let uris = ["http://ca.example/1.crl".to_owned(), "http://b.example/\u{1b}[2J".to_owned()];
    let with = Certificate { crl: uris.to_vec(), ..without.clone() };
    let text = show(&[with], &viewer("SRV10", &[]));
    let expected = "  CRL        http://ca.example/1.crl, http://b.example/\\u{1b}[2J";
    assert!(text.lines().any(|line| line == expected), "{text}");
    assert!(!text.contains("OCSP") && !show(&[without], &viewer("SRV10", &[])).contains("CRL"));
}
