//! Many measurements of one thing, in few numbers: pure.

use std::fmt;
use std::time::Duration;

/// The middle one of many durations, the one that few exceed, and the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Half are at most this.
    pub p50: Duration,
    /// Ninety-nine of a hundred are at most this.
    pub p99: Duration,
    /// All are at most this.
    pub worst: Duration,
}

impl Figures {
    /// Of durations in any order; none if there are none.
    pub fn of(mut durations: Vec<Duration>) -> Option<Self> {
        durations.sort();
        Some(Self {
            p50: percentile(&durations, 50)?,
            p99: percentile(&durations, 99)?,
            worst: *durations.last()?,
        })
    }
}

/// In milliseconds: `p50 / p99 / worst`.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, worst] = [self.p50, self.p99, self.worst].map(millis);
        write!(f, "{p50} / {p99} / {worst} ms")
    }
}

/// A duration in milliseconds, with as many digits as say something.
pub fn millis(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    match millis < 10.0 {
        true => format!("{millis:.1}"),
        false => format!("{millis:.0}"),
    }
}

/// The value that `share` of a hundred values do not exceed (nearest rank).
pub fn percentile(sorted: &[Duration], share: usize) -> Option<Duration> {
    let rank = (sorted.len() * share).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<Duration> = (1..=50).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), Some(Duration::from_millis(25)));
        assert_eq!(percentile(&values, 99), Some(Duration::from_millis(50)));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn figures_are_short() {
        let values = [3, 1, 200].map(Duration::from_millis);
        let figures = Figures::of(values.to_vec()).unwrap();
        assert_eq!(figures.to_string(), "3.0 / 200 / 200 ms");
        assert_eq!(Figures::of(Vec::new()), None);
    }
}
