//! Who may decide over, sign, and ask for certificates.
//!
//! A signer has a name, `kubernetes.io/kube-apiserver-client`, and the right to approve its requests
//! or to sign them is one on `signers` of that name, or of `kubernetes.io/*`. There are no such
//! objects: a role's rules may name them all the same.
//!
//! Upstream: `plugin/pkg/admission/certificates/`.

use serde_json::Value;

use super::{Lookup, Operation, Request};
use crate::authz::{Attributes, MASTERS};
use crate::status::ApiError;
use crate::validation::certificates::organizations;

const GROUP: &str = "certificates.k8s.io";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub(super) fn admit(request: &Request, lookup: &dyn Lookup) -> Result<(), ApiError> {
    if request.resource.group != GROUP {
        return Ok(());
    }
    let Some(new) = request.object.as_deref() else {
        return Ok(());
    };
    match (request.operation, request.subresource, request.old) {
        (Operation::Update, "approval", Some(old)) => {
            check(request, lookup, "approve", signer_of(old))
        }
        (Operation::Update, "status", Some(old)) => {
            let signs = ["certificate", "conditions"]
                .iter()
                .any(|field| new["status"][field] != old["status"][field]);
            if !signs {
                return Ok(());
            }
            check(request, lookup, "sign", signer_of(old))
        }
        (Operation::Create, "", _) if signer_of(new) == CLIENT_SIGNER => no_masters(request, new),
        _ => Ok(()),
    }
}

fn signer_of(object: &Value) -> &str {
    object["spec"]["signerName"].as_str().unwrap_or_default()
}

fn check(request: &Request, lookup: &dyn Lookup, verb: &str, signer: &str) -> Result<(), ApiError> {
    let may = |name: &str| {
        lookup.may(&Attributes {
            group: GROUP,
            version: "*",
            name,
            ..Attributes::of(request.user, verb, "signers")
        })
    };
    let domain = signer.split('/').next().unwrap_or_default();
    if may(signer) || may(&format!("{domain}/*")) {
        return Ok(());
    }
    Err(request.forbidden(format!(
        "user not permitted to {verb} requests with signerName {signer:?}"
    )))
}

/// Nobody becomes almighty by a certificate.
fn no_masters(request: &Request, object: &Value) -> Result<(), ApiError> {
    let wanted = object["spec"]["request"].as_str().unwrap_or_default();
    match organizations(wanted) {
        Err(why) => Err(request.forbidden(format!("failed to parse CSR: {why}"))),
        Ok(groups) if groups.iter().any(|group| group == MASTERS) => Err(request.forbidden(
            format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"),
        )),
        Ok(_) => Ok(()),
    }
}
