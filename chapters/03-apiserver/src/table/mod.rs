//! Tables: what `kubectl get` shows, made by the server.
//!
//! A client that accepts `application/json;as=Table;v=v1;g=meta.k8s.io` gets rows of cells in
//! place of objects, so that no client needs to know how a pod's status is told in one word.
//! Columns of priority 1 are for `-o wide`. A watch sends each object as a table of one row.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `columns.rs` | the columns of each kind |
//! | `cells.rs` | the cells of each kind |
//! | `network.rs` | those of Services and of what stands behind them |
//! | `pod.rs` | the cells of a pod, which are the most work |
//! | `admin.rs` | both of the kinds by which a cluster is run |
//! | `storage.rs` | those of volumes, claims and classes |
//! | `ingress.rs` | columns and cells of what leads into a cluster, of policies and addresses |
//! | `workloads.rs` | columns and cells of what else keeps pods, and of limits |
//! | `duration.rs` | ages |
//!
//! Upstream: `pkg/printers/internalversion/printers.go`.

mod admin;
mod autoscaling;
mod cells;
mod columns;
mod duration;
mod ingress;
mod network;
mod pod;
mod storage;
mod workloads;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::custom;
use crate::resources::Resource;

pub use columns::{Column, columns};
pub use duration::human_duration;
pub(crate) use duration::since;

/// What a row holds of its object, beside the cells. Upstream: the `includeObject` parameter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl IncludeObject {
    /// From the value of the parameter; `None` where it is none of upstream's.
    pub fn parse(value: &str) -> Option<IncludeObject> {
        match value {
            "None" => Some(IncludeObject::None),
            "" | "Metadata" => Some(IncludeObject::Metadata),
            "Object" => Some(IncludeObject::Object),
            _ => None,
        }
    }
}

/// The `meta.k8s.io/v1` Table of these objects, with the metadata of their list (or, of a single
/// object, its `resourceVersion`). `now` is what ages count from.
pub fn table(
    resource: &Resource,
    objects: &[Value],
    list_meta: Value,
    include: IncludeObject,
    now: Timestamp,
) -> Value {
    let columns: Vec<Value> = match resource.custom {
        Some(custom) => custom::columns::definitions(custom),
        None => columns(resource).iter().map(Column::definition).collect(),
    };
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| row(resource, object, include, now))
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_meta,
        "columnDefinitions": columns,
        "rows": rows,
    })
}

fn row(resource: &Resource, object: &Value, include: IncludeObject, now: Timestamp) -> Value {
    let cells = match resource.custom {
        Some(custom) => custom::columns::cells(custom, object, now),
        None => cells::cells(resource, object, now),
    };
    let mut row = json!({"cells": cells});
    if resource.kind == "Pod"
        && resource.custom.is_none()
        && let Some(condition) = pod::completed(object)
    {
        row["conditions"] = json!([condition]);
    }
    match include {
        IncludeObject::None => row["object"] = Value::Null,
        IncludeObject::Metadata => {
            row["object"] = json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"],
            });
        }
        IncludeObject::Object => row["object"] = object.clone(),
    }
    row
}

#[cfg(test)]
mod tests;
