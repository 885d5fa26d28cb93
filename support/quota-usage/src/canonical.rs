//! The one form that a quantity is stored in.

/// The canonical form of a quantity: `0.5` is `500m`, `1024Mi` is `1Gi`, `1000` is `1k`. `None`
/// where it is no quantity.
///
/// Kept are the kind of suffix it was written with, and precision down to `n`; what is finer is
/// rounded up, what is larger than 2⁶³-1 is that. Upstream: `resource.ParseQuantity` and
/// `Quantity.CanonicalizeBytes`.
pub fn canonical_quantity(text: &str) -> Option<String> {
    let parsed = Parsed::read(text)?;
    Some(parsed.canonical())
}

/// A quantity in units of 10⁻⁹; `None` where it is none.
pub fn quantity_nano(text: &str) -> Option<i128> {
    Parsed::read(text).map(|parsed| parsed.nano)
}

/// Powers of ten, three apart, and their suffixes.
const DECIMAL: &[(i32, &str)] = &[
    (-9, "n"),
    (-6, "u"),
    (-3, "m"),
    (0, ""),
    (3, "k"),
    (6, "M"),
    (9, "G"),
    (12, "T"),
    (15, "P"),
    (18, "E"),
];
/// Powers of 1024 and their suffixes.
const BINARY: &[&str] = &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const NANO: i128 = 1_000_000_000;
const MOST: i128 = i64::MAX as i128 * NANO;

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Decimal,
    Exponent,
    Binary,
}

struct Parsed {
    /// In units of 10⁻⁹.
    nano: i128,
    form: Form,
}

impl Parsed {
    fn read(text: &str) -> Option<Parsed> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return None;
        }
        let (form, ten, two) = Parsed::read_suffix(suffix)?;
        let nano = scale(whole, fraction, ten, two);
        Some(Parsed {
            nano: if text.starts_with('-') { -nano } else { nano },
            form,
        })
    }

    /// Its form, and the powers of 10 and 2 it stands for.
    fn read_suffix(suffix: &str) -> Option<(Form, i32, u32)> {
        if let Some((power, _)) = DECIMAL.iter().find(|(_, name)| *name == suffix) {
            return Some((Form::Decimal, *power, 0));
        }
        if let Some(power) = BINARY.iter().position(|name| *name == suffix) {
            return Some((Form::Binary, 0, 10 * power as u32));
        }
        let exponent = suffix.strip_prefix(['e', 'E'])?;
        exponent
            .parse()
            .ok()
            .map(|power| (Form::Exponent, power, 0))
    }

    fn canonical(&self) -> String {
        let form = match self.form {
            // Fractions of less than 1Ki have no binary form.
            Form::Binary if self.nano.abs() < 1024 * NANO => Form::Decimal,
            form => form,
        };
        if self.nano == 0 {
            return "0".to_owned();
        }
        if form == Form::Binary {
            let mut units = round_up(self.nano, NANO);
            let mut power = 0;
            while units % 1024 == 0 && power + 1 < BINARY.len() {
                units /= 1024;
                power += 1;
            }
            return format!("{units}{}", BINARY[power]);
        }
        let (mut units, mut power) = (self.nano, 0);
        while units % 1000 == 0 && power + 1 < DECIMAL.len() {
            units /= 1000;
            power += 1;
        }
        match (form, DECIMAL[power]) {
            (Form::Exponent, (0, _)) => units.to_string(),
            (Form::Exponent, (exponent, _)) => format!("{units}e{exponent}"),
            (_, (_, suffix)) => format!("{units}{suffix}"),
        }
    }
}

/// `whole.fraction × 10^ten × 2^two`, in 10⁻⁹, rounded up and capped.
fn scale(whole: &str, fraction: &str, ten: i32, two: u32) -> i128 {
    let digits = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    // As many digits as never overflow, 2⁶⁰ times; what follows can only round up.
    let (head, tail) = digits.split_at(digits.len().min(if two == 0 { 36 } else { 20 }));
    let mut value = head.parse().unwrap_or(0i128) << two;
    let mut rest = tail.bytes().any(|digit| digit != b'0');
    let mut power = i64::from(ten) + 9 - fraction.len() as i64 + tail.len() as i64;
    while power > 0 && value > 0 && value < MOST {
        value *= 10;
        power -= 1;
    }
    while power < 0 && value > 0 {
        rest |= value % 10 != 0;
        value /= 10;
        power += 1;
    }
    (value + i128::from(rest)).min(MOST)
}

fn round_up(value: i128, unit: i128) -> i128 {
    let quotient = value / unit;
    if value % unit == 0 {
        quotient
    } else {
        quotient + value.signum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_take_their_canonical_form() {
        for (written, stored) in [
            ("0", "0"),
            ("1", "1"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("2000", "2k"),
            ("1e3", "1e3"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.1Ki", "102400m"),
            ("0.0000000001", "1n"),
            ("-0.5", "-500m"),
            ("100E", "9223372036854775807"),
            ("9223372036854775807", "9223372036854775807"),
            ("1e99999999", "9223372036854775807"),
        ] {
            assert_eq!(
                canonical_quantity(written).as_deref(),
                Some(stored),
                "{written}"
            );
        }
        for wrong in ["", "m", "1.2.3", "1x", "0x10", "1 ", "1ki", "e3", "--1"] {
            assert_eq!(canonical_quantity(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn quantities_are_canonical_at_once(text in "[+-]?[0-9]{0,25}\\.?[0-9]{0,25}([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,3})?") {
            if let Some(stored) = canonical_quantity(&text) {
                prop_assert_eq!(canonical_quantity(&stored), Some(stored.clone()), "{}", stored);
            }
        }
    }
}
