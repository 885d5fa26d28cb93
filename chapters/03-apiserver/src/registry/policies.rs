//! What clients' own rules of admission say of a write, and where they look.

use std::sync::{Arc, PoisonError};

use serde_json::Value;

use super::write::Writer;
use super::{Registry, Target, keys, meta};
use crate::admission::policy::{KINDS, Policies, World};
use crate::admission::{Operation, Request};
use crate::authz::{Attributes, Decision};
use crate::resources::{self, Resource, Served};
use crate::status::ApiError;

const GROUP: &str = "admissionregistration.k8s.io";

impl World for Registry {
    fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<Served> {
        let catalog = self.catalog();
        let is = |resource: &Resource| {
            resource.group == group
                && resource.version == version
                && resource.kind == kind
                && resource.is_stored()
        };
        let plural = catalog.all().find(is)?.plural.to_owned();
        catalog.by_path(group, version, &plural)
    }

    fn equivalents(&self, resource: &Resource) -> Vec<Served> {
        let catalog = self.catalog();
        if resource.custom.is_some() {
            let others = catalog.versions_of(resource);
            let others = others.filter(|other| other.version != resource.version);
            return others.map(Served::Custom).collect();
        }
        let stored = keys::stored_as(resource);
        resources::all()
            .filter(|other| *other != resource && keys::stored_as(other) == stored)
            .map(Served::BuiltIn)
            .collect()
    }

    fn object(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Value> {
        let target = Target {
            resource,
            subresource: "",
            namespace,
            name,
        };
        self.cached(&target).ok()
    }

    fn objects(&self, resource: &Resource, namespace: &str) -> Vec<Value> {
        let Some(slot) = self.cache.slot(resource) else {
            return Vec::new();
        };
        let entries = slot.objects(namespace, None);
        let objects = entries
            .iter()
            .filter_map(|entry| self.object(resource, entry.namespace(), entry.name()));
        objects.collect()
    }

    fn authorize(&self, attributes: &Attributes) -> Decision {
        self.authorizer().authorize(attributes)
    }
}

impl Registry {
    /// The policies that are in force: read anew where one of them, or a binding, has changed.
    pub(super) fn policies(&self) -> Arc<Policies> {
        let kinds = KINDS.map(|kind| resources::by_kind(GROUP, "v1", kind).expect("is served"));
        let slots = kinds.map(|kind| self.cache.slot(kind).expect("is stored"));
        let revision = slots
            .iter()
            .map(|slot| slot.last_change())
            .max()
            .unwrap_or(0);
        let mut held = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 != revision {
            let objects = kinds.map(|kind| self.objects(kind, ""));
            *held = (revision, Arc::new(Policies::of(objects)));
        }
        held.1.clone()
    }

    /// Asks the policies about a write that is valid.
    ///
    /// # Errors
    /// What one of them has against it.
    pub(super) fn judge(
        &self,
        target: &Target<'_>,
        live: Option<&Value>,
        new: &Value,
        writer: &Writer<'_>,
    ) -> Result<(), ApiError> {
        let operation = match live {
            Some(_) => Operation::Update,
            None => Operation::Create,
        };
        let target = Target {
            name: meta::name(new),
            ..*target
        };
        self.judge_operation(&target, operation, Some(new), live, writer)
    }

    /// Asks the policies about a connection to an object, with its options.
    ///
    /// # Errors
    /// What one of them has against it.
    pub fn admit_connect(
        &self,
        target: &Target<'_>,
        options: &Value,
        writer: &Writer<'_>,
    ) -> Result<(), ApiError> {
        self.judge_operation(target, Operation::Connect, Some(options), None, writer)
    }

    pub(super) fn judge_operation(
        &self,
        target: &Target<'_>,
        operation: Operation,
        object: Option<&Value>,
        old: Option<&Value>,
        writer: &Writer<'_>,
    ) -> Result<(), ApiError> {
        let policies = self.policies();
        if !policies.validate_any() {
            return Ok(());
        }
        let mut object = object.cloned();
        let request = Request {
            user: writer.user,
            operation,
            resource: target.resource,
            subresource: target.subresource,
            namespace: target.namespace,
            name: target.name,
            object: object.as_mut(),
            old,
            dry_run: writer.dry_run,
        };
        let mut warnings = Vec::new();
        let judged = policies.validate(&request, self, &mut warnings);
        if let Some(said) = writer.warnings {
            said.add(warnings);
        }
        judged
    }
}
