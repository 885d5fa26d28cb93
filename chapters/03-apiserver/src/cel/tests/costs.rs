//! What an expression costs while it runs.
//!
//! Upstream: `apiserver/pkg/cel/library/cost_test.go`.

use super::*;

/// Allows everything.
struct Allowing;

impl Names for Allowing {
    fn value(&self, name: &str, _budget: &mut Budget) -> Option<Result<Val, Failure>> {
        (name == "authorizer").then(|| Ok(Check::authorizer()))
    }

    fn check(&self, _check: &Check) -> Decision {
        Decision {
            allowed: true,
            ..Decision::default()
        }
    }
}

fn check(text: &str, expect: u64) {
    let environment = Environment::admission(false).making_patches();
    let expression = Expression::compile(text, &environment).expect(text);
    let mut budget = Budget::new(RULE_COST_MAX);
    expression.run(&Allowing, &mut budget).expect(text);
    assert_eq!(RULE_COST_MAX - budget.left(), expect, "{text}");
}

#[test]
fn lists_cost_what_they_hold() {
    let texts = "['012345678901', '012345678901', '012345678901', '012345678901', '012345678901']";
    for function in ["isSorted()", "max()", "min()"] {
        check(&format!("[1, 2, 3, 4, 5].{function}"), 15);
        check(&format!("{texts}.{function}"), 15);
        check(
            &format!("[uint(1), uint(2), uint(3), uint(4), uint(5)].{function}"),
            20,
        );
    }
    check("[1.0, 2.0, 3.0, 4.0, 5.0].sum()", 15);
    check("[1, 2, 3, 4, 5].indexOf(3)", 15);
    check(&format!("{texts}.lastIndexOf('x')"), 15);
    check(
        "'01234567890123456789012345678901234567890123456789'.indexOf('123')",
        5,
    );
    check("sets.contains([1, 2, 3, 4], [2, 3])", 29);
    check("sets.contains([[1], [2, 3]], [[2, 3]])", 53);
    check("sets.equivalent([1, 2, 3], [3, 2, 1])", 39);
    check("!sets.intersects([1], [])", 22);
}

#[test]
fn macros_cost_what_their_loops_do() {
    for (text, expect) in [
        ("{'a': 1, 'b': 2}.all(k, v, v > 0)", 41),
        ("{'a': 1, 'b': 2}.exists(k, v, v > 0)", 40),
        ("{'a': 1, 'b': 2}.existsOne(k, v, v > 0)", 40),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v + 1)", 71),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v < 5, v + 1)", 75),
        ("{'a': 1, 'b': 2}.transformMapEntry(k, v, {k: v + 1})", 131),
        (
            "{'a': 1, 'b': 2}.transformMapEntry(k, v, v < 5, {k: v + 1})",
            135,
        ),
        ("[1, 2].all(i, v, v > 0)", 21),
        ("[1, 2].exists(i, v, v > 0)", 20),
        ("[1, 2].existsOne(i, v, v > 0)", 20),
        ("[1, 2].transformList(i, v, v + 1)", 49),
        ("[1, 2].transformList(i, v, v < 5, v + 1)", 53),
    ] {
        check(text, expect);
    }
}

/// Upstream: cel-go's `interpreter/runtimecost_test.go`.
#[test]
fn steps_cost_what_they_are() {
    for (text, expect) in [
        ("'Hello World!'", 0),
        ("[1, 2, 3]", 10),
        ("{'a': 1, 'b': 2, 'c': 3}", 30),
        ("JSONPatch{op: 'add'}", 40),
        ("[1, 2, 3].all(x, true)", 20),
        ("'123'.matches('[0-9]')", 2),
        ("true && false || true", 0),
        ("1 <= 2", 1),
        ("2 in [1, 2, 3]", 13),
        (
            "'12345678901234567890' == '123456789012345678901234567890'",
            2,
        ),
        ("true ? false : 1 > 3", 0),
        ("(1 > 2 ? 5 : 3) > 1", 2),
        ("(1 > 2 || 2 > 1) == true", 3),
        ("[{'k1': 1}, {'k2': 2}].all(x, true)", 77),
        ("[1,2,3,4,5].filter(x, x % 2 == 0)", 62),
        ("[1,2,3,4,5].map(x, x)", 86),
        ("[1,2,3,4,5].map(x, x).filter(x, x % 2 == 0)", 138),
        ("[1,2,3,4,5].map(x, x).exists(x, x == 5) == true", 118),
        ("[1,2,3,4,5].map(x, [x, x]).filter(z, z.size() == 2)", 232),
        ("[1,2,3,4,5].map(x, [x, x]).all(y, y.all(y, y == 1))", 171),
        ("[1,2,3,4,5].map(x, x).map(x, x) + [1]", 173),
    ] {
        check(text, expect);
    }
}

#[test]
fn functions_cost_what_they_go_over() {
    for (text, expect) in [
        ("'ABCDEFGHIJ abcdefghij'.lowerAscii()", 3),
        (
            "'ABCDEFGHIJ abcdefghij'.lowerAscii() == 'abcdefghij ABCDEFGHIJ'.lowerAscii()",
            9,
        ),
        ("strings.quote('ABCDEFGHIJ abcdefghij')", 3),
        ("'abc 123 def 123'.replace('123', '456')", 3),
        ("'abc 123 def 123'.replace('', 'x')", 3),
        ("'abc 123 def 123'.split(' ')", 3),
        ("'abc 123 def 123'.substring(5, 8)", 2),
        ("'  abc 123 def 123  '.trim()", 2),
        (
            "['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join(' ')",
            15,
        ),
        (
            "['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join()",
            13,
        ),
        ("'abc 123 def 123'.find('123')", 2),
        ("'abc 123 def 123'.findAll('123', 1)", 2),
        ("jsonpatch.escapeKey('abc/def~ abc/def~')", 2),
        ("url('https:://kubernetes.io/').getHost()", 4),
        ("url('https:://kubernetes.io/') == url('http://x.b')", 5),
        (
            "ip('2001:db8:3333:4444:5555:6666:7777:8888').isLoopback()",
            5,
        ),
        ("ip('192.168.0.1') == ip('192.168.0.1')", 5),
        (
            "ip.isCanonical('2001:db8:3333:4444:5555:6666:7777:8888')",
            8,
        ),
        ("cidr('192.168.0.0/16').masked()", 3),
        (
            "cidr('192.168.0.0/16').containsCIDR(cidr('192.0.0.0/30'))",
            7,
        ),
        ("cidr('192.168.0.0/16').containsCIDR('192.168.0.0/16')", 7),
        ("cidr('192.168.0.0/16').containsIP('192.169.0.1')", 5),
        (
            "quantity('200M') == quantity('0.2G') && quantity('0.2G') == quantity('200M')",
            6,
        ),
        (
            "quantity('50k').add(20).sub(quantity('100k')).sub(-50000).asInteger() > 0",
            7,
        ),
        ("format.named('dns1123subdomain')", 1),
        (
            "format.named('dns1123Subdomain').value().validate('my-name')",
            17,
        ),
        (
            "format.named('dns1123Label').value().validate('my-name')",
            10,
        ),
        ("semver('1234.56789012345.67890123456789')", 4),
        ("semver('1.0.0').compareTo(semver('1.2.3'))", 3),
    ] {
        check(text, expect);
    }
}

#[test]
fn questions_cost_much() {
    let resource = "authorizer.group('apps').resource('deployments').subresource('status')\
                    .namespace('test').name('backend')";
    check("authorizer.path('/healthz')", 2);
    check(resource, 6);
    check(&format!("{resource}.check('create').allowed()"), 350_007);
    check(
        "authorizer.path('/healthz').check('get').allowed()",
        350_003,
    );
    let selector = "spec.nodeName=example-node-name.fully.qualified.domain.name.example.com";
    for field in ["fieldSelector", "labelSelector"] {
        check(
            &format!("authorizer.group('').resource('pods').{field}('{selector}')"),
            1821,
        );
    }
}
