//! The rules, by name: what differs from run to run, and what stands in its place.

use regex::Captures;

/// One kind of thing that differs from run to run.
pub struct Rule {
    /// What it is called.
    pub name: &'static str,
    /// What it looks like.
    pub pattern: &'static str,
    /// Only in these columns of a table; empty: anywhere.
    pub columns: &'static [&'static str],
    /// What of the match is the thing itself: two matches with the same key are the same thing,
    /// and have the same stand-in. `None`: the match is no such thing after all.
    pub key: fn(&str) -> Option<&str>,
    /// The stand-in of the `n`th thing of this kind in a transcript, from 1.
    pub stand_in: fn(&Captures, usize) -> String,
    /// What a reader sees, in the book's words.
    pub says: &'static str,
}

/// The alphabet of generated names: upstream's `SafeEncodeString`.
const ALPHABET: &str = "bcdfghjklmnpqrstvwxz2456789";

/// Every rule. Where two match at the same place, the first counts.
pub static RULES: &[Rule] = &[
    Rule {
        name: "uid",
        pattern: r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
        columns: &[],
        key: |it| Some(it),
        stand_in: |_, n| format!("5f0c7a1e-0000-4000-8000-{n:012}"),
        says: "a uid ends in a number: the first is `…0001`",
    },
    Rule {
        name: "time",
        pattern: r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
        columns: &[],
        key: |it| Some(it),
        stand_in: |_, _| "2026-11-28T10:00:00Z".into(),
        says: "it is always 10 o'clock on 28 November 2026",
    },
    Rule {
        name: "date",
        pattern: r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}",
        columns: &[],
        key: |it| Some(it),
        stand_in: |_, _| "Sat, 28 Nov 2026 10:00:00 +0000".into(),
        says: "the same, as `kubectl describe` writes it",
    },
    Rule {
        name: "created at",
        pattern: r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} [A-Z]{3,4}\b",
        columns: &[],
        key: |it| Some(it),
        stand_in: |_, _| "2026-11-28 10:00:00 +0000 UTC".into(),
        says: "the same, as Docker writes it",
    },
    Rule {
        name: "digest or container id",
        pattern: r"\b(?:[0-9a-f]{64}|[0-9a-f]{12})\b",
        columns: &[],
        // The short form is the beginning of the long one.
        key: |id| {
            let digits = id.contains(|c: char| c.is_ascii_digit());
            let letters = id.contains(|c: char| c.is_ascii_alphabetic());
            (digits && letters).then_some(&id[..12])
        },
        stand_in: |id, n| hex(n, id[0].len()),
        says: "digests and container ids are made up, the same one for the same thing",
    },
    // ANCHOR: address
    Rule {
        name: "pod address",
        pattern: r"\b10\.244\.\d+\.(?:[2-9]|\d\d+)\b",
        columns: &[],
        key: |it| Some(it),
        stand_in: |_, n| format!("10.244.1.{}", n + 1),
        says: "pods have the addresses 10.244.1.2, 10.244.1.3, … as they appear",
    },
    // ANCHOR_END: address
    Rule {
        name: "service address",
        pattern: r"\b10\.(?:9[6-9]|10\d|11[01])\.\d+\.\d+\b",
        columns: &[],
        // These two are the same in every cluster.
        key: |ip| (!["10.96.0.0", "10.96.0.1", "10.96.0.10"].contains(&ip)).then_some(ip),
        stand_in: |_, n| format!("10.96.0.{}", n + 99),
        says: "Services have the addresses `10.96.0.100`, `10.96.0.101`, …",
    },
    Rule {
        name: "node port",
        pattern: r"\b(\d+):3[0-2]\d{3}/",
        columns: &[],
        key: |it| Some(it),
        stand_in: |ports, n| format!("{}:{}/", &ports[1], n + 30079),
        says: "node ports are `30080`, `30081`, …",
    },
    Rule {
        name: "client's port",
        // What Linux gives to those who do not ask for one.
        pattern: r":(?:3[2-9]\d{3}|[45]\d{4}|60\d{3})\b",
        columns: &[],
        key: |port| Some(port),
        stand_in: |_, n| format!(":{}", n + 40000),
        says: "clients speak from the ports `40001`, `40002`, …",
    },
    Rule {
        name: "generated name",
        pattern: r"(-[bcdfghjklmnpqrstvwxz2456789]{8,10})?-([bcdfghjklmnpqrstvwxz2456789]{5})\b",
        columns: &[],
        // Without a template's hash before it, only what has a digit is told from a word.
        key: |name| {
            let digit = name.contains(|c: char| c.is_ascii_digit());
            (digit || name.len() > 6).then_some(name)
        },
        stand_in: |name, n| {
            let hash = name.get(1).map_or("", |hash| hash.as_str());
            format!("{hash}-{}", random(n))
        },
        says: "the random end of a pod's name is made up, the same one for the same pod",
    },
    Rule {
        name: "resource version",
        pattern: r#"(resourceVersion"?: ?"?)\d+"#,
        columns: &[],
        key: |it| Some(it),
        stand_in: |version, n| format!("{}{}", &version[1], n + 500),
        says: "resource versions count from 501",
    },
    Rule {
        name: "age",
        pattern: r"^(?:\d+[smhdy])+$",
        columns: &["AGE", "LAST SEEN", "Age"],
        key: |it| Some(it),
        stand_in: |_, _| "5s".into(),
        says: "everything is 5 seconds old",
    },
    Rule {
        name: "ago",
        pattern: r"\((?:\d+[smhdy])+ ago\)",
        columns: &[],
        key: |it| Some(it),
        stand_in: |_, _| "(5s ago)".into(),
        says: "and whatever happened did so 5 seconds ago",
    },
    Rule {
        name: "docker's age",
        pattern: r"\b(?:Up )?(?:\d+ (?:second|minute|hour)s?|Less than a second|About an? (?:minute|hour))(?: ago)?\b",
        columns: &["CREATED", "STATUS"],
        key: |it| Some(it),
        stand_in: |age, _| {
            let up = if age[0].starts_with("Up ") { "Up " } else { "" };
            let ago = if age[0].ends_with(" ago") { " ago" } else { "" };
            format!("{up}5 seconds{ago}")
        },
        says: "containers too are 5 seconds old, and up for as long",
    },
    Rule {
        name: "duration",
        pattern: r"\b\d+\.\d+( ?)(seconds|ms|s)\b",
        columns: &[],
        key: |it| Some(it),
        stand_in: |duration, _| format!("1.2{}{}", &duration[1], &duration[2]),
        says: "whatever was measured took 1.2 seconds, or milliseconds",
    },
    Rule {
        name: "raft's term",
        pattern: r"\bat term \d+\b",
        columns: &[],
        key: |it| Some(it),
        stand_in: |_, n| format!("at term {}", n + 1),
        says: "etcd's terms count from 2",
    },
    Rule {
        name: "kubectl's words",
        // Since 1.34.
        pattern: r"\bdeleted from [a-z0-9-]+ namespace\b",
        columns: &[],
        key: |words| Some(words),
        stand_in: |_, _| "deleted".into(),
        says: "newer kubectls name the namespace of what they delete",
    },
    Rule {
        name: "namespace",
        pattern: r"\b([a-z_]+:)\[\d{10}\]",
        columns: &[],
        key: |it| Some(it),
        stand_in: |namespace, n| format!("{}[{}]", &namespace[1], 4_026_532_000_u64 + n as u64),
        says: "the kernel's namespaces have the numbers 4026532001, 4026532002, …",
    },
    Rule {
        name: "other end of a wire",
        pattern: r"@if\d+\b",
        columns: &[],
        key: |it| Some(it),
        stand_in: |_, _| "@if4".into(),
        says: "the other end of a pod's wire is device 4",
    },
];

/// `len` digits that look like a digest's, other ones for each `n`; a shorter one begins a longer.
fn hex(n: usize, len: usize) -> String {
    let mut state = n as u32;
    let digits = (0..len).map(|_| {
        // A linear congruential generator; its upper bits are the varied ones.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from_digit(state >> 28, 16).expect("four bits are a digit")
    });
    digits.collect()
}

/// The end of a generated name, another one for each `n` (up to 27 times 27).
fn random(n: usize) -> String {
    let letter = |at: usize| char::from(ALPHABET.as_bytes()[at % ALPHABET.len()]);
    let at = [
        n * 7,
        n / ALPHABET.len() + 20,
        n * 5 + 3,
        n * 11 + 9,
        n * 2 + 22,
    ];
    at.map(letter).iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_rule_has_a_name_of_its_own() {
        let names: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), RULES.len());
    }

    #[test]
    fn stand_ins_differ_where_the_things_do() {
        let names: BTreeSet<_> = (1..200).map(random).collect();
        assert_eq!(names.len(), 199);
        let ids: BTreeSet<_> = (1..200).map(|n| hex(n, 12)).collect();
        assert_eq!(ids.len(), 199);
        assert!(hex(3, 64).starts_with(&hex(3, 12)));
    }
}
