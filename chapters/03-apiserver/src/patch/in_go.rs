//! A patch in the words in which upstream shows it: Go's `%+v` of a map.

use serde_json::Value;

/// Shows a patch, of JSON: `map[data:map[a:1] list:[x y]]`.
pub fn in_go(patch: &[u8]) -> String {
    let value: Value = serde_json::from_slice(patch).unwrap_or_default();
    show(&value)
}

fn show(value: &Value) -> String {
    let spaced = |parts: Vec<String>| format!("[{}]", parts.join(" "));
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => spaced(list.iter().map(show).collect()),
        Value::Object(fields) => {
            // In the order of keys, as Go prints maps.
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            let fields = fields.into_iter();
            let fields = fields.map(|(key, value)| format!("{key}:{}", show(value)));
            format!("map{}", spaced(fields.collect()))
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::in_go;

    #[test]
    fn maps_and_lists() {
        let patch = br#"{"spec": {"b": null, "a": [1, "x", true]}, "data": {}}"#;
        assert_eq!(
            in_go(patch),
            "map[data:map[] spec:map[a:[1 x true] b:<nil>]]"
        );
    }
}
