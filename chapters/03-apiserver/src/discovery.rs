//! Discovery: what is served, told from the table of resources, in both forms.
//!
//! The plain form takes a request per group and version; the aggregated one tells all at once, and
//! is what clients ask for first. Upstream: KEP-3352.

use serde_json::{Value, json};

use crate::resources::{Catalog, Resource};

/// The media type of the aggregated form.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/api`: versions of the core group.
pub fn core_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs":
            [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// `/apis`: the groups.
pub fn groups(catalog: &Catalog) -> Value {
    let groups: Vec<Value> = named_groups(catalog)
        .iter()
        .map(|(name, versions)| group_of(name, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/{group}`
pub fn group(catalog: &Catalog, name: &str) -> Option<Value> {
    let groups = named_groups(catalog);
    let (name, versions) = groups.iter().find(|(group, _)| *group == name)?;
    let mut group = group_of(name, versions);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    Some(group)
}

fn group_of(name: &str, versions: &[&str]) -> Value {
    let version =
        |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let versions: Vec<Value> = versions.iter().map(version).collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions[0]})
}

/// The groups with a name and their versions, in the catalog's order.
fn named_groups(catalog: &Catalog) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for resource in catalog.all().filter(|resource| !resource.group.is_empty()) {
        match groups
            .iter_mut()
            .find(|(group, _)| *group == resource.group)
        {
            Some((_, versions)) if versions.contains(&resource.version) => {}
            Some((_, versions)) => versions.push(resource.version),
            None => groups.push((resource.group, vec![resource.version])),
        }
    }
    groups
}

/// `/api/v1`, `/apis/{group}/{version}`: the resources of a group.
pub fn resources(catalog: &Catalog, group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for resource in of_group(catalog, group, version) {
        let mut entry = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": resource.verbs,
        });
        add_names(&mut entry, &resource);
        if resource.is_stored() {
            entry["storageVersionHash"] = storage_version_hash(&resource).into();
        }
        resources.push(entry);
        for subresource in resource.subresources {
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, subresource.name),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": resource.kind_of(subresource),
                "verbs": subresource.verbs,
            });
            if let Some((group, version)) = subresource.group_version {
                entry["group"] = group.into();
                entry["version"] = version.into();
            }
            resources.push(entry);
        }
    }
    if resources.is_empty() {
        return None;
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }))
}

/// `/api` (the core group alone) or `/apis` (the others), aggregated.
pub fn aggregated(catalog: &Catalog, core: bool) -> Value {
    let groups = if core {
        vec![("", vec!["v1"])]
    } else {
        named_groups(catalog)
    };
    let items: Vec<Value> = groups
        .into_iter()
        .map(|(group, versions)| {
            let version = |version: &&str| {
                let resources = of_group(catalog, group, version);
                let resources: Vec<Value> = resources.map(aggregated_resource).collect();
                json!({"version": version, "freshness": "Current", "resources": resources})
            };
            let versions: Vec<Value> = versions.iter().map(version).collect();
            let metadata = if group.is_empty() {
                json!({})
            } else {
                json!({"name": group})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn aggregated_resource(resource: Resource) -> Value {
    let kind = |(group, version): (&str, &str), kind: &str| json!({"group": group, "version": version, "kind": kind});
    let own = (resource.group, resource.version);
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": kind(own, resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    add_names(&mut entry, &resource);
    let subresources: Vec<Value> = resource
        .subresources
        .iter()
        .map(|subresource| {
            json!({
                "subresource": subresource.name,
                "responseKind": kind(subresource.group_version.unwrap_or(own), resource.kind_of(subresource)),
                "verbs": subresource.verbs,
            })
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

fn add_names(entry: &mut Value, resource: &Resource) {
    for (field, names) in [
        ("shortNames", resource.short_names()),
        ("categories", resource.categories()),
    ] {
        if !names.is_empty() {
            entry[field] = json!(names);
        }
    }
}

fn of_group<'a>(
    catalog: &'a Catalog,
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = Resource<'a>> {
    let all = catalog.all();
    all.filter(move |r| r.group == group && r.version == version)
}

/// Changes when the stored form of a kind does: upstream's hash of group, version and kind.
fn storage_version_hash(resource: &Resource) -> String {
    use base64::Engine;
    use sha2::Digest;
    let text = format!("{}/{}/{}", resource.group, resource.version, resource.kind);
    base64::prelude::BASE64_STANDARD.encode(&sha2::Sha256::digest(text)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_tell_the_same() {
        let catalog = Catalog::default();
        let mut plain = 0;
        for (group, versions) in [("", vec!["v1"])].into_iter().chain(named_groups(&catalog)) {
            for version in versions {
                let list = resources(&catalog, group, version).expect("is served");
                plain += list["resources"].as_array().map_or(0, Vec::len);
            }
        }
        let mut told = 0;
        for list in [aggregated(&catalog, true), aggregated(&catalog, false)] {
            for group in list["items"].as_array().expect("is a list") {
                let versions = group["versions"].as_array().expect("is a list");
                let resources = versions
                    .iter()
                    .map(|version| version["resources"].as_array());
                for resource in resources.flat_map(|list| list.expect("is a list")) {
                    told += 1 + resource["subresources"].as_array().map_or(0, Vec::len);
                }
            }
        }
        assert_eq!(plain, told);
    }

    #[test]
    fn unknown_groups_are_not_found() {
        let catalog = Catalog::default();
        assert_eq!(group(&catalog, "example.com"), None);
        assert_eq!(resources(&catalog, "apps", "v2"), None);
        assert_eq!(
            group(&catalog, "apps").expect("is served")["preferredVersion"]["version"],
            "v1"
        );
    }
}
