//! Reading one event as what its name says that it is.

use super::Tag;
use super::both::{self, Takes, Text};
use crate::trace::{
    CaptureMessage, Detail, Event, GatewayMessage, Leg, Micros, Phase, RdpMessage, Side, UdpMessage,
};
use memchr::memmem::Finder;
use serde::Deserialize;
use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess};
use std::collections::HashMap;
use std::sync::LazyLock;

/// The one name that an event of a group and one of [`Detail`]'s own share. It is read as the latter, which has all
/// fields of the former.
const OF_DETAIL_TOO: &str = "malformed";

/// What the line of every event has, whatever was seen: the fields of [`Tag`], and those of [`Event`] without its
/// `detail`. Each is `None` until it was read.
#[derive(Default)]
struct Beginning<'a> {
    kind: Option<Text<'a>>,
    session: Option<Option<Text<'a>>>,
    event: Option<Text<'a>>,
    t_us: Option<Micros>,
    leg: Option<Leg>,
    from: Option<Option<Side>>,
    connection: Option<Option<u32>>,
    phase: Option<Phase>,
    inferred: Option<bool>,
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
    at_once(text).map_or_else(|| in_two_passes(text), Ok)
}

/// Any event.
fn in_two_passes(text: &str) -> serde_json::Result<(Tag<'_>, Event)> {
    let mut beginning = Beginning::default();
    both::read::<IgnoredAny>(text, &mut beginning)?;
    let Text(event) = beginning.event.as_ref().ok_or_else(|| missing("event"))?;
    let detail = detail(text, event)?;
    beginning.with(detail)
}

/// Most of a long trace: an event whose name stands in front, and whose fields are one struct's. `None` for any other.
fn at_once(text: &str) -> Option<(Tag<'_>, Event)> {
    static NAMES: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(r#""event":""#));
    let after = NAMES.find(text.as_bytes())? + NAMES.needle().len();
    let (name, _) = text.get(after..)?.split_once('"')?;
    let mut beginning = Beginning::default();
    let detail = whole(text, name, &mut beginning)?.ok()?;
    let is_its_name = beginning.event.as_ref().is_some_and(|Text(event)| event == name);
    beginning.with(detail).ok().filter(|_| is_its_name)
}

impl<'a> Beginning<'a> {
    fn with(self, detail: Detail) -> serde_json::Result<(Tag<'a>, Event)> {
        let Text(kind) = self.kind.ok_or_else(|| missing("type"))?;
        if kind != "event" {
            return Err(serde_json::Error::unknown_variant(&kind, &["event"]));
        }
        let session = self.session.flatten().map(|Text(session)| session);
        let tag = Tag { kind, session, event: self.event.map(|Text(event)| event) };
        let event = Event {
            t_us: self.t_us.ok_or_else(|| missing("t_us"))?,
            leg: self.leg.ok_or_else(|| missing("leg"))?,
            from: self.from.flatten(),
            connection: self.connection.flatten(),
            phase: self.phase.ok_or_else(|| missing("phase"))?,
            inferred: self.inferred.unwrap_or_default(),
            detail,
        };
        Ok((tag, event))
    }
}

fn missing(field: &'static str) -> serde_json::Error {
    serde_json::Error::missing_field(field)
}

impl<'a> Takes<'a> for Beginning<'a> {
    fn take<M: MapAccess<'a>>(&mut self, name: &str, map: &mut M) -> Result<bool, M::Error> {
        match name {
            "type" => once(&mut self.kind, "type", map),
            "session" => once(&mut self.session, "session", map),
            "event" => once(&mut self.event, "event", map),
            "t_us" => once(&mut self.t_us, "t_us", map),
            "leg" => once(&mut self.leg, "leg", map),
            "from" => once(&mut self.from, "from", map),
            "connection" => once(&mut self.connection, "connection", map),
            "phase" => once(&mut self.phase, "phase", map),
            "inferred" => once(&mut self.inferred, "inferred", map),
            _ => Ok(false),
        }
    }
}

fn once<'a, T: Deserialize<'a>, M: MapAccess<'a>>(
    field: &mut Option<T>,
    name: &'static str,
    map: &mut M,
) -> Result<bool, M::Error> {
    match field.replace(map.next_value()?) {
        None => Ok(true),
        Some(_) => Err(M::Error::duplicate_field(name)),
    }
}

fn detail(text: &str, name: &str) -> serde_json::Result<Detail> {
    Ok(match Group::of(name) {
        Some(Group::Rdp) => Detail::Rdp(serde_json::from_str(text)?),
        Some(Group::Gateway) => Detail::Gateway(serde_json::from_str(text)?),
        Some(Group::Udp) => Detail::Udp(serde_json::from_str(text)?),
        Some(Group::Capture) => Detail::Capture(serde_json::from_str(text)?),
        None => serde_json::from_str(text)?,
    })
}

/// The longest of those whose fields are one struct's, which can be read without a copy; `None` for all others.
fn whole<'a>(text: &'a str, name: &str, beginning: &mut Beginning<'a>) -> Option<serde_json::Result<Detail>> {
    fn rdp<T>(message: impl FnOnce(T) -> RdpMessage) -> impl FnOnce(T) -> Detail {
        |fields| Detail::Rdp(Box::new(message(fields)))
    }
    fn gateway<T>(message: impl FnOnce(T) -> GatewayMessage) -> impl FnOnce(T) -> Detail {
        |fields| Detail::Gateway(message(fields))
    }
    let line = (text, beginning);
    Some(match name {
        "connection_request" => of(line, Detail::ConnectionRequest),
        "connection_confirm" => of(line, Detail::ConnectionConfirm),
        "client_hello" => of(line, Detail::ClientHello),
        "server_hello" => of(line, Detail::ServerHello),
        "alert" => of(line, Detail::Alert),
        "ts_request" => of(line, Detail::TsRequest),
        "tcp_info" => of(line, Detail::TcpInfo),
        "connect_initial" => of(line, rdp(RdpMessage::ConnectInitial)),
        "connect_response" => of(line, rdp(RdpMessage::ConnectResponse)),
        "demand_active" => of(line, rdp(RdpMessage::DemandActive)),
        "confirm_active" => of(line, rdp(RdpMessage::ConfirmActive)),
        "http_request" => of(line, gateway(GatewayMessage::HttpRequest)),
        "http_response" => of(line, gateway(GatewayMessage::HttpResponse)),
        "tunnel_packet" => of(line, gateway(GatewayMessage::TunnelPacket)),
        _ => return None,
    })
}

fn of<'a, T: DeserializeOwned>(
    (text, beginning): (&'a str, &mut Beginning<'a>),
    detail: impl FnOnce(T) -> Detail,
) -> serde_json::Result<Detail> {
    both::read(text, beginning).map(detail)
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
    use serde_json::{Map, Value};

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

    /// The events of the examples as they are, with their fields sorted, and from the last field to the first.
    #[test]
    fn what_is_read_at_once_is_what_two_passes_read() {
        let (mut at_once_read, mut all) = (0, 0);
        for event in examples() {
            let mut sorted = event.clone();
            sorted.sort_keys();
            let backwards: Map<String, Value> = event.clone().into_iter().rev().collect();
            for text in [event, sorted, backwards].map(|object| Value::Object(object).to_string()) {
                all += 1;
                if let Some((tag, event)) = at_once(&text) {
                    let (other_tag, other) = in_two_passes(&text).unwrap();
                    assert_eq!((event, tag.session, tag.event), (other, other_tag.session, other_tag.event));
                    at_once_read += 1;
                }
            }
        }
        assert!(at_once_read > all / 5, "{at_once_read} of {all}");
    }

    /// The name in front may be another's: of a value further in, or written twice.
    #[test]
    fn an_event_is_what_its_own_name_says() {
        let line = r#""t_us":1,"leg":"client","phase":"tls""#;
        let alert = r#""level":2,"level_name":"fatal","description":40,"description_name":null"#;
        let inner = format!(
            r#"{{"type":"event","in":{{"event":"alert"}},"event":"encryption_started",{line},{alert}}}"#
        );
        assert_eq!(read(&inner).unwrap().1.detail, Detail::EncryptionStarted);
        let twice = format!(r#"{{"type":"event","event":"alert","event":"alert",{line},{alert}}}"#);
        assert!(read(&twice).err().unwrap().to_string().starts_with("duplicate field `event`"));
    }

    /// The events of the examples.
    fn examples() -> Vec<Map<String, Value>> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/traces");
        let files = std::fs::read_dir(folder).unwrap();
        let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        let events = texts.flat_map(|text| {
            let lines = text.lines().filter(|line| line.starts_with(r#"{"type":"event""#));
            lines.map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()
        });
        events.collect()
    }

    /// Every event of the examples with fields missing and turned into others: what is read is what is written again.
    #[test]
    fn an_event_is_read_by_its_own_fields() {
        let (mut read_back, mut refused) = (0, 0);
        for whole in examples() {
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
        assert!(read_back > 500 && refused > 5000, "{read_back} read, {refused} refused");
    }
}
