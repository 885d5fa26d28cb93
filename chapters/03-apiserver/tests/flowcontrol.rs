//! Priority and fairness, and APIServices: the objects, over HTTP. Upstream:
//! `test/e2e/apimachinery/{flowcontrol,aggregator}.go`.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use serde_json::{Value, json};
use support::{Server, lifecycle::lifecycle};

const FLOWS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";
const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const MERGE: &str = "application/merge-patch+json";

fn schema() -> Value {
    json!({"metadata": {}, "spec": {"matchingPrecedence": 10000,
        "priorityLevelConfiguration": {"name": "global-default"},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": [{"kind": "User", "user": {"name": "example-e2e"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}})
}

fn level() -> Value {
    json!({"metadata": {}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_and_levels_live_and_go() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    lifecycle(&server, &format!("{FLOWS}/flowschemas"), schema()).await;
    lifecycle(
        &server,
        &format!("{FLOWS}/prioritylevelconfigurations"),
        level(),
    )
    .await;

    let mut admin = server.client("admin").await;
    for (plural, mut template, change) in [
        (
            "flowschemas",
            schema(),
            json!({"spec": {"matchingPrecedence": 9999}}),
        ),
        (
            "prioritylevelconfigurations",
            level(),
            json!({"spec": {"limited": {"nominalConcurrencyShares": 4}}}),
        ),
    ] {
        template["metadata"]["name"] = "e2e".into();
        let (code, made) = admin
            .call("POST", &format!("{FLOWS}/{plural}"), template)
            .await;
        assert_eq!(code, 201, "{made}");
        let path = format!("{FLOWS}/{plural}/e2e");
        let (code, changed) = admin
            .call_as("PATCH", &path, MERGE, change.to_string())
            .await;
        assert_eq!((code, &changed["metadata"]["generation"]), (200, &json!(2)));
        let status = format!("{path}/status");
        let patch = json!({"status": {"conditions":
            [{"type": "PatchStatusFailed", "status": "False", "reason": "e2e"}]}});
        let (code, mut patched) = admin
            .call_as("PATCH", &status, MERGE, patch.to_string())
            .await;
        assert_eq!(code, 200, "{patched}");
        assert_eq!(patched["status"]["conditions"][0]["reason"], "e2e");
        patched["status"]["conditions"]
            .as_array_mut()
            .expect("a list")
            .push(json!({"type": "StatusUpdateFailed", "status": "False"}));
        patched["spec"] = json!({});
        let (code, updated) = admin.call("PUT", &status, patched).await;
        assert_eq!(code, 200, "{updated}");
        assert_eq!(
            updated["status"]["conditions"].as_array().map(Vec::len),
            Some(2)
        );
        assert_eq!(updated["spec"], changed["spec"]);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_every_cluster_has_is_there_and_comes_back() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let mut admin = server.client("admin").await;
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().expect("a list").iter();
        items
            .map(|item| {
                item["metadata"]["name"]
                    .as_str()
                    .expect("a name")
                    .to_owned()
            })
            .collect()
    };
    let (_, levels) = admin
        .get(&format!("{FLOWS}/prioritylevelconfigurations"))
        .await;
    let expected = [
        "catch-all",
        "exempt",
        "global-default",
        "leader-election",
        "node-high",
        "system",
        "workload-high",
        "workload-low",
    ];
    assert_eq!(names(&levels), expected);
    let (_, schemas) = admin.get(&format!("{FLOWS}/flowschemas")).await;
    assert_eq!(schemas["items"].as_array().map(Vec::len), Some(11));

    // What is mandatory stays as it is; a suggestion does not.
    let catch_all = format!("{FLOWS}/flowschemas/catch-all");
    let change = json!({"spec": {"matchingPrecedence": 9000}}).to_string();
    let (code, refused) = admin.call_as("PATCH", &catch_all, MERGE, change).await;
    assert_eq!(code, 422);
    let why = refused["message"].as_str().expect("says why");
    assert!(
        why.ends_with("spec of 'catch-all' must equal the fixed value"),
        "{why}"
    );
    let exempt = format!("{FLOWS}/prioritylevelconfigurations/exempt");
    let share = json!({"spec": {"exempt": {"nominalConcurrencyShares": 7}}}).to_string();
    assert_eq!(admin.call_as("PATCH", &exempt, MERGE, share).await.0, 200);
    for (name, auto) in [("system", "true"), ("node-high", "false")] {
        let path = format!("{FLOWS}/prioritylevelconfigurations/{name}");
        let change = json!({"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": auto}},
            "spec": {"limited": {"nominalConcurrencyShares": 1}}});
        let changed = admin
            .call_as("PATCH", &path, MERGE, change.to_string())
            .await;
        assert_eq!(changed.0, 200);
    }
    let gone = admin
        .call("DELETE", &format!("{FLOWS}/flowschemas/probes"), json!({}))
        .await;
    assert_eq!(gone.0, 200);
    server.stop().await;

    let server = Server::start(dir.path()).await;
    let mut admin = server.client("admin").await;
    assert_eq!(
        admin.get(&format!("{FLOWS}/flowschemas/probes")).await.0,
        200
    );
    let mut shares = Vec::new();
    for name in ["system", "node-high"] {
        let path = format!("{FLOWS}/prioritylevelconfigurations/{name}");
        let (_, level) = admin.get(&path).await;
        shares.push(level["spec"]["limited"]["nominalConcurrencyShares"].clone());
    }
    assert_eq!(shares, [30, 1]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told() {
    let (server, mut admin) = Server::fresh().await;
    let schema = json!({"metadata": {"name": "x"}, "spec": {"matchingPrecedence": 1,
        "rules": [{"subjects": [{"kind": "User", "group": {"name": "g"}}],
            "resourceRules": [{"verbs": ["read"], "apiGroups": ["*", "apps"],
                "resources": ["pods"], "namespaces": ["No"]}],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["a", "/a*"]}]}]}});
    let told = admin.refused(&format!("{FLOWS}/flowschemas"), schema).await;
    assert_eq!(
        told[..6],
        [
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have \
             matchingPrecedence 1",
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority \
             level",
            "spec.rules[0].subjects[0].user: Required value: user is required when subject kind \
             is 'User'",
            "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is \
             not 'Group'",
            "spec.rules[0].resourceRules[0].verbs: Unsupported value: [\"read\"]: supported \
             values: \"create\", \"delete\", \"deletecollection\", \"get\", \"list\", \"patch\", \
             \"proxy\", \"update\", \"watch\"",
            "spec.rules[0].resourceRules[0].apiGroups: Invalid value: [\"*\",\"apps\"]: if '*' is \
             present, must not specify other api groups",
        ]
    );
    assert!(told[6].contains("each member of this list must be '*' or a DNS-1123 label; "));
    assert_eq!(
        told[7..],
        [
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"a\": must \
             start with slash",
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: \"/a*\": \
             wildcard can only do suffix matching",
        ]
    );
    let level = json!({"metadata": {"name": "x"}, "spec": {"type": "Limited", "limited": {
        "lendablePercent": 101, "limitResponse": {"type": "Queue",
            "queuing": {"queues": 512, "handSize": 8}}}}});
    assert_eq!(
        admin
            .refused(&format!("{FLOWS}/prioritylevelconfigurations"), level)
            .await,
        [
            "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, \
             inclusive",
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy \
             bits of deckSize 512 and handSize 8 should not be greater than 60",
        ]
    );
    let service = json!({"metadata": {"name": "x"}, "spec": {"group": "example.com",
        "version": "v1", "groupPriorityMinimum": 20001, "versionPriority": 15,
        "insecureSkipTLSVerify": true}});
    assert_eq!(
        admin.refused(SERVICES, service).await,
        [
            "metadata.name: Invalid value: \"x\": must be `spec.version+\".\"+spec.group`: \
             \"v1.example.com\"",
            "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
            "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have \
             insecureSkipTLSVerify",
        ]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_group_has_its_service() {
    let (server, mut admin) = Server::fresh().await;
    let (code, apps) = admin.get(&format!("{SERVICES}/v1.apps")).await;
    assert_eq!(code, 200);
    assert_eq!(
        apps["spec"],
        json!({"group": "apps", "version": "v1", "groupPriorityMinimum": 17800,
            "versionPriority": 15})
    );
    let condition = &apps["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"]),
        (&json!("Available"), &json!("True"))
    );
    assert_eq!(admin.get(&format!("{SERVICES}/v1.")).await.0, 200);

    let other = json!({"metadata": {"name": "v1.example.com"}, "spec": {"group": "example.com",
        "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
        "service": {"namespace": "default", "name": "example"}}});
    let (code, made) = admin.call("POST", SERVICES, other).await;
    assert_eq!((code, &made["spec"]["service"]["port"]), (201, &json!(443)));
    assert_eq!(made["status"], json!({}));
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let rows = support::get_as(&mut admin, SERVICES, table).await;
    let row = |name: &str| {
        let mut rows = rows["rows"].as_array().expect("rows").iter();
        let row = rows.find(|row| row["cells"][0] == name).expect(name);
        [row["cells"][1].clone(), row["cells"][2].clone()]
    };
    assert_eq!(row("v1.apps"), [json!("Local"), json!("True")]);
    assert_eq!(
        row("v1.example.com"),
        [json!("default/example"), json!("Unknown")]
    );
    server.stop().await;
}
