//! Whether a schema is structural: whether it says outside of `allOf` and its kin what an object
//! consists of.
//!
//! Upstream: `apiextensions-apiserver/pkg/apiserver/schema/validation.go`.

use serde_json::{Value, json};

use super::{list, text};
use crate::status::FieldError;

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What keeps a schema from being structural, sorted as upstream's.
pub(super) fn validate(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    invariants(&mut errors, schema, Level::Root, path);
    completeness(&mut errors, schema, schema, path, path);
    errors.sort_by_key(|error| format!("{}: {}", error.field, error.message));
    errors
}

fn flag(schema: &Value, field: &str) -> bool {
    schema[field] == true
}

fn fields(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

fn invariants(errors: &mut Vec<FieldError>, schema: &Value, level: Level, path: &str) {
    let at = |field: &str| format!("{path}.{field}");
    let kind = text(schema, "type");
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    let preserves = flag(schema, "x-kubernetes-preserve-unknown-fields");
    let either = flag(schema, "x-kubernetes-int-or-string");
    match schema.get("items").filter(|items| items.is_object()) {
        Some(items) => invariants(errors, items, Level::Item, &at("items")),
        None if kind == "array" => {
            errors.push(FieldError::required(at("items"), "must be specified"))
        }
        None => {}
    }
    for (name, inner) in fields(schema) {
        invariants(
            errors,
            inner,
            Level::Field,
            &format!("{path}.properties[{name}]"),
        );
    }
    let additional = &schema["additionalProperties"];
    if !additional.is_null() && level == Level::Root {
        errors.push(FieldError::forbidden(
            at("additionalProperties"),
            "must not be used at the root",
        ));
    }
    if additional.is_object() {
        invariants(
            errors,
            additional,
            Level::Field,
            &at("additionalProperties"),
        );
    }
    for (is_set, field) in [
        (preserves, "x-kubernetes-preserve-unknown-fields"),
        (embedded, "x-kubernetes-embedded-resource"),
    ] {
        if either && is_set {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(at(field), &true.into(), detail));
        }
    }
    values(
        errors,
        schema,
        path,
        is_either(schema),
        first_is_either(schema),
    );
    let wants_object = "must be object if x-kubernetes-embedded-resource is true";
    if embedded && kind.is_empty() {
        errors.push(FieldError::required(at("type"), wants_object));
    } else if embedded && kind != "object" {
        errors.push(FieldError::invalid(
            at("type"),
            &schema["type"],
            wants_object,
        ));
    } else if kind.is_empty() && !either && !preserves {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(at("type"), detail));
    }
    if embedded && !additional.is_null() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(at("additionalProperties"), detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(
            at("type"),
            &schema["type"],
            "must be object at the root",
        ));
    }
    metadata(errors, schema, level, embedded, path);
    if embedded && !preserves && fields(schema).next().is_none() {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(at("properties"), detail));
    }
}

/// What every object has may be restricted, but is not to be described.
fn metadata(
    errors: &mut Vec<FieldError>,
    schema: &Value,
    level: Level,
    embedded: bool,
    path: &str,
) {
    let is_object = level == Level::Root || embedded;
    let properties = &schema["properties"];
    for name in ["kind", "apiVersion"] {
        let own = &properties[name];
        if is_object && !own.is_null() && own["type"] != "string" {
            let at = format!("{path}.properties[{name}].type");
            errors.push(FieldError::invalid(
                at,
                &text(own, "type").into(),
                "must be string",
            ));
        }
    }
    let own = &properties["metadata"];
    if own.is_null() {
        return;
    }
    let at = format!("{path}.properties[metadata]");
    if is_object && own["type"] != "object" {
        let kind = text(own, "type").into();
        errors.push(FieldError::invalid(
            format!("{at}.type"),
            &kind,
            "must be object",
        ));
    }
    if level == Level::Root {
        let only_names = fields(own).all(|(name, _)| name == "name" || name == "generateName");
        let others = own.as_object().into_iter().flatten();
        let mut others = others.map(|(key, _)| key.as_str());
        let plain = others.all(|key| matches!(key, "type" | "default" | "properties"));
        if !only_names || !plain {
            let detail = "must not specify anything other than name and generateName, but metadata \
                          is implicitly specified";
            errors.push(FieldError::forbidden(at, detail));
        }
    }
}

fn either() -> Value {
    json!([{"type": "integer"}, {"type": "string"}])
}

/// The one form in which `anyOf` may name types: a number or text.
fn is_either(schema: &Value) -> bool {
    schema["anyOf"] == either()
}

fn first_is_either(schema: &Value) -> bool {
    list(schema, "allOf").first().is_some_and(is_either)
}

/// Checks what says which values will do. `any` and `first` are the forms that may name types.
fn values(errors: &mut Vec<FieldError>, schema: &Value, path: &str, any: bool, first: bool) {
    for junctor in ["anyOf", "allOf", "oneOf"] {
        for (i, inner) in list(schema, junctor).iter().enumerate() {
            if junctor == "anyOf" && any {
                continue;
            }
            let may = junctor == "allOf" && first && i == 0;
            nested(errors, inner, &format!("{path}.{junctor}[{i}]"), may);
        }
    }
    if schema["not"].is_object() {
        nested(errors, &schema["not"], &format!("{path}.not"), false);
    }
    let pattern = text(schema, "pattern");
    if let Err(error) = regex::Regex::new(pattern) {
        let why = error
            .to_string()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(FieldError::invalid(
            format!("{path}.pattern"),
            &schema["pattern"],
            detail,
        ));
    }
}

/// A schema within `allOf` and its kin: it says nothing about what there is.
fn nested(errors: &mut Vec<FieldError>, schema: &Value, path: &str, any: bool) {
    values(errors, schema, path, any, false);
    if schema["items"].is_object() {
        nested(errors, &schema["items"], &format!("{path}.items"), false);
    }
    for (name, inner) in fields(schema) {
        nested(errors, inner, &format!("{path}.properties[{name}]"), false);
    }
    for (field, must) in [
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        (
            "x-kubernetes-preserve-unknown-fields",
            "must be false to be structural",
        ),
        (
            "x-kubernetes-embedded-resource",
            "must be false to be structural",
        ),
        (
            "x-kubernetes-int-or-string",
            "must be false to be structural",
        ),
        (
            "x-kubernetes-list-map-keys",
            "must be empty to be structural",
        ),
        (
            "x-kubernetes-list-type",
            "must be undefined to be structural",
        ),
        (
            "x-kubernetes-map-type",
            "must be undefined to be structural",
        ),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ] {
        let value = &schema[field];
        if !value.is_null() && *value != false && *value != "" {
            errors.push(FieldError::forbidden(format!("{path}.{field}"), must));
        }
    }
    if !schema["properties"]["metadata"].is_null() {
        let at = format!("{path}.properties[metadata]");
        errors.push(FieldError::forbidden(
            at,
            "must not be specified in a nested context",
        ));
    }
}

/// What a junctor of the root names has to stand outside of it, too. Upstream: `complete.go`.
fn completeness(
    errors: &mut Vec<FieldError>,
    values: &Value,
    schema: &Value,
    at: &str,
    path: &str,
) {
    for junctor in ["allOf", "anyOf", "oneOf"] {
        for (i, inner) in list(values, junctor).iter().enumerate() {
            complete(errors, inner, schema, &format!("{at}.{junctor}[{i}]"), path);
        }
    }
    if values["not"].is_object() {
        complete(errors, &values["not"], schema, &format!("{at}.not"), path);
    }
}

fn complete(errors: &mut Vec<FieldError>, nested: &Value, schema: &Value, at: &str, path: &str) {
    completeness(errors, nested, schema, at, path);
    let mut inner = |nested: &Value, own: Option<&Value>, step: String| {
        let (at, path) = (format!("{at}.{step}"), format!("{path}.{step}"));
        match own.filter(|own| own.is_object()) {
            Some(own) => complete(errors, nested, own, &at, &path),
            None => errors.push(FieldError::required(
                path,
                format!("because it is defined in {at}"),
            )),
        }
    };
    if nested["items"].is_object() {
        inner(&nested["items"], schema.get("items"), "items".to_owned());
    }
    for (name, nested) in fields(nested) {
        inner(
            nested,
            schema["properties"].get(name),
            format!("properties[{name}]"),
        );
    }
}
