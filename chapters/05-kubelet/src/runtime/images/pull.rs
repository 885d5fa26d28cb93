//! Images from registries.
//!
//! The protocol is `oci-client`'s; what is ours is what is asked for, in which order, and what the
//! user is told. Upstream: containerd `internal/cri/server/images/image_pull.go`.

use std::sync::Arc;
use std::time::Duration;

use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{ImageIndexEntry, OciDescriptor};
use oci_client::secrets::RegistryAuth;
use tokio::sync::Semaphore;

use super::archive::{architecture, has_layer, image_record, parse_config};
use super::builtin;
use super::reference::Reference;
use super::store::ImageStore;
use super::unpack::unpack_layer;
use crate::runtime::{PullAuth, Result, RuntimeError};

/// Layers that are on their way at once, as with containerd.
const CONCURRENT_LAYERS: usize = 3;
/// How long a registry may take to accept a connection, and to send the next bytes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Pulls images from registries.
#[derive(Debug, Clone)]
pub struct Puller {
    proxy: Option<String>,
}

impl Puller {
    /// Pulls through an HTTP proxy if one is given.
    pub fn new(proxy: Option<String>) -> Self {
        Puller { proxy }
    }

    /// Brings an image to a store; returns its id. A built-in image is there, or cannot be had.
    ///
    /// # Errors
    /// [`RuntimeError::InvalidImage`], or [`RuntimeError::Pull`] with containerd's message.
    pub async fn pull(
        &self,
        store: &ImageStore,
        image: &str,
        auth: Option<PullAuth>,
    ) -> Result<String> {
        let reference = Reference::parse(image)?;
        if builtin::is_builtin(&reference) {
            let missing = || {
                RuntimeError::Pull(format!(
                    "{image} is built in, but its program was not found: build the workspace's \
                     `echo` and `cluster` programs beside the one that runs this node"
                ))
            };
            return Ok(store.find(image)?.ok_or_else(missing)?.id);
        }
        self.pull_from_registry(store, &reference, auth)
            .await
            .map_err(|error| match error {
                Failure::Registry(error) => RuntimeError::Pull(format!(
                    "failed to pull and unpack image \"{reference}\": failed to resolve reference \
                 \"{reference}\": {}",
                    describe(&reference, &error)
                )),
                Failure::Store(error) => RuntimeError::Pull(format!(
                    "failed to pull and unpack image \"{reference}\": {error}"
                )),
            })
    }

    async fn pull_from_registry(
        &self,
        store: &ImageStore,
        reference: &Reference,
        auth: Option<PullAuth>,
    ) -> std::result::Result<String, Failure> {
        let client = Arc::new(self.client(reference));
        let auth = match auth {
            Some(auth) => RegistryAuth::Basic(auth.username, auth.password),
            None => RegistryAuth::Anonymous,
        };
        let remote = Arc::new(remote(reference)?);
        let (manifest, digest) = client.pull_image_manifest(&remote, &auth).await?;
        let mut config = Vec::new();
        client
            .pull_blob(&remote, &manifest.config, &mut config)
            .await?;
        let file = parse_config(&config)?;
        if file.diff_ids().len() != manifest.layers.len() {
            return Err(Failure::Store(
                "the config and the manifest name different layers".into(),
            ));
        }
        let permits = Arc::new(Semaphore::new(CONCURRENT_LAYERS));
        let layers = manifest.layers.into_iter().zip(file.diff_ids().to_vec());
        let tasks: Vec<_> = layers
            .map(|(layer, diff_id)| {
                let (client, remote, permits) = (client.clone(), remote.clone(), permits.clone());
                let store = store.clone();
                tokio::spawn(async move {
                    let _permit = permits.acquire().await;
                    pull_layer(&client, &remote, &store, layer, diff_id).await
                })
            })
            .collect();
        let mut size_bytes = 0;
        for task in tasks {
            size_bytes += task
                .await
                .map_err(|error| Failure::Store(error.to_string()))??;
        }
        let record = image_record(&config, file, size_bytes);
        let id = record.id.clone();
        let by_digest = format!("{}@{digest}", reference.name());
        store.add(record, &[reference.to_string(), by_digest])?;
        Ok(id)
    }

    fn client(&self, reference: &Reference) -> Client {
        let host = reference.registry.split(':').next().unwrap_or_default();
        let is_local = matches!(host, "localhost" | "127.0.0.1");
        let protocol = if is_local {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        };
        Client::new(ClientConfig {
            protocol,
            platform_resolver: Some(Box::new(this_platform)),
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            http_proxy: self.proxy.clone().filter(|_| !is_local),
            https_proxy: self.proxy.clone().filter(|_| !is_local),
            ..ClientConfig::default()
        })
    }
}

/// What went wrong, by whose fault.
enum Failure {
    Registry(OciDistributionError),
    Store(String),
}

impl From<OciDistributionError> for Failure {
    fn from(error: OciDistributionError) -> Self {
        Failure::Registry(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Store(error.to_string())
    }
}

fn remote(reference: &Reference) -> std::result::Result<oci_client::Reference, Failure> {
    let text = reference.to_string();
    text.parse()
        .map_err(|error| Failure::Store(format!("{text}: {error}")))
}

/// Of an index's images, the one for this machine.
fn this_platform(manifests: &[ImageIndexEntry]) -> Option<String> {
    let is_ours = |entry: &&ImageIndexEntry| {
        entry.platform.as_ref().is_some_and(|platform| {
            platform.os.to_string() == "linux"
                && platform.architecture.to_string() == architecture()
        })
    };
    manifests
        .iter()
        .find(is_ours)
        .map(|entry| entry.digest.clone())
}

/// Brings a layer to the store; the bytes of its files, if it was not there.
async fn pull_layer(
    client: &Client,
    remote: &oci_client::Reference,
    store: &ImageStore,
    layer: OciDescriptor,
    diff_id: String,
) -> std::result::Result<u64, Failure> {
    if has_layer(store, &diff_id) {
        return Ok(0);
    }
    let path = store.temporary();
    let file = tokio::fs::File::create(&path).await?;
    let pulled = async {
        client.pull_blob(remote, &layer, file).await?;
        let (store, path) = (store.clone(), path.clone());
        let unpacked = tokio::task::spawn_blocking(move || {
            unpack_layer(&store, std::fs::File::open(path)?, Some(&diff_id))
        });
        let layer = unpacked
            .await
            .map_err(|error| Failure::Store(error.to_string()))??;
        Ok(layer.size_bytes)
    };
    let size = pulled.await;
    let _ = std::fs::remove_file(path);
    size
}

/// What a registry's answer means to the user, in containerd's words.
fn describe(reference: &Reference, error: &OciDistributionError) -> String {
    let denied = || {
        "pull access denied, repository does not exist or may require authorization: server \
         message: insufficient_scope: authorization failed"
            .to_string()
    };
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => format!("{reference}: not found"),
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_) => denied(),
        OciDistributionError::ServerError { code: 404, .. } => format!("{reference}: not found"),
        OciDistributionError::ServerError {
            code: 401 | 403, ..
        } => denied(),
        OciDistributionError::RegistryError { envelope, .. } => {
            let is =
                |codes: &[OciErrorCode]| envelope.errors.iter().any(|e| codes.contains(&e.code));
            if is(&[OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown]) {
                format!("{reference}: not found")
            } else if is(&[OciErrorCode::Denied, OciErrorCode::Unauthorized]) {
                denied()
            } else {
                error.to_string()
            }
        }
        OciDistributionError::RequestError(request) => {
            format!("failed to do request: {}", chain(request))
        }
        error => error.to_string(),
    }
}

/// An error and all its causes: the outermost alone says only that a request failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}
