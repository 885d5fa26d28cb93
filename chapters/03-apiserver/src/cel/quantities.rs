//! Quantities: `quantity('1Gi').isGreaterThan(quantity('1G'))`.
//!
//! Upstream: `apiserver/pkg/cel/library/quantity.go`.

use super::budget::Failure;
use super::value::Val;
use crate::schema::quantity_nano;

const NANO: i128 = 1_000_000_000;

/// `quantity` and `isQuantity`.
pub(super) fn read(name: &str, text: &str) -> Result<Val, Failure> {
    match (name, quantity_nano(text)) {
        ("isQuantity", read) => Ok(Val::Bool(read.is_some())),
        (_, Some(nano)) => Ok(Val::Quantity(nano)),
        (_, None) => Err(Failure::error(
            "quantities must match the regular expression \
             '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        )),
    }
}

/// A function of a quantity.
pub(super) fn call(name: &str, own: i128, rest: &[Val]) -> Result<Val, Failure> {
    let other = || match rest {
        [Val::Quantity(other)] => Ok(*other),
        [Val::Int(other)] => Ok(i128::from(*other) * NANO),
        _ => Err(Failure::overload()),
    };
    Ok(match (name, rest) {
        ("sign", []) => Val::Int(own.signum() as i64),
        ("isInteger", []) => Val::Bool(own % NANO == 0 && i64::try_from(own / NANO).is_ok()),
        ("asInteger", []) => match i64::try_from(own / NANO) {
            Ok(number) if own % NANO == 0 => Val::Int(number),
            _ => return Err(Failure::error("cannot convert value to integer")),
        },
        ("asApproximateFloat", []) => Val::Double(own as f64 / NANO as f64),
        ("isGreaterThan", _) => Val::Bool(own > other()?),
        ("isLessThan", _) => Val::Bool(own < other()?),
        ("compareTo", _) => Val::Int(own.cmp(&other()?) as i64),
        ("add", _) => Val::Quantity(own.saturating_add(other()?)),
        ("sub", _) => Val::Quantity(own.saturating_sub(other()?)),
        _ => return Err(Failure::overload()),
    })
}
