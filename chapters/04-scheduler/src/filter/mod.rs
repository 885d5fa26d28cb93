//! Filters: may this pod go to this node at all?
//!
//! Each filter is upstream's plugin of the same name, asked in upstream's order; the first that
//! says no is the one that is told. A no is *final* if taking other pods off the node could not
//! turn it into a yes, which is what upstream's preemption wants to know.
//!
//! Upstream: `pkg/scheduler/framework/plugins`.

mod affinity;
mod fit;
mod node;
mod spread;
mod volumes;

pub use affinity::{term_selects_pod, terms_of};
pub use fit::NAME as NODE_RESOURCES_FIT;
pub use spread::Constraint;

use k8s_openapi::api::core::v1::{PersistentVolume, Pod, PodSpec, Taint, Toleration};

use crate::labels::term_selects;
use crate::node_info::{NodeInfo, PodInfo};
use crate::schedule::Snapshot;

/// A filter's no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The filter's name, upstream's.
    pub plugin: &'static str,
    /// Why; most filters give one reason, [`NODE_RESOURCES_FIT`] one for each resource.
    pub reasons: Vec<String>,
    /// Taking pods off the node would not help.
    pub is_final: bool,
}

impl Rejection {
    fn new(plugin: &'static str, reason: &str, is_final: bool) -> Self {
        Self {
            plugin,
            reasons: vec![reason.to_owned()],
            is_final,
        }
    }
}

/// A pod to be placed, with what the filters know of it and of the cluster before they look at
/// any one node.
pub struct Filters<'a> {
    spec: PodSpec,
    info: &'a PodInfo,
    spread: spread::Spread,
    affinity: affinity::AffinityCounts,
    claims: volumes::PodClaims<'a>,
}

impl<'a> Filters<'a> {
    /// Looks at the cluster as a whole, once for each pod.
    ///
    /// # Errors
    ///
    /// What keeps the pod off every node, whatever the node.
    pub fn new(pod: &Pod, info: &'a PodInfo, snapshot: &Snapshot<'a>) -> Result<Self, Rejection> {
        let claims = volumes::PodClaims::new(info, snapshot)
            .map_err(|reason| Rejection::new("VolumeBinding", &reason, true))?;
        let spec = pod.spec.clone().unwrap_or_default();
        let spread = spread::Spread::new(&spec, info, snapshot);
        let affinity = affinity::AffinityCounts::new(info, snapshot);
        Ok(Self {
            spec,
            info,
            spread,
            affinity,
            claims,
        })
    }

    /// The volumes that the pod's claims get if it goes to `node`, which must have passed.
    pub fn volumes(&self, node: &NodeInfo) -> Vec<PersistentVolume> {
        self.claims.choose(node).unwrap_or_default()
    }

    /// Whether the pod may go to `node`.
    ///
    /// # Errors
    ///
    /// What the first filter says that does not let it.
    pub fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        node::unschedulable(&self.spec, node)?;
        node::name(&self.spec, node)?;
        node::taints(&self.spec, node)?;
        node::affinity(&self.spec, node)?;
        node::ports(self.info, node)?;
        fit::resources(self.info, node)?;
        self.claims.check_restrictions()?;
        self.claims.check(node)?;
        self.spread.check(node)?;
        self.affinity.check(node)
    }
}

/// Whether the pod's node selector and required node affinity mean `node`.
pub fn node_affinity_selects(spec: &PodSpec, node: &NodeInfo) -> bool {
    let selector = spec.node_selector.iter().flatten();
    let affinity = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|a| {
        a.required_during_scheduling_ignored_during_execution
            .as_ref()
    });
    selector
        .into_iter()
        .all(|(key, value)| node.labels.get(key) == Some(value))
        && required.is_none_or(|required| {
            let terms = &required.node_selector_terms;
            terms
                .iter()
                .any(|term| term_selects(term, &node.name, &node.labels))
        })
}

/// Whether one of `tolerations` tolerates `taint`.
pub fn tolerates(tolerations: Option<&Vec<Toleration>>, taint: &Taint) -> bool {
    let set = |text: &Option<String>| text.clone().unwrap_or_default();
    // ANCHOR: exercise-04.1
    tolerations.into_iter().flatten().any(|toleration| {
        let (effect, key) = (set(&toleration.effect), set(&toleration.key));
        let value_tolerated = match toleration.operator.as_deref() {
            Some("Exists") => true,
            None | Some("" | "Equal") => set(&toleration.value) == set(&taint.value),
            Some(_) => false,
        };
        (effect.is_empty() || effect == taint.effect)
            && (key.is_empty() || key == taint.key)
            && value_tolerated
    })
    // ANCHOR_END: exercise-04.1
}
