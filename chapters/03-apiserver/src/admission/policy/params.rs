//! The parameters of a policy: objects of a kind that it names, chosen by each binding.
//!
//! Upstream: `CollectParams` of `apiserver/pkg/admission/plugin/policy/generic/policy_dispatcher.go`.

use serde_json::Value;

use super::World;
use super::compile::{Binding, Policy};
use crate::resources::{Resource, Served};
use crate::selectors::LabelSelector;

/// The parameters with which a policy is to be asked, once each; `None` among them stands for no
/// parameters. An empty list: it is not to be asked.
///
/// # Errors
/// What is wrong with the binding, or that it wants parameters where there are none.
pub(super) fn of(
    policy: &Policy,
    binding: &Binding,
    namespace: &str,
    world: &dyn World,
) -> Result<Vec<Option<Value>>, String> {
    let reference = &binding.param_ref;
    let Some((api_version, kind)) = policy.param_kind.as_ref().filter(|_| !reference.is_null())
    else {
        return Ok(vec![None]);
    };
    let served = resource(api_version, kind, world)?;
    let found = found(&served.resource(), reference, namespace, world)?;
    if found.is_empty() && reference["parameterNotFoundAction"] == "Deny" {
        let why = "no params found for policy binding with `Deny` parameterNotFoundAction";
        return Err(why.to_owned());
    }
    Ok(found.into_iter().map(Some).collect())
}

/// The resource of a kind.
///
/// # Errors
/// If no such kind is served.
pub(super) fn resource(api_version: &str, kind: &str, world: &dyn World) -> Result<Served, String> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let served = world.by_kind(group, version, kind);
    served.ok_or_else(|| {
        let told = format!("{group}/{version}, Kind={kind}");
        format!("failed to find resource referenced by paramKind: '{told}'")
    })
}

fn found(
    resource: &Resource,
    reference: &Value,
    namespace: &str,
    world: &dyn World,
) -> Result<Vec<Value>, String> {
    let named = reference["namespace"].as_str().unwrap_or_default();
    let namespace = match (resource.namespaced, named.is_empty()) {
        (false, false) => {
            let why = "paramRef.namespace must not be provided for a cluster-scoped `paramKind`";
            return Err(why.to_owned());
        }
        (false, true) => "",
        (true, false) => named,
        (true, true) if namespace.is_empty() => {
            let why = "cannot use namespaced paramRef in policy binding that matches \
                       cluster-scoped resources";
            return Err(why.to_owned());
        }
        (true, true) => namespace,
    };
    if let Some(name) = reference["name"].as_str().filter(|name| !name.is_empty()) {
        return Ok(world
            .object(resource, namespace, name)
            .into_iter()
            .collect());
    }
    let selector = LabelSelector::from_object(&reference["selector"])?;
    let mut all = world.objects(resource, namespace);
    all.retain(|object| selector.matches(&object["metadata"]["labels"]));
    Ok(all)
}
