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

/// What mstsc, Apple's clients and FreeRDP refuse it for; empty where nothing in it decides.
fn refusals(chain: &[Certificate], name: Option<&str>) -> [String; 3] {
    let verdicts = by_rules(chain, name, NOW);
    assert!(verdicts.iter().all(|verdict| verdict.basis == Basis::Rules && verdict.trusted != Some(true)));
    let words = |verdict: &PlatformVerdict| {
        let reason = verdict.trusted.and_then(|_| verdict.reason.clone());
        reason.unwrap_or_default()
    };
    [words(&verdicts[0]), words(&verdicts[1]), words(&verdicts[2])]
}

#[test]
fn nothing_speaks_against_a_good_chain_and_the_roots_decide() {
    let chain = minted(&Recipe::Fresh);
    assert_eq!(refusals(&chain, Some("srv.example")), ["", "", ""]);
    let words = by_rules(&chain, None, NOW)[0].to_string();
    let expected = format!(
        "mstsc (Windows), by its rules: nothing in it is refused; its issuer {} must lead to a root that is trusted \
         there",
        chain[0].issuer
    );
    assert_eq!(words, expected);
    let own = minted(&Recipe::Broken(Fault::SelfSigned));
    assert!(by_rules(&own, None, NOW)[2].reason.as_ref().unwrap().starts_with("it is signed by itself"));
    assert_eq!(by_rules(&[], None, NOW), []);
}

#[test]
fn all_look_at_dates_and_names() {
    let all = |words: &str| [words; 3].map(str::to_owned);
    let chain = minted(&Recipe::Fresh);
    assert_eq!(refusals(&chain, Some("localhost")), all("it is not for localhost"));
    assert_eq!(refusals(&minted(&Recipe::Broken(Fault::Expired)), None), all("it expired 1 day ago"));
    for reason in refusals(&minted(&Recipe::Broken(Fault::NotYetValid)), None) {
        assert!(reason.starts_with("it is not valid before "), "{reason}");
    }
}

#[test]
fn a_root_that_is_over_may_be_another_one_there() {
    let mut chain = minted(&Recipe::Fresh);
    chain[1].not_after_unix = NOW - DAY;
    assert_eq!(refusals(&chain, None), ["", "", ""]);
    chain[1].self_issued = false;
    assert_eq!(refusals(&chain, None), ["certificate 2 expired 1 day ago"; 3]);
}

#[test]
fn a_usage_that_is_not_for_servers_is_no_matter_to_freerdp() {
    let [mstsc, apple, free_rdp] = refusals(&minted(&Recipe::Broken(Fault::WrongUsage)), None);
    assert_eq!(mstsc, "its usage is not that of a server");
    assert_eq!(apple, "its usages do not name that of a TLS server");
    assert_eq!(free_rdp, "");
}

#[test]
fn apple_wants_the_usage_named_since_2019() {
    let mut chain = minted(&Recipe::Fresh);
    chain[0].extended_key_usage = None;
    assert_eq!(refusals(&chain, None), ["", "its usages do not name that of a TLS server", ""]);
    chain[0].not_before_unix = APPLE_NEW_RULES_FROM;
    assert_eq!(refusals(&chain, None), ["", "", ""]);
}

#[test]
fn apple_wants_short_validities_since_2019() {
    let mut chain = minted(&Recipe::Fresh);
    chain[0].not_after_unix = chain[0].not_before_unix + APPLE_LONGEST_VALIDITY;
    assert_eq!(refusals(&chain, None), ["", "", ""]);
    chain[0].not_after_unix += DAY;
    assert_eq!(refusals(&chain, None), ["", "it is valid for 826 days, more than 825", ""]);
    chain[0].not_before_unix = APPLE_NEW_RULES_FROM - DAY;
    assert_eq!(refusals(&chain, None), ["", "", ""]);
}

#[test]
fn weak_things_are_apple_s_matter_and_very_short_keys_windows_too() {
    let [mstsc, apple, free_rdp] = refusals(&minted(&Recipe::Broken(Fault::Sha1)), None);
    assert_eq!((mstsc, free_rdp), Default::default());
    assert_eq!(apple, "the signature of certificate 1 is not of the SHA-2 family");
    let mut chain = minted(&Recipe::Broken(Fault::WeakKey));
    let [mstsc, apple, free_rdp] = refusals(&chain, None);
    assert_eq!((mstsc, free_rdp), Default::default());
    assert_eq!(apple, "the RSA key of certificate 1 has 1024 bits, less than 2048");
    chain[0].key_bits = Some(1023);
    assert!(refusals(&chain, None)[0].starts_with("the RSA key of certificate 1 has 1023 bits"));
}

#[test]
fn the_common_name_alone_is_not_enough_for_apple() {
    let own = self_signed("SRV10", NOW - DAY, NOW + DAY).unwrap();
    let mut chain = vec![inspect(own.leaf()).unwrap()];
    chain[0].sans.clear();
    assert_eq!(refusals(&chain, Some("srv10")), ["", "it has no alternative names", ""]);
    chain[0].sans.push("other".to_owned());
    let [mstsc, apple, free_rdp] = refusals(&chain, Some("srv10"));
    assert_eq!((mstsc.as_str(), apple.as_str()), ("it is not for srv10", "it is not for srv10"));
    assert_eq!(free_rdp, "", "it looks at the common name all the same");
}
