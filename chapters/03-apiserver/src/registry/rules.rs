//! What sets a kind apart, where that is a few switches: of the kinds by which a cluster is run.
//!
//! Upstream: `AllowUnconditionalUpdate` and `PrepareForCreate` of `pkg/registry/*/*/strategy.go`;
//! `ReturnDeletedObject` of `pkg/registry/*/*/storage/storage.go`.

use crate::resources::Resource;

/// When an object's generation is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generations {
    /// Never.
    No,
    /// From 1, which a new object has.
    All,
    /// A new object has none; its first change makes it 1.
    Changes,
}

/// The switches of a kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// A write without `resourceVersion` overwrites whatever is there.
    pub(super) unconditional_update: bool,
    /// The object itself, and not a `Status`, answers its deletion.
    pub(super) returns_deleted: bool,
    /// Whether changes are counted.
    pub(super) generations: Generations,
    /// What is written through `status` may change labels, annotations and finalizers, too.
    pub(super) status_has_metadata: bool,
}

const PLAIN: Rules = Rules {
    unconditional_update: true,
    returns_deleted: false,
    generations: Generations::No,
    status_has_metadata: true,
};

/// Those of a kind that is told of here.
pub(super) fn of(resource: &Resource) -> Option<Rules> {
    let rules = match (resource.group, resource.plural) {
        ("apiextensions.k8s.io", _) => Rules {
            unconditional_update: false,
            generations: Generations::All,
            ..PLAIN
        },
        ("certificates.k8s.io", _) => PLAIN,
        ("storage.k8s.io", "csidrivers") => Rules {
            unconditional_update: false,
            returns_deleted: true,
            generations: Generations::Changes,
            ..PLAIN
        },
        ("storage.k8s.io", "csinodes") => Rules {
            unconditional_update: false,
            returns_deleted: true,
            ..PLAIN
        },
        ("storage.k8s.io", "csistoragecapacities") => Rules {
            unconditional_update: false,
            ..PLAIN
        },
        ("storage.k8s.io", "volumeattachments") => Rules {
            unconditional_update: false,
            returns_deleted: true,
            status_has_metadata: false,
            ..PLAIN
        },
        ("storage.k8s.io", _) => Rules {
            returns_deleted: true,
            ..PLAIN
        },
        ("admissionregistration.k8s.io", _) => Rules {
            unconditional_update: false,
            generations: Generations::All,
            status_has_metadata: false,
            ..PLAIN
        },
        ("flowcontrol.apiserver.k8s.io", _) => Rules {
            generations: Generations::All,
            status_has_metadata: false,
            ..PLAIN
        },
        ("resource.k8s.io", "deviceclasses" | "resourceslices") => Rules {
            generations: Generations::All,
            returns_deleted: true,
            ..PLAIN
        },
        ("resource.k8s.io", _) => Rules {
            returns_deleted: true,
            status_has_metadata: false,
            ..PLAIN
        },
        ("apiregistration.k8s.io", _) => Rules {
            unconditional_update: false,
            status_has_metadata: false,
            ..PLAIN
        },
        _ => return None,
    };
    Some(rules)
}
