use serde_json::{Value, json};

use super::matching::{Match, Seen};
use super::*;
use crate::admission::tests::World as Others;
use crate::admission::{Operation, Request};
use crate::authn::User;
use crate::registry::keys;
use crate::resources;

impl World for Others {
    fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<Served> {
        resources::by_kind(group, version, kind).map(Served::BuiltIn)
    }

    fn equivalents(&self, resource: &Resource) -> Vec<Served> {
        let stored = keys::stored_as(resource);
        resources::all()
            .filter(|other| *other != resource && keys::stored_as(other) == stored)
            .map(Served::BuiltIn)
            .collect()
    }

    fn object(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Value> {
        self.get(resource.plural, namespace, name)
    }

    fn objects(&self, resource: &Resource, namespace: &str) -> Vec<Value> {
        self.list(resource.plural, namespace)
    }

    fn authorize(&self, _: &Attributes) -> Decision {
        Decision::Deny(String::new())
    }
}

/// What is written where: kind, subresource, object.
type Write<'a> = (&'a str, &'a str, Value);

/// Whether a policy with these constraints is about a create, and in which version it sees it.
fn seen(constraints: Value, (kind, subresource, mut object): Write) -> Option<String> {
    let mut all = resources::all();
    let resource = all.find(|r| r.kind == kind && r.is_stored()).expect(kind);
    let user = User::default();
    let namespace = if resource.namespaced { "ns" } else { "" };
    let request = Request {
        user: &user,
        operation: Operation::Create,
        resource,
        subresource,
        namespace,
        name: "x",
        object: Some(&mut object),
        old: None,
        dry_run: false,
    };
    let asked = Asked::of(&request);
    let matched = Match::read(&constraints).matches(&asked, &Others::new());
    matched.expect("can be told").map(|seen| match seen {
        Seen::AsAsked => "as asked".to_owned(),
        Seen::As(other) => other.resource().api_version(),
    })
}

fn rule(groups: &[&str], versions: &[&str], resources: &[&str], more: Value) -> Value {
    let mut rule = json!({"operations": ["CREATE"], "apiGroups": groups, "apiVersions": versions,
        "resources": resources});
    for (field, value) in more.as_object().into_iter().flatten() {
        rule[field] = value.clone();
    }
    rule
}

#[test]
fn rules_name_all_there_is_to_a_request() {
    let pod = || ("Pod", "", json!({"metadata": {"name": "x"}}));
    let exec = || ("Pod", "exec", json!({}));
    let namespace = || ("Namespace", "", json!({"metadata": {"name": "x"}}));
    let check = |rule: Value, write: Write, expected: bool| {
        let about = json!({"resourceRules": [rule.clone()]});
        assert_eq!(seen(about, write).is_some(), expected, "{rule}");
    };
    let pods = |more: Value| rule(&[""], &["v1"], &["pods"], more);
    check(pods(json!({})), pod(), true);
    check(
        pods(json!({"operations": ["UPDATE", "DELETE"]})),
        pod(),
        false,
    );
    check(pods(json!({"operations": ["*"]})), pod(), true);
    check(pods(json!({"resourceNames": ["x"]})), pod(), true);
    check(pods(json!({"resourceNames": ["y"]})), pod(), false);
    check(pods(json!({"scope": "Namespaced"})), pod(), true);
    check(pods(json!({"scope": "Cluster"})), pod(), false);
    check(pods(json!({})), exec(), false);
    check(rule(&["apps"], &["v1"], &["pods"], json!({})), pod(), false);
    check(rule(&["*"], &["*"], &["*"], json!({})), pod(), true);
    check(rule(&["*"], &["*"], &["*"], json!({})), exec(), false);
    check(rule(&["*"], &["*"], &["*/*"], json!({})), exec(), true);
    check(
        rule(&[""], &["v1"], &["pods/exec"], json!({})),
        exec(),
        true,
    );
    check(rule(&[""], &["v1"], &["pods/*"], json!({})), exec(), true);
    check(rule(&[""], &["v1"], &["*/exec"], json!({})), exec(), true);
    check(rule(&[""], &["v1"], &["*/log"], json!({})), exec(), false);
    let all = |scope: &str| rule(&["*"], &["*"], &["*"], json!({"scope": scope}));
    check(all("Cluster"), namespace(), true);
    check(all("Namespaced"), namespace(), false);
}

#[test]
fn what_is_excluded_is_not_looked_at() {
    let pod = ("Pod", "", json!({}));
    let all = rule(&["*"], &["*"], &["*"], json!({}));
    let pods = rule(&[""], &["v1"], &["pods"], json!({}));
    let about = json!({"resourceRules": [all], "excludeResourceRules": [pods]});
    assert_eq!(seen(about, pod), None);
    assert_eq!(
        seen(json!({}), ("Pod", "", json!({}))).as_deref(),
        Some("as asked")
    );
}

#[test]
fn selectors_look_at_the_object_and_its_namespace() {
    let labelled = |labels: Value| ("Pod", "", json!({"metadata": {"labels": labels}}));
    let check = |selectors: Value, write: Write, expected: bool| {
        assert_eq!(
            seen(selectors.clone(), write).is_some(),
            expected,
            "{selectors}"
        );
    };
    let objects = || json!({"objectSelector": {"matchLabels": {"a": "b"}}});
    check(objects(), labelled(json!({"a": "b"})), true);
    check(objects(), labelled(json!({"a": "c"})), false);
    let namespaces = || json!({"namespaceSelector": {"matchLabels": {"a": "b"}}});
    check(namespaces(), labelled(json!({"a": "b"})), false);
    let own = ("Namespace", "", json!({"metadata": {"labels": {"a": "b"}}}));
    check(namespaces(), own, true);
    let node = ("Node", "", json!({}));
    check(namespaces(), node, true);
}

#[test]
fn another_version_is_seen_as_the_rule_names_it() {
    let scaler = || ("HorizontalPodAutoscaler", "", json!({"spec": {}}));
    let found = resources::all()
        .find(|r| r.kind == "HorizontalPodAutoscaler")
        .expect("is served");
    let (mine, other) = match found.version {
        "v1" => ("v1", "v2"),
        _ => ("v2", "v1"),
    };
    let about = |version: &str, policy: &str| {
        let rule = rule(
            &["autoscaling"],
            &[version],
            &["horizontalpodautoscalers"],
            json!({}),
        );
        json!({"resourceRules": [rule], "matchPolicy": policy})
    };
    assert_eq!(
        seen(about(mine, "Exact"), scaler()).as_deref(),
        Some("as asked")
    );
    assert_eq!(seen(about(other, "Exact"), scaler()), None);
    let expected = format!("autoscaling/{other}");
    assert_eq!(seen(about(other, "Equivalent"), scaler()), Some(expected));
}
