//! The first roles, and decisions by them.

use super::*;
use crate::{
    authn::User,
    authz::{Attributes, Authorizer, Decision},
    resources::by_path,
};

fn authorizer() -> Authorizer {
    let mut authorizer = Authorizer::default();
    for object in bootstrap_objects() {
        let kind = object["kind"].as_str().expect("a kind").to_lowercase();
        authorizer.rbac.set(&format!("{kind}s"), &object);
    }
    authorizer
}

fn jane() -> User {
    User {
        name: "jane".into(),
        groups: vec![AUTHENTICATED.into()],
        ..User::default()
    }
}

fn bind(authorizer: &mut Authorizer, role: &str, namespace: &str) {
    let binding = json!({
        "metadata": {"name": role, "namespace": namespace},
        "roleRef": {"kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "name": "jane"}],
    });
    authorizer.rbac.set("rolebindings", &binding);
}

#[test]
fn who_may_do_what() {
    let mut authorizer = authorizer();
    let admin = User {
        groups: vec![MASTERS.into()],
        ..User::default()
    };
    assert!(
        authorizer
            .authorize(&Attributes::of(&admin, "x", "y"))
            .is_allowed()
    );

    let user = jane();
    let list = Attributes {
        namespace: "ns",
        ..Attributes::of(&user, "list", "pods")
    };
    assert_eq!(
        authorizer.authorize(&list),
        Decision::Deny(
            "User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \
             \"ns\""
                .into()
        )
    );
    bind(&mut authorizer, "view", "ns");
    assert_eq!(
        authorizer.authorize(&list),
        Decision::Allow(
            "RBAC: allowed by RoleBinding \"view/ns\" of ClusterRole \"view\" to User \"jane\""
                .into()
        )
    );
    let log = Attributes {
        subresource: "log",
        verb: "get",
        ..list
    };
    assert!(authorizer.authorize(&log).is_allowed());
    let exec = Attributes {
        subresource: "exec",
        verb: "create",
        ..list
    };
    assert!(!authorizer.authorize(&exec).is_allowed());
    assert!(
        !authorizer
            .authorize(&Attributes {
                namespace: "",
                ..list
            })
            .is_allowed()
    );
    assert!(
        authorizer
            .authorize(&Attributes::of_path(&user, "get", "/apis/x"))
            .is_allowed()
    );
    let anonymous = User::anonymous();
    let path = Attributes::of_path(&anonymous, "get", "/");
    assert_eq!(
        authorizer.authorize(&path),
        Decision::Deny("User \"system:anonymous\" cannot get path \"/\"".into())
    );
    authorizer.rbac.remove("rolebindings", "ns", "view");
    assert!(!authorizer.authorize(&list).is_allowed());
    bind(&mut authorizer, "gone", "ns");
    let Decision::Deny(why) = authorizer.authorize(&list) else {
        panic!("no such role")
    };
    assert!(
        why.ends_with(": RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found"),
        "{why}"
    );
}

#[test]
fn nobody_hands_out_more_than_they_have() {
    let mut authorizer = authorizer();
    bind(&mut authorizer, "admin", "ns");
    let roles = by_path(RBAC, "v1", "roles").expect("roles are served");
    let role = |rules: Value| json!({"metadata": {"namespace": "ns", "name": "x"}, "rules": rules});
    let held = role(json!([rule(
        &["get", "create"],
        &[""],
        &["pods", "secrets"]
    )]));
    assert_eq!(
        authorizer.check_escalation(&jane(), roles, &held, None),
        Ok(())
    );
    let more = role(json!([rule(&["get", "update"], &[""], &["nodes"])]));
    let error = authorizer
        .check_escalation(&jane(), roles, &more, None)
        .expect_err("too much");
    assert_eq!(
        error.message,
        "roles.rbac.authorization.k8s.io \"x\" is forbidden: user \"jane\" \
         (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not \
         currently held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\" \"update\"]}"
    );
    assert_eq!(
        authorizer.check_escalation(&jane(), roles, &more, Some(&more)),
        Ok(())
    );
    let cluster_roles = by_path(RBAC, "v1", "clusterroles").expect("they are served");
    let everywhere = authorizer.check_escalation(&jane(), cluster_roles, &held, None);
    assert!(
        everywhere.is_err(),
        "what is held in one namespace is not held in all"
    );
    let bindings = by_path(RBAC, "v1", "rolebindings").expect("bindings are served");
    let binding = |role: &str| {
        json!({
            "metadata": {"namespace": "ns", "name": "b"},
            "roleRef": {"kind": "ClusterRole", "name": role},
        })
    };
    let check = |role: &str| {
        authorizer
            .check_escalation(&jane(), bindings, &binding(role), None)
            .map_err(|e| e.code)
    };
    assert_eq!(check("view"), Ok(()));
    assert_eq!(check("cluster-admin"), Err(403));
    assert_eq!(check("none"), Err(404));
}

#[test]
fn the_sums_hold_their_parts() {
    let objects = bootstrap_objects();
    let rules = |name: &str| {
        let role = objects
            .iter()
            .find(|object| object["metadata"]["name"] == name);
        role.expect(name)["rules"].as_array().expect("rules").len()
    };
    assert!(rules("view") > 0 && rules("edit") > rules("view") && rules("admin") > rules("edit"));
    let review = authorizer().rules_review(&jane(), "default");
    assert_eq!(review["incomplete"], false);
    assert!(
        review["nonResourceRules"]
            .as_array()
            .is_some_and(|rules| rules.len() >= 2)
    );
}
