//! The forms of names: each function returns what is wrong with a value, nothing if it will do.
//!
//! Upstream: `staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go`. The patterns are
//! part of the messages, and are matched here by hand: they are small, and a regex engine is not.

/// What is wrong with a value, one message each; empty if nothing is.
pub type Wrongs = Vec<String>;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

/// A message with the pattern that was not met, and examples that meet it.
/// Upstream: `RegexError`, with its doubled space between examples.
fn pattern(message: &str, pattern: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!(
        "{message} (e.g. {}regex used for validation is '{pattern}')",
        examples.join(" or ")
    )
}

fn too_long(value: &str, max: usize) -> Option<String> {
    (value.len() > max).then(|| format!("must be no more than {max} bytes"))
}

/// `first (middle* last)?`: the shape of every name here.
fn shaped(
    value: &str,
    first: fn(u8) -> bool,
    middle: fn(u8) -> bool,
    last: fn(u8) -> bool,
) -> bool {
    match value.as_bytes() {
        [] => false,
        [only] => first(*only) && last(*only),
        [head, between @ .., tail] => {
            first(*head) && between.iter().all(|b| middle(*b)) && last(*tail)
        }
    }
}

fn lower_or_digit(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn in_label(b: u8) -> bool {
    lower_or_digit(b) || b == b'-'
}

fn alphanumeric(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}

fn in_qualified(b: u8) -> bool {
    alphanumeric(b) || matches!(b, b'-' | b'_' | b'.')
}

fn is_label(value: &str) -> bool {
    shaped(value, lower_or_digit, in_label, lower_or_digit)
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(is_label)
}

/// A DNS label of RFC 1123: namespaces, containers, volumes.
pub fn dns1123_label(value: &str) -> Wrongs {
    let mut wrongs: Wrongs = too_long(value, 63).into_iter().collect();
    if !is_label(value) {
        wrongs.push(if is_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            pattern(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
                 '-', and must start and end with an alphanumeric character",
                LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    wrongs
}

/// A DNS subdomain of RFC 1123: the names of most objects.
pub fn dns1123_subdomain(value: &str) -> Wrongs {
    let mut wrongs: Wrongs = too_long(value, 253).into_iter().collect();
    if !is_subdomain(value) {
        wrongs.push(pattern(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
             '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN,
            &["example.com"],
        ));
    }
    wrongs
}

/// A DNS label of RFC 1035, which starts with a letter: Services.
pub fn dns1035_label(value: &str) -> Wrongs {
    let mut wrongs: Wrongs = too_long(value, 63).into_iter().collect();
    if !shaped(value, |b| b.is_ascii_lowercase(), in_label, lower_or_digit) {
        wrongs.push(pattern(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
             with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    wrongs
}

/// `name` or `example.com/name`: keys of labels and annotations, finalizers, resources.
pub fn qualified_name(value: &str) -> Wrongs {
    const PATTERN: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
    let message = |part: &str| {
        pattern(
            &format!(
                "{part} must consist of alphanumeric characters, '-', '_' or '.', and must start \
                 and end with an alphanumeric character"
            ),
            PATTERN,
            &["MyName", "my.name", "123-abc"],
        )
    };
    let mut wrongs = Wrongs::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, name)) if name.contains('/') => {
            let tail = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![message("a valid label key") + tail];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                wrongs.push("prefix part must be non-empty".to_owned());
            } else {
                wrongs.extend(
                    dns1123_subdomain(prefix)
                        .iter()
                        .map(|w| format!("prefix part {w}")),
                );
            }
            name
        }
    };
    if name.is_empty() {
        wrongs.push("name part must be non-empty".to_owned());
    } else if let Some(wrong) = too_long(name, 63) {
        wrongs.push(format!("name part {wrong}"));
    }
    if !shaped(name, alphanumeric, in_qualified, alphanumeric) {
        wrongs.push(message("name part"));
    }
    wrongs
}

/// The value of a label; it may be empty.
pub fn label_value(value: &str) -> Wrongs {
    let mut wrongs: Wrongs = too_long(value, 63).into_iter().collect();
    if !value.is_empty() && !shaped(value, alphanumeric, in_qualified, alphanumeric) {
        wrongs.push(pattern(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', \
             '_' or '.', and must start and end with an alphanumeric character",
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        ));
    }
    wrongs
}

/// A segment of a path: roles and their bindings, whose names may hold colons.
/// Upstream: `path.IsValidPathSegmentName`.
pub fn path_segment(value: &str) -> Wrongs {
    if value == "." || value == ".." {
        return vec![format!("may not be '{value}'")];
    }
    let contains = ["/", "%"]
        .iter()
        .filter(|illegal| value.contains(**illegal));
    contains
        .map(|illegal| format!("may not contain '{illegal}'"))
        .collect()
}

/// A key of a ConfigMap or a Secret: a file's name.
pub fn config_key(value: &str) -> Wrongs {
    let mut wrongs: Wrongs = too_long(value, 253).into_iter().collect();
    if value.is_empty() || !value.bytes().all(in_qualified) {
        wrongs.push(pattern(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match value {
        "." => wrongs.push("must not be '.'".to_owned()),
        ".." => wrongs.push("must not be '..'".to_owned()),
        _ if value.starts_with("..") => wrongs.push("must not start with '..'".to_owned()),
        _ => {}
    }
    wrongs
}

/// The name of an environment variable.
pub fn env_name(value: &str) -> Wrongs {
    if value.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    let printable = |c: char| (' '..='~').contains(&c) && c != '=';
    if value.chars().all(printable) {
        return Wrongs::new();
    }
    let wrong = "a valid environment variable name must consist only of printable ASCII \
                 characters other than '='";
    vec![wrong.to_owned()]
}

/// The name of a container's port: of RFC 6335, in lower case.
pub fn port_name(value: &str) -> Wrongs {
    let mut wrongs: Wrongs = too_long(value, 15).into_iter().collect();
    let mut unless = |holds: bool, wrong: &str| {
        if !holds {
            wrongs.push(wrong.to_owned());
        }
    };
    unless(
        !value.is_empty() && value.bytes().all(in_label),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    unless(
        value.bytes().any(|b| b.is_ascii_lowercase()),
        "must contain at least one letter (a-z)",
    );
    unless(
        !value.contains("--"),
        "must not contain consecutive hyphens",
    );
    unless(
        !value.starts_with('-') && !value.ends_with('-'),
        "must not begin or end with a hyphen",
    );
    wrongs
}

/// The name of a header of a probe's request.
pub fn http_header(value: &str) -> Wrongs {
    if !value.is_empty() && value.bytes().all(|b| alphanumeric(b) || b == b'-') {
        return Wrongs::new();
    }
    vec![pattern(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// A number in a range, both ends in it.
pub fn in_range(value: i64, min: i64, max: i64) -> Wrongs {
    if (min..=max).contains(&value) {
        return Wrongs::new();
    }
    vec![format!("must be between {min} and {max}, inclusive")]
}

/// The number of a port.
pub fn port(value: i64) -> Wrongs {
    in_range(value, 1, 65535)
}

/// `25%`: one of the forms of `maxSurge`.
pub fn percent(value: &str) -> Wrongs {
    let digits = value.strip_suffix('%').unwrap_or("");
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Wrongs::new();
    }
    vec![pattern(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_their_forms() {
        for good in ["a", "a-b", "0a", "kube-system"] {
            assert_eq!(dns1123_label(good), Wrongs::new(), "{good}");
        }
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            dns1123_label(&"a".repeat(64)),
            ["must be no more than 63 bytes"]
        );
        assert_eq!(
            dns1123_subdomain("Web"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
              '-' or '.', and must start and end with an alphanumeric character (e.g. \
              'example.com', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert!(!dns1035_label("0a").is_empty() && dns1035_label("a0").is_empty());
        assert!(qualified_name("example.com/MyName").is_empty());
        assert_eq!(qualified_name("/x"), ["prefix part must be non-empty"]);
        assert!(qualified_name("a/b/c")[0].ends_with("(e.g. 'example.com/MyName')"));
        assert!(label_value("").is_empty() && !label_value("-x").is_empty());
        assert_eq!(port_name("80"), ["must contain at least one letter (a-z)"]);
        assert_eq!(config_key("..data"), ["must not start with '..'"]);
        assert_eq!(path_segment("a/b"), ["may not contain '/'"]);
    }
}
