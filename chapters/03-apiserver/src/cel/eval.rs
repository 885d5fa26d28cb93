//! A tree, and what its names stand for, to a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::budget::{Budget, Failure};
use super::functions;
use super::operators::{self, no_key};
use super::overloads;
use super::parser::{Expr, Node};
use super::value::{Key, Made, Val};
use super::{Names, cost, types};

pub(super) type Found = Result<Val, Failure>;

pub(super) fn evaluate(root: &Node, names: &dyn Names, budget: &mut Budget) -> Found {
    let mut scope = Scope {
        names,
        locals: Vec::new(),
        budget,
    };
    let found = scope.value(root)?;
    found.walk(scope.budget)?;
    Ok(found)
}

/// What a part of an expression stands in.
pub(super) struct Scope<'a> {
    names: &'a dyn Names,
    /// Variables of macros, the innermost last.
    pub(super) locals: Vec<(&'a str, Val)>,
    pub(super) budget: &'a mut Budget,
}

impl<'a> Scope<'a> {
    pub(super) fn value(&mut self, node: &'a Node) -> Found {
        match &node.expr {
            Expr::Literal(value) => Ok(value.clone()),
            Expr::Name(name) => {
                self.budget.spend(1)?;
                self.variable(name)
            }
            Expr::Select(of, name) => self.select(node, of, name),
            Expr::Has(of, name) => self.has(of, name),
            Expr::Try(of, name) => match self.qualified(of, name) {
                Some(found) => found.map(Val::some),
                None => {
                    let of = self.value(of)?;
                    self.budget.spend(1)?;
                    Ok(self.field_if_any(&of, name)?)
                }
            },
            Expr::Index(of, index) => {
                let (of, index) = (self.value(of)?, self.value(index)?);
                self.budget.spend(1)?;
                match of {
                    Val::Optional(of) => held_entry(of.as_deref(), &index),
                    of => operators::entry(&of, &index),
                }
            }
            Expr::TryIndex(of, index) => {
                let (of, index) = (self.value(of)?, self.value(index)?);
                self.budget.spend(1)?;
                match of {
                    Val::Optional(of) => held_entry(of.as_deref(), &index),
                    of => held_entry(Some(&of), &index),
                }
            }
            Expr::Call(target, name, arguments) => self.call(target.as_deref(), name, arguments),
            Expr::List(all) => {
                let mut list = Vec::with_capacity(all.len());
                for node in all {
                    list.extend(self.given(node)?);
                }
                self.budget.spend(cost::LIST)?;
                Ok(Val::list(list))
            }
            Expr::Map(all) => self.map(all),
            Expr::Struct(name, fields) => self.structure(name, fields),
            Expr::Given(of) => self.value(of),
            Expr::Macro(name, range, variable, arguments) => match name.as_str() {
                "optMap" | "optFlatMap" => self.mapped(name, range, variable, &arguments[0]),
                "sortBy" => self.sorted(range, variable, &arguments[0]),
                name => self.each(name, range, variable, arguments),
            },
            Expr::Pairs(name, range, (first, second), arguments) => {
                self.each_pair(name, range, (first, second), arguments)
            }
            Expr::Not(of) => match self.value(of)? {
                Val::Bool(value) => {
                    self.budget.spend(1)?;
                    Ok(Val::Bool(!value))
                }
                _ => Err(Failure::overload()),
            },
            Expr::Negative(of) => {
                let of = self.value(of)?;
                self.budget.spend(1)?;
                operators::negative(of)
            }
            Expr::And(a, b) => self.joined(a, b, false),
            Expr::Or(a, b) => self.joined(a, b, true),
            Expr::Binary(operator, a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                self.budget.spend(cost::operator(operator, &a, &b))?;
                operators::binary(operator, a, b, self.budget)
            }
            Expr::Choice(condition, yes, no) => match self.value(condition)? {
                Val::Bool(true) => self.branch(yes),
                Val::Bool(false) => self.branch(no),
                _ => Err(Failure::overload()),
            },
        }
    }

    /// One side of a choice; upstream takes nothing for a name that stands there alone.
    fn branch(&mut self, node: &'a Node) -> Found {
        match &node.expr {
            Expr::Name(name) => self.variable(name),
            _ => self.value(node),
        }
    }

    fn local(&self, name: &str) -> Option<&Val> {
        let mut inner = self.locals.iter().rev();
        inner
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    fn variable(&mut self, name: &str) -> Found {
        if let Some(value) = self.local(name) {
            return Ok(value.clone());
        }
        if let Some(found) = self.names.value(name, self.budget) {
            return found;
        }
        types::named(name)
            .map(|_| Val::Type(name.into()))
            .ok_or_else(|| Failure::Error(format!("no such attribute(s): {name}")))
    }

    /// A variable that has a dot in its name.
    fn qualified(&mut self, of: &Node, field: &str) -> Option<Found> {
        let Expr::Name(first) = &of.expr else {
            return None;
        };
        if self.local(first).is_some() {
            return None;
        }
        let found = self.names.value(&format!("{first}.{field}"), self.budget)?;
        Some(self.budget.spend(2).and(found))
    }

    fn select(&mut self, node: &'a Node, of: &'a Node, name: &'a str) -> Found {
        if let Some(found) = self.qualified(of, name) {
            return found;
        }
        if let Some(full) = types::qualified(node, name) {
            self.budget.spend(1)?;
            return Ok(Val::Type(full.into()));
        }
        let of = self.value(of)?;
        self.budget.spend(1)?;
        match &of {
            // What is looked for in what may not be there may not be there.
            Val::Optional(_) => self.field_if_any(&of, name),
            of => operators::field(of, name).ok_or_else(|| no_key(name)),
        }
    }

    fn has(&mut self, of: &'a Node, name: &'a str) -> Found {
        if let Some(found) = self.qualified(of, name) {
            return found.map(|_| Val::Bool(true));
        }
        let of = self.value(of)?;
        match self.field_if_any(&of, name)? {
            Val::Optional(held) => Ok(Val::Bool(held.is_some())),
            _ => Err(Failure::overload()),
        }
    }

    fn field_if_any(&mut self, of: &Val, name: &str) -> Found {
        let of = match of {
            Val::Optional(None) => return Ok(Val::Optional(None)),
            Val::Optional(Some(held)) => held,
            of => of,
        };
        match operators::has_fields(of) {
            true => Ok(Val::Optional(operators::field(of, name).map(Box::new))),
            false => Err(no_key(name)),
        }
    }

    /// `&&` and `||`: what one side settles, the other side cannot spoil.
    fn joined(&mut self, a: &'a Node, b: &'a Node, settles: bool) -> Found {
        let left = self.value(a);
        match &left {
            Ok(Val::Bool(value)) if *value == settles => return left,
            Err(Failure::Cost) => return left,
            _ => {}
        }
        match self.value(b) {
            Ok(Val::Bool(value)) if value == settles => Ok(Val::Bool(settles)),
            Err(Failure::Cost) => Err(Failure::Cost),
            right => match (left?, right?) {
                (Val::Bool(left), Val::Bool(_)) => Ok(Val::Bool(left)),
                _ => Err(Failure::overload()),
            },
        }
    }

    fn call(&mut self, target: Option<&'a Node>, name: &'a str, arguments: &'a [Node]) -> Found {
        let full = target.and_then(|target| self.in_package(target, name));
        match (&full, arguments) {
            (Some(full), [variable, value, inner]) if full == "cel.bind" => {
                return self.bound(variable, value, inner);
            }
            (None, [other]) if matches!(name, "or" | "orValue") => {
                return self.otherwise(name, target, other);
            }
            _ => {}
        }
        let target = target.filter(|_| full.is_none());
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for node in target.into_iter().chain(arguments) {
            values.push(self.value(node)?);
        }
        let name = full.as_deref().unwrap_or(name);
        self.afford(name, &values)?;
        let made = functions::call(name, &values, self.names, self.budget)?;
        let cost = cost::call(name, &values, &made, self.budget)?;
        self.budget.spend(cost)?;
        Ok(made)
    }

    /// What is costly is refused before it is done.
    fn afford(&mut self, name: &str, values: &[Val]) -> Result<(), Failure> {
        let known = cost::call(name, values, &Val::Null, self.budget)?;
        match known > self.budget.left() {
            true => self.budget.spend(known),
            false => Ok(()),
        }
    }

    /// The whole name of a function that stands in a package.
    fn in_package(&self, target: &Node, name: &str) -> Option<String> {
        let Expr::Name(space) = &target.expr else {
            return None;
        };
        if !overloads::PACKAGES.contains(&space.as_str()) {
            return None;
        }
        let full = format!("{space}.{name}");
        (full == "cel.bind" || overloads::of(&full).is_some()).then_some(full)
    }

    /// `a.or(b)`, `a.orValue(b)`: `b` alone if there is no `a`.
    fn otherwise(&mut self, name: &str, target: Option<&'a Node>, other: &'a Node) -> Found {
        let target = target.ok_or_else(Failure::overload)?;
        match (name, self.value(target)?) {
            ("orValue", Val::Optional(Some(held))) => Ok(*held),
            (_, Val::Optional(None)) => match (name, self.value(other)?) {
                ("or", other) if !matches!(other, Val::Optional(_)) => Err(Failure::overload()),
                (_, other) => Ok(other),
            },
            (_, held @ Val::Optional(_)) => Ok(held),
            _ => Err(Failure::overload()),
        }
    }

    /// An entry of a literal: none, if it is one that is given and is not there.
    fn given(&mut self, node: &'a Node) -> Result<Option<Val>, Failure> {
        let Expr::Given(of) = &node.expr else {
            return self.value(node).map(Some);
        };
        match self.value(of)? {
            Val::Optional(held) => Ok(held.map(|held| *held)),
            other => Err(Failure::Error(format!(
                "cannot initialize optional entry from non-optional value of type {}",
                other.type_name()
            ))),
        }
    }

    fn map(&mut self, all: &'a [(Node, Node)]) -> Found {
        let mut map = BTreeMap::new();
        for (key, value) in all {
            let (of, is_given) = match &key.expr {
                Expr::Given(of) => (&**of, true),
                _ => (key, false),
            };
            let key = self.value(of)?;
            let key = Key::of(&key).ok_or_else(|| {
                Failure::Error(format!("unsupported key type: {}", key.type_name()))
            })?;
            let value = self.value(value)?;
            match (is_given, value) {
                (false, value) => {
                    map.insert(key, value);
                }
                (true, Val::Optional(held)) => map.extend(held.map(|held| (key, *held))),
                (true, _) => return Err(Failure::overload()),
            }
        }
        self.budget.spend(cost::MAP)?;
        Ok(Val::Map(Arc::new(map)))
    }

    fn structure(&mut self, name: &str, fields: &'a [(String, Node)]) -> Found {
        let mut made = BTreeMap::new();
        for (field, value) in fields {
            if let Some(value) = self.given(value)? {
                let field = super::escape::unescape(field);
                let is_text = matches!(value, Val::Text(_));
                if name == "JSONPatch" && field != "value" && !is_text {
                    return Err(Failure::Error(format!(
                        "unexpected type {} for JSONPatchType '{field}' field",
                        value.type_name()
                    )));
                }
                made.insert(field, value);
            }
        }
        self.budget.spend(cost::STRUCT)?;
        Ok(Val::Made(Arc::new(Made {
            name: name.to_owned(),
            fields: made,
        })))
    }
}

/// An entry of what may not be there.
fn held_entry(of: Option<&Val>, index: &Val) -> Found {
    let found = match of {
        Some(of) => operators::entry_if_any(of, index)?,
        None => None,
    };
    Ok(Val::Optional(found.map(Box::new)))
}
