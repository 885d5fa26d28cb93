//! Quantities (`250m`, `1.5Gi`, `1e3`) as whole numbers, rounded up as upstream does.
//!
//! Upstream: `staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The quantity in whole units; 0 if it is no quantity, which the API server does not let pass.
pub fn value(quantity: &Quantity) -> i64 {
    scaled(&quantity.0, 0).unwrap_or(0)
}

/// The quantity in thousandths: the unit of CPU.
pub fn milli_value(quantity: &Quantity) -> i64 {
    scaled(&quantity.0, 3).unwrap_or(0)
}

/// `text` times ten to the power of `exponent`, rounded up and capped.
fn scaled(text: &str, exponent: i32) -> Option<i64> {
    let number_end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let (binary, decimal) = match suffix {
        "" => (0, 0),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        _ => (0, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let mantissa: i128 = digits.parse().ok()?;
    let mut power = decimal + exponent - i32::try_from(fraction.len()).ok()?;
    let mut result = mantissa.checked_mul(1 << binary)?;
    while power > 0 && result != 0 {
        result = match result.checked_mul(10) {
            Some(result) => result,
            None => return Some(if result > 0 { i64::MAX } else { i64::MIN }),
        };
        power -= 1;
    }
    if power < 0 {
        let divisor = 10_i128.checked_pow(power.unsigned_abs());
        result = divisor.map_or(i128::from(result > 0), |divisor| {
            result.div_euclid(divisor) + i128::from(result.rem_euclid(divisor) > 0)
        });
    }
    Some(result.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        let check = |text: &str, value_is, milli_is| {
            let quantity = Quantity(text.to_owned());
            assert_eq!(
                (value(&quantity), milli_value(&quantity)),
                (value_is, milli_is),
                "{text}"
            );
        };
        check("2", 2, 2000);
        check("250m", 1, 250);
        check("0.1m", 1, 1);
        check("1.5Gi", 1_610_612_736, 1_610_612_736_000);
        check("1e3", 1000, 1_000_000);
        check(
            "12E",
            12_000_000_000_000_000_000_i128.min(i64::MAX.into()) as i64,
            i64::MAX,
        );
        check("-1", -1, -1000);
        check("100k", 100_000, 100_000_000);
        check("", 0, 0);
        check("many", 0, 0);
        check("1e999999999", i64::MAX, i64::MAX);
        check("1e-999999999", 1, 1);
    }
}
