//! `authorizer`: expressions that ask whether a user may do something.
//!
//! ```text
//! authorizer.group('apps').resource('deployments').namespace('default').check('create').allowed()
//! ─────────┬ ──────┬────── ──────────┬──────────── ─────────┬────────── ──────┬──────── ───┬─────
//!   Stage::Authorizer, ::Group,     ::Resource,       Check::namespace     Decision      a bool
//! ```
//!
//! Each step gives a `Check` that says more; `check` asks whoever evaluates the expression.
//!
//! Upstream: `apiserver/pkg/cel/library/authz.go`.

use std::sync::Arc;

use super::Names;
use super::budget::Failure;
use super::value::Val;
use crate::validation::names::{dns1123_label, dns1123_subdomain};

/// What may be done, or not: an expression asks for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Check {
    /// Of what is no resource: `/healthz`. None: it is about a resource.
    pub path: Option<String>,
    /// `apps`; the core group is empty.
    pub group: String,
    /// `deployments`
    pub resource: String,
    /// `status`
    pub subresource: String,
    /// Empty: of all namespaces, or of what is in none.
    pub namespace: String,
    /// Empty: any.
    pub name: String,
    /// As it was written: it may be none that can be read.
    pub field_selector: String,
    /// As it was written: it may be none that can be read.
    pub label_selector: String,
    /// `get`
    pub verb: String,
    /// The namespace and the name of the service account that it is about. None: it is about the
    /// user whose request is being decided.
    pub service_account: Option<(String, String)>,
}

/// Whether it may be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// Whether it is allowed; what nobody has an opinion about is not.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong on the way.
    pub error: Option<String>,
}

/// How much of a check has been said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stage {
    /// Whose it is: `authorizer`.
    Authorizer,
    /// A path.
    Path,
    /// A group.
    Group,
    /// A resource, and more.
    Resource,
}

impl Check {
    /// What `authorizer` stands for.
    pub fn authorizer() -> Val {
        Check::default().at(Stage::Authorizer)
    }

    /// What `authorizer.requestResource` stands for: about what is being asked of the server.
    pub fn of_request(self) -> Val {
        self.at(Stage::Resource)
    }

    fn at(self, stage: Stage) -> Val {
        Val::Check(stage, Arc::new(self))
    }
}

/// A function of a check.
pub(super) fn ask(
    name: &str,
    stage: Stage,
    check: &Check,
    arguments: &[Val],
    names: &dyn Names,
) -> Result<Val, Failure> {
    let texts = arguments.iter().map(|value| match value {
        Val::Text(text) => Ok(text.to_string()),
        _ => Err(Failure::overload()),
    });
    let texts = texts.collect::<Result<Vec<String>, Failure>>()?;
    let mut next = check.clone();
    match (stage, name, texts.as_slice()) {
        (Stage::Authorizer, "path", [path]) => {
            next.path = Some(filled("path", path)?);
            Ok(next.at(Stage::Path))
        }
        (Stage::Authorizer, "group", [group]) => {
            next.group.clone_from(group);
            Ok(next.at(Stage::Group))
        }
        (Stage::Authorizer, "serviceAccount", [namespace, name]) => {
            for (fits, what) in [
                (dns1123_subdomain(name).is_empty(), "name"),
                (dns1123_label(namespace).is_empty(), "namespace"),
            ] {
                if !fits {
                    return Err(Failure::error(format!("Invalid service account {what}")));
                }
            }
            next.service_account = Some((namespace.clone(), name.clone()));
            Ok(next.at(Stage::Authorizer))
        }
        (Stage::Group, "resource", [resource]) => {
            next.resource = filled("resource", resource)?;
            Ok(next.at(Stage::Resource))
        }
        (Stage::Path | Stage::Resource, "check", [verb]) => {
            next.verb.clone_from(verb);
            Ok(Val::Decision(Arc::new(names.check(&next))))
        }
        (Stage::Resource, field, [value]) => {
            let field = match field {
                "subresource" => &mut next.subresource,
                "namespace" => &mut next.namespace,
                "name" => &mut next.name,
                "fieldSelector" => &mut next.field_selector,
                "labelSelector" => &mut next.label_selector,
                _ => return Err(Failure::overload()),
            };
            field.clone_from(value);
            Ok(next.at(Stage::Resource))
        }
        _ => Err(Failure::overload()),
    }
}

fn filled(what: &str, text: &str) -> Result<String, Failure> {
    match text.trim().is_empty() {
        true => Err(Failure::error(format!("{what} must not be empty"))),
        false => Ok(text.to_owned()),
    }
}

/// A function of a decision.
pub(super) fn tell(name: &str, decision: &Decision) -> Result<Val, Failure> {
    Ok(match name {
        "allowed" => Val::Bool(decision.allowed),
        "reason" => Val::text(&decision.reason),
        "errored" => Val::Bool(decision.error.is_some()),
        "error" => Val::text(decision.error.as_deref().unwrap_or_default()),
        _ => return Err(Failure::overload()),
    })
}
