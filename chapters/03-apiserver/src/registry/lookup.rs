//! Admission: what has to hold in the cluster, and not just in the object.

use serde_json::Value;

use super::write::Writer;
use super::{Registry, Target};
use crate::authn::User;
use crate::status::ApiError;

impl Registry {
    /// Admits a create (`live` is none) or an update, and completes the object.
    pub(super) fn admit(
        &self,
        _target: &Target<'_>,
        _live: Option<&Value>,
        _new: &mut Value,
        _writer: &Writer<'_>,
    ) -> Result<(), ApiError> {
        Ok(())
    }

    /// Admits a deletion.
    ///
    /// # Errors
    /// 403 if it may not be.
    pub fn admit_delete(&self, _target: &Target<'_>, _user: &User) -> Result<(), ApiError> {
        Ok(())
    }
}
