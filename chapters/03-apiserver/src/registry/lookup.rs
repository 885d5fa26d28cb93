//! What admission looks around at: the rest of the cluster, as of now.

use std::sync::LazyLock;

use serde_json::Value;

use super::glimpse::Wanted;
use super::write::Writer;
use super::{Registry, Target, keys};
use crate::admission::{Admission, Lookup, Operation, Request};
use crate::authz::Attributes;
use crate::resources::{self, Resource};
use crate::status::ApiError;

/// What the plugins look at in those objects that nearly every write has them look up. All else
/// that they read of them has to be named here.
const LOOKED_AT: [(&str, &[&[&str]]); 3] = [
    (
        "namespaces",
        &[
            &["metadata", "deletionTimestamp"],
            &["metadata", "labels"],
            &["status", "phase"],
        ],
    ),
    (
        "priorityclasses",
        &[
            &["metadata", "name"],
            &["globalDefault"],
            &["preemptionPolicy"],
            &["value"],
        ],
    ),
    (
        "serviceaccounts",
        &[&["automountServiceAccountToken"], &["imagePullSecrets"]],
    ),
];

/// What is read of an object that a plugin looks up.
fn wanted(plural: &str) -> &'static Wanted {
    static SOME: LazyLock<[(&str, Wanted); 3]> =
        LazyLock::new(|| LOOKED_AT.map(|(plural, places)| (plural, Wanted::some(places))));
    static MOST: LazyLock<Wanted> = LazyLock::new(Wanted::all_but_managed_fields);
    let some = SOME.iter().find(|(of, _)| *of == plural);
    some.map_or(&*MOST, |(_, wanted)| wanted)
}

impl Lookup for Registry {
    fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let resource = looked_up(plural)?;
        let slot = self.cache.slot(resource)?;
        let entry = slot.get(&keys::local(namespace, name))?;
        Some(wanted(plural).read_versioned(&entry.stored, entry.revision))
    }

    fn list(&self, plural: &str, namespace: &str) -> Vec<Value> {
        let Some(slot) = looked_up(plural).and_then(|resource| self.cache.slot(resource)) else {
            return Vec::new();
        };
        let wanted = wanted(plural);
        let entries = slot.objects(namespace, None);
        entries
            .iter()
            .map(|entry| wanted.read_versioned(&entry.stored, entry.revision))
            .collect()
    }

    fn may(&self, attributes: &Attributes) -> bool {
        self.authorizer().authorize(attributes).is_allowed()
    }
}

/// The resources that admission asks for have one group each.
fn looked_up(plural: &str) -> Option<&'static Resource<'static>> {
    resources::all().find(|resource| resource.plural == plural && resource.is_stored())
}

impl Registry {
    /// Admits a create (`live` is none) or an update, and completes the object.
    pub(super) fn admit(
        &self,
        target: &Target<'_>,
        live: Option<&Value>,
        new: &mut Value,
        writer: &Writer<'_>,
    ) -> Result<(), ApiError> {
        let operation = if live.is_some() {
            Operation::Update
        } else {
            Operation::Create
        };
        self.admit_operation(target, operation, Some(new), live, writer)
    }

    /// Admits a deletion.
    ///
    /// # Errors
    /// 403 if it may not be.
    pub fn admit_delete(&self, target: &Target<'_>, writer: &Writer<'_>) -> Result<(), ApiError> {
        let old = self.cached(target).ok();
        self.admit_operation(target, Operation::Delete, None, old.as_ref(), writer)?;
        self.judge_operation(target, Operation::Delete, None, old.as_ref(), writer)
    }

    /// Admits something that is said to an object, as a create of its part: a binding, an
    /// eviction, a token request.
    ///
    /// # Errors
    /// 403 if it may not be.
    pub fn admit_part(
        &self,
        target: &Target<'_>,
        said: &mut Value,
        writer: &Writer<'_>,
    ) -> Result<(), ApiError> {
        let whole = Target {
            subresource: "",
            ..*target
        };
        let old = self.cached(&whole).ok();
        self.admit_operation(target, Operation::Create, Some(said), old.as_ref(), writer)?;
        self.judge_operation(target, Operation::Create, Some(said), None, writer)
    }

    fn admit_operation(
        &self,
        target: &Target<'_>,
        operation: Operation,
        object: Option<&mut Value>,
        old: Option<&Value>,
        writer: &Writer<'_>,
    ) -> Result<(), ApiError> {
        if let Some(custom) = target.resource.custom
            && operation == Operation::Create
            && custom.definition.is_terminating
        {
            let why = "create not allowed while custom resource definition is terminating";
            return Err(ApiError::forbidden(target.subject(), why));
        }
        let admission = Admission {
            not_ready_toleration_seconds: self.config.default_not_ready_toleration_seconds,
            unreachable_toleration_seconds: self.config.default_unreachable_toleration_seconds,
        };
        let mut request = Request {
            user: writer.user,
            operation,
            resource: target.resource,
            subresource: target.subresource,
            namespace: target.namespace,
            name: target.name,
            object,
            old,
            dry_run: writer.dry_run,
        };
        admission.admit(&mut request, self)?;
        let policies = self.policies();
        if policies.mutate(&mut request, self, false)? {
            // What they have changed may need what the plugins fill in.
            admission.admit(&mut request, self)?;
            policies.mutate(&mut request, self, true)?;
        }
        Ok(())
    }
}
