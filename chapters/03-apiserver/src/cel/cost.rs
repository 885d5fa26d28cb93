//! What a call costs while it runs.
//!
//! Upstream: `CallCost` of `apiserver/pkg/cel/library/cost.go`, `costCall` of cel-go's
//! `interpreter/runtimecost.go`, and the trackers of its `ext/lists.go` and `ext/sets.go`. Its
//! server folds what is constant before it runs an expression, which then costs nothing; here it
//! costs what it costs where it stands.

use super::budget::{Budget, Failure};
use super::value::Val;

/// A list is made.
pub(super) const LIST: u64 = 10;
/// A map is made.
pub(super) const MAP: u64 = 30;
/// An object is made.
pub(super) const STRUCT: u64 = 40;
/// Somebody is asked whether something may be done: twice in an expression at the most.
const CHECK: u64 = 350_000;

/// A tenth for each letter that is gone over, and whatever is begun counts.
fn tenth(size: u64) -> u64 {
    size.div_ceil(10)
}

/// A pattern of four letters is a step of the machine that looks for it.
fn pattern(text: u64, pattern: u64) -> u64 {
    tenth(1 + text).saturating_mul(pattern.div_ceil(4))
}

/// Of a call, with its receiver as the first argument.
pub(super) fn call(
    name: &str,
    arguments: &[Val],
    result: &Val,
    budget: &mut Budget,
) -> Result<u64, Failure> {
    let size = |at: usize| arguments.get(at).map_or(0, Val::size);
    Ok(match (name, arguments) {
        ("check", _) => CHECK,
        ("fieldSelector" | "labelSelector", [_, selector]) => {
            // A requirement has two letters at the least.
            let length = selector.size();
            LIST + tenth(length) + length.div_ceil(2) * (LIST + STRUCT)
        }
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", [of, ..]) => {
            traversal(of, budget)?
        }
        (
            "url"
            | "lowerAscii"
            | "upperAscii"
            | "substring"
            | "trim"
            | "jsonpatch.escapeKey"
            | "cidr"
            | "isIP"
            | "isCIDR"
            | "quantity"
            | "isQuantity"
            | "semver"
            | "isSemver",
            _,
        )
        | ("ip", [Val::Text(_)]) => tenth(size(0)),
        ("replace" | "split" | "ip.isCanonical", _) => tenth(2 * size(0)),
        ("join", _) => tenth(2 * result.size()),
        ("find" | "findAll" | "matches", [text, of, ..]) => pattern(text.size(), of.size()),
        ("validate", [Val::Format(format), text]) => pattern(text.size(), format.regex_size),
        ("containsIP", [own, other]) => tenth(2 * own.size()) + if_text(other),
        ("containsCIDR", [own, other]) => {
            tenth(2 * own.size()) + tenth(own.size()) + 1 + if_text(other)
        }
        ("startsWith" | "endsWith" | "strings.quote" | "format", _) => tenth(size(0)),
        ("string", [Val::Bytes(_)]) | ("bytes", [Val::Text(_)]) => tenth(size(0)),
        ("contains", [text, part]) => tenth(text.size()).saturating_mul(tenth(part.size())),
        ("slice" | "reverse" | "lists.range", _) => 1 + LIST + result.size(),
        ("flatten", [list, rest @ ..]) => {
            let levels = match rest {
                [Val::Int(levels)] => u64::try_from(*levels).unwrap_or(0),
                _ => 1,
            };
            (1 + LIST).saturating_add(list.size().saturating_mul(levels))
        }
        ("distinct" | "sort", [list]) => sorting(list),
        ("sets.contains" | "sets.intersects", [a, b]) => 1 + a.size().saturating_mul(b.size()),
        ("sets.equivalent", [a, b]) => 1 + a.size().saturating_mul(b.size()).saturating_mul(2),
        // What depends on the size of nothing.
        _ => 1,
    })
}

fn if_text(value: &Val) -> u64 {
    match value {
        Val::Text(_) => tenth(value.size()),
        _ => 0,
    }
}

/// Each entry is compared with each.
pub(super) fn sorting(list: &Val) -> u64 {
    let size = list.size();
    let first = match list {
        Val::List(list) => list.first(),
        _ => None,
    };
    let pairs = size.saturating_mul(size);
    let over = match first {
        Some(Val::Text(_) | Val::Bytes(_)) => pairs / 10,
        _ => 0,
    };
    (1 + LIST)
        .saturating_add(pairs.saturating_mul(2))
        .saturating_add(over)
}

/// To go over all that is in a value.
fn traversal(of: &Val, budget: &mut Budget) -> Result<u64, Failure> {
    budget.work(1)?;
    let mut cost = 0;
    match of {
        Val::Text(text) => cost += text.len() as u64 / 10,
        Val::Bytes(bytes) => cost += bytes.len() as u64 / 10,
        Val::List(list) => {
            for entry in list.iter() {
                cost += traversal(entry, budget)?;
            }
        }
        Val::Map(map) => {
            for (key, value) in map.iter() {
                cost += traversal(&key.value(), budget)? + traversal(value, budget)?;
            }
        }
        _ => cost += 1,
    }
    Ok(cost)
}

/// Of an operator of two values.
pub(super) fn operator(sign: &str, a: &Val, b: &Val) -> u64 {
    let is_text = |value: &Val| matches!(value, Val::Text(_) | Val::Bytes(_));
    match sign {
        "==" | "!=" => match a {
            Val::Ip(_) | Val::Cidr(..) => 1,
            _ => tenth(a.size().min(b.size())),
        },
        "<" | "<=" | ">" | ">=" if is_text(a) => tenth(a.size().min(b.size())),
        "+" if is_text(a) => tenth(a.size() + b.size()),
        "in" => match b {
            Val::List(list) => list.len() as u64,
            _ => 1,
        },
        _ => 1,
    }
}
