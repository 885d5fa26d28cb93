//! Macros: an expression for each entry of a list or a map, or of what may not be there.
//!
//! Upstream has them as a loop with an accumulator, each step of which costs; what is spent here
//! is what those steps cost: cel-go's `parser/macro.go`, `ext/comprehensions.go`, `ext/lists.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::budget::Failure;
use super::cost;
use super::eval::{Found, Scope};
use super::lists;
use super::parser::{Expr, Node};
use super::value::{Key, Val};

/// The accumulator is looked at.
const LOOK: u64 = 1;
/// The accumulator is looked at, an entry is put into a list of its own, and both are added.
const APPEND: u64 = LOOK + cost::LIST + 1;
/// The accumulator, and whether it is settled.
const ALL: u64 = 2;
/// The accumulator, whether it is not so, and whether that is settled.
const EXISTS: u64 = 3;

/// An entry, as the variables of a macro have it.
struct Entry {
    /// The place in a list, the key in a map.
    key: Val,
    value: Val,
}

impl<'a> Scope<'a> {
    /// What a macro goes over.
    fn entries(&mut self, range: &'a Node) -> Result<(bool, Vec<Entry>), Failure> {
        let range = self.value(range)?;
        self.budget
            .work(usize::try_from(range.size()).unwrap_or(usize::MAX))?;
        match range {
            Val::List(list) => {
                let entry = |(at, value): (usize, &Val)| Entry {
                    key: Val::Int(at as i64),
                    value: value.clone(),
                };
                Ok((true, list.iter().enumerate().map(entry).collect()))
            }
            Val::Map(map) => {
                let entry = |(key, value): (&Key, &Val)| Entry {
                    key: key.value(),
                    value: value.clone(),
                };
                Ok((false, map.iter().map(entry).collect()))
            }
            _ => Err(Failure::overload()),
        }
    }

    fn with(&mut self, variables: &[(&'a str, &Val)], node: &'a Node) -> Found {
        let before = self.locals.len();
        let variables = variables.iter();
        self.locals
            .extend(variables.map(|(name, value)| (*name, (*value).clone())));
        let found = self.value(node);
        self.locals.truncate(before);
        found
    }

    /// A macro over the entries of a list, or the keys of a map.
    pub(super) fn each(
        &mut self,
        name: &str,
        range: &'a Node,
        variable: &'a str,
        arguments: &'a [Node],
    ) -> Found {
        let (is_list, entries) = self.entries(range)?;
        let entries: Vec<Val> = entries
            .into_iter()
            .map(|entry| if is_list { entry.value } else { entry.key })
            .collect();
        match (name, arguments) {
            ("map", arguments) => {
                self.budget.spend(cost::LIST)?;
                let mut made = Vec::with_capacity(entries.len());
                for entry in &entries {
                    made.extend(self.made(&[(variable, entry)], arguments, APPEND)?);
                }
                self.budget.spend(LOOK)?;
                Ok(Val::list(made))
            }
            ("filter", [keep]) => {
                self.budget.spend(cost::LIST)?;
                let mut kept = Vec::new();
                for entry in entries {
                    if self.holds(&[(variable, &entry)], keep)? {
                        // The entry is looked at once more, to be added.
                        self.budget.spend(APPEND + LOOK)?;
                        kept.push(entry);
                    }
                }
                self.budget.spend(LOOK)?;
                Ok(Val::list(kept))
            }
            (name, [condition]) => {
                let entries = entries.iter().map(|entry| vec![(variable, entry)]);
                self.asked(name, entries, condition)
            }
            _ => Err(Failure::overload()),
        }
    }

    /// A macro over the places and the entries of a list, or the keys and the values of a map.
    pub(super) fn each_pair(
        &mut self,
        name: &str,
        range: &'a Node,
        (first, second): (&'a str, &'a str),
        arguments: &'a [Node],
    ) -> Found {
        let (_, entries) = self.entries(range)?;
        let pairs = entries.iter();
        let pairs = pairs.map(|entry| vec![(first, &entry.key), (second, &entry.value)]);
        match (name, arguments) {
            ("transformList", arguments) => {
                self.budget.spend(cost::LIST)?;
                let mut made = Vec::with_capacity(entries.len());
                for pair in pairs {
                    made.extend(self.made(&pair, arguments, APPEND)?);
                }
                self.budget.spend(LOOK)?;
                Ok(Val::list(made))
            }
            ("transformMap" | "transformMapEntry", arguments) => {
                self.budget.spend(cost::MAP)?;
                let mut made = BTreeMap::new();
                for pair in pairs {
                    // The key is looked at where it is not part of what is made.
                    let looks = if name == "transformMap" { 2 } else { 1 };
                    let Some(value) = self.made(&pair, arguments, looks * LOOK + 1)? else {
                        continue;
                    };
                    match (name, value) {
                        ("transformMap", value) => insert(&mut made, pair[0].1, value)?,
                        (_, Val::Map(entries)) => {
                            for (key, value) in entries.iter() {
                                self.budget.work(1)?;
                                insert(&mut made, &key.value(), value.clone())?;
                            }
                        }
                        _ => return Err(Failure::overload()),
                    }
                }
                self.budget.spend(LOOK)?;
                Ok(Val::Map(Arc::new(made)))
            }
            (name, [condition]) => self.asked(name, pairs, condition),
            _ => Err(Failure::overload()),
        }
    }

    /// What is made of an entry, if it is one that is to be kept; `cost` is that of adding it.
    fn made(
        &mut self,
        variables: &[(&'a str, &Val)],
        arguments: &'a [Node],
        cost: u64,
    ) -> Result<Option<Val>, Failure> {
        let of = match arguments {
            [of] => of,
            [keep, of] => {
                if !self.holds(variables, keep)? {
                    return Ok(None);
                }
                of
            }
            _ => return Err(Failure::overload()),
        };
        let made = self.with(variables, of)?;
        self.budget.spend(cost)?;
        Ok(Some(made))
    }

    fn holds(&mut self, variables: &[(&'a str, &Val)], keep: &'a Node) -> Result<bool, Failure> {
        match self.with(variables, keep)? {
            Val::Bool(value) => Ok(value),
            _ => Err(Failure::overload()),
        }
    }

    /// `all`, `exists` and `exists_one`: one answer for all entries.
    fn asked<'b>(
        &mut self,
        name: &str,
        entries: impl Iterator<Item = Vec<(&'a str, &'b Val)>>,
        condition: &'a Node,
    ) -> Found {
        // What settles the answer, and what it costs to look whether it is settled.
        let (settles, look) = match name {
            "all" => (Some(false), ALL),
            "exists" => (Some(true), EXISTS),
            _ => (None, 0),
        };
        let (mut count, mut failure, mut settled) = (0, None, false);
        for variables in entries {
            self.budget.spend(look)?;
            if settled {
                break;
            }
            if settles.is_some() {
                self.budget.spend(LOOK)?;
            }
            let found = self.with(&variables, condition);
            match (settles, found) {
                (_, Err(Failure::Cost)) => return Err(Failure::Cost),
                (Some(settles), Ok(Val::Bool(value))) => settled = value == settles,
                (None, Ok(Val::Bool(false))) => {}
                (None, Ok(Val::Bool(true))) => {
                    self.budget.spend(LOOK + 1)?;
                    count += 1;
                }
                // Another entry may settle it.
                (Some(_), Err(error)) => failure = Some(error),
                (Some(_), Ok(_)) => failure = Some(Failure::overload()),
                (None, Err(error)) => return Err(error),
                (None, Ok(_)) => return Err(Failure::overload()),
            }
        }
        self.budget.spend(LOOK)?;
        match (settles, failure) {
            (Some(settles), _) if settled => Ok(Val::Bool(settles)),
            (Some(_), Some(failure)) => Err(failure),
            (Some(settles), None) => Ok(Val::Bool(!settles)),
            (None, _) => {
                self.budget.spend(1)?;
                Ok(Val::Bool(count == 1))
            }
        }
    }

    /// `optMap` and `optFlatMap`: what an optional holds, if anything, to something else.
    pub(super) fn mapped(
        &mut self,
        name: &str,
        of: &'a Node,
        variable: &'a str,
        inner: &'a Node,
    ) -> Found {
        let before = self.budget.left();
        let Val::Optional(held) = self.value(of)? else {
            return Err(Failure::overload());
        };
        let twice = before - self.budget.left();
        let Some(held) = held else {
            self.budget.spend(2)?;
            return Ok(Val::Optional(None));
        };
        // Upstream looks whether there is a value, and then looks for it again.
        self.budget.spend(twice.saturating_add(cost::LIST + 2))?;
        let made = self.with(&[(variable, &held)], inner)?;
        match (name, made) {
            ("optMap", made) => {
                self.budget.spend(1)?;
                Ok(Val::some(made))
            }
            (_, made @ Val::Optional(_)) => Ok(made),
            _ => Err(Failure::overload()),
        }
    }

    /// `sortBy`: in the order of what is made of each entry.
    pub(super) fn sorted(&mut self, of: &'a Node, variable: &'a str, key: &'a Node) -> Found {
        let Val::List(list) = self.value(of)? else {
            return Err(Failure::overload());
        };
        self.budget.spend(2 * (cost::LIST + LOOK) + LOOK)?;
        let mut keys = Vec::with_capacity(list.len());
        for entry in list.iter() {
            keys.push(self.with(&[(variable, entry)], key)?);
            self.budget.spend(APPEND)?;
        }
        let keys = Val::list(keys);
        self.budget.spend(cost::sorting(&keys))?;
        match keys {
            Val::List(keys) => lists::sort_by(&list, &keys),
            _ => Err(Failure::overload()),
        }
    }

    /// `cel.bind(name, value, inner)`: an expression with a name for a value.
    pub(super) fn bound(&mut self, variable: &'a Node, value: &'a Node, inner: &'a Node) -> Found {
        let Expr::Name(variable) = &variable.expr else {
            return Err(Failure::overload());
        };
        let value = self.value(value)?;
        self.budget.spend(cost::LIST)?;
        self.with(&[(variable, &value)], inner)
    }
}

fn insert(made: &mut BTreeMap<Key, Val>, key: &Val, value: Val) -> Result<(), Failure> {
    let key = Key::of(key).ok_or_else(Failure::overload)?;
    match made.insert(key.clone(), value) {
        None => Ok(()),
        Some(_) => Err(Failure::Error(format!(
            "insert failed: key {} already exists",
            super::convert::show(&key.value()).unwrap_or_default()
        ))),
    }
}
