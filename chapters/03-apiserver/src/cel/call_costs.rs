//! What calls cost at the worst, by the sizes of what they are given.
//!
//! Most cost 1. What goes over a text costs a tenth of its length; what goes over it for each
//! letter of another, the product; what makes a list or a text has a size itself.
//!
//! Upstream: `functionCost` in cel-go's `checker/cost.go`, and `EstimateCallCost` in
//! `apiserver/pkg/cel/library/cost.go`.

use super::estimate::{Estimate, Range};
use super::overloads::Overload;
use super::parser::{Expr, Node};
use super::sizes::{ITEMS, Sizes};
use super::types::{STRING, Type};
use super::value::Val;

/// To go over a text, by letter.
const TEXT: f64 = 0.1;
/// A letter of a regular expression: four make a state of its machine, or so.
const REGEX: f64 = 0.25;
/// An address, in bytes.
const ADDRESS: Range = Range { min: 4, max: 16 };

/// A call, and what is known of what it is given.
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) target: Option<(&'a Estimate, &'a Type)>,
    pub(super) arguments: &'a [Estimate],
    pub(super) types: &'a [&'a Type],
    /// The arguments as they stand there.
    pub(super) literals: &'a [&'a Node],
    pub(super) sizes: &'a Sizes,
}

type Cost = (u64, Option<Range>);

/// The cost of a call, without that of its arguments, and the size of what it gives.
pub(super) fn of(call: &Call<'_>, overload: &Overload) -> Cost {
    let target = call.target.map(|(estimate, _)| estimate.size());
    let sizes: Vec<Range> = call.arguments.iter().map(Estimate::size).collect();
    of_library(call, target, &sizes)
        .or_else(|| of_language(call.name, target, &sizes, overload))
        .unwrap_or((1, None))
}

/// `size × factor`, rounded up.
fn times(size: u64, factor: f64) -> u64 {
    // From 2⁶⁴ on this is `u64::MAX`.
    (size as f64 * factor).ceil() as u64
}

/// What Kubernetes adds to the language.
fn of_library(call: &Call<'_>, target: Option<Range>, sizes: &[Range]) -> Option<Cost> {
    let over_text = |size: Range| (times(size.max, TEXT), None);
    let parsed = |n: usize| match call.types.get(n) {
        Some(of) if **of == STRING => times(sizes[n].max, TEXT),
        _ => 0,
    };
    Some(match (call.name, target, sizes) {
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(size), _) => {
            match call.target {
                Some((list, Type::List(of))) => {
                    let each = match **of {
                        Type::Simple("string" | "bytes") => {
                            1 + times(entry_size(list, call.sizes).max, TEXT)
                        }
                        _ => 1,
                    };
                    (size.max.saturating_mul(each), None)
                }
                _ => over_text(size),
            }
        }
        ("url", None, [text]) => (times(text.max, TEXT), Some(*text)),
        ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(text), _) => {
            (times(text.max, TEXT), Some(text))
        }
        ("replace", Some(text), [old, new, ..]) => (
            times(text.max, 2.0 * TEXT),
            Some(replaced(text, *old, *new)),
        ),
        ("split", Some(text), _) => {
            let max = match call.literals.get(1).map(|node| &node.expr) {
                Some(Expr::Literal(Val::Int(limit))) => *limit as u64,
                _ => text.max,
            };
            (times(text.max, 2.0 * TEXT), Some(Range { min: 0, max }))
        }
        ("join", Some(count), _) => {
            let entry = call.target.map(|(list, _)| entry_size(list, call.sizes));
            let texts = count.multiply(entry.unwrap_or(Range::UNKNOWN));
            let between = Range {
                min: count.min.saturating_sub(1),
                max: count.max.saturating_sub(1),
            };
            let separators = sizes.first().map(|size| size.multiply(between));
            let joined = separators.map_or(texts, |size| texts.add(size));
            (times(joined.max, TEXT), Some(joined))
        }
        ("find" | "findAll", Some(text), [pattern, ..]) => {
            let found = Range {
                min: 0,
                max: text.max,
            };
            (matching(text, *pattern), Some(found))
        }
        ("ip", Some(_), _) => (1, None),
        ("ip" | "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity", None, [text, ..]) => {
            over_text(*text)
        }
        ("ip.isCanonical", None, [text]) => (times(text.max, 2.0 * TEXT), None),
        ("containsIP", ..) => (times(2 * ADDRESS.max, TEXT) + parsed(0), None),
        ("containsCIDR", ..) => {
            let masked = times(ADDRESS.max, TEXT) + 1;
            (times(2 * ADDRESS.max, TEXT) + masked + parsed(0), None)
        }
        // They are looked at as one number, or as one text that is at hand.
        ("_==_", None, [..]) if matches!(call.types, [Type::Opaque(a), Type::Opaque(b)] if a == b) => {
            (1, None)
        }
        _ => return None,
    })
}

/// What is in the language itself, where it does not cost 1.
fn of_language(
    name: &str,
    target: Option<Range>,
    sizes: &[Range],
    overload: &Overload,
) -> Option<Cost> {
    let first = overload.arguments.first();
    let is_text = matches!(first, Some(Type::Simple("string" | "bytes")));
    Some(match (name, target, sizes) {
        ("format", Some(text), _) => (times(text.max, TEXT), None),
        ("startsWith" | "endsWith", Some(_), [with]) => (times(with.max, TEXT), None),
        ("matches", Some(text), [pattern]) => (matching(text, *pattern), None),
        ("contains", Some(text), [part]) => {
            let cost = times(text.max, TEXT).saturating_mul(times(part.max, TEXT));
            (cost, None)
        }
        ("strings.quote", None, [text]) => {
            let quoted = text
                .multiply(Range { min: 1, max: 2 })
                .add(Range::exactly(2));
            (times(text.max, TEXT), Some(quoted))
        }
        ("@in", None, [_, list]) if matches!(overload.arguments[1], Type::List(_)) => {
            (list.max, None)
        }
        ("_+_", None, [a, b]) if is_text => {
            let size = a.add(*b);
            (times(size.max, TEXT), Some(size))
        }
        ("_+_", None, [a, b]) if matches!(first, Some(Type::List(_))) => (1, Some(a.add(*b))),
        ("_<_" | "_<=_" | "_>_" | "_>=_", None, [a, b]) if is_text => {
            (times(a.max.min(b.max), TEXT), None)
        }
        ("_==_" | "_!=_", None, [a, b]) => (times(a.max.min(b.max), TEXT), None),
        _ => return None,
    })
}

/// How large each entry of a list is.
fn entry_size(list: &Estimate, sizes: &Sizes) -> Range {
    if list.path.is_empty() {
        return Range::UNKNOWN;
    }
    let mut path = list.path.clone();
    path.push(ITEMS.to_owned());
    let max = sizes.at(&path);
    max.map_or(Range::UNKNOWN, |max| Range { min: 0, max })
}

/// A regular expression may be dear though the text be empty.
fn matching(text: Range, pattern: Range) -> u64 {
    let text = times(text.max.saturating_add(1), TEXT);
    text.saturating_mul(times(pattern.max, REGEX))
}

/// The size of a text in which something was replaced.
fn replaced(text: Range, old: Range, new: Range) -> Range {
    let pieces = |text: u64, old: u64| (text as f64 / old as f64).ceil() as u64;
    let (most, kept) = if old.min == 0 {
        // Between all letters.
        (text.max.saturating_add(1), text.max)
    } else if new.max <= old.min {
        (0, text.max)
    } else {
        (pieces(text.max, old.min), 0)
    };
    let (least, kept_min) = if old.max == 0 {
        (text.min.saturating_add(1), text.min)
    } else if old.max <= new.min {
        (0, text.min)
    } else {
        (pieces(text.min, old.max), 0)
    };
    Range {
        min: least.saturating_mul(new.min).saturating_add(kept_min),
        max: most.saturating_mul(new.max).saturating_add(kept),
    }
}
