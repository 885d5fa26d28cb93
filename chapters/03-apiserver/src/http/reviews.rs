//! Questions about users and rights: `TokenReview`, `SubjectAccessReview` and their kin. They are
//! answered and forgotten.

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::answer::{self, Body};
use super::call::Call;
use super::gate;
use super::subresource;
use crate::authn::User;
use crate::authz::{Attributes, Decision};
use crate::registry::meta;
use crate::selectors::FieldSelector;
use crate::status::{ApiError, FieldError};

/// Answers a question.
///
/// # Errors
/// 400 if it is none.
pub async fn handle(call: &Call<'_>, body: Bytes) -> Result<Response<Body>, ApiError> {
    if call.resource.kind == "Binding" {
        return subresource::bind(call, "", &body).await;
    }
    let (mut review, warnings) = call.decode(&body)?;
    let spec = review["spec"].take();
    let status = match call.resource.kind {
        "TokenReview" => token_review(call, &spec),
        "SelfSubjectReview" => json!({"userInfo": user_info(&call.user)}),
        "SelfSubjectRulesReview" => {
            let namespace = spec["namespace"].as_str().unwrap_or_default();
            if namespace.is_empty() {
                return Err(ApiError::bad_request("no namespace on request"));
            }
            call.api
                .registry
                .authorizer()
                .rules_review(&call.user, namespace)
        }
        "SelfSubjectAccessReview" => access_review(call, &spec, &call.user)?,
        _ => access_review(call, &spec, &subject_of(call, &spec)?)?,
    };
    review["status"] = status;
    if !spec.is_null() {
        review["spec"] = spec;
    } else if let Some(fields) = review.as_object_mut() {
        fields.remove("spec");
    }
    let now = meta::time(jiff::Timestamp::now());
    meta::set(&mut review, "creationTimestamp", Some(now.into()));
    let mut response = call.answer(201, &review);
    answer::warn(&mut response, &warnings);
    Ok(response)
}

fn strings(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.groups.is_empty() {
        info["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

fn token_review(call: &Call, spec: &Value) -> Value {
    let token = spec["token"].as_str().unwrap_or_default();
    let audiences = strings(&spec["audiences"]);
    match gate::verify_token(&call.api, token, &audiences) {
        Ok(verified) => json!({"authenticated": true, "user": user_info(&verified.user),
            "audiences": verified.audiences}),
        Err(error) => json!({"user": {}, "error": error.to_string()}),
    }
}

/// Whom a `SubjectAccessReview` is about.
fn subject_of(call: &Call, spec: &Value) -> Result<User, ApiError> {
    let user = User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
        groups: strings(&spec["groups"]),
        extra: spec["extra"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, values)| (key.clone(), strings(values)))
            .collect(),
    };
    let mut errors = Vec::new();
    if user.name.is_empty() && user.groups.is_empty() {
        let detail = "at least one of user or group must be specified";
        errors.push(FieldError::invalid("spec.user", &json!(""), detail));
    }
    let namespace = spec["resourceAttributes"]["namespace"]
        .as_str()
        .unwrap_or_default();
    if call.resource.kind == "LocalSubjectAccessReview" && namespace != call.info.namespace {
        let detail = "must match metadata.namespace";
        let field = "spec.resourceAttributes.namespace";
        errors.push(FieldError::invalid(field, &namespace.into(), detail));
    }
    if errors.is_empty() {
        Ok(user)
    } else {
        Err(ApiError::invalid(call.target().subject(), &errors))
    }
}

fn access_review(call: &Call, spec: &Value, user: &User) -> Result<Value, ApiError> {
    let resource = &spec["resourceAttributes"];
    let path = &spec["nonResourceAttributes"];
    if resource.is_null() == path.is_null() {
        let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        let error = FieldError::invalid("spec.resourceAttributes", &Value::Null, detail);
        return Err(ApiError::invalid(call.target().subject(), &[error]));
    }
    fn text<'a>(value: &'a Value, field: &str) -> &'a str {
        value[field].as_str().unwrap_or_default()
    }
    let fields = FieldSelector::parse(text(&resource["fieldSelector"], "rawSelector")).ok();
    let attributes = if path.is_null() {
        Attributes {
            group: text(resource, "group"),
            version: text(resource, "version"),
            subresource: text(resource, "subresource"),
            namespace: text(resource, "namespace"),
            name: text(resource, "name"),
            fields: fields.as_ref(),
            ..Attributes::of(user, text(resource, "verb"), text(resource, "resource"))
        }
    } else {
        Attributes::of_path(user, text(path, "verb"), text(path, "path"))
    };
    Ok(
        match call.api.registry.authorizer().authorize(&attributes) {
            Decision::Allow(reason) if reason.is_empty() => json!({"allowed": true}),
            Decision::Allow(reason) => json!({"allowed": true, "reason": reason}),
            Decision::Deny(_) => json!({"allowed": false}),
        },
    )
}
