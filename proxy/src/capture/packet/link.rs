//! From a frame to the IP packet in it: Ethernet with VLAN tags, Linux cooked, loopback and raw.

use super::PassedOver;

/// VLAN tags of one frame that are passed: networks use two.
const MOST_VLAN_TAGS: usize = 8;

const ETHER_TYPE_IPV4: u16 = 0x0800;
const ETHER_TYPE_IPV6: u16 = 0x86dd;
/// Below this the field is the length of an IEEE 802.3 frame.
const SMALLEST_ETHER_TYPE: u16 = 0x0600;

/// The IP packet in a frame of link type `link`.
pub(super) fn ip_packet(link: u16, frame: &[u8]) -> Result<&[u8], PassedOver> {
    match link {
        // NULL and LOOP: the address family, whose number differs from system to system; IP tells its version itself.
        0 | 108 => behind(frame, 4),
        1 => above_ether_type(frame, 12),
        // RAW as the registry has it, and as systems number it themselves.
        12 | 14 | 101 | 228 | 229 => Ok(frame),
        113 => above_ether_type(frame, 14),
        276 => cooked_version_2(frame),
        link => Err(PassedOver::LinkType(link)),
    }
}

fn behind(frame: &[u8], header: usize) -> Result<&[u8], PassedOver> {
    frame.get(header..).ok_or(PassedOver::Broken)
}

fn ether_type(frame: &[u8], place: usize) -> Result<u16, PassedOver> {
    let bytes = frame.get(place..place + 2).ok_or(PassedOver::Broken)?;
    Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// The EtherType is the last field of the header; VLAN tags put further ones behind it.
fn above_ether_type(frame: &[u8], place: usize) -> Result<&[u8], PassedOver> {
    above_tags(frame, ether_type(frame, place)?, place + 2)
}

fn cooked_version_2(frame: &[u8]) -> Result<&[u8], PassedOver> {
    const HEADER: usize = 20;
    above_tags(frame, ether_type(frame, 0)?, HEADER)
}

fn above_tags(frame: &[u8], mut kind: u16, mut place: usize) -> Result<&[u8], PassedOver> {
    for _ in 0..MOST_VLAN_TAGS {
        match kind {
            ETHER_TYPE_IPV4 | ETHER_TYPE_IPV6 => return behind(frame, place),
            0x8100 | 0x88a8 | 0x9100 => (kind, place) = (ether_type(frame, place + 2)?, place + 4),
            kind if kind < SMALLEST_ETHER_TYPE => return Err(PassedOver::LogicalLink),
            kind => return Err(PassedOver::EtherType(kind)),
        }
    }
    Err(PassedOver::EtherType(kind))
}
