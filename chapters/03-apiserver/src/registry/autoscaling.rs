//! HorizontalPodAutoscalers have two versions; they are kept in the second. The first has one
//! metric, the use of the processor: what else there is, it carries in annotations.
//!
//! Upstream: `pkg/apis/autoscaling/v1/conversion.go`.

use serde_json::{Map, Value, json};

use super::meta;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const ANNOTATIONS: [&str; 4] = [METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR];

/// Whether a metric, wanted (then `field` is `target`) or seen (`current`), is the one of v1.
fn is_use_of_processor(metric: &Value, field: &str) -> bool {
    metric["type"] == "Resource"
        && metric["resource"]["name"] == "cpu"
        && metric["resource"][field]["averageUtilization"].is_i64()
}

/// A stored object, as v1 shows it.
pub(super) fn to_v1(mut object: Value) -> Value {
    object["apiVersion"] = "autoscaling/v1".into();
    for name in ANNOTATIONS {
        note(&mut object, name, None);
    }
    let metrics = take_list(&mut object["spec"], "metrics");
    let wanted = metrics.iter().rfind(|m| is_use_of_processor(m, "target"));
    if let Some(metric) = wanted {
        object["spec"]["targetCPUUtilizationPercentage"] =
            metric["resource"]["target"]["averageUtilization"].clone();
    }
    let others: Vec<Value> = metrics
        .iter()
        .filter(|metric| !is_use_of_processor(metric, "target"))
        .map(|metric| older(metric, "target"))
        .collect();
    if !others.is_empty() {
        note(&mut object, METRICS, Some(others.into()));
    }
    if let Some(behavior) = take(&mut object["spec"], "behavior") {
        note(
            &mut object,
            BEHAVIOR,
            Some(recased(&behavior, char::to_ascii_uppercase)),
        );
    }
    let status = &mut object["status"];
    let (seen, conditions) = (
        take_list(status, "currentMetrics"),
        take_list(status, "conditions"),
    );
    for field in ["currentReplicas", "desiredReplicas"] {
        if status[field].is_null() {
            status[field] = 0.into();
        }
    }
    let used = seen
        .iter()
        .rfind(|metric| is_use_of_processor(metric, "current"));
    if let Some(metric) = used {
        status["currentCPUUtilizationPercentage"] =
            metric["resource"]["current"]["averageUtilization"].clone();
    }
    // All of them: the raw value is in no other place.
    let seen: Vec<Value> = seen.iter().map(|metric| older(metric, "current")).collect();
    for (name, list) in [(CURRENT_METRICS, seen), (CONDITIONS, conditions)] {
        if !list.is_empty() {
            note(&mut object, name, Some(list.into()));
        }
    }
    object
}

/// An object of v1, as it is stored.
pub(crate) fn from_v1(mut object: Value) -> Value {
    object["apiVersion"] = "autoscaling/v2".into();
    let noted = |name: &str| {
        let text = object["metadata"]["annotations"][name].as_str()?;
        serde_json::from_str::<Value>(text).ok()
    };
    let list = |name: &str, field: &str| -> Option<Vec<Value>> {
        let list = noted(name)?;
        Some(
            list.as_array()?
                .iter()
                .map(|metric| newer(metric, field))
                .collect(),
        )
    };
    let (mut metrics, seen) = (
        list(METRICS, "target").unwrap_or_default(),
        list(CURRENT_METRICS, "current"),
    );
    let (conditions, behavior) = (noted(CONDITIONS), noted(BEHAVIOR));
    let of_processor = |field: &str, percent: Value| {
        let mut amount = json!({"averageUtilization": percent});
        if field == "target" {
            amount["type"] = "Utilization".into();
        }
        json!({"type": "Resource", "resource": {"name": "cpu", field: amount}})
    };
    let spec = &mut object["spec"];
    let percent = take(spec, "targetCPUUtilizationPercentage");
    metrics.extend(percent.map(|percent| of_processor("target", percent)));
    if !metrics.is_empty() {
        spec["metrics"] = metrics.into();
    }
    if let Some(behavior) = behavior.filter(Value::is_object) {
        spec["behavior"] = recased(&behavior, char::to_ascii_lowercase);
    }
    let percent = take(&mut object["status"], "currentCPUUtilizationPercentage");
    let seen = seen.or_else(|| Some(vec![of_processor("current", percent?)]));
    if let Some(seen) = seen {
        object["status"]["currentMetrics"] = seen.into();
    }
    if let Some(conditions) = conditions.filter(Value::is_array) {
        object["status"]["conditions"] = conditions;
    }
    for name in ANNOTATIONS {
        note(&mut object, name, None);
    }
    object
}

fn take(owner: &mut Value, field: &str) -> Option<Value> {
    owner
        .as_object_mut()?
        .remove(field)
        .filter(|value| !value.is_null())
}

fn take_list(owner: &mut Value, field: &str) -> Vec<Value> {
    match take(owner, field) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

/// Sets an annotation to JSON, or takes it away, and the last one's map with it.
fn note(object: &mut Value, name: &str, value: Option<Value>) {
    let metadata = meta::metadata(object);
    match value {
        Some(value) => {
            let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
            annotations[name] = value.to_string().into();
        }
        None => {
            let annotations = metadata
                .get_mut("annotations")
                .and_then(Value::as_object_mut);
            let is_empty = annotations.is_some_and(|annotations| {
                annotations.remove(name);
                annotations.is_empty()
            });
            if is_empty {
                metadata.remove("annotations");
            }
        }
    }
}

/// The same with the first letters of all keys changed: upstream writes a behavior as Go names
/// its fields.
fn recased(value: &Value, case: fn(&char) -> char) -> Value {
    match value {
        Value::Object(map) => {
            let recased = map.iter().filter(|(_, value)| !value.is_null());
            let recased = recased.map(|(key, value)| {
                let mut letters = key.chars();
                let first = letters.next().map(|first| case(&first));
                let key: String = first.into_iter().chain(letters).collect();
                (key, self::recased(value, case))
            });
            Value::Object(recased.collect())
        }
        Value::Array(list) => list.iter().map(|value| recased(value, case)).collect(),
        other => other.clone(),
    }
}

/// Where the sources of metrics are in a metric.
const SOURCES: [&str; 5] = [
    "containerResource",
    "external",
    "object",
    "pods",
    "resource",
];

/// What v1 calls an amount of a metric: `targetAverageValue`. Of an object the average alone has
/// no prefix.
fn old_name(source: &str, field: &str, amount: &str) -> String {
    if source == "object" && amount == "averageValue" {
        return amount.to_owned();
    }
    let (first, rest) = amount.split_at(1);
    format!("{field}{}{rest}", first.to_uppercase())
}

const AMOUNTS: [&str; 3] = ["averageUtilization", "averageValue", "value"];

/// A metric as v1 writes it in an annotation: amounts and names lie beside one another.
fn older(metric: &Value, field: &str) -> Value {
    let mut old = json!({"type": metric["type"]});
    for source in SOURCES {
        let new = &metric[source];
        if !new.is_object() {
            continue;
        }
        let mut flat = Map::new();
        for amount in AMOUNTS {
            if let Some(value) = new[field].get(amount) {
                flat.insert(old_name(source, field, amount), value.clone());
            }
        }
        if source == "object" {
            flat.insert("target".into(), new["describedObject"].clone());
            // It is no pointer in v1: there also where only the average counts.
            flat.entry(old_name(source, field, "value"))
                .or_insert_with(|| "0".into());
        }
        let selector = if source == "external" {
            "metricSelector"
        } else {
            "selector"
        };
        for (to, value) in [
            ("name", &new["name"]),
            ("container", &new["container"]),
            ("metricName", &new["metric"]["name"]),
            (selector, &new["metric"]["selector"]),
        ] {
            if !value.is_null() {
                flat.insert(to.into(), value.clone());
            }
        }
        old[source] = flat.into();
    }
    old
}

/// A metric of an annotation of v1, as v2 has it.
fn newer(metric: &Value, field: &str) -> Value {
    let mut new = json!({"type": metric["type"]});
    for source in SOURCES {
        let old = &metric[source];
        if !old.is_object() {
            continue;
        }
        let mut amounts = Map::new();
        for amount in AMOUNTS {
            if let Some(value) = old.get(old_name(source, field, amount)) {
                amounts.insert(amount.to_owned(), value.clone());
            }
        }
        if source == "object" && amounts.contains_key("averageValue") {
            amounts.remove("value");
        }
        if field == "target" {
            let kind = match AMOUNTS.iter().find(|amount| amounts.contains_key(**amount)) {
                Some(&"averageUtilization") => "Utilization",
                Some(&"averageValue") => "AverageValue",
                _ => "Value",
            };
            amounts.insert("type".into(), kind.into());
        }
        let mut of = json!({ field: amounts });
        for name in ["name", "container"] {
            if !old[name].is_null() {
                of[name] = old[name].clone();
            }
        }
        if source == "object" {
            of["describedObject"] = old["target"].clone();
        }
        if !old["metricName"].is_null() {
            of["metric"] = json!({"name": old["metricName"]});
            for selector in ["selector", "metricSelector"] {
                if !old[selector].is_null() {
                    of["metric"]["selector"] = old[selector].clone();
                }
            }
        }
        new[source] = of;
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let target = json!({"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"});
        let stored = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "annotations": {"a": "b"}},
            "spec": {
                "scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3,
                "metrics": [
                    {"type": "Pods", "pods": {"metric": {"name": "requests"},
                        "target": {"type": "AverageValue", "averageValue": "10"}}},
                    {"type": "Object", "object": {"describedObject": target,
                        "metric": {"name": "depth", "selector": {"matchLabels": {"x": "y"}}},
                        "target": {"type": "Value", "value": "5"}}},
                    {"type": "External", "external": {"metric": {"name": "queue",
                        "selector": {"matchLabels": {"x": "y"}}},
                        "target": {"type": "Value", "value": "5"}}},
                    {"type": "Resource", "resource": {"name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": 60}}},
                ],
                "behavior": {"scaleDown": {"selectPolicy": "Max",
                    "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]}},
            },
            "status": {"currentReplicas": 2, "desiredReplicas": 2,
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "current": {"averageUtilization": 55, "averageValue": "110m"}}}],
                "conditions": [{"type": "AbleToScale", "status": "True"}]},
        });
        let shown = to_v1(stored.clone());
        assert_eq!(
            shown["spec"],
            json!({"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3,
                "targetCPUUtilizationPercentage": 60})
        );
        assert_eq!(
            shown["status"],
            json!({"currentReplicas": 2, "desiredReplicas": 2,
                "currentCPUUtilizationPercentage": 55})
        );
        let annotation = |name: &str| -> Value {
            let text = shown["metadata"]["annotations"][name]
                .as_str()
                .expect("is there");
            serde_json::from_str(text).expect("is JSON")
        };
        assert_eq!(
            annotation(METRICS)[0],
            json!({"type": "Pods", "pods": {"metricName": "requests", "targetAverageValue": "10"}})
        );
        assert_eq!(
            annotation(CURRENT_METRICS)[0],
            json!({"type": "Resource", "resource": {"name": "cpu",
                "currentAverageUtilization": 55, "currentAverageValue": "110m"}})
        );
        assert_eq!(
            annotation(BEHAVIOR)["ScaleDown"]["Policies"][0]["PeriodSeconds"],
            60
        );
        assert_eq!(from_v1(shown), stored);
    }

    #[test]
    fn an_object_of_the_first_version_alone() {
        let plain = json!({"apiVersion": "autoscaling/v1", "metadata": {"name": "x"},
            "spec": {"maxReplicas": 3}, "status": {"currentReplicas": 0, "desiredReplicas": 0}});
        let stored = from_v1(plain.clone());
        assert_eq!(stored["spec"], json!({"maxReplicas": 3}));
        assert_eq!(to_v1(stored), plain);
    }
}
