//! Field sets that were noted under another schema.

use super::path::Set;
use super::typed::{field_or_item, is_atomic};
use crate::schema::Shape;

/// Makes the set what it would be today: of what has become atomic, who owned some owns all. What
/// was atomic and is not any more stays as it was noted, until it is written again.
/// Upstream: `structured-merge-diff`, `typed/reconcile_schema.go`.
pub(super) fn reconcile(shape: &Shape, set: &mut Set) {
    set.change_each(|branch| {
        if branch.below.is_empty() {
            return;
        }
        let member = field_or_item(shape, &branch.element);
        let has_members = member.has_fields() || matches!(member, Shape::List { .. });
        if has_members && is_atomic(member) {
            branch.is_member = true;
            branch.below = Set::default();
        } else {
            reconcile(member, &mut branch.below);
        }
    });
}
