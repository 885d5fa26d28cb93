//! From a container's spec to what the runtime is asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::Api;

use crate::context::Context;
use crate::decide::env::{self, EnvInput, Objects};
use crate::decide::fields::PodAddresses;
use crate::decide::status::Waiting;
use crate::decide::{dns, mounts, ports, qos, quantity, security, spec, static_pod, sysctls};
use crate::runtime::{
    ContainerConfig, Features, Image, Mount, PodMetadata, QOS_LABEL, SandboxConfig, Security,
    UserRange,
};
use crate::volumes::{Mounted, sub_path};

/// Label under which a container's termination message file is kept with it.
pub const TERMINATION_LABEL: &str = "io.kubernetes.container.terminationMessageFile";

/// How large a file with environment variables may be: as large as a config map.
const ENV_FILE_BYTES_MAX: u64 = 1 << 20;

/// What a pod's sandbox is made from. `users` are its own, if it has some.
pub fn sandbox_config(
    context: &Context,
    pod: &Pod,
    attempt: u32,
    handler: &str,
    users: Option<UserRange>,
) -> SandboxConfig {
    let pod_spec = spec::of(pod);
    let metadata = PodMetadata {
        name: pod.metadata.name.clone().unwrap_or_default(),
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        attempt,
    };
    let security = pod_spec.security_context.as_ref();
    let sysctls = security
        .and_then(|security| security.sysctls.as_deref())
        .unwrap_or_default();
    SandboxConfig {
        hostname: dns::kernel_hostname(pod, &context.dns),
        resolv_conf: dns::resolv_conf(pod, &context.dns),
        hosts: dns::hosts(pod, &context.dns),
        log_directory: context.log_dir(&metadata.namespace, &metadata.name, &metadata.uid),
        host_network: spec::host_network(pod),
        host_pid: pod_spec.host_pid.unwrap_or(false),
        host_ipc: pod_spec.host_ipc.unwrap_or(false),
        share_process_namespace: pod_spec.share_process_namespace.unwrap_or(false),
        sysctls: sysctls
            .iter()
            .map(|s| (sysctls::with_dots(&s.name), s.value.clone()))
            .collect(),
        port_mappings: ports::mappings(pod),
        runtime_handler: handler.to_owned(),
        privileged: security::has_privileged(pod),
        users,
        metadata,
    }
}

/// The handler that a pod's RuntimeClass names; none without a class.
///
/// # Errors
/// When there is no such class, or the API server cannot be asked.
pub async fn runtime_handler(context: &Context, pod: &Pod) -> Result<String, String> {
    let Some(name) = &spec::of(pod).runtime_class_name else {
        return Ok(String::new());
    };
    let classes: Api<RuntimeClass> = Api::all(context.client.clone());
    match classes.get_opt(name).await {
        Ok(Some(class)) => Ok(class.handler),
        Ok(None) => Err(format!("runtimeclass.node.k8s.io {name:?} not found")),
        Err(error) => Err(format!("failed to lookup RuntimeClass {name}: {error}")),
    }
}

/// A container that is to be started.
pub struct Launch<'a> {
    /// Its pod.
    pub pod: &'a Pod,
    /// Its spec.
    pub container: &'a ContainerSpec,
    /// How many of its name came before.
    pub attempt: u32,
    /// The image's id on the node.
    pub image_id: &'a str,
    /// The pod's volumes, by name.
    pub volumes: &'a BTreeMap<String, Mounted>,
    /// Addresses of the pod and its node.
    pub addresses: &'a PodAddresses,
    /// Id of the container whose process namespace it shares.
    pub pid_target: Option<String>,
}

impl Launch<'_> {
    /// What the runtime is asked for.
    ///
    /// # Errors
    /// What the container waits for: `CreateContainerConfigError` and its message.
    pub async fn config(&self, context: &Context) -> Result<ContainerConfig, Waiting> {
        let container = self.container;
        let env = self.env(context).await?;
        let expand = |text: &String| {
            env::expand(text, |name| {
                env.iter().find(|(n, _)| n == name).map(|(_, value)| value)
            })
        };
        let expand_all = |list: &Option<Vec<String>>| -> Vec<String> {
            list.iter().flatten().map(expand).collect()
        };
        let security = self.security(context).await?;
        let mut mounts = self.mounts(context.runtime.features(), &expand)?;
        let mut labels = self.labels();
        if let Some(message_file) = self.termination_file(context).await? {
            let inside = container
                .termination_message_path
                .as_deref()
                .filter(|p| !p.is_empty());
            mounts.push(Mount {
                host_path: message_file.clone(),
                container_path: PathBuf::from(inside.unwrap_or("/dev/termination-log")),
                read_only: false,
                ..Mount::default()
            });
            labels.insert(
                TERMINATION_LABEL.to_owned(),
                message_file.display().to_string(),
            );
        }
        let resources = container.resources.clone().unwrap_or_default();
        let limits = resources.limits.unwrap_or_default();
        let requests = resources.requests.unwrap_or_default();
        Ok(ContainerConfig {
            name: container.name.clone(),
            attempt: self.attempt,
            image_id: self.image_id.to_owned(),
            image: container.image.clone().unwrap_or_default(),
            command: expand_all(&container.command),
            args: expand_all(&container.args),
            working_dir: container.working_dir.clone().unwrap_or_default(),
            mounts,
            log_path: PathBuf::from(&container.name).join(format!("{}.log", self.attempt)),
            stdin: container.stdin.unwrap_or(false),
            stdin_once: container.stdin_once.unwrap_or(false),
            tty: container.tty.unwrap_or(false),
            security,
            memory_limit_bytes: limits.get("memory").map(quantity::value),
            cpu_limit_millis: limits.get("cpu").map(quantity::milli_value),
            cpu_request_millis: requests.get("cpu").map(quantity::milli_value),
            pid_target: self.pid_target.clone(),
            labels,
            env,
        })
    }

    async fn env(&self, context: &Context) -> Result<Vec<(String, String)>, Waiting> {
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let (config_maps, secrets) = env::references(self.container);
        let mut objects = Objects::default();
        let unreadable = |error: crate::Error| config_error(error.to_string());
        for name in config_maps {
            let found = context
                .objects
                .config_map(namespace, name)
                .await
                .map_err(unreadable)?;
            if let Some(map) = found {
                objects.config_maps.insert(name.to_owned(), (*map).clone());
            }
        }
        for name in secrets {
            let found = context
                .objects
                .secret(namespace, name)
                .await
                .map_err(unreadable)?;
            if let Some(secret) = found {
                objects.secrets.insert(name.to_owned(), (*secret).clone());
            }
        }
        for (volume, path) in env::file_references(self.container) {
            let mounted = self.volumes.get(volume).ok_or_else(|| {
                config_error(format!(
                    "cannot find the volume \"{volume}\" referenced by FileKeyRef"
                ))
            })?;
            let read = sub_path::read_file(&mounted.path, Path::new(path), ENV_FILE_BYTES_MAX);
            let text = read.map_err(|error| config_error(error.to_string()))?;
            let place = (volume.to_owned(), path.to_owned());
            objects.files.extend(text.map(|text| (place, text)));
        }
        let mut services = context.services.clone();
        let listed = if static_pod::is_static(self.pod) {
            // It may be the API server that is being started.
            services.borrow().clone()
        } else {
            // A container must not start without knowing the API server's address.
            let listed = services.wait_for(Option::is_some).await;
            listed.ok().and_then(|list| list.clone())
        };
        let list = listed.unwrap_or_default();
        let services = env::service_env(self.pod, list.iter());
        let input = EnvInput {
            pod: self.pod,
            addresses: self.addresses,
            objects: &objects,
            services: &services,
            allocatable: &context.allocatable,
        };
        env::container_env(self.container, &input).map_err(config_error)
    }

    fn mounts(
        &self,
        features: Features,
        expand: &impl Fn(&String) -> String,
    ) -> Result<Vec<Mount>, Waiting> {
        let mut mounts = Vec::new();
        for mount in self.container.volume_mounts.iter().flatten() {
            let Some(volume) = self.volumes.get(&mount.name) else {
                let name = &self.container.name;
                return Err(config_error(format!(
                    "cannot find volume \"{}\" to mount into container \"{name}\"",
                    mount.name
                )));
            };
            let part = match (&mount.sub_path, &mount.sub_path_expr) {
                (_, Some(expression)) if !expression.is_empty() => expand(expression),
                (Some(path), _) => path.clone(),
                _ => String::new(),
            };
            let host_path = if part.is_empty() {
                volume.path.clone()
            } else {
                sub_path::resolve(&volume.path, Path::new(&part)).map_err(|error| {
                    config_error(format!(
                        "failed to prepare subPath for volumeMount \"{}\" of container \"{}\": \
                         {error}",
                        mount.name, self.container.name
                    ))
                })?
            };
            mounts.push(Mount {
                host_path,
                container_path: Path::new("/").join(&mount.mount_path),
                read_only: mount.read_only.unwrap_or(false)
                    || volume.read_only
                    || self.shows_content(&mount.name),
                recursive_read_only: mounts::recursive_read_only(mount, features)
                    .map_err(config_error)?,
                propagation: mounts::propagation(mount),
            });
        }
        // Outer folders first, so that a mount inside another is not covered by it.
        mounts.sort_by_key(|mount| mount.container_path.components().count());
        Ok(mounts)
    }

    /// Volumes that show what the API or an image holds cannot be written.
    fn shows_content(&self, volume: &str) -> bool {
        let volumes = spec::of(self.pod).volumes.as_deref().unwrap_or_default();
        volumes.iter().filter(|v| v.name == volume).any(|v| {
            v.config_map.is_some()
                || v.secret.is_some()
                || v.projected.is_some()
                || v.downward_api.is_some()
                || v.image.is_some()
        })
    }

    /// The file that the container may leave a message in, new and writable by any user.
    async fn termination_file(&self, context: &Context) -> Result<Option<PathBuf>, Waiting> {
        use std::os::unix::fs::PermissionsExt;
        let uid = self.pod.metadata.uid.as_deref().unwrap_or_default();
        let folder = context
            .pod_dir(uid)
            .join("containers")
            .join(&self.container.name);
        let path = folder.join(format!("{}.message", self.attempt));
        let made = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&path, ""))
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)));
        match made {
            Ok(()) => Ok(Some(path)),
            Err(error) => Err(Waiting {
                reason: "CreateContainerError".to_owned(),
                message: format!("{}: {error}", path.display()),
            }),
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let meta = &self.pod.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        BTreeMap::from([
            ("io.kubernetes.pod.name".to_owned(), text(&meta.name)),
            (
                "io.kubernetes.pod.namespace".to_owned(),
                text(&meta.namespace),
            ),
            ("io.kubernetes.pod.uid".to_owned(), text(&meta.uid)),
            (QOS_LABEL.to_owned(), qos::qos_class(self.pod).to_owned()),
            (
                "io.kubernetes.container.name".to_owned(),
                self.container.name.clone(),
            ),
            (
                spec::HASH_LABEL.to_owned(),
                spec::container_hash(self.container),
            ),
        ])
    }

    /// What it may do.
    async fn security(&self, context: &Context) -> Result<Security, Waiting> {
        let profiles = context.config.root_dir.join("seccomp");
        let security = security::security(self.pod, self.container, &profiles);
        let security = security.map_err(config_error)?;
        let own = self.container.security_context.as_ref();
        let own = own.and_then(|own| own.run_as_non_root);
        let pod = spec::of(self.pod).security_context.as_ref();
        if own.or(pod.and_then(|pod| pod.run_as_non_root)) == Some(true) {
            let image = context.runtime.image_status(self.image_id).await;
            let image = image.ok().flatten();
            let user = security.run_as_user;
            check_non_root(self.pod, self.container, user, image.as_ref())?;
        }
        Ok(security)
    }
}

/// Upstream: `kuberuntime/security_context.go: verifyRunAsNonRoot`.
fn check_non_root(
    pod: &Pod,
    container: &ContainerSpec,
    run_as_user: Option<u32>,
    image: Option<&Image>,
) -> Result<(), Waiting> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let where_ = format!("(pod: \"{name}\", container: {})", container.name);
    let image_user = image
        .map(|image| image.user.split(':').next().unwrap_or(""))
        .unwrap_or("");
    match run_as_user {
        Some(0) => Err(config_error(format!(
            "container's runAsUser breaks non-root policy {where_}"
        ))),
        Some(_) => Ok(()),
        None => match image_user.parse::<u32>() {
            Ok(0) => Err(config_error(format!(
                "container has runAsNonRoot and image will run as root {where_}"
            ))),
            Ok(_) => Ok(()),
            Err(_) if image_user.is_empty() => Err(config_error(format!(
                "container has runAsNonRoot and image will run as root {where_}"
            ))),
            Err(_) => Err(config_error(format!(
                "container has runAsNonRoot and image has non-numeric user ({image_user}), cannot \
                 verify user is non-root {where_}"
            ))),
        },
    }
}

fn config_error(message: String) -> Waiting {
    Waiting {
        reason: "CreateContainerConfigError".to_owned(),
        message,
    }
}
