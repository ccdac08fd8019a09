//! The extension blocks of ClientHello and ServerHello (RFC 8446 section 4.2), read so that one broken extension
//! does not hide the others.

use super::super::{Malformed, Reader};

pub(super) const SERVER_NAME: u16 = 0;
pub(super) const SUPPORTED_GROUPS: u16 = 10;
pub(super) const EC_POINT_FORMATS: u16 = 11;
pub(super) const SIGNATURE_ALGORITHMS: u16 = 13;
pub(super) const APPLICATION_LAYER_PROTOCOL_NEGOTIATION: u16 = 16;
pub(super) const PADDING: u16 = 21;
pub(super) const EXTENDED_MASTER_SECRET: u16 = 23;
pub(super) const SESSION_TICKET: u16 = 35;
pub(super) const PRE_SHARED_KEY: u16 = 41;
pub(super) const SUPPORTED_VERSIONS: u16 = 43;
pub(super) const SIGNATURE_ALGORITHMS_CERT: u16 = 50;
pub(super) const KEY_SHARE: u16 = 51;
pub(super) const RENEGOTIATION_INFO: u16 = 0xff01;

/// The most faults noted of one message: enough to see what is wrong, and a hostile peer cannot make the record grow.
const MAXIMUM_FAULTS: usize = 8;

/// What was wrong in a message that could be read all the same.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    /// Keeps the value, or the default and a note of the fault.
    pub(super) fn recover<T: Default>(&mut self, result: Result<T, Malformed>) -> T {
        result.unwrap_or_else(|malformed| {
            if self.0.len() < MAXIMUM_FAULTS {
                self.0.push(malformed.to_string());
            }
            T::default()
        })
    }

    pub(super) fn into_notes(self) -> Vec<String> {
        self.0
    }
}

/// The extensions after `u16 length`, in order: `(type, data)`. An absent block is an empty one; what lies beyond a
/// broken length is lost and noted.
pub(super) fn extensions<'a>(reader: &mut Reader<'a>, faults: &mut Faults) -> Vec<(u16, &'a [u8])> {
    let mut extensions = Vec::new();
    if reader.is_empty() {
        return extensions;
    }
    let declared = usize::from(faults.recover(reader.u16_be()));
    if declared > reader.remaining() {
        faults.recover::<()>(Err(reader.malformed("the extensions are longer than the message")));
    }
    let block = reader.take(declared.min(reader.remaining())).unwrap_or_default();
    let mut reader = Reader::new("extensions", block);
    while !reader.is_empty() {
        match extension(&mut reader) {
            Ok(extension) => extensions.push(extension),
            Err(malformed) => {
                faults.recover::<()>(Err(malformed));
                break;
            }
        }
    }
    extensions
}

fn extension<'a>(reader: &mut Reader<'a>) -> Result<(u16, &'a [u8]), Malformed> {
    let extension_type = reader.u16_be()?;
    let length = usize::from(reader.u16_be()?);
    Ok((extension_type, reader.take(length)?))
}

/// A `u16` length in bytes and that many bytes of `u16` numbers.
pub(super) fn numbers_u16(structure: &'static str, data: &[u8]) -> Result<Vec<u16>, Malformed> {
    let mut reader = Reader::new(structure, data);
    let length = usize::from(reader.u16_be()?);
    pairs(&mut reader, length)
}

/// `length` bytes as `u16` numbers.
pub(super) fn pairs(reader: &mut Reader<'_>, length: usize) -> Result<Vec<u16>, Malformed> {
    if !length.is_multiple_of(2) {
        return Err(reader.malformed("an odd number of bytes for a list of pairs"));
    }
    Ok(reader.take(length)?.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
}

/// ProtocolNameList (RFC 7301): each name as bytes.
pub(super) fn protocol_names(data: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut reader = Reader::new("application_layer_protocol_negotiation", data);
    let length = usize::from(reader.u16_be()?);
    let mut list = Reader::new("ProtocolNameList", reader.take(length)?);
    let mut names = Vec::new();
    while !list.is_empty() {
        let length = usize::from(list.u8()?);
        names.push(list.take(length)?.to_vec());
    }
    Ok(names)
}

/// Bytes a peer sent as text.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
