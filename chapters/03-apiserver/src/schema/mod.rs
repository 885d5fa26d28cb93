//! What the fields of each kind are: the one description of the API's types.
//!
//! Decoding, patches, server-side apply and OpenAPI all need to know the same things: which
//! fields a type has, what they hold, and how two versions of a list are merged. The first two
//! come from the types that `k8s-openapi` generates from upstream's own OpenAPI document; the
//! last, which those types lack, from a table here.
//!
//! ```text
//!   k8s_openapi::api::core::v1::Pod         facts.rs
//!        | schemars: JSON Schema               | lists, atomic structs, pointers
//!        +------------------+------------------+
//!                           v
//!                 Type { name, fields }      compact, without descriptions, built once
//!                   |        |        |
//!                decode    patch    apply             openapi (from JSON Schema again)
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `compact.rs` | builds [`Type`]s from JSON Schema |
//! | `facts.rs`, `admin_facts.rs`, `workload_facts.rs` | what JSON Schema does not say |
//! | `decode.rs` | bytes to an object, with upstream's errors for what does not fit |
//! | `visit.rs` | the walk that does it, field by field |
//! | `scalar.rs` | times and base64 in the one form that is stored |
//!
//! A decoded object is what Go's structs would have made of it: no nulls, no unknown fields, no
//! zero values where upstream's `omitempty` leaves them out, and `{}` for structs that are part of
//! their owner (`status: {}`). So everything downstream may take an absent field and an empty one
//! as the same, as upstream's code does.
//!
//! Upstream: `staging/src/k8s.io/apimachinery/pkg/runtime/serializer/json`,
//! `sigs.k8s.io/json`.

mod admin_facts;
mod compact;
mod decode;
mod facts;
mod scalar;
mod visit;
mod workload_facts;

use std::sync::Arc;

pub use decode::{Decoded, FieldValidation, check, decode};
pub(crate) use decode::{fit, unreadable, unrecognized};
pub use quota_usage::{canonical_quantity, quantity_nano};

pub(crate) use compact::definitions;

/// A struct of the API, such as `io.k8s.api.core.v1.PodSpec`.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    /// Name in OpenAPI v2.
    pub name: Box<str>,
    /// Fields, by name.
    pub fields: Vec<Field>,
    /// Whether server-side apply takes it as a whole.
    pub atomic: bool,
    /// What keys of keyed lists are when they are left out; of built-in types, `facts.rs` knows.
    pub key_defaults: Vec<(Box<str>, serde_json::Value)>,
    /// It may have other fields, too.
    pub is_open: bool,
}

/// A field of a struct.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Name in JSON.
    pub name: Box<str>,
    /// What it holds.
    pub shape: Shape,
    /// It is there even when it is empty.
    pub required: bool,
    /// `0`, `""` and `false` differ from its absence (a pointer in Go).
    pub zero_matters: bool,
    /// A struct that is part of its owner: always there, if only as `{}`.
    pub embedded: bool,
    /// A strategic merge patch tells with `$retainKeys` which members stay.
    pub retain_keys: bool,
    /// A strategic merge patch replaces it as a whole.
    pub patch_replaces: bool,
}

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// `true` or `false`
    Boolean,
    /// An integer of 32 bits.
    Integer32,
    /// An integer of 64 bits.
    Integer64,
    /// Any number.
    Number,
    /// Text.
    String,
    /// Bytes, in base64.
    Bytes,
    /// RFC 3339, to the second.
    Time,
    /// RFC 3339, to the microsecond.
    MicroTime,
    /// `500m`, `1Gi`.
    Quantity,
    /// A port's number or its name, a number or a percentage.
    IntOrString,
    /// Anything: what is inside is not ours to know.
    Any,
    /// A struct.
    Struct(TypeRef),
    /// A struct of a kind that a client has defined.
    Own(Arc<Type>),
    /// What its value is: an object has keys of the user's choice, a list is taken as a whole.
    Deduced,
    /// Keys of the user's choice.
    Map {
        /// What each value is.
        value: Box<Shape>,
        /// Whether server-side apply takes it as a whole.
        atomic: bool,
    },
    /// A list.
    List {
        /// What each entry is.
        item: Box<Shape>,
        /// How server-side apply merges it.
        kind: ListType,
        /// What a strategic merge patch tells entries apart by, empty for plain values. `None`:
        /// it replaces the list.
        patch_key: Option<&'static str>,
    },
}

/// How server-side apply merges a list. Upstream: `x-kubernetes-list-type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListType {
    /// As a whole.
    Atomic,
    /// By value.
    Set,
    /// By the values of these keys of each entry.
    Map(&'static [&'static str]),
    /// The same, of a kind that a client has defined.
    OwnMap(Box<[Box<str>]>),
}

impl ListType {
    /// The keys that tell entries apart, if keys do.
    pub fn keys(&self) -> Option<Vec<&str>> {
        match self {
            ListType::Map(keys) => Some(keys.to_vec()),
            ListType::OwnMap(keys) => Some(keys.iter().map(|key| &**key).collect()),
            ListType::Atomic | ListType::Set => None,
        }
    }
}

/// A [`Type`], by its place among all types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeRef(u16);

impl TypeRef {
    /// The type itself.
    pub fn get(self) -> &'static Type {
        compact::all().get(self)
    }

    /// Its place among all types, which are [`types_count`].
    pub(crate) fn index(self) -> usize {
        self.0.into()
    }
}

/// How many types there are.
pub(crate) fn types_count() -> usize {
    compact::all().count()
}

/// The type of that name: `io.k8s.api.core.v1.Pod`.
pub fn type_named(name: &str) -> Option<TypeRef> {
    compact::all().named(name)
}

impl Type {
    /// Field of that name in JSON.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .binary_search_by(|field| (*field.name).cmp(name))
            .ok()
            .map(|i| &self.fields[i])
    }

    /// Name of the Go struct: `PodSpec`.
    pub fn go_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    /// What a key of a keyed list is when it is left out: ports default to TCP.
    pub fn key_default(&self, key: &str) -> Option<serde_json::Value> {
        let own = self.key_defaults.iter().find(|(name, _)| **name == *key);
        let fact = || {
            let mut facts = facts::KEY_DEFAULTS.iter();
            let fact = facts.find(|(owner, name, _)| *name == key && self.is(owner))?;
            Some(fact.2.into())
        };
        own.map(|(_, value)| value.clone()).or_else(fact)
    }

    fn is(&self, fact: &str) -> bool {
        self.name.strip_prefix("io.k8s.") == Some(fact)
    }
}

impl Shape {
    /// The struct in it, if it is one.
    pub fn as_struct(&self) -> Option<&Type> {
        match self {
            Shape::Struct(r) => Some(r.get()),
            Shape::Own(owner) => Some(owner),
            _ => None,
        }
    }

    /// Whether an object of it has fields or keys.
    pub fn has_fields(&self) -> bool {
        matches!(
            self,
            Shape::Struct(_) | Shape::Own(_) | Shape::Map { .. } | Shape::Deduced
        )
    }

    /// Name of the type in Go, as its decoder's errors tell it.
    pub fn go_type(&self) -> String {
        match self {
            Shape::Boolean => "bool".into(),
            Shape::Integer32 => "int32".into(),
            Shape::Integer64 => "int64".into(),
            Shape::Number => "float64".into(),
            Shape::String | Shape::Time | Shape::MicroTime | Shape::Quantity => "string".into(),
            Shape::Bytes => "[]uint8".into(),
            Shape::IntOrString => "intstr.IntOrString".into(),
            Shape::Any | Shape::Own(_) | Shape::Deduced => "map[string]interface {}".into(),
            Shape::Struct(r) => {
                let name = &r.get().name;
                let start = name.rmatch_indices('.').nth(1).map_or(0, |(i, _)| i + 1);
                name[start..].to_owned()
            }
            Shape::Map { value, .. } => format!("map[string]{}", value.go_type()),
            Shape::List { item, .. } => format!("[]{}", item.go_type()),
        }
    }
}

#[cfg(test)]
mod tests;
