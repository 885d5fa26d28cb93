//! The commands for exercises and planted bugs, as a reader types them, in a workspace made here.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LIB: &str = "//! Sums.

/// The sum of what is positive.
pub fn sum(numbers: &[i32]) -> i32 {
    // ANCHOR: exercise-04.1
    let mut sum = 0;
    for number in numbers {
        if *number > 0 {
            sum += number;
        }
    }
    sum
    // ANCHOR_END: exercise-04.1
}

/// Whether `at` is the last of `len`.
pub fn is_last(at: usize, len: usize) -> bool {
    at + 1 == len
}
";

const CHECKS: &str = r#"
use exercise::Check;

#[test]
fn exercise_04_1() {
    Check::new("the sum of 1 and 2").expect(tiny::sum(&[1, 2]), 3);
}

#[test]
fn exercise_04_1_negative() {
    Check::new("the sum of 1 and -2")
        .because("what is not positive does not count")
        .expect(tiny::sum(&[1, -2]), 1);
}

#[test]
fn bug_04() {
    Check::new("the second of two").because("two have a last").expect(tiny::is_last(1, 2), true);
}
"#;

const EXERCISE: &str = r#"
title = "Sums"
minutes = 5
seconds = 1
file = "chapters/04-tiny/src/lib.rs"
package = "tiny"
book = "04-tiny.md"
missing = "nothing is added"
task = 'Write `sum`.'
hole = '''
    todo!("exercise 04.1 is open: see the book")
'''
hints = ["begin with 0", "go over the numbers"]
[[wrong]]
name = "adds all"
says = "what is not positive does not count"
code = "    numbers.iter().sum()"
[[wrong]]
name = "adds none"
says = "the sum of 1 and 2"
code = "    0"
"#;

const BUG: &str = r#"
title = "The last one"
minutes = 5
file = "chapters/04-tiny/src/lib.rs"
package = "tiny"
book = "04-tiny.md"
symptom = "nothing is the last one"
find = "at + 1 == len"
plant = "at == len"
says = "two have a last"
hints = ["count"]
explain = "Places are counted from 0."
"#;

/// A workspace with one exercise and one bug.
struct Workspace {
    dir: tempfile::TempDir,
}

/// What a command said, and whether it went well.
struct Said {
    ok: bool,
    text: String,
}

impl Said {
    #[track_caller]
    fn has(&self, ok: bool, parts: &[&str]) -> &Self {
        assert_eq!(self.ok, ok, "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "no {part:?} in:\n{}", self.text);
        }
        self
    }
}

impl Workspace {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let support = Path::new(env!("CARGO_MANIFEST_DIR")).join("../support/exercise");
        let support = support.canonicalize().expect("it is there");
        let package = format!(
            "[package]\nname = \"tiny\"\nedition = \"2024\"\n[dev-dependencies]\n\
             exercise = {{ path = {support:?} }}\n"
        );
        for (path, text) in [
            (
                "Cargo.toml",
                "[workspace]\nmembers = [\"chapters/*\"]\nresolver = \"3\"\n",
            ),
            ("chapters/04-tiny/Cargo.toml", package.as_str()),
            ("chapters/04-tiny/src/lib.rs", LIB),
            ("chapters/04-tiny/tests/exercises.rs", CHECKS),
            ("exercises/04.1-sums.toml", EXERCISE),
            ("exercises/bugs/04-last.toml", BUG),
            (
                "book/src/04-tiny.md",
                "# Tiny\n\n## Exercise 04.1: Sums\n\n## A planted bug\n",
            ),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
            fs::write(path, text).expect("is written");
        }
        Self { dir }
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(args.split(' '))
            .arg("--root")
            .arg(self.dir.path())
            .env_remove("CARGO_TARGET_DIR")
            .current_dir(self.dir.path());
        command
    }

    fn run(&self, args: &str) -> Said {
        let output = self.command(args).output().expect("xtask runs");
        let text = [output.stdout, output.stderr].concat();
        Said {
            ok: output.status.success(),
            text: String::from_utf8(text).expect("it says text"),
        }
    }

    fn lib(&self) -> PathBuf {
        self.dir.path().join("chapters/04-tiny/src/lib.rs")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.lib()).expect("it is there")
    }

    /// Writes `code` between the markers.
    fn write(&self, code: &str) {
        let text = self.text();
        let (before, rest) = text.split_once("04.1\n").expect("a marker");
        let (_, after) = rest.split_once("    // ANCHOR_END").expect("a marker");
        let text = format!("{before}04.1\n{code}\n    // ANCHOR_END{after}");
        fs::write(self.lib(), text).expect("is written");
    }

    fn kept(&self, name: &str) -> String {
        let path = self.dir.path().join(".workshop/kept").join(name);
        fs::read_to_string(path).expect("it is kept")
    }
}

#[test]
fn an_exercise_from_start_to_end() {
    let it = Workspace::new();
    it.run("ex list")
        .has(true, &["Chapter 4: Tiny", "not started", "5 min to go"]);
    it.run("ex check").has(false, &["nothing is started"]);
    it.run("ex start 4.2")
        .has(false, &["there is no \"4.2\"; there are: 04.1"]);
    it.run("ex start 4.1")
        .has(true, &["Write `sum`.", "src/lib.rs:6", "04-tiny.md"]);
    assert!(it.text().contains("todo!(\"exercise 04.1 is open"));
    it.run("ex start 04.1").has(true, &["begun already"]);
    it.run("ex check")
        .has(false, &["Red is right: nothing is written yet"]);

    it.run("ex hint").has(true, &["hint 1 of 2\n  begin"]);
    let second = it.run("ex hint");
    second.has(true, &["hint 1 of 2", "hint 2 of 2\n  go"]);
    assert!(!second.text.contains("Those are all"));
    it.run("ex hint")
        .has(true, &["hint 2 of 2", "Those are all"]);

    it.write("    println!(\"adding\");\n    numbers.iter().sum()");
    let saw = [
        "tried     the sum of 1 and -2",
        "saw       -1",
        "expected  1",
        "adding",
    ];
    it.run("ex check")
        .has(false, &saw)
        .has(false, &["because   what is not positive"]);
    it.write("    numbers.iter().sun()");
    it.run("ex check")
        .has(false, &["does not compile", "no method named `sun`"]);
    it.write("    loop {}");
    it.run("ex check").has(false, &["did not end in 1 seconds"]);
    it.run("ex list").has(true, &["  open"]);

    it.run("ex reset 4.1").has(
        true,
        &["kept in .workshop/kept/04.1-sums.1.rs", "src/lib.rs:6"],
    );
    assert_eq!(it.kept("04.1-sums.1.rs"), "    loop {}\n");
    it.run("ex reset 4.1").has(true, &["open already"]);
}

#[test]
fn a_watched_exercise_turns_green() {
    let it = Workspace::new();
    it.run("ex next").has(true, &["Write `sum`."]);
    let mut watch = it
        .command("ex check --watch")
        .stdout(Stdio::piped())
        .spawn()
        .expect("xtask runs");
    let mut lines = BufReader::new(watch.stdout.take().expect("a pipe")).lines();
    let mut until = |part: &str| {
        let found = lines.any(|line| line.is_ok_and(|line| line.contains(part)));
        assert!(found, "no {part:?}");
    };
    until("Red is right");
    until("watching");
    // Broken markers are said, and waited out.
    let whole = it.text();
    fs::write(it.lib(), whole.replace("// ANCHOR_END", "//")).expect("is written");
    until("the line `// ANCHOR_END: exercise-04.1` is gone");
    until("watching");
    fs::write(it.lib(), whole).expect("is written");
    until("watching");
    it.write("    numbers.iter().filter(|number| **number > 0).sum()");
    until("✓ 04.1 Sums: 2 checks held.");
    assert!(watch.wait().expect("it ends").success());
    it.run("ex list").has(true, &["solved", "1 done"]);
    it.run("ex next").has(true, &["All of them are done"]);

    // Begun again, what was written is kept; with a marker lost, the whole file is.
    it.run("ex start 4.1").has(true, &["04.1-sums.1.rs"]);
    assert!(it.kept("04.1-sums.1.rs").contains("filter"));
    it.write("    mine()");
    fs::write(it.lib(), it.text().replace("// ANCHOR:", "//")).expect("is written");
    it.run("ex check").has(false, &["is gone", "ex reset 04.1"]);
    let solved = it.run("ex solve 4.1");
    solved.has(
        true,
        &[
            "whole of chapters/04-tiny/src/lib.rs",
            "04.1-sums.2.rs",
            "+     let mut sum",
        ],
    );
    assert_eq!(it.text(), LIB);
    assert!(it.kept("04.1-sums.2.rs").contains("mine()"));
}

#[test]
fn what_is_lost_or_locked_is_said() {
    let it = Workspace::new();
    let mut permissions = fs::metadata(it.lib()).expect("it is there").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(it.lib(), permissions).expect("can be set");
    it.run("ex start 4.1")
        .has(false, &["is read-only; nothing was changed"]);
    assert_eq!(it.text(), LIB);
    it.run("ex list").has(true, &["not started"]);
    fs::remove_file(it.lib()).expect("is removed");
    fs::write(it.lib(), LIB).expect("is written");

    // With .workshop gone, the hole is there and the reference nowhere.
    it.run("ex start 4.1").has(true, &[]);
    fs::remove_dir_all(it.dir.path().join(".workshop")).expect("is removed");
    it.run("ex start 4.1")
        .has(false, &["the reference of 04.1 is lost", "git log --"]);
    // Unless git has it.
    let open = it.text();
    fs::write(it.lib(), LIB).expect("is written");
    for args in [
        "init -q",
        "add .",
        "-c user.name=x -c user.email=x@x commit -qm x",
    ] {
        let git = Command::new("git")
            .args(args.split(' '))
            .current_dir(it.dir.path())
            .status();
        assert!(git.expect("git runs").success());
    }
    fs::write(it.lib(), open).expect("is written");
    it.run("ex start 4.1").has(true, &["Write `sum`."]);
    it.write("    mine()");
    it.run("ex solve 4.1")
        .has(true, &["-     mine()", "+     let mut sum = 0;"]);
    assert_eq!(it.text(), LIB);

    // Progress that is gone does not turn the reader's lines into the reference.
    fs::remove_dir_all(it.dir.path().join(".workshop")).expect("is removed");
    it.write("    numbers.iter().copied().filter(|it| *it > 0).sum()");
    it.run("ex start 4.1")
        .has(true, &["not those of git's HEAD", "04.1-sums.1.rs"]);
    it.run("ex solve 4.1").has(true, &[]);
    assert_eq!(it.text(), LIB);
}

#[test]
fn a_bug_from_start_to_end() {
    let it = Workspace::new();
    let started = it.run("bug start 04");
    started.has(true, &["nothing is the last one", "crate, `tiny`"]);
    assert!(!started.text.contains("lib.rs"), "{}", started.text);
    assert!(it.text().contains("at == len"));
    let red = [
        "the bug is still in",
        "tried     the second of two",
        "because   two have a last",
    ];
    it.run("bug check").has(false, &red);
    it.run("bug hint 4").has(true, &["hint 1 of 1\n  count"]);

    // Mended in words of the reader's own, in a file with an exercise begun.
    it.run("ex start 4.1").has(true, &[]);
    it.write("    0");
    fs::write(it.lib(), it.text().replace("at == len", "len == at + 1")).expect("is written");
    it.run("bug check")
        .has(true, &["✓ bug 04", "Well found", "counted from 0"]);
    it.run("bug start 4")
        .has(true, &["bug-04-last.1.rs", "nothing is the last one"]);
    fs::write(it.lib(), it.text().replace("at == len", "len == at + 1")).expect("is written");
    it.run("bug reset 4").has(
        true,
        &["kept in .workshop/kept/bug-04-last.1.rs", "in again"],
    );
    assert!(it.kept("bug-04-last.1.rs").contains("len == at + 1"));
    assert!(it.text().contains("at == len"));
    it.run("bug solve 4")
        .has(true, &["-     at == len", "+     at + 1 == len"]);
    assert!(it.text().contains("    0\n"), "the exercise's lines stay");
}

#[test]
fn verify_checks_the_checks() {
    let it = Workspace::new();
    // An exercise that is under way is no obstacle.
    it.run("ex start 4.1").has(true, &[]);
    let all = "verify: 1 exercise, 1 bug, 6 variants: all hold";
    it.run("ex verify").has(true, &[all]);
    assert!(it.text().contains("todo!"), "the reader's own file stays");

    let path = it.dir.path().join("exercises/04.1-sums.toml");
    let text = EXERCISE.replace(
        "code = \"    0\"",
        "code = \"    numbers.iter().filter(|it| **it > 0).sum()\"",
    );
    let text = text.replace("does not count\"", "is not counted\"");
    fs::write(path, text).expect("is written");
    let wrong = [
        "✗ 04.1, wrong solution \"adds none\": its check holds",
        "✗ 04.1, wrong solution \"adds all\": its check does not say",
        "2 problems to mend",
    ];
    it.run("ex verify 4.1").has(false, &wrong);
}
