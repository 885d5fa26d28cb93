//! Objects in the form that was asked for: as they are, as rows of a table, or metadata alone.
//!
//! What is stored is JSON. In that form it is served without being parsed; its protobuf form is
//! made once for each revision, when the first client asks for it, and kept in the cache.

use bytes::Bytes;
use etcd::api::Revision;
use http::{HeaderMap, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::Body;
use super::encode;
use super::negotiate::{self, Accepted, Form, Format};
use super::path::{self, Query};
use crate::protobuf;
use crate::registry::cache::{Entry, Slot};
use crate::registry::list::Listed;
use crate::registry::{events, keys, meta};
use crate::resources::Resource;
use crate::status::ApiError;
use crate::table::{self, IncludeObject};

/// How a client sees a resource.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The resource it asked for.
    pub resource: &'a Resource<'a>,
    /// The form it takes.
    pub wanted: Wanted,
}

/// The form of answers that a client takes.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    accepted: Accepted,
    include: IncludeObject,
}

impl<'a> View<'a> {
    /// The view that a request asks for.
    ///
    /// # Errors
    /// 400 if `includeObject` is not one of those that exist.
    pub fn new(
        resource: &'a Resource<'a>,
        accepted: Accepted,
        query: &Query,
    ) -> Result<View<'a>, ApiError> {
        let include = match query.get("includeObject") {
            "" | "Metadata" => IncludeObject::Metadata,
            "None" => IncludeObject::None,
            "Object" => IncludeObject::Object,
            other => {
                return Err(ApiError::bad_request(format!(
                    "unrecognized includeObject value: {other:?}"
                )));
            }
        };
        let pretty = match query.get("pretty") {
            "" => accepted.pretty,
            value => path::is_true(value),
        };
        let accepted = Accepted { pretty, ..accepted };
        let wanted = Wanted { accepted, include };
        Ok(View { resource, wanted })
    }

    /// Whether it shows objects as they are stored.
    fn is_verbatim(&self, slot: &Slot) -> bool {
        self.wanted.accepted.form == Form::Object
            && self.resource.custom.is_none()
            && *self.resource == slot.resource()
    }

    fn format(&self) -> Format {
        self.wanted.accepted.format
    }

    /// A parsed object, as it is stored, in this view.
    pub fn object(&self, object: Value) -> Value {
        let object = events::present(self.resource, object);
        match self.wanted.accepted.form {
            Form::Object => object,
            Form::Table => {
                let version = object["metadata"]["resourceVersion"].clone();
                self.table(&[object], json!({"resourceVersion": version}))
            }
            Form::Metadata => self.metadata_of(&object),
        }
    }

    fn table(&self, objects: &[Value], metadata: Value) -> Value {
        let mut table = table::table(
            self.resource,
            objects,
            metadata,
            self.wanted.include,
            Timestamp::now(),
        );
        table["apiVersion"] = self.wanted.accepted.version.into();
        table
    }

    fn metadata_of(&self, object: &Value) -> Value {
        json!({"kind": "PartialObjectMetadata", "apiVersion": self.wanted.accepted.version,
            "metadata": object["metadata"]})
    }

    /// Appends an object in this view: a whole body, as JSON or protobuf.
    fn write(&self, out: &mut Vec<u8>, slot: &Slot, entry: &Entry) -> Result<(), ApiError> {
        if self.format() == Format::Protobuf {
            let (version, kind) = match self.wanted.accepted.form {
                Form::Object => (&*self.resource.api_version(), self.resource.kind),
                _ => (self.wanted.accepted.version, "PartialObjectMetadata"),
            };
            out.extend(protobuf::envelope(
                version,
                kind,
                &self.fields(slot, entry)?,
            ));
            return Ok(());
        }
        if self.is_verbatim(slot) {
            slot.codec.serve(out, &entry.stored, entry.revision);
            return Ok(());
        }
        let object = parse(slot, entry)?;
        serde_json::to_writer(out, &self.object(object))
            .map_err(|e| ApiError::internal(e.to_string()))
    }

    /// The fields of an object in protobuf.
    fn fields(&self, slot: &Slot, entry: &Entry) -> Result<Bytes, ApiError> {
        if self.is_verbatim(slot) {
            return entry.protobuf(slot);
        }
        let object = events::present(self.resource, parse(slot, entry)?);
        let fields = match self.wanted.accepted.form {
            Form::Object => protobuf::message(self.resource.schema, &object),
            _ => Some(protobuf::metadata(&object)),
        };
        fields
            .map(Bytes::from)
            .ok_or_else(|| no_protobuf(self.resource))
    }

    /// Answers with a stored object.
    ///
    /// # Errors
    /// 500 if it cannot be parsed.
    pub fn stored(
        &self,
        headers: &HeaderMap,
        slot: &Slot,
        entry: &Entry,
    ) -> Result<Response<Body>, ApiError> {
        let mut out = Vec::with_capacity(entry.stored.len() + 64);
        self.write(&mut out, slot, entry)?;
        Ok(encode::body(headers, 200, self.wanted.accepted, out))
    }

    /// Answers with an object that has just been written. It is in the cache by now, in the form
    /// that everyone else is told, unless somebody has changed it since.
    ///
    /// # Errors
    /// 500 if it has no such form.
    pub fn written(
        &self,
        code: u16,
        headers: &HeaderMap,
        slot: &Slot,
        object: Value,
    ) -> Result<Response<Body>, ApiError> {
        let accepted = self.wanted.accepted;
        let is_text = accepted.format == Format::Json && !accepted.pretty;
        let revision = meta::resource_version(&object);
        let key = keys::local(meta::namespace(&object), meta::name(&object));
        let entry = slot.get(&key).filter(|entry| {
            let same_form = is_text || accepted.format == Format::Protobuf;
            same_form && self.is_verbatim(slot) && entry.revision == revision
        });
        let Some(entry) = entry else {
            return Ok(self.answer(code, headers, object));
        };
        let mut out = Vec::with_capacity(entry.stored.len() + 64);
        self.write(&mut out, slot, &entry)?;
        if is_text {
            out.push(b'\n');
        }
        Ok(encode::body(headers, code, accepted, out))
    }

    /// Answers with a list.
    ///
    /// # Errors
    /// 500 if an object cannot be parsed.
    pub fn list(
        &self,
        headers: &HeaderMap,
        slot: &Slot,
        listed: &Listed,
    ) -> Result<Response<Body>, ApiError> {
        let accepted = self.wanted.accepted;
        let metadata = listed.metadata();
        let (version, kind) = match accepted.form {
            Form::Object => (
                self.resource.api_version(),
                self.resource.list_kind().to_owned(),
            ),
            _ => (
                accepted.version.to_owned(),
                "PartialObjectMetadataList".to_owned(),
            ),
        };
        let entries = &listed.entries;
        if accepted.format == Format::Protobuf {
            let fields = entries.iter().map(|entry| self.fields(slot, entry));
            let fields = fields.collect::<Result<Vec<Bytes>, ApiError>>()?;
            let list = protobuf::list(&metadata, fields.iter().map(|bytes| &bytes[..]));
            let body = protobuf::envelope(&version, &kind, &list);
            return Ok(encode::body(headers, 200, accepted, body));
        }
        if self.is_verbatim(slot) {
            let bytes = entries
                .iter()
                .map(|entry| entry.stored.len())
                .sum::<usize>();
            let mut out = Vec::with_capacity(bytes + 40 * entries.len() + 256);
            let head = json!({"kind": kind, "apiVersion": version, "metadata": metadata});
            out.extend_from_slice(head.to_string().trim_end_matches('}').as_bytes());
            out.extend_from_slice(b"},\"items\":[");
            for (i, entry) in entries.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                slot.codec
                    .serve_item(&mut out, &entry.stored, entry.revision);
            }
            out.extend_from_slice(b"]}\n");
            return Ok(encode::body(headers, 200, accepted, out));
        }
        let objects = entries
            .iter()
            .map(|entry| Ok(events::present(self.resource, parse(slot, entry)?)))
            .collect::<Result<Vec<Value>, ApiError>>()?;
        let list = match accepted.form {
            Form::Table => self.table(&objects, metadata),
            Form::Metadata => {
                let items: Vec<Value> = objects.iter().map(|o| self.metadata_of(o)).collect();
                json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items})
            }
            Form::Object => {
                json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": objects})
            }
        };
        Ok(encode::answer(headers, 200, accepted, &list))
    }

    /// Answers with an object.
    pub fn answer(&self, code: u16, headers: &HeaderMap, object: Value) -> Response<Body> {
        encode::answer(headers, code, self.wanted.accepted, &self.object(object))
    }

    /// Whether it is text, as opposed to bytes.
    pub fn is_text(&self) -> bool {
        self.format() != Format::Protobuf
    }

    /// The media type of a watch.
    pub fn stream_type(&self) -> &'static str {
        match self.format() {
            Format::Protobuf => negotiate::PROTOBUF_STREAM,
            _ => Format::Json.media_type(),
        }
    }

    /// Appends a watch's event about a stored object.
    ///
    /// # Errors
    /// 500 if it cannot be parsed.
    pub fn event(
        &self,
        out: &mut Vec<u8>,
        kind: &str,
        slot: &Slot,
        entry: &Entry,
    ) -> Result<(), ApiError> {
        if self.format() == Format::Protobuf {
            let mut body = Vec::with_capacity(entry.stored.len());
            self.write(&mut body, slot, entry)?;
            out.extend(protobuf::event(kind, &body));
            return Ok(());
        }
        out.reserve(entry.stored.len() + 128);
        line_head(out, kind);
        self.write(out, slot, entry)?;
        out.extend_from_slice(LINE_TAIL);
        Ok(())
    }

    /// Appends a watch's event about anything else: an error, a bookmark.
    pub fn event_of(&self, out: &mut Vec<u8>, kind: &str, object: &Value) {
        if self.format() == Format::Protobuf {
            let body = protobuf::encode(object).unwrap_or_default();
            return out.extend(protobuf::event(kind, &body));
        }
        line_head(out, kind);
        out.extend_from_slice(object.to_string().as_bytes());
        out.extend_from_slice(LINE_TAIL);
    }

    /// What a bookmark carries: a revision and no object.
    pub fn bookmark(&self, revision: Revision, ends_initial_events: bool) -> Value {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial_events {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.wanted.accepted.form {
            Form::Object => json!({"kind": self.resource.kind,
                "apiVersion": self.resource.api_version(), "metadata": metadata}),
            Form::Table => self.table(&[], metadata),
            Form::Metadata => self.metadata_of(&json!({"metadata": metadata})),
        }
    }
}

/// Begins an event of a watch in JSON, which is a line.
fn line_head(out: &mut Vec<u8>, kind: &str) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
}

/// What ends it.
const LINE_TAIL: &[u8] = b"}\n";

fn no_protobuf(resource: &Resource) -> ApiError {
    ApiError::internal(format!("{} has no protobuf form", resource.kind))
}

/// A cached object, parsed.
///
/// # Errors
/// 500 if it cannot be parsed.
fn parse(slot: &Slot, entry: &Entry) -> Result<Value, ApiError> {
    slot.codec
        .decode(&entry.stored, entry.revision)
        .map_err(|error| ApiError::internal(error.to_string()))
}
