//! Objects of JSON written as protobuf.
//!
//! Fields that are absent are not written. Upstream writes the zero values of most of those, which
//! a reader cannot tell from their absence: either way the field is zero.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::tree::{Stored, Tree};
use super::wire::Writer;
use super::{JSON_SCHEMA, MAGIC, Name, TYPES, UNIONS, row_name, schema_of};
use crate::schema::{Shape, Type, type_named};

/// An object as a whole body; none where its kind has no protobuf form.
pub fn encode(object: &Value) -> Option<Vec<u8>> {
    let api_version = object["apiVersion"].as_str().unwrap_or("v1");
    let kind = object["kind"].as_str()?;
    let raw = match kind {
        "PartialObjectMetadata" => metadata(object),
        _ => message(&schema_of(api_version, kind)?, object)?,
    };
    Some(envelope(api_version, kind, &raw))
}

/// An object's fields, without what says which kind it is of; none where the type has no protobuf
/// form. `schema` is the type's name: `io.k8s.api.core.v1.Pod`.
pub fn message(schema: &str, object: &Value) -> Option<Vec<u8>> {
    message_of(schema, object)
}

/// The same of a stored object, with its version.
///
/// # Errors
/// If it is no JSON.
pub fn stored(
    schema: &str,
    json: &[u8],
    revision: i64,
) -> Result<Option<Vec<u8>>, serde_json::Error> {
    let Some(r#type) = type_named(schema) else {
        return Ok(None);
    };
    if row_name(&r#type.get().name) == DEFINITION {
        // Where a schema may be a boolean, the types do not say what it is.
        let mut object: Value = serde_json::from_slice(json)?;
        object["metadata"]["resourceVersion"] = revision.to_string().into();
        return Ok(message(schema, &object));
    }
    let object = Stored::read(&Shape::Struct(r#type), json, revision)?;
    Ok(message_of(schema, &object))
}

const DEFINITION: &str = "apiextensions.v1.CustomResourceDefinition";

fn message_of(schema: &str, object: &impl Tree) -> Option<Vec<u8>> {
    let r#type = type_named(schema)?.get();
    let row = row_name(&r#type.name);
    TYPES.get(row)?;
    let mut out = Writer::default();
    object
        .is_object()
        .then(|| write_message(&mut out, row, r#type, object))?;
    Some(out.into_bytes())
}

/// The fields of a `PartialObjectMetadata`.
pub fn metadata(object: &Value) -> Vec<u8> {
    const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let mut out = Writer::default();
    if let Some(metadata) = message(OBJECT_META, &object["metadata"]) {
        out.bytes(1, &metadata);
    }
    out.into_bytes()
}

/// The fields of a list: its own metadata, then one object after the other. It is the same for
/// lists of every kind.
pub fn list<'a>(metadata: &Value, items: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
    let mut out = Writer::default();
    out.bytes(1, &message(LIST_META, metadata).unwrap_or_default());
    for item in items {
        out.bytes(2, item);
    }
    out.into_bytes()
}

/// A body: what it begins with, which kind it is of, and its fields.
pub fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    out.message(1, |types| {
        types.bytes(1, api_version.as_bytes());
        types.bytes(2, kind.as_bytes());
    });
    out.bytes(2, raw);
    // Encoding and type of the content: as ever.
    out.bytes(3, b"");
    out.bytes(4, b"");
    [MAGIC, &out.into_bytes()].concat()
}

/// An event of a watch, after its length: `metav1.WatchEvent`, whose object is a whole body.
pub fn event(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    out.bytes(1, kind.as_bytes());
    out.message(2, |object| object.bytes(1, body));
    let event = out.into_bytes();
    let length = u32::try_from(event.len()).expect("objects are smaller than 4 GiB");
    [&length.to_be_bytes()[..], &event].concat()
}

fn write_message(out: &mut Writer, row: &str, r#type: &Type, object: &impl Tree) {
    let Some(names) = TYPES.get(row) else {
        return;
    };
    for (&number, name) in names {
        match *name {
            Name::Inline(inlined) => {
                out.message(number, |out| write_message(out, inlined, r#type, object));
            }
            Name::Json(name) if row == JSON_SCHEMA && UNIONS.contains(&name) => {
                if let Some(value) = object.field(name) {
                    // `items` alone may be a list, and has the schema first.
                    let place = if name == "items" { 1 } else { 2 };
                    out.message(number, |out| write_union(out, place, r#type, value));
                }
            }
            Name::Json(name) | Name::Wrapped(name) => {
                let (Some(value), Some(field)) = (object.field(name), r#type.field(name)) else {
                    continue;
                };
                if let (Name::Wrapped(_), Shape::List { item, .. }) =
                    (&names[&number], &field.shape)
                {
                    out.message(number, |out| write_items(out, 1, item, value));
                } else {
                    write_field(out, number, &field.shape, value);
                }
            }
        }
    }
}

/// A JSON schema, or else a boolean: what is decoded has no other.
fn write_union(out: &mut Writer, place: u32, r#type: &Type, value: &impl Tree) {
    if let Some(allows) = value.boolean() {
        out.number(1, allows.into());
    } else if value.is_object() {
        if place == 2 {
            out.number(1, 1);
        }
        out.message(place, |out| write_message(out, JSON_SCHEMA, r#type, value));
    }
}

fn write_field(out: &mut Writer, number: u32, shape: &Shape, value: &impl Tree) {
    match shape {
        Shape::List { item, .. } => write_items(out, number, item, value),
        Shape::Map { value: held, .. } => {
            for (key, value) in value.fields() {
                out.message(number, |entry| {
                    entry.bytes(1, key.as_bytes());
                    match &**held {
                        // Lists in maps are wrapped in a struct of one field.
                        Shape::List { item, .. } => {
                            entry.message(2, |list| write_items(list, 1, item, value));
                        }
                        held => write_value(entry, 2, held, value),
                    }
                });
            }
        }
        shape => write_value(out, number, shape, value),
    }
}

fn write_items(out: &mut Writer, number: u32, item: &Shape, list: &impl Tree) {
    for value in list.items() {
        write_value(out, number, item, value);
    }
}

/// One value. What does not fit its shape is left out; nothing that was decoded does not.
fn write_value(out: &mut Writer, number: u32, shape: &Shape, value: &impl Tree) {
    match shape {
        Shape::Boolean => out.number(number, value.boolean().unwrap_or_default().into()),
        // A negative number is sent with its sign stretched to 64 bits.
        Shape::Integer32 | Shape::Integer64 => out.number(number, value.integer() as u64),
        Shape::Number => out.fixed64(number, value.float().to_bits()),
        Shape::String => out.bytes(number, text(value).as_bytes()),
        Shape::Bytes => {
            out.bytes(
                number,
                &BASE64_STANDARD.decode(text(value)).unwrap_or_default(),
            );
        }
        Shape::Time | Shape::MicroTime => {
            let Ok(at) = text(value).parse::<jiff::Timestamp>() else {
                return;
            };
            out.message(number, |time| {
                time.number(1, at.as_second() as u64);
                time.number(2, at.subsec_nanosecond() as u64);
            });
        }
        Shape::Quantity => {
            // A client may write `cpu: 1`.
            let text = value.text().map_or_else(|| value.json(), Cow::from);
            out.message(number, |quantity| quantity.bytes(1, text.as_bytes()));
        }
        Shape::IntOrString => out.message(number, |either| {
            either.number(1, value.text().is_some().into());
            either.number(2, value.integer() as u64);
            either.bytes(3, text(value).as_bytes());
        }),
        Shape::Any => out.message(number, |any| any.bytes(1, value.json().as_bytes())),
        Shape::Struct(r#type) => {
            let r#type = r#type.get();
            out.message(number, |out| {
                if value.is_object() {
                    write_message(out, row_name(&r#type.name), r#type, value);
                }
            });
        }
        // None has lists or maps in lists, and custom resources have no protobuf form.
        Shape::List { .. } | Shape::Map { .. } | Shape::Own(_) | Shape::Deduced => {}
    }
}

fn text(value: &impl Tree) -> &str {
    value.text().unwrap_or_default()
}
