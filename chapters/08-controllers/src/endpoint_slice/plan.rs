//! Which endpoints a Service has, and how they are laid out in slices.
//!
//! Upstream: `staging/src/k8s.io/endpointslice/reconciler.go` and `utils.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::api::ObjectMeta;

use crate::owners::controller_reference;
use crate::pods;

/// Most endpoints in a slice.
pub const MAX_ENDPOINTS: usize = 100;
/// Label: the Service that a slice belongs to.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label: who writes a slice.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`] for slices of this controller.
pub const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// Label of the slices of a Service without a cluster address.
const HEADLESS: &str = "service.kubernetes.io/headless";

/// Ports that a group of endpoints shares: pods of one Service may resolve a named port to
/// different numbers, and then need slices of their own.
pub type Ports = Vec<EndpointPort>;

/// What to write.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Slices to make.
    pub create: Vec<EndpointSlice>,
    /// Slices to change.
    pub update: Vec<EndpointSlice>,
    /// Names of slices to delete.
    pub delete: Vec<String>,
}

/// Whether the pods of a Service are looked for at all.
pub fn has_selector(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.is_some_and(|spec| {
        spec.selector
            .as_ref()
            .is_some_and(|selector| !selector.is_empty())
            && spec.type_.as_deref() != Some("ExternalName")
    })
}

/// Whether a pod belongs to a Service.
pub fn selects(service: &Service, pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    has_selector(service)
        && service
            .spec
            .iter()
            .flat_map(|spec| spec.selector.iter().flatten())
            .all(|(key, value)| labels.is_some_and(|labels| labels.get(key) == Some(value)))
}

/// The endpoints of a Service, by the ports that they share.
pub fn endpoints(service: &Service, pods: &[Arc<Pod>]) -> BTreeMap<String, (Ports, Vec<Endpoint>)> {
    let mut groups: BTreeMap<String, (Ports, Vec<Endpoint>)> = BTreeMap::new();
    for pod in pods {
        let address = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ip.clone())
            .unwrap_or_default();
        if address.is_empty() || pods::is_terminal(pod) || !selects(service, pod) {
            continue;
        }
        let ports = ports_of(service, pod);
        // Sorted text of the ports: the same ports are the same group.
        let group = serde_json::to_string(&ports).expect("ports go as JSON");
        let (_, endpoints) = groups.entry(group).or_insert_with(|| (ports, Vec::new()));
        endpoints.push(endpoint(service, pod, address));
    }
    groups
}

fn endpoint(service: &Service, pod: &Pod, address: String) -> Endpoint {
    let spec = pod.spec.as_ref();
    let publish = service
        .spec
        .as_ref()
        .and_then(|spec| spec.publish_not_ready_addresses)
        .unwrap_or(false);
    let serving = pods::is_ready(pod);
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let subdomain = spec.and_then(|spec| spec.subdomain.as_deref());
    let hostname = spec
        .and_then(|spec| spec.hostname.clone())
        .filter(|_| subdomain == service.metadata.name.as_deref());
    Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(publish || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname,
        node_name: spec.and_then(|spec| spec.node_name.clone()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            namespace: pod.namespace(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    }
}

/// The ports of a Service as they are on this pod. A named target that the pod lacks is left out.
fn ports_of(service: &Service, pod: &Pod) -> Ports {
    let mut ports: Ports = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten())
        .filter_map(|port| {
            Some(EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                port: Some(target_port(port, pod)?),
                protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort_by(|a, b| (&a.name, a.port).cmp(&(&b.name, b.port)));
    ports
}

fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        // Zero is what an unset target decodes to.
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            let named = ports.find(|port| {
                port.name.as_ref() == Some(name)
                    && port.protocol.as_deref().unwrap_or("TCP") == protocol
            });
            named.map(|port| port.container_port)
        }
    }
}

/// What to write so that the slices say what is so. Slices that are right are left alone, and
/// the rest is changed as little as can be: every change of a slice goes to every node.
pub fn plan(service: &Service, pods: &[Arc<Pod>], existing: &[Arc<EndpointSlice>]) -> Plan {
    let mut plan = Plan::default();
    let mut groups = endpoints(service, pods);
    if groups.is_empty() {
        // One empty slice says that the Service was seen and has nobody.
        groups.insert(String::new(), (Vec::new(), Vec::new()));
    }
    let mut unused: Vec<&Arc<EndpointSlice>> = existing.iter().collect();
    for (ports, endpoints) in groups.into_values() {
        let (ours, others): (Vec<_>, Vec<_>) = unused
            .into_iter()
            .partition(|slice| slice.ports.clone().unwrap_or_default() == ports);
        unused = others;
        // With no ports of its own, a group may take over a slice of other ports.
        unused.extend(lay_out(service, ports, endpoints, ours, &mut plan));
    }
    plan.delete
        .extend(unused.iter().map(|slice| slice.name_any()));
    plan
}

/// Lays the endpoints of one group out in `slices` and new ones; returns slices left over.
fn lay_out<'a>(
    service: &Service,
    ports: Ports,
    endpoints: Vec<Endpoint>,
    slices: Vec<&'a Arc<EndpointSlice>>,
    plan: &mut Plan,
) -> Vec<&'a Arc<EndpointSlice>> {
    let mut wanted: BTreeMap<String, Endpoint> = endpoints
        .into_iter()
        .map(|endpoint| (identity(&endpoint), endpoint))
        .collect();
    // Endpoints stay in the slice they are in.
    let mut kept: Vec<(&'a Arc<EndpointSlice>, Vec<Endpoint>)> = Vec::new();
    for slice in slices {
        let stay = slice
            .endpoints
            .iter()
            .flatten()
            .filter_map(|old| wanted.remove(&identity(old)));
        kept.push((slice, stay.collect()));
    }
    let mut newcomers = wanted.into_values();
    for (_, endpoints) in &mut kept {
        let room = MAX_ENDPOINTS.saturating_sub(endpoints.len());
        endpoints.extend(newcomers.by_ref().take(room));
    }
    let mut left_over = Vec::new();
    let mut in_use = 0;
    for (slice, endpoints) in kept {
        if endpoints.is_empty() && (in_use > 0 || newcomers.len() > 0 || !ports.is_empty()) {
            left_over.push(slice);
            continue;
        }
        in_use += 1;
        let desired = slice_of(service, ports.clone(), endpoints, Some(slice));
        if desired != **slice {
            plan.update.push(desired);
        }
    }
    loop {
        let endpoints: Vec<Endpoint> = newcomers.by_ref().take(MAX_ENDPOINTS).collect();
        if endpoints.is_empty() && (in_use > 0 || !ports.is_empty()) {
            return left_over;
        }
        in_use += 1;
        plan.create
            .push(slice_of(service, ports.clone(), endpoints, None));
    }
}

fn identity(endpoint: &Endpoint) -> String {
    let uid = endpoint
        .target_ref
        .as_ref()
        .and_then(|target| target.uid.as_deref());
    format!("{} {}", uid.unwrap_or(""), endpoint.addresses.join(","))
}

fn slice_of(
    service: &Service,
    ports: Ports,
    endpoints: Vec<Endpoint>,
    existing: Option<&Arc<EndpointSlice>>,
) -> EndpointSlice {
    let name = service.name_any();
    let mut slice = existing
        .map(|slice| EndpointSlice::clone(slice))
        .unwrap_or_default();
    if existing.is_none() {
        slice.metadata = ObjectMeta {
            generate_name: Some(format!("{name}-")),
            namespace: service.namespace(),
            owner_references: Some(vec![controller_reference(service)]),
            ..ObjectMeta::default()
        };
    }
    slice.metadata.labels = Some(labels_of(service));
    slice.address_type = "IPv4".into();
    slice.ports = Some(ports);
    slice.endpoints = Some(endpoints);
    slice
}

fn labels_of(service: &Service) -> BTreeMap<String, String> {
    let reserved: BTreeSet<&str> = [SERVICE_NAME, MANAGED_BY, HEADLESS].into();
    let own = service.metadata.labels.iter().flatten();
    let mut labels: BTreeMap<String, String> = own
        .filter(|(name, _)| !reserved.contains(name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    labels.insert(SERVICE_NAME.into(), service.name_any());
    labels.insert(MANAGED_BY.into(), CONTROLLER.into());
    let spec = service.spec.as_ref();
    if spec.and_then(|spec| spec.cluster_ip.as_deref()) == Some("None") {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels
}
