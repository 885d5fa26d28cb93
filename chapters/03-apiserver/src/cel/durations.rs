//! Durations as Go writes them: `1h30m`, `-1.5s`.

use jiff::SignedDuration;

/// Nanoseconds of each unit.
const UNITS: &[(&str, i128)] = &[
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
];

/// A duration, of 292 years at the most, as upstream's are.
pub(super) fn parse_duration(text: &str) -> Option<SignedDuration> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    let mut nanos = if rest.is_empty() { return None } else { 0i128 };
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit_end = rest[end..].find(|c: char| c.is_ascii_digit() || c == '.');
        let unit_end = unit_end.map_or(rest.len(), |at| end + at);
        let (_, unit) = UNITS
            .iter()
            .find(|(unit, _)| *unit == &rest[end..unit_end])?;
        nanos = nanos.checked_add(parts(&rest[..end], *unit)?)?;
        rest = &rest[unit_end..];
    }
    let nanos = i64::try_from(sign * nanos).ok()?;
    Some(SignedDuration::from_nanos(nanos))
}

/// `1.5` of a unit; what is below a nanosecond is cut off.
fn parts(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || whole.len() > 19 || !is_digits(fraction) {
        return None;
    }
    let mut nanos = match whole {
        "" => 0,
        whole => whole.parse::<i128>().ok()? * unit,
    };
    let mut place = unit;
    for digit in fraction.bytes() {
        // Ten times finer: a unit of hours is not a power of ten, so what is over is kept.
        nanos += i128::from(digit - b'0') * place / 10;
        place /= 10;
    }
    Some(nanos)
}

/// In seconds, as CEL writes durations: `1.5s`.
pub(super) fn show_duration(span: SignedDuration) -> String {
    let nanos = span.as_nanos();
    let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let fraction = format!(".{rest:09}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{sign}{seconds}{fraction}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown() {
        let check = |text: &str, expect: Option<&str>| {
            let shown = parse_duration(text).map(show_duration);
            assert_eq!(shown.as_deref(), expect, "{text}");
        };
        check("1h30m", Some("5400s"));
        check("-1.5s", Some("-1.5s"));
        check("1.25h", Some("4500s"));
        check("100ms5us1ns", Some("0.100005001s"));
        check("0", Some("0s"));
        check(".5s", Some("0.5s"));
        for wrong in ["", "-", "1", "s", "1d", "1..5s", "9999999h"] {
            check(wrong, None);
        }
    }
}
