//! How large values of a schema may become, and how many of them fit in a request.
//!
//! What an expression costs depends on what it is asked of. Where a schema says no `maxLength`,
//! `maxItems` or `maxProperties`, a request is the limit: as many as would fit into one.
//!
//! Upstream: `apiserver/pkg/cel/common/schemas.go` (`SchemaDeclType`), `apiserver/pkg/cel/limits.go`.

use std::collections::BTreeMap;

use super::escape::unescape;
use crate::custom::{Additional, Schema};

/// The largest request, in bytes. Upstream: `MaxRequestSizeBytes`.
const REQUEST_BYTES_MAX: u64 = 3 * 1024 * 1024;
/// The longest text of a duration or a time, with its quotes.
const TIME_BYTES_MAX: u64 = 32;
/// The text of a date, with its quotes.
const DATE_BYTES: u64 = 12;

/// Sizes of the values of a schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sizes {
    /// At most so many characters, entries or keys; 0 for what is no text, list or map.
    pub(super) elements: u64,
    /// At least so many bytes of JSON.
    bytes_min: u64,
    inside: Inside,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Nothing,
    List(Box<Sizes>),
    Map(Box<Sizes>),
    Fields(BTreeMap<String, Sizes>),
}

impl Sizes {
    /// Those of values of a schema; none where rules must not look.
    pub fn of(schema: &Schema) -> Option<Sizes> {
        if schema.int_or_string {
            return Some(plain(text_max(schema), 1));
        }
        Some(match schema.kind.as_str() {
            "boolean" => plain(0, 4),
            "integer" | "number" => plain(0, 1),
            "string" => text(schema),
            "array" => {
                let items = Sizes::of(schema.items.as_deref()?)?;
                let fitting = (REQUEST_BYTES_MAX - 2) / (items.bytes_min + 1);
                Sizes {
                    elements: schema.items_max().unwrap_or(fitting),
                    bytes_min: 2,
                    inside: Inside::List(items.into()),
                }
            }
            "object" => match &schema.additional {
                Some(Additional::Schema(values)) => {
                    let values = Sizes::of(values)?;
                    // Two letters of a key, its quotes, a colon and a comma.
                    let fitting = (REQUEST_BYTES_MAX - 2) / (values.bytes_min + 6);
                    Sizes {
                        elements: schema.properties_max().unwrap_or(fitting),
                        bytes_min: 2,
                        inside: Inside::Map(values.into()),
                    }
                }
                _ => object(schema),
            },
            _ => return None,
        })
    }

    /// How often a value of this kind can be in one object, at most.
    pub fn count_max(&self) -> u64 {
        REQUEST_BYTES_MAX / (self.bytes_min + 1)
    }

    /// What stands at a path of an expression, which begins with a variable. Upstream walks on from
    /// the value of the rule whatever the variable is.
    pub(super) fn at(&self, path: &[String]) -> Option<u64> {
        let (_variable, steps) = path.split_first()?;
        let mut here = self;
        for step in steps {
            here = match (&here.inside, step.as_str()) {
                (Inside::List(inner), ITEMS) | (Inside::Map(inner), VALUES) => inner,
                // Keys have no limit of their own, which upstream takes for one of 0.
                (Inside::Map(_), KEYS) => return Some(0),
                (Inside::Fields(fields), name) => {
                    fields.get(&unescape(name)).or(fields.get(name))?
                }
                _ => return None,
            };
        }
        Some(here.elements)
    }
}

/// A step of a path: any entry of a list.
pub(super) const ITEMS: &str = "@items";
/// A step of a path: any key of a map.
pub(super) const KEYS: &str = "@keys";
/// A step of a path: any value of a map.
pub(super) const VALUES: &str = "@values";

fn plain(elements: u64, bytes_min: u64) -> Sizes {
    Sizes {
        elements,
        bytes_min,
        inside: Inside::Nothing,
    }
}

/// The longest that a text may be, in bytes: a letter may take four.
fn text_max(schema: &Schema) -> u64 {
    let letters = schema.length_max();
    letters.map_or(REQUEST_BYTES_MAX - 2, |letters| letters.saturating_mul(4))
}

fn text(schema: &Schema) -> Sizes {
    match schema.format() {
        "byte" => plain(schema.length_max().unwrap_or(REQUEST_BYTES_MAX - 2), 2),
        "duration" => plain(TIME_BYTES_MAX, 3),
        "date" => plain(DATE_BYTES, DATE_BYTES),
        "date-time" => plain(TIME_BYTES_MAX, 21),
        _ => {
            let longest = schema.texts().map(str::len).max();
            let listed = longest.filter(|_| schema.length_max().is_none());
            plain(listed.map_or(text_max(schema), |bytes| bytes as u64), 2)
        }
    }
}

fn object(schema: &Schema) -> Sizes {
    let properties = schema.properties.iter();
    let fields = properties.filter_map(|(name, inner)| Some((name.clone(), Sizes::of(inner)?)));
    let mut fields: BTreeMap<String, Sizes> = fields.collect();
    if schema.embedded && !says_of_itself(schema) {
        let name = plain(REQUEST_BYTES_MAX - 2, 2);
        let named = ["name", "generateName"].map(|field| (field.to_owned(), name.clone()));
        let metadata = Sizes {
            elements: 0,
            bytes_min: 2,
            inside: Inside::Fields(named.into()),
        };
        fields.insert("apiVersion".to_owned(), name.clone());
        fields.insert("kind".to_owned(), name);
        fields.insert("metadata".to_owned(), metadata);
    }
    // What has a default need not be sent.
    let required = |name: &str| {
        schema.requires(name)
            && schema
                .properties
                .get(name)
                .is_some_and(|it| it.default.is_none())
    };
    let sent = fields.iter().filter(|(name, _)| required(name));
    // Its quotes, a colon and a comma.
    let bytes = sent.map(|(name, sizes)| name.len() as u64 + sizes.bytes_min + 4);
    Sizes {
        elements: 0,
        bytes_min: 2 + bytes.sum::<u64>(),
        inside: Inside::Fields(fields),
    }
}

/// Whether a schema has all that every object of the API has.
fn says_of_itself(schema: &Schema) -> bool {
    let is = |schema: &Schema, name: &str, kind: &str| {
        schema
            .properties
            .get(name)
            .is_some_and(|it| it.kind == kind)
    };
    let names = |metadata: &Schema| {
        ["name", "generateName"]
            .iter()
            .all(|name| is(metadata, name, "string"))
    };
    is(schema, "kind", "string")
        && is(schema, "apiVersion", "string")
        && is(schema, "metadata", "object")
        && schema.properties.get("metadata").is_some_and(names)
}
