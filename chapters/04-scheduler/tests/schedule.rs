//! Decisions, as scripts: a cluster is set up, pods come, each goes somewhere or is told why not.

use std::collections::BTreeMap;
use std::error::Error;

use k8s_openapi::api::core::v1::{Node, Pod};
use scheduler::cache::Cache;
use scheduler::schedule;
use serde_json::{Value, json};

#[test]
fn scripts() -> std::io::Result<()> {
    let mut paths: Vec<_> = std::fs::read_dir("tests/scripts")?
        .flatten()
        .map(|e| e.path())
        .collect();
    paths.sort();
    for path in paths {
        goldenscript::run(&mut Cluster::default(), &path)
            .map_err(|error| std::io::Error::other(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

#[derive(goldenscript::Command)]
enum Command {
    /// A node: `node n1 cpu=4 zone=a taint=dedicated=db:NoSchedule unschedulable=true`.
    Node {
        name: String,
        #[arg(key, optional, many)]
        fields: Vec<(String, String)>,
    },
    /// A pod, which is placed if it fits: `pod p1 cpu=1 app=web`.
    Pod {
        name: String,
        #[arg(key, optional, many)]
        fields: Vec<(String, String)>,
    },
    /// A pod goes.
    Delete { name: String },
    /// What each node says to a pod.
    Why {
        name: String,
        #[arg(key, optional, many)]
        fields: Vec<(String, String)>,
    },
}

#[derive(Default)]
struct Cluster {
    cache: Cache,
}

impl goldenscript::Runner for Cluster {
    type Command = Command;

    fn run(
        &mut self,
        command: &Command,
        _context: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        match command {
            Command::Node { name, fields } => {
                self.cache.set_node(&node(name, fields));
                Ok(String::new())
            }
            Command::Pod { name, fields } => {
                let pod = pod(name, fields);
                match schedule(&pod, &self.cache.snapshot()) {
                    Ok(decision) => {
                        self.cache.assign(&pod, &decision.node);
                        Ok(format!("{name} → {}", decision.node))
                    }
                    Err(error) => Ok(format!("{name}: {error}")),
                }
            }
            Command::Delete { name } => {
                self.cache.forget(name);
                Ok(String::new())
            }
            Command::Why { name, fields } => {
                Ok(scheduler::why::explain(pod(name, fields), &self.cache))
            }
        }
    }
}

fn node(name: &str, fields: &[(String, String)]) -> Node {
    let mut labels = BTreeMap::from([("kubernetes.io/hostname".to_owned(), name.to_owned())]);
    let mut allocatable = BTreeMap::from(
        [("cpu", "4"), ("memory", "8Gi"), ("pods", "110")]
            .map(|(k, v)| (k.to_owned(), v.to_owned())),
    );
    let mut taints = Vec::new();
    let mut unschedulable = false;
    for (key, value) in fields {
        match key.as_str() {
            "cpu" | "memory" | "pods" | "ephemeral-storage" | "example.com/gpu" => {
                allocatable.insert(key.clone(), value.clone());
            }
            "taint" => taints.push(taint(value)),
            "unschedulable" => unschedulable = value == "true",
            _ => {
                labels.insert(key.clone(), value.clone());
            }
        }
    }
    serde_json::from_value(json!({
        "metadata": { "name": name, "labels": labels },
        "spec": { "taints": taints, "unschedulable": unschedulable },
        "status": { "allocatable": allocatable },
    }))
    .expect("a node")
}

/// `key=value:Effect`
fn taint(text: &str) -> Value {
    let (pair, effect) = text.split_once(':').expect("an effect");
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    json!({ "key": key, "value": value, "effect": effect })
}

/// `key=value`
fn selector(text: &str) -> Value {
    let (key, value) = text.split_once('=').expect("key=value");
    json!({ "matchLabels": { key: value } })
}

/// `topologyKey/key=value`
fn term(text: &str) -> Value {
    let (key, labels) = text.split_once('/').expect("topologyKey/key=value");
    json!({ "topologyKey": topology_key(key), "labelSelector": selector(labels) })
}

fn topology_key(short: &str) -> String {
    if short == "host" {
        "kubernetes.io/hostname".to_owned()
    } else {
        short.to_owned()
    }
}

fn pod(name: &str, fields: &[(String, String)]) -> Pod {
    let mut metadata = json!({ "name": name, "namespace": "default", "uid": name, "labels": {} });
    let mut spec = json!({ "containers": [{ "name": "c" }], "affinity": {} });
    let push = |array: &mut Value, value: Value| {
        if array.is_null() {
            *array = json!([]);
        }
        array.as_array_mut().expect("an array").push(value);
    };
    for (key, value) in fields {
        let affinity = &mut spec["affinity"];
        match key.as_str() {
            "cpu" | "memory" | "ephemeral-storage" | "example.com/gpu" => {
                spec["containers"][0]["resources"]["requests"][key] = json!(value);
            }
            "init-cpu" => {
                spec["initContainers"] = json!([{
                    "name": "i", "resources": { "requests": { "cpu": value } }
                }])
            }
            "port" => {
                let port: i32 = value.parse().expect("a number");
                spec["containers"][0]["ports"] =
                    json!([{ "containerPort": port, "hostPort": port, "protocol": "TCP" }]);
            }
            "selector" => spec["nodeSelector"] = selector(value)["matchLabels"].clone(),
            "prefers" => push(
                &mut affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"],
                {
                    let (key, wanted) = value.split_once('=').expect("key=value");
                    json!({ "weight": 1, "preference": { "matchExpressions":
                        [{ "key": key, "operator": "In", "values": [wanted] }] } })
                },
            ),
            "near" => push(
                &mut affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"],
                term(value),
            ),
            "away" => push(
                &mut affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"],
                term(value),
            ),
            "rather-near" => push(
                &mut affinity["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"],
                json!({ "weight": 100, "podAffinityTerm": term(value) }),
            ),
            "spread" | "rather-spread" => {
                let mut constraint = term(value);
                constraint["maxSkew"] = json!(1);
                let strict = key == "spread";
                constraint["whenUnsatisfiable"] = json!(if strict {
                    "DoNotSchedule"
                } else {
                    "ScheduleAnyway"
                });
                push(&mut spec["topologySpreadConstraints"], constraint);
            }
            "tolerates" => {
                let mut toleration = taint(value);
                toleration["operator"] = json!(if toleration["value"] == "" {
                    "Exists"
                } else {
                    "Equal"
                });
                push(&mut spec["tolerations"], toleration);
            }
            "priority" => spec["priority"] = json!(value.parse::<i32>().expect("a number")),
            "preemption" => spec["preemptionPolicy"] = json!(value),
            "owner" => {
                metadata["ownerReferences"] = json!([{ "apiVersion": "apps/v1",
                    "kind": "ReplicaSet", "name": value, "uid": value, "controller": true }]);
            }
            _ => metadata["labels"][key] = json!(value),
        }
    }
    serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).expect("a pod")
}
