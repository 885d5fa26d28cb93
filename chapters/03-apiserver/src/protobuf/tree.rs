//! What is written as protobuf: an object in memory, or one as it is stored.
//!
//! A stored object is read for this once and then forgotten. So it is read as what it points to:
//! texts stay where they are, fields in the order they come in, and what is JSON in protobuf, too
//! (managed fields, above all), is not read at all.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::schema::Shape;

/// A value of JSON, in some form.
pub(super) trait Tree: Sized {
    /// The field of that name, if it is there and not null.
    fn field(&self, name: &str) -> Option<&Self>;
    /// The fields of an object.
    fn fields(&self) -> impl Iterator<Item = (&str, &Self)>;
    /// The entries of a list.
    fn items(&self) -> &[Self];
    /// Whether it is an object.
    fn is_object(&self) -> bool;
    /// A boolean.
    fn boolean(&self) -> Option<bool>;
    /// A whole number; 0 where it is none.
    fn integer(&self) -> i64;
    /// A number; 0 where it is none.
    fn float(&self) -> f64;
    /// A text.
    fn text(&self) -> Option<&str>;
    /// Itself, as JSON.
    fn json(&self) -> Cow<'_, str>;
}

impl Tree for Value {
    fn field(&self, name: &str) -> Option<&Value> {
        self.get(name).filter(|value| !value.is_null())
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        let fields = self.as_object().into_iter().flatten();
        fields.map(|(name, value)| (name.as_str(), value))
    }

    fn items(&self) -> &[Value] {
        self.as_array().map(Vec::as_slice).unwrap_or_default()
    }

    fn is_object(&self) -> bool {
        Value::is_object(self)
    }

    fn boolean(&self) -> Option<bool> {
        self.as_bool()
    }

    fn integer(&self) -> i64 {
        self.as_i64().unwrap_or_default()
    }

    fn float(&self) -> f64 {
        self.as_f64().unwrap_or_default()
    }

    fn text(&self) -> Option<&str> {
        self.as_str()
    }

    fn json(&self) -> Cow<'_, str> {
        self.to_string().into()
    }
}

/// A value of a stored object.
#[derive(Debug)]
pub(super) enum Stored<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Stored<'a>>),
    Object(Vec<(Cow<'a, str>, Stored<'a>)>),
    /// As it is.
    Json(&'a str),
}

impl<'a> Stored<'a> {
    /// Reads a stored object, which has no `resourceVersion`, and gives it one.
    ///
    /// # Errors
    /// If it is no JSON.
    pub(super) fn read(
        shape: &Shape,
        json: &'a [u8],
        revision: i64,
    ) -> Result<Stored<'a>, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let mut object = Node(shape).deserialize(&mut deserializer)?;
        if let Stored::Object(fields) = &mut object {
            let metadata = fields.iter_mut().find(|(name, _)| name == "metadata");
            if let Some((_, Stored::Object(metadata))) = metadata {
                let version = Stored::Text(revision.to_string().into());
                metadata.push(("resourceVersion".into(), version));
            }
        }
        Ok(object)
    }
}

impl Tree for Stored<'_> {
    fn field(&self, name: &str) -> Option<&Self> {
        let (_, value) = match self {
            Stored::Object(fields) => fields.iter().find(|(field, _)| field == name)?,
            _ => return None,
        };
        (!matches!(value, Stored::Null)).then_some(value)
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &Self)> {
        let fields = match self {
            Stored::Object(fields) => fields.as_slice(),
            _ => &[],
        };
        fields.iter().map(|(name, value)| (&**name, value))
    }

    fn items(&self) -> &[Self] {
        match self {
            Stored::List(list) => list,
            _ => &[],
        }
    }

    fn is_object(&self) -> bool {
        matches!(self, Stored::Object(_))
    }

    fn boolean(&self) -> Option<bool> {
        match self {
            Stored::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    fn integer(&self) -> i64 {
        match self {
            Stored::Integer(number) => *number,
            _ => 0,
        }
    }

    fn float(&self) -> f64 {
        match self {
            Stored::Float(number) => *number,
            Stored::Integer(number) => *number as f64,
            _ => 0.0,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Stored::Text(text) => Some(text),
            _ => None,
        }
    }

    fn json(&self) -> Cow<'_, str> {
        match self {
            Stored::Json(json) => (*json).into(),
            Stored::Integer(number) => number.to_string().into(),
            Stored::Float(number) => Value::from(*number).to_string().into(),
            // Nothing else is asked for: its shape would be `Any`, and it the text above.
            _ => "null".into(),
        }
    }
}

/// A value about to be read, and what it is.
struct Node<'s>(&'s Shape);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Stored<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Stored<'de>, D::Error> {
        if *self.0 == Shape::Any {
            let raw: &RawValue = serde::Deserialize::deserialize(deserializer)?;
            return Ok(match raw.get() {
                "null" => Stored::Null,
                json => Stored::Json(json),
            });
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Stored<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Stored<'de>, E> {
        Ok(Stored::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Stored<'de>, E> {
        Ok(Stored::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Stored<'de>, E> {
        Ok(Stored::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Stored<'de>, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => Stored::Integer(value),
            Err(_) => Stored::Float(value as f64),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Stored<'de>, E> {
        Ok(Stored::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Stored<'de>, E> {
        Ok(Stored::Text(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Stored<'de>, E> {
        Ok(Stored::Text(value.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Stored<'de>, A::Error> {
        let item = match self.0 {
            Shape::List { item, .. } => item,
            _ => &Shape::Any,
        };
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(Node(item))? {
            list.push(value);
        }
        Ok(Stored::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Stored<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            let shape = match self.0 {
                Shape::Struct(owner) => owner.get().field(&name).map(|field| &field.shape),
                Shape::Map { value, .. } => Some(&**value),
                _ => None,
            };
            match shape {
                Some(shape) => fields.push((name, map.next_value_seed(Node(shape))?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Stored::Object(fields))
    }
}

/// A field's name, where it stands.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
