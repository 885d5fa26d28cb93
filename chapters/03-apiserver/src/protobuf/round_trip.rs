//! Every kind, with every field that it has, comes back as it was.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    JSON_SCHEMA, Name, TYPES, UNIONS, decode, encode, message, message_of_json, row_name, schema_of,
};
use crate::resources;
use crate::schema::{Shape, Type, type_named};

/// Makes objects by a row of numbers that looks like chance.
struct Maker(u64);

impl Maker {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn text(&mut self) -> String {
        let letters = ["", "a", "\u{e4}\u{6587}", "\"", "b c", "0"];
        let parts = self.next(4);
        (0..parts).map(|_| letters[self.next(6) as usize]).collect()
    }

    /// A struct with about `chance` of ten of its fields.
    fn object(&mut self, r#type: &Type, chance: u64, depth: usize) -> Value {
        let mut object = Map::new();
        for field in &r#type.fields {
            // Of embedded objects protobuf does not say which kind they are of.
            let is_kind = matches!(&*field.name, "kind" | "apiVersion");
            if is_kind && !has_field(row_name(&r#type.name), &field.name) {
                continue;
            }
            if self.next(10) < chance && depth < 12 {
                // A schema in a schema, or else a boolean.
                let is_union =
                    row_name(&r#type.name) == JSON_SCHEMA && UNIONS.contains(&&*field.name);
                let value = match is_union {
                    true => self.object(r#type, chance / 2, depth + 4),
                    false => self.value(&field.shape, chance, depth),
                };
                object.insert(field.name.to_string(), value);
            }
        }
        object.into()
    }

    fn value(&mut self, shape: &Shape, chance: u64, depth: usize) -> Value {
        let signed = |number: u64| {
            if number.is_multiple_of(2) {
                number as i64
            } else {
                -(number as i64)
            }
        };
        match shape {
            Shape::Boolean => (self.next(2) == 1).into(),
            Shape::Integer32 => (signed(self.next(1 << 31)) as i32).into(),
            Shape::Integer64 => signed(self.next(1 << 31) << 20).into(),
            Shape::Number => json!(self.next(1000) as f64 / 8.0),
            Shape::String => self.text().into(),
            Shape::Bytes => ["", "AP8=", "aGk="][self.next(3) as usize].into(),
            Shape::Time => "2026-01-02T03:04:05Z".into(),
            Shape::MicroTime => "1969-12-31T23:59:58.000007Z".into(),
            Shape::Quantity => ["0", "500m", "1Gi"][self.next(3) as usize].into(),
            Shape::IntOrString => match self.next(2) {
                0 => signed(self.next(70_000)).into(),
                _ => self.text().into(),
            },
            Shape::Any => json!({"f:spec": {"a": [1, null, "\u{e4}"]}}),
            Shape::Struct(r#type) => self.object(r#type.get(), chance, depth + 1),
            // No list and an empty one are the same in protobuf.
            Shape::List { item, .. } => {
                let items = 1 + self.next(2);
                let items = (0..items).map(|_| self.value(item, chance, depth + 1));
                items.collect::<Vec<_>>().into()
            }
            Shape::Map { value, .. } => {
                let mut map = Map::new();
                for _ in 0..=self.next(2) {
                    map.insert(self.text(), self.value(value, chance, depth + 1));
                }
                map.into()
            }
            Shape::Own(_) | Shape::Deduced => unreachable!("nothing built in has such a shape"),
        }
    }
}

fn has_field(row: &str, field: &str) -> bool {
    TYPES.get(row).is_some_and(|names| {
        names.values().any(|name| match *name {
            Name::Json(name) | Name::Wrapped(name) => name == field,
            Name::Inline(inlined) => has_field(inlined, field),
        })
    })
}

/// Kinds that are no resources, and are sent or answered with.
const OTHERS: &[(&str, &str)] = &[
    ("v1", "APIGroup"),
    ("v1", "APIGroupList"),
    ("v1", "APIResourceList"),
    ("v1", "APIVersions"),
    ("v1", "DeleteOptions"),
    ("v1", "Status"),
    ("autoscaling/v1", "Scale"),
    ("authentication.k8s.io/v1", "TokenRequest"),
    ("policy/v1", "Eviction"),
];

fn check(api_version: &str, kind: &str, seed: u64, chance: u64) {
    let schema = schema_of(api_version, kind).expect("is known");
    let r#type = type_named(&schema).expect("is a type").get();
    let mut object = Maker(seed).object(r#type, chance, 0);
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    let body = encode(&object).expect("has a protobuf form");
    let back = decode(&body).expect("can be read");
    if let Some(path) = difference(&object, &back) {
        panic!("{kind}: {path}");
    }
}

/// What is text is written as what is in memory is, whatever order its fields are in.
fn check_json(schema: &str, seed: u64, chance: u64) {
    let r#type = type_named(schema).expect("is a type").get();
    let object = Maker(seed).object(r#type, chance, 0);
    let fields = object.as_object().expect("is a struct").iter().rev();
    let fields = fields.map(|(name, value)| format!("{}:{value}", json!(name)));
    let text = format!("{{{}}}", fields.collect::<Vec<_>>().join(","));
    let written = message_of_json(schema, text.as_bytes()).expect("is JSON");
    assert_eq!(written, message(schema, &object), "{text}");
}

/// Where two values first differ, and how.
fn difference(a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys());
            names.into_iter().find_map(|name| {
                let null = Value::Null;
                let (a, b) = (a.get(name).unwrap_or(&null), b.get(name).unwrap_or(&null));
                difference(a, b).map(|rest| format!(".{name}{rest}"))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(i, (a, b))| difference(a, b).map(|rest| format!("[{i}]{rest}")))
        }
        (a, b) if a == b => None,
        (a, b) => Some(format!(": {a} is read as {b}")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn every_kind_comes_back(seed: u64, chance in 1..6u64) {
        for resource in resources::all() {
            check(&resource.api_version(), resource.kind, seed, chance);
            check_json(resource.schema, seed, chance);
        }
        for (api_version, kind) in OTHERS {
            check(api_version, kind, seed, chance);
        }
    }
}

/// A field without a number would be lost on the way.
#[test]
fn every_field_has_a_number() {
    let mut seen = BTreeSet::new();
    let mut missing = Vec::new();
    let kinds = resources::all().map(|resource| resource.schema.to_owned());
    let others = OTHERS
        .iter()
        .map(|(api_version, kind)| schema_of(api_version, kind).expect("is known"));
    for schema in kinds.chain(others) {
        visit(
            type_named(&schema).expect("is a type").get(),
            &mut seen,
            &mut missing,
        );
    }
    assert_eq!(missing, Vec::<String>::new());
}

fn visit(r#type: &'static Type, seen: &mut BTreeSet<&'static str>, missing: &mut Vec<String>) {
    if !seen.insert(&r#type.name) {
        return;
    }
    let row = row_name(&r#type.name);
    for field in &r#type.fields {
        let is_kind = matches!(&*field.name, "kind" | "apiVersion");
        if !is_kind && !has_field(row, &field.name) {
            missing.push(format!("{row}.{}", field.name));
        }
        let mut shape = &field.shape;
        while let Shape::List { item: inner, .. } | Shape::Map { value: inner, .. } = shape {
            shape = inner;
        }
        if let Some(inner) = shape.as_struct() {
            visit(inner, seen, missing);
        }
    }
}
