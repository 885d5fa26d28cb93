//! The driver against an API server that answers when the test lets it.

use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response};
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;

/// What the API server was asked, and whether it answers.
struct Server {
    asked: Mutex<Vec<String>>,
    more: tokio::sync::Notify,
    conditions: Semaphore,
    bindings: Semaphore,
}

impl Server {
    fn new(conditions: usize, bindings: usize) -> Arc<Self> {
        Arc::new(Server {
            asked: Mutex::default(),
            more: tokio::sync::Notify::new(),
            conditions: Semaphore::new(conditions),
            bindings: Semaphore::new(bindings),
        })
    }

    fn driver(self: &Arc<Self>) -> Driver {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let mut driver = Driver::new(Client::new(service, "default"));
        driver.unsynced.clear();
        driver
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let what = path.rsplit('/').next().unwrap_or_default().to_owned();
        let gate = match what.as_str() {
            "binding" => &self.bindings,
            "status" => &self.conditions,
            _ => return Response::new(Body::empty()),
        };
        self.asked.lock().unwrap().push(what);
        self.more.notify_waiters();
        gate.acquire().await.unwrap().forget();
        let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" });
        Response::new(Body::from(status.to_string().into_bytes()))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until it was asked as often as that.
    async fn asked_times(&self, times: usize) {
        loop {
            let more = self.more.notified();
            if self.asked().len() >= times {
                return;
            }
            more.await;
        }
    }
}

fn parsed<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// An object as a list or a watch brings it.
fn seen<K: DeserializeOwned>(value: Value) -> Box<watcher::Event<K>> {
    Box::new(watcher::Event::Apply(parsed(value)))
}

fn node(driver: &mut Driver, name: &str) {
    driver.take(Input::Node(seen(json!({
        "metadata": { "name": name, "labels": { "zone": name } },
        "status": { "allocatable": { "cpu": "2", "memory": "4Gi", "pods": "10" } },
    }))));
}

fn pod(name: &str, spec: &Value) -> Value {
    json!({ "metadata": { "namespace": "default", "name": name, "uid": name }, "spec": spec })
}

fn cpu(cpu: &str) -> Value {
    json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu } } }] })
}

fn take(driver: &mut Driver, pod: Value) {
    driver.take(Input::Pod(seen(pod)));
    driver.place_all();
}

/// Lets the other tasks of the test do all that they can.
async fn others() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// The name and node of what is bound next, and whether it was.
async fn bound(driver: &mut Driver) -> (String, String, bool) {
    let bound = driver
        .binding
        .next()
        .await
        .expect("something is being bound");
    let said = (bound.0.name_any(), bound.1.clone(), bound.3.is_ok());
    driver.bound(bound);
    driver.place_all();
    said
}

#[tokio::test]
async fn news_from_before_the_binding_changes_nothing() {
    let server = Server::new(0, 9);
    let mut driver = server.driver();
    node(&mut driver, "n1");
    take(&mut driver, pod("a", &cpu("2")));
    assert_eq!(bound(&mut driver).await, ("a".into(), "n1".into(), true));

    // Its own room is taken: looked at again it would not fit.
    let mut older = pod("a", &cpu("2"));
    older["metadata"]["annotations"] = json!({ "x": "y" });
    take(&mut driver, older);
    assert!(driver.binding.is_empty());
    assert!(driver.telling.is_empty());
    assert!(!driver.queue.contains("a"));

    let mut assigned = pod("a", &cpu("2"));
    assigned["spec"]["nodeName"] = json!("n1");
    take(&mut driver, assigned);
    assert_eq!(server.asked(), ["binding"]);
}

#[tokio::test]
async fn that_it_does_not_fit_is_said_before_it_is_bound() {
    let server = Server::new(0, 9);
    let mut driver = server.driver();
    take(&mut driver, pod("a", &cpu("1")));
    server.asked_times(1).await;
    node(&mut driver, "n1");
    driver.place_all();
    tokio::select! {
        biased;
        _ = driver.binding.next() => panic!("it is bound first"),
        () = others() => {}
    }
    assert_eq!(server.asked(), ["status"]);
    server.conditions.add_permits(1);
    assert_eq!(bound(&mut driver).await, ("a".into(), "n1".into(), true));
    assert_eq!(server.asked(), ["status", "binding"]);
}

#[tokio::test]
async fn a_binding_that_is_not_answered_is_given_up() {
    let server = Server::new(9, 0);
    let mut driver = server.driver();
    driver.bind_timeout = Duration::from_millis(20);
    node(&mut driver, "n1");
    take(&mut driver, pod("a", &cpu("2")));
    assert_eq!(bound(&mut driver).await, ("a".into(), "n1".into(), false));

    // It waits for its back-off, and the room that it had is free meanwhile.
    assert!(driver.queue.next_wake().is_some());
    server.bindings.add_permits(1);
    driver.bind_timeout = BIND_TIMEOUT;
    take(&mut driver, pod("b", &cpu("2")));
    assert_eq!(bound(&mut driver).await, ("b".into(), "n1".into(), true));
}

#[tokio::test]
async fn one_that_is_another_now_makes_room() {
    let away = json!({
        "containers": [{ "name": "c" }],
        "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
            { "topologyKey": "zone", "labelSelector": { "matchLabels": { "app": "web" } } },
        ] } },
    });
    let on_node = |name: &str, mut spec: Value, app: &str| {
        spec["nodeName"] = json!("n1");
        let mut pod = pod(name, &spec);
        pod["metadata"]["labels"] = json!({ "app": app });
        pod
    };
    let server = Server::new(9, 9);
    let mut driver = server.driver();
    node(&mut driver, "n1");
    take(&mut driver, on_node("old", cpu("2"), "web"));
    take(&mut driver, pod("big", &cpu("1")));
    take(&mut driver, pod("shy", &away));
    assert!(driver.binding.is_empty());

    // Upstream: `isSchedulableAfterPodEvent` of NodeResourcesFit, `isSchedulableAfterPodChange` of
    // InterPodAffinity.
    take(&mut driver, on_node("old", cpu("1"), "web"));
    assert_eq!(bound(&mut driver).await, ("big".into(), "n1".into(), true));
    assert!(driver.binding.is_empty());
    take(&mut driver, on_node("old", cpu("1"), "else"));
    assert_eq!(bound(&mut driver).await, ("shy".into(), "n1".into(), true));
}
