//! From a request's method, path and query to what it is about.
//!
//! ```text
//! /api/v1/namespaces/default/pods/web/log
//! /apis/apps/v1/namespaces/default/deployments?watch=1
//!       ▲group ▲version             ▲resource /name /subresource
//! ```
//!
//! Upstream: `apiserver/pkg/endpoints/request/requestinfo.go`.

use http::Method;

use crate::selectors::FieldSelector;

/// The parameters of a request, decoded, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string.
    pub fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Query(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key, true), decode(value, true))
                })
                .collect(),
        )
    }

    /// The first value of a parameter, empty where it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether a parameter is there.
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// A parameter as upstream reads a boolean; one that is there without a value is true.
    pub fn flag(&self, name: &str) -> bool {
        self.all(name).next().is_some_and(is_true)
    }
}

/// Whether a value means yes: all but two do. Upstream: `Convert_Slice_string_To_bool`.
pub fn is_true(value: &str) -> bool {
    value != "0" && !value.eq_ignore_ascii_case("false")
}

/// Undoes percent-encoding.
fn decode(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = match (
            bytes[at],
            hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()),
        ) {
            (b'%', Some(byte)) => {
                at += 2;
                byte
            }
            (b'+', _) if plus_is_space => b' ',
            (byte, _) => byte,
        };
        decoded.push(byte);
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// What a request is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// `get`, `list`, `watch`, `create`, … for resources; the method in small letters for others.
    pub verb: &'static str,
    /// It is about a resource, and not another path.
    pub is_resource: bool,
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Resource, in the plural.
    pub resource: String,
    /// Part of the object, empty where there is none.
    pub subresource: String,
    /// What follows the subresource, as it was sent: where a proxied request goes.
    pub rest: String,
    /// Namespace; a Namespace object's own name counts.
    pub namespace: String,
    /// Name of the object, empty for collections.
    pub name: String,
    /// Path, decoded.
    pub path: String,
}

/// Reads what a request is about.
pub fn request_info(method: &Method, path: &str, query: &Query) -> RequestInfo {
    let mut info = RequestInfo {
        verb: method_verb(method),
        path: decode(path, false),
        ..RequestInfo::default()
    };
    let mut parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| decode(part, false))
        .collect();
    let segments = parts.len();
    let rest = match parts.first().map(String::as_str) {
        Some("api") if parts.len() > 2 => {
            info.version = parts[1].clone();
            parts.split_off(2)
        }
        Some("apis") if parts.len() > 3 => {
            info.group = parts[1].clone();
            info.version = parts[2].clone();
            parts.split_off(3)
        }
        _ => return info,
    };
    let mut rest = rest.into_iter().peekable();
    info.is_resource = true;
    // The old form of watches: /api/v1/watch/pods.
    let old_watch = rest.peek().is_some_and(|part| part == "watch");
    if old_watch {
        rest.next();
    }
    let rest: Vec<String> = rest.collect();
    let (namespace, rest) = in_namespace(&rest);
    info.namespace = namespace.to_owned();
    let part = |at: usize| rest.get(at).cloned().unwrap_or_default();
    info.resource = part(0);
    info.name = part(1);
    info.subresource = part(2);
    if !info.subresource.is_empty() {
        // Of the segments, those that are left over.
        let used = segments - rest.len() + 3;
        info.rest = after_segments(path, used).to_owned();
    }

    let collection = info.name.is_empty();
    info.verb = match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD if old_watch || collection && query.flag("watch") => "watch",
        Method::GET | Method::HEAD if collection => "list",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        _ => "",
    };
    // A list or watch that is narrowed to one name is authorised as that object is. The deletion of
    // a collection is not: whoever may delete some names only may not delete collections.
    if collection && matches!(info.verb, "list" | "watch") {
        let selector = FieldSelector::parse(query.get("fieldSelector")).ok();
        let name = selector.as_ref().and_then(|s| s.exact("metadata.name"));
        if let Some(name) = name.filter(|name| is_segment(name)) {
            info.name = name.to_owned();
        }
    }
    info
}

/// Of the segments after the version: the namespace, empty where there is none, and those that
/// name the object in it. `namespaces/a/pods/b/log` is `pods/b/log` in `a`; a Namespace itself is
/// in its own: `namespaces/a/status` stays as it is, in `a`.
fn in_namespace(segments: &[String]) -> (&str, &[String]) {
    // ANCHOR: exercise-03.2
    let [first, namespace, within @ ..] = segments else {
        return ("", segments);
    };
    if first != "namespaces" {
        return ("", segments);
    }
    // No resource is called like a part of a Namespace.
    match within.first().map(String::as_str) {
        None | Some("status" | "finalize") => (namespace, segments),
        Some(_) => (namespace, within),
    }
    // ANCHOR_END: exercise-03.2
}

/// Whether a name can be a segment of a path. Upstream: `IsValidPathSegmentName`.
fn is_segment(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '%'])
}

/// What follows the first `count` segments of a path: empty, or with its slash.
fn after_segments(path: &str, count: usize) -> &str {
    let mut rest = path;
    for _ in 0..count {
        rest = rest.trim_start_matches('/');
        rest = &rest[rest.find('/').unwrap_or(rest.len())..];
    }
    rest
}

fn method_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(method: Method, uri: &str) -> String {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let info = request_info(&method, path, &Query::parse(query));
        if !info.is_resource {
            return format!("{} path {}", info.verb, info.path);
        }
        let RequestInfo {
            verb,
            group,
            version,
            resource,
            subresource,
            namespace,
            name,
            ..
        } = info;
        format!("{verb} {group}/{version} {resource} {namespace}/{name} {subresource}")
            .trim_end()
            .to_owned()
    }

    #[test]
    fn paths() {
        let get = |uri| info(Method::GET, uri);
        assert_eq!(get("/healthz"), "get path /healthz");
        assert_eq!(get("/api/v1"), "get path /api/v1");
        assert_eq!(get("/apis/apps/v1"), "get path /apis/apps/v1");
        assert_eq!(get("/api/v1/pods"), "list /v1 pods /");
        assert_eq!(get("/api/v1/pods?watch=true"), "watch /v1 pods /");
        assert_eq!(get("/api/v1/namespaces"), "list /v1 namespaces /");
        assert_eq!(get("/api/v1/namespaces/a"), "get /v1 namespaces a/a");
        assert_eq!(
            get("/api/v1/namespaces/a/status"),
            "get /v1 namespaces a/a status"
        );
        assert_eq!(
            get("/api/v1/namespaces/a/pods/b/log"),
            "get /v1 pods a/b log"
        );
        assert_eq!(
            get("/apis/apps/v1/namespaces/a/deployments/b/scale"),
            "get apps/v1 deployments a/b scale"
        );
        assert_eq!(
            get("/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Db&watch=1"),
            "watch /v1 pods a/b"
        );
        // The selector as it is read for the list itself: not another reading of the same text.
        assert_eq!(
            get("/api/v1/namespaces/a/pods?fieldSelector=spec.nodeName%3Dn,metadata.name%3D%3Db"),
            "list /v1 pods a/b"
        );
        assert_eq!(
            get("/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3D.."),
            "list /v1 pods a/"
        );
        assert_eq!(
            info(
                Method::DELETE,
                "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Db"
            ),
            "deletecollection /v1 pods a/"
        );
        assert_eq!(
            info(Method::PUT, "/api/v1/namespaces/a/finalize"),
            "update /v1 namespaces a/a finalize"
        );
    }

    #[test]
    fn what_follows_a_subresource_is_as_it_was_sent() {
        let rest = |path| request_info(&Method::GET, path, &Query::default()).rest;
        assert_eq!(rest("/api/v1/namespaces/a/pods/b/proxy"), "");
        assert_eq!(rest("/api/v1/namespaces/a/pods/b/proxy/"), "/");
        assert_eq!(
            rest("/api/v1/namespaces/a/pods/b:80/proxy/c//d%2Fe/"),
            "/c//d%2Fe/"
        );
        assert_eq!(
            rest("/api/v1/nodes/n/proxy/stats/summary"),
            "/stats/summary"
        );
        assert_eq!(rest("/api/v1/namespaces/a/pods/b"), "");
    }

    #[test]
    fn queries() {
        let query = Query::parse("command=sh&command=-c&x=a+b%2Fc&tty&stdin=false&bad=%zz");
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["sh", "-c"]);
        assert_eq!(query.get("x"), "a b/c");
        assert_eq!(query.get("bad"), "%zz");
        assert!(query.flag("tty") && !query.flag("stdin") && !query.flag("none"));
    }
}
