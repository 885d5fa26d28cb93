//! The signatures of all operators and functions.
//!
//! Upstream: cel-go's `common/stdlib` and `ext`, and `apiserver/pkg/cel/library`; which of them
//! there are is said by `apiserver/pkg/cel/environment/base.go`.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::types::{Type, split};

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Overload {
    /// Called on its first argument.
    pub(super) is_method: bool,
    pub(super) arguments: Vec<Type>,
    pub(super) result: Type,
}

/// All ways to call a function, by its name.
pub(super) fn of(name: &str) -> Option<&'static [Overload]> {
    static ALL: LazyLock<HashMap<&'static str, Vec<Overload>>> = LazyLock::new(read);
    ALL.get(name).map(Vec::as_slice)
}

/// `name(arguments) result`, or `receiver.name(arguments) result`; a line with `|` stands for one
/// line with each of the types that it lists.
const SIGNATURES: &str = "
    !_(bool) bool
    -_(int) int
    -_(double) double
    _&&_(bool, bool) bool
    _||_(bool, bool) bool
    _?_:_(bool, A, A) A
    _==_(A, A) bool
    _!=_(A, A) bool
    @in(A, list(A)) bool
    @in(A, map(A, B)) bool
    _[_](list(A), int) A
    _[_](map(A, B), A) B
    _[_](opt(list(A)), int) opt(A)
    _[_](opt(map(A, B)), A) opt(B)
    _[?_](list(A), int) opt(A)
    _[?_](map(A, B), A) opt(B)
    _[?_](opt(list(A)), int) opt(A)
    _[?_](opt(map(A, B)), A) opt(B)
    _+_(T, T) T | int uint double string bytes duration
    _+_(list(A), list(A)) list(A)
    _+_(timestamp, duration) timestamp
    _+_(duration, timestamp) timestamp
    _-_(T, T) T | int uint double duration
    _-_(timestamp, timestamp) duration
    _-_(timestamp, duration) timestamp
    _*_(T, T) T | int uint double
    _/_(T, T) T | int uint double
    _%_(T, T) T | int uint

    bool(T) bool | bool string
    bytes(T) bytes | bytes string
    double(T) double | double int uint string
    duration(T) duration | duration string
    dyn(A) dyn
    int(T) int | int uint double string timestamp duration
    string(T) string | string bool int uint double bytes timestamp duration IP CIDR
    timestamp(T) timestamp | timestamp string int
    type(A) type(A)
    uint(T) uint | uint int double string
    size(T) int | string bytes list(A) map(A,B)
    T.size() int | string bytes list(A) map(A,B)

    string.contains(string) bool
    string.endsWith(string) bool
    string.startsWith(string) bool
    string.matches(string) bool
    matches(string, string) bool
    string.charAt(int) string
    string.indexOf(string) int
    string.indexOf(string, int) int
    string.lastIndexOf(string) int
    string.lastIndexOf(string, int) int
    string.lowerAscii() string
    string.upperAscii() string
    string.replace(string, string) string
    string.replace(string, string, int) string
    string.split(string) list(string)
    string.split(string, int) list(string)
    string.substring(int) string
    string.substring(int, int) string
    string.trim() string
    string.format(list(dyn)) string
    strings.quote(string) string
    list(string).join() string
    list(string).join(string) string
    string.find(string) string
    string.findAll(string) list(string)
    string.findAll(string, int) list(string)

    T.getDate() int | timestamp
    T.getDate(string) int | timestamp
    T.getDayOfMonth() int | timestamp
    T.getDayOfMonth(string) int | timestamp
    T.getDayOfWeek() int | timestamp
    T.getDayOfWeek(string) int | timestamp
    T.getDayOfYear() int | timestamp
    T.getDayOfYear(string) int | timestamp
    T.getFullYear() int | timestamp
    T.getFullYear(string) int | timestamp
    T.getMonth() int | timestamp
    T.getMonth(string) int | timestamp
    T.getHours() int | timestamp duration
    T.getHours(string) int | timestamp
    T.getMinutes() int | timestamp duration
    T.getMinutes(string) int | timestamp
    T.getSeconds() int | timestamp duration
    T.getSeconds(string) int | timestamp
    T.getMilliseconds() int | timestamp duration
    T.getMilliseconds(string) int | timestamp

    list(T).isSorted() bool | int uint double bool duration timestamp string bytes
    list(T).sum() T | int uint double duration
    list(T).min() T | int uint double bool duration timestamp string bytes
    list(T).max() T | int uint double bool duration timestamp string bytes
    list(A).indexOf(A) int
    list(A).lastIndexOf(A) int
    list(A).slice(int, int) list(A)
    list(A).distinct() list(A)
    list(A).reverse() list(A)
    list(A).first() opt(A)
    list(A).last() opt(A)
    list(A).flatten() list(dyn)
    list(A).flatten(int) list(dyn)
    list(T).sort() list(T) | int uint double bool duration timestamp string bytes
    lists.range(int) list(int)
    sets.contains(list(A), list(A)) bool
    sets.equivalent(list(A), list(A)) bool
    sets.intersects(list(A), list(A)) bool

    optional.none() opt(A)
    optional.of(A) opt(A)
    optional.ofNonZeroValue(A) opt(A)
    optional.unwrap(list(opt(A))) list(A)
    list(opt(A)).unwrapOpt() list(A)
    opt(A).hasValue() bool
    opt(A).value() A
    opt(A).or(opt(A)) opt(A)
    opt(A).orValue(A) A

    quantity(string) Quantity
    isQuantity(string) bool
    sign(Quantity) int
    Quantity.sign() int
    Quantity.isInteger() bool
    Quantity.asInteger() int
    Quantity.asApproximateFloat() double
    Quantity.isGreaterThan(Quantity) bool
    Quantity.isLessThan(Quantity) bool
    Quantity.compareTo(Quantity) int
    Quantity.add(T) Quantity | Quantity int
    Quantity.sub(T) Quantity | Quantity int

    url(string) URL
    isURL(string) bool
    URL.getScheme() string
    URL.getHost() string
    URL.getHostname() string
    URL.getPort() string
    URL.getEscapedPath() string
    URL.getQuery() map(string, list(string))

    ip(string) IP
    isIP(string) bool
    ip.isCanonical(string) bool
    IP.family() int
    IP.isUnspecified() bool
    IP.isLoopback() bool
    IP.isLinkLocalMulticast() bool
    IP.isLinkLocalUnicast() bool
    IP.isGlobalUnicast() bool
    cidr(string) CIDR
    isCIDR(string) bool
    CIDR.containsIP(T) bool | string IP
    CIDR.containsCIDR(T) bool | string CIDR
    CIDR.ip() IP
    CIDR.prefixLength() int
    CIDR.masked() CIDR

    semver(string) Semver
    semver(string, bool) Semver
    isSemver(string) bool
    isSemver(string, bool) bool
    Semver.isGreaterThan(Semver) bool
    Semver.isLessThan(Semver) bool
    Semver.compareTo(Semver) int
    Semver.major() int
    Semver.minor() int
    Semver.patch() int

    Format.validate(string) opt(list(string))
    format.named(string) opt(Format)
    format.dns1123Label() Format
    format.dns1123Subdomain() Format
    format.dns1035Label() Format
    format.qualifiedName() Format
    format.dns1123LabelPrefix() Format
    format.dns1123SubdomainPrefix() Format
    format.dns1035LabelPrefix() Format
    format.labelValue() Format
    format.uri() Format
    format.uuid() Format
    format.byte() Format
    format.date() Format
    format.datetime() Format
    jsonpatch.escapeKey(string) string

    Authorizer.path(string) PathCheck
    Authorizer.group(string) GroupCheck
    Authorizer.serviceAccount(string, string) Authorizer
    GroupCheck.resource(string) ResourceCheck
    ResourceCheck.subresource(string) ResourceCheck
    ResourceCheck.namespace(string) ResourceCheck
    ResourceCheck.name(string) ResourceCheck
    ResourceCheck.fieldSelector(string) ResourceCheck
    ResourceCheck.labelSelector(string) ResourceCheck
    PathCheck.check(string) Decision
    ResourceCheck.check(string) Decision
    Decision.allowed() bool
    Decision.reason() string
    Decision.errored() bool
    Decision.error() string
";

/// What can be told apart as smaller and larger; numbers of all types can.
const ORDERED: &[&str] = &["bool", "string", "bytes", "duration", "timestamp"];
const NUMBERS: &[&str] = &["int", "uint", "double"];

/// Names that are no receiver: functions stand below them as below a package.
pub(super) const PACKAGES: &[&str] = &[
    "cel",
    "format",
    "ip",
    "jsonpatch",
    "lists",
    "optional",
    "sets",
    "strings",
];

fn read() -> HashMap<&'static str, Vec<Overload>> {
    let mut all: HashMap<&'static str, Vec<Overload>> = HashMap::new();
    for line in SIGNATURES
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (line, types) = line.split_once(" | ").unwrap_or((line, "T"));
        for of in types.split_whitespace() {
            let (name, overload) = signature(line, of);
            all.entry(name).or_default().push(overload);
        }
    }
    let same = ORDERED.iter().map(|of| (*of, *of));
    let numbers = NUMBERS
        .iter()
        .flat_map(|a| NUMBERS.iter().map(|b| (*a, *b)));
    for (a, b) in same.chain(numbers) {
        for name in ["_<_", "_<=_", "_>_", "_>=_"] {
            all.entry(name).or_default().push(Overload {
                is_method: false,
                arguments: vec![Type::parse(a), Type::parse(b)],
                result: Type::parse("bool"),
            });
        }
    }
    all
}

fn signature(line: &'static str, of: &str) -> (&'static str, Overload) {
    let typed = |text: &str| match text {
        "T" => Type::parse(of),
        text => Type::parse(&text.replace("(T)", &format!("({of})"))),
    };
    // The last word is the result, unless a comma stands in it.
    let close = line.rfind(") ").map_or(line.len(), |at| at);
    let (call, result) = (&line[..close], line[close + 1..].trim());
    let open = matching(call);
    let (name, arguments) = (&call[..open], &call[open + 1..]);
    let receiver = name
        .rfind('.')
        .filter(|dot| !PACKAGES.contains(&&name[..*dot]));
    let mut types: Vec<Type> = receiver
        .map(|dot| typed(&name[..dot]))
        .into_iter()
        .collect();
    types.extend(split(arguments).into_iter().map(typed));
    let name = receiver.map_or(name, |dot| &name[dot + 1..]);
    let overload = Overload {
        is_method: receiver.is_some(),
        arguments: types,
        result: typed(result),
    };
    (name, overload)
}

/// Where the bracket opens that the end of a text would close.
fn matching(text: &str) -> usize {
    let mut depth = 1;
    for (i, letter) in text.char_indices().rev() {
        match letter {
            ')' => depth += 1,
            '(' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read_as_they_stand() {
        let shown = |name: &str| -> Vec<String> {
            let show = |overload: &Overload| {
                let types: Vec<String> = overload.arguments.iter().map(Type::to_string).collect();
                let (dot, result) = (if overload.is_method { "." } else { "" }, &overload.result);
                format!("{dot}({}) {result}", types.join(", "))
            };
            of(name).unwrap_or_default().iter().map(show).collect()
        };
        assert_eq!(
            shown("matches"),
            [".(string, string) bool", "(string, string) bool"]
        );
        assert_eq!(
            shown("getQuery"),
            [".(kubernetes.URL) map(string, list(string))"]
        );
        assert_eq!(shown("sum")[1], ".(list(uint)) uint");
        assert_eq!(
            shown("validate"),
            [".(kubernetes.NamedFormat, string) optional_type(list(string))"]
        );
        assert_eq!(shown("optional.of"), ["(A) optional_type(A)"]);
        assert_eq!(shown("unwrapOpt"), [".(list(optional_type(A))) list(A)"]);
        assert_eq!(shown("size")[7], ".(map(A, B)) int");
        assert_eq!(shown("ip"), ["(string) net.IP", ".(net.CIDR) net.IP"]);
        assert_eq!(shown("_<_").len(), 14);
        assert_eq!(
            shown("_[_]")[2],
            "(optional_type(list(A)), int) optional_type(A)"
        );
    }
}
