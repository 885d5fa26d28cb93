//! The walk that writes JSON as protobuf while it reads it.
//!
//! It is led by the type, as decoding is: the name of a field tells where it goes and what it is, and
//! nothing is built in between. What is JSON in protobuf, too (managed fields, above all), is not
//! even read. The fields of a struct are put in the order of their numbers when all are written, as
//! upstream has them.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::layout::{self, Form, Layout, Path, Place};
use super::wire::Writer;
use crate::schema::{Shape, TypeRef};

/// An object about to be read: its fields are a message.
pub(super) struct Message<'w> {
    pub(super) out: &'w mut Writer,
    pub(super) r#type: TypeRef,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        write_fields(self.out, self.r#type, map)
    }
}

/// A field that has been written.
struct Written {
    path: Path,
    begin: usize,
    end: usize,
}

fn write_fields<'de, A: MapAccess<'de>>(
    out: &mut Writer,
    r#type: TypeRef,
    mut map: A,
) -> Result<(), A::Error> {
    let layout = layout::of(r#type);
    let start = out.len();
    let mut written: Vec<Written> = Vec::new();
    while let Some(place) = map.next_key_seed(Key(layout))? {
        let Some(place) = place else {
            map.next_value::<IgnoredAny>()?;
            continue;
        };
        let begin = out.len();
        write_field(out, r#type, place, &mut map)?;
        if out.len() > begin {
            let (path, end) = (place.path, out.len());
            written.push(Written { path, begin, end });
        }
    }
    let is_plain = |field: &Written| field.path[1] == 0;
    if !(written.is_sorted_by_key(|field| field.path) && written.iter().all(is_plain)) {
        written.sort_unstable_by_key(|field| field.path);
        let fields = out.take_from(start);
        arrange(out, &fields, start, &written, 0);
    }
    Ok(())
}

fn write_field<'de, A: MapAccess<'de>>(
    out: &mut Writer,
    owner: TypeRef,
    place: &Place,
    map: &mut A,
) -> Result<(), A::Error> {
    let number = place.number();
    match place.form {
        Form::Plain => map.next_value_seed(Node {
            out,
            number,
            shape: place.shape,
            is_field: true,
        }),
        Form::Wrapped => {
            let begin = out.open(number);
            map.next_value_seed(Node {
                out,
                number: 1,
                shape: place.shape,
                is_field: true,
            })?;
            out.close(begin);
            Ok(())
        }
        Form::Union(schema) => map.next_value_seed(Union {
            out,
            number,
            schema,
            r#type: owner,
        }),
    }
}

/// Writes fields in the order they are sorted in, those of an inlined struct as its message.
fn arrange(out: &mut Writer, bytes: &[u8], start: usize, fields: &[Written], depth: usize) {
    for same in fields.chunk_by(|a, b| a.path[depth] == b.path[depth]) {
        let path = &same[0].path;
        if path.get(depth + 1).is_some_and(|inner| *inner != 0) {
            out.message(path[depth], |out| {
                arrange(out, bytes, start, same, depth + 1);
            });
        } else {
            for field in same {
                out.append(&bytes[field.begin - start..field.end - start]);
            }
        }
    }
}

/// A field's name, read as its place, if it has one.
struct Key(&'static Layout);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static Place>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static Place>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let places = &self.0.places;
        let found = places.binary_search_by(|place| place.name.cmp(name));
        Ok(found.ok().map(|at| &places[at]))
    }
}

/// A value about to be read: one of the fields of that number. What does not fit its shape is left
/// out; nothing that was decoded does not.
struct Node<'w> {
    out: &'w mut Writer,
    number: u32,
    shape: &'static Shape,
    /// As opposed to an entry of a list, or of a map, which is there even if it is null.
    is_field: bool,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if *self.shape != Shape::Any {
            return deserializer.deserialize_any(self);
        }
        let raw: Box<RawValue> = serde::Deserialize::deserialize(deserializer)?;
        if raw.get() != "null" || !self.is_field {
            let begin = self.out.open(self.number);
            self.out.bytes(1, raw.get().as_bytes());
            self.out.close(begin);
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        match self.shape {
            _ if self.is_field => {}
            Shape::Boolean | Shape::Integer32 | Shape::Integer64 => self.out.number(self.number, 0),
            Shape::Number => self.out.fixed64(self.number, 0),
            _ => self.out.bytes(self.number, b""),
        }
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        if *self.shape == Shape::Boolean {
            self.out.number(self.number, value.into());
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        let Node { out, number, .. } = self;
        match self.shape {
            // A negative number is sent with its sign stretched to 64 bits.
            Shape::Integer32 | Shape::Integer64 => out.number(number, value as u64),
            Shape::Number => out.fixed64(number, (value as f64).to_bits()),
            Shape::IntOrString => out.message(number, |either| {
                either.number(1, 0);
                either.number(2, value as u64);
                either.bytes(3, b"");
            }),
            // A client may write `cpu: 1`.
            Shape::Quantity => quantity(out, number, &value.to_string()),
            _ => {}
        }
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        match self.shape {
            Shape::Number => self.out.fixed64(self.number, value.to_bits()),
            Shape::Quantity => quantity(self.out, self.number, &value.to_string()),
            _ => {}
        }
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        let Node { out, number, .. } = self;
        match self.shape {
            Shape::String => out.bytes(number, value.as_bytes()),
            Shape::Bytes => {
                let bytes = BASE64_STANDARD.decode(value).unwrap_or_default();
                out.bytes(number, &bytes);
            }
            Shape::Time | Shape::MicroTime => {
                if let Ok(at) = value.parse::<jiff::Timestamp>() {
                    out.message(number, |time| {
                        time.number(1, at.as_second() as u64);
                        time.number(2, at.subsec_nanosecond() as u64);
                    });
                }
            }
            Shape::Quantity => quantity(out, number, value),
            Shape::IntOrString => out.message(number, |either| {
                either.number(1, 1);
                either.number(2, 0);
                either.bytes(3, value.as_bytes());
            }),
            _ => {}
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Shape::List { item, .. } = self.shape else {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        loop {
            let item = Node {
                out: &mut *self.out,
                number: self.number,
                shape: item,
                is_field: false,
            };
            if seq.next_element_seed(item)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Node { out, number, .. } = self;
        match self.shape {
            Shape::Struct(r#type) => {
                let begin = out.open(number);
                write_fields(out, *r#type, map)?;
                out.close(begin);
            }
            Shape::Map { value, .. } => {
                while let Some(key) = map.next_key::<String>()? {
                    let begin = out.open(number);
                    out.bytes(1, key.as_bytes());
                    write_entry(out, value, &mut map)?;
                    out.close(begin);
                }
            }
            // None has lists or maps in lists, and custom resources have no protobuf form.
            _ => while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {},
        }
        Ok(())
    }
}

/// The value of a key. Lists in maps are wrapped in a struct of one field.
fn write_entry<'de, A: MapAccess<'de>>(
    out: &mut Writer,
    shape: &'static Shape,
    map: &mut A,
) -> Result<(), A::Error> {
    let is_list = matches!(shape, Shape::List { .. });
    let begin = is_list.then(|| out.open(2));
    map.next_value_seed(Node {
        out,
        number: if is_list { 1 } else { 2 },
        shape,
        is_field: is_list,
    })?;
    if let Some(begin) = begin {
        out.close(begin);
    }
    Ok(())
}

fn quantity(out: &mut Writer, number: u32, text: &str) {
    out.message(number, |quantity| quantity.bytes(1, text.as_bytes()));
}

/// A JSON schema about to be read, or else a boolean: what is decoded has no other.
struct Union<'w> {
    out: &'w mut Writer,
    number: u32,
    /// The number of the schema.
    schema: u32,
    r#type: TypeRef,
}

impl<'de> DeserializeSeed<'de> for Union<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Union<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a schema or a boolean")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, allows: bool) -> Result<(), E> {
        self.out
            .message(self.number, |out| out.number(1, allows.into()));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let out = self.out;
        let whole = out.open(self.number);
        if self.schema == 2 {
            out.number(1, 1);
        }
        let schema = out.open(self.schema);
        write_fields(out, self.r#type, map)?;
        out.close(schema);
        out.close(whole);
        Ok(())
    }
}
