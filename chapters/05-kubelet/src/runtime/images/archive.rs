//! Images from files: what `docker save` and `skopeo copy … oci-archive:` write.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::reference::{Reference, is_digest};
use super::store::{ImageConfig, ImageRecord, ImageStore, io_error, null_as_default};
use super::unpack::{decompressed, invalid, layer_name, unpack_layer, unpack_tar};
use crate::runtime::{Result, RuntimeError};

/// Longest JSON document of an image that is read.
const DOCUMENT_LEN_MAX: u64 = 8 << 20;

/// An image's config file. Upstream: OCI image-spec `config.md`.
#[derive(Debug, Deserialize)]
pub(super) struct ConfigFile {
    #[serde(default, deserialize_with = "null_as_default")]
    config: ImageConfig,
    rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    #[serde(default, deserialize_with = "null_as_default")]
    diff_ids: Vec<String>,
}

/// An image of `docker save`'s `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default, deserialize_with = "null_as_default")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    layers: Vec<String>,
}

/// An OCI index or manifest: which it is shows in what it has.
#[derive(Debug, Deserialize)]
struct OciDocument {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Debug, Clone, Deserialize)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

/// Brings the images of a docker-archive or OCI-layout tar, gzipped or not, to a store; returns
/// their references.
///
/// # Errors
/// [`RuntimeError::Other`] for a file that is neither, or tries to lead out of itself.
pub fn load_archive(store: &ImageStore, path: &Path) -> Result<Vec<String>> {
    let wrong =
        |error: io::Error| RuntimeError::Other(format!("loading {}: {error}", path.display()));
    let file = File::open(path).map_err(wrong)?;
    let dir = store.temporary();
    std::fs::create_dir(&dir).map_err(io_error)?;
    let loaded = decompressed(file)
        .and_then(|tar| unpack_tar(tar, &dir, false))
        .and_then(|_| Archive::open(&dir)?.load(store));
    let _ = std::fs::remove_dir_all(&dir);
    loaded.map_err(wrong)
}

/// An unpacked archive. Its paths are resolved inside it, wherever its symlinks point.
struct Archive {
    root: std::os::fd::OwnedFd,
}

impl Archive {
    fn open(dir: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Archive {
            root: rustix::fs::open(dir, flags, Mode::empty())?,
        })
    }

    fn file(&self, path: &str) -> io::Result<File> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat2(&self.root, path, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(File::from(fd)),
            Err(error) => {
                let error = io::Error::from(error);
                Err(io::Error::new(
                    error.kind(),
                    format!("{path} in the archive: {error}"),
                ))
            }
        }
    }

    fn document(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(path)?
            .take(DOCUMENT_LEN_MAX)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The blob of that digest, which it has to have.
    fn blob(&self, digest: &str) -> io::Result<Vec<u8>> {
        let bytes = self.document(&blob_path(digest)?)?;
        if format!("sha256:{:x}", Sha256::digest(&bytes)) != digest {
            return Err(invalid(format!("blob {digest} has another content")));
        }
        Ok(bytes)
    }

    fn load(&self, store: &ImageStore) -> io::Result<Vec<String>> {
        match self.document("manifest.json") {
            Ok(manifest) => self.load_docker(store, &manifest),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match self.document("index.json") {
                    Ok(index) => self.load_oci(store, &index),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Err(invalid(
                        "neither a docker-archive (manifest.json) nor an OCI layout (index.json)"
                            .into(),
                    )),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn load_docker(&self, store: &ImageStore, manifest: &[u8]) -> io::Result<Vec<String>> {
        let images: Vec<DockerImage> = serde_json::from_slice(manifest)?;
        let mut loaded = Vec::new();
        for image in images {
            let config = self.document(&image.config)?;
            let references = names(&image.repo_tags)?;
            loaded.extend(self.add(store, &config, &image.layers, references)?);
        }
        Ok(loaded)
    }

    fn load_oci(&self, store: &ImageStore, index: &[u8]) -> io::Result<Vec<String>> {
        let index: OciDocument = serde_json::from_slice(index)?;
        let mut loaded = Vec::new();
        for descriptor in &index.manifests {
            let name = [
                "io.containerd.image.name",
                "org.opencontainers.image.ref.name",
            ]
            .iter()
            .find_map(|key| descriptor.annotations.get(*key))
            .filter(|name| name.contains(['/', ':']) || Reference::parse(name).is_ok());
            let Some(manifest) = self.manifest(descriptor)? else {
                continue;
            };
            let Some(config) = &manifest.config else {
                return Err(invalid(format!(
                    "{} is no image manifest",
                    descriptor.digest
                )));
            };
            let config = self.blob(&config.digest)?;
            let layers: io::Result<Vec<String>> = manifest
                .layers
                .iter()
                .map(|layer| blob_path(&layer.digest))
                .collect();
            let references = names(&name.cloned().into_iter().collect::<Vec<_>>())?;
            loaded.extend(self.add(store, &config, &layers?, references)?);
        }
        Ok(loaded)
    }

    /// The image manifest behind a descriptor: itself, or this platform's of an index.
    fn manifest(&self, descriptor: &Descriptor) -> io::Result<Option<OciDocument>> {
        let document: OciDocument = serde_json::from_slice(&self.blob(&descriptor.digest)?)?;
        if document.manifests.is_empty() {
            return Ok(Some(document));
        }
        let ours = document.manifests.iter().find(|candidate| {
            candidate.platform.as_ref().is_none_or(|platform| {
                platform.os == "linux" && platform.architecture == architecture()
            })
        });
        // One level of index is what tools write; a deeper one has no image of ours at its end.
        let Some(ours) = ours else { return Ok(None) };
        let document: OciDocument = serde_json::from_slice(&self.blob(&ours.digest)?)?;
        Ok(document.config.is_some().then_some(document))
    }

    fn add(
        &self,
        store: &ImageStore,
        config: &[u8],
        layers: &[String],
        references: Vec<String>,
    ) -> io::Result<Vec<String>> {
        let file: ConfigFile = serde_json::from_slice(config)?;
        if file.rootfs.diff_ids.len() != layers.len() {
            return Err(invalid(
                "the config and the manifest name different layers".into(),
            ));
        }
        let mut size_bytes = 0;
        for (layer, diff_id) in layers.iter().zip(&file.rootfs.diff_ids) {
            if !has_layer(store, diff_id) {
                size_bytes += unpack_layer(store, self.file(layer)?, Some(diff_id))?.size_bytes;
            }
        }
        let record = image_record(config, file, size_bytes);
        // An image without a name is known by its id.
        let id = vec![record.id.clone()];
        store.add(record, &references)?;
        Ok(if references.is_empty() {
            id
        } else {
            references
        })
    }
}

/// Reads an image's config file.
pub(super) fn parse_config(config: &[u8]) -> io::Result<ConfigFile> {
    Ok(serde_json::from_slice(config)?)
}

impl ConfigFile {
    /// `sha256:…` of each layer's tar, the lowest first.
    pub(super) fn diff_ids(&self) -> &[String] {
        &self.rootfs.diff_ids
    }
}

/// Whether the layer is unpacked in the store already.
pub(super) fn has_layer(store: &ImageStore, diff_id: &str) -> bool {
    is_digest(diff_id) && store.layers_dir().join(layer_name(diff_id)).exists()
}

/// The image that a config file describes, its layers being in the store.
pub(super) fn image_record(config: &[u8], file: ConfigFile, size_bytes: u64) -> ImageRecord {
    let mut layers: Vec<String> = file
        .rootfs
        .diff_ids
        .iter()
        .map(|id| layer_name(id))
        .collect();
    layers.reverse();
    // Two empty layers are the same layer, and overlay takes each only once.
    let mut seen = std::collections::BTreeSet::new();
    layers.retain(|layer| seen.insert(layer.clone()));
    ImageRecord {
        id: format!("sha256:{:x}", Sha256::digest(config)),
        config: file.config,
        layers,
        host_paths: Vec::new(),
        size_bytes,
    }
}

/// This machine's architecture, as images name it.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn names(tags: &[String]) -> io::Result<Vec<String>> {
    let parse = |tag: &String| Reference::parse(tag).map(|reference| reference.to_string());
    tags.iter()
        .map(parse)
        .collect::<Result<_>>()
        .map_err(|error| invalid(error.to_string()))
}

fn blob_path(digest: &str) -> io::Result<String> {
    match is_digest(digest) {
        true => Ok(digest.replace(':', "/")).map(|path| format!("blobs/{path}")),
        false => Err(invalid(format!("{digest:?} is no digest"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tar of these entries: a path and its content, or `None` and a symlink's target.
    fn tar(entries: &[(&str, Option<&[u8]>, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content, link) in entries {
            let mut header = tar::Header::new_gnu();
            let name = &mut header.as_old_mut().name;
            name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_mode(0o644);
            match content {
                Some(content) => {
                    header.set_size(content.len() as u64);
                    header.set_cksum();
                    builder.append(&header, *content).unwrap();
                }
                None => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
                    header.set_size(0);
                    header.set_cksum();
                    builder.append(&header, io::empty()).unwrap();
                }
            }
        }
        builder.into_inner().unwrap()
    }

    fn digest(bytes: &[u8]) -> String {
        format!("sha256:{:x}", Sha256::digest(bytes))
    }

    fn store() -> (tempfile::TempDir, ImageStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(&dir.path().join("images")).unwrap();
        (dir, store)
    }

    fn docker_archive(layer: &[u8], diff_id: &str, layer_path: &str) -> Vec<u8> {
        let config = format!(
            r#"{{"config":{{"Cmd":["/a"],"Env":null}},"rootfs":{{"diff_ids":["{diff_id}"]}}}}"#
        );
        let manifest =
            format!(r#"[{{"Config":"c.json","RepoTags":["a/b:v1"],"Layers":["{layer_path}"]}}]"#);
        tar(&[
            ("manifest.json", Some(manifest.as_bytes()), ""),
            ("c.json", Some(config.as_bytes()), ""),
            ("l.tar", Some(layer), ""),
            ("link.tar", None, "/l.tar"),
        ])
    }

    fn load(store: &ImageStore, dir: &Path, archive: &[u8]) -> Result<Vec<String>> {
        let path = dir.join("archive.tar");
        std::fs::write(&path, archive).unwrap();
        load_archive(store, &path)
    }

    #[test]
    fn a_docker_archive() {
        let (dir, store) = store();
        let layer = tar(&[("bin/a", Some(b"hello"), ""), ("link", None, "/bin/a")]);
        // Older versions of Docker write a layer that is there twice as a symlink.
        let archive = docker_archive(&layer, &digest(&layer), "link.tar");
        assert_eq!(
            load(&store, dir.path(), &archive).unwrap(),
            ["docker.io/a/b:v1"]
        );
        let image = store.find("a/b:v1").unwrap().unwrap();
        assert_eq!(image.config.cmd, ["/a"]);
        let unpacked = store.layers_dir().join(&image.layers[0]);
        assert_eq!(std::fs::read(unpacked.join("bin/a")).unwrap(), b"hello");
        store.remove("a/b:v1").unwrap();
        assert!(store.find("a/b:v1").unwrap().is_none());
        assert!(!unpacked.exists());
    }

    #[test]
    fn an_oci_layout() {
        let (dir, store) = store();
        let layer = tar(&[("a", Some(b"x"), "")]);
        let config = format!(r#"{{"rootfs":{{"diff_ids":["{}"]}}}}"#, digest(&layer));
        let manifest = format!(
            r#"{{"config":{{"digest":"{}"}},"layers":[{{"digest":"{}"}}]}}"#,
            digest(config.as_bytes()),
            digest(&layer)
        );
        let index = format!(
            r#"{{"manifests":[{{"digest":"{}","annotations":{{"io.containerd.image.name":"x"}}}}]}}"#,
            digest(manifest.as_bytes())
        );
        let blob = |bytes: &[u8]| blob_path(&digest(bytes)).unwrap();
        let entries = |manifest_content: &[u8]| {
            tar(&[
                ("index.json", Some(index.as_bytes()), ""),
                (&blob(manifest.as_bytes()), Some(manifest_content), ""),
                (&blob(config.as_bytes()), Some(config.as_bytes()), ""),
                (&blob(&layer), Some(&layer), ""),
            ])
        };
        let archive = entries(manifest.as_bytes());
        let loaded = load(&store, dir.path(), &archive).unwrap();
        assert_eq!(loaded, ["docker.io/library/x:latest"]);
        let error = load(&store, dir.path(), &entries(b"{}"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("has another content"), "{error}");
    }

    #[test]
    fn hostile_layers() {
        let (dir, store) = store();
        let outside = dir.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        let up = "../".repeat(12) + outside.to_str().unwrap().trim_start_matches('/');
        let layers = [
            tar(&[("../x", Some(b"x"), "")]),
            tar(&[("a/../../x", Some(b"x"), "")]),
            // Absolute and climbing symlinks are followed inside the layer only, where these lead
            // nowhere.
            tar(&[
                ("l", None, outside.to_str().unwrap()),
                ("l/x", Some(b"x"), ""),
            ]),
            tar(&[
                ("l", None, &up[..up.len().min(99)]),
                ("l/x", Some(b"x"), ""),
            ]),
            tar(&[
                (".wh...", Some(b""), ""),
                ("a/.wh.", Some(b""), ""),
                ("/x", Some(b"x"), ""),
            ]),
        ];
        for (number, layer) in layers.iter().enumerate() {
            let archive = docker_archive(layer, &digest(layer), "l.tar");
            let loaded = load(&store, dir.path(), &archive);
            assert_eq!(loaded.is_err(), number < 7, "{number}: {loaded:?}");
            assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "{number}");
        }
        let layer = tar(&[("a", Some(b"x"), "")]);
        let archive = docker_archive(&layer, &digest(b"something else"), "l.tar");
        assert!(load(&store, dir.path(), &archive).is_err());
        for wrong in [&b""[..], b"no tar at all", &archive[..700]] {
            assert!(load(&store, dir.path(), wrong).is_err());
        }
        // Nothing that failed is left behind.
        let left = std::fs::read_dir(dir.path().join("images/tmp"))
            .unwrap()
            .count();
        assert_eq!(left, 0);
    }
}
