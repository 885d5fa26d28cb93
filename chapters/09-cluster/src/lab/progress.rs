//! Showing a start: a line per step with its time, a spinner on a terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The steps of a start, as they are shown.
pub struct Progress {
    began: Instant,
    last: Instant,
    spinner: Option<ProgressBar>,
}

impl Default for Progress {
    fn default() -> Self {
        Self::start()
    }
}

impl Progress {
    /// Begins to count.
    pub fn start() -> Self {
        let spinner = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("  {spinner:.cyan} {msg} {elapsed:.dim}");
            let spinner = ProgressBar::new_spinner();
            spinner.set_style(style.expect("the template is well-formed"));
            spinner.enable_steady_tick(Duration::from_millis(80));
            spinner
        });
        Self {
            began: Instant::now(),
            last: Instant::now(),
            spinner,
        }
    }

    /// Says what is waited for.
    pub fn doing(&self, what: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(what.to_owned());
        }
    }

    /// Says what is there now, and how long it took.
    pub fn did(&mut self, what: &str) {
        let now = Instant::now();
        let line = line(what, now - self.last, now - self.began);
        self.last = now;
        match &self.spinner {
            Some(spinner) => spinner.println(line),
            None => eprintln!("{line}"),
        }
    }

    /// Ends the show and says how long it was.
    pub fn finish(self) -> Duration {
        if let Some(spinner) = self.spinner {
            spinner.finish_and_clear();
        }
        self.began.elapsed()
    }
}

fn line(what: &str, took: Duration, since_start: Duration) -> String {
    format!(
        "  ✓ {what:<44} {:>8} {:>8}",
        seconds(took, "+"),
        seconds(since_start, "")
    )
}

fn seconds(duration: Duration, sign: &str) -> String {
    format!("{sign}{:.3}s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_line() {
        let shown = line(
            "API server is ready",
            Duration::from_millis(42),
            Duration::from_secs(1),
        );
        assert_eq!(
            shown.split_whitespace().collect::<Vec<_>>().join(" "),
            "✓ API server is ready +0.042s 1.000s"
        );
    }
}
