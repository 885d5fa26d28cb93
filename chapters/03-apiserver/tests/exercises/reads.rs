//! Exercises about lists, watches, and the form of an answer.

use std::sync::Arc;

use apiserver::http::negotiate::{Accepted, Offer, accept};
use apiserver::http::watch::transition;
use apiserver::registry::cache::{Cache, Change, Entry, Observer};
use apiserver::registry::list::{Selection, decode_token, freshness, page};
use apiserver::resources::{Resource, by_kind};
use apiserver::selectors::{FieldSelector, LabelSelector};
use etcd::api::{Event, EventKind, KeyValue, Revision, WatchBatch};
use exercise::Check;
use http::{HeaderMap, header};
use serde_json::{Value, json};

/// An object in the cache, in the namespace `default`.
fn entry(kind: &str, name: &str, revision: Revision, mut object: Value) -> Arc<Entry> {
    object["metadata"] = json!({"namespace": "default", "name": name});
    let kv = KeyValue {
        key: format!("/registry/x/default/{name}").into(),
        value: object.to_string().into(),
        create_revision: 1,
        mod_revision: revision,
        version: 1,
        lease: 0,
    };
    let resource = by_kind("", "v1", kind).expect("is served");
    Arc::new(Entry::new(resource, &format!("default/{name}"), &kv))
}

fn by_fields(selector: &str) -> Selection {
    Selection {
        fields: FieldSelector::parse(selector).expect("is a selector"),
        ..Selection::default()
    }
}

#[test]
fn exercise_03_10() {
    let labels = json!({"app": "web", "canary": "", "size": "10"});
    let check = |selector: &str, expected: bool, rule: &str| {
        let parsed = LabelSelector::parse(selector).expect("is a selector");
        let told = |yes: bool| if yes { "selected" } else { "not selected" };
        Check::new(format!(
            "an object with the labels {labels}, the selector {selector}"
        ))
        .because(rule)
        .expect_text(told(parsed.matches(&labels)), told(expected));
    };
    let rule = "one of the values has to be the label's";
    check("app=web", true, rule);
    check("app in (db,web)", true, rule);
    check("app in (db,mail)", false, rule);
    check("tier in (front)", false, rule);
    let rule = "notin, and != which is the same, select what has other values";
    check("app notin (db,web)", false, rule);
    check("app!=db", true, rule);
    let rule = "an object without the label has none of the values: notin selects it";
    check("tier!=front", true, rule);
    let rule = "a label with an empty value is there";
    check("canary", true, rule);
    check("!canary", false, rule);
    check("canary=", true, rule);
    check("tier", false, rule);
    check("!tier", true, rule);
    let rule = "more and less are said of integers: 10 is more than 9";
    check("size>9", true, rule);
    check("size<11", true, rule);
    check("size>10", false, rule);
    let rule = "what is no integer, or is not there, is neither more nor less";
    check("app<1", false, rule);
    check("tier<1", false, rule);
    let rule = "all terms have to hold";
    check("app=web,size>10", false, rule);
}

#[test]
fn exercise_03_11() {
    let check = |version: Option<i64>, version_match: &str, limit, expected: &str, rule: &str| {
        let saw = format!("{:?}", freshness(version, version_match, limit));
        let version = version.map_or("none".to_owned(), |version| version.to_string());
        Check::new(format!(
            "resourceVersion {version}, resourceVersionMatch {version_match:?}, limit {limit}"
        ))
        .because(rule)
        .expect_text(&saw, expected);
    };
    let rule = "who says nothing is told what is now";
    check(None, "", 0, "Latest", rule);
    check(None, "", 500, "Latest", rule);
    let rule = "0 is no revision: whatever is at hand will do, in pages too";
    check(Some(0), "", 0, "AtHand", rule);
    check(Some(0), "", 500, "AtHand", rule);
    check(Some(0), "NotOlderThan", 0, "AtHand", rule);
    let rule = "a revision without more is the oldest that will do";
    check(Some(7), "", 0, "NotOlderThan(7)", rule);
    let rule = "pages of a revision are of that one: the next page has to fit to this";
    check(Some(7), "", 500, "Exactly(7)", rule);
    let rule = "resourceVersionMatch says it, and then the limit does not matter";
    check(Some(7), "Exact", 0, "Exactly(7)", rule);
    check(Some(7), "NotOlderThan", 0, "NotOlderThan(7)", rule);
    check(Some(7), "NotOlderThan", 500, "NotOlderThan(7)", rule);
}

#[test]
fn exercise_03_12() {
    let check = |names: &[&str], beyond, selector: &str, limit, expected: &str, rule: &str| {
        let make = |name: &&str| entry("ConfigMap", name, 3, json!({}));
        let entries = names.iter().map(make).collect();
        let listed = page(entries, beyond, 7, &by_fields(selector), limit);
        let sent = listed.entries.iter().map(|entry| entry.name());
        let mut saw = sent.collect::<Vec<_>>().join(" ");
        if !listed.continue_token.is_empty() {
            let (revision, after) = decode_token(&listed.continue_token).expect("is a token");
            let revision = revision.unwrap_or(-1);
            saw += &format!("; goes on after {after}, as of {revision}");
        }
        if let Some(remaining) = listed.remaining {
            saw += &format!("; {remaining} more");
        }
        let mut tried = format!("the objects {}", names.join(" "));
        if beyond > 0 {
            tried += &format!(", and {beyond} more that were not read");
        }
        if !selector.is_empty() {
            tried += &format!("; those with {selector}");
        }
        Check::new(format!("{tried}; as of 7, limit {limit}"))
            .because(rule)
            .expect_text(&saw, expected);
    };
    let rule = "without a limit there is one page";
    check(&["a", "b", "c"], 0, "", 0, "a b c", rule);
    let rule = "the token names the last one that was sent: the next page begins after it";
    check(
        &["a", "b", "c", "d", "e"],
        0,
        "",
        2,
        "a b; goes on after default/b, as of 7; 3 more",
        rule,
    );
    let rule = "where nothing is left there is no token: the client would ask for an empty page";
    check(&["a", "b"], 0, "", 2, "a b", rule);
    check(&["a"], 0, "", 2, "a", rule);
    check(&[], 0, "", 2, "", rule);
    let rule = "what the store has beyond what was read is left as well";
    check(
        &["a", "b"],
        4,
        "",
        2,
        "a b; goes on after default/b, as of 7; 4 more",
        rule,
    );
    let rule = "a page is so many of those that are selected";
    check(&["a", "b", "c"], 0, "metadata.name!=a", 2, "b c", rule);
    let rule = "how many more are selected, nobody has counted: it is not told";
    check(
        &["a", "b", "c", "d"],
        0,
        "metadata.name!=a",
        2,
        "b c; goes on after default/c, as of 7",
        rule,
    );
}

#[test]
fn exercise_03_13() {
    let selection = by_fields("status.phase=Running");
    let check = |before: Option<&str>, after: Option<&str>, expected: &str, rule: &str| {
        let pod = |phase: &str, revision| {
            entry("Pod", "web", revision, json!({"status": {"phase": phase}}))
        };
        // Of what was deleted, the change has the last that there was.
        let last = after.or(before).expect("something has happened");
        let change = Change {
            revision: 9,
            entry: pod(last, 9),
            previous: before.map(|phase| pod(phase, 8)),
            deleted: after.is_none(),
        };
        let saw = transition(&selection, &change).unwrap_or("(nothing)");
        let tried = match (before, after) {
            (None, Some(after)) => format!("a pod is created, {after}"),
            (Some(before), Some(after)) => format!("a pod that was {before} is changed: {after}"),
            (before, None) => format!("a pod that was {} is deleted", before.unwrap_or("?")),
        };
        Check::new(format!("a watch of status.phase=Running; {tried}"))
            .because(rule)
            .expect_text(saw, expected);
    };
    let rule = "what comes into the selection is new to the watch";
    check(None, Some("Running"), "ADDED", rule);
    check(Some("Pending"), Some("Running"), "ADDED", rule);
    let rule = "what stays in the selection has changed";
    check(Some("Running"), Some("Running"), "MODIFIED", rule);
    let rule = "what leaves the selection is gone, for this watch";
    check(Some("Running"), Some("Succeeded"), "DELETED", rule);
    check(Some("Running"), None, "DELETED", rule);
    let rule = "who was never told of an object is not told of its end, nor of its changes";
    check(None, Some("Pending"), "(nothing)", rule);
    check(Some("Pending"), Some("Failed"), "(nothing)", rule);
    check(Some("Succeeded"), None, "(nothing)", rule);
}

#[test]
fn exercise_03_17() {
    let check = |clauses: &[&str], offer: Offer, expected: &str, rule: &str| {
        let mut headers = HeaderMap::new();
        let value = clauses.join(",").parse().expect("is a header's value");
        headers.insert(header::ACCEPT, value);
        let saw = match accept(&headers, offer) {
            Ok(Accepted {
                format,
                form,
                version,
                ..
            }) => format!("{form:?} of {version} in {format:?}"),
            Err(error) => format!("refused with {}", error.code),
        };
        Check::new(format!(
            "Accept: {}, where there is {offer:?}",
            clauses.join(", ")
        ))
        .because(rule)
        .expect_text(&saw, expected);
    };
    let json = "application/json";
    let protobuf = "application/vnd.kubernetes.protobuf";
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let metadata = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let all = Offer::Everything;
    let rule = "a clause without as, g and v asks for the object itself";
    check(&[json], all, "Object of meta.k8s.io/v1 in Json", rule);
    let rule = "as says which form";
    check(&[table, json], all, "Table of meta.k8s.io/v1 in Json", rule);
    check(
        &[metadata, json],
        all,
        "Metadata of meta.k8s.io/v1 in Json",
        rule,
    );
    let list = metadata.replace("Metadata", "MetadataList");
    check(
        &[&list, json],
        all,
        "Metadata of meta.k8s.io/v1 in Json",
        rule,
    );
    let rule = "two versions of a form are served, and no others";
    let older = table.replace("v=v1", "v=v1beta1");
    check(
        &[&older, json],
        all,
        "Table of meta.k8s.io/v1beta1 in Json",
        rule,
    );
    let newer = table.replace("v=v1", "v=v2");
    check(
        &[&newer, json],
        all,
        "Object of meta.k8s.io/v1 in Json",
        rule,
    );
    check(&[&newer], all, "refused with 406", rule);
    let rule = "a form that nobody knows is passed over";
    let chart = table.replace("Table", "Chart");
    check(
        &[&chart, json],
        all,
        "Object of meta.k8s.io/v1 in Json",
        rule,
    );
    check(&[&chart], all, "refused with 406", rule);
    let rule = "a form is of a group and a version, and these are of a form";
    check(
        &["application/json;as=Table"],
        all,
        "refused with 406",
        rule,
    );
    check(
        &["application/json;g=meta.k8s.io;v=v1"],
        all,
        "refused with 406",
        rule,
    );
    let rule = "what is not offered is passed over, and the next clause is asked";
    check(
        &[table, json],
        Offer::Plain,
        "Object of meta.k8s.io/v1 in Json",
        rule,
    );
    check(
        &[protobuf, json],
        Offer::Custom,
        "Object of meta.k8s.io/v1 in Json",
        rule,
    );
}

struct Nobody;

impl Observer for Nobody {
    fn set(&self, _: &Resource, _: &Value, _: &dyn Fn() -> Value) {}
    fn remove(&self, _: &Resource, _: &str, _: &str) {}
}

#[test]
fn exercise_03_18() {
    let cache = Cache::default();
    cache.load(10, &[], &Nobody);
    for revision in [12, 13, 15] {
        let object = json!({"metadata": {"name": "web", "namespace": "default"}});
        let kv = KeyValue {
            key: "/registry/configmaps/default/web".into(),
            value: object.to_string().into(),
            create_revision: 12,
            mod_revision: revision,
            version: 1,
            lease: 0,
        };
        let events = vec![Event {
            kind: EventKind::Put,
            kv,
            prev_kv: None,
        }];
        cache.apply(&WatchBatch { revision, events }, &Nobody);
    }
    let resource = by_kind("", "v1", "ConfigMap").expect("are served");
    let slot = cache.slot(resource).expect("are stored");
    let check = |revision: Revision, until: Revision, expected: &str, rule: &str| {
        let saw = match slot.changes(revision, until) {
            Ok(changes) => {
                let told = changes.iter().map(|change| change.revision.to_string());
                format!("the changes [{}]", told.collect::<Vec<_>>().join(" "))
            }
            Err(error) => format!("{} {}", error.code, error.reason),
        };
        Check::new(format!(
            "the window has the changes at 12, 13 and 15, and all after 10; what came after \
             {revision}, up to {until}?"
        ))
        .because(rule)
        .expect_text(&saw, expected);
    };
    let rule = "who has heard of everything up to the floor can go on";
    check(10, 15, "the changes [12 13 15]", rule);
    let rule = "who is further behind may have missed something, and has to list anew";
    check(9, 15, "410 Expired", rule);
    check(1, 11, "410 Expired", rule);
    let rule = "what was told already is not told again";
    check(12, 15, "the changes [13 15]", rule);
    check(15, 15, "the changes []", rule);
    let rule = "a revision need not be one of a change";
    check(14, 15, "the changes [15]", rule);
    check(11, 15, "the changes [12 13 15]", rule);
    let rule = "what comes after the last revision that is known whole has to wait";
    check(10, 13, "the changes [12 13]", rule);
    check(11, 14, "the changes [12 13]", rule);
    check(10, 11, "the changes []", rule);
    let rule = "who is ahead of what is known has nothing to be told yet";
    check(20, 15, "the changes []", rule);
}
