//! How fresh lists are, and what watches tell. Upstream: `test/e2e/apimachinery/{chunking,watch}.go`,
//! `test/integration/apiserver/apiserver_test.go`.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use apiserver::Config;
use apiserver::authn::User;
use apiserver::registry::list::{ListOptions, Selection};
use apiserver::registry::write::Writer;
use apiserver::registry::{Registry, Target};
use apiserver::resources;
use apiserver::status::ApiError;
use clap::Parser;
use component::CancellationToken;
use serde_json::{Value, json};
use support::Server;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"key": "1"}})
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("is a list");
    let name = |item: &'_ Value| item["metadata"]["name"].as_str().map(str::to_owned);
    assert!(items.iter().all(|item| name(item).is_some()));
    items
        .iter()
        .filter_map(|item| item["metadata"]["name"].as_str())
        .collect()
}

fn version(object: &Value) -> i64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.expect("has one").parse().expect("is a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_as_fresh_as_asked_for() {
    let (server, mut admin) = Server::fresh().await;
    let (_, first) = admin.call("POST", CONFIG_MAPS, config_map("a")).await;
    let (_, second) = admin.call("POST", CONFIG_MAPS, config_map("b")).await;
    let (old, new) = (version(&first), version(&second));
    for (query, expected) in [
        (String::new(), vec!["a", "b"]),
        ("resourceVersion=0".into(), vec!["a", "b"]),
        (format!("resourceVersion={old}"), vec!["a", "b"]),
        // With a limit the version is that one, as before there was a match.
        (format!("resourceVersion={old}&limit=5"), vec!["a"]),
        (
            format!("resourceVersion={old}&resourceVersionMatch=Exact"),
            vec!["a"],
        ),
        (
            format!("resourceVersion={old}&resourceVersionMatch=NotOlderThan&limit=5"),
            vec!["a", "b"],
        ),
    ] {
        let (code, list) = admin.get(&format!("{CONFIG_MAPS}?{query}")).await;
        assert_eq!((code, names(&list)), (200, expected), "{query}");
    }

    for (query, message) in [
        (
            "resourceVersionMatch=Exact",
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless \
             resourceVersion is provided",
        ),
        (
            "resourceVersionMatch=Exact&resourceVersion=0",
            "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for \
             resourceVersion \"0\"",
        ),
        (
            "resourceVersionMatch=Newer&resourceVersion=1",
            "resourceVersionMatch: Unsupported value: \"Newer\": supported values: \"\", \
             \"Exact\", \"NotOlderThan\"",
        ),
        (
            "sendInitialEvents=true",
            "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
        ),
        (
            "watch=1&resourceVersionMatch=Exact&resourceVersion=1",
            "[resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless \
             sendInitialEvents is provided, resourceVersionMatch: Unsupported value: \"Exact\": \
             supported values: \"NotOlderThan\"]",
        ),
        (
            "watch=1&sendInitialEvents=true",
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting \
             resourceVersionMatch to NotOlderThan",
        ),
    ] {
        let (code, status) = admin.get(&format!("{CONFIG_MAPS}?{query}")).await;
        let expected = format!("ListOptions.meta.k8s.io \"\" is invalid: {message}");
        assert_eq!((code, status["message"].as_str()), (422, Some(&*expected)));
    }

    // Nobody has seen that version yet.
    for path in [CONFIG_MAPS.to_owned(), format!("{CONFIG_MAPS}/a")] {
        let (code, status) = admin
            .get(&format!("{path}?resourceVersion={}", new + 1000))
            .await;
        assert_eq!((code, status["reason"].as_str()), (504, Some("Timeout")));
        let details = &status["details"];
        assert_eq!(details["causes"][0]["reason"], "ResourceVersionTooLarge");
        assert_eq!(details["retryAfterSeconds"], 1);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_go_on_where_they_ended() {
    let (server, mut admin) = Server::fresh().await;
    for name in ["a", "b", "c", "d", "e"] {
        let object = json!({"metadata": {"name": name, "labels": {"x": "y"}}});
        assert_eq!(admin.call("POST", CONFIG_MAPS, object).await.0, 201);
    }
    let (_, page) = admin.get(&format!("{CONFIG_MAPS}?limit=2")).await;
    assert_eq!(page["metadata"]["remainingItemCount"], 3);
    let token = page["metadata"]["continue"].as_str().expect("goes on");
    let next = format!("{CONFIG_MAPS}?limit=2&continue={token}");
    let (_, second) = admin.get(&next).await;
    assert_eq!(
        (names(&second), version(&second)),
        (vec!["c", "d"], version(&page))
    );
    assert_eq!(second["metadata"]["remainingItemCount"], 1);
    let (_, page) = admin
        .get(&format!("{CONFIG_MAPS}?limit=2&labelSelector=x%3Dy"))
        .await;
    // Who selects is not told: counting would cost as much as the list.
    assert_eq!(page["metadata"].get("remainingItemCount"), None);
    assert_eq!(names(&page), ["a", "b"]);

    let (code, status) = admin.get(&format!("{next}&resourceVersion=7")).await;
    let message = "specifying resource version is not allowed when using continue";
    assert_eq!((code, status["message"].as_str()), (400, Some(message)));
    let (code, status) = admin.get(&format!("{CONFIG_MAPS}?continue=mouse")).await;
    assert_eq!(code, 400);
    let message = status["message"].as_str().expect("has one");
    assert!(message.starts_with("invalid continue token: continue key is not valid"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_of_one_name_tells_of_no_other() {
    let (server, mut admin) = Server::fresh().await;
    for name in ["a", "b"] {
        assert_eq!(
            admin.call("POST", CONFIG_MAPS, config_map(name)).await.0,
            201
        );
    }
    let old = "/api/v1/watch/namespaces/default/configmaps";
    for path in [
        format!("{old}/b?allowWatchBookmarks=1"),
        format!("{old}?fieldSelector=metadata.name%3Db&allowWatchBookmarks=1"),
        format!("{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Db&allowWatchBookmarks=1"),
    ] {
        let mut watch = server.client("admin").await.watch(&path).await;
        assert_eq!(
            watch.next_event().await,
            ("ADDED".into(), "b".into()),
            "{path}"
        );
        // Who names no version is told when the objects that are there have been told.
        let end = watch.next().await.expect("goes on");
        let annotations = &end["object"]["metadata"]["annotations"];
        assert_eq!(annotations["k8s.io/initial-events-end"], "true");
    }
    let other = format!("{old}/b?fieldSelector=metadata.name%3Da");
    let (code, status) = admin.get(&other).await;
    let message = "fieldSelector metadata.name doesn't match requested name";
    assert_eq!((code, status["message"].as_str()), (400, Some(message)));
    server.stop().await;
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

/// The registry by itself, since a server forgets only after minutes.
#[tokio::test]
async fn what_is_forgotten_can_be_had_as_it_is_now() {
    let dir = tempfile::tempdir().expect("can be made");
    let store = etcd::Store::open(dir.path(), etcd::Options::default()).expect("opens");
    let store = etcd::Backend::Embedded(store);
    let flags = Flags::parse_from([
        "apiserver",
        "--data-dir=unused",
        "--tls-cert-file=unused",
        "--tls-private-key-file=unused",
        "--client-ca-file=unused",
        "--service-account-signing-key-file=unused",
    ]);
    let registry = Registry::open(store, flags.config).await.expect("opens");
    let registry = std::sync::Arc::new(registry);
    let shutdown = CancellationToken::new();
    let following = tokio::spawn({
        let (registry, shutdown) = (registry.clone(), shutdown.clone());
        async move { registry.follow(&shutdown).await }
    });
    let resource = resources::by_kind("", "v1", "Namespace").expect("is served");
    let target = Target {
        resource,
        subresource: "",
        namespace: "",
        name: "",
    };
    let user = User::default();
    let writer = Writer {
        user: &user,
        manager: "test",
        dry_run: false,
        apply: false,
        warnings: None,
    };
    let create = async |name: &str| {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let created = registry.create(&target, object, &writer).await;
        created.expect("can be created")
    };
    for name in ["a", "b", "d"] {
        create(name).await;
    }
    let list = async |options: ListOptions| {
        let listed = registry
            .list(resource, &Selection::default(), &options)
            .await?;
        let names: Vec<String> = listed.entries.iter().map(|e| e.name().to_owned()).collect();
        Ok::<_, ApiError>((names, listed.continue_token, listed.revision))
    };
    let paged = |continue_token: String| ListOptions {
        limit: 2,
        continue_token,
        ..ListOptions::default()
    };
    let (names, token, revision) = list(paged(String::new())).await.expect("is there");
    assert_eq!(names, ["a", "b"]);

    let newest = create("c").await;
    registry
        .store
        .compact(version(&newest))
        .await
        .expect("compacts");
    let expired = list(paged(token)).await.expect_err("is forgotten");
    let status = expired.to_status();
    assert_eq!((expired.code, expired.reason), (410, "Expired"));
    let token = status["metadata"]["continue"].as_str().expect("goes on");
    let (names, token, now) = list(paged(token.to_owned())).await.expect("is there");
    assert_eq!(
        (names, token),
        (vec!["c".to_owned(), "d".to_owned()], String::new())
    );
    assert!(now > revision);

    let exact = ListOptions {
        resource_version: revision.to_string(),
        version_match: "Exact".to_owned(),
        ..ListOptions::default()
    };
    let expired = list(exact).await.expect_err("is forgotten");
    assert_eq!(
        (expired.code, &*expired.message),
        (410, "The resourceVersion for the provided list is too old.")
    );
    shutdown.cancel();
    following.await.expect("does not panic").expect("ends well");
}
