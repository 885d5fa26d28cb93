//! The merge of a configuration into an object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::path::Element;
use super::typed::{entry_element, field_or_item, field_shape, is_atomic};
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
        // To name nothing leaves the members that are there alone.
        (shape, Value::Object(members), Value::Null)
            if shape.has_fields() && !is_atomic(shape) && !members.is_empty() =>
        {
            old.clone()
        }
        (Shape::List { .. }, Value::Array(entries), Value::Null)
            if !is_atomic(shape) && !entries.is_empty() =>
        {
            old.clone()
        }
        _ => new.clone(),
    }
}

/// Entries of `new` come in its order; those of `old` alone stay after what they followed. Of an
/// entry that `old` repeats, `new` says all. Upstream: `visitListItems` of `typed/merge.go`.
fn merge_lists(shape: &Shape, old: &[Value], new: &[Value]) -> Vec<Value> {
    let element = |(i, entry)| (entry_element(shape, i, entry), entry);
    let olds: Vec<(Element, &Value)> = old.iter().enumerate().map(element).collect();
    let news: Vec<(Element, &Value)> = new.iter().enumerate().map(element).collect();
    let mut by_element: BTreeMap<&Element, Vec<&Value>> = BTreeMap::new();
    for (element, value) in &olds {
        by_element.entry(element).or_default().push(value);
    }
    let wanted: BTreeSet<&Element> = news.iter().map(|(element, _)| element).collect();
    let merged_entry = |(element, entry): &(Element, &Value)| match by_element.get(element) {
        Some(former) if former.len() == 1 => merge(field_or_item(shape, element), former[0], entry),
        _ => (*entry).clone(),
    };
    let mut shared = news
        .iter()
        .map(|(element, _)| element)
        .filter(|element| by_element.contains_key(element))
        .peekable();
    let (mut left, mut done) = (0, 0);
    let mut placed = BTreeSet::new();
    let mut merged = Vec::new();
    while left < olds.len() || done < news.len() {
        if let (Some((ours, _)), Some(next)) = (olds.get(left), news.get(done)) {
            if *ours == next.0 {
                merged.push(merged_entry(next));
                placed.insert(ours);
                (left, done) = (left + 1, done + 1);
                shared.next();
                continue;
            }
            if wanted.contains(ours) && shared.peek().is_some_and(|shared| *shared != ours) {
                // Its turn comes, in the order of `new`.
                left += 1;
                continue;
            }
        }
        if let Some((ours, value)) = olds.get(left) {
            if !wanted.contains(ours) {
                merged.push((*value).clone());
                left += 1;
                continue;
            }
            if placed.contains(ours) {
                left += 1;
            }
        }
        if let Some(next) = news.get(done) {
            merged.push(merged_entry(next));
            placed.insert(&next.0);
            done += 1;
            if shared.peek() == Some(&&next.0) {
                shared.next();
            }
        }
    }
    merged
}
