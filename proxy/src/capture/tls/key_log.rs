//! Lines of a key log: a label and two numbers in hexadecimal (the NSS format, written by every common TLS library).

use super::secrets::{Label, Secret};
use zeroize::Zeroizing;

/// The longest secret: the output of SHA-384 in TLS 1.3. A premaster secret of finite-field Diffie-Hellman is as long as its
/// group, at most 8192 bits.
const MAXIMUM_SECRET_LENGTH: usize = 1024;
/// The master secret of TLS 1.2 and older (RFC 5246 section 8.1).
const MASTER_SECRET_LENGTH: usize = 48;
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// What libraries log that opens no TLS record, or that follows from another line: the secrets after a KeyUpdate.
const NOT_NEEDED: [&[u8]; 8] = [
    b"EXPORTER_SECRET",
    b"EARLY_EXPORTER_SECRET",
    b"EARLY_EXPORTER_MASTER_SECRET",
    b"ECH_SECRET",
    b"ECH_CONFIG",
    b"QUIC_",
    b"CLIENT_TRAFFIC_SECRET_",
    b"SERVER_TRAFFIC_SECRET_",
];

/// One line.
pub(super) enum Line {
    /// A secret of a connection, by the random of its ClientHello.
    OfRandom { label: Label, random: [u8; 32], secret: Secret },
    /// `RSA`: a premaster secret, by the beginning of its encrypted form.
    OfEncryptedPremaster { beginning: [u8; 8], secret: Secret },
    /// `RSA Session-ID:… Master-Key:…`: the master secret of a session.
    OfSession { id: Vec<u8>, secret: Secret },
    /// Known, and of no use here.
    NotNeeded,
    /// None of a key log.
    NotUnderstood,
}

/// The lines of `text` that are neither blank nor comments, with their numbers from 1.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (u64, Line)> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    (1..)
        .zip(text.split(|byte| *byte == b'\n'))
        .map(|(number, line)| (number, line.trim_ascii()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
        .map(|(number, line)| (number, read(line).unwrap_or(Line::NotUnderstood)))
}

fn read(line: &[u8]) -> Option<Line> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (label, first, second) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    if label == b"RSA" {
        return rsa(first, second);
    }
    let label = match label {
        b"CLIENT_RANDOM" => Label::MasterSecret,
        b"PMS_CLIENT_RANDOM" => Label::PremasterSecret,
        b"CLIENT_EARLY_TRAFFIC_SECRET" => Label::ClientEarlyTraffic,
        b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => Label::ClientHandshakeTraffic,
        b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => Label::ServerHandshakeTraffic,
        b"CLIENT_TRAFFIC_SECRET_0" => Label::ClientTraffic,
        b"SERVER_TRAFFIC_SECRET_0" => Label::ServerTraffic,
        label if NOT_NEEDED.iter().any(|known| label.starts_with(known)) => return Some(Line::NotNeeded),
        _ => return None,
    };
    let random = array(first)?;
    let secret = bytes(second)?;
    let fits = label != Label::MasterSecret || secret.len() == MASTER_SECRET_LENGTH;
    fits.then_some(Line::OfRandom { label, random, secret })
}

fn rsa(first: &[u8], second: &[u8]) -> Option<Line> {
    if let Some(id) = first.strip_prefix(b"Session-ID:") {
        let id = bytes(id)?.to_vec();
        let secret = bytes(second.strip_prefix(b"Master-Key:")?)?;
        return (secret.len() == MASTER_SECRET_LENGTH).then_some(Line::OfSession { id, secret });
    }
    Some(Line::OfEncryptedPremaster { beginning: array(first)?, secret: bytes(second)? })
}

fn array<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut array = [0; N];
    hex::decode_to_slice(digits, &mut array).ok()?;
    Some(array)
}

fn bytes(digits: &[u8]) -> Option<Secret> {
    if digits.is_empty() || digits.len() > 2 * MAXIMUM_SECRET_LENGTH {
        return None;
    }
    let mut bytes = Zeroizing::new(vec![0; digits.len() / 2]);
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}
