//! What a server may be asked for: every suite that needs nothing but a certificate, every group, every scheme.
//!
//! Suites of Kerberos, PSK, SRP and the like are left out, as no server takes them without more than a hello.

use crate::wire::tls::names::{TLS_1_2, TLS_1_3, group};
use std::sync::LazyLock;
use tls_parser::{TlsCipherAu, TlsCipherEnc, TlsCipherEncMode, TlsCipherKx, TlsCipherMac, TlsCipherSuite};

/// Bits of the longest key that counts as none: single DES and the export suites.
const WEAK_KEY_BITS: u16 = 64;

/// Groups that clients of Remote Desktop offer.
pub(super) const USUAL_GROUPS: &[u16] = &[
    group::X25519MLKEM768,
    group::X25519,
    group::SECP256R1,
    group::SECP384R1,
    group::SECP521R1,
    group::X448,
    group::FFDHE2048,
    group::FFDHE3072,
    group::FFDHE4096,
];

/// Groups beyond them that a server of TLS 1.3 may take.
const OTHER_GROUPS_1_3: &[u16] = &[
    group::FFDHE6144,
    group::FFDHE8192,
    group::SECP256R1MLKEM768,
    group::SECP384R1MLKEM1024,
    group::MLKEM512,
    group::MLKEM768,
    group::MLKEM1024,
    31,
    32,
    33,
];

/// Curves for ECDHE in TLS 1.2 and older: those in use, then Brainpool and what RFC 8422 has given up.
const CURVES: &[u16] = &[
    group::X25519,
    group::SECP256R1,
    group::SECP384R1,
    group::SECP521R1,
    group::X448,
    26,
    27,
    28,
    22,
    21,
    20,
    19,
    18,
    17,
    16,
    15,
    14,
    13,
    12,
    11,
    10,
    9,
    8,
    7,
    6,
    5,
    4,
    3,
    2,
    1,
];

/// Every signature scheme that a certificate of a server may need, SHA-1 and MD5 too.
pub(super) const SIGNATURE_SCHEMES: &[u16] = &[
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0401, 0x0501,
    0x0601, 0x0303, 0x0301, 0x0203, 0x0201, 0x0402, 0x0502, 0x0602, 0x0302, 0x0202, 0x0101, 0x0904, 0x0905,
    0x0906, 0x081a, 0x081b, 0x081c,
];

/// Suites that are looked for together. A hello with fewer suites is one that old servers can read, and families are
/// asked for at the same time. Servers prefer the first to the second and the second to the third.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    /// An ephemeral exchange, and every suite of TLS 1.3.
    ForwardSecret,
    /// RSA encryption, or a fixed Diffie-Hellman key.
    StaticKey,
    /// No certificate, no encryption, or encryption that is broken.
    Weak,
}

impl Family {
    /// All of them.
    pub(super) const ALL: [Family; 3] = [Family::ForwardSecret, Family::StaticKey, Family::Weak];

    fn of(suite: &TlsCipherSuite) -> Family {
        let broken = matches!(suite.enc, TlsCipherEnc::Null | TlsCipherEnc::Rc2 | TlsCipherEnc::Rc4)
            || suite.enc_size <= WEAK_KEY_BITS;
        if broken || suite.au == TlsCipherAu::Null || suite.kx == TlsCipherKx::Aecdh {
            Family::Weak
        } else if matches!(suite.kx, TlsCipherKx::Tls13 | TlsCipherKx::Ecdhe | TlsCipherKx::Dhe) {
            Family::ForwardSecret
        } else {
            Family::StaticKey
        }
    }
}

/// True where the server sends an ephemeral share of its own, and so its group (TLS 1.2 and older).
pub(super) fn has_server_key_exchange(suite: u16) -> bool {
    is_ecdhe(suite) || is_dhe(suite)
}

/// True where the exchange is ECDHE.
pub(super) fn is_ecdhe(suite: u16) -> bool {
    TlsCipherSuite::from_id(suite).is_some_and(|suite| suite.kx == TlsCipherKx::Ecdhe)
}

/// True where the exchange is DHE.
pub(super) fn is_dhe(suite: u16) -> bool {
    TlsCipherSuite::from_id(suite).is_some_and(|suite| suite.kx == TlsCipherKx::Dhe)
}

/// Every suite that `version` can use, the strong ones first.
pub(super) fn suites(version: u16) -> Vec<u16> {
    KNOWN.iter().filter(|suite| is_of(suite, version)).map(|suite| suite.id.0).collect()
}

/// All that can be taken, the strong ones first.
static KNOWN: LazyLock<Vec<&TlsCipherSuite>> = LazyLock::new(|| {
    let mut suites: Vec<_> =
        (1..=u16::MAX).filter_map(TlsCipherSuite::from_id).filter(|suite| can_be_taken(suite)).collect();
    suites.sort_by_key(|suite| {
        let aead = suite.mac == TlsCipherMac::Aead;
        let ecdhe = suite.kx == TlsCipherKx::Ecdhe;
        (Family::of(suite), !ecdhe, !aead, rarity(suite), u16::MAX - suite.enc_size, suite.id.0)
    });
    suites
});

/// Those of one family.
pub(super) fn family(version: u16, family: Family) -> Vec<u16> {
    let is_in = |&id: &u16| TlsCipherSuite::from_id(id).is_some_and(|suite| Family::of(suite) == family);
    suites(version).into_iter().filter(is_in).collect()
}

/// Those that clients of `version` offer, RC4 among them.
pub(super) fn usual(version: u16) -> Vec<u16> {
    let is_usual = |&id: &u16| TlsCipherSuite::from_id(id).is_some_and(is_usual);
    suites(version).into_iter().filter(is_usual).collect()
}

/// Every group that `version` can use.
pub(super) fn groups(version: u16) -> Vec<u16> {
    if version == TLS_1_3 { [USUAL_GROUPS, OTHER_GROUPS_1_3].concat() } else { CURVES.to_vec() }
}

fn can_be_taken(suite: &TlsCipherSuite) -> bool {
    let needs_only_a_certificate = matches!(
        suite.kx,
        TlsCipherKx::Rsa
            | TlsCipherKx::Dh
            | TlsCipherKx::Dhe
            | TlsCipherKx::Ecdh
            | TlsCipherKx::Ecdhe
            | TlsCipherKx::Aecdh
            | TlsCipherKx::Tls13
    );
    needs_only_a_certificate && suite.au != TlsCipherAu::Psk
}

/// RFC 5246 brought AEAD and the longer hashes, RFC 8446 suites of its own.
fn is_of(suite: &TlsCipherSuite, version: u16) -> bool {
    if (suite.kx == TlsCipherKx::Tls13) != (version == TLS_1_3) {
        return false;
    }
    version >= TLS_1_2 || matches!(suite.mac, TlsCipherMac::HmacMd5 | TlsCipherMac::HmacSha1)
}

fn is_usual(suite: &TlsCipherSuite) -> bool {
    let certified = matches!(suite.au, TlsCipherAu::Rsa | TlsCipherAu::Ecdsa | TlsCipherAu::Dss);
    let exchange = matches!(suite.kx, TlsCipherKx::Ecdhe | TlsCipherKx::Dhe | TlsCipherKx::Rsa);
    let cipher = match suite.enc {
        TlsCipherEnc::Aes => suite.enc_mode != TlsCipherEncMode::Ccm,
        TlsCipherEnc::Chacha20_Poly1305 | TlsCipherEnc::TripleDes => true,
        TlsCipherEnc::Rc4 => suite.enc_size > WEAK_KEY_BITS,
        _ => false,
    };
    cipher && (suite.kx == TlsCipherKx::Tls13 || certified && exchange)
}

fn rarity(suite: &TlsCipherSuite) -> u8 {
    match (suite.enc, suite.enc_mode) {
        (_, TlsCipherEncMode::Ccm) => 1,
        (TlsCipherEnc::Aes | TlsCipherEnc::Chacha20_Poly1305, _) => 0,
        (TlsCipherEnc::Camellia | TlsCipherEnc::Aria | TlsCipherEnc::Sm4 | TlsCipherEnc::Aegis, _) => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tls::names::{SSL_3_0, TLS_1_0, TLS_1_1};
    use std::collections::BTreeSet;

    const VERSIONS: [u16; 5] = [SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3];

    #[test]
    fn families_share_out_the_suites() {
        for version in VERSIONS {
            let all: BTreeSet<u16> = suites(version).into_iter().collect();
            let shared: Vec<u16> = Family::ALL.iter().flat_map(|&it| family(version, it)).collect();
            assert_eq!(shared.len(), all.len());
            assert_eq!(shared.iter().copied().collect::<BTreeSet<_>>(), all);
            assert!(usual(version).iter().all(|suite| all.contains(suite)));
            // What some old servers read at most.
            assert!(Family::ALL.iter().all(|&it| family(version, it).len() < 128));
        }
    }

    #[test]
    fn suites_are_where_they_belong() {
        let is_in = |id, version, wanted| family(version, wanted).contains(&id);
        assert!(is_in(0xc030, TLS_1_2, Family::ForwardSecret) && !suites(TLS_1_1).contains(&0xc030));
        assert!(is_in(0x0035, TLS_1_0, Family::StaticKey) && is_in(0x000a, TLS_1_0, Family::StaticKey));
        for weak in [0x0001, 0x0003, 0x0004, 0x0005, 0x0008, 0x0009, 0x0018, 0x0034, 0xc006, 0xc011, 0xc018] {
            assert!(is_in(weak, TLS_1_0, Family::Weak), "{weak:#06x}");
        }
        assert_eq!(suites(TLS_1_3)[..3], [0x1302, 0x1301, 0x1303]);
        for never in [0x0000, 0x001e, 0x008c, 0x00ff, 0x5600, 0xc01a, 0xc0b0] {
            assert!(VERSIONS.iter().all(|&version| !suites(version).contains(&never)), "{never:#06x}");
        }
    }

    #[test]
    fn usual_suites_are_those_of_clients() {
        let usual_1_2 = usual(TLS_1_2);
        for offered in [0xc030, 0xc028, 0xcca8, 0x009d, 0x002f, 0x000a, 0x0005, 0x0033] {
            assert!(usual_1_2.contains(&offered), "{offered:#06x}");
        }
        assert!(usual_1_2.len() < 64, "{}", usual_1_2.len());
        assert_eq!(usual(TLS_1_3), [0x1302, 0x1301, 0x1303]);
    }
}
