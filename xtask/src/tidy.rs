//! `cargo xtask tidy`: what a reviewer should not have to look for.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::build::{cargo, root};

/// Runs every check, and names those that fail.
pub fn run() -> Result<()> {
    type Check = (&'static str, fn() -> Result<()>);
    let checks: [Check; 4] = [
        ("the chapters' order", chapters_order),
        ("the book", || {
            cargo_ok(&["run", "--quiet", "-p", "bookbinder", "--", "--check"])
        }),
        ("format", || cargo_ok(&["fmt", "--all", "--check"])),
        ("clippy", || {
            cargo_ok(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ])
        }),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        match check() {
            Ok(()) => eprintln!("✓ {name}"),
            Err(error) => {
                eprintln!("✗ {name}: {error:#}");
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("not tidy: {}", failed.join(", "));
    }
    Ok(())
}

fn cargo_ok(args: &[&str]) -> Result<()> {
    let status = cargo().args(args).current_dir(root()).status();
    if !status.context("cannot run cargo")?.success() {
        bail!("`cargo {}` fails", args.join(" "));
    }
    Ok(())
}

/// The part of `cargo metadata` that is looked at.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

fn chapters_order() -> Result<()> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root())
        .output()
        .context("cannot run cargo")?;
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cannot read cargo's metadata")?;
    let problems = order_problems(&metadata.packages);
    if !problems.is_empty() {
        bail!("\n  {}", problems.join("\n  "));
    }
    Ok(())
}

/// The number of a chapter's package: its folder is `chapters/NN-name`.
fn chapter(package: &Package) -> Option<u32> {
    let (_, rest) = package.manifest_path.rsplit_once("chapters/")?;
    rest.split('-').next()?.parse().ok()
}

/// Which dependencies break the rule: lower numbers only, and only as the real component would.
/// The API server alone opens the store; what speaks to the API server links neither it nor its
/// fellows; the distribution puts all together.
fn order_problems(packages: &[Package]) -> Vec<String> {
    let number_of = |name: &str| {
        packages
            .iter()
            .find(|package| package.name == name)
            .and_then(chapter)
    };
    let mut problems = Vec::new();
    for package in packages {
        let Some(own) = chapter(package) else {
            problems.extend(below_chapters(package, number_of));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|it| it.path.is_some()) {
            let Some(other) = number_of(&dependency.name) else {
                continue;
            };
            // A test may bring up what the component meets over the network.
            let for_tests = dependency.kind.as_deref() == Some("dev");
            let (name, on) = (&package.name, &dependency.name);
            if other >= own {
                problems.push(format!(
                    "{name} (chapter {own}) depends on {on} (chapter {other})"
                ));
            } else if !for_tests && !may_link(name, on) {
                problems.push(format!(
                    "{name} links {on}, which it should meet over the network"
                ));
            }
        }
    }
    problems
}

/// What lies below the chapters links none of them.
fn below_chapters(package: &Package, number_of: impl Fn(&str) -> Option<u32>) -> Vec<String> {
    if !package.manifest_path.contains("/support/") && !package.manifest_path.contains("/images/") {
        return Vec::new();
    }
    let chapters = package
        .dependencies
        .iter()
        .filter(|it| number_of(&it.name).is_some());
    chapters
        .map(|it| format!("{} links the chapter {}", package.name, it.name))
        .collect()
}

fn may_link(package: &str, on: &str) -> bool {
    match package {
        "cluster" => true,
        "apiserver" => on == "etcd",
        "controllers" => on == "informers",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, folder: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.into(),
            manifest_path: format!("/w/{folder}/Cargo.toml"),
            dependencies: dependencies
                .iter()
                .map(|name| Dependency {
                    name: (*name).into(),
                    kind: None,
                    path: Some("/w".into()),
                })
                .collect(),
        }
    }

    #[test]
    fn components_meet_over_the_network() {
        let packages = [
            package("component", "support/component", &["etcd"]),
            package("etcd", "chapters/02-etcd", &["apiserver"]),
            package("apiserver", "chapters/03-apiserver", &["etcd", "component"]),
            package("kubelet", "chapters/05-kubelet", &["apiserver", "etcd"]),
            package(
                "cluster",
                "chapters/09-cluster",
                &["etcd", "apiserver", "kubelet"],
            ),
        ];
        assert_eq!(
            order_problems(&packages),
            [
                "component links the chapter etcd",
                "etcd (chapter 2) depends on apiserver (chapter 3)",
                "kubelet links apiserver, which it should meet over the network",
                "kubelet links etcd, which it should meet over the network",
            ]
        );
    }
}
