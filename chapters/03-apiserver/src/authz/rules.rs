//! Rules: what a role allows.

use std::fmt;

use serde_json::{Map, Value};

use super::Attributes;

/// A `PolicyRule`: any of its verbs on any of its resources, or of its paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// `get`, or `*`
    pub verbs: Vec<String>,
    /// Empty text is core; `*` is all of them
    pub api_groups: Vec<String>,
    /// `pods`, `pods/log`, `*/scale`, `*`
    pub resources: Vec<String>,
    /// The names it is about; empty means all.
    pub resource_names: Vec<String>,
    /// `/healthz`, `/healthz/*`, `*`
    pub non_resource_urls: Vec<String>,
}

fn has(list: &[String], item: &str) -> bool {
    list.iter().any(|i| i == item)
}

fn has_or_all(list: &[String], item: &str) -> bool {
    list.iter().any(|i| i == "*" || i == item)
}

impl Rule {
    /// The rules of a role, as they are in the object.
    pub fn list(rules: &Value) -> Vec<Rule> {
        rules
            .as_array()
            .into_iter()
            .flatten()
            .map(Rule::from_object)
            .collect()
    }

    fn from_object(rule: &Value) -> Rule {
        let strings = |key: &str| {
            let list = rule[key].as_array().into_iter().flatten();
            list.filter_map(|item| item.as_str().map(str::to_owned))
                .collect()
        };
        Rule {
            verbs: strings("verbs"),
            api_groups: strings("apiGroups"),
            resources: strings("resources"),
            resource_names: strings("resourceNames"),
            non_resource_urls: strings("nonResourceURLs"),
        }
    }

    /// The rule as it is in an object.
    pub fn to_object(&self) -> Value {
        let mut object = Map::new();
        for (key, list) in [
            ("verbs", &self.verbs),
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ] {
            if !list.is_empty() || key == "verbs" {
                object.insert(key.to_owned(), list.as_slice().into());
            }
        }
        Value::Object(object)
    }

    /// Whether it allows this.
    pub fn allows(&self, attributes: &Attributes) -> bool {
        // ANCHOR: exercise-03.4
        if !has_or_all(&self.verbs, attributes.verb) {
            return false;
        }
        if let Some(path) = attributes.path {
            return self
                .non_resource_urls
                .iter()
                .any(|url| url_covers(url, path));
        }
        has_or_all(&self.api_groups, attributes.group)
            && self
                .resources
                .iter()
                .any(|resource| resource_is(resource, attributes))
            && (self.resource_names.is_empty() || has(&self.resource_names, attributes.name))
        // ANCHOR_END: exercise-03.4
    }

    /// Whether whoever has this rule has the other, which is of one verb and one resource.
    fn covers_part(&self, part: &Rule) -> bool {
        // ANCHOR: exercise-03.5
        let all = |mine: &[String], theirs: &[String]| theirs.iter().all(|t| has_or_all(mine, t));
        all(&self.verbs, &part.verbs)
            && all(&self.api_groups, &part.api_groups)
            && part
                .resources
                .iter()
                .all(|resource| self.covers_resource(resource))
            && (self.resource_names.is_empty()
                || (!part.resource_names.is_empty()
                    && part
                        .resource_names
                        .iter()
                        .all(|name| has(&self.resource_names, name))))
            && part.non_resource_urls.iter().all(|url| {
                self.non_resource_urls
                    .iter()
                    .any(|mine| url_covers(mine, url))
            })
        // ANCHOR_END: exercise-03.5
    }

    fn covers_resource(&self, resource: &str) -> bool {
        let any_parent = resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
        has_or_all(&self.resources, resource)
            || any_parent.is_some_and(|wildcard| has(&self.resources, &wildcard))
    }

    /// The rule in parts of one verb, on one resource or path, each.
    fn parts(&self) -> Vec<Rule> {
        let one = |item: &String| vec![item.clone()];
        let mut parts = Vec::new();
        for verb in &self.verbs {
            for group in &self.api_groups {
                for resource in &self.resources {
                    let part = Rule {
                        verbs: one(verb),
                        api_groups: one(group),
                        resources: one(resource),
                        ..Rule::default()
                    };
                    if self.resource_names.is_empty() {
                        parts.push(part.clone());
                    }
                    parts.extend(self.resource_names.iter().map(|name| Rule {
                        resource_names: one(name),
                        ..part.clone()
                    }));
                }
            }
            parts.extend(self.non_resource_urls.iter().map(|url| Rule {
                verbs: one(verb),
                non_resource_urls: one(url),
                ..Rule::default()
            }));
        }
        parts
    }
}

/// What of `wanted` is in none of the rules `held`, with the verbs of one resource together.
pub fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let mut missing: Vec<Rule> = Vec::new();
    for part in wanted.iter().flat_map(Rule::parts) {
        if held.iter().any(|rule| rule.covers_part(&part)) {
            continue;
        }
        let same = missing.iter_mut().find(|m| {
            m.api_groups == part.api_groups
                && m.resources == part.resources
                && m.resource_names == part.resource_names
                && m.non_resource_urls == part.non_resource_urls
        });
        match same {
            Some(same) if has(&same.verbs, &part.verbs[0]) => {}
            Some(same) => same.verbs.extend(part.verbs),
            None => missing.push(part),
        }
    }
    missing
}

fn url_covers(url: &str, path: &str) -> bool {
    url == "*"
        || url == path
        || url
            .strip_suffix('*')
            .is_some_and(|stem| path.starts_with(stem))
}

/// Whether a rule's resource is the one asked for: `*`, `pods`, `pods/log` or `*/log`.
fn resource_is(resource: &str, attributes: &Attributes) -> bool {
    let Attributes {
        resource: asked,
        subresource,
        ..
    } = attributes;
    match resource.split_once('/') {
        None => resource == "*" || (subresource.is_empty() && resource == *asked),
        Some((parent, sub)) => {
            !subresource.is_empty() && sub == *subresource && (parent == "*" || parent == *asked)
        }
    }
}

/// As upstream prints a rule on one line: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(key, list)| format!("{key}:{}", quoted(list)))
        .collect();
        write!(f, "{{{}}}", parts.join(", "))
    }
}

/// As Go's `%q` prints a list of strings: `["a" "b"]`.
pub(super) fn quoted(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|s| format!("{s:?}")).collect();
    format!("[{}]", quoted.join(" "))
}
