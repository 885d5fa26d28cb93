//! Answers: bodies, Status, compression.

use std::convert::Infallible;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::encode;
use super::negotiate::{self, Offer};
use crate::status::ApiError;

/// The body of an answer: bytes, or a stream of them that may break off.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Bodies up to this size are sent as they are. Upstream: `defaultGzipThresholdBytes`.
const GZIP_FROM: usize = 128 * 1024;

/// A body of known bytes.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// An answer of bytes.
pub fn bytes(code: u16, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(body(bytes));
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}

/// An answer in the form that whoever asks takes. JSON where nothing of what they take is served:
/// who asked for something else has been told so before, or is told of an error.
pub fn negotiated(headers: &HeaderMap, code: u16, value: &Value) -> Response<Body> {
    match negotiate::accept(headers, Offer::Plain) {
        Ok(accepted) => encode::answer(headers, code, accepted, value),
        Err(_) => json(code, value),
    }
}

/// An answer of JSON.
pub fn json(code: u16, value: &Value) -> Response<Body> {
    let mut text = value.to_string();
    text.push('\n');
    bytes(code, "application/json", text)
}

/// An answer of text.
pub fn text(code: u16, text: impl Into<String>) -> Response<Body> {
    bytes(code, "text/plain; charset=utf-8", text.into())
}

/// An error, for whoever sent these headers.
pub fn error(headers: &HeaderMap, error: &ApiError) -> Response<Body> {
    let mut response = negotiated(headers, error.code, &error.to_status());
    let retry = error
        .details
        .as_ref()
        .and_then(|details| details.get("retryAfterSeconds"));
    if let Some(seconds) = retry.and_then(Value::as_u64) {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// `Status` of a success.
pub fn success(details: Value) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    })
}

/// Adds warnings, which `kubectl` prints: `Warning: 299 - "unknown field \"spec.foo\""`.
pub fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', " ");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

/// Whether whoever asks can read gzip.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            coding
                .split(';')
                .next()
                .is_some_and(|coding| coding.trim() == "gzip")
        })
}

/// An answer of bytes, compressed where that is worth it and can be read.
pub fn maybe_gzip(
    headers: &HeaderMap,
    code: u16,
    content_type: &'static str,
    plain: Vec<u8>,
) -> Response<Body> {
    if plain.len() <= GZIP_FROM || !accepts_gzip(headers) {
        return bytes(code, content_type, plain);
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    let compressed = encoder.write_all(&plain).and_then(|()| encoder.finish());
    match compressed {
        Ok(compressed) => {
            let mut response = bytes(code, content_type, compressed);
            gzip_headers(&mut response);
            response
        }
        Err(_) => bytes(code, content_type, plain),
    }
}

/// Says that a body is compressed.
pub fn gzip_headers(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
}
