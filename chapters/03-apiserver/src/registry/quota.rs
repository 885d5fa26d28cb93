//! Writes that are charged to the namespace's quotas before they are done.
//!
//! ```text
//! check ▸ every quota as it is now: does the write fit?      no ──▶ 403
//! charge ▸ put each with more used, if unchanged             changed ──▶ read, check, put again
//! ```
//!
//! A write that fails after it was charged stays charged, as upstream: a controller that counts
//! what there is puts that right.

use jiff::Timestamp;
use serde_json::Value;

use super::write::Writer;
use super::{Registry, Target, meta};
use crate::admission::{self, Operation, quota};
use crate::resources;
use crate::status::ApiError;

impl Registry {
    /// Checks a write that is valid against what limits its namespace, and charges it.
    ///
    /// # Errors
    /// 403 if it does not fit.
    pub(super) async fn charge_limits(
        &self,
        target: &Target<'_>,
        live: Option<&Value>,
        new: &Value,
        writer: &Writer<'_>,
    ) -> Result<(), ApiError> {
        if target.namespace.is_empty() {
            return Ok(());
        }
        let operation = match live {
            Some(_) => Operation::Update,
            None => Operation::Create,
        };
        let request = admission::Request {
            user: writer.user,
            operation,
            resource: target.resource,
            subresource: target.subresource,
            namespace: target.namespace,
            name: meta::name(new),
            object: None,
            old: live,
            dry_run: writer.dry_run,
        };
        admission::limit_ranger::check(&request, new, self)?;
        let write = quota::Write {
            resource: target.resource,
            subresource: target.subresource,
            operation,
            new,
            old: live,
            now: Timestamp::now(),
        };
        if !write.counts() {
            return Ok(());
        }
        let quotas = resources::by_kind("", "v1", "ResourceQuota").expect("are served");
        let entries = self.slot(quotas)?.objects(target.namespace, None);
        let quota = |name| Target {
            resource: quotas,
            subresource: "status",
            namespace: target.namespace,
            name,
        };
        // All of them first: one that refuses leaves the others as they are.
        for charges in [false, !writer.dry_run] {
            for entry in &entries {
                self.charge(&quota(entry.name()), &write, &request, charges)
                    .await?;
            }
        }
        Ok(())
    }

    /// Checks a write against one quota, and, if it is to be, adds it to what is used.
    async fn charge(
        &self,
        target: &Target<'_>,
        write: &quota::Write<'_>,
        request: &admission::Request<'_>,
        charges: bool,
    ) -> Result<(), ApiError> {
        let slot = self.slot(target.resource)?;
        loop {
            // One that has gone holds nothing back.
            let Some(kv) = self.read(target).await? else {
                return Ok(());
            };
            let mut quota = self.parse(&slot.resource(), &slot, &kv)?;
            let charged = quota::charge(&quota, write).map_err(|why| request.forbidden(why))?;
            let Some(used) = charged.filter(|_| charges) else {
                return Ok(());
            };
            quota["status"]["used"] = used;
            let stored = slot.codec.encode(&quota);
            let put = self.put_if(kv.key.clone(), stored, kv.lease, kv.mod_revision);
            if put.await?.is_some() {
                return Ok(());
            }
        }
    }
}
