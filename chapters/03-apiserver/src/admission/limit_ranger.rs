//! LimitRanger: what containers are given and asked for that say nothing of it, and whether they,
//! pods and claims stay within the namespace's bounds.
//!
//! Upstream: `plugin/pkg/admission/limitranger/admission.go`. The first half changes pods, and so
//! comes before validation; the second checks what is valid.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Lookup, Operation, Request};
use crate::defaults::pods::qos_class;
use crate::status::ApiError;
use crate::validation::quantity::Quantity;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Amounts by the names of resources, as they are written.
type Amounts = BTreeMap<String, (Quantity, String)>;

fn is_about_pods(request: &Request) -> bool {
    let part = match request.operation {
        Operation::Create => "",
        Operation::Update => "resize",
        Operation::Delete | Operation::Connect => return false,
    };
    let resource = (request.resource.group, request.resource.plural);
    resource == ("", "pods") && request.subresource == part
}

fn is_about_claims(request: &Request) -> bool {
    let resource = (request.resource.group, request.resource.plural);
    request.operation != Operation::Delete
        && request.subresource.is_empty()
        && resource == ("", "persistentvolumeclaims")
}

/// Fills in what the containers of a pod leave out, and says so in an annotation.
pub(super) fn fill_in(request: &mut Request, lookup: &dyn Lookup) {
    if !is_about_pods(request) {
        return;
    }
    let ranges = lookup.list("limitranges", request.namespace);
    let Some(pod) = request.object.as_deref_mut() else {
        return;
    };
    for range in ranges {
        fill_in_from(&range, pod);
    }
}

fn fill_in_from(range: &Value, pod: &mut Value) {
    let mut defaults = [("limits", Map::new()), ("requests", Map::new())];
    for limit in limits(range).filter(|limit| limit["type"] == "Container") {
        for ((_, amounts), field) in defaults.iter_mut().zip(["default", "defaultRequest"]) {
            amounts.extend(limit[field].as_object().cloned().unwrap_or_default());
        }
    }
    let mut told = Vec::new();
    for (list, what) in [
        ("containers", "container"),
        ("initContainers", "init container"),
    ] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default().to_owned();
            let set = defaults
                .each_ref()
                .map(|(field, amounts)| add_missing(container, field, amounts));
            let [of_limits, of_requests] = set;
            for (names, kind) in [(of_requests, "request"), (of_limits, "limit")] {
                if !names.is_empty() {
                    told.push(format!("{} {kind} for {what} {name}", names.join(", ")));
                }
            }
        }
    }
    if !told.is_empty() {
        if pod["status"].is_object() {
            pod["status"]["qosClass"] = qos_class(&pod["spec"]).into();
        }
        if !pod["metadata"]["annotations"].is_object() {
            pod["metadata"]["annotations"] = json!({});
        }
        let told = format!("LimitRanger plugin set: {}", told.join("; "));
        pod["metadata"]["annotations"][ANNOTATION] = told.into();
    }
}

/// Adds what a container does not say; answers with the names of that.
fn add_missing(container: &mut Value, field: &str, amounts: &Map<String, Value>) -> Vec<String> {
    let mut added = Vec::new();
    for (name, amount) in amounts {
        if container["resources"][field].get(name).is_none() {
            container["resources"][field][name] = amount.clone();
            added.push(name.clone());
        }
    }
    added
}

/// Checks a pod or a claim, which nobody changes any more, against every LimitRange of its
/// namespace.
///
/// # Errors
/// 403 with all that the first of them has against it.
pub fn check(request: &Request, object: &Value, lookup: &dyn Lookup) -> Result<(), ApiError> {
    let of_pods = is_about_pods(request);
    if !of_pods && !is_about_claims(request) {
        return Ok(());
    }
    for range in lookup.list("limitranges", request.namespace) {
        let mut wrongs: Vec<String> = Vec::new();
        for limit in limits(&range) {
            match (limit["type"].as_str().unwrap_or_default(), of_pods) {
                ("Container", true) => {
                    for container in containers(object) {
                        let resources = &container["resources"];
                        let amounts = |field: &str| amounts(&resources[field]);
                        within(&mut wrongs, limit, &amounts("requests"), &amounts("limits"));
                    }
                }
                ("Pod", true) => {
                    let of_pod = |field: &str| of_pod(&object["spec"], field);
                    within(&mut wrongs, limit, &of_pod("requests"), &of_pod("limits"));
                }
                ("PersistentVolumeClaim", false) => {
                    let asked = amounts(&object["spec"]["resources"]["requests"]);
                    claim_within(&mut wrongs, limit, &asked);
                }
                _ => {}
            }
        }
        wrongs.dedup();
        match &wrongs[..] {
            [] => {}
            [only] => return Err(request.forbidden(only)),
            several => return Err(request.forbidden(format!("[{}]", several.join(", ")))),
        }
    }
    Ok(())
}

fn limits(range: &Value) -> impl Iterator<Item = &Value> {
    range["spec"]["limits"].as_array().into_iter().flatten()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let list = |name: &str| pod["spec"][name].as_array().into_iter().flatten();
    list("containers").chain(list("initContainers"))
}

fn amounts(map: &Value) -> Amounts {
    let entries = map.as_object().into_iter().flatten();
    let parsed = entries.filter_map(|(name, value)| {
        let text = value.as_str()?;
        Some((name.clone(), (Quantity::parse(text)?, text.to_owned())))
    });
    parsed.collect()
}

/// What a pod has in all: its containers at a time, unless it says so itself.
/// Upstream: `podRequests`, `podLimits`.
fn of_pod(spec: &Value, field: &str) -> Amounts {
    let total = crate::validation::quantity::of_pod(spec, field);
    let own = amounts(&spec["resources"][field]);
    let mut all: Amounts = total
        .into_iter()
        .map(|(name, (quantity, binary))| (name, (quantity, quantity.show(binary))))
        .collect();
    all.extend(own);
    all
}

/// Whether amounts are within the bounds of a limit.
fn within(wrongs: &mut Vec<String>, limit: &Value, requests: &Amounts, most: &Amounts) {
    let kind = limit["type"].as_str().unwrap_or_default();
    for (name, (least, shown)) in amounts(&limit["min"]) {
        let bound = format!("minimum {name} usage per {kind} is {shown}");
        at_least(wrongs, &bound, least, requests.get(&name), most.get(&name));
    }
    for (name, (bound, shown)) in amounts(&limit["max"]) {
        let (request, limit) = (requests.get(&name), most.get(&name));
        let said = format!("maximum {name} usage per {kind} is {shown}");
        match limit {
            None => wrongs.push(format!("{said}.  No limit is specified")),
            Some((limit, text)) if *limit > bound => {
                wrongs.push(format!("{said}, but limit is {text}"));
            }
            Some(_) => wrongs.extend(
                request
                    .filter(|(request, _)| *request > bound)
                    .map(|(_, text)| format!("{said}, but request is {text}")),
            ),
        }
    }
    for (name, (most_ratio, shown)) in amounts(&limit["maxLimitRequestRatio"]) {
        let said = format!("{name} max limit to request ratio per {kind} is {shown}");
        let some = |amounts: &Amounts| {
            let found = amounts.get(&name).map(|(quantity, _)| *quantity);
            found.filter(|quantity| !quantity.is_zero())
        };
        match (some(requests), some(most)) {
            (None, _) => wrongs.push(format!(
                "{said}, but no request is specified or request is 0"
            )),
            (_, None) => {
                wrongs.push(format!("{said}, but no limit is specified or limit is 0"));
            }
            (Some(request), Some(limit)) => {
                let ratio = limit.as_f64() / request.as_f64();
                if ratio > most_ratio.as_f64() {
                    wrongs.push(format!("{said}, but provided ratio is {ratio:.6}"));
                }
            }
        }
    }
}

fn at_least(
    wrongs: &mut Vec<String>,
    bound: &str,
    least: Quantity,
    request: Option<&(Quantity, String)>,
    limit: Option<&(Quantity, String)>,
) {
    match (request, limit) {
        (None, _) => wrongs.push(format!("{bound}.  No request is specified")),
        (Some((request, text)), _) if *request < least => {
            wrongs.push(format!("{bound}, but request is {text}"));
        }
        (_, Some((limit, text))) if *limit < least => {
            wrongs.push(format!("{bound}, but limit is {text}"));
        }
        _ => {}
    }
}

/// A claim asks for storage, and has no limit of its own.
fn claim_within(wrongs: &mut Vec<String>, limit: &Value, asked: &Amounts) {
    let kind = "PersistentVolumeClaim";
    for (name, (least, shown)) in amounts(&limit["min"]) {
        let bound = format!("minimum {name} usage per {kind} is {shown}");
        at_least(wrongs, &bound, least, asked.get(&name), None);
    }
    for (name, (bound, shown)) in amounts(&limit["max"]) {
        let said = format!("maximum {name} usage per {kind} is {shown}");
        match asked.get(&name) {
            None => wrongs.push(format!("{said}.  No request is specified")),
            Some((request, text)) if *request > bound => {
                wrongs.push(format!("{said}, but request is {text}"));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::tests::{World, create};

    fn world(limits: Value) -> World {
        World::new().with("limitranges", "l", json!({"spec": {"limits": limits}}))
    }

    fn checked(world: &World, kind: &str, object: Value) -> Result<(), String> {
        let resource = crate::resources::by_kind("", "v1", kind).expect("is served");
        let request = Request {
            user: &crate::authn::User::default(),
            operation: Operation::Create,
            resource,
            subresource: "",
            namespace: "ns",
            name: "x",
            object: None,
            old: None,
            dry_run: false,
        };
        check(&request, &object, world).map_err(|error| error.message)
    }

    #[test]
    fn containers_get_what_they_leave_out() {
        let world = world(
            json!([{"type": "Container", "default": {"cpu": "1", "memory": "1Gi"},
            "defaultRequest": {"cpu": "500m"}}]),
        );
        let mut pod = json!({"spec": {"containers": [{"name": "c", "resources": {
            "limits": {"memory": "2Gi"}, "requests": {"memory": "2Gi"}}}],
            "initContainers": [{"name": "i"}]}});
        create(&world, "Pod", &mut pod).expect("is admitted");
        assert_eq!(
            pod["spec"]["containers"][0]["resources"],
            json!({"limits": {"cpu": "1", "memory": "2Gi"},
                "requests": {"cpu": "500m", "memory": "2Gi"}})
        );
        assert_eq!(
            pod["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu request for container c; cpu limit for container c; cpu \
             request for init container i; cpu, memory limit for init container i"
        );
    }

    #[test]
    fn pods_and_claims_stay_within_bounds() {
        let of_containers = world(json!([{"type": "Container", "min": {"cpu": "100m"},
            "max": {"cpu": "1", "memory": "1Gi"}, "maxLimitRequestRatio": {"cpu": "2"}}]));
        let pod = |requests: Value, limits: Value| {
            let resources = json!({"requests": requests, "limits": limits});
            json!({"spec": {"containers": [{"name": "c", "resources": resources},
                {"name": "d", "resources": resources}]}})
        };
        let good = pod(json!({"cpu": "500m"}), json!({"cpu": "1", "memory": "1Gi"}));
        assert_eq!(checked(&of_containers, "Pod", good.clone()), Ok(()));
        let wrong = pod(json!({"cpu": "50m"}), json!({"cpu": "2"}));
        assert_eq!(
            checked(&of_containers, "Pod", wrong).map_err(|m| m.replace("], ", "]")),
            Err(format!(
                "pods \"x\" is forbidden: [{0}, {0}]",
                "minimum cpu usage per Container is 100m, but request is 50m, maximum cpu usage \
                 per Container is 1, but limit is 2, maximum memory usage per Container is 1Gi.  \
                 No limit is specified, cpu max limit to request ratio per Container is 2, but \
                 provided ratio is 40.000000"
            ))
        );
        let of_pods = world(json!([{"type": "Pod", "max": {"cpu": "1"}}]));
        assert_eq!(
            checked(&of_pods, "Pod", good),
            Err("pods \"x\" is forbidden: maximum cpu usage per Pod is 1, but limit is 2".into())
        );
        let of_claims = world(json!([{"type": "PersistentVolumeClaim",
            "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]));
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        assert_eq!(
            checked(&of_claims, "PersistentVolumeClaim", claim("2Gi")),
            Ok(())
        );
        assert_eq!(
            checked(&of_claims, "PersistentVolumeClaim", claim("3Gi")),
            Err(
                "persistentvolumeclaims \"x\" is forbidden: maximum storage usage per \
                 PersistentVolumeClaim is 2Gi, but request is 3Gi"
                    .into()
            )
        );
    }
}
