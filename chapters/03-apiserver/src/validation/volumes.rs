//! The volumes of a pod, and where its containers mount them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    check::{Errors, any, has, join, list, one_of_if, required, text, wrongs},
    names,
    quantity::Quantity,
};
use crate::status::FieldError;

/// The volumes of a pod by name.
pub(super) type Volumes<'a> = BTreeMap<&'a str, &'a Value>;

/// Checks a spec's volumes, and gives them by name.
pub(super) fn volumes<'a>(errors: &mut Errors, spec: &'a Value, path: &str) -> Volumes<'a> {
    let mut seen = Volumes::new();
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let path = format!("{path}.volumes[{index}]");
        required(errors, volume, &path, "name", names::dns1123_label);
        let name = text(volume, "name");
        if !name.is_empty() && seen.insert(name, volume).is_some() {
            errors.push(FieldError::duplicate(join(&path, "name"), &volume["name"]));
        }
        source(errors, volume, &path);
    }
    seen
}

fn source(errors: &mut Errors, volume: &Value, path: &str) {
    let kinds = volume.as_object().into_iter().flatten();
    let mut kinds = kinds.filter(|(key, value)| *key != "name" && !value.is_null());
    let Some((kind, source)) = kinds.next() else {
        return errors.push(FieldError::required(path, "must specify a volume type"));
    };
    for (more, _) in kinds {
        let wrong = "may not specify more than 1 volume type";
        errors.push(FieldError::forbidden(join(path, more), wrong));
    }
    let path = join(path, kind);
    match kind.as_str() {
        "emptyDir" => {
            let limit = &source["sizeLimit"];
            let quantity = limit.as_str().and_then(Quantity::parse);
            if quantity.is_some_and(Quantity::is_negative) {
                let wrong = "SizeLimit field must be a valid resource quantity";
                errors.push(FieldError::forbidden(join(&path, "sizeLimit"), wrong));
            }
        }
        "hostPath" => host_path(errors, source, &path),
        "configMap" => {
            required(errors, source, &path, "name", any);
            files(errors, source, &path);
        }
        "secret" => {
            required(errors, source, &path, "secretName", any);
            files(errors, source, &path);
        }
        "downwardAPI" => {
            mode(errors, source, &path, "defaultMode");
            downward_items(errors, source, &path);
        }
        "persistentVolumeClaim" => required(errors, source, &path, "claimName", any),
        "projected" => projected(errors, source, &path),
        _ => {}
    }
}

/// A path of the node, in a pod or in a PersistentVolume.
pub(super) fn host_path(errors: &mut Errors, source: &Value, path: &str) {
    required(errors, source, path, "path", any);
    no_backsteps(errors, source, path);
    one_of_if(
        errors,
        source,
        path,
        "type",
        &[
            "BlockDevice",
            "CharDevice",
            "Directory",
            "DirectoryOrCreate",
            "File",
            "FileOrCreate",
            "Socket",
        ],
    );
}

/// A path that does not lead upwards.
pub(super) fn no_backsteps(errors: &mut Errors, source: &Value, path: &str) {
    if text(source, "path").split('/').any(|part| part == "..") {
        let wrong = "must not contain '..'";
        errors.push(FieldError::invalid(
            join(path, "path"),
            &source["path"],
            wrong,
        ));
    }
}

fn projected(errors: &mut Errors, source: &Value, path: &str) {
    mode(errors, source, path, "defaultMode");
    for (index, one) in list(source, "sources").iter().enumerate() {
        let path = format!("{path}.sources[{index}]");
        let kinds = [
            "secret",
            "configMap",
            "downwardAPI",
            "serviceAccountToken",
            "clusterTrustBundle",
        ];
        let mut given = kinds.iter().filter(|kind| has(one, kind));
        let Some(kind) = given.next() else {
            errors.push(FieldError::required(path, "must specify a volume type"));
            continue;
        };
        for more in given {
            let wrong = "may not specify more than 1 volume type per source";
            errors.push(FieldError::forbidden(join(&path, more), wrong));
        }
        let (one, path) = (&one[*kind], join(&path, kind));
        match *kind {
            "secret" | "configMap" => {
                required(errors, one, &path, "name", any);
                files(errors, one, &path);
            }
            "downwardAPI" => downward_items(errors, one, &path),
            "serviceAccountToken" => token(errors, one, &path),
            _ => {}
        }
    }
}

fn token(errors: &mut Errors, token: &Value, path: &str) {
    let seconds = &token["expirationSeconds"];
    let wrong = match seconds.as_i64().unwrap_or(3600) {
        ..600 => "may not specify a duration less than 10 minutes",
        0x1_0000_0001.. => "may not specify a duration larger than 2^32 seconds",
        _ => "",
    };
    if !wrong.is_empty() {
        errors.push(FieldError::invalid(
            join(path, "expirationSeconds"),
            seconds,
            wrong,
        ));
    }
    relative_path(errors, token, path, "path");
}

/// Keys that become files.
fn files(errors: &mut Errors, source: &Value, path: &str) {
    mode(errors, source, path, "defaultMode");
    for (index, item) in list(source, "items").iter().enumerate() {
        let path = format!("{path}.items[{index}]");
        required(errors, item, &path, "key", any);
        relative_path(errors, item, &path, "path");
        mode(errors, item, &path, "mode");
    }
}

/// The fields of a pod that a file can be. One more than variables can: whole maps.
const FILE_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.labels",
    "metadata.annotations",
    "metadata.uid",
];

fn downward_items(errors: &mut Errors, source: &Value, path: &str) {
    for (index, item) in list(source, "items").iter().enumerate() {
        let path = format!("{path}.items[{index}]");
        relative_path(errors, item, &path, "path");
        mode(errors, item, &path, "mode");
        let (field, resource) = (&item["fieldRef"], &item["resourceFieldRef"]);
        match (field.is_null(), resource.is_null()) {
            (false, true) => field_ref(errors, field, &join(&path, "fieldRef"), FILE_FIELDS),
            (true, false) => {
                resource_ref(errors, resource, &join(&path, "resourceFieldRef"), true);
            }
            (false, false) => {
                let wrong = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(path, item, wrong));
            }
            (true, true) => {
                let wrong = "one of fieldRef and resourceFieldRef is required";
                errors.push(FieldError::required(path, wrong));
            }
        }
    }
}

/// A reference to a field of the pod: one of `fields`, or a key of its labels or annotations.
pub(super) fn field_ref(errors: &mut Errors, reference: &Value, path: &str, fields: &[&str]) {
    required(errors, reference, path, "apiVersion", any);
    let field = text(reference, "fieldPath");
    if field.is_empty() {
        return errors.push(FieldError::required(join(path, "fieldPath"), ""));
    }
    let subscript = field
        .strip_suffix("']")
        .and_then(|field| field.split_once("['"));
    let at = join(path, "fieldPath");
    match subscript {
        Some(("metadata.annotations", key)) => {
            let wrong = names::qualified_name(&key.to_lowercase());
            wrongs(errors, path, &json!(key), wrong);
        }
        Some(("metadata.labels", key)) => {
            wrongs(errors, path, &json!(key), names::qualified_name(key));
        }
        _ if fields.contains(&field) => {}
        None if KNOWN_FIELDS.contains(&field) => {
            errors.push(FieldError::not_supported(at, &json!(field), fields));
        }
        _ => {
            let wrong = format!("error converting fieldPath: field label not supported: {field}");
            errors.push(FieldError::invalid(at, &json!(field), wrong));
        }
    }
}

/// All fields that anything can refer to.
const KNOWN_FIELDS: [&str; 13] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.labels",
    "metadata.annotations",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// A reference to what a container may use; a file must say which container.
pub(super) fn resource_ref(errors: &mut Errors, reference: &Value, path: &str, in_volume: bool) {
    if in_volume {
        required(errors, reference, path, "containerName", any);
    }
    let resource = text(reference, "resource");
    let supported = [
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    let is_huge = |prefix: &str| resource.starts_with(prefix);
    if resource.is_empty() {
        errors.push(FieldError::required(join(path, "resource"), ""));
    } else if !supported.contains(&resource)
        && !is_huge("limits.hugepages-")
        && !is_huge("requests.hugepages-")
    {
        let at = join(path, "resource");
        errors.push(FieldError::not_supported(
            at,
            &reference["resource"],
            &supported,
        ));
    }
}

fn mode(errors: &mut Errors, parent: &Value, path: &str, key: &str) {
    if parent[key]
        .as_i64()
        .is_some_and(|mode| !(0..=0o777).contains(&mode))
    {
        let wrong = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(join(path, key), &parent[key], wrong));
    }
}

/// A path below the volume.
pub(super) fn relative_path(errors: &mut Errors, parent: &Value, path: &str, key: &str) {
    let (value, field) = (text(parent, key), join(path, key));
    if value.is_empty() {
        return errors.push(FieldError::required(field, ""));
    }
    below(errors, &parent[key], &field);
    if value.starts_with("..") && !value.starts_with("../") && value != ".." {
        errors.push(FieldError::invalid(
            field,
            &parent[key],
            "must not start with '..'",
        ));
    }
}

pub(super) fn below(errors: &mut Errors, value: &Value, field: &str) {
    let path = value.as_str().unwrap_or_default();
    if path.starts_with('/') {
        errors.push(FieldError::invalid(field, value, "must be a relative path"));
    }
    if path.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(field, value, "must not contain '..'"));
    }
}

/// Where a container mounts volumes.
pub(super) fn mounts(errors: &mut Errors, container: &Value, path: &str, volumes: &Volumes) {
    let mut seen = BTreeSet::new();
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        let name = text(mount, "name");
        if name.is_empty() {
            errors.push(FieldError::required(join(&path, "name"), ""));
        } else if !volumes.contains_key(name) {
            errors.push(FieldError::not_found(join(&path, "name"), &mount["name"]));
        }
        required(errors, mount, &path, "mountPath", any);
        if !seen.insert(text(mount, "mountPath")) {
            let at = join(&path, "mountPath");
            errors.push(FieldError::invalid(
                at,
                &mount["mountPath"],
                "must be unique",
            ));
        }
        for key in ["subPath", "subPathExpr"] {
            if !text(mount, key).is_empty() {
                below(errors, &mount[key], &join(&path, key));
            }
        }
        if !text(mount, "subPath").is_empty() && !text(mount, "subPathExpr").is_empty() {
            let wrong = "subPathExpr and subPath are mutually exclusive";
            let at = join(&path, "subPathExpr");
            errors.push(FieldError::invalid(at, &mount["subPathExpr"], wrong));
        }
        one_of_if(
            errors,
            mount,
            &path,
            "mountPropagation",
            &["Bidirectional", "HostToContainer", "None"],
        );
        if mount["mountPropagation"] == "Bidirectional"
            && container["securityContext"]["privileged"] != true
        {
            let wrong =
                "Bidirectional mount propagation is available only to privileged containers";
            let at = join(&path, "mountPropagation");
            errors.push(FieldError::forbidden(at, wrong));
        }
        recursive_read_only(errors, mount, &path);
    }
}

/// A mount that is read-only with all that is mounted below it.
fn recursive_read_only(errors: &mut Errors, mount: &Value, path: &str) {
    const KEY: &str = "recursiveReadOnly";
    let modes = ["Disabled", "Enabled", "IfPossible"];
    one_of_if(errors, mount, path, KEY, &modes);
    if !["Enabled", "IfPossible"].contains(&text(mount, KEY)) {
        return;
    }
    if mount["readOnly"] != true {
        let wrong = "may only be specified when readOnly is true";
        errors.push(FieldError::forbidden(join(path, KEY), wrong));
    }
    if !["", "None"].contains(&text(mount, "mountPropagation")) {
        let wrong = "may only be specified when mountPropagation is None or not specified";
        errors.push(FieldError::forbidden(join(path, KEY), wrong));
    }
}
