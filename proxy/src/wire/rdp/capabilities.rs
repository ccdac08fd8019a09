//! Demand Active and Confirm Active PDUs (MS-RDPBCGR 2.2.1.13): which capability sets are there, and the few
//! values that tell who is talking and how large the desktop is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::named::Code;
use crate::wire::{Malformed, Reader};

/// Capability sets read from one PDU; the specification knows 29.
pub const CAPABILITY_SET_LIMIT: usize = 64;

const GENERAL: u16 = 0x01;
const BITMAP: u16 = 0x02;
const MULTIFRAGMENT_UPDATE: u16 = 0x1A;

const SET_TYPES: &[(u32, &str)] = &[
    (0x01, "CAPSTYPE_GENERAL"),
    (0x02, "CAPSTYPE_BITMAP"),
    (0x03, "CAPSTYPE_ORDER"),
    (0x04, "CAPSTYPE_BITMAPCACHE"),
    (0x05, "CAPSTYPE_CONTROL"),
    (0x07, "CAPSTYPE_ACTIVATION"),
    (0x08, "CAPSTYPE_POINTER"),
    (0x09, "CAPSTYPE_SHARE"),
    (0x0A, "CAPSTYPE_COLORCACHE"),
    (0x0C, "CAPSTYPE_SOUND"),
    (0x0D, "CAPSTYPE_INPUT"),
    (0x0E, "CAPSTYPE_FONT"),
    (0x0F, "CAPSTYPE_BRUSH"),
    (0x10, "CAPSTYPE_GLYPHCACHE"),
    (0x11, "CAPSTYPE_OFFSCREENCACHE"),
    (0x12, "CAPSTYPE_BITMAPCACHE_HOSTSUPPORT"),
    (0x13, "CAPSTYPE_BITMAPCACHE_REV2"),
    (0x14, "CAPSTYPE_VIRTUALCHANNEL"),
    (0x15, "CAPSTYPE_DRAWNINEGRIDCACHE"),
    (0x16, "CAPSTYPE_DRAWGDIPLUS"),
    (0x17, "CAPSTYPE_RAIL"),
    (0x18, "CAPSTYPE_WINDOW"),
    (0x19, "CAPSETTYPE_COMPDESK"),
    (0x1A, "CAPSETTYPE_MULTIFRAGMENTUPDATE"),
    (0x1B, "CAPSETTYPE_LARGE_POINTER"),
    (0x1C, "CAPSETTYPE_SURFACE_COMMANDS"),
    (0x1D, "CAPSETTYPE_BITMAP_CODECS"),
    (0x1E, "CAPSSETTYPE_FRAME_ACKNOWLEDGE"),
];

const OS_MAJOR_TYPES: &[(u32, &str)] = &[
    (0, "OSMAJORTYPE_UNSPECIFIED"),
    (1, "OSMAJORTYPE_WINDOWS"),
    (2, "OSMAJORTYPE_OS2"),
    (3, "OSMAJORTYPE_MACINTOSH"),
    (4, "OSMAJORTYPE_UNIX"),
    (5, "OSMAJORTYPE_IOS"),
    (6, "OSMAJORTYPE_OSX"),
    (7, "OSMAJORTYPE_ANDROID"),
    (8, "OSMAJORTYPE_CHROME_OS"),
];

const OS_MINOR_TYPES: &[(u32, &str)] = &[
    (0, "OSMINORTYPE_UNSPECIFIED"),
    (1, "OSMINORTYPE_WINDOWS_31X"),
    (2, "OSMINORTYPE_WINDOWS_95"),
    (3, "OSMINORTYPE_WINDOWS_NT"),
    (4, "OSMINORTYPE_OS2_V21"),
    (5, "OSMINORTYPE_POWER_PC"),
    (6, "OSMINORTYPE_MACINTOSH"),
    (7, "OSMINORTYPE_NATIVE_XSERVER"),
    (8, "OSMINORTYPE_PSEUDO_XSERVER"),
    (9, "OSMINORTYPE_WINDOWS_RT"),
];

/// A Demand Active or Confirm Active PDU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capabilities {
    /// `shareId`.
    pub share_id: u32,
    /// `numberCapabilities` as claimed.
    pub number_capabilities: u16,
    /// Types of the sets in their order, at most [`CAPABILITY_SET_LIMIT`].
    pub sets: Vec<Code>,
    /// Operating system, from the general set.
    pub os_major_type: Option<Code>,
    /// Its variant, from the general set.
    pub os_minor_type: Option<Code>,
    /// Width of the desktop, pixels, from the bitmap set.
    pub desktop_width: Option<u16>,
    /// Height of the desktop, pixels, from the bitmap set.
    pub desktop_height: Option<u16>,
    /// Bits per pixel, from the bitmap set.
    pub preferred_bits_per_pixel: Option<u16>,
    /// `MaxRequestSize`, bytes, from the multifragment update set.
    pub max_request_size: Option<u32>,
}

/// Decodes what follows the share control header of a Demand Active PDU.
pub fn demand_active(body: &[u8]) -> Result<Capabilities, Malformed> {
    let mut reader = Reader::new("TS_DEMAND_ACTIVE_PDU", body);
    let share_id = reader.u32_le()?;
    capabilities(reader, share_id)
}

/// Decodes what follows the share control header of a Confirm Active PDU.
pub fn confirm_active(body: &[u8]) -> Result<Capabilities, Malformed> {
    let mut reader = Reader::new("TS_CONFIRM_ACTIVE_PDU", body);
    let share_id = reader.u32_le()?;
    reader.take(2)?;
    capabilities(reader, share_id)
}

fn capabilities(mut reader: Reader<'_>, share_id: u32) -> Result<Capabilities, Malformed> {
    let source_descriptor_length = reader.u16_le()?;
    reader.take(2)?;
    reader.take(source_descriptor_length.into())?;
    let number_capabilities = reader.u16_le()?;
    reader.take(2)?;
    let mut capabilities = Capabilities { share_id, number_capabilities, ..Capabilities::default() };
    while capabilities.sets.len() < CAPABILITY_SET_LIMIT.min(number_capabilities.into()) {
        let set_type = reader.u16_le()?;
        let length = usize::from(reader.u16_le()?);
        let body = length
            .checked_sub(4)
            .ok_or_else(|| reader.malformed("capability set shorter than its header"))?;
        capabilities.sets.push(Code::new(set_type.into(), SET_TYPES));
        // A set that is too short for its values says nothing about them; the PDU goes on after it.
        let _ends_early = capabilities.read_set(set_type, reader.take(body)?);
    }
    Ok(capabilities)
}

impl Capabilities {
    fn read_set(&mut self, set_type: u16, body: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new("TS_CAPS_SET", body);
        match set_type {
            GENERAL => {
                self.os_major_type = Some(Code::new(reader.u16_le()?.into(), OS_MAJOR_TYPES));
                self.os_minor_type = Some(Code::new(reader.u16_le()?.into(), OS_MINOR_TYPES));
            }
            BITMAP => {
                self.preferred_bits_per_pixel = Some(reader.u16_le()?);
                reader.take(2 * 3)?;
                self.desktop_width = Some(reader.u16_le()?);
                self.desktop_height = Some(reader.u16_le()?);
            }
            MULTIFRAGMENT_UPDATE => self.max_request_size = Some(reader.u32_le()?),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The body of a Demand Active PDU with general, bitmap and one unknown set.
    pub(crate) fn demand_body() -> Vec<u8> {
        let mut body = vec![1, 0, 1, 0, 4, 0, 40, 0];
        body.extend(b"RDP\0\x03\0\0\0");
        body.extend([1, 0, 8, 0, 1, 0, 3, 0]);
        body.extend([2, 0, 16, 0, 32, 0, 1, 0, 1, 0, 1, 0, 0, 4, 0, 3]);
        body.extend([0x77, 0, 4, 0]);
        body.extend([0; 4]);
        body
    }

    #[test]
    fn names_the_sets_and_reads_desktop_and_system() {
        let demand = demand_active(&demand_body()).unwrap();
        assert_eq!((demand.share_id, demand.sets.len()), (0x1_0001, 3));
        assert_eq!(demand.sets[1].name.as_deref(), Some("CAPSTYPE_BITMAP"));
        assert_eq!(demand.sets[2], Code { value: 0x77, name: None });
        assert_eq!((demand.desktop_width, demand.desktop_height), (Some(1024), Some(768)));
        assert_eq!(demand.os_major_type.unwrap().name.as_deref(), Some("OSMAJORTYPE_WINDOWS"));
        let mut confirm = demand_body();
        confirm.splice(4..4, [0xEA, 3]);
        assert_eq!(confirm_active(&confirm).unwrap().preferred_bits_per_pixel, Some(32));
    }

    #[test]
    fn sets_that_lie_are_named() {
        let mut body = demand_body();
        body[18] = 3;
        assert_eq!(demand_active(&body).unwrap_err().reason, "capability set shorter than its header");
        body[18] = 0xFF;
        assert_eq!(demand_active(&body).unwrap_err().reason, "ends too early");
        let mut body = demand_body();
        body[12] = 0xFF;
        assert!(demand_active(&body).is_err(), "more sets claimed than there are bytes");
    }
}
