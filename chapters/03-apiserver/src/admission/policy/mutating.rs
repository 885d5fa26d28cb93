//! MutatingAdmissionPolicies: what they make of an object.
//!
//! Upstream: `apiserver/pkg/admission/plugin/policy/mutating/{dispatcher.go,patch/}`.

use serde_json::{Value, json};

use super::activation::{Activation, COST_MAX, Compiled};
use super::asked::Asked;
use super::compile::{Binding, Does, Mutation, Policy};
use super::matching::Seen;
use super::{Met, World, invocations, meets_conditions};
use crate::admission::Request;
use crate::apply;
use crate::cel::{Budget, Val};
use crate::defaults;
use crate::patch;
use crate::registry::{events, keys};
use crate::resources::Resource;
use crate::status::ApiError;

/// Has the policies change the object of a request, one after the other. `again`: only those that
/// want a second turn. Whether any changed it.
///
/// # Errors
/// If one could not do what it is for, and its `failurePolicy` is `Fail`.
pub(super) fn ask(
    policies: &[Policy],
    request: &mut Request,
    world: &dyn World,
    again: bool,
) -> Result<bool, ApiError> {
    if request.object.is_none() {
        return Ok(false);
    }
    let mut failures = Vec::new();
    let mut changed = false;
    for policy in policies {
        let Does::Mutate {
            mutations,
            again_if_needed,
        } = &policy.does
        else {
            continue;
        };
        if again && !again_if_needed {
            continue;
        }
        let asked = Asked::of(request);
        let (invocations, broken) = invocations(policy, &asked, world);
        let broken = broken.into_iter();
        failures.extend(broken.map(|(binding, why)| failure(policy, binding, &why)));
        let mut object = None;
        for (binding, seen, params) in invocations {
            let variables = &policy.variables;
            let activation = || Activation::new(&asked, &seen, params.as_ref(), variables, world);
            match meets_conditions(policy, &activation()) {
                Met::Yes => {}
                Met::No => continue,
                Met::Unknown(why) => {
                    failures.push(failure(policy, Some(binding), &why));
                    continue;
                }
            }
            for mutation in mutations {
                let before = object.as_ref().or(asked.object.as_ref()).expect("is there");
                let shown = asked.see(&seen, before);
                let activation = activation().with_object(&shown);
                match mutate(mutation, &shown, &activation, &seen, &asked) {
                    Ok(made) => object = Some(made),
                    Err(why) => failures.push(failure(policy, Some(binding), &why)),
                }
            }
        }
        let made = object.map(|object| stored(asked.resource, object));
        if let (Some(made), Some(object)) = (made, request.object.as_deref_mut())
            && made != *object
        {
            *object = made;
            changed = true;
        }
    }
    failures.retain(|failure| !failure.ignored);
    match failures.is_empty() {
        true => Ok(changed),
        false => Err(refused(request, failures)),
    }
}

/// One mutation of an object, as the policy sees it; what it makes is as the request has it.
fn mutate(
    mutation: &Mutation,
    shown: &Value,
    activation: &Activation,
    seen: &Seen,
    asked: &Asked,
) -> Result<Value, String> {
    let evaluated = |compiled: &Compiled| {
        let found = activation.evaluate(compiled, &mut Budget::new(COST_MAX));
        found.map_err(|wrong| wrong.message())
    };
    let resource = match seen {
        Seen::AsAsked => *asked.resource,
        Seen::As(other) => other.resource(),
    };
    let made = match mutation {
        Mutation::Apply(expression) => merged(&resource, shown, &evaluated(expression)?)?,
        Mutation::Patch(expression) => patched(shown, &evaluated(expression)?)?,
    };
    // What it adds has defaults as well, and it is kept as all objects of its kind are.
    let stored = stored(&resource, made);
    Ok(events::present(asked.resource, stored))
}

fn stored(resource: &Resource, object: Value) -> Value {
    let mut stored = events::to_stored(resource, object);
    defaults::apply_defaults(&keys::stored_as(resource), &mut stored);
    stored
}

/// A piece of an object, merged into it as server-side apply would, but owned by nobody.
fn merged(resource: &Resource, object: &Value, piece: &Val) -> Result<Value, String> {
    check_type_names(piece)?;
    let mut piece = piece.to_json();
    piece["apiVersion"] = resource.api_version().into();
    piece["kind"] = resource.kind.into();
    apply::merge_piece(apply::Typed::of(resource), object, &piece)
        .map_err(|why| format!("error applying patch: {why}"))
}

/// Checks that the types in an object are those of its fields: their names are paths, and the
/// checker of types does not know what is where.
fn check_type_names(value: &Val) -> Result<(), String> {
    match value.misnamed() {
        faults if faults.is_empty() => Ok(()),
        faults => Err(format!("type mismatch: {}", faults.join("\n"))),
    }
}

/// A list of operations, carried out. One whose `test` fails leaves the object as it is.
fn patched(object: &Value, operations: &Val) -> Result<Value, String> {
    let Val::List(operations) = operations else {
        let why = "type mismatch: JSONPatchType.expression should evaluate to array";
        return Err(why.to_owned());
    };
    let mut list = Vec::new();
    for operation in operations.iter() {
        if let Val::Made(made) = operation
            && let Some(value @ Val::Made(_)) = made.fields.get("value")
        {
            check_type_names(value)?;
        }
        list.push(operation.to_json());
    }
    let list: Result<Vec<patch::Operation>, _> = serde_json::from_value(json!(list));
    let list = list.map_err(|wrong| format!("JSONPath: {wrong}"))?;
    match patch::carry_out(object, &list) {
        Ok(made) => Ok(made),
        Err(misfit) if misfit.is_failed_test => Ok(object.clone()),
        Err(misfit) => Err(format!("JSONPath: {}", misfit.detail)),
    }
}

/// Something that kept a policy from its work.
struct Failure {
    message: String,
    ignored: bool,
}

fn failure(policy: &Policy, binding: Option<&Binding>, why: &str) -> Failure {
    let message = match binding {
        Some(binding) => format!(
            "policy '{}' with binding '{}' denied request: {why}",
            policy.name, binding.name
        ),
        None => format!("policy {:?} denied request: {why}", policy.name),
    };
    Failure {
        message,
        ignored: policy.ignores_failures,
    }
}

fn refused(request: &Request, failures: Vec<Failure>) -> ApiError {
    let mut error = request.forbidden("admission request denied by policy");
    error.reason = "Invalid";
    for failure in &failures {
        error.add_cause(failure.message.clone());
    }
    error.message = failures.into_iter().next().expect("there are some").message;
    error
}
