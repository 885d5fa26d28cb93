//! Addresses and ports of Services: claimed when a Service is written, freed when it goes.

use std::sync::{MutexGuard, PoisonError};

use serde_json::Value;

use super::cache::Cache;
use super::{Registry, Target, meta};
use crate::Error;
use crate::alloc::{Allocation, ServiceAllocator};
use crate::config::Config;
use crate::resources::{self, Resource};
use crate::status::ApiError;

/// What a write has claimed; given back when it is dropped, unless it is kept.
#[derive(Debug)]
#[must_use = "keep it when the write is done"]
pub struct Claim<'a> {
    registry: &'a Registry,
    allocation: Option<Allocation>,
}

impl Claim<'_> {
    /// The write was done.
    pub fn keep(mut self) {
        if let Some(allocation) = self.allocation.take() {
            self.registry.allocator().commit(allocation);
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(allocation) = self.allocation.take() {
            self.registry.allocator().undo(allocation);
        }
    }
}

/// An allocator that knows what the Services there are have.
///
/// # Errors
/// If a range of the config is none.
pub(super) fn allocator(cache: &Cache, config: &Config) -> Result<ServiceAllocator, Error> {
    let range = &config.service_node_port_range;
    let ports = range.split_once('-').and_then(|(first, last)| {
        Some(first.trim().parse::<u16>().ok()?..=last.trim().parse::<u16>().ok()?)
    });
    let ports = ports
        .ok_or_else(|| Error::Config(format!("{range:?} is no range of ports, as 30000-32767")))?;
    let mut allocator =
        ServiceAllocator::new(&config.service_cluster_ip_range, ports).map_err(Error::Config)?;
    let resource = resources::by_kind("", "v1", "Service").expect("Services are served");
    let slot = cache.slot(resource).expect("Services are stored");
    for entry in slot.objects("", None) {
        if let Ok(service) = slot.codec.decode(&entry.stored, entry.revision) {
            allocator.adopt(&service);
        }
    }
    Ok(allocator)
}

fn is_service(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.plural == "services"
}

impl Registry {
    fn allocator(&self) -> MutexGuard<'_, ServiceAllocator> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a Service what it asks for or needs.
    ///
    /// # Errors
    /// 422 if it cannot have it.
    pub(super) fn claim_service(
        &self,
        target: &Target<'_>,
        live: Option<&Value>,
        new: &mut Value,
    ) -> Result<Claim<'_>, ApiError> {
        let mut claim = Claim {
            registry: self,
            allocation: None,
        };
        if is_service(target.resource) && target.subresource.is_empty() {
            let allocated = self.allocator().allocate(new, live);
            let name = meta::name(new);
            let invalid =
                |errors: Vec<_>| ApiError::invalid(Target { name, ..*target }.subject(), &errors);
            claim.allocation = Some(allocated.map_err(invalid)?);
        }
        Ok(claim)
    }

    /// Frees what a Service held that is gone.
    pub(super) fn release_service(&self, resource: &Resource, object: &Value) {
        if is_service(resource) {
            self.allocator().release(object);
        }
    }
}
