//! Selectors: of volumes by a claim, of nodes by a volume.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorTerm, PersistentVolume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::volume_spec;

/// Labels, by key.
pub type Labels = BTreeMap<String, String>;

/// Whether a label selector means something with these labels.
pub fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector.match_labels.iter().flatten();
    let expressions = selector.match_expressions.iter().flatten();
    equal
        .into_iter()
        .all(|(key, value)| labels.get(key) == Some(value))
        && expressions.into_iter().all(|wanted| {
            let values = wanted.values.as_deref().unwrap_or_default();
            holds(&wanted.operator, labels.get(&wanted.key), values)
        })
}

/// Whether a volume can be reached from a node, by the node's name and labels.
pub fn node_fits(volume: &PersistentVolume, node: &str, labels: &Labels) -> bool {
    let affinity = volume_spec(volume).node_affinity.as_ref();
    let Some(required) = affinity.and_then(|affinity| affinity.required.as_ref()) else {
        return true;
    };
    let mut terms = required.node_selector_terms.iter();
    terms.any(|term| term_fits(term, node, labels))
}

/// A term that asks nothing means no node.
fn term_fits(term: &NodeSelectorTerm, node: &str, labels: &Labels) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = node.to_owned();
    (!expressions.is_empty() || !fields.is_empty())
        && expressions.iter().all(|wanted| {
            let values = wanted.values.as_deref().unwrap_or_default();
            holds(&wanted.operator, labels.get(&wanted.key), values)
        })
        && fields.iter().all(|wanted| {
            let values = wanted.values.as_deref().unwrap_or_default();
            let value = (wanted.key == "metadata.name").then_some(&name);
            holds(&wanted.operator, value, values)
        })
}

fn holds(operator: &str, value: Option<&String>, values: &[String]) -> bool {
    let number = |text: &String| text.parse::<i64>().ok();
    let bound = || number(values.first()?);
    match operator {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => value
            .and_then(number)
            .zip(bound())
            .is_some_and(|(value, bound)| value > bound),
        "Lt" => value
            .and_then(number)
            .zip(bound())
            .is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_volume_says_from_which_nodes_it_is_reached() {
        let labels = Labels::from([("zone".to_owned(), "a".to_owned())]);
        let check = |terms: serde_json::Value, expect: bool| {
            let volume = serde_json::from_value(json!({
                "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}},
            }));
            assert_eq!(
                node_fits(&volume.unwrap(), "n1", &labels),
                expect,
                "{terms}"
            );
        };
        let zone = |value| json!({"key": "zone", "operator": "In", "values": [value]});
        check(json!([{"matchExpressions": [zone("a")]}]), true);
        check(json!([{"matchExpressions": [zone("b")]}]), false);
        check(
            json!([{"matchExpressions": [zone("b")]}, {"matchExpressions": [zone("a")]}]),
            true,
        );
        check(json!([{}]), false);
        let named = |name| json!({"key": "metadata.name", "operator": "In", "values": [name]});
        check(json!([{"matchFields": [named("n1")]}]), true);
        check(json!([{"matchFields": [named("n2")]}]), false);
        assert!(node_fits(&PersistentVolume::default(), "n1", &labels));
    }
}
