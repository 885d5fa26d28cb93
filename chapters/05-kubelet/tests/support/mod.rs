//! As much of an API server as one kubelet needs: a table of objects, lists, watches and patches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

/// The table, and all that ever happened to it.
pub struct Api {
    state: Mutex<Table>,
    version: watch::Sender<u64>,
    /// The resource of each watch that is open.
    watches: Mutex<Vec<String>>,
    kubeconfig: PathBuf,
}

/// An open watch.
struct Open(Arc<Api>, String);

impl Drop for Open {
    fn drop(&mut self) {
        let mut watches = self.0.watches.lock().expect("no panics inside");
        let at = watches.iter().position(|open| *open == self.1);
        watches.remove(at.expect("it was noted when it was opened"));
    }
}

#[derive(Default)]
struct Table {
    /// By resource, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    history: Vec<(u64, String, Value)>,
}

impl Api {
    /// Serves an empty table until the process ends; its kubeconfig goes into the folder.
    pub fn serve(folder: &Path) -> Arc<Api> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.set_nonblocking(true).expect("a socket can be so");
        let address = listener.local_addr().expect("it is bound");
        let kubeconfig = folder.join("kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": format!("http://{address}") } }],
            "users": [{ "name": "u", "user": {} }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        });
        std::fs::write(&kubeconfig, text.to_string()).expect("the folder is there");
        let api = Arc::new(Api {
            state: Mutex::default(),
            version: watch::channel(1).0,
            watches: Mutex::default(),
            kubeconfig,
        });
        let router = Router::new().fallback(answer).with_state(api.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                axum::serve(listener, router).await.expect("serves");
            });
        });
        api
    }

    /// The kubeconfig file to it.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// An object, if it is there.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let state = self.state.lock().expect("no panics inside");
        state.objects.get(&key(resource, namespace, name)).cloned()
    }

    /// All objects of a kind.
    pub fn list(&self, resource: &str) -> Vec<Value> {
        let state = self.state.lock().expect("no panics inside");
        let of_kind = state.objects.iter().filter(|(key, _)| key.0 == resource);
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    /// How many watches of a kind are open.
    pub fn watches(&self, resource: &str) -> usize {
        let watches = self.watches.lock().expect("no panics inside");
        watches.iter().filter(|open| *open == resource).count()
    }

    /// Makes an object, or changes it.
    pub fn put(&self, resource: &str, mut object: Value) -> Value {
        let mut state = self.state.lock().expect("no panics inside");
        let version = *self.version.borrow() + 1;
        let namespace = object["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let name = object["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned();
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{version}"));
        }
        let key = key(resource, &namespace, &name);
        let known = state.objects.insert(key, object.clone()).is_some();
        let type_ = if known { "MODIFIED" } else { "ADDED" };
        let event = json!({ "type": type_, "object": object });
        state.history.push((version, resource.to_owned(), event));
        drop(state);
        self.version.send_replace(version);
        object
    }

    /// Removes an object.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let mut state = self.state.lock().expect("no panics inside");
        let mut object = state.objects.remove(&key(resource, namespace, name))?;
        let version = *self.version.borrow() + 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let event = json!({ "type": "DELETED", "object": object });
        state.history.push((version, resource.to_owned(), event));
        drop(state);
        self.version.send_replace(version);
        Some(object)
    }

    /// Waits until something holds, after any change of the table.
    pub async fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let mut version = self.version.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while !holds() {
                // The runtime's table changes without this one's: look now and then.
                let _changed =
                    tokio::time::timeout(Duration::from_millis(20), version.changed()).await;
            }
        });
        if waited.await.is_err() {
            let events = self.list("events");
            let events = events.iter().map(|event| format!("\n{}", event["message"]));
            let events: String = events.collect();
            panic!("never came: {what}; pods: {:#?}{events}", self.list("pods"));
        }
    }
}

fn key(resource: &str, namespace: &str, name: &str) -> (String, String, String) {
    (resource.to_owned(), namespace.to_owned(), name.to_owned())
}

async fn answer(State(api): State<Arc<Api>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let parts: Vec<&str> = uri
        .path()
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return refuse(StatusCode::NOT_FOUND),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
    let query = uri.query().unwrap_or_default();
    match (method.as_str(), rest) {
        ("GET", [resource]) if query.contains("watch=true") => watch(api, resource, query),
        ("GET", [resource]) => list(&api, resource, query),
        ("GET", [resource, name, ..]) => found(api.get(resource, namespace, name)),
        ("POST", ["tokenreviews"]) => axum::Json(review_token(sent)).into_response(),
        ("POST", ["subjectaccessreviews"]) => axum::Json(review_access(&api, sent)).into_response(),
        ("POST", [resource]) => {
            let mut object = sent;
            let name = object["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if api.get(resource, namespace, &name).is_some() {
                return refuse(StatusCode::CONFLICT);
            }
            object["metadata"]["namespace"] = json!(namespace);
            found(Some(api.put(resource, object)))
        }
        ("PUT", [resource, _, ..]) => found(Some(api.put(resource, sent))),
        ("PATCH", [resource, name, ..]) => match api.get(resource, namespace, name) {
            Some(object) => {
                let uid = &sent["metadata"]["uid"];
                if !uid.is_null() && *uid != object["metadata"]["uid"] {
                    return refuse(StatusCode::NOT_FOUND);
                }
                let mut object = object;
                merge(&mut object, &sent);
                found(Some(api.put(resource, object)))
            }
            None => refuse(StatusCode::NOT_FOUND),
        },
        ("DELETE", [resource, name]) => {
            let live = api.get(resource, namespace, name);
            let uid = &sent["preconditions"]["uid"];
            match live {
                Some(live) if uid.is_null() || *uid == live["metadata"]["uid"] => {
                    found(api.remove(resource, namespace, name))
                }
                Some(_) => refuse(StatusCode::CONFLICT),
                None => refuse(StatusCode::NOT_FOUND),
            }
        }
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// The token `token-of-NAME` is that of NAME.
fn review_token(mut review: Value) -> Value {
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    let user = token.strip_prefix("token-of-");
    review["status"] = match user {
        Some(user) => json!({ "authenticated": true, "user": { "username": user } }),
        None => json!({ "authenticated": false }),
    };
    review
}

/// An object `grants` of the name `USER.VERB.SUBRESOURCE` allows it.
fn review_access(api: &Api, mut review: Value) -> Value {
    let spec = &review["spec"];
    let asked = &spec["resourceAttributes"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let grant = [&spec["user"], &asked["verb"], &asked["subresource"]].map(text);
    let allowed = api.get("grants", "", &grant.join(".")).is_some();
    review["status"] = json!({ "allowed": allowed });
    review
}

fn found(object: Option<Value>) -> Response {
    match object {
        Some(object) => axum::Json(object).into_response(),
        None => refuse(StatusCode::NOT_FOUND),
    }
}

fn refuse(code: StatusCode) -> Response {
    let reason = code.canonical_reason().unwrap_or_default().replace(' ', "");
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "message": reason, "reason": reason, "code": code.as_u16() });
    (code, axum::Json(status)).into_response()
}

/// The name that `fieldSelector=metadata.name=…` asks for.
fn selected(query: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, selector) = pairs.find(|(name, _)| *name == "fieldSelector")?;
    let (field, name) = selector.split_once("%3D")?;
    (field == "metadata.name").then(|| name.to_owned())
}

fn list(api: &Api, resource: &str, query: &str) -> Response {
    let version = api.version.borrow().to_string();
    let mut items = api.list(resource);
    if let Some(name) = selected(query) {
        items.retain(|item| item["metadata"]["name"] == *name);
    }
    let list = json!({ "kind": "List", "apiVersion": "v1",
        "metadata": { "resourceVersion": version }, "items": items });
    axum::Json(list).into_response()
}

fn watch(api: Arc<Api>, resource: &str, query: &str) -> Response {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let since = pairs.find(|(name, _)| *name == "resourceVersion");
    let since = since
        .and_then(|(_, version)| version.parse().ok())
        .unwrap_or(0);
    let resource = resource.to_owned();
    let name = selected(query);
    let is_selected = move |event: &Value| {
        let name = name.as_ref();
        name.is_none_or(|name| event["object"]["metadata"]["name"] == **name)
    };
    let changed = api.version.subscribe();
    let mut watches = api.watches.lock().expect("no panics inside");
    watches.push(resource.clone());
    drop(watches);
    let state = (Open(api, resource), is_selected, since, changed);
    let stream = futures::stream::unfold(
        state,
        |(open, is_selected, since, mut changed)| async move {
            let Open(api, resource) = &open;
            loop {
                let news: Vec<(u64, Value)> = {
                    let state = api.state.lock().expect("no panics inside");
                    let history = state.history.iter();
                    let news = history.filter(|(version, of, event)| {
                        *version > since && of == resource && is_selected(event)
                    });
                    news.map(|(version, _, event)| (*version, event.clone()))
                        .collect()
                };
                let Some((last, _)) = news.last() else {
                    changed.changed().await.ok()?;
                    continue;
                };
                let last = *last;
                let lines: String = news.iter().map(|(_, event)| format!("{event}\n")).collect();
                let next = (open, is_selected, last, changed);
                return Some((Ok::<_, std::io::Error>(Bytes::from(lines)), next));
            }
        },
    );
    Response::new(Body::from_stream(stream))
}

/// A strategic merge of what kubelets send: conditions by type, other lists as a whole.
fn merge(object: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    for (field, change) in fields {
        match change {
            Value::Null => {
                if let Some(object) = object.as_object_mut() {
                    object.remove(field);
                }
            }
            Value::Object(_) if object[field].is_object() => merge(&mut object[field], change),
            Value::Array(list) if field == "conditions" => {
                let mut known = object[field].as_array().cloned().unwrap_or_default();
                for condition in list {
                    known.retain(|other| other["type"] != condition["type"]);
                    if condition["$patch"].is_null() {
                        known.push(condition.clone());
                    }
                }
                object[field] = json!(known);
            }
            Value::Array(list) => {
                let items = list.iter().filter(|item| item["$patch"].is_null());
                object[field] = items.cloned().collect();
            }
            _ => object[field] = change.clone(),
        }
    }
}
