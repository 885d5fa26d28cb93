//! Who has which address: a file for each, named by the address, with the container's id in it.
//! Beside it, for a pod that has them, its host ports.
//!
//! Several plugins run at once, one for each pod that starts, so they take turns by a lock. The
//! last address that was given is kept, too: addresses are given in turn, as the embedded sandbox
//! does. Upstream: `plugins/ipam/host-local`.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::config::Error;
use crate::runtime::PortMapping;
use crate::runtime::host_ports::PodPorts;
use crate::runtime::sandbox::{Addresses, PodCidr};

const LOCK: &str = "lock";
const LAST: &str = "last";

/// The folder, while nobody else changes it.
pub struct Held {
    dir: PathBuf,
    _lock: File,
}

impl Held {
    /// Waits for its turn.
    pub fn lock(dir: &Path) -> Result<Held, Error> {
        if dir.as_os_str().is_empty() {
            return Err(Error::new(7, "dataDir: none is given"));
        }
        let failed = |error| Error::io(&dir.display().to_string(), error);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = File::create(dir.join(LOCK)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Held {
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    /// Gives a container an address; the one that it has if it has one.
    pub fn take(&self, cidr: PodCidr, container_id: &str) -> Result<Ipv4Addr, Error> {
        let mut addresses = Addresses::default();
        addresses.set_cidr(cidr);
        for (ip, owner) in self.given()? {
            if owner == container_id {
                return Ok(ip);
            }
            addresses.claim(ip);
        }
        let last = std::fs::read_to_string(self.dir.join(LAST)).unwrap_or_default();
        if let Ok(last) = last.parse() {
            addresses.begin_after(last);
        }
        // 11: another pod may give its own back.
        let ip = addresses
            .allocate()
            .map_err(|error| Error::new(11, error.to_string()))?;
        let write = |name: &str, text: &str| {
            let path = self.dir.join(name);
            std::fs::write(&path, text)
                .map_err(|error| Error::io(&path.display().to_string(), error))
        };
        write(&ip.to_string(), container_id)?;
        write(LAST, &ip.to_string())?;
        Ok(ip)
    }

    /// Takes back what a container has.
    pub fn give_back(&self, container_id: &str) -> Result<(), Error> {
        for (ip, owner) in self.given()? {
            if owner == container_id {
                self.remove(&ip.to_string())?;
            }
        }
        Ok(())
    }

    /// Writes down the host ports of the pod with that address.
    pub fn set_ports(&self, ip: Ipv4Addr, ports: &[PortMapping]) -> Result<(), Error> {
        let path = self.dir.join(ports_file(ip));
        let text = serde_json::to_vec(ports).expect("plain data");
        std::fs::write(&path, text).map_err(|error| Error::io(&path.display().to_string(), error))
    }

    /// Forgets the host ports of the pod with that address; whether it had any.
    pub fn forget_ports(&self, ip: Ipv4Addr) -> Result<bool, Error> {
        let had_any = self.dir.join(ports_file(ip)).exists();
        if had_any {
            self.remove(&ports_file(ip))?;
        }
        Ok(had_any)
    }

    /// The host ports of all pods.
    pub fn ports(&self) -> Result<Vec<PodPorts>, Error> {
        let given = self.given()?.into_iter();
        let ports = given.filter_map(|(ip, _)| {
            let text = std::fs::read(self.dir.join(ports_file(ip))).ok()?;
            let ports = serde_json::from_slice(&text).ok()?;
            Some(PodPorts { ip, ports })
        });
        Ok(ports.collect())
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.dir.join(name);
        std::fs::remove_file(&path).map_err(|error| Error::io(&path.display().to_string(), error))
    }

    /// The address of a container.
    pub fn find(&self, container_id: &str) -> Result<Option<Ipv4Addr>, Error> {
        let mut given = self.given()?.into_iter();
        let found = given.find(|(_, owner)| owner == container_id);
        Ok(found.map(|(ip, _)| ip))
    }

    fn given(&self) -> Result<Vec<(Ipv4Addr, String)>, Error> {
        let entries = std::fs::read_dir(&self.dir);
        let entries = entries.map_err(|error| Error::io(&self.dir.display().to_string(), error))?;
        let given = entries.flatten().filter_map(|entry| {
            let ip = entry.file_name().to_str()?.parse().ok()?;
            Some((ip, std::fs::read_to_string(entry.path()).ok()?))
        });
        Ok(given.collect())
    }
}

fn ports_file(ip: Ipv4Addr) -> String {
    format!("{ip}.ports")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::PortProtocol;

    #[test]
    fn host_ports_are_those_of_pods_with_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let cidr = PodCidr::parse("10.244.1.0/29").unwrap();
        let held = Held::lock(dir.path()).unwrap();
        let ip = held.take(cidr, "a").unwrap();
        held.take(cidr, "b").unwrap();
        let ports = vec![PortMapping {
            host_port: 80,
            container_port: 8080,
            protocol: PortProtocol::Tcp,
            host_ip: String::new(),
        }];
        held.set_ports(ip, &ports).unwrap();
        assert_eq!(held.ports().unwrap(), [PodPorts { ip, ports }]);
        assert!(held.forget_ports(ip).unwrap());
        assert!(!held.forget_ports(ip).unwrap());
        assert_eq!(held.ports().unwrap(), []);
    }

    #[test]
    fn addresses_are_written_down_and_given_in_turn() {
        let dir = tempfile::tempdir().unwrap();
        let cidr = PodCidr::parse("10.244.1.0/29").unwrap();
        let take = |id: &str| {
            let ip = Held::lock(dir.path()).unwrap().take(cidr, id);
            ip.map(|ip| ip.to_string())
        };
        assert_eq!(take("a").unwrap(), "10.244.1.2");
        assert_eq!(take("b").unwrap(), "10.244.1.3");
        assert_eq!(take("a").unwrap(), "10.244.1.2");
        let held = Held::lock(dir.path()).unwrap();
        held.give_back("b").unwrap();
        held.give_back("b").unwrap();
        assert_eq!(held.find("b").unwrap(), None);
        drop(held);
        let rest = ["c", "d", "e", "f"].map(|id| take(id).unwrap());
        let expected = ["10.244.1.4", "10.244.1.5", "10.244.1.6", "10.244.1.3"];
        assert_eq!(rest, expected);
        assert_eq!(take("g").unwrap_err().code, 11);
    }
}
