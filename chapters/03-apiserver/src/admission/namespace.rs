//! NamespaceLifecycle: nothing new in a namespace that is not there or is going.

use serde_json::json;

use super::{Lookup, Operation, Request};
use crate::status::{ApiError, Subject};

/// The namespaces that the cluster can't do without.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Checks the namespace of what is created, and which namespaces are deleted.
pub(super) fn lifecycle(request: &Request, lookup: &dyn Lookup) -> Result<(), ApiError> {
    if request.is(Operation::Delete, "", "namespaces") && IMMORTAL.contains(&request.name) {
        return Err(request.forbidden("this namespace may not be deleted"));
    }
    // A review of what may be done in a namespace creates nothing in it.
    let is_review = request.resource.plural == "localsubjectaccessreviews";
    if request.operation != Operation::Create || !request.resource.namespaced || is_review {
        return Ok(());
    }
    let name = request.namespace;
    let Some(namespace) = lookup.get("namespaces", "", name) else {
        let subject = Subject {
            group: "",
            resource: "namespaces",
            kind: "Namespace",
            name,
        };
        return Err(ApiError::not_found(subject));
    };
    if namespace["metadata"]["deletionTimestamp"].is_null()
        && namespace["status"]["phase"] != "Terminating"
    {
        return Ok(());
    }
    let mut error = request.forbidden(format!(
        "unable to create new content in namespace {name} because it is being terminated"
    ));
    let cause = json!([{
        "reason": "NamespaceTerminating",
        "message": format!("namespace {name} is being terminated"),
        "field": "metadata.namespace",
    }]);
    error
        .details
        .get_or_insert_default()
        .insert("causes".to_owned(), cause);
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admission::{
            Admission,
            tests::{World, create},
        },
        authn::User,
        resources::by_kind,
    };

    #[test]
    fn nothing_in_a_namespace_that_goes() {
        let error = create(&World::default(), "ConfigMap", &mut json!({})).expect_err("missing");
        assert_eq!(
            (error.code, error.message.as_str()),
            (404, "namespaces \"ns\" not found")
        );
        let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        let world = World::default().with("namespaces", "ns", going);
        let error = create(&world, "ConfigMap", &mut json!({})).expect_err("going");
        assert_eq!(
            error.message,
            "configmaps \"x\" is forbidden: unable to create new content in namespace ns because \
             it is being terminated"
        );
        assert_eq!(
            error.details.expect("details")["causes"][0]["reason"],
            "NamespaceTerminating"
        );
    }

    #[test]
    fn three_stay() {
        let delete = |name: &str| {
            let mut request = Request {
                user: &User::default(),
                operation: Operation::Delete,
                resource: by_kind("", "v1", "Namespace").expect("served"),
                subresource: "",
                namespace: "",
                name,
                object: None,
                old: None,
                dry_run: false,
            };
            Admission::default().admit(&mut request, &World::new())
        };
        let error = delete("default").expect_err("stays");
        assert_eq!(
            error.message,
            "namespaces \"default\" is forbidden: this namespace may not be deleted"
        );
        assert_eq!(delete("kube-node-lease"), Ok(()));
    }
}
