//! Objects in the form that was asked for: as they are, as rows of a table, or metadata alone.

use etcd::api::Revision;
use http::{HeaderMap, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{self, Body};
use super::negotiate::Form;
use super::path::Query;
use crate::registry::cache::{Entry, Slot};
use crate::registry::events;
use crate::registry::list::Listed;
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
    form: Form,
    include: IncludeObject,
}

impl<'a> View<'a> {
    /// The view that a request asks for.
    ///
    /// # Errors
    /// 400 if `includeObject` is not one of those that exist.
    pub fn new(
        resource: &'a Resource<'a>,
        form: Form,
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
        let wanted = Wanted { form, include };
        Ok(View { resource, wanted })
    }

    /// Whether stored bytes can be served without being parsed.
    fn is_verbatim(&self, slot: &Slot) -> bool {
        self.wanted.form == Form::Object
            && self.resource.custom.is_none()
            && *self.resource == slot.resource()
    }

    /// A parsed object, as it is stored, in this view.
    pub fn object(&self, object: Value) -> Value {
        let object = events::present(self.resource, object);
        match self.wanted.form {
            Form::Object => object,
            Form::Table => {
                let version = object["metadata"]["resourceVersion"].clone();
                self.table(&[object], json!({"resourceVersion": version}))
            }
            Form::Metadata => metadata_of(&object),
        }
    }

    fn table(&self, objects: &[Value], metadata: Value) -> Value {
        table::table(
            self.resource,
            objects,
            metadata,
            self.wanted.include,
            Timestamp::now(),
        )
    }

    /// Appends a stored object in this view.
    ///
    /// # Errors
    /// 500 if it cannot be parsed.
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        slot: &Slot,
        stored: &[u8],
        revision: Revision,
    ) -> Result<(), ApiError> {
        if self.is_verbatim(slot) {
            slot.codec.serve(out, stored, revision);
            return Ok(());
        }
        let object = decode(slot, stored, revision)?;
        serde_json::to_writer(out, &self.object(object))
            .map_err(|e| ApiError::internal(e.to_string()))
    }

    /// A list in this view.
    ///
    /// # Errors
    /// 500 if an object cannot be parsed.
    pub fn list(&self, slot: &Slot, listed: &Listed) -> Result<Vec<u8>, ApiError> {
        let metadata = listed.metadata();
        if self.is_verbatim(slot) {
            let bytes = listed
                .entries
                .iter()
                .map(|entry| entry.stored.len())
                .sum::<usize>();
            let mut out = Vec::with_capacity(bytes + 40 * listed.entries.len() + 256);
            let head = json!({"kind": self.resource.list_kind(),
                "apiVersion": self.resource.api_version(), "metadata": metadata});
            out.extend_from_slice(head.to_string().trim_end_matches('}').as_bytes());
            out.extend_from_slice(b"},\"items\":[");
            for (i, entry) in listed.entries.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                slot.codec
                    .serve_item(&mut out, &entry.stored, entry.revision);
            }
            out.extend_from_slice(b"]}\n");
            return Ok(out);
        }
        let objects = listed
            .entries
            .iter()
            .map(|entry| Ok(events::present(self.resource, parse(slot, entry)?)))
            .collect::<Result<Vec<Value>, ApiError>>()?;
        let list = match self.wanted.form {
            Form::Table => self.table(&objects, metadata),
            Form::Metadata => json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "items": objects.iter().map(metadata_of).collect::<Vec<_>>(),
            }),
            Form::Object => json!({
                "kind": self.resource.list_kind(),
                "apiVersion": self.resource.api_version(),
                "metadata": metadata,
                "items": objects,
            }),
        };
        Ok(list.to_string().into_bytes())
    }

    /// An answer with an object.
    pub fn answer(&self, code: u16, headers: &HeaderMap, object: Value) -> Response<Body> {
        let bytes = self.object(object).to_string().into_bytes();
        answer::maybe_gzip(headers, code, "application/json", bytes)
    }

    /// What a bookmark carries: a revision and no object.
    pub fn bookmark(&self, revision: Revision, ends_initial_events: bool) -> Value {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial_events {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.wanted.form {
            Form::Object => json!({"kind": self.resource.kind,
                "apiVersion": self.resource.api_version(), "metadata": metadata}),
            Form::Table => self.table(&[], metadata),
            Form::Metadata => json!({"kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1", "metadata": metadata}),
        }
    }
}

/// A cached object, parsed.
///
/// # Errors
/// 500 if it cannot be parsed.
pub fn parse(slot: &Slot, entry: &Entry) -> Result<Value, ApiError> {
    decode(slot, &entry.stored, entry.revision)
}

fn decode(slot: &Slot, stored: &[u8], revision: Revision) -> Result<Value, ApiError> {
    slot.codec
        .decode(stored, revision)
        .map_err(|error| ApiError::internal(error.to_string()))
}

fn metadata_of(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"]})
}
