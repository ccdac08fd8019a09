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
    /// wszPCB where it is the id of a virtual machine, as for Hyper-V. Gateways have tokens there that log on.
    pub blob: Option<String>,
    /// Characters of wszPCB.
    #[serde(default)]
    pub blob_length: usize,
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
    let text = if version == 2 && !reader.is_empty() { Some(read_blob(&mut reader)?) } else { None };
    let blob_length = text.as_ref().map_or(0, |text| text.chars().count());
    let blob = text.filter(|text| names_machine(text));
    Ok(Some((PreconnectionPdu { length, version, id, blob, blob_length }, length)))
}

/// Whether this is a GUID, and perhaps how Hyper-V is to show the machine.
fn names_machine(blob: &str) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let (id, how) = blob.split_once(';').unwrap_or((blob, ""));
    let id = id.strip_prefix('{').and_then(|id| id.strip_suffix('}')).unwrap_or(id);
    let groups: Vec<&str> = id.split('-').collect();
    let is_group = |(group, length): (&&str, usize)| {
        group.len() == length && group.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    groups.len() == GROUPS.len()
        && groups.iter().zip(GROUPS).all(is_group)
        && matches!(how, "" | "EnhancedMode=0" | "EnhancedMode=1")
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
            Ok(Some((PreconnectionPdu { length: 16, version: 1, id: 7, blob: None, blob_length: 0 }, 16)))
        );
        let v2 = hex::decode("180000000000000002000000000000000300410042000000").unwrap();
        let pdu = decode(&v2).unwrap().unwrap().0;
        assert_eq!((pdu.blob, pdu.blob_length), (None, 2), "it may be a token");
        assert_eq!(decode(&v2[..20]), Ok(None));
    }

    #[test]
    fn only_what_names_a_machine_is_kept() {
        let id = "79dd4efd-9b04-4d1e-a8a1-3c5f5e4c9b01";
        for blob in [id.to_owned(), format!("{{{id}}}"), format!("{id};EnhancedMode=1")] {
            assert!(names_machine(&blob), "{blob}");
        }
        for blob in ["", "eyJhbGciOiJSUzI1NiJ9.e30.sig", &id[1..], &format!("{id};token=1")] {
            assert!(!names_machine(blob), "{blob}");
        }
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
