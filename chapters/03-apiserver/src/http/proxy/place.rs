//! Where a proxied request goes: from `scheme:name:port` and the objects to an address.

use std::net::IpAddr;

use serde_json::Value;

use crate::http::backends::{Address, Security};
use crate::http::call::Call;
use crate::http::streams;
use crate::registry::{Target, meta};
use crate::resources;
use crate::status::ApiError;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Host and port.
    pub address: Address,
    /// How the connection is secured.
    pub security: Security,
}

/// `[scheme:]name[:port]` Upstream: `SplitSchemeNamePort`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Id<'a> {
    https: bool,
    name: &'a str,
    port: &'a str,
}

/// Finds where a request goes.
///
/// # Errors
/// 400, 404 or 503, as upstream's.
pub fn find(call: &Call) -> Result<Place, ApiError> {
    let what = call.resource.singular;
    let id = split(&call.info.name);
    let id = id.ok_or_else(|| {
        ApiError::bad_request(format!("invalid {what} request {:?}", call.info.name))
    })?;
    match what {
        "node" => to_node(call, &id),
        "pod" => to_pod(&get(call, "Pod", id.name)?, &id),
        _ => {
            let service = get(call, "Service", id.name)?;
            to_service(&service, &slices(call, id.name)?, &id)
        }
    }
}

fn split(text: &str) -> Option<Id<'_>> {
    let parts: Vec<&str> = text.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => return None,
    };
    let known = matches!(scheme, "" | "http" | "https");
    (known && !name.is_empty()).then_some(Id {
        https: scheme == "https",
        name,
        port,
    })
}

fn get(call: &Call, kind: &str, name: &str) -> Result<Value, ApiError> {
    let resource = resources::by_kind("", "v1", kind).expect("it is served");
    call.api.registry.cached(&Target {
        resource,
        subresource: "",
        namespace: call.target().namespace,
        name,
    })
}

/// The endpoint slices of a Service.
fn slices(call: &Call, service: &str) -> Result<Vec<Value>, ApiError> {
    let resource = resources::by_kind("discovery.k8s.io", "v1", "EndpointSlice");
    let slot = call.api.registry.slot(resource.expect("it is served"))?;
    let owned = |entry: &crate::registry::cache::Entry| {
        let mut labels = entry.labels.iter();
        labels.any(|(key, value)| &**key == "kubernetes.io/service-name" && **value == *service)
    };
    let entries = slot.objects(&call.info.namespace, None).into_iter();
    Ok(entries
        .filter(|entry| owned(entry))
        .filter_map(|entry| serde_json::from_slice(&entry.stored).ok())
        .collect())
}

/// The kubelet by its own port, anything else on the node by plain HTTP.
fn to_node(call: &Call, id: &Id) -> Result<Place, ApiError> {
    let kubelet = streams::address_of(call, id.name)?;
    if id.port.is_empty() || id.port == kubelet.port.to_string() {
        return Ok(Place {
            address: kubelet,
            security: Security::Kubelet,
        });
    }
    Ok(Place {
        address: Address {
            host: allowed(&kubelet.host)?,
            port: number(id.port)?,
        },
        security: security(id),
    })
}

/// A pod's port: the named one, or the first that it declares, or 80.
fn to_pod(pod: &Value, id: &Id) -> Result<Place, ApiError> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let declared = containers
        .filter_map(|container| container["ports"][0]["containerPort"].as_u64())
        .find_map(|port| u16::try_from(port).ok());
    let port = match id.port {
        "" => declared.unwrap_or(if id.https { 443 } else { 80 }),
        port => number(port)?,
    };
    let ip = pod["status"]["podIP"].as_str().unwrap_or_default();
    Ok(Place {
        address: Address {
            host: allowed(ip)?,
            port,
        },
        security: security(id),
    })
}

/// Any ready endpoint of a Service, by a port's name or number.
fn to_service(service: &Value, slices: &[Value], id: &Id) -> Result<Place, ApiError> {
    let name = meta::name(service);
    let unavailable = |message: String| ApiError::new(503, "ServiceUnavailable", message);
    let mut ports = service["spec"]["ports"].as_array().into_iter().flatten();
    // The number of a port stands for its name, which is what endpoints know.
    let by_number = id.port.parse::<u64>().ok().map(|number| {
        let port = ports.find(|port| port["port"] == number);
        let named = port.map(|port| port["name"].as_str().unwrap_or_default().to_owned());
        named.ok_or_else(|| {
            unavailable(format!(
                "no service port {number} found for service {name:?}"
            ))
        })
    });
    let wanted = by_number.transpose()?.unwrap_or_else(|| id.port.to_owned());
    let mut found = Vec::new();
    for slice in slices {
        let mut ports = slice["ports"].as_array().into_iter().flatten();
        let port = ports.find(|port| port["name"].as_str().unwrap_or_default() == wanted);
        let port = port.and_then(|port| port["port"].as_u64());
        let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else {
            continue;
        };
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            if endpoint["conditions"]["ready"] != false
                && let Some(address) = endpoint["addresses"][0].as_str()
            {
                found.push((address.to_owned(), port));
            }
        }
    }
    if found.is_empty() {
        return Err(unavailable(format!(
            "no endpoints available for service {:?}",
            id.name
        )));
    }
    let (host, port) = found.swap_remove(any_of(found.len()));
    Ok(Place {
        address: Address {
            host: allowed(&host)?,
            port,
        },
        security: security(id),
    })
}

/// A number below `count`, another one each time.
fn any_of(count: usize) -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static TURN: AtomicUsize = AtomicUsize::new(0);
    TURN.fetch_add(1, Ordering::Relaxed) % count
}

fn security(id: &Id) -> Security {
    match id.https {
        true => Security::AnyCertificate,
        false => Security::None,
    }
}

fn number(port: &str) -> Result<u16, ApiError> {
    let number = port.parse().ok().filter(|port| *port > 0);
    number.ok_or_else(|| ApiError::bad_request(format!("invalid port {port:?}")))
}

/// Whoever can write a status could otherwise have the server ask itself, or the cloud's
/// metadata. Upstream: `proxyutil.IsProxyableIP`; that no address at all (`0.0.0.0`) means this
/// host to Linux is ours to add.
fn allowed(ip: &str) -> Result<String, ApiError> {
    let parsed: Option<IpAddr> = ip.parse().ok();
    // `::ffff:127.0.0.1` leads to 127.0.0.1.
    let refused = parsed.is_none_or(|ip| match ip.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_unspecified()
                || v4.is_link_local()
                || in_local_multicast(v4.octets())
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || matches!(v6.segments()[0], 0xff01 | 0xff02)
        }
    });
    match refused {
        true => Err(ApiError::bad_request("address not allowed")),
        false => Ok(ip.to_owned()),
    }
}

/// 224.0.0.0/24: never leaves its link.
fn in_local_multicast(octets: [u8; 4]) -> bool {
    octets[..3] == [224, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names() {
        let id = |text| split(text).map(|id| (id.https, id.name, id.port));
        assert_eq!(id("web"), Some((false, "web", "")));
        assert_eq!(id("web:8080"), Some((false, "web", "8080")));
        assert_eq!(id("https:web:"), Some((true, "web", "")));
        assert_eq!(id("http:web:admin"), Some((false, "web", "admin")));
        assert_eq!(id("ftp:web:21"), None);
        assert_eq!(id("a:b:c:d"), None);
        assert_eq!(id(":80"), None);
    }

    #[test]
    fn nobody_is_sent_to_the_server_itself_or_to_metadata() {
        for ip in [
            "127.0.0.1",
            "169.254.169.254",
            "224.0.0.1",
            "0.0.0.0",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "ff02::1",
            "",
            "web",
        ] {
            let error = allowed(ip).expect_err(ip);
            assert_eq!(
                (error.code, error.message.as_str()),
                (400, "address not allowed")
            );
        }
        assert_eq!(allowed("10.244.1.7").expect("a pod"), "10.244.1.7");
    }

    #[test]
    fn pods() {
        let pod = json!({"status": {"podIP": "10.0.0.1"}, "spec": {"containers": [
            {"name": "a"}, {"name": "b", "ports": [{"containerPort": 8080}]}]}});
        let place = |text: &str| {
            to_pod(&pod, &split(text).expect("an id")).map(|p| (p.address.port, p.security))
        };
        assert_eq!(place("p").expect("its port"), (8080, Security::None));
        assert_eq!(
            place("https:p:1").expect("that port"),
            (1, Security::AnyCertificate)
        );
        assert_eq!(
            place("p:web").expect_err("no number").message,
            "invalid port \"web\""
        );
    }

    #[test]
    fn services() {
        let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [
            {"name": "web", "port": 80}, {"name": "admin", "port": 81}]}});
        let slices = [
            json!({"ports": [{"name": "web", "port": 8080}], "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": false}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": true}}]}),
        ];
        let place = |text: &str| {
            let id = split(text).expect("an id");
            let place = to_service(&service, &slices, &id)?;
            Ok::<_, ApiError>(format!("{}:{}", place.address.host, place.address.port))
        };
        assert_eq!(place("s:web").expect("by name"), "10.0.0.2:8080");
        assert_eq!(place("s:80").expect("by number"), "10.0.0.2:8080");
        let error = place("s:81").expect_err("has no endpoints");
        assert_eq!(error.message, "no endpoints available for service \"s\"");
        let error = place("s:82").expect_err("is no port");
        assert_eq!(
            (error.code, error.message.as_str()),
            (503, "no service port 82 found for service \"s\"")
        );
    }
}
