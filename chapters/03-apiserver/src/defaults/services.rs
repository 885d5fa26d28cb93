//! Defaults of Services and of the endpoints behind them.
//!
//! The addresses and ports that a Service is given are no defaults: see [`crate::alloc`].

use serde_json::{Value, json};

use super::{child_value, items, or_set, or_set_value, set};

pub(super) fn service(object: &mut Value) {
    let spec = child_value(object, "spec");
    or_set(spec, "type", "ClusterIP");
    or_set(spec, "sessionAffinity", "None");
    if spec["sessionAffinity"] == "ClientIP" {
        let client_ip = child_value(child_value(spec, "sessionAffinityConfig"), "clientIP");
        or_set_value(client_ip, "timeoutSeconds", || json!(10800));
    } else if let Some(spec) = spec.as_object_mut() {
        spec.remove("sessionAffinityConfig");
    }
    for port in items(spec, "ports") {
        or_set(port, "protocol", "TCP");
        if matches!(&port["targetPort"], Value::Null)
            || port["targetPort"] == 0
            || port["targetPort"] == ""
        {
            let number = port["port"].clone();
            set(port, "targetPort", number);
        }
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        or_set(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        or_set_value(spec, "allocateLoadBalancerNodePorts", || json!(true));
    }
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        or_set(spec, "internalTrafficPolicy", "Cluster");
        or_set(spec, "ipFamilyPolicy", "SingleStack");
        or_set_value(spec, "ipFamilies", || json!(["IPv4"]));
    }
    or_set_value(object, "status", || json!({"loadBalancer": {}}));
}

pub(super) fn endpoints(object: &mut Value) {
    for subset in items(object, "subsets") {
        for port in items(subset, "ports") {
            or_set(port, "protocol", "TCP");
        }
    }
}

pub(super) fn endpoint_slice(object: &mut Value) {
    for port in items(object, "ports") {
        or_set_value(port, "name", || json!(""));
        or_set(port, "protocol", "TCP");
    }
    for endpoint in items(object, "endpoints") {
        or_set_value(endpoint, "conditions", || json!({}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_filled_in() {
        let mut object = json!({"spec": {"ports": [{"port": 80}], "type": "NodePort"}});
        service(&mut object);
        assert_eq!(
            object["spec"],
            json!({
                "type": "NodePort",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
                "sessionAffinity": "None",
                "externalTrafficPolicy": "Cluster",
                "internalTrafficPolicy": "Cluster",
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
            })
        );
        let mut object = json!({"spec": {"type": "ExternalName", "externalName": "x.org"}});
        service(&mut object);
        assert_eq!(
            object["spec"],
            json!({"type": "ExternalName", "externalName": "x.org", "sessionAffinity": "None"})
        );
    }
}
