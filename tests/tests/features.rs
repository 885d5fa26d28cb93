//! The book's table of kubectl's commands and the API's features: each row is run against a lab.
//!
//! The rows are in `features/features.txt`, the table that they make in `features/table.md`;
//! `WORKSHOP_BLESS=1 cargo nextest run -p workshop-tests --test features` writes it anew.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use transcript::Stage;
use workshop_tests::stage::{self, Set};
use workshop_tests::{Kind, said};

/// What a row's shell can use beside kubectl: the client of chapter 3's examples.
const PRELUDE: &str = r#"
client() { cargo client "$@"; }
exec </dev/null
"#;

/// Commands of kubectl whose commands have rows too.
const WITH_COMMANDS: [&str; 5] = ["auth", "certificate", "create", "rollout", "set"];

/// A part of the table.
#[derive(Default)]
struct Part {
    title: String,
    column: String,
    rows: Vec<Row>,
}

/// A command or a feature.
#[derive(Default)]
struct Row {
    name: String,
    /// Why it is not there.
    missing: Option<Missing>,
    shell: String,
}

struct Missing {
    why: String,
    upstream_too: bool,
}

impl Row {
    fn parse(line: &str) -> Self {
        let (name, missing) = match (line.split_once(" !! "), line.split_once(" ! ")) {
            (Some((name, why)), _) => (name, Some((why, true))),
            (None, Some((name, why))) => (name, Some((why, false))),
            (None, None) => (line, None),
        };
        Self {
            name: name.to_owned(),
            missing: missing.map(|(why, upstream_too)| Missing {
                why: why.to_owned(),
                upstream_too,
            }),
            shell: String::new(),
        }
    }

    /// What is wrong with what the row says, if anything is.
    fn judge(&self, set: &mut Set, root: &Path) -> Option<String> {
        let script = format!("{PRELUDE}( set -e\n{})\n", self.shell);
        let answer = set.run(root, &format!("{script}[ $? = 0 ] && echo THE ROW HOLDS\n"));
        let holds = answer.ends_with("THE ROW HOLDS\n");
        let name = &self.name;
        match &self.missing {
            None if !holds => Some(format!("{name} does not hold:\n{answer}")),
            Some(_) if holds => Some(format!("{name} holds, and is said to be missing")),
            _ => None,
        }
    }
}

/// The first part is what is prepared.
fn parse(text: &str) -> Vec<Part> {
    let mut parts = vec![Part::default()];
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for line in lines.filter(|line| !line.is_empty()) {
        if let Some(head) = line.strip_prefix("== ") {
            let (title, column) = head.split_once(" | ").expect("a title and a column");
            parts.push(Part {
                title: title.to_owned(),
                column: column.to_owned(),
                rows: Vec::new(),
            });
            continue;
        }
        let rows = &mut parts.last_mut().expect("it begins with one").rows;
        match line.strip_prefix("  ") {
            Some(shell) => {
                let row = rows.last_mut().expect("a row's name is above its shell");
                row.shell += &format!("{shell}\n");
            }
            None => rows.push(Row::parse(line)),
        }
    }
    parts
}

fn table(parts: &[Part]) -> String {
    let mut table = "<!-- Made by `tests/tests/features.rs`, which runs each row. -->\n".to_owned();
    for part in parts {
        let missing = part.rows.iter().filter(|row| row.missing.is_some()).count();
        let sum = match missing {
            0 => format!("{} rows, all done", part.rows.len()),
            _ => format!("{} rows, {missing} of them missing", part.rows.len()),
        };
        write!(
            table,
            "\n<details>\n<summary>{}: {sum}</summary>\n\n| {} | upstream | here |\n| --- | --- | --- |\n",
            part.title, part.column
        )
        .expect("a string");
        for row in &part.rows {
            let (upstream, here) = match &row.missing {
                None => ("yes", "yes".to_owned()),
                Some(it) if it.upstream_too => ("no", format!("no: {}", it.why)),
                Some(it) => ("yes", format!("no: {}", it.why)),
            };
            writeln!(table, "| {} | {upstream} | {here} |", row.name).expect("a string");
        }
        table += "\n</details>\n";
    }
    table
}

/// What kubectl itself says that it can do, after some words.
fn commands(words: &[&str]) -> Vec<String> {
    let mut kubectl = Command::new("kubectl");
    let kubectl = kubectl.arg("__complete").args(words).arg("");
    let output = kubectl.env("KUBECONFIG", "/dev/null").output();
    let said = said(output.expect("kubectl is installed")).expect("it completes");
    // Each is "name<TAB>what it does", and last comes a word for the shell.
    let lines = said.lines().filter_map(|line| line.split_once('\t'));
    lines.map(|(name, _)| name.to_owned()).collect()
}

/// Whether a row of the commands is of these words: `create role` has `create role, rolebinding`.
fn has_row(rows: &[Row], words: &[&str]) -> bool {
    rows.iter().any(|row| {
        let mut of_row = row.name.split([' ', ',']).filter(|word| !word.is_empty());
        let (command, rest) = words.split_first().expect("a command has a name");
        of_row.next() == Some(*command) && {
            let of_row: Vec<&str> = of_row.collect();
            rest.iter().all(|word| of_row.contains(word))
        }
    })
}

/// Commands that not every kubectl has that these tests run with, and so no row.
const NEWER: [&str; 1] = ["kuberc"];

#[test]
fn each_command_of_kubectl_has_a_row() {
    let parts = parse(include_str!("../features/features.txt"));
    let mut all: Vec<Vec<String>> = commands(&[]).into_iter().map(|it| vec![it]).collect();
    for command in WITH_COMMANDS {
        let inside = commands(&[command]).into_iter();
        all.extend(inside.map(|it| vec![command.to_owned(), it]));
    }
    assert!(all.len() > 50, "{all:?}");
    let has_none = |words: &&Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        !NEWER.contains(&&*words.join(" ")) && !has_row(&parts[1].rows, &words)
    };
    let missing: Vec<_> = all.iter().filter(has_none).collect();
    assert!(missing.is_empty(), "no row: {missing:?}");
}

/// Runs the rows of a part on a lab of its own.
fn rows_hold(title: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = root.expect("the tests lie in the workspace");
    let parts = parse(include_str!("../features/features.txt"));
    let (prepared, parts) = parts.split_first().expect("it begins with one");
    let part = parts.iter().find(|part| part.title == title);
    let part = part.expect("the part is in the file");
    let mut set = stage::set(Stage::Lab, Kind::Embedded).expect("a lab needs nothing");
    let rows = prepared.rows.iter().chain(&part.rows);
    let wrong: Vec<String> = rows.filter_map(|row| row.judge(&mut set, root)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A test for each part, and one that no part is left out.
macro_rules! parts {
    ($($name:ident: $title:literal,)*) => {
        $(
            #[test]
            fn $name() {
                rows_hold($title);
            }
        )*

        #[test]
        fn each_part_is_run() {
            let parts = parse(include_str!("../features/features.txt"));
            let titles: Vec<&str> = parts[1..].iter().map(|part| part.title.as_str()).collect();
            assert_eq!(titles, [$($title),*]);
        }
    };
}

parts! {
    commands_hold: "Commands of kubectl",
    reads_hold: "Reads",
    watches_hold: "Watches",
    writes_hold: "Writes",
    who_may_holds: "Who may",
    admission_holds: "Admission",
    kinds_of_ones_own_hold: "Kinds of one's own",
    the_server_holds: "The server",
}

#[test]
fn the_table_is_of_the_rows() {
    let parts = parse(include_str!("../features/features.txt"));
    let table = table(&parts[1..]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("features/table.md");
    if std::env::var_os("WORKSHOP_BLESS").is_some() {
        std::fs::write(&path, &table).expect("it can be written");
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(recorded == table, "{} is of other rows", path.display());
}
