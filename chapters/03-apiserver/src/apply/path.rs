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

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};

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

/// A set of paths: a tree, each level in the order of its elements.
///
/// Most sets are built from what is in order already, and used up by what is made of them. So a
/// level is a list, and what joins or divides two sets walks both at once and moves what it keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set {
    /// None is empty.
    branches: Vec<Branch>,
}

/// An element of paths, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Branch {
    pub(super) element: Element,
    /// The path that ends with it is in the set.
    pub(super) is_member: bool,
    /// The paths that go on.
    pub(super) below: Set,
}

impl Branch {
    fn is_empty(&self) -> bool {
        !self.is_member && self.below.is_empty()
    }

    fn change(&mut self, change: impl FnOnce(Set) -> Set) {
        self.below = change(std::mem::take(&mut self.below));
    }
}

impl Set {
    pub(super) fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// What begins with an element.
    pub(super) fn branch(&self, element: &Element) -> Option<&Branch> {
        let at = self.find(element).ok()?;
        Some(&self.branches[at])
    }

    /// What begins with each element, in their order.
    pub(super) fn branches(&self) -> impl Iterator<Item = &Branch> {
        self.branches.iter()
    }

    /// The place of an element, or where it would be. Mostly that is the end.
    fn find(&self, element: &Element) -> Result<usize, usize> {
        match self.branches.last() {
            Some(last) if last.element >= *element => self
                .branches
                .binary_search_by(|branch| branch.element.cmp(element)),
            _ => Err(self.branches.len()),
        }
    }

    /// Whether it has this very path.
    pub(super) fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.branch(last).is_some_and(|branch| branch.is_member),
            [first, rest @ ..] => self
                .branch(first)
                .is_some_and(|branch| branch.below.has(rest)),
        }
    }

    pub(super) fn insert(&mut self, path: &[Element]) {
        self.graft(path, Set::default());
    }

    /// Adds a path, and what is below it.
    pub(super) fn graft(&mut self, path: &[Element], below: Set) {
        match path {
            [] => *self = std::mem::take(self).union(below),
            [last] => self.add(last.clone(), true, below),
            [first, rest @ ..] => {
                let at = self.find(first).unwrap_or_else(|at| {
                    self.insert_at(at, first.clone(), false, Set::default());
                    at
                });
                self.branches[at].below.graft(rest, below);
            }
        }
    }

    /// Adds an element, if it leads somewhere.
    pub(super) fn add(&mut self, element: Element, is_member: bool, below: Set) {
        if !is_member && below.is_empty() {
            return;
        }
        match self.find(&element) {
            Ok(at) => {
                let branch = &mut self.branches[at];
                branch.is_member |= is_member;
                branch.below = std::mem::take(&mut branch.below).union(below);
            }
            Err(at) => self.insert_at(at, element, is_member, below),
        }
    }

    fn insert_at(&mut self, at: usize, element: Element, is_member: bool, below: Set) {
        let branch = Branch {
            element,
            is_member,
            below,
        };
        self.branches.insert(at, branch);
    }

    /// A set of fields at the root.
    pub(super) fn of_fields(names: &[&str]) -> Set {
        let mut set = Set::default();
        for name in names {
            set.add(Element::field(name), true, Set::default());
        }
        set
    }

    pub(super) fn union(self, other: Set) -> Set {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let mut all = Vec::with_capacity(self.branches.len() + other.branches.len());
        let mut others = other.branches.into_iter().peekable();
        for mut branch in self.branches {
            while let Some(before) = others.next_if(|other| other.element < branch.element) {
                all.push(before);
            }
            if let Some(same) = others.next_if(|other| other.element == branch.element) {
                branch.is_member |= same.is_member;
                branch.below = branch.below.union(same.below);
            }
            all.push(branch);
        }
        all.extend(others);
        Set { branches: all }
    }

    /// Without the paths that `other` has too.
    pub(super) fn difference(self, other: &Set) -> Set {
        self.beside(other, |branch, same| {
            branch.is_member &= !same.is_member;
            branch.change(|below| below.difference(&same.below));
        })
    }

    /// Without the paths that `other` has too, and all below them.
    pub(super) fn recursive_difference(self, other: &Set) -> Set {
        self.beside(other, |branch, same| {
            branch.is_member &= !same.is_member;
            branch.change(|below| match same.is_member {
                true => Set::default(),
                false => below.recursive_difference(&same.below),
            });
        })
    }

    /// The paths that both have.
    pub(super) fn intersection(&self, other: &Set) -> Set {
        let mut others = InOrder::of(other);
        let both = self.branches.iter().filter_map(|branch| {
            let same = others.same(&branch.element)?;
            let both = Branch {
                element: branch.element.clone(),
                is_member: branch.is_member && same.is_member,
                below: branch.below.intersection(&same.below),
            };
            (!both.is_empty()).then_some(both)
        });
        let branches = both.collect();
        Set { branches }
    }

    /// The paths that lead to, or begin with, one of these patterns, where `*` is any element.
    pub(super) fn matching(mut self, patterns: &[&[&str]]) -> Set {
        if patterns.iter().any(|pattern| pattern.is_empty()) {
            return self;
        }
        let fits = |pattern: &str, element: &Element| {
            pattern == "*" || *element == Element::field(pattern)
        };
        self.branches.retain_mut(|branch| {
            let patterns = patterns.iter();
            let patterns = patterns.filter(|pattern| fits(pattern[0], &branch.element));
            let rests: Vec<&[&str]> = patterns.map(|pattern| &pattern[1..]).collect();
            branch.is_member &= !rests.is_empty();
            branch.change(|below| match rests.as_slice() {
                [] => Set::default(),
                rests => below.matching(rests),
            });
            !branch.is_empty()
        });
        self
    }

    /// Changes what `other` has too, and drops what is empty then.
    fn beside(mut self, other: &Set, change: impl Fn(&mut Branch, &Branch)) -> Set {
        let mut others = InOrder::of(other);
        self.branches.retain_mut(|branch| {
            if let Some(same) = others.same(&branch.element) {
                change(branch, same);
            }
            !branch.is_empty()
        });
        self
    }

    /// Changes what begins with each element.
    pub(super) fn change_each(&mut self, change: impl FnMut(&mut Branch)) {
        self.branches.iter_mut().for_each(change);
    }

    /// Every path, parents before children.
    pub(super) fn paths(&self) -> Vec<Vec<Element>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, at: &mut Vec<Element>, paths: &mut Vec<Vec<Element>>) {
        for branch in &self.branches {
            at.push(branch.element.clone());
            if branch.is_member {
                paths.push(at.clone());
            }
            branch.below.collect(at, paths);
            at.pop();
        }
    }

    /// As `FieldsV1`.
    pub(super) fn encode(&self) -> Value {
        Value::Object(self.fields())
    }

    fn fields(&self) -> Map<String, Value> {
        let fields = self.branches.iter().map(|branch| {
            let mut below = branch.below.fields();
            if branch.is_member && !below.is_empty() {
                below.insert(".".into(), Value::Object(Map::new()));
            }
            (branch.element.encode(), Value::Object(below))
        });
        fields.collect()
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
            let is_member = child.is_empty() || below.get(".").is_some();
            set.add(element, is_member, child);
        }
        Some(set)
    }
}

/// A walk over a set beside another one.
struct InOrder<'a>(std::iter::Peekable<std::slice::Iter<'a, Branch>>);

impl<'a> InOrder<'a> {
    fn of(set: &'a Set) -> InOrder<'a> {
        InOrder(set.branches.iter().peekable())
    }

    /// What begins with an element, which comes after those that were asked for before.
    fn same(&mut self, element: &Element) -> Option<&'a Branch> {
        while self.0.next_if(|other| other.element < *element).is_some() {}
        self.0.next_if(|other| other.element == *element)
    }
}

/// `.spec.containers[name="a"].image`
pub(super) fn show(path: &[Element]) -> String {
    let mut out = String::new();
    path.iter().for_each(|element| element.show(&mut out));
    out
}
