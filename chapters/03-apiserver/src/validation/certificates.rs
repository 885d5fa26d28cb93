//! Requests for certificates.
//!
//! Upstream: `pkg/apis/certificates/validation/validation.go`; the request itself is a PKCS#10
//! (RFC 2986) in PEM.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use x509_parser::{
    certification_request::X509CertificationRequest,
    pem::Pem,
    prelude::{FromDer, X509Certificate},
};

use super::{
    check::{Errors, list, text, too_long},
    names,
};
use crate::status::FieldError;

/// What a certificate may be for. Upstream: `KeyUsage`.
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
const SIGNER: &str = "spec.signerName";
/// Conditions that are there or not, and never untrue.
const TRUE_ONLY: [&str; 3] = ["Approved", "Denied", "Failed"];
const SUBDOMAIN_BYTES_MAX: usize = 253;
/// A domain, `/`, a namespace, `.`, a name.
const SIGNER_BYTES_MAX: usize = SUBDOMAIN_BYTES_MAX + 1 + SUBDOMAIN_BYTES_MAX + 63 + 1;

/// A new request. What is asked for cannot change later, so it is checked here only.
pub(super) fn create(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    if let Err(why) = organizations(text(spec, "request")) {
        errors.push(FieldError::invalid("spec.request", &spec["request"], why));
    }
    let usages = list(spec, "usages");
    if usages.is_empty() {
        errors.push(FieldError::required(
            "spec.usages",
            "usages must be provided",
        ));
    }
    for (index, usage) in usages.iter().enumerate() {
        if !USAGES.contains(&usage.as_str().unwrap_or_default()) {
            let at = format!("spec.usages[{index}]");
            errors.push(FieldError::not_supported(at, usage, USAGES));
        }
    }
    for (index, usage) in usages.iter().enumerate() {
        if usages[..index].contains(usage) {
            let at = format!("spec.usages[{index}]");
            errors.push(FieldError::duplicate(at, usage));
        }
    }
    signer_name(errors, text(spec, "signerName"));
    let seconds = &spec["expirationSeconds"];
    if seconds.as_i64().is_some_and(|seconds| seconds < 600) {
        let wrong = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(
            "spec.expirationSeconds",
            seconds,
            wrong,
        ));
    }
}

/// `example.com/signer`
fn signer_name(errors: &mut Errors, name: &str) {
    let mut invalid = |value: &str, wrong: &str| {
        errors.push(FieldError::invalid(SIGNER, &value.into(), wrong));
    };
    match name {
        "" => {
            let wrong = "signerName must be provided";
            return errors.push(FieldError::required(SIGNER, wrong));
        }
        "kubernetes.io/legacy-unknown" => {
            return invalid(
                name,
                "the legacy signerName is not allowed via this API version",
            );
        }
        _ => {}
    }
    let [domain, path] = name.split('/').collect::<Vec<_>>()[..] else {
        return invalid(
            name,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        );
    };
    first_wrong_label(errors, domain, names::dns1123_label);
    if !domain.contains('.') {
        let wrong = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(SIGNER, &domain.into(), wrong));
    }
    first_wrong_label(errors, path, names::dns1123_subdomain);
    for (part, max) in [(domain, SUBDOMAIN_BYTES_MAX), (name, SIGNER_BYTES_MAX)] {
        if part.len() > max {
            errors.push(too_long(SIGNER, max));
        }
    }
}

/// What is wrong with the first part between dots that is.
fn first_wrong_label(errors: &mut Errors, part: &str, form: fn(&str) -> names::Wrongs) {
    let mut labels = part.split('.').map(|label| (label, form(label)));
    let Some((label, wrongs)) = labels.find(|(_, wrongs)| !wrongs.is_empty()) else {
        return;
    };
    for wrong in wrongs {
        let wrong = format!("validating label {label:?}: {wrong}");
        errors.push(FieldError::invalid(SIGNER, &part.into(), wrong));
    }
}

/// A change through the object itself, `status` or `approval`.
pub(super) fn status_update(errors: &mut Errors, new: &Value, old: &Value, door: &str) {
    conditions(errors, new, old);
    certificate(errors, new, old, door);
    let count = |object: &Value, kind: &str| {
        let conditions = list(&object["status"], "conditions").iter();
        conditions
            .filter(|condition| condition["type"] == kind)
            .count()
    };
    const FIELD: &str = "status.conditions";
    for kind in TRUE_ONLY {
        if count(new, kind) < count(old, kind) {
            let wrong = format!("updates may not remove a condition of type {kind:?}");
            errors.push(FieldError::forbidden(FIELD, wrong));
        }
    }
    for kind in ["Approved", "Denied"] {
        if door != "approval" && count(new, kind) > count(old, kind) {
            let wrong = format!("updates may not add a condition of type {kind:?}");
            errors.push(FieldError::forbidden(FIELD, wrong));
        }
    }
}

fn conditions(errors: &mut Errors, new: &Value, old: &Value) {
    let decided_both_ways = |object: &Value| {
        let has = |kind: &str| {
            let mut conditions = list(&object["status"], "conditions").iter();
            conditions.any(|condition| condition["type"] == kind)
        };
        has("Approved") && has("Denied")
    };
    let (mut seen, mut decision) = (BTreeSet::new(), "");
    for (index, condition) in list(&new["status"], "conditions").iter().enumerate() {
        let at = |field: &str| format!("status.conditions[{index}].{field}");
        let (kind, status) = (text(condition, "type"), text(condition, "status"));
        if kind.is_empty() {
            errors.push(FieldError::required(at("type"), ""));
        }
        let values: &[&str] = if TRUE_ONLY.contains(&kind) {
            &["True"]
        } else {
            &["False", "True", "Unknown"]
        };
        if status.is_empty() {
            errors.push(FieldError::required(at("status"), ""));
        } else if !values.contains(&status) {
            let status = &condition["status"];
            errors.push(FieldError::not_supported(at("status"), status, values));
        }
        if matches!(kind, "Approved" | "Denied") {
            if !decision.is_empty() && decision != kind && !decided_both_ways(old) {
                let wrong = "Approved and Denied conditions are mutually exclusive";
                errors.push(FieldError::invalid(at("type"), &condition["type"], wrong));
            }
            decision = kind;
        }
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(at("type"), &condition["type"]));
        }
    }
}

/// The certificate is issued once.
fn certificate(errors: &mut Errors, new: &Value, old: &Value, door: &str) {
    const FIELD: &str = "status.certificate";
    let (issued, before) = (
        text(&new["status"], "certificate"),
        text(&old["status"], "certificate"),
    );
    if issued == before {
        return;
    }
    if let Err(why) = check_certificates(issued) {
        let shown = "<certificate data>";
        errors.push(FieldError::invalid(FIELD, &shown.into(), why));
    }
    if door != "status" {
        let wrong = "updates may not set certificate content";
        errors.push(FieldError::forbidden(FIELD, wrong));
    } else if !before.is_empty() {
        let wrong = "updates may not modify existing certificate content";
        errors.push(FieldError::forbidden(FIELD, wrong));
    }
}

/// Whether it is certificates in PEM, in base64, and nothing else.
fn check_certificates(encoded: &str) -> Result<(), String> {
    let pem = STANDARD
        .decode(encoded)
        .map_err(|error| error.to_string())?;
    let mut blocks = 0;
    for block in Pem::iter_from_buffer(&pem) {
        let block = block.map_err(|error| error.to_string())?;
        if block.label != "CERTIFICATE" {
            let label = block.label;
            return Err(format!(
                "only CERTIFICATE PEM blocks are allowed, found {label:?}"
            ));
        }
        let parsed = X509Certificate::from_der(&block.contents);
        parsed.map_err(|error| format!("x509: malformed certificate: {error}"))?;
        blocks += 1;
    }
    if blocks == 0 && !pem.is_empty() {
        return Err("must contain at least one CERTIFICATE PEM block".to_owned());
    }
    Ok(())
}

/// The organizations that a request (PKCS#10 in PEM, in base64) wants, which as a client's would be
/// its groups.
///
/// # Errors
/// It is no request, or its signature does not show that the requester has the key.
pub(crate) fn organizations(request: &str) -> Result<Vec<String>, String> {
    let pem = STANDARD
        .decode(request)
        .map_err(|error| error.to_string())?;
    let blocks = Pem::iter_from_buffer(&pem).next();
    let block = blocks
        .and_then(Result::ok)
        .filter(|block| block.label == "CERTIFICATE REQUEST")
        .ok_or("PEM block type must be CERTIFICATE REQUEST")?;
    let (_, request) = X509CertificationRequest::from_der(&block.contents)
        .map_err(|error| format!("x509: malformed certificate request: {error}"))?;
    request
        .verify_signature()
        .map_err(|_| "x509: the signature of the request does not fit its key".to_owned())?;
    let subject = &request.certification_request_info.subject;
    let organizations = subject.iter_organization();
    Ok(organizations
        .filter_map(|organization| organization.as_str().ok())
        .map(str::to_owned)
        .collect())
}
