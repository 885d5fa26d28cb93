//! The objects: pods as a Deployment makes them, a namespace for each length of list.

use anyhow::Result;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::client::JSON;
use crate::server::Server;

/// The namespace of rows that make, change and remove.
pub const SCRATCH: &str = "scratch";

/// One of so many pods has the label `pick=me`.
const PICKED_EACH: usize = 100;

/// How many create at once while namespaces are filled.
const AT_ONCE: usize = 32;

/// The namespace with so many pods.
pub fn namespace_of(pods: usize) -> String {
    format!("list-{pods}")
}

/// Path of the pods of a namespace.
pub fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

/// Makes the namespaces, and in each as many pods as its rows list.
///
/// # Errors
/// If the server refuses one.
pub async fn prepare(server: &Server, lists: impl Iterator<Item = usize>) -> Result<()> {
    let mut lengths: Vec<usize> = lists.filter(|pods| *pods > 0).collect();
    lengths.sort_unstable();
    lengths.dedup();
    namespace(server, SCRATCH).await?;
    for pods in lengths {
        namespace(server, &namespace_of(pods)).await?;
        fill(server, &namespace_of(pods), pods).await?;
    }
    Ok(())
}

async fn namespace(server: &Server, name: &str) -> Result<()> {
    let client = server.connect().await?;
    let object = json!({"metadata": {"name": name}});
    client
        .call("POST", "/api/v1/namespaces", JSON, bytes(&object))
        .await?;
    // A pod needs one. A controller makes it, and none runs beside the server here.
    let path = format!("/api/v1/namespaces/{name}/serviceaccounts");
    let account = json!({"metadata": {"name": "default"}});
    client.call("POST", &path, JSON, bytes(&account)).await?;
    Ok(())
}

async fn fill(server: &Server, namespace: &str, count: usize) -> Result<()> {
    let connections = server.connections(4).await?;
    let tasks: Vec<_> = (0..AT_ONCE.min(count))
        .map(|first| {
            let client = connections[first % connections.len()].clone();
            let path = pods(namespace);
            tokio::spawn(async move {
                for number in (first..count).step_by(AT_ONCE) {
                    let body = bytes(&pod(&format!("pod-{number:06}"), number));
                    client.call("POST", &path, JSON, body).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// A pod of an ordinary web server: two containers, probes, resources, variables, volumes.
pub fn pod(name: &str, number: usize) -> Value {
    let container = |name: &str, port: u16| {
        json!({
            "name": name,
            "image": format!("registry.example/team/{name}:1.27.3"),
            "ports": [{"name": "http", "containerPort": port}],
            "env": [
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "LOG_LEVEL", "value": "info"},
            ],
            "resources": {
                "requests": {"cpu": "100m", "memory": "64Mi"},
                "limits": {"memory": "128Mi"},
            },
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
            "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}},
            "volumeMounts": [
                {"name": "config", "mountPath": "/etc/app"},
                {"name": "scratch", "mountPath": "/tmp"},
            ],
        })
    };
    let mut labels = json!({"app": "web", "pod-template-hash": "5d4f8c7b9", "tier": "frontend"});
    if number.is_multiple_of(PICKED_EACH) {
        labels["pick"] = "me".into();
    }
    json!({
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {"example.com/checksum": "0123456789abcdef0123456789abcdef"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8c7b9",
                "uid": "2f0a3c1e-8d9b-4a53-9e57-1b1f0c9a7d10",
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            // No node is there, and no token has to be made for each.
            "automountServiceAccountToken": false,
            "containers": [container("web", 8080), container("sidecar", 9090)],
            "volumes": [
                {"name": "config", "configMap": {"name": "web"}},
                {"name": "scratch", "emptyDir": {}},
            ],
        },
    })
}

/// An object as a body.
pub fn bytes(object: &Value) -> Bytes {
    object.to_string().into()
}
