//! What keys depend on in the two hellos: randoms, session, extensions (RFC 8446 section 4.1, RFC 5246 section 7.4.1).

use crate::wire::tls::HELLO_RETRY_REQUEST;
use crate::wire::tls::names::TLS_1_2;
use crate::wire::{Malformed, Reader};

const ENCRYPT_THEN_MAC: u16 = 22;
const EXTENDED_MASTER_SECRET: u16 = 23;
const SESSION_TICKET: u16 = 35;
pub(super) const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;

/// Of a ClientHello. Tickets are secret, so that it cannot be shown.
pub(super) struct ClientSide {
    pub(super) random: [u8; 32],
    /// The ticket of a session to resume; empty where there is none.
    pub(super) ticket: Vec<u8>,
    pub(super) offers_early_data: bool,
}

/// Of a ServerHello.
pub(super) struct ServerSide {
    pub(super) version: u16,
    pub(super) random: [u8; 32],
    pub(super) session_id: Vec<u8>,
    pub(super) suite: u16,
    pub(super) compression: u8,
    pub(super) extended_master_secret: bool,
    pub(super) encrypt_then_mac: bool,
}

impl ClientSide {
    pub(super) fn read(body: &[u8]) -> Result<ClientSide, Malformed> {
        let mut reader = Reader::new("ClientHello", body);
        reader.u16_be()?;
        let random = reader.array()?;
        let session_id_length = usize::from(reader.u8()?);
        reader.take(session_id_length)?;
        let suites_length = usize::from(reader.u16_be()?);
        reader.take(suites_length)?;
        let compressions_length = usize::from(reader.u8()?);
        reader.take(compressions_length)?;
        let ticket = extension(&reader, SESSION_TICKET).unwrap_or_default().to_vec();
        Ok(ClientSide { random, ticket, offers_early_data: extension(&reader, EARLY_DATA).is_some() })
    }
}

impl ServerSide {
    pub(super) fn read(body: &[u8]) -> Result<ServerSide, Malformed> {
        let mut reader = Reader::new("ServerHello", body);
        let legacy_version = reader.u16_be()?;
        let random = reader.array()?;
        let session_id_length = usize::from(reader.u8()?);
        let session_id = reader.take(session_id_length)?.to_vec();
        let suite = reader.u16_be()?;
        let compression = reader.u8()?;
        let chosen = extension(&reader, SUPPORTED_VERSIONS).filter(|_| legacy_version == TLS_1_2);
        let version = match chosen {
            Some(data) => Reader::new("supported_versions", data).u16_be()?,
            None => legacy_version,
        };
        Ok(ServerSide {
            version,
            random,
            session_id,
            suite,
            compression,
            extended_master_secret: extension(&reader, EXTENDED_MASTER_SECRET).is_some(),
            encrypt_then_mac: extension(&reader, ENCRYPT_THEN_MAC).is_some(),
        })
    }

    pub(super) fn is_hello_retry_request(&self) -> bool {
        self.random == HELLO_RETRY_REQUEST
    }
}

/// The data of an extension in the block that `reader` is at; `None` where it is not there or the block breaks before it.
fn extension<'a>(reader: &Reader<'a>, wanted: u16) -> Option<&'a [u8]> {
    let mut reader = reader.clone();
    reader.u16_be().ok()?;
    while !reader.is_empty() {
        let extension_type = reader.u16_be().ok()?;
        let length = usize::from(reader.u16_be().ok()?);
        let data = reader.take(length).ok()?;
        if extension_type == wanted {
            return Some(data);
        }
    }
    None
}

/// Whether EncryptedExtensions accept the client's early data (RFC 8446 section 4.2.10).
pub(super) fn accepts_early_data(encrypted_extensions: &[u8]) -> bool {
    extension(&Reader::new("EncryptedExtensions", encrypted_extensions), EARLY_DATA).is_some()
}

/// The DER certificates of a Certificate message of TLS 1.3, the sender's own first (RFC 8446 section 4.4.2). What follows
/// a broken length is left out.
pub(super) fn certificate_chain(body: &[u8]) -> Vec<Vec<u8>> {
    let mut chain = Vec::new();
    let _ends = read_certificates(body, &mut chain);
    chain
}

fn read_certificates(body: &[u8], chain: &mut Vec<Vec<u8>>) -> Result<(), Malformed> {
    let mut reader = Reader::new("Certificate", body);
    let context_length = usize::from(reader.u8()?);
    reader.take(context_length)?;
    reader.u24_be()?;
    while !reader.is_empty() {
        let length = reader.u24_be()? as usize;
        chain.push(reader.take(length)?.to_vec());
        let extensions_length = usize::from(reader.u16_be()?);
        reader.take(extensions_length)?;
    }
    Ok(())
}
