//! Which form a client takes: the object, a table of it, or its metadata.
//!
//! Upstream: `apiserver/pkg/endpoints/handlers/negotiation`.

use http::{HeaderMap, header};

use crate::openapi::V2_PROTOBUF;
use crate::status::ApiError;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The object or list itself.
    Object,
    /// `meta.k8s.io/v1` `Table`: what `kubectl get` prints.
    Table,
    /// `PartialObjectMetadata`, or a list of those: what a garbage collector reads.
    Metadata,
}

/// Picks the first form of an `Accept` header that is served.
///
/// # Errors
/// 406 if none is.
pub fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let mut asked = false;
    for value in headers.get_all(header::ACCEPT) {
        for media in value.to_str().unwrap_or_default().split(',') {
            asked = true;
            if let Some(form) = form_of(media) {
                return Ok(form);
            }
        }
    }
    if asked {
        return Err(ApiError::new(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json, \
             application/json;stream=watch",
        ));
    }
    Ok(Form::Object)
}

fn form_of(media: &str) -> Option<Form> {
    let mut parts = media.split(';').map(str::trim);
    if !matches!(parts.next()?, "application/json" | "application/*" | "*/*") {
        return None;
    }
    let mut form = Form::Object;
    for part in parts {
        match part.split_once('=')? {
            ("as", "Table") => form = Form::Table,
            ("as", "PartialObjectMetadata" | "PartialObjectMetadataList") => form = Form::Metadata,
            ("g", "meta.k8s.io") | ("v", "v1") | ("q" | "charset" | "stream" | "pretty", _) => {}
            // Another group or version of these forms, or another form.
            _ => return None,
        }
    }
    Some(form)
}

/// The form of the OpenAPI v2 document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenApi {
    /// As most clients read it.
    Json,
    /// As client-go reads it.
    Protobuf,
}

/// Picks the first form of OpenAPI v2 in an `Accept` header that is served.
///
/// # Errors
/// 406 if none is.
pub fn openapi_v2(headers: &HeaderMap) -> Result<OpenApi, ApiError> {
    let mut asked = false;
    for value in headers.get_all(header::ACCEPT) {
        for media in value.to_str().unwrap_or_default().split(',') {
            asked = true;
            match media.split(';').next().unwrap_or_default().trim() {
                "application/json" | "application/*" | "*/*" => return Ok(OpenApi::Json),
                // With `@` it was before media types were found to have no such letter.
                "application/com.github.proto-openapi.spec.v2@v1.0+protobuf" => {
                    return Ok(OpenApi::Protobuf);
                }
                V2_PROTOBUF => return Ok(OpenApi::Protobuf),
                _ => {}
            }
        }
    }
    if asked {
        return Err(ApiError::new(
            406,
            "NotAcceptable",
            format!("only the following media types are accepted: application/json, {V2_PROTOBUF}"),
        ));
    }
    Ok(OpenApi::Json)
}

/// The media type of a body, without parameters; JSON where nothing is said.
pub fn content_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media = value
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if media.is_empty() {
        "application/json".into()
    } else {
        media.to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expected: Option<Form>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().expect("is a header"));
        assert_eq!(form(&headers).ok(), expected, "{accept}");
    }

    #[test]
    fn forms() {
        check("application/json", Some(Form::Object));
        check("*/*", Some(Form::Object));
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;\
             g=meta.k8s.io,application/json",
            Some(Form::Table),
        );
        check(
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Some(Form::Object),
        );
        check(
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Some(Form::Metadata),
        );
        check(
            "application/vnd.kubernetes.protobuf, application/json",
            Some(Form::Object),
        );
        check("application/vnd.kubernetes.protobuf", None);
    }

    #[test]
    fn forms_of_openapi() {
        let form = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("is a header"));
            openapi_v2(&headers).ok()
        };
        let at = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        assert_eq!(form(at), Some(OpenApi::Protobuf));
        assert_eq!(form(V2_PROTOBUF), Some(OpenApi::Protobuf));
        assert_eq!(form("application/json, */*"), Some(OpenApi::Json));
        assert_eq!(form("text/html"), None);
        assert_eq!(openapi_v2(&HeaderMap::new()).ok(), Some(OpenApi::Json));
    }
}
