//! Frames in, flows out: the stages between a file and a [`FlowSink`] put together.

use super::flows::Flows;
use super::packet::{Packets, PassedOverCounts};
use super::{FlowSink, Frame, Nanoseconds};

/// What a capture had in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Frames that were read.
    pub frames: u64,
    /// Bytes of them that the file has.
    pub bytes: u64,
    /// Frames that were cut to the snapshot length.
    pub cut_frames: u64,
    /// Time of the earliest and of the latest frame.
    pub span: Option<(Nanoseconds, Nanoseconds)>,
    /// Flows that were told.
    pub flows: u64,
    /// Packets that belong to no flow.
    pub passed_over: PassedOverCounts,
}

/// Takes frame after frame. Memory is bounded by the flows that are open at once.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    packets: Packets,
    flows: Flows,
    contents: Contents,
}

impl Reassembly {
    /// The next frame.
    pub(crate) fn frame(&mut self, frame: &Frame<'_>, sink: &mut dyn FlowSink) {
        let contents = &mut self.contents;
        contents.frames += 1;
        contents.bytes += frame.bytes.len() as u64;
        contents.cut_frames += u64::from(frame.bytes.len() < frame.length as usize);
        let (first, last) = contents.span.unwrap_or((frame.at, frame.at));
        contents.span = Some((first.min(frame.at), last.max(frame.at)));
        if let Some(packet) = self.packets.read(frame) {
            self.flows.packet(frame.at, frame.number, &packet, sink);
        }
    }

    /// The file ends: closes every flow.
    pub(crate) fn finish(mut self, sink: &mut dyn FlowSink) -> Contents {
        self.flows.finish(sink);
        self.contents.flows = self.flows.count();
        self.contents.passed_over = self.packets.into_passed_over();
        self.contents
    }
}
