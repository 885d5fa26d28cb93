//! Configurations of webhooks and policies, over HTTP. Upstream:
//! `test/e2e/apimachinery/{webhook,validatingadmissionpolicy,mutatingadmissionpolicy}.go`.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use serde_json::{Value, json};
use support::{Server, lifecycle::lifecycle};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const MERGE: &str = "application/merge-patch+json";

fn rules() -> Value {
    json!({"resourceRules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": ["apps"],
        "apiVersions": ["v1"], "resources": ["deployments"]}]})
}

fn webhook(name: &str) -> Value {
    json!({"name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "default", "name": "hook", "path": "/pods"}},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
            "resources": ["pods"]}]})
}

fn validating() -> Value {
    json!({"metadata": {}, "spec": {"matchConstraints": rules(),
        "variables": [{"name": "replicas", "expression": "object.spec.replicas"}],
        "validations": [{"expression": "variables.replicas > 1", "message": "wants replicas",
            "reason": "Invalid"}]}})
}

fn mutating() -> Value {
    json!({"metadata": {}, "spec": {"matchConstraints": rules(), "reinvocationPolicy": "IfNeeded",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration":
            {"expression": "Object{metadata: Object.metadata{labels: {'a': 'b'}}}"}}]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_lives_and_goes() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    for (plural, template) in [
        (
            "mutatingwebhookconfigurations",
            json!({"webhooks": [webhook("a.example.com")]}),
        ),
        (
            "validatingwebhookconfigurations",
            json!({"webhooks": [webhook("a.example.com")]}),
        ),
        ("validatingadmissionpolicies", validating()),
        ("mutatingadmissionpolicies", mutating()),
        (
            "validatingadmissionpolicybindings",
            json!({"spec": {"policyName": "p", "validationActions": ["Deny"]}}),
        ),
        (
            "mutatingadmissionpolicybindings",
            json!({"spec": {"policyName": "p", "paramRef": {"name": "x",
                "parameterNotFoundAction": "Deny"}}}),
        ),
    ] {
        lifecycle(&server, &format!("{GROUP}/{plural}"), template).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_out_is_filled_in_and_changes_are_counted() {
    let (server, mut admin) = Server::fresh().await;
    let hooks = format!("{GROUP}/mutatingwebhookconfigurations");
    let hook = json!({"metadata": {"name": "h"}, "webhooks": [webhook("a.example.com")]});
    let (code, made) = admin.call("POST", &hooks, hook).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        made["webhooks"][0],
        json!({"name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"namespace": "default", "name": "hook", "path": "/pods",
                "port": 443}},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
                "resources": ["pods"], "scope": "*"}],
            "failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 10,
            "reinvocationPolicy": "Never", "namespaceSelector": {}, "objectSelector": {}})
    );
    assert_eq!(made["metadata"]["generation"], 1);
    let path = format!("{hooks}/h");
    // A strategic merge patch tells webhooks apart by name.
    let patch = json!({"webhooks": [{"name": "a.example.com", "timeoutSeconds": 5}]}).to_string();
    let strategic = "application/strategic-merge-patch+json";
    let (code, patched) = admin.call_as("PATCH", &path, strategic, patch).await;
    assert_eq!(code, 200, "{patched}");
    assert_eq!(patched["webhooks"][0]["timeoutSeconds"], 5);
    assert_eq!(patched["webhooks"][0]["failurePolicy"], "Fail");
    assert_eq!(patched["metadata"]["generation"], 2);

    let policies = format!("{GROUP}/validatingadmissionpolicies");
    let mut policy = validating();
    policy["metadata"]["name"] = "p".into();
    let (code, made) = admin.call("POST", &policies, policy).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["spec"]["failurePolicy"], "Fail");
    let constraints = &made["spec"]["matchConstraints"];
    assert_eq!(constraints["matchPolicy"], "Equivalent");
    assert_eq!(constraints["resourceRules"][0]["scope"], "*");

    let status = format!("{policies}/p/status");
    let condition = json!({"type": "Test", "status": "True", "reason": "ByHand", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let patch = json!({"status": {"observedGeneration": 1, "conditions": [condition]}});
    let (code, patched) = admin
        .call_as("PATCH", &status, MERGE, patch.to_string())
        .await;
    assert_eq!(code, 200, "{patched}");
    assert_eq!(patched["status"]["conditions"], json!([condition]));
    assert_eq!(patched["metadata"]["generation"], 1);
    let patch = json!({"status": {"conditions": [{"type": "Test", "status": "Maybe"}]}});
    let (code, refused) = admin
        .call_as("PATCH", &status, MERGE, patch.to_string())
        .await;
    assert_eq!(
        (code, &refused["message"]),
        (
            422,
            &json!(
                "ValidatingAdmissionPolicy.admissionregistration.k8s.io \"p\" is invalid: \
                 [status.conditions[0].status: Unsupported value: \"Maybe\": supported values: \
                 \"False\", \"True\", \"Unknown\", status.conditions[0].lastTransitionTime: \
                 Required value, status.conditions[0].reason: Required value]"
            )
        )
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told() {
    let (server, mut admin) = Server::fresh().await;
    let mut refused = async |plural: &str, mut object: Value| {
        object["metadata"] = json!({"name": "x"});
        let path = format!("{GROUP}/{plural}");
        admin.refused(&path, object).await
    };
    let mut hook = webhook("short.name");
    hook["clientConfig"] = json!({"url": "http://me@example.com/x?y#z"});
    hook["rules"][0]["resources"] = json!(["*", "pods", "pods/*", "pods/log"]);
    hook["rules"][0]["operations"] = json!(["*", "READ"]);
    hook["sideEffects"] = "Some".into();
    hook["timeoutSeconds"] = 31.into();
    hook["admissionReviewVersions"] = json!(["v2"]);
    hook["matchConditions"] = json!([{"name": "a", "expression": " "}]);
    assert_eq!(
        refused(
            "validatingwebhookconfigurations",
            json!({"webhooks": [hook]})
        )
        .await,
        [
            "webhooks[0].name: Invalid value: \"short.name\": should be a domain with at least \
             three segments separated by dots",
            "webhooks[0].rules[0].operations: Invalid value: [\"*\",\"READ\"]: if '*' is present, \
             must not specify other operations",
            "webhooks[0].rules[0].operations[1]: Unsupported value: \"READ\": supported values: \
             \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"",
            "webhooks[0].rules[0].resources[3]: Invalid value: \"pods/log\": if 'pods/*' is \
             present, must not specify pods/log",
            "webhooks[0].rules[0].resources: Invalid value: [\"*\",\"pods\",\"pods/*\",\"pods/log\"]: if \
             '*' is present, must not specify other resources without subresources",
            "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \
             \"NoneOnDryRun\"",
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 \
             and 30 seconds",
            "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed \
             URL scheme; desired format: https://host[/path]",
            "webhooks[0].clientConfig.url: Invalid value: \"me\": user information is not \
             permitted in the URL",
            "webhooks[0].clientConfig.url: Invalid value: \"z\": fragments are not permitted in \
             the URL",
            "webhooks[0].clientConfig.url: Invalid value: \"y\": query parameters are not \
             permitted in the URL",
            "webhooks[0].matchConditions[0].expression: Required value",
            "webhooks[0].admissionReviewVersions: Invalid value: [\"v2\"]: must include at least \
             one of v1, v1beta1",
        ]
    );
    assert_eq!(
        refused("validatingadmissionpolicies", json!({"spec": {}})).await,
        [
            "spec.matchConstraints: Required value",
            "spec.validations: Required value: validations or auditAnnotations must contain at \
             least one item",
            "spec.auditAnnotations: Required value: validations or auditAnnotations must contain \
             at least one item",
        ]
    );
    let mut policy = mutating();
    policy["spec"]["mutations"][0]["patchType"] = "JSONPatch".into();
    policy["spec"]["variables"] = json!([{"name": "1st", "expression": "1"}]);
    policy["spec"]["paramKind"] = json!({"apiVersion": "v1", "kind": "No_Kind"});
    let told = refused("mutatingadmissionpolicies", policy).await;
    assert!(told[0].starts_with("spec.paramKind.kind: Invalid value: \"No_Kind\": may have mixed"));
    assert_eq!(
        told[1..],
        [
            "spec.variables[0].name: Invalid value: \"1st\": name is not a valid CEL identifier",
            "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is \
             JSONPatch",
            "spec.mutations[0].applyConfiguration: Invalid value: \"{applyConfiguration}\": must \
             not be specified when patchType is JSONPatch",
        ]
    );
    // What is being deleted cannot be changed.
    let deletes = |mut spec: Value, rules: &str| {
        spec["spec"][rules]["resourceRules"][0]["operations"] = json!(["CREATE", "DELETE"]);
        spec
    };
    let mut policy = deletes(mutating(), "matchConstraints");
    policy["spec"]["mutations"][0]["applyConfiguration"]["expression"] = " ".into();
    let operations = "Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \
                      \"CREATE\", \"UPDATE\"";
    assert_eq!(
        refused("mutatingadmissionpolicies", policy).await,
        [
            format!("spec.matchConstraints.resourceRules.operations: {operations}"),
            "spec.mutations[0].applyConfiguration.expression: Required value".to_owned(),
        ]
    );
    let binding = json!({"spec": {"policyName": "p", "matchResources": rules()}});
    assert_eq!(
        refused(
            "mutatingadmissionpolicybindings",
            deletes(binding, "matchResources")
        )
        .await,
        [format!(
            "spec.matchResources.resourceRules.operations: {operations}"
        )]
    );
    let binding = json!({"spec": {"policyName": "p", "paramRef": {},
        "validationActions": ["Deny", "Warn", "Deny"]}});
    assert_eq!(
        refused("validatingadmissionpolicybindings", binding).await,
        [
            "spec.paramRef: Required value: one of name or selector must be specified",
            "spec.paramRef.parameterNotFoundAction: Required value",
            "spec.validationActions[2]: Duplicate value: \"Deny\"",
            "spec.validationActions: Invalid value: [\"Deny\",\"Warn\",\"Deny\"]: must not \
             contain both Deny and Warn (repeating the same validation failure information in \
             the API response and headers serves no purpose)",
        ]
    );
    server.stop().await;
}

/// Upstream: `pkg/apis/admissionregistration/validation/validation_test.go`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expressions_are_compiled_when_they_are_written() {
    let (server, mut admin) = Server::fresh().await;
    let mut refused = async |plural: &str, mut object: Value| {
        object["metadata"] = json!({"name": "x"});
        let path = format!("{GROUP}/{plural}");
        admin.refused(&path, object).await
    };
    let mut hook = webhook("a.example.com");
    hook["matchConditions"] = json!([
        {"name": "a", "expression": " request.nam == 'a'"},
        {"name": "b", "expression": "request.name"},
        {"name": "c", "expression": "variables.x || params.y"},
    ]);
    assert_eq!(
        refused("mutatingwebhookconfigurations", json!({"webhooks": [hook]})).await,
        [
            "webhooks[0].matchConditions[0].expression: Invalid value: \"request.nam == 'a'\": \
             compilation failed: ERROR: <input>:1:8: undefined field 'nam'\n | request.nam == 'a'\n \
             | .......^",
            "webhooks[0].matchConditions[1].expression: Invalid value: \"request.name\": must \
             evaluate to bool but got string",
            "webhooks[0].matchConditions[2].expression: Invalid value: \"variables.x || \
             params.y\": compilation failed: ERROR: <input>:1:1: undeclared reference to \
             'variables' (in container '')\n | variables.x || params.y\n | ^\nERROR: \
             <input>:1:16: undeclared reference to 'params' (in container '')\n | variables.x || \
             params.y\n | ...............^",
        ]
    );
    let mut policy = validating();
    policy["spec"]["variables"] = json!([
        {"name": "n", "expression": "size(object.metadata.name)"},
        {"name": "m", "expression": "variables.n + 1"},
        {"name": "o", "expression": "variables.later"},
        {"name": "later", "expression": "true"},
    ]);
    policy["spec"]["validations"] = json!([
        {"expression": "variables.m > 'a'"},
        {"expression": "variables.later", "messageExpression": "variables.m"},
        {"expression": "authorizer.path('/x').check('get').allowed()",
            "messageExpression": "string(authorizer.path('/x').check('get').allowed())"},
    ]);
    policy["spec"]["auditAnnotations"] = json!([
        {"key": "a", "valueExpression": "variables.m"},
        {"key": "b", "valueExpression": "'text'"},
    ]);
    let told = refused("validatingadmissionpolicies", policy).await;
    let shown = |index: usize| {
        let first = told[index].lines().next().unwrap_or_default();
        let (field, rest) = first.split_once(": Invalid value: ").expect("is invalid");
        let (_, why) = rest.split_once("\": ").expect("says why");
        format!("{field}: {why}")
    };
    let expected = [
        "spec.variables[2].expression: compilation failed: ERROR: <input>:1:10: undefined field \
         'later'",
        "spec.validations[0].expression: compilation failed: ERROR: <input>:1:13: found no \
         matching overload for '_>_' applied to '(int, string)'",
        "spec.validations[1].messageExpression: must evaluate to string but got int",
        "spec.validations[2].messageExpression: compilation failed: ERROR: <input>:1:8: \
         undeclared reference to 'authorizer' (in container '')",
        "spec.auditAnnotations[0].valueExpression: must evaluate to one of [string null_type] but \
         got int",
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (index, expected) in expected.into_iter().enumerate() {
        assert_eq!(shown(index), expected);
    }
    let mut policy = mutating();
    policy["spec"]["mutations"] = json!([
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "{'a': 1}"}},
        {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'test', path: '/a', value: 1}]"}},
        {"patchType": "JSONPatch", "jsonPatch": {"expression": "[{'op': 'test'}]"}},
    ]);
    assert_eq!(
        refused("mutatingadmissionpolicies", policy).await,
        [
            "spec.mutations[0].applyConfiguration.expression: Invalid value: \"{'a': 1}\": must \
             evaluate to Object but got map(string, int)",
            "spec.mutations[2].jsonPatch.expression: Invalid value: \"[{'op': 'test'}]\": must \
             evaluate to list(JSONPatch) but got list(map(string, string))",
        ]
    );
    server.stop().await;
}
