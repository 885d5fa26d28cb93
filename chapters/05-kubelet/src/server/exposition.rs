//! Prometheus's text format, version 0.0.4: what every page of metrics is written in.
//!
//! ```text
//! # HELP kubelet_running_pods [ALPHA] Number of pods that have a running pod sandbox
//! # TYPE kubelet_running_pods gauge
//! kubelet_running_pods 3
//! ```

use std::fmt::Write;

use jiff::Timestamp;

use crate::metrics::Histogram;

/// The format's name, for `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics.
#[derive(Debug, Default)]
pub struct Page(String);

/// A metric of a page, by name; what is added are its samples.
pub struct Family<'a> {
    page: &'a mut String,
    name: &'a str,
}

impl Page {
    /// Begins a metric. `kind` is `counter`, `gauge` or `histogram`.
    pub fn family<'a>(&'a mut self, name: &'a str, kind: &str, help: &str) -> Family<'a> {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            page: &mut self.0,
            name,
        }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// Adds a sample, with its labels in their order.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.line("", labels, value, None);
    }

    /// Adds a sample that was taken at some time.
    pub fn sample_at(&mut self, labels: &[(&str, &str)], value: f64, at: Timestamp) {
        self.line("", labels, value, Some(at));
    }

    /// Adds a histogram.
    pub fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[f64], histogram: &Histogram) {
        let mut bucket = |bound: &str, up_to: u64| {
            let labels = [labels, &[("le", bound)]].concat();
            self.line("_bucket", &labels, up_to as f64, None);
        };
        // One that nothing was counted in yet has no counts.
        let counts = histogram.counts.iter().chain(std::iter::repeat(&0));
        for (bound, up_to) in bounds.iter().zip(counts) {
            bucket(&bound.to_string(), *up_to);
        }
        bucket("+Inf", histogram.count);
        self.line("_sum", labels, histogram.sum, None);
        self.line("_count", labels, histogram.count as f64, None);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64, at: Option<Timestamp>) {
        let _ = write!(self.page, "{}{suffix}", self.name);
        for (index, (name, value)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.page, "{open}{name}=\"{}\"", escaped(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = write!(self.page, "{close} {value}");
        if let Some(at) = at {
            let _ = write!(self.page, " {}", at.as_millisecond());
        }
        self.page.push('\n');
    }
}

fn escaped(value: &str) -> String {
    let value = value.replace('\\', r"\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_as_prometheus_wants_it() {
        let mut page = Page::default();
        let mut family = page.family("a_total", "counter", "[STABLE] How many");
        family.sample(&[], 1.5);
        let at = Timestamp::from_millisecond(1234).unwrap();
        family.sample_at(&[("pod", "x\"y\\z\n"), ("container", "c")], 3.0, at);
        let mut family = page.family("b", "histogram", "How long");
        let histogram = Histogram {
            counts: vec![1, 2],
            count: 3,
            sum: 9.25,
        };
        family.histogram(&[("op", "x")], &[0.5, 1.0], &histogram);
        let expected = r#"# HELP a_total [STABLE] How many
# TYPE a_total counter
a_total 1.5
a_total{pod="x\"y\\z\n",container="c"} 3 1234
# HELP b How long
# TYPE b histogram
b_bucket{op="x",le="0.5"} 1
b_bucket{op="x",le="1"} 2
b_bucket{op="x",le="+Inf"} 3
b_sum{op="x"} 9.25
b_count{op="x"} 3
"#;
        assert_eq!(page.finish(), expected);
    }
}
