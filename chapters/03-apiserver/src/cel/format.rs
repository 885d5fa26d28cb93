//! `'%s has %d'.format([name, count])`
//!
//! Upstream: cel-go's `ext/formatting.go`.

use super::budget::{Budget, Failure};
use super::convert::show;
use super::value::{Key, Val};

/// Digits behind the point, if none are asked for.
const PRECISION: usize = 6;
const PRECISION_MAX: usize = 1_000;

/// Text with values in the place of its clauses.
pub(super) fn format(text: &str, values: &[Val], budget: &mut Budget) -> Result<String, Failure> {
    let mut made = String::new();
    let mut values = values.iter();
    let (mut rest, mut count) = (text, 0);
    while let Some((before, after)) = rest.split_once('%') {
        made.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            made.push('%');
            rest = after;
            continue;
        }
        let (precision, after) = precision(after)?;
        let mut letters = after.chars();
        let verb = letters
            .next()
            .ok_or_else(|| unread("unexpected end of string"))?;
        rest = letters.as_str();
        let value = values
            .next()
            .ok_or_else(|| Failure::Error(format!("index {count} out of range")))?;
        count += 1;
        let clause = clause(verb, precision, value, budget)?;
        budget.work(clause.len())?;
        made.push_str(&clause);
    }
    made.push_str(rest);
    Ok(made)
}

fn unread(what: &str) -> Failure {
    Failure::Error(format!("could not parse formatting clause: {what}"))
}

/// `.3`, and what stands behind it.
fn precision(text: &str) -> Result<(Option<usize>, &str), Failure> {
    let Some(text) = text.strip_prefix('.') else {
        return Ok((None, text));
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let digits: usize = text[..end].parse().map_err(|_| {
        unread("error while parsing precision: could not convert precision to integer")
    })?;
    Ok((Some(digits.min(PRECISION_MAX)), &text[end..]))
}

fn clause(
    verb: char,
    precision: Option<usize>,
    value: &Val,
    budget: &mut Budget,
) -> Result<String, Failure> {
    let wrong = |what: &str| {
        let name = value.type_name();
        Err(Failure::Error(format!(
            "error during formatting: {what}, was given {name}"
        )))
    };
    match (verb, value) {
        ('s', value) => shown(value, budget),
        ('d', Val::Int(_) | Val::Uint(_)) => Ok(show(value).unwrap_or_default()),
        ('d', _) => wrong("decimal clause can only be used on integers"),
        ('f' | 'e', value) => {
            let number = match value {
                Val::Double(number) => *number,
                Val::Text(text) if &**text == "NaN" => f64::NAN,
                Val::Text(text) if &**text == "Infinity" => f64::INFINITY,
                Val::Text(text) if &**text == "-Infinity" => f64::NEG_INFINITY,
                _ if verb == 'f' => {
                    return wrong("fixed-point clause can only be used on doubles");
                }
                _ => return wrong("scientific clause can only be used on doubles"),
            };
            Ok(double(verb, precision.unwrap_or(PRECISION), number))
        }
        ('b', Val::Bool(value)) => Ok(u8::from(*value).to_string()),
        ('b' | 'o' | 'x' | 'X', Val::Int(number)) => {
            let sign = if *number < 0 { "-" } else { "" };
            Ok(format!("{sign}{}", based(verb, number.unsigned_abs())))
        }
        ('b' | 'o' | 'x' | 'X', Val::Uint(number)) => Ok(based(verb, *number)),
        ('x' | 'X', Val::Text(text)) => Ok(hex(verb, text.as_bytes())),
        ('x' | 'X', Val::Bytes(bytes)) => Ok(hex(verb, bytes)),
        ('b', _) => wrong("only integers and bools can be formatted as binary"),
        ('o', _) => wrong("octal clause can only be used on integers"),
        ('x' | 'X', _) => wrong("only integers, byte buffers, and strings can be formatted as hex"),
        (verb, _) => Err(unread(&format!(
            "unrecognized formatting clause \"{verb}\""
        ))),
    }
}

/// As upstream prints it for readers of English.
fn double(verb: char, digits: usize, number: f64) -> String {
    if !number.is_finite() {
        return match number {
            number if number.is_nan() => "NaN",
            number if number > 0.0 => "∞",
            _ => "-∞",
        }
        .to_owned();
    }
    match verb {
        'f' => grouped(&format!("{number:.digits$}")),
        _ => {
            let short = format!("{number:.digits$e}");
            let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ("⁻", exponent),
                None => ("", exponent),
            };
            let high = |digit: char| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(digit.to_digit(10)? as usize);
            let exponent = format!("{exponent:0>2}");
            let exponent: String = exponent.chars().filter_map(high).collect();
            format!("{digits}\u{202f}×\u{202f}10{sign}{exponent}")
        }
    }
}

/// With a comma before each three digits of the whole part.
fn grouped(number: &str) -> String {
    let (sign, number) = match number.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", number),
    };
    let (whole, fraction) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut made = sign.to_owned();
    for (i, digit) in whole.char_indices() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            made.push(',');
        }
        made.push(digit);
    }
    made + fraction
}

fn based(verb: char, number: u64) -> String {
    match verb {
        'b' => format!("{number:b}"),
        'o' => format!("{number:o}"),
        'x' => format!("{number:x}"),
        _ => format!("{number:X}"),
    }
}

fn hex(verb: char, bytes: &[u8]) -> String {
    let digits = |byte: &u8| match verb {
        'x' => format!("{byte:02x}"),
        _ => format!("{byte:02X}"),
    };
    bytes.iter().map(digits).collect()
}

/// A value as it is; what is in a list or a map, as it would stand in an expression.
fn shown(value: &Val, budget: &mut Budget) -> Result<String, Failure> {
    budget.work(1)?;
    match value {
        Val::List(list) => {
            let parts = list.iter().map(|value| quoted(value, budget));
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            Ok(format!("[{}]", parts.join(", ")))
        }
        Val::Map(map) => {
            let mut pair = |(key, value): (&Key, &Val)| {
                let key = quoted(&key.value(), budget)?;
                Ok((key, quoted(value, budget)?))
            };
            let pairs = map.iter().map(&mut pair);
            let mut pairs = pairs.collect::<Result<Vec<(String, String)>, Failure>>()?;
            pairs.sort();
            let shown: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("{key}:{value}"))
                .collect();
            Ok(format!("{{{}}}", shown.join(", ")))
        }
        Val::Ip(_) | Val::Cidr(..) | Val::Url(_) => unshown(value),
        other => show(other).map_or_else(|| unshown(value), Ok),
    }
}

fn unshown(value: &Val) -> Result<String, Failure> {
    Err(Failure::Error(format!(
        "error during formatting: string clause can only be used on strings, bools, bytes, ints, \
         doubles, maps, lists, types, durations, and timestamps, was given {}",
        value.type_name()
    )))
}

fn quoted(value: &Val, budget: &mut Budget) -> Result<String, Failure> {
    let plain = match value {
        Val::Double(number) if number.is_finite() => format!("{number:.PRECISION$}"),
        value => shown(value, budget)?,
    };
    budget.work(plain.len())?;
    Ok(match value {
        Val::Text(_) => format!("{plain:?}"),
        Val::Bytes(_) => format!("b{plain:?}"),
        Val::Time(_) => format!("timestamp({plain:?})"),
        Val::Duration(_) => format!("duration({plain:?})"),
        Val::Double(number) if !number.is_finite() => format!("{plain:?}"),
        _ => plain,
    })
}
