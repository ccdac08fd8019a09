//! Early User Authorization Result PDU (MS-RDPBCGR 2.2.10.2): after CredSSP with HYBRID_EX the server says whether the user
//! may log on at all.

use super::named::Code;
use super::{Decoded, Reader};

/// Bytes of the PDU.
pub const LENGTH: usize = 4;

/// authorizationResult.
const RESULTS: &[(u32, &str)] = &[(0, "AUTHZ_SUCCESS"), (5, "AUTHZ_ACCESS_DENIED")];

/// Decodes the PDU at the front of `bytes`: authorizationResult.
pub fn decode(bytes: &[u8]) -> Decoded<Code> {
    let Some(pdu) = bytes.get(..LENGTH) else { return Ok(None) };
    let result = Reader::new("Early User Authorization Result PDU", pdu).u32_le()?;
    Ok(Some((Code::new(result, RESULTS), LENGTH)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_results_and_others_by_number() {
        let named = |value: u32| decode(&value.to_le_bytes()).unwrap().unwrap().0.name;
        assert_eq!(named(0).as_deref(), Some("AUTHZ_SUCCESS"));
        assert_eq!(named(5).as_deref(), Some("AUTHZ_ACCESS_DENIED"));
        assert_eq!(named(6), None);
        assert_eq!(decode(&[5, 0, 0]), Ok(None));
    }
}
