//! Where a certificate says that more is to be had: its revocation and its issuer (RFC 5280 sections 4.2.1.13, 4.2.2.1).

use super::Certificate;
use x509_parser::extensions::{
    AuthorityInfoAccess, CRLDistributionPoints, DistributionPointName, GeneralName,
};

/// id-ad-ocsp.
pub(super) const OCSP: &str = "1.3.6.1.5.5.7.48.1";
/// id-ad-caIssuers.
pub(super) const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

/// The URIs of one access method.
pub(super) fn access(information: &AuthorityInfoAccess<'_>, method: &str) -> Vec<String> {
    let of_method =
        information.iter().filter(|description| description.access_method.to_id_string() == method);
    of_method.filter_map(|description| uri(&description.access_location)).collect()
}

/// The URIs of revocation lists.
pub(super) fn distribution_points(points: &CRLDistributionPoints<'_>) -> Vec<String> {
    let names = points.iter().filter_map(|point| match &point.distribution_point {
        Some(DistributionPointName::FullName(names)) => Some(names),
        _ => None,
    });
    names.flatten().filter_map(uri).collect()
}

fn uri(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    }
}

/// The issuers that `chain` lacks on the way up from its first certificate, by common name, or by their whole name where
/// they have none. The order of the others plays no part. A root counts, too, though a server need not send it: whether
/// the client has it is not for the chain to say.
pub fn missing_issuers(chain: &[Certificate]) -> Vec<String> {
    let Some(mut current) = chain.first() else { return Vec::new() };
    // Each step leads to another certificate, or the names run in a circle.
    for _ in chain {
        if current.self_issued {
            return Vec::new();
        }
        match chain.iter().find(|above| above.subject == current.issuer) {
            Some(above) => current = above,
            None => return vec![current.issuer_cn.clone().unwrap_or_else(|| current.issuer.clone())],
        }
    }
    Vec::new()
}
