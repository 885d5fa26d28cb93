//! API objects as a reader would write them, turned into records.

#![allow(dead_code, reason = "each test uses its part")]

use kube::Resource;
use proxy::model::{All, Name, Namespace, Node, Record, Service, Slice};

/// All that a test's YAML speaks of.
#[derive(Default)]
pub struct Cluster {
    pub services: All<Service>,
    pub slices: All<Slice>,
    pub nodes: All<Node>,
    pub namespaces: All<Namespace>,
}

impl Cluster {
    /// Reads documents of any of the four kinds.
    pub fn parse(yaml: &str) -> Self {
        let mut cluster = Cluster::default();
        for document in yaml.split("\n---\n") {
            let object: serde_json::Value = serde_saphyr::from_str(document).expect("valid YAML");
            match object["kind"].as_str() {
                Some("Service") => insert(&mut cluster.services, object),
                Some("EndpointSlice") => insert(&mut cluster.slices, object),
                Some("Node") => insert(&mut cluster.nodes, object),
                Some("Namespace") => insert(&mut cluster.namespaces, object),
                other => panic!("unknown kind {other:?} in {document}"),
            }
        }
        cluster
    }
}

fn insert<R: Record>(all: &mut All<R>, object: serde_json::Value) {
    let object: R::Object = serde_json::from_value(object).expect("an object of its kind");
    let meta = object.meta();
    let namespace = meta.namespace.clone().unwrap_or_default();
    let name = Name::new(namespace, meta.name.clone().expect("a name"));
    all.extend(R::of(&object).map(|record| (name, record)));
}
