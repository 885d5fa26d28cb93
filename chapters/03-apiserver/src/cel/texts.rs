//! Functions of text.
//!
//! Upstream: cel-go's `ext/strings.go`, version 2, and `apiserver/pkg/cel/library/regex.go`.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};

use super::budget::{Budget, Failure};
use super::format;
use super::value::Val;

type Found = Result<Val, Failure>;

/// A function of text.
pub(super) fn call(name: &str, text: &str, arguments: &[Val], budget: &mut Budget) -> Found {
    budget.work(text.len())?;
    let made = |text: &str| Ok(Val::text(text));
    match (name, arguments) {
        ("startsWith", [Val::Text(part)]) => Ok(Val::Bool(text.starts_with(&**part))),
        ("endsWith", [Val::Text(part)]) => Ok(Val::Bool(text.ends_with(&**part))),
        ("contains", [Val::Text(part)]) => Ok(Val::Bool(text.contains(&**part))),
        ("matches", [Val::Text(pattern)]) => {
            Ok(Val::Bool(regex_within(pattern, budget)?.is_match(text)))
        }
        ("lowerAscii", []) => made(&text.to_ascii_lowercase()),
        ("upperAscii", []) => made(&text.to_ascii_uppercase()),
        ("trim", []) => made(text.trim()),
        ("replace", [Val::Text(from), Val::Text(to)]) => replace(text, from, to, -1, budget),
        ("replace", [Val::Text(from), Val::Text(to), Val::Int(most)]) => {
            replace(text, from, to, *most, budget)
        }
        ("split", [Val::Text(at)]) => split(text, at, -1, budget),
        ("split", [Val::Text(at), Val::Int(most)]) => split(text, at, *most, budget),
        ("charAt", [Val::Int(at)]) => match usize::try_from(*at) {
            Ok(index) if index <= text.chars().count() => {
                let letter = text.chars().nth(index);
                made(&letter.map(String::from).unwrap_or_default())
            }
            _ => Err(out_of_range(*at)),
        },
        ("substring", [Val::Int(from)]) => match text.chars().count() as i64 {
            count if *from > count => Err(out_of_range(*from)),
            count => substring(text, *from, count),
        },
        ("substring", [Val::Int(from), Val::Int(to)]) => substring(text, *from, *to),
        ("indexOf", [Val::Text(part)]) => index_of(text, part, 0),
        ("indexOf", [Val::Text(part), Val::Int(from)]) => index_of(text, part, *from),
        ("lastIndexOf", [Val::Text(part)]) => {
            let last = text.chars().count() as i64;
            match part.is_empty() || text.is_empty() {
                true => Ok(Val::Int(if part.is_empty() { last } else { -1 })),
                false => last_index_of(text, part, last - 1),
            }
        }
        ("lastIndexOf", [Val::Text(part), Val::Int(from)]) => last_index_of(text, part, *from),
        ("find", [Val::Text(pattern)]) => {
            let found = regex_within(pattern, budget)?;
            made(found.find(text).map_or("", |found| found.as_str()))
        }
        ("findAll", [Val::Text(pattern), rest @ ..]) => {
            let most = match rest {
                [] => usize::MAX,
                [Val::Int(most)] => usize::try_from(*most).unwrap_or(usize::MAX),
                _ => return Err(Failure::overload()),
            };
            let regex = regex_within(pattern, budget)?;
            let found = regex.find_iter(text).take(most);
            Ok(Val::list(
                found.map(|found| Val::text(found.as_str())).collect(),
            ))
        }
        ("format", [Val::List(values)]) => made(&format::format(text, values, budget)?),
        _ => Err(Failure::overload()),
    }
}

fn out_of_range(at: i64) -> Failure {
    Failure::Error(format!("index out of range: {at}"))
}

fn replace(text: &str, from: &str, to: &str, most: i64, budget: &mut Budget) -> Found {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    // Before it is made: a few letters can become many.
    let count = text.matches(from).take(most).count();
    budget.work(count.saturating_mul(to.len()))?;
    Ok(Val::text(&text.replacen(from, to, most)))
}

fn split(text: &str, at: &str, most: i64, budget: &mut Budget) -> Found {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let parts: Vec<Val> = match (at, most) {
        (_, 0) => Vec::new(),
        // Each letter is a part; what is over is the last.
        ("", most) => {
            let last = text
                .char_indices()
                .nth(most - 1)
                .map_or(text.len(), |(at, _)| at);
            let (letters, rest) = text.split_at(last);
            let letters = letters
                .chars()
                .map(|letter| Val::text(letter.encode_utf8(&mut [0; 4])));
            let rest = (!rest.is_empty()).then(|| Val::text(rest));
            letters.chain(rest).collect()
        }
        (at, most) => text.splitn(most, at).map(Val::text).collect(),
    };
    budget.work(parts.len().saturating_mul(STEPS_OF_A_VALUE))?;
    Ok(Val::list(parts))
}

/// A value of its own takes more room than a byte.
const STEPS_OF_A_VALUE: usize = 4;

fn substring(text: &str, from: i64, to: i64) -> Found {
    let count = text.chars().count() as i64;
    if from > to {
        return Err(Failure::Error(format!(
            "invalid substring range. start: {from}, end: {to}"
        )));
    }
    for at in [from, to] {
        if !(0..=count).contains(&at) {
            return Err(out_of_range(at));
        }
    }
    let (from, to) = (byte_at(text, from as usize), byte_at(text, to as usize));
    Ok(Val::text(&text[from..to]))
}

/// Where a letter begins; the end, if there is no such letter.
fn byte_at(text: &str, letter: usize) -> usize {
    let mut letters = text.char_indices();
    letters.nth(letter).map_or(text.len(), |(at, _)| at)
}

fn index_of(text: &str, part: &str, from: i64) -> Found {
    if part.is_empty() {
        return Ok(Val::Int(from));
    }
    let start = usize::try_from(from).map_err(|_| out_of_range(from))?;
    let rest = &text[byte_at(text, start)..];
    let found = rest.find(part).map(|at| rest[..at].chars().count() as i64);
    Ok(Val::Int(found.map_or(-1, |at| at + from)))
}

/// The last that begins at a letter or before it.
fn last_index_of(text: &str, part: &str, from: i64) -> Found {
    if part.is_empty() {
        return Ok(Val::Int(from));
    }
    let start = usize::try_from(from).map_err(|_| out_of_range(from))?;
    if start >= text.chars().count() {
        return Ok(Val::Int(-1));
    }
    let end = byte_at(text, start.saturating_add(part.chars().count()));
    let found = text[..end].rfind(part);
    Ok(Val::Int(
        found.map_or(-1, |at| text[..at].chars().count() as i64),
    ))
}

/// `strings.quote`: as it would stand in an expression.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// `jsonpatch.escapeKey`: a key as it stands in a path of a JSON patch.
///
/// Upstream: `apiserver/pkg/cel/library/jsonpatch.go`.
pub(super) fn escape_key(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Patterns come from whoever writes expressions: their size is bounded, as is what they take.
pub(super) fn regex(pattern: &str) -> Result<Regex, Failure> {
    let built = RegexBuilder::new(pattern).size_limit(1 << 20).build();
    built.map_err(|error| Failure::Error(format!("error parsing regexp: {error}")))
}

/// A pattern that is asked of each entry of a list is read once.
fn regex_within(pattern: &str, budget: &mut Budget) -> Result<Regex, Failure> {
    const KNOWN_MAX: usize = 256;
    static KNOWN: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = known().get(pattern) {
        return Ok(regex.clone());
    }
    // To read a pattern takes much longer than to read text.
    budget.work(1_000 + pattern.len().saturating_mul(100))?;
    let regex = self::regex(pattern)?;
    let mut known = known();
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
    known.insert(pattern.to_owned(), regex.clone());
    Ok(regex)
}
