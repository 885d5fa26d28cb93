//! HorizontalPodAutoscalers, in the version that is stored.
//!
//! Upstream: `pkg/apis/autoscaling/v2/defaults.go`.

use serde_json::{Value, json};

use super::{child_value, existing, or_set_value, present};

/// A HorizontalPodAutoscaler: four fifths of the processor's time that was asked for.
pub(super) fn autoscaler(object: &mut Value) {
    let spec = child_value(object, "spec");
    or_set_value(spec, "minReplicas", || json!(1));
    let metrics = present(spec, "metrics").and_then(Value::as_array);
    if metrics.is_none_or(Vec::is_empty) {
        spec["metrics"] = json!([{"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 80}}}]);
    }
    if let Some(behavior) = existing(spec, "behavior") {
        let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
        let up = child_value(behavior, "scaleUp");
        or_set_value(up, "stabilizationWindowSeconds", || json!(0));
        or_set_value(up, "selectPolicy", || json!("Max"));
        or_set_value(up, "policies", || json!([pods, percent]));
        let down = child_value(behavior, "scaleDown");
        or_set_value(down, "selectPolicy", || json!("Max"));
        or_set_value(down, "policies", || json!([percent]));
    }
}
