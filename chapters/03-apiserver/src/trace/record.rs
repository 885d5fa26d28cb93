//! What is recorded: requests with what came of them, and what watches were told.

use etcd::api::Revision;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::resources::{self, Resource};

/// A step of a trace, one line of JSON each, in the order in which they ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Record {
    /// A request was answered.
    Request(Request),
    /// A watch was told of an object.
    Delivery(Delivery),
}

/// A request that was answered; of a watch or a stream: that began to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Who asked.
    pub client: Client,
    /// `get`, `list`, `create`, …; the method in small letters for a path.
    pub verb: String,
    /// What about; none for a path that is no resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Object>,
    /// `status`, `scale`, …, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// The path, where it is no resource: `/version`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Code of the answer.
    pub code: u16,
    /// The revision that the server had reached when the request came: what the client could have
    /// read.
    pub seen: Revision,
    /// What the request says that it is for, such as the pod that a token is bound to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<Object>,
    /// What was written for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<Write>,
    /// What was asked of kubelets for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<KubeletCall>,
}

/// A write that the store took: one key, one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// What was written.
    pub object: Object,
    /// It is gone by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The revision that the store gave it.
    pub revision: Revision,
    /// Whose part it is, or what it tells of: owners, the object of an Event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<Object>,
}

/// A request of the API server's own, to a kubelet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeletCall {
    /// The kubelet's node.
    pub node: String,
    /// Method and path, without parameters: `GET /containerLogs/default/web/echo`.
    pub request: String,
    /// Code of the answer; 101 where the connection was switched over.
    pub code: u16,
}

/// A line of a watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Who watches.
    pub client: Client,
    /// `ADDED`, `MODIFIED` or `DELETED`, as this watch sees it.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it tells of.
    pub object: Object,
    /// The object's revision.
    pub revision: Revision,
    /// The revision that the server had reached.
    pub seen: Revision,
    /// The object was there before the watch, which begins with what there is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub initial: bool,
}

/// Somebody at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// User name: `system:node:worker-1`.
    pub user: String,
    /// What the program calls itself: the `User-Agent` up to the slash; empty if it does not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program: String,
    /// Address and port.
    pub address: String,
}

/// An object, or, without a name, a collection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Object {
    /// `deployments`
    pub resource: String,
    /// Empty where it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Empty for a collection, and for one whose name the server is to make up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl Object {
    /// An object of a resource; `key` is `{namespace}/{name}`, or `{name}`.
    pub fn of(resource: &Resource, key: &str) -> Object {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        Object {
            resource: resource.plural.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The object that a reference in another one (`apiVersion` or none, `kind`, `name`) means.
    fn referred(reference: &Value, namespace: &str) -> Option<Object> {
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        let api_version = text("apiVersion").split_once('/');
        let (group, version) = api_version.unwrap_or(("", "v1"));
        let resource = resources::by_kind(group, version, text("kind"))?;
        Some(Object {
            resource: resource.plural.into(),
            namespace: if resource.namespaced { namespace } else { "" }.into(),
            name: text("name").into(),
        })
    }
}

/// Whose part an object is, or what it tells of: its owners, the object of an Event, the Service
/// of Endpoints (which have its name and no owner).
pub fn about(of: &Object, object: &Value) -> Vec<Object> {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let mut about: Vec<Object> = owners
        .into_iter()
        .flatten()
        .chain([&object["involvedObject"]])
        .filter_map(|reference| Object::referred(reference, &of.namespace))
        .collect();
    if of.resource == "endpoints" {
        about.push(Object {
            resource: "services".into(),
            ..of.clone()
        });
    }
    about
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_say_whose_they_are() {
        let of = |kind: &str, key: &str, object: Value| {
            let resource = resources::all().find(|r| r.kind == kind);
            let told = about(&Object::of(resource.expect("is served"), key), &object);
            let told = told
                .iter()
                .map(|o| format!("{} {} {}", o.resource, o.namespace, o.name));
            told.collect::<Vec<_>>().join(", ")
        };
        let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1"});
        let owned = json!({"metadata": {"ownerReferences": [owner]}});
        assert_eq!(of("Pod", "a/web-1-x", owned), "replicasets a web-1");
        let node = json!({"apiVersion": "v1", "kind": "Node", "name": "n"});
        let event = |involved| json!({"metadata": {}, "involvedObject": involved});
        assert_eq!(of("Event", "default/n.1", event(node)), "nodes  n");
        let unknown = json!({"apiVersion": "x/v1", "kind": "Y", "name": "n"});
        assert_eq!(of("Event", "default/n.1", event(unknown)), "");
        assert_eq!(of("Endpoints", "a/web", json!({})), "services a web");
    }
}
