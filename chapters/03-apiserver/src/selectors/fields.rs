//! Selectors over fields: `spec.nodeName=worker-1,status.phase!=Failed`.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::{custom, resources::Resource, status::ApiError};

/// One term: the field is, or is not, that value. A field that is absent is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: String,
    equal: bool,
    value: String,
}

/// A selector over fields; the default one selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

impl FieldSelector {
    /// Parses the form of the query string. Empty text selects everything.
    ///
    /// # Errors
    /// 400 with upstream's words about the part that is no comparison.
    pub fn parse(text: &str) -> Result<FieldSelector, ApiError> {
        let mut parts: Vec<&str> = split_unescaped(text);
        parts.sort_unstable();
        let terms = parts.into_iter().map(|part| {
            let (field, equal, value) = split_term(part).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                ))
            })?;
            let (field, value) = (field.to_owned(), unescaped(value)?);
            // Old clients name a pod's node so.
            let field = if field == "spec.host" {
                "spec.nodeName".to_owned()
            } else {
                field
            };
            Ok(Term {
                field,
                equal,
                value,
            })
        });
        Ok(FieldSelector {
            terms: terms.collect::<Result<_, ApiError>>()?,
        })
    }

    /// Of `FieldSelectorRequirement`s, as far as they say that a field is, or is not, a value. What
    /// else they say would only narrow.
    pub fn of_requirements(requirements: &[Value]) -> FieldSelector {
        let terms = requirements.iter().filter_map(|requirement| {
            let values = requirement["values"].as_array()?;
            let [value] = values.as_slice() else {
                return None;
            };
            let equal = match requirement["operator"].as_str()? {
                "In" => true,
                "NotIn" => false,
                _ => return None,
            };
            Some(Term {
                field: requirement["key"].as_str()?.to_owned(),
                equal,
                value: value.as_str()?.to_owned(),
            })
        });
        FieldSelector {
            terms: terms.collect(),
        }
    }

    /// Whether the resource can be selected by these fields.
    ///
    /// # Errors
    /// 400 naming the first field that it can't be selected by.
    pub fn check(&self, resource: &Resource) -> Result<(), ApiError> {
        let supported = |field: &str| supported(resource, field);
        match self.terms.iter().find(|term| !supported(&term.field)) {
            None => Ok(()),
            Some(Term { field, .. }) if resource.custom.is_none() && table(resource).is_empty() => {
                Err(ApiError::bad_request(format!(
                    "{field:?} is not a known field selector: only \"metadata.name\", \
                     \"metadata.namespace\""
                )))
            }
            Some(Term { field, .. }) => Err(ApiError::bad_request(format!(
                "field label not supported: {field}"
            ))),
        }
    }

    /// The same by the names under which the objects are stored: events are stored as core/v1's.
    /// Upstream: the conversions of field labels in `pkg/apis/events/v1`.
    pub fn as_stored(mut self, resource: &Resource) -> FieldSelector {
        if resource.group == "events.k8s.io" {
            for term in &mut self.terms {
                if let Some(rest) = term.field.strip_prefix("regarding.") {
                    term.field = format!("involvedObject.{rest}");
                } else if term.field == "reportingController" {
                    term.field = "reportingComponent".to_owned();
                }
            }
        }
        self
    }

    /// Whether all terms hold, given the value of each field.
    pub fn matches(&self, field: impl Fn(&str) -> Option<String>) -> bool {
        self.terms
            .iter()
            .all(|term| (field(&term.field).unwrap_or_default() == term.value) == term.equal)
    }

    /// Whether all terms hold over what [`selectable_fields`] gave.
    pub fn matches_fields(&self, fields: &[(Cow<'static, str>, String)]) -> bool {
        self.terms.iter().all(|term| {
            let found = fields.iter().find(|(field, _)| *field == term.field);
            let value = found.map_or("", |(_, value)| value.as_str());
            (value == term.value) == term.equal
        })
    }

    /// The value that a field must have, if there is only one: `metadata.name=x` is a get.
    pub fn exact(&self, field: &str) -> Option<&str> {
        let term = self
            .terms
            .iter()
            .find(|term| term.equal && term.field == field)?;
        Some(&term.value)
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (
            index,
            Term {
                field,
                equal,
                value,
            },
        ) in self.terms.iter().enumerate()
        {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{field}{}", if *equal { "=" } else { "!=" })?;
            for letter in value.chars() {
                let escape = if is_escaped(letter) { "\\" } else { "" };
                write!(f, "{escape}{letter}")?;
            }
        }
        Ok(())
    }
}

/// What has a backslash before it in a value.
fn is_escaped(letter: char) -> bool {
    matches!(letter, '\\' | ',' | '=')
}

/// The parts between commas that have no backslash before them, without empty ones.
fn split_unescaped(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Field, whether it is to be equal, and value: at the first operator.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = (0..term.len())
        .filter(|at| term.is_char_boundary(*at))
        .find(|at| term[*at..].starts_with("!=") || term[*at..].starts_with('='))?;
    let (field, rest) = term.split_at(at);
    let (operator, equal) = match rest {
        _ if rest.starts_with("!=") => ("!=", false),
        _ if rest.starts_with("==") => ("==", true),
        _ => ("=", true),
    };
    Some((field, equal, &rest[operator.len()..]))
}

/// A value without its backslashes. Upstream: `fields.UnescapeValue`.
fn unescaped(value: &str) -> Result<String, ApiError> {
    let mut plain = String::with_capacity(value.len());
    let mut letters = value.chars();
    let invalid = |what: String| {
        Err(ApiError::bad_request(format!(
            "invalid field selector: {what}"
        )))
    };
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(next) if is_escaped(next) => plain.push(next),
                next => {
                    let sequence: String = [Some(letter), next].into_iter().flatten().collect();
                    return invalid(format!("invalid escape sequence: {sequence}"));
                }
            },
            // Go prints the number of the character.
            ',' | '=' => {
                let number = u32::from(letter);
                return invalid(format!("unescaped character in value: {number}"));
            }
            _ => plain.push(letter),
        }
    }
    Ok(plain)
}

/// A field, where to find it in the object, and what an absent one counts as.
type Field = (&'static str, &'static str, &'static str);

const POD: &[Field] = &[
    ("spec.nodeName", "/spec/nodeName", ""),
    ("spec.restartPolicy", "/spec/restartPolicy", ""),
    ("spec.schedulerName", "/spec/schedulerName", ""),
    ("spec.serviceAccountName", "/spec/serviceAccountName", ""),
    ("spec.hostNetwork", "/spec/hostNetwork", "false"),
    ("status.phase", "/status/phase", ""),
    ("status.podIP", "/status/podIP", ""),
    ("status.nominatedNodeName", "/status/nominatedNodeName", ""),
];

const EVENT: &[Field] = &[
    ("involvedObject.kind", "/involvedObject/kind", ""),
    ("involvedObject.namespace", "/involvedObject/namespace", ""),
    ("involvedObject.name", "/involvedObject/name", ""),
    ("involvedObject.uid", "/involvedObject/uid", ""),
    (
        "involvedObject.apiVersion",
        "/involvedObject/apiVersion",
        "",
    ),
    (
        "involvedObject.resourceVersion",
        "/involvedObject/resourceVersion",
        "",
    ),
    ("involvedObject.fieldPath", "/involvedObject/fieldPath", ""),
    ("reason", "/reason", ""),
    ("reportingComponent", "/reportingComponent", ""),
    ("source", "/source/component", ""),
    ("type", "/type", ""),
];

/// The same events through events.k8s.io: `involvedObject` is called `regarding` there.
const REGARDING: &[Field] = &[
    ("regarding.kind", "/regarding/kind", ""),
    ("regarding.namespace", "/regarding/namespace", ""),
    ("regarding.name", "/regarding/name", ""),
    ("regarding.uid", "/regarding/uid", ""),
    ("regarding.apiVersion", "/regarding/apiVersion", ""),
    (
        "regarding.resourceVersion",
        "/regarding/resourceVersion",
        "",
    ),
    ("regarding.fieldPath", "/regarding/fieldPath", ""),
    ("reason", "/reason", ""),
    ("reportingController", "/reportingController", ""),
    ("type", "/type", ""),
];

/// The fields of a kind beside `metadata.name` and `metadata.namespace`.
fn table(resource: &Resource) -> &'static [Field] {
    match (resource.group, resource.plural) {
        ("", "pods") => POD,
        ("", "events") => EVENT,
        ("events.k8s.io", "events") => REGARDING,
        ("", "nodes") => &[("spec.unschedulable", "/spec/unschedulable", "false")],
        ("", "namespaces") => &[("status.phase", "/status/phase", "")],
        ("", "secrets") => &[("type", "/type", "")],
        ("", "services") => &[
            ("spec.clusterIP", "/spec/clusterIP", ""),
            ("spec.type", "/spec/type", ""),
        ],
        ("resource.k8s.io", "resourceslices") => &[
            ("spec.nodeName", "/spec/nodeName", ""),
            ("spec.driver", "/spec/driver", ""),
        ],
        ("certificates.k8s.io", _) => &[("spec.signerName", "/spec/signerName", "")],
        ("apps", "replicasets") | ("", "replicationcontrollers") => {
            &[("status.replicas", "/status/replicas", "0")]
        }
        ("batch", "jobs") => &[("status.successful", "/status/succeeded", "0")],
        _ => &[],
    }
}

fn supported(resource: &Resource, field: &str) -> bool {
    match field {
        "metadata.name" => true,
        // Nodes and namespaces have conversions of their own, which leave it out.
        "metadata.namespace" => {
            resource.namespaced || resource.custom.is_none() && table(resource).is_empty()
        }
        _ => match resource.custom {
            Some(custom) => custom.selectable_fields().any(|name| name == field),
            None => table(resource).iter().any(|(name, ..)| *name == field),
        },
    }
}

/// Where in an object the fields are that it can be selected by: the names that lead there.
pub fn places(resource: &Resource) -> Vec<Vec<Box<str>>> {
    let owned = |names: Vec<&str>| names.into_iter().map(Box::from).collect();
    let mut places = vec![owned(vec!["metadata", "name"])];
    if resource.namespaced {
        places.push(owned(vec!["metadata", "namespace"]));
    }
    match resource.custom {
        Some(custom) => places.extend(
            custom
                .selectable_fields()
                .map(|name| owned(custom::simple(name))),
        ),
        None => places.extend(
            table(resource)
                .iter()
                .map(|(_, at, _)| owned(at.split('/').skip(1).collect())),
        ),
    }
    places
}

/// What an object can be selected by. `resource` is the one it was asked for as: events have
/// other fields in events.k8s.io than in core.
pub fn selectable_fields(resource: &Resource, object: &Value) -> Vec<(Cow<'static, str>, String)> {
    let shown = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text = |pointer: &str, absent: &str| match object.pointer(pointer) {
        None | Some(Value::Null) => absent.to_owned(),
        Some(value) => shown(value),
    };
    let mut fields = vec![("metadata.name".into(), text("/metadata/name", ""))];
    if resource.namespaced {
        fields.push(("metadata.namespace".into(), text("/metadata/namespace", "")));
    }
    if let Some(custom) = resource.custom {
        fields.extend(custom.selectable_fields().map(|name| {
            let names = custom::simple(name).into_iter();
            let found = names.fold(object, |value, name| &value[name]);
            (name.to_owned().into(), shown(found))
        }));
        return fields;
    }
    fields.extend(
        table(resource)
            .iter()
            .map(|(name, at, absent)| ((*name).into(), text(at, absent))),
    );
    if (resource.group, resource.plural) == ("", "events") {
        // An event without a source's component is told by its reporter. Upstream:
        // `pkg/registry/core/event/strategy.go`.
        for (name, value) in &mut fields {
            if *name == "source" && value.is_empty() {
                *value = text("/reportingComponent", "");
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::by_path;

    #[test]
    fn fields_select() {
        let pods = by_path("", "v1", "pods").expect("pods are served");
        let pod = json!({
            "metadata": {"name": "a", "namespace": "b"},
            "spec": {"restartPolicy": "Always"},
            "status": {"phase": "Running"},
        });
        let fields = selectable_fields(pods, &pod);
        for (text, expected) in [
            ("", true),
            ("metadata.name=a,status.phase!=Failed", true),
            ("spec.nodeName=", true),
            ("spec.nodeName==x", false),
            ("spec.hostNetwork=false", true),
        ] {
            let selector = FieldSelector::parse(text).expect(text);
            selector.check(pods).expect(text);
            assert_eq!(selector.matches_fields(&fields), expected, "{text}");
        }
        let exact = FieldSelector::parse("metadata.name=a,spec.nodeName!=b").expect("valid");
        assert_eq!(
            (exact.exact("metadata.name"), exact.exact("spec.nodeName")),
            (Some("a"), None)
        );
    }

    #[test]
    fn values_are_escaped() {
        let selector = FieldSelector::parse(r"a=x\,y\=z\\,b==c").expect("valid");
        assert_eq!(
            (selector.exact("a"), selector.exact("b")),
            (Some(r"x,y=z\"), Some("c"))
        );
        assert_eq!(selector.to_string(), r"a=x\,y\=z\\,b=c");
        for (text, message) in [
            (
                "a==b=c",
                "invalid field selector: unescaped character in value: 61",
            ),
            (
                r"a=\n",
                r"invalid field selector: invalid escape sequence: \n",
            ),
            (
                "a=\\",
                r"invalid field selector: invalid escape sequence: \",
            ),
        ] {
            let error = FieldSelector::parse(text).expect_err(text);
            assert_eq!((error.code, error.message.as_str()), (400, message));
        }
    }

    #[test]
    fn what_is_refused() {
        let check = |plural: &str, text: &str| {
            let resource = by_path("", "v1", plural).expect(plural);
            FieldSelector::parse(text)
                .and_then(|s| s.check(resource))
                .expect_err(text)
                .message
        };
        assert_eq!(
            check("pods", "a"),
            "invalid selector: 'a'; can't understand 'a'"
        );
        assert_eq!(
            check("pods", "spec.x=1"),
            "field label not supported: spec.x"
        );
        assert_eq!(
            check("configmaps", "data.x=1"),
            "\"data.x\" is not a known field selector: only \"metadata.name\", \
             \"metadata.namespace\""
        );
    }
}
