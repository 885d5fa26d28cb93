//! Keeps the objects of priority and fairness that every cluster has as this version has them.
//!
//! Upstream: `pkg/registry/flowcontrol/ensurer/strategy.go`.

use serde_json::Value;

use super::{Registry, Target, bootstrap, meta};
use crate::flowcontrol::{AUTO_UPDATE, bootstrap_objects, is_mandatory};
use crate::status::ApiError;
use crate::validation::same;

impl Registry {
    /// Makes what is missing, and brings what follows this version up to it.
    pub(super) async fn bootstrap_flows(&self) -> Result<(), ApiError> {
        let objects = bootstrap_objects();
        self.ensure_all(objects.clone()).await?;
        for object in objects {
            let (resource, namespace, name) = bootstrap::address_of(&object)?;
            let target = Target {
                resource,
                subresource: "",
                namespace: &namespace,
                name: &name,
            };
            let live = self.cached(&target)?;
            if !follows(&live) || same(&live["spec"], &object["spec"]) {
                continue;
            }
            let user = bootstrap::loopback();
            let change = |live: Option<&Value>| {
                let mut new = live.cloned().unwrap_or_default();
                new["spec"] = object["spec"].clone();
                Ok(new)
            };
            self.update(&target, &bootstrap::writer(&user), change)
                .await?;
        }
        Ok(())
    }
}

/// Whether an object is as the server's version has it: what is mandatory, what says so, and what
/// says nothing and has never been changed.
fn follows(live: &Value) -> bool {
    if is_mandatory(meta::name(live)) {
        return true;
    }
    match live["metadata"]["annotations"][AUTO_UPDATE].as_str() {
        Some(says) => says == "true",
        None => meta::generation(live) <= 1,
    }
}
