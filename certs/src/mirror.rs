//! The server's certificate rebuilt field by field for another key.
//!
//! The issuer becomes the session CA under its own name, not under that of the original issuer: a client that trusts
//! the session CA looks it up by its subject, and under the original's name would find the wrong CA or none.

use crate::authority::{AuthorityError, random_serial};
use crate::der;
use crate::identity::Identity;
use crate::inspect::{Certificate, Weakness, inspect};
use crate::key::{Hash, KeyKind, PrivateKey};
use crate::mint::{LeafKey, MintError, Minted, Request, is_weak, issued, validity};
use crate::mode::{Recipe, Repair};
use crate::name::Name;
use crate::template::{Extension, Template};
use std::collections::BTreeSet;
use std::net::IpAddr;
use time::OffsetDateTime;

/// Content octets of object identifiers, RFC 5280 4.2.
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// Extensions that speak of the key, of the issuer or of the very certificate and would be wrong in a copy.
const NOT_COPIED: [(&[u8], &str); 6] = [
    (&[0x55, 0x1d, 0x0e], "subjectKeyIdentifier"),
    (&[0x55, 0x1d, 0x23], "authorityKeyIdentifier"),
    (&[0x55, 0x1d, 0x1f], "cRLDistributionPoints"),
    (&[0x55, 0x1d, 0x2e], "freshestCRL"),
    (&[0x2b, 6, 1, 5, 5, 7, 1, 1], "authorityInfoAccess"),
    // 1.3.6.1.4.1.11129.2.4.2, RFC 6962 3.3
    (&[0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 2], "signedCertificateTimestamps"),
];
/// ExtKeyUsageSyntax with serverAuth, 1.3.6.1.5.5.7.3.1.
const SERVER_AUTHENTICATION: &[u8] = &[0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
/// KeyUsage with digitalSignature and keyEncipherment.
const SERVER_KEY_USAGE: &[u8] = &[der::BIT_STRING, 2, 5, 0xa0];
/// `[2] dNSName` and `[7] iPAddress` of a GeneralName (RFC 5280 4.2.1.6).
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
/// Dates from this year on are GeneralizedTime (RFC 5280 4.1.2.5).
const FIRST_GENERALIZED_YEAR: i32 = 2050;
/// RSA keys are made with at least as many bits; shorter ones cannot sign a TLS handshake.
const MINIMUM_RSA_BITS: usize = 1024;
/// RSA keys are made with at most as many bits: longer ones take many seconds, and no client refuses 2048.
const MAXIMUM_RSA_BITS: usize = 2048;

/// Rebuilds the server's certificate with `repairs`.
pub(crate) fn mirror(repairs: &BTreeSet<Repair>, request: &Request<'_>) -> Result<Minted, MintError> {
    let original = request.server_chain.first().ok_or(MintError::NothingToMirror)?;
    let certificate = inspect(original).map_err(|_| MintError::Unreadable)?;
    let mut template = Template::read(original).ok_or(MintError::Unreadable)?;
    let key = key(repairs, &certificate, request)?;
    template.set_key(&key);
    let left_out = leave_out(&mut template);
    for repair in repairs {
        match repair {
            Repair::Dates => template.validity = dates(request.now)?,
            Repair::Names => add_names(&mut template, &certificate, request.names),
            Repair::Usage => set_usage(&mut template),
            Repair::Strength => strengthen(&mut template, &certificate),
            Repair::Issuer => {}
        }
    }
    let by_itself = certificate.self_signed && !repairs.contains(&Repair::Issuer);
    let hash = if repairs.contains(&Repair::Strength) { Hash::Sha256 } else { hash(&certificate) };
    let chain = if by_itself {
        vec![template.sign(&key, possible(hash, &key))?]
    } else {
        let signer = request.authority.key_kind();
        issued(request.authority.issue_template(template, possible_for(hash, signer))?, request.authority)
    };
    let mut minted = Minted { identity: Identity { chain, key }, differences: left_out };
    describe(&mut minted, &certificate, repairs, (!by_itself).then_some(request));
    Ok(minted)
}

fn key(
    repairs: &BTreeSet<Repair>,
    original: &Certificate,
    request: &Request<'_>,
) -> Result<PrivateKey, MintError> {
    let strong = repairs.contains(&Repair::Strength);
    match request.key {
        LeafKey::Given(key) if strong && is_weak(key) => {
            Err(MintError::KeyIsGiven { recipe: Recipe::Mirror(repairs.clone()), kind: key.kind() })
        }
        LeafKey::Given(key) => Ok(key.clone()),
        LeafKey::New(_) if strong => Ok(PrivateKey::generate(KeyKind::WINDOWS)?),
        LeafKey::New(_) => Ok(PrivateKey::generate(kind_like(original))?),
    }
}

/// The nearest kind of key that can be made.
fn kind_like(original: &Certificate) -> KeyKind {
    match (original.key_algorithm.as_str(), original.key_bits) {
        ("RSA", Some(bits)) => KeyKind::Rsa {
            bits: usize::try_from(bits).unwrap_or(MAXIMUM_RSA_BITS).clamp(MINIMUM_RSA_BITS, MAXIMUM_RSA_BITS),
        },
        ("ECDSA P-384" | "ECDSA P-521", _) => KeyKind::P384,
        (algorithm, _) if algorithm.starts_with("ECDSA") || algorithm.starts_with("Ed") => KeyKind::P256,
        _ => KeyKind::WINDOWS,
    }
}

fn hash(original: &Certificate) -> Hash {
    let algorithm = original.signature_algorithm.to_ascii_lowercase();
    match algorithm.as_str() {
        _ if algorithm.starts_with("md") => Hash::Md5,
        _ if algorithm.contains("sha1") => Hash::Sha1,
        _ if algorithm.contains("sha384") => Hash::Sha384,
        _ if algorithm.contains("sha512") => Hash::Sha512,
        _ => Hash::Sha256,
    }
}

fn possible(hash: Hash, key: &PrivateKey) -> Hash {
    possible_for(hash, key.kind())
}

/// MD5 exists with RSA alone; SHA-1 is the next weak.
fn possible_for(hash: Hash, kind: KeyKind) -> Hash {
    match (hash, kind) {
        (Hash::Md5, KeyKind::P256 | KeyKind::P384) => Hash::Sha1,
        _ => hash,
    }
}

fn leave_out(template: &mut Template) -> Vec<String> {
    let (removed, kept): (Vec<_>, Vec<_>) =
        template.extensions.drain(..).partition(|extension| name_if_not_copied(extension).is_some());
    template.extensions = kept;
    let names: Vec<_> = removed.iter().filter_map(name_if_not_copied).collect();
    if names.is_empty() {
        Vec::new()
    } else {
        vec![format!(
            "it is without the extensions that speak of the original's key or issuer: {}",
            names.join(", ")
        )]
    }
}

fn name_if_not_copied(extension: &Extension) -> Option<&'static str> {
    NOT_COPIED.iter().find(|(identifier, _)| *identifier == extension.identifier).map(|(_, name)| *name)
}

fn dates(now: i64) -> Result<Vec<u8>, MintError> {
    let (from, until) = validity(None, now);
    Ok(der::write_parts(der::SEQUENCE, &[&date(from)?, &date(until)?]))
}

fn date(unix_seconds: i64) -> Result<Vec<u8>, MintError> {
    let at = OffsetDateTime::from_unix_timestamp(unix_seconds).map_err(|_| AuthorityError::Date)?;
    let text = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    match at.year() {
        1950..FIRST_GENERALIZED_YEAR => Ok(der::write(der::UTC_TIME, &text.as_bytes()[2..])),
        _ => Ok(der::write(der::GENERALIZED_TIME, text.as_bytes())),
    }
}

/// Adds what is missing among the alternative names. Where there were none, clients went by the common name, which
/// therefore joins them.
fn add_names(template: &mut Template, original: &Certificate, names: &[Name]) {
    let existing =
        template.extension(SUBJECT_ALTERNATIVE_NAME).and_then(Extension::value).and_then(der::read);
    let mut all: Vec<Vec<u8>> = match existing.and_then(|(names, _)| der::read_all(names.content)) {
        Some(names) => names.iter().map(|name| name.whole.to_vec()).collect(),
        None => original
            .subject_cn
            .iter()
            .filter_map(|name| name.parse().ok())
            .map(|name| general_name(&name))
            .collect(),
    };
    for name in names.iter().map(general_name) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    let names = der::write(der::SEQUENCE, &all.concat());
    template.set_extension(Extension::new(SUBJECT_ALTERNATIVE_NAME, false, &names));
}

fn general_name(name: &Name) -> Vec<u8> {
    match name {
        Name::Dns(name) => der::write(DNS_NAME, name.as_bytes()),
        Name::Ip(IpAddr::V4(address)) => der::write(IP_ADDRESS, &address.octets()),
        Name::Ip(IpAddr::V6(address)) => der::write(IP_ADDRESS, &address.octets()),
    }
}

/// Server authentication; a key usage that is there becomes that of a server.
fn set_usage(template: &mut Template) {
    template.set_extension(Extension::new(EXTENDED_KEY_USAGE, false, SERVER_AUTHENTICATION));
    if template.extension(KEY_USAGE).is_some() {
        template.set_extension(Extension::new(KEY_USAGE, true, SERVER_KEY_USAGE));
    }
}

fn strengthen(template: &mut Template, original: &Certificate) {
    template.set_version_3();
    if original.weaknesses().contains(&Weakness::BadSerial) {
        template.serial_number = der::write(der::INTEGER, &random_serial().to_bytes());
    }
}

/// Adds what the finished certificate says differently.
fn describe(
    minted: &mut Minted,
    original: &Certificate,
    repairs: &BTreeSet<Repair>,
    issued: Option<&Request<'_>>,
) {
    let Ok(copy) = inspect(minted.identity.leaf()) else { return };
    if !repairs.contains(&Repair::Strength) {
        let (was, is) = (key_words(original), key_words(&copy));
        if was != is {
            minted.differences.push(format!("its key is {is}, the original's {was}"));
        }
        let (was, is) = (&original.signature_algorithm, &copy.signature_algorithm);
        if was != is {
            minted.differences.push(format!("its signature is {is}, the original's {was}"));
        }
    }
    let Some(request) = issued else { return };
    let named = copy.sans.iter().chain(copy.subject_cn.iter().filter(|_| copy.sans.is_empty()));
    for name in named.filter_map(|name| name.parse::<Name>().ok()) {
        if !request.authority.permits(&name) {
            minted.differences.push(format!(
                "it carries the name {name}, for which the session CA may not sign, so that clients may refuse it"
            ));
        }
    }
}

fn key_words(certificate: &Certificate) -> String {
    match (certificate.key_algorithm.as_str(), certificate.key_bits) {
        ("RSA", Some(bits)) => format!("RSA {bits}"),
        (algorithm, _) => algorithm.to_owned(),
    }
}
