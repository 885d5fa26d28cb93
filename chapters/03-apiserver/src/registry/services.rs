//! Addresses and ports of Services: claimed when a Service is written, freed when it goes.

use serde_json::Value;

use super::{Registry, Target};
use crate::status::ApiError;

/// What a write has claimed; given back unless it is kept.
#[derive(Debug)]
pub struct Claim;

impl Claim {
    /// The write was done.
    pub fn keep(self) {}
}

impl Registry {
    pub(super) fn claim_service(
        &self,
        _target: &Target<'_>,
        _live: Option<&Value>,
        _new: &mut Value,
        _dry_run: bool,
    ) -> Result<Claim, ApiError> {
        Ok(Claim)
    }

    pub(super) fn release_service(&self, _service: &Value) {}
}
