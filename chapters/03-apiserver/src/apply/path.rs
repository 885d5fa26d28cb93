//! Sets of fields: who owns what is kept as sets of paths into an object.
//!
//! Stored as `FieldsV1`, a tree in JSON whose keys are path elements:
//!
//! ```text
//! {"f:spec": {"f:replicas": {},
//!             "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}}
//! ```
//!
//! An element that leads to `{}`, or to an object with `"."`, is itself in the set.
//! Upstream: `sigs.k8s.io/structured-merge-diff`, folder `fieldpath`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Map, Value};

use super::typed::is_hollow;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element {
    /// A field of a struct, or a key of a map.
    Field(String),
    /// An entry of a keyed list: its keys, as the text of a JSON object.
    Key(String),
    /// A value in a set, as the text of JSON.
    Value(String),
    /// A place in a list.
    Index(usize),
}

impl Element {
    pub(super) fn field(name: &str) -> Element {
        Element::Field(name.to_owned())
    }

    /// The keys of an entry, whose text is always in the order of the keys.
    pub(super) fn keys(keys: BTreeMap<&str, &Value>) -> Element {
        Element::Key(serde_json::to_string(&keys).unwrap_or_default())
    }

    fn encode(&self) -> String {
        match self {
            Element::Field(name) => ["f:", name].concat(),
            Element::Key(keys) => format!("k:{}", as_go_escapes(keys)),
            Element::Value(value) => format!("v:{}", as_go_escapes(value)),
            Element::Index(index) => format!("i:{index}"),
        }
    }

    fn decode(text: &str) -> Result<Element, Undecodable> {
        let malformed = |_| Undecodable::Malformed;
        let (kind, rest) = match text.as_bytes() {
            [kind, b':', ..] => (*kind, &text[2..]),
            _ => return Err(Undecodable::Malformed),
        };
        match kind {
            b'f' => Ok(Element::field(rest)),
            b'k' => {
                let keys: BTreeMap<String, Value> =
                    serde_json::from_str(rest).map_err(malformed)?;
                Ok(Element::keys(
                    keys.iter().map(|(k, v)| (k.as_str(), v)).collect(),
                ))
            }
            b'v' => {
                let value: Value = serde_json::from_str(rest).map_err(malformed)?;
                Ok(Element::Value(value.to_string()))
            }
            b'i' => match rest.parse() {
                Ok(index) => Ok(Element::Index(index)),
                Err(_) => Err(Undecodable::Malformed),
            },
            _ => Err(Undecodable::Unknown),
        }
    }

    /// As it stands in messages: `.spec`, `[name="a"]`, `[="x"]`, `[0]`.
    fn show(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self {
            Element::Field(name) => write!(out, ".{name}"),
            Element::Key(keys) => {
                let keys: BTreeMap<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                write!(out, "[{}]", keys.join(","))
            }
            Element::Value(value) => write!(out, "[={value}]"),
            Element::Index(index) => write!(out, "[{index}]"),
        };
    }
}

/// Why an element cannot be read.
enum Undecodable {
    /// Of a sort that a later version may know.
    Unknown,
    Malformed,
}

/// JSON as Go writes it, which keeps text apart from HTML.
fn as_go_escapes(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{:04x}", letter as u32);
            }
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) members: BTreeSet<Element>,
    pub(super) children: BTreeMap<Element, Set>,
}

impl Set {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(Set::is_empty)
    }

    /// Whether it has this very path.
    pub(super) fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self
                .children
                .get(first)
                .is_some_and(|child| child.has(rest)),
        }
    }

    pub(super) fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.child(first).insert(rest),
        }
    }

    /// Adds a path, and what is below it.
    pub(super) fn graft(&mut self, path: &[Element], below: Set) {
        match path {
            [] => *self = std::mem::take(self).union(&below),
            [last] => {
                self.members.insert(last.clone());
                if !below.is_empty() {
                    self.children.insert(last.clone(), below);
                }
            }
            [first, rest @ ..] => self.child(first).graft(rest, below),
        }
    }

    fn child(&mut self, element: &Element) -> &mut Set {
        if !self.children.contains_key(element) {
            self.children.insert(element.clone(), Set::default());
        }
        self.children.get_mut(element).expect("is there now")
    }

    /// A set of fields at the root.
    pub(super) fn of_fields(names: &[&str]) -> Set {
        Set {
            members: names.iter().map(|name| Element::field(name)).collect(),
            children: BTreeMap::new(),
        }
    }

    pub(super) fn union(mut self, other: &Set) -> Set {
        self.members.extend(other.members.iter().cloned());
        for (element, theirs) in &other.children {
            let ours = self.children.remove(element).unwrap_or_default();
            self.children.insert(element.clone(), ours.union(theirs));
        }
        self
    }

    /// Without the paths that `other` has too.
    pub(super) fn difference(mut self, other: &Set) -> Set {
        self.members
            .retain(|element| !other.members.contains(element));
        self.descend(|element, child| match other.children.get(element) {
            Some(theirs) => child.difference(theirs),
            None => child,
        })
    }

    /// Without the paths that `other` has too, and all below them.
    pub(super) fn recursive_difference(mut self, other: &Set) -> Set {
        self.members
            .retain(|element| !other.members.contains(element));
        self.descend(|element, child| match other.children.get(element) {
            _ if other.members.contains(element) => Set::default(),
            Some(theirs) => child.recursive_difference(theirs),
            None => child,
        })
    }

    pub(super) fn intersection(mut self, other: &Set) -> Set {
        self.members
            .retain(|element| other.members.contains(element));
        self.descend(|element, child| match other.children.get(element) {
            Some(theirs) => child.intersection(theirs),
            None => Set::default(),
        })
    }

    /// The paths that lead to, or begin with, one of these patterns, where `*` is any element.
    pub(super) fn matching(mut self, patterns: &[&[&str]]) -> Set {
        if patterns.iter().any(|pattern| pattern.is_empty()) {
            return self;
        }
        let fits = |pattern: &str, element: &Element| {
            pattern == "*" || *element == Element::field(pattern)
        };
        self.members.retain(|element| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| fits(pattern[0], element))
        });
        self.descend(|element, child| {
            let patterns = patterns.iter().filter(|pattern| fits(pattern[0], element));
            let below: Vec<&[&str]> = patterns.map(|pattern| &pattern[1..]).collect();
            match below.as_slice() {
                [] => Set::default(),
                below => child.matching(below),
            }
        })
    }

    /// Changes each child, and drops those that are empty then.
    fn descend(mut self, change: impl Fn(&Element, Set) -> Set) -> Set {
        self.children.retain(|element, child| {
            *child = change(element, std::mem::take(child));
            !child.is_empty()
        });
        self
    }

    /// Every path, parents before children.
    pub(super) fn paths(&self) -> Vec<Vec<Element>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, at: &mut Vec<Element>, paths: &mut Vec<Vec<Element>>) {
        for element in self.elements() {
            at.push(element.clone());
            if self.members.contains(element) {
                paths.push(at.clone());
            }
            if let Some(child) = self.children.get(element) {
                child.collect(at, paths);
            }
            at.pop();
        }
    }

    fn elements(&self) -> BTreeSet<&Element> {
        self.members.iter().chain(self.children.keys()).collect()
    }

    /// As `FieldsV1`.
    pub(super) fn encode(&self) -> Value {
        let mut fields = Map::new();
        for (element, below) in &self.children {
            let mut below = below.encode();
            if self.members.contains(element) && !is_hollow(&below) {
                below["."] = Value::Object(Map::new());
            }
            fields.insert(element.encode(), below);
        }
        let leaves = self.members.iter();
        for element in leaves.filter(|element| !self.children.contains_key(element)) {
            fields.insert(element.encode(), Value::Object(Map::new()));
        }
        Value::Object(fields)
    }

    /// From `FieldsV1`; `None` if it is malformed. Elements of unknown sorts are left out.
    pub(super) fn decode(fields: &Value) -> Option<Set> {
        let mut set = Set::default();
        let none = Map::new();
        let fields = match fields {
            Value::Null => &none,
            fields => fields.as_object()?,
        };
        for (key, below) in fields.iter().filter(|(key, _)| *key != ".") {
            let element = match Element::decode(key) {
                Ok(element) => element,
                Err(Undecodable::Unknown) => continue,
                Err(Undecodable::Malformed) => return None,
            };
            let child = Set::decode(below)?;
            if child.is_empty() || below.get(".").is_some() {
                set.members.insert(element.clone());
            }
            if !child.is_empty() {
                set.children.insert(element, child);
            }
        }
        Some(set)
    }
}

/// `.spec.containers[name="a"].image`
pub(super) fn show(path: &[Element]) -> String {
    let mut out = String::new();
    path.iter().for_each(|element| element.show(&mut out));
    out
}
