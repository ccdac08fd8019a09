//! Lines of a trace: names learnt from them, and replaced in them.

use super::fields::{Field, field};
use super::learn;
use super::names::{Kind, Names};
use super::redactor::Redactor;
use serde_json::{Map, Value};

/// What stands in place of something that somebody else wrote.
const LEFT_OUT: &str = "(left out)";

/// Headers of HTTP whose values name a machine.
const HOST_HEADERS: [&str; 5] = ["host", "via", "location", "x-forwarded-for", "x-forwarded-host"];
/// Headers whose values stand for a user.
const USER_HEADERS: [&str; 4] = ["rdg-user-id", "authorization", "proxy-authorization", "cookie"];

/// The parts of a line's fields: the key that decides what a text is.
enum Part<'a> {
    Field(&'a str),
    Setting(&'a str),
}

impl Names {
    /// Learns the names in one line of a trace.
    pub fn learn_line(&mut self, line: &Value) {
        self.learn_value(&Part::Field(""), line);
    }

    fn learn_value(&mut self, part: &Part<'_>, value: &Value) {
        match value {
            Value::String(text) => self.learn_text(part, text),
            Value::Array(values) => values.iter().for_each(|value| self.learn_value(part, value)),
            Value::Object(object) => self.learn_object(part, object),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn learn_object(&mut self, part: &Part<'_>, object: &Map<String, Value>) {
        if let Some((header, value)) = header(object) {
            if HOST_HEADERS.contains(&header.as_str()) {
                learn::hosts_in_text(self, value);
            }
            return;
        }
        for (key, value) in object {
            learn::address(self, key);
            let is_setting = matches!(part, Part::Setting(_)) || key == "settings";
            let part = if is_setting { Part::Setting(key) } else { Part::Field(key) };
            match (key.as_str(), value) {
                // The name that was resolved, or a certificate was held against.
                ("name", Value::String(name)) if is_about_a_host(object) => learn::target(self, name),
                _ => self.learn_value(&part, value),
            }
        }
    }

    fn learn_text(&mut self, part: &Part<'_>, text: &str) {
        match part {
            Part::Setting(key) => learn::setting(self, key, text),
            Part::Field(key) => match field(key) {
                Field::Name(Kind::User) => learn::user(self, text),
                Field::Name(kind) => learn::named(self, kind, text),
                Field::Target | Field::Address => learn::target(self, text),
                Field::CommonName => learn::common_name(self, text),
                Field::DistinguishedName => learn::distinguished_name(self, text),
                Field::Locator => learn::locator(self, text),
                Field::Hex | Field::Foreign | Field::Vocabulary | Field::Text => {}
            },
        }
    }
}

impl Redactor {
    /// Replaces the names in one line of a trace.
    pub fn line(&mut self, line: &mut Value) {
        self.value("", line);
    }

    fn value(&mut self, key: &str, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.field(key, text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.value(key, value)),
            Value::Object(object) => self.object(object),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn object(&mut self, object: &mut Map<String, Value>) {
        let header = header(object).map(|(header, _)| header);
        if header.is_some_and(|header| USER_HEADERS.contains(&header.as_str())) {
            object.insert("value".to_owned(), LEFT_OUT.into());
            return;
        }
        let is_about_a_host = is_about_a_host(object);
        let fields = std::mem::take(object);
        for (key, mut value) in fields {
            match &mut value {
                Value::String(name) if key == "name" && is_about_a_host => *name = self.name(name),
                value => self.value(&key, value),
            }
            // Some maps have addresses for keys.
            let key = if key.parse::<std::net::IpAddr>().is_ok() { self.text(&key) } else { key };
            object.insert(key, value);
        }
    }

    fn field(&mut self, key: &str, text: &str) -> String {
        match field(key) {
            Field::Vocabulary => text.to_owned(),
            Field::Text => self.text(text),
            Field::Foreign => LEFT_OUT.to_owned(),
            Field::Hex => self.hex(text),
            Field::Name(_)
            | Field::Target
            | Field::Address
            | Field::CommonName
            | Field::DistinguishedName
            | Field::Locator => self.name(text),
        }
    }

    /// Bytes in hex; what is no hex after all is a sentence.
    fn hex(&mut self, text: &str) -> String {
        match hex::decode(text) {
            Ok(mut bytes) => {
                self.bytes(&mut bytes);
                hex::encode(bytes)
            }
            Err(_) => self.text(text),
        }
    }
}

/// Name, in lower case, and value of a header of HTTP.
fn header(object: &Map<String, Value>) -> Option<(String, &str)> {
    let (name, value) = (object.get("name")?.as_str()?, object.get("value")?.as_str()?);
    Some((name.to_ascii_lowercase(), value))
}

/// Whether the field `name` of this object names a machine.
fn is_about_a_host(object: &Map<String, Value>) -> bool {
    let event = object.get("event").and_then(Value::as_str);
    matches!(event, Some("resolved" | "certificate_judged" | "resolution_failed"))
        || object.contains_key("addresses")
        || object.contains_key("name_matches")
}
