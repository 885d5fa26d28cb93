//! The text that Prometheus reads: families of samples, each with its labels.
//!
//! ```text
//!   # HELP grpc_server_started_total Calls that were begun.
//!   # TYPE grpc_server_started_total counter
//!   grpc_server_started_total{grpc_service="etcdserverpb.KV",grpc_method="Put"} 12
//! ```
//!
//! Upstream: "Exposition formats" in Prometheus' documentation, version 0.0.4.

use std::fmt::{Display, Write};

use crate::counts::Durations;

/// The type of such a text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A text that is being written.
#[derive(Default)]
pub struct Text(String);

impl Text {
    /// The text.
    pub fn into_string(self) -> String {
        self.0
    }

    /// Begins a family.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// Adds a sample to the family. No label's value has anything to be escaped.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        if labels.is_empty() {
            return self.line(format_args!("{name} {value}"));
        }
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, of)| format!("{label}=\"{of}\""))
            .collect();
        self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
    }

    /// A family of one number that only grows.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    /// A family of one number.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// A family of one thing that has a name and is there.
    pub fn info(&mut self, name: &str, help: &str, label: &str, of: &str) {
        self.family(name, "gauge", help);
        self.sample(name, &[(label, of)], 1);
    }

    /// A family of durations by their length; each bucket holds those before it as well.
    pub fn histogram(&mut self, name: &str, help: &str, durations: &Durations) {
        self.family(name, "histogram", help);
        let (bucket, mut sum) = (format!("{name}_bucket"), 0);
        for (index, count) in durations.counts().into_iter().enumerate() {
            sum += count;
            let bound = Durations::bound(index);
            let bound = bound.map_or("+Inf".to_owned(), |bound| bound.to_string());
            self.sample(&bucket, &[("le", &bound)], sum);
        }
        self.sample(&format!("{name}_sum"), &[], durations.sum_seconds());
        self.sample(&format!("{name}_count"), &[], sum);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // A string takes all that there is memory for.
        let _grows = writeln!(self.0, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_text_is_as_prometheus_has_it() {
        let durations = Durations::default();
        durations.observe(Duration::from_micros(250));
        durations.observe(Duration::from_millis(3));
        let mut text = Text::default();
        text.info("version", "Which.", "v", "3.5");
        text.histogram("took_seconds", "How long.", &durations);
        let text = text.into_string();
        let begin = concat!(
            "# HELP version Which.\n# TYPE version gauge\nversion{v=\"3.5\"} 1\n",
            "# HELP took_seconds How long.\n# TYPE took_seconds histogram\n",
            "took_seconds_bucket{le=\"0.001\"} 1\n",
            "took_seconds_bucket{le=\"0.002\"} 1\n",
            "took_seconds_bucket{le=\"0.004\"} 2\n",
        );
        assert!(text.starts_with(begin), "{text}");
        let end = concat!(
            "took_seconds_bucket{le=\"8.192\"} 2\n",
            "took_seconds_bucket{le=\"+Inf\"} 2\n",
            "took_seconds_sum 0.00325\ntook_seconds_count 2\n",
        );
        assert!(text.ends_with(end), "{text}");
    }
}
