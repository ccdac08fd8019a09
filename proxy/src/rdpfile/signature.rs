//! The signature of a profile, as rdpsign.exe makes it: PKCS #7 (RFC 5652) over the signed lines.
//!
//! `signscope` lists the names of the signed settings. What is signed is their lines in that order, then the line of
//! `signscope`, each with CR LF, and a NUL, all in UTF-16. `signature` holds in Base64 three numbers of four bytes
//! (0x00010001, 1, the length), then SignedData without its content. Nobody has published that; it is what signers of
//! such files were found to do, and what holds for files that they signed.

use super::encoding::Encoding;
use super::profile::Profile;
use crate::wire::http::base64;
use ring::digest::{self, digest};
use ring::signature::{self as algorithms, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::asn1_rs::{Any, FromDer, Oid};
use x509_parser::certificate::X509Certificate;

/// What stands in front of the SignedData.
const ENVELOPE_LENGTH: usize = 12;
const ENVELOPE_START: [u8; 8] = [1, 0, 1, 0, 1, 0, 0, 0];

const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";

/// RSA with the padding of PKCS #1 1.5: by itself, and with each hash.
const RSA: [&str; 5] = [
    "1.2.840.113549.1.1.1",
    "1.2.840.113549.1.1.5",
    "1.2.840.113549.1.1.11",
    "1.2.840.113549.1.1.12",
    "1.2.840.113549.1.1.13",
];

const SEQUENCE: u32 = 16;
const SET: u32 = 17;
const OCTET_STRING: u32 = 4;
/// The tag of a SET, which stands in the place of `[0]` when attributes are signed (RFC 5652 5.4).
const SET_BYTE: u8 = 0x31;

/// What a signature came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureState {
    /// It fits the lines that it covers.
    Fits {
        /// The common name of who signed; whether anybody trusts them is another question.
        signer: Option<String>,
    },
    /// Something was changed after it was made, or it was never one.
    Broken(Fault),
    /// Its algorithm is not known here.
    Unknown,
}

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Only one of the two lines is there.
    #[error("the line {0} is missing")]
    Incomplete(&'static str),
    /// A setting in the list is not in the profile.
    #[error("{0:?} is signed and not in the profile")]
    Missing(String),
    /// No Base64, or not in its envelope.
    #[error("it is no signature of a profile")]
    Malformed,
    /// The lines have another hash.
    #[error("a signed line was changed")]
    Changed,
    /// The hash is right and the signature is by none of the certificates in it.
    #[error("it is not by the certificate that comes with it")]
    Forged,
}

/// What the signature of `profile` came to; `None` where it has none.
pub fn check(profile: &Profile) -> Option<SignatureState> {
    let (scope, signature) = match (profile.value("signscope"), profile.value("signature")) {
        (None, None) => return None,
        (Some(_), None) => return Some(SignatureState::Broken(Fault::Incomplete("signature:s:"))),
        (None, Some(_)) => return Some(SignatureState::Broken(Fault::Incomplete("signscope:s:"))),
        (Some(scope), Some(signature)) => (scope, signature),
    };
    let state = match signed_lines(profile, scope) {
        Err(fault) => SignatureState::Broken(fault),
        Ok(message) => match envelope(signature).as_deref().and_then(Signed::read) {
            None => SignatureState::Broken(Fault::Malformed),
            Some(signed) => signed.verify(&message),
        },
    };
    Some(state)
}

/// The names of the settings that a list covers.
pub fn covered(scope: &str) -> impl Iterator<Item = &str> {
    scope.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// What was signed.
fn signed_lines(profile: &Profile, scope: &str) -> Result<Vec<u8>, Fault> {
    let mut text = String::new();
    for name in covered(scope).chain(["signscope"]) {
        let (index, _) = profile.last(name).ok_or_else(|| Fault::Missing(name.to_owned()))?;
        text += &profile.lines()[index].text;
        text += "\r\n";
    }
    text.push('\0');
    Ok(Encoding::Utf16Little { mark: false }.encode(&text))
}

/// The SignedData in the value of `signature`, which signers break into groups with spaces between them.
fn envelope(value: &str) -> Option<Vec<u8>> {
    let digits: String = value.split_whitespace().collect();
    let bytes = base64::decode(&digits)?;
    let (envelope, rest) = bytes.split_at_checked(ENVELOPE_LENGTH)?;
    let length = envelope.strip_prefix(&ENVELOPE_START)?.try_into().map(u32::from_le_bytes).ok()?;
    rest.get(..usize::try_from(length).ok()?).map(<[u8]>::to_vec)
}

/// What is needed of a SignedData with one signer.
struct Signed<'a> {
    certificates: Vec<X509Certificate<'a>>,
    digest_algorithm: String,
    signature_algorithm: String,
    /// The attributes as they are signed, and the hash in them.
    attributes: Option<(Vec<u8>, &'a [u8])>,
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Reads a ContentInfo (RFC 5652 3, 5.1, 5.3).
    fn read(der: &'a [u8]) -> Option<Signed<'a>> {
        let content_info = elements(only(der, SEQUENCE)?);
        let [kind, content] = content_info[..] else { return None };
        (oid(kind)? == SIGNED_DATA).then_some(())?;
        let signed_data = elements(only(content.body, SEQUENCE)?);
        let certificates = signed_data.iter().find(|it| it.is_context(0))?;
        let certificates = elements(certificates.body)
            .into_iter()
            .filter_map(|it| X509Certificate::from_der(it.whole).ok().map(|(_, certificate)| certificate));
        let signers = signed_data.last().filter(|it| it.tag == SET)?;
        let signer = elements(only(signers.body, SEQUENCE)?);
        let [_version, _who, digest_algorithm, rest @ ..] = &signer[..] else { return None };
        let attributes = rest.first().filter(|it| it.is_context(0));
        let [signature_algorithm, signature, ..] = &rest[usize::from(attributes.is_some())..] else {
            return None;
        };
        (signature.tag == OCTET_STRING).then_some(())?;
        Some(Signed {
            certificates: certificates.collect(),
            digest_algorithm: oid(*elements(digest_algorithm.body).first()?)?,
            signature_algorithm: oid(*elements(signature_algorithm.body).first()?)?,
            attributes: match attributes {
                Some(attributes) => Some((as_set(attributes.whole), message_digest(attributes.body)?)),
                None => None,
            },
            signature: signature.body,
        })
    }

    fn verify(&self, message: &[u8]) -> SignatureState {
        let Some(hash) = hash_algorithm(&self.digest_algorithm) else { return SignatureState::Unknown };
        let (signed, broken) = match &self.attributes {
            Some((_, expected)) if digest(hash, message).as_ref() != *expected => {
                return SignatureState::Broken(Fault::Changed);
            }
            Some((attributes, _)) => (&attributes[..], Fault::Forged),
            None => (message, Fault::Changed),
        };
        let Some(algorithm) = rsa(&self.signature_algorithm, hash) else { return SignatureState::Unknown };
        let signer = self.certificates.iter().find(|certificate| {
            let key = &certificate.public_key().subject_public_key.data;
            UnparsedPublicKey::new(algorithm, key).verify(signed, self.signature).is_ok()
        });
        let Some(signer) = signer else { return SignatureState::Broken(broken) };
        let mut names = signer.subject().iter_common_name();
        SignatureState::Fits { signer: names.next().and_then(|name| name.as_str().ok()).map(str::to_owned) }
    }
}

fn hash_algorithm(oid: &str) -> Option<&'static digest::Algorithm> {
    Some(match oid {
        "1.3.14.3.2.26" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "2.16.840.1.101.3.4.2.1" => &digest::SHA256,
        "2.16.840.1.101.3.4.2.2" => &digest::SHA384,
        "2.16.840.1.101.3.4.2.3" => &digest::SHA512,
        _ => return None,
    })
}

fn rsa(oid: &str, hash: &digest::Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    RSA.contains(&oid).then_some(())?;
    Some(match hash {
        _ if *hash == digest::SHA1_FOR_LEGACY_USE_ONLY => {
            &algorithms::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY
        }
        _ if *hash == digest::SHA256 => &algorithms::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        _ if *hash == digest::SHA384 => &algorithms::RSA_PKCS1_2048_8192_SHA384,
        _ => &algorithms::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    })
}

/// One element of DER.
#[derive(Debug, Clone, Copy)]
struct Element<'a> {
    tag: u32,
    is_context_class: bool,
    body: &'a [u8],
    whole: &'a [u8],
}

impl Element<'_> {
    fn is_context(&self, number: u32) -> bool {
        self.is_context_class && self.tag == number
    }
}

/// The elements of `bytes`, up to the first that is broken.
fn elements(mut bytes: &[u8]) -> Vec<Element<'_>> {
    let mut elements = Vec::new();
    while let Ok((rest, any)) = Any::from_der(bytes) {
        elements.push(Element {
            tag: any.header.tag().0,
            is_context_class: any.header.is_contextspecific(),
            body: any.data,
            whole: &bytes[..bytes.len() - rest.len()],
        });
        bytes = rest;
        if bytes.is_empty() {
            break;
        }
    }
    elements
}

/// The content of the first element, if that has this tag.
fn only(bytes: &[u8], tag: u32) -> Option<&[u8]> {
    elements(bytes).first().filter(|it| it.tag == tag && !it.is_context_class).map(|it| it.body)
}

fn oid(element: Element<'_>) -> Option<String> {
    Oid::from_der(element.whole).ok().map(|(_, oid)| oid.to_id_string())
}

fn as_set(attributes: &[u8]) -> Vec<u8> {
    [&[SET_BYTE], &attributes[1..]].concat()
}

/// The hash of the content among the attributes.
fn message_digest(attributes: &[u8]) -> Option<&[u8]> {
    elements(attributes).into_iter().find_map(|attribute| {
        let attribute = elements(attribute.body);
        let [kind, values] = attribute[..] else { return None };
        (oid(kind)? == MESSAGE_DIGEST).then_some(())?;
        only(values.body, OCTET_STRING)
    })
}

#[cfg(test)]
mod tests;
