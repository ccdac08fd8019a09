//! Flow control of one direction of a virtual connection (MS-RPCH 3.2.1.1.5), kept with its sender and with its receiver
//! apart: both count bytes of all PDUs but those of RTS, and what comes is not what is written.

/// Bytes of a window that stay free for calls that are not ours to hold.
const RESERVE: u32 = 8 * 1024;
/// Bytes of the longest fragment where nobody has said (MS-RPCE 3.3.1.5.1).
const MOST_FRAGMENT: u16 = 4088;

/// See the module.
#[derive(Debug)]
pub(super) struct Flow {
    /// What names the channel.
    pub(super) channel: [u8; 16],
    /// Bytes that came.
    received: u32,
    /// Of those, what the sender was told to have arrived.
    acknowledged: u32,
    /// Bytes that were written.
    sent: u32,
    /// What the receiver takes in all; no limit where it named none.
    up_to: Option<u32>,
    /// What it takes at once, and so do we in its place.
    window: u32,
    /// Bytes of the longest fragment that may be written.
    pub(super) most_fragment: u16,
}

impl Default for Flow {
    fn default() -> Flow {
        let most_fragment = MOST_FRAGMENT;
        Flow {
            channel: [0; 16],
            received: 0,
            acknowledged: 0,
            sent: 0,
            up_to: None,
            window: 0,
            most_fragment,
        }
    }
}

impl Flow {
    /// That of a channel in the place of this one; its window is as large where nobody names another.
    pub(super) fn successor(&self, channel: [u8; 16], window: Option<u32>) -> Flow {
        let mut flow = Flow { channel, most_fragment: self.most_fragment, ..Flow::default() };
        let window = window.or(Some(self.window).filter(|window| *window > 0));
        window.into_iter().for_each(|window| flow.has_window(window));
        flow
    }

    /// The receiver names its window.
    pub(super) fn has_window(&mut self, window: u32) {
        (self.window, self.up_to) = (window, Some(window));
    }

    /// The receiver says up to where it takes bytes.
    pub(super) fn may_send_up_to(&mut self, up_to: u32) {
        self.up_to = Some(up_to);
    }

    /// The longest fragment that somebody takes or sends.
    pub(super) fn limit_fragments(&mut self, most: u16) {
        self.most_fragment = self.most_fragment.min(most);
    }

    /// So many bytes came.
    pub(super) fn came(&mut self, count: usize) {
        self.received = self.received.wrapping_add(count as u32);
    }

    /// So many were written.
    pub(super) fn wrote(&mut self, count: usize) {
        self.sent = self.sent.wrapping_add(count as u32);
    }

    /// How many fragments of the longest may be written now.
    pub(super) fn fragments(&self) -> usize {
        let Some(up_to) = self.up_to else { return usize::MAX };
        // A receiver that takes back what it has granted has no room.
        let free = up_to.wrapping_sub(self.sent).cast_signed().max(0).cast_unsigned();
        let reserve = RESERVE.min(self.window / 4);
        (free.saturating_sub(reserve) / u32::from(self.most_fragment.max(1))) as usize
    }

    /// All that came was taken: what the sender is to be told to have arrived, and how much more it may send; nothing while
    /// it has not used half of that.
    pub(super) fn taken(&mut self) -> Option<(u32, u32)> {
        let unsaid = self.received.wrapping_sub(self.acknowledged);
        if self.window == 0 || unsaid < self.window / 2 {
            return None;
        }
        self.acknowledged = self.received;
        Some((self.received, self.window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_kept_to_both_sides_over_the_end_of_the_count() {
        let mut flow = Flow::default();
        assert_eq!(flow.fragments(), usize::MAX, "nobody named a window");
        flow = flow.successor([1; 16], Some(0x1_0000));
        assert_eq!(flow.fragments(), (0x1_0000 - 8192) / 4088);
        flow.wrote(0xf000);
        assert_eq!(flow.fragments(), 0);
        flow.came(0x7fff);
        assert_eq!(flow.taken(), None);
        flow.came(1);
        assert_eq!((flow.taken(), flow.taken()), (Some((0x8000, 0x1_0000)), None));
        flow.may_send_up_to(0xf000_u32.wrapping_add(0x1_0000));
        assert!(flow.fragments() > 0);
        (flow.sent, flow.received, flow.acknowledged) = (u32::MAX - 10, u32::MAX, u32::MAX);
        flow.may_send_up_to(50_000);
        assert_eq!(flow.fragments(), (50_011 - 8192) / 4088);
        flow.came(0x8000);
        assert_eq!(flow.taken(), Some((0x7fff, 0x1_0000)));
        flow.may_send_up_to(u32::MAX - 20);
        assert_eq!(flow.fragments(), 0, "less than was sent");
    }
}
