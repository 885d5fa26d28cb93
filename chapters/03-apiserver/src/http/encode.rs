//! Values in the format that was agreed on.

use http::{HeaderMap, Response};
use serde_json::Value;

use super::answer::{self, Body};
use super::negotiate::{Accepted, Format};
use super::yaml;
use crate::protobuf;

/// An answer with a value. What has no protobuf form is sent as JSON, and says so.
pub fn answer(headers: &HeaderMap, code: u16, accepted: Accepted, value: &Value) -> Response<Body> {
    if accepted.format == Format::Protobuf {
        match protobuf::encode(value) {
            Some(bytes) => return body(headers, code, accepted, bytes),
            None => return answer::json(code, value),
        }
    }
    let mut text = text(accepted, value);
    if text.last() != Some(&b'\n') {
        text.push(b'\n');
    }
    answer::maybe_gzip(headers, code, accepted.format.media_type(), text)
}

/// An answer of bytes that are in the format already, but for the looks.
pub fn body(headers: &HeaderMap, code: u16, accepted: Accepted, bytes: Vec<u8>) -> Response<Body> {
    let plain = accepted.format == Format::Json && !accepted.pretty;
    let bytes = if plain || accepted.format == Format::Protobuf {
        bytes
    } else {
        match serde_json::from_slice(&bytes) {
            Ok(value) => text(accepted, &value),
            Err(_) => bytes,
        }
    };
    answer::maybe_gzip(headers, code, accepted.format.media_type(), bytes)
}

fn text(accepted: Accepted, value: &Value) -> Vec<u8> {
    match accepted.format {
        Format::Yaml => yaml::write(value).into_bytes(),
        _ if accepted.pretty => format!("{value:#}").into_bytes(),
        _ => value.to_string().into_bytes(),
    }
}
