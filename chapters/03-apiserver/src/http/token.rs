//! `serviceaccounts/token`: tokens on request, good for a while, and bound to what needs them.
//!
//! Upstream: `pkg/registry/core/serviceaccount/storage/token.go`.

use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::Body;
use super::call::{Call, decode_as};
use crate::authn::{Bound, TokenSpec};
use crate::registry::{Target, meta};
use crate::resources;
use crate::status::{ApiError, FieldError, Subject};
use crate::trace;

/// Mints a token for a service account.
///
/// # Errors
/// 422 if it is to be good for too short or too long, 404 or 409 if what it is to be bound to is not
/// there.
pub async fn create(call: &Call<'_>, body: &[u8]) -> Result<Response<Body>, ApiError> {
    const SHORTEST: i64 = 600;
    const LONGEST: i64 = 1 << 32;
    let schema = "io.k8s.api.authentication.v1.TokenRequest";
    let version = "authentication.k8s.io/v1";
    let mode = call.field_validation();
    let (mut request, _) = decode_as(schema, "TokenRequest", version, &call.json(body)?, mode)?;
    let target = Target {
        subresource: "",
        ..call.target()
    };
    let registry = &call.api.registry;
    let account = registry.get(&target).await?;
    registry.admit_part(&call.target(), &mut request, &call.writer())?;

    let seconds = request["spec"]["expirationSeconds"]
        .as_i64()
        .unwrap_or(3600);
    let problem = match seconds {
        i64::MIN..SHORTEST => Some("may not specify a duration less than 10 minutes"),
        SHORTEST..=LONGEST => None,
        _ => Some("may not specify a duration larger than 2^32 seconds"),
    };
    if let Some(problem) = problem {
        let error = FieldError::invalid("spec.expirationSeconds", &seconds.into(), problem);
        let group = "authentication.k8s.io";
        let subject = Subject {
            group,
            resource: "",
            kind: "TokenRequest",
            name: target.name,
        };
        return Err(ApiError::invalid(subject, &[error]));
    }
    let (bound, node) = bound_object(call, &request["spec"]["boundObjectRef"])?;
    let audiences: Vec<String> = request["spec"]["audiences"]
        .as_array()
        .map(|all| {
            all.iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    if let Some(bound) = &bound
        && let Some(resource) = resources::by_kind("", "v1", &bound.kind)
    {
        let key = match resource.namespaced {
            true => format!("{}/{}", target.namespace, bound.name),
            false => bound.name.clone(),
        };
        trace::note(|notes| notes.about.push(trace::Object::of(resource, &key)));
    }
    let now = Timestamp::now();
    let spec = TokenSpec {
        namespace: target.namespace.to_owned(),
        service_account: target.name.to_owned(),
        service_account_uid: meta::uid(&account).to_owned(),
        audiences: audiences.clone(),
        expiration_seconds: seconds,
        bound,
        node,
    };
    let token = call.api.tokens.mint(&spec, now.as_second());
    if audiences.is_empty() {
        request["spec"]["audiences"] = json!([call.api.tokens.issuer()]);
    }
    request["spec"]["expirationSeconds"] = seconds.into();
    let expires = now + std::time::Duration::from_secs(seconds.unsigned_abs());
    request["status"] = json!({"token": token, "expirationTimestamp": meta::time(expires)});
    request["metadata"] = json!({"name": target.name, "namespace": target.namespace,
        "creationTimestamp": meta::time(now)});
    Ok(call.answer(201, &request))
}

/// The object that a token is to be bound to; for a pod, its node too.
fn bound_object(
    call: &Call,
    reference: &Value,
) -> Result<(Option<Bound>, Option<Bound>), ApiError> {
    if reference.is_null() {
        return Ok((None, None));
    }
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let kind = text("kind");
    if !matches!(kind, "Pod" | "Secret" | "Node") {
        return Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to an object of kind {kind:?}",
            call.info.name
        )));
    }
    let object = |kind: &str, name: &str| {
        let resource = resources::by_kind("", "v1", kind).expect("these kinds are served");
        let namespace = if resource.namespaced {
            call.info.namespace.as_str()
        } else {
            ""
        };
        let target = Target {
            resource,
            subresource: "",
            namespace,
            name,
        };
        Ok::<_, ApiError>((call.api.registry.cached(&target)?, resource.plural))
    };
    let (found, plural) = object(kind, text("name"))?;
    let uid = meta::uid(&found);
    if !text("uid").is_empty() && text("uid") != uid {
        let subject = Subject {
            group: "",
            resource: plural,
            kind,
            name: text("name"),
        };
        return Err(ApiError::conflict(
            subject,
            format!(
                "the UID in the bound object reference ({}) does not match the UID in record. \
                The object might have been deleted and then recreated",
                text("uid")
            ),
        ));
    }
    if kind == "Pod" {
        let account = found["spec"]["serviceAccountName"]
            .as_str()
            .unwrap_or_default();
        if account != call.info.name {
            return Err(ApiError::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to pod running with different \
                 serviceaccount name.",
                call.info.name
            )));
        }
    }
    let bound = |kind: &str, object: &Value| Bound {
        kind: kind.to_owned(),
        name: meta::name(object).to_owned(),
        uid: meta::uid(object).to_owned(),
    };
    let node = match found["spec"]["nodeName"].as_str() {
        Some(name) if kind == "Pod" && !name.is_empty() => object("Node", name)
            .ok()
            .map(|(node, _)| bound("Node", &node)),
        _ => None,
    };
    Ok((Some(bound(kind, &found)), node))
}
