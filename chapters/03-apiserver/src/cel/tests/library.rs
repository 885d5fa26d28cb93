//! Each function once at the least, with values of upstream's own tests.

use super::*;

/// Nothing but what is in the expression.
struct Nothing;

impl Names for Nothing {
    fn value(&self, _name: &str, _budget: &mut Budget) -> Option<Result<Val, Failure>> {
        None
    }

    fn check(&self, _check: &Check) -> Decision {
        Decision::default()
    }
}

pub(super) fn run(text: &str) -> Result<Val, String> {
    let environment = Environment::admission(false).making_patches();
    let expression = Expression::compile(text, &environment)?;
    let mut budget = Budget::new(RULE_COST_MAX);
    let found = expression.run(&Nothing, &mut budget);
    found.map_err(|failure| format!("{failure:?}"))
}

fn holds(all: &[&str]) {
    for text in all {
        assert_eq!(run(text), Ok(Val::Bool(true)), "{text}");
    }
}

/// Expressions, and the error that each ends with.
fn fails(all: &[(&str, &str)]) {
    for (text, expect) in all {
        assert_eq!(run(text), Err(format!("Error({expect:?})")), "{text}");
    }
}

/// Upstream: cel-go's `ext/lists_test.go`.
#[test]
fn lists() {
    holds(&[
        "[1,2,3,4].slice(0, 4) == [1,2,3,4]",
        "[1,2,3,4].slice(1, 3) == [2,3]",
        "[1,2,3,4].slice(2, 2) == []",
        "dyn([]).flatten() == []",
        "[[1,2],[3,4]].flatten() == [1,2,3,4]",
        "[dyn(1),[dyn(2),[3,4]]].flatten() == [dyn(1),2,[3,4]]",
        "[dyn(1),2,[],[],[3,4]].flatten() == [1,2,3,4]",
        "[dyn(1),[dyn(2),[dyn(3),[4]]]].flatten(2) == [dyn(1),2,3,[4]]",
        "[1, 2, 3, 4].distinct() == [1,2,3,4] && [-2, 5, -2, 1, 1, 5].distinct() == [-2, 5, 1]",
        "['c', 'a', 'a', 'b', 'a', 'b', 'c'].distinct() == ['c', 'a', 'b']",
        "[[1], [1], [2]].distinct() == [[1], [2]]",
        "[5,3,1,1].reverse() == [1,1,3,5]",
        "lists.range(4) == [0,1,2,3] && lists.range(-1) == []",
        "[4, 3, 2, 1].sort() == [1, 2, 3, 4] && ['d', 'a', 'b'].sort() == ['a', 'b', 'd']",
        "['foo', 'bar', 'baz'].sortBy(e, e == 'foo' ? 1 : 2)[0] == 'foo'",
        "[{'n': 2}, {'n': 1}].sortBy(e, e.n) == [{'n': 1}, {'n': 2}]",
        "[1, 2].first() == optional.of(1) && [1, 2].last().value() == 2 && ![].first().hasValue()",
        "[1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && [1].indexOf(3) == -1",
        "[1, 3].sum() == 4 && [1.0, 3.0].max() == 3.0 && ['b', 'a'].min() == 'a'",
        "[duration('1m'), duration('1s')].sum() == duration('1m1s')",
        "[1, 2].isSorted() && !['b', 'a'].isSorted() && [].isSorted()",
        "['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b'",
        "[optional.none(), optional.of(1)].unwrapOpt() == [1]",
        "optional.unwrap([optional.none(), optional.of(1)]) == [1]",
    ]);
    fails(&[
        ("[1,2].slice(0, 3)", "cannot slice(0, 3), list is length 2"),
        (
            "[1,2].slice(-5, 10)",
            "cannot slice(-5, 10), negative indexes not supported",
        ),
        (
            "[1,2].slice(3, 0)",
            "cannot slice(3, 0), start index must be less than or equal to end index",
        ),
        ("dyn([1, 2]).flatten(-1)", "level must be non-negative"),
        (
            "[dyn('a'), dyn(1)].sortBy(x, x)",
            "list elements must have the same type",
        ),
    ]);
}

/// Upstream: cel-go's `ext/sets_test.go`.
#[test]
fn sets() {
    holds(&[
        "sets.contains([], []) && sets.contains([1, 2, 3, 4], [2, 3])",
        "sets.contains([dyn(1), 2], [dyn(2u), 2.0]) && !sets.contains([1], [1, 2])",
        "sets.contains([[1], [2, 3]], [[2, 3]])",
        "sets.equivalent([1], [1, 1]) && !sets.equivalent([2, 1], [1])",
        "sets.intersects([1], [1, 2]) && !sets.intersects([], []) && !sets.intersects([1], [2])",
    ]);
}

/// Upstream: cel-go's `ext/strings_test.go`, `apiserver/pkg/cel/library/regex.go`.
#[test]
fn texts() {
    holds(&[
        "'tacocat'.charAt(3) == 'o' && 'tacocat'.charAt(7) == '' && '©αT'.charAt(1) == 'α'",
        "'tacocat'.indexOf('') == 0 && 'tacocat'.indexOf('ac') == 1",
        "'tacocat'.indexOf('none') == -1 && 'tacocat'.indexOf('a', 3) == 5",
        "'tacocat'.lastIndexOf('at') == 5 && 'tacocat'.lastIndexOf('') == 7",
        "'tacocat'.lastIndexOf('a', 5) == 5 && 'ta©o©αT'.lastIndexOf('©') == 4",
        "'TacoCat'.lowerAscii() == 'tacocat' && 'TacoCÆt'.upperAscii() == 'TACOCÆT'",
        "'hello hello'.replace('he', 'we') == 'wello wello'",
        "'hello hello'.replace('he', 'we', 1) == 'wello hello'",
        "'12 days 12 hours'.replace('{0}', '2') == '12 days 12 hours'",
        "'ab'.replace('', '_') == '_a_b_' && 'a'.replace('a', '', 0) == 'a'",
        "'hello hello hello'.split(' ') == ['hello', 'hello', 'hello']",
        "'hello world'.split(' ', 0) == [] && 'hello world'.split(' ', 1) == ['hello world']",
        "'hello world events!'.split(' ', 2) == ['hello', 'world events!']",
        "'o©o©o©o'.split('©', -1) == ['o', 'o', 'o', 'o'] && 'abc'.split('', 2) == ['a', 'bc']",
        "'tacocat'.substring(4) == 'cat' && 'ta©o©αT'.substring(2, 6) == '©o©α'",
        "' \\ttrim\\n    '.trim() == 'trim'",
        "strings.quote('first\\nsecond') == '\"first\\\\nsecond\"'",
        "strings.quote('bell\\u0007') == '\"bell\\\\a\"' && 'a'.contains('') && 'ab'.endsWith('b')",
        "'abc 123'.find('[0-9]*') == '' && '123 abc 456'.findAll('[0-9]+', 1) == ['123']",
        "'123 abc 456'.findAll('[0-9]+') == ['123', '456'] && 'Abc'.matches('^(?i)abc$')",
        "jsonpatch.escapeKey('k8s.io/my~label') == 'k8s.io~1my~0label'",
    ]);
    fails(&[
        ("'tacocat'.charAt(30) == ''", "index out of range: 30"),
        ("'tacocat'.indexOf('a', -1) == -1", "index out of range: -1"),
        (
            "'tacocat'.lastIndexOf('a', -1) == -1",
            "index out of range: -1",
        ),
        ("'tacocat'.substring(40) == 'cat'", "index out of range: 40"),
        ("'tacocat'.substring(-1) == 'cat'", "index out of range: -1"),
        (
            "'tacocat'.substring(1, 50) == 'cat'",
            "index out of range: 50",
        ),
        (
            "'tacocat'.substring(49, 1) == 'cat'",
            "invalid substring range. start: 49, end: 1",
        ),
    ]);
}

/// Upstream: cel-go's `ext/formatting_test.go`.
#[test]
fn formatting() {
    let check = |text: &str, arguments: &str, expect: &str| {
        let found = run(&format!("\"{text}\".format([{arguments}])"));
        assert_eq!(found, Ok(Val::text(expect)), "{text} {arguments}");
    };
    check("%%escaped %s%%", "'percent'", "%escaped percent%");
    check("%.3f", "1.2345", "1.234");
    check("%f", "2.71828", "2.718280");
    check("this is 5 in binary: %b", "5", "this is 5 in binary: 101");
    check("%b", "-5", "-101");
    check("%b", "true", "1");
    check("%x is 20, %X is 30", "30, 30", "1e is 20, 1E is 30");
    check("%x", "'Hello world!'", "48656c6c6f20776f726c6421");
    check("%o", "11", "13");
    check("%.6e", "1052.032911275", "1.052033\u{202f}×\u{202f}10⁰³");
    check("%e", "2.71828", "2.718280\u{202f}×\u{202f}10⁰⁰");
    check("%s", "2.71", "2.71");
    check("%s", "[2.71]", "[2.710000]");
    check("%s", "0.000000002", "2e-09");
    check("%f", "'Infinity'", "∞");
    check("%f", "'NaN'", "NaN");
    check("%d", "42", "42");
    check(
        "%s",
        "[dyn('abc'), 3.14, null]",
        "[\"abc\", 3.140000, null]",
    );
    check(
        "%s",
        "{'key2': dyn(1), 'key1': timestamp('2023-02-03T23:31:20+00:00')}",
        "{\"key1\":timestamp(\"2023-02-03T23:31:20Z\"), \"key2\":1}",
    );
    check("%s", "duration('1h45m47s')", "6347s");
    check("%s", "type('test string')", "string");
    fails(&[
        ("'%d %d'.format([1])", "index 1 out of range"),
        (
            "'%d'.format(['a'])",
            "error during formatting: decimal clause can only be used on integers, was given string",
        ),
        (
            "'%a'.format([1])",
            "could not parse formatting clause: unrecognized formatting clause \"a\"",
        ),
    ]);
}

/// Upstream: cel-go's `ext/comprehensions_test.go`.
#[test]
fn macros_with_two_variables() {
    holds(&[
        "[1, 2, 3, 4].all(i, v, i < 5 && v > 0) && !{'a': 'a'}.all(k, v, k != v)",
        "{'greeting': 'hello'}.exists(k, v, k.startsWith('g') || v == 'x')",
        "![1, 2, 4, 8, 16].exists(i, v, v == 1024 && i == 10)",
        "![1, 2, 1, 3, 1, 4].existsOne(i, v, i == 1 || v == 1)",
        "[1, 1, 2, 2, 3, 3].exists_one(i, v, i == 2 && v == 2)",
        "[1, 2, 3].transformList(i, v, (i * v) + v) == [1, 4, 9]",
        "[1, 2, 3].transformList(i, v, i % 2 == 0, (i * v) + v) == [1, 9]",
        "{'greeting': 'hello'}.transformList(k, _, k) == ['greeting']",
        "[1, 2, 3].transformMap(i, v, (i * v) + v) == {0: 1, 1: 4, 2: 9}",
        "[1, 2, 3].transformMap(i, v, i % 2 == 0, (i * v) + v) == {0: 1, 2: 9}",
        "{'greeting': 'hello'}.transformMap(k, v, v + '!') == {'greeting': 'hello!'}",
        "{'greeting': 'hello'}.transformMapEntry(k, v, {v: k}) == {'hello': 'greeting'}",
        "['a', 'b'].transformMapEntry(i, v, i > 0, {v: i}) == {'b': 1}",
    ]);
    fails(&[(
        "{'greeting': 'aloha', 'farewell': 'aloha'}.transformMapEntry(k, v, {v: k})",
        "insert failed: key aloha already exists",
    )]);
}

/// Upstream: cel-go's `cel/cel_test.go`, `TestOptionalValuesEval`.
#[test]
fn optionals() {
    holds(&[
        "{'k': {'a': 'b'}}.?k.?a.orValue('x') == 'b' && {'k': 1}.?x == optional.none()",
        "{'k': {'a': 'b'}}.?x.a.hasValue() == false && {'k': {'a': 'b'}}.?k.a.value() == 'b'",
        "[1, 2][?1].value() == 2 && ![1, 2][?2].hasValue() && {1: 'a'}[?1] == optional.of('a')",
        "optional.none().or(optional.of(1)).value() == 1 && optional.of(1).or(optional.of(2)).value() == 1",
        "optional.of(1).orValue(1 / 0) == 1",
        "optional.ofNonZeroValue('') == optional.none() && optional.ofNonZeroValue('a').value() == 'a'",
        "optional.of(2).optMap(x, x * 2).value() == 4 && !optional.none().optMap(x, 1 / 0).hasValue()",
        "optional.of({'a': 1}).optFlatMap(m, m.?a) == optional.of(1)",
        "{?'a': optional.none(), ?'b': optional.of(1)} == {'b': 1}",
        "[?optional.none(), 2, ?optional.of(3)] == [2, 3]",
        "has({'a': {'b': 1}}.?a.b) && !has({'a': {'b': 1}}.?x.b)",
        "dyn(optional.of(1)) == dyn(optional.of(1u))",
    ]);
    fails(&[(
        "optional.none().value() == 1",
        "optional.none() dereference",
    )]);
}

/// Upstream: cel-spec's `tests/simple/testdata/timestamps.textproto`.
#[test]
fn times() {
    let at = "timestamp('2009-02-13T23:31:20Z')";
    let parts = [
        ("getDate()", 13),
        ("getDate('Australia/Sydney')", 14),
        ("getDayOfMonth()", 12),
        ("getDayOfMonth('US/Central')", 12),
        ("getDayOfMonth('+11:00')", 13),
        ("getDayOfWeek()", 5),
        ("getDayOfYear()", 43),
        ("getFullYear()", 2009),
        ("getHours()", 23),
        ("getHours('02:00')", 1),
        ("getHours('-05:30')", 18),
        ("getMinutes('Asia/Kathmandu')", 16),
        ("getMinutes('+00:00')", 31),
        ("getMonth()", 1),
        ("getSeconds()", 20),
        ("getMilliseconds()", 0),
    ];
    for (part, expect) in parts {
        assert_eq!(run(&format!("{at}.{part}")), Ok(Val::Int(expect)), "{part}");
    }
    holds(&[
        "duration('10000s').getHours() == 2 && duration('3730s').getMinutes() == 62",
        "duration('3730s').getSeconds() == 3730 && duration('1.5s').getMilliseconds() == 1500",
        "timestamp('2009-02-13T23:31:20.123456789Z').getMilliseconds() == 123",
        "string(timestamp('2009-02-13T23:31:30Z')) == '2009-02-13T23:31:30Z'",
        "string(duration('1000000s')) == '1000000s' && int(duration('1us')) == 1000",
        "timestamp(1234567890) == timestamp('2009-02-13T23:31:30Z')",
        "timestamp('2009-02-13T23:00:00Z') + duration('240s') == timestamp('2009-02-13T23:04:00Z')",
        "type(duration('1s')) == google.protobuf.Duration",
    ]);
    fails(&[
        (
            "timestamp('9999-12-30T00:00:00Z') + duration('48h')",
            "timestamp overflow",
        ),
        (
            "timestamp('0001-01-01T00:00:00Z') - duration('1s')",
            "timestamp overflow",
        ),
        (
            "timestamp('2009-02-13T23:31:20Z').getHours('No/Where')",
            "unknown time zone No/Where",
        ),
    ]);
}

/// Upstream: cel-spec's `conversions.textproto`, `parse.textproto`, `fields.textproto`.
#[test]
fn bytes_numbers_and_keys() {
    holds(&[
        "b'abc'.size() == 3 && bytes('abc') == b'abc' && string(b'abc') == 'abc' && b'a' < b'b'",
        r"b'\377\x00'.size() == 2 && '\101' == 'A' && b'ÿ'.size() == 2 && br'\n'.size() == 2",
        "b'a' + b'b' == b'ab' && type(b'') == bytes && '%x'.format([b'\\xff']) == 'ff'",
        "{dyn(1): 'a', dyn(true): 'b', dyn('c'): 'd'}.transformMap(k, v, v)[true] == 'b'",
        "{1: 'a'}[dyn(1u)] == 'a' && {1u: 'a'}[dyn(1)] == 'a' && {1: 'a'}[dyn(1.0)] == 'a' && dyn(1) in {1u: 2}",
        "{true: 'a'}[true] == 'a' && {1: 2}.map(k, k) == [1] && {1u: 2} == {1u: 2}",
        "string(1e21) == '1e+21' && string(1.0) == '1' && string(-0.00001) == '-1e-05'",
        "uint(1.9) == 1u && int(-1.9) == -1 && double('1.5') == 1.5 && bool('true')",
        "9007199254740993 != 9007199254740992 && dyn(1) == 1.0 && dyn(2u) == dyn(2)",
    ]);
    fails(&[
        ("uint(-1)", "unsigned integer overflow"),
        (
            "string(b'\\xff')",
            "invalid UTF-8 in bytes, cannot convert to string",
        ),
        ("{1: 'a'}[2]", "no such key: 2"),
        ("int(1e99)", "integer overflow"),
    ]);
}

/// Upstream: `apiserver/pkg/cel/library/ip_test.go` and `cidr_test.go`.
#[test]
fn addresses() {
    holds(&[
        "ip('192.168.0.1').family() == 4 && ip('2001:db8::abcd').family() == 6",
        "ip.isCanonical('127.0.0.1') && !ip.isCanonical('2001:DB8::ABCD')",
        "isIP('2001:db8::68') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')",
        "ip('0.0.0.0').isUnspecified() && ip('::1').isLoopback()",
        "ip('169.254.169.254').isLinkLocalUnicast() && ip('fe80::1').isLinkLocalUnicast()",
        "ip('224.0.0.1').isLinkLocalMulticast() && ip('ff02::1').isLinkLocalMulticast()",
        "ip('192.168.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()",
        "string(ip('2001:db8::abcd')) == '2001:db8::abcd' && type(ip('::')) == net.IP",
        "cidr('192.168.0.0/24').containsIP(ip('192.168.0.1')) && isCIDR('::1/128')",
        "!cidr('192.168.0.0/24').containsIP('192.168.1.1')",
        "cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24')",
        "cidr('192.168.0.0/24').ip() == ip('192.168.0.0') && cidr('::1/128').prefixLength() == 128",
        "cidr('192.168.0.1/24').masked() == cidr('192.168.0.0/24') && !isCIDR('192.168.0.0/')",
        "string(cidr('192.168.0.0/24')) == '192.168.0.0/24'",
    ]);
    fails(&[(
        "ip('::ffff:1.2.3.4').family()",
        "IPv4-mapped IPv6 address \"::ffff:1.2.3.4\" is not allowed",
    )]);
}

/// Upstream: `apiserver/pkg/cel/library/urls.go`, `quantity_test.go`.
#[test]
fn urls_and_quantities() {
    holds(&[
        "url('https://example.com:80/').getHost() == 'example.com:80'",
        "url('https://[::1]:80/').getHostname() == '::1' && url('/path').getHost() == ''",
        "url('https://example.com:80/').getPort() == '80' && url('/path').getScheme() == ''",
        "url('https://example.com/path with spaces/').getEscapedPath() == '/path%20with%20spaces/'",
        "url('https://e.com/path?k1=a&k2=b&k2=c').getQuery() == {'k1': ['a'], 'k2': ['b', 'c']}",
        "url('https://e.com/path?key with spaces=value%20x').getQuery()['key with spaces'] == ['value x']",
        "isURL('https://user:pass@example.com:80/path') && !isURL('https://a:b') && !isURL('../rel')",
        "quantity('200M') == quantity('0.2G') && quantity('50k').add(20) == quantity('50020')",
        "quantity('50k').sub(quantity('20')) == quantity('49.98k') && quantity('50').isInteger()",
        "quantity('50M').isLessThan(quantity('50Mi')) && quantity('-1').sign() == -1",
        "quantity('50.703k').asApproximateFloat() == 50703.0 && quantity('50k').asInteger() == 50000",
        "quantity('200M').compareTo(quantity('0.2G')) == 0 && !isQuantity('200 M')",
    ]);
    fails(&[
        (
            "url('../relative-path').getHost()",
            "URL parse error during conversion from string: parse \"../relative-path\": invalid URI for request",
        ),
        (
            "quantity('0.5').asInteger()",
            "cannot convert value to integer",
        ),
    ]);
}

/// Upstream: `apiserver/pkg/cel/library/semver_test.go`.
#[test]
fn versions() {
    holds(&[
        "isSemver('1.2.3-beta.1+build.1') && !isSemver('') && !isSemver('v1.0.0')",
        "!isSemver(' 1.0.0') && !isSemver('1. 0.0') && !isSemver('01.01.01') && !isSemver('1.1')",
        "isSemver('v1.0.0', true) && isSemver('01.01.01', true) && isSemver('1', true)",
        "!isSemver('', true) && !isSemver('1.0.0 ', true) && semver('v01.01', true) == semver('1.1.0')",
        "semver('1.2.3') == semver('1.2.3') && semver('1.2.3').isGreaterThan(semver('1.0.0'))",
        "semver('1.0.0').isLessThan(semver('1.2.3')) && semver('1.2.3').compareTo(semver('1.0.0')) == 1",
        "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3",
        "semver('1.0.0-rc.1').isLessThan(semver('1.0.0')) && semver('1.0.0-2').isLessThan(semver('1.0.0-rc'))",
    ]);
    fails(&[("semver('v1.0')", "No Major.Minor.Patch elements found")]);
}

/// Upstream: `apiserver/pkg/cel/library/format_test.go`.
#[test]
fn named_formats() {
    holds(&[
        "!format.dns1123Label().validate('my-label-name').hasValue()",
        "!format.dns1123Subdomain().validate('apiextensions.k8s.io').hasValue()",
        "!format.qualifiedName().validate('apiextensions.k8s.io/v1beta1').hasValue()",
        "!format.dns1123LabelPrefix().validate('my-label-name-').hasValue()",
        "!format.dns1123SubdomainPrefix().validate('apiextensions.k8s.io-').hasValue()",
        "!format.dns1035Label().validate('my-label-name').hasValue()",
        "!format.dns1035LabelPrefix().validate('my-label-prefix-').hasValue()",
        "!format.labelValue().validate('my-cool-label-Value').hasValue()",
        "!format.uri().validate('http://example.com').hasValue()",
        "!format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()",
        "!format.byte().validate('aGVsbG8=').hasValue() && !format.date().validate('2021-01-01').hasValue()",
        "!format.datetime().validate('2021-01-01T00:00:00Z').hasValue()",
        "format.byte().validate('aGVsbG8').value() == ['invalid base64']",
        "format.date().validate('2021-01-32').value() == ['invalid date']",
        "format.uuid().validate('x').value() == ['does not match the UUID format']",
        "format.named('dns1123Label').hasValue() && !format.named('dns1123label').hasValue()",
        "format.named('dns1123Label').value() == format.dns1123Label()",
    ]);
}
