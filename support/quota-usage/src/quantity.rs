//! Quantities: `500m` of cpu, `1.5Gi` of memory.
//!
//! Upstream: `staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go`.

use std::collections::BTreeMap;
use std::ops::{Add, Sub};

use serde_json::Value;

use crate::canonical::canonical_quantity;

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

    /// The canonical text, in units of 1024 where `binary`, else of thousands.
    pub fn show(self, binary: bool) -> String {
        let (sign, value) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let billion = BILLION.unsigned_abs();
        let (whole, fraction) = if binary {
            // As many Ki, exactly: a part of 1024 has ten decimals.
            let scaled = |part: u128, of: u128| part * 10_u128.pow(19) / of;
            (
                value / billion / 1024,
                scaled(value % (billion * 1024), billion * 1024),
            )
        } else {
            (value / billion, value % billion * 10_u128.pow(10))
        };
        let unit = if binary { "Ki" } else { "" };
        let text = format!("{sign}{whole}.{fraction:019}{unit}");
        canonical_quantity(&text).unwrap_or(text)
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

impl Sub for Quantity {
    type Output = Quantity;

    fn sub(self, other: Quantity) -> Quantity {
        Quantity(self.0.saturating_sub(other.0))
    }
}

/// Whether an amount is written in units of 1024.
pub fn is_binary(text: &str) -> bool {
    text.ends_with('i')
}

/// Amounts of several resources, each with whether it is written in units of 1024.
pub type Totals = BTreeMap<String, (Quantity, bool)>;

/// What a pod has of everything at a time, of its containers' `requests` or `limits`: all that run
/// beside one another, or, if it is more, one that comes before them with those that stay.
/// Upstream: `AggregateContainerRequests` in `component-helpers/resource/helpers.go`.
pub fn of_pod(spec: &Value, field: &str) -> Totals {
    let containers = |list: &str| spec[list].as_array().into_iter().flatten();
    let mut total = Totals::new();
    for container in containers("containers") {
        add_amounts(&mut total, &container["resources"][field]);
    }
    let (mut staying, mut most) = (Totals::new(), Totals::new());
    for container in containers("initContainers") {
        let amounts = &container["resources"][field];
        let mut now = staying.clone();
        add_amounts(&mut now, amounts);
        if container["restartPolicy"] == "Always" {
            add_amounts(&mut total, amounts);
            staying.clone_from(&now);
        }
        keep_greater(&mut most, now);
    }
    keep_greater(&mut total, most);
    total
}

/// Adds a map of amounts as objects have it.
pub fn add_amounts(total: &mut Totals, amounts: &Value) {
    let amounts = amounts.as_object().into_iter().flatten();
    let parsed = amounts.filter_map(|(name, amount)| {
        let text = amount.as_str()?;
        Some((name.clone(), (Quantity::parse(text)?, is_binary(text))))
    });
    add(total, &parsed.collect());
}

/// Adds other amounts to a total.
pub fn add(total: &mut Totals, more: &Totals) {
    for (name, (quantity, binary)) in more {
        let entry = total.entry(name.clone()).or_default();
        // What is nothing has no form of its own.
        if entry.0.is_zero() {
            entry.1 = *binary;
        }
        entry.0 = entry.0 + *quantity;
    }
}

fn keep_greater(total: &mut Totals, other: Totals) {
    for (name, (quantity, binary)) in other {
        let entry = total.entry(name).or_insert((quantity, binary));
        if quantity > entry.0 {
            *entry = (quantity, binary);
        }
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

    #[test]
    fn shown() {
        for text in [
            "0", "1", "500m", "1k", "1Mi", "1536Mi", "100M", "-1Gi", "1n", "1025Ki",
        ] {
            let quantity = Quantity::parse(text).expect("is one");
            assert_eq!(quantity.show(is_binary(text)), text);
        }
        assert_eq!(Quantity::parse("1").expect("is one").show(true), "1");
    }

    #[test]
    fn what_a_pod_has() {
        let container = |cpu: &str| serde_json::json!({"resources": {"requests": {"cpu": cpu}}});
        let mut stays = container("100m");
        stays["restartPolicy"] = "Always".into();
        let mut spec = serde_json::json!({"containers": [container("1"), container("500m")]});
        let cpu = |spec: &Value| {
            let total = of_pod(spec, "requests");
            total["cpu"].0.show(false)
        };
        assert_eq!(cpu(&spec), "1500m");
        spec["initContainers"] = serde_json::json!([stays, container("1")]);
        assert_eq!(cpu(&spec), "1600m");
        spec["initContainers"] = serde_json::json!([stays, container("3")]);
        assert_eq!(cpu(&spec), "3100m");
    }

    proptest! {
        #[test]
        fn any_text(text in "[-+0-9.eEinumkKMGTP]{0,50}") {
            Quantity::parse(&text);
        }
    }
}
