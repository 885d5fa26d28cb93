//! Schemas and objects, without a server.

use serde_json::{Value, json};

use super::*;
use crate::resources::{Custom, Definition};
use crate::schema::FieldValidation;
use std::sync::Arc;

/// A version of a custom resource with this schema, and subresources.
fn custom(schema: Value, subresources: Value) -> Arc<Custom> {
    let names = json!({"kind": "Tab", "listKind": "TabList", "plural": "tabs", "singular": "tab"});
    let version = json!({"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": schema}, "subresources": subresources});
    let definition = json!({
        "metadata": {"name": "tabs.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
        "status": {"acceptedNames": names,
            "conditions": [{"type": "Established", "status": "True"}]},
    });
    Definition::versions_of(&definition).remove(0)
}

fn of_spec(spec: Value) -> Value {
    json!({"type": "object", "properties": {"spec": spec}})
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Tab", "metadata": {"name": "a"}, "spec": spec})
}

fn decoded(schema: Value, spec: Value) -> (Value, Vec<String>) {
    let custom = custom(of_spec(schema), Value::Null);
    let body = object(spec).to_string();
    let decoded = decode(&custom, body.as_bytes(), FieldValidation::Warn).expect("is an object");
    (decoded.value["spec"].clone(), decoded.warnings)
}

#[test]
fn what_is_unknown_goes() {
    let schema = json!({"type": "object", "properties": {
        "known": {"type": "string"},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"typed": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
    }});
    let (spec, warnings) = decoded(
        schema,
        json!({
            "known": "x", "unknown": 1,
            "open": {"any": {"thing": 1}, "typed": {"a": "x", "b": 1}},
            "list": [{"a": "x", "b": 1}],
            "map": {"any": "x"},
        }),
    );
    assert_eq!(
        spec,
        json!({"known": "x", "open": {"any": {"thing": 1}, "typed": {"a": "x"}},
        "list": [{"a": "x"}], "map": {"any": "x"}})
    );
    assert_eq!(
        warnings,
        [
            "unknown field \"spec.list[0].b\"",
            "unknown field \"spec.open.typed.b\"",
            "unknown field \"spec.unknown\"",
        ]
    );
}

#[test]
fn what_is_left_out_is_filled_in() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "string", "default": "A"},
        "b": {"type": "string", "default": "B", "nullable": true},
        "c": {"type": "string"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}}},
    }});
    let (spec, _) = decoded(
        schema.clone(),
        json!({"a": null, "b": null, "c": null, "list": [{}]}),
    );
    assert_eq!(spec, json!({"a": "A", "b": null, "list": [{"p": "TCP"}]}));
    let (spec, _) = decoded(schema, json!({}));
    assert_eq!(spec, json!({"a": "A", "b": "B"}));
}

#[test]
fn duplicates_and_metadata_are_told() {
    let schema = json!({"type": "object", "properties": {
        "inner": {"type": "object", "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true},
    }});
    let custom = custom(of_spec(schema), Value::Null);
    let body = r#"{"apiVersion": "example.com/v1", "kind": "Tab", "metadata": {"name": "a", "odd": 1},
        "spec": {"inner": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "b", "odder": 1}, "z": 1, "z": 2}}}"#;
    let error = decode(&custom, body.as_bytes(), FieldValidation::Strict).expect_err("is strict");
    assert_eq!(
        error.message,
        "Tab in version \"v1\" cannot be handled as a Tab: strict decoding error: duplicate field \
         \"spec.inner.z\", unknown field \"metadata.odd\", unknown field \"spec.inner.metadata.odder\""
    );
    let decoded = decode(&custom, body.as_bytes(), FieldValidation::Ignore).expect("is lax");
    assert_eq!(
        decoded.value["spec"]["inner"]["metadata"],
        json!({"name": "b"})
    );
    assert_eq!(decoded.value["spec"]["inner"]["z"], 2);
}

/// What is told of an object with this spec.
fn told(schema: Value, spec: Value) -> Vec<String> {
    let custom = custom(of_spec(schema), Value::Null);
    let errors = validate_create(&custom, &object(spec));
    errors
        .iter()
        .map(|error| format!("{}: {}", error.field, error.message))
        .collect()
}

#[test]
fn values_are_checked_in_upstreams_words() {
    let schema = json!({"type": "object", "required": ["must"], "properties": {
        "count": {"type": "integer", "minimum": 1, "maximum": 10},
        "cron": {"type": "string", "pattern": "^(\\d+|\\*)$", "maxLength": 3},
        "mode": {"type": "string", "enum": ["on", "off"]},
        "date": {"type": "string", "format": "date-time"},
        "port": {"x-kubernetes-int-or-string": true},
        "names": {"type": "array", "maxItems": 1, "items": {"type": "string", "minLength": 2},
            "x-kubernetes-list-type": "set"},
    }});
    let errors = told(
        schema,
        json!({"count": 11, "cron": "x", "mode": "maybe", "date": "today",
        "port": true, "names": ["ab", "ab", 3]}),
    );
    assert_eq!(
        errors,
        [
            "spec.count: Invalid value: 11: spec.count in body should be less than or equal to 10",
            "spec.cron: Invalid value: \"x\": spec.cron in body should match '^(\\d+|\\*)$'",
            "spec.date: Invalid value: \"today\": spec.date in body must be of type date-time: \"today\"",
            "spec.mode: Unsupported value: \"maybe\": supported values: \"on\", \"off\"",
            "spec.names[2]: Invalid value: \"integer\": spec.names[2] in body must be of type string: \"integer\"",
            "spec.names: Too many: 3: must have at most 1 item",
            "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
            "spec.must: Required value",
            "spec.names[1]: Duplicate value: \"ab\"",
        ]
    );
}

#[test]
fn junctors_are_checked() {
    let schema = json!({"type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    assert!(told(schema.clone(), json!({"a": "x"})).is_empty());
    assert_eq!(
        told(schema.clone(), json!({"a": "x", "b": "y"})),
        [
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ]
    );
    assert_eq!(
        told(schema, json!({})),
        [
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid",
            "spec.a: Required value",
        ]
    );
}

#[test]
fn what_was_wrong_may_stay() {
    let schema = of_spec(json!({"type": "object", "properties": {
        "old": {"type": "string", "maxLength": 1}, "new": {"type": "string", "maxLength": 1}}}));
    let custom = custom(schema, Value::Null);
    let old = object(json!({"old": "long"}));
    let new = object(json!({"old": "long", "new": "long"}));
    let errors = validate_update(&custom, "", &new, &old);
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["spec.new"]);
}

#[test]
fn generations_count_what_is_not_metadata() {
    let custom = custom(
        of_spec(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
        json!({"status": {}}),
    );
    let old = json!({"metadata": {"generation": 1}, "spec": {"a": 1}, "status": {"s": 1}});
    let update = |subresource: &str, mut new: Value| {
        prepare_update(&custom, subresource, &mut new, &old);
        (
            meta::generation(&new),
            new["spec"]["a"].clone(),
            new["status"]["s"].clone(),
        )
    };
    let changed = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"a": 2}, "status": {"s": 2}});
    assert_eq!(update("", changed.clone()), (2, json!(2), json!(1)));
    assert_eq!(update("status", changed), (1, json!(1), json!(2)));
    let labelled = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"a": 1}});
    assert_eq!(update("", labelled), (1, json!(1), json!(1)));
}

/// What is told of a definition whose one version has this schema.
fn told_of(schema: Value) -> Vec<String> {
    let mut definition = json!({
        "metadata": {"name": "tabs.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Tab", "plural": "tabs"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
    });
    definition::defaults(&mut definition);
    let errors = definition::validate(&definition, None);
    errors
        .iter()
        .map(|error| format!("{}: {}", error.field, error.message))
        .collect()
}

#[test]
fn schemas_are_structural() {
    let none: Vec<String> = Vec::new();
    assert_eq!(
        told_of(json!({"type": "object", "properties": {"spec": {"type": "object"}}})),
        none
    );
    assert_eq!(
        told_of(json!({"properties": {"spec": {}, "list": {"type": "array"}}})),
        [
            "spec.validation.openAPIV3Schema.properties[list].items: Required value: must be specified",
            "spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields",
            "spec.validation.openAPIV3Schema.type: Required value: must not be empty at the root",
        ]
    );
    let metadata = json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}});
    assert_eq!(
        told_of(metadata),
        [
            "spec.validation.openAPIV3Schema.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
        ]
    );
    let nested = json!({"type": "object", "anyOf": [{"properties": {"x": {"type": "string"}}}]});
    assert_eq!(
        told_of(nested),
        [
            "spec.validation.openAPIV3Schema.anyOf[0].properties[x].type: Forbidden: must be empty to be structural",
            "spec.validation.openAPIV3Schema.properties[x]: Required value: because it is defined in spec.validation.openAPIV3Schema.anyOf[0].properties[x]",
        ]
    );
    let default = json!({"type": "object", "properties": {"a": {"type": "string", "default": 1}}});
    assert_eq!(
        told_of(default),
        [
            "spec.validation.openAPIV3Schema.properties[a].default: Invalid value: \"integer\":  in body must be of type string: \"integer\"",
        ]
    );
}

/// A definition whose `spec.list` has a rule of its own and one on each entry.
fn with_rules(on_list: &str, on_entry: &str, max: Option<u64>) -> Value {
    let mut list = json!({"type": "array", "x-kubernetes-validations": [{"rule": on_list}],
        "items": {"type": "string", "x-kubernetes-validations": [{"rule": on_entry}]}});
    if let Some(max) = max {
        list["maxItems"] = max.into();
        list["items"]["maxLength"] = max.into();
    }
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "list": list}}}})
}

/// Upstream: `getCostErrorMessage` in `apiextensions/validation/validation.go`.
#[test]
fn rules_that_could_cost_too_much_are_refused() {
    let none: Vec<String> = Vec::new();
    let (pairs, each) = ("self.all(a, self.all(b, a == b))", "self.contains('x')");
    assert_eq!(told_of(with_rules(pairs, each, Some(10))), none);
    let path = "spec.validation.openAPIV3Schema.properties[spec].properties[list]";
    let advice = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where \
                  arrays, maps, and strings are declared)";
    let alone = |at: &str, factor: &str| {
        format!(
            "{path}{at}.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds \
             budget by factor of {factor} {advice}"
        )
    };
    let share = |at: &str| {
        format!(
            "{path}{at}.x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule \
             cost total exceeding cost limit for entire OpenAPIv3 schema"
        )
    };
    assert_eq!(
        told_of(with_rules(pairs, each, None)),
        [
            alone("", "more than 100x"),
            // An empty text and a comma: a request has 1048576 of them.
            alone(".items", "more than 100x"),
            share(""),
            share(".items"),
            format!(
                "spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated \
                 rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than \
                 100x {advice}"
            ),
        ]
    );
    // 3145726 letters, a tenth of them each, of 33 entries.
    let mut few = with_rules("true", each, None);
    few["properties"]["spec"]["properties"]["list"]["maxItems"] = 33.into();
    assert_eq!(told_of(few), [alone(".items", "1.038094x")]);
}

/// What was there before its rules were counted stays, as long as it stays as it is.
#[test]
fn a_schema_that_is_unchanged_may_cost_what_it_did() {
    let mut list = with_rules("true", "self.contains('x')", None);
    list["properties"]["spec"]["properties"]["list"]["maxItems"] = 33.into();
    let mut old = json!({
        "metadata": {"name": "tabs.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Tab", "plural": "tabs"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": list}}]},
    });
    definition::defaults(&mut old);
    let mut new = old.clone();
    new["spec"]["names"]["shortNames"] = json!(["tb"]);
    assert_eq!(definition::validate(&new, Some(&old)).len(), 0);
    new["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "changed".into();
    assert_eq!(definition::validate(&new, Some(&old)).len(), 1);
}
