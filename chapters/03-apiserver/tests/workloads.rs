//! What keeps pods, and what limits them, as clients see them: each kind comes, changes and goes.
//!
//! What upstream's conformance suite asks of them without their controllers is held here:
//! `test/e2e/common/node/podtemplates.go`, `test/e2e/apps/{rc,job,cronjob,statefulset,
//! daemon_set,controller_revision,disruption}.go`, `test/e2e/scheduling/limit_range.go`.

#[allow(dead_code, reason = "the server's own test uses all of it")]
mod support;

use serde_json::{Value, json};
use support::{Client, Server};

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// A client of a new server, both until the end of the test.
async fn server() -> (tempfile::TempDir, Server, Client) {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let admin = server.client("admin").await;
    (dir, server, admin)
}

fn template(restart: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "a"}},
        "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": "i"}]},
    })
}

async fn create(client: &mut Client, path: &str, object: Value) -> Value {
    let (code, made) = client.call("POST", path, object).await;
    assert_eq!(code, 201, "{made}");
    made
}

async fn patch(client: &mut Client, path: &str, kind: &str, patch: Value) -> Value {
    let answer = client.call_as("PATCH", path, kind, patch.to_string()).await;
    let (code, patched) = answer;
    assert_eq!(code, 200, "{patched}");
    patched
}

/// What a write is refused with: 422, and the message after the name.
async fn refused(client: &mut Client, method: &str, path: &str, object: Value) -> String {
    let (code, status) = client.call(method, path, object).await;
    assert_eq!(code, 422, "{status}");
    let message = status["message"].as_str().expect("has one");
    let (_, message) = message.split_once(" is invalid: ").expect("is upstream's");
    message.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pod_templates() {
    let (_dir, server, mut admin) = server().await;
    let path = "/api/v1/namespaces/default/podtemplates";
    let labels = json!({"podtemplate": "x"});
    for name in ["a", "b"] {
        let object = json!({"metadata": {"name": name, "labels": labels},
            "template": template("Always")});
        let made = create(&mut admin, path, object).await;
        assert_eq!(made["metadata"]["generation"], 1);
        assert_eq!(made["template"]["spec"]["dnsPolicy"], "ClusterFirst");
    }
    let all = "/api/v1/podtemplates?labelSelector=podtemplate%3Dx";
    assert_eq!(
        admin.get(all).await.1["items"].as_array().map(Vec::len),
        Some(2)
    );
    let one = format!("{path}/a");
    let change = json!({"metadata": {"labels": {"podtemplate": "patched"}}});
    let mut patched = patch(&mut admin, &one, STRATEGIC, change).await;
    assert_eq!(patched["metadata"]["labels"]["podtemplate"], "patched");
    assert_eq!(patched["metadata"]["generation"], 1);
    patched["template"]["spec"]["containers"][0]["image"] = json!("other");
    let (code, replaced) = admin.call("PUT", &one, patched).await;
    assert_eq!(
        (code, &replaced["metadata"]["generation"]),
        (200, &json!(2))
    );
    let several = format!("{path}?labelSelector=podtemplate%3Dx");
    assert_eq!(admin.call("DELETE", &several, json!({})).await.0, 200);
    let left = admin.get(path).await.1;
    assert_eq!(left["items"][0]["metadata"]["name"], "a");
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replication_controllers() {
    let (_dir, server, mut admin) = server().await;
    let path = "/api/v1/namespaces/default/replicationcontrollers";
    let object = json!({"metadata": {"name": "rc"}, "spec": {"template": template("Always")}});
    let made = create(&mut admin, path, object).await;
    // What it selects, and its own labels, are its pods'.
    assert_eq!(made["spec"]["selector"], json!({"app": "a"}));
    assert_eq!(made["metadata"]["labels"], json!({"app": "a"}));
    assert_eq!(
        (&made["spec"]["replicas"], &made["status"]["replicas"]),
        (&json!(1), &json!(0))
    );

    let one = format!("{path}/rc");
    let status = json!({"status": {"replicas": 1, "readyReplicas": 1, "availableReplicas": 0},
        "spec": {"replicas": 7}});
    let patched = patch(&mut admin, &format!("{one}/status"), STRATEGIC, status).await;
    assert_eq!(patched["status"]["readyReplicas"], 1);
    assert_eq!(
        (
            &patched["spec"]["replicas"],
            &patched["metadata"]["generation"]
        ),
        (&json!(1), &json!(1))
    );
    let scale = json!({"spec": {"replicas": 2}});
    let scaled = patch(&mut admin, &format!("{one}/scale"), MERGE, scale).await;
    assert_eq!(
        scaled["status"],
        json!({"replicas": 1, "selector": "app=a"})
    );
    assert_eq!(admin.get(&one).await.1["spec"]["replicas"], 2);
    let (_, found) = admin
        .get(&format!("{path}?fieldSelector=status.replicas%3D1"))
        .await;
    assert_eq!(found["items"][0]["metadata"]["name"], "rc");

    // It leaves its pods, unless it is told not to.
    let (code, left) = admin.call("DELETE", &one, json!({})).await;
    assert_eq!(
        (code, &left["metadata"]["finalizers"]),
        (200, &json!(["orphan"]))
    );

    let mut wrong = json!({"metadata": {"name": "rc"}, "spec": {"selector": {"app": "b"},
        "replicas": -1, "template": template("Never")}});
    let message = refused(&mut admin, "POST", path, wrong.clone()).await;
    assert_eq!(
        message,
        "[spec.replicas: Invalid value: -1: must be greater than or equal to 0, \
         spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match \
         template `labels`, spec.template.spec.restartPolicy: Unsupported value: \"Never\": \
         supported values: \"Always\"]"
    );
    wrong["spec"] = json!({});
    let message = refused(&mut admin, "POST", path, wrong).await;
    let expected = "[spec.selector: Required value, spec.template: Required value]";
    assert_eq!(message, expected);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemon_sets_stateful_sets_and_their_revisions() {
    let (_dir, server, mut admin) = server().await;
    let path = "/apis/apps/v1/namespaces/default/daemonsets";
    let selector = json!({"matchLabels": {"app": "a"}});
    let object = json!({"metadata": {"name": "ds"},
        "spec": {"selector": selector, "template": template("Always")}});
    let mut made = create(&mut admin, path, object).await;
    let generation = "deprecated.daemonset.template.generation";
    assert_eq!(made["metadata"]["annotations"][generation], "1");
    assert_eq!(
        made["spec"]["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
    );
    made["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other");
    made["metadata"]["annotations"] = json!({});
    let (code, mut changed) = admin.call("PUT", &format!("{path}/ds"), made).await;
    assert_eq!((code, &changed["metadata"]["generation"]), (200, &json!(2)));
    assert_eq!(changed["metadata"]["annotations"][generation], "2");
    changed["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"] = json!(1);
    let message = refused(&mut admin, "PUT", &format!("{path}/ds"), changed).await;
    assert_eq!(
        message,
        "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when \
         maxUnavailable is non-zero"
    );

    let path = "/apis/apps/v1/namespaces/default/statefulsets";
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let object = json!({"metadata": {"name": "web"}, "spec": {"selector": selector,
        "template": template("Always"), "serviceName": "web", "volumeClaimTemplates": [claim]}});
    let mut made = create(&mut admin, path, object).await;
    let spec = &made["spec"];
    assert_eq!(spec["podManagementPolicy"], "OrderedReady");
    assert_eq!(
        spec["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "partition": 0}})
    );
    assert_eq!(
        spec["persistentVolumeClaimRetentionPolicy"],
        json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
    );
    let claim = &spec["volumeClaimTemplates"][0];
    assert_eq!(
        (&claim["kind"], &claim["status"]),
        (
            &json!("PersistentVolumeClaim"),
            &json!({"phase": "Pending"})
        )
    );
    assert_eq!(
        made["status"],
        json!({"replicas": 0, "availableReplicas": 0})
    );
    let scale = admin.get(&format!("{path}/web/scale")).await.1;
    assert_eq!(scale["spec"]["replicas"], 1);
    made["spec"]["serviceName"] = json!("other");
    made["spec"]["replicas"] = json!(2);
    let message = refused(&mut admin, "PUT", &format!("{path}/web"), made).await;
    assert_eq!(
        message,
        "spec.serviceName: Invalid value: \"other\": field is immutable"
    );
    let long = json!({"metadata": {"name": "a.b"}, "spec": {"selector": selector,
        "template": template("Always")}});
    let message = refused(&mut admin, "POST", path, long).await;
    assert!(
        message.starts_with("metadata.name: Invalid value: \"a.b\": must not contain dots"),
        "{message}"
    );

    let path = "/apis/apps/v1/namespaces/default/controllerrevisions";
    let object = json!({"metadata": {"name": "web-1"}, "revision": 1, "data": {"spec": {"a": 1}}});
    let mut made = create(&mut admin, path, object).await;
    made["revision"] = json!(2);
    made["data"]["spec"]["a"] = json!(2);
    let message = refused(&mut admin, "PUT", &format!("{path}/web-1"), made).await;
    assert_eq!(
        message,
        "data: Invalid value: {\"spec\":{\"a\":2}}: field is immutable"
    );
    let empty = json!({"metadata": {"name": "web-2"}, "revision": -1});
    let message = refused(&mut admin, "POST", path, empty).await;
    assert_eq!(
        message,
        "[data: Required value: data is mandatory, revision: Invalid value: -1: must be greater \
         than or equal to 0]"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs() {
    let (_dir, server, mut admin) = server().await;
    let path = "/apis/batch/v1/namespaces/default/jobs";
    let object = json!({"metadata": {"name": "pi"}, "spec": {"template": template("Never")}});
    let made = create(&mut admin, path, object.clone()).await;
    let uid = &made["metadata"]["uid"];
    let spec = &made["spec"];
    assert_eq!(
        spec["selector"],
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})
    );
    let labels = &spec["template"]["metadata"]["labels"];
    assert_eq!(
        (&labels["job-name"], &labels["app"]),
        (&json!("pi"), &json!("a"))
    );
    assert_eq!(
        (
            &spec["completions"],
            &spec["parallelism"],
            &spec["backoffLimit"],
            &spec["suspend"]
        ),
        (&json!(1), &json!(1), &json!(6), &json!(false))
    );

    let one = format!("{path}/pi");
    let status = json!({"status": {"active": 1, "startTime": "2026-01-01T00:00:00Z"}});
    let patched = patch(&mut admin, &format!("{one}/status"), STRATEGIC, status).await;
    assert_eq!(patched["status"]["active"], 1);
    let mut done = patched;
    done["status"] = json!({"active": 1, "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "Failed", "status": "True"}]});
    let message = refused(&mut admin, "PUT", &format!("{one}/status"), done).await;
    assert_eq!(
        message,
        "[status.conditions: Invalid value: cannot set Failed=True condition without the \
         FailureTarget=true condition, status.active: Invalid value: 1: active>0 is invalid for \
         finished job]"
    );
    let other = json!({"spec": {"completionMode": "Indexed", "completions": 3,
        "template": {"spec": {"nodeName": "n"}}}});
    let answer = admin.call_as("PATCH", &one, MERGE, other.to_string()).await;
    let message = answer.1["message"].as_str().expect("has one").to_owned();
    for field in ["spec.completions", "spec.template", "spec.completionMode"] {
        assert!(
            message.contains(&format!("{field}: Invalid value: ")),
            "{message}"
        );
    }
    assert!(message.contains("field is immutable"), "{message}");

    // While it waits to begin, where its pods may run can still be said.
    let mut waiting = object.clone();
    waiting["metadata"]["name"] = json!("waits");
    waiting["spec"]["suspend"] = json!(true);
    create(&mut admin, path, waiting).await;
    let nodes = json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "fast"}}}}});
    patch(&mut admin, &format!("{path}/waits"), MERGE, nodes).await;

    // It leaves its pods, and says so.
    let request = http::Request::delete(&one).header("host", "localhost");
    let request = request.body(Default::default()).expect("is a request");
    let response = admin.send(request).await;
    let warning = response.headers()["warning"].to_str().expect("is text");
    assert!(
        warning.starts_with("299 - \"child pods are preserved by default"),
        "{warning}"
    );
    let mut admin = server.client("admin").await;
    assert_eq!(
        admin.get(&one).await.1["metadata"]["finalizers"],
        json!(["orphan"])
    );

    let mut wrong = object;
    wrong["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    wrong["spec"]["template"]["metadata"]["labels"]["job-name"] = json!("other");
    let message = refused(&mut admin, "POST", path, wrong).await;
    assert!(
        message.contains("labels[job-name]: Invalid value"),
        "{message}"
    );
    assert!(
        message.contains(
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \
             \"Never\""
        ),
        "{message}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cron_jobs() {
    let (_dir, server, mut admin) = server().await;
    let path = "/apis/batch/v1/namespaces/default/cronjobs";
    let object = json!({"metadata": {"name": "tick"}, "spec": {"schedule": "*/1 * * * *",
        "jobTemplate": {"spec": {"template": template("Never")}}}});
    let made = create(&mut admin, path, object.clone()).await;
    let spec = &made["spec"];
    assert_eq!(
        (
            &spec["concurrencyPolicy"],
            &spec["successfulJobsHistoryLimit"],
            &spec["failedJobsHistoryLimit"]
        ),
        (&json!("Allow"), &json!(3), &json!(1))
    );
    // Its Jobs' selectors are made with them.
    assert_eq!(spec["jobTemplate"]["spec"].get("selector"), None);
    let status = json!({"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}});
    let patched = patch(&mut admin, &format!("{path}/tick/status"), MERGE, status).await;
    assert_eq!(
        patched["status"]["lastScheduleTime"],
        "2026-01-01T00:00:00Z"
    );
    let mut wrong = object;
    wrong["metadata"]["name"] = json!("x".repeat(53));
    wrong["spec"]["schedule"] = json!("TZ=UTC 61 * * * *");
    wrong["spec"]["timeZone"] = json!("Nowhere");
    let message = refused(&mut admin, "POST", path, wrong).await;
    for part in [
        "spec.schedule: Invalid value: \"TZ=UTC 61 * * * *\": end of range (61) above maximum \
         (59): 61",
        "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        "spec.timeZone: Invalid value: \"Nowhere\": unknown time zone Nowhere",
        "must be no more than 52 characters",
    ] {
        assert!(message.contains(part), "{message}");
    }
    // It takes its Jobs along: it is no such older kind.
    let (code, gone) = admin
        .call("DELETE", &format!("{path}/tick"), json!({}))
        .await;
    assert_eq!((code, &gone["status"]), (200, &json!("Success")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_ranges_and_quotas() {
    let (_dir, server, mut admin) = server().await;
    let path = "/api/v1/namespaces/default/limitranges";
    let object = json!({"metadata": {"name": "limits", "labels": {"a": "b"}}, "spec": {"limits": [
        {"type": "Container", "min": {"cpu": "50m"}, "max": {"cpu": "500m"}}]}});
    let made = create(&mut admin, path, object.clone()).await;
    let limit = &made["spec"]["limits"][0];
    assert_eq!(
        (&limit["default"], &limit["defaultRequest"]),
        (&json!({"cpu": "500m"}), &json!({"cpu": "500m"}))
    );
    let (_, all) = admin.get("/api/v1/limitranges?labelSelector=a%3Db").await;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
    let less = json!({"spec": {"limits": [{"type": "Container", "min": {"cpu": "10m"},
        "max": {"cpu": "500m"}}]}});
    patch(&mut admin, &format!("{path}/limits"), STRATEGIC, less).await;
    let deleted = admin
        .call("DELETE", &format!("{path}?labelSelector=a%3Db"), json!({}))
        .await;
    assert_eq!(deleted.0, 200);
    let mut nameless = object.clone();
    nameless["metadata"] = json!({});
    let made = create(&mut admin, path, nameless).await;
    assert_eq!(made["metadata"]["name"].as_str().map(str::len), Some(36));
    let mut wrong = object;
    wrong["spec"]["limits"] = json!([
        {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}},
        {"type": "PersistentVolumeClaim"},
    ]);
    let message = refused(&mut admin, "POST", path, wrong).await;
    for part in [
        "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
        "spec.limits[1].limits: Required value: either minimum or maximum storage value is \
         required, but neither was provided",
    ] {
        assert!(message.contains(part), "{message}");
    }

    let path = "/api/v1/namespaces/default/resourcequotas";
    let object = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "5",
        "requests.cpu": "1", "count/deployments.apps": "2"}}, "status": {"hard": {"pods": "9"}}});
    let made = create(&mut admin, path, object).await;
    assert_eq!(made["status"], json!({}));
    let status = json!({"status": {"hard": {"pods": "5"}, "used": {"pods": "0"}}});
    let patched = patch(&mut admin, &format!("{path}/q/status"), MERGE, status).await;
    assert_eq!(patched["status"]["hard"], json!({"pods": "5"}));
    let wrong = json!({"metadata": {"name": "w"}, "spec": {"hard": {"mice": "1", "pods": "1500m",
        "services": "1"}, "scopes": ["BestEffort", "NotBestEffort", "x"]}});
    let message = refused(&mut admin, "POST", path, wrong).await;
    for part in [
        "spec.hard[mice]: Invalid value: \"mice\": must be a standard resource for quota",
        "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
        "unsupported scope applied to resource",
        ": unsupported scope,",
        "conflicting scopes",
    ] {
        assert!(message.contains(part), "{message}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disruption_budgets() {
    let (_dir, server, mut admin) = server().await;
    let path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let object = json!({"metadata": {"name": "pdb"}, "spec": {"minAvailable": 1,
        "selector": {"matchLabels": {"app": "a"}}}});
    let mut made = create(&mut admin, path, object).await;
    assert_eq!(made["metadata"]["generation"], 1);
    let one = format!("{path}/pdb");
    let version = made["metadata"]["resourceVersion"].take();
    made["spec"]["minAvailable"] = json!(2);
    let message = refused(&mut admin, "PUT", &one, made.clone()).await;
    assert_eq!(
        message,
        "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
    made["metadata"]["resourceVersion"] = version;
    let (code, changed) = admin.call("PUT", &one, made).await;
    assert_eq!((code, &changed["metadata"]["generation"]), (200, &json!(2)));
    // A patch of the selector replaces it: two selectors' terms together are no selector's.
    let other = json!({"spec": {"selector": {"matchLabels": {"tier": "b"}}}});
    let patched = patch(&mut admin, &one, STRATEGIC, other).await;
    assert_eq!(
        patched["spec"]["selector"],
        json!({"matchLabels": {"tier": "b"}})
    );
    let status = json!({"status": {"disruptionsAllowed": -1, "conditions": [{"type": "x"}]}});
    let (code, told) = admin
        .call_as("PATCH", &format!("{one}/status"), MERGE, status.to_string())
        .await;
    assert_eq!(code, 422);
    let message = told["message"].as_str().expect("has one");
    assert!(
        message.contains("status.conditions[0].status: Required value"),
        "{message}"
    );
    assert!(
        message.contains(
            "status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0"
        ),
        "{message}"
    );
    let wrong = json!({"metadata": {"name": "w"}, "spec": {"minAvailable": "101%",
        "maxUnavailable": 1, "unhealthyPodEvictionPolicy": "Never"}});
    let message = refused(&mut admin, "POST", path, wrong).await;
    for part in [
        "minAvailable and maxUnavailable cannot be both set",
        "spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%",
        "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Never\": supported values: \
         \"AlwaysAllow\", \"IfHealthyBudget\"",
    ] {
        assert!(message.contains(part), "{message}");
    }
    server.stop().await;
}
