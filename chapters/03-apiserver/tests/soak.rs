//! Input that nobody wrote: whatever reads what clients send answers or refuses, and never panics.
//!
//! Bytes by chance alone would be refused at the first of them. So these begin as what a client
//! sends, and are then changed in a few places. A few thousand are tried in each run of the tests;
//! `cargo xtask soak apiserver` goes on for as long as it is told. Of WebSockets nothing is read
//! here: their frames go to the kubelet as they are.

use std::time::{Duration, Instant};

use apiserver::cel::{Budget, Check, Decision, Environment, Expression, Failure, Names, Val};
use apiserver::http::path::{Query, request_info};
use apiserver::http::read_yaml;
use apiserver::schema::{self, FieldValidation};
use apiserver::selectors::{FieldSelector, LabelSelector};
use apiserver::validation::quantity::Quantity;
use apiserver::{apply, patch, protobuf};
use serde_json::Value;

const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";

const OBJECT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d",
"namespace":"default","labels":{"a":"b"},"finalizers":["x/y"],"managedFields":[{"manager":"m",
"operation":"Apply","apiVersion":"apps/v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1",
"fieldsV1":{"f:metadata":{"f:labels":{"f:a":{}},"f:finalizers":{".":{},"v:\"x/y\"":{}}},"f:spec":{
"f:replicas":{},"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:name":{},
"f:image":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"i:0":{}}}}}}}}}},
{"manager":"u","operation":"Update","apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{
"f:spec":{"f:paused":{}}}}]},"spec":{"replicas":1,"paused":true,"selector":{"matchLabels":{"a":
"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i",
"env":[{"name":"E","value":"1"}],"ports":[{"containerPort":80}],"resources":{"limits":{"cpu":
"100m"}}}]}}}}"#;

const JSON_PATCH: &str = r#"[{"op":"test","path":"/spec/replicas","value":1},{"op":"add","path":
"/spec/template/spec/containers/-","value":{"name":"d"}},{"op":"move","from":"/metadata/labels",
"path":"/metadata/annotations"},{"op":"copy","from":"/spec","path":"/spec/template/spec/x~1y"},
{"op":"remove","path":"/spec/template/spec/containers/0"},{"op":"replace","path":"","value":{}}]"#;

const STRATEGIC: &str = r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["x/y"],
"$setElementOrder/finalizers":["a"]},"spec":{"$retainKeys":["replicas"],"template":{"spec":{
"$setElementOrder/containers":[{"name":"d"},{"name":"c"}],"containers":[{"$patch":"delete","name":
"c"},{"name":"d","image":"x"},{"$patch":"replace"}]}},"strategy":null}}"#;

const YAML: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: &m {name: c, labels: {a: 'b'}}\n\
    data:\n  one: |\n    text\n  two: >-\n    folded\n  \"three\": !!str 3\n  <<: *m\n---\n";

const PATHS: &str = "/api/v1/namespaces/default/pods/web/log?follow=true&tailLines=5 \
    /apis/apps/v1/watch/namespaces/a%2fb/deployments?watch=1&fieldSelector=metadata.name%3Dx \
    //api/v1/nodes/n:10250/proxy/..%2e/a//b/?x=%zz+1";

const SELECTORS: &str = "a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2,example.com/n==o, p in ()";
const FIELDS: &str = "metadata.name=x,spec.nodeName!=y,status.phase==Running,spec.host=z,a=";
const QUANTITIES: &str = "1 100m 1.5Gi 2e3 -0.1 3E 4Ei 9223372036854775807 1n .5 5. +7k 1e-9";
const PROTOBUF: &[u8] = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x1f\x0a\x0f\x0a\x01c\x12\0\
    \x1a\x02ns\x22\0\x2a\0\x32\0\x12\x0c\x0a\x03key\x12\x05value\x1a\0\"\0";

/// One a line.
const EXPRESSIONS: &str = r#"object.spec.replicas > 1 && has(object.metadata.labels.a)
object.spec.template.spec.containers.all(i, c, c.image.startsWith('i') && i < 9u)
object.?spec[?'x'].?y.orValue([1, 2].map(n, n * 2)[0]) == 3 ? dyn('a') : b'\xff\101'
Object{spec: Object.spec{?replicas: optional.of(2).optMap(x, x - 1), template: {1: [?optional.none()]}}}
[JSONPatch{op: "add", path: '/a/' + jsonpatch.escapeKey('a/b'), value: {'k': duration('1m')}}]
authorizer.serviceAccount('a', 'b').group('').resource('pods').name('x').check('get').allowed()
'%s %d %.3f %x'.format([dyn(timestamp('2026-01-02T03:04:05Z')), 1, 1.5, 'a']).split(' ', 2).join('-')
sets.contains([3, 1].sort(), lists.range(3).reverse().slice(0, 2).distinct()) || [[1]].flatten() == [1]
cidr('10.0.0.0/8').containsIP(ip('10.1.2.3')) == url('https://h:1/p?a=%20').getQuery().exists(k, k == 'a')
semver('1.2.3-rc.1').compareTo(semver('v1', true)) + quantity('1.5Gi').sub(2).sign() - -1 / 0
format.dns1123Label().validate('a_b').value()[0].matches('^[a-z]+(?i)x*$') || 'ab'.replace('', 'x', 3).find('x+').indexOf('a', 1) < 1.5
{'a': 1}.transformMapEntry(k, v, v > 0, {v: k}).transformList(k, v, string(k) + v).sortBy(e, size(e)).last()
timestamp('2026-01-02T03:04:05Z').getHours('-05:30') in [dyn(1), 2.5, null] && type(1) == int && !true"#;

/// SplitMix64: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let limit = u64::try_from(limit.max(1)).expect("lengths fit");
        usize::try_from((mixed ^ (mixed >> 31)) % limit).expect("is below a length")
    }

    /// Changes a few places: a byte, a piece that is missing, or comes twice, or elsewhere.
    fn changed(&mut self, sent: &[u8]) -> Vec<u8> {
        const LETTERS: &[u8] = b"{}[]\":,.0-9eE/~%$&*!|=()<> \n\0\x7f\xff\xc3name";
        let mut bytes = sent.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = bytes.len().min(at + self.below(16));
            let piece = bytes[at..end].to_vec();
            match self.below(5) {
                0 => drop(bytes.drain(at..end)),
                1 => drop(bytes.splice(at..at, piece)),
                2 => bytes.insert(at, LETTERS[self.below(LETTERS.len())]),
                3 if at < bytes.len() => bytes[at] = LETTERS[self.below(LETTERS.len())],
                _ => {
                    let elsewhere = self.below(bytes.len() + 1);
                    bytes.splice(elsewhere..elsewhere, piece);
                }
            }
        }
        bytes
    }

    fn text(&mut self, sent: &str) -> String {
        String::from_utf8_lossy(&self.changed(sent.as_bytes())).into_owned()
    }

    /// What is still JSON after it was changed, or what was sent.
    fn json(&mut self, sent: &str) -> Value {
        let tried = serde_json::from_slice(&self.changed(sent.as_bytes())).ok();
        let object = tried.filter(Value::is_object);
        object.unwrap_or_else(|| serde_json::from_str(sent).expect("is JSON"))
    }
}

/// One thing that is read, tried with one seed.
type Target = fn(&mut Random);

const TARGETS: &[(&str, Target)] = &[
    ("paths", paths),
    ("selectors", selectors),
    ("quantities", quantities),
    ("bodies", bodies),
    ("patches", patches),
    ("applies", applies),
    ("expressions", expressions),
];

fn paths(random: &mut Random) {
    let text = random.text(PATHS);
    for uri in text.split(' ') {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let query = Query::parse(query);
        for method in [http::Method::GET, http::Method::DELETE] {
            let info = request_info(&method, path, &query);
            assert!(info.is_resource || info.resource.is_empty(), "{uri}");
        }
    }
}

fn selectors(random: &mut Random) {
    let _refused_or_not = LabelSelector::parse(&random.text(SELECTORS));
    if let Ok(fields) = FieldSelector::parse(&random.text(FIELDS)) {
        let shown = fields.to_string();
        let again = FieldSelector::parse(&shown).expect("what is shown can be read");
        let field = "metadata.name";
        assert_eq!(again.exact(field), fields.exact(field), "{shown}");
    }
}

fn quantities(random: &mut Random) {
    for text in random.text(QUANTITIES).split(' ') {
        let Some(quantity) = Quantity::parse(text) else {
            continue;
        };
        for binary in [false, true] {
            let shown = quantity.show(binary);
            assert!(
                Quantity::parse(&shown).is_some(),
                "{text} is shown as {shown}"
            );
        }
    }
}

fn bodies(random: &mut Random) {
    let _refused_or_not = protobuf::decode(&random.changed(PROTOBUF));
    let _refused_or_not = read_yaml::read(&random.changed(YAML.as_bytes()));
    let body = random.changed(OBJECT.as_bytes());
    for mode in [FieldValidation::Strict, FieldValidation::Warn] {
        if let Ok(decoded) = schema::decode(DEPLOYMENT, "Deployment", "v1", &body, mode) {
            let again = schema::check(DEPLOYMENT, decoded.value.clone(), FieldValidation::Strict);
            assert_eq!(again.expect("it fits").value, decoded.value);
        }
    }
}

fn patches(random: &mut Random) {
    let live = random.json(OBJECT);
    let changes = random.json(STRATEGIC);
    let made = [
        patch::json_patch(&live, &random.changed(JSON_PATCH.as_bytes())),
        patch::strategic_merge_patch(DEPLOYMENT, &live, &changes),
        Ok(patch::merge_patch(&live, &changes)),
    ];
    for patched in made.into_iter().flatten() {
        let _refused_or_not = schema::check(DEPLOYMENT, patched, FieldValidation::Warn);
    }
}

fn applies(random: &mut Random) {
    const NOW: &str = "2026-01-01T00:00:00Z";
    let live = random.json(OBJECT);
    let mut config = random.json(OBJECT);
    if let Some(metadata) = config["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    let apply = |live: &Value, force: bool| {
        let live = Some(live);
        apply::apply(DEPLOYMENT, live, &config, "m", force, "", "apps/v1", NOW)
    };
    let _refused_or_not = apply(&live, false);
    if let Ok(applied) = apply(&live, true) {
        let again = apply(&applied, false).expect("nobody has taken anything since");
        assert_eq!(again["spec"], applied["spec"]);
    }
    let mut written = config.clone();
    written["metadata"]["managedFields"] = live["metadata"]["managedFields"].clone();
    apply::track_update(
        DEPLOYMENT,
        Some(&live),
        &mut written,
        "u",
        "",
        "apps/v1",
        NOW,
    );
}

/// What the names of an expression stand for.
struct Known(Val);

impl Names for Known {
    fn value(&self, name: &str, _budget: &mut Budget) -> Option<Result<Val, Failure>> {
        match name {
            "object" | "oldObject" => Some(Ok(self.0.clone())),
            "authorizer" => Some(Ok(Check::authorizer())),
            _ => None,
        }
    }

    fn check(&self, check: &Check) -> Decision {
        Decision {
            allowed: check.verb.len() % 2 == 1,
            ..Decision::default()
        }
    }
}

fn expressions(random: &mut Random) {
    const COST: u64 = 50_000;
    // Whatever the types are, the evaluator has to be able to say.
    let known = Known(Val::from_json(&random.json(OBJECT), None));
    let environment = Environment::admission(true).making_patches();
    for text in EXPRESSIONS.lines() {
        let text = match random.below(3) {
            0 => text.to_owned(),
            1 => random.text(text),
            // All of it is open, so nothing is refused for its type.
            _ => random.text(text).replace("object", "dyn(object)"),
        };
        let Ok(expression) = Expression::compile(&text, &environment) else {
            continue;
        };
        let mut budget = Budget::new(COST);
        let found = expression.run(&known, &mut budget);
        assert!(budget.left() <= COST, "{text}");
        if let Ok(found) = found {
            let _shown = found.to_json();
            let again = expression.run(&known, &mut Budget::new(COST));
            assert!(again.is_ok(), "{text}");
        }
    }
}

/// Names what was tried when it went wrong.
struct Trying(&'static str, u64);

impl Drop for Trying {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} with seed {}", self.0, self.1);
        }
    }
}

fn attempt(name: &'static str, target: Target, seed: u64) {
    let _named_if_wrong = Trying(name, seed);
    target(&mut Random(seed));
}

#[test]
fn what_nobody_wrote_is_answered_or_refused() {
    for (name, target) in TARGETS {
        for seed in 0..300 {
            attempt(name, *target, seed);
        }
    }
}

#[test]
#[ignore = "goes on for SOAK_MINUTES"]
fn soak() {
    let minutes = std::env::var("SOAK_MINUTES").ok();
    let minutes = minutes
        .and_then(|minutes| minutes.parse().ok())
        .unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // Other seeds each time, far from those of the ordinary run.
    let first = started.map_or(1 << 40, |since| since.as_secs() << 20);
    let mut seed = first;
    while Instant::now() < end {
        for (name, target) in TARGETS {
            attempt(name, *target, seed);
        }
        seed += 1;
    }
    println!("{} seeds, each for {} targets", seed - first, TARGETS.len());
}
