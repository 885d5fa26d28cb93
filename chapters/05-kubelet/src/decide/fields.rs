//! The downward API: what a pod is told about itself.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, ResourceFieldSelector};

use super::{quantity, spec};

/// What of a pod is known only on its node.
#[derive(Debug, Clone, Default)]
pub struct PodAddresses {
    /// Addresses of the pod.
    pub pod_ips: Vec<String>,
    /// Addresses of the node.
    pub host_ips: Vec<String>,
}

/// The value of a `fieldRef`. Upstream: `pkg/fieldpath/fieldpath.go`.
///
/// # Errors
/// When the path names no field that the downward API offers.
pub fn field(pod: &Pod, path: &str, addresses: &PodAddresses) -> Result<String, String> {
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => pod.metadata.labels.as_ref(),
            "metadata.annotations" => pod.metadata.annotations.as_ref(),
            _ => return Err(unsupported(path)),
        };
        return Ok(map
            .and_then(|map| map.get(key))
            .cloned()
            .unwrap_or_default());
    }
    let spec = spec::of(pod);
    let first = |ips: &[String]| ips.first().cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" => pod.metadata.name.clone().unwrap_or_default(),
        "metadata.namespace" => pod.metadata.namespace.clone().unwrap_or_default(),
        "metadata.uid" => pod.metadata.uid.clone().unwrap_or_default(),
        "metadata.labels" => format_map(pod.metadata.labels.as_ref()),
        "metadata.annotations" => format_map(pod.metadata.annotations.as_ref()),
        "spec.nodeName" => spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => spec
            .service_account_name
            .clone()
            .or(spec.service_account.clone())
            .unwrap_or_default(),
        "status.podIP" => first(&addresses.pod_ips),
        "status.podIPs" => addresses.pod_ips.join(","),
        "status.hostIP" => first(&addresses.host_ips),
        "status.hostIPs" => addresses.host_ips.join(","),
        _ => return Err(unsupported(path)),
    })
}

fn unsupported(path: &str) -> String {
    format!("unsupported fieldPath: {path}")
}

/// Splits `metadata.labels['app']`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

/// One `key="value"` line for each, as Go's `%q` quotes.
fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", quote(value)));
    lines.collect::<Vec<_>>().join("\n")
}

fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\x{:02x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The value of a `resourceFieldRef`, in units of its divisor, rounded up. Without a limit it is
/// what the node has to give: `allocatable`.
///
/// # Errors
/// When it names no container of the pod, or no resource that the downward API offers.
pub fn resource(
    pod: &Pod,
    container: &str,
    selector: &ResourceFieldSelector,
    allocatable: &BTreeMap<String, String>,
) -> Result<String, String> {
    let name = selector
        .container_name
        .as_deref()
        .filter(|name| !name.is_empty());
    let name = name.unwrap_or(container);
    let container =
        spec::find_container(pod, name).ok_or_else(|| format!("container {name} not found"))?;
    let resources = container.into_owned().resources.unwrap_or_default();
    let (kind, resource) = selector
        .resource
        .split_once('.')
        .ok_or_else(|| format!("unsupported container resource : {}", selector.resource))?;
    let given = match kind {
        "limits" => resources.limits.unwrap_or_default().get(resource).cloned(),
        "requests" => resources
            .requests
            .unwrap_or_default()
            .get(resource)
            .cloned(),
        _ => {
            return Err(format!(
                "unsupported container resource : {}",
                selector.resource
            ));
        }
    };
    let text = match (given, kind) {
        (Some(quantity), _) => quantity.0,
        (None, "limits") => allocatable.get(resource).cloned().unwrap_or_default(),
        (None, _) => "0".to_owned(),
    };
    let nanos = quantity::parse_nanos(&text).unwrap_or(0);
    let divisor = selector
        .divisor
        .as_ref()
        .map_or("1", |divisor| divisor.0.as_str());
    Ok(quantity::in_units_of(nanos, divisor).to_string())
}
