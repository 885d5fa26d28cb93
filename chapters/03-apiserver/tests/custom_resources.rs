//! Kinds that clients define, as clients see them. What upstream's end-to-end tests demand of
//! them (`test/e2e/apimachinery/custom_resource_definition.go`, `crd_watch.go`,
//! `crd_selectable_fields.go`) is held here.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

#[path = "custom_resources/kinds.rs"]
mod kinds;
#[path = "custom_resources/objects.rs"]
mod objects;
#[path = "custom_resources/wrongs.rs"]
mod wrongs;

use serde_json::{Value, json};
use support::{Client, Server};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const TABS: &str = "/apis/stable.example.com/v1/namespaces/default/crontabs";
const MERGE: &str = "application/merge-patch+json";

/// A definition whose versions all have this schema.
fn definition(versions: &[&str], schema: Value) -> Value {
    let version = |(i, name): (usize, &&str)| {
        json!({"name": name, "served": true, "storage": i == 0,
        "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}, "scale": {
            "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector"}},
        "selectableFields": [{"jsonPath": ".spec.image"}],
        "additionalPrinterColumns": [
            {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
            {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ]})
    };
    let versions: Vec<Value> = versions.iter().enumerate().map(version).collect();
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {"group": "stable.example.com", "scope": "Namespaced", "versions": versions,
            "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab",
                "shortNames": ["ct"], "categories": ["all"]}}})
}

fn schema() -> Value {
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "description": "What is wanted.", "properties": {
            "cronSpec": {"type": "string", "pattern": "^\\S+( \\S+)*$"},
            "image": {"type": "string"},
            "replicas": {"type": "integer", "minimum": 0, "default": 1},
            "ports": {"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "required": ["port"], "properties": {
                    "port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"},
                    "name": {"type": "string"}}}},
        }},
        "status": {"type": "object", "properties": {
            "replicas": {"type": "integer"}, "selector": {"type": "string"}}},
    }})
}

fn tab(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name},
        "spec": spec})
}

/// Makes a definition, and waits until it is served.
async fn define(server: &Server, admin: &mut Client, definition: Value) {
    let name = definition["metadata"]["name"]
        .as_str()
        .expect("has one")
        .to_owned();
    let (code, made) = admin.call("POST", CRDS, definition).await;
    assert_eq!(code, 201, "{made}");
    established(server, &name).await;
}

/// Waits until a definition is served, by a watch.
async fn established(server: &Server, name: &str) {
    let path = format!("{CRDS}?watch=1&fieldSelector=metadata.name%3D{name}");
    let mut watch = server.client("admin").await.watch(&path).await;
    while let Some(event) = watch.next().await {
        if condition(&event["object"], "Established")["status"] == "True" {
            return;
        }
    }
    panic!("the watch of {name} has ended");
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind);
    found.unwrap_or(&Value::Null)
}
