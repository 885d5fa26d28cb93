//! How long the runtime has not answered, and what the node says of it: pure.
//!
//! Upstream: `pkg/kubelet/runtime.go`: a runtime that failed its last checks is down once the last
//! good one is half a minute ago.

use std::time::{Duration, Instant};

/// Silence that is forgiven. Upstream: `maxWaitForContainerRuntime`.
const RUNTIME_DOWN_AFTER: Duration = Duration::from_secs(30);

/// What the checks of the runtime have shown.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeHealth {
    last_good: Instant,
}

impl RuntimeHealth {
    /// It worked just now: a kubelet starts with one that does.
    pub fn new(now: Instant) -> RuntimeHealth {
        RuntimeHealth { last_good: now }
    }

    /// A check is over.
    pub fn checked(&mut self, good: bool, now: Instant) {
        if good {
            self.last_good = now;
        }
    }

    /// Whether the runtime counts as down.
    pub fn is_down(&self, now: Instant) -> bool {
        now.duration_since(self.last_good) >= RUNTIME_DOWN_AFTER
    }
}

/// The message of a node that is not ready; `None` when it is. Upstream joins several as a Go
/// aggregate does.
pub fn not_ready(runtime_down: bool, network_ready: bool) -> Option<String> {
    let mut why = Vec::new();
    if runtime_down {
        why.push("container runtime is down");
    }
    if !network_ready {
        why.push(
            "container runtime network not ready: NetworkReady=false \
             reason:NetworkPluginNotReady message:Network plugin returns error: \
             no pod CIDR assigned",
        );
    }
    match why[..] {
        [] => None,
        [one] => Some(one.to_owned()),
        _ => Some(format!("[{}]", why.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_minute_of_silence_is_forgiven() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut health = RuntimeHealth::new(start);
        health.checked(false, after(10));
        assert!(!health.is_down(after(29)));
        assert!(health.is_down(after(30)));
        health.checked(true, after(40));
        assert!(!health.is_down(after(69)));
    }

    #[test]
    fn reasons_are_joined() {
        assert_eq!(not_ready(false, true), None);
        assert_eq!(
            not_ready(true, true).as_deref(),
            Some("container runtime is down")
        );
        let both = not_ready(true, false).unwrap();
        assert!(both.starts_with("[container runtime is down, container runtime network"));
    }
}
