//! Services that come, change and go.

use serde_json::{Value, json};

use super::*;

fn allocator() -> ServiceAllocator {
    ServiceAllocator::new("10.96.0.0/12", 30000..=32767).expect("a range")
}

fn service(spec: Value) -> Value {
    json!({"spec": spec})
}

fn give(allocator: &mut ServiceAllocator, spec: Value) -> Result<Value, String> {
    let mut service = service(spec);
    let allocation = allocator
        .allocate(&mut service, None)
        .map_err(|errors| format!("{}: {}", errors[0].field, errors[0].message))?;
    allocator.commit(allocation);
    Ok(service)
}

#[test]
fn what_is_asked_for_is_given_once() {
    let mut allocator = allocator();
    let dns = json!({"type": "ClusterIP", "clusterIP": "10.96.0.10"});
    let given = give(&mut allocator, dns.clone()).expect("free");
    assert_eq!(given["spec"]["clusterIPs"], json!(["10.96.0.10"]));
    assert_eq!(
        give(&mut allocator, dns),
        Err(
            "spec.clusterIPs: Invalid value: [\"10.96.0.10\"]: failed to allocate IP \
             10.96.0.10: provided IP is already allocated"
                .into()
        )
    );
    allocator.release(&given);
    let port = |port: u32| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    give(&mut allocator, port(30080)).expect("free");
    assert_eq!(
        give(&mut allocator, port(30080)),
        Err(
            "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"
                .into()
        )
    );
    assert_eq!(
        give(&mut allocator, port(80)),
        Err(
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid \
             range. The range of valid ports is 30000-32767"
                .into()
        )
    );
    let outside = give(&mut allocator, json!({"clusterIP": "10.0.0.1"})).expect_err("outside");
    assert!(
        outside.ends_with("The range of valid IPs is 10.96.0.0/12"),
        "{outside}"
    );
}

#[test]
fn nothing_is_lost_by_undoing() {
    let mut allocator = ServiceAllocator::new("10.0.0.0/30", 30000..=30000).expect("a range");
    let spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
    for _ in 0..5 {
        let allocation = allocator
            .allocate(&mut service(spec.clone()), None)
            .expect("free");
        allocator.undo(allocation);
    }
    let given = give(&mut allocator, spec.clone()).expect("free");
    assert_eq!(given["spec"]["ports"][0]["nodePort"], 30000);
    // The port is what is missing now; the address that was claimed first is given back.
    give(&mut allocator, spec).expect_err("no port is left");
    give(&mut allocator, json!({"type": "ClusterIP"})).expect("an address is left");
}

#[test]
fn a_service_changes() {
    let mut allocator = allocator();
    let old = give(
        &mut allocator,
        json!({"type": "NodePort", "ports": [{"name": "a", "port": 80, "nodePort": 30080}]}),
    )
    .expect("free");
    // A client that applies its own few fields keeps what it was given.
    let mut new = service(json!({"type": "NodePort", "ports": [{"name": "a", "port": 81}]}));
    let allocation = allocator
        .allocate(&mut new, Some(&old))
        .expect("nothing to claim");
    allocator.commit(allocation);
    assert_eq!(new["spec"]["clusterIP"], old["spec"]["clusterIP"]);
    assert_eq!(new["spec"]["ports"][0]["nodePort"], 30080);
    // As a plain Service it has no more use for the port.
    let mut plain = new.clone();
    plain["spec"]["type"] = json!("ClusterIP");
    let allocation = allocator
        .allocate(&mut plain, Some(&new))
        .expect("nothing to claim");
    allocator.commit(allocation);
    assert_eq!(plain["spec"]["ports"], json!([{"name": "a", "port": 81}]));
    let port = json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 30080}]});
    give(&mut allocator, port).expect("free again");
    let mut moved = plain.clone();
    moved["spec"]["clusterIP"] = json!("10.96.0.77");
    let allocation = allocator.allocate(&mut moved, Some(&plain));
    assert_eq!(moved["spec"]["clusterIPs"], json!(["10.96.0.77"]));
    // Validation refuses the move; what it claimed goes back.
    allocator.undo(allocation.expect("free"));
    let headless = give(&mut allocator, json!({"clusterIP": "None"})).expect("needs none");
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    let external = give(&mut allocator, json!({"type": "ExternalName"})).expect("needs none");
    assert_eq!(external["spec"]["clusterIP"], Value::Null);
}

#[test]
fn suffixes_differ() {
    let (a, b) = (name_suffix(), name_suffix());
    assert!(a.len() == 5 && a != b, "{a} {b}");
}
