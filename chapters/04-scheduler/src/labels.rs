//! Selectors: over labels, as pods and namespaces are selected, and over nodes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels, by key.
pub type Labels = BTreeMap<String, String>;

/// Whether a selector selects. No selector selects nothing; an empty one, everything.
pub fn selects(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    let Some(selector) = selector else {
        return false;
    };
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(k, v)| labels.get(k) == Some(v));
    equal
        && selector.match_expressions.iter().flatten().all(|wanted| {
            let values = wanted.values.as_deref().unwrap_or_default();
            holds(&wanted.operator, labels.get(&wanted.key), values)
        })
}

/// Whether a node, by its name and labels, is one that a term means. A term that asks nothing
/// means no node.
pub fn term_selects(term: &NodeSelectorTerm, node_name: &str, labels: &Labels) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = node_name.to_owned();
    let all = |wanted: &[NodeSelectorRequirement], value_of: &dyn Fn(&str) -> Option<String>| {
        wanted.iter().all(|wanted| {
            let values = wanted.values.as_deref().unwrap_or_default();
            holds(&wanted.operator, value_of(&wanted.key).as_ref(), values)
        })
    };
    (!expressions.is_empty() || !fields.is_empty())
        && all(expressions, &|key| labels.get(key).cloned())
        && all(fields, &|key| {
            (key == "metadata.name").then(|| name.clone())
        })
}

fn holds(operator: &str, value: Option<&String>, values: &[String]) -> bool {
    let numbers = || {
        let number: i64 = value?.parse().ok()?;
        let [bound] = values else { return None };
        Some((number, bound.parse::<i64>().ok()?))
    };
    match operator {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(number, bound)| number > bound),
        "Lt" => numbers().is_some_and(|(number, bound)| number < bound),
        _ => false,
    }
}
