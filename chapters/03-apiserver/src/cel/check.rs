//! What the type of an expression is, and what is wrong with it.
//!
//! Upstream: cel-go's `checker`, whose messages these are.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::durations::parse_duration;
use super::environment::Environment;
use super::escape::unescape;
use super::overloads::{self, Overload};
use super::parser::{Expr, Node, Problem, dotted};
use super::texts;
use super::types::{self, BOOL, INT, STRING, Type};
use super::value::Val;

/// The type of an expression in an environment.
///
/// # Errors
/// Everything that is wrong, in the order of the text.
pub(super) fn check(root: &Node, environment: &Environment) -> Result<Type, Vec<Problem>> {
    let mut checker = Checker::new(environment);
    let found = checker.of(root);
    if checker.problems.is_empty() {
        checker.literals(root);
    }
    let mut problems = checker.problems;
    problems.sort_by_key(Problem::at);
    match problems.is_empty() {
        true => Ok(found),
        false => Err(problems),
    }
}

/// What the parts of an expression are, for who goes over it once more.
#[derive(Default)]
pub(super) struct Notes {
    types: HashMap<Place, Type>,
    called: HashMap<Place, Called>,
    names: HashSet<Place>,
}

/// A part of an expression: each is where no other is, as long as the expression is borrowed.
type Place = *const Node;

/// All ways to call a function that the types of its arguments allow.
struct Called {
    name: String,
    is_method: bool,
    overloads: Vec<&'static Overload>,
}

impl Notes {
    /// Notes of an expression in which nothing is wrong.
    pub(super) fn of(root: &Node, environment: &Environment) -> Notes {
        let mut checker = Checker::new(environment);
        checker.notes = Some(Notes::default());
        checker.of(root);
        checker.notes.unwrap_or_default()
    }

    /// What a part is.
    pub(super) fn type_of(&self, node: &Node) -> &Type {
        self.types
            .get(&std::ptr::from_ref(node))
            .unwrap_or(&Type::Dyn)
    }

    /// The name of the operator or function that a part calls, and the ways to call it.
    pub(super) fn called(&self, node: &Node) -> (&str, &[&'static Overload]) {
        let called = self.called.get(&std::ptr::from_ref(node));
        called.map_or(("", &[]), |it| (&it.name, &it.overloads))
    }

    /// Whether a call is on a value.
    pub(super) fn is_method(&self, node: &Node) -> bool {
        let called = self.called.get(&std::ptr::from_ref(node));
        called.is_some_and(|it| it.is_method)
    }

    /// Whether it is one name, though there are dots in it.
    pub(super) fn is_name(&self, node: &Node) -> bool {
        self.names.contains(&std::ptr::from_ref(node))
    }
}

struct Checker<'a> {
    environment: &'a Environment,
    /// Variables of macros, the innermost last.
    scope: Vec<(&'a str, Type)>,
    problems: Vec<Problem>,
    /// What it comes by, if somebody wants to know.
    notes: Option<Notes>,
}

impl<'a> Checker<'a> {
    fn new(environment: &'a Environment) -> Self {
        Checker {
            environment,
            scope: Vec::new(),
            problems: Vec::new(),
            notes: None,
        }
    }

    fn problem(&mut self, node: &Node, what: String) -> Type {
        self.problems.push(Problem::new(node.at, what));
        Type::Wrong
    }

    fn undeclared(&mut self, node: &Node, name: &str) -> Type {
        let what = format!("undeclared reference to '{name}' (in container '')");
        self.problem(node, what)
    }

    fn of(&mut self, node: &'a Node) -> Type {
        let found = self.found(node);
        if let Some(notes) = &mut self.notes {
            notes.types.insert(node, found.clone());
        }
        found
    }

    fn found(&mut self, node: &'a Node) -> Type {
        match &node.expr {
            Expr::Literal(value) => literal(value),
            Expr::Name(name) => match self.variable(name).or_else(|| type_value(name)) {
                Some(found) => found,
                None => self.undeclared(node, name),
            },
            Expr::Select(of, field) => {
                if let Some(found) = self.qualified(node) {
                    if let Some(notes) = &mut self.notes {
                        notes.names.insert(node);
                    }
                    return found;
                }
                let of = self.of(of);
                self.field(node, &of, field)
            }
            Expr::Has(of, field) => {
                let of = self.of(of);
                self.field(node, &of, field);
                BOOL
            }
            Expr::Try(of, field) => {
                let of = self.of(of);
                Type::optional(self.field(node, &of, field))
            }
            Expr::Index(of, index) => self.operator(node, "_[_]", [of, index]),
            Expr::TryIndex(of, index) => self.operator(node, "_[?_]", [of, index]),
            Expr::Not(of) => self.operator(node, "!_", [of]),
            Expr::Negative(of) => self.operator(node, "-_", [of]),
            Expr::And(a, b) => self.operator(node, "_&&_", [a, b]),
            Expr::Or(a, b) => self.operator(node, "_||_", [a, b]),
            Expr::Binary("in", a, b) => self.operator(node, "@in", [a, b]),
            Expr::Binary(sign, a, b) => self.operator(node, &format!("_{sign}_"), [a, b]),
            Expr::Choice(a, b, c) => self.operator(node, "_?_:_", [a, b, c]),
            Expr::List(all) => {
                let entries = all.iter().map(|entry| (entry, self.given(entry)));
                let entries: Vec<_> = entries.collect();
                Type::list(self.joined(entries))
            }
            Expr::Map(all) => {
                let keys: Vec<_> = all.iter().map(|(key, _)| (key, self.given(key))).collect();
                let values = all.iter().map(|(key, value)| {
                    let found = self.of(value);
                    (value, if is_given(key) { held(&found) } else { found })
                });
                let values: Vec<_> = values.collect();
                Type::map(self.joined(keys), self.joined(values))
            }
            Expr::Given(of) => self.of(of),
            Expr::Struct(name, fields) => self.structure(node, name, fields),
            Expr::Macro(name, range, variable, arguments) => {
                self.each(node, name, range, variable, arguments)
            }
            Expr::Pairs(name, range, variables, arguments) => {
                self.each_pair(node, name, range, variables, arguments)
            }
            Expr::Call(target, name, arguments) => {
                self.call(node, target.as_deref(), name, arguments)
            }
        }
    }

    fn variable(&self, name: &str) -> Option<Type> {
        let mut inner = self.scope.iter().rev();
        let inner = inner.find(|(known, _)| *known == name);
        let inner = inner.map(|(_, found)| found.clone());
        inner.or_else(|| self.environment.variable(name))
    }

    /// A variable, or a type, that has a dot in its name.
    fn qualified(&self, node: &Node) -> Option<Type> {
        let name = dotted(node)?;
        let first = name.split('.').next().unwrap_or_default();
        if self.scope.iter().any(|(known, _)| *known == first) {
            return None;
        }
        self.environment
            .variable(&name)
            .or_else(|| type_value(&name))
    }

    fn field(&mut self, node: &Node, of: &Type, field: &str) -> Type {
        let found = match of {
            Type::Optional(inner) => return Type::optional(self.field(node, inner, field)),
            Type::Map(_, value) => Some((**value).clone()),
            Type::Object(object) => match &object.fields {
                None => Some(Type::Dyn),
                Some(fields) => fields.get(&unescape(field)).or(fields.get(field)).cloned(),
            },
            open if open.is_open() => Some(Type::Dyn),
            other => {
                let what = format!("type '{other}' does not support field selection");
                return self.problem(node, what);
            }
        };
        match found {
            Some(found) => found,
            None => self.problem(node, format!("undefined field '{field}'")),
        }
    }

    fn operator<const N: usize>(&mut self, node: &Node, name: &str, of: [&'a Node; N]) -> Type {
        let of = of.map(|node| self.of(node));
        self.resolve(node, name, false, &of)
    }

    /// What a function gives for arguments of these types.
    fn resolve(&mut self, node: &Node, name: &str, is_method: bool, given: &[Type]) -> Type {
        let Some(all) = overloads::of(name) else {
            return self.undeclared(node, name);
        };
        let mut result: Option<Type> = None;
        let mut fitting = Vec::new();
        for overload in all {
            if overload.is_method != is_method || overload.arguments.len() != given.len() {
                continue;
            }
            let mut letters = BTreeMap::new();
            let mut pairs = given.iter().zip(&overload.arguments);
            if pairs.all(|(given, wanted)| given.fits(wanted, &mut letters)) {
                fitting.push(overload);
                let found = overload.result.with(&letters);
                result = Some(match result {
                    Some(known) if known != found => Type::Dyn,
                    _ => found,
                });
            }
        }
        if let Some(notes) = &mut self.notes {
            let called = Called {
                name: name.to_owned(),
                is_method,
                overloads: fitting,
            };
            notes.called.insert(node, called);
        }
        result.unwrap_or_else(|| {
            let shown: Vec<String> = given.iter().map(Type::to_string).collect();
            let shown = match (is_method, shown.split_first()) {
                (true, Some((first, rest))) => format!("{first}.({})", rest.join(", ")),
                _ => format!("({})", shown.join(", ")),
            };
            let what = format!("found no matching overload for '{name}' applied to '{shown}'");
            self.problem(node, what)
        })
    }

    fn call(
        &mut self,
        node: &'a Node,
        target: Option<&'a Node>,
        name: &str,
        arguments: &'a [Node],
    ) -> Type {
        let space = target.and_then(dotted);
        if let (Some("cel"), "bind", true, [variable, value, inner]) =
            (space.as_deref(), name, self.environment.binds(), arguments)
            && let Expr::Name(variable) = &variable.expr
        {
            let value = self.of(value);
            self.scope.push((variable, value));
            let found = self.of(inner);
            self.scope.pop();
            return found;
        }
        let full = space.map(|space| format!("{space}.{name}"));
        let full = full.filter(|full| overloads::of(full).is_some());
        // It is of use to patches alone.
        if full.as_deref() == Some("jsonpatch.escapeKey") && !self.environment.patches() {
            return self.undeclared(node, name);
        }
        if let Some(full) = full {
            let given: Vec<Type> = arguments.iter().map(|node| self.of(node)).collect();
            return self.resolve(node, &full, false, &given);
        }
        let nodes = target.into_iter().chain(arguments);
        let given: Vec<Type> = nodes.map(|node| self.of(node)).collect();
        self.resolve(node, name, target.is_some(), &given)
    }

    /// An entry of a literal: `?x` stands for what `x` holds, if anything.
    fn given(&mut self, node: &'a Node) -> Type {
        let found = self.of(node);
        match is_given(node) {
            true => held(&found),
            false => found,
        }
    }

    /// What all entries of a literal are.
    fn joined(&mut self, entries: Vec<(&Node, Type)>) -> Type {
        let mut joined: Option<Type> = None;
        for (node, found) in entries {
            joined = Some(match joined {
                None => found,
                Some(known) if known.fits(&found, &mut BTreeMap::new()) => {
                    if found.is_open() || known == Type::Null {
                        found
                    } else {
                        known
                    }
                }
                Some(known) => {
                    let what = format!("expected type '{known}' but found '{found}'");
                    self.problem(node, what)
                }
            });
        }
        joined.unwrap_or(Type::Dyn)
    }

    fn structure(&mut self, node: &Node, name: &str, fields: &'a [(String, Node)]) -> Type {
        let text = |name: &str| (name.to_owned(), STRING);
        let known = match name {
            "JSONPatch" => {
                let mut known = BTreeMap::from(["op", "path", "from"].map(text));
                known.insert("value".to_owned(), Type::Dyn);
                Some(known)
            }
            _ => None,
        };
        let is_object = name == "Object" || name.starts_with("Object.");
        if !self.environment.patches() || !(is_object || known.is_some()) {
            return self.undeclared(node, name);
        }
        for (field, value) in fields {
            let found = self.of(value);
            let found = if is_given(value) { held(&found) } else { found };
            let wanted = match &known {
                None => Type::Dyn,
                Some(known) => match known.get(field) {
                    Some(wanted) => wanted.clone(),
                    None => self.problem(value, format!("undefined field '{field}'")),
                },
            };
            if !found.fits(&wanted, &mut BTreeMap::new()) {
                let what = format!(
                    "expected type of field '{field}' is '{wanted}' but provided type is '{found}'"
                );
                self.problem(value, what);
            }
        }
        Type::object_named(name)
    }

    /// What a macro goes over: the entries of a list, or the keys of a map; and what stands there.
    fn range(&mut self, node: &Node, found: Type) -> (Type, Type) {
        match found {
            Type::List(of) => (INT, *of),
            Type::Map(key, value) => (*key, *value),
            open if open.is_open() => (Type::Dyn, Type::Dyn),
            other => {
                let what = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be \
                     list, map, or dynamic)"
                );
                let wrong = self.problem(node, what);
                (wrong.clone(), wrong)
            }
        }
    }

    fn each(
        &mut self,
        node: &Node,
        name: &str,
        range: &'a Node,
        variable: &'a str,
        arguments: &'a [Node],
    ) -> Type {
        let entry = if matches!(name, "optMap" | "optFlatMap") {
            held(&self.of(range))
        } else {
            let range_type = self.of(range);
            let is_list = matches!(range_type, Type::List(_));
            let (key, value) = self.range(range, range_type);
            if is_list { value } else { key }
        };
        self.scope.push((variable, entry.clone()));
        let found: Vec<Type> = arguments.iter().map(|node| self.of(node)).collect();
        self.scope.pop();
        let (first, last) = (&found[0], &found[found.len() - 1]);
        match name {
            "map" => {
                let made = Type::list(last.clone());
                match found.as_slice() {
                    [filter, _] => self.kept(node, filter, made),
                    _ => made,
                }
            }
            "filter" => self.kept(node, first, Type::list(entry)),
            "sortBy" => Type::list(entry),
            "optMap" => Type::optional(last.clone()),
            "optFlatMap" => last.clone(),
            _ => self.asked(node, name, first),
        }
    }

    fn each_pair(
        &mut self,
        node: &Node,
        name: &str,
        range: &'a Node,
        (first, second): &'a (String, String),
        arguments: &'a [Node],
    ) -> Type {
        let range_type = self.of(range);
        let (key, value) = self.range(range, range_type);
        self.scope.push((first, key.clone()));
        self.scope.push((second, value));
        let found: Vec<Type> = arguments.iter().map(|node| self.of(node)).collect();
        self.scope.truncate(self.scope.len() - 2);
        let last = found[found.len() - 1].clone();
        let made = match name {
            "transformList" => Type::list(last),
            "transformMap" => Type::map(key, last),
            "transformMapEntry" => match last {
                Type::Map(..) => last,
                _ => Type::map(Type::Dyn, Type::Dyn),
            },
            _ => return self.asked(node, name, &found[0]),
        };
        match found.as_slice() {
            [filter, _] => self.kept(node, filter, made),
            _ => made,
        }
    }

    /// A condition that is asked of each entry, for one answer.
    fn asked(&mut self, node: &Node, name: &str, condition: &Type) -> Type {
        let given = match name {
            "all" => return self.resolve(node, "_&&_", false, &[BOOL, condition.clone()]),
            "exists" => return self.resolve(node, "_||_", false, &[BOOL, condition.clone()]),
            _ => [condition.clone(), INT, INT],
        };
        self.resolve(node, "_?_:_", false, &given);
        BOOL
    }

    /// A condition on which an entry is kept.
    fn kept(&mut self, node: &Node, condition: &Type, made: Type) -> Type {
        self.resolve(
            node,
            "_?_:_",
            false,
            &[condition.clone(), made.clone(), made],
        )
    }

    /// Text that will be read as something, and cannot be.
    fn literals(&mut self, node: &Node) {
        if let Expr::Call(target, name, arguments) = &node.expr
            && let Some(Node {
                expr: Expr::Literal(Val::Text(text)),
                at,
            }) = arguments.last()
        {
            let is_plain = target.is_none();
            let reads = match name.as_str() {
                "duration" if is_plain => parse_duration(text).is_some(),
                "timestamp" if is_plain => text.parse::<jiff::Timestamp>().is_ok(),
                "matches" => texts::regex(text).is_ok(),
                _ => true,
            };
            if !reads {
                self.problems
                    .push(Problem::new(*at, format!("invalid {name} argument")));
            }
        }
        for child in node.children() {
            self.literals(child);
        }
    }
}

fn is_given(node: &Node) -> bool {
    matches!(node.expr, Expr::Given(_))
}

/// The type of types, by the name of one.
fn type_value(name: &str) -> Option<Type> {
    types::named(name).map(|of| Type::Type(Box::new(of)))
}

/// What an optional holds.
fn held(found: &Type) -> Type {
    match found {
        Type::Optional(of) => (**of).clone(),
        _ => Type::Dyn,
    }
}

fn literal(value: &Val) -> Type {
    match value {
        Val::Null => Type::Null,
        Val::Bool(_) => BOOL,
        Val::Int(_) => INT,
        Val::Uint(_) => Type::Simple("uint"),
        Val::Double(_) => Type::Simple("double"),
        Val::Bytes(_) => Type::Simple("bytes"),
        _ => STRING,
    }
}
