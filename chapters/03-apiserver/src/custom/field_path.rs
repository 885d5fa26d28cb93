//! The field that a rule is about, by its path from where the rule stands: `.spec.x`, `['a.b']`.
//!
//! Upstream: `ValidFieldPath` of `apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go`.

use super::structural::{Additional, Schema};

/// Where a path leads by a schema, as errors show it; `None` if it leads nowhere.
pub(super) fn resolve(path: &str, schema: &Schema) -> Option<String> {
    let (mut shown, mut schema) = (String::new(), schema);
    let mut tokens = tokens(path).into_iter();
    while let Some(token) = tokens.next() {
        let name = match token {
            "." => tokens.next()?.to_owned(),
            "[" => {
                let quoted = tokens.next()?;
                let name = quoted.strip_prefix('\'')?.strip_suffix('\'')?;
                let name = unescape(name)?;
                if tokens.next()? != "]" {
                    return None;
                }
                name
            }
            _ => return None,
        };
        if !schema.properties.is_empty() {
            schema = schema.properties.get(&name)?;
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(&name);
        } else if let Some(Additional::Schema(inner)) = &schema.additional {
            schema = inner;
            shown.push_str(&format!("[{name}]"));
        } else {
            return None;
        }
    }
    Some(shown)
}

/// Points and brackets are tokens, and so is all between them; what is quoted is one.
fn tokens(path: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let end = if rest.starts_with('\'') {
            let bytes = rest.as_bytes();
            let end = (1..bytes.len()).find(|&i| bytes[i] == b'\'' && bytes[i - 1] != b'\\');
            end.map_or(rest.len(), |end| end + 1)
        } else {
            let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
            end.max(1)
        };
        let (token, left) = rest.split_at(end);
        tokens.push(token);
        rest = left;
    }
    tokens
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next()? {
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                quoted @ ('\'' | '\\') => quoted,
                _ => return None,
            },
            letter => letter,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_along_the_schema() {
        let schema = Schema::read(&json!({"type": "object", "properties": {
            "a": {"type": "object", "properties": {"b.c": {"type": "string"}}},
            "map": {"type": "object", "additionalProperties": {"type": "object",
                "properties": {"x": {"type": "string"}}}},
            "list": {"type": "array", "items": {"type": "string"}},
        }}));
        let check = |path: &str, expect: Option<&str>| {
            assert_eq!(resolve(path, &schema).as_deref(), expect, "{path}");
        };
        check(".a", Some("a"));
        check(".a['b.c']", Some("a.b.c"));
        check("['a']['b.c']", Some("a.b.c"));
        check(".map.k.x", Some("map[k].x"));
        check(".map['it\\'s'].x", Some("map[it's].x"));
        for wrong in [
            "a",
            ".b",
            ".a.b",
            ".a..b",
            ".",
            ".a['b.c'",
            ".a[b]",
            ".list[0]",
            ".list.x",
            ".a['\\q']",
            ".a['b.c",
            "['a'].",
        ] {
            check(wrong, None);
        }
    }
}
