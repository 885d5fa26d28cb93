//! From bytes to an object that its type's fields describe.
//!
//! One pass over the input checks it, drops what is unknown and writes every scalar in its
//! stored form. The messages are those of Go's decoder, which users of Kubernetes know.

use serde::de::DeserializeSeed;
use serde_json::{Map, Value};

use super::visit::{Node, Problems};
use super::{Shape, type_named};
use crate::resources;
use crate::status::{ApiError, FieldError, Subject};

/// What is done about unknown and duplicate fields. Upstream: the `fieldValidation` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are an error.
    Strict,
    /// They are dropped, and told in `Warning` headers.
    Warn,
    /// They are dropped.
    Ignore,
}

/// An object that fits its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The object.
    pub value: Value,
    /// What to warn of: `unknown field "spec.foo"`.
    pub warnings: Vec<String>,
}

/// Decodes a request's body, JSON, as an object of type `schema_name` (of kind `kind` in version
/// `version`: `v1`, not `apps/v1`). A missing `apiVersion` and `kind` are filled in.
///
/// # Errors
///
/// `BadRequest`: not JSON, of another kind, values of the wrong type, or (when strict) unknown or
/// duplicate fields.
pub fn decode(
    schema_name: &str,
    kind: &str,
    version: &str,
    body: &[u8],
    mode: FieldValidation,
) -> Result<Decoded, ApiError> {
    let shape = root(schema_name)?;
    let mut problems = Problems::default();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = Node {
        shape: &shape,
        problems: &mut problems,
    }
    .deserialize(&mut deserializer)
    .and_then(|value| deserializer.end().map(|()| value))
    .map_err(|error| unreadable(kind, body, &error))?;
    let cannot = |detail: &str| {
        ApiError::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: {detail}"
        ))
    };
    if let Some(error) = problems.wrong_type {
        return Err(cannot(&error));
    }
    let mut value = value.unwrap_or_else(|| Value::Object(Map::new()));
    check_kind(schema_name, kind, version, &mut value)?;
    match mode {
        FieldValidation::Strict if !problems.strict.is_empty() => {
            let listed = problems.strict.join(", ");
            Err(cannot(&format!("strict decoding error: {listed}")))
        }
        FieldValidation::Warn => Ok(Decoded {
            value,
            warnings: problems.strict,
        }),
        _ => Ok(Decoded {
            value,
            warnings: Vec::new(),
        }),
    }
}

/// Checks an object that a patch made.
///
/// # Errors
///
/// `Invalid`, of the field `patch`: as [`decode`], for what the patch made.
pub fn check(schema_name: &str, value: Value, mode: FieldValidation) -> Result<Decoded, ApiError> {
    let shape = root(schema_name)?;
    let mut problems = Problems::default();
    let checked = Node {
        shape: &shape,
        problems: &mut problems,
    }
    .deserialize(&value)
    .map_err(|error| ApiError::internal(error.to_string()))?;
    let strict = mode == FieldValidation::Strict && !problems.strict.is_empty();
    let detail = match problems.wrong_type {
        Some(error) => Some(error),
        None if strict => Some(format!(
            "strict decoding error: {}",
            problems.strict.join(", ")
        )),
        None => None,
    };
    if let Some(detail) = detail {
        let subject = Subject {
            group: "",
            resource: "",
            kind: "",
            name: "",
        };
        let patched = Value::String(value.to_string());
        return Err(ApiError::invalid(
            subject,
            &[FieldError::invalid("patch", &patched, detail)],
        ));
    }
    let value = checked.unwrap_or_else(|| Value::Object(Map::new()));
    let warnings = if mode == FieldValidation::Warn {
        problems.strict
    } else {
        Vec::new()
    };
    Ok(Decoded { value, warnings })
}

/// A value as a type has it, and what was wrong with it.
pub(crate) struct Fit {
    /// What fits.
    pub(crate) value: Value,
    /// Unknown fields: `unknown field "foo"`.
    pub(crate) strict: Vec<String>,
    /// The first value of a wrong type.
    pub(crate) wrong_type: Option<String>,
}

/// Makes a value fit a type.
pub(crate) fn fit(schema_name: &str, value: Value) -> Fit {
    let mut problems = Problems::default();
    let shape = root(schema_name).unwrap_or(Shape::Any);
    let node = Node {
        shape: &shape,
        problems: &mut problems,
    };
    let fitted = node.deserialize(&value).ok().flatten();
    Fit {
        value: fitted.unwrap_or_else(|| Value::Object(Map::new())),
        strict: problems.strict,
        wrong_type: problems.wrong_type,
    }
}

fn root(schema_name: &str) -> Result<Shape, ApiError> {
    type_named(schema_name)
        .map(Shape::Struct)
        .ok_or_else(|| ApiError::internal(format!("no type {schema_name:?}")))
}

/// What a body says of itself must be what its path says; what it does not say is filled in.
fn check_kind(
    schema_name: &str,
    kind: &str,
    version: &str,
    value: &mut Value,
) -> Result<(), ApiError> {
    let Some(object) = value.as_object_mut() else {
        return Ok(());
    };
    let is_kind = type_named(schema_name).is_some_and(|r| r.get().field("kind").is_some());
    if !is_kind {
        return Ok(());
    }
    let resource = resources::all().find(|resource| resource.schema == schema_name);
    // What is no resource (a TokenRequest, a Scale) is checked by who knows its group.
    if let Some(api_version) = resource.map(|resource| resource.api_version()) {
        let said = object
            .entry("apiVersion")
            .or_insert_with(|| api_version.clone().into());
        if *said != *api_version {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({}) does not match the expected API version \
                 ({api_version})",
                said.as_str().unwrap_or_default(),
            )));
        }
    }
    let said = object.entry("kind").or_insert_with(|| kind.into());
    if *said != *kind {
        let said = said.as_str().unwrap_or_default();
        return Err(ApiError::bad_request(format!(
            "{said} in version {version:?} cannot be handled as a {kind}: converting \
             ({version}.{said}) to ({version}.{kind}): unknown conversion",
        )));
    }
    Ok(())
}

/// The error for a body that is no JSON, in the words of Go's parser.
pub(crate) fn unreadable(kind: &str, body: &[u8], error: &serde_json::Error) -> ApiError {
    let detail = match error.classify() {
        serde_json::error::Category::Eof => "unexpected end of JSON input".to_owned(),
        _ => {
            let text = error.to_string();
            let place = [
                ("expected `,` or `]`", "after array element"),
                ("expected `,` or `}`", "after object key:value pair"),
                ("expected `:`", "after object key"),
                (
                    "key must be a string",
                    "looking for beginning of object key string",
                ),
                ("trailing characters", "after top-level value"),
                ("trailing comma", "looking for beginning of value"),
                ("control character", "in string literal"),
                ("invalid escape", "in string escape code"),
                ("expected value", "looking for beginning of value"),
            ];
            let line_start = body
                .split(|byte| *byte == b'\n')
                .take(error.line().saturating_sub(1))
                .map(|line| line.len() + 1)
                .sum::<usize>();
            let at = line_start + error.column().saturating_sub(1);
            match (
                place.iter().find(|(ours, _)| text.contains(ours)),
                body.get(at),
            ) {
                (Some((_, place)), Some(byte)) => {
                    format!("invalid character {:?} {place}", char::from(*byte))
                }
                _ => text,
            }
        }
    };
    unrecognized(
        kind,
        body,
        &format!("couldn't get version/kind; json parse error: {detail}"),
    )
}

/// The error for a body that does not say what it is, with its beginning.
///
/// Upstream: `transformDecodeError` in `apiserver/pkg/endpoints/handlers/rest.go`.
pub(crate) fn unrecognized(kind: &str, body: &[u8], why: &str) -> ApiError {
    const SHOWN: usize = 30;
    let begin = &body[..body.len().min(SHOWN)];
    let mut summary = match begin {
        [] => "<empty>".to_owned(),
        [b'{', ..] => String::from_utf8_lossy(begin).into_owned(),
        // Who sends something else may not send text at all.
        begin => begin.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    if body.len() > SHOWN {
        summary.push_str(" ...");
    }
    ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {why} ({summary})"
    ))
}
