//! Protobuf bodies: the other form of objects, both ways.
//!
//! Clients that speak for long, such as upstream's controllers, take objects in this form, as it
//! is smaller and read faster; `kubectl` sends some of its objects in it (`create configmap`,
//! `create token`, `drain`). Which type a field has is known from the schema; what is missing there
//! are the numbers of the fields, which `fields.txt` has, a type a line:
//!
//! ```text
//! apps.v1.DeploymentCondition type status 4:reason message     type=1 status=2 reason=4 message=5
//! core.v1.Volume name @core.v1.VolumeSource                    2 is a struct whose fields are
//!                                                              the volume's own in JSON
//! meta.v1.APIResource … ~verbs                                 a list in a struct of one field
//! ```
//!
//! Writing is one walk over JSON, in memory or as text (`walk`), by a table of where each field goes
//! (`layout`); `encode` has the whole bodies. Reading is here.
//!
//! The numbers are those of `generated.proto` in each API package; the envelope (`k8s`, a zero
//! byte, then `runtime.Unknown`) is that of `apimachinery/pkg/runtime/serializer/protobuf`.

mod encode;
mod layout;
#[cfg(test)]
mod round_trip;
mod walk;
pub(crate) mod wire;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use crate::resources;
use crate::schema::{Shape, Type, type_named};
pub use encode::{encode, envelope, event, list, message, message_of_json, metadata};
use wire::{Fields, Raw, Wrong};

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// How deep structs may be in structs: JSON schemas contain themselves.
const DEPTH_MAX: usize = 64;

/// The fields of a type, by number.
type Numbers = BTreeMap<u32, Name>;

/// What a field is called.
#[derive(Debug, Clone, Copy)]
enum Name {
    /// As in JSON.
    Json(&'static str),
    /// Not at all: the fields of this type are its owner's.
    Inline(&'static str),
    /// As in JSON, where it is a list; here the list is the one field of a struct.
    Wrapped(&'static str),
}

/// The types of `fields.txt`.
static TYPES: LazyLock<HashMap<&'static str, Numbers>> = LazyLock::new(|| {
    let lines = include_str!("fields.txt")
        .lines()
        .filter_map(|line| line.split_once(' '));
    lines
        .map(|(name, fields)| (name, numbers(fields)))
        .collect()
});

fn numbers(fields: &'static str) -> Numbers {
    let mut next = 1;
    let numbered = fields.split(' ').map(|field| {
        let (number, name) = match field.split_once(':') {
            Some((number, name)) => (number.parse().expect("fields.txt has numbers there"), name),
            None => (next, field),
        };
        next = number + 1;
        let name = match (name.strip_prefix('@'), name.strip_prefix('~')) {
            (Some(inline), _) => Name::Inline(inline),
            (_, Some(wrapped)) => Name::Wrapped(wrapped),
            _ => Name::Json(name),
        };
        (number, name)
    });
    numbered.collect()
}

/// Why a body is not what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no protobuf.
    #[error("provided data does not appear to be a protobuf message")]
    Malformed,
    /// It is of a kind that is not known here.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind {
        /// Which version.
        api_version: String,
        /// Which kind.
        kind: String,
    },
}

impl From<Wrong> for Error {
    fn from(Wrong: Wrong) -> Error {
        Error::Malformed
    }
}

/// Reads a body, whatever kind it is of.
///
/// # Errors
/// If it is no protobuf, or of a kind that is not served.
pub fn decode(body: &[u8]) -> Result<Value, Error> {
    let unknown = body.strip_prefix(MAGIC).ok_or(Error::Malformed)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &b""[..]);
    for field in Fields::new(unknown) {
        match field? {
            (1, Raw::Bytes(types)) => {
                for field in Fields::new(types) {
                    match field? {
                        (1, Raw::Bytes(text)) => api_version = utf8(text)?,
                        (2, Raw::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Raw::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let schema = schema_of(&api_version, &kind);
    let Some(r#type) = schema.as_deref().and_then(type_named) else {
        return Err(Error::UnknownKind { api_version, kind });
    };
    let mut object = Map::new();
    read_message(
        row_name(&r#type.get().name),
        r#type.get(),
        raw,
        &mut object,
        0,
    )?;
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    Ok(Value::Object(object))
}

/// The type of a kind, of those that are sent or answered with.
fn schema_of(api_version: &str, kind: &str) -> Option<String> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if let Some(resource) = resources::by_kind(group, version, kind) {
        return Some(resource.schema.to_owned());
    }
    Some(match (group, kind) {
        // Sent in the version of what is deleted.
        (_, "DeleteOptions") => "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions".into(),
        ("", "Status" | "APIVersions" | "APIGroup" | "APIGroupList" | "APIResourceList") => {
            format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}")
        }
        ("authentication.k8s.io", "TokenRequest") => {
            "io.k8s.api.authentication.v1.TokenRequest".into()
        }
        ("autoscaling" | "policy", "Scale" | "Eviction") => {
            format!("io.k8s.api.{group}.{version}.{kind}")
        }
        _ => return None,
    })
}

/// A type's name in `fields.txt`: `core.v1.Pod`.
fn row_name(schema: &str) -> &str {
    const PREFIXES: [&str; 4] = [
        "io.k8s.api.",
        "io.k8s.apimachinery.pkg.apis.",
        "io.k8s.kube-aggregator.pkg.apis.",
        "io.k8s.apiextensions-apiserver.pkg.apis.",
    ];
    PREFIXES
        .iter()
        .find_map(|prefix| schema.strip_prefix(prefix))
        .unwrap_or(schema)
}

fn utf8(bytes: &[u8]) -> Result<String, Wrong> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Wrong)
}

/// Reads a message as the struct `r#type`; `row` is the same, but for inlined structs.
fn read_message(
    row: &str,
    r#type: &Type,
    bytes: &[u8],
    object: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), Wrong> {
    if depth > DEPTH_MAX {
        return Err(Wrong);
    }
    let Some(numbers) = TYPES.get(row) else {
        return Ok(());
    };
    for field in Fields::new(bytes) {
        let (number, raw) = field?;
        match (numbers.get(&number), raw) {
            (Some(Name::Inline(inlined)), Raw::Bytes(bytes)) => {
                read_message(inlined, r#type, bytes, object, depth + 1)?;
            }
            (Some(Name::Json(name)), Raw::Bytes(bytes))
                if row == JSON_SCHEMA && UNIONS.contains(name) =>
            {
                object.insert((*name).to_owned(), union(row, r#type, bytes, depth)?);
            }
            (Some(Name::Json(name)), raw) => {
                if let Some(field) = r#type.field(name) {
                    put(object, name, &field.shape, raw, depth)?;
                }
            }
            (Some(Name::Wrapped(name)), raw) => {
                if let Some(field) = r#type.field(name) {
                    let list = map_value(&field.shape, raw, depth)?;
                    object.insert((*name).to_owned(), list);
                }
            }
            // Of a newer version, as upstream treats it.
            _ => {}
        }
    }
    Ok(())
}

/// A type that contains itself.
const JSON_SCHEMA: &str = "apiextensions.v1.JSONSchemaProps";
/// Fields of a JSON schema that are a schema, or else a boolean.
const UNIONS: [&str; 3] = ["additionalItems", "additionalProperties", "items"];

/// One of both: a schema is a message of its own, and the boolean a number.
fn union(row: &str, r#type: &Type, bytes: &[u8], depth: usize) -> Result<Value, Wrong> {
    let mut found = Value::Null;
    for field in Fields::new(bytes) {
        match field? {
            (1 | 2, Raw::Bytes(bytes)) => {
                let mut schema = Map::new();
                read_message(row, r#type, bytes, &mut schema, depth + 1)?;
                return Ok(schema.into());
            }
            (1, Raw::Number(any)) => found = (any != 0).into(),
            _ => {}
        }
    }
    Ok(found)
}

/// Puts what was read into its field: lists and maps come an entry at a time.
fn put(
    object: &mut Map<String, Value>,
    name: &str,
    shape: &Shape,
    raw: Raw,
    depth: usize,
) -> Result<(), Wrong> {
    match shape {
        Shape::List { item, .. } => {
            let value = value(item, raw, depth)?;
            let list = object.entry(name).or_insert_with(|| json!([]));
            list.as_array_mut().ok_or(Wrong)?.push(value);
        }
        Shape::Map { value: shape, .. } => {
            let Raw::Bytes(entry) = raw else {
                return Err(Wrong);
            };
            let (mut key, mut held) = (String::new(), None);
            for field in Fields::new(entry) {
                match field? {
                    (1, Raw::Bytes(text)) => key = utf8(text)?,
                    (2, raw) => held = Some(map_value(shape, raw, depth)?),
                    _ => {}
                }
            }
            let held = match (held, &**shape) {
                (Some(held), _) => held,
                (None, Shape::List { .. }) => json!([]),
                (None, _) => "".into(),
            };
            let map = object.entry(name).or_insert_with(|| json!({}));
            map.as_object_mut().ok_or(Wrong)?.insert(key, held);
        }
        shape => {
            let value = value(shape, raw, depth)?;
            if !value.is_null() {
                object.insert(name.to_owned(), value);
            }
        }
    }
    Ok(())
}

/// A map's value. Lists in maps (`extra` of a user) are wrapped in a struct of one field.
fn map_value(shape: &Shape, raw: Raw, depth: usize) -> Result<Value, Wrong> {
    let Shape::List { item, .. } = shape else {
        return value(shape, raw, depth);
    };
    let Raw::Bytes(wrapped) = raw else {
        return Err(Wrong);
    };
    let mut list = Vec::new();
    for field in Fields::new(wrapped) {
        if let (1, raw) = field? {
            list.push(value(item, raw, depth + 1)?);
        }
    }
    Ok(list.into())
}

/// One value, null where it is a time that is none.
fn value(shape: &Shape, raw: Raw, depth: usize) -> Result<Value, Wrong> {
    Ok(match (shape, raw) {
        (Shape::Boolean, Raw::Number(number)) => (number != 0).into(),
        // A negative number is sent with its sign stretched to 64 bits.
        (Shape::Integer32, Raw::Number(number)) => (number as i32).into(),
        (Shape::Integer64, Raw::Number(number)) => (number as i64).into(),
        (Shape::Number, Raw::Fixed64(bits)) => json!(f64::from_bits(bits)),
        (Shape::String, Raw::Bytes(text)) => utf8(text)?.into(),
        (Shape::Bytes, Raw::Bytes(bytes)) => BASE64_STANDARD.encode(bytes).into(),
        (Shape::Time, Raw::Bytes(bytes)) => time(bytes, "%Y-%m-%dT%H:%M:%SZ")?,
        (Shape::MicroTime, Raw::Bytes(bytes)) => time(bytes, "%Y-%m-%dT%H:%M:%S%.6fZ")?,
        (Shape::Quantity, Raw::Bytes(bytes)) => first_text(bytes)?.into(),
        (Shape::IntOrString, Raw::Bytes(bytes)) => int_or_string(bytes)?,
        (Shape::Any, Raw::Bytes(bytes)) => {
            let text = first_text(bytes)?;
            serde_json::from_str(&text).map_err(|_| Wrong)?
        }
        (Shape::Struct(r#type), Raw::Bytes(bytes)) => {
            let mut object = Map::new();
            let r#type = r#type.get();
            read_message(
                row_name(&r#type.name),
                r#type,
                bytes,
                &mut object,
                depth + 1,
            )?;
            object.into()
        }
        _ => return Err(Wrong),
    })
}

/// `Time` and `MicroTime`: seconds and nanoseconds; nothing at all is no time.
fn time(bytes: &[u8], format: &str) -> Result<Value, Wrong> {
    let (mut seconds, mut nanoseconds) = (None, 0);
    for field in Fields::new(bytes) {
        match field? {
            (1, Raw::Number(number)) => seconds = Some(number as i64),
            (2, Raw::Number(number)) => nanoseconds = number as i32,
            _ => {}
        }
    }
    let Some(seconds) = seconds else {
        return Ok(Value::Null);
    };
    let at = jiff::Timestamp::new(seconds, nanoseconds).map_err(|_| Wrong)?;
    Ok(at.strftime(format).to_string().into())
}

/// `Quantity`, `FieldsV1` and `RawExtension` are texts in a struct of one field.
fn first_text(bytes: &[u8]) -> Result<String, Wrong> {
    let mut text = String::new();
    for field in Fields::new(bytes) {
        if let (1, Raw::Bytes(bytes)) = field? {
            text = utf8(bytes)?;
        }
    }
    Ok(text)
}

/// `IntOrString`: which of both it is, and both.
fn int_or_string(bytes: &[u8]) -> Result<Value, Wrong> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for field in Fields::new(bytes) {
        match field? {
            (1, Raw::Number(kind)) => is_text = kind == 1,
            (2, Raw::Number(value)) => number = value as i32,
            (3, Raw::Bytes(value)) => text = utf8(value)?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = vec![
            number << 3 | 2,
            u8::try_from(bytes.len()).expect("is short"),
        ];
        field.extend_from_slice(bytes);
        field
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let types = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC, &field(1, &types), &field(2, raw)].concat()
    }

    #[test]
    fn reads_a_secret() {
        let metadata = [
            field(1, b"s"),
            field(8, b""),
            field(11, &[field(1, b"a"), field(2, b"b")].concat()),
        ];
        let data = [field(1, b"k"), field(2, b"\x00\xff")].concat();
        let raw = [
            field(1, &metadata.concat()),
            field(2, &data),
            field(3, b"Opaque"),
        ]
        .concat();
        let secret = decode(&body("v1", "Secret", &raw)).expect("is one");
        assert_eq!(
            secret,
            json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"k": "AP8="},
                "metadata": {"name": "s", "labels": {"a": "b"}}})
        );
    }

    #[test]
    fn reads_ports_and_inlined_structs() {
        let port = [
            field(2, b"TCP"),
            vec![3 << 3, 80],
            field(4, &[2 << 3, 0x90, 0x3f]),
        ];
        let spec = field(1, &port.concat());
        let service = decode(&body("v1", "Service", &field(2, &spec))).expect("is one");
        assert_eq!(
            service["spec"]["ports"][0],
            json!({"protocol": "TCP", "port": 80, "targetPort": 8080})
        );

        let volume = [field(1, b"v"), field(2, &field(2, b""))].concat();
        let pod = decode(&body("v1", "Pod", &field(2, &field(1, &volume)))).expect("is one");
        assert_eq!(
            pod["spec"]["volumes"],
            json!([{"name": "v", "emptyDir": {}}])
        );
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert_eq!(decode(b"{}"), Err(Error::Malformed));
        assert!(matches!(
            decode(&body("v1", "Mouse", b"")),
            Err(Error::UnknownKind { .. })
        ));
    }

    #[test]
    fn every_field_is_in_the_schema() {
        for resource in resources::all() {
            let r#type = type_named(resource.schema).expect("is a type").get();
            let numbers = TYPES.get(row_name(resource.schema)).expect("has a line");
            for name in numbers.values() {
                let Name::Json(name) = name else { continue };
                assert!(r#type.field(name).is_some(), "{}.{name}", resource.schema);
            }
        }
    }

    proptest! {
        #[test]
        fn never_panics(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let raw = &raw[..raw.len().min(120)];
            let _ = decode(&body("v1", "Pod", raw));
            let _ = decode(&[MAGIC, raw].concat());
        }
    }
}
