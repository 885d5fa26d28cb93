//! Field sets that were noted under another schema.

use super::path::Set;
use super::typed::{field_or_item, is_atomic};
use crate::schema::Shape;

/// The set as it would be noted today: of what has become atomic, who owned some owns all. What
/// was atomic and is not any more stays as it was noted, until it is written again.
/// Upstream: `structured-merge-diff`, `typed/reconcile_schema.go`.
pub(super) fn reconcile(shape: &Shape, set: Set) -> Set {
    let mut reconciled = Set {
        members: set.members,
        children: Default::default(),
    };
    for (element, below) in set.children {
        let member = field_or_item(shape, &element);
        let has_members = member.has_fields() || matches!(member, Shape::List { .. });
        if has_members && is_atomic(member) && !below.is_empty() {
            reconciled.members.insert(element);
        } else {
            reconciled
                .children
                .insert(element, reconcile(member, below));
        }
    }
    reconciled
}
