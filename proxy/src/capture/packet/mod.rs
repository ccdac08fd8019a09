//! From frames to segments and datagrams: link, network with its fragments, transport. Knows no flow.

mod fragments;
mod link;
mod network;
mod passed_over;
mod transport;

pub use passed_over::{PassedOver, PassedOverCounts};
pub(crate) use transport::{Datagram, Packet, Quoted, Segment};

use super::{Frame, Nanoseconds};
use fragments::Fragments;
use network::{Fragment, Network};
use std::net::IpAddr;

/// An IP packet that is not a part of a larger one, for somebody who writes it anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) time_to_live: u8,
    /// Of what is inside.
    pub(crate) protocol: u8,
    /// What is inside, as much as the file has.
    pub(crate) payload: &'a [u8],
    /// How long that is on the wire.
    pub(crate) length: usize,
}

/// The whole IP packet in a frame; `None` where there is a part of one, or something else.
pub(crate) fn whole<'a>(frame: &Frame<'a>) -> Option<Whole<'a>> {
    let Ok((network, None)) = read(frame) else { return None };
    let Network { source, destination, time_to_live, protocol, payload, length, .. } = network;
    Some(Whole { source, destination, time_to_live, protocol, payload, length })
}

/// Takes frames apart, keeps fragments until their datagram is whole, and counts what belongs to no flow.
#[derive(Debug, Default)]
pub(crate) struct Packets {
    fragments: Fragments,
    passed_over: PassedOverCounts,
}

impl Packets {
    /// What a frame means to a flow; `None` where it means nothing to any, or is only a part.
    pub(crate) fn read<'a>(&'a mut self, frame: &Frame<'a>) -> Option<Packet<'a>> {
        match read(frame) {
            Ok((network, None)) => match transport::transport(&network) {
                Ok(packet) => Some(packet),
                Err(kind) => self.pass_over(kind, 1),
            },
            Ok((network, Some(fragment))) => self.fragment(frame.at, network, fragment),
            Err(kind) => self.pass_over(kind, 1),
        }
    }

    /// What was passed over, with the fragments that still wait.
    pub(crate) fn into_passed_over(mut self) -> PassedOverCounts {
        self.passed_over.add(PassedOver::FragmentsIncomplete, self.fragments.left());
        self.passed_over
    }

    fn pass_over<'a>(&mut self, kind: PassedOver, count: u64) -> Option<Packet<'a>> {
        self.passed_over.add(kind, count);
        None
    }

    fn fragment<'a>(
        &'a mut self,
        at: Nanoseconds,
        network: Network<'a>,
        fragment: Fragment,
    ) -> Option<Packet<'a>> {
        if !self.fragments.take(at, &network, fragment, &mut self.passed_over) {
            return None;
        }
        let payload = self.fragments.whole();
        let mut whole = Network { payload, length: payload.len(), fragment: None, ..network };
        let packet = whole.pass_extension_headers().and_then(|()| match whole.fragment {
            None => transport::transport(&whole),
            Some(_) => Err(PassedOver::Broken),
        });
        match packet {
            Ok(packet) => Some(packet),
            Err(kind) => {
                self.passed_over.add(kind, 1);
                None
            }
        }
    }
}

fn read<'a>(frame: &Frame<'a>) -> Result<(Network<'a>, Option<Fragment>), PassedOver> {
    let packet = link::ip_packet(frame.link, frame.bytes)?;
    let before = frame.bytes.len() - packet.len();
    let network = network::network(packet, (frame.length as usize).saturating_sub(before))?;
    Ok((network, network.fragment))
}

#[cfg(test)]
mod tests;
