//! Nobody hands out more than they have: the checks on writing roles and bindings.
//!
//! Upstream: `pkg/registry/rbac/{clusterrole,clusterrolebinding,role,rolebinding}/policybased/`.

use serde_json::Value;

use super::{
    Attributes, Authorizer, MASTERS, Rule,
    rules::{missing, quoted},
};
use crate::{
    authn::User,
    resources::Resource,
    status::{ApiError, Subject},
};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Checks the write of an object of the rbac group; anything else passes.
pub(super) fn check(
    authorizer: &Authorizer,
    user: &User,
    resource: &Resource,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if resource.group != GROUP || user.in_group(MASTERS) {
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // What is the cluster's counts for all of it, whatever namespace the writer puts there: rights
    // held in one namespace must not become rights everywhere.
    let namespace = match resource.namespaced {
        true => text(&object["metadata"]["namespace"]),
        false => String::new(),
    };
    let name = text(&object["metadata"]["name"]);
    let unchanged = |keys: &[&str]| old.is_some_and(|old| keys.iter().all(|k| old[k] == object[k]));
    let wanted = match resource.plural {
        "roles" | "clusterroles" => {
            if unchanged(&["rules", "aggregationRule"]) {
                return Ok(());
            }
            let attributes = Attributes {
                group: GROUP,
                namespace: &namespace,
                name: &name,
                ..Attributes::of(user, "escalate", resource.plural)
            };
            if authorizer.authorize(&attributes).is_allowed() {
                return Ok(());
            }
            wanted_by_role(object)
        }
        "rolebindings" | "clusterrolebindings" => {
            if unchanged(&["roleRef", "subjects"]) {
                return Ok(());
            }
            let (kind, role) = (
                text(&object["roleRef"]["kind"]),
                text(&object["roleRef"]["name"]),
            );
            let plural = if kind == "ClusterRole" {
                "clusterroles"
            } else {
                "roles"
            };
            let attributes = Attributes {
                group: GROUP,
                namespace: &namespace,
                name: &role,
                ..Attributes::of(user, "bind", plural)
            };
            if authorizer.authorize(&attributes).is_allowed() {
                return Ok(());
            }
            let Some(rules) = authorizer.rbac.role_rules(&kind, &namespace, &role) else {
                let kind = if kind == "ClusterRole" {
                    "ClusterRole"
                } else {
                    "Role"
                };
                let subject = Subject {
                    group: GROUP,
                    resource: plural,
                    kind,
                    name: &role,
                };
                return Err(ApiError::not_found(subject));
            };
            rules.to_vec()
        }
        _ => return Ok(()),
    };
    let missing = missing(&authorizer.rbac.rules_for(user, &namespace), &wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = missing.iter().map(Rule::to_string).collect();
    lines.sort();
    let subject = Subject {
        group: GROUP,
        resource: resource.plural,
        kind: resource.kind,
        name: &name,
    };
    Err(ApiError::forbidden(
        subject,
        format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            quoted(&user.groups),
            lines.join("\n")
        ),
    ))
}

/// A role that aggregates others may come to hold anything.
fn wanted_by_role(role: &Value) -> Vec<Rule> {
    if !role["aggregationRule"].is_object() {
        return Rule::list(&role["rules"]);
    }
    let all = || vec!["*".to_owned()];
    vec![
        Rule {
            verbs: all(),
            api_groups: all(),
            resources: all(),
            ..Rule::default()
        },
        Rule {
            verbs: all(),
            non_resource_urls: all(),
            ..Rule::default()
        },
    ]
}
