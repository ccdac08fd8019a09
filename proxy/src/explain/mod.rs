//! What a number means that a client, a log or the wire shows for a failed connection, and what to try.
//!
//! [`run`] takes the words of the command line, [`lookup`] numbers; both answer with an [`Explanation`],
//! which [`text`] and [`json`] turn into something to print. The tables are one file a family; what
//! [`crate::wire`] itself names stands there, and here only what is to be done about it.

mod advice;
mod authorization;
mod client_gateway;
mod disconnect_reason;
mod entry;
mod error_info;
mod extended_reason;
mod family;
mod gateway;
mod licensing;
mod negotiation_failure;
mod ntstatus;
mod query;
mod reading;
mod render;
mod sspi;
mod tls_alert;

pub use entry::Entry;
pub use family::Family;
pub use reading::{Reading, Step, WrongClaim};
pub use render::{json, text};

use query::{Query, Wanted};
use schemars::JsonSchema;
use serde::Serialize;

/// Everything that is known of a number, or of a pair of disconnect reason and extended reason.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename = "explanation")]
pub struct Explanation {
    /// The number, `"0x00000904"`.
    pub code: String,
    /// The same, decimal.
    pub decimal: u32,
    /// The extended reason that came with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended: Option<String>,
    /// How the question was understood, where that needs saying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub understood: Option<String>,
    /// What mstsc on this machine would tell its user of the pair, in the user's language; where it could be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mstsc: Option<String>,
    /// What the numbers say together, and how to get to the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// What the number means in each family that has it, likeliest first; of a pair one for each number.
    pub meanings: Vec<Meaning>,
}

/// A number's meaning in one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Meaning {
    /// The family.
    pub family: Family,
    /// The line of its table.
    #[serde(flatten)]
    pub entry: &'static Entry,
    /// The rdpscope commands that tell the causes apart.
    pub next: Vec<&'static str>,
}

impl Meaning {
    fn new(family: Family, entry: &'static Entry) -> Meaning {
        Meaning { family, entry, next: entry.next.to_vec() }
    }
}

impl Explanation {
    /// The disconnect reason and the extended one (0 without) that mstsc itself may have words for; `None` where the
    /// number is likelier of another family.
    pub fn of_mstsc(&self) -> Option<(u32, u32)> {
        match self.extended.as_deref().and_then(|hex| hex.strip_prefix("0x")) {
            Some(extended) => Some((self.decimal, u32::from_str_radix(extended, 16).ok()?)),
            None => (self.meanings.first()?.family == Family::Reason).then_some((self.decimal, 0)),
        }
    }

    /// Leaves out the commands that `knows` does not know: nobody shall be sent to one that does not exist.
    pub fn retain_commands(&mut self, knows: impl Fn(&str) -> bool) {
        let readings = self.reading.iter_mut().map(|reading| &mut reading.next);
        for next in readings.chain(self.meanings.iter_mut().map(|meaning| &mut meaning.next)) {
            next.retain(|command| knows(command));
        }
    }
}

/// Why there is no explanation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// Wrong usage: neither a number nor a name.
    #[error("`{0}` is neither a number nor a name: write 2308, 0x904 or a name such as STATUS_LOGON_FAILURE")]
    NotACode(String),
    /// Wrong usage: no such family.
    #[error("there is no family `{0}`: use one of {families}", families = family_ids())]
    UnknownFamily(String),
    /// Wrong usage: a word where the extended code belongs.
    #[error("`{0}` is no extended code: mstsc shows a number there, such as 0x7")]
    ExtendedIsNoNumber(String),
    /// Wrong usage: an extended code after something that is no disconnect reason.
    #[error("an extended code goes with a disconnect reason, and `{0}` is none")]
    ExtendedWithoutReason(String),
    /// The number or name is in no table.
    #[error(
        "{0} is no code that rdpscope knows: `rdpscope proxy TARGET` shows in which phase the connection ends"
    )]
    Unknown(String),
}

impl ExplainError {
    /// True where the question was wrong, false where only the answer is missing.
    pub fn is_usage(&self) -> bool {
        !matches!(self, ExplainError::Unknown(_))
    }
}

fn family_ids() -> String {
    Family::ALL.map(Family::id).join(", ")
}

/// Explains `code`, which may name its family (`tls:45`), and the extended code that mstsc showed with it.
/// Both may also stand in `code`, as in `0x904/0x7`.
pub fn run(code: &str, extended: Option<&str>) -> Result<Explanation, ExplainError> {
    if extended.is_none()
        && let Some((first, second)) = code.trim().split_once(['/', ',', ' '])
        && second.trim().starts_with(|start: char| start.is_ascii_digit())
    {
        return run(first, Some(second.trim()));
    }
    let query = Query::parse(code)?;
    match extended {
        None => explain(query),
        Some(extended) => explain_pair(query, code, extended),
    }
}

/// Explains a number, or a disconnect reason with the extended reason that came with it.
pub fn lookup(code: u32, extended: Option<u32>) -> Result<Explanation, ExplainError> {
    match extended {
        None => by_code(None, code).ok_or_else(|| unknown(code)),
        Some(extended) => pair(code, extended),
    }
}

fn explain(query: Query) -> Result<Explanation, ExplainError> {
    match query.wanted {
        Wanted::Name(name) => by_name(query.family, &name).ok_or(ExplainError::Unknown(name)),
        Wanted::Code { code, as_hex } => by_code(query.family, code)
            .or_else(|| as_hex.and_then(|as_hex| by_forgotten_hex(query.family, code, as_hex)))
            .ok_or_else(|| unknown(code)),
    }
}

fn explain_pair(query: Query, code: &str, extended: &str) -> Result<Explanation, ExplainError> {
    let extended_as_typed = extended.trim().to_owned();
    let extended = Query::parse(extended)?;
    let is_reason = query.family.is_none_or(|family| family == Family::Reason);
    let is_extended = extended.family.is_none_or(|family| family == Family::Extended);
    match (query.wanted, extended.wanted) {
        (Wanted::Code { code, as_hex }, Wanted::Code { code: extended, .. }) if is_reason && is_extended => {
            let forgotten = as_hex.filter(|as_hex| {
                Family::Reason.find(code).is_none() && Family::Reason.find(*as_hex).is_some()
            });
            pair(forgotten.unwrap_or(code), extended)
        }
        (_, Wanted::Name(_)) => Err(ExplainError::ExtendedIsNoNumber(extended_as_typed)),
        _ => Err(ExplainError::ExtendedWithoutReason(code.trim().to_owned())),
    }
}

fn unknown(code: u32) -> ExplainError {
    ExplainError::Unknown(format!("{code:#x} ({code})"))
}

fn explanation(code: u32, meanings: Vec<Meaning>) -> Explanation {
    Explanation {
        code: format!("{code:#010x}"),
        decimal: code,
        extended: None,
        understood: None,
        mstsc: None,
        reading: None,
        meanings,
    }
}

fn by_code(family: Option<Family>, code: u32) -> Option<Explanation> {
    let meanings: Vec<Meaning> = match family {
        Some(family) => {
            family.find_alone(code).map(|entry| Meaning::new(family, entry)).into_iter().collect()
        }
        None => {
            let found = |family: Family| family.find(code).map(|entry| Meaning::new(family, entry));
            Family::ALL.into_iter().filter_map(found).collect()
        }
    };
    let first = meanings.first()?;
    let reading = (first.family == Family::Reason).then(|| Reading::of_reason(code)).flatten();
    Some(Explanation { reading, ..explanation(code, meanings) })
}

fn by_forgotten_hex(family: Option<Family>, code: u32, as_hex: u32) -> Option<Explanation> {
    let understood = Some(format!("{code} is not known as a decimal number; read as {as_hex:#x}"));
    by_code(family, as_hex).map(|explanation| Explanation { understood, ..explanation })
}

fn by_name(family: Option<Family>, name: &str) -> Option<Explanation> {
    let families = || Family::ALL.into_iter().filter(|other| family.is_none_or(|family| family == *other));
    let found = |whole| -> Vec<Meaning> {
        families()
            .flat_map(|family| family.find_name(name, whole).map(move |entry| Meaning::new(family, entry)))
            .collect()
    };
    let whole = found(true);
    let meanings = if whole.is_empty() { found(false) } else { whole };
    let code = meanings.first()?.entry.code;
    Some(explanation(code, meanings))
}

fn pair(code: u32, extended: u32) -> Result<Explanation, ExplainError> {
    let meaning = |family: Family, code| family.find_alone(code).map(|entry| Meaning::new(family, entry));
    let reason = meaning(Family::Reason, code);
    let detail = meaning(Family::Extended, extended);
    if reason.is_none() && detail.is_none() {
        return Err(ExplainError::Unknown(format!("the pair {code:#x} and {extended:#x}")));
    }
    let reading = Some(Reading::of_pair((code, reason.clone()), (extended, detail.clone())));
    let extended = Some(format!("{extended:#010x}"));
    // What the server is said to have sent explains more than that the connection ended.
    let meanings = detail.into_iter().chain(reason).collect();
    Ok(Explanation { extended, reading, ..explanation(code, meanings) })
}

#[cfg(test)]
mod tests;
