//! The server's certificate, and what this machine thinks of it.

use super::way::Way;
use crate::intercept::tls::{self, Judgement, Roots};
use crate::trace::{CertificateCheck, Detail};
use rdpscope_certs::clients::by_rules;
use rdpscope_certs::inspect::{inspect, missing_issuers};
use std::sync::Arc;
use std::time::Duration;

/// How long the system's verifier may take, which may fetch lists and issuers from elsewhere.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads this machine's roots, unless they were read before: hundreds of files, which the certificate need not wait for.
pub(super) fn prepare() {
    tokio::task::spawn_blocking(Roots::of_this_machine);
}

/// Looks at `chain` (DER, the server's own first), which `way` led to, as a client does that was told to connect there.
/// Nothing where no certificate came.
pub(super) async fn check(chain: Vec<Vec<u8>>, way: &Way) -> Option<CertificateCheck> {
    if chain.is_empty() {
        return None;
    }
    let name = way.server_name.clone();
    let now = jiff::Timestamp::now().as_second();
    tokio::task::spawn_blocking(move || {
        let judgement = tls::judge(&chain, &name, now, PATIENCE);
        certificate_check(&chain, &name, judgement, now)
    })
    .await
    .ok()
}

/// The same for the record.
pub(super) fn judged(check: &CertificateCheck) -> Detail {
    Detail::CertificateJudged {
        trusted: check.trusted,
        reason: check.reason.clone(),
        name: check.name.clone(),
        name_matches: check.name_matches,
        verifier: check.verifier.clone(),
        by_rules: check.by_rules.clone(),
    }
}

/// Looks at `chain` (DER, the server's own first) at `now`, seconds since 1970, for a client that was told to connect to
/// `name` and judges it so. The issuers of a chain that is trusted are there, in the chain or among the roots.
fn certificate_check(chain: &[Vec<u8>], name: &str, judgement: Judgement, now: i64) -> CertificateCheck {
    let mut check = CertificateCheck {
        trusted: judgement.trusted,
        reason: judgement.reason,
        name: name.to_owned(),
        name_matches: judgement.name_matches,
        verifier: Some(judgement.verifier),
        ..CertificateCheck::default()
    };
    let mut read = Vec::new();
    for (place, der) in chain.iter().enumerate() {
        match inspect(der) {
            Ok(certificate) => read.push(certificate),
            Err(error) => check.unreadable.push(format!("certificate {}: {error}", place + 1)),
        }
    }
    for certificate in &read {
        add(&mut check.ocsp, &certificate.ocsp);
        add(&mut check.crl, &certificate.crl);
        add(&mut check.issuers, &certificate.issuers);
    }
    if !check.trusted {
        check.missing_issuers = missing_issuers(&read);
    }
    check.by_rules = by_rules(&read, Some(name), now);
    check.chain = read.into_iter().map(Arc::new).collect();
    check
}

/// Certificates of one CA often name the same addresses.
fn add(addresses: &mut Vec<String>, more: &[String]) {
    for address in more {
        if !addresses.contains(address) {
            addresses.push(address.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CrlDistributionPoint, DnType, IsCa, Issuer, KeyPair};

    /// 2026-06-01.
    const NOW: i64 = 1_780_272_000;

    fn parameters(name: &str, is_ca: bool) -> CertificateParams {
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        if is_ca {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        parameters.crl_distribution_points =
            vec![CrlDistributionPoint { uris: vec!["http://ca.example/1.crl".to_owned()] }];
        parameters
    }

    /// The chain from a server called `host` to a root.
    fn chain() -> [Vec<u8>; 3] {
        let [root_key, middle_key, key] = [(); 3].map(|()| KeyPair::generate().unwrap());
        let root = parameters("root", true);
        let middle = parameters("middle", true);
        let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
        let root = Issuer::new(root, root_key);
        let middle_der = middle.signed_by(&middle_key, &root).unwrap().der().to_vec();
        let middle = Issuer::new(middle, middle_key);
        [parameters("host", false).signed_by(&key, &middle).unwrap().der().to_vec(), middle_der, root_der]
    }

    #[test]
    fn what_a_chain_lacks_is_named_where_it_is_not_trusted() {
        let [own, middle, root] = chain();
        let roots = Roots::of([root.clone()]);
        let look = |chain: &[Vec<u8>], name: &str, roots: &Roots| {
            certificate_check(chain, name, roots.judge(chain, name, NOW), NOW)
        };
        let trusted = look(&[own.clone(), middle.clone()], "host", &roots);
        assert_eq!((trusted.trusted, trusted.name_matches, &trusted.reason), (true, true, &None));
        assert_eq!((trusted.chain.len(), trusted.missing_issuers.len()), (2, 0), "the root is known");
        assert_eq!(trusted.crl, ["http://ca.example/1.crl"]);
        let json = serde_json::to_value(&trusted.chain[0]).unwrap();
        assert_eq!(json["crl"], serde_json::json!(["http://ca.example/1.crl"]));
        assert!(json.get("ocsp").is_none() && json.get("issuers").is_none(), "what is not named is left out");

        let lacking = look(std::slice::from_ref(&own), "other", &roots);
        assert_eq!((lacking.trusted, lacking.name_matches), (false, false));
        assert_eq!(lacking.missing_issuers, ["middle"]);
        let stranger = look(&[own.clone(), middle, root], "host", &Roots::of([]));
        assert!(!stranger.trusted && stranger.missing_issuers.is_empty(), "{stranger:?}");

        let broken = look(&[own, vec![0x30, 1]], "host", &roots);
        assert_eq!((broken.chain.len(), broken.unreadable.len()), (1, 1));
        assert!(broken.unreadable[0].starts_with("certificate 2: "), "{broken:?}");
    }
}
