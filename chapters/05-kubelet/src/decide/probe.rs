//! A probe's thresholds: when its results count.

use k8s_openapi::api::core::v1::Probe;

use super::Outcome;

/// Which question a probe answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Has it started? Until it has, the others wait.
    Startup,
    /// Should it get traffic?
    Readiness,
    /// Should it be killed?
    Liveness,
}

impl Kind {
    /// As events write it: `Readiness probe failed: …`.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Readiness => "Readiness",
            Kind::Liveness => "Liveness",
        }
    }
}

/// Results of one probe of one container, counted. Upstream: `prober/worker.go: doProbe`.
#[derive(Debug, Default)]
pub struct ProbeState {
    last: Option<Outcome>,
    run: i32,
    decided: Option<Outcome>,
}

impl ProbeState {
    /// Counts a result. Returns the new verdict if this result changed it.
    pub fn record(&mut self, probe: &Probe, result: Outcome) -> Option<Outcome> {
        self.run = if self.last == Some(result) {
            self.run.saturating_add(1)
        } else {
            1
        };
        self.last = Some(result);
        let threshold = match result {
            Outcome::Success => probe.success_threshold.unwrap_or(1),
            Outcome::Failure => probe.failure_threshold.unwrap_or(3),
        };
        if self.run < threshold || self.decided == Some(result) {
            return None;
        }
        self.decided = Some(result);
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_takes_as_many_results_in_a_row_as_its_threshold() {
        let probe = Probe {
            success_threshold: Some(2),
            failure_threshold: Some(3),
            ..Probe::default()
        };
        let mut state = ProbeState::default();
        let verdicts: String = "ssffsfffss"
            .chars()
            .map(|result| {
                let result = if result == 's' {
                    Outcome::Success
                } else {
                    Outcome::Failure
                };
                match state.record(&probe, result) {
                    Some(Outcome::Success) => 'S',
                    Some(Outcome::Failure) => 'F',
                    None => '.',
                }
            })
            .collect();
        assert_eq!(verdicts, ".S.....F.S");
    }
}
