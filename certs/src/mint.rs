//! Making server certificates.

#[cfg(test)]
mod tests;

use crate::authority::{
    Authority, AuthorityError, CLOCK_TOLERANCE, WRONG_NAME, common_name, date, random_serial,
};
use crate::identity::Identity;
use crate::key::{Hash, KeyError, KeyKind, PrivateKey};
use crate::mirror;
use crate::mode::{Fault, Recipe};
use crate::name::Name;
use crate::template::Template;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};

/// How long a leaf is good for, in seconds.
pub const LEAF_VALIDITY: i64 = 90 * DAY;
const DAY: i64 = 24 * 3600;
/// Longest common name (RFC 5280 appendix A, `ub-common-name`); longer names stand among the alternative names only.
const MAXIMUM_COMMON_NAME: usize = 64;
/// The common name where no name fits.
const OTHER_COMMON_NAME: &str = "rdpscope";

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The CA, the key or a date.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Mirroring without an original.
    #[error("there is no certificate of the server to mirror")]
    NothingToMirror,
    /// An original that cannot be taken apart.
    #[error("the server's certificate cannot be mirrored: its fields cannot be told apart")]
    Unreadable,
    /// No name to be for.
    #[error("a certificate needs a name to be for")]
    NoName,
    /// A name that cannot be written into a certificate.
    #[error("cannot make a certificate for {name:?}: {source}")]
    Name {
        /// The name.
        name: String,
        /// What was wrong.
        source: rcgen::Error,
    },
    /// A name that the CA may not sign for.
    #[error("the session CA may not sign for {name}")]
    NotPermitted {
        /// The name.
        name: Name,
    },
    /// A recipe for another key together with a key that is to be kept.
    #[error("{recipe} needs another key, and the key to sign for is given ({kind})")]
    KeyIsGiven {
        /// What was asked for.
        recipe: Recipe,
        /// The given key.
        kind: KeyKind,
    },
}

/// The key of a certificate to be made.
#[derive(Debug, Clone, Copy)]
pub enum LeafKey<'a> {
    /// A new one of this kind; recipes that say more about the key, as mirroring does, make their own.
    New(KeyKind),
    /// This one, which is the server's own: NLA binds to it (MS-CSSP 3.1.5), so that it works on.
    Given(&'a PrivateKey),
}

/// What a certificate is made from.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Names that the client may compare with: what it dials, what the target is called, addresses; the first becomes
    /// the common name.
    pub names: &'a [Name],
    /// The server's chain, its own certificate first; needed for mirroring.
    pub server_chain: &'a [Vec<u8>],
    /// Who signs.
    pub authority: &'a Authority,
    /// Seconds since 1970.
    pub now: i64,
    /// The key to sign for.
    pub key: LeafKey<'a>,
}

/// A certificate as asked for.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The chain and the key. The CA's certificate follows a leaf that it signed.
    pub identity: Identity,
    /// Where a mirrored certificate differs from the original beyond its key and its issuer, a sentence each: these
    /// may disturb an experiment.
    pub differences: Vec<String>,
}

/// Makes a certificate.
pub fn mint(recipe: &Recipe, request: &Request<'_>) -> Result<Minted, MintError> {
    match recipe {
        Recipe::Fresh => fresh(recipe, None, request),
        Recipe::Broken(fault) => fresh(recipe, Some(*fault), request),
        Recipe::Mirror(repairs) => mirror::mirror(repairs, request),
    }
}

/// A self-signed certificate like the one that Windows makes for Remote Desktop: subject and issuer are `CN=name`,
/// for server authentication only. Validity in seconds since 1970. The key is ECDSA P-256.
pub fn self_signed(name: &str, not_before: i64, not_after: i64) -> Result<Identity, MintError> {
    let mut parameters = CertificateParams::new(vec![name.to_owned()])
        .map_err(|source| MintError::Name { name: name.to_owned(), source })?;
    parameters.distinguished_name = common_name(name);
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.not_before = date(not_before)?;
    parameters.not_after = date(not_after)?;
    let key = PrivateKey::generate(KeyKind::P256)?;
    let certificate = parameters.self_signed(&key).map_err(AuthorityError::from)?;
    Ok(Identity { chain: vec![certificate.der().to_vec()], key })
}

fn fresh(recipe: &Recipe, fault: Option<Fault>, request: &Request<'_>) -> Result<Minted, MintError> {
    let wrong = [Name::Dns(WRONG_NAME.to_owned())];
    let names = if fault == Some(Fault::WrongName) { &wrong } else { request.names };
    let parameters = parameters(names, fault, request)?;
    let key = match (fault, request.key) {
        (Some(Fault::WeakKey), LeafKey::Given(key)) if !is_weak(key) => {
            return Err(MintError::KeyIsGiven { recipe: recipe.clone(), kind: key.kind() });
        }
        (_, LeafKey::Given(key)) => key.clone(),
        (Some(Fault::WeakKey), LeafKey::New(_)) => PrivateKey::generate(KeyKind::WEAK)?,
        (_, LeafKey::New(kind)) => PrivateKey::generate(kind)?,
    };
    let chain = match fault {
        Some(Fault::SelfSigned) => {
            vec![parameters.self_signed(&key).map_err(AuthorityError::from)?.der().to_vec()]
        }
        Some(Fault::Sha1) => {
            let leaf = request.authority.issue(&parameters, &key)?;
            let template = Template::read(&leaf).ok_or(MintError::Unreadable)?;
            issued(request.authority.issue_template(template, Hash::Sha1)?, request.authority)
        }
        _ => issued(request.authority.issue(&parameters, &key)?, request.authority),
    };
    Ok(Minted { identity: Identity { chain, key }, differences: Vec::new() })
}

/// A leaf and the CA that signed it.
pub(crate) fn issued(leaf: Vec<u8>, authority: &Authority) -> Vec<Vec<u8>> {
    vec![leaf, authority.certificate().to_vec()]
}

/// Whether current clients refuse the key as too short.
pub(crate) fn is_weak(key: &PrivateKey) -> bool {
    matches!((key.kind(), KeyKind::WINDOWS), (KeyKind::Rsa { bits }, KeyKind::Rsa { bits: least }) if bits < least)
}

fn parameters(
    names: &[Name],
    fault: Option<Fault>,
    request: &Request<'_>,
) -> Result<CertificateParams, MintError> {
    if let Some(name) = names.iter().find(|name| !request.authority.permits(name)) {
        return Err(MintError::NotPermitted { name: name.clone() });
    }
    let (not_before, not_after) = validity(fault, request.now);
    let usage = match fault {
        Some(Fault::WrongUsage) => ExtendedKeyUsagePurpose::ClientAuth,
        _ => ExtendedKeyUsagePurpose::ServerAuth,
    };
    let mut parameters = CertificateParams::default();
    let first = names.first().ok_or(MintError::NoName)?.to_string();
    let subject = if first.len() <= MAXIMUM_COMMON_NAME { &first } else { OTHER_COMMON_NAME };
    parameters.distinguished_name = common_name(subject);
    parameters.serial_number = Some(random_serial());
    parameters.not_before = date(not_before)?;
    parameters.not_after = date(not_after)?;
    parameters.subject_alt_names = names.iter().map(alternative_name).collect::<Result<_, _>>()?;
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    parameters.extended_key_usages = vec![usage];
    parameters.use_authority_key_identifier_extension = fault != Some(Fault::SelfSigned);
    Ok(parameters)
}

/// Begin and end of validity.
pub(crate) fn validity(fault: Option<Fault>, now: i64) -> (i64, i64) {
    let (from, until) = match fault {
        Some(Fault::Expired) => (-LEAF_VALIDITY, -DAY),
        Some(Fault::NotYetValid) => (DAY, LEAF_VALIDITY),
        _ => (-CLOCK_TOLERANCE, LEAF_VALIDITY),
    };
    (now.saturating_add(from), now.saturating_add(until))
}

fn alternative_name(name: &Name) -> Result<SanType, MintError> {
    match name {
        Name::Ip(address) => Ok(SanType::IpAddress(*address)),
        Name::Dns(text) => (text.as_str().try_into())
            .map(SanType::DnsName)
            .map_err(|source| MintError::Name { name: text.clone(), source }),
    }
}
