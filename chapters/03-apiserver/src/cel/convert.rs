//! Values to other types: `int("7")`, `string(1.5)`.
//!
//! Upstream: `ConvertToType` of cel-go's `common/types`.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::budget::Failure;
use super::durations::{parse_duration, show_duration};
use super::value::Val;

/// One of the functions that have the name of a type.
pub(super) fn convert(to: &str, value: &Val) -> Result<Val, Failure> {
    let range = || Failure::error("integer overflow");
    let shown = |text: &str| text.to_owned();
    Ok(match (to, value) {
        ("int", Val::Int(_)) | ("uint", Val::Uint(_)) | ("double", Val::Double(_)) => value.clone(),
        ("string", Val::Text(_)) | ("bool", Val::Bool(_)) | ("bytes", Val::Bytes(_)) => {
            value.clone()
        }
        ("duration", Val::Duration(_)) | ("timestamp", Val::Time(_)) => value.clone(),
        ("int", Val::Uint(number)) => Val::Int(i64::try_from(*number).map_err(|_| range())?),
        ("int", Val::Double(number)) if number.abs() < 9_223_372_036_854_775_807.0 => {
            Val::Int(*number as i64)
        }
        ("int", Val::Double(_)) => return Err(range()),
        ("int", Val::Time(at)) => Val::Int(at.as_second()),
        ("int", Val::Duration(span)) => {
            Val::Int(i64::try_from(span.as_nanos()).map_err(|_| range())?)
        }
        ("int", Val::Text(text)) => Val::Int(text.parse().map_err(|_| parsing(text))?),
        ("uint", Val::Int(number)) => Val::Uint(u64::try_from(*number).map_err(|_| unsigned())?),
        ("uint", Val::Double(number)) if (0.0..18_446_744_073_709_551_615.0).contains(number) => {
            Val::Uint(*number as u64)
        }
        ("uint", Val::Double(_)) => return Err(unsigned()),
        ("uint", Val::Text(text)) => Val::Uint(text.parse().map_err(|_| parsing(text))?),
        ("double", Val::Text(text)) => Val::Double(text.parse().map_err(|_| parsing(text))?),
        ("double", number) => Val::Double(number.number().ok_or_else(Failure::overload)?),
        ("bool", Val::Text(text)) => Val::Bool(match &**text {
            "1" | "t" | "T" | "true" | "True" | "TRUE" => true,
            "0" | "f" | "F" | "false" | "False" | "FALSE" => false,
            _ => return Err(parsing(text)),
        }),
        ("bytes", Val::Text(text)) => Val::Bytes(Arc::from(text.as_bytes())),
        ("string", Val::Bytes(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => Val::text(text),
            Err(_) => {
                return Err(Failure::error(
                    "invalid UTF-8 in bytes, cannot convert to string",
                ));
            }
        },
        ("string", value) => Val::text(&show(value).ok_or_else(Failure::overload)?),
        ("duration", Val::Text(text)) => {
            Val::Duration(parse_duration(text).ok_or_else(|| parsing(text))?)
        }
        ("duration", Val::Int(nanos)) => Val::Duration(SignedDuration::from_nanos(*nanos)),
        ("timestamp", Val::Text(text)) => {
            let at: Timestamp = shown(text).parse().map_err(|_| parsing(text))?;
            Val::Time(in_range(at)?)
        }
        ("timestamp", Val::Int(seconds)) => {
            let at = Timestamp::from_second(*seconds).map_err(|_| too_far())?;
            Val::Time(in_range(at)?)
        }
        _ => return Err(Failure::overload()),
    })
}

fn parsing(text: &str) -> Failure {
    Failure::error(format!("type conversion error: cannot parse {text:?}"))
}

fn unsigned() -> Failure {
    Failure::error("unsigned integer overflow")
}

fn too_far() -> Failure {
    Failure::error("timestamp overflow")
}

/// Times are of the years 1 to 9999.
pub(super) fn in_range(at: Timestamp) -> Result<Timestamp, Failure> {
    const FIRST: i64 = -62_135_596_800;
    match at.as_second() >= FIRST {
        true => Ok(at),
        false => Err(too_far()),
    }
}

/// A value as text, where it has a form.
pub(super) fn show(value: &Val) -> Option<String> {
    Some(match value {
        Val::Bool(value) => value.to_string(),
        Val::Int(number) => number.to_string(),
        Val::Uint(number) => number.to_string(),
        Val::Double(number) => show_double(*number),
        Val::Text(text) | Val::Url(text) => text.to_string(),
        Val::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Val::Duration(span) => show_duration(*span),
        Val::Time(at) => at.to_string(),
        Val::Ip(address) => address.to_string(),
        Val::Cidr(address, bits) => format!("{address}/{bits}"),
        Val::Null => "null".to_owned(),
        Val::Type(name) => name.to_string(),
        _ => return None,
    })
}

/// As Go's `%g`: as short as it can be, with an exponent where it is far from one.
fn show_double(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let short = format!("{number:e}");
    let Some((digits, exponent)) = short.split_once('e') else {
        return short;
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => number.to_string(),
    }
}
