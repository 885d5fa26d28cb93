//! Which requests a policy, or a binding of it, is about.
//!
//! Upstream: `apiserver/pkg/admission/plugin/policy/matching`, and the predicates of webhooks, which
//! are the same.

use serde_json::Value;

use super::asked::Asked;
use super::{World, list};
use crate::resources::Served;
use crate::selectors::{LabelSelector, Labels};
use crate::status::{ApiError, Subject};

/// `matchConstraints` of a policy, `matchResources` of a binding.
#[derive(Debug)]
pub(super) struct Match {
    namespaces: Result<LabelSelector, String>,
    objects: Result<LabelSelector, String>,
    excluded: Vec<Rule>,
    rules: Vec<Rule>,
    /// A rule for one version of a resource is for the others as well, and is shown that one.
    takes_equivalents: bool,
}

/// In which version a policy is to see an object.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// In that of the request.
    AsAsked,
    /// In this one, which its rules name.
    As(Served),
}

impl Match {
    pub(super) fn read(json: &Value) -> Match {
        let selector = |field: &str| match &json[field] {
            Value::Null => Ok(LabelSelector::default()),
            selector => LabelSelector::from_object(selector),
        };
        let rules = |field: &str| list(json, field).iter().map(Rule::read).collect();
        Match {
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
            excluded: rules("excludeResourceRules"),
            rules: rules("resourceRules"),
            takes_equivalents: json["matchPolicy"] == "Equivalent",
        }
    }

    /// Whether it is about a request, and how the object is to be seen then.
    ///
    /// # Errors
    /// When it would be, if its selectors could be understood, or if the namespace was there.
    pub(super) fn matches(
        &self,
        asked: &Asked,
        world: &dyn World,
    ) -> Result<Option<Seen>, ApiError> {
        // What is wrong with a selector is of no interest to requests that its rules pass over.
        let in_namespace = self.selects_namespace(asked, world);
        let of_object = self.selects_object(asked);
        if matches!(in_namespace, Ok(false)) || matches!(of_object, Ok(false)) {
            return Ok(None);
        }
        if self.first(&self.excluded, asked, world).is_some() {
            return Ok(None);
        }
        let seen = match self.rules.is_empty() {
            true => Some(Seen::AsAsked),
            false => self.first(&self.rules, asked, world),
        };
        match seen {
            None => Ok(None),
            Some(seen) => (in_namespace.and(of_object)).map(|_| Some(seen)),
        }
    }

    /// By the labels of the object's namespace; of a namespace, by its own.
    fn selects_namespace(&self, asked: &Asked, world: &dyn World) -> Result<bool, ApiError> {
        if asked.namespace.is_empty() {
            return Ok(true);
        }
        let selector = understood(&self.namespaces)?;
        if selector.is_empty() {
            return Ok(true);
        }
        if asked.is_namespace()
            && asked.subresource.is_empty()
            && let Some(object) = &asked.object
        {
            return Ok(selector.matches(&object["metadata"]["labels"]));
        }
        let Some(namespace) = world.get("namespaces", "", asked.namespace) else {
            return Err(ApiError::not_found(Subject {
                group: "",
                resource: "namespaces",
                kind: "Namespace",
                name: asked.namespace,
            }));
        };
        Ok(selector.matches(&namespace["metadata"]["labels"]))
    }

    /// By the labels that the object has, or had.
    fn selects_object(&self, asked: &Asked) -> Result<bool, ApiError> {
        let selector = understood(&self.objects)?;
        let both = [asked.object.as_ref(), asked.old.as_ref()];
        let mut labels = both
            .into_iter()
            .flatten()
            .map(|it| &it["metadata"]["labels"]);
        Ok(selector.is_empty() || labels.any(|labels| selector.matches(labels as &dyn Labels)))
    }

    fn first(&self, rules: &[Rule], asked: &Asked, world: &dyn World) -> Option<Seen> {
        if rules.iter().any(|rule| rule.matches(asked, asked.version)) {
            return Some(Seen::AsAsked);
        }
        if !self.takes_equivalents {
            return None;
        }
        let others = world.equivalents(asked.resource);
        let named = |rule: &Rule| {
            let mut others = others.iter();
            others.find(|other| {
                let other = other.resource();
                rule.matches_group(other.group) && rule.matches_but_group(asked, other.version)
            })
        };
        rules.iter().find_map(named).cloned().map(Seen::As)
    }
}

fn understood(selector: &Result<LabelSelector, String>) -> Result<&LabelSelector, ApiError> {
    selector.as_ref().map_err(ApiError::internal)
}

/// One of `resourceRules`: all of its lists have to name what is asked.
#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// `pods`, `pods/exec`, `*/scale`, `*/*`
    resources: Vec<String>,
    scope: String,
    /// Of objects; none stand for all.
    names: Vec<String>,
}

impl Rule {
    fn read(json: &Value) -> Rule {
        let texts = |field: &str| {
            let texts = list(json, field).iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        };
        Rule {
            operations: texts("operations"),
            groups: texts("apiGroups"),
            versions: texts("apiVersions"),
            resources: texts("resources"),
            scope: json["scope"].as_str().unwrap_or("*").to_owned(),
            names: texts("resourceNames"),
        }
    }

    fn matches(&self, asked: &Asked, version: &str) -> bool {
        self.matches_group(asked.resource.group) && self.matches_but_group(asked, version)
    }

    fn matches_group(&self, group: &str) -> bool {
        has(&self.groups, group)
    }

    fn matches_but_group(&self, asked: &Asked, version: &str) -> bool {
        let is_of_cluster = asked.namespace.is_empty() || asked.is_namespace();
        let in_scope = match self.scope.as_str() {
            "Namespaced" => !is_of_cluster,
            "Cluster" => is_of_cluster,
            _ => true,
        };
        let names_resource = |name: &String| {
            let (resource, part) = name.split_once('/').unwrap_or((name, ""));
            let is = |said: &str, it: &str| said == "*" || said == it;
            is(resource, asked.resource.plural) && is(part, asked.subresource)
        };
        in_scope
            && has(&self.operations, asked.operation)
            && has(&self.versions, version)
            && self.resources.iter().any(names_resource)
            && (self.names.is_empty() || self.names.iter().any(|name| name == asked.name))
    }
}

fn has(list: &[String], asked: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == asked)
}
