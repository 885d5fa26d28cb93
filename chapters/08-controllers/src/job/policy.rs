//! What a Job's policies make of its pods: which failures count, and when enough have succeeded.
//!
//! Upstream: `pkg/controller/job/pod_failure_policy.go`, `success_policy.go`.

use k8s_openapi::api::batch::v1::{
    JobSpec, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::indexes::Indexes;

/// What becomes of a pod's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It counts towards the limit of failures.
    Counts,
    /// As if it had not been.
    Ignored,
    /// Its index has failed, whatever the limit.
    FailsIndex,
    /// The Job has failed, for this reason.
    FailsJob(String),
}

/// What becomes of the failure of a pod: the first rule that it matches says so.
pub fn judge(spec: &JobSpec, pod: &Pod) -> Failure {
    let rules = spec.pod_failure_policy.iter().flat_map(|it| &it.rules);
    for (place, rule) in rules.enumerate() {
        let Some(what) = matched(rule, pod) else {
            continue;
        };
        return match rule.action.as_str() {
            "Ignore" => Failure::Ignored,
            "FailIndex" => Failure::FailsIndex,
            "FailJob" => {
                Failure::FailsJob(format!("{what} matching FailJob rule at index {place}"))
            }
            _ => Failure::Counts,
        };
    }
    Failure::Counts
}

/// What of a pod matches a rule, if something does.
fn matched(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    if let Some(requirement) = &rule.on_exit_codes {
        let (container, code) = exit_code(requirement, pod)?;
        return Some(format!(
            "Container {container} for pod {name} failed with exit code {code}"
        ));
    }
    let status = pod.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
    let found = conditions.find(|condition| {
        patterns.iter().any(|pattern| {
            let wanted = pattern.status.as_deref().unwrap_or("True");
            pattern.type_ == condition.type_ && wanted == condition.status
        })
    })?;
    Some(format!("Pod {name} has condition {}", found.type_))
}

/// The first container that failed with such a code, and the code.
fn exit_code<'a>(
    requirement: &PodFailurePolicyOnExitCodesRequirement,
    pod: &'a Pod,
) -> Option<(&'a str, i32)> {
    let status = pod.status.as_ref()?;
    let lists = [&status.container_statuses, &status.init_container_statuses];
    let containers = lists.into_iter().flatten().flatten();
    let mut failed = containers.filter_map(|container| {
        let terminated = container.state.as_ref()?.terminated.as_ref()?;
        (terminated.exit_code != 0).then_some((container.name.as_str(), terminated.exit_code))
    });
    failed.find(|(name, code)| {
        let is_listed = requirement.values.contains(code);
        let named = requirement.container_name.as_deref();
        named.is_none_or(|named| named == *name) && is_listed == (requirement.operator == "In")
    })
}

/// Why the indexes that have succeeded are enough, if they are, by the Job's success policy.
pub fn enough(spec: &JobSpec, succeeded: &Indexes) -> Option<String> {
    let completions = spec.completions.unwrap_or(0);
    let rules = spec.success_policy.iter().flat_map(|policy| &policy.rules);
    for (place, rule) in rules.enumerate() {
        let wanted = rule.succeeded_indexes.as_deref();
        let wanted = wanted.map(|text| Indexes::parse(text, completions));
        let met = match (&wanted, rule.succeeded_count) {
            (Some(wanted), None) => succeeded.common(wanted) == wanted.total(),
            (Some(wanted), Some(count)) => succeeded.common(wanted) >= count,
            (None, Some(count)) => succeeded.total() >= count,
            (None, None) => false,
        };
        if met {
            return Some(format!("Matched rules at index {place}"));
        }
    }
    None
}
