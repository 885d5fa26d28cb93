use super::*;

/// What is built in, with documents that are made once for all of a test.
fn catalog() -> &'static Catalog {
    static BUILT_IN: std::sync::LazyLock<Catalog> = std::sync::LazyLock::new(Catalog::default);
    &BUILT_IN
}

fn v3_of(path: &str) -> Value {
    serde_json::from_slice(&v3(catalog(), path).unwrap().plain()).unwrap()
}

/// Every reference in a document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value.as_str() {
                    Some(reference) if key == "$ref" => found.push(reference.to_owned()),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn check_references(document: &Value) {
    let mut found = Vec::new();
    references(document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    check_references(&serde_json::from_slice(&v2(catalog()).plain()).unwrap());
    for path in v3_index(catalog())["paths"].as_object().unwrap().keys() {
        check_references(&v3_of(path));
    }
    assert!(v3(catalog(), "apis/none/v1").is_none());
}

#[test]
fn no_field_is_null() {
    fn check(value: &Value) {
        assert!(!value.is_null());
        value
            .as_object()
            .into_iter()
            .flatten()
            .for_each(|(_, value)| check(value));
        value.as_array().into_iter().flatten().for_each(check);
    }
    check(&v3_of("apis/apps/v1"));
}

#[test]
fn the_index_names_each_group_version() {
    let index = v3_index(catalog());
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
        .as_str()
        .unwrap();
    let hash = &v3(catalog(), "apis/apps/v1").unwrap().hash;
    assert_eq!(url, format!("/openapi/v3/apis/apps/v1?hash={hash}"));
    assert!(index["paths"]["api/v1"].is_object());
}

#[test]
fn kubectl_finds_what_it_looks_for() {
    let apps = v3_of("apis/apps/v1");
    let patch = &apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
    assert_eq!(patch["tags"], json!(["apps_v1"]));
    assert_eq!(
        patch["x-kubernetes-group-version-kind"]["kind"],
        "Deployment"
    );
    let content = &patch["requestBody"]["content"];
    assert!(content["application/strategic-merge-patch+json"].is_object());
    let parameters = patch["parameters"].as_array().unwrap();
    assert!(
        parameters
            .iter()
            .any(|p| p["name"] == "fieldValidation" && p["in"] == "query")
    );

    let schemas = &apps["components"]["schemas"];
    let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(
        deployment["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])
    );
    assert_eq!(deployment.get("required"), None);
    assert_eq!(
        deployment["properties"]["spec"],
        json!({
            "allOf": [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}],
            "default": {},
            "description": "Specification of the desired behavior of the Deployment.",
        })
    );
    let ports = &schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-list-type"], "map");
    assert_eq!(
        ports["x-kubernetes-list-map-keys"],
        json!(["containerPort", "protocol"])
    );
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
    assert_eq!(ports["x-kubernetes-patch-strategy"], "merge");
    let volumes = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"];
    assert_eq!(volumes["x-kubernetes-patch-strategy"], "merge,retainKeys");
}

#[test]
fn all_documents_together_are_small() {
    let catalog = catalog();
    let v3s: usize = group_versions(catalog)
        .keys()
        .map(|path| v3(catalog, path).unwrap().gzip.len())
        .sum();
    let total = v3s + v2(catalog).gzip.len();
    assert!(total < 800_000, "{total}");
}

/// Reads a protobuf message's strings, at any depth: names and texts, in their order.
fn fields_at(message: &[u8], path: &[u32]) -> Vec<Vec<u8>> {
    use crate::protobuf::wire::{Fields, Raw};
    let Some((number, rest)) = path.split_first() else {
        return vec![message.to_vec()];
    };
    let fields = Fields::new(message).map(|field| field.expect("a field"));
    let inner = fields.filter_map(|(at, raw)| match raw {
        Raw::Bytes(bytes) if at == *number => Some(fields_at(bytes, rest)),
        _ => None,
    });
    inner.flatten().collect()
}

#[test]
fn protobuf_says_what_json_says() {
    let json: Value = serde_json::from_slice(&v2(catalog()).plain()).unwrap();
    let message = v2_protobuf(catalog()).plain();
    let names = |map: &Value| -> Vec<Vec<u8>> {
        let keys = map.as_object().unwrap().keys();
        keys.map(|key| key.clone().into_bytes()).collect()
    };
    // Document.paths.path.name, Document.definitions.additional_properties.name
    assert_eq!(fields_at(&message, &[8, 2, 1]), names(&json["paths"]));
    assert_eq!(fields_at(&message, &[9, 1, 1]), names(&json["definitions"]));
    // A kind is found by an extension of its schema: a value in YAML.
    let pod = "io.k8s.api.core.v1.Pod";
    let entries = fields_at(&message, &[9, 1]);
    let entry = entries
        .iter()
        .find(|entry| fields_at(entry, &[1]) == [pod.as_bytes()])
        .unwrap();
    let kinds = fields_at(entry, &[2, 31, 2, 2]);
    let kinds: Value = serde_json::from_slice(&kinds[0]).unwrap();
    assert_eq!(
        kinds,
        json["definitions"][pod]["x-kubernetes-group-version-kind"]
    );
    // Deployment's spec: Schema.properties.additional_properties.value._ref
    let spec = "io.k8s.api.apps.v1.Deployment";
    let entry = entries
        .iter()
        .find(|entry| fields_at(entry, &[1]) == [spec.as_bytes()])
        .unwrap();
    let references = fields_at(entry, &[2, 25, 1, 2, 1]);
    let expected = "#/definitions/io.k8s.api.apps.v1.DeploymentSpec";
    assert!(references.contains(&expected.as_bytes().to_vec()));
}
