//! Walks over objects, led by their type: which fields there are, what differs, and the merge of
//! two.
//!
//! A value is one *leaf* (a scalar, or a list, map or struct that is taken as a whole), or it has
//! *members*: the fields of a struct, the keys of a map, the entries of a keyed list or of a set.
//! Upstream: `sigs.k8s.io/structured-merge-diff`, folder `typed`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::path::{Element, Set};
use crate::schema::{ListType, Shape};

/// What two versions of an object differ in.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) removed: Set,
    pub(super) modified: Set,
    pub(super) added: Set,
}

/// The members of a value, with what each is; `None` if it is a leaf.
fn members<'a>(shape: &'a Shape, value: &'a Value) -> Option<Vec<(Element, &'a Shape, &'a Value)>> {
    match (shape, value) {
        (Shape::Struct(_) | Shape::Map { .. }, Value::Object(object)) if !is_atomic(shape) => {
            let member = |(key, value)| (Element::field(key), field_shape(shape, key), value);
            Some(
                object
                    .iter()
                    .map(|(k, v)| (k.as_str(), v))
                    .map(member)
                    .collect(),
            )
        }
        (Shape::List { item, .. }, Value::Array(list)) if !is_atomic(shape) => {
            let entries = list.iter().enumerate();
            Some(
                entries
                    .map(|(i, entry)| (entry_element(shape, i, entry), &**item, entry))
                    .collect(),
            )
        }
        _ => None,
    }
}

fn is_atomic(shape: &Shape) -> bool {
    match shape {
        Shape::Struct(r) => r.get().atomic,
        Shape::Map { atomic, .. } => *atomic,
        Shape::List { kind, .. } => *kind == ListType::Atomic,
        _ => true,
    }
}

fn field_shape<'a>(shape: &'a Shape, key: &str) -> &'a Shape {
    match shape {
        Shape::Struct(r) => r.get().field(key).map_or(&Shape::Any, |field| &field.shape),
        Shape::Map { value, .. } => value,
        _ => &Shape::Any,
    }
}

fn entry_element(shape: &Shape, index: usize, entry: &Value) -> Element {
    match shape {
        Shape::List {
            kind: ListType::Set,
            ..
        } => Element::Value(entry.to_string()),
        Shape::List {
            kind: ListType::Map(keys),
            item,
            ..
        } => {
            let item = item.as_struct();
            let defaults: Vec<(&str, Value)> = keys
                .iter()
                .filter(|key| entry.get(**key).is_none())
                .filter_map(|key| Some((*key, item?.key_default(key)?.into())))
                .collect();
            let there = keys.iter().filter_map(|key| Some((*key, entry.get(*key)?)));
            Element::keys(
                there
                    .chain(defaults.iter().map(|(key, value)| (*key, value)))
                    .collect(),
            )
        }
        _ => Element::Index(index),
    }
}

fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(object) => object.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// The fields that a configuration names: its leaves, and the entries of its lists.
pub(super) fn field_set(shape: &Shape, value: &Value) -> Set {
    let mut set = Set::default();
    for (element, member, value) in members(shape, value).into_iter().flatten() {
        let below = field_set(member, value);
        let is_entry = !matches!(element, Element::Field(_));
        let is_users_key = matches!(shape, Shape::Map { .. });
        if is_entry || is_users_key || is_hollow(value) || members(member, value).is_none() {
            set.members.insert(element.clone());
        }
        if !below.is_empty() {
            set.children.insert(element, below);
        }
    }
    set
}

/// What `new` removes, modifies and adds.
pub(super) fn compare(shape: &Shape, old: &Value, new: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    compare_at(
        shape,
        Some(old),
        Some(new),
        &mut Vec::new(),
        &mut comparison,
    );
    comparison
}

fn compare_at(
    shape: &Shape,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<Element>,
    to: &mut Comparison,
) {
    let (mut olds, mut news) = (grouped(shape, old), grouped(shape, new));
    for side in [&mut olds, &mut news].into_iter().flatten() {
        add_required(shape, side);
    }
    let hollow = old.is_none_or(is_hollow) && new.is_none_or(is_hollow);
    let has_members = !hollow
        && (olds.is_some() || old.is_none_or(is_hollow))
        && (news.is_some() || new.is_none_or(is_hollow));
    if has_members {
        let (olds, news) = (olds.unwrap_or_default(), news.unwrap_or_default());
        let elements: BTreeSet<&Element> = olds.keys().chain(news.keys()).collect();
        for element in elements {
            path.push(element.clone());
            match (
                olds.get(element).map(Vec::as_slice),
                news.get(element).map(Vec::as_slice),
            ) {
                (None | Some([_]), None | Some([_])) => {
                    let one = |group: Option<&Vec<(&Shape, _)>>| group.map(|group| group[0].1);
                    let (old, new) = (one(olds.get(element)), one(news.get(element)));
                    compare_at(field_or_item(shape, element), old, new, path, to);
                }
                // Entries that share a key are compared as one leaf.
                (old, new) => {
                    let values = |group: Option<&[(_, &Value)]>| -> Option<Value> {
                        group.map(|group| group.iter().map(|(_, value)| (*value).clone()).collect())
                    };
                    compare_leaf(values(old).as_ref(), values(new).as_ref(), path, to);
                }
            }
            path.pop();
        }
        match (old, new) {
            (None, _) => to.added.insert(path),
            (_, None) => to.removed.insert(path),
            _ => {}
        }
        return;
    }
    compare_leaf(old, new, path, to);
}

fn compare_leaf(old: Option<&Value>, new: Option<&Value>, path: &[Element], to: &mut Comparison) {
    match (old, new) {
        (None, _) => to.added.insert(path),
        (_, None) => to.removed.insert(path),
        (Some(old), Some(new)) if old != new => to.modified.insert(path),
        _ => {}
    }
}

type Grouped<'a> = BTreeMap<Element, Vec<(&'a Shape, &'a Value)>>;

/// Members by their element; more than one under the same only where a list repeats a key.
fn grouped<'a>(shape: &'a Shape, value: Option<&'a Value>) -> Option<Grouped<'a>> {
    let mut groups = Grouped::new();
    for (element, shape, value) in members(shape, value?)? {
        groups.entry(element).or_default().push((shape, value));
    }
    Some(groups)
}

/// Lists and maps that are always there are null where they are empty, as in Go.
fn add_required<'a>(shape: &'a Shape, groups: &mut Grouped<'a>) {
    let fields = shape.as_struct().map_or(&[] as &[_], |owner| &owner.fields);
    for field in fields.iter().filter(|field| field.required) {
        if matches!(field.shape, Shape::List { .. } | Shape::Map { .. }) {
            let element = Element::field(&field.name);
            groups
                .entry(element)
                .or_insert_with(|| vec![(&field.shape, &Value::Null)]);
        }
    }
}

fn field_or_item<'a>(shape: &'a Shape, element: &Element) -> &'a Shape {
    match (shape, element) {
        (Shape::List { item, .. }, _) => item,
        (shape, Element::Field(name)) => field_shape(shape, name),
        _ => &Shape::Any,
    }
}

/// The object that results where `new` says what some fields are to be.
pub(super) fn merge(shape: &Shape, old: &Value, new: &Value) -> Value {
    match (shape, old, new) {
        (Shape::Struct(_) | Shape::Map { .. }, Value::Object(old), Value::Object(new))
            if !is_atomic(shape) =>
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

/// The object without the fields of a set; what becomes empty by it goes too.
pub(super) fn remove(shape: &Shape, value: &Value, set: &Set) -> Option<Value> {
    if is_hollow(value) {
        return Some(value.clone());
    }
    let Some(members) = members(shape, value) else {
        return Some(value.clone());
    };
    let kept = members.into_iter().filter_map(|(element, shape, value)| {
        if set.members.contains(&element) {
            return None;
        }
        let value = match set.children.get(&element) {
            Some(below) if !below.is_empty() => remove(shape, value, below)?,
            _ => value.clone(),
        };
        Some((element, value))
    });
    match value {
        Value::Array(_) => {
            let list: Vec<Value> = kept.map(|(_, value)| value).collect();
            (!list.is_empty()).then_some(Value::Array(list))
        }
        _ => {
            let object: Map<String, Value> = kept
                .filter_map(|(element, value)| match element {
                    Element::Field(name) => Some((name, value)),
                    _ => None,
                })
                .collect();
            (!object.is_empty()).then_some(Value::Object(object))
        }
    }
}

/// With every field of a struct that something below is in the set: `a.b.c` brings `a`, if it is
/// a field and not a key of the user's.
pub(super) fn with_named_fields(set: &Set, shape: &Shape) -> Set {
    let mut all = Set {
        members: set.members.clone(),
        children: BTreeMap::new(),
    };
    for (element, child) in &set.children {
        if let (Element::Field(name), Some(owner)) = (element, shape.as_struct())
            && owner.field(name).is_some()
        {
            all.members.insert(element.clone());
        }
        let child = with_named_fields(child, field_or_item(shape, element));
        all.children.insert(element.clone(), child);
    }
    all
}

/// What of a configuration does not fit its type: `.spec.foo: field not declared in schema`.
pub(super) fn misfits(shape: &Shape, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    misfits_at(shape, value, &mut Vec::new(), &mut found);
    found
}

fn misfits_at(shape: &Shape, value: &Value, path: &mut Vec<Element>, found: &mut Vec<String>) {
    let expected = match (shape, value) {
        (_, Value::Null) | (Shape::Any, _) => return,
        (Shape::Struct(_) | Shape::Map { .. }, Value::Object(object)) => {
            for (key, value) in object {
                path.push(Element::field(key));
                let known = shape
                    .as_struct()
                    .is_none_or(|owner| owner.field(key).is_some());
                if known {
                    misfits_at(field_shape(shape, key), value, path, found);
                } else {
                    found.push(format!(
                        "{}: field not declared in schema",
                        super::path::show(path)
                    ));
                }
                path.pop();
            }
            return;
        }
        (Shape::List { item, .. }, Value::Array(list)) => {
            let mut seen = BTreeSet::new();
            for (i, entry) in list.iter().enumerate() {
                let element = entry_element(shape, i, entry);
                if element == Element::Key("{}".into()) {
                    found.push(format!(
                        "{}: element {i}: associative list with keys has an element that omits \
                         all key fields",
                        super::path::show(path)
                    ));
                } else if !seen.insert(element.clone()) {
                    found.push(format!(
                        "{}: duplicate entries for key {}",
                        super::path::show(path),
                        super::path::show(std::slice::from_ref(&element))
                    ));
                }
                path.push(element);
                misfits_at(item, entry, path, found);
                path.pop();
            }
            return;
        }
        (Shape::Struct(_) | Shape::Map { .. }, _) => "map",
        (Shape::List { .. }, _) => "list",
        (_, Value::Object(_) | Value::Array(_)) => "scalar",
        (Shape::Boolean, Value::Bool(_)) => return,
        (Shape::Boolean, _) => "boolean",
        (Shape::Integer32 | Shape::Integer64 | Shape::Number, Value::Number(_)) => return,
        (Shape::Integer32 | Shape::Integer64 | Shape::Number, _) => "numeric (int or float)",
        (Shape::String | Shape::Bytes, Value::String(_)) => return,
        (Shape::String | Shape::Bytes, _) => "string",
        _ => return,
    };
    found.push(format!(
        "{}: expected {expected}, got {value}",
        super::path::show(path)
    ));
}
