//! Which connection carries a direction of a virtual connection, and which is to do so next: a channel that has carried
//! its share of bytes is replaced by another on a connection of its own (MS-RPCH 3.2.1.5.3).

use super::flow::Flow;
use std::collections::BTreeMap;

/// A connection's number in its virtual connection.
pub type Lane = u32;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    current: Option<Lane>,
    /// The channel that takes the place of the current, once nothing more comes in that.
    next: Option<(Lane, Flow)>,
    /// What names the channel before the current.
    left: Option<[u8; 16]>,
    /// On each: PDUs with RDP that came, and that were written.
    rewritten: BTreeMap<Lane, [u64; 2]>,
}

impl Lanes {
    /// The first channel of this direction begins.
    pub(super) fn begins(&mut self, lane: Lane) {
        self.current = Some(lane);
    }

    /// A channel begins that is to take the place of the current.
    pub(super) fn prepares(&mut self, lane: Lane, flow: Flow) {
        self.next = Some((lane, flow));
    }

    /// The flow of the channel that is to take the place of the current.
    pub(super) fn prepared(&mut self) -> Option<&mut Flow> {
        self.next.as_mut().map(|(_, flow)| flow)
    }

    /// Nothing more comes on `lane`: where another channel takes its place, that one's flow is now the direction's.
    pub(super) fn ends(&mut self, lane: Lane, flow: &mut Flow) {
        if self.current == Some(lane)
            && let Some((next, successor)) = self.next.take()
        {
            self.left = Some(flow.channel);
            (self.current, *flow) = (Some(next), successor);
        }
    }

    pub(super) fn is_current(&self, lane: Lane) -> bool {
        self.current == Some(lane)
    }

    /// Whether this names the channel before the current.
    pub(super) fn has_left(&self, channel: [u8; 16]) -> bool {
        self.left == Some(channel)
    }

    /// A PDU with RDP came.
    pub(super) fn came(&mut self) {
        self.count()[0] += 1;
    }

    /// A PDU with RDP was written.
    pub(super) fn wrote(&mut self) {
        self.count()[1] += 1;
    }

    fn count(&mut self) -> &mut [u64; 2] {
        self.rewritten.entry(self.current.unwrap_or_default()).or_default()
    }

    /// PDUs with RDP that came on `lane`, and that were written there; told once.
    pub(super) fn take_rewritten(&mut self, lane: Lane) -> [u64; 2] {
        self.rewritten.remove(&lane).unwrap_or_default()
    }
}
