//! The merge of a configuration into an object.

use serde_json::Value;

use super::path::Element;
use super::typed::{entry_element, field_or_item, field_shape, is_atomic, is_hollow};
use crate::schema::Shape;

/// The object that results where `new` says what some fields are to be.
pub(super) fn merge(shape: &Shape, old: &Value, new: &Value) -> Value {
    match (shape, old, new) {
        (shape, Value::Object(old), Value::Object(new))
            if shape.has_fields() && !is_atomic(shape) =>
        {
            let mut merged = old.clone();
            for (key, value) in new {
                let value = match old.get(key) {
                    Some(old) => merge(field_shape(shape, key), old, value),
                    None => value.clone(),
                };
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        (Shape::List { .. }, Value::Array(old), Value::Array(new)) if !is_atomic(shape) => {
            Value::Array(merge_lists(shape, old, new))
        }
        // A map or a list that names nothing leaves what is there alone.
        (_, Value::Object(_) | Value::Array(_), new) if !is_atomic(shape) && is_hollow(new) => {
            old.clone()
        }
        _ => new.clone(),
    }
}

/// Entries that `new` has come in its order; those of `old` alone stay after what they followed.
fn merge_lists(shape: &Shape, old: &[Value], new: &[Value]) -> Vec<Value> {
    let element = |(i, entry)| (entry_element(shape, i, entry), entry);
    let olds: Vec<(Element, &Value)> = old.iter().enumerate().map(element).collect();
    let news: Vec<(Element, &Value)> = new.iter().enumerate().map(element).collect();
    let in_new = |element: &Element| news.iter().any(|(other, _)| other == element);
    let mut shared = news
        .iter()
        .map(|(element, _)| element)
        .filter(|e| olds.iter().any(|(o, _)| o == *e))
        .peekable();
    let mut left = olds.iter().peekable();
    let mut merged = Vec::new();
    for (element, entry) in &news {
        while let Some((ours, value)) = left.peek() {
            if ours == element {
                left.next();
                break;
            } else if !in_new(ours) {
                merged.push((*value).clone());
            } else if shared.peek() == Some(&ours) {
                // The next that both have: what is new only goes before it.
                break;
            }
            left.next();
        }
        if shared.peek() == Some(&element) {
            shared.next();
        }
        let ours = olds.iter().find(|(ours, _)| ours == element);
        merged.push(match ours {
            Some((_, ours)) => merge(field_or_item(shape, element), ours, entry),
            None => (*entry).clone(),
        });
    }
    merged.extend(
        left.filter(|(ours, _)| !in_new(ours))
            .map(|(_, value)| (*value).clone()),
    );
    merged
}
