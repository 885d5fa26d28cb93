//! Validation of the schemas in a definition.

use serde_json::Value;

use super::{list, skeleton, text};
use crate::custom::structural::Schema;
use crate::custom::{decode, field_path, formats, prune, rules, values};
use crate::status::FieldError;

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
/// What may stand beside `properties` at the root where there is a status of its own.
const AT_ROOT: &[(&str, &str)] = &[
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    (
        "x-kubernetes-preserve-unknown-fields",
        "XPreserveUnknownFields",
    ),
    ("x-kubernetes-validations", "XValidations"),
];

type Errors = Vec<FieldError>;

/// What is wrong with the schema of a version. `is_unchanged`: it was there before.
pub(super) fn validate(
    errors: &mut Errors,
    schema: &Value,
    has_status: bool,
    path: &str,
    is_unchanged: bool,
) {
    if has_status {
        at_root(errors, schema, path);
    }
    if schema["nullable"] == true {
        errors.push(FieldError::forbidden(
            format!("{path}.nullable"),
            "nullable cannot be true at the root",
        ));
    }
    let structural = skeleton::validate(schema, path);
    if structural.is_empty() {
        defaults(errors, &Schema::root(schema), path);
    }
    errors.extend(structural);
    let place = Place {
        is_root: true,
        inside_meta: false,
        no_defaults: None,
    };
    node(errors, schema, path, place);
    // A schema that is none has no fields that rules could name.
    if errors.is_empty() {
        errors.extend(rules::check(
            schema,
            &Schema::root(schema),
            path,
            is_unchanged,
        ));
    }
}

fn at_root(errors: &mut Errors, schema: &Value, path: &str) {
    let keys = schema.as_object().into_iter().flatten();
    for (key, value) in keys.filter(|(_, value)| **value != false) {
        if key == "type" && value != "object" {
            let detail = "only \"object\" is allowed as the type at the root of the schema if the \
                          status subresource is enabled";
            errors.push(FieldError::invalid(format!("{path}.type"), value, detail));
            return;
        }
        if !AT_ROOT.iter().any(|(known, _)| known == key) {
            let known: Vec<&str> = AT_ROOT.iter().map(|(_, name)| *name).collect();
            let detail = format!(
                "only [{}] fields are allowed at the root of the schema if the status subresource \
                 is enabled",
                known.join(" ")
            );
            errors.push(FieldError::invalid(path, schema, detail));
            return;
        }
    }
}

/// Where in a schema a walk is.
#[derive(Clone, Copy)]
struct Place {
    is_root: bool,
    /// Within what every object has.
    inside_meta: bool,
    /// Why there may be no defaults here.
    no_defaults: Option<&'static str>,
}

fn node(errors: &mut Errors, schema: &Value, path: &str, place: Place) {
    if !schema.is_object() {
        return;
    }
    standard(errors, schema, path, place);
    let at = |field: &str| format!("{path}.{field}");
    if schema["uniqueItems"] == true {
        let detail =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(at("uniqueItems"), detail));
    }
    let below = Place {
        is_root: false,
        ..place
    };
    let additional = &schema["additionalProperties"];
    let has_properties = schema["properties"]
        .as_object()
        .is_some_and(|all| !all.is_empty());
    if !additional.is_null() {
        if has_properties && *additional != true {
            let detail = "additionalProperties and properties are mutual exclusive";
            errors.push(FieldError::forbidden(at("additionalProperties"), detail));
        }
        let no_defaults = match place.inside_meta {
            true => Some("inside additionalProperties applying to object metadata"),
            false => place.no_defaults,
        };
        node(
            errors,
            additional,
            &at("additionalProperties"),
            Place {
                no_defaults,
                ..below
            },
        );
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let is_meta = matches!(name.as_str(), "metadata" | "kind" | "apiVersion");
        let mut below = below;
        if is_meta && (place.is_root || schema["x-kubernetes-embedded-resource"] == true) {
            below.inside_meta = true;
            if place.is_root {
                below.no_defaults = Some(match name.as_str() {
                    "metadata" => "in top-level metadata",
                    "kind" => "in top-level kind",
                    _ => "in top-level apiVersion",
                });
            }
        }
        node(errors, inner, &format!("{path}.properties[{name}]"), below);
    }
    node(errors, &schema["not"], &at("not"), below);
    for junctor in ["allOf", "oneOf", "anyOf"] {
        for (i, inner) in list(schema, junctor).iter().enumerate() {
            node(errors, inner, &format!("{path}.{junctor}[{i}]"), below);
        }
    }
    node(errors, &schema["items"], &at("items"), below);
    extensions(errors, schema, path);
    rule_forms(errors, schema, path);
}

/// What the standard has, and Kubernetes has not.
fn standard(errors: &mut Errors, schema: &Value, path: &str, place: Place) {
    let at = |field: &str| format!("{path}.{field}");
    let kind = text(schema, "type");
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(
            at("type"),
            &schema["type"],
            TYPES,
        ));
    }
    if let (Some(why), true) = (place.no_defaults, schema.get("default").is_some()) {
        errors.push(FieldError::forbidden(
            at("default"),
            format!("must not be set {why}"),
        ));
    }
    for field in [
        "id",
        "additionalItems",
        "patternProperties",
        "definitions",
        "dependencies",
        "$ref",
    ] {
        let value = &schema[field];
        if !value.is_null() && *value != "" {
            errors.push(FieldError::forbidden(
                at(field),
                format!("{field} is not supported"),
            ));
        }
    }
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(at("type"), detail));
    }
    if schema["items"].is_array() {
        let detail = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(at("items"), detail));
    }
    if place.inside_meta && schema["x-kubernetes-embedded-resource"] == true {
        let detail = "must not be used inside of resource meta";
        errors.push(FieldError::forbidden(
            at("x-kubernetes-embedded-resource"),
            detail,
        ));
    }
}

/// How maps and lists are merged.
fn extensions(errors: &mut Errors, schema: &Value, path: &str) {
    let at = |field: &str| format!("{path}.{field}");
    let kind = text(schema, "type");
    let mut wants = |extension: &str, wanted: &str| {
        let detail = format!("must be {wanted} if {extension} is specified");
        if schema[extension].is_null() || kind == wanted {
            return false;
        }
        errors.push(match kind {
            "" => FieldError::required(at("type"), detail),
            _ => FieldError::invalid(at("type"), &schema["type"], detail),
        });
        true
    };
    wants("x-kubernetes-map-type", "object");
    let no_list = wants("x-kubernetes-list-type", "array");
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        let field = at("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(
            field,
            &false.into(),
            "must be true or undefined",
        ));
    }
    let map_type = &schema["x-kubernetes-map-type"];
    if !map_type.is_null() && map_type != "atomic" && map_type != "granular" {
        errors.push(FieldError::not_supported(
            at("x-kubernetes-map-type"),
            map_type,
            &["atomic", "granular"],
        ));
    }
    let (list_type, items) = (text(schema, "x-kubernetes-list-type"), &schema["items"]);
    if !no_list && list_type == "set" {
        set_items(errors, items, &at("items"));
    }
    if !schema["x-kubernetes-list-type"].is_null() && !["atomic", "set", "map"].contains(&list_type)
    {
        let value = &schema["x-kubernetes-list-type"];
        errors.push(FieldError::not_supported(
            at("x-kubernetes-list-type"),
            value,
            &["atomic", "set", "map"],
        ));
    }
    let keys = list(schema, "x-kubernetes-list-map-keys");
    if !keys.is_empty() && list_type != "map" {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match list_type {
            "" => FieldError::required(at("x-kubernetes-list-type"), detail),
            _ => FieldError::invalid(at("x-kubernetes-list-type"), &list_type.into(), detail),
        });
    }
    if list_type == "map" {
        map_keys(errors, schema, keys, path);
    }
    if matches!(list_type, "map" | "set") && items["nullable"] == true {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(at("items.nullable"), detail));
    }
}

fn set_items(errors: &mut Errors, items: &Value, path: &str) {
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let (extension, wrong) = match text(items, "type") {
        "array" => (
            "x-kubernetes-list-type",
            !matches!(text(items, "x-kubernetes-list-type"), "" | "atomic"),
        ),
        "object" => (
            "x-kubernetes-map-type",
            items["x-kubernetes-map-type"] != "atomic",
        ),
        _ => return,
    };
    if wrong {
        let field = format!("{path}.{extension}");
        errors.push(FieldError::invalid(
            field,
            &items["x-kubernetes-list-type"],
            detail,
        ));
    }
}

fn map_keys(errors: &mut Errors, schema: &Value, keys: &[Value], path: &str) {
    let at = |field: &str| format!("{path}.{field}");
    let items = &schema["items"];
    if keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(
            at("x-kubernetes-list-map-keys"),
            detail,
        ));
    }
    if items.is_null() {
        let detail = "must have a schema if x-kubernetes-list-type is map";
        return errors.push(FieldError::required(at("items"), detail));
    }
    if text(items, "type") != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        let kind = text(items, "type").into();
        return errors.push(FieldError::invalid(at("items.type"), &kind, detail));
    }
    let all = &schema["x-kubernetes-list-map-keys"];
    for (i, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        let own = &items["properties"][name];
        if own.is_null() {
            let detail = "entries must all be names of item properties";
            errors.push(FieldError::invalid(
                at("x-kubernetes-list-map-keys"),
                all,
                detail,
            ));
        } else if matches!(text(own, "type"), "array" | "object") {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            let field = at(&format!("items.properties[{name}].type"));
            errors.push(FieldError::invalid(field, &items["type"], detail));
        }
        if keys[..i].contains(key) {
            let detail = "must not contain duplicate entries";
            errors.push(FieldError::invalid(
                at("x-kubernetes-list-map-keys"),
                all,
                detail,
            ));
        }
        if !own.is_null() && !list(items, "required").contains(key) && own.get("default").is_none()
        {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default \
                          or be a required property";
            errors.push(FieldError::required(
                at(&format!("items.properties[{name}].default")),
                detail,
            ));
        }
        if own["nullable"] == true {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(
                at(&format!("items.properties[{name}].nullable")),
                detail,
            ));
        }
    }
}

/// The outer form of rules.
fn rule_forms(errors: &mut Errors, schema: &Value, path: &str) {
    let broken = |text: &str| text.trim().contains(['\n', '\r']);
    for (i, rule) in list(schema, "x-kubernetes-validations").iter().enumerate() {
        let at = |field: &str| format!("{path}.x-kubernetes-validations[{i}].{field}");
        let (code, message) = (text(rule, "rule"), text(rule, "message"));
        if code.trim().is_empty() {
            errors.push(FieldError::required(at("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.push(FieldError::invalid(
                at("message"),
                &rule["message"],
                "must be non-empty if specified",
            ));
        } else if broken(message) {
            errors.push(FieldError::invalid(
                at("message"),
                &rule["message"],
                "must not contain line breaks",
            ));
        } else if broken(code) && message.trim().is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(at("message"), detail));
        }
        let told = text(rule, "messageExpression");
        if !told.is_empty() && told.trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            errors.push(FieldError::required(at("messageExpression"), detail));
        }
        let reasons = [
            "FieldValueDuplicate",
            "FieldValueForbidden",
            "FieldValueInvalid",
            "FieldValueRequired",
        ];
        let reason = text(rule, "reason");
        if !reason.is_empty() && !reasons.contains(&reason) {
            errors.push(FieldError::not_supported(
                at("reason"),
                &rule["reason"],
                &reasons,
            ));
        }
        let field = text(rule, "fieldPath");
        let mut invalid = |detail: &str| {
            errors.push(FieldError::invalid(
                at("fieldPath"),
                &rule["fieldPath"],
                detail,
            ));
        };
        if !field.is_empty() && field.trim().is_empty() {
            invalid("must be non-empty if specified");
        }
        if field.contains(['\n', '\r']) {
            invalid("must not contain line breaks");
        }
        if !field.is_empty() && field_path::resolve(field, &Schema::read(schema)).is_none() {
            invalid("must be a valid path");
        }
    }
}

/// Defaults have to be such as the schema allows. Upstream: `defaulting/validation.go`.
fn defaults(errors: &mut Errors, schema: &Schema, path: &str) {
    if let Some(default) = &schema.default {
        let field = format!("{path}.default");
        let mut pruned = default.clone();
        prune::prune(&mut pruned, schema);
        decode::coerce_embedded(&mut pruned, schema);
        if pruned != *default {
            errors.push(FieldError::invalid(
                &field,
                default,
                "must not have unknown fields",
            ));
        }
        errors.extend(values::validate(schema, default, None, &field));
    }
    if let Some(items) = &schema.items {
        defaults(errors, items, &format!("{path}.items"));
    }
    for (name, inner) in &schema.properties {
        defaults(errors, inner, &format!("{path}.properties[{name}]"));
    }
}

/// Formats that nobody checks.
pub(super) fn warnings(schema: &Value, warnings: &mut Vec<String>) {
    let format = text(schema, "format");
    let warning = format!("unrecognized format {format:?}");
    if !format.is_empty() && !formats::is_recognized(format) && !warnings.contains(&warning) {
        warnings.push(warning);
    }
    for (_, inner) in schema["properties"].as_object().into_iter().flatten() {
        self::warnings(inner, warnings);
    }
    for field in ["items", "additionalProperties"] {
        if schema[field].is_object() {
            self::warnings(&schema[field], warnings);
        }
    }
}
