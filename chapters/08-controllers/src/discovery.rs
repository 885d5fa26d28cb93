//! Which resources the API serves: what works on everything asks here.

use kube::Client;
use kube::api::ApiResource;
use kube::discovery::{Discovery, Scope, verbs};

/// A resource whose objects can be listed and deleted.
#[derive(Debug, Clone)]
pub struct Deletable {
    /// Which.
    pub resource: ApiResource,
    /// Its objects live in namespaces.
    pub namespaced: bool,
}

/// Resources that can be listed and deleted, of namespaces only or of both scopes.
///
/// # Errors
/// If the API does not answer, or answers with what is no discovery document.
pub async fn deletable(
    client: &Client,
    namespaced_only: bool,
) -> Result<Vec<Deletable>, kube::Error> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let mut resources = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            let namespaced = capabilities.scope == Scope::Namespaced;
            let scope_fits = !namespaced_only || namespaced;
            let usable = [verbs::LIST, verbs::WATCH, verbs::DELETE]
                .iter()
                .all(|verb| capabilities.supports_operation(verb));
            // Events are served twice; the second name shows the same objects.
            let twice = resource.group == "events.k8s.io";
            if scope_fits && usable && !twice {
                resources.push(Deletable {
                    resource,
                    namespaced,
                });
            }
        }
    }
    Ok(resources)
}
