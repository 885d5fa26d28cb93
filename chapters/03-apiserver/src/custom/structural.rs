//! The schema of a version, read once from what its definition says.
//!
//! A schema is structural: what an object consists of stands in `properties`, `items` and
//! `additionalProperties` alone, and `allOf` and its kin only say which values will do. So a walk
//! over an object never has to guess. Upstream: KEP-1002 (structural schemas),
//! `apiextensions-apiserver/pkg/apiserver/schema`.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::rules::Rule;

/// What a value may be.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`; empty for any.
    pub kind: String,
    /// May be null.
    pub nullable: bool,
    /// What is not in the schema stays.
    pub preserve: bool,
    /// It is an object of the API itself, with `apiVersion`, `kind` and `metadata`.
    pub embedded: bool,
    /// A number or text.
    pub int_or_string: bool,
    /// What it is when it is left out.
    pub default: Option<Value>,
    /// Its fields.
    pub properties: BTreeMap<String, Schema>,
    /// What the values of any other key are.
    pub additional: Option<Additional>,
    /// What the entries of the list are.
    pub items: Option<Box<Schema>>,
    /// How server-side apply merges the list.
    pub list: ListKind,
    /// Server-side apply takes the object as a whole.
    pub atomic: bool,
    /// Which values will do.
    pub(super) checks: Checks,
    /// Rules that have to hold.
    pub(super) rules: Vec<Rule>,
}

/// `additionalProperties`
#[derive(Debug, Clone)]
pub enum Additional {
    /// Any, or none at all.
    Any(bool),
    /// Such.
    Schema(Box<Schema>),
}

/// `x-kubernetes-list-type`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListKind {
    /// As a whole.
    #[default]
    Atomic,
    /// By value.
    Set,
    /// By these keys of each entry.
    Map(Vec<String>),
}

/// Which values will do.
#[derive(Debug, Clone, Default)]
pub(super) struct Checks {
    pub(super) format: String,
    pub(super) maximum: Option<f64>,
    pub(super) minimum: Option<f64>,
    pub(super) exclusive_maximum: bool,
    pub(super) exclusive_minimum: bool,
    pub(super) multiple_of: Option<f64>,
    pub(super) max_length: Option<u64>,
    pub(super) min_length: Option<u64>,
    pub(super) pattern: Option<Pattern>,
    pub(super) max_items: Option<u64>,
    pub(super) min_items: Option<u64>,
    pub(super) max_properties: Option<u64>,
    pub(super) min_properties: Option<u64>,
    pub(super) required: Vec<String>,
    pub(super) one_of_values: Vec<Value>,
    pub(super) all_of: Vec<Schema>,
    pub(super) any_of: Vec<Schema>,
    pub(super) one_of: Vec<Schema>,
    pub(super) not: Option<Box<Schema>>,
}

/// A regular expression and its text.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) text: String,
    pub(super) regex: Option<Regex>,
}

impl Schema {
    /// Reads `openAPIV3Schema`, or a schema within one.
    pub fn read(json: &Value) -> Schema {
        let mut schema = Schema::without_rules(json);
        schema.rules = Rule::read_all(json, &schema);
        schema
    }

    fn without_rules(json: &Value) -> Schema {
        let flag = |key: &str| json[key] == true;
        let properties = json["properties"].as_object().into_iter().flatten();
        let list = match json["x-kubernetes-list-type"].as_str() {
            Some("set") => ListKind::Set,
            Some("map") => ListKind::Map(texts(&json["x-kubernetes-list-map-keys"])),
            _ => ListKind::Atomic,
        };
        let additional = match &json["additionalProperties"] {
            Value::Null => None,
            Value::Bool(any) => Some(Additional::Any(*any)),
            schema => Some(Additional::Schema(Box::new(Schema::read(schema)))),
        };
        Schema {
            kind: json["type"].as_str().unwrap_or_default().to_owned(),
            nullable: flag("nullable"),
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            default: json
                .get("default")
                .filter(|value| !value.is_null())
                .cloned(),
            properties: properties
                .map(|(name, schema)| (name.clone(), Schema::read(schema)))
                .collect(),
            additional,
            items: boxed(&json["items"]),
            list,
            atomic: json["x-kubernetes-map-type"] == "atomic",
            checks: Checks::read(json),
            rules: Vec::new(),
        }
    }

    /// Reads the schema of a whole object, which has metadata whatever it says.
    pub fn root(json: &Value) -> Schema {
        let mut schema = Schema::without_rules(json);
        // Rules know it, too.
        schema.embedded = true;
        schema.rules = Rule::read_all(json, &schema);
        schema
    }

    /// The format of its text.
    pub fn format(&self) -> &str {
        &self.checks.format
    }

    /// The most letters of a text.
    pub fn length_max(&self) -> Option<u64> {
        self.checks.max_length
    }

    /// The most entries of a list.
    pub fn items_max(&self) -> Option<u64> {
        self.checks.max_items
    }

    /// The most keys of a map.
    pub fn properties_max(&self) -> Option<u64> {
        self.checks.max_properties
    }

    /// Whether an object must have a field.
    pub fn requires(&self, field: &str) -> bool {
        self.checks.required.iter().any(|name| name == field)
    }

    /// The texts that it may be, if they are listed.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.checks.one_of_values.iter().filter_map(Value::as_str)
    }

    /// What the value of a field or a key is.
    pub(super) fn field(&self, name: &str) -> Option<&Schema> {
        match (self.properties.get(name), &self.additional) {
            (Some(schema), _) => Some(schema),
            (None, Some(Additional::Schema(schema))) => Some(schema),
            _ => None,
        }
    }
}

impl Checks {
    fn read(json: &Value) -> Checks {
        let flag = |key: &str| json[key] == true;
        let count = |key: &str| json[key].as_u64();
        let schemas = |key: &str| {
            let list = json[key].as_array().into_iter().flatten();
            list.map(Schema::read).collect()
        };
        Checks {
            format: json["format"].as_str().unwrap_or_default().to_owned(),
            maximum: json["maximum"].as_f64(),
            minimum: json["minimum"].as_f64(),
            exclusive_maximum: flag("exclusiveMaximum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            multiple_of: json["multipleOf"].as_f64(),
            max_length: count("maxLength"),
            min_length: count("minLength"),
            pattern: json["pattern"]
                .as_str()
                .filter(|text| !text.is_empty())
                .map(|text| Pattern {
                    text: text.to_owned(),
                    regex: Regex::new(text).ok(),
                }),
            max_items: count("maxItems"),
            min_items: count("minItems"),
            max_properties: count("maxProperties"),
            min_properties: count("minProperties"),
            required: texts(&json["required"]),
            one_of_values: json["enum"].as_array().cloned().unwrap_or_default(),
            all_of: schemas("allOf"),
            any_of: schemas("anyOf"),
            one_of: schemas("oneOf"),
            not: boxed(&json["not"]),
        }
    }
}

fn boxed(json: &Value) -> Option<Box<Schema>> {
    json.is_object().then(|| Box::new(Schema::read(json)))
}

fn texts(json: &Value) -> Vec<String> {
    let list = json.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}
