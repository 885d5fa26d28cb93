//! A tree, a `self` and an `oldSelf` to a value.

use std::collections::BTreeMap;

use super::functions;
use super::parser::{Expr, Node};
use super::value::{Val, unescape};

/// Why there is no value.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// It cost too much.
    Cost,
    /// Something is not as the expression takes it to be, in upstream's words.
    Error(String),
}

impl Failure {
    pub(super) fn error(what: impl Into<String>) -> Failure {
        Failure::Error(what.into())
    }

    /// A function or an operator for other types than these.
    pub(super) fn overload() -> Failure {
        Failure::error("no such overload")
    }
}

/// What may still be spent.
#[derive(Debug)]
pub struct Budget {
    left: u64,
}

impl Budget {
    /// So much.
    pub fn new(left: u64) -> Budget {
        Budget { left }
    }

    /// What is left.
    pub fn left(&self) -> u64 {
        self.left
    }

    pub(super) fn spend(&mut self, cost: u64) -> Result<(), Failure> {
        self.left = self.left.checked_sub(cost).ok_or(Failure::Cost)?;
        Ok(())
    }
}

type Found = Result<Val, Failure>;

pub(super) fn evaluate(root: &Node, own: &Val, old: Option<&Val>, budget: &mut Budget) -> Found {
    let mut scope = Scope {
        variables: vec![("self", own.clone())],
        budget,
    };
    scope
        .variables
        .extend(old.map(|old| ("oldSelf", old.clone())));
    scope.value(root)
}

struct Scope<'a> {
    variables: Vec<(&'a str, Val)>,
    budget: &'a mut Budget,
}

impl<'a> Scope<'a> {
    fn value(&mut self, node: &'a Node) -> Found {
        self.budget.spend(1)?;
        match &node.expr {
            Expr::Literal(value) => Ok(value.clone()),
            Expr::Name(name) => self.variable(name),
            Expr::Select(of, name) => {
                let of = self.value(of)?;
                field(&of, name)
                    .ok_or_else(|| Failure::error(format!("no such key: {}", unescape(name))))
            }
            Expr::Has(of, name) => {
                let of = self.value(of)?;
                Ok(Val::Bool(field(&of, name).is_some()))
            }
            Expr::Index(of, index) => {
                let (of, index) = (self.value(of)?, self.value(index)?);
                entry(&of, &index)
            }
            Expr::Call(target, name, arguments) => self.call(target.as_deref(), name, arguments),
            Expr::List(all) => {
                let all = all.iter().map(|node| self.value(node));
                Ok(Val::List(all.collect::<Result<_, _>>()?))
            }
            Expr::Map(all) => {
                let mut map = BTreeMap::new();
                for (key, value) in all {
                    let Val::Text(key) = self.value(key)? else {
                        return Err(Failure::error("unsupported key type"));
                    };
                    map.insert(key, self.value(value)?);
                }
                Ok(Val::Map(map))
            }
            Expr::Macro(name, range, variable, arguments) => {
                let range = self.value(range)?;
                self.each(name, range, variable, arguments)
            }
            // What is not evaluated here is refused before (`check.rs`).
            Expr::Bytes
            | Expr::Try(..)
            | Expr::TryIndex(..)
            | Expr::Given(_)
            | Expr::Struct(..)
            | Expr::Pairs(..) => Err(Failure::overload()),
            Expr::Not(of) => match self.value(of)? {
                Val::Bool(value) => Ok(Val::Bool(!value)),
                _ => Err(Failure::overload()),
            },
            Expr::Negative(of) => match self.value(of)? {
                Val::Int(number) => number.checked_neg().map(Val::Int).ok_or_else(overflow),
                Val::Double(number) => Ok(Val::Double(-number)),
                Val::Duration(span) => Ok(Val::Duration(-span)),
                _ => Err(Failure::overload()),
            },
            Expr::And(a, b) => self.joined(a, b, false),
            Expr::Or(a, b) => self.joined(a, b, true),
            Expr::Binary(operator, a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                self.budget.spend(a.weight().min(b.weight()))?;
                binary(operator, a, b)
            }
            Expr::Choice(condition, yes, no) => match self.value(condition)? {
                Val::Bool(true) => self.value(yes),
                Val::Bool(false) => self.value(no),
                _ => Err(Failure::overload()),
            },
        }
    }

    fn variable(&self, name: &str) -> Found {
        let mut known = self.variables.iter().rev();
        match known.find(|(known, _)| *known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => functions::type_named(name)
                .ok_or_else(|| Failure::error(format!("no such attribute(s): {name}"))),
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
            Ok(Val::Bool(_)) => match left? {
                Val::Bool(value) => Ok(Val::Bool(value)),
                _ => Err(Failure::overload()),
            },
            Ok(_) => Err(Failure::overload()),
            error => error,
        }
    }

    /// A macro over a list, or the keys of a map.
    fn each(&mut self, name: &str, range: Val, variable: &'a str, arguments: &'a [Node]) -> Found {
        let all = match range {
            Val::List(list) => list,
            Val::Map(map) => map.into_keys().map(Val::Text).collect(),
            _ => return Err(Failure::overload()),
        };
        let (mut count, mut made, mut failure) = (0, Vec::new(), None);
        for entry in all {
            self.budget.spend(1)?;
            self.variables.push((variable, entry.clone()));
            let found = self.value(&arguments[0]);
            let mapped = match (name, arguments, &found) {
                ("map", [_, of], Ok(Val::Bool(true))) => Some(self.value(of)),
                _ => None,
            };
            self.variables.pop();
            match (name, found) {
                (_, Err(Failure::Cost)) => return Err(Failure::Cost),
                ("map", found) if arguments.len() == 1 => made.push(found?),
                ("map", Ok(_)) => made.extend(mapped.transpose()?),
                ("all", Ok(Val::Bool(false))) => return Ok(Val::Bool(false)),
                ("exists", Ok(Val::Bool(true))) => return Ok(Val::Bool(true)),
                ("filter", Ok(Val::Bool(true))) => made.push(entry),
                ("exists_one", Ok(Val::Bool(true))) => count += 1,
                (_, Ok(Val::Bool(_))) => {}
                (_, Ok(_)) => failure = Some(Failure::overload()),
                // Another entry may settle it.
                ("all" | "exists", Err(error)) => failure = Some(error),
                (_, Err(error)) => return Err(error),
            }
        }
        match (name, failure) {
            (_, Some(failure)) => Err(failure),
            ("all", None) => Ok(Val::Bool(true)),
            ("exists", None) => Ok(Val::Bool(false)),
            ("exists_one", None) => Ok(Val::Bool(count == 1)),
            _ => Ok(Val::List(made)),
        }
    }

    fn call(&mut self, target: Option<&'a Node>, name: &str, arguments: &'a [Node]) -> Found {
        if let Some(Node {
            expr: Expr::Name(space),
            ..
        }) = target
            && space == "optional"
        {
            let arguments = arguments.iter().map(|node| self.value(node));
            let mut arguments = arguments.collect::<Result<Vec<_>, _>>()?;
            return Ok(Val::Optional(arguments.pop().map(Box::new)));
        }
        let mut values = Vec::new();
        for node in target.into_iter().chain(arguments) {
            values.push(self.value(node)?);
        }
        let cost: u64 = values.iter().map(Val::weight).sum();
        // A pattern is tried at each place of a text.
        let cost = if matches!(name, "matches" | "find" | "findAll" | "replace" | "split") {
            4 * cost
        } else {
            cost
        };
        self.budget.spend(cost)?;
        let made = functions::call(name, target.is_some(), &values)?;
        self.budget.spend(made.weight())?;
        Ok(made)
    }
}

fn field(of: &Val, name: &str) -> Option<Val> {
    match of {
        Val::Map(map) => map.get(&unescape(name)).or_else(|| map.get(name)).cloned(),
        _ => None,
    }
}

fn entry(of: &Val, index: &Val) -> Found {
    match (of, index) {
        (Val::Map(map), Val::Text(key)) => map
            .get(key)
            .cloned()
            .ok_or_else(|| Failure::error(format!("no such key: {key}"))),
        (Val::List(list), index) => {
            let at = match index {
                Val::Int(at) => *at,
                Val::Uint(at) => i64::try_from(*at).unwrap_or(i64::MAX),
                Val::Double(at) if at.fract() == 0.0 => *at as i64,
                _ => return Err(Failure::overload()),
            };
            let found = usize::try_from(at).ok().and_then(|at| list.get(at));
            found
                .cloned()
                .ok_or_else(|| Failure::error(format!("index out of bounds: {at}")))
        }
        _ => Err(Failure::overload()),
    }
}

fn overflow() -> Failure {
    Failure::error("integer overflow")
}

fn binary(operator: &str, a: Val, b: Val) -> Found {
    use std::cmp::Ordering::{Greater, Less};
    match operator {
        "==" => return Ok(Val::Bool(a.equals(&b))),
        "!=" => return Ok(Val::Bool(!a.equals(&b))),
        "in" => {
            return match (a, b) {
                (a, Val::List(list)) => Ok(Val::Bool(list.iter().any(|entry| entry.equals(&a)))),
                (Val::Text(key), Val::Map(map)) => Ok(Val::Bool(map.contains_key(&key))),
                (_, Val::Map(_)) => Ok(Val::Bool(false)),
                _ => Err(Failure::overload()),
            };
        }
        "<" | "<=" | ">" | ">=" => {
            let order = a.compare(&b).ok_or_else(Failure::overload)?;
            return Ok(Val::Bool(match operator {
                "<" => order == Less,
                "<=" => order != Greater,
                ">" => order == Greater,
                _ => order != Less,
            }));
        }
        _ => {}
    }
    match (operator, a, b) {
        (operator, Val::Int(a), Val::Int(b)) => {
            let (made, zero) = match operator {
                "+" => (a.checked_add(b), ""),
                "-" => (a.checked_sub(b), ""),
                "*" => (a.checked_mul(b), ""),
                "/" => (a.checked_div(b), "division by zero"),
                _ => (a.checked_rem(b), "modulus by zero"),
            };
            match made {
                Some(number) => Ok(Val::Int(number)),
                None if b == 0 && !zero.is_empty() => Err(Failure::error(zero)),
                None => Err(overflow()),
            }
        }
        (operator, Val::Uint(a), Val::Uint(b)) => {
            let made = match operator {
                "+" => a.checked_add(b),
                "-" => a.checked_sub(b),
                "*" => a.checked_mul(b),
                "/" => a.checked_div(b),
                _ => a.checked_rem(b),
            };
            made.map(Val::Uint)
                .ok_or_else(|| Failure::error("unsigned integer overflow"))
        }
        ("+", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a + b)),
        ("-", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a - b)),
        ("*", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a * b)),
        ("/", Val::Double(a), Val::Double(b)) => Ok(Val::Double(a / b)),
        ("+", Val::Text(a), Val::Text(b)) => Ok(Val::Text(a + &b)),
        ("+", Val::List(a), Val::List(b)) => Ok(Val::List([a, b].concat())),
        ("+", Val::Duration(a), Val::Duration(b)) => {
            a.checked_add(b).map(Val::Duration).ok_or_else(overflow)
        }
        ("-", Val::Duration(a), Val::Duration(b)) => {
            a.checked_sub(b).map(Val::Duration).ok_or_else(overflow)
        }
        ("+", Val::Time(a), Val::Duration(b)) | ("+", Val::Duration(b), Val::Time(a)) => a
            .checked_add(b)
            .map(Val::Time)
            .map_err(|_| Failure::error("timestamp overflow")),
        ("-", Val::Time(a), Val::Duration(b)) => a
            .checked_sub(b)
            .map(Val::Time)
            .map_err(|_| Failure::error("timestamp overflow")),
        ("-", Val::Time(a), Val::Time(b)) => Ok(Val::Duration(a.duration_since(b))),
        _ => Err(Failure::overload()),
    }
}
