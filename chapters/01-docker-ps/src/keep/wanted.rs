//! The file: the containers that should run.
//!
//! ```yaml
//! containers:
//!   - name: web
//!     image: workshop/echo
//!     env: { PORT: "8081" }
//!     network: none
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Not optional: a file that was cut off must not mean that nothing is wanted.
    containers: Vec<Wanted>,
}

/// One container that should run. Upstream: `v1.Container` in k8s.io/api/core/v1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Its name, which is also how it is found again.
    pub name: String,
    /// The image, as `docker run` takes it. It has to be on the engine.
    pub image: String,
    /// What to run instead of the image's entrypoint.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// What to run, or the arguments of the entrypoint.
    #[serde(default)]
    pub command: Vec<String>,
    /// Variables of its environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// `bridge`, `host`, `none`, `container:NAME` or a network's name.
    #[serde(default)]
    pub network: Option<String>,
    /// Labels of the reader's own.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `/on/the/host:/in/the/container`, or `volume:/in/the/container`.
    #[serde(default)]
    pub volumes: Vec<String>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct Unusable {
    file: String,
    reason: String,
}

impl Wanted {
    /// A short name for all that is said about it: another hash, another container.
    pub fn hash(&self) -> String {
        // Maps are sorted, so the same text comes out each time.
        let text = serde_json::to_string(self).expect("texts, lists and maps can be written");
        let digest = Sha256::digest(text);
        digest[..5]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Reads the file.
///
/// # Errors
/// If it cannot be read, is no YAML, has unknown fields, or names something twice.
pub fn read(path: &Path) -> Result<Vec<Wanted>, Unusable> {
    let unusable = |reason: String| Unusable {
        file: path.display().to_string(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    parse(&text).map_err(unusable)
}

fn parse(text: &str) -> Result<Vec<Wanted>, String> {
    let file: File = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let mut names = BTreeSet::new();
    for wanted in &file.containers {
        if wanted.name.is_empty() || wanted.image.is_empty() {
            return Err("a container needs a name and an image".into());
        }
        if !names.insert(&wanted.name) {
            return Err(format!("two containers are named {}", wanted.name));
        }
    }
    Ok(file.containers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_what_is_wrong_with_it_is_said() {
        let web = "containers:\n- {name: web, image: echo, env: {PORT: '80'}, network: none}\n";
        let wanted = parse(web).unwrap();
        assert_eq!(wanted[0].env["PORT"], "80");
        assert_eq!(wanted[0].network.as_deref(), Some("none"));

        let twice = format!("{web}- {{name: web, image: other}}\n");
        assert_eq!(parse(&twice).unwrap_err(), "two containers are named web");
        assert!(parse("").is_err() && parse("containers:").is_err());
        assert_eq!(parse("containers: []"), Ok(Vec::new()));
        let unknown = parse("containers:\n- {name: web, image: echo, imgae: x}\n").unwrap_err();
        assert!(unknown.contains("imgae"), "{unknown}");
        assert_eq!(
            parse("containers:\n- {name: '', image: echo}\n").unwrap_err(),
            "a container needs a name and an image"
        );
    }

    #[test]
    fn every_field_is_in_the_hash_and_the_order_of_maps_is_not() {
        let hash = |text: &str| {
            let text = format!("containers:\n- {{name: a, image: b{text}}}\n");
            parse(&text).unwrap()[0].hash()
        };
        let others = [
            "",
            ", command: [x]",
            ", entrypoint: [x]",
            ", env: {A: '1', B: '2'}",
            ", network: none",
            ", labels: {x: y}",
            ", volumes: ['a:/b']",
        ];
        let hashes: BTreeSet<String> = others.iter().map(|text| hash(text)).collect();
        assert_eq!(hashes.len(), others.len());
        assert_eq!(
            hash(", env: {A: '1', B: '2'}"),
            hash(", env: {B: '2', A: '1'}")
        );
    }
}
