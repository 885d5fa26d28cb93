//! The two forms of paths that definitions have: `.spec.replicas`, and JSONPath proper.
//!
//! Printer columns are told in JSONPath as `kubectl -o jsonpath` has it; of that, this is what
//! names one value or a list of them: fields, places, keys in quotes, `*`, slices and filters by
//! one comparison. Upstream: `k8s.io/client-go/util/jsonpath`.

use serde_json::Value;

/// The names of a simple path: `.spec.replicas`.
pub fn simple(path: &str) -> Vec<&str> {
    let names = path.strip_prefix('.').unwrap_or(path).split('.');
    names.filter(|name| !name.is_empty()).collect()
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Any,
    /// From, to; negative ones count from the end.
    Slice(Option<i64>, Option<i64>),
    Index(i64),
    /// Entries whose field (of these names) compares so with a value; none: it is there.
    Filter(Vec<Step>, Option<(String, Value)>),
}

/// A path, parsed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Parses a path that begins with a dot or a bracket.
    ///
    /// # Errors
    /// What cannot be understood.
    pub(super) fn parse(text: &str) -> Result<JsonPath, String> {
        let mut steps = Vec::new();
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        while !rest.is_empty() {
            let (step, after) = match rest.as_bytes()[0] {
                b'[' => bracket(rest)?,
                b'.' => dotted(&rest[1..])?,
                _ => return Err(format!("unrecognized character in {rest:?}")),
            };
            steps.extend(step);
            rest = after;
        }
        Ok(JsonPath(steps))
    }

    /// The values that it leads to.
    pub(super) fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        find(&self.0, value)
    }
}

fn find<'a>(steps: &[Step], value: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![value];
    for step in steps {
        found = found
            .into_iter()
            .flat_map(|value| step.follow(value))
            .collect();
    }
    found
}

impl Step {
    fn follow<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let list = value.as_array().map_or(&[][..], Vec::as_slice);
        let place = |at: i64| if at < 0 { at + list.len() as i64 } else { at };
        match self {
            Step::Field(name) => value.get(name).into_iter().collect(),
            Step::Any => match value {
                Value::Object(fields) => fields.values().collect(),
                _ => list.iter().collect(),
            },
            Step::Index(at) => usize::try_from(place(*at))
                .ok()
                .and_then(|at| list.get(at))
                .into_iter()
                .collect(),
            Step::Slice(from, to) => {
                let clamp = |at: i64| usize::try_from(place(at)).unwrap_or(0).min(list.len());
                let from = from.map_or(0, clamp);
                let to = to.map_or(list.len(), clamp).max(from);
                list[from..to].iter().collect()
            }
            Step::Filter(path, comparison) => {
                let holds = |entry: &&Value| {
                    let values = find(path, entry);
                    match comparison {
                        None => !values.is_empty(),
                        Some((operator, wanted)) => values
                            .first()
                            .is_some_and(|value| compare(value, operator, wanted)),
                    }
                };
                list.iter().filter(holds).collect()
            }
        }
    }
}

fn compare(value: &Value, operator: &str, wanted: &Value) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = match (value, wanted) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => (value == wanted).then_some(Equal),
    };
    match operator {
        "==" => order == Some(Equal),
        "!=" => order != Some(Equal),
        "<" => order == Some(Less),
        "<=" => matches!(order, Some(Less | Equal)),
        ">" => order == Some(Greater),
        _ => matches!(order, Some(Greater | Equal)),
    }
}

/// A step after a dot.
fn dotted(text: &str) -> Result<(Option<Step>, &str), String> {
    let end = name_end(text);
    let name = unescape(&text[..end]);
    let step = match name.as_str() {
        "" if text.is_empty() || text.starts_with('[') => None,
        "" => return Err(format!("a name is missing before {text:?}")),
        "*" => Some(Step::Any),
        _ => Some(Step::Field(name)),
    };
    Ok((step, &text[end..]))
}

/// Where a name ends: at a dot or bracket that no backslash stands before.
fn name_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '.' | '[' => return at,
            _ => {}
        }
    }
    text.len()
}

fn unescape(text: &str) -> String {
    text.replace("\\.", ".")
        .replace("\\/", "/")
        .replace('\\', "")
}

/// A step in brackets.
fn bracket(text: &str) -> Result<(Option<Step>, &str), String> {
    let unterminated = || format!("unterminated array in {text:?}");
    let inner = &text[1..];
    if let Some(filter) = inner.strip_prefix("?(") {
        let end = filter.find(")]").ok_or_else(unterminated)?;
        return Ok((Some(parse_filter(&filter[..end])?), &filter[end + 2..]));
    }
    if let Some(quote) = inner.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let end = inner[1..]
            .find(&format!("{quote}]"))
            .ok_or_else(unterminated)?;
        return Ok((
            Some(Step::Field(inner[1..=end].to_owned())),
            &inner[end + 3..],
        ));
    }
    let end = inner.find(']').ok_or_else(unterminated)?;
    let (what, rest) = (inner[..end].trim(), &inner[end + 1..]);
    let number = |text: &str| {
        text.trim()
            .parse::<i64>()
            .map_err(|_| format!("invalid array index {what}"))
    };
    let bound = |text: &str| match text.trim() {
        "" => Ok(None),
        text => number(text).map(Some),
    };
    let step = match (what, what.split_once(':')) {
        ("*", _) => Step::Any,
        (_, Some((from, to))) => Step::Slice(bound(from)?, bound(to)?),
        _ => Step::Index(number(what)?),
    };
    Ok((Some(step), rest))
}

/// `@.type=="Ready"`
fn parse_filter(text: &str) -> Result<Step, String> {
    let operators = ["==", "!=", "<=", ">=", "<", ">"];
    let found = operators
        .iter()
        .filter_map(|operator| Some((text.find(operator)?, *operator)));
    // The first in the text; of two at one place the longer, which comes first.
    let found = found.min_by_key(|(at, _)| *at);
    let (path, comparison) = match found {
        None => (text, None),
        Some((at, operator)) => {
            let wanted = text[at + operator.len()..].trim();
            let value = match wanted
                .strip_prefix('\'')
                .and_then(|text| text.strip_suffix('\''))
            {
                Some(text) => Value::String(text.to_owned()),
                None => serde_json::from_str(wanted)
                    .map_err(|_| format!("unrecognized value {wanted:?} in a filter"))?,
            };
            (&text[..at], Some((operator.to_owned(), value)))
        }
    };
    let path = path.trim();
    let path = path
        .strip_prefix('@')
        .ok_or_else(|| format!("a filter begins with @, not {path:?}"))?;
    Ok(Step::Filter(JsonPath::parse(path)?.0, comparison))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(path: &str, expected: Value) {
        let object = json!({
            "spec": {"replicas": 3, "a.b/c": "dotted", "ports": [{"n": 1}, {"n": 2}, {"n": 3}]},
            "status": {"conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Stale", "status": "False"},
            ]},
        });
        let found = JsonPath::parse(path).expect(path);
        assert_eq!(json!(found.find(&object)), expected, "{path}");
    }

    #[test]
    fn paths_lead_to_values() {
        check(".spec.replicas", json!([3]));
        check(".spec['a.b/c']", json!(["dotted"]));
        check(".spec.a\\.b/c", json!(["dotted"]));
        check(".spec.ports[1].n", json!([2]));
        check(".spec.ports[-1].n", json!([3]));
        check(".spec.ports[*].n", json!([1, 2, 3]));
        check(".spec.ports[0:2].n", json!([1, 2]));
        check(".spec.ports[?(@.n>=2)].n", json!([2, 3]));
        check(
            ".status.conditions[?(@.type==\"Ready\")].status",
            json!(["True"]),
        );
        check(
            ".status.conditions[?(@.type=='Stale')].status",
            json!(["False"]),
        );
        check(".spec.none", json!([]));
    }

    #[test]
    fn what_is_no_path() {
        for path in ["spec", ".spec[", ".spec[x]", ".spec..x", ".a[?(x==1)]"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
