//! Reading one event as what its name says that it is.

use super::Tag;
use crate::trace::{
    CaptureMessage, Detail, Event, GatewayMessage, Leg, Micros, Phase, RdpMessage, Side, UdpMessage,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The one name that an event of a group and one of [`Detail`]'s own share. It is read as the latter, which has all
/// fields of the former.
const OF_DETAIL_TOO: &str = "malformed";

/// What the line of every event has, whatever was seen: the fields of [`Tag`], and those of [`Event`] without its
/// `detail`.
#[derive(Deserialize)]
struct Beginning<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    session: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    t_us: Micros,
    leg: Leg,
    #[serde(default)]
    from: Option<Side>,
    #[serde(default)]
    connection: Option<u32>,
    phase: Phase,
    #[serde(default)]
    inferred: bool,
}

/// The enums that [`Detail`] holds as they are: an event of theirs has no other mark than its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Rdp,
    Gateway,
    Udp,
    Capture,
}

/// The event in the JSON `bytes`: what [`Event`]'s own `Deserialize` makes of them, which has to copy every event and to
/// try one group after the other. `None` where they are none that is known.
pub(super) fn read(bytes: &[u8]) -> Option<(Tag<'_>, Event)> {
    let beginning = serde_json::from_slice::<Beginning<'_>>(bytes).ok().filter(|it| it.kind == "event")?;
    let detail = detail(bytes, &beginning.event).ok()?;
    let Beginning { kind, session, event, t_us, leg, from, connection, phase, inferred } = beginning;
    let tag = Tag { kind, session, event: Some(event) };
    Some((tag, Event { t_us, leg, from, connection, phase, inferred, detail }))
}

fn detail(bytes: &[u8], name: &str) -> serde_json::Result<Detail> {
    if let Some(read) = whole(bytes, name) {
        return read;
    }
    Ok(match Group::of(name) {
        Some(Group::Rdp) => Detail::Rdp(serde_json::from_slice(bytes)?),
        Some(Group::Gateway) => Detail::Gateway(serde_json::from_slice(bytes)?),
        Some(Group::Udp) => Detail::Udp(serde_json::from_slice(bytes)?),
        Some(Group::Capture) => Detail::Capture(serde_json::from_slice(bytes)?),
        None => serde_json::from_slice(bytes)?,
    })
}

/// The longest of those whose fields are one struct's, which can be read without a copy; `None` for all others.
fn whole(bytes: &[u8], name: &str) -> Option<serde_json::Result<Detail>> {
    fn of<T: DeserializeOwned>(
        bytes: &[u8],
        detail: impl FnOnce(T) -> Detail,
    ) -> Option<serde_json::Result<Detail>> {
        Some(serde_json::from_slice(bytes).map(detail))
    }
    fn rdp<T>(message: impl FnOnce(T) -> RdpMessage) -> impl FnOnce(T) -> Detail {
        |fields| Detail::Rdp(Box::new(message(fields)))
    }
    match name {
        "client_hello" => of(bytes, Detail::ClientHello),
        "server_hello" => of(bytes, Detail::ServerHello),
        "ts_request" => of(bytes, Detail::TsRequest),
        "tcp_info" => of(bytes, Detail::TcpInfo),
        "connect_initial" => of(bytes, rdp(RdpMessage::ConnectInitial)),
        "connect_response" => of(bytes, rdp(RdpMessage::ConnectResponse)),
        "demand_active" => of(bytes, rdp(RdpMessage::DemandActive)),
        "confirm_active" => of(bytes, rdp(RdpMessage::ConfirmActive)),
        _ => None,
    }
}

impl Group {
    const ALL: [Group; 4] = [Group::Rdp, Group::Gateway, Group::Udp, Group::Capture];

    /// The group that has an event of this `name`; `None` where it is one of [`Detail`]'s own, or unknown.
    fn of(name: &str) -> Option<Group> {
        static GROUPS: LazyLock<HashMap<&'static str, Group>> = LazyLock::new(|| {
            let of_group = |group: Group| group.names().iter().map(move |name| (*name, group));
            let groups = Group::ALL.into_iter().flat_map(of_group);
            groups.filter(|(name, _)| *name != OF_DETAIL_TOO).collect()
        });
        GROUPS.get(name).copied()
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Group::Rdp => names::<RdpMessage>(),
            Group::Gateway => names::<GatewayMessage>(),
            Group::Udp => names::<UdpMessage>(),
            Group::Capture => names::<CaptureMessage>(),
        }
    }
}

/// The names of the events in `T`, which it says itself where it is given one that it does not know.
fn names<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let unknown = MapDeserializer::<_, Names>::new([("event", "")].into_iter());
    T::deserialize(unknown).err().map_or(&[], |Names(names)| names)
}

/// The names that an enum would have taken.
#[derive(Debug, thiserror::Error)]
#[error("the names are {0:?}")]
struct Names(&'static [&'static str]);

impl serde::de::Error for Names {
    fn custom<T: std::fmt::Display>(_: T) -> Names {
        Names(&[])
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Names {
        Names(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::{JsonSchema, schema_for};
    use serde_json::Value;

    /// The names of events in the enum of a schema.
    fn named(schema: &Value) -> Vec<&str> {
        let alternatives = schema["oneOf"].as_array().or(schema["anyOf"].as_array()).unwrap();
        alternatives
            .iter()
            .filter_map(|alternative| alternative["properties"]["event"]["const"].as_str())
            .collect()
    }

    fn schema<T: JsonSchema>() -> Value {
        schema_for!(T).to_value()
    }

    #[test]
    fn a_group_has_the_names_of_its_type() {
        assert_eq!(names::<RdpMessage>(), named(&schema::<RdpMessage>()));
        assert_eq!(names::<GatewayMessage>(), named(&schema::<GatewayMessage>()));
        assert_eq!(names::<UdpMessage>(), named(&schema::<UdpMessage>()));
        assert_eq!(names::<CaptureMessage>(), named(&schema::<CaptureMessage>()));
    }

    #[test]
    fn every_group_is_known_and_no_event_of_a_group_is_taken_for_another() {
        let schema = schema::<Detail>();
        let of_detail = named(&schema);
        assert_eq!(schema["anyOf"].as_array().unwrap().len() - of_detail.len(), Group::ALL.len());
        let of_groups = Group::ALL.iter().flat_map(|group| group.names());
        let mut all: Vec<&str> = of_groups.copied().chain(of_detail.iter().copied()).collect();
        assert!(of_detail.iter().all(|name| Group::of(name).is_none()));
        all.sort_unstable();
        let twice: Vec<&str> = all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        assert_eq!(twice, [OF_DETAIL_TOO]);
    }

    /// Every trace of the examples, as it is and with fields missing and turned into others.
    #[test]
    fn an_event_is_read_as_by_its_own_type() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/traces");
        let mut read = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for line in text.lines().filter(|line| line.starts_with(r#"{"type":"event""#)) {
                compare(line);
                let whole: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
                // Without its type it would be no line of a trace.
                for field in whole.keys().filter(|field| *field != "type") {
                    let mut other = whole.clone();
                    other.shift_remove(field);
                    compare(&Value::Object(other.clone()).to_string());
                    other.insert(field.clone(), Value::Null);
                    compare(&Value::Object(other).to_string());
                }
                read += 1;
            }
        }
        assert!(read > 1000, "{read} events");
    }

    fn compare(line: &str) {
        let value: Value = serde_json::from_str(line).unwrap();
        let by_name = read(line.as_bytes()).map(|(_, event)| event);
        assert_eq!(by_name, serde_json::from_str::<Event>(line).ok(), "{line}");
    }
}
