//! The tables as the book shows them. Pure.

use std::time::Duration;

use crate::Measured;

/// The head of the table of loads beside `peer`.
pub fn head(peer: &str) -> String {
    format!(
        "| | per second | | p50 | | p99 | | server's µs each | | \n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n\
         | | {peer} | ours | {peer} | ours | {peer} | ours | {peer} | ours | ours/{peer} |\n"
    )
}

/// A row of loads, of the peer (where there is one) and ours.
pub fn row(name: &str, peer: Option<Measured>, ours: Measured) -> String {
    let cell = |of: fn(Measured) -> String| peer.map_or_else(|| "–".to_owned(), of);
    let rate = |it: Measured| grouped(it.rate as u64);
    let ratio = peer.map_or_else(
        || "–".to_owned(),
        |peer| format!("{:.2}", ours.cpu.as_secs_f64() / peer.cpu.as_secs_f64()),
    );
    let cells = [
        name.to_owned(),
        cell(rate),
        rate(ours),
        cell(|it| millis(it.p50)),
        millis(ours.p50),
        cell(|it| millis(it.p99)),
        millis(ours.p99),
        cell(|it| micros(it.cpu)),
        micros(ours.cpu),
        ratio,
    ];
    format!("| {} |", cells.join(" | "))
}

/// A row of one figure each.
pub fn figure(name: &str, peer: Option<f64>, ours: f64, unit: &str) -> String {
    let peer_says = peer.map_or_else(|| "–".to_owned(), |peer| format!("{peer:.1} {unit}"));
    let ratio = peer.map_or_else(|| "–".to_owned(), |peer| format!("{:.2}", ours / peer));
    format!("| {name} | {peer_says} | {ours:.1} {unit} | {ratio} |")
}

fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

fn micros(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    if micros < 100.0 {
        format!("{micros:.1}")
    } else {
        format!("{micros:.0}")
    }
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_both_and_their_ratio() {
        let measured = |rate, micros| Measured {
            rate,
            p50: Duration::from_micros(440),
            p99: Duration::from_millis(2),
            cpu: Duration::from_micros(micros),
        };
        assert_eq!(
            row("put", Some(measured(2300.4, 40)), measured(1_234_567.0, 10)),
            "| put | 2,300 | 1,234,567 | 0.44 ms | 0.44 ms | 2.00 ms | 2.00 ms | 40.0 | 10.0 | 0.25 |"
        );
        assert_eq!(
            row("put", None, measured(100.0, 250)),
            "| put | – | 100 | – | 0.44 ms | – | 2.00 ms | – | 250 | – |"
        );
        assert_eq!(
            figure("memory", Some(300.0), 100.0, "MB"),
            "| memory | 300.0 MB | 100.0 MB | 0.33 |"
        );
    }
}
