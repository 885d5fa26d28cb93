//! Types as OpenAPI tells them: their JSON Schemas, with what Kubernetes adds to them.

use serde_json::{Map, Value, json};

use super::operations::{kind, schema_name};
use crate::resources::Resource;
use crate::schema::{Field, ListType, Shape, Type, definitions, type_named};

/// Which version's form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `#/definitions/…`; a reference stands for itself.
    V2,
    /// `#/components/schemas/…`; a reference is one of `allOf`, so that it can have a description.
    V3,
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// The types of some resources, and all that they refer to.
pub(super) fn models(resources: &[Resource], form: Form) -> Map<String, Value> {
    let mut kinds: Vec<(String, Value)> = Vec::new();
    for resource in resources {
        let of = kind(resource.group, resource.version, resource.kind);
        kinds.push((resource.schema.to_owned(), of));
        for subresource in resource.subresources {
            if let Some((group, version)) = subresource.group_version {
                let own_kind = resource.kind_of(subresource);
                let name = schema_name(group, version, own_kind);
                kinds.push((name, kind(group, version, own_kind)));
            }
        }
    }
    kinds.push((
        format!("{META}DeleteOptions"),
        kind("", "v1", "DeleteOptions"),
    ));
    kinds.push((format!("{META}Status"), kind("", "v1", "Status")));
    let needed = ["APIResourceList", "ListMeta", "ObjectMeta"].map(|name| format!("{META}{name}"));
    let wanted = |name: &str| {
        kinds.iter().any(|(kind, _)| kind == name) || needed.iter().any(|needed| needed == name)
    };
    let mut models = definitions(wanted);
    for (name, model) in &mut models {
        finish(name, model, form);
    }
    let texts = models[&format!("{META}Status")]["properties"].clone();
    for custom in resources.iter().filter_map(|resource| resource.custom) {
        models.insert(
            custom.schema_name.clone(),
            super::custom::model(custom, &texts, form),
        );
    }
    for (name, kind) in kinds {
        if let Some(model) = models.get_mut(&name) {
            model["x-kubernetes-group-version-kind"] = json!([kind]);
        }
    }
    for resource in resources
        .iter()
        .filter(|resource| resource.verbs.contains(&"list"))
    {
        models.insert(resource.list_schema(), list_model(resource, form));
    }
    let patch = "Patch is provided to give a concrete name and type to the Kubernetes PATCH \
                 request body.";
    models.insert(
        format!("{META}Patch"),
        json!({"type": "object", "description": patch}),
    );
    models
}

/// Turns a JSON Schema into a model.
fn finish(name: &str, model: &mut Value, form: Form) {
    match name.rsplit('.').next() {
        Some("Quantity") => one_of(model, form, "number", None),
        Some("IntOrString") => one_of(model, form, "integer", Some("int-or-string")),
        // One of several things: there is no word for it that clients would understand.
        Some(name) if name == "JSON" || name.starts_with("JSONSchemaPropsOr") => {
            if let Some(model) = model.as_object_mut() {
                model.retain(|field, _| field == "description");
            }
        }
        _ => {}
    }
    if let Some(required) = model.get_mut("required").and_then(Value::as_array_mut) {
        // Rust's types have these in every object; what a client sends need not.
        required
            .retain(|field| !matches!(field.as_str(), Some("metadata" | "kind" | "apiVersion")));
        if required.is_empty() {
            model.as_object_mut().map(|model| model.remove("required"));
        }
    }
    let owner = type_named(name).map(|r| r.get());
    if owner.is_some_and(|owner| owner.atomic) {
        model["x-kubernetes-map-type"] = "atomic".into();
    }
    let properties = model.get_mut("properties").and_then(Value::as_object_mut);
    for (field, property) in properties.into_iter().flatten() {
        let known = owner.and_then(|owner| Some((owner, owner.field(field)?)));
        finish_property(property, known, form);
    }
}

/// A type that has a number's or a string's form.
fn one_of(model: &mut Value, form: Form, number: &str, format: Option<&str>) {
    if let Some(model) = model.as_object_mut() {
        model.remove("x-kubernetes-int-or-string");
    }
    match form {
        Form::V2 => model["type"] = "string".into(),
        Form::V3 => model["oneOf"] = json!([{"type": number}, {"type": "string"}]),
    }
    if let Some(format) = format {
        model["format"] = format.into();
    }
}

fn finish_property(property: &mut Value, field: Option<(&Type, &Field)>, form: Form) {
    refer(property, form);
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = property.get_mut(inner) {
            finish_property(inner, None, form);
        }
    }
    let Some((owner, field)) = field else { return };
    if field.embedded {
        property["default"] = json!({});
    }
    if let Some(default) = owner.key_default(&field.name) {
        property["default"] = default;
    }
    let mut strategies = Vec::new();
    match &field.shape {
        Shape::List {
            kind, patch_key, ..
        } => {
            property["x-kubernetes-list-type"] = match kind {
                ListType::Atomic => "atomic",
                ListType::Set => "set",
                ListType::Map(_) | ListType::OwnMap(_) => {
                    property["x-kubernetes-list-map-keys"] = json!(kind.keys());
                    "map"
                }
            }
            .into();
            strategies.extend(patch_key.map(|_| "merge"));
            if let Some(key) = patch_key.filter(|key| !key.is_empty()) {
                property["x-kubernetes-patch-merge-key"] = key.into();
            }
        }
        Shape::Map { atomic: true, .. } => property["x-kubernetes-map-type"] = "atomic".into(),
        _ => {}
    }
    if field.patch_replaces {
        strategies.push("replace");
    }
    if field.retain_keys {
        strategies.push("retainKeys");
    }
    if !strategies.is_empty() {
        property["x-kubernetes-patch-strategy"] = strategies.join(",").into();
    }
}

/// A reference, in the form of the version.
pub(super) fn reference(name: &str, form: Form) -> Value {
    match form {
        Form::V2 => json!({"$ref": format!("#/definitions/{name}")}),
        Form::V3 => json!({"$ref": format!("#/components/schemas/{name}")}),
    }
}

fn refer(property: &mut Value, form: Form) {
    let Some(name) = property["$ref"].as_str().and_then(|r| r.rsplit('/').next()) else {
        return;
    };
    let reference = reference(name, form);
    match form {
        Form::V2 => property["$ref"] = reference["$ref"].clone(),
        Form::V3 => {
            property
                .as_object_mut()
                .map(|property| property.remove("$ref"));
            property["allOf"] = json!([reference]);
        }
    }
}

fn list_model(resource: &Resource, form: Form) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let mut items = reference(resource.schema, form);
    let mut metadata = reference(&format!("{META}ListMeta"), form);
    if form == Form::V3 {
        items = json!({"allOf": [items], "default": {}});
        metadata = json!({"allOf": [metadata], "default": {}});
    }
    metadata["description"] = "Standard list metadata.".into();
    json!({
        "description": format!("{} is a list of {} objects.", resource.list_kind(), resource.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": text("APIVersion defines the versioned schema of this representation of an object."),
            "items": {
                "type": "array",
                "description": format!("Items is the list of {} objects.", resource.kind),
                "items": items,
            },
            "kind": text("Kind is a string value representing the REST resource this object represents."),
            "metadata": metadata,
        },
        "x-kubernetes-group-version-kind":
            [kind(resource.group, resource.version, &resource.list_kind())],
    })
}
