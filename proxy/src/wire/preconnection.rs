//! The preconnection PDU (MS-RDPEPS 2.2.1), which Hyper-V consoles and some brokers send before X.224.

use super::{Decoded, Malformed, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// cbSize of version 1.
const VERSION_1_LENGTH: usize = 16;
/// Version 2 adds a 16-bit count of UTF-16 units and as many units.
const LONGEST: usize = VERSION_1_LENGTH + 2 + 2 * 0xffff;
/// How many bytes tell a preconnection PDU from anything else: cbSize, Flags and Version.
const TELLING: usize = 12;

/// RDP_PRECONNECTION_PDU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PreconnectionPdu {
    /// cbSize, bytes.
    pub length: usize,
    /// Version, 1 or 2.
    pub version: u32,
    /// Id: the session source.
    pub id: u32,
    /// wszPCB: for Hyper-V the id of the virtual machine.
    pub blob: Option<String>,
}

/// Whether the first bytes of a stream can still become a preconnection PDU.
pub fn may_start(bytes: &[u8]) -> bool {
    let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let size_fits = word(0).is_none_or(|size| (VERSION_1_LENGTH..=LONGEST).contains(&(size as usize)));
    let flags_fit = word(4).is_none_or(|flags| flags == 0);
    let version_fits = word(8).is_none_or(|version| version == 1 || version == 2);
    size_fits && flags_fit && version_fits
}

/// Decodes the preconnection PDU at the start of `bytes`.
pub fn decode(bytes: &[u8]) -> Decoded<PreconnectionPdu> {
    if !may_start(bytes) {
        return Err(Malformed::new("preconnection PDU", 0, "size, flags or version do not fit"));
    }
    if bytes.len() < TELLING {
        return Ok(None);
    }
    let mut reader = Reader::new("preconnection PDU", bytes);
    let length = reader.u32_le()? as usize;
    if bytes.len() < length {
        return Ok(None);
    }
    let mut reader = Reader::new("preconnection PDU", &bytes[..length]);
    reader.take(8)?;
    let version = reader.u32_le()?;
    let id = reader.u32_le()?;
    let blob = if version == 2 && !reader.is_empty() { Some(read_blob(&mut reader)?) } else { None };
    Ok(Some((PreconnectionPdu { length, version, id, blob }, length)))
}

fn read_blob(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let units = usize::from(reader.u16_le()?);
    let text = reader.take(2 * units)?;
    let units: Vec<u16> = text.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    Ok(String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_versions() {
        let v1 = hex::decode("10000000000000000100000007000000").unwrap();
        assert_eq!(
            decode(&v1),
            Ok(Some((PreconnectionPdu { length: 16, version: 1, id: 7, blob: None }, 16)))
        );
        let v2 = hex::decode("180000000000000002000000000000000300410042000000").unwrap();
        assert_eq!(decode(&v2).unwrap().unwrap().0.blob.as_deref(), Some("AB"));
        assert_eq!(decode(&v2[..20]), Ok(None));
    }

    #[test]
    fn is_not_mistaken_for_tpkt_tls_or_text() {
        assert!(!may_start(&[3, 0, 0, 0x13]));
        assert!(!may_start(&[0x16, 3, 1, 2]));
        assert!(!may_start(b"GET / HTTP/1.1"));
        assert!(may_start(&[0x10]));
    }

    #[test]
    fn a_blob_that_is_longer_than_the_pdu_is_malformed() {
        let bytes = hex::decode("1400000000000000020000000000000009004100").unwrap();
        assert!(decode(&bytes).is_err());
    }
}
