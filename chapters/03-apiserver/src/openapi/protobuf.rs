//! The protobuf form of OpenAPI v2, which client-go asks for.
//!
//! `kubectl apply` of a kind that the server does not know looks for it there, in this form
//! alone; without it, the user reads of wire formats instead of an unknown kind. A message is a
//! table of what its JSON fields are called and numbered; what begins with `x-` becomes a list of
//! names and values. A value of any type is carried as YAML, which JSON is.
//!
//! Upstream: `openapiv2/OpenAPIv2.proto` in google/gnostic.

use serde_json::Value;

/// A field: its name in JSON, its number, its form.
type Field = (&'static str, u32, Form);

/// What a field's value becomes.
enum Form {
    /// A boolean.
    Flag,
    /// A whole number.
    Count,
    /// Any number.
    Number,
    /// One value, encoded so.
    One(fn(&Value) -> Vec<u8>),
    /// A list, each of its items encoded so.
    Each(fn(&Value) -> Vec<u8>),
}
use Form::{Count, Each, Flag, Number, One};

/// The whole document.
pub(super) fn document(document: &Value) -> Vec<u8> {
    const FIELDS: &[Field] = &[
        ("swagger", 1, One(text)),
        ("info", 2, One(info)),
        ("paths", 8, One(|paths| named(paths, 2, path_item))),
        ("definitions", 9, One(schemas)),
        ("security", 12, Each(|it| named(it, 1, strings))),
        ("securityDefinitions", 13, One(security_definitions)),
    ];
    message(document, FIELDS, 16)
}

fn info(info: &Value) -> Vec<u8> {
    message(
        info,
        &[("title", 1, One(text)), ("version", 2, One(text))],
        7,
    )
}

fn security_definitions(definitions: &Value) -> Vec<u8> {
    const FIELDS: &[Field] = &[
        ("type", 1, One(text)),
        ("name", 2, One(text)),
        ("in", 3, One(text)),
        ("description", 4, One(text)),
    ];
    named(definitions, 1, |key| wrapped(2, message(key, FIELDS, 5)))
}

fn path_item(item: &Value) -> Vec<u8> {
    const FIELDS: &[Field] = &[
        ("get", 2, One(operation)),
        ("put", 3, One(operation)),
        ("post", 4, One(operation)),
        ("delete", 5, One(operation)),
        ("options", 6, One(operation)),
        ("head", 7, One(operation)),
        ("patch", 8, One(operation)),
        ("parameters", 9, Each(parameter)),
    ];
    message(item, FIELDS, 10)
}

fn operation(operation: &Value) -> Vec<u8> {
    const FIELDS: &[Field] = &[
        ("tags", 1, Each(text)),
        ("description", 3, One(text)),
        ("operationId", 5, One(text)),
        ("produces", 6, Each(text)),
        ("consumes", 7, Each(text)),
        ("parameters", 8, Each(parameter)),
        ("responses", 9, One(|all| named(all, 1, response))),
        ("schemes", 10, Each(text)),
    ];
    message(operation, FIELDS, 13)
}

/// A parameter stands in as many messages as it has forms: of any kind, in the body or not, where.
fn parameter(parameter: &Value) -> Vec<u8> {
    const BODY: &[Field] = &[
        ("description", 1, One(text)),
        ("name", 2, One(text)),
        ("in", 3, One(text)),
        ("required", 4, Flag),
        ("schema", 5, One(schema)),
    ];
    const QUERY: &[Field] = &[
        ("required", 1, Flag),
        ("in", 2, One(text)),
        ("description", 3, One(text)),
        ("name", 4, One(text)),
        ("type", 6, One(text)),
        ("uniqueItems", 20, Flag),
    ];
    const PATH: &[Field] = &[
        ("required", 1, Flag),
        ("in", 2, One(text)),
        ("description", 3, One(text)),
        ("name", 4, One(text)),
        ("type", 5, One(text)),
        ("uniqueItems", 19, Flag),
    ];
    let parameter = match parameter["in"].as_str() {
        Some("body") => wrapped(1, message(parameter, BODY, 6)),
        Some("path") => wrapped(2, wrapped(4, message(parameter, PATH, 22))),
        _ => wrapped(2, wrapped(3, message(parameter, QUERY, 23))),
    };
    wrapped(1, parameter)
}

fn response(response: &Value) -> Vec<u8> {
    const FIELDS: &[Field] = &[
        ("description", 1, One(text)),
        ("schema", 2, One(|it| wrapped(1, schema(it)))),
    ];
    wrapped(1, message(response, FIELDS, 5))
}

fn schemas(schemas: &Value) -> Vec<u8> {
    named(schemas, 1, schema)
}

fn schema(schema: &Value) -> Vec<u8> {
    const FIELDS: &[Field] = &[
        ("$ref", 1, One(text)),
        ("format", 2, One(text)),
        ("title", 3, One(text)),
        ("description", 4, One(text)),
        ("default", 5, One(any)),
        ("multipleOf", 6, Number),
        ("maximum", 7, Number),
        ("exclusiveMaximum", 8, Flag),
        ("minimum", 9, Number),
        ("exclusiveMinimum", 10, Flag),
        ("maxLength", 11, Count),
        ("minLength", 12, Count),
        ("pattern", 13, One(text)),
        ("maxItems", 14, Count),
        ("minItems", 15, Count),
        ("uniqueItems", 16, Flag),
        ("maxProperties", 17, Count),
        ("minProperties", 18, Count),
        ("required", 19, Each(text)),
        ("enum", 20, Each(any)),
        ("additionalProperties", 21, One(additional)),
        ("type", 22, One(|it| wrapped(1, text(it)))),
        ("items", 23, One(|it| wrapped(1, self::schema(it)))),
        ("properties", 25, One(schemas)),
    ];
    message(schema, FIELDS, 31)
}

/// A schema, or whether anything may be there.
fn additional(value: &Value) -> Vec<u8> {
    match value {
        Value::Bool(any) => [tag(2, 0), vec![u8::from(*any)]].concat(),
        schema => wrapped(1, self::schema(schema)),
    }
}

/// The fields of a JSON object, in the object's order. `extensions` is where those go that begin
/// with `x-`.
///
/// # Panics
/// If the object has a field that the table has not: the document is our own.
fn message(object: &Value, fields: &[Field], extensions: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        if name.starts_with("x-") {
            put(&mut bytes, extensions, &entry(name, any(value)));
            continue;
        }
        let known = fields.iter().find(|(field, ..)| field == name);
        let (_, number, form) = known.unwrap_or_else(|| panic!("no field is called {name}"));
        match form {
            Flag if value == true => bytes.extend([tag(*number, 0), vec![1]].concat()),
            // What is not there is false.
            Flag => {}
            Count => {
                bytes.extend(tag(*number, 0));
                bytes.extend(varint(value.as_u64().unwrap_or_default()));
            }
            Number => {
                bytes.extend(tag(*number, 1));
                bytes.extend(value.as_f64().unwrap_or_default().to_le_bytes());
            }
            One(encode) => put(&mut bytes, *number, &encode(value)),
            Each(encode) => {
                for item in value.as_array().into_iter().flatten() {
                    put(&mut bytes, *number, &encode(item));
                }
            }
        }
    }
    bytes
}

/// A JSON object as a list of names and values, in field `number`.
fn named(object: &Value, number: u32, encode: fn(&Value) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        put(&mut bytes, number, &entry(name, encode(value)));
    }
    bytes
}

fn entry(name: &str, value: Vec<u8>) -> Vec<u8> {
    [wrapped(1, name.into()), wrapped(2, value)].concat()
}

/// A list of strings as a message.
fn strings(list: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in list.as_array().into_iter().flatten() {
        put(&mut bytes, 1, &text(item));
    }
    bytes
}

fn text(value: &Value) -> Vec<u8> {
    value.as_str().unwrap_or_default().into()
}

fn any(value: &Value) -> Vec<u8> {
    wrapped(2, value.to_string().into())
}

/// A message whose one field is this.
fn wrapped(number: u32, value: Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 8);
    put(&mut bytes, number, &value);
    bytes
}

/// Appends a field of text, bytes or a message.
fn put(bytes: &mut Vec<u8>, number: u32, value: &[u8]) {
    bytes.extend(tag(number, 2));
    bytes.extend(varint(value.len() as u64));
    bytes.extend_from_slice(value);
}

fn tag(number: u32, wire_type: u32) -> Vec<u8> {
    varint(u64::from(number << 3 | wire_type))
}

/// Seven bits a byte, the lowest first; the top bit says that there are more.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
