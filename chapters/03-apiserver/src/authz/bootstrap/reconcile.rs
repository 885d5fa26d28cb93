//! What a newer version of the server adds to the roles that are there already.
//!
//! Nothing is taken away: whoever has widened a role keeps what they did. Whoever wants a role to
//! stay as they made it says so by an annotation.
//!
//! Upstream: `component-helpers/auth/rbac/reconciliation`.

use serde_json::{Value, json};

use crate::authz::{Rule, rules};

/// The annotation by which a role or binding stays as it is: `"false"`.
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// What is to become of an object that is there.
#[derive(Debug, Clone, PartialEq)]
pub enum Reconciled {
    /// Nothing.
    Kept,
    /// It is to be this.
    Changed(Value),
    /// It is a binding of another role, which cannot change: it has to be made anew.
    Replaced,
}

/// Compares an object of the rbac group with what it is to be at least.
pub fn reconcile(live: &Value, wanted: &Value) -> Reconciled {
    if live["metadata"]["annotations"][AUTO_UPDATE] == "false" {
        return Reconciled::Kept;
    }
    if live["roleRef"] != wanted["roleRef"] {
        return Reconciled::Replaced;
    }
    let mut new = live.clone();
    for field in ["labels", "annotations"] {
        for (key, value) in wanted["metadata"][field].as_object().into_iter().flatten() {
            if live["metadata"][field][key].is_null() {
                new["metadata"][field][key] = value.clone();
            }
        }
    }
    if wanted["aggregationRule"].is_object() {
        let selectors = &wanted["aggregationRule"]["clusterRoleSelectors"];
        add_missing(
            &mut new["aggregationRule"],
            "clusterRoleSelectors",
            selectors,
        );
    } else if wanted["rules"].is_array() {
        let missing = rules::missing(&Rule::list(&live["rules"]), &Rule::list(&wanted["rules"]));
        let missing: Vec<Value> = missing.iter().map(Rule::to_object).collect();
        add_missing(&mut new, "rules", &missing.into());
    }
    if wanted["subjects"].is_array() {
        add_missing(&mut new, "subjects", &wanted["subjects"]);
    }
    if new == *live {
        Reconciled::Kept
    } else {
        Reconciled::Changed(new)
    }
}

/// Adds the entries that a list does not have.
fn add_missing(parent: &mut Value, field: &str, wanted: &Value) {
    let wanted = wanted.as_array().into_iter().flatten();
    let has = |parent: &Value, entry: &Value| {
        let list = parent[field].as_array();
        list.is_some_and(|list| list.contains(entry))
    };
    for entry in wanted {
        if has(parent, entry) {
            continue;
        }
        if !parent[field].is_array() {
            parent[field] = json!([]);
        }
        if let Some(list) = parent[field].as_array_mut() {
            list.push(entry.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(verbs: &[&str]) -> Value {
        json!({"metadata": {"name": "r", "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
            "rules": [{"verbs": verbs, "apiGroups": [""], "resources": ["pods"]}]})
    }

    #[test]
    fn what_is_missing_comes_and_what_is_more_stays() {
        assert_eq!(
            reconcile(&role(&["get", "list"]), &role(&["get"])),
            Reconciled::Kept
        );
        let Reconciled::Changed(new) = reconcile(&role(&["list"]), &role(&["get", "list"])) else {
            panic!("get is missing");
        };
        assert_eq!(new["rules"][0], role(&["list"])["rules"][0]);
        assert_eq!(new["rules"][1]["verbs"], json!(["get"]));

        let mut kept = role(&["list"]);
        kept["metadata"]["annotations"] = json!({AUTO_UPDATE: "false"});
        assert_eq!(reconcile(&kept, &role(&["get"])), Reconciled::Kept);
    }

    #[test]
    fn bindings_get_their_subjects_back() {
        let binding = |role: &str, subjects: Value| {
            json!({"metadata": {"name": "b"},
            "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": subjects})
        };
        let (mine, theirs) = (
            json!({"kind": "User", "name": "a"}),
            json!({"kind": "User", "name": "b"}),
        );
        let live = binding("r", json!([theirs]));
        let wanted = binding("r", json!([mine]));
        let expected = binding("r", json!([theirs, mine]));
        assert_eq!(reconcile(&live, &wanted), Reconciled::Changed(expected));
        assert_eq!(
            reconcile(&live, &binding("s", json!([]))),
            Reconciled::Replaced
        );
    }
}
