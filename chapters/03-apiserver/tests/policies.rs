//! Admission policies at work, over HTTP. Upstream:
//! `test/e2e/apimachinery/{validatingadmissionpolicy,mutatingadmissionpolicy}.go`,
//! `test/integration/apiserver/cel`.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use support::{Client, Server};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const MERGE: &str = "application/merge-patch+json";

/// What a policy is about: writes of these resources of one group.
fn about(group: &str, resources: &[&str]) -> Value {
    json!({"resourceRules": [{"operations": ["*"], "apiGroups": [group], "apiVersions": ["v1"],
        "resources": resources}]})
}

/// Makes a policy that validates, and a binding of the same name.
async fn bind(admin: &mut Client, name: &str, spec: Value, binding: Value) {
    put(admin, "validating", name, spec, binding).await;
}

/// Makes a policy that mutates, and a binding of the same name.
async fn bind_mutating(admin: &mut Client, name: &str, spec: Value) {
    put(admin, "mutating", name, spec, json!({})).await;
}

async fn put(admin: &mut Client, kind: &str, name: &str, spec: Value, mut binding: Value) {
    binding["policyName"] = name.into();
    for (plural, spec) in [("policies", spec), ("policybindings", binding)] {
        let path = format!("{GROUP}/{kind}admission{plural}");
        let object = json!({"metadata": {"name": name}, "spec": spec});
        let (code, made) = admin.call("POST", &path, object).await;
        assert_eq!(code, 201, "{made}");
    }
}

fn deny() -> Value {
    json!({"validationActions": ["Deny"]})
}

fn map(name: &str, data: Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

fn deployment(name: &str, replicas: i64) -> Value {
    json!({"metadata": {"name": name}, "spec": {"replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "one", "image": "workshop/echo"}]}}}})
}

/// Creates an object; its code, and the message where there is one.
async fn create(admin: &mut Client, path: &str, object: Value) -> (u16, String) {
    let (code, answer) = admin.call("POST", path, object).await;
    let message = answer["message"].as_str().unwrap_or_default();
    (code, message.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_held_to_a_policy() {
    let (server, mut admin) = Server::fresh().await;
    let spec = json!({"matchConstraints": about("apps", &["deployments"]),
        "validations": [{"expression": "object.spec.replicas > 1",
            "messageExpression": "'wants replicas > 1, got ' + string(object.spec.replicas)"}]});
    bind(&mut admin, "p", spec, deny()).await;
    let (code, refused) = admin.call("POST", DEPLOYMENTS, deployment("a", 1)).await;
    let message = "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: \
                   wants replicas > 1, got 1";
    assert_eq!(
        (code, &refused),
        (
            422,
            &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "code": 422, "reason": "Invalid",
                "message": format!("deployments.apps \"a\" is forbidden: {message}"),
                "details": {"name": "a", "group": "apps", "kind": "deployments",
                    "causes": [{"message": message}]}})
        )
    );
    let (code, made) = admin.call("POST", DEPLOYMENTS, deployment("a", 2)).await;
    assert_eq!(code, 201, "{made}");
    // What is not in the policy's rules is none of its business: another kind, another part.
    let sets = "/apis/apps/v1/namespaces/default/replicasets";
    assert_eq!(create(&mut admin, sets, deployment("a", 1)).await.0, 201);
    let scale = format!("{DEPLOYMENTS}/a/scale");
    let one = json!({"spec": {"replicas": 1}}).to_string();
    let (code, scaled) = admin.call_as("PATCH", &scale, MERGE, one.clone()).await;
    assert_eq!(code, 200, "{scaled}");
    let whole = format!("{DEPLOYMENTS}/a");
    let (code, _) = admin.call_as("PATCH", &whole, MERGE, one).await;
    assert_eq!(code, 422, "an update of the whole is looked at again");
    // A policy without its binding says nothing.
    let binding = format!("{GROUP}/validatingadmissionpolicybindings/p");
    let (code, _) = admin.call("DELETE", &binding, Value::Null).await;
    assert_eq!(code, 200);
    assert_eq!(
        create(&mut admin, DEPLOYMENTS, deployment("b", 1)).await.0,
        201
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_variables_and_conditions() {
    let (server, mut admin) = Server::fresh().await;
    let spec = json!({"matchConstraints": about("apps", &["deployments", "deployments/scale"]),
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [
            {"name": "not-mine", "expression": "!(request.name.startsWith('free-'))"}],
        "variables": [
            {"name": "most", "expression": "int(params.data.most)"},
            {"name": "unused", "expression": "params.data.nowhere"},
            {"name": "fits", "expression": "object.spec.replicas <= variables.most"}],
        "validations": [{"expression": "variables.fits", "reason": "Forbidden",
            "messageExpression": "'at most ' + string(variables.most) + ' in '
                + namespaceObject.metadata.name"},
            {"expression": "request.userInfo.username != 'jane'", "message": "no Jane"}]});
    let binding = json!({"validationActions": ["Deny"],
        "paramRef": {"name": "most", "parameterNotFoundAction": "Deny"}});
    bind(&mut admin, "p", spec, binding).await;
    // Two lines in a message: it is not told.
    let told = create(&mut admin, DEPLOYMENTS, deployment("a", 4)).await;
    let missing = "deployments.apps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding \
                   'p' denied request: failed to configure binding: no params found for policy \
                   binding with `Deny` parameterNotFoundAction";
    assert_eq!(told, (422, missing.to_owned()));
    let made = create(&mut admin, MAPS, map("most", json!({"most": "3"}))).await;
    assert_eq!(made.0, 201);
    let (code, message) = create(&mut admin, DEPLOYMENTS, deployment("a", 4)).await;
    assert_eq!(code, 403);
    assert!(
        message.ends_with("denied request: at most 3 in default"),
        "{message}"
    );
    assert_eq!(
        create(&mut admin, DEPLOYMENTS, deployment("a", 3)).await.0,
        201
    );
    assert_eq!(
        create(&mut admin, DEPLOYMENTS, deployment("free-a", 9))
            .await
            .0,
        201
    );
    // Its parts are asked about as what they are.
    let scale = format!("{DEPLOYMENTS}/a/scale");
    let four = json!({"spec": {"replicas": 4}}).to_string();
    let (code, refused) = admin.call_as("PATCH", &scale, MERGE, four).await;
    assert_eq!(code, 403, "{refused}");
    // The parameters are as they are now.
    let more = json!({"data": {"most": "5"}}).to_string();
    let (code, _) = admin
        .call_as("PATCH", &format!("{MAPS}/most"), MERGE, more)
        .await;
    assert_eq!(code, 200);
    assert_eq!(
        create(&mut admin, DEPLOYMENTS, deployment("b", 4)).await.0,
        201
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warnings_are_told_and_the_write_is_done() {
    let (server, mut admin) = Server::fresh().await;
    let spec = json!({"matchConstraints": about("", &["configmaps"]),
        "validations": [{"expression": "has(object.data)", "message": "empty"}]});
    let warn = json!({"validationActions": ["Warn", "Audit"]});
    bind(&mut admin, "p", spec, warn).await;
    let request = Request::post(MAPS)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(
            json!({"metadata": {"name": "a"}}).to_string().into(),
        ));
    let response = admin.send(request.expect("is a request")).await;
    assert_eq!(response.status(), 201);
    assert_eq!(
        response.headers()["warning"],
        "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p': empty\""
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_evaluated_is_decided_by_the_failure_policy() {
    let (server, mut admin) = Server::fresh().await;
    let spec = |policy: &str| {
        json!({"matchConstraints": about("", &["configmaps"]), "failurePolicy": policy,
            "validations": [{"expression": "object.data.there == 'x'"}]})
    };
    bind(&mut admin, "ignored", spec("Ignore"), deny()).await;
    assert_eq!(create(&mut admin, MAPS, map("a", json!({}))).await.0, 201);
    let (code, message) = create(&mut admin, MAPS, map("b", json!({"there": "y"}))).await;
    assert_eq!(code, 422);
    assert!(
        message.ends_with("denied request: failed expression: object.data.there == 'x'"),
        "{message}"
    );
    bind(&mut admin, "strict", spec("Fail"), deny()).await;
    let (code, message) = create(&mut admin, MAPS, map("b", json!({"other": "y"}))).await;
    assert_eq!(code, 422);
    assert!(
        message.ends_with(
            "ValidatingAdmissionPolicy 'strict' with binding 'strict' denied request: expression \
             'object.data.there == 'x'' resulted in error: no such key: there"
        ),
        "{message}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletions_and_connections_are_looked_at_and_policies_never_are() {
    let (server, mut admin) = Server::fresh().await;
    let spec = json!({"matchConstraints": about("*", &["*/*"]),
        "validations": [
            {"expression": "request.operation != 'DELETE' || oldObject.metadata.name != 'kept'",
                "message": "it stays"},
            {"expression": "request.operation != 'CONNECT' || object.kind != 'PodExecOptions'
                || object.command[0] != 'sh'", "message": "no shells"}]});
    assert_eq!(
        create(&mut admin, MAPS, map("kept", json!({}))).await.0,
        201
    );
    bind(&mut admin, "p", spec, deny()).await;
    let kept = format!("{MAPS}/kept");
    let (code, refused) = admin.call("DELETE", &kept, Value::Null).await;
    assert_eq!(code, 422);
    assert!(
        refused["message"]
            .as_str()
            .is_some_and(|it| it.ends_with("denied request: it stays"))
    );
    let (code, _) = admin.call("DELETE", MAPS, Value::Null).await;
    assert_eq!(code, 422, "nor with all others");
    let exec = "/api/v1/namespaces/default/pods/a/exec?command=sh";
    let (code, refused) = admin.call("POST", exec, Value::Null).await;
    assert_eq!(code, 422, "{refused}");
    assert!(
        refused["message"]
            .as_str()
            .is_some_and(|it| it.ends_with("denied request: no shells"))
    );
    let exec = "/api/v1/namespaces/default/pods/a/exec?command=ls";
    assert_eq!(
        admin.call("POST", exec, Value::Null).await.0,
        404,
        "there is no such pod"
    );
    let never = json!({"spec": {"validations": [{"expression": "false"}]}}).to_string();
    let policy = format!("{GROUP}/validatingadmissionpolicies/p");
    let (code, _) = admin.call_as("PATCH", &policy, MERGE, never).await;
    assert_eq!(code, 200);
    assert_eq!(create(&mut admin, MAPS, map("a", json!({}))).await.0, 422);
    let (code, _) = admin.call("DELETE", &policy, Value::Null).await;
    assert_eq!(
        code, 200,
        "a policy that is against everything can be taken away"
    );
    let (code, _) = admin.call("DELETE", &kept, Value::Null).await;
    assert_eq!(code, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_versions_and_rights() {
    let (server, mut admin) = Server::fresh().await;
    let mut constraints = about("autoscaling", &["horizontalpodautoscalers"]);
    constraints["resourceRules"][0]["apiVersions"] = json!(["v2"]);
    let spec = json!({"matchConstraints": constraints, "validations": [
        {"expression": "request.kind.version == 'v2' && request.requestKind.version == 'v1'
            && object.apiVersion == 'autoscaling/v2' && object.spec.metrics.size() == 9"}]});
    bind(&mut admin, "versions", spec, deny()).await;
    let scaler = json!({"metadata": {"name": "a"}, "spec": {"maxReplicas": 3,
        "targetCPUUtilizationPercentage": 50,
        "scaleTargetRef": {"kind": "Deployment", "name": "a", "apiVersion": "apps/v1"}}});
    let path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    let (code, message) = create(&mut admin, path, scaler).await;
    assert_eq!(code, 422, "a rule for another version is for this one too");
    assert!(message.contains("failed expression"), "{message}");

    let spec = json!({"matchConstraints": about("", &["configmaps"]), "validations": [
        {"expression": "authorizer.group('').resource('secrets').namespace('default')
            .check('get').allowed()", "message": "not yours"}]});
    let binding = json!({"validationActions": ["Deny"], "matchResources": {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}},
        "objectSelector": {"matchLabels": {"guarded": "yes"}}}});
    bind(&mut admin, "rights", spec, binding).await;
    let role = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    for (plural, object) in [
        (
            "roles",
            json!({"metadata": {"name": "maps"}, "rules": [{"apiGroups": [""],
                "resources": ["configmaps"], "verbs": ["create"]}]}),
        ),
        (
            "rolebindings",
            json!({"metadata": {"name": "maps"},
                "subjects": [{"kind": "User", "name": "jane",
                    "apiGroup": "rbac.authorization.k8s.io"}],
                "roleRef": {"kind": "Role", "name": "maps",
                    "apiGroup": "rbac.authorization.k8s.io"}}),
        ),
    ] {
        let (code, message) = create(&mut admin, &format!("{role}/{plural}"), object).await;
        assert_eq!(code, 201, "{message}");
    }
    let mut jane = server.client("jane").await;
    let guarded = |name: &str| json!({"metadata": {"name": name, "labels": {"guarded": "yes"}}});
    let (code, message) = create(&mut jane, MAPS, guarded("a")).await;
    assert_eq!(code, 422);
    assert!(message.ends_with("denied request: not yours"), "{message}");
    assert_eq!(create(&mut jane, MAPS, map("b", json!({}))).await.0, 201);
    assert_eq!(create(&mut admin, MAPS, guarded("a")).await.0, 201);
    server.stop().await;
}

fn apply(expression: &str) -> Value {
    json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
}

fn patch(expression: &str) -> Value {
    json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_changed_by_a_policy() {
    let (server, mut admin) = Server::fresh().await;
    let spec = json!({"matchConstraints": about("apps", &["deployments"]),
        "reinvocationPolicy": "Never", "mutations": [
            apply("Object{metadata: Object.metadata{annotations: {'mutated-by': 'policy'}},
                spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
                    containers: [Object.spec.template.spec.containers{name: 'side',
                        image: 'workshop/shell'}]}}}}"),
            patch("[JSONPatch{op: 'test', path: '/spec/replicas', value: 1},
                JSONPatch{op: 'replace', path: '/spec/replicas', value: 2},
                JSONPatch{op: 'add', path: '/metadata/annotations/' +
                    jsonpatch.escapeKey('example.com/seen'), value: object.metadata.annotations
                        ['mutated-by']}]")]});
    bind_mutating(&mut admin, "p", spec).await;
    let (code, made) = admin.call("POST", DEPLOYMENTS, deployment("a", 1)).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        made["metadata"]["annotations"],
        json!({"mutated-by": "policy", "example.com/seen": "policy"})
    );
    assert_eq!(made["spec"]["replicas"], 2);
    let containers = &made["spec"]["template"]["spec"]["containers"];
    assert_eq!(
        (&containers[0]["name"], &containers[1]["name"]),
        (&json!("one"), &json!("side")),
        "entries of a list are told apart by their keys"
    );
    assert_eq!(
        containers[0]["imagePullPolicy"], "Always",
        "defaults come after it"
    );
    let owned = made["metadata"]["managedFields"].to_string();
    assert!(!owned.contains("mutated-by"), "it is nobody's: {owned}");
    // A test that fails leaves the object as it is.
    let (code, made) = admin.call("POST", DEPLOYMENTS, deployment("b", 3)).await;
    assert_eq!(
        (code, &made["spec"]["replicas"]),
        (201, &json!(3)),
        "{made}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutation_that_cannot_be_refuses_the_write() {
    let (server, mut admin) = Server::fresh().await;
    let spec = |mutation: Value| {
        json!({"matchConstraints": about("apps", &["deployments"]),
            "reinvocationPolicy": "Never", "mutations": [mutation]})
    };
    let told = |why: &str| format!("policy 'p' with binding 'p' denied request: {why}");
    let mut check = async |mutation: Value, expected: &str| {
        bind_mutating(&mut admin, "p", spec(mutation)).await;
        let (code, refused) = admin.call("POST", DEPLOYMENTS, deployment("a", 1)).await;
        let message = refused["message"].as_str().unwrap_or_default();
        assert_eq!((code, message), (403, &*told(expected)), "{refused}");
        assert_eq!(refused["reason"], "Invalid");
        for plural in ["policies", "policybindings"] {
            let path = format!("{GROUP}/mutatingadmission{plural}/p");
            assert_eq!(admin.call("DELETE", &path, Value::Null).await.0, 200);
        }
    };
    check(
        apply("Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'b'}}}}"),
        "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or \
         structs: .spec.selector",
    )
    .await;
    check(
        apply("Object{spec: Object.spec{nothing: 1}}"),
        "error applying patch: failed to convert patch object to typed object: .spec.nothing: \
         field not declared in schema",
    )
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_has_a_second_turn_if_it_wants_one() {
    let (server, mut admin) = Server::fresh().await;
    let spec = |again: &str, expression: &str| {
        json!({"matchConstraints": about("", &["configmaps"]), "reinvocationPolicy": again,
            "mutations": [apply(expression)]})
    };
    // The first by name runs first, and sees what the second has set only if it runs again.
    let copy = "Object{data: {'seen': has(object.metadata.labels) ? 'yes' : 'no'}}";
    let label = "Object{metadata: Object.metadata{labels: {'a': 'b'}}}";
    bind_mutating(&mut admin, "b-label", spec("Never", label)).await;
    bind_mutating(&mut admin, "a-copy", spec("Never", copy)).await;
    let (_, made) = admin.call("POST", MAPS, map("a", json!({}))).await;
    assert_eq!(made["data"]["seen"], "no", "{made}");
    let path = format!("{GROUP}/mutatingadmissionpolicies/a-copy");
    let again = json!({"spec": {"reinvocationPolicy": "IfNeeded"}}).to_string();
    assert_eq!(admin.call_as("PATCH", &path, MERGE, again).await.0, 200);
    let (_, made) = admin.call("POST", MAPS, map("b", json!({}))).await;
    assert_eq!(made["data"]["seen"], "yes", "{made}");
    server.stop().await;
}
