//! Walks over objects, led by their type: which fields there are, what differs, what remains.
//!
//! A value is one *leaf* (a scalar, or a list, map or struct that is taken as a whole), or it has
//! *members*: the fields of a struct, the keys of a map, the entries of a keyed list or of a set.
//! Upstream: `sigs.k8s.io/structured-merge-diff`, folder `typed`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::added;
use super::path::{Element, Set};
use crate::schema::{Field, ListType, Shape};

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
        (shape, Value::Object(object)) if shape.has_fields() && !is_atomic(shape) => {
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

/// Whether it is taken as a whole.
pub(super) fn is_atomic(shape: &Shape) -> bool {
    match shape {
        Shape::Struct(r) => r.get().atomic,
        Shape::Own(owner) => owner.atomic,
        Shape::Deduced => false,
        Shape::Map { atomic, .. } => *atomic,
        Shape::List { kind, .. } => *kind == ListType::Atomic,
        _ => true,
    }
}

/// What a field, or the value of a key, is.
pub(super) fn field_shape<'a>(shape: &'a Shape, key: &str) -> &'a Shape {
    match shape {
        Shape::Struct(r) => r.get().field(key).map_or(&Shape::Any, |field| &field.shape),
        Shape::Own(owner) => match (owner.field(key), owner.is_open) {
            (Some(field), _) => &field.shape,
            (None, true) => &Shape::Deduced,
            (None, false) => &Shape::Any,
        },
        Shape::Deduced => &Shape::Deduced,
        Shape::Map { value, .. } => value,
        _ => &Shape::Any,
    }
}

/// What tells an entry of a list apart.
pub(super) fn entry_element(shape: &Shape, index: usize, entry: &Value) -> Element {
    match shape {
        Shape::List {
            kind: ListType::Set,
            ..
        } => Element::Value(entry.to_string()),
        Shape::List {
            kind: kind @ (ListType::Map(_) | ListType::OwnMap(_)),
            item,
            ..
        } => {
            let keys = kind.keys().unwrap_or_default();
            let item = item.as_struct();
            let defaults: Vec<(&str, Value)> = keys
                .iter()
                .filter(|key| entry.get(**key).is_none())
                .filter_map(|key| Some((*key, item?.key_default(key)?)))
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

/// Nothing, or with nothing in it.
pub(super) fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(object) => object.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// The fields that a configuration names: its leaves, and the entries of its lists. Of entries
/// that share a key, just that they are there.
pub(super) fn field_set(shape: &Shape, value: &Value) -> Set {
    let mut set = Set::default();
    for (element, same) in grouped(shape, Some(value)).into_iter().flatten() {
        let [(member, value)] = same.as_slice() else {
            set.add(element, true, Set::default());
            continue;
        };
        let below = field_set(member, value);
        let is_named = match &element {
            Element::Field(name) => match shape.as_struct() {
                Some(owner) => owner.field(name).is_some(),
                None => false,
            },
            _ => false,
        };
        let is_empty_map = value.as_object().is_some_and(Map::is_empty);
        let is_leaf = value.is_null() || is_empty_map || members(member, value).is_none();
        set.add(element, !is_named || is_leaf, below);
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
    match (old, new) {
        (Some(old), Some(new)) if old == new => return,
        (None, Some(new)) => return to.added.graft(path, added::below(shape, new)),
        (Some(old), None) => return to.removed.graft(path, added::below(shape, old)),
        _ => {}
    }
    let (mut olds, mut news) = (grouped(shape, old), grouped(shape, new));
    for side in [&mut olds, &mut news].into_iter().flatten() {
        add_required(shape, side);
    }
    let hollow = old.is_none_or(is_hollow) && new.is_none_or(is_hollow);
    let has_members = !hollow
        && (olds.is_some() || old.is_none_or(is_hollow))
        && (news.is_some() || new.is_none_or(is_hollow));
    if !has_members {
        // Where the type says nothing, a map may become a scalar, and its members go with it.
        if !hollow && olds.is_some() != news.is_some() {
            compare_members(shape, olds.as_ref(), news.as_ref(), path, to);
        }
        return compare_leaf(old, new, path, to);
    }
    compare_members(shape, olds.as_ref(), news.as_ref(), path, to);
    match (old, new) {
        (None, _) => to.added.insert(path),
        (_, None) => to.removed.insert(path),
        _ => {}
    }
}

fn compare_members(
    shape: &Shape,
    olds: Option<&Grouped>,
    news: Option<&Grouped>,
    path: &mut Vec<Element>,
    to: &mut Comparison,
) {
    let groups = [olds, news].into_iter().flatten();
    let elements: BTreeSet<&Element> = groups.flat_map(BTreeMap::keys).collect();
    for element in elements {
        let (before, after) = (values_of(olds, element), values_of(news, element));
        let member = field_or_item(shape, element);
        path.push(element.clone());
        // Entries that share a key are a leaf, which comes and goes as a whole.
        match (before.as_slice(), after.as_slice()) {
            ([] | [_], [] | [_]) => {
                let (old, new) = (before.first().copied(), after.first().copied());
                compare_at(member, old, new, path, to);
            }
            ([_, _, ..], [_, _, ..]) if before != after => to.modified.insert(path),
            ([_, _, ..], [_, _, ..]) => {}
            ([_, _, ..], after) => {
                if let [new] = after {
                    compare_at(member, None, Some(new), path, to);
                }
                to.removed.insert(path);
            }
            (before, _) => {
                if let [old] = before {
                    compare_at(member, Some(old), None, path, to);
                }
                to.added.insert(path);
            }
        }
        path.pop();
    }
}

fn values_of<'a>(side: Option<&Grouped<'a>>, element: &Element) -> Vec<&'a Value> {
    let group = side.and_then(|side| side.get(element)).into_iter();
    group.flatten().map(|(_, value)| *value).collect()
}

fn compare_leaf(old: Option<&Value>, new: Option<&Value>, path: &[Element], to: &mut Comparison) {
    match (old, new) {
        (None, _) => to.added.insert(path),
        (_, None) => to.removed.insert(path),
        (Some(old), Some(new)) if old != new => to.modified.insert(path),
        _ => {}
    }
}

pub(super) type Grouped<'a> = BTreeMap<Element, Vec<(&'a Shape, &'a Value)>>;

/// Members by their element; more than one under the same only where a list repeats a key.
pub(super) fn grouped<'a>(shape: &'a Shape, value: Option<&'a Value>) -> Option<Grouped<'a>> {
    let mut groups = Grouped::new();
    for (element, shape, value) in members(shape, value?)? {
        groups.entry(element).or_default().push((shape, value));
    }
    Some(groups)
}

/// Lists and maps that are always there are null where they are empty, as in Go.
fn add_required<'a>(shape: &'a Shape, groups: &mut Grouped<'a>) {
    for field in required_collections(shape) {
        let element = Element::field(&field.name);
        groups
            .entry(element)
            .or_insert_with(|| vec![(&field.shape, &Value::Null)]);
    }
}

/// The lists and maps that a struct always has.
pub(super) fn required_collections(shape: &Shape) -> impl Iterator<Item = &Field> {
    let fields = shape.as_struct().map_or(&[] as &[_], |owner| &owner.fields);
    fields.iter().filter(|field| {
        field.required && matches!(field.shape, Shape::List { .. } | Shape::Map { .. })
    })
}

/// What the member of that element is.
pub(super) fn field_or_item<'a>(shape: &'a Shape, element: &Element) -> &'a Shape {
    match (shape, element) {
        (Shape::List { item, .. }, _) => item,
        (shape, Element::Field(name)) => field_shape(shape, name),
        _ => &Shape::Any,
    }
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
        let value = match set.branch(&element) {
            Some(branch) if branch.is_member => return None,
            Some(branch) => remove(shape, value, &branch.below)?,
            None => value.clone(),
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
    let mut all = Set::default();
    for branch in set.branches() {
        let is_named = match (&branch.element, shape.as_struct()) {
            (Element::Field(name), Some(owner)) => owner.field(name).is_some(),
            _ => false,
        };
        let is_member = branch.is_member || (is_named && !branch.below.is_empty());
        let below = with_named_fields(&branch.below, field_or_item(shape, &branch.element));
        all.add(branch.element.clone(), is_member, below);
    }
    all
}
