//! What a quota's status becomes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use quota_usage::quantity::{self, Totals};
use quota_usage::{Kind, in_scopes, is_used_by, usage};
use serde_json::Value;

/// What there is of one kind in the quota's namespace.
#[derive(Debug)]
pub enum Counted {
    /// The objects: what they use is in their specs.
    Whole(Vec<Value>),
    /// Their number, which is all that they use.
    Number(usize),
}

/// What there is, by kind; a kind that is not served has no entry.
pub type Counts<'a> = BTreeMap<Kind<'a>, Counted>;

/// Hard limits as the spec has them, and what is used of each; none if the status says so already.
/// What could not be counted stays as it was. Upstream: `syncResourceQuota`, `CalculateUsage` in
/// `pkg/quota/v1/resources.go`.
pub fn status(
    quota: &ResourceQuota,
    counts: &Counts<'_>,
    now: Timestamp,
) -> Option<ResourceQuotaStatus> {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone());
    let hard = hard.unwrap_or_default();
    let old = quota.status.clone().unwrap_or_default();
    let mut used = old.used.clone().unwrap_or_default();
    used.retain(|name, _| hard.contains_key(name));
    let as_value = serde_json::to_value(quota).expect("objects are JSON");
    for (kind, counted) in counts {
        let total = total(&as_value, *kind, counted, now);
        for name in hard.keys().filter(|name| is_used_by(*kind, name)) {
            let amount = total.get(name).copied().unwrap_or_default();
            used.insert(name.clone(), Quantity(amount.0.show(amount.1)));
        }
    }
    let is_known = same(old.hard.as_ref(), &hard) && same(old.used.as_ref(), &used);
    (!is_known).then_some(ResourceQuotaStatus {
        hard: Some(hard),
        used: Some(used),
    })
}

/// What all objects of a kind use that are in the quota's scopes.
fn total(quota: &Value, kind: Kind<'_>, counted: &Counted, now: Timestamp) -> Totals {
    let mut total = Totals::new();
    let mut add = |object: &Value| {
        if in_scopes(quota, kind, object) {
            quantity::add(&mut total, &usage(kind, object, now));
        }
    };
    match counted {
        Counted::Whole(objects) => objects.iter().for_each(add),
        Counted::Number(number) => (0..*number).for_each(|_| add(&Value::Null)),
    }
    total
}

/// Whether amounts are equal, however they are written.
fn same(old: Option<&BTreeMap<String, Quantity>>, new: &BTreeMap<String, Quantity>) -> bool {
    let Some(old) = old else { return false };
    let amount = |quantity: &Quantity| quantity::Quantity::parse(&quantity.0);
    old.len() == new.len()
        && old
            .iter()
            .all(|(name, was)| new.get(name).is_some_and(|is| amount(is) == amount(was)))
}
