//! IPAddresses: an object for each address that a Service has, so that whose an address is can be
//! asked. And the ServiceCIDR that Services get them from.
//!
//! The allocator decides ([`crate::alloc`]); these objects follow what it gave. An IPAddress that
//! somebody else makes reserves nothing, and a further ServiceCIDR adds nothing to the range.
//!
//! Upstream: `pkg/registry/core/service/ipallocator/ipallocator.go`, which allocates by making
//! them; `pkg/controlplane/controller/defaultservicecidr`.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::bootstrap::{loopback, writer};
use super::delete::DeleteOptions;
use super::{Registry, Target, meta};
use crate::resources::{self, Resource};
use crate::status::ApiError;

const GROUP: &str = "networking.k8s.io";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator.k8s.io";
/// The name of the range that a cluster begins with.
const DEFAULT_CIDR: &str = "kubernetes";

fn resource(kind: &str) -> &'static Resource<'static> {
    resources::by_kind(GROUP, "v1", kind).expect("is served")
}

fn address<'a>(name: &'a str) -> Target<'a> {
    Target {
        resource: resource("IPAddress"),
        subresource: "",
        namespace: "",
        name,
    }
}

/// The addresses that a Service has.
fn addresses(service: &Value) -> Vec<&str> {
    let all = service["spec"]["clusterIPs"]
        .as_array()
        .into_iter()
        .flatten();
    let all = all.filter_map(Value::as_str);
    all.filter(|ip| !ip.is_empty() && *ip != "None").collect()
}

/// The object of a Service's address.
fn object(ip: &str, service: &Value) -> Value {
    let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {
            "name": ip,
            "labels": {"ipaddress.kubernetes.io/ip-family": family, MANAGED_BY: ALLOCATOR},
        },
        "spec": {"parentRef": parent(service)},
    })
}

fn parent(service: &Value) -> Value {
    json!({"resource": "services", "namespace": meta::namespace(service),
        "name": meta::name(service)})
}

impl Registry {
    /// Makes and deletes the IPAddresses of a Service that was written, or is gone.
    pub(super) async fn follow_addresses(
        &self,
        resource: &Resource<'_>,
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        if !resource.group.is_empty() || resource.plural != "services" {
            return;
        }
        let of = |service: Option<&'_ Value>| -> Vec<String> {
            let all = service.map(addresses).unwrap_or_default();
            all.into_iter().map(str::to_owned).collect()
        };
        let (had, has) = (of(before), of(after));
        let user = loopback();
        for ip in has.iter().filter(|ip| !had.contains(ip)) {
            let object = object(ip, after.expect("has an address"));
            // Whoever asked for the Service has it: what follows is told in the log.
            let target = address(ip);
            match Box::pin(self.create(&target, object, &writer(&user))).await {
                Err(error) if error.reason != "AlreadyExists" => {
                    tracing::warn!(%error, %ip, "an IPAddress cannot be made");
                }
                _ => {}
            }
        }
        for ip in had.iter().filter(|ip| !has.contains(ip)) {
            let (target, options) = (address(ip), DeleteOptions::default());
            if let Err(error) = Box::pin(self.delete(&target, &options)).await
                && error.reason != "NotFound"
            {
                tracing::warn!(%error, %ip, "an IPAddress cannot be deleted");
            }
        }
    }

    /// Makes the default ServiceCIDR, and what is missing of the Services' IPAddresses; deletes
    /// those whose Service went while no server ran.
    pub(super) async fn publish_addresses(&self) -> Result<(), ApiError> {
        self.publish_service_cidr().await?;
        let services = resources::by_kind("", "v1", "Service").expect("are served");
        let services = self.all(services)?;
        let owned = services
            .iter()
            .flat_map(|service| addresses(service).into_iter().map(move |ip| (ip, service)));
        let owned: Vec<(&str, &Value)> = owned.collect();
        for (ip, service) in &owned {
            self.ensure(object(ip, service)).await?;
        }
        for ip in self.all(resource("IPAddress"))? {
            let is_left = ip["metadata"]["labels"][MANAGED_BY] == ALLOCATOR
                && !owned.iter().any(|(owned, _)| *owned == meta::name(&ip));
            if is_left {
                let target = address(meta::name(&ip));
                self.delete(&target, &DeleteOptions::default()).await?;
            }
        }
        Ok(())
    }

    fn all(&self, resource: &'static Resource<'static>) -> Result<Vec<Value>, ApiError> {
        let slot = self.slot(resource)?;
        let entries = slot.objects("", None);
        let decoded = entries
            .iter()
            .filter_map(|entry| slot.codec.decode(&entry.stored, entry.revision).ok());
        Ok(decoded.collect())
    }

    async fn publish_service_cidr(&self) -> Result<(), ApiError> {
        let range = &self.config.service_cluster_ip_range;
        self.ensure(json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "ServiceCIDR",
            "metadata": {"name": DEFAULT_CIDR},
            "spec": {"cidrs": [range]},
        }))
        .await?;
        let target = Target {
            resource: resource("ServiceCIDR"),
            subresource: "status",
            namespace: "",
            name: DEFAULT_CIDR,
        };
        let now = meta::time(Timestamp::now());
        let ready = json!({"type": "Ready", "status": "True", "reason": "",
            "message": "Kubernetes default Service CIDR is ready", "lastTransitionTime": now});
        let change = |live: Option<&Value>| {
            let mut object = live.cloned().unwrap_or_default();
            if object["status"]["conditions"]
                .as_array()
                .is_none_or(Vec::is_empty)
            {
                object["status"] = json!({"conditions": [ready.clone()]});
            }
            Ok(object)
        };
        let user = loopback();
        self.update(&target, &writer(&user), change).await?;
        Ok(())
    }

    /// Keeps the default ServiceCIDR there, whoever deletes it, until shutdown.
    pub async fn keep_service_cidr(&self, shutdown: &CancellationToken) {
        let target = Target {
            resource: resource("ServiceCIDR"),
            subresource: "",
            namespace: "",
            name: DEFAULT_CIDR,
        };
        let Ok(slot) = self.slot(target.resource) else {
            return;
        };
        let mut changed = slot.subscribe();
        loop {
            tokio::select! {
                changed = changed.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
            if !matches!(self.read(&target).await, Ok(None)) {
                continue;
            }
            // A write waits until the cache has it, which at shutdown follows no longer.
            tokio::select! {
                published = self.publish_service_cidr() => if let Err(error) = published {
                    tracing::warn!(%error, "the default ServiceCIDR cannot be kept");
                },
                () = shutdown.cancelled() => return,
            }
        }
    }
}
