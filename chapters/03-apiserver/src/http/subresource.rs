//! Parts of objects, and verbs in the shape of parts: `status`, `approval`, `scale`, `binding`, `eviction`,
//! `token`, `finalize`.

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::Body;
use super::call::{Call, decode_as};
use super::eviction;
use super::negotiate::{self, Offer};
use super::patching::{self, PatchType};
use super::resource;
use super::token;
use crate::apply;
use crate::custom;
use crate::registry::write::Writer;
use crate::registry::{Target, meta, scale};
use crate::resources::{self, Resource};
use crate::status::{ApiError, FieldError, Subject};

/// Answers a request for a part of an object.
///
/// # Errors
/// What the client reads as a `Status`.
pub async fn handle(call: &Call<'_>, body: Bytes) -> Result<Response<Body>, ApiError> {
    if matches!(
        &*call.info.subresource,
        "scale" | "binding" | "eviction" | "token"
    ) {
        // Before anything is done, so that what is done can be told.
        negotiate::accept(&call.headers, Offer::Plain)?;
    }
    match call.info.subresource.as_str() {
        // The object itself, of which only a part can be written here.
        "approval" | "status" | "finalize" | "ephemeralcontainers" | "resize" => {
            resource::handle(call, body).await
        }
        "scale" => scale(call, &body).await,
        "binding" => bind(call, &call.info.name, &body).await,
        "eviction" => eviction::evict(call, body).await,
        "token" => token::create(call, &body).await,
        _ => Err(ApiError::no_such_path()),
    }
}

const SCALE_SCHEMA: &str = "io.k8s.api.autoscaling.v1.Scale";

async fn scale(call: &Call<'_>, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let target = call.target();
    let registry = &call.api.registry;
    let mode = call.field_validation();
    let written = match call.info.verb {
        "get" => registry.get(&target).await?,
        "update" => {
            let json = call.json(body)?;
            let (wanted, _) = decode_as(SCALE_SCHEMA, "Scale", "autoscaling/v1", &json, mode)?;
            call.check_address(&wanted)?;
            let scale = |live: Option<&Value>| scaled(&target, live, |_| Ok(wanted.clone()));
            registry
                .update(&target, &call.writer(), scale)
                .await?
                .object
        }
        "patch" => {
            let patch_type = PatchType::of(call)?;
            if patch_type == PatchType::Apply {
                let written = apply_scale(call, &patching::apply_config(call, body)?.0).await?;
                return Ok(call.answer(200, &scale::of(call.resource, &written)?));
            }
            let scale = |live: Option<&Value>| {
                scaled(&target, live, |scale| {
                    let patched = patch_type.patch(SCALE_SCHEMA, scale, body)?.to_string();
                    let patched = patched.as_bytes();
                    Ok(decode_as(SCALE_SCHEMA, "Scale", "autoscaling/v1", patched, mode)?.0)
                })
            };
            registry
                .update(&target, &call.writer(), scale)
                .await?
                .object
        }
        _ => return Err(ApiError::method_not_allowed()),
    };
    Ok(call.answer(200, &scale::of(call.resource, &written)?))
}

/// Applies a `Scale`: its replicas are a field of the object's, and are owned as that field.
async fn apply_scale(call: &Call<'_>, config: &Value) -> Result<Value, ApiError> {
    let target = call.target();
    let resource = call.resource;
    let (version, now) = (resource.api_version(), meta::time(Timestamp::now()));
    let writer = Writer {
        apply: true,
        ..call.writer()
    };
    let applied = |live: Option<&Value>| {
        let live = live.ok_or_else(|| ApiError::not_found(target.subject()))?;
        apply::check_scale(config)?;
        let replicas = config["spec"]["replicas"].as_i64();
        check_replicas(&target, replicas.unwrap_or(0))?;
        let mut wanted = json!({"apiVersion": version, "kind": resource.kind, "metadata": {}});
        // Of a scale's metadata, what says which object is meant.
        for field in ["name", "namespace", "uid", "resourceVersion"] {
            let said = config["metadata"].get(field).filter(|said| !said.is_null());
            meta::set(&mut wanted, field, said.cloned());
        }
        if let Some(replicas) = replicas {
            *replicas_in(resource, &mut wanted) = replicas.into();
        }
        let mut applied = apply::apply(
            apply::Typed::of(resource),
            Some(live),
            &wanted,
            &call.manager,
            call.query.flag("force"),
            target.subresource,
            &version,
            &now,
        )?;
        if replicas_in(resource, &mut applied).is_null() {
            // Nobody says how many any more.
            *replicas_in(resource, &mut applied) = 0.into();
        }
        Ok(applied)
    };
    let written = call.api.registry.update(&target, &writer, applied).await?;
    Ok(written.object)
}

/// Where an object says how many it wants.
fn replicas_in<'a>(resource: &Resource, object: &'a mut Value) -> &'a mut Value {
    let path = resource.custom.map(custom::replicas_path);
    let path = path.unwrap_or_else(|| vec!["spec", "replicas"]);
    path.into_iter()
        .fold(object, |value, name| &mut value[name])
}

fn check_replicas(target: &Target, replicas: i64) -> Result<(), ApiError> {
    if replicas >= 0 {
        return Ok(());
    }
    let detail = "must be greater than or equal to 0";
    let error = FieldError::invalid("spec.replicas", &replicas.into(), detail);
    let subject = Subject {
        group: "autoscaling",
        resource: "",
        kind: "Scale",
        name: target.name,
    };
    Err(ApiError::invalid(subject, &[error]))
}

/// A live object with the replicas of its changed `Scale`.
fn scaled(
    target: &Target,
    live: Option<&Value>,
    change: impl FnOnce(&Value) -> Result<Value, ApiError>,
) -> Result<Value, ApiError> {
    let live = live.ok_or_else(|| ApiError::not_found(target.subject()))?;
    // One that does not say how many it wants can be told here.
    let scale = scale::of(target.resource, live).unwrap_or_else(|_| scale::built_in(live));
    let scale = change(&scale)?;
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    check_replicas(target, replicas)?;
    let mut object = live.clone();
    *replicas_in(target.resource, &mut object) = replicas.into();
    let version = scale["metadata"].get("resourceVersion").cloned();
    meta::set(&mut object, "resourceVersion", version);
    Ok(object)
}

/// Binds a pod to a node, once: what a scheduler does.
///
/// # Errors
/// 409 if the pod is bound already, or ends.
pub async fn bind(call: &Call<'_>, pod: &str, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let mode = call.field_validation();
    let schema = "io.k8s.api.core.v1.Binding";
    let (mut binding, _) = decode_as(schema, "Binding", "v1", &call.json(body)?, mode)?;
    let named = meta::name(&binding).to_owned();
    let pod = if pod.is_empty() { named.as_str() } else { pod };
    let node = binding["target"]["name"].as_str().unwrap_or_default();
    let kind = binding["target"]["kind"].as_str().unwrap_or_default();
    let mut errors = Vec::new();
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported(
            "target.kind",
            &kind.into(),
            &["Node", "<empty>"],
        ));
    }
    if node.is_empty() {
        errors.push(FieldError::required("target.name", ""));
    }
    if !errors.is_empty() {
        let subject = Subject {
            group: "",
            resource: "",
            kind: "Binding",
            name: pod,
        };
        return Err(ApiError::invalid(subject, &errors));
    }
    let resource = resources::by_kind("", "v1", "Pod").expect("pods are served");
    let target = Target {
        resource,
        subresource: "binding",
        namespace: &call.info.namespace,
        name: pod,
    };
    call.api
        .registry
        .admit_part(&target, &mut binding, &call.writer())?;
    let node = binding["target"]["name"].as_str().unwrap_or_default();
    let refused = |why: String| {
        let subject = Subject {
            group: "",
            resource: "pods/binding",
            kind: "Binding",
            name: pod,
        };
        ApiError::conflict(subject, why)
    };
    let uid = meta::uid(&binding);
    call.api
        .registry
        .update(&target, &call.writer(), |live| {
            let live = live.ok_or_else(|| ApiError::not_found(target.subject()))?;
            let bound = live["spec"]["nodeName"].as_str().unwrap_or_default();
            if !uid.is_empty() && uid != meta::uid(live) {
                return Err(refused(format!(
                    "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                    meta::uid(live)
                )));
            }
            if meta::is_terminating(live) {
                return Err(refused(format!(
                    "pod {pod} is being deleted, cannot be assigned to a host"
                )));
            }
            if !bound.is_empty() {
                return Err(refused(format!(
                    "pod {pod} is already assigned to node {bound:?}"
                )));
            }
            let mut object = live.clone();
            object["spec"]["nodeName"] = node.into();
            for (key, value) in binding["metadata"]["annotations"]
                .as_object()
                .into_iter()
                .flatten()
            {
                object["metadata"]["annotations"][key] = value.clone();
            }
            let condition = json!({"type": "PodScheduled", "status": "True",
                "lastProbeTime": null, "lastTransitionTime": meta::time(Timestamp::now())});
            set_condition(&mut object, condition);
            Ok(object)
        })
        .await?;
    Ok(call.answer(
        201,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Success", "code": 201}),
    ))
}

/// Adds a condition to a status, or puts it in the place of the one of its type.
pub(super) fn set_condition(object: &mut Value, condition: Value) {
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = json!([]);
    }
    if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
        conditions.retain(|other| other["type"] != condition["type"]);
        conditions.push(condition);
    }
}
