//! Whether the values of an object will do.
//!
//! Errors come in the order and the words of upstream's validator: `k8s.io/kube-openapi`,
//! `pkg/validation/validate`. The order of fields, which is random there, is that of their names.
//!
//! On an update, what has not changed is not told again (KEP-4008): fields are compared by name,
//! entries of a list by its keys. Entries of other lists have no former self.

use serde_json::{Value, json};

use super::formats;
use super::structural::{Additional, Checks, ListKind, Schema};
use crate::status::FieldError;

/// What is wrong with a value, and was not so before. `prefix` is where it is in the object; the
/// words tell only of what is below, as upstream's do.
pub(super) fn validate(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    prefix: &str,
) -> Vec<FieldError> {
    let mut found = Found {
        prefix,
        errors: Vec::new(),
    };
    node(schema, value, old, "", &mut found);
    found.errors
}

struct Found<'a> {
    prefix: &'a str,
    errors: Vec<FieldError>,
}

impl Found<'_> {
    /// Below the same place, nothing found yet.
    fn fresh(&self) -> Found<'_> {
        Found {
            prefix: self.prefix,
            errors: Vec::new(),
        }
    }

    fn field(&self, path: &str) -> String {
        let path = path.strip_prefix('.').unwrap_or(path);
        match (self.prefix, path) {
            ("", "") => "<nil>".to_owned(),
            (prefix, "") => prefix.to_owned(),
            ("", path) => path.to_owned(),
            (prefix, path) => format!("{prefix}.{path}"),
        }
    }

    fn add(&mut self, reason: &'static str, path: &str, message: String) {
        let error = FieldError {
            reason,
            field: self.field(path),
            message,
        };
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// `Invalid value: 3: spec.replicas in body should be …`
    fn wrong(&mut self, path: &str, value: &Value, should: &str) {
        let message = format!("Invalid value: {value}: {path} in body {should}");
        self.add("FieldValueInvalid", path, message);
    }

    fn wrong_type(&mut self, path: &str, wanted: &str, found: &str) {
        let message =
            format!("Invalid value: {found:?}: {path} in body must be of type {wanted}: {found:?}");
        self.add("FieldValueTypeInvalid", path, message);
    }

    fn too_many(&mut self, path: &str, count: usize, max: u64) {
        let items = if max == 1 { "item" } else { "items" };
        let message = format!("Too many: {count}: must have at most {max} {items}");
        self.add("FieldValueTooMany", path, message);
    }

    /// What is wrong with no single field.
    fn composite(&mut self, path: &str, problem: &str) {
        let message = format!("Invalid value: \"\": {path:?} must {problem}");
        self.add("FieldValueInvalid", "", message);
    }
}

fn node(schema: &Schema, value: &Value, old: Option<&Value>, path: &str, found: &mut Found) {
    if old == Some(value) {
        return;
    }
    if value.is_null() {
        let wanted = types(schema);
        if !wanted.is_empty() && !schema.nullable {
            found.wrong_type(path, &wanted.join(","), "null");
        }
        return one_of(&schema.checks, value, path, found);
    }
    check_type(schema, value, path, found);
    junctors(&schema.checks, value, old, path, found);
    match value {
        Value::String(text) => string(&schema.checks, text, path, found),
        Value::Number(_) => number(&schema.checks, value, path, found),
        Value::Array(list) => entries(schema, list, old, path, found),
        _ => {}
    }
    one_of(&schema.checks, value, path, found);
    if value.is_object() {
        fields(schema, value, old, path, found);
    }
}

fn types(schema: &Schema) -> Vec<&str> {
    match (schema.int_or_string, schema.kind.as_str()) {
        (true, _) => vec!["integer", "string"],
        (_, "") => Vec::new(),
        (_, kind) => vec![kind],
    }
}

fn check_type(schema: &Schema, value: &Value, path: &str, found: &mut Found) {
    let wanted = types(schema);
    if wanted.is_empty() {
        return;
    }
    let (kind, format) = kind_of(value);
    let is_whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let fits = wanted.contains(&kind)
        || kind == "number" && is_whole && wanted.contains(&"integer")
        || kind == "integer" && wanted.contains(&"number");
    let has_format = formats::is_known(&schema.checks.format);
    let is_numeric = wanted.contains(&"number") || wanted.contains(&"integer");
    match (has_format, kind) {
        (true, "string" | "array") if !is_numeric => {}
        (true, kind) if !fits && !matches!(kind, "string" | "array") => {
            found.wrong_type(path, &schema.checks.format, format);
        }
        _ if fits => {}
        _ => found.wrong_type(path, &wanted.join(","), kind),
    }
}

/// The type of a value, and the format of its numbers.
fn kind_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) if number.is_f64() => ("number", "double"),
        Value::Number(_) => ("integer", "int64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

/// `anyOf`, `oneOf`, `allOf`, `not`.
fn junctors(checks: &Checks, value: &Value, old: Option<&Value>, path: &str, found: &mut Found) {
    let tried = |schemas: &[Schema], found: &Found| -> Vec<Vec<FieldError>> {
        let attempt = |schema: &Schema| {
            let mut inner = found.fresh();
            node(schema, value, old, path, &mut inner);
            inner.errors
        };
        schemas.iter().map(attempt).collect()
    };
    let any = tried(&checks.any_of, found);
    if !any.is_empty() && !any.iter().any(Vec::is_empty) {
        found.composite(path, "validate at least one schema (anyOf)");
        found.errors.extend(closest(any));
    }
    let one = tried(&checks.one_of, found);
    let valid = one.iter().filter(|errors| errors.is_empty()).count();
    if !one.is_empty() && valid != 1 {
        let how_many = match valid {
            0 => "Found none valid".to_owned(),
            many => format!("Found {many} valid alternatives"),
        };
        found.composite(
            path,
            &format!("validate one and only one schema (oneOf). {how_many}"),
        );
        if valid == 0 {
            found.errors.extend(closest(one));
        }
    }
    let all = tried(&checks.all_of, found);
    let valid = all.iter().filter(|errors| errors.is_empty()).count();
    if valid != all.len() {
        let none = if valid == 0 { ". None validated" } else { "" };
        found.errors.extend(all.into_iter().flatten());
        found.composite(path, &format!("validate all the schemas (allOf){none}"));
    }
    if let Some(not) = &checks.not {
        let mut inner = found.fresh();
        node(not, value, old, path, &mut inner);
        if inner.errors.is_empty() {
            found.composite(path, "not validate the schema (not)");
        }
    }
}

/// The errors of the schema that the value is closest to.
fn closest(tried: Vec<Vec<FieldError>>) -> Vec<FieldError> {
    tried.into_iter().min_by_key(Vec::len).unwrap_or_default()
}

fn string(checks: &Checks, text: &str, path: &str, found: &mut Found) {
    let value = || Value::from(text);
    let length = text.chars().count() as u64;
    let pattern = checks.pattern.as_ref();
    let mismatch = pattern.filter(|pattern| match &pattern.regex {
        Some(regex) => !regex.is_match(text),
        None => true,
    });
    if let Some(max) = checks.max_length.filter(|max| length > *max) {
        let bytes = if max == 1 { "byte" } else { "bytes" };
        let message = format!("Too long: may not be more than {max} {bytes}");
        found.add("FieldValueTooLong", path, message);
    } else if let Some(min) = checks.min_length.filter(|min| length < *min) {
        found.wrong(
            path,
            &value(),
            &format!("should be at least {min} chars long"),
        );
    } else if let Some(pattern) = mismatch {
        found.wrong(path, &value(), &format!("should match '{}'", pattern.text));
    }
    if formats::is_known(&checks.format) && !formats::holds(&checks.format, text) {
        found.wrong_type(path, &checks.format, text);
    }
}

fn number(checks: &Checks, value: &Value, path: &str, found: &mut Found) {
    let number = value.as_f64().unwrap_or_default();
    if let Some(factor) = checks.multiple_of.filter(|factor| *factor > 0.0) {
        let times = number / factor;
        if (times - times.round()).abs() > 1e-9 {
            found.wrong(path, value, &format!("should be a multiple of {factor}"));
        }
    }
    if let Some(min) = checks.minimum {
        match checks.exclusive_minimum {
            true if number <= min => {
                found.wrong(path, value, &format!("should be greater than {min}"));
            }
            false if number < min => {
                found.wrong(
                    path,
                    value,
                    &format!("should be greater than or equal to {min}"),
                );
            }
            _ => {}
        }
    }
    if let Some(max) = checks.maximum {
        match checks.exclusive_maximum {
            true if number >= max => {
                found.wrong(path, value, &format!("should be less than {max}"))
            }
            false if number > max => {
                found.wrong(
                    path,
                    value,
                    &format!("should be less than or equal to {max}"),
                );
            }
            _ => {}
        }
    }
}

fn entries(schema: &Schema, list: &[Value], old: Option<&Value>, path: &str, found: &mut Found) {
    let former = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if let Some(items) = &schema.items {
        for (i, entry) in list.iter().enumerate() {
            let old = match &schema.list {
                ListKind::Map(keys) => former
                    .iter()
                    .find(|old| keys.iter().all(|key| old.get(key) == entry.get(key))),
                _ => None,
            };
            node(items, entry, old, &format!("{path}[{i}]"), found);
        }
    }
    let (checks, count) = (&schema.checks, list.len() as u64);
    if let Some(min) = checks.min_items.filter(|min| count < *min) {
        found.wrong(
            path,
            &json!(count),
            &format!("should have at least {min} items"),
        );
    }
    if let Some(max) = checks.max_items.filter(|max| count > *max) {
        found.too_many(path, list.len(), max);
    }
}

fn one_of(checks: &Checks, value: &Value, path: &str, found: &mut Found) {
    let same = |wanted: &Value| match (wanted, value) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    };
    let wanted = &checks.one_of_values;
    if wanted.is_empty() || wanted.iter().any(same) {
        return;
    }
    let quoted = |wanted: &Value| match wanted {
        Value::String(text) => format!("{text:?}"),
        other => format!("{:?}", other.to_string()),
    };
    let wanted: Vec<String> = wanted.iter().map(quoted).collect();
    let message = format!(
        "Unsupported value: {value}: supported values: {}",
        wanted.join(", ")
    );
    found.add("FieldValueNotSupported", path, message);
}

fn fields(schema: &Schema, value: &Value, old: Option<&Value>, path: &str, found: &mut Found) {
    let Some(object) = value.as_object() else {
        return;
    };
    let (checks, count) = (&schema.checks, object.len());
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    if let Some(min) = checks.min_properties.filter(|min| (count as u64) < *min) {
        found.wrong(
            path,
            &json!(count),
            &format!("should have at least {min} properties"),
        );
    }
    if let Some(max) = checks.max_properties.filter(|max| count as u64 > *max) {
        found.too_many(path, count, max);
    }
    for (name, value) in object {
        let old = old.and_then(|old| old.get(name));
        match (schema.properties.get(name), &schema.additional) {
            (None, Some(Additional::Schema(inner))) => node(inner, value, old, &below(name), found),
            (None, Some(Additional::Any(false))) => {
                let message =
                    format!("Invalid value: \"\": {path}.{name} in body is a forbidden property");
                found.add("FieldValueInvalid", path, message);
            }
            _ => {}
        }
    }
    for (name, inner) in &schema.properties {
        if let Some(value) = object.get(name) {
            node(
                inner,
                value,
                old.and_then(|old| old.get(name)),
                &below(name),
                found,
            );
        }
    }
    for name in &checks.required {
        if !object.contains_key(name) {
            found.add(
                "FieldValueRequired",
                &format!("{path}.{name}"),
                "Required value".into(),
            );
        }
    }
}
