//! Decisions, as scripts: a cluster is set up, pods come, each goes somewhere or is told why not.

use std::collections::BTreeMap;
use std::error::Error;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use scheduler::cache::Cache;
use scheduler::schedule;
use serde_json::{Value, json};
use volume_binding::volume_spec;

#[test]
fn scripts() -> std::io::Result<()> {
    golden::run_folder("tests/scripts", Cluster::default)
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
    /// A volume that nobody has: `volume v1 capacity=1Gi class=local node=n1`.
    Volume {
        name: String,
        #[arg(key, optional, many)]
        fields: Vec<(String, String)>,
    },
    /// A claim: `claim c1 request=1Gi class=local`, `claim c2 has=v2 modes=ReadWriteOncePod`.
    Claim {
        name: String,
        #[arg(key, optional, many)]
        fields: Vec<(String, String)>,
    },
    /// A class whose claims wait for their first pod.
    Class { name: String },
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
                        self.cache.volumes.assume(&decision.volumes);
                        let mut said = format!("{name} → {}", decision.node);
                        for volume in &decision.volumes {
                            let claim = volume_spec(volume).claim_ref.as_ref();
                            let claim = claim.and_then(|claim| claim.name.as_deref());
                            let claim = claim.unwrap_or_default();
                            said += &format!(", {claim} gets {}", volume.name_any());
                        }
                        Ok(said)
                    }
                    Err(error) => Ok(format!("{name}: {error}")),
                }
            }
            Command::Delete { name } => {
                self.cache.forget(name);
                Ok(String::new())
            }
            Command::Volume { name, fields } => {
                self.cache.volumes.set_volume(volume(name, fields));
                Ok(String::new())
            }
            Command::Claim { name, fields } => {
                self.cache.volumes.set_claim(claim(name, fields));
                Ok(String::new())
            }
            Command::Class { name } => {
                let class = json!({"metadata": {"name": name}, "provisioner": "none",
                    "volumeBindingMode": "WaitForFirstConsumer"});
                let class = serde_json::from_value(class).expect("a class");
                self.cache.volumes.set_class(class);
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
            "claim" => push(
                &mut spec["volumes"],
                json!({"name": value, "persistentVolumeClaim": {"claimName": value}}),
            ),
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

fn volume(name: &str, fields: &[(String, String)]) -> PersistentVolume {
    let mut spec = json!({ "accessModes": ["ReadWriteOnce"] });
    for (key, value) in fields {
        match key.as_str() {
            "capacity" => spec["capacity"] = json!({ "storage": value }),
            "class" => spec["storageClassName"] = json!(value),
            "node" => {
                let host = json!({ "key": "kubernetes.io/hostname", "operator": "In",
                    "values": [value] });
                spec["nodeAffinity"]["required"]["nodeSelectorTerms"] =
                    json!([{ "matchExpressions": [host] }]);
            }
            other => panic!("a volume has no {other}"),
        }
    }
    let status = json!({ "phase": "Available" });
    serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec, "status": status }))
        .expect("a volume")
}

fn claim(name: &str, fields: &[(String, String)]) -> PersistentVolumeClaim {
    let mut metadata = json!({ "name": name, "namespace": "default", "uid": name });
    let mut spec = json!({ "accessModes": ["ReadWriteOnce"] });
    let mut phase = "Pending";
    for (key, value) in fields {
        match key.as_str() {
            "request" => spec["resources"]["requests"]["storage"] = json!(value),
            "class" => spec["storageClassName"] = json!(value),
            "modes" => spec["accessModes"] = json!([value]),
            "has" => {
                spec["volumeName"] = json!(value);
                metadata["annotations"] = json!({ volume_binding::BIND_COMPLETED: "yes" });
                phase = "Bound";
            }
            "lost" => {
                spec["volumeName"] = json!(value);
                phase = "Lost";
            }
            "deleted" => metadata["deletionTimestamp"] = json!(value),
            other => panic!("a claim has no {other}"),
        }
    }
    let status = json!({ "phase": phase });
    serde_json::from_value(json!({ "metadata": metadata, "spec": spec, "status": status }))
        .expect("a claim")
}
