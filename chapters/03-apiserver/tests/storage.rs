//! Drivers of storage and what they attach, over HTTP. Upstream:
//! `test/e2e/storage/{csi_inline,csi_node,csistoragecapacity,volume_attachment,volumeattributesclass}.go`.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use serde_json::{Value, json};
use support::{Server, lifecycle::lifecycle};

const STORAGE: &str = "/apis/storage.k8s.io/v1";
const MERGE: &str = "application/merge-patch+json";

fn attachment(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"attacher": "e2e-test.storage.k8s.io",
        "nodeName": "n", "source": {"persistentVolumeName": "pv"}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_lives_and_goes() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    for (plural, template) in [
        ("csidrivers", json!({"spec": {}})),
        (
            "csinodes",
            json!({"spec": {"drivers": [{"name": "a.example.com", "nodeID": "n",
                "topologyKeys": ["zone"]}]}}),
        ),
        (
            "namespaces/default/csistoragecapacities",
            json!({"storageClassName": "fast", "capacity": "10Gi"}),
        ),
        (
            "storageclasses",
            json!({"provisioner": "e2e-fake-provisioner"}),
        ),
        ("volumeattachments", attachment("")),
        (
            "volumeattributesclasses",
            json!({"driverName": "a.example.com", "parameters": {"iops": "100"}}),
        ),
    ] {
        lifecycle(&server, &format!("{STORAGE}/{plural}"), template).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_out_is_filled_in_and_what_is_settled_stays() {
    let (server, mut admin) = Server::fresh().await;
    let drivers = format!("{STORAGE}/csidrivers");
    let driver = json!({"metadata": {"name": "a.example.com"}, "spec": {}});
    let (code, made) = admin.call("POST", &drivers, driver).await;
    assert_eq!(code, 201);
    assert_eq!(
        made["spec"],
        json!({"attachRequired": true, "podInfoOnMount": false, "storageCapacity": false,
            "fsGroupPolicy": "ReadWriteOnceWithFSType", "requiresRepublish": false,
            "seLinuxMount": false, "volumeLifecycleModes": ["Persistent"]})
    );
    let path = format!("{drivers}/a.example.com");
    let change = |spec: Value| json!({"spec": spec}).to_string();
    let (code, changed) = admin
        .call_as(
            "PATCH",
            &path,
            MERGE,
            change(json!({"podInfoOnMount": true})),
        )
        .await;
    assert_eq!((code, &changed["metadata"]["generation"]), (200, &json!(1)));
    let (code, refused) = admin
        .call_as(
            "PATCH",
            &path,
            MERGE,
            change(json!({"attachRequired": false})),
        )
        .await;
    assert_eq!(
        (code, &refused["message"]),
        (
            422,
            &json!(
                "CSIDriver.storage.k8s.io \"a.example.com\" is invalid: spec.attachedRequired: \
                 Invalid value: false: field is immutable"
            )
        )
    );
    // A write has to say what it is a change of.
    let mut blind = changed.clone();
    blind["metadata"]["resourceVersion"] = Value::Null;
    let (code, refused) = admin.call("PUT", &path, blind).await;
    assert_eq!((code, &refused["reason"]), (422, &json!("Invalid")));
    // The object itself answers its deletion.
    let (_, gone) = admin.call("DELETE", &path, json!({})).await;
    assert_eq!(gone["kind"], "CSIDriver");

    let classes = format!("{STORAGE}/volumeattributesclasses");
    let class = json!({"metadata": {"name": "c"}, "driverName": "a.example.com"});
    let (code, refused) = admin.call("POST", &classes, class).await;
    assert_eq!(
        (code, &refused["message"]),
        (
            422,
            &json!(
                "VolumeAttributesClass.storage.k8s.io \"c\" is invalid: parameters: Required \
                 value: must contain at least one key/value pair"
            )
        )
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attachment_s_status_has_its_own_door() {
    let (server, mut admin) = Server::fresh().await;
    let path = format!("{STORAGE}/volumeattachments");
    let mut wanted = attachment("va");
    wanted["status"] = json!({"attached": true});
    let (code, made) = admin.call("POST", &path, wanted).await;
    assert_eq!((code, &made["status"]), (201, &json!({"attached": false})));

    let path = format!("{path}/va");
    let status = format!("{path}/status");
    let attached = json!({"status": {"attached": true}, "metadata": {"labels": {"a": "b"}},
        "spec": {"nodeName": "other"}});
    let (code, patched) = admin
        .call_as("PATCH", &status, MERGE, attached.to_string())
        .await;
    assert_eq!(code, 200, "{patched}");
    assert_eq!(patched["status"]["attached"], true);
    assert_eq!(patched["spec"], made["spec"]);
    assert_eq!(patched["metadata"].get("labels"), None);
    let (_, mut got) = admin.get(&status).await;
    got["status"]["attached"] = false.into();
    let (code, updated) = admin.call("PUT", &status, got).await;
    assert_eq!((code, &updated["status"]["attached"]), (200, &json!(false)));

    let elsewhere = json!({"spec": {"nodeName": "other"}}).to_string();
    let (code, refused) = admin.call_as("PATCH", &path, MERGE, elsewhere).await;
    assert_eq!(code, 422);
    let why = refused["message"].as_str().expect("says why");
    assert!(why.ends_with("field is immutable"), "{why}");
    server.stop().await;
}
