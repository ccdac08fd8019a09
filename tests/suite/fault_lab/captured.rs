//! The faults as captures of real sessions show them, which `RDP_CAPTURES` names: bytes and nothing else.

use super::Judged;
use crate::support::captures::{folder, observe, reassemble};
use crate::support::pcap;
use rdpscope::diagnose::{Context, diagnose};
use rdpscope::trace::{Line, Record};

/// The verdict on one TCP connection of the file below the folder.
pub(super) fn connection(file: &str, port: u16, number: usize) -> Option<Judged> {
    let path = folder()?.join(file);
    let streams = reassemble(&pcap::packets(&path), port);
    let observed = observe(&streams[number]);
    let lines = observed.lines.into_iter().chain([Line::Summary(Box::new(observed.summary))]);
    let record: Record = lines.collect();
    Some(Judged::of(&diagnose(&record, &Context::default()).verdict))
}
