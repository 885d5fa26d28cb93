//! Values from JSON, as a schema says, and JSON from values.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::convert::show;
use super::durations::parse_duration;
use super::value::{Key, Val};
use crate::custom::{Additional, Schema};

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
                let entries = list.iter().map(|entry| Val::from_json(entry, items));
                Val::list(entries.collect())
            }
            Value::Object(fields) => {
                let field = |(name, value): (&String, &Value)| {
                    let inner = schema.and_then(|schema| match &schema.additional {
                        Some(Additional::Schema(inner)) => Some(&**inner),
                        _ => schema.properties.get(name),
                    });
                    (Key::from(name.as_str()), Val::from_json(value, inner))
                };
                Val::map(fields.iter().map(field))
            }
        }
    }

    /// As JSON, as upstream makes objects and patches of what an expression made: times, durations
    /// and whatever else has a form as text are that text, bytes are in base64, and an optional is
    /// what it holds, or null.
    ///
    /// Upstream: `ObjectVal.Value` of `apiserver/pkg/cel/mutation/dynamic/objects.go`, and
    /// `ConvertToNative` of cel-go's types.
    pub fn to_json(&self) -> Value {
        match self {
            Val::Bool(value) => Value::Bool(*value),
            Val::Int(number) => (*number).into(),
            Val::Uint(number) => (*number).into(),
            Val::Double(number) => (*number).into(),
            Val::Text(text) => Value::String(text.to_string()),
            Val::Bytes(bytes) => BASE64_STANDARD.encode(bytes).into(),
            Val::List(list) => list.iter().map(Val::to_json).collect(),
            Val::Map(map) => {
                let field = |(key, value): (&Key, &Val)| {
                    let name = show(&key.value()).unwrap_or_default();
                    (name, value.to_json())
                };
                Value::Object(map.iter().map(field).collect::<Map<_, _>>())
            }
            Val::Made(made) => {
                let fields = made.fields.iter();
                let fields = fields.map(|(name, value)| (name.clone(), value.to_json()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
            Val::Optional(Some(held)) => held.to_json(),
            Val::Null | Val::Optional(None) => Value::Null,
            other => show(other).map_or(Value::Null, Value::String),
        }
    }
}

fn text_of(text: &str, format: &str) -> Val {
    let found = match format {
        "date-time" | "datetime" => text.parse().ok().map(Val::Time),
        "date" => format!("{text}T00:00:00Z").parse().ok().map(Val::Time),
        "duration" => parse_duration(text).map(Val::Duration),
        "byte" => BASE64_STANDARD
            .decode(text)
            .ok()
            .map(|bytes| Val::Bytes(bytes.into())),
        _ => None,
    };
    found.unwrap_or_else(|| Val::text(text))
}
