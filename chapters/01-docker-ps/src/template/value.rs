//! What a template computes with.

use std::collections::BTreeMap;
use std::fmt;

/// A value, printed as Go prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `<nil>`
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// What `split` makes.
    List(Vec<String>),
    /// All fields with their names.
    Map(BTreeMap<&'static str, Value>),
}

impl Value {
    /// Whether `if` takes it for true: what is not empty and not zero.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Number(number) => *number != 0,
            Value::Text(text) => !text.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
        }
    }

    /// As JSON, with Go's escapes: its encoder is made for pages of HTML.
    pub fn json(&self) -> String {
        let text = match self {
            Value::Nil => "null".into(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Text(text) => quoted(text),
            Value::List(list) => {
                let items: Vec<String> = list.iter().map(|item| quoted(item)).collect();
                format!("[{}]", items.join(","))
            }
            Value::Map(map) => {
                let pair =
                    |(name, value): (_, &Value)| format!("{}:{}", quoted(name), value.json());
                let pairs: Vec<String> = map
                    .iter()
                    .map(|(name, value)| pair((*name, value)))
                    .collect();
                format!("{{{}}}", pairs.join(","))
            }
        };
        // These characters stand inside of texts only.
        text.replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("<nil>"),
            Value::Bool(value) => value.fmt(f),
            Value::Number(number) => number.fmt(f),
            Value::Text(text) => f.write_str(text),
            Value::List(list) => write!(f, "[{}]", list.join(" ")),
            Value::Map(map) => {
                let pairs: Vec<String> = map
                    .iter()
                    .map(|(name, value)| format!("{name}:{value}"))
                    .collect();
                write!(f, "map[{}]", pairs.join(" "))
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}
