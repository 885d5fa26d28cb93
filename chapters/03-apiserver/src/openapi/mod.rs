//! OpenAPI: what the server says of itself to clients that ask.
//!
//! `kubectl explain` reads the fields' descriptions, `kubectl apply` looks up how lists merge,
//! and both learn from it which kinds can be patched and validated. There are two forms: version
//! 2 is one document, version 3 one for each group and version, with an index.
//!
//! ```text
//!  resources/   --> operations.rs: paths and operations -+
//!                                                        +--> v2.rs, v3.rs --> gzip --> kept
//!  schema       --> models.rs: types with extensions ----+
//! ```
//!
//! A document is made when it is first asked for, and kept compressed: the whole is some
//! megabytes of text, which nobody may ever read. What is built in never changes; what clients
//! define is kept with the [`Catalog`] that it was made for.
//!
//! Left out: the deprecated `/watch/` paths, and the protobuf form of version 3.
//! Upstream: `api/openapi-spec`, `k8s.io/kube-openapi`.

mod custom;
mod models;
mod operations;
mod parameters;
mod protobuf;
mod v2;
mod v3;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::resources::{Catalog, Resource};

/// A document, compressed.
#[derive(Debug, Clone)]
pub struct Document {
    /// The document as it is sent, compressed by gzip.
    pub gzip: Bytes,
    /// What it is, for `Content-Type`.
    pub media_type: &'static str,
    /// Changes when the document does: for `ETag`, and for the `hash` of the index.
    pub hash: String,
}

impl Document {
    fn json(value: &Value, hash: String) -> Document {
        let text = serde_json::to_vec(value).expect("a value can be written to memory");
        Document::new(&text, "application/json", hash)
    }

    fn new(plain: &[u8], media_type: &'static str, hash: String) -> Document {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).expect("memory can be written to");
        let gzip = encoder.finish().expect("memory can be written to").into();
        Document {
            gzip,
            media_type,
            hash,
        }
    }

    /// The document as it is sent to those who take no gzip.
    pub fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        GzDecoder::new(&*self.gzip)
            .read_to_end(&mut plain)
            .expect("it was compressed by us");
        plain
    }
}

/// The documents of a catalog that have been asked for.
#[derive(Debug, Default)]
pub struct Documents {
    v2: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
    v3: Mutex<BTreeMap<String, Document>>,
}

/// The document of OpenAPI v2, served at `/openapi/v2`.
pub fn v2(catalog: &Catalog) -> Document {
    let make = || Document::json(&v2::document(catalog), hash(catalog.all()));
    catalog.documents.v2.get_or_init(make).clone()
}

/// The media type of [`v2_protobuf`].
pub const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The document of OpenAPI v2 as a protobuf message.
pub fn v2_protobuf(catalog: &Catalog) -> Document {
    let make = || {
        let message = protobuf::document(&v2::document(catalog));
        // Another form of the same is another answer to who asks by its tag.
        let hash = hash(catalog.all()) + "-protobuf";
        Document::new(&message, V2_PROTOBUF, hash)
    };
    catalog.documents.v2_protobuf.get_or_init(make).clone()
}

/// The index of OpenAPI v3, served at `/openapi/v3`.
pub fn v3_index(catalog: &Catalog) -> Value {
    let entry = |(path, resources): (String, Vec<Resource>)| {
        let hash = hash(resources.into_iter());
        let url = format!("/openapi/v3/{path}?hash={hash}");
        (path, json!({"serverRelativeURL": url}))
    };
    let paths: Map<String, Value> = group_versions(catalog).into_iter().map(entry).collect();
    json!({"paths": paths})
}

/// The document of a group and version (`api/v1`, `apis/apps/v1`), served at `/openapi/v3/{path}`.
pub fn v3(catalog: &Catalog, group_version: &str) -> Option<Document> {
    static BUILT_IN: LazyLock<Documents> = LazyLock::new(Documents::default);
    let resources = group_versions(catalog).remove(group_version)?;
    let is_built_in = resources.iter().all(|resource| resource.custom.is_none());
    let documents = match is_built_in {
        true => &*BUILT_IN,
        false => &catalog.documents,
    };
    let mut documents = documents.v3.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(document) = documents.get(group_version) {
        return Some(document.clone());
    }
    let hash = hash(resources.iter().copied());
    let document = Document::json(&v3::document(&resources), hash);
    documents.insert(group_version.to_owned(), document.clone());
    Some(document)
}

/// Where a resource's group and version are served: `api/v1`, `apis/apps/v1`.
fn base_path(resource: &Resource) -> String {
    match resource.group {
        "" => format!("api/{}", resource.version),
        group => format!("apis/{group}/{}", resource.version),
    }
}

fn group_versions(catalog: &Catalog) -> BTreeMap<String, Vec<Resource<'_>>> {
    let mut groups: BTreeMap<String, Vec<Resource>> = BTreeMap::new();
    for resource in catalog.all() {
        let path = base_path(&resource);
        groups.entry(path).or_default().push(resource);
    }
    groups
}

/// Increase it when documents change though the resources do not: clients cache by the hash.
const GENERATION: u32 = 1;

/// Documents follow from the resources, so their hash does, too; without making them.
fn hash<'a>(resources: impl Iterator<Item = Resource<'a>>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("{} {GENERATION}", env!("CARGO_PKG_VERSION")));
    resources.for_each(|resource| match resource.custom {
        Some(custom) => hasher.update(format!("{} {}", custom.definition.group, custom.source())),
        None => hasher.update(format!("{resource:?}")),
    });
    hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

#[cfg(test)]
mod tests;
