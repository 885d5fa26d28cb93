//! Validation: whether an object makes sense, each field by itself and all of them together.
//!
//! The types of the fields have been checked already ([`crate::schema`]) and what was left out is
//! filled in ([`crate::defaults`]). All that is wrong is told at once, in the order of the fields,
//! in upstream's words: they are what a user finds when they search for what to do.
//!
//! | file | of what |
//! | --- | --- |
//! | [`names`], [`quantity`] | the forms of names and amounts |
//! | `check` | the small checks that the rest is made of |
//! | `metadata` | `metadata` of everything |
//! | `pods`, `containers`, `env`, `resources`, `resize`, `volumes`, `scheduling`, `security` | pods and templates |
//! | `apps`, `workloads`, `batch`, `job_policies`, `job_status` | what keeps pods |
//! | `limits`, `services`, `config`, `rbac`, `storage`, `small` | the other kinds |
//! | `certificates`, `csi`, `webhooks`, `policies`, `flowcontrol`, `api_services` | those by which a cluster is run |
//! | `devices`, `device_status`, `slices` | devices, and claims of them |
//! | `autoscaling` | what sets the number of pods |
//! | `networking` | what leads into a cluster, policies, addresses |
//! | `conditions`, `forms`, `addresses` | what several of them have |
//!
//! A change is checked as a new object is, and then for what may not change.
//!
//! Upstream: `pkg/apis/*/validation/`.

mod addresses;
mod api_services;
mod apps;
mod autoscaling;
mod batch;
pub(crate) mod certificates;
mod check;
mod conditions;
mod config;
mod containers;
mod csi;
mod device_status;
mod devices;
mod embedded;
mod env;
mod expressions;
mod flowcontrol;
mod forms;
mod job_policies;
mod job_status;
mod limits;
mod metadata;
pub mod names;
mod networking;
mod pods;
mod policies;
mod rbac;
mod resize;
mod resources;
#[cfg(test)]
mod samples;
mod scheduling;
mod security;
mod services;
mod slices;
mod small;
mod storage;
#[cfg(test)]
mod tests;
mod volumes;
mod webhooks;
mod workloads;

pub(crate) use embedded::embedded_resource;

use serde_json::Value;

pub(crate) use check::same;
pub use quota_usage::quantity;

use crate::{custom, resources::Resource, status::FieldError};

/// What is wrong with a new object; its name has been generated if it was to be.
pub fn validate_create(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata::create(&mut errors, resource, object);
    if let Some(custom) = resource.custom {
        errors.extend(custom::validate_create(custom, object));
        return errors;
    }
    if resource.plural == "customresourcedefinitions" {
        errors.extend(custom::definition::validate(object, None));
    }
    match (resource.group, resource.plural) {
        ("", "pods") => pods::create(&mut errors, object),
        ("apps", "controllerrevisions") => workloads::revision_create(&mut errors, object),
        ("batch", "jobs") => batch::job_create(&mut errors, object),
        ("networking.k8s.io", "ingresses") => networking::ingress_create(&mut errors, object),
        ("networking.k8s.io", "ipaddresses") => networking::ip_address(&mut errors, object),
        ("networking.k8s.io", "servicecidrs") => networking::service_cidr(&mut errors, object),
        ("batch", "cronjobs") => batch::cron_job_create(&mut errors, object),
        _ => {}
    }
    whole(&mut errors, resource, object);
    match (resource.group, resource.plural) {
        ("certificates.k8s.io", _) => certificates::create(&mut errors, object),
        ("storage.k8s.io", "volumeattachments") => csi::new_attachment(&mut errors, object),
        ("resource.k8s.io", "resourceclaims") => devices::claim(&mut errors, object),
        ("resource.k8s.io", "resourceclaimtemplates") => devices::template(&mut errors, object),
        _ => {}
    }
    errors
}

/// What is wrong with a changed object, in itself or beside the old one.
pub fn validate_update(resource: &Resource, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata::update(&mut errors, new, old);
    if let Some(custom) = resource.custom {
        errors.extend(custom::validate_update(custom, "", new, old));
        return errors;
    }
    match (resource.group, resource.plural) {
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            errors.extend(custom::definition::validate(new, Some(old)));
        }
        ("", "pods") => pods::update(&mut errors, new, old),
        ("", "services") => services::service_update(&mut errors, new, old),
        ("", "configmaps" | "secrets") => config::update(&mut errors, new, old),
        ("", "nodes") => small::node_update(&mut errors, new, old),
        ("", "persistentvolumes") => storage::volume_update(&mut errors, new, old),
        ("", "persistentvolumeclaims") => storage::claim_update(&mut errors, new, old),
        ("", "resourcequotas") => limits::quota_update(&mut errors, new, old),
        ("apps", "deployments" | "replicasets") => apps::update(&mut errors, new, old),
        ("apps", "statefulsets") => workloads::stateful_set_update(&mut errors, new, old),
        ("apps", "controllerrevisions") => workloads::revision_update(&mut errors, new, old),
        ("batch", "jobs") => batch::job_update(&mut errors, new, old),
        ("networking.k8s.io", "ingressclasses") => {
            networking::ingress_class_update(&mut errors, new, old);
        }
        ("networking.k8s.io", "ipaddresses") => {
            networking::ip_address_update(&mut errors, new, old);
        }
        ("networking.k8s.io", "servicecidrs") => {
            networking::service_cidr_update(&mut errors, new, old);
        }
        ("batch", "cronjobs") => batch::cron_job(&mut errors, new, old),
        ("discovery.k8s.io", "endpointslices") => {
            services::endpoint_slice_update(&mut errors, new, old);
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            rbac::binding_update(&mut errors, new, old);
        }
        ("node.k8s.io", "runtimeclasses") => {
            check::immutable(&mut errors, &new["handler"], &old["handler"], "handler");
        }
        ("scheduling.k8s.io", "priorityclasses") => {
            small::priority_class_update(&mut errors, new, old);
        }
        ("storage.k8s.io", "storageclasses") => storage::class_update(&mut errors, new, old),
        ("resource.k8s.io", "resourceclaims" | "resourceclaimtemplates") => {
            devices::update(&mut errors, new, old);
        }
        ("resource.k8s.io", "resourceslices") => slices::update(&mut errors, new, old),
        ("storage.k8s.io", _) => csi::update(&mut errors, resource, new, old),
        ("certificates.k8s.io", _) => certificates::status_update(&mut errors, new, old, ""),
        _ => {}
    }
    whole(&mut errors, resource, new);
    errors
}

/// What is wrong with a new status; the spec is the old one's.
pub fn validate_status_update(resource: &Resource, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata::update(&mut errors, new, old);
    if let Some(custom) = resource.custom {
        errors.extend(custom::validate_update(custom, "status", new, old));
        return errors;
    }
    match (resource.group, resource.plural) {
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            custom::definition::validate_status(&mut errors, new);
        }
        ("", "pods") => pods::status_update(&mut errors, new, old),
        ("apps", "deployments" | "replicasets") | ("", "replicationcontrollers") => {
            apps::status(&mut errors, new);
        }
        ("", "resourcequotas") => limits::quota_status(&mut errors, new),
        ("apps", "daemonsets") => workloads::daemon_set_status(&mut errors, new, old),
        ("apps", "statefulsets") => workloads::stateful_set_status(&mut errors, new, old),
        ("batch", "jobs") => job_status::job_status(&mut errors, new, old),
        ("policy", "poddisruptionbudgets") => workloads::budget_status(&mut errors, new),
        ("networking.k8s.io", "ingresses") => networking::ingress_status(&mut errors, new),
        ("autoscaling", _) => autoscaling::status(&mut errors, new),
        ("storage.k8s.io", "volumeattachments") => csi::attachment(&mut errors, new),
        ("admissionregistration.k8s.io", _) => policies::status(&mut errors, new),
        ("flowcontrol.apiserver.k8s.io", _) => flowcontrol::status(&mut errors, new),
        ("apiregistration.k8s.io", _) => api_services::status(&mut errors, new),
        ("resource.k8s.io", "resourceclaims") => devices::status(&mut errors, new, old),
        ("certificates.k8s.io", _) => {
            certificates::status_update(&mut errors, new, old, "status");
        }
        _ => {}
    }
    errors
}

/// What is wrong with a request for a certificate that is decided.
pub fn validate_approval_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata::update(&mut errors, new, old);
    certificates::status_update(&mut errors, new, old, "approval");
    errors
}

/// What is wrong with a pod whose ephemeral containers are changed.
pub fn validate_ephemeral_containers_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata::update(&mut errors, new, old);
    pods::ephemeral_update(&mut errors, new, old);
    errors
}

/// What is wrong with a pod whose resources are changed.
pub fn validate_resize(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata::update(&mut errors, new, old);
    resize::update(&mut errors, new, old);
    errors
}

/// What is checked alike in new and changed objects, but for pods, most of which can't change.
fn whole(errors: &mut Vec<FieldError>, resource: &Resource, object: &Value) {
    let namespaced = resource.namespaced;
    match (resource.group, resource.plural) {
        ("", "services") => services::service(errors, object),
        ("", "endpoints") => services::endpoints(errors, object),
        ("", "configmaps") => config::config_map(errors, object),
        ("", "secrets") => config::secret(errors, object),
        ("", "namespaces") => small::namespace(errors, object),
        ("", "nodes") => small::node(errors, object),
        ("", "persistentvolumes") => storage::volume(errors, object),
        ("", "persistentvolumeclaims") => storage::claim(errors, object),
        ("", "events") | ("events.k8s.io", "events") => small::event(errors, object),
        ("apps", "deployments") => apps::deployment(errors, object),
        ("apps", "replicasets") => apps::replica_set(errors, object),
        ("apps", "daemonsets") => workloads::daemon_set(errors, object),
        ("apps", "statefulsets") => workloads::stateful_set(errors, object),
        ("apps", "controllerrevisions") => workloads::revision(errors, object),
        ("", "replicationcontrollers") => workloads::replication_controller(errors, object),
        ("", "podtemplates") => workloads::pod_template(errors, object),
        ("", "limitranges") => limits::limit_range(errors, object),
        ("", "resourcequotas") => limits::quota(errors, object),
        ("policy", "poddisruptionbudgets") => workloads::budget(errors, object),
        ("autoscaling", _) => autoscaling::autoscaler(errors, object),
        ("networking.k8s.io", "ingresses") => networking::ingress(errors, object),
        ("networking.k8s.io", "ingressclasses") => networking::ingress_class(errors, object),
        ("networking.k8s.io", "networkpolicies") => networking::network_policy(errors, object),
        ("coordination.k8s.io", "leases") => small::lease(errors, object),
        ("discovery.k8s.io", "endpointslices") => services::endpoint_slice(errors, object),
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => {
            rbac::role(errors, object, namespaced);
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            rbac::binding(errors, object, namespaced);
        }
        ("node.k8s.io", "runtimeclasses") => small::runtime_class(errors, object),
        ("scheduling.k8s.io", "priorityclasses") => small::priority_class(errors, object),
        ("storage.k8s.io", "storageclasses") => storage::class(errors, object),
        ("admissionregistration.k8s.io", plural) => match plural {
            "validatingadmissionpolicies" => policies::validating(errors, object),
            "mutatingadmissionpolicies" => policies::mutating(errors, object),
            "validatingadmissionpolicybindings" => policies::binding(errors, object, true),
            "mutatingadmissionpolicybindings" => policies::binding(errors, object, false),
            _ => webhooks::configuration(errors, object),
        },
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => {
            flowcontrol::flow_schema(errors, object);
        }
        ("flowcontrol.apiserver.k8s.io", _) => flowcontrol::priority_level(errors, object),
        ("apiregistration.k8s.io", _) => api_services::api_service(errors, object),
        ("resource.k8s.io", "deviceclasses") => devices::class(errors, object),
        ("resource.k8s.io", "resourceslices") => slices::slice(errors, object),
        ("storage.k8s.io", "csidrivers") => csi::driver(errors, object),
        ("storage.k8s.io", "csinodes") => csi::node(errors, object),
        ("storage.k8s.io", "csistoragecapacities") => csi::capacity(errors, object),
        ("storage.k8s.io", "volumeattachments") => csi::attachment(errors, object),
        ("storage.k8s.io", "volumeattributesclasses") => csi::attributes_class(errors, object),
        _ => {}
    }
}
