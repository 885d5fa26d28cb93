//! Validation of definitions, and what is written into them.
//!
//! Where all versions say the same, upstream tells of it as of the whole definition:
//! `spec.validation`, not `spec.versions[0].schema`. So its words are those that users find.
//!
//! Upstream: `apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go`,
//! `pkg/apis/apiextensions/v1/{conversion,defaults}.go`.

mod parts;
mod schema;
mod skeleton;

use serde_json::{Value, json};

use super::conditions;
use crate::resources::has_condition;
use crate::status::FieldError;
use crate::validation::names;

/// Annotation by which groups of Kubernetes itself say that they were approved.
const APPROVED: &str = "api-approved.kubernetes.io";

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// Fills in names and conversion.
pub fn defaults(definition: &mut Value) {
    if !definition["spec"]["names"].is_object() || !is_written(&definition["status"]) {
        return;
    }
    let names = &mut definition["spec"]["names"];
    let kind = text(names, "kind").to_owned();
    if text(names, "singular").is_empty() {
        names["singular"] = kind.to_lowercase().into();
    }
    if text(names, "listKind").is_empty() && !kind.is_empty() {
        names["listKind"] = format!("{kind}List").into();
    }
    let conversion = &mut definition["spec"]["conversion"];
    if conversion.is_null() {
        *conversion = json!({"strategy": "None"});
    }
    let service = conversion.pointer_mut("/webhook/clientConfig/service");
    if let Some(service) = service.filter(|service| service.is_object())
        && service["port"].is_null()
    {
        service["port"] = 443.into();
    }
    note_storage_version(definition);
}

/// Whether a part is as its type has it, if it is there.
fn is_written(part: &Value) -> bool {
    part.is_null() || part.is_object()
}

/// Readies a new definition: its status is the server's.
pub fn prepare_create(definition: &mut Value) {
    definition["status"] = json!({"conditions": [], "acceptedNames": {"kind": "", "plural": ""}, "storedVersions": []});
    note_storage_version(definition);
}

/// Adds the version that objects are stored in to those that they were.
pub fn note_storage_version(definition: &mut Value) {
    let versions = list(&definition["spec"], "versions");
    let storage = versions.iter().find(|version| version["storage"] == true);
    let Some(name) = storage.map(|storage| storage["name"].clone()) else {
        return;
    };
    if !is_written(&definition["status"]) {
        return;
    }
    let stored = &mut definition["status"]["storedVersions"];
    match stored.as_array_mut() {
        Some(stored) if stored.contains(&name) => {}
        Some(stored) => stored.push(name),
        None => *stored = json!([name]),
    }
}

/// What is wrong with a new definition (`old` is none) or a changed one, beside its metadata.
pub fn validate(definition: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &definition["spec"];
    if old.is_none() {
        let wanted = format!("{}.{}", text(&spec["names"], "plural"), text(spec, "group"));
        let name = &definition["metadata"]["name"];
        if *name != *wanted {
            let detail = "must be spec.names.plural+\".\"+spec.group";
            errors.push(FieldError::invalid("metadata.name", name, detail));
        }
    }
    let is_unchanged = |version: &Value| {
        let former = old.map_or(&[][..], |old| list(&old["spec"], "versions"));
        let mut former = former.iter();
        let former = former.find(|former| former["name"] == version["name"]);
        former.is_some_and(|former| former["schema"] == version["schema"])
    };
    validate_spec(&mut errors, spec, &is_unchanged);
    if let Some(old) = old {
        let mut fixed = |path: &str, pointer: &str| {
            let (new, old) = (spec.pointer(pointer), old["spec"].pointer(pointer));
            if new != old {
                let detail = "field is immutable";
                errors.push(FieldError::invalid(
                    path,
                    new.unwrap_or(&Value::Null),
                    detail,
                ));
            }
        };
        if has_condition(old, "Established") {
            fixed("spec.scope", "/scope");
            fixed("spec.names.kind", "/names/kind");
        }
        fixed("spec.group", "/group");
        fixed("spec.names.plural", "/names/plural");
    }
    validate_status(&mut errors, definition);
    stored_versions(&mut errors, definition);
    approval(&mut errors, definition, old);
    let unpruned = |definition: &Value| definition["spec"]["preserveUnknownFields"] == true;
    if unpruned(definition) && !old.is_some_and(unpruned) {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                      spec.versions[*].schema instead";
        errors.push(FieldError::invalid(
            "spec.preserveUnknownFields",
            &true.into(),
            detail,
        ));
    }
    errors
}

/// What is wrong with a status.
pub fn validate_status(errors: &mut Vec<FieldError>, definition: &Value) {
    let accepted = &definition["status"]["acceptedNames"];
    parts::names(errors, accepted, "status.acceptedNames");
}

fn validate_spec(
    errors: &mut Vec<FieldError>,
    spec: &Value,
    is_unchanged: &dyn Fn(&Value) -> bool,
) {
    let group = text(spec, "group");
    let wrong = names::dns1123_subdomain(group);
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid(
            "spec.group",
            &spec["group"],
            wrong.join(","),
        ));
    } else if !group.contains('.') {
        let detail = "should be a domain with at least one dot";
        errors.push(FieldError::invalid("spec.group", &spec["group"], detail));
    }
    match text(spec, "scope") {
        "" => errors.push(FieldError::required("spec.scope", "")),
        "Cluster" | "Namespaced" => {}
        _ => errors.push(FieldError::not_supported(
            "spec.scope",
            &spec["scope"],
            &["Cluster", "Namespaced"],
        )),
    }
    let versions = list(spec, "versions");
    let shared = |field: &str| {
        versions
            .windows(2)
            .all(|pair| pair[0].get(field) == pair[1].get(field))
    };
    for (i, version) in versions.iter().enumerate() {
        if version["schema"]["openAPIV3Schema"].is_null() {
            let path = format!("spec.versions[{i}].schema.openAPIV3Schema");
            errors.push(FieldError::required(path, ""));
        }
    }
    for (i, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{i}]");
        let wrong = names::dns1035_label(text(version, "name"));
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(
                format!("{path}.name"),
                &version["name"],
                wrong.join(","),
            ));
        }
        parts::deprecation(errors, version, &path);
        let own = |field: &str| !shared(field);
        let place = (path.as_str(), "schema", is_unchanged(version));
        version_parts(errors, version, place, &own);
    }
    let names: Vec<&str> = versions
        .iter()
        .map(|version| text(version, "name"))
        .collect();
    let shown = json!(names);
    if (1..names.len()).any(|i| names[..i].contains(&names[i])) {
        let detail = "must contain unique version names";
        errors.push(FieldError::invalid("spec.versions", &shown, detail));
    }
    if versions
        .iter()
        .filter(|version| version["storage"] == true)
        .count()
        != 1
    {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", &shown, detail));
    }
    for field in ["plural", "singular", "kind", "listKind"] {
        if text(&spec["names"], field).is_empty() {
            errors.push(FieldError::required(format!("spec.names.{field}"), ""));
        }
    }
    parts::names(errors, &spec["names"], "spec.names");
    if let Some(version) = versions.first() {
        let place = ("spec", "validation", is_unchanged(version));
        version_parts(errors, version, place, &shared);
    }
    parts::conversion(errors, &spec["conversion"]);
}

/// Checks those parts of a version that are to be told of at this path. The place: the path, what
/// the schema is called there, and whether the schema is as it was.
fn version_parts(
    errors: &mut Vec<FieldError>,
    version: &Value,
    (path, schema_field, is_unchanged): (&str, &str, bool),
    here: &dyn Fn(&str) -> bool,
) {
    let schema = &version["schema"]["openAPIV3Schema"];
    if here("schema") && schema.is_object() {
        let has_status = !version["subresources"]["status"].is_null();
        let path = format!("{path}.{schema_field}.openAPIV3Schema");
        schema::validate(errors, schema, has_status, &path, is_unchanged);
    }
    if here("subresources") {
        parts::subresources(
            errors,
            &version["subresources"],
            &format!("{path}.subresources"),
        );
    }
    if here("additionalPrinterColumns") {
        for (i, column) in list(version, "additionalPrinterColumns").iter().enumerate() {
            parts::column(
                errors,
                column,
                &format!("{path}.additionalPrinterColumns[{i}]"),
            );
        }
    }
    if here("selectableFields") {
        let fields = list(version, "selectableFields");
        parts::selectable(errors, fields, schema, &format!("{path}.selectableFields"));
    }
}

fn stored_versions(errors: &mut Vec<FieldError>, definition: &Value) {
    let path = "status.storedVersions";
    let stored = list(&definition["status"], "storedVersions");
    let shown = &definition["status"]["storedVersions"];
    if stored.is_empty() {
        let detail = "must have at least one stored version";
        return errors.push(FieldError::invalid(path, shown, detail));
    }
    let versions = list(&definition["spec"], "versions");
    for version in versions.iter().filter(|version| version["storage"] == true) {
        if !stored.contains(&version["name"]) {
            let detail = format!("must have the storage version {}", text(version, "name"));
            errors.push(FieldError::invalid(path, shown, detail));
        }
    }
    for (i, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| version["name"] == *name) {
            let name_text = name.as_str().unwrap_or_default();
            let detail = format!(
                "missing from spec.versions; {name_text} was previously a storage version, and \
                 must remain in spec.versions until a storage migration ensures no data remains \
                 persisted in {name_text} and removes {name_text} from status.storedVersions"
            );
            errors.push(FieldError::invalid(format!("{path}[{i}]"), name, detail));
        }
    }
}

#[derive(PartialEq)]
enum Approval {
    Missing,
    Bypassed,
    Approved,
    Invalid,
}

fn approval_of(definition: &Value) -> Approval {
    match text(&definition["metadata"]["annotations"], APPROVED) {
        "" => Approval::Missing,
        text if text.starts_with("unapproved") => Approval::Bypassed,
        text if text
            .split_once("://")
            .is_some_and(|(scheme, host)| !scheme.is_empty() && !host.is_empty()) =>
        {
            Approval::Approved
        }
        _ => Approval::Invalid,
    }
}

/// Groups of Kubernetes itself have to say who approved them.
fn approval(errors: &mut Vec<FieldError>, definition: &Value, old: Option<&Value>) {
    let group = text(&definition["spec"], "group");
    let is_protected = ["k8s.io", "kubernetes.io"].iter().any(|domain| {
        let rest = group.strip_suffix(domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    let approval = approval_of(definition);
    if !is_protected || old.is_some_and(|old| approval_of(old) == approval) {
        return;
    }
    let path = format!("metadata.annotations[{APPROVED}]");
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    match approval {
        Approval::Missing => {
            let detail =
                format!("protected groups must have approval annotation {APPROVED:?}, {see}");
            errors.push(FieldError::required(path, detail));
        }
        Approval::Invalid => {
            let value = &definition["metadata"]["annotations"][APPROVED];
            let detail = format!(
                "protected groups must have approval annotation {APPROVED:?} with either a URL or \
                 a reason starting with \"unapproved\", {see}"
            );
            errors.push(FieldError::invalid(path, value, detail));
        }
        Approval::Bypassed | Approval::Approved => {}
    }
}

/// What to warn of: formats that are not known.
pub fn warnings(definition: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for version in list(&definition["spec"], "versions") {
        schema::warnings(&version["schema"]["openAPIV3Schema"], &mut warnings);
    }
    warnings
}

/// The end of a definition: what is told while its objects are deleted, and then.
pub fn terminating(definition: &mut Value, step: (&str, &str, &str), now: &str) {
    conditions::set_condition(definition, conditions::condition("Terminating", step), now);
}
