//! Columns and cells of HorizontalPodAutoscalers.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{list, text};
use super::columns::{AGE, Column, NAME, text as column};
use super::duration::since;
use crate::registry::autoscaling::from_v1;
use crate::resources::Resource;

/// How many metrics are told.
const METRICS_MAX: usize = 2;

const AUTOSCALER: &[Column] = &[
    NAME,
    column("Reference", "What it scales."),
    column("Targets", "Each metric: as it is, and as it should be."),
    column("MinPods", "How many pods there are at least."),
    column("MaxPods", "How many there are at most."),
    column("Replicas", "How many there are."),
    AGE,
];

/// The columns of the kind; none for others.
pub(super) fn columns(resource: &Resource) -> Option<&'static [Column]> {
    (resource.kind == "HorizontalPodAutoscaler").then_some(AUTOSCALER)
}

/// Its cells, in the order of its columns; none for others.
pub(super) fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
    if resource.kind != "HorizontalPodAutoscaler" {
        return None;
    }
    // The first version's metrics lie elsewhere.
    let newer;
    let object = if object["apiVersion"] == "autoscaling/v1" {
        newer = from_v1(object.clone());
        &newer
    } else {
        object
    };
    let (meta, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let target = &spec["scaleTargetRef"];
    let number = |value: &Value| Value::from(value.as_i64().unwrap_or_default());
    Some(vec![
        meta["name"].clone(),
        format!("{}/{}", text(&target["kind"]), text(&target["name"])).into(),
        metrics(list(&spec["metrics"]), list(&status["currentMetrics"])).into(),
        match spec["minReplicas"].as_i64() {
            Some(least) => least.to_string().into(),
            None => "<unset>".into(),
        },
        number(&spec["maxReplicas"]),
        number(&status["currentReplicas"]),
        since(&meta["creationTimestamp"], now).into(),
    ])
}

fn metrics(wanted: &[Value], seen: &[Value]) -> String {
    if wanted.is_empty() {
        return "<none>".into();
    }
    let all: Vec<String> = wanted
        .iter()
        .enumerate()
        .map(|(index, metric)| self::metric(metric, seen.get(index).unwrap_or(&Value::Null)))
        .collect();
    let told = all[..all.len().min(METRICS_MAX)].join(", ");
    match all.len().saturating_sub(METRICS_MAX) {
        0 => told,
        more => format!("{told} + {more} more..."),
    }
}

/// `cpu: 40%/80%`, `5/10 (avg)`
fn metric(wanted: &Value, seen: &Value) -> String {
    let source = match text(&wanted["type"]) {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".into(),
    };
    let (target, current) = (&wanted[source]["target"], &seen[source]["current"]);
    let shown = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(percent) => Some(format!("{percent}%")),
        _ => None,
    };
    let has_average = target["averageValue"].is_string();
    let is_resource = matches!(source, "resource" | "containerResource");
    let amount = match source {
        "pods" => "averageValue",
        _ if has_average => "averageValue",
        _ if is_resource => "averageUtilization",
        _ => "value",
    };
    let current = shown(&current[amount]).unwrap_or_else(|| "<unknown>".into());
    let target = shown(&target[amount]).unwrap_or_else(|| "<auto>".into());
    if is_resource {
        format!("{}: {current}/{target}", text(&wanted[source]["name"]))
    } else if has_average && source != "pods" {
        format!("{current}/{target} (avg)")
    } else {
        format!("{current}/{target}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn targets() {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu",
            "target": {"averageUtilization": 80}}});
        let seen = json!({"type": "Resource", "resource": {"name": "cpu",
            "current": {"averageUtilization": 40}}});
        let queue = json!({"type": "External", "external": {"target": {"averageValue": "5"}}});
        let depth = json!({"type": "Object", "object": {"target": {"value": "9"}}});
        assert_eq!(metrics(&[], &[]), "<none>");
        assert_eq!(
            metrics(&[cpu, queue, depth.clone()], &[seen]),
            "cpu: 40%/80%, <unknown>/5 (avg) + 1 more..."
        );
        assert_eq!(metrics(&[depth], &[]), "<unknown>/9");
    }
}
