//! Expressions and what becomes of them.

use serde_json::{Value, json};

use super::*;
use crate::custom::Schema;

mod costs;
mod library;
mod policies;

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
    evaluated_within(RULE_COST_MAX, text)
}

fn evaluated_within(cost: u64, text: &str) -> Result<Val, String> {
    let schema = schema();
    let expression = Expression::compile(text, &Environment::rule(&schema, false))?;
    let value = Val::from_json(&own(), Some(&schema));
    let mut budget = Budget::new(cost);
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
        "'%s has %d, %.1f'.format([dyn('x'), 2, 1.25]) == 'x has 2, 1.2'",
        "optional.none().orValue(1) == 1 && optional.of(2).hasValue()",
        "self.max < 4u && dyn(1) == 1.0 && 2 > 1.5",
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
        "ERROR: <input>:1:17: undefined field 'maks'\n | self.min <= self.maks\n | ................^"
    );
    assert_eq!(
        told("nobody == 1"),
        "ERROR: <input>:1:1: undeclared reference to 'nobody' (in container '')\n | nobody == 1\n | ^"
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
    assert_eq!(told("dyn(1) + 'a' == ''"), "Error(\"no such overload\")");
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
    // What is small becomes large by what costs little.
    let grown = |start: &str, step: &str| format!("{start}{}.size() > 0", step.repeat(60));
    // A list that holds one twice, which holds one twice, and so on.
    let nested = format!("[[1]]{}", ".map(a, [a, a])".repeat(60));
    for text in [
        grown("'a'", ".replace('a', 'aaaaaaaaaa')"),
        grown("'aa'", ".replace('', 'aaaaaaaaaa')"),
        grown("[['a']]", ".map(a, a + a)").replace(".size()", "[0].size()"),
        format!("{nested}.map(a, a == a)[0]"),
        format!("{nested}.map(a, [a].indexOf(a))[0] == 0"),
        format!("{nested}.map(a, '%s'.format([a]).size())[0] > 0"),
        nested.clone(),
        "lists.range(9223372036854775807).size() > 0".to_owned(),
    ] {
        let found = evaluated_within(RULE_COST_MAX / 20, &text);
        assert_eq!(found, Err("Cost".to_owned()), "{text}");
    }
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

/// The first line of each problem, without where it is.
fn problems(text: &str, environment: &Environment) -> Vec<String> {
    let Err(told) = Expression::compile(text, environment) else {
        return Vec::new();
    };
    let lines = told.lines().filter(|line| line.starts_with("ERROR"));
    let short = |line: &str| line.trim_start_matches("ERROR: <input>:").to_owned();
    lines.map(short).collect()
}

/// Upstream: `apiextensions-apiserver/pkg/apiserver/schema/cel/compilation_test.go`.
#[test]
fn wrong_types_are_told() {
    let environment = Environment::rule(&schema(), false);
    let check = |text: &str, expect: &[&str]| {
        assert_eq!(problems(text, &environment), expect, "{text}");
    };
    check(
        "self.min == 'a'",
        &["1:10: found no matching overload for '_==_' applied to '(int, string)'"],
    );
    check(
        "self.min == 1 && self.name",
        &["1:15: found no matching overload for '_&&_' applied to '(bool, string)'"],
    );
    check(
        "self.name.startsWith(1)",
        &["1:21: found no matching overload for 'startsWith' applied to 'string.(int)'"],
    );
    check(
        "size(self.min) > 1",
        &["1:5: found no matching overload for 'size' applied to '(int)'"],
    );
    check(
        "self.list.all(p, p.port)",
        &["1:14: found no matching overload for '_&&_' applied to '(bool, int)'"],
    );
    check(
        "self.name.all(c, true)",
        &[
            "1:5: expression of type 'string' cannot be range of a comprehension (must be list, \
           map, or dynamic)",
        ],
    );
    check(
        "self.name.length",
        &["1:10: type 'string' does not support field selection"],
    );
    check(
        "[1, 'a'].size() > 0",
        &["1:5: expected type 'int' but found 'string'"],
    );
    check(
        "self.map.all(k, self.map[k] > 0) || nobody",
        &[
            "1:29: found no matching overload for '_>_' applied to '(string, int)'",
            "1:37: undeclared reference to 'nobody' (in container '')",
        ],
    );
    check(
        "duration('x') < duration('1s')",
        &["1:10: invalid duration argument"],
    );
    check(
        "self.name.matches('(')",
        &["1:19: invalid matches argument"],
    );
    check(
        "Object{a: 1}",
        &["1:7: undeclared reference to 'Object' (in container '')"],
    );
    check("has(self.nothing)", &["1:4: undefined field 'nothing'"]);
    for text in [
        "self.list[0].port + 1 > self.min",
        "self.min < 1.5 && self.max > 2u",
        "dyn(self.min) == 'a'",
        "self.at > timestamp('2026-01-01T00:00:00Z') || self.at == oldSelf.at",
        "self.list.map(p, p.port).sum() > 0 && self.list.map(p, p.port > 1, p.port).size() == 0",
        "{'a': 1}['a'] == [1][0] && type(self.name) == string",
        "self.metadata.name == self.kind",
        "self.?name.orValue('') == ''",
    ] {
        check(text, &[]);
    }
}

#[test]
fn what_an_expression_is_is_known() {
    let environment = Environment::rule(&schema(), true);
    let result = |text: &str| {
        let compiled = Expression::compile(text, &environment);
        compiled.expect(text).result().to_string()
    };
    assert_eq!(result("self.list.map(p, p.port)"), "list(int)");
    assert_eq!(result("self.list.filter(p, p.port > 1)"), "list(object)");
    assert_eq!(result("self.map"), "map(string, string)");
    assert_eq!(result("oldSelf"), "optional_type(object)");
    assert_eq!(
        result("oldSelf.hasValue() ? oldSelf.value().min : 0"),
        "int"
    );
    assert_eq!(result("self.at - self.at"), "duration");
    assert_eq!(result("true ? self.min : dyn(1)"), "dyn");
    assert_eq!(result("[]"), "list(dyn)");
    assert_eq!(result("optional.of(1)"), "optional_type(int)");
}

/// Upstream: `apiserver/pkg/admission/plugin/cel/compile_test.go`.
#[test]
fn policies_may_name_the_request_and_more() {
    let variables = [("n".to_owned(), INT)].into();
    let plain = Environment::admission(false);
    let environment = Environment::admission(true).with_variables(&variables);
    for text in [
        "object.metadata.name == request.name && oldObject == null && params.max > 1",
        "request.userInfo.groups.exists(g, g == 'a') && request.dryRun",
        "namespaceObject.metadata.labels['a'] == 'b'",
        "authorizer.group('apps').resource('deployments').namespace(request.namespace).check('get').allowed()",
        "authorizer.requestResource.check('delete').allowed()",
        "variables.n + 1 > 2",
        "object.?spec.?x.orValue(1) == 1 && object[?'a'].hasValue()",
        "object.spec.containers.all(i, c, c.image.startsWith('a') && i < 9)",
        "object.list.transformList(i, v, i > 0, v).size() == 0",
        "sets.contains([1, 2], [1]) && [3, 1].sort()[0] == 1 && b'abc'.size() == 3",
        "!format.dns1123Label().validate(object.metadata.name).hasValue()",
        "timestamp(object.metadata.creationTimestamp).getFullYear() > 2020",
        "semver('1.2.3').isLessThan(semver('1.2.4')) && ip('::1').isLoopback()",
        "optional.of(1).optMap(x, x + 1).orValue(0) == 2 && {?'a': optional.of(1)}['a'] == 1",
    ] {
        assert_eq!(problems(text, &environment), [""; 0], "{text}");
    }
    let check = |text: &str, environment: &Environment, expect: &str| {
        assert_eq!(problems(text, environment), [expect], "{text}");
    };
    let undeclared = "1:1: undeclared reference to";
    check(
        "params.x",
        &plain,
        &format!("{undeclared} 'params' (in container '')"),
    );
    check(
        "variables.n",
        &plain,
        &format!("{undeclared} 'variables' (in container '')"),
    );
    check("request.nam == ''", &plain, "1:8: undefined field 'nam'");
    check("variables.m", &environment, "1:10: undefined field 'm'");
    let hidden = environment.clone().without("authorizer");
    check(
        "authorizer.requestResource.check('get').allowed()",
        &hidden,
        &format!("{undeclared} 'authorizer' (in container '')"),
    );
    check(
        "Object{spec: 1}",
        &plain,
        "1:7: undeclared reference to 'Object' (in container '')",
    );
    let making = plain.making_patches();
    assert_eq!(
        problems(
            "Object{spec: Object.spec{?replicas: object.?n, x: 'a'}}",
            &making
        ),
        [""; 0]
    );
    check(
        "[JSONPatch{op: 1, path: jsonpatch.escapeKey('a/b')}]",
        &making,
        "1:16: expected type of field 'op' is 'string' but provided type is 'int'",
    );
    check("JSONPatch{up: 'a'}", &making, "1:15: undefined field 'up'");
    let device = Environment::device();
    for text in [
        "device.driver == 'a' && device.attributes['a'].size > 3",
        "cel.bind(dra, device.attributes['a'], dra.one && dra.two)",
        "device.capacity['a'].memory.isGreaterThan(quantity('1Gi'))",
    ] {
        assert_eq!(problems(text, &device), [""; 0], "{text}");
    }
    check(
        "device.capacity['a'].memory > 1",
        &device,
        "1:29: found no matching overload for '_>_' applied to '(kubernetes.Quantity, int)'",
    );
}
