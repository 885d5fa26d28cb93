//! Every transcript is a test: those of the book, and those of this folder.
//!
//! A file in `book/transcripts` is played in the workspace's folder, as a reader would; one in
//! `tests/transcripts` beside its manifests, and again on a real etcd (`etcd/…`), where the same is
//! to be said. `WORKSHOP_BLESS=1` (`cargo xtask bless`) keeps what was said.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use transcript::{Stage, difference, play};
use workshop_tests::{Kind, has_etcd, stage};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = root.expect("the tests lie in the workspace");
    let book = files(&root.join("book/transcripts")).into_iter();
    let book = book.map(|path| trial("book", path, root.to_owned(), Kind::Embedded));
    let folder = root.join("tests/transcripts");
    let tests = files(&folder).into_iter();
    let tests = tests.map(|path| trial("tests", path, folder.clone(), Kind::Embedded));
    // What is kept is what was said on the store that a reader has. What a kubelet answers, and
    // takes its time to, is the same on any.
    let of_kubelets = ["pods.txt", "nodes.txt", "volumes.txt"];
    let of_the_store =
        |path: &PathBuf| !blesses() && !of_kubelets.iter().any(|name| path.ends_with(name));
    let etcd = files(&folder).into_iter().filter(of_the_store);
    let etcd = etcd.map(|path| trial("etcd", path, folder.clone(), Kind::Etcd));
    let trials = book.chain(tests).chain(etcd).collect();
    let played = libtest_mimic::run(&Arguments::from_args(), trials);
    if blesses() && played.num_passed + played.num_failed == 0 {
        eprintln!("no transcript has such a name");
        return ExitCode::FAILURE;
    }
    played.exit_code()
}

/// Whether what is said is kept, in place of compared.
fn blesses() -> bool {
    std::env::var_os("WORKSHOP_BLESS").is_some()
}

/// The transcripts of a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "txt"))
        .collect();
    files.sort();
    files
}

fn trial(of: &str, path: PathBuf, folder: PathBuf, kind: Kind) -> Trial {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Trial::test(format!("{of}/{name}"), move || check(&path, &folder, kind))
}

fn check(path: &Path, folder: &Path, kind: Kind) -> Result<(), Failed> {
    if kind == Kind::Etcd && !has_etcd() {
        return Ok(());
    }
    let recorded = std::fs::read_to_string(path)?;
    let stage = Stage::of(&recorded).ok_or_else(|| {
        format!(
            "{} does not begin with `# on: lab`, `members`, `engine`, `store` or `host`",
            path.display()
        )
    })?;
    let mut set = match stage::set(stage, kind) {
        Ok(set) => set,
        Err(missing) if std::env::var_os("CI").is_none() => {
            eprintln!("skipped: {missing}");
            return Ok(());
        }
        Err(missing) => return Err(missing.into()),
    };
    let played = play(&recorded, |command| set.run(folder, command));
    if blesses() {
        std::fs::write(path, played)?;
        return Ok(());
    }
    match difference(&recorded, &played) {
        Some(difference) => Err(format!(
            "{} plays otherwise (`cargo xtask bless` records it anew):\n\n{difference}",
            path.display()
        )
        .into()),
        None => Ok(()),
    }
}
