use super::*;
use rdpscope_certs::Name;
use rdpscope_certs::authority::Authority;
use rdpscope_certs::key::{KeyKind, PrivateKey};
use rdpscope_certs::load;
use rdpscope_certs::mint::{LeafKey, Request, mint};
use rdpscope_certs::mode::{Fault, Recipe};

/// Like the one that Windows makes for Remote Desktop, valid from August 2026 to January 2027.
const WINDOWS: &[u8] = include_bytes!("windows.pem");
/// 2026-11-21T00:00:00Z.
const NOW: i64 = 1_795_219_200;
const DAY: i64 = 24 * 3600;

fn server() -> Source {
    Source::Server {
        target: "srv10:3389".to_owned(),
        address: "10.0.0.10:3389".to_owned(),
        selected_protocol: Some("HYBRID".to_owned()),
    }
}

fn said(chain: &[Certificate], name: &str, now: i64) -> Vec<PlatformVerdict> {
    let refusal = Some("it is signed by itself and not among the trusted roots of this machine".to_owned());
    let mut verdicts = vec![PlatformVerdict::asked("this machine's roots (webpki, no revocation)", refusal)];
    verdicts.extend(by_rules(chain, Some(name), now));
    verdicts
}

fn windows() -> Vec<Certificate> {
    load::certificates(WINDOWS, None).unwrap().iter().map(|der| inspect(der).unwrap()).collect()
}

#[test]
fn a_certificate_of_windows_for_people() {
    let chain = windows();
    let verdicts = said(&chain, "srv10.corp.example", NOW);
    let viewer = Viewer { now: NOW, name: Some("srv10.corp.example"), verdicts: &verdicts };
    assert_eq!(faults(&chain, &viewer), [""; 0], "self-signed is no fault");
    insta::assert_snapshot!(text(&server(), &chain, &viewer, &[]));
}

#[test]
fn the_same_when_it_is_over_and_for_programs() {
    let chain = windows();
    let verdicts = said(&chain, "srv10", NOW + 83 * DAY);
    let viewer = Viewer { now: NOW + 83 * DAY, name: Some("srv10"), verdicts: &verdicts };
    let faults = faults(&chain, &viewer);
    assert_eq!(faults, ["certificate-expired", "certificate-name-mismatch"]);
    insta::assert_json_snapshot!(report(server(), chain, &viewer, faults));
}

fn minted(recipe: &Recipe) -> Vec<Certificate> {
    let names = ["srv.example".parse::<Name>().unwrap()];
    let authority = Authority::new(&names, PrivateKey::generate(KeyKind::P256).unwrap(), NOW).unwrap();
    let key = LeafKey::New(KeyKind::P256);
    let request = Request { names: &names, server_chain: &[], authority: &authority, now: NOW, key };
    mint(recipe, &request).unwrap().identity.chain.iter().map(|der| inspect(der).unwrap()).collect()
}

fn found(chain: &[Certificate], now: i64) -> Vec<&'static str> {
    faults(chain, &Viewer { now, name: Some("srv.example"), verdicts: &[] })
}

#[test]
fn each_fault_has_its_id() {
    for (fault, id) in [
        (Fault::Expired, Some("certificate-expired")),
        (Fault::NotYetValid, Some("certificate-not-yet-valid")),
        (Fault::WrongName, Some("certificate-name-mismatch")),
        (Fault::WrongUsage, Some("certificate-wrong-usage")),
        (Fault::Sha1, Some("certificate-weak")),
        (Fault::WeakKey, Some("certificate-weak")),
        (Fault::SelfSigned, None),
    ] {
        assert_eq!(found(&minted(&Recipe::Broken(fault)), NOW), Vec::from_iter(id), "{fault:?}");
    }
    assert_eq!(found(&[], NOW), [""; 0]);
}

#[test]
fn an_issuer_that_is_over_is_a_fault_and_one_that_nobody_needs_is_none() {
    let chain = minted(&Recipe::Fresh);
    assert_eq!(found(&chain, NOW), [""; 0]);
    assert_eq!(found(&chain, NOW + 2 * DAY), ["certificate-expired"], "its CA is for a day");
    let own = minted(&Recipe::Broken(Fault::SelfSigned));
    assert_eq!(found(&[&own[..], &chain[1..]].concat(), NOW + 2 * DAY), [""; 0]);
}

#[test]
fn without_a_name_there_is_no_mismatch() {
    let chain = windows();
    let viewer = Viewer { now: NOW, name: None, verdicts: &[] };
    let report = report(Source::File { path: "own.pem".to_owned() }, chain, &viewer, Vec::new());
    assert_eq!(report.name_matches, None);
}
