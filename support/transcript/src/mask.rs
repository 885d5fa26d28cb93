//! Stand-ins for what differs from run to run, by the rules of [`RULES`].

use std::collections::HashMap;

use regex::Regex;

use crate::rules::RULES;
use crate::table::{self, Part};

/// The stand-ins of one transcript: the same thing has the same one in each of its outputs.
pub struct Masks {
    patterns: Vec<Regex>,
    /// By rule and thing: its number.
    numbers: HashMap<(usize, String), usize>,
    /// What the stage knows: its folder, its port.
    known: Vec<(String, String)>,
}

impl Default for Masks {
    fn default() -> Self {
        Self::new()
    }
}

impl Masks {
    /// No stand-in is given yet.
    ///
    /// # Panics
    /// When a rule's pattern is none.
    pub fn new() -> Self {
        let compile = |pattern| Regex::new(pattern).expect("a rule's pattern is valid");
        Self {
            patterns: RULES.iter().map(|rule| compile(rule.pattern)).collect(),
            numbers: HashMap::new(),
            known: Vec::new(),
        }
    }

    /// Something that the stage knows by its value, and what a reader sees in its place.
    #[must_use]
    pub fn with(mut self, value: impl Into<String>, stand_in: impl Into<String>) -> Self {
        self.know(value, stand_in);
        self
    }

    /// The same, once it is known.
    pub fn know(&mut self, value: impl Into<String>, stand_in: impl Into<String>) {
        let known = (value.into(), stand_in.into());
        if !self.known.contains(&known) {
            self.known.push(known);
        }
    }

    /// An output with stand-ins; tables are laid out anew, as what stands in has another width.
    pub fn mask(&mut self, output: &str) -> String {
        let mut output = output.to_owned();
        for (value, stand_in) in &self.known {
            output = output.replace(value, stand_in);
        }
        let lines: Vec<&str> = output.lines().collect();
        let mut masked = String::new();
        for part in table::parts(&lines) {
            match part {
                Part::Line(line) => masked += &(self.replace(line, None) + "\n"),
                Part::Rows(indent, rows) => {
                    // No header says so: what looks like an age is one.
                    let age = vec!["AGE"; rows[0].len()];
                    masked += &self.table(indent, &rows, &age);
                }
                Part::Table(indent, rows) => masked += &self.table(indent, &rows, &rows[0]),
            }
        }
        masked
    }

    fn table(&mut self, indent: usize, rows: &[Vec<&str>], columns: &[&str]) -> String {
        let mut row = |cells: &Vec<&str>| {
            let cells = cells.iter().zip(columns);
            cells
                .map(|(cell, column)| self.replace(cell, Some(column)))
                .collect()
        };
        let rows: Vec<Vec<String>> = rows.iter().map(&mut row).collect();
        table::lay_out(indent, &rows)
    }

    /// From left to right, each time the rule that matches first.
    fn replace(&mut self, text: &str, column: Option<&str>) -> String {
        let mut replaced = String::new();
        let mut at = 0;
        while let Some((rule, captures)) = self.next(text, at, column) {
            let whole = captures.get(0).expect("the whole match");
            let key = (RULES[rule].key)(whole.as_str()).expect("looked at before");
            let next = 1 + self.numbers.keys().filter(|(of, _)| *of == rule).count();
            let number = *self.numbers.entry((rule, key.to_owned())).or_insert(next);
            replaced += &text[at..whole.start()];
            replaced += &(RULES[rule].stand_in)(&captures, number);
            at = whole.end();
        }
        replaced + &text[at..]
    }

    fn next<'t>(
        &self,
        text: &'t str,
        at: usize,
        column: Option<&str>,
    ) -> Option<(usize, regex::Captures<'t>)> {
        let applies = |rule: usize| {
            let columns = RULES[rule].columns;
            columns.is_empty() || column.is_some_and(|column| columns.contains(&column))
        };
        let found = (0..RULES.len())
            .filter(|rule| applies(*rule))
            .filter_map(|rule| {
                let mut at = at;
                loop {
                    let captures = self.patterns[rule].captures_at(text, at)?;
                    let whole = captures.get(0).expect("the whole match");
                    if (RULES[rule].key)(whole.as_str()).is_some() {
                        return Some((whole.start(), rule, captures));
                    }
                    at = whole.end();
                }
            });
        found
            .min_by_key(|(start, rule, _)| (*start, *rule))
            .map(|(_, rule, captures)| (rule, captures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &str, expected: &str) {
        assert_eq!(Masks::new().mask(output), expected);
    }

    #[test]
    fn the_same_thing_has_the_same_stand_in() {
        let mut masks = Masks::new();
        let first = masks.mask("10.244.0.7 10.244.2.9 10.244.0.7\n");
        assert_eq!(first, "10.244.1.2 10.244.1.3 10.244.1.2\n");
        assert_eq!(masks.mask("10.244.2.9:8080\n"), "10.244.1.3:8080\n");
        let ids = masks.mask(
            "0a1b2c3d4e5f 0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d4e5f0a1b\n",
        );
        let (short, long) = ids.trim().split_once(' ').unwrap();
        assert!(long.len() == 64 && long.starts_with(short), "{ids}");
    }

    #[test]
    fn tables_are_laid_out_anew() {
        check(
            "NAME                  READY   STATUS    RESTARTS       AGE     IP           NODE\n\
             web-5d4f8c7b9-x2x4z   1/1     Running   0              3m12s   10.244.1.7   worker-1\n\
             web-5d4f8c7b9-9zq4w   1/1     Running   1 (13s ago)    3m12s   <none>       worker-1\n\
             \n\
             no table\n",
            "NAME                  READY   STATUS    RESTARTS     AGE   IP           NODE\n\
             web-5d4f8c7b9-k2l27   1/1     Running   0            5s    10.244.1.2   worker-1\n\
             web-5d4f8c7b9-s2rg9   1/1     Running   1 (5s ago)   5s    <none>       worker-1\n\
             \n\
             no table\n",
        );
    }

    #[test]
    fn only_an_age_is_an_age() {
        check("      cpu:     50m\n", "      cpu:     50m\n");
        check(
            "NAME   CPU   AGE\nweb    50m   50m\n",
            "NAME   CPU   AGE\nweb    50m   5s\n",
        );
        check(
            "12s   Normal   Scheduled   pod/web\n",
            "5s   Normal   Scheduled   pod/web\n",
        );
        check("after 12s\n", "after 12s\n");
    }

    #[test]
    fn every_rule_is_at_work() {
        for (line, expected) in [
            (
                "uid: 6f1c1f0a-7d0e-4c3e-9a53-1a2b3c4d5e6f",
                "uid: 5f0c7a1e-0000-4000-8000-000000000001",
            ),
            (
                "at: \"2025-01-02T03:04:05Z\"",
                "at: \"2026-11-28T10:00:00Z\"",
            ),
            (
                "Start Time:  Mon, 23 Nov 2026 22:25:21 +0000",
                "Start Time:  Sat, 28 Nov 2026 10:00:00 +0000",
            ),
            (
                "2025-01-02 03:04:05 +0000 UTC",
                "2026-11-28 10:00:00 +0000 UTC",
            ),
            ("10.244.1.0/24 10.244.1.1", "10.244.1.0/24 10.244.1.1"),
            ("10.96.0.1 10.103.4.5", "10.96.0.1 10.96.0.100"),
            ("80:31234/TCP", "80:30080/TCP"),
            (
                "client: 127.0.0.1:43230, 10.0.0.1:80",
                "client: 127.0.0.1:40001, 10.0.0.1:80",
            ),
            ("kube-root-ca.crt web-front", "kube-root-ca.crt web-front"),
            ("\"resourceVersion\":\"77\"", "\"resourceVersion\":\"501\""),
            (
                "ready in 3.45 seconds, 2.1ms",
                "ready in 1.2 seconds, 1.2ms",
            ),
            (
                "net:[4026532345] mnt:[4026531840]",
                "net:[4026532001] mnt:[4026532002]",
            ),
            (
                "pod \"a\" deleted from default namespace",
                "pod \"a\" deleted",
            ),
            ("eth0@if17", "eth0@if4"),
            (
                "follower at term 7, candidate at term 9",
                "follower at term 2, candidate at term 3",
            ),
            ("v1.36.2 Ready", "v1.36.2 Ready"),
        ] {
            check(line, &format!("{expected}\n"));
        }
        check(
            "CONTAINER ID   CREATED         STATUS\n0a1b2c3d4e5f   2 minutes ago   Up About a minute\n",
            &format!(
                "CONTAINER ID   CREATED         STATUS\n{}   5 seconds ago   Up 5 seconds\n",
                "358b05c80a46"
            ),
        );
    }

    #[test]
    fn what_the_stage_knows_comes_first() {
        let mut masks = Masks::new()
            .with("/tmp/x2", "~/.local/state")
            .with("127.0.0.1:4711", "127.0.0.1:6443");
        assert_eq!(
            masks.mask("https://127.0.0.1:4711 /tmp/x2/kubeconfig\n"),
            "https://127.0.0.1:6443 ~/.local/state/kubeconfig\n"
        );
    }
}
