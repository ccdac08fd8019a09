//! The pseudorandom functions of TLS: PRF (RFC 2246 section 5, RFC 5246 section 5) and HKDF-Expand-Label (RFC 8446
//! section 7.1).

use super::secrets::Secret;
use crate::wire::tls::names::TLS_1_2;
use hmac::{Hmac, Mac, digest::KeyInit};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384};
use zeroize::Zeroizing;

/// The hash of a cipher suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
}

impl Hash {
    /// Bytes of its output, which is also the length of a traffic secret.
    pub(super) fn length(self) -> usize {
        match self {
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
        }
    }
}

/// The PRF of `version`; in TLS 1.2 with `hash`, before with MD5 and SHA-1.
pub(super) fn prf(
    version: u16,
    hash: Hash,
    secret: &[u8],
    label: &[u8],
    seed: &[&[u8]],
    length: usize,
) -> Secret {
    let mut output = Zeroizing::new(vec![0; length]);
    match (version, hash) {
        (..TLS_1_2, _) => {
            let half = secret.len().div_ceil(2);
            expand::<Hmac<Md5>>(&secret[..half], label, seed, &mut output);
            expand::<Hmac<Sha1>>(&secret[secret.len() - half..], label, seed, &mut output);
        }
        (_, Hash::Sha256) => expand::<Hmac<Sha256>>(secret, label, seed, &mut output),
        (_, Hash::Sha384) => expand::<Hmac<Sha384>>(secret, label, seed, &mut output),
    }
    output
}

/// The hash of the handshake so far that an extended master secret depends on (RFC 7627 section 3).
pub(super) fn session_hash(version: u16, hash: Hash, messages: &[u8]) -> Vec<u8> {
    match (version, hash) {
        (..TLS_1_2, _) => [&Md5::digest(messages)[..], &Sha1::digest(messages)[..]].concat(),
        (_, Hash::Sha256) => Sha256::digest(messages).to_vec(),
        (_, Hash::Sha384) => Sha384::digest(messages).to_vec(),
    }
}

/// HKDF-Expand-Label without context; `length` is at most that of the hash.
pub(super) fn expand_label(hash: Hash, secret: &[u8], label: &str, length: usize) -> Secret {
    let label = [b"tls13 ", label.as_bytes()].concat();
    // One block of HKDF-Expand holds it all, so that the counter after the info is 1.
    let info = [&(length as u16).to_be_bytes()[..], &[label.len() as u8], &label, &[0, 1]].concat();
    let mut output = match hash {
        Hash::Sha256 => authenticate::<Hmac<Sha256>>(secret, &[&info]),
        Hash::Sha384 => authenticate::<Hmac<Sha384>>(secret, &[&info]),
    };
    output.truncate(length);
    output
}

/// P_hash, combined with what `output` holds by exclusive or.
fn expand<M: Mac + KeyInit>(secret: &[u8], label: &[u8], seed: &[&[u8]], output: &mut [u8]) {
    let seed = [label, &seed.concat()].concat();
    let mut block = authenticate::<M>(secret, &[&seed]);
    let mut rest = output;
    while !rest.is_empty() {
        let bytes = authenticate::<M>(secret, &[&block, &seed]);
        let (part, later) = rest.split_at_mut(bytes.len().min(rest.len()));
        part.iter_mut().zip(bytes.iter()).for_each(|(output, byte)| *output ^= byte);
        rest = later;
        block = authenticate::<M>(secret, &[&block]);
    }
}

fn authenticate<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Secret {
    let mut mac = <M as Mac>::new_from_slice(key).expect("an HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}
