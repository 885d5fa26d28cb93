//! Questions about users and rights: `TokenReview`, `SubjectAccessReview` and their kin. They are
//! answered and forgotten.

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::access;
use super::answer::{self, Body};
use super::call::Call;
use super::gate;
use super::subresource;
use crate::authn::User;
use crate::registry::meta;
use crate::status::ApiError;

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
        kind => {
            access::check(call, &review, &spec)?;
            match kind {
                "SelfSubjectAccessReview" => access::review(call, &spec, &call.user),
                _ => access::review(call, &spec, &subject_of(&spec)),
            }
        }
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
fn subject_of(spec: &Value) -> User {
    User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
        groups: strings(&spec["groups"]),
        extra: spec["extra"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, values)| (key.clone(), strings(values)))
            .collect(),
    }
}
