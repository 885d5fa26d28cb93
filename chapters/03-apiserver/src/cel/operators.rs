//! Operators of two values, fields and entries.

use super::budget::{Budget, Failure};
use super::convert::in_range;
use super::escape::unescape;
use super::lists;
use super::value::{Key, Val};

type Found = Result<Val, Failure>;

/// A field of an object; none if it is not there.
pub(super) fn field(of: &Val, name: &str) -> Option<Val> {
    match of {
        Val::Map(map) => {
            let written = || map.get(&Key::from(name));
            let escaped = || map.get(&Key::from(unescape(name)));
            // Most names are written as they are.
            written().or_else(escaped).cloned()
        }
        Val::Made(made) => {
            let fields = &made.fields;
            fields
                .get(name)
                .or_else(|| fields.get(&unescape(name)))
                .cloned()
        }
        _ => None,
    }
}

/// What has fields.
pub(super) fn has_fields(of: &Val) -> bool {
    matches!(of, Val::Map(_) | Val::Made(_))
}

/// An entry of a list or a map.
pub(super) fn entry(of: &Val, index: &Val) -> Found {
    match (of, index) {
        (Val::Map(map), index) => {
            let key = Key::of(index).ok_or_else(Failure::overload)?;
            let missing = || Failure::Error(format!("no such key: {}", show_key(&key)));
            map.get(&key).cloned().ok_or_else(missing)
        }
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
                .ok_or_else(|| Failure::Error(format!("index out of bounds: {at}")))
        }
        (Val::Made(_), Val::Text(name)) => field(of, name).ok_or_else(|| no_key(name)),
        _ => Err(Failure::overload()),
    }
}

/// The same, if it is there.
pub(super) fn entry_if_any(of: &Val, index: &Val) -> Result<Option<Val>, Failure> {
    match (of, entry(of, index)) {
        (_, Ok(found)) => Ok(Some(found)),
        (Val::Map(_), Err(error)) if Key::of(index).is_none() => Err(error),
        (Val::Map(_) | Val::Made(_) | Val::List(_), Err(error)) if error != Failure::overload() => {
            Ok(None)
        }
        (_, Err(error)) => Err(error),
    }
}

pub(super) fn no_key(name: &str) -> Failure {
    Failure::Error(format!("no such key: {}", unescape(name)))
}

fn show_key(key: &Key) -> String {
    super::convert::show(&key.value()).unwrap_or_default()
}

fn overflow() -> Failure {
    Failure::error("integer overflow")
}

/// `-a`
pub(super) fn negative(of: Val) -> Found {
    match of {
        Val::Int(number) => number.checked_neg().map(Val::Int).ok_or_else(overflow),
        Val::Double(number) => Ok(Val::Double(-number)),
        Val::Duration(span) => span.checked_neg().map(Val::Duration).ok_or_else(overflow),
        _ => Err(Failure::overload()),
    }
}

/// `a + b`
pub(super) fn binary(operator: &str, a: Val, b: Val, budget: &mut Budget) -> Found {
    use std::cmp::Ordering::{Greater, Less};
    match operator {
        "==" => Ok(Val::Bool(a.equals(&b, budget)?)),
        "!=" => Ok(Val::Bool(!a.equals(&b, budget)?)),
        "in" => match (a, b) {
            (a, Val::List(list)) => Ok(Val::Bool(lists::contains(&list, &a, budget)?)),
            (key, Val::Map(map)) => Ok(Val::Bool(
                Key::of(&key).is_some_and(|key| map.contains_key(&key)),
            )),
            _ => Err(Failure::overload()),
        },
        "<" | "<=" | ">" | ">=" => {
            let order = match (&a, &b) {
                // They are compared by functions.
                (Val::Quantity(_) | Val::Semver(_), _) => return Err(Failure::overload()),
                (Val::Double(a), _) if a.is_nan() => return Err(nan()),
                (_, Val::Double(b)) if b.is_nan() => return Err(nan()),
                (a, b) => a.compare(b).ok_or_else(Failure::overload)?,
            };
            Ok(Val::Bool(match operator {
                "<" => order == Less,
                "<=" => order != Greater,
                ">" => order == Greater,
                _ => order != Less,
            }))
        }
        _ => computed(operator, a, b, budget),
    }
}

fn nan() -> Failure {
    Failure::error("NaN values cannot be ordered")
}

fn computed(operator: &str, a: Val, b: Val, budget: &mut Budget) -> Found {
    let by_zero = || match operator {
        "/" => Failure::error("division by zero"),
        _ => Failure::error("modulus by zero"),
    };
    let timestamp = || Failure::error("timestamp overflow");
    match (operator, a, b) {
        ("/" | "%", Val::Int(_), Val::Int(0)) | ("/" | "%", Val::Uint(_), Val::Uint(0)) => {
            Err(by_zero())
        }
        (operator, Val::Int(a), Val::Int(b)) => {
            let made = match operator {
                "+" => a.checked_add(b),
                "-" => a.checked_sub(b),
                "*" => a.checked_mul(b),
                "/" => a.checked_div(b),
                _ => a.checked_rem(b),
            };
            made.map(Val::Int).ok_or_else(overflow)
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
        ("+", Val::Text(a), Val::Text(b)) => {
            budget.work(a.len() + b.len())?;
            Ok(Val::Text([&*a, &*b].concat().into()))
        }
        ("+", Val::Bytes(a), Val::Bytes(b)) => {
            budget.work(a.len() + b.len())?;
            Ok(Val::Bytes([&*a, &*b].concat().into()))
        }
        ("+", Val::List(a), Val::List(b)) => {
            budget.work((a.len() + b.len()).saturating_mul(4))?;
            Ok(Val::list([a.as_slice(), b.as_slice()].concat()))
        }
        ("+", Val::Duration(a), Val::Duration(b)) => {
            a.checked_add(b).map(Val::Duration).ok_or_else(overflow)
        }
        ("-", Val::Duration(a), Val::Duration(b)) => {
            a.checked_sub(b).map(Val::Duration).ok_or_else(overflow)
        }
        ("+", Val::Time(a), Val::Duration(b)) | ("+", Val::Duration(b), Val::Time(a)) => {
            let at = a.checked_add(b).map_err(|_| timestamp())?;
            in_range(at).map(Val::Time)
        }
        ("-", Val::Time(a), Val::Duration(b)) => {
            let at = a.checked_sub(b).map_err(|_| timestamp())?;
            in_range(at).map(Val::Time)
        }
        ("-", Val::Time(a), Val::Time(b)) => Ok(Val::Duration(a.duration_since(b))),
        _ => Err(Failure::overload()),
    }
}
