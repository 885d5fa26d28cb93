//! Jobs and CronJobs.
//!
//! Upstream: `pkg/apis/batch/validation/validation.go`. What a Job's status may say is in
//! `job_status.rs`; when pods' failures and successes are the Job's, in `job_policies.rs`.

use serde_json::{Value, json};

use super::{
    check::{
        Errors, has, immutable, join, label_selector, not_negative, one_of, same, text, too_long,
        wrongs,
    },
    forms, job_policies, names, pods, workloads,
};
use crate::{selectors::LabelSelector, status::FieldError};

/// How many pods of an indexed Job may run at a time; how many of its indexes may fail.
const INDEXED_MAX: i64 = 100_000;
/// More completions than this are many.
const MANY_COMPLETIONS: i64 = 100_000;
/// How many of many may run at a time, or fail.
const OF_MANY_MAX: i64 = 10_000;
const MANAGED_BY_BYTES_MAX: usize = 63;
/// A CronJob's name, with what is added for each Job, is one of a Job.
const CRON_JOB_NAME_BYTES_MAX: usize = 52;

/// The labels by which a Job knows its pods: what for, and whether it is the uid.
const OWN_LABELS: [(&str, bool); 4] = [
    ("controller-uid", true),
    ("job-name", false),
    ("batch.kubernetes.io/controller-uid", true),
    ("batch.kubernetes.io/job-name", false),
];

/// A new Job.
pub(super) fn job_create(errors: &mut Errors, job: &Value) {
    generated_selector(errors, job);
    let spec = &job["spec"];
    job_spec(errors, spec);
    let completions = spec["completions"].as_i64().unwrap_or_default();
    if spec["completionMode"] == "Indexed" && completions > 0 {
        // The last of its pods has the longest name.
        let name = text(&job["metadata"], "name");
        let host = format!("{name}-{}", completions - 1);
        if !names::dns1123_label(&host).is_empty() {
            let wrong = format!("will not able to create pod with invalid DNS label: {host}");
            errors.push(FieldError::invalid("metadata.name", &json!(name), wrong));
        }
    }
}

/// A changed Job: which pods it has, and what its end is, is settled.
pub(super) fn job_update(errors: &mut Errors, new: &Value, old: &Value) {
    let (spec, before) = (&new["spec"], &old["spec"]);
    job_spec(errors, spec);
    completions_update(errors, spec, before);
    let mut keeps = |field: &str| {
        let at = join("spec", field);
        immutable(errors, &spec[field], &before[field], &at);
    };
    keeps("selector");
    let template = template_before(old, &spec["template"]);
    immutable(errors, &spec["template"], &template, "spec.template");
    let mut keeps = |field: &str| {
        let at = join("spec", field);
        immutable(errors, &spec[field], &before[field], &at);
    };
    for field in [
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        keeps(field);
    }
}

/// The template that a changed one is held against: while a Job is suspended and has not begun,
/// where its pods may run can still be said.
fn template_before(old: &Value, new: &Value) -> Value {
    let mut template = old["spec"]["template"].clone();
    let begun = has(&old["status"], "startTime");
    if old["spec"]["suspend"] != true || begun || !template.is_object() {
        return template;
    }
    for (of, fields) in [
        ("metadata", &["annotations", "labels"][..]),
        ("spec", &["nodeSelector", "tolerations", "schedulingGates"]),
    ] {
        for field in fields {
            template[of][field] = new[of][field].clone();
        }
    }
    let affinity = &new["spec"]["affinity"]["nodeAffinity"];
    let before = &mut template["spec"]["affinity"];
    match (affinity.is_null(), before.as_object_mut()) {
        (false, _) => before["nodeAffinity"] = affinity.clone(),
        (true, Some(before)) => {
            before.remove("nodeAffinity");
        }
        (true, None) => {}
    }
    template
}

fn completions_update(errors: &mut Errors, spec: &Value, before: &Value) {
    const AT: &str = "spec.completions";
    let (now, then) = (&spec["completions"], &before["completions"]);
    if spec["completionMode"] != "Indexed" {
        immutable(errors, now, then, AT);
    } else if !same(now, then) && !now.is_null() && *now != spec["parallelism"] {
        let wrong = "can only be modified in tandem with spec.parallelism";
        errors.push(FieldError::invalid(AT, now, wrong));
    }
}

/// The labels and the selector that the server gives a Job are there.
fn generated_selector(errors: &mut Errors, job: &Value) {
    const AT: &str = "spec.template.metadata";
    if job["spec"]["manualSelector"] == true || !job["spec"]["selector"].is_object() {
        return;
    }
    let labels = &job["spec"]["template"]["metadata"]["labels"];
    let mut expected = serde_json::Map::new();
    for (label, is_uid) in OWN_LABELS {
        let own = &job["metadata"][if is_uid { "uid" } else { "name" }];
        expected.insert(label.to_owned(), own.clone());
        let at = format!("{AT}.labels");
        match labels.get(label) {
            None => {
                let wrong = format!("must be '{}'", own.as_str().unwrap_or_default());
                errors.push(FieldError::required(format!("{at}[{label}]"), wrong));
            }
            Some(value) if value != own => {
                let wrong = format!("must be '{}'", own.as_str().unwrap_or_default());
                errors.push(FieldError::invalid(format!("{at}[{label}]"), labels, wrong));
            }
            Some(_) => {}
        }
    }
    let selector = &job["spec"]["selector"];
    let parsed = LabelSelector::from_object(selector);
    if parsed.is_ok_and(|selector| !selector.matches(&Value::Object(expected))) {
        let wrong = "`selector` not auto-generated";
        errors.push(FieldError::invalid("spec.selector", selector, wrong));
    }
}

fn job_spec(errors: &mut Errors, spec: &Value) {
    any_job_spec(errors, spec, "spec");
    let selector = &spec["selector"];
    if !selector.is_object() {
        errors.push(FieldError::required("spec.selector", ""));
    } else {
        label_selector(errors, selector, "spec.selector");
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let parsed = LabelSelector::from_object(selector);
    if parsed.is_ok_and(|selector| !selector.matches(labels)) {
        workloads::mismatch(errors, labels);
    }
}

/// The spec of a Job that is, or of one that a CronJob is to make.
fn any_job_spec(errors: &mut Errors, spec: &Value, path: &str) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        not_negative(errors, spec, path, field);
    }
    if has(spec, "maxFailedIndexes") && !has(spec, "backoffLimitPerIndex") {
        let at = join(path, "backoffLimitPerIndex");
        let wrong = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(at, wrong));
    }
    if let Some(manager) = spec["managedBy"].as_str() {
        let at = join(path, "managedBy");
        forms::domain_prefixed_path(errors, manager, &at);
        if manager.len() > MANAGED_BY_BYTES_MAX {
            errors.push(too_long(&at, MANAGED_BY_BYTES_MAX));
        }
    }
    let mode = text(spec, "completionMode");
    match mode {
        "Indexed" => indexed(errors, spec, path),
        _ => {
            if !matches!(mode, "NonIndexed" | "") {
                let modes = ["NonIndexed", "Indexed"];
                let at = join(path, "completionMode");
                errors.push(FieldError::not_supported(at, &json!(mode), &modes));
            } else {
                not_indexed(errors, spec, path);
            }
        }
    }
    job_policies::policies(errors, spec, path);
    let template = join(path, "template");
    pods::template(errors, &spec["template"], &template);
    let at = join(&template, "spec.restartPolicy");
    let policy = text(&spec["template"]["spec"], "restartPolicy");
    match policy {
        "Always" | "" => {
            let wrong = "valid values: \"OnFailure\", \"Never\"";
            errors.push(FieldError::required(at, wrong));
        }
        "Never" => {}
        "OnFailure" => {
            if has(spec, "podFailurePolicy") {
                let wrong = "only \"Never\" is supported when podFailurePolicy is specified";
                errors.push(FieldError::invalid(at, &json!(policy), wrong));
            }
        }
        _ => {
            let policies = ["OnFailure", "Never"];
            errors.push(FieldError::not_supported(at, &json!(policy), &policies));
        }
    }
}

fn not_indexed(errors: &mut Errors, spec: &Value, path: &str) {
    for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
        if has(spec, field) {
            let wrong = "requires indexed completion mode";
            errors.push(FieldError::invalid(join(path, field), &spec[field], wrong));
        }
    }
}

fn indexed(errors: &mut Errors, spec: &Value, path: &str) {
    let number = |field: &str| spec[field].as_i64();
    let completions = number("completions");
    if completions.is_none() {
        let wrong = "when completion mode is Indexed";
        errors.push(FieldError::required(join(path, "completions"), wrong));
    }
    let mut at_most = |field: &str, most: i64, wrong: String| {
        if number(field).is_some_and(|number| number > most) {
            errors.push(FieldError::invalid(join(path, field), &spec[field], wrong));
        }
    };
    let when = "when completion mode is Indexed";
    at_most(
        "parallelism",
        INDEXED_MAX,
        format!("must be less than or equal to {INDEXED_MAX} {when}"),
    );
    if let Some(completions) = completions {
        let wrong = "must be less than or equal to completions";
        at_most("maxFailedIndexes", completions, wrong.into());
    }
    at_most(
        "maxFailedIndexes",
        INDEXED_MAX,
        format!("must be less than or equal to {INDEXED_MAX}"),
    );
    if completions.is_none_or(|completions| completions <= MANY_COMPLETIONS)
        || !has(spec, "backoffLimitPerIndex")
    {
        return;
    }
    let many = format!(
        "must be less than or equal to {OF_MANY_MAX} when completions are above \
         {MANY_COMPLETIONS} and used with backoff limit per index"
    );
    at_most("parallelism", OF_MANY_MAX, many.clone());
    at_most("maxFailedIndexes", OF_MANY_MAX, many);
    if !has(spec, "maxFailedIndexes") {
        let wrong = format!("must be specified when completions is above {MANY_COMPLETIONS}");
        errors.push(FieldError::required(join(path, "maxFailedIndexes"), wrong));
    }
}

/// A new CronJob.
pub(super) fn cron_job_create(errors: &mut Errors, object: &Value) {
    cron_job(errors, object, &Value::Null);
    let name = text(&object["metadata"], "name");
    if name.len() > CRON_JOB_NAME_BYTES_MAX {
        let wrong = format!("must be no more than {CRON_JOB_NAME_BYTES_MAX} characters");
        errors.push(FieldError::invalid("metadata.name", &json!(name), wrong));
    }
}

/// A CronJob, new (then there is no old one) or changed.
pub(super) fn cron_job(errors: &mut Errors, object: &Value, old: &Value) {
    let spec = &object["spec"];
    schedule(errors, spec, text(&old["spec"], "schedule"));
    not_negative(errors, spec, "spec", "startingDeadlineSeconds");
    if spec["timeZone"] != old["spec"]["timeZone"] {
        time_zone(errors, &spec["timeZone"]);
    }
    let policies = ["Allow", "Forbid", "Replace"];
    one_of(errors, spec, "spec", "concurrencyPolicy", &policies);
    let job = &spec["jobTemplate"]["spec"];
    let path = "spec.jobTemplate.spec";
    any_job_spec(errors, job, path);
    if has(job, "selector") {
        let wrong = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(
            join(path, "selector"),
            &job["selector"],
            wrong,
        ));
    }
    if job["manualSelector"] == true {
        let at = join(path, "manualSelector");
        let allowed = ["nil", "false"];
        errors.push(FieldError::not_supported(at, &json!(true), &allowed));
    }
    not_negative(errors, spec, "spec", "successfulJobsHistoryLimit");
    not_negative(errors, spec, "spec", "failedJobsHistoryLimit");
}

fn schedule(errors: &mut Errors, spec: &Value, before: &str) {
    const AT: &str = "spec.schedule";
    let schedule = text(spec, "schedule");
    if schedule.is_empty() {
        return errors.push(FieldError::required(AT, ""));
    }
    let mut wrong = Vec::new();
    wrong.extend(cron::Schedule::parse(schedule).err());
    if schedule.contains("TZ") {
        // One that was there before it was forbidden may stay.
        if !before.contains("TZ") {
            let instead = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            wrong.push(instead.to_owned());
        } else if has(spec, "timeZone") {
            let both = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
            wrong.push(both.to_owned());
        }
    }
    wrongs(errors, AT, &spec["schedule"], wrong);
}

fn time_zone(errors: &mut Errors, zone: &Value) {
    const AT: &str = "spec.timeZone";
    let Some(name) = zone.as_str() else { return };
    let mut invalid = |wrong: String| errors.push(FieldError::invalid(AT, zone, wrong));
    if name.is_empty() {
        return invalid("timeZone must be nil or non-empty string".into());
    }
    let is_part = |part: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+');
        !matches!(part, "." | "..")
            && !part.starts_with('-')
            && (1..=14).contains(&part.len())
            && part.bytes().all(good)
    };
    if !name.split('/').all(is_part) {
        return invalid(format!("unknown time zone {name}"));
    }
    if name.eq_ignore_ascii_case("Local") {
        let wrong = "timeZone must be an explicit time zone as defined in \
                     https://www.iana.org/time-zones";
        return invalid(wrong.into());
    }
    if jiff::tz::TimeZone::get(name).is_err() {
        invalid(format!("unknown time zone {name}"));
    }
}
