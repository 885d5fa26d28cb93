//! Roles and bindings, indexed by whom they are for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::{Attributes, Decision, Rule};
use crate::{authn::User, selectors::LabelSelector};

/// Namespace and name; the namespace is empty for what is the cluster's.
type Key = (String, String);

/// Whom a binding is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    User(String),
    Group(String),
}

#[derive(Debug)]
struct Binding {
    subjects: Vec<Subject>,
    /// `ClusterRole` or `Role`
    role_kind: String,
    role_name: String,
    /// As upstream names it in the reason: `ClusterRoleBinding "x" of ClusterRole "y" to …`.
    kind: &'static str,
}

#[derive(Debug, Default)]
struct ClusterRole {
    rules: Vec<Rule>,
    labels: BTreeMap<String, String>,
    /// Whose rules are its own too: `aggregationRule.clusterRoleSelectors`.
    aggregates: Vec<LabelSelector>,
}

/// All roles and bindings. Fed with every change of them; asked for every request.
#[derive(Debug, Default)]
pub struct RbacState {
    cluster_roles: BTreeMap<String, ClusterRole>,
    roles: HashMap<Key, Vec<Rule>>,
    bindings: HashMap<Key, Binding>,
    by_subject: HashMap<Subject, BTreeSet<Key>>,
    /// Rules of the cluster roles that aggregate others.
    aggregated: HashMap<String, Vec<Rule>>,
}

impl RbacState {
    /// Takes in a new or changed object of `roles`, `rolebindings`, `clusterroles` or
    /// `clusterrolebindings`; others are ignored.
    pub fn set(&mut self, plural: &str, object: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let namespace = text(&object["metadata"]["namespace"]);
        let name = text(&object["metadata"]["name"]);
        match plural {
            "roles" => {
                self.roles
                    .insert((namespace, name), Rule::list(&object["rules"]));
            }
            "clusterroles" => {
                self.cluster_roles
                    .insert(name, ClusterRole::from_object(object));
                self.aggregate();
            }
            "rolebindings" | "clusterrolebindings" => {
                let is_cluster = plural == "clusterrolebindings";
                let kind = if is_cluster {
                    "ClusterRoleBinding"
                } else {
                    "RoleBinding"
                };
                self.remove(plural, &namespace, &name);
                let key = (namespace, name);
                let subjects = object["subjects"].as_array().into_iter().flatten();
                let subjects: Vec<Subject> = subjects
                    .filter_map(|subject| subject_of(subject, &key.0))
                    .collect();
                for subject in &subjects {
                    self.by_subject
                        .entry(subject.clone())
                        .or_default()
                        .insert(key.clone());
                }
                let role_kind = text(&object["roleRef"]["kind"]);
                let role_name = text(&object["roleRef"]["name"]);
                self.bindings.insert(
                    key,
                    Binding {
                        subjects,
                        role_kind,
                        role_name,
                        kind,
                    },
                );
            }
            _ => {}
        }
    }

    /// Takes in that an object is gone. `namespace` is empty for what is the cluster's.
    pub fn remove(&mut self, plural: &str, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        match plural {
            "roles" => {
                self.roles.remove(&key);
            }
            "clusterroles" => {
                self.cluster_roles.remove(name);
                self.aggregate();
            }
            "rolebindings" | "clusterrolebindings" => {
                let Some(binding) = self.bindings.remove(&key) else {
                    return;
                };
                for subject in binding.subjects {
                    if let Some(keys) = self.by_subject.get_mut(&subject) {
                        keys.remove(&key);
                        if keys.is_empty() {
                            self.by_subject.remove(&subject);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Decides by the roles alone.
    pub fn authorize(&self, attributes: &Attributes) -> Decision {
        match self.decide(attributes) {
            Ok(by) => Decision::Allow(by),
            Err(why) => Decision::Deny(attributes.denial(&why.join(", "))),
        }
    }

    /// By whose leave it may be done, or what was wrong with bindings that might have allowed it.
    pub(super) fn decide(&self, attributes: &Attributes) -> Result<String, Vec<String>> {
        let mut broken = BTreeSet::new();
        for (subject, key) in self.bindings_of(attributes.user, attributes.namespace) {
            let binding = &self.bindings[key];
            match self.rules_of(binding, &key.0) {
                Some(rules) if rules.iter().any(|rule| rule.allows(attributes)) => {
                    return Ok(reason(binding, key, &subject));
                }
                Some(_) => {}
                None => {
                    let plural = format!("{}.rbac.authorization.k8s.io", plural_of(binding));
                    broken.insert(format!("{plural} {:?} not found", binding.role_name));
                }
            }
        }
        if broken.is_empty() {
            return Err(Vec::new());
        }
        let broken: Vec<String> = broken.into_iter().collect();
        Err(vec![match broken.as_slice() {
            [one] => format!("RBAC: {one}"),
            many => format!("RBAC: [{}]", many.join(", ")),
        }])
    }

    /// Everything a user's bindings allow in a namespace.
    pub fn rules_for(&self, user: &User, namespace: &str) -> Vec<Rule> {
        self.bindings_of(user, namespace)
            .filter_map(|(_, key)| self.rules_of(&self.bindings[key], &key.0))
            .flatten()
            .cloned()
            .collect()
    }

    /// The rules of a role, if there is such a role. `namespace` is that of a `Role`.
    pub fn role_rules(&self, kind: &str, namespace: &str, name: &str) -> Option<&[Rule]> {
        match kind {
            "ClusterRole" => {
                let role = self.cluster_roles.get(name)?;
                Some(self.aggregated.get(name).unwrap_or(&role.rules))
            }
            _ => self
                .roles
                .get(&(namespace.to_owned(), name.to_owned()))
                .map(Vec::as_slice),
        }
    }

    /// [`RbacState::rules_for`] as a `SubjectRulesReviewStatus`.
    pub fn rules_review(&self, user: &User, namespace: &str) -> Value {
        let rules = self.rules_for(user, namespace);
        let (paths, resources): (Vec<Rule>, Vec<Rule>) = rules
            .into_iter()
            .partition(|rule| !rule.non_resource_urls.is_empty());
        let objects = |rules: &[Rule]| rules.iter().map(Rule::to_object).collect::<Vec<_>>();
        json!({
            "resourceRules": objects(&resources),
            "nonResourceRules": objects(&paths),
            "incomplete": false,
        })
    }

    /// The bindings for a user that count in a namespace: the cluster's, and the namespace's.
    fn bindings_of<'a>(
        &'a self,
        user: &User,
        namespace: &'a str,
    ) -> impl Iterator<Item = (Subject, &'a Key)> {
        let groups = user.groups.iter().cloned().map(Subject::Group);
        let subjects: Vec<Subject> = std::iter::once(Subject::User(user.name.clone()))
            .chain(groups)
            .collect();
        subjects.into_iter().flat_map(move |subject| {
            let keys = self.by_subject.get(&subject).into_iter().flatten();
            keys.filter(move |(ns, _)| ns.is_empty() || ns == namespace)
                .map(move |key| (subject.clone(), key))
        })
    }

    fn rules_of(&self, binding: &Binding, namespace: &str) -> Option<&[Rule]> {
        self.role_rules(&binding.role_kind, namespace, &binding.role_name)
    }

    /// Works out anew the rules of each cluster role that aggregates. They hold at once, whatever
    /// the role itself says; the registry writes them into it a moment later.
    fn aggregate(&mut self) {
        let names = self
            .cluster_roles
            .iter()
            .filter(|(_, role)| !role.aggregates.is_empty());
        let names: Vec<String> = names.map(|(name, _)| name.clone()).collect();
        self.aggregated = names
            .into_iter()
            .map(|name| {
                let (mut rules, mut seen) = (Vec::new(), BTreeSet::new());
                self.collect_rules(&name, &mut rules, &mut seen);
                (name, rules)
            })
            .collect();
    }

    fn collect_rules<'a>(
        &'a self,
        name: &'a str,
        rules: &mut Vec<Rule>,
        seen: &mut BTreeSet<&'a str>,
    ) {
        // `seen` also ends the circles that selectors may make.
        let Some(role) = self.cluster_roles.get(name).filter(|_| seen.insert(name)) else {
            return;
        };
        if role.aggregates.is_empty() {
            let new: Vec<Rule> = role
                .rules
                .iter()
                .filter(|rule| !rules.contains(rule))
                .cloned()
                .collect();
            rules.extend(new);
        }
        for (other, candidate) in &self.cluster_roles {
            if role
                .aggregates
                .iter()
                .any(|selector| selector.matches(&candidate.labels))
            {
                self.collect_rules(other, rules, seen);
            }
        }
    }
}

impl ClusterRole {
    fn from_object(object: &Value) -> ClusterRole {
        let labels = object["metadata"]["labels"]
            .as_object()
            .into_iter()
            .flatten();
        let selectors = &object["aggregationRule"]["clusterRoleSelectors"];
        let selectors = selectors.as_array().into_iter().flatten();
        ClusterRole {
            rules: Rule::list(&object["rules"]),
            labels: labels
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            aggregates: selectors
                .filter_map(|s| LabelSelector::from_object(s).ok())
                .collect(),
        }
    }
}

fn subject_of(subject: &Value, binding_namespace: &str) -> Option<Subject> {
    let name = subject["name"].as_str()?.to_owned();
    match subject["kind"].as_str()? {
        "User" => Some(Subject::User(name)),
        "Group" => Some(Subject::Group(name)),
        "ServiceAccount" => {
            let namespace = subject["namespace"].as_str().unwrap_or(binding_namespace);
            Some(Subject::User(format!(
                "system:serviceaccount:{namespace}:{name}"
            )))
        }
        _ => None,
    }
}

fn plural_of(binding: &Binding) -> &'static str {
    if binding.role_kind == "ClusterRole" {
        "clusterrole"
    } else {
        "role"
    }
}

/// Upstream: `RBAC: allowed by ClusterRoleBinding "x" of ClusterRole "y" to User "z"`.
fn reason(binding: &Binding, (namespace, name): &Key, subject: &Subject) -> String {
    let Binding {
        kind,
        role_kind,
        role_name,
        ..
    } = binding;
    let place = if namespace.is_empty() {
        name.clone()
    } else {
        format!("{name}/{namespace}")
    };
    let subject = match subject {
        Subject::Group(name) => format!("Group {name:?}"),
        Subject::User(name) => match crate::authn::service_account(name) {
            Some((namespace, name)) => format!("ServiceAccount \"{name}/{namespace}\""),
            None => format!("User {name:?}"),
        },
    };
    format!("RBAC: allowed by {kind} {place:?} of {role_kind} {role_name:?} to {subject}")
}
