//! `cargo xtask who-owns KIND/NAME FIELD`: who has written a field last, and who else claims it.
//!
//! `metadata.managedFields` has an entry for each manager, with a tree of the fields that it owns;
//! here one path is looked up in all of those trees.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::kubectl;

/// Which field, of which object, in which lab.
#[derive(clap::Args)]
pub struct WhoOwns {
    /// As kubectl takes it: `deployment/web`
    object: String,
    /// A path: `spec.replicas`, `spec.template.spec.containers[name=web].image`
    field: String,
    /// The object's namespace
    #[arg(short, long)]
    namespace: Option<String>,
    /// The lab
    #[arg(long, default_value = "workshop")]
    name: OsString,
}

/// Asks the lab for the object, and prints the field's owners.
pub fn run(asked: &WhoOwns) -> Result<()> {
    let path = parse(&asked.field)?;
    let kubeconfig = kubectl::kubeconfig(&asked.name);
    if !kubeconfig.exists() {
        bail!("there is no such lab; `cargo xtask lab` starts it");
    }
    kubectl::ensure()?;
    let mut command = Command::new("kubectl");
    command.env("KUBECONFIG", kubeconfig).args([
        "get",
        &asked.object,
        "--show-managed-fields",
        "-o",
        "json",
    ]);
    if let Some(namespace) = &asked.namespace {
        command.args(["--namespace", namespace]);
    }
    let output = command.output().context("cannot run kubectl")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let object = serde_json::from_slice(&output.stdout).context("kubectl's answer is no object")?;
    print!("{}", table(&asked.field, &owners(&object, &path)));
    Ok(())
}

/// A step of a path.
#[derive(Debug, PartialEq)]
enum Step {
    /// A field, or a key of a map: `spec`
    Field(String),
    /// What a list's entry must have: `[name=web,protocol=TCP]`; some of its keys will do.
    Entry(Vec<(String, String)>),
    /// An entry of a set: `[=value]`
    Item(String),
}

/// Reads a path. Keys with dots stand in brackets: `metadata.labels["app.kubernetes.io/name"]`.
fn parse(text: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = text.trim_start_matches('.');
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (inside, after) = inner
                .split_once(']')
                .with_context(|| format!("`[` is not closed in {text:?}"))?;
            steps.push(bracket(inside));
            rest = after.strip_prefix('.').unwrap_or(after);
            continue;
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        if end == 0 {
            bail!("a field has no name in {text:?}");
        }
        steps.push(Step::Field(rest[..end].to_owned()));
        rest = rest[end..].strip_prefix('.').unwrap_or(&rest[end..]);
    }
    if steps.is_empty() {
        bail!("which field? `spec.replicas`, say");
    }
    Ok(steps)
}

fn bracket(inside: &str) -> Step {
    let bare = |text: &str| text.trim().trim_matches('"').to_owned();
    if let Some(value) = inside.strip_prefix('=') {
        return Step::Item(bare(value));
    }
    if inside.starts_with('"') || !inside.contains('=') {
        return Step::Field(bare(inside));
    }
    let pairs = inside.split(',').filter_map(|pair| pair.split_once('='));
    Step::Entry(pairs.map(|(key, value)| (bare(key), bare(value))).collect())
}

impl Step {
    /// Whether it is a member of `FieldsV1`: `f:spec`, `k:{"name":"web"}`, `v:"value"`.
    fn is(&self, member: &str) -> bool {
        let (kind, rest) = member.split_once(':').unwrap_or_default();
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let parsed = || serde_json::from_str::<Value>(rest).unwrap_or_default();
        match (self, kind) {
            (Step::Field(name), "f") => name == rest,
            (Step::Entry(wanted), "k") => {
                let keys = parsed();
                wanted
                    .iter()
                    .all(|(key, value)| keys.get(key).is_some_and(|found| text(found) == *value))
            }
            (Step::Item(wanted), "v") => text(&parsed()) == *wanted,
            _ => false,
        }
    }
}

/// How a manager holds a field.
#[derive(Debug, PartialEq)]
enum Hold {
    /// The field itself.
    Itself,
    /// Some of what is below it.
    Below,
    /// A list or map that it is in, as a whole.
    Whole(String),
}

/// A manager of a field.
#[derive(Debug, PartialEq)]
struct Owner {
    manager: String,
    operation: String,
    subresource: String,
    time: String,
    hold: Hold,
}

/// Who owns a field of an object, those who applied it first.
fn owners(object: &Value, path: &[Step]) -> Vec<Owner> {
    let entries = object["metadata"]["managedFields"].as_array();
    let owner = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        Some(Owner {
            hold: hold(&entry["fieldsV1"], path, "")?,
            manager: text("manager"),
            operation: text("operation"),
            subresource: text("subresource"),
            time: text("time"),
        })
    };
    entries.into_iter().flatten().filter_map(owner).collect()
}

/// How a tree of fields holds a path.
fn hold(fields: &Value, path: &[Step], above: &str) -> Option<Hold> {
    let [step, rest @ ..] = path else {
        let all = fields.as_object()?;
        let itself = all.is_empty() || all.contains_key(".");
        return Some(if itself { Hold::Itself } else { Hold::Below });
    };
    let all = fields.as_object()?;
    if all.is_empty() && !above.is_empty() {
        return Some(Hold::Whole(above.to_owned()));
    }
    let mut members = all.iter().filter(|(member, _)| step.is(member));
    members.find_map(|(member, below)| {
        let name = member.split_once(':').map_or("", |(_, name)| name);
        let dot = if above.is_empty() { "" } else { "." };
        hold(below, rest, &format!("{above}{dot}{name}"))
    })
}

/// Owners, one a line.
fn table(field: &str, owners: &[Owner]) -> String {
    if owners.is_empty() {
        return format!(
            "Nobody owns {field}: it is not there, or the server filled it in, which owns nothing.\n"
        );
    }
    let mut rows = vec![["MANAGER", "OPERATION", "SUBRESOURCE", "TIME", "OWNS"].map(str::to_owned)];
    rows.extend(owners.iter().map(|owner| {
        let or_dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
        let owns = match &owner.hold {
            Hold::Itself => field.to_owned(),
            Hold::Below => format!("fields below {field}"),
            Hold::Whole(above) => format!("{above}, as a whole"),
        };
        [
            or_dash(&owner.manager),
            or_dash(&owner.operation),
            or_dash(&owner.subresource),
            or_dash(&owner.time),
            owns,
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..5).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", cells.join("   ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment() -> Value {
        json!({"metadata": {"managedFields": [
            {"manager": "kubectl", "operation": "Apply", "apiVersion": "apps/v1",
                "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {
                    "f:selector": {},
                    "f:template": {"f:spec": {"f:containers": {
                        "k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {},
                            "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":
                                {".": {}, "f:containerPort": {}}}}}}}}}},
            {"manager": "hpa", "operation": "Update", "apiVersion": "apps/v1",
                "subresource": "scale", "time": "2026-01-01T00:01:00Z",
                "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "labels", "operation": "Update", "apiVersion": "apps/v1",
                "time": "2026-01-01T00:02:00Z", "fieldsV1": {"f:metadata": {
                    "f:finalizers": {"v:\"example.com/hold\"": {}},
                    "f:labels": {".": {}, "f:app.kubernetes.io/name": {}}}}}]}})
    }

    fn check(field: &str, expect: &str) {
        let path = parse(field).expect("is a path");
        let owners = owners(&deployment(), &path);
        let shown: Vec<String> = owners
            .iter()
            .map(|owner| format!("{} {:?}", owner.manager, owner.hold))
            .collect();
        assert_eq!(shown.join("; "), expect, "{field}");
    }

    #[test]
    fn fields_have_owners() {
        check("spec.replicas", "hpa Itself");
        check(".spec.replicas", "hpa Itself");
        check("spec", "kubectl Below; hpa Below");
        check("spec.paused", "");
        check("spec.template.spec.containers[name=web]", "kubectl Itself");
        check(
            "spec.template.spec.containers[name=\"web\"].image",
            "kubectl Itself",
        );
        check("spec.template.spec.containers[name=other].image", "");
        check(
            "spec.template.spec.containers[name=web].ports[containerPort=80]",
            "kubectl Itself",
        );
        check(
            "metadata.labels[\"app.kubernetes.io/name\"]",
            "labels Itself",
        );
        check("metadata.finalizers[=example.com/hold]", "labels Itself");
        // What is taken as a whole is owned as one.
        check(
            "spec.selector.matchLabels",
            "kubectl Whole(\"spec.selector\")",
        );
    }

    #[test]
    fn what_is_no_path_is_told() {
        for text in ["", ".", "spec..replicas", "spec[name=x"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_line_for_each() {
        let path = parse("spec.replicas").expect("is a path");
        assert_eq!(
            table("spec.replicas", &owners(&deployment(), &path)),
            "MANAGER   OPERATION   SUBRESOURCE   TIME                   OWNS\n\
             hpa       Update      scale         2026-01-01T00:01:00Z   spec.replicas\n"
        );
        assert!(table("spec.x", &[]).starts_with("Nobody owns spec.x"));
    }
}
