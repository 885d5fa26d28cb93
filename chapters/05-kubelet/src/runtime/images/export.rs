//! An image of the store as an archive, for runtimes that keep their own.
//!
//! The layout is that of `docker save`: `manifest.json`, the image's config, and a tar for each
//! layer, which the config names by the digest of its bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::store::{ImageConfig, ImageStore, io_error};
use crate::runtime::{Result, RuntimeError};

/// A file that is removed with its last owner.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _never_made = std::fs::remove_file(&self.0);
    }
}

impl ImageStore {
    /// Writes the image of a reference as an archive, under that reference.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`], or [`RuntimeError::Other`] when it cannot be read or written.
    pub fn export(&self, reference: &str) -> Result<Scratch> {
        let Some(image) = self.find(reference)? else {
            return Err(RuntimeError::NotFound(format!("image {reference:?}")));
        };
        let pack = || {
            // The store has the uppermost first, an image the lowest.
            let layers = image.layers.iter().rev().map(|layer| {
                let folder = self.layers_dir().join(layer);
                self.pack(|file| {
                    let mut tar = tar::Builder::new(file);
                    tar.follow_symlinks(false);
                    // GNU's entries of files with holes are not in the image specification.
                    tar.sparse(false);
                    tar.append_dir_all(".", &folder)?;
                    tar.into_inner()?.flush()
                })
            });
            let layers: Vec<Layer> = layers.collect::<io::Result<_>>()?;
            self.write(reference, &image.config, &layers)
        };
        pack().map_err(io_error)
    }

    /// Writes an image of one layer, a tar that `layer` writes, as an archive.
    ///
    /// # Errors
    /// [`RuntimeError::Other`] when it cannot be written.
    pub fn archive(
        &self,
        reference: &str,
        config: &ImageConfig,
        layer: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<Scratch> {
        let layer = self.pack(layer);
        let archive = layer.and_then(|layer| self.write(reference, config, &[layer]));
        archive.map_err(io_error)
    }

    /// Has a layer's tar written, and tells its digest.
    fn pack(&self, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<Layer> {
        let packed = Scratch(self.temporary());
        let mut file = File::create(&packed.0)?;
        write(&mut file)?;
        let digest = digest(File::open(&packed.0)?)?;
        Ok(Layer { packed, digest })
    }

    fn write(
        &self,
        reference: &str,
        config: &ImageConfig,
        layers: &[Layer],
    ) -> io::Result<Scratch> {
        let archive = Scratch(self.temporary());
        let mut tar = tar::Builder::new(File::create(&archive.0)?);
        tar.sparse(false);
        for layer in layers {
            tar.append_path_with_name(&layer.packed.0, layer.file_name())?;
        }
        let config = config_json(config, layers);
        let name = format!("{:x}.json", Sha256::digest(&config));
        append(&mut tar, &name, &config)?;
        let files: Vec<String> = layers.iter().map(Layer::file_name).collect();
        let manifest = json!([{ "Config": name, "RepoTags": [reference], "Layers": files }]);
        append(&mut tar, "manifest.json", manifest.to_string().as_bytes())?;
        tar.into_inner()?.flush()?;
        Ok(archive)
    }
}

/// A layer, packed.
struct Layer {
    packed: Scratch,
    /// Of the tar, without `sha256:`.
    digest: String,
}

impl Layer {
    fn file_name(&self) -> String {
        format!("{}.tar", self.digest)
    }
}

fn digest(mut file: File) -> io::Result<String> {
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(format!("{:x}", hash.finalize())),
            length => hash.update(&chunk[..length]),
        }
    }
}

/// The config of an image. OCI image specification, `config.md`.
fn config_json(config: &ImageConfig, layers: &[Layer]) -> Vec<u8> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let digests = layers
        .iter()
        .map(|layer| format!("sha256:{}", layer.digest));
    let text = json!({
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": digests.collect::<Vec<_>>() },
    });
    text.to_string().into_bytes()
}

fn append<W: Write>(tar: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom};

    /// The image of one layer that is a program with a hole in it.
    fn exported(dir: &Path) -> (ImageStore, Scratch) {
        let store = ImageStore::open(&dir.join("store")).unwrap();
        let config = ImageConfig {
            entrypoint: vec!["/x".to_owned()],
            ..ImageConfig::default()
        };
        let layer = |file: &mut File| {
            let mut tar = tar::Builder::new(file);
            let mut header = tar::Header::new_gnu();
            header.set_size(1);
            header.set_mode(0o755);
            tar.append_data(&mut header, "x", &b"x"[..])?;
            tar.into_inner()?.flush()
        };
        let archive = store.archive("docker.io/a/b:c", &config, layer).unwrap();
        (store, archive)
    }

    #[test]
    fn what_is_exported_can_be_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let (store, archive) = exported(dir.path());
        let names = super::super::load_archive(&store, archive.path()).unwrap();
        assert_eq!(names, ["docker.io/a/b:c"]);
        let again = store.export("a/b:c").unwrap();
        let names = super::super::load_archive(&store, again.path()).unwrap();
        assert_eq!(names.len(), 1);
        let record = store.find("a/b:c").unwrap().unwrap();
        assert_eq!(record.config.entrypoint, ["/x"]);
        let path = archive.path().to_owned();
        drop(archive);
        assert!(!path.exists());
    }

    #[test]
    fn files_with_holes_are_plain_files() {
        let dir = tempfile::tempdir().unwrap();
        let (store, archive) = exported(dir.path());
        super::super::load_archive(&store, archive.path()).unwrap();
        let record = store.find("a/b:c").unwrap().unwrap();
        let holey = store.layers_dir().join(&record.layers[0]).join("holey");
        let mut file = File::create(holey).unwrap();
        file.seek(SeekFrom::Start(1 << 20)).unwrap();
        file.write_all(b"end").unwrap();
        let archive = store.export("a/b:c").unwrap();
        let mut outer = tar::Archive::new(File::open(archive.path()).unwrap());
        let layer = outer.entries().unwrap().next().unwrap().unwrap();
        let mut inner = tar::Archive::new(layer);
        let kinds = inner.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            entry.header().entry_type()
        });
        let plain = [tar::EntryType::Regular, tar::EntryType::Directory];
        assert!(kinds.into_iter().all(|kind| plain.contains(&kind)));
    }
}
