//! Entries of Windows' event log out of the XML that it renders them to.

use crate::trace::ClientLogEntry;
use jiff::Timestamp;
use roxmltree::{Document, Node};

/// Bytes of a field that are kept: none that is asked for has more in health.
const LONGEST_FIELD: usize = 256;

/// Whose entries are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    /// The client's ActiveX control, which mstsc is a frame around.
    Client,
    /// Windows' TLS.
    Schannel,
}

/// What is known of an event's number.
struct Known {
    provider: Provider,
    id: u32,
    /// What it says.
    meaning: &'static str,
    /// What its first value is.
    holds: Holds,
}

/// What the value of an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// The machine that was named to the client.
    Target,
    /// The disconnect reason.
    Reason,
    /// A TLS alert.
    Alert,
    /// What is kept under its name.
    Particulars,
    /// What stands for a user: nothing of it is kept.
    Private,
}

const fn client(id: u32, meaning: &'static str, holds: Holds) -> Known {
    Known { provider: Provider::Client, id, meaning, holds }
}

const fn schannel(id: u32, meaning: &'static str, holds: Holds) -> Known {
    Known { provider: Provider::Schannel, id, meaning, holds }
}

/// The events that are taken into a trace.
const KNOWN: [Known; 32] = [
    client(226, "a step of the connection failed", Holds::Particulars),
    client(1024, "the client tries to connect", Holds::Target),
    client(1025, "the client is connected", Holds::Particulars),
    client(1026, "the client is disconnected", Holds::Reason),
    client(1027, "the user is logged on to a session", Holds::Private),
    client(1028, "the server supports TLS", Holds::Particulars),
    client(1029, "a user name was given", Holds::Private),
    client(1102, "the client begins UDP", Holds::Particulars),
    client(1103, "UDP is connected", Holds::Particulars),
    client(1104, "UDP could not be connected", Holds::Particulars),
    client(1105, "UDP is disconnected", Holds::Particulars),
    client(1106, "UDP was closed with a code", Holds::Particulars),
    client(1107, "UDP ended", Holds::Particulars),
    schannel(36867, "TLS credentials are made", Holds::Particulars),
    schannel(36868, "the private key of TLS credentials", Holds::Particulars),
    schannel(36869, "a certificate has no private key", Holds::Particulars),
    schannel(36870, "the private key cannot be used", Holds::Particulars),
    schannel(36871, "TLS credentials could not be made", Holds::Particulars),
    schannel(36872, "the certificate's chain was not found", Holds::Particulars),
    schannel(36873, "the server takes no cipher suite of this client", Holds::Particulars),
    schannel(36874, "the client offers no cipher suite that is taken here", Holds::Particulars),
    schannel(36876, "the server's certificate did not pass", Holds::Particulars),
    schannel(36880, "a TLS handshake was complete", Holds::Particulars),
    schannel(36881, "the server's certificate has expired", Holds::Particulars),
    schannel(36882, "the server's certificate is from an authority that is not trusted", Holds::Particulars),
    schannel(36883, "the server's certificate was revoked", Holds::Particulars),
    schannel(36884, "the server's certificate is for another name", Holds::Target),
    schannel(36886, "no certificate of this machine is usual for TLS", Holds::Particulars),
    schannel(36887, "a TLS alert was received", Holds::Alert),
    schannel(36888, "a TLS alert was sent", Holds::Alert),
    schannel(36889, "the certificate's chain is incomplete", Holds::Particulars),
    schannel(36890, "no authority is trusted for clients' certificates", Holds::Particulars),
];

/// The entries in `xml` that tell of a Remote Desktop client or of TLS, in their order, with the moment of each. What is
/// no XML, or is cut short, has none.
pub fn logged(xml: &str) -> Vec<(Timestamp, ClientLogEntry)> {
    let Ok(document) = Document::parse(xml) else { return Vec::new() };
    document.descendants().filter(|node| is(node, "Event")).filter_map(entry).collect()
}

fn entry(event: Node<'_, '_>) -> Option<(Timestamp, ClientLogEntry)> {
    let system = child(event, "System")?;
    let name = child(system, "Provider")?.attribute("Name")?;
    let provider = if name == "Schannel" { Provider::Schannel } else { Provider::Client };
    let id = text(child(system, "EventID")?)?.parse().ok()?;
    let known = KNOWN.iter().find(|known| known.provider == provider && known.id == id)?;
    let moment: Timestamp = child(system, "TimeCreated")?.attribute("SystemTime")?.parse().ok()?;
    let activity = child(system, "Correlation").and_then(|node| node.attribute("ActivityID"));
    let mut entry = ClientLogEntry {
        provider: plain(name),
        event_id: id,
        meaning: known.meaning.to_owned(),
        logged: moment.to_string(),
        severity: child(system, "Level").and_then(text).and_then(|level| level.parse().ok()),
        activity: activity.map(plain),
        ..ClientLogEntry::default()
    };
    if known.holds != Holds::Private {
        fields(event).into_iter().for_each(|(name, value)| take(&mut entry, known.holds, &name, &value));
    }
    Some((moment, entry))
}

/// Puts a field where it belongs.
fn take(entry: &mut ClientLogEntry, holds: Holds, name: &str, value: &str) {
    // What stands beside the value: its label and a level in words.
    let is_label = matches!(name, "Name" | "CustomLevel") && holds != Holds::Particulars;
    match holds {
        _ if is_label && entry.provider != "Schannel" => {}
        Holds::Target if entry.target.is_none() => entry.target = Some(value.to_owned()),
        Holds::Reason if entry.disconnect_reason.is_none() && number(value).is_some() => {
            entry.disconnect_reason = number(value);
        }
        Holds::Alert if name == "AlertDesc" && number(value).is_some() => {
            entry.alert = number(value).and_then(|alert| u8::try_from(alert).ok());
        }
        _ => entry.particulars.push(format!("{name}: {value}")),
    }
}

/// The fields of an event by name: those of a manifest, or of a provider's own structure.
fn fields(event: Node<'_, '_>) -> Vec<(String, String)> {
    let data = child(event, "EventData").into_iter().flat_map(|data| data.children());
    let of_data = data.filter(|node| is(node, "Data")).filter_map(|node| {
        let name = node.attribute("Name").unwrap_or("value");
        Some((plain(name), plain(text(node)?)))
    });
    let own = child(event, "UserData").into_iter().flat_map(|data| data.descendants());
    let of_own = own
        .filter(|node| node.is_element() && !node.children().any(|child| child.is_element()))
        .filter_map(|node| Some((plain(node.tag_name().name()), plain(text(node)?))));
    of_data.chain(of_own).collect()
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| is(child, name))
}

fn is(node: &Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

fn text<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    node.text().map(str::trim).filter(|text| !text.is_empty())
}

/// A decimal number, or one with 0x before it.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// One line that is not too long.
fn plain(text: &str) -> String {
    let line: String =
        text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let end = (0..=LONGEST_FIELD.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    line[..end].to_owned()
}

#[cfg(test)]
mod tests;
