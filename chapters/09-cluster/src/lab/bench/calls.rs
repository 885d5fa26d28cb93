//! What the kubelet's own metrics say of its calls to the runtime. Pure.

use std::fmt;
use std::time::Duration;

use super::figures::millis;

/// What the calls for one pod take on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// Its sandbox: namespaces, and a place in the pod network.
    pub sandbox: Duration,
    /// Its container, made and started.
    pub container: Duration,
}

impl Calls {
    /// From a kubelet's `/metrics`; none if it did not make such calls yet.
    pub fn of(metrics: &str) -> Option<Self> {
        let container = mean(metrics, "create_container")? + mean(metrics, "start_container")?;
        Some(Self {
            sandbox: mean(metrics, "run_podsandbox")?,
            container,
        })
    }
}

/// In milliseconds: `sandbox / container`.
impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [sandbox, container] = [self.sandbox, self.container].map(millis);
        write!(f, "{sandbox} / {container} ms")
    }
}

fn mean(metrics: &str, call: &str) -> Option<Duration> {
    let value = |part: &str| {
        let name = "kubelet_runtime_operations_duration_seconds";
        let start = format!("{name}_{part}{{operation_type=\"{call}\"}} ");
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix(&start));
        value?.trim().parse::<f64>().ok()
    };
    Duration::try_from_secs_f64(value("sum")? / value("count")?).ok()
}

#[cfg(test)]
mod tests {
    use super::Calls;

    #[test]
    fn means_of_the_calls_for_one_pod() {
        let line = |call: &str, sum: f64, count: u32| {
            let name = "kubelet_runtime_operations_duration_seconds";
            format!(
                "{name}_sum{{operation_type=\"{call}\"}} {sum}\n\
                 {name}_count{{operation_type=\"{call}\"}} {count}\n"
            )
        };
        let metrics = line("create_container", 0.004, 4)
            + &line("run_podsandbox", 0.05, 2)
            + &line("start_container", 0.003, 1);
        let calls = Calls::of(&metrics).expect("all three were made");
        assert_eq!(calls.to_string(), "25 / 4.0 ms");
        assert_eq!(Calls::of(&line("run_podsandbox", 0.05, 2)), None);
    }
}
