//! Endpoints: one object a Service, which slices have replaced but older readers still look at.
//! Upstream: `pkg/controller/endpoint/endpoints_controller.go`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service,
};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort as SlicePort};
use kube::ResourceExt;

use super::plan;

/// Label: who writes the object.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpoint-controller";
/// Most addresses in one object. Upstream: `maxCapacity`.
const MAX_ADDRESSES: usize = 1000;

/// Whether this controller wrote it.
pub fn is_ours(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.get(MANAGED_BY).is_some_and(|by| by == CONTROLLER))
}

/// The Endpoints of a Service as they should be; `None` if they are so already.
pub fn endpoints(
    service: &Service,
    pods: &[Arc<Pod>],
    existing: Option<&Endpoints>,
) -> Option<Endpoints> {
    let subsets: Vec<EndpointSubset> = plan::endpoints(service, pods)
        .into_values()
        .map(|(ports, endpoints)| subset(ports, endpoints))
        .filter(|subset| subset.addresses.is_some() || subset.not_ready_addresses.is_some())
        .collect();
    let mut desired = existing.cloned().unwrap_or_default();
    desired.metadata.name = Some(service.name_any());
    desired.metadata.namespace = service.namespace();
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.into(), CONTROLLER.into());
    desired.metadata.labels = Some(labels);
    desired.subsets = (!subsets.is_empty()).then_some(subsets);
    (Some(&desired) != existing).then_some(desired)
}

fn subset(ports: Vec<SlicePort>, endpoints: Vec<Endpoint>) -> EndpointSubset {
    let mut addresses = Vec::new();
    let mut not_ready = Vec::new();
    for endpoint in endpoints.into_iter().take(MAX_ADDRESSES) {
        let conditions = endpoint.conditions.unwrap_or_default();
        let address = EndpointAddress {
            ip: endpoint.addresses.into_iter().next().unwrap_or_default(),
            hostname: endpoint.hostname,
            node_name: endpoint.node_name,
            target_ref: endpoint.target_ref,
        };
        if conditions.ready == Some(true) {
            addresses.push(address);
        } else if conditions.terminating != Some(true) {
            not_ready.push(address);
        }
    }
    addresses.sort_by(|a, b| a.ip.cmp(&b.ip));
    not_ready.sort_by(|a, b| a.ip.cmp(&b.ip));
    let ports = ports.into_iter().map(|port| EndpointPort {
        name: port.name.filter(|name| !name.is_empty()),
        port: port.port.unwrap_or_default(),
        protocol: port.protocol,
        app_protocol: port.app_protocol,
    });
    EndpointSubset {
        addresses: (!addresses.is_empty()).then_some(addresses),
        not_ready_addresses: (!not_ready.is_empty()).then_some(not_ready),
        ports: Some(ports.collect()),
    }
}
