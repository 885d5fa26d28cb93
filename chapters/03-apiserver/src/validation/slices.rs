//! ResourceSlices: the devices that a driver has to offer.
//!
//! Upstream: `validateResourceSliceSpec` in `pkg/apis/resource/validation`.

use serde_json::{Value, json};

use super::{
    check::{Errors, entries, has, immutable, join, list, one_of, text, too_long, wrongs},
    device_status::binding_conditions,
    devices::{self, distinct, each},
    forms, names,
    quantity::Quantity,
    scheduling,
};
use crate::status::FieldError;

const DEVICES_MAX: usize = 128;
/// With taints or counters, each device is more work.
const ELABORATE_DEVICES_MAX: usize = 64;
const ATTRIBUTES_MAX: usize = 32;
const VALUE_BYTES_MAX: usize = 64;
const TAINTS_MAX: usize = 16;
const COUNTER_SETS_MAX: usize = 8;
const COUNTERS_MAX: usize = 32;
const CONSUMPTIONS_MAX: usize = 2;

/// A ResourceSlice, new or changed.
pub(super) fn slice(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    devices::driver(errors, spec, "spec");
    let pool = &spec["pool"];
    devices::pool(errors, &pool["name"], "spec.pool.name");
    let number = |field: &str| pool[field].as_i64().unwrap_or_default();
    if number("resourceSliceCount") <= 0 {
        let count = number("resourceSliceCount").into();
        let at = "spec.pool.resourceSliceCount";
        errors.push(FieldError::invalid(at, &count, "must be greater than zero"));
    }
    if number("generation") < 0 {
        let wrong = "must be greater than or equal to zero";
        let at = "spec.pool.generation";
        errors.push(FieldError::invalid(at, &number("generation").into(), wrong));
    }
    place(errors, spec);
    if has(spec, "sharedCounters") && has(spec, "devices") {
        let wrong = "only one of `sharedCounters` or `devices` is allowed";
        errors.push(FieldError::invalid("spec", &json!(""), wrong));
    }
    let mut all = list(spec, "devices").iter();
    let elaborate = all.any(|d| has(d, "taints") || has(d, "consumesCounters"));
    let max = if elaborate {
        ELABORATE_DEVICES_MAX
    } else {
        DEVICES_MAX
    };
    let each_its_own = spec["perDeviceNodeSelection"] == true;
    each(errors, spec, "spec.devices", max, |errors, device, path| {
        self::device(errors, device, path, each_its_own);
    });
    distinct(errors, spec, "spec.devices", |device| {
        device["name"].clone()
    });
    each(
        errors,
        spec,
        "spec.sharedCounters",
        COUNTER_SETS_MAX,
        |errors, set, path| {
            counters(errors, set, path, "name");
        },
    );
    distinct(errors, spec, "spec.sharedCounters", |set| {
        set["name"].clone()
    });
}

/// What says where the devices are, of those that may: their names, in upstream's quotes.
fn placed_by(errors: &mut Errors, parent: &Value, path: &str, flags: &[&str]) -> Vec<String> {
    let mut by = Vec::new();
    let at = join(path, "nodeName");
    match parent["nodeName"].as_str() {
        None => {}
        Some("") => {
            let wrong = match path {
                "spec" => "must be either unset or set to a non-empty string",
                _ => "must not be empty",
            };
            errors.push(FieldError::invalid(at, &json!(""), wrong));
        }
        Some(name) => {
            by.push("`nodeName`".to_owned());
            wrongs(errors, &at, &name.into(), names::dns1123_subdomain(name));
        }
    }
    if has(parent, "nodeSelector") {
        by.push("`nodeSelector`".to_owned());
        let at = join(path, "nodeSelector");
        scheduling::node_selector(errors, &parent["nodeSelector"], &at);
    }
    for flag in flags {
        match parent[*flag].as_bool() {
            None => {}
            Some(true) => by.push(format!("`{flag}`")),
            Some(false) => {
                let wrong = "must be either unset or set to true";
                errors.push(FieldError::invalid(join(path, flag), &json!(false), wrong));
            }
        }
    }
    by
}

fn place(errors: &mut Errors, spec: &Value) {
    let terms = &spec["nodeSelector"]["nodeSelectorTerms"];
    let by = placed_by(
        errors,
        spec,
        "spec",
        &["allNodes", "perDeviceNodeSelection"],
    );
    if has(spec, "nodeSelector") && terms.as_array().is_none_or(|terms| terms.len() != 1) {
        let wrong = "must have exactly one node selector term";
        errors.push(FieldError::invalid(
            "spec.nodeSelector.nodeSelectorTerms",
            terms,
            wrong,
        ));
    }
    let wrong = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, \
                 `perDeviceNodeSelection` is required";
    match by.len() {
        0 => errors.push(FieldError::required("spec", wrong)),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", by.join(", "));
            let wrong = format!("{wrong}, but multiple fields are set");
            errors.push(FieldError::invalid("spec", &shown.into(), wrong));
        }
    }
}

fn device(errors: &mut Errors, device: &Value, path: &str, has_own_place: bool) {
    let name = text(device, "name");
    let form = names::dns1123_label(name);
    wrongs(errors, &join(path, "name"), &name.into(), form);
    let count = entries(device, "attributes").count() + entries(device, "capacity").count();
    if count > ATTRIBUTES_MAX {
        let wrong = format!(
            "the total number of attributes and capacities must not exceed {ATTRIBUTES_MAX}"
        );
        errors.push(FieldError::invalid(path, &count.into(), wrong));
    }
    for (name, value) in entries(device, "attributes") {
        let at = format!("{path}.attributes[{name}]");
        devices::qualified(errors, name, &at);
        attribute(errors, value, &at);
    }
    let shared = device["allowMultipleAllocations"] == true;
    for (name, capacity) in entries(device, "capacity") {
        let at = format!("{path}.capacity[{name}]");
        devices::qualified(errors, name, &at);
        request_policy(errors, capacity, &join(&at, "requestPolicy"), shared);
    }
    each(errors, device, &join(path, "taints"), TAINTS_MAX, taint);
    let at = join(path, "consumesCounters");
    each(
        errors,
        device,
        &at,
        CONSUMPTIONS_MAX,
        |errors, consumed, path| {
            counters(errors, consumed, path, "counterSet");
        },
    );
    distinct(errors, device, &at, |consumed| {
        consumed["counterSet"].clone()
    });
    device_place(errors, device, path, has_own_place);
    binding_conditions(errors, device, path);
}

fn device_place(errors: &mut Errors, device: &Value, path: &str, has_own: bool) {
    if !has_own {
        let fields = ["nodeName", "nodeSelector", "allNodes"];
        if fields.iter().any(|field| has(device, field)) {
            let wrong = "`nodeName`, `nodeSelector` and `allNodes` can only be set if \
                         `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
            errors.push(FieldError::invalid(path, &Value::Null, wrong));
        }
        return;
    }
    let by = placed_by(errors, device, path, &["allNodes"]);
    let wrong = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
                 `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    match by.len() {
        0 => errors.push(FieldError::required(path, wrong)),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", by.join(", "));
            errors.push(FieldError::invalid(path, &shown.into(), wrong));
        }
    }
}

fn attribute(errors: &mut Errors, attribute: &Value, at: &str) {
    for field in ["string", "version"] {
        let Some(value) = attribute[field].as_str() else {
            continue;
        };
        let at = join(at, field);
        if field == "version" && !is_semver(value) {
            let wrong = "must be a string compatible with semver.org spec 2.0.0";
            errors.push(FieldError::invalid(at.clone(), &value.into(), wrong));
        }
        if value.len() > VALUE_BYTES_MAX {
            errors.push(too_long(&at, VALUE_BYTES_MAX));
        }
    }
    let kinds = ["bool", "int", "string", "version"];
    let count = kinds.iter().filter(|kind| has(attribute, kind)).count();
    if count != 1 {
        let shown = if count == 0 { &json!("") } else { attribute };
        errors.push(FieldError::invalid(
            at,
            shown,
            "exactly one value must be specified",
        ));
    }
}

/// `1.2.3-alpha.1+build.7`
fn is_semver(text: &str) -> bool {
    let number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let id = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let (rest, build) = match text.split_once('+') {
        Some((rest, build)) => (rest, Some(build)),
        None => (text, None),
    };
    let (core, pre) = match rest.split_once('-') {
        Some((core, pre)) => (core, Some(pre)),
        None => (rest, None),
    };
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(|pre| {
            pre.split('.')
                .all(|p| id(p) && (!is_digits(p) || number(p)))
        })
        && build.is_none_or(|build| build.split('.').all(id))
}

/// Which parts of a capacity can be asked for, where several may share a device.
fn request_policy(errors: &mut Errors, capacity: &Value, path: &str, shared: bool) {
    let policy = &capacity["requestPolicy"];
    if policy.is_null() {
        return;
    }
    if !shared {
        let wrong = "allowMultipleAllocations must be true";
        return errors.push(FieldError::forbidden(path, wrong));
    }
    let values = list(policy, "validValues");
    let by = match (values.is_empty(), has(policy, "validRange")) {
        (false, true) => {
            let wrong = "exactly one policy can be specified, cannot specify \"validValues\" and \
                         \"validRange\" at the same time";
            return errors.push(FieldError::forbidden(path, wrong));
        }
        (false, false) => "validValues",
        (true, true) => "validRange",
        (true, false) => return,
    };
    if !has(policy, "default") {
        let wrong = format!("required when {by} is defined");
        return errors.push(FieldError::required(join(path, "default"), wrong));
    }
    let whole = &capacity["value"];
    let at = join(path, by);
    if by == "validValues" {
        valid_values(errors, policy, whole, &at);
    } else {
        valid_range(errors, policy, whole, &at);
    }
}

fn amount(value: &Value) -> Quantity {
    let text = value.as_str().unwrap_or_default();
    Quantity::parse(text).unwrap_or_default()
}

fn valid_values(errors: &mut Errors, policy: &Value, whole: &Value, at: &str) {
    const VALUES_MAX: usize = 10;
    let values = list(policy, "validValues");
    for (index, pair) in values.windows(2).enumerate() {
        if amount(&pair[0]) > amount(&pair[1]) {
            let wrong = "values must be sorted in ascending order";
            errors.push(FieldError::invalid(
                format!("{at}[{}]", index + 1),
                &pair[1],
                wrong,
            ));
        }
    }
    each(errors, policy, at, VALUES_MAX, |errors, value, at| {
        if amount(value) > amount(whole) {
            let wrong = format!("option is larger than capacity value: {}", shown(whole));
            errors.push(FieldError::invalid(at, value, wrong));
        }
    });
    distinct(errors, policy, at, Value::clone);
    let default = &policy["default"];
    if !values.iter().any(|value| amount(value) == amount(default)) {
        let wrong = "default value is not valid according to the requestPolicy";
        errors.push(FieldError::invalid(at, default, wrong));
    }
}

fn shown(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn valid_range(errors: &mut Errors, policy: &Value, whole: &Value, path: &str) {
    let (range, default) = (&policy["validRange"], &policy["default"]);
    let (min, max) = (&range["min"], &range["max"]);
    if min.is_null() {
        let wrong = "required when validRange is defined";
        return errors.push(FieldError::required(join(path, "min"), wrong));
    }
    let mut check = |wrong: bool, field: &str, value: &Value, why: String| {
        if wrong {
            errors.push(FieldError::invalid(join(path, field), value, why));
        }
    };
    let capacity = shown(whole);
    let larger = |what: &str| format!("{what} is larger than capacity value: {capacity}");
    check(amount(min) > amount(whole), "min", min, larger("min"));
    let why = format!("default is less than min: {}", shown(min));
    check(amount(default) < amount(min), "min", default, why);
    if !max.is_null() {
        let why = format!("min is larger than max: {}", shown(max));
        check(amount(min) > amount(max), "max", min, why);
        check(amount(max) > amount(whole), "max", max, larger("max"));
        let why = format!("default is more than max: {}", shown(max));
        check(amount(default) > amount(max), "max", default, why);
    }
}

pub(super) fn taint(errors: &mut Errors, taint: &Value, path: &str) {
    let (key, value) = (text(taint, "key"), text(taint, "value"));
    let form = names::qualified_name(key);
    wrongs(errors, &join(path, "key"), &key.into(), form);
    if !value.is_empty() {
        let form = names::label_value(value);
        wrongs(errors, &join(path, "value"), &value.into(), form);
    }
    one_of(errors, taint, path, "effect", devices::EFFECTS);
}

/// A set of counters, or what a device takes from one.
fn counters(errors: &mut Errors, set: &Value, path: &str, name_field: &str) {
    let name = text(set, name_field);
    let at = join(path, name_field);
    if name.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else {
        wrongs(errors, &at, &name.into(), names::dns1123_label(name));
    }
    let at = join(path, "counters");
    let count = entries(set, "counters").count();
    if count == 0 {
        errors.push(FieldError::required(at, ""));
    } else if count > COUNTERS_MAX {
        errors.push(forms::too_many(&at, count, COUNTERS_MAX));
    } else {
        for (name, _) in entries(set, "counters") {
            let form = names::dns1123_label(name);
            wrongs(errors, &format!("{at}[{name}]"), &name.into(), form);
        }
    }
}

/// A changed ResourceSlice: whose it is stays.
pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["spec"], &old["spec"]);
    immutable(
        errors,
        &new["pool"]["name"],
        &old["pool"]["name"],
        "spec.pool.name",
    );
    for field in ["driver", "nodeName"] {
        immutable(errors, &new[field], &old[field], &join("spec", field));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for good in [
            "1.2.3",
            "0.0.0",
            "1.2.3-alpha.1",
            "1.2.3+build.07",
            "1.0.0-a-b+c",
        ] {
            assert!(is_semver(good), "{good}");
        }
        for bad in [
            "1.2", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-01", "v1.2.3", "1.2.3+",
        ] {
            assert!(!is_semver(bad), "{bad}");
        }
    }
}
