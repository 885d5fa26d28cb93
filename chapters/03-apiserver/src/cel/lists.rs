//! Functions of lists, and of lists as sets.
//!
//! Upstream: `apiserver/pkg/cel/library/lists.go`, cel-go's `ext/lists.go`, version 3, and
//! `ext/sets.go`.

use std::cmp::Ordering;

use super::budget::{Budget, Failure};
use super::operators;
use super::value::Val;

type Found = Result<Val, Failure>;

/// A function of a list.
pub(super) fn call(name: &str, list: &[Val], arguments: &[Val], budget: &mut Budget) -> Found {
    budget.work(list.len())?;
    match (name, arguments) {
        ("isSorted", []) => {
            let pairs = list.windows(2).map(|pair| pair[0].compare(&pair[1]));
            Ok(Val::Bool(
                pairs
                    .into_iter()
                    .all(|order| order.is_some_and(Ordering::is_le)),
            ))
        }
        ("min", []) => best(name, list, Ordering::Less),
        ("max", []) => best(name, list, Ordering::Greater),
        ("sum", []) => match list {
            [] => Ok(Val::Int(0)),
            [first, rest @ ..] => rest.iter().try_fold(first.clone(), |sum, value| {
                operators::binary("+", sum, value.clone(), budget)
            }),
        },
        ("indexOf", [wanted]) => index_of(list.iter().enumerate(), wanted, budget),
        ("lastIndexOf", [wanted]) => index_of(list.iter().enumerate().rev(), wanted, budget),
        ("join", []) => join(list, "", budget),
        ("join", [Val::Text(between)]) => join(list, between, budget),
        ("slice", [Val::Int(from), Val::Int(to)]) => slice(list, *from, *to),
        ("distinct", []) => {
            let mut kept: Vec<Val> = Vec::new();
            for value in list {
                if !contains(&kept, value, budget)? {
                    kept.push(value.clone());
                }
            }
            Ok(Val::list(kept))
        }
        ("reverse", []) => Ok(Val::list(list.iter().rev().cloned().collect())),
        ("first", []) => Ok(Val::Optional(list.first().cloned().map(Box::new))),
        ("last", []) => Ok(Val::Optional(list.last().cloned().map(Box::new))),
        ("flatten", []) => flatten(list, 1, budget),
        ("flatten", [Val::Int(levels)]) => flatten(list, *levels, budget),
        ("sort", []) => sort_by(list, list),
        // Of optionals, those that hold something.
        ("unwrapOpt", []) => {
            let held = list.iter().map(|value| match value {
                Val::Optional(held) => Ok(held.as_deref().cloned()),
                _ => Err(Failure::overload()),
            });
            let held = held.collect::<Result<Vec<Option<Val>>, _>>()?;
            Ok(Val::list(held.into_iter().flatten().collect()))
        }
        _ => Err(Failure::overload()),
    }
}

fn best(name: &str, list: &[Val], wanted: Ordering) -> Found {
    let mut rest = list.iter();
    let mut best = rest
        .next()
        .ok_or_else(|| Failure::Error(format!("{name} called on empty list")))?;
    for value in rest {
        if value.compare(best).ok_or_else(Failure::overload)? == wanted {
            best = value;
        }
    }
    Ok(best.clone())
}

fn index_of<'a>(
    list: impl Iterator<Item = (usize, &'a Val)>,
    wanted: &Val,
    budget: &mut Budget,
) -> Found {
    for (at, value) in list {
        if value.equals(wanted, budget)? {
            return Ok(Val::Int(at as i64));
        }
    }
    Ok(Val::Int(-1))
}

/// Whether an equal value is in a list.
pub(super) fn contains(list: &[Val], wanted: &Val, budget: &mut Budget) -> Result<bool, Failure> {
    for value in list {
        if value.equals(wanted, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn join(list: &[Val], between: &str, budget: &mut Budget) -> Found {
    let mut joined = String::new();
    for (i, value) in list.iter().enumerate() {
        let Val::Text(text) = value else {
            return Err(Failure::overload());
        };
        budget.work(text.len() + between.len())?;
        if i > 0 {
            joined.push_str(between);
        }
        joined.push_str(text);
    }
    Ok(Val::text(&joined))
}

fn slice(list: &[Val], from: i64, to: i64) -> Found {
    let wrong = |what: &str| {
        Err(Failure::Error(format!(
            "cannot slice({from}, {to}), {what}"
        )))
    };
    match (usize::try_from(from), usize::try_from(to)) {
        (Ok(start), Ok(end)) if start <= end && end <= list.len() => {
            Ok(Val::list(list[start..end].to_vec()))
        }
        (Ok(start), Ok(end)) if start > end => {
            wrong("start index must be less than or equal to end index")
        }
        (Ok(_), Ok(_)) => wrong(&format!("list is length {}", list.len())),
        _ => wrong("negative indexes not supported"),
    }
}

/// With the entries of lists in the place of those, so many levels down.
fn flatten(list: &[Val], levels: i64, budget: &mut Budget) -> Found {
    if levels < 0 {
        return Err(Failure::error("level must be non-negative"));
    }
    let mut flat = Vec::new();
    flatten_into(&mut flat, list, levels, budget)?;
    Ok(Val::list(flat))
}

fn flatten_into(
    flat: &mut Vec<Val>,
    list: &[Val],
    levels: i64,
    budget: &mut Budget,
) -> Result<(), Failure> {
    budget.work(list.len().saturating_mul(4))?;
    for value in list {
        match value {
            Val::List(inner) if levels > 0 => flatten_into(flat, inner, levels - 1, budget)?,
            value => flat.push(value.clone()),
        }
    }
    Ok(())
}

/// In the order of their keys. They are all of one type.
pub(super) fn sort_by(list: &[Val], keys: &[Val]) -> Found {
    let Some(first) = keys.first() else {
        return Ok(Val::list(list.to_vec()));
    };
    if first.compare(first).is_none() && !matches!(first, Val::Double(_)) {
        return Err(Failure::error("list elements must be comparable"));
    }
    if keys.iter().any(|key| key.type_name() != first.type_name()) {
        return Err(Failure::error("list elements must have the same type"));
    }
    let mut places: Vec<usize> = (0..list.len()).collect();
    places.sort_by(|a, b| keys[*a].compare(&keys[*b]).unwrap_or(Ordering::Equal));
    Ok(Val::list(
        places.iter().map(|at| list[*at].clone()).collect(),
    ))
}

/// `lists.range`: so many numbers, from zero.
pub(super) fn range(count: i64, budget: &mut Budget) -> Found {
    budget.work(usize::try_from(count).unwrap_or(0).saturating_mul(4))?;
    Ok(Val::list((0..count).map(Val::Int).collect()))
}

/// `sets.contains`, `sets.intersects`, `sets.equivalent`.
pub(super) fn sets(name: &str, a: &[Val], b: &[Val], budget: &mut Budget) -> Found {
    let mut has_all = |all: &[Val], part: &[Val]| {
        for value in part {
            if !contains(all, value, budget)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    Ok(Val::Bool(match name {
        "sets.contains" => has_all(a, b)?,
        "sets.equivalent" => has_all(a, b)? && has_all(b, a)?,
        _ => {
            let mut found = false;
            for value in a {
                found = found || contains(b, value, budget)?;
            }
            found
        }
    }))
}
