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
    registry::meta,
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
    // Anything else counts, a label too: by one, a role comes to be part of another.
    if old.is_some_and(|old| is_for_garbage_collection(object, old)) {
        return Ok(());
    }
    let mut aggregates = false;
    let wanted = match resource.plural {
        "roles" | "clusterroles" => {
            let attributes = Attributes {
                group: GROUP,
                namespace: &namespace,
                name: &name,
                ..Attributes::of(user, "escalate", resource.plural)
            };
            if authorizer.authorize(&attributes).is_allowed() {
                return Ok(());
            }
            aggregates = [Some(object), old].into_iter().flatten().any(has_selectors);
            Rule::list(&object["rules"])
        }
        "rolebindings" | "clusterrolebindings" => {
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
    let held = authorizer.rbac.rules_for(user, &namespace);
    let refused = |why: String| {
        let subject = Subject {
            group: GROUP,
            resource: resource.plural,
            kind: resource.kind,
            name: &name,
        };
        ApiError::forbidden(subject, why)
    };
    let lacking = missing(&held, &wanted);
    if !lacking.is_empty() {
        let mut lines: Vec<String> = lacking.iter().map(Rule::to_string).collect();
        lines.sort();
        return Err(refused(format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            quoted(&user.groups),
            lines.join("\n")
        )));
    }
    if aggregates && !missing(&held, &everything()).is_empty() {
        return Err(refused(
            "must have cluster-admin privileges to use the aggregationRule".into(),
        ));
    }
    Ok(())
}

/// Whether only what the garbage collector writes has changed. Upstream: `IsOnlyMutatingGCFields`.
fn is_for_garbage_collection(new: &Value, old: &Value) -> bool {
    let stripped = |object: &Value| {
        let mut object = object.clone();
        for field in ["ownerReferences", "finalizers", "selfLink"] {
            meta::set(&mut object, field, None);
        }
        object
    };
    stripped(new) == stripped(old)
}

/// Whether a role aggregates others: it may come to hold anything.
fn has_selectors(role: &Value) -> bool {
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array();
    selectors.is_some_and(|selectors| !selectors.is_empty())
}

/// All that there is to be allowed.
fn everything() -> Vec<Rule> {
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
