//! Fields that are unknown, or there twice: refused, told of, or passed over.
//!
//! Upstream: `test/integration/apiserver/field_validation_test.go`.

use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::{APPLY, CONFIG_MAPS, MERGE, config_map};
use crate::support::{Client, Server};

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const JSON_PATCH: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// Code, message and warnings of an answer.
async fn send(
    client: &mut Client,
    (method, path): (&str, &str),
    kind: &str,
    body: &str,
) -> (u16, String, Vec<String>) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", kind)
        .body(Full::from(body.to_owned()));
    let response = client.send(request.expect("is a request")).await;
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings.map(|warning| {
        let text = warning.to_str().expect("is text");
        let text = text
            .strip_prefix("299 - \"")
            .and_then(|text| text.strip_suffix('"'));
        text.expect("is a warning").replace("\\\"", "\"")
    });
    let warnings = warnings.collect();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.expect("is whole");
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let message = body["message"].as_str().unwrap_or_default();
    (code, message.to_owned(), warnings)
}

const IN_JSON: &str = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"},
    "colour": "red", "data": {"a": "1", "a": "2"}, "data": {"b": "3"}}"#;
const IN_YAML: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ncolour: red\ndata:\n  \
    a: '1'\n  a: '2'\n  b: '1'\n  b: '2'\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_s_are_told_in_the_words_of_its_form() {
    let (server, mut admin) = Server::fresh().await;
    let cannot =
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: ";
    let of_json = [
        "unknown field \"colour\"",
        "duplicate field \"data.a\"",
        "duplicate field \"data\"",
    ];
    let of_yaml = [
        "line 8: key \"a\" already set in map",
        "line 10: key \"b\" already set in map",
        "unknown field \"colour\"",
    ];
    let [a, b, unknown] = of_yaml;
    let strictly = format!("{cannot}yaml: unmarshal errors:\n  {a}\n  {b}, {unknown}");
    let path = format!("{CONFIG_MAPS}/x");
    for (kind, body, told, strict) in [
        (
            JSON,
            IN_JSON,
            &of_json[..],
            format!("{cannot}{}", of_json.join(", ")),
        ),
        (YAML, IN_YAML, &of_yaml[..], strictly),
    ] {
        for (method, at, code) in [("POST", CONFIG_MAPS, 201), ("PUT", path.as_str(), 200)] {
            let to = |mode: &str| format!("{at}?fieldValidation={mode}");
            let strictly = to("Strict");
            let answer = send(&mut admin, (method, &strictly), kind, body).await;
            assert_eq!(answer, (400, strict.clone(), vec![]), "{method} {kind}");
            let (answered, _, warnings) = send(&mut admin, (method, &to("Warn")), kind, body).await;
            assert_eq!(
                (answered, warnings),
                (code, told.iter().copied().map(str::to_owned).collect())
            );
            if method == "POST" {
                assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
            }
            let (answered, _, warnings) =
                send(&mut admin, (method, &to("Ignore")), kind, body).await;
            assert_eq!((answered, warnings), (code, vec![]));
        }
        assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_s_are_told_with_those_of_what_it_makes() {
    let (server, mut admin) = Server::fresh().await;
    assert_eq!(
        admin.call("POST", CONFIG_MAPS, config_map("x")).await.0,
        201
    );
    let path = format!("{CONFIG_MAPS}/x");
    let merged = r#"{"data": {"a": "1", "a": "2"}, "colour": "red"}"#;
    let operations = r#"[{"op": "add", "op": "add", "path": "/data", "value": {"a": "2"}, "why": 1},
        {"op": "add", "path": "/colour", "value": "red"}]"#;
    let applied =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  a: '1'\n  a: '2'\n";
    let of_merge = ["duplicate field \"data.a\"", "unknown field \"colour\""];
    let of_operations = [
        "json patch unknown field \"[0].why\"",
        "json patch duplicate field \"[0].op\"",
        "unknown field \"colour\"",
    ];
    let of_apply = ["line 7: key \"a\" already set in map"];
    for (kind, body, told, begin) in [
        (
            MERGE,
            merged,
            &of_merge[..],
            " \"\" is invalid: patch: Invalid value: \"{",
        ),
        (
            STRATEGIC,
            merged,
            &of_merge,
            " \"\" is invalid: patch: Invalid value: \"map[colour:red data:map[a:2]]\": strict",
        ),
        (
            JSON_PATCH,
            operations,
            &of_operations,
            " \"\" is invalid: patch: Invalid value: \"{",
        ),
        (
            APPLY,
            applied,
            &of_apply,
            "error strict decoding patch: error converting YAML to JSON: yaml: unmarshal errors:\n  ",
        ),
    ] {
        let to = |mode: &str| format!("{path}?fieldManager=m&fieldValidation={mode}");
        let (code, message, _) = send(&mut admin, ("PATCH", &to("Strict")), kind, body).await;
        assert_eq!(
            code,
            if kind == APPLY { 400 } else { 422 },
            "{kind}: {message}"
        );
        assert!(message.starts_with(begin), "{message}");
        assert!(message.ends_with(&told.join(", ")), "{message}");
        // Nothing said is a warning.
        for mode in ["Warn", ""] {
            let (code, message, warnings) =
                send(&mut admin, ("PATCH", &to(mode)), kind, body).await;
            assert_eq!((code, &*message), (200, ""), "{kind}");
            assert_eq!(warnings, told, "{kind}");
        }
        let (code, _, warnings) = send(&mut admin, ("PATCH", &to("Ignore")), kind, body).await;
        assert_eq!((code, warnings), (200, vec![]), "{kind}");
    }
    let (_, live) = admin.get(&path).await;
    assert_eq!(
        (&live["data"], &live["colour"]),
        (&json!({"a": "2"}), &Value::Null)
    );
    server.stop().await;
}
