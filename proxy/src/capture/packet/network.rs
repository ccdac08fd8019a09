//! IPv4 and IPv6 with its extension headers. Checksums are not looked at: hosts that leave them to the network card
//! record wrong ones.

use super::PassedOver;
use etherparse::{Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice};
use std::net::IpAddr;

/// Extension headers of one packet that are passed; RFC 8200 has each kind once, one of them twice.
const MOST_EXTENSION_HEADERS: usize = 16;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;

/// An IP packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Time to live, or hop limit.
    pub(super) time_to_live: u8,
    /// Of what is inside.
    pub(super) protocol: u8,
    /// What is inside, as much as the file has.
    pub(super) payload: &'a [u8],
    /// How long that is on the wire.
    pub(super) length: usize,
    /// Where it is a part of a datagram.
    pub(super) fragment: Option<Fragment>,
}

/// Which part of which datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) identification: u32,
    /// In bytes.
    pub(super) offset: usize,
    /// It is not the last one.
    pub(super) more: bool,
}

/// Takes a packet apart of which the file has `bytes`, and which was `length` bytes long on the wire as far as the link
/// knows.
pub(super) fn network(bytes: &[u8], length: usize) -> Result<Network<'_>, PassedOver> {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => ipv4(bytes, length),
        Some(6) => ipv6(bytes, length),
        _ => Err(PassedOver::Broken),
    }
}

fn ipv4(bytes: &[u8], on_wire: usize) -> Result<Network<'_>, PassedOver> {
    let header = Ipv4HeaderSlice::from_slice(bytes).map_err(|_| PassedOver::Broken)?;
    let head = header.slice().len();
    // Hosts that leave segmentation to the network card record a total length of 0.
    let total = if header.total_len() == 0 { on_wire } else { usize::from(header.total_len()) };
    let length = total.checked_sub(head).ok_or(PassedOver::Broken)?;
    let fragment = header.is_fragmenting_payload().then(|| Fragment {
        identification: header.identification().into(),
        offset: usize::from(header.fragments_offset().value()) * 8,
        more: header.more_fragments(),
    });
    Ok(Network {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        time_to_live: header.ttl(),
        protocol: header.protocol().0,
        payload: up_to(&bytes[head..], length),
        length,
        fragment,
    })
}

fn ipv6(bytes: &[u8], on_wire: usize) -> Result<Network<'_>, PassedOver> {
    let header = Ipv6HeaderSlice::from_slice(bytes).map_err(|_| PassedOver::Broken)?;
    let head = header.slice().len();
    let announced = usize::from(header.payload_length());
    let length = if announced == 0 { on_wire.saturating_sub(head) } else { announced };
    let mut packet = Network {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        time_to_live: header.hop_limit(),
        protocol: header.next_header().0,
        payload: up_to(&bytes[head..], length),
        length,
        fragment: None,
    };
    packet.pass_extension_headers()?;
    Ok(packet)
}

fn up_to(bytes: &[u8], length: usize) -> &[u8] {
    &bytes[..length.min(bytes.len())]
}

impl Network<'_> {
    /// Passes IPv6 extension headers, up to a fragment's: what follows that is in parts.
    pub(super) fn pass_extension_headers(&mut self) -> Result<(), PassedOver> {
        for _ in 0..MOST_EXTENSION_HEADERS {
            let size = match self.protocol {
                FRAGMENT => return self.pass_fragment_header(),
                HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY => self.extension_units()? * 8 + 8,
                AUTHENTICATION => self.extension_units()? * 4 + 8,
                _ => return Ok(()),
            };
            self.pass(size)?;
        }
        Err(PassedOver::Broken)
    }

    fn extension_units(&self) -> Result<usize, PassedOver> {
        self.payload.get(1).map(|units| usize::from(*units)).ok_or(PassedOver::Broken)
    }

    /// Every extension header begins with the number of the next one.
    fn pass(&mut self, size: usize) -> Result<(), PassedOver> {
        self.protocol = *self.payload.first().ok_or(PassedOver::Broken)?;
        self.payload = self.payload.get(size..).ok_or(PassedOver::Broken)?;
        self.length = self.length.checked_sub(size).ok_or(PassedOver::Broken)?;
        Ok(())
    }

    fn pass_fragment_header(&mut self) -> Result<(), PassedOver> {
        let header = Ipv6FragmentHeaderSlice::from_slice(self.payload).map_err(|_| PassedOver::Broken)?;
        let fragment = Fragment {
            identification: header.identification(),
            offset: usize::from(header.fragment_offset().value()) * 8,
            more: header.more_fragments(),
        };
        let is_part = header.is_fragmenting_payload();
        let size = header.slice().len();
        self.pass(size)?;
        if !is_part {
            return self.pass_extension_headers();
        }
        self.fragment = Some(fragment);
        Ok(())
    }
}
