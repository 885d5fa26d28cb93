//! What a container's resources are in the kernel's own words: files of a cgroup and what is
//! written to them. Pure.
//!
//! Upstream: `pkg/kubelet/cm/helpers_linux.go` and opencontainers/cgroups.

use super::super::spec::Limits;

/// The kernel interfaces that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller.
    V1,
    /// One for all of them.
    V2,
}

/// A file of a cgroup and its new content. The controller is the part before the first `.`.
pub type Setting = (&'static str, String);

/// How long the stretch of time is that a CPU limit is counted over.
const PERIOD_US: i64 = 100_000;
/// The kernel takes no shorter share of it.
const QUOTA_US_MIN: i64 = 1_000;
/// The least and the most of v1's shares.
const SHARES: (i64, i64) = (2, 262_144);

/// All settings that follow from the limits; what is not limited is said so, since it may have
/// been before.
pub fn settings(version: Version, limits: &Limits) -> Vec<Setting> {
    let shares = shares(limits.cpu_request_millis);
    let quota = limits.cpu_millis.filter(|millis| *millis > 0).map(quota_us);
    let memory = limits.memory_bytes.filter(|bytes| *bytes > 0);
    match version {
        Version::V1 => vec![
            ("cpu.shares", shares.to_string()),
            ("cpu.cfs_period_us", PERIOD_US.to_string()),
            ("cpu.cfs_quota_us", quota.unwrap_or(-1).to_string()),
            ("memory.limit_in_bytes", memory.unwrap_or(-1).to_string()),
        ],
        Version::V2 => {
            let or_max = |value: Option<i64>| value.map_or("max".to_owned(), |v| v.to_string());
            vec![
                ("cpu.weight", weight(shares).to_string()),
                ("cpu.max", format!("{} {PERIOD_US}", or_max(quota))),
                ("memory.max", or_max(memory)),
                ("memory.swap.max", "0".to_owned()),
            ]
        }
    }
}

/// The settings of a group that was just made: those that it has from the kernel are left out.
pub fn settings_of_new(version: Version, limits: &Limits) -> Vec<Setting> {
    let unlimited = settings(version, &Limits::default());
    let mut settings = settings(version, limits);
    // A new group's share of processors is not the least, and its swap not none.
    let is_kept = |file: &str| ["cpu.shares", "cpu.weight", "memory.swap.max"].contains(&file);
    settings.retain(|setting| is_kept(setting.0) || !unlimited.contains(setting));
    settings
}

/// What the containers of a pod may use together: a limit only if each has one.
pub fn sum<'a>(containers: impl Iterator<Item = &'a Limits> + Clone) -> Limits {
    Limits {
        memory_bytes: containers.clone().map(|limits| limits.memory_bytes).sum(),
        cpu_millis: containers.clone().map(|limits| limits.cpu_millis).sum(),
        cpu_request_millis: Some(
            containers
                .filter_map(|limits| limits.cpu_request_millis)
                .sum(),
        ),
    }
}

fn shares(request_millis: Option<i64>) -> i64 {
    let (least, most) = SHARES;
    (request_millis.unwrap_or(0).saturating_mul(1024) / 1000).clamp(least, most)
}

fn quota_us(limit_millis: i64) -> i64 {
    (limit_millis.saturating_mul(PERIOD_US) / 1000).max(QUOTA_US_MIN)
}

/// v2's weight for v1's shares: 2 is 1, 1024 is 100, 262144 is 10000.
///
/// Upstream: opencontainers/cgroups `ConvertCPUSharesToCgroupV2Value`.
fn weight(shares: i64) -> i64 {
    let (least, most) = SHARES;
    if shares <= least {
        return 1;
    }
    if shares >= most {
        return 10_000;
    }
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    10f64.powf(exponent).ceil() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: Version, request: i64, limit: i64, memory: i64, expected: &str) {
        let some = |value: i64| (value > 0).then_some(value);
        let limits = Limits {
            memory_bytes: some(memory),
            cpu_millis: some(limit),
            cpu_request_millis: some(request),
        };
        let settings = settings(version, &limits);
        let lines: Vec<String> = settings.iter().map(|(f, v)| format!("{f}={v}")).collect();
        assert_eq!(lines.join(" "), expected);
    }

    #[test]
    fn resources_in_the_kernel_s_words() {
        check(
            Version::V1,
            0,
            0,
            0,
            "cpu.shares=2 cpu.cfs_period_us=100000 cpu.cfs_quota_us=-1 memory.limit_in_bytes=-1",
        );
        check(
            Version::V1,
            250,
            500,
            1 << 20,
            "cpu.shares=256 cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000 \
             memory.limit_in_bytes=1048576",
        );
        check(
            Version::V2,
            0,
            0,
            0,
            "cpu.weight=1 cpu.max=max 100000 memory.max=max memory.swap.max=0",
        );
        check(
            Version::V2,
            1000,
            5,
            1 << 20,
            "cpu.weight=100 cpu.max=1000 100000 memory.max=1048576 memory.swap.max=0",
        );
    }

    #[test]
    fn a_new_group_is_told_what_differs() {
        let files = |version, memory_bytes| -> Vec<&str> {
            let limits = Limits {
                memory_bytes,
                ..Limits::default()
            };
            let settings = settings_of_new(version, &limits);
            settings.into_iter().map(|(file, _)| file).collect()
        };
        assert_eq!(files(Version::V1, None), ["cpu.shares"]);
        let limited = ["cpu.shares", "memory.limit_in_bytes"];
        assert_eq!(files(Version::V1, Some(1 << 20)), limited);
        assert_eq!(files(Version::V2, None), ["cpu.weight", "memory.swap.max"]);
    }

    #[test]
    fn weights_for_shares() {
        for (shares, expected) in [(2, 1), (1024, 100), (262_144, 10_000)] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }

    #[test]
    fn a_pod_is_limited_if_each_container_is() {
        let limits = |memory| Limits {
            memory_bytes: memory,
            cpu_millis: Some(100),
            cpu_request_millis: Some(50),
        };
        let both = sum([limits(Some(3)), limits(Some(4))].iter());
        assert_eq!((both.memory_bytes, both.cpu_millis), (Some(7), Some(200)));
        let one = sum([limits(Some(3)), limits(None)].iter());
        assert_eq!(
            (one.memory_bytes, one.cpu_request_millis),
            (None, Some(100))
        );
    }
}
