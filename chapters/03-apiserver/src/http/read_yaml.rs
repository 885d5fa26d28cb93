//! Bodies in YAML: as JSON, and which keys are there twice.
//!
//! Of such a key the last one counts, and each further one is told of: by the line where its value
//! begins, after what is to be told of that value. Upstream: `sigs.k8s.io/yaml`, whose decoder is
//! `goyaml.v2`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, Spanned};

use crate::custom;
use crate::status::ApiError;

/// How much of a YAML document its aliases may say again: more is a bomb.
const REPLAYS_MAX: usize = 100_000;

/// Reads YAML. With the JSON comes each key that was there before: `line 3: key "a" already set in
/// map`.
///
/// # Errors
/// 400 if it is no YAML.
pub fn read(body: &[u8]) -> Result<(Vec<u8>, Vec<String>), ApiError> {
    // JSON is YAML, and the faster to read; only that it knows of no lines.
    let braced = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if braced && custom::read_json(body).is_ok_and(|(_, repeated)| repeated.is_empty()) {
        return Ok((body.to_vec(), Vec::new()));
    }
    let unreadable =
        |error: String| ApiError::bad_request(format!("error converting YAML to JSON: {error}"));
    let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
    let mut repeated = Vec::new();
    let read = match parse::<Value>(text, DuplicateKeyPolicy::Error) {
        Err(Error::DuplicateMappingKey { .. }) => {
            let whole = parse::<Tree>(text, DuplicateKeyPolicy::LastWins);
            whole.map(|tree| tree.settle(&mut repeated))
        }
        read => read,
    };
    let value = read.map_err(|error| unreadable(error.to_string()))?;
    Ok((value.to_string().into_bytes(), repeated))
}

fn parse<'de, T: Deserialize<'de>>(
    text: &'de str,
    duplicate_keys: DuplicateKeyPolicy,
) -> Result<T, Error> {
    let mut options = serde_saphyr::options! {
        duplicate_keys: duplicate_keys,
        with_snippet: false,
    };
    options.alias_limits.max_total_replayed_events = REPLAYS_MAX;
    serde_saphyr::from_str_with_options(text, options)
}

/// What a document says, with every key as often as it is there.
enum Tree {
    Scalar(Value),
    List(Vec<Tree>),
    Map(Vec<(String, Spanned<Tree>)>),
}

impl Tree {
    /// The value, in which the last of each key counts.
    fn settle(self, repeated: &mut Vec<String>) -> Value {
        match self {
            Tree::Scalar(value) => value,
            Tree::List(list) => list.into_iter().map(|tree| tree.settle(repeated)).collect(),
            Tree::Map(entries) => {
                let mut map = Map::new();
                for (key, entry) in entries {
                    let value = entry.value.settle(repeated);
                    if map.contains_key(&key) {
                        let line = entry.referenced.line();
                        repeated.push(format!("line {line}: key {key:?} already set in map"));
                    }
                    map.insert(key, value);
                }
                Value::Object(map)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Tree::Map(map))
    }
}

/// What a strict reader says of keys that are there twice.
pub fn strict_error(repeated: &[String]) -> String {
    let lines: Vec<String> = repeated.iter().map(|line| format!("  {line}")).collect();
    format!("yaml: unmarshal errors:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(yaml: &str) -> (Value, Vec<String>) {
        let (json, repeated) = read(yaml.as_bytes()).expect("is YAML");
        (serde_json::from_slice(&json).expect("is JSON"), repeated)
    }

    #[test]
    fn of_a_key_that_is_there_twice_the_last_one_counts() {
        let (value, repeated) = told("a: 1\nb:\n  c: p\n  c: q\n");
        assert_eq!(value, json!({"a": 1, "b": {"c": "q"}}));
        assert_eq!(repeated, ["line 4: key \"c\" already set in map"]);
        assert_eq!(
            strict_error(&repeated),
            "yaml: unmarshal errors:\n  line 4: key \"c\" already set in map"
        );
        assert_eq!(told("a: &x [1]\nb: *x").0, json!({"a": [1], "b": [1]}));
    }

    #[test]
    fn all_keys_that_are_there_twice_are_told_of_at_once() {
        let yaml = "kind: A\nspec:\n  x: 1\n  x: 2\n  x: 3\nlist:\n- a: true\n  a: null\nkind: B\n\
                    spec:\n  y: 0.5\n  y: 1.5\n";
        let (value, repeated) = told(yaml);
        assert_eq!(
            value,
            json!({"kind": "B", "spec": {"y": 1.5}, "list": [{"a": null}]})
        );
        assert_eq!(
            strict_error(&repeated),
            "yaml: unmarshal errors:\n  line 4: key \"x\" already set in map\n  \
             line 5: key \"x\" already set in map\n  line 8: key \"a\" already set in map\n  \
             line 9: key \"kind\" already set in map\n  line 12: key \"y\" already set in map\n  \
             line 11: key \"spec\" already set in map",
            "a map is told of where it begins, after what is in it"
        );
    }

    #[test]
    fn json_is_yaml() {
        assert_eq!(told(" {\"a\": [1]}"), (json!({"a": [1]}), vec![]));
        let (value, repeated) = told("{\"a\": 1,\n\"a\": 2}");
        assert_eq!(value, json!({"a": 2}));
        assert_eq!(repeated, ["line 2: key \"a\" already set in map"]);
        assert!(read(b"{").is_err() && read(b"a: b: c").is_err() && read(&[0xff]).is_err());
    }
}
