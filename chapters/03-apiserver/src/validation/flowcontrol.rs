//! FlowSchemas and PriorityLevelConfigurations.
//!
//! Upstream: `pkg/apis/flowcontrol/validation`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    check::{Errors, has, join, list, same, text, wrongs},
    names,
};
use crate::flowcontrol::{EXEMPT, mandatory_spec};
use crate::status::FieldError;

const PRECEDENCE_MAX: i64 = 10_000;
const QUEUES_MAX: i64 = 10_000_000;
/// Bits of the hash that deals queues. Upstream: `shufflesharding.MaxHashBits`.
const HASH_BITS_MAX: f64 = 60.0;
const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "proxy",
    "update",
    "watch",
];

/// A FlowSchema, new or changed.
pub(super) fn flow_schema(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let name = text(&object["metadata"], "name");
    let precedence = spec["matchingPrecedence"].as_i64().unwrap_or_default();
    let mut invalid = |wrong: String| {
        let at = "spec.matchingPrecedence";
        errors.push(FieldError::invalid(at, &precedence.into(), wrong));
    };
    if precedence <= 0 {
        invalid("must be a positive value".into());
    }
    if precedence > PRECEDENCE_MAX {
        invalid(format!("must not be greater than {PRECEDENCE_MAX}"));
    }
    if precedence == 1 && name != EXEMPT {
        invalid("only the schema named 'exempt' may have matchingPrecedence 1".into());
    }
    if has(spec, "distinguisherMethod") {
        let methods = ["ByNamespace", "ByUser"];
        let method = &spec["distinguisherMethod"];
        if !methods.contains(&text(method, "type")) {
            let at = "spec.distinguisherMethod.type";
            errors.push(FieldError::not_supported(at, method, &methods));
        }
    }
    let at = "spec.priorityLevelConfiguration.name";
    let level = &spec["priorityLevelConfiguration"]["name"];
    match level.as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required(at, "must reference a priority level")),
        name => wrongs(errors, at, level, names::dns1123_subdomain(name)),
    }
    for (index, rule) in list(spec, "rules").iter().enumerate() {
        self::rule(errors, rule, &format!("spec.rules[{index}]"));
    }
    fixed(errors, object, "FlowSchema");
    status(errors, object);
}

/// What is mandatory is as it is. The share of what is exempt may differ.
fn fixed(errors: &mut Errors, object: &Value, kind: &str) {
    let name = text(&object["metadata"], "name");
    let Some(mut wanted) = mandatory_spec(kind, name) else {
        return;
    };
    let mut except = "";
    if kind == "PriorityLevelConfiguration" && name == EXEMPT {
        wanted["exempt"] = object["spec"]["exempt"].clone();
        except = " except the 'spec.exempt' field";
    }
    if !same(&wanted, &object["spec"]) {
        let wrong = format!("spec of '{name}'{except} must equal the fixed value");
        errors.push(FieldError::invalid("spec", &object["spec"], wrong));
    }
}

fn rule(errors: &mut Errors, rule: &Value, path: &str) {
    let subjects = list(rule, "subjects");
    if subjects.is_empty() {
        let wrong = "subjects must contain at least one value";
        errors.push(FieldError::required(join(path, "subjects"), wrong));
    }
    for (index, one) in subjects.iter().enumerate() {
        subject(errors, one, &format!("{path}.subjects[{index}]"));
    }
    let (resources, urls) = (list(rule, "resourceRules"), list(rule, "nonResourceRules"));
    if resources.is_empty() && urls.is_empty() {
        let wrong = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, wrong));
    }
    for (index, one) in resources.iter().enumerate() {
        resource_rule(errors, one, &format!("{path}.resourceRules[{index}]"));
    }
    for (index, one) in urls.iter().enumerate() {
        url_rule(errors, one, &format!("{path}.nonResourceRules[{index}]"));
    }
}

fn subject(errors: &mut Errors, subject: &Value, path: &str) {
    const KINDS: [(&str, &str); 3] = [
        ("ServiceAccount", "serviceAccount"),
        ("User", "user"),
        ("Group", "group"),
    ];
    let kind = text(subject, "kind");
    let Some((_, field)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        let kinds = KINDS.map(|(kind, _)| kind);
        let at = join(path, "kind");
        return errors.push(FieldError::not_supported(at, &subject["kind"], &kinds));
    };
    let at = join(path, field);
    if !has(subject, field) {
        let wrong = format!("{field} is required when subject kind is '{kind}'");
        errors.push(FieldError::required(at, wrong));
    } else if text(&subject[*field], "name").is_empty() {
        errors.push(FieldError::required(join(&at, "name"), ""));
    } else if kind == "ServiceAccount" {
        account(errors, &subject[*field], &at);
    }
    for (other, field) in KINDS {
        if other != kind && has(subject, field) {
            let wrong = format!("{field} is forbidden when subject kind is not '{other}'");
            errors.push(FieldError::forbidden(join(path, field), wrong));
        }
    }
}

fn account(errors: &mut Errors, account: &Value, path: &str) {
    let (name, namespace) = (text(account, "name"), text(account, "namespace"));
    if name != "*" {
        let form = names::dns1123_subdomain(name);
        wrongs(errors, &join(path, "name"), &account["name"], form);
    }
    let at = join(path, "namespace");
    if namespace.is_empty() {
        let wrong = "must specify namespace for service account";
        errors.push(FieldError::required(at, wrong));
    } else {
        let form = names::dns1123_label(namespace);
        wrongs(errors, &at, &account["namespace"], form);
    }
}

/// A list that must not be empty, and in which `*` stands alone. Whether it is `*`.
fn all_or_some(
    errors: &mut Errors,
    rule: &Value,
    path: &str,
    (field, missing, others): (&str, &str, &str),
) -> bool {
    let values = list(rule, field);
    if values.is_empty() {
        errors.push(FieldError::required(join(path, field), missing));
    }
    let is_all = values.contains(&json!("*"));
    if values.len() > 1 && is_all {
        let wrong = format!("if '*' is present, must not specify other {others}");
        errors.push(FieldError::invalid(join(path, field), &rule[field], wrong));
    }
    is_all
}

fn verbs(errors: &mut Errors, rule: &Value, path: &str) {
    let words = ("verbs", "verbs must contain at least one value", "verbs");
    let is_all = all_or_some(errors, rule, path, words);
    let known = |verb: &Value| VERBS.iter().any(|known| verb == known);
    if !is_all && !list(rule, "verbs").iter().all(known) {
        let at = join(path, "verbs");
        errors.push(FieldError::not_supported(at, &rule["verbs"], VERBS));
    }
}

fn resource_rule(errors: &mut Errors, rule: &Value, path: &str) {
    verbs(errors, rule, path);
    let missing = "resource rules must supply at least one api group";
    all_or_some(errors, rule, path, ("apiGroups", missing, "api groups"));
    let missing = "resource rules must supply at least one resource";
    all_or_some(errors, rule, path, ("resources", missing, "resources"));
    let namespaces = list(rule, "namespaces");
    if namespaces.is_empty() && rule["clusterScope"] == true {
        return;
    }
    let missing = "resource rules that are not cluster scoped must supply at least one namespace";
    if all_or_some(errors, rule, path, ("namespaces", missing, "namespaces")) {
        return;
    }
    for (index, namespace) in namespaces.iter().enumerate() {
        for wrong in names::dns1123_label(namespace.as_str().unwrap_or_default()) {
            let wrong =
                format!("each member of this list must be '*' or a DNS-1123 label; {wrong}");
            let at = format!("{path}.namespaces[{index}]");
            errors.push(FieldError::invalid(at, namespace, wrong));
        }
    }
}

fn url_rule(errors: &mut Errors, rule: &Value, path: &str) {
    verbs(errors, rule, path);
    let missing = "nonResourceURLs must contain at least one value";
    let words = ("nonResourceURLs", missing, "non-resource URLs");
    if all_or_some(errors, rule, path, words) {
        return;
    }
    for (index, url) in list(rule, "nonResourceURLs").iter().enumerate() {
        let wrong = match url.as_str().unwrap_or_default() {
            "" => "must not be empty",
            "/" => continue,
            url if !url.starts_with('/') => "must start with slash",
            url if url.contains(' ') => "must not contain white-space",
            url if url.contains("//") => "must not contain double slash",
            url if url.strip_suffix("/*").unwrap_or(url).contains('*') => {
                "wildcard can only do suffix matching"
            }
            _ => continue,
        };
        let at = format!("{path}.nonResourceURLs[{index}]");
        errors.push(FieldError::invalid(at, url, wrong));
    }
}

/// A PriorityLevelConfiguration, new or changed.
pub(super) fn priority_level(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let name = text(&object["metadata"], "name");
    let kind = text(spec, "type");
    if (name == EXEMPT) != (kind == "Exempt") {
        let wrong = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.push(FieldError::invalid("spec.type", &spec["type"], wrong));
    }
    let (mine, other) = match kind {
        "Exempt" => ("exempt", "limited"),
        "Limited" => ("limited", "exempt"),
        _ => {
            let kinds = ["Exempt", "Limited"];
            return errors.push(FieldError::not_supported(
                "spec.type",
                &spec["type"],
                &kinds,
            ));
        }
    };
    let path = join("spec", mine);
    if has(spec, other) {
        let wrong = match kind {
            "Exempt" => "must be nil if the type is not Limited",
            _ => "must be nil if the type is Limited",
        };
        errors.push(FieldError::forbidden(join("spec", other), wrong));
    }
    if has(spec, mine) {
        share(errors, &spec[mine], &path);
    }
    if kind == "Limited" {
        if has(spec, mine) {
            response(
                errors,
                &spec[mine]["limitResponse"],
                &join(&path, "limitResponse"),
            );
        } else {
            let wrong = "must not be empty when type is Limited";
            errors.push(FieldError::required(path, wrong));
        }
    }
    fixed(errors, object, "PriorityLevelConfiguration");
    status(errors, object);
}

/// How much of the server a level has, and how much of that it lends or borrows.
fn share(errors: &mut Errors, level: &Value, path: &str) {
    for (field, range, wrong) in [
        (
            "nominalConcurrencyShares",
            0..=i64::MAX,
            "must be a non-negative integer",
        ),
        (
            "lendablePercent",
            0..=100,
            "must be between 0 and 100, inclusive",
        ),
        (
            "borrowingLimitPercent",
            0..=i64::MAX,
            "if specified, must be a non-negative integer",
        ),
    ] {
        if level[field]
            .as_i64()
            .is_some_and(|number| !range.contains(&number))
        {
            errors.push(FieldError::invalid(join(path, field), &level[field], wrong));
        }
    }
}

/// What becomes of a request for which there is no room.
fn response(errors: &mut Errors, response: &Value, path: &str) {
    let at = join(path, "queuing");
    match (text(response, "type"), has(response, "queuing")) {
        ("Reject", true) => {
            let wrong = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(FieldError::forbidden(at, wrong));
        }
        ("Reject", false) => {}
        ("Queue", true) => queuing(errors, &response["queuing"], &at),
        ("Queue", false) => {
            let wrong = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(FieldError::required(at, wrong));
        }
        _ => {
            let kinds = ["Queue", "Reject"];
            let at = join(path, "type");
            errors.push(FieldError::not_supported(
                at,
                &json!(text(response, "type")),
                &kinds,
            ));
        }
    }
}

fn queuing(errors: &mut Errors, queuing: &Value, path: &str) {
    let number = |field: &str| queuing[field].as_i64().unwrap_or_default();
    let mut invalid = |field: &str, wrong: String| {
        errors.push(FieldError::invalid(
            join(path, field),
            &number(field).into(),
            wrong,
        ));
    };
    let (queues, hand) = (number("queues"), number("handSize"));
    if number("queueLengthLimit") <= 0 {
        invalid("queueLengthLimit", "must be positive".into());
    }
    if queues <= 0 {
        invalid("queues", "must be positive".into());
    } else if queues > QUEUES_MAX {
        invalid("queues", format!("must not be greater than {QUEUES_MAX}"));
    }
    // Each flow is dealt a hand of queues by its hash, which has only so many bits.
    let bits = (queues as f64).log2() * hand as f64;
    if hand <= 0 {
        invalid("handSize", "must be positive".into());
    } else if hand > queues {
        invalid(
            "handSize",
            format!("should not be greater than queues ({queues})"),
        );
    } else if bits.ceil() > HASH_BITS_MAX {
        let wrong = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be \
             greater than {HASH_BITS_MAX}"
        );
        invalid("handSize", wrong);
    }
}

/// The status of either.
pub(super) fn status(errors: &mut Errors, object: &Value) {
    let mut types = BTreeSet::new();
    for (index, condition) in list(&object["status"], "conditions").iter().enumerate() {
        let at = format!("status.conditions[{index}].type");
        let kind = text(condition, "type");
        if !types.insert(kind) {
            errors.push(FieldError::duplicate(at.clone(), &condition["type"]));
        }
        if kind.is_empty() {
            errors.push(FieldError::required(at, "must not be empty"));
        }
    }
}
