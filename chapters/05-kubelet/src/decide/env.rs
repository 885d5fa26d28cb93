//! A container's environment, and `$(NAME)` in it.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVarSource, FileKeySelector, Pod, Secret, Service, ServicePort,
};

use super::fields::{self, PodAddresses};
use super::{env_file, spec};

/// Config maps and secrets of the pod's namespace, by name, and files of the pod's volumes; those
/// that do not exist are not in it.
#[derive(Debug, Default)]
pub struct Objects {
    /// Config maps.
    pub config_maps: HashMap<String, ConfigMap>,
    /// Secrets.
    pub secrets: HashMap<String, Secret>,
    /// What files hold, by volume and path.
    pub files: HashMap<(String, String), String>,
}

/// All that an environment is made from.
#[derive(Debug, Clone, Copy)]
pub struct EnvInput<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its addresses.
    pub addresses: &'a PodAddresses,
    /// What it refers to.
    pub objects: &'a Objects,
    /// From [`service_env`].
    pub services: &'a BTreeMap<String, String>,
    /// What the node has to give, by resource.
    pub allocatable: &'a BTreeMap<String, String>,
}

/// The environment of a container: services, then `envFrom`, then `env`, the later of a name wins.
///
/// # Errors
/// What the container is waiting for, for `CreateContainerConfigError`:
/// `configmap "app" not found`.
pub fn container_env(
    container: &Container,
    input: &EnvInput<'_>,
) -> Result<Vec<(String, String)>, String> {
    let mut env = Env::default();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            match input.objects.config_maps.get(&reference.name) {
                Some(map) => env.set_all(prefix, map.data.iter().flatten()),
                None if reference.optional == Some(true) => {}
                None => return Err(format!("configmap \"{}\" not found", reference.name)),
            }
        }
        if let Some(reference) = &source.secret_ref {
            match input.objects.secrets.get(&reference.name) {
                Some(secret) => {
                    let data = secret.data.iter().flatten();
                    let data: Vec<_> = data.map(|(k, v)| (k, utf8(&v.0))).collect();
                    env.set_all(prefix, data.iter().map(|(k, v)| (*k, v)));
                }
                None if reference.optional == Some(true) => {}
                None => return Err(format!("secret \"{}\" not found", reference.name)),
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(text), _) if !text.is_empty() => expand(text, |name| {
                env.get(name).or_else(|| input.services.get(name))
            }),
            (_, Some(source)) => match from_source(container, source, input)? {
                Some(value) => value,
                None => continue,
            },
            _ => String::new(),
        };
        env.set(&variable.name, value);
    }
    for (name, value) in input.services {
        if env.get(name).is_none() {
            env.set(name, value.clone());
        }
    }
    Ok(env.0)
}

/// The names of config maps and secrets that a container's environment refers to.
pub fn references(container: &Container) -> (Vec<&str>, Vec<&str>) {
    let (mut config_maps, mut secrets) = (Vec::new(), Vec::new());
    for source in container.env_from.iter().flatten() {
        config_maps.extend(source.config_map_ref.iter().map(|r| r.name.as_str()));
        secrets.extend(source.secret_ref.iter().map(|r| r.name.as_str()));
    }
    for source in container
        .env
        .iter()
        .flatten()
        .filter_map(|v| v.value_from.as_ref())
    {
        config_maps.extend(source.config_map_key_ref.iter().map(|r| r.name.as_str()));
        secrets.extend(source.secret_key_ref.iter().map(|r| r.name.as_str()));
    }
    (config_maps, secrets)
}

/// The files that a container's environment refers to, by volume and path.
pub fn file_references(container: &Container) -> Vec<(&str, &str)> {
    let sources = container.env.iter().flatten();
    let sources = sources.filter_map(|variable| variable.value_from.as_ref());
    sources
        .filter_map(|source| source.file_key_ref.as_ref())
        .map(|reference| (reference.volume_name.as_str(), reference.path.as_str()))
        .collect()
}

/// The value of a variable in a file.
fn from_file(reference: &FileKeySelector, objects: &Objects) -> Result<Option<String>, String> {
    let FileKeySelector { key, path, .. } = reference;
    let optional = reference.optional == Some(true);
    let place = (reference.volume_name.clone(), path.clone());
    let Some(text) = objects.files.get(&place) else {
        return missing(
            optional,
            format!("environment variable file \"{path}\" not found"),
        );
    };
    let mut variables = env_file::parse(text)
        .map_err(|wrong| format!("couldn't parse environment variable file \"{path}\": {wrong}"))?;
    match variables.remove(key) {
        Some(value) => Ok(Some(value)),
        None => missing(
            optional,
            format!("environment variable key \"{key}\" not found in file \"{path}\""),
        ),
    }
}

fn from_source(
    container: &Container,
    source: &EnvVarSource,
    input: &EnvInput<'_>,
) -> Result<Option<String>, String> {
    let pod = input.pod;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(reference) = &source.field_ref {
        fields::field(pod, &reference.field_path, input.addresses).map(Some)
    } else if let Some(reference) = &source.resource_field_ref {
        fields::resource(pod, &container.name, reference, input.allocatable).map(Some)
    } else if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let (name, key) = (&reference.name, &reference.key);
        let Some(map) = input.objects.config_maps.get(name) else {
            return missing(optional, format!("configmap \"{name}\" not found"));
        };
        match map.data.as_ref().and_then(|data| data.get(key)) {
            Some(value) => Ok(Some(value.clone())),
            None => missing(
                optional,
                format!("couldn't find key {key} in ConfigMap {namespace}/{name}"),
            ),
        }
    } else if let Some(reference) = &source.secret_key_ref {
        let optional = reference.optional == Some(true);
        let (name, key) = (&reference.name, &reference.key);
        let Some(secret) = input.objects.secrets.get(name) else {
            return missing(optional, format!("secret \"{name}\" not found"));
        };
        match secret.data.as_ref().and_then(|data| data.get(key)) {
            Some(value) => Ok(Some(utf8(&value.0))),
            None => missing(
                optional,
                format!("couldn't find key {key} in Secret {namespace}/{name}"),
            ),
        }
    } else if let Some(reference) = &source.file_key_ref {
        from_file(reference, input.objects)
    } else {
        Err("this kind of valueFrom is not supported by this kubelet".to_owned())
    }
}

fn missing(optional: bool, message: String) -> Result<Option<String>, String> {
    if optional { Ok(None) } else { Err(message) }
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Variables in the order they were first set.
#[derive(Default)]
struct Env(Vec<(String, String)>);

impl Env {
    fn get(&self, name: &str) -> Option<&String> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value)
    }

    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some(variable) => variable.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn set_all<'a>(&mut self, prefix: &str, data: impl Iterator<Item = (&'a String, &'a String)>) {
        for (key, value) in data {
            let name = format!("{prefix}{key}");
            // A name with `=` cannot be told from its value.
            if !name.contains('=') {
                self.set(&name, value.clone());
            }
        }
    }
}

/// Replaces `$(NAME)` by its value. What is not known stays as it is; `$$` is a `$`.
///
/// Upstream: `third_party/forked/golang/expansion`.
pub fn expand<'a>(text: &str, get: impl Fn(&str) -> Option<&'a String>) -> String {
    // ANCHOR: exercise-05.7
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'))
        {
            match get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
    // ANCHOR_END: exercise-05.7
}

/// The variables that tell a pod of the services of its namespace, and of `kubernetes`.
///
/// Upstream: `pkg/kubelet/envvars/envvars.go`.
pub fn service_env<'a>(
    pod: &Pod,
    services: impl Iterator<Item = &'a Service>,
) -> BTreeMap<String, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let links = spec::of(pod).enable_service_links.unwrap_or(true);
    let mut env = BTreeMap::new();
    // The master's own first, so that a pod's own `kubernetes` service wins.
    let (mut master, mut own) = (Vec::new(), Vec::new());
    for service in services {
        let in_namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        let name = service.metadata.name.as_deref().unwrap_or_default();
        if in_namespace == "default" && name == "kubernetes" {
            master.push(service);
        } else if links && in_namespace == namespace {
            own.push(service);
        }
    }
    for service in master.into_iter().chain(own) {
        add_service(service, &mut env);
    }
    env
}

fn add_service(service: &Service, env: &mut BTreeMap<String, String>) {
    let Some(spec) = &service.spec else { return };
    let host = spec
        .cluster_ip
        .as_deref()
        .filter(|ip| !ip.is_empty() && *ip != "None");
    let (Some(host), Some(ports)) = (host, spec.ports.as_deref()) else {
        return;
    };
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let prefix = name.to_uppercase().replace(['-', '.'], "_");
    let Some(first) = ports.first() else { return };
    env.insert(format!("{prefix}_SERVICE_HOST"), host.to_owned());
    env.insert(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    env.insert(format!("{prefix}_PORT"), url(host, first));
    for port in ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let name = name.to_uppercase().replace(['-', '.'], "_");
            env.insert(
                format!("{prefix}_SERVICE_PORT_{name}"),
                port.port.to_string(),
            );
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let link = format!("{prefix}_PORT_{}_{protocol}", port.port);
        env.insert(link.clone(), url(host, port));
        env.insert(format!("{link}_PROTO"), protocol.to_lowercase());
        env.insert(format!("{link}_PORT"), port.port.to_string());
        env.insert(format!("{link}_ADDR"), host.to_owned());
    }
}

fn url(host: &str, port: &ServicePort) -> String {
    let protocol = port.protocol.as_deref().unwrap_or("TCP").to_lowercase();
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    format!("{protocol}://{host}:{}", port.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expands_what_is_known_and_leaves_the_rest() {
        let value = "42".to_owned();
        let get = |name: &str| (name == "A").then_some(&value);
        for (text, expected) in [
            ("$(A)", "42"),
            ("x$(A)y$(A)", "x42y42"),
            ("$$(A)", "$(A)"),
            ("$(B)", "$(B)"),
            ("$(A", "$(A"),
            ("$A $", "$A $"),
            ("ü$(A)ü", "ü42ü"),
        ] {
            assert_eq!(expand(text, get), expected, "{text}");
        }
    }

    #[test]
    fn later_sources_win_and_missing_ones_are_named() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": "web", "namespace": "ns", "labels": { "app": "x" } },
        }))
        .unwrap();
        let mut container: Container = serde_json::from_value(json!({
            "name": "c",
            "envFrom": [{ "prefix": "P_", "configMapRef": { "name": "cm" } }],
            "env": [
                { "name": "NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                { "name": "APP",
                  "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['app']" } } },
                { "name": "P_b", "value": "$(P_a)-$(NAME)-$(KUBERNETES_SERVICE_HOST)" },
            ],
        }))
        .unwrap();
        let mut objects = Objects::default();
        let config_map = json!({ "data": { "a": "1", "b": "2" } });
        objects
            .config_maps
            .insert("cm".into(), serde_json::from_value(config_map).unwrap());
        let services = [("KUBERNETES_SERVICE_HOST".to_owned(), "10.96.0.1".to_owned())].into();
        let input = EnvInput {
            pod: &pod,
            addresses: &PodAddresses::default(),
            objects: &objects,
            services: &services,
            allocatable: &BTreeMap::new(),
        };
        let env = container_env(&container, &input).unwrap();
        let env: Vec<String> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            env,
            [
                "P_a=1",
                "P_b=1-web-10.96.0.1",
                "NAME=web",
                "APP=x",
                "KUBERNETES_SERVICE_HOST=10.96.0.1"
            ]
        );

        container.env_from.as_mut().unwrap()[0]
            .config_map_ref
            .as_mut()
            .unwrap()
            .name = "no".into();
        assert_eq!(
            container_env(&container, &input).unwrap_err(),
            "configmap \"no\" not found"
        );
    }

    #[test]
    fn a_variable_comes_from_a_file() {
        let container = |optional: bool| -> Container {
            let reference =
                json!({"volumeName": "v", "path": "env", "key": "K", "optional": optional});
            let variable = json!({"name": "A", "valueFrom": {"fileKeyRef": reference}});
            serde_json::from_value(json!({"name": "c", "env": [variable]})).unwrap()
        };
        let check = |file: Option<&str>, optional: bool, expect: Result<Option<&str>, &str>| {
            let place = ("v".to_owned(), "env".to_owned());
            let objects = Objects {
                files: file
                    .map(|text| (place, text.to_owned()))
                    .into_iter()
                    .collect(),
                ..Objects::default()
            };
            let input = EnvInput {
                pod: &Pod::default(),
                addresses: &PodAddresses::default(),
                objects: &objects,
                services: &BTreeMap::new(),
                allocatable: &BTreeMap::new(),
            };
            let env = container_env(&container(optional), &input);
            let value = env.map(|env| env.into_iter().next().map(|(_, value)| value));
            let expect = expect.map(|value| value.map(str::to_owned));
            assert_eq!(value, expect.map_err(str::to_owned), "{file:?}");
        };
        check(Some("K='x'"), false, Ok(Some("x")));
        check(Some("K=''"), false, Ok(Some("")));
        check(Some("L='x'"), true, Ok(None));
        check(None, true, Ok(None));
        let none = "environment variable file \"env\" not found";
        check(None, false, Err(none));
        let no_key = "environment variable key \"K\" not found in file \"env\"";
        check(Some("L='x'"), false, Err(no_key));
        let wrong = "couldn't parse environment variable file \"env\": line 1: the value is not in \
                     single quotes";
        check(Some("K=x"), true, Err(wrong));
    }
}
