//! A request, as policies look at it.

use serde_json::{Value, json};

use super::matching::Seen;
use crate::admission::{Operation, Request};
use crate::authn::User;
use crate::registry::{events, scale};
use crate::resources::Resource;

/// What is asked, with the object in the version in which it is asked.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) user: &'a User,
    /// `CREATE`
    pub(super) operation: &'static str,
    pub(super) resource: &'a Resource<'a>,
    pub(super) version: &'a str,
    pub(super) subresource: &'a str,
    /// Of a namespace: its name, as upstream has it.
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) dry_run: bool,
    pub(super) options: Value,
    /// None for deletions.
    pub(super) object: Option<Value>,
    /// What is there; none for creations.
    pub(super) old: Option<Value>,
}

impl<'a> Asked<'a> {
    pub(super) fn of(request: &'a Request) -> Asked<'a> {
        let resource = request.resource;
        let is_namespace = resource.group.is_empty() && resource.plural == "namespaces";
        let (operation, options) = match request.operation {
            Operation::Create => ("CREATE", "CreateOptions"),
            Operation::Update => ("UPDATE", "UpdateOptions"),
            Operation::Delete => ("DELETE", "DeleteOptions"),
            // Its options are its object.
            Operation::Connect => ("CONNECT", ""),
        };
        let mut options = match options {
            "" => Value::Null,
            kind => json!({"apiVersion": "meta.k8s.io/v1", "kind": kind}),
        };
        if request.dry_run {
            options["dryRun"] = json!(["All"]);
        }
        let shown = |object: &Value| match (kind_of_part(resource, request.subresource), object) {
            (Some((_, "Scale")), object) => scale::of(resource, object).unwrap_or_default(),
            // What is said to an object is none of its kind.
            (Some(_), said) => said.clone(),
            (None, object) => events::present(resource, object.clone()),
        };
        Asked {
            user: request.user,
            operation,
            resource,
            version: resource.version,
            subresource: request.subresource,
            namespace: if is_namespace {
                request.name
            } else {
                request.namespace
            },
            name: request.name,
            dry_run: request.dry_run,
            options,
            object: request.object.as_deref().map(shown),
            old: request
                .old
                .filter(|_| request.operation != Operation::Create)
                .map(shown),
        }
    }

    pub(super) fn is_namespace(&self) -> bool {
        self.resource.group.is_empty() && self.resource.plural == "namespaces"
    }

    /// An object of the request, as a policy is to see it.
    pub(super) fn see(&self, seen: &Seen, object: &Value) -> Value {
        match seen {
            Seen::AsAsked => object.clone(),
            Seen::As(other) => {
                let stored = events::to_stored(self.resource, object.clone());
                events::present(&other.resource(), stored)
            }
        }
    }

    /// `request`: an `AdmissionRequest` without the objects, which have names of their own.
    /// Upstream: `CreateAdmissionRequest` of `apiserver/pkg/admission/plugin/cel/condition.go`.
    pub(super) fn request(&self, seen: &Seen) -> Value {
        let kind = |resource: &Resource| {
            let own = (resource.api_version(), resource.kind);
            let part = kind_of_part(resource, self.subresource);
            let (version, kind) = part.map_or(own, |(version, kind)| (version.to_owned(), kind));
            let (group, version) = version.split_once('/').unwrap_or(("", &version));
            json!({"group": group, "version": version, "kind": kind})
        };
        let named = |resource: &Resource| {
            json!({"group": resource.group, "version": resource.version,
                "resource": resource.plural})
        };
        let other = match seen {
            Seen::AsAsked => *self.resource,
            Seen::As(other) => other.resource(),
        };
        let mut request = json!({
            "uid": "",
            "kind": kind(&other),
            "resource": named(&other),
            "requestKind": kind(self.resource),
            "requestResource": named(self.resource),
            "operation": self.operation,
            "userInfo": {"username": self.user.name, "groups": self.user.groups,
                "extra": self.user.extra},
            "dryRun": self.dry_run,
            "options": self.options,
            "object": null,
            "oldObject": null,
        });
        // Fields that upstream leaves out where they are empty: `has()` can tell.
        let mut set = |field: &str, text: &str| {
            if !text.is_empty() {
                request[field] = text.into();
            }
        };
        set("subResource", self.subresource);
        set("requestSubResource", self.subresource);
        set("name", self.name);
        set("namespace", self.namespace);
        if !self.user.uid.is_empty() {
            request["userInfo"]["uid"] = self.user.uid.as_str().into();
        }
        request
    }
}

/// Group and version, and kind, of what is said to a part of an object; none where that is an
/// object of the resource itself.
fn kind_of_part(resource: &Resource, subresource: &str) -> Option<(String, &'static str)> {
    let connection = match (resource.plural, subresource) {
        ("pods", "exec") => "PodExecOptions",
        ("pods", "attach") => "PodAttachOptions",
        ("pods", "portforward") => "PodPortForwardOptions",
        ("pods", "proxy") => "PodProxyOptions",
        ("services", "proxy") => "ServiceProxyOptions",
        ("nodes", "proxy") => "NodeProxyOptions",
        _ => "",
    };
    if !connection.is_empty() && resource.group.is_empty() {
        return Some(("v1".to_owned(), connection));
    }
    let part = resource.subresource(subresource)?;
    if part.kind.is_empty() || part.kind == resource.kind {
        return None;
    }
    let version = part.group_version.map_or_else(
        || resource.api_version(),
        |(group, version)| match group {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        },
    );
    Some((version, part.kind))
}
