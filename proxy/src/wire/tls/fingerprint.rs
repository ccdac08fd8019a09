//! JA3, JA3S and JA4: digests of a hello by which client and server software are recognised.

use super::names::{SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3};
use md5::{Digest, Md5};
use sha2::Sha256;
use std::fmt::{self, Display, Write};

/// Extensions that JA4 counts and does not hash, because they depend on the target: server_name and ALPN.
const JA4_NOT_HASHED: [u16; 2] =
    [super::extension::SERVER_NAME, super::extension::APPLICATION_LAYER_PROTOCOL_NEGOTIATION];
/// Hexadecimal digits that JA4 keeps of a SHA-256.
const JA4_DIGEST_LENGTH: usize = 12;
/// What JA4 writes for the digest of nothing.
const JA4_EMPTY_DIGEST: &str = "000000000000";
/// JA4 writes counts with two digits.
const JA4_MAXIMUM_COUNT: usize = 99;

/// The numbers of a ClientHello that fingerprints are made of, without GREASE.
#[derive(Debug, Default)]
pub(super) struct ClientHelloNumbers {
    pub legacy_version: u16,
    pub max_version: u16,
    pub cipher_suites: Vec<u16>,
    pub extensions: Vec<u16>,
    pub supported_groups: Vec<u16>,
    pub ec_point_formats: Vec<u8>,
    pub signature_algorithms: Vec<u16>,
    pub first_alpn: Option<Vec<u8>>,
}

/// JA3 before hashing: version, cipher suites, extensions, groups, point formats; decimal.
pub(super) fn ja3_full(hello: &ClientHelloNumbers) -> String {
    format!(
        "{},{},{},{},{}",
        hello.legacy_version,
        decimal(&hello.cipher_suites),
        decimal(&hello.extensions),
        decimal(&hello.supported_groups),
        decimal(&hello.ec_point_formats),
    )
}

/// JA3S before hashing: version, cipher suite, extensions; decimal.
pub(super) fn ja3s_full(version: u16, cipher_suite: u16, extensions: &[u16]) -> String {
    format!("{version},{cipher_suite},{}", decimal(extensions))
}

/// The MD5 that makes a JA3 or JA3S of its text.
pub(super) fn md5_hex(text: &str) -> String {
    hex::encode(Md5::digest(text))
}

/// JA4 of a ClientHello over TCP.
pub(super) fn ja4(hello: &ClientHelloNumbers) -> String {
    let version = match hello.max_version {
        TLS_1_3 => "13",
        TLS_1_2 => "12",
        TLS_1_1 => "11",
        TLS_1_0 => "10",
        SSL_3_0 => "s3",
        _ => "00",
    };
    let destination = if hello.extensions.contains(&super::extension::SERVER_NAME) { 'd' } else { 'i' };
    format!(
        "t{version}{destination}{:02}{:02}{}_{}_{}",
        hello.cipher_suites.len().min(JA4_MAXIMUM_COUNT),
        hello.extensions.len().min(JA4_MAXIMUM_COUNT),
        ja4_alpn(hello.first_alpn.as_deref()),
        ja4_digest(&hexadecimal(&sorted(&hello.cipher_suites))),
        ja4_digest(&ja4_extensions(hello)),
    )
}

/// First and last character of the first protocol; of its hexadecimal form where either is no letter or digit.
fn ja4_alpn(first_alpn: Option<&[u8]>) -> String {
    let Some((&first, &last)) = first_alpn.and_then(|name| name.first().zip(name.last())) else {
        return "00".to_owned();
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        format!("{}{}", char::from(first), char::from(last))
    } else {
        format!("{:x}{:x}", first >> 4, last & 0x0f)
    }
}

fn ja4_extensions(hello: &ClientHelloNumbers) -> String {
    let hashed: Vec<u16> =
        hello.extensions.iter().copied().filter(|extension| !JA4_NOT_HASHED.contains(extension)).collect();
    let extensions = hexadecimal(&sorted(&hashed));
    if hello.signature_algorithms.is_empty() {
        extensions
    } else {
        format!("{extensions}_{}", hexadecimal(&hello.signature_algorithms))
    }
}

fn ja4_digest(text: &str) -> String {
    if text.is_empty() {
        return JA4_EMPTY_DIGEST.to_owned();
    }
    let mut digest = hex::encode(Sha256::digest(text));
    digest.truncate(JA4_DIGEST_LENGTH);
    digest
}

fn sorted(numbers: &[u16]) -> Vec<u16> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted
}

fn decimal<T: Display>(numbers: &[T]) -> String {
    join(numbers, '-', |text, number| write!(text, "{number}"))
}

fn hexadecimal(numbers: &[u16]) -> String {
    join(numbers, ',', |text, number| write!(text, "{number:04x}"))
}

fn join<T>(numbers: &[T], separator: char, append: impl Fn(&mut String, &T) -> fmt::Result) -> String {
    // A number and its separator take at most six characters.
    let mut text = String::with_capacity(numbers.len() * 6);
    for (place, number) in numbers.iter().enumerate() {
        if place > 0 {
            text.push(separator);
        }
        // Writing into a string cannot fail.
        let _ = append(&mut text, number);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the JA4 definition gives.
    #[test]
    fn ja4_of_the_published_example() {
        let hello = ClientHelloNumbers {
            legacy_version: TLS_1_2,
            max_version: TLS_1_3,
            cipher_suites: vec![
                0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
                0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
                0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
            ],
            signature_algorithms: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            first_alpn: Some(b"h2".to_vec()),
            ..ClientHelloNumbers::default()
        };
        assert_eq!(ja4(&hello), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn ja4_of_a_hello_without_anything() {
        let hello = ClientHelloNumbers { max_version: SSL_3_0, ..ClientHelloNumbers::default() };
        assert_eq!(ja4(&hello), "ts3i000000_000000000000_000000000000");
    }

    #[test]
    fn ja4_shows_a_strange_protocol_name_in_hexadecimal() {
        assert_eq!(ja4_alpn(Some(b"http/1.1")), "h1");
        assert_eq!(ja4_alpn(Some(b"x")), "xx");
        assert_eq!(ja4_alpn(Some(&[0xab, 0xcd])), "ad");
        assert_eq!(ja4_alpn(Some(b"")), "00");
    }
}
