//! Collecting the ends of children, which is what process 1 of a PID namespace is for.
//!
//! Orphans fall to process 1, so it waits for any child, and nothing else in it may wait for one
//! of its own: children are started with `std::process::Command` and their handles dropped.

use rustix::process::{WaitOptions, wait};

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Its number, in this process's namespace.
    pub pid: i32,
    /// `exit code 1`, `signal 9`.
    pub how: String,
    /// Whether it ended of its own will, without complaint.
    pub success: bool,
}

/// All children that have ended since it was last asked.
pub fn collect() -> Vec<Exit> {
    let mut exits = Vec::new();
    // Ends with `None` (children run on) or ECHILD (there are none).
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let how = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => continue,
        };
        let success = status.exit_status() == Some(0);
        exits.push(Exit {
            pid: pid.as_raw_nonzero().get(),
            how,
            success,
        });
    }
    exits
}
