//! APIServices of what clients define: each group and version that is served has one, which comes
//! and goes with its definitions.
//!
//! One that somebody else has made under such a name is left as it is.
//!
//! Upstream: `pkg/controlplane/controller/crdregistration`, and `kube-aggregator/pkg/controllers/autoregister`,
//! which tells its own by a label.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::cache::Slot;
use super::delete::DeleteOptions;
use super::{Registry, Target, meta};
use crate::resources::by_kind;
use crate::status::ApiError;

const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Groups of definitions come after those that are built in.
const GROUP_PRIORITY: i64 = 1000;
/// All versions the same: which of them is the best, their names say.
const VERSION_PRIORITY: i64 = 100;

/// Something to be done.
#[derive(Debug, PartialEq)]
enum Step {
    Create(Value),
    /// Brings its spec back.
    Restore(Value),
    Delete(String),
}

/// What is to be done so that each served group and version of the definitions has a service.
fn plan(definitions: &[Value], services: &[Value]) -> Vec<Step> {
    let mut wanted = BTreeSet::new();
    for definition in definitions {
        let spec = &definition["spec"];
        let versions = spec["versions"].as_array().into_iter().flatten();
        let served = versions.filter(|version| version["served"] == true);
        let name = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        wanted.extend(served.map(|version| (name(&spec["group"]), name(&version["name"]))));
    }
    let is_own = |service: &&Value| service["metadata"]["labels"][MANAGED] == "true";
    let mut steps = Vec::new();
    for (group, version) in &wanted {
        let service = service(group, version);
        let same = |there: &&Value| meta::name(there) == meta::name(&service);
        match services.iter().find(same) {
            None => steps.push(Step::Create(service)),
            Some(there) if is_own(&there) && there["spec"] != service["spec"] => {
                steps.push(Step::Restore(service));
            }
            Some(_) => {}
        }
    }
    for there in services.iter().filter(is_own) {
        let name = meta::name(there);
        let mut wanted = wanted.iter();
        if !wanted.any(|(group, version)| name == format!("{version}.{group}")) {
            steps.push(Step::Delete(name.to_owned()));
        }
    }
    steps
}

fn service(group: &str, version: &str) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": format!("{version}.{group}"), "labels": {MANAGED: "true"}},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": GROUP_PRIORITY,
            "versionPriority": VERSION_PRIORITY,
        },
    })
}

fn decoded(slot: &Slot) -> Vec<Value> {
    let entries = slot.objects("", None);
    let decoded = entries
        .iter()
        .filter_map(|entry| slot.codec.decode(&entry.stored, entry.revision).ok());
    decoded.collect()
}

impl Registry {
    /// Keeps an APIService for each served version of each definition, until shutdown.
    pub async fn tend_api_services(&self, shutdown: &CancellationToken) {
        let slot = |group: &str, kind: &str| {
            let resource = by_kind(group, "v1", kind).expect("is served");
            self.cache.slot(resource).expect("is stored")
        };
        let definitions = slot("apiextensions.k8s.io", "CustomResourceDefinition");
        let services = slot("apiregistration.k8s.io", "APIService");
        let (mut defined, mut kept) = (definitions.subscribe(), services.subscribe());
        loop {
            defined.mark_unchanged();
            kept.mark_unchanged();
            for step in plan(&decoded(&definitions), &decoded(&services)) {
                let taken = tokio::select! {
                    taken = self.take(step) => taken,
                    // A write may wait for a cache that nobody fills any more.
                    () = shutdown.cancelled() => return,
                };
                match taken {
                    // Somebody else was faster, whose change comes by here.
                    Err(error) if matches!(error.reason, "Conflict" | "NotFound") => {}
                    Err(error) => tracing::warn!(%error, "an APIService cannot be kept"),
                    Ok(()) => {}
                }
            }
            tokio::select! {
                changed = defined.changed() => if changed.is_err() { return },
                changed = kept.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn take(&self, step: Step) -> Result<(), ApiError> {
        match step {
            Step::Create(service) => self.ensure(service).await,
            Step::Restore(service) => self.reset(service).await,
            Step::Delete(name) => {
                let resource = by_kind("apiregistration.k8s.io", "v1", "APIService");
                let target = Target {
                    resource: resource.expect("is served"),
                    subresource: "",
                    namespace: "",
                    name: &name,
                };
                self.delete(&target, &DeleteOptions::default()).await?;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(group: &str, versions: &[(&str, bool)]) -> Value {
        let version = |(name, served): &(&str, bool)| json!({"name": name, "served": served});
        let versions: Value = versions.iter().map(version).collect();
        json!({"spec": {"group": group, "versions": versions}})
    }

    #[test]
    fn services_follow_definitions() {
        let definitions = [
            definition("a.example.com", &[("v1", true), ("v2", false)]),
            definition("a.example.com", &[("v1", true), ("v3", true)]),
        ];
        let (one, three) = (
            service("a.example.com", "v1"),
            service("a.example.com", "v3"),
        );
        assert_eq!(
            plan(&definitions, &[]),
            [Step::Create(one.clone()), Step::Create(three.clone())]
        );
        let mut spoilt = one.clone();
        spoilt["spec"]["versionPriority"] = 1.into();
        let mut others = three.clone();
        others["metadata"]["labels"] = Value::Null;
        others["spec"]["service"] = json!({"name": "mine"});
        let gone = service("b.example.com", "v1");
        let mut built_in = service("apps", "v1");
        built_in["metadata"]["labels"][MANAGED] = "onstart".into();
        assert_eq!(
            plan(&definitions, &[spoilt, others, gone, built_in]),
            [
                Step::Restore(one.clone()),
                Step::Delete("v1.b.example.com".to_owned())
            ]
        );
        assert_eq!(plan(&definitions, &[one, three]), []);
    }
}
