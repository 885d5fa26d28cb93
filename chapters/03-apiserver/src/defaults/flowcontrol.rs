//! Levels of priority, and who has which.

use serde_json::Value;

use super::{child_value, existing, or_set_value};

/// A FlowSchema.
pub(super) fn flow_schema(object: &mut Value) {
    or_set_number(child_value(object, "spec"), "matchingPrecedence", 1000);
}

/// A PriorityLevelConfiguration: a share of 30, none of it lent, 64 queues of 50.
pub(super) fn priority_level(object: &mut Value) {
    let spec = child_value(object, "spec");
    for (level, shares) in [("exempt", 0), ("limited", 30)] {
        if let Some(level) = existing(spec, level) {
            or_set_value(level, "nominalConcurrencyShares", || shares.into());
            or_set_value(level, "lendablePercent", || 0.into());
        }
    }
    let limited = existing(spec, "limited");
    let response = limited.and_then(|limited| existing(limited, "limitResponse"));
    if let Some(queuing) = response.and_then(|response| existing(response, "queuing")) {
        or_set_number(queuing, "handSize", 8);
        or_set_number(queuing, "queues", 64);
        or_set_number(queuing, "queueLengthLimit", 50);
    }
}

/// Sets a number that is absent, or zero.
fn or_set_number(object: &mut Value, field: &str, number: i64) {
    if object[field].as_i64().is_none_or(|number| number == 0) {
        object[field] = number.into();
    }
}
