//! Keeps the roles of the system as they are to be: at the start, what this version has and the
//! store has not; then the sums, whenever a part of one changes.
//!
//! Upstream: `pkg/registry/rbac/rest/storage_rbac.go`,
//! `pkg/controller/clusterroleaggregation`.

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::delete::DeleteOptions;
use super::{Registry, Target, bootstrap, meta};
use crate::authz::Rule;
use crate::authz::bootstrap::reconcile::{Reconciled, reconcile};
use crate::resources;
use crate::status::ApiError;

impl Registry {
    /// Adds to the roles and bindings that are there what they lack.
    pub(super) async fn reconcile_rbac(&self, objects: Vec<Value>) -> Result<(), ApiError> {
        self.ensure_all(objects.clone()).await?;
        for object in objects {
            let (resource, namespace, name) = bootstrap::address_of(&object)?;
            let target = Target {
                resource,
                subresource: "",
                namespace: &namespace,
                name: &name,
            };
            match reconcile(&self.cached(&target)?, &object) {
                Reconciled::Kept => {}
                Reconciled::Changed(new) => self.write_back(&target, &new).await?,
                Reconciled::Replaced => {
                    self.delete(&target, &DeleteOptions::default()).await?;
                    self.ensure_all(vec![object]).await?;
                }
            }
        }
        Ok(())
    }

    async fn write_back(&self, target: &Target<'_>, new: &Value) -> Result<(), ApiError> {
        let user = bootstrap::loopback();
        let writer = bootstrap::writer(&user);
        let change = |_: Option<&Value>| Ok(new.clone());
        self.update(target, &writer, change).await.map(|_| ())
    }

    /// Writes into each cluster role that is a sum of others what these allow, whenever one of
    /// them changes, until shutdown. Decisions do not wait for it: they add up by themselves.
    pub async fn keep_aggregated(&self, shutdown: &CancellationToken) {
        let resource = resources::by_kind("rbac.authorization.k8s.io", "v1", "ClusterRole");
        let resource = resource.expect("are served");
        let Ok(slot) = self.slot(resource) else {
            return;
        };
        let mut changed = slot.subscribe();
        loop {
            let entries = slot.objects("", None);
            let roles = entries
                .iter()
                .filter_map(|entry| slot.codec.decode(&entry.stored, entry.revision).ok());
            for role in roles.filter(|role| role["aggregationRule"].is_object()) {
                let Some(new) = self.added_up(&role) else {
                    continue;
                };
                let target = Target {
                    resource,
                    subresource: "",
                    namespace: "",
                    name: meta::name(&role),
                };
                let written = tokio::select! {
                    written = self.write_back(&target, &new) => written,
                    // A write may wait for a cache that nobody fills any more.
                    () = shutdown.cancelled() => return,
                };
                // Who was faster is seen at the next change, which that was.
                if let Err(error) = written {
                    tracing::debug!(%error, role = target.name, "a sum of roles is not written");
                }
            }
            tokio::select! {
                changed = changed.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// A sum with the rules of its parts, if it has others.
    fn added_up(&self, role: &Value) -> Option<Value> {
        let authorizer = self.authorizer();
        let rules = authorizer
            .rbac
            .role_rules("ClusterRole", "", meta::name(role))?;
        if rules == Rule::list(&role["rules"]) {
            return None;
        }
        let mut new = role.clone();
        new["rules"] = rules.iter().map(Rule::to_object).collect::<Vec<_>>().into();
        Some(new)
    }
}
