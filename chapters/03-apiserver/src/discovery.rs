//! Discovery: what is served, told from the table of resources, in both forms.
//!
//! The plain form takes a request per group and version; the aggregated one tells all at once, and
//! is what clients ask for first. Upstream: KEP-3352.

use serde_json::{Value, json};

use crate::resources::{self, Resource};

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
pub fn groups() -> Value {
    let groups: Vec<Value> = named_groups()
        .into_iter()
        .map(|(name, version)| group_of(name, version))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/{group}`
pub fn group(name: &str) -> Option<Value> {
    let (name, version) = named_groups()
        .into_iter()
        .find(|(group, _)| *group == name)?;
    let mut group = group_of(name, version);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    Some(group)
}

fn group_of(name: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/{version}"), "version": version});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

/// The groups with a name and their versions, in the table's order.
fn named_groups() -> Vec<(&'static str, &'static str)> {
    let mut groups = Vec::new();
    for resource in resources::all() {
        let group = (resource.group, resource.version);
        if !resource.group.is_empty() && !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

/// `/api/v1`, `/apis/{group}/{version}`: the resources of a group.
pub fn resources(group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for resource in of_group(group, version) {
        let mut entry = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": resource.verbs,
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        if resource.is_stored() {
            entry["storageVersionHash"] = storage_version_hash(resource).into();
        }
        resources.push(entry);
        for subresource in resource.subresources {
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, subresource.name),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": subresource.kind,
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
pub fn aggregated(core: bool) -> Value {
    let groups = if core {
        vec![("", "v1")]
    } else {
        named_groups()
    };
    let items: Vec<Value> = groups
        .into_iter()
        .map(|(group, version)| {
            let resources: Vec<Value> = of_group(group, version).map(aggregated_resource).collect();
            let version =
                json!({"version": version, "freshness": "Current", "resources": resources});
            let metadata = if group.is_empty() {
                json!({})
            } else {
                json!({"name": group})
            };
            json!({"metadata": metadata, "versions": [version]})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind = |(group, version): (&str, &str), kind: &str| json!({"group": group, "version": version, "kind": kind});
    let own = (resource.group, resource.version);
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": kind(own, resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let subresources: Vec<Value> = resource
        .subresources
        .iter()
        .map(|subresource| {
            json!({
                "subresource": subresource.name,
                "responseKind": kind(subresource.group_version.unwrap_or(own), subresource.kind),
                "verbs": subresource.verbs,
            })
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

fn of_group(group: &str, version: &str) -> impl Iterator<Item = &'static Resource> {
    resources::all().filter(move |r| r.group == group && r.version == version)
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
        let plain: usize = [("", "v1")]
            .into_iter()
            .chain(named_groups())
            .filter_map(|(group, version)| resources(group, version))
            .map(|list| list["resources"].as_array().map_or(0, Vec::len))
            .sum();
        let mut told = 0;
        for list in [aggregated(true), aggregated(false)] {
            for group in list["items"].as_array().expect("is a list") {
                for resource in group["versions"][0]["resources"]
                    .as_array()
                    .expect("is a list")
                {
                    told += 1 + resource["subresources"].as_array().map_or(0, Vec::len);
                }
            }
        }
        assert_eq!(plain, told);
    }

    #[test]
    fn unknown_groups_are_not_found() {
        assert_eq!(group("example.com"), None);
        assert_eq!(resources("apps", "v2"), None);
        assert_eq!(
            group("apps").expect("is served")["preferredVersion"]["version"],
            "v1"
        );
    }
}
