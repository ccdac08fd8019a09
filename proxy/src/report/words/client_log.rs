//! What the client's own system logged, in words: what went wrong, and the code that its user was shown.

use super::{Family, meaning, safe};
use crate::trace::{ClientLogEntry, Detail, Event};
use crate::wire::tls::alert;

/// Windows' number for an error; smaller ones are graver.
const ERROR: u8 = 2;
/// Steps that failed, which the client does not take for errors.
const FAILED_STEPS: [u32; 2] = [226, 1104];

/// One clause for each entry that tells of a fault.
pub(super) fn describe(events: &[Event]) -> Vec<String> {
    events.iter().filter_map(clause).collect()
}

fn clause(event: &Event) -> Option<String> {
    let Detail::ClientLog(entry) = &event.detail else { return None };
    let told = told(entry)?;
    Some(format!("this machine's event log ({}): {told}", entry.event_id))
}

fn told(entry: &ClientLogEntry) -> Option<String> {
    let what = safe::name(&entry.meaning);
    if let Some(reason) = entry.disconnect_reason {
        let meaning = meaning(Family::Reason, reason).map(|entry| format!(", {}", entry.meaning));
        return Some(format!("{what}, reason {reason:#x} ({reason}){}", meaning.unwrap_or_default()));
    }
    if let Some(number) = entry.alert {
        let name = alert::describe(number).map(|known| format!(" {}", known.name));
        return Some(format!("{what}: {number}{}", name.unwrap_or_default()));
    }
    let is_fault = FAILED_STEPS.contains(&entry.event_id)
        || entry.provider == "Schannel" && entry.severity.is_some_and(|severity| severity <= ERROR);
    let with: Vec<String> = entry.particulars.iter().map(|particular| safe::name(particular)).collect();
    is_fault.then(|| if with.is_empty() { what } else { format!("{what} ({})", with.join(", ")) })
}
