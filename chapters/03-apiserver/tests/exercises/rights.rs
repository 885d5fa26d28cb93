//! Exercises about rights.

use apiserver::authn::User;
use apiserver::authz::Attributes;
use apiserver::authz::rules::{Rule, missing};
use exercise::Check;
use serde_json::{Value, json};

/// Whether a rule allows `get deployments.apps/scale web`, or `get /healthz`.
fn allows(rule: &Rule, asked: &str) -> bool {
    let user = User::default();
    let mut words = asked.split(' ');
    let verb = words.next().unwrap_or_default();
    let what = words.next().unwrap_or_default();
    if what.starts_with('/') {
        return rule.allows(&Attributes::of_path(&user, verb, what));
    }
    let (what, subresource) = what.split_once('/').unwrap_or((what, ""));
    let (resource, group) = what.split_once('.').unwrap_or((what, ""));
    rule.allows(&Attributes {
        group,
        subresource,
        name: words.next().unwrap_or_default(),
        ..Attributes::of(&user, verb, resource)
    })
}

#[test]
fn exercise_03_4() {
    let check = |rule: &Value, asked: &str, expected: bool, because: &str| {
        let parsed = Rule::list(&json!([rule]));
        let told = |yes: bool| if yes { "allowed" } else { "not allowed" };
        Check::new(format!("the rule {rule}, the request {asked}"))
            .because(because)
            .expect_text(told(allows(&parsed[0], asked)), told(expected));
    };
    let pods = json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]});
    let because = "verb, group and resource have to be in the rule, all three";
    check(&pods, "get pods web", true, because);
    check(&pods, "list pods", true, because);
    check(&pods, "delete pods web", false, because);
    check(&pods, "get secrets web", false, because);
    check(&pods, "get pods.metrics.k8s.io web", false, because);
    let because = "a part of an object is a right of its own: pods is not pods/exec";
    let most = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["pods", "*/scale"]});
    check(&most, "create pods/exec web", false, because);
    check(&most, "update deployments.apps/scale web", true, because);
    check(&most, "update deployments.apps web", false, because);
    let because = "a rule with names is for these names: a list, or a create, has none";
    let one = json!({"verbs": ["*"], "apiGroups": [""], "resources": ["configmaps"],
        "resourceNames": ["app"]});
    check(&one, "get configmaps app", true, because);
    check(&one, "get configmaps other", false, because);
    check(&one, "list configmaps", false, because);
    check(&one, "create configmaps", false, because);
    let because = "a star among the names is no name";
    let star = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"],
        "resourceNames": ["*"]});
    check(&star, "get configmaps app", false, because);
    let because = "a path is allowed by a rule about paths, whatever else there is";
    let everything = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
    let health = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]});
    check(&everything, "get /metrics", false, because);
    check(&everything, "get pods/log web", true, because);
    check(&health, "get /healthz/ping", true, because);
    check(&health, "post /healthz/ping", false, because);
    check(&health, "get pods web", false, because);
}

#[test]
fn exercise_03_5() {
    let check = |held: Value, wanted: Value, expected: &str, because: &str| {
        let lacking = missing(&Rule::list(&json!([held])), &Rule::list(&json!([wanted])));
        let lacking: Vec<String> = lacking.iter().map(Rule::to_string).collect();
        let told = |lacking: &str| match lacking {
            "" => "may be handed out".to_owned(),
            lacking => format!("lacks {lacking}"),
        };
        Check::new(format!(
            "somebody has {held} and writes a role with {wanted}"
        ))
        .because(because)
        .expect_text(&told(&lacking.join(" ")), &told(expected));
    };
    let rule = |verbs: &[&str], resources: &[&str]| -> Value {
        json!({"verbs": verbs, "apiGroups": [""], "resources": resources})
    };
    let named = |names: &[&str]| -> Value {
        json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"],
            "resourceNames": names})
    };
    let paths = |paths: &[&str]| json!({"verbs": ["get"], "nonResourceURLs": paths});
    let because = "what somebody has may be handed out, verb by verb and resource by resource";
    let held = || rule(&["get", "list"], &["pods", "services"]);
    check(held(), rule(&["list"], &["pods"]), "", because);
    check(
        held(),
        rule(&["get", "delete"], &["pods"]),
        "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}",
        because,
    );
    check(
        held(),
        rule(&["get"], &["pods/log"]),
        "{APIGroups:[\"\"], Resources:[\"pods/log\"], Verbs:[\"get\"]}",
        because,
    );
    let because = "a star covers everything, and only a star covers a star";
    check(rule(&["*"], &["*"]), rule(&["get"], &["pods"]), "", because);
    check(rule(&["*"], &["*"]), rule(&["*"], &["*"]), "", because);
    check(
        held(),
        rule(&["*"], &["pods"]),
        "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"*\"]}",
        because,
    );
    check(
        rule(&["get"], &["*/log"]),
        rule(&["get"], &["pods/log"]),
        "",
        because,
    );
    let because = "who has all names has each of them, and who has one has not all";
    check(rule(&["get"], &["secrets"]), named(&["a"]), "", because);
    check(named(&["a", "b"]), named(&["b"]), "", because);
    check(
        named(&["a"]),
        named(&["b"]),
        "{APIGroups:[\"\"], Resources:[\"secrets\"], ResourceNames:[\"b\"], Verbs:[\"get\"]}",
        because,
    );
    check(
        named(&["a"]),
        rule(&["get"], &["secrets"]),
        "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}",
        because,
    );
    let because = "paths are rights too, and a path that ends with a star covers what it begins";
    check(
        paths(&["/healthz/*"]),
        paths(&["/healthz/ping"]),
        "",
        because,
    );
    check(
        paths(&["/healthz/*"]),
        paths(&["/metrics"]),
        "{NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}",
        because,
    );
}
