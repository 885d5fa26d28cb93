//! The stored form of an object, and how it becomes the served form without being parsed.
//!
//! An object is serialised once, when it is written, with its `metadata` first and without its
//! `resourceVersion`, which is not known before the write is done:
//!
//! ```text
//! stored  {"apiVersion":"v1","kind":"Pod","metadata":{"name":"web",…},"spec":…}
//! served  {"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"7","name":"web",…},"spec":…}
//! item    {"metadata":{"resourceVersion":"7","name":"web",…},"spec":…}
//! ```
//!
//! The beginning is the same for every object of a resource, so the version is spliced in at a
//! known place, and the store, the cache and every answer share the same bytes.

use std::io::Write;

use bytes::Bytes;
use serde_json::Value;

use crate::resources::Resource;

/// What an item of a list begins with: upstream leaves the types of items out, the list has them.
const ITEM_HEAD: &[u8] = b"{\"metadata\":{";

/// Writes and splices the objects of one resource.
#[derive(Debug, Clone)]
pub struct Codec {
    head: Box<str>,
}

impl Codec {
    /// The codec of a resource.
    pub fn new(resource: &Resource) -> Codec {
        let head = format!(
            "{{\"apiVersion\":\"{}\",\"kind\":\"{}\",\"metadata\":{{",
            resource.api_version(),
            resource.kind
        );
        Codec { head: head.into() }
    }

    /// The stored form.
    pub fn encode(&self, object: &Value) -> Bytes {
        let mut out = Vec::with_capacity(4096);
        out.extend_from_slice(self.head.as_bytes());
        let mut first = true;
        if let Some(metadata) = object["metadata"].as_object() {
            for (key, value) in metadata.iter().filter(|(key, _)| *key != "resourceVersion") {
                write_field(&mut out, &mut first, key, value);
            }
        }
        out.push(b'}');
        if let Some(fields) = object.as_object() {
            first = false;
            for (key, value) in fields {
                if !matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                    write_field(&mut out, &mut first, key, value);
                }
            }
        }
        out.push(b'}');
        Bytes::from(out)
    }

    /// The object with its version, for those who change it.
    ///
    /// # Errors
    /// If the stored bytes are not JSON, which nothing here writes.
    pub fn decode(&self, stored: &[u8], revision: i64) -> Result<Value, serde_json::Error> {
        let mut object: Value = serde_json::from_slice(stored)?;
        object["metadata"]["resourceVersion"] = revision.to_string().into();
        Ok(object)
    }

    /// Appends the served form.
    pub fn serve(&self, out: &mut Vec<u8>, stored: &[u8], revision: i64) {
        self.splice(out, self.head.as_bytes(), stored, revision);
    }

    /// Appends the form of an item in a list.
    pub fn serve_item(&self, out: &mut Vec<u8>, stored: &[u8], revision: i64) {
        self.splice(out, ITEM_HEAD, stored, revision);
    }

    fn splice(&self, out: &mut Vec<u8>, head: &[u8], stored: &[u8], revision: i64) {
        let Some(rest) = stored.strip_prefix(self.head.as_bytes()) else {
            // Written by another program in another order: served all the same, more slowly.
            if let Ok(object) = self.decode(stored, revision) {
                let bytes = self.encode(&object);
                return self.splice(out, head, &bytes, revision);
            }
            return out.extend_from_slice(stored);
        };
        out.extend_from_slice(head);
        write!(out, "\"resourceVersion\":\"{revision}\"").expect("memory can be written");
        if rest.first() != Some(&b'}') {
            out.push(b',');
        }
        out.extend_from_slice(rest);
    }
}

fn write_field(out: &mut Vec<u8>, first: &mut bool, key: &str, value: &Value) {
    if !std::mem::take(first) {
        out.push(b',');
    }
    serde_json::to_writer(&mut *out, key).expect("memory can be written");
    out.push(b':');
    serde_json::to_writer(&mut *out, value).expect("memory can be written");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources;
    use serde_json::json;

    #[test]
    fn splices_the_version_in() {
        let codec = Codec::new(resources::by_kind("", "v1", "ConfigMap").expect("is served"));
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
            "metadata": {"name": "x", "resourceVersion": "3"}});
        let stored = codec.encode(&object);
        let mut served = Vec::new();
        codec.serve(&mut served, &stored, 7);
        assert_eq!(
            String::from_utf8(served).expect("is text"),
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"resourceVersion":"7","name":"x"},"data":{"a":"b"}}"#
        );
        let mut item = Vec::new();
        codec.serve_item(&mut item, &stored, 7);
        assert_eq!(
            String::from_utf8(item).expect("is text"),
            r#"{"metadata":{"resourceVersion":"7","name":"x"},"data":{"a":"b"}}"#
        );
    }

    #[test]
    fn serves_what_others_wrote() {
        let codec = Codec::new(resources::by_kind("", "v1", "ConfigMap").expect("is served"));
        let mut served = Vec::new();
        codec.serve(&mut served, br#"{"kind":"ConfigMap","metadata":{}}"#, 7);
        let object: Value = serde_json::from_slice(&served).expect("is JSON");
        assert_eq!(object["metadata"]["resourceVersion"], "7");
    }
}
