//! Reading one JSON object as two things at once, each of which takes the fields that it knows: what serde's `flatten`
//! does, without the copy of every value that it makes first.

use serde::de::value::{BorrowedStrDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use std::borrow::Cow;
use std::fmt;

/// Takes fields of an object out, before the rest of it is read as something else.
pub(super) trait Takes<'de> {
    /// Reads the value of the field `name` from `map` where it is one of its own, and says whether it is.
    fn take<M: MapAccess<'de>>(&mut self, name: &str, map: &mut M) -> Result<bool, M::Error>;
}

/// The object `text`, without the fields that `taken` takes, as a struct `T`.
pub(super) fn read<'de, T: Deserialize<'de>>(
    text: &'de str,
    taken: &mut impl Takes<'de>,
) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let rest = T::deserialize(Both { deserializer: &mut deserializer, taken })?;
    deserializer.end()?;
    Ok(rest)
}

struct Both<'t, D, K> {
    deserializer: D,
    taken: &'t mut K,
}

impl<'de, D: Deserializer<'de>, K: Takes<'de>> Deserializer<'de> for Both<'_, D, K> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserializer.deserialize_map(BothVisitor { visitor, taken: self.taken })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

struct BothVisitor<'t, V, K> {
    visitor: V,
    taken: &'t mut K,
}

impl<'de, V: Visitor<'de>, K: Takes<'de>> Visitor<'de> for BothVisitor<'_, V, K> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(formatter)
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<V::Value, M::Error> {
        self.visitor.visit_map(BothMap { map, taken: self.taken })
    }
}

/// The entries that are left.
struct BothMap<'t, M, K> {
    map: M,
    taken: &'t mut K,
}

impl<'de, M: MapAccess<'de>, K: Takes<'de>> MapAccess<'de> for BothMap<'_, M, K> {
    type Error = M::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, M::Error> {
        while let Some(Text(name)) = self.map.next_key()? {
            if self.taken.take(&name, &mut self.map)? {
                continue;
            }
            return match name {
                Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
                Cow::Owned(name) => seed.deserialize(StringDeserializer::new(name)),
            }
            .map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, M::Error> {
        self.map.next_value_seed(seed)
    }
}

/// A text, without a copy where it has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);
