//! A good object of each kind by which a cluster is run, for tests.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

pub(super) fn good(kind: &str) -> Value {
    match kind {
        "CertificateSigningRequest" => {
            let params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
            let key = rcgen::KeyPair::generate().expect("a key");
            let request = params.serialize_request(&key).expect("can be signed");
            let pem = request.pem().expect("can be written");
            json!({"spec": {"request": STANDARD.encode(pem), "signerName": "example.com/a",
                "usages": ["client auth"]}})
        }
        "ValidatingAdmissionPolicy" => json!({"spec": {"matchConstraints": rules(),
            "validations": [{"expression": "true"}]}}),
        "MutatingAdmissionPolicy" => json!({"spec": {"matchConstraints": rules(),
            "reinvocationPolicy": "Never", "mutations": [
                {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'remove', path: '/a'}]"}}]}}),
        "ValidatingAdmissionPolicyBinding" => json!({"spec": {"policyName": "p",
            "validationActions": ["Deny"]}}),
        "MutatingAdmissionPolicyBinding" => json!({"spec": {"policyName": "p"}}),
        "FlowSchema" => json!({"spec": {"priorityLevelConfiguration": {"name": "system"}}}),
        "PriorityLevelConfiguration" => json!({"spec": {"type": "Limited",
            "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}}),
        "APIService" => json!({"spec": {"group": "example.com", "version": "v1",
            "groupPriorityMinimum": 1000, "versionPriority": 15}}),
        "ResourceClaim" => json!({"spec": claim()}),
        "ResourceClaimTemplate" => json!({"spec": {"spec": claim()}}),
        "ResourceSlice" => json!({"spec": {"driver": "a.example.com", "nodeName": "n",
            "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "one", "attributes": {"model": {"string": "a"}}}]}}),
        "CSIStorageCapacity" => json!({"storageClassName": "fast"}),
        "VolumeAttachment" => json!({"spec": {"attacher": "a.example.com", "nodeName": "n",
            "source": {"persistentVolumeName": "pv"}}}),
        "VolumeAttributesClass" => json!({"driverName": "a.example.com",
            "parameters": {"iops": "100"}}),
        _ => json!({}),
    }
}

fn rules() -> Value {
    json!({"resourceRules": [{"operations": ["CREATE"], "apiGroups": ["apps"],
        "apiVersions": ["v1"], "resources": ["deployments"]}]})
}

fn claim() -> Value {
    json!({"devices": {"requests": [
        {"name": "one", "exactly": {"deviceClassName": "gpu"}}]}})
}
