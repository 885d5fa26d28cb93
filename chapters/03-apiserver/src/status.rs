//! Errors as the API tells them: `metav1.Status`.
//!
//! Upstream: `staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go`, whose messages clients
//! print and, now and then, match on.

use serde_json::{Map, Value, json};

/// One wrong field: an entry of `details.causes`. Upstream: `field.Error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// `FieldValueRequired`, `FieldValueInvalid`, `FieldValueNotSupported`,
    /// `FieldValueForbidden`, `FieldValueDuplicate`, `FieldValueNotFound`, …
    pub reason: &'static str,
    /// Path of the field: `spec.containers[0].image`.
    pub field: String,
    /// `Required value: …`, `Invalid value: "x": …`.
    pub message: String,
}

impl FieldError {
    /// A field that must be there. Upstream: `field.Required`.
    pub fn required(field: impl Into<String>, detail: impl AsRef<str>) -> FieldError {
        FieldError::new("FieldValueRequired", field, "Required value", detail)
    }

    /// A field whose value will not do. Upstream: `field.Invalid`. Strings are quoted as Go's
    /// `%q` does, other values print as JSON.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: impl AsRef<str>) -> FieldError {
        FieldError::new(
            "FieldValueInvalid",
            field,
            &format!("Invalid value: {value}"),
            detail,
        )
    }

    /// A value that is none of those allowed. Upstream: `field.NotSupported`.
    pub fn not_supported(
        field: impl Into<String>,
        value: &Value,
        supported: &[&str],
    ) -> FieldError {
        let mut supported: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        supported.sort();
        let detail = format!("supported values: {}", supported.join(", "));
        FieldError::new(
            "FieldValueNotSupported",
            field,
            &format!("Unsupported value: {value}"),
            detail,
        )
    }

    /// A field that may not be set, or not changed, here. Upstream: `field.Forbidden`.
    pub fn forbidden(field: impl Into<String>, detail: impl AsRef<str>) -> FieldError {
        FieldError::new("FieldValueForbidden", field, "Forbidden", detail)
    }

    /// A value that may be there once only. Upstream: `field.Duplicate`.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> FieldError {
        FieldError::new(
            "FieldValueDuplicate",
            field,
            &format!("Duplicate value: {value}"),
            "",
        )
    }

    /// A value that names something that is not there. Upstream: `field.NotFound`.
    pub fn not_found(field: impl Into<String>, value: &Value) -> FieldError {
        FieldError::new(
            "FieldValueNotFound",
            field,
            &format!("Not found: {value}"),
            "",
        )
    }

    fn new(
        reason: &'static str,
        field: impl Into<String>,
        head: &str,
        detail: impl AsRef<str>,
    ) -> FieldError {
        let detail = detail.as_ref();
        let message = if detail.is_empty() {
            head.to_owned()
        } else {
            format!("{head}: {detail}")
        };
        FieldError {
            reason,
            field: field.into(),
            message,
        }
    }
}

/// An answer that is not the one asked for. Carries everything of its `metav1.Status`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status code.
    pub code: u16,
    /// `NotFound`, `AlreadyExists`, `Conflict`, `Invalid`, …; what clients branch on.
    pub reason: &'static str,
    /// What a person reads.
    pub message: String,
    /// `details` of the Status, if any.
    pub details: Option<Map<String, Value>>,
    /// `metadata.continue` of the Status: where a list can go on nevertheless. Empty elsewhere.
    pub continue_token: String,
}

/// Which object an error is about, for its message and details.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// API group, empty for core.
    pub group: &'a str,
    /// `pods`; upstream puts the resource (or, for `Invalid`, the kind) into `details.kind`.
    pub resource: &'a str,
    /// `Pod`
    pub kind: &'a str,
    /// Name of the object, empty for a collection.
    pub name: &'a str,
}

impl Subject<'_> {
    fn qualified_resource(&self) -> String {
        qualify(self.resource, self.group)
    }

    fn details(&self, kind: &str) -> Map<String, Value> {
        let mut details = Map::new();
        for (key, value) in [("name", self.name), ("group", self.group), ("kind", kind)] {
            if !value.is_empty() {
                details.insert(key.to_owned(), value.into());
            }
        }
        details
    }
}

/// `deployments.apps`, or `pods` for the core group.
fn qualify(name: &str, group: &str) -> String {
    if group.is_empty() {
        name.to_owned()
    } else {
        format!("{name}.{group}")
    }
}

impl ApiError {
    /// Any error, without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> ApiError {
        ApiError {
            code,
            reason,
            message: message.into(),
            details: None,
            continue_token: String::new(),
        }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "BadRequest", message)
    }

    /// 401: it is not known who asks.
    pub fn unauthorized() -> ApiError {
        ApiError::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403: it is known who asks, and it is not allowed. `detail` is the authoriser's:
    /// `User "jane" cannot list resource "pods" in API group "" in the namespace "default"`.
    pub fn forbidden(subject: Subject, detail: impl AsRef<str>) -> ApiError {
        let resource = subject.qualified_resource();
        let detail = detail.as_ref();
        let message = if subject.resource.is_empty() {
            format!("forbidden: {detail}")
        } else if subject.name.is_empty() {
            format!("{resource} is forbidden: {detail}")
        } else {
            format!("{resource} {:?} is forbidden: {detail}", subject.name)
        };
        ApiError {
            code: 403,
            reason: "Forbidden",
            message,
            details: Some(subject.details(subject.resource)),
            continue_token: String::new(),
        }
    }

    /// 404: no such object.
    pub fn not_found(subject: Subject) -> ApiError {
        ApiError {
            code: 404,
            reason: "NotFound",
            message: format!(
                "{} {:?} not found",
                subject.qualified_resource(),
                subject.name
            ),
            details: Some(subject.details(subject.resource)),
            continue_token: String::new(),
        }
    }

    /// 404: no such path.
    pub fn no_such_path() -> ApiError {
        ApiError {
            code: 404,
            reason: "NotFound",
            message: "the server could not find the requested resource".into(),
            details: Some(Map::new()),
            continue_token: String::new(),
        }
    }

    /// 405: the resource is there, the verb is not.
    pub fn method_not_allowed() -> ApiError {
        ApiError::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// 409: the name is taken.
    pub fn already_exists(subject: Subject) -> ApiError {
        ApiError {
            code: 409,
            reason: "AlreadyExists",
            message: format!(
                "{} {:?} already exists",
                subject.qualified_resource(),
                subject.name
            ),
            details: Some(subject.details(subject.resource)),
            continue_token: String::new(),
        }
    }

    /// 409: the name is taken, which the server has thought of.
    pub fn not_generated(taken: ApiError) -> ApiError {
        const WHY: &str = ", the server was not able to generate a unique name for the object";
        let mut error = taken;
        error.message.push_str(WHY);
        let details = error.details.get_or_insert_default();
        details.insert("retryAfterSeconds".into(), 1.into());
        error
    }

    /// 409: somebody else was faster. Read it again, then write again.
    pub fn conflict(subject: Subject, detail: impl AsRef<str>) -> ApiError {
        ApiError {
            code: 409,
            reason: "Conflict",
            message: format!(
                "Operation cannot be fulfilled on {} {:?}: {}",
                subject.qualified_resource(),
                subject.name,
                detail.as_ref()
            ),
            details: Some(subject.details(subject.resource)),
            continue_token: String::new(),
        }
    }

    /// 409 with upstream's usual words: the object was changed since it was read.
    pub fn modified(subject: Subject) -> ApiError {
        ApiError::conflict(
            subject,
            "the object has been modified; please apply your changes to the latest version and \
             try again",
        )
    }

    /// 410: the revision is no longer kept; list anew.
    pub fn gone(message: impl Into<String>) -> ApiError {
        ApiError::new(410, "Expired", message)
    }

    /// 415: a body in a form that this path does not take.
    pub fn unsupported_media_type(message: impl Into<String>) -> ApiError {
        ApiError::new(415, "UnsupportedMediaType", message)
    }

    /// 422: understood, but these fields will not do.
    pub fn invalid(subject: Subject, errors: &[FieldError]) -> ApiError {
        let listed: Vec<String> = errors
            .iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect();
        let text = match listed.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let kind = qualify(subject.kind, subject.group);
        let mut details = subject.details(subject.kind);
        let causes: Vec<Value> = errors
            .iter()
            .map(|e| json!({"reason": e.reason, "message": e.message, "field": e.field}))
            .collect();
        details.insert("causes".into(), causes.into());
        ApiError {
            code: 422,
            reason: "Invalid",
            message: format!("{kind} {:?} is invalid: {text}", subject.name),
            details: Some(details),
            continue_token: String::new(),
        }
    }

    /// 500: ours to mend.
    pub fn internal(message: impl AsRef<str>) -> ApiError {
        let message = format!("Internal error occurred: {}", message.as_ref());
        let mut details = Map::new();
        details.insert("causes".into(), json!([{"message": message}]));
        ApiError {
            code: 500,
            reason: "InternalError",
            message,
            details: Some(details),
            continue_token: String::new(),
        }
    }

    /// Adds a cause that is about no one field.
    pub fn add_cause(&mut self, message: impl Into<String>) {
        let details = self.details.get_or_insert_default();
        let causes = details.entry("causes").or_insert_with(|| json!([]));
        if let Some(causes) = causes.as_array_mut() {
            causes.push(json!({"message": message.into()}));
        }
    }

    /// The `metav1.Status` of this error.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if !self.continue_token.is_empty() {
            status["metadata"]["continue"] = self.continue_token.as_str().into();
        }
        if let Some(details) = &self.details {
            status["details"] = Value::Object(details.clone());
        }
        status
    }
}
