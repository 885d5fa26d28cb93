//! From bytes to a custom object: what is there twice, what its schema does not know, metadata.
//!
//! Upstream: `unstructuredSchemaCoercer` in `apiextensions-apiserver/pkg/apiserver`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::path::{Step, below, show};
use super::prune::prune;
use super::structural::Schema;
use super::{fill, settle};
use crate::resources::Custom;
use crate::schema::{self, Decoded, FieldValidation};
use crate::status::{ApiError, FieldError, Subject};

/// The type of `metadata`.
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
/// Most duplicate fields that are told, as upstream.
const DUPLICATES_MAX: usize = 100;

/// Decodes a request's body as an object of a version.
///
/// # Errors
/// `BadRequest`: not JSON, of another version, wrong metadata, or (when strict) unknown or
/// duplicate fields.
pub fn decode(custom: &Custom, body: &[u8], mode: FieldValidation) -> Result<Decoded, ApiError> {
    let kind = &custom.definition.kind;
    let (object, duplicates) =
        read_json(body).map_err(|error| schema::unreadable(kind, body, &error))?;
    for (field, name) in [("kind", "Kind"), ("apiVersion", "apiVersion")] {
        if object[field].as_str().unwrap_or_default().is_empty() {
            let text = String::from_utf8_lossy(body);
            let why = format!("Object '{name}' is missing in '{text}'");
            return Err(schema::unrecognized(kind, body, &why));
        }
    }
    let wanted = custom.resource().api_version();
    let said = object["apiVersion"].as_str().unwrap_or_default();
    if said != wanted {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({said}) does not match the expected API version \
             ({wanted})"
        )));
    }
    let said = object["kind"].as_str().unwrap_or_default().to_owned();
    let cannot = |detail: &str| {
        let version = &custom.version;
        ApiError::bad_request(format!(
            "{said} in version {version:?} cannot be handled as a {kind}: {detail}"
        ))
    };
    let (value, unknown) = coerce(custom, object).map_err(|detail| cannot(&detail))?;
    let problems: Vec<String> = duplicates.into_iter().chain(unknown).collect();
    match mode {
        FieldValidation::Strict if !problems.is_empty() => Err(cannot(&format!(
            "strict decoding error: {}",
            problems.join(", ")
        ))),
        _ => Ok(decoded(value, problems, mode)),
    }
}

/// Reads any JSON, and tells which fields are there twice: `duplicate field "spec.foo"`.
///
/// # Errors
/// If it is none.
pub(crate) fn read_json(body: &[u8]) -> serde_json::Result<(Value, Vec<String>)> {
    let mut duplicates = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let seed = Any {
        path: &mut Vec::new(),
        duplicates: &mut duplicates,
    };
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((value, duplicates))
}

/// Checks an object that a patch made.
///
/// # Errors
/// `Invalid`, of the field `patch`: as [`decode`], for what the patch made.
pub fn check(custom: &Custom, value: Value, mode: FieldValidation) -> Result<Decoded, ApiError> {
    let shown = Value::String(value.to_string());
    let refused = |detail: String| {
        let subject = Subject {
            group: "",
            resource: "",
            kind: "",
            name: "",
        };
        ApiError::invalid(subject, &[FieldError::invalid("patch", &shown, detail)])
    };
    let (value, problems) = coerce(custom, value).map_err(refused)?;
    match mode {
        FieldValidation::Strict if !problems.is_empty() => Err(refused(format!(
            "strict decoding error: {}",
            problems.join(", ")
        ))),
        _ => Ok(decoded(value, problems, mode)),
    }
}

fn decoded(value: Value, problems: Vec<String>, mode: FieldValidation) -> Decoded {
    let warnings = match mode {
        FieldValidation::Warn => problems,
        _ => Vec::new(),
    };
    Decoded { value, warnings }
}

/// An object as its schema has it, and what it had beside that.
fn coerce(custom: &Custom, mut object: Value) -> Result<(Value, Vec<String>), String> {
    let unknown = |path: String| format!("unknown field {path:?}");
    let mut problems = Vec::new();
    if let Some(metadata) = object.get_mut("metadata") {
        problems.extend(coerce_metadata(metadata, "metadata")?);
    }
    problems.extend(prune(&mut object, &custom.schema).into_iter().map(unknown));
    fill::drop_nulls(&mut object, &custom.schema);
    embedded(&mut object, &custom.schema, &mut Vec::new(), &mut problems)?;
    settle(custom, &mut object);
    Ok((object, problems))
}

/// Gives metadata the form that it has in every object; answers with what it had beside.
fn coerce_metadata(metadata: &mut Value, path: &str) -> Result<Vec<String>, String> {
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    let fit = schema::fit(OBJECT_META, metadata.take());
    *metadata = fit.value;
    match fit.wrong_type {
        Some(error) => Err(error),
        None => {
            let below =
                |problem: &String| problem.replacen(" field \"", &format!(" field \"{path}."), 1);
            Ok(fit.strict.iter().map(below).collect())
        }
    }
}

/// Gives the objects of the API within an object the form that they have; what will not have it
/// stays as it is.
pub(super) fn coerce_embedded(object: &mut Value, schema: &Schema) {
    let _ = embedded(object, schema, &mut Vec::new(), &mut Vec::new());
}

fn embedded(
    value: &mut Value,
    schema: &Schema,
    path: &mut Vec<Step>,
    problems: &mut Vec<String>,
) -> Result<(), String> {
    match value {
        Value::Object(fields) => {
            // The root's own metadata has had its turn.
            let is_embedded = schema.embedded && !path.is_empty();
            for (name, value) in fields {
                match name.as_str() {
                    "apiVersion" | "kind" if is_embedded && !value.is_string() => {
                        let path = below(path, name);
                        return Err(format!("{path}: Invalid value: {value}: must be a string"));
                    }
                    "metadata" if is_embedded => {
                        problems.extend(coerce_metadata(value, &below(path, name))?);
                    }
                    _ => {}
                }
                if let Some(inner) = schema.field(name) {
                    path.push(Step::Key(name.clone()));
                    embedded(value, inner, path, problems)?;
                    path.pop();
                }
            }
        }
        Value::Array(list) => {
            for (i, entry) in list.iter_mut().enumerate() {
                if let Some(items) = &schema.items {
                    path.push(Step::Index(i));
                    embedded(entry, items, path, problems)?;
                    path.pop();
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Any JSON, whose duplicate fields are noted; the last one counts.
struct Any<'a> {
    path: &'a mut Vec<Step>,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            self.path.push(Step::Index(list.len()));
            let entry = seq.next_element_seed(Any {
                path: self.path,
                duplicates: self.duplicates,
            });
            self.path.pop();
            match entry? {
                Some(entry) => list.push(entry),
                None => return Ok(list.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            self.path.push(Step::Key(key.clone()));
            if object.contains_key(&key) && self.duplicates.len() < DUPLICATES_MAX {
                let problem = format!("duplicate field {:?}", show(self.path));
                if !self.duplicates.contains(&problem) {
                    self.duplicates.push(problem);
                }
            }
            let value = map.next_value_seed(Any {
                path: self.path,
                duplicates: self.duplicates,
            });
            self.path.pop();
            object.insert(key, value?);
        }
        Ok(Value::Object(object))
    }
}
