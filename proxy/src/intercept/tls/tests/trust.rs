//! Trust and name.

use super::super::trust::VERIFIER;
use super::super::*;
use super::support::*;
use rdpscope_certs::key::KeyKind;
use rdpscope_certs::mint::{LeafKey, self_signed};
use rdpscope_certs::mode::{Fault as Broken, Recipe};

fn broken(fault: Broken) -> Vec<Vec<u8>> {
    minted(&Recipe::Broken(fault), &[], LeafKey::New(KeyKind::P256)).chain
}

fn roots() -> Roots {
    Roots::of([authority().certificate().to_vec()])
}

#[test]
fn trust_and_name_are_two_answers() {
    let chain = &identity().chain;
    let judgement = roots().judge(chain, HOST, NOW);
    assert_eq!(judgement, Judgement::new(VERIFIER, None, true));
    let judgement = roots().judge(chain, "192.0.2.7", NOW);
    assert_eq!((judgement.trusted, judgement.name_matches), (true, false));
    let judgement = roots().judge(&broken(Broken::WrongName), HOST, NOW);
    assert_eq!((judgement.trusted, judgement.name_matches), (true, false));
    let judgement = Roots::of([]).judge(chain, HOST, NOW);
    assert_eq!((judgement.trusted, judgement.name_matches), (false, true));
    assert!(judgement.reason.unwrap().ends_with("does not lead to a root that this machine trusts"));
}

#[test]
fn each_fault_has_its_words() {
    for (fault, words) in [
        (Broken::Expired, "it expired "),
        (Broken::NotYetValid, "it is not valid before "),
        (Broken::SelfSigned, "it is signed by itself "),
        (Broken::WrongUsage, "it is not for the authentication of servers"),
        (Broken::Sha1, "the verifier refuses it: "),
    ] {
        let judgement = roots().judge(&broken(fault), HOST, NOW);
        let reason = judgement.reason.unwrap();
        assert!(reason.starts_with(words), "{fault:?}: {reason}");
        assert!(!judgement.trusted && judgement.name_matches);
    }
}

#[test]
fn a_certificate_that_was_made_a_root_itself_is_trusted_within_its_dates() {
    let chain = self_signed(HOST, NOW, NOW + 100).unwrap().chain;
    let roots = Roots::of(chain.clone());
    assert_eq!(roots.judge(&chain, HOST, NOW), Judgement::new(VERIFIER, None, true));
    assert!(roots.judge(&chain, HOST, NOW + 101).reason.unwrap().starts_with("it expired "));
}

#[test]
fn what_is_no_certificate_is_judged_so() {
    let judgement = roots().judge(&[], HOST, NOW);
    assert_eq!(judgement.reason.unwrap(), "the server showed no certificate");
    let judgement = roots().judge(&[b"nonsense".to_vec()], HOST, NOW);
    assert!(judgement.reason.unwrap().starts_with("cannot be judged: not an X.509 certificate"));
}

#[test]
fn the_roots_of_this_machine_do_not_know_a_stranger() {
    let roots = Roots::of_this_machine();
    assert!(!roots.judge(&identity().chain, HOST, NOW).trusted);
    assert!(std::ptr::eq(roots, Roots::of_this_machine()));
}
