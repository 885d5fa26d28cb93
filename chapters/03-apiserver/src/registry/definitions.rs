//! Custom resources come and go with their definitions.
//!
//! ```text
//!  definition written ─▶ follow_definitions   the catalog is made anew, on the cache's way
//!                    └─▶ tend_definitions     names are given, Established; at the end, its
//!                                             objects are deleted, and then its finalizer
//! ```
//!
//! The first is a part of taking in what the store tells: who reads at a revision finds what was
//! defined at it. The second writes, as any client would. Upstream has controllers for it:
//! `apiextensions-apiserver/pkg/controller/{status,establish,finalizer}`.

use std::sync::Arc;

use etcd::api::{KeyRange, Revision};
use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::cache::Slot;
use super::delete::DeleteOptions;
use super::write::Writer;
use super::{Registry, Target, bootstrap, meta, range};
use crate::custom::{conditions, definition};
use crate::resources::{Resource, by_kind, has_condition};
use crate::status::ApiError;

/// What keeps a definition until its objects are gone.
pub(super) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The resource of definitions.
fn resource() -> &'static Resource<'static> {
    let found = by_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    found.expect("definitions are served")
}

/// Says that the end of a definition has begun.
pub(super) fn mark(own: &mut Value, now: &str) {
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin \
                   soon";
    definition::terminating(own, ("True", "InstanceDeletionPending", message), now);
}

impl Registry {
    fn definitions(&self) -> (Arc<Slot>, Vec<Value>) {
        let slot = self.cache.slot(resource()).expect("definitions are stored");
        let entries = slot.objects("", None);
        let decoded = entries
            .iter()
            .filter_map(|entry| slot.codec.decode(&entry.stored, entry.revision).ok());
        let decoded = decoded.collect();
        (slot, decoded)
    }

    /// Serves what is defined as of a revision, which the cache has taken in and not yet told.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(super) async fn follow_definitions(&self, revision: Revision) -> Result<(), crate::Error> {
        let defined = self.cache.define(&self.definitions().1);
        for slot in &defined.new {
            // Objects may have outlived an earlier definition.
            let end = format!("{}0", slot.prefix.trim_end_matches('/'));
            let mut request = range(KeyRange::Span(slot.prefix.clone().into(), end.into()));
            request.revision = revision;
            let found = self.store.range(request).await?;
            slot.fill(revision, &found.kvs);
        }
        self.cache.publish(defined);
        Ok(())
    }

    /// Gives names to definitions, and ends them, until shutdown.
    pub async fn tend_definitions(&self, shutdown: &CancellationToken) {
        let (slot, _) = self.definitions();
        let mut changed = slot.subscribe();
        let mut revision = self.cache.subscribe();
        loop {
            changed.mark_unchanged();
            revision.mark_unchanged();
            let mut waits_for_objects = false;
            for name in slot
                .objects("", None)
                .iter()
                .map(|entry| entry.name().to_owned())
            {
                let tended = tokio::select! {
                    tended = self.tend(&name) => tended,
                    // A write may wait for a cache that nobody fills any more.
                    () = shutdown.cancelled() => return,
                };
                match tended {
                    Ok(waits) => waits_for_objects |= waits,
                    Err(error) if matches!(error.reason, "Conflict" | "NotFound") => {}
                    Err(error) => tracing::warn!(%error, name, "a definition cannot be tended"),
                }
            }
            tokio::select! {
                changed = changed.changed() => if changed.is_err() { return },
                // The end of an object is no change of its definition.
                changed = revision.changed(), if waits_for_objects => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Brings a definition a step on; answers with whether it waits for its objects to go.
    async fn tend(&self, name: &str) -> Result<bool, ApiError> {
        let (_, all) = self.definitions();
        let Some(own) = all.iter().find(|other| meta::name(other) == name) else {
            return Ok(false);
        };
        let now = meta::time(Timestamp::now());
        if meta::is_terminating(own) && meta::finalizers(own).contains(&CLEANUP) {
            return self.end(own, &now).await;
        }
        let group = &own["spec"]["group"];
        let others = all
            .iter()
            .filter(|other| meta::name(other) != name && other["spec"]["group"] == *group);
        if let Some(settled) = conditions::settle(own, &conditions::Taken::by(others), &now) {
            self.write_status(settled).await?;
        }
        Ok(false)
    }

    /// Deletes the objects of a definition whose end has begun, and then lets it go.
    async fn end(&self, own: &Value, now: &str) -> Result<bool, ApiError> {
        let mut ending = own.clone();
        let step = (
            "True",
            "InstanceDeletionInProgress",
            "CustomResource deletion is in progress",
        );
        definition::terminating(&mut ending, step, now);
        if ending["status"] != own["status"] {
            // Comes back here when it is written.
            self.write_status(ending).await?;
            return Ok(false);
        }
        let done = match has_condition(own, "Established") {
            false => (
                "False",
                "NeverEstablished",
                "resource was never established",
            ),
            true => {
                if self.delete_objects(own).await? > 0 {
                    return Ok(true);
                }
                (
                    "False",
                    "InstanceDeletionCompleted",
                    "removed all instances",
                )
            }
        };
        definition::terminating(&mut ending, done, now);
        let kept = meta::finalizers(own)
            .into_iter()
            .filter(|finalizer| *finalizer != CLEANUP);
        let kept: Vec<String> = kept.map(str::to_owned).collect();
        meta::set_finalizers(&mut ending, &kept);
        self.write_status(ending).await?;
        Ok(false)
    }

    /// Deletes the objects of a definition; answers with how many are left.
    async fn delete_objects(&self, own: &Value) -> Result<usize, ApiError> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (group, plural) = (
            text(&own["spec"]["group"]),
            text(&own["spec"]["names"]["plural"]),
        );
        let slots = self.cache.slots();
        let slot = slots.iter().find(|slot| {
            let resource = slot.resource();
            resource.custom.is_some() && resource.group == group && resource.plural == plural
        });
        let Some(slot) = slot else { return Ok(0) };
        let resource = &slot.resource();
        for entry in slot.objects("", None) {
            let target = Target {
                resource,
                subresource: "",
                namespace: entry.namespace(),
                name: entry.name(),
            };
            match self.delete(&target, &DeleteOptions::default()).await {
                Err(error) if error.reason != "NotFound" => return Err(error),
                _ => {}
            }
        }
        Ok(slot.len())
    }

    async fn write_status(&self, settled: Value) -> Result<(), ApiError> {
        let target = Target {
            resource: resource(),
            subresource: "status",
            namespace: "",
            name: meta::name(&settled),
        };
        let user = bootstrap::loopback();
        let writer = Writer {
            user: &user,
            manager: "kube-apiserver",
            dry_run: false,
            apply: false,
            warnings: None,
        };
        self.update(&target, &writer, |_| Ok(settled.clone()))
            .await
            .map(|_| ())
    }
}
