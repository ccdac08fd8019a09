//! One line of a table, and the commands that lines name.

use schemars::JsonSchema;
use serde::Serialize;

/// A number, what it means and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Entry {
    /// The number.
    pub code: u32,
    /// Its name in the specification; where the meaning is only reported, a short name of our own.
    pub name: &'static str,
    /// What it means, one sentence.
    pub meaning: &'static str,
    /// What usually causes it, likeliest first.
    pub causes: &'static [&'static str],
    /// The rdpscope commands that tell the causes apart.
    #[serde(skip)]
    pub next: &'static [&'static str],
    /// What else there is to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
    /// False where only users report this meaning.
    pub documented: bool,
}

/// Lines of a table: `code "name" "meaning" [causes] [commands] => "note" reported;`. The note may be absent;
/// `reported` marks a meaning that only users report. After `names of TABLE;` the names come from there.
macro_rules! entries {
    (names of $names:path; $($code:literal $meaning:literal $causes:tt $next:tt $(=> $note:literal)?;)*) => {
        &[$($crate::explain::entry::Entry {
            code: $code,
            name: $crate::explain::entry::name_of($code, $names),
            meaning: $meaning,
            causes: &$causes,
            next: &$next,
            note: $crate::explain::entry::first(&[$($note)?]),
            documented: true,
        }),*]
    };
    ($(
        $code:literal $name:literal $meaning:literal $causes:tt $next:tt
        $(=> $note:literal)? $($reported:ident)?;
    )*) => {
        &[$($crate::explain::entry::Entry {
            code: $code,
            name: $name,
            meaning: $meaning,
            causes: &$causes,
            next: &$next,
            note: $crate::explain::entry::first(&[$($note)?]),
            documented: $crate::explain::entry::documented(&[$(stringify!($reported))?]),
        }),*]
    };
}
pub(super) use entries;

/// For the table macro: a note that may be absent.
pub(super) const fn first(notes: &[&'static str]) -> Option<&'static str> {
    if notes.is_empty() { None } else { Some(notes[0]) }
}

/// For the table macro: the name of a number; a number without one does not compile.
pub(super) const fn name_of(code: u32, names: &[(u32, &'static str)]) -> &'static str {
    let mut index = 0;
    while names[index].0 != code {
        index += 1;
    }
    names[index].1
}

/// For the table macro: whether the line is not marked as reported.
pub(super) const fn documented(marks: &[&str]) -> bool {
    marks.is_empty()
}

/// Names every phase as far as the wire shows it.
pub(super) const PROXY: &str = "rdpscope proxy TARGET";
/// Drives every phase without a client.
pub(super) const PROBE: &str = "rdpscope probe TARGET";
/// Sees inside TLS.
pub(super) const INSIDE: &str = "rdpscope proxy TARGET --cert mirror --nla terminate";
/// Compares certificates.
pub(super) const AB_CERT: &str = "rdpscope ab TARGET --vary cert";
/// Compares with and without NLA.
pub(super) const AB_NLA: &str = "rdpscope ab TARGET --vary nla";
/// Compares TLS versions.
pub(super) const AB_TLS: &str = "rdpscope ab TARGET --vary tls";
/// Compares segment sizes.
pub(super) const AB_MSS: &str = "rdpscope ab TARGET --vary mss";
/// Compares the name with each of its addresses.
pub(super) const AB_ADDRESS: &str = "rdpscope ab TARGET --vary address";
/// Names every phase of a gateway connection.
pub(super) const GATEWAY: &str = "rdpscope proxy TARGET --gateway GATEWAY";
/// Compares the gateway's transports.
pub(super) const AB_GATEWAY: &str = "rdpscope ab TARGET --gateway GATEWAY --vary gateway-transport";
/// Finds faults in a profile.
pub(super) const RDP_LINT: &str = "rdpscope rdp lint FILE";
