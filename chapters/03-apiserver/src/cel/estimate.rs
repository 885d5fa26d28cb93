//! What an expression will cost at the worst, before anything is asked of it.
//!
//! The evaluator counts what an expression costs on an object that is there. This counts what it
//! would cost on the largest object that the schema allows, so that a rule that could never end in
//! time is refused when it is written:
//!
//! ```text
//!  self.hosts.all(h, h.startsWith('a'))
//!  └───┬────┘ └─┬─┘  └───────┬───────┘
//!    cost 2   maxItems ×  (3 for the loop + cost of the condition)
//! ```
//!
//! Each part of an expression has a cost, and those that are text, lists or maps have a size, from
//! which the cost of the functions over them comes ([`super::call_costs`]). A size is known from
//! the expression itself, or from the path by which it is reached, which [`Sizes`] knows.
//! Costs that are too large for a `u64` are `u64::MAX`.
//!
//! Upstream: cel-go's `checker/cost.go`; its macros are comprehensions, whose parts are counted here
//! as they are there.

use super::call_costs::{self, Call};
use super::check::Notes;
use super::parser::{Expr, Node};
use super::sizes::{ITEMS, KEYS, Sizes, VALUES};
use super::types::Type;
use super::value::Val;

/// At least, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) min: u64,
    pub(super) max: u64,
}

impl Range {
    /// Nothing is known.
    pub(super) const UNKNOWN: Range = Range {
        min: 0,
        max: u64::MAX,
    };

    pub(super) const fn exactly(size: u64) -> Range {
        Range {
            min: size,
            max: size,
        }
    }

    /// Whatever is in either.
    pub(super) fn union(self, other: Range) -> Range {
        Range {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    pub(super) fn add(self, other: Range) -> Range {
        Range {
            min: self.min.saturating_add(other.min),
            max: self.max.saturating_add(other.max),
        }
    }

    pub(super) fn multiply(self, other: Range) -> Range {
        Range {
            min: self.min.saturating_mul(other.min),
            max: self.max.saturating_mul(other.max),
        }
    }
}

/// What is known of the entries of a list or a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entries {
    is_list: bool,
    key: Range,
    value: Range,
}

impl Entries {
    fn of_list(value: Range) -> Entries {
        Entries {
            is_list: true,
            key: Range::exactly(1),
            value,
        }
    }

    fn union(self, other: Entries) -> Entries {
        Entries {
            is_list: self.is_list,
            key: self.key.union(other.key),
            value: self.value.union(other.value),
        }
    }
}

/// What is known of a part of an expression.
#[derive(Debug, Clone, Default)]
pub(super) struct Estimate {
    /// At the worst.
    pub(super) cost: u64,
    /// By which it is reached: a variable, then steps; empty if it is made.
    pub(super) path: Vec<String>,
    /// Of text, a list or a map.
    pub(super) size: Option<Range>,
    pub(super) entries: Option<Entries>,
}

impl Estimate {
    fn made(cost: u64, size: Option<Range>) -> Estimate {
        Estimate {
            cost,
            size,
            ..Estimate::default()
        }
    }

    /// Its size, or that nothing is known of it.
    pub(super) fn size(&self) -> Range {
        self.size.unwrap_or(Range::UNKNOWN)
    }

    /// How large each entry is.
    fn value_size(&self) -> Option<Range> {
        self.entries.map(|entries| entries.value)
    }

    fn step(&self, name: &str) -> Vec<String> {
        let mut path = self.path.clone();
        path.push(name.to_owned());
        path
    }
}

/// The cost at the worst of an expression that was checked, asked of values of these sizes.
pub(super) fn estimate(root: &Node, notes: &Notes, sizes: &Sizes) -> u64 {
    let mut estimator = Estimator {
        notes,
        sizes,
        scope: Vec::new(),
    };
    estimator.of(root).cost
}

struct Estimator<'a> {
    notes: &'a Notes,
    sizes: &'a Sizes,
    /// Variables of macros, the innermost last.
    scope: Vec<(&'a str, Estimate)>,
}

/// To read a variable or a field.
const ACCESS: u64 = 1;
const LIST: u64 = 10;
const MAP: u64 = 30;
/// To make an object.
const STRUCT: u64 = 40;

impl<'a> Estimator<'a> {
    fn of(&mut self, node: &'a Node) -> Estimate {
        match &node.expr {
            Expr::Literal(value) => Estimate::made(0, literal(value)),
            // A number with its sign is one literal.
            Expr::Negative(of) if matches!(of.expr, Expr::Literal(_)) => {
                Estimate::made(0, Some(Range::exactly(1)))
            }
            Expr::Name(name) => self.variable(node, name),
            Expr::Select(..) if self.notes.is_name(node) => {
                self.variable(node, &super::parser::dotted(node).unwrap_or_default())
            }
            Expr::Select(of, field) => self.select(node, of, field),
            Expr::Has(of, _) => Estimate::made(self.of(of).cost, Some(Range::exactly(1))),
            Expr::And(a, b) | Expr::Or(a, b) => {
                let cost = self.of(a).cost.saturating_add(self.of(b).cost);
                Estimate::made(cost, Some(Range::exactly(1)))
            }
            Expr::Choice(condition, a, b) => self.choice(condition, a, b),
            Expr::List(all) => self.list(all),
            Expr::Map(all) => self.map(all),
            Expr::Macro(name, range, variable, arguments) => {
                self.each(name, range, variable, arguments)
            }
            Expr::Index(a, b) => self.call(node, None, &[a, b]),
            Expr::Not(a) | Expr::Negative(a) => self.call(node, None, &[a]),
            Expr::Binary(_, a, b) => self.call(node, None, &[a, b]),
            Expr::Call(_, name, arguments) if name == "dyn" => {
                let mut of = self.of(&arguments[0]);
                of.cost = of.cost.saturating_add(1);
                of
            }
            Expr::Call(target, _, arguments) => {
                // `ip` in `ip.isCanonical` is no value.
                let target = target.as_deref().filter(|_| self.notes.is_method(node));
                self.call(node, target, &arguments.iter().collect::<Vec<_>>())
            }
            Expr::Given(of) => self.of(of),
            Expr::Try(of, field) => {
                let from = self.of(of);
                self.tried(node, from.cost, from.step(field))
            }
            Expr::TryIndex(of, index) => {
                let (from, index) = (self.of(of), self.of(index));
                let is_list = matches!(self.notes.type_of(of), Type::List(_));
                let path = from.step(if is_list { ITEMS } else { VALUES });
                self.tried(node, from.cost.saturating_add(index.cost), path)
            }
            Expr::Struct(_, fields) => {
                let costs = fields.iter().map(|(_, value)| self.of(value).cost);
                Estimate::made(costs.fold(STRUCT, u64::saturating_add), None)
            }
            Expr::Pairs(name, range, (key, value), arguments) => {
                let over = self.of(range);
                let is_list = matches!(self.notes.type_of(range), Type::List(_));
                let first = match is_list {
                    true => Estimate::made(0, Some(Range::exactly(1))),
                    false => self.entry_of(range, &over),
                };
                let second = match is_list {
                    true => self.entry_of(range, &over),
                    false => {
                        let path = over.step(VALUES);
                        let at = self.sizes.at(&path).map(|max| Range { min: 0, max });
                        let entries = over.entries.map(|entries| entries.value);
                        Estimate {
                            cost: 0,
                            path,
                            size: at.or(entries),
                            entries: None,
                        }
                    }
                };
                self.gather(name, over, vec![(key, first), (value, second)], arguments)
            }
        }
    }

    /// The size of what is reached by a path, or is always as large.
    fn known_size(&self, node: &Node, path: &[String]) -> Option<Range> {
        let at = self.sizes.at(path).map(|max| Range { min: 0, max });
        at.or_else(|| is_scalar(self.notes.type_of(node)).then_some(Range::exactly(1)))
    }

    fn variable(&self, node: &Node, name: &str) -> Estimate {
        let local = self.scope.iter().rev().find(|(known, _)| *known == name);
        let local = local.map(|(_, local)| local.clone());
        let Some(local) = local else {
            let path = vec![name.to_owned()];
            return Estimate {
                cost: ACCESS,
                size: self.known_size(node, &path),
                path,
                entries: None,
            };
        };
        Estimate {
            cost: ACCESS,
            size: self.known_size(node, &local.path).or(local.size),
            ..local
        }
    }

    fn select(&mut self, node: &Node, of: &'a Node, field: &str) -> Estimate {
        let from = self.of(of);
        let has_fields = matches!(self.notes.type_of(of), Type::Map(..) | Type::Object(_));
        let path = from.step(field);
        Estimate {
            cost: from
                .cost
                .saturating_add(if has_fields { ACCESS } else { 0 }),
            size: self.known_size(node, &path),
            path,
            entries: None,
        }
    }

    /// An access that may find nothing: a call like any other.
    fn tried(&self, node: &Node, before: u64, path: Vec<String>) -> Estimate {
        Estimate {
            cost: before.saturating_add(1),
            size: self.known_size(node, &path),
            path,
            entries: None,
        }
    }

    fn choice(&mut self, condition: &'a Node, a: &'a Node, b: &'a Node) -> Estimate {
        let condition = self.of(condition).cost;
        let (a, b) = (self.of(a), self.of(b));
        Estimate {
            cost: condition.saturating_add(a.cost.max(b.cost)),
            path: Vec::new(),
            size: Some(a.size().union(b.size())),
            entries: both(&a, &b),
        }
    }

    fn list(&mut self, all: &'a [Node]) -> Estimate {
        let all: Vec<Estimate> = all.iter().map(|node| self.of(node)).collect();
        let costs = all.iter().map(|entry| entry.cost);
        Estimate {
            cost: costs.fold(LIST, u64::saturating_add),
            path: Vec::new(),
            size: Some(Range::exactly(all.len() as u64)),
            entries: Some(Entries::of_list(any_of(all.iter()))),
        }
    }

    fn map(&mut self, all: &'a [(Node, Node)]) -> Estimate {
        let all = all
            .iter()
            .map(|(key, value)| (self.of(key), self.of(value)));
        let all: Vec<(Estimate, Estimate)> = all.collect();
        let costs = all.iter().flat_map(|(key, value)| [key.cost, value.cost]);
        let entries = Entries {
            is_list: false,
            key: any_of(all.iter().map(|(key, _)| key)),
            value: any_of(all.iter().map(|(_, value)| value)),
        };
        Estimate {
            cost: costs.fold(MAP, u64::saturating_add),
            path: Vec::new(),
            size: Some(Range::exactly(all.len() as u64)),
            entries: Some(entries),
        }
    }

    /// A macro goes over the entries of a list, or the keys of a map, and gathers a result:
    ///
    /// | macro | before | of each, beside its condition or result | after |
    /// | --- | --- | --- | --- |
    /// | `all` | `true` | go on? 2; `result && …` 1 | 1 |
    /// | `exists` | `false` | go on? 3; `result \|\| …` 1 | 1 |
    /// | `exists_one` | `0` | `… ? result + 1 : result` 2 | `result == 1` 2 |
    /// | `map` | `[]` 10 | `result + […]` 12 | 1 |
    /// | `transformMap` | `{}` 30 | insert 1, and what it names 2 | 1 |
    /// | `filter` | `[]` 10 | `… ? result + [entry] : result` 13 | 1 |
    fn each(
        &mut self,
        name: &str,
        range: &'a Node,
        variable: &'a str,
        arguments: &'a [Node],
    ) -> Estimate {
        let over = self.of(range);
        let entry = self.entry_of(range, &over);
        self.gather(name, over, vec![(variable, entry)], arguments)
    }

    /// What a macro gathers over its entries, each of which has these names.
    fn gather(
        &mut self,
        name: &str,
        over: Estimate,
        variables: Vec<(&'a str, Estimate)>,
        arguments: &'a [Node],
    ) -> Estimate {
        let entry = variables
            .last()
            .map_or_else(Estimate::default, |(_, it)| it.clone());
        let outside = self.scope.len();
        self.scope.extend(variables);
        let each: Vec<Estimate> = arguments.iter().map(|node| self.of(node)).collect();
        self.scope.truncate(outside);
        let costs = each.iter().map(|each| each.cost);
        let asked = costs.fold(0, u64::saturating_add);
        let (before, of_each, after, made) = match name {
            "all" => (0, 3, 1, None),
            "exists" => (0, 4, 1, None),
            "exists_one" | "existsOne" => (0, 2, 2, None),
            // `cel.@mapInsert(result, key, value)` is a call.
            "transformMap" | "transformMapEntry" => (MAP, 3, 1, each.last().map(Estimate::size)),
            "filter" => (LIST, 13, 1, Some(entry.size())),
            _ => (LIST, 12, 1, each.last().map(Estimate::size)),
        };
        let count = over.size();
        let loops = asked.saturating_add(of_each).saturating_mul(count.max);
        let cost = [over.cost, before, after, loops].into_iter();
        Estimate {
            cost: cost.fold(0, u64::saturating_add),
            path: Vec::new(),
            size: Some(if made.is_some() {
                count
            } else {
                Range::exactly(1)
            }),
            // The list is empty at first.
            entries: made.map(|made| Entries::of_list(made.union(Range::exactly(0)))),
        }
    }

    /// What the variable of a macro stands for.
    fn entry_of(&self, range: &Node, over: &Estimate) -> Estimate {
        let is_list = match over.entries {
            Some(entries) => entries.is_list,
            None => matches!(self.notes.type_of(range), Type::List(_)),
        };
        let path = over.step(if is_list { ITEMS } else { KEYS });
        let at = self.sizes.at(&path).map(|max| Range { min: 0, max });
        let entries = over
            .entries
            .map(|it| if is_list { it.value } else { it.key });
        Estimate {
            cost: 0,
            path,
            size: at.or(entries),
            entries: None,
        }
    }

    /// An operator or a function: as dear as the dearest that it may turn out to be.
    fn call(&mut self, node: &Node, target: Option<&'a Node>, arguments: &[&'a Node]) -> Estimate {
        let given: Vec<Estimate> = arguments.iter().map(|node| self.of(node)).collect();
        let on = target.map(|target| self.of(target));
        let all = given.iter().chain(&on).map(|estimate| estimate.cost);
        let before = all.fold(0, u64::saturating_add);
        let (name, overloads) = self.notes.called(node);
        let types = |node: &&'a Node| self.notes.type_of(node);
        let call = Call {
            name,
            target: on.as_ref().zip(target.map(|node| self.notes.type_of(node))),
            arguments: &given,
            types: &arguments.iter().map(types).collect::<Vec<_>>(),
            literals: arguments,
            sizes: self.sizes,
        };
        let mut found = Estimate::default();
        for overload in overloads {
            let (cost, size) = call_costs::of(&call, overload);
            found.cost = found.cost.max(cost);
            found.size = match (found.size, size) {
                (Some(known), Some(size)) => Some(known.union(size)),
                (known, size) => known.or(size),
            };
            match overload.arguments.first() {
                Some(Type::List(_)) if name == "_[_]" => {
                    found.path = given[0].step(ITEMS);
                    found.size = given[0].value_size();
                }
                Some(Type::Map(..)) if name == "_[_]" => {
                    found.path = given[0].step(VALUES);
                    found.size = given[0].value_size();
                }
                Some(Type::List(_)) if name == "_+_" => {
                    found.entries = both(&given[0], &given[1]);
                }
                _ => {}
            }
            if found.size.is_none() {
                found.size = self.known_size(node, &found.path);
            }
        }
        found.cost = found.cost.saturating_add(before);
        found
    }
}

/// What is known of the entries of either, if something is of both.
fn both(a: &Estimate, b: &Estimate) -> Option<Entries> {
    Some(a.entries?.union(b.entries?))
}

/// The size of any of these; of none, nothing.
fn any_of<'a>(all: impl Iterator<Item = &'a Estimate>) -> Range {
    let sizes = all.map(Estimate::size);
    sizes.reduce(Range::union).unwrap_or(Range::exactly(0))
}

fn literal(value: &Val) -> Option<Range> {
    Some(Range::exactly(match value {
        Val::Text(text) => text.chars().count() as u64,
        _ => 1,
    }))
}

/// Whether all values of a type are equally large.
fn is_scalar(of: &Type) -> bool {
    match of {
        Type::Simple(name) => !matches!(*name, "string" | "bytes"),
        Type::Optional(of) => is_scalar(of),
        _ => false,
    }
}
