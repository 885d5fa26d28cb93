//! Files that hold environment variables: `NAME='value'`.
//!
//! What is read here means the same to a POSIX shell, which reads more: values are in single
//! quotes, may span lines, and are taken as they are. Upstream: KEP-3721.

use std::collections::BTreeMap;

/// The variables of a file.
///
/// # Errors
/// Where the file is not in this form.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(variables);
        }
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let line = 1 + text[..text.len() - rest.len()].matches('\n').count();
        let wrong = |what: &str| format!("line {line}: {what}");
        let (name, after) = rest
            .split_once('=')
            .filter(|(name, _)| !name.contains('\n'))
            .ok_or_else(|| wrong("no '='"))?;
        let name = name.trim_end();
        if name.is_empty() {
            return Err(wrong("no name"));
        }
        let quoted = after.trim_start_matches([' ', '\t']);
        let quoted = quoted
            .strip_prefix('\'')
            .ok_or_else(|| wrong("the value is not in single quotes"))?;
        let (value, after) = quoted
            .split_once('\'')
            .ok_or_else(|| wrong("the value has no end"))?;
        let (tail, next) = after.split_once('\n').unwrap_or((after, ""));
        if !tail.trim().is_empty() {
            return Err(wrong("there is more after the value"));
        }
        variables.insert(name.to_owned(), value.to_owned());
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_and_taken_as_they_are() {
        let text = "# comment\n\n  A = 'one'\nB='line 1\nline 2 # $C \"x\" \\n'\nC=''";
        let variables = parse(text).unwrap();
        let list: Vec<_> = variables.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(
            list,
            [
                ("A", "one"),
                ("B", "line 1\nline 2 # $C \"x\" \\n"),
                ("C", "")
            ]
        );
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn everything_else_is_refused() {
        for (text, what) in [
            ("A=one", "line 1: the value is not in single quotes"),
            (
                "A='x'\nB=\"y\"",
                "line 2: the value is not in single quotes",
            ),
            ("A='x''y'", "line 1: there is more after the value"),
            ("A='x'$B", "line 1: there is more after the value"),
            ("A='x", "line 1: the value has no end"),
            ("A\nB='x'", "line 1: no '='"),
            ("='x'", "line 1: no name"),
        ] {
            assert_eq!(parse(text), Err(what.to_owned()), "{text}");
        }
    }
}
