//! Policies and bindings as they are stored, understood.

use std::collections::BTreeMap;

use serde_json::Value;

use super::activation::Compiled;
use super::list;
use super::matching::Match;
use crate::cel::{Environment, Expression, Type};

/// A policy that somebody has bound.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) constraints: Match,
    /// What goes wrong is passed over.
    pub(super) ignores_failures: bool,
    /// `apiVersion` and `kind` of its parameters.
    pub(super) param_kind: Option<(String, String)>,
    pub(super) conditions: Vec<Compiled>,
    pub(super) variables: Vec<Variable>,
    pub(super) does: Does,
    pub(super) bindings: Vec<Binding>,
}

/// What a policy does about a request.
#[derive(Debug)]
pub(super) enum Does {
    Validate {
        validations: Vec<Validation>,
        /// Evaluated, since an error in one denies the request; nobody keeps them yet, there being
        /// no audit log.
        annotations: Vec<Compiled>,
    },
    Mutate {
        mutations: Vec<Mutation>,
        /// Once more, if the object was changed after it had its turn.
        again_if_needed: bool,
    },
}

/// `variables.NAME`
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: Compiled,
}

/// One of `spec.validations`.
#[derive(Debug)]
pub(super) struct Validation {
    pub(super) expression: Compiled,
    pub(super) message: String,
    pub(super) message_expression: Option<Compiled>,
    /// `Invalid` if it says none.
    pub(super) reason: String,
}

/// One of `spec.mutations`.
#[derive(Debug)]
pub(super) enum Mutation {
    /// A piece of the object, to be merged into it.
    Apply(Compiled),
    /// Operations of RFC 6902.
    Patch(Compiled),
}

/// What puts a policy into force.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    /// None: wherever the policy is.
    pub(super) matches: Option<Match>,
    /// Which parameters, null for none.
    pub(super) param_ref: Value,
    pub(super) denies: bool,
    pub(super) warns: bool,
}

impl Policy {
    /// A policy with those of the bindings that are its own. None if there are no such.
    pub(super) fn read(policy: &Value, bindings: &[Value], validates: bool) -> Option<Policy> {
        let name = text(&policy["metadata"], "name");
        let own = |binding: &&Value| binding["spec"]["policyName"] == name.as_str();
        let bindings: Vec<Binding> = bindings.iter().filter(own).map(Binding::read).collect();
        if bindings.is_empty() {
            return None;
        }
        let spec = &policy["spec"];
        let kind = &spec["paramKind"];
        let environment = Environment::admission(!kind.is_null());
        let conditions = list(spec, "matchConditions").iter();
        let conditions = conditions
            .map(|it| compiled(it, "expression", &environment))
            .collect();
        let (variables, environment) = variables(spec, environment);
        Some(Policy {
            constraints: Match::read(&spec["matchConstraints"]),
            ignores_failures: spec["failurePolicy"] == "Ignore",
            param_kind: (!kind.is_null()).then(|| (text(kind, "apiVersion"), text(kind, "kind"))),
            conditions,
            variables,
            does: match validates {
                true => validate(spec, &environment),
                false => mutate(spec, environment),
            },
            bindings,
            name,
        })
    }
}

impl Binding {
    fn read(binding: &Value) -> Binding {
        let spec = &binding["spec"];
        let has = |action: &str| {
            list(spec, "validationActions")
                .iter()
                .any(|it| it == action)
        };
        let matches = &spec["matchResources"];
        Binding {
            name: text(&binding["metadata"], "name"),
            matches: (!matches.is_null()).then(|| Match::read(matches)),
            param_ref: spec["paramRef"].clone(),
            denies: has("Deny"),
            warns: has("Warn"),
        }
    }
}

/// The variables; each may name those before it.
fn variables(spec: &Value, environment: Environment) -> (Vec<Variable>, Environment) {
    let mut types = BTreeMap::new();
    let mut environment = environment.with_variables(&types);
    let mut variables = Vec::new();
    for variable in list(spec, "variables") {
        let (name, value) = (
            text(variable, "name"),
            compiled(variable, "expression", &environment),
        );
        let of = value.expression.as_ref();
        types.insert(name.clone(), of.map_or(Type::Dyn, |it| it.result().clone()));
        environment = environment.with_variables(&types);
        variables.push(Variable { name, value });
    }
    (variables, environment)
}

fn validate(spec: &Value, environment: &Environment) -> Does {
    let told = environment.clone().without("authorizer");
    let validation = |validation: &Value| Validation {
        expression: compiled(validation, "expression", environment),
        message: text(validation, "message").trim().to_owned(),
        message_expression: validation["messageExpression"]
            .is_string()
            .then(|| compiled(validation, "messageExpression", &told)),
        reason: text(validation, "reason"),
    };
    let annotations = list(spec, "auditAnnotations").iter();
    Does::Validate {
        validations: list(spec, "validations").iter().map(validation).collect(),
        annotations: annotations
            .map(|it| compiled(it, "valueExpression", environment))
            .collect(),
    }
}

fn mutate(spec: &Value, environment: Environment) -> Does {
    let environment = environment.making_patches();
    let mutation = |mutation: &Value| match mutation["patchType"] == "JSONPatch" {
        true => Mutation::Patch(compiled(&mutation["jsonPatch"], "expression", &environment)),
        false => {
            let apply = &mutation["applyConfiguration"];
            Mutation::Apply(compiled(apply, "expression", &environment))
        }
    };
    Does::Mutate {
        mutations: list(spec, "mutations").iter().map(mutation).collect(),
        again_if_needed: spec["reinvocationPolicy"] == "IfNeeded",
    }
}

fn compiled(of: &Value, field: &str, environment: &Environment) -> Compiled {
    let text = text(of, field);
    Compiled {
        expression: Expression::compile(&text, environment),
        text,
    }
}

fn text(of: &Value, field: &str) -> String {
    of[field].as_str().unwrap_or_default().to_owned()
}
