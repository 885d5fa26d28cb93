//! The types of custom resources, as OpenAPI tells them: what their definition says, and what
//! every object has.
//!
//! Version 2 knows less than definitions may say. What it has no word for is left out, and with
//! it what clients of that version would then misread. Upstream:
//! `apiextensions-apiserver/pkg/controller/openapi/{builder,v2}`.

use serde_json::{Map, Value, json};

use super::models::{Form, reference};
use super::operations::kind;
use crate::resources::Custom;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
/// What version 2 does not have.
const NOT_IN_V2: &[&str] = &[
    "allOf",
    "oneOf",
    "anyOf",
    "not",
    "nullable",
    "example",
    "externalDocs",
    "default",
];

/// The type of a version. `texts` are the descriptions of `apiVersion` and `kind`.
pub(super) fn model(custom: &Custom, texts: &Value, form: Form) -> Value {
    let schema = &custom.spec["schema"]["openAPIV3Schema"];
    let is_open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    let mut model = match form {
        _ if !schema.is_object() => json!({"type": "object"}),
        // More would make clients refuse what is unknown.
        Form::V2 if is_open => json!({"type": "object"}),
        Form::V2 => for_v2(schema.clone()),
        Form::V3 => schema.clone(),
    };
    if form == Form::V3 || !is_open && schema.is_object() {
        embed(&mut model, texts, form, true);
    }
    let definition = &custom.definition;
    model["x-kubernetes-group-version-kind"] =
        json!([kind(&definition.group, &custom.version, &definition.kind)]);
    let fields: Vec<Value> = custom
        .selectable_fields()
        .map(|path| json!({"fieldPath": path}))
        .collect();
    if !fields.is_empty() {
        model["x-kubernetes-selectable-fields"] = fields.into();
    }
    model
}

fn for_v2(mut schema: Value) -> Value {
    let Some(fields) = schema.as_object_mut() else {
        return schema;
    };
    let nullable = fields.get("nullable") == Some(&Value::Bool(true));
    let is_open = fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    fields.retain(|name, _| !NOT_IN_V2.contains(&name.as_str()));
    if nullable || is_open {
        for name in ["items", "properties"] {
            fields.remove(name);
        }
    }
    let kind = fields
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let unsaid = kind == "array" && !fields.contains_key("items") || kind == "object" && is_open;
    if nullable || unsaid {
        fields.remove("type");
    }
    drop_required(fields);
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(name) {
            *inner = for_v2(inner.take());
        }
    }
    for (_, inner) in fields
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
    {
        *inner = for_v2(inner.take());
    }
    schema
}

/// What may be null is not required by version 2, which knows no null.
fn drop_required(fields: &mut Map<String, Value>) {
    let properties = fields.get("properties").cloned().unwrap_or_default();
    let map_of_nulls = fields
        .get("additionalProperties")
        .is_some_and(|inner| inner["nullable"] == true);
    let Some(required) = fields.get_mut("required").and_then(Value::as_array_mut) else {
        return;
    };
    required.retain(|name| {
        let name = name.as_str().unwrap_or_default();
        !map_of_nulls && properties[name]["nullable"] != true
    });
    if required.is_empty() {
        fields.remove("required");
    }
}

/// Adds what every object of the API has, to the root and to those that are embedded.
fn embed(schema: &mut Value, texts: &Value, form: Form, is_root: bool) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties
            .values_mut()
            .for_each(|inner| embed(inner, texts, form, false));
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(name).filter(|inner| inner.is_object()) {
            embed(inner, texts, form, false);
        }
    }
    let is_open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    let is_embedded = schema["x-kubernetes-embedded-resource"] == true;
    if !is_root && (!is_embedded || is_open && form == Form::V2) {
        return;
    }
    let mut metadata = reference(&format!("{META}ObjectMeta"), form);
    if form == Form::V3 {
        metadata = json!({"allOf": [metadata]});
    }
    metadata["description"] = "Standard object's metadata.".into();
    schema["properties"]["metadata"] = metadata;
    for name in ["apiVersion", "kind"] {
        schema["properties"][name] =
            json!({"type": "string", "description": texts[name]["description"]});
    }
    if !is_root {
        let mut required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
        for name in ["kind", "apiVersion"] {
            if !required.iter().any(|other| other == name) {
                required.push(name.into());
            }
        }
        schema["required"] = required.into();
    }
}
