//! What objects use of a quota: what the API server and the controllers have to agree on.
//!
//! The API server adds to a quota's `status.used` what a write will use, before it is done, and
//! refuses it where that is more than `status.hard`. A controller counts what there is, which is
//! how `used` comes about and goes down again. Both have to come to the same sum:
//!
//! | module | says |
//! | --- | --- |
//! | [`quantity`] | amounts: `500m`, `1.5Gi`, what a whole pod has of them |
//! | `canonical` | the one form of an amount that is stored |
//! | `usage` | what one object uses, by the names that quotas have for it |
//! | `scopes` | which objects a quota is about |
//! | `qos` | a pod's quality of service, which two scopes go by |
//!
//! Objects are JSON, since objects of every kind are counted. Everything is a function of what it
//! is given. Left out: devices of ResourceClaims (`CLASS.deviceclass.resource.k8s.io/devices`).
//!
//! Upstream: `pkg/quota/v1`, `staging/src/k8s.io/apimachinery/pkg/api/resource`.

mod canonical;
mod qos;
pub mod quantity;
mod scopes;
mod usage;

pub use canonical::{canonical_quantity, quantity_nano};
pub use qos::qos_class;
pub use scopes::in_scopes;
pub use usage::{amounts_of_pod, is_used_by, kind_of, usage};

/// A kind of objects, as paths of the API name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind<'a> {
    /// `apps`; empty for the core group.
    pub group: &'a str,
    /// `deployments`.
    pub plural: &'a str,
}

impl<'a> Kind<'a> {
    /// A kind of the core group.
    pub const fn core(plural: &'a str) -> Self {
        Kind { group: "", plural }
    }

    /// Its plural, if it is of the core group.
    fn core_plural(self) -> &'a str {
        if self.group.is_empty() {
            self.plural
        } else {
            ""
        }
    }
}
