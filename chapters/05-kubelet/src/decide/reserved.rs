//! What of the machine pods cannot have: `--system-reserved`, `--kube-reserved`, and what has to be
//! left so that no pod is evicted.
//!
//! ```text
//!  capacity
//!  ├──────────────┬────────────────┬──────────────────────────────────────┐
//!  │ kube and     │ hard eviction  │ allocatable: what the scheduler      │
//!  │ system       │ threshold      │ gives away                           │
//!  └──────────────┴────────────────┴──────────────────────────────────────┘
//!                 ├─ what the control group of all pods may use ──────────┤
//! ```
//!
//! Upstream: `pkg/kubelet/cm/node_container_manager_linux.go`.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use super::eviction::Thresholds;
use super::quantity;

/// What can be reserved. `pid` is no resource that a pod asks for, only one that its processes use.
const RESOURCES: [&str; 4] = ["cpu", "memory", "ephemeral-storage", "pid"];
/// The thresholds of evictions that are about what a pod asks for.
const THRESHOLDS: [(&str, &str); 2] = [
    ("memory", "memory.available"),
    ("ephemeral-storage", "nodefs.available"),
];
/// Quantities are counted in these.
const NANOS: i128 = 1_000_000_000;

/// Amounts by resource: `cpu=200m,memory=512Mi`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reserved(BTreeMap<&'static str, String>);

impl Reserved {
    /// By resource, as a kubelet's configuration writes them.
    pub fn to_map(&self) -> BTreeMap<&'static str, String> {
        self.0.clone()
    }

    fn nanos(&self, resource: &str) -> i128 {
        let text = self.0.get(resource);
        text.and_then(|text| quantity::parse_nanos(text))
            .unwrap_or(0)
    }
}

impl FromStr for Reserved {
    type Err = String;

    fn from_str(text: &str) -> Result<Reserved, String> {
        let mut reserved = BTreeMap::new();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let Some((name, amount)) = pair.split_once('=') else {
                return Err(format!("{pair:?} is not resource=quantity"));
            };
            let (name, amount) = (name.trim(), amount.trim());
            let Some(name) = RESOURCES.into_iter().find(|known| *known == name) else {
                return Err(format!("cannot reserve {name:?} resource"));
            };
            match quantity::parse_nanos(amount) {
                None => return Err(format!("{amount:?} is not a quantity")),
                Some(nanos) if nanos < 0 => {
                    return Err(format!(
                        "resource quantity for {name:?} cannot be negative: {amount}"
                    ));
                }
                Some(_) => reserved.insert(name, amount.to_owned()),
            };
        }
        Ok(Reserved(reserved))
    }
}

impl Display for Reserved {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
        f.write_str(&pairs.join(","))
    }
}

/// All that is held back on a node.
#[derive(Debug, Clone, Default)]
pub struct Reservation {
    /// For what runs beside Kubernetes.
    pub system: Reserved,
    /// For the kubelet and the container runtime.
    pub kube: Reserved,
    /// What has to be left.
    pub eviction_hard: Thresholds,
}

/// What pods may use together: what their control group is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodsLimits {
    /// Bytes of memory.
    pub memory_bytes: i64,
    /// Thousandths of a core: a share where processors are contended, not a limit.
    pub cpu_millis: i64,
    /// Processes and threads; `None` if none are reserved.
    pub processes: Option<i64>,
}

impl Reservation {
    /// What the node has to give, by resource, of what it has: `cpu` → `1900m`.
    ///
    /// # Errors
    /// When more is reserved than there is.
    pub fn allocatable(
        &self,
        capacity: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, String> {
        let mut allocatable = BTreeMap::new();
        for (name, text) in capacity {
            let has = quantity::parse_nanos(text).unwrap_or(0);
            let reserved = self.reserved(name) + self.threshold(name, has);
            if reserved > has {
                return Err(format!(
                    "invalid Node Allocatable configuration. Resource {name:?} has a reservation \
                     of {} but capacity of {text}. Expected capacity >= reservation.",
                    written(name, reserved)
                ));
            }
            let left = match reserved {
                0 => text.clone(),
                _ => written(name, has - reserved),
            };
            allocatable.insert(name.clone(), left);
        }
        Ok(allocatable)
    }

    /// What pods may use together. Thresholds are not taken off: who gets that far is evicted, and
    /// not ended by the kernel. `processes_max` is how many the machine can have.
    pub fn for_pods(
        &self,
        capacity: &BTreeMap<String, String>,
        processes_max: Option<i64>,
    ) -> PodsLimits {
        let left = |name: &str| {
            let has = capacity.get(name).map_or("0", String::as_str);
            let has = quantity::parse_nanos(has).unwrap_or(0);
            (has - self.reserved(name)).max(0)
        };
        let whole = |nanos: i128| i64::try_from(nanos / NANOS).unwrap_or(i64::MAX);
        let reserved = whole(self.reserved("pid"));
        let processes = processes_max.filter(|_| reserved > 0);
        PodsLimits {
            memory_bytes: whole(left("memory")),
            cpu_millis: whole(left("cpu") * 1000),
            processes: processes.map(|most| (most - reserved).max(0)),
        }
    }

    fn reserved(&self, resource: &str) -> i128 {
        self.system.nanos(resource) + self.kube.nanos(resource)
    }

    fn threshold(&self, resource: &str, has: i128) -> i128 {
        let mut of_resource = THRESHOLDS.iter().filter(|(name, _)| *name == resource);
        let signal = of_resource.next().map(|(_, signal)| *signal);
        let least = signal.and_then(|signal| self.eviction_hard.get(signal));
        let has = u64::try_from(has / NANOS).unwrap_or(0);
        least.map_or(0, |least| i128::from(least.of(has)) * NANOS)
    }
}

/// An amount, as Kubernetes writes it: `1900m`, `3866Ki`, `1025`.
fn written(resource: &str, nanos: i128) -> String {
    if resource == "cpu" {
        return match nanos % NANOS {
            0 => (nanos / NANOS).to_string(),
            _ => format!("{}m", nanos * 1000 / NANOS),
        };
    }
    match nanos / NANOS {
        0 => "0".to_owned(),
        whole if whole % 1024 == 0 => format!("{}Ki", whole / 1024),
        whole => whole.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity() -> BTreeMap<String, String> {
        let capacity = [
            ("cpu", "2"),
            ("memory", "4194304Ki"),
            ("ephemeral-storage", "1000Ki"),
            ("pods", "110"),
        ];
        let owned = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
        capacity.map(owned).into()
    }

    fn reservation(system: &str, kube: &str, hard: &str) -> Reservation {
        Reservation {
            system: system.parse().unwrap(),
            kube: kube.parse().unwrap(),
            eviction_hard: hard.parse().unwrap(),
        }
    }

    fn allocatable(system: &str, kube: &str, hard: &str) -> Result<String, String> {
        let left = reservation(system, kube, hard).allocatable(&capacity())?;
        let order = ["cpu", "memory", "ephemeral-storage", "pods"];
        Ok(order.map(|name| left[name].clone()).join(" "))
    }

    #[test]
    fn what_is_left_is_given_away() {
        let all = "2 4194304Ki 1000Ki 110";
        assert_eq!(allocatable("", "", ""), Ok(all.to_owned()));
        let default = "memory.available<100Mi,nodefs.available<10%";
        assert_eq!(
            allocatable("", "", default),
            Ok("2 4091904Ki 900Ki 110".to_owned())
        );
        let (system, kube) = (
            "cpu=100m,memory=1Gi,ephemeral-storage=1Ki",
            "cpu=0.9,memory=1",
        );
        assert_eq!(
            allocatable(system, kube, "memory.available<1Gi"),
            Ok("1 2147483647 999Ki 110".to_owned())
        );
        assert_eq!(
            allocatable("cpu=150m,pid=100", "", ""),
            Ok("1850m 4194304Ki 1000Ki 110".to_owned())
        );
    }

    #[test]
    fn no_more_is_reserved_than_there_is() {
        let why = allocatable("memory=3Gi", "memory=1Gi", "memory.available<100Mi").unwrap_err();
        assert_eq!(
            why,
            "invalid Node Allocatable configuration. Resource \"memory\" has a reservation of \
             4296704Ki but capacity of 4194304Ki. Expected capacity >= reservation."
        );
    }

    #[test]
    fn pods_together_may_use_what_is_not_reserved() {
        let reservation = reservation("memory=1Gi,cpu=500m", "pid=1000", "memory.available<1Gi");
        let expected = PodsLimits {
            memory_bytes: 3 << 30,
            cpu_millis: 1500,
            processes: Some(31_768),
        };
        assert_eq!(reservation.for_pods(&capacity(), Some(32_768)), expected);
        let free = Reservation::default().for_pods(&capacity(), Some(32_768));
        assert_eq!((free.memory_bytes, free.processes), (4 << 30, None));
    }

    #[test]
    fn flags_are_read_and_written() {
        let reserved: Reserved = "memory=512Mi,cpu=200m".parse().unwrap();
        assert_eq!(reserved.to_string(), "cpu=200m,memory=512Mi");
        let wrong = |text: &str| text.parse::<Reserved>().unwrap_err();
        assert_eq!(wrong("pods=1"), "cannot reserve \"pods\" resource");
        assert_eq!(wrong("cpu"), "\"cpu\" is not resource=quantity");
        assert_eq!(wrong("cpu=much"), "\"much\" is not a quantity");
        assert_eq!(
            wrong("cpu=-1"),
            "resource quantity for \"cpu\" cannot be negative: -1"
        );
    }
}
