//! The folder of images: an index, unpacked layers, and who stands on them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::builtin;
use super::reference::{Reference, is_digest};
use crate::runtime::sandbox::ImageUsers;
use crate::runtime::{Image, Result, RuntimeError};

/// What an image says about its processes. Upstream: OCI image-spec `config.md`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageConfig {
    /// The program.
    #[serde(deserialize_with = "null_as_default")]
    pub entrypoint: Vec<String>,
    /// Its arguments, or program and arguments if there is no entrypoint.
    #[serde(deserialize_with = "null_as_default")]
    pub cmd: Vec<String>,
    /// `NAME=value`.
    #[serde(deserialize_with = "null_as_default")]
    pub env: Vec<String>,
    /// Working directory.
    #[serde(deserialize_with = "null_as_default")]
    pub working_dir: String,
    /// `user`, `uid`, `user:group`.
    #[serde(deserialize_with = "null_as_default")]
    pub user: String,
    /// `SIGTERM` if it is empty.
    #[serde(deserialize_with = "null_as_default")]
    pub stop_signal: String,
}

/// Docker writes `null` where it means nothing.
pub(super) fn null_as_default<'de, D, T>(deserializer: D) -> std::result::Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// `sha256:…` of its config.
    pub id: String,
    /// What it says about its processes.
    pub config: ImageConfig,
    /// Names of its unpacked layers, the uppermost first.
    pub layers: Vec<String>,
    /// Files and folders of the machine that belong to it.
    pub host_paths: Vec<PathBuf>,
    /// Bytes on disk.
    pub size_bytes: u64,
}

impl ImageRecord {
    /// What a container's status calls its image.
    pub fn image_ref(&self) -> String {
        self.id.clone()
    }
}

/// References and images, as `index.json` has them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    /// Ids by reference, `docker.io/library/busybox:1.36` or by digest.
    pub references: BTreeMap<String, String>,
    /// Images by id.
    pub images: BTreeMap<String, ImageRecord>,
}

/// A folder of images, which several processes may use at once.
#[derive(Debug, Clone)]
pub struct ImageStore {
    dir: PathBuf,
}

impl ImageStore {
    /// Opens a store, makes it if it is not there, and puts the built-in images in it.
    ///
    /// # Errors
    /// [`RuntimeError::Other`] when the folder cannot be written.
    pub fn open(dir: &Path) -> Result<Self> {
        let wrong = |error: io::Error| {
            RuntimeError::Other(format!("image store {}: {error}", dir.display()))
        };
        for name in ["layers", "uses", "tmp"] {
            std::fs::create_dir_all(dir.join(name)).map_err(wrong)?;
        }
        let store = ImageStore {
            dir: std::path::absolute(dir).map_err(wrong)?,
        };
        builtin::install(&store).map_err(wrong)?;
        Ok(store)
    }

    /// Where the unpacked layers are.
    pub fn layers_dir(&self) -> PathBuf {
        self.dir.join("layers")
    }

    /// A path for something on its way, on the same file system.
    pub(super) fn temporary(&self) -> PathBuf {
        self.dir
            .join("tmp")
            .join(uuid::Uuid::new_v4().simple().to_string())
    }

    /// The image of a reference or id.
    ///
    /// # Errors
    /// [`RuntimeError::InvalidImage`] for what is neither.
    pub fn find(&self, image: &str) -> Result<Option<ImageRecord>> {
        let index = self.read_index().map_err(io_error)?;
        let id = match is_digest(image) {
            true => image.to_string(),
            false => {
                let mut reference = Reference::parse(image)?;
                match index.references.get(&reference.to_string()) {
                    Some(id) => id.clone(),
                    // Every version of a built-in image is the one that there is.
                    None if builtin::is_builtin(&reference) && reference.digest.is_none() => {
                        reference.tag = Some("latest".into());
                        match index.references.get(&reference.to_string()) {
                            Some(id) => id.clone(),
                            None => return Ok(None),
                        }
                    }
                    None => return Ok(None),
                }
            }
        };
        Ok(index.images.get(&id).cloned())
    }

    /// The image of a reference or id, as CRI describes it.
    ///
    /// # Errors
    /// [`RuntimeError::InvalidImage`] for what is neither.
    pub fn status(&self, image: &str) -> Result<Option<Image>> {
        let Some(record) = self.find(image)? else {
            return Ok(None);
        };
        Ok(self.list()?.into_iter().find(|image| image.id == record.id))
    }

    /// All images.
    ///
    /// # Errors
    /// [`RuntimeError::Other`] when the index cannot be read.
    pub fn list(&self) -> Result<Vec<Image>> {
        let index = self.read_index().map_err(io_error)?;
        let held = self.held().map_err(io_error)?;
        let describe = |record: &ImageRecord| {
            let of_image = index.references.iter().filter(|(_, id)| **id == record.id);
            let (repo_digests, repo_tags): (Vec<String>, Vec<String>) = of_image
                .map(|(reference, _)| reference.clone())
                .partition(|r| r.contains('@'));
            let mut references = repo_tags.iter().map(|tag| Reference::parse(tag));
            let names_builtin = references.any(|it| it.is_ok_and(|it| builtin::is_builtin(&it)));
            Image {
                id: record.id.clone(),
                repo_tags,
                repo_digests,
                size_bytes: record.size_bytes,
                user: record.config.user.clone(),
                // The machine's other nodes have containers, too.
                pinned: names_builtin || record.layers.iter().any(|layer| held.contains(layer)),
            }
        };
        Ok(index.images.values().map(describe).collect())
    }

    /// Removes a reference, or by id an image with all its references; then the layers that
    /// nothing stands on any more. Idempotent.
    ///
    /// # Errors
    /// [`RuntimeError::InvalidImage`], or [`RuntimeError::Other`] when the store cannot be written.
    pub fn remove(&self, image: &str) -> Result<()> {
        let name = match is_digest(image) {
            true => image.to_string(),
            false => Reference::parse(image)?.to_string(),
        };
        let change = |index: &mut Index| {
            index
                .references
                .retain(|reference, id| *reference != name && *id != name);
            let named: BTreeSet<String> = index.references.values().cloned().collect();
            index.images.retain(|id, _| named.contains(id));
        };
        self.change_index(change).map_err(io_error)
    }

    /// Who is known in an image.
    pub fn users(&self, image: &ImageRecord) -> ImageUsers {
        let read = |path: &str| {
            let layers = image
                .layers
                .iter()
                .map(|layer| self.layers_dir().join(layer).join(path));
            // The uppermost layer that has it. A symlink could lead out of the image.
            let mut files = layers.filter(|path| {
                std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
            });
            files
                .next()
                .and_then(|path| std::fs::read_to_string(path).ok())
                .unwrap_or_default()
        };
        ImageUsers {
            passwd: read("etc/passwd"),
            group: read("etc/group"),
        }
    }

    /// Takes note that a container stands on an image.
    ///
    /// # Errors
    /// As `write(2)`.
    pub fn hold(&self, container_id: &str, image: &ImageRecord) -> io::Result<()> {
        std::fs::write(
            self.dir.join("uses").join(container_id),
            image.layers.join("\n"),
        )
    }

    /// Takes note that a container is gone.
    pub fn release(&self, container_id: &str) {
        let _ = std::fs::remove_file(self.dir.join("uses").join(container_id));
    }

    /// Adds an image under some references.
    pub(super) fn add(&self, image: ImageRecord, references: &[String]) -> io::Result<()> {
        self.change_index(|index| {
            for reference in references {
                index.references.insert(reference.clone(), image.id.clone());
            }
            index.images.insert(image.id.clone(), image);
        })
    }

    pub(super) fn read_index(&self) -> io::Result<Index> {
        match std::fs::read(self.dir.join("index.json")) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Index::default()),
            Err(error) => Err(error),
        }
    }

    /// Changes the index while nobody else does, and removes the layers that nothing needs.
    pub(super) fn change_index(&self, change: impl FnOnce(&mut Index)) -> io::Result<()> {
        let lock = File::create(self.dir.join("lock"))?;
        lock.lock()?;
        let mut index = self.read_index()?;
        let layers = |index: &Index| -> BTreeSet<String> {
            index
                .images
                .values()
                .flat_map(|image| image.layers.iter().cloned())
                .collect()
        };
        let before = layers(&index);
        change(&mut index);
        let temporary = self.temporary();
        std::fs::write(&temporary, serde_json::to_vec_pretty(&index)?)?;
        std::fs::rename(&temporary, self.dir.join("index.json"))?;
        let after = layers(&index);
        let unneeded: Vec<&String> = before.difference(&after).collect();
        self.remove_layers(&unneeded)
    }

    /// The layers that containers stand on.
    fn held(&self) -> io::Result<BTreeSet<String>> {
        let mut held = BTreeSet::new();
        for entry in std::fs::read_dir(self.dir.join("uses"))? {
            // A container that is removed meanwhile holds nothing.
            let layers = std::fs::read_to_string(entry?.path()).unwrap_or_default();
            held.extend(layers.lines().map(str::to_string));
        }
        Ok(held)
    }

    fn remove_layers(&self, unneeded: &[&String]) -> io::Result<()> {
        if unneeded.is_empty() {
            return Ok(());
        }
        let in_use = self.held()?;
        for layer in unneeded.iter().filter(|layer| !in_use.contains(**layer)) {
            // Renamed first: a folder of that name is a whole layer, always.
            let aside = self.temporary();
            if std::fs::rename(self.layers_dir().join(layer), &aside).is_ok() {
                let _ = std::fs::remove_dir_all(aside);
            }
        }
        Ok(())
    }
}

pub(super) fn io_error(error: io::Error) -> RuntimeError {
    RuntimeError::Other(format!("image store: {error}"))
}
