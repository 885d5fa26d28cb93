//! The formats of text that are checked. One that is not known holds for everything.
//!
//! Upstream: `k8s.io/kube-openapi/pkg/validation/strfmt`; which of them are supported is told in
//! `apiextensions-apiserver/pkg/apiserver/validation/formats.go`.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Formats of text that upstream checks.
const KNOWN: &[&str] = &[
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "date-time",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8s-long-name",
    "k8s-short-name",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
];
/// Formats of numbers, which say how large they may be.
const NUMBERS: &[&str] = &["int32", "int64", "float", "double"];

/// Whether a format is one of those that are supported.
pub(super) fn is_known(format: &str) -> bool {
    KNOWN.contains(&format)
}

/// Whether a definition may name a format without being warned.
pub(super) fn is_recognized(format: &str) -> bool {
    is_known(format) || NUMBERS.contains(&format)
}

/// Whether text has a format.
pub(crate) fn holds(format: &str, text: &str) -> bool {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match format {
        "bsonobjectid" => text.len() == 24 && hex(text),
        "byte" => BASE64_STANDARD.decode(text).is_ok(),
        "cidr" => is_cidr(text),
        "date" => text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10,
        "date-time" | "datetime" => {
            text.contains(['T', 't']) && text.parse::<jiff::Timestamp>().is_ok()
        }
        "duration" => is_duration(text),
        "email" => is_email(text),
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && hex(digits)
        }
        "hostname" => is_hostname(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "k8s-short-name" => crate::validation::names::dns1123_label(text).is_empty(),
        "k8s-long-name" => crate::validation::names::dns1123_subdomain(text).is_empty(),
        "mac" => is_mac(text),
        "uri" => is_uri(text),
        "uuid" => uuid::Uuid::try_parse(text).is_ok(),
        "uuid3" => is_uuid(text, 3),
        "uuid4" => is_uuid(text, 4),
        "uuid5" => is_uuid(text, 5),
        "ssn" => is_ssn(text),
        // What is left says what text is for more than how it is written.
        _ => true,
    }
}

fn is_uuid(text: &str, version: usize) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|uuid| uuid.get_version_num() == version)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let most = match address {
        v4 if v4.parse::<Ipv4Addr>().is_ok() => 32,
        v6 if v6.parse::<Ipv6Addr>().is_ok() => 128,
        _ => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

/// As Go writes durations, and with words for days and weeks: `1h30m`, `2 days`.
fn is_duration(text: &str) -> bool {
    const UNITS: &[&str] = &[
        "ns", "us", "µs", "ms", "s", "m", "h", "d", "w", "sec", "secs", "second", "seconds", "min",
        "mins", "minute", "minutes", "hr", "hrs", "hour", "hours", "day", "days", "week", "weeks",
    ];
    let mut rest = text.trim().trim_start_matches(['+', '-']);
    if rest == "0" {
        return true;
    }
    let begun = !rest.is_empty();
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        if number == 0 {
            return false;
        }
        let unit = rest[number..].trim_start();
        let end = unit
            .find(|c: char| c.is_ascii_digit() || c.is_whitespace())
            .unwrap_or(unit.len());
        if !UNITS.contains(&&unit[..end]) {
            return false;
        }
        rest = unit[end..].trim_start();
    }
    begun
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && !"()<>[]:;,\\\"@".contains(c);
    !local.is_empty() && local.chars().all(fits) && !domain.is_empty() && domain.chars().all(fits)
}

fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        (1..=63).contains(&label.len())
            && label.chars().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 255 && text.trim_end_matches('.').split('.').all(label)
}

fn is_mac(text: &str) -> bool {
    let separator = if text.contains('-') { '-' } else { ':' };
    let parts: Vec<&str> = text.split(separator).collect();
    let byte = |part: &&str| part.len() == 2 && u8::from_str_radix(part, 16).is_ok();
    matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(byte)
}

/// A reference that a request could go to: absolute, or a path.
fn is_uri(text: &str) -> bool {
    if text.starts_with('/') {
        return !text.contains(char::is_whitespace);
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(fits)
        && !rest.is_empty()
        && !rest.contains(char::is_whitespace)
}

fn is_ssn(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', ' ']).collect();
    let digits =
        |part: &str, count: usize| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
    parts.len() == 3 && digits(parts[0], 3) && digits(parts[1], 2) && digits(parts[2], 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_hold_or_not() {
        let check = |format: &str, good: &[&str], bad: &[&str]| {
            for text in good {
                assert!(holds(format, text), "{format} {text}");
            }
            for text in bad {
                assert!(!holds(format, text), "{format} {text}");
            }
        };
        check(
            "date-time",
            &["2018-08-24T10:30:17Z", "2018-08-24T10:30:17+02:00"],
            &["2018-08-24", "x"],
        );
        check(
            "date",
            &["2018-08-24"],
            &["2018-13-24", "2018-08-24T00:00:00Z"],
        );
        check("ipv4", &["10.0.0.1"], &["10.0.0", "::1"]);
        check(
            "cidr",
            &["10.0.0.0/8", "fd00::/64"],
            &["10.0.0.0/33", "10.0.0.0"],
        );
        check("duration", &["1h30m", "300ms", "2 days"], &["", "5", "1x"]);
        check(
            "uuid4",
            &["9b4d7d0c-6f58-4d3f-8a55-0d8b9c1d7e6f"],
            &["9b4d7d0c-6f58-1d3f-8a55-0d8b9c1d7e6f"],
        );
        check("email", &["jane@example.com"], &["jane", "@example.com"]);
        check(
            "uri",
            &["https://example.com/x", "/path"],
            &["example.com x", "x"],
        );
        check("byte", &["aGk="], &["a"]);
        check("no-such-format", &["anything"], &[]);
    }
}
