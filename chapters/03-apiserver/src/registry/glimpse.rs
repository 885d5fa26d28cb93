//! Some parts of a stored object, read without the others.
//!
//! The cache looks at every change of every object, but only at what selectors and rights go by:
//! a few fields out of a hundred. What is not wanted is skipped in the text and never allocated.

use std::collections::BTreeMap;
use std::fmt;

use etcd::api::KeyValue;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::resources::Resource;
use crate::{authz, selectors};

/// Which parts.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    /// What is wanted of these fields.
    fields: BTreeMap<Box<str>, Wanted>,
    /// All that is not named is wanted as it is.
    rest: bool,
}

impl Wanted {
    /// What the cache looks at in the objects of a resource.
    pub(super) fn of(resource: &Resource) -> Wanted {
        if authz::looks_at_whole(resource) {
            return Wanted::everything();
        }
        let mut wanted = Wanted::default();
        wanted.add(&["metadata", "labels"]);
        for place in selectors::places(resource) {
            let names: Vec<&str> = place.iter().map(|name| &**name).collect();
            wanted.add(&names);
        }
        for place in authz::places(resource) {
            wanted.add(place);
        }
        wanted
    }

    /// These parts.
    pub(super) fn some(places: &[&[&str]]) -> Wanted {
        let mut wanted = Wanted::default();
        places.iter().for_each(|place| wanted.add(place));
        wanted
    }

    /// What admission may want to know of another object: who owns its fields is none of that,
    /// and a large part of it.
    pub(super) fn all_but_managed_fields() -> Wanted {
        let mut wanted = Wanted::everything();
        let metadata = Wanted {
            fields: BTreeMap::from([("managedFields".into(), Wanted::default())]),
            rest: true,
        };
        wanted.fields.insert("metadata".into(), metadata);
        wanted
    }

    fn everything() -> Wanted {
        Wanted {
            rest: true,
            ..Wanted::default()
        }
    }

    fn add(&mut self, place: &[&str]) {
        match place {
            [] => self.rest = true,
            [first, rest @ ..] => self.fields.entry((*first).into()).or_default().add(rest),
        }
    }

    /// Reads those parts; what is no JSON has none.
    pub(super) fn read(&self, json: &[u8]) -> Value {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        self.deserialize(&mut deserializer).unwrap_or_default()
    }

    /// Those parts of a stored object, with its version.
    pub(super) fn read_versioned(&self, stored: &[u8], revision: i64) -> Value {
        let mut object = self.read(stored);
        object["metadata"]["resourceVersion"] = revision.to_string().into();
        object
    }

    /// Those parts of the object of a key.
    pub(super) fn of_kv(&self, kv: &KeyValue) -> Value {
        self.read(&kv.value)
    }
}

impl<'de> DeserializeSeed<'de> for &Wanted {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match (self.fields.is_empty(), self.rest) {
            (true, true) => serde::Deserialize::deserialize(deserializer),
            (true, false) => deserializer
                .deserialize_ignored_any(IgnoredAny)
                .map(|_| Value::Null),
            _ => deserializer.deserialize_any(self),
        }
    }
}

/// Reads a value some of whose fields are wanted. One that has none is not what it was taken for.
impl<'de> Visitor<'de> for &Wanted {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, wanted)) = map.next_key_seed(Key(self))? {
            match (key, wanted) {
                (Some(key), Some(wanted)) => {
                    object.insert(key, map.next_value_seed(wanted)?);
                }
                (Some(key), None) => {
                    object.insert(key, map.next_value()?);
                }
                (None, _) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// Reads a key: itself, if its value is wanted, and what of it.
struct Key<'a>(&'a Wanted);

impl<'de, 'a> DeserializeSeed<'de> for Key<'a> {
    type Value = (Option<String>, Option<&'a Wanted>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Key<'a> {
    type Value = (Option<String>, Option<&'a Wanted>);

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(match self.0.fields.get(key) {
            Some(wanted) if wanted.rest || !wanted.fields.is_empty() => {
                (Some(key.to_owned()), Some(wanted))
            }
            Some(_) => (None, None),
            None => (self.0.rest.then(|| key.to_owned()), None),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_wanted_is_not_read() {
        let text = br#"{"a":{"b":[1,{"c":2}],"d":3},"e":"f","g":null,"h":[{"i":1}]}"#;
        let some = Wanted::some(&[&["a", "b"], &["g"], &["e", "deep"], &["h", "i"], &["no"]]);
        assert_eq!(
            some.read(text),
            json!({"a": {"b": [1, {"c": 2}]}, "e": null, "g": null, "h": null})
        );
        assert_eq!(
            Wanted::some(&[&[]]).read(text),
            serde_json::from_slice::<Value>(text).expect("is JSON")
        );
        assert_eq!(some.read(b"{\"a\":"), Value::Null);
    }

    #[test]
    fn all_but_one_field() {
        let text =
            br#"{"kind":"X","metadata":{"name":"n","managedFields":[{"a":1}]},"spec":{"b":[]}}"#;
        assert_eq!(
            Wanted::all_but_managed_fields().read_versioned(text, 7),
            json!({"kind": "X", "metadata": {"name": "n", "resourceVersion": "7"},
                "spec": {"b": []}})
        );
    }

    #[test]
    fn selectors_see_in_a_glimpse_what_they_see_in_the_whole() {
        for resource in crate::resources::all() {
            let mut object = json!({"metadata": {"name": "n", "namespace": "ns",
                "labels": {"a": "b"}}});
            for (i, place) in selectors::places(resource).iter().enumerate() {
                let mut at = &mut object;
                for name in place {
                    at = &mut at[&**name];
                }
                if at.is_null() {
                    *at = format!("value-{i}").into();
                }
            }
            let glimpse = Wanted::of(resource).read(object.to_string().as_bytes());
            assert_eq!(
                selectors::selectable_fields(resource, &glimpse),
                selectors::selectable_fields(resource, &object),
                "{}",
                resource.plural
            );
            assert_eq!(glimpse["metadata"]["labels"], object["metadata"]["labels"]);
        }
    }
}
