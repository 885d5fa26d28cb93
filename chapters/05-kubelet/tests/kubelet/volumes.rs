//! Volumes show what the API holds.

use super::*;

/// Where a file of a pod's volume is on the machine.
fn shown(machine: &Machine, pod: &str, kind: &str, file: &str) -> Option<String> {
    let pod = machine.api.get("pods", "default", pod)?;
    let uid = pod["metadata"]["uid"].as_str()?.to_owned();
    let volumes = machine.folder.path().join("root/pods").join(uid);
    let path = volumes
        .join("volumes")
        .join(format!("kubernetes.io~{kind}"));
    std::fs::read_to_string(path.join(file)).ok()
}

#[tokio::test]
async fn volumes_show_what_the_api_holds_as_soon_as_it_changes() {
    let machine = Machine::new();
    let map = |name: &str, value: &str| {
        json!({ "metadata": { "name": name, "namespace": "default" }, "data": { "key": value },
            "immutable": name == "fixed" })
    };
    machine.api.put("configmaps", map("conf", "one"));
    machine.api.put("configmaps", map("fixed", "for ever"));
    for name in ["a", "b"] {
        let spec = json!({
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "c", "image": "i" }],
            "volumes": [
                { "name": "conf", "configMap": { "name": "conf" } },
                { "name": "fixed", "configMap": { "name": "fixed" } },
                { "name": "me", "downwardAPI": { "items": [
                    { "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } },
                ] } },
            ],
        });
        machine.api.put("pods", pod(name, spec));
    }
    let _kubelet = machine.start();
    let both = |kind: &str, file: &str, expect: &str| {
        let is = |pod| shown(&machine, pod, kind, file).as_deref() == Some(expect);
        is("a") && is("b")
    };
    let ready = || machine.is_ready("a") && machine.is_ready("b");
    machine.api.wait("both run", ready).await;
    assert!(both("configmap", "conf/key", "one"));
    // One for both pods, and none for what never changes.
    let one_watch = || machine.api.watches("configmaps") == 1;
    machine.api.wait("one watch is open", one_watch).await;

    machine.api.put("configmaps", map("conf", "two"));
    let updated = || both("configmap", "conf/key", "two");
    machine.api.wait("both show the change", updated).await;

    let mut labelled = machine
        .api
        .get("pods", "default", "a")
        .expect("it is there");
    labelled["metadata"]["labels"] = json!({ "shade": "blue" });
    machine.api.put("pods", labelled);
    let relabelled = || {
        let labels = shown(&machine, "a", "downward-api", "me/labels");
        labels.is_some_and(|labels| labels.contains("blue"))
    };
    machine.api.wait("the label is shown", relabelled).await;

    for name in ["a", "b"] {
        let mut going = machine
            .api
            .get("pods", "default", name)
            .expect("it is there");
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        going["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        machine.api.put("pods", going);
    }
    let none = || machine.api.watches("configmaps") == 0;
    machine
        .api
        .wait("the watch ends with the last pod", none)
        .await;
}

#[tokio::test]
async fn a_pod_waits_for_its_claim() {
    let machine = Machine::new();
    let data = machine.folder.path().join("data");
    let claim = |phase: &str| {
        json!({ "metadata": { "name": "claim", "namespace": "default", "uid": "u1" },
            "spec": { "volumeName": "pv" }, "status": { "phase": phase } })
    };
    machine.api.put("persistentvolumeclaims", claim("Pending"));
    machine.api.put(
        "persistentvolumes",
        json!({ "metadata": { "name": "pv" }, "spec": {
            "claimRef": { "namespace": "default", "name": "claim", "uid": "u1" },
            "hostPath": { "path": data, "type": "DirectoryOrCreate" } } }),
    );
    let spec = json!({
        "containers": [{ "name": "c", "image": "i",
            "volumeMounts": [{ "name": "v", "mountPath": "/data", "subPath": "part" }] }],
        "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "claim" } }],
    });
    machine.api.put("pods", pod("p", spec));
    let _kubelet = machine.start();
    let told = || {
        let events = machine.api.list("events");
        events.iter().any(|event| {
            event["reason"] == "FailedMount"
                && event["message"]
                    == "Unable to attach or mount volumes: unmounted volumes=[v], unattached \
                        volumes=[], failed to process volumes=[v]: error processing PVC \
                        default/claim: PVC is not bound"
        })
    };
    machine
        .api
        .wait("it is said what is waited for", told)
        .await;
    assert!(!data.exists());
    machine.api.put("persistentvolumeclaims", claim("Bound"));
    machine
        .api
        .wait("the pod runs", || machine.is_ready("p"))
        .await;
    assert!(data.join("part").is_dir());
}
