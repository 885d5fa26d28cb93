//! The less common forms: hosts of an Ingress, paths with a domain, reasons of conditions, lists that are too long.
//!
//! Upstream: `apimachinery/pkg/util/validation/validation.go`.

use serde_json::json;

use super::{
    check::Errors,
    names::{self, Wrongs},
};
use crate::status::FieldError;

/// `example.com/foo`: a controller of Ingresses, a manager of Jobs.
pub(super) fn domain_prefixed_path(errors: &mut Errors, value: &str, field: &str) {
    if value.is_empty() {
        return errors.push(FieldError::required(field, ""));
    }
    let Some((host, path)) = value
        .split_once('/')
        .filter(|(host, path)| !host.is_empty() && !path.is_empty())
    else {
        let wrong = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return errors.push(FieldError::invalid(field, &json!(value), wrong));
    };
    for wrong in names::dns1123_subdomain(host) {
        errors.push(FieldError::invalid(field, &json!(host), wrong));
    }
    let in_path = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
    if !path.bytes().all(in_path) {
        let wrong = "Invalid path (regex used for validation is \
                     '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        errors.push(FieldError::invalid(field, &json!(path), wrong));
    }
}

/// `*.example.com`
pub(super) fn wildcard_subdomain(value: &str) -> Wrongs {
    let good = value
        .strip_prefix("*.")
        .is_some_and(|rest| names::dns1123_subdomain(rest).is_empty());
    if good {
        return Wrongs::new();
    }
    vec![
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, \
         which must consist of lower case alphanumeric characters, '-' or '.' and end with an \
         alphanumeric character (e.g. '*.example.com', regex used for validation is \
         '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            .to_owned(),
    ]
}

/// The reason of a condition.
pub(super) fn condition_reason(value: &str) -> Wrongs {
    let in_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = value.as_bytes();
    let good = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(|b| in_word(*b))
        && bytes
            .iter()
            .all(|b| in_word(*b) || matches!(b, b',' | b':'));
    if good {
        return Wrongs::new();
    }
    vec![
        "a condition reason must start with alphabetic character, optionally followed by a \
         string of alphanumeric characters or '_,:', and must end with an alphanumeric character \
         or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or \
         'ReasonA:ReasonB', regex used for validation is \
         '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"
            .to_owned(),
    ]
}

/// More entries than there may be. Upstream: `field.TooMany`.
pub(super) fn too_many(field: &str, there: usize, max: usize) -> FieldError {
    let items = if max == 1 { "item" } else { "items" };
    FieldError {
        reason: "FieldValueTooMany",
        field: field.to_owned(),
        message: format!("Too many: {there}: must have at most {max} {items}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_paths_and_reasons() {
        assert_eq!(wildcard_subdomain("*.example.com"), Wrongs::new());
        assert_eq!(wildcard_subdomain("a.*.com").len(), 1);
        assert_eq!(condition_reason("ReasonA:ReasonB"), Wrongs::new());
        assert_eq!(condition_reason("1st").len(), 1);
        let told = |value: &str| {
            let mut errors = Vec::new();
            domain_prefixed_path(&mut errors, value, "f");
            errors
        };
        assert_eq!(told("example.com/x"), []);
        for (wrong, message) in [
            ("", "Required value"),
            (
                "x",
                "Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\")",
            ),
            (
                "a.b/ ",
                "Invalid value: \" \": Invalid path (regex used for validation is \
                 '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')",
            ),
        ] {
            assert_eq!(told(wrong)[0].message, message, "{wrong}");
        }
    }
}
