//! Images for containers: pull policy, credentials, back-off, and the events that tell of it.
//!
//! A pull may take minutes, and a pod must be deletable meanwhile, so pulls run beside the pod's
//! worker: [`Images::ensure`] says where a container's image stands, and wakes the worker when
//! that changes. Upstream: `pkg/kubelet/images/image_manager.go`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::context::Context;
use crate::decide::backoff::Backoff;
use crate::decide::pull_policy::default_pull_policy;
use crate::decide::spec;
use crate::decide::status::Waiting;
use crate::events::Severity;
use crate::runtime::{ContainerRuntime, PullAuth, RuntimeError};

/// Where a container's image stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// On the node, under this id.
    Present(String),
    /// Being pulled; the worker will be woken.
    Pulling,
    /// Cannot be had now; look again after the delay.
    Failed(Waiting, SignedDuration),
}

/// The images that one pod's containers wait for.
pub struct Images {
    context: Arc<Context>,
    /// Whose images they are.
    runtime: Arc<dyn ContainerRuntime>,
    wake: Arc<Notify>,
    pulls: Arc<Mutex<HashMap<String, Pull>>>,
    backoff: Backoff,
    /// From the start of the first pull to the end of the last.
    pulling: Arc<Mutex<Option<(Instant, Instant)>>>,
}

enum Pull {
    Running(AbortHandle),
    Done(Result<String, RuntimeError>),
    Failed { at: Timestamp, error: String },
}

impl Images {
    /// For a worker that is woken through `wake`.
    pub fn new(context: Arc<Context>, wake: Arc<Notify>) -> Images {
        Images {
            runtime: context.runtime.clone(),
            context,
            wake,
            pulls: Arc::default(),
            backoff: Backoff::new(),
            pulling: Arc::default(),
        }
    }

    /// Goes on with another runtime, as the pod's handler wants.
    pub fn set_runtime(&mut self, runtime: Arc<dyn ContainerRuntime>) {
        self.runtime = runtime;
    }

    /// The runtime whose images they are.
    pub fn runtime(&self) -> &dyn ContainerRuntime {
        &*self.runtime
    }

    /// Where a container's image stands; starts a pull if one is due.
    pub async fn ensure(&mut self, pod: &Pod, container: &Container) -> Standing {
        let image = container.image.clone().unwrap_or_default();
        let done = {
            let mut pulls = self.pulls.lock().expect("no panics inside");
            match pulls.remove(&container.name) {
                None => None,
                Some(Pull::Running(handle)) => {
                    pulls.insert(container.name.clone(), Pull::Running(handle));
                    return Standing::Pulling;
                }
                Some(done) => Some(done),
            }
        };
        match done {
            Some(Pull::Done(Ok(id))) => {
                self.backoff.reset(&image);
                return Standing::Present(id);
            }
            Some(Pull::Done(Err(error))) => return self.pull_failed(pod, container, error),
            Some(Pull::Failed { at, error }) => {
                if let Some(left) = self.backoff.remaining(&image, at, Timestamp::now()) {
                    self.remember(
                        container,
                        Pull::Failed {
                            at,
                            error: error.clone(),
                        },
                    );
                    return self.backing_off(pod, container, &error, left);
                }
                self.backoff.next(&image, at, Timestamp::now());
            }
            Some(Pull::Running(_)) | None => {}
        }
        self.look(pod, container, image).await
    }

    /// How long images were pulled, from the first to the last.
    pub fn time_of_pulls(&self) -> Duration {
        let pulling = self.pulling.lock().expect("no panics inside");
        pulling.map_or(Duration::ZERO, |(first, last)| last - first)
    }

    /// Forgets pulls and their back-off: the containers' images changed, or the pod is gone.
    pub fn forget(&mut self) {
        for (_, pull) in self.pulls.lock().expect("no panics inside").drain() {
            if let Pull::Running(handle) = pull {
                handle.abort();
            }
        }
    }

    async fn look(&mut self, pod: &Pod, container: &Container, image: String) -> Standing {
        let recorder = &self.context.recorder;
        let name = &container.name;
        let policy = container
            .image_pull_policy
            .as_deref()
            .unwrap_or_else(|| default_pull_policy(&image));
        let present = if policy == "Always" {
            None
        } else {
            match self.runtime.image_status(&image).await {
                Ok(found) => found,
                Err(RuntimeError::InvalidImage(why)) => {
                    let message = format!("Failed to apply default image tag \"{image}\": {why}");
                    let warning = Severity::Warning;
                    recorder.container(pod, name, warning, "InspectFailed", message.clone());
                    return failed("InvalidImageName", message);
                }
                Err(error) => {
                    let message = format!("Failed to inspect image \"{image}\": {error}");
                    let warning = Severity::Warning;
                    recorder.container(pod, name, warning, "InspectFailed", message.clone());
                    return failed("ImageInspectError", message);
                }
            }
        };
        if let Some(found) = present {
            let message = format!(
                "Container image \"{image}\" already present on machine and can be accessed by the pod"
            );
            recorder.container(pod, name, Severity::Normal, "Pulled", message);
            return Standing::Present(found.id);
        }
        if policy == "Never" {
            let message =
                format!("Container image \"{image}\" is not present with pull policy of Never");
            let reason = "ErrImageNeverPull";
            recorder.container(pod, name, Severity::Warning, reason, message.clone());
            return failed(reason, message);
        }
        self.start_pull(pod, container, image);
        Standing::Pulling
    }

    fn start_pull(&self, pod: &Pod, container: &Container, image: String) {
        let (context, runtime) = (self.context.clone(), self.runtime.clone());
        let wake = self.wake.clone();
        let (pulls, pulling) = (self.pulls.clone(), self.pulling.clone());
        let (pod, name) = (pod.clone(), container.name.clone());
        let task = tokio::spawn({
            let name = name.clone();
            async move {
                let began = Instant::now();
                let done = pull(&context, &*runtime, &pod, &name, &image).await;
                let mut times = pulling.lock().expect("no panics inside");
                *times = Some((times.map_or(began, |(first, _)| first), Instant::now()));
                drop(times);
                pulls
                    .lock()
                    .expect("no panics inside")
                    .insert(name, Pull::Done(done));
                wake.notify_one();
            }
        });
        // One thread runs both, so the task has not ended before it is recorded here.
        self.pulls
            .lock()
            .expect("no panics inside")
            .insert(name, Pull::Running(task.abort_handle()));
    }

    fn pull_failed(&mut self, pod: &Pod, container: &Container, error: RuntimeError) -> Standing {
        let image = container.image.as_deref().unwrap_or_default();
        let text = error.to_string();
        let warning = Severity::Warning;
        let name = &container.name;
        let recorder = &self.context.recorder;
        if matches!(error, RuntimeError::InvalidImage(_)) {
            let message = format!("Failed to apply default image tag \"{image}\": {text}");
            recorder.container(pod, name, warning, "InspectFailed", message.clone());
            return failed("InvalidImageName", message);
        }
        let message = format!("Failed to pull image \"{image}\": {text}");
        recorder.container(pod, name, warning, "Failed", message);
        recorder.container(
            pod,
            name,
            warning,
            "Failed",
            "Error: ErrImagePull".to_owned(),
        );
        let at = Timestamp::now();
        if self.backoff.delay(image).is_none() {
            self.backoff.next(image, at, at);
        }
        let left = self.backoff.remaining(image, at, at).unwrap_or_default();
        self.remember(
            container,
            Pull::Failed {
                at,
                error: text.clone(),
            },
        );
        // Shown as the error it is until the worker looks again a little later.
        let waiting = Waiting {
            reason: "ErrImagePull".to_owned(),
            message: text,
        };
        Standing::Failed(waiting, left.min(SignedDuration::from_secs(2)))
    }

    fn backing_off(
        &self,
        pod: &Pod,
        container: &Container,
        error: &str,
        left: SignedDuration,
    ) -> Standing {
        let image = container.image.as_deref().unwrap_or_default();
        let recorder = &self.context.recorder;
        let name = &container.name;
        let message = format!("Back-off pulling image \"{image}\"");
        recorder.container(pod, name, Severity::Normal, "BackOff", message.clone());
        let text = "Error: ImagePullBackOff".to_owned();
        recorder.container(pod, name, Severity::Warning, "Failed", text);
        let reason = "ImagePullBackOff".to_owned();
        let message = format!("{message}: ErrImagePull: {error}");
        // Told again now and then, as upstream does at each sync.
        Standing::Failed(
            Waiting { reason, message },
            left.min(SignedDuration::from_secs(15)),
        )
    }

    fn remember(&self, container: &Container, pull: Pull) {
        self.pulls
            .lock()
            .expect("no panics inside")
            .insert(container.name.clone(), pull);
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        self.forget();
    }
}

fn failed(reason: &str, message: String) -> Standing {
    let waiting = Waiting {
        reason: reason.to_owned(),
        message,
    };
    Standing::Failed(waiting, SignedDuration::from_secs(10))
}

async fn pull(
    context: &Context,
    runtime: &dyn ContainerRuntime,
    pod: &Pod,
    container: &str,
    image: &str,
) -> Result<String, RuntimeError> {
    let recorder = &context.recorder;
    let normal = Severity::Normal;
    recorder.container(
        pod,
        container,
        normal,
        "Pulling",
        format!("Pulling image \"{image}\""),
    );
    let started = Instant::now();
    let auth = credentials(context, pod, image).await;
    let id = runtime.pull_image(image, auth).await?;
    let took = started.elapsed().as_millis();
    let took = if took < 1000 {
        format!("{took}ms")
    } else {
        format!("{}.{:03}s", took / 1000, took % 1000)
    };
    let size = match runtime.image_status(&id).await {
        Ok(Some(found)) => found.size_bytes,
        _ => 0,
    };
    let message = format!(
        "Successfully pulled image \"{image}\" in {took} ({took} including waiting). \
         Image size: {size} bytes."
    );
    recorder.container(pod, container, normal, "Pulled", message);
    Ok(id)
}

/// The credentials for an image from the pod's `imagePullSecrets`, the first that fit.
async fn credentials(context: &Context, pod: &Pod, image: &str) -> Option<PullAuth> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    for reference in spec::of(pod).image_pull_secrets.iter().flatten() {
        match context.objects.secret(namespace, &reference.name).await {
            Ok(Some(secret)) => {
                if let Some(auth) = auth_for(&secret, image) {
                    return Some(auth);
                }
            }
            Ok(None) => {
                let message = format!(
                    "Unable to retrieve some image pull secrets ({}); attempting to pull the \
                     image may not succeed.",
                    reference.name
                );
                let reason = "FailedToRetrieveImagePullSecret";
                context
                    .recorder
                    .pod(pod, Severity::Warning, reason, message);
            }
            Err(error) => tracing::warn!(%error, secret = reference.name, "pull secret not read"),
        }
    }
    None
}

/// Looks up an image's registry in a `kubernetes.io/dockerconfigjson` (or older) secret.
fn auth_for(secret: &Secret, image: &str) -> Option<PullAuth> {
    let data = secret.data.as_ref()?;
    let entries: serde_json::Value = if let Some(config) = data.get(".dockerconfigjson") {
        let mut config: serde_json::Value = serde_json::from_slice(&config.0).ok()?;
        config["auths"].take()
    } else {
        serde_json::from_slice(&data.get(".dockercfg")?.0).ok()?
    };
    let registry = registry_of(image);
    let (_, entry) = entries.as_object()?.iter().find(|(server, _)| {
        let server = server
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        let host = server.split('/').next().unwrap_or(server);
        host == registry || (registry == "docker.io" && host == "index.docker.io")
    })?;
    if let Some(encoded) = entry["auth"].as_str() {
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .ok()?;
        let (username, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        return Some(PullAuth {
            username: username.to_owned(),
            password: password.to_owned(),
        });
    }
    Some(PullAuth {
        username: entry["username"].as_str()?.to_owned(),
        password: entry["password"].as_str()?.to_owned(),
    })
}

/// The registry of an image reference; `docker.io` where it names none.
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_the_registry_s_credentials() {
        let config = json!({ "auths": {
            "https://index.docker.io/v1/": { "auth": "dTpw" },
            "registry.example:5000": { "username": "a", "password": "b" },
        }});
        let mut secret = Secret::default();
        let bytes = k8s_openapi::ByteString(config.to_string().into_bytes());
        secret.data = Some([(".dockerconfigjson".to_owned(), bytes)].into());
        let user = |image| auth_for(&secret, image).map(|auth| auth.username);
        assert_eq!(user("busybox").as_deref(), Some("u"));
        assert_eq!(user("registry.example:5000/x/y:1").as_deref(), Some("a"));
        assert_eq!(user("quay.io/x/y:1"), None);
    }
}
