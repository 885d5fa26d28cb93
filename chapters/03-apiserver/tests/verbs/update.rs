//! What an update has to say of the object that it replaces, and who may make one by it.

use serde_json::{Value, json};

use super::{APPLY, CONFIG_MAPS, LEASES, MERGE, config_map, told};
use crate::support::Server;

/// Upstream: `Update` in `apiserver/pkg/registry/generic/registry/store.go`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_is_of_the_object_that_it_names() {
    let (server, mut admin) = Server::fresh().await;
    let (_, made) = admin.call("POST", CONFIG_MAPS, config_map("x")).await;
    let uid = made["metadata"]["uid"].as_str().expect("has one");
    let path = format!("{CONFIG_MAPS}/x");
    let begin = "Operation cannot be fulfilled on configmaps \"x\":";

    let mut other = config_map("x");
    other["metadata"]["uid"] = "other".into();
    assert_eq!(
        told(admin.call("PUT", &path, other.clone()).await),
        (
            409,
            format!(
                "{begin} StorageError: invalid object, Code: 4, Key: \
                 /registry/configmaps/default/x, ResourceVersion: 0, AdditionalErrorMsg: \
                 Precondition failed: UID in precondition: other, UID in object meta: {uid}"
            )
        )
    );
    // A patch is of what is there, and changes what may not be changed.
    let patched = json!({"metadata": {"uid": "other"}}).to_string();
    let immutable = "ConfigMap \"x\" is invalid: metadata.uid: Invalid value: \"other\": field is \
                     immutable";
    assert_eq!(
        told(admin.call_as("PATCH", &path, MERGE, patched).await),
        (422, immutable.to_owned())
    );
    let mut ending = config_map("x");
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    ending["metadata"]["deletionGracePeriodSeconds"] = 5.into();
    assert_eq!(
        told(admin.call("PUT", &path, ending).await),
        (
            422,
            "ConfigMap \"x\" is invalid: [metadata.deletionTimestamp: Invalid value: \
             \"2026-01-01T00:00:00Z\": field is immutable, metadata.deletionGracePeriodSeconds: \
             Invalid value: 5: field is immutable]"
                .into()
        )
    );
    // When it was made is passed over, whatever is said of that.
    let mut older = config_map("x");
    older["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z".into();
    let (code, updated) = admin.call("PUT", &path, older).await;
    assert_eq!(code, 200, "{updated}");
    assert_eq!(
        updated["metadata"]["creationTimestamp"],
        made["metadata"]["creationTimestamp"]
    );

    let mut nameless = config_map("x");
    nameless["metadata"]["name"] = "".into();
    let undeterminable = "the name of the object (x based on URL) was undeterminable: name must \
                          be provided";
    assert_eq!(
        told(admin.call("PUT", &path, nameless).await),
        (400, undeterminable.to_owned())
    );
    let nameless = json!({"metadata": {"name": null}}).to_string();
    assert_eq!(
        told(admin.call_as("PATCH", &path, MERGE, nameless).await),
        (400, undeterminable.to_owned())
    );
    let mut versioned = config_map("x");
    versioned["metadata"]["resourceVersion"] = "latest".into();
    assert_eq!(
        told(admin.call("PUT", &path, versioned).await),
        (
            500,
            "strconv.ParseUint: parsing \"latest\": invalid syntax".into()
        )
    );
    // A name of one's own is taken even where a prefix stands beside it.
    let mut again = config_map("x");
    again["metadata"]["generateName"] = "x-".into();
    let (code, taken) = admin.call("POST", CONFIG_MAPS, again).await;
    assert_eq!(code, 409);
    assert_eq!(
        taken["message"],
        "configmaps \"x\" already exists, the server was not able to generate a unique name for \
         the object"
    );
    assert_eq!(taken["details"]["retryAfterSeconds"], 1);
    server.stop().await;
}

fn lease(name: &str) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
        "spec": {"holderIdentity": "me"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_kinds_are_made_by_an_update_and_must_be_read_before_one() {
    let (server, mut admin) = Server::fresh().await;
    let path = format!("{LEASES}/x");
    let mut seen = lease("x");
    seen["metadata"]["uid"] = "gone".into();
    let (code, message) = told(admin.call("PUT", &path, seen).await);
    assert_eq!(code, 409);
    assert!(
        message.ends_with("UID in precondition: gone, UID in object meta: "),
        "{message}"
    );
    assert_eq!(admin.call("PUT", &path, lease("x")).await.0, 201);
    assert_eq!(
        told(admin.call("PUT", &path, lease("x")).await),
        (
            422,
            "leases.coordination.k8s.io \"x\" is invalid: metadata.resourceVersion: Invalid \
             value: 0: must be specified for an update"
                .into()
        )
    );
    // A config map is not made that way.
    let path = format!("{CONFIG_MAPS}/none");
    let mut seen = config_map("none");
    seen["metadata"]["uid"] = "gone".into();
    assert_eq!(
        told(admin.call("PUT", &path, seen).await),
        (404, "configmaps \"none\" not found".into())
    );
    server.stop().await;
}

/// Upstream: `withAuthorization` in `apiserver/pkg/endpoints/handlers/update.go`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_change_may_not_therefore_create() {
    let (server, mut admin) = Server::fresh().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let mut role = json!({"metadata": {"name": "changes"}, "rules": [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
            "verbs": ["get", "update", "patch"]}]});
    let roles = format!("{rbac}/roles");
    assert_eq!(admin.call("POST", &roles, role.clone()).await.0, 201);
    let binding = json!({"metadata": {"name": "jane"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "changes"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]});
    let bindings = format!("{rbac}/rolebindings");
    assert_eq!(admin.call("POST", &bindings, binding).await.0, 201);

    let mut jane = server.client("jane").await;
    let path = format!("{LEASES}/x");
    let applies = format!("{path}?fieldManager=jane");
    let refused = "leases.coordination.k8s.io \"x\" is forbidden: User \"jane\" cannot create \
                   resource \"leases\" in API group \"coordination.k8s.io\" in the namespace \
                   \"default\"";
    assert_eq!(
        told(jane.call("PUT", &path, lease("x")).await),
        (403, refused.to_owned())
    );
    let wish = lease("x").to_string();
    assert_eq!(
        told(jane.call_as("PATCH", &applies, APPLY, wish.clone()).await),
        (403, refused.to_owned())
    );
    role["rules"][0]["verbs"] = json!(["create", "update", "patch"]);
    let path = format!("{roles}/changes");
    assert_eq!(admin.call("PUT", &path, role).await.0, 200);
    assert_eq!(jane.call_as("PATCH", &applies, APPLY, wish).await.0, 201);
    server.stop().await;
}
