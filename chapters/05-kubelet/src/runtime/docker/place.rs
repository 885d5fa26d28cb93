//! Where this kubelet is, as the engine sees it: pure but for asking the engine once.
//!
//! On a machine of its own, a path of the node is the engine's path too. In a lab the node is a
//! container itself: its files are in volumes, which the engine has under other paths, and "the
//! node's network" is that container's.
//!
//! ```text
//!   node       /var/lib/workshop/nodes/worker-1/pods/…    volume workshop-lab-worker-1-var on /var
//!   engine     /var/lib/docker/volumes/workshop-lab-worker-1-var/_data/lib/workshop/…
//! ```

use std::path::{Path, PathBuf};

use super::engine::Engine;
use crate::runtime::{Result, RuntimeError};

/// What every container of this engine has of the machine anyway: the same for node and engine.
const KERNEL_PATHS: [&str; 3] = ["/dev", "/proc", "/sys"];

/// The program that holds a pod's namespaces: upstream's image runs it by itself; a node that is
/// a container has it in its own image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pause {
    /// The image.
    pub image: String,
    /// What to run of it; the image's own entrypoint if left out.
    pub entrypoint: Option<Vec<String>>,
}

/// How the program of a node's image is told to hold a pod.
const NODE_PAUSE: [&str; 2] = ["/cluster", "pause"];

/// Where the kubelet is.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// What pause containers run.
    pub pause: Pause,
    /// Id of the container that is the node; none where the machine is.
    container: Option<String>,
    /// Folders of the node and what they are to the engine.
    mounts: Vec<(PathBuf, PathBuf)>,
}

impl Place {
    /// Asks the engine what the container called `name` is made of. No name: the machine itself,
    /// whose pods are held by `pause_image`.
    ///
    /// # Errors
    /// When there is no such container.
    pub async fn find(engine: &Engine, name: Option<&str>, pause_image: &str) -> Result<Place> {
        let Some(name) = name else {
            let pause = Pause {
                image: pause_image.to_owned(),
                entrypoint: None,
            };
            return Ok(Place {
                pause,
                ..Place::default()
            });
        };
        let found = engine.inspect(name).await?;
        let mounts = found.mounts.unwrap_or_default().into_iter();
        let mounts = mounts
            .filter_map(|mount| Some((mount.destination?.into(), mount.source?.into())))
            .collect();
        Ok(Place {
            pause: Pause {
                image: found.image.unwrap_or_default(),
                entrypoint: Some(NODE_PAUSE.map(str::to_owned).to_vec()),
            },
            container: found.id,
            mounts,
        })
    }

    /// Whether the engine is this node's alone; if not, it has images and more of others.
    pub fn is_machine(&self) -> bool {
        self.container.is_none()
    }

    /// Docker's word for a namespace that is the node's own.
    pub fn own_namespace(&self) -> String {
        match &self.container {
            Some(id) => format!("container:{id}"),
            None => "host".to_owned(),
        }
    }

    /// The engine's path of a file of the node.
    ///
    /// # Errors
    /// [`RuntimeError::Create`] for what is in no volume: nothing but this node can have it.
    pub fn engine_path(&self, path: &Path) -> Result<PathBuf> {
        let is_kernels = KERNEL_PATHS.iter().any(|kernels| path.starts_with(kernels));
        if self.is_machine() || is_kernels {
            return Ok(path.to_owned());
        }
        let around = self
            .mounts
            .iter()
            .filter_map(|(inside, outside)| Some((outside, path.strip_prefix(inside).ok()?)));
        // The innermost mount is the one that shows.
        let innermost = around.min_by_key(|(_, rest)| rest.components().count());
        match innermost {
            Some((outside, rest)) if rest.as_os_str().is_empty() => Ok(outside.clone()),
            Some((outside, rest)) => Ok(outside.join(rest)),
            None => Err(RuntimeError::Create(format!(
                "{} of the node cannot be shared: the node is a container, and this path is in \
                 none of its volumes",
                path.display()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_volumes() {
        let pair = |inside: &str, outside: &str| (inside.into(), outside.into());
        let place = Place {
            pause: Pause::default(),
            container: Some("0a".into()),
            mounts: vec![
                pair("/var", "/volumes/var/_data"),
                pair("/var/run/docker.sock", "/run/docker.sock"),
            ],
        };
        let path = |path: &str| {
            let found = place.engine_path(Path::new(path));
            found.map(|path| path.display().to_string())
        };
        assert_eq!(path("/var/lib/x").unwrap(), "/volumes/var/_data/lib/x");
        assert_eq!(path("/var").unwrap(), "/volumes/var/_data");
        assert_eq!(path("/var/run/docker.sock").unwrap(), "/run/docker.sock");
        assert_eq!(path("/dev/null").unwrap(), "/dev/null");
        assert!(matches!(path("/variable"), Err(RuntimeError::Create(_))));
        assert_eq!(place.own_namespace(), "container:0a");
        let machine = Place::default();
        assert_eq!(machine.own_namespace(), "host");
        assert_eq!(
            machine.engine_path(Path::new("/x")).unwrap(),
            Path::new("/x")
        );
    }
}
