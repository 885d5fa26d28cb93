//! The forms of bodies, over HTTP: JSON, YAML, protobuf; objects, tables, metadata.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use apiserver::protobuf;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use support::{Client, Server};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

struct Answer {
    code: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn media_type(&self) -> &str {
        self.headers["content-type"].to_str().expect("is text")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("is JSON")
    }

    fn protobuf(&self) -> Value {
        assert_eq!(self.media_type(), PROTOBUF);
        protobuf::decode(&self.body).expect("is protobuf")
    }
}

async fn send(
    client: &mut Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).expect("is a request");
    let response = client.send(request).await;
    let (parts, body) = response.into_parts();
    Answer {
        code: parts.status.as_u16(),
        headers: parts.headers,
        body: body.collect().await.expect("is whole").to_bytes(),
    }
}

async fn get(client: &mut Client, path: &str, accept: &str) -> Answer {
    send(client, "GET", path, &[("accept", accept)], "").await
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name,
        "labels": {"app": "a"}}, "data": {"key": "value", "no": ""}, "binaryData": {"b": "AP8="}})
}

/// The fields of a message that are bytes, by number.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    fn number(message: &mut &[u8]) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = message[0];
            *message = &message[1..];
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return number;
            }
        }
    }
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = number(&mut message);
        let length = number(&mut message);
        if tag & 7 == 2 {
            let (bytes, rest) = message.split_at(length as usize);
            fields.push((tag >> 3, bytes));
            message = rest;
        }
    }
    fields
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protobuf_goes_both_ways() {
    let (server, mut admin) = Server::fresh().await;
    let both = [("content-type", PROTOBUF), ("accept", PROTOBUF)];

    // Create, read, change and delete, without a word of JSON.
    let body = protobuf::encode(&config_map("a")).expect("has that form");
    let created = send(&mut admin, "POST", CONFIG_MAPS, &both, body).await;
    assert_eq!(created.code, 201);
    let path = format!("{CONFIG_MAPS}/a");
    let read = get(&mut admin, &path, PROTOBUF).await;
    let mut object = read.protobuf();
    assert_eq!(object, created.protobuf());
    assert_eq!(object, admin.get(&path).await.1);
    object["data"]["key"] = "other".into();
    let body = protobuf::encode(&object).expect("has that form");
    let updated = send(&mut admin, "PUT", &path, &both, body).await;
    assert_eq!(updated.protobuf()["data"]["key"], "other");
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions",
        "preconditions": {"uid": "not-this-one"}});
    let body = protobuf::encode(&options).expect("has that form");
    let refused = send(&mut admin, "DELETE", &path, &both, body).await;
    assert_eq!(
        (refused.code, refused.protobuf()["reason"].as_str()),
        (409, Some("Conflict"))
    );
    let deleted = send(&mut admin, "DELETE", &path, &both, "").await;
    assert_eq!(deleted.protobuf()["status"], "Success");
    let gone = get(&mut admin, &path, PROTOBUF).await.protobuf();
    assert_eq!(
        (&gone["kind"], &gone["details"]["name"]),
        (&json!("Status"), &json!("a"))
    );

    // What has several kinds in one: subresources, questions.
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let body = protobuf::encode(&review).expect("has that form");
    let answer = send(&mut admin, "POST", reviews, &both, body).await;
    assert_eq!(answer.protobuf()["status"]["allowed"], true);
    let account = "/api/v1/namespaces/default/serviceaccounts";
    let named = json!({"metadata": {"name": "robot"}});
    assert_eq!(admin.call("POST", account, named).await.0, 201);
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600, "audiences": ["x"]}});
    let body = protobuf::encode(&request).expect("has that form");
    let token = format!("{account}/robot/token");
    let answer = send(&mut admin, "POST", &token, &both, body)
        .await
        .protobuf();
    assert!(answer["status"]["token"].is_string(), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_watches_come_in_protobuf() {
    let (server, mut admin) = Server::fresh().await;
    for name in ["a", "b"] {
        let (code, _) = admin.call("POST", CONFIG_MAPS, config_map(name)).await;
        assert_eq!(code, 201);
    }
    let (_, json) = admin.get(CONFIG_MAPS).await;
    let metadata = ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    for (form, kind) in [
        ("", "ConfigMapList"),
        (metadata, "PartialObjectMetadataList"),
    ] {
        let list = get(&mut admin, CONFIG_MAPS, &format!("{PROTOBUF}{form}")).await;
        assert_eq!(list.media_type(), PROTOBUF);
        let unknown = fields(list.body.strip_prefix(b"k8s\0").expect("begins so"));
        assert_eq!(fields(unknown[0].1)[1], (2, kind.as_bytes()));
        let content = fields(unknown[1].1);
        let version = json["metadata"]["resourceVersion"]
            .as_str()
            .expect("has one");
        assert_eq!(fields(content[0].1)[0], (2, version.as_bytes()));
        // Each item is what the object is by itself, without what says its kind.
        assert_eq!(content.len(), 3);
        let one = get(
            &mut admin,
            &format!("{CONFIG_MAPS}/a"),
            &format!("{PROTOBUF}{form}"),
        )
        .await;
        let one = fields(&one.body[4..])[1].1;
        assert_eq!(content[1], (2, one));
    }

    let accept = format!("{PROTOBUF};stream=watch");
    let path = format!(
        "{CONFIG_MAPS}?watch=1&allowWatchBookmarks=true&sendInitialEvents=true\
         &resourceVersionMatch=NotOlderThan&timeoutSeconds=1"
    );
    let watch = get(&mut admin, &path, &accept).await;
    assert_eq!(watch.media_type(), accept);
    let mut rest = &watch.body[..];
    let mut events = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let (event, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        let event = fields(event);
        let kind = String::from_utf8(event[0].1.to_vec()).expect("is text");
        let object = protobuf::decode(fields(event[1].1)[0].1).expect("is a body");
        events.push((kind, object["metadata"].clone()));
        rest = after;
    }
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["ADDED", "ADDED", "BOOKMARK"]);
    assert_eq!(events[0].1, json["items"][0]["metadata"]);
    let annotations = &events[2].1["annotations"];
    assert_eq!(annotations["k8s.io/initial-events-end"], "true");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_form_is_negotiated() {
    let (server, mut admin) = Server::fresh().await;
    assert_eq!(
        admin.call("POST", CONFIG_MAPS, config_map("a")).await.0,
        201
    );
    let path = format!("{CONFIG_MAPS}/a");

    let yaml = get(&mut admin, &path, "application/yaml").await;
    assert_eq!(yaml.media_type(), "application/yaml");
    let text = std::str::from_utf8(&yaml.body).expect("is text");
    assert!(
        text.contains("data:\n  key: value\n  \"no\": \"\"\n"),
        "{text}"
    );
    let both = [
        ("content-type", "application/yaml"),
        ("accept", "application/yaml"),
    ];
    let put = send(&mut admin, "PUT", &path, &both, yaml.body.clone()).await;
    assert_eq!((put.code, put.body), (200, yaml.body));

    let pretty = get(
        &mut admin,
        &format!("{path}?pretty=true"),
        "application/json",
    )
    .await;
    assert!(pretty.body.starts_with(b"{\n  \"apiVersion\": \"v1\""));
    let curl = [("user-agent", "curl/8.0")];
    let pretty = send(&mut admin, "GET", &path, &curl, "").await;
    assert!(pretty.body.starts_with(b"{\n  \""));

    // Upstream: `test/e2e/apimachinery/table_conversion.go`.
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let headers = [("accept", table), ("content-type", "application/json")];
    let refused = send(&mut admin, "POST", reviews, &headers, "{}").await;
    assert_eq!(
        (refused.code, refused.json()["reason"].as_str()),
        (406, Some("NotAcceptable"))
    );
    let older = "application/json;as=Table;v=v1beta1;g=meta.k8s.io";
    let table = get(&mut admin, CONFIG_MAPS, older).await.json();
    assert_eq!(
        (&table["kind"], &table["apiVersion"]),
        (&json!("Table"), &json!("meta.k8s.io/v1beta1"))
    );

    let refused = get(&mut admin, &path, "text/html").await;
    assert_eq!(
        refused.json()["message"],
        "only the following media types are accepted: application/json, application/yaml, \
         application/vnd.kubernetes.protobuf"
    );
    let watch = format!("{CONFIG_MAPS}?watch=1");
    assert_eq!(get(&mut admin, &watch, "application/yaml").await.code, 406);
    let html = [("content-type", "text/html")];
    let refused = send(&mut admin, "POST", CONFIG_MAPS, &html, "{}").await;
    assert_eq!(
        (refused.code, refused.json()["reason"].as_str()),
        (415, Some("UnsupportedMediaType"))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_have_the_headers_of_upstream() {
    let (server, mut admin) = Server::fresh().await;
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let apis = get(&mut admin, "/apis", aggregated).await;
    assert_eq!(apis.media_type(), aggregated);
    assert_eq!(
        (&apis.headers["vary"], apis.json()["kind"].as_str()),
        (
            &"Accept".parse().expect("is one"),
            Some("APIGroupDiscoveryList")
        )
    );
    let tag = apis.headers["etag"].to_str().expect("is text").to_owned();
    let headers = [("accept", aggregated), ("if-none-match", &*tag)];
    let again = send(&mut admin, "GET", "/apis", &headers, "").await;
    assert_eq!((again.code, again.body.len()), (304, 0));
    let plain = get(&mut admin, "/apis", PROTOBUF).await.protobuf();
    assert_eq!(
        plain,
        get(&mut admin, "/apis", "application/json").await.json()
    );
    let apps = get(&mut admin, "/apis/apps/v1", PROTOBUF).await.protobuf();
    let verbs = apps["resources"][0]["verbs"].as_array().expect("is a list");
    assert!(verbs.contains(&json!("deletecollection")), "{verbs:?}");

    let headers = [("audit-id", "mine")];
    let answer = send(&mut admin, "GET", "/version", &headers, "").await;
    assert_eq!(
        (
            &answer.headers["audit-id"],
            &answer.headers["cache-control"]
        ),
        (
            &"mine".parse().expect("is one"),
            &"no-cache, private".parse().expect("is one")
        )
    );
    let answer = get(&mut admin, "/version", "*/*").await;
    assert_eq!(answer.headers["audit-id"].len(), 36);

    // Compressed only if it is large and the client can read it.
    let mut large = config_map("large");
    large["data"]["key"] = "x".repeat(200 * 1024).into();
    assert_eq!(admin.call("POST", CONFIG_MAPS, large).await.0, 201);
    assert_eq!(
        admin.call("POST", CONFIG_MAPS, config_map("small")).await.0,
        201
    );
    for (name, encoding, compressed) in [
        ("large", "gzip", true),
        ("large", "br", false),
        ("small", "gzip", false),
    ] {
        for format in ["application/json", PROTOBUF] {
            let headers = [("accept", format), ("accept-encoding", encoding)];
            let answer = send(
                &mut admin,
                "GET",
                &format!("{CONFIG_MAPS}/{name}"),
                &headers,
                "",
            )
            .await;
            assert_eq!(
                answer.headers.contains_key("content-encoding"),
                compressed,
                "{name} {encoding}"
            );
            assert_eq!(answer.body.starts_with(&[0x1f, 0x8b]), compressed);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_numbers_are_told_as_upstream_tells_them() {
    let (server, mut admin) = Server::fresh().await;
    let mut page = async |path: &str| {
        let answer = get(&mut admin, path, "*/*").await;
        let text = String::from_utf8(answer.body.to_vec()).expect("is text");
        (answer.code, text)
    };
    assert_eq!(page("/readyz").await, (200, "ok".to_owned()));
    assert_eq!(page("/livez/etcd").await, (200, "ok".to_owned()));
    assert_eq!(page("/livez/mouse").await.0, 404);
    let (_, verbose) = page("/healthz?verbose&exclude=etcd&exclude=mouse").await;
    for line in [
        "[+]ping ok\n",
        "[+]etcd excluded: ok\n",
        "warn: some health checks cannot be excluded: no matches for \"mouse\"\n",
        "healthz check passed\n",
    ] {
        assert!(verbose.contains(line), "{verbose}");
    }

    let watch = format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1");
    page(&watch).await;
    page(&format!("{CONFIG_MAPS}/none")).await;
    let (_, metrics) = page("/metrics").await;
    let labels = "verb=\"GET\",dry_run=\"\",group=\"\",version=\"v1\",resource=\"configmaps\",\
        subresource=\"\",scope=\"resource\",component=\"apiserver\"";
    for line in [
        format!("apiserver_request_total{{{labels},code=\"404\"}} 1\n"),
        format!("apiserver_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 1\n"),
        format!("apiserver_request_duration_seconds_count{{{labels}}} 1\n"),
        // The one that asks is under way.
        "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1\n".to_owned(),
        "apiserver_storage_objects{resource=\"leases.coordination.k8s.io\"} 0\n".to_owned(),
        "# TYPE process_resident_memory_bytes gauge\n".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    server.stop().await;
}
