//! Network auto-detection (MS-RDPBCGR 2.2.14): the round trip time and bandwidth that both sides measure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::named::Code;
use crate::wire::{Malformed, Reader};

const TYPE_ID_REQUEST: u8 = 0;
const TYPE_ID_RESPONSE: u8 = 1;

const REQUEST_TYPES: &[(u32, &str)] = &[
    (0x0001, "rtt_request_continuous"),
    (0x1001, "rtt_request_connect_time"),
    (0x0014, "bandwidth_start_continuous"),
    (0x0114, "bandwidth_start_continuous_lossy"),
    (0x1014, "bandwidth_start_connect_time"),
    (0x0002, "bandwidth_payload"),
    (0x002B, "bandwidth_stop_connect_time"),
    (0x0429, "bandwidth_stop_continuous"),
    (0x0629, "bandwidth_stop_continuous_lossy"),
    (0x0840, "network_characteristics_result"),
    (0x0880, "network_characteristics_result"),
    (0x08C0, "network_characteristics_result"),
];

const RESPONSE_TYPES: &[(u32, &str)] = &[
    (0x0000, "rtt_response"),
    (0x0003, "bandwidth_results_connect_time"),
    (0x000B, "bandwidth_results_continuous"),
    (0x0018, "network_characteristics_sync"),
];

/// An auto-detect request or response.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AutoDetect {
    /// True for a client's answer.
    pub response: bool,
    /// `requestType` or `responseType`.
    pub message_type: Code,
    /// `sequenceNumber`, which an answer repeats.
    pub sequence_number: u16,
    /// Lowest round trip time seen, ms.
    pub base_rtt_ms: Option<u32>,
    /// Average round trip time, ms; in a synchronisation the one of the earlier connection.
    pub average_rtt_ms: Option<u32>,
    /// Bandwidth, kbit/s: as told, or `byte_count` over `time_delta_ms`.
    pub bandwidth_kbit: Option<u32>,
    /// Time the measured bytes took, ms.
    pub time_delta_ms: Option<u32>,
    /// Bytes measured.
    pub byte_count: Option<u32>,
}

impl AutoDetect {
    /// True when it holds a measured number, not only a step on the way to one.
    pub fn is_result(&self) -> bool {
        self.bandwidth_kbit.is_some() || self.average_rtt_ms.is_some() || self.time_delta_ms.is_some()
    }

    /// True for the filler of a bandwidth measurement.
    pub fn is_filler(&self) -> bool {
        !self.response && self.message_type.value == 0x0002
    }
}

/// Decodes an auto-detect PDU behind its security header.
pub fn autodetect(body: &[u8]) -> Result<AutoDetect, Malformed> {
    let mut reader = Reader::new("autoDetectHeader", body);
    let _header_length = reader.u8()?;
    let type_id = reader.u8()?;
    let sequence_number = reader.u16_le()?;
    let message_type = reader.u16_le()?;
    let (response, types) = match type_id {
        TYPE_ID_REQUEST => (false, REQUEST_TYPES),
        TYPE_ID_RESPONSE => (true, RESPONSE_TYPES),
        _ => return Err(Malformed::new("autoDetectHeader", 1, "headerTypeId is neither 0 nor 1")),
    };
    let mut message = AutoDetect {
        response,
        message_type: Code::new(message_type.into(), types),
        sequence_number,
        ..AutoDetect::default()
    };
    match (response, message_type) {
        (false, 0x0840) => {
            message.base_rtt_ms = Some(reader.u32_le()?);
            message.average_rtt_ms = Some(reader.u32_le()?);
        }
        (false, 0x0880) => {
            message.bandwidth_kbit = Some(reader.u32_le()?);
            message.average_rtt_ms = Some(reader.u32_le()?);
        }
        (false, 0x08C0) => {
            message.base_rtt_ms = Some(reader.u32_le()?);
            message.bandwidth_kbit = Some(reader.u32_le()?);
            message.average_rtt_ms = Some(reader.u32_le()?);
        }
        (true, 0x0003 | 0x000B) => {
            let (time_delta_ms, byte_count) = (reader.u32_le()?, reader.u32_le()?);
            message.bandwidth_kbit = kilobits_per_second(byte_count, time_delta_ms);
            (message.time_delta_ms, message.byte_count) = (Some(time_delta_ms), Some(byte_count));
        }
        (true, 0x0018) => {
            message.bandwidth_kbit = Some(reader.u32_le()?);
            message.average_rtt_ms = Some(reader.u32_le()?);
        }
        _ => {}
    }
    Ok(message)
}

/// Bits per millisecond are kilobits per second; no time measured is no bandwidth.
fn kilobits_per_second(bytes: u32, milliseconds: u32) -> Option<u32> {
    let rate = (u64::from(bytes) * 8).checked_div(milliseconds.into())?;
    Some(u32::try_from(rate).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(head: [u8; 6], words: &[u32]) -> Vec<u8> {
        head.into_iter().chain(words.iter().flat_map(|word| word.to_le_bytes())).collect()
    }

    #[test]
    fn requests_and_answers() {
        let ask = autodetect(&[6, 0, 5, 0, 1, 0x10]).unwrap();
        assert_eq!(ask.message_type.name.as_deref(), Some("rtt_request_connect_time"));
        let answer = autodetect(&[6, 1, 5, 0, 0, 0]).unwrap();
        assert!(answer.response && answer.sequence_number == ask.sequence_number && !answer.is_result());
        assert!(autodetect(&[8, 0, 1, 0, 2, 0, 9, 9]).unwrap().is_filler());
        assert_eq!(autodetect(&[6, 2, 0, 0, 0, 0]).unwrap_err().offset, 1);
        assert_eq!(autodetect(&[6, 0, 0, 0, 0x34, 0x12]).unwrap().message_type.name, None);
    }

    #[test]
    fn measured_numbers() {
        let result = autodetect(&words([18, 0, 1, 0, 0xC0, 0x08], &[3, 90_000, 4])).unwrap();
        assert_eq!(
            (result.base_rtt_ms, result.bandwidth_kbit, result.average_rtt_ms),
            (Some(3), Some(90_000), Some(4))
        );
        let measured = autodetect(&words([14, 1, 1, 0, 3, 0], &[100, 125_000])).unwrap();
        assert_eq!((measured.bandwidth_kbit, measured.is_result()), (Some(10_000), true));
        let instant = autodetect(&words([14, 1, 1, 0, 11, 0], &[0, 125_000])).unwrap();
        assert_eq!((instant.bandwidth_kbit, instant.time_delta_ms), (None, Some(0)));
        assert_eq!(autodetect(&words([14, 0, 1, 0, 0x40, 8], &[3, 4])).unwrap().average_rtt_ms, Some(4));
        assert_eq!(autodetect(&words([14, 0, 1, 0, 0x80, 8], &[9, 4])).unwrap().bandwidth_kbit, Some(9));
        assert_eq!(autodetect(&words([14, 1, 1, 0, 0x18, 0], &[9, 4])).unwrap().average_rtt_ms, Some(4));
        assert!(autodetect(&words([14, 0, 1, 0, 0x40, 8], &[3])).is_err());
    }
}
