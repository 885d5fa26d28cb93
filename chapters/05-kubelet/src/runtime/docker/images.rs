//! Images: the engine's.

use bollard::auth::DockerCredentials;
use bollard::models::ImageInspect;
use bollard::query_parameters::{CreateImageOptions, ListImagesOptions, RemoveImageOptions};
use futures::StreamExt;

use super::Inner;
use super::engine::{other, said};
use crate::runtime::images::{Reference, is_builtin};
use crate::runtime::{Image, PullAuth, Result, RuntimeError};

impl Inner {
    pub(super) async fn pull(&self, image: &str, auth: Option<PullAuth>) -> Result<String> {
        let reference = Reference::parse(image)?;
        if is_builtin(&reference)
            && let Some(found) = self.image(image).await?
        {
            // The workshop's own images are in no registry: the lab brought them.
            return Ok(found.id);
        }
        let options = CreateImageOptions {
            from_image: Some(reference.name()),
            tag: reference.digest.clone().or(reference.tag.clone()),
            ..CreateImageOptions::default()
        };
        let credentials = auth.map(|auth| DockerCredentials {
            username: Some(auth.username),
            password: Some(auth.password),
            serveraddress: Some(reference.registry.clone()),
            ..DockerCredentials::default()
        });
        let docker = &self.engine.docker;
        let mut steps = Box::pin(docker.create_image(Some(options), None, credentials));
        while let Some(step) = steps.next().await {
            step.map_err(|error| RuntimeError::Pull(said(&error)))?;
        }
        let found = self.image(image).await?;
        let missing = || RuntimeError::Pull(format!("{image} is not there after it was pulled"));
        Ok(found.ok_or_else(missing)?.id)
    }

    pub(super) async fn image(&self, image: &str) -> Result<Option<Image>> {
        if !image.starts_with("sha256:") {
            Reference::parse(image)?;
        }
        let inspect = self.engine.docker.inspect_image(image);
        match self.engine.look(image, inspect).await {
            Ok(found) => Ok(Some(describe(found))),
            Err(RuntimeError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn images(&self) -> Result<Vec<Image>> {
        let list = self.engine.docker.list_images(None::<ListImagesOptions>);
        let found = self.engine.look("the images", list).await?;
        let none = |name: &String| !name.starts_with("<none>");
        let is_machine = self.place.is_machine();
        let is_kept = |name: &String| {
            let reference = Reference::parse(name);
            *name == self.place.pause.image || reference.is_ok_and(|it| is_builtin(&it))
        };
        Ok(found
            .into_iter()
            .map(|image| Image {
                // Who shares a machine's engine does not clean it up.
                pinned: !is_machine || image.repo_tags.iter().any(is_kept),
                id: image.id,
                repo_tags: image.repo_tags.into_iter().filter(none).collect(),
                repo_digests: image.repo_digests.into_iter().filter(none).collect(),
                size_bytes: u64::try_from(image.size).unwrap_or(0),
                user: String::new(),
            })
            .collect())
    }

    /// Removes an image, unless the engine has images of others: who shares a machine's engine
    /// does not clean it up.
    pub(super) async fn remove_image(&self, image: &str) -> Result<()> {
        if !self.place.is_machine() {
            return Err(other(
                "this node shares its engine with others, and leaves their images alone",
            ));
        }
        let docker = &self.engine.docker;
        let remove = docker.remove_image(image, None::<RemoveImageOptions>, None);
        match self.engine.change(image, remove).await {
            Ok(_) | Err(RuntimeError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn describe(found: ImageInspect) -> Image {
    Image {
        pinned: false,
        id: found.id.unwrap_or_default(),
        repo_tags: found.repo_tags.unwrap_or_default(),
        repo_digests: found.repo_digests.unwrap_or_default(),
        size_bytes: found
            .size
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or(0),
        user: found
            .config
            .and_then(|config| config.user)
            .unwrap_or_default(),
    }
}
