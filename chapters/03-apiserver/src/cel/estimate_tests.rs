//! What rules cost at the worst. The numbers are upstream's own: `TestCostEstimation` in
//! `apiextensions-apiserver/pkg/apiserver/schema/cel/compilation_test.go`.

use serde_json::{Map, Value, json};

use super::*;
use crate::custom::Schema;

/// A schema, given how large its values may be.
type Make = fn(Option<u64>) -> Value;

/// What the rule costs for values that are as large as a request, and for values of a given size.
fn check(rule: &str, make: Make, in_a_request: u64, (elements, limited): (u64, u64)) {
    let cost = |max: Option<u64>| {
        let schema = Schema::read(&without_nulls(make(max)));
        let environment = Environment::rule(&schema, false);
        let expression = Expression::compile(rule, &environment).expect("it is a rule");
        expression.cost_max(
            &environment,
            &Sizes::of(&schema).expect("it can be looked at"),
        )
    };
    assert_eq!(cost(None), in_a_request, "{rule}: {}", make(None));
    assert_eq!(
        cost(Some(elements)),
        limited,
        "{rule}: {}",
        make(Some(elements))
    );
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            let fields = fields.map(|(name, value)| (name, without_nulls(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        other => other,
    }
}

fn of_type(kind: &str) -> Value {
    match kind {
        "int-or-string" => json!({"x-kubernetes-int-or-string": true}),
        "duration" | "date" | "date-time" => json!({"type": "string", "format": kind}),
        kind => json!({"type": kind}),
    }
}

fn list(items: Value, max: Option<u64>) -> Value {
    json!({"type": "array", "items": items, "maxItems": max})
}

fn map(values: Value, max: Option<u64>) -> Value {
    json!({"type": "object", "additionalProperties": values, "maxProperties": max})
}

fn text(max: Option<u64>) -> Value {
    json!({"type": "string", "maxLength": max})
}

fn object(_: Option<u64>) -> Value {
    json!({"type": "object", "required": ["required"],
        "properties": {"required": {"type": "string"}, "optional": {"type": "string"}}})
}

#[test]
fn a_list_is_gone_over_as_often_as_it_has_entries() {
    let all = "self.all(x, true)";
    check(all, |max| list(of_type("number"), max), 4718591, (10, 32));
    check(all, |max| list(of_type("string"), max), 3145727, (20, 62));
    check(all, |max| list(of_type("boolean"), max), 1887437, (5, 17));
    check(
        all,
        |max| list(list(of_type("number"), None), max),
        3145727,
        (100, 302),
    );
    check(all, |max| list(object(None), max), 555128, (50, 152));
    check(
        all,
        |max| list(of_type("int-or-string"), max),
        4718591,
        (10, 32),
    );
    check(all, |max| list(of_type("duration"), max), 2359295, (5, 17));
    check(all, |max| list(of_type("date"), max), 725936, (15, 47));
    check(all, |max| list(of_type("date-time"), max), 428963, (25, 77));
    let zeros = "self.all(x, x == 0.0)";
    check(
        zeros,
        |max| list(of_type("number"), max),
        6291454,
        (6291456, 25165826),
    );
}

#[test]
fn a_map_is_gone_over_as_often_as_it_has_keys() {
    let all = "self.all(x, true)";
    check(all, |max| map(of_type("number"), max), 1348169, (10, 32));
    check(all, |max| map(of_type("string"), max), 1179647, (3, 11));
    check(all, |max| map(of_type("boolean"), max), 943718, (100, 302));
    check(
        all,
        |max| map(of_type("int-or-string"), max),
        1348169,
        (15, 47),
    );
    check(all, |max| map(object(None), max), 428963, (20, 62));
    check(
        all,
        |max| map(map(of_type("number"), None), max),
        1179647,
        (10, 32),
    );
    check(
        all,
        |max| map(list(of_type("number"), None), max),
        1179647,
        (25, 77),
    );
    check(all, |max| map(of_type("duration"), max), 1048577, (5, 17));
    check(all, |max| map(of_type("date"), max), 524288, (10, 32));
    check(all, |max| map(of_type("date-time"), max), 349526, (25, 77));
    check(
        "self.all(x, x.contains(self[x]))",
        |max| map(text(max), max),
        2752507,
        (10, 72),
    );
}

#[test]
fn loops_in_loops_multiply() {
    let numbers: Make = |max| list(of_type("number"), max);
    let of_ten = |rule: &str| {
        let schema = Schema::read(&numbers(Some(10)));
        let environment = Environment::rule(&schema, false);
        let expression = Expression::compile(rule, &environment).expect("it is a rule");
        expression.cost_max(
            &environment,
            &Sizes::of(&schema).expect("it can be looked at"),
        )
    };
    assert_eq!(of_ten("self.all(x, self.all(y, true))"), 352);
    assert_eq!(of_ten("self.all(x, self.all(y, self.all(z, true)))"), 3552);
    let nested: Make = |max| list(map(object(None), max), max);
    check(
        r#"self.all(x, x["y"].required == "z")"#,
        nested,
        7340027,
        (10, 72),
    );
    let one: Make = |max| list(map(object(None), max), None);
    check(
        r#"self.all(x, x["y"].required == "z")"#,
        one,
        7340027,
        (10, 7340027),
    );
    let maps: Make = |max| list(map(of_type("number"), None), max);
    check("self.all(x, x.y == 25.2)", maps, 6291452, (12, 74));
}

#[test]
fn an_entry_costs_what_it_takes_to_reach_and_to_compare_it() {
    check(
        "self[1] == 0.0",
        |max| list(of_type("number"), max),
        2,
        (5000, 2),
    );
    check(
        "self[3] == 0.0",
        |max| list(of_type("number"), max),
        2,
        (0, 2),
    );
    check(
        "self[1] == self[1]",
        |max| list(of_type("string"), max),
        314577,
        (8, 314577),
    );
    check(
        "self[0] == 5",
        |max| list(of_type("int-or-string"), max),
        3,
        (10, 3),
    );
    check(
        "self[0] == false",
        |max| list(of_type("boolean"), max),
        2,
        (25, 2),
    );
    check(
        "self[0] == null",
        |max| list(object(None), max),
        2,
        (422, 2),
    );
    check(
        "self[0][0] == -1.0",
        |max| list(list(of_type("number"), None), max),
        3,
        (51, 3),
    );
    check(
        "self[0].x > 2.0",
        |max| list(map(of_type("number"), None), max),
        4,
        (3000, 4),
    );
    check(
        r#"self["x"] == 0.0"#,
        |max| map(of_type("number"), max),
        2,
        (0, 2),
    );
    check(
        r#"self["a"] == self["b"]"#,
        |max| map(of_type("date-time"), max),
        8,
        (7, 8),
    );
    check(
        r#"self["c"] == self["d"]"#,
        |max| map(of_type("duration"), max),
        8,
        (42, 8),
    );
    check(
        "oldSelf.size() == self.size()",
        |max| map(of_type("integer"), max),
        5,
        (10, 5),
    );
}

#[test]
fn text_is_gone_over_letter_by_letter() {
    check("self.contains('test')", text, 314574, (10, 5));
    check("self.startsWith('test')", text, 2, (15, 2));
    check("self.endsWith('test')", text, 2, (30, 2));
    check(
        r#"size(self + "hello") > size("hello")"#,
        text,
        314578,
        (4, 7),
    );
    check(r#"self == "x""#, text, 2, (0, 1));
    check(r#"self.matches("x")"#, text, 314574, (50, 22));
    check(
        r#""".matches("(((((((((())))))))))[0-9]")"#,
        text,
        7,
        (10, 7),
    );
    check(r#"self.matches("")"#, text, 1, (100, 1));
    let listed: Make =
        |max| json!({"type": "string", "enum": ["A", "B", "C", "LongValue"], "maxLength": max});
    check("self.contains('A')", listed, 2, (1000, 401));
}

#[test]
fn what_kubernetes_adds_costs_as_well() {
    check("self.find('[0-9]+') == ''", text, 629147, (10, 11));
    check("self.lowerAscii() == 'lower!'", text, 314575, (10, 6));
    let texts: Make = |max| list(text(max), max);
    check("self.join(' ') == 'aa bb'", texts, 329853068905, (10, 43));
    check("self.isSorted() == true", texts, 329854432052, (10, 52));
    let replaced: Make = |max| {
        json!({"type": "object", "properties": {
            "str": text(max), "before": text(Some(2)), "after": text(Some(4))}})
    };
    let rule = "self.str.replace(self.before, self.after) == 'does not matter'";
    check(rule, replaced, 629154, (4, 12));
    let split: Make =
        |max| json!({"type": "object", "properties": {"str": text(max), "separator": text(max)}});
    check(
        "self.str.split(self.separator) == []",
        split,
        629160,
        (10, 22),
    );
    let amount: Make = |max| json!({"x-kubernetes-int-or-string": true, "maxLength": max});
    check("isQuantity(self)", amount, 314574, (20, 9));
}
