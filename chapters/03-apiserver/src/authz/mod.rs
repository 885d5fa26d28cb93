//! Authorization: may this user do this?
//!
//! ```text
//! Attributes ──▶ system:masters? ──▶ a kubelet? [node] ──▶ a role that allows it? [rbac] ──▶ Deny
//!                      │ Allow             │ Allow                │ Allow
//! ```
//!
//! Each authorizer allows or has no opinion; nobody denies, and what nobody allows is denied. The
//! roles are ordinary objects: whoever feeds the watch cache feeds [`RbacState`] and
//! [`PodGraph`] too, so that a decision takes no read and no lock but theirs.
//!
//! [`bootstrap`] has the roles that are there from the first start.
//!
//! Upstream: `plugin/pkg/auth/authorizer/{rbac,node}/`.

pub mod bootstrap;
pub mod escalation;
pub mod graph;
pub mod node;
pub mod rbac;
pub mod rules;

use serde_json::{Value, json};

pub use graph::{NodeGraph, OWNED, PodGraph};
pub use node::authorize_node;
pub use rbac::RbacState;
pub use rules::Rule;

use crate::{authn::User, resources::Resource, selectors::FieldSelector, status::ApiError};

/// Whether rights follow from all that objects of a resource say, so that they have to be read as
/// a whole.
pub fn looks_at_whole(resource: &Resource) -> bool {
    let of = (resource.group, resource.plural);
    resource.group == "rbac.authorization.k8s.io" || of == ("", "persistentvolumes")
}

/// Where in the objects of any other resource it shows whether rights may follow from them.
pub fn places(resource: &Resource) -> &'static [&'static [&'static str]] {
    match (resource.group, resource.plural) {
        ("", "pods") => PodGraph::POD_PLACES,
        ("storage.k8s.io", "volumeattachments") | ("resource.k8s.io", "resourceslices") => {
            PodGraph::OWNED_PLACES
        }
        _ => &[],
    }
}

/// The group whose members may do anything, whatever the roles say.
pub const MASTERS: &str = "system:masters";

/// What is to be done, by whom.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a User,
    /// `get`, `list`, `watch`, `create`, …; the HTTP method in lower case for a path.
    pub verb: &'a str,
    /// API group; empty for core.
    pub group: &'a str,
    /// `v1`; no rule looks at it.
    pub version: &'a str,
    /// `pods`
    pub resource: &'a str,
    /// `log`; empty for the object itself.
    pub subresource: &'a str,
    /// Empty for the whole cluster.
    pub namespace: &'a str,
    /// Empty for a collection; for a list or watch with `metadata.name=x` among its field
    /// selector's terms, x.
    pub name: &'a str,
    /// The field selector of a list or watch: a kubelet may list the pods of its own node.
    pub fields: Option<&'a FieldSelector>,
    /// The path, when it is none of a resource: `/healthz`.
    pub path: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    /// A verb on a resource of the core group; set what else is known with `..`.
    pub fn of(user: &'a User, verb: &'a str, resource: &'a str) -> Attributes<'a> {
        Attributes {
            user,
            verb,
            group: "",
            version: "v1",
            resource,
            subresource: "",
            namespace: "",
            name: "",
            fields: None,
            path: None,
        }
    }

    /// A method on a path that belongs to no resource.
    pub fn of_path(user: &'a User, verb: &'a str, path: &'a str) -> Attributes<'a> {
        Attributes {
            path: Some(path),
            ..Attributes::of(user, verb, "")
        }
    }

    /// `pods/log`
    fn qualified_resource(&self) -> String {
        match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }

    /// What a person reads when it is denied. Upstream: `responsewriters.ForbiddenMessage`.
    fn denial(&self, reason: &str) -> String {
        let Attributes {
            user,
            verb,
            group,
            namespace,
            ..
        } = self;
        let mut message = match self.path {
            Some(path) => format!("User {:?} cannot {verb} path {path:?}", user.name),
            None => format!(
                "User {:?} cannot {verb} resource {:?} in API group {group:?} {}",
                user.name,
                self.qualified_resource(),
                match *namespace {
                    "" => "at the cluster scope".to_owned(),
                    namespace => format!("in the namespace {namespace:?}"),
                }
            ),
        };
        if !reason.is_empty() {
            message = format!("{message}: {reason}");
        }
        message
    }
}

/// What was decided, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may be done; by whose leave, for SubjectAccessReviews.
    Allow(String),
    /// It may not; what the 403 says after `… is forbidden: `.
    Deny(String),
}

impl Decision {
    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allow(_))
    }
}

/// All authorizers, one after the other.
#[derive(Debug, Default)]
pub struct Authorizer {
    /// Roles and bindings.
    pub rbac: RbacState,
    /// Which node runs which pod, and what the pod needs.
    pub graph: PodGraph,
}

impl Authorizer {
    /// Decides.
    pub fn authorize(&self, attributes: &Attributes) -> Decision {
        if attributes.user.in_group(MASTERS) {
            return Decision::Allow(String::new());
        }
        let node = authorize_node(attributes, &self.graph);
        let mut reasons = Vec::new();
        match node {
            Some(Ok(())) => return Decision::Allow(String::new()),
            Some(Err(why)) => reasons.push(why),
            None => {}
        }
        match self.rbac.decide(attributes) {
            Ok(by) => Decision::Allow(by),
            Err(why) => {
                reasons.extend(why);
                reasons.retain(|reason| !reason.is_empty());
                Decision::Deny(attributes.denial(&reasons.join(", ")))
            }
        }
    }

    /// All that a user may do in a namespace: a `SubjectRulesReviewStatus`, which
    /// `kubectl auth can-i --list` shows.
    pub fn rules_review(&self, user: &User, namespace: &str) -> Value {
        let mut status = self.rbac.rules_review(user, namespace);
        if user.node().is_some() {
            status["incomplete"] = json!(true);
            status["evaluationError"] =
                json!("node authorizer does not support user rule resolution");
        }
        status
    }

    /// Whether the user may write this role or binding: nobody hands out more than they have.
    ///
    /// # Errors
    /// 403 with the missing rules, one a line.
    pub fn check_escalation(
        &self,
        user: &User,
        resource: &crate::resources::Resource,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), ApiError> {
        escalation::check(self, user, resource, object, old)
    }
}
