//! Images behind CRI: pulled by the runtime, but for those that the workshop brings along.

use std::time::{Duration, Instant};

use super::convert;
use super::messages as cri;
use super::{CriRuntime, LIST_DEADLINE, RETRY, import, other, pause};
use crate::runtime::images::{ImageStore, Reference, Scratch, is_builtin};
use crate::runtime::{Image, PullAuth, Result, RuntimeError};
use grpc::client::Status;

/// How long a pull may take. Upstream has no limit while it makes progress.
const PULL_DEADLINE: Duration = Duration::from_secs(1800);

impl CriRuntime {
    pub(super) async fn pull(&self, image: &str, auth: Option<PullAuth>) -> Result<String> {
        if is_brought_along(image)? {
            return self.bring(image).await;
        }
        let request = cri::PullImageRequest {
            image: Some(cri::ImageSpec {
                image: full_name(image)?,
            }),
            auth: auth.map(|auth| cri::AuthConfig {
                username: auth.username,
                password: auth.password,
            }),
        };
        let pulled = self.client.call(&request, PULL_DEADLINE).await;
        let reference = pulled.map_err(pull_error)?.image_ref;
        match self.ask_image(&reference).await? {
            Some(image) => Ok(image.id),
            None => Err(RuntimeError::Pull(format!("{reference} is gone again"))),
        }
    }

    pub(super) async fn find_image(&self, image: &str) -> Result<Option<Image>> {
        let name = full_name(image)?;
        let found = self.ask_image(&name).await?;
        if found.is_none() && is_brought_along(image)? {
            self.bring(image).await?;
            return self.ask_image(&name).await;
        }
        Ok(found)
    }

    /// What an image takes from the machine: nothing, unless it is one of the workshop's.
    pub(super) fn host_mounts(&self, image: &str) -> Result<Vec<cri::Mount>> {
        if !is_brought_along(image)? {
            return Ok(Vec::new());
        }
        let record = self.images.find(image)?;
        let paths = record.map(|record| record.host_paths).unwrap_or_default();
        let mounts = paths.iter().map(|path| convert::read_only_mount(path));
        Ok(mounts.collect())
    }

    /// Sees to it that the runtime has one of the workshop's images. Returns its id.
    async fn bring(&self, image: &str) -> Result<String> {
        let name = full_name(image)?;
        if self.images.find(image)?.is_none() {
            return Err(RuntimeError::Pull(format!(
                "{image} is not on this machine"
            )));
        }
        let reference = name.clone();
        self.bring_archive(&name, move |store| store.export(&reference))
            .await
    }

    /// Sees to it that the runtime has the image that sandboxes are made of.
    pub(super) async fn bring_pause(&self) -> Result<()> {
        let brought = self.bring_archive(pause::REFERENCE, pause::archive).await;
        brought.map(drop)
    }

    /// Imports what `archive` writes, unless an image of that name is there.
    async fn bring_archive(
        &self,
        name: &str,
        archive: impl FnOnce(&ImageStore) -> Result<Scratch> + Send + 'static,
    ) -> Result<String> {
        let _one_at_a_time = self.importing.lock().await;
        if let Some(found) = self.ask_image(name).await? {
            return Ok(found.id);
        }
        let store = self.images.clone();
        let written = tokio::task::spawn_blocking(move || archive(&store)).await;
        let archive = written
            .map_err(other)
            .and_then(|written| written)
            .map_err(|error| RuntimeError::Pull(error.to_string()))?;
        import::import(self.client.socket(), archive.path()).await?;
        // The runtime's CRI side hears of it from the other side of the same program.
        let began = Instant::now();
        loop {
            match self.ask_image(name).await? {
                Some(found) => return Ok(found.id),
                None if began.elapsed() > LIST_DEADLINE => {
                    let message = format!("{name} was imported but is not there");
                    return Err(RuntimeError::Pull(message));
                }
                None => tokio::time::sleep(RETRY).await,
            }
        }
    }

    async fn ask_image(&self, name: &str) -> Result<Option<Image>> {
        let request = cri::ImageStatusRequest {
            image: Some(cri::ImageSpec {
                image: name.to_owned(),
            }),
        };
        let reply = self.client.call(&request, LIST_DEADLINE).await;
        Ok(reply.map_err(other)?.image.map(convert::image))
    }
}

/// The name that the runtime knows an image by. Every version of one of the workshop's is the one
/// that there is.
pub fn full_name(image: &str) -> Result<String> {
    if is_id(image) {
        return Ok(image.to_owned());
    }
    let mut reference = Reference::parse(image)?;
    if is_builtin(&reference) && reference.digest.is_none() {
        reference.tag = Some("latest".to_owned());
    }
    Ok(reference.to_string())
}

fn is_brought_along(image: &str) -> Result<bool> {
    Ok(!is_id(image) && is_builtin(&Reference::parse(image)?))
}

fn is_id(image: &str) -> bool {
    image.starts_with("sha256:")
}

/// Upstream's messages of images that cannot be pulled begin like this, whatever the runtime.
fn pull_error(status: Status) -> RuntimeError {
    RuntimeError::Pull(status.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole() {
        let name = |image| full_name(image).unwrap();
        assert_eq!(name("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(name("workshop/echo:v7"), "docker.io/workshop/echo:latest");
        assert_eq!(name("sha256:00"), "sha256:00");
        assert!(full_name("UPPER").is_err());
    }
}
