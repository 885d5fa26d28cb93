//! Paths and what can be done at each, as OpenAPI of either version tells it.

use serde_json::{Value, json};

use super::base_path;
use super::parameters::{
    NAME, NAMESPACE, PATCHES, PATCHES_OF_CUSTOM, PRETTY, Parameter, parameters,
};
use crate::resources::{Resource, Subresource};

/// A path and its operations.
pub(super) struct PathItem {
    pub(super) path: String,
    /// `name` and `namespace`, as the path has them, and `pretty`.
    pub(super) parameters: Vec<Parameter>,
    pub(super) operations: Vec<Operation>,
}

/// A verb at a path.
pub(super) struct Operation {
    /// `get`, `post`, …
    pub(super) method: &'static str,
    /// `list`, `create`, `connect`, … as upstream's `x-kubernetes-action`.
    pub(super) action: &'static str,
    /// `listCoreV1NamespacedPod`
    pub(super) id: String,
    pub(super) description: String,
    /// `core_v1`
    pub(super) tag: String,
    pub(super) parameters: Vec<Parameter>,
    /// Name of the body's type.
    pub(super) body: Option<String>,
    /// Name of the answer's type; none for text and streams.
    pub(super) answer: Option<String>,
    /// `x-kubernetes-group-version-kind`
    pub(super) kind: Value,
    /// Media types of patches. `kubectl apply` takes the one that is there.
    pub(super) patches: &'static [&'static str],
}

fn patches(resource: &Resource) -> &'static [&'static str] {
    match resource.custom {
        Some(_) => PATCHES_OF_CUSTOM,
        None => PATCHES,
    }
}

/// Every path of a resource.
pub(super) fn paths(resource: &Resource) -> Vec<PathItem> {
    let base = format!("/{}", base_path(resource));
    let plural = resource.plural;
    let scope = if resource.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let mut paths = Vec::new();
    let collection = format!("{base}{scope}/{plural}");
    let at = |path: String, named: bool, operations: Vec<Operation>| {
        let mut parameters = Vec::new();
        if named {
            parameters.push(NAME);
        }
        if path.contains("{namespace}") {
            parameters.push(NAMESPACE);
        }
        parameters.push(PRETTY);
        PathItem {
            path,
            parameters,
            operations,
        }
    };
    let verbs = |wanted: &[&'static str]| -> Vec<Operation> {
        let served = wanted.iter().filter(|verb| resource.verbs.contains(verb));
        served.map(|verb| operation(resource, verb)).collect()
    };
    paths.push(at(
        collection.clone(),
        false,
        verbs(&["list", "create", "deletecollection"]),
    ));
    if resource.namespaced && resource.verbs.contains(&"list") {
        let mut list = operation(resource, "list");
        list.id = format!(
            "list{}{}ForAllNamespaces",
            group_name(resource),
            resource.kind
        );
        paths.push(at(format!("{base}/{plural}"), false, vec![list]));
    }
    let item = format!("{collection}/{{name}}");
    if resource.is_stored() {
        paths.push(at(
            item.clone(),
            true,
            verbs(&["get", "update", "patch", "delete"]),
        ));
    }
    for subresource in resource.subresources {
        let operations = subresource
            .verbs
            .iter()
            .map(|verb| sub_operation(resource, subresource, verb))
            .collect();
        paths.push(at(format!("{item}/{}", subresource.name), true, operations));
    }
    paths
}

/// `CoreV1`, `AppsV1`, `RbacAuthorizationV1`
fn group_name(resource: &Resource) -> String {
    let group = match resource.group {
        "" => "core",
        group => group.strip_suffix(".k8s.io").unwrap_or(group),
    };
    group
        .split('.')
        .chain([resource.version])
        .map(capital)
        .collect()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn method_and_action(verb: &str) -> (&'static str, &'static str) {
    match verb {
        "list" => ("get", "list"),
        "create" => ("post", "post"),
        "update" => ("put", "put"),
        "patch" => ("patch", "patch"),
        "delete" => ("delete", "delete"),
        "deletecollection" => ("delete", "deletecollection"),
        _ => ("get", "get"),
    }
}

fn operation(resource: &Resource, verb: &str) -> Operation {
    let (method, action) = method_and_action(verb);
    let schema = resource.schema.to_owned();
    let status = || "io.k8s.apimachinery.pkg.apis.meta.v1.Status".to_owned();
    let options = || Some("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions".to_owned());
    let (body, answer) = match verb {
        "list" => (None, resource.list_schema()),
        "create" | "update" => (Some(schema.clone()), schema),
        "patch" => (
            Some("io.k8s.apimachinery.pkg.apis.meta.v1.Patch".to_owned()),
            schema,
        ),
        // Upstream deletes pods and services into themselves, all others into a Status.
        "delete" => (
            options(),
            if is_returned(resource) {
                schema
            } else {
                status()
            },
        ),
        "deletecollection" => (options(), status()),
        _ => (None, schema),
    };
    let (does, what) = match verb {
        "list" => ("list or watch objects of kind", ""),
        "create" => ("create", ""),
        "update" => ("replace the specified", ""),
        "patch" => ("partially update the specified", ""),
        "delete" => ("delete", ""),
        "deletecollection" => ("delete collection of", ""),
        _ => ("read the specified", ""),
    };
    let article = if matches!(verb, "create" | "delete") {
        "a "
    } else {
        ""
    };
    Operation {
        method,
        action,
        id: operation_id(resource, verb, ""),
        description: format!("{does} {article}{}{what}", resource.kind),
        tag: tag(resource),
        parameters: parameters(verb),
        body,
        answer: Some(answer),
        kind: kind(resource.group, resource.version, resource.kind),
        patches: patches(resource),
    }
}

fn is_returned(resource: &Resource) -> bool {
    resource.group.is_empty() && matches!(resource.kind, "Pod" | "Service" | "ServiceAccount")
}

fn sub_operation(resource: &Resource, subresource: &Subresource, verb: &str) -> Operation {
    let (group, version) = subresource
        .group_version
        .unwrap_or((resource.group, resource.version));
    let own_kind = resource.kind_of(subresource);
    let schema = match subresource.group_version {
        None if own_kind == resource.kind => resource.schema.to_owned(),
        _ => schema_name(group, version, own_kind),
    };
    let streams = matches!(
        subresource.name,
        "attach" | "exec" | "portforward" | "proxy"
    );
    let (method, mut action) = method_and_action(verb);
    if streams {
        action = "connect";
    }
    let known = (!streams && subresource.name != "log").then_some(schema);
    let does = match verb {
        _ if streams => "connect to",
        "create" => "create",
        "update" => "replace",
        "patch" => "partially update",
        _ => "read",
    };
    Operation {
        method,
        action,
        id: operation_id(resource, verb, &capital(subresource.name)),
        description: format!(
            "{does} {} of the specified {}",
            subresource.name, resource.kind
        ),
        tag: tag(resource),
        parameters: if streams {
            Vec::new()
        } else {
            parameters(verb)
        },
        body: match verb {
            "create" | "update" => known.clone(),
            "patch" => Some("io.k8s.apimachinery.pkg.apis.meta.v1.Patch".to_owned()),
            _ => None,
        },
        answer: known,
        kind: kind(group, version, own_kind),
        patches: patches(resource),
    }
}

fn operation_id(resource: &Resource, verb: &str, subresource: &str) -> String {
    let verb = match verb {
        "get" => "read",
        "update" => "replace",
        "deletecollection" => "deleteCollection",
        verb => verb,
    };
    let scope = if resource.namespaced {
        "Namespaced"
    } else {
        ""
    };
    format!(
        "{verb}{}{scope}{}{subresource}",
        group_name(resource),
        resource.kind
    )
}

/// `core_v1`, `rbacAuthorization_v1`
fn tag(resource: &Resource) -> String {
    let name = group_name(resource);
    let group = &name[..name.len() - resource.version.len()];
    let mut letters = group.chars();
    let first = letters.next().map(|c| c.to_ascii_lowercase());
    format!(
        "{}{}_{}",
        first.unwrap_or_default(),
        letters.as_str(),
        resource.version
    )
}

/// `io.k8s.api.autoscaling.v1.Scale`
pub(super) fn schema_name(group: &str, version: &str, kind: &str) -> String {
    let group = match group.split('.').next() {
        None | Some("") => "core",
        Some(group) => group,
    };
    let package = match group {
        // A module of its own upstream.
        "apiregistration" => "kube-aggregator.pkg.apis",
        _ => "api",
    };
    format!("io.k8s.{package}.{group}.{version}.{kind}")
}

/// A value of `x-kubernetes-group-version-kind`.
pub(super) fn kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}
