//! What a Service is given: a cluster IP, and a node port for each of its ports.

use std::{collections::BTreeSet, net::Ipv4Addr, ops::RangeInclusive};

use serde_json::{Value, json};

use super::{
    random,
    range::{Range, Refused},
};
use crate::status::FieldError;

/// What a write has claimed, and what it no longer needs. To be committed or undone.
#[derive(Debug, Default)]
#[must_use = "commit or undo it"]
pub struct Allocation {
    claimed: Held,
    freed: Held,
}

/// Addresses and ports.
#[derive(Debug, Default, Clone)]
struct Held {
    addresses: BTreeSet<u32>,
    ports: BTreeSet<u32>,
}

impl Held {
    /// What a stored Service holds.
    fn by(service: &Value) -> Held {
        let spec = &service["spec"];
        let mut held = Held::default();
        if needs_address(spec) {
            held.addresses = addresses(spec).filter_map(|text| parse(&text)).collect();
        }
        for port in ports(spec) {
            held.ports.extend(number(&port["nodePort"]));
        }
        held
    }
}

/// Gives Services their addresses and ports.
#[derive(Debug)]
pub struct ServiceAllocator {
    cidr: String,
    addresses: Range,
    port_range: RangeInclusive<u16>,
    ports: Range,
}

impl ServiceAllocator {
    /// An allocator of the addresses of a CIDR (`10.96.0.0/12`) and of a range of node ports.
    ///
    /// # Errors
    /// It is no IPv4 CIDR of at least four addresses, or the range of ports is empty.
    pub fn new(cidr: &str, ports: RangeInclusive<u16>) -> Result<ServiceAllocator, String> {
        let wrong = || format!("{cidr:?} is no IPv4 range for Services, such as 10.96.0.0/12");
        let (address, bits) = cidr.split_once('/').ok_or_else(wrong)?;
        let address = parse(address).ok_or_else(wrong)?;
        let bits: u32 = bits
            .parse()
            .ok()
            .filter(|bits| (1..=30).contains(bits))
            .ok_or_else(wrong)?;
        let size = 1_u32 << (32 - bits);
        let network = address & !(size - 1);
        // The network's own address and the broadcast address are nobody's.
        let usable = size - 2;
        if ports.is_empty() {
            return Err("the range of node ports is empty".to_owned());
        }
        let port_count = u32::from(*ports.end()) - u32::from(*ports.start()) + 1;
        Ok(ServiceAllocator {
            cidr: format!("{}/{bits}", Ipv4Addr::from(network)),
            addresses: Range::new(network + 1, usable, address_band(size)),
            ports: Range::new(u32::from(*ports.start()), port_count, port_band(port_count)),
            port_range: ports,
        })
    }

    /// Takes in a Service that is there already, at the start.
    pub fn adopt(&mut self, service: &Value) {
        let held = Held::by(service);
        // What can't be claimed is another's or out of a range that has changed since: the
        // Service keeps it all the same.
        for address in held.addresses {
            let _ = self.addresses.claim(address);
        }
        for port in held.ports {
            let _ = self.ports.claim(port);
        }
    }

    /// Gives a Service, new or changed, what it asks for or needs, writing it into the spec.
    ///
    /// # Errors
    /// What was asked for by value is taken, or out of range, or all is taken. Nothing is claimed
    /// then.
    pub fn allocate(
        &mut self,
        new: &mut Value,
        old: Option<&Value>,
    ) -> Result<Allocation, Vec<FieldError>> {
        let before = old.map(Held::by).unwrap_or_default();
        if let Some(old) = old {
            carry_over(new, old);
        }
        let mut claimed = Held::default();
        let result = self
            .give_address(new, &before, &mut claimed)
            .and_then(|()| self.give_ports(new, &before, &mut claimed));
        if let Err(error) = result {
            self.give_back(&claimed);
            return Err(vec![error]);
        }
        let after = Held::by(new);
        let freed = Held {
            addresses: before
                .addresses
                .difference(&after.addresses)
                .copied()
                .collect(),
            ports: before.ports.difference(&after.ports).copied().collect(),
        };
        Ok(Allocation { claimed, freed })
    }

    /// The write is done: what it no longer needs is free.
    pub fn commit(&mut self, allocation: Allocation) {
        self.give_back(&allocation.freed);
    }

    /// The write is not to be: what it claimed is free again.
    pub fn undo(&mut self, allocation: Allocation) {
        self.give_back(&allocation.claimed);
    }

    /// A Service is gone, and all that it held is free.
    pub fn release(&mut self, service: &Value) {
        self.give_back(&Held::by(service));
    }

    fn give_back(&mut self, held: &Held) {
        held.addresses
            .iter()
            .for_each(|address| self.addresses.release(*address));
        held.ports.iter().for_each(|port| self.ports.release(*port));
    }

    fn give_address(
        &mut self,
        service: &mut Value,
        before: &Held,
        claimed: &mut Held,
    ) -> Result<(), FieldError> {
        let spec = &mut service["spec"];
        if spec["type"] == "ExternalName" {
            return Ok(());
        }
        if is_headless(spec) {
            spec["clusterIP"] = json!("None");
            spec["clusterIPs"] = json!(["None"]);
            return Ok(());
        }
        let asked: Option<String> = addresses(spec).next();
        let address = match asked {
            Some(text) => {
                let address = parse(&text);
                if address.is_some_and(|address| before.addresses.contains(&address)) {
                    address
                } else {
                    let result =
                        address.map_or(Err(Refused::OutOfRange), |a| self.addresses.claim(a));
                    result.map_err(|why| self.address_refused(&text, why))?;
                    claimed.addresses.extend(address);
                    address
                }
            }
            None => {
                let address = self.addresses.claim_any(random()).map_err(|_| {
                    FieldError::invalid(
                        "spec.clusterIPs",
                        &json!([]),
                        "failed to allocate an IP: range is full",
                    )
                })?;
                claimed.addresses.insert(address);
                Some(address)
            }
        };
        if let Some(address) = address {
            let text = Ipv4Addr::from(address).to_string();
            spec["clusterIP"] = json!(text);
            spec["clusterIPs"] = json!([text]);
        }
        Ok(())
    }

    fn give_ports(
        &mut self,
        service: &mut Value,
        before: &Held,
        claimed: &mut Held,
    ) -> Result<(), FieldError> {
        let spec = &mut service["spec"];
        if !needs_node_ports(spec) {
            return Ok(());
        }
        // One number may serve two protocols of one Service.
        let mut own: BTreeSet<u32> = BTreeSet::new();
        let list = ports_mut(spec);
        // Those asked for by value go first, lest one of them is given to another port.
        let mut ports: Vec<(usize, &mut Value)> = list.into_iter().flatten().enumerate().collect();
        ports.sort_by_key(|(_, port)| number(&port["nodePort"]).is_none());
        for (index, port) in ports {
            match number(&port["nodePort"]) {
                Some(asked) => {
                    if !before.ports.contains(&asked) && !own.contains(&asked) {
                        self.ports
                            .claim(asked)
                            .map_err(|why| self.port_refused(index, asked, why))?;
                        claimed.ports.insert(asked);
                    }
                    own.insert(asked);
                }
                None => {
                    let given = self
                        .ports
                        .claim_any(random())
                        .map_err(|why| self.port_refused(index, 0, why))?;
                    claimed.ports.insert(given);
                    own.insert(given);
                    port["nodePort"] = json!(given);
                }
            }
        }
        Ok(())
    }

    fn address_refused(&self, text: &str, why: Refused) -> FieldError {
        let why = match why {
            Refused::Taken => "provided IP is already allocated".to_owned(),
            _ => format!(
                "the provided IP ({text}) is not in the valid range. The range of valid IPs is {}",
                self.cidr
            ),
        };
        let why = format!("failed to allocate IP {text}: {why}");
        FieldError::invalid("spec.clusterIPs", &json!([text]), why)
    }

    fn port_refused(&self, index: usize, port: u32, why: Refused) -> FieldError {
        let why = match why {
            Refused::Taken => "provided port is already allocated".to_owned(),
            Refused::Full => "failed to allocate a nodePort: range is full".to_owned(),
            Refused::OutOfRange => format!(
                "provided port is not in the valid range. The range of valid ports is {}-{}",
                self.port_range.start(),
                self.port_range.end()
            ),
        };
        FieldError::invalid(format!("spec.ports[{index}].nodePort"), &json!(port), why)
    }
}

/// Writes into a changed Service what the client left out and the old one had been given: an
/// update without `clusterIP` keeps it. And takes out what only the old type had a use for and
/// the client left in. Upstream: `patchAllocatedValues`, `dropTypeDependentFields`.
pub fn carry_over(new: &mut Value, old: &Value) {
    let (new, old) = (&mut new["spec"], &old["spec"]);
    normalize(new, old);
    drop_unneeded(new, old);
    if needs_address(new) && needs_address(old) {
        let is_left_out = |value: &Value| value.is_null() || *value == "";
        if is_left_out(&new["clusterIP"]) && new["clusterIPs"].as_array().is_none_or(Vec::is_empty)
        {
            new["clusterIP"] = old["clusterIP"].clone();
        }
        if new["clusterIPs"].is_null() && new["clusterIP"] == old["clusterIP"] {
            new["clusterIPs"] = old["clusterIPs"].clone();
        }
    }
    if needs_node_ports(new) && needs_node_ports(old) {
        let used: BTreeSet<u32> = ports(new)
            .filter_map(|port| number(&port["nodePort"]))
            .collect();
        for port in ports_mut(new).into_iter().flatten() {
            if number(&port["nodePort"]).is_some() {
                continue;
            }
            let was = ports(old).find(|before| before["name"] == port["name"]);
            let was = was.and_then(|before| number(&before["nodePort"]));
            if let Some(was) = was.filter(|was| !used.contains(was)) {
                port["nodePort"] = json!(was);
            }
        }
    }
}

/// A client that knows only `clusterIP`, or only changes it, means the list too.
/// Upstream: `NormalizeClusterIPs`.
fn normalize(new: &mut Value, old: &Value) {
    let is_one = !new["clusterIP"].is_null() && new["clusterIP"] != "";
    if new["clusterIP"] != old["clusterIP"] && new["clusterIPs"] == old["clusterIPs"] && is_one {
        new["clusterIPs"] = json!([new["clusterIP"]]);
    }
}

fn drop_unneeded(new: &mut Value, old: &Value) {
    let mut drop = |needs: fn(&Value) -> bool, fields: &[&str]| {
        if !needs(old) || needs(new) {
            return;
        }
        let Some(new) = new.as_object_mut() else {
            return;
        };
        for field in fields {
            if new.get(*field) == old.get(*field) {
                new.remove(*field);
            }
        }
    };
    drop(
        |spec| spec["type"] != "ExternalName",
        &[
            "clusterIP",
            "clusterIPs",
            "ipFamilies",
            "ipFamilyPolicy",
            "internalTrafficPolicy",
        ],
    );
    drop(
        |spec| matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer")),
        &["externalTrafficPolicy"],
    );
    drop(
        |spec| spec["type"] == "LoadBalancer",
        &["allocateLoadBalancerNodePorts"],
    );
    if needs_node_ports(old) && !needs_node_ports(new) {
        let given: BTreeSet<u32> = ports(old)
            .filter_map(|port| number(&port["nodePort"]))
            .collect();
        for port in ports_mut(new).into_iter().flatten() {
            if number(&port["nodePort"]).is_some_and(|port| given.contains(&port)) {
                port.as_object_mut()
                    .and_then(|port| port.remove("nodePort"));
            }
        }
    }
}

/// The numbers upstream keeps for who asks by value: `calculateRangeOffset`.
fn address_band(size: u32) -> u32 {
    if size <= 16 {
        0
    } else {
        (size / 16).clamp(16, 256)
    }
}

fn port_band(size: u32) -> u32 {
    if size <= 16 {
        0
    } else {
        (size / 32).clamp(16, 128)
    }
}

fn needs_address(spec: &Value) -> bool {
    spec["type"] != "ExternalName" && !is_headless(spec)
}

fn is_headless(spec: &Value) -> bool {
    addresses(spec).next().as_deref() == Some("None")
}

fn needs_node_ports(spec: &Value) -> bool {
    spec["type"] == "NodePort"
        || (spec["type"] == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false)
}

/// The cluster IPs of a spec, by either field.
fn addresses(spec: &Value) -> impl Iterator<Item = String> {
    let many = spec["clusterIPs"].as_array().into_iter().flatten();
    let one = std::iter::once(&spec["clusterIP"]);
    let all = many.chain(one).filter_map(|value| value.as_str());
    all.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn ports(spec: &Value) -> impl Iterator<Item = &Value> {
    spec["ports"].as_array().into_iter().flatten()
}

/// The ports, if there are any: indexing would put a null there.
fn ports_mut(spec: &mut Value) -> Option<&mut Vec<Value>> {
    spec.get_mut("ports").and_then(Value::as_array_mut)
}

/// A port's number; zero is none.
fn number(value: &Value) -> Option<u32> {
    value
        .as_u64()
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number != 0)
}

fn parse(text: &str) -> Option<u32> {
    text.parse::<Ipv4Addr>().ok().map(u32::from)
}
