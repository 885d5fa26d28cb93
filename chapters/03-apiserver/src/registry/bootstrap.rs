//! What has to be there from the start: namespaces, roles, priority classes.

use serde_json::{Value, json};

use super::write::Writer;
use super::{Registry, Target, meta};
use crate::authn::User;
use crate::authz::{MASTERS, bootstrap};
use crate::resources;
use crate::status::ApiError;

/// Namespaces of every cluster.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// The server itself, as a writer.
pub fn loopback() -> User {
    User {
        name: "system:apiserver".into(),
        groups: vec![MASTERS.into()],
        ..User::default()
    }
}

impl Registry {
    /// Makes what is missing.
    ///
    /// # Errors
    /// If something cannot be made.
    pub async fn bootstrap(&self) -> Result<(), ApiError> {
        let namespace = |name: &&str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {}});
        let mut missing: Vec<Value> = NAMESPACES.iter().map(namespace).collect();
        missing.extend(bootstrap::bootstrap_objects());
        // All at once: the store syncs its log once for all of them.
        let made = missing.into_iter().map(|object| self.ensure(object));
        futures::future::try_join_all(made).await?;
        Ok(())
    }

    /// Makes an object, unless it is there.
    async fn ensure(&self, object: Value) -> Result<(), ApiError> {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", "v1"));
        let resource = resources::by_kind(group, version, text("kind"))
            .ok_or_else(|| ApiError::internal(format!("{} is not served", text("kind"))))?;
        let namespace = meta::namespace(&object).to_owned();
        let name = meta::name(&object).to_owned();
        let target = Target {
            resource,
            subresource: "",
            namespace: &namespace,
            name: &name,
        };
        if self.read(&target)?.is_some() {
            return Ok(());
        }
        let user = loopback();
        let writer = Writer {
            user: &user,
            manager: "kube-apiserver",
            dry_run: false,
            apply: false,
        };
        match self.create(&target, object, &writer).await {
            Err(error) if error.reason != "AlreadyExists" => Err(error),
            _ => Ok(()),
        }
    }
}
