//! Volumes and the claims to them.

use serde_json::{Value, json};

use super::*;

#[test]
fn volumes_and_claims() {
    let volume = "PersistentVolume";
    assert!(create(volume, &[]).is_empty());
    let (modes, storage) = ("/spec/accessModes", "/spec/capacity");
    assert_eq!(
        create(
            volume,
            &[
                (modes, json!(["Often"])),
                (storage, json!({"storage": "0"}))
            ]
        ),
        [
            "spec.accessModes: Unsupported value: \"Often\": supported values: \"ReadOnlyMany\", \
             \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
            "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero",
        ]
    );
    assert_eq!(
        create(
            volume,
            &[
                ("/spec/hostPath", Value::Null),
                ("/spec/local", json!({"path": "/x"}))
            ]
        ),
        ["spec.nodeAffinity: Required value: Local volume requires node affinity"]
    );
    assert_eq!(
        create(volume, &[("/spec/hostPath", Value::Null)]),
        ["spec: Required value: must specify a volume type"]
    );
    assert_eq!(
        update(volume, &[("/spec/hostPath/path", json!("/other"))]),
        [
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable \
             after creation"
        ]
    );
    let bound = [
        ("/spec/claimRef", json!({"name": "c"})),
        (storage, json!({"storage": "2Gi"})),
    ];
    assert!(update(volume, &bound).is_empty());

    let claim = "PersistentVolumeClaim";
    assert!(create(claim, &[]).is_empty());
    assert_eq!(
        create(claim, &[(modes, json!([])), ("/spec/resources", json!({}))]),
        [
            "spec.accessModes: Required value: at least 1 access mode is required",
            "spec.resources[storage]: Required value",
        ]
    );
    assert!(update(claim, &[("/spec/volumeName", json!("pv"))]).is_empty());
    let size = "/spec/resources/requests/storage";
    assert_eq!(
        update(claim, &[(size, json!("2Gi"))]),
        [
            "spec: Forbidden: spec is immutable after creation except resources.requests and \
             volumeAttributesClassName for bound claims"
        ]
    );
    let grown = [("/status/phase", json!("Bound")), (size, json!("2Gi"))];
    assert!(update(claim, &grown).is_empty());
    let shrunk = [("/status/phase", json!("Bound")), (size, json!("1Mi"))];
    assert_eq!(
        update(claim, &shrunk),
        [
            "spec.resources.requests.storage: Forbidden: field can not be less than \
             status.capacity"
        ]
    );

    let class = "StorageClass";
    assert!(create(class, &[]).is_empty());
    assert_eq!(
        update(
            class,
            &[("/volumeBindingMode", json!("WaitForFirstConsumer"))]
        ),
        ["volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable"]
    );
    assert_eq!(
        update(class, &[("/parameters", json!({"a": "b"}))]),
        ["parameters: Forbidden: updates to parameters are forbidden."]
    );
}
