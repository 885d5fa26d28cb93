//! The walk over a request's body, led by its type: what is unknown goes, what is known is checked
//! and takes its stored form.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value};

use super::{Shape, Type, canonical_quantity, scalar};

/// Most unknown or duplicate fields that are told, as upstream.
const PROBLEMS_MAX: usize = 100;

/// Where the decoder is, and what it found wrong.
#[derive(Default)]
pub(super) struct Problems {
    path: Vec<Step>,
    /// Unknown and duplicate fields: `unknown field "spec.foo"`.
    pub(super) strict: Vec<String>,
    /// The first value of a wrong type.
    pub(super) wrong_type: Option<String>,
}

enum Step {
    /// A field of a struct, whose Go name goes into errors.
    Field(&'static Type, &'static str),
    Key(String),
    Index(usize),
}

impl Problems {
    /// Notes an unknown or duplicate field below the place the decoder is at.
    fn note(&mut self, what: &str, field: &str) {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Field(_, name) => path.push_str(&format!("{name}.")),
                Step::Key(key) => path.push_str(&format!("{key}.")),
                Step::Index(index) => {
                    path.pop();
                    path.push_str(&format!("[{index}]."));
                }
            }
        }
        let problem = format!("{what} field \"{path}{field}\"");
        if self.strict.len() < PROBLEMS_MAX && !self.strict.contains(&problem) {
            self.strict.push(problem);
        }
    }

    /// Notes a value that its field cannot hold. The first one counts, as in Go.
    fn mismatch(&mut self, found: &str, shape: &Shape) {
        let fields: Vec<&str> = self
            .path
            .iter()
            .filter_map(|step| match step {
                Step::Field(_, name) => Some(*name),
                _ => None,
            })
            .collect();
        let owner = self.path.iter().rev().find_map(|step| match step {
            Step::Field(owner, _) => Some(owner.go_name()),
            _ => None,
        });
        let place = match owner {
            Some(owner) => format!("struct field {owner}.{}", fields.join(".")),
            None => "value".to_owned(),
        };
        self.fail(format!(
            "json: cannot unmarshal {found} into Go {place} of type {}",
            shape.go_type()
        ));
    }

    fn fail(&mut self, error: String) {
        self.wrong_type.get_or_insert(error);
    }
}

/// A value about to be read, and what it is to be. Reads as `None` where it is null.
pub(super) struct Node<'a> {
    pub(super) shape: &'a Shape,
    pub(super) problems: &'a mut Problems,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        if *self.shape == Shape::Any {
            // There is nothing to check: managed fields, say, are half of many an object.
            return Option::deserialize(deserializer);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.shape.go_type())
    }

    fn visit_unit<E>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Option<Value>, E> {
        match self.shape {
            Shape::Boolean | Shape::Any => return Ok(Some(value.into())),
            Shape::IntOrString | Shape::Quantity => self.not_custom("bool"),
            shape => self.problems.mismatch("bool", shape),
        }
        Ok(None)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Option<Value>, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.visit_other_number(&value.to_string(), value.into()),
        }
    }

    fn visit_i64<E>(self, value: i64) -> Result<Option<Value>, E> {
        let fits = match self.shape {
            Shape::Integer32 | Shape::IntOrString => i32::try_from(value).is_ok(),
            Shape::Integer64 => true,
            _ => false,
        };
        if fits {
            Ok(Some(value.into()))
        } else {
            self.visit_other_number(&value.to_string(), value.into())
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<Option<Value>, E> {
        self.visit_other_number(&value.to_string(), value.into())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Option<Value>, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E>(self, value: String) -> Result<Option<Value>, E> {
        let read = match self.shape {
            Shape::String | Shape::IntOrString | Shape::Any => Ok(value),
            Shape::Bytes => scalar::check_base64(&value).map(|()| value),
            Shape::Time => scalar::canonical_time(&value, false),
            Shape::MicroTime => scalar::canonical_time(&value, true),
            Shape::Quantity => quantity(&value),
            shape => {
                self.problems.mismatch("string", shape);
                return Ok(None);
            }
        };
        Ok(match read {
            Ok(text) => Some(text.into()),
            Err(error) => {
                self.problems.fail(error);
                None
            }
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Option<Value>, A::Error> {
        let any = Shape::Any;
        let item = match self.shape {
            Shape::List { item, .. } => item,
            Shape::Any => &any,
            shape => {
                match shape {
                    Shape::IntOrString | Shape::Quantity => self.not_custom("array"),
                    _ => self.problems.mismatch("array", shape),
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
        };
        let mut items = Vec::new();
        loop {
            self.problems.path.push(Step::Index(items.len()));
            let read = seq.next_element_seed(Node {
                shape: item,
                problems: self.problems,
            });
            self.problems.path.pop();
            match read? {
                Some(value) => items.push(value.unwrap_or_else(|| zero(item))),
                None => return Ok(Some(items.into())),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<Value>, A::Error> {
        let Node { shape, problems } = self;
        match shape {
            Shape::Struct(r) => read_struct(r.get(), problems, map),
            Shape::Map { value, .. } => read_map(value, problems, map),
            Shape::Any => read_map(&Shape::Any, problems, map),
            _ => {
                let node = Node { shape, problems };
                match shape {
                    Shape::IntOrString | Shape::Quantity => node.not_custom("object"),
                    _ => node.problems.mismatch("object", shape),
                }
                let mut map = map;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(None)
            }
        }
    }
}

impl Node<'_> {
    /// A number that is not simply the integer its field holds.
    fn visit_other_number<E>(self, text: &str, value: Value) -> Result<Option<Value>, E> {
        match self.shape {
            Shape::Number | Shape::Any => return Ok(Some(value)),
            Shape::Quantity => match quantity(text) {
                Ok(quantity) => return Ok(Some(quantity.into())),
                Err(error) => self.problems.fail(error),
            },
            Shape::IntOrString => self.not_custom(&format!("number {text}")),
            Shape::Integer32 | Shape::Integer64 => {
                self.problems
                    .mismatch(&format!("number {text}"), self.shape);
            }
            shape => self.problems.mismatch("number", shape),
        }
        Ok(None)
    }

    /// A value that a type's own decoder refuses, without knowing where it is.
    fn not_custom(self, found: &str) {
        self.problems.fail(match self.shape {
            Shape::Quantity => NOT_A_QUANTITY.to_owned(),
            _ => format!("json: cannot unmarshal {found} into Go value of type int32"),
        });
    }
}

const NOT_A_QUANTITY: &str = "quantities must match the regular expression \
                              '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

fn quantity(text: &str) -> Result<String, String> {
    canonical_quantity(text.trim()).ok_or_else(|| NOT_A_QUANTITY.to_owned())
}

/// What Go makes of a null in a list or a map.
fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::Boolean => false.into(),
        Shape::Integer32 | Shape::Integer64 | Shape::Number | Shape::IntOrString => 0.into(),
        Shape::String | Shape::Bytes => "".into(),
        Shape::Quantity => "0".into(),
        Shape::Struct(_) => Value::Object(Map::new()),
        _ => Value::Null,
    }
}

fn read_struct<'de, A: MapAccess<'de>>(
    owner: &'static Type,
    problems: &mut Problems,
    mut map: A,
) -> Result<Option<Value>, A::Error> {
    let mut object = Map::new();
    let mut seen = vec![false; owner.fields.len()];
    while let Some(key) = map.next_key::<String>()? {
        let Ok(i) = owner
            .fields
            .binary_search_by(|field| (*field.name).cmp(&key))
        else {
            problems.note("unknown", &key);
            map.next_value::<IgnoredAny>()?;
            continue;
        };
        let field = &owner.fields[i];
        if seen[i] {
            problems.note("duplicate", &key);
        }
        seen[i] = true;
        problems.path.push(Step::Field(owner, &field.name));
        let read = map.next_value_seed(Node {
            shape: &field.shape,
            problems,
        });
        problems.path.pop();
        match read? {
            Some(value) if field.required || field.zero_matters || !is_zero(&value) => {
                object.insert(key, value);
            }
            // A struct that is there differs from one that is not; `emptyDir: {}`.
            Some(value)
                if matches!(
                    field.shape,
                    Shape::Struct(_) | Shape::Any | Shape::Quantity | Shape::IntOrString
                ) =>
            {
                object.insert(key, value);
            }
            _ => {
                object.remove(&key);
            }
        }
    }
    embed(owner, &mut object);
    Ok(Some(Value::Object(object)))
}

/// Adds the structs that are part of their owner, where they are missing.
fn embed(owner: &Type, object: &mut Map<String, Value>) {
    for field in owner.fields.iter().filter(|field| field.embedded) {
        let Shape::Struct(r) = field.shape else {
            continue;
        };
        if !object.contains_key(&*field.name) {
            let mut empty = Map::new();
            embed(r.get(), &mut empty);
            object.insert(field.name.to_string(), Value::Object(empty));
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.is_empty(),
    }
}

fn read_map<'de, A: MapAccess<'de>>(
    shape: &Shape,
    problems: &mut Problems,
    mut map: A,
) -> Result<Option<Value>, A::Error> {
    let mut object = Map::new();
    while let Some(key) = map.next_key::<String>()? {
        if object.contains_key(&key) && *shape != Shape::Any {
            problems.note("duplicate", &key);
        }
        problems.path.push(Step::Key(key));
        let read = map.next_value_seed(Node { shape, problems })?;
        if let Some(Step::Key(key)) = problems.path.pop() {
            object.insert(key, read.unwrap_or_else(|| zero(shape)));
        }
    }
    Ok(Some(Value::Object(object)))
}
