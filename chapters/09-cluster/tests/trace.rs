//! A recorded `kubectl apply`, and what is drawn of it.

use std::collections::BTreeSet;

use apiserver::trace::{Client, Object, Record, Request, Write};
use cluster::lab::trace::causality::{Own, descendants, in_order};
use cluster::lab::trace::drawing::{APISERVER, Arrow, draw};
use cluster::lab::trace::revision::Revisions;
use cluster::lab::trace::svg::svg;
use cluster::lab::trace::text::text;
use proptest::prelude::*;

/// `kubectl apply` of a Deployment and a Service on a lab with two workers.
fn recorded() -> Vec<Record> {
    let lines = include_str!("trace/apply.jsonl").lines();
    lines
        .map(|line| serde_json::from_str(line).expect("is a record"))
        .collect()
}

/// The connections of kubectl in the recording.
fn own(records: &[Record]) -> Own {
    let clients = records.iter().map(client);
    let own = clients.filter(|client| client.program.starts_with("kubectl"));
    own.map(|client| client.address.clone()).collect()
}

fn client(record: &Record) -> &Client {
    match record {
        Record::Request(request) => &request.client,
        Record::Delivery(delivery) => &delivery.client,
    }
}

#[test]
fn an_apply_as_text() {
    let records = recorded();
    let own = own(&records);
    let kept = descendants(&records, &own);
    let text = text(&draw(&kept, &own), Revisions::since(&kept));
    insta::assert_snapshot!("apply_text", text);
}

#[test]
fn an_apply_as_svg() {
    let records = recorded();
    let own = own(&records);
    let kept = descendants(&records, &own);
    let title = "kubectl apply -f <web.yaml>";
    let svg = svg(&draw(&kept, &own), title, Revisions::since(&kept));
    insta::assert_snapshot!("apply_svg", svg);
}

#[test]
fn the_way_of_a_pod_is_in_order() {
    let records = recorded();
    let own = own(&records);
    let drawing = draw(&descendants(&records, &own), &own);
    let at = |verb: &str, what: &str| {
        let steps = drawing.steps.iter();
        let mut found = steps.filter(|s| s.verb == verb && s.what.contains(what));
        found
            .next()
            .unwrap_or_else(|| panic!("{verb} {what} is drawn"))
            .revision
    };
    let way = [
        at("create", "deployments/web"),
        at("create", "replicasets/web"),
        at("create", "pods/web"),
        at("create", "binding"),
        at("patch", "pods/web"),
    ];
    assert!(way.is_sorted() && way[0].is_some(), "{way:?}");
}

/// A request for an object, with the write of it, if it has a revision.
fn request(
    user: &str,
    verb: &str,
    object: &Object,
    revision: i64,
    owner: Option<&Object>,
) -> Record {
    let write = Write {
        object: object.clone(),
        deleted: false,
        revision,
        about: owner.into_iter().cloned().collect(),
    };
    Record::Request(Request {
        client: Client {
            user: user.into(),
            program: String::new(),
            address: format!("{user}:1"),
        },
        verb: verb.into(),
        object: Some(object.clone()),
        subresource: String::new(),
        path: String::new(),
        code: 200,
        // Reads come last, when everything has been written.
        seen: if revision > 0 { revision } else { 99 },
        about: Vec::new(),
        writes: if revision > 0 {
            vec![write]
        } else {
            Vec::new()
        },
        calls: Vec::new(),
    })
}

fn news(user: &str, object: &Object, revision: i64) -> Record {
    Record::Delivery(apiserver::trace::Delivery {
        client: Client {
            user: user.into(),
            program: String::new(),
            address: format!("{user}:1"),
        },
        kind: "ADDED".into(),
        object: object.clone(),
        revision,
        seen: revision,
        initial: false,
    })
}

fn object(resource: &str, name: &str) -> Object {
    Object {
        resource: resource.into(),
        namespace: "default".into(),
        name: name.into(),
    }
}

/// What is kept of records, as numbers, where the command is `jane`.
fn kept(records: &[Record]) -> Vec<usize> {
    let own = Own::from(["jane:1".to_owned()]);
    let at = |kept: &Record| records.iter().position(|r| std::ptr::eq(r, kept));
    descendants(records, &own)
        .into_iter()
        .filter_map(at)
        .collect()
}

#[test]
fn what_descends_from_a_command() {
    const SCHEDULER: &str = "system:kube-scheduler";
    let (web, db, event) = (
        object("pods", "web"),
        object("pods", "db"),
        object("events", "web.1"),
    );
    let records = [
        request("jane", "create", &web, 5, None),
        news(SCHEDULER, &web, 5),
        // About another pod, and what that brings.
        request("joe", "create", &db, 6, None),
        news(SCHEDULER, &db, 6),
        request(SCHEDULER, "patch", &db, 7, None),
        // A reaction, by its object and by whose it is.
        request(SCHEDULER, "patch", &web, 8, None),
        request(SCHEDULER, "create", &event, 9, Some(&web)),
        // Nobody told the proxy; joe is somebody, and no part of the cluster.
        request("system:kube-proxy", "patch", &web, 10, None),
        news("joe", &web, 5),
        request("joe", "patch", &web, 11, None),
        // Nothing came of it.
        request(SCHEDULER, "get", &web, 0, None),
    ];
    assert_eq!(kept(&records), [0, 1, 5, 6]);
}

#[test]
fn a_heartbeat_is_no_reaction() {
    const KUBELET: &str = "system:node:worker-1";
    let node = Object {
        namespace: String::new(),
        ..object("nodes", "worker-1")
    };
    let records = [
        request("jane", "patch", &node, 5, None),
        news(KUBELET, &node, 5),
        request(KUBELET, "patch", &node, 6, None),
        request(KUBELET, "update", &object("leases", "worker-1"), 7, None),
    ];
    assert_eq!(kept(&records), [0, 1]);
}

#[test]
fn news_may_be_recorded_before_its_write() {
    let pod = object("pods", "web");
    let records = [
        news("system:kube-scheduler", &pod, 5),
        request("jane", "create", &pod, 5, None),
    ];
    assert_eq!(kept(&records), [1, 0]);
}

#[test]
fn a_new_namespace_takes_its_contents_along() {
    const CONTROLLERS: &str = "system:kube-controller-manager";
    let namespace = Object {
        namespace: String::new(),
        ..object("namespaces", "default")
    };
    let records = [
        request("jane", "create", &namespace, 5, None),
        news(CONTROLLERS, &namespace, 5),
        request(
            CONTROLLERS,
            "create",
            &object("serviceaccounts", "default"),
            6,
            None,
        ),
    ];
    assert_eq!(kept(&records), [0, 1, 2]);
}

#[test]
fn what_a_collection_loses_is_drawn_one_by_one() {
    let pods = object("pods", "");
    let Record::Request(mut asked) = request("jane", "deletecollection", &pods, 5, None) else {
        unreachable!("it is one")
    };
    let gone = |name, revision| Write {
        object: object("pods", name),
        deleted: true,
        revision,
        about: Vec::new(),
    };
    asked.writes = vec![gone("a", 5), gone("b", 6)];
    let own = Own::from(["jane:1".to_owned()]);
    let drawn = text(&draw(&[&Record::Request(asked)], &own), Revisions::Absolute);
    let expected = [
        "command   ──► apiserver  deletecollection pods  200",
        "apiserver ──► its store  delete pods/a               r5",
        "apiserver ──► its store  delete pods/b               r6",
    ];
    assert_eq!(drawn.lines().collect::<Vec<_>>(), expected);
}

proptest! {
    /// Whatever comes in whatever order can be drawn, whole, and every arrow has its lanes.
    #[test]
    fn anything_can_be_drawn(
        records in Just(recorded()).prop_shuffle(),
        length in 0_usize..129,
        all in any::<bool>(),
    ) {
        let records = &records[..length.min(records.len())];
        let own = own(records);
        let kept = if all { in_order(records) } else { descendants(records, &own) };
        let drawing = draw(&kept, &own);
        let lanes = 0..drawing.lanes.len();
        prop_assert_eq!(&drawing.lanes[APISERVER].name, "apiserver");
        for step in &drawing.steps {
            match &step.arrow {
                Arrow::Request { from: end } | Arrow::Call { to: end } => {
                    prop_assert!(lanes.contains(end) && *end != APISERVER);
                }
                Arrow::Delivery { to } => {
                    let distinct: BTreeSet<_> = to.iter().map(|(lane, _)| lane).collect();
                    prop_assert!(distinct.len() == to.len() && !to.is_empty());
                    prop_assert!(to.iter().all(|(lane, count)| lanes.contains(lane) && *count > 0));
                }
                Arrow::Write => {}
            }
        }
        let revisions = Revisions::since(&kept);
        prop_assert!(text(&drawing, revisions).lines().count() >= drawing.steps.len());
        let svg = svg(&drawing, "x", revisions);
        for tag in ["g", "text", "title", "desc", "style", "svg"] {
            let opened = svg.matches(&format!("<{tag}>")).count()
                + svg.matches(&format!("<{tag} ")).count();
            prop_assert_eq!(opened, svg.matches(&format!("</{tag}>")).count(), "{}", tag);
        }
    }
}
