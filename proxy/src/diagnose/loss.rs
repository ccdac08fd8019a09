//! What got lost on the way to one side: in segments or, of systems that count those, in bytes.

use crate::trace::TcpInfo;

/// Above this share sent again TCP halves its speed over and over.
pub(super) const LOSSY_PERCENT: u64 = 2;
/// With fewer segments sent again a share says nothing.
pub(super) const LOSSY_SEGMENTS: u32 = 3;
/// The largest segment of a connection over Ethernet, where the system names none.
const USUAL_SEGMENT: u32 = 1460;

/// What had to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resent {
    /// How much.
    pub(super) again: u64,
    /// What is counted: `segments` or `bytes`.
    pub(super) unit: &'static str,
    /// In segments: exactly or, where bytes are counted, at least so many.
    pub(super) segments: u64,
}

impl Resent {
    /// What this connection sent again; `None` where it was nothing, or nobody counted.
    pub(super) fn of(link: &TcpInfo) -> Option<Resent> {
        let in_segments = |count| Resent { again: count, unit: "segments", segments: count };
        let segment = link.send_mss.filter(|mss| *mss > 0).unwrap_or(USUAL_SEGMENT);
        let in_bytes =
            |count: u64| Resent { again: count, unit: "bytes", segments: count.div_ceil(segment.into()) };
        let segments = link.retransmitted_segments.map(u64::from).map(in_segments);
        segments.or_else(|| link.retransmitted_bytes.map(in_bytes)).filter(|resent| resent.again > 0)
    }
}

/// How much had to be sent again of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loss {
    /// What was sent again.
    pub(super) resent: Resent,
    /// What was sent in all, counted in the same way.
    pub(super) all: u64,
}

impl Loss {
    /// What a connection lost that loses more than is usual; `None` where it does not, or nobody counted.
    pub(super) fn of(link: &TcpInfo) -> Option<Loss> {
        let resent = Resent::of(link).filter(|resent| resent.segments >= LOSSY_SEGMENTS.into())?;
        let all = if resent.unit == "bytes" { link.bytes_out } else { link.segments_out.map(u64::from) }?;
        (resent.again * 100 > all * LOSSY_PERCENT).then_some(Loss { resent, all })
    }

    /// The share, rounded down.
    pub(super) fn percent(self) -> u64 {
        self.resent.again * 100 / self.all.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_where_no_segments_are_counted() {
        let link = |retransmitted_bytes, bytes_out| TcpInfo {
            send_mss: Some(1000),
            retransmitted_bytes: Some(retransmitted_bytes),
            bytes_out: Some(bytes_out),
            ..TcpInfo::default()
        };
        assert_eq!(Loss::of(&link(2000, 20_000)), None, "two segments say nothing");
        assert_eq!(Loss::of(&link(3000, 1_000_000)), None, "a small share");
        let loss = Loss::of(&link(3000, 20_000)).unwrap();
        let resent = Resent { again: 3000, unit: "bytes", segments: 3 };
        assert_eq!((loss, loss.percent()), (Loss { resent, all: 20_000 }, 15));
        assert_eq!(Loss::of(&TcpInfo { bytes_out: Some(1), ..TcpInfo::default() }), None, "nobody counted");
    }
}
