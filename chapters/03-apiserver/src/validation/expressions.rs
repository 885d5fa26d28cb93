//! Expressions in CEL that are only checked here: of policies, of webhooks' conditions, of
//! selectors of devices.
//!
//! Upstream: `CompileCELExpression` of `apiserver/pkg/admission/plugin/cel/compile.go` and of
//! `dynamic-resource-allocation/cel/compile.go`. Left out: what an expression would cost, and that
//! an expression which is stored already need not be known to a newer compiler.

use serde_json::Value;

use super::check::{Errors, text};
use crate::cel::{BOOL, Environment, Expression, Type};
use crate::status::FieldError;

/// Checks an expression, which is to be of one of these types, or of any if there are none.
/// What it is, if it is anything.
pub(super) fn expression(
    errors: &mut Errors,
    code: &str,
    at: &str,
    environment: &Environment,
    wanted: &[Type],
) -> Option<Type> {
    match result_of(code, environment, wanted) {
        Ok(found) => Some(found),
        Err(wrong) => {
            errors.push(FieldError::invalid(at, &code.into(), wrong));
            None
        }
    }
}

fn result_of(code: &str, environment: &Environment, wanted: &[Type]) -> Result<Type, String> {
    let found = compiled(code, environment)?;
    let names: Vec<String> = wanted.iter().map(Type::full_name).collect();
    match names.as_slice() {
        _ if wanted.is_empty() || wanted.contains(&found) => Ok(found),
        [one] => Err(format!(
            "must evaluate to {one} but got {}",
            found.full_name()
        )),
        many => Err(format!(
            "must evaluate to one of [{}] but got {}",
            many.join(" "),
            found.full_name()
        )),
    }
}

fn compiled(code: &str, environment: &Environment) -> Result<Type, String> {
    let compiled = Expression::compile(code, environment);
    let compiled = compiled.map_err(|wrong| format!("compilation failed: {wrong}"))?;
    Ok(compiled.result().clone())
}

/// Checks a selector of devices.
pub(super) fn selector(errors: &mut Errors, selector: &Value, at: &str) {
    let code = text(selector, "expression");
    let wrong = match compiled(code, &Environment::device()) {
        Ok(found) if found == BOOL || found == Type::Dyn => return,
        Ok(found) => format!(
            "must evaluate to bool or the unknown type, not {}",
            found.full_name()
        ),
        Err(wrong) => wrong,
    };
    errors.push(FieldError::invalid(at, &code.into(), wrong));
}
