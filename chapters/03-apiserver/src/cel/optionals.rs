//! Values that are there or not: `object.?spec.?replicas.orValue(1)`.
//!
//! Upstream: cel-go's `cel/library.go`, `OptionalTypes`.

use super::budget::Failure;
use super::value::Val;

type Found = Result<Val, Failure>;

/// `optional.of`, `optional.none`, `optional.ofNonZeroValue`.
pub(super) fn make(name: &str, values: &[Val]) -> Found {
    match (name, values) {
        ("optional.none", []) => Ok(Val::Optional(None)),
        ("optional.of", [value]) => Ok(Val::some(value.clone())),
        ("optional.ofNonZeroValue", [value]) if is_zero(value) => Ok(Val::Optional(None)),
        ("optional.ofNonZeroValue", [value]) => Ok(Val::some(value.clone())),
        _ => Err(Failure::overload()),
    }
}

/// Whether a value is the one that its type begins with.
fn is_zero(value: &Val) -> bool {
    match value {
        Val::Null | Val::Optional(None) => true,
        Val::Bool(value) => !value,
        Val::Int(number) => *number == 0,
        Val::Uint(number) => *number == 0,
        Val::Double(number) => *number == 0.0,
        Val::Text(text) => text.is_empty(),
        Val::Bytes(bytes) => bytes.is_empty(),
        Val::List(list) => list.is_empty(),
        Val::Map(map) => map.is_empty(),
        Val::Made(made) => made.fields.is_empty(),
        Val::Duration(span) => span.is_zero(),
        _ => false,
    }
}

/// A function of an optional. `or` and `orValue` are no functions: the other value may not be
/// looked at (`eval.rs`).
pub(super) fn call(name: &str, held: Option<&Val>, arguments: &[Val]) -> Found {
    match (name, held, arguments) {
        ("hasValue", held, []) => Ok(Val::Bool(held.is_some())),
        ("value", Some(value), []) => Ok(value.clone()),
        ("value", None, []) => Err(Failure::error("optional.none() dereference")),
        _ => Err(Failure::overload()),
    }
}
