//! `/healthz`: whether this kubelet works, check by check.
//!
//! | check | fails when |
//! | --- | --- |
//! | `ping` | never: somebody answers |
//! | `syncloop` | the loop that hears of pods has not come round for five minutes |
//!
//! Upstream: `apiserver/pkg/server/healthz`, and `kubelet.go: SyncLoopHealthCheck`.

use std::fmt::Write;
use std::time::{Duration, Instant};

use http::StatusCode;

/// How long the loop may take. Upstream: twice the resync interval, and five minutes at least.
const SYNC_LOOP_MAX: Duration = Duration::from_secs(300);

/// Answers `/healthz`, or one check of it by name. `None` if there is no such check. `entered` is
/// when the loop last came round; it may not have been entered yet.
pub fn answer(
    check: Option<&str>,
    verbose: bool,
    entered: Option<Instant>,
    now: Instant,
) -> Option<(StatusCode, String)> {
    let late = |entered: Instant| now.duration_since(entered) > SYNC_LOOP_MAX;
    let sync_loop = match entered.is_some_and(late) {
        true => Err("sync Loop took longer than expected"),
        false => Ok(()),
    };
    let checks = [("ping", Ok(())), ("syncloop", sync_loop)];
    if let Some(name) = check {
        let (_, result) = checks.into_iter().find(|(known, _)| *known == name)?;
        return Some(match result {
            Ok(()) => (StatusCode::OK, "ok".to_owned()),
            Err(why) => {
                let message = format!("internal server error: {why}\n");
                (StatusCode::INTERNAL_SERVER_ERROR, message)
            }
        });
    }
    let mut lines = String::new();
    for (name, result) in &checks {
        // Why it failed is for those who see the log, or ask for the one check.
        let _ = match result {
            Ok(()) => writeln!(lines, "[+]{name} ok"),
            Err(_) => writeln!(lines, "[-]{name} failed: reason withheld"),
        };
    }
    Some(if checks.iter().any(|(_, result)| result.is_err()) {
        let body = format!("{lines}healthz check failed\n");
        (StatusCode::INTERNAL_SERVER_ERROR, body)
    } else if verbose {
        (StatusCode::OK, format!("{lines}healthz check passed\n"))
    } else {
        (StatusCode::OK, "ok".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(check: Option<&str>, verbose: bool, seconds: Option<u64>, expected: (u16, &str)) {
        let start = Instant::now();
        let now = start + Duration::from_secs(seconds.unwrap_or(0));
        let (status, text) = answer(check, verbose, seconds.map(|_| start), now).unwrap();
        assert_eq!((status.as_u16(), text.as_str()), expected);
    }

    #[test]
    fn a_loop_that_hangs_is_told() {
        check(None, false, None, (200, "ok"));
        check(None, false, Some(300), (200, "ok"));
        check(Some("syncloop"), false, Some(300), (200, "ok"));
        check(
            None,
            true,
            Some(1),
            (200, "[+]ping ok\n[+]syncloop ok\nhealthz check passed\n"),
        );
        let failed = "[+]ping ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n";
        check(None, false, Some(301), (500, failed));
        check(Some("ping"), false, Some(301), (200, "ok"));
        let why = "internal server error: sync Loop took longer than expected\n";
        check(Some("syncloop"), false, Some(301), (500, why));
        assert_eq!(answer(Some("no"), false, None, Instant::now()), None);
    }
}
