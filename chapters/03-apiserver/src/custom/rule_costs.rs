//! What the rules of a definition may cost, each and together.
//!
//! A rule below a list or a map is asked of each entry. So its cost counts as often as there can be
//! entries: as `maxItems` and `maxProperties` of all lists and maps around it say, or, where one of
//! them says nothing, as often as its value would fit into a request.
//!
//! Upstream: `apiextensions-apiserver/pkg/apis/apiextensions/validation/cel_validation.go`.

use super::structural::Schema;
use crate::cel::Sizes;
use crate::status::FieldError;

/// What one rule may cost. Upstream: `StaticEstimatedCostLimit`.
const RULE_MAX: u64 = 10_000_000;
/// What all rules of a schema may cost together. Upstream: `StaticEstimatedCRDCostLimit`.
const SCHEMA_MAX: u64 = 100_000_000;
/// How many of the dearest rules are told of.
const DEAREST: usize = 4;

/// How often values of a schema can be in an object, if there is a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(Option<u64>);

impl Count {
    /// Of the object itself there is one.
    pub(super) const ONE: Count = Count(Some(1));

    /// That of what is in values of a schema of which there are so many.
    pub(super) fn within(self, schema: &Schema) -> Count {
        let each = match schema.kind.as_str() {
            "object" if schema.additional.is_some() => schema.properties_max(),
            "array" => schema.items_max(),
            _ => Some(1),
        };
        Count(
            self.0
                .zip(each)
                .map(|(outside, each)| outside.saturating_mul(each)),
        )
    }

    /// What something costs that costs so much for one value of these sizes.
    pub(super) fn times(self, cost: u64, sizes: &Sizes) -> u64 {
        cost.saturating_mul(self.0.unwrap_or_else(|| sizes.count_max()))
    }
}

/// The sum of what the rules of a schema cost.
#[derive(Debug, Default)]
pub(super) struct Sum {
    total: u64,
    /// Of those that count, the dearest first: where they stand, and their costs.
    dearest: Vec<(String, u64)>,
}

impl Sum {
    /// Adds an expression, and says if it alone is too dear. `what` it is: `rule`,
    /// `messageExpression`.
    pub(super) fn add(&mut self, path: String, what: &str, cost: u64) -> Option<FieldError> {
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_MAX / 100 {
            self.dearest.push((path.clone(), cost));
            self.dearest
                .sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
            self.dearest.truncate(DEAREST);
        }
        let detail = || too_dear(&format!("estimated {what} cost"), cost, RULE_MAX);
        (cost > RULE_MAX).then(|| FieldError::forbidden(path, detail()))
    }

    /// Says if all together are too dear. `path` is that of the schema.
    pub(super) fn close(self, path: &str) -> Vec<FieldError> {
        if self.total <= SCHEMA_MAX {
            return Vec::new();
        }
        let share = "contributed to estimated rule cost total exceeding cost limit for entire \
                     OpenAPIv3 schema";
        let dearest = self.dearest.into_iter();
        let mut errors: Vec<FieldError> = dearest
            .map(|(path, _)| FieldError::forbidden(path, share))
            .collect();
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        let detail = too_dear(what, self.total, SCHEMA_MAX);
        errors.push(FieldError::forbidden(path, detail));
        errors
    }
}

fn too_dear(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        // "by factor of 1.0x" would help nobody.
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding \
         maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rule_is_asked_of_each_entry_of_all_lists_around_it() {
        let list = |max: Option<u64>| {
            Schema::read(&json!({"type": "array", "maxItems": max, "items": {"type": "string"}}))
        };
        let object = Schema::read(&json!({"type": "object", "properties": {}}));
        let (ten, open) = (list(Some(10)), list(None));
        let sizes = Sizes::of(&open).expect("rules may look at it");
        let count = Count::ONE.within(&object).within(&ten).within(&ten);
        assert_eq!(count.times(3, &sizes), 300);
        // `[]` and a comma: as many as fit into three mebibytes.
        assert_eq!(count.within(&open).times(1, &sizes), 3 * 1024 * 1024 / 3);
        assert_eq!(Count::ONE.times(u64::MAX, &sizes), u64::MAX);
    }

    #[test]
    fn together_they_may_cost_ten_times_as_much() {
        let mut sum = Sum::default();
        for i in 0..11 {
            let cost = RULE_MAX - i;
            assert_eq!(sum.add(format!("rule {i}"), "rule", cost), None);
        }
        let told = sum.close("schema").into_iter();
        let told: Vec<String> = told
            .map(|it| format!("{}: {}", it.field, it.message))
            .collect();
        assert_eq!(told.len(), DEAREST + 1);
        assert!(told[0].starts_with("rule 0: Forbidden: contributed to estimated rule cost"));
        assert!(
            told[DEAREST].contains(
                "cost total for entire OpenAPIv3 schema exceeds budget by factor of 1.099999x"
            ),
            "{told:?}"
        );
    }

    #[test]
    fn a_small_excess_is_told_exactly_and_a_large_one_is_not() {
        let told = |cost| {
            let error = Sum::default().add("r".into(), "rule", cost);
            let told = error.map(|error| error.message).unwrap_or_default();
            let rest = told
                .split("factor of ")
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            rest.split(" (").next().unwrap_or_default().to_owned()
        };
        assert_eq!(told(RULE_MAX), "");
        assert_eq!(told(RULE_MAX + 1_000_000), "1.100000x");
        assert_eq!(told(26 * RULE_MAX / 10), "2.6x");
        assert_eq!(told(u64::MAX), "more than 100x");
    }
}
