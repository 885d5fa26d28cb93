//! What is served at this moment: what is built in, and what clients have defined.
//!
//! A catalog never changes. When a definition comes, changes or goes, a new one takes its place,
//! and whoever is at work with the old one finishes with it.

use std::sync::Arc;

use super::{Custom, Resource, all, by_path, custom};
use crate::openapi::Documents;

/// Everything that is served, from one moment to the next.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Sorted by group, then version (the best first), then name.
    customs: Vec<Arc<Custom>>,
    /// What is told of it in OpenAPI; made when it is first asked for.
    pub documents: Documents,
}

/// A resource that is held: it stays what it is, whatever becomes of its definition.
#[derive(Debug, Clone)]
pub enum Served {
    /// Part of the program.
    BuiltIn(&'static Resource<'static>),
    /// A version that a client has defined.
    Custom(Arc<Custom>),
}

impl Served {
    /// The resource.
    pub fn resource(&self) -> Resource<'_> {
        match self {
            Served::BuiltIn(resource) => **resource,
            Served::Custom(custom) => custom.resource(),
        }
    }

    /// Its group and its name in the plural, by which it is told apart in the store.
    pub fn name(&self) -> (&str, &str) {
        match self {
            Served::BuiltIn(resource) => (resource.group, resource.plural),
            Served::Custom(custom) => (&custom.definition.group, &custom.definition.plural),
        }
    }

    /// Its definition, where a client has defined it.
    pub fn custom(&self) -> Option<&Arc<Custom>> {
        match self {
            Served::BuiltIn(_) => None,
            Served::Custom(custom) => Some(custom),
        }
    }
}

impl Catalog {
    /// What is built in, and these versions of custom resources.
    pub fn new(mut customs: Vec<Arc<Custom>>) -> Catalog {
        customs.sort_by(|a, b| {
            let version = || custom::compare_versions(&b.version, &a.version);
            let (da, db) = (&a.definition, &b.definition);
            (da.group.cmp(&db.group))
                .then_with(version)
                .then_with(|| da.plural.cmp(&db.plural))
        });
        Catalog {
            customs,
            documents: Documents::default(),
        }
    }

    /// Everything, in the order of discovery: groups, then names.
    pub fn all(&self) -> impl Iterator<Item = Resource<'_>> {
        let built_in = all().map(for_a_while);
        built_in.chain(self.customs())
    }

    /// What clients have defined.
    pub fn customs(&self) -> impl Iterator<Item = Resource<'_>> {
        self.customs.iter().map(|custom| custom.resource())
    }

    /// The versions that are served of what a slot holds.
    pub fn versions_of(&self, resource: &Resource) -> impl Iterator<Item = Arc<Custom>> {
        let same = move |custom: &&Arc<Custom>| {
            let definition = &custom.definition;
            definition.plural == resource.plural && definition.group == resource.group
        };
        self.customs.iter().filter(same).cloned()
    }

    /// The resource at `/apis/{group}/{version}/…/{plural}`.
    pub fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<Served> {
        if let Some(resource) = by_path(group, version, plural) {
            return Some(Served::BuiltIn(resource));
        }
        let mut customs = self.customs.iter();
        let found = customs.find(|custom| {
            let definition = &custom.definition;
            definition.plural == plural && definition.group == group && custom.version == version
        });
        found.cloned().map(Served::Custom)
    }
}

/// What is there for ever, as what is there for as long as a catalog.
fn for_a_while<'a>(resource: &'static Resource<'static>) -> Resource<'a> {
    *resource
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::Definition;

    /// A definition whose names are accepted.
    fn definition(group: &str, plural: &str, versions: &[(&str, bool)]) -> Vec<Arc<Custom>> {
        let names = json!({"kind": "Tab", "listKind": "TabList", "plural": plural,
            "singular": "tab", "shortNames": ["t"], "categories": ["all"]});
        let versions: Vec<_> = versions
            .iter()
            .enumerate()
            .map(|(i, (name, served))| json!({"name": name, "served": served, "storage": i == 0}))
            .collect();
        let crd = json!({
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": versions},
            "status": {"acceptedNames": names,
                "conditions": [{"type": "Established", "status": "True"}]},
        });
        Definition::versions_of(&crd)
    }

    fn catalog(all: &[Vec<Arc<Custom>>]) -> Catalog {
        let customs = all.iter().flatten().filter(|custom| custom.served);
        Catalog::new(customs.cloned().collect())
    }

    #[test]
    fn what_is_defined_is_served() {
        let a = definition("a.example", "tabs", &[("v1", true), ("v2beta1", true)]);
        let b = definition("b.example", "tabs", &[("v1", false), ("v2", true)]);
        let catalog = catalog(&[b, a]);
        let paths: Vec<String> = catalog
            .customs()
            .map(|resource| format!("{}/{}", resource.api_version(), resource.plural))
            .collect();
        let expected = [
            "a.example/v1/tabs",
            "a.example/v2beta1/tabs",
            "b.example/v2/tabs",
        ];
        assert_eq!(paths, expected);
        let served = catalog
            .by_path("b.example", "v2", "tabs")
            .expect("is served");
        let resource = served.resource();
        assert_eq!((resource.kind, resource.short_names()), ("Tab", vec!["t"]));
        assert!(catalog.by_path("b.example", "v1", "tabs").is_none());
        assert!(catalog.by_path("", "v1", "pods").is_some());
    }

    #[test]
    fn nothing_is_left_of_a_catalog() {
        let customs = definition("a.example", "tabs", &[("v1", true)]);
        let weak = Arc::downgrade(&customs[0]);
        let catalog = catalog(&[customs]);
        let held = catalog
            .by_path("a.example", "v1", "tabs")
            .expect("is served");
        drop(catalog);
        assert_eq!(held.resource().plural, "tabs");
        drop(held);
        assert!(weak.upgrade().is_none());
    }
}
