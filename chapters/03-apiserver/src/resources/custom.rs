//! Resources that clients define, as the definition in the store says.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{PART, Resource, STORED, Subresource};
use crate::custom::{Schema, shape_of};
use crate::schema::Shape;

/// What all versions of a custom resource have in common. Upstream: `CustomResourceDefinition`.
#[derive(Debug)]
pub struct Definition {
    /// API group: `stable.example.com`
    pub group: String,
    /// `CronTab`
    pub kind: String,
    /// `CronTabList`
    pub list_kind: String,
    /// `crontabs`
    pub plural: String,
    /// `crontab`
    pub singular: String,
    /// Lives in a namespace
    pub namespaced: bool,
    /// The version that objects are stored in.
    pub storage_version: String,
    /// When it is replaced or gone: watches end then, as clients are to look anew.
    pub retired: CancellationToken,
    /// Its deletion has begun: there are no new objects.
    pub is_terminating: bool,
    /// Objects of other versions than that which is stored are made by a webhook.
    pub converts_by_webhook: bool,
    short_names: Vec<String>,
    categories: Vec<String>,
    /// What it was made from.
    source: Value,
}

/// A version of a custom resource.
#[derive(Debug)]
pub struct Custom {
    /// What it is a version of.
    pub definition: Arc<Definition>,
    /// `v1`
    pub version: String,
    /// Whether clients get at it; objects can be stored in a version that is not served.
    pub served: bool,
    /// Name of its type in OpenAPI: `com.example.stable.v1.CronTab`
    pub schema_name: String,
    /// `spec.versions[]` of the definition.
    pub spec: Value,
    /// What its objects are.
    pub schema: Schema,
    /// The same, as server-side apply walks over it.
    pub shape: Shape,
}

/// `status` and `scale`, each there or not.
const SUBRESOURCES: [&[Subresource]; 4] = [
    &[],
    &[OWN_STATUS],
    &[super::SCALE],
    &[super::SCALE, OWN_STATUS],
];

const OWN_STATUS: Subresource = Subresource {
    name: "status",
    kind: "",
    group_version: None,
    verbs: PART,
};

impl Definition {
    /// The versions of a CustomResourceDefinition, in its order; none before its names are accepted.
    pub fn versions_of(crd: &Value) -> Vec<Arc<Custom>> {
        let (spec, names) = (&crd["spec"], &crd["status"]["acceptedNames"]);
        if !has_condition(crd, "Established") {
            return Vec::new();
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect();
        let versions = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
        let storage = versions.iter().find(|version| version["storage"] == true);
        let definition = Arc::new(Definition {
            group: text(&spec["group"]),
            kind: text(&names["kind"]),
            list_kind: text(&names["listKind"]),
            plural: text(&names["plural"]),
            singular: text(&names["singular"]),
            namespaced: spec["scope"] == "Namespaced",
            storage_version: storage.map_or_else(String::new, |storage| text(&storage["name"])),
            retired: CancellationToken::new(),
            is_terminating: !crd["metadata"]["deletionTimestamp"].is_null(),
            converts_by_webhook: spec["conversion"]["strategy"] == "Webhook",
            short_names: texts(&names["shortNames"]),
            categories: texts(&names["categories"]),
            source: json!([
                spec,
                names,
                crd["metadata"]["uid"],
                crd["metadata"]["deletionTimestamp"]
            ]),
        });
        let version = |version: &Value| {
            let name = text(&version["name"]);
            let schema = Schema::root(&version["schema"]["openAPIV3Schema"]);
            Arc::new(Custom {
                shape: shape_of(&schema),
                schema,
                schema_name: schema_name(&definition.group, &name, &definition.kind),
                version: name,
                served: version["served"] == true,
                spec: version.clone(),
                definition: definition.clone(),
            })
        };
        versions.iter().map(version).collect()
    }

    /// Whether both define the same.
    pub fn is_like(&self, other: &Definition) -> bool {
        self.source == other.source
    }

    /// `ct`
    pub fn short_names(&self) -> Vec<&str> {
        self.short_names.iter().map(String::as_str).collect()
    }

    /// `all`
    pub fn categories(&self) -> Vec<&str> {
        self.categories.iter().map(String::as_str).collect()
    }
}

impl Custom {
    /// Whether `status` is a subresource of it.
    pub fn has_status(&self) -> bool {
        !self.spec["subresources"]["status"].is_null()
    }

    /// What it was made from: other text is another version.
    pub fn source(&self) -> String {
        json!([self.definition.source, self.spec]).to_string()
    }

    /// Whether clients are told to use another version.
    pub fn is_deprecated(&self) -> bool {
        self.spec["deprecated"] == true
    }

    /// What they are told.
    pub fn deprecation_warning(&self) -> String {
        let own = self.spec["deprecationWarning"].as_str().map(str::to_owned);
        own.unwrap_or_else(|| {
            let version = self.resource().api_version();
            format!("{version} {} is deprecated", self.definition.kind)
        })
    }

    /// The fields that objects can be selected by: their names, without the dot, and where they are.
    pub fn selectable_fields(&self) -> impl Iterator<Item = &str> {
        let fields = self.spec["selectableFields"]
            .as_array()
            .into_iter()
            .flatten();
        let paths = fields.filter_map(|field| field["jsonPath"].as_str());
        paths.map(|path| path.strip_prefix('.').unwrap_or(path))
    }

    /// The resource.
    pub fn resource(&self) -> Resource<'_> {
        let definition = &*self.definition;
        let subresources = &self.spec["subresources"];
        let (status, scale) = (
            !subresources["status"].is_null(),
            !subresources["scale"].is_null(),
        );
        Resource {
            group: &definition.group,
            version: &self.version,
            kind: &definition.kind,
            plural: &definition.plural,
            singular: &definition.singular,
            short_names: &[],
            categories: &[],
            namespaced: definition.namespaced,
            verbs: STORED,
            subresources: SUBRESOURCES[usize::from(status) + 2 * usize::from(scale)],
            schema: &self.schema_name,
            custom: Some(self),
        }
    }
}

/// Whether a condition of an object's status is true.
pub fn has_condition(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == kind && condition["status"] == "True")
}

/// `com.example.stable.v1.CronTab`: the group's domain from its end. Upstream:
/// `apiserver/pkg/endpoints/openapi`, `friendlyName`.
fn schema_name(group: &str, version: &str, kind: &str) -> String {
    let mut parts: Vec<&str> = group.split('.').collect();
    parts.reverse();
    parts.extend([version, kind]);
    parts.join(".")
}

/// Orders versions by how good they are: `v1beta1` < `v1` < `v2`; what is no such version is
/// worse than all that are, and sorts by its letters. Upstream: `version.CompareKubeAwareVersionStrings`.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (rank(a), rank(b)) {
        // The first by its letters is the better.
        (None, None) => b.cmp(a),
        (a, b) => a.cmp(&b),
    }
}

/// Stability, major and minor of `v2beta1`.
fn rank(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let number = |text: &str| {
        let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    };
    for (stability, word) in [(0, "alpha"), (1, "beta")] {
        if let Some((major, minor)) = rest.split_once(word) {
            return Some((stability, number(major)?, number(minor)?));
        }
    }
    Some((2, number(rest)?, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered() {
        let mut versions = [
            "foo1", "v1", "v10", "v2alpha1", "v11beta2", "v3beta1", "foo10", "v2",
        ];
        versions.sort_by(|a, b| compare_versions(b, a));
        let expected = [
            "v10", "v2", "v1", "v11beta2", "v3beta1", "v2alpha1", "foo1", "foo10",
        ];
        assert_eq!(versions, expected);
    }
}
