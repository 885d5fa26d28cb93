//! The functions of the language itself, and those over text and lists.

use regex::RegexBuilder;

use super::eval::Failure;
use super::library;
use super::value::{Val, parse_duration};

/// Functions of no one.
const PLAIN: &[&str] = &[
    "size",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "duration",
    "timestamp",
    "type",
    "dyn",
    "matches",
    "quantity",
    "isQuantity",
    "sign",
    "url",
    "isURL",
    "ip",
    "isIP",
    "cidr",
    "isCIDR",
];
/// Functions of a value.
const METHODS: &[&str] = &[
    "size",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "charAt",
    "indexOf",
    "lastIndexOf",
    "lowerAscii",
    "upperAscii",
    "replace",
    "split",
    "join",
    "substring",
    "trim",
    "format",
    "find",
    "findAll",
    "isSorted",
    "sum",
    "min",
    "max",
    "value",
    "hasValue",
    "orValue",
    "or",
    "add",
    "sub",
    "sign",
    "isInteger",
    "asInteger",
    "asApproximateFloat",
    "isGreaterThan",
    "isLessThan",
    "compareTo",
    "getScheme",
    "getHost",
    "getHostname",
    "getPort",
    "getEscapedPath",
    "getQuery",
    "family",
    "isLoopback",
    "isUnspecified",
    "containsIP",
    "containsCIDR",
    "prefixLength",
    "masked",
];
const TYPES: &[&str] = &[
    "int",
    "uint",
    "double",
    "bool",
    "string",
    "list",
    "map",
    "null_type",
    "type",
];

pub(super) fn is_known(name: &str, has_target: bool) -> bool {
    let known = if has_target { METHODS } else { PLAIN };
    known.contains(&name)
}

pub(super) fn type_named(name: &str) -> Option<Val> {
    TYPES
        .iter()
        .find(|known| **known == name)
        .map(|name| Val::Type(name))
}

type Found = Result<Val, Failure>;

fn int(number: usize) -> Found {
    Ok(Val::Int(number as i64))
}

/// Calls a function; of one that has a target, that is the first value.
pub(super) fn call(name: &str, has_target: bool, values: &[Val]) -> Found {
    match (name, values) {
        ("size", [Val::Text(text)]) => int(text.chars().count()),
        ("size", [Val::List(list)]) => int(list.len()),
        ("size", [Val::Map(map)]) => int(map.len()),
        ("type", [value]) => Ok(Val::Type(value.type_name())),
        ("dyn", [value]) => Ok(value.clone()),
        ("matches", [Val::Text(text), Val::Text(pattern)]) => {
            Ok(Val::Bool(regex(pattern)?.is_match(text)))
        }
        ("int" | "uint" | "double" | "string" | "bool" | "duration" | "timestamp", [value])
            if !has_target =>
        {
            convert(name, value)
        }
        (_, [Val::Text(text), arguments @ ..]) if has_target => self::text(name, text, arguments),
        (_, [Val::List(list), arguments @ ..]) if has_target => self::list(name, list, arguments),
        (_, [Val::Optional(held), arguments @ ..]) if has_target => {
            optional(name, held.as_deref(), arguments)
        }
        _ => library::call(name, values),
    }
}

/// Patterns come from rules: their size is bounded, as is what they take.
pub(super) fn regex(pattern: &str) -> Result<regex::Regex, Failure> {
    let mut builder = RegexBuilder::new(pattern);
    let built = builder.size_limit(1 << 20).build();
    built.map_err(|error| Failure::error(format!("error parsing regexp: {error}")))
}

fn convert(name: &str, value: &Val) -> Found {
    let range = || Failure::error("integer overflow");
    Ok(match (name, value) {
        ("int", Val::Int(_)) | ("uint", Val::Uint(_)) | ("double", Val::Double(_)) => value.clone(),
        ("string", Val::Text(_)) | ("bool", Val::Bool(_)) => value.clone(),
        ("duration", Val::Duration(_)) | ("timestamp", Val::Time(_)) => value.clone(),
        ("int", Val::Uint(number)) => Val::Int(i64::try_from(*number).map_err(|_| range())?),
        ("int", Val::Double(number)) if number.abs() < 9.2e18 => Val::Int(*number as i64),
        ("int", Val::Double(_)) => return Err(range()),
        ("int", Val::Time(at)) => Val::Int(at.as_second()),
        ("int", Val::Text(text)) => Val::Int(text.parse().map_err(|_| parsing(text))?),
        ("uint", Val::Int(number)) => Val::Uint(u64::try_from(*number).map_err(|_| range())?),
        ("uint", Val::Text(text)) => Val::Uint(text.parse().map_err(|_| parsing(text))?),
        ("double", Val::Text(text)) => Val::Double(text.parse().map_err(|_| parsing(text))?),
        ("double", number) => Val::Double(number.number().ok_or_else(Failure::overload)?),
        ("bool", Val::Text(text)) => Val::Bool(match text.as_str() {
            "1" | "t" | "T" | "true" | "True" | "TRUE" => true,
            "0" | "f" | "F" | "false" | "False" | "FALSE" => false,
            _ => return Err(parsing(text)),
        }),
        ("string", value) => Val::Text(show(value).ok_or_else(Failure::overload)?),
        ("duration", Val::Text(text)) => {
            Val::Duration(parse_duration(text).ok_or_else(|| parsing(text))?)
        }
        ("timestamp", Val::Text(text)) => Val::Time(text.parse().map_err(|_| parsing(text))?),
        ("timestamp", Val::Int(seconds)) => {
            Val::Time(jiff::Timestamp::from_second(*seconds).map_err(|_| range())?)
        }
        _ => return Err(Failure::overload()),
    })
}

fn parsing(text: &str) -> Failure {
    Failure::error(format!("type conversion error: cannot parse {text:?}"))
}

/// A value as text, where it has a form.
pub(super) fn show(value: &Val) -> Option<String> {
    Some(match value {
        Val::Bool(value) => value.to_string(),
        Val::Int(number) => number.to_string(),
        Val::Uint(number) => number.to_string(),
        Val::Double(number) => number.to_string(),
        Val::Text(text) | Val::Url(text) => text.clone(),
        Val::Duration(span) => format!("{}s", span.as_secs_f64()),
        Val::Time(at) => at.to_string(),
        Val::Ip(address) => address.to_string(),
        Val::Cidr(address, bits) => format!("{address}/{bits}"),
        Val::Null => "null".to_owned(),
        Val::Type(name) => (*name).to_owned(),
        _ => return None,
    })
}

fn text(name: &str, text: &str, arguments: &[Val]) -> Found {
    let made = |text: String| Ok(Val::Text(text));
    match (name, arguments) {
        ("startsWith", [Val::Text(part)]) => Ok(Val::Bool(text.starts_with(part.as_str()))),
        ("endsWith", [Val::Text(part)]) => Ok(Val::Bool(text.ends_with(part.as_str()))),
        ("contains", [Val::Text(part)]) => Ok(Val::Bool(text.contains(part.as_str()))),
        ("lowerAscii", []) => made(text.to_ascii_lowercase()),
        ("upperAscii", []) => made(text.to_ascii_uppercase()),
        ("trim", []) => made(text.trim().to_owned()),
        ("replace", [Val::Text(from), Val::Text(to)]) => made(text.replace(from.as_str(), to)),
        ("replace", [Val::Text(from), Val::Text(to), Val::Int(count)]) => {
            match usize::try_from(*count) {
                Ok(count) => made(text.replacen(from.as_str(), to, count)),
                Err(_) => made(text.replace(from.as_str(), to)),
            }
        }
        ("split", [Val::Text(at)]) => Ok(split(text, at, usize::MAX)),
        ("split", [Val::Text(at), Val::Int(count)]) => Ok(split(
            text,
            at,
            usize::try_from(*count).unwrap_or(usize::MAX),
        )),
        ("charAt", [Val::Int(at)]) => made(slice(
            text,
            *at,
            at.saturating_add(1).min(text.chars().count() as i64),
        )?),
        ("substring", [Val::Int(from)]) => made(slice(text, *from, text.chars().count() as i64)?),
        ("substring", [Val::Int(from), Val::Int(to)]) => made(slice(text, *from, *to)?),
        ("indexOf" | "lastIndexOf", [Val::Text(part)]) => {
            let found = match name {
                "indexOf" => text.find(part.as_str()),
                _ => text.rfind(part.as_str()),
            };
            Ok(Val::Int(
                found.map_or(-1, |at| text[..at].chars().count() as i64),
            ))
        }
        ("find", [Val::Text(pattern)]) => made(
            regex(pattern)?
                .find(text)
                .map_or_else(String::new, |found| found.as_str().to_owned()),
        ),
        ("findAll", [Val::Text(pattern), rest @ ..]) => {
            let most = match rest {
                [Val::Int(most)] => usize::try_from(*most).unwrap_or(usize::MAX),
                _ => usize::MAX,
            };
            let regex = regex(pattern)?;
            let found = regex.find_iter(text).take(most);
            Ok(Val::List(
                found
                    .map(|found| Val::Text(found.as_str().to_owned()))
                    .collect(),
            ))
        }
        ("format", [Val::List(values)]) => made(library::format(text, values)?),
        _ => Err(Failure::overload()),
    }
}

fn split(text: &str, at: &str, count: usize) -> Val {
    let parts: Vec<&str> = match (at, count) {
        (_, 0) => Vec::new(),
        ("", _) => text.split("").filter(|part| !part.is_empty()).collect(),
        (at, count) => text.splitn(count, at).collect(),
    };
    Val::List(
        parts
            .into_iter()
            .map(|part| Val::Text(part.to_owned()))
            .collect(),
    )
}

fn slice(text: &str, from: i64, to: i64) -> Result<String, Failure> {
    let count = text.chars().count() as i64;
    if from < 0 || to > count || from > to {
        return Err(Failure::error(format!("index out of range: {from}")));
    }
    let (from, to) = (from as usize, to as usize);
    Ok(text.chars().skip(from).take(to - from).collect())
}

fn list(name: &str, list: &[Val], arguments: &[Val]) -> Found {
    let best = |wanted: std::cmp::Ordering| {
        let mut best = list
            .first()
            .ok_or_else(|| Failure::error(format!("{name} called on empty list")))?;
        for value in &list[1..] {
            if value.compare(best).ok_or_else(Failure::overload)? == wanted {
                best = value;
            }
        }
        Ok(best.clone())
    };
    match (name, arguments) {
        ("isSorted", []) => {
            let pairs = list.windows(2);
            Ok(Val::Bool(pairs.into_iter().all(|pair| {
                pair[0].compare(&pair[1]).is_some_and(|order| order.is_le())
            })))
        }
        ("min", []) => best(std::cmp::Ordering::Less),
        ("max", []) => best(std::cmp::Ordering::Greater),
        ("sum", []) => list
            .iter()
            .try_fold(Val::Int(0), |sum, value| match (sum, value) {
                (Val::Int(sum), Val::Int(value)) => sum
                    .checked_add(*value)
                    .map(Val::Int)
                    .ok_or_else(|| Failure::error("integer overflow")),
                (sum, value) => {
                    let (sum, value) = (sum.number(), value.number());
                    sum.zip(value)
                        .map(|(sum, value)| Val::Double(sum + value))
                        .ok_or_else(Failure::overload)
                }
            }),
        ("indexOf", [wanted]) => Ok(Val::Int(
            list.iter()
                .position(|value| value.equals(wanted))
                .map_or(-1, |at| at as i64),
        )),
        ("lastIndexOf", [wanted]) => Ok(Val::Int(
            list.iter()
                .rposition(|value| value.equals(wanted))
                .map_or(-1, |at| at as i64),
        )),
        ("join", arguments) => {
            let between = match arguments {
                [Val::Text(between)] => between.as_str(),
                [] => "",
                _ => return Err(Failure::overload()),
            };
            let parts = list.iter().map(|value| match value {
                Val::Text(text) => Ok(text.as_str()),
                _ => Err(Failure::overload()),
            });
            Ok(Val::Text(
                parts.collect::<Result<Vec<_>, _>>()?.join(between),
            ))
        }
        _ => Err(Failure::overload()),
    }
}

fn optional(name: &str, held: Option<&Val>, arguments: &[Val]) -> Found {
    match (name, held, arguments) {
        ("hasValue", held, []) => Ok(Val::Bool(held.is_some())),
        ("value", Some(value), []) => Ok(value.clone()),
        ("value", None, []) => Err(Failure::error("optional.none() dereference")),
        ("orValue", Some(value), [_]) => Ok(value.clone()),
        ("orValue", None, [other]) => Ok(other.clone()),
        ("or", Some(value), [_]) => Ok(Val::Optional(Some(Box::new(value.clone())))),
        ("or", None, [other]) => Ok(other.clone()),
        _ => Err(Failure::overload()),
    }
}
