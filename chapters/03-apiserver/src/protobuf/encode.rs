//! Objects of JSON written as protobuf.
//!
//! Fields that are absent are not written. Upstream writes the zero values of most of those, which
//! a reader cannot tell from their absence: either way the field is zero.

use serde::de::{DeserializeSeed, Deserializer};
use serde_json::Value;

use super::walk::Message;
use super::wire::Writer;
use super::{MAGIC, TYPES, row_name, schema_of};
use crate::schema::{TypeRef, type_named};

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
    write(schema, object).ok().flatten()
}

/// The same of an object that is text: it becomes protobuf without being built in between.
///
/// # Errors
/// If it is no JSON.
pub fn message_of_json(schema: &str, json: &[u8]) -> Result<Option<Vec<u8>>, serde_json::Error> {
    write(schema, &mut serde_json::Deserializer::from_slice(json))
}

fn write<'de, D: Deserializer<'de>>(schema: &str, object: D) -> Result<Option<Vec<u8>>, D::Error> {
    let numbered = |r#type: &TypeRef| TYPES.contains_key(row_name(&r#type.get().name));
    let Some(r#type) = type_named(schema).filter(numbered) else {
        return Ok(None);
    };
    let mut out = Writer::default();
    let message = Message {
        out: &mut out,
        r#type,
    };
    message.deserialize(object)?;
    Ok(Some(out.into_bytes()))
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
