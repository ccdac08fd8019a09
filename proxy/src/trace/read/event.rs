//! Reading one event as what its name says that it is.

use crate::trace::{
    CaptureMessage, Detail, Event, GatewayMessage, Leg, Micros, Phase, RdpMessage, Side, UdpMessage,
};
use serde::Deserialize;
use serde::de::value::MapDeserializer;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The one name that an event of a group and one of [`Detail`]'s own share. It is read as the latter, which has all
/// fields of the former.
const OF_DETAIL_TOO: &str = "malformed";

/// What every event has, whatever was seen: the fields of [`Event`] without its `detail`.
#[derive(Deserialize)]
struct Circumstances {
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

/// The event of this `name` in the JSON `bytes`: what [`Event`]'s own `Deserialize` makes of them, which has to copy
/// every event and to try one group after the other.
pub(super) fn parse(bytes: &[u8], name: &str) -> serde_json::Result<Event> {
    let Circumstances { t_us, leg, from, connection, phase, inferred } = serde_json::from_slice(bytes)?;
    let detail = match Group::of(name) {
        Some(Group::Rdp) => Detail::Rdp(serde_json::from_slice(bytes)?),
        Some(Group::Gateway) => Detail::Gateway(serde_json::from_slice(bytes)?),
        Some(Group::Udp) => Detail::Udp(serde_json::from_slice(bytes)?),
        Some(Group::Capture) => Detail::Capture(serde_json::from_slice(bytes)?),
        None => serde_json::from_slice(bytes)?,
    };
    Ok(Event { t_us, leg, from, connection, phase, inferred, detail })
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
                for field in whole.keys() {
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
        let by_name = parse(line.as_bytes(), value["event"].as_str().unwrap_or_default());
        assert_eq!(by_name.ok(), serde_json::from_str::<Event>(line).ok(), "{line}");
    }
}
