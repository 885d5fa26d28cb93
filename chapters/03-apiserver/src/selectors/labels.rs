//! Selectors over labels: `app=web,tier in (a,b),!canary`.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};

use super::parser;
use crate::{status::ApiError, validation::names};

/// Something that has labels.
pub trait Labels {
    /// The value of the label, if it is there.
    fn get(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn get(&self, key: &str) -> Option<&str> {
        BTreeMap::get(self, key).map(String::as_str)
    }
}

impl Labels for Map<String, Value> {
    fn get(&self, key: &str) -> Option<&str> {
        Map::get(self, key).and_then(Value::as_str)
    }
}

/// `metadata.labels` as it is in the object: absent means none.
impl Labels for Value {
    fn get(&self, key: &str) -> Option<&str> {
        Value::get(self, key).and_then(Value::as_str)
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Labels for [(K, V)] {
    fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find(|(k, _)| k.as_ref() == key)
            .map(|(_, value)| value.as_ref())
    }
}

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `key=a`, `key in (a,b)`
    In,
    /// `key!=a`, `key notin (a,b)`; holds for a missing label
    NotIn,
    /// `key`
    Exists,
    /// `!key`
    DoesNotExist,
    /// `key>5`, both being integers
    GreaterThan,
    /// `key<5`, both being integers
    LessThan,
}

/// One term of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Key of the label.
    pub key: String,
    /// How its value is compared.
    pub operator: Operator,
    /// What it is compared with.
    pub values: Vec<String>,
}

impl Requirement {
    /// Checks key and values for their form.
    pub(super) fn new(
        key: &str,
        operator: Operator,
        values: Vec<String>,
    ) -> Result<Requirement, String> {
        let invalid = |field: &str, value: &str, wrongs: Vec<String>| {
            if wrongs.is_empty() {
                return Ok(());
            }
            let field = if field.is_empty() {
                String::new()
            } else {
                format!("{field}: ")
            };
            Err(format!(
                "{field}Invalid value: {value:?}: {}",
                wrongs.join("; ")
            ))
        };
        // Upstream's parser checks the key before anything else, with no path to name it by.
        invalid("<nil>", key, names::qualified_name(key))?;
        for (index, value) in values.iter().enumerate() {
            if matches!(operator, Operator::GreaterThan | Operator::LessThan)
                && value.parse::<i64>().is_err()
            {
                let wrong = "for 'Gt', 'Lt' operators, the value must be an integer";
                invalid(&format!("values[{index}]"), value, vec![wrong.to_owned()])?;
            }
            invalid(
                &format!("values[{index}][{key}]"),
                value,
                names::label_value(value),
            )?;
        }
        Ok(Requirement {
            key: key.to_owned(),
            operator,
            values,
        })
    }

    fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        // ANCHOR: exercise-03.10
        let value = labels.get(&self.key);
        let is_among = |value: &str| self.values.iter().any(|v| v == value);
        let number = |text: &str| text.parse::<i64>().ok();
        let limit = || self.values.first().and_then(|v| number(v));
        match (self.operator, value) {
            (Operator::Exists, value) => value.is_some(),
            (Operator::DoesNotExist, value) => value.is_none(),
            (Operator::In, Some(value)) => is_among(value),
            (Operator::NotIn, Some(value)) => !is_among(value),
            (Operator::NotIn, None) => true,
            (Operator::GreaterThan, Some(value)) => number(value)
                .zip(limit())
                .is_some_and(|(value, limit)| value > limit),
            (Operator::LessThan, Some(value)) => number(value)
                .zip(limit())
                .is_some_and(|(value, limit)| value < limit),
            (_, None) => false,
        }
        // ANCHOR_END: exercise-03.10
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.join(",");
        let key = &self.key;
        match (self.operator, self.values.len()) {
            (Operator::In, 1) => write!(f, "{key}={values}"),
            (Operator::NotIn, 1) => write!(f, "{key}!={values}"),
            (Operator::In, _) => write!(f, "{key} in ({values})"),
            (Operator::NotIn, _) => write!(f, "{key} notin ({values})"),
            (Operator::Exists, _) => write!(f, "{key}"),
            (Operator::DoesNotExist, _) => write!(f, "!{key}"),
            (Operator::GreaterThan, _) => write!(f, "{key}>{values}"),
            (Operator::LessThan, _) => write!(f, "{key}<{values}"),
        }
    }
}

/// A selector over labels; the default one selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Parses the form of the query string. Empty text selects everything.
    ///
    /// # Errors
    /// 400 with upstream's words about the first word that does not fit.
    pub fn parse(text: &str) -> Result<LabelSelector, ApiError> {
        let requirements = parser::parse(text).map_err(ApiError::bad_request)?;
        Ok(LabelSelector { requirements })
    }

    /// From a `metav1.LabelSelector`: `{"matchLabels": {…}, "matchExpressions": […]}`. An absent
    /// one (null) selects nothing upstream; here that is for the caller to know.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn from_object(object: &Value) -> Result<LabelSelector, String> {
        let mut requirements = Vec::new();
        for (key, value) in object["matchLabels"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement::new(key, Operator::In, vec![value])?);
        }
        for expression in object["matchExpressions"].as_array().into_iter().flatten() {
            let operator = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{other:?} is not a valid label selector operator")),
            };
            let values = expression["values"].as_array().into_iter().flatten();
            let values: Vec<String> = values
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect();
            let is_set = matches!(operator, Operator::In | Operator::NotIn);
            if is_set == values.is_empty() {
                return Err(if is_set {
                    "for 'in', 'notin' operators, values set can't be empty".to_owned()
                } else {
                    "values set must be empty for exists and does not exist".to_owned()
                });
            }
            let key = expression["key"].as_str().unwrap_or_default();
            requirements.push(Requirement::new(key, operator, values)?);
        }
        Ok(LabelSelector { requirements })
    }

    /// Whether all requirements hold.
    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.matches(labels))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Its terms, ordered by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms: Vec<String> = self
            .requirements
            .iter()
            .map(Requirement::to_string)
            .collect();
        f.write_str(&terms.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn wrong(text: &str) -> String {
        LabelSelector::parse(text).expect_err(text).message
    }

    #[test]
    fn the_grammar() {
        for (text, display) in [
            ("", ""),
            ("a", "a"),
            ("!a", "!a"),
            ("a=b", "a=b"),
            ("a == b , c!=d", "a=b,c!=d"),
            ("b in (x,y),a notin (z)", "a!=z,b in (x,y)"),
            ("in in (in,notin)", "in in (in,notin)"),
            ("a in ()", "a="),
            ("a in (x,,y)", "a in (,x,y)"),
            ("a in (,)", "a="),
            ("a=", "a="),
            ("a>5", "a>5"),
            ("example.com/a=b", "example.com/a=b"),
        ] {
            let selector = LabelSelector::parse(text).expect(text);
            assert_eq!(selector.to_string(), display, "{text}");
        }
    }

    #[test]
    fn the_messages() {
        assert_eq!(
            wrong("a=b=c"),
            "found '=', expected: ',' or 'end of string'"
        );
        assert_eq!(wrong("a,"), "found '', expected: identifier after ','");
        assert_eq!(
            wrong("a b"),
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"
        );
        assert_eq!(
            wrong("=a"),
            "found '=', expected: !, identifier, or 'end of string'"
        );
        assert_eq!(
            wrong("a in b"),
            "unable to parse requirement: found 'b' expected: '('"
        );
        assert!(wrong("a=-x").starts_with(
            "unable to parse requirement: values[0][a]: Invalid value: \"-x\": a valid label must"
        ));
        assert!(wrong("-a").starts_with(
            "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist"
        ));
    }

    #[test]
    fn what_matches() {
        let labels = json!({"app": "web", "tier": "front", "size": "7"});
        for (text, expected) in [
            ("", true),
            ("app=web,tier in (front,back)", true),
            ("app!=web", false),
            ("none!=x", true),
            ("none notin (x)", true),
            ("none", false),
            ("!none", true),
            ("size>6,size<8", true),
            ("app>1", false),
        ] {
            let selector = LabelSelector::parse(text).expect(text);
            assert_eq!(selector.matches(&labels), expected, "{text}");
            assert_eq!(selector.is_empty(), text.is_empty());
        }
        let object = json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["back"]}],
        });
        assert!(
            LabelSelector::from_object(&object)
                .expect("valid")
                .matches(&labels)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[a-z=!,()<> /\u{0}\u{e9}-]{0,40}") {
            if let Ok(selector) = LabelSelector::parse(&text) {
                // What is printed means the same.
                let again = LabelSelector::parse(&selector.to_string()).expect("printed form");
                prop_assert_eq!(again, selector);
            }
        }
    }
}
