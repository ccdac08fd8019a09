//! The faults as captures of real sessions show them, which `RDP_CAPTURES` names: by their packets alone, though some of
//! the files have secrets inside.

use super::Judged;
use crate::support::captures::folder;
use rdpscope::capture::file;
use rdpscope::capture::session::{Analysed, Options, Sessions};
use std::path::Path;
use std::sync::Arc;

/// The verdict on one TCP connection with a server on `port`, counted from 0 in the order in which they began.
pub(super) fn connection(name: &str, port: u16, number: usize) -> Option<Judged> {
    Some(connection_in(&folder()?.join(name), port, number))
}

/// The verdict on the only connection of a capture that lies beside this file: of an xfreerdp whose xrdp is behind a router
/// where `tc` lets 2 kbit/s through.
pub(super) fn slow_way() -> Option<Judged> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/suite/fault_lab/slow-way.pcap");
    Some(connection_in(&path, 3389, 0))
}

fn connection_in(path: &Path, port: u16, number: usize) -> Judged {
    let options = Options {
        capture: path.display().to_string(),
        ids: "captured".to_owned(),
        gateways: Vec::new(),
        knows_command: |_| true,
    };
    let mut attempts: Vec<Analysed> = Vec::new();
    let mut sessions = Sessions::new(options, Arc::default(), |analysed| attempts.push(analysed));
    file::read(path, &mut sessions).expect("the capture is read");
    sessions.finish();
    attempts.retain(|attempt| is_to(attempt, port));
    attempts.sort_by_key(|attempt| attempt.began);
    Judged::of_record(&attempts[number].record)
}

fn is_to(attempt: &Analysed, port: u16) -> bool {
    let server = attempt.record.summary.as_ref().and_then(|summary| summary.server.as_deref());
    server.is_some_and(|server| server.ends_with(&format!(":{port}")))
}
