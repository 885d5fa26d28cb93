//! Policies: admission by rules that clients write, in CEL.
//!
//! ```text
//!  policy:   for which requests, by which parameters      binding: puts a policy into force,
//!            match conditions ─ variables ─ rules                  for fewer requests, with these
//!                                   │                              parameters
//!               true, or what is against it; or a piece of an object to be merged into it
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `compile.rs` | policies and bindings as they are stored, understood |
//! | `asked.rs` | the request as they look at it |
//! | `matching.rs` | which requests they are about |
//! | `params.rs` | the objects that a binding hands to its policy |
//! | `activation.rs` | what the names in expressions stand for |
//! | `validating.rs`, `mutating.rs` | what comes of them |
//!
//! [`Policies`] is all of them at a moment; a change of one makes it anew before the next write.
//! (Upstream looks for changes once a second.) What mutates runs after the plugins that change
//! objects, and they run once more if it changed anything; what validates runs after validation,
//! and before quotas are charged.
//!
//! Left out: audit annotations are evaluated but kept nowhere, as there is no audit log; the types
//! of expressions against the schemas that a policy is about (`status.typeChecking`), which
//! upstream's controller manager fills in.
//!
//! Upstream: `apiserver/pkg/admission/plugin/policy`; KEP-3488, KEP-3962.

mod activation;
mod asked;
mod compile;
mod matching;
mod mutating;
mod params;
#[cfg(test)]
mod tests;
mod validating;

use serde_json::Value;

use self::activation::{Activation, CONDITIONS_COST_MAX};
use self::asked::Asked;
use self::compile::{Binding, Policy};
use self::matching::Seen;
use super::{Lookup, Request};
use crate::authz::{Attributes, Decision};
use crate::cel::{Budget, Val};
use crate::resources::{Resource, Served};
use crate::status::ApiError;

/// What there is beside what other plugins look at.
pub trait World: Lookup {
    /// The resource of a kind, if it is served.
    fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<Served>;
    /// The same objects under other versions or groups.
    fn equivalents(&self, resource: &Resource) -> Vec<Served>;
    /// An object of any resource.
    fn object(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Value>;
    /// All objects of any resource, in one namespace if it is not empty.
    fn objects(&self, resource: &Resource, namespace: &str) -> Vec<Value>;
    /// Whether somebody may do something.
    fn authorize(&self, attributes: &Attributes) -> Decision;
}

/// The resources whose objects make policies: policies and bindings, of those that validate and of
/// those that mutate.
pub const KINDS: [&str; 4] = [
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
];

/// All policies that are in force.
#[derive(Debug, Default)]
pub struct Policies {
    validating: Vec<Policy>,
    mutating: Vec<Policy>,
}

impl Policies {
    /// From the objects of [`KINDS`], in that order; each sorted by name, which is the order in
    /// which they run.
    pub fn of(objects: [Vec<Value>; 4]) -> Policies {
        let [validating, bound, mutating, bound_mutating] = objects;
        let read = |policies: Vec<Value>, bindings: Vec<Value>, validates| {
            let read = |policy: &Value| Policy::read(policy, &bindings, validates);
            policies.iter().filter_map(read).collect()
        };
        Policies {
            validating: read(validating, bound, true),
            mutating: read(mutating, bound_mutating, false),
        }
    }

    /// Whether any validates.
    pub fn validate_any(&self) -> bool {
        !self.validating.is_empty()
    }

    /// Has them change the object of a request; `again`: those that want to after others have.
    /// Whether any did.
    ///
    /// # Errors
    /// If one could not, and must.
    pub fn mutate(
        &self,
        request: &mut Request,
        world: &dyn World,
        again: bool,
    ) -> Result<bool, ApiError> {
        if self.mutating.is_empty() || is_exempt(request.resource) {
            return Ok(false);
        }
        mutating::ask(&self.mutating, request, world, again)
    }

    /// Asks those that validate; `warnings` are for whoever asked.
    ///
    /// # Errors
    /// What one of them has against the request.
    pub fn validate(
        &self,
        request: &Request,
        world: &dyn World,
        warnings: &mut Vec<String>,
    ) -> Result<(), ApiError> {
        if self.validating.is_empty() || is_exempt(request.resource) {
            return Ok(());
        }
        validating::ask(&self.validating, request, world, warnings)
    }
}

/// What decides about admission is not subject to it: a policy that is against everything can be
/// taken away again.
fn is_exempt(resource: &Resource) -> bool {
    resource.group == "admissionregistration.k8s.io"
}

type Invocation<'a> = (&'a Binding, Seen, Option<Value>);
/// Of a binding, or the policy itself.
type Broken<'a> = (Option<&'a Binding>, String);

/// With which bindings and parameters a policy is to be asked, and what is wrong with it or them.
fn invocations<'a>(
    policy: &'a Policy,
    asked: &Asked,
    world: &dyn World,
) -> (Vec<Invocation<'a>>, Vec<Broken<'a>>) {
    let (mut all, mut broken) = (Vec::new(), Vec::new());
    let of_policy = |why: String| (None, format!("failed to configure policy: {why}"));
    let seen = match policy.constraints.matches(asked, world) {
        Ok(Some(seen)) => seen,
        Ok(None) => return (all, broken),
        Err(error) => return (all, vec![of_policy(error.message)]),
    };
    if let Some((api_version, kind)) = &policy.param_kind
        && let Err(why) = params::resource(api_version, kind, world)
    {
        return (all, vec![of_policy(why)]);
    }
    for binding in &policy.bindings {
        let of_binding =
            |why: String| (Some(binding), format!("failed to configure binding: {why}"));
        let matches = binding.matches.as_ref();
        match matches.map(|matches| matches.matches(asked, world)) {
            None | Some(Ok(Some(_))) => {}
            Some(Ok(None)) => continue,
            Some(Err(error)) => {
                broken.push(of_binding(error.message));
                continue;
            }
        }
        match params::of(policy, binding, asked.namespace, world) {
            Ok(params) => {
                all.extend(
                    params
                        .into_iter()
                        .map(|params| (binding, seen.clone(), params)),
                );
            }
            Err(why) => broken.push(of_binding(why)),
        }
    }
    (all, broken)
}

/// Whether a policy's match conditions hold.
enum Met {
    Yes,
    No,
    /// None is false, but these could not be evaluated.
    Unknown(String),
}

/// Upstream: `apiserver/pkg/admission/plugin/webhook/matchconditions/matcher.go`.
fn meets_conditions(policy: &Policy, activation: &Activation) -> Met {
    let mut budget = Budget::new(CONDITIONS_COST_MAX);
    let mut wrongs = Vec::new();
    for condition in &policy.conditions {
        match activation.evaluate(condition, &mut budget) {
            Ok(Val::Bool(false)) => return Met::No,
            Ok(_) => {}
            Err(activation::Wrong::Budget) => {
                wrongs = vec![activation::Wrong::Budget.message()];
                break;
            }
            Err(wrong) => wrongs.push(wrong.message()),
        }
    }
    match wrongs.len() {
        0 => Met::Yes,
        _ if policy.ignores_failures => Met::No,
        1 => Met::Unknown(wrongs.remove(0)),
        _ => Met::Unknown(format!("[{}]", wrongs.join(", "))),
    }
}

/// A list of an object; empty if absent.
fn list<'a>(of: &'a Value, field: &str) -> &'a [Value] {
    of[field].as_array().map(Vec::as_slice).unwrap_or_default()
}
