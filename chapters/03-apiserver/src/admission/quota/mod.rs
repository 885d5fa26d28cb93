//! ResourceQuota: whether a write fits into what is left of a namespace's quotas.
//!
//! A quota's status says what there is (`hard`) and what is used of it (`used`). A write that
//! needs some is added to `used` by compare and swap before it is done, so that two at once
//! cannot both have the last of it: the shell of that is [`crate::registry::quota`]. Here is
//! whether a write needs some and whether it fits; what an object uses is in [`quota_usage`].
//!
//! What is not here: `status.hard` is what `spec.hard` was when somebody looked last, and `used`
//! goes down when objects go. Both are the work of a controller, which lists what there is
//! (chapter 8's `resource_quota`). Until one has written a status, a quota holds nothing back.
//!
//! Upstream: `CheckRequest` in `apiserver/pkg/admission/plugin/resourcequota/controller.go`.

mod usage;

use std::collections::BTreeSet;

use jiff::Timestamp;
use quota_usage::{Kind, in_scopes, is_used_by};
use serde_json::{Map, Value};

use super::Operation;
use crate::resources::Resource;
use crate::validation::quantity::{Quantity, Totals, add, add_amounts};

/// A write that may need some of a quota.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// Of what.
    pub resource: &'a Resource<'a>,
    /// `resize`; empty for the object itself.
    pub subresource: &'a str,
    /// A create or an update.
    pub operation: Operation,
    /// The object as it is to be.
    pub new: &'a Value,
    /// The object as it is, for updates.
    pub old: Option<&'a Value>,
    /// When.
    pub now: Timestamp,
}

impl Write<'_> {
    /// Whether it is a write that any quota counts.
    pub fn counts(&self) -> bool {
        usage::counts(self)
    }

    fn kind(&self) -> Kind<'_> {
        let (group, plural) = (self.resource.group, self.resource.plural);
        Kind { group, plural }
    }
}

/// What a quota's `status.used` becomes by a write; none if that changes nothing.
///
/// # Errors
/// Why the write does not fit, in upstream's words.
pub fn charge(quota: &Value, write: &Write) -> Result<Option<Value>, String> {
    let hard = &quota["status"]["hard"];
    let names: Vec<&str> = keys(hard).collect();
    let counted: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| is_used_by(write.kind(), name))
        .collect();
    let matches = |object: &Value| in_scopes(quota, write.kind(), object);
    if !write.counts() || counted.is_empty() || !matches(write.new) {
        return Ok(None);
    }
    let name = quota["metadata"]["name"].as_str().unwrap_or_default();
    if let Some(missing) = usage::missing(write, &counted) {
        return Err(format!("failed quota: {name}: must specify {missing}"));
    }
    let used = &quota["status"]["used"];
    if counted.iter().any(|resource| used.get(resource).is_none()) {
        let resources = counted.join(",");
        return Err(format!(
            "status unknown for quota: {name}, resources: {resources}"
        ));
    }

    let uses = |object| quota_usage::usage(write.kind(), object, write.now);
    let old = write.old.filter(|old| matches(old));
    let needed = needed(uses(write.new), old.map(uses), &names);
    if needed.is_empty() {
        return Ok(None);
    }
    let after = added(used, &needed);
    let exceeded: BTreeSet<&str> = needed
        .keys()
        .map(String::as_str)
        .filter(|resource| after[*resource].0 > parse(&hard[*resource]))
        .collect();
    if !exceeded.is_empty() {
        let list = |amount: &dyn Fn(&str) -> String| {
            let parts = exceeded
                .iter()
                .map(|name| format!("{name}={}", amount(name)));
            parts.collect::<Vec<_>>().join(",")
        };
        let shown = |map: &Value, name: &str| map[name].as_str().unwrap_or("0").to_owned();
        return Err(format!(
            "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
            list(&|name| show(needed[name])),
            list(&|name| shown(used, name)),
            list(&|name| shown(hard, name)),
        ));
    }
    let after: Map<String, Value> = after
        .into_iter()
        .map(|(name, amount)| (name, show(amount).into()))
        .collect();
    Ok(Some(after.into()))
}

/// What a write needs, of what the quota names: all that a new object uses; of a changed one, what
/// it uses more than `before`. What it uses less is the controller's to give back.
fn needed(now: Totals, before: Option<Totals>, names: &[&str]) -> Totals {
    // ANCHOR: exercise-03.8
    let mut needed = now;
    for (resource, (before, _)) in before.into_iter().flatten() {
        if let Some((now, _)) = needed.get_mut(&resource) {
            *now = (*now - before).max(Quantity::default());
        }
    }
    needed.retain(|resource, (quantity, _)| {
        !quantity.is_zero() && names.contains(&resource.as_str())
    });
    needed
    // ANCHOR_END: exercise-03.8
}

fn keys(map: &Value) -> impl Iterator<Item = &str> {
    map.as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
}

fn parse(amount: &Value) -> Quantity {
    let text = amount.as_str().unwrap_or_default();
    Quantity::parse(text).unwrap_or_default()
}

fn show((quantity, binary): (Quantity, bool)) -> String {
    quantity.show(binary)
}

/// What is used, and what is needed beside.
fn added(used: &Value, needed: &Totals) -> Totals {
    let mut after = Totals::new();
    add_amounts(&mut after, used);
    add(&mut after, needed);
    after
}

#[cfg(test)]
mod tests;
