//! The faults as captures of real sessions show them, which `RDP_CAPTURES` names: by their packets alone, though some of
//! the files have secrets inside.

use super::Judged;
use crate::support::captures::folder;
use rdpscope::capture::file;
use rdpscope::capture::session::{Analysed, Options, Sessions};
use std::sync::Arc;

/// The verdict on one TCP connection with a server on `port`, counted from 0 in the order in which they began.
pub(super) fn connection(name: &str, port: u16, number: usize) -> Option<Judged> {
    let path = folder()?.join(name);
    let options = Options {
        capture: name.to_owned(),
        ids: "captured".to_owned(),
        gateways: Vec::new(),
        knows_command: |_| true,
    };
    let mut attempts: Vec<Analysed> = Vec::new();
    let mut sessions = Sessions::new(options, Arc::default(), |analysed| attempts.push(analysed));
    file::read(&path, &mut sessions).expect("the capture is read");
    sessions.finish();
    attempts.retain(|attempt| is_to(attempt, port));
    attempts.sort_by_key(|attempt| attempt.began);
    Some(Judged::of_record(&attempts[number].record))
}

fn is_to(attempt: &Analysed, port: u16) -> bool {
    let server = attempt.record.summary.as_ref().and_then(|summary| summary.server.as_deref());
    server.is_some_and(|server| server.ends_with(&format!(":{port}")))
}
