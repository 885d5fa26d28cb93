//! What pods and containers ask for of the kernel: profiles, parameters, `/proc`, users.
//!
//! Upstream: `pkg/apis/core/validation/validation.go`, `ValidateSecurityContext` and around it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    check::{Errors, in_range, join, list, one_of_if, text, too_long, wrongs},
    names, volumes,
};
use crate::status::FieldError;

/// The kinds of profiles, of seccomp and AppArmor alike.
const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
/// Longest path that a profile of AppArmor can have.
const PATH_LEN_MAX: usize = 4095;
/// Longest name of a kernel parameter, and what it looks like.
const SYSCTL_LEN_MAX: usize = 253;
const SYSCTL_FORM: &str = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// The security context of a pod.
pub(super) fn of_pod(errors: &mut Errors, spec: &Value, path: &str) {
    let security = &spec["securityContext"];
    host_users(errors, spec, path);
    let path = join(path, "securityContext");
    for id in ["runAsUser", "runAsGroup", "fsGroup"] {
        in_range(errors, security, &path, id, (0, i64::from(i32::MAX)));
    }
    for (index, group) in list(security, "supplementalGroups").iter().enumerate() {
        let wrong = names::in_range(group.as_i64().unwrap_or(-1), 0, i64::from(i32::MAX));
        wrongs(
            errors,
            &format!("{path}.supplementalGroups[{index}]"),
            group,
            wrong,
        );
    }
    if spec["shareProcessNamespace"] == true && spec["hostPID"] == true {
        let wrong = "ShareProcessNamespace and HostPID cannot both be enabled";
        let at = join(&path, "shareProcessNamespace");
        errors.push(FieldError::invalid(at, &json!(true), wrong));
    }
    sysctls(errors, spec, &path);
    let policies = ["Always", "OnRootMismatch"];
    one_of_if(errors, security, &path, "fsGroupChangePolicy", &policies);
    profiles(errors, security, &path);
    let policies = ["Merge", "Strict"];
    one_of_if(
        errors,
        security,
        &path,
        "supplementalGroupsPolicy",
        &policies,
    );
}

/// The security context of a container; whether its pod has the node's users goes along.
pub(super) fn of_container(errors: &mut Errors, security: &Value, path: &str, host_users: bool) {
    for id in ["runAsUser", "runAsGroup"] {
        in_range(errors, security, path, id, (0, i64::from(i32::MAX)));
    }
    one_of_if(
        errors,
        security,
        path,
        "procMount",
        &["Default", "Unmasked"],
    );
    if security["procMount"] == "Unmasked" && host_users {
        let wrong = "`hostUsers` must be false to use `Unmasked`";
        let at = join(path, "procMount");
        errors.push(FieldError::invalid(at, &security["procMount"], wrong));
    }
    profiles(errors, security, path);
    if security["allowPrivilegeEscalation"] == false {
        let added = list(&security["capabilities"], "add");
        for (given, what) in [
            (security["privileged"] == true, "`privileged` to true"),
            (
                added.contains(&json!("CAP_SYS_ADMIN")),
                "`capabilities.Add` CAP_SYS_ADMIN",
            ),
        ] {
            if given {
                let wrong = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
                errors.push(FieldError::invalid(path, security, wrong));
            }
        }
    }
}

/// A pod with users of its own has no namespace of the node's.
fn host_users(errors: &mut Errors, spec: &Value, path: &str) {
    if spec["hostUsers"] != false {
        return;
    }
    // The last two are spelled as upstream spells them.
    for (field, at) in [
        ("hostNetwork", "hostNetwork"),
        ("hostPID", "HostPID"),
        ("hostIPC", "HostIPC"),
    ] {
        if spec[field] == true {
            let wrong = "when `pod.Spec.HostUsers` is false";
            errors.push(FieldError::forbidden(join(path, at), wrong));
        }
    }
}

fn sysctls(errors: &mut Errors, spec: &Value, path: &str) {
    let mut seen = BTreeSet::new();
    for (index, sysctl) in list(&spec["securityContext"], "sysctls").iter().enumerate() {
        let at = format!("{path}.sysctls[{index}].name");
        let name = text(sysctl, "name");
        let value = &sysctl["name"];
        if name.is_empty() {
            errors.push(FieldError::required(at.clone(), ""));
        } else if !is_sysctl(name) {
            let wrong = format!(
                "must have at most {SYSCTL_LEN_MAX} characters and match regex {SYSCTL_FORM}"
            );
            errors.push(FieldError::invalid(at.clone(), value, wrong));
        } else if !seen.insert(name) {
            errors.push(FieldError::duplicate(at.clone(), value));
        }
        for (host, namespace) in [("hostNetwork", "net"), ("hostIPC", "ipc")] {
            if spec[host] == true && namespace_of(name) == Some(namespace) {
                let wrong = format!("may not be specified when '{host}' is true");
                errors.push(FieldError::invalid(at.clone(), value, wrong));
            }
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= SYSCTL_LEN_MAX
        && name.split(['.', '/']).all(|part| {
            part.starts_with(is_alphanumeric)
                && part.ends_with(is_alphanumeric)
                && part.chars().all(|c| is_alphanumeric(c) || "-_".contains(c))
        })
}

/// Which namespace a parameter belongs to. Upstream: `component-helpers/node/util/sysctl`.
fn namespace_of(name: &str) -> Option<&'static str> {
    // Whichever of `.` and `/` comes first is what separates the parts.
    let name = match name.find(['.', '/']).map(|at| &name[at..=at]) {
        Some("/") => name.replace('/', "."),
        _ => name.to_owned(),
    };
    let of_ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."];
    if name == "kernel.sem" || of_ipc.iter().any(|prefix| name.starts_with(prefix)) {
        Some("ipc")
    } else {
        name.starts_with("net.").then_some("net")
    }
}

fn profiles(errors: &mut Errors, security: &Value, path: &str) {
    seccomp(
        errors,
        &security["seccompProfile"],
        &join(path, "seccompProfile"),
    );
    apparmor(
        errors,
        &security["appArmorProfile"],
        &join(path, "appArmorProfile"),
    );
}

/// Whether the kind of a profile is one; says so if not.
fn kind(errors: &mut Errors, profile: &Value, path: &str, field: &str) {
    match text(profile, "type") {
        "" => {
            let wrong = format!("type is required when {field} is set");
            errors.push(FieldError::required(join(path, "type"), wrong));
        }
        kind if PROFILES.contains(&kind) => {}
        _ => {
            let at = join(path, "type");
            errors.push(FieldError::not_supported(at, &profile["type"], &PROFILES));
        }
    }
}

fn seccomp(errors: &mut Errors, profile: &Value, path: &str) {
    if profile.is_null() {
        return;
    }
    kind(errors, profile, path, "seccompProfile");
    let (own, at) = (&profile["localhostProfile"], join(path, "localhostProfile"));
    match (profile["type"] == "Localhost", own.is_null()) {
        (true, true) => {
            let wrong = "must be set when seccomp type is Localhost";
            errors.push(FieldError::required(at, wrong));
        }
        (true, false) => volumes::below(errors, own, &at),
        (false, false) => {
            let wrong = "can only be set when seccomp type is Localhost";
            errors.push(FieldError::invalid(at, profile, wrong));
        }
        (false, true) => {}
    }
}

fn apparmor(errors: &mut Errors, profile: &Value, path: &str) {
    if profile.is_null() {
        return;
    }
    let (own, at) = (&profile["localhostProfile"], join(path, "localhostProfile"));
    match text(profile, "type") {
        "Localhost" => {
            let name = own.as_str().unwrap_or_default();
            if name.trim() != name {
                let wrong = "must not be padded with whitespace";
                errors.push(FieldError::invalid(at.clone(), own, wrong));
            } else if name.is_empty() {
                let wrong = "must be set when AppArmor type is Localhost";
                errors.push(FieldError::required(at.clone(), wrong));
            }
            if name.len() > PATH_LEN_MAX {
                errors.push(too_long(&at, PATH_LEN_MAX));
            }
        }
        "RuntimeDefault" | "Unconfined" if !own.is_null() => {
            let wrong = "can only be set when AppArmor type is Localhost";
            errors.push(FieldError::invalid(at, own, wrong));
        }
        _ => kind(errors, profile, path, "appArmorProfile"),
    }
}
