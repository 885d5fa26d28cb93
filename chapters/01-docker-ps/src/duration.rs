//! Durations as people say them. Upstream: `HumanDuration` in docker/go-units.

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// `seconds` in the largest unit that leaves a number worth reading.
pub fn human(seconds: i64) -> String {
    // ANCHOR: exercise-01.1
    // Hours are rounded, all other units cut off.
    let hours = (seconds as f64 / HOUR as f64 + 0.5) as i64;
    match seconds {
        ..1 => "Less than a second".into(),
        1 => "1 second".into(),
        2..MINUTE => format!("{seconds} seconds"),
        _ if seconds / MINUTE == 1 => "About a minute".into(),
        _ if seconds < HOUR => format!("{} minutes", seconds / MINUTE),
        _ if hours == 1 => "About an hour".into(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / HOUR / 24 / 365),
    }
    // ANCHOR_END: exercise-01.1
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn units_change_where_dockers_do() {
        let days = |days: i64| days * 24 * 3600;
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5399, "About an hour"),
            (5400, "2 hours"),
            (days(2) - 1801, "47 hours"),
            (days(2), "2 days"),
            (days(14), "2 weeks"),
            (days(60), "2 months"),
            (days(730), "2 years"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human(seconds), text, "{seconds} seconds");
        }
    }
}
