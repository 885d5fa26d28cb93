//! What an object uses of a quota.
//!
//! Everything is counted as `count/{plural}.{group}`. Pods, Services and claims use more than
//! their number, and some older names of counts are still good.
//!
//! Upstream: `pkg/quota/v1/evaluator/core/{pods,services,persistent_volume_claims}.go`.

use jiff::Timestamp;
use serde_json::Value;

use crate::Kind;
use crate::quantity::{Quantity, Totals, add_amounts, is_binary, of_pod};

/// What a pod asks for that a quota may limit under its own name.
const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Kinds whose plain plural counts them, too.
const ALIASED: [&str; 7] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
];
const CLASS: &str = ".storageclass.storage.k8s.io/";

/// What an object is counted as.
fn count_name(kind: Kind<'_>) -> String {
    match kind.group {
        "" => format!("count/{}", kind.plural),
        group => format!("count/{}.{group}", kind.plural),
    }
}

/// The kind of objects that a name of a quota's is about; none if it is about no objects. Whether
/// such objects are served is another question.
pub fn kind_of(name: &str) -> Option<Kind<'_>> {
    if let Some(counted) = name.strip_prefix("count/") {
        let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
        return Some(Kind { group, plural });
    }
    let of_three = ["pods", "services", "persistentvolumeclaims"].map(Kind::core);
    let aliased = ALIASED.contains(&name).then_some(Kind::core(name));
    aliased.or_else(|| of_three.into_iter().find(|kind| is_used_by(*kind, name)))
}

/// Whether a name of a quota's is one that objects of this kind use.
pub fn is_used_by(kind: Kind<'_>, name: &str) -> bool {
    if name == count_name(kind) {
        return true;
    }
    let plural = kind.core_plural();
    if ALIASED.contains(&plural) && name == plural {
        return true;
    }
    match plural {
        "pods" => {
            let bare = name
                .strip_prefix("requests.")
                .or(name.strip_prefix("limits."));
            let bare = bare.unwrap_or(name);
            COMPUTE.contains(&bare)
                || name.starts_with("hugepages-")
                || name.starts_with("requests.hugepages-")
                || name.strip_prefix("requests.").is_some_and(is_foreign)
        }
        "services" => matches!(name, "services.nodeports" | "services.loadbalancers"),
        "persistentvolumeclaims" => name == "requests.storage" || name.contains(CLASS),
        _ => false,
    }
}

/// A resource of a node that Kubernetes does not know: `example.com/gpu`.
fn is_foreign(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/")
}

/// What an object uses, by the names that quotas have for it.
pub fn usage(kind: Kind<'_>, object: &Value, now: Timestamp) -> Totals {
    let mut usage = Totals::new();
    let one = Quantity::parse("1").unwrap_or_default();
    usage.insert(count_name(kind), (one, false));
    let plural = kind.core_plural();
    if ALIASED.contains(&plural) && plural != "pods" {
        usage.insert(plural.to_owned(), (one, false));
    }
    match plural {
        "pods" if is_charged(object, now) => of_running_pod(&mut usage, object),
        "services" => of_service(&mut usage, &object["spec"]),
        "persistentvolumeclaims" => of_claim(&mut usage, object, one),
        _ => {}
    }
    usage
}

/// Whether a pod still has what it asked for: it has not ended, nor is its time to end over.
fn is_charged(pod: &Value, now: Timestamp) -> bool {
    if matches!(
        pod["status"]["phase"].as_str(),
        Some("Failed" | "Succeeded")
    ) {
        return false;
    }
    let ends = pod["metadata"]["deletionTimestamp"].as_str();
    let ends = ends.and_then(|text| text.parse::<Timestamp>().ok());
    ends.is_none_or(|ends| now <= ends)
}

fn of_running_pod(usage: &mut Totals, pod: &Value) {
    let [requests, limits] = ["requests", "limits"].map(|field| whole_pod(&pod["spec"], field));
    usage.extend(amounts_of_pod(&requests, &limits));
}

/// What a pod has of everything: what it says for itself, or else its containers', and its
/// overhead.
fn whole_pod(spec: &Value, field: &str) -> Totals {
    let mut total = of_pod(spec, field);
    for (name, amount) in spec["resources"][field].as_object().into_iter().flatten() {
        let text = amount.as_str().unwrap_or_default();
        if let Some(quantity) = Quantity::parse(text) {
            total.insert(name.clone(), (quantity, is_binary(text)));
        }
    }
    // A limit that is not there is not raised.
    let overhead = spec["overhead"].as_object().into_iter().flatten();
    let overhead = overhead.filter(|(name, _)| field == "requests" || total.contains_key(*name));
    let overhead: Value = overhead
        .map(|(name, amount)| (name.clone(), amount.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    add_amounts(&mut total, &overhead);
    total
}

/// Requests and limits by the names that quotas have for them.
pub fn amounts_of_pod(requests: &Totals, limits: &Totals) -> Totals {
    let one = Quantity::parse("1").unwrap_or_default();
    let mut usage = Totals::from([("pods".to_owned(), (one, false))]);
    for (name, amount) in requests {
        let is_compute = COMPUTE.contains(&name.as_str()) || name.starts_with("hugepages-");
        if is_compute {
            usage.insert(name.clone(), *amount);
        }
        if is_compute || is_foreign(name) {
            usage.insert(format!("requests.{name}"), *amount);
        }
    }
    for name in COMPUTE {
        if let Some(amount) = limits.get(name) {
            usage.insert(format!("limits.{name}"), *amount);
        }
    }
    usage
}

fn of_service(usage: &mut Totals, spec: &Value) {
    let ports = || spec["ports"].as_array().into_iter().flatten();
    let number = |count: usize| {
        (
            Quantity::parse(&count.to_string()).unwrap_or_default(),
            false,
        )
    };
    let (node_ports, load_balancers) = match spec["type"].as_str() {
        Some("NodePort") => (ports().count(), 0),
        Some("LoadBalancer") if spec["allocateLoadBalancerNodePorts"] == false => {
            let given = ports().filter(|port| port["nodePort"].as_u64().unwrap_or(0) != 0);
            (given.count(), 1)
        }
        Some("LoadBalancer") => (ports().count(), 1),
        _ => (0, 0),
    };
    usage.insert("services.nodeports".into(), number(node_ports));
    usage.insert("services.loadbalancers".into(), number(load_balancers));
}

fn of_claim(usage: &mut Totals, claim: &Value, one: Quantity) {
    let class = claim["spec"]["storageClassName"]
        .as_str()
        .unwrap_or_default();
    if !class.is_empty() {
        usage.insert(
            format!("{class}{CLASS}persistentvolumeclaims"),
            (one, false),
        );
    }
    let amount = |pointer: &str| {
        let text = claim.pointer(pointer)?.as_str()?;
        Some((Quantity::parse(text)?, is_binary(text)))
    };
    let asked = amount("/spec/resources/requests/storage");
    // What a claim was given before it was asked for less is still its own.
    let given = amount("/status/allocatedResources/storage");
    if let Some(size) = asked.max(given) {
        usage.insert("requests.storage".into(), size);
        if !class.is_empty() {
            usage.insert(format!("{class}{CLASS}requests.storage"), size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_they_are_about() {
        let of = |group, plural| Some(Kind { group, plural });
        for (name, kind) in [
            ("pods", of("", "pods")),
            ("requests.cpu", of("", "pods")),
            ("limits.ephemeral-storage", of("", "pods")),
            ("requests.example.com/gpu", of("", "pods")),
            ("services.nodeports", of("", "services")),
            ("requests.storage", of("", "persistentvolumeclaims")),
            (
                "fast.storageclass.storage.k8s.io/requests.storage",
                of("", "persistentvolumeclaims"),
            ),
            ("secrets", of("", "secrets")),
            ("count/secrets", of("", "secrets")),
            ("count/jobs.batch", of("batch", "jobs")),
            (
                "count/pages.web.example.com",
                of("web.example.com", "pages"),
            ),
            ("deployments", None),
        ] {
            assert_eq!(kind_of(name), kind, "{name}");
            assert!(kind.is_none_or(|kind| is_used_by(kind, name)), "{name}");
        }
    }
}
