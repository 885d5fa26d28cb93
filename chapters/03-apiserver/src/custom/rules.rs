//! Rules in CEL: `x-kubernetes-validations`.
//!
//! A rule stands in the schema of what it is about, which is its `self`. One that names `oldSelf`
//! is asked on updates alone, of values that have a former self: fields and keys have one, and
//! entries of lists that are told apart by keys.
//!
//! Upstream: `apiextensions-apiserver/pkg/apiserver/schema/cel`; KEP-2876.

use serde_json::Value;

use super::field_path;
use super::path::{Step, show};
use super::rule_costs::{Count, Sum};
use super::structural::{Additional, ListKind, Schema};
use crate::cel::{
    BOOL, Budget, Environment, Expression, Failure, OBJECT_COST_MAX, RULE_COST_MAX, STRING, Sizes,
    Val,
};
use crate::status::FieldError;

/// A rule, read.
#[derive(Debug, Clone)]
pub struct Rule {
    text: String,
    expression: Result<Expression, String>,
    message: String,
    message_expression: Option<Result<Expression, String>>,
    reason: String,
    field_path: String,
    optional_old_self: bool,
}

impl Rule {
    /// The rules of a schema.
    pub(super) fn read_all(json: &Value, schema: &Schema) -> Vec<Rule> {
        let rules = json["x-kubernetes-validations"].as_array();
        rules
            .into_iter()
            .flatten()
            .map(|rule| Rule::read(rule, schema))
            .collect()
    }

    fn read(rule: &Value, schema: &Schema) -> Rule {
        let text = |field: &str| rule[field].as_str().unwrap_or_default().trim().to_owned();
        let (message_expression, optional_old_self) =
            (text("messageExpression"), rule["optionalOldSelf"] == true);
        let environment = Environment::rule(schema, optional_old_self);
        let failed = |problem: String| format!("compilation failed: {problem}");
        let expression = Expression::compile(&text("rule"), &environment).map_err(failed);
        let told = || {
            let compiled = Expression::compile(&message_expression, &environment);
            let compiled =
                compiled.map_err(|problem| format!("messageExpression {}", failed(problem)))?;
            match *compiled.result() == STRING {
                true => Ok(compiled),
                false => Err("messageExpression must evaluate to a string".to_owned()),
            }
        };
        Rule {
            expression: expression.and_then(|compiled| match *compiled.result() == BOOL {
                true => Ok(compiled),
                false => Err("cel expression must evaluate to a bool".to_owned()),
            }),
            message: text("message"),
            message_expression: (!message_expression.is_empty()).then(told),
            reason: text("reason"),
            field_path: field_path::resolve(&text("fieldPath"), schema).unwrap_or_default(),
            optional_old_self,
            text: text("rule"),
        }
    }
}

/// Errors beside which rules are not asked: the object is not what they take it to be.
const BLOCKING: &[&str] = &[
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
];

/// Adds what rules have against an object.
pub(super) fn validate(
    errors: &mut Vec<FieldError>,
    schema: &Schema,
    new: &Value,
    old: Option<&Value>,
) {
    if !has_rules(schema) {
        return;
    }
    if errors.iter().any(|error| BLOCKING.contains(&error.reason)) {
        let detail = "some validation rules were not checked because the object was invalid; \
                      correct the existing errors to complete validation";
        errors.push(FieldError::invalid("<nil>", &Value::Null, detail));
        return;
    }
    let mut walk = Walk {
        errors,
        left: OBJECT_COST_MAX,
        path: Vec::new(),
        over: false,
    };
    walk.node(schema, new, old);
}

fn has_rules(schema: &Schema) -> bool {
    let additional = match &schema.additional {
        Some(Additional::Schema(inner)) => has_rules(inner),
        _ => false,
    };
    !schema.rules.is_empty()
        || additional
        || schema.items.as_deref().is_some_and(has_rules)
        || schema.properties.values().any(has_rules)
}

struct Walk<'a> {
    errors: &'a mut Vec<FieldError>,
    left: u64,
    path: Vec<Step>,
    over: bool,
}

impl Walk<'_> {
    fn node(&mut self, schema: &Schema, new: &Value, old: Option<&Value>) {
        if new.is_null() || self.over {
            return;
        }
        self.rules(schema, new, old);
        match new {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let Some(inner) = schema.field(name) else {
                        continue;
                    };
                    let old = old.and_then(|old| old.get(name)).filter(|_| !schema.atomic);
                    self.path.push(Step::Key(name.clone()));
                    self.node(inner, value, old);
                    self.path.pop();
                }
            }
            Value::Array(list) => {
                let Some(items) = &schema.items else { return };
                for (i, entry) in list.iter().enumerate() {
                    let old = former(schema, old, entry);
                    self.path.push(Step::Index(i));
                    self.node(items, entry, old);
                    self.path.pop();
                }
            }
            _ => {}
        }
    }

    fn rules(&mut self, schema: &Schema, new: &Value, old: Option<&Value>) {
        if schema.rules.is_empty() {
            return;
        }
        let own = Val::from_json(new, Some(schema));
        let before = old.map(|old| Val::from_json(old, Some(schema)));
        for rule in &schema.rules {
            let Ok(expression) = &rule.expression else {
                continue;
            };
            let uses_old = expression.uses_old_self();
            let unchanged = !uses_old && old == Some(new);
            if self.over || unchanged || uses_old && old.is_none() && !rule.optional_old_self {
                continue;
            }
            let before = match rule.optional_old_self {
                true => Some(Val::Optional(before.clone().map(Box::new))),
                false => before.clone(),
            };
            match self.evaluate(expression, &own, before.as_ref()) {
                Ok(Val::Bool(true)) => {}
                Ok(_) => self.broken(rule, schema, new, &own, before.as_ref()),
                Err(failure) => self.failed(rule, schema, failure),
            }
        }
    }

    fn evaluate(
        &mut self,
        expression: &Expression,
        own: &Val,
        old: Option<&Val>,
    ) -> Result<Val, Failure> {
        let mut budget = Budget::new(self.left.min(RULE_COST_MAX));
        let before = budget.left();
        let found = expression.evaluate(own, old, &mut budget);
        self.left -= before - budget.left();
        found
    }

    fn at(&self, field: &str) -> String {
        match (show(&self.path).as_str(), field) {
            ("", "") => "<nil>".to_owned(),
            ("", field) => field.to_owned(),
            (path, field) if field.is_empty() || field.starts_with('[') => format!("{path}{field}"),
            (path, field) => format!("{path}.{field}"),
        }
    }

    /// A rule that does not hold.
    fn broken(&mut self, rule: &Rule, schema: &Schema, new: &Value, own: &Val, old: Option<&Val>) {
        let told = match &rule.message_expression {
            Some(Ok(expression)) => self.evaluate(expression, own, old).ok(),
            _ => None,
        };
        let detail = match told {
            Some(Val::Text(text)) if !text.trim().is_empty() && !text.contains('\n') => {
                text.to_string()
            }
            _ if rule.message.is_empty() => format!("failed rule: {}", rule.text),
            _ => rule.message.clone(),
        };
        let at = self.at(&rule.field_path);
        self.errors
            .push(match (rule.reason.as_str(), schema.kind.as_str()) {
                ("FieldValueRequired", _) => FieldError::required(at, detail),
                ("FieldValueForbidden", _) => FieldError::forbidden(at, detail),
                ("FieldValueDuplicate", _) => FieldError::duplicate(at, new),
                // What is large is not shown.
                (_, "object" | "array") => FieldError {
                    reason: "FieldValueInvalid",
                    field: at,
                    message: format!("Invalid value: {detail}"),
                },
                _ => FieldError::invalid(at, new, detail),
            });
    }

    /// A rule that could not be asked.
    fn failed(&mut self, rule: &Rule, schema: &Schema, failure: Failure) {
        let text = &rule.text;
        let detail = match failure {
            Failure::Cost if self.left == 0 => {
                self.over = true;
                "validation failed due to running out of cost budget, no further validation rules \
                 will be run"
                    .to_owned()
            }
            Failure::Cost => {
                self.over = true;
                format!(
                    "'operation cancelled: actual cost limit exceeded': no further validation \
                     rules will be run due to call cost exceeds limit for rule: {text}"
                )
            }
            Failure::Error(error) if error.starts_with("no such overload") => format!(
                "'{error}': call arguments did not match a supported operator, function or macro \
                 signature for rule: {text}"
            ),
            Failure::Error(error) => format!("{error} evaluating rule: {text}"),
        };
        let kind = Value::from(schema.kind.as_str());
        self.errors
            .push(FieldError::invalid(self.at(""), &kind, detail));
    }
}

/// What an entry of a list was.
fn former<'a>(schema: &Schema, old: Option<&'a Value>, entry: &Value) -> Option<&'a Value> {
    let ListKind::Map(keys) = &schema.list else {
        return None;
    };
    let mut former = old?.as_array()?.iter();
    former.find(|old| keys.iter().all(|key| old.get(key) == entry.get(key)))
}

/// What is wrong with the rules of a definition's schema. `is_unchanged`: it was there before, and
/// what its rules cost alone is no reason to refuse it now.
pub(super) fn check(
    json: &Value,
    schema: &Schema,
    path: &str,
    is_unchanged: bool,
) -> Vec<FieldError> {
    let mut check = Check {
        errors: Vec::new(),
        costs: Sum::default(),
        is_unchanged,
    };
    let place = Place {
        path: path.to_owned(),
        apart: None,
        count: Count::ONE,
    };
    check.node(json, schema, &place);
    check.errors.extend(check.costs.close(path));
    check.errors
}

struct Check {
    errors: Vec<FieldError>,
    costs: Sum,
    is_unchanged: bool,
}

/// Where in a schema a walk is.
struct Place {
    path: String,
    /// The part of the schema, if any, whose values have no former self.
    apart: Option<String>,
    /// How many values there may be here.
    count: Count,
}

impl Place {
    /// The place of what is in values of this one. `is_apart`: they have no former self.
    fn below(&self, schema: &Schema, step: &str, is_apart: bool) -> Place {
        let apart = self.apart.clone();
        Place {
            path: format!("{}.{step}", self.path),
            apart: apart.or_else(|| is_apart.then(|| self.path.clone())),
            count: self.count.within(schema),
        }
    }
}

impl Check {
    fn node(&mut self, json: &Value, schema: &Schema, place: &Place) {
        let sizes = match schema.rules.is_empty() {
            true => None,
            false => Sizes::of(schema),
        };
        for (i, rule) in schema.rules.iter().enumerate() {
            let path = format!("{}.x-kubernetes-validations[{i}]", place.path);
            let shown = &json["x-kubernetes-validations"][i];
            self.rule(rule, shown, &path, place, schema, sizes.as_ref());
        }
        for (name, inner) in &schema.properties {
            let step = format!("properties[{name}]");
            let below = place.below(schema, &step, schema.atomic);
            self.node(&json["properties"][name], inner, &below);
        }
        if let Some(Additional::Schema(inner)) = &schema.additional {
            let below = place.below(schema, "additionalProperties", false);
            self.node(&json["additionalProperties"], inner, &below);
        }
        if let Some(items) = &schema.items {
            let is_apart = !matches!(schema.list, ListKind::Map(_));
            self.node(
                &json["items"],
                items,
                &place.below(schema, "items", is_apart),
            );
        }
    }

    fn rule(
        &mut self,
        rule: &Rule,
        shown: &Value,
        path: &str,
        place: &Place,
        schema: &Schema,
        sizes: Option<&Sizes>,
    ) {
        let at = |field: &str| format!("{path}.{field}");
        let invalid = |field: &str, value: &Value, detail: &str| {
            FieldError::invalid(at(field), value, detail)
        };
        let expression = match &rule.expression {
            Ok(expression) => expression,
            Err(problem) => return self.errors.push(invalid("rule", shown, problem)),
        };
        let environment = Environment::rule(schema, rule.optional_old_self);
        let cost = |expression: &Expression| {
            sizes.map_or(0, |sizes| expression.cost_max(&environment, sizes))
        };
        let of_all = sizes.map_or(0, |sizes| place.count.times(cost(expression), sizes));
        self.cost(at("rule"), "rule", of_all);
        match &rule.message_expression {
            Some(Err(problem)) => self
                .errors
                .push(invalid("messageExpression", shown, problem)),
            // It is asked of what a rule does not hold for, which upstream takes to be one value.
            Some(Ok(told)) => self.cost(at("messageExpression"), "messageExpression", cost(told)),
            None => {}
        }
        match (expression.uses_old_self(), &place.apart) {
            (true, Some(apart)) => {
                let detail = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {apart}"
                );
                self.errors.push(invalid("rule", &shown["rule"], &detail));
            }
            (false, _) if !shown["optionalOldSelf"].is_null() => {
                let detail = "may not be set if oldSelf is not used in rule";
                let value = &shown["optionalOldSelf"];
                self.errors.push(invalid("optionalOldSelf", value, detail));
            }
            _ => {}
        }
    }

    fn cost(&mut self, path: String, what: &str, cost: u64) {
        let too_dear = self.costs.add(path, what, cost);
        self.errors.extend(too_dear.filter(|_| !self.is_unchanged));
    }
}
