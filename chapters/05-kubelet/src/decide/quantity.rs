//! Quantities of resources: `500m`, `64Mi`, `1e3`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A quantity's value in billionths, the finest that the API knows. `None` if it is malformed.
///
/// Upstream: `apimachinery/pkg/api/resource/quantity.go`.
pub fn parse_nanos(text: &str) -> Option<i128> {
    let text = text.trim();
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let scale = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => 1_000_000_000,
        "k" => 1_000_000_000 * 1_000,
        "M" => 1_000_000_000 * 1_000_000,
        "G" => 1_000_000_000_i128.pow(2),
        "T" => 1_000_000_000_i128.pow(2) * 1_000,
        "P" => 1_000_000_000_i128.pow(2) * 1_000_000,
        "E" => 1_000_000_000_i128.pow(3),
        "Ki" => 1_000_000_000 << 10,
        "Mi" => 1_000_000_000 << 20,
        "Gi" => 1_000_000_000 << 30,
        "Ti" => 1_000_000_000 << 40,
        "Pi" => 1_000_000_000 << 50,
        "Ei" => 1_000_000_000 << 60,
        exponent => {
            let power: u32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_i128.checked_pow(power.checked_add(9)?)?
        }
    };
    let (negative, digits) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let signed_twice = whole.contains(['+', '-']);
    if signed_twice || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut value = whole.checked_mul(scale)?;
    let mut unit = scale;
    for digit in fraction.chars() {
        unit /= 10;
        value = value.checked_add(i128::from(digit.to_digit(10)?).checked_mul(unit)?)?;
    }
    Some(if negative { -value } else { value })
}

/// Whole units, rounded up: bytes of memory.
pub fn value(quantity: &Quantity) -> i64 {
    ceil_div(parse_nanos(&quantity.0).unwrap_or(0), 1_000_000_000)
}

/// Thousandths, rounded up: millicores.
pub fn milli_value(quantity: &Quantity) -> i64 {
    ceil_div(parse_nanos(&quantity.0).unwrap_or(0), 1_000_000)
}

/// A quantity in units of another, rounded up: what `resourceFieldRef.divisor` asks for.
pub fn in_units_of(quantity_nanos: i128, divisor: &str) -> i64 {
    let divisor = match parse_nanos(divisor) {
        Some(nanos) if nanos > 0 => nanos,
        _ => 1_000_000_000,
    };
    ceil_div(quantity_nanos, divisor)
}

fn ceil_div(value: i128, by: i128) -> i64 {
    let quotient = value.div_euclid(by) + i128::from(value.rem_euclid(by) != 0);
    quotient.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_api_accepts() {
        let cases = [
            ("1", 1_000_000_000),
            ("500m", 500_000_000),
            ("1.5", 1_500_000_000),
            ("64Mi", (64 << 20) * 1_000_000_000),
            ("1e3", 1_000_000_000_000),
            ("2k", 2_000_000_000_000),
            (".5", 500_000_000),
            ("-1", -1_000_000_000),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse_nanos(text), Some(nanos), "{text}");
        }
        for text in ["", "x", "1x", "1..2", "--1", "1e99999"] {
            assert_eq!(parse_nanos(text), None, "{text}");
        }
    }

    #[test]
    fn rounds_up_in_the_divisor() {
        assert_eq!(in_units_of(parse_nanos("500m").unwrap(), "1"), 1);
        assert_eq!(in_units_of(parse_nanos("500m").unwrap(), "1m"), 500);
        assert_eq!(in_units_of(parse_nanos("64Mi").unwrap(), "1Mi"), 64);
        assert_eq!(in_units_of(parse_nanos("64Mi").unwrap(), "0"), 64 << 20);
    }
}
