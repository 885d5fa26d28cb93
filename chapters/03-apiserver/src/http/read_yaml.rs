//! Bodies in YAML: as JSON, and whether a key is there twice.
//!
//! Of such a key the last one counts, and of several such the first is told of. Upstream, which tells
//! of all: `sigs.k8s.io/yaml`.

use serde_json::Value;
use serde_saphyr::Error;
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::custom;
use crate::status::ApiError;

/// How much of a YAML document its aliases may say again: more is a bomb.
const REPLAYS_MAX: usize = 100_000;

/// Reads YAML. With the JSON comes the key that is there twice, if one is: `line 3: key "a" already
/// set in map`.
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
    let (read, repeated) = match parse(text, DuplicateKeyPolicy::Error) {
        Err(Error::DuplicateMappingKey { key, location }) => {
            let (key, line) = (key.unwrap_or_default(), location.line());
            let repeated = format!("line {line}: key {key:?} already set in map");
            (parse(text, DuplicateKeyPolicy::LastWins), vec![repeated])
        }
        read => (read, Vec::new()),
    };
    let value = read.map_err(|error| unreadable(error.to_string()))?;
    Ok((value.to_string().into_bytes(), repeated))
}

fn parse(text: &str, duplicate_keys: DuplicateKeyPolicy) -> Result<Value, Error> {
    let mut options = serde_saphyr::options! {
        duplicate_keys: duplicate_keys,
        with_snippet: false,
    };
    options.alias_limits.max_total_replayed_events = REPLAYS_MAX;
    serde_saphyr::from_str_with_options(text, options)
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
    fn json_is_yaml() {
        assert_eq!(told(" {\"a\": [1]}"), (json!({"a": [1]}), vec![]));
        let (value, repeated) = told("{\"a\": 1,\n\"a\": 2}");
        assert_eq!(value, json!({"a": 2}));
        assert_eq!(repeated, ["line 2: key \"a\" already set in map"]);
        assert!(read(b"{").is_err() && read(b"a: b: c").is_err() && read(&[0xff]).is_err());
    }
}
