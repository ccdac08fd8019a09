//! IANA's names for the numbers of TLS, and the few properties of them that a diagnosis rests on.

use schemars::JsonSchema;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use tls_parser::{TlsCipherEncMode, TlsCipherKx, TlsCipherSuite};

/// SSL 3.0 as it stands in a version field.
pub const SSL_3_0: u16 = 0x0300;
/// TLS 1.0 as it stands in a version field.
pub const TLS_1_0: u16 = 0x0301;
/// TLS 1.1 as it stands in a version field.
pub const TLS_1_1: u16 = 0x0302;
/// TLS 1.2 as it stands in a version field.
pub const TLS_1_2: u16 = 0x0303;
/// TLS 1.3 as it stands in the supported_versions extension.
pub const TLS_1_3: u16 = 0x0304;

/// Named groups, as numbers (RFC 8446 section 4.2.7).
pub mod group {
    /// secp256r1
    pub const SECP256R1: u16 = 23;
    /// secp384r1
    pub const SECP384R1: u16 = 24;
    /// secp521r1
    pub const SECP521R1: u16 = 25;
    /// x25519
    pub const X25519: u16 = 29;
    /// x448
    pub const X448: u16 = 30;
    /// ffdhe2048
    pub const FFDHE2048: u16 = 256;
    /// ffdhe3072
    pub const FFDHE3072: u16 = 257;
    /// ffdhe4096
    pub const FFDHE4096: u16 = 258;
    /// ffdhe6144
    pub const FFDHE6144: u16 = 259;
    /// ffdhe8192
    pub const FFDHE8192: u16 = 260;
    /// MLKEM512
    pub const MLKEM512: u16 = 512;
    /// MLKEM768
    pub const MLKEM768: u16 = 513;
    /// MLKEM1024
    pub const MLKEM1024: u16 = 514;
    /// SecP256r1MLKEM768
    pub const SECP256R1MLKEM768: u16 = 4587;
    /// X25519MLKEM768
    pub const X25519MLKEM768: u16 = 4588;
    /// SecP384r1MLKEM1024
    pub const SECP384R1MLKEM1024: u16 = 4589;
}

/// A number of a TLS registry and its name there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct CodePoint {
    /// The number on the wire; in JSON as `"0xc030"`.
    #[serde(serialize_with = "write_hexadecimal", deserialize_with = "read_hexadecimal")]
    #[schemars(with = "String")]
    pub id: u16,
    /// IANA's name, `null` where the registry has none.
    pub name: Option<Cow<'static, str>>,
}

impl CodePoint {
    fn new(id: u16, name: Option<&'static str>) -> Self {
        CodePoint { id, name: name.map(Cow::Borrowed) }
    }
}

impl std::fmt::Display for CodePoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "{:#06x}", self.id),
        }
    }
}

fn write_hexadecimal<S: Serializer>(id: &u16, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{id:#06x}"))
}

fn read_hexadecimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    deserializer.deserialize_str(Hexadecimal)
}

/// Reads `"0xc030"` where it stands: a ClientHello has some sixty of them.
struct Hexadecimal;

impl Visitor<'_> for Hexadecimal {
    type Value = u16;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a number like \"0xc030\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u16, E> {
        let digits = text.strip_prefix("0x").ok_or_else(|| E::custom("does not start with 0x"))?;
        u16::from_str_radix(digits, 16).map_err(E::custom)
    }
}

/// `"SSL3.0"`, `"TLS1.0"` to `"TLS1.3"`; anything else as `"0x7f1c"`. The known names sort in order of age.
pub fn version(version: u16) -> Cow<'static, str> {
    Cow::Borrowed(match version {
        SSL_3_0 => "SSL3.0",
        TLS_1_0 => "TLS1.0",
        TLS_1_1 => "TLS1.1",
        TLS_1_2 => "TLS1.2",
        TLS_1_3 => "TLS1.3",
        other => return Cow::Owned(format!("{other:#06x}")),
    })
}

/// True for the values that clients sprinkle in to keep servers tolerant (RFC 8701).
pub fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// A cipher suite with its name.
pub fn cipher_suite(id: u16) -> CodePoint {
    CodePoint::new(id, TlsCipherSuite::from_id(id).map(|suite| suite.name))
}

/// True where the key exchange is RSA encryption: no forward secrecy, and modern TLS libraries refuse it.
pub fn is_rsa_key_exchange(cipher_suite: u16) -> bool {
    TlsCipherSuite::from_id(cipher_suite).is_some_and(|suite| suite.kx == TlsCipherKx::Rsa)
}

/// True where the cipher runs in CBC mode, which modern TLS libraries refuse.
pub fn is_cbc(cipher_suite: u16) -> bool {
    TlsCipherSuite::from_id(cipher_suite).is_some_and(|suite| suite.enc_mode == TlsCipherEncMode::Cbc)
}

/// A named group (supported_groups, key_share, named curve) with its name.
pub fn named_group(id: u16) -> CodePoint {
    let name = match id {
        1 => "sect163k1",
        2 => "sect163r1",
        3 => "sect163r2",
        4 => "sect193r1",
        5 => "sect193r2",
        6 => "sect233k1",
        7 => "sect233r1",
        8 => "sect239k1",
        9 => "sect283k1",
        10 => "sect283r1",
        11 => "sect409k1",
        12 => "sect409r1",
        13 => "sect571k1",
        14 => "sect571r1",
        15 => "secp160k1",
        16 => "secp160r1",
        17 => "secp160r2",
        18 => "secp192k1",
        19 => "secp192r1",
        20 => "secp224k1",
        21 => "secp224r1",
        22 => "secp256k1",
        23 => "secp256r1",
        24 => "secp384r1",
        25 => "secp521r1",
        26 => "brainpoolP256r1",
        27 => "brainpoolP384r1",
        28 => "brainpoolP512r1",
        29 => "x25519",
        30 => "x448",
        31 => "brainpoolP256r1tls13",
        32 => "brainpoolP384r1tls13",
        33 => "brainpoolP512r1tls13",
        256 => "ffdhe2048",
        257 => "ffdhe3072",
        258 => "ffdhe4096",
        259 => "ffdhe6144",
        260 => "ffdhe8192",
        512 => "MLKEM512",
        513 => "MLKEM768",
        514 => "MLKEM1024",
        4587 => "SecP256r1MLKEM768",
        4588 => "X25519MLKEM768",
        4589 => "SecP384r1MLKEM1024",
        25497 => "X25519Kyber768Draft00",
        _ => return CodePoint::new(id, None),
    };
    CodePoint::new(id, Some(name))
}

/// A signature scheme with its name; the pairs of hash and signature of TLS 1.2 are named in the same manner.
pub fn signature_scheme(id: u16) -> CodePoint {
    let name = match id {
        0x0101 => "rsa_pkcs1_md5",
        0x0201 => "rsa_pkcs1_sha1",
        0x0202 => "dsa_sha1",
        0x0203 => "ecdsa_sha1",
        0x0301 => "rsa_pkcs1_sha224",
        0x0302 => "dsa_sha224",
        0x0303 => "ecdsa_sha224",
        0x0401 => "rsa_pkcs1_sha256",
        0x0402 => "dsa_sha256",
        0x0403 => "ecdsa_secp256r1_sha256",
        0x0501 => "rsa_pkcs1_sha384",
        0x0502 => "dsa_sha384",
        0x0503 => "ecdsa_secp384r1_sha384",
        0x0601 => "rsa_pkcs1_sha512",
        0x0602 => "dsa_sha512",
        0x0603 => "ecdsa_secp521r1_sha512",
        0x0804 => "rsa_pss_rsae_sha256",
        0x0805 => "rsa_pss_rsae_sha384",
        0x0806 => "rsa_pss_rsae_sha512",
        0x0807 => "ed25519",
        0x0808 => "ed448",
        0x0809 => "rsa_pss_pss_sha256",
        0x080a => "rsa_pss_pss_sha384",
        0x080b => "rsa_pss_pss_sha512",
        0x081a => "ecdsa_brainpoolP256r1tls13_sha256",
        0x081b => "ecdsa_brainpoolP384r1tls13_sha384",
        0x081c => "ecdsa_brainpoolP512r1tls13_sha512",
        0x0904 => "mldsa44",
        0x0905 => "mldsa65",
        0x0906 => "mldsa87",
        _ => return CodePoint::new(id, None),
    };
    CodePoint::new(id, Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_registry_and_unknown_numbers_stay_numbers() {
        assert_eq!(cipher_suite(0xc030).to_string(), "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384");
        assert_eq!(cipher_suite(0x00ff).to_string(), "TLS_EMPTY_RENEGOTIATION_INFO_SCSV");
        assert_eq!(cipher_suite(0xeeee).to_string(), "0xeeee");
        assert_eq!(named_group(29).to_string(), "x25519");
        assert_eq!(signature_scheme(0x0804).to_string(), "rsa_pss_rsae_sha256");
        assert_eq!(version(0x0301), "TLS1.0");
        assert_eq!(version(0x7f1c), "0x7f1c");
    }

    #[test]
    fn a_code_point_in_json_is_hexadecimal_and_comes_back() {
        let json = serde_json::to_string(&cipher_suite(0x0004)).unwrap();
        assert_eq!(json, r#"{"id":"0x0004","name":"TLS_RSA_WITH_RC4_128_MD5"}"#);
        assert_eq!(serde_json::from_str::<CodePoint>(&json).unwrap(), cipher_suite(4));
        assert!(serde_json::from_str::<CodePoint>(r#"{"id":"4","name":null}"#).is_err());
    }

    #[test]
    fn the_suites_rustls_refuses_are_told_apart() {
        assert!(is_rsa_key_exchange(0x009d) && !is_cbc(0x009d), "RSA, GCM");
        assert!(is_rsa_key_exchange(0x002f) && is_cbc(0x002f), "RSA, CBC");
        assert!(!is_rsa_key_exchange(0xc028) && is_cbc(0xc028), "ECDHE, CBC");
        assert!(!is_rsa_key_exchange(0x1302) && !is_cbc(0x1302));
    }

    #[test]
    fn grease_is_sixteen_values() {
        assert_eq!((0..=u16::MAX).filter(|&value| is_grease(value)).count(), 16);
        assert!(is_grease(0x0a0a) && is_grease(0xfafa) && !is_grease(0x0a1a));
    }
}
