//! Exercises about what a request is for, and who sends it.

use apiserver::authn::{Rejected, TokenAuthority, TokenSpec};
use apiserver::http::path::{Query, request_info};
use exercise::Check;
use http::Method;
use rcgen::KeyPair;

#[test]
fn exercise_03_2() {
    let check = |path: &str, expected: [&str; 4], rule: &str| {
        let told = |[namespace, resource, name, subresource]: [&str; 4]| {
            format!(
                "namespace {namespace:?}, resource {resource:?}, name {name:?}, subresource \
                 {subresource:?}"
            )
        };
        let info = request_info(&Method::GET, path, &Query::default());
        let saw = [
            &info.namespace,
            &info.resource,
            &info.name,
            &info.subresource,
        ];
        Check::new(format!("GET {path}"))
            .because(rule)
            .expect_text(&told(saw.map(String::as_str)), &told(expected));
    };
    let rule = "after namespaces and a name stands what is in that namespace";
    check("/api/v1/namespaces/a/pods", ["a", "pods", "", ""], rule);
    check("/api/v1/namespaces/a/pods/b", ["a", "pods", "b", ""], rule);
    check(
        "/apis/apps/v1/namespaces/a/deployments/b/status",
        ["a", "deployments", "b", "status"],
        rule,
    );
    check(
        "/api/v1/namespaces/a/pods/finalize",
        ["a", "pods", "finalize", ""],
        rule,
    );
    let rule = "what does not begin with namespaces is the cluster's, or of all namespaces";
    check("/api/v1/pods", ["", "pods", "", ""], rule);
    check(
        "/api/v1/nodes/namespaces/status",
        ["", "nodes", "namespaces", "status"],
        rule,
    );
    let rule = "namespaces alone is the list of them";
    check("/api/v1/namespaces", ["", "namespaces", "", ""], rule);
    let rule = "a Namespace is in itself: who may read what is in a may read a";
    check("/api/v1/namespaces/a", ["a", "namespaces", "a", ""], rule);
    let rule = "status and finalize are parts of the Namespace, and no resources in it";
    for part in ["status", "finalize"] {
        check(
            &format!("/api/v1/namespaces/a/{part}"),
            ["a", "namespaces", "a", part],
            rule,
        );
    }
}

#[test]
fn exercise_03_3() {
    let issuer = "https://kubernetes.default.svc";
    let key = KeyPair::generate().expect("keys can be made");
    let authority = TokenAuthority::from_pem(&key.serialize_pem(), issuer).expect("is a key");
    let list = |names: &[&str]| -> Vec<String> { names.iter().map(ToString::to_string).collect() };
    let shown = |names: &[&str]| match names {
        [] => "the API server".to_owned(),
        names => names.join(" and "),
    };
    let check = |meant_for: &[&str], asked_for: &[&str], at: i64, expected: &str, rule: &str| {
        let spec = TokenSpec {
            namespace: "default".to_owned(),
            service_account: "web".to_owned(),
            service_account_uid: "u".to_owned(),
            audiences: list(meant_for),
            expiration_seconds: 600,
            bound: None,
            node: None,
        };
        let token = authority.mint(&spec, 10_000);
        let there = |_: &str, _: &str, _: &str| Some("u".to_owned());
        let saw = match authority.verify(&token, &list(asked_for), 10_000 + at, &there) {
            Ok(verified) => format!("good for {}", verified.audiences.join(", ")),
            Err(Rejected(why)) => format!("refused: {why}"),
        };
        Check::new(format!(
            "a token for {}, good from 0 s to 600 s, shown at {at} s by somebody who asks whether \
             it is for {}",
            shown(meant_for),
            shown(asked_for)
        ))
        .because(rule)
        .expect_text(&saw, expected);
    };
    let here = format!("good for {issuer}");
    let rule = "a token for whoever asks, in its time, is good";
    check(&[], &[], 300, &here, rule);
    check(&["vault"], &["vault"], 300, "good for vault", rule);
    let rule = "a token for somebody else is no token here: it may have been shown to many";
    let other = format!(
        "refused: token audiences [\"vault\"] is invalid for the target audiences [\"{issuer}\"]"
    );
    check(&["vault"], &[], 300, &other, rule);
    let rule = "one audience in common is enough, and only those in common are told";
    check(&["db", "vault"], &["mail", "db"], 300, "good for db", rule);
    let rule = "clocks may differ by a minute, and no more";
    let late = "refused: service account token has expired";
    check(&[], &[], 660, &here, rule);
    check(&[], &[], 661, late, rule);
    let rule = "nor is a token good before its time, by more than that minute";
    let early = "refused: service account token is not valid yet";
    check(&[], &[], -60, &here, rule);
    check(&[], &[], -61, early, rule);
}
