//! The small checks that all others are made of.

use serde_json::{Map, Value};

use super::names::{self, Wrongs};
use crate::status::FieldError;

/// What is wrong, so far.
pub(super) type Errors = Vec<FieldError>;

/// A text; empty if absent.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A list; empty if absent.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A map; none if absent.
pub(super) fn entries<'a>(
    value: &'a Value,
    key: &str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let map: Option<&Map<String, Value>> = value[key].as_object();
    map.into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value))
}

/// Whether the field is there.
pub(super) fn has(value: &Value, key: &str) -> bool {
    value.get(key).is_some_and(|field| !field.is_null())
}

/// Adds an error for each wrong of a text, which is no value of its own.
pub(super) fn wrongs_of(errors: &mut Errors, field: &str, text: &str, wrong: Wrongs) {
    if !wrong.is_empty() {
        wrongs(errors, field, &text.into(), wrong);
    }
}

/// Adds an error for each wrong of a value.
pub(super) fn wrongs(errors: &mut Errors, field: &str, value: &Value, wrongs: Wrongs) {
    errors.extend(
        wrongs
            .iter()
            .map(|wrong| FieldError::invalid(field, value, wrong)),
    );
}

/// A text that must be there and have a form.
pub(super) fn required(
    errors: &mut Errors,
    parent: &Value,
    path: &str,
    key: &str,
    form: fn(&str) -> Wrongs,
) {
    match text(parent, key) {
        "" => errors.push(FieldError::required(join(path, key), "")),
        value => match form(value) {
            good if good.is_empty() => {}
            wrong => wrongs(errors, &join(path, key), &parent[key], wrong),
        },
    }
}

/// A text that has a form if it is there.
pub(super) fn optional(
    errors: &mut Errors,
    parent: &Value,
    path: &str,
    key: &str,
    form: fn(&str) -> Wrongs,
) {
    if !text(parent, key).is_empty() {
        required(errors, parent, path, key, form);
    }
}

/// Any text that is not empty.
pub(super) fn any(_: &str) -> Wrongs {
    Wrongs::new()
}

/// A text that must be one of these.
pub(super) fn one_of(
    errors: &mut Errors,
    parent: &Value,
    path: &str,
    key: &str,
    supported: &[&str],
) {
    match text(parent, key) {
        "" => errors.push(FieldError::required(join(path, key), "")),
        value if supported.contains(&value) => {}
        _ => errors.push(FieldError::not_supported(
            join(path, key),
            &parent[key],
            supported,
        )),
    }
}

/// A text that must be one of these if it is there.
pub(super) fn one_of_if(
    errors: &mut Errors,
    parent: &Value,
    path: &str,
    key: &str,
    supported: &[&str],
) {
    if !text(parent, key).is_empty() {
        one_of(errors, parent, path, key, supported);
    }
}

/// A number that, if it is there, is not below zero.
pub(super) fn not_negative(errors: &mut Errors, parent: &Value, path: &str, key: &str) {
    if parent[key].as_i64().is_some_and(|number| number < 0) {
        let wrong = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(join(path, key), &parent[key], wrong));
    }
}

/// A number that, if it is there, is in a range.
pub(super) fn in_range(
    errors: &mut Errors,
    parent: &Value,
    path: &str,
    key: &str,
    (min, max): (i64, i64),
) {
    if let Some(number) = parent[key].as_i64() {
        let wrong = names::in_range(number, min, max);
        wrongs(errors, &join(path, key), &parent[key], wrong);
    }
}

/// Keys and values of labels. Upstream reports all of them at the map's own path.
pub(super) fn labels(errors: &mut Errors, parent: &Value, path: &str, key: &str) {
    let field = join(path, key);
    for (key, value) in entries(parent, key) {
        wrongs_of(errors, &field, key, names::qualified_name(key));
        let text = value.as_str().unwrap_or_default();
        wrongs(errors, &field, value, names::label_value(text));
    }
}

/// A `metav1.LabelSelector`.
pub(super) fn label_selector(errors: &mut Errors, selector: &Value, path: &str) {
    labels(errors, selector, path, "matchLabels");
    for (index, expression) in list(selector, "matchExpressions").iter().enumerate() {
        let path = format!("{path}.matchExpressions[{index}]");
        let values = list(expression, "values");
        let at = join(&path, "values");
        match text(expression, "operator") {
            "In" | "NotIn" => {
                if values.is_empty() {
                    let wrong = "must be specified when `operator` is 'In' or 'NotIn'";
                    errors.push(FieldError::required(at.clone(), wrong));
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    let wrong =
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    errors.push(FieldError::forbidden(at.clone(), wrong));
                }
            }
            _ => errors.push(FieldError::invalid(
                join(&path, "operator"),
                &expression["operator"],
                "not a valid selector operator",
            )),
        }
        let key = text(expression, "key");
        let wrong = names::qualified_name(key);
        wrongs_of(errors, &join(&path, "key"), key, wrong);
        for (index, value) in values.iter().enumerate() {
            let wrong = names::label_value(value.as_str().unwrap_or_default());
            wrongs(errors, &format!("{at}[{index}]"), value, wrong);
        }
    }
}

/// A field that may not change.
pub(super) fn immutable(errors: &mut Errors, new: &Value, old: &Value, field: &str) {
    if !same(new, old) {
        errors.push(FieldError::invalid(field, new, "field is immutable"));
    }
}

/// More bytes than there may be. Upstream: `field.TooLong`.
pub(super) fn too_long(field: &str, max: usize) -> FieldError {
    FieldError {
        reason: "FieldValueTooLong",
        field: field.to_owned(),
        message: format!("Too long: may not be more than {max} bytes"),
    }
}

/// `path.key`; at the top, `key`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        [path, ".", key].concat()
    }
}

/// Whether two values mean the same: what is empty is as good as absent.
/// Upstream: `apiequality.Semantic.DeepEqual`.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    // Mostly nothing has changed at all.
    if a == b {
        return true;
    }
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let only_in_b = b.keys().filter(|key| !a.contains_key(*key));
            a.keys()
                .chain(only_in_b)
                .all(|key| same_field(key, a.get(key), b.get(key)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        _ => is_empty(a) && is_empty(b),
    }
}

fn same_field(key: &str, a: Option<&Value>, b: Option<&Value>) -> bool {
    let (a, b) = (a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null));
    same(a, b) || (is_plain_bool(key) && *a != Value::Bool(true) && *b != Value::Bool(true))
}

/// A boolean that, unlike most, does not tell absent from false.
fn is_plain_bool(key: &str) -> bool {
    matches!(
        key,
        "hostNetwork" | "hostPID" | "hostIPC" | "readOnly" | "stdin" | "stdinOnce" | "tty"
    )
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
