//! ValidatingAdmissionPolicies: what they have against a write.
//!
//! Upstream: `apiserver/pkg/admission/plugin/policy/validating/{dispatcher,validator}.go`.

use super::activation::{Activation, COST_MAX, Wrong};
use super::asked::Asked;
use super::compile::{Binding, Does, Policy, Validation};
use super::{Met, World, invocations, meets_conditions};
use crate::admission::Request;
use crate::cel::{Budget, Val};
use crate::status::ApiError;

/// Most bytes of a message that an expression may make.
const MESSAGE_BYTES_MAX: usize = 5 * 1024;

/// Something that a policy has against a write.
#[derive(Debug)]
struct Decision {
    message: String,
    /// Empty: `Invalid`.
    reason: String,
}

impl Decision {
    fn error(message: String) -> Decision {
        Decision {
            message,
            reason: String::new(),
        }
    }
}

/// A decision to deny, and whose it is.
#[derive(Debug)]
struct Denial<'a> {
    policy: &'a Policy,
    /// None: something is wrong with the policy itself.
    binding: Option<&'a Binding>,
    decision: Decision,
}

/// Asks all policies. What they only warn of is added to `warnings`.
///
/// # Errors
/// The first of the denials, as upstream answers it.
pub(super) fn ask(
    policies: &[Policy],
    request: &Request,
    world: &dyn World,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    let asked = Asked::of(request);
    let mut denials = Vec::new();
    for policy in policies {
        let (invocations, broken) = invocations(policy, &asked, world);
        // What is wrong with the policy or a binding is decided by its `failurePolicy`.
        let broken = broken.into_iter().filter(|_| !policy.ignores_failures);
        denials.extend(broken.map(|(binding, message)| Denial {
            policy,
            binding,
            decision: Decision::error(message),
        }));
        for (binding, seen, params) in invocations {
            let variables = &policy.variables;
            let activation = || Activation::new(&asked, &seen, params.as_ref(), variables, world);
            for decision in decide(policy, activation) {
                if binding.warns {
                    warnings.push(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                        policy.name, binding.name, decision.message
                    ));
                }
                if binding.denies {
                    denials.push(Denial {
                        policy,
                        binding: Some(binding),
                        decision,
                    });
                }
            }
        }
    }
    match denials.into_iter().next() {
        Some(denial) => Err(denied(request, denial)),
        None => Ok(()),
    }
}

/// What one policy with one set of parameters has against the request.
fn decide<'a>(policy: &Policy, activation: impl Fn() -> Activation<'a>) -> Vec<Decision> {
    let Does::Validate {
        validations,
        annotations,
    } = &policy.does
    else {
        return Vec::new();
    };
    let failed = |message: String| match policy.ignores_failures {
        true => Vec::new(),
        false => vec![Decision::error(message)],
    };
    let all = activation();
    match meets_conditions(policy, &all) {
        Met::Yes => {}
        Met::No => return Vec::new(),
        Met::Unknown(message) => return failed(message),
    }
    let mut budget = Budget::new(COST_MAX);
    let mut results = Vec::new();
    for validation in validations {
        match all.evaluate(&validation.expression, &mut budget) {
            // Nothing can be said of the others either.
            Err(Wrong::Budget) => return failed(Wrong::Budget.message()),
            result => results.push(result),
        }
    }
    let telling = activation().without_authorizer();
    let mut decisions = Vec::new();
    for (validation, result) in validations.iter().zip(results) {
        match result {
            Ok(Val::Bool(true)) => {}
            Ok(_) => decisions.push(Decision {
                message: message(validation, &telling, &mut budget),
                reason: validation.reason.clone(),
            }),
            Err(wrong) => decisions.extend(failed(wrong.message())),
        }
    }
    let mut budget = Budget::new(COST_MAX);
    for annotation in annotations {
        match all.evaluate(annotation, &mut budget) {
            Ok(Val::Text(_) | Val::Null) => {}
            Ok(other) => decisions.push(Decision::error(format!(
                "valueExpression '{}' resulted in unsupported return type: {}. Return type must \
                 be either string or null.",
                annotation.text,
                other.type_name()
            ))),
            Err(wrong) => decisions.extend(failed(wrong.message())),
        }
    }
    decisions
}

/// What to tell of a validation that failed: what its expression says, or else its fixed text, or
/// else the rule itself.
fn message(validation: &Validation, telling: &Activation, budget: &mut Budget) -> String {
    let told = validation.message_expression.as_ref();
    let told = told.and_then(|told| match telling.evaluate(told, budget) {
        Ok(Val::Text(text)) => Some(text.trim().to_owned()),
        _ => None,
    });
    let fits =
        |text: &String| !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
    let fixed = || Some(validation.message.clone()).filter(|text| !text.is_empty());
    told.filter(fits)
        .or_else(fixed)
        .unwrap_or_else(|| format!("failed expression: {}", validation.expression.text.trim()))
}

fn denied(request: &Request, denial: Denial) -> ApiError {
    let Denial {
        policy,
        binding,
        decision,
    } = denial;
    let by = binding.map_or(String::new(), |binding| {
        format!(" with binding '{}'", binding.name)
    });
    let message = format!(
        "ValidatingAdmissionPolicy '{}'{by} denied request: {}",
        policy.name, decision.message
    );
    let mut error = request.forbidden(&message);
    (error.code, error.reason) = match decision.reason.as_str() {
        "Forbidden" => (403, "Forbidden"),
        "Unauthorized" => (401, "Unauthorized"),
        "RequestEntityTooLarge" => (413, "RequestEntityTooLarge"),
        _ => (422, "Invalid"),
    };
    error.add_cause(message);
    error
}
