//! What differs from run to run, replaced: uids, ages, times, addresses, hashes, versions.

/// Replaces what differs from run to run in the output of kubectl. Columns are squeezed, since
/// their width follows from what is masked.
pub fn mask(output: &str) -> String {
    output.lines().map(|line| mask_line(line) + "\n").collect()
}

fn mask_line(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    // In tables, columns are at least two spaces apart.
    let squeezed = squeeze(&line[indent..]);
    let masked: String = split_keeping(&squeezed)
        .into_iter()
        .map(mask_word)
        .collect();
    let masked = mask_ages(&masked);
    format!("{}{masked}", &line[..indent])
}

fn squeeze(line: &str) -> String {
    let mut squeezed = String::new();
    let mut spaces = 0;
    for c in line.chars() {
        if c == ' ' || c == '\t' {
            spaces += 1;
            continue;
        }
        match spaces {
            0 => {}
            1 => squeezed.push(' '),
            _ => squeezed.push_str("  "),
        }
        spaces = 0;
        squeezed.push(c);
    }
    squeezed
}

/// Cuts a line into words (of what uids, addresses and times are made of) and what is between.
fn split_keeping(line: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-.:_".contains(c);
    let mut parts = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, c) in line.char_indices() {
        let kind = is_word(c);
        if last.is_some_and(|last| last != kind) {
            parts.push(&line[start..at]);
            start = at;
        }
        last = Some(kind);
    }
    parts.push(&line[start..]);
    parts
}

fn mask_word(word: &str) -> String {
    let trimmed = word.trim_end_matches([':', '.']);
    let tail = &word[trimmed.len()..];
    let masked = if is_uid(trimmed) {
        "UID".into()
    } else if is_time(trimmed) {
        "TIME".into()
    } else if trimmed.starts_with("10.244.") {
        mask_address(trimmed, "POD-IP")
    } else if is_service_address(trimmed) {
        mask_address(trimmed, "SERVICE-IP")
    } else {
        mask_generated(trimmed)
    };
    masked + tail
}

fn is_uid(word: &str) -> bool {
    let parts: Vec<usize> = word.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && word.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

fn is_time(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && word.ends_with('Z')
}

/// An address of a Service, but for the two that are always the same.
fn is_service_address(word: &str) -> bool {
    let (ip, _) = word.split_once(':').unwrap_or((word, ""));
    let octets: Vec<u8> = ip.split('.').filter_map(|part| part.parse().ok()).collect();
    octets.len() == 4
        && octets[0] == 10
        && (96..112).contains(&octets[1])
        && !["10.96.0.1", "10.96.0.10"].contains(&ip)
}

fn mask_address(word: &str, name: &str) -> String {
    match word.split_once(':') {
        Some((_, port)) => format!("{name}:{port}"),
        None => name.into(),
    }
}

/// The alphabet of generated names: upstream's `SafeEncodeString`.
fn is_generated(part: &str) -> bool {
    part.chars()
        .all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c))
}

/// `web-5d4f8c7b9-x2x4z` → `web-HASH-RANDOM`.
fn mask_generated(word: &str) -> String {
    let parts: Vec<&str> = word.split('-').collect();
    let (head, tail) = parts.split_at(parts.len().saturating_sub(2).max(1));
    let is_hash = |part: &str| (8..=10).contains(&part.len()) && is_generated(part);
    let is_random = |part: &str| part.len() == 5 && is_generated(part);
    match tail {
        [hash, random] if is_hash(hash) && is_random(random) => {
            format!("{}-HASH-RANDOM", head.join("-"))
        }
        [.., hash] if is_hash(hash) => format!("{}-HASH", parts[..parts.len() - 1].join("-")),
        [.., random] if is_random(random) && random.chars().any(|c| c.is_ascii_digit()) => {
            format!("{}-RANDOM", parts[..parts.len() - 1].join("-"))
        }
        _ => word.into(),
    }
}

/// `12s`, `3m4s`, `2h` as a column of its own, and resource versions.
fn mask_ages(line: &str) -> String {
    let cell = |cell: &str| {
        if is_age(cell) {
            "AGE-".to_owned()
        } else {
            cell.to_owned()
        }
    };
    let line = line.split("  ").map(cell).collect::<Vec<_>>().join("  ");
    match line.split_once("resourceVersion: ") {
        Some((before, _)) => format!("{before}resourceVersion: VERSION"),
        None => line,
    }
}

fn is_age(cell: &str) -> bool {
    let mut digits = 0;
    let mut units = 0;
    for c in cell.chars() {
        match c {
            '0'..='9' => digits += 1,
            's' | 'm' | 'h' | 'd' if digits > 0 => {
                units += 1;
                digits = 0;
            }
            _ => return false,
        }
    }
    units > 0 && digits == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_what_changes_and_nothing_else() {
        let table = [
            (
                "web-5d4f8c7b9-x2x4z   1/1     Running   0          3m12s   10.244.1.7   worker-1",
                "web-HASH-RANDOM  1/1  Running  0  AGE-  POD-IP  worker-1",
            ),
            (
                "kubernetes   ClusterIP   10.96.0.1   <none>   443/TCP   5s",
                "kubernetes  ClusterIP  10.96.0.1  <none>  443/TCP  AGE-",
            ),
            (
                "web   ClusterIP   10.103.4.5   <none>   80:30123/TCP   5s",
                "web  ClusterIP  SERVICE-IP  <none>  80:30123/TCP  AGE-",
            ),
            ("  uid: 6f1c1f0a-7d0e-4c3e-9a53-1a2b3c4d5e6f", "  uid: UID"),
            (
                "  creationTimestamp: \"2026-11-22T22:25:21Z\"",
                "  creationTimestamp: \"TIME\"",
            ),
            ("deployment.apps/web created", "deployment.apps/web created"),
            (
                "worker-1  Ready  <none>  5s  v1.36.2",
                "worker-1  Ready  <none>  AGE-  v1.36.2",
            ),
        ];
        for (line, expected) in table {
            assert_eq!(mask_line(line), expected);
        }
    }
}
