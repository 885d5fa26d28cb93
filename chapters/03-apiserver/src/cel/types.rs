//! The types of expressions.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::parser::{Node, dotted};

/// What an expression may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Anything: nothing is known before it runs.
    Dyn,
    /// Something that is wrong, which has been told already.
    Wrong,
    /// `null`
    Null,
    /// `bool`, `int`, `uint`, `double`, `string`, `bytes`, `duration`, `timestamp`
    Simple(&'static str),
    /// `list(int)`
    List(Box<Type>),
    /// `map(string, int)`
    Map(Box<Type>, Box<Type>),
    /// `optional_type(int)`
    Optional(Box<Type>),
    /// The type of types: `type(int)`
    Type(Box<Type>),
    /// One that has nothing but functions: `kubernetes.Quantity`
    Opaque(&'static str),
    /// One with fields.
    Object(Arc<Object>),
    /// Any, but the same wherever the letter stands in a signature.
    Param(char),
}

/// A type with fields.
#[derive(Debug, PartialEq)]
pub struct Object {
    /// `kubernetes.Namespace`
    pub name: String,
    /// Each field, and what it is. None: it has every field, and each may be anything.
    pub fields: Option<BTreeMap<String, Type>>,
}

/// `bool`
pub const BOOL: Type = Type::Simple("bool");
/// `int`
pub const INT: Type = Type::Simple("int");
/// `string`
pub const STRING: Type = Type::Simple("string");

/// Names in signatures, and the types that have only functions.
const OPAQUE: &[(&str, &str)] = &[
    ("Authorizer", "kubernetes.authorization.Authorizer"),
    ("CIDR", "net.CIDR"),
    ("Decision", "kubernetes.authorization.Decision"),
    ("Format", "kubernetes.NamedFormat"),
    ("GroupCheck", "kubernetes.authorization.GroupCheck"),
    ("IP", "net.IP"),
    ("PathCheck", "kubernetes.authorization.PathCheck"),
    ("Quantity", "kubernetes.Quantity"),
    ("ResourceCheck", "kubernetes.authorization.ResourceCheck"),
    ("Semver", "kubernetes.Semver"),
    ("URL", "kubernetes.URL"),
];
const SIMPLE: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "duration",
    "int",
    "string",
    "timestamp",
    "uint",
];

impl Type {
    /// A type with these fields.
    pub fn object<const N: usize>(name: &str, fields: [(&str, Type); N]) -> Type {
        let fields = fields.map(|(name, of)| (name.to_owned(), of)).into();
        Type::Object(Arc::new(Object {
            name: name.to_owned(),
            fields: Some(fields),
        }))
    }

    /// An object that a policy makes: it has any field.
    pub fn object_named(name: &str) -> Type {
        Type::Object(Arc::new(Object {
            name: name.to_owned(),
            fields: None,
        }))
    }

    /// `list(A)`
    pub fn list(of: Type) -> Type {
        Type::List(Box::new(of))
    }

    /// `map(A, B)`
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Box::new(key), Box::new(value))
    }

    /// `optional_type(A)`; what is optional already, is it once.
    pub(super) fn optional(of: Type) -> Type {
        match of {
            Type::Optional(_) => of,
            of => Type::Optional(Box::new(of)),
        }
    }

    /// As it stands in a signature: `map(string, list(A))`.
    pub fn parse(text: &str) -> Type {
        let text = text.trim();
        let (name, inner) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            Some((name, inner)) => (name, split(inner)),
            None => (text, Vec::new()),
        };
        match (name, inner.as_slice()) {
            ("list", [of]) => Type::list(Type::parse(of)),
            ("map", [key, value]) => Type::map(Type::parse(key), Type::parse(value)),
            ("opt", [of]) => Type::Optional(Box::new(Type::parse(of))),
            ("type", [of]) => Type::Type(Box::new(Type::parse(of))),
            ("null", []) => Type::Null,
            ("A", []) => Type::Param('A'),
            ("B", []) => Type::Param('B'),
            (name, _) => {
                let simple = SIMPLE.iter().find(|known| **known == name);
                let opaque = OPAQUE.iter().find(|(known, _)| *known == name);
                match (simple, opaque) {
                    (Some(name), _) => Type::Simple(name),
                    (_, Some((_, name))) => Type::Opaque(name),
                    _ => Type::Dyn,
                }
            }
        }
    }

    /// Whether nothing can be said against it.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Type::Dyn | Type::Wrong)
    }

    fn is_nullable(&self) -> bool {
        let simple = matches!(self, Type::Simple("duration" | "timestamp"));
        simple
            || matches!(
                self,
                Type::Null | Type::Opaque(_) | Type::Object(_) | Type::Optional(_)
            )
    }

    /// Whether a value of this type can stand where `wanted` is, and what the letters are then.
    pub(super) fn fits(&self, wanted: &Type, letters: &mut BTreeMap<char, Type>) -> bool {
        match (self, wanted) {
            (_, Type::Param(letter)) => match letters.get(letter).cloned() {
                None => {
                    letters.insert(*letter, self.clone());
                    true
                }
                // What is less certain goes on.
                Some(known) if known.fits(self, &mut BTreeMap::new()) => {
                    if self.is_open() {
                        letters.insert(*letter, self.clone());
                    }
                    true
                }
                Some(_) => false,
            },
            (own, wanted) if own.is_open() || wanted.is_open() => true,
            (Type::Null, other) | (other, Type::Null) => other.is_nullable(),
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => {
                a.fits(b, letters)
            }
            (Type::Map(k1, v1), Type::Map(k2, v2)) => k1.fits(k2, letters) && v1.fits(v2, letters),
            (Type::Type(_), Type::Type(of)) => {
                if let Type::Param(letter) = &**of {
                    letters.entry(*letter).or_insert(Type::Dyn);
                }
                true
            }
            (a, b) => a == b,
        }
    }

    /// The type with letters put in; one that is not known is anything.
    pub(super) fn with(&self, letters: &BTreeMap<char, Type>) -> Type {
        let with = |of: &Type| Box::new(of.with(letters));
        match self {
            Type::Param(letter) => letters.get(letter).cloned().unwrap_or(Type::Dyn),
            Type::List(of) => Type::List(with(of)),
            Type::Map(key, value) => Type::Map(with(key), with(value)),
            Type::Optional(of) => Type::Optional(with(of)),
            Type::Type(of) => Type::Type(with(of)),
            other => other.clone(),
        }
    }

    /// Its full name, as results are told.
    pub fn full_name(&self) -> String {
        match self {
            Type::Null => "null_type".to_owned(),
            Type::Simple("duration") => "google.protobuf.Duration".to_owned(),
            Type::Simple("timestamp") => "google.protobuf.Timestamp".to_owned(),
            other => other.to_string(),
        }
    }
}

/// As the compiler's messages have it.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Dyn => f.write_str("dyn"),
            Type::Wrong => f.write_str("!error!"),
            Type::Null => f.write_str("null"),
            Type::Simple(name) | Type::Opaque(name) => f.write_str(name),
            Type::List(of) => write!(f, "list({of})"),
            Type::Map(key, value) => write!(f, "map({key}, {value})"),
            Type::Optional(of) => write!(f, "optional_type({of})"),
            Type::Type(of) => write!(f, "type({of})"),
            Type::Object(object) => f.write_str(&object.name),
            Type::Param(letter) => write!(f, "{letter}"),
        }
    }
}

/// A type, by its name in an expression.
pub(super) fn named(name: &str) -> Option<Type> {
    Some(match name {
        "bool" | "bytes" | "double" | "int" | "string" | "uint" => Type::parse(name),
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "null_type" => Type::Null,
        "type" => Type::Type(Box::new(Type::Dyn)),
        "optional_type" => Type::optional(Type::Dyn),
        "google.protobuf.Duration" => Type::Simple("duration"),
        "google.protobuf.Timestamp" => Type::Simple("timestamp"),
        "net.IP" => Type::parse("IP"),
        "net.CIDR" => Type::parse("CIDR"),
        _ => return None,
    })
}

/// The name of a type that has dots in it, if `node`, whose last name is `last`, is one.
pub(super) fn qualified(node: &Node, last: &str) -> Option<String> {
    let is_last = matches!(last, "Duration" | "Timestamp" | "IP" | "CIDR");
    let name = dotted(node).filter(|_| is_last)?;
    named(&name).map(|_| name)
}

/// The parts between commas that stand in no bracket.
pub(super) fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (i, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}
