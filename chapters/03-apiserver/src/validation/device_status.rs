//! What has become of a claim: which devices it got, who uses them, how they are.
//!
//! Upstream: `validateResourceClaimStatusUpdate` in `pkg/apis/resource/validation`.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{
    check::{
        Errors, any, has, immutable, join, list, one_of, required, same, text, too_long, wrongs,
    },
    devices::{self, REQUESTS_MAX, distinct, each},
    forms, names, scheduling,
};
use crate::status::FieldError;

const CONSUMERS_MAX: usize = 256;
const CONDITIONS_MAX: usize = 8;
const BINDING_CONDITIONS_MAX: usize = 4;
const DATA_BYTES_MAX: usize = 10 << 10;
const INTERFACE_BYTES_MAX: usize = 256;
const HARDWARE_BYTES_MAX: usize = 128;
const ADDRESSES_MAX: usize = 16;

pub(super) fn claim(errors: &mut Errors, new: &Value, old: &Value) {
    let (status, before) = (&new["status"], &old["status"]);
    each(
        errors,
        status,
        "status.reservedFor",
        CONSUMERS_MAX,
        |errors, consumer, path| {
            for field in ["resource", "name", "uid"] {
                required(errors, consumer, path, field, any);
            }
        },
    );
    distinct(errors, status, "status.reservedFor", |consumer| {
        consumer["uid"].clone()
    });
    let allocated: Vec<Value> = list(&status["allocation"]["devices"], "results")
        .iter()
        .map(identity)
        .collect();
    each(
        errors,
        status,
        "status.devices",
        usize::MAX,
        |errors, device, path| {
            allocated_device(errors, device, path, &allocated);
        },
    );
    distinct(errors, status, "status.devices", identity);

    let allocation = &status["allocation"];
    let consumers = list(status, "reservedFor");
    if !consumers.is_empty() && allocation.is_null() {
        let wrong = "may not be specified when `allocated` is not set";
        errors.push(FieldError::forbidden("status.reservedFor", wrong));
    } else if has(&new["metadata"], "deletionTimestamp") {
        let known = |consumer: &Value| {
            list(before, "reservedFor")
                .iter()
                .any(|c| same(c, consumer))
        };
        if !consumers.iter().all(known) {
            let wrong = "new entries may not be added while `deallocationRequested` or \
                         `deletionTimestamp` are set";
            errors.push(FieldError::forbidden("status.reservedFor", wrong));
        }
    }
    if allocation.is_null() {
        return;
    }
    let path = "status.allocation";
    if has(before, "allocation") {
        immutable(errors, allocation, &before["allocation"], path);
    } else {
        self::allocation(errors, new, path);
    }
}

/// What tells a device apart: driver, pool, its own name, and which share of it.
fn identity(device: &Value) -> Value {
    let text = |field: &str| text(device, field);
    let name = format!("{}/{}/{}", text("driver"), text("pool"), text("device"));
    match text("shareID") {
        "" => json!(name),
        share => json!(format!("{name}/{share}")),
    }
}

fn device_name(errors: &mut Errors, device: &Value, path: &str) {
    devices::driver(errors, device, path);
    devices::pool(errors, &device["pool"], &join(path, "pool"));
    let name = text(device, "device");
    let form = names::dns1123_label(name);
    wrongs(errors, &join(path, "device"), &name.into(), form);
    if has(device, "shareID") {
        share_id(errors, &device["shareID"], &join(path, "shareID"));
    }
}

fn share_id(errors: &mut Errors, id: &Value, at: &str) {
    let text = id.as_str().unwrap_or_default();
    match uuid::Uuid::parse_str(text) {
        Err(error) => {
            let wrong = format!("error validating uid: {error}");
            errors.push(FieldError::invalid(at, id, wrong));
        }
        Ok(uid) if uid.to_string() != text => {
            let wrong = "uid must be in RFC 4122 normalized form, \
                         `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal \
                         characters";
            errors.push(FieldError::invalid(at, id, wrong));
        }
        Ok(_) => {}
    }
}

fn allocation(errors: &mut Errors, claim: &Value, path: &str) {
    let allocation = &claim["status"]["allocation"];
    let names = devices::request_names(&claim["spec"]["devices"]);
    let at = join(path, "devices.results");
    each(
        errors,
        &allocation["devices"],
        &at,
        REQUESTS_MAX,
        |errors, result, path| {
            let at = join(path, "request");
            devices::request_ref(errors, &json!(text(result, "request")), &at, &names);
            device_name(errors, result, path);
            binding_conditions(errors, result, path);
        },
    );
    let at = join(path, "devices.config");
    each(
        errors,
        &allocation["devices"],
        &at,
        2 * REQUESTS_MAX,
        |errors, config, path| {
            one_of(errors, config, path, "source", &["FromClaim", "FromClass"]);
            devices::request_refs(errors, config, path, &names);
            devices::configuration(errors, config, path);
        },
    );
    if has(allocation, "nodeSelector") {
        let at = join(path, "nodeSelector");
        scheduling::node_selector(errors, &allocation["nodeSelector"], &at);
    }
}

/// What must hold, and what must not, before a pod is bound to a device's node.
pub(super) fn binding_conditions(errors: &mut Errors, device: &Value, path: &str) {
    let (success, failure) = ("bindingConditions", "bindingFailureConditions");
    for field in [success, failure] {
        let at = join(path, field);
        each(
            errors,
            device,
            &at,
            BINDING_CONDITIONS_MAX,
            |errors, condition, at| {
                let form = names::qualified_name(condition.as_str().unwrap_or_default());
                wrongs(errors, at, condition, form);
            },
        );
        distinct(errors, device, &at, Value::clone);
    }
    for (index, condition) in list(device, failure).iter().enumerate() {
        if list(device, success).contains(condition) {
            let wrong = "bindingFailureConditions must not overlap with bindingConditions";
            let at = format!("{path}.{failure}[{index}]");
            errors.push(FieldError::invalid(at, condition, wrong));
        }
    }
    for (field, other) in [(success, failure), (failure, success)] {
        if list(device, field).is_empty() && !list(device, other).is_empty() {
            let wrong = format!("{field} are required to use {other}");
            errors.push(FieldError::invalid(
                join(path, field),
                &device[field],
                wrong,
            ));
        }
    }
}

/// How a device is, as its driver says.
fn allocated_device(errors: &mut Errors, device: &Value, path: &str, allocated: &[Value]) {
    device_name(errors, device, path);
    let identity = identity(device);
    if !allocated.contains(&identity) {
        let wrong = "must be an allocated device in the claim";
        errors.push(FieldError::invalid(path, &identity, wrong));
    }
    let count = list(device, "conditions").len();
    if count > CONDITIONS_MAX {
        errors.push(forms::too_many(
            &join(path, "conditions"),
            count,
            CONDITIONS_MAX,
        ));
    }
    if has(device, "data") {
        devices::raw(errors, &device["data"], &join(path, "data"), DATA_BYTES_MAX);
    }
    let (network, path) = (&device["networkData"], join(path, "networkData"));
    for (field, max) in [
        ("interfaceName", INTERFACE_BYTES_MAX),
        ("hardwareAddress", HARDWARE_BYTES_MAX),
    ] {
        if text(network, field).len() > max {
            errors.push(too_long(&join(&path, field), max));
        }
    }
    let at = join(&path, "ips");
    each(
        errors,
        network,
        &at,
        ADDRESSES_MAX,
        |errors, address, at| {
            let text = address.as_str().unwrap_or_default();
            if !is_interface_address(text) {
                let wrong = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or \
                         2001:db8::1/64)";
                errors.push(FieldError::invalid(at, address, wrong));
            }
        },
    );
    distinct(errors, network, &at, Value::clone);
}

/// `10.9.8.7/24`
fn is_interface_address(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}
