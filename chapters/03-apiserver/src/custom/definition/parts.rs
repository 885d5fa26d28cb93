//! The smaller parts of a definition: names, columns, subresources, conversion.

use serde_json::Value;

use super::{list, text};
use crate::custom::structural::Schema;
use crate::status::FieldError;
use crate::validation::names as forms;

type Errors = Vec<FieldError>;

const COLUMN_TYPES: &str = "boolean,date,integer,number,string";
const COLUMN_FORMATS: &str = "byte,date,date-time,double,float,int32,int64,password";
const SELECTABLE_MAX: usize = 8;

pub(super) fn names(errors: &mut Errors, names: &Value, path: &str) {
    let label = |errors: &mut Errors, field: &str, mixed: bool| {
        let name = text(names, field);
        let wrong = match mixed {
            true => forms::dns1035_label(&name.to_lowercase()),
            false => forms::dns1035_label(name),
        };
        if !name.is_empty() && !wrong.is_empty() {
            let mixed = if mixed {
                "may have mixed case, but should otherwise match: "
            } else {
                ""
            };
            let detail = format!("{mixed}{}", wrong.join(","));
            errors.push(FieldError::invalid(
                format!("{path}.{field}"),
                &names[field],
                detail,
            ));
        }
    };
    label(errors, "plural", false);
    label(errors, "singular", false);
    label(errors, "kind", true);
    label(errors, "listKind", true);
    each_label(errors, names, path, "shortNames");
    if !text(names, "kind").is_empty() && names["kind"] == names["listKind"] {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(
            format!("{path}.listKind"),
            &names["listKind"],
            detail,
        ));
    }
    each_label(errors, names, path, "categories");
}

fn each_label(errors: &mut Errors, names: &Value, path: &str, field: &str) {
    for (i, name) in list(names, field).iter().enumerate() {
        let wrong = forms::dns1035_label(name.as_str().unwrap_or_default());
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(
                format!("{path}.{field}[{i}]"),
                name,
                wrong.join(","),
            ));
        }
    }
}

pub(super) fn deprecation(errors: &mut Errors, version: &Value, path: &str) {
    let warning = &version["deprecationWarning"];
    let Some(words) = warning.as_str() else {
        return;
    };
    let mut wrong = |detail: &str| {
        errors.push(FieldError::invalid(
            format!("{path}.deprecationWarning"),
            warning,
            detail,
        ))
    };
    if version["deprecated"] != true {
        return wrong("can only be set for deprecated versions");
    }
    if words.len() > 256 {
        wrong("must be <= 256 characters long");
    }
    if words.is_empty() {
        wrong("must not be an empty string");
    }
    if let Some((i, _)) = words.char_indices().find(|(_, c)| c.is_control()) {
        wrong(&format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {i}"
        ));
    }
}

pub(super) fn column(errors: &mut Errors, column: &Value, path: &str) {
    if text(column, "name").is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    }
    let one_of = format!("must be one of {COLUMN_TYPES}");
    match text(column, "type") {
        "" => errors.push(FieldError::required(format!("{path}.type"), one_of)),
        kind if COLUMN_TYPES.split(',').any(|known| known == kind) => {}
        _ => errors.push(FieldError::invalid(
            format!("{path}.type"),
            &column["type"],
            one_of,
        )),
    }
    let format = text(column, "format");
    if !format.is_empty() && !COLUMN_FORMATS.split(',').any(|known| known == format) {
        let detail = format!("must be one of {COLUMN_FORMATS}");
        errors.push(FieldError::invalid(
            format!("{path}.format"),
            &column["format"],
            detail,
        ));
    }
    let at = format!("{path}.JSONPath");
    match text(column, "jsonPath") {
        "" => errors.push(FieldError::required(at, "")),
        _ => simple_path(errors, &column["jsonPath"], &at, &[]),
    }
}

/// A path that begins with a dot, and with one of these where there are some.
fn simple_path(errors: &mut Errors, path: &Value, at: &str, under: &[&str]) {
    let words = path.as_str().unwrap_or_default();
    if !words.starts_with('.') {
        let detail = "must be a simple json path starting with .";
        errors.push(FieldError::invalid(at, path, detail));
    } else if !under.is_empty()
        && !under
            .iter()
            .any(|under| words.starts_with(&format!("{under}.")))
    {
        let detail = match under {
            [one] => format!("should be a json path under {one}"),
            many => format!("should be a json path under either {}", many.join(" or ")),
        };
        errors.push(FieldError::invalid(at, path, detail));
    }
}

pub(super) fn subresources(errors: &mut Errors, subresources: &Value, path: &str) {
    let scale = &subresources["scale"];
    if scale.is_null() {
        return;
    }
    for (field, under) in [
        ("specReplicasPath", ".spec"),
        ("statusReplicasPath", ".status"),
    ] {
        let at = format!("{path}.scale.{field}");
        match text(scale, field) {
            "" => errors.push(FieldError::required(at, "")),
            _ => simple_path(errors, &scale[field], &at, &[under]),
        }
    }
    if !text(scale, "labelSelectorPath").is_empty() {
        let at = format!("{path}.scale.labelSelectorPath");
        simple_path(
            errors,
            &scale["labelSelectorPath"],
            &at,
            &[".spec", ".status"],
        );
    }
}

pub(super) fn selectable(errors: &mut Errors, fields: &[Value], schema: &Value, path: &str) {
    let root = Schema::root(schema);
    let mut seen: Vec<Vec<&str>> = Vec::new();
    for (i, field) in fields.iter().enumerate() {
        let (at, words) = (format!("{path}[{i}].jsonPath"), text(field, "jsonPath"));
        let mut wrong =
            |detail: &str| errors.push(FieldError::invalid(at.clone(), &field["jsonPath"], detail));
        if words.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        let names = crate::custom::simple(words);
        let found = match words.starts_with('.') {
            true => lead(&root, &names),
            false => Err(format!("expected [ or . but got: {words}")),
        };
        let found = match found {
            Ok(found) => found,
            Err(why) => {
                wrong(&format!("is an invalid path: {why}"));
                continue;
            }
        };
        if names[0] == "metadata" {
            wrong("must not point to fields in metadata");
        }
        if !matches!(found.kind.as_str(), "string" | "boolean" | "integer") {
            wrong(
                "must point to a field of type string, boolean or integer. Enum string fields and \
                 strings with formats are allowed.",
            );
        }
        match seen.contains(&names) {
            true => errors.push(FieldError::duplicate(at, &field["jsonPath"])),
            false => seen.push(names),
        }
    }
    if seen.len() > SELECTABLE_MAX {
        errors.push(FieldError {
            reason: "FieldValueTooMany",
            field: path.to_owned(),
            message: format!(
                "Too many: {}: must have at most {SELECTABLE_MAX} items",
                seen.len()
            ),
        });
    }
}

/// The schema that names lead to. Upstream: `cel.ValidFieldPath`.
fn lead<'a>(root: &'a Schema, names: &[&str]) -> Result<&'a Schema, String> {
    if names.is_empty() {
        return Err("path must not be empty".to_owned());
    }
    names.iter().try_fold(root, |schema, name| {
        if name.contains(['[', ']']) {
            return Err("unexpected array notation".to_owned());
        }
        let found = schema.properties.get(*name);
        found.ok_or_else(|| "does not refer to a valid field".to_owned())
    })
}

pub(super) fn conversion(errors: &mut Errors, conversion: &Value) {
    let path = "spec.conversion";
    let webhook = &conversion["webhook"];
    let config = &webhook["clientConfig"];
    let versions = list(webhook, "conversionReviewVersions");
    let at = |field: &str| format!("{path}.{field}");
    match text(conversion, "strategy") {
        "" => errors.push(FieldError::required(at("strategy"), "")),
        "None" | "Webhook" => {}
        _ => errors.push(FieldError::not_supported(
            at("strategy"),
            &conversion["strategy"],
            &["None", "Webhook"],
        )),
    }
    if text(conversion, "strategy") != "Webhook" {
        let detail = "should not be set when strategy is not set to Webhook";
        if !config.is_null() {
            errors.push(FieldError::forbidden(at("webhookClientConfig"), detail));
        }
        if !versions.is_empty() {
            errors.push(FieldError::forbidden(
                at("conversionReviewVersions"),
                detail,
            ));
        }
        return;
    }
    if config.is_null() {
        let detail = "required when strategy is set to Webhook";
        errors.push(FieldError::required(at("webhookClientConfig"), detail));
    } else if config["url"].is_null() == config["service"].is_null() {
        let detail = "exactly one of url or service is required";
        errors.push(FieldError::required(at("webhookClientConfig"), detail));
    } else if let Some(url) = config["url"].as_str() {
        if !url.starts_with("https://") {
            let detail =
                "'https' is the only allowed URL scheme; desired format: https://host[/path]";
            errors.push(FieldError::invalid(
                at("webhookClientConfig.url"),
                &config["url"],
                detail,
            ));
        }
    } else {
        for (field, detail) in [
            ("name", "service name is required"),
            ("namespace", "service namespace is required"),
        ] {
            if text(&config["service"], field).is_empty() {
                let at = at(&format!("webhookClientConfig.service.{field}"));
                errors.push(FieldError::required(at, detail));
            }
        }
    }
    let at = at("conversionReviewVersions");
    if versions.is_empty() {
        return errors.push(FieldError::required(at, ""));
    }
    for (i, version) in versions.iter().enumerate() {
        if versions[..i].contains(version) {
            errors.push(FieldError::invalid(
                format!("{at}[{i}]"),
                version,
                "duplicate version",
            ));
            continue;
        }
        for wrong in forms::dns1035_label(version.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(format!("{at}[{i}]"), version, wrong));
        }
    }
    if !versions
        .iter()
        .any(|version| version == "v1" || version == "v1beta1")
    {
        let shown = &webhook["conversionReviewVersions"];
        errors.push(FieldError::invalid(
            at,
            shown,
            "must include at least one of v1, v1beta1",
        ));
    }
}
