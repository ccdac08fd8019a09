//! How a pseudonym is made.

use super::Kind;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zeroize::Zeroizing;

/// The letters of a pseudonym: those of base32 (RFC 4648), which can be told apart when read aloud.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What pseudonyms are made with. Whoever has it can find out, by trying, which name a pseudonym stands for.
pub struct PseudonymKey(Zeroizing<[u8; PseudonymKey::LENGTH]>);

impl PseudonymKey {
    /// Bytes of a key.
    pub const LENGTH: usize = 32;

    /// The key with these bytes.
    pub fn new(bytes: [u8; PseudonymKey::LENGTH]) -> PseudonymKey {
        PseudonymKey(Zeroizing::new(bytes))
    }

    /// As many characters as `name` has, always the same for the same name and `attempt`, whatever its case: the kind's
    /// letter, then letters and digits that only the key explains.
    pub(super) fn word(&self, kind: Kind, name: &str, attempt: u32) -> String {
        let length = name.chars().count();
        let mut word = String::with_capacity(length);
        word.push(kind.letter());
        let mut block = 0;
        while word.len() < length {
            let digest =
                self.digest(&[b"word", name.to_lowercase().as_bytes(), &attempt.to_be_bytes(), &[block]]);
            word.extend(digest.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])));
            block = block.wrapping_add(1);
        }
        word.truncate(length);
        word
    }

    /// An address from the ranges for measurements and examples (RFC 2544, RFC 3849), which nobody has.
    pub(super) fn address(&self, address: IpAddr, attempt: u32) -> IpAddr {
        match address {
            IpAddr::V4(address) => {
                let digest = self.digest(&[b"ipv4", &address.octets(), &attempt.to_be_bytes()]);
                IpAddr::V4(Ipv4Addr::new(198, 18 + (digest[0] & 1), digest[1], digest[2]))
            }
            IpAddr::V6(address) => {
                let digest = self.digest(&[b"ipv6", &address.octets(), &attempt.to_be_bytes()]);
                let mut octets = [0; 16];
                octets[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
                octets[4..].copy_from_slice(&digest[..12]);
                IpAddr::V6(Ipv6Addr::from(octets))
            }
        }
    }

    fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}
