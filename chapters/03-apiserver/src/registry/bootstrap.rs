//! What has to be there from the start: namespaces, roles, priority classes, and the Service by
//! which pods reach this server.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::write::Writer;
use super::{Registry, Target, api_services, meta};
use crate::authn::User;
use crate::authz::{MASTERS, bootstrap};
use crate::resources::{self, Resource};
use crate::status::ApiError;

/// Namespaces of every cluster.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Kind, namespace and name of this server's Service.
const OWN_SERVICE: (&str, &str, &str) = ("Service", "default", "kubernetes");

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
        self.ensure_all(NAMESPACES.iter().map(namespace).collect())
            .await?;
        let (rbac, others) = bootstrap::bootstrap_objects()
            .into_iter()
            .partition(|object| object["apiVersion"] == "rbac.authorization.k8s.io/v1");
        self.reconcile_rbac(rbac).await?;
        self.ensure_all(others).await?;
        self.ensure_all(api_services::local()).await?;
        self.bootstrap_flows().await?;
        self.publish().await?;
        self.publish_addresses().await
    }

    /// Keeps this server's Service there, whoever deletes it, until shutdown.
    pub async fn keep_published(&self, shutdown: &CancellationToken) {
        let (kind, namespace, name) = OWN_SERVICE;
        let Some(resource) = resources::by_kind("", "v1", kind) else {
            return;
        };
        let Ok(slot) = self.slot(resource) else {
            return;
        };
        let target = Target {
            resource,
            subresource: "",
            namespace,
            name,
        };
        let mut changed = slot.subscribe();
        loop {
            tokio::select! {
                changed = changed.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
            if matches!(self.read(&target).await, Ok(None))
                && let Err(error) = self.publish().await
            {
                tracing::warn!(%error, "the server's own Service cannot be kept");
            }
        }
    }

    /// Makes the Service by which pods reach this server.
    async fn publish(&self) -> Result<(), ApiError> {
        let config = &self.config;
        if config.secure_port == 0 {
            // Served on inherited sockets alone: there is no port that pods could be told.
            return Ok(());
        }
        self.ensure(service(
            &config.service_cluster_ip_range,
            config.secure_port,
        ))
        .await?;
        // Nobody else could reach it at a loopback address, and no endpoints may have one.
        let address = config.advertise_address;
        if let Some(address) = address.filter(|address| !address.is_loopback()) {
            let address = address.to_string();
            let endpoints = [
                endpoints(&address, config.secure_port),
                endpoint_slice(&address, config.secure_port),
            ];
            for wanted in endpoints {
                self.reset(wanted).await?;
            }
        }
        Ok(())
    }

    /// Makes what is missing of some objects: all at once, so that the store syncs its log once.
    pub(super) async fn ensure_all(&self, objects: Vec<Value>) -> Result<(), ApiError> {
        let made = objects.into_iter().map(|object| self.ensure(object));
        futures::future::try_join_all(made).await?;
        Ok(())
    }

    /// Makes an object, or makes it what it should be: addresses change.
    pub(super) async fn reset(&self, object: Value) -> Result<(), ApiError> {
        self.ensure(object.clone()).await?;
        let (resource, namespace, name) = address_of(&object)?;
        let target = Target {
            resource,
            subresource: "",
            namespace: &namespace,
            name: &name,
        };
        let change = |live: Option<&Value>| {
            let mut new = live.cloned().unwrap_or_default();
            for (field, value) in object.as_object().into_iter().flatten() {
                if field != "metadata" {
                    new[field] = value.clone();
                }
            }
            Ok(new)
        };
        let user = loopback();
        self.update(&target, &writer(&user), change)
            .await
            .map(|_| ())
    }

    /// Makes an object, unless it is there.
    pub(super) async fn ensure(&self, object: Value) -> Result<(), ApiError> {
        let (resource, namespace, name) = address_of(&object)?;
        let target = Target {
            resource,
            subresource: "",
            namespace: &namespace,
            name: &name,
        };
        if self.read(&target).await?.is_some() {
            return Ok(());
        }
        let user = loopback();
        match self.create(&target, object, &writer(&user)).await {
            Err(error) if error.reason != "AlreadyExists" => Err(error),
            _ => Ok(()),
        }
    }
}

pub(crate) fn writer(user: &User) -> Writer<'_> {
    Writer {
        user,
        manager: "kube-apiserver",
        dry_run: false,
        apply: false,
        warnings: None,
    }
}

/// The resource, namespace and name of an object.
pub(super) fn address_of(
    object: &Value,
) -> Result<(&'static Resource<'static>, String, String), ApiError> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", "v1"));
    let resource = resources::by_kind(group, version, text("kind"))
        .ok_or_else(|| ApiError::internal(format!("{} is not served", text("kind"))))?;
    Ok((
        resource,
        meta::namespace(object).to_owned(),
        meta::name(object).to_owned(),
    ))
}

/// `kubernetes`: this server's Service, at the first address of the range.
fn service(range: &str, port: u16) -> Value {
    let network = range
        .split('/')
        .next()
        .unwrap_or_default()
        .parse::<Ipv4Addr>();
    let address = network.map(|network| Ipv4Addr::from(u32::from(network) + 1).to_string());
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": address.unwrap_or_default(),
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    })
}

fn endpoints(address: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{
            "addresses": [{"ip": address}],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }],
    })
}

fn endpoint_slice(address: &str, port: u16) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    })
}
