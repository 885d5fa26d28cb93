//! A request that is known, allowed and about a resource; and what it brings along.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::Api;
use super::answer::{self, Body};
use super::negotiate::{self, Offer};
use super::options;
use super::path::{Query, RequestInfo};
use super::read_yaml;
use super::view::View;
use crate::authn::User;
use crate::authz::{Attributes, Decision};
use crate::custom;
use crate::protobuf;
use crate::registry::list::Selection;
use crate::registry::write::{Warnings, Writer};
use crate::registry::{Target, meta};
use crate::resources::{Catalog, Resource, Served, Subresource};
use crate::schema::{self, FieldValidation};
use crate::selectors::{FieldSelector, LabelSelector};
use crate::status::{ApiError, FieldError, Subject};
use crate::trace;

/// The largest body that is read. Upstream: `MaxRequestBodyBytes`.
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// How long a body may take to come. Upstream: `--request-timeout`, of which it is a part.
pub const BODY_PATIENCE: Duration = Duration::from_secs(60);

/// A request about a resource.
#[derive(Debug)]
pub struct Call<'a> {
    /// The server.
    pub api: Arc<Api>,
    /// What it is about.
    pub info: RequestInfo,
    /// Its method.
    pub method: Method,
    /// Its parameters.
    pub query: Query,
    /// Its parameters, as they were sent.
    pub raw_query: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Who asks.
    pub user: User,
    /// Where from.
    pub from: SocketAddr,
    /// The resource.
    pub resource: &'a Resource<'a>,
    /// The same, to be held.
    pub served: Served,
    /// The part of it, if it is about one.
    pub subresource: Option<&'static Subresource>,
    /// The name under which changed fields are owned.
    pub manager: String,
    /// Do everything but the write.
    pub dry_run: bool,
    /// What is to be said beside the answer.
    pub warnings: Warnings,
}

impl<'a> Call<'a> {
    /// The object, or the collection.
    pub fn target(&self) -> Target<'_> {
        Target {
            resource: self.resource,
            subresource: &self.info.subresource,
            namespace: if self.resource.namespaced {
                &self.info.namespace
            } else {
                ""
            },
            name: &self.info.name,
        }
    }

    /// Who writes.
    pub fn writer(&self) -> Writer<'_> {
        Writer {
            user: &self.user,
            manager: &self.manager,
            dry_run: self.dry_run,
            apply: false,
            warnings: Some(&self.warnings),
        }
    }

    /// The form of the answer.
    ///
    /// # Errors
    /// 406 if none is served.
    pub fn view(&self) -> Result<View<'a>, ApiError> {
        let accepted = negotiate::accept(&self.headers, self.offer())?;
        View::new(self.resource, accepted, &self.query)
    }

    /// The form of the events of a watch.
    ///
    /// # Errors
    /// 406 if none is served.
    pub fn stream_view(&self) -> Result<View<'a>, ApiError> {
        let accepted = negotiate::accept_stream(&self.headers, self.offer())?;
        View::new(self.resource, accepted, &self.query)
    }

    fn offer(&self) -> Offer {
        match self.served.custom() {
            Some(_) => Offer::Custom,
            None => Offer::Everything,
        }
    }

    /// Answers with something that is no stored object, in the form that is taken.
    pub fn answer(&self, code: u16, value: &Value) -> Response<Body> {
        answer::negotiated(&self.headers, code, value)
    }

    /// Answers with what has been written, or would have been.
    ///
    /// # Errors
    /// 500 if it has no form that is taken.
    pub fn written(
        &self,
        view: &View,
        code: u16,
        object: Value,
    ) -> Result<Response<Body>, ApiError> {
        if self.dry_run {
            return Ok(view.answer(code, &self.headers, object));
        }
        let slot = self.api.registry.slot(self.resource)?;
        view.written(code, &self.headers, &slot, object)
    }

    /// Which objects of the collection.
    ///
    /// # Errors
    /// 400 if a selector cannot be read, or names a field that the kind does not have.
    pub fn selection(&self) -> Result<Selection, ApiError> {
        let mut fields = FieldSelector::parse(self.query.get("fieldSelector"))?;
        fields.check(self.resource)?;
        let name = &*self.info.name;
        if !name.is_empty() {
            // As the rights were asked for: for one object, named by the path or the selector.
            if fields.is_empty() {
                fields = FieldSelector::parse(&format!("metadata.name={name}"))?;
            } else if fields.exact("metadata.name") != Some(name) {
                return Err(ApiError::bad_request(
                    "fieldSelector metadata.name doesn't match requested name",
                ));
            }
        }
        Ok(Selection {
            namespace: self.target().namespace.to_owned(),
            labels: LabelSelector::parse(self.query.get("labelSelector"))?,
            fields: fields.as_stored(self.resource),
        })
    }

    /// How unknown fields are dealt with, of those ways that [`super::options::check`] lets pass.
    pub fn field_validation(&self) -> FieldValidation {
        match self.query.get("fieldValidation") {
            "Strict" => FieldValidation::Strict,
            "Ignore" => FieldValidation::Ignore,
            _ => FieldValidation::Warn,
        }
    }

    /// Reads an object of the resource out of the body, with warnings about its fields.
    ///
    /// # Errors
    /// 400 if it is none, or not the one that the path names.
    pub fn decode(&self, body: &[u8]) -> Result<(Value, Vec<String>), ApiError> {
        let (json, mut repeated) = self.read(body)?;
        let mode = self.field_validation();
        let strict = mode == FieldValidation::Strict;
        // What YAML has twice is found before its fields are, and told together with those.
        let lenient = if strict { FieldValidation::Warn } else { mode };
        let (kind, version) = (self.resource.kind, self.resource.api_version());
        let (mut object, unknown) = match self.resource.custom {
            Some(custom) => {
                custom::check_conversion(custom)?;
                let decoded = custom::decode(custom, &json, lenient)?;
                (decoded.value, decoded.warnings)
            }
            None => decode_as(self.resource.schema, kind, &version, &json, lenient)?,
        };
        if strict && !repeated.is_empty() {
            repeated = vec![read_yaml::strict_error(&repeated)];
        }
        let warnings = match mode {
            FieldValidation::Ignore => Vec::new(),
            _ => [repeated, unknown].concat(),
        };
        if strict && !warnings.is_empty() {
            let version = self.resource.version;
            return Err(ApiError::bad_request(format!(
                "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding \
                 error: {}",
                warnings.join(", ")
            )));
        }
        self.check_address(&object)?;
        let namespace = self.target().namespace;
        if !namespace.is_empty() {
            meta::set(&mut object, "namespace", Some(namespace.into()));
        }
        Ok((object, warnings))
    }

    /// The body as JSON, whatever it was sent as.
    ///
    /// # Errors
    /// 415 if it is neither JSON, YAML nor protobuf, 400 if it cannot be read.
    pub fn json<'b>(&self, body: &'b [u8]) -> Result<Cow<'b, [u8]>, ApiError> {
        Ok(self.read(body)?.0)
    }

    /// The same, with the keys that YAML has twice.
    fn read<'b>(&self, body: &'b [u8]) -> Result<(Cow<'b, [u8]>, Vec<String>), ApiError> {
        match negotiate::content_type(&self.headers).as_str() {
            "application/json" => Ok((body.into(), Vec::new())),
            "application/yaml" => {
                let (json, repeated) = read_yaml::read(body)?;
                Ok((json.into(), repeated))
            }
            "application/vnd.kubernetes.protobuf" => match protobuf::decode(body) {
                Ok(object) => Ok((object.to_string().into_bytes().into(), Vec::new())),
                Err(error) => Err(ApiError::bad_request(error.to_string())),
            },
            _ => Err(ApiError::unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types \
                 include: application/json, application/yaml, \
                 application/vnd.kubernetes.protobuf",
            )),
        }
    }

    /// Checks that nobody hands out more rights than they have.
    ///
    /// # Errors
    /// 403 if somebody tries.
    pub fn check_escalation(&self, live: Option<&Value>, new: &Value) -> Result<(), ApiError> {
        if self.resource.group != "rbac.authorization.k8s.io" {
            return Ok(());
        }
        self.api
            .registry
            .authorizer()
            .check_escalation(&self.user, self.resource, new, live)
    }

    /// Checks that an object is the one that the path names.
    ///
    /// # Errors
    /// 400 if it is not.
    pub fn check_address(&self, object: &Value) -> Result<(), ApiError> {
        let target = self.target();
        let (name, namespace) = (meta::name(object), meta::namespace(object));
        if target.resource.namespaced && !namespace.is_empty() && namespace != target.namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the \
                 request",
            ));
        }
        if !target.name.is_empty() && !name.is_empty() && name != target.name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                target.name
            )));
        }
        Ok(())
    }

    /// The same for what takes an object's place, and has to name it.
    ///
    /// # Errors
    /// 400 if it names none, or another.
    pub fn check_name(&self, object: &Value) -> Result<(), ApiError> {
        self.check_address(object)?;
        if meta::name(object).is_empty() {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                self.info.name
            )));
        }
        Ok(())
    }

    /// Checks that whoever may do what they ask for may also create what that begins with: a
    /// stream of commands, an object that is not there yet.
    ///
    /// # Errors
    /// 403 if not.
    pub fn check_create(&self) -> Result<(), ApiError> {
        let info = &self.info;
        let attributes = Attributes {
            group: &info.group,
            version: &info.version,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            ..Attributes::of(&self.user, "create", &info.resource)
        };
        match self.api.registry.authorizer().authorize(&attributes) {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(why) => Err(ApiError::forbidden(self.target().subject(), why)),
        }
    }
}

/// What a trace calls the object, or the collection, that a request is about.
pub fn object_of(catalog: &Catalog, info: &RequestInfo) -> trace::Object {
    let served = catalog.by_path(&info.group, &info.version, &info.resource);
    let namespaced = served.is_none_or(|served| served.resource().namespaced);
    trace::Object {
        resource: info.resource.clone(),
        namespace: if namespaced { &*info.namespace } else { "" }.into(),
        name: info.name.clone(),
    }
}

/// Decodes a body as an object of a type, checking that it says so itself.
///
/// # Errors
/// 400 if it is something else.
pub fn decode_as(
    schema_name: &str,
    kind: &str,
    api_version: &str,
    body: &[u8],
    mode: FieldValidation,
) -> Result<(Value, Vec<String>), ApiError> {
    let version = api_version.rsplit('/').next().unwrap_or_default();
    let decoded = schema::decode(schema_name, kind, version, body, mode)?;
    let mut value = decoded.value;
    let sent_kind = value["kind"].as_str().unwrap_or_default();
    let sent_version = value["apiVersion"].as_str().unwrap_or_default();
    if !sent_version.is_empty() && sent_version != api_version {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({sent_version}) does not match the expected API \
             version ({api_version})"
        )));
    }
    if !sent_kind.is_empty() && sent_kind != kind {
        return Err(ApiError::bad_request(format!(
            "{sent_kind} in version {version:?} cannot be handled as a {kind}: the kinds differ"
        )));
    }
    value["kind"] = kind.into();
    value["apiVersion"] = api_version.into();
    if value["metadata"].is_null() {
        value["metadata"] = Value::Object(serde_json::Map::new());
    }
    Ok((value, decoded.warnings))
}

/// 422 for options of the request itself.
pub fn invalid_option(options: &str, errors: &[FieldError]) -> ApiError {
    let subject = Subject {
        group: "meta.k8s.io",
        resource: "",
        kind: options,
        name: "",
    };
    ApiError::invalid(subject, errors)
}

/// Reads a whole body.
///
/// # Errors
/// 413 if it is too large, 400 if it breaks off, 504 if it takes too long.
pub async fn read_body<B>(body: B, patience: Duration) -> Result<Bytes, ApiError>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let reading = Limited::new(body, BODY_BYTES_MAX).collect();
    let Ok(read) = tokio::time::timeout(patience, reading).await else {
        let message = "Timeout: request did not complete within the allotted timeout";
        return Err(ApiError::new(504, "Timeout", message));
    };
    match read {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {BODY_BYTES_MAX}"),
        )),
        Err(error) => Err(ApiError::bad_request(format!(
            "the body cannot be read: {error}"
        ))),
    }
}

/// The owner of fields where a request does not name one: the program, as it calls itself.
pub fn manager_of(query: &Query, headers: &HeaderMap) -> String {
    let given = query.get("fieldManager");
    if !given.is_empty() {
        return given.to_owned();
    }
    let agent = headers
        .get(http::header::USER_AGENT)
        .and_then(|value| value.to_str().ok());
    let program = agent
        .unwrap_or("unknown")
        .split('/')
        .next()
        .unwrap_or_default();
    let mut manager = String::new();
    for letter in program.chars().filter(|c| options::is_printable(*c)) {
        if manager.len() + letter.len_utf8() > options::MANAGER_BYTES_MAX {
            break;
        }
        manager.push(letter);
    }
    manager
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        use futures::StreamExt;
        let begun = futures::stream::iter([Ok::<_, std::io::Error>(http_body::Frame::data(
            Bytes::from("{"),
        ))]);
        let body = http_body_util::StreamBody::new(begun.chain(futures::stream::pending()));
        let error = read_body(body, Duration::ZERO)
            .await
            .expect_err("never ends");
        assert_eq!((error.code, error.reason), (504, "Timeout"));
    }
}
