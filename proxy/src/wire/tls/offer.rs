//! A ClientHello made to order (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2), for asking a server what it takes.
//!
//! Nobody can finish a handshake that begins with it: the answer to it is all that is wanted.

mod key_share;
#[cfg(test)]
mod tests;

use super::extension;
use super::handshake::message_type;
use super::names::{SSL_3_0, TLS_1_0, TLS_1_3};

/// The longest fragment of a record (RFC 8446 section 5.1).
const FRAGMENT_LENGTH: usize = 1 << 14;
/// ContentType handshake.
const HANDSHAKE: u8 = 22;
/// Bytes of a record's header, of a handshake message's and of an extension's.
const RECORD_HEADER_LENGTH: usize = 5;
const HANDSHAKE_HEADER_LENGTH: usize = 4;
const EXTENSION_HEADER_LENGTH: usize = 4;
/// NameType host_name (RFC 6066 section 3).
const HOST_NAME: u8 = 0;
/// ECPointFormat uncompressed (RFC 8422 section 5.1.2).
const UNCOMPRESSED: u8 = 0;

/// What is offered. A list that is longer than its length field can say is cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HelloOffer {
    /// legacy_version. With [`SSL_3_0`] the hello has no extensions at all, as SSL 3.0 knows none (RFC 6101).
    pub legacy_version: u16,
    /// supported_versions; the extension is left out where it is empty.
    pub versions: Vec<u16>,
    /// Cipher suites.
    pub suites: Vec<u16>,
    /// supported_groups; the extension is left out where it is empty.
    pub groups: Vec<u16>,
    /// Groups for which a well-formed share is made; empty asks for a HelloRetryRequest. Where TLS 1.3 is not among
    /// the versions, there is no such extension. Groups for which no share is known are passed over.
    pub key_shares: Vec<u16>,
    /// signature_algorithms; the extension is left out where it is empty.
    pub signature_schemes: Vec<u16>,
    /// server_name.
    pub server_name: Option<String>,
    /// `random`; the session id of TLS 1.3 and the shares of x25519 and x448 are made of it, too.
    pub random: [u8; 32],
    /// Bytes of the record with its header, reached by a padding extension (RFC 7685). A hello that is as long
    /// without it has none; one that is up to three bytes shorter gets an empty one, and is up to three longer.
    pub padded_to: Option<usize>,
}

impl HelloOffer {
    /// The handshake message, with its header.
    pub fn message(&self) -> Vec<u8> {
        let mut body = self.legacy_version.to_be_bytes().to_vec();
        body.extend(self.random);
        body.extend(short(&self.session_id()));
        body.extend(long(&numbers(&self.suites)));
        body.extend(short(&[0]));
        if self.legacy_version > SSL_3_0 {
            let mut extensions = self.extensions();
            extensions.extend(self.padding(body.len() + 2 + extensions.len()));
            body.extend(long(&extensions));
        }
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&[message_type::CLIENT_HELLO], &length[1..], &body].concat()
    }

    /// The message in TLS records.
    pub fn records(&self) -> Vec<u8> {
        // Servers of old take no other version in the first record (RFC 8446 appendix D.1).
        let version = self.legacy_version.min(TLS_1_0).to_be_bytes();
        let message = self.message();
        let fragments = message.chunks(FRAGMENT_LENGTH);
        fragments.flat_map(|fragment| [&[HANDSHAKE], &version[..], &long(fragment)].concat()).collect()
    }

    /// As a client that wants to pass for a resumption of TLS 1.2 on its way (RFC 8446 appendix D.4).
    fn session_id(&self) -> Vec<u8> {
        if self.offers_tls_1_3() { self.random.iter().rev().copied().collect() } else { Vec::new() }
    }

    fn offers_tls_1_3(&self) -> bool {
        self.versions.contains(&TLS_1_3)
    }

    fn extensions(&self) -> Vec<u8> {
        let mut extensions = Vec::new();
        let mut add = |extension_type: u16, data: &[u8]| {
            extensions.extend(extension_type.to_be_bytes());
            extensions.extend(long(data));
        };
        if let Some(name) = &self.server_name {
            add(extension::SERVER_NAME, &long(&[&[HOST_NAME][..], &long(name.as_bytes())].concat()));
        }
        if !self.groups.is_empty() {
            add(extension::SUPPORTED_GROUPS, &long(&numbers(&self.groups)));
            add(extension::EC_POINT_FORMATS, &short(&[UNCOMPRESSED]));
        }
        if !self.signature_schemes.is_empty() {
            add(extension::SIGNATURE_ALGORITHMS, &long(&numbers(&self.signature_schemes)));
        }
        add(extension::EXTENDED_MASTER_SECRET, &[]);
        add(extension::RENEGOTIATION_INFO, &short(&[]));
        if !self.versions.is_empty() {
            add(extension::SUPPORTED_VERSIONS, &short(&numbers(&self.versions)));
        }
        if self.offers_tls_1_3() {
            add(extension::KEY_SHARE, &long(&self.client_shares()));
        }
        extensions
    }

    fn client_shares(&self) -> Vec<u8> {
        let mut shares = Vec::new();
        for &group in &self.key_shares {
            if let Some(key_exchange) = key_share::key_exchange(group, &self.random) {
                shares.extend(group.to_be_bytes());
                shares.extend(long(&key_exchange));
            }
        }
        shares
    }

    /// What is missing after a body of `length` bytes.
    fn padding(&self, length: usize) -> Vec<u8> {
        let reached = RECORD_HEADER_LENGTH + HANDSHAKE_HEADER_LENGTH + length;
        let Some(missing) = self.padded_to.and_then(|wanted| wanted.checked_sub(reached)) else {
            return Vec::new();
        };
        if missing == 0 {
            return Vec::new();
        }
        let zeros = vec![0; missing.saturating_sub(EXTENSION_HEADER_LENGTH)];
        [&extension::PADDING.to_be_bytes()[..], &long(&zeros)].concat()
    }
}

fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// A `u8` length before as many bytes, of which an odd one at a cut is left out.
fn short(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX - 1);
    [&[length][..], &bytes[..usize::from(length)]].concat()
}

/// A `u16` length before as many bytes, of which an odd one at a cut is left out.
fn long(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX - 1);
    [&length.to_be_bytes()[..], &bytes[..usize::from(length)]].concat()
}
