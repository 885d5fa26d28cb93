//! Which form a client takes: the object, a table of it, or its metadata; as JSON, YAML or
//! protobuf.
//!
//! Upstream: `apiserver/pkg/endpoints/handlers/negotiation`.

use http::{HeaderMap, header};

use crate::openapi::V2_PROTOBUF;
use crate::status::ApiError;

/// The encoding of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// What most programs read.
    Json,
    /// What people read.
    Yaml,
    /// What upstream's programs read.
    Protobuf,
}

impl Format {
    /// All, the preferred first.
    const ALL: [Format; 3] = [Format::Json, Format::Yaml, Format::Protobuf];

    /// `application/json`, …
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Yaml => "application/yaml",
            Format::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The object or list itself.
    Object,
    /// `meta.k8s.io` `Table`: what `kubectl get` prints.
    Table,
    /// `PartialObjectMetadata`, or a list of those: what a garbage collector reads.
    Metadata,
}

/// What a client takes, of what is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The encoding.
    pub format: Format,
    /// What is encoded.
    pub form: Form,
    /// The version of that, where it is not the object itself: `meta.k8s.io/v1`, or `v1beta1`.
    pub version: &'static str,
    /// With line breaks and indents, for people.
    pub pretty: bool,
}

/// What an endpoint serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Objects that are built in, in every form.
    Everything,
    /// Custom resources: their own fields have no protobuf form.
    Custom,
    /// Answers that have neither table nor metadata.
    Plain,
}

impl Offer {
    fn allows(self, format: Format, form: Form, version: &str) -> bool {
        match (self, form) {
            (Offer::Plain, Form::Object) | (Offer::Everything, Form::Object) => true,
            (Offer::Plain, _) => false,
            (Offer::Custom, Form::Object) => format != Format::Protobuf,
            (_, Form::Table) => format != Format::Protobuf,
            // The fields of the older list have other numbers, and nobody asks for it any more.
            (_, Form::Metadata) => format != Format::Protobuf || version == V1,
        }
    }
}

const V1: &str = "meta.k8s.io/v1";
const V1BETA1: &str = "meta.k8s.io/v1beta1";

/// Picks what a client likes best (`Accept`) of what is offered.
///
/// # Errors
/// 406 if it takes nothing of that.
pub fn accept(headers: &HeaderMap, offer: Offer) -> Result<Accepted, ApiError> {
    pick(headers, offer).ok_or_else(|| not_acceptable(&Format::ALL.map(Format::media_type)))
}

/// The same for a watch, which is not told in YAML.
///
/// # Errors
/// As [`accept`].
pub fn accept_stream(headers: &HeaderMap, offer: Offer) -> Result<Accepted, ApiError> {
    let picked = pick(headers, offer).filter(|picked| picked.format != Format::Yaml);
    picked.ok_or_else(|| {
        let streams = [Format::Json, Format::Protobuf].map(|format| match format {
            Format::Protobuf => PROTOBUF_STREAM,
            _ => "application/json;stream=watch",
        });
        not_acceptable(&streams)
    })
}

/// Whether discovery is to be told aggregated, which is a form that nothing else has.
///
/// # Errors
/// 406 if neither that nor the plain form is taken.
pub fn wants_aggregated(headers: &HeaderMap) -> Result<bool, ApiError> {
    let (accept, mut plain) = (accept_header(headers), false);
    let mut clauses: Vec<Clause> = accept.split(',').filter_map(Clause::parse).collect();
    clauses.sort_by(|a, b| b.rank().total_cmp(&a.rank()));
    for clause in &clauses {
        let has = |name, value| clause.parameters.contains(&(name, value));
        if clause.takes(Format::Json)
            && has("g", "apidiscovery.k8s.io")
            && has("v", "v2")
            && has("as", "APIGroupDiscoveryList")
        {
            return Ok(true);
        }
        let mut formats = Format::ALL.into_iter();
        plain = formats.any(|format| clause.as_format(format, Offer::Plain).is_some());
        if plain {
            break;
        }
    }
    if plain || clauses.is_empty() {
        Ok(false)
    } else {
        Err(not_acceptable(&Format::ALL.map(Format::media_type)))
    }
}

/// The media type of a watch in protobuf.
pub const PROTOBUF_STREAM: &str = "application/vnd.kubernetes.protobuf;stream=watch";

fn not_acceptable(served: &[&str]) -> ApiError {
    let served = served.join(", ");
    let message = format!("only the following media types are accepted: {served}");
    ApiError::new(406, "NotAcceptable", message)
}

fn pick(headers: &HeaderMap, offer: Offer) -> Option<Accepted> {
    let human = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .is_some_and(|agent| {
            let humans = ["curl", "Wget", "Mozilla/5.0"];
            humans.iter().any(|human| agent.starts_with(human))
        });
    let accept = accept_header(headers);
    if accept.is_empty() {
        return Some(Accepted {
            format: Format::Json,
            form: Form::Object,
            version: V1,
            pretty: human,
        });
    }
    let mut clauses: Vec<Clause> = accept.split(',').filter_map(Clause::parse).collect();
    clauses.sort_by(|a, b| b.rank().total_cmp(&a.rank()));
    let found = clauses.iter().find_map(|clause| {
        let mut formats = Format::ALL.into_iter();
        formats.find_map(|format| clause.as_format(format, offer))
    });
    found.map(|accepted| Accepted {
        pretty: accepted.pretty || human,
        ..accepted
    })
}

fn accept_header(headers: &HeaderMap) -> String {
    let values = headers.get_all(header::ACCEPT).iter();
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// One of the media types that a client takes.
struct Clause<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f64,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Clause<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().filter(|media_type| !media_type.is_empty())?;
        let mut parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let quality = parameters.iter().find(|(name, _)| *name == "q");
        let quality = quality.map_or(Some(1.0), |(_, value)| value.parse().ok());
        parameters.retain(|(name, _)| *name != "q");
        Some(Clause {
            media_type,
            parameters,
            quality: quality.unwrap_or(1.0),
        })
    }

    /// The liked more, and the narrower, first; else as they were sent.
    fn rank(&self) -> f64 {
        let width = match self.media_type {
            "*/*" => 2.0,
            media_type if media_type.ends_with("/*") => 1.0,
            _ => 0.0,
        };
        self.quality * 1000.0 - width / 10.0
    }

    fn takes(&self, format: Format) -> bool {
        matches!(self.media_type, "*/*" | "application/*") || self.media_type == format.media_type()
    }

    /// What it takes in a format, if that is offered.
    fn as_format(&self, format: Format, offer: Offer) -> Option<Accepted> {
        if !self.takes(format) {
            return None;
        }
        let (mut group, mut version, mut kind, mut pretty) = ("", "", None, false);
        for &(name, value) in &self.parameters {
            match name {
                "g" => group = value,
                "v" => version = value,
                "as" => kind = Some(value),
                "pretty" => pretty = value == "1",
                "stream" if value != "watch" || format == Format::Yaml => return None,
                _ => {}
            }
        }
        // ANCHOR: exercise-03.17
        let version = match (group, version) {
            ("", "") if kind.is_none() => V1,
            ("meta.k8s.io", "v1") => V1,
            ("meta.k8s.io", "v1beta1") => V1BETA1,
            _ => return None,
        };
        let form = match kind {
            None if group.is_empty() => Form::Object,
            Some("Table") => Form::Table,
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Form::Metadata,
            _ => return None,
        };
        offer.allows(format, form, version).then_some(Accepted {
            format,
            form,
            version,
            pretty,
        })
        // ANCHOR_END: exercise-03.17
    }
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

    fn picked(accept: &str, offer: Offer) -> Option<(Format, Form)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().expect("is a header"));
        let accepted = super::accept(&headers, offer).ok()?;
        Some((accepted.format, accepted.form))
    }

    fn check(accept: &str, expected: Option<(Format, Form)>) {
        assert_eq!(picked(accept, Offer::Everything), expected, "{accept}");
    }

    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

    #[test]
    fn formats() {
        check("application/json", Some((Format::Json, Form::Object)));
        check("*/*", Some((Format::Json, Form::Object)));
        check("application/yaml", Some((Format::Yaml, Form::Object)));
        check(PROTOBUF, Some((Format::Protobuf, Form::Object)));
        check(
            &format!("{PROTOBUF}, application/json"),
            Some((Format::Protobuf, Form::Object)),
        );
        check(
            &format!("{PROTOBUF};q=0.5, application/yaml;q=0.7, */*;q=0.1"),
            Some((Format::Yaml, Form::Object)),
        );
        check("*/*, application/yaml", Some((Format::Yaml, Form::Object)));
        check("text/html", None);
        check("application/yaml;stream=watch", None);
    }

    #[test]
    fn forms() {
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;\
             g=meta.k8s.io,application/json",
            Some((Format::Json, Form::Table)),
        );
        check(
            "application/json;as=Table;v=v2;g=meta.k8s.io,application/json",
            Some((Format::Json, Form::Object)),
        );
        check(
            "application/json;as=Table,application/yaml",
            Some((Format::Yaml, Form::Object)),
        );
        let metadata = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        check(
            &format!("{PROTOBUF};{metadata},application/json;{metadata}"),
            Some((Format::Protobuf, Form::Metadata)),
        );
        // A table has no protobuf form.
        let table = "as=Table;g=meta.k8s.io;v=v1";
        check(
            &format!("{PROTOBUF};{table},application/json;{table}"),
            Some((Format::Json, Form::Table)),
        );
    }

    /// Upstream: `RequestScope.AllowsMediaTypeTransform`.
    #[test]
    fn what_is_not_offered_is_passed_over() {
        let both = format!("{PROTOBUF},application/json");
        let json = Some((Format::Json, Form::Object));
        assert_eq!(picked(&both, Offer::Custom), json);
        assert_eq!(picked(PROTOBUF, Offer::Custom), None);
        let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
        assert_eq!(picked(table, Offer::Plain), None);
    }

    #[test]
    fn discovery_has_a_form_of_its_own() {
        let check = |accept: &str, expected: Option<bool>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("is a header"));
            assert_eq!(wants_aggregated(&headers).ok(), expected, "{accept}");
        };
        let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        check(&format!("{aggregated},application/json"), Some(true));
        check(&format!("application/json,{aggregated}"), Some(false));
        check(&aggregated.replace("v2", "v3"), None);
        check("*/*", Some(false));
        assert_eq!(wants_aggregated(&HeaderMap::new()).ok(), Some(false));
    }

    #[test]
    fn what_is_accepted_is_told() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, "application/yaml".parse().expect("is one"));
        let error = accept_stream(&headers, Offer::Everything).expect_err("is no stream");
        assert_eq!(
            (error.code, error.message.as_str()),
            (
                406,
                "only the following media types are accepted: application/json;stream=watch, \
                 application/vnd.kubernetes.protobuf;stream=watch"
            )
        );
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
