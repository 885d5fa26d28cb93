//! Sizes as people say them. Upstream: `HumanSizeWithPrecision` in docker/go-units.

const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];

/// `bytes` to three digits, in steps of a thousand: `762kB`.
pub fn human(bytes: i64) -> String {
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit < UNITS.len() - 1 {
        size /= 1000.0;
        unit += 1;
    }
    format!("{}{}", three_digits(size), UNITS[unit])
}

/// As C's and Go's `%.3g` writes what lies between 0 and 1000.
fn three_digits(size: f64) -> String {
    let decimals = match size {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{size:.decimals$}");
    if text == "1000" {
        return "1e+03".into();
    }
    if text.contains('.') {
        // 9.999 has become 10.00 by rounding: three digits are 10.0, and zeros go anyway.
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn three_digits_as_dockers() {
        let cases = [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1_234, "1.23kB"),
            (9_999, "10kB"),
            (12_340, "12.3kB"),
            (761_608, "762kB"),
            (999_900, "1e+03kB"),
            (1_500_000_000, "1.5GB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text, "{bytes} bytes");
        }
    }
}
