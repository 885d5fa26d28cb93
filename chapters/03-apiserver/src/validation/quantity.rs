//! Quantities: `500m` of cpu, `1.5Gi` of memory.
//!
//! Upstream: `staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go`.

use std::ops::Add;

/// An amount, in billionths: the finest that the API tells apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(i128);

const BILLION: i128 = 1_000_000_000;

impl Quantity {
    /// Parses `[+-]digits[.digits][suffix]`, where the suffix is of thousands (`n u m k M G T P
    /// E`), of 1024s (`Ki Mi Gi Ti Pi Ei`) or an exponent (`e3`). Finer parts are rounded up;
    /// what is too large to count is as large as can be.
    pub fn parse(text: &str) -> Option<Quantity> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let (factor, power) = scale(suffix)?;
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let mut value: i128 = match digits {
            "" => 0,
            // More digits than these are more than any quantity may have.
            digits => digits.get(..38).unwrap_or(digits).parse().ok()?,
        };
        let dropped = i32::try_from(digits.len().saturating_sub(38)).ok()?;
        value = value.saturating_mul(factor);
        let power = power + 9 + dropped - i32::try_from(fraction.len()).ok()?;
        for _ in 0..power.clamp(0, 60) {
            value = value.saturating_mul(10);
        }
        for _ in 0..(-power).clamp(0, 80) {
            value = value / 10 + i128::from(value % 10 != 0);
        }
        Some(Quantity(if negative { -value } else { value }))
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether it is less than nothing.
    pub fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// As a number, as near as it can be had.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / BILLION as f64
    }

    /// Whether it counts whole things, as pods and GPUs are counted.
    pub fn is_whole(self) -> bool {
        self.0 % BILLION == 0
    }
}

impl Add for Quantity {
    type Output = Quantity;

    fn add(self, other: Quantity) -> Quantity {
        Quantity(self.0.saturating_add(other.0))
    }
}

/// A suffix as a factor and a power of ten.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    let plain = |power| Some((1, power));
    match suffix {
        "n" => plain(-9),
        "u" => plain(-6),
        "m" => plain(-3),
        "" => plain(0),
        "k" => plain(3),
        "M" => plain(6),
        "G" => plain(9),
        "T" => plain(12),
        "P" => plain(15),
        "E" => plain(18),
        "Ki" => Some((1 << 10, 0)),
        "Mi" => Some((1 << 20, 0)),
        "Gi" => Some((1 << 30, 0)),
        "Ti" => Some((1 << 40, 0)),
        "Pi" => Some((1 << 50, 0)),
        "Ei" => Some((1 << 60, 0)),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let exponent: i32 = exponent.parse().ok()?;
            plain(exponent.clamp(-60, 60))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts() {
        let same = |a: &str, b: &str| assert_eq!(Quantity::parse(a), Quantity::parse(b), "{a} {b}");
        same("0.5", "500m");
        same("1Gi", "1024Mi");
        same("1e3", "1k");
        same("1.5Ki", "1536");
        same(".1", "100m");
        same("0.0000000001", "1n");
        assert!(Quantity::parse("1Gi") > Quantity::parse("1G"));
        assert!(Quantity::parse("-1").is_some_and(Quantity::is_negative));
        assert!(Quantity::parse("1500m").is_some_and(|q| !q.is_whole()));
        for wrong in ["", "x", "1x", "1..2", "1.2.3", "Gi", "1e", "--1", "1 "] {
            assert_eq!(Quantity::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in "[-+0-9.eEinumkKMGTP]{0,50}") {
            Quantity::parse(&text);
        }
    }
}
