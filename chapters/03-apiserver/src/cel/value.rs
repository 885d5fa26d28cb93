//! Values, made from JSON as a schema says.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::custom::{Additional, Schema};

/// A value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Val {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// `1`
    Int(i64),
    /// `1u`
    Uint(u64),
    /// `1.5`
    Double(f64),
    /// `"a"`
    Text(String),
    /// `[1, 2]`
    List(Vec<Val>),
    /// `{"a": 1}`, and every object
    Map(BTreeMap<String, Val>),
    /// Text of format `duration`.
    Duration(SignedDuration),
    /// Text of format `date-time`.
    Time(Timestamp),
    /// In units of 10⁻⁹.
    Quantity(i128),
    /// A URL, as text.
    Url(String),
    /// An address.
    Ip(IpAddr),
    /// A network: an address, and how many bits of it count.
    Cidr(IpAddr, u8),
    /// Something, or nothing: `oldSelf` of rules that say so.
    Optional(Option<Box<Val>>),
    /// The name of a type: `int`.
    Type(&'static str),
}

impl Val {
    /// From JSON; text has the type of its format where it is of that format.
    pub fn from_json(value: &Value, schema: Option<&Schema>) -> Val {
        match value {
            Value::Null => Val::Null,
            Value::Bool(value) => Val::Bool(*value),
            Value::Number(number) => {
                let is_double = schema.is_some_and(|schema| schema.kind == "number");
                match number.as_i64().filter(|_| !is_double) {
                    Some(number) => Val::Int(number),
                    None => Val::Double(number.as_f64().unwrap_or_default()),
                }
            }
            Value::String(text) => text_of(text, schema.map_or("", Schema::format)),
            Value::Array(list) => {
                let items = schema.and_then(|schema| schema.items.as_deref());
                Val::List(
                    list.iter()
                        .map(|entry| Val::from_json(entry, items))
                        .collect(),
                )
            }
            Value::Object(fields) => {
                let field = |(name, value): (&String, &Value)| {
                    let inner = schema.and_then(|schema| match &schema.additional {
                        Some(Additional::Schema(inner)) => Some(&**inner),
                        _ => schema.properties.get(name),
                    });
                    (name.clone(), Val::from_json(value, inner))
                };
                Val::Map(fields.iter().map(field).collect())
            }
        }
    }

    /// What `type()` calls it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Val::Null => "null_type",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Uint(_) => "uint",
            Val::Double(_) => "double",
            Val::Text(_) => "string",
            Val::List(_) => "list",
            Val::Map(_) => "map",
            Val::Duration(_) => "google.protobuf.Duration",
            Val::Time(_) => "google.protobuf.Timestamp",
            Val::Quantity(_) => "kubernetes.Quantity",
            Val::Url(_) => "kubernetes.URL",
            Val::Ip(_) => "net.IP",
            Val::Cidr(..) => "net.CIDR",
            Val::Optional(_) => "optional_type",
            Val::Type(_) => "type",
        }
    }

    /// Whether both are the same; numbers of all types are compared as numbers.
    pub(super) fn equals(&self, other: &Val) -> bool {
        match (self, other) {
            (Val::List(a), Val::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b))
            }
            (Val::Map(a), Val::Map(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(key, a)| b.get(key).is_some_and(|b| a.equals(b)))
            }
            (a, b) => match a.compare(b) {
                Some(order) => order == Ordering::Equal,
                None => a == b,
            },
        }
    }

    /// The order of two values that have one.
    pub(super) fn compare(&self, other: &Val) -> Option<Ordering> {
        match (self, other) {
            (Val::Int(a), Val::Int(b)) => Some(a.cmp(b)),
            (Val::Uint(a), Val::Uint(b)) => Some(a.cmp(b)),
            (Val::Text(a), Val::Text(b)) => Some(a.cmp(b)),
            (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
            (Val::Duration(a), Val::Duration(b)) => Some(a.cmp(b)),
            (Val::Time(a), Val::Time(b)) => Some(a.cmp(b)),
            (Val::Quantity(a), Val::Quantity(b)) => Some(a.cmp(b)),
            (a, b) => a.number()?.partial_cmp(&b.number()?),
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Val::Int(number) => Some(*number as f64),
            Val::Uint(number) => Some(*number as f64),
            Val::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// How large it is, as cost counts it: text and lists take time to go over.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Val::Text(text) => 1 + text.len() as u64 / 10,
            Val::List(list) => 1 + list.len() as u64,
            Val::Map(map) => 1 + map.len() as u64,
            _ => 1,
        }
    }
}

fn text_of(text: &str, format: &str) -> Val {
    let plain = || Val::Text(text.to_owned());
    match format {
        "date-time" | "datetime" => text.parse().map_or_else(|_| plain(), Val::Time),
        "date" => format!("{text}T00:00:00Z")
            .parse()
            .map_or_else(|_| plain(), Val::Time),
        "duration" => parse_duration(text).map_or_else(plain, Val::Duration),
        _ => plain(),
    }
}

/// A duration as Go writes it: `1h30m`, `-1.5s`.
pub(super) fn parse_duration(text: &str) -> Option<SignedDuration> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    let mut seconds = if rest.is_empty() { return None } else { 0.0 };
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit_end = rest[end..].find(|c: char| c.is_ascii_digit() || c == '.');
        let unit_end = unit_end.map_or(rest.len(), |at| end + at);
        seconds += number
            * match &rest[end..unit_end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    SignedDuration::try_from_secs_f64(sign * seconds).ok()
}

/// The name of a field as its schema has it: what is no name in CEL is written in other letters.
pub(super) fn unescape(name: &str) -> String {
    const WORDS: &[(&str, &str)] = &[
        ("__underscores__", "__"),
        ("__dot__", "."),
        ("__dash__", "-"),
        ("__slash__", "/"),
    ];
    const RESERVED: &[&str] = &[
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
    ];
    let inner = name
        .strip_prefix("__")
        .and_then(|name| name.strip_suffix("__"));
    if let Some(word) = inner.filter(|word| RESERVED.contains(word)) {
        return word.to_owned();
    }
    WORDS
        .iter()
        .fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}
