//! Reading one event as what its name says that it is.

use super::Tag;
use crate::trace::{
    CaptureMessage, Detail, Event, GatewayMessage, Leg, Micros, Phase, RdpMessage, Side, UdpMessage,
};
use serde::Deserialize;
use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Error as _};
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

/// The event in the JSON `text`, with what its line says besides.
pub(super) fn read(text: &str) -> serde_json::Result<(Tag<'_>, Event)> {
    let beginning: Beginning<'_> = serde_json::from_str(text)?;
    if beginning.kind != "event" {
        return Err(serde_json::Error::unknown_variant(&beginning.kind, &["event"]));
    }
    let detail = detail(text, &beginning.event)?;
    let Beginning { kind, session, event, t_us, leg, from, connection, phase, inferred } = beginning;
    let tag = Tag { kind, session, event: Some(event) };
    Ok((tag, Event { t_us, leg, from, connection, phase, inferred, detail }))
}

fn detail(text: &str, name: &str) -> serde_json::Result<Detail> {
    if let Some(read) = whole(text, name) {
        return read;
    }
    Ok(match Group::of(name) {
        Some(Group::Rdp) => Detail::Rdp(serde_json::from_str(text)?),
        Some(Group::Gateway) => Detail::Gateway(serde_json::from_str(text)?),
        Some(Group::Udp) => Detail::Udp(serde_json::from_str(text)?),
        Some(Group::Capture) => Detail::Capture(serde_json::from_str(text)?),
        None => serde_json::from_str(text)?,
    })
}

/// The longest of those whose fields are one struct's, which can be read without a copy; `None` for all others.
fn whole(text: &str, name: &str) -> Option<serde_json::Result<Detail>> {
    fn of<T: DeserializeOwned>(
        text: &str,
        detail: impl FnOnce(T) -> Detail,
    ) -> Option<serde_json::Result<Detail>> {
        Some(serde_json::from_str(text).map(detail))
    }
    fn rdp<T>(message: impl FnOnce(T) -> RdpMessage) -> impl FnOnce(T) -> Detail {
        |fields| Detail::Rdp(Box::new(message(fields)))
    }
    fn gateway<T>(message: impl FnOnce(T) -> GatewayMessage) -> impl FnOnce(T) -> Detail {
        |fields| Detail::Gateway(message(fields))
    }
    match name {
        "client_hello" => of(text, Detail::ClientHello),
        "server_hello" => of(text, Detail::ServerHello),
        "ts_request" => of(text, Detail::TsRequest),
        "tcp_info" => of(text, Detail::TcpInfo),
        "connect_initial" => of(text, rdp(RdpMessage::ConnectInitial)),
        "connect_response" => of(text, rdp(RdpMessage::ConnectResponse)),
        "demand_active" => of(text, rdp(RdpMessage::DemandActive)),
        "confirm_active" => of(text, rdp(RdpMessage::ConfirmActive)),
        "http_request" => of(text, gateway(GatewayMessage::HttpRequest)),
        "http_response" => of(text, gateway(GatewayMessage::HttpResponse)),
        "tunnel_packet" => of(text, gateway(GatewayMessage::TunnelPacket)),
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
    use crate::trace::Line;
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

    /// Every event of the examples with fields missing and turned into others: what is read is what is written again.
    #[test]
    fn an_event_is_read_by_its_own_fields() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/traces");
        let (mut read_back, mut refused) = (0, 0);
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for line in text.lines().filter(|line| line.starts_with(r#"{"type":"event""#)) {
                let whole: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
                for field in whole.keys() {
                    let mut other = whole.clone();
                    other.shift_remove(field);
                    let without = Value::Object(other.clone());
                    other.insert(field.clone(), Value::Null);
                    match read(&without.to_string()) {
                        Ok((_, event)) => {
                            let again = serde_json::to_value(Line::Event(event)).unwrap();
                            let said = |value: &Value| {
                                value
                                    .as_object()
                                    .unwrap()
                                    .iter()
                                    .all(|(key, it)| without.get(key) == Some(it) || it.is_null())
                            };
                            assert!(said(&again), "{without} became {again}");
                            read_back += 1;
                        }
                        Err(_) => refused += 1,
                    }
                    let _ = read(&Value::Object(other).to_string());
                }
            }
        }
        assert!(read_back > 500 && refused > 5000, "{read_back} read, {refused} refused");
    }
}
