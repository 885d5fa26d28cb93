//! What a Job's pod has beside its template.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use kube::ResourceExt;

use super::plan::NewPod;
use super::tally::{INDEX, INDEX_FAILURES, INDEX_IGNORED, TRACKING};
use crate::pod_control::pod_from_template;

/// Containers learn the index by this variable.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// How long the part of a name is that is not made up.
const NAME_MAX: usize = 58;

/// A pod of a Job: with the finalizer by which it is counted and, of an Indexed Job, its index as
/// annotation, label, variable, and in its names. Upstream: `newPodTemplate`,
/// `addCompletionIndexEnvVariables`.
pub fn pod(job: &Job, new: &NewPod) -> Pod {
    let template = job.spec.clone().unwrap_or_default().template;
    let mut pod = pod_from_template(job, template);
    pod.finalizers_mut().push(TRACKING.to_owned());
    let Some(index) = new.index else {
        return pod;
    };
    let text = index.to_string();
    pod.labels_mut().insert(INDEX.to_owned(), text.clone());
    let annotations = pod.annotations_mut();
    annotations.insert(INDEX.to_owned(), text);
    if let Some((counted, ignored)) = new.failures {
        annotations.insert(INDEX_FAILURES.to_owned(), counted.to_string());
        if ignored > 0 {
            annotations.insert(INDEX_IGNORED.to_owned(), ignored.to_string());
        }
    }
    let (name, end) = (job.name_any(), format!("-{index}-"));
    let start: String = name.chars().take(NAME_MAX - end.len()).collect();
    pod.metadata.generate_name = Some(start + &end);
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(format!("{name}-{index}"));
    let containers = spec.init_containers.iter_mut().flatten();
    containers
        .chain(&mut spec.containers)
        .for_each(add_index_variable);
    pod
}

fn add_index_variable(container: &mut Container) {
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|it| it.name == INDEX_VARIABLE) {
        return;
    }
    variables.push(EnvVar {
        name: INDEX_VARIABLE.into(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: format!("metadata.labels['{INDEX}']"),
            }),
            ..EnvVarSource::default()
        }),
    });
}
