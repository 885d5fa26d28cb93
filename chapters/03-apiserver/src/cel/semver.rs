//! Versions: `1.2.3-rc.1+build`.
//!
//! Upstream: `apiserver/pkg/cel/library/semverlib.go`, on `github.com/blang/semver`.

use std::cmp::Ordering;
use std::sync::Arc;

use super::budget::Failure;
use super::value::Val;

/// A version; what stands after its `+` is not compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Semver {
    numbers: [u64; 3],
    before: Vec<Part>,
}

/// A part between dots of what stands after `-`.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Number(u64),
    Text(String),
}

const NO_VERSION: &str = "No Major.Minor.Patch elements found";

impl Semver {
    /// Reads a version.
    fn parse(text: &str) -> Result<Semver, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let (rest, build) = text
            .split_once('+')
            .map_or((text, None), |(a, b)| (a, Some(b)));
        let (rest, before) = rest
            .split_once('-')
            .map_or((rest, None), |(a, b)| (a, Some(b)));
        let parts: Vec<&str> = rest.splitn(3, '.').collect();
        let &[major, minor, patch] = parts.as_slice() else {
            return Err(NO_VERSION.to_owned());
        };
        let number = |what: &str, text: &str| {
            if text.is_empty() || !is_digits(text) {
                return Err(format!(
                    "Invalid character(s) found in {what} number {text:?}"
                ));
            }
            if text.len() > 1 && text.starts_with('0') {
                return Err(format!(
                    "{what} number must not contain leading zeroes {text:?}"
                ));
            }
            text.parse()
                .map_err(|_| format!("{what} number is too large: {text:?}"))
        };
        let numbers = [
            number("Major", major)?,
            number("Minor", minor)?,
            number("Patch", patch)?,
        ];
        let before = before.map(|text| text.split('.').map(part).collect());
        let before = before.unwrap_or_else(|| Ok(Vec::new()))?;
        for text in build.into_iter().flat_map(|text| text.split('.')) {
            if text.is_empty() {
                return Err("Build meta data is empty".to_owned());
            }
            if !text.bytes().all(in_part) {
                return Err(format!(
                    "Invalid character(s) found in build meta data {text:?}"
                ));
            }
        }
        Ok(Semver { numbers, before })
    }

    /// Reads what people write for a version: `v1`, `01.2`.
    fn parse_loosely(text: &str) -> Result<Semver, String> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
        if parts.len() < 3 {
            if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
                return Err("short version cannot contain PreRelease/Build meta data".to_owned());
            }
            parts.resize(3, "0".to_owned());
        }
        Semver::parse(&parts.join("."))
    }

    /// Which comes first. What is before a release comes before it.
    pub(super) fn compare(&self, other: &Semver) -> Ordering {
        let before = match (self.before.as_slice(), other.before.as_slice()) {
            ([], []) => Ordering::Equal,
            ([], _) => Ordering::Greater,
            (_, []) => Ordering::Less,
            (a, b) => {
                let mut pairs = a.iter().zip(b).map(|(a, b)| a.compare(b));
                let first = pairs.find(|order| order.is_ne());
                first.unwrap_or_else(|| a.len().cmp(&b.len()))
            }
        };
        self.numbers.cmp(&other.numbers).then(before)
    }
}

impl Part {
    fn compare(&self, other: &Part) -> Ordering {
        match (self, other) {
            (Part::Number(a), Part::Number(b)) => a.cmp(b),
            (Part::Text(a), Part::Text(b)) => a.cmp(b),
            (Part::Number(_), Part::Text(_)) => Ordering::Less,
            (Part::Text(_), Part::Number(_)) => Ordering::Greater,
        }
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn in_part(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'-'
}

fn part(text: &str) -> Result<Part, String> {
    match text {
        "" => Err("Prerelease is empty".to_owned()),
        text if is_digits(text) && text.len() > 1 && text.starts_with('0') => Err(format!(
            "Numeric PreRelease version must not contain leading zeroes {text:?}"
        )),
        text if is_digits(text) => match text.parse() {
            Ok(number) => Ok(Part::Number(number)),
            Err(_) => Err(format!("prerelease is too large: {text:?}")),
        },
        text if text.bytes().all(in_part) => Ok(Part::Text(text.to_owned())),
        _ => Err(format!("Invalid character(s) found in prerelease {text:?}")),
    }
}

fn without_zeros(text: &str) -> String {
    let rest = text.trim_start_matches('0');
    match rest.starts_with(|c: char| c.is_ascii_digit()) {
        true => rest.to_owned(),
        false if text.len() > 1 => format!("0{rest}"),
        false => text.to_owned(),
    }
}

/// `semver` and `isSemver`.
pub(super) fn read(name: &str, values: &[Val]) -> Result<Val, Failure> {
    let read = match values {
        [Val::Text(text)] | [Val::Text(text), Val::Bool(false)] => Semver::parse(text),
        [Val::Text(text), Val::Bool(true)] => Semver::parse_loosely(text),
        _ => return Err(Failure::overload()),
    };
    match name {
        "isSemver" => Ok(Val::Bool(read.is_ok())),
        _ => read
            .map(|version| Val::Semver(Arc::new(version)))
            .map_err(Failure::Error),
    }
}

/// A function of a version.
pub(super) fn call(name: &str, own: &Semver, rest: &[Val]) -> Result<Val, Failure> {
    let number = |at: usize| Ok(Val::Int(own.numbers[at] as i64));
    match (name, rest) {
        ("major", []) => number(0),
        ("minor", []) => number(1),
        ("patch", []) => number(2),
        (_, [Val::Semver(other)]) => {
            let order = own.compare(other);
            match name {
                "isGreaterThan" => Ok(Val::Bool(order.is_gt())),
                "isLessThan" => Ok(Val::Bool(order.is_lt())),
                "compareTo" => Ok(Val::Int(order as i64)),
                _ => Err(Failure::overload()),
            }
        }
        _ => Err(Failure::overload()),
    }
}
