//! A cause as text for a terminal.

use super::Explained;
use crate::trace::Where;
use std::fmt::Write;

/// Text: first the cause, then what is seen of it, what proves it and what rules it out, what to do; ends in a newline.
pub fn text(explained: &Explained) -> String {
    let mut out = String::new();
    line(&mut out, &format!("{}: {}.", explained.id, explained.title));
    line(&mut out, &format!("The user sees: {}", explained.user_sees));
    line(&mut out, &format!("rdpscope sees: {}", explained.wire));
    proof(&mut out, explained);
    if !explained.ruled_out_where.is_empty() {
        line(&mut out, "\nIt is ruled out where:");
        explained.ruled_out_where.iter().for_each(|seen| line(&mut out, &format!("  - {seen}")));
    }
    if !explained.next.is_empty() {
        line(&mut out, "\nTo tell more:");
        explained.next.iter().for_each(|command| line(&mut out, &format!("  {command}")));
    }
    if !explained.fix.is_empty() {
        line(&mut out, "\nWhat mends it:");
        for fix in &explained.fix {
            line(&mut out, &format!("  - {}: {}", place(fix.place), fix.text));
            fix.command.iter().for_each(|command| line(&mut out, &format!("      {command}")));
        }
    }
    if !explained.beliefs.is_empty() {
        line(&mut out, "\nOften believed, and wrong:");
        for wrong in explained.beliefs {
            line(&mut out, &format!("  - \"{}\": {}", wrong.claim, wrong.truth));
        }
    }
    out
}

fn proof(out: &mut String, explained: &Explained) {
    line(out, "\nWhat proves it:");
    line(out, &format!("  - on the wire: {}", explained.proof.unwrap_or(NOTHING_ON_THE_WIRE)));
    if let Some(trial) = &explained.trial {
        line(out, &format!("  - {}", trial.command));
        line(out, &format!("      for it:     {}", trial.proves));
        line(out, &format!("      against it: {}", trial.refutes));
    }
}

/// Said where the wire alone never proves a cause.
const NOTHING_ON_THE_WIRE: &str = "nothing does; from one session alone the verdict is at most likely";

/// Where something is to be done.
fn place(place: Where) -> &'static str {
    match place {
        Where::Server => "on the server",
        Where::Client => "on the client",
        Where::Network => "in the network",
        Where::Gateway => "on the gateway",
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}
