//! Who may claim devices that others are using.
//!
//! Upstream: `pkg/registry/resource/resourceclaim/strategy.go`, `AuthorizedForAdmin`.

use serde_json::Value;

use super::{Lookup, Operation, Request};
use crate::status::{ApiError, FieldError, Subject};

const LABEL: &str = "resource.kubernetes.io/admin-access";

/// Admin access, to look after devices, takes a namespace that is labelled for it.
pub(super) fn admit(request: &Request, lookup: &dyn Lookup) -> Result<(), ApiError> {
    let path = match (request.resource.group, request.resource.plural) {
        ("resource.k8s.io", "resourceclaims") => "spec",
        ("resource.k8s.io", "resourceclaimtemplates") => "spec.spec",
        _ => return Ok(()),
    };
    let (Operation::Create, "", Some(object)) = (
        request.operation,
        request.subresource,
        request.object.as_deref(),
    ) else {
        return Ok(());
    };
    let pointer = format!("/{}/devices/requests", path.replace('.', "/"));
    let requests = object.pointer(&pointer).and_then(Value::as_array);
    let wanting = requests.into_iter().flatten().enumerate();
    let wanting = wanting.filter(|(_, request)| request["exactly"]["adminAccess"] == true);
    let errors: Vec<FieldError> = wanting
        .map(|(index, _)| {
            let at = format!("{path}.devices.requests[{index}].exactly.adminAccess");
            let wrong = format!(
                "admin access to devices requires the `{LABEL}: true` label on the containing \
                 namespace"
            );
            FieldError::forbidden(at, wrong)
        })
        .collect();
    let namespace = lookup.get("namespaces", "", request.namespace);
    let is_labelled = namespace.is_some_and(|ns| ns["metadata"]["labels"][LABEL] == "true");
    if errors.is_empty() || is_labelled {
        return Ok(());
    }
    let subject = Subject {
        group: request.resource.group,
        resource: request.resource.plural,
        kind: request.resource.kind,
        name: request.name,
    };
    Err(ApiError::invalid(subject, &errors))
}
