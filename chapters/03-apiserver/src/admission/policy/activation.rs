//! What the names in a policy's expressions stand for.
//!
//! Upstream: `apiserver/pkg/admission/plugin/cel/activation.go`, `composition.go`.

use std::cell::RefCell;

use serde_json::{Value, json};

use super::World;
use super::asked::Asked;
use super::compile::Variable;
use super::matching::Seen;
use crate::authn::User;
use crate::authz::{self, Attributes};
use crate::cel::{Budget, Check, Decision, Expression, Failure, Names, Val};
use crate::resources;

/// What all expressions of an invocation may cost together. Upstream: `RuntimeCELCostBudget`.
pub(super) const COST_MAX: u64 = 10_000_000;
/// What its match conditions may. Upstream: `RuntimeCELCostBudgetMatchConditions`.
pub(super) const CONDITIONS_COST_MAX: u64 = 2_500_000;

/// One policy, one binding, one object of parameters.
pub(super) struct Activation<'a> {
    asked: &'a Asked<'a>,
    world: &'a dyn World,
    object: Val,
    old: Val,
    request: Val,
    namespace: Val,
    params: Val,
    variables: &'a [Variable],
    /// What the variables are: each is evaluated when it is first asked for, and once.
    known: RefCell<Vec<Option<Result<Val, Failure>>>>,
    /// Whether expressions may ask who may do what.
    authorizes: bool,
}

impl<'a> Activation<'a> {
    pub(super) fn new(
        asked: &'a Asked,
        seen: &Seen,
        params: Option<&Value>,
        variables: &'a [Variable],
        world: &'a dyn World,
    ) -> Activation<'a> {
        let shown = |object: &Option<Value>| match object {
            Some(object) => Val::from_json(&asked.see(seen, object), None),
            None => Val::Null,
        };
        Activation {
            object: shown(&asked.object),
            old: shown(&asked.old),
            request: Val::from_json(&asked.request(seen), None),
            namespace: namespace_object(asked, world),
            params: params.map_or(Val::Null, |params| Val::from_json(params, None)),
            variables,
            known: RefCell::new(vec![None; variables.len()]),
            authorizes: true,
            asked,
            world,
        }
    }

    /// The same, with another object: what a policy has made of it so far.
    pub(super) fn with_object(mut self, object: &Value) -> Activation<'a> {
        self.object = Val::from_json(object, None);
        self
    }

    /// The same, for what is told to all, which must not tell who may do what.
    pub(super) fn without_authorizer(mut self) -> Activation<'a> {
        self.authorizes = false;
        self.known = RefCell::new(vec![None; self.variables.len()]);
        self
    }

    /// Evaluates an expression.
    ///
    /// # Errors
    /// What went wrong, in upstream's words.
    pub(super) fn evaluate(&self, compiled: &Compiled, budget: &mut Budget) -> Result<Val, Wrong> {
        let expression = match &compiled.expression {
            Ok(expression) => expression,
            Err(problem) => return Err(Wrong::Expression(format!("compilation error: {problem}"))),
        };
        expression
            .run(self, budget)
            .map_err(|failure| match failure {
                Failure::Cost => Wrong::Budget,
                Failure::Error(problem) => Wrong::Expression(format!(
                    "expression '{}' resulted in error: {problem}",
                    compiled.text
                )),
            })
    }

    fn variable(&self, name: &str, budget: &mut Budget) -> Option<Result<Val, Failure>> {
        let at = self.variables.iter().position(|it| it.name == name)?;
        if let Some(known) = &self.known.borrow()[at] {
            return Some(known.clone());
        }
        let found = match &self.variables[at].value.expression {
            Ok(expression) => expression.run(self, budget),
            Err(problem) => Err(Failure::Error(format!(
                "composited variable {name:?} fails to compile: {problem}"
            ))),
        };
        let found = found.map_err(|failure| match failure {
            Failure::Error(problem) => Failure::Error(format!(
                "composited variable {name:?} fails to evaluate: {problem}"
            )),
            Failure::Cost => Failure::Cost,
        });
        self.known.borrow_mut()[at] = Some(found.clone());
        Some(found)
    }
}

/// An expression of a policy.
#[derive(Debug)]
pub(super) struct Compiled {
    /// As it is written.
    pub(super) text: String,
    /// What it means. A stored policy's expressions were checked when it was written, but perhaps
    /// not by this server.
    pub(super) expression: Result<Expression, String>,
}

/// Why there is no value.
#[derive(Debug, PartialEq)]
pub(super) enum Wrong {
    /// Because of this expression; others may have one.
    Expression(String),
    /// There is nothing left to spend, on this or any other.
    Budget,
}

impl Wrong {
    pub(super) fn message(self) -> String {
        match self {
            Wrong::Expression(message) => message,
            Wrong::Budget => "validation failed due to running out of cost budget, no further \
                              validation rules will be run"
                .to_owned(),
        }
    }
}

impl Names for Activation<'_> {
    fn value(&self, name: &str, budget: &mut Budget) -> Option<Result<Val, Failure>> {
        if let Some(variable) = name.strip_prefix("variables.") {
            return self.variable(variable, budget);
        }
        Some(Ok(match name {
            "object" => self.object.clone(),
            "oldObject" => self.old.clone(),
            "request" => self.request.clone(),
            "namespaceObject" => self.namespace.clone(),
            "params" => self.params.clone(),
            "authorizer" if self.authorizes => Check::authorizer(),
            "authorizer.requestResource" if self.authorizes => Check {
                group: self.asked.resource.group.to_owned(),
                resource: self.asked.resource.plural.to_owned(),
                subresource: self.asked.subresource.to_owned(),
                namespace: self.asked.namespace.to_owned(),
                name: self.asked.name.to_owned(),
                ..Check::default()
            }
            .of_request(),
            _ => return None,
        }))
    }

    fn check(&self, check: &Check) -> Decision {
        let account = check
            .service_account
            .as_ref()
            .map(|(namespace, name)| User {
                name: format!("system:serviceaccount:{namespace}:{name}"),
                groups: vec![
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated".to_owned(),
                ],
                ..User::default()
            });
        let attributes = Attributes {
            group: &check.group,
            version: "*",
            subresource: &check.subresource,
            namespace: &check.namespace,
            name: &check.name,
            path: check.path.as_deref(),
            ..Attributes::of(
                account.as_ref().unwrap_or(self.asked.user),
                &check.verb,
                &check.resource,
            )
        };
        let decision = self.world.authorize(&attributes);
        let allowed = decision.is_allowed();
        let (authz::Decision::Allow(reason) | authz::Decision::Deny(reason)) = decision;
        Decision {
            allowed,
            reason,
            error: None,
        }
    }
}

/// `namespaceObject`: of its metadata, what upstream tells. Null for what is the cluster's.
fn namespace_object(asked: &Asked, world: &dyn World) -> Val {
    const TOLD: &[&str] = &[
        "name",
        "generateName",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
        "annotations",
        "finalizers",
    ];
    if asked.namespace.is_empty() || asked.is_namespace() {
        return Val::Null;
    }
    // All of it, where plugins look at a part.
    let resource = resources::by_kind("", "v1", "Namespace").expect("is served");
    let Some(namespace) = world.object(resource, "", asked.namespace) else {
        return Val::Null;
    };
    let metadata = namespace["metadata"].as_object().into_iter().flatten();
    let metadata: serde_json::Map<String, Value> = metadata
        .filter(|(field, _)| TOLD.contains(&field.as_str()))
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    let told = json!({"metadata": metadata, "spec": namespace["spec"],
        "status": namespace["status"]});
    Val::from_json(&told, None)
}
